//! Why there is no answer, in the shape in which C takes it.

use core::error::Error as StdError;
use std::ffi::{CStr, CString};
use std::iter;

use ddi_core::json::Failure;
use ddi_gpt::Escaped;
use serde_json::Value;

/// How a call ended, by the numbers that `ddi` the command exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Yes.
    Ok = 0,
    /// No: not proven, broken, or forbidden.
    Refused = 1,
    /// It could not be told.
    Error = 2,
    /// Every block matches, and nobody vouches for it.
    Unvouched = 3,
}

/// Why there is no answer, or why it is not yes.
#[derive(Debug)]
pub struct Error {
    pub(crate) status: Status,
    pub(crate) code: CString,
    pub(crate) message: CString,
    pub(crate) json: CString,
    pub(crate) offset: Option<u64>,
}

impl Error {
    /// Of one of the libraries, or of the system.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        Self::from_document(Failure::of(error).message(chain(error)).to_json())
    }

    /// Of this library.
    pub(crate) fn new(kind: &str, code: &str, message: impl Into<String>) -> Self {
        // the shape is that of any other
        let mut document = Failure::of(&core::fmt::Error).message(message).to_json();
        if let Some(object) = document.as_object_mut() {
            object.insert("kind".to_owned(), kind.into());
            object.insert("code".to_owned(), code.into());
        }
        Self::from_document(document)
    }

    /// The call makes no sense.
    pub(crate) fn usage(code: &str, message: impl Into<String>) -> Self {
        Self::new("usage", code, message)
    }

    /// A pointer that is needed is NULL.
    pub(crate) fn null(argument: &str) -> Self {
        Self::usage("null-argument", format!("{argument} is NULL"))
    }

    /// The caller asked to stop.
    pub(crate) fn cancelled() -> Self {
        Self::usage("cancelled", "cancelled by the caller")
    }

    /// The same error, for this place in what is read.
    #[must_use]
    pub(crate) fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    fn from_document(document: Value) -> Self {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        let (kind, code) = (text("kind"), text("code"));
        let status = match (kind, code) {
            (_, "not-vouched-for") => Status::Unvouched,
            ("mismatch" | "corrupt", _) => Status::Refused,
            _ => Status::Error,
        };
        Error {
            status,
            code: c_string(code),
            message: c_string(&escaped(text("message"))),
            json: c_string(&document.to_string()),
            offset: document.get("offset").and_then(Value::as_u64),
        }
    }
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Error::of(&error)
    }
}

/// The error and its causes; many an error names its cause already.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for cause in iter::successors::<&(dyn StdError + 'static), _>(Some(error), |error| (*error).source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    text
}

/// Text in which something may be escaped already, fit for a terminal and a log: backslashes stay as they are.
pub(crate) fn escaped(text: &str) -> String {
    let parts: Vec<String> = text.split('\\').map(|part| Escaped::new(part).to_string()).collect();
    parts.join("\\")
}

/// Text for C, where a NUL would end it.
pub(crate) fn c_string(text: &str) -> CString {
    let bytes: Vec<u8> = text.bytes().map(|byte| if byte == 0 { b'?' } else { byte }).collect();
    CString::new(bytes).unwrap_or_else(|_| CStr::to_owned(c"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_libraries_keep_their_code() {
        let error = Error::of(&"root=signd".parse::<ddi_core::policy::ImagePolicy>().unwrap_err());
        assert_eq!((error.code.to_str(), error.status), (Ok("policy-unknown-flag"), Status::Error));
        let table = ddi_core::Error::Table(ddi_gpt::Error::NoTable);
        assert_eq!(
            (Error::of(&table).code.to_str(), Error::of(&table).status),
            (Ok("gpt-no-table"), Status::Refused)
        );
    }

    #[test]
    fn text_for_c_has_one_nul_and_nothing_that_a_terminal_obeys() {
        let error = Error::usage("unknown-option", "a\0b\x1b[31m\\n");
        assert_eq!(error.message.to_bytes(), br"a\u{0}b\u{1b}[31m\n");
        assert_eq!(c_string("a\0b").to_bytes(), b"a?b");
        assert!(error.json.to_str().unwrap().contains(r#""code":"unknown-option""#));
    }
}
