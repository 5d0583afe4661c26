//! squashfs 4.0.
//!
//! ```text
//!   superblock │ options │ data blocks, fragments │ inode table │ directory table │ fragment table │ export │ ids │ xattrs
//!                                                   └── metadata blocks: 8 KiB each, compressed ──┘
//! ```
//!
//! A node is an *inode reference*: the metadata block's place in the inode table, and an offset in it.
//!
//! Sources: Linux, `fs/squashfs/squashfs_fs.h` and `xattr.c`; `Documentation/filesystems/squashfs.rst`.

mod extents;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use super::codec::Codec;
use super::disk::{Bytes, Disk, div, index, index32, rem, u64_from};
use super::{
    EachEntry, EachExtent, Entry, Error, FileSystem, FileType, MAX_LINK, MAX_XATTRS, Node, Stat, XATTR,
    Xattr, decode_dev, is_name,
};
use crate::probe::FsKind;

const MAGIC: u32 = 0x7371_7368;
/// Uncompressed size of a metadata block, except of the last one of a table.
const METADATA: usize = 8192;
const NO_FRAGMENT: u32 = u32::MAX;
const NO_XATTR: u32 = u32::MAX;
const NO_TABLE: u64 = u64::MAX;
/// In the size of a metadata block: stored as it is.
const METADATA_PLAIN: u16 = 0x8000;
/// In the size of a data block: stored as it is.
const DATA_PLAIN: u32 = 1 << 24;
/// In the type of an xattr: its value is elsewhere.
const XATTR_OUT_OF_LINE: u16 = 0x100;
/// Metadata blocks kept: 512 KiB.
const METADATA_SLOTS: usize = 64;
/// Data blocks kept: 4 MiB at the largest block size.
const DATA_SLOTS: usize = 4;
/// Blocks in one file: 256 GiB at the smallest block size. Their list is gone through to find one of them.
const MAX_BLOCKS: u64 = 1 << 26;
/// A size of a directory listing that no image has: 4 million entries of 250 bytes.
const MAX_DIRECTORY: u32 = 1 << 30;

/// A cached metadata block, by its offset on the disk, where its header says the rest.
struct Block {
    offset: u64,
    /// On the disk, header included.
    stored: u64,
    bytes: Arc<[u8]>,
}

/// A cached data block, by all that decides what it holds: that stands elsewhere, and two places need not agree.
struct DataBlock {
    offset: u64,
    /// As the inode or the fragment table gives it.
    size: u32,
    /// The most that it may decompress to.
    expected: u32,
    bytes: Arc<[u8]>,
}

pub(super) struct Squashfs {
    disk: Disk,
    codec: Codec,
    block_size: u32,
    flags: u16,
    inodes: u32,
    bytes_used: u64,
    fragments: u32,
    ids: u16,
    root: u64,
    id_table: u64,
    xattr_table: u64,
    inode_table: u64,
    directory_table: u64,
    fragment_table: u64,
    export_table: u64,
    metadata: Box<[Mutex<Option<Block>>]>,
    data: Mutex<Vec<DataBlock>>,
    /// Where the last look into a list of block sizes ended, so that reading on is not quadratic.
    position: Mutex<Option<Position>>,
}

#[derive(Clone, Copy)]
struct Position {
    /// Where the data begins, and the list: two files may share the one without the other.
    start: u64,
    sizes: (u64, usize),
    /// The next block's number, the place of its size, and where it is.
    number: u64,
    cursor: (u64, usize),
    offset: u64,
}

impl std::fmt::Debug for Squashfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Squashfs").field("codec", &self.codec).finish_non_exhaustive()
    }
}

/// A position in a row of metadata blocks.
struct Cursor<'a> {
    fs: &'a Squashfs,
    block: u64,
    offset: usize,
}

