//! What can keep us from an answer, or is the answer: whose rule it is, [`Error::authority`] says.

use core::fmt;
use std::io;
use std::sync::Arc;

use ddi_gpt::{Architecture, Designator};
use ddi_verity::{HashType, Params, RootHash};

use crate::image::mbr;
use crate::policy::Violation;
use crate::prove::unfit::Unfit;
use crate::severity::Authority;
use crate::sidecar::Sidecar;
use crate::trust::{KnownRootHash, Role};
use ddi_fs::{FsKind, probe as fs};
use ddi_io::{Container, UnpackError};
use ddi_signature::SignatureError;

/// What a caller does about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The image breaks a specification.
    Corrupt,
    /// The image may be fine; it is not one that can be used in this way.
    Unsupported,
    /// The image is well formed and not what was asked for, or forbidden by policy.
    Mismatch,
    /// A source failed.
    Io,
    /// The call makes no sense.
    Usage,
}

/// What was being done when something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Opening the image.
    Open,
    /// Reading the partition table.
    Table,
    /// Looking for a file system.
    Probe,
    /// Reading a verity superblock.
    Superblock,
    /// Reading the top block of a hash tree.
    Tree,
    /// Reading a signature partition.
    Signature,
    /// Looking for data in the gaps between partitions.
    Gaps,
    /// Looking for data behind the last protected block.
    Tail,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Open => "opening",
            Step::Table => "reading the partition table",
            Step::Probe => "looking for a file system",
            Step::Superblock => "reading the verity superblock",
            Step::Tree => "reading the top of the hash tree",
            Step::Signature => "reading the signature partition",
            Step::Gaps => "reading the gaps between partitions",
            Step::Tail => "reading behind the last protected block",
        })
    }
}

