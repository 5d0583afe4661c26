//! Where on the disk something lies, and what it is.

use std::fmt;
use std::ops::ControlFlow;

#[cfg(any(feature = "fs-erofs", feature = "fs-squashfs", feature = "fs-ext4"))]
use super::Error;

/// A piece of a file system's storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes from the start of the file system. Not checked: it is what the image says.
    pub offset: u64,
    /// Bytes on the disk, so after compression.
    pub size: u64,
    /// What lies there.
    pub kind: ExtentKind,
}

/// What lies in an [`Extent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ExtentKind {
    /// Of a file: its content. Compressed clusters and fragments hold that of other files too.
    Content,
    /// The target of a symbolic link.
    LinkTarget,
    /// The entries of a directory.
    Directory,
    /// Owner, mode, times, and where the rest is.
    Inode,
    /// Extended attributes.
    Xattrs,
    /// Extent tree, indirect blocks, chunk or compression index, list of block sizes.
    BlockMap,
    /// Of the file system itself: the superblock, or a copy of it.
    Superblock,
    /// Block group descriptors, and the room kept for more of them.
    GroupDescriptors,
    /// Which blocks are in use.
    BlockBitmap,
    /// Which inodes are in use.
    InodeBitmap,
    /// Inodes, of files or free.
    InodeTable,
    /// Entries of directories.
    DirectoryTable,
    /// The journal.
    Journal,
    /// A file of the file system's own: quotas, orphans, room to grow.
    SystemFile,
    /// The hidden file that ends of files and small files are packed into.
    PackedFile,
    /// The hidden file that inodes are packed into.
    Metabox,
    /// Where fragments are.
    FragmentTable,
    /// From inode numbers to inodes.
    ExportTable,
    /// Owners and groups.
    IdTable,
    /// Extended attributes of all files.
    XattrTable,
}

impl ExtentKind {
    /// For people and programs: `content`, `block map`.
    pub fn name(self) -> &'static str {
        match self {
            ExtentKind::Content => "content",
            ExtentKind::LinkTarget => "link target",
            ExtentKind::Directory => "directory",
            ExtentKind::Inode => "inode",
            ExtentKind::Xattrs => "extended attributes",
            ExtentKind::BlockMap => "block map",
            ExtentKind::Superblock => "superblock",
            ExtentKind::GroupDescriptors => "group descriptors",
            ExtentKind::BlockBitmap => "block bitmap",
            ExtentKind::InodeBitmap => "inode bitmap",
            ExtentKind::InodeTable => "inode table",
            ExtentKind::DirectoryTable => "directory table",
            ExtentKind::Journal => "journal",
            ExtentKind::SystemFile => "reserved file",
            ExtentKind::PackedFile => "packed file",
            ExtentKind::Metabox => "packed inodes",
            ExtentKind::FragmentTable => "fragment table",
            ExtentKind::ExportTable => "export table",
            ExtentKind::IdTable => "id table",
            ExtentKind::XattrTable => "extended attribute table",
        }
    }
}

impl fmt::Display for ExtentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What [`FileSystem::extents`](super::FileSystem::extents) calls for each place. Where there is long nothing to tell it
/// is called with an extent of no bytes, so that it can look at the clock and break.
pub type EachExtent<'a> = dyn FnMut(Extent) -> ControlFlow<()> + 'a;

/// Gives extents away, those that follow each other as one, and keeps the first reason why one is missing.
#[cfg(any(feature = "fs-erofs", feature = "fs-squashfs", feature = "fs-ext4"))]
pub(super) struct Teller<'a, 'b> {
    each: &'a mut EachExtent<'b>,
    pending: Option<Extent>,
    /// Calls of which `each` does not know.
    quiet: u32,
    error: Option<Error>,
}

/// Most calls of which `each` does not know.
#[cfg(any(feature = "fs-erofs", feature = "fs-squashfs", feature = "fs-ext4"))]
const MAX_QUIET: u32 = 4096;

