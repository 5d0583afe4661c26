//! The files inside a file system, read without mounting it.
//!
//! ```text
//!   ReadAt (proven or not)  →  FileSystem: one reader for each kind  →  Vfs: mounts, symlinks, `..`  →  Walk
//! ```
//!
//! [`open`] chooses the reader for what [`fs::probe`](crate::probe::probe) recognised. A reader works on numbered
//! [`Node`]s and knows no paths; a [`Vfs`] puts file systems together as systemd mounts them and resolves paths
//! **inside** them: an absolute link starts at the image's root, `..` stops there, and no path of the host is ever
//! opened (but by a [`Folder`], which is a directory of the host). A [`Walk`] goes through a tree within a [`Budget`], and
//! all that is done for the files of one image is charged to one [`Meter`].
//!
//! All readers are hardened in the same way: what they hold is bounded by a constant whatever the image says, 56 MiB at
//! most (8 MiB of names; erofs: 16 MiB of cache, one extent of 12 MiB, and the window of Zstandard; xfs and btrfs: the map of one file, or of
//! the chunks, of 2²⁰ pieces); they decompress into a buffer whose size is known before, and each loop is bounded by a number
//! that was checked.
//! What the image claims wrongly is [`Error::Corrupt`], what is right but not read here [`Error::Unsupported`].
//!
//! ```
//! # #[cfg(feature = "fs-squashfs")] {
//! use std::sync::Arc;
//! use ddi_fs::FsKind;
//! let nothing = Arc::new(vec![0_u8; 4096]);
//! assert!(matches!(ddi_fs::open(nothing, FsKind::Squashfs), Err(ddi_fs::Error::Corrupt { .. })));
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

#[cfg(feature = "fs-btrfs")]
mod btrfs;
#[cfg(any(feature = "fs-erofs", feature = "fs-squashfs", feature = "fs-btrfs"))]
mod codec;
mod disk;
#[cfg(feature = "fs-erofs")]
mod erofs;
mod error;
#[cfg(feature = "fs-ext4")]
mod ext4;
mod extent;
mod folder;
mod meter;
mod metered;
mod owners;
pub mod probe;
#[cfg(feature = "fs-squashfs")]
mod squashfs;
mod time;
#[cfg(feature = "fs-vfat")]
mod vfat;
mod vfs;
mod walk;
mod watch;
#[cfg(feature = "fs-xfs")]
mod xfs;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use ddi_io::ReadAt;

pub use error::{Error, Limit};
pub use extent::{EachExtent, Extent, ExtentKind};
pub use folder::Folder;
pub use meter::{Meter, Spent};
pub use owners::{MAX_OWNERS, OwnedRange, Owner, Owners, Unknown, Untold, owners};
pub use probe::{FsKind, FsUuid, Probe, Text, Usage, probe};
pub use vfs::{Place, Vfs};
pub use walk::{Budget, Names, Step, Visit, Walk};
pub use watch::{Touched, Watched};

/// A file inside one file system: a number that only its reader understands. Hard links are one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(pub u64);

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A file with content.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device. It has no content here.
    CharDevice,
    /// A block device. It has no content here.
    BlockDevice,
    /// A FIFO. It has no content here.
    Fifo,
    /// A socket. It has no content here.
    Socket,
}

impl FileType {
    /// From the upper bits of `st_mode`.
    pub fn from_mode(mode: u16) -> Option<Self> {
        Some(match mode >> 12 {
            1 => FileType::Fifo,
            2 => FileType::CharDevice,
            4 => FileType::Directory,
            6 => FileType::BlockDevice,
            8 => FileType::Regular,
            10 => FileType::Symlink,
            12 => FileType::Socket,
            _ => return None,
        })
    }

