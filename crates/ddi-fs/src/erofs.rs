//! erofs.
//!
//! ```text
//!   0     1024          metadata blocks                                    data blocks
//!   ├─────┼ superblock ─┼ inode │ xattrs │ tail of the data or index ┼ …  ┼──────────
//!                         └ nid × 32 bytes from the metadata's start
//! ```
//!
//! Sources: Linux, `fs/erofs/erofs_fs.h`, `inode.c`, `data.c`, `xattr.c`, `zmap.c`; erofs-utils, `lib/decompress.c`.

mod compressed;
mod encoded;
mod extent;
mod extents;
mod root;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Bytes, Disk, index, u64_from};
use super::{
    BadBlock, EachEntry, EachExtent, Entry, Error, FileSystem, FileType, MAX_LINK, MAX_XATTRS, Node, Stat,
    XATTR, Xattr, decode_dev, is_name, list_around,
};
use crate::probe::FsKind;

const SUPERBLOCK: u64 = 1024;
/// With the one slot behind the first 128 bytes that has a meaning.
const SUPERBLOCK_SIZE: usize = 144;
const MAGIC: u32 = 0xe0f5_e1e2;

const INCOMPAT_ZERO_PADDING: u32 = 0x1;
const INCOMPAT_CHUNKED: u32 = 0x4;
const INCOMPAT_FRAGMENTS: u32 = 0x20;
const INCOMPAT_48BIT: u32 = 0x80;
const INCOMPAT_METABOX: u32 = 0x100;
/// … and compression configurations, device table (or second head), tail packing, xattr prefixes.
const INCOMPAT_KNOWN: u32 = 0x1ff;
const COMPAT_SHARED_XATTRS_IN_METABOX: u32 = 0x8;
const COMPAT_PLAIN_XATTR_PREFIXES: u32 = 0x10;

/// In a node number of a directory: the inode is inside the metabox file.
const IN_METABOX: u64 = 1 << 63;
/// In an inode's format, for files: one link, and the field of that holds the block address's upper part.
const NLINK_1: u16 = 1 << 4;
/// All of an inode's format: compact or extended, layout, and [`NLINK_1`], which in directories says that `.` is left out.
const FORMAT_KNOWN: u16 = 0x1f;
/// In a chunk format: 8-byte indexes rather than 4-byte addresses.
const CHUNK_INDEXES: u32 = 0x20;
const CHUNK_48BIT: u32 = 0x40;
/// Directories of more bytes are not believed: 4 million entries of 250 bytes.
const MAX_DIRECTORY: u64 = 1 << 30;

/// Decompressed extents kept: up to 16 MiB, or one.
const CACHE_BYTES: usize = 16 << 20;
const CACHE_EXTENTS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Blocks in a row.
    Plain,
    /// Compressed, with an index of 8 bytes for each logical cluster.
    CompressedFull,
    /// Blocks in a row, but the last part stands behind the inode.
    Inline,
    /// Compressed, with a packed index.
    CompressedCompact,
    /// Chunks anywhere.
    Chunked,
}

/// An inode as it is on the disk, in one form for both of its sizes.
#[derive(Debug, Clone, Copy)]
struct Inode {
    node: Node,
    layout: Layout,
    mode: u16,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: i64,
    mtime_nsec: u32,
    nlink: u32,
    /// `i_u`: block address, device number, chunk format.
    union: u32,
    /// Block address of plain layouts; `None` is a hole.
    start: Option<u64>,
    /// From the start of the metadata's space: where the inode, its xattrs, and what follows them begin.
    offset: u64,
    xattrs: u64,
    tail: u64,
    xattr_count: u16,
}

impl Inode {
    fn file_type(&self) -> Result<FileType, Error> {
        FileType::from_mode(self.mode).ok_or_else(|| Error::corrupt("inode mode", self.offset))
    }
}

