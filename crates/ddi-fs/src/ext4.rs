//! ext2, ext3 and ext4.
//!
//! ```text
//!   0     1024         block groups
//!   ├─────┼ superblock ┼ group descriptors │ bitmaps │ inode table │ blocks … ┼ next group …
//! ```
//!
//! The journal is not replayed: what is read is what `mount -o ro,noload` shows. Checksums of metadata are not
//! compared: they guard against accidents, and a damaged image is for verity to find.
//!
//! Sources: Linux, `Documentation/filesystems/ext4/`, `fs/ext4/ext4.h`, `inline.c`, `xattr.c`, `acl.c`.

mod extents;
mod geometry;
mod map;
mod xattr;

use std::ops::ControlFlow;

use super::disk::{Bytes, Disk, div, index, rem, u64_from};
use super::{
    BadBlock, EachEntry, EachExtent, Entry, Error, FileSystem, FileType, MAX_LINK, Node, Stat, Xattr,
    decode_dev, is_name, list_around,
};
use crate::probe::FsKind;
use map::Run;

const SUPERBLOCK: u64 = 1024;
const MAGIC: u16 = 0xef53;
const ROOT: u64 = 2;

const COMPAT_SPARSE_SUPER2: u32 = 0x200;
const COMPAT_ORPHAN_FILE: u32 = 0x1000;
const INCOMPAT_FILETYPE: u32 = 0x2;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_META_BG: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_LARGEDIR: u32 = 0x4000;
/// filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, csum_seed, largedir, inline_data, encrypt,
/// casefold. Not known: compression, journal_dev, dirdata.
const INCOMPAT_KNOWN: u32 =
    0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x1_0000 | 0x2_0000;
const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;

const FLAG_ENCRYPT: u32 = 0x800;
const FLAG_EXTENTS: u32 = 0x8_0000;
const FLAG_INLINE_DATA: u32 = 0x1000_0000;

/// Bytes of content or block map in the inode.
const I_BLOCK: usize = 60;
/// Directories of more bytes are not believed: 4 million entries of 250 bytes.
const MAX_DIRECTORY: u64 = 1 << 30;

pub(super) struct Ext4 {
    disk: Disk,
    kind: FsKind,
    /// A power of two from 1024 to 65536.
    block_size: u64,
    inodes: u32,
    inodes_per_group: u32,
    blocks_per_group: u32,
    first_data_block: u32,
    inode_size: u16,
    descriptor_size: u16,
    first_meta_bg: u32,
    reserved_descriptor_blocks: u16,
    orphan_file_inum: u32,
    backup_groups: [u32; 2],
    feature_compat: u32,
    feature_incompat: u32,
    feature_ro_compat: u32,
}

impl std::fmt::Debug for Ext4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ext4").field("block_size", &self.block_size).finish_non_exhaustive()
    }
}

/// An inode as it is on the disk.
struct Inode {
    /// Where it is.
    offset: u64,
    /// All of it, 128 bytes at least.
    bytes: Vec<u8>,
    mode: u16,
    size: u64,
    flags: u32,
    /// Where the extra fields end and xattrs may begin; 0 if there is no room for them.
    extra_end: usize,
}

impl Inode {
    fn raw(&self) -> Bytes<'_> {
        Bytes::new(&self.bytes, "inode", self.offset)
    }

    fn block(&self) -> Result<&[u8], Error> {
        self.raw().slice(0x28, I_BLOCK)
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn file_type(&self) -> Result<FileType, Error> {
        FileType::from_mode(self.mode).ok_or_else(|| self.raw().corrupt())
    }

    /// 0: none.
    fn xattr_block(&self) -> Result<u64, Error> {
        let acl_lo = self.raw().le32(0x68)?;
        let acl_high = self.raw().le16(0x76)?;
        Ok(u64::from(acl_high) << 32 | u64::from(acl_lo))
    }
}

