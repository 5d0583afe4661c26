//! Where each block of a tree is: arithmetic only.
//!
//! ```text
//! hash source   | superblock | level 2 (top, one block) | level 1 | level 0 (digests of the data blocks) |
//! ```
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

use core::ops::Range;

use crate::error::Error;
use crate::hash::HashType;
use crate::params::{MAX_OFFSET, Params};
use crate::superblock::SUPERBLOCK_SIZE;

/// Where in its source the hash area starts, and whether a superblock comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// A superblock at this offset in bytes (a multiple of 512); the tree from the next whole hash block.
    Superblock(u64),
    /// The tree itself at this offset in bytes (a multiple of the hash block size).
    Bare(u64),
}

/// One level of a tree: contiguous hash blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Of its first block, in bytes from the start of the hash source.
    pub offset: u64,
    /// Number of hash blocks, at least 1.
    pub blocks: u64,
}

/// Where each level of a tree lies, and each digest in its block.
///
/// Only made from parameters with which nothing overflows: each offset fits in 63 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    placement: Placement,
    levels: Vec<Level>,
    tree: Range<u64>,
    data_blocks: u64,
    block_size: u32,
    digests_per_block_bits: u32,
    slot_size: usize,
    digest_size: usize,
}

impl Layout {
    /// The tree of `params` at `placement`.
    ///
    /// # Errors
    /// [`Error::HashOffset`] if it may not start there, [`Error::TreeTooLarge`] if it would end past 2⁶³ − 1.
    pub fn new(params: &Params, placement: Placement) -> Result<Self, Error> {
        let block_size = u64::from(params.hash_block_size());
        let start = match placement {
            Placement::Superblock(offset) if !offset.is_multiple_of(512) => {
                return Err(Error::HashOffset { offset, multiple: 512 });
            }
            Placement::Superblock(offset) => offset
                .checked_add(512)
                .and_then(|end| end.checked_next_multiple_of(block_size))
                .ok_or(Error::TreeTooLarge)?,
            Placement::Bare(offset) if !offset.is_multiple_of(block_size) => {
                return Err(Error::HashOffset { offset, multiple: params.hash_block_size() });
            }
            Placement::Bare(offset) => offset,
        };

        let digest_size = params.digest_size();
        // 2^floor(log2(B / s)), at least 2 by the rules of `Params`
        let bits = usize::try_from(params.hash_block_size())
            .ok()
            .and_then(|size| size.checked_div(digest_size))
            .and_then(usize::checked_ilog2)
            .filter(|&bits| bits > 0)
            .ok_or(Error::DigestTooLarge { digest_size, hash_block_size: params.hash_block_size() })?;
        let mut blocks_of = Vec::new();
        let mut blocks = params.data_blocks();
        while blocks > 1 {
            blocks = blocks.div_ceil(1 << bits);
            blocks_of.push(blocks);
        }

        // the top level is first on disk, level 0 last
        let mut levels = Vec::with_capacity(blocks_of.len());
        let mut end = start;
        for &blocks in blocks_of.iter().rev() {
            levels.push(Level { offset: end, blocks });
            end = blocks
                .checked_mul(block_size)
                .and_then(|size| end.checked_add(size))
                .filter(|&end| end <= MAX_OFFSET)
                .ok_or(Error::TreeTooLarge)?;
        }
        levels.reverse();
        if end > MAX_OFFSET {
            return Err(Error::TreeTooLarge);
        }

        let slot_size = match params.hash_type() {
            HashType::ChromeOs => digest_size,
            HashType::Normal => digest_size.next_power_of_two(),
        };
        Ok(Layout {
            placement,
            levels,
            tree: start..end,
            data_blocks: params.data_blocks(),
            block_size: params.hash_block_size(),
            digests_per_block_bits: bits,
            slot_size,
            digest_size,
        })
    }

    /// As given.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The levels, level 0 (the digests of the data blocks) first; empty for a single data block, whose digest is the
    /// root hash.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The tree in bytes of the hash source, without the superblock; empty if there are no levels.
    pub fn tree(&self) -> Range<u64> {
        self.tree.clone()
    }

    /// All that the hash area takes in bytes of its source: superblock, the rest of its block, tree.
    pub fn hash_area(&self) -> Range<u64> {
        let start = match self.placement {
            Placement::Superblock(offset) | Placement::Bare(offset) => offset,
        };
        start..self.tree.end
    }

    /// The least size in bytes of a hash source that holds everything that is read: as
    /// [`hash_area`](Self::hash_area), but nothing behind the superblock if there are no levels.
    pub fn least_size(&self) -> u64 {
        match self.placement {
            Placement::Superblock(offset) if self.levels.is_empty() => {
                offset.saturating_add(u64::try_from(SUPERBLOCK_SIZE).unwrap_or(u64::MAX))
            }
            Placement::Bare(_) if self.levels.is_empty() => 0,
            _ => self.tree.end,
        }
    }

