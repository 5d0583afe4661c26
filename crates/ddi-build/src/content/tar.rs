//! A tree as a tar stream, as mkfs.erofs and mksquashfs read it.

use std::collections::HashMap;
use std::io::{self, Write};

use ddi_io::{TarEntry, TarKind, TarWriter};

use super::tree::{Entry, Key, Kind, Tree};
use crate::error::{Error, ToolFault};

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
            if let (Kind::File { bytes, size, .. }, None) = (&entry.kind, first) {
                bytes.copy_to(*size, &mut piece, &mut Content(&mut tar))?.map_err(broken)?;
            }
        }
        tar.finish().map_err(broken)?;
        Ok(())
    }
}

/// The content of the file that was begun.
struct Content<'a, 'b>(&'a mut TarWriter<&'b mut dyn Write>);

impl Write for Content<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.content(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
