//! The command and the libraries together, against real tools and hostile images.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/sources.rs"]
mod sources;

mod commands;
mod hostile;
mod made_images;
mod owners;
mod packages;
mod partition_tools;
mod policy;
mod properties;
mod read;
mod readme;
mod repair;
mod seeds;
mod sign;
mod stream;
mod threads;
mod tools;
mod update;
mod veritysetup;
mod veritysetup_fec;
mod work;
