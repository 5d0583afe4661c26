//! `ddi extract`: files of an image, written to where nothing was before.
//!
//! Everything is made in a new folder of ours beside the destination, by names that are looked up in open directories and
//! never followed; when all of it is on the disk, it takes its name. So nothing outside is ever touched, and nothing
//! half-done is left.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use ddi_fs::{Error, FileType, Place, Stat, Step, Visit, Walk, Xattr};
use rustix::fs::{
    AtFlags, CWD, FileType as Type, Gid, Mode, OFlags, RawDir, RenameFlags, SeekFrom, Timespec, Timestamps,
    UTIME_OMIT, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr, fstat, futimens, linkat, makedev,
    mkdirat, mknodat, openat, renameat_with, seek, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{MAX_TOLD, Opened, Stop, ended, joined, print_file};
use crate::cli::ExtractArgs;
use crate::{ExitStatus, output, overwrite};

/// What is extracted, inside our folder.
const ITEM: &str = "item";
/// Bytes of names that are read at once.
const NAMES: usize = 1 << 13;

pub(crate) fn run(args: &ExtractArgs) -> anyhow::Result<ExitStatus> {
    ended(&args.files, false, extract(args))
}

fn extract(args: &ExtractArgs) -> Result<ExitStatus, Stop> {
    let opened = Opened::new(&args.files)?;
    let asked = &*opened.asked(&args.path, true);
    if args.destination.as_deref() == Some(Path::new("-")) {
        return print_file(&opened, asked);
    }
    let (place, path) = opened.locate(asked, true)?;
    let stat = opened.tree.stat(place).map_err(|error| Stop::at(asked, error))?;
    opened.allow(place == opened.tree.root())?;
    if let Some(why) = refusal(stat.file_type, args.preserve) {
        return Err(anyhow!(why).context(output::shown_name(asked)).into());
    }
    let destination = match &args.destination {
        Some(destination) => destination.clone(),
        // as it was asked for: what a link leads to is called what the image likes
        None => {
            let name = asked.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty());
            OsStr::from_bytes(name.unwrap_or_default()).into()
        }
    };
    overwrite::refuse(&destination, [args.files.image.as_path()])?;
    let (parent, name) = open_parent(&destination)?;
    let folder = Folder::new(&parent).context("cannot make a folder beside the destination")?;
    let mut writer = Writer::new(&opened, folder.fd.as_fd(), path, args.preserve);
    writer.tree(place)?;
    writer.finish(&parent, &name).with_context(|| destination.display().to_string())?;
    Ok(ExitStatus::Good)
}

/// The directory that the destination will be in, and its name there, which must be free.
fn open_parent(destination: &Path) -> anyhow::Result<(OwnedFd, OsString)> {
    let shown = destination.display();
    let Some(name) = destination.file_name() else {
        bail!("say where to: {shown:?} is no name of a new file")
    };
    let parent = match destination.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat(CWD, parent, flags, Mode::empty()).with_context(|| parent.display().to_string())?;
    match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok((parent, name.to_owned())),
        Ok(_) => bail!("{shown} is there already"),
        Err(error) => Err(error).context(shown.to_string()),
    }
}

/// Why a file of this type is not made, if it is not.
fn refusal(file_type: FileType, preserve: bool) -> Option<String> {
    let (kind, is_device) = match file_type {
        FileType::Regular | FileType::Directory | FileType::Symlink => return None,
        FileType::CharDevice => ("character device", true),
        FileType::BlockDevice => ("block device", true),
        FileType::Fifo => ("FIFO", false),
        FileType::Socket => ("socket", false),
    };
    match preserve {
        false => Some(format!("a {kind} is made with --preserve only")),
        true if is_device && !geteuid().is_root() => Some(format!("a {kind} is made by root only")),
        true => None,
    }
}

/// A new folder that nobody else may write into, and that goes away with all that is in it.
struct Folder<'a> {
    parent: &'a OwnedFd,
    name: OsString,
    fd: OwnedFd,
}

impl<'a> Folder<'a> {
    fn new(parent: &'a OwnedFd) -> io::Result<Self> {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let name = OsString::from(format!(".ddi-extract-{:016x}", u64::from_ne_bytes(random)));
        mkdirat(parent, &name, Mode::RWXU)?;
        match open_new(parent, &name) {
            Ok(fd) => Ok(Folder { parent, name, fd }),
            Err(error) => {
                let _ = unlinkat(parent, &name, AtFlags::REMOVEDIR);
                Err(error)
            }
        }
    }
}

