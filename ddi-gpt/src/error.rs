//! What can be wrong.

use alloc::boxed::Box;
use core::fmt;

use crate::{BlockSize, Difference, Guid, Lba, LbaRange, Side};

/// What is wrong, with the facts to find the place with a hex editor: offsets are bytes from the start of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    // where is the table
    /// No block size has a header, at neither end of the disk.
    NoTable,
    /// Two block sizes have a header: whoever reads the image decides what it holds.
    AmbiguousBlockSize {
        /// The smallest block size with a header.
        first: BlockSize,
        /// The next one.
        second: BlockSize,
    },
    /// Neither copy of the table is good.
    NoValidCopy {
        /// What is wrong with the primary copy.
        primary: Box<Error>,
        /// What is wrong with the backup copy.
        backup: Box<Error>,
    },

    // protective MBR
    /// The disk has no 512 bytes.
    DiskTooSmall {
        /// Its size in bytes.
        size: u64,
    },
    /// Bytes 510 and 511 of the disk are not 55 AA.
    MbrSignature {
        /// What they are.
        found: u16,
    },
    /// The master boot record has no record of type EE, so that other software sees no GPT here.
    MbrNotProtective {
        /// The types of its four records.
        types: [u8; 4],
    },
    /// Strict only: the protective MBR is not as UEFI wants it.
    MbrNotProper {
        /// First block of the protective record: should be 1.
        start: u32,
        /// Its blocks.
        size: u32,
        /// What its size should be.
        expected: u32,
        /// Another record is in use.
        hybrid: bool,
    },

    // header
    /// There is no `EFI PART`, or the disk ends before it.
    NoSignature {
        /// Which header.
        side: Side,
        /// Where it should be.
        offset: u64,
    },
    /// `header_size` is below 92 or over the block size.
    HeaderSize {
        /// Which header.
        side: Side,
        /// Of the field.
        offset: u64,
        /// The size there.
        found: u32,
        /// The block size.
        block_size: BlockSize,
    },
    /// The header does not have the CRC it gives.
    HeaderCrc {
        /// Which header.
        side: Side,
        /// Of the field.
        offset: u64,
        /// The CRC there.
        found: u32,
        /// The CRC of the header.
        expected: u32,
    },
    /// `my_lba` is not the block that the header is in.
    MyLba {
        /// Which header.
        side: Side,
        /// Of the field.
        offset: u64,
        /// The block there.
        found: Lba,
        /// The block it is in.
        expected: Lba,
    },
    /// The header's revision is not 1.0.
    Revision {
        /// Which header.
        side: Side,
        /// Of the field.
        offset: u64,
        /// The revision there.
        found: u32,
    },
    /// The usable range ends before it starts.
    UsableInverted {
        /// Which header.
        side: Side,
        /// Of `first_usable_lba`.
        offset: u64,
        /// The range there.
        usable: LbaRange,
    },
    /// The usable range ends past the last block: the disk is shorter than when it was partitioned.
    UsableBeyondDisk {
        /// Which header.
        side: Side,
        /// Of `last_usable_lba`.
        offset: u64,
        /// The block there.
        found: Lba,
        /// The last block of the disk.
        last: Lba,
    },
    /// The usable range holds blocks of the table itself.
    UsableOverTable {
        /// Which header.
        side: Side,
        /// Of `first_usable_lba`.
        offset: u64,
        /// The range there.
        usable: LbaRange,
        /// What is in it.
        part: TablePart,
        /// The blocks of that.
        blocks: LbaRange,
    },

    // entry array
    /// The size of an entry is not 128 · 2ⁿ.
    EntrySize {
        /// Which header.
        side: Side,
        /// Of the field.
        offset: u64,
        /// The size there.
        found: u32,
    },
    /// The header gives the array no entries.
    NoEntries {
        /// Which header.
        side: Side,
        /// Of the field.
        offset: u64,
    },
    /// The array is larger than [`MAX_ARRAY_SIZE`](crate::MAX_ARRAY_SIZE).
    ArrayTooLarge {
        /// Which header.
        side: Side,
        /// Of the number of entries.
        offset: u64,
        /// The size of the array in bytes.
        size: u64,
    },
    /// The array ends past the disk.
    ArrayBeyondDisk {
        /// Which header.
        side: Side,
        /// Of the field with the array's place.
        offset: u64,
        /// First block of the array.
        first: Lba,
        /// Bytes of the array.
        size: u64,
    },
    /// The array is over the protective MBR or a header.
    ArrayOverTable {
        /// Which header.
        side: Side,
        /// Of the field with the array's place.
        offset: u64,
        /// The blocks of the array.
        array: LbaRange,
        /// What it is over.
        part: TablePart,
    },
    /// The array does not have the CRC that the header gives.
    ArrayCrc {
        /// Which header.
        side: Side,
        /// Of the field.
        offset: u64,
        /// The CRC there.
        found: u32,
        /// The CRC of the array.
        expected: u32,
    },

    // entries
    /// A partition ends before it starts.
    PartitionInverted {
        /// Which array.
        side: Side,
        /// The partition, from 1.
        number: u32,
        /// Of the entry.
        offset: u64,
        /// The blocks it gives.
        lbas: LbaRange,
    },
    /// A partition is not within the usable range.
    PartitionOutsideUsable {
        /// Which array.
        side: Side,
        /// The partition, from 1.
        number: u32,
        /// Of the entry.
        offset: u64,
        /// The blocks it gives.
        lbas: LbaRange,
        /// The usable range.
        usable: LbaRange,
    },
    /// A partition ends past the last block.
    PartitionBeyondDisk {
        /// Which array.
        side: Side,
        /// The partition, from 1.
        number: u32,
        /// Of the entry.
        offset: u64,
        /// The blocks it gives.
        lbas: LbaRange,
        /// The last block of the disk.
        last: Lba,
    },
    /// A partition is over the table: within its usable range, and still over the other copy.
    PartitionOverTable {
        /// Which array.
        side: Side,
        /// The partition, from 1.
        number: u32,
        /// Of the entry.
        offset: u64,
        /// The blocks it gives.
        lbas: LbaRange,
        /// What it is over.
        part: TablePart,
        /// The blocks of that.
        blocks: LbaRange,
    },
    /// Two partitions share blocks.
    PartitionsOverlap {
        /// Which array.
        side: Side,
        /// The one that starts first, from 1.
        first: u32,
        /// The other.
        second: u32,
        /// Of the entry of the other.
        offset: u64,
        /// The first block that both have.
        lba: Lba,
    },
    /// Two partitions have the same unique GUID.
    DuplicateGuid {
        /// Which array.
        side: Side,
        /// The earlier one, from 1.
        first: u32,
        /// The later one.
        second: u32,
        /// Of the entry of the later one.
        offset: u64,
        /// The GUID.
        guid: Guid,
    },

    // the two copies, strict only
    /// The copies are both good and differ.
    CopiesDiffer {
        /// The first difference.
        first: Box<Difference>,
        /// How many fields differ, at least.
        count: usize,
    },
    /// The backup header is not in the last block.
    BackupMisplaced {
        /// Where it is.
        found: Lba,
        /// The last block.
        expected: Lba,
    },

    // derivations
    /// The root hash has no sixteen bytes.
    RootHashTooShort {
        /// How many it has.
        len: usize,
    },
    /// The first or last half of the root hash is zero and cannot be a GUID.
    RootHashHalfZero,

    // text
    /// The text is not a GUID.
    InvalidGuid,
    /// The name does not fit into 36 UTF-16 units.
    NameTooLong {
        /// How many it has.
        units: usize,
    },
    /// The name has a NUL, which would end it.
    NameHasNul,
    /// The text is not a designator.
    UnknownDesignator,
    /// The text is not an architecture.
    UnknownArchitecture,
    /// The text is not a partition type, or needs a native architecture.
    UnknownPartitionType,

    // writing
    /// The disk has no room for the two copies of the table.
    NoRoomForTable {
        /// The size of the disk.
        disk_size: u64,
        /// The least it would have to be.
        needed: u64,
    },
    /// The builder was asked for an entry size that is not 128 · 2ⁿ, no entries, or more than
    /// [`MAX_ARRAY_SIZE`](crate::MAX_ARRAY_SIZE) of them.
    BadArray {
        /// Entries.
        count: u32,
        /// Bytes of an entry.
        entry_size: u32,
    },
    /// The alignment is not a multiple of the block size, or zero.
    BadAlignment {
        /// The alignment in bytes.
        alignment: u64,
    },
    /// The builder was asked for a usable range over the tables, or for none.
    BadUsable {
        /// The range asked for.
        usable: LbaRange,
        /// The largest there can be.
        most: LbaRange,
    },
    /// A partition to be written has the type of unused entries.
    NilType {
        /// The partition, from 1.
        number: u32,
    },
    /// A partition to be written has a number that is 0, taken, or past the array.
    BadNumber {
        /// The number, from 1.
        number: u32,
        /// Entries in the array.
        count: u32,
    },
    /// There is no free range that is long enough for a partition to be written.
    NoRoom {
        /// The partition, from 1.
        number: u32,
        /// Bytes that are needed.
        size: u64,
    },
}

