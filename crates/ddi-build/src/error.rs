//! What can go wrong, and where.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddi_gpt::{Escaped, Guid};
use ddi_io::UnpackError;
use ddi_signature::sign::SignError;

use crate::archive::ArchiveFault;
use crate::bake::BakeFault;
use crate::specifiers::SpecifierFault;

/// A line of a definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1; 0 stands for the file as a whole.
    pub line: usize,
}

impl Place {
    /// A file as a whole.
    pub(crate) fn whole(file: impl AsRef<Path>) -> Self {
        Self { file: file.as_ref().into(), line: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped::new(&self.file.to_string_lossy()))?;
        match self.line {
            0 => Ok(()),
            line => write!(f, ":{line}"),
        }
    }
}

/// What is wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A definition cannot be used.
    Definition {
        /// Where it says so.
        place: Place,
        /// What is wrong there.
        fault: DefinitionFault,
    },
    /// A file or folder of definitions, or the source of a partition, cannot be read.
    Read {
        /// Its path.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// There are more of these than are looked at.
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many are taken.
        max: usize,
    },
    /// The definitions and the disk do not go together.
    Plan(PlanFault),
    /// What goes into a file system cannot be had.
    Source {
        /// Who wants it.
        place: Place,
        /// Its path.
        path: PathBuf,
        /// Why not.
        fault: SourceFault,
    },
    /// A tar archive is malformed, or leads where it must not.
    Archive {
        /// Its path.
        path: PathBuf,
        /// The member, as far as its name is known.
        name: Vec<u8>,
        /// Where its header is, in bytes of the archive, unpacked.
        offset: u64,
        /// What is wrong.
        fault: ArchiveFault,
    },
    /// A stream or compressed file could not be unpacked.
    Unpack {
        /// Its path.
        path: PathBuf,
        /// Why not.
        error: Box<UnpackError>,
    },
    /// There is no extension or portable image to be made of these files.
    Bake {
        /// The files, or the image.
        path: PathBuf,
        /// Why not.
        fault: BakeFault,
    },
    /// A source changed while it was read.
    Changed {
        /// Its path.
        path: PathBuf,
        /// How.
        fault: SourceFault,
    },
    /// A program that makes file systems did not.
    Tool {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        fault: ToolFault,
    },
    /// A file system is larger than its partition.
    FileSystemDoesNotFit {
        /// Whose it is.
        place: Place,
        /// Its bytes.
        size: u64,
        /// Those of the partition.
        room: u64,
    },
    /// The image, or a file beside it, cannot be written.
    Write {
        /// Its path.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The image would be written over what it is made of.
    OutputIsSource {
        /// The path of both.
        path: PathBuf,
    },
    /// A hash tree cannot be made.
    Verity(ddi_verity::Error),
    /// A root hash was to be signed, and nobody is there who could.
    NoSigner {
        /// Who wants it.
        place: Place,
    },
    /// Whoever was to sign did not, or not well.
    Sign(SignError),
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for contradicts itself, or is not what the format allows.
    Definition,
    /// It is well-formed, and this crate does not do it.
    Unsupported,
    /// There is no room for it, or the disk is not one for it.
    Plan,
    /// A file that is read is not what it should be.
    Format,
    /// Reading or writing failed.
    Io,
    /// A program of others is missing or failed.
    Tool,
    /// Signing failed.
    Signature,
}

