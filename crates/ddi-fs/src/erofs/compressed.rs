//! Compressed files: from a position to the extent that covers it, and its bytes.
//!
//! A file is cut into *logical clusters*; an index says for each where in it an extent begins (a *head*), or how far
//! back the head is. An extent is compressed into a *physical cluster* of whole blocks, filled up with zeros at its
//! front; into the rest of the index's block (tail packing); or it is a part of the packed inode (fragments).
//! 48-bit layouts may have a table of extents instead, see [`super::encoded`].

use super::encoded::Table;
use super::extent::{
    ADVISE_FRAGMENT_PCLUSTER, ADVISE_INTERLACED_PCLUSTER, MAX_CLUSTER, MAX_EXTENT, Method, Place, Where,
};
use super::{Erofs, Error, INCOMPAT_ZERO_PADDING, Inode, Layout};
use crate::codec::Codec;
use crate::disk::{Bytes, index, u64_from};

/// Of the packed index. The same bit in the layout of the other one: a table of extents.
const ADVISE_COMPACTED_2B: u16 = 0x1;
const ADVISE_EXTENTS: u16 = 0x1;
const ADVISE_BIG_PCLUSTER_1: u16 = 0x2;
const ADVISE_BIG_PCLUSTER_2: u16 = 0x4;
const ADVISE_INLINE_PCLUSTER: u16 = 0x8;

/// In a distance: it is the number of compressed blocks instead, and the distance is 1.
const CBLKCNT: u32 = 1 << 11;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An uncompressed extent begins here.
    Plain,
    /// An extent of the first algorithm begins here.
    Head1,
    NonHead,
    /// An extent of the second algorithm begins here.
    Head2,
}

impl Kind {
    fn new(bits: u32) -> Self {
        match bits & 3 {
            0 => Kind::Plain,
            1 => Kind::Head1,
            2 => Kind::NonHead,
            _ => Kind::Head2,
        }
    }
}

/// One logical cluster, as the index has it.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    number: u64,
    kind: Kind,
    /// Of a head: where in the cluster its extent begins.
    offset: u32,
    /// Of others: clusters back to the head, and on to the next one (0: unknown).
    back: u32,
    forward: u32,
    /// Number of compressed blocks, where it stands here.
    blocks: Option<u32>,
    /// Of a head: physical address, in blocks.
    address: u64,
    /// Where the index goes on.
    next: u64,
}

/// What is said about a whole compressed file.
struct Map<'a> {
    fs: &'a Erofs,
    inode: &'a Inode,
    advise: u16,
    algorithms: [u8; 2],
    cluster_bits: u32,
    /// The end of the header.
    index: u64,
    /// Fragment offset or size of the inline data.
    low: u32,
}

pub(super) enum Content {
    /// Bytes of the file from `start`.
    Here { start: u64, bytes: Vec<u8> },
    /// Zeros from the position asked for.
    Hole { len: u64 },
    /// The position asked for, in the packed inode, and how much there is from there.
    Fragment { offset: u64, len: u64 },
}

