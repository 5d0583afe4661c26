//! From a block of a file to a block of the disk.

use super::{Error, Ext4, FLAG_EXTENTS, Inode};
use crate::disk::{Bytes, index, u64_from};

pub(super) const EXTENT_MAGIC: u16 = 0xf30a;
/// Levels of an extent tree, as in Linux.
pub(super) const MAX_DEPTH: u16 = 5;
/// An extent of more blocks is one of its length less this, and not written yet.
pub(super) const WRITTEN: u32 = 32768;
/// Addresses in the inode that lead straight to data.
const DIRECT: u64 = 12;

/// Blocks of a file that lie in a row, or are all a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// First block on the disk; `None` is a hole.
    pub(super) start: Option<u64>,
    /// At least one.
    pub(super) blocks: u64,
}

impl Ext4 {
    /// Where block `block` of a file is, and up to `wanted` that follow it.
    pub(super) fn map(&self, inode: &Inode, block: u64, wanted: u64) -> Result<Run, Error> {
        if inode.has(FLAG_EXTENTS) {
            self.map_extents(inode, block, wanted)
        } else {
            self.map_addresses(inode, block, wanted)
        }
    }

    fn map_extents(&self, inode: &Inode, block: u64, wanted: u64) -> Result<Run, Error> {
        // a position past the last extent is a hole up to the end
        let mut hole_end = u64::MAX;
        let mut node = inode.block()?.to_vec();
        let mut offset = inode.offset;
        let mut depth = None;
        loop {
            let raw = Bytes::new(&node, "extent tree", offset);
            let (magic, entries, level) = (raw.le16(0)?, usize::from(raw.le16(2)?), raw.le16(6)?);
            let expected = depth.map_or(level <= MAX_DEPTH, |depth: u16| depth.checked_sub(1) == Some(level));
            if magic != EXTENT_MAGIC || !expected {
                return Err(raw.corrupt());
            }
            depth = Some(level);
            let entries = raw.slice(12, entries.saturating_mul(12))?;
            let first = |i: usize| -> Result<u64, Error> {
                Ok(Bytes::new(entries, raw.what, offset).le32(i.saturating_mul(12))?.into())
            };
            // as Linux: in order and apart, or what a file holds would depend on where reading begins
            let mut end = 0;
            for i in 0..entries.len() / 12 {
                let length = match level {
                    0 => {
                        Bytes::new(entries, raw.what, offset).le16(i.saturating_mul(12).saturating_add(4))?
                    }
                    _ => 1,
                };
                if first(i)? < end {
                    return Err(raw.corrupt());
                }
                end = first(i)?.saturating_add(blocks_of(length).1);
            }
            // the last entry that begins at the block or before it
            let (mut low, mut high) = (0, entries.len() / 12);
            while low < high {
                let middle = low.midpoint(high);
                if first(middle)? <= block {
                    low = middle.saturating_add(1);
                } else {
                    high = middle;
                }
            }
            if let Ok(next) = first(low) {
                hole_end = hole_end.min(next);
            }
            let hole = Run { start: None, blocks: wanted.min(hole_end.saturating_sub(block)).max(1) };
            let Some(found) = low.checked_sub(1) else { return Ok(hole) };
            let entry = Bytes::new(entries, raw.what, offset);
            let at = found.saturating_mul(12);
            if level > 0 {
                let (low, high) = (entry.le32(at.saturating_add(4))?, entry.le16(at.saturating_add(8))?);
                offset = self.address(u64::from(high) << 32 | u64::from(low));
                node = self.disk.metadata_vec(offset, index(self.block_size))?;
                continue;
            }
            let start_hi = entry.le16(at.saturating_add(6))?;
            let start_lo = entry.le32(at.saturating_add(8))?;
            let (written, length) = blocks_of(entry.le16(at.saturating_add(4))?);
            let within = block.saturating_sub(first(found)?);
            if within >= length {
                return Ok(hole);
            }
            let start = (u64::from(start_hi) << 32 | u64::from(start_lo)).saturating_add(within);
            // no further than where the next node begins
            let left = length.saturating_sub(within).min(hole_end.saturating_sub(block));
            let blocks = wanted.min(left).max(1);
            return Ok(Run { start: written.then_some(start), blocks });
        }
    }

    fn map_addresses(&self, inode: &Inode, block: u64, wanted: u64) -> Result<Run, Error> {
        let per_block = self.block_size / 4;
        let raw = inode.raw();
        let Some(mut rest) = block.checked_sub(DIRECT) else {
            let direct = raw.slice(0x28, 48)?;
            return run(Bytes::new(direct, "block map", inode.offset), block, wanted);
        };
        // how many levels, and how many blocks each address of the uppermost one leads to
        let mut reach: u64 = 1;
        for level in 0_usize..3 {
            let span = reach.saturating_mul(per_block);
            if rest < span {
                let mut address = raw.le32(level.saturating_mul(4).saturating_add(0x28 + 48))?;
                loop {
                    if address == 0 {
                        // nothing below; the rest of what this address would lead to
                        let span = reach.saturating_mul(per_block);
                        let blocks = wanted.min(span.saturating_sub(rest)).max(1);
                        return Ok(Run { start: None, blocks });
                    }
                    let offset = self.address(address.into());
                    let table = self.disk.metadata_vec(offset, index(self.block_size))?;
                    let table = Bytes::new(&table, "block map", offset);
                    let number = rest.checked_div(reach).unwrap_or(0);
                    if reach == 1 {
                        return run(table, number, wanted);
                    }
                    address = table.le32(index(number.saturating_mul(4)))?;
                    rest = rest.checked_rem(reach).unwrap_or(0);
                    reach = reach.checked_div(per_block).unwrap_or(1);
                }
            }
            rest = rest.saturating_sub(span);
            reach = span;
        }
        Err(raw.corrupt())
    }
}

