//! Where files lie.

use std::ops::ControlFlow;

use super::map::{EXTENT_MAGIC, MAX_DEPTH, WRITTEN};
use super::xattr::{FLAG_EA_INODE, MAGIC as XATTR_MAGIC};
use super::{
    COMPAT_ORPHAN_FILE, Error, Ext4, FLAG_EXTENTS, FLAG_INLINE_DATA, FileType, I_BLOCK, INCOMPAT_META_BG,
    Inode, ROOT, SUPERBLOCK,
};
use crate::disk::{Bytes, div, index, u64_from};
use crate::extent::{ExtentKind, Teller};
use crate::{EachExtent, Node};

const JOURNAL: u64 = 8;
/// The first inode that is not reserved, in the first revision; a superblock of the second may name a higher one.
const FIRST_INODE: u64 = 11;

impl Ext4 {
    pub(super) fn file_extents(&self, node: Node, each: &mut EachExtent<'_>) -> Result<(), Error> {
        let mut to = Teller::new(each);
        let flow = self.tell_file(node.0, None, &mut to);
        to.finish(flow)
    }

    /// `all` is what everything of the file is called; else what it is.
    fn tell_file(&self, number: u64, all: Option<ExtentKind>, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        let Some(offset) = to.noted(self.inode_offset(number)) else { return ControlFlow::Continue(()) };
        let as_kind = |kind| all.unwrap_or(kind);
        to.tell(offset, self.inode_size.into(), as_kind(ExtentKind::Inode))?;
        let Some(inode) = to.noted(self.inode(number)) else { return ControlFlow::Continue(()) };
        if all.is_none() {
            self.tell_xattrs(&inode, to)?;
        }
        let content = match FileType::from_mode(inode.mode) {
            Some(FileType::Directory) => ExtentKind::Directory,
            Some(FileType::Symlink) => ExtentKind::LinkTarget,
            Some(FileType::Regular) => ExtentKind::Content,
            // the reserved inode for growing has no type
            None if all.is_some() => ExtentKind::Content,
            _ => return ControlFlow::Continue(()),
        };
        let fast = content == ExtentKind::LinkTarget && inode.size < u64_from(I_BLOCK);
        if inode.has(FLAG_INLINE_DATA) || fast && !inode.has(FLAG_EXTENTS) {
            return ControlFlow::Continue(());
        }
        self.tell_blocks(&inode, as_kind(content), as_kind(ExtentKind::BlockMap), to)
    }

    fn tell_blocks(
        &self,
        inode: &Inode,
        content: ExtentKind,
        map: ExtentKind,
        to: &mut Teller<'_, '_>,
    ) -> ControlFlow<()> {
        let Some(block) = to.noted(inode.block()) else { return ControlFlow::Continue(()) };
        // no good map has more blocks than the disk
        let mut tell = Blocks { fs: self, content, map, left: div(self.disk.size(), self.block_size), to };
        if inode.has(FLAG_EXTENTS) {
            return tell.tree(block, inode.offset, None);
        }
        let addresses = Bytes::new(block, "block map", inode.offset);
        for number in 0..15_usize {
            let Some(address) = tell.to.noted(addresses.le32(number.saturating_mul(4))) else { break };
            let level = u32::try_from(number.saturating_sub(11)).unwrap_or(0);
            tell.address(address, level)?;
        }
        ControlFlow::Continue(())
    }

    fn tell_xattrs(&self, inode: &Inode, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        let inside = inode.bytes.get(inode.extra_end..).filter(|_| inode.extra_end != 0).unwrap_or_default();
        let inside = Bytes::new(inside, "xattrs in the inode", inode.offset);
        if inside.le32(0).is_ok_and(|magic| magic == XATTR_MAGIC) {
            self.tell_values(inside, 4, to)?;
        }
        let Some(block) = to.noted(inode.xattr_block()) else { return ControlFlow::Continue(()) };
        if block == 0 {
            return ControlFlow::Continue(());
        }
        let offset = self.address(block);
        to.tell(offset, self.block_size, ExtentKind::Xattrs)?;
        let bytes = to.noted(self.disk.metadata_vec(offset, index(self.block_size)));
        let bytes = bytes.unwrap_or_default();
        self.tell_values(Bytes::new(&bytes, "xattr block", offset), 32, to)
    }

