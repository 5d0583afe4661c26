//! The files of an update set: regular ones in one directory, and nothing that they lead to.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use super::Error;

/// Most names of a directory that are looked at.
pub const MAX_FILES: usize = 65_536;
/// Read and hashed at once.
const CHUNK: usize = 1 << 20;

/// A directory, opened.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: OwnedFd,
}

/// Why a file is not read.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileProblem {
    /// It is not there.
    Missing,
    /// It is a link, a directory, a FIFO or the like.
    NotRegular,
    /// It is larger than such a file may be.
    TooLarge {
        /// Its bytes.
        size: u64,
    },
    /// It changed while it was read.
    Changed,
    /// It cannot be read.
    Io(io::Error),
}

impl FileProblem {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            FileProblem::Missing => "file-missing",
            FileProblem::NotRegular => "file-not-regular",
            FileProblem::TooLarge { .. } => "file-too-large",
            FileProblem::Changed => "file-changed",
            FileProblem::Io(_) => "file-unreadable",
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileProblem::Missing => f.write_str("it is not there"),
            FileProblem::NotRegular => f.write_str("it is not a regular file"),
            FileProblem::TooLarge { size } => write!(f, "its {size} bytes are too many"),
            FileProblem::Changed => f.write_str("it changed while it was read"),
            FileProblem::Io(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for FileProblem {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            FileProblem::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl Directory {
    /// Opens it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| Error::Io(error.into()))?;
        Ok(Directory { path: path.to_owned(), handle })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it, sorted; those that are not UTF-8 match no pattern and are left out.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooManyFiles`].
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(Error::Io)? {
            if let Ok(name) = entry.map_err(Error::Io)?.file_name().into_string() {
                if names.len() >= MAX_FILES {
                    return Err(Error::TooManyFiles);
                }
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a regular file of this directory itself: no link is followed, and nothing holds us up.
    fn file(&self, name: &str) -> Result<(File, u64), FileProblem> {
        if !super::manifest::is_file_name(name) {
            return Err(FileProblem::Missing);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.handle, name, flags, Mode::empty()).map_err(io::Error::from);
        let file: File = match opened {
            Ok(handle) => handle.into(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FileProblem::Missing),
            // a link, or a socket
            Err(error) if matches!(error.raw_os_error(), Some(LOOP | NO_DEVICE)) => {
                return Err(FileProblem::NotRegular);
            }
            Err(error) => return Err(FileProblem::Io(error)),
        };
        let found = file.metadata().map_err(FileProblem::Io)?;
        if found.is_file() { Ok((file, found.len())) } else { Err(FileProblem::NotRegular) }
    }

    /// All of a small file.
    ///
    /// # Errors
    /// Any of [`FileProblem`].
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, FileProblem> {
        let (file, size) = self.file(name)?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(FileProblem::Io)?;
        match u64::try_from(bytes.len()) {
            Ok(len) if len <= limit => Ok(bytes),
            _ => Err(FileProblem::TooLarge { size }),
        }
    }

    /// Bytes of a file.
    ///
    /// # Errors
    /// Any of [`FileProblem`].
    pub fn size(&self, name: &str) -> Result<u64, FileProblem> {
        self.file(name).map(|(_, size)| size)
    }

    /// The SHA-256 of a file, and its bytes.
    ///
    /// # Errors
    /// Any of [`FileProblem`]; one that grows or shrinks meanwhile is [`FileProblem::Changed`].
    pub fn sha256(&self, name: &str) -> Result<([u8; 32], u64), FileProblem> {
        let (mut file, size) = self.file(name)?;
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; CHUNK];
        let mut seen: u64 = 0;
        loop {
            let n = match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(FileProblem::Io(error)),
            };
            hasher.update(chunk.get(..n).unwrap_or_default());
            seen = seen.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
            if seen > size {
                return Err(FileProblem::Changed);
            }
        }
        if seen == size { Ok((hasher.finalize().into(), size)) } else { Err(FileProblem::Changed) }
    }
}

/// `ELOOP`: the last part of the path is a link.
const LOOP: i32 = rustix::io::Errno::LOOP.raw_os_error();
/// `ENXIO`: a socket, or a device without a driver.
const NO_DEVICE: i32 = rustix::io::Errno::NXIO.raw_os_error();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_files_only() {
        let path = std::env::temp_dir().join(format!("ddi-update-{}", std::process::id()));
        std::fs::create_dir_all(path.join("sub")).unwrap();
        std::fs::write(path.join("a"), b"abc").unwrap();
        std::os::unix::fs::symlink("a", path.join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
        let directory = Directory::open(&path).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let (sum, size) = directory.sha256("a").unwrap();
        assert_eq!((super::super::hex(&sum), size), (abc.to_owned(), 3));
        assert_eq!(directory.read("a", 3).unwrap(), b"abc");
        for (name, code) in [
            ("link", "file-not-regular"),
            ("sub", "file-not-regular"),
            ("socket", "file-not-regular"),
            ("b", "file-missing"),
            ("../a", "file-missing"),
            ("sub/../a", "file-missing"),
        ] {
            assert_eq!(directory.sha256(name).unwrap_err().code(), code, "{name}");
        }
        assert_eq!(directory.read("a", 2).unwrap_err().code(), "file-too-large");
        assert_eq!(directory.names().unwrap(), ["a", "link", "socket", "sub"]);
        std::fs::remove_dir_all(&path).unwrap();
    }
}
