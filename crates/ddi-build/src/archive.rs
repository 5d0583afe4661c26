//! Tar archives as a source of files, whoever wrote them.
//!
//! ```text
//!  stream, .tar.gz .xz .zst ─▶ a file without a name ┐                   ┌ name ▶ what it is, and where its bytes are
//!  FILE.tar ─────────────────────────────────────────┴▶ Parser ▶ Archive ┤ name ▶ …
//! ```
//!
//! Nothing is unpacked to a place with a name: a member is a range of bytes of the archive. Forms: POSIX.1-1988 (ustar),
//! POSIX.1-2001 (pax) with extended attributes, times and sparse files of versions 0.0, 0.1 and 1.0, GNU tar with long names
//! and sparse files, star, and the seventh edition.
//!
//! What programs disagree on is refused rather than guessed: contents behind links and directories, several extended headers
//! for one member, anything behind the end. So is what leads out of the tree or around in it: absolute names, `..`, names
//! over a symbolic link, hard links to what is not there. Of several members with one name the last counts, as it does when
//! an archive is unpacked; a directory and something else never replace each other.
//!
//! # Bounds
//! [`MAX_MEMBERS`] members; [`MAX_NAMES`] bytes of names, targets, attributes and maps of all of them; as many bytes of
//! contents, holes counted, as [`ArchiveOptions::max_size`] says. A stream is kept in a temporary file as
//! [`spool`](ddi_io::spool()) does it, with its bounds.

mod extended;
mod fault;
mod header;
mod parser;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ddi_io::{Compression, FileSource, MAGIC_SIZE, ReadAt, SPOOL_DIRECTORY, SpoolOptions};
use rustix::fs::{CWD, Mode, OFlags};

pub use fault::ArchiveFault;
pub(crate) use fault::shown;
pub(crate) use parser::Part;
use parser::{Member, MemberKind, Parser};

use crate::content::bytes::Bytes;
use crate::content::tree::{Entry, Key, Kind, MAX_PATH, is_of_the_file, join, resolve};
use crate::error::{Error, SourceFault};

/// Most members of one archive.
pub const MAX_MEMBERS: usize = 4 << 20;
/// Most bytes of names, targets, attributes and maps of one archive.
pub const MAX_NAMES: u64 = 512 << 20;
/// Bytes of one part of a name.
const MAX_PART: usize = 255;

/// How an archive is read.
#[derive(Clone, Debug)]
pub struct ArchiveOptions {
    folder: PathBuf,
    strip: usize,
    max_size: u64,
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ArchiveOptions {
    /// All of it, up to 64 GiB.
    pub fn new() -> Self {
        Self { folder: SPOOL_DIRECTORY.into(), strip: 0, max_size: ddi_io::MAX_UNPACKED_SIZE }
    }

    /// Where the temporary file is, without a name, that a stream or compressed archive is kept in. `/var/tmp` unless told.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Leaves out so many parts at the beginning of each name, and of targets of hard links. What has no more parts is left
    /// out (tar's `--strip-components=`).
    #[must_use]
    pub fn strip_components(mut self, parts: usize) -> Self {
        self.strip = parts;
        self
    }

    /// Most bytes of the archive, unpacked, and of all files in it with their holes.
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }
}

/// The bytes of an archive.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) path: PathBuf,
    source: FileSource,
    /// Of a file with a name, which others can write to.
    modified: Option<SystemTime>,
}

impl Stored {
    /// Writes a range of it.
    pub(crate) fn copy_to(
        &self,
        at: u64,
        size: u64,
        piece: &mut [u8],
        out: &mut dyn Write,
    ) -> Result<io::Result<()>, Error> {
        let mut done = 0;
        while done < size {
            let left = usize::try_from(size.saturating_sub(done)).unwrap_or(usize::MAX);
            let want = left.min(piece.len());
            let Some(buf) = piece.get_mut(..want) else { break };
            let read = self.source.read_exact_at(at.saturating_add(done), buf);
            read.map_err(|error| {
                self.changed(match error.kind() {
                    io::ErrorKind::UnexpectedEof => SourceFault::Shrank,
                    _ => SourceFault::Io(error),
                })
            })?;
            if let Err(error) = out.write_all(buf) {
                return Ok(Err(error));
            }
            done = done.saturating_add(u64::try_from(want).unwrap_or(size));
        }
        self.unchanged().map(Ok)
    }