impl Cursor<'_> {
    fn read(&mut self, mut buf: &mut [u8]) -> Result<(), Error> {
        while !buf.is_empty() {
            let (bytes, stored) = self.fs.metadata(self.block)?;
            let from = bytes.get(self.offset..).unwrap_or_default();
            if from.is_empty() {
                if bytes.len() != METADATA || self.offset > METADATA {
                    return Err(Error::corrupt("metadata reference", self.block));
                }
                self.block = self.block.saturating_add(stored);
                self.offset = 0;
                continue;
            }
            let n = from.len().min(buf.len());
            let (Some(from), Some((target, rest))) = (from.get(..n), buf.split_at_mut_checked(n)) else {
                break;
            };
            target.copy_from_slice(from);
            self.offset = self.offset.saturating_add(n);
            buf = rest;
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut buf = [0; N];
        self.read(&mut buf)?;
        Ok(buf)
    }

    /// The caller has bounded `len`.
    fn vec(&mut self, len: usize) -> Result<Vec<u8>, Error> {
        let mut buf = vec![0; len];
        self.read(&mut buf)?;
        Ok(buf)
    }

    fn skip(&mut self, mut len: u64) -> Result<(), Error> {
        let mut scratch = [0; 256];
        while len > 0 {
            let n = index(len.min(256));
            self.read(scratch.get_mut(..n).unwrap_or_default())?;
            len = len.saturating_sub(u64_from(n));
        }
        Ok(())
    }

    fn le32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }
}

/// An inode, with what its type adds.
struct Inode {
    file_type: FileType,
    permissions: u16,
    uid: u16,
    gid: u16,
    mtime: u32,
    nlink: u32,
    size: u64,
    rdev: u32,
    xattr: u32,
    content: Content,
    /// Where it ends: metadata block, and offset in it.
    end: (u64, usize),
}

enum Content {
    None,
    /// Where the listing is.
    Directory {
        block: u32,
        offset: u16,
    },
    /// Where the data begins; the fragment at the end; where the sizes of the blocks stand.
    File {
        start: u64,
        fragment: u32,
        fragment_offset: u32,
        sizes: (u64, usize),
    },
    Link(Vec<u8>),
}

/// Extended attributes, shared by all files that have the same.
struct XattrList<'a> {
    fs: &'a Squashfs,
    /// What references count from.
    start: u64,
    reference: u64,
    count: u32,
    /// Bytes of names and values.
    size: u32,
}

impl<'a> XattrList<'a> {
    fn at(&self, reference: u64) -> Cursor<'a> {
        let block = self.start.saturating_add(reference >> 16);
        Cursor { fs: self.fs, block, offset: index(reference & 0xffff) }
    }
}

impl Squashfs {
    pub(super) fn open(disk: Disk) -> Result<Self, Error> {
        let bytes = disk.metadata_array::<96>(0)?;
        let sb = Bytes::new(&bytes, "superblock", 0);
        let magic = sb.le32(0)?;
        let inodes = sb.le32(4)?;
        let block_size = sb.le32(12)?;
        let fragments = sb.le32(16)?;
        let compression = sb.le16(20)?;
        let block_log = sb.le16(22)?;
        let flags = sb.le16(24)?;
        let ids = sb.le16(26)?;
        let major = sb.le16(28)?;
        let root = sb.le64(32)?;
        let bytes_used = sb.le64(40)?;
        let id_table = sb.le64(48)?;
        let xattr_table = sb.le64(56)?;
        let inode_table = sb.le64(64)?;
        let directory_table = sb.le64(72)?;
        let fragment_table = sb.le64(80)?;
        let export_table = sb.le64(88)?;

        // before version 4 the magic told the byte order of the image
        if magic == MAGIC.swap_bytes() || magic == MAGIC && major != 4 {
            return Err(Error::Unsupported { what: "squashfs before version 4" });
        }
        if magic != MAGIC {
            return Err(sb.corrupt());
        }
        // the format allows 4 KiB to 1 MiB, and says it twice
        if !(12..=20).contains(&block_log) || 1_u32.checked_shl(block_log.into()) != Some(block_size) {
            return Err(Error::corrupt("block size", 12));
        }
        if bytes_used > disk.size() {
            return Err(Error::corrupt("size", 40));
        }
        let codec = match compression {
            1 => Codec::Zlib,
            2 => Codec::LzmaAlone,
            3 => Codec::Lzo,
            4 => Codec::Xz,
            5 => Codec::Lz4,
            6 => Codec::Zstd,
            _ => return Err(Error::Unsupported { what: "unknown compression" }),
        };
        let fs = Squashfs {
            disk,
            codec,
            block_size,
            flags,
            inodes,
            bytes_used,
            fragments,
            ids,
            root,
            id_table,
            xattr_table,
            inode_table,
            directory_table,
            fragment_table,
            export_table,
            metadata: (0..METADATA_SLOTS).map(|_| Mutex::default()).collect(),
            data: Mutex::default(),
            position: Mutex::default(),
        };
        // without a root nothing can be reached: better told on opening
        if fs.inode(fs.root())?.file_type != FileType::Directory {
            return Err(Error::corrupt("root inode", 32));
        }
        Ok(fs)
    }

