//! Data and tree against a root hash.
//!
//! Top-down: a hash block is judged when its parent is, by the digest that the parent holds. The upper levels come first
//! and leave their digests in memory; then each thread takes parts of the data, loads the hash blocks on the way down to
//! each claim as it comes to them, and compares the digests of the data with those of the claim's hash blocks. So a
//! block is read once, judged at once, and the judgement is final.

use core::ops::Range;

use crate::error::{Error, Storage};
use crate::geometry::CheckedTree;
use crate::hash::RootHash;
use crate::options::Options;
use crate::parallel::{self, Control, Halt};
use crate::tree::{Buffers, Feed, Handle, HashTree, Work, batch, clear_tail, read, spare_is_zero};
use crate::verdict::{LevelVerdict, Verdict};
use ddi_io::ReadAt;

impl CheckedTree {
    /// Checks `data` and the tree in `hash` against `root`.
    ///
    /// Upper hash levels first, from the root down; then data and the lower levels in one pass, each against digests that
    /// are already proven. Every block is read once at most, and what is judged is the copy that was read: if the
    /// storage changes meanwhile, a verdict of *proven* is true of bytes that were read, together.
    ///
    /// # Errors
    /// A block that does not match is no error, see [`Verdict`]. [`Error::RootHashSize`], [`Error::TooShort`],
    /// [`Error::Io`], [`Error::Cancelled`], [`Error::Worker`].
    pub fn verify(
        &self,
        data: &dyn ReadAt,
        hash: &dyn ReadAt,
        root: &RootHash,
        options: &Options<'_>,
    ) -> Result<Verdict, Error> {
        verify(self.tree(), data, hash, root, options)
    }
}

pub(super) fn verify(
    tree: &HashTree,
    data: &dyn ReadAt,
    hash: &dyn ReadAt,
    root: &RootHash,
    options: &Options<'_>,
) -> Result<Verdict, Error> {
    tree.check_root_size(root)?;
    tree.check_size(Storage::Data, data.size())?;
    tree.check_size(Storage::Hash, hash.size())?;
    let control = Control::new(options, tree.params.data_size());
    if tree.layout.levels().is_empty() {
        let fill = |block: &mut [u8]| read(data, Storage::Data, 0, block);
        return single_block(tree, &fill, root, &control, options);
    }

    let work = Work::new(tree, options);
    let mut verdict = nothing_yet(tree);
    // on this thread, but where a panic of the source is caught
    let (top, findings) = parallel::run(&control, 1, 1, || (), |(), _| Ok(Top::prove(&work, hash, root)?))?
        .pop()
        .ok_or(Error::Worker)?;
    verdict.append(findings);
    if options.stop_at_first && !verdict.is_clean() {
        verdict.is_complete = false;
        return Ok(verdict);
    }

    let mut memory = work.memory();
    let buffers = Buffers::new(&mut memory);
    let parts = parallel::run(
        &control,
        work.workers,
        work.parts,
        || Checker::new(&work, data, &buffers, hash, &top),
        |checker, part| checker.part(part, &control, options.stop_at_first),
    )?;
    let all = parts.len() == work.parts;
    for part in parts {
        verdict.append(part);
    }
    verdict.is_complete = all && (verdict.is_clean() || !options.stop_at_first);
    Ok(verdict)
}

pub(super) fn nothing_yet(tree: &HashTree) -> Verdict {
    Verdict::new(tree.params.data_blocks(), tree.layout.hash_blocks(), tree.layout.levels().len())
}

/// Without levels the root hash is the digest of the block.
pub(super) fn single_block(
    tree: &HashTree,
    fill: &(dyn Fn(&mut [u8]) -> Result<(), Error> + Sync),
    root: &RootHash,
    control: &Control<'_>,
    options: &Options<'_>,
) -> Result<Verdict, Error> {
    let size = tree.params.data_block_size() as usize;
    let outcome = parallel::run(
        control,
        1,
        1,
        || vec![0; size],
        |block, _| {
            fill(block)?;
            control.advance(size as u64);
            let mut verdict = nothing_yet(tree);
            if tree.hasher(options).hash_block(block).as_bytes() == root.as_bytes() {
                verdict.proven_data = 1;
            } else {
                verdict.corrupt_data.push(0..1);
            }
            Ok(verdict)
        },
    )?;
    outcome.into_iter().next().ok_or(Error::Worker)
}

/// What a hash block, or the root hash, says of the blocks below it.
pub(super) struct Expected<'a> {
    /// True if the block itself is proven.
    proven: bool,
    /// Nothing if it is not.
    pub(super) digest: &'a [u8],
}

/// Some hash blocks of one level, as read, and whether each is proven.
pub(super) struct Window {
    /// Number of the first.
    first: u64,
    blocks: Vec<u8>,
    proven: Vec<bool>,
    /// Of the blocks, as they are.
    digests: Vec<u8>,
}

