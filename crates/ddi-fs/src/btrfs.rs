//! btrfs on one device, from the default subvolume on.
//!
//! ```text
//!   superblock (64 KiB) → chunk tree: logical → physical
//!                       → root tree → subvolume trees: inodes, names, extents, xattrs as items with sorted keys
//! ```
//!
//! The log tree is not replayed, checksums are not compared, and a second copy of a block is not looked for. Blocks
//! striped over devices are not read.
//!
//! Sources: btrfs documentation, *On-disk Format*; Linux, `include/uapi/linux/btrfs_tree.h`, `fs/btrfs/lzo.c`.

mod extent;
mod node;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use super::disk::{Bytes, Disk, index, index32, u64_from};
use super::{
    EachEntry, Entry, Error, FileSystem, FileType, MAX_LINK, MAX_XATTRS, Node, Stat, XATTR, Xattr, is_name,
};
use crate::probe::FsKind;
use node::{Key, Root};

const SUPERBLOCK: u64 = 0x1_0000;
const MAGIC: &[u8] = b"_BHRfS_M";

const INODE_ITEM: u8 = 1;
const XATTR_ITEM: u8 = 24;
const DIR_ITEM: u8 = 84;
const DIR_INDEX: u8 = 96;
const EXTENT_DATA: u8 = 108;
const ROOT_ITEM: u8 = 132;
const ROOT_REF: u8 = 156;
const CHUNK_ITEM: u8 = 228;

/// The tree of the top-level subvolume.
const FS_TREE: u64 = 5;
/// The root directory of each subvolume; chunk items have this number too.
const FIRST_FREE: u64 = 256;

/// All of Linux 6.12 but zoned devices, the second extent tree and the stripe tree.
const INCOMPAT_KNOWN: u64 = 0xfff | 0x1_0000;
/// Profiles whose blocks are on one device as a whole: single, RAID1, DUP, RAID1C3, RAID1C4.
const STRIPED: u64 = 0x8 | 0x40 | 0x80 | 0x100;
/// Chunks of one image. One covers 1 GiB as a rule.
const MAX_CHUNKS: usize = 1 << 20;
/// Subvolumes met: their place in a list is part of the node.
const MAX_SUBVOLUMES: usize = 1 << 15;
/// Bits of the inode number in a node.
const INODE_BITS: u32 = 48;
/// In a node: an empty directory where a subvolume would be. Its number is that of the subvolume.
const EMPTY: u64 = 1 << 63;

pub(super) struct Btrfs {
    disk: Disk,
    node_size: u32,
    sector_size: u32,
    device: u64,
    /// Logical start → length and physical start.
    chunks: BTreeMap<u64, (u64, u64)>,
    root_tree: Root,
    /// Subvolumes by the order in which they were met; the default one is the first.
    subvolumes: Mutex<Vec<(u64, Root)>>,
    has_log: bool,
    cache: extent::Cache,
}

impl std::fmt::Debug for Btrfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Btrfs").field("chunks", &self.chunks.len()).finish_non_exhaustive()
    }
}

/// Logical start, and what it leads to: length and physical start.
type Chunk = (u64, (u64, u64));

/// A file: its tree and its number in it.
#[derive(Debug, Clone, Copy)]
struct File {
    /// In the list of subvolumes, and what that is called in the root tree.
    subvolume: u64,
    id: u64,
    root: Root,
    inode: u64,
}

impl File {
    fn key(&self, kind: u8, offset: u64) -> Key {
        Key { object: self.inode, kind, offset }
    }
}

