//! What is odd about an image.

use core::fmt;

use std::sync::Arc;

use ddi_gpt::{Architecture, ByteRange, Designator, Guid, Side};
use ddi_verity::{GeometryException, RootHash};

use crate::dissect::selection::Skipped;
use crate::error::{BindingError, Error, ErrorKind};
use crate::prove::unfit::Unfit;
use crate::trust::signature::SignatureState;
use crate::trust::{Role, RootHashOrigin};
use ddi_fs::FsKind;
use ddi_fs::probe as fs;

pub use crate::severity::{Authority, Severity};
pub use crate::sidecar::{Sidecar, SidecarError};

/// One thing that is odd, and where. [`Display`](fmt::Display) gives the sentence, without severity and place.
///
/// Text that comes from the image is escaped by whoever prints it.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Offset in the image in bytes, where that says more than the partition.
    pub offset: Option<u64>,
    /// Number of the partition that it is about.
    pub partition: Option<u32>,
    /// What it is.
    pub what: FindingKind,
}

/// Something odd about a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LabelAnomaly {
    /// Half of a UTF-16 surrogate pair.
    LoneSurrogate,
    /// A control character.
    Control,
    /// A character that is invisible or changes the direction of text.
    Invisible,
    /// Something after the NUL that ends the label.
    TextAfterEnd,
}

impl fmt::Display for LabelAnomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LabelAnomaly::LoneSurrogate => "half of a surrogate pair",
            LabelAnomaly::Control => "a control character",
            LabelAnomaly::Invisible => "a character that is invisible or changes the direction of text",
            LabelAnomaly::TextAfterEnd => "text after its end",
        })
    }
}

/// Something about the files of an image that could not be told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FactError {
    /// The fact, or `files` for all of them.
    pub what: &'static str,
    /// Stable name of the reason.
    pub code: &'static str,
    /// How bad it is: an error if bytes did not match their root hash, or could not be read at all.
    pub severity: Severity,
    /// The reason.
    pub reason: Box<str>,
}

impl FactError {
    /// `reason` is why `what` could not be told.
    pub fn new(
        what: &'static str,
        code: &'static str,
        severity: Severity,
        reason: &dyn fmt::Display,
    ) -> Self {
        FactError { what, code, severity, reason: reason.to_string().into() }
    }
}

impl fmt::Display for FactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be read: {}", self.what, self.reason)
    }
}

