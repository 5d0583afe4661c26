//! The files of a file system, gathered before it is made (systemd, `do_copy_files`, `make_copy_files_denylist`).

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use ddi_gpt::Designator;
use rustix::fs::{AtFlags, FileType, OFlags, Stat};

use super::bytes::Bytes;
use super::graft::graft;
use super::{ContentOptions, Source};
use crate::definitions::{Definition, Definitions, Exclude, Notice};
use crate::error::{Error, Place, SourceFault};
use crate::root::Root;

/// Links that one path may lead over.
const MAX_LINKS: usize = 40;
/// Bytes of a path inside a file system.
pub(crate) const MAX_PATH: usize = 4096;
/// Files of one file system: what mkfs programs hold in memory, too.
pub(crate) const MAX_ENTRIES: usize = 16 << 20;

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Owners {
    /// All are root's: 0:0.
    #[default]
    Root,
    /// Those that they have where they are copied from.
    AsRecorded,
}

/// A path in the file system, its parts with NULs between them, so that the order is that of the parts.
pub(crate) type Key = Vec<u8>;

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Directory,
    File {
        bytes: Bytes,
        size: u64,
        /// Which copy it is of, device and inode, if it may have other names.
        link: Option<(usize, u64, u64)>,
    },
    Symlink(Vec<u8>),
    Fifo,
    Device {
        is_block: bool,
        major: u32,
        minor: u32,
    },
}

impl Kind {
    /// For people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File { .. } => "file",
            Self::Symlink(_) => "symbolic link",
            Self::Fifo => "FIFO",
            Self::Device { .. } => "device",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// `None`: that of the whole file system.
    pub(crate) mtime: Option<(i64, u32)>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    pub(crate) fn made(kind: Kind, mode: u32) -> Self {
        Self { kind, mode, owner: (0, 0), mtime: None, xattrs: Vec::new() }
    }
}

/// The files of one file system, each directory before what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) entries: BTreeMap<Key, Entry>,
    pub(crate) root_is_copied: bool,
}

/// What is not copied.
#[derive(Default)]
struct Denied {
    /// By device and inode; true if a folder itself stays.
    sources: HashMap<(u64, u64), bool>,
    targets: BTreeMap<Key, bool>,
}

impl Denied {
    fn add_source(&mut self, root: &Root, path: &str, contents_only: bool) {
        if let Ok(found) = root.open_at(path, OFlags::PATH)
            && let Ok(stat) = rustix::fs::fstat(&found)
        {
            let known = self.sources.entry(inode(&stat)).or_insert(contents_only);
            *known &= contents_only;
        }
    }

    fn add_target(&mut self, exclude: &Exclude) {
        let known = self.targets.entry(key_of(&exclude.path)).or_insert(exclude.contents_only);
        *known &= exclude.contents_only;
    }
}

fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Of a path that starts with a slash.
pub(crate) fn key_of(path: &str) -> Key {
    path.trim_matches('/').bytes().map(|byte| if byte == b'/' { 0 } else { byte }).collect()
}

pub(crate) fn join(key: &[u8], name: &[u8]) -> Key {
    let between: &[u8] = if key.is_empty() { b"" } else { b"\0" };
    [key, between, name].concat()
}

pub(crate) fn parent(key: &[u8]) -> Option<&[u8]> {
    match key.iter().rposition(|byte| *byte == 0) {
        Some(end) => key.get(..end),
        None => (!key.is_empty()).then_some(b""),
    }
}

/// For people.
pub(crate) fn show_key(key: &[u8]) -> String {
    let path: Vec<u8> = key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect();
    format!("/{}", String::from_utf8_lossy(&path))
}

/// Where other partitions are mounted.
pub(crate) fn mount_points(designator: Designator) -> &'static [&'static str] {
    match designator {
        Designator::Usr => &["/usr"],
        Designator::Home => &["/home"],
        Designator::Srv => &["/srv"],
        Designator::Esp => &["/efi", "/boot"],
        Designator::Xbootldr => &["/boot"],
        Designator::Var => &["/var"],
        Designator::Tmp => &["/var/tmp"],
        _ => &[],
    }
}

/// Folders of a system that hold nothing to be copied.
pub(crate) const VOLATILE: [&str; 6] = ["proc", "sys", "dev", "tmp", "run", "var/tmp"];

