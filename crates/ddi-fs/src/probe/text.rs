//! Labels and UUIDs as they stand in superblocks.

use core::fmt;

/// Text from an image: bytes that should be UTF-8 and need not be.
///
/// Displayed with bytes that are not UTF-8 as `\xNN`. Control characters are left as they are, so escape what goes
/// to a terminal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Box<[u8]>);

impl Text {
    /// A C string in a field: up to the first NUL, trailing white space removed. `None` if nothing is left.
    pub(super) fn from_field(field: &[u8]) -> Option<Self> {
        let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = trim_end(text);
        (!text.is_empty()).then(|| Text(text.into()))
    }

    /// UTF-16 in a field. A lone surrogate is kept: as the three bytes that UTF-8 would have for it.
    pub(super) fn from_utf16(units: impl Iterator<Item = u16>) -> Option<Self> {
        let mut text = Vec::new();
        for unit in char::decode_utf16(units.take_while(|unit| *unit != 0)) {
            match unit {
                Ok(c) => text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                Err(lone) => {
                    let [low, high] = lone.unpaired_surrogate().to_le_bytes();
                    // 1101_hhhh llmm_mmmm becomes 1110_1101 10hh_hhll 10mm_mmmm
                    text.extend_from_slice(&[0xed, 0x80 | (high & 0xf) << 2 | low >> 6, 0x80 | low & 0x3f]);
                }
            }
        }
        Self::from_field(&text)
    }

    /// The bytes as they are.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        core::str::from_utf8(&self.0).ok()
    }
}

/// As C's `isspace`.
pub(super) fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'));
    end.and_then(|last| text.get(..=last)).unwrap_or_default()
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(text.as_bytes().into())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// What a file system is identified by. Displayed as libblkid prints it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FsUuid {
    /// 128 bits, in the order of printing.
    Uuid([u8; 16]),
    /// The serial number of a FAT file system, as stored.
    FatSerial([u8; 4]),
    /// Text that is stored as such: a LUKS UUID, an LVM name, the date of an ISO 9660.
    Text(Text),
}

impl FsUuid {
    /// `None` for all zeros, which means that there is none.
    pub(super) fn new(uuid: [u8; 16]) -> Option<Self> {
        (uuid != [0; 16]).then_some(FsUuid::Uuid(uuid))
    }

    /// The 128 bits, also of a UUID that is stored as text; `None` where it is not a UUID at all.
    pub fn to_uuid(&self) -> Option<[u8; 16]> {
        match self {
            FsUuid::Uuid(uuid) => Some(*uuid),
            FsUuid::FatSerial(_) => None,
            FsUuid::Text(text) => parse_uuid(text.to_str()?),
        }
    }
}

/// 8-4-4-4-12 hex digits.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    let mut bytes = uuid.iter_mut();
    let mut groups = text.split('-');
    for len in [8, 4, 4, 4, 12] {
        let group = groups.next().filter(|group| group.len() == len)?;
        for pair in group.as_bytes().chunks(2) {
            let digit = |i: usize| pair.get(i).and_then(|c| char::from(*c).to_digit(16));
            let value = digit(0)?.checked_mul(16)?.checked_add(digit(1)?)?;
            *bytes.next()? = u8::try_from(value).ok()?;
        }
    }
    groups.next().is_none().then_some(uuid)
}

impl fmt::Display for FsUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FsUuid::Uuid(uuid) => {
                for (i, byte) in uuid.iter().enumerate() {
                    let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
            FsUuid::FatSerial([a, b, c, d]) => write!(f, "{d:02X}{c:02X}-{b:02X}{a:02X}"),
            FsUuid::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_ends_at_nul_and_loses_blanks() {
        assert_eq!(Text::from_field(b"boot  \0junk").unwrap().as_bytes(), b"boot");
        assert_eq!(Text::from_field(b" a\t\r\n ").unwrap().as_bytes(), b" a");
        assert_eq!(Text::from_field(b"   "), None);
        assert_eq!(Text::from_field(b"\0x"), None);
    }

    #[test]
    fn bytes_that_are_not_utf8_stay_visible() {
        assert_eq!(Text::from_field(b"a\xff\xc3\xa4").unwrap().to_string(), "a\\xffä");
        let lone = Text::from_utf16([0x61, 0xd834, 0x62].into_iter()).unwrap();
        assert_eq!(lone.as_bytes(), b"a\xed\xa0\xb4b");
        assert_eq!(lone.to_string(), "a\\xed\\xa0\\xb4b");
    }

    #[test]
    fn uuids_print_as_blkid_prints_them() {
        let uuid: [u8; 16] = core::array::from_fn(|i| u8::try_from(i * 17).unwrap());
        let text = "00112233-4455-6677-8899-aabbccddeeff";
        assert_eq!(FsUuid::Uuid(uuid).to_string(), text);
        assert_eq!(FsUuid::Text(Text::from(text)).to_uuid(), Some(uuid));
        assert_eq!(FsUuid::FatSerial([0x78, 0x56, 0x34, 0x12]).to_string(), "1234-5678");
        for bad in [
            "",
            "00112233-4455-6677-8899-aabbccddeef",
            "00112233-4455-6677-8899-aabbccddeeff-",
            "+1112233-4455-6677-8899-aabbccddeeff",
        ] {
            assert_eq!(FsUuid::Text(Text::from(bad)).to_uuid(), None, "{bad}");
        }
    }
}