/// Why there is no [`DissectedImage`](crate::steps::DissectedImage), or no answer at all.
///
/// The variants from [`NothingRecognised`](Error::NothingRecognised) on are those of systemd's dissection;
/// [`systemd_errno`](Error::systemd_errno) gives the name of the errno that it ends with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// Reading from a source failed.
    Io {
        /// What for.
        step: Step,
        /// Where in the image, in bytes, if anywhere.
        offset: Option<u64>,
        /// What it said.
        error: Arc<io::Error>,
    },
    /// The image has no byte at all.
    Empty,
    /// A compressed image or a stream that could not be made into an image to read.
    Unpack(UnpackError),
    /// Not the bytes of a disk, but a file that holds them in a format of its own.
    Container(Container),
    /// There is a GPT, and no copy of it can be used.
    Table(ddi_gpt::Error),
    /// There is an MBR, and it cannot be used.
    Mbr(mbr::Error),
    /// Neither a file system nor a partition table that can be used (step A3, C1).
    NothingRecognised,
    /// The whole image could be more than one file system (step A3).
    AmbiguousImage(Arc<fs::Error>),
    /// A root hash whose first and last 16 bytes cannot be partition GUIDs (step A2).
    UnusableRootHash(ddi_gpt::Error),
    /// A root hash or signature beside the image that is not what it must be (systemd's `verity_settings_load()`).
    Malformed {
        /// Which.
        what: Sidecar,
    },
    /// Hash data beside an image that has a partition table (step C2).
    ExternalVerityWithTable,
    /// A signature partition that cannot be read, while a root hash is asked for (step D6).
    Signature {
        /// Number of the partition.
        partition: u32,
        /// What is wrong with it.
        error: SignatureError,
    },
    /// Policy does not allow what was found (steps B, D9, F5, G, I).
    Policy(Violation),
    /// A hash or signature partition without its data partition (step F1).
    DataMissing {
        /// The role whose data partition is missing.
        role: Role,
    },
    /// A signature partition without its hash partition (step F2).
    HashMissing {
        /// The role whose hash partition is missing.
        role: Role,
    },
    /// The root and usr partitions are for different machines (step F3).
    ArchitecturesDiffer {
        /// That of the root partition.
        root: Architecture,
        /// That of the usr partition.
        usr: Architecture,
    },
    /// Neither root nor usr, and several partitions of the generic type (step F4).
    SeveralGenericRoots {
        /// Number of the first.
        first: u32,
        /// Number of the second.
        second: u32,
    },
    /// No root partition, and the caller wants one (step F6).
    NoRoot,
    /// Hash trees for both root and usr: systemd can set up one only (step F7).
    RootAndUsrVerity,
    /// A hash tree for root, and a usr partition that would lie over it (step F8).
    RootVerityWithUsr,
    /// No data partition for the root hash (steps F9, F10).
    NoDataForRootHash {
        /// What the root hash is for.
        role: Role,
        /// The root hash, and where it is from.
        root_hash: KnownRootHash,
    },
    /// No hash partition for the root hash (step F10).
    NoHashForRootHash {
        /// What the root hash is for.
        role: Role,
        /// The root hash, and where it is from.
        root_hash: KnownRootHash,
    },
    /// There is no partition that can be used (step H).
    NothingUsable,
    /// A partition could be more than one file system (step I).
    AmbiguousFileSystem {
        /// Which partition.
        designator: Designator,
        /// Its number.
        partition: Option<u32>,
        /// What was recognised.
        error: Arc<fs::Error>,
    },
    /// What is recognised is nothing that systemd mounts from an image.
    NotMountable {
        /// Which partition; `None` for an image that is this as a whole, and has no partitions.
        designator: Option<Designator>,
        /// Its number.
        partition: Option<u32>,
        /// What it is; `None`: nothing that is known.
        kind: Option<FsKind>,
    },
    /// All candidates were excluded by the caller's filter (step B).
    ExcludedByFilter,
    /// Verity: parameters, geometry, tree.
    Verity {
        /// What the set is for.
        role: Role,
        /// Number of the hash partition, if it is in one.
        partition: Option<u32>,
        /// What is wrong.
        error: Arc<ddi_verity::Error>,
    },
    /// Data, hash and signature do not belong together.
    Binding(Box<BindingError>),
    /// There are more partitions than anybody needs, and what belongs to this hash partition was not looked for.
    NotSearched {
        /// What the set is for.
        role: Role,
        /// Number of the hash partition.
        partition: u32,
        /// How many hash partitions after it are in the same case.
        others: usize,
    },
    /// No root hash was given, found or guessed.
    RootHashUnknown {
        /// For which partition.
        role: Role,
    },
    /// A root or usr partition without a hash tree.
    Unprotected {
        /// Which.
        role: Role,
        /// Number of the partition, if it is in one.
        partition: Option<u32>,
    },
    /// The protected partition holds nothing that is recognised as a whole file system; see
    /// [`prove`](crate::steps::prove()) for why that is asked for.
    UnrecognisedContent {
        /// What the set is for.
        role: Role,
        /// Number of the data partition, if it is in one.
        partition: Option<u32>,
    },
    /// Behind the last protected block of the partition there is something, which nothing vouches for.
    TailNotZero {
        /// What the set is for.
        role: Role,
        /// Number of the data partition, if it is in one.
        partition: Option<u32>,
        /// The first byte that is not zero, in the image.
        offset: u64,
    },
    /// The file system says that it is larger than the bytes that are protected.
    ContentTooLarge {
        /// What the set is for.
        role: Role,
        /// Number of the data partition, if it is in one.
        partition: Option<u32>,
        /// What the file system claims, in bytes.
        claimed: u64,
        /// What is there, in bytes.
        available: u64,
    },
    /// The data that the tree says it protects are not as many as the caller says.
    DataSizeDiffers {
        /// What the set is for.
        role: Role,
        /// Number of the hash partition, if it is in one.
        partition: Option<u32>,
        /// By the caller, in bytes.
        given: u64,
        /// By the superblock of the hash tree, in bytes.
        found: u64,
    },
    /// A trusted key signed, with the root hash, that of another tree: other parameters, or another size.
    BoundTreeDiffers {
        /// What the set is for.
        role: Role,
        /// Number of the hash partition, if it is in one.
        partition: Option<u32>,
        /// What was signed.
        signed: Box<Params>,
        /// By the superblock of the hash tree.
        found: Box<Params>,
    },
    /// It was demanded that a trusted key signs the size of the data, and none did.
    SizeNotBound {
        /// What the set is for.
        role: Role,
        /// Number of the hash partition, if it is in one.
        partition: Option<u32>,
    },
    /// The image could be used if partitions that are labelled as half written or pending were not left out, which systemd
    /// does not do ([`Transient`](crate::steps::Transient)).
    WithoutTransient(Box<Error>),
    /// The protected partition holds something that does not bind the size of the data: hash blocks could be taken for it;
    /// see [`prove`](crate::steps::prove()).
    UnfitContent {
        /// What the set is for.
        role: Role,
        /// Number of the data partition, if it is in one.
        partition: Option<u32>,
        /// What is recognised in it.
        kind: FsKind,
        /// Why that is not enough.
        unfit: Unfit,
    },
}

