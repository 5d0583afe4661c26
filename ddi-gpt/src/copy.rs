//! One copy of the table, and the checks that it must pass.

use alloc::vec::Vec;
use core::fmt;
use core::mem::offset_of;

use zerocopy::FromBytes;

use crate::header::header_crc32;
use crate::source::Source;
use crate::{BlockSize, ByteRange, Entry, Error, Guid, Header, Lba, LbaRange, Partition, TablePart};

/// The largest entry array that is read, in bytes: 64 times the usual one, 8192 entries. Other software goes up to 4 GiB and
/// has been made to allocate it by a few bytes of header.
pub const MAX_ARRAY_SIZE: u64 = 1 << 20;

/// One of the two copies of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// At the start of the disk.
    Primary,
    /// At the end of the disk.
    Backup,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        })
    }
}

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Primary => Self::Backup,
            Self::Backup => Self::Primary,
        }
    }
}

/// One copy of the table as it was found.
#[derive(Clone)]
pub struct TableCopy {
    /// Which of the two.
    pub side: Side,
    /// The block that the header is in, or should be in; `None` if the disk has no such block, or the block size is not known.
    pub location: Option<ByteRange>,
    /// The header, unchecked, if the block starts with `EFI PART`.
    pub header: Option<Header>,
    /// Where the entry array is, if the header gives it a size that can be read.
    pub array_location: Option<ByteRange>,
    /// Whether this copy, taken alone, passes every check.
    pub outcome: Result<(), Error>,
    /// The address of `location`.
    pub(crate) lba: Lba,
    /// The header's whole block.
    pub(crate) block: Vec<u8>,
    array: Vec<u8>,
}