    fn changed(&self, fault: SourceFault) -> Error {
        Error::Changed { path: self.path.clone(), fault }
    }

    /// What is written to while it is read is of no one moment.
    fn unchanged(&self) -> Result<(), Error> {
        let Some(modified) = self.modified else { return Ok(()) };
        match self.source.file().metadata().and_then(|found| found.modified()) {
            Ok(now) if now == modified => Ok(()),
            Ok(_) => Err(self.changed(SourceFault::Rewritten)),
            Err(error) => Err(self.changed(SourceFault::Io(error))),
        }
    }
}

/// A tar archive whose members are all known and can all be had.
///
/// ```
/// use ddi_build::{Archive, ArchiveOptions};
///
/// // an archive without members
/// let archive = Archive::read("empty.tar", &mut &[0; 1024][..], &ArchiveOptions::new())?;
/// assert_eq!(archive.members(), 0);
/// assert!(Archive::read("no.tar", &mut &[7; 1024][..], &ArchiveOptions::new()).is_err());
/// # Ok::<(), ddi_build::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Archive {
    stored: Arc<Stored>,
    pub(crate) entries: BTreeMap<Key, Entry>,
    members: usize,
    /// Access control lists were left out.
    pub(crate) has_acl: bool,
}

impl Archive {
    /// Opens a file: a tar archive, also compressed with gzip, xz or Zstandard.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Unpack`], [`Error::Archive`].
    pub fn open(path: impl Into<PathBuf>, options: &ArchiveOptions) -> Result<Self, Error> {
        let path = path.into();
        let fail = |error| Error::Read { path: path.clone(), error };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        let mut file: File =
            rustix::fs::openat(CWD, &path, flags, Mode::empty()).map_err(|error| fail(error.into()))?.into();
        let found = file.metadata().map_err(fail)?;
        if found.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        if found.is_file() {
            let source = FileSource::new(file.try_clone().map_err(fail)?).map_err(fail)?;
            let size = usize::try_from(source.size()).unwrap_or(MAGIC_SIZE).min(MAGIC_SIZE);
            let mut start = vec![0; size];
            source.read_exact_at(0, &mut start).map_err(fail)?;
            if Compression::of(&start).is_none() {
                let modified = Some(found.modified().map_err(fail)?);
                return Self::index(Stored { path, source, modified }, options);
            }
            let packed = Some(found.len());
            return Self::spool(path, &mut file, packed, options);
        }
        Self::spool(path, &mut file, None, options)
    }

    /// Reads a stream to its end; messages call it `path`.
    ///
    /// # Errors
    /// [`Error::Unpack`], [`Error::Archive`].
    pub fn read(
        path: impl Into<PathBuf>,
        stream: &mut dyn Read,
        options: &ArchiveOptions,
    ) -> Result<Self, Error> {
        Self::spool(path.into(), stream, None, options)
    }

    fn spool(
        path: PathBuf,
        stream: &mut dyn Read,
        packed: Option<u64>,
        options: &ArchiveOptions,
    ) -> Result<Self, Error> {
        let mut spool = SpoolOptions::default();
        spool.max_size = options.max_size;
        spool.packed_size = packed;
        spool.directory.clone_from(&options.folder);
        let (source, _) = ddi_io::spool(stream, &spool)
            .map_err(|error| Error::Unpack { path: path.clone(), error: Box::new(error) })?;
        Self::index(Stored { path, source, modified: None }, options)
    }

    /// What messages call it.
    pub fn path(&self) -> &Path {
        &self.stored.path
    }

    /// How many members it has.
    pub fn members(&self) -> usize {
        self.members
    }