/// How a file is cut into chunks.
struct Chunks {
    /// log₂ of their size, and that.
    bits: u32,
    size: u64,
    /// Bytes of an entry of the table.
    unit: u64,
    /// True if addresses in it have 48 bits.
    large: bool,
    /// In the metadata's space.
    table: u64,
}

/// A decompressed extent.
struct Extent {
    node: Node,
    start: u64,
    bytes: Arc<[u8]>,
}

pub(super) struct Erofs {
    disk: Disk,
    /// log₂ of the block size, 9 to 16.
    block_bits: u32,
    /// Parts of 16 bytes that the superblock has behind its first 128.
    slots: u8,
    feature_compat: u32,
    feature_incompat: u32,
    root: u64,
    epoch: i64,
    fixed_nsec: u32,
    meta: u64,
    xattr: u64,
    packed: u64,
    metabox: Option<Box<Inode>>,
    /// Long prefixes of xattr names.
    prefixes: Vec<Vec<u8>>,
    cache: Mutex<Vec<Extent>>,
    sums: Mutex<Vec<encoded::Sums>>,
}

impl std::fmt::Debug for Erofs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Erofs").field("block_bits", &self.block_bits).finish_non_exhaustive()
    }
}

impl Erofs {
    pub(super) fn open(disk: Disk) -> Result<Self, Error> {
        let bytes = disk.metadata_array::<SUPERBLOCK_SIZE>(SUPERBLOCK)?;
        let sb = Bytes::new(&bytes, "superblock", SUPERBLOCK);
        let magic = sb.le32(0)?;
        let feature_compat = sb.le32(8)?;
        let block_bits = u32::from(sb.u8(12)?);
        let sb_extslots = sb.u8(13)?;
        let root_nid_2b = sb.le16(14)?;
        let epoch = sb.le64(24)?;
        let fixed_nsec = sb.le32(32)?;
        let meta_blkaddr = sb.le32(40)?;
        let xattr_blkaddr = sb.le32(44)?;
        let feature_incompat = sb.le32(80)?;
        let dirblkbits = sb.u8(90)?;
        let xattr_prefix_count = sb.u8(91)?;
        let xattr_prefix_start = sb.le32(92)?;
        let packed_nid = sb.le64(96)?;
        let root_nid_8b = sb.le64(112)?;
        // 8 reserved bytes
        let metabox_nid = sb.le64(128)?;

        if magic != MAGIC || fixed_nsec >= 1_000_000_000 {
            return Err(sb.corrupt());
        }
        if feature_incompat & !INCOMPAT_KNOWN != 0 {
            return Err(Error::Features {
                field: "feature_incompat",
                bits: (feature_incompat & !INCOMPAT_KNOWN).into(),
            });
        }
        if !(9..=16).contains(&block_bits) {
            return Err(Error::corrupt("block size", SUPERBLOCK));
        }
        if dirblkbits != 0 {
            return Err(Error::Unsupported { what: "directory blocks larger than blocks" });
        }
        let large = feature_incompat & INCOMPAT_48BIT != 0;
        let address = |block: u32| u64::from(block).checked_shl(block_bits).unwrap_or(u64::MAX);
        let mut fs = Erofs {
            disk,
            block_bits,
            slots: sb_extslots,
            feature_compat,
            feature_incompat,
            root: if large && root_nid_8b != 0 { root_nid_8b } else { root_nid_2b.into() },
            epoch: epoch.cast_signed(),
            fixed_nsec,
            meta: address(meta_blkaddr),
            xattr: address(xattr_blkaddr),
            packed: packed_nid,
            metabox: None,
            prefixes: Vec::new(),
            cache: Mutex::default(),
            sums: Mutex::default(),
        };
        if feature_incompat & INCOMPAT_METABOX != 0 {
            // its number is in the first slot
            if sb_extslots == 0 || metabox_nid & IN_METABOX != 0 {
                return Err(Error::corrupt("metabox inode", SUPERBLOCK));
            }
            fs.metabox = Some(Box::new(fs.inode(Node(metabox_nid))?));
        }
        if xattr_prefix_count != 0 {
            fs.prefixes = fs.read_prefixes(xattr_prefix_start, xattr_prefix_count)?;
        }
        if fs.inode(fs.root())?.file_type()? != FileType::Directory {
            return Err(Error::corrupt("root inode", SUPERBLOCK));
        }
        Ok(fs)
    }