    /// Values that have inodes of their own.
    fn tell_values(&self, bytes: Bytes<'_>, mut at: usize, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        while bytes.le32(at).is_ok_and(|start| start != 0) {
            let entry = (|| Ok((bytes.u8(at)?, bytes.le32(at.saturating_add(4))?)))();
            let Some((name_len, value_inum)) = to.noted(entry) else { break };
            if value_inum != 0 {
                let is_value = self.inode(value_inum.into()).map(|inode| inode.has(FLAG_EA_INODE));
                match to.noted(is_value) {
                    Some(false) => {
                        to.note(bytes.corrupt());
                    }
                    _ => self.tell_file(value_inum.into(), Some(ExtentKind::Xattrs), to)?,
                }
            }
            at = at.saturating_add(16).saturating_add(name_len.into()).saturating_add(3) & !3;
        }
        ControlFlow::Continue(())
    }

    pub(super) fn own_extents(&self, each: &mut EachExtent<'_>) -> Result<(), Error> {
        let mut to = Teller::new(each);
        let mut flow = self.tell_groups(&mut to);
        if flow.is_continue() {
            flow = self.tell_reserved(&mut to);
        }
        to.finish(flow)
    }

    /// What stands at the start of block groups, or is pointed to from there.
    fn tell_groups(&self, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        to.tell(SUPERBLOCK, 1024, ExtentKind::Superblock)?;
        let groups = self.inodes.div_ceil(self.inodes_per_group);
        let per_block = div(self.block_size, self.descriptor_size.into());
        // with META_BG the later ones are spread over the disk, each told with the group that it is in
        let spread = self.has_meta_bg();
        let rows = u64::from(groups).div_ceil(per_block.max(1));
        let rows = if spread { rows.min(self.first_meta_bg.into()) } else { rows };
        let rows = rows.saturating_add(self.reserved_descriptor_blocks.into());
        let table_size = u64::from(self.inodes_per_group).saturating_mul(self.inode_size.into());
        for group in 0..groups {
            if self.has_superblock(group) {
                let start = u64::from(group).saturating_mul(self.blocks_per_group.into());
                let start = start.saturating_add(self.first_data_block.into());
                // the first one was told, and with blocks of 1024 bytes has one before it
                let start = if group == 0 { div(SUPERBLOCK, self.block_size) } else { start };
                if group != 0 {
                    to.tell(self.address(start), 1024, ExtentKind::Superblock)?;
                }
                let behind = self.address(start.saturating_add(1));
                to.tell(behind, rows.saturating_mul(self.block_size), ExtentKind::GroupDescriptors)?;
            }
            let descriptor = match self.descriptor(group) {
                Ok(descriptor) => descriptor,
                Err(error) => match to.note(error) {
                    true => continue,
                    false => break,
                },
            };
            let descriptor = Bytes::new(&descriptor, "group descriptor", SUPERBLOCK);
            let address = |low: usize| -> Result<u64, Error> {
                let wide = self.descriptor_size >= 64;
                let high = if wide { descriptor.le32(low.saturating_add(0x20))? } else { 0 };
                Ok(self.address(u64::from(high) << 32 | u64::from(descriptor.le32(low)?)))
            };
            if spread
                && group.checked_rem(u32::try_from(per_block).unwrap_or(u32::MAX)) == Some(0)
                && let Ok(offset) = self.descriptor_offset(group)
            {
                to.tell(offset, self.block_size, ExtentKind::GroupDescriptors)?;
            }
            for (low, size, kind) in [
                (0x0, self.block_size, ExtentKind::BlockBitmap),
                (0x4, self.block_size, ExtentKind::InodeBitmap),
                (0x8, table_size, ExtentKind::InodeTable),
            ] {
                if let Some(offset) = to.noted(address(low)) {
                    to.tell(offset, size, kind)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Inodes that no directory names: the journal, quotas, room to grow, orphans.
    fn tell_reserved(&self, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        let orphans = (self.feature_compat & COMPAT_ORPHAN_FILE != 0).then_some(self.orphan_file_inum.into());
        for number in (1..FIRST_INODE).filter(|number| *number != ROOT).chain(orphans) {
            if number > self.inodes.into() {
                break;
            }
            let kind = if number == JOURNAL { ExtentKind::Journal } else { ExtentKind::SystemFile };
            let Ok(inode) = self.inode(number) else { continue };
            if inode.block().is_ok_and(|block| block.iter().all(|byte| *byte == 0)) {
                continue;
            }
            self.tell_file(number, Some(kind), to)?;
        }
        ControlFlow::Continue(())
    }

    fn has_meta_bg(&self) -> bool {
        self.feature_incompat & INCOMPAT_META_BG != 0
    }
}

/// What a block map leads to.
struct Blocks<'f, 't, 'a, 'b> {
    fs: &'f Ext4,
    content: ExtentKind,
    map: ExtentKind,
    /// Blocks of the map that may still come.
    left: u64,
    to: &'t mut Teller<'a, 'b>,
}

impl Blocks<'_, '_, '_, '_> {
    /// Tells a block of the map, and reads it.
    fn read(&mut self, offset: u64) -> ControlFlow<(), Option<Vec<u8>>> {
        let Some(left) = self.left.checked_sub(1) else {
            self.to.note(Error::corrupt("block map", offset));
            return ControlFlow::Continue(None);
        };
        self.left = left;
        self.to.tell(offset, self.fs.block_size, self.map)?;
        let bytes = self.fs.disk.metadata_vec(offset, index(self.fs.block_size));
        ControlFlow::Continue(self.to.noted(bytes))
    }

    /// A node of an extent tree; `above` is the level of the one that led here.
    fn tree(&mut self, node: &[u8], offset: u64, above: Option<u16>) -> ControlFlow<()> {
        let raw = Bytes::new(node, "extent tree", offset);
        let header = || -> Result<(u16, &[u8]), Error> {
            let (magic, entries, level) = (raw.le16(0)?, usize::from(raw.le16(2)?), raw.le16(6)?);
            let fits = above.map_or(level <= MAX_DEPTH, |above| above.checked_sub(1) == Some(level));
            if magic != EXTENT_MAGIC || !fits {
                return Err(raw.corrupt());
            }
            Ok((level, raw.slice(12, entries.saturating_mul(12))?))
        };
        let Some((level, entries)) = self.to.noted(header()) else { return ControlFlow::Continue(()) };
        for entry in entries.as_chunks::<12>().0 {
            let [_, _, _, _, a, b, c, d, e, f, g, h] = *entry;
            if level > 0 {
                let low = u32::from_le_bytes([a, b, c, d]);
                let child = u64::from(u16::from_le_bytes([e, f])) << 32 | u64::from(low);
                let child = self.fs.address(child);
                if let Some(bytes) = self.read(child)? {
                    self.tree(&bytes, child, Some(level))?;
                }
                continue;
            }
            let length = u32::from(u16::from_le_bytes([a, b]));
            // what is not written yet holds nothing
            if length <= WRITTEN {
                let high = u64::from(u16::from_le_bytes([c, d])) << 32;
                let start = self.fs.address(high | u64::from(u32::from_le_bytes([e, f, g, h])));
                self.to.tell(start, u64::from(length).saturating_mul(self.fs.block_size), self.content)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// An address of a block map, with that many tables below it.
    fn address(&mut self, address: u32, level: u32) -> ControlFlow<()> {
        if address == 0 {
            return ControlFlow::Continue(());
        }
        let offset = self.fs.address(address.into());
        let Some(below) = level.checked_sub(1) else {
            return self.to.tell(offset, self.fs.block_size, self.content);
        };
        let table = self.read(offset)?.unwrap_or_default();
        for address in table.as_chunks().0 {
            self.address(u32::from_le_bytes(*address), below)?;
        }
        ControlFlow::Continue(())
    }
}
