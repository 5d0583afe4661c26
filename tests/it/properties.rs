//! What holds of everything: sources, packages, words of the README, seeds, any number of threads.

mod book;
mod bounds;
mod packages;
mod readme;
pub(crate) mod seeds;
mod threads;