    fn block_size(&self) -> u64 {
        1_u64.checked_shl(self.block_bits).unwrap_or(u64::MAX)
    }

    /// Offset within a block.
    fn in_block(&self, offset: u64) -> u64 {
        offset & self.block_size().saturating_sub(1)
    }

    fn address(&self, block: u64) -> Result<u64, Error> {
        block.checked_mul(self.block_size()).ok_or_else(|| Error::corrupt("block address", block))
    }

    /// Reads metadata: of the disk, or of the file that holds all of it.
    fn metadata(&self, node: Node, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        if node.0 & IN_METABOX == 0 {
            return self.disk.metadata(offset, buf);
        }
        let metabox = self.metabox.as_deref().ok_or_else(|| Error::corrupt("node number", offset))?;
        if self.read(metabox, offset, buf)? != buf.len() {
            return Err(Error::corrupt("metabox reference", offset));
        }
        Ok(())
    }

    fn metadata_array<const N: usize>(&self, node: Node, offset: u64) -> Result<[u8; N], Error> {
        let mut buf = [0; N];
        self.metadata(node, offset, &mut buf)?;
        Ok(buf)
    }

    /// In the metadata's space.
    fn inode_offset(&self, node: Node) -> Result<u64, Error> {
        let base = if node.0 & IN_METABOX == 0 { self.meta } else { 0 };
        let offset = (node.0 & !IN_METABOX).checked_mul(32).and_then(|at| at.checked_add(base));
        offset.ok_or_else(|| Error::corrupt("node number", SUPERBLOCK))
    }

    fn inode(&self, node: Node) -> Result<Inode, Error> {
        let offset = self.inode_offset(node)?;
        let compact = self.metadata_array::<32>(node, offset)?;
        let format = u16::from_le_bytes([compact[0], compact[1]]);
        if format & !FORMAT_KNOWN != 0 {
            return Err(Error::Unsupported { what: "unknown inode format" });
        }
        let layout = match format >> 1 & 7 {
            0 => Layout::Plain,
            1 => Layout::CompressedFull,
            2 => Layout::Inline,
            3 => Layout::CompressedCompact,
            4 if self.feature_incompat & INCOMPAT_CHUNKED != 0 => Layout::Chunked,
            4 => return Err(Error::corrupt("inode format", offset)),
            _ => return Err(Error::Unsupported { what: "unknown data layout" }),
        };
        let large = self.feature_incompat & INCOMPAT_48BIT != 0;
        let bytes;
        let raw;
        let mut inode = Inode {
            node,
            layout,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: self.epoch,
            mtime_nsec: self.fixed_nsec,
            nlink: 0,
            union: 0,
            start: None,
            offset,
            xattrs: 0,
            tail: 0,
            xattr_count: 0,
        };
        let (high, mask, inode_size);
        if format & 1 == 0 {
            raw = Bytes::new(&compact, "inode", offset);
            inode_size = 32;
            inode.size = raw.le32(8)?.into();
            // a reserved zero before 48-bit layouts
            let mtime = self.epoch.checked_add(raw.le32(12)?.into());
            inode.mtime = mtime.ok_or_else(|| raw.corrupt())?;
            inode.uid = raw.le16(24)?.into();
            inode.gid = raw.le16(26)?.into();
            let is_dir = FileType::from_mode(raw.le16(4)?) == Some(FileType::Directory);
            if large && !is_dir && format & NLINK_1 != 0 {
                inode.nlink = 1;
                (high, mask) = (u64::from(raw.le16(6)?), (1_u64 << 48).saturating_sub(1));
            } else {
                inode.nlink = raw.le16(6)?.into();
                (high, mask) = (0, u64::from(u32::MAX));
            }
        } else {
            bytes = self.metadata_array::<64>(node, offset)?;
            raw = Bytes::new(&bytes, "inode", offset);
            inode_size = 64;
            inode.size = raw.le64(8)?;
            inode.uid = raw.le32(24)?;
            inode.gid = raw.le32(28)?;
            inode.mtime = raw.le64(32)?.cast_signed();
            inode.mtime_nsec = raw.le32(40)?;
            inode.nlink = raw.le32(44)?;
            if large {
                (high, mask) = (u64::from(raw.le16(6)?), (1_u64 << 48).saturating_sub(1));
            } else {
                (high, mask) = (0, u64::from(u32::MAX));
            }
        }
        inode.xattr_count = raw.le16(2)?;
        inode.mode = raw.le16(4)?;
        inode.union = raw.le32(16)?;
        let start = u64::from(inode.union) | high << 32;
        inode.start = Some(start).filter(|start| *start != mask);
        inode.xattrs = offset.saturating_add(inode_size);
        let xattrs = match inode.xattr_count {
            0 => 0,
            n => u64::from(n).saturating_sub(1).saturating_mul(4).saturating_add(12),
        };
        inode.tail = inode.xattrs.saturating_add(xattrs);
        if inode.size > i64::MAX.unsigned_abs() || inode.mtime_nsec >= 1_000_000_000 {
            return Err(raw.corrupt());
        }
        Ok(inode)
    }

