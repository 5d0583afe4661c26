//! GUIDs as GPT stores them.

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Error;

/// A GUID, kept in its on-disk byte order (UEFI 2.10, appendix A).
///
/// On disk the first three groups are little-endian and the rest is as printed: `4f68bce3-e8cd-4db1-…` is stored
/// `e3 bc 68 4f  cd e8  b1 4d …`. [`Guid::to_uuid`] gives the bytes in print order, as RFC 9562 and systemd's `sd_id128_t`
/// have them. Ordered as printed.
///
/// ```
/// use ddi_gpt::Guid;
///
/// let esp: Guid = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B".parse()?;
/// assert_eq!(esp.to_disk()[..4], [0x28, 0x73, 0x2a, 0xc1]);
/// assert_eq!(esp.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// # Ok::<(), ddi_gpt::Error>(())
/// ```
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Guid([u8; 16]);

impl Guid {
    /// The GUID of sixteen zero bytes: as a partition type, the mark of an unused entry.
    pub const NIL: Self = Self([0; 16]);

    /// From the bytes as they are on disk.
    pub const fn from_disk(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes as they are on disk.
    pub const fn to_disk(self) -> [u8; 16] {
        self.0
    }

    /// From the bytes in print order.
    pub const fn from_uuid(bytes: [u8; 16]) -> Self {
        Self(swap(bytes))
    }

    /// The bytes in print order.
    pub const fn to_uuid(self) -> [u8; 16] {
        swap(self.0)
    }

    /// From the number that the digits make when read without dashes.
    pub const fn from_u128(digits: u128) -> Self {
        Self::from_uuid(digits.to_be_bytes())
    }

    /// The number that the printed digits make.
    pub const fn to_u128(self) -> u128 {
        u128::from_be_bytes(self.to_uuid())
    }

    /// A random GUID (version 4 of RFC 9562).
    ///
    /// # Errors
    /// What the system said when it was asked for random bytes.
    #[cfg(feature = "getrandom")]
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = *version & 0x0f | 0x40;
        *variant = *variant & 0x3f | 0x80;
        Ok(Self::from_uuid(bytes))
    }

    /// True for sixteen zero bytes.
    pub const fn is_nil(self) -> bool {
        u128::from_ne_bytes(self.0) == 0
    }

    /// Reads `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` or 32 digits without dashes, in either case; usable in constants.
    pub const fn parse(text: &str) -> Option<Self> {
        let mut rest = text.as_bytes();
        let dashed = match rest.len() {
            36 => true,
            32 => false,
            _ => return None,
        };
        let mut value: u128 = 0;
        let mut digits: u8 = 0;
        let mut after_dash = false;
        while let [byte, tail @ ..] = rest {
            rest = tail;
            if dashed && !after_dash && matches!(digits, 8 | 12 | 16 | 20) {
                if *byte != b'-' {
                    return None;
                }
                after_dash = true;
                continue;
            }
            after_dash = false;
            let digit = match *byte {
                b'0'..=b'9' => byte.wrapping_sub(b'0'),
                b'a'..=b'f' => byte.wrapping_sub(b'a').wrapping_add(10),
                b'A'..=b'F' => byte.wrapping_sub(b'A').wrapping_add(10),
                _ => return None,
            };
            // `u128::from` is not const
            value = (value << 4) | u128::from_be_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, digit]);
            digits = digits.wrapping_add(1);
        }
        Some(Self::from_u128(value))
    }
}

/// Between disk order and print order: the same exchange both ways.
const fn swap([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [u8; 16]) -> [u8; 16] {
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

#[cfg(feature = "uuid")]
impl From<uuid::Uuid> for Guid {
    fn from(uuid: uuid::Uuid) -> Self {
        Self::from_uuid(uuid.into_bytes())
    }
}

#[cfg(feature = "uuid")]
impl From<Guid> for uuid::Uuid {
    fn from(guid: Guid) -> Self {
        Self::from_bytes(guid.to_uuid())
    }
}

impl Ord for Guid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_uuid().cmp(&other.to_uuid())
    }
}