    /// As people call it.
    pub fn words(self) -> &'static str {
        match self {
            FileType::Regular => "regular file",
            FileType::Directory => "directory",
            FileType::Symlink => "symbolic link",
            FileType::CharDevice => "character device",
            FileType::BlockDevice => "block device",
            FileType::Fifo => "FIFO",
            FileType::Socket => "socket",
        }
    }

    /// As mtree(5) names it.
    pub fn name(self) -> &'static str {
        match self {
            FileType::Regular => "file",
            FileType::Directory => "dir",
            FileType::Symlink => "link",
            FileType::CharDevice => "char",
            FileType::BlockDevice => "block",
            FileType::Fifo => "fifo",
            FileType::Socket => "socket",
        }
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the file system says about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub file_type: FileType,
    /// The lower 12 bits of `st_mode`.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content of a regular file, of the target of a link; what the file system says for others.
    pub size: u64,
    /// Time of the last change of the content: whole seconds since 1970.
    pub mtime: i64,
    /// And nanoseconds, less than 10⁹.
    pub mtime_nsec: u32,
    /// Number of names.
    pub nlink: u32,
    /// Major and minor number of a device; (0, 0) for others.
    pub rdev: (u32, u32),
}

impl Stat {
    /// Nanoseconds since 1970.
    pub fn mtime_ns(&self) -> i128 {
        i128::from(self.mtime).saturating_mul(1_000_000_000).saturating_add(i128::from(self.mtime_nsec))
    }

    /// The whole seconds as `2026-11-21T12:00:00Z`. Years beyond 9999 have more digits, those before 0 a sign.
    pub fn mtime_utc(&self) -> String {
        time::utc(self.mtime)
    }
}

/// One name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name: no `/`, no NUL, neither empty nor `.` nor `..`; otherwise any bytes.
    pub name: &'a [u8],
    /// The file of that name.
    pub node: Node,
    /// Its type, if the directory says so. A hint: [`FileSystem::stat`] decides.
    pub file_type: Option<FileType>,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Its name, prefix included: `user.extension-release.strict`.
    pub name: Vec<u8>,
    /// Its value, as `getxattr` gives it.
    pub value: Vec<u8>,
}

/// What [`FileSystem::list`] calls for each entry.
pub type EachEntry<'a> = dyn FnMut(Entry<'_>) -> ControlFlow<()> + 'a;

/// A reader of one kind of file system.
///
/// [`Vfs`] is what callers use; this is what it stands on.
pub trait FileSystem: Send + Sync + fmt::Debug {
    /// Which kind.
    fn kind(&self) -> FsKind;

    /// The root directory.
    fn root(&self) -> Node;

    /// What the file system says about a file.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Unsupported`], [`Error::Io`].
    fn stat(&self, node: Node) -> Result<Stat, Error>;

    /// Calls `each` for every entry of a directory but `.` and `..`, in the order of the file system, until that
    /// breaks.
    ///
    /// # Errors
    /// [`Error::NotADirectory`]; as [`stat`](Self::stat).
    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error>;

    /// The same, but goes on behind entries that cannot be read, where the file system allows that.
    ///
    /// # Errors
    /// As [`list`](Self::list): the first one, when all that can be read was given to `each`.
    fn list_readable(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        self.list(dir, each)
    }

    /// The file of that name in a directory. FAT ignores case, others do not. `left` is how many names may still be looked
    /// at, and counted down.
    ///
    /// # Errors
    /// [`Error::Budget`] with [`Limit::Lookup`]; as [`list`](Self::list).
    fn lookup(&self, dir: Node, name: &[u8], left: &mut u64) -> Result<Option<Node>, Error> {
        let mut found = None;
        let mut spent = false;
        self.list(dir, &mut |entry| {
            let Some(rest) = left.checked_sub(1) else {
                spent = true;
                return ControlFlow::Break(());
            };
            *left = rest;
            if entry.name != name {
                return ControlFlow::Continue(());
            }
            found = Some(entry.node);
            ControlFlow::Break(())
        })?;
        if spent { Err(Error::Budget(Limit::Lookup)) } else { Ok(found) }
    }

    /// Fills `buf` with content of a regular file from `offset`. Less than `buf.len()` only at its end.
    ///
    /// # Errors
    /// [`Error::NotAFile`] if it is anything else; as [`stat`](Self::stat).
    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error>;

    /// The target of a symbolic link, at most [`MAX_LINK`] bytes.
    ///
    /// # Errors
    /// [`Error::NotALink`] if it is anything else; as [`stat`](Self::stat).
    fn link_target(&self, link: Node) -> Result<Vec<u8>, Error>;

    /// All extended attributes, in no particular order.
    ///
    /// # Errors
    /// As [`stat`](Self::stat).
    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, Error> {
        let _ = node;
        Ok(Vec::new())
    }

