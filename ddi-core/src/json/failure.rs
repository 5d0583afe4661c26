//! Why there is no answer.

use std::io;
use std::iter;

use ddi_fs::Error as FileError;
use ddi_signature::{CertificateFileError, SignatureError};
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
#[cfg(feature = "files")]
use crate::mount::ExtractError;
use crate::mount::{MountError, ReadError};
use crate::policy::ParseError;
use crate::trust::Assurance;

/// Why there is no answer: `ddi.error/1`.
///
/// ```
/// use ddi_core::json::Failure;
///
/// let error = "root=signd".parse::<ddi_core::policy::ImagePolicy>().unwrap_err();
/// let failure = Failure::of(&error).to_json();
/// assert_eq!((&failure["kind"], &failure["code"]), (&"usage".into(), &"policy-unknown-flag".into()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
    known: Known,
    image: Option<String>,
}

/// What programs go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    kind: &'static str,
    code: &'static str,
    partition: Option<u32>,
    offset: Option<u64>,
}

impl Known {
    const USAGE: Known = Known::new("usage", "usage");

    const fn new(kind: &'static str, code: &'static str) -> Self {
        Known { kind, code, partition: None, offset: None }
    }
}

impl Failure {
    /// By the first error among `error` and its sources that is of these crates or of the system. What none of them is behind
    /// is a fault of the call: kind and code are `usage`.
    pub fn of(error: &(dyn core::error::Error + 'static)) -> Self {
        let known = iter::successors(Some(error), |error| error.source()).find_map(known);
        Failure { message: error.to_string(), known: known.unwrap_or(Known::USAGE), image: None }
    }

    /// Says it in other words.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// For an error of a crate that this one does not know: kind, one of those of the schema, and code.
    #[must_use]
    pub fn known_as(mut self, kind: &'static str, code: &'static str) -> Self {
        self.known = Known::new(kind, code);
        self
    }

    /// Of which image, as it was named.
    #[must_use]
    pub fn image(mut self, image: Option<String>) -> Self {
        self.image = image;
        self
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        let Failure { message, known, image } = self;
        json!({
            "schema": "ddi.error/1",
            "kind": known.kind,
            "code": known.code,
            "message": message,
            "image": image,
            "partition": known.partition,
            "offset": known.offset,
        })
    }
}

macro_rules! document {
    ($($error:ty),*) => {
        $(impl $error {
            /// As JSON: `ddi.error/1`.
            pub fn to_json(&self) -> Value {
                Failure::of(self).to_json()
            }
        })*
    };
}

document!(Error, MountError, ReadError, ParseError);
#[cfg(feature = "files")]
document!(ExtractError);

fn known(error: &(dyn core::error::Error + 'static)) -> Option<Known> {
    if let Some(error) = error.downcast_ref() {
        return Some(of_error(error));
    }
    if let Some(error) = error.downcast_ref::<MountError>() {
        return Some(match error {
            MountError::Refused(error) | MountError::Unproven(error) | MountError::Source(error) => {
                of_error(error)
            }
            MountError::FileSystem(error) => of_file(error),
            MountError::Unrecognised | MountError::Encrypted => Known::new("unsupported", error.code()),
        });
    }
    if let Some(error) = error.downcast_ref::<ReadError>() {
        return Some(match error {
            ReadError::File(error) => of_file(error),
            ReadError::NotProven { number, assurance, .. } => {
                let code = match assurance {
                    Assurance::Claimed => "not-protected",
                    _ => "not-vouched-for",
                };
                Known { partition: *number, ..Known::new("mismatch", code) }
            }
        });
    }
    #[cfg(feature = "files")]
    if let Some(error) = error.downcast_ref::<ExtractError>() {
        return of_extract(error);
    }
    if let Some(error) = error.downcast_ref() {
        return Some(of_file(error));
    }
    if let Some(error) = error.downcast_ref::<ddi_verity::Error>() {
        return Some(Known::new(kind_name(error.kind()), error.code()));
    }
    if let Some(error) = error.downcast_ref::<ddi_gpt::Error>() {
        let kind = match error.kind() {
            ddi_gpt::ErrorKind::Corrupt => "corrupt",
            ddi_gpt::ErrorKind::Unsupported | ddi_gpt::ErrorKind::Absent => "unsupported",
            ddi_gpt::ErrorKind::Invalid => "usage",
        };
        return Some(Known { offset: error.offset(), ..Known::new(kind, error.code()) });
    }
    if let Some(error) = error.downcast_ref::<SignatureError>() {
        return Some(Known::new(kind_name(error.kind()), error.code()));
    }
    if let Some(error) = error.downcast_ref::<CertificateFileError>() {
        let kind = match error {
            CertificateFileError::Io(_) => "io",
            CertificateFileError::Content(error) => kind_name(error.kind()),
            _ => "usage",
        };
        return Some(Known::new(kind, error.code()));
    }
    if let Some(error) = error.downcast_ref::<ParseError>() {
        return Some(Known::new("usage", error.kind.code()));
    }
    let error = error.downcast_ref::<io::Error>()?;
    // a source of these crates says what is wrong inside
    let inner = error.get_ref().and_then(|inner| known(inner));
    Some(inner.unwrap_or(Known::new("io", "io")))
}

fn of_error(error: &Error) -> Known {
    let kind = match error.kind() {
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Mismatch => "mismatch",
        ErrorKind::Io => "io",
        ErrorKind::Usage => "usage",
    };
    let offset = match error {
        Error::Io { offset, .. } => *offset,
        Error::Table(error) => error.offset(),
        Error::TailNotZero { offset, .. } => Some(*offset),
        _ => None,
    };
    Known { kind, code: error.code(), partition: error.partition(), offset }
}

/// `None`: its source says more.
#[cfg(feature = "files")]
fn of_extract(error: &ExtractError) -> Option<Known> {
    let kind = match (error, error.kind()) {
        (ExtractError::Read { .. }, _) => return None,
        (_, ErrorKind::Corrupt) => "corrupt",
        (_, ErrorKind::Unsupported) => "unsupported",
        (_, ErrorKind::Mismatch) => "mismatch",
        (_, ErrorKind::Io) => "io",
        (_, ErrorKind::Usage) => "usage",
    };
    Some(Known::new(kind, error.code()))
}

fn of_file(error: &FileError) -> Known {
    let kind = match error {
        FileError::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => "mismatch",
        FileError::Io { .. } => "io",
        FileError::Corrupt { .. } | FileError::DirectoryLoop => "corrupt",
        FileError::Unsupported { .. } | FileError::Features { .. } | FileError::NoReader { .. } => {
            "unsupported"
        }
        FileError::Budget(_) | FileError::TooLarge { .. } => "limit",
        FileError::NotFound
        | FileError::NotADirectory
        | FileError::NotAFile
        | FileError::NotALink
        | FileError::LinkLoop => "absent",
        // those that may come
        _ => "unsupported",
    };
    Known::new(kind, error.code())
}

fn kind_name(kind: ddi_verity::ErrorKind) -> &'static str {
    match kind {
        ddi_verity::ErrorKind::Corrupt => "corrupt",
        ddi_verity::ErrorKind::Unsupported => "unsupported",
        ddi_verity::ErrorKind::Io => "io",
        ddi_verity::ErrorKind::Mismatch => "mismatch",
        ddi_verity::ErrorKind::Usage => "usage",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::Step;

    fn known_as(error: &(dyn core::error::Error + 'static)) -> [Value; 4] {
        let document = Failure::of(error).to_json();
        ["kind", "code", "partition", "offset"].map(|key| document[key].clone())
    }

    #[test]
    fn errors_are_known_by_their_outermost_type() {
        let io = || io::Error::from(io::ErrorKind::NotFound);
        let read = Error::Io { step: Step::Table, offset: Some(512), error: Arc::new(io()) };
        assert_eq!(known_as(&read), ["io".into(), "io".into(), Value::Null, 512.into()]);
        let table = Error::Table(ddi_gpt::Error::NoTable);
        assert_eq!(known_as(&table)[..2], ["corrupt", "gpt-no-table"].map(Value::from));
        let refused = MountError::Refused(Error::Unprotected { role: crate::Role::Root, partition: Some(3) });
        assert_eq!(known_as(&refused), ["mismatch".into(), "unprotected".into(), 3.into(), Value::Null]);
        assert_eq!(known_as(&io())[..2], ["io", "io"].map(Value::from));
        assert_eq!(known_as(&FileError::NotFound)[..2], ["absent", "not-found"].map(Value::from));
        assert_eq!(known_as(&core::fmt::Error)[..2], ["usage", "usage"].map(Value::from));
    }

    #[test]
    fn why_files_are_not_extracted() {
        let path = || b"/a".to_vec();
        let read = |error| ExtractError::Read { path: path(), error: ReadError::File(error) };
        for (error, kind, code) in [
            (read(FileError::NotFound), "absent", "not-found"),
            (read(FileError::DirectoryLoop), "corrupt", "directory-loop"),
            (
                ExtractError::Impossible { path: path(), what: "impossible name" },
                "corrupt",
                "corrupt-file-system",
            ),
            (ExtractError::Stream(io::Error::other("full")), "io", "io"),
        ] {
            assert_eq!(known_as(&error)[..2], [kind, code].map(Value::from), "{error}");
        }
    }

    /// `io::Error::source` skips what it holds.
    #[test]
    fn what_a_source_reports_is_found_inside_of_its_error() {
        let block = ddi_verity::Error::BlockTwice { block: 7 };
        let code = block.code();
        let error = io::Error::new(io::ErrorKind::InvalidData, block);
        assert_eq!(known_as(&error)[1], code);
    }
}
