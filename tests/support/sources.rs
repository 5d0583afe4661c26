//! Storage that misbehaves.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use ddi_verity::ReadAt;

/// Bytes, and what happens to a piece of them on its way out.
pub(crate) struct Storage<F> {
    bytes: Arc<Vec<u8>>,
    act: F,
}

impl<F: Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync> Storage<F> {
    /// `act` gets the offset and the right bytes, and may change them or fail.
    pub(crate) fn new(bytes: &Arc<Vec<u8>>, act: F) -> Self {
        Storage { bytes: bytes.clone(), act }
    }
}

impl<F: Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync> ReadAt for Storage<F> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.bytes.read_exact_at(offset, buf)?;
        (self.act)(offset, buf)
    }
}

/// How often each byte was read.
pub(crate) struct Reads {
    counts: Vec<AtomicU8>,
    bytes: AtomicU64,
}

impl Reads {
    pub(crate) fn new(size: usize) -> Self {
        Reads { counts: (0..size).map(|_| AtomicU8::new(0)).collect(), bytes: AtomicU64::new(0) }
    }

    /// Counts a read of `len` bytes; calls `each` with the index of each byte and how often it was read before.
    pub(crate) fn count(&self, offset: u64, len: usize, mut each: impl FnMut(usize, u8)) {
        self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        for (i, count) in self.counts[offset as usize..][..len].iter().enumerate() {
            each(i, count.fetch_add(1, Ordering::Relaxed));
        }
    }

    /// How often the byte was read that was read most often.
    pub(crate) fn most(&self) -> u8 {
        self.most_in(0, self.counts.len() as u64)
    }

    /// The same within a range.
    pub(crate) fn most_in(&self, start: u64, end: u64) -> u8 {
        let counts = &self.counts[start as usize..end as usize];
        counts.iter().map(|count| count.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    /// Bytes read in all, each as often as it was read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