/// A part of the table that other things may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TablePart {
    /// The protective MBR.
    ProtectiveMbr,
    /// The header of this copy.
    Header,
    /// The entry array of this copy.
    Array,
    /// The header of the other copy.
    OtherHeader,
    /// The entry array of the other copy.
    OtherArray,
}

impl fmt::Display for TablePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProtectiveMbr => "the protective MBR",
            Self::Header => "the header",
            Self::Array => "the entry array",
            Self::OtherHeader => "the other header",
            Self::OtherArray => "the other entry array",
        })
    }
}

/// The kinds of [`Error`] that a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no table.
    Absent,
    /// The table breaks the specification.
    Corrupt,
    /// The table may be fine; this crate does not read such ones.
    Unsupported,
    /// The caller asked for what cannot be.
    Invalid,
}

impl Error {
    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoTable => ErrorKind::Absent,
            Self::Revision { .. } | Self::ArrayTooLarge { .. } => ErrorKind::Unsupported,
            Self::RootHashTooShort { .. }
            | Self::RootHashHalfZero
            | Self::InvalidGuid
            | Self::NameTooLong { .. }
            | Self::NameHasNul
            | Self::UnknownDesignator
            | Self::UnknownArchitecture
            | Self::UnknownPartitionType
            | Self::NoRoomForTable { .. }
            | Self::BadArray { .. }
            | Self::BadAlignment { .. }
            | Self::BadUsable { .. }
            | Self::NilType { .. }
            | Self::BadNumber { .. }
            | Self::NoRoom { .. } => ErrorKind::Invalid,
            _ => ErrorKind::Corrupt,
        }
    }

    /// A name for the variant that stays the same, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoTable => "gpt-no-table",
            Self::AmbiguousBlockSize { .. } => "gpt-ambiguous-block-size",
            Self::NoValidCopy { .. } => "gpt-no-valid-copy",
            Self::DiskTooSmall { .. } => "gpt-disk-too-small",
            Self::MbrSignature { .. } => "gpt-mbr-signature",
            Self::MbrNotProtective { .. } => "gpt-mbr-not-protective",
            Self::MbrNotProper { .. } => "gpt-mbr-not-proper",
            Self::NoSignature { .. } => "gpt-no-signature",
            Self::HeaderSize { .. } => "gpt-header-size",
            Self::HeaderCrc { .. } => "gpt-header-crc",
            Self::MyLba { .. } => "gpt-my-lba",
            Self::Revision { .. } => "gpt-revision",
            Self::UsableInverted { .. } => "gpt-usable-inverted",
            Self::UsableBeyondDisk { .. } => "gpt-usable-beyond-disk",
            Self::UsableOverTable { .. } => "gpt-usable-over-table",
            Self::EntrySize { .. } => "gpt-entry-size",
            Self::NoEntries { .. } => "gpt-no-entries",
            Self::ArrayTooLarge { .. } => "gpt-array-too-large",
            Self::ArrayBeyondDisk { .. } => "gpt-array-beyond-disk",
            Self::ArrayOverTable { .. } => "gpt-array-over-table",
            Self::ArrayCrc { .. } => "gpt-array-crc",
            Self::PartitionInverted { .. } => "gpt-partition-inverted",
            Self::PartitionOutsideUsable { .. } => "gpt-partition-outside-usable",
            Self::PartitionBeyondDisk { .. } => "gpt-partition-beyond-disk",
            Self::PartitionOverTable { .. } => "gpt-partition-over-table",
            Self::PartitionsOverlap { .. } => "gpt-partitions-overlap",
            Self::DuplicateGuid { .. } => "gpt-duplicate-guid",
            Self::CopiesDiffer { .. } => "gpt-copies-differ",
            Self::BackupMisplaced { .. } => "gpt-backup-misplaced",
            Self::RootHashTooShort { .. } => "root-hash-too-short",
            Self::RootHashHalfZero => "root-hash-half-zero",
            Self::InvalidGuid => "invalid-guid",
            Self::NameTooLong { .. } => "name-too-long",
            Self::NameHasNul => "name-has-nul",
            Self::UnknownDesignator => "unknown-designator",
            Self::UnknownArchitecture => "unknown-architecture",
            Self::UnknownPartitionType => "unknown-partition-type",
            Self::NoRoomForTable { .. } => "gpt-no-room-for-table",
            Self::BadArray { .. } => "gpt-bad-array",
            Self::BadAlignment { .. } => "gpt-bad-alignment",
            Self::BadUsable { .. } => "gpt-bad-usable",
            Self::NilType { .. } => "gpt-nil-type",
            Self::BadNumber { .. } => "gpt-bad-number",
            Self::NoRoom { .. } => "gpt-no-room",
        }
    }

    /// Where on the disk the cause is, in bytes, if it has one place.
    pub fn offset(&self) -> Option<u64> {
        match *self {
            Self::MbrSignature { .. } => Some(510),
            Self::MbrNotProtective { .. } | Self::MbrNotProper { .. } => Some(446),
            Self::NoSignature { offset, .. }
            | Self::HeaderSize { offset, .. }
            | Self::HeaderCrc { offset, .. }
            | Self::MyLba { offset, .. }
            | Self::Revision { offset, .. }
            | Self::UsableInverted { offset, .. }
            | Self::UsableBeyondDisk { offset, .. }
            | Self::UsableOverTable { offset, .. }
            | Self::EntrySize { offset, .. }
            | Self::NoEntries { offset, .. }
            | Self::ArrayTooLarge { offset, .. }
            | Self::ArrayBeyondDisk { offset, .. }
            | Self::ArrayOverTable { offset, .. }
            | Self::ArrayCrc { offset, .. }
            | Self::PartitionInverted { offset, .. }
            | Self::PartitionOutsideUsable { offset, .. }
            | Self::PartitionBeyondDisk { offset, .. }
            | Self::PartitionOverTable { offset, .. }
            | Self::PartitionsOverlap { offset, .. }
            | Self::DuplicateGuid { offset, .. } => Some(offset),
            _ => None,
        }
    }

    /// True for what befalls one copy of a table, so that the other may stand in for it: bytes that are not what was written, or
    /// that libblkid does not take either.
    ///
    /// False for a copy that is whole and tells a lie. Other software believes it, so that reading the other copy would give the
    /// image a second meaning.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::NoTable
                | Self::NoSignature { .. }
                | Self::HeaderSize { .. }
                | Self::HeaderCrc { .. }
                | Self::MyLba { .. }
                | Self::UsableInverted { .. }
                | Self::UsableBeyondDisk { .. }
                | Self::UsableOverTable { part: TablePart::Header, .. }
                | Self::EntrySize { .. }
                | Self::NoEntries { .. }
                | Self::ArrayBeyondDisk { .. }
                | Self::ArrayCrc { .. }
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => write!(f, "no GUID partition table"),
            Self::AmbiguousBlockSize { first, second } => {
                write!(f, "there are GPT headers for blocks of {first} and of {second} bytes")
            }
            Self::NoValidCopy { primary, backup } => write!(f, "{primary}; {backup}"),
            Self::DiskTooSmall { size } => write!(f, "the disk has {size} bytes, not even 512"),
            Self::MbrSignature { found } => {
                write!(f, "protective MBR: signature at byte 510 is {found:#06x}, expected 0xaa55")
            }
            Self::MbrNotProtective { types: [a, b, c, d] } => {
                write!(f, "protective MBR: types are {a:02x} {b:02x} {c:02x} {d:02x}, expected ee among them")
            }
            Self::MbrNotProper { start, size, expected, hybrid } => {
                write!(
                    f,
                    "protective MBR: record starts at block {start} and has {size} blocks, expected 1 and {expected}"
                )?;
                if *hybrid { write!(f, "; other records are in use") } else { Ok(()) }
            }
            Self::NoSignature { side, offset } => {
                write!(f, "{side} header: no EFI PART at byte {offset}")
            }
            Self::HeaderSize { side, offset, found, block_size } => {
                write!(f, "{side} header: size at byte {offset} is {found}, expected 92 to {block_size}")
            }
            Self::HeaderCrc { side, offset, found, expected } => {
                write!(
                    f,
                    "{side} header: CRC-32 at byte {offset} is {found:#010x}, expected {expected:#010x}"
                )
            }
            Self::MyLba { side, offset, found, expected } => {
                write!(f, "{side} header: own LBA at byte {offset} is {found}, expected {expected}")
            }
            Self::Revision { side, offset, found } => {
                write!(f, "{side} header: revision at byte {offset} is {found:#010x}, expected 0x00010000")
            }
            Self::UsableInverted { side, offset, usable } => {
                write!(
                    f,
                    "{side} header: usable blocks at byte {offset} are {usable}, which ends before it starts"
                )
            }
            Self::UsableBeyondDisk { side, offset, found, last } => {
                write!(
                    f,
                    "{side} header: last usable LBA at byte {offset} is {found}, expected at most {last}, the end of the disk"
                )
            }
            Self::UsableOverTable { side, offset, usable, part, blocks } => {
                write!(
                    f,
                    "{side} header: usable blocks at byte {offset} are {usable}, over {part} at {blocks}"
                )
            }
            Self::EntrySize { side, offset, found } => {
                write!(
                    f,
                    "{side} header: entry size at byte {offset} is {found}, expected 128 times a power of two"
                )
            }
            Self::NoEntries { side, offset } => {
                write!(f, "{side} header: number of entries at byte {offset} is 0")
            }
            Self::ArrayTooLarge { side, offset, size } => {
                write!(
                    f,
                    "{side} header: entry array (count at byte {offset}) has {size} bytes, more than {} are not read",
                    crate::MAX_ARRAY_SIZE
                )
            }
            Self::ArrayBeyondDisk { side, offset, first, size } => {
                write!(
                    f,
                    "{side} header: entry array (place at byte {offset}) has {size} bytes from LBA {first}, past the end of the disk"
                )
            }
            Self::ArrayOverTable { side, offset, array, part } => {
                write!(
                    f,
                    "{side} header: entry array (place at byte {offset}) is at LBA {array}, over {part}"
                )
            }
            Self::ArrayCrc { side, offset, found, expected } => {
                write!(
                    f,
                    "{side} entry array: CRC-32 at byte {offset} is {found:#010x}, expected {expected:#010x}"
                )
            }
            Self::PartitionInverted { side, number, offset, lbas } => {
                write!(
                    f,
                    "{side} entry array: partition {number} at byte {offset} has LBA {lbas}, which ends before it starts"
                )
            }
            Self::PartitionOutsideUsable { side, number, offset, lbas, usable } => {
                write!(
                    f,
                    "{side} entry array: partition {number} at byte {offset} has LBA {lbas}, expected within {usable}"
                )
            }
            Self::PartitionBeyondDisk { side, number, offset, lbas, last } => {
                write!(
                    f,
                    "{side} entry array: partition {number} at byte {offset} has LBA {lbas}, past the end of the disk at {last}"
                )
            }
            Self::PartitionOverTable { side, number, offset, lbas, part, blocks } => {
                write!(
                    f,
                    "{side} entry array: partition {number} at byte {offset} has LBA {lbas}, over {part} at {blocks}"
                )
            }
            Self::PartitionsOverlap { side, first, second, offset, lba } => {
                write!(
                    f,
                    "{side} entry array: partition {second} at byte {offset} shares LBA {lba} with partition {first}"
                )
            }
            Self::DuplicateGuid { side, first, second, offset, guid } => {
                write!(
                    f,
                    "{side} entry array: partition {second} at byte {offset} has the GUID {guid} of partition {first}"
                )
            }
            Self::CopiesDiffer { first, count: 1 } => write!(f, "the two copies differ: {first}"),
            Self::CopiesDiffer { first, count } => {
                write!(f, "the two copies differ in {count} fields, the first: {first}")
            }
            Self::BackupMisplaced { found, expected } => {
                write!(f, "backup header: is at LBA {found}, expected {expected}, the end of the disk")
            }
            Self::RootHashTooShort { len } => write!(f, "root hash of {len} bytes, expected at least 16"),
            Self::RootHashHalfZero => {
                write!(f, "root hash with a zero half, which cannot be a partition's GUID")
            }
            Self::InvalidGuid => write!(f, "not a GUID"),
            Self::NameTooLong { units } => write!(f, "name of {units} UTF-16 units, expected at most 36"),
            Self::NameHasNul => write!(f, "name with a NUL character"),
            Self::UnknownDesignator => write!(f, "not a partition designator"),
            Self::UnknownArchitecture => write!(f, "not an architecture"),
            Self::UnknownPartitionType => write!(f, "not a partition type"),
            Self::NoRoomForTable { disk_size, needed } => {
                write!(f, "a disk of {disk_size} bytes has no room for the table, {needed} are needed")
            }
            Self::BadArray { count, entry_size } => {
                write!(f, "no array can have {count} entries of {entry_size} bytes")
            }
            Self::BadAlignment { alignment } => {
                write!(f, "alignment of {alignment} bytes is not a multiple of the block size")
            }
            Self::BadUsable { usable, most } => {
                write!(f, "usable blocks {usable} are not within {most}")
            }
            Self::NilType { number } => write!(f, "partition {number} has the type of unused entries"),
            Self::BadNumber { number, count } => {
                write!(f, "partition number {number} is taken or not within 1 to {count}")
            }
            Self::NoRoom { number, size } => {
                write!(f, "no free range has the {size} bytes that partition {number} needs")
            }
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NoValidCopy { primary, .. } => Some(primary.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::error::Error as _;
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn kinds() {
        let side = Side::Primary;
        for (error, kind) in [
            (Error::NoTable, ErrorKind::Absent),
            (Error::Revision { side, offset: 0, found: 2 }, ErrorKind::Unsupported),
            (Error::RootHashHalfZero, ErrorKind::Invalid),
            (Error::BadNumber { number: 129, count: 128 }, ErrorKind::Invalid),
            (Error::DiskTooSmall { size: 1 }, ErrorKind::Corrupt),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    #[test]
    fn places() {
        let side = Side::Primary;
        assert_eq!(Error::MbrSignature { found: 0 }.offset(), Some(510));
        assert_eq!(Error::MbrNotProtective { types: [0; 4] }.offset(), Some(446));
        assert_eq!(Error::Revision { side, offset: 520, found: 2 }.offset(), Some(520));
        assert_eq!(Error::NoTable.offset(), None);
    }

    #[test]
    fn the_primary_copy_is_the_cause() {
        let primary = Box::new(Error::NoTable);
        let backup = Box::new(Error::DiskTooSmall { size: 1 });
        let error = Error::NoValidCopy { primary, backup };
        assert_eq!(error.source().unwrap().to_string(), Error::NoTable.to_string());
        assert!(Error::NoTable.source().is_none());
    }

    #[test]
    fn parts_of_the_table() {
        use TablePart as P;
        let text =
            [P::ProtectiveMbr, P::Header, P::Array, P::OtherHeader, P::OtherArray].map(|p| p.to_string());
        assert_eq!(
            text,
            [
                "the protective MBR",
                "the header",
                "the entry array",
                "the other header",
                "the other entry array"
            ]
        );
    }

    fn one_of_each() -> Vec<Error> {
        use Error as E;
        let (side, offset) = (Side::Backup, 1234);
        let (found, expected, size, number, count) = (7, 9, 512, 3, 128);
        let (lba, last, first) = (Lba(40), Lba(99), Lba(2));
        let (lbas, usable, blocks, array) =
            (LbaRange::new(40, 59), LbaRange::new(34, 90), LbaRange::new(1, 1), LbaRange::new(2, 33));
        let part = TablePart::Array;
        let difference = Difference {
            field: crate::Field::DiskGuid,
            primary: crate::Value::Guid(Guid::NIL),
            backup: crate::Value::Guid(Guid::from_u128(1)),
        };
        vec![
            E::NoTable,
            E::AmbiguousBlockSize { first: BlockSize::B512, second: BlockSize::B4096 },
            E::NoValidCopy { primary: Box::new(E::NoTable), backup: Box::new(E::NoEntries { side, offset }) },
            E::DiskTooSmall { size },
            E::MbrSignature { found: 0x55aa },
            E::MbrNotProtective { types: [0x83, 0, 0, 0] },
            E::MbrNotProper { start: 1, size: 7, expected, hybrid: true },
            E::MbrNotProper { start: 1, size: 7, expected, hybrid: false },
            E::NoSignature { side, offset },
            E::HeaderSize { side, offset, found, block_size: BlockSize::B512 },
            E::HeaderCrc { side, offset, found, expected },
            E::MyLba { side, offset, found: first, expected: last },
            E::Revision { side, offset, found },
            E::UsableInverted { side, offset, usable },
            E::UsableBeyondDisk { side, offset, found: last, last: lba },
            E::UsableOverTable { side, offset, usable, part, blocks },
            E::EntrySize { side, offset, found },
            E::NoEntries { side, offset },
            E::ArrayTooLarge { side, offset, size },
            E::ArrayBeyondDisk { side, offset, first, size },
            E::ArrayOverTable { side, offset, array, part },
            E::ArrayCrc { side, offset, found, expected },
            E::PartitionInverted { side, number, offset, lbas },
            E::PartitionOutsideUsable { side, number, offset, lbas, usable },
            E::PartitionBeyondDisk { side, number, offset, lbas, last },
            E::PartitionOverTable { side, number, offset, lbas, part, blocks },
            E::PartitionsOverlap { side, first: 1, second: 2, offset, lba },
            E::DuplicateGuid { side, first: 1, second: 2, offset, guid: Guid::NIL },
            E::CopiesDiffer { first: Box::new(difference), count: 1 },
            E::CopiesDiffer { first: Box::new(difference), count: 5 },
            E::BackupMisplaced { found: lba, expected: last },
            E::RootHashTooShort { len: 8 },
            E::RootHashHalfZero,
            E::InvalidGuid,
            E::NameTooLong { units: 37 },
            E::NameHasNul,
            E::UnknownDesignator,
            E::UnknownArchitecture,
            E::UnknownPartitionType,
            E::NoRoomForTable { disk_size: 7, needed: 9 },
            E::BadArray { count, entry_size: 100 },
            E::BadAlignment { alignment: 7 },
            E::BadUsable { usable, most: lbas },
            E::NilType { number },
            E::BadNumber { number, count },
            E::NoRoom { number, size },
        ]
    }

    /// Fit to follow a colon, and no two alike.
    #[test]
    fn each_error_has_its_text_and_its_code() {
        let errors = one_of_each();
        for (i, error) in errors.iter().enumerate() {
            let (text, code) = (error.to_string(), error.code());
            assert!(!text.ends_with('.') && !text.contains('\n') && text.len() > 8, "{text}");
            assert!(!text.contains("error") && !text.contains("failed"), "{text}");
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !code.is_empty(), "{code}");
            for other in &errors[..i] {
                assert_ne!(other.to_string(), text);
                let same = core::mem::discriminant(other) == core::mem::discriminant(error);
                assert_eq!(other.code() == code, same, "{code}");
            }
        }
    }
}