impl Ext4 {
    pub(super) fn open(disk: Disk, kind: FsKind) -> Result<Self, Error> {
        let bytes = disk.metadata_array::<1024>(SUPERBLOCK)?;
        let sb = Bytes::new(&bytes, "superblock", SUPERBLOCK);
        let s_inodes_count = sb.le32(0x0)?;
        let s_first_data_block = sb.le32(0x14)?;
        let s_log_block_size = sb.le32(0x18)?;
        let s_blocks_per_group = sb.le32(0x20)?;
        let s_inodes_per_group = sb.le32(0x28)?;
        let s_magic = sb.le16(0x38)?;
        let s_rev_level = sb.le32(0x4c)?;
        let s_inode_size = sb.le16(0x58)?;
        let s_feature_compat = sb.le32(0x5c)?;
        let s_feature_incompat = sb.le32(0x60)?;
        let s_feature_ro_compat = sb.le32(0x64)?;
        let s_reserved_gdt_blocks = sb.le16(0xce)?;
        let s_desc_size = sb.le16(0xfe)?;
        let s_first_meta_bg = sb.le32(0x104)?;
        let s_backup_bgs = [sb.le32(0x24c)?, sb.le32(0x250)?];
        let s_orphan_file_inum = sb.le32(0x280)?;

        if s_magic != MAGIC || s_inodes_per_group == 0 || s_blocks_per_group == 0 {
            return Err(sb.corrupt());
        }
        // `ro_compat` is not asked: what is unknown there forbids writing alone
        let unknown = s_feature_incompat & !INCOMPAT_KNOWN;
        if unknown != 0 {
            return Err(Error::Features { field: "s_feature_incompat", bits: unknown.into() });
        }
        if s_log_block_size > 6 {
            return Err(Error::corrupt("block size", SUPERBLOCK));
        }
        let block_size = 1024_u64 << s_log_block_size;
        // revision 0 has no such field
        let inode_size = if s_rev_level == 0 { 128 } else { s_inode_size };
        if inode_size < 128 || !inode_size.is_power_of_two() || u64::from(inode_size) > block_size {
            return Err(Error::corrupt("inode size", SUPERBLOCK));
        }
        let descriptor_size = if s_feature_incompat & INCOMPAT_64BIT != 0 { s_desc_size } else { 32 };
        if descriptor_size < 32
            || !descriptor_size.is_power_of_two()
            || u64::from(descriptor_size) > block_size
        {
            return Err(Error::corrupt("group descriptor size", SUPERBLOCK));
        }
        let fs = Ext4 {
            disk,
            kind,
            block_size,
            inodes: s_inodes_count,
            inodes_per_group: s_inodes_per_group,
            blocks_per_group: s_blocks_per_group,
            first_data_block: s_first_data_block,
            inode_size,
            descriptor_size,
            first_meta_bg: s_first_meta_bg,
            reserved_descriptor_blocks: s_reserved_gdt_blocks,
            orphan_file_inum: s_orphan_file_inum,
            backup_groups: s_backup_bgs,
            feature_compat: s_feature_compat,
            feature_incompat: s_feature_incompat,
            feature_ro_compat: s_feature_ro_compat,
        };
        // without a root nothing can be reached: better told on opening
        if fs.inode(ROOT)?.file_type()? != FileType::Directory {
            return Err(Error::corrupt("root inode", SUPERBLOCK));
        }
        Ok(fs)
    }

    /// Byte offset of a block; one that does not fit is past any end.
    fn address(&self, block: u64) -> u64 {
        block.saturating_mul(self.block_size)
    }

    /// Returns true if group `group` begins with a copy of the superblock.
    fn has_superblock(&self, group: u32) -> bool {
        if self.feature_compat & COMPAT_SPARSE_SUPER2 != 0 {
            return group == 0 || self.backup_groups.contains(&group);
        }
        let power = |base: u32| {
            let mut n = group;
            while n > 1 && n.is_multiple_of(base) {
                n = n.checked_div(base).unwrap_or(0);
            }
            n == 1
        };
        self.feature_ro_compat & RO_COMPAT_SPARSE_SUPER == 0 || group <= 1 || power(3) || power(5) || power(7)
    }

    fn descriptor(&self, group: u32) -> Result<Vec<u8>, Error> {
        self.disk.metadata_vec(self.descriptor_offset(group)?, self.descriptor_size.into())
    }

