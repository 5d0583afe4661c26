//! Healing while reading: a damaged block of data or tree from parity, proven by its digest before anybody sees it.
//!
//! A codeword has a byte of each of up to 253 blocks, which lie all over data and tree: to heal a block, all blocks of its row
//! are read and judged. So the work for one is bounded, what comes of it is kept, and that it cannot be done is kept as well.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ddi_io::ReadAt;

use crate::error::{Error, Storage};
use crate::fec::kernel::{Rows, Tables};
use crate::fec::row::{Decoder, Place};
use crate::fec::{FecLayout, MAX_ROOTS};
use crate::geometry::CheckedTree;
use crate::hash::{BlockHasher, RootHash};
use crate::reader::cache::Cache;

/// Bytes of healed blocks that are kept.
const KEPT: usize = 8 << 20;
/// Blocks that are remembered as lost.
const MAX_LOST: usize = 1 << 14;
/// Bytes of a block that are decoded at a time.
const PIECE: usize = 4096;
/// Times that a row is decoded for one block, each of which heals others at least.
const MAX_TURNS: usize = 8;
/// Rows of damaged hash blocks that are decoded for one block, to know more about the blocks of its row.
const MAX_CLIMBS: usize = 32;

/// What a reader had to heal so far. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct ReadStats(Arc<[AtomicU64; 2]>);

impl ReadStats {
    /// Data blocks that were damaged and healed, also those that were healed along with the one that was read. One that was not
    /// kept, and was healed again, counts again.
    pub fn healed_data_blocks(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// The same of hash blocks.
    pub fn healed_hash_blocks(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }
}

/// Parity for a [`VerifiedReader`](crate::VerifiedReader): how it was made, and where it is. Nothing of it is trusted:
/// what is made with it is proven by the root hash, as all that a reader gives.
#[derive(Clone)]
pub struct Parity {
    layouts: Vec<FecLayout>,
    source: Arc<dyn ReadAt>,
    offset: u64,
    stats: ReadStats,
}

impl Parity {
    /// Parity at `offset` of `source`. What is healed with it is added to `stats`.
    ///
    /// Of several `layouts`, as [`FecLayout::find`] gives them, the first by which a block is healed is taken, for that it was made
    /// so is proven then.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::FecTooLarge`]; [`Error::FecUnknown`] without a layout.
    pub fn new(
        layouts: Vec<FecLayout>,
        source: Arc<dyn ReadAt>,
        offset: u64,
        stats: ReadStats,
    ) -> Result<Self, Error> {
        for layout in &layouts {
            layout.check_end(offset)?;
            let (needed, found) = (offset + layout.parity_size(), source.size());
            if found < needed {
                return Err(Error::TooShort { storage: Storage::Parity, needed, found });
            }
        }
        if layouts.is_empty() {
            Err(Error::FecUnknown)
        } else {
            Ok(Parity { layouts, source, offset, stats })
        }
    }
}

impl fmt::Debug for Parity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parity")
            .field("layouts", &self.layouts)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// Gives a block of a level (`None`: of the data) that has this digest, if it can be had.
pub(crate) type Heal<'a> = dyn FnMut(Option<usize>, u64, &[u8]) -> Option<Arc<[u8]>> + 'a;

/// What is healed: data and tree as they are read, some blocks of which can be proven and some not.
pub(crate) trait Damaged {
    fn checked_tree(&self) -> &CheckedTree;
    fn root(&self) -> &RootHash;
    fn hasher(&self) -> &BlockHasher;
    /// Data, and what the tree is in.
    fn sources(&self) -> (&dyn ReadAt, &dyn ReadAt);
    /// A hash block that is proven, or healed and then proven.
    fn hash_block_or(&self, level: usize, block: u64, heal: &mut Heal<'_>) -> Result<Arc<[u8]>, Error>;
}

/// What a reader heals with. By one thread at a time: the memory for it is there once.
pub(crate) struct Healing {
    /// The ways in which the parity may have been made.
    codes: Vec<Code>,
    /// By which of them a block was healed.
    proven: OnceLock<usize>,
    source: Arc<dyn ReadAt>,
    offset: u64,
    stats: ReadStats,
    block_size: u64,
    /// By offset in the message.
    healed: Cache,
    /// Blocks of the message that could not be healed by a code, and how hard that was tried.
    lost: Mutex<BTreeMap<(usize, u64), Effort>>,
    scratch: Mutex<Scratch>,
}

struct Code {
    number: usize,
    layout: FecLayout,
    tables: Tables,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effort {
    /// With the hash blocks as they are.
    Row,
    /// Hash blocks that say what belongs in the row are healed as well.
    Climb,
}

#[derive(Default)]
struct Scratch {
    block: Vec<u8>,
    /// A piece of each block of the row.
    rows: Vec<u8>,
    decoded: Vec<u8>,
    parity: Vec<u8>,
}

/// What is known of a symbol of a row.
enum Known {
    Good,
    /// And the digest that it should have.
    Bad(Vec<u8>),
    Unknown,
}

/// The row of the block that is wanted.
struct Row {
    number: u64,
    wanted: usize,
    places: Vec<Place>,
    /// Those of its blocks that were healed.
    healed: BTreeMap<usize, Arc<[u8]>>,
}

impl Healing {
    /// # Errors
    /// [`Error::FecOther`] if the parity is not for this tree, [`Error::TooShort`].
    pub(crate) fn new(
        parity: Parity,
        tree: &CheckedTree,
        data: &dyn ReadAt,
        hash: &dyn ReadAt,
    ) -> Result<Self, Error> {
        let params = tree.params();
        let tree_area = tree.layout().tree();
        for layout in &parity.layouts {
            let end = layout.hash_start + layout.hash_blocks * layout.block_size;
            let sizes = [params.data_block_size(), params.hash_block_size()].map(u64::from);
            let is_for_it = sizes == [layout.block_size; 2]
                && layout.data_blocks == params.data_blocks()
                && layout.hash_start == tree_area.start
                && end >= tree_area.end;
            if !is_for_it {
                return Err(Error::FecOther);
            }
            layout.check_sources(data, hash)?;
        }
        let code = |(number, layout): (usize, FecLayout)| Code {
            number,
            tables: Tables::new(layout.roots()),
            layout,
        };
        let block_size = params.data_block_size();
        Ok(Healing {
            codes: parity.layouts.into_iter().enumerate().map(code).collect(),
            proven: OnceLock::new(),
            source: parity.source,
            offset: parity.offset,
            stats: parity.stats,
            block_size: block_size.into(),
            healed: Cache::new(KEPT, block_size as usize),
            lost: Mutex::default(),
            scratch: Mutex::default(),
        })
    }