/// Whoever may write into the parent can put another folder there before it is opened, even one of ours, in which nothing
/// may be changed. File systems without modes let all look into it.
fn open_new(parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let fd = open_directory(parent.as_fd(), name)?;
    let found = fstat(&fd)?;
    let may_others_write = Mode::from_raw_mode(found.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    if found.st_uid != geteuid().as_raw() || may_others_write || !is_empty(fd.as_fd())? {
        return Err(io::Error::other("the folder just made is not ours alone"));
    }
    Ok(fd)
}

impl Drop for Folder<'_> {
    /// What has our name now may be another folder: what is in ours is removed from the one that is open, and by its name
    /// only what is empty.
    fn drop(&mut self) {
        let removed = empty(self.fd.as_fd(), "")
            .and_then(|()| Ok(unlinkat(self.parent, &self.name, AtFlags::REMOVEDIR)?));
        if let Err(error) = removed {
            output::warning(&format!("{} cannot be removed: {error}", self.name.display()));
        }
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    openat(
        parent,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Returns true if there is nothing in this directory.
fn is_empty(directory: BorrowedFd<'_>) -> io::Result<bool> {
    let mut buf = Vec::with_capacity(NAMES);
    let mut entries = RawDir::new(directory, buf.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes all that is in a directory but for one name. It is not opened again: there may be no descriptor left for that.
fn empty(directory: BorrowedFd<'_>, spared: &str) -> io::Result<()> {
    let mut buf = Vec::with_capacity(NAMES);
    loop {
        seek(directory, SeekFrom::Start(0))?;
        let mut entries = RawDir::new(directory, buf.spare_capacity_mut());
        let mut is_done = true;
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") && name != spared.as_bytes() {
                remove(directory, OsStr::from_bytes(name))?;
                // it may have been passed over what moved up
                is_done = false;
            }
        }
        if is_done {
            return Ok(());
        }
    }
}

/// Removes a file, or a directory with all that is in it, which is no deeper than what was extracted.
fn remove(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        result => return Ok(result?),
    }
    // the deepest one may be there because it could not be opened
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        result => return Ok(result?),
    }
    // it may have got its own mode already
    let fd = match open_directory(parent, name) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open_directory(parent, name)?
        }
        result => result?,
    };
    // if that fails and was needed, what follows says so
    let _ = fchmod(&fd, Mode::RWXU);
    empty(fd.as_fd(), "")?;
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Work to make a file, in nanoseconds.
const MAKE: u64 = 50_000;

/// A directory that is being filled.
struct Level {
    fd: OwnedFd,
    stat: Stat,
    xattrs: Vec<Xattr>,
}

struct Writer<'a> {
    opened: &'a Opened,
    folder: BorrowedFd<'a>,
    /// Where in the image it is from.
    path: Vec<u8>,
    preserve: bool,
    umask: Mode,
    is_root: bool,
    /// From the directory that is extracted down to where we are.
    levels: Vec<Level>,
    /// The directory itself, when it is complete but for its mode.
    top: Option<Level>,
    skipped: u64,
    has_copies: bool,
    no_xattrs: bool,
}

impl<'a> Writer<'a> {
    fn new(opened: &'a Opened, folder: BorrowedFd<'a>, path: Vec<u8>, preserve: bool) -> Self {
        Writer {
            opened,
            folder,
            path,
            preserve,
            umask: umask(),
            is_root: geteuid().is_root(),
            levels: Vec::new(),
            top: None,
            skipped: 0,
            has_copies: false,
            no_xattrs: false,
        }
    }

    fn tree(&mut self, start: Place) -> Result<(), Stop> {
        let opened = self.opened;
        let mut failed = None;
        let walked = Walk::new(opened.budget).tree(&opened.tree, start, &mut |walk, visit| match self
            .visit(walk, &visit)
        {
            Ok(()) => Ok(Step::Continue),
            Err(Stop { outcome, error }) => {
                let at = self.path_of(visit.path);
                failed = Some(Stop { outcome, error: error.context(output::shown_name(&at)) });
                Ok(Step::Stop)
            }
        });
        if let Some(stop) = failed {
            return Err(stop);
        }
        walked?;
        opened.meter.check()?;
        self.leave(0).context("cannot complete a directory")?;
        Ok(())
    }