/// Why data, hash and signature do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindingError {
    /// The GUID of a data or hash partition is not the half of the root hash that it has to be.
    Guid {
        /// Data or hash partition.
        designator: Designator,
        /// Its number.
        partition: u32,
        /// What the GUID has to be.
        expected: ddi_gpt::Guid,
        /// What it is.
        found: ddi_gpt::Guid,
    },
    /// The top of the hash tree hashes to another root hash.
    Tree {
        /// Number of the hash partition, if it is in one.
        partition: Option<u32>,
        /// The root hash to be used.
        expected: RootHash,
        /// The root hash of the tree.
        found: RootHash,
    },
    /// The signature partition names another root hash.
    Signature {
        /// Number of the signature partition.
        partition: u32,
        /// The root hash to be used.
        expected: RootHash,
        /// The root hash in the signature partition.
        found: RootHash,
    },
}

impl fmt::Display for BindingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindingError::Guid { designator, partition, expected, found } => {
                write!(
                    f,
                    "{designator} partition {partition} has the GUID {found}, the root hash wants {expected}"
                )
            }
            BindingError::Tree { partition: Some(number), expected, found } => {
                write!(
                    f,
                    "the hash tree in partition {number} has the root hash {found}, expected {expected}"
                )
            }
            BindingError::Tree { partition: None, expected, found } => {
                write!(f, "the hash tree has the root hash {found}, expected {expected}")
            }
            BindingError::Signature { partition, expected, found } => {
                write!(f, "signature partition {partition} is for the root hash {found}, expected {expected}")
            }
        }
    }
}

impl core::error::Error for BindingError {}

impl BindingError {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            BindingError::Guid { .. } => "binding-guid",
            BindingError::Tree { .. } => "binding-tree",
            BindingError::Signature { .. } => "binding-signature",
        }
    }

    /// The partition at fault, if it is one.
    pub fn partition(&self) -> Option<u32> {
        match self {
            BindingError::Guid { partition, .. } | BindingError::Signature { partition, .. } => {
                Some(*partition)
            }
            BindingError::Tree { partition, .. } => *partition,
        }
    }
}

