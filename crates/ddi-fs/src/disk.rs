//! The storage below a reader: bounded reads, and a small cache for metadata.

#![cfg_attr(
    not(any(
        feature = "fs-erofs",
        feature = "fs-squashfs",
        feature = "fs-ext4",
        feature = "fs-vfat",
        feature = "fs-btrfs",
        feature = "fs-xfs"
    )),
    expect(dead_code, reason = "no reader is built in")
)]

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ddi_io::ReadAt;

use super::{Error, Meter};

/// Metadata is read by pages of this size, so that neighbours cost one read (and one hash, on proven storage).
const PAGE: usize = 4096;
/// Pages kept: 1 MiB. A page has one place, by its number.
const SLOTS: usize = 256;

type Slot = Mutex<Option<(u64, Arc<[u8]>)>>;

pub(super) struct Disk {
    source: Arc<dyn ReadAt>,
    size: u64,
    meter: Meter,
    pages: Box<[Slot]>,
}

impl Disk {
    #[cfg(test)]
    pub(super) fn new(source: Arc<dyn ReadAt>) -> Self {
        let meter = Meter::for_size(source.size());
        Disk::metered(source, meter)
    }

    /// What is read is charged to `meter`, and nothing more is read when that is spent.
    pub(super) fn metered(source: Arc<dyn ReadAt>, meter: Meter) -> Self {
        let size = source.size();
        Disk { source, size, meter, pages: (0..SLOTS).map(|_| Slot::default()).collect() }
    }

    #[cfg(any(feature = "fs-erofs", feature = "fs-squashfs", feature = "fs-ext4"))]
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    fn check(&self, offset: u64, len: usize) -> Result<(), Error> {
        let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
        match end {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Error::corrupt("reference past the end", offset)),
        }
    }

    /// Content: not cached.
    pub(super) fn data(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.check(offset, buf.len())?;
        self.meter.read(buf.len());
        self.meter.check()?;
        self.source.read_exact_at(offset, buf).map_err(|source| Error::Io { offset, source })
    }

    /// `len` bytes of content. The caller has bounded `len`.
    pub(super) fn data_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        self.check(offset, len)?;
        let mut buf = vec![0; len];
        self.data(offset, &mut buf)?;
        Ok(buf)
    }

    /// Metadata: through the cache.
    pub(super) fn metadata(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.check(offset, buf.len())?;
        self.meter.look(buf.len());
        self.meter.check()?;
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let start = index(rem(at, u64_from(PAGE)));
            let page = match self.page(div(at, u64_from(PAGE))) {
                Ok(page) => page,
                // the part of the page that nobody asked for may be what cannot be read
                Err(Error::Io { .. }) if start != 0 || rest.len() < PAGE => return self.data(at, rest),
                Err(error) => return Err(error),
            };
            let from = page.get(start..).unwrap_or_default();
            let n = from.len().min(rest.len());
            let (Some(source), Some((target, after))) = (from.get(..n), rest.split_at_mut_checked(n)) else {
                return Err(Error::corrupt("reference past the end", at));
            };
            if n == 0 {
                return Err(Error::corrupt("reference past the end", at));
            }
            target.copy_from_slice(source);
            rest = after;
            at = at.saturating_add(u64_from(n));
        }
        Ok(())
    }

    /// `len` bytes of metadata. The caller has bounded `len`.
    pub(super) fn metadata_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        self.check(offset, len)?;
        let mut buf = vec![0; len];
        self.metadata(offset, &mut buf)?;
        Ok(buf)
    }

    pub(super) fn metadata_array<const N: usize>(&self, offset: u64) -> Result<[u8; N], Error> {
        let mut buf = [0; N];
        self.metadata(offset, &mut buf)?;
        Ok(buf)
    }

    fn page(&self, number: u64) -> Result<Arc<[u8]>, Error> {
        let slot = self.pages.get(index(rem(number, u64_from(SLOTS))));
        let mut slot = slot.map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(Some((cached, page))) = slot.as_deref()
            && *cached == number
        {
            return Ok(Arc::clone(page));
        }
        let offset = number.saturating_mul(u64_from(PAGE));
        let len = self.size.saturating_sub(offset).min(u64_from(PAGE));
        let page: Arc<[u8]> = self.data_vec(offset, index(len))?.into();
        if let Some(slot) = slot.as_deref_mut() {
            *slot = Some((number, Arc::clone(&page)));
        }
        Ok(page)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Never lossy: no supported machine has a wider `usize`.
pub(super) fn u64_from(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A number that is used as an index or a length; one that does not fit is larger than anything that is there.
pub(super) fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The same for 32 bits.
pub(super) fn index32(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// `a / b`; 0 if `b` is 0, which its callers have excluded.
pub(super) fn div(a: u64, b: u64) -> u64 {
    a.checked_div(b).unwrap_or(0)
}

/// `a % b`; 0 if `b` is 0, which its callers have excluded.
pub(super) fn rem(a: u64, b: u64) -> u64 {
    a.checked_rem(b).unwrap_or(0)
}

/// Bytes of one structure, and what to say if they end too early.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) what: &'static str,
    /// Where it came from, in bytes.
    pub(super) offset: u64,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str, offset: u64) -> Self {
        Bytes { bytes, what, offset }
    }

    pub(super) fn corrupt(&self) -> Error {
        Error::corrupt(self.what, self.offset)
    }

    pub(super) fn slice(&self, at: usize, len: usize) -> Result<&'a [u8], Error> {
        at.checked_add(len).and_then(|end| self.bytes.get(at..end)).ok_or_else(|| self.corrupt())
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], Error> {
        self.slice(at, N)?.try_into().map_err(|_| self.corrupt())
    }

    pub(super) fn u8(&self, at: usize) -> Result<u8, Error> {
        self.bytes.get(at).copied().ok_or_else(|| self.corrupt())
    }

    pub(super) fn le16(&self, at: usize) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array(at)?))
    }

    pub(super) fn le32(&self, at: usize) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array(at)?))
    }

    pub(super) fn le64(&self, at: usize) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array(at)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of which one byte cannot be read.
    struct Hurt(u64);

    impl ReadAt for Hurt {
        fn size(&self) -> u64 {
            10_000
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
            buf.fill(7);
            match (offset..offset + u64_from(buf.len())).contains(&self.0) {
                true => Err(std::io::ErrorKind::InvalidData.into()),
                false => Ok(()),
            }
        }
    }

    #[test]
    fn what_cannot_be_read_does_not_hide_its_neighbours() {
        let disk = Disk::new(Arc::new(Hurt(5000)));
        for (offset, len, good) in [
            (4096, 904, true),
            (4000, 1000, true),
            (4999, 2, false),
            (5000, 1, false),
            (5001, 4096, true),
            (4096, 4096, false),
        ] {
            assert_eq!(disk.metadata_vec(offset, len).is_ok(), good, "{offset} {len}");
        }
    }

    #[test]
    fn metadata_crosses_pages_and_stops_at_the_end() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
        let disk = Disk::new(Arc::new(bytes.clone()));
        for (offset, len) in [(0, 1), (4090, 20), (4095, 4098), (8000, 2000), (9999, 1), (10_000, 0)] {
            for _ in 0..2 {
                let read = disk.metadata_vec(offset, len).unwrap();
                assert_eq!(read, bytes[offset as usize..offset as usize + len]);
            }
        }
        for (offset, len) in [(9999, 2), (10_001, 0), (u64::MAX, 1)] {
            assert!(matches!(disk.metadata_vec(offset, len), Err(Error::Corrupt { .. })));
        }
    }
}