    /// A metadata block, and how many bytes it takes on the disk.
    fn metadata(&self, offset: u64) -> Result<(Arc<[u8]>, u64), Error> {
        // neighbours are up to 8 KiB apart, so spread by more than the low bits
        let hash = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let slot = self.metadata.get(index(rem(hash, u64_from(METADATA_SLOTS))));
        let mut slot = slot.map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(Some(block)) = slot.as_deref()
            && block.offset == offset
        {
            return Ok((Arc::clone(&block.bytes), block.stored));
        }
        let header = u16::from_le_bytes(self.disk.metadata_array(offset)?);
        let len = usize::from(header & !METADATA_PLAIN);
        let corrupt = || Error::corrupt("metadata block", offset);
        if len == 0 || len > METADATA {
            return Err(corrupt());
        }
        let stored = self.disk.metadata_vec(offset.saturating_add(2), len)?;
        let bytes = if header & METADATA_PLAIN != 0 {
            stored
        } else {
            let mut bytes = vec![0; METADATA];
            let len = self.disk.decompress(self.codec, &stored, &mut bytes).ok_or_else(corrupt)?;
            bytes.truncate(len);
            bytes
        };
        let stored = u64_from(len).saturating_add(2);
        let bytes: Arc<[u8]> = bytes.into();
        if let Some(slot) = slot.as_deref_mut() {
            *slot = Some(Block { offset, stored, bytes: Arc::clone(&bytes) });
        }
        Ok((bytes, stored))
    }

    /// A data block or fragment of `stored` bytes; `size` is its size as the inode or fragment table gives it.
    fn block(&self, offset: u64, size: u32, expected: u32) -> Result<Arc<[u8]>, Error> {
        let stored = u64::from(size & !DATA_PLAIN);
        let corrupt = || Error::corrupt("data block", offset);
        if stored > u64::from(self.block_size) || size >> 25 != 0 {
            return Err(corrupt());
        }
        let mut cache = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (offset, size, expected);
        if let Some(i) = cache.iter().position(|block| (block.offset, block.size, block.expected) == key) {
            // the latest is at the end
            let block = cache.remove(i);
            let bytes = Arc::clone(&block.bytes);
            cache.push(block);
            return Ok(bytes);
        }
        drop(cache);
        let input = self.disk.data_vec(offset, index(stored))?;
        let bytes = if size & DATA_PLAIN != 0 {
            input
        } else {
            let mut bytes = vec![0; index32(expected)];
            let len = self.disk.decompress(self.codec, &input, &mut bytes).ok_or_else(corrupt)?;
            bytes.truncate(len);
            bytes
        };
        let bytes: Arc<[u8]> = bytes.into();
        cache = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= DATA_SLOTS {
            cache.remove(0);
        }
        cache.push(DataBlock { offset, size, expected, bytes: Arc::clone(&bytes) });
        Ok(bytes)
    }