impl TableCopy {
    /// The used entries, unchecked, with their numbers from 1. There may be some even if the header's or the array's CRC is
    /// wrong.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.slots().map(|(number, entry, _)| (number, entry)).filter(|(_, entry)| entry.is_used())
    }

    /// Where an entry is on the disk, in bytes; `None` if the array could not be read or has no such entry.
    pub fn entry_offset(&self, number: u32) -> Option<u64> {
        let header = self.header?;
        let index = number.checked_sub(1).filter(|i| *i < header.number_of_partition_entries.get())?;
        let stride = u64::from(header.size_of_partition_entry.get());
        self.array_location?.offset.checked_add(u64::from(index).checked_mul(stride)?)
    }

    /// All slots, used or not: number, entry, and the bytes that the slot has besides.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, &Entry, &[u8])> {
        let stride = self.header.map_or(0, |header| header.size_of_partition_entry.get());
        let stride = usize::try_from(stride).unwrap_or(usize::MAX).max(1);
        (1..).zip(self.array.chunks_exact(stride)).filter_map(|(number, slot)| {
            let (entry, rest) = Entry::ref_from_prefix(slot).ok()?;
            Some((number, entry, rest))
        })
    }

    /// The blocks of the array, if it was read.
    pub(crate) fn array_lbas(&self, disk: &Disk) -> Option<LbaRange> {
        let first = self.header?.partition_entry_lba.get();
        LbaRange::with_blocks(first, disk.block_size.blocks_for(self.array_location?.size))
    }

    pub(crate) fn absent(side: Side, lba: Lba, block_size: &Result<Option<BlockSize>, Error>) -> Self {
        Self {
            side,
            location: None,
            header: None,
            array_location: None,
            outcome: Err(block_size.clone().err().unwrap_or(Error::NoTable)),
            lba,
            block: Vec::new(),
            array: Vec::new(),
        }
    }

    /// Reads the header's block, and checks the header for damage.
    pub(crate) fn load<E, F>(source: &mut Source<F>, disk: &Disk, side: Side, lba: Lba) -> Result<Self, E>
    where
        F: FnMut(u64, &mut [u8]) -> Result<(), E>,
    {
        let mut copy = Self::absent(side, lba, &Ok(None));
        copy.location = disk.bytes_of(LbaRange::one(lba));
        if let Some(location) = copy.location {
            let piece = source.fetch(location.offset, disk.block_len())?;
            copy.block = source.bytes(piece).to_vec();
            copy.header = Header::find(&copy.block).copied();
        }
        copy.outcome = copy.check_header(disk, Truncated::Refuse).map(drop);
        Ok(copy)
    }

    /// Reads the array, if its size is one that is read at all.
    pub(crate) fn load_array<E, F>(&mut self, source: &mut Source<F>, disk: &Disk) -> Result<(), E>
    where
        F: FnMut(u64, &mut [u8]) -> Result<(), E>,
    {
        let Some(header) = self.header else { return Ok(()) };
        if !is_entry_size(header.size_of_partition_entry.get()) || header.array_size() == 0 {
            return Ok(());
        }
        let Some(location) = disk.array(&header).filter(|location| location.size <= MAX_ARRAY_SIZE) else {
            return Ok(());
        };
        let len = usize::try_from(location.size).unwrap_or_default();
        let piece = source.fetch(location.offset, len)?;
        self.array = source.take(piece);
        self.array_location = Some(location);
        Ok(())
    }

    /// Checks everything, and hands out the partitions: each of them whole and somewhere it may be, but all of them good only if
    /// the answer is.
    pub(crate) fn judge(
        &self,
        disk: &Disk,
        truncated: Truncated,
        each: impl FnMut(Partition),
    ) -> Result<(), Error> {
        let header = self.check_header(disk, truncated)?;
        self.check_array(&header, disk)?;
        let parts = self.check_layout(&header, disk)?;
        self.check_entries(&header, disk, &parts, each)
    }

    /// Is the header what was once written, for this place on a disk of this size? What libblkid checks, in the same order.
    pub(crate) fn check_header(&self, disk: &Disk, truncated: Truncated) -> Result<Header, Error> {
        let (side, lba) = (self.side, self.lba);
        let header = self.header.ok_or(Error::NoSignature { side, offset: self.at(disk, 0) })?;

        let size = header.header_size.get();
        let covered = usize::try_from(size).ok().and_then(|size| self.block.get(..size));
        let covered = covered.filter(|_| size >= Header::SIZE).ok_or(Error::HeaderSize {
            side,
            offset: self.at(disk, offset_of!(Header, header_size)),
            found: size,
            block_size: disk.block_size,
        })?;
        let (found, expected) = (header.header_crc32.get(), header_crc32(covered));
        if found != expected {
            let offset = self.at(disk, offset_of!(Header, header_crc32));
            return Err(Error::HeaderCrc { side, offset, found, expected });
        }
        if header.my_lba() != lba {
            let offset = self.at(disk, offset_of!(Header, my_lba));
            return Err(Error::MyLba { side, offset, found: header.my_lba(), expected: lba });
        }
        let (usable, last) = (header.usable(), disk.last_lba());
        let offset = self.at(disk, offset_of!(Header, first_usable_lba));
        if usable.is_inverted() {
            return Err(Error::UsableInverted { side, offset, usable });
        }
        if usable.last > last && truncated == Truncated::Refuse {
            let offset = self.at(disk, offset_of!(Header, last_usable_lba));
            return Err(Error::UsableBeyondDisk { side, offset, found: usable.last, last });
        }
        if usable.contains(lba) {
            let part = TablePart::Header;
            return Err(Error::UsableOverTable { side, offset, usable, part, blocks: LbaRange::one(lba) });
        }
        Ok(header)
    }

    /// Is the array there, and what was once written?
    fn check_array(&self, header: &Header, disk: &Disk) -> Result<(), Error> {
        let side = self.side;
        let found = header.size_of_partition_entry.get();
        if !is_entry_size(found) {
            let offset = self.at(disk, offset_of!(Header, size_of_partition_entry));
            return Err(Error::EntrySize { side, offset, found });
        }
        let size = header.array_size();
        let offset = self.at(disk, offset_of!(Header, number_of_partition_entries));
        match size {
            0 => return Err(Error::NoEntries { side, offset }),
            1..=MAX_ARRAY_SIZE => {}
            _ => return Err(Error::ArrayTooLarge { side, offset, size }),
        }
        if disk.array(header).is_none() {
            let offset = self.at(disk, offset_of!(Header, partition_entry_lba));
            let first = Lba(header.partition_entry_lba.get());
            return Err(Error::ArrayBeyondDisk { side, offset, first, size });
        }
        let (found, expected) = (header.partition_entry_array_crc32.get(), crc32fast::hash(&self.array));
        if found != expected {
            let offset = self.at(disk, offset_of!(Header, partition_entry_array_crc32));
            return Err(Error::ArrayCrc { side, offset, found, expected });
        }
        Ok(())
    }

    /// Do the header's facts go together? Gives the parts of the table, which partitions must leave alone.
    fn check_layout(&self, header: &Header, disk: &Disk) -> Result<[(TablePart, LbaRange); 5], Error> {
        let side = self.side;
        let found = header.revision.get();
        if found != Header::REVISION {
            return Err(Error::Revision { side, offset: self.at(disk, offset_of!(Header, revision)), found });
        }
        let array = self.array_lbas(disk).unwrap_or(LbaRange::one(self.lba));
        let parts = [
            (TablePart::ProtectiveMbr, LbaRange::one(Lba(0))),
            (TablePart::Header, LbaRange::one(self.lba)),
            (TablePart::OtherHeader, LbaRange::one(header.alternate_lba())),
            // the primary header is in block 1, whatever the backup says
            (
                if side == Side::Primary { TablePart::Header } else { TablePart::OtherHeader },
                LbaRange::one(Lba(1)),
            ),
            (TablePart::Array, array),
        ];
        let usable = header.usable();
        for (part, blocks) in parts {
            if part != TablePart::Array && array.overlaps(&blocks) {
                let offset = self.at(disk, offset_of!(Header, partition_entry_lba));
                return Err(Error::ArrayOverTable { side, offset, array, part });
            }
            if usable.overlaps(&blocks) {
                let offset = self.at(disk, offset_of!(Header, first_usable_lba));
                return Err(Error::UsableOverTable { side, offset, usable, part, blocks });
            }
        }
        Ok(parts)
    }

    /// Is each partition somewhere it may be, and is each one its own?
    fn check_entries(
        &self,
        header: &Header,
        disk: &Disk,
        parts: &[(TablePart, LbaRange)],
        mut each: impl FnMut(Partition),
    ) -> Result<(), Error> {
        let mut ranges: Vec<(LbaRange, u32)> = Vec::new();
        let mut guids: Vec<(Guid, u32)> = Vec::new();
        for (number, entry) in self.entries() {
            let partition = self.check_entry(number, entry, header.usable(), disk, parts)?;
            ranges.push((partition.lbas, number));
            guids.push((partition.guid, number));
            each(partition);
        }
        self.check_overlap(ranges)?;
        self.check_guids(guids)
    }

    fn check_entry(
        &self,
        number: u32,
        entry: &Entry,
        usable: LbaRange,
        disk: &Disk,
        parts: &[(TablePart, LbaRange)],
    ) -> Result<Partition, Error> {
        let (side, lbas) = (self.side, entry.lbas());
        let offset = self.entry_offset(number).unwrap_or_default();
        if lbas.is_inverted() {
            return Err(Error::PartitionInverted { side, number, offset, lbas });
        }
        if let Some((part, blocks)) = parts.iter().copied().find(|(_, blocks)| lbas.overlaps(blocks)) {
            return Err(Error::PartitionOverTable { side, number, offset, lbas, part, blocks });
        }
        if !(usable.contains(lbas.first) && usable.contains(lbas.last)) {
            return Err(Error::PartitionOutsideUsable { side, number, offset, lbas, usable });
        }
        let Some(range) = disk.bytes_of(lbas) else {
            return Err(Error::PartitionBeyondDisk { side, number, offset, lbas, last: disk.last_lba() });
        };
        Ok(Partition {
            number,
            type_guid: entry.partition_type_guid,
            guid: entry.unique_partition_guid,
            lbas,
            range,
            attributes: entry.attributes(),
            name: entry.partition_name,
            entry_offset: offset,
        })
    }

    /// Sorted by start, ranges overlap only if two neighbours do.
    fn check_overlap(&self, mut ranges: Vec<(LbaRange, u32)>) -> Result<(), Error> {
        ranges.sort_unstable_by_key(|(lbas, number)| (lbas.first, *number));
        let overlap = ranges.windows(2).find_map(|pair| match pair {
            [(a, first), (b, second)] if a.overlaps(b) => Some((*first, *second, b.first)),
            _ => None,
        });
        let Some((first, second, lba)) = overlap else { return Ok(()) };
        let offset = self.entry_offset(second).unwrap_or_default();
        Err(Error::PartitionsOverlap { side: self.side, first, second, offset, lba })
    }

    fn check_guids(&self, mut guids: Vec<(Guid, u32)>) -> Result<(), Error> {
        guids.sort_unstable();
        let twice = guids.windows(2).find_map(|pair| match pair {
            [(a, first), (b, second)] if a == b => Some((*first, *second, *b)),
            _ => None,
        });
        let Some((first, second, guid)) = twice else { return Ok(()) };
        let offset = self.entry_offset(second).unwrap_or_default();
        Err(Error::DuplicateGuid { side: self.side, first, second, offset, guid })
    }

    /// Where a field of the header is on the disk, in bytes.
    fn at(&self, disk: &Disk, field: usize) -> u64 {
        let start = self.location.map_or(disk.size, |location| location.offset);
        start.saturating_add(u64::try_from(field).unwrap_or_default())
    }
}

