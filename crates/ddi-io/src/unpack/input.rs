//! A stream as the decoders read it: buffered, counted, bounded, and with a memory of what went wrong.

use core::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use super::{Compression, UnpackError};

/// Size of the buffer in bytes.
const BUFFER: usize = 64 << 10;

/// What is still to come of a stream.
pub(crate) struct Input<'a> {
    source: &'a mut dyn Read,
    buffer: Box<[u8]>,
    /// What of the buffer is not taken yet.
    start: usize,
    end: usize,
    /// Bytes that were taken.
    offset: u64,
    /// Bytes that may still be read, and what to say if there are more.
    budget: u64,
    max: u64,
    /// Somebody wanted more than there is.
    ended: bool,
    /// Why it could not be read.
    failed: Option<UnpackError>,
    progress: Option<&'a dyn Fn(u64)>,
}

impl<'a> Input<'a> {
    /// `max` is what may come out in the end. Twice that may come in: data that grows when it is compressed does so by
    /// little, and headers without content would have no end.
    pub(crate) fn new(source: &'a mut dyn Read, max: u64, progress: Option<&'a dyn Fn(u64)>) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        let budget = max.saturating_mul(2).saturating_add(1 << 20);
        let (start, end, offset) = (0, 0, 0);
        Input { source, buffer, start, end, offset, budget, max, ended: false, failed: None, progress }
    }

    /// What is in the buffer, which is `least` bytes at least (not more than its size) unless the stream ends before.
    pub(crate) fn peek(&mut self, least: usize) -> io::Result<&[u8]> {
        while self.end.saturating_sub(self.start) < least {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end = self.end.saturating_sub(self.start);
                self.start = 0;
            }
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.source.read(room) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => {
                    self.end = self.end.saturating_add(read);
                    let read = u64::try_from(read).unwrap_or(u64::MAX);
                    let Some(budget) = self.budget.checked_sub(read) else {
                        self.failed = Some(UnpackError::TooLarge { max: self.max });
                        return Err(io::ErrorKind::FileTooLarge.into());
                    };
                    self.budget = budget;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    let offset = self.offset;
                    self.failed = Some(UnpackError::Read { offset, error: Arc::new(error) });
                    return Err(kind.into());
                }
            }
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    /// The next `most` bytes, or so many as there are or as the buffer holds: that there are no more is no failure.
    #[cfg(feature = "libzstd")]
    pub(crate) fn offer(&mut self, most: usize) -> io::Result<&[u8]> {
        let (ended, most) = (self.ended, most.min(BUFFER));
        self.peek(most)?;
        self.ended = ended;
        let there = self.buffer.get(self.start..self.end).unwrap_or_default();
        Ok(there.get(..most).unwrap_or(there))
    }

    /// Takes `count` of the bytes that were peeked at.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        self.offset = self.offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if let Some(progress) = self.progress {
            progress(self.offset);
        }
    }

    /// Bytes that were taken so far.
    #[cfg(any(feature = "gzip", feature = "libzstd", feature = "zstd"))]
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// What it means that a decoder gave up with `error`.
    pub(crate) fn judge(&mut self, compression: Compression, error: io::Error) -> UnpackError {
        let offset = self.offset;
        match self.failed.take() {
            Some(failed) => failed,
            None if error.kind() == io::ErrorKind::OutOfMemory => UnpackError::WindowTooLarge { compression },
            None if self.ended => UnpackError::Truncated { compression, size: offset },
            None => UnpackError::Corrupt { compression, offset, error: Arc::new(error) },
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let there = self.peek(1)?;
        let count = there.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), there.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("offset", &self.offset).finish_non_exhaustive()
    }
}
