//! The command and the libraries together, against real tools and hostile images.

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod corpus;
mod format_faults;
mod hostile;
mod made_images;
mod partition_tools;
mod readme;
mod veritysetup;