    fn visit(&mut self, walk: &mut Walk, visit: &Visit<'_>) -> Result<(), Stop> {
        self.opened.meter.charge(MAKE);
        let stat = match &visit.stat {
            Ok(stat) => *stat,
            Err(error) => return Err(Stop { outcome: super::outcome_of(error), error: anyhow!("{error}") }),
        };
        let depth = visit.path.iter().filter(|byte| **byte == b'/').count();
        let (depth, name) = match visit.path {
            b"/" => (0, ITEM.as_bytes()),
            path => (depth, path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()),
        };
        if matches!(name, b"" | b"." | b"..") || name.contains(&0) {
            return Err(Stop { outcome: ExitStatus::Bad, error: anyhow!("impossible name") });
        }
        self.leave(depth).context("cannot complete a directory")?;
        let name = OsStr::from_bytes(name);
        let tree = &self.opened.tree;
        let has_names = stat.nlink > 1 && stat.file_type != FileType::Directory;
        if has_names && self.link(visit.place, name) {
            return Ok(());
        }
        match stat.file_type {
            FileType::Directory => {
                let parent = self.here();
                mkdirat(parent, name, Mode::RWXU).context("cannot make it")?;
                let fd = open_directory(parent, name).context("cannot open it")?;
                let xattrs = self.xattrs(visit.place)?;
                self.levels.push(Level { fd, stat, xattrs });
            }
            FileType::Regular => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd =
                    openat(self.here(), name, flags, Mode::RUSR | Mode::WUSR).context("cannot make it")?;
                let file = File::from(fd);
                self.content(walk, visit.place, &file)?;
                let xattrs = self.xattrs(visit.place)?;
                self.finish_file(file.as_fd(), &stat, &xattrs).context("cannot complete it")?;
            }
            FileType::Symlink => {
                let target = tree.link_target(visit.place)?;
                if target.is_empty() || target.contains(&0) {
                    return Err(Stop { outcome: ExitStatus::Bad, error: anyhow!("impossible link") });
                }
                symlinkat(OsStr::from_bytes(&target), self.here(), name).context("cannot make it")?;
                self.finish_other(name, &stat).context("cannot complete it")?;
            }
            FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
                if let Some(why) = refusal(stat.file_type, self.preserve) {
                    self.skip(visit, &why);
                    return Ok(());
                }
                let (kind, device) = match stat.file_type {
                    FileType::CharDevice => (Type::CharacterDevice, makedev(stat.rdev.0, stat.rdev.1)),
                    FileType::BlockDevice => (Type::BlockDevice, makedev(stat.rdev.0, stat.rdev.1)),
                    FileType::Fifo => (Type::Fifo, 0),
                    _ => (Type::Socket, 0),
                };
                mknodat(self.here(), name, kind, Mode::empty(), device).context("cannot make it")?;
                self.finish_other(name, &stat).context("cannot complete it")?;
                let mode = Mode::from_raw_mode(u32::from(stat.permissions));
                rustix::fs::chmodat(self.here(), name, mode, AtFlags::empty())
                    .context("cannot complete it")?;
            }
        }
        if has_names {
            self.keep(visit.place, name);
        }
        Ok(())
    }

    /// The path in the image.
    fn path_of(&self, visited: &[u8]) -> Vec<u8> {
        if visited == b"/" { self.path.clone() } else { joined(&self.path, visited) }
    }

    /// Where the next file goes.
    fn here(&self) -> BorrowedFd<'_> {
        self.levels.last().map_or(self.folder, |level| level.fd.as_fd())
    }

    fn skip(&mut self, visit: &Visit<'_>, why: &str) {
        self.skipped += 1;
        if self.skipped <= MAX_TOLD {
            let at = self.path_of(visit.path);
            output::warning(&format!("{} is left out: {why}", output::shown_name(&at)));
        }
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
            output::warning(&format!("files with more than one name are copied: {error}"));
        }
        self.has_copies = true;
    }

    /// Blocks of zeros become holes.
    fn content(&self, walk: &mut Walk, place: Place, file: &File) -> Result<(), Stop> {
        const BLOCK: usize = 4096;
        let mut offset = 0;
        let mut failed = None;
        let read = walk.content(&self.opened.tree, place, &mut |bytes| {
            let mut start = 0;
            while start < bytes.len() {
                // as many blocks at once as are alike
                let is_zero =
                    |at: usize| bytes[at..bytes.len().min(at + BLOCK)].iter().all(|byte| *byte == 0);
                let zero = is_zero(start);
                let mut end = start + BLOCK;
                while end < bytes.len() && is_zero(end) == zero {
                    end += BLOCK;
                }
                let end = end.min(bytes.len());
                if !zero && let Err(error) = file.write_all_at(&bytes[start..end], offset + start as u64) {
                    failed = Some(error);
                    // ends the reading; what it was is told below
                    return Err(Error::NotFound);
                }
                start = end;
            }
            offset += bytes.len() as u64;
            Ok(())
        });
        if let Some(error) = failed {
            return Err(anyhow::Error::from(error).context("cannot write it").into());
        }
        let size = read?;
        file.set_len(size).context("cannot write it")?;
        Ok(())
    }

    fn xattrs(&self, place: Place) -> Result<Vec<Xattr>, Stop> {
        if !self.preserve {
            return Ok(Vec::new());
        }
        let mut xattrs = self.opened.tree.xattrs(place)?;
        xattrs.retain(|xattr| xattr.name.starts_with(b"user.") && !xattr.name.contains(&0));
        Ok(xattrs)
    }

    /// Unless all is to be preserved, as tar does for an ordinary user: no special bits, and no more than the umask lets
    /// new files have. A directory that all may write into is safe with its sticky bit alone.
    fn mode(&self, stat: &Stat) -> Mode {
        let mode = Mode::from_raw_mode(u32::from(stat.permissions & 0o7777));
        if self.preserve { mode } else { (mode & (Mode::RWXU | Mode::RWXG | Mode::RWXO)) - self.umask }
    }

    /// Gives a file or directory its owner, attributes, mode and time, in this order.
    fn finish_file(&mut self, fd: BorrowedFd<'_>, stat: &Stat, xattrs: &[Xattr]) -> io::Result<()> {
        if self.preserve && self.is_root {
            fchown(fd, Some(Uid::from_raw(stat.uid)), Some(Gid::from_raw(stat.gid)))?;
        }
        for xattr in xattrs {
            match fsetxattr(fd, OsStr::from_bytes(&xattr.name), &xattr.value, XattrFlags::empty()) {
                Err(Errno::NOTSUP) => {
                    if !self.no_xattrs {
                        output::warning("the destination takes no extended attributes");
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
        if self.preserve && self.is_root {
            let (uid, gid) = (Uid::from_raw(stat.uid), Gid::from_raw(stat.gid));
            chownat(self.here(), name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(utimensat(self.here(), name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Gives what was extracted its name.
    fn finish(mut self, parent: &OwnedFd, name: &OsStr) -> anyhow::Result<()> {
        if self.skipped > MAX_TOLD {
            output::warning(&format!("{} more are left out", self.skipped - MAX_TOLD));
        }
        empty(self.folder, ITEM).context("cannot remove what is needed no longer")?;
        let mut read_only = None;
        if let Some(level) = self.top.take() {
            self.finish_file(level.fd.as_fd(), &level.stat, &level.xattrs)?;
            let mode = self.mode(&level.stat);
            if !mode.contains(Mode::WUSR) {
                // as it is, its owner could not move it
                fchmod(&level.fd, mode | Mode::WUSR)?;
                read_only = Some((level.fd, mode));
            }
        }
        // all the files at once: thousands of them, each by itself, would take as many turns of the disk
        rustix::fs::syncfs(self.folder).context("not on the disk")?;
        match renameat_with(self.folder, ITEM, parent, name, RenameFlags::NOREPLACE) {
            // not for all file systems there is a way to be sure that nothing is replaced
            Err(Errno::INVAL | Errno::NOSYS) => match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => rustix::fs::renameat(self.folder, ITEM, parent, name)?,
                _ => bail!("is there already"),
            },
            result => result?,
        }
        // what fails from here on is told, not undone: all of it is there, under its name
        if let Some((directory, mode)) = read_only {
            fchmod(&directory, mode)?;
            rustix::fs::fsync(&directory).context("not on the disk")?;
        }
        rustix::fs::fsync(parent).context("its folder is not on the disk")
    }
}

/// What new files must not be allowed. It can only be read by setting it: no other thread of ours makes files meanwhile.
fn umask() -> Mode {
    let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(umask);
    umask
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
