//! Why a source could not be probed.

use std::{fmt, io};

use super::FsKind;

/// Why [`probe`](super::probe) has no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// More than one superblock, and none that hides the others: two readers may see two file systems.
    Ambiguous {
        /// All of them, in the order of search; two or more.
        candidates: Box<[Candidate]>,
    },
    /// The source could not be read.
    Io {
        /// Where the read began.
        offset: u64,
        /// What the source reported.
        source: io::Error,
    },
}

/// One of several superblocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its kind.
    pub kind: FsKind,
    /// Where its magic is, in bytes from the start of the source.
    pub offset: u64,
}

impl Error {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Ambiguous { .. } => "ambiguous-file-system",
            Error::Io { .. } => "io",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Ambiguous { candidates } => {
                write!(f, "ambiguous superblocks:")?;
                for (i, Candidate { kind, offset }) in candidates.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma} {kind} (magic at byte {offset})")?;
                }
                Ok(())
            }
            Error::Io { offset, source } => write!(f, "cannot read at byte {offset}: {source}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::Ambiguous { .. } => None,
        }
    }
}
