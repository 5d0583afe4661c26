//! The partitions that the boot loader reads, and the files in them.

use std::io;

use ddi_gpt::Designator;
use ddi_io::ReadAt;

use super::MAX_FILES;
use crate::{Subject, names};
use ddi_core::MountError;
use ddi_fs::{FileType, Place, Vfs};

/// A partition that the boot loader reads.
pub(super) struct Volume {
    pub(super) designator: Designator,
    /// Where it is mounted usually.
    pub(super) prefix: &'static [u8],
    /// The partition, for what is about all of it.
    pub(super) subject: Subject,
    pub(super) tree: Vfs,
}

impl Volume {
    /// The path as systemd mounts it.
    pub(super) fn path(&self, path: &[u8]) -> Vec<u8> {
        [self.prefix, path].concat()
    }

    pub(super) fn subject_of(&self, path: &[u8]) -> Subject {
        Subject::Path(self.path(path))
    }

    pub(super) fn shown(&self, path: &[u8]) -> String {
        String::from_utf8_lossy(&self.path(path)).into_owned()
    }

    /// Regular files in a directory whose names end so, in any case. Of many, one more than are looked at.
    pub(super) fn files(&self, directory: &str, suffix: &str) -> Result<Vec<NamedFile>, MountError> {
        self.files_named(directory, |name| {
            let end = name.len().checked_sub(suffix.len()).and_then(|at| name.get(at..));
            name.first() != Some(&b'.') && end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
        })
    }

    /// The same for names that are wanted.
    pub(super) fn files_named(
        &self,
        directory: &str,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<NamedFile>, MountError> {
        let mut found = Vec::new();
        for (name, place) in names(&self.tree, directory.as_bytes())? {
            let path = [directory.as_bytes(), b"/", &name].concat();
            if is_wanted(&name)
                && let Some(file) = TreeFile::new(&self.tree, place)
            {
                found.push((name, path, file));
            }
            if found.len() > MAX_FILES {
                break;
            }
        }
        Ok(found)
    }
}

/// Name, path from the root of the partition, and the file.
pub(super) type NamedFile = (Vec<u8>, Vec<u8>, TreeFile);

/// A regular file in a tree.
pub(super) struct TreeFile {
    tree: Vfs,
    pub(super) place: Place,
    size: u64,
}

impl TreeFile {
    pub(super) fn new(tree: &Vfs, place: Place) -> Option<Self> {
        let stat = tree.stat(place).ok().filter(|stat| stat.file_type == FileType::Regular)?;
        Some(TreeFile { tree: tree.clone(), place, size: stat.size })
    }
}

impl ReadAt for TreeFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let (mut offset, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let n = self.tree.read_at(self.place, offset, rest).map_err(io::Error::other)?;
            let Some((_, after)) = rest.split_at_mut_checked(n).filter(|_| n > 0) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            rest = after;
            offset = offset.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}
