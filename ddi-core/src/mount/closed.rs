//! A file system that could not be opened, in its place: [`Closed`].

use ddi_fs::{EachEntry, Error, FileSystem, FileType, FsKind, Node, Stat};

/// Stands where systemd would mount what we could not open, so that nobody takes what lies below for it. That there is a
/// directory is all that it tells.
#[derive(Debug)]
pub(super) struct Closed;

const CLOSED: Error = Error::Unsupported { what: "a file system that could not be opened" };

impl FileSystem for Closed {
    fn kind(&self) -> FsKind {
        FsKind::CryptoLuks
    }

    fn root(&self) -> Node {
        Node(0)
    }

    fn stat(&self, _: Node) -> Result<Stat, Error> {
        Ok(Stat {
            file_type: FileType::Directory,
            permissions: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 0,
            mtime_nsec: 0,
            nlink: 1,
            rdev: (0, 0),
        })
    }

    fn list(&self, _: Node, _: &mut EachEntry<'_>) -> Result<(), Error> {
        Err(CLOSED)
    }

    fn read_at(&self, _: Node, _: u64, _: &mut [u8]) -> Result<usize, Error> {
        Err(CLOSED)
    }

    fn link_target(&self, _: Node) -> Result<Vec<u8>, Error> {
        Err(CLOSED)
    }
}