impl Error {
    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Definition { fault: DefinitionFault::Unsupported { .. }, .. } => ErrorKind::Unsupported,
            Self::Definition { .. } | Self::TooMany { .. } => ErrorKind::Definition,
            Self::Archive { fault: ArchiveFault::Io(_), .. }
            | Self::Source { fault: SourceFault::Io(_), .. }
            | Self::Changed { .. }
            | Self::Read { .. }
            | Self::Write { .. } => ErrorKind::Io,
            Self::Unpack { error, .. } => match **error {
                UnpackError::Read { .. } | UnpackError::Write { .. } | UnpackError::NoRoom { .. } => {
                    ErrorKind::Io
                }
                _ => ErrorKind::Format,
            },
            Self::Archive { .. } => ErrorKind::Format,
            Self::Bake { .. } => ErrorKind::Definition,
            Self::Source { .. } => ErrorKind::Definition,
            Self::Plan(_)
            | Self::FileSystemDoesNotFit { .. }
            | Self::OutputIsSource { .. }
            | Self::NoSigner { .. } => ErrorKind::Plan,
            Self::Tool { .. } => ErrorKind::Tool,
            Self::Verity(ddi_verity::Error::Io { .. }) => ErrorKind::Io,
            Self::Verity(_) => ErrorKind::Plan,
            Self::Sign(_) => ErrorKind::Signature,
        }
    }

    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Definition { fault: DefinitionFault::Unsupported { .. }, .. } => "definition-unsupported",
            Self::Definition { .. } => "definition-invalid",
            Self::TooMany { .. } => "definitions-too-many",
            Self::Plan(_) => "plan-impossible",
            Self::Archive { fault: ArchiveFault::Io(_), .. }
            | Self::Source { fault: SourceFault::Io(_), .. }
            | Self::Changed { fault: SourceFault::Io(_), .. }
            | Self::Read { .. }
            | Self::Write { .. } => "io",
            Self::Archive { .. } => "archive-invalid",
            Self::Bake { .. } => "bake-unfit",
            Self::Unpack { error, .. } => match **error {
                UnpackError::Read { .. } | UnpackError::Write { .. } | UnpackError::NoRoom { .. } => "io",
                _ => "unpack",
            },
            Self::Source { .. } => "source-unfit",
            Self::Changed { .. } => "source-changed",
            Self::Tool { fault, .. } => match fault {
                ToolFault::Missing { .. } => "tool-missing",
                ToolFault::TooOld { .. } => "tool-too-old",
                ToolFault::Run { .. } | ToolFault::Failed { .. } => "tool-failed",
                ToolFault::Nonsense { .. } => "tool-nonsense",
            },
            Self::FileSystemDoesNotFit { .. } => "file-system-does-not-fit",
            Self::OutputIsSource { .. } => "output-is-source",
            Self::Verity(error) => error.code(),
            Self::NoSigner { .. } => "no-signer",
            Self::Sign(error) => error.code(),
        }
    }

    /// The line of a definition that it is about.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Definition { place, .. }
            | Self::Source { place, .. }
            | Self::FileSystemDoesNotFit { place, .. }
            | Self::NoSigner { place }
            | Self::Plan(
                PlanFault::ContentSize { place, .. }
                | PlanFault::UnknownSize { place }
                | PlanFault::HalfOfATree { place }
                | PlanFault::LessThanABlock { place, .. }
                | PlanFault::TreeDoesNotFit { place, .. }
                | PlanFault::SplitName { place, .. },
            ) => Some(place),
            _ => None,
        }
    }

    pub(crate) fn at(place: &Place, fault: DefinitionFault) -> Self {
        Self::Definition { place: place.clone(), fault }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Definition { place, fault } => write!(f, "{place}: {fault}"),
            Self::Read { path, error } => write!(f, "{}: {error}", Escaped::new(&path.to_string_lossy())),
            Self::TooMany { what, max } => write!(f, "more than {max} {what}"),
            Self::Plan(fault) => fault.fmt(f),
            Self::Source { place, path, fault } => {
                write!(f, "{place}: {}: {fault}", Escaped::new(&path.to_string_lossy()))
            }
            Self::Changed { path, fault } => write!(f, "{}: {fault}", Escaped::new(&path.to_string_lossy())),
            Self::Archive { path, name, offset, fault } => {
                write!(f, "{}: ", Escaped::new(&path.to_string_lossy()))?;
                match &**name {
                    b"" => write!(f, "at byte {offset}: {fault}"),
                    name => write!(f, "{}, at byte {offset}: {fault}", crate::archive::shown(name)),
                }
            }
            Self::Bake { path, fault } => write!(f, "{}: {fault}", Escaped::new(&path.to_string_lossy())),
            Self::Unpack { path, error } => {
                write!(f, "{}: {error}", Escaped::new(&path.to_string_lossy()))
            }
            Self::Tool { name, fault } => write!(f, "{name}: {fault}"),
            Self::FileSystemDoesNotFit { place, size, room } => {
                write!(f, "{place}: the file system has {size} bytes, and its partition {room}")
            }
            Self::Write { path, error } => write!(f, "{}: {error}", Escaped::new(&path.to_string_lossy())),
            Self::OutputIsSource { path } => {
                write!(f, "{}: is what the image is made of", Escaped::new(&path.to_string_lossy()))
            }
            Self::Verity(error) => write!(f, "hash tree: {error}"),
            Self::NoSigner { place } => write!(f, "{place}: a signature needs a key and a certificate"),
            Self::Sign(error) => write!(f, "signing: {error}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Read { error, .. }
            | Self::Write { error, .. }
            | Self::Source { fault: SourceFault::Io(error), .. }
            | Self::Changed { fault: SourceFault::Io(error), .. }
            | Self::Tool { fault: ToolFault::Run { error }, .. } => Some(error),
            Self::Archive { fault, .. } => Some(fault),
            Self::Unpack { error, .. } => Some(error),
            Self::Verity(error) => Some(error),
            Self::Sign(error) => Some(error),
            _ => None,
        }
    }
}