/// Whether an extent is written, and how many blocks it has.
fn blocks_of(length: u16) -> (bool, u64) {
    let length = u32::from(length);
    let written = length <= WRITTEN;
    (written, u64::from(if written { length } else { length.saturating_sub(WRITTEN) }))
}

/// The run that begins at entry `number` of a table of addresses.
fn run(table: Bytes<'_>, number: u64, wanted: u64) -> Result<Run, Error> {
    let address = |n: u64| table.le32(index(n.saturating_mul(4))).map(u64::from);
    let start = address(number)?;
    let left = (u64_from(table.bytes.len()) / 4).saturating_sub(number);
    let mut blocks: u64 = 1;
    while blocks < wanted.min(left) {
        let expected = if start == 0 { 0 } else { start.saturating_add(blocks) };
        if address(number.saturating_add(blocks))? != expected {
            break;
        }
        blocks = blocks.saturating_add(1);
    }
    Ok(Run { start: (start != 0).then_some(start), blocks })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::Disk;
    use crate::probe::FsKind;

    /// A file system of blocks of 1 KiB with a root directory and nothing else.
    fn file_system(leaf: &[u8]) -> Ext4 {
        let mut bytes = vec![0; 16 << 10];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        for (field, value) in [(0x0, 16_u32), (0x14, 1), (0x20, 8192), (0x28, 16), (0x4c, 1), (0x60, 0x40)] {
            put(1024 + field, &value.to_le_bytes());
        }
        put(1024 + 0x38, &[0x53, 0xef]);
        put(1024 + 0x58, &128_u16.to_le_bytes());
        // the descriptor says that inodes are from block 5 on; the root is the second
        put(2048 + 8, &5_u32.to_le_bytes());
        put(5 * 1024 + 128, &0x41ed_u16.to_le_bytes());
        put(9 * 1024, leaf);
        Ext4::open(Disk::new(Arc::new(bytes)), FsKind::Ext4).unwrap()
    }

    /// A node with (first block, length or high half of the address, low half).
    fn node(level: u16, entries: &[(u32, u16, u32)]) -> Vec<u8> {
        let mut node = Vec::new();
        for field in [EXTENT_MAGIC, entries.len() as u16, 4, level, 0, 0] {
            node.extend_from_slice(&field.to_le_bytes());
        }
        for (first, length, start) in entries {
            node.extend_from_slice(&first.to_le_bytes());
            if level == 0 {
                node.extend_from_slice(&length.to_le_bytes());
                node.extend_from_slice(&[0; 2]);
                node.extend_from_slice(&start.to_le_bytes());
            } else {
                node.extend_from_slice(&start.to_le_bytes());
                node.extend_from_slice(&[0; 4]);
            }
        }
        node
    }

    fn inode(node: &[u8]) -> Inode {
        let mut bytes = vec![0; 128];
        bytes[0x28..0x28 + node.len()].copy_from_slice(node);
        Inode { offset: 0, bytes, mode: 0o100_644, size: 1 << 20, flags: FLAG_EXTENTS, extra_end: 0 }
    }

    #[test]
    fn extents_in_order_are_found() {
        let fs = file_system(&[]);
        let inode = inode(&node(0, &[(0, 3, 100), (3, 2, 50), (9, 32768 + 4, 70)]));
        let run = |block, wanted| fs.map(&inode, block, wanted).unwrap();
        assert_eq!(run(1, 9), Run { start: Some(101), blocks: 2 });
        assert_eq!(run(3, 1), Run { start: Some(50), blocks: 1 });
        assert_eq!(run(6, 9), Run { start: None, blocks: 3 });
        assert_eq!(run(10, 9), Run { start: None, blocks: 3 });
    }

    /// Found by fuzzing: a file read from its start had other bytes than one read from its middle.
    #[test]
    fn extents_that_overlap_or_are_out_of_order_are_corrupt() {
        let fs = file_system(&[]);
        for entries in [[(0, 4, 100), (3, 2, 50)], [(3, 2, 50), (0, 3, 100)], [(3, 2, 50), (3, 2, 60)]] {
            for block in 0..6 {
                let found = fs.map(&inode(&node(0, &entries)), block, 1);
                assert!(matches!(found, Err(Error::Corrupt { .. })), "{entries:?} {block} {found:?}");
            }
        }
    }

    #[test]
    fn an_extent_ends_where_the_next_node_begins() {
        let fs = file_system(&node(0, &[(0, 9, 100)]));
        let inode = inode(&node(1, &[(0, 0, 9), (4, 0, 10)]));
        assert_eq!(fs.map(&inode, 1, 9).unwrap(), Run { start: Some(101), blocks: 3 });
    }
}