impl Tree {
    /// Gathers what a definition says; it may be one with more than `listed` says, which is the same one among all.
    pub(crate) fn gather(
        (definition, listed): (&Definition, &Definition),
        definitions: &Definitions,
        options: &ContentOptions<'_>,
        notices: &mut Vec<Notice>,
    ) -> Result<Self, Error> {
        let mut tree = Self { entries: BTreeMap::new(), root_is_copied: false };
        tree.entries.insert(Key::new(), Entry::made(Kind::Directory, 0o755));
        let owners = options.owners;
        for (number, copy) in definition.copy_files.iter().enumerate() {
            let root = match options.copy_source {
                Source::Folder(root) => root,
                Source::Archive(archive) => {
                    graft(
                        &mut tree,
                        archive,
                        (definition, listed),
                        definitions,
                        (number, copy),
                        owners,
                        notices,
                    )?;
                    continue;
                }
            };
            let denied = deny((definition, listed), definitions, root, &copy.source, &copy.target);
            let mut walk =
                Walk { tree: &mut tree, root, owners, denied, place: &copy.place, notices, number };
            walk.copy(&copy.source, &copy.target)?;
        }
        // behind all copies, as these stand in place of what was copied there
        for (path, bytes) in &options.files {
            let place = definition.place("CopyFiles");
            let key = tree.make_parent(path.as_bytes(), &place)?;
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let kind = Kind::File { bytes: Bytes::Here(Arc::clone(bytes)), size, link: None };
            if !tree.takes(&key, &kind).is_ok_and(|takes| takes) {
                return Err(Error::Source { place, path: path.into(), fault: SourceFault::Exists });
            }
            tree.entries.insert(key, Entry::made(kind, 0o644));
        }
        for path in &definition.make_directories {
            let place = definition.place("MakeDirectories");
            tree.make_directories(path.as_bytes(), &place)?;
        }
        for (link, target) in &definition.make_symlinks {
            let place = definition.place("MakeSymlinks");
            let key = tree.make_parent(link.as_bytes(), &place)?;
            if tree.entries.contains_key(&key) {
                let path = PathBuf::from(link);
                return Err(Error::Source { place, path, fault: SourceFault::Exists });
            }
            tree.entries.insert(key, Entry::made(Kind::Symlink(target.clone().into_bytes()), 0o777));
        }
        Ok(tree)
    }

    /// The directory that all others are in.
    pub(crate) fn root(&self) -> Entry {
        self.entries.get(&Key::new()).cloned().unwrap_or_else(|| Entry::made(Kind::Directory, 0o755))
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// Returns true if there is anything in it.
    pub(crate) fn has_more_than_a_root(&self) -> bool {
        self.entries.len() > 1
    }

    /// The newest time of all files.
    pub(crate) fn newest(&self) -> u64 {
        let seconds = self.entries.values().filter_map(|entry| entry.mtime).map(|(seconds, _)| seconds);
        seconds.max().and_then(|newest| u64::try_from(newest).ok()).unwrap_or_default()
    }

    /// What a path leads to inside, links followed, and not the last part unless asked for.
    pub(crate) fn resolve(&self, path: &[u8], follow_last: bool, place: &Place) -> Result<Key, Error> {
        resolve(&self.entries, path, follow_last).map_err(|fault| Error::Source {
            place: place.clone(),
            path: show_path(path),
            fault,
        })
    }

    /// Returns true if something new goes there; false if two directories are merged, of which the first one says whose it is.
    pub(crate) fn takes(&self, key: &[u8], kind: &Kind) -> Result<bool, SourceFault> {
        let is_directory = matches!(kind, Kind::Directory);
        match self.entries.get(key).map(|entry| matches!(entry.kind, Kind::Directory)) {
            Some(known) if known != is_directory => Err(SourceFault::Exists),
            Some(true) => Ok(false),
            _ => Ok(true),
        }
    }

    /// The key of a path whose parent directories are made if they are not there.
    pub(crate) fn make_parent(&mut self, path: &[u8], place: &Place) -> Result<Key, Error> {
        let parts: Vec<&[u8]> = parts(path).collect();
        let Some((name, above)) = parts.split_last() else { return Ok(Key::new()) };
        let above = self.make_directories(&above.join(&b'/'), place)?;
        Ok(join(&above, name))
    }

    /// Makes a directory, and those above it; its key.
    pub(crate) fn make_directories(&mut self, path: &[u8], place: &Place) -> Result<Key, Error> {
        let key = self.resolve(path, true, place)?;
        let ends = key.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(end, _)| end);
        for end in ends.chain([key.len()]) {
            let above = key.get(..end).unwrap_or_default();
            let made = || Entry::made(Kind::Directory, 0o755);
            let entry = self.entries.entry(above.to_vec()).or_insert_with(made);
            if !matches!(entry.kind, Kind::Directory) {
                let fault = SourceFault::NotADirectory;
                return Err(Error::Source { place: place.clone(), path: show_path(path), fault });
            }
        }
        Ok(key)
    }
}