    fn descriptor_offset(&self, group: u32) -> Result<u64, Error> {
        let size = u64::from(self.descriptor_size);
        let per_block = self.block_size.checked_div(size).unwrap_or(1);
        let (row, within) = (div(group.into(), per_block), rem(group.into(), per_block));
        let first = u64::from(self.first_data_block);
        let block = if self.feature_incompat & INCOMPAT_META_BG == 0 || row < u64::from(self.first_meta_bg) {
            // behind the superblock, which with blocks of 1024 bytes has one before it, even if that is in no group
            div(SUPERBLOCK, self.block_size).saturating_add(1).saturating_add(row)
        } else {
            // at the start of the first group that it describes
            let begin = u32::try_from(row.saturating_mul(per_block)).unwrap_or(u32::MAX);
            let start = u64::from(begin).saturating_mul(self.blocks_per_group.into()).saturating_add(first);
            let odd = begin == 0 && first == 0 && self.block_size == SUPERBLOCK;
            start.saturating_add(self.has_superblock(begin).into()).saturating_add(odd.into())
        };
        Ok(self.address(block).saturating_add(within.saturating_mul(size)))
    }

    fn inode_offset(&self, number: u64) -> Result<u64, Error> {
        let corrupt = || Error::corrupt("inode number", SUPERBLOCK);
        let zero_based = u32::try_from(number).ok().and_then(|n| n.checked_sub(1)).ok_or_else(corrupt)?;
        if zero_based >= self.inodes {
            return Err(corrupt());
        }
        let group = zero_based.checked_div(self.inodes_per_group).ok_or_else(corrupt)?;
        let within = zero_based.checked_rem(self.inodes_per_group).ok_or_else(corrupt)?;
        let descriptor = self.descriptor(group)?;
        let descriptor = Bytes::new(&descriptor, "group descriptor", SUPERBLOCK);
        let high = if self.descriptor_size >= 64 { descriptor.le32(0x28)? } else { 0 };
        let table = u64::from(high) << 32 | u64::from(descriptor.le32(0x8)?);
        let offset = self.address(table);
        Ok(offset.saturating_add(u64::from(within).saturating_mul(self.inode_size.into())))
    }

    fn inode(&self, number: u64) -> Result<Inode, Error> {
        let offset = self.inode_offset(number)?;
        let bytes = self.disk.metadata_vec(offset, self.inode_size.into())?;
        let raw = Bytes::new(&bytes, "inode", offset);
        let mode = raw.le16(0x0)?;
        let size_lo = raw.le32(0x4)?;
        let flags = raw.le32(0x20)?;
        let size_high = raw.le32(0x6c)?;
        let extra_isize = if bytes.len() > 128 { usize::from(raw.le16(0x80)?) } else { 0 };
        let extra_end = extra_isize.saturating_add(128);
        if extra_end > bytes.len() {
            return Err(raw.corrupt());
        }
        // directories had an ACL there once
        let large_dir = self.feature_incompat & INCOMPAT_LARGEDIR != 0;
        let has_high = large_dir || FileType::from_mode(mode) == Some(FileType::Regular);
        let size = u64::from(if has_high { size_high } else { 0 }) << 32 | u64::from(size_lo);
        if size > i64::MAX.unsigned_abs() {
            return Err(raw.corrupt());
        }
        let extra_end = if bytes.len() > 128 { extra_end } else { 0 };
        Ok(Inode { offset, mode, size, flags, extra_end, bytes })
    }

    fn readable(inode: &Inode) -> Result<(), Error> {
        if inode.has(FLAG_ENCRYPT) {
            return Err(Error::Unsupported { what: "encrypted file" });
        }
        Ok(())
    }

