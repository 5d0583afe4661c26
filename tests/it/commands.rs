//! What each command does and says, and with which exit status.

mod bake;
mod bench;
mod boot;
mod build;
mod build_files;
mod check;
mod cli;
mod containers;
mod decide;
mod documents;
mod extract;
mod files;
mod healing;
mod policy;
mod read;
mod repair;
mod report;
mod screens;
mod sign;
mod split;
mod stream;
mod table;
mod update;
