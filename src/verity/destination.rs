//! Where a hash tree is written to: complete or absent, and never half of it taken for the whole.
//!
//! A file that is not there yet is written without a name (`O_TMPFILE`) and gets its name when all of it is on the disk;
//! an interruption leaves nothing behind. Where the file system cannot do that, it is written under a temporary name in
//! the same folder.
//!
//! A file or device that is there is written in place: first the old superblock is made invalid, then the tree is
//! written, and when that is on the disk, the new superblock.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::begun::Begun;

/// Where the kernel shows our open files.
const OPEN_FILES: &str = "/proc/self/fd";

/// An output that is being written.
#[derive(Debug)]
pub(crate) struct Destination {
    file: File,
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Written in place.
    InPlace,
    /// Has no name yet.
    Unnamed,
    /// Has this name until it is complete.
    Temporary(PathBuf, #[expect(dead_code, reason = "undone when it is dropped")] Begun),
}

impl Destination {
    /// Opens `path` for writing if it is there, else begins a new file.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        match fs::metadata(path) {
            Ok(found) => Self::in_place(path, &found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(error.into()),
        }
    }

    fn in_place(path: &Path, found: &fs::Metadata) -> anyhow::Result<Self> {
        let kind = found.file_type();
        ensure!(!kind.is_dir(), "is a directory");
        ensure!(kind.is_file() || kind.is_block_device(), "is neither a regular file nor a block device");
        let mut flags = OFlags::NOCTTY | OFlags::NONBLOCK;
        if kind.is_block_device() {
            // refused by the kernel if it is mounted or otherwise in use
            flags |= OFlags::EXCL;
        }
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        let opened = file.metadata()?;
        ensure!(
            (opened.dev(), opened.ino(), opened.rdev()) == (found.dev(), found.ino(), found.rdev()),
            "was replaced meanwhile"
        );
        Ok(Destination { file, path: path.into(), kind: Kind::InPlace })
    }

