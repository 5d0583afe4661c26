//! A file that is complete or absent.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// Where the kernel shows our open files.
const OPEN_FILES: &str = "/proc/self/fd";

/// A file in the making: it has no name until it is complete and on the disk. Where a file system cannot do that, it has a
/// temporary one.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    path: PathBuf,
    temporary: Option<PathBuf>,
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

impl Output {
    /// A new file that will be at `path`.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a file name"));
        }
        if fs::symlink_metadata(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Self::begin(path)
    }

    /// A file that will be where another one is.
    pub(crate) fn replace(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
        }
        Self::begin(&path)
    }

    /// A file that never gets a name.
    pub(crate) fn unnamed(folder: &Path) -> io::Result<Self> {
        Self::begin(&folder.join("ddi"))
    }

    fn begin(path: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let unnamed = match fs::exists(OPEN_FILES) {
            Ok(true) => rustix::fs::open(folder(path), flags, Mode::from_raw_mode(0o666)),
            // it could not be given a name later
            _ => Err(Errno::OPNOTSUPP),
        };
        match unnamed {
            Ok(fd) => Ok(Self { file: fd.into(), path: path.into(), temporary: None }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let temporary = temporary_name(path);
                let file = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary)?;
                Ok(Self { file, path: path.into(), temporary: Some(temporary) })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The same file, to get this name: in the folder that it is in.
    pub(crate) fn named(mut self, path: &Path) -> Self {
        self.path = path.into();
        self
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// A name under which a program that we start can open it.
    pub(crate) fn path_for_children(&self) -> PathBuf {
        match &self.temporary {
            Some(path) => path.clone(),
            None => format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into(),
        }
    }

    /// Puts all of it on the disk and gives it its name.
    pub(crate) fn commit(mut self, replace: bool) -> io::Result<()> {
        self.file.sync_all()?;
        let unnamed = format!("{OPEN_FILES}/{}", self.file.as_raw_fd());
        let link = |to: &Path| {
            rustix::fs::linkat(CWD, &*unnamed, CWD, to, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
        };
        match (self.temporary.take(), replace) {
            // does not replace a file that came there meanwhile
            (None, false) => link(&self.path)?,
            (None, true) => {
                let temporary = temporary_name(&self.path);
                link(&temporary)?;
                self.temporary = Some(temporary.clone());
                fs::rename(&temporary, &self.path)?;
                self.temporary = None;
            }
            (Some(temporary), replace) => {
                self.temporary = Some(temporary.clone());
                if !replace {
                    // as a link, it does not replace anything
                    fs::hard_link(&temporary, &self.path)?;
                } else {
                    fs::rename(&temporary, &self.path)?;
                    self.temporary = None;
                }
            }
        }
        File::open(folder(&self.path))?.sync_all()
    }

    /// Returns true if these are one file.
    pub(crate) fn is_same(path: &Path, other: &File) -> bool {
        match (fs::metadata(path), other.metadata()) {
            (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
            _ => false,
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // gone already if it was renamed
            let _ = fs::remove_file(temporary);
        }
    }
}