impl From<PlanFault> for Error {
    fn from(fault: PlanFault) -> Self {
        Self::Plan(fault)
    }
}

/// Why a file cannot go into a file system.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceFault {
    /// It cannot be read.
    Io(io::Error),
    /// Something else has its path there already.
    Exists,
    /// Part of its path is no directory.
    NotADirectory,
    /// Its path is too long.
    PathTooLong,
    /// Its path leads over too many links.
    TooManyLinks,
    /// There are more files than can be.
    TooManyFiles,
    /// It is neither a regular file nor a block device.
    NotBlocks,
    /// It became smaller while it was read.
    Shrank,
    /// It became larger while it was read.
    Grew,
    /// It was written to while it was read.
    Rewritten,
    /// This file system has no such files.
    Kind {
        /// What kind.
        kind: &'static str,
    },
}

/// What is wrong with a program of others.
#[derive(Debug)]
#[non_exhaustive]
pub enum ToolFault {
    /// It is not there.
    Missing {
        /// The Debian package that has it.
        package: &'static str,
    },
    /// It is too old.
    TooOld {
        /// As it says itself.
        version: String,
        /// What would do.
        needed: &'static str,
    },
    /// It cannot be run, or fed.
    Run {
        /// Why not.
        error: io::Error,
    },
    /// It ended with a failure.
    Failed {
        /// How.
        status: String,
        /// What it said.
        messages: String,
    },
    /// It said that all is well, and what it made is not.
    Nonsense {
        /// What is wrong with it.
        what: &'static str,
    },
}

impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Exists => f.write_str("something else is there already"),
            Self::NotADirectory => f.write_str("leads over something that is no directory"),
            Self::PathTooLong => f.write_str("has too long a path"),
            Self::TooManyLinks => f.write_str("leads over too many links"),
            Self::TooManyFiles => f.write_str("holds too many files"),
            Self::NotBlocks => f.write_str("is neither a regular file nor a block device"),
            Self::Shrank => f.write_str("became smaller while it was read"),
            Self::Grew => f.write_str("became larger while it was read"),
            Self::Rewritten => f.write_str("was written to while it was read"),
            Self::Kind { kind } => write!(f, "is a {kind}, which this file system cannot hold"),
        }
    }
}

