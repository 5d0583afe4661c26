//! Extended attributes: behind the inode's fields, in a block, in inodes of their own.

use super::{Error, Ext4, FLAG_INLINE_DATA, Inode};
use crate::disk::{Bytes, index, index32, u64_from};
use crate::{MAX_XATTRS, XATTR, Xattr};

pub(super) const MAGIC: u32 = 0xea02_0000;
pub(super) const FLAG_EA_INODE: u32 = 0x20_0000;
/// `system.data`: the rest of inline data.
const INDEX_SYSTEM: u8 = 7;
const INLINE_DATA: &[u8] = b"data";

/// An entry, with the number of its prefix.
struct Raw {
    index: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Ext4 {
    pub(super) fn all_xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>, Error> {
        let mut raw = self.inside(inode)?;
        let block = inode.xattr_block()?;
        if block != 0 {
            let offset = self.address(block);
            let bytes = self.disk.metadata_vec(offset, index(self.block_size))?;
            let bytes = Bytes::new(&bytes, "xattr block", offset);
            if bytes.le32(0)? != MAGIC {
                return Err(bytes.corrupt());
            }
            self.entries_at(bytes, 32, 0, &mut raw)?;
        }
        let mut xattrs = Vec::new();
        for Raw { index, name, value } in raw {
            if index == INDEX_SYSTEM && name == INLINE_DATA && inode.has(FLAG_INLINE_DATA) {
                continue;
            }
            let prefix = match index {
                0 => &b""[..],
                1 => b"user.",
                2 => b"system.posix_acl_access",
                3 => b"system.posix_acl_default",
                4 => b"trusted.",
                6 => b"security.",
                7 => b"system.",
                8 => b"system.richacl",
                _ => return Err(Error::corrupt("xattr prefix", inode.offset)),
            };
            let value = if matches!(index, 2 | 3) { acl(&value, inode.offset)? } else { value };
            xattrs.push(Xattr { name: [prefix, &name].concat(), value });
        }
        Ok(xattrs)
    }

    /// The part of inline data that has no room in the block map.
    pub(super) fn inline_rest(&self, inode: &Inode) -> Result<Option<Vec<u8>>, Error> {
        let mut raw = self.inside(inode)?.into_iter();
        Ok(raw.find(|raw| raw.index == INDEX_SYSTEM && raw.name == INLINE_DATA).map(|raw| raw.value))
    }

    fn inside(&self, inode: &Inode) -> Result<Vec<Raw>, Error> {
        let mut raw = Vec::new();
        let bytes = inode.bytes.get(inode.extra_end..).filter(|_| inode.extra_end != 0).unwrap_or_default();
        let bytes = Bytes::new(bytes, "xattrs in the inode", inode.offset);
        if bytes.bytes.len() >= 4 && bytes.le32(0)? == MAGIC {
            self.entries_at(bytes, 4, 4, &mut raw)?;
        }
        Ok(raw)
    }

    /// Entries from `at` on; values are counted from `base`.
    fn entries_at(
        &self,
        bytes: Bytes<'_>,
        mut at: usize,
        base: usize,
        raw: &mut Vec<Raw>,
    ) -> Result<(), Error> {
        let mut total: usize = raw.iter().map(|raw| raw.value.len().saturating_add(XATTR)).sum();
        // the list ends with four zeros, or with the room for it
        while bytes.bytes.len().saturating_sub(at) >= 4 && bytes.le32(at)? != 0 {
            let name_len = usize::from(bytes.u8(at)?);
            let index = bytes.u8(at.saturating_add(1))?;
            let value_offs = usize::from(bytes.le16(at.saturating_add(2))?);
            let value_inum = bytes.le32(at.saturating_add(4))?;
            let value_size = index32(bytes.le32(at.saturating_add(8))?);
            let name = bytes.slice(at.saturating_add(16), name_len)?.to_vec();
            total = total.saturating_add(value_size).saturating_add(XATTR);
            if total > MAX_XATTRS {
                return Err(Error::TooLarge { size: u64_from(total), limit: u64_from(MAX_XATTRS) });
            }
            let value = if value_inum != 0 {
                let inode = self.inode(value_inum.into())?;
                let mut value = vec![0; value_size];
                if !inode.has(FLAG_EA_INODE) || inode.has(FLAG_INLINE_DATA) {
                    return Err(bytes.corrupt());
                }
                if self.read(&inode, 0, &mut value)? != value_size {
                    return Err(bytes.corrupt());
                }
                value
            } else {
                bytes.slice(base.saturating_add(value_offs), value_size)?.to_vec()
            };
            raw.push(Raw { index, name, value });
            at = at.saturating_add(16).saturating_add(name_len).saturating_add(3) & !3;
        }
        Ok(())
    }
}

/// An access control list, from the form on the disk to the one that `getxattr` gives.
fn acl(value: &[u8], offset: u64) -> Result<Vec<u8>, Error> {
    const USER: u16 = 2;
    const GROUP: u16 = 8;
    let raw = Bytes::new(value, "access control list", offset);
    if raw.le32(0)? != 1 {
        return Err(raw.corrupt());
    }
    let mut out = 2_u32.to_le_bytes().to_vec();
    let mut at: usize = 4;
    while at < value.len() {
        let (tag, permissions) = (raw.le16(at)?, raw.le16(at.saturating_add(2))?);
        at = at.saturating_add(4);
        let mut id = u32::MAX;
        if matches!(tag, USER | GROUP) {
            id = raw.le32(at)?;
            at = at.saturating_add(4);
        }
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&permissions.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    Ok(out)
}
