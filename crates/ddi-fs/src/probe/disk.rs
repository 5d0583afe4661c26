//! The bytes that the probes look at: the head of the source, read once, and single pieces from elsewhere.

use core::cell::OnceCell;
use core::ops::Range;
use std::borrow::Cow;

use byteorder::{BigEndian, ByteOrder, LittleEndian};
use ddi_io::ReadAt;

use super::Error;

/// Read once and kept. Every superblock but those at the far end starts in it: the last are btrfs (to 68 KiB) and
/// the volume descriptors of iso9660 (to 64 KiB).
const HEAD: usize = 128 << 10;

/// The far end, read once too: the superblocks of most arrays are within it.
const TAIL: u64 = 16 << 10;

/// A floppy disk; libblkid is less strict up to this size.
const TINY: u64 = 1440 << 10;

/// The source of one probe.
pub(super) struct Disk<'a> {
    source: &'a dyn ReadAt,
    size: u64,
    head: Vec<u8>,
    /// What is not in the head of the last [`TAIL`] bytes, once it was asked for.
    tail: OnceCell<Vec<u8>>,
    partitions: &'a [Range<u64>],
}

impl<'a> Disk<'a> {
    pub(super) fn new(source: &'a dyn ReadAt, partitions: &'a [Range<u64>]) -> Result<Self, Error> {
        let size = source.size();
        let mut head = vec![0; usize::try_from(size).map_or(HEAD, |size| size.min(HEAD))];
        read(source, 0, &mut head)?;
        Ok(Disk { source, size, head, tail: OnceCell::new(), partitions })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn is_tiny(&self) -> bool {
        self.size <= TINY
    }

    /// Returns true if `range` is inside a partition, and all partitions are inside the disk.
    pub(super) fn is_covered_by_partition(&self, range: &Range<u64>) -> bool {
        self.partitions.iter().all(|p| p.end <= self.size)
            && self.partitions.iter().any(|p| p.start <= range.start && range.end <= p.end)
    }

    /// `len` bytes from `offset`; `None` if they are not all there. `len` is a constant or checked by the caller.
    ///
    /// What lies in the head or at the far end is never read a second time.
    pub(super) fn bytes(&self, offset: u64, len: usize) -> Result<Option<Bytes<'_>>, Error> {
        let inside = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
        if inside.is_none_or(|end| end > self.size) {
            return Ok(None);
        }
        let known = usize::try_from(offset).ok().and_then(|start| self.head.get(start..)).unwrap_or_default();
        if let Some(bytes) = known.get(..len) {
            return Ok(Some(Bytes(Cow::Borrowed(bytes))));
        }
        let head_end = u64::try_from(self.head.len()).unwrap_or(u64::MAX);
        let tail_start = self.size.saturating_sub(TAIL).max(head_end);
        if let Some(start) = offset.checked_sub(tail_start) {
            let tail = self.tail(tail_start)?;
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            return Ok(tail
                .get(start..)
                .and_then(|rest| rest.get(..len))
                .map(|bytes| Bytes(Cow::Borrowed(bytes))));
        }
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(known);
        let from = offset.saturating_add(u64::try_from(known.len()).unwrap_or(u64::MAX));
        bytes.resize(len, 0);
        if let Some(rest) = bytes.get_mut(known.len()..) {
            read(self.source, from, rest)?;
        }
        Ok(Some(Bytes(Cow::Owned(bytes))))
    }

    fn tail(&self, start: u64) -> Result<&[u8], Error> {
        if let Some(tail) = self.tail.get() {
            return Ok(tail);
        }
        let len = self.size.saturating_sub(start).min(TAIL);
        let mut tail = vec![0; usize::try_from(len).unwrap_or_default()];
        read(self.source, start, &mut tail)?;
        Ok(self.tail.get_or_init(|| tail))
    }

    /// Returns true if `magic` is at `offset`.
    pub(super) fn has(&self, offset: u64, magic: &[u8]) -> Result<bool, Error> {
        Ok(self.bytes(offset, magic.len())?.is_some_and(|bytes| bytes.all() == magic))
    }
}

fn read(source: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
    source.read_exact_at(offset, buf).map_err(|source| Error::Io { offset, source })
}

/// A piece of the source. A field that is not inside it is `None`.
pub(super) struct Bytes<'a>(Cow<'a, [u8]>);

impl Bytes<'_> {
    pub(super) fn all(&self) -> &[u8] {
        &self.0
    }
    pub(super) fn slice(&self, offset: usize, len: usize) -> Option<&[u8]> {
        self.0.get(offset..)?.get(..len)
    }
    pub(super) fn array<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.slice(offset, N)?.try_into().ok()
    }
    pub(super) fn u8(&self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }
    pub(super) fn le16(&self, offset: usize) -> Option<u16> {
        self.slice(offset, 2).map(LittleEndian::read_u16)
    }
    pub(super) fn le32(&self, offset: usize) -> Option<u32> {
        self.slice(offset, 4).map(LittleEndian::read_u32)
    }
    pub(super) fn le64(&self, offset: usize) -> Option<u64> {
        self.slice(offset, 8).map(LittleEndian::read_u64)
    }
    pub(super) fn be16(&self, offset: usize) -> Option<u16> {
        self.slice(offset, 2).map(BigEndian::read_u16)
    }
    pub(super) fn be32(&self, offset: usize) -> Option<u32> {
        self.slice(offset, 4).map(BigEndian::read_u32)
    }
    pub(super) fn be64(&self, offset: usize) -> Option<u64> {
        self.slice(offset, 8).map(BigEndian::read_u64)
    }
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Bytes(Cow::Borrowed(bytes))
    }
}
