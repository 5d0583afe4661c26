//! xfs, versions 4 and 5.
//!
//! ```text
//!   allocation group 0: superblock │ headers │ blocks, some of them full of inodes …  ┼ allocation group 1 …
//! ```
//!
//! Block and inode numbers have the allocation group in their upper bits. The log is not replayed: what is read is
//! what `mount -o ro,norecovery` shows. Checksums are not compared.
//!
//! Source: *XFS Algorithms & Data Structures*; Linux, `fs/xfs/libxfs/xfs_format.h`, `xfs_da_format.h`.

mod attr;
mod map;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use super::disk::{Bytes, Disk, div, index, index32, rem};
use super::{EachEntry, Entry, Error, FileSystem, FileType, MAX_LINK, Node, Stat, Xattr, is_name};
use crate::probe::FsKind;
use map::Extent;

const FEATURES2_FTYPE: u32 = 0x200;
const INCOMPAT_FTYPE: u32 = 0x1;
/// ftype, sparse inodes, meta_uuid, bigtime, needsrepair, nrext64, exchange range, parent pointers.
const INCOMPAT_KNOWN: u32 = 0xff;
const FLAGS2_BIGTIME: u64 = 1 << 3;
const FLAGS2_NREXT64: u64 = 1 << 4;

/// Fork formats.
const DEVICE: u8 = 0;
const LOCAL: u8 = 1;

/// In `di_flags`: the content is on another device.
const FLAG_REALTIME: u16 = 1;
/// Size of the head of a block for a long symbolic link or attribute: `xfs_dsymlink_hdr`, `xfs_attr3_rmt_hdr`.
const REMOTE_HEADER: u64 = 56;

/// Where a directory's index begins; what is before it are entries.
const DIRECTORY_INDEX: u64 = 32 << 30;
/// Directories of more bytes are not believed: 4 million entries of 250 bytes.
const MAX_DIRECTORY: u64 = 1 << 30;

pub(super) struct Xfs {
    disk: Disk,
    version: u16,
    block_size: u64,
    blocks: u64,
    root: u64,
    ag_blocks: u64,
    ag_count: u64,
    inode_size: u16,
    /// log₂ of blocks in a group (rounded up), of inodes in a block.
    ag_block_bits: u32,
    inode_bits: u32,
    directory_block: u64,
    has_ftype: bool,
    /// The extents of the file read last.
    extents: Mutex<Option<(u64, Arc<[Extent]>)>>,
}

impl std::fmt::Debug for Xfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Xfs").field("version", &self.version).finish_non_exhaustive()
    }
}

fn be16(bytes: Bytes<'_>, at: usize) -> Result<u16, Error> {
    bytes.le16(at).map(u16::swap_bytes)
}

fn be32(bytes: Bytes<'_>, at: usize) -> Result<u32, Error> {
    bytes.le32(at).map(u32::swap_bytes)
}

fn be64(bytes: Bytes<'_>, at: usize) -> Result<u64, Error> {
    bytes.le64(at).map(u64::swap_bytes)
}

/// An inode as it is on the disk.
struct Inode {
    number: u64,
    offset: u64,
    bytes: Vec<u8>,
    mode: u16,
    size: u64,
    flags2: u64,
    /// Where the data fork begins.
    core: usize,
}

/// One of an inode's two forks.
struct Fork<'a> {
    format: u8,
    bytes: Bytes<'a>,
    extents: u64,
}