    /// Number of hash blocks of all levels.
    pub fn hash_blocks(&self) -> u64 {
        // bounded by the size of the tree
        self.levels.iter().fold(0, |sum, level| sum.saturating_add(level.blocks))
    }

    /// How many digests a full hash block holds: a power of two from 2 up.
    pub fn digests_per_block(&self) -> usize {
        1 << self.digests_per_block_bits
    }

    /// Bytes from the start of one digest to the next in a hash block.
    pub fn slot_size(&self) -> usize {
        self.slot_size
    }

    /// Size of a hash block in bytes.
    pub fn block_size(&self) -> usize {
        usize::try_from(self.block_size).unwrap_or(usize::MAX)
    }

    /// Size of a digest in bytes.
    pub fn digest_size(&self) -> usize {
        self.digest_size
    }

    /// Which block one level up holds the digest of `block`, and in which slot.
    pub fn parent(&self, block: u64) -> (u64, usize) {
        let slot = block & (1_u64 << self.digests_per_block_bits).saturating_sub(1);
        (block >> self.digests_per_block_bits, usize::try_from(slot).unwrap_or(usize::MAX))
    }

    /// How many blocks have their digests in `level`: data blocks for level 0, else the hash blocks of the level
    /// below. 0 for a level that does not exist.
    pub fn children(&self, level: usize) -> u64 {
        match level.checked_sub(1) {
            _ if level >= self.levels.len() => 0,
            None => self.data_blocks,
            Some(below) => self.levels.get(below).map_or(0, |level| level.blocks),
        }
    }

    /// The blocks whose digests are in hash block `block` of `level`: data blocks for level 0, else hash blocks of
    /// the level below.
    pub fn children_of(&self, level: usize, block: u64) -> Range<u64> {
        let children = self.children(level);
        let per_block = 1_u64 << self.digests_per_block_bits;
        let first = block.saturating_mul(per_block).min(children);
        first..first.saturating_add(per_block).min(children)
    }

    /// Offset in bytes of hash block `block` of `level` in the hash source; `None` if there is no such block.
    pub fn block_offset(&self, level: usize, block: u64) -> Option<u64> {
        let level = self.levels.get(level)?;
        (block < level.blocks)
            .then(|| level.offset.saturating_add(block.saturating_mul(u64::from(self.block_size))))
    }

