//! A tree brought up to date after some of its data has changed.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Storage};
use crate::hash::RootHash;
use crate::options::Options;
use crate::parallel::{self, Control};
use crate::tree::{Feed, HashTree, Work, batch, read, spare_is_zero};
use ddi_io::{Pipeline, PipelineError, ReadAt, WriteAt};

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Updated {
    /// Of the new tree.
    pub root_hash: RootHash,
    /// Number of data blocks that were hashed.
    pub data_blocks: u64,
    /// Number of hash blocks that were written.
    pub hash_blocks: u64,
}

impl HashTree {
    /// Brings the tree in `hash` up to date after the data blocks `changed` (any order, overlaps allowed) have been
    /// written, and returns the new root hash. Work and reads are in proportion to the blocks that changed and the levels,
    /// memory to the hash blocks above level 0 that change (at 4 KiB, 1/16256 of the data). Blocks of level 0 and the data below
    /// them are read, hashed and written by as many threads as there are, which are its own.
    ///
    /// `new` writes to what `old` reads. Each hash block on the way from the root to a changed block must be what
    /// `old_root` says; then nothing but these is rewritten. That all else in the data is unchanged is the caller's
    /// word: a change that is not named is found by the next check.
    ///
    /// Not atomic: if it is cut short after it has begun to write, neither root hash fits the tree. With a superblock in
    /// front, invalidate that first and write it again last. Without levels there is no old tree to compare with: the root hash is
    /// that of the one block, and if nothing changed it must be the old one.
    ///
    /// # Errors
    /// [`Error::BlockMismatch`] or [`Error::SpareNotZero`] if the old tree is not as `old_root` says; then nothing was
    /// written. [`Error::BlockRange`], [`Error::TooShort`], [`Error::RootHashSize`], [`Error::ReadOnlyAlgorithm`],
    /// [`Error::Io`], [`Error::Cancelled`], [`Error::Worker`].
    pub fn update(
        &self,
        data: &dyn ReadAt,
        old: &dyn ReadAt,
        new: &dyn WriteAt,
        old_root: &RootHash,
        changed: &[Range<u64>],
        options: &Options<'_>,
    ) -> Result<Updated, Error> {
        self.check_may_build(options)?;
        self.check_root_size(old_root)?;
        self.check_size(Storage::Data, data.size())?;
        self.check_size(Storage::Hash, old.size())?;
        let changed = merge(changed, self.params().data_blocks())?;
        let data_blocks = changed.iter().map(|range| range.end - range.start).sum();
        if self.layout().levels().is_empty() {
            let root_hash = self.root_hash(data, options)?;
            // the one block is what the root hash is of: if nobody changed it, it must be that
            if changed.is_empty() && root_hash != *old_root {
                return Err(Error::BlockMismatch { level: None, block: 0 });
            }
            return Ok(Updated { root_hash, data_blocks, hash_blocks: 0 });
        }

        let changed_bytes = data_blocks * u64::from(self.params().data_block_size());
        let control = Control::new(options, changed_bytes);
        let workers = parallel::workers(options, changed_bytes);
        let work = Work::new(self, &options.threads(workers));
        // here and now, but where a panic of a source is caught
        let update = parallel::run(
            &control,
            1,
            1,
            || (),
            |(), _| Ok(Update::prove_above(&work, old, old_root, &changed)?),
        )?;
        let update = update.into_iter().next().ok_or(Error::Worker)?;
        update.prove_lowest(workers, old, &control)?;
        if !changed.is_empty() {
            update.rewrite_lowest(workers, data, old, new, &changed, &control)?;
            parallel::run(&control, 1, 1, || (), |(), _| Ok(update.rewrite_above(new)?))?;
        }
        let state = update.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Updated { root_hash: state.root, data_blocks, hash_blocks: state.written })
    }
}

/// Sorted, disjoint and not adjacent.
fn merge(ranges: &[Range<u64>], data_blocks: u64) -> Result<Vec<Range<u64>>, Error> {
    let mut sorted: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        if range.end > data_blocks {
            return Err(Error::BlockRange { block: range.start.max(data_blocks), data_blocks });
        }
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    Ok(merged)
}