impl Inode {
    fn raw(&self) -> Bytes<'_> {
        Bytes::new(&self.bytes, "inode", self.offset)
    }

    fn file_type(&self) -> Result<FileType, Error> {
        FileType::from_mode(self.mode).ok_or_else(|| self.raw().corrupt())
    }

    /// Where the fork of attributes begins; 0 is none.
    fn fork_offset(&self) -> Result<usize, Error> {
        Ok(usize::from(self.raw().u8(82)?).saturating_mul(8))
    }

    fn data(&self) -> Result<Fork<'_>, Error> {
        let raw = self.raw();
        let room = self.bytes.len().saturating_sub(self.core);
        let len = match self.fork_offset()? {
            0 => room,
            len => len,
        };
        let extents = match self.flags2 & FLAGS2_NREXT64 {
            0 => be32(raw, 76)?.into(),
            _ => be64(raw, 24)?,
        };
        let bytes = Bytes::new(raw.slice(self.core, len)?, "data fork", self.offset);
        Ok(Fork { format: raw.u8(5)?, bytes, extents })
    }

    fn attributes(&self) -> Result<Option<Fork<'_>>, Error> {
        let raw = self.raw();
        let offset = self.fork_offset()?;
        if offset == 0 {
            return Ok(None);
        }
        let extents = match self.flags2 & FLAGS2_NREXT64 {
            0 => be16(raw, 80)?.into(),
            _ => be32(raw, 76)?.into(),
        };
        let begin = self.core.saturating_add(offset);
        let bytes = self.bytes.get(begin..).ok_or_else(|| raw.corrupt())?;
        Ok(Some(Fork {
            format: raw.u8(83)?,
            bytes: Bytes::new(bytes, "attribute fork", self.offset),
            extents,
        }))
    }
}

impl Xfs {
    pub(super) fn open(disk: Disk) -> Result<Self, Error> {
        let bytes = disk.metadata_array::<512>(0)?;
        let sb = Bytes::new(&bytes, "superblock", 0);
        let magic = sb.slice(0, 4)?;
        let sb_blocksize = be32(sb, 4)?;
        let sb_dblocks = be64(sb, 8)?;
        let sb_rootino = be64(sb, 56)?;
        let sb_agblocks = be32(sb, 84)?;
        let sb_agcount = be32(sb, 88)?;
        let sb_versionnum = be16(sb, 100)?;
        let sb_inodesize = be16(sb, 104)?;
        let sb_inopblog = sb.u8(123)?;
        let sb_agblklog = sb.u8(124)?;
        let sb_dirblklog = sb.u8(192)?;
        let sb_features2 = be32(sb, 200)?;
        let sb_features_incompat = be32(sb, 216)?;

        let version = sb_versionnum & 0xf;
        let block_size = u64::from(sb_blocksize);
        // in this order: the last ones shift by what was bounded before
        let sizes = sb_blocksize.is_power_of_two()
            && (512..=65536).contains(&sb_blocksize)
            && sb_inodesize.is_power_of_two()
            && (256..=2048).contains(&sb_inodesize)
            && sb_agblklog <= 31
            && sb_inopblog <= 8
            && sb_dirblklog <= 7
            && block_size << sb_dirblklog <= 65536
            && sb_agblocks != 0
            && u64::from(sb_agblocks) <= 1 << sb_agblklog;
        if magic != b"XFSB" || !sizes {
            return Err(sb.corrupt());
        }
        if !matches!(version, 4 | 5) {
            return Err(Error::Unsupported { what: "xfs before version 4" });
        }
        // version 4 has no such field; `ro_compat` is not asked, as it forbids writing alone
        let unknown = if version == 5 { sb_features_incompat & !INCOMPAT_KNOWN } else { 0 };
        if unknown != 0 {
            return Err(Error::Features { field: "sb_features_incompat", bits: unknown.into() });
        }
        let has_ftype = match version {
            5 => sb_features_incompat & INCOMPAT_FTYPE != 0,
            _ => sb_features2 & FEATURES2_FTYPE != 0,
        };
        let fs = Xfs {
            disk,
            version,
            block_size,
            blocks: sb_dblocks,
            root: sb_rootino,
            ag_blocks: sb_agblocks.into(),
            ag_count: sb_agcount.into(),
            inode_size: sb_inodesize,
            ag_block_bits: sb_agblklog.into(),
            inode_bits: sb_inopblog.into(),
            directory_block: block_size << sb_dirblklog,
            has_ftype,
            extents: Mutex::default(),
        };
        // without a root nothing can be reached: better told on opening
        if fs.inode(sb_rootino)?.file_type()? != FileType::Directory {
            return Err(Error::corrupt("root inode", 0));
        }
        Ok(fs)
    }

