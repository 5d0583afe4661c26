//! A tree as a tar stream, as mkfs.erofs and mksquashfs read it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

use ddi_io::{TarEntry, TarKind, TarWriter};
use rustix::fs::OFlags;

use super::tree::{Entry, Key, Kind, Tree};
use crate::error::{Error, SourceFault, ToolFault};
use crate::root::Root;

const PIECE: usize = 256 << 10;

fn broken(error: io::Error) -> Error {
    Error::Tool { name: "tar stream", fault: ToolFault::Run { error } }
}

impl Tree {
    /// Writes all files. Times after `epoch` become it, and those of what was made are it.
    pub(crate) fn write_tar(&self, epoch: u64, out: &mut dyn Write) -> Result<(), Error> {
        let mut links: HashMap<(usize, u64, u64), &Key> = HashMap::new();
        let mut piece = vec![0_u8; PIECE];
        let mut tar = TarWriter::new(out);
        for (key, entry) in self.entries() {
            let first = match &entry.kind {
                Kind::File { link: Some(link), .. } => {
                    Some(*links.entry(*link).or_insert(key)).filter(|first| *first != key)
                }
                _ => None,
            };
            start(&mut tar, key, entry, first, epoch).map_err(broken)?;
            if let (Kind::File { root, path, size, .. }, None) = (&entry.kind, first) {
                copy(root, path, *size, &mut piece, &mut tar)?;
            }
        }
        tar.finish().map_err(broken)?;
        Ok(())
    }
}

/// The content of a file, which must be as large as it was when the tree was gathered.
fn copy(
    root: &Root,
    path: &[u8],
    size: u64,
    piece: &mut [u8],
    tar: &mut TarWriter<&mut dyn Write>,
) -> Result<(), Error> {
    let shown = root.show(OsStr::from_bytes(path));
    let fail = |fault| Error::Changed { path: shown.clone(), fault };
    let io = |error| fail(SourceFault::Io(error));
    let mut file = root.open_at(path, OFlags::RDONLY | OFlags::NOFOLLOW).map_err(io)?;
    let mut left = size;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let Some(buf) = piece.get_mut(..want) else { break };
        file.read_exact(buf).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => fail(SourceFault::Shrank),
            _ => io(error),
        })?;
        tar.content(buf).map_err(broken)?;
        left = left.saturating_sub(u64::try_from(want).unwrap_or(left));
    }
    // what came meanwhile would be missing
    match file.metadata().map_err(io)?.len() == size {
        true => Ok(()),
        false => Err(fail(SourceFault::Grew)),
    }
}

fn start(
    tar: &mut TarWriter<&mut dyn Write>,
    key: &Key,
    entry: &Entry,
    first: Option<&Key>,
    epoch: u64,
) -> io::Result<()> {
    let as_path =
        |key: &[u8]| key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect::<Vec<u8>>();
    let first = first.map(|first| as_path(first));
    let kind = match (&entry.kind, &first) {
        (_, Some(first)) => TarKind::HardLink(first),
        (Kind::File { size, .. }, None) => TarKind::Regular { size: *size },
        (Kind::Directory, None) => TarKind::Directory,
        (Kind::Symlink(target), None) => TarKind::Symlink(target),
        (Kind::Fifo, None) => TarKind::Fifo,
        (Kind::Device { is_block: true, major, minor }, None) => {
            TarKind::BlockDevice { major: *major, minor: *minor }
        }
        (Kind::Device { major, minor, .. }, None) => TarKind::CharDevice { major: *major, minor: *minor },
    };
    let latest = i64::try_from(epoch).unwrap_or(i64::MAX);
    let mtime = entry.mtime.filter(|(seconds, _)| *seconds < latest).unwrap_or((latest, 0));
    let xattrs: Vec<(&[u8], &[u8])> = entry.xattrs.iter().map(|(name, value)| (&**name, &**value)).collect();
    let (mode, owner) = (entry.mode, entry.owner);
    tar.start(&TarEntry { path: &as_path(key), kind, mode, owner, mtime, xattrs: &xattrs })
}
