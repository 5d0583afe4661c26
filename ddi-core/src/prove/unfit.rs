//! Content that does not bind the size of what is protected.

use core::fmt;
use std::sync::Arc;

use ddi_fs as files;

/// Why recognised content does not count.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Unfit {
    /// systemd does not mount this kind.
    NotMounted,
    /// Too few bytes of this kind are checked by anybody: a hash block can be made to look like it.
    EasilyForged,
    /// The superblock does not say how large it is, or says things that no kernel takes.
    Superblock,
    /// It ends before the data does, and what follows is not only zeros, or more than a block where nothing may follow.
    Smaller {
        /// What it claims, in bytes.
        claimed: u64,
        /// What there is, in bytes.
        available: u64,
    },
    /// This build has no reader for it, because this feature of `ddi-core` is off.
    NoReader {
        /// The feature.
        feature: &'static str,
    },
    /// Its root directory cannot be read.
    RootDirectory(Arc<files::Error>),
}

impl Unfit {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Unfit::NotMounted => "content-not-mountable",
            Unfit::EasilyForged => "content-easily-forged",
            Unfit::Superblock => "content-without-size",
            Unfit::Smaller { .. } => "content-too-small",
            Unfit::NoReader { .. } => "content-without-reader",
            Unfit::RootDirectory(_) => "content-unreadable",
        }
    }
}

/// What helps where it is no fault of the data that it does not count.
const VOUCH: &str = "; whoever knows how many bytes the root hash is over can vouch for that with --data-size, and then need not read it";

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::NotMounted => f.write_str("systemd does not mount it, and hash blocks could look like it"),
            Unfit::EasilyForged => write!(f, "hash blocks could look like it{VOUCH}"),
            Unfit::Superblock => f.write_str("its superblock does not bind the size of the data"),
            Unfit::Smaller { claimed, available } => {
                write!(f, "it ends after {claimed} bytes, and {available} are protected")
            }
            Unfit::NoReader { feature } => {
                write!(f, "there is no reader for it without the feature {feature}{VOUCH}")
            }
            Unfit::RootDirectory(error) => {
                write!(f, "its root directory cannot be read: {error}")?;
                // it may be as it should be, and is only beyond the reader
                match **error {
                    files::Error::Unsupported { .. } | files::Error::Features { .. } => f.write_str(VOUCH),
                    _ => Ok(()),
                }
            }
        }
    }
}