impl Error {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Io { .. } => "io",
            Error::Empty => "empty-image",
            Error::Unpack(error) => error.code(),
            Error::Container(_) => "disk-container",
            Error::Table(error) => error.code(),
            Error::Mbr(error) => error.code(),
            Error::NothingRecognised => "nothing-recognised",
            Error::AmbiguousImage(_) => "ambiguous-image",
            Error::UnusableRootHash(_) => "unusable-root-hash",
            Error::Malformed { .. } => "beside-malformed",
            Error::ExternalVerityWithTable => "external-verity-with-table",
            Error::Signature { error, .. } => error.code(),
            Error::Policy(violation) => violation.why.code(),
            Error::DataMissing { .. } => "verity-without-data",
            Error::HashMissing { .. } => "signature-without-verity",
            Error::ArchitecturesDiffer { .. } => "architectures-differ",
            Error::SeveralGenericRoots { .. } => "several-generic-roots",
            Error::NoRoot => "no-root",
            Error::RootAndUsrVerity => "root-and-usr-verity",
            Error::RootVerityWithUsr => "root-verity-with-usr",
            Error::NoDataForRootHash { .. } => "no-data-for-root-hash",
            Error::NoHashForRootHash { .. } => "no-hash-for-root-hash",
            Error::NothingUsable => "nothing-usable",
            Error::AmbiguousFileSystem { .. } => "ambiguous-file-system",
            Error::NotMountable { .. } => "not-mountable",
            Error::ExcludedByFilter => "excluded-by-filter",
            Error::Verity { error, .. } => error.code(),
            Error::Binding(error) => error.code(),
            Error::NotSearched { .. } => "not-searched",
            Error::RootHashUnknown { .. } => "root-hash-unknown",
            Error::Unprotected { .. } => "unprotected",
            Error::UnrecognisedContent { .. } => "unrecognised-content",
            Error::TailNotZero { .. } => "tail-not-zero",
            Error::ContentTooLarge { .. } => "content-too-large",
            Error::DataSizeDiffers { .. } => "data-size-differs",
            Error::BoundTreeDiffers { .. } => "bound-tree-differs",
            Error::SizeNotBound { .. } => "size-not-bound",
            Error::WithoutTransient(error) => error.code(),
            Error::UnfitContent { unfit, .. } => unfit.code(),
        }
    }

    /// The partition at fault, if it is one.
    pub fn partition(&self) -> Option<u32> {
        match self {
            Error::Signature { partition, .. } | Error::NotSearched { partition, .. } => Some(*partition),
            Error::SeveralGenericRoots { second, .. } => Some(*second),
            Error::AmbiguousFileSystem { partition, .. }
            | Error::NotMountable { partition, .. }
            | Error::Verity { partition, .. }
            | Error::Unprotected { partition, .. }
            | Error::UnrecognisedContent { partition, .. }
            | Error::TailNotZero { partition, .. }
            | Error::ContentTooLarge { partition, .. }
            | Error::DataSizeDiffers { partition, .. }
            | Error::BoundTreeDiffers { partition, .. }
            | Error::SizeNotBound { partition, .. }
            | Error::UnfitContent { partition, .. } => *partition,
            Error::Binding(error) => error.partition(),
            Error::WithoutTransient(error) => error.partition(),
            _ => None,
        }
    }

    /// Whose rule it is that ends a dissection with this. Only what systemd goes by is
    /// [`Authority::Systemd`]: of an image that breaks another's rule, systemd makes something, and what that is, is not told.
    pub fn authority(&self) -> Authority {
        match self {
            Error::Table(error) if is_taken_by_libblkid(error) => Authority::Uefi,
            // libblkid asks of an MBR neither where its partitions lie nor whether they overlap
            Error::Mbr(_) => Authority::Uefi,
            Error::WithoutTransient(_) => Authority::Dps,
            Error::Signature { error, .. } if !is_refused_by_systemd(error) => Authority::Ddi,
            Error::Verity { .. } => Authority::Linux,
            error if error.kind() == ErrorKind::Io => Authority::Ddi,
            error if error.systemd_errno().is_some() => Authority::Systemd,
            _ => Authority::Ddi,
        }
    }

    /// The reason behind it, where this one says only whose rule it is.
    pub fn cause(&self) -> &Error {
        match self {
            Error::WithoutTransient(error) => error.cause(),
            error => error,
        }
    }

    /// The errno by name with which systemd (version 261) ends in this case; `None` where it has no such case.
    pub fn systemd_errno(&self) -> Option<&'static str> {
        Some(match self {
            Error::Table(ddi_gpt::Error::AmbiguousBlockSize { .. }) => "ENOTUNIQ",
            Error::Table(error) if is_taken_by_libblkid(error) => return None,
            Error::Signature { error, .. } if !is_refused_by_systemd(error) => return None,
            Error::Table(_) | Error::NothingRecognised | Error::AmbiguousImage(_) => "ENOPKG",
            Error::UnusableRootHash(_) | Error::Malformed { .. } | Error::Signature { .. } => "EINVAL",
            Error::ExternalVerityWithTable => "EBADR",
            Error::Policy(_) => "ERFKILL",
            Error::DataMissing { .. }
            | Error::HashMissing { .. }
            | Error::RootVerityWithUsr
            | Error::NoDataForRootHash { .. }
            | Error::NoHashForRootHash { .. } => "EADDRNOTAVAIL",
            Error::ArchitecturesDiffer { .. } => "EREMOTE",
            Error::SeveralGenericRoots { .. } | Error::RootAndUsrVerity => "ENOTUNIQ",
            Error::NoRoot => "ENXIO",
            Error::NothingUsable => "ENOMSG",
            Error::AmbiguousFileSystem { .. } => "EUCLEAN",
            Error::NotMountable { designator: None, .. } => "ENOPKG",
            Error::NotMountable { kind: Some(_), .. } => "EIDRM",
            Error::NotMountable { kind: None, .. } => "EAFNOSUPPORT",
            Error::ExcludedByFilter => "ECOMM",
            Error::Io { .. }
            | Error::Empty
            | Error::Container(_)
            | Error::Mbr(_)
            | Error::WithoutTransient(_)
            | Error::Unpack(_)
            | Error::Verity { .. }
            | Error::Binding(_)
            | Error::NotSearched { .. }
            | Error::RootHashUnknown { .. }
            | Error::Unprotected { .. }
            | Error::UnrecognisedContent { .. }
            | Error::TailNotZero { .. }
            | Error::ContentTooLarge { .. }
            | Error::DataSizeDiffers { .. }
            | Error::BoundTreeDiffers { .. }
            | Error::SizeNotBound { .. }
            | Error::UnfitContent { .. } => return None,
        })
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { .. } => ErrorKind::Io,
            // it was not possible to look
            Error::AmbiguousImage(error) | Error::AmbiguousFileSystem { error, .. }
                if matches!(**error, fs::Error::Io { .. }) =>
            {
                ErrorKind::Io
            }
            Error::Unpack(error) => match error {
                UnpackError::Unsupported { .. }
                | UnpackError::TooLarge { .. }
                | UnpackError::RatioTooLarge { .. }
                | UnpackError::WindowTooLarge { .. } => ErrorKind::Unsupported,
                UnpackError::Truncated { .. }
                | UnpackError::Corrupt { .. }
                | UnpackError::Trailing { .. } => ErrorKind::Corrupt,
                UnpackError::Read { .. } | UnpackError::Write { .. } | UnpackError::NoRoom { .. } => {
                    ErrorKind::Io
                }
                // those that may come
                _ => ErrorKind::Unsupported,
            },
            Error::Empty | Error::Table(_) | Error::Mbr(_) | Error::Malformed { .. } => ErrorKind::Corrupt,
            Error::NothingRecognised
            | Error::Container(_)
            | Error::AmbiguousImage(_)
            | Error::ArchitecturesDiffer { .. }
            | Error::SeveralGenericRoots { .. }
            | Error::NoRoot
            | Error::RootAndUsrVerity
            | Error::RootVerityWithUsr
            | Error::NothingUsable
            | Error::AmbiguousFileSystem { .. }
            | Error::NotMountable { .. }
            | Error::NotSearched { .. }
            | Error::RootHashUnknown { .. } => ErrorKind::Unsupported,
            Error::UnusableRootHash(_) | Error::ExternalVerityWithTable => ErrorKind::Usage,
            Error::Signature { .. } | Error::DataMissing { .. } | Error::HashMissing { .. } => {
                ErrorKind::Corrupt
            }
            Error::Policy(_)
            | Error::NoDataForRootHash { .. }
            | Error::NoHashForRootHash { .. }
            | Error::ExcludedByFilter
            | Error::Binding(_)
            | Error::Unprotected { .. }
            | Error::UnrecognisedContent { .. }
            | Error::TailNotZero { .. }
            | Error::ContentTooLarge { .. }
            | Error::DataSizeDiffers { .. }
            | Error::BoundTreeDiffers { .. }
            | Error::SizeNotBound { .. }
            | Error::UnfitContent { .. } => ErrorKind::Mismatch,
            Error::WithoutTransient(error) => error.kind(),
            Error::Verity { error, .. } => match error.kind() {
                ddi_verity::ErrorKind::Corrupt => ErrorKind::Corrupt,
                ddi_verity::ErrorKind::Unsupported => ErrorKind::Unsupported,
                ddi_verity::ErrorKind::Io => ErrorKind::Io,
                ddi_verity::ErrorKind::Mismatch => ErrorKind::Mismatch,
                ddi_verity::ErrorKind::Usage => ErrorKind::Usage,
            },
        }
    }
}

