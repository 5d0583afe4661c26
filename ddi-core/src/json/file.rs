//! Files of an image, one by one.

use ddi_fs::{Error, FileType, Stat};
use serde_json::{Map, Value, json};

use super::{hex, insert_name, reason};
use crate::trust::Assurance;

/// One file of an image: `ddi.file/1`. `ddi ls` and `ddi mtree` print an array of these.
#[derive(Debug, Clone, Copy)]
pub struct FileEntry<'a> {
    path: &'a [u8],
    assurance: Assurance,
    stat: Option<&'a Stat>,
    target: Option<&'a [u8]>,
    sha256: Option<&'a [u8; 32]>,
    error: Option<&'a Error>,
}

impl<'a> FileEntry<'a> {
    /// The file at `path`, which is as good as `assurance`.
    pub fn new(path: &'a [u8], assurance: Assurance) -> Self {
        FileEntry { path, assurance, stat: None, target: None, sha256: None, error: None }
    }

    /// What the file system says about it.
    #[must_use]
    pub fn stat(mut self, stat: Option<&'a Stat>) -> Self {
        self.stat = stat;
        self
    }

    /// Where a symbolic link leads.
    #[must_use]
    pub fn target(mut self, target: Option<&'a [u8]>) -> Self {
        self.target = target;
        self
    }

    /// The digest of its content.
    #[must_use]
    pub fn sha256(mut self, digest: Option<&'a [u8; 32]>) -> Self {
        self.sha256 = digest;
        self
    }

    /// Why some of it is missing.
    #[must_use]
    pub fn error(mut self, error: Option<&'a Error>) -> Self {
        self.error = error;
        self
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        let mut file = Map::new();
        file.insert("schema".into(), "ddi.file/1".into());
        file.insert("assurance".into(), self.assurance.name().into());
        insert_name(&mut file, "path", self.path);
        if let Some(stat) = self.stat {
            file.insert("type".into(), stat.file_type.name().into());
            file.insert("mode".into(), format!("{:04o}", stat.permissions).into());
            file.insert("uid".into(), stat.uid.into());
            file.insert("gid".into(), stat.gid.into());
            file.insert("mtime".into(), stat.mtime_utc().into());
            file.insert("mtimeNanoseconds".into(), stat.mtime_nsec.into());
            file.insert("links".into(), stat.nlink.into());
            match stat.file_type {
                FileType::Regular => {
                    file.insert("size".into(), stat.size.into());
                }
                FileType::CharDevice | FileType::BlockDevice => {
                    let (major, minor) = stat.rdev;
                    file.insert("device".into(), json!({ "major": major, "minor": minor }));
                }
                _ => {}
            }
        }
        if let Some(digest) = self.sha256 {
            file.insert("sha256".into(), hex(digest).into());
        }
        if let Some(target) = self.target {
            insert_name(&mut file, "target", target);
        }
        if let Some(error) = self.error {
            file.insert("error".into(), reason(error.code(), error));
        }
        file.into()
    }
}
