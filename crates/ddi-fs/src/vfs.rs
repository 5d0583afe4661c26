//! File systems put together, and paths resolved inside them.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::disk::{index, u64_from};
use super::{EachEntry, Entry, Error, FileSystem, FileType, Limit, MAX_LINK, Meter, Node, Stat, Xattr};

/// Symbolic links followed on the way to one file: Linux's `MAXSYMLINKS`.
const MAX_LINKS: u32 = 40;
/// Components that may still have to be resolved. 40 links of 4096 bytes need no more.
const MAX_PENDING: usize = 1 << 17;
/// Names that are looked through on the way to one file, and what a directory of so many bytes counts for, as it may be
/// large and empty.
const MAX_LOOKED_AT: u64 = 2_000_000;
const BYTES_FOR_A_NAME: u64 = 32;
/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// A file in a [`Vfs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Which file system: 0 is the root, others are in the order in which they were mounted.
    mount: u32,
    /// The file in it.
    node: Node,
}

impl Place {
    /// Which file system it is in: 0 is the root, others are in the order in which they were mounted.
    pub fn mount(self) -> u32 {
        self.mount
    }

    /// The file, to its reader.
    pub fn node(self) -> Node {
        self.node
    }
}

/// A root file system and what is mounted on its top-level directories: what systemd sees of an image.
///
/// A partition for `/usr` is mounted over that of the root file system; with no root partition the root is an empty
/// directory (systemd mounts a tmpfs). Paths are resolved in here: see [`locate`](Vfs::locate).
///
/// ```
/// let nothing = ddi_fs::Vfs::new(None);
/// assert!(nothing.resolve(b"/../../etc/passwd").is_err());
/// assert_eq!(nothing.resolve(b"/..").unwrap(), nothing.root());
/// ```
#[derive(Debug, Clone)]
pub struct Vfs {
    root: Option<Arc<dyn FileSystem>>,
    mounts: Vec<Mount>,
}

/// A name at the top, and what is mounted there.
type Mount = (Box<[u8]>, Arc<dyn FileSystem>);

impl Vfs {
    /// A root file system alone; `None` is an empty directory.
    pub fn new(root: Option<Arc<dyn FileSystem>>) -> Self {
        Vfs { root, mounts: Vec::new() }
    }

    /// Mounts a file system on a top-level directory, such as `usr`, which need not exist below.
    #[must_use]
    pub fn with_mount(mut self, name: &[u8], fs: Arc<dyn FileSystem>) -> Self {
        self.mounts.retain(|(old, _)| **old != *name);
        self.mounts.push((name.into(), fs));
        self
    }

    /// The root directory.
    pub fn root(&self) -> Place {
        Place { mount: 0, node: self.root.as_ref().map_or(Node(0), |fs| fs.root()) }
    }

    /// The file systems: the root, if there is one, then the mounts by name.
    pub fn file_systems(&self) -> impl Iterator<Item = (&[u8], &dyn FileSystem)> {
        let root = self.root.iter().map(|fs| (&b""[..], &**fs));
        root.chain(self.mounts.iter().map(|(name, fs)| (&**name, &**fs)))
    }

    /// Checks that everything that was asked for was looked at. Once the account of a file system is spent, nothing
    /// more of it is looked at.
    ///
    /// A conclusion from what is *not* there asks this last.
    ///
    /// # Errors
    /// [`Error::Budget`].
    pub fn check_complete(&self) -> Result<(), Error> {
        let mut meters = self.file_systems().filter_map(|(_, fs)| fs.meter());
        meters.try_for_each(Meter::check)
    }

    /// The file system of a place. `None`: the empty root.
    fn fs(&self, place: Place) -> Option<&dyn FileSystem> {
        match usize::try_from(place.mount).ok()?.checked_sub(1) {
            None => self.root.as_deref(),
            Some(i) => self.mounts.get(i).map(|(_, fs)| &**fs),
        }
    }

    /// What is mounted on the top-level directory `name`, or `None` if nothing is.
    fn mounted(&self, name: &[u8]) -> Option<Place> {
        let i = self.mounts.iter().position(|(at, _)| **at == *name)?;
        let (_, fs) = self.mounts.get(i)?;
        Some(Place { mount: u32::try_from(i).ok()?.checked_add(1)?, node: fs.root() })
    }

