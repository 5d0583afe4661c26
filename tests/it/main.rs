//! The command and the libraries together, against real tools and hostile images.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/sources.rs"]
mod sources;

<<<<<<< HEAD
mod bench;
mod boot;
mod bounds;
mod check;
mod cli;
mod corpus;
mod decide;
mod documents;
mod edges;
mod extract;
mod faults;
mod files;
mod format_faults;
mod healing;
=======
mod commands;
>>>>>>> e647823 (tests: folders by what is asked; documents name tests that are there; docs: asynchronous programs)
mod hostile;
mod properties;
mod tools;
