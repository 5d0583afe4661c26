//! What keeps a server from serving.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What keeps a server from serving.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to serve.
    NoExport,
    /// Two exports have this name.
    DuplicateName(String),
    /// The name or the description of an export is longer than clients take; how many bytes it has.
    TooLong(usize),
    /// A preferred block size that is not a power of two from 512 to 32 MiB.
    BlockSize(u32),
    /// An address that other machines reach: there is no encryption, and no asking who is there.
    NotLoopback(SocketAddr),
    /// Another server answers on this socket.
    InUse(PathBuf),
    /// What is there is no socket.
    NotASocket(PathBuf),
    /// The partition table of the disk that is made up cannot be made.
    Table(ddi_gpt::Error),
    /// Its parts together have 2⁶⁴ bytes or more.
    TooLarge,
    /// The hash tree cannot be laid out anew.
    Tree(ddi_verity::Error),
    /// What is to be served cannot be opened.
    Image(ddi_core::Error),
    /// Nothing of the image is proven by a root hash that the caller trusts.
    NothingProven,
    /// Waiting for clients, a thread, or a socket failed.
    Io {
        /// What was tried.
        step: &'static str,
        /// Why not.
        error: io::Error,
    },
}

impl Error {
    pub(crate) fn io(step: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Error::Io { step, error }
    }

    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NoExport => "serve-no-export",
            Error::DuplicateName(_) => "serve-duplicate-name",
            Error::TooLong(_) => "serve-name-too-long",
            Error::BlockSize(_) => "serve-block-size",
            Error::NotLoopback(_) => "serve-not-loopback",
            Error::InUse(_) => "serve-socket-in-use",
            Error::NotASocket(_) => "serve-not-a-socket",
            Error::Table(_) => "serve-table",
            Error::TooLarge => "serve-too-large",
            Error::Tree(error) => error.code(),
            Error::Image(error) => error.code(),
            Error::NothingProven => "serve-nothing-proven",
            Error::Io { .. } => "io",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoExport => write!(f, "there is nothing to serve"),
            Error::DuplicateName(name) => write!(f, "two exports have the name {name:?}"),
            Error::TooLong(bytes) => {
                write!(f, "the name or description of an export has {bytes} bytes; at most 4096")
            }
            Error::BlockSize(size) => write!(f, "block size {size} is not a power of two from 512 to 32 MiB"),
            Error::NotLoopback(address) => {
                write!(f, "{address} can be reached from other machines, and there is no encryption")
            }
            Error::InUse(path) => write!(f, "{}: another server answers there", path.display()),
            Error::NotASocket(path) => write!(f, "{}: is there already, and is no socket", path.display()),
            Error::Table(error) => write!(f, "partition table: {error}"),
            Error::TooLarge => write!(f, "the parts of the disk are too large together"),
            Error::Tree(error) => error.fmt(f),
            Error::Image(error) => error.fmt(f),
            Error::NothingProven => {
                write!(f, "nothing in the image is proven by a root hash that is trusted")
            }
            Error::Io { step, error } => write!(f, "{step}: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Table(error) => Some(error),
            Error::Tree(error) => error.source(),
            Error::Image(error) => error.source(),
            Error::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
