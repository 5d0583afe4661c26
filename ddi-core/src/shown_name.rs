//! Names from an image, fit for a terminal: [`ShownName`].

use std::fmt;

use ddi_gpt::Escaped;

/// A name as it is printed: fit for a terminal, and different for different names. A backslash is two, a byte that is not
/// part of UTF-8 `\xNN`, a character that could deceive `\u{…}`.
///
/// ```
/// use ddi_core::steps::ShownName;
///
/// assert_eq!(ShownName(b"a\\b\xff\x1b").to_string(), r"a\\b\xff\u{1b}");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ShownName<'a>(pub &'a [u8]);

impl fmt::Display for ShownName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            Escaped::new(chunk.valid()).fmt(f)?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}