    /// Content of any inode. Fills `buf` as far as the inode goes.
    fn read(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let len = index(inode.size.saturating_sub(offset).min(u64_from(buf.len())));
        let buf = buf.get_mut(..len).unwrap_or_default();
        if inode.has(FLAG_INLINE_DATA) {
            let content = self.inline(inode)?;
            buf.fill(0);
            let from = content.get(index(offset)..).unwrap_or_default();
            for (target, source) in buf.iter_mut().zip(from) {
                *target = *source;
            }
            return Ok(len);
        }
        let regular = FileType::from_mode(inode.mode) == Some(FileType::Regular);
        let mut done: usize = 0;
        while done < len {
            let at = offset.saturating_add(u64_from(done));
            let rest = buf.get_mut(done..).unwrap_or_default();
            let blocks =
                u64_from(rest.len()).saturating_add(rem(at, self.block_size)).div_ceil(self.block_size);
            let run = self.map(inode, div(at, self.block_size), blocks)?;
            let within = rem(at, self.block_size);
            let n = run.blocks.saturating_mul(self.block_size).saturating_sub(within);
            let n = rest.len().min(index(n));
            let target = rest.get_mut(..n).unwrap_or_default();
            match run.start {
                None => target.fill(0),
                Some(start) if regular => {
                    self.disk.data(self.address(start).saturating_add(within), target)?
                }
                Some(start) => self.disk.metadata(self.address(start).saturating_add(within), target)?,
            }
            if n == 0 {
                return Err(inode.raw().corrupt());
            }
            done = done.saturating_add(n);
        }
        Ok(done)
    }

    /// What is inside the inode: 60 bytes, and more in an xattr.
    fn inline(&self, inode: &Inode) -> Result<Vec<u8>, Error> {
        let mut content = inode.block()?.to_vec();
        if let Some(more) = self.inline_rest(inode)? {
            content.extend_from_slice(&more);
        }
        Ok(content)
    }

    /// `bad` decides whether to go on behind a block with that error.
    fn list_noting(&self, dir: Node, each: &mut EachEntry<'_>, bad: &mut BadBlock<'_>) -> Result<(), Error> {
        let inode = self.inode(dir.0)?;
        if inode.file_type()? != FileType::Directory {
            return Err(Error::NotADirectory);
        }
        Self::readable(&inode)?;
        if inode.has(FLAG_INLINE_DATA) {
            // the number of the parent comes first, and the xattr's part is a block of its own
            let block = inode.block()?.get(4..).unwrap_or_default();
            if self.entries(block, inode.offset, each)?.is_continue()
                && let Some(more) = self.inline_rest(&inode)?
            {
                let _ = self.entries(&more, inode.offset, each)?;
            }
            return Ok(());
        }
        if inode.size > MAX_DIRECTORY.min(self.disk.size()) {
            return Err(Error::corrupt("directory size", inode.offset));
        }
        // the blocks of a hashed directory's index look like blocks with no entry
        let mut block = vec![0; index(self.block_size)];
        for number in 0..div(inode.size, self.block_size) {
            let offset = match self.map(&inode, number, 1) {
                Ok(Run { start: Some(start), .. }) => Ok(self.address(start)),
                Ok(Run { start: None, .. }) => Err(Error::corrupt("directory with a hole", inode.offset)),
                Err(error) => Err(error),
            };
            let read = offset.and_then(|offset| self.disk.metadata(offset, &mut block).map(|()| offset));
            match read {
                Ok(offset) => {
                    if self.entries(&block, offset, each)?.is_break() {
                        return Ok(());
                    }
                }
                Err(error) => bad(error)?,
            }
        }
        Ok(())
    }