    /// Content of any inode, by its layout. Fills `buf` as far as the inode goes.
    fn read(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let len = index(inode.size.saturating_sub(offset).min(u64_from(buf.len())));
        let buf = buf.get_mut(..len).unwrap_or_default();
        let mut done: usize = 0;
        while done < len {
            let at = offset.saturating_add(u64_from(done));
            let rest = buf.get_mut(done..).unwrap_or_default();
            let n = match inode.layout {
                Layout::Plain => self.read_plain(inode, at, inode.size, rest)?,
                Layout::Inline => self.read_inline(inode, at, rest)?,
                Layout::Chunked => self.read_chunk(inode, at, rest)?,
                Layout::CompressedFull | Layout::CompressedCompact => {
                    self.read_compressed(inode, at, rest)?
                }
            };
            if n == 0 {
                return Err(Error::corrupt("file layout", inode.offset));
            }
            done = done.saturating_add(n);
        }
        Ok(done)
    }

    /// Of the part up to `end` that lies in a row.
    fn read_plain(&self, inode: &Inode, at: u64, end: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let n = index(end.saturating_sub(at)).min(buf.len());
        let buf = buf.get_mut(..n).unwrap_or_default();
        match inode.start {
            None => buf.fill(0),
            Some(start) => {
                let start = self.address(start)?.checked_add(at);
                self.content(
                    inode,
                    start.ok_or_else(|| Error::corrupt("block address", inode.offset))?,
                    buf,
                )?;
            }
        }
        Ok(n)
    }

    /// Directories go through the cache of metadata.
    fn content(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        if FileType::from_mode(inode.mode) == Some(FileType::Regular) {
            self.disk.data(offset, buf)
        } else {
            self.disk.metadata(offset, buf)
        }
    }

    fn read_inline(&self, inode: &Inode, at: u64, buf: &mut [u8]) -> Result<usize, Error> {
        // the last block, full or not, is the one behind the inode
        let tail = inode.size.saturating_sub(1) & !self.block_size().saturating_sub(1);
        if at < tail {
            return self.read_plain(inode, at, tail, buf);
        }
        let within = at.saturating_sub(tail);
        let end = self.in_block(inode.tail).saturating_add(inode.size.saturating_sub(tail));
        if end > self.block_size() {
            return Err(Error::corrupt("inline data", inode.tail));
        }
        let n = index(inode.size.saturating_sub(at)).min(buf.len());
        let target = buf.get_mut(..n).unwrap_or_default();
        self.metadata(inode.node, inode.tail.saturating_add(within), target)?;
        Ok(n)
    }

