//! Where files lie.

use std::ops::ControlFlow;

use super::extent::{Place, Where};
use super::{Erofs, Error, IN_METABOX, Inode, Layout, SUPERBLOCK};
use crate::disk::u64_from;
use crate::extent::{ExtentKind, Teller};
use crate::{EachExtent, FileType, Node};

/// Size of the superblock, without the slots that may follow it, and of one of those.
const FIXED: u64 = 128;
const SLOT: u64 = 16;

impl Erofs {
    pub(super) fn file_extents(&self, node: Node, each: &mut EachExtent<'_>) -> Result<(), Error> {
        let mut to = Teller::new(each);
        let flow = self.tell_file(node, None, &mut to);
        to.finish(flow)
    }

    /// `all` is what everything of the file is called; else what it is.
    fn tell_file(&self, node: Node, all: Option<ExtentKind>, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        let as_kind = |kind| all.unwrap_or(kind);
        let Some(offset) = to.noted(self.inode_offset(node)) else { return ControlFlow::Continue(()) };
        let inode = match self.inode(node) {
            Ok(inode) => inode,
            Err(error) => {
                // 32 or 64 bytes
                self.tell_metadata(node, offset, 32, as_kind(ExtentKind::Inode), to)?;
                to.note(error);
                return ControlFlow::Continue(());
            }
        };
        let size = inode.xattrs.saturating_sub(offset);
        self.tell_metadata(node, offset, size, as_kind(ExtentKind::Inode), to)?;
        if inode.xattr_count != 0 {
            self.tell_xattrs(&inode, to)?;
        }
        let content = match FileType::from_mode(inode.mode) {
            Some(FileType::Directory) => ExtentKind::Directory,
            Some(FileType::Symlink) => ExtentKind::LinkTarget,
            Some(FileType::Regular) => ExtentKind::Content,
            _ => return ControlFlow::Continue(()),
        };
        self.tell_maps(&inode, as_kind(ExtentKind::BlockMap), to)?;
        self.tell_content(&inode, 0, inode.size, as_kind(content), to)
    }

    /// A piece of metadata: on the disk, or in the file that holds all of it.
    fn tell_metadata(
        &self,
        node: Node,
        offset: u64,
        len: u64,
        kind: ExtentKind,
        to: &mut Teller<'_, '_>,
    ) -> ControlFlow<()> {
        if node.0 & IN_METABOX == 0 {
            return to.tell(offset, len, kind);
        }
        match self.metabox.as_deref() {
            // its own inode is not in itself, so this ends here
            Some(metabox) => self.tell_content(metabox, offset, offset.saturating_add(len), kind, to),
            None => {
                to.note(Error::corrupt("node number", offset));
                ControlFlow::Continue(())
            }
        }
    }

    fn tell_xattrs(&self, inode: &Inode, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        let len = inode.tail.saturating_sub(inode.xattrs);
        self.tell_metadata(inode.node, inode.xattrs, len, ExtentKind::Xattrs, to)?;
        let Some(ids) = to.noted(self.shared_xattrs(inode)) else { return ControlFlow::Continue(()) };
        let space = self.shared_xattr_space();
        for at in ids {
            let size = self.metadata_array::<4>(space, at).map(|[name_len, _, low, high]| {
                let value_size = u64::from(u16::from_le_bytes([low, high]));
                value_size.saturating_add(name_len.into()).saturating_add(4)
            });
            let size = to.noted(size).unwrap_or(4);
            self.tell_metadata(space, at, size, ExtentKind::Xattrs, to)?;
        }
        ControlFlow::Continue(())
    }

    /// What leads from positions to places, where that is more than the inode.
    fn tell_maps(&self, inode: &Inode, kind: ExtentKind, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        let table = match inode.layout {
            Layout::Plain | Layout::Inline => return ControlFlow::Continue(()),
            Layout::Chunked => self.chunks(inode).map(|chunks| {
                let count = inode.size.div_ceil(chunks.size.max(1));
                (chunks.table, count.saturating_mul(chunks.unit))
            }),
            Layout::CompressedFull | Layout::CompressedCompact => self.index_place(inode),
        };
        match to.noted(table) {
            Some((offset, len)) => self.tell_metadata(inode.node, offset, len, kind, to),
            None => ControlFlow::Continue(()),
        }
    }

