//! Serving verified disk images, without root: whoever reads gets proven bytes or an error.
//!
//! ```text
//!                     ┌ "root": the data of a partition, each block proven when it is read
//!  Dissection ────────┼ "usr"
//!  an image, and      └ "disk": a disk made up of these, with their hash trees ─▶ Server ─▶ NBD: QEMU, nbdcopy,
//!  whom to trust                                                                            libguestfs, nbd-client …
//! ```
//!
//! An [`Export`] is a name and [`Content`]: bytes at an offset, and which of them are zeros. A [`ProvenPartition`] is one, and
//! so is a [`SyntheticDisk`], of which every byte is proven or ours. The [`Server`] speaks NBD (fixed newstyle, structured
//! replies, `base:allocation`) to many clients at once over unix sockets and loopback TCP. A block that does not match its digest is
//! an I/O error of the request that wanted it; all others go on.
//!
//! ```no_run
//! use std::os::unix::net::UnixListener;
//! use std::sync::Arc;
//!
//! use ddi_core::{Image, Role, Trust};
//! use ddi_serve::{Export, Server, ServerOptions};
//!
//! let disk = Image::open("image.raw")?.dissect(&Trust::certificate_file("vendor.crt")?);
//! let root = Export::new("root", Arc::new(disk.partition(Role::Root)?));
//! let server = Server::new(vec![root], &ServerOptions::new())?;
//! server.serve_unix(&UnixListener::bind("/run/user/1000/root.sock")?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Bounds
//!
//! A client is a thread with a buffer of 256 KiB; large reads are sent in pieces of that size, on the threads of the pool where some
//! are idle. Reads that a client wants in one piece (32 MiB at most) share [`ServerOptions::room`]. A handshake has 64 options of 64 KiB,
//! and 10 seconds.
//!
//! [`ProvenPartition`]: ddi_core::ProvenPartition
#![forbid(unsafe_code)]
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

mod disk;
mod error;
mod export;
mod link;
mod nbd;
mod pool;
mod server;
mod socket;
mod statistics;

pub use disk::SyntheticDisk;
pub use error::Error;
pub use export::{Content, Export};
pub use link::Link;
pub use server::{Fault, Server, ServerOptions};
pub use socket::Socket;
pub use statistics::Statistics;
