//! Why a file cannot be read.

use std::{fmt, io};

use crate::probe::FsKind;

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The source failed. A mismatch with a root hash arrives here too, as [`io::ErrorKind::InvalidData`].
    Io {
        /// Where the read began, in bytes from the start of the file system.
        offset: u64,
        /// What the source reported.
        source: io::Error,
    },
    /// The file system breaks its own rules.
    Corrupt {
        /// What is wrong.
        what: &'static str,
        /// Where: a byte from the start of the file system, or for compressed metadata that of its block.
        offset: u64,
    },
    /// The file system may be fine; this reader does not know how.
    Unsupported {
        /// What for.
        what: &'static str,
    },
    /// Feature bits that this reader does not know.
    Features {
        /// The field of the superblock.
        field: &'static str,
        /// The unknown bits in it.
        bits: u64,
    },
    /// No reader for this kind of file system is built in.
    NoReader {
        /// The kind.
        kind: FsKind,
    },
    /// There is no such file.
    NotFound,
    /// A directory is needed, and this is none.
    NotADirectory,
    /// A regular file is needed, and this is none.
    NotAFile,
    /// A symbolic link is needed, and this is none.
    NotALink,
    /// More symbolic links on the way than are followed.
    LinkLoop,
    /// A directory that is inside itself, or is reached twice.
    DirectoryLoop,
    /// Too much to go through.
    Budget(Limit),
    /// More bytes than the caller wants in memory.
    TooLarge {
        /// The size that the image claims.
        size: u64,
        /// The most that is taken.
        limit: u64,
    },
}

/// The limit of a [`Budget`](super::Budget) that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Number of files seen.
    Entries,
    /// Names held in memory.
    Names,
    /// Names looked through on the way to one file.
    Lookup,
    /// Directories inside directories.
    Depth,
    /// Bytes of content read.
    Bytes,
    /// Time passed.
    Time,
    /// All work that the account of the image has: see [`Meter`](super::Meter).
    Work,
}

/// What a bit that is not read is called by those who made it; the first of several.
fn feature(field: &str, bits: u64) -> Option<&'static str> {
    const NAMES: [(&str, u64, &str); 9] = [
        ("s_feature_incompat", 0x1, "compression"),
        ("s_feature_incompat", 0x8, "journal_dev"),
        ("s_feature_incompat", 0x1000, "dirdata"),
        ("incompat_flags", 0x1000, "zoned"),
        ("incompat_flags", 0x2000, "extent-tree-v2"),
        ("incompat_flags", 0x4000, "raid-stripe-tree"),
        ("sb_features_incompat", 0x100, "metadir"),
        ("sb_features_incompat", 0x200, "zoned"),
        ("sb_features_incompat", 0x400, "zone gaps"),
    ];
    NAMES.iter().find(|(of, bit, _)| *of == field && bits & bit != 0).map(|(.., name)| *name)
}

impl Error {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => "mismatch",
            Error::Io { .. } => "io",
            Error::Corrupt { .. } => "corrupt-file-system",
            Error::Unsupported { .. } => "unsupported-file-system-feature",
            Error::Features { .. } => "unknown-file-system-features",
            Error::NoReader { .. } => "no-reader",
            Error::NotFound => "not-found",
            Error::NotADirectory => "not-a-directory",
            Error::NotAFile => "not-a-file",
            Error::NotALink => "not-a-link",
            Error::LinkLoop => "link-loop",
            Error::DirectoryLoop => "directory-loop",
            Error::Budget(Limit::Entries) => "too-many-entries",
            Error::Budget(Limit::Names) => "too-many-names",
            Error::Budget(Limit::Lookup) => "too-far",
            Error::Budget(Limit::Depth) => "too-deep",
            Error::Budget(Limit::Bytes) => "too-many-bytes",
            Error::Budget(Limit::Time) => "too-long",
            Error::Budget(Limit::Work) => "too-much-work",
            Error::TooLarge { .. } => "too-large",
        }
    }

    /// Returns true if it says that the path leads nowhere, in a file system that is fine.
    pub fn is_absent(&self) -> bool {
        matches!(self, Error::NotFound | Error::NotADirectory | Error::LinkLoop)
    }

    pub(super) fn corrupt(what: &'static str, offset: u64) -> Self {
        Error::Corrupt { what, offset }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { offset, source } => write!(f, "reading at byte {offset}: {source}"),
            Error::Corrupt { what, offset } => write!(f, "corrupt {what} at byte {offset}"),
            Error::Unsupported { what } => write!(f, "unsupported: {what}"),
            Error::Features { field, bits } => match feature(field, *bits) {
                Some(name) => write!(f, "unsupported: {name} (bits {bits:#x} in {field})"),
                None => write!(f, "unsupported: unknown bits {bits:#x} in {field}"),
            },
            Error::NoReader { kind } => write!(f, "no reader for {kind}"),
            Error::NotFound => f.write_str("no such file"),
            Error::NotADirectory => f.write_str("not a directory"),
            Error::NotAFile => f.write_str("not a regular file"),
            Error::NotALink => f.write_str("not a symbolic link"),
            Error::LinkLoop => f.write_str("too many symbolic links"),
            Error::DirectoryLoop => f.write_str("a directory is reached twice"),
            Error::Budget(Limit::Entries) => f.write_str("too many files"),
            Error::Budget(Limit::Names) => f.write_str("too many names in one directory"),
            Error::Budget(Limit::Lookup) => f.write_str("too many names to look through on the way there"),
            Error::Budget(Limit::Depth) => f.write_str("too many directories inside each other"),
            Error::Budget(Limit::Bytes) => f.write_str("too many bytes to read"),
            Error::Budget(Limit::Time) => f.write_str("could not look at everything: out of time"),
            Error::Budget(Limit::Work) => {
                f.write_str("could not look at everything: more work than any image of this size may ask for")
            }
            Error::TooLarge { size, limit } => write!(f, "{size} bytes, at most {limit} are taken"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f8_features_have_their_names() {
        let text = |field, bits| Error::Features { field, bits }.to_string();
        assert_eq!(
            text("sb_features_incompat", 0x100),
            "unsupported: metadir (bits 0x100 in sb_features_incompat)"
        );
        assert_eq!(
            text("incompat_flags", 0x4000),
            "unsupported: raid-stripe-tree (bits 0x4000 in incompat_flags)"
        );
        assert_eq!(
            text("s_feature_incompat", 1 << 30),
            "unsupported: unknown bits 0x40000000 in s_feature_incompat"
        );
    }
}