/// What a [`Finding`] is about. [`code`](FindingKind::code) is stable, the sentences are not.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FindingKind {
    /// One copy of the table is broken, the other one is used.
    TableCopy {
        /// Which one is broken.
        side: Side,
        /// How.
        error: ddi_gpt::Error,
    },
    /// Both copies are good, and they are not the same.
    TablesDiffer(ddi_gpt::Difference),
    /// Something unusual about the table, or about the protective MBR.
    Table(ddi_gpt::Anomaly),
    /// There are headers of a GPT, but an MBR that does not stand for one: the MBR counts.
    GptBehindMbr,
    /// There is something where nothing should be: between partitions, or between tables and partitions.
    GapNotZero {
        /// The gap.
        gap: ByteRange,
    },
    /// A verity superblock directly behind a bare file system, which nothing says to use.
    VeritySuperblockBehind {
        /// Where, in bytes: a hash offset.
        offset: u64,
    },
    /// The gaps were too large to be read in full.
    GapsNotRead {
        /// How many bytes were not looked at.
        unread: u64,
    },
    /// A whole-image file system and a partition table: the file system wins.
    TableBehindFileSystem {
        /// The file system.
        kind: FsKind,
    },
    /// A partition table, and something that the image is when taken as a whole; the table wins. A reader that knows no
    /// tables sees the other thing: an ISO 9660 image that can be written to a disk is of this kind.
    TableOver {
        /// What the whole of it looks like.
        kind: FsKind,
    },
    /// systemd would not use this image.
    Dissect(Error),
    /// A partition is not used although its type says what it is for.
    NotChosen(Skipped),
    /// The type of the partition is unknown.
    UnknownType {
        /// The type.
        type_guid: Guid,
    },
    /// The partition table could not say where this partition is.
    Outside,
    /// A root or usr partition without verity protection.
    Unprotected {
        /// Which.
        designator: Designator,
    },
    /// A verity-protected partition without signature.
    Unsigned {
        /// What it is for.
        role: Role,
    },
    /// There is a signature. Nobody has checked it.
    SignatureNotChecked {
        /// What it is for.
        role: Role,
    },
    /// There is a signature that vouches for nothing: no trusted key made it, or it is no good.
    SignatureNotVerified {
        /// What it is for.
        role: Role,
        /// What came of checking it.
        state: SignatureState,
    },
    /// The signature partition that systemd uses is for other data than that which it uses.
    SignatureOfOtherData {
        /// What they are for.
        role: Role,
        /// The root hash that it is for.
        found: RootHash,
    },
    /// The root hash is put together from GUIDs.
    RootHashGuessed {
        /// What it is for.
        role: Role,
    },
    /// No root hash is known: nothing names one.
    RootHashUnknown {
        /// What it would be for.
        role: Role,
    },
    /// Two places name different root hashes; systemd takes the first.
    RootHashesDiffer {
        /// What they are for.
        role: Role,
        /// Where the one that counts is from.
        first: RootHashOrigin,
        /// The one that counts.
        first_hash: RootHash,
        /// Where the other one is from.
        second: RootHashOrigin,
        /// The other one.
        second_hash: RootHash,
    },
    /// Data, hash and signature do not belong together.
    Binding(Box<BindingError>),
    /// The partitions with the highest version are not one set.
    VersionsMixed {
        /// What they are for.
        role: Role,
        /// The data partition that is chosen.
        data: u32,
        /// The hash partition that is chosen.
        hash: u32,
        /// The hash partition that belongs to the data.
        belongs: Option<u32>,
    },
    /// A verity set that cannot be used as it is.
    Verity {
        /// What it is for.
        role: Role,
        /// What is wrong.
        error: Arc<ddi_verity::Error>,
    },
    /// Verity parameters or geometry that a strict check refuses.
    Geometry {
        /// What it is for.
        role: Role,
        /// What was let pass.
        widened: GeometryException,
    },
    /// A signature partition that cannot be read.
    Signature(ddi_signature::SignatureError),
    /// The file system, or the lack of one, could not be made out.
    FileSystem(Arc<fs::Error>),
    /// The file system says that it is larger than its partition.
    FileSystemTooLarge {
        /// What it says, in bytes.
        claimed: u64,
        /// Size of the partition in bytes.
        available: u64,
    },
    /// More than one file system, on storage so small that the first is taken and the others are not looked for.
    PassedOver(Arc<fs::Error>),
    /// A protected partition without a recognised file system.
    UnrecognisedContent {
        /// What it is for.
        role: Role,
    },
    /// A protected partition with something in it that hash blocks could be taken for: it is never proven.
    UnfitContent {
        /// What it is for.
        role: Role,
        /// What is recognised in it.
        kind: FsKind,
        /// Why that is not enough.
        unfit: Unfit,
    },
    /// A partition for another machine is used, for want of a better one.
    ForeignArchitecture {
        /// That machine.
        architecture: Architecture,
    },
    /// A label with something that can mislead.
    Label(LabelAnomaly),
    /// Something beside the image is of no use.
    Sidecar {
        /// Which.
        what: Sidecar,
        /// Why.
        problem: SidecarError,
    },
    /// A file beside the image has no part in this image.
    BesideUnused {
        /// Which.
        what: Sidecar,
    },
    /// Something could not be read.
    MountError(Error),
    /// What the files of the image say could not be told.
    Inside(FactError),
}

