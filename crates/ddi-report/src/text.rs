//! Text from an image, and numbers, for people.

use ddi_gpt::Escaped;

/// A piece of text: as it is, or standing for something that could not be seen or would deceive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Plain(&'a str),
    Escape(String),
}

/// Returns true if `c` would be seen for what it is.
fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let mut buf = [0; 4];
    let text = &*c.encode_utf8(&mut buf);
    Escaped::new(text).to_string() == text
}

/// The pieces of `text`: controls, directions and what cannot be seen are escapes `\u{…}`.
pub(crate) fn pieces<'a>(text: &'a str, each: &mut dyn FnMut(Piece<'a>)) {
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_plain(*c)) {
        let (plain, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if !plain.is_empty() {
            each(Piece::Plain(plain));
        }
        each(Piece::Escape(format!("\\u{{{:x}}}", u32::from(c))));
        rest = behind.get(c.len_utf8()..).unwrap_or_default();
    }
    if !rest.is_empty() {
        each(Piece::Plain(rest));
    }
}

/// The pieces of a name, of which not all need be text: as `ddi ls` writes it, with `\\` for a backslash and `\xNN` for a byte
/// that is no part of UTF-8.
pub(crate) fn name_pieces(name: &[u8], each: &mut dyn FnMut(Piece<'_>)) {
    for chunk in name.utf8_chunks() {
        let mut parts = chunk.valid().split('\\');
        pieces(parts.next().unwrap_or_default(), each);
        for part in parts {
            each(Piece::Escape("\\\\".into()));
            pieces(part, each);
        }
        for byte in chunk.invalid() {
            each(Piece::Escape(format!("\\x{byte:02x}")));
        }
    }
}

/// Text without what could deceive.
pub(crate) fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    pieces(text, &mut |piece| match piece {
        Piece::Plain(plain) => safe.push_str(plain),
        Piece::Escape(escape) => safe.push_str(&escape),
    });
    safe
}

/// The beginning of a text, and how many characters were cut off.
pub(crate) fn beginning(text: &str, most: usize) -> (&str, usize) {
    match text.char_indices().nth(most) {
        None => (text, 0),
        Some((end, _)) => {
            let (beginning, rest) = text.split_at_checked(end).unwrap_or((text, ""));
            (beginning, rest.chars().count())
        }
    }
}

/// Bytes as people say them: `92 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = None;
    let mut tenths = u128::from(bytes).saturating_mul(10);
    for name in UNITS {
        if tenths < 10240 {
            break;
        }
        tenths /= 1024;
        unit = Some(name);
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    match unit {
        None => format!("{bytes} B"),
        Some(unit) if tenth == 0 => format!("{whole} {unit}"),
        Some(unit) => format!("{whole}.{tenth} {unit}"),
    }
}

/// `1 block`, `2 blocks`.
pub(crate) fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_made_visible() {
        assert_eq!(safe("a\u{202e}b\u{0}\u{9b}\u{200b}é\n"), r"a\u{202e}b\u{0}\u{9b}\u{200b}é\u{a}");
        let mut shown = String::new();
        name_pieces(b"a\\\xff\xe2\x80\xae<", &mut |piece| match piece {
            Piece::Plain(text) => shown.push_str(text),
            Piece::Escape(text) => shown.push_str(&text),
        });
        assert_eq!(shown, r"a\\\xff\u{202e}<");
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (94208, "92 KiB"),
            (1 << 20, "1 MiB"),
            (1_610_612_736, "1.5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn beginnings() {
        assert_eq!(beginning("größe", 3), ("grö", 2));
        assert_eq!(beginning("größe", 5), ("größe", 0));
    }
}
