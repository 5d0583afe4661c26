//! From a block of a file to a block of the disk.

use super::{Error, Ext4, FLAG_EXTENTS, Inode};
use crate::files::disk::{Bytes, index, u64_from};

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
            let length = u32::from(entry.le16(at.saturating_add(4))?);
            let written = length <= WRITTEN;
            let length = u64::from(if written { length } else { length.saturating_sub(WRITTEN) });
            let within = block.saturating_sub(first(found)?);
            if within >= length {
                return Ok(hole);
            }
            let start = (u64::from(start_hi) << 32 | u64::from(start_lo)).saturating_add(within);
            let blocks = wanted.min(length.saturating_sub(within)).max(1);
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
