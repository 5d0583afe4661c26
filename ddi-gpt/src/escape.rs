//! Text from an image, made fit for a terminal.

use core::fmt::{self, Write};

/// Text that prints without controls, direction marks, invisible and private-use characters: see [`Escaped::new`].
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a str);

impl<'a> Escaped<'a> {
    /// Wraps text of any origin. When displayed, each character that could deceive the reader of a terminal or a log appears as
    /// `\u{…}`, and a backslash as `\\`, so that no two texts look alike.
    ///
    /// ```
    /// use ddi_gpt::Escaped;
    ///
    /// assert_eq!(Escaped::new("a\x1b[31m\nb").to_string(), r"a\u{1b}[31m\u{a}b");
    /// ```
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| write_char(f, c))
    }
}

/// Writes one character, escaped if need be.
pub(crate) fn write_char(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\\' => f.write_str("\\\\"),
        _ if deceives(c) => write!(f, "\\u{{{:x}}}", u32::from(c)),
        _ => f.write_char(c),
    }
}

/// Characters that move the cursor, change the direction, cannot be seen, or that no standard gives a look.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00ad | 0x034f | 0x061c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f // invisible
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f // zero width, lines, directions
            | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb // fillers, variations, marks
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a // invisible, further up
            | 0xe0000..=0xe0fff // tags
            | 0xe000..=0xf8ff | 0xf0000..=0x10ffff // private use
            | 0xfdd0..=0xfdef) // not characters, as are the last two of each plane
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn what_deceives_is_escaped() {
        for (text, shown) in [
            ("plain text, grün", "plain text, grün"),
            ("a\x1b[31m\nb\x7f\u{9b}", r"a\u{1b}[31m\u{a}b\u{7f}\u{9b}"),
            (r"a\u{1b}", r"a\\u{1b}"),
            ("\u{202e}\u{2066}\u{200b}\u{feff}", r"\u{202e}\u{2066}\u{200b}\u{feff}"),
            ("\u{e000}\u{f0000}\u{10ffff}\u{1ffff}", r"\u{e000}\u{f0000}\u{10ffff}\u{1ffff}"),
            ("\u{e0041}\u{fdd0}\u{1fffd}", "\\u{e0041}\\u{fdd0}\u{1fffd}"),
        ] {
            assert_eq!(Escaped::new(text).to_string(), shown);
        }
    }
}
