//! Where the bytes of a file are.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::archive::{Part, Stored};
use crate::error::{Error, SourceFault};
use crate::root::Root;

#[derive(Clone, Debug)]
pub(crate) enum Bytes {
    /// With `follow`, what a link leads to, and only inside the root; else it must not be one.
    InFolder {
        root: Root,
        path: Vec<u8>,
        follow: bool,
    },
    InArchive {
        archive: Arc<Stored>,
        at: u64,
    },
    SparseInArchive {
        archive: Arc<Stored>,
        parts: Arc<[Part]>,
    },
    /// Made, not copied.
    Here(Arc<[u8]>),
}

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

fn write_zeros(mut left: u64, out: &mut dyn Write) -> io::Result<()> {
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(ZEROS.len()).min(ZEROS.len());
        out.write_all(ZEROS.get(..want).unwrap_or_default())?;
        left = left.saturating_sub(u64::try_from(want).unwrap_or(left));
    }
    Ok(())
}

impl Bytes {
    /// Where they are, for messages.
    pub(crate) fn shown(&self) -> PathBuf {
        match self {
            Self::InFolder { root, path, .. } => root.show(OsStr::from_bytes(path)),
            Self::InArchive { archive, .. } | Self::SparseInArchive { archive, .. } => archive.path.clone(),
            Self::Here(_) => PathBuf::new(),
        }
    }

    /// Writes all of them, `size` in number. The outer error is of the source, the inner one of `out`.
    pub(crate) fn copy_to(
        &self,
        size: u64,
        piece: &mut [u8],
        out: &mut dyn Write,
    ) -> Result<io::Result<()>, Error> {
        match self {
            Self::InFolder { .. } => self.copy_from_folder(size, piece, out),
            Self::InArchive { archive, at } => archive.copy_to(*at, size, piece, out),
            Self::SparseInArchive { archive, parts } => {
                let mut end = 0;
                for part in parts.iter() {
                    if let Err(error) = write_zeros(part.offset.saturating_sub(end), out) {
                        return Ok(Err(error));
                    }
                    if let Err(error) = archive.copy_to(part.at, part.size, piece, out)? {
                        return Ok(Err(error));
                    }
                    end = part.offset.saturating_add(part.size);
                }
                Ok(write_zeros(size.saturating_sub(end), out))
            }
            Self::Here(bytes) => Ok(out.write_all(bytes)),
        }
    }

    /// Opens it, where it is a file of its own.
    pub(crate) fn open(&self) -> Result<Option<File>, Error> {
        let Self::InFolder { root, path, follow } = self else { return Ok(None) };
        let links = if *follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let file = root.open_at(&**path, OFlags::RDONLY | links);
        let fault = |error| Error::Changed { path: self.shown(), fault: SourceFault::Io(error) };
        file.map(Some).map_err(fault)
    }

    fn copy_from_folder(
        &self,
        size: u64,
        piece: &mut [u8],
        out: &mut dyn Write,
    ) -> Result<io::Result<()>, Error> {
        let fail = |fault| Error::Changed { path: self.shown(), fault };
        let io = |error| fail(SourceFault::Io(error));
        let Some(mut file) = self.open()? else { return Ok(Ok(())) };
        let mut left = size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let Some(buf) = piece.get_mut(..want) else { break };
            file.read_exact(buf).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => fail(SourceFault::Shrank),
                _ => io(error),
            })?;
            if let Err(error) = out.write_all(buf) {
                return Ok(Err(error));
            }
            left = left.saturating_sub(u64::try_from(want).unwrap_or(left));
        }
        match file.metadata().map_err(io)?.len() {
            now if now == size => Ok(Ok(())),
            _ => Err(fail(SourceFault::Grew)),
        }
    }
}
