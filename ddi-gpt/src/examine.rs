//! Reading both copies of the table, and keeping what can be shown of them.

use alloc::vec::Vec;
use core::fmt;

use zerocopy::FromBytes;

use crate::header::header_crc32;
use crate::oddity::{Oddity, find_oddities};
use crate::source::Source;
use crate::{BlockSize, ByteRange, Entry, Error, Header, Lba, LbaRange, Partition, ProtectiveMbr, TablePart};

/// The largest entry array that is read, in bytes: 64 times the usual one, 8192 entries. Other software goes up to 4 GiB and
/// has been made to allocate it by a few bytes of header.
pub const MAX_ARRAY_SIZE: u64 = 1 << 20;

/// Read at once from the start of the disk: the protective MBR, the header and the usual array, for blocks of 4096 bytes.
const HEAD: u64 = 2 * 4096 + 16384;
/// Read at once from the end of the disk: the usual array and the header.
const TAIL: u64 = 16384 + 4096;

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

/// Reads what there is of a table and judges it.
///
/// `read(offset, buf)` must fill `buf` with the bytes of the disk at `offset`; it is never asked for bytes past `disk_size`, nor
/// twice for the same ones. Two calls do for the usual table.
///
/// `block_size` forces the size of a block, for block devices, which know it. With `None` it is found as systemd does: the one of
/// 512, 1024, 2048 and 4096 at which there is a header. If there is none, a good backup header in the last block decides, and
/// failing that anything with the signature.
///
/// What the image holds is never an error here: see [`Examination`].
///
/// # Errors
/// Only those of `read`, which end the examination.
pub fn examine<E>(
    disk_size: u64,
    block_size: Option<BlockSize>,
    read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<Examination, E> {
    let mut source = Source::new(disk_size, read);
    let bounded = |size: u64| usize::try_from(size.min(disk_size)).unwrap_or_default();
    source.fetch(0, bounded(HEAD))?;
    source.fetch(disk_size.saturating_sub(TAIL), bounded(TAIL))?;

    let boot_sector = source.known(0, 512).and_then(|bytes| <[u8; 512]>::try_from(bytes).ok());
    let protective_mbr =
        boot_sector.as_ref().ok_or(Error::DiskTooSmall { size: disk_size }).and_then(ProtectiveMbr::parse);
    let found = match block_size {
        Some(forced) => Ok(Some(forced)),
        None => find_block_size(&source, disk_size),
    };
    let mut examination = Examination {
        disk_size,
        block_size: found.clone(),
        boot_sector,
        protective_mbr,
        primary: TableCopy::absent(Side::Primary, Lba(1), &found),
        backup: TableCopy::absent(Side::Backup, Lba(0), &found),
        oddities: Vec::new(),
    };
    if let Ok(Some(block_size)) = found {
        let disk = Disk { size: disk_size, block_size };
        examination.primary = TableCopy::load(&mut source, &disk, Side::Primary, Lba(1))?;
        examination.backup = load_backup(&mut source, &disk, &examination.primary)?;
        for copy in [&mut examination.primary, &mut examination.backup] {
            copy.load_array(&mut source, &disk)?;
            copy.outcome = copy.judge(&disk, Truncated::Refuse).map(drop);
        }
        if !examination.is_gpt() {
            examination.block_size = Ok(None);
        }
    }
    examination.oddities = find_oddities(&examination);
    Ok(examination)
}

/// What there is of a table on a disk, good or broken: for showing. [`Examination::gpt`] turns it into a checked
/// [`Gpt`](crate::Gpt), if it is one.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The size of the disk in bytes.
    pub disk_size: u64,
    /// The block size, forced or found; `None` if no header was found at either end.
    ///
    /// [`Error::AmbiguousBlockSize`] if there are headers for two. Then neither copy has been read; force one size after the
    /// other to see them.
    pub block_size: Result<Option<BlockSize>, Error>,
    /// The first 512 bytes of the disk, if it has as many.
    pub boot_sector: Option<[u8; 512]>,
    /// The protective MBR. A disk without one is no GPT disk to other software, whatever headers it has.
    pub protective_mbr: Result<ProtectiveMbr, Error>,
    /// The copy at the start of the disk.
    pub primary: TableCopy,
    /// The copy at the end of the disk: in the last block, or where the primary header says if there is no good one.
    pub backup: TableCopy,
    pub(crate) oddities: Vec<Oddity>,
}

