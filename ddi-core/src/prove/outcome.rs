//! What came of a proof, and what that is worth.

use core::fmt;

use ddi_fs::{FsKind, probe as fs};
use ddi_gpt::Architecture;
use ddi_verity::Verdict;

use crate::dissect::DissectionRecord;
use crate::error::{Error, ErrorKind};
use crate::trust::signature::CheckedSignature;
use crate::trust::{KnownRootHash, Role, TrustedRootHash};
use crate::verity_set::Extent;

/// What a proof is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every block matches a root hash that the caller trusts.
    Verified,
    /// Every block matches a root hash that nobody vouches for.
    Intact,
    /// It was not possible to look.
    Unknown,
    /// Not every block matches, or there is nothing to match.
    Failed,
}

impl Outcome {
    /// The exit status of a program that reports it.
    pub fn exit_status(self) -> u8 {
        match self {
            Outcome::Verified => 0,
            Outcome::Failed => 1,
            Outcome::Unknown => 2,
            Outcome::Intact => 3,
        }
    }

    /// `trusted-and-proven`, `intact-unvouched`, `could-not-tell`, `not-proven`.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Verified => "trusted-and-proven",
            Outcome::Intact => "intact-unvouched",
            Outcome::Unknown => "could-not-tell",
            Outcome::Failed => "not-proven",
        }
    }

    /// The worse of two: what is not proven outweighs what could not be told, and both outweigh what is proven.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let rank = |outcome| match outcome {
            Outcome::Verified => 0,
            Outcome::Intact => 1,
            Outcome::Unknown => 2,
            Outcome::Failed => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// What it comes to when `error` stood in the way.
    pub(super) fn of(error: &Error) -> Self {
        match (error, error.kind()) {
            (Error::RootHashUnknown { .. }, _) | (_, ErrorKind::Io | ErrorKind::Usage) => Outcome::Unknown,
            _ => Outcome::Failed,
        }
    }
}

/// A rule that this image breaks, and that the caller set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exception {
    /// Of the verity parameters or the geometry.
    Verity(ddi_verity::GeometryException),
    /// Nothing recognised in the data.
    UnrecognisedContent,
    /// A file system in the data that hash blocks could be taken for; see [`Unfit`](crate::steps::Unfit).
    UnfitContent {
        /// What is recognised.
        kind: FsKind,
    },
    /// A file system that claims more than the data.
    ContentTooLarge {
        /// What it claims, in bytes.
        claimed: u64,
        /// What there is, in bytes.
        available: u64,
    },
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exception::Verity(exception) => exception.fmt(f),
            Exception::UnrecognisedContent => {
                f.write_str("the data holds nothing that is recognised as a file system")
            }
            Exception::UnfitContent { kind } => {
                write!(f, "that the data holds {} does not bind their size", kind.name())
            }
            Exception::ContentTooLarge { claimed, available } => {
                write!(f, "the file system claims {claimed} bytes, {available} are there")
            }
        }
    }
}

/// What came of proving one partition.
#[derive(Debug)]
#[non_exhaustive]
pub struct Proof {
    /// What the data is for.
    pub role: Role,
    /// The machine that it is for, if the partition type says so.
    pub architecture: Option<Architecture>,
    /// The data, if there is any.
    pub data: Option<Extent>,
    /// The hash tree, if there is one.
    pub hash: Option<Extent>,
    /// True if systemd chooses it.
    pub selected: bool,
    /// The root hash that it was proven against, and where that is from.
    pub root_hash: Option<KnownRootHash>,
    /// Who vouches for that root hash: a trusted key that signed it, else the caller.
    pub trusted: Option<TrustedRootHash>,
    /// True if the caller named the root hash.
    pub named_by_caller: bool,
    /// Every signature that is there for it, and what came of checking it.
    pub signatures: Vec<CheckedSignature>,
    /// Block by block.
    pub verdict: Option<Verdict>,
    /// What is in the data, read as proven bytes. `None` if nothing is recognised in it, or not every block matches.
    pub content: Option<Box<fs::Probe>>,
    /// Rules that would have been broken, had the options not widened them.
    pub exceptions: Vec<Exception>,
    /// Why there is no verdict.
    pub problem: Option<Error>,
    /// What it is worth.
    pub outcome: Outcome,
}

impl Proof {
    /// A partition that is not protected.
    pub(super) fn without_tree(role: Role, data: Extent) -> Self {
        let mut proof = Self::empty(role, Error::Unprotected { role, partition: data.number });
        proof.selected = true;
        proof.data = Some(data);
        proof
    }

    /// A root hash of the caller that is for nothing in the image.
    pub(super) fn missing(trusted: &TrustedRootHash, dissection: &DissectionRecord) -> Self {
        let role = trusted.role();
        let problem = match &dissection.outcome {
            Err(error @ Error::NoHashForRootHash { role: missing, .. }) if *missing == role => error.clone(),
            _ => Error::NoDataForRootHash { role, root_hash: (*trusted).into() },
        };
        let mut proof = Self::empty(role, problem);
        proof.root_hash = Some((*trusted).into());
        proof.trusted = Some(*trusted);
        proof.named_by_caller = true;
        proof
    }

    pub(super) fn empty(role: Role, problem: Error) -> Self {
        Proof {
            role,
            architecture: None,
            data: None,
            hash: None,
            selected: false,
            root_hash: None,
            trusted: None,
            named_by_caller: false,
            signatures: Vec::new(),
            verdict: None,
            content: None,
            exceptions: Vec::new(),
            outcome: Outcome::Failed,
            problem: Some(problem),
        }
    }
}