    /// A position in a table that is reached over a list of its metadata blocks.
    fn indirect(&self, table: u64, entry: u64, entry_size: u64) -> Result<Cursor<'_>, Error> {
        let position = entry.saturating_mul(entry_size);
        let list = table.saturating_add((div(position, u64_from(METADATA))).saturating_mul(8));
        let block = u64::from_le_bytes(self.disk.metadata_array(list)?);
        Ok(Cursor { fs: self, block, offset: index(rem(position, u64_from(METADATA))) })
    }

    fn id(&self, number: u16) -> Result<u32, Error> {
        if number >= self.ids {
            return Err(Error::corrupt("id index", self.id_table));
        }
        self.indirect(self.id_table, number.into(), 4)?.le32()
    }

    fn inode(&self, node: Node) -> Result<Inode, Error> {
        let start = self.inode_table.saturating_add(node.0 >> 16);
        let mut at = Cursor { fs: self, block: start, offset: index(node.0 & 0xffff) };
        let header = at.array::<16>()?;
        let common = Bytes::new(&header, "inode", start);
        let inode_type = common.le16(0)?;
        let mode = common.le16(2)?;
        let mut inode = Inode {
            file_type: FileType::Regular,
            permissions: mode & 0o7777,
            uid: common.le16(4)?,
            gid: common.le16(6)?,
            mtime: common.le32(8)?,
            // a basic file has no field for it
            nlink: 1,
            size: 0,
            rdev: 0,
            xattr: NO_XATTR,
            content: Content::None,
            end: (0, 0),
        };
        match inode_type {
            1 => {
                let bytes = at.array::<16>()?;
                let dir = Bytes::new(&bytes, "directory inode", start);
                inode.file_type = FileType::Directory;
                inode.nlink = dir.le32(4)?;
                inode.size = dir.le16(8)?.into();
                inode.content = Content::Directory { block: dir.le32(0)?, offset: dir.le16(10)? };
            }
            8 => {
                let bytes = at.array::<24>()?;
                let dir = Bytes::new(&bytes, "directory inode", start);
                inode.file_type = FileType::Directory;
                inode.nlink = dir.le32(0)?;
                inode.size = dir.le32(4)?.into();
                inode.xattr = dir.le32(20)?;
                inode.content = Content::Directory { block: dir.le32(8)?, offset: dir.le16(18)? };
            }
            2 => {
                let bytes = at.array::<16>()?;
                let file = Bytes::new(&bytes, "file inode", start);
                inode.size = file.le32(12)?.into();
                inode.content = Content::File {
                    start: file.le32(0)?.into(),
                    fragment: file.le32(4)?,
                    fragment_offset: file.le32(8)?,
                    sizes: (at.block, at.offset),
                };
            }
            9 => {
                let bytes = at.array::<40>()?;
                let file = Bytes::new(&bytes, "file inode", start);
                inode.size = file.le64(8)?;
                inode.nlink = file.le32(24)?;
                inode.xattr = file.le32(36)?;
                inode.content = Content::File {
                    start: file.le64(0)?,
                    fragment: file.le32(28)?,
                    fragment_offset: file.le32(32)?,
                    sizes: (at.block, at.offset),
                };
            }
            3 | 10 => {
                inode.file_type = FileType::Symlink;
                inode.nlink = at.le32()?;
                inode.size = at.le32()?.into();
                // only the image says so, and memory is taken for it
                if inode.size > MAX_LINK {
                    return Err(Error::TooLarge { size: inode.size, limit: MAX_LINK });
                }
                inode.content = Content::Link(at.vec(index(inode.size))?);
                // it stands behind the target
                if inode_type == 10 {
                    inode.xattr = at.le32()?;
                }
            }
            4 | 5 | 11 | 12 => {
                let block = matches!(inode_type, 4 | 11);
                inode.file_type = if block { FileType::BlockDevice } else { FileType::CharDevice };
                inode.nlink = at.le32()?;
                inode.rdev = at.le32()?;
                if inode_type > 8 {
                    inode.xattr = at.le32()?;
                }
            }
            6 | 7 | 13 | 14 => {
                let fifo = matches!(inode_type, 6 | 13);
                inode.file_type = if fifo { FileType::Fifo } else { FileType::Socket };
                inode.nlink = at.le32()?;
                if inode_type > 8 {
                    inode.xattr = at.le32()?;
                }
            }
            _ => return Err(common.corrupt()),
        }
        inode.end = (at.block, at.offset);
        Ok(inode)
    }

    /// Where block `number` of a file is, and its size field, with what the blocks before it take.
    fn data_block(&self, start: u64, sizes: (u64, usize), number: u64) -> Result<(u64, u32), Error> {
        if number > MAX_BLOCKS {
            return Err(Error::Unsupported { what: "file of so many blocks" });
        }
        let known = *self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            known.filter(|known| (known.start, known.sizes) == (start, sizes) && known.number <= number);
        let known = known.unwrap_or(Position { start, sizes, number: 0, cursor: sizes, offset: start });
        let mut at = Cursor { fs: self, block: known.cursor.0, offset: known.cursor.1 };
        let mut offset = known.offset;
        let mut scratch = [0; 1024];
        let mut left = number.saturating_sub(known.number);
        while left > 0 {
            let n = left.min(256);
            let bytes = scratch.get_mut(..index(n.saturating_mul(4))).unwrap_or_default();
            at.read(bytes)?;
            for size in bytes.as_chunks().0 {
                offset = offset.saturating_add(u64::from(u32::from_le_bytes(*size) & !DATA_PLAIN));
            }
            left = left.saturating_sub(n);
        }
        let cursor = (at.block, at.offset);
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Position { start, sizes, number, cursor, offset });
        Ok((offset, at.le32()?))
    }

    fn fragment(&self, number: u32) -> Result<Arc<[u8]>, Error> {
        let (offset, size) = self.fragment_entry(number)?;
        self.block(offset, size, self.block_size)
    }

    /// Where a fragment is, and its size field.
    fn fragment_entry(&self, number: u32) -> Result<(u64, u32), Error> {
        if number >= self.fragments {
            return Err(Error::corrupt("fragment index", self.fragment_table));
        }
        let entry = self.indirect(self.fragment_table, number.into(), 16)?.array::<16>()?;
        let entry = Bytes::new(&entry, "fragment entry", self.fragment_table);
        Ok((entry.le64(0)?, entry.le32(8)?))
    }

    /// The extended attributes with that number in the table.
    fn xattr_list(&self, number: u32) -> Result<XattrList<'_>, Error> {
        let header = self.disk.metadata_array::<16>(self.xattr_table)?;
        let header = Bytes::new(&header, "xattr table", self.xattr_table);
        let (start, count) = (header.le64(0)?, header.le32(8)?);
        if number >= count {
            return Err(header.corrupt());
        }
        let entry = self.indirect(self.xattr_table.saturating_add(16), number.into(), 16)?.array::<16>()?;
        let entry = Bytes::new(&entry, "xattr entry", self.xattr_table);
        Ok(XattrList {
            fs: self,
            start,
            reference: entry.le64(0)?,
            count: entry.le32(8)?,
            size: entry.le32(12)?,
        })
    }

    fn xattr_value(&self, at: &mut Cursor<'_>) -> Result<Vec<u8>, Error> {
        let len = index32(at.le32()?);
        if len > 1 << 16 {
            return Err(Error::corrupt("xattr value", at.block));
        }
        at.vec(len)
    }
}