#[cfg(any(feature = "fs-erofs", feature = "fs-squashfs", feature = "fs-ext4"))]
impl<'a, 'b> Teller<'a, 'b> {
    pub(super) fn new(each: &'a mut EachExtent<'b>) -> Self {
        Teller { each, pending: None, quiet: 0, error: None }
    }

    /// `size` 0: there is nothing, and that took time.
    pub(super) fn tell(&mut self, offset: u64, size: u64, kind: ExtentKind) -> ControlFlow<()> {
        let joins = self.pending.is_some_and(|pending| {
            pending.kind == kind && pending.offset.checked_add(pending.size) == Some(offset)
        });
        if size == 0 || joins {
            if let Some(pending) = &mut self.pending
                && joins
            {
                pending.size = pending.size.saturating_add(size);
            }
            self.quiet = self.quiet.saturating_add(1);
            if self.quiet < MAX_QUIET {
                return ControlFlow::Continue(());
            }
            self.quiet = 0;
            return (self.each)(Extent { offset, size: 0, kind });
        }
        self.quiet = 0;
        match self.pending.replace(Extent { offset, size, kind }) {
            Some(before) => (self.each)(before),
            None => ControlFlow::Continue(()),
        }
    }

    /// Notes that something cannot be told. Returns true if it makes sense to go on behind it.
    pub(super) fn note(&mut self, error: Error) -> bool {
        let unreadable = matches!(error, Error::Io { .. });
        self.error.get_or_insert(error);
        unreadable
    }

    /// What came of `result`, or a note why not.
    pub(super) fn noted<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.note(error)).ok()
    }

    pub(super) fn finish(mut self, flow: ControlFlow<()>) -> Result<(), Error> {
        if let (ControlFlow::Continue(()), Some(pending)) = (flow, self.pending.take()) {
            let _ = (self.each)(pending);
        }
        self.error.map_or(Ok(()), Err)
    }
}

#[cfg(all(test, any(feature = "fs-erofs", feature = "fs-squashfs", feature = "fs-ext4")))]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_and_the_first_reason_stays() {
        let mut told = Vec::new();
        let mut each = |extent: Extent| {
            told.push((extent.offset, extent.size));
            ControlFlow::Continue(())
        };
        let mut teller = Teller::new(&mut each);
        for (offset, size, kind) in [
            (0, 10, ExtentKind::Content),
            (10, 5, ExtentKind::Content),
            (15, 0, ExtentKind::Inode),
            (15, 1, ExtentKind::Content),
            (16, 1, ExtentKind::Inode),
            (u64::MAX, 9, ExtentKind::Inode),
            (8, 9, ExtentKind::Inode),
        ] {
            assert!(teller.tell(offset, size, kind).is_continue());
        }
        assert!(!teller.note(Error::corrupt("one", 1)));
        assert!(teller.note(Error::Io { offset: 2, source: std::io::ErrorKind::InvalidData.into() }));
        let error = teller.finish(ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(error, Error::Corrupt { what: "one", offset: 1 }));
        assert_eq!(told, [(0, 16), (16, 1), (u64::MAX, 9), (8, 9)]);
    }

    #[test]
    fn long_silence_is_broken() {
        let mut calls = 0;
        let mut each = |extent: Extent| {
            assert_eq!(extent.size, 0);
            calls += 1;
            if calls < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let mut teller = Teller::new(&mut each);
        let mut steps = 0;
        while teller.tell(0, 0, ExtentKind::Content).is_continue() {
            steps += 1;
        }
        assert_eq!((steps, calls), (3 * MAX_QUIET - 1, 3));
    }

    #[test]
    fn a_break_is_the_end() {
        let mut count = 0;
        let mut each = |_: Extent| {
            count += 1;
            ControlFlow::Break(())
        };
        let mut teller = Teller::new(&mut each);
        assert!(teller.tell(0, 1, ExtentKind::Content).is_continue());
        let flow = teller.tell(5, 1, ExtentKind::Content);
        assert!(flow.is_break());
        teller.finish(flow).unwrap();
        assert_eq!(count, 1);
    }
}
