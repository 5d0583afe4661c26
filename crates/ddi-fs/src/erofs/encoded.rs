//! Compressed files with a table of extents, which Linux calls encoded extents: 48-bit layouts have them.
//!
//! ```text
//!   bytes of a record   4             8               16                          32
//!   what it has         length        length, place   length, place, start        the same, and room
//!   extents             equally long                  of any length
//! ```
//!
//! The length is that on the disk, with the method in its upper bits; a place is a byte and not a block. With records of
//! 4 bytes the extents lie in a row, and the place of the first one stands before the table.

use std::sync::PoisonError;

use super::extent::{
    ADVISE_FRAGMENT_PCLUSTER, ADVISE_INTERLACED_PCLUSTER, MAX_CLUSTER, MAX_EXTENT, Method, Place, Where,
};
use super::{Erofs, Error, Inode, Node};
use crate::disk::{Bytes, index, u64_from};

/// Of a record's length: the number of bytes, the first bit of the method, and what is left of it.
const LENGTH: u32 = (2 << 20) - 1;
const METHOD_BIT: u32 = 28;

/// Records of 4 bytes from one sum that is kept to the next; and the most that are added up, 64 million.
const STEP: u64 = 512;
const MAX_SUMMED: u64 = 64 << 20;

/// Files whose sums are kept: the metabox, the packed inode, and the one that is read.
const SUMMED_FILES: usize = 4;

/// Places of the extents of a file whose table has lengths only: of every [`STEP`]th, as far as was looked.
#[derive(Debug)]
pub(super) struct Sums {
    node: Node,
    places: Vec<u64>,
}

#[cfg(test)]
impl Sums {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

/// The table of a file.
pub(super) struct Table<'a> {
    fs: &'a Erofs,
    inode: &'a Inode,
    advise: u16,
    /// Of extents that are equally long: log₂ of their size.
    cluster_bits: u32,
    /// In the metadata's space.
    offset: u64,
    /// Bytes of a record.
    record: u64,
    /// Records, where that is not a matter of the file's size.
    count: u64,
}

/// One extent, as the table has it.
struct Record {
    /// In the file.
    start: u64,
    end: u64,
    length: u32,
    place: u64,
    is_last: bool,
}

impl<'a> Table<'a> {
    /// `header_end` is in the metadata's space.
    pub(super) fn new(
        fs: &'a Erofs,
        inode: &'a Inode,
        advise: u16,
        cluster_bits: u32,
        header_end: u64,
        count: u64,
    ) -> Self {
        let record = 4_u64 << (advise >> 1 & 3);
        let offset = header_end.checked_next_multiple_of(record).unwrap_or(u64::MAX);
        Table { fs, inode, advise, cluster_bits, offset, record, count }
    }

    fn corrupt(&self) -> Error {
        Error::corrupt("compression index", self.offset)
    }

    /// Size of an extent, where they are equally long; else the rest is not known.
    pub(super) fn cluster_size(&self) -> u64 {
        match self.record {
            4 | 8 => 1 << self.cluster_bits.min(63),
            _ => u64::MAX,
        }
    }

    /// Where the table ends.
    pub(super) fn end(&self) -> u64 {
        let (before, count) = match self.record {
            4 => (8, self.inode.size.div_ceil(self.cluster_size())),
            8 => (0, self.inode.size.div_ceil(self.cluster_size())),
            _ => (0, self.count),
        };
        count.saturating_mul(self.record).saturating_add(before).saturating_add(self.offset)
    }

    /// The extent that covers `at`, which is inside the file.
    pub(super) fn place(&self, at: u64) -> Result<Where, Error> {
        let record = match self.record {
            4 | 8 => self.nth(at >> self.cluster_bits.min(63))?,
            _ => self.search(at)?,
        };
        let Record { start, end, length, place, is_last } = record;
        if !(start..end).contains(&at) {
            return Err(self.corrupt());
        }
        let has = |advise| self.advise & advise != 0;
        let at_place = |place, method| Ok(Where { start, end, place, method });
        if is_last && has(ADVISE_FRAGMENT_PCLUSTER) {
            let high = if self.record > 4 { place << 32 } else { 0 };
            let offset = (high | u64::from(length)).checked_add(at.saturating_sub(start));
            let offset = offset.ok_or_else(|| self.corrupt())?;
            let len = end.saturating_sub(at);
            return at_place(Place::Fragment { offset, len }, Method::Plain);
        }
        let size = u64::from(length & LENGTH);
        if size == 0 {
            return at_place(Place::Hole, Method::Plain);
        }
        if end.saturating_sub(start) > MAX_EXTENT {
            return Err(Error::Unsupported { what: "compressed extent of more than 12 MiB" });
        }
        if size > MAX_CLUSTER {
            return Err(Error::Unsupported { what: "compressed cluster of more than 1 MiB" });
        }
        let method = match u8::try_from(length >> METHOD_BIT).unwrap_or(u8::MAX).checked_sub(1) {
            Some(algorithm) => Method::Algorithm(algorithm),
            None if has(ADVISE_INTERLACED_PCLUSTER) && self.fs.in_block(place | size) == 0 => {
                Method::Interlaced
            }
            None => Method::Plain,
        };
        at_place(Place::Disk { offset: place, size }, method)
    }