/// What a path leads to in these files, links followed, and not the last part unless asked for.
pub(crate) fn resolve(
    entries: &BTreeMap<Key, Entry>,
    path: &[u8],
    follow_last: bool,
) -> Result<Key, SourceFault> {
    let mut left: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
    let mut key = Key::new();
    let mut links = 0_usize;
    while let Some(part) = left.pop() {
        if part == b".." {
            key = parent(&key).unwrap_or_default().to_vec();
            continue;
        }
        let next = join(&key, &part);
        if next.len() > MAX_PATH {
            return Err(SourceFault::PathTooLong);
        }
        match entries.get(&next).map(|entry| &entry.kind) {
            Some(Kind::Symlink(target)) if follow_last || !left.is_empty() => {
                links = links.saturating_add(1);
                if links > MAX_LINKS {
                    return Err(SourceFault::TooManyLinks);
                }
                if target.starts_with(b"/") {
                    key = Key::new();
                }
                left.extend(parts(target).rev().map(<[u8]>::to_vec));
            }
            Some(Kind::Directory) | None => key = next,
            Some(_) if left.is_empty() => key = next,
            Some(_) => return Err(SourceFault::NotADirectory),
        }
    }
    Ok(key)
}

fn show_path(path: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path))
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

fn deny(
    (definition, listed): (&Definition, &Definition),
    definitions: &Definitions,
    root: &Root,
    source: &str,
    target: &str,
) -> Denied {
    let mut denied = Denied::default();
    for path in VOLATILE {
        denied.add_source(root, path, true);
    }
    let is_root = definition.partition_type.designator() == Some(Designator::Root);
    if is_root && target == "/" {
        for path in VOLATILE {
            denied.add_source(root, &format!("{source}/{path}"), true);
        }
        let others = definitions.list.iter().filter(|other| !std::ptr::eq(*other, listed));
        for path in others.filter_map(|other| other.partition_type.designator()).flat_map(mount_points) {
            denied.add_source(root, &format!("{source}{path}"), true);
        }
    }
    for exclude in &definition.exclude_files {
        denied.add_source(root, &exclude.path, exclude.contents_only);
    }
    for exclude in &definition.exclude_files_target {
        denied.add_target(exclude);
    }
    denied
}

/// Copies one tree into another.
struct Walk<'a> {
    tree: &'a mut Tree,
    root: &'a Root,
    owners: Owners,
    denied: Denied,
    place: &'a Place,
    notices: &'a mut Vec<Notice>,
    number: usize,
}

