//! The command and the libraries together, against real tools and hostile images.

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod format_faults;
mod veritysetup;
