//! Everything that is known about an image, as plain data for whoever shows it.
//!
//! A [`Report`] is made from few and bounded reads and can be had for any bytes, however broken: what could be read
//! is there, what is wrong with it is in [`findings`](Report::findings), and [`broken`](Report::broken) says if it
//! is bad enough to end with an exit status of 1.
//!
//! **Nothing in a report is authenticated** unless its [`Assurance`] says so, and only
//! [`record`](Report::record), with the proof of a verity set at hand, raises it. The partition table, labels, GUIDs
//! and attributes never are: no root hash covers them.
//!
//! Text from the image ([`EntryFacts::Gpt`]'s label, file-system labels) is as it is on disk: escape it before you
//! print it.

mod build;
pub(crate) mod finding;
mod gaps;

use std::sync::Arc;

use ddi_gpt::{
    Architecture, Attributes, ByteRange, Condition, Designator, Difference, Examination, Guid, Name,
    PartitionType,
};

use crate::dissect::Selection;
use crate::error::Error;
use crate::prove::{Assessment, Outcome};
use crate::report::finding::{Finding, Severity};
use crate::trust::Assurance;
use crate::trust::{KnownRootHash, Role};
use crate::verity_set::VeritySet;
use ddi_fs::probe as fs;

pub use build::ReportOptions;

pub use crate::trust::signature::SignatureFacts;

/// What kind of image it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageKind {
    /// A GUID partition table.
    Gpt,
    /// An MBR partition table.
    Mbr,
    /// A bare file system or LUKS volume. There may be a partition table too; the file system wins.
    FileSystem,
    /// There is a GPT, and no copy of it can be used.
    BrokenTable,
    /// Nothing that is recognised.
    Unknown,
}

impl ImageKind {
    /// `gpt`, `mbr`, `file-system`, `broken-table`, `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            ImageKind::Gpt => "gpt",
            ImageKind::Mbr => "mbr",
            ImageKind::FileSystem => "file-system",
            ImageKind::BrokenTable => "broken-table",
            ImageKind::Unknown => "unknown",
        }
    }
}

/// Everything that is known about an image.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The last part of the image's path, if it has one; escaped where it is not UTF-8.
    pub file_name: Option<String>,
    /// The name of the image without suffixes, if it has one.
    pub name: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// What it is.
    pub kind: ImageKind,
    /// Size of a logical block in bytes: that of the GPT, else 512.
    pub block_size: u32,
    /// Disk GUID of the GPT, or UUID of a bare file system.
    pub uuid: Option<Guid>,
    /// What the root, else the usr partition is for.
    pub architecture: Option<Architecture>,
    /// Both copies of the GPT as they were found, good or bad, with their raw entries.
    pub examination: Examination,
    /// How the two copies of a GPT that can be used stand to one another.
    pub condition: Option<Condition>,
    /// In what they differ.
    pub differences: Vec<Difference>,
    /// Every partition of the table in use, by number. Of a GPT that is broken, the entries that could be read.
    pub partitions: Vec<PartitionReport>,
    /// What the image holds when taken as a whole, without partitions.
    pub whole: Content,
    /// How far that can be relied upon.
    pub whole_assurance: Assurance,
    /// Each hash tree with what belongs to it, chosen or not.
    pub verity: Arc<[VeritySet]>,
    /// Root hashes beside the image, in the order in which systemd looks.
    pub root_hashes: Vec<KnownRootHash>,
    /// What systemd-dissect would mount, in its order. Empty if the image is refused.
    pub mounts: Vec<Mount>,
    /// Why the image is refused, by systemd too where there is an errno. The same as the finding, for programs.
    pub refused: Option<Refused>,
    /// What is odd, by place.
    pub findings: Vec<Finding>,
}

/// Why an image is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Our name for it.
    pub code: &'static str,
    /// The errno by name, where systemd has one for it.
    pub errno: Option<&'static str>,
}

impl From<&Error> for Refused {
    fn from(error: &Error) -> Self {
        Refused { code: error.code(), errno: error.systemd_errno() }
    }
}

/// One partition.
#[derive(Debug)]
#[non_exhaustive]
pub struct PartitionReport {
    /// Its number, from 1.
    pub number: u32,
    /// Where it is in the image; `None` if the table does not say so in a way that makes sense.
    pub range: Option<ByteRange>,
    /// What the table says about it.
    pub entry: EntryFacts,
    /// What is in it.
    pub content: Content,
    /// Whether it is used, and if not, why; `None` if the table is broken.
    pub selection: Option<Selection>,
    /// How far its content can be relied upon. Never covers the entry in the table.
    pub assurance: Assurance,
}

/// What a table says about a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryFacts {
    /// An entry of a GPT.
    Gpt {
        /// Type GUID.
        type_guid: Guid,
        /// What that means.
        partition_type: PartitionType,
        /// Unique GUID.
        guid: Guid,
        /// Label as libblkid gives it: no trailing white space, `None` if empty. Lone surrogates are escaped.
        label: Option<String>,
        /// The label with all of its 36 units.
        name: Name,
        /// Attribute bits.
        attributes: Attributes,
    },
    /// A primary partition of an MBR.
    Mbr {
        /// Type byte.
        kind: u8,
        /// Boot indicator is exactly 0x80.
        bootable: bool,
    },
}