/// The hash blocks whose digests change with those of `children`.
fn parents(work: &Work<'_>, children: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut parents: Vec<Range<u64>> = Vec::new();
    for range in children {
        let (first, last) = (work.layout().parent(range.start).0, work.layout().parent(range.end - 1).0);
        match parents.last_mut() {
            Some(previous) if first <= previous.end => previous.end = last + 1,
            _ => parents.push(first..last + 1),
        }
    }
    parents
}

struct Update<'a> {
    work: &'a Work<'a>,
    /// The hash blocks that change, by level.
    affected: Vec<Vec<Range<u64>>>,
    state: Mutex<State>,
}

struct State {
    /// The hash blocks that change above level 0, proven, and later their new content.
    blocks: Vec<BTreeMap<u64, Vec<u8>>>,
    root: RootHash,
    written: u64,
}

impl State {
    /// What is said of a hash block by its parent, or by the root hash.
    fn expected(&self, work: &Work<'_>, level: usize, number: u64) -> Option<&[u8]> {
        let layout = work.layout();
        let (parent, slot) = layout.parent(number);
        match self.blocks.get(level + 1) {
            None => Some(self.root.as_bytes()),
            Some(above) => above.get(&parent).map(|block| &block[layout.slot(slot)]),
        }
    }

    /// A hash block was written; now its parent says this of it.
    fn wrote(&mut self, work: &Work<'_>, level: usize, number: u64, digest: &[u8]) -> Result<(), Error> {
        let layout = work.layout();
        self.written += 1;
        let (parent, slot) = layout.parent(number);
        match self.blocks.get_mut(level + 1) {
            None => self.root = RootHash::from_bytes(digest).map_err(|_| Error::Worker)?,
            Some(above) => {
                let parent = above.get_mut(&parent).ok_or(Error::Worker)?;
                parent[layout.slot(slot)].copy_from_slice(digest);
            }
        }
        Ok(())
    }
}

/// Some neighbouring hash blocks of one level, as one thread has them.
struct Piece<'a> {
    work: &'a Work<'a>,
    level: usize,
    numbers: Range<u64>,
    blocks: Vec<u8>,
    digests: Vec<u8>,
    /// What the parents say the digests are.
    expected: Vec<u8>,
}

impl<'a> Piece<'a> {
    fn new(work: &'a Work<'a>, level: usize) -> Self {
        Piece { work, level, numbers: 0..0, blocks: Vec::new(), digests: Vec::new(), expected: Vec::new() }
    }

    fn begin(&mut self, numbers: Range<u64>, state: &State) -> Result<(), Error> {
        self.expected.clear();
        for number in numbers.clone() {
            let expected = state.expected(self.work, self.level, number).ok_or(Error::Worker)?;
            self.expected.extend_from_slice(expected);
        }
        self.numbers = numbers;
        Ok(())
    }

    fn hash(&mut self) {
        let (block_size, digest_size) = (self.work.layout().block_size(), self.work.layout().digest_size());
        self.digests.resize(self.blocks.len() / block_size * digest_size, 0);
        self.work.hash(Some(self.level), &self.blocks, block_size, &mut self.digests, digest_size);
    }

    fn offset(&self) -> Result<u64, Error> {
        self.work.layout().block_offset(self.level, self.numbers.start).ok_or(Error::TreeTooLarge)
    }

    /// Reads the blocks and compares them with what their parents say, which is proven.
    fn read(&mut self, old: &dyn ReadAt) -> Result<(), Error> {
        let (level, layout) = (self.level, self.work.layout());
        let (block_size, digest_size) = (layout.block_size(), layout.digest_size());
        self.blocks.resize((self.numbers.end - self.numbers.start) as usize * block_size, 0);
        read(old, Storage::Hash, self.offset()?, &mut self.blocks)?;
        self.hash();
        let digests = self.digests.chunks_exact(digest_size).zip(self.expected.chunks_exact(digest_size));
        let blocks = self.blocks.chunks_exact(block_size);
        for ((block, bytes), (digest, expected)) in self.numbers.clone().zip(blocks).zip(digests) {
            if digest != expected {
                return Err(Error::BlockMismatch { level: Some(level), block });
            }
            let children = layout.children_of(level, block);
            if !spare_is_zero(layout, bytes, (children.end - children.start) as usize) {
                return Err(Error::SpareNotZero { level, block });
            }
        }
        Ok(())
    }

