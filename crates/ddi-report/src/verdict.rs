//! The one word that a document comes to.

use serde_json::Value;

use crate::document::{Documents, is, list, member, text, uint};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tone {
    /// Proven under a root hash that somebody the caller trusts vouches for; or a check that passed.
    Good,
    /// Whole, or as far as anybody looked; nobody vouches for it.
    Open,
    /// It could not be told.
    Unknown,
    /// Not proven, broken, refused.
    Bad,
}

impl Tone {
    /// Name of the class in the page.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Open => "open",
            Tone::Unknown => "unknown",
            Tone::Bad => "bad",
        }
    }

    /// A mark that says it without colour.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Tone::Good => "✓",
            Tone::Open => "○",
            Tone::Unknown => "?",
            Tone::Bad => "✗",
        }
    }
}

/// What the documents about an image come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// How bad it is.
    pub tone: Tone,
    /// The word: that with which `ddi verify` begins its output.
    pub word: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

impl Verdict {
    const fn new(tone: Tone, word: &'static str, meaning: &'static str) -> Self {
        Verdict { tone, word, meaning }
    }

    /// Of the document that was asked for: a check before a proof before an inspection.
    pub(crate) fn of(documents: &Documents<'_>) -> Self {
        match documents {
            Documents { check: Some(check), .. } => Self::of_check(check),
            Documents { verify: Some(verify), .. } => Self::of_verify(verify),
            Documents { inspect: Some(inspect), .. } => Self::of_inspect(inspect),
            _ => Self::new(Tone::Unknown, "COULD NOT TELL", "there is nothing to report on"),
        }
    }

    fn of_check(check: &Value) -> Self {
        match text(check, "verdict") {
            "passed" => Self::new(Tone::Good, "PASSED", "nothing that was found is an error"),
            "failed" => Self::new(Tone::Bad, "FAILED", "at least one finding is an error"),
            _ => Self::new(Tone::Unknown, "COULD NOT TELL", "the check has no verdict"),
        }
    }

    fn of_verify(verify: &Value) -> Self {
        let is_whole =
            |proof: &Value| matches!(text(proof, "outcome"), "trusted-and-proven" | "intact-unvouched");
        let proofs = list(verify, "proofs");
        let only_policy = member(verify, "imagePolicy").is_some()
            && member(verify, "strict").is_none()
            && !proofs.is_empty()
            && proofs.iter().all(is_whole);
        match (uint(verify, "exitStatus"), text(verify, "outcome")) {
            (Some(0), "trusted-and-proven") => Self::new(
                Tone::Good,
                "VERIFIED",
                "every protected block matches a root hash that somebody you trust vouches for",
            ),
            (Some(0 | 3), _) => Self::new(
                Tone::Open,
                "INTACT ONLY",
                "every block matches a root hash that nobody vouches for: the image is whole, which says nothing about where it is from",
            ),
            (Some(1), _) if only_policy => Self::new(
                Tone::Bad,
                "REFUSED",
                "every block matches, but the image is not allowed to be used",
            ),
            (Some(1), _) => Self::new(Tone::Bad, "NOT PROVEN", "do not trust this image"),
            _ => Self::new(Tone::Unknown, "COULD NOT TELL", "not everything could be looked at"),
        }
    }

    fn of_inspect(inspect: &Value) -> Self {
        let is_signed = |set: &Value| {
            list(set, "signatures").iter().any(|signature| text(signature, "state") == "verified")
        };
        if is(inspect, "broken") {
            Self::new(Tone::Bad, "BROKEN", "something is so wrong that the image should not be used")
        } else if list(inspect, "verity").iter().any(is_signed) {
            Self::new(
                Tone::Open,
                "SIGNED, NOT PROVEN YET",
                "a key that you trust signed the root hash; the blocks under it were not looked at, which ddi verify does",
            )
        } else {
            Self::new(
                Tone::Open,
                "LOOKED AT",
                "this is what the image says of itself; ddi verify proves what can be proven",
            )
        }
    }
}
