//! Why something is not extracted.

use std::fmt;
use std::io;
use std::path::PathBuf;

use ddi_fs::{Error as FileError, FileType};

use super::LeftOut;
use crate::error::ErrorKind;
use crate::mount::ReadError;
use crate::shown_name::ShownName;
use crate::trust::Assurance;

/// Why files are not extracted. Paths are those in the image.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExtractError {
    /// A file cannot be read, or may not be told.
    Read {
        /// Which one.
        path: Vec<u8>,
        /// Why.
        error: ReadError,
    },
    /// The image has a file as there can be none.
    Impossible {
        /// Which one.
        path: Vec<u8>,
        /// What about it.
        what: &'static str,
    },
    /// What was asked for is not made.
    LeftOut {
        /// Which one.
        path: Vec<u8>,
        /// What it is.
        file_type: FileType,
        /// Why not.
        why: LeftOut,
    },
    /// There cannot be anything new at the destination.
    Destination {
        /// Where to.
        path: PathBuf,
        /// Why not.
        fault: DestinationFault,
    },
    /// Something cannot be written.
    Write {
        /// The file, if it was for one.
        path: Option<Vec<u8>>,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// The stream takes no more.
    Stream(io::Error),
}

/// Why there cannot be anything new at a destination.
#[derive(Debug)]
#[non_exhaustive]
pub enum DestinationFault {
    /// The path does not end with a name.
    Unnamed,
    /// Something is there already.
    Exists,
    /// It cannot be looked at.
    Io(io::Error),
    /// Its folder cannot be opened.
    Parent(io::Error),
}

impl ExtractError {
    pub(super) fn read(path: Vec<u8>, error: FileError) -> Self {
        ExtractError::Read { path, error: ReadError::File(error) }
    }

    pub(super) fn write(
        path: impl Into<Option<Vec<u8>>>,
        action: &'static str,
        error: impl Into<io::Error>,
    ) -> Self {
        ExtractError::Write { path: path.into(), action, error: error.into() }
    }

    /// What sort of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ExtractError::Read { error: ReadError::NotProven { .. }, .. } => ErrorKind::Mismatch,
            ExtractError::Read { error: ReadError::File(error), .. } => match error {
                FileError::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                    ErrorKind::Mismatch
                }
                FileError::Io { .. } => ErrorKind::Io,
                FileError::Corrupt { .. } | FileError::DirectoryLoop => ErrorKind::Corrupt,
                error if error.is_absent() => ErrorKind::Usage,
                _ => ErrorKind::Unsupported,
            },
            ExtractError::Impossible { .. } => ErrorKind::Corrupt,
            ExtractError::LeftOut { .. } => ErrorKind::Usage,
            ExtractError::Destination { fault, .. } => match fault {
                DestinationFault::Unnamed | DestinationFault::Exists => ErrorKind::Usage,
                DestinationFault::Io(_) | DestinationFault::Parent(_) => ErrorKind::Io,
            },
            ExtractError::Write { .. } | ExtractError::Stream(_) => ErrorKind::Io,
        }
    }

    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            ExtractError::Read { error, .. } => error.code(),
            ExtractError::Impossible { .. } => "corrupt-file-system",
            ExtractError::LeftOut { why, .. } => match why {
                LeftOut::NotPreserved => "extract-not-preserved",
                LeftOut::NotRoot => "extract-not-root",
                LeftOut::NotInTar => "extract-not-in-tar",
            },
            ExtractError::Destination { fault, .. } => match fault {
                DestinationFault::Unnamed => "extract-unnamed",
                DestinationFault::Exists => "extract-exists",
                DestinationFault::Io(_) | DestinationFault::Parent(_) => "io",
            },
            ExtractError::Write { .. } | ExtractError::Stream(_) => "io",
        }
    }

    /// How far the file system can be relied upon that was not good enough, if that is why.
    pub fn not_proven(&self) -> Option<Assurance> {
        match self {
            ExtractError::Read { error: ReadError::NotProven { assurance, .. }, .. } => Some(*assurance),
            _ => None,
        }
    }
}

impl fmt::Display for ExtractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // it is about a file system, and the path of the file no matter
            ExtractError::Read { error: error @ ReadError::NotProven { .. }, .. } => error.fmt(f),
            ExtractError::Read { path, error } => write!(f, "{}: {error}", ShownName(path)),
            ExtractError::Impossible { path, what } => write!(f, "{}: {what}", ShownName(path)),
            ExtractError::LeftOut { path, file_type, why } => {
                write!(f, "{}: a {} {why}", ShownName(path), file_type.words())
            }
            ExtractError::Destination { path, fault } => match fault {
                DestinationFault::Unnamed => write!(f, "say where to: {path:?} is no name of a new file"),
                DestinationFault::Exists => write!(f, "{} is there already", path.display()),
                DestinationFault::Io(error) => write!(f, "{}: {error}", path.display()),
                DestinationFault::Parent(error) => {
                    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                    write!(f, "{}: {error}", parent.unwrap_or(".".as_ref()).display())
                }
            },
            ExtractError::Write { path: Some(path), action, error } => {
                write!(f, "{}: {action}: {error}", ShownName(path))
            }
            ExtractError::Write { path: None, action, error } => write!(f, "{action}: {error}"),
            ExtractError::Stream(error) => write!(f, "cannot write the stream: {error}"),
        }
    }
}

impl core::error::Error for ExtractError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            ExtractError::Read { error, .. } => Some(error),
            ExtractError::Write { error, .. } | ExtractError::Stream(error) => Some(error),
            ExtractError::Destination {
                fault: DestinationFault::Io(error) | DestinationFault::Parent(error),
                ..
            } => Some(error),
            ExtractError::Impossible { .. }
            | ExtractError::LeftOut { .. }
            | ExtractError::Destination { .. } => None,
        }
    }
}
