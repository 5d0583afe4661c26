//! The files of an update set: regular ones in one directory and in those below that are asked for, and nothing that a link
//! leads to.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags};
use sha2::{Digest, Sha256};

use super::Error;

/// Most names of a directory and those below it that are looked at.
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
        self.paths(|_| false)
    }

    /// The same, and the paths of what is in the directories below that are wanted. Links to directories are not followed, and
    /// a directory that cannot be read has nothing in it, as to systemd.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooManyFiles`].
    pub fn paths(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
        let mut paths = Vec::new();
        // those that are still to be listed
        let mut left = vec![String::new()];
        while let Some(directory) = left.pop() {
            let is_top = directory.is_empty();
            let opened = match is_top {
                true => listing(self.handle.as_fd()),
                false => self.below(&directory).and_then(|below| listing(below.as_fd())),
            };
            let entries = match opened {
                Ok(entries) => entries,
                Err(error) if is_top => return Err(Error::Io(error)),
                Err(_) => continue,
            };
            for entry in entries {
                let entry = entry.map_err(|error| Error::Io(error.into()))?;
                let Ok(name) = entry.file_name().to_str() else { continue };
                if matches!(name, "." | "..") {
                    continue;
                }
                if paths.len() >= MAX_FILES {
                    return Err(Error::TooManyFiles);
                }
                let path = if is_top { name.to_owned() } else { format!("{directory}/{name}") };
                let may_be_directory = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
                if may_be_directory && is_wanted(&path) {
                    left.push(path.clone());
                }
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Opens a directory below: no link is followed.
    fn below(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at: Option<OwnedFd> = None;
        for name in path.split('/') {
            let parent = at.as_ref().map_or(self.handle.as_fd(), AsFd::as_fd);
            at = Some(rustix::fs::openat(parent, name, flags, Mode::empty())?);
        }
        at.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Opens a regular file of this directory itself, or of one below: no link is followed, and nothing holds us up.
    fn file(&self, path: &str) -> Result<(File, u64), FileProblem> {
        if !super::manifest::is_plain_path(path) {
            return Err(FileProblem::Missing);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |directory: BorrowedFd<'_>, name: &str| {
            rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(io::Error::from)
        };
        let opened = match path.rsplit_once('/') {
            None => open(self.handle.as_fd(), path),
            Some((directory, name)) => {
                self.below(directory).and_then(|directory| open(directory.as_fd(), name))
            }
        };
        let file: File = match opened {
            Ok(handle) => handle.into(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FileProblem::Missing),
            // a link, a socket, or a directory that is none
            Err(error) if matches!(error.raw_os_error(), Some(LOOP | NO_DEVICE | NOT_A_DIRECTORY)) => {
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

fn listing(directory: BorrowedFd<'_>) -> io::Result<Dir> {
    Ok(Dir::read_from(directory)?)
}

/// `ENOTDIR`: a part of the path but the last is no directory, or a link.
const NOT_A_DIRECTORY: i32 = rustix::io::Errno::NOTDIR.raw_os_error();
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
        // to open it would wait for a writer
        let fifo = (path.join("fifo"), FileType::Fifo);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo.0, fifo.1, Mode::RWXU, 0).unwrap();
        assert!(Directory::open(&path.join("a")).is_err());
        let directory = Directory::open(&path).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let (sum, size) = directory.sha256("a").unwrap();
        assert_eq!((super::super::hex(&sum), size), (abc.to_owned(), 3));
        assert_eq!(directory.read("a", 3).unwrap(), b"abc");
        for (name, code) in [
            ("link", "file-not-regular"),
            ("sub", "file-not-regular"),
            ("socket", "file-not-regular"),
            ("fifo", "file-not-regular"),
            ("fifo/a", "file-not-regular"),
            ("b", "file-missing"),
            ("../a", "file-missing"),
            ("sub/../a", "file-missing"),
        ] {
            assert_eq!(directory.sha256(name).unwrap_err().code(), code, "{name}");
        }
        assert_eq!(directory.read("a", 2).unwrap_err().code(), "file-too-large");
        assert_eq!(directory.names().unwrap(), ["a", "fifo", "link", "socket", "sub"]);
        // below
        std::fs::create_dir_all(path.join("sub/deep")).unwrap();
        std::fs::write(path.join("sub/deep/a"), b"abc").unwrap();
        std::os::unix::fs::symlink("sub", path.join("way")).unwrap();
        assert_eq!(directory.sha256("sub/deep/a").unwrap().1, 3);
        for (name, code) in [
            ("way/deep/a", "file-not-regular"),
            ("sub/deep", "file-not-regular"),
            ("a/b", "file-not-regular"),
            ("sub/none/a", "file-missing"),
            ("sub/deep/", "file-missing"),
            ("/sub/deep/a", "file-missing"),
        ] {
            assert_eq!(directory.sha256(name).unwrap_err().code(), code, "{name}");
        }
        let all = ["a", "fifo", "link", "socket", "sub", "sub/deep", "sub/deep/a", "way"];
        assert_eq!(directory.paths(|_| true).unwrap(), all);
        assert_eq!(directory.paths(|path| path == "sub").unwrap(), [&all[..6], &["way"]].concat());
        std::fs::remove_dir_all(&path).unwrap();
    }

    /// A file that is longer than it says.
    #[test]
    fn a_file_of_another_size_than_it_says() {
        let directory = Directory::open(Path::new("/proc/self")).unwrap();
        assert_eq!(directory.size("status").unwrap(), 0);
        assert_eq!(directory.sha256("status").unwrap_err().code(), "file-changed");
        assert_eq!(directory.read("status", 8).unwrap_err().code(), "file-too-large");
    }
}
