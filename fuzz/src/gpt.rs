//! Partition tables.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arbitrary::{Arbitrary, Unstructured};
use ddi_core::steps::mbr::Mbr;
use ddi_gpt::{
    Attributes, BlockSize, Builder, Examination, Gpt, Guid, LbaRange, Mode, Name, NewPartition,
    ProtectiveMbr, Side, examine,
};
use ddi_verity::ReadAt;

use super::input::{Input, Sparse, crc32, let_others_panic};
use super::model;

const BLOCK_SIZES: [u64; 4] = [512, 1024, 2048, 4096];

/// Asserts: a header on a small disk, its checksums right, is judged as the model does, and shown without a panic.
pub fn gpt_header(input: &[u8]) {
    let mut input = Input(input);
    let flags = input.byte();
    let block = BLOCK_SIZES[usize::from(flags & 3)];
    let mut disk = Sparse { size: (u64::from(input.byte() & 63) + 1) * block, pieces: Vec::new() };
    protect(&mut disk);
    let at = if flags & 4 == 0 { block } else { disk.size - block };
    let header = input.array::<92>();
    disk.write(at, header.to_vec());
    let rest = input.take(block as usize - 92).to_vec();
    disk.write(at + 92, rest);
    if flags & 8 == 0 {
        repair(&mut disk, at, block);
    }
    check(&disk, None);
}

/// Asserts: a disk of any size, with any two copies of a table on it, is judged as the model does, with and without a forced
/// block size; no byte is read twice, few are read at all; partitions that are accepted lie on the disk and apart.
pub fn gpt_disk(input: &[u8]) {
    let (disk, block) = table(&mut Input(input));
    check(&disk, None);
    check(&disk, Some(block));
}

/// Asserts: a table that can be written is read as what it was written from, by all readers; written again it is the same,
/// byte for byte; a table that was read strictly can be written, unless its arrays lie where a builder puts none.
pub fn gpt_rewrite(input: &[u8]) {
    if input.first().is_some_and(|byte| byte & 1 == 1) {
        let (disk, _) = table(&mut Input(&input[1..]));
        if let Ok(gpt) = read(&disk, None).gpt(Mode::Strict)
            && let Ok(again) = gpt.to_builder().build()
        {
            assert_eq!(again.gpt().partitions().len(), gpt.partitions().len());
            for (a, b) in again.gpt().partitions().iter().zip(gpt.partitions()) {
                let facts =
                    |p: &ddi_gpt::Partition| (p.number, p.type_guid, p.guid, p.lbas, p.attributes.0, p.name);
                assert_eq!(facts(a), facts(b));
            }
        }
        return;
    }
    let Ok(layout) = Layout::arbitrary(&mut Unstructured::new(input.get(1..).unwrap_or_default())) else {
        return;
    };
    let Ok(written) = layout.builder().build() else { return };
    let mut disk = Sparse { size: written.gpt().disk_size(), pieces: Vec::new() };
    for (offset, bytes) in written.writes() {
        disk.write(offset, bytes.to_vec());
    }
    check(&disk, Some(layout.block()));
    let gpt = read(&disk, Some(layout.block())).gpt(Mode::Strict).expect("what is written is good");
    assert_eq!(gpt.partitions().len(), layout.partitions.len().min(MAX_PARTITIONS));
    let again = gpt.to_builder().build().expect("what was written can be written");
    assert_eq!(again.writes(), written.writes());
}