impl Window {
    fn new() -> Self {
        Window { first: u64::MAX, blocks: Vec::new(), proven: Vec::new(), digests: Vec::new() }
    }

    /// Reads the blocks and judges each by what is expected of it.
    fn load<'e>(
        &mut self,
        work: &Work<'_>,
        hash: &dyn ReadAt,
        level: usize,
        range: Range<u64>,
        expected: impl Fn(u64) -> Expected<'e>,
        findings: &mut LevelVerdict,
    ) -> Result<(), Error> {
        let layout = work.layout();
        let (block_size, digest_size) = (layout.block_size(), layout.digest_size());
        let count = (range.end - range.start) as usize;
        self.first = range.start;
        self.proven.clear();
        // nothing says what they should be, so they are not even read
        if !range.clone().any(|block| expected(block).proven) {
            self.proven.resize(count, false);
            findings.unproven.push(range);
            return Ok(());
        }

        self.blocks.resize(count * block_size, 0);
        let offset = layout.block_offset(level, range.start).ok_or(Error::TreeTooLarge)?;
        read(hash, Storage::Hash, offset, &mut self.blocks)?;
        self.digests.resize(count * digest_size, 0);
        work.hash(Some(level), &self.blocks, block_size, &mut self.digests, digest_size);
        let blocks = self.blocks.chunks_exact(block_size).zip(self.digests.chunks_exact(digest_size));
        for (number, (block, digest)) in range.zip(blocks) {
            let expected = expected(number);
            let is_proven = expected.proven && digest == expected.digest;
            self.proven.push(is_proven);
            let this = number..number + 1;
            match (expected.proven, is_proven) {
                (false, _) => findings.unproven.push(this),
                (true, false) => findings.corrupt.push(this),
                (true, true) => {
                    // the digest covers spare bytes too: what is in them was put there, and is no damage
                    findings.proven += 1;
                    let children = layout.children_of(level, number);
                    if !spare_is_zero(layout, block, (children.end - children.start) as usize) {
                        findings.spare.push(this);
                    }
                }
            }
        }
        Ok(())
    }

    /// For each of the blocks, whether it is proven.
    pub(super) fn proven(&self) -> &[bool] {
        &self.proven
    }

    /// What the blocks say of block `child` of the level below.
    pub(super) fn expected(&self, work: &Work<'_>, child: u64) -> Expected<'_> {
        let layout = work.layout();
        let (parent, slot) = layout.parent(child);
        let index = (parent - self.first) as usize;
        let proven = self.proven[index];
        // unproven blocks were perhaps not read
        let digest =
            if proven { &self.blocks[index * layout.block_size()..][layout.slot(slot)] } else { &[] };
        Expected { proven, digest }
    }
}

/// What the proven upper levels say of the highest streamed level.
pub(super) struct Top {
    /// For each block, true if there is a proven digest for it.
    proven: Vec<bool>,
    /// One behind the other.
    digests: Vec<u8>,
    digest_size: usize,
}

impl Top {
    pub(super) fn prove(
        work: &Work<'_>,
        hash: &dyn ReadAt,
        root: &RootHash,
    ) -> Result<(Self, Verdict), Error> {
        let layout = work.layout();
        let digest_size = layout.digest_size();
        let mut verdict = nothing_yet(work.tree);
        let mut top = Top { proven: vec![true], digests: root.as_bytes().to_vec(), digest_size };
        let mut window = Window::new();
        for level in (work.streamed..layout.levels().len()).rev() {
            let blocks = layout.levels()[level].blocks;
            let children = layout.children(level) as usize;
            let mut below = Top {
                proven: Vec::with_capacity(children),
                digests: Vec::with_capacity(children * digest_size),
                digest_size,
            };
            let step = batch(layout) as u64;
            for first in (0..blocks).step_by(step as usize) {
                let range = first..(first + step).min(blocks);
                let findings = &mut verdict.levels[level];
                window.load(work, hash, level, range.clone(), |block| top.expected(block), findings)?;
                let children = layout.children_of(level, range.start).start
                    ..layout.children_of(level, range.end - 1).end;
                for child in children {
                    let Expected { proven, digest } = window.expected(work, child);
                    below.proven.push(proven);
                    below.digests.extend_from_slice(digest);
                    below.digests.resize(below.proven.len() * digest_size, 0);
                }
            }
            top = below;
        }
        Ok((top, verdict))
    }

    fn expected(&self, block: u64) -> Expected<'_> {
        let index = block as usize;
        Expected {
            proven: self.proven[index],
            digest: &self.digests[index * self.digest_size..][..self.digest_size],
        }
    }
}

/// The way down from the proven upper levels to the hash blocks of level 0.
pub(super) struct Descent<'a> {
    work: &'a Work<'a>,
    hash: Handle<'a>,
    top: &'a Top,
    /// For each streamed level, what was last loaded.
    windows: Vec<Window>,
}

