//! Checks of an image against what it is meant for: portable service, extension, golden image, boot, update.
//!
//! Each check goes through the rules of one specification and says in a [`CheckReport`] where the image does not meet
//! them: what is wrong, how bad that is, where, and which rule says so. All of them share this report.
#![forbid(unsafe_code)]
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

#[cfg(feature = "uki")]
mod boot;
mod extension;
mod golden;
#[cfg(feature = "json")]
mod json;
pub mod metadata;
mod portable;
mod system_facts;
#[cfg(feature = "update")]
pub mod sysupdate;
#[cfg(feature = "uki")]
pub mod uki;
pub mod unit_file;
#[cfg(feature = "update")]
mod update;

use std::borrow::Cow;
use std::ops::ControlFlow;

use ddi_gpt::Designator;

use ddi_core::MountError;
use ddi_core::Severity;
use ddi_core::{Assurance, Authority};
use ddi_core::{Error, ErrorKind};
use ddi_fs::{self as files, Limit, Place, Vfs};

#[cfg(feature = "uki")]
pub use boot::{BootOptions, UkiFile, boot};
pub use extension::{
    ExtensionHost, ExtensionImage, ExtensionMatch, ExtensionMismatch, ExtensionScope, extension,
    match_extension,
};
pub use golden::golden;
pub use portable::{PortableScope, portable, portable_prefix, portable_unit_matches};
pub use system_facts::SystemFacts;
#[cfg(feature = "update")]
pub use update::{UpdateOptions, update};

/// Most names of one directory that a check takes: with more it cannot tell.
const MAX_NAMES: usize = 100_000;

/// Most findings that a report tells: an image can be made to have any number of them.
const MAX_FINDINGS: usize = 1000;
/// Bytes of one reason, which may quote the image.
const MAX_REASON: usize = 1024;

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
    /// In which image, as it was named, where several are checked together.
    pub image: Option<String>,
    /// What is wrong: lower case, no full stop; 1 KiB of it at most.
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
        let mut reason = reason.into();
        if let Cow::Owned(beginning) = shortened(&reason, MAX_REASON) {
            reason = beginning;
        }
        CheckFinding { severity, code, subject, image: None, reason, rule }
    }

    /// What an error of reading says about the image: that it is refused, or is not what its root hash says. `None` if it
    /// says nothing about it: then nobody could tell.
    pub fn of_unreadable(error: &MountError) -> Option<Self> {
        const NOT_PROVEN: (&str, &str) = ("not-proven", "dm-verity");
        let is_about_image = |error: &Error| !matches!(error.kind(), ErrorKind::Io | ErrorKind::Usage);
        let image_refused = |error: &Error| match error.authority() {
            Authority::Systemd => ("image-refused", "Discoverable Disk Image Specification"),
            authority => ("image-refused", authority.name()),
        };
        let (code, rule) = match error {
            // no image at all: not a bad one
            MountError::Refused(Error::NothingRecognised)
            | MountError::Unproven(Error::RootHashUnknown { .. }) => return None,
            MountError::Refused(Error::NoDataForRootHash { .. } | Error::NoHashForRootHash { .. }) => {
                NOT_PROVEN
            }
            MountError::Refused(error) if is_about_image(error) => image_refused(error),
            MountError::Unproven(error) if is_about_image(error) => NOT_PROVEN,
            MountError::FileSystem(error) if error.code() == "mismatch" => NOT_PROVEN,
            _ => return None,
        };
        Some(CheckFinding::new(Severity::Error, code, Subject::Whole, error.to_string(), rule))
    }

    /// The same, in this image of several.
    #[must_use]
    pub fn in_image(mut self, name: impl Into<String>) -> Self {
        self.image = Some(name.into());
        self
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
    /// What is wrong, in the order of the rules; [`add`](Self::add) bounds it.
    pub findings: Vec<CheckFinding>,
}

impl CheckReport {
    /// Nothing found yet.
    pub fn new(check: &'static str, assurance: Assurance) -> Self {
        CheckReport { check, assurance, facts: Vec::new(), findings: Vec::new() }
    }