    /// Bytes `from` to `end` of a file.
    fn tell_content(
        &self,
        inode: &Inode,
        from: u64,
        end: u64,
        kind: ExtentKind,
        to: &mut Teller<'_, '_>,
    ) -> ControlFlow<()> {
        let end = end.min(inode.size);
        match inode.layout {
            Layout::Plain => self.tell_row(inode, from, end, kind, to),
            Layout::Inline => {
                // the last block, full or not, is the one behind the inode
                let tail = inode.size.saturating_sub(1) & !self.block_size().saturating_sub(1);
                self.tell_row(inode, from, end.min(tail), kind, to)?;
                let from = from.max(tail);
                let offset = inode.tail.saturating_add(from.saturating_sub(tail));
                self.tell_metadata(inode.node, offset, end.saturating_sub(from), kind, to)
            }
            Layout::Chunked => self.tell_chunks(inode, from, end, kind, to),
            Layout::CompressedFull | Layout::CompressedCompact => {
                self.tell_compressed(inode, from, end, kind, to)
            }
        }
    }

    fn tell_row(
        &self,
        inode: &Inode,
        from: u64,
        end: u64,
        kind: ExtentKind,
        to: &mut Teller<'_, '_>,
    ) -> ControlFlow<()> {
        let Some(start) = inode.start.and_then(|start| to.noted(self.address(start))) else {
            return ControlFlow::Continue(());
        };
        to.tell(start.saturating_add(from), end.saturating_sub(from), kind)
    }

    fn tell_chunks(
        &self,
        inode: &Inode,
        from: u64,
        end: u64,
        kind: ExtentKind,
        to: &mut Teller<'_, '_>,
    ) -> ControlFlow<()> {
        let Some(chunks) = to.noted(self.chunks(inode)) else { return ControlFlow::Continue(()) };
        let mut at = from;
        while at < end {
            let next = (at | chunks.size.saturating_sub(1)).saturating_add(1).min(end);
            match self.chunk(inode, &chunks, at) {
                Ok(Some(start)) => to.tell(start, next.saturating_sub(at), kind)?,
                Ok(None) => to.tell(0, 0, kind)?,
                Err(error) => match to.note(error) {
                    true => to.tell(0, 0, kind)?,
                    false => break,
                },
            }
            at = next;
        }
        ControlFlow::Continue(())
    }

    fn tell_compressed(
        &self,
        inode: &Inode,
        from: u64,
        end: u64,
        kind: ExtentKind,
        to: &mut Teller<'_, '_>,
    ) -> ControlFlow<()> {
        let mut at = from;
        while at < end {
            match self.place(inode, at) {
                Ok(Where { place, end, .. }) => {
                    at = end;
                    match place {
                        Place::Disk { offset, size } => to.tell(offset, size, kind)?,
                        Place::Hole => to.tell(0, 0, kind)?,
                        Place::Inline { offset, size } => {
                            self.tell_metadata(inode.node, offset, u64_from(size), kind, to)?;
                        }
                        Place::Fragment { offset, len } => {
                            let Some(packed) = to.noted(self.packed_for(inode)) else { break };
                            self.tell_content(&packed, offset, offset.saturating_add(len), kind, to)?;
                        }
                    }
                }
                Err(error) => {
                    if !to.note(error) {
                        break;
                    }
                    // behind the part of the index that cannot be read
                    at = at.saturating_add(self.cluster_size(inode));
                    to.tell(0, 0, kind)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    pub(super) fn own_extents(&self, each: &mut EachExtent<'_>) -> Result<(), Error> {
        let mut to = Teller::new(each);
        let flow = self.tell_own(&mut to);
        to.finish(flow)
    }

    fn tell_own(&self, to: &mut Teller<'_, '_>) -> ControlFlow<()> {
        let size = FIXED.saturating_add(u64::from(self.slots).saturating_mul(SLOT));
        to.tell(SUPERBLOCK, size, ExtentKind::Superblock)?;
        if let Some(metabox) = &self.metabox {
            self.tell_file(metabox.node, Some(ExtentKind::Metabox), to)?;
        }
        if let Ok(packed) = self.packed_inode() {
            self.tell_file(packed.node, Some(ExtentKind::PackedFile), to)?;
        }
        ControlFlow::Continue(())
    }
}
