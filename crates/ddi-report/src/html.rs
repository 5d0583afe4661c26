//! The page: one file, and all that is in it.

mod chain;
mod damage;
mod disk;
pub(crate) mod files;
pub(crate) mod page;
mod tables;
pub(crate) mod writer;