/// Asserts: a boot sector is either protective or a table of its own, never both; the partitions of the latter lie on the
/// disk, apart, and not over the table; headers for several block sizes are told apart as the model does.
pub fn boot_record(input: &[u8]) {
    let mut input = Input(input);
    let flags = input.byte();
    let size = match flags & 1 {
        0 => u64::from(input.byte()) * 512,
        _ => input.u64(),
    };
    let mut sector = [0; 512];
    sector[446..510].copy_from_slice(&input.array::<64>());
    sector[510..].copy_from_slice(&if flags & 2 == 0 { [0x55, 0xaa] } else { input.array() });
    let block = BLOCK_SIZES[usize::from(input.byte() & 3)];
    // for each block size: no header, a signature alone, or what systemd takes for a header
    let mut disk = Sparse { size, pieces: Vec::new() };
    let headers = input.byte();
    for (i, block) in BLOCK_SIZES.into_iter().enumerate() {
        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[10] = 1;
        header[12] = 92;
        header[24] = 1;
        match headers >> (2 * i) & 3 {
            0 => continue,
            1 => header[8..].fill(0),
            2 => header[8..].copy_from_slice(&input.array::<84>()),
            _ => {}
        }
        disk.write(block, header.to_vec());
    }
    // what is left is the boot code
    let code = input.take(446);
    sector[..code.len()].copy_from_slice(code);
    disk.pieces.insert(0, (0, sector.to_vec()));
    check(&disk, None);

    let protective = ProtectiveMbr::parse(&sector);
    let mbr = Mbr::parse(&sector);
    assert!(protective.is_err() || mbr.is_err());
    if let Ok(protective) = protective {
        let block = BlockSize::from_bytes(block as u32).expect("one of the four");
        assert!(protective.index() < 4);
        assert!(!protective.is_hybrid() || !protective.is_proper(size, block));
    }
    if let Ok(mbr) = mbr
        && let Ok(partitions) = mbr.partitions(block as u32, size)
    {
        for (i, a) in partitions.iter().enumerate() {
            let end = u128::from(a.offset) + u128::from(a.size);
            assert!(a.offset >= block && a.size > 0 && end <= u128::from(size));
            for b in &partitions[..i] {
                assert!(
                    end <= b.offset.into() || u128::from(b.offset) + u128::from(b.size) <= a.offset.into()
                );
            }
            let _ = a.role();
        }
    }
}

/// Asserts: where both we and the `gpt` crate read a table, both read the same one. Explained disagreements:
///
/// - It takes the primary copy where we take the backup, if the primary is damaged in a way that it does not check.
/// - It takes the backup where we take the primary, if the primary header is of more than 92 bytes: it sums up 92 always.
///
/// It panics on some tables, which is caught; it allocates what a header asks for, so it gets no headers of large arrays.
pub fn gpt_crate(input: &[u8]) {
    let_others_panic();
    let (mut disk, block) = table(&mut Input(input));
    // it wants the disk in memory
    disk.size = disk.size.min(256 << 10);
    if !matches!(block, 512 | 4096) {
        return;
    }
    let examination = read(&disk, Some(block));
    let Ok(gpt) = examination.gpt(Mode::Tolerant) else { return };
    let large =
        |side: Side| examination.copy(side).header.is_some_and(|header| header.array_size() > 1 << 16);
    if large(Side::Primary) || large(Side::Backup) {
        return;
    }
    let Some(theirs) = theirs(&disk, block) else { return };
    let ours: Vec<Facts> = gpt
        .partitions()
        .iter()
        .map(|p| {
            (
                p.number,
                p.type_guid.to_string(),
                p.guid.to_string(),
                p.lbas.first.0,
                p.lbas.last.0,
                p.attributes.0,
            )
        })
        .collect();
    let raw = |side: Side| -> Vec<Facts> {
        let facts = |(number, entry): (u32, &ddi_gpt::Entry)| {
            let (kind, guid) = (entry.partition_type_guid, entry.unique_partition_guid);
            let (first, last) = (entry.starting_lba.get(), entry.ending_lba.get());
            (number, kind.to_string(), guid.to_string(), first, last, entry.attributes.get())
        };
        examination.copy(side).entries().map(facts).collect()
    };
    let long = examination.primary.header.is_some_and(|header| header.header_size.get() > 92);
    let explained =
        (gpt.side() == Side::Backup && theirs == raw(Side::Primary)) || (long && theirs == raw(Side::Backup));
    assert!(theirs == ours || explained, "{theirs:?}\n{ours:?}");
}

/// Number, type, GUID, first and last block, attributes.
type Facts = (u32, String, String, u64, u64, u64);

fn theirs(disk: &Sparse, block: u64) -> Option<Vec<Facts>> {
    use gpt::disk::LogicalBlockSize::{Lb512, Lb4096};
    let block_size = if block == 512 { Lb512 } else { Lb4096 };
    let config = gpt::GptConfig::new().writable(false).logical_block_size(block_size);
    let bytes = disk.bytes(0, disk.size)?;
    let table =
        catch_unwind(AssertUnwindSafe(|| config.open_from_device(Cursor::new(bytes)).ok())).ok()??;
    let facts = |(number, p): (&u32, &gpt::partition::Partition)| {
        let (kind, guid) = (p.part_type_guid.guid.to_string().to_lowercase(), p.part_guid.to_string());
        (*number, kind, guid, p.first_lba, p.last_lba, p.flags)
    };
    Some(table.partitions().iter().filter(|(_, p)| p.is_used()).map(facts).collect())
}

