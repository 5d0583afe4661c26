//! A position on a source: [`Stream`].

use std::io::{self, Read, Seek, SeekFrom};

use crate::read_at::ReadAt;

/// A position on a source, for programs that want a stream: [`Read`] and [`Seek`] over any [`ReadAt`].
///
/// Each [`read`](Read::read) is one read of the source; put a [`BufReader`](io::BufReader) around it if you read in
/// small pieces.
#[derive(Debug, Clone)]
pub struct Stream<R> {
    source: R,
    position: u64,
}

impl<R: ReadAt> Stream<R> {
    /// From the start of `source`.
    pub fn new(source: R) -> Self {
        Stream { source, position: 0 }
    }

    /// The source.
    pub fn into_inner(self) -> R {
        self.source
    }
}

impl<R: ReadAt> Read for Stream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.source.size().saturating_sub(self.position)).unwrap_or(usize::MAX);
        let len = rest.min(buf.len());
        self.source
            .read_exact_at(self.position.min(self.source.size()), buf.get_mut(..len).unwrap_or_default())?;
        self.position = self.position.saturating_add(u64::try_from(len).unwrap_or(0));
        Ok(len)
    }
}

impl<R: ReadAt> Seek for Stream<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.source.size().checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
