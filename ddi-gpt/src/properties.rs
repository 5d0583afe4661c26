//! What must hold for any image: tests over many broken ones.

use std::collections::BTreeSet;
use std::format;
use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use crate::testing::{TestDisk, builder};
use crate::*;

/// What every [`Gpt`] guarantees, checked the slow way: all pairs.
fn assert_sound(gpt: &Gpt) {
    let blocks = gpt.block_size().whole_blocks(gpt.disk_size());
    let size = u64::from(gpt.block_size().bytes());
    for (i, a) in gpt.partitions().iter().enumerate() {
        let (first, last) = (a.lbas.first.0, a.lbas.last.0);
        assert!(first <= last && last < blocks, "{a:?}");
        assert!(gpt.usable().first.0 <= first && last <= gpt.usable().last.0, "{a:?}");
        assert_eq!((a.range.offset, a.range.size), (first * size, (last - first + 1) * size));
        assert!(a.range.end() <= gpt.disk_size());
        assert!(a.number >= 1 && a.number <= gpt.entry_count() && !a.type_guid.is_nil());
        let header = gpt.header();
        let array = header.partition_entry_lba.get();
        let array = array..array + gpt.block_size().blocks_for(header.array_size());
        for lba in array.chain([0, 1, header.my_lba.get(), header.alternate_lba.get()]) {
            assert!(lba < first || last < lba, "{a:?} is over the table at {lba}");
        }
        for b in &gpt.partitions()[..i] {
            assert!(a.lbas.last < b.lbas.first || b.lbas.last < a.lbas.first, "{a:?} {b:?}");
            assert!(a.guid != b.guid && b.number < a.number);
        }
    }
}

/// Bits of both headers' blocks and both arrays, one at a time: an error, or a condition that says so. Never silence.
fn every_bit(good: &TestDisk, bits_of_byte: fn(usize) -> core::ops::Range<u32>) {
    let gpt = good.gpt(Mode::Strict).unwrap();
    let array = gpt.header().array_size() as usize;
    let head = good.block()..2 * good.block() + array;
    let tail = good.bytes.len() - good.block() - array..good.bytes.len();
    let mut conditions = BTreeSet::new();
    let mut disk = good.clone();
    for at in head.chain(tail) {
        for bit in bits_of_byte(at) {
            disk.bytes[at] ^= 1 << bit;
            let examination = disk.examine();
            let strict = examination.gpt(Mode::Strict);
            assert!(strict.is_err(), "bit {bit} of byte {at}");
            let found = examination.gpt(Mode::Tolerant).expect("one copy is good");
            assert_ne!(found.condition(), Condition::Intact, "bit {bit} of byte {at}");
            assert_eq!(found.differences().is_empty(), found.condition() != Condition::Differ);
            let plain = |p: &Partition| Partition { entry_offset: 0, ..*p };
            assert!(found.partitions().iter().map(plain).eq(gpt.partitions().iter().map(plain)));
            conditions.insert(found.condition().name());
            disk.bytes[at] ^= 1 << bit;
        }
    }
    let expected = ["backup-only", "differ", "primary-only"];
    assert_eq!(conditions.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn every_bit_of_a_small_table() {
    let table = builder(BlockSize::B512).entries(8, 128).build().unwrap();
    every_bit(&TestDisk { bytes: table.to_disk(), block_size: BlockSize::B512 }, |_| 0..8);
}

#[test]
fn bits_all_over_the_usual_table() {
    every_bit(&TestDisk::new(BlockSize::B4096), |at| {
        let bit = at as u32 / 7 % 8;
        if at % 7 == 0 { bit..bit + 1 } else { 0..0 }
    });
}

#[test]
fn e3_every_bit_of_both_headers_and_arrays() {
    // 2 × (one block and 128 entries): some 270,000 bits
    every_bit(&TestDisk::new(BlockSize::B512), |_| 0..8);
}

#[test]
fn every_bit_of_the_headers_repaired() {
    // the same with the CRCs made right: a deliberate change, which must be an error or a difference
    let good = TestDisk::new(BlockSize::B512);
    for side in [Side::Primary, Side::Backup] {
        let header = good.header_offset(side);
        // one that is used and one that is not
        let entries = good.entry_offset(side, 5);
        for at in (header..header + 100).chain(entries..entries + 2 * 128) {
            for bit in 0..8 {
                let mut disk = good.clone();
                disk.bytes[at] ^= 1 << bit;
                disk.repair(side);
                if disk.bytes == good.bytes {
                    continue; // a bit of a CRC
                }
                let examination = disk.examine();
                assert!(examination.gpt(Mode::Strict).is_err(), "bit {bit} of byte {at}");
                if let Ok(gpt) = examination.gpt(Mode::Tolerant) {
                    assert_sound(&gpt);
                    assert_ne!(gpt.condition(), Condition::Intact, "bit {bit} of byte {at}");
                }
            }
        }
    }
}

/// A change to a table.
#[derive(Clone, Debug)]
enum Mutation {
    /// Any byte of the first or the last blocks.
    Byte {
        from_end: bool,
        at: usize,
        value: u8,
    },
    /// A field of a header, by its offset.
    HeaderField {
        side: Side,
        field: usize,
        value: u64,
    },
    /// A field of an entry.
    EntryField {
        side: Side,
        number: u32,
        field: usize,
        value: u64,
    },
    /// One entry copied to another.
    CopyEntry {
        side: Side,
        from: u32,
        to: u32,
    },
    /// The same in both copies.
    Both {
        number: u32,
        first: u64,
        last: u64,
    },
    Resize {
        blocks: usize,
    },
}

fn any_side() -> impl Strategy<Value = Side> {
    prop::sample::select(&[Side::Primary, Side::Backup][..])
}

fn any_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..300_u64,
        any::<u64>(),
        prop::sample::select(
            &[1 << 31, 1 << 32, (1 << 55) - 1, 1 << 55, 1 << 63, (1 << 63) - 1, u64::MAX - 1, u64::MAX][..]
        ),
    ]
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let number = 1..8_u32;
    prop_oneof![
        (any::<bool>(), 0..20_000_usize, any::<u8>()).prop_map(|(from_end, at, value)| Mutation::Byte {
            from_end,
            at,
            value
        }),
        (
            any_side(),
            prop::sample::select(&[8_usize, 12, 16, 24, 32, 40, 48, 72, 80, 84, 88][..]),
            any_value()
        )
            .prop_map(|(side, field, value)| Mutation::HeaderField { side, field, value }),
        (any_side(), number.clone(), prop::sample::select(&[0_usize, 16, 32, 40, 48, 56][..]), any_value())
            .prop_map(|(side, number, field, value)| Mutation::EntryField { side, number, field, value }),
        (any_side(), number.clone(), number.clone()).prop_map(|(side, from, to)| Mutation::CopyEntry {
            side,
            from,
            to
        }),
        (number, any_value(), 0..60_u64).prop_map(|(number, first, more)| Mutation::Both {
            number,
            first,
            last: first.saturating_add(more)
        }),
        (1..400_usize).prop_map(|blocks| Mutation::Resize { blocks }),
    ]
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    for (to, from) in bytes[at..].iter_mut().zip(value.to_le_bytes()) {
        *to = from;
    }
}

