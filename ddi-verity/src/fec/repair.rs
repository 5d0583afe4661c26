//! Repair: damaged blocks from parity, each proven by the hash tree before it is handed out.
//!
//! The tree says which blocks are bad, so that they are erasures, of which a code heals twice as many as of errors. It is also
//! the judge: beyond its limit a decoder may find a codeword that is not the original one, so nothing that it says counts until
//! the block hashes to a digest that is proven. Hash blocks come first, from the root down, for below a bad one nothing is known.

use core::sync::atomic::{AtomicU8, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::{Error, Storage};
use crate::fec::FecLayout;
use crate::fec::kernel::{Rows, Tables};
use crate::fec::row::{Decoder, Place};
use crate::geometry::CheckedTree;
use crate::hash::RootHash;
use crate::options::Options;
use crate::parallel::{self, Control, Halt};
use crate::reader::VerifiedReader;
use crate::verdict::BlockRanges;
use ddi_io::ReadAt;

/// Most blocks whose state is kept, a byte each: 1 TiB at the usual block size.
const MAX_BLOCKS: u64 = 1 << 28;
/// Data that is read and judged in one go.
const RUN: u64 = 1 << 20;

/// Takes a healed block: whether it is of the data or of the hash source, where in it in bytes, and its content.
pub type Sink<'a> = dyn Fn(Storage, u64, &[u8]) -> io::Result<()> + Sync + 'a;

/// What a repair reads.
#[derive(Clone, Copy)]
pub struct RepairSources<'a> {
    /// The data.
    pub data: &'a dyn ReadAt,
    /// The hash tree.
    pub hash: &'a dyn ReadAt,
    /// The parity.
    pub parity: &'a dyn ReadAt,
    /// Where the parity starts in its source, in bytes.
    pub parity_offset: u64,
}

impl core::fmt::Debug for RepairSources<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RepairSources").field("parity_offset", &self.parity_offset).finish_non_exhaustive()
    }
}

/// What was found and done in the data, or in one level of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Blocks that are proven, the healed ones among them.
    pub proven: u64,
    /// Blocks that were bad and were healed.
    pub healed: BlockRanges,
    /// Bad blocks that parity cannot heal.
    pub lost: BlockRanges,
    /// Blocks of whose digests nothing is proven.
    pub unproven: BlockRanges,
}

impl Repaired {
    fn of(states: &[AtomicU8]) -> Self {
        let mut all = Repaired::default();
        for (block, state) in (0..).zip(states) {
            match state.load(Ordering::Relaxed) {
                PROVEN => all.proven += 1,
                HEALED => {
                    all.proven += 1;
                    all.healed.push(block..block + 1);
                }
                BAD => all.lost.push(block..block + 1),
                _ => all.unproven.push(block..block + 1),
            }
        }
        all
    }

    fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.unproven.is_empty()
    }
}

/// The outcome of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The data.
    pub data: Repaired,
    /// The tree by level, level 0 first.
    pub levels: Vec<Repaired>,
}

impl Repair {
    /// Returns true if every block of data and tree is proven once the healed ones are written.
    pub fn is_whole(&self) -> bool {
        self.data.is_whole() && self.levels.iter().all(Repaired::is_whole)
    }

    /// Number of blocks that were healed.
    pub fn healed(&self) -> u64 {
        self.levels.iter().fold(self.data.healed.count(), |sum, level| sum + level.healed.count())
    }

    /// Number of blocks that are bad or cannot be judged.
    pub fn lost(&self) -> u64 {
        let lost = |part: &Repaired| part.lost.count() + part.unproven.count();
        self.levels.iter().fold(lost(&self.data), |sum, level| sum + lost(level))
    }
}

