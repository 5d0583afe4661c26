//! Bytes from one file into another, holes kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use ddi_io::ReadAt;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

const PIECE: usize = 1 << 20;
/// Pieces of zeros of this size are not written.
const ZERO_PIECE: usize = 4096;

/// Copies `size` bytes; where the file systems can, without reading them, or by sharing them.
pub(crate) fn copy(from: &File, from_offset: u64, to: &File, to_offset: u64, size: u64) -> io::Result<()> {
    let end = from_offset.checked_add(size).ok_or(io::ErrorKind::FileTooLarge)?;
    let mut at = from_offset;
    while let Some((start, stop)) = next_data(from, at, end)? {
        let target = to_offset.saturating_add(start.saturating_sub(from_offset));
        copy_range(from, start, to, target, stop.saturating_sub(start))?;
        at = stop;
    }
    Ok(())
}

/// The next run of data within `at..end`.
fn next_data(file: &File, at: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= end {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => {
            // only holes follow, or nothing: that would be less than there was
            let size = rustix::fs::seek(file, SeekFrom::End(0))?;
            return if size < end { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
        }
        // knows of no holes
        Err(Errno::INVAL | Errno::NOTSUP) => return Ok(Some((at, end))),
        Err(error) => return Err(error.into()),
    };
    if start >= end {
        return Ok(None);
    }
    let stop = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(end).min(end);
    Ok(Some((start, stop.max(start.saturating_add(1)).min(end))))
}

fn copy_range(from: &File, mut start: u64, to: &File, mut target: u64, mut left: u64) -> io::Result<()> {
    while left > 0 {
        let want = usize::try_from(left.min(1 << 30)).unwrap_or(PIECE);
        match rustix::fs::copy_file_range(from, Some(&mut start), to, Some(&mut target), want) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(done) => left = left.saturating_sub(u64::try_from(done).unwrap_or(left)),
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                return copy_by_hand(from, start, to, target, left);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, start: u64, to: &File, target: u64, size: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut done: u64 = 0;
    while done < size {
        let want = usize::try_from(size.saturating_sub(done)).unwrap_or(PIECE).min(PIECE);
        let Some(buf) = piece.get_mut(..want) else { break };
        from.read_exact_at(buf, start.saturating_add(done))?;
        write_sparse(to, target.saturating_add(done), buf)?;
        done = done.saturating_add(u64::try_from(want).unwrap_or(size));
    }
    Ok(())
}

/// Writes what is not zero; the file has holes there.
pub(crate) fn write_sparse(to: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut begin: Option<usize> = None;
    let pieces = bytes.chunks(ZERO_PIECE).enumerate();
    let flush = |begin: usize, end: usize| {
        let at = offset.saturating_add(u64::try_from(begin).unwrap_or_default());
        to.write_all_at(bytes.get(begin..end).unwrap_or_default(), at)
    };
    for (number, piece) in pieces {
        let start = number.saturating_mul(ZERO_PIECE);
        let is_zero = piece.iter().all(|byte| *byte == 0);
        match (is_zero, begin) {
            (false, None) => begin = Some(start),
            (true, Some(from)) => {
                flush(from, start)?;
                begin = None;
            }
            _ => {}
        }
    }
    match begin {
        Some(from) => flush(from, bytes.len()),
        None => Ok(()),
    }
}

/// The data of a partition, which is written into the image when it is read to be hashed: each byte goes by once.
pub(crate) struct Tee<'a> {
    /// What there is of data.
    pub(crate) source: &'a dyn ReadAt,
    /// How long the data is, with zeros behind the source.
    pub(crate) size: u64,
    pub(crate) image: &'a File,
    /// Of the partition.
    pub(crate) offset: u64,
    /// Why a write failed: what the reader is told is only that it did.
    pub(crate) failed: Mutex<Option<io::Error>>,
}

impl ReadAt for Tee<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let len = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        if offset.checked_add(len).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let there = self.source.size().saturating_sub(offset).min(len);
        let (data, rest) = buf.split_at_mut(usize::try_from(there).unwrap_or_default());
        rest.fill(0);
        if data.is_empty() {
            return Ok(());
        }
        self.source.read_exact_at(offset, data)?;
        write_sparse(self.image, self.offset.saturating_add(offset), data).map_err(|error| {
            let kind = error.kind();
            *self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
            io::Error::from(kind)
        })
    }

    fn next_data(&self, offset: u64) -> Option<u64> {
        match offset < self.source.size() {
            true => self.source.next_data(offset),
            false => None,
        }
    }
}