    /// From a block number with the group in its upper bits to bytes.
    fn address(&self, block: u64) -> Result<u64, Error> {
        let (group, within) =
            (block >> self.ag_block_bits, block & (1_u64 << self.ag_block_bits).saturating_sub(1));
        let linear = group.saturating_mul(self.ag_blocks).saturating_add(within);
        if group >= self.ag_count || within >= self.ag_blocks || linear >= self.blocks {
            return Err(Error::corrupt("block number", block));
        }
        Ok(linear.saturating_mul(self.block_size))
    }

    /// Head of a block that holds part of a symbolic link's target or of a long attribute's value; only version 5 has it.
    fn remote_header(&self) -> u64 {
        if self.version == 5 { REMOTE_HEADER } else { 0 }
    }

    /// Checks that the head says that `len` bytes of `inode` are here, from `offset` on.
    fn check_remote(
        &self,
        raw: Bytes<'_>,
        magic: &[u8; 4],
        inode: &Inode,
        offset: usize,
        len: usize,
    ) -> Result<(), Error> {
        if self.remote_header() == 0 {
            return Ok(());
        }
        let is_here = raw.slice(0, 4)? == magic
            && index32(be32(raw, 4)?) == offset
            && index32(be32(raw, 8)?) == len
            && be64(raw, 32)? == inode.number;
        if is_here { Ok(()) } else { Err(raw.corrupt()) }
    }

    fn inode(&self, number: u64) -> Result<Inode, Error> {
        let block = self.address(number >> self.inode_bits)?;
        let within = number & (1_u64 << self.inode_bits).saturating_sub(1);
        let offset = block.saturating_add(within.saturating_mul(self.inode_size.into()));
        let bytes = self.disk.metadata_vec(offset, self.inode_size.into())?;
        let raw = Bytes::new(&bytes, "inode", offset);
        let di_version = raw.u8(4)?;
        if raw.slice(0, 2)? != b"IN" || !(1..=3).contains(&di_version) {
            return Err(raw.corrupt());
        }
        let mode = be16(raw, 2)?;
        let size = be64(raw, 56)?;
        let flags2 = if di_version == 3 { be64(raw, 120)? } else { 0 };
        let core = if di_version == 3 { 176 } else { 100 };
        if size > i64::MAX.unsigned_abs() || mode == 0 {
            return Err(raw.corrupt());
        }
        Ok(Inode { number, offset, mode, size, flags2, core, bytes })
    }