impl FindingKind {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            FindingKind::TableCopy { side: Side::Primary, .. } => "primary-table",
            FindingKind::TableCopy { side: Side::Backup, .. } => "backup-table",
            FindingKind::TablesDiffer(_) => "tables-differ",
            FindingKind::Table(anomaly) => anomaly.code(),
            FindingKind::GptBehindMbr => "gpt-behind-mbr",
            FindingKind::VeritySuperblockBehind { .. } => "verity-superblock-behind",
            FindingKind::GapNotZero { .. } => "gap-not-zero",
            FindingKind::GapsNotRead { .. } => "gaps-not-read",
            FindingKind::TableBehindFileSystem { .. } => "table-behind-file-system",
            FindingKind::TableOver { .. } => "table-over",
            FindingKind::Dissect(error) | FindingKind::MountError(error) => error.code(),
            FindingKind::NotChosen(_) => "not-chosen",
            FindingKind::UnknownType { .. } => "unknown-type",
            FindingKind::Outside => "outside",
            FindingKind::Unprotected { .. } => "unprotected",
            FindingKind::Unsigned { .. } => "unsigned",
            FindingKind::SignatureNotChecked { .. } => "signature-not-checked",
            FindingKind::SignatureNotVerified { state: SignatureState::Failed(error), .. } => error.code(),
            FindingKind::SignatureNotVerified { state: SignatureState::OtherRootHash { .. }, .. } => {
                "signature-other-root-hash"
            }
            FindingKind::SignatureNotVerified { .. } => "signature-not-trusted",
            FindingKind::SignatureOfOtherData { .. } => "signature-of-other-data",
            FindingKind::RootHashGuessed { .. } => "root-hash-guessed",
            FindingKind::RootHashUnknown { .. } => "root-hash-unknown",
            FindingKind::RootHashesDiffer { .. } => "root-hashes-differ",
            FindingKind::Binding(error) => error.code(),
            FindingKind::VersionsMixed { .. } => "versions-mixed",
            FindingKind::Verity { error, .. } => error.code(),
            FindingKind::Geometry { .. } => "geometry",
            FindingKind::Signature(error) => error.code(),
            FindingKind::FileSystem(error) => error.code(),
            FindingKind::FileSystemTooLarge { .. } => "file-system-too-large",
            FindingKind::PassedOver(_) => "file-system-passed-over",
            FindingKind::UnrecognisedContent { .. } => "unrecognised-content",
            FindingKind::UnfitContent { unfit, .. } => unfit.code(),
            FindingKind::ForeignArchitecture { .. } => "foreign-architecture",
            FindingKind::Label(_) => "label",
            FindingKind::Sidecar { .. } => "beside",
            FindingKind::BesideUnused { .. } => "beside-unused",
            FindingKind::Inside(problem) => problem.code,
        }
    }

    /// How bad it is, unless circumstances make it worse.
    pub fn severity(&self) -> Severity {
        match self {
            // as systemd-repart makes it
            FindingKind::Geometry { widened: GeometryException::UnprotectedTail(_), .. } => Severity::Note,
            // Linux and libblkid refuse such a table
            FindingKind::Table(ddi_gpt::Anomaly::DiskTruncated { .. }) => Severity::Error,
            // it may be meant to be formatted on the machine
            FindingKind::Dissect(Error::NotMountable {
                designator: Some(designator), kind: None, ..
            }) if !matches!(designator, Designator::Root | Designator::Usr) => Severity::Warning,
            FindingKind::Dissect(_)
            | FindingKind::MountError(_)
            | FindingKind::Outside
            | FindingKind::SignatureOfOtherData { .. }
            | FindingKind::Binding(_)
            | FindingKind::VersionsMixed { .. }
            | FindingKind::Verity { .. }
            | FindingKind::Signature(_)
            | FindingKind::FileSystem(_)
            | FindingKind::FileSystemTooLarge { .. }
            | FindingKind::TableCopy { side: Side::Primary, .. }
            | FindingKind::TablesDiffer(_) => Severity::Error,
            FindingKind::TableCopy { side: Side::Backup, .. }
            | FindingKind::Table(_)
            | FindingKind::GptBehindMbr
            | FindingKind::GapNotZero { .. }
            | FindingKind::TableBehindFileSystem { .. }
            | FindingKind::TableOver { .. }
            | FindingKind::Unprotected { .. }
            | FindingKind::RootHashUnknown { .. }
            | FindingKind::RootHashesDiffer { .. }
            | FindingKind::Geometry { .. }
            | FindingKind::PassedOver(_)
            | FindingKind::UnrecognisedContent { .. }
            | FindingKind::UnfitContent { .. }
            | FindingKind::Label(_)
            | FindingKind::Sidecar { .. } => Severity::Warning,
            // that the key is not trusted here is no fault of the image
            FindingKind::SignatureNotVerified { state: SignatureState::NotTrusted { .. }, .. } => {
                Severity::Note
            }
            FindingKind::SignatureNotVerified { .. } => Severity::Warning,
            FindingKind::NotChosen(skipped) => skipped.severity(),
            FindingKind::Inside(problem) => problem.severity,
            FindingKind::VeritySuperblockBehind { .. }
            | FindingKind::GapsNotRead { .. }
            | FindingKind::UnknownType { .. }
            | FindingKind::Unsigned { .. }
            | FindingKind::SignatureNotChecked { .. }
            | FindingKind::RootHashGuessed { .. }
            | FindingKind::ForeignArchitecture { .. }
            | FindingKind::BesideUnused { .. } => Severity::Note,
        }
    }
}