    /// How a file is cut into chunks.
    fn chunks(&self, inode: &Inode) -> Result<Chunks, Error> {
        let format = inode.union & 0xffff;
        if format & !0x7f != 0 {
            return Err(Error::Unsupported { what: "unknown chunk format" });
        }
        let bits = self.block_bits.saturating_add(format & 0x1f);
        let unit: u64 = if format & CHUNK_INDEXES != 0 { 8 } else { 4 };
        Ok(Chunks {
            bits,
            size: 1_u64.checked_shl(bits).unwrap_or(u64::MAX),
            unit,
            large: format & CHUNK_48BIT != 0,
            table: inode.tail.checked_next_multiple_of(unit).unwrap_or(u64::MAX),
        })
    }

    /// Where byte `at` of a file in chunks is; `None`: in a hole.
    fn chunk(&self, inode: &Inode, chunks: &Chunks, at: u64) -> Result<Option<u64>, Error> {
        let number = at.checked_shr(chunks.bits).unwrap_or(0);
        let within = at & chunks.size.saturating_sub(1);
        let entry = number.checked_mul(chunks.unit).and_then(|at| at.checked_add(chunks.table));
        let entry = entry.ok_or_else(|| Error::corrupt("chunk index", inode.offset))?;
        let block = if chunks.unit == 4 {
            let block = u32::from_le_bytes(self.metadata_array(inode.node, entry)?);
            Some(u64::from(block)).filter(|_| block != u32::MAX)
        } else {
            let bytes = self.metadata_array::<8>(inode.node, entry)?;
            let raw = Bytes::new(&bytes, "chunk index", entry);
            let (high, device, low) = (raw.le16(0)?, raw.le16(2)?, raw.le32(4)?);
            let hole = low == u32::MAX && (!chunks.large || high == u16::MAX);
            if !hole && device != 0 {
                return Err(Error::Unsupported { what: "data on another device" });
            }
            let high = if chunks.large { u64::from(high) << 32 } else { 0 };
            Some(high | u64::from(low)).filter(|_| !hole)
        };
        let Some(block) = block else { return Ok(None) };
        let start = self.address(block)?.checked_add(within);
        start.map(Some).ok_or_else(|| Error::corrupt("chunk index", entry))
    }

    fn read_chunk(&self, inode: &Inode, at: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let chunks = self.chunks(inode)?;
        let within = at & chunks.size.saturating_sub(1);
        let n = index(chunks.size.saturating_sub(within)).min(buf.len());
        let target = buf.get_mut(..n).unwrap_or_default();
        match self.chunk(inode, &chunks, at)? {
            None => target.fill(0),
            Some(start) => self.content(inode, start, target)?,
        }
        Ok(n)
    }

    fn read_compressed(&self, inode: &Inode, at: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let copy = |start: u64, bytes: &[u8], buf: &mut [u8]| {
            let from = bytes.get(index(at.saturating_sub(start))..).unwrap_or_default();
            let n = from.len().min(buf.len());
            if let (Some(source), Some(target)) = (from.get(..n), buf.get_mut(..n)) {
                target.copy_from_slice(source);
            }
            n
        };
        // not locked while an extent is read and decompressed
        {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            let hit = cache.iter().find(|extent| {
                extent.node == inode.node
                    && at.checked_sub(extent.start).is_some_and(|at| at < u64_from(extent.bytes.len()))
            });
            if let Some(extent) = hit {
                let (start, bytes) = (extent.start, Arc::clone(&extent.bytes));
                drop(cache);
                return Ok(copy(start, &bytes, buf));
            }
        }
        match self.extent(inode, at)? {
            compressed::Content::Here { start, bytes } => {
                let bytes: Arc<[u8]> = bytes.into();
                let n = copy(start, &bytes, buf);
                let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
                let mut total: usize = cache.iter().map(|extent| extent.bytes.len()).sum();
                total = total.saturating_add(bytes.len());
                // the oldest go; one that is larger than the limit is kept alone
                while !cache.is_empty() && (total > CACHE_BYTES || cache.len() >= CACHE_EXTENTS) {
                    total = total.saturating_sub(cache.remove(0).bytes.len());
                }
                cache.push(Extent { node: inode.node, start, bytes });
                Ok(n)
            }
            compressed::Content::Hole { len } => {
                let n = index(len).min(buf.len());
                buf.get_mut(..n).unwrap_or_default().fill(0);
                Ok(n)
            }
            // kept as extents of the packed inode, if that is compressed
            compressed::Content::Fragment { offset, len } => {
                let packed = self.packed_for(inode)?;
                let n = index(len).min(buf.len());
                self.read(&packed, offset, buf.get_mut(..n).unwrap_or_default())
            }
        }
    }

