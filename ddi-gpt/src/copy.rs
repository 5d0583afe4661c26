//! One copy of the table, and the checks that it must pass.

use alloc::vec::Vec;
use core::fmt;
use core::mem::offset_of;

use zerocopy::FromBytes;

use crate::header::header_crc32;
use crate::source::{PieceId, Source};
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

    /// How many entries are used: what a list of them takes.
    pub(crate) fn used(&self) -> usize {
        self.entries().count()
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

    /// The header's whole block.
    pub(crate) fn block(&self) -> &[u8] {
        &self.block
    }

    /// The bytes of the array, if it was read.
    pub(crate) fn array(&self) -> &[u8] {
        &self.array
    }

    /// Returns true if the other copy has the same array, byte for byte.
    pub(crate) fn has_the_array_of(&self, other: &Self) -> bool {
        !self.array.is_empty() && self.array == other.array
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
    pub(crate) fn fetch_array<E, F>(
        &mut self,
        source: &mut Source<F>,
        disk: &Disk,
    ) -> Result<Option<PieceId>, E>
    where
        F: FnMut(u64, &mut [u8]) -> Result<(), E>,
    {
        let Some(header) = self.header.filter(|h| is_entry_size(h.size_of_partition_entry.get())) else {
            return Ok(None);
        };
        self.array_location =
            disk.array(&header).filter(|location| (1..=MAX_ARRAY_SIZE).contains(&location.size));
        let Some(location) = self.array_location else { return Ok(None) };
        let len = usize::try_from(location.size).unwrap_or_default();
        source.fetch(location.offset, len).map(Some)
    }

    /// Keeps the array that was read.
    pub(crate) fn keep_array(&mut self, array: Vec<u8>) {
        self.array = array;
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
        self.check_array_place(&header, disk)?;
        let parts = self.check_layout(&header, disk)?;
        self.check_array_crc(&header, disk)?;
        self.check_entries(&header, disk, &parts, each)
    }

    /// Checks that the header is as it was once written, for this place on a disk of this size: what libblkid checks,
    /// in the same order.
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

    /// Checks that there can be such an array.
    fn check_array_place(&self, header: &Header, disk: &Disk) -> Result<(), Error> {
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
        Ok(())
    }

    /// Checks that the header's facts are consistent. Returns the parts of the table, which partitions must leave
    /// alone.
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

    /// Checks that the array is as it was once written.
    fn check_array_crc(&self, header: &Header, disk: &Disk) -> Result<(), Error> {
        let side = self.side;
        let (found, expected) = (header.partition_entry_array_crc32.get(), crc32fast::hash(&self.array));
        if found != expected {
            let offset = self.at(disk, offset_of!(Header, partition_entry_array_crc32));
            return Err(Error::ArrayCrc { side, offset, found, expected });
        }
        Ok(())
    }

    /// Checks that each partition is somewhere it may be, and that no two overlap or share a GUID.
    fn check_entries(
        &self,
        header: &Header,
        disk: &Disk,
        parts: &[(TablePart, LbaRange)],
        mut each: impl FnMut(Partition),
    ) -> Result<(), Error> {
        for (number, entry) in self.entries() {
            each(self.check_entry(number, entry, header.usable(), disk, parts)?);
        }
        self.check_overlap()?;
        self.check_guids()
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
    fn check_overlap(&self) -> Result<(), Error> {
        let mut ranges: Vec<(LbaRange, u32)> = Vec::with_capacity(self.used());
        ranges.extend(self.entries().map(|(number, entry)| (entry.lbas(), number)));
        ranges.sort_unstable_by_key(|(lbas, number)| (lbas.first, *number));
        let overlap = ranges.windows(2).find_map(|pair| match pair {
            [(a, first), (b, second)] if a.overlaps(b) => Some((*first, *second, b.first)),
            _ => None,
        });
        let Some((first, second, lba)) = overlap else { return Ok(()) };
        let offset = self.entry_offset(second).unwrap_or_default();
        Err(Error::PartitionsOverlap { side: self.side, first, second, offset, lba })
    }

    fn check_guids(&self) -> Result<(), Error> {
        let mut guids: Vec<(Guid, u32)> = Vec::with_capacity(self.used());
        guids.extend(self.entries().map(|(number, entry)| (entry.unique_partition_guid, number)));
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
    /// How many whole blocks there are.
    pub(crate) fn blocks(&self) -> u64 {
        self.block_size.whole_blocks(self.size)
    }

    /// The last whole block.
    pub(crate) fn last_lba(&self) -> Lba {
        Lba(self.blocks().saturating_sub(1))
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

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::vec::Vec;

    use zerocopy::little_endian::{U32, U64};

    use super::*;
    use crate::testing::TestDisk;
    use crate::{Condition, Mode};

    /// How a copy is broken, and what is then said of it. Both CRCs are made right afterwards, unless `keep`.
    struct Case {
        name: &'static str,
        edit: Box<dyn Fn(&mut TestDisk)>,
        keep_crcs: bool,
        error: Error,
        /// The other copy may stand in.
        damage: bool,
    }

    fn cases(side: Side) -> Vec<Case> {
        let disk = TestDisk::new(BlockSize::B512);
        let header = disk.header_offset(side) as u64;
        let entry = |number| disk.entry_offset(side, number) as u64;
        let last = disk.last_lba();
        let lba = if side == Side::Primary { 1 } else { last };
        let usable = LbaRange::new(34, 2014);
        let mut cases = Vec::new();
        let mut add = |name, damage, error, edit: Box<dyn Fn(&mut TestDisk)>| {
            cases.push(Case { name, edit, keep_crcs: false, error, damage });
        };
        macro_rules! header {
            ($name:literal, $damage:literal, $error:expr, |$h:ident| $edit:expr) => {
                add(
                    $name,
                    $damage,
                    $error,
                    Box::new(move |disk| {
                        let $h = disk.header(side);
                        $edit;
                    }),
                )
            };
        }
        macro_rules! entry {
            ($name:literal, $number:literal, $error:expr, |$e:ident| $edit:expr) => {
                add(
                    $name,
                    false,
                    $error,
                    Box::new(move |disk| {
                        let $e = disk.entry(side, $number);
                        $edit;
                    }),
                )
            };
        }
        let block_size = BlockSize::B512;

        header!("signature", true, Error::NoSignature { side, offset: header }, |h| h.signature[7] = b'U');
        for found in [0, 91, 513, 0xffff_ffff] {
            let error = Error::HeaderSize { side, offset: header + 12, found, block_size };
            header!("header size", true, error, |h| h.header_size = U32::new(found));
        }
        for found in [0, 2, 2046, u64::MAX] {
            let (found, expected) = (Lba(found), Lba(lba));
            let error = Error::MyLba { side, offset: header + 24, found, expected };
            header!("my lba", true, error, |h| h.my_lba = U64::new(found.0));
        }
        for range in [(35, 34), (u64::MAX, 0), (1 << 63, (1 << 63) - 1)] {
            let usable = LbaRange::new(range.0, range.1);
            let error = Error::UsableInverted { side, offset: header + 40, usable };
            header!("usable inverted", true, error, |h| {
                h.first_usable_lba = U64::new(usable.first.0);
                h.last_usable_lba = U64::new(usable.last.0);
            });
        }
        for found in [last + 1, 1 << 63, u64::MAX] {
            let (found, last) = (Lba(found), Lba(last));
            let error = Error::UsableBeyondDisk { side, offset: header + 48, found, last };
            header!("usable beyond", true, error, |h| h.last_usable_lba = U64::new(found.0));
        }
        let over =
            |part, usable, blocks| Error::UsableOverTable { side, offset: header + 40, usable, part, blocks };
        let all = LbaRange::new(0, last);
        header!("usable over header", true, over(TablePart::Header, all, LbaRange::new(lba, lba)), |h| {
            h.first_usable_lba = U64::new(0);
            h.last_usable_lba = U64::new(last);
        });
        if side == Side::Primary {
            let low = LbaRange::new(33, 2014);
            header!("usable over array", false, over(TablePart::Array, low, LbaRange::new(2, 33)), |h| {
                h.first_usable_lba = U64::new(33)
            });
            let high = LbaRange::new(34, last);
            let blocks = LbaRange::new(last, last);
            header!("usable over backup", false, over(TablePart::OtherHeader, high, blocks), |h| {
                h.last_usable_lba = U64::new(last)
            });
        } else {
            let high = LbaRange::new(34, 2015);
            header!(
                "usable over array",
                false,
                over(TablePart::Array, high, LbaRange::new(2015, 2046)),
                |h| { h.last_usable_lba = U64::new(2015) }
            );
            let low = LbaRange::new(1, 2014);
            header!(
                "usable over primary",
                false,
                over(TablePart::OtherHeader, low, LbaRange::new(1, 1)),
                |h| { h.first_usable_lba = U64::new(1) }
            );
            let low = LbaRange::new(0, 2014);
            header!(
                "usable over MBR",
                false,
                over(TablePart::ProtectiveMbr, low, LbaRange::new(0, 0)),
                |h| { h.first_usable_lba = U64::new(0) }
            );
        }
        for found in [0, 1, 64, 127, 129, 200, 384, 1 << 31 | 128, u32::MAX] {
            let error = Error::EntrySize { side, offset: header + 84, found };
            header!("entry size", true, error, |h| h.size_of_partition_entry = U32::new(found));
        }
        let error = Error::NoEntries { side, offset: header + 80 };
        header!("no entries", true, error, |h| h.number_of_partition_entries = U32::new(0));
        for count in [8193, 1 << 25, 1 << 28, u32::MAX] {
            let error = Error::ArrayTooLarge { side, offset: header + 80, size: u64::from(count) * 128 };
            header!("many entries", false, error, |h| h.number_of_partition_entries = U32::new(count));
        }
        let error = Error::ArrayTooLarge { side, offset: header + 80, size: 1 << 38 };
        header!("large entries", false, error, |h| h.size_of_partition_entry = U32::new(1 << 31));
        for first in [last - 30, last + 1, 1 << 55, 1 << 63, u64::MAX] {
            let first = Lba(first);
            let error = Error::ArrayBeyondDisk { side, offset: header + 72, first, size: 16384 };
            header!("array beyond", true, error, |h| h.partition_entry_lba = U64::new(first.0));
        }
        let revision = Error::Revision { side, offset: header + 8, found: 0x0002_0000 };
        header!("revision", false, revision, |h| h.revision = U32::new(0x0002_0000));
        for (first, part) in [
            (0, TablePart::ProtectiveMbr),
            (1, if side == Side::Primary { TablePart::Header } else { TablePart::OtherHeader }),
            (last - 31, if side == Side::Primary { TablePart::OtherHeader } else { TablePart::Header }),
        ] {
            let array = LbaRange::new(first, first + 31);
            let error = Error::ArrayOverTable { side, offset: header + 72, array, part };
            header!("array over table", false, error, |h| h.partition_entry_lba = U64::new(first));
        }
        for range in [(41, 40), (40, 0), (1 << 60, 100), (u64::MAX, 0)] {
            let lbas = LbaRange::new(range.0, range.1);
            let error = Error::PartitionInverted { side, number: 1, offset: entry(1), lbas };
            entry!("inverted", 1, error, |e| {
                e.starting_lba = U64::new(lbas.first.0);
                e.ending_lba = U64::new(lbas.last.0);
            });
        }
        for range in [(34, 2015), (2015, 2015), (40, 1 << 63), (u64::MAX, u64::MAX)] {
            let lbas = LbaRange::new(range.0, range.1);
            if side == Side::Backup && lbas.contains(Lba(2015)) || lbas.contains(Lba(last)) {
                continue;
            }
            let error = Error::PartitionOutsideUsable { side, number: 2, offset: entry(2), lbas, usable };
            entry!("outside", 2, error, |e| {
                e.starting_lba = U64::new(lbas.first.0);
                e.ending_lba = U64::new(lbas.last.0);
            });
        }
        let over = |lbas, part, blocks| Error::PartitionOverTable {
            side,
            number: 5,
            offset: entry(5),
            lbas,
            part,
            blocks,
        };
        let (own, backup) = (LbaRange::new(1, 40), LbaRange::new(2000, u64::MAX));
        let header_part = if side == Side::Primary { TablePart::Header } else { TablePart::OtherHeader };
        entry!("over the table", 5, over(own, header_part, LbaRange::new(1, 1)), |e| {
            e.starting_lba = U64::new(own.first.0);
            e.ending_lba = U64::new(own.last.0);
        });
        let header_part = if side == Side::Primary { TablePart::OtherHeader } else { TablePart::Header };
        entry!("over the backup", 5, over(backup, header_part, LbaRange::new(last, last)), |e| {
            e.starting_lba = U64::new(backup.first.0);
            e.ending_lba = U64::new(backup.last.0);
        });
        let zero = LbaRange::new(0, 5);
        entry!("over block 0", 5, over(zero, TablePart::ProtectiveMbr, LbaRange::new(0, 0)), |e| {
            e.starting_lba = U64::new(zero.first.0);
            e.ending_lba = U64::new(zero.last.0);
        });
        for (first, last, lba) in [(59, 64, 59), (35, 40, 40), (35, 99, 40), (45, 50, 45)] {
            let starts_first = first < 40;
            let error = Error::PartitionsOverlap {
                side,
                first: if starts_first { 5 } else { 1 },
                second: if starts_first { 1 } else { 5 },
                offset: entry(if starts_first { 1 } else { 5 }),
                lba: Lba(lba),
            };
            entry!("overlap", 5, error, |e| {
                e.starting_lba = U64::new(first);
                e.ending_lba = U64::new(last);
            });
        }
        let guid = Guid::from_u128(1);
        let error = Error::DuplicateGuid { side, first: 1, second: 5, offset: entry(5), guid };
        entry!("same guid", 5, error, |e| e.unique_partition_guid = guid);

        let mut crc = |name, error, edit: Box<dyn Fn(&mut TestDisk)>| {
            cases.push(Case { name, edit, keep_crcs: true, error, damage: true });
        };
        let mut changed = disk.clone();
        let found = changed.header(side).header_crc32.get();
        changed.header(side).disk_guid = Guid::NIL;
        changed.repair(side);
        let expected = changed.header(side).header_crc32.get();
        let error = Error::HeaderCrc { side, offset: header + 16, found, expected };
        crc("header crc", error, Box::new(move |disk| disk.header(side).disk_guid = Guid::NIL));

        let mut changed = disk.clone();
        let found = changed.header(side).partition_entry_array_crc32.get();
        changed.entry(side, 128).attributes = U64::new(1);
        changed.repair(side);
        let expected = changed.header(side).partition_entry_array_crc32.get();
        let error = Error::ArrayCrc { side, offset: header + 88, found, expected };
        crc("array crc", error, Box::new(move |disk| disk.entry(side, 128).attributes = U64::new(1)));
        cases
    }

    /// One thing broken in one copy, everything else as it was.
    #[test]
    fn each_fault_has_its_error_and_its_consequence() {
        let good = TestDisk::new(BlockSize::B512);
        assert_eq!(good.gpt(Mode::Strict).unwrap().condition(), Condition::Intact);
        for side in [Side::Primary, Side::Backup] {
            for case in cases(side) {
                let name = std::format!("{side}: {}: {}", case.name, case.error);
                let mut disk = good.clone();
                (case.edit)(&mut disk);
                if !case.keep_crcs {
                    disk.repair(side);
                }
                let examination = disk.examine();
                assert_eq!(examination.copy(side).outcome, Err(case.error.clone()), "{name}");
                assert_eq!(examination.copy(side.other()).outcome, Ok(()), "{name}");
                assert_eq!(case.error.is_damage(), case.damage, "{name}");
                assert!(case.error.offset().is_some(), "{name}");
                assert_eq!(examination.gpt(Mode::Strict).unwrap_err(), case.error, "{name}");

                let tolerant = examination.gpt(Mode::Tolerant);
                match (side, case.damage) {
                    (Side::Primary, false) => assert_eq!(tolerant.unwrap_err(), case.error, "{name}"),
                    (Side::Primary, true) => {
                        let gpt = tolerant.unwrap();
                        assert_eq!(
                            (gpt.condition(), gpt.side()),
                            (Condition::BackupOnly, Side::Backup),
                            "{name}"
                        );
                        assert_eq!(gpt.other_error(), Some(&case.error), "{name}");
                    }
                    (Side::Backup, damage) => {
                        let gpt = tolerant.unwrap();
                        let condition = if damage { Condition::PrimaryOnly } else { Condition::Differ };
                        assert_eq!((gpt.condition(), gpt.side()), (condition, Side::Primary), "{name}");
                        assert_eq!(gpt.other_error(), Some(&case.error), "{name}");
                    }
                }
            }
        }
    }

    /// The fault in both copies: no table, and both causes are told.
    #[test]
    fn both_copies_broken() {
        let damaged = |side| cases(side).into_iter().filter(|case| case.damage);
        for (p, b) in damaged(Side::Primary).zip(damaged(Side::Backup)) {
            assert_eq!(p.name, b.name);
            let mut disk = TestDisk::new(BlockSize::B512);
            (p.edit)(&mut disk);
            (b.edit)(&mut disk);
            if !p.keep_crcs {
                disk.repair(Side::Primary);
                disk.repair(Side::Backup);
            }
            let result = disk.gpt(Mode::Tolerant);
            let (primary, backup) = (Box::new(p.error), Box::new(b.error));
            match p.name {
                "signature" => assert_eq!(result.unwrap_err(), Error::NoTable),
                // a disk that has been cut would have its backup past the end
                "usable beyond" => assert!(matches!(
                    result.unwrap_err(),
                    Error::NoValidCopy { primary, .. } if primary.code() == "gpt-usable-over-table"
                )),
                name => assert_eq!(result.unwrap_err(), Error::NoValidCopy { primary, backup }, "{name}"),
            }
        }
    }

    /// Every value of a CRC field but the right one, also those that some tools write for "not computed": of either copy, beside
    /// the other, and as the only copy that is left.
    #[test]
    fn d3_a_crc_is_checked_whatever_its_field_says() {
        for block_size in [BlockSize::B512, BlockSize::B4096] {
            let good = TestDisk::new(block_size);
            for side in [Side::Primary, Side::Backup] {
                let header = *good.clone().header(side);
                let (array, own) = (header.partition_entry_array_crc32.get(), header.header_crc32.get());
                let wrong = |right: u32| {
                    let bits = (0..32).map(move |bit| right ^ (1 << bit));
                    let odd = [0, u32::MAX, !right, right.swap_bytes(), right & 0xffff, right & !0xffff];
                    bits.chain(odd).chain([array, own]).filter(move |crc| *crc != right)
                };
                let of_array = wrong(array).map(|found| (88, found)).chain([(88, 1)]);
                for (field, found) in of_array.chain(wrong(own).map(|found| (16, found))) {
                    let mut disk = good.clone();
                    if field == 88 {
                        disk.header(side).partition_entry_array_crc32.set(found);
                        disk.repair_header(side);
                    } else {
                        disk.header(side).header_crc32.set(found);
                    }
                    let offset = good.header_offset(side) as u64 + field;
                    let error = match field {
                        88 => Error::ArrayCrc { side, offset, found, expected: array },
                        _ => Error::HeaderCrc { side, offset, found, expected: own },
                    };
                    let examination = disk.examine();
                    assert_eq!(examination.copy(side).outcome, Err(error.clone()), "{found:#010x}");
                    assert_eq!(examination.copy(side.other()).outcome, Ok(()));
                    let gpt = examination.gpt(Mode::Tolerant).unwrap();
                    assert_eq!((gpt.side(), gpt.other_error()), (side.other(), Some(&error)));
                    assert_eq!(examination.gpt(Mode::Strict).unwrap_err(), error);

                    disk.wipe_header(side.other());
                    let examination = disk.examine_as(Some(block_size));
                    assert_eq!(examination.copy(side).outcome, Err(error), "{found:#010x}");
                    for mode in [Mode::Strict, Mode::Tolerant] {
                        assert!(examination.gpt(mode).is_err(), "{side} alone, {found:#010x}");
                    }
                }
            }
        }
    }

    #[test]
    fn entries_of_broken_copies_are_kept() {
        let mut disk = TestDisk::new(BlockSize::B4096);
        disk.header(Side::Primary).header_crc32 = U32::new(1);
        disk.entry(Side::Backup, 7).partition_type_guid = crate::testing::ESP;
        let examination = disk.examine();
        assert_eq!(examination.block_size, Ok(Some(BlockSize::B4096)));
        let numbers = |side| examination.copy(side).entries().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(numbers(Side::Primary), [1, 2, 5]);
        assert_eq!(numbers(Side::Backup), [1, 2, 5, 7]);
        assert!(matches!(examination.gpt(Mode::Tolerant), Err(Error::NoValidCopy { .. })));
        let offset = disk.entry_offset(Side::Backup, 7) as u64;
        assert_eq!(examination.backup.entry_offset(7), Some(offset));
        assert_eq!(examination.backup.entry_offset(0), None);
        assert_eq!(examination.backup.entry_offset(129), None);
    }

    /// Block 1 belongs to the primary header, whatever place the backup gives for it.
    #[test]
    fn block_1_is_taken() {
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.header(Side::Backup).alternate_lba.set(5000);
        disk.header(Side::Backup).first_usable_lba.set(1);
        disk.repair(Side::Backup);
        let expected = Error::UsableOverTable {
            side: Side::Backup,
            offset: disk.header_offset(Side::Backup) as u64 + 40,
            usable: LbaRange::new(1, 2014),
            part: TablePart::OtherHeader,
            blocks: LbaRange::one(Lba(1)),
        };
        assert_eq!(disk.examine().backup.outcome, Err(expected));
    }

    #[test]
    fn as_text() {
        assert_eq!(std::format!("{:>7}|{}", Side::Backup, Side::Primary), " backup|primary");
        let examination = TestDisk::new(BlockSize::B512).examine();
        let shown = std::format!("{:?}", examination.primary);
        assert!(
            shown.starts_with(
                "TableCopy { side: Primary, location: Some(ByteRange { offset: 512, size: 512 })"
            )
        );
        assert!(shown.contains("usable: 34..=2014") && shown.ends_with("outcome: Ok(()), .. }"), "{shown}");
        assert!(!shown.contains("block"), "not the bytes");
    }
}