impl<'a> Descent<'a> {
    pub(super) fn new(work: &'a Work<'a>, hash: &'a dyn ReadAt, top: &'a Top) -> Self {
        Descent {
            work,
            hash: Handle::new(hash, work.workers),
            top,
            windows: (0..work.streamed).map(|_| Window::new()).collect(),
        }
    }

    /// What was last loaded of level 0.
    pub(super) fn lowest(&self) -> &Window {
        &self.windows[0]
    }

    /// Loads and judges hash blocks of a streamed level, and those above them that are not loaded yet.
    pub(super) fn load(
        &mut self,
        level: usize,
        range: Range<u64>,
        verdict: &mut Verdict,
    ) -> Result<(), Error> {
        let (work, layout) = (self.work, self.work.layout());
        if level + 1 == work.streamed {
            let window = &mut self.windows[level];
            let (top, findings) = (self.top, &mut verdict.levels[level]);
            return window.load(work, self.hash.get(), level, range, |block| top.expected(block), findings);
        }
        // windows are powers of two, and one covers all parents of the one below
        let step = work.window(level + 1) as u64;
        let first = layout.parent(range.start).0 / step * step;
        if self.windows[level + 1].first != first {
            let blocks = layout.levels()[level + 1].blocks;
            self.load(level + 1, first..(first + step).min(blocks), verdict)?;
        }
        let (below, above) = self.windows.split_at_mut(level + 1);
        let parent = &above[0];
        let findings = &mut verdict.levels[level];
        let expected = |block| parent.expected(work, block);
        below[level].load(work, self.hash.get(), level, range, expected, findings)
    }
}

/// What one thread has.
struct Checker<'a> {
    work: &'a Work<'a>,
    feed: Feed<'a>,
    descent: Descent<'a>,
    /// The claim's hash blocks as its data makes them.
    computed: Vec<u8>,
}

impl<'a> Checker<'a> {
    fn new(
        work: &'a Work<'a>,
        data: &'a dyn ReadAt,
        buffers: &Buffers<'a>,
        hash: &'a dyn ReadAt,
        top: &'a Top,
    ) -> Self {
        Checker {
            work,
            feed: Feed::new(work, data, buffers.take()),
            descent: Descent::new(work, hash, top),
            computed: vec![0; work.window(0) * work.layout().block_size()],
        }
    }

    fn part(&mut self, part: usize, control: &Control<'_>, stop_at_first: bool) -> Result<Verdict, Halt> {
        let layout = self.work.layout();
        let block_size = u64::from(self.work.tree.params.data_block_size());
        let mut verdict = nothing_yet(self.work.tree);
        for claim in self.work.claims(part) {
            control.check(part)?;
            let data = layout.children_of(0, claim.start).start..layout.children_of(0, claim.end - 1).end;
            self.descent.load(0, claim.clone(), &mut verdict)?;
            self.check_data(claim, &mut verdict)?;
            control.advance((data.end - data.start) * block_size);
            if stop_at_first && !verdict.is_clean() {
                control.stop_behind(part);
                break;
            }
        }
        Ok(verdict)
    }

    /// Compares the data of a claim with its hash blocks, where these are proven.
    fn check_data(&mut self, claim: Range<u64>, verdict: &mut Verdict) -> Result<(), Error> {
        let layout = self.work.layout();
        let block_size = layout.block_size();
        let window = self.descent.lowest();
        let mut blocks = claim.clone();
        for run in window.proven.chunk_by(|a, b| a == b) {
            let run_blocks = blocks.start..blocks.start + run.len() as u64;
            blocks.start = run_blocks.end;
            let data =
                layout.children_of(0, run_blocks.start).start..layout.children_of(0, run_blocks.end - 1).end;
            // no digest to compare with is proven, so the data is not even read
            if !run[0] {
                verdict.unproven_data.push(data);
                continue;
            }
            let index = (run_blocks.start - claim.start) as usize;
            let bytes = index * block_size..(index + run.len()) * block_size;
            let computed = &mut self.computed[bytes.clone()];
            self.feed.digests(data.clone(), computed, 0)?;
            // the last hash block may have fewer digests, and what is behind them is of an earlier claim
            let last = layout.children_of(0, run_blocks.end - 1);
            clear_tail(
                layout,
                &mut computed[(run.len() - 1) * block_size..],
                (last.end - last.start) as usize,
            );
            let stored = &window.blocks[bytes];
            // the usual case; junk in spare bytes makes them differ as well, so the digests decide
            if computed == stored {
                verdict.proven_data += data.end - data.start;
                continue;
            }
            for ((computed, stored), number) in
                computed.chunks_exact(block_size).zip(stored.chunks_exact(block_size)).zip(run_blocks)
            {
                for (slot, block) in layout.children_of(0, number).enumerate() {
                    if computed[layout.slot(slot)] == stored[layout.slot(slot)] {
                        verdict.proven_data += 1;
                    } else {
                        verdict.corrupt_data.push(block..block + 1);
                    }
                }
            }
        }
        Ok(())
    }
}