/// What the header of the index says.
enum Header<'a> {
    Clusters(Map<'a>),
    Table(Table<'a>),
    /// The whole file is in the packed inode, from there on.
    Packed(u64),
}

impl Erofs {
    /// The extent that covers `at`, which is inside the file.
    pub(super) fn extent(&self, inode: &Inode, at: u64) -> Result<Content, Error> {
        let Where { start, end, place, method } = self.place(inode, at)?;
        let input = match place {
            Place::Disk { offset, size } => self.disk.data_vec(offset, index(size))?,
            Place::Inline { offset, size } => {
                let mut input = vec![0; size];
                self.metadata(inode.node, offset, &mut input)?;
                input
            }
            Place::Hole => return Ok(Content::Hole { len: end.saturating_sub(at) }),
            Place::Fragment { offset, len } => return Ok(Content::Fragment { offset, len }),
        };
        let bytes = self.decode(method, start, end.saturating_sub(start), &input);
        match bytes? {
            Some(bytes) => Ok(Content::Here { start, bytes }),
            None => Err(Error::corrupt("compressed data", inode.offset)),
        }
    }

    /// The same, without a look at the bytes.
    pub(super) fn place(&self, inode: &Inode, at: u64) -> Result<Where, Error> {
        match self.header(inode)? {
            Header::Clusters(map) => map.place(at),
            Header::Table(table) => table.place(at),
            Header::Packed(start) => packed(inode, start, at),
        }
    }

    /// Decompresses `len` bytes; `None` if `input` does not give them. With deduplication the cluster may hold more: then
    /// these are its first.
    fn decode(&self, method: Method, start: u64, len: u64, input: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let codec = match method {
            Method::Plain => return Ok(input.get(..index(len)).map(<[u8]>::to_vec)),
            Method::Interlaced => return Ok(self.turned(start, index(len), input)),
            Method::Algorithm(0) => Codec::Lz4,
            Method::Algorithm(1) => Codec::MicroLzma,
            Method::Algorithm(2) => Codec::Deflate,
            Method::Algorithm(3) => Codec::Zstd,
            Method::Algorithm(_) => return Err(Error::Unsupported { what: "unknown compression" }),
        };
        let padded = self.feature_incompat & INCOMPAT_ZERO_PADDING != 0 || codec != Codec::Lz4;
        let input = if padded {
            let zeros = input.iter().take_while(|byte| **byte == 0).count();
            input.get(zeros..).unwrap_or_default()
        } else {
            input
        };
        let mut bytes = vec![0; index(len)];
        let done = self.disk.decompress(codec, input, &mut bytes);
        Ok((done == Some(bytes.len())).then_some(bytes))
    }

    /// The end of `input` up to the end of a logical block, then its beginning.
    fn turned(&self, start: u64, len: usize, input: &[u8]) -> Option<Vec<u8>> {
        let right = index(self.block_size().saturating_sub(self.in_block(start)));
        let at_end = input.get(input.len().checked_sub(right)?..)?;
        let first = at_end.get(..right.min(len))?;
        let second = input.get(..len.saturating_sub(first.len()))?;
        Some([first, second].concat())
    }

    /// Size of a logical cluster; that of a block if nobody says.
    pub(super) fn cluster_size(&self, inode: &Inode) -> u64 {
        match self.header(inode) {
            Ok(Header::Clusters(map)) => map.cluster_size().max(1),
            Ok(Header::Table(table)) => table.cluster_size(),
            // the rest is not known
            _ => u64::MAX,
        }
    }

    /// Where header and index are in the metadata's space, and how many bytes they have.
    pub(super) fn index_place(&self, inode: &Inode) -> Result<(u64, u64), Error> {
        let start = header_offset(inode);
        let map = match self.header(inode)? {
            Header::Clusters(map) => map,
            Header::Table(table) => return Ok((start, table.end().saturating_sub(start))),
            Header::Packed(_) => return Ok((start, 8)),
        };
        let clusters = inode.size.div_ceil(map.cluster_size().max(1));
        let end = match inode.layout {
            Layout::CompressedFull => map.index.saturating_add(8).saturating_add(clusters.saturating_mul(8)),
            _ => match clusters.checked_sub(1) {
                Some(last) => map.load_compact(last)?.next,
                None => map.index,
            },
        };
        Ok((start, end.saturating_sub(start)))
    }

    fn header<'a>(&'a self, inode: &'a Inode) -> Result<Header<'a>, Error> {
        let start = header_offset(inode);
        let header = self.metadata_array::<8>(inode.node, start)?;
        let raw = Bytes::new(&header, "compression header", start);
        let cluster_bits = raw.u8(7)?;
        if cluster_bits & 0x80 != 0 {
            return Ok(Header::Packed(raw.le64(0)? & !(1 << 63)));
        }
        let algorithms = raw.u8(6)?;
        let map = Map {
            fs: self,
            inode,
            advise: raw.le16(4)?,
            algorithms: [algorithms & 0xf, algorithms >> 4],
            cluster_bits: self.block_bits.saturating_add(u32::from(cluster_bits & 0xf)),
            index: start.saturating_add(8),
            low: raw.le32(0)?,
        };
        if map.advise & !0x3f != 0 {
            return Err(Error::Unsupported { what: "unknown compression layout" });
        }
        if inode.layout == Layout::CompressedFull && map.advise & ADVISE_EXTENTS != 0 {
            // the count has 48 bits, of which the upper ones are where algorithms and cluster size are else
            let count = u64::from(raw.le16(6)?) << 32 | u64::from(map.low);
            return Ok(Header::Table(Table::new(
                self,
                inode,
                map.advise,
                map.cluster_bits,
                map.index,
                count,
            )));
        }
        if map.cluster_bits > 20 {
            return Err(raw.corrupt());
        }
        Ok(Header::Clusters(map))
    }
}

fn header_offset(inode: &Inode) -> u64 {
    inode.tail.checked_next_multiple_of(8).unwrap_or(u64::MAX)
}

/// A file that is in the packed inode as a whole, from `start` on.
fn packed(inode: &Inode, start: u64, at: u64) -> Result<Where, Error> {
    let offset = start.checked_add(at).ok_or_else(|| Error::corrupt("compression header", inode.tail))?;
    let len = inode.size.saturating_sub(at);
    Ok(Where { start: 0, end: inode.size, place: Place::Fragment { offset, len }, method: Method::Plain })
}

impl Map<'_> {
    fn corrupt(&self) -> Error {
        Error::corrupt("compression index", self.index)
    }

    fn has(&self, advise: u16) -> bool {
        self.advise & advise != 0
    }

    fn cluster_size(&self) -> u64 {
        1_u64.checked_shl(self.cluster_bits).unwrap_or(u64::MAX)
    }

    /// Where logical cluster `number` begins.
    fn shift(&self, number: u64) -> Result<u64, Error> {
        number.checked_mul(self.cluster_size()).ok_or_else(|| self.corrupt())
    }

    fn place(&self, at: u64) -> Result<Where, Error> {
        let (head, start) = self.head(at)?;
        let end = self.end(&head, start)?;
        let len = end.checked_sub(start).filter(|len| *len > 0 && at < end).ok_or_else(|| self.corrupt())?;
        if len > MAX_EXTENT {
            return Err(Error::Unsupported { what: "compressed extent of more than 12 MiB" });
        }
        let [first, second] = self.algorithms;
        let method = match head.kind {
            Kind::Plain if self.has(ADVISE_INTERLACED_PCLUSTER) => Method::Interlaced,
            Kind::Plain => Method::Plain,
            Kind::Head2 => Method::Algorithm(second),
            _ => Method::Algorithm(first),
        };
        let at_place = |place| Ok(Where { start, end, place, method });
        // the last extent may be elsewhere
        if self.has(ADVISE_INLINE_PCLUSTER | ADVISE_FRAGMENT_PCLUSTER) && end >= self.inode.size {
            let last = self.inode.size.saturating_sub(1);
            let tail = self.load(last.checked_shr(self.cluster_bits).unwrap_or(0))?;
            if self.head(last)?.0.number == head.number {
                if self.has(ADVISE_INLINE_PCLUSTER) {
                    let size = usize::from(u16::try_from(self.low >> 16).unwrap_or(0));
                    if self.fs.in_block(tail.next).saturating_add(u64_from(size)) > self.fs.block_size() {
                        return Err(self.corrupt());
                    }
                    return at_place(Place::Inline { offset: tail.next, size });
                }
                let high = if self.inode.layout == Layout::CompressedFull { head.address << 32 } else { 0 };
                let offset = (u64::from(self.low) | high).checked_add(at.saturating_sub(start));
                return at_place(Place::Fragment {
                    offset: offset.ok_or_else(|| self.corrupt())?,
                    len: end.saturating_sub(at),
                });
            }
        }
        let size = u64::from(self.compressed_blocks(&head)?).saturating_mul(self.fs.block_size());
        if size == 0 || size > MAX_CLUSTER {
            return Err(self.corrupt());
        }
        at_place(Place::Disk { offset: self.fs.address(head.address)?, size })
    }

    /// The head of the extent that covers `at`, and where that begins.
    fn head(&self, at: u64) -> Result<(Cluster, u64), Error> {
        let mut cluster = self.load(at.checked_shr(self.cluster_bits).unwrap_or(0))?;
        let within = at & self.cluster_size().saturating_sub(1);
        if cluster.kind != Kind::NonHead && within < cluster.offset.into() {
            // it belongs to what began before
            let before = cluster.number.checked_sub(1).ok_or_else(|| self.corrupt())?;
            cluster = self.load(before)?;
        }
        // each step goes back, and no extent is so long that there are many
        let mut distance: u64 = 0;
        while cluster.kind == Kind::NonHead {
            distance = distance.saturating_add(cluster.back.into());
            let number = cluster.number.checked_sub(cluster.back.into()).filter(|_| cluster.back != 0);
            if self.shift(distance)? > MAX_EXTENT {
                return Err(self.corrupt());
            }
            cluster = self.load(number.ok_or_else(|| self.corrupt())?)?;
        }
        let start = self.shift(cluster.number)?.saturating_add(cluster.offset.into());
        if start > at {
            return Err(self.corrupt());
        }
        Ok((cluster, start))
    }

    /// Where the extent of `head` ends: at the next head, or with the file. What the index says of the distance to that
    /// is not used, for it may leave a head out; but Linux does, so it must not lead elsewhere.
    fn end(&self, head: &Cluster, start: u64) -> Result<u64, Error> {
        let mut number = head.number.saturating_add(1);
        let mut least = number;
        loop {
            let begin = self.shift(number)?;
            if begin >= self.inode.size {
                return Ok(self.inode.size);
            }
            if begin.saturating_sub(start) > MAX_EXTENT {
                return Err(self.corrupt());
            }
            let cluster = self.load(number)?;
            if cluster.kind != Kind::NonHead {
                let end = begin.saturating_add(cluster.offset.into()).min(self.inode.size);
                return if number < least { Err(self.corrupt()) } else { Ok(end) };
            }
            least = least.max(number.saturating_add(cluster.forward.into()));
            number = number.saturating_add(1);
        }
    }

    fn compressed_blocks(&self, head: &Cluster) -> Result<u32, Error> {
        let big = match head.kind {
            Kind::Head1 => self.has(ADVISE_BIG_PCLUSTER_1),
            _ => self.has(ADVISE_BIG_PCLUSTER_2),
        };
        let number = head.number.saturating_add(1);
        if !big || self.shift(number)? >= self.inode.size {
            return Ok(1);
        }
        let next = self.load(number)?;
        match next.kind {
            Kind::NonHead => next.blocks.ok_or_else(|| self.corrupt()),
            _ => 1_u32
                .checked_shl(self.cluster_bits.saturating_sub(self.fs.block_bits))
                .ok_or_else(|| self.corrupt()),
        }
    }

    fn load(&self, number: u64) -> Result<Cluster, Error> {
        match self.inode.layout {
            Layout::CompressedFull => self.load_full(number),
            _ => self.load_compact(number),
        }
    }

    fn load_full(&self, number: u64) -> Result<Cluster, Error> {
        // a second header was there once
        let at = self.index.saturating_add(8).saturating_add(number.saturating_mul(8));
        let bytes = self.fs.metadata_array::<8>(self.inode.node, at)?;
        let raw = Bytes::new(&bytes, "compression index", at);
        let di_advise = raw.le16(0)?;
        let mut cluster = Cluster {
            number,
            kind: Kind::new(di_advise.into()),
            offset: raw.le16(2)?.into(),
            back: 0,
            forward: 0,
            blocks: None,
            address: raw.le32(4)?.into(),
            next: at.saturating_add(8),
        };
        if cluster.kind == Kind::NonHead {
            cluster.back = raw.le16(4)?.into();
            cluster.forward = raw.le16(6)?.into();
            if cluster.back & CBLKCNT != 0 {
                cluster.blocks = Some(cluster.back & !CBLKCNT);
                cluster.back = 1;
            }
        } else if u64::from(cluster.offset) >= self.cluster_size() {
            return Err(raw.corrupt());
        }
        Ok(cluster)
    }

    /// The packed index: groups of 2 entries in 8 bytes or 16 entries in 32 bytes, each ending in the block address
    /// from which those of its heads are counted.
    fn load_compact(&self, number: u64) -> Result<Cluster, Error> {
        let total = self.inode.size.div_ceil(self.cluster_size());
        if number >= total || self.cluster_bits > 14 {
            return Err(self.corrupt());
        }
        // entries of 4 bytes up to the first 32-byte boundary
        let initial = (32_u64.saturating_sub(self.index % 32) / 4) & 7;
        let short = if self.has(ADVISE_COMPACTED_2B) && initial < total {
            total.saturating_sub(initial) & !15
        } else {
            0
        };
        let (skip, before, amortized) = match number.checked_sub(initial) {
            None => (0, number, 4_u64),
            Some(n) if n < short => (initial.saturating_mul(4), n, 2),
            Some(n) => {
                let skip = initial.saturating_mul(4).saturating_add(short.saturating_mul(2));
                (skip, n.saturating_sub(short), 4)
            }
        };
        let position = self.index.saturating_add(skip).saturating_add(before.saturating_mul(amortized));
        let (entries, bits): (u32, u32) = if amortized == 4 { (2, 16) } else { (16, 14) };
        if amortized == 2 && self.cluster_bits > 12 {
            return Err(self.corrupt());
        }
        let group_size = u64::from(entries).saturating_mul(amortized);
        let group_start = position.checked_div(group_size).unwrap_or(0).saturating_mul(group_size);
        let mut group = [0; 36];
        let read = group.get_mut(..index(group_size)).unwrap_or_default();
        self.fs.metadata(self.inode.node, group_start, read)?;
        let raw = Bytes::new(&group, "compression index", group_start);
        let low_bits = self.cluster_bits.max(12);
        let entry = |i: u32| -> Result<(u32, Kind), Error> {
            let bit = i.saturating_mul(bits);
            let value = raw.le32(usize::try_from(bit / 8).unwrap_or(usize::MAX))? >> (bit & 7);
            let low = value & 1_u32.checked_shl(low_bits).unwrap_or(0).wrapping_sub(1);
            Ok((low, Kind::new(value.checked_shr(low_bits).unwrap_or(0))))
        };
        let i = u32::try_from(position.saturating_sub(group_start).checked_div(amortized).unwrap_or(0))
            .unwrap_or(u32::MAX);
        let (low, kind) = entry(i)?;
        let mut cluster = Cluster {
            number,
            kind,
            offset: low,
            back: 0,
            forward: 0,
            blocks: None,
            address: 0,
            next: group_start.saturating_add(group_size),
        };
        let last = i.saturating_add(1) == entries;
        if kind == Kind::NonHead {
            if low & CBLKCNT != 0 {
                cluster.blocks = Some(low & !CBLKCNT);
                cluster.back = 1;
            } else if !last {
                cluster.back = low;
            } else {
                // the last one of a group looks forward; how far back it is follows from the one before it
                cluster.back = match entry(i.saturating_sub(1))? {
                    (before, Kind::NonHead) if before & CBLKCNT != 0 => 2,
                    (before, Kind::NonHead) => before.saturating_add(1),
                    _ => 1,
                };
            }
            cluster.forward = self.forward(&entry, i, entries)?;
            return Ok(cluster);
        }
        let base = raw.le32(index(group_size).saturating_sub(4))?;
        let blocks = self.blocks_before(&entry, i)?;
        cluster.address = u64::from(base.wrapping_add(blocks));
        Ok(cluster)
    }

    /// Clusters from entry `i`, which is no head, to the next head.
    fn forward(
        &self,
        entry: &impl Fn(u32) -> Result<(u32, Kind), Error>,
        mut i: u32,
        entries: u32,
    ) -> Result<u32, Error> {
        let mut forward: u32 = 0;
        let mut low = 0;
        while i < entries {
            let kind;
            (low, kind) = entry(i)?;
            if kind != Kind::NonHead {
                return Ok(forward);
            }
            forward = forward.saturating_add(1);
            i = i.saturating_add(1);
        }
        if low & CBLKCNT == 0 {
            forward = forward.saturating_add(low).saturating_sub(1);
        }
        Ok(forward)
    }

    /// Physical blocks of the heads before entry `i` in its group, and its own first.
    fn blocks_before(
        &self,
        entry: &impl Fn(u32) -> Result<(u32, Kind), Error>,
        i: u32,
    ) -> Result<u32, Error> {
        let mut i = i;
        if !self.has(ADVISE_BIG_PCLUSTER_1) {
            let mut blocks: u32 = 1;
            while let Some(before) = i.checked_sub(1) {
                i = before;
                let (low, kind) = entry(i)?;
                if kind == Kind::NonHead {
                    match i.checked_sub(low) {
                        Some(head) => i = head,
                        None => break,
                    }
                }
                blocks = blocks.saturating_add(1);
            }
            return Ok(blocks);
        }
        let mut blocks: u32 = 0;
        while let Some(before) = i.checked_sub(1) {
            i = before;
            let (low, kind) = entry(i)?;
            if kind == Kind::NonHead {
                if low & CBLKCNT != 0 {
                    blocks = blocks.saturating_add(low & !CBLKCNT);
                    // and past its head
                    i = i.saturating_sub(1);
                    continue;
                }
                if low <= 1 {
                    return Err(self.corrupt());
                }
                // to the entry that has the number of blocks
                match i.checked_sub(low.saturating_sub(2)) {
                    Some(entry) => i = entry,
                    None => break,
                }
                continue;
            }
            blocks = blocks.saturating_add(1);
        }
        Ok(blocks)
    }
}