impl FindingKind {
    /// Whose rule it is.
    pub fn authority(&self) -> Authority {
        match self {
            FindingKind::Table(ddi_gpt::Anomaly::DiskTruncated { .. }) => Authority::Linux,
            FindingKind::TableCopy { .. }
            | FindingKind::TablesDiffer(_)
            | FindingKind::Table(_)
            | FindingKind::GptBehindMbr
            | FindingKind::Outside => Authority::Uefi,
            FindingKind::Dissect(error) => error.authority(),
            FindingKind::NotChosen(_)
            | FindingKind::UnknownType { .. }
            | FindingKind::ForeignArchitecture { .. }
            | FindingKind::RootHashGuessed { .. } => Authority::Dps,
            FindingKind::TableBehindFileSystem { .. }
            | FindingKind::TableOver { .. }
            | FindingKind::SignatureOfOtherData { .. }
            | FindingKind::RootHashesDiffer { .. }
            | FindingKind::VersionsMixed { .. }
            | FindingKind::Signature(_)
            | FindingKind::Sidecar { .. }
            | FindingKind::BesideUnused { .. } => Authority::Systemd,
            FindingKind::Verity { .. }
            | FindingKind::FileSystem(_)
            | FindingKind::FileSystemTooLarge { .. }
            | FindingKind::PassedOver(_)
            | FindingKind::MountError(_)
            | FindingKind::Inside(_) => Authority::Linux,
            FindingKind::VeritySuperblockBehind { .. }
            | FindingKind::GapNotZero { .. }
            | FindingKind::GapsNotRead { .. }
            | FindingKind::Unprotected { .. }
            | FindingKind::Unsigned { .. }
            | FindingKind::SignatureNotChecked { .. }
            | FindingKind::SignatureNotVerified { .. }
            | FindingKind::RootHashUnknown { .. }
            | FindingKind::Binding(_)
            | FindingKind::Geometry { .. }
            | FindingKind::UnrecognisedContent { .. }
            | FindingKind::UnfitContent { .. }
            | FindingKind::Label(_) => Authority::Ddi,
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FindingKind::TableCopy { side, error } => write!(f, "the {side} table cannot be used: {error}"),
            FindingKind::TablesDiffer(difference) => {
                write!(f, "primary and backup table differ: {difference}")
            }
            FindingKind::Table(anomaly) => anomaly.fmt(f),
            FindingKind::GptBehindMbr => {
                f.write_str("there are headers of a GPT, but the MBR does not stand for one")
            }
            FindingKind::VeritySuperblockBehind { offset } => {
                write!(
                    f,
                    "a verity superblock directly behind the file system: with --hash-offset={offset} verify uses it"
                )
            }
            FindingKind::GapNotZero { gap } => {
                write!(
                    f,
                    "not all of the {} bytes from byte {} are zero, yet in no partition",
                    gap.size, gap.offset
                )
            }
            FindingKind::GapsNotRead { unread } => {
                write!(f, "{unread} bytes in no partition were not looked at")
            }
            FindingKind::TableOver { kind } => {
                write!(f, "the image as a whole is recognised as {kind}; systemd reads the partition table")
            }
            FindingKind::TableBehindFileSystem { kind } => {
                write!(
                    f,
                    "the image is taken as a bare {} file system, although it has a partition table",
                    kind.name()
                )
            }
            FindingKind::Dissect(error) => {
                let who = match error {
                    error if error.kind() == ErrorKind::Io => "it is not known what this image is",
                    Error::NotMountable { .. } => "systemd 257 does not mount this image",
                    Error::AmbiguousFileSystem { .. } | Error::AmbiguousImage(_) => {
                        "systemd 257 would not use this image"
                    }
                    error => match error.authority() {
                        Authority::Systemd => "systemd 261 would not use this image",
                        Authority::Uefi => "by UEFI this image is not to be used",
                        Authority::Dps => "by the DPS this image is not to be used",
                        _ => "ddi does not use this image",
                    },
                };
                write!(f, "{who}: {error}")
            }
            FindingKind::NotChosen(skipped) => skipped.fmt(f),
            FindingKind::UnknownType { type_guid } => write!(f, "unknown partition type {type_guid}"),
            FindingKind::Outside => f.write_str("the partition does not lie in the image"),
            FindingKind::Unprotected { designator } => {
                write!(f, "the {designator} partition is not protected by verity")
            }
            FindingKind::Unsigned { role } => write!(f, "there is no signature for the root hash of {role}"),
            FindingKind::SignatureNotChecked { role } => {
                write!(f, "there is a signature for the root hash of {role}, but it was not checked")
            }
            FindingKind::SignatureNotVerified { role, state } => {
                write!(f, "the signature for the root hash of {role} vouches for nothing: {state}")
            }
            FindingKind::SignatureOfOtherData { role, found } => write!(
                f,
                "the signature that is used for {role} is for other data, of the root hash {found}: systemd refuses to activate it"
            ),
            FindingKind::RootHashGuessed { role } => {
                write!(
                    f,
                    "the root hash of {role} is put together from partition GUIDs: nobody vouches for it"
                )
            }
            FindingKind::RootHashUnknown { role } => write!(f, "no root hash is known for {role}"),
            FindingKind::RootHashesDiffer { role, first, first_hash, second, second_hash } => write!(
                f,
                "different root hashes for {role}: {first_hash} ({first}) counts, not {second_hash} ({second})"
            ),
            FindingKind::Binding(error) => error.fmt(f),
            FindingKind::VersionsMixed { role, data, hash, belongs } => {
                write!(
                    f,
                    "{role} partition {data} and verity partition {hash} are chosen, but do not belong together"
                )?;
                match belongs {
                    Some(number) => write!(f, ": partition {number} belongs to the data"),
                    None => Ok(()),
                }
            }
            FindingKind::Verity { role, error } => write!(f, "verity of {role}: {error}"),
            FindingKind::Geometry { role, widened } => write!(f, "verity of {role}: {widened}"),
            FindingKind::Signature(error) => write!(f, "signature partition: {error}"),
            FindingKind::FileSystem(error) => error.fmt(f),
            FindingKind::FileSystemTooLarge { claimed, available } => {
                write!(f, "the file system claims {claimed} bytes, {available} are there")
            }
            FindingKind::PassedOver(error) => write!(f, "{error}; on so small a storage the first is taken"),
            FindingKind::UnrecognisedContent { role } => {
                write!(f, "the protected data of {role} holds nothing that is recognised as a file system")
            }
            FindingKind::UnfitContent { role, kind, unfit } => {
                write!(
                    f,
                    "the protected data of {role} cannot be proven by the {} in it: {unfit}",
                    kind.name()
                )
            }
            FindingKind::ForeignArchitecture { architecture } => {
                write!(f, "the partition is for {architecture}, there is none for this machine")
            }
            FindingKind::Label(anomaly) => write!(f, "the label has {anomaly}"),
            FindingKind::Sidecar { what, problem } => write!(f, "{what}: {problem}"),
            FindingKind::BesideUnused { what } => write!(f, "{what} has no part in this image"),
            FindingKind::MountError(error) => error.fmt(f),
            FindingKind::Inside(problem) => problem.fmt(f),
        }
    }
}

impl Finding {
    /// A finding of the usual severity, with no place yet.
    pub fn new(what: FindingKind) -> Self {
        Finding { severity: what.severity(), offset: None, partition: None, what }
    }

    /// The same, about a partition.
    #[must_use]
    pub fn partition(mut self, number: u32) -> Self {
        self.partition = Some(number);
        self
    }

    /// The same, at an offset in the image, in bytes.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Stable name for programs, in kebab case.
    pub fn code(&self) -> &'static str {
        self.what.code()
    }

    /// Whose rule it is.
    pub fn authority(&self) -> Authority {
        self.what.authority()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}
