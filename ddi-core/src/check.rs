//! Checks of an image against what it is meant for: portable service, extension, golden image, boot, update.
//!
//! Each check goes through the rules of one specification and says in a [`CheckReport`] where the image does not meet
//! them: what is wrong, how bad that is, where, and which rule says so. All of them share this report.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

use ddi_gpt::Designator;

use crate::finding::Severity;
use crate::report::Assurance;

/// Where a finding is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// All of what is checked.
    Whole,
    /// A partition: its number, if it has one, and what it is for, if anything.
    Partition {
        /// Number in the table; `None` for a bare image.
        number: Option<u32>,
        /// What it is for.
        designator: Option<Designator>,
    },
    /// A file or directory in the image: its path from the root of the system, bytes as they are.
    Path(Vec<u8>),
    /// A field of a file in the image.
    Field {
        /// The file's path.
        path: Vec<u8>,
        /// The field: `VERSION_ID`.
        key: String,
    },
    /// A file outside the image, as it was named: another image, a member of an update set.
    File(String),
}

/// One thing that a check found. Text may hold bytes from the image: escape it before you print it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckFinding {
    /// [`Severity::Error`]: the image does not do what it is checked for.
    pub severity: Severity,
    /// Stable name for programs.
    pub code: &'static str,
    /// Where.
    pub subject: Subject,
    /// What is wrong: lower case, no full stop.
    pub reason: String,
    /// The rule that says so: a specification with its section, or the manual page of the program that would refuse it.
    pub rule: &'static str,
}

impl CheckFinding {
    /// About `subject`.
    pub fn new(
        severity: Severity,
        code: &'static str,
        subject: Subject,
        reason: impl Into<String>,
        rule: &'static str,
    ) -> Self {
        CheckFinding { severity, code, subject, reason: reason.into(), rule }
    }
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// What was checked for: `portable`, `extension`, `golden`, `boot`, `update`.
    pub check: &'static str,
    /// How far what was read can be relied upon: that of the least of it.
    pub assurance: Assurance,
    /// What was found out on the way and is worth telling, in the order in which people want it: a name (`units`), and
    /// what there is for it.
    pub facts: Vec<(&'static str, Vec<String>)>,
    /// What is wrong, in the order of the rules.
    pub findings: Vec<CheckFinding>,
}

impl CheckReport {
    /// Nothing found yet.
    pub fn new(check: &'static str, assurance: Assurance) -> Self {
        CheckReport { check, assurance, facts: Vec::new(), findings: Vec::new() }
    }

    /// Does the image do what it is checked for?
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    /// Notes a fact.
    pub fn fact(&mut self, name: &'static str, values: impl IntoIterator<Item = impl Into<String>>) {
        self.facts.push((name, values.into_iter().map(Into::into).collect()));
    }
}