    pub(crate) fn stats(&self) -> &ReadStats {
        &self.stats
    }

    pub(crate) fn bytes(&self) -> usize {
        self.healed.bytes()
    }

    /// Where in the message a block is; the level of a hash block, `None` for data.
    fn number(&self, tree: &CheckedTree, level: Option<usize>, block: u64) -> Option<u64> {
        match level {
            None => Some(block),
            // the same by all codes
            Some(level) => self.codes.first()?.layout.number_of_hash(tree.layout(), level, block),
        }
    }

    /// A block that was healed before.
    pub(crate) fn kept(&self, tree: &CheckedTree, level: Option<usize>, block: u64) -> Option<Arc<[u8]>> {
        self.healed.get(self.number(tree, level, block)?.checked_mul(self.block_size)?)
    }

    /// The block whose digest is `expected`, if parity can heal it.
    #[inline(never)]
    pub(crate) fn heal(
        &self,
        reader: &dyn Damaged,
        level: Option<usize>,
        block: u64,
        expected: &[u8],
    ) -> Option<Arc<[u8]>> {
        let number = self.number(reader.checked_tree(), level, block)?;
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        // another thread may have been faster
        if let Some(healed) = self.healed.get(number.checked_mul(self.block_size)?) {
            return Some(healed);
        }
        let is_possible = |code: &&Code| self.proven.get().is_none_or(|proven| *proven == code.number);
        self.codes.iter().filter(is_possible).find_map(|code| {
            let mut climbs = MAX_CLIMBS;
            self.heal_row((reader, code), number, expected, Some(&mut climbs), &mut scratch)
        })
    }