    /// The bytes of hash block `block` of which digest `slot` consists.
    pub fn slot(&self, slot: usize) -> Range<usize> {
        let start = slot.saturating_mul(self.slot_size);
        start..start.saturating_add(self.digest_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Algorithm;
    use crate::params::Salt;

    fn layout(
        (hash_type, algorithm): (HashType, Algorithm),
        block_size: u32,
        data_blocks: u64,
        placement: Placement,
    ) -> Result<Layout, Error> {
        let params = Params::new(hash_type, algorithm, 512, block_size, data_blocks, Salt::EMPTY).unwrap();
        Layout::new(&params, placement)
    }
    const SHA256: (HashType, Algorithm) = (HashType::Normal, Algorithm::Sha256);

    #[test]
    fn top_level_is_first_on_disk() {
        let layout = layout(SHA256, 4096, 16385, Placement::Superblock(0)).unwrap();
        let level = |blocks_before: u64, blocks| Level { offset: blocks_before * 4096, blocks };
        assert_eq!(layout.levels(), [level(4, 129), level(2, 2), level(1, 1)]);
        assert_eq!(layout.tree(), 4096..133 * 4096);
        assert_eq!(layout.hash_area(), 0..133 * 4096);
        assert_eq!(layout.hash_blocks(), 132);
        assert_eq!(layout.block_offset(0, 128), Some(132 * 4096));
        assert_eq!(layout.block_offset(0, 129), None);
        assert_eq!(layout.block_offset(3, 0), None);
        assert_eq!(layout.children_of(0, 128), 16384..16385);
        assert_eq!(layout.children_of(2, 0), 0..2);
        assert_eq!(layout.parent(16384), (128, 0));
    }

    #[test]
    fn blocks_around_each_power() {
        for (data_blocks, levels) in [
            (1, &[][..]),
            (2, &[1]),
            (127, &[1]),
            (128, &[1]),
            (129, &[2, 1]),
            (16383, &[128, 1]),
            (16384, &[128, 1]),
            (16385, &[129, 2, 1]),
            (128 * 16384, &[16384, 128, 1]),
            (128 * 16384 + 1, &[16385, 129, 2, 1]),
        ] {
            let layout = layout(SHA256, 4096, data_blocks, Placement::Bare(0)).unwrap();
            assert_eq!(layout.levels().iter().map(|l| l.blocks).collect::<Vec<_>>(), levels);
        }
    }

    #[test]
    fn slots_of_each_type() {
        use Algorithm::*;
        use HashType::*;
        for (hash_type, algorithm, per_block, slot_size) in [
            (Normal, Sha1, 128, 32),
            (ChromeOs, Sha1, 128, 20),
            (Normal, Sha256, 128, 32),
            (ChromeOs, Sha256, 128, 32),
            (Normal, Sha384, 64, 64),
            (ChromeOs, Sha384, 64, 48),
            (Normal, Sha512, 64, 64),
        ] {
            let layout = layout((hash_type, algorithm), 4096, 300, Placement::Bare(0)).unwrap();
            assert_eq!((layout.digests_per_block(), layout.slot_size()), (per_block, slot_size));
            assert_eq!(layout.slot(2), 2 * slot_size..2 * slot_size + algorithm.digest_size());
        }
    }

    #[test]
    fn start_of_the_tree() {
        for (placement, start) in [
            (Placement::Superblock(0), 4096),
            (Placement::Superblock(3584), 4096),
            (Placement::Superblock(4096), 8192),
            (Placement::Superblock(512), 4096),
            (Placement::Superblock(4608), 8192),
            (Placement::Bare(0), 0),
            (Placement::Bare(8192), 8192),
        ] {
            assert_eq!(layout(SHA256, 4096, 2, placement).unwrap().tree(), start..start + 4096);
        }
        for (placement, multiple) in [(Placement::Superblock(100), 512), (Placement::Bare(512), 4096)] {
            let error = layout(SHA256, 4096, 2, placement).unwrap_err();
            assert!(matches!(error, Error::HashOffset { multiple: m, .. } if m == multiple));
        }
    }

    #[test]
    fn single_block_has_no_levels() {
        let layout = layout(SHA256, 4096, 1, Placement::Superblock(0)).unwrap();
        assert_eq!((layout.levels(), layout.tree(), layout.least_size()), (&[][..], 4096..4096, 512));
        assert_eq!(layout.children(0), 0);
    }

    #[test]
    fn overflow_is_an_error() {
        let max = (1 << 54) - 1;
        // the data alone just fits, its tree (1/15 of it) still does
        assert!(layout(SHA256, 512, max, Placement::Superblock(0)).is_ok());
        for placement in [
            Placement::Superblock(u64::MAX - 511),
            Placement::Superblock(u64::MAX - 1023),
            Placement::Bare(u64::MAX - 511),
            Placement::Superblock((1 << 63) - 512),
            Placement::Bare(1 << 63),
            Placement::Bare((1 << 63) - 512),
        ] {
            for data_blocks in [1, 2, max] {
                match layout(SHA256, 512, data_blocks, placement) {
                    Ok(layout) => assert!(layout.tree().end < 1 << 63 && data_blocks == 1),
                    Err(error) => assert!(matches!(error, Error::TreeTooLarge), "{error}"),
                }
            }
        }
    }

    #[test]
    fn smallest_blocks_with_the_largest_digest() {
        let params = ((HashType::Normal, Algorithm::Sha512), 512, (1 << 54) - 1);
        let layout = layout(params.0, params.1, params.2, Placement::Bare(0)).unwrap();
        assert_eq!((layout.digests_per_block(), layout.levels().len()), (8, 18));
    }

    #[test]
    fn sizes_and_parents() {
        let params = |data_blocks| {
            Params::new(HashType::Normal, Algorithm::Sha384, 4096, 8192, data_blocks, Salt::EMPTY).unwrap()
        };
        let layout = Layout::new(&params(1000), Placement::Bare(0)).unwrap();
        assert_eq!((layout.block_size(), layout.digest_size(), layout.slot_size()), (8192, 48, 64));
        assert_eq!(layout.digests_per_block(), 128);
        for (block, parent) in [(0, (0, 0)), (127, (0, 127)), (128, (1, 0)), (300, (2, 44)), (999, (7, 103))]
        {
            assert_eq!(layout.parent(block), parent);
        }
    }

    #[test]
    fn least_sizes() {
        let least = |data_blocks, placement| {
            let params =
                Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, data_blocks, Salt::EMPTY);
            Layout::new(&params.unwrap(), placement).unwrap().least_size()
        };
        for (data_blocks, placement, expected) in [
            (1, Placement::Superblock(0), 512),
            (1, Placement::Superblock(8192), 8704),
            (1, Placement::Bare(8192), 0),
            (2, Placement::Superblock(0), 8192),
            (2, Placement::Superblock(8192), 16384),
            (2, Placement::Bare(8192), 12288),
        ] {
            assert_eq!(least(data_blocks, placement), expected, "{data_blocks} {placement:?}");
        }
    }
}