    /// Fills `buf` as far as the inode goes.
    fn read(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let len = index(inode.size.saturating_sub(offset)).min(buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        let extents = self.data_extents(inode)?;
        self.read_extents(&extents, offset, buf)?;
        Ok(len)
    }

    /// The entries of a directory that is in its inode.
    fn list_short(&self, bytes: Bytes<'_>, each: &mut EachEntry<'_>) -> Result<(), Error> {
        let (count, wide) = match (bytes.u8(0)?, bytes.u8(1)?) {
            (count, 0) => (count, false),
            (0, count) | (count, _) => (count, true),
        };
        let number = |at: usize| if wide { be64(bytes, at) } else { be32(bytes, at).map(u64::from) };
        let width: usize = if wide { 8 } else { 4 };
        let mut at = width.saturating_add(2);
        for _ in 0..count {
            let len = usize::from(bytes.u8(at)?);
            let name = bytes.slice(at.saturating_add(3), len)?;
            at = at.saturating_add(3).saturating_add(len);
            let mut file_type = None;
            if self.has_ftype {
                file_type = ftype(bytes.u8(at)?);
                at = at.saturating_add(1);
            }
            let node = Node(number(at)?);
            at = at.saturating_add(width);
            if !is_name(name) || matches!(name, b"." | b"..") {
                return Err(bytes.corrupt());
            }
            if let ControlFlow::Break(()) = each(Entry { name, node, file_type }) {
                break;
            }
        }
        Ok(())
    }

    /// The entries in one block of a directory.
    fn list_block(&self, block: Bytes<'_>, each: &mut EachEntry<'_>) -> Result<ControlFlow<()>, Error> {
        let (mut at, whole) = match block.slice(0, 4)? {
            b"XD2B" => (16, true),
            b"XD2D" => (16, false),
            b"XDB3" => (64, true),
            b"XDD3" => (64, false),
            _ => return Err(block.corrupt()),
        };
        let mut end = block.bytes.len();
        let mut expected = None;
        if whole {
            // the index of a directory of one block is at its end: entries of 8 bytes, some of them stale
            let tail = end.saturating_sub(8);
            let (count, stale) = (be32(block, tail)?, be32(block, tail.saturating_add(4))?);
            let begin = tail.checked_sub(index32(count).saturating_mul(8)).filter(|begin| *begin >= at);
            end = begin.ok_or_else(|| block.corrupt())?;
            expected = Some(count.checked_sub(stale).ok_or_else(|| block.corrupt())?);
        }
        let mut found: u32 = 0;
        while at < end {
            if be16(block, at)? == u16::MAX {
                let len = usize::from(be16(block, at.saturating_add(2))?);
                at = at.saturating_add(len);
                if len == 0 || !len.is_multiple_of(8) || at > end {
                    return Err(block.corrupt());
                }
                continue;
            }
            let node = Node(be64(block, at)?);
            let len = usize::from(block.u8(at.saturating_add(8))?);
            let name = block.slice(at.saturating_add(9), len)?;
            let mut size = len.saturating_add(11);
            let mut file_type = None;
            if self.has_ftype {
                file_type = ftype(block.u8(at.saturating_add(9).saturating_add(len))?);
                size = size.saturating_add(1);
            }
            at = at.saturating_add(size.checked_next_multiple_of(8).unwrap_or(usize::MAX));
            if at > end {
                return Err(block.corrupt());
            }
            found = found.saturating_add(1);
            if matches!(name, b"." | b"..") {
                continue;
            }
            if !is_name(name) {
                return Err(block.corrupt());
            }
            let flow = each(Entry { name, node, file_type });
            if flow.is_break() {
                return Ok(flow);
            }
        }
        if expected.is_some_and(|expected| expected != found) {
            return Err(block.corrupt());
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn ftype(number: u8) -> Option<FileType> {
    Some(match number {
        1 => FileType::Regular,
        2 => FileType::Directory,
        3 => FileType::CharDevice,
        4 => FileType::BlockDevice,
        5 => FileType::Fifo,
        6 => FileType::Socket,
        7 => FileType::Symlink,
        _ => return None,
    })
}

impl FileSystem for Xfs {
    fn kind(&self) -> FsKind {
        FsKind::Xfs
    }

    fn root(&self) -> Node {
        Node(self.root)
    }

    fn stat(&self, node: Node) -> Result<Stat, Error> {
        let inode = self.inode(node.0)?;
        let raw = inode.raw();
        let file_type = inode.file_type()?;
        let (mtime, mtime_nsec) = if inode.flags2 & FLAGS2_BIGTIME != 0 {
            // nanoseconds from the first second that 32 bits can tell
            let since = be64(raw, 40)?;
            let seconds = i64::try_from(since / 1_000_000_000).unwrap_or(i64::MAX).saturating_sub(1 << 31);
            (seconds, u32::try_from(since % 1_000_000_000).unwrap_or(0))
        } else {
            (i64::from(be32(raw, 40)?.cast_signed()), be32(raw, 44)?.min(999_999_999))
        };
        let data = inode.data()?;
        let rdev =
            if data.format == DEVICE && matches!(file_type, FileType::CharDevice | FileType::BlockDevice) {
                let device = be32(data.bytes, 0)?;
                (device >> 18 & 0x3fff, device & 0x3_ffff)
            } else {
                (0, 0)
            };
        Ok(Stat {
            file_type,
            permissions: inode.mode & 0o7777,
            uid: be32(raw, 8)?,
            gid: be32(raw, 12)?,
            size: inode.size,
            mtime,
            mtime_nsec,
            nlink: if raw.u8(4)? == 1 { be16(raw, 6)?.into() } else { be32(raw, 16)? },
            rdev,
        })
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        let inode = self.inode(dir.0)?;
        if inode.file_type()? != FileType::Directory {
            return Err(Error::NotADirectory);
        }
        let data = inode.data()?;
        if data.format == LOCAL {
            return self.list_short(data.bytes, each);
        }
        if inode.size > MAX_DIRECTORY {
            return Err(inode.raw().corrupt());
        }
        let extents = self.data_extents(&inode)?;
        let mut block = vec![0; index(self.directory_block)];
        // blocks of entries may have holes between them; the size is where the last one ends, and the index comes far behind
        let mut next = 0;
        for extent in extents.iter() {
            let end = extent.end().saturating_mul(self.block_size).min(DIRECTORY_INDEX);
            let mut at = extent.start.saturating_mul(self.block_size).max(next);
            at = at.saturating_sub(rem(at, self.directory_block));
            while at < end {
                if at >= next {
                    self.read_extents_cached(&extents, at, &mut block)?;
                    if self.list_block(Bytes::new(&block, "directory", inode.offset), each)?.is_break() {
                        return Ok(());
                    }
                    next = at.saturating_add(self.directory_block);
                }
                at = at.saturating_add(self.directory_block);
            }
        }
        if next < inode.size || next == 0 {
            return Err(inode.raw().corrupt());
        }
        Ok(())
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let inode = self.inode(file.0)?;
        if inode.file_type()? != FileType::Regular {
            return Err(Error::NotAFile);
        }
        self.read(&inode, offset, buf)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, Error> {
        let inode = self.inode(link.0)?;
        if inode.file_type()? != FileType::Symlink {
            return Err(Error::NotALink);
        }
        if inode.size > MAX_LINK {
            return Err(Error::TooLarge { size: inode.size, limit: MAX_LINK });
        }
        let len = index(inode.size);
        let data = inode.data()?;
        if data.format == LOCAL {
            return Ok(data.bytes.slice(0, len)?.to_vec());
        }
        let mut target = Vec::new();
        for extent in self.data_extents(&inode)?.iter() {
            let head = self.remote_header();
            let room = index(extent.blocks.saturating_mul(self.block_size).saturating_sub(head));
            let n = len.saturating_sub(target.len()).min(room);
            if n == 0 {
                break;
            }
            let at = self.address(extent.block)?;
            self.address(extent.last())?;
            // each extent has a header, though it be of many blocks
            let raw = self.disk.metadata_vec(at, n.saturating_add(index(head)))?;
            let raw = Bytes::new(&raw, "symbolic link", at);
            self.check_remote(raw, b"XSLM", &inode, target.len(), n)?;
            target.extend_from_slice(raw.slice(index(head), n)?);
        }
        if target.len() != len {
            return Err(inode.raw().corrupt());
        }
        Ok(target)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, Error> {
        self.all_xattrs(&self.inode(node.0)?)
    }

    fn caveat(&self) -> Option<&'static str> {
        Some("the log is not replayed: changes in it would be missing")
    }
}

/// Blocks of `bytes` that `self.block_size` has.
fn block_of(offset: u64, block_size: u64) -> u64 {
    div(offset, block_size)
}

#[cfg(test)]
mod tests;
