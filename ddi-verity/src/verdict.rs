//! What a check found: [`Verdict`].

use core::ops::Range;

/// Most ranges that a [`BlockRanges`] keeps. The count goes on.
pub const MAX_RANGES: usize = 1024;

/// Some blocks, by number: how many exactly, and the first of them as ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockRanges {
    ranges: Vec<Range<u64>>,
    count: u64,
    truncated: bool,
}

impl BlockRanges {
    /// How many blocks, also if not all ranges were kept.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns true if there are no blocks.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// In ascending order, not empty, neither overlapping nor adjacent; at most [`MAX_RANGES`].
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Returns true if there are more ranges than were kept.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The lowest block.
    pub fn first(&self) -> Option<u64> {
        self.ranges.first().map(|range| range.start)
    }

    /// Adds blocks that lie behind all others.
    pub(crate) fn push(&mut self, range: Range<u64>) {
        self.count += range.end - range.start;
        self.append_range(range);
    }

    /// Adds blocks that lie behind all others.
    pub(crate) fn append(&mut self, other: BlockRanges) {
        self.count += other.count;
        for range in other.ranges {
            self.append_range(range);
        }
        self.truncated |= other.truncated;
    }

    fn append_range(&mut self, range: Range<u64>) {
        if self.truncated || range.is_empty() {
            return;
        }
        let full = self.ranges.len() == MAX_RANGES;
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if full => self.truncated = true,
            _ => self.ranges.push(range),
        }
    }
}

/// What was found in one level of hash blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LevelVerdict {
    /// How many blocks hash up to the root.
    pub proven: u64,
    /// Blocks that do not match a digest that is proven.
    pub corrupt: BlockRanges,
    /// Blocks of whose digests nothing is proven.
    pub unproven: BlockRanges,
    /// Proven blocks that hold something in unused slots or padding, where zeros must be.
    pub spare: BlockRanges,
}

/// The outcome of a check of data and tree against a root hash.
///
/// A block is *proven* if it hashes to a digest in a proven hash block, and so up to the root hash; *corrupt* if it does
/// not; *unproven* if the hash block that holds its digest is itself not proven, so that nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Number of data blocks there are.
    pub data_blocks: u64,
    /// Number of hash blocks there are.
    pub hash_blocks: u64,
    /// Number of data blocks that are proven.
    pub proven_data: u64,
    /// Data blocks that do not match a digest that is proven.
    pub corrupt_data: BlockRanges,
    /// Data blocks of whose digests nothing is proven. They were not read.
    pub unproven_data: BlockRanges,
    /// By level, level 0 (the digests of the data blocks) first.
    pub levels: Vec<LevelVerdict>,
    /// True if the check came to its end, rather than stopping at the first finding.
    pub is_complete: bool,
}

impl Verdict {
    /// Returns true if every block of data and tree is proven, and every spare byte of the tree is zero.
    pub fn is_proven(&self) -> bool {
        let all_hash_blocks = self.levels.iter().try_fold(0_u64, |sum, level| sum.checked_add(level.proven));
        // the blocks that are proven are counted: nothing is proven by not having been found bad
        self.is_complete
            && self.proven_data == self.data_blocks
            && all_hash_blocks == Some(self.hash_blocks)
            && self.is_clean()
    }

    /// Returns true if the top of the tree is what the root hash says. If it is not, the root hash is that of something
    /// else, or the top block is damaged; nothing below can be judged.
    pub fn root_matches(&self) -> bool {
        match self.levels.last() {
            Some(top) => top.proven > 0,
            None => self.proven_data > 0,
        }
    }