impl Btrfs {
    pub(super) fn open(disk: Disk) -> Result<Self, Error> {
        let bytes = disk.metadata_array::<4096>(SUPERBLOCK)?;
        let sb = Bytes::new(&bytes, "superblock", SUPERBLOCK);
        let magic = sb.slice(0x40, 8)?;
        let root = sb.le64(0x50)?;
        let chunk_root = sb.le64(0x58)?;
        let log_root = sb.le64(0x60)?;
        let root_dir_objectid = sb.le64(0x80)?;
        let sectorsize = sb.le32(0x90)?;
        let nodesize = sb.le32(0x94)?;
        let sys_chunk_array_size = sb.le32(0xa0)?;
        let incompat_flags = sb.le64(0xbc)?;
        let root_level = sb.u8(0xc6)?;
        let chunk_root_level = sb.u8(0xc7)?;
        let devid = sb.le64(0xc9)?;

        if magic != MAGIC {
            return Err(sb.corrupt());
        }
        let unknown = incompat_flags & !INCOMPAT_KNOWN;
        if unknown != 0 {
            return Err(Error::Features { field: "incompat_flags", bits: unknown });
        }
        let size = |n: u32| n.is_power_of_two() && (4096..=65536).contains(&n);
        if !size(sectorsize) || !size(nodesize) {
            return Err(Error::corrupt("block size", SUPERBLOCK));
        }
        let mut fs = Btrfs {
            disk,
            node_size: nodesize,
            sector_size: sectorsize,
            device: devid,
            chunks: BTreeMap::new(),
            root_tree: Root { logical: root, level: root_level },
            subvolumes: Mutex::default(),
            has_log: log_root != 0,
            cache: extent::Cache::default(),
        };
        // all other addresses are logical, and lead nowhere without chunks
        fs.read_chunks(sb, sys_chunk_array_size, Root { logical: chunk_root, level: chunk_root_level })?;
        // met first, so that its place in the list is 0, as in the node of the root
        let default = fs.default_subvolume(root_dir_objectid)?;
        if fs.subvolume(default)?.is_none() {
            return Err(Error::corrupt("subvolume number", SUPERBLOCK));
        }
        if fs.stat(fs.root())?.file_type != FileType::Directory {
            return Err(Error::corrupt("root directory", SUPERBLOCK));
        }
        Ok(fs)
    }