    /// Hashes the blocks as they are now, and writes them.
    fn write(&mut self, new: &dyn WriteAt) -> Result<(), Error> {
        self.hash();
        let offset = self.offset()?;
        new.write_all_at(offset, &self.blocks).map_err(|error| Error::Io {
            storage: Storage::Hash,
            offset,
            error,
        })
    }

    /// Each block's number and digest.
    fn hashed(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.numbers.clone().zip(self.digests.chunks_exact(self.work.layout().digest_size()))
    }
}

/// The ranges in pieces of at most `most`.
fn pieces(ranges: &[Range<u64>], most: u64) -> impl Iterator<Item = Range<u64>> {
    ranges.iter().flat_map(move |range| {
        range
            .clone()
            .step_by(most as usize)
            .map(move |start| start..start.saturating_add(most).min(range.end))
    })
}

fn ended(outcome: Result<(), PipelineError<Error>>) -> Result<(), Error> {
    outcome.map_err(|error| match error {
        PipelineError::Failed(error) => error,
        PipelineError::Panicked => Error::Worker,
    })
}

fn unless_cancelled(control: &Control<'_>) -> Result<(), Error> {
    if control.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}

impl<'a> Update<'a> {
    /// Reads, proves and keeps all hash blocks above level 0 that will change.
    fn prove_above(
        work: &'a Work<'a>,
        old: &dyn ReadAt,
        root: &RootHash,
        changed: &[Range<u64>],
    ) -> Result<Self, Error> {
        let levels = work.layout().levels().len();
        let mut affected = Vec::new();
        let mut children = changed.to_vec();
        for _ in 0..levels {
            children = parents(work, &children);
            affected.push(children.clone());
        }
        // the top is looked at even if nothing changed
        affected[levels - 1] = vec![Range { start: 0, end: 1 }];
        let mut state = State { blocks: vec![BTreeMap::new(); levels], root: *root, written: 0 };
        for level in (1..levels).rev() {
            let mut piece = Piece::new(work, level);
            for number in affected[level].iter().cloned().flatten() {
                piece.begin(number..number + 1, &state)?;
                piece.read(old)?;
                state.blocks[level].insert(number, piece.blocks.clone());
            }
        }
        Ok(Update { work, affected, state: Mutex::new(state) })
    }

    /// Reads and proves all hash blocks of level 0 that will change. After that, something is written.
    fn prove_lowest(&self, workers: usize, old: &dyn ReadAt, control: &Control<'_>) -> Result<(), Error> {
        let mut pieces = pieces(&self.affected[0], batch(self.work.layout()) as u64);
        ended(Pipeline::new(workers).run(
            || Piece::new(self.work, 0),
            |piece| {
                unless_cancelled(control)?;
                self.next(&mut pieces, piece)
            },
            |piece| piece.read(old),
            |()| Ok(true),
        ))
    }