    /// Heals what can be healed of the row of block `wanted`. `climbs` is how many hash blocks may be healed for it.
    fn heal_row(
        &self,
        (reader, code): (&dyn Damaged, &Code),
        wanted: u64,
        expected: &[u8],
        mut climbs: Option<&mut usize>,
        scratch: &mut Scratch,
    ) -> Option<Arc<[u8]>> {
        let layout = &code.layout;
        let effort = if climbs.is_some() { Effort::Climb } else { Effort::Row };
        let lost = || self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost().get(&(code.number, wanted)).is_some_and(|before| *before >= effort) {
            return None;
        }
        let tree = reader.checked_tree().layout();
        let number = wanted % layout.rounds;
        let place = |symbol| layout.place(tree, symbol as u64 * layout.rounds + number);
        let mut row = Row {
            number,
            wanted: (wanted / layout.rounds) as usize,
            places: (0..layout.symbols()).map(place).collect(),
            healed: BTreeMap::new(),
        };
        for _ in 0..MAX_TURNS {
            let mut known = match self.judge((reader, code), &mut row, expected, scratch) {
                Ok(known) => known,
                Err(right) => return Some(right),
            };
            if let Some(known) = known.get_mut(row.wanted) {
                *known = Known::Bad(expected.to_vec());
            }
            let healed = self.decode((reader, code), &row, &known, scratch);
            let is_step = !healed.is_empty();
            for (symbol, bytes) in healed {
                self.keep(code, &row, symbol, &bytes);
                row.healed.insert(symbol, bytes);
            }
            if let Some(found) = row.healed.get(&row.wanted) {
                return Some(Arc::clone(found));
            }
            // what was healed has made others known; else more is known if hash blocks are healed, once
            if !is_step
                && !climbs.take().is_some_and(|left| self.climb((reader, code), &row, &known, left, scratch))
            {
                break;
            }
        }
        let mut lost = lost();
        if lost.len() >= MAX_LOST {
            lost.clear();
        }
        lost.insert((code.number, wanted), effort);
        None
    }

    fn keep(&self, code: &Code, row: &Row, symbol: usize, bytes: &Arc<[u8]>) {
        let _ = self.proven.set(code.number);
        let number = symbol as u64 * code.layout.rounds + row.number;
        let kind = usize::from(!matches!(row.places[symbol], Place::Data(_)));
        self.stats.0[kind].fetch_add(1, Ordering::Relaxed);
        self.healed.insert(number * self.block_size, bytes);
    }

    /// Reads a block of the row, or a piece of it; of one that cannot be read, zeros.
    fn read(
        &self,
        (reader, code): (&dyn Damaged, &Code),
        row: &Row,
        (symbol, at): (usize, usize),
        buf: &mut [u8],
    ) {
        if let Some(healed) = row.healed.get(&symbol) {
            buf.copy_from_slice(&healed[at..][..buf.len()]);
            return;
        }
        let layout = &code.layout;
        let offset = (symbol as u64 * layout.rounds + row.number) * layout.block_size + at as u64;
        let (data, hash) = reader.sources();
        if layout.read(data, hash, offset, buf).is_err() {
            buf.fill(0);
        }
    }

