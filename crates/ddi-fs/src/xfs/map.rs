//! From a position in a fork to blocks of the disk.

use std::sync::{Arc, PoisonError};

use super::{Error, FLAG_REALTIME, Fork, Inode, Xfs, be16, be64, block_of};
use crate::disk::{Bytes, index, rem, u64_from};

const EXTENTS: u8 = 2;
const BTREE: u8 = 3;
/// Levels of an extent tree, as in Linux.
const MAX_DEPTH: u16 = 9;
/// Extents of one file: 32 MiB of memory, and as much again while they become shared.
const MAX_EXTENTS: usize = 1 << 20;

/// Reads from an offset of the disk.
type ReadPart<'a> = dyn FnMut(u64, &mut [u8]) -> Result<(), Error> + 'a;

/// Blocks of a fork that lie in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// In the fork, in blocks.
    pub(super) start: u64,
    pub(super) blocks: u64,
    /// On the disk, with the group in the upper bits.
    pub(super) block: u64,
    /// Allocated, but reads as zeros.
    unwritten: bool,
}

impl Extent {
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.blocks)
    }

    /// The last block, on the disk.
    pub(super) fn last(&self) -> u64 {
        self.block.saturating_add(self.blocks).saturating_sub(1)
    }
}

impl Xfs {
    /// The extents of a file's content.
    pub(super) fn data_extents(&self, inode: &Inode) -> Result<Arc<[Extent]>, Error> {
        if be16(inode.raw(), 90)? & FLAG_REALTIME != 0 {
            return Err(Error::Unsupported { what: "file on a realtime device" });
        }
        let mut cache = self.extents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, extents)) = &*cache
            && *number == inode.number
        {
            return Ok(Arc::clone(extents));
        }
        let extents: Arc<[Extent]> = self.fork_extents(&inode.data()?)?.into();
        *cache = Some((inode.number, Arc::clone(&extents)));
        Ok(extents)
    }

    pub(super) fn fork_extents(&self, fork: &Fork<'_>) -> Result<Vec<Extent>, Error> {
        let mut extents = Vec::new();
        match fork.format {
            EXTENTS => {
                let count = index(fork.extents);
                self.push(fork.bytes, 0, count, &mut extents)?;
            }
            BTREE => {
                let (level, records) = (be16(fork.bytes, 0)?, usize::from(be16(fork.bytes, 2)?));
                if level == 0 || level > MAX_DEPTH {
                    return Err(fork.bytes.corrupt());
                }
                // room for keys, then room for as many pointers
                let pointers =
                    (fork.bytes.bytes.len().saturating_sub(4) / 16).saturating_mul(8).saturating_add(4);
                for i in 0..records {
                    let block = be64(fork.bytes, i.saturating_mul(8).saturating_add(pointers))?;
                    self.descend(block, level.saturating_sub(1), &mut extents)?;
                }
            }
            _ => return Err(Error::Unsupported { what: "fork format" }),
        }
        Ok(extents)
    }

    /// The levels bound the depth, and extents that grow bound the rest: no block is of use twice.
    fn descend(&self, block: u64, level: u16, extents: &mut Vec<Extent>) -> Result<(), Error> {
        let offset = self.address(block)?;
        let bytes = self.disk.metadata_vec(offset, index(self.block_size))?;
        let raw = Bytes::new(&bytes, "extent tree", offset);
        let header = match raw.slice(0, 4)? {
            b"BMAP" => 24,
            b"BMA3" => 72,
            _ => return Err(raw.corrupt()),
        };
        let records = usize::from(be16(raw, 6)?);
        // an empty block is no use, and many of them would be a way to go round for long
        if be16(raw, 4)? != level || records == 0 {
            return Err(raw.corrupt());
        }
        if level == 0 {
            return self.push(raw, header, records, extents);
        }
        let pointers = (bytes.len().saturating_sub(header) / 16).saturating_mul(8).saturating_add(header);
        for i in 0..records {
            let block = be64(raw, i.saturating_mul(8).saturating_add(pointers))?;
            self.descend(block, level.saturating_sub(1), extents)?;
        }
        Ok(())
    }

    fn push(&self, raw: Bytes<'_>, at: usize, count: usize, extents: &mut Vec<Extent>) -> Result<(), Error> {
        for record in raw.slice(at, count.saturating_mul(16))?.chunks_exact(16) {
            let record = Bytes::new(record, "extent", raw.offset);
            let (high, low) = (be64(record, 0)?, be64(record, 8)?);
            let extent = Extent {
                start: (high >> 9) & ((1 << 54) - 1),
                blocks: low & ((1 << 21) - 1),
                block: (high & 0x1ff) << 43 | low >> 21,
                unwritten: high >> 63 != 0,
            };
            let before = extents.last().map_or(0, Extent::end);
            if extent.blocks == 0 || extent.start < before || extents.len() >= MAX_EXTENTS {
                return Err(raw.corrupt());
            }
            extents.push(extent);
        }
        Ok(())
    }

    /// Content: holes are zeros.
    pub(super) fn read_extents(&self, extents: &[Extent], offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.for_each_part(extents, offset, buf, &mut |at, target| self.disk.data(at, target))
    }

    /// The same for metadata.
    pub(super) fn read_extents_cached(
        &self,
        extents: &[Extent],
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        self.for_each_part(extents, offset, buf, &mut |at, target| self.disk.metadata(at, target))
    }

    fn for_each_part(
        &self,
        extents: &[Extent],
        offset: u64,
        buf: &mut [u8],
        read: &mut ReadPart<'_>,
    ) -> Result<(), Error> {
        let mut done: usize = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64_from(done));
            let block = block_of(at, self.block_size);
            let next = extents.partition_point(|extent| extent.end() <= block);
            let bytes = |blocks: u64| {
                index(blocks.saturating_mul(self.block_size).saturating_sub(rem(at, self.block_size)))
            };
            let n = match extents.get(next) {
                Some(extent) if extent.start <= block => {
                    let n = bytes(extent.end().saturating_sub(block)).min(rest.len());
                    let target = rest.get_mut(..n).unwrap_or_default();
                    if extent.unwritten {
                        target.fill(0);
                    } else {
                        // an extent is inside one group
                        let start = self.address(extent.block)?;
                        self.address(extent.last())?;
                        let within = at.saturating_sub(extent.start.saturating_mul(self.block_size));
                        read(start.saturating_add(within), target)?;
                    }
                    n
                }
                hole => {
                    let n = hole.map_or(rest.len(), |extent| bytes(extent.start.saturating_sub(block)));
                    let n = n.min(rest.len());
                    rest.get_mut(..n).unwrap_or_default().fill(0);
                    n
                }
            };
            if n == 0 {
                return Err(Error::corrupt("extent", at));
            }
            done = done.saturating_add(n);
        }
        Ok(())
    }
}