    fn packed_inode(&self) -> Result<Inode, Error> {
        if self.feature_incompat & INCOMPAT_FRAGMENTS == 0 || self.packed == 0 {
            return Err(Error::corrupt("packed inode", SUPERBLOCK));
        }
        self.inode(Node(self.packed))
    }

    /// The packed inode, for a fragment of `inode`, which must not be needed to read it.
    fn packed_for(&self, inode: &Inode) -> Result<Inode, Error> {
        let metabox = self.metabox.as_ref().is_some_and(|metabox| metabox.node == inode.node);
        if inode.node.0 == self.packed || metabox && self.packed & IN_METABOX != 0 {
            return Err(Error::corrupt("fragment of the packed inode", inode.offset));
        }
        self.packed_inode()
    }

    fn read_prefixes(&self, start: u32, count: u8) -> Result<Vec<Vec<u8>>, Error> {
        let mut at = u64::from(start).saturating_mul(4);
        let plain = self.feature_compat & COMPAT_PLAIN_XATTR_PREFIXES != 0;
        let file = if plain {
            None
        } else if self.metabox.is_some() {
            self.metabox.as_deref().copied()
        } else if self.feature_incompat & INCOMPAT_FRAGMENTS != 0 && self.packed != 0 {
            Some(self.packed_inode()?)
        } else {
            None
        };
        let read = |at: u64, buf: &mut [u8]| match &file {
            None => self.disk.metadata(at, buf),
            Some(file) => match self.read(file, at, buf)? == buf.len() {
                true => Ok(()),
                false => Err(Error::corrupt("xattr prefixes", at)),
            },
        };
        let mut prefixes = Vec::new();
        for _ in 0..count & 0x7f {
            at = at.checked_next_multiple_of(4).unwrap_or(u64::MAX);
            let mut len = [0; 2];
            read(at, &mut len)?;
            let len = usize::from(u16::from_le_bytes(len));
            if len == 0 || len > 256 {
                return Err(Error::corrupt("xattr prefixes", at));
            }
            let mut bytes = vec![0; len];
            read(at.saturating_add(2), &mut bytes)?;
            let (base, infix) = bytes.split_first().ok_or_else(|| Error::corrupt("xattr prefixes", at))?;
            let base = prefix(*base).ok_or_else(|| Error::corrupt("xattr prefixes", at))?;
            prefixes.push([base, infix].concat());
            at = at.saturating_add(2).saturating_add(u64_from(len));
        }
        Ok(prefixes)
    }