    fn create(path: &Path) -> anyhow::Result<Self> {
        ensure!(path.file_name().is_some(), "is not a file name");
        // a name that is there but leads nowhere must not be written through
        ensure!(fs::symlink_metadata(path).is_err(), "is a symbolic link to nowhere");
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let unnamed = match fs::exists(OPEN_FILES) {
            Ok(true) => rustix::fs::open(folder(path), flags, Mode::from_raw_mode(0o666)),
            // it could not be given a name later
            _ => Err(Errno::OPNOTSUPP),
        };
        match unnamed {
            Ok(fd) => Ok(Destination { file: fd.into(), path: path.into(), kind: Kind::Unnamed }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let temporary = temporary_name(path);
                let file = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary)?;
                Ok(Destination {
                    file,
                    path: path.into(),
                    kind: Kind::Temporary(temporary.clone(), Begun::file(temporary)),
                })
            }
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// The file to write to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Makes a superblock that may be at `offset` invalid, on the disk, before anything behind it changes.
    pub(crate) fn invalidate(&self, offset: u64, size: usize) -> anyhow::Result<()> {
        let Kind::InPlace = self.kind else { return Ok(()) };
        let mut old = vec![0; size];
        let end = offset.checked_add(size as u64).context("offset is too large")?;
        if self.size()? < end {
            // no superblock fits there
            return Ok(());
        }
        self.file.read_exact_at(&mut old, offset)?;
        if old.iter().any(|&byte| byte != 0) {
            old.fill(0);
            self.file.write_all_at(&old, offset)?;
            self.file.sync_all()?;
        }
        Ok(())
    }

    /// Size in bytes, of a block device too.
    pub(crate) fn size(&self) -> io::Result<u64> {
        use std::io::Seek;
        (&self.file).seek(io::SeekFrom::End(0))
    }

    /// Ends the writing: what was written so far is put on the disk, then `last` is written at its offset and put on the
    /// disk, and then the file gets its name.
    pub(crate) fn commit(self, last: Option<(u64, &[u8])>) -> anyhow::Result<()> {
        self.file.sync_all().context("not on the disk")?;
        if let Some((offset, bytes)) = last {
            self.file.write_all_at(bytes, offset)?;
            self.file.sync_all().context("not on the disk")?;
        }
        match &self.kind {
            Kind::InPlace => return Ok(()),
            Kind::Unnamed => {
                use std::os::fd::AsRawFd;
                let unnamed = format!("{OPEN_FILES}/{}", self.file.as_raw_fd());
                // does not replace a file that came there meanwhile
                rustix::fs::linkat(CWD, unnamed, CWD, &self.path, AtFlags::SYMLINK_FOLLOW)
                    .map_err(io::Error::from)
                    .context("could not be given its name")?;
            }
            Kind::Temporary(temporary, _) => {
                if fs::symlink_metadata(&self.path).is_ok() {
                    bail!("was made by somebody else meanwhile");
                }
                fs::rename(temporary, &self.path).context("could not be given its name")?;
            }
        }
        File::open(folder(&self.path))?.sync_all().context("its folder is not on the disk")
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if let Kind::Temporary(temporary, _) = &self.kind {
            // gone already if it was renamed
            let _ = fs::remove_file(temporary);
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Writes a small text file: complete or not at all. An existing one is replaced.
pub(crate) fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    replace(path, |file| Ok(file.write_all(text.as_bytes())?))
}

/// Writes a file: complete or not at all. An existing one is replaced; what is no regular file is written to.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let permissions = match fs::metadata(path) {
        // such as /dev/stdout
        Ok(found) if !found.is_file() => return write(&mut OpenOptions::new().write(true).open(path)?),
        Ok(found) => found.permissions(),
        Err(_) => {
            let new = Destination::open(path)?;
            write(&mut new.file())?;
            return new.commit(None);
        }
    };
    // what is behind a symbolic link, not the link
    let path = fs::canonicalize(path)?;
    let temporary = temporary_name(&path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let _begun = Begun::file(temporary.clone());
    let written = write(&mut file).and_then(|()| {
        // nobody may read it who could not read the old one
        file.set_permissions(permissions)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        Ok(File::open(folder(&path))?.sync_all()?)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Folder(PathBuf);
    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ddi-destination-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
        fn names(&self) -> Vec<OsString> {
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        }
    }
    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn new_file_is_absent_until_it_is_complete() {
        let folder = Folder::new("new");
        let path = folder.0.join("tree");
        let destination = Destination::open(&path).unwrap();
        destination.file().write_all_at(b"tree", 512).unwrap();
        assert!(!path.exists());
        drop(destination);
        assert!(folder.names().is_empty());

        let destination = Destination::open(&path).unwrap();
        destination.file().write_all_at(b"tree", 4).unwrap();
        destination.commit(Some((0, b"head"))).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"headtree");
        assert_eq!(folder.names(), ["tree"]);
    }

    #[test]
    fn temporary_file_goes_away() {
        let folder = Folder::new("temporary");
        let path = folder.0.join("tree");
        let temporary = temporary_name(&path);
        let begin = || Destination {
            file: File::create_new(&temporary).unwrap(),
            path: path.clone(),
            kind: Kind::Temporary(temporary.clone(), Begun::file(temporary.clone())),
        };
        drop(begin());
        assert!(folder.names().is_empty());
        begin().commit(None).unwrap();
        assert_eq!(folder.names(), ["tree"]);
        assert!(begin().commit(None).is_err(), "a file that came meanwhile stays");
        assert_eq!(folder.names(), ["tree"]);
    }

    #[test]
    fn old_superblock_is_gone_first() {
        let folder = Folder::new("in-place");
        let path = folder.0.join("tree");
        fs::write(&path, b"verity__old tree").unwrap();
        let destination = Destination::open(&path).unwrap();
        destination.invalidate(0, 8).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"\0\0\0\0\0\0\0\0old tree");
        destination.commit(Some((0, b"superblk"))).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"superblkold tree");
    }

    #[test]
    fn text_replaces_what_a_link_points_at() {
        let folder = Folder::new("text");
        let (path, link) = (folder.0.join("roothash"), folder.0.join("link"));
        write_text(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_text(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(folder.names().len(), 2);
    }

    #[test]
    fn what_is_replaced_keeps_its_permissions() {
        let folder = Folder::new("permissions");
        let path = folder.0.join("roothash");
        write_text(&path, "old").unwrap();
        for mode in [0o600, 0o640] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            write_text(&path, "new").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
        }
    }

    #[test]
    fn link_to_nowhere_is_refused() {
        let folder = Folder::new("link");
        let path = folder.0.join("tree");
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(Destination::open(&path).is_err());
    }
}