    /// What is known of each block of the row, by the tree as it is. The wanted one itself, if it is right all of a sudden.
    fn judge(
        &self,
        (reader, code): (&dyn Damaged, &Code),
        row: &mut Row,
        expected: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Vec<Known>, Arc<[u8]>> {
        let mut all = Vec::with_capacity(row.places.len());
        scratch.block.resize(self.block_size as usize, 0);
        for (symbol, place) in row.places.iter().enumerate() {
            let (level, block) = match *place {
                Place::Data(block) => (None, block),
                Place::Hash(level, block) => (Some(level), block),
                Place::Foreign => {
                    all.push(Known::Unknown);
                    continue;
                }
                Place::Nothing => {
                    all.push(Known::Good);
                    continue;
                }
            };
            // perhaps it was healed for another row, or by another thread
            if !row.healed.contains_key(&symbol)
                && let Some(kept) = self.kept(reader.checked_tree(), level, block)
            {
                row.healed.insert(symbol, kept);
            }
            if row.healed.contains_key(&symbol) {
                all.push(Known::Good);
                continue;
            }
            let wanted = if symbol == row.wanted {
                Some(expected.to_vec())
            } else {
                // nothing is healed for it here: `climb` does that, and only so often
                expected_digest(reader, level, block, &mut |_, _, _| None)
            };
            let Some(wanted) = wanted else {
                all.push(Known::Unknown);
                continue;
            };
            self.read((reader, code), row, (symbol, 0), &mut scratch.block);
            let is_good = reader.hasher().hash_block(&scratch.block).as_bytes() == wanted;
            // it was damaged when it was asked for, and now it is not: nothing to decode
            if is_good && symbol == row.wanted {
                return Err(scratch.block.as_slice().into());
            }
            all.push(if is_good { Known::Good } else { Known::Bad(wanted) });
        }
        Ok(all)
    }

    /// The bad blocks of the row that parity heals, by symbol, each proven.
    fn decode(
        &self,
        (reader, code): (&dyn Damaged, &Code),
        row: &Row,
        known: &[Known],
        scratch: &mut Scratch,
    ) -> Vec<(usize, Arc<[u8]>)> {
        let (layout, roots) = (&code.layout, code.layout.roots());
        let size = layout.block_size as usize;
        let width = size.min(PIECE);
        let good: Vec<bool> = known.iter().map(|known| matches!(known, Known::Good)).collect();
        let bad = || known.iter().zip(0_u8..).filter(|(known, _)| matches!(known, Known::Bad(_)));
        let erasures: Vec<u8> = bad().map(|(_, symbol)| symbol).collect();
        // as many as a code heals; of more, some
        let others =
            erasures.iter().map(|&symbol| usize::from(symbol)).filter(|&symbol| symbol != row.wanted);
        let mut candidates: Vec<(usize, Vec<u8>)> = std::iter::once(row.wanted)
            .chain(others.take(MAX_ROOTS - 1))
            .map(|symbol| (symbol, Vec::with_capacity(size)))
            .collect();
        let mut decoder = Decoder::new(&code.tables, &erasures, &good);
        scratch.rows.resize(layout.symbols() * width, 0);
        scratch.parity.resize(roots * width, 0);
        for at in (0..size).step_by(width) {
            let mut rows = std::mem::take(&mut scratch.rows);
            for (symbol, piece) in rows.chunks_exact_mut(width).enumerate() {
                self.read((reader, code), row, (symbol, at), piece);
            }
            let offset = self.offset + (row.number * layout.block_size + at as u64) * roots as u64;
            let is_read = self.source.read_exact_at(offset, &mut scratch.parity).is_ok();
            if is_read {
                let rows = Rows { bytes: &rows, stride: width };
                decoder.decode(rows, &scratch.parity, &mut scratch.decoded);
            }
            scratch.rows = rows;
            if !is_read {
                return Vec::new();
            }
            for (symbol, bytes) in &mut candidates {
                bytes.extend_from_slice(&scratch.decoded[*symbol * width..][..width]);
            }
        }
        let proven = candidates.into_iter().filter(|(symbol, bytes)| match known.get(*symbol) {
            Some(Known::Bad(expected)) => reader.hasher().hash_block(bytes).as_bytes() == *expected,
            _ => false,
        });
        proven.map(|(symbol, bytes)| (symbol, bytes.into())).collect()
    }

    /// Heals damaged hash blocks that keep blocks of the row from being known. Returns true if more is known now.
    fn climb(
        &self,
        (reader, code): (&dyn Damaged, &Code),
        row: &Row,
        known: &[Known],
        left: &mut usize,
        scratch: &mut Scratch,
    ) -> bool {
        let mut is_step = false;
        for (place, _) in row.places.iter().zip(known).filter(|(_, known)| matches!(known, Known::Unknown)) {
            let (level, block) = match *place {
                Place::Data(block) => (None, block),
                Place::Hash(level, block) => (Some(level), block),
                Place::Foreign | Place::Nothing => continue,
            };
            let digest = expected_digest(reader, level, block, &mut |level, block, expected| {
                *left = left.checked_sub(1)?;
                let number = self.number(reader.checked_tree(), level, block)?;
                self.heal_row((reader, code), number, expected, None, scratch)
            });
            is_step |= digest.is_some();
        }
        is_step
    }
}

/// The digest that a block must have, if that is proven, with the help of `heal` for damaged hash blocks above it.
fn expected_digest(
    reader: &dyn Damaged,
    level: Option<usize>,
    block: u64,
    heal: &mut Heal<'_>,
) -> Option<Vec<u8>> {
    let layout = reader.checked_tree().layout();
    let above = level.map_or(0, |level| level + 1);
    if above >= layout.levels().len() {
        return Some(reader.root().as_bytes().to_vec());
    }
    let (parent, slot) = layout.parent(block);
    let bytes = reader.hash_block_or(above, parent, heal).ok()?;
    Some(bytes.get(layout.slot(slot))?.to_vec())
}
