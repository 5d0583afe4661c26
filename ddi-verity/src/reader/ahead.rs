//! Reading ahead: a stretch of proven bytes for small reads that follow each other.

use std::sync::{Mutex, PoisonError, TryLockError};

use ddi_io::ReadAt;

use super::VerifiedReader;
use crate::error::Error;

/// Most bytes that are read ahead.
const MAX_AHEAD: usize = 1 << 20;

/// Bytes that somebody may ask for next, and who asked last.
pub(super) struct Ahead {
    size: usize,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    /// Proven bytes, and where they begin.
    start: u64,
    bytes: Vec<u8>,
    /// Where the last read ended.
    next: u64,
    /// Before this nothing is read ahead: there was something that cannot be proven.
    not_before: u64,
}

impl Ahead {
    pub(super) fn bytes(&self) -> usize {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).bytes.len()
    }

    /// Fills `buf` from what was read ahead, as far as that goes, and the rest as ever.
    pub(super) fn read<D: ReadAt, H: ReadAt>(
        &self,
        reader: &VerifiedReader<D, H>,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        let mut window = match self.window.try_lock() {
            Ok(window) => window,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // somebody else reads on; nobody waits for that
            Err(TryLockError::WouldBlock) => return reader.read_now(offset, buf),
        };
        let len = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        // large reads are hashed many blocks at once anyhow
        if buf.len() >= self.size {
            window.next = offset.saturating_add(len);
            drop(window);
            return reader.read_now(offset, buf);
        }
        let follows = window.next == offset;
        let done = window.give(offset, buf);
        window.next = offset.saturating_add(len);
        let rest = buf.get_mut(done..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        if !follows || at < window.not_before {
            drop(window);
            return reader.read_now(at, rest);
        }
        window.fill(reader, at, self.size);
        let done = window.give(at, rest);
        drop(window);
        let at = at.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        reader.read_now(at, rest.get_mut(done..).unwrap_or_default())
    }
}

impl Window {
    /// Copies what is there of the bytes from `offset` on, and says how many they are.
    fn give(&self, offset: u64, buf: &mut [u8]) -> usize {
        let from = offset.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let there = from.and_then(|from| self.bytes.get(from..)).unwrap_or_default();
        let len = there.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), there.get(..len)) {
            to.copy_from_slice(from);
        }
        len
    }

    /// Reads on from `offset`. What cannot be proven, whoever asks for it is told.
    fn fill<D: ReadAt, H: ReadAt>(&mut self, reader: &VerifiedReader<D, H>, offset: u64, size: usize) {
        let (_, within) = reader.locate(offset);
        let start = offset.saturating_sub(u64::try_from(within).unwrap_or(u64::MAX));
        let left = usize::try_from(reader.size().saturating_sub(start)).unwrap_or(usize::MAX);
        self.start = start;
        self.bytes.resize(size.min(left), 0);
        if reader.read_now(start, &mut self.bytes).is_err() {
            self.not_before = start.saturating_add(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX));
            // some of it may not have been proven
            self.bytes.clear();
        }
    }
}

impl<D: ReadAt, H: ReadAt> VerifiedReader<D, H> {
    /// With up to `size` bytes read ahead, in whole blocks and at most 1 MiB: for small reads, each of which begins where the
    /// last one ended. They are hashed many blocks at once then.
    ///
    /// One stretch is kept, for whoever reads on; who reads elsewhere meanwhile, or at the same time, does so as ever. What
    /// is ahead is proven when it is read; a block that cannot be proven is the error of the read that wants it, and of none before.
    #[must_use]
    pub fn with_read_ahead(mut self, size: usize) -> Self {
        let block_size = self.data_block_size();
        let blocks = size.min(MAX_AHEAD).checked_div(block_size).unwrap_or(0);
        let size = blocks.saturating_mul(block_size);
        self.ahead = (size > 0).then(|| Ahead { size, window: Mutex::default() });
        self
    }
}
