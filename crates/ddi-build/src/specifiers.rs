//! What `%A` and the like stand for in definitions (systemd, `src/shared/specifier.c`).

use std::collections::BTreeMap;

use ddi_gpt::Architecture;
use ddi_os::metadata::EnvFile;

/// Bytes that one value may grow to by what is put in for its specifiers.
const MAX_VALUE: usize = 64 << 10;

/// Why a value has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecifierFault {
    /// Nothing is known by this letter, or it is not allowed here.
    Unknown(char),
    /// It belongs to the machine that builds (`%b`, `%H`, `%l`, `%q`, `%m`, `%v`, `%T`, `%V`), so the same definitions would make
    /// another image elsewhere.
    OfThisMachine(char),
    /// The text is too long with it.
    TooLong,
}

/// What specifiers stand for: the architecture, and fields of the os-release of the image that is made.
///
/// A field that os-release does not have is the empty text, as with systemd-repart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specifiers(BTreeMap<char, String>);

impl Specifiers {
    /// Without an os-release.
    pub fn new(native: Option<Architecture>) -> Self {
        let mut known: BTreeMap<char, String> =
            "ABMowW".chars().map(|letter| (letter, String::new())).collect();
        known.insert('a', native.map_or_else(String::new, |native| native.name().to_owned()));
        Self(known)
    }

    /// With these fields.
    #[must_use]
    pub fn os_release(mut self, fields: &EnvFile) -> Self {
        let names = [
            ('A', "IMAGE_VERSION"),
            ('B', "BUILD_ID"),
            ('M', "IMAGE_ID"),
            ('o', "ID"),
            ('w', "VERSION_ID"),
            ('W', "VARIANT_ID"),
        ];
        for (letter, name) in names {
            self.0.insert(letter, fields.get(name).unwrap_or_default().to_owned());
        }
        self
    }

    /// The text with each specifier replaced; `more` is asked first.
    pub(crate) fn expand(
        &self,
        text: &str,
        more: &dyn Fn(char) -> Option<String>,
    ) -> Result<String, SpecifierFault> {
        let mut expanded = String::with_capacity(text.len());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match (letter, if letter == '%' { letters.next() } else { None }) {
                // as systemd has it, a last one stands for itself
                ('%', Some('%') | None) => expanded.push('%'),
                ('%', Some(name)) => match more(name).as_ref().or_else(|| self.0.get(&name)) {
                    Some(value) => expanded.push_str(value),
                    None if "bHlqmvTV".contains(name) => return Err(SpecifierFault::OfThisMachine(name)),
                    None => return Err(SpecifierFault::Unknown(name)),
                },
                (letter, _) => expanded.push(letter),
            }
            if expanded.len() > MAX_VALUE {
                return Err(SpecifierFault::TooLong);
            }
        }
        Ok(expanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_letter() {
        let fields =
            EnvFile::parse(b"ID=demo\nVERSION_ID=7\nIMAGE_ID=shop\nIMAGE_VERSION=8\nBUILD_ID=9\n").unwrap();
        let known = Specifiers::new(Some(Architecture::Arm64)).os_release(&fields);
        let expand = |text| known.expand(text, &|letter| (letter == 't').then(|| "type".to_owned()));
        assert_eq!(expand("%M_%A_%o_%w_%B_%W_%a_%%_%t_%"), Ok("shop_8_demo_7_9__arm64_%_type_%".to_owned()));
        assert_eq!(expand("%z"), Err(SpecifierFault::Unknown('z')));
        assert_eq!(expand("%m"), Err(SpecifierFault::OfThisMachine('m')));
        assert_eq!(expand(&"%M".repeat(40_000)), Err(SpecifierFault::TooLong));
    }
}