    /// The entries in one block (or in one part of an inline directory).
    fn entries(&self, block: &[u8], offset: u64, each: &mut EachEntry<'_>) -> Result<ControlFlow<()>, Error> {
        let raw = Bytes::new(block, "directory", offset);
        let mut at: usize = 0;
        while at < block.len() {
            let inode = raw.le32(at)?;
            let rec_len = match raw.le16(at.saturating_add(4))? {
                // 16 bits cannot say it
                0 | u16::MAX if self.block_size == 65536 => 65536,
                n => usize::from(n),
            };
            let name_len = usize::from(raw.u8(at.saturating_add(6))?);
            let file_type = raw.u8(at.saturating_add(7))?;
            let next = at.saturating_add(rec_len);
            if rec_len < name_len.saturating_add(8) || !rec_len.is_multiple_of(4) || next > block.len() {
                return Err(raw.corrupt());
            }
            let name = raw.slice(at.saturating_add(8), name_len)?;
            at = next;
            // not before the bounds: an entry that is free still leads to the next one
            if inode == 0 || matches!(name, b"." | b"..") {
                continue;
            }
            if !is_name(name) {
                return Err(raw.corrupt());
            }
            // without the feature this byte is part of the length of the name
            let known = self.feature_incompat & INCOMPAT_FILETYPE != 0;
            let file_type = match file_type {
                1 if known => Some(FileType::Regular),
                2 if known => Some(FileType::Directory),
                3 if known => Some(FileType::CharDevice),
                4 if known => Some(FileType::BlockDevice),
                5 if known => Some(FileType::Fifo),
                6 if known => Some(FileType::Socket),
                7 if known => Some(FileType::Symlink),
                _ => None,
            };
            let flow = each(Entry { name, node: Node(inode.into()), file_type });
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl FileSystem for Ext4 {
    fn kind(&self) -> FsKind {
        self.kind
    }

    fn root(&self) -> Node {
        Node(ROOT)
    }

    fn stat(&self, node: Node) -> Result<Stat, Error> {
        let inode = self.inode(node.0)?;
        let file_type = inode.file_type()?;
        let raw = inode.raw();
        let half = |low: usize, high: usize| -> Result<u32, Error> {
            Ok(u32::from(raw.le16(high)?) << 16 | u32::from(raw.le16(low)?))
        };
        // seconds are signed; two more bits and the nanoseconds came later
        let seconds = i64::from(raw.le32(0x10)?.cast_signed());
        let extra = if inode.extra_end >= 0x8c { raw.le32(0x88)? } else { 0 };
        let device = matches!(file_type, FileType::CharDevice | FileType::BlockDevice);
        let rdev = match (device, raw.le32(0x28)?) {
            (false, _) => (0, 0),
            (true, 0) => decode_dev(raw.le32(0x2c)?),
            (true, old) => (old >> 8 & 0xff, old & 0xff),
        };
        Ok(Stat {
            file_type,
            permissions: inode.mode & 0o7777,
            uid: half(0x2, 0x78)?,
            gid: half(0x18, 0x7a)?,
            size: inode.size,
            mtime: seconds.saturating_add(i64::from(extra & 3) << 32),
            mtime_nsec: (extra >> 2).min(999_999_999),
            nlink: raw.le16(0x1a)?.into(),
            rdev,
        })
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        self.list_noting(dir, each, &mut Err)
    }

    fn list_readable(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        list_around(&mut |bad| self.list_noting(dir, each, bad))
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let inode = self.inode(file.0)?;
        if inode.file_type()? != FileType::Regular {
            return Err(Error::NotAFile);
        }
        Self::readable(&inode)?;
        self.read(&inode, offset, buf)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, Error> {
        let inode = self.inode(link.0)?;
        if inode.file_type()? != FileType::Symlink {
            return Err(Error::NotALink);
        }
        Self::readable(&inode)?;
        if inode.size > MAX_LINK {
            return Err(Error::TooLarge { size: inode.size, limit: MAX_LINK });
        }
        let len = index(inode.size);
        if len < I_BLOCK && !inode.has(FLAG_EXTENTS | FLAG_INLINE_DATA) {
            return Ok(inode.block()?.get(..len).unwrap_or_default().to_vec());
        }
        let mut target = vec![0; len];
        self.read(&inode, 0, &mut target)?;
        Ok(target)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, Error> {
        self.all_xattrs(&self.inode(node.0)?)
    }

    fn extents(&self, node: Node, each: &mut EachExtent<'_>) -> Result<(), Error> {
        self.file_extents(node, each)
    }

    fn system_extents(&self, each: &mut EachExtent<'_>) -> Result<(), Error> {
        self.own_extents(each)
    }

    fn caveat(&self) -> Option<&'static str> {
        (self.feature_incompat & INCOMPAT_RECOVER != 0)
            .then_some("the journal holds changes that are not applied")
    }
}
