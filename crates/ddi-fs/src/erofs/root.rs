//! Checks that the root directory is that of an erofs, and of nothing else.

use super::super::disk::{Bytes, index, u64_from};
use super::{Erofs, Error, FileType, IN_METABOX, Layout, Node};

/// In the format of a directory: it has no entry for itself.
const DOT_OMITTED: u16 = 1 << 4;
/// Blocks of it that are looked through. In a directory of names, that of itself comes among the first.
const MAX_BLOCKS: u64 = 256;

impl Erofs {
    /// Looks for the entries by which the root directory leads to itself, each with a node number of 64 bits. All entries
    /// before them must lead to where an inode can be.
    pub(crate) fn check_root(&self) -> Result<(), Error> {
        let node = Node(self.root);
        let inode = self.inode(node)?;
        if inode.file_type()? != FileType::Directory {
            return Err(Error::corrupt("root inode", inode.offset));
        }
        // so few bytes of a compressed directory say so much that hash blocks could be made to
        if matches!(inode.layout, Layout::CompressedFull | Layout::CompressedCompact) {
            return Err(Error::Unsupported { what: "a proof by a compressed root directory" });
        }
        let format = u16::from_le_bytes(self.metadata_array(node, inode.offset)?);
        let mut is_missing = [format & DOT_OMITTED == 0, true];
        let mut block = vec![0; index(self.block_size().min(inode.size))];
        let end = inode.size.min(MAX_BLOCKS.saturating_mul(self.block_size()));
        let mut at = 0;
        while at < end && is_missing.contains(&true) {
            let n = self.read(&inode, at, &mut block)?;
            at = at.saturating_add(u64_from(n));
            let bytes = Bytes::new(block.get(..n).unwrap_or_default(), "root directory", inode.offset);
            let first = usize::from(bytes.le16(8)?);
            if first < 12 || first >= n || !first.is_multiple_of(12) {
                return Err(bytes.corrupt());
            }
            for entry in (0..first).step_by(12) {
                let next = entry.saturating_add(12);
                let start = usize::from(bytes.le16(entry.saturating_add(8))?);
                let end = if next < first { usize::from(bytes.le16(next.saturating_add(8))?) } else { n };
                let name = bytes.slice(start, end.checked_sub(start).ok_or_else(|| bytes.corrupt())?)?;
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                let target = bytes.le64(entry)?;
                let [dot, dot_dot] = &mut is_missing;
                match name {
                    b"." => *dot &= target != self.root,
                    b".." => *dot_dot &= target != self.root,
                    _ => {}
                }
                if self.inode_offset(Node(target))?.saturating_add(32) > self.metadata_size(Node(target)) {
                    return Err(bytes.corrupt());
                }
            }
        }
        if is_missing.contains(&true) {
            return Err(Error::corrupt("root directory does not lead to itself", inode.offset));
        }
        Ok(())
    }

    /// Bytes in the space where that inode is.
    fn metadata_size(&self, node: Node) -> u64 {
        match (node.0 & IN_METABOX, self.metabox.as_deref()) {
            (0, _) => self.disk.size(),
            (_, metabox) => metabox.map_or(0, |metabox| metabox.size),
        }
    }
}
