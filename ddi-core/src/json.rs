//! Reports, verdicts and errors as JSON: the documents that the command `ddi` prints, byte for byte.
//!
//! ```no_run
//! use ddi_core::{Image, Trust};
//!
//! let disk = Image::open("image.raw")?.dissect(&Trust::certificate_file("vendor.crt")?);
//! println!("{}", disk.report().to_json()); // ddi.inspect/1
//! match disk.verify() {
//!     Ok(assessment) => println!("{}", assessment.to_json()), // ddi.verify/1
//!     Err(error) => println!("{}", error.to_json()), // ddi.error/1
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | document | of |
//! | --- | --- |
//! | `ddi.inspect/1` | [`Report::to_json`](crate::Report::to_json), [`Inspection`] |
//! | `ddi.verify/1` | [`Assessment::to_json`](crate::Assessment::to_json), [`Verification`] |
//! | `ddi.policy/1` | [`ImagePolicy::to_json`](crate::policy::ImagePolicy::to_json) |
//! | `ddi.policy-check/1` | [`PolicyEvaluation::to_json`](crate::PolicyEvaluation::to_json) |
//! | `ddi.file/1` | [`FileEntry::to_json`] |
//! | `ddi.error/1` | [`Failure`], and `to_json` of the errors |
//!
//! Where a document has more than one type to tell of, a builder named here gathers them. Each document has its name and
//! version as `schema`; `docs/schema` in the repository has a JSON Schema for each. Keys are added without notice; a change of
//! what a key means is a new version.
//!
//! Text from an image is in the strings as it is, except for what JSON itself escapes: whoever prints it on a terminal escapes
//! the rest.

mod damage;
mod failure;
mod file;
mod inspection;
mod policy;
mod signature;
mod unproven;
mod verification;

use std::fmt::{Display, Write as _};

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::report::finding::Finding;
use crate::trust::KnownRootHash;
use crate::verity_set::Extent;

pub use failure::Failure;
pub use file::FileEntry;
pub use inspection::Inspection;
pub use verification::Verification;

impl Finding {
    /// As JSON: a part of `ddi.inspect/1`.
    pub fn to_json(&self) -> Value {
        json!({
            "severity": self.severity.name(),
            "authority": self.authority().name(),
            "code": self.code(),
            "message": self.to_string(),
            "partition": self.partition,
            "offset": self.offset,
        })
    }
}

/// Sets `key` to a name from an image, and, where that is not UTF-8, `keyHex` to its bytes.
pub fn insert_name(object: &mut Map<String, Value>, key: &str, name: &[u8]) {
    object.insert(key.to_owned(), name_text(name).into());
    if std::str::from_utf8(name).is_err() {
        object.insert(format!("{key}Hex"), hex(name).into());
    }
}

/// A name from an image as text. UTF-8 stays as it is; in anything else, a byte that is not part of it becomes `\xNN`, and a
/// backslash two.
pub fn name_text(name: &[u8]) -> String {
    if let Ok(name) = std::str::from_utf8(name) {
        return name.to_owned();
    }
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A reason inside a document.
fn reason(code: &str, message: impl Display) -> Value {
    json!({ "code": code, "message": message.to_string() })
}

fn error_reason(error: &Error) -> Value {
    reason(error.code(), error)
}

/// Offset and size are in bytes, of the image or of the file beside it.
fn extent(extent: Extent) -> Value {
    json!({
        "partition": extent.number,
        "offset": extent.range.offset,
        "size": extent.range.size,
        "external": extent.external,
    })
}

fn root_hash(known: &KnownRootHash) -> Value {
    json!({ "hash": known.hash.to_string(), "role": known.role.name(), "origin": known.origin.name() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_text_come_with_their_bytes() {
        assert_eq!(name_text("a\\ä".as_bytes()), "a\\ä");
        assert_eq!(name_text(b"a\\\xff\xc3\xa4\xc3"), "a\\\\\\xffä\\xc3");
        let mut object = Map::new();
        insert_name(&mut object, "path", "/a\\b/ü\n".as_bytes());
        insert_name(&mut object, "target", b"a\\b\xff");
        let expected = json!({ "path": "/a\\b/ü\n", "target": "a\\\\b\\xff", "targetHex": "615c62ff" });
        assert_eq!(Value::from(object), expected);
    }
}
