//! What is unusual about a table without being wrong.

use alloc::vec::Vec;
use core::fmt;

use zerocopy::IntoBytes;

use crate::{BlockSize, Entry, Error, Examination, Header, Lba, ProtectiveMbr, Side, TableCopy};

/// Something that whoever looks at an image may want to know, and that does not make the table unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anomaly {
    /// The disk does not end at the end of a block.
    PartialBlock {
        /// Where the last whole block ends.
        offset: u64,
        /// Bytes after it.
        bytes: u32,
    },
    /// The MBR describes partitions besides the GPT.
    HybridMbr,
    /// The protective record does not start at block 1 and go on to the end of the disk: as when an image was copied to a larger
    /// medium.
    ProtectiveMbrExtent {
        /// First block: should be 1.
        start: u32,
        /// Blocks.
        size: u32,
        /// What the size should be.
        expected: u32,
    },
    /// The disk is larger than when it was partitioned: the backup is not at its end.
    DiskGrown {
        /// The last block at the time.
        then: Lba,
        /// The last block now.
        now: Lba,
    },
    /// The disk is smaller than when it was partitioned.
    DiskTruncated {
        /// The last usable block.
        last_usable: Lba,
        /// The last block now.
        now: Lba,
    },
    /// Only the backup told the block size. Other software takes 512 here and may not find the table.
    BlockSizeFromBackup,
    /// Reserved bytes of a header's block are not zero.
    ReservedNotZero {
        /// Which header.
        side: Side,
        /// The first of them.
        offset: u64,
        /// How many are not zero.
        bytes: u32,
    },
    /// Entries are not of 128 bytes: allowed by UEFI, refused by libblkid and Linux.
    EntrySize {
        /// Which header.
        side: Side,
        /// Bytes of an entry.
        size: u32,
    },
    /// Bytes of unused entries, or past the known fields of used ones, are not zero.
    EntryBytesNotZero {
        /// Which array.
        side: Side,
        /// The first such entry, from 1.
        number: u32,
        /// Of that entry.
        offset: u64,
        /// How many such entries.
        entries: u32,
    },
    /// A partition has no unique GUID.
    NilGuid {
        /// Which array.
        side: Side,
        /// The first such partition, from 1.
        number: u32,
        /// Of its entry.
        offset: u64,
    },
    /// There is text after the end of a name.
    HiddenName {
        /// Which array.
        side: Side,
        /// The first such partition, from 1.
        number: u32,
        /// Of its entry.
        offset: u64,
    },
}

impl Anomaly {
    /// A name for the variant that stays the same, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PartialBlock { .. } => "gpt-partial-block",
            Self::HybridMbr => "gpt-hybrid-mbr",
            Self::ProtectiveMbrExtent { .. } => "gpt-protective-mbr-extent",
            Self::DiskGrown { .. } => "gpt-disk-grown",
            Self::DiskTruncated { .. } => "gpt-disk-truncated",
            Self::BlockSizeFromBackup => "gpt-block-size-from-backup",
            Self::ReservedNotZero { .. } => "gpt-reserved-not-zero",
            Self::EntrySize { .. } => "gpt-unusual-entry-size",
            Self::EntryBytesNotZero { .. } => "gpt-entry-bytes-not-zero",
            Self::NilGuid { .. } => "gpt-nil-guid",
            Self::HiddenName { .. } => "gpt-hidden-name",
        }
    }

    /// Where on the disk it is, in bytes, if it has one place.
    pub fn offset(&self) -> Option<u64> {
        match *self {
            Self::HybridMbr | Self::ProtectiveMbrExtent { .. } => Some(446),
            Self::PartialBlock { offset, .. }
            | Self::ReservedNotZero { offset, .. }
            | Self::EntryBytesNotZero { offset, .. }
            | Self::NilGuid { offset, .. }
            | Self::HiddenName { offset, .. } => Some(offset),
            _ => None,
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartialBlock { bytes, .. } => write!(f, "the disk ends with {bytes} bytes of a block"),
            Self::HybridMbr => write!(f, "the MBR describes partitions besides the GPT"),
            Self::ProtectiveMbrExtent { start, size, expected } => {
                write!(f, "the protective MBR covers {size} blocks from {start}, expected {expected} from 1")
            }
            Self::DiskGrown { then, now } => {
                write!(f, "the disk ended at LBA {then} when it was partitioned, now at {now}")
            }
            Self::DiskTruncated { last_usable, now } => {
                write!(
                    f,
                    "the disk ends at LBA {now}, before its last usable LBA {last_usable}: Linux and libblkid refuse the table"
                )
            }
            Self::BlockSizeFromBackup => write!(f, "only the backup header tells the block size"),
            Self::ReservedNotZero { side, bytes, .. } => {
                write!(f, "{bytes} reserved bytes of the {side} header's block are not zero")
            }
            Self::EntrySize { side, size } => {
                write!(f, "the {side} entry array has entries of {size} bytes, which Linux does not read")
            }
            Self::EntryBytesNotZero { side, number, entries, .. } => {
                write!(
                    f,
                    "{entries} entries of the {side} array have bytes without meaning that are not zero, the first is {number}"
                )
            }
            Self::NilGuid { side, number, .. } => {
                write!(f, "partition {number} of the {side} array has no GUID")
            }
            Self::HiddenName { side, number, .. } => {
                write!(f, "partition {number} of the {side} array has text after the end of its name")
            }
        }
    }
}