impl FileSystem for Squashfs {
    fn kind(&self) -> FsKind {
        FsKind::Squashfs
    }

    fn root(&self) -> Node {
        Node(self.root)
    }

    fn stat(&self, node: Node) -> Result<Stat, Error> {
        let inode = self.inode(node)?;
        Ok(Stat {
            file_type: inode.file_type,
            permissions: inode.permissions,
            uid: self.id(inode.uid)?,
            gid: self.id(inode.gid)?,
            size: inode.size,
            mtime: inode.mtime.into(),
            mtime_nsec: 0,
            nlink: inode.nlink,
            rdev: decode_dev(inode.rdev),
        })
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        let inode = self.inode(dir)?;
        let Content::Directory { block, offset } = inode.content else { return Err(Error::NotADirectory) };
        // the size counts `.` and `..`, which are not there
        let Some(mut left) = inode.size.checked_sub(3).filter(|size| *size > 0) else { return Ok(()) };
        let start = self.directory_table.saturating_add(block.into());
        if left > MAX_DIRECTORY.into() {
            return Err(Error::corrupt("directory size", start));
        }
        let mut at = Cursor { fs: self, block: start, offset: offset.into() };
        let corrupt = || Error::corrupt("directory", start);
        let mut name = [0; 256];
        while left > 0 {
            let header = at.array::<12>()?;
            let header = Bytes::new(&header, "directory header", start);
            let (count, inodes) = (header.le32(0)?, header.le32(4)?);
            if count > 255 {
                return Err(corrupt());
            }
            left = left.checked_sub(12).ok_or_else(corrupt)?;
            for _ in 0..=count {
                let entry = at.array::<8>()?;
                let entry = Bytes::new(&entry, "directory entry", start);
                let len = usize::from(entry.le16(6)?).saturating_add(1);
                let name = name.get_mut(..len).ok_or_else(corrupt)?;
                at.read(name)?;
                if !is_name(name) || matches!(&*name, b"." | b"..") {
                    return Err(corrupt());
                }
                left = left.checked_sub(u64_from(len).saturating_add(8)).ok_or_else(corrupt)?;
                let file_type = match entry.le16(4)? {
                    1 => Some(FileType::Directory),
                    2 => Some(FileType::Regular),
                    3 => Some(FileType::Symlink),
                    4 => Some(FileType::BlockDevice),
                    5 => Some(FileType::CharDevice),
                    6 => Some(FileType::Fifo),
                    7 => Some(FileType::Socket),
                    _ => None,
                };
                let node = Node(u64::from(inodes) << 16 | u64::from(entry.le16(0)?));
                if let ControlFlow::Break(()) = each(Entry { name, node, file_type }) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let inode = self.inode(file)?;
        let Content::File { start, fragment, fragment_offset, sizes } = inode.content else {
            return Err(Error::NotAFile);
        };
        let block_size = u64::from(self.block_size);
        let whole = div(inode.size, block_size);
        let mut done: usize = 0;
        while done < buf.len() {
            let at = offset.saturating_add(u64_from(done));
            if at >= inode.size {
                break;
            }
            let number = div(at, block_size);
            let from = index(rem(at, block_size));
            let expected = inode.size.saturating_sub(number.saturating_mul(block_size)).min(block_size);
            let expected32 = u32::try_from(expected).unwrap_or(u32::MAX);
            // only what fills no whole block is in a fragment, with the ends of other files
            let bytes = if number >= whole && fragment != NO_FRAGMENT {
                let begin = index32(fragment_offset);
                let bytes = self.fragment(fragment)?;
                let end = begin.saturating_add(index(expected));
                let part = bytes.get(begin..end).ok_or_else(|| Error::corrupt("fragment", start))?;
                Some(Arc::from(part))
            } else {
                let (offset, size) = self.data_block(start, sizes, number)?;
                // a block of zeros takes no bytes
                if size == 0 { None } else { Some(self.block(offset, size, expected32)?) }
            };
            let rest = buf.get_mut(done..).unwrap_or_default();
            let n = rest.len().min(index(expected).saturating_sub(from));
            let target = rest.get_mut(..n).unwrap_or_default();
            match bytes {
                None => target.fill(0),
                Some(bytes) => {
                    let source = bytes.get(from..from.saturating_add(n));
                    target.copy_from_slice(source.ok_or_else(|| Error::corrupt("data block", start))?);
                }
            }
            done = done.saturating_add(n);
        }
        Ok(done)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, Error> {
        match self.inode(link)?.content {
            Content::Link(target) => Ok(target),
            _ => Err(Error::NotALink),
        }
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, Error> {
        let number = self.inode(node)?.xattr;
        if number == NO_XATTR || self.xattr_table == NO_TABLE {
            return Ok(Vec::new());
        }
        let list = self.xattr_list(number)?;
        let mut at = list.at(list.reference);
        let mut xattrs = Vec::new();
        let mut total: usize = 0;
        for _ in 0..list.count {
            let key = at.array::<4>()?;
            let key = Bytes::new(&key, "xattr key", list.start);
            let (kind, len) = (key.le16(0)?, usize::from(key.le16(2)?));
            let prefix = match kind & 0xff {
                0 => &b"user."[..],
                1 => b"trusted.",
                2 => b"security.",
                _ => return Err(key.corrupt()),
            };
            if len > 255 {
                return Err(key.corrupt());
            }
            let name = [prefix, &at.vec(len)?].concat();
            let value = if kind & XATTR_OUT_OF_LINE != 0 {
                at.skip(4)?;
                let reference = u64::from_le_bytes(at.array()?);
                self.xattr_value(&mut list.at(reference))?
            } else {
                self.xattr_value(&mut at)?
            };
            total = total.saturating_add(name.len()).saturating_add(value.len()).saturating_add(XATTR);
            if total > MAX_XATTRS {
                return Err(Error::TooLarge { size: u64_from(total), limit: u64_from(MAX_XATTRS) });
            }
            xattrs.push(Xattr { name, value });
        }
        Ok(xattrs)
    }

    fn extents(&self, node: Node, each: &mut EachExtent<'_>) -> Result<(), Error> {
        self.file_extents(node, each)
    }

    fn system_extents(&self, each: &mut EachExtent<'_>) -> Result<(), Error> {
        self.own_extents(each)
    }
}

#[cfg(test)]
mod tests;