    fn next(
        &self,
        pieces: &mut dyn Iterator<Item = Range<u64>>,
        piece: &mut Piece<'_>,
    ) -> Result<bool, Error> {
        let Some(numbers) = pieces.next() else { return Ok(false) };
        piece.begin(numbers, &self.state.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(true)
    }

    /// Hashes the changed data and writes the hash blocks of level 0 that it changes.
    fn rewrite_lowest(
        &self,
        workers: usize,
        data: &dyn ReadAt,
        old: &dyn ReadAt,
        new: &dyn WriteAt,
        changed: &[Range<u64>],
        control: &Control<'_>,
    ) -> Result<(), Error> {
        let (work, layout) = (self.work, self.work.layout());
        let data_block_size = u64::from(work.data_block_size());
        let mut pieces = pieces(&self.affected[0], work.claim());
        ended(Pipeline::new(workers).run(
            || (Piece::new(work, 0), Feed::new(work, data, None)),
            |(piece, _)| {
                unless_cancelled(control)?;
                self.next(&mut pieces, piece)
            },
            |(piece, feed)| {
                // proven a moment ago, but this is another copy, and the other digests in it stay
                piece.read(old)?;
                let mut hashed = Vec::new();
                for (number, block) in
                    piece.numbers.clone().zip(piece.blocks.chunks_exact_mut(layout.block_size()))
                {
                    let children = layout.children_of(0, number);
                    let first = changed.partition_point(|range| range.end <= children.start);
                    for range in changed[first..].iter().take_while(|range| range.start < children.end) {
                        let now = range.start.max(children.start)..range.end.min(children.end);
                        feed.digests(now.clone(), block, (now.start - children.start) as usize)?;
                        hashed.push((now.end - now.start) * data_block_size);
                    }
                }
                piece.write(new)?;
                let digests: Vec<_> =
                    piece.hashed().map(|(number, digest)| (number, digest.to_vec())).collect();
                Ok((digests, hashed))
            },
            |(digests, hashed)| {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                for (number, digest) in digests {
                    state.wrote(work, 0, number, &digest)?;
                }
                drop(state);
                hashed.into_iter().for_each(|bytes| control.advance(bytes));
                Ok(true)
            },
        ))
    }

    /// Writes the hash blocks above level 0.
    fn rewrite_above(&self, new: &dyn WriteAt) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for level in 1..state.blocks.len() {
            let mut piece = Piece::new(self.work, level);
            for (number, block) in core::mem::take(&mut state.blocks[level]) {
                (piece.numbers, piece.blocks) = (number..number + 1, block);
                piece.write(new)?;
                for (number, digest) in piece.hashed() {
                    state.wrote(self.work, level, number, digest)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges they are")]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::hash::{Algorithm, HashType};
    use crate::params::Params;
    use crate::tree::model::{Example, SHA256, kinds, shapes};

    /// Memory that is read and written, and counts both in blocks of 512 bytes.
    #[derive(Default)]
    struct Memory(Mutex<Vec<u8>>, Mutex<u64>);
    impl ReadAt for Memory {
        fn size(&self) -> u64 {
            self.0.lock().unwrap().len() as u64
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            *self.1.lock().unwrap() += (buf.len() / 512) as u64;
            self.0.lock().unwrap().read_exact_at(offset, buf)
        }
    }

    /// Changes the blocks, updates, and compares with a tree made from scratch.
    fn check(example: &mut Example, changed: &[Range<u64>]) -> Updated {
        let size = example.tree.params().data_block_size() as usize;
        for block in changed.iter().cloned().flatten() {
            example.data[block as usize * size + 3] ^= 0x55;
        }
        let hash = Memory(Mutex::new(example.hash.clone()), Mutex::default());
        let options = Options::new().allow_sha1(true);
        let updated =
            example.tree.update(&example.data, &hash, &hash.0, &example.root, changed, &options).unwrap();
        let fresh = Example::of(*example.tree.params(), example.data.clone());
        assert_eq!(updated.root_hash, fresh.root);
        example.hash = hash.0.into_inner().unwrap();
        assert!(example.hash == fresh.hash);
        example.root = fresh.root;
        updated
    }

    #[test]
    fn only_what_changed_is_hashed_again() {
        let mut example = Example::new(SHA256, 512, 512, 5000, b"s");
        assert_eq!(example.tree.layout().levels().len(), 4);
        for (changed, data_blocks, hash_blocks) in [
            (vec![0..1], 1, 4),
            (vec![4999..5000], 1, 4),
            (vec![15..17], 2, 5),
            (vec![17..18, 3..5, 4..7], 5, 5),
            (vec![0..256], 256, 16 + 3),
            // apart, but in one hash block; and at either end, with nothing between them touched
            (vec![1..2, 5..6], 2, 4),
            (vec![0..1, 4999..5000], 2, 4 + 3),
            (vec![], 0, 0),
            (vec![7..7], 0, 0),
            (vec![0..5000], 5000, 313 + 20 + 2 + 1),
        ] {
            // a block that is named twice is changed back here
            let unique: Vec<_> = merge(&changed, 5000).unwrap();
            let updated = check(&mut example, &unique);
            assert_eq!((updated.data_blocks, updated.hash_blocks), (data_blocks, hash_blocks));
            let hash = Memory(Mutex::new(example.hash.clone()), Mutex::default());
            let options = Options::new();
            let again = example
                .tree
                .update(&example.data, &hash, &hash.0, &example.root, &changed, &options)
                .unwrap();
            assert_eq!(again.root_hash, example.root);
            assert!(*hash.1.lock().unwrap() <= 2 * hash_blocks + 1);
        }
    }

    #[test]
    fn all_kinds_of_trees() {
        use {Algorithm::*, HashType::*};
        for mut example in [
            Example::new(SHA256, 512, 512, 1, b"s"),
            Example::new(SHA256, 512, 512, 2, b"s"),
            Example::new(SHA256, 1024, 4096, 300, b"s"),
            Example::new((ChromeOs, Sha384), 512, 512, 300, b"s"),
            Example::new((Normal, Sha1), 512, 512, 300, b"s"),
            Example::new((Normal, Sha512), 4096, 512, 100, b"s"),
        ] {
            let n = example.tree.params().data_blocks();
            check(&mut example, &[0..1]);
            check(&mut example, &[n - 1..n]);
            check(&mut example, &[0..n]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn equals_a_tree_made_from_scratch(
            shape in shapes(),
            n in 1_u64..700,
            ranges in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..100), 0..10),
        ) {
            let mut example = shape.example(n);
            let ranges = ranges.iter().map(|(start, len)| {
                let start = start.index(n as usize) as u64;
                start..(start + len).min(n)
            });
            check(&mut example, &merge(&ranges.collect::<Vec<_>>(), n).unwrap());
        }
    }

    /// What the old root hash vouches for, but is not what it must be: a digest with one bit changed, of each algorithm in each
    /// level, and junk in each spare byte.
    #[test]
    fn d6_d2_the_old_tree_is_compared_to_the_last_bit() {
        for kind in kinds() {
            let n = if kind.1.digest_size() > 32 { 65 } else { 257 };
            let good = Example::new(kind, 512, 512, n, b"pepper");
            let layout = good.tree.layout().clone();
            let update = |example: &Example, changed: u64| {
                let memory = Memory(Mutex::new(example.hash.clone()), Mutex::default());
                let options = Options::new().allow_sha1(true);
                let changed = [changed..changed + 1];
                let result =
                    example.tree.update(&example.data, &memory, &memory.0, &example.root, &changed, &options);
                assert!(memory.0.into_inner().unwrap() == example.hash, "written to");
                result.unwrap_err()
            };
            for bit in 0..8 * kind.1.digest_size() {
                let flip = |bytes: &mut [u8]| bytes[bit / 8] ^= 1 << (bit % 8);
                for level in 1..3 {
                    let forged = Example::with(*good.tree.params(), good.data.clone(), |l, number, bytes| {
                        if (l, number) == (level, 0) {
                            flip(&mut bytes[layout.slot(1)]);
                        }
                    });
                    let first = (layout.digests_per_block() as u64).pow(level as u32);
                    let error = update(&forged, first);
                    assert!(
                        matches!(error, Error::BlockMismatch { level: Some(l), block: 1 } if l + 1 == level),
                        "{kind:?} level {level} bit {bit}: {error}"
                    );
                }
                let mut root = good.root.as_bytes().to_vec();
                flip(&mut root);
                let other = Example { root: RootHash::from_bytes(&root).unwrap(), ..good.clone() };
                assert!(matches!(update(&other, 0), Error::BlockMismatch { level: Some(2), block: 0 }));
            }
            let last = layout.levels()[0].blocks - 1;
            for at in layout.slot(0).end..512 {
                let junk = Example::with(*good.tree.params(), good.data.clone(), |level, number, bytes| {
                    if (level, number) == (0, last) {
                        bytes[at] = 1;
                    }
                });
                let error = update(&junk, n - 1);
                assert!(
                    matches!(error, Error::SpareNotZero { level: 0, block } if block == last),
                    "{kind:?} byte {at}: {error}"
                );
            }
        }
    }

    #[test]
    fn an_old_tree_that_does_not_match_is_refused_untouched() {
        let mut example = Example::new(SHA256, 512, 512, 5000, b"s");
        // so that whatever is written is something new
        example.data[300 * 512..310 * 512].fill(0x55);
        let example = example;
        let layout = example.tree.layout().clone();
        let update = |hash: Vec<u8>, root: &RootHash| {
            let memory = Memory(Mutex::new(hash.clone()), Mutex::default());
            let changed = [300..310];
            let error =
                example.tree.update(&example.data, &memory, &memory.0, root, &changed, &Options::new());
            assert!(memory.0.into_inner().unwrap() == hash, "written to");
            error.unwrap_err()
        };
        for (level, block) in [(0, 18), (0, 19), (1, 1), (2, 0), (3, 0)] {
            let mut hash = example.hash.clone();
            hash[layout.block_offset(level, block).unwrap() as usize + 500] ^= 1;
            let error = update(hash, &example.root);
            assert!(
                matches!(error, Error::BlockMismatch { level: Some(l), block: b } if (l, b) == (level, block)),
                "{error}"
            );
        }
        let other = RootHash::from_bytes(&[1; 32]).unwrap();
        let error = update(example.hash.clone(), &other);
        assert!(matches!(error, Error::BlockMismatch { level: Some(3), block: 0 }), "{error}");
    }

    /// The root hash that comes back is one that was looked at, be there something to do or not.
    #[test]
    fn the_old_tree_is_looked_at_even_if_nothing_changed() {
        for blocks in [3, 20, 5000] {
            let example = Example::new(SHA256, 512, 512, blocks, b"s");
            let memory = Memory(Mutex::new(example.hash.clone()), Mutex::default());
            let update = |old: &dyn ReadAt, root: &RootHash, changed: &[Range<u64>]| {
                example.tree.update(&example.data, old, &memory.0, root, changed, &Options::new())
            };
            let updated = update(&memory, &example.root, &[]).unwrap();
            assert_eq!((updated.root_hash, updated.data_blocks, updated.hash_blocks), (example.root, 0, 0));
            let top = example.tree.layout().levels().len() - 1;
            let other = RootHash::from_bytes(&[1; 32]).unwrap();
            let error = update(&memory, &other, &[]).unwrap_err();
            assert!(
                matches!(error, Error::BlockMismatch { level: Some(l), block: 0 } if l == top),
                "{error}"
            );
            // one that is too short is called that, wherever its end is
            let needed = example.hash.len();
            let short = example.hash[..needed - 1].to_vec();
            for changed in [&[][..], &[0..1]] {
                let error = update(&short, &example.root, changed).unwrap_err();
                assert!(matches!(error, Error::TooShort { storage: Storage::Hash, .. }), "{error}");
            }
        }
        // without levels the root hash is that of the data, and there is nothing to write
        let example = Example::new(SHA256, 512, 512, 1, b"s");
        let update = |changed: &[Range<u64>], root: &RootHash| {
            let nothing = Mutex::new(Vec::new());
            example.tree.update(&example.data, &Vec::new(), &nothing, root, changed, &Options::new())
        };
        let other = RootHash::from_bytes(&[1; 32]).unwrap();
        for (changed, given) in [(&[0..1][..], &other), (&[0..1], &example.root), (&[], &example.root)] {
            let updated = update(changed, given).unwrap();
            assert_eq!((updated.root_hash, updated.hash_blocks), (example.root, 0));
        }
        let error = update(&[], &other).unwrap_err();
        assert!(matches!(error, Error::BlockMismatch { level: None, block: 0 }), "{error}");
    }

    #[test]
    fn junk_in_spare_slots_is_not_carried_on() {
        let mut example = Example::new(SHA256, 512, 512, 3, b"s");
        example.hash[511] = 1;
        let root = example.tree.claimed_root_hash(&example.hash).unwrap().unwrap();
        let memory = Memory(Mutex::new(example.hash), Mutex::default());
        let changed = [0..1];
        let error = example.tree.update(&example.data, &memory, &memory.0, &root, &changed, &Options::new());
        assert!(matches!(error, Err(Error::SpareNotZero { level: 0, block: 0 })));
    }

    #[test]
    fn blocks_that_do_not_exist() {
        let example = Example::new(SHA256, 512, 512, 20, b"s");
        let memory = Memory(Mutex::new(example.hash.clone()), Mutex::default());
        for range in [19..21, 20..21, 5..u64::MAX] {
            let changed = [range];
            let error = example.tree.update(
                &example.data,
                &memory,
                &memory.0,
                &example.root,
                &changed,
                &Options::new(),
            );
            assert!(matches!(error, Err(Error::BlockRange { block: 20, data_blocks: 20 })));
        }
        let sha1 =
            Params::new(HashType::Normal, Algorithm::Sha1, 512, 512, 20, *example.tree.params().salt());
        let sha1 = Example::of(sha1.unwrap(), example.data);
        let error = sha1.tree.update(&sha1.data, &sha1.hash, &memory.0, &sha1.root, &[], &Options::new());
        assert!(matches!(error, Err(Error::ReadOnlyAlgorithm { .. })));
    }

    /// The same tree, counts and progress with any number of threads; of several damages, the same one is named.
    #[test]
    fn x4_the_number_of_threads_is_not_seen() {
        let mut example = Example::new(SHA256, 4096, 4096, 6000, b"s");
        let changed = [0..1, 100..2500, 3000..3001, 3100..5999];
        for block in changed.iter().cloned().flatten() {
            example.data[block as usize * 4096 + 3] ^= 0x55;
        }
        let fresh = Example::of(*example.tree.params(), example.data.clone());
        let block = |number| example.tree.layout().block_offset(0, number).unwrap() as usize + 77;
        for damage in [vec![], vec![block(46)], vec![block(20), block(3), block(40)]] {
            let mut old = example.hash.clone();
            damage.iter().for_each(|at| old[*at] ^= 1);
            let run = |threads: usize| {
                let seen = Mutex::new(Vec::new());
                let progress = |done, total| seen.lock().unwrap().push((done, total));
                let options = Options::new().threads(threads).progress(&progress);
                let memory = Memory(Mutex::new(old.clone()), Mutex::default());
                let outcome = example
                    .tree
                    .update(&example.data, &memory, &memory.0, &example.root, &changed, &options)
                    .map_err(|error| error.to_string());
                (outcome, memory.0.into_inner().unwrap(), seen.into_inner().unwrap())
            };
            let one = run(1);
            match &one.0 {
                Ok(updated) => {
                    assert!(updated.root_hash == fresh.root && one.1 == fresh.hash && damage.is_empty());
                }
                Err(_) => assert!(one.1 == old && !damage.is_empty(), "written to"),
            }
            for threads in [2, 5] {
                assert!(run(threads) == one, "{threads}: {:?}", one.0);
            }
        }
    }

    #[test]
    fn progress_counts_what_changed() {
        let example = Example::new(SHA256, 512, 512, 5000, b"s");
        let seen = Mutex::new(Vec::new());
        let progress = |done, total| seen.lock().unwrap().push((done, total));
        let hash = Mutex::new(example.hash.clone());
        let changed = [1..2, 5..8, 400..500];
        let options = Options::new().progress(&progress);
        example.tree.update(&example.data, &example.hash, &hash, &example.root, &changed, &options).unwrap();
        let seen = seen.into_inner().unwrap();
        let total = (1 + 3 + 100) * 512;
        assert!(seen.iter().all(|(_, t)| *t == total) && seen.is_sorted_by(|a, b| a.0 < b.0), "{seen:?}");
        assert_eq!((seen[0].0, seen.last().unwrap().0), (512, total));
    }
}