impl Walk<'_> {
    fn fail(&self, path: &[u8], fault: SourceFault) -> Error {
        let path = self.root.show(OsStr::from_bytes(path));
        Error::Source { place: self.place.clone(), path, fault }
    }

    fn failed(&self, path: &[u8], error: impl Into<io::Error>) -> Error {
        self.fail(path, SourceFault::Io(error.into()))
    }

    fn notice(&mut self, text: String) {
        self.notices.push(Notice { place: self.place.clone(), text });
    }

    fn copy(&mut self, source: &str, target: &str) -> Result<(), Error> {
        let path = source.as_bytes();
        let found = match self.root.open_at(source, OFlags::PATH) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.notice(format!("{source} is not there, and is left out"));
                return Ok(());
            }
            Err(error) => return Err(self.failed(path, error)),
        };
        if self.is_denied(source, target)? {
            self.notice(format!("{source} is excluded, and is left out"));
            return Ok(());
        }
        let stat = rustix::fs::fstat(&found).map_err(|error| self.failed(path, error))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let is_there = |tree: &Tree, key: &Key| tree.entries.contains_key(key);
            let resolved = self.tree.resolve(target.as_bytes(), true, self.place)?;
            let was_there = is_there(self.tree, &resolved);
            let key = self.tree.make_directories(target.as_bytes(), self.place)?;
            let takes_metadata = if key.is_empty() { !self.tree.root_is_copied } else { !was_there };
            self.tree.root_is_copied |= key.is_empty();
            if takes_metadata {
                let directory =
                    self.root.open_at(source, OFlags::DIRECTORY).map_err(|error| self.failed(path, error))?;
                let entry = self.entry(
                    Kind::Directory,
                    &stat,
                    format!("/proc/self/fd/{}", directory.as_raw_fd()),
                    true,
                );
                let entry = entry.map_err(|error| self.failed(path, error))?;
                self.tree.entries.insert(key.clone(), entry);
            }
            return self.directories(path, key);
        }
        let key = self.tree.make_parent(target.as_bytes(), self.place)?;
        if self.tree.entries.contains_key(&key) {
            return Err(self.fail(path, SourceFault::Exists));
        }
        let above =
            path.iter().rposition(|byte| *byte == b'/').and_then(|end| path.get(..end)).unwrap_or_default();
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        // a link is copied as what it leads to
        let (above, name) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let file =
                    self.root.open_at(source, OFlags::RDONLY).map_err(|error| self.failed(path, error))?;
                let kind = self.file_kind(path, &stat, true);
                let entry = self.entry(kind, &stat, format!("/proc/self/fd/{}", file.as_raw_fd()), true);
                let entry = entry.map_err(|error| self.failed(path, error))?;
                self.tree.entries.insert(key, entry);
                return Ok(());
            }
            _ => (above, name),
        };
        let folder: &[u8] = if above.is_empty() { b"/" } else { above };
        let directory = self.open_directory(folder)?;
        self.one(&directory, folder, name, key)?;
        Ok(())
    }

    /// Returns true if the source or the target lies in what is excluded.
    fn is_denied(&self, source: &str, target: &str) -> Result<bool, Error> {
        let mut at = String::new();
        let all = source.split('/').filter(|part| !part.is_empty()).count();
        for (index, part) in source.split('/').filter(|part| !part.is_empty()).enumerate() {
            at.push('/');
            at.push_str(part);
            let Ok(found) = self.root.open_at(at.as_str(), OFlags::PATH) else { continue };
            let stat = rustix::fs::fstat(&found).map_err(|error| self.failed(at.as_bytes(), error))?;
            match self.denied.sources.get(&inode(&stat)) {
                Some(false) => return Ok(true),
                Some(true) if index.saturating_add(1) < all => return Ok(true),
                _ => {}
            }
        }
        let target = key_of(target);
        Ok(self.denied.targets.iter().any(|(denied, contents_only)| {
            let is_below = target.strip_prefix(&**denied).is_some_and(|rest| rest.first() == Some(&0));
            is_below || !contents_only && *denied == target
        }))
    }

    fn open_directory(&self, path: &[u8]) -> Result<File, Error> {
        self.root.open_at(path, OFlags::DIRECTORY).map_err(|error| self.failed(path, error))
    }

    /// Everything in a directory, and in those below.
    fn directories(&mut self, path: &[u8], key: Key) -> Result<(), Error> {
        let mut left = vec![(path.to_vec(), key)];
        while let Some((path, key)) = left.pop() {
            let directory = self.open_directory(&path)?;
            let stat = rustix::fs::fstat(&directory).map_err(|error| self.failed(&path, error))?;
            if self.denied.sources.contains_key(&inode(&stat)) {
                continue;
            }
            let mut names: Vec<Vec<u8>> = Vec::new();
            let entries =
                rustix::fs::Dir::read_from(&directory).map_err(|error| self.failed(&path, error))?;
            for entry in entries {
                let entry = entry.map_err(|error| self.failed(&path, error))?;
                let name = entry.file_name();
                if name != c"." && name != c".." {
                    names.push(CStr::to_bytes(name).to_vec());
                }
                if names.len() > MAX_ENTRIES {
                    return Err(self.fail(&path, SourceFault::TooManyFiles));
                }
            }
            names.sort();
            for name in names {
                let child = join(&key, &name);
                if let Some(below) = self.one(&directory, &path, &name, child.clone())? {
                    left.push((below, child));
                }
            }
        }
        Ok(())
    }

    /// Copies one entry of a directory; for a directory that is to be gone into, its path.
    fn one(
        &mut self,
        directory: &File,
        above: &[u8],
        name: &[u8],
        key: Key,
    ) -> Result<Option<Vec<u8>>, Error> {
        let path = [above, if above.ends_with(b"/") { b"" } else { b"/" }, name].concat();
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|error| self.failed(&path, error))?;
        if self.denied.sources.get(&inode(&stat)) == Some(&false)
            || self.denied.targets.get(&key) == Some(&false)
        {
            return Ok(None);
        }
        if key.len() > MAX_PATH {
            return Err(self.fail(&path, SourceFault::PathTooLong));
        }
        if self.tree.entries.len() >= MAX_ENTRIES {
            return Err(self.fail(&path, SourceFault::TooManyFiles));
        }
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => self.file_kind(&path, &stat, false),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new());
                Kind::Symlink(target.map_err(|error| self.failed(&path, error))?.into_bytes())
            }
            FileType::Fifo => Kind::Fifo,
            FileType::BlockDevice | FileType::CharacterDevice => Kind::Device {
                is_block: FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice,
                major: rustix::fs::major(stat.st_rdev),
                minor: rustix::fs::minor(stat.st_rdev),
            },
            _ => {
                self.notice(format!("{} is a socket, and is left out", String::from_utf8_lossy(&path)));
                return Ok(None);
            }
        };
        let is_directory = matches!(kind, Kind::Directory);
        if self.tree.takes(&key, &kind).map_err(|fault| self.fail(&path, fault))? {
            // its xattrs are read by path: through the open directory that leads nowhere else
            let own = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
            let entry = self.entry(kind, &stat, own, false).map_err(|error| self.failed(&path, error))?;
            self.tree.entries.insert(key.clone(), entry);
        }
        // the other exclusions go by inode, and are asked once the directory is open
        let stays_empty = self.denied.targets.contains_key(&key);
        Ok((is_directory && !stays_empty).then_some(path))
    }

    fn file_kind(&self, path: &[u8], stat: &Stat, follow: bool) -> Kind {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let link = (stat.st_nlink > 1).then_some((self.number, stat.st_dev, stat.st_ino));
        let bytes = Bytes::InFolder { root: self.root.clone(), path: path.to_vec(), follow };
        Kind::File { bytes, size, link }
    }

    fn entry(&self, kind: Kind, stat: &Stat, path: impl AsRef<[u8]>, follow: bool) -> io::Result<Entry> {
        let owner = match self.owners {
            Owners::Root => (0, 0),
            Owners::AsRecorded => (stat.st_uid, stat.st_gid),
        };
        Ok(Entry {
            kind,
            mode: stat.st_mode & 0o7777,
            owner,
            mtime: Some((stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default())),
            xattrs: xattrs(OsStr::from_bytes(path.as_ref()), follow)?,
        })
    }
}

