//! A folder of ours beside the destination, and how it goes away again.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, SeekFrom, chmodat, fchmod, fstat, mkdirat, mknodat, openat,
    seek, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::error::{DestinationFault, ExtractError};

/// Bytes of names that are read at once.
const NAMES: usize = 1 << 13;

/// The directory that the destination will be in, and its name there, which must be free.
pub(super) fn open_parent(destination: &Path) -> Result<(OwnedFd, OsString), ExtractError> {
    let fail = |fault| ExtractError::Destination { path: destination.to_owned(), fault };
    let name = destination.file_name().ok_or_else(|| fail(DestinationFault::Unnamed))?;
    let parent = match destination.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat(CWD, parent, flags, Mode::empty());
    let parent = parent.map_err(|error| fail(DestinationFault::Parent(error.into())))?;
    match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok((parent, name.to_owned())),
        Ok(_) => Err(fail(DestinationFault::Exists)),
        Err(error) => Err(fail(DestinationFault::Io(error.into()))),
    }
}

/// A new folder that nobody else may write into, and that goes away with all that is in it.
pub(super) struct Folder<'a> {
    parent: &'a OwnedFd,
    name: OsString,
    fd: OwnedFd,
    is_removed: bool,
}

impl<'a> Folder<'a> {
    pub(super) fn new(parent: &'a OwnedFd) -> io::Result<Self> {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let name = OsString::from(format!(".ddi-extract-{:016x}", u64::from_ne_bytes(random)));
        mkdirat(parent, &name, Mode::RWXU)?;
        match open_new(parent, &name) {
            Ok(fd) => Ok(Folder { parent, name, fd, is_removed: false }),
            Err(error) => {
                let _ = unlinkat(parent, &name, AtFlags::REMOVEDIR);
                Err(error)
            }
        }
    }

    /// Its name in its parent.
    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    /// Removes it. What has our name now may be another folder: what is in ours is removed from the one that is open, and by
    /// its name only what is empty.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.is_removed = true;
        empty(self.as_fd(), "")?;
        Ok(unlinkat(self.parent, &self.name, AtFlags::REMOVEDIR)?)
    }
}

impl AsFd for Folder<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Folder<'_> {
    /// If something panics.
    fn drop(&mut self) {
        if !self.is_removed {
            let _ = self.remove();
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

pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
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
pub(super) fn empty(directory: BorrowedFd<'_>, spared: &str) -> io::Result<()> {
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
            chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open_directory(parent, name)?
        }
        result => result?,
    };
    // if that fails and was needed, what follows says so
    let _ = fchmod(&fd, Mode::RWXU);
    empty(fd.as_fd(), "")?;
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// What new files must not be allowed. The call that tells it sets it too, which other threads would notice.
pub(super) fn umask(folder: BorrowedFd<'_>) -> io::Result<Mode> {
    told_umask().map_or_else(|| Ok(made_umask(folder)?), Ok)
}

/// As the kernel tells it.
fn told_umask() -> Option<Mode> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let digits = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(digits.trim(), 8).ok().map(Mode::from_raw_mode)
}

/// As it shows on a file in our folder that is made with all rights.
fn made_umask(folder: BorrowedFd<'_>) -> rustix::io::Result<Mode> {
    const NAME: &str = "umask";
    let all = Mode::RWXU | Mode::RWXG | Mode::RWXO;
    mknodat(folder, NAME, FileType::RegularFile, all, 0)?;
    let found = statat(folder, NAME, AtFlags::SYMLINK_NOFOLLOW)?;
    unlinkat(folder, NAME, AtFlags::empty())?;
    Ok(all.difference(Mode::from_raw_mode(found.st_mode)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_umask_is_found_without_setting_it() {
        let path = std::env::temp_dir().join(format!("ddi-umask-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let fd = openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let made = made_umask(fd.as_fd());
        assert!(is_empty(fd.as_fd()).unwrap());
        std::fs::remove_dir(&path).unwrap();
        assert_eq!(told_umask(), Some(made.unwrap()));
    }
}