    /// Returns true if the image does what it is checked for.
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    /// Adds what was found.
    pub fn find(
        &mut self,
        severity: Severity,
        code: &'static str,
        subject: Subject,
        reason: impl Into<String>,
        rule: &'static str,
    ) {
        self.add(CheckFinding::new(severity, code, subject, reason, rule));
    }

    /// The same. Behind the thousandth, one more stands for all others, as bad as the worst of them.
    pub fn add(&mut self, finding: CheckFinding) {
        if self.findings.len() < MAX_FINDINGS {
            return self.findings.push(finding);
        }
        match self.findings.get_mut(MAX_FINDINGS) {
            Some(others) => others.severity = others.severity.max(finding.severity),
            None => {
                let reason = format!("more than {MAX_FINDINGS} findings: the others are not told");
                let (severity, rule) = (finding.severity, "limit of ours");
                self.findings.push(CheckFinding::new(
                    severity,
                    "too-many-findings",
                    Subject::Whole,
                    reason,
                    rule,
                ));
            }
        }
    }

    /// Notes a fact.
    pub fn fact(&mut self, name: &'static str, values: impl IntoIterator<Item = impl Into<String>>) {
        self.facts.push((name, values.into_iter().map(Into::into).collect()));
    }
}

/// The file at `path`, links followed; `None` if there is none.
fn find(tree: &Vfs, path: &[u8]) -> Result<Option<Place>, MountError> {
    absent_is_none(tree.resolve(path))
}

/// What only says that there is nothing is no error.
fn absent_is_none<T>(result: Result<T, files::Error>) -> Result<Option<T>, MountError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(MountError::FileSystem(error)),
    }
}

/// The names in a directory, sorted, and their files; none if it is not there.
fn names(tree: &Vfs, directory: &[u8]) -> Result<Vec<(Vec<u8>, Place)>, MountError> {
    let Some(place) = find(tree, directory)? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    let listed = tree.list(place, &mut |entry, place| {
        if names.len() >= MAX_NAMES {
            return ControlFlow::Break(());
        }
        names.push((entry.name.to_vec(), place));
        ControlFlow::Continue(())
    });
    absent_is_none(listed)?;
    if names.len() >= MAX_NAMES {
        return Err(MountError::FileSystem(files::Error::Budget(Limit::Entries)));
    }
    names.sort();
    Ok(names)
}

/// Returns true if it is an ID of a machine: 32 hexadecimal digits.
fn is_machine_id(text: &[u8]) -> bool {
    text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit)
}

/// The beginning of a text that is too long to be told, in whole characters.
fn shortened(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    // a character has four bytes at most
    let ends = (0..4).filter_map(|back| max.checked_sub(back));
    let start = ends.filter_map(|end| text.get(..end)).next().unwrap_or_default();
    Cow::Owned(format!("{start}…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_finding_stands_for_those_that_are_too_many() {
        let mut report = CheckReport::new("golden", Assurance::Claimed);
        let mut find = |severity, times| {
            for _ in 0..times {
                report.find(severity, "code", Subject::Whole, "reason", "rule");
            }
            let last = report.findings.last().unwrap();
            (report.findings.len(), last.code, last.severity, report.passed())
        };
        assert_eq!(find(Severity::Note, MAX_FINDINGS), (MAX_FINDINGS, "code", Severity::Note, true));
        let others = "too-many-findings";
        assert_eq!(find(Severity::Note, 1), (MAX_FINDINGS + 1, others, Severity::Note, true));
        assert_eq!(find(Severity::Error, 1), (MAX_FINDINGS + 1, others, Severity::Error, false));
        assert_eq!(find(Severity::Warning, 5), (MAX_FINDINGS + 1, others, Severity::Error, false));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (text, max, expected) in
            [("abc", 3, "abc"), ("abcd", 3, "abc…"), ("aéb", 2, "a…"), ("é", 0, "…"), ("", 0, "")]
        {
            assert_eq!(shortened(text, max), expected, "{text}");
        }
        let long = "é".repeat(MAX_REASON);
        let finding = CheckFinding::new(Severity::Note, "code", Subject::Whole, long, "rule");
        assert_eq!(finding.reason, "é".repeat(MAX_REASON / 2) + "…");
    }
}
