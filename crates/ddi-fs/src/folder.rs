//! A directory of the running system.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::disk::{index, u64_from};
use super::{EachEntry, Entry, Error, FileSystem, FileType, Limit, MAX_LINK, Node, Stat, Xattr};
use crate::FsKind;

/// Files that are remembered by number.
const MAX_NODES: usize = 4_000_000;
/// Bytes of the names of extended attributes, and of one value: what Linux allows.
const MAX_XATTR: usize = 1 << 16;

/// A directory of the running system as a file system, for a caller who takes its content at its word.
///
/// Like all others it is read through a [`Vfs`](super::Vfs), so that links stay inside it. It is looked at as it is at that
/// moment; whoever can change it meanwhile can lead what is read elsewhere.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    nodes: Mutex<Nodes>,
}

/// Each file by the directory that it is in and its name there. The root is 0.
#[derive(Debug, Default)]
struct Nodes {
    files: Vec<(u64, Box<[u8]>)>,
    numbers: HashMap<(u64, Box<[u8]>), u64>,
}

impl Folder {
    /// The directory at `path`, links followed.
    ///
    /// # Errors
    /// [`Error::NotADirectory`], [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let root = fs::canonicalize(path).map_err(failed)?;
        if !fs::metadata(&root).map_err(failed)?.is_dir() {
            return Err(Error::NotADirectory);
        }
        let nodes = Nodes { files: vec![(0, Box::default())], numbers: HashMap::new() };
        Ok(Folder { root, nodes: Mutex::new(nodes) })
    }

    fn path(&self, node: Node) -> Result<PathBuf, Error> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = Vec::new();
        let mut at = node.0;
        while at != 0 {
            let (parent, name) = nodes.files.get(index(at)).ok_or(Error::NotFound)?;
            names.push(&**name);
            at = *parent;
        }
        let mut path = self.root.clone();
        path.extend(names.iter().rev().map(|name| OsStr::from_bytes(name)));
        Ok(path)
    }

    fn node(&self, dir: Node, name: &[u8]) -> Result<Node, Error> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (dir.0, Box::from(name));
        if let Some(known) = nodes.numbers.get(&key) {
            return Ok(Node(*known));
        }
        if nodes.files.len() >= MAX_NODES {
            return Err(Error::Budget(Limit::Entries));
        }
        let number = u64_from(nodes.files.len());
        nodes.files.push(key.clone());
        nodes.numbers.insert(key, number);
        Ok(Node(number))
    }
}

impl FileSystem for Folder {
    /// Whatever it is on: nothing is decided by it, but that names are bytes.
    fn kind(&self) -> FsKind {
        FsKind::Ext4
    }

    fn root(&self) -> Node {
        Node(0)
    }

    fn stat(&self, node: Node) -> Result<Stat, Error> {
        let found = fs::symlink_metadata(self.path(node)?).map_err(failed)?;
        let mode = u16::try_from(found.mode() & 0xffff).unwrap_or_default();
        let file_type =
            FileType::from_mode(mode).ok_or(Error::Unsupported { what: "a file of unknown type" })?;
        let rdev = match file_type {
            FileType::CharDevice | FileType::BlockDevice => {
                (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()))
            }
            _ => (0, 0),
        };
        Ok(Stat {
            file_type,
            permissions: mode & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
            size: found.len(),
            mtime: found.mtime(),
            mtime_nsec: u32::try_from(found.mtime_nsec()).unwrap_or_default(),
            nlink: u32::try_from(found.nlink()).unwrap_or(u32::MAX),
            rdev,
        })
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        if self.stat(dir)?.file_type != FileType::Directory {
            return Err(Error::NotADirectory);
        }
        for entry in fs::read_dir(self.path(dir)?).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let node = self.node(dir, name.as_bytes())?;
            if let ControlFlow::Break(()) = each(Entry { name: name.as_bytes(), node, file_type: None }) {
                break;
            }
        }
        Ok(())
    }

    fn lookup(&self, dir: Node, name: &[u8], left: &mut u64) -> Result<Option<Node>, Error> {
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
            return Ok(None);
        }
        *left = left.checked_sub(1).ok_or(Error::Budget(Limit::Lookup))?;
        match fs::symlink_metadata(self.path(dir)?.join(OsStr::from_bytes(name))) {
            Ok(_) => self.node(dir, name).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Error::NotADirectory),
            Err(error) => Err(failed(error)),
        }
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        // nothing else may be opened: a FIFO would wait
        if self.stat(file)?.file_type != FileType::Regular {
            return Err(Error::NotAFile);
        }
        let file = File::open(self.path(file)?).map_err(failed)?;
        let mut filled = 0_usize;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset.saturating_add(u64_from(filled))) {
                Ok(0) => break,
                Ok(n) => filled = filled.saturating_add(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Io { offset, source }),
            }
        }
        Ok(filled)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, Error> {
        if self.stat(link)?.file_type != FileType::Symlink {
            return Err(Error::NotALink);
        }
        let target = fs::read_link(self.path(link)?).map_err(failed)?.into_os_string().into_vec();
        let size = u64_from(target.len());
        if size > MAX_LINK { Err(Error::TooLarge { size, limit: MAX_LINK }) } else { Ok(target) }
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, Error> {
        let path = self.path(node)?;
        let mut names = vec![0_u8; MAX_XATTR];
        let n = match rustix::fs::llistxattr(&path, &mut names[..]) {
            Ok(n) => n,
            Err(rustix::io::Errno::NOTSUP) => 0,
            Err(error) => return Err(failed(error.into())),
        };
        names.truncate(n);
        let mut value = vec![0_u8; MAX_XATTR];
        let mut xattrs = Vec::new();
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            // one that has gone, or that is not for us, is not there
            if let Ok(n) = rustix::fs::lgetxattr(&path, name, &mut value[..]) {
                let value = value.get(..n).unwrap_or_default().to_vec();
                xattrs.push(Xattr { name: name.to_vec(), value });
            }
        }
        Ok(xattrs)
    }
}

fn failed(source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound { Error::NotFound } else { Error::Io { offset: 0, source } }
}