impl FecLayout {
    /// Finds the blocks of `tree` that are not what `root` says, heals those that parity can heal, and hands each of these to
    /// `sink`, once it is proven and never more than once. A block that cannot be read counts as damaged.
    ///
    /// Blocks up to [`roots`](Self::roots) of a row are always healed if the parity is intact; more of them if their damage is
    /// not in the same codewords. Nothing is read back from what `sink` does, so `sink` may do nothing: then this says what
    /// could be healed.
    ///
    /// # Errors
    /// That a block cannot be healed is no error. [`Error::TooShort`], [`Error::RootHashSize`], [`Error::FecTooLarge`] for more
    /// than 2²⁸ blocks, [`Error::Io`] if the parity cannot be read or `sink` fails, [`Error::Cancelled`], [`Error::Worker`].
    pub fn repair(
        &self,
        tree: &CheckedTree,
        root: &RootHash,
        sources: RepairSources<'_>,
        sink: &Sink<'_>,
        options: &Options<'_>,
    ) -> Result<Repair, Error> {
        tree.check_root_size(root)?;
        self.check_sources(sources.data, sources.hash)?;
        self.check_end(sources.parity_offset)?;
        let (needed, found) = (sources.parity_offset + self.parity_size(), sources.parity.size());
        if found < needed {
            return Err(Error::TooShort { storage: Storage::Parity, needed, found });
        }
        if self.data_blocks + self.hash_blocks > MAX_BLOCKS {
            return Err(Error::FecTooLarge);
        }
        let control = Control::new(options, self.data_size());
        let tables = Tables::new(self.roots());
        let overlay = Overlay::new(sources.hash);
        let states = |blocks: u64| (0..blocks).map(|_| AtomicU8::new(UNKNOWN)).collect::<Vec<_>>();
        let healer = Healer {
            layout: self,
            tree,
            root,
            sources,
            sink,
            tables: &tables,
            overlay: &overlay,
            data: states(self.data_blocks),
            levels: tree.layout().levels().iter().map(|level| states(level.blocks)).collect(),
        };
        let workers = parallel::workers(options, self.data_size());
        loop {
            let before = healer.knowledge();
            healer.heal_tree(&control)?;
            healer.judge_data(&control, workers)?;
            let rows = healer.rows();
            let row_of = |part: usize| rows.get(part).copied().unwrap_or_default();
            parallel::run(
                &control,
                workers,
                rows.len(),
                || healer.scratch(),
                |scratch, part| {
                    control.check(part)?;
                    Ok::<_, Halt>(healer.heal_row(row_of(part), scratch)?)
                },
            )?;
            // each useful turn proves a block at least, so this ends
            if healer.knowledge() == before || rows.is_empty() {
                break;
            }
        }
        // hash blocks that were healed along with data may have made others known
        healer.judge_tree()?;
        Ok(Repair {
            data: Repaired::of(&healer.data),
            levels: healer.levels.iter().map(|states| Repaired::of(states)).collect(),
        })
    }
}

/// What is known of a block. Nothing is known of one whose digest is not proven.
const UNKNOWN: u8 = 0;
const PROVEN: u8 = 1;
const BAD: u8 = 2;
const HEALED: u8 = 3;

/// The hash source with healed blocks in the place of bad ones.
struct Overlay<'a> {
    source: &'a dyn ReadAt,
    /// By offset.
    healed: RwLock<BTreeMap<u64, Arc<[u8]>>>,
}

impl<'a> Overlay<'a> {
    fn new(source: &'a dyn ReadAt) -> Self {
        Overlay { source, healed: RwLock::new(BTreeMap::new()) }
    }
}

impl ReadAt for &Overlay<'_> {
    fn size(&self) -> u64 {
        self.source.size()
    }
    /// One block, or bytes without healed blocks.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let healed = self.healed.read().unwrap_or_else(PoisonError::into_inner).get(&offset).cloned();
        match healed {
            Some(block) if block.len() == buf.len() => {
                buf.copy_from_slice(&block);
                Ok(())
            }
            _ => self.source.read_exact_at(offset, buf),
        }
    }
}

/// The tree as far as it is proven.
type Proven<'a> = VerifiedReader<&'a dyn ReadAt, &'a Overlay<'a>>;

/// What one thread has to heal rows with.
struct Scratch<'a> {
    proven: Option<Arc<Proven<'a>>>,
    /// Healed hash blocks when that was opened.
    healed: usize,
    /// The blocks of a row, one behind the other.
    blocks: Vec<u8>,
    /// The same as decoding makes them.
    decoded: Vec<u8>,
    /// Parity as stored.
    parity: Vec<u8>,
}

struct Healer<'a> {
    layout: &'a FecLayout,
    tree: &'a CheckedTree,
    root: &'a RootHash,
    sources: RepairSources<'a>,
    sink: &'a Sink<'a>,
    tables: &'a Tables,
    overlay: &'a Overlay<'a>,
    data: Vec<AtomicU8>,
    levels: Vec<Vec<AtomicU8>>,
}