    /// Nothing was found so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.corrupt_data.is_empty()
            && self.unproven_data.is_empty()
            && self
                .levels
                .iter()
                .all(|level| level.corrupt.is_empty() && level.unproven.is_empty() && level.spare.is_empty())
    }

    /// Nothing checked yet.
    pub(crate) fn new(data_blocks: u64, hash_blocks: u64, levels: usize) -> Self {
        Verdict {
            data_blocks,
            hash_blocks,
            proven_data: 0,
            corrupt_data: BlockRanges::default(),
            unproven_data: BlockRanges::default(),
            levels: vec![LevelVerdict::default(); levels],
            is_complete: true,
        }
    }

    /// Adds what was found in a later part of the image.
    pub(crate) fn append(&mut self, part: Verdict) {
        self.proven_data += part.proven_data;
        self.corrupt_data.append(part.corrupt_data);
        self.unproven_data.append(part.unproven_data);
        for (level, part) in self.levels.iter_mut().zip(part.levels) {
            level.proven += part.proven;
            level.corrupt.append(part.corrupt);
            level.unproven.append(part.unproven);
            level.spare.append(part.spare);
        }
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges, and some have one")]
mod tests {
    use super::*;

    fn ranges(list: &[Range<u64>]) -> BlockRanges {
        let mut ranges = BlockRanges::default();
        list.iter().for_each(|range| ranges.push(range.clone()));
        ranges
    }

    #[test]
    fn adjacent_blocks_are_one_range() {
        let found = ranges(&[0..1, 1..3, 4..5]);
        assert_eq!((found.ranges(), found.count(), found.first()), (&[0..3, 4..5][..], 4, Some(0)));
    }

    #[test]
    fn the_count_goes_on_when_ranges_do_not() {
        let all: Vec<_> = (0..2000).map(|i| 2 * i..2 * i + 1).collect();
        let found = ranges(&all);
        assert_eq!((found.ranges(), found.count(), found.is_truncated()), (&all[..MAX_RANGES], 2000, true));
        assert!(!ranges(&all[..MAX_RANGES]).is_truncated());
    }

    #[test]
    fn parts_add_up_to_the_whole_wherever_they_are_cut() {
        // single blocks and long runs, more than are kept
        let all: Vec<_> =
            (0..1200).map(|i| if i % 7 == 0 { 5 * i..5 * i + 5 } else { 5 * i..5 * i + 3 }).collect();
        let whole = ranges(&all);
        for cut in [1, 500, 1000, 1024, 1025, 1199] {
            let mut parts = ranges(&all[..cut]);
            parts.append(ranges(&all[cut..]));
            assert_eq!(parts, whole);
            // within a run
            let Range { start, end } = all[cut];
            let mut parts = ranges(&all[..cut]);
            parts.push(start..start + 1);
            let mut rest = BlockRanges::default();
            rest.push(start + 1..end);
            rest.append(ranges(&all[cut + 1..]));
            parts.append(rest);
            assert_eq!(parts, whole);
        }
    }

    #[test]
    fn proven_needs_positive_evidence() {
        let mut verdict = Verdict::new(10, 1, 1);
        assert!(!verdict.is_proven());
        verdict.proven_data = 10;
        assert!(!verdict.is_proven());
        verdict.levels[0].proven = 1;
        assert!(verdict.is_proven() && verdict.root_matches());
        verdict.is_complete = false;
        assert!(!verdict.is_proven());
    }

    #[test]
    fn ranges_that_are_empty_or_full() {
        assert!(BlockRanges::default().is_empty() && !ranges(&[3..4]).is_empty());
        assert_eq!((BlockRanges::default().first(), ranges(&[3..4, 7..9]).first()), (None, Some(3)));
        let empty = ranges(&[3..3]);
        assert!(empty.is_empty() && empty.ranges().is_empty());
        // what comes behind a truncated list is counted, and does not lengthen its last range
        let mut found = ranges(&(0..=1024).map(|i| 2 * i..2 * i + 1).collect::<Vec<_>>());
        let kept = found.ranges().to_vec();
        found.push(2047..2048);
        assert_eq!((found.ranges(), found.count(), found.is_truncated()), (&kept[..], 1026, true));
    }

    /// Each list by itself keeps a verdict from being clean, and so from being proven.
    #[test]
    fn one_bad_block_anywhere_is_enough() {
        type List = fn(&mut Verdict) -> &mut BlockRanges;
        let lists: [List; 5] = [
            |verdict| &mut verdict.corrupt_data,
            |verdict| &mut verdict.unproven_data,
            |verdict| &mut verdict.levels[0].corrupt,
            |verdict| &mut verdict.levels[0].unproven,
            |verdict| &mut verdict.levels[1].spare,
        ];
        let mut good = Verdict::new(10, 2, 2);
        good.proven_data = 10;
        good.levels[0].proven = 1;
        good.levels[1].proven = 1;
        assert!(good.is_proven() && good.is_clean());
        for list in lists {
            let mut verdict = good.clone();
            list(&mut verdict).push(0..1);
            assert!(!verdict.is_clean() && !verdict.is_proven());
        }
    }

    #[test]
    fn the_root_matches_if_what_it_names_is_proven() {
        let mut verdict = Verdict::new(10, 1, 1);
        verdict.proven_data = 10;
        assert!(!verdict.root_matches());
        verdict.levels[0].proven = 1;
        assert!(verdict.root_matches());
        // a single block is what the root hash names
        let mut verdict = Verdict::new(1, 0, 0);
        assert!(!verdict.root_matches());
        verdict.proven_data = 1;
        assert!(verdict.root_matches());
    }

    #[test]
    fn parts_of_a_verdict_add_up() {
        let mut whole = Verdict::new(10, 1, 1);
        for i in 0..3 {
            let mut part = Verdict::new(10, 1, 1);
            part.proven_data = 2;
            part.levels[0].proven = 3;
            part.corrupt_data.push(i..i + 1);
            part.unproven_data.push(i + 5..i + 6);
            part.levels[0].spare.push(2 * i..2 * i + 1);
            whole.append(part);
        }
        assert_eq!((whole.proven_data, whole.levels[0].proven), (6, 9));
        assert_eq!((whole.corrupt_data.ranges(), whole.unproven_data.ranges()), (&[0..3][..], &[5..8][..]));
        assert_eq!(whole.levels[0].spare.ranges(), [0..1, 2..3, 4..5]);
    }
}