impl EntryFacts {
    fn of(type_guid: Guid, guid: Guid, name: &Name, attributes: Attributes) -> Self {
        let partition_type = PartitionType::from_guid(type_guid);
        EntryFacts::Gpt { type_guid, partition_type, guid, label: name.label(), name: *name, attributes }
    }

    /// Returns true if it is a free slot for updates.
    pub fn is_empty_slot(&self) -> bool {
        matches!(self, EntryFacts::Gpt { name, .. } if name.is_empty_slot())
    }

    /// The designator, if the type has one.
    pub fn designator(&self) -> Option<Designator> {
        match self {
            EntryFacts::Gpt { partition_type: PartitionType::Designated(designator, _), .. } => {
                Some(*designator)
            }
            _ => None,
        }
    }

    /// The machine that the partition is for, if the type says so.
    pub fn architecture(&self) -> Option<Architecture> {
        match self {
            EntryFacts::Gpt { partition_type: PartitionType::Designated(_, architecture), .. } => {
                *architecture
            }
            _ => None,
        }
    }
}

/// What is in a partition, as far as its first bytes say.
#[derive(Debug)]
#[non_exhaustive]
pub enum Content {
    /// A superblock of this kind.
    Recognised(Box<fs::Probe>),
    /// The JSON of a signature partition.
    Signature(Box<SignatureFacts>),
    /// Nothing that is known.
    Nothing,
    /// More than one kind at once, or it could not be read: there is a finding.
    Unclear,
    /// Not looked at: it is not in the image.
    NotRead,
}

impl Content {
    /// The name of the type as systemd and blkid give it.
    pub fn type_name(&self) -> Option<&'static str> {
        match self {
            Content::Recognised(probe) => Some(probe.kind.name()),
            Content::Signature(_) => Some("verity_hash_signature"),
            Content::Nothing | Content::Unclear | Content::NotRead => None,
        }
    }
}

/// One row of `systemd-dissect`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mount {
    /// What it is for.
    pub designator: Designator,
    /// True if it would be mounted for writing.
    pub rw: bool,
    /// Unique GUID of the partition.
    pub partition_uuid: Option<Guid>,
    /// Its label.
    pub partition_label: Option<String>,
    /// File-system type, as blkid names it.
    pub fstype: Option<&'static str>,
    /// The machine that it is for.
    pub architecture: Option<Architecture>,
    /// systemd's column VERITY.
    pub verity: Option<VerityColumn>,
    /// True if the file system would be grown.
    pub growfs: bool,
    /// Number of the partition; `None` for a bare image.
    pub number: Option<u32>,
}

impl Mount {
    /// The name of the partition of the disk at `path`, as fdisk and systemd-repart have it: `disk.raw1`, `disk0p1`.
    pub fn node(&self, path: &str) -> String {
        let Some(number) = self.number else { return path.into() };
        let separator = if path.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        format!("{path}{separator}{number}")
    }
}

/// systemd's words for protection. `Signed` means that a signature is there, never that it was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VerityColumn {
    /// Root hash, hash tree and signature are there.
    Signed,
    /// Root hash and hash tree are there.
    Yes,
    /// There is a hash tree, and no root hash but what the partition GUIDs would make: systemd-dissect 257 has `no` for it.
    Unused,
    /// Could be protected, and is not.
    No,
    /// The hash tree is beside the image.
    External,
}

impl VerityColumn {
    /// systemd's word: `signed`, `yes`, `no`, `external`.
    pub fn name(self) -> &'static str {
        match self {
            VerityColumn::Signed => "signed",
            VerityColumn::Yes => "yes",
            VerityColumn::Unused | VerityColumn::No => "no",
            VerityColumn::External => "external",
        }
    }
}

impl Report {
    /// Returns true if something is so wrong that the exit status must say so.
    pub fn broken(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Takes note of what was proven: takes the content of the data from there, which is read as proven bytes, and raises
    /// its [`Assurance`]. What was read before, and by no proof, is raised by none; nor is the hash partition, in which the
    /// superblock is covered by no root hash. A bare image is a root file system, so that a root hash for usr does not
    /// raise [`whole_assurance`](Self::whole_assurance).
    pub fn record(&mut self, assessment: &Assessment) {
        for proof in &assessment.proofs {
            let assurance = match proof.outcome {
                Outcome::Verified => Assurance::Authenticated,
                Outcome::Intact => Assurance::Intact,
                Outcome::Unknown | Outcome::Failed => continue,
            };
            let (Some(data), Some(probe)) = (proof.data, &proof.content) else { continue };
            let (content, raised) = match data.number {
                None if proof.role == Role::Root => (&mut self.whole, &mut self.whole_assurance),
                None => continue,
                Some(number) => match self.partitions.iter_mut().find(|partition| partition.number == number)
                {
                    Some(partition) => (&mut partition.content, &mut partition.assurance),
                    None => continue,
                },
            };
            if assurance >= *raised {
                (*content, *raised) = (Content::Recognised(probe.clone()), assurance);
            }
        }
    }
}

#[cfg(test)]
mod tests;
