//! A tree from data.

use core::ops::Range;

use crate::error::{Error, Storage};
use crate::hash::RootHash;
use crate::options::Options;
use crate::parallel::{self, Control, Halt};
use crate::tree::{Buffers, Feed, HashTree, Observer, Work, batch, clear_tail, read};
use ddi_io::ReadAt;
use ddi_io::WriteAt;

pub(super) fn build(
    tree: &HashTree,
    data: &dyn ReadAt,
    hash: Option<&dyn WriteAt>,
    observer: Option<&Observer<'_>>,
    options: &Options<'_>,
) -> Result<RootHash, Error> {
    tree.check_size(Storage::Data, data.size())?;
    let control = Control::new(options, tree.params.data_size());
    if tree.layout.levels().is_empty() {
        return single_block(tree, data, observer, &control, options);
    }
    let work = Work { observer, ..Work::new(tree, options) };
    let mut memory = work.memory();
    let buffers = Buffers::new(&mut memory);
    let digests = parallel::run(
        &control,
        work.workers,
        work.parts,
        || Builder::new(&work, data, &buffers, hash),
        |builder, part| builder.part(part, &control),
    )?;
    let root = finish(&work, hash, digests.concat())?;
    root_hash(&root)
}

/// Without levels the digest of the block is the root hash.
fn single_block(
    tree: &HashTree,
    data: &dyn ReadAt,
    observer: Option<&Observer<'_>>,
    control: &Control<'_>,
    options: &Options<'_>,
) -> Result<RootHash, Error> {
    let outcome = parallel::run(
        control,
        1,
        1,
        || vec![0; tree.params.data_block_size() as usize],
        |block, _| {
            read(data, Storage::Data, 0, block)?;
            if let Some(observer) = observer {
                observer(0, block);
            }
            control.advance(block.len() as u64);
            Ok(tree.hasher(options).hash_block(block))
        },
    )?;
    outcome.first().map(|&digest| RootHash::from(digest)).ok_or(Error::Worker)
}

fn root_hash(digest: &[u8]) -> Result<RootHash, Error> {
    RootHash::from_bytes(digest).map_err(|_| Error::Worker)
}

/// Hash blocks in the making.
struct Window {
    /// Number of the first of them in its level.
    first: u64,
    /// How many digests are in them.
    filled: usize,
    blocks: Vec<u8>,
}

/// What one thread has.
struct Builder<'a> {
    work: &'a Work<'a>,
    feed: Feed<'a>,
    hash: Option<&'a dyn WriteAt>,
    /// For each streamed level.
    windows: Vec<Window>,
    /// Of the highest streamed level.
    digests: Vec<u8>,
}

impl<'a> Builder<'a> {
    fn new(
        work: &'a Work<'a>,
        data: &'a dyn ReadAt,
        buffers: &Buffers<'a>,
        hash: Option<&'a dyn WriteAt>,
    ) -> Self {
        let window = |level| Window {
            first: 0,
            filled: 0,
            blocks: vec![0; work.window(level) * work.layout().block_size()],
        };
        let windows = (0..work.streamed).map(window).collect();
        Builder { work, feed: Feed::new(work, data, buffers.take()), hash, windows, digests: Vec::new() }
    }

    /// Returns the digests of the highest streamed level, one behind the other.
    fn part(&mut self, part: usize, control: &Control<'_>) -> Result<Vec<u8>, Halt> {
        let layout = self.work.layout();
        let block_size = u64::from(self.work.tree.params.data_block_size());
        for claim in self.work.claims(part) {
            control.check(part)?;
            let data = layout.children_of(0, claim.start).start..layout.children_of(0, claim.end - 1).end;
            let count = data.end - data.start;
            let window = &mut self.windows[0];
            window.first = claim.start;
            window.filled = count as usize;
            self.feed.digests(data, &mut window.blocks, 0)?;
            self.emit(0)?;
            control.advance(count * block_size);
        }
        for level in 1..self.windows.len() {
            self.emit(level)?;
        }
        Ok(core::mem::take(&mut self.digests))
    }

    /// Writes the window of `level`, and puts its digests into the window above, which may then be full itself.
    fn emit(&mut self, level: usize) -> Result<(), Error> {
        let (work, layout) = (self.work, self.work.layout());
        let (block_size, per_block) = (layout.block_size(), layout.digests_per_block());
        let (below, above) = self.windows.split_at_mut(level + 1);
        let Window { first, filled, blocks } = &mut below[level];
        let count = filled.div_ceil(per_block);
        if count == 0 {
            return Ok(());
        }
        let blocks = &mut blocks[..count * block_size];
        if *filled < count * per_block {
            clear_tail(layout, &mut blocks[(count - 1) * block_size..], *filled - (count - 1) * per_block);
        }
        write(work, self.hash, level, *first, blocks)?;
        let first = *first;
        *filled = 0;
        let Some(window) = above.first_mut() else {
            append_digests(work, level, blocks, &mut self.digests);
            return Ok(());
        };
        if window.filled == 0 {
            // parts and windows are aligned: this is slot 0 of its block
            window.first = layout.parent(first).0;
        }
        work.hash_to_slots(Some(level), blocks, block_size, &mut window.blocks, window.filled);
        window.filled += count;
        let is_full = window.filled == work.window(level + 1) * per_block;
        if is_full { self.emit(level + 1) } else { Ok(()) }
    }
}

fn write(
    work: &Work<'_>,
    hash: Option<&dyn WriteAt>,
    level: usize,
    first: u64,
    blocks: &[u8],
) -> Result<(), Error> {
    let Some(hash) = hash else { return Ok(()) };
    let offset = work.layout().block_offset(level, first).ok_or(Error::TreeTooLarge)?;
    hash.write_all_at(offset, blocks).map_err(|error| Error::Io { storage: Storage::Hash, offset, error })
}

fn append_digests(work: &Work<'_>, level: usize, blocks: &[u8], digests: &mut Vec<u8>) {
    let (block_size, digest_size) = (work.layout().block_size(), work.layout().digest_size());
    let start = digests.len();
    digests.resize(start + blocks.len() / block_size * digest_size, 0);
    work.hash(Some(level), blocks, block_size, &mut digests[start..], digest_size);
}

/// The levels above the streamed ones, from the digests of the highest of these.
fn finish(work: &Work<'_>, hash: Option<&dyn WriteAt>, mut digests: Vec<u8>) -> Result<Vec<u8>, Error> {
    let layout = work.layout();
    let (block_size, digest_size) = (layout.block_size(), layout.digest_size());
    let window = batch(layout) as u64;
    let mut buf = vec![0; window as usize * block_size];
    for (level, &crate::layout::Level { blocks, .. }) in
        layout.levels().iter().enumerate().skip(work.streamed)
    {
        let mut above = Vec::new();
        for first in (0..blocks).step_by(window as usize) {
            let range: Range<u64> = first..(first + window).min(blocks);
            let now = &mut buf[..(range.end - range.start) as usize * block_size];
            now.fill(0);
            for (block, number) in now.chunks_exact_mut(block_size).zip(range) {
                let children = layout.children_of(level, number);
                let from =
                    &digests[children.start as usize * digest_size..children.end as usize * digest_size];
                for (slot, digest) in from.chunks_exact(digest_size).enumerate() {
                    block[layout.slot(slot)].copy_from_slice(digest);
                }
            }
            write(work, hash, level, first, now)?;
            append_digests(work, level, now, &mut above);
        }
        digests = above;
    }
    Ok(digests)
}
