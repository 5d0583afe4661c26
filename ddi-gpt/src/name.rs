//! Partition names.

use alloc::string::String;
use core::cmp::Ordering;
use core::fmt::{self, Write};
use core::str::FromStr;

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::version::compare_version_bytes;
use crate::{Error, escape};

/// The name of a partition: 36 UTF-16 units, filled up with NUL (UEFI 2.10, 5.3.3).
///
/// All 36 units are kept and compared, whatever they are: two names are equal only if their bytes are. What is printed ends at
/// the first NUL and is fit for a terminal: controls, direction marks, invisible characters, private-use characters and
/// surrogates without a partner appear as `\u{…}`, a backslash as `\\`.
///
/// ```
/// use ddi_gpt::Name;
///
/// let name: Name = "root\u{202e}_1 ".parse()?;
/// assert_eq!(name.to_string(), r"root\u{202e}_1 ");
/// assert_eq!(name.label().as_deref(), Some("root\u{202e}_1"));
/// # Ok::<(), ddi_gpt::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Name([U16; Name::UNITS]);

impl Name {
    /// UTF-16 units in a name.
    pub const UNITS: usize = 36;
    /// No name.
    pub const EMPTY: Self = Self([U16::ZERO; Self::UNITS]);

    /// From the units themselves, unchecked.
    pub fn from_units(units: [u16; Self::UNITS]) -> Self {
        Self(units.map(U16::new))
    }

    /// All 36 units.
    pub fn units(&self) -> [u16; Self::UNITS] {
        self.0.map(U16::get)
    }

    /// The units before the first NUL.
    pub fn text_units(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        self.0.iter().map(|unit| unit.get()).take_while(|unit| *unit != 0)
    }

    /// True if the first unit is NUL.
    pub fn is_empty(&self) -> bool {
        self.text_units().next().is_none()
    }

    /// The characters before the first NUL, as libblkid gives them as partition label: white space at the end is cut off, and an
    /// empty name is `None`. **Not** fit for a terminal; use `Display` there.
    ///
    /// A surrogate without a partner, which no string can hold, is spelled out as `\u{d800}`;
    /// [`Name::has_lone_surrogates`] says if there is one.
    pub fn label(&self) -> Option<String> {
        let mut label = String::new();
        for unit in char::decode_utf16(self.text_units()) {
            match unit {
                Ok(c) => label.push(c),
                // a `String` takes everything
                Err(lone) => _ = write!(label, "\\u{{{:x}}}", lone.unpaired_surrogate()),
            }
        }
        label.truncate(label.trim_end_matches(is_c_space).len());
        (!label.is_empty()).then_some(label)
    }

    /// True if a surrogate has no partner, so that the name is not valid UTF-16.
    pub fn has_lone_surrogates(&self) -> bool {
        char::decode_utf16(self.text_units()).any(|unit| unit.is_err())
    }

    /// True if there is something after the first NUL, where no tool shows it.
    pub fn has_hidden_text(&self) -> bool {
        self.0.iter().skip_while(|unit| unit.get() != 0).any(|unit| unit.get() != 0)
    }

    /// True for a slot that systemd-sysupdate may fill: its label is `_empty`.
    pub fn is_empty_slot(&self) -> bool {
        self.label_is("_empty")
    }

    /// True if the name starts with `PRT#`: the contents are written in part (DPS, *Partition Names*).
    pub fn is_partial(&self) -> bool {
        self.starts_with("PRT#")
    }

    /// True if the name starts with `PND#`: complete, but not yet to be used (DPS, *Partition Names*).
    pub fn is_pending(&self) -> bool {
        self.starts_with("PND#")
    }

    /// Compares two labels as versions, as [`compare_versions`](crate::compare_versions) does.
    pub fn compare_versions(&self, other: &Self) -> Ordering {
        // what is not ASCII only separates
        let bytes = |name: &Self| name.units().map(|unit| u8::try_from(unit).unwrap_or(0xff));
        fn text(bytes: &[u8]) -> &[u8] {
            bytes.split(|byte| *byte == 0).next().unwrap_or_default()
        }
        compare_version_bytes(text(&bytes(self)), text(&bytes(other)))
    }

    fn starts_with(&self, prefix: &str) -> bool {
        let mut units = self.text_units();
        prefix.encode_utf16().all(|unit| units.next() == Some(unit))
    }

    fn label_is(&self, text: &str) -> bool {
        self.label().as_deref() == Some(text)
    }
}

/// `isspace()` of the C locale, which libblkid trims with.
fn is_c_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

impl Default for Name {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl FromStr for Name {
    type Err = Error;

