//! Files through proven bytes: [`MountedTree`].
//!
//! A path may lead through several file systems, by mounts and by links. What comes out is as good as the worst of those
//! that had a part in the answer, also where the answer is that there is nothing.

use core::fmt;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ddi_fs::{self as files, Budget, Stat, Step, Visit, Walk, Xattr};
use ddi_gpt::Designator;

use super::{Files, Mounted};
use crate::trust::Assurance;

/// Most bytes that [`MountedTree::read`] gives.
pub const MAX_FILE_SIZE: u64 = 64 << 20;

/// The files of an image, none of which comes out unless every file system that had a part in the answer is proven.
///
/// Paths are those of the image: absolute links start at its root, `..` stops there, and no path of the host is opened. What is
/// read is read under one account of work; an image that asks for too much of it gets an error.
#[derive(Debug, Clone)]
pub struct MountedTree {
    files: Files,
    least: Assurance,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirEntry {
    /// Its name: any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// What it is, and whose.
    pub stat: Stat,
}

/// Why an answer is not given.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading failed: no such file, a block that does not match, a file system that says something impossible.
    File(files::Error),
    /// A file system that nobody vouches for, or that nothing protects, had a part in the answer.
    NotProven {
        /// What its partition is for.
        designator: Option<Designator>,
        /// Number of the partition; `None` for a bare image.
        number: Option<u32>,
        /// How far it can be relied upon.
        assurance: Assurance,
    },
}

impl ReadError {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            ReadError::File(error) => error.code(),
            ReadError::NotProven { assurance: Assurance::Claimed, .. } => "not-protected",
            ReadError::NotProven { .. } => "not-vouched-for",
        }
    }

    /// Returns true if the path leads nowhere, in file systems that are as good as was asked for.
    pub fn is_absent(&self) -> bool {
        matches!(self, ReadError::File(error) if error.is_absent())
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (designator, number, assurance) = match self {
            ReadError::File(error) => return error.fmt(f),
            ReadError::NotProven { designator, number, assurance } => (designator, number, assurance),
        };
        match (designator, number) {
            (Some(designator), _) => write!(f, "the {designator} file system has a part in the answer, and "),
            (None, Some(number)) => {
                write!(f, "the file system in partition {number} has a part in the answer, and ")
            }
            (None, None) => f.write_str("the file system has a part in the answer, and "),
        }?;
        f.write_str(match assurance {
            Assurance::Claimed => "is not protected by a hash tree",
            _ => "nobody vouches for its root hash",
        })
    }
}

impl core::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            ReadError::File(error) => Some(error),
            ReadError::NotProven { .. } => None,
        }
    }
}

impl From<files::Error> for ReadError {
    fn from(error: files::Error) -> Self {
        ReadError::File(error)
    }
}

impl MountedTree {
    /// The file systems of `files`, of which each has to be at least that good to have a part in an answer.
    pub fn new(files: Files, least: Assurance) -> Self {
        MountedTree { files, least }
    }

    /// What the tree is made of, root first.
    pub fn mounted(&self) -> &[Mounted] {
        &self.files.mounted
    }

    /// What `answer` comes to, if all that had a part in it is good enough. Also an error is an answer: that there is no such
    /// file is told by proven bytes alone.
    fn proven<T>(&self, answer: impl FnOnce(&Files) -> Result<T, files::Error>) -> Result<T, ReadError> {
        // one answer has nothing to do with the one before
        let files = self.unread_files();
        let found = answer(&files);
        self.check(&files, false)?;
        files.tree.check_complete()?;
        Ok(found?)
    }

    /// The files as if nothing of them had been read.
    pub(super) fn unread_files(&self) -> Files {
        self.files.unread()
    }

    /// Checks that what was read of `files` may be told; with `all`, what was not read as well.
    pub(super) fn check(&self, files: &Files, all: bool) -> Result<(), ReadError> {
        files.vouch(self.least, all).map_err(|mounted| ReadError::NotProven {
            designator: mounted.designator,
            number: mounted.number,
            assurance: mounted.assurance,
        })
    }

    /// The content of a regular file of at most [`MAX_FILE_SIZE`] bytes; links are followed.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, ReadError> {
        self.read_at_most(path, MAX_FILE_SIZE)
    }

    /// The same for a file of at most `max` bytes; a larger one is an error.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_at_most(&self, path: impl AsRef<Path>, max: u64) -> Result<Vec<u8>, ReadError> {
        self.proven(|files| {
            let (place, _) = files.locate(bytes(path.as_ref()), true)?;
            files.tree.read(place, max)
        })
    }

    /// What the file system says about a file; links are followed.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Stat, ReadError> {
        self.proven(|files| {
            let (place, _) = files.locate(bytes(path.as_ref()), true)?;
            files.tree.stat(place)
        })
    }

    /// Where a symbolic link leads, as it is written.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, ReadError> {
        self.proven(|files| {
            let (place, _) = files.locate(bytes(path.as_ref()), false)?;
            files.tree.link_target(place)
        })
    }

    /// The extended attributes of a file; links are followed.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn xattrs(&self, path: impl AsRef<Path>) -> Result<Vec<Xattr>, ReadError> {
        self.proven(|files| {
            let (place, _) = files.locate(bytes(path.as_ref()), true)?;
            files.tree.xattrs(place)
        })
    }

    /// The names in a directory and what they are, in the order of their bytes.
    ///
    /// # Errors
    /// [`ReadError`]; more than a million names are one.
    pub fn read_dir(&self, path: impl AsRef<Path>) -> Result<Vec<DirEntry>, ReadError> {
        self.proven(|files| {
            let (dir, _) = files.locate(bytes(path.as_ref()), true)?;
            let (names, error) = Walk::new(Budget::default()).names(&files.tree, dir)?;
            if let Some(error) = error {
                return Err(error);
            }
            names
                .iter()
                .map(|(name, place)| Ok(DirEntry { name: name.to_vec(), stat: files.tree.stat(place)? }))
                .collect()
        })
    }

    /// Visits every file below `path` within `budget`: directories before what is in them, in the order of the bytes of their
    /// names, with the path of each without links. Nothing is told of a file system that is not good enough: the first of them
    /// ends it.
    ///
    /// # Errors
    /// [`ReadError`]; also the first file that cannot be looked at.
    pub fn walk(
        &self,
        path: impl AsRef<Path>,
        budget: Budget,
        mut each: impl FnMut(&[u8], &Stat) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let files = self.unread_files();
        let start = files.locate(bytes(path.as_ref()), true);
        self.check(&files, false)?;
        let (start, above) = start?;
        let mut refused = None;
        let walked = Walk::new(budget).tree(&files.tree, start, &mut |_, visit: Visit<'_>| {
            if let Err(error) = self.check(&files, false) {
                refused = Some(error);
                return Ok(Step::Stop);
            }
            let stat = visit.stat?;
            let path = match visit.path {
                b"/" => above.clone(),
                below => [above.strip_suffix(b"/").unwrap_or(&above), below].concat(),
            };
            Ok(match each(&path, &stat) {
                ControlFlow::Continue(()) => Step::Continue,
                ControlFlow::Break(()) => Step::Stop,
            })
        });
        match refused {
            Some(error) => Err(error),
            None => {
                self.check(&files, false)?;
                files.tree.check_complete()?;
                Ok(walked?)
            }
        }
    }
}

/// Paths of images are bytes.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
