//! Making a table.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use crate::copy::is_entry_size;
use crate::header::header_crc32;
use crate::mbr::BootRecord;
use crate::source::len_u64;
use crate::{
    Attributes, BlockSize, Entry, Error, Gpt, Guid, Header, Lba, LbaRange, MAX_ARRAY_SIZE, Mode, Name,
    examine,
};

/// Bytes that UEFI wants kept free for an entry array, however small it is (UEFI 2.10, 5.3.1).
const LEAST_ARRAY: u64 = 16384;
/// Where partitions start, and what they are aligned to, unless the disk is small (libfdisk, `topology_get_grain()`).
const MEBIBYTE: u64 = 1 << 20;

/// Makes a table: both copies and the protective MBR.
///
/// Laid out as libfdisk and systemd-repart do it: the primary array from block 2, the backup array right before the backup
/// header in the last block, partitions aligned to 1 MiB unless the disk has no more than four.
///
/// ```
/// use ddi_gpt::{BlockSize, Builder, Guid, NewPartition, PartitionType};
///
/// let root = PartitionType::from_name("root-x86-64", None)?.guid().unwrap();
/// let table = Builder::new(64 << 20, BlockSize::B512, Guid::from_u128(1))
///     .partition(NewPartition::new(root, Guid::from_u128(2)).size(10 << 20).name("root".parse()?))
///     .build()?;
/// let mut disk = vec![0; 64 << 20];
/// for (offset, bytes) in table.writes() {
///     disk[offset as usize..][..bytes.len()].copy_from_slice(bytes);
/// }
/// assert_eq!(table.gpt().partitions()[0].range.offset, 1 << 20);
/// # Ok::<(), ddi_gpt::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    disk_size: u64,
    block_size: BlockSize,
    disk_guid: Guid,
    entry_count: u32,
    entry_size: u32,
    alignment: Option<u64>,
    usable: Option<LbaRange>,
    partitions: Vec<NewPartition>,
}

/// A partition for a [`Builder`].
#[derive(Clone, Copy, Debug)]
pub struct NewPartition {
    type_guid: Guid,
    guid: Guid,
    number: Option<u32>,
    place: Place,
    attributes: Attributes,
    name: Name,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Lbas(LbaRange),
    Size(u64),
    Rest,
}

impl NewPartition {
    /// A partition of this type, with this GUID of its own, in the largest free range.
    pub fn new(type_guid: Guid, guid: Guid) -> Self {
        Self {
            type_guid,
            guid,
            number: None,
            place: Place::Rest,
            attributes: Attributes::default(),
            name: Name::EMPTY,
        }
    }

    /// At these blocks.
    pub fn lbas(self, lbas: LbaRange) -> Self {
        Self { place: Place::Lbas(lbas), ..self }
    }

    /// Of this many bytes, rounded up to whole blocks, in the first free range that has room.
    pub fn size(self, bytes: u64) -> Self {
        Self { place: Place::Size(bytes), ..self }
    }

    /// With this number, from 1; otherwise the lowest free one.
    pub fn number(self, number: u32) -> Self {
        Self { number: Some(number), ..self }
    }

    /// With these attribute bits.
    pub fn attributes(self, attributes: Attributes) -> Self {
        Self { attributes, ..self }
    }

    /// With this name.
    pub fn name(self, name: Name) -> Self {
        Self { name, ..self }
    }
}