/// Everything odd about an examination, at most once for each kind and copy.
pub(crate) fn find_anomalies(examination: &Examination) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let Ok(disk) = examination.disk() else { return found };
    let whole = disk.block_size.byte_range(crate::LbaRange { first: Lba(0), last: disk.last_lba() });
    let whole = whole.map_or(0, |range| range.size);
    if let Some(bytes @ 1..) = disk.size.checked_sub(whole).and_then(|bytes| u32::try_from(bytes).ok()) {
        found.push(Anomaly::PartialBlock { offset: whole, bytes });
    }
    if let Ok(mbr) = &examination.protective_mbr {
        let (start, size) = (mbr.starting_lba(), mbr.size_in_lba());
        let expected = ProtectiveMbr::expected_size(disk.size, disk.block_size);
        if mbr.is_hybrid() {
            found.push(Anomaly::HybridMbr);
        } else if start != 1 || (size != expected && size != u32::MAX) {
            found.push(Anomaly::ProtectiveMbrExtent { start, size, expected });
        }
    }
    let now = disk.last_lba();
    if let Err(Error::UsableBeyondDisk { found: last_usable, .. }) = examination.primary.outcome {
        found.push(Anomaly::DiskTruncated { last_usable, now });
    }
    let good = [&examination.primary, &examination.backup].into_iter().find(|copy| copy.outcome.is_ok());
    if let Some(header) = good.and_then(|copy| copy.header) {
        let then = header.my_lba().max(header.alternate_lba());
        if then < now {
            found.push(Anomaly::DiskGrown { then, now });
        }
    }
    if examination.primary.header.is_none() && disk.block_size != BlockSize::B512 {
        found.push(Anomaly::BlockSizeFromBackup);
    }
    odd_copy(&examination.primary, &mut found);
    odd_copy(&examination.backup, &mut found);
    found
}