    /// The chunks in the superblock lead to the chunk tree, which has all.
    fn read_chunks(&mut self, sb: Bytes<'_>, size: u32, tree: Root) -> Result<(), Error> {
        if size > 2048 {
            return Err(sb.corrupt());
        }
        let array = Bytes::new(sb.slice(0x32b, index32(size))?, "system chunks", SUPERBLOCK);
        let mut at = 0;
        while at < array.bytes.len() {
            let key = Key::read(array, at)?;
            let data =
                Bytes::new(array.bytes.get(at.saturating_add(17)..).unwrap_or_default(), "chunk", SUPERBLOCK);
            let stripes = usize::from(data.le16(44)?);
            if let Some((start, chunk)) = self.chunk(key, data)? {
                self.chunks.insert(start, chunk);
            }
            at = at.saturating_add(17 + 48).saturating_add(stripes.saturating_mul(32));
        }
        let mut chunks = BTreeMap::new();
        self.items(tree, Key::MIN, &mut |key, data| {
            if key.kind == CHUNK_ITEM && key.object == FIRST_FREE {
                chunks.extend(self.chunk(key, data)?);
            }
            if chunks.len() > MAX_CHUNKS {
                return Err(Error::Unsupported { what: "more than a million chunks" });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.chunks = chunks;
        Ok(())
    }

    /// Where a chunk is on this device. `None`: nowhere whole.
    fn chunk(&self, key: Key, data: Bytes<'_>) -> Result<Option<Chunk>, Error> {
        let length = data.le64(0)?;
        let profile = data.le64(24)?;
        if profile & STRIPED != 0 {
            return Ok(None);
        }
        for i in 0..usize::from(data.le16(44)?) {
            let at = i.saturating_mul(32).saturating_add(48);
            if data.le64(at)? == self.device {
                return Ok(Some((key.offset, (length, data.le64(at.saturating_add(8))?))));
            }
        }
        Ok(None)
    }

    /// From logical to physical.
    fn physical(&self, logical: u64, len: u64) -> Result<u64, Error> {
        let corrupt = || Error::corrupt("logical address", logical);
        let (start, (length, physical)) = self.chunks.range(..=logical).next_back().ok_or_else(corrupt)?;
        let within = logical.saturating_sub(*start);
        let inside = within.checked_add(len).is_some_and(|end| end <= *length);
        physical.checked_add(within).filter(|_| inside).ok_or_else(corrupt)
    }

    fn default_subvolume(&self, directory: u64) -> Result<u64, Error> {
        let mut found = FS_TREE;
        let start = Key { object: directory, kind: DIR_ITEM, offset: 0 };
        self.items_of(self.root_tree, start, &mut |_, data| {
            for_each_name(data, &mut |name| {
                if name.name == b"default" && name.location.kind == ROOT_ITEM {
                    found = name.location.object;
                }
                Ok(ControlFlow::Continue(()))
            })
        })?;
        Ok(found)
    }

    /// The place of subvolume `id` in the list, where it is put if it is new. `None`: there is none, or it is being
    /// deleted.
    fn subvolume(&self, id: u64) -> Result<Option<u64>, Error> {
        {
            let known = self.subvolumes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(i) = known.iter().position(|(known, _)| *known == id) {
                return Ok(Some(u64_from(i)));
            }
        }
        let mut root = None;
        let start = Key { object: id, kind: ROOT_ITEM, offset: 0 };
        self.items_of(self.root_tree, start, &mut |_, data| {
            let refs = data.le32(216)?;
            root = Some(Root { logical: data.le64(176)?, level: data.u8(238)? }).filter(|_| refs != 0);
            Ok(ControlFlow::Continue(()))
        })?;
        let Some(root) = root else { return Ok(None) };
        let mut known = self.subvolumes.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_SUBVOLUMES {
            return Err(Error::Unsupported { what: "so many subvolumes" });
        }
        known.push((id, root));
        Ok(Some(u64_from(known.len()).saturating_sub(1)))
    }

    /// Where an entry of `dir` leads that names subvolume `id`. As in Linux that is an empty directory, unless the
    /// subvolume knows of this entry: a snapshot has the entry too, but not what is behind it.
    fn enter(&self, dir: &File, name: &[u8], id: u64) -> Result<Node, Error> {
        let mut is_known = false;
        let start = Key { object: dir.id, kind: ROOT_REF, offset: id };
        self.items_of(self.root_tree, start, &mut |key, data| {
            if key == start {
                let len = usize::from(data.le16(16)?);
                is_known = data.le64(0)? == dir.inode && data.slice(18, len)? == name;
            }
            Ok(ControlFlow::Break(()))
        })?;
        let subvolume = if is_known { self.subvolume(id)? } else { None };
        match subvolume {
            Some(subvolume) => Self::node(subvolume, FIRST_FREE),
            None => Ok(Node(EMPTY | Self::node(dir.subvolume, id)?.0)),
        }
    }

    fn file(&self, node: Node) -> Result<File, Error> {
        let (subvolume, inode) = (node.0 >> INODE_BITS, node.0 & ((1 << INODE_BITS) - 1));
        let known = self.subvolumes.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, root) = known.get(index(subvolume)).ok_or_else(|| Error::corrupt("node", SUPERBLOCK))?;
        Ok(File { subvolume, id: *id, root: *root, inode })
    }

    fn node(subvolume: u64, inode: u64) -> Result<Node, Error> {
        if inode >> INODE_BITS != 0 {
            return Err(Error::Unsupported { what: "inode number of more than 48 bits" });
        }
        Ok(Node(subvolume << INODE_BITS | inode))
    }

    /// What the inode item says, and where it is.
    fn inode(&self, file: &File) -> Result<([u8; 160], u64), Error> {
        let mut found = None;
        let key = file.key(INODE_ITEM, 0);
        self.items_of(file.root, key, &mut |_, data| {
            let bytes = data.slice(0, 160)?;
            found = Some((bytes.try_into().map_err(|_| data.corrupt())?, data.offset));
            Ok(ControlFlow::Break(()))
        })?;
        found.ok_or_else(|| Error::corrupt("inode number", file.root.logical))
    }

    fn stat_file(&self, file: &File) -> Result<Stat, Error> {
        let (bytes, offset) = self.inode(file)?;
        let raw = Bytes::new(&bytes, "inode", offset);
        let mode = u16::try_from(raw.le32(52)?).map_err(|_| raw.corrupt())?;
        let rdev = raw.le64(56)?;
        let size = raw.le64(16)?;
        let device = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        if size > i64::MAX.unsigned_abs() {
            return Err(raw.corrupt());
        }
        Ok(Stat {
            file_type: FileType::from_mode(mode).ok_or_else(|| raw.corrupt())?,
            permissions: mode & 0o7777,
            uid: raw.le32(44)?,
            gid: raw.le32(48)?,
            size,
            mtime: raw.le64(136)?.cast_signed(),
            mtime_nsec: raw.le32(144)?.min(999_999_999),
            nlink: raw.le32(40)?,
            rdev: (device(rdev >> 20), device(rdev & 0xf_ffff)),
        })
    }
}

fn is_empty(node: Node) -> bool {
    node.0 & EMPTY != 0
}

/// What is said of an empty directory that stands for a subvolume, as by Linux.
const EMPTY_DIRECTORY: Stat = Stat {
    file_type: FileType::Directory,
    permissions: 0o755,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 0,
    mtime_nsec: 0,
    nlink: 1,
    rdev: (0, 0),
};

/// A name as it stands in directory and xattr items.
struct Name<'a> {
    location: Key,
    file_type: u8,
    name: &'a [u8],
    data: &'a [u8],
}

/// One item has several names if their hashes are the same.
fn for_each_name(
    item: Bytes<'_>,
    each: &mut dyn FnMut(Name<'_>) -> Result<ControlFlow<()>, Error>,
) -> Result<ControlFlow<()>, Error> {
    let mut at: usize = 0;
    while at < item.bytes.len() {
        let location = Key::read(item, at)?;
        let data_len = usize::from(item.le16(at.saturating_add(25))?);
        let name_len = usize::from(item.le16(at.saturating_add(27))?);
        let file_type = item.u8(at.saturating_add(29))?;
        let name = item.slice(at.saturating_add(30), name_len)?;
        let data = item.slice(at.saturating_add(30).saturating_add(name_len), data_len)?;
        if each(Name { location, file_type, name, data })?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        at = at.saturating_add(30).saturating_add(name_len).saturating_add(data_len);
    }
    Ok(ControlFlow::Continue(()))
}

impl FileSystem for Btrfs {
    fn kind(&self) -> FsKind {
        FsKind::Btrfs
    }

    fn root(&self) -> Node {
        Node(FIRST_FREE)
    }

    fn stat(&self, node: Node) -> Result<Stat, Error> {
        if is_empty(node) {
            return Ok(EMPTY_DIRECTORY);
        }
        self.stat_file(&self.file(node)?)
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        if is_empty(dir) {
            return Ok(());
        }
        let dir = self.file(dir)?;
        if self.stat_file(&dir)?.file_type != FileType::Directory {
            return Err(Error::NotADirectory);
        }
        self.items_of(dir.root, dir.key(DIR_INDEX, 0), &mut |_, data| {
            for_each_name(data, &mut |name| {
                if !is_name(name.name) || matches!(name.name, b"." | b"..") {
                    return Err(data.corrupt());
                }
                let node = match name.location.kind {
                    INODE_ITEM => Self::node(dir.subvolume, name.location.object)?,
                    ROOT_ITEM => self.enter(&dir, name.name, name.location.object)?,
                    _ => return Err(data.corrupt()),
                };
                let file_type = match name.file_type {
                    1 => Some(FileType::Regular),
                    2 => Some(FileType::Directory),
                    3 => Some(FileType::CharDevice),
                    4 => Some(FileType::BlockDevice),
                    5 => Some(FileType::Fifo),
                    6 => Some(FileType::Socket),
                    7 => Some(FileType::Symlink),
                    _ => None,
                };
                Ok(each(Entry { name: name.name, node, file_type }))
            })
        })
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        if is_empty(file) {
            return Err(Error::NotAFile);
        }
        let file = self.file(file)?;
        let stat = self.stat_file(&file)?;
        if stat.file_type != FileType::Regular {
            return Err(Error::NotAFile);
        }
        self.read(&file, stat.size, offset, buf)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, Error> {
        if is_empty(link) {
            return Err(Error::NotALink);
        }
        let link = self.file(link)?;
        let stat = self.stat_file(&link)?;
        if stat.file_type != FileType::Symlink {
            return Err(Error::NotALink);
        }
        if stat.size > MAX_LINK {
            return Err(Error::TooLarge { size: stat.size, limit: MAX_LINK });
        }
        let mut target = vec![0; index(stat.size)];
        self.read(&link, stat.size, 0, &mut target)?;
        Ok(target)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, Error> {
        if is_empty(node) {
            return Ok(Vec::new());
        }
        let file = self.file(node)?;
        let mut xattrs = Vec::new();
        let mut total: usize = 0;
        self.items_of(file.root, file.key(XATTR_ITEM, 0), &mut |_, data| {
            for_each_name(data, &mut |name| {
                total = total.saturating_add(name.name.len()).saturating_add(name.data.len());
                total = total.saturating_add(XATTR);
                if total > MAX_XATTRS {
                    return Err(Error::TooLarge { size: u64_from(total), limit: u64_from(MAX_XATTRS) });
                }
                xattrs.push(Xattr { name: name.name.to_vec(), value: name.data.to_vec() });
                Ok(ControlFlow::Continue(()))
            })
        })?;
        Ok(xattrs)
    }

    fn caveat(&self) -> Option<&'static str> {
        self.has_log.then_some("the log holds changes that are not applied")
    }
}

#[cfg(test)]
mod tests;