/// What libblkid's `gpt.c` does not ask of a table. One copy like that is enough for it.
fn is_taken_by_libblkid(error: &ddi_gpt::Error) -> bool {
    use ddi_gpt::Error as E;
    match error {
        E::NoValidCopy { primary, backup } => is_taken_by_libblkid(primary) || is_taken_by_libblkid(backup),
        E::Revision { .. }
        | E::ArrayOverTable { .. }
        | E::PartitionInverted { .. }
        | E::PartitionOutsideUsable { .. }
        | E::PartitionBeyondDisk { .. }
        | E::PartitionOverTable { .. }
        | E::PartitionsOverlap { .. }
        | E::DuplicateGuid { .. }
        | E::CopiesDiffer { .. }
        | E::BackupMisplaced { .. } => true,
        _ => false,
    }
}

/// What systemd asks of a signature partition when it compares its root hash with a known one (version 259 and later). The rest
/// is asked where the signature is checked, or by us alone.
fn is_refused_by_systemd(error: &SignatureError) -> bool {
    use SignatureError as E;
    match error {
        E::TooLarge { max, .. } => *max == ddi_signature::MAX_SIGNATURE_SIZE,
        E::MissingKey { key } | E::WrongType { key } => *key == "rootHash",
        E::EmptyPartition
        | E::DataAfterNul { .. }
        | E::NotUtf8 { .. }
        | E::Json { .. }
        | E::DataAfterJson { .. }
        | E::NotAnObject => true,
        _ => false,
    }
}