    fn index(stored: Stored, options: &ArchiveOptions) -> Result<Self, Error> {
        let stored = Arc::new(stored);
        let mut index = Index {
            stored: &stored,
            strip: options.strip,
            entries: BTreeMap::new(),
            members: 0,
            names: 0,
            size: 0,
            max_size: options.max_size,
            has_acl: false,
        };
        index.entries.insert(Key::new(), Entry::made(Kind::Directory, 0o755));
        let mut parser = Parser::new(&stored.source);
        loop {
            let step = match parser.next() {
                Ok(Some(member)) => index.add(member),
                Ok(None) => break,
                Err(fault) => Err(fault),
            };
            step.map_err(|fault| Error::Archive {
                path: stored.path.clone(),
                name: parser.name.clone(),
                offset: parser.member_at,
                fault,
            })?;
        }
        let Index { entries, members, has_acl, .. } = index;
        stored.unchanged()?;
        Ok(Self { entries, members, has_acl, stored: Arc::clone(&stored) })
    }

    /// Returns true if there is such a directory; links are followed, inside the archive.
    pub(crate) fn has_directory(&self, path: &str) -> bool {
        let found = resolve(&self.entries, path.as_bytes(), true).ok().and_then(|key| self.entries.get(&key));
        found.is_some_and(|entry| matches!(entry.kind, Kind::Directory))
    }

    /// The names at the top.
    pub(crate) fn names(&self) -> Vec<String> {
        let at_top = self.entries.keys().filter(|key| !key.is_empty() && !key.contains(&0));
        at_top.map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    /// Reads a small file, if there is a regular file of this path; links are followed, inside the archive.
    ///
    /// # Errors
    /// [`Error::Changed`]; [`Error::Read`], also for more than `limit` bytes.
    pub fn read_file(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let fail = |error| Error::Read { path: self.stored.path.join(path.trim_start_matches('/')), error };
        let Ok(key) = resolve(&self.entries, path.as_bytes(), true) else { return Ok(None) };
        let Some(Entry { kind: Kind::File { bytes, size, .. }, .. }) = self.entries.get(&key) else {
            return Ok(None);
        };
        if *size > limit {
            return Err(fail(io::ErrorKind::FileTooLarge.into()));
        }
        let mut found = Vec::new();
        bytes.copy_to(*size, &mut vec![0; 4096], &mut found)?.map_err(fail)?;
        Ok(Some(found))
    }
}

/// An archive in the making.
struct Index<'a> {
    stored: &'a Arc<Stored>,
    strip: usize,
    entries: BTreeMap<Key, Entry>,
    members: usize,
    /// Bytes of all names and the like.
    names: u64,
    /// Bytes of all contents.
    size: u64,
    max_size: u64,
    has_acl: bool,
}

