//! dm-verity in user space.
#![deny(unsafe_code)]

mod read_at;

pub use read_at::{FileSource, ReadAt, Section};
