//! Files, made one by one in a folder of ours.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ddi_fs::{Error as FileError, FileType, Place, Stat, Walk, Xattr};
use rustix::fs::{
    AtFlags, FileType as Type, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT, Uid,
    XattrFlags, chmodat, chownat, fchmod, fchown, fsetxattr, fsync, futimens, linkat, makedev, mkdirat,
    mknodat, openat, renameat, renameat_with, statat, symlinkat, syncfs, unlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::error::{DestinationFault, ExtractError};
use super::folder::{Folder, empty, open_directory, open_parent, umask};
use super::{ExtractNotice, ExtractOptions, Extracted, Found, Source, refusal, stretches};

/// What is extracted, inside our folder.
const ITEM: &str = "item";

/// Makes everything in a new folder beside `destination`, and moves it there when `check` says that it may be told.
pub(super) fn extract(
    source: &Source<'_>,
    destination: &Path,
    mut options: ExtractOptions<'_>,
    check: &dyn Fn() -> Result<(), ExtractError>,
) -> Result<Extracted, ExtractError> {
    let (parent, name) = open_parent(destination)?;
    let folder = Folder::new(&parent);
    let mut folder = folder
        .map_err(|error| ExtractError::write(None, "cannot make a folder beside the destination", error))?;
    let extracted = Writer::new(source, folder.as_fd(), &mut options).and_then(|mut writer| {
        writer.tree(check)?;
        let extracted = writer.extracted;
        writer.finish(&parent, &name, destination)?;
        Ok(extracted)
    });
    // by now no directory in it is open any more: there may be no descriptors but theirs
    if let Err(error) = folder.remove() {
        tell(&mut options, &ExtractNotice::NotRemoved { name: folder.name().to_owned(), error });
    }
    extracted
}

fn tell(options: &mut ExtractOptions<'_>, notice: &ExtractNotice) {
    if let Some(tell) = &mut options.tell {
        tell(notice);
    }
}

/// A directory that is being filled.
struct Level {
    fd: OwnedFd,
    stat: Stat,
    xattrs: Vec<Xattr>,
}

struct Writer<'a, 'b> {
    source: &'a Source<'a>,
    folder: BorrowedFd<'a>,
    options: &'a mut ExtractOptions<'b>,
    umask: Mode,
    is_root: bool,
    /// From the directory that is extracted down to where we are.
    levels: Vec<Level>,
    /// The directory itself, when it is complete but for its mode.
    top: Option<Level>,
    extracted: Extracted,
    has_copies: bool,
    no_xattrs: bool,
}

impl<'a, 'b> Writer<'a, 'b> {
    fn new(
        source: &'a Source<'a>,
        folder: BorrowedFd<'a>,
        options: &'a mut ExtractOptions<'b>,
    ) -> Result<Self, ExtractError> {
        let umask =
            umask(folder).map_err(|error| ExtractError::write(None, "cannot read the umask", error))?;
        Ok(Writer {
            source,
            folder,
            options,
            umask,
            is_root: geteuid().is_root(),
            levels: Vec::new(),
            top: None,
            extracted: Extracted::default(),
            has_copies: false,
            no_xattrs: false,
        })
    }

    fn tree(&mut self, check: &dyn Fn() -> Result<(), ExtractError>) -> Result<(), ExtractError> {
        let source = self.source;
        source.walk(self.options.budget, |walk, found| self.visit(walk, &found))?;
        check()?;
        self.leave(0).map_err(|error| ExtractError::write(None, "cannot complete a directory", error))
    }

    fn visit(&mut self, walk: &mut Walk, found: &Found<'_>) -> Result<(), ExtractError> {
        let (depth, name) = match found.path {
            b"/" => (0, ITEM.as_bytes()),
            path => (path.iter().filter(|byte| **byte == b'/').count(), found.name()),
        };
        if self.options.is_stopped() {
            return Err(self.cannot("was interrupted", found, io::ErrorKind::Interrupted));
        }
        self.leave(depth).map_err(|error| self.cannot("cannot complete a directory", found, error))?;
        let name = OsStr::from_bytes(name);
        // the content is there already, and the attributes are those of the file
        if found.has_names() && self.link(found.place, name) {
            self.extracted.files = self.extracted.files.saturating_add(1);
            return Ok(());
        }
        let stat = &found.stat;
        match stat.file_type {
            FileType::Directory => self.directory(found, name)?,
            FileType::Regular => self.regular(walk, found, name)?,
            FileType::Symlink => {
                let target = self.source.link_target(found)?;
                symlinkat(OsStr::from_bytes(&target), self.here(), name)
                    .map_err(|error| self.cannot("cannot make it", found, error))?;
                self.finish_other(name, stat)
                    .map_err(|error| self.cannot("cannot complete it", found, error))?;
            }
            FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
                if let Some(why) = refusal(stat.file_type, self.options.preserve) {
                    self.extracted.left_out = self.extracted.left_out.saturating_add(1);
                    let (path, file_type) = (self.source.path_of(found.path), stat.file_type);
                    tell(self.options, &ExtractNotice::LeftOut { path, file_type, why });
                    return Ok(());
                }
                self.special(found, name)?;
            }
        }
        self.extracted.files = self.extracted.files.saturating_add(1);
        if found.has_names() {
            self.keep(found.place, name);
        }
        Ok(())
    }

    fn cannot(&self, action: &'static str, found: &Found<'_>, error: impl Into<io::Error>) -> ExtractError {
        ExtractError::write(self.source.path_of(found.path), action, error)
    }

    /// Makes a directory that only we may look into, until all is in it.
    fn directory(&mut self, found: &Found<'_>, name: &OsStr) -> Result<(), ExtractError> {
        let parent = self.here();
        mkdirat(parent, name, Mode::RWXU).map_err(|error| self.cannot("cannot make it", found, error))?;
        let fd = open_directory(parent, name).map_err(|error| self.cannot("cannot open it", found, error))?;
        let xattrs = self.xattrs(found)?;
        self.levels.push(Level { fd, stat: found.stat, xattrs });
        Ok(())
    }

    fn regular(&mut self, walk: &mut Walk, found: &Found<'_>, name: &OsStr) -> Result<(), ExtractError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(self.here(), name, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(fd.map_err(|error| self.cannot("cannot make it", found, error))?);
        self.content(walk, found, &file)?;
        let xattrs = self.xattrs(found)?;
        self.finish_file(file.as_fd(), &found.stat, &xattrs)
            .map_err(|error| self.cannot("cannot complete it", found, error))
    }

    /// Makes a device, a FIFO or a socket.
    fn special(&mut self, found: &Found<'_>, name: &OsStr) -> Result<(), ExtractError> {
        let stat = &found.stat;
        let (kind, device) = match stat.file_type {
            FileType::CharDevice => (Type::CharacterDevice, makedev(stat.rdev.0, stat.rdev.1)),
            FileType::BlockDevice => (Type::BlockDevice, makedev(stat.rdev.0, stat.rdev.1)),
            FileType::Fifo => (Type::Fifo, 0),
            _ => (Type::Socket, 0),
        };
        mknodat(self.here(), name, kind, Mode::empty(), device)
            .map_err(|error| self.cannot("cannot make it", found, error))?;
        let mode = Mode::from_raw_mode(u32::from(stat.permissions));
        self.finish_other(name, stat)
            .and_then(|()| Ok(chmodat(self.here(), name, mode, AtFlags::empty())?))
            .map_err(|error| self.cannot("cannot complete it", found, error))
    }

    /// Where the next file goes.
    fn here(&self) -> BorrowedFd<'_> {
        self.levels.last().map_or(self.folder, |level| level.fd.as_fd())
    }

    /// Completes the directories that are deeper than `depth`.
    fn leave(&mut self, depth: usize) -> io::Result<()> {
        while self.levels.len() > depth {
            let Some(level) = self.levels.pop() else { break };
            if self.levels.is_empty() {
                // it would not take its place without the right to write into it
                self.top = Some(level);
            } else {
                self.finish_file(level.fd.as_fd(), &level.stat, &level.xattrs)?;
            }
        }
        Ok(())
    }

    /// Makes `name` another name of the file that was kept for this place, if there is one.
    fn link(&mut self, place: Place, name: &OsStr) -> bool {
        match linkat(self.folder, kept(place), self.here(), name, AtFlags::empty()) {
            Ok(()) => true,
            Err(Errno::NOENT) => false,
            Err(error) => {
                self.copies(error);
                false
            }
        }
    }

    /// Keeps a file for its other names, under a name of its own in our folder: so nothing about it need be in memory, and
    /// it does not matter if the directories on the way to it can be searched.
    fn keep(&mut self, place: Place, name: &OsStr) {
        let link = || linkat(self.here(), name, self.folder, kept(place), AtFlags::empty());
        let result = match link() {
            // which has as many names as it can
            Err(Errno::EXIST) => unlinkat(self.folder, kept(place), AtFlags::empty()).and_then(|()| link()),
            result => result,
        };
        if let Err(error) = result {
            self.copies(error);
        }
    }

    fn copies(&mut self, error: Errno) {
        if !self.has_copies {
            tell(self.options, &ExtractNotice::Copied(error.into()));
        }
        self.has_copies = true;
    }

    /// Blocks of zeros become holes.
    fn content(&self, walk: &mut Walk, found: &Found<'_>, file: &File) -> Result<(), ExtractError> {
        let mut offset = 0_u64;
        let mut failed = None;
        let read = walk.content(&self.source.files.tree, found.place, &mut |bytes| {
            if self.options.is_stopped() {
                failed = Some(io::ErrorKind::Interrupted.into());
                return Err(FileError::NotFound);
            }
            for (_, stretch, is_zero) in stretches(bytes) {
                if !is_zero && let Err(error) = file.write_all_at(stretch, offset) {
                    failed = Some(error);
                    // ends the reading; what it was is told below
                    return Err(FileError::NotFound);
                }
                offset = offset.saturating_add(u64::try_from(stretch.len()).unwrap_or_default());
            }
            Ok(())
        });
        if let Some(error) = failed {
            return Err(self.cannot("cannot write it", found, error));
        }
        let size = read.map_err(|error| ExtractError::read(self.source.path_of(found.path), error))?;
        file.set_len(size).map_err(|error| self.cannot("cannot write it", found, error))
    }

    fn xattrs(&self, found: &Found<'_>) -> Result<Vec<Xattr>, ExtractError> {
        if !self.options.preserve {
            return Ok(Vec::new());
        }
        let mut xattrs = self.source.xattrs(found)?;
        xattrs.retain(|xattr| xattr.name.starts_with(b"user."));
        Ok(xattrs)
    }

    /// Unless all is to be preserved, as tar does for an ordinary user: no special bits, and no more than the umask lets
    /// new files have. A directory that all may write into is safe with its sticky bit alone.
    fn mode(&self, stat: &Stat) -> Mode {
        let mode = Mode::from_raw_mode(u32::from(stat.permissions & 0o7777));
        let plain = Mode::RWXU | Mode::RWXG | Mode::RWXO;
        if self.options.preserve { mode } else { (mode & plain).difference(self.umask) }
    }

    /// Gives a file or directory its owner, attributes, mode and time, in this order.
    fn finish_file(&mut self, fd: BorrowedFd<'_>, stat: &Stat, xattrs: &[Xattr]) -> io::Result<()> {
        if self.options.preserve && self.is_root {
            fchown(fd, Some(Uid::from_raw(stat.uid)), Some(Gid::from_raw(stat.gid)))?;
        }
        for xattr in xattrs {
            match fsetxattr(fd, OsStr::from_bytes(&xattr.name), &xattr.value, XattrFlags::empty()) {
                Err(Errno::NOTSUP) => {
                    if !self.no_xattrs {
                        tell(self.options, &ExtractNotice::NoXattrs);
                    }
                    self.no_xattrs = true;
                }
                result => result?,
            }
        }
        fchmod(fd, self.mode(stat))?;
        Ok(futimens(fd, &times(stat))?)
    }

    /// The same for what cannot be opened, but for the mode.
    fn finish_other(&self, name: &OsStr, stat: &Stat) -> io::Result<()> {
        if self.options.preserve && self.is_root {
            let (uid, gid) = (Uid::from_raw(stat.uid), Gid::from_raw(stat.gid));
            chownat(self.here(), name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(utimensat(self.here(), name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Gives what was extracted its name.
    fn finish(mut self, parent: &OwnedFd, name: &OsString, destination: &Path) -> Result<(), ExtractError> {
        let cannot = |action, error: io::Error| {
            ExtractError::write(destination.as_os_str().as_bytes().to_vec(), action, error)
        };
        empty(self.folder, ITEM).map_err(|error| cannot("cannot remove what is needed no longer", error))?;
        let mut read_only = None;
        if let Some(level) = self.top.take() {
            let complete = self.finish_file(level.fd.as_fd(), &level.stat, &level.xattrs);
            complete.map_err(|error| cannot("cannot complete it", error))?;
            let mode = self.mode(&level.stat);
            if !mode.contains(Mode::WUSR) {
                // as it is, its owner could not move it
                fchmod(&level.fd, mode | Mode::WUSR)
                    .map_err(|error| cannot("cannot complete it", error.into()))?;
                read_only = Some((level.fd, mode));
            }
        }
        // all the files at once: thousands of them, each by itself, would take as many turns of the disk
        syncfs(self.folder).map_err(|error| cannot("not on the disk", error.into()))?;
        let exists =
            || ExtractError::Destination { path: destination.to_owned(), fault: DestinationFault::Exists };
        let moved = match renameat_with(self.folder, ITEM, parent, name, RenameFlags::NOREPLACE) {
            // not for all file systems there is a way to be sure that nothing is replaced
            Err(Errno::INVAL | Errno::NOSYS) => match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => renameat(self.folder, ITEM, parent, name),
                _ => return Err(exists()),
            },
            Err(Errno::EXIST) => return Err(exists()),
            result => result,
        };
        moved.map_err(|error| cannot("cannot get its name", error.into()))?;
        // what fails from here on is told, not undone: all of it is there, under its name
        if let Some((directory, mode)) = read_only {
            fchmod(&directory, mode).map_err(|error| cannot("cannot complete it", error.into()))?;
            fsync(&directory).map_err(|error| cannot("not on the disk", error.into()))?;
        }
        fsync(parent).map_err(|error| cannot("its folder is not on the disk", error.into()))
    }
}

/// The name in our folder under which a file is kept.
fn kept(place: Place) -> String {
    format!("{}-{}", place.mount(), place.node().0)
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: stat.mtime, tv_nsec: i64::from(stat.mtime_nsec) },
    }
}