impl Builder {
    /// A table without partitions, of 128 entries, for a disk of `disk_size` bytes. A [`Seed`](crate::Seed) gives the GUIDs of
    /// an image that comes out the same whenever it is built:
    ///
    /// ```
    /// use ddi_gpt::{Attributes, BlockSize, Builder, NewPartition, PartitionType, Seed};
    ///
    /// let seed = Seed::new("0e9a6fe3-68f6-408c-bbeb-136054d20445".parse()?);
    /// let root = PartitionType::from_name("root-x86-64", None)?.guid().ok_or("not a type")?;
    /// let root = NewPartition::new(root, seed.partition_guid(root, 0))
    ///     .size(8 << 20)
    ///     .attributes(Attributes::READ_ONLY)
    ///     .name("os_1.0".parse()?);
    /// let table = Builder::new(16 << 20, BlockSize::B512, seed.disk_guid()).partition(root).build()?;
    /// for (offset, bytes) in table.writes() {
    ///     println!("{} bytes at {offset}", bytes.len());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(disk_size: u64, block_size: BlockSize, disk_guid: Guid) -> Self {
        Self {
            disk_size,
            block_size,
            disk_guid,
            entry_count: 128,
            entry_size: Entry::SIZE,
            alignment: None,
            usable: None,
            partitions: Vec::new(),
        }
    }

    /// `count` entries of `size` bytes. Linux and libblkid read only entries of 128 bytes.
    pub fn entries(self, count: u32, size: u32) -> Self {
        Self { entry_count: count, entry_size: size, ..self }
    }

    /// Partitions placed by size start at a multiple of so many bytes.
    pub fn alignment(self, bytes: u64) -> Self {
        Self { alignment: Some(bytes), ..self }
    }

    /// The blocks that partitions may use; otherwise all that the table leaves, from the first aligned one on.
    pub fn usable(self, usable: LbaRange) -> Self {
        Self { usable: Some(usable), ..self }
    }

    /// Adds a partition. Those with fixed blocks are placed first, the others in the order they are added.
    pub fn partition(mut self, partition: NewPartition) -> Self {
        self.partitions.push(partition);
        self
    }

    /// Makes the table, and checks it as if it had been read.
    ///
    /// # Errors
    /// The variants of [`Error`] about writing; those about partitions (overlap, not within the usable range, the same GUID
    /// twice), as reading the table would give them.
    pub fn build(&self) -> Result<WrittenTable, Error> {
        let layout = self.layout()?;
        let array = self.array(&layout)?;
        let array_crc32 = crc32fast::hash(&array);
        let header = |my_lba: u64, alternate_lba: u64, array_lba: u64| {
            let mut header = Header {
                my_lba: U64::new(my_lba),
                alternate_lba: U64::new(alternate_lba),
                first_usable_lba: U64::new(layout.usable.first.0),
                last_usable_lba: U64::new(layout.usable.last.0),
                disk_guid: self.disk_guid,
                partition_entry_lba: U64::new(array_lba),
                number_of_partition_entries: U32::new(self.entry_count),
                size_of_partition_entry: U32::new(self.entry_size),
                partition_entry_array_crc32: U32::new(array_crc32),
                ..Header::default()
            };
            header.header_crc32 = U32::new(header_crc32(header.as_bytes()));
            header
        };
        let mut head = BootRecord::protective(layout.blocks).as_bytes().to_vec();
        self.pad(&mut head);
        head.extend_from_slice(header(1, layout.last_lba, 2).as_bytes());
        self.pad(&mut head);
        head.extend_from_slice(&array);
        self.pad(&mut head);
        let mut tail = array;
        self.pad(&mut tail);
        tail.extend_from_slice(header(layout.last_lba, 1, layout.backup_array).as_bytes());
        self.pad(&mut tail);
        let tail_offset = self.block_size.offset(Lba(layout.backup_array)).unwrap_or(self.disk_size);

        let bytes = Bytes { head, tail, tail_offset };
        let examination = examine(self.disk_size, Some(self.block_size), |offset, buf| {
            bytes.read(offset, buf);
            Ok::<_, Error>(())
        })?;
        Ok(WrittenTable { gpt: examination.gpt(Mode::Strict)?, bytes })
    }

    /// Fills up to the next block.
    fn pad(&self, bytes: &mut Vec<u8>) {
        let blocks = self.block_size.blocks_for(len_u64(bytes));
        let size = blocks.saturating_mul(u64::from(self.block_size.bytes()));
        bytes.resize(usize::try_from(size).unwrap_or(bytes.len()), 0);
    }

    fn layout(&self) -> Result<Layout, Error> {
        let bad_array = Error::BadArray { count: self.entry_count, entry_size: self.entry_size };
        let array_size = u64::from(self.entry_count).saturating_mul(u64::from(self.entry_size));
        if !is_entry_size(self.entry_size) || array_size == 0 || array_size > MAX_ARRAY_SIZE {
            return Err(bad_array);
        }
        let block_bytes = u64::from(self.block_size.bytes());
        let alignment = self.alignment.unwrap_or(match self.disk_size {
            0..=0x40_0000 => block_bytes,
            _ => MEBIBYTE,
        });
        let alignment_blocks = self.block_size.whole_blocks(alignment);
        if alignment == 0 || self.block_size.offset(Lba(alignment_blocks)) != Some(alignment) {
            return Err(Error::BadAlignment { alignment });
        }

        // protective MBR, header, array, at least one block, array, header
        let array_blocks = self.block_size.blocks_for(array_size);
        let kept_blocks = self.block_size.blocks_for(array_size.max(LEAST_ARRAY));
        let needed = kept_blocks.saturating_mul(2).saturating_add(4);
        let blocks = self.block_size.whole_blocks(self.disk_size);
        let no_room =
            Error::NoRoomForTable { disk_size: self.disk_size, needed: needed.saturating_mul(block_bytes) };
        let from_end = |count: u64| blocks.checked_sub(count).ok_or(no_room.clone());
        if blocks < needed {
            return Err(no_room);
        }
        let last_lba = from_end(1)?;
        let backup_array = last_lba.saturating_sub(array_blocks);
        let most = LbaRange::new(array_blocks.saturating_add(2), backup_array.saturating_sub(1));
        let first = align_up(kept_blocks.saturating_add(2), alignment_blocks);
        let default = LbaRange::new(first, last_lba.saturating_sub(kept_blocks).saturating_sub(1));
        let usable = self.usable.unwrap_or(default);
        if usable.is_inverted() || usable.first < most.first || usable.last > most.last {
            return Err(Error::BadUsable { usable, most });
        }
        Ok(Layout { blocks, last_lba, backup_array, usable, alignment_blocks })
    }

    /// The bytes of the array.
    fn array(&self, layout: &Layout) -> Result<Vec<u8>, Error> {
        let count = usize::try_from(self.entry_count).unwrap_or_default();
        let stride = usize::try_from(self.entry_size).unwrap_or_default();
        let mut array = vec![0; count.saturating_mul(stride)];
        for (number, partition, lbas) in self.place(layout)? {
            let entry = Entry {
                partition_type_guid: partition.type_guid,
                unique_partition_guid: partition.guid,
                starting_lba: U64::new(lbas.first.0),
                ending_lba: U64::new(lbas.last.0),
                attributes: U64::new(partition.attributes.0),
                partition_name: partition.name,
            };
            let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
            if let Some(slot) = array.chunks_exact_mut(stride).nth(index) {
                slot.iter_mut().zip(entry.as_bytes()).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(array)
    }

    /// Gives each partition its number and blocks.
    fn place(&self, layout: &Layout) -> Result<Vec<(u32, &NewPartition, LbaRange)>, Error> {
        let numbers = self.numbers()?;
        let mut free = Free::new(layout);
        for partition in &self.partitions {
            if let Place::Lbas(lbas) = partition.place {
                free.take(lbas);
            }
        }
        let mut placed = Vec::with_capacity(self.partitions.len());
        for (partition, number) in self.partitions.iter().zip(numbers) {
            if partition.type_guid.is_nil() {
                return Err(Error::NilType { number });
            }
            let (found, size) = match partition.place {
                Place::Lbas(lbas) => (Some(lbas), 0),
                Place::Size(size) => (free.first_fit(self.block_size.blocks_for(size)), size),
                Place::Rest => (free.largest(), u64::from(self.block_size.bytes())),
            };
            let lbas = found.ok_or(Error::NoRoom { number, size })?;
            free.take(lbas);
            placed.push((number, partition, lbas));
        }
        Ok(placed)
    }

    fn numbers(&self) -> Result<Vec<u32>, Error> {
        let count = self.entry_count;
        let mut taken: BTreeSet<u32> = BTreeSet::new();
        for number in self.partitions.iter().filter_map(|partition| partition.number) {
            if number == 0 || number > count || !taken.insert(number) {
                return Err(Error::BadNumber { number, count });
            }
        }
        let mut free = (1..=count).filter(|number| !taken.contains(number));
        let number = |partition: &NewPartition| {
            let number = partition.number.or_else(|| free.next());
            number.ok_or(Error::BadNumber { number: count.saturating_add(1), count })
        };
        self.partitions.iter().map(number).collect()
    }
}

/// Where things are, in blocks.
struct Layout {
    blocks: u64,
    last_lba: u64,
    backup_array: u64,
    usable: LbaRange,
    alignment_blocks: u64,
}

fn align_up(lba: u64, alignment: u64) -> u64 {
    lba.checked_next_multiple_of(alignment).unwrap_or(u64::MAX)
}

/// The free ranges, in order.
struct Free {
    ranges: Vec<LbaRange>,
    alignment: u64,
}

impl Free {
    fn new(layout: &Layout) -> Self {
        Self { ranges: vec![layout.usable], alignment: layout.alignment_blocks }
    }

    fn take(&mut self, lbas: LbaRange) {
        let mut rest = Vec::with_capacity(self.ranges.len().saturating_add(1));
        for free in &self.ranges {
            if !free.overlaps(&lbas) || lbas.is_inverted() {
                rest.push(*free);
                continue;
            }
            if free.first < lbas.first {
                rest.push(LbaRange { first: free.first, last: Lba(lbas.first.0.saturating_sub(1)) });
            }
            if lbas.last < free.last {
                rest.push(LbaRange { first: Lba(lbas.last.0.saturating_add(1)), last: free.last });
            }
        }
        self.ranges = rest;
    }

    /// The free ranges from their first aligned block on.
    fn aligned(&self) -> impl DoubleEndedIterator<Item = LbaRange> {
        let align =
            |free: &LbaRange| LbaRange { first: Lba(align_up(free.first.0, self.alignment)), ..*free };
        self.ranges.iter().map(align).filter(|free| !free.is_inverted())
    }

    fn first_fit(&self, blocks: u64) -> Option<LbaRange> {
        self.aligned().find_map(|free| {
            LbaRange::with_blocks(free.first.0, blocks).filter(|lbas| lbas.last <= free.last)
        })
    }

    fn largest(&self) -> Option<LbaRange> {
        // of equal ones the first
        self.aligned().rev().max_by_key(|free| free.blocks())
    }
}

/// The bytes of a table.
#[derive(Clone, Debug)]
struct Bytes {
    head: Vec<u8>,
    tail: Vec<u8>,
    tail_offset: u64,
}

impl Bytes {
    fn writes(&self) -> [(u64, &[u8]); 2] {
        [(self.tail_offset, &self.tail), (0, &self.head)]
    }

    /// Reads as from a disk with this table and nothing else.
    fn read(&self, offset: u64, buf: &mut [u8]) {
        buf.fill(0);
        for (start, bytes) in self.writes() {
            let skip = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
            let from = bytes.iter().skip(skip(start, offset));
            let to = buf.iter_mut().skip(skip(offset, start));
            to.zip(from).for_each(|(to, from)| *to = *from);
        }
    }
}

/// A table to be written, made by [`Builder::build`].
#[derive(Clone, Debug)]
pub struct WrittenTable {
    gpt: Gpt,
    bytes: Bytes,
}

impl WrittenTable {
    /// The table, as it will be read.
    pub fn gpt(&self) -> &Gpt {
        &self.gpt
    }

    /// What is to be written: offset in bytes, and bytes. The backup comes first: make it durable before the primary follows,
    /// and there is a good table at any time.
    ///
    /// The first 512 bytes of the disk get boot code of zeros.
    pub fn writes(&self) -> [(u64, &[u8]); 2] {
        self.bytes.writes()
    }

    /// A whole disk in memory, zero but for the table: `disk_size` bytes, so for small ones.
    pub fn to_disk(&self) -> Vec<u8> {
        let mut disk = vec![0; usize::try_from(self.gpt.disk_size()).unwrap_or(usize::MAX)];
        self.bytes.read(0, &mut disk);
        disk
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{ESP, ROOT};
    use crate::{Condition, Side};

    fn new(size: u64) -> Builder {
        Builder::new(size, BlockSize::B512, Guid::from_u128(1))
    }

    fn partition(guid: u128) -> NewPartition {
        NewPartition::new(ROOT, Guid::from_u128(guid))
    }

    /// As libfdisk and systemd-repart lay it out; read off images that they made.
    #[test]
    fn layout() {
        for (size, block_size, count, usable, backup_array) in [
            (8_388_608, BlockSize::B512, 128, LbaRange::new(2048, 16350), 16351),
            (12_935_168, BlockSize::B512, 128, LbaRange::new(2048, 25230), 25231),
            (1_093_632, BlockSize::B512, 128, LbaRange::new(34, 2102), 2103),
            (9_011_200, BlockSize::B1024, 128, LbaRange::new(1024, 8782), 8783),
            (8_884_224, BlockSize::B2048, 128, LbaRange::new(512, 4328), 4329),
            (25_165_824, BlockSize::B4096, 128, LbaRange::new(256, 6138), 6139),
            // 16 KiB are kept free for an array however small it is
            (8_388_608, BlockSize::B512, 4, LbaRange::new(2048, 16350), 16382),
            (16_777_216, BlockSize::B512, 256, LbaRange::new(2048, 32702), 32703),
            // what an array leaves of its last block is written too
            (25_165_824, BlockSize::B4096, 4, LbaRange::new(256, 6138), 6142),
        ] {
            let table = Builder::new(size, block_size, Guid::NIL).entries(count, 128).build().unwrap();
            let gpt = table.gpt();
            assert_eq!((gpt.usable(), gpt.condition()), (usable, Condition::Intact), "{size}");
            let [(tail, tail_bytes), (head, head_bytes)] = table.writes();
            assert_eq!((head, tail), (0, backup_array * u64::from(block_size.bytes())));
            assert_eq!(tail + tail_bytes.len() as u64, size);
            assert_eq!(head_bytes.len() % block_size.bytes() as usize, 0);
            assert_eq!(gpt.header().partition_entry_lba.get(), 2);
            assert!(gpt.anomalies().is_empty(), "{:?}", gpt.anomalies());
        }
    }

    #[test]
    fn the_least_disk() {
        for block_size in BlockSize::ALL {
            let bytes = u64::from(block_size.bytes());
            let needed = (2 * (16384 / bytes) + 4) * bytes;
            let build = |size| Builder::new(size, block_size, Guid::NIL).build();
            assert!(build(needed).unwrap().gpt().usable().blocks() == Some(1));
            let error = Error::NoRoomForTable { disk_size: needed - 1, needed };
            assert_eq!(build(needed - 1).unwrap_err(), error);
            assert!(matches!(build(0), Err(Error::NoRoomForTable { .. })));
        }
    }

    #[test]
    fn partitions_are_placed() {
        let mebibyte = 2048;
        let gpt = |builder: Builder| builder.build().unwrap().gpt().clone();
        let fixed = LbaRange::new(3 * mebibyte, 4 * mebibyte - 1);
        let table = gpt(new(16 << 20)
            .partition(partition(1).size(1))
            .partition(partition(2).size((1 << 20) + 1))
            .partition(partition(3).lbas(fixed).number(7))
            .partition(partition(4).size(600))
            .partition(partition(5)));
        let found: Vec<_> = table.partitions().iter().map(|p| (p.number, p.lbas)).collect();
        assert_eq!(
            found,
            [
                (1, LbaRange::new(mebibyte, mebibyte)),
                (2, LbaRange::new(4 * mebibyte, 5 * mebibyte)),
                (3, LbaRange::new(2 * mebibyte, 2 * mebibyte + 1)),
                (4, LbaRange::new(6 * mebibyte, table.usable().last.0)),
                (7, fixed),
            ]
        );
        let tight = gpt(new(16 << 20).alignment(512).partition(partition(1).size(1)).partition(partition(2)));
        assert_eq!(tight.partitions()[0].lbas, LbaRange::new(34, 34));
        assert_eq!(tight.partitions()[1].lbas, LbaRange::new(35, 32734));
    }

    /// What fills a gap to its last block fits.
    #[test]
    fn a_gap_is_filled() {
        let fixed = LbaRange::new(2048, 2049);
        let after = LbaRange::new(2053, 16350);
        let fixed = [partition(1).lbas(fixed), partition(2).lbas(after)];
        let with = |size| {
            let builder = fixed.into_iter().fold(new(8 << 20), Builder::partition);
            let builder = builder.alignment(512).usable(LbaRange::new(2048, 16350));
            let table = builder.partition(partition(3).size(size)).build();
            table.map(|table| table.gpt().partitions()[2].lbas)
        };
        assert_eq!(with(3 * 512).unwrap(), LbaRange::new(2050, 2052));
        assert_eq!(with(3 * 512 + 1).unwrap_err(), Error::NoRoom { number: 3, size: 3 * 512 + 1 });
    }

    #[test]
    fn refusals() {
        let mebibyte = 2048;
        let at = |first, last| partition(1).lbas(LbaRange::new(first, last));
        let usable = LbaRange::new(2048, 16350);
        let side = Side::Primary;
        for (builder, error) in [
            (new(8 << 20).partition(partition(1).size(7 << 20)), Error::NoRoom { number: 1, size: 7 << 20 }),
            (new(8 << 20).partition(partition(1).size(0)), Error::NoRoom { number: 1, size: 0 }),
            (
                new(8 << 20).partition(partition(1).size(u64::MAX)),
                Error::NoRoom { number: 1, size: u64::MAX },
            ),
            (
                new(8 << 20).partition(partition(1)).partition(partition(2)),
                Error::NoRoom { number: 2, size: 512 },
            ),
            (new(8 << 20).partition(NewPartition::new(Guid::NIL, ROOT)), Error::NilType { number: 1 }),
            (new(8 << 20).partition(partition(1).number(0)), Error::BadNumber { number: 0, count: 128 }),
            (new(8 << 20).partition(partition(1).number(129)), Error::BadNumber { number: 129, count: 128 }),
            (
                new(8 << 20).partition(partition(1).number(3)).partition(partition(2).number(3)),
                Error::BadNumber { number: 3, count: 128 },
            ),
            (
                new(8 << 20).entries(1, 128).partition(partition(1).size(1)).partition(partition(2).size(1)),
                Error::BadNumber { number: 2, count: 1 },
            ),
            (
                new(8 << 20).partition(at(3000, 2999)),
                Error::PartitionInverted { side, number: 1, offset: 1024, lbas: LbaRange::new(3000, 2999) },
            ),
            (
                new(8 << 20).partition(at(2047, 3000)),
                Error::PartitionOutsideUsable {
                    side,
                    number: 1,
                    offset: 1024,
                    lbas: LbaRange::new(2047, 3000),
                    usable,
                },
            ),
            (
                new(8 << 20)
                    .partition(at(mebibyte, 2 * mebibyte))
                    .partition(partition(2).lbas(LbaRange::new(2 * mebibyte, 3 * mebibyte))),
                Error::PartitionsOverlap { side, first: 1, second: 2, offset: 1152, lba: Lba(2 * mebibyte) },
            ),
            (
                new(8 << 20).partition(partition(1).size(1)).partition(partition(1).size(1)),
                Error::DuplicateGuid { side, first: 1, second: 2, offset: 1152, guid: Guid::from_u128(1) },
            ),
            (new(8 << 20).entries(0, 128), Error::BadArray { count: 0, entry_size: 128 }),
            (new(8 << 20).entries(128, 100), Error::BadArray { count: 128, entry_size: 100 }),
            (new(8 << 20).entries(8193, 128), Error::BadArray { count: 8193, entry_size: 128 }),
            (
                new(8 << 20).entries(u32::MAX, 1 << 31),
                Error::BadArray { count: u32::MAX, entry_size: 1 << 31 },
            ),
            (new(8 << 20).alignment(0), Error::BadAlignment { alignment: 0 }),
            (new(8 << 20).alignment(513), Error::BadAlignment { alignment: 513 }),
            (
                new(8 << 20).usable(LbaRange::new(33, 100)),
                Error::BadUsable { usable: LbaRange::new(33, 100), most: LbaRange::new(34, 16350) },
            ),
            (
                new(8 << 20).usable(LbaRange::new(34, 16351)),
                Error::BadUsable { usable: LbaRange::new(34, 16351), most: LbaRange::new(34, 16350) },
            ),
        ] {
            assert_eq!(builder.build().unwrap_err(), error);
        }
        // an alignment that leaves nothing
        let none = new(8 << 20).alignment(1 << 40).build();
        assert!(matches!(none, Err(Error::BadUsable { .. })));
    }

    fn any_builder() -> impl Strategy<Value = Builder> {
        let partition = (any::<u128>(), 1..40_u64, 0..6_u64, any::<u64>(), "\\PC{0,18}", any::<bool>());
        let partitions = prop::collection::vec(partition, 0..12);
        let array = (prop::sample::select(&[1_u32, 4, 12, 128, 200][..]), 0..3_u32);
        (prop::sample::select(&BlockSize::ALL[..]), array, partitions, any::<u128>(), any::<u16>()).prop_map(
            |(block_size, (count, shift), partitions, disk_guid, size)| {
                let size = 4 * 4096 * 1024 + u64::from(size) * 64;
                let mut builder = Builder::new(size, block_size, Guid::from_u128(disk_guid))
                    .entries(count, 128 << shift)
                    .alignment(4096);
                let mut first = 300;
                for (guid, blocks, gap, attributes, name, is_esp) in partitions {
                    first += gap;
                    builder = builder.partition(
                        NewPartition::new(if is_esp { ESP } else { ROOT }, Guid::from_u128(guid))
                            .lbas(LbaRange::with_blocks(first, blocks).unwrap())
                            .attributes(Attributes(attributes))
                            .name(name.parse().unwrap_or_default()),
                    );
                    first += blocks;
                }
                builder
            },
        )
    }

    proptest! {
        /// What is written reads back the same, and writes the same bytes again.
        #[test]
        fn parse_after_write_is_identity(builder in any_builder()) {
            match builder.build() {
                // more partitions than entries
                Err(error) => {
                    let too_many = builder.partitions.len() > builder.entry_count as usize;
                    prop_assert!(too_many && error.code() == "gpt-bad-number", "{}", error);
                }
                Ok(table) => {
                    let gpt = table.gpt();
                    prop_assert_eq!(gpt.partitions().len(), builder.partitions.len());
                    for (found, wanted) in gpt.partitions().iter().zip(&builder.partitions) {
                        let Place::Lbas(lbas) = wanted.place else { unreachable!() };
                        prop_assert_eq!(
                            (found.type_guid, found.guid, found.lbas, found.attributes, found.name),
                            (wanted.type_guid, wanted.guid, lbas, wanted.attributes, wanted.name)
                        );
                    }
                    let again = gpt.to_builder().build().unwrap();
                    prop_assert_eq!(again.writes(), table.writes());
                }
            }
        }

        /// Whatever is asked for: a table that passes every check, or an error.
        #[test]
        fn any_wish_is_granted_or_refused(
            disk_size in prop_oneof![0..200_000_u64, any::<u64>()],
            block_size in prop::sample::select(&BlockSize::ALL[..]),
            count in prop_oneof![0..300_u32, any::<u32>()],
            alignment in prop_oneof![Just(512_u64), Just(4096), any::<u64>()],
            sizes in prop::collection::vec(prop_oneof![0..10_000_u64, any::<u64>()], 0..8),
            fixed in prop::collection::vec(any::<(u64, u64)>(), 0..2),
        ) {
            let mut builder = Builder::new(disk_size, block_size, Guid::NIL).entries(count, 128).alignment(alignment);
            for (i, size) in (1..).zip(sizes) {
                builder = builder.partition(NewPartition::new(ROOT, Guid::from_u128(i)).size(size));
            }
            for (i, (first, last)) in (100..).zip(fixed) {
                let lbas = LbaRange::new(first, last);
                builder = builder.partition(NewPartition::new(ROOT, Guid::from_u128(i)).lbas(lbas));
            }
            if let Ok(table) = builder.build() {
                prop_assert_eq!(table.gpt().condition(), Condition::Intact);
            }
        }
    }

    #[test]
    fn numbers_go_up_to_the_count() {
        let build =
            |number| new(1 << 20).entries(4, 128).partition(partition(1).size(512).number(number)).build();
        assert_eq!(build(4).unwrap().gpt().partitions()[0].number, 4);
        assert_eq!(build(5).unwrap_err(), Error::BadNumber { number: 5, count: 4 });
    }
}