impl fmt::Debug for TableCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableCopy")
            .field("side", &self.side)
            .field("location", &self.location)
            .field("header", &self.header)
            .field("array_location", &self.array_location)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// What to do about a usable range that goes on past the end of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truncated {
    Refuse,
    /// For the last resort: no partition may go past the end all the same.
    Accept,
}

/// A disk of known size and block size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    pub(crate) size: u64,
    pub(crate) block_size: BlockSize,
}

impl Disk {
    /// The last whole block.
    pub(crate) fn last_lba(&self) -> Lba {
        Lba(self.block_size.whole_blocks(self.size).saturating_sub(1))
    }

    /// The bytes of blocks, if all are on the disk.
    pub(crate) fn bytes_of(&self, lbas: LbaRange) -> Option<ByteRange> {
        self.block_size.byte_range(lbas).filter(|range| range.end() <= self.size)
    }

    /// Where a header's array is, if it is on the disk as a whole.
    fn array(&self, header: &Header) -> Option<ByteRange> {
        let offset = self.block_size.offset(Lba(header.partition_entry_lba.get()))?;
        let size = header.array_size();
        (offset.checked_add(size)? <= self.size).then_some(ByteRange { offset, size })
    }

    pub(crate) fn block_len(&self) -> usize {
        usize::try_from(self.block_size.bytes()).unwrap_or_default()
    }
}

/// 128 times a power of two (UEFI 2.10, 5.3.2).
pub(crate) fn is_entry_size(size: u32) -> bool {
    size >= Entry::SIZE && size.is_power_of_two()
}
