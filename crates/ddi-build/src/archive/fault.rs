//! What can be wrong with a tar archive.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use ddi_gpt::Escaped;

/// What is wrong with a member of a tar archive.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArchiveFault {
    /// It does not begin with a header of a tar archive.
    NotAnArchive,
    /// It ends within a header, within contents, or without the block of zeros that ends an archive.
    Truncated,
    /// Something follows its end.
    Trailing,
    /// The checksum of a header is wrong.
    Checksum,
    /// A field is no number, or one that cannot be.
    Number {
        /// The field.
        field: &'static str,
    },
    /// An extended header is malformed.
    Extended {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A kind of member that is not known, or not supported.
    Kind {
        /// The letter that stands for it.
        letter: u8,
    },
    /// Only regular files have contents here: programs do not agree on how many bytes follow other members.
    Contents {
        /// How many bytes it claims.
        size: u64,
    },
    /// The map of a sparse file is malformed.
    Sparse {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A name, a target or the name of an attribute that cannot be.
    Name {
        /// What is wrong with it.
        what: &'static str,
    },
    /// Part of its name, or something of its name, is of another kind.
    Replaces {
        /// What is there already.
        there: Vec<u8>,
        /// What that is.
        kind: &'static str,
    },
    /// A hard link to what no member before it has as its name.
    NoTarget {
        /// The name.
        target: Vec<u8>,
    },
    /// A hard link to a directory.
    LinkToDirectory {
        /// Its name.
        target: Vec<u8>,
    },
    /// There is more of something than is taken.
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much is.
        max: u64,
    },
    /// It cannot be read.
    Io(io::Error),
}

impl From<io::Error> for ArchiveFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

/// A name as people see it.
pub(crate) fn shown(name: &[u8]) -> String {
    Escaped::new(&String::from_utf8_lossy(name)).to_string()
}

impl fmt::Display for ArchiveFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArchive => f.write_str("is no tar archive"),
            Self::Truncated => f.write_str("ends early"),
            Self::Trailing => f.write_str("something follows the end of the archive"),
            Self::Checksum => f.write_str("the checksum of the header is wrong"),
            Self::Number { field } => write!(f, "{field} is no number that can be"),
            Self::Extended { what } => write!(f, "extended header: {what}"),
            Self::Kind { letter } => {
                write!(f, "members of kind '{}' are not supported", char::from(*letter).escape_default())
            }
            Self::Contents { size } => write!(f, "is no regular file, and claims {size} bytes of contents"),
            Self::Sparse { what } => write!(f, "sparse file: {what}"),
            Self::Name { what } => f.write_str(what),
            Self::Replaces { there, kind } => write!(f, "{} is a {kind} already", shown(there)),
            Self::NoTarget { target } => {
                write!(f, "is a hard link to {}, which is not there before it", shown(target))
            }
            Self::LinkToDirectory { target } => {
                write!(f, "is a hard link to {}, a directory", shown(target))
            }
            Self::TooMuch { what, max } => write!(f, "more than {max} {what}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl StdError for ArchiveFault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}
