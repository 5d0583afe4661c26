//! Metadata, read once.
//!
//! What says where things are is looked at by several readers: the partition table, the probes, the binding of data to
//! hash trees, the report. [`ReadOnce`] reads each byte of it once and keeps it, so that storage that changes meanwhile
//! cannot show them different things. Data and hash trees are not read through it: they are proven, each time.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::read_at::ReadAt;

/// Most bytes that are kept: the first 128 KiB of the disk and of 12 partitions, and both partition tables. What is looked
/// at after that is read from the source each time.
const BUDGET: usize = 1664 << 10;
/// What a piece counts for besides its bytes, so that many small ones are bounded as well.
const OVERHEAD: usize = 128;

/// A source of which what was read is kept.
pub struct ReadOnce<R> {
    source: R,
    pieces: Mutex<Pieces>,
}

/// By offset; no two overlap.
#[derive(Default)]
struct Pieces {
    bytes: BTreeMap<u64, Box<[u8]>>,
    held: usize,
}

impl<R: ReadAt> ReadOnce<R> {
    /// Nothing of `source` is read yet.
    pub fn new(source: R) -> Self {
        ReadOnce { source, pieces: Mutex::default() }
    }

    /// What is below.
    pub fn source(&self) -> &R {
        &self.source
    }
}

impl<R> fmt::Debug for ReadOnce<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnce").finish_non_exhaustive()
    }
}

impl Pieces {
    /// What is kept from `offset` on, or else how far it is from there to the next piece.
    fn at(&self, offset: u64) -> Result<&[u8], Option<u64>> {
        if let Some((start, bytes)) = self.bytes.range(..=offset).next_back()
            && let Ok(within) = usize::try_from(offset.saturating_sub(*start))
            && let Some(rest) = bytes.get(within..).filter(|rest| !rest.is_empty())
        {
            return Ok(rest);
        }
        Err(self.bytes.range(offset..).next().map(|(next, _)| next.saturating_sub(offset)))
    }

    fn keep(&mut self, offset: u64, bytes: &[u8]) {
        let held = self.held.saturating_add(bytes.len()).saturating_add(OVERHEAD);
        if held <= BUDGET {
            self.held = held;
            self.bytes.insert(offset, bytes.into());
        }
    }
}

impl<R: ReadAt> ReadAt for ReadOnce<R> {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = u64::try_from(buf.len()).ok().and_then(|len| offset.checked_add(len));
        if end.is_none_or(|end| end > self.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // held while reading: two threads that want the same bytes get the same bytes
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let found = pieces.at(at);
            let most = match found {
                Ok(bytes) => bytes.len(),
                Err(gap) => gap.and_then(|gap| usize::try_from(gap).ok()).unwrap_or(usize::MAX),
            };
            let Some((now, later)) = rest.split_at_mut_checked(most.min(rest.len())) else { break };
            match found.ok().and_then(|bytes| bytes.get(..now.len())) {
                Some(known) => now.copy_from_slice(known),
                None => {
                    self.source.read_exact_at(at, now)?;
                    pieces.keep(at, now);
                }
            }
            at = at.saturating_add(u64::try_from(now.len()).unwrap_or(u64::MAX));
            rest = later;
        }
        Ok(())
    }

    fn next_data(&self, offset: u64) -> Option<u64> {
        self.source.next_data(offset)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    use super::*;

    /// Counts how often each byte is read.
    struct Counting {
        bytes: Vec<u8>,
        reads: Vec<AtomicU8>,
        total: AtomicUsize,
    }

    impl ReadAt for Counting {
        fn size(&self) -> u64 {
            self.bytes.size()
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            self.bytes.read_exact_at(offset, buf)?;
            assert!(!buf.is_empty());
            self.total.fetch_add(buf.len(), Ordering::Relaxed);
            for count in &self.reads[offset as usize..][..buf.len()] {
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
    }

    fn counting(size: usize) -> Arc<Counting> {
        Arc::new(Counting {
            bytes: (0..size).map(|i| (i % 251) as u8).collect(),
            reads: (0..size).map(|_| AtomicU8::new(0)).collect(),
            total: AtomicUsize::new(0),
        })
    }

    #[test]
    fn no_byte_is_read_twice() {
        let source = counting(1000);
        let kept = ReadOnce::new(source.clone());
        for (offset, len) in
            [(100, 50), (0, 10), (140, 30), (90, 200), (0, 0), (999, 1), (500, 20), (0, 1000), (1000, 0)]
        {
            let mut buf = vec![0; len];
            kept.read_exact_at(offset, &mut buf).unwrap();
            assert_eq!(buf, source.bytes[offset as usize..][..len]);
        }
        assert!(source.reads.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        for (offset, len) in [(0, 1001), (1000, 1), (u64::MAX, 2), (1001, 0)] {
            let error = kept.read_exact_at(offset, &mut vec![0; len]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let source = counting(4 << 20);
        let kept = ReadOnce::new(source.clone());
        for offset in (0..4 << 20).step_by(64 << 10) {
            let mut buf = vec![0; 64 << 10];
            kept.read_exact_at(offset, &mut buf).unwrap();
            kept.read_exact_at(offset, &mut buf).unwrap();
            assert!(buf == source.bytes[offset as usize..][..buf.len()]);
        }
        // single bytes count for more than they are
        for offset in (0..4 << 20).step_by(16) {
            kept.read_exact_at(offset, &mut [0]).unwrap();
        }
        let pieces = kept.pieces.lock().unwrap();
        assert!(pieces.held <= BUDGET && pieces.held >= BUDGET - (65 << 10), "{}", pieces.held);
        assert_eq!(pieces.held, pieces.bytes.values().map(|bytes| bytes.len() + OVERHEAD).sum::<usize>());
        assert!(source.total.load(Ordering::Relaxed) > 4 << 20);
    }

    #[test]
    fn an_error_is_not_kept() {
        struct Once(AtomicUsize);
        impl ReadAt for Once {
            fn size(&self) -> u64 {
                16
            }
            fn read_exact_at(&self, _: u64, buf: &mut [u8]) -> io::Result<()> {
                if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                    return Err(io::Error::from_raw_os_error(5));
                }
                buf.fill(7);
                Ok(())
            }
        }
        let kept = ReadOnce::new(Arc::new(Once(AtomicUsize::new(0))));
        let mut buf = [0; 4];
        assert_eq!(kept.read_exact_at(2, &mut buf).unwrap_err().raw_os_error(), Some(5));
        kept.read_exact_at(2, &mut buf).unwrap();
        assert_eq!(buf, [7; 4]);
    }
}