fn odd_copy(copy: &TableCopy, found: &mut Vec<Anomaly>) {
    let Some(header) = copy.header else { return };
    let side = copy.side;
    let start = copy.location.map_or(0, |location| location.offset);

    let reserved = |at: &u32| (20..24).contains(at) || *at >= Header::SIZE;
    let odd = || (0..).zip(&copy.block).filter(|(at, byte)| reserved(at) && **byte != 0).map(|(at, _)| at);
    if let Some(first) = odd().next() {
        let bytes = u32::try_from(odd().count()).unwrap_or(u32::MAX);
        let offset = start.saturating_add(u64::from(first));
        found.push(Anomaly::ReservedNotZero { side, offset, bytes });
    }
    let size = header.size_of_partition_entry.get();
    if size != Entry::SIZE && copy.array_location.is_some() {
        found.push(Anomaly::EntrySize { side, size });
    }
    let offset = |number| copy.entry_offset(number).unwrap_or(start);

    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let unused = Entry::default();
    let odd = || {
        copy.slots().filter(|(_, entry, rest)| {
            !zero(rest) || (!entry.is_used() && entry.as_bytes() != unused.as_bytes())
        })
    };
    if let Some((number, ..)) = odd().next() {
        let entries = u32::try_from(odd().count()).unwrap_or(u32::MAX);
        found.push(Anomaly::EntryBytesNotZero { side, number, offset: offset(number), entries });
    }
    if let Some((number, _)) = copy.entries().find(|(_, entry)| entry.unique_partition_guid.is_nil()) {
        found.push(Anomaly::NilGuid { side, number, offset: offset(number) });
    }
    if let Some((number, _)) = copy.entries().find(|(_, entry)| entry.partition_name.has_hidden_text()) {
        found.push(Anomaly::HiddenName { side, number, offset: offset(number) });
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::Mode;
    use crate::testing::{TestDisk, builder};

    #[test]
    fn codes_places_and_texts() {
        let side = Side::Backup;
        let all = [
            (Anomaly::HybridMbr, "gpt-hybrid-mbr", Some(446), "the MBR describes partitions besides the GPT"),
            (
                Anomaly::ProtectiveMbrExtent { start: 0, size: 7, expected: 9 },
                "gpt-protective-mbr-extent",
                Some(446),
                "the protective MBR covers 7 blocks from 0, expected 9 from 1",
            ),
            (
                Anomaly::PartialBlock { offset: 512, bytes: 3 },
                "gpt-partial-block",
                Some(512),
                "the disk ends with 3 bytes of a block",
            ),
            (
                Anomaly::NilGuid { side, number: 2, offset: 99 },
                "gpt-nil-guid",
                Some(99),
                "partition 2 of the backup array has no GUID",
            ),
            (
                Anomaly::BlockSizeFromBackup,
                "gpt-block-size-from-backup",
                None,
                "only the backup header tells the block size",
            ),
            (
                Anomaly::DiskGrown { then: Lba(7), now: Lba(9) },
                "gpt-disk-grown",
                None,
                "the disk ended at LBA 7 when it was partitioned, now at 9",
            ),
            (
                Anomaly::DiskTruncated { last_usable: Lba(9), now: Lba(7) },
                "gpt-disk-truncated",
                None,
                "the disk ends at LBA 7, before its last usable LBA 9: Linux and libblkid refuse the table",
            ),
            (
                Anomaly::ReservedNotZero { side, offset: 612, bytes: 2 },
                "gpt-reserved-not-zero",
                Some(612),
                "2 reserved bytes of the backup header's block are not zero",
            ),
            (
                Anomaly::EntrySize { side, size: 256 },
                "gpt-unusual-entry-size",
                None,
                "the backup entry array has entries of 256 bytes, which Linux does not read",
            ),
            (
                Anomaly::EntryBytesNotZero { side, number: 4, offset: 99, entries: 3 },
                "gpt-entry-bytes-not-zero",
                Some(99),
                "3 entries of the backup array have bytes without meaning that are not zero, the first is 4",
            ),
            (
                Anomaly::HiddenName { side, number: 2, offset: 99 },
                "gpt-hidden-name",
                Some(99),
                "partition 2 of the backup array has text after the end of its name",
            ),
        ];
        for (anomaly, code, offset, text) in all {
            assert_eq!(
                (anomaly.code(), anomaly.offset(), anomaly.to_string().as_str()),
                (code, offset, text)
            );
        }
    }

    #[test]
    fn extents_of_the_protective_record() {
        for (start, size, odd) in
            [(1, 2047, false), (1, u32::MAX, false), (2, 2047, true), (2, u32::MAX, true), (1, 2046, true)]
        {
            let mut disk = TestDisk::new(BlockSize::B512);
            disk.bytes[454..458].copy_from_slice(&u32::to_le_bytes(start));
            disk.bytes[458..462].copy_from_slice(&u32::to_le_bytes(size));
            let extent = Anomaly::ProtectiveMbrExtent { start, size, expected: 2047 };
            assert_eq!(disk.examine().anomalies().contains(&extent), odd, "{start} {size}");
        }
    }

    #[test]
    fn bytes_behind_the_fields_of_large_entries() {
        let table = builder(BlockSize::B512).entries(64, 256).build().unwrap();
        let mut disk = TestDisk { bytes: table.to_disk(), block_size: BlockSize::B512 };
        let sizes = [Side::Primary, Side::Backup].map(|side| Anomaly::EntrySize { side, size: 256 });
        assert_eq!(disk.gpt(Mode::Strict).unwrap().anomalies(), sizes);
        disk.bytes[1024 + 256 + 255] = 1;
        disk.repair(Side::Primary);
        let odd = Anomaly::EntryBytesNotZero { side: Side::Primary, number: 2, offset: 1280, entries: 1 };
        assert_eq!(disk.examine().anomalies(), [sizes[0], odd, sizes[1]]);
    }
}
