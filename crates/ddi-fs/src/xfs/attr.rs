//! Extended attributes: in the inode, in one block, or in a tree of blocks.

use super::{Error, Extent, Fork, Inode, LOCAL, Xfs, be16, be32};
use crate::disk::{Bytes, index, index32, u64_from};
use crate::{MAX_XATTRS, XATTR, Xattr};

const FLAG_LOCAL: u8 = 0x01;
const FLAG_ROOT: u8 = 0x02;
const FLAG_SECURE: u8 = 0x04;
/// Parent pointers, and what was being written: neither is shown.
const FLAG_HIDDEN: u8 = 0x08 | 0x80;
/// Blocks of attributes of one file.
const MAX_BLOCKS: usize = 4096;

/// Attributes as they are found, up to a sum of sizes.
#[derive(Default)]
struct Found {
    xattrs: Vec<Xattr>,
    total: usize,
}

impl Found {
    fn check(&mut self, size: usize) -> Result<(), Error> {
        self.total = self.total.saturating_add(size);
        if self.total > MAX_XATTRS {
            return Err(Error::TooLarge { size: u64_from(self.total), limit: u64_from(MAX_XATTRS) });
        }
        Ok(())
    }

    fn push(&mut self, flags: u8, name: &[u8], value: Vec<u8>) -> Result<(), Error> {
        if flags & FLAG_HIDDEN != 0 {
            return Ok(());
        }
        self.check(name.len().saturating_add(XATTR))?;
        let prefix = match flags & (FLAG_ROOT | FLAG_SECURE) {
            0 => &b"user."[..],
            FLAG_ROOT => b"trusted.",
            _ => b"security.",
        };
        self.xattrs.push(Xattr { name: [prefix, name].concat(), value });
        Ok(())
    }
}

impl Xfs {
    pub(super) fn all_xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>, Error> {
        let Some(fork) = inode.attributes()? else { return Ok(Vec::new()) };
        let mut found = Found::default();
        if fork.format == LOCAL {
            short(fork.bytes, &mut found)?;
        } else if fork.extents != 0 {
            self.blocks(inode, &fork, &mut found)?;
        }
        Ok(found.xattrs)
    }

    fn block(&self, extents: &[Extent], number: u32) -> Result<Vec<u8>, Error> {
        let mut block = vec![0; index(self.block_size)];
        self.read_extents_cached(extents, u64::from(number).saturating_mul(self.block_size), &mut block)?;
        Ok(block)
    }

    /// Down to the first leaf, then from leaf to leaf.
    fn blocks(&self, inode: &Inode, fork: &Fork<'_>, found: &mut Found) -> Result<(), Error> {
        let extents = self.fork_extents(fork)?;
        let mut number = 0;
        for _ in 0..MAX_BLOCKS {
            let block = self.block(&extents, number)?;
            let raw = Bytes::new(&block, "attribute block", fork.bytes.offset);
            match be16(raw, 8)? {
                0xfebe => number = be32(raw, 20)?,
                0x3ebe => number = be32(raw, 68)?,
                magic @ (0xfbee | 0x3bee) => {
                    let head = if magic == 0xfbee { (12, 32) } else { (56, 80) };
                    self.leaf(raw, head, inode, &extents, found)?;
                    number = be32(raw, 0)?;
                    if number == 0 {
                        return Ok(());
                    }
                }
                _ => return Err(raw.corrupt()),
            }
        }
        Err(fork.bytes.corrupt())
    }

    /// `head`: where the number of entries is, and where they begin.
    fn leaf(
        &self,
        raw: Bytes<'_>,
        head: (usize, usize),
        inode: &Inode,
        extents: &[Extent],
        found: &mut Found,
    ) -> Result<(), Error> {
        for i in 0..usize::from(be16(raw, head.0)?) {
            let entry = i.saturating_mul(8).saturating_add(head.1);
            let at = usize::from(be16(raw, entry.saturating_add(4))?);
            let flags = raw.u8(entry.saturating_add(6))?;
            if flags & FLAG_LOCAL != 0 {
                let value_len = usize::from(be16(raw, at)?);
                let name_len = usize::from(raw.u8(at.saturating_add(2))?);
                let name = raw.slice(at.saturating_add(3), name_len)?;
                let value = raw.slice(at.saturating_add(3).saturating_add(name_len), value_len)?;
                found.check(value_len)?;
                found.push(flags, name, value.to_vec())?;
            } else if flags & FLAG_HIDDEN == 0 {
                let (block, len) = (be32(raw, at)?, index32(be32(raw, at.saturating_add(4))?));
                let name_len = usize::from(raw.u8(at.saturating_add(8))?);
                let name = raw.slice(at.saturating_add(9), name_len)?;
                found.check(len)?;
                let value = self.remote(inode, extents, block, len)?;
                found.push(flags, name, value)?;
            }
        }
        Ok(())
    }

    /// A value in blocks of its own. The caller has bounded `len`.
    fn remote(&self, inode: &Inode, extents: &[Extent], first: u32, len: usize) -> Result<Vec<u8>, Error> {
        let head = self.remote_header();
        let room = index(self.block_size.saturating_sub(head)).max(1);
        let mut value = Vec::new();
        let mut block = vec![0; index(self.block_size)];
        let mut at = u64::from(first).saturating_mul(self.block_size);
        while value.len() < len {
            let n = len.saturating_sub(value.len()).min(room);
            self.read_extents_cached(extents, at, &mut block)?;
            let raw = Bytes::new(&block, "attribute value", inode.offset);
            self.check_remote(raw, b"XARM", inode, value.len(), n)?;
            value.extend_from_slice(raw.slice(index(head), n)?);
            at = at.saturating_add(self.block_size);
        }
        Ok(value)
    }
}

fn short(bytes: Bytes<'_>, found: &mut Found) -> Result<(), Error> {
    let count = bytes.u8(2)?;
    let mut at: usize = 4;
    for _ in 0..count {
        let name_len = usize::from(bytes.u8(at)?);
        let value_len = usize::from(bytes.u8(at.saturating_add(1))?);
        let flags = bytes.u8(at.saturating_add(2))?;
        let name = bytes.slice(at.saturating_add(3), name_len)?;
        let value = bytes.slice(at.saturating_add(3).saturating_add(name_len), value_len)?;
        found.push(flags, name, value.to_vec())?;
        at = at.saturating_add(3).saturating_add(name_len).saturating_add(value_len);
    }
    Ok(())
}
