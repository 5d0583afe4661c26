//! Block sizes, block addresses and byte ranges: the only place where LBAs become bytes.

use core::fmt;

/// The size of a logical block (sector): the unit of every address in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockSize {
    /// 512 bytes: nearly every image.
    B512,
    /// 1024 bytes.
    B1024,
    /// 2048 bytes.
    B2048,
    /// 4096 bytes: "4K native" disks.
    B4096,
}

impl BlockSize {
    /// All of them, ascending: the sizes that systemd looks for.
    pub const ALL: [Self; 4] = [Self::B512, Self::B1024, Self::B2048, Self::B4096];

    /// The size in bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::B512 => 512,
            Self::B1024 => 1024,
            Self::B2048 => 2048,
            Self::B4096 => 4096,
        }
    }

    /// The block size of that many bytes, if it is one of the four.
    pub const fn from_bytes(bytes: u32) -> Option<Self> {
        match bytes {
            512 => Some(Self::B512),
            1024 => Some(Self::B1024),
            2048 => Some(Self::B2048),
            4096 => Some(Self::B4096),
            _ => None,
        }
    }

    /// How many whole blocks fit into `bytes`.
    pub const fn whole_blocks(self, bytes: u64) -> u64 {
        match self {
            Self::B512 => bytes / 512,
            Self::B1024 => bytes / 1024,
            Self::B2048 => bytes / 2048,
            Self::B4096 => bytes / 4096,
        }
    }

    /// How many blocks are needed to hold `bytes`.
    pub const fn blocks_for(self, bytes: u64) -> u64 {
        match self {
            Self::B512 => bytes.div_ceil(512),
            Self::B1024 => bytes.div_ceil(1024),
            Self::B2048 => bytes.div_ceil(2048),
            Self::B4096 => bytes.div_ceil(4096),
        }
    }

    /// The byte offset of a block; `None` past 2⁶⁴.
    pub fn offset(self, lba: Lba) -> Option<u64> {
        lba.0.checked_mul(u64::from(self.bytes()))
    }

    /// The bytes of a range of blocks; `None` if the range is inverted or ends past 2⁶⁴ − 1.
    pub fn byte_range(self, lbas: LbaRange) -> Option<ByteRange> {
        let offset = self.offset(lbas.first)?;
        let size = lbas.blocks()?.checked_mul(u64::from(self.bytes()))?;
        offset.checked_add(size)?;
        Some(ByteRange { offset, size })
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(f)
    }
}

/// A block address, in units of the [`BlockSize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lba(pub u64);

impl fmt::Display for Lba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of blocks, **both ends included**, as GPT stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LbaRange {
    /// The first block.
    pub first: Lba,
    /// The last block, which belongs to the range.
    pub last: Lba,
}

impl LbaRange {
    /// The range from `first` to `last`, both included.
    pub const fn new(first: u64, last: u64) -> Self {
        Self { first: Lba(first), last: Lba(last) }
    }

    /// One block.
    pub const fn one(lba: Lba) -> Self {
        Self { first: lba, last: lba }
    }

    /// `blocks` blocks from `first` on; `None` for no blocks or an end past 2⁶⁴ − 1.
    pub fn with_blocks(first: u64, blocks: u64) -> Option<Self> {
        Some(Self::new(first, first.checked_add(blocks.checked_sub(1)?)?))
    }

    /// How many blocks; `None` if the range is inverted or has 2⁶⁴ blocks.
    pub fn blocks(&self) -> Option<u64> {
        self.last.0.checked_sub(self.first.0)?.checked_add(1)
    }

    /// True if the last block is before the first.
    pub fn is_inverted(&self) -> bool {
        self.last < self.first
    }

    /// True if the block is in the range.
    pub fn contains(&self, lba: Lba) -> bool {
        self.first <= lba && lba <= self.last
    }

    /// True if the two share a block.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for LbaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.first, self.last)
    }
}

/// A range of bytes of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// Where it starts, in bytes from the start of the disk.
    pub offset: u64,
    /// How long it is, in bytes.
    pub size: u64,
}

impl ByteRange {
    /// The first byte after the range. Ranges that this crate hands out never end past 2⁶⁴ − 1; for others the sum saturates.
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.offset, self.end())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn nothing_wraps_at_the_top() {
        let max = u64::MAX;
        assert_eq!(LbaRange::new(0, max).blocks(), None);
        assert_eq!(LbaRange::new(1, max).blocks(), Some(max));
        assert_eq!(LbaRange::new(1, 0).blocks(), None);
        assert_eq!(LbaRange::with_blocks(max, 1), Some(LbaRange::new(max, max)));
        assert_eq!(LbaRange::with_blocks(max, 2), None);
        assert_eq!(LbaRange::with_blocks(5, 0), None);
        for size in BlockSize::ALL {
            let bytes = u64::from(size.bytes());
            let last = max / bytes;
            assert_eq!(size.offset(Lba(last)), Some(last * bytes));
            assert_eq!(size.offset(Lba(last + 1)), None);
            assert_eq!(size.byte_range(LbaRange::new(last, last)), None, "ends at 2^64");
            assert_eq!(
                size.byte_range(LbaRange::new(last - 1, last - 1)),
                Some(ByteRange { offset: (last - 1) * bytes, size: bytes })
            );
            assert_eq!(size.byte_range(LbaRange::new(1 << 63, max)), None);
            assert_eq!(size.byte_range(LbaRange::new(2, 1)), None);
            assert_eq!(size.whole_blocks(max), last);
            assert_eq!(size.blocks_for(max), last + 1);
            assert_eq!(BlockSize::from_bytes(size.bytes()), Some(size));
        }
        assert_eq!(BlockSize::from_bytes(8192), None);
    }

    #[test]
    fn ranges_include_both_ends() {
        let range = LbaRange::new(10, 19);
        assert_eq!(range.blocks(), Some(10));
        assert!(range.contains(Lba(10)) && range.contains(Lba(19)) && !range.contains(Lba(20)));
        assert!(range.overlaps(&LbaRange::new(19, 30)) && range.overlaps(&LbaRange::new(0, 10)));
        assert!(!range.overlaps(&LbaRange::new(20, 30)) && !range.overlaps(&LbaRange::new(0, 9)));
        assert_eq!(BlockSize::B4096.byte_range(range), Some(ByteRange { offset: 40960, size: 40960 }));
    }

    #[test]
    fn as_text() {
        assert_eq!(BlockSize::B4096.to_string(), "4096");
        assert_eq!(Lba(34).to_string(), "34");
        assert_eq!(LbaRange::new(34, 40).to_string(), "34..=40");
        assert_eq!(ByteRange { offset: 512, size: 1024 }.to_string(), "512..1536");
    }
}
