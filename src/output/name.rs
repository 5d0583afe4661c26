//! Names from an image: bytes, which need not be text.

use std::fmt::Write as _;

use ddi_core::steps::ShownName;

/// A name as it is printed: fit for a terminal, and different for different names. A backslash is two, a byte that is not
/// part of UTF-8 `\xNN`, a character that could deceive `\u{…}`. [`named`] is the inverse.
pub(crate) fn shown_name(name: &[u8]) -> String {
    ShownName(name).to_string()
}

/// The name that is printed so by [`shown_name`]; `None` if none is.
pub(crate) fn named(text: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            name.push(byte);
            continue;
        }
        let number = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match rest {
            [b'\\', behind @ ..] => {
                name.push(b'\\');
                rest = behind;
            }
            [b'x', high, low, behind @ ..] => {
                name.push(number(&[*high, *low])?.try_into().ok()?);
                rest = behind;
            }
            [b'u', b'{', behind @ ..] => {
                let end = behind.iter().position(|byte| *byte == b'}')?;
                let (digits, behind) = behind.split_at_checked(end)?;
                let c = char::from_u32(number(digits)?)?;
                name.extend(c.encode_utf8(&mut [0; 4]).bytes());
                rest = behind.split_first()?.1;
            }
            _ => return None,
        }
    }
    // other spellings of it are taken for what they are, and not for an escape
    (shown_name(&name).as_bytes() == text).then_some(name)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::strategy::Strategy;

    use super::*;
    use crate::output::escape;

    #[test]
    fn names_are_fit_for_a_terminal() {
        assert_eq!(shown_name(b"\xffa\x1b[m"), "\\xffa\\u{1b}[m");
    }

    #[test]
    fn f13_printed_names_are_taken_back() {
        for (name, shown) in [
            (&b"raw\xe9"[..], r"raw\xe9"),
            (br"raw\xe9", r"raw\\xe9"),
            (br"dev-disk-by\x2dlabel.swap", r"dev-disk-by\\x2dlabel.swap"),
            ("a\n\u{202e}é".as_bytes(), r"a\u{a}\u{202e}é"),
            (b"\xc3\\\xa9", r"\xc3\\\xa9"),
            (b"", ""),
        ] {
            assert_eq!(shown_name(name), shown);
            assert_eq!(named(shown.as_bytes()).as_deref(), Some(name));
        }
        // nothing is printed like this
        for text in [
            r"\",
            r"a\b",
            r"\x2",
            r"\xE9",
            r"\x41",
            r"\xc3\xa9",
            r"\u{1b",
            r"\u{}",
            r"\u{d800}",
            r"\u{41}",
            r"\u{01b}",
        ] {
            assert_eq!(named(text.as_bytes()), None, "{text}");
        }
        assert_eq!(named(b"\x1b"), None);
        assert_eq!(named(b"\xe9"), None);
    }

    proptest::proptest! {
        /// Two names never look alike, and each is what is printed for it.
        #[test]
        fn f13_round_trip(
            name in proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::prelude::any::<u8>().prop_map(|byte| vec![byte]),
                    proptest::prelude::any::<char>().prop_map(|c| c.to_string().into_bytes()),
                    proptest::sample::select(vec![b"\\".to_vec(), b"\\x".to_vec(), b"\\u{".to_vec(), b"}41".to_vec()]),
                ],
                0..12,
            ),
        ) {
            let name = name.concat();
            let shown = shown_name(&name);
            proptest::prop_assert_eq!(named(shown.as_bytes()), Some(name));
            proptest::prop_assert_eq!(escape(&shown).replace("\\\\", "\\"), shown, "fit for a terminal");
        }
    }
}
