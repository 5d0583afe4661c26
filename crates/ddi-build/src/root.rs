//! A folder that paths are looked up in, and never out of.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

/// A root for sources: links, also absolute ones and `..`, lead to what they would lead to if it were the root of a system.
#[derive(Clone, Debug)]
pub struct Root {
    folder: Arc<File>,
    path: PathBuf,
}

impl Root {
    /// This folder.
    ///
    /// # Errors
    /// What the system reports.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder: File = rustix::fs::openat(CWD, &path, flags, Mode::empty())?.into();
        Ok(Self { folder: Arc::new(folder), path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a path in it is called outside, for messages.
    pub(crate) fn show(&self, path: &OsStr) -> PathBuf {
        let relative = path.as_bytes();
        let start = relative.iter().position(|byte| *byte != b'/').unwrap_or(relative.len());
        self.path.join(OsStr::from_bytes(relative.get(start..).unwrap_or_default()))
    }

    /// Reads a small file; `None` if there is none.
    ///
    /// # Errors
    /// What the system reports; [`io::ErrorKind::FileTooLarge`] over `limit` bytes; [`io::ErrorKind::InvalidInput`] for what is
    /// no regular file.
    pub fn read(&self, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        use std::io::Read;
        let file = match self.open_at(path, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        match u64::try_from(bytes.len()).is_ok_and(|len| len <= limit) {
            true => Ok(Some(bytes)),
            false => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }

    /// Opens what a path in it leads to, without waiting for anybody (a FIFO) and without becoming anybody's terminal.
    pub(crate) fn open_at(&self, path: impl rustix::path::Arg, flags: OFlags) -> io::Result<File> {
        // nothing is waited for that is not opened; the kernel takes no such flags then
        let patience =
            if flags.contains(OFlags::PATH) { OFlags::empty() } else { OFlags::NONBLOCK | OFlags::NOCTTY };
        let flags = flags | OFlags::CLOEXEC | patience;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&*self.folder, path, flags, Mode::empty(), resolve)?.into())
    }
}
