//! Where files lie.

use std::ops::ControlFlow;

use super::{
    Content, Cursor, DATA_PLAIN, Error, Inode, MAX_BLOCKS, METADATA, METADATA_PLAIN, NO_FRAGMENT, NO_TABLE,
    NO_XATTR, Squashfs, XATTR_OUT_OF_LINE,
};
use crate::disk::{Bytes, div, index, rem, u64_from};
use crate::extent::{ExtentKind, Teller};
use crate::{EachExtent, MAX_XATTRS, Node, XATTR};

const COMPRESSOR_OPTIONS: u16 = 0x400;

impl Squashfs {
    pub(super) fn file_extents(&self, node: Node, each: &mut EachExtent<'_>) -> Result<(), Error> {
        let mut to = Teller::new(each);
        let flow = self.tell_file(node, &mut to);
        to.finish(flow)
    }

    fn tell_file(&self, node: Node, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        let start = self.inode_table.saturating_add(node.0 >> 16);
        self.tell_metadata(start, 0, 1, ExtentKind::Inode, to)?;
        let Some(inode) = to.noted(self.inode(node)) else { return ControlFlow::Continue(()) };
        if inode.end.0 != start && inode.end.1 > 0 {
            self.tell_metadata(inode.end.0, 0, 1, ExtentKind::Inode, to)?;
        }
        match inode.content {
            Content::File { .. } => self.tell_content(&inode, to)?,
            // the size counts `.` and `..`, which are not there
            Content::Directory { block, offset } if inode.size > 3 => {
                let start = self.directory_table.saturating_add(block.into());
                let len = inode.size.saturating_sub(3);
                self.tell_metadata(start, offset.into(), len, ExtentKind::Directory, to)?;
            }
            _ => {}
        }
        self.tell_xattrs(inode.xattr, to)
    }

    /// On the disk, header included.
    fn stored(&self, block: u64) -> Result<u64, Error> {
        let header = u16::from_le_bytes(self.disk.metadata_array(block)?);
        match usize::from(header & !METADATA_PLAIN) {
            len @ 1..=METADATA => Ok(u64_from(len).saturating_add(2)),
            _ => Err(Error::corrupt("metadata block", block)),
        }
    }

    /// The metadata blocks that hold `len` bytes from `offset` in the one at `block` on, as far as their headers lead.
    fn tell_metadata(
        &self,
        mut block: u64,
        offset: u64,
        len: u64,
        kind: ExtentKind,
        to: &mut Teller<'_, '_>,
    ) -> ControlFlow<()> {
        let size = u64_from(METADATA);
        let first = div(offset, size);
        for number in 0..offset.saturating_add(len).div_ceil(size) {
            let stored = match self.stored(block) {
                Ok(stored) => stored,
                Err(error) => {
                    to.tell(block, 2, kind)?;
                    to.note(error);
                    break;
                }
            };
            if number >= first {
                to.tell(block, stored, kind)?;
            }
            block = block.saturating_add(stored);
        }
        ControlFlow::Continue(())
    }

    /// Data blocks, the list of their sizes, and the fragment.
    fn tell_content(&self, inode: &Inode, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        let Content::File { start, fragment, sizes, .. } = inode.content else {
            return ControlFlow::Continue(());
        };
        let block_size = u64::from(self.block_size);
        let mut left = div(inode.size, block_size);
        if fragment == NO_FRAGMENT {
            left = left.saturating_add((rem(inode.size, block_size) != 0).into());
        } else if rem(inode.size, block_size) != 0
            && let Some((offset, size)) = to.noted(self.fragment_entry(fragment))
        {
            to.tell(offset, (size & !DATA_PLAIN).into(), ExtentKind::Content)?;
        }
        if left > MAX_BLOCKS {
            to.note(Error::Unsupported { what: "file of so many blocks" });
            return ControlFlow::Continue(());
        }
        let mut at = Cursor { fs: self, block: sizes.0, offset: sizes.1 };
        // in the block of the inode, which is told already, or behind it
        let mut told = sizes.0;
        let mut offset = start;
        let mut scratch = [0; 1024];
        while left > 0 {
            let n = left.min(256);
            let bytes = scratch.get_mut(..index(n.saturating_mul(4))).unwrap_or_default();
            // up to two metadata blocks
            let from = (at.block, at.offset);
            let read = at.read(bytes);
            for block in [from.0, at.block] {
                if block > told {
                    told = block;
                    self.tell_metadata(block, 0, 1, ExtentKind::BlockMap, to)?;
                }
            }
            if to.noted(read).is_none() {
                break;
            }
            for size in bytes.as_chunks().0 {
                let size = u64::from(u32::from_le_bytes(*size) & !DATA_PLAIN);
                to.tell(offset, size, ExtentKind::Content)?;
                offset = offset.saturating_add(size);
            }
            left = left.saturating_sub(n);
        }
        ControlFlow::Continue(())
    }