/// Returns true if an extended attribute belongs to a file, and not to the system that it is on.
pub(crate) fn is_of_the_file(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name.starts_with(b"system.posix_acl_")
        || matches!(name, b"security.capability" | b"security.ima" | b"security.evm")
}

/// The extended attributes that belong to a file, and not to the system that it is on.
fn xattrs(path: &OsStr, follow: bool) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    use rustix::fs::{getxattr, lgetxattr, listxattr, llistxattr};
    use rustix::io::Errno;
    // the kernel gives no more than 64 KiB of either
    let mut names = vec![0_u8; 64 << 10];
    let len = if follow { listxattr(path, &mut names[..]) } else { llistxattr(path, &mut names[..]) };
    let len = match len {
        Ok(len) => len,
        Err(Errno::NOTSUP | Errno::NOSYS | Errno::PERM) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for name in names.get(..len).unwrap_or_default().split(|byte| *byte == 0).filter(|name| !name.is_empty())
    {
        if !is_of_the_file(name) {
            continue;
        }
        let mut value = vec![0_u8; 64 << 10];
        let len =
            if follow { getxattr(path, name, &mut value[..]) } else { lgetxattr(path, name, &mut value[..]) };
        match len {
            Ok(len) => {
                value.truncate(len);
                found.push((name.to_vec(), value));
            }
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort();
    Ok(found)
}