/// Takes a disk from an input: flags, blocks, the records of the MBR, both headers as they are, entries of both arrays, and
/// bytes to be changed. Everything has its place at the start of the input, where it can be aimed at.
fn table(input: &mut Input<'_>) -> (Sparse, u64) {
    let flags = input.byte();
    let block = BLOCK_SIZES[usize::from(flags & 3)];
    let size = input.number().saturating_mul(block).saturating_add(if flags & 4 == 0 { 0 } else { 77 });
    let mut disk = Sparse { size, pieces: Vec::new() };
    disk.write(446, input.array::<64>().to_vec());
    if flags & 8 == 0 {
        disk.write(450, vec![0xee]);
        disk.write(510, vec![0x55, 0xaa]);
    }
    let (primary, backup) = (input.array::<92>(), input.array::<92>());
    let last = (size / block).saturating_sub(1).saturating_mul(block);
    let entries = usize::from(input.byte() % 17);
    let of_backup = if flags & 16 == 0 { 0 } else { usize::from(input.byte() % 17) };
    let entries = input.take(entries * 128);
    let of_backup = if flags & 16 == 0 { entries } else { input.take(of_backup * 128) };
    for (at, header, entries) in [(last, backup, of_backup), (block, primary, entries)] {
        let array = u64::from_le_bytes(header[72..80].try_into().unwrap());
        let stride = u64::from(u32::from_le_bytes(header[84..88].try_into().unwrap()));
        for (i, entry) in (0..).zip(entries.chunks(128)) {
            let offset = array.checked_mul(block).and_then(|start| start.checked_add(stride * i));
            disk.write(offset.unwrap_or(u64::MAX), entry.to_vec());
        }
        disk.write(at, header.to_vec());
    }
    while !input.0.is_empty() && disk.pieces.len() < 80 {
        let (place, byte) = (input.u16(), input.byte());
        let from = [0, block, last, size][usize::from(place & 3)];
        disk.write(from.wrapping_add_signed(i64::from(place.cast_signed() >> 2)), vec![byte]);
    }
    if flags & 32 == 0 {
        repair(&mut disk, block, block);
        repair(&mut disk, last, block);
    }
    (disk, block)
}

fn protect(disk: &mut Sparse) {
    disk.write(450, vec![0xee]);
    disk.write(510, vec![0x55, 0xaa]);
}

/// Makes both checksums of the header at `at` right.
pub(crate) fn repair(disk: &mut Sparse, at: u64, block: u64) {
    let Some(mut bytes) = disk.bytes(at, block) else { return };
    let number = |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
    let (header_size, size) = (number(12), number(80) * number(84));
    let array = u64::from_le_bytes(bytes[72..80].try_into().unwrap()).checked_mul(block);
    if let Some(array) = array.and_then(|array| disk.bytes(array, size)) {
        bytes[88..92].copy_from_slice(&crc32(&array).to_le_bytes());
    }
    bytes[16..20].fill(0);
    let crc = crc32(&bytes[..header_size.min(block) as usize]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    disk.write(at + 16, bytes[16..20].to_vec());
    disk.write(at + 88, bytes[88..92].to_vec());
}

fn read(disk: &Sparse, block: Option<u64>) -> Examination {
    let block = block.map(|block| BlockSize::from_bytes(block as u32).expect("one of the four"));
    let (mut total, mut ranges) = (0, Vec::new());
    let examination = examine(disk.size, block, |offset, buf| {
        total += buf.len();
        ranges.push(offset..offset + buf.len() as u64);
        disk.read_exact_at(offset, buf)
    })
    .expect("reads stay on the disk");
    assert!(total <= (2 << 20) + (64 << 10), "{total} bytes read");
    ranges.sort_unstable_by_key(|range| range.start);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "read twice: {ranges:?}");
    examination
}

