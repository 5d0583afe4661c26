//! What became of an entry of the table, and why.

use core::fmt;

use ddi_gpt::{Designator, Guid};
use ddi_verity::RootHash;

use crate::severity::Severity;
use crate::trust::Role;

/// What became of an entry of the partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// It is used for this.
    Chosen(Designator),
    /// It is not used.
    Skipped(Skipped),
}

/// Why a partition is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skipped {
    /// Its type is unknown, or one that nobody mounts from an image.
    NotDiscoverable,
    /// The label `_empty` marks a free slot for updates.
    EmptySlot,
    /// The label begins with `PRT#` or `PND#`: half written, or not yet in use. systemd would consider it.
    Transient,
    /// The no-auto attribute.
    NoAuto,
    /// The attribute of an EFI system partition that the firmware must not use.
    NoBlockIo,
    /// The caller has nothing to do with verity.
    VerityNotWanted,
    /// The root hash is for the other one of root and usr.
    OtherRole(Role),
    /// The root hash wants another GUID.
    OtherGuid {
        /// Which one.
        expected: Guid,
    },
    /// The signature is for another root hash.
    OtherSignature {
        /// For which one.
        found: RootHash,
    },
    /// `/var` of another machine.
    OtherMachine {
        /// The GUID that it has on this machine.
        expected: Guid,
    },
    /// Another partition with the same purpose is better.
    Worse {
        /// Its number.
        than: u32,
        /// Why.
        because: Better,
    },
    /// A generic Linux partition, and there is one that says what it is for.
    NotNeeded,
    /// Not the active partition of an MBR, or of a type that means nothing here.
    Mbr,
    /// The image is a bare file system; its table counts for nothing.
    BareImage,
    /// The caller's filter does not match its label.
    Filter,
    /// The policy says to ignore it.
    Policy,
    /// The image was refused before it was this one's turn.
    NotReached,
}

/// Why one candidate is better than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Its architecture fits this machine better.
    Architecture,
    /// Its label is the newer version.
    Version,
    /// It comes first in the table.
    First,
}

impl Skipped {
    /// How much a person should care.
    pub fn severity(&self) -> Severity {
        match self {
            // two readers may take two partitions
            Skipped::Transient => Severity::Warning,
            _ => Severity::Note,
        }
    }

    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Skipped::NotDiscoverable => "not-discoverable",
            Skipped::EmptySlot => "empty-slot",
            Skipped::Transient => "transient",
            Skipped::NoAuto => "no-auto",
            Skipped::NoBlockIo => "no-block-io",
            Skipped::VerityNotWanted => "verity-not-wanted",
            Skipped::OtherRole(_) => "other-role",
            Skipped::OtherGuid { .. } => "other-guid",
            Skipped::OtherSignature { .. } => "other-signature",
            Skipped::OtherMachine { .. } => "other-machine",
            Skipped::Worse { because: Better::Architecture, .. } => "worse-architecture",
            Skipped::Worse { because: Better::Version, .. } => "older-version",
            Skipped::Worse { because: Better::First, .. } => "not-first",
            Skipped::NotNeeded => "not-needed",
            Skipped::Mbr => "mbr",
            Skipped::BareImage => "bare-image",
            Skipped::Filter => "filter",
            Skipped::Policy => "policy",
            Skipped::NotReached => "not-reached",
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skipped::NotDiscoverable => f.write_str("not used: nothing mounts a partition of this type"),
            Skipped::EmptySlot => f.write_str("not used: a free slot for updates"),
            Skipped::Transient => {
                f.write_str("not used: labelled as half written or pending, though systemd would consider it")
            }
            Skipped::NoAuto => f.write_str("not used: it has the no-auto attribute"),
            Skipped::NoBlockIo => f.write_str("not used: it has the no-block-io attribute"),
            Skipped::VerityNotWanted => f.write_str("not used: verity is not asked for"),
            Skipped::OtherRole(role) => write!(f, "not used: the root hash is for {role}"),
            Skipped::OtherGuid { expected } => {
                write!(f, "not used: by the root hash its GUID would have to be {expected}")
            }
            Skipped::OtherSignature { found } => {
                write!(f, "not used: the signature is for the root hash {found}")
            }
            Skipped::OtherMachine { expected } => {
                write!(f, "not used: on this machine its GUID would have to be {expected}")
            }
            Skipped::Worse { than, because: Better::Architecture } => {
                write!(f, "not used: partition {than} is for a better architecture")
            }
            Skipped::Worse { than, because: Better::Version } => {
                write!(f, "not used: partition {than} is a newer version")
            }
            Skipped::Worse { than, because: Better::First } => {
                write!(f, "not used: partition {than} comes first")
            }
            Skipped::NotNeeded => {
                f.write_str("not used: of the generic type, which counts only if it is alone and nothing else is the root")
            }
            Skipped::Mbr => f.write_str("not used: not the active Linux partition"),
            Skipped::BareImage => f.write_str("not used: the image as a whole is a file system"),
            Skipped::Filter => f.write_str("not used: the image filter does not match its label"),
            Skipped::Policy => f.write_str("not used: the image policy says so"),
            Skipped::NotReached => f.write_str("not used: the image was refused before"),
        }
    }
}