    /// The value of one extended attribute.
    ///
    /// # Errors
    /// As [`xattrs`](Self::xattrs).
    fn xattr(&self, node: Node, name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.xattrs(node)?.into_iter().find(|xattr| xattr.name == name).map(|xattr| xattr.value))
    }

    /// Calls `each` with every place where something of a file lies, until that breaks: its inode, its content (also in
    /// clusters that it shares), its entries if it is a directory, its extended attributes, and the maps that lead
    /// there. Nothing is decompressed for it but metadata. Places may come twice, and overlap.
    ///
    /// It goes on behind what cannot be read. How long it takes is for the image to say, so `each` should break some day.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for kinds that do not tell; as [`stat`](Self::stat): the first one, when all that can be
    /// told was given to `each`.
    fn extents(&self, node: Node, each: &mut EachExtent<'_>) -> Result<(), Error> {
        let _ = (node, each);
        Err(Error::Unsupported { what: "telling where files lie" })
    }

    /// The same for what is of no file: superblock, tables, journal.
    ///
    /// # Errors
    /// As [`extents`](Self::extents).
    fn system_extents(&self, each: &mut EachExtent<'_>) -> Result<(), Error> {
        let _ = each;
        Err(Error::Unsupported { what: "telling where files lie" })
    }

    /// Told by a [`Vfs`] that lists the directory on which this is mounted, where nothing else has its name: it is learned
    /// that this is there.
    fn is_listed(&self) {}

    /// What may make our answers differ from those of a mounted file system.
    fn caveat(&self) -> Option<&'static str> {
        None
    }

    /// The account that work for it is charged to. All that [`open`] opens have one.
    fn meter(&self) -> Option<&Meter> {
        None
    }
}

/// Longest target of a symbolic link: Linux's `PATH_MAX`.
pub const MAX_LINK: u64 = 4096;

/// Most bytes that extended attributes of one file take, each with [`XATTR`] beside its name and value; more is
/// [`Error::TooLarge`]. Linux allows 64 KiB a value, and 64 KiB of names, which are 9,362 at most.
#[cfg(any(
    feature = "fs-erofs",
    feature = "fs-squashfs",
    feature = "fs-ext4",
    feature = "fs-btrfs",
    feature = "fs-xfs"
))]
const MAX_XATTRS: usize = 1 << 20;

/// Bytes that an extended attribute takes beside its name and value.
#[cfg(any(
    feature = "fs-erofs",
    feature = "fs-squashfs",
    feature = "fs-ext4",
    feature = "fs-btrfs",
    feature = "fs-xfs"
))]
const XATTR: usize = 100;

/// Opens the file system of that kind on `source`, with a [`Meter`] of its own for its size.
///
/// # Errors
/// As [`open_within`].
pub fn open(source: Arc<dyn ReadAt>, kind: FsKind) -> Result<Arc<dyn FileSystem>, Error> {
    let meter = Meter::for_size(source.size());
    open_within(source, kind, &meter)
}

/// Opens the file system of that kind on `source`. What is done for it is charged to `meter`.
///
/// # Errors
/// [`Error::NoReader`] if this kind has none or its feature is off; [`Error::Corrupt`], [`Error::Unsupported`]
/// or [`Error::Io`] if the superblock says so.
pub fn open_within(
    source: Arc<dyn ReadAt>,
    kind: FsKind,
    meter: &Meter,
) -> Result<Arc<dyn FileSystem>, Error> {
    meter.check()?;
    let disk = disk::Disk::metered(source, meter.clone());
    let fs = reader(disk, kind)?;
    Ok(Arc::new(metered::Metered::new(fs, meter.clone())))
}

/// The reader for that kind, if it is compiled in.
fn reader(disk: disk::Disk, kind: FsKind) -> Result<Box<dyn FileSystem>, Error> {
    match kind {
        #[cfg(feature = "fs-erofs")]
        FsKind::Erofs => Ok(Box::new(erofs::Erofs::open(disk)?)),
        #[cfg(feature = "fs-squashfs")]
        FsKind::Squashfs => Ok(Box::new(squashfs::Squashfs::open(disk)?)),
        #[cfg(feature = "fs-ext4")]
        FsKind::Ext2 | FsKind::Ext3 | FsKind::Ext4 | FsKind::Ext4dev => {
            Ok(Box::new(ext4::Ext4::open(disk, kind)?))
        }
        #[cfg(feature = "fs-vfat")]
        FsKind::Vfat => Ok(Box::new(vfat::Vfat::open(disk)?)),
        #[cfg(feature = "fs-btrfs")]
        FsKind::Btrfs => Ok(Box::new(btrfs::Btrfs::open(disk)?)),
        #[cfg(feature = "fs-xfs")]
        FsKind::Xfs => Ok(Box::new(xfs::Xfs::open(disk)?)),
        _ => {
            drop(disk);
            Err(Error::NoReader { kind })
        }
    }
}