impl Index<'_> {
    fn add(&mut self, member: Member) -> Result<(), ArchiveFault> {
        self.members = self.members.saturating_add(1);
        if self.members > MAX_MEMBERS {
            return Err(ArchiveFault::TooMuch { what: "members", max: 4 << 20 });
        }
        let Some(key) = key_of_name(&member.name, self.strip)? else { return Ok(()) };
        let attributes = member.xattrs.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        let attributes = attributes.fold(0, usize::saturating_add);
        self.count(key.len().saturating_add(attributes))?;
        self.has_acl |= member.has_acl;
        let number = u64::try_from(self.members).unwrap_or(u64::MAX);
        let mut mode = member.mode;
        let kind = match member.kind {
            MemberKind::Directory => Kind::Directory,
            MemberKind::File { size, parts } => {
                self.size = self.size.saturating_add(size);
                if self.size > self.max_size {
                    let (what, max) = ("bytes of files, holes counted", self.max_size);
                    return Err(ArchiveFault::TooMuch { what, max });
                }
                let bytes = match *parts {
                    [Part { offset: 0, size: length, at }] if length == size => {
                        Bytes::InArchive { archive: Arc::clone(self.stored), at }
                    }
                    _ => {
                        self.count(parts.len().saturating_mul(size_of::<Part>()))?;
                        Bytes::SparseInArchive { archive: Arc::clone(self.stored), parts: parts.into() }
                    }
                };
                // with a number of its own: links to it may follow, and stay links to it if another takes its name
                Kind::File { bytes, size, link: Some((0, u64::MAX, number)) }
            }
            MemberKind::HardLink(target) => {
                let Some(target_key) = key_of_name(&target, self.strip)? else {
                    return Err(ArchiveFault::NoTarget { target });
                };
                let entry = self.entries.get(&target_key).cloned();
                let entry = entry.ok_or_else(|| ArchiveFault::NoTarget { target: target.clone() })?;
                if matches!(entry.kind, Kind::Directory) {
                    return Err(ArchiveFault::LinkToDirectory { target });
                }
                return self.put(key, entry);
            }
            MemberKind::Symlink(target) => {
                if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) {
                    return Err(ArchiveFault::Name { what: "is a link with a target that cannot be" });
                }
                self.count(target.len())?;
                mode = 0o777;
                Kind::Symlink(target)
            }
            MemberKind::Fifo => Kind::Fifo,
            MemberKind::Device { is_block, major, minor } => Kind::Device { is_block, major, minor },
        };
        let xattrs = member.xattrs.into_iter().filter(|(name, _)| is_of_the_file(name)).collect();
        let entry = Entry { kind, mode, owner: member.owner, mtime: Some(member.modified), xattrs };
        self.put(key, entry)
    }

    fn count(&mut self, bytes: usize) -> Result<(), ArchiveFault> {
        self.names = self.names.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        match self.names > MAX_NAMES {
            true => Err(ArchiveFault::TooMuch { what: "bytes of names and attributes", max: MAX_NAMES }),
            false => Ok(()),
        }
    }

    fn put(&mut self, key: Key, entry: Entry) -> Result<(), ArchiveFault> {
        let ends = key.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(end, _)| end);
        let mut made = Vec::new();
        for end in ends.chain((!key.is_empty()).then_some(0)) {
            let above = key.get(..end).unwrap_or_default();
            match self.entries.get(above).map(|above| &above.kind) {
                Some(Kind::Directory) => {}
                Some(other) => return Err(replaces(above, other)),
                None => made.push(above.to_vec()),
            }
        }
        for above in made {
            self.count(above.len())?;
            self.entries.insert(above, Entry::made(Kind::Directory, 0o755));
        }
        if let Some(there) = self.entries.get(&key) {
            let is_directory = |kind: &Kind| matches!(kind, Kind::Directory);
            if is_directory(&there.kind) != is_directory(&entry.kind) {
                return Err(replaces(&key, &there.kind));
            }
        }
        self.entries.insert(key, entry);
        Ok(())
    }
}

fn replaces(key: &[u8], kind: &Kind) -> ArchiveFault {
    let there = key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect();
    ArchiveFault::Replaces { there, kind: kind.name() }
}

/// Where a name is in the tree; `None` if nothing is left of it. It must lead down from the top, and nowhere else.
fn key_of_name(name: &[u8], strip: usize) -> Result<Option<Key>, ArchiveFault> {
    let fail = |what| Err(ArchiveFault::Name { what });
    match name {
        b"" => return fail("a name is empty"),
        name if name.starts_with(b"/") => return fail("an absolute name"),
        name if name.contains(&0) => return fail("a NUL in a name"),
        name if name.len() > MAX_PATH => return fail("a name of more than 4096 bytes"),
        _ => {}
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        match part {
            b".." => return fail("a name with .. in it"),
            part if part.len() > MAX_PART => return fail("a name with a part of more than 255 bytes"),
            part => parts.push(part),
        }
    }
    let is_left = strip == 0 || parts.len() > strip;
    let left = parts.get(strip..).unwrap_or_default().iter();
    Ok(is_left.then(|| left.fold(Key::new(), |key, part| join(&key, part))))
}

#[cfg(test)]
mod tests;
