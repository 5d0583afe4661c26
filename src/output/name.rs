//! Names from an image: bytes, which need not be text.

use std::fmt::Write as _;

use serde_json::Value;

use super::escape_sentence;

/// A name as text. What is UTF-8 stays as it is; in anything else, a byte that is not becomes `\xNN`, and a backslash two.
pub(crate) fn name_text(name: &[u8]) -> String {
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

/// As [`name_text`], fit for a terminal.
pub(super) fn shown_name(name: &[u8]) -> String {
    escape_sentence(name_text(name))
}

/// Sets `key` to the name, and, where that is no UTF-8, `keyHex` to its bytes.
pub(super) fn set_name(object: &mut Value, key: &str, name: &[u8]) {
    object[key] = name_text(name).into();
    if std::str::from_utf8(name).is_err() {
        object[format!("{key}Hex")] = hex(name).into();
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_that_are_no_text_come_with_their_bytes() {
        assert_eq!(name_text("a\\ä".as_bytes()), "a\\ä");
        assert_eq!(name_text(b"a\\\xff\xc3\xa4\xc3"), "a\\\\\\xffä\\xc3");
        let mut object = json!({});
        set_name(&mut object, "path", "/a\\b/ü\n".as_bytes());
        set_name(&mut object, "target", b"a\\b\xff");
        assert_eq!(object, json!({ "path": "/a\\b/ü\n", "target": "a\\\\b\\xff", "targetHex": "615c62ff" }));
        assert_eq!(shown_name(b"\xffa\x1b[m"), "\\xffa\\u{1b}[m");
    }
}
