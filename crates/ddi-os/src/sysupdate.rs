//! Update sets: a directory of files with versions in their names, as systemd-sysupdate takes them.
//!
//! ```text
//!   os_@v.root.xz   os_7.root.xz ┐                      _empty   ┐
//!   os_@v.verity.xz os_7.verity.xz ├ version 7: complete  os_6     ├ slots of the table ─▶ os_7
//!   os_@v.efi       os_7.efi     ┘                      os_5     ┘
//!        Pattern         Manifest (SHA256SUMS)             Plan
//! ```
//!
//! A [`Pattern`] says which part of a name is the version. A [`Manifest`] says which files there are and what their sums are;
//! whoever wrote it says so, unless [`verify_manifest`] found it signed with a key that the caller trusts. A [`Transfer`] is
//! what one file of a version is for, and a [`Plan`] which partition it would go to.

mod directory;
mod manifest;
mod pattern;
mod signature;
mod slots;
mod transfer;

use std::{fmt, io};

pub use directory::{Directory, FileProblem, MAX_FILES};
pub use manifest::{Date, Listed, MAX_MANIFEST, Manifest, ManifestError, ManifestProblem};
pub use pattern::{Fields, Pattern, PatternError, is_version};
pub use signature::{SignatureProblem, verify_manifest};
pub use slots::{Plan, Slot, SlotContent};
pub use transfer::{Target, Transfer, TransferError, TransferProblem};

/// Why an update set cannot be looked at.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Directory, manifest or signature cannot be read.
    Io(io::Error),
    /// The manifest or its signature is no regular file, or too large.
    File(FileProblem),
    /// More files in the directory than are looked at.
    TooManyFiles,
    /// There is no program here that could check the signature, or it did not end.
    NoVerifier(SignatureProblem),
}

impl Error {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Io(_) => "io",
            Error::File(problem) => problem.code(),
            Error::TooManyFiles => "too-many-files",
            Error::NoVerifier(problem) => problem.code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => error.fmt(f),
            Error::File(problem) => problem.fmt(f),
            Error::TooManyFiles => write!(f, "more than {MAX_FILES} files"),
            Error::NoVerifier(problem) => problem.fmt(f),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            Error::File(problem) => Some(problem),
            Error::NoVerifier(problem) => Some(problem),
            Error::TooManyFiles => None,
        }
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A SHA-256 sum from 64 digits of either case.
fn parse_sha256(text: &[u8]) -> Option<[u8; 32]> {
    let mut sum = [0; 32];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != sum.len() || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, [high, low]) in sum.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(sum)
}