impl<'a> Healer<'a> {
    fn scratch(&self) -> Scratch<'a> {
        Scratch { proven: None, healed: 0, blocks: Vec::new(), decoded: Vec::new(), parity: Vec::new() }
    }

    /// How many blocks something is known of, and how many are proven.
    fn knowledge(&self) -> (usize, usize) {
        let all = || self.levels.iter().flatten().chain(&self.data);
        let count =
            |wanted: &dyn Fn(u8) -> bool| all().filter(|state| wanted(state.load(Ordering::Relaxed))).count();
        (count(&|state| state != UNKNOWN), count(&|state| matches!(state, PROVEN | HEALED)))
    }

    fn size(&self) -> usize {
        self.layout.block_size as usize
    }

    /// The tree as it is proven now.
    fn proven(&self) -> Result<Proven<'a>, Error> {
        VerifiedReader::open_damaged(self.sources.data, self.overlay, self.tree.clone(), self.root)
    }

    fn healed_hash_blocks(&self) -> usize {
        self.overlay.healed.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn state(&self, place: Place) -> Option<&AtomicU8> {
        match place {
            Place::Data(block) => self.data.get(usize::try_from(block).ok()?),
            Place::Hash(level, block) => self.levels.get(level)?.get(usize::try_from(block).ok()?),
            Place::Foreign | Place::Nothing => None,
        }
    }

    /// The row of blocks that a hash block is in.
    fn row_of_hash(&self, level: usize, block: u64) -> Option<u64> {
        Some(self.layout.number_of_hash(self.tree.layout(), level, block)? % self.layout.rounds)
    }

    /// Judges hash blocks from the root down, and heals the bad ones of a level before it goes on to the next.
    fn heal_tree(&self, control: &Control<'_>) -> Result<(), Error> {
        let mut scratch = self.scratch();
        for level in (0..self.levels.len()).rev() {
            self.judge_level(level, &self.proven()?)?;
            let bad =
                (0_u64..).zip(&self.levels[level]).filter(|(_, state)| state.load(Ordering::Relaxed) == BAD);
            let rows: BTreeSet<u64> = bad.filter_map(|(block, _)| self.row_of_hash(level, block)).collect();
            for row in rows {
                // a call that was cancelled
                if let Err(Halt::Error(error)) = control.check(0) {
                    return Err(error);
                }
                self.heal_row(row, &mut scratch)?;
            }
        }
        Ok(())
    }

    fn judge_tree(&self) -> Result<(), Error> {
        for level in (0..self.levels.len()).rev() {
            self.judge_level(level, &self.proven()?)?;
        }
        Ok(())
    }

    fn judge_level(&self, level: usize, proven: &Proven<'_>) -> Result<(), Error> {
        let mut bytes = vec![0; self.size()];
        for (block, state) in (0..).zip(&self.levels[level]) {
            if matches!(state.load(Ordering::Relaxed), PROVEN | HEALED) {
                continue;
            }
            let place = Place::Hash(level, block);
            let Some(expected) = self.expected(place, proven)? else { continue };
            let offset = self.tree.layout().block_offset(level, block).ok_or(Error::TreeTooLarge)?;
            let is_proven = self.sources.hash.read_exact_at(offset, &mut bytes).is_ok()
                && self.digest(proven, &bytes) == expected;
            state.store(if is_proven { PROVEN } else { BAD }, Ordering::Relaxed);
        }
        Ok(())
    }

    fn digest(&self, proven: &Proven<'_>, block: &[u8]) -> Vec<u8> {
        proven.hasher().hash_block(block).as_bytes().to_vec()
    }

    /// The digest that a block must have, if that is proven.
    fn expected(&self, place: Place, proven: &Proven<'_>) -> Result<Option<Vec<u8>>, Error> {
        let (level, block) = match place {
            Place::Data(block) => (0, block),
            Place::Hash(level, block) => (level + 1, block),
            Place::Foreign | Place::Nothing => return Ok(None),
        };
        let layout = self.tree.layout();
        if level >= layout.levels().len() {
            return Ok(Some(self.root.as_bytes().to_vec()));
        }
        let (parent, slot) = layout.parent(block);
        match proven.hash_block(level, parent) {
            Ok(bytes) => Ok(bytes.get(layout.slot(slot)).map(<[u8]>::to_vec)),
            // bad, or cannot be read, itself or one above it
            Err(Error::BlockMismatch { .. } | Error::SpareNotZero { .. } | Error::Io { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Judges all data blocks that have not been judged and of which a digest is proven.
    fn judge_data(&self, control: &Control<'_>, workers: usize) -> Result<(), Error> {
        let size = self.layout.block_size;
        let step = (RUN / size).max(1);
        let parts =
            usize::try_from(self.layout.data_blocks.div_ceil(step)).map_err(|_| Error::FecTooLarge)?;
        let init = || (None, Vec::new(), Vec::new());
        parallel::run(control, workers, parts, init, |(proven, bytes, digests), part| {
            let proven: &mut Option<Proven<'_>> = proven;
            if proven.is_none() {
                *proven = Some(self.proven()?);
            }
            let Some(proven) = proven else { return Ok(()) };
            let first = part as u64 * step;
            let blocks = first..(first + step).min(self.layout.data_blocks);
            let states = &self.data[blocks.start as usize..blocks.end as usize];
            if states.iter().all(|state| state.load(Ordering::Relaxed) != UNKNOWN) {
                return Ok::<_, Halt>(());
            }
            let digest_size = proven.hasher().digest_size();
            bytes.resize(((blocks.end - blocks.start) * size) as usize, 0);
            digests.resize(states.len() * digest_size, 0);
            // what cannot be read is looked at block by block
            let whole = self.sources.data.read_exact_at(blocks.start * size, bytes).is_ok();
            proven.hasher().hash_blocks(bytes, size as usize, digests, digest_size);
            for ((block, state), digest) in blocks.zip(states).zip(digests.chunks_exact(digest_size)) {
                if state.load(Ordering::Relaxed) != UNKNOWN {
                    continue;
                }
                let Some(expected) = self.expected(Place::Data(block), proven)? else { continue };
                let is_proven = if whole {
                    digest == expected
                } else {
                    let one = &mut bytes[..size as usize];
                    self.sources.data.read_exact_at(block * size, one).is_ok()
                        && self.digest(proven, one) == expected
                };
                state.store(if is_proven { PROVEN } else { BAD }, Ordering::Relaxed);
            }
            control.advance(bytes.len() as u64);
            Ok(())
        })?;
        Ok(())
    }

    /// The rows that have a bad block, in order.
    fn rows(&self) -> Vec<u64> {
        let is_bad = |state: &AtomicU8| state.load(Ordering::Relaxed) == BAD;
        let data = (0_u64..).zip(&self.data).filter(|(_, state)| is_bad(state));
        let mut rows: BTreeSet<u64> = data.map(|(block, _)| block % self.layout.rounds).collect();
        for (level, states) in self.levels.iter().enumerate() {
            let bad = (0_u64..).zip(states).filter(|(_, state)| is_bad(state));
            rows.extend(bad.filter_map(|(block, _)| self.row_of_hash(level, block)));
        }
        rows.into_iter().collect()
    }

    /// Heals what can be healed of a row with what is known now.
    fn heal_row(&self, row: u64, scratch: &mut Scratch<'a>) -> Result<(), Error> {
        let (size, symbols, rounds) = (self.size(), self.layout.symbols(), self.layout.rounds);
        let places: Vec<Place> = (0..symbols)
            .map(|symbol| self.layout.place(self.tree.layout(), symbol as u64 * rounds + row))
            .collect();
        self.read_row(row, &places, scratch)?;
        loop {
            // a block healed here or by another thread says more than was known
            let now = self.healed_hash_blocks();
            if scratch.proven.is_none() || scratch.healed != now {
                scratch.proven = Some(Arc::new(self.proven()?));
                scratch.healed = now;
            }
            let Some(proven) = scratch.proven.clone() else { return Ok(()) };
            let digest_size = proven.hasher().digest_size();
            let mut digests = vec![0; symbols * digest_size];
            proven.hasher().hash_blocks(&scratch.blocks, size, &mut digests, digest_size);
            let known = places.iter().zip(digests.chunks_exact(digest_size));
            let known: Vec<Known> =
                known.map(|(&place, digest)| self.know(place, digest, &proven)).collect::<Result<_, _>>()?;
            let erasures: Vec<u8> = (0_u8..)
                .zip(&known)
                .filter(|(_, known)| matches!(known, Known::Bad(_)))
                .map(|(i, _)| i)
                .collect();
            if erasures.is_empty() {
                return Ok(());
            }
            let good: Vec<bool> = known.iter().map(|known| matches!(known, Known::Good)).collect();
            let rows = Rows { bytes: &scratch.blocks, stride: size };
            Decoder::new(self.tables, &erasures, &good).decode(rows, &scratch.parity, &mut scratch.decoded);
            let mut healed = false;
            for &symbol in &erasures {
                let at = usize::from(symbol) * size;
                let block = &scratch.decoded[at..][..size];
                let Known::Bad(expected) = &known[usize::from(symbol)] else { continue };
                if self.digest(&proven, block) != *expected {
                    continue;
                }
                healed = true;
                scratch.blocks[at..][..size].copy_from_slice(block);
                self.healed(places[usize::from(symbol)], block)?;
            }
            if !healed {
                return Ok(());
            }
        }
    }

    /// Reads blocks and parity of a row. What cannot be read is zeros, and bad.
    fn read_row(&self, row: u64, places: &[Place], scratch: &mut Scratch<'_>) -> Result<(), Error> {
        let (size, roots) = (self.size(), self.layout.roots());
        scratch.blocks.resize(places.len() * size, 0);
        for (symbol, (&place, block)) in places.iter().zip(scratch.blocks.chunks_exact_mut(size)).enumerate()
        {
            let number = symbol as u64 * self.layout.rounds + row;
            let read = match place {
                Place::Data(block_number) => {
                    self.sources.data.read_exact_at(block_number * self.layout.block_size, block)
                }
                Place::Hash(..) | Place::Foreign => {
                    let at = (number - self.layout.data_blocks) * self.layout.block_size;
                    (&self.overlay).read_exact_at(self.layout.hash_start + at, block)
                }
                Place::Nothing => Err(io::ErrorKind::UnexpectedEof.into()),
            };
            if read.is_err() {
                block.fill(0);
            }
        }
        scratch.parity.resize(size * roots, 0);
        let offset = self.sources.parity_offset + row * (size * roots) as u64;
        let io = |error| Error::Io { storage: Storage::Parity, offset, error };
        self.sources.parity.read_exact_at(offset, &mut scratch.parity).map_err(io)
    }

    fn know(&self, place: Place, digest: &[u8], proven: &Proven<'_>) -> Result<Known, Error> {
        Ok(match place {
            Place::Nothing => Known::Good,
            Place::Foreign => Known::Unknown,
            _ => match self.expected(place, proven)? {
                None => Known::Unknown,
                Some(expected) if digest == expected => Known::Good,
                Some(expected) => {
                    if let Some(state) = self.state(place) {
                        // it was not known to be bad before a hash block was healed
                        let _ = state.compare_exchange(UNKNOWN, BAD, Ordering::Relaxed, Ordering::Relaxed);
                    }
                    Known::Bad(expected)
                }
            },
        })
    }

    /// A block that is proven now goes out, and stands in the place of the bad one.
    fn healed(&self, place: Place, block: &[u8]) -> Result<(), Error> {
        let (storage, offset) = match place {
            Place::Data(number) => (Storage::Data, number * self.layout.block_size),
            Place::Hash(level, number) => {
                let offset = self.tree.layout().block_offset(level, number).ok_or(Error::TreeTooLarge)?;
                let mut healed = self.overlay.healed.write().unwrap_or_else(PoisonError::into_inner);
                healed.insert(offset, block.into());
                (Storage::Hash, offset)
            }
            Place::Foreign | Place::Nothing => return Ok(()),
        };
        let Some(state) = self.state(place) else { return Ok(()) };
        // a row that is looked at again heals its data again
        if state.swap(HEALED, Ordering::Relaxed) == HEALED {
            return Ok(());
        }
        (self.sink)(storage, offset, block).map_err(|error| Error::Io { storage, offset, error })
    }
}

/// What is known of a symbol of a row.
#[derive(Debug, Clone)]
enum Known {
    Good,
    /// And the digest it should have.
    Bad(Vec<u8>),
    Unknown,
}