    fn tell_xattrs(&self, number: u32, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        if number == NO_XATTR || self.xattr_table == NO_TABLE {
            return ControlFlow::Continue(());
        }
        let Some(list) = to.noted(self.xattr_list(number)) else { return ControlFlow::Continue(()) };
        let mut at = list.at(list.reference);
        self.tell_metadata(at.block, u64_from(at.offset), list.size.into(), ExtentKind::Xattrs, to)?;
        // values that are elsewhere
        let mut total: usize = 0;
        for _ in 0..list.count {
            let mut next = || -> Result<Option<u64>, Error> {
                let key = at.array::<4>()?;
                let key = Bytes::new(&key, "xattr key", list.start);
                let (kind, len) = (key.le16(0)?, usize::from(key.le16(2)?));
                at.skip(u64_from(len))?;
                let size = at.le32()?;
                total = total.saturating_add(len).saturating_add(XATTR);
                if kind & XATTR_OUT_OF_LINE != 0 {
                    return Ok(Some(u64::from_le_bytes(at.array()?)));
                }
                total = total.saturating_add(index(size.into()));
                if total <= MAX_XATTRS {
                    at.skip(size.into())?;
                }
                Ok(None)
            };
            match to.noted(next()) {
                Some(None) => {}
                Some(Some(reference)) => {
                    let mut value = list.at(reference);
                    let (block, offset) = (value.block, u64_from(value.offset));
                    let len = to.noted(value.le32()).map_or(4, |len| u64::from(len).saturating_add(4));
                    self.tell_metadata(block, offset, len.min(1 << 17), ExtentKind::Xattrs, to)?;
                }
                None => break,
            }
            if total > MAX_XATTRS {
                to.note(Error::TooLarge { size: u64_from(total), limit: u64_from(MAX_XATTRS) });
                break;
            }
        }
        ControlFlow::Continue(())
    }

    pub(super) fn own_extents(&self, each: &mut EachExtent<'_>) -> Result<(), Error> {
        let mut to = Teller::new(each);
        let flow = self.tell_tables(&mut to);
        to.finish(flow)
    }

    fn tell_tables(&self, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        to.tell(0, 96, ExtentKind::Superblock)?;
        if self.flags & COMPRESSOR_OPTIONS != 0 {
            self.tell_metadata(96, 0, 1, ExtentKind::Superblock, to)?;
        }
        // each begins where its first metadata block is; the list of them is at the end
        let mut tables = Vec::new();
        for (table, entries, entry_size, kind) in [
            (self.fragment_table, self.fragments, 16, ExtentKind::FragmentTable),
            (self.export_table, self.inodes, 8, ExtentKind::ExportTable),
            (self.id_table, self.ids.into(), 4, ExtentKind::IdTable),
        ] {
            let blocks = u64::from(entries).saturating_mul(entry_size).div_ceil(u64_from(METADATA));
            if table == NO_TABLE || blocks == 0 {
                continue;
            }
            let first = to.noted(self.disk.metadata_array(table).map(u64::from_le_bytes)).unwrap_or(table);
            tables.push((first.min(table), table.saturating_add(blocks.saturating_mul(8)), kind));
        }
        if self.xattr_table != NO_TABLE {
            let first = to.noted(self.disk.metadata_array(self.xattr_table).map(u64::from_le_bytes));
            let first = first.unwrap_or(self.xattr_table).min(self.xattr_table);
            tables.push((first, self.bytes_used, ExtentKind::XattrTable));
        }
        let end = tables.iter().map(|(start, ..)| *start).filter(|start| *start > self.directory_table).min();
        tables.push((self.inode_table, self.directory_table, ExtentKind::InodeTable));
        tables.push((self.directory_table, end.unwrap_or(self.bytes_used), ExtentKind::DirectoryTable));
        for (start, end, kind) in tables {
            to.tell(start, end.saturating_sub(start), kind)?;
        }
        ControlFlow::Continue(())
    }
}