/// Entries of a root directory that [`check_root`] looks at.
const ROOT_ENTRIES: usize = 1024;

/// Opens the file system of that kind on `source` and reads its root directory, for what nobody has by chance: so much of it
/// must fit together that the bytes are no other than those of a file system.
///
/// # Errors
/// As [`open`], and as [`FileSystem::list`] of the root directory.
pub fn check_root(source: Arc<dyn ReadAt>, kind: FsKind, meter: &Meter) -> Result<(), Error> {
    meter.check()?;
    match kind {
        #[cfg(feature = "fs-erofs")]
        FsKind::Erofs => {
            erofs::Erofs::open(disk::Disk::metered(Arc::clone(&source), meter.clone()))?.check_root()?;
        }
        #[cfg(feature = "fs-ext4")]
        FsKind::Ext4 => {
            let disk = disk::Disk::metered(Arc::clone(&source), meter.clone());
            ext4::Ext4::open(disk, kind)?.check_geometry()?;
        }
        _ => {}
    }
    let fs = open_within(source, kind, meter)?;
    let mut left = ROOT_ENTRIES;
    fs.list(fs.root(), &mut |_| {
        left = left.saturating_sub(1);
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// Kinds that [`open`] has a reader for, in this build.
pub const READABLE: &[FsKind] = &[
    #[cfg(feature = "fs-btrfs")]
    FsKind::Btrfs,
    #[cfg(feature = "fs-erofs")]
    FsKind::Erofs,
    #[cfg(feature = "fs-ext4")]
    FsKind::Ext2,
    #[cfg(feature = "fs-ext4")]
    FsKind::Ext3,
    #[cfg(feature = "fs-ext4")]
    FsKind::Ext4,
    #[cfg(feature = "fs-squashfs")]
    FsKind::Squashfs,
    #[cfg(feature = "fs-vfat")]
    FsKind::Vfat,
    #[cfg(feature = "fs-xfs")]
    FsKind::Xfs,
];

/// Returns true if a directory may hold this name. It is not asked about `.` and `..`.
#[cfg(any(
    feature = "fs-erofs",
    feature = "fs-squashfs",
    feature = "fs-ext4",
    feature = "fs-btrfs",
    feature = "fs-xfs"
))]
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.contains(&b'/') && !name.contains(&0)
}

/// Decides whether the listing of a directory goes on behind a block that gives that error.
#[cfg(any(feature = "fs-erofs", feature = "fs-ext4"))]
type BadBlock<'a> = dyn FnMut(Error) -> Result<(), Error> + 'a;

/// Blocks of one directory that cannot be read before the rest is given up.
#[cfg(any(feature = "fs-erofs", feature = "fs-ext4"))]
const MAX_BAD_BLOCKS: u32 = 4096;

/// [`FileSystem::list_readable`], by a listing that can go on.
#[cfg(any(feature = "fs-erofs", feature = "fs-ext4"))]
fn list_around(list: &mut dyn FnMut(&mut BadBlock<'_>) -> Result<(), Error>) -> Result<(), Error> {
    let mut first = None;
    let mut count: u32 = 0;
    list(&mut |error| match error {
        Error::Io { .. } if count < MAX_BAD_BLOCKS => {
            count = count.saturating_add(1);
            first.get_or_insert(error);
            Ok(())
        }
        _ => Err(error),
    })?;
    first.map_or(Ok(()), Err)
}

/// Linux's `new_decode_dev`.
#[cfg(any(feature = "fs-erofs", feature = "fs-squashfs", feature = "fs-ext4"))]
fn decode_dev(dev: u32) -> (u32, u32) {
    ((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xf_ff00))
}

#[cfg(test)]
pub(crate) mod tests;