fn mutate(disk: &mut TestDisk, mutation: &Mutation) {
    match *mutation {
        Mutation::Byte { from_end, at, value } => {
            let at = at % disk.bytes.len();
            let at = if from_end { disk.bytes.len() - 1 - at } else { at };
            disk.bytes[at] = value;
        }
        Mutation::HeaderField { side, field, value } => {
            let at = disk.header_offset(side) + field;
            // counts and sizes have 32 bits
            let keep = u64::from_le_bytes(disk.bytes[at..at + 8].try_into().unwrap());
            let short = !(24..80).contains(&field);
            put(&mut disk.bytes, at, if short { keep >> 32 << 32 | value & 0xffff_ffff } else { value });
        }
        Mutation::EntryField { side, number, field, value } => {
            let at = disk.entry_offset(side, number) + field;
            put(&mut disk.bytes, at, value);
        }
        Mutation::CopyEntry { side, from, to } => {
            let entry = *disk.entry(side, from);
            *disk.entry(side, to) = entry;
        }
        Mutation::Both { number, first, last } => {
            for side in [Side::Primary, Side::Backup] {
                disk.entry(side, number).starting_lba.set(first);
                disk.entry(side, number).ending_lba.set(last);
            }
        }
        Mutation::Resize { blocks } => {
            let block = disk.block();
            disk.bytes.resize(blocks.max(40) * block, 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Random changes, CRCs made right half of the time: no panic, and no [`Gpt`] that breaks its promises.
    #[test]
    fn mutations(
        block_size in prop::sample::select(&[BlockSize::B512, BlockSize::B4096][..]),
        mutations in prop::collection::vec(any_mutation(), 1..6),
        repair in any::<[bool; 2]>(),
        forced in prop::option::of(prop::sample::select(&BlockSize::ALL[..])),
    ) {
        let good = TestDisk::new(block_size);
        let mut disk = good.clone();
        mutations.iter().for_each(|mutation| mutate(&mut disk, mutation));
        for (side, repair) in [Side::Primary, Side::Backup].into_iter().zip(repair) {
            if repair {
                disk.repair(side);
            }
        }
        let examination = disk.examine_as(forced);
        let shown = format!("{examination:?} {:?}", examination.anomalies());
        prop_assert!(!shown.is_empty());
        for mode in [Mode::Tolerant, Mode::Strict] {
            match examination.gpt(mode) {
                Ok(gpt) => {
                    assert_sound(&gpt);
                    for difference in gpt.differences() {
                        prop_assert_ne!(difference.primary, difference.backup);
                        prop_assert!(!difference.to_string().is_empty());
                    }
                    if mode == Mode::Strict {
                        prop_assert_eq!(gpt.condition(), Condition::Intact);
                        let again = gpt.to_builder().build();
                        prop_assert!(again.is_ok(), "{:?}", again.err());
                    }
                }
                Err(error) => prop_assert!(!error.to_string().is_empty() && !error.code().is_empty()),
            }
        }
    }
}
