//! The layer that every reader is opened in: it charges calls, names, extents and attributes to a [`Meter`], and remembers
//! the names of directories in which files are looked up again and again.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use super::disk::u64_from;
use super::meter::MAX_INDEXED;
use super::{EachEntry, EachExtent, Error, FileSystem, Meter, Node, Stat, Xattr};
use crate::FsKind;

/// A look-up that goes past so many names, for the second time in a directory, is worth an index of it.
const MANY_NAMES: u64 = 64;
/// Directories that are remembered: as indexes, and as those in which something was looked up at length.
const MAX_DIRECTORIES: usize = 16;

pub(super) struct Metered {
    fs: Box<dyn FileSystem>,
    meter: Meter,
    indexes: Mutex<Indexes>,
}

#[derive(Default)]
struct Indexes {
    /// The latest one is at the end.
    indexes: Vec<Index>,
    /// Directories in which a look-up was long, and if there can be no index.
    long: Vec<(Node, bool)>,
}

/// The names of one directory, sorted; of two that are the same, the first.
struct Index {
    dir: Node,
    names: Vec<u8>,
    items: Vec<Item>,
}

/// Where the name begins, its length, and its file.
type Item = (u32, u16, Node);

impl Index {
    fn name(&self, item: &Item) -> &[u8] {
        let start = usize::try_from(item.0).unwrap_or(usize::MAX);
        self.names.get(start..start.saturating_add(item.1.into())).unwrap_or_default()
    }

    fn get(&self, name: &[u8]) -> Option<Node> {
        let at = self.items.partition_point(|item| self.name(item) < name);
        self.items.get(at).filter(|item| self.name(item) == name).map(|item| item.2)
    }

    fn size(&self) -> usize {
        self.names.len().saturating_add(self.items.len().saturating_mul(size_of::<Item>()))
    }
}

impl Metered {
    pub(super) fn new(fs: Box<dyn FileSystem>, meter: Meter) -> Self {
        Metered { fs, meter, indexes: Mutex::default() }
    }

    fn begin(&self) -> Result<(), Error> {
        self.meter.call();
        self.meter.check()
    }

