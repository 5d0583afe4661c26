//! A file system that takes note of being read: what an answer rests on, it went through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::probe::FsKind;
use crate::{EachEntry, EachExtent, Error, FileSystem, Meter, Node, Stat, Xattr};

/// Whether a file system was read.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    touched: Arc<AtomicBool>,
    /// True if a look at its root directory counts. It does not while a path is resolved: all that is learned from it
    /// then is that there is a directory to mount on, or mounted.
    root_counts: Arc<AtomicBool>,
}

impl Touched {
    /// Returns true if something was read.
    pub fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    /// From now on, a look at the root directory counts too.
    pub fn count_root(&self) {
        self.root_counts.store(true, Ordering::Relaxed);
    }

    /// As if nothing had been read yet.
    pub fn forget(&self) {
        self.touched.store(false, Ordering::Relaxed);
    }

    fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }
}

/// Another file system, and if it was read.
#[derive(Debug)]
pub struct Watched {
    fs: Arc<dyn FileSystem>,
    touched: Touched,
}

impl Watched {
    /// `fs`, and what takes note of its being read.
    pub fn over(fs: Arc<dyn FileSystem>) -> (Arc<dyn FileSystem>, Touched) {
        let touched = Touched::default();
        (Arc::new(Watched { fs, touched: touched.clone() }), touched)
    }
}

impl FileSystem for Watched {
    fn kind(&self) -> FsKind {
        self.fs.kind()
    }

    fn root(&self) -> Node {
        self.fs.root()
    }

    fn stat(&self, node: Node) -> Result<Stat, Error> {
        if node != self.fs.root() || self.touched.root_counts.load(Ordering::Relaxed) {
            self.touched.touch();
        }
        self.fs.stat(node)
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        self.touched.touch();
        self.fs.list(dir, each)
    }

    fn list_readable(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        self.touched.touch();
        self.fs.list_readable(dir, each)
    }

    fn lookup(&self, dir: Node, name: &[u8], left: &mut u64) -> Result<Option<Node>, Error> {
        self.touched.touch();
        self.fs.lookup(dir, name, left)
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.touched.touch();
        self.fs.read_at(file, offset, buf)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, Error> {
        self.touched.touch();
        self.fs.link_target(link)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, Error> {
        self.touched.touch();
        self.fs.xattrs(node)
    }

    fn xattr(&self, node: Node, name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.touched.touch();
        self.fs.xattr(node, name)
    }

    fn extents(&self, node: Node, each: &mut EachExtent<'_>) -> Result<(), Error> {
        self.touched.touch();
        self.fs.extents(node, each)
    }

    fn system_extents(&self, each: &mut EachExtent<'_>) -> Result<(), Error> {
        self.touched.touch();
        self.fs.system_extents(each)
    }

    fn is_listed(&self) {
        self.touched.touch();
    }

    fn meter(&self) -> Option<&Meter> {
        self.fs.meter()
    }

    fn caveat(&self) -> Option<&'static str> {
        self.fs.caveat()
    }
}