    /// `bad` decides whether to go on behind a block with that error.
    fn list_noting(&self, dir: Node, each: &mut EachEntry<'_>, bad: &mut BadBlock<'_>) -> Result<(), Error> {
        let inode = self.inode(dir)?;
        if inode.file_type()? != FileType::Directory {
            return Err(Error::NotADirectory);
        }
        if inode.size > MAX_DIRECTORY {
            return Err(Error::corrupt("directory size", inode.offset));
        }
        let mut block = vec![0; index(self.block_size().min(inode.size))];
        let mut at = 0;
        while at < inode.size {
            let n = match self.read(&inode, at, &mut block) {
                Ok(n) => n,
                Err(error) => {
                    bad(error)?;
                    at = at.saturating_add(self.block_size());
                    continue;
                }
            };
            at = at.saturating_add(u64_from(n));
            let bytes = Bytes::new(block.get(..n).unwrap_or_default(), "directory", inode.offset);
            let first = usize::from(bytes.le16(8)?);
            if first < 12 || first >= n || !first.is_multiple_of(12) {
                return Err(bytes.corrupt());
            }
            let mut start = first;
            for entry in (0..first).step_by(12) {
                let next = entry.saturating_add(12);
                let end = if next < first { usize::from(bytes.le16(next.saturating_add(8))?) } else { n };
                let name = bytes.slice(start, end.checked_sub(start).ok_or_else(|| bytes.corrupt())?)?;
                // the last name of a block may be padded
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                let node = Node(bytes.le64(entry)?);
                let file_type = match bytes.u8(entry.saturating_add(10))? {
                    1 => Some(FileType::Regular),
                    2 => Some(FileType::Directory),
                    3 => Some(FileType::CharDevice),
                    4 => Some(FileType::BlockDevice),
                    5 => Some(FileType::Fifo),
                    6 => Some(FileType::Socket),
                    7 => Some(FileType::Symlink),
                    _ => None,
                };
                start = end;
                if matches!(name, b"." | b"..") {
                    continue;
                }
                if !is_name(name) {
                    return Err(bytes.corrupt());
                }
                if let ControlFlow::Break(()) = each(Entry { name, node, file_type }) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Where the xattrs that a file shares with others are, in [their space](Self::shared_xattr_space).
    fn shared_xattrs(&self, inode: &Inode) -> Result<Vec<u64>, Error> {
        let header = self.metadata_array::<12>(inode.node, inode.xattrs)?;
        let at = inode.xattrs.saturating_add(12);
        let mut ids = vec![0; usize::from(header[4]).saturating_mul(4)];
        if at.saturating_add(u64_from(ids.len())) > inode.tail {
            return Err(Error::corrupt("shared xattrs", inode.xattrs));
        }
        self.metadata(inode.node, at, &mut ids)?;
        let place =
            |id: &[u8; 4]| u64::from(u32::from_le_bytes(*id)).saturating_mul(4).saturating_add(self.xattr);
        Ok(ids.as_chunks().0.iter().map(place).collect())
    }

    /// What is shared may be in the metabox though the inode is not, or the reverse.
    fn shared_xattr_space(&self) -> Node {
        let boxed = self.feature_compat & COMPAT_SHARED_XATTRS_IN_METABOX != 0 && self.metabox.is_some();
        Node(if boxed { IN_METABOX } else { 0 })
    }

    /// Calls `each` with every xattr of a file, until that breaks. Those of the inode come first, then what is shared.
    fn each_xattr(
        &self,
        node: Node,
        each: &mut dyn FnMut(XattrEntry) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let inode = self.inode(node)?;
        if inode.xattr_count == 0 {
            return Ok(());
        }
        let shared = self.shared_xattrs(&inode)?;
        let space = self.shared_xattr_space();
        let mut total: usize = 0;
        let mut add = |entry: XattrEntry| {
            total = total.saturating_add(entry.name.len()).saturating_add(entry.value_size);
            total = total.saturating_add(XATTR);
            if total > MAX_XATTRS {
                return Err(Error::TooLarge { size: u64_from(total), limit: u64_from(MAX_XATTRS) });
            }
            each(entry)
        };
        let mut at = inode.xattrs.saturating_add(12).saturating_add(u64_from(shared.len()).saturating_mul(4));
        while at < inode.tail {
            let entry = self.xattr_entry(node, at)?;
            let end = entry.value_at.saturating_add(u64_from(entry.value_size));
            if end > inode.tail {
                return Err(Error::corrupt("xattr", at));
            }
            if add(entry)?.is_break() {
                return Ok(());
            }
            at = end.checked_next_multiple_of(4).unwrap_or(u64::MAX);
        }
        for at in shared {
            if add(self.xattr_entry(space, at)?)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The name of one xattr at `at`, and where its value is.
    fn xattr_entry(&self, node: Node, at: u64) -> Result<XattrEntry, Error> {
        let entry = self.metadata_array::<4>(node, at)?;
        let [name_len, name_index, ..] = entry;
        let value_size = usize::from(u16::from_le_bytes([entry[2], entry[3]]));
        let prefix = if name_index & 0x80 != 0 {
            self.prefixes.get(usize::from(name_index & 0x7f)).map(Vec::as_slice)
        } else {
            prefix(name_index)
        };
        let prefix = prefix.ok_or_else(|| Error::corrupt("xattr prefix", at))?;
        let mut name = vec![0; prefix.len().saturating_add(name_len.into())];
        let (target, rest) =
            name.split_at_mut_checked(prefix.len()).ok_or_else(|| Error::corrupt("xattr prefix", at))?;
        target.copy_from_slice(prefix);
        self.metadata(node, at.saturating_add(4), rest)?;
        let value_at = at.saturating_add(4).saturating_add(name_len.into());
        Ok(XattrEntry { name, node, value_at, value_size })
    }

    fn xattr_value(&self, entry: &XattrEntry) -> Result<Vec<u8>, Error> {
        let mut value = vec![0; entry.value_size];
        self.metadata(entry.node, entry.value_at, &mut value)?;
        Ok(value)
    }
}

fn prefix(index: u8) -> Option<&'static [u8]> {
    Some(match index {
        1 => b"user.",
        2 => b"system.posix_acl_access",
        3 => b"system.posix_acl_default",
        4 => b"trusted.",
        6 => b"security.",
        _ => return None,
    })
}

/// An extended attribute, of which the value was not read yet.
struct XattrEntry {
    name: Vec<u8>,
    /// Says in which space the value is.
    node: Node,
    value_at: u64,
    value_size: usize,
}

impl FileSystem for Erofs {
    fn kind(&self) -> FsKind {
        FsKind::Erofs
    }

    fn root(&self) -> Node {
        Node(self.root)
    }

    fn stat(&self, node: Node) -> Result<Stat, Error> {
        let inode = self.inode(node)?;
        let file_type = inode.file_type()?;
        let device = matches!(file_type, FileType::CharDevice | FileType::BlockDevice);
        Ok(Stat {
            file_type,
            permissions: inode.mode & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            size: inode.size,
            mtime: inode.mtime,
            mtime_nsec: inode.mtime_nsec,
            nlink: inode.nlink,
            rdev: if device { decode_dev(inode.union) } else { (0, 0) },
        })
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        self.list_noting(dir, each, &mut Err)
    }

    fn list_readable(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        list_around(&mut |bad| self.list_noting(dir, each, bad))
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let inode = self.inode(file)?;
        if inode.file_type()? != FileType::Regular {
            return Err(Error::NotAFile);
        }
        self.read(&inode, offset, buf)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, Error> {
        let inode = self.inode(link)?;
        if inode.file_type()? != FileType::Symlink {
            return Err(Error::NotALink);
        }
        if inode.size > MAX_LINK {
            return Err(Error::TooLarge { size: inode.size, limit: MAX_LINK });
        }
        let mut target = vec![0; index(inode.size)];
        self.read(&inode, 0, &mut target)?;
        Ok(target)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, Error> {
        let mut xattrs = Vec::new();
        self.each_xattr(node, &mut |entry| {
            let value = self.xattr_value(&entry)?;
            xattrs.push(Xattr { name: entry.name, value });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(xattrs)
    }

    fn xattr(&self, node: Node, name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut value = None;
        self.each_xattr(node, &mut |entry| {
            if entry.name != name {
                return Ok(ControlFlow::Continue(()));
            }
            value = Some(self.xattr_value(&entry)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(value)
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