    /// What a call came to. Where the account is spent, that is why, whatever the reader made of it.
    fn end<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.meter.check()?;
        }
        result
    }

    fn listed(
        &self,
        list: &dyn Fn(&mut EachEntry<'_>) -> Result<(), Error>,
        each: &mut EachEntry<'_>,
    ) -> Result<(), Error> {
        self.begin()?;
        let mut spent = Ok(());
        let outcome = list(&mut |entry| {
            self.meter.items(1);
            spent = self.meter.check();
            if spent.is_err() { ControlFlow::Break(()) } else { each(entry) }
        });
        spent.and(self.end(outcome))
    }

    fn told(
        &self,
        tell: &dyn Fn(&mut EachExtent<'_>) -> Result<(), Error>,
        each: &mut EachExtent<'_>,
    ) -> Result<(), Error> {
        self.begin()?;
        let mut spent = Ok(());
        let outcome = tell(&mut |extent| {
            self.meter.items(1);
            spent = self.meter.check();
            if spent.is_err() { ControlFlow::Break(()) } else { each(extent) }
        });
        spent.and(self.end(outcome))
    }

    /// Lists a directory for its index; `None` if it is too large, or cannot be read to its end.
    fn index(&self, dir: Node) -> Option<Index> {
        let mut index = Index { dir, names: Vec::new(), items: Vec::new() };
        let mut fits = true;
        let listed = self.fs.list(dir, &mut |entry| {
            self.meter.items(1);
            let (start, len) = (u32::try_from(index.names.len()), u16::try_from(entry.name.len()));
            let (Ok(start), Ok(len)) = (start, len) else {
                fits = false;
                return ControlFlow::Break(());
            };
            index.names.extend_from_slice(entry.name);
            index.items.push((start, len, entry.node));
            fits = index.size() <= MAX_INDEXED && self.meter.check().is_ok();
            if fits { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if listed.is_err() || !fits {
            return None;
        }
        let mut items = std::mem::take(&mut index.items);
        // a stable sort: a look-up finds the first
        items.sort_by(|a, b| index.name(a).cmp(index.name(b)));
        index.items = items;
        Some(index)
    }

    /// A look-up in `dir` was long. Makes an index at the second time.
    fn remember(&self, dir: Node) {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(long) = indexes.long.iter_mut().find(|(node, _)| *node == dir) else {
            if indexes.long.len() >= MAX_DIRECTORIES {
                indexes.long.remove(0);
            }
            return indexes.long.push((dir, false));
        };
        if long.1 {
            return;
        }
        match self.index(dir) {
            None => long.1 = true,
            Some(index) => {
                // the oldest ones make room
                while indexes.indexes.len() >= MAX_DIRECTORIES || !self.meter.take_memory(index.size()) {
                    if indexes.indexes.is_empty() {
                        // others have it
                        indexes.long.retain(|(node, _)| *node != dir);
                        return indexes.long.push((dir, true));
                    }
                    self.meter.give_memory(indexes.indexes.remove(0).size());
                }
                indexes.indexes.push(index);
            }
        }
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let indexes = self.indexes.get_mut().unwrap_or_else(PoisonError::into_inner);
        let size = indexes.indexes.iter().map(Index::size).fold(0, usize::saturating_add);
        self.meter.give_memory(size);
    }
}

impl std::fmt::Debug for Metered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fs.fmt(f)
    }
}

impl FileSystem for Metered {
    fn kind(&self) -> FsKind {
        self.fs.kind()
    }

    fn root(&self) -> Node {
        self.fs.root()
    }

    fn stat(&self, node: Node) -> Result<Stat, Error> {
        self.begin()?;
        self.end(self.fs.stat(node))
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        self.listed(&|each| self.fs.list(dir, each), each)
    }

    fn list_readable(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        self.listed(&|each| self.fs.list_readable(dir, each), each)
    }

    fn lookup(&self, dir: Node, name: &[u8], left: &mut u64) -> Result<Option<Node>, Error> {
        self.begin()?;
        {
            let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = indexes.indexes.iter().position(|index| index.dir == dir) {
                self.meter.items(1);
                let found = indexes.indexes.get(at).and_then(|index| index.get(name));
                if let Some(latest) = indexes.indexes.get_mut(at..) {
                    latest.rotate_left(1);
                }
                return Ok(found);
            }
        }
        let before = *left;
        let found = self.fs.lookup(dir, name, left);
        let looked_at = before.saturating_sub(*left);
        self.meter.items(looked_at);
        // FAT knows files by several names
        if looked_at >= MANY_NAMES && self.fs.kind() != FsKind::Vfat && found.is_ok() {
            self.remember(dir);
        }
        self.end(found)
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.begin()?;
        let read = self.end(self.fs.read_at(file, offset, buf))?;
        // what it was made of was charged where it came from
        self.meter.charge(u64_from(read) / 4);
        Ok(read)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, Error> {
        self.begin()?;
        self.end(self.fs.link_target(link))
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, Error> {
        self.begin()?;
        let xattrs = self.end(self.fs.xattrs(node))?;
        self.meter.items(u64_from(xattrs.len()));
        Ok(xattrs)
    }

    fn xattr(&self, node: Node, name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.begin()?;
        self.end(self.fs.xattr(node, name))
    }

    fn extents(&self, node: Node, each: &mut EachExtent<'_>) -> Result<(), Error> {
        self.told(&|each| self.fs.extents(node, each), each)
    }

    fn system_extents(&self, each: &mut EachExtent<'_>) -> Result<(), Error> {
        self.told(&|each| self.fs.system_extents(each), each)
    }

    fn caveat(&self) -> Option<&'static str> {
        self.fs.caveat()
    }

    fn meter(&self) -> Option<&Meter> {
        Some(&self.meter)
    }
}
