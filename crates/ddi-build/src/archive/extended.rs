//! Extended headers (POSIX.1-2001, *pax Interchange Format*): what does not fit into a header.

use std::collections::BTreeMap;

use super::fault::ArchiveFault;

/// Names and values of extended attributes, each at most what the kernel takes.
const MAX_XATTR_NAME: usize = 255;
const MAX_XATTR_VALUE: usize = 64 << 10;

/// The records of extended headers, the last of a name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extended {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) owner: (Option<u32>, Option<u32>),
    pub(crate) device: (Option<u32>, Option<u32>),
    pub(crate) modified: Option<(i64, u32)>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) sparse: SparseRecords,
    /// Access control lists as text, which are not taken over.
    pub(crate) has_acl: bool,
}

/// `GNU.sparse.*`
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseRecords {
    pub(crate) name: Option<Vec<u8>>,
    /// With its holes.
    pub(crate) size: Option<u64>,
    /// Versions 0.0 and 0.1: all numbers of the map in one row.
    pub(crate) map: Option<Vec<u64>>,
    pub(crate) version: (Option<u64>, Option<u64>),
}

fn decimal(value: &[u8], field: &'static str) -> Result<u64, ArchiveFault> {
    let number =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|text| text.parse::<u64>().ok());
    number.filter(|number| *number <= i64::MAX.cast_unsigned()).ok_or(ArchiveFault::Number { field })
}

fn id(value: &[u8], field: &'static str) -> Result<u32, ArchiveFault> {
    u32::try_from(decimal(value, field)?).map_err(|_| ArchiveFault::Number { field })
}

/// Seconds with a fraction, which counts away from zero.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let seconds = whole.parse::<i64>().ok()?.checked_mul(sign)?;
    let nanoseconds = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = nanoseconds.fold(0_u32, |value, digit| {
        value.saturating_mul(10).saturating_add(u32::from(digit.saturating_sub(b'0')))
    });
    match (sign, nanoseconds) {
        (-1, 1..) => Some((seconds.checked_sub(1)?, 1_000_000_000_u32.checked_sub(nanoseconds)?)),
        _ => Some((seconds, nanoseconds)),
    }
}

impl Extended {
    /// Takes the records of a header; those of a global one are for all members that follow.
    pub(crate) fn add(&mut self, mut bytes: &[u8], is_global: bool) -> Result<(), ArchiveFault> {
        // in version 0.0 the map is in records that repeat
        let mut map = Vec::new();
        while !bytes.is_empty() {
            let (key, value, rest) =
                split(bytes).ok_or(ArchiveFault::Extended { what: "a record is malformed" })?;
            bytes = rest;
            self.record(key, value, is_global, &mut map)?;
        }
        if !map.is_empty() {
            self.sparse.map = Some(map);
        }
        Ok(())
    }

