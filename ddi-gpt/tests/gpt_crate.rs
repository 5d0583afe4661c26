//! The `gpt` crate reads what we write, we read what it writes, and where both read a damaged table they read the same.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ddi_gpt::{Attributes, BlockSize, Builder, Examination, Gpt, Guid, LbaRange, Mode, NewPartition};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{EFI, LINUX_FS, LINUX_ROOT_X64};
use proptest::prelude::*;

/// What both know of a partition: number, type, GUID, first and last block, attributes, name.
type Facts = (u32, String, String, u64, u64, u64, String);

const SIZE: usize = 4 << 20;

fn other_size(block_size: BlockSize) -> LogicalBlockSize {
    if block_size == BlockSize::B512 { LogicalBlockSize::Lb512 } else { LogicalBlockSize::Lb4096 }
}

fn examine(disk: &[u8], block_size: BlockSize) -> Examination {
    let read = |offset: u64, buf: &mut [u8]| {
        let offset = offset as usize;
        buf.copy_from_slice(&disk[offset..offset + buf.len()]);
        Ok::<_, ()>(())
    };
    ddi_gpt::examine(disk.len() as u64, Some(block_size), read).unwrap()
}

fn ours(table: &Gpt) -> Vec<Facts> {
    let facts = |p: &ddi_gpt::Partition| {
        let name = p.name.label().unwrap_or_default();
        let guid = p.guid.to_string();
        (p.number, p.type_guid.to_string(), guid, p.lbas.first.0, p.lbas.last.0, p.attributes.0, name)
    };
    table.partitions().iter().map(facts).collect()
}

/// What the other one reads; `None` if it errs or panics, which it does on some tables.
fn theirs(disk: &[u8], block_size: BlockSize) -> Option<Vec<Facts>> {
    let config = gpt::GptConfig::new().writable(false).logical_block_size(other_size(block_size));
    let read = || config.open_from_device(Cursor::new(disk.to_vec())).ok();
    let table = catch_unwind(AssertUnwindSafe(read)).ok()??;
    let facts = |(number, p): (&u32, &gpt::partition::Partition)| {
        let (kind, guid) = (p.part_type_guid.guid.to_string(), p.part_guid.to_string());
        (*number, kind.to_lowercase(), guid, p.first_lba, p.last_lba, p.flags, p.name.trim_end().to_owned())
    };
    Some(table.partitions().iter().filter(|(_, p)| p.is_used()).map(facts).collect())
}

fn any_block_size() -> impl Strategy<Value = BlockSize> {
    prop::sample::select(&[BlockSize::B512, BlockSize::B4096][..])
}

/// Blocks of each partition, blocks before it, attributes, name.
fn any_partitions() -> impl Strategy<Value = Vec<(u64, u64, u64, String)>> {
    prop::collection::vec((1..40_u64, 0..9_u64, any::<u64>(), "[a-zA-Z0-9_éß💾]{0,18}"), 0..12)
}

fn build(block_size: BlockSize, partitions: &[(u64, u64, u64, String)]) -> Vec<u8> {
    let mut builder = Builder::new(SIZE as u64, block_size, Guid::from_u128(7)).alignment(4096);
    let mut first = 40;
    for (number, (blocks, gap, attributes, name)) in (1..).zip(partitions) {
        first += gap;
        let kind = Guid::from_u128(if number % 2 == 0 { EFI } else { LINUX_FS }.guid.as_u128());
        builder = builder.partition(
            NewPartition::new(kind, Guid::from_u128(number))
                .lbas(LbaRange::with_blocks(first, *blocks).unwrap())
                .attributes(Attributes(*attributes))
                .name(name.parse().unwrap()),
        );
        first += blocks;
    }
    builder.build().unwrap().to_disk()
}

proptest! {
    #[test]
    fn it_reads_what_we_write(block_size in any_block_size(), partitions in any_partitions()) {
        let disk = build(block_size, &partitions);
        let table = examine(&disk, block_size).gpt(Mode::Strict).unwrap();
        prop_assert_eq!(table.partitions().len(), partitions.len());
        prop_assert_eq!(Some(ours(&table)), theirs(&disk, block_size));
    }

    #[test]
    fn we_read_what_it_writes(block_size in any_block_size(), partitions in any_partitions()) {
        let mut device = Cursor::new(vec![0; SIZE]);
        let blocks = SIZE as u32 / block_size.bytes();
        ProtectiveMBR::with_lb_size(blocks - 1).overwrite_lba0(&mut device).unwrap();
        let mut table = gpt::GptConfig::new()
            .writable(true)
            .logical_block_size(other_size(block_size))
            .create_from_device(device, None)
            .unwrap();
        let mut first = 40;
        for (number, (blocks, gap, attributes, name)) in (1..).zip(&partitions) {
            first += gap;
            table.add_partition_at(name, number, first, *blocks, LINUX_ROOT_X64, *attributes).unwrap();
            first += blocks;
        }
        let disk = table.write().unwrap().into_inner();
        let examination = examine(&disk, block_size);
        let table = examination.gpt(Mode::Strict).unwrap();
        prop_assert_eq!(table.partitions().len(), partitions.len());
        prop_assert_eq!(Some(ours(&table)), theirs(&disk, block_size));
    }

    #[test]
    fn damaged_tables_read_the_same_or_not_at_all(
        block_size in any_block_size(),
        partitions in any_partitions(),
        damage in prop::collection::vec((any::<bool>(), 0..3000_usize, any::<u8>()), 1..4),
    ) {
        let mut disk = build(block_size, &partitions);
        for (at_end, at, value) in damage {
            let at = if at_end { SIZE - 1 - at } else { block_size.bytes() as usize + at };
            disk[at] = value;
        }
        let ours_read = examine(&disk, block_size).gpt(Mode::Tolerant);
        if let (Ok(table), Some(theirs)) = (ours_read, theirs(&disk, block_size)) {
            prop_assert_eq!(ours(&table), theirs);
        }
    }
}
