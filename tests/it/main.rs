//! The command and the libraries together, against real tools and hostile images.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/sources.rs"]
mod sources;

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
mod hostile;
mod made_images;
mod owners;
mod packages;
mod partition_tools;
mod policy;
mod read;
mod readme;
mod repair;
mod seeds;
mod stream;
mod threads;
mod update;
mod veritysetup;
mod veritysetup_fec;
mod work;