    fn record(
        &mut self,
        key: &[u8],
        value: &[u8],
        is_global: bool,
        map: &mut Vec<u64>,
    ) -> Result<(), ArchiveFault> {
        if is_global && (matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.")) {
            return Err(ArchiveFault::Extended {
                what: "a global one says what each member must say itself",
            });
        }
        // without a value, that of the header counts
        let value_or_none = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = value_or_none.map(<[u8]>::to_vec),
            b"linkpath" => self.link = value_or_none.map(<[u8]>::to_vec),
            b"size" => self.size = value_or_none.map(|value| decimal(value, "size")).transpose()?,
            b"uid" => self.owner.0 = value_or_none.map(|value| id(value, "uid")).transpose()?,
            b"gid" => self.owner.1 = value_or_none.map(|value| id(value, "gid")).transpose()?,
            b"SCHILY.devmajor" => {
                self.device.0 = value_or_none.map(|value| id(value, "devmajor")).transpose()?;
            }
            b"SCHILY.devminor" => {
                self.device.1 = value_or_none.map(|value| id(value, "devminor")).transpose()?;
            }
            b"mtime" => {
                let read = |value| time(value).ok_or(ArchiveFault::Number { field: "mtime" });
                self.modified = value_or_none.map(read).transpose()?;
            }
            b"GNU.sparse.name" => self.sparse.name = value_or_none.map(<[u8]>::to_vec),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse.size = Some(decimal(value, "size of a sparse file")?);
            }
            b"GNU.sparse.major" => self.sparse.version.0 = Some(decimal(value, "version of a sparse file")?),
            b"GNU.sparse.minor" => self.sparse.version.1 = Some(decimal(value, "version of a sparse file")?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let is_size = key == b"GNU.sparse.numbytes";
                if map.len().is_multiple_of(2) == is_size {
                    return Err(ArchiveFault::Sparse { what: "the records of its map are out of order" });
                }
                map.push(decimal(value, "part of a sparse file")?);
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|byte| *byte == b',').filter(|_| !value.is_empty());
                let numbers: Result<Vec<u64>, _> =
                    numbers.map(|number| decimal(number, "part of a sparse file")).collect();
                self.sparse.map = Some(numbers?);
            }
            // counted here
            b"GNU.sparse.numblocks" => {}
            b"SCHILY.acl.access" | b"SCHILY.acl.default" => self.has_acl = true,
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err(ArchiveFault::Extended { what: "a record about sparse files is not known" });
            }
            _ => {
                let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else { return Ok(()) };
                if name.is_empty() || name.len() > MAX_XATTR_NAME || name.contains(&0) {
                    return Err(ArchiveFault::Name { what: "an attribute has a name that cannot be" });
                }
                if value.len() > MAX_XATTR_VALUE {
                    let (what, max) = ("bytes in one attribute", 64 << 10);
                    return Err(ArchiveFault::TooMuch { what, max });
                }
                self.xattrs.insert(name.to_vec(), value.to_vec());
            }
        }
        Ok(())
    }
}

/// The first record, `LENGTH key=value\n`, and what follows. The value is what the length says: it can have any bytes in it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let digits = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(bytes.get(..digits)?, "length").ok()?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(digits.checked_add(1)?..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = record.split_at_checked(equals)?;
    Some((key, value.get(1..)?, rest)).filter(|_| digits > 0 && !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let mut found = Extended::default();
        found.add(b"12 path=abc\n29 SCHILY.xattr.user.a=\n=\0b\n\n20 mtime=12.5000000\n", false).unwrap();
        assert_eq!(found.path.as_deref(), Some(&b"abc"[..]));
        assert_eq!(found.xattrs.get(&b"user.a"[..]).map(Vec::as_slice), Some(&b"\n=\0b\n"[..]));
        assert_eq!(found.modified, Some((12, 500_000_000)));
        for bytes in [
            &b"12 path=abc"[..],
            b"11 path=abc\n",
            b"13 path=abc\n",
            b"0 \n",
            b" path=abc\n",
            b"99999999999999999999 path=abc\n",
            b"18446744073709551616 a=\n",
            b"+9 path=a\n",
            b"8 patha\n",
            b"4 =\n",
            b"12 path=abc\n\0",
        ] {
            assert!(Extended::default().add(bytes, false).is_err(), "{bytes:?}");
        }
        // an empty value takes back what a global header said
        found.add(b"8 path=\n", false).unwrap();
        assert_eq!(found.path, None);
        assert!(found.add(b"12 path=abc\n", true).is_err());
    }

    #[test]
    fn times() {
        assert_eq!(time(b"0"), Some((0, 0)));
        assert_eq!(time(b"1.25"), Some((1, 250_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-0.999999999"), Some((-1, 1)));
        assert_eq!(time(b"1.1234567899"), Some((1, 123_456_789)));
        for text in [
            &b""[..],
            b"-",
            b".5",
            b"1e3",
            b"99999999999999999999",
            b"1.-5",
            b"+1",
            b"-9223372036854775808.5",
        ] {
            assert_eq!(time(text), None, "{text:?}");
        }
    }
}
