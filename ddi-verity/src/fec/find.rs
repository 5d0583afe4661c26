//! How parity was made, where nobody has written that down: by which numbers its codewords are intact.

use super::{FecLayout, MAX_ROOTS, MIN_ROOTS};
use crate::error::Error;
use crate::tree::HashTree;
use ddi_io::ReadAt;

/// What is known of how parity was made, none of which is on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FecHints {
    /// Bytes of parity in a codeword.
    pub roots: Option<u32>,
    /// Blocks of the hash source that are covered, from the first tree block on.
    pub hash_blocks: Option<u64>,
    /// Blocks in a row, where that is more than the blocks that are there need.
    pub rounds: Option<u64>,
    /// The parity is in the hash source too, which is then covered up to where the parity begins.
    pub beside_tree: bool,
}

/// What came of trying how parity was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitting {
    /// What it may be, that of which most codewords are intact first.
    pub layouts: Vec<FecLayout>,
    /// True if it is the first one, and no other.
    pub is_sure: bool,
}

impl FecLayout {
    /// Finds out how the parity at `offset` of `parity` was made, as far as `hints` leaves that open, by a bounded number of reads.
    /// It is sure if there is but one way, or if by one way most of some codewords are intact; damage everywhere leaves it open.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`with_rounds`](Self::with_rounds); [`Error::FecUnknown`] if the parity is too short for any.
    pub fn find(
        tree: &HashTree,
        data: &dyn ReadAt,
        hash: &dyn ReadAt,
        parity: &dyn ReadAt,
        offset: u64,
        hints: FecHints,
    ) -> Result<Fitting, Error> {
        let room = parity.size().saturating_sub(offset);
        let mut layouts = candidates(tree, hash.size(), room, offset, hints)?;
        match layouts.as_slice() {
            [] => return Err(Error::FecUnknown),
            [_] => return Ok(Fitting { layouts, is_sure: true }),
            _ => {}
        }
        // most files have nothing but the parity, of what is there
        let spare_rounds = |layout: &FecLayout| {
            let blocks = layout.data_blocks + layout.hash_blocks;
            layout.rounds - blocks.div_ceil(layout.symbols() as u64)
        };
        layouts.sort_by_key(|layout| (layout.parity_size() != room, spare_rounds(layout)));
        let mut fits = Vec::new();
        for layout in layouts {
            let (intact, all) = layout.fit(data, hash, parity, offset)?;
            let is_whole = layout.parity_size() == room;
            if is_whole && intact > all / 2 {
                return Ok(Fitting { layouts: vec![layout], is_sure: true });
            }
            fits.push((intact, is_whole, layout));
        }
        // the same number of intact codewords: the one that takes the whole file
        fits.sort_by_key(|(intact, is_whole, _)| core::cmp::Reverse((*intact, *is_whole)));
        let alike = |a: &FecLayout, b: &FecLayout| (a.roots(), a.rounds()) == (b.roots(), b.rounds());
        let is_sure = fits.first().is_some_and(|(best, _, first)| {
            let next = fits.iter().find(|(.., other)| !alike(first, other)).map_or(0, |(intact, ..)| *intact);
            *best > 0 && best / 2 >= next
        });
        Ok(Fitting { layouts: fits.into_iter().map(|(.., layout)| layout).collect(), is_sure })
    }
}

/// What parity in `room` bytes may be.
fn candidates(
    tree: &HashTree,
    hash_size: u64,
    room: u64,
    offset: u64,
    hints: FecHints,
) -> Result<Vec<FecLayout>, Error> {
    let tree_area = tree.layout().tree();
    let size = u64::from(tree.params().hash_block_size());
    let ends = match hints.hash_blocks {
        Some(blocks) => {
            let end = blocks.checked_mul(size).and_then(|bytes| bytes.checked_add(tree_area.start));
            vec![end.ok_or(Error::FecTooLarge)?]
        }
        None if hints.beside_tree => vec![offset],
        None => vec![hash_size, tree_area.end],
    };
    let roots = hints.roots.map_or(MIN_ROOTS as u32..=MAX_ROOTS as u32, |roots| roots..=roots);
    let mut found: Vec<FecLayout> = Vec::new();
    let mut add = |layout: FecLayout| {
        if layout.parity_size() <= room && !found.contains(&layout) {
            found.push(layout);
        }
    };
    for (roots, &end) in roots.flat_map(|roots| ends.iter().map(move |end| (roots, end))) {
        let layout = FecLayout::new(tree, roots, end)?;
        if let Some(rounds) = hints.rounds {
            add(layout.with_rounds(rounds)?);
            continue;
        }
        // more was covered than there is now
        if !hints.beside_tree && hints.hash_blocks.is_none() {
            let row = layout.block_size() * u64::from(roots);
            let rounds = room / row;
            if rounds > layout.rounds() && room.is_multiple_of(row) {
                layout.clone().with_rounds(rounds).map(&mut add)?;
            }
        }
        add(layout);
    }
    Ok(found)
}
