//! Storage for disk images.
//!
//! ```text
//!   file, block device ─ FileSource ─┐
//!   memory, yours, …  ───────────────┼─▶ ReadAt ─▶ Section: a window     ─▶ Stream: std::io::Read and Seek
//!   .xz .zst .gz, pipe ─ spool ──────┘            ReadOnce: kept once read
//! ```
//!
//! [`ReadAt`] reads at an offset: all of it or an error, without a cursor, from several threads at once. [`WriteAt`] is its
//! counterpart. Everything else is made from these two, but for [`TarWriter`], which makes a stream, and [`Pipeline`], by which several
//! threads work on what comes in order.
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

mod container;
mod memory;
#[cfg(feature = "mmap")]
mod mmap;
mod pipeline;
mod read_at;
mod read_once;
mod spool;
mod stream;
mod tar;
mod unpack;
mod write_at;

pub use container::Container;
pub use memory::ReadMemory;
#[cfg(feature = "mmap")]
pub use mmap::MmapSource;
pub use pipeline::{Pipeline, PipelineError};
pub use read_at::{FileSource, ReadAt, Section};
pub use read_once::ReadOnce;
pub use spool::{MAX_UNPACKED_RATIO, MAX_UNPACKED_SIZE, SPOOL_DIRECTORY, SpoolOptions, spool, unnamed_file};
pub use stream::Stream;
pub use tar::{TarEntry, TarKind, TarWriter};
pub use unpack::{Compression, MAGIC_SIZE, MAX_WINDOW_SIZE, UnpackError};
pub use write_at::WriteAt;