    /// As [`FileSystem::stat`].
    ///
    /// # Errors
    /// As there.
    pub fn stat(&self, place: Place) -> Result<Stat, Error> {
        match self.fs(place) {
            Some(fs) => fs.stat(place.node),
            None => Ok(Stat {
                file_type: FileType::Directory,
                permissions: 0o755,
                uid: 0,
                gid: 0,
                size: 0,
                mtime: 0,
                mtime_nsec: 0,
                nlink: 2,
                rdev: (0, 0),
            }),
        }
    }

    /// As [`FileSystem::list`], with mounts in place of what lies under them.
    ///
    /// # Errors
    /// As there.
    pub fn list(
        &self,
        dir: Place,
        each: &mut dyn FnMut(Entry<'_>, Place) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.list_by(&|fs, each| fs.list(dir.node, each), dir, each)
    }

    /// As [`FileSystem::list_readable`], with mounts in place of what lies under them.
    ///
    /// # Errors
    /// As there.
    pub fn list_readable(
        &self,
        dir: Place,
        each: &mut dyn FnMut(Entry<'_>, Place) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.list_by(&|fs, each| fs.list_readable(dir.node, each), dir, each)
    }

    fn list_by(
        &self,
        list: &dyn Fn(&dyn FileSystem, &mut EachEntry<'_>) -> Result<(), Error>,
        dir: Place,
        each: &mut dyn FnMut(Entry<'_>, Place) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let top = dir == self.root();
        let mut stopped = false;
        let mut outcome = Ok(());
        // names that the directory below has too, so that they are not told by what is mounted alone
        let mut below: Vec<&[u8]> = Vec::new();
        if let Some(fs) = self.fs(dir) {
            outcome = list(fs, &mut |entry| {
                if top && let Some((name, _)) = self.mounts.iter().find(|(name, _)| **name == *entry.name) {
                    if !below.contains(&&**name) {
                        below.push(name);
                    }
                    return ControlFlow::Continue(());
                }
                let flow = each(entry, Place { mount: dir.mount, node: entry.node });
                stopped = flow.is_break();
                flow
            });
        }
        if top && !stopped {
            for (name, fs) in &self.mounts {
                if !below.contains(&&**name) {
                    fs.is_listed();
                }
                let entry = Entry { name, node: fs.root(), file_type: Some(FileType::Directory) };
                if self.mounted(name).is_none_or(|place| each(entry, place).is_break()) {
                    break;
                }
            }
        }
        outcome
    }

    /// As [`FileSystem::lookup`], with mounts in place of what lies under them.
    ///
    /// # Errors
    /// As there.
    pub fn lookup(&self, dir: Place, name: &[u8], left: &mut u64) -> Result<Option<Place>, Error> {
        if dir == self.root()
            && let Some(mounted) = self.mounted(name)
        {
            return Ok(Some(mounted));
        }
        let found = self.fs(dir).map(|fs| fs.lookup(dir.node, name, left)).transpose()?.flatten();
        Ok(found.map(|node| Place { mount: dir.mount, node }))
    }

    /// As [`FileSystem::read_at`].
    ///
    /// # Errors
    /// As there.
    pub fn read_at(&self, file: Place, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.fs(file).ok_or(Error::NotAFile)?.read_at(file.node, offset, buf)
    }

    /// As [`FileSystem::link_target`].
    ///
    /// # Errors
    /// As there.
    pub fn link_target(&self, link: Place) -> Result<Vec<u8>, Error> {
        self.fs(link).ok_or(Error::NotALink)?.link_target(link.node)
    }

    /// As [`FileSystem::xattrs`].
    ///
    /// # Errors
    /// As there.
    pub fn xattrs(&self, place: Place) -> Result<Vec<Xattr>, Error> {
        self.fs(place).map_or_else(|| Ok(Vec::new()), |fs| fs.xattrs(place.node))
    }

    /// The value of one extended attribute.
    ///
    /// # Errors
    /// As [`FileSystem::xattr`].
    pub fn xattr(&self, place: Place, name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.fs(place).map_or(Ok(None), |fs| fs.xattr(place.node, name))
    }

    /// The whole content of a regular file of at most `limit` bytes. No more memory is taken than bytes are there.
    ///
    /// # Errors
    /// [`Error::TooLarge`] with what the image claims; as [`FileSystem::read_at`].
    pub fn read(&self, file: Place, limit: u64) -> Result<Vec<u8>, Error> {
        let stat = self.stat(file)?;
        if stat.file_type != FileType::Regular {
            return Err(Error::NotAFile);
        }
        if stat.size > limit {
            return Err(Error::TooLarge { size: stat.size, limit });
        }
        let mut content = Vec::new();
        loop {
            let start = content.len();
            let left = stat.size.saturating_sub(u64_from(start));
            content.resize(start.saturating_add(CHUNK.min(index(left))), 0);
            let target = content.get_mut(start..).unwrap_or_default();
            if target.is_empty() {
                return Ok(content);
            }
            let n = self.read_at(file, u64_from(start), target)?;
            if n < target.len() {
                content.truncate(start.saturating_add(n));
                return Ok(content);
            }
        }
    }

    /// [`resolve`](Self::resolve) and [`read`](Self::read).
    ///
    /// # Errors
    /// As both.
    pub fn read_path(&self, path: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
        self.read(self.resolve(path)?, limit)
    }

    /// The file at `path`, symbolic links followed. A path is taken from the root, with or without a leading `/`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::LinkLoop`] after 40 links, [`Error::Budget`] after two million
    /// names or 64 MiB of directories; as [`FileSystem::stat`].
    pub fn resolve(&self, path: &[u8]) -> Result<Place, Error> {
        Ok(self.locate(path, true)?.0)
    }

    /// The same, but a symbolic link at the very end is the answer, unless a `/` follows it.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_link(&self, path: &[u8]) -> Result<Place, Error> {
        Ok(self.locate(path, false)?.0)
    }

    /// The file at `path`, and its path without any link, `.` or `..`.
    ///
    /// Absolute link targets start at the root of this tree, and `..` of the root is the root: there is no way out.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn locate(&self, path: &[u8], follow: bool) -> Result<(Place, Vec<u8>), Error> {
        // the directories passed so far, by name; the last one is where we are
        let mut at: Vec<(Place, Box<[u8]>)> = Vec::new();
        let mut pending: Vec<Box<[u8]>> = Vec::new();
        push_components(&mut pending, path);
        let mut links: u32 = 0;
        let mut left = MAX_LOOKED_AT;
        while let Some(name) = pending.pop() {
            let here = at.last().map_or_else(|| self.root(), |(place, _)| *place);
            let directory = self.stat(here)?;
            if directory.file_type != FileType::Directory {
                return Err(Error::NotADirectory);
            }
            match &*name {
                b"." => continue,
                b".." => {
                    at.pop();
                    continue;
                }
                _ => {}
            }
            let cost = directory.size.checked_div(BYTES_FOR_A_NAME).unwrap_or_default();
            left = left.checked_sub(cost).ok_or(Error::Budget(Limit::Lookup))?;
            let next = self.lookup(here, &name, &mut left)?.ok_or(Error::NotFound)?;
            let is_last = pending.is_empty();
            if (!is_last || follow) && self.stat(next)?.file_type == FileType::Symlink {
                links = links.saturating_add(1);
                if links > MAX_LINKS {
                    return Err(Error::LinkLoop);
                }
                let target = self.link_target(next)?;
                if target.is_empty() {
                    return Err(Error::NotFound);
                }
                if target.first() == Some(&b'/') {
                    at.clear();
                }
                push_components(&mut pending, &target);
                if pending.len() > MAX_PENDING {
                    return Err(Error::LinkLoop);
                }
                continue;
            }
            at.push((next, name));
        }
        let place = at.last().map_or_else(|| self.root(), |(place, _)| *place);
        let mut path: Vec<u8> = at.iter().flat_map(|(_, name)| [b"/", &**name]).flatten().copied().collect();
        if path.is_empty() {
            path.push(b'/');
        }
        Ok((place, path))
    }
}

/// The components of `path`, the first one on top of the stack. A `/` at the end asks for a directory, as `/.`.
fn push_components(pending: &mut Vec<Box<[u8]>>, path: &[u8]) {
    if path.last() == Some(&b'/') {
        pending.push(b"."[..].into());
    }
    let components = path.rsplit(|byte| *byte == b'/').filter(|name| !name.is_empty());
    pending.extend(components.map(Box::from));
}

const _: () = assert!(MAX_LINK <= 4096, "MAX_PENDING was reckoned from it");