/// The first of the parameters in which the two differ.
fn write_difference(f: &mut fmt::Formatter<'_>, signed: &Params, found: &Params) -> fmt::Result {
    let facts = |params: &Params| {
        [
            ("bytes of data", params.data_size().to_string()),
            ("bytes to a data block", params.data_block_size().to_string()),
            ("bytes to a hash block", params.hash_block_size().to_string()),
            ("as hash type", hash_type(params.hash_type()).into()),
            ("as algorithm", params.algorithm().name().into()),
            ("as salt", params.salt().to_string()),
        ]
    };
    let mut pairs = facts(signed).into_iter().zip(facts(found));
    match pairs.find(|(signed, found)| signed != found) {
        Some(((what, signed), (_, found))) => write!(f, "{found} {what}, and {signed} were signed"),
        None => f.write_str("no difference"),
    }
}

fn hash_type(hash_type: HashType) -> &'static str {
    match hash_type {
        HashType::ChromeOs => "0",
        HashType::Normal => "1",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { step, offset: Some(offset), error } => write!(f, "{step}, at byte {offset}: {error}"),
            Error::Io { step, offset: None, error } => write!(f, "{step}: {error}"),
            Error::Empty => f.write_str("the image is empty"),
            Error::Container(container) => {
                write!(
                    f,
                    "it is a {container} file, not the bytes of a disk; {} makes these",
                    container.conversion()
                )
            }
            Error::Unpack(error) => error.fmt(f),
            Error::Table(error) => write!(f, "partition table: {error}"),
            Error::Mbr(error) => write!(f, "partition table: {error}"),
            Error::NothingRecognised => f.write_str("no usable partition table or file system recognised"),
            Error::AmbiguousImage(error) => write!(f, "whole image: {error}"),
            Error::UnusableRootHash(error) => write!(f, "root hash: {error}"),
            Error::ExternalVerityWithTable => {
                f.write_str("there is verity data beside the image, but the image has a partition table")
            }
            Error::Signature { partition, error } => write!(f, "signature partition {partition}: {error}"),
            Error::Policy(violation) => violation.fmt(f),
            Error::DataMissing { role } => {
                write!(f, "verity or signature partition without {role} partition")
            }
            Error::HashMissing { role } => {
                write!(f, "{role} signature partition without {role} verity partition")
            }
            Error::ArchitecturesDiffer { root, usr } => {
                write!(f, "the root partition is for {root}, the usr partition for {usr}")
            }
            Error::SeveralGenericRoots { first, second } => {
                write!(f, "several partitions could be the root file system: {first} and {second} at least")
            }
            Error::NoRoot => f.write_str("no root partition"),
            Error::RootAndUsrVerity => f.write_str("verity partitions for both root and usr"),
            Error::RootVerityWithUsr => {
                f.write_str("a verity partition for root, together with a usr partition")
            }
            Error::Malformed { what } => write!(f, "the {what} is malformed"),
            Error::NoDataForRootHash { role, root_hash } => {
                write!(f, "no {role} partition for the root hash ")?;
                root_hash.fmt_with_place(f)
            }
            Error::NoHashForRootHash { role, root_hash } => {
                write!(f, "no {role} verity partition for the root hash ")?;
                root_hash.fmt_with_place(f)
            }
            Error::NothingUsable => f.write_str("no usable partition"),
            Error::AmbiguousFileSystem { designator, partition: Some(number), error } => {
                write!(f, "{designator} partition {number}: {error}")
            }
            Error::AmbiguousFileSystem { designator, partition: None, error } => {
                write!(f, "{designator}: {error}")
            }
            Error::NotMountable { designator, partition, kind } => {
                match designator {
                    Some(designator) => write!(f, "{designator}")?,
                    None => f.write_str("the image")?,
                }
                if let Some(number) = partition {
                    write!(f, " partition {number}")?;
                }
                match kind {
                    Some(kind) => write!(f, " is {kind}, which systemd mounts from no image"),
                    None => f.write_str(" holds nothing that is recognised as a file system"),
                }
            }
            Error::ExcludedByFilter => f.write_str("excluded by the image filter"),
            Error::Verity { role, partition: Some(number), error } => {
                write!(f, "{role} verity partition {number}: {error}")
            }
            Error::Verity { role, partition: None, error } => write!(f, "{role} verity data: {error}"),
            Error::Binding(error) => error.fmt(f),
            Error::NotSearched { role, partition, others } => {
                write!(f, "{role} verity partition {partition}")?;
                if *others > 0 {
                    write!(f, " and {others} after it")?;
                }
                f.write_str(": there are too many partitions to find out what belongs to it")
            }
            Error::RootHashUnknown { role } => write!(f, "no root hash known for {role}"),
            Error::Unprotected { role, partition: Some(number) } => {
                write!(f, "{role} partition {number} is not protected by verity")
            }
            Error::Unprotected { role, partition: None } => write!(f, "{role} is not protected by verity"),
            Error::UnrecognisedContent { role, partition: Some(number) } => {
                write!(f, "{role} partition {number} holds nothing that is recognised as a file system")
            }
            Error::UnrecognisedContent { role, partition: None } => {
                write!(f, "{role} holds nothing that is recognised as a file system")
            }
            Error::TailNotZero { role, partition, offset } => {
                write!(f, "{role}")?;
                if let Some(number) = partition {
                    write!(f, " partition {number}")?;
                }
                write!(f, " has data behind its last protected block, at byte {offset}")
            }
            Error::ContentTooLarge { role, partition, claimed, available } => {
                write!(f, "the file system of {role}")?;
                if let Some(number) = partition {
                    write!(f, " in partition {number}")?;
                }
                write!(f, " claims {claimed} bytes, {available} are there")
            }
            Error::DataSizeDiffers { role, given, found, .. } => {
                write!(f, "the tree of {role} is over {found} bytes of data, and {given} were given")
            }
            Error::BoundTreeDiffers { role, signed, found, .. } => {
                write!(f, "the tree of {role} is not the one that was signed: ")?;
                write_difference(f, signed, found)
            }
            Error::SizeNotBound { role, .. } => {
                write!(f, "no trusted key signed how many bytes the root hash of {role} is over")
            }
            Error::WithoutTransient(error) => {
                write!(f, "{error}, as partitions labelled half written or pending are left out")
            }
            Error::UnfitContent { role, partition, kind, unfit } => {
                write!(f, "{role}")?;
                if let Some(number) = partition {
                    write!(f, " partition {number}")?;
                }
                write!(f, " holds {} that does not show that all of its data is there: {unfit}", kind.name())
            }
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::Io { error, .. } => Some(&**error),
            Error::Table(error) | Error::UnusableRootHash(error) => Some(error),
            Error::Mbr(error) => Some(error),
            Error::Unpack(error) => Some(error),
            Error::AmbiguousImage(error) | Error::AmbiguousFileSystem { error, .. } => Some(&**error),
            Error::Signature { error, .. } => Some(error),
            Error::Verity { error, .. } => Some(&**error),
            Error::Binding(error) => Some(&**error),
            Error::Policy(violation) => Some(violation),
            Error::UnfitContent { unfit: Unfit::RootDirectory(error), .. } => Some(&**error),
            _ => None,
        }
    }
}