impl fmt::Display for ToolFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { package } => write!(f, "is not there: install the package {package}"),
            Self::TooOld { version, needed } => {
                write!(f, "{} is too old: {needed} is needed", Escaped::new(version))
            }
            Self::Run { error } => error.fmt(f),
            Self::Failed { status, messages } if messages.is_empty() => write!(f, "{status}"),
            Self::Failed { status, messages } => write!(f, "{status}: {}", Escaped::new(messages)),
            Self::Nonsense { what } => f.write_str(what),
        }
    }
}

/// What is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefinitionFault {
    /// The file is not UTF-8.
    NotUtf8 {
        /// The first byte that is not.
        offset: usize,
    },
    /// It is neither a file nor a link to `/dev/null`.
    NotAFile,
    /// It has more bytes than are read.
    TooLarge {
        /// How many are.
        max: u64,
    },
    /// A line is neither a section, a setting nor a comment.
    NotASetting,
    /// A setting comes before the section.
    NoSection,
    /// A section other than `[Partition]`.
    UnknownSection {
        /// Its name.
        name: String,
    },
    /// No version of systemd-repart that is known here has this key.
    UnknownKey {
        /// Its name.
        key: String,
    },
    /// systemd-repart has it; this crate does not do it.
    Unsupported {
        /// The key.
        key: &'static str,
        /// What of it, if not all.
        value: Option<String>,
    },
    /// The value is none for this key.
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        fault: ValueFault,
    },
    /// There is no `Type=`.
    NoType,
    /// A least size is over the greatest.
    MinOverMax {
        /// The key of the least size.
        key: &'static str,
        /// The least size, rounded.
        min: u64,
        /// The greatest size, rounded.
        max: u64,
    },
    /// Two settings exclude each other.
    Contradiction {
        /// One.
        key: &'static str,
        /// The other.
        with: &'static str,
    },
    /// A setting makes sense only with another one.
    Without {
        /// The setting.
        key: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// Not exactly one definition of the set with this match key has this role.
    VeritySet {
        /// The match key.
        match_key: String,
        /// `data`, `hash` or `signature`.
        role: &'static str,
        /// How many have it.
        count: usize,
    },
    /// Definitions under one match key have different priorities.
    SiblingPriority {
        /// The match key.
        match_key: String,
    },
    /// There is no definition that this one could supplement.
    NoSuchDefinition {
        /// The name it gives.
        name: String,
    },
    /// What it would supplement is a supplement itself, or has one already.
    SupplementTarget {
        /// The name it gives.
        name: String,
    },
    /// The file system had to be made with the files of both, and there is no room for that.
    SupplementApart,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueFault {
    /// No size, such as `10M`.
    NotASize,
    /// More than 64 bits.
    TooLarge,
    /// Neither yes nor no.
    NotABoolean,
    /// No number.
    NotANumber,
    /// Not within these bounds.
    OutOfRange {
        /// The least that is.
        min: i64,
        /// The greatest that is.
        max: i64,
    },
    /// No block size: a power of two from 512 to 4096.
    NotABlockSize,
    /// No partition type.
    UnknownType,
    /// No UUID.
    NotAUuid,
    /// Over 36 UTF-16 units, or with a NUL.
    NotALabel,
    /// No absolute path without `.` and `..`.
    NotAPath,
    /// None of the words that are known here.
    UnknownWord,
    /// Quotes or escapes that do not end.
    Quoting,
    /// Empty.
    Empty,
    /// No name of a file in a folder.
    NotAFileName,
    /// A specifier that cannot be replaced.
    Specifier(SpecifierFault),
}

impl fmt::Display for DefinitionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { offset } => write!(f, "is not UTF-8 from byte {offset} on"),
            Self::NotAFile => f.write_str("is neither a file nor a link to /dev/null"),
            Self::TooLarge { max } => write!(f, "has more than {max} bytes"),
            Self::NotASetting => f.write_str("is neither a section nor a setting"),
            Self::NoSection => f.write_str("a setting before [Partition]"),
            Self::UnknownSection { name } => write!(f, "unknown section [{}]", Escaped::new(name)),
            Self::UnknownKey { key } => write!(f, "unknown key {}=", Escaped::new(key)),
            Self::Unsupported { key, value: None } => write!(f, "{key}= is not supported"),
            Self::Unsupported { key, value: Some(value) } => {
                write!(f, "{key}={} is not supported", Escaped::new(value))
            }
            Self::Value { key, value, fault } => write!(f, "{key}={}: {fault}", Escaped::new(value)),
            Self::NoType => f.write_str("no Type="),
            Self::MinOverMax { key, min, max } => write!(f, "{key}= is {min}, over the greatest, {max}"),
            Self::Contradiction { key, with } => write!(f, "{key} and {with} exclude each other"),
            Self::Without { key, needs } => write!(f, "{key} needs {needs}"),
            Self::VeritySet { match_key, role, count: 0 } => {
                write!(f, "VerityMatchKey={}: no definition has Verity={role}", Escaped::new(match_key))
            }
            Self::VeritySet { match_key, role, count } => {
                write!(
                    f,
                    "VerityMatchKey={}: {count} definitions have Verity={role}",
                    Escaped::new(match_key)
                )
            }
            Self::SiblingPriority { match_key } => {
                write!(f, "VerityMatchKey={}: the definitions differ in Priority=", Escaped::new(match_key))
            }
            Self::NoSuchDefinition { name } => {
                write!(f, "SupplementFor={}: there is no such definition", Escaped::new(name))
            }
            Self::SupplementTarget { name } => {
                write!(
                    f,
                    "SupplementFor={}: that is a supplement itself, or has one already",
                    Escaped::new(name)
                )
            }
            Self::SupplementApart => {
                write!(f, "Minimize= of a file system with a supplement that there is no room for")
            }
        }
    }
}