impl PartialOrd for Guid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f_, g, h, i, j, k, l, m, n, o, p] = self.to_uuid();
        write!(
            f,
            "{a:02x}{b:02x}{c:02x}{d:02x}-{e:02x}{f_:02x}-{g:02x}{h:02x}-{i:02x}{j:02x}-\
             {k:02x}{l:02x}{m:02x}{n:02x}{o:02x}{p:02x}"
        )
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

impl FromStr for Guid {
    type Err = Error;

    /// As [`Guid::parse`].
    ///
    /// # Errors
    /// [`Error::InvalidGuid`] for anything else.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).ok_or(Error::InvalidGuid)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    const ROOT: Guid = Guid::parse("4f68bce3-e8cd-4db1-96e7-fbcaf984b709").unwrap();

    #[test]
    fn the_first_three_groups_are_swapped_on_disk() {
        let disk =
            [0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09];
        assert_eq!(ROOT.to_disk(), disk);
        assert_eq!(Guid::from_disk(disk), ROOT);
        assert_eq!(Guid::from_uuid(ROOT.to_uuid()), ROOT);
        assert_eq!(ROOT.to_uuid()[..4], [0x4f, 0x68, 0xbc, 0xe3]);
        assert_eq!(ROOT.to_string(), "4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
    }

    #[test]
    fn random_ones_are_of_version_4_and_differ() {
        let made = [(); 64].map(|()| Guid::random().unwrap());
        for guid in made {
            let bytes = guid.to_uuid();
            assert_eq!((bytes[6] >> 4, bytes[8] >> 6), (4, 2), "{guid}");
        }
        let different: std::collections::BTreeSet<_> = made.into_iter().collect();
        assert_eq!(different.len(), made.len());
    }

    #[test]
    fn as_uuid() {
        let text = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
        let (guid, uuid): (Guid, uuid::Uuid) = (text.parse().unwrap(), text.parse().unwrap());
        assert_eq!((Guid::from(uuid), uuid::Uuid::from(guid)), (guid, uuid));
    }

    #[test]
    fn text_forms() {
        for good in [
            "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
            "4f68bce3e8cd4db196e7fbcaf984b709",
            "4F68BCE3E8CD4DB196E7FBCAF984B709",
        ] {
            assert_eq!(good.parse(), Ok(ROOT), "{good}");
        }
        for bad in [
            "",
            "4f68bce3",
            "4f68bce3-e8cd-4db1-96e7-fbcaf984b70",
            "4f68bce3-e8cd-4db1-96e7-fbcaf984b7090",
            "4f68bce3-e8cd-4db1-96e7-fbcaf984b70g",
            "4f68bce3-e8cd-4db1-96e7fbcaf-984b709",
            "4f68bce3--8cd-4db1-96e7-fbcaf984b709",
            "{f68bce3-e8cd-4db1-96e7-fbcaf984b709",
            "4f68bce3e8cd4db196e7fbcaf984b70-",
            "+f68bce3e8cd4db196e7fbcaf984b709",
        ] {
            assert_eq!(bad.parse::<Guid>(), Err(Error::InvalidGuid), "{bad}");
        }
    }

    #[test]
    fn order_is_that_of_the_text() {
        let low: Guid = "01000000-0000-0000-0000-000000000000".parse().unwrap();
        let high: Guid = "02000000-0000-0000-0000-000000000000".parse().unwrap();
        let late: Guid = "00000002-0000-0000-0000-000000000000".parse().unwrap();
        assert!(late < low && low < high);
        assert!(Guid::NIL.is_nil() && !low.is_nil());
    }

    #[test]
    fn as_numbers_and_text() {
        assert_eq!(Guid::from_u128(ROOT.to_u128()), ROOT);
        assert_eq!(ROOT.to_u128(), 0x4f68_bce3_e8cd_4db1_96e7_fbca_f984_b709);
        assert_eq!(std::format!("{ROOT:?}"), "Guid(4f68bce3-e8cd-4db1-96e7-fbcaf984b709)");
    }
}