    /// # Errors
    /// [`Error::NameTooLong`] for more than 36 units (a character past U+FFFF takes two), [`Error::NameHasNul`].
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.contains('\0') {
            return Err(Error::NameHasNul);
        }
        let mut name = Self::EMPTY;
        let mut slots = name.0.iter_mut();
        for unit in text.encode_utf16() {
            let slot =
                slots.next().ok_or_else(|| Error::NameTooLong { units: text.encode_utf16().count() })?;
            *slot = U16::new(unit);
        }
        Ok(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for unit in char::decode_utf16(self.text_units()) {
            match unit {
                Ok(c) => escape::write_char(f, c)?,
                Err(lone) => write!(f, "\\u{{{:x}}}", lone.unpaired_surrogate())?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::string::ToString;

    use super::*;

    fn units(text: &[u16]) -> Name {
        let mut all = [0; Name::UNITS];
        all[..text.len()].copy_from_slice(text);
        Name::from_units(all)
    }

    #[test]
    fn label_is_that_of_libblkid() {
        let label = |text: &str| text.parse::<Name>().unwrap().label();
        assert_eq!(label("root"), Some("root".into()));
        assert_eq!(label("  root \t\u{b}"), Some("  root".into()));
        assert_eq!(label(" \t"), None);
        assert_eq!(label(""), None);
        assert_eq!(label("Grüße 💾"), Some("Grüße 💾".into()));
        assert_eq!(label("root\u{a0}"), Some("root\u{a0}".into()), "only ASCII space is trimmed");
        let hidden = units(&[0x61, 0, 0x62]);
        assert_eq!(hidden.label(), Some("a".into()));
        assert!(hidden.has_hidden_text() && !units(&[0x61]).has_hidden_text());
        let full: Name = "123456789012345678901234567890123456".parse().unwrap();
        assert_eq!(full.label().unwrap().len(), 36);
    }

    #[test]
    fn length_is_counted_in_units() {
        let sixteen = "💾".repeat(18);
        assert!(sixteen.parse::<Name>().is_ok());
        let more = std::format!("{sixteen}x");
        assert_eq!(more.parse::<Name>(), Err(Error::NameTooLong { units: 37 }));
        assert_eq!("a\0b".parse::<Name>(), Err(Error::NameHasNul));
    }

    #[test]
    fn reserved_names() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        assert!(name("_empty").is_empty_slot() && name("_empty ").is_empty_slot());
        assert!(!name("_empty1").is_empty_slot() && !name("").is_empty_slot());
        assert!(name("PRT#os_1").is_partial() && !name("PRT").is_partial() && !name("prt#").is_partial());
        assert!(name("PND#").is_pending() && !name("PND#").is_partial());
        assert!(!name("PRT#os_1").is_pending() && !name("os_1").is_pending() && !name("").is_partial());
    }

    #[test]
    fn versions_compare_as_labels() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let pairs = [("os_9", "os_10"), ("11α", "11β"), ("ÿ1", "1"), ("", "~"), ("a💾1", "a2")];
        for (a, b) in pairs {
            assert_eq!(name(a).compare_versions(&name(b)), crate::compare_versions(a, b), "{a} {b}");
        }
        let cut = units(&[0x31, 0, 0x32]);
        assert_eq!(cut.compare_versions(&name("1")), Ordering::Equal);
    }

    /// Any of the 65,536 units in a name: printed safely, and no two alike.
    #[test]
    fn every_unit_prints_safely_and_distinctly() {
        let mut seen = HashSet::new();
        for unit in 1..=u16::MAX {
            let name = units(&[0x61, unit, 0x62]);
            let text = name.to_string();
            assert!(text.starts_with('a') && text.ends_with('b'), "{unit:#x}");
            for c in text.chars() {
                let n = u32::from(c);
                assert!(!c.is_control(), "{unit:#x}");
                assert!(
                    !matches!(n, 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xe000..=0xf8ff),
                    "{unit:#x}"
                );
                assert!(!matches!(n, 0x61c | 0xfeff | 0xad | 0xfffe..=0xffff), "{unit:#x}");
            }
            assert_eq!(name.has_lone_surrogates(), (0xd800..0xe000).contains(&unit));
            assert!(seen.insert(text), "{unit:#x}");
        }
        assert_eq!(units(&[0xd83d, 0xdcbe]).to_string(), "💾");
        assert_eq!(units(&[0xdcbe, 0xd83d]).to_string(), r"\u{dcbe}\u{d83d}");
        assert_eq!(units(&[0xd83d]).label().as_deref(), Some(r"\u{d83d}"));
        assert_eq!("\\".parse::<Name>().unwrap().to_string(), r"\\");
    }

    #[test]
    fn emptiness() {
        assert!(Name::EMPTY.is_empty() && Name::default().is_empty() && units(&[0, 0x61]).is_empty());
        assert!(!units(&[0x61]).is_empty() && !units(&[0x20]).is_empty());
        assert_eq!(std::format!("{:?}", units(&[0x61, 7])), r"Name(a\u{7})");
    }
}