impl StdError for ValueFault {}

impl fmt::Display for ValueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASize => f.write_str("is no size"),
            Self::TooLarge => f.write_str("is over 2^64 - 1"),
            Self::NotABoolean => f.write_str("is neither yes nor no"),
            Self::NotANumber => f.write_str("is no number"),
            Self::OutOfRange { min, max } => write!(f, "is not within {min} to {max}"),
            Self::NotABlockSize => f.write_str("is no power of two from 512 to 4096"),
            Self::UnknownType => f.write_str("is no partition type"),
            Self::NotAUuid => f.write_str("is no UUID"),
            Self::NotALabel => f.write_str("is over 36 UTF-16 units, or has a NUL"),
            Self::NotAPath => f.write_str("is no absolute path without . and .."),
            Self::UnknownWord => f.write_str("is none of the values that are known"),
            Self::Quoting => f.write_str("has a quote or an escape that does not end"),
            Self::Empty => f.write_str("is empty"),
            Self::NotAFileName => f.write_str("is no name of a file in one folder"),
            Self::Specifier(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for SpecifierFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(letter) => write!(f, "unknown specifier %{}", letter.escape_default()),
            Self::OfThisMachine(letter) => {
                write!(f, "%{letter} is of the machine that builds, and would make another image elsewhere")
            }
            Self::TooLong => f.write_str("is too long with its specifiers replaced"),
        }
    }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanFault {
    /// The disk has no partition table, and was to have one.
    NoTable,
    /// The disk has a partition table, and was to have none.
    HasTable,
    /// The disk has no room for a table.
    TooSmall {
        /// Its size.
        size: u64,
        /// The least size with a table.
        needed: u64,
    },
    /// More bytes than an image can have.
    TooLarge {
        /// How many.
        size: u64,
    },
    /// Something does not fit, and nothing is left that could be dropped for it.
    NoRoom {
        /// Bytes of the largest free area.
        largest: u64,
        /// Bytes of a new disk that would do.
        needed: u64,
        /// Bytes of the disk.
        size: u64,
        /// How many definitions were dropped before.
        dropped: usize,
    },
    /// The table has not so many entries.
    TooManyPartitions {
        /// How many partitions there would be.
        count: usize,
        /// How many entries there are.
        entries: u32,
    },
    /// A source is empty, or does not end with a sector of 512 bytes.
    ContentSize {
        /// Who wants it.
        place: Place,
        /// Its bytes.
        size: u64,
    },
    /// Nobody said how large a source is.
    UnknownSize {
        /// Who wants it.
        place: Place,
    },
    /// Data under a hash tree is less than one of its blocks.
    LessThanABlock {
        /// Who wants it.
        place: Place,
        /// Bytes of the data.
        size: u64,
        /// Bytes of a block.
        block_size: u32,
    },
    /// A hash tree is larger than the partition for it.
    TreeDoesNotFit {
        /// Whose partition it is.
        place: Place,
        /// Bytes of the tree.
        needed: u64,
        /// Bytes of the partition.
        size: u64,
    },
    /// There can be no such hash tree.
    Verity(String),
    /// A partition's name as a file is none.
    SplitName {
        /// Who wants it.
        place: Place,
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: ValueFault,
    },
    /// Two partitions have one name as files.
    SplitClash {
        /// One.
        first: Place,
        /// The other.
        second: Place,
        /// The name.
        name: String,
    },
    /// Of data and their hash tree one is there and the other is to be made.
    HalfOfATree {
        /// Who wants it.
        place: Place,
    },
    /// GUIDs have still to follow from root hashes.
    Unfinished,
    /// There can be no such table.
    Table(ddi_gpt::Error),
    /// Two partitions have one GUID.
    GuidTwice {
        /// The GUID.
        guid: Guid,
    },
}

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => f.write_str("the disk has no partition table"),
            Self::HasTable => f.write_str("the disk has a partition table"),
            Self::TooSmall { size, needed } => {
                write!(f, "a disk of {size} bytes has no room for a partition table, which needs {needed}")
            }
            Self::TooLarge { size } => write!(f, "{size} bytes are more than an image can have"),
            Self::NoRoom { largest, needed, size, dropped } => {
                write!(
                    f,
                    "the partitions do not fit: the largest free area of the {size} bytes has {largest}"
                )?;
                write!(f, "; a new disk of {needed} bytes would do")?;
                match dropped {
                    0 => Ok(()),
                    1 => f.write_str(", without the one that was dropped"),
                    more => write!(f, ", without the {more} that were dropped"),
                }
            }
            Self::TooManyPartitions { count, entries } => {
                write!(f, "{count} partitions, and the table has {entries} entries")
            }
            Self::ContentSize { place, size: 0 } => write!(f, "{place}: the source is empty"),
            Self::ContentSize { place, size } => {
                write!(f, "{place}: the source has {size} bytes, which is no multiple of 512")
            }
            Self::UnknownSize { place } => write!(f, "{place}: the size of the source is not known"),
            Self::LessThanABlock { place, size, block_size } => {
                write!(f, "{place}: {size} bytes are less than a block of the hash tree, {block_size}")
            }
            Self::TreeDoesNotFit { place, needed, size } => {
                write!(f, "{place}: the hash tree has {needed} bytes, and its partition {size}")
            }
            Self::Verity(error) => write!(f, "hash tree: {error}"),
            Self::SplitName { place, name, fault } => {
                write!(f, "{place}: the file name {} {fault}", Escaped::new(name))
            }
            Self::SplitClash { first, second, name } => {
                write!(f, "{first} and {second} have the same file name {}", Escaped::new(name))
            }
            Self::HalfOfATree { place } => {
                write!(f, "{place}: of the data and their hash tree one is there already, the other is not")
            }
            Self::Unfinished => f.write_str("GUIDs have still to follow from root hashes"),
            Self::Table(error) => error.fmt(f),
            Self::GuidTwice { guid } => write!(f, "two partitions have the GUID {guid}"),
        }
    }
}