    /// Of extents that are equally long.
    fn nth(&self, number: u64) -> Result<Record, Error> {
        let start = number.checked_mul(self.cluster_size()).ok_or_else(|| self.corrupt())?;
        let end = start.saturating_add(self.cluster_size());
        let (length, place) = if self.record == 4 {
            self.in_a_row(number)?
        } else {
            let bytes = self.bytes::<8>(number)?;
            let raw = Bytes::new(&bytes, "compression index", self.offset);
            (raw.le32(0)?, raw.le32(4)?.into())
        };
        let is_last = end >= self.inode.size;
        Ok(Record { start, end: end.min(self.inode.size), length, place, is_last })
    }

    /// Length and place of an extent whose place is the sum of the lengths before it. Each length is added once for all
    /// looks into the same file, and not once for each.
    fn in_a_row(&self, number: u64) -> Result<(u32, u64), Error> {
        if number >= MAX_SUMMED {
            return Err(Error::Unsupported { what: "table of more than 64 million lengths" });
        }
        let node = self.inode.node;
        let step = index(number.checked_div(STEP).unwrap_or(0));
        let mut all = self.fs.sums.lock().unwrap_or_else(PoisonError::into_inner);
        // taken out: what follows may read the metabox, and so come back to here
        let known = all.iter().position(|sums| sums.node == node).map(|i| all.remove(i));
        drop(all);
        let mut places = known.map(|sums| sums.places).unwrap_or_default();
        let found = self.sum_up(number, step, &mut places);
        let mut all = self.fs.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SUMMED_FILES {
            all.remove(0);
        }
        all.push(Sums { node, places });
        found
    }

    fn sum_up(&self, number: u64, step: usize, places: &mut Vec<u64>) -> Result<(u32, u64), Error> {
        if places.is_empty() {
            places.push(u64::from_le_bytes(self.fs.metadata_array(self.inode.node, self.offset)?));
        }
        let first = self.offset.saturating_add(8);
        let mut block = vec![0; index(STEP.saturating_mul(4))];
        loop {
            let at = places.len().saturating_sub(1).min(step);
            let mut place = places.get(at).copied().unwrap_or(0);
            let begin = u64_from(at).saturating_mul(STEP);
            let count = number.saturating_sub(begin).saturating_add(1).min(STEP);
            let lengths = block.get_mut(..index(count.saturating_mul(4))).unwrap_or_default();
            self.fs.metadata(self.inode.node, first.saturating_add(begin.saturating_mul(4)), lengths)?;
            let lengths = lengths.as_chunks().0.iter().map(|length| u32::from_le_bytes(*length));
            let mut last = 0;
            for (length, i) in lengths.zip(begin..) {
                last = length;
                if i < number {
                    place = place.saturating_add(u64::from(length & LENGTH));
                }
            }
            if at == step {
                return Ok((last, place));
            }
            places.push(place);
        }
    }

    /// Of extents of any length: the last one that begins at `at` or before.
    fn search(&self, at: u64) -> Result<Record, Error> {
        let (mut low, mut high) = (0, self.count);
        let mut found = None;
        let mut end = self.inode.size;
        while low < high {
            let middle = low.midpoint(high);
            let bytes = self.bytes::<20>(middle)?;
            let raw = Bytes::new(&bytes, "compression index", self.offset);
            let word = |at: usize| Ok::<_, Error>(u64::from(raw.le32(at)?));
            let large = if self.record > 16 { word(16)? << 32 } else { 0 };
            let start = large | word(12)?;
            if start > at {
                if start > end {
                    return Err(self.corrupt());
                }
                (high, end) = (middle, start);
            } else {
                low = middle.saturating_add(1);
                found = Some((start, raw.le32(0)?, word(8)? << 32 | word(4)?));
            }
        }
        // a file that does not begin with an extent
        let (start, length, place) = found.ok_or_else(|| self.corrupt())?;
        Ok(Record { start, end, length, place, is_last: low >= self.count })
    }

    /// The first bytes of a record.
    fn bytes<const N: usize>(&self, number: u64) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        let len = N.min(index(self.record));
        let offset = number.checked_mul(self.record).and_then(|at| at.checked_add(self.offset));
        let offset = offset.ok_or_else(|| self.corrupt())?;
        self.fs.metadata(self.inode.node, offset, bytes.get_mut(..len).unwrap_or_default())?;
        Ok(bytes)
    }
}
