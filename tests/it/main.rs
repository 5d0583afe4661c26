//! The command and the libraries together, against real tools and hostile images.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/sources.rs"]
mod sources;

mod commands;
mod hostile;
mod properties;
mod tools;