/// Reads the disk with both modes, and compares with the model.
fn check(disk: &Sparse, block: Option<u64>) {
    let examination = read(disk, block);
    let tolerant = examination.gpt(Mode::Tolerant);
    let strict = examination.gpt(Mode::Strict);
    for error in [&tolerant, &strict].into_iter().filter_map(|result| result.as_ref().err()) {
        drop((error.to_string(), error.code(), error.kind(), error.offset()));
    }
    assert!(tolerant.is_ok() || strict.is_err());
    if let Ok(gpt) = &tolerant {
        facts_are_sound(gpt, disk);
    }
    for anomaly in examination.anomalies() {
        drop((anomaly.to_string(), anomaly.code(), anomaly.offset()));
    }
    for copy in [&examination.primary, &examination.backup] {
        let _ = (copy.entries().count(), copy.outcome.as_ref().map_err(ToString::to_string));
    }

    let Some(expected) = model::gpt(disk, block) else { return };
    let found = tolerant.as_ref().ok().map(|gpt| model::Table {
        block: gpt.block_size().bytes().into(),
        from_backup: gpt.side() == Side::Backup,
        is_strict: strict.is_ok(),
        partitions: gpt.partitions().iter().map(facts).collect(),
    });
    assert_eq!(found, expected, "{:?}", tolerant.as_ref().err());
}

fn facts(p: &ddi_gpt::Partition) -> model::Partition {
    model::Partition {
        number: p.number,
        kind: p.type_guid.to_disk(),
        guid: p.guid.to_disk(),
        first: p.lbas.first.0.into(),
        last: p.lbas.last.0.into(),
        attributes: p.attributes.0,
        name: p.name.units().into_iter().flat_map(u16::to_le_bytes).collect(),
    }
}

fn facts_are_sound(gpt: &Gpt, disk: &Sparse) {
    let mut ranges: Vec<_> = gpt.partitions().iter().map(|p| (p.range.offset, p.range.end())).collect();
    ranges.sort_unstable();
    assert!(ranges.iter().all(|(start, end)| start < end && *end <= disk.size));
    assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    for p in gpt.partitions() {
        assert!(gpt.usable().contains(p.lbas.first) && gpt.usable().contains(p.lbas.last));
        assert_eq!(gpt.partition(p.number), Some(p));
        let _ = (p.name.to_string(), p.partition_type(), p.effect());
    }
    for difference in gpt.differences() {
        let _ = difference.to_string();
    }
}

const MAX_PARTITIONS: usize = 12;

/// A table to be written.
#[derive(Arbitrary, Debug)]
struct Layout {
    block: u8,
    /// Blocks of the disk, besides `more` which is rarely anything.
    blocks: u16,
    more: u64,
    disk_guid: u128,
    entries: Option<(u16, u8)>,
    alignment: Option<u16>,
    usable: Option<(u16, u16)>,
    partitions: Vec<Part>,
}

#[derive(Arbitrary, Debug)]
struct Part {
    kind: u128,
    guid: u128,
    place: Place,
    number: Option<u8>,
    attributes: u64,
    name: [u16; 36],
}

#[derive(Arbitrary, Debug)]
enum Place {
    Rest,
    Size(u16),
    Lbas(u16, u16),
    Far(u64, u64),
}

impl Layout {
    fn block(&self) -> u64 {
        BLOCK_SIZES[usize::from(self.block & 3)]
    }

    fn builder(&self) -> Builder {
        let block = BlockSize::from_bytes(self.block() as u32).expect("one of the four");
        let size = (u64::from(self.blocks) * self.block()).saturating_add(if self.block & 4 == 0 {
            0
        } else {
            self.more
        });
        let mut builder = Builder::new(size, block, Guid::from_u128(self.disk_guid));
        // the usual array of 16 KiB takes time
        let (count, shift) = self.entries.unwrap_or((16, 0));
        builder = builder.entries(count.into(), 128_u32.checked_shl(shift.into()).unwrap_or(96));
        if let Some(alignment) = self.alignment {
            builder = builder.alignment(alignment.into());
        }
        if let Some((first, last)) = self.usable {
            builder = builder.usable(LbaRange::new(first.into(), last.into()));
        }
        for part in self.partitions.iter().take(MAX_PARTITIONS) {
            let mut partition = NewPartition::new(Guid::from_u128(part.kind), Guid::from_u128(part.guid))
                .attributes(Attributes(part.attributes))
                .name(Name::from_units(part.name));
            partition = match part.place {
                Place::Rest => partition,
                Place::Size(size) => partition.size(size.into()),
                Place::Lbas(first, last) => partition.lbas(LbaRange::new(first.into(), last.into())),
                Place::Far(first, last) => partition.lbas(LbaRange::new(first, last)),
            };
            if let Some(number) = part.number {
                partition = partition.number(number.into());
            }
            builder = builder.partition(partition);
        }
        builder
    }
}
