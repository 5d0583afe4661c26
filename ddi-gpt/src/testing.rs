//! A small good disk for tests to break.

use std::vec::Vec;

use zerocopy::{FromBytes, IntoBytes};

use crate::header::header_crc32;
use crate::*;

pub(crate) const ROOT: Guid = Guid::parse("4f68bce3-e8cd-4db1-96e7-fbcaf984b709").unwrap();
pub(crate) const VERITY: Guid = Guid::parse("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5").unwrap();
pub(crate) const ESP: Guid = Guid::parse("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").unwrap();

/// A disk of 1 MiB: partitions 1 at LBA 40..=59, 2 at 60..=69 and 5 at 100..=119, with the unique GUIDs 1, 2 and 5.
#[derive(Clone)]
pub(crate) struct TestDisk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) block_size: BlockSize,
}

pub(crate) fn builder(block_size: BlockSize) -> Builder {
    let partition = |number: u32, kind, first, last| {
        NewPartition::new(kind, Guid::from_u128(number.into()))
            .number(number)
            .lbas(LbaRange::new(first, last))
            .name(std::format!("os_{number}").parse().unwrap())
    };
    Builder::new(1 << 20, block_size, Guid::from_u128(99))
        .partition(partition(1, ROOT, 40, 59).attributes(Attributes::READ_ONLY))
        .partition(partition(2, VERITY, 60, 69))
        .partition(partition(5, ESP, 100, 119))
}

impl TestDisk {
    pub(crate) fn new(block_size: BlockSize) -> Self {
        Self { bytes: builder(block_size).build().unwrap().to_disk(), block_size }
    }

    pub(crate) fn block(&self) -> usize {
        self.block_size.bytes() as usize
    }

    pub(crate) fn last_lba(&self) -> u64 {
        (self.bytes.len() / self.block()) as u64 - 1
    }

    pub(crate) fn header_offset(&self, side: Side) -> usize {
        match side {
            Side::Primary => self.block(),
            Side::Backup => self.last_lba() as usize * self.block(),
        }
    }

    pub(crate) fn header(&mut self, side: Side) -> &mut Header {
        let at = self.header_offset(side);
        Header::mut_from_prefix(&mut self.bytes[at..]).unwrap().0
    }

    /// Where the array was put by the builder.
    pub(crate) fn array_offset(&self, side: Side) -> usize {
        match side {
            Side::Primary => 2 * self.block(),
            Side::Backup => self.header_offset(side) - 16384,
        }
    }

    pub(crate) fn entry_offset(&self, side: Side, number: u32) -> usize {
        self.array_offset(side) + (number as usize - 1) * 128
    }

    pub(crate) fn entry(&mut self, side: Side, number: u32) -> &mut Entry {
        let at = self.entry_offset(side, number);
        Entry::mut_from_prefix(&mut self.bytes[at..]).unwrap().0
    }

    /// Makes the CRCs right again, as far as there is something to compute them of.
    pub(crate) fn repair(&mut self, side: Side) {
        let header = *self.header(side);
        let start = (header.partition_entry_lba.get() as usize).saturating_mul(self.block());
        let end = start.saturating_add(header.array_size() as usize);
        if let Some(array) = self.bytes.get(start..end) {
            let crc = crc32fast::hash(array);
            self.header(side).partition_entry_array_crc32.set(crc);
        }
        self.repair_header(side);
    }

    pub(crate) fn repair_header(&mut self, side: Side) {
        let at = self.header_offset(side);
        let size = self.header(side).header_size.get() as usize;
        if let Some(covered) = self.bytes.get(at..at.saturating_add(size)).filter(|bytes| bytes.len() >= 20) {
            let crc = header_crc32(covered);
            self.header(side).header_crc32.set(crc);
        }
    }

    pub(crate) fn wipe_header(&mut self, side: Side) {
        self.header(side).as_mut_bytes().fill(0);
    }

    pub(crate) fn examine(&self) -> Examination {
        self.examine_as(None)
    }

    pub(crate) fn examine_as(&self, block_size: Option<BlockSize>) -> Examination {
        let size = self.bytes.len() as u64;
        examine(size, block_size, |offset, buf| {
            let bytes = self.bytes.get(offset as usize..offset as usize + buf.len()).ok_or("past the end")?;
            buf.copy_from_slice(bytes);
            Ok::<_, &str>(())
        })
        .unwrap()
    }

    pub(crate) fn gpt(&self, mode: Mode) -> Result<Gpt, Error> {
        self.examine().gpt(mode)
    }
}