impl Examination {
    /// True if there is a header in at least one place.
    ///
    /// Look at [`Examination::protective_mbr`] too: headers that an earlier use of the disk left behind make no GPT disk.
    pub fn is_gpt(&self) -> bool {
        self.block_size.is_err() || self.primary.header.is_some() || self.backup.header.is_some()
    }

    /// What is unusual and breaks no rule, or none that matters.
    pub fn oddities(&self) -> &[Oddity] {
        &self.oddities
    }

    /// One of the two copies.
    pub fn copy(&self, side: Side) -> &TableCopy {
        match side {
            Side::Primary => &self.primary,
            Side::Backup => &self.backup,
        }
    }

    /// The disk, if the block size is known.
    pub(crate) fn disk(&self) -> Result<Disk, Error> {
        let block_size = self.block_size.clone()?.ok_or(Error::NoTable)?;
        Ok(Disk { size: self.disk_size, block_size })
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

    fn absent(side: Side, lba: Lba, block_size: &Result<Option<BlockSize>, Error>) -> Self {
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
    fn load<E, F>(source: &mut Source<F>, disk: &Disk, side: Side, lba: Lba) -> Result<Self, E>
    where
        F: FnMut(u64, &mut [u8]) -> Result<(), E>,
    {
        let mut copy = Self::absent(side, lba, &Ok(None));
        copy.location = disk.bytes_of(LbaRange { first: lba, last: lba });
        if let Some(location) = copy.location {
            let piece = source.fetch(location.offset, disk.block_len())?;
            copy.block = source.bytes(piece).to_vec();
            copy.header = Header::find(&copy.block).copied();
        }
        copy.outcome = copy.check_header(disk, Truncated::Refuse).map(drop);
        Ok(copy)
    }

    /// Reads the array, if its size is one that is read at all.
    fn load_array<E, F>(&mut self, source: &mut Source<F>, disk: &Disk) -> Result<(), E>
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

    /// Checks everything and gives the partitions.
    pub(crate) fn judge(&self, disk: &Disk, truncated: Truncated) -> Result<Vec<Partition>, Error> {
        let (header, at) = self.check_header(disk, truncated)?;
        self.check_array(&header, &at, disk)?;
        let parts = self.check_layout(&header, &at, disk)?;
        self.check_entries(&header, disk, &parts)
    }

    /// Is the header what was once written, for this place on a disk of this size? What libblkid checks, and the same order.
    fn check_header(&self, disk: &Disk, truncated: Truncated) -> Result<(Header, FieldOffsets), Error> {
        let (side, lba) = (self.side, self.lba);
        let offset = self.location.map_or(disk.size, |location| location.offset);
        let header = self.header.ok_or(Error::NoSignature { side, offset })?;
        let at = FieldOffsets(offset);

        let size = header.header_size.get();
        let covered = usize::try_from(size).ok().and_then(|size| self.block.get(..size));
        let covered = covered.filter(|_| size >= Header::SIZE).ok_or(Error::HeaderSize {
            side,
            offset: at.header_size(),
            found: size,
            block_size: disk.block_size,
        })?;
        let (found, expected) = (header.header_crc32.get(), header_crc32(covered));
        if found != expected {
            return Err(Error::HeaderCrc { side, offset: at.header_crc32(), found, expected });
        }
        if header.my_lba() != lba {
            return Err(Error::MyLba { side, offset: at.my_lba(), found: header.my_lba(), expected: lba });
        }
        let (usable, last) = (header.usable(), disk.last_lba());
        if usable.is_inverted() {
            return Err(Error::UsableInverted { side, offset: at.first_usable_lba(), usable });
        }
        if usable.last > last && truncated == Truncated::Refuse {
            return Err(Error::UsableBeyondDisk {
                side,
                offset: at.last_usable_lba(),
                found: usable.last,
                last,
            });
        }
        if usable.contains(lba) {
            let (part, blocks) = (TablePart::Header, LbaRange { first: lba, last: lba });
            return Err(Error::UsableOverTable { side, offset: at.first_usable_lba(), usable, part, blocks });
        }
        Ok((header, at))
    }

    /// Is the array there, and what was once written?
    fn check_array(&self, header: &Header, at: &FieldOffsets, disk: &Disk) -> Result<(), Error> {
        let side = self.side;
        let entry_size = header.size_of_partition_entry.get();
        if !is_entry_size(entry_size) {
            return Err(Error::EntrySize { side, offset: at.entry_size(), found: entry_size });
        }
        let size = header.array_size();
        if size == 0 {
            return Err(Error::NoEntries { side, offset: at.entry_count() });
        }
        if size > MAX_ARRAY_SIZE {
            return Err(Error::ArrayTooLarge { side, offset: at.entry_count(), size });
        }
        if disk.array(header).is_none() {
            let first = Lba(header.partition_entry_lba.get());
            return Err(Error::ArrayBeyondDisk { side, offset: at.entry_lba(), first, size });
        }
        let (found, expected) = (header.partition_entry_array_crc32.get(), crc32fast::hash(&self.array));
        if found != expected {
            return Err(Error::ArrayCrc { side, offset: at.array_crc32(), found, expected });
        }
        Ok(())
    }

    /// Do the header's facts go together? Gives the parts of the table, which partitions must leave alone.
    fn check_layout(
        &self,
        header: &Header,
        at: &FieldOffsets,
        disk: &Disk,
    ) -> Result<[(TablePart, LbaRange); 5], Error> {
        let (side, usable) = (self.side, header.usable());
        let revision = header.revision.get();
        if revision != Header::REVISION {
            return Err(Error::Revision { side, offset: at.revision(), found: revision });
        }
        let one = |lba: Lba| LbaRange { first: lba, last: lba };
        let array = self.array_lbas(disk).unwrap_or(one(self.lba));
        let parts = [
            (TablePart::ProtectiveMbr, one(Lba(0))),
            (TablePart::Header, one(self.lba)),
            (TablePart::OtherHeader, one(header.alternate_lba())),
            // the primary header is there whatever the backup says
            (if side == Side::Primary { TablePart::Header } else { TablePart::OtherHeader }, one(Lba(1))),
            (TablePart::Array, array),
        ];
        for (part, blocks) in parts {
            if part != TablePart::Array && array.overlaps(&blocks) {
                return Err(Error::ArrayOverTable { side, offset: at.entry_lba(), array, part });
            }
            if usable.overlaps(&blocks) {
                return Err(Error::UsableOverTable {
                    side,
                    offset: at.first_usable_lba(),
                    usable,
                    part,
                    blocks,
                });
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
    ) -> Result<Vec<Partition>, Error> {
        let (side, usable, last) = (self.side, header.usable(), disk.last_lba());
        let mut partitions = Vec::new();
        for (number, entry) in self.entries() {
            let (lbas, offset) = (entry.lbas(), self.entry_offset(number).unwrap_or_default());
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
                return Err(Error::PartitionBeyondDisk { side, number, offset, lbas, last });
            };
            partitions.push(Partition {
                number,
                type_guid: entry.partition_type_guid,
                guid: entry.unique_partition_guid,
                lbas,
                range,
                attributes: entry.attributes(),
                name: entry.partition_name,
                entry_offset: offset,
            });
        }
        self.check_overlap(&partitions)?;
        self.check_guids(&partitions)?;
        Ok(partitions)
    }

    /// Sorted by start, ranges overlap only if two neighbours do.
    fn check_overlap(&self, partitions: &[Partition]) -> Result<(), Error> {
        let mut sorted: Vec<&Partition> = partitions.iter().collect();
        sorted.sort_unstable_by_key(|partition| (partition.lbas.first, partition.number));
        for pair in sorted.windows(2) {
            if let [first, second] = pair
                && first.lbas.overlaps(&second.lbas)
            {
                return Err(Error::PartitionsOverlap {
                    side: self.side,
                    first: first.number,
                    second: second.number,
                    offset: second.entry_offset,
                    lba: second.lbas.first,
                });
            }
        }
        Ok(())
    }

    fn check_guids(&self, partitions: &[Partition]) -> Result<(), Error> {
        let mut sorted: Vec<&Partition> = partitions.iter().collect();
        sorted.sort_unstable_by_key(|partition| (partition.guid, partition.number));
        for pair in sorted.windows(2) {
            if let [first, second] = pair
                && first.guid == second.guid
            {
                return Err(Error::DuplicateGuid {
                    side: self.side,
                    first: first.number,
                    second: second.number,
                    offset: second.entry_offset,
                    guid: second.guid,
                });
            }
        }
        Ok(())
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

    fn block_len(&self) -> usize {
        usize::try_from(self.block_size.bytes()).unwrap_or_default()
    }
}

/// 128 times a power of two (UEFI 2.10, 5.3.2).
pub(crate) fn is_entry_size(size: u32) -> bool {
    size >= Entry::SIZE && size.is_power_of_two()
}

/// Where the fields of a header that starts at this offset are.
pub(crate) struct FieldOffsets(pub(crate) u64);

macro_rules! field_offsets {
    ($($name:ident: $field:ident,)*) => {
        impl FieldOffsets {
            $(pub(crate) fn $name(&self) -> u64 {
                const AT: usize = core::mem::offset_of!(Header, $field);
                self.0.saturating_add(u64::try_from(AT).unwrap_or_default())
            })*
        }
    };
}

field_offsets! {
    revision: revision,
    header_size: header_size,
    header_crc32: header_crc32,
    my_lba: my_lba,
    first_usable_lba: first_usable_lba,
    last_usable_lba: last_usable_lba,
    entry_lba: partition_entry_lba,
    entry_count: number_of_partition_entries,
    entry_size: size_of_partition_entry,
    array_crc32: partition_entry_array_crc32,
}

/// The backup copy: in the last block, as libblkid has it. If that is not a good one, where the primary header says, as on a
/// disk that has grown since.
fn load_backup<E, F>(source: &mut Source<F>, disk: &Disk, primary: &TableCopy) -> Result<TableCopy, E>
where
    F: FnMut(u64, &mut [u8]) -> Result<(), E>,
{
    let last = disk.last_lba();
    let at_end = if last.0 > 1 {
        TableCopy::load(source, disk, Side::Backup, last)?
    } else {
        TableCopy::absent(Side::Backup, last, &Ok(None))
    };
    let hint = primary.header.map(|header| header.alternate_lba()).filter(|lba| lba.0 > 1 && *lba < last);
    let Some(hint) = hint.filter(|_| at_end.outcome.is_err()) else { return Ok(at_end) };
    let elsewhere = TableCopy::load(source, disk, Side::Backup, hint)?;
    let better = elsewhere.outcome.is_ok() || (elsewhere.header.is_some() && at_end.header.is_none());
    Ok(if better { elsewhere } else { at_end })
}

/// The block size for which there is a header. systemd's test comes first, so that both find the same where both find one.
fn find_block_size<F, E>(source: &Source<F>, disk_size: u64) -> Result<Option<BlockSize>, Error>
where
    F: FnMut(u64, &mut [u8]) -> Result<(), E>,
{
    let block_at = |size: BlockSize, lba: Lba| {
        let disk = Disk { size: disk_size, block_size: size };
        let range = disk.bytes_of(LbaRange { first: lba, last: lba })?;
        source.known(range.offset, disk.block_len())
    };
    let primary = |size: BlockSize| block_at(size, Lba(1)).and_then(Header::find);
    // systemd, gpt.c, gpt_header_has_signature()
    let as_systemd = |header: &Header| {
        header.revision.get() == Header::REVISION
            && (Header::SIZE..=4096).contains(&header.header_size.get())
            && header.my_lba() == Lba(1)
    };
    if let Some(found) = only(|size| primary(size).is_some_and(as_systemd))? {
        return Ok(Some(found));
    }
    let backup = |size: BlockSize| {
        let disk = Disk { size: disk_size, block_size: size };
        let mut copy = TableCopy::absent(Side::Backup, disk.last_lba(), &Ok(None));
        copy.block = block_at(size, copy.lba).filter(|_| copy.lba.0 > 1)?.to_vec();
        copy.header = Some(*Header::find(&copy.block)?);
        Some(copy.check_header(&disk, Truncated::Refuse).is_ok())
    };
    if let Some(found) = only(|size| backup(size) == Some(true))? {
        return Ok(Some(found));
    }
    only(|size| primary(size).is_some() || backup(size).is_some())
}

/// The one block size that passes the test.
fn only(test: impl Fn(BlockSize) -> bool) -> Result<Option<BlockSize>, Error> {
    let mut hits = BlockSize::ALL.into_iter().filter(|size| test(*size));
    match (hits.next(), hits.next()) {
        (Some(first), Some(second)) => Err(Error::AmbiguousBlockSize { first, second }),
        (found, _) => Ok(found),
    }
}
