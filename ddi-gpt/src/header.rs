//! The GPT header.

use core::fmt;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Guid, Lba, LbaRange};

/// The GPT header as it is on disk, unchecked (UEFI 2.10, 5.3.2).
///
/// Field by field in the order and with the names of the specification. Every value is the image's word: only a
/// [`Gpt`](crate::Gpt) has been checked.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`Header::SIGNATURE`].
    pub signature: [u8; 8],
    /// [`Header::REVISION`].
    pub revision: U32,
    /// Bytes that the CRC covers: 92 to the block size.
    pub header_size: U32,
    /// CRC-32 of `header_size` bytes with this field taken as 0.
    pub header_crc32: U32,
    /// Zero.
    pub reserved: U32,
    /// The block this header is in.
    pub my_lba: U64,
    /// The block the other header is in.
    pub alternate_lba: U64,
    /// First block that partitions may use.
    pub first_usable_lba: U64,
    /// Last block that partitions may use, included.
    pub last_usable_lba: U64,
    /// The disk's own GUID: systemd's image UUID.
    pub disk_guid: Guid,
    /// First block of the entry array that belongs to this header.
    pub partition_entry_lba: U64,
    /// Entries in the array, used or not.
    pub number_of_partition_entries: U32,
    /// Bytes from one entry to the next: 128 · 2ⁿ.
    pub size_of_partition_entry: U32,
    /// CRC-32 of the whole array.
    pub partition_entry_array_crc32: U32,
}

impl Header {
    /// The first eight bytes of every header.
    pub const SIGNATURE: [u8; 8] = *b"EFI PART";
    /// Revision 1.0, the only one there is.
    pub const REVISION: u32 = 0x0001_0000;
    /// Bytes of the fields above, the least that `header_size` may be.
    pub const SIZE: u32 = 92;
    /// Where the CRC is in the header.
    pub(crate) const CRC_OFFSET: usize = 16;

    /// The header at the start of a block, if it has the signature. Nothing else is checked.
    pub fn find(block: &[u8]) -> Option<&Self> {
        let (header, _) = Self::ref_from_prefix(block).ok()?;
        (header.signature == Self::SIGNATURE).then_some(header)
    }

    /// The blocks that partitions may use.
    pub fn usable(&self) -> LbaRange {
        LbaRange::new(self.first_usable_lba.get(), self.last_usable_lba.get())
    }

    /// The block that this header says it is in.
    pub fn my_lba(&self) -> Lba {
        Lba(self.my_lba.get())
    }

    /// The block that this header says the other header is in.
    pub fn alternate_lba(&self) -> Lba {
        Lba(self.alternate_lba.get())
    }

    /// Bytes of the entry array: below 2⁶⁴, as both factors have 32 bits.
    pub fn array_size(&self) -> u64 {
        u64::from(self.number_of_partition_entries.get())
            .saturating_mul(u64::from(self.size_of_partition_entry.get()))
    }
}

impl Default for Header {
    fn default() -> Self {
        Self {
            signature: Self::SIGNATURE,
            revision: U32::new(Self::REVISION),
            header_size: U32::new(Self::SIZE),
            ..Self::new_zeroed()
        }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("revision", &format_args!("{:#010x}", self.revision.get()))
            .field("header_size", &self.header_size.get())
            .field("header_crc32", &format_args!("{:#010x}", self.header_crc32.get()))
            .field("my_lba", &self.my_lba.get())
            .field("alternate_lba", &self.alternate_lba.get())
            .field("usable", &format_args!("{}", self.usable()))
            .field("disk_guid", &self.disk_guid)
            .field("partition_entry_lba", &self.partition_entry_lba.get())
            .field("number_of_partition_entries", &self.number_of_partition_entries.get())
            .field("size_of_partition_entry", &self.size_of_partition_entry.get())
            .field(
                "partition_entry_array_crc32",
                &format_args!("{:#010x}", self.partition_entry_array_crc32.get()),
            )
            .finish_non_exhaustive()
    }
}

/// The CRC-32 of a header of which `bytes` are the first `header_size` bytes, its own CRC field taken as 0.
pub(crate) fn header_crc32(bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(bytes.get(..Header::CRC_OFFSET).unwrap_or(bytes));
    crc.update(&[0; 4]);
    crc.update(bytes.get(Header::CRC_OFFSET.saturating_add(4)..).unwrap_or_default());
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use core::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn fields_are_where_the_specification_puts_them() {
        assert_eq!(size_of::<Header>(), 92);
        for (found, expected) in [
            (offset_of!(Header, revision), 8),
            (offset_of!(Header, header_size), 12),
            (offset_of!(Header, header_crc32), Header::CRC_OFFSET),
            (offset_of!(Header, my_lba), 24),
            (offset_of!(Header, alternate_lba), 32),
            (offset_of!(Header, first_usable_lba), 40),
            (offset_of!(Header, last_usable_lba), 48),
            (offset_of!(Header, disk_guid), 56),
            (offset_of!(Header, partition_entry_lba), 72),
            (offset_of!(Header, number_of_partition_entries), 80),
            (offset_of!(Header, size_of_partition_entry), 84),
            (offset_of!(Header, partition_entry_array_crc32), 88),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn crc_is_that_of_zlib() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        let mut bytes = [7; 92];
        bytes[16..20].fill(0);
        assert_eq!(header_crc32(&[7; 92]), crc32fast::hash(&bytes));
    }

    #[test]
    fn numbers_are_shown_as_they_are_spoken_of() {
        let mut header = Header::default();
        header.my_lba.set(1);
        header.last_usable_lba.set(90);
        let shown = std::format!("{header:?}");
        assert!(
            shown.starts_with("Header { revision: 0x00010000, header_size: 92, header_crc32: 0x00000000")
        );
        assert!(shown.contains("my_lba: 1, ") && shown.contains("usable: 0..=90"), "{shown}");
    }
}
