//! Whole trees: [`HashTree`].
//!
//! Building and checking go through the data once, in *claims*: the data of some hash blocks of level 0 (2 MiB, four
//! hash blocks, at the usual sizes), whose digests make these hash blocks, which are hashed at once while they are in
//! the cache. Each thread has long contiguous parts of the data, and handles of its own on both sources. Of the tree,
//! only digests of one level are in memory, at most 2 MiB: those of the lowest level that is small enough. What is below
//! is in windows of 16 KiB a level and thread, or of one hash block if that is larger.

mod build;
mod feed;
#[cfg(test)]
pub(crate) mod model;
mod stream;
#[cfg(test)]
mod tests;
mod verify;
mod zeros;

use core::slice::ChunksExactMut;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Storage};
use crate::hash::{Algorithm, BlockHasher, RootHash};
use crate::layout::{Layout, Level, Placement};
use crate::options::Options;
use crate::parallel;
use crate::params::Params;
use ddi_io::{ReadAt, ReadMemory, WriteAt};

pub(crate) use feed::Feed;
pub(crate) use zeros::{Zeros, hash_around};

/// Data of a claim in bytes, if a hash block does not stand for more.
const CLAIM: u64 = 2 << 20;
/// Bytes of one read of data, if a block is not more. They and what is made of them stay in the second-level cache; larger reads
/// cost no less.
const PIECE: usize = 256 << 10;
/// Data of fewer bytes than this is not worth a huge page to read it into: to clear one takes as long as it saves on 4 MiB.
const HUGE_FROM: u64 = 32 << 20;
/// Bytes of hash blocks that are hashed together, above level 0.
const BATCH: usize = 64 << 10;
/// The same where a part is made of whole windows: smaller, so that there are enough parts.
const WINDOW: u64 = 16 << 10;
/// Most bytes of digests of one level in memory.
const RESIDENT: u64 = 2 << 20;
/// Least data of a part in bytes.
const PART: u64 = 8 << 20;
/// Most data of a part in bytes when the first finding ends the work, so that the parts before it are soon done.
const PART_WHEN_STOPPING: u64 = 64 << 20;
const PARTS_WHEN_STOPPING: u64 = 4096;

/// A hash tree: its parameters and its place.
///
/// ```
/// use std::sync::Mutex;
/// use ddi_verity::{Algorithm, HashTree, HashType, Options, Params, Placement, Salt};
///
/// let data = vec![7; 300 * 4096];
/// let salt = "00ff".parse()?;
/// let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 300, salt)?;
/// // made here, so there is no doubt about its parameters
/// let tree = HashTree::new(params, Placement::Bare(0))?.vouched();
/// let hash = Mutex::new(Vec::new());
/// let root = tree.build(&data, &hash, &Options::new())?;
///
/// let mut hash = hash.into_inner()?;
/// assert!(tree.verify(&data, &hash, &root, &Options::new())?.is_proven());
/// hash[4096 + 5] ^= 1;
/// let verdict = tree.verify(&data, &hash, &root, &Options::new())?;
/// assert_eq!(verdict.levels[0].corrupt.ranges(), [0..1]);
/// assert_eq!(verdict.unproven_data.ranges(), [0..128]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTree {
    params: Params,
    layout: Layout,
}

impl HashTree {
    /// The tree of `params` at `placement` in its source.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn new(params: Params, placement: Placement) -> Result<Self, Error> {
        Ok(HashTree { layout: Layout::new(&params, placement)?, params })
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Where each block is.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Computes the tree of `data`, writes its blocks to `hash`, and returns the root hash.
    ///
    /// `data` may be longer than the data blocks of the parameters; what is behind them is not read. Every byte of
    /// [`Layout::tree`] is written, in no particular order, and nothing else: the superblock is the caller's, and so is
    /// [`WriteAt::sync`]. The result is the same, byte for byte, for any number of threads.
    ///
    /// # Errors
    /// [`Error::TooShort`] if `data` is, [`Error::ReadOnlyAlgorithm`] for SHA-1 without
    /// [`Options::allow_sha1`], [`Error::Io`], [`Error::Cancelled`], [`Error::Worker`].
    pub fn build(
        &self,
        data: &dyn ReadAt,
        hash: &dyn WriteAt,
        options: &Options<'_>,
    ) -> Result<RootHash, Error> {
        self.check_may_build(options)?;
        build::build(self, data, Some(hash), None, options)
    }

    /// As [`build`](Self::build); whatever data is not known to be zeros is shown to `observer` in whole blocks, from many
    /// threads and in no particular order, each once.
    #[cfg(feature = "fec")]
    pub(crate) fn build_observed(
        &self,
        data: &dyn ReadAt,
        hash: &dyn WriteAt,
        observer: &Observer<'_>,
        options: &Options<'_>,
    ) -> Result<RootHash, Error> {
        self.check_may_build(options)?;
        build::build(self, data, Some(hash), Some(observer), options)
    }

    /// As [`build`](Self::build), but the tree goes nowhere.
    ///
    /// # Errors
    /// As [`build`](Self::build), but any algorithm will do.
    pub fn root_hash(&self, data: &dyn ReadAt, options: &Options<'_>) -> Result<RootHash, Error> {
        build::build(self, data, None, None, options)
    }

    /// The digest of the top hash block as it is: the root hash that the tree would have if it were intact. Only the top
    /// block is read. `None` without levels, when the root hash is the digest of the data block.
    ///
    /// Nothing vouches for it.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::Io`].
    pub fn claimed_root_hash(&self, hash: &dyn ReadAt) -> Result<Option<RootHash>, Error> {
        let Some(top) = self.layout.levels().last() else { return Ok(None) };
        self.check_size(Storage::Hash, hash.size())?;
        let mut block = vec![0; self.layout.block_size()];
        read(hash, Storage::Hash, top.offset, &mut block)?;
        Ok(Some(RootHash::from(self.params.hasher().hash_block(&block))))
    }

    pub(crate) fn check_may_build(&self, options: &Options<'_>) -> Result<(), Error> {
        match self.params.algorithm() {
            Algorithm::Sha1 if !options.sha1 => Err(Error::ReadOnlyAlgorithm { algorithm: Algorithm::Sha1 }),
            _ => Ok(()),
        }
    }

    /// Checks that a source of `found` bytes is long enough.
    pub(crate) fn check_size(&self, storage: Storage, found: u64) -> Result<(), Error> {
        let needed = match storage {
            Storage::Data => self.params.data_size(),
            Storage::Hash if self.layout.levels().is_empty() => 0,
            Storage::Hash => self.layout.tree().end,
            Storage::Parity => 0,
        };
        if found < needed { Err(Error::TooShort { storage, needed, found }) } else { Ok(()) }
    }

    pub(crate) fn check_root_size(&self, root: &RootHash) -> Result<(), Error> {
        let (expected, found) = (self.params.digest_size(), root.as_bytes().len());
        if expected == found { Ok(()) } else { Err(Error::RootHashSize { expected, found }) }
    }

    pub(crate) fn hasher(&self, options: &Options<'_>) -> BlockHasher {
        let params = &self.params;
        match options.backend {
            Some(backend) => BlockHasher::with_backend(
                params.algorithm(),
                params.hash_type(),
                params.salt().as_bytes(),
                backend,
            ),
            None => params.hasher(),
        }
    }
}

/// Is shown data and its offset in bytes.
pub(crate) type Observer<'a> = dyn Fn(u64, &[u8]) + Sync + 'a;

/// How one run over the data is cut: claims, parts, and which level's digests stay in memory.
pub(crate) struct Work<'a> {
    tree: &'a HashTree,
    hasher: BlockHasher,
    zeros: Option<Zeros>,
    observer: Option<&'a Observer<'a>>,
    workers: usize,
    /// Hash blocks of level 0 in a claim, a power of two.
    claim: u64,
    /// Hash blocks of each level above in a window, a power of two.
    window: usize,
    /// Claims in a part.
    part: u64,
    /// Number of parts.
    parts: usize,
    /// How many of the lower levels are done part by part; the digests of the highest of them are in memory.
    streamed: usize,
}

impl<'a> Work<'a> {
    /// For a tree with at least one level.
    pub(crate) fn new(tree: &'a HashTree, options: &Options<'_>) -> Self {
        let layout = &tree.layout;
        let data_size = tree.params.data_size();
        let workers = parallel::workers(options, data_size);
        let per_block = layout.digests_per_block() as u64;
        // all powers of two
        let per_hash_block = per_block * u64::from(tree.params.data_block_size());
        let claim = (CLAIM / per_hash_block).max(1);

        let digest_size = layout.digest_size() as u64;
        let resident = options.resident.unwrap_or(RESIDENT);
        let fits = |level: &Level| level.blocks * digest_size <= resident;
        let streamed = layout.levels().iter().position(fits).map_or(layout.levels().len(), |level| level + 1);

        let claims = layout.levels()[0].blocks.div_ceil(claim);
        let claim_size = claim * per_hash_block;
        // a part is made of whole windows of its highest level, so that it shares no window with another part
        // one window covers the parents of any window below it
        let window = (WINDOW / layout.block_size() as u64).max(claim / per_block).max(1);
        let unit = match streamed - 1 {
            0 => 1,
            level => window * per_block.pow(level as u32) / claim,
        };
        let mut part = match workers {
            1 => claims,
            _ => claims.div_ceil((workers as u64).saturating_mul(8)).max(PART / claim_size),
        };
        if options.stop_at_first {
            part = part.min((PART_WHEN_STOPPING / claim_size).max(claims.div_ceil(PARTS_WHEN_STOPPING)));
        }
        let part = part.max(1).next_multiple_of(unit.max(1));
        let hasher = tree.hasher(options);
        let zeros = (!options.every_block).then(|| Zeros::new(tree, &hasher));
        let parts = claims.div_ceil(part) as usize;
        Work {
            tree,
            hasher,
            zeros,
            observer: None,
            workers,
            claim,
            window: window as usize,
            part,
            parts,
            streamed,
        }
    }

    /// Blocks that are read at once.
    fn step(&self) -> usize {
        (PIECE / self.data_block_size() as usize).max(1)
    }

    /// What the threads read data into.
    fn memory(&self) -> ReadMemory {
        let size = self.step() * self.data_block_size() as usize;
        ReadMemory::new(if self.tree.params.data_size() < HUGE_FROM { 0 } else { self.workers }, size)
    }

    /// As [`new`](Self::new), for the calling thread alone.
    pub(crate) fn serial(tree: &'a HashTree, options: &Options<'_>) -> Self {
        Self::new(tree, &options.threads(1))
    }

    pub(crate) fn data_block_size(&self) -> u32 {
        self.tree.params.data_block_size()
    }

    /// How many hash blocks of level 0 are handled at once.
    pub(crate) fn claim(&self) -> u64 {
        self.claim
    }

    pub(crate) fn layout(&self) -> &'a Layout {
        &self.tree.layout
    }

    /// The claims of a part: for each, the hash blocks of level 0.
    fn claims(&self, part: usize) -> impl Iterator<Item = core::ops::Range<u64>> + use<> {
        let blocks = self.layout().levels()[0].blocks;
        let (claim, first) = (self.claim, part as u64 * self.part);
        (first..first + self.part)
            .map(move |n| (n * claim).min(blocks)..((n + 1) * claim).min(blocks))
            .take_while(|claim| !claim.is_empty())
    }

    /// How many hash blocks are handled at once in `level`.
    fn window(&self, level: usize) -> usize {
        if level == 0 { self.claim as usize } else { self.window }
    }

    /// Hashes blocks of `size` bytes into the slots of hash blocks, from slot `first` of the first on. `below` is the
    /// level of the blocks, or `None` for data.
    fn hash_to_slots(&self, below: Option<usize>, blocks: &[u8], size: usize, out: &mut [u8], first: usize) {
        let layout = self.layout();
        let (per_block, slot_size, block_size) =
            (layout.digests_per_block(), layout.slot_size(), layout.block_size());
        if per_block * slot_size == block_size {
            // no tail in a hash block: one row of slots through all of them
            self.hash(below, blocks, size, &mut out[first * slot_size..], slot_size);
            return;
        }
        let (mut blocks, mut slot) = (blocks, first);
        while !blocks.is_empty() {
            let room = per_block - slot % per_block;
            let (now, rest) = blocks.split_at(blocks.len().min(room * size));
            let at = slot / per_block * block_size + slot % per_block * slot_size;
            self.hash(below, now, size, &mut out[at..], slot_size);
            (blocks, slot) = (rest, slot + now.len() / size);
        }
    }

    /// Hashes blocks of `size` bytes, those that are known without hashing them.
    pub(crate) fn hash(
        &self,
        below: Option<usize>,
        blocks: &[u8],
        size: usize,
        out: &mut [u8],
        stride: usize,
    ) {
        match self.zeros.as_ref().and_then(|zeros| zeros.known(below)) {
            Some(known) => hash_around(&self.hasher, known, blocks, size, out, stride),
            None => self.hasher.hash_blocks(blocks, size, out, stride),
        }
    }
}

/// Buffers to be had one by one.
pub(crate) struct Buffers<'a>(Mutex<ChunksExactMut<'a, u8>>);

impl<'a> Buffers<'a> {
    fn new(memory: &'a mut ReadMemory) -> Self {
        Buffers(Mutex::new(memory.buffers()))
    }

    /// The next one; `None` if there is none any more, and then the reader makes its own.
    fn take(&self) -> Option<&'a mut [u8]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// How many hash blocks are hashed together, above level 0.
pub(crate) fn batch(layout: &Layout) -> usize {
    (BATCH / layout.block_size()).max(1)
}

/// A source as one thread uses it.
pub(crate) enum Handle<'a> {
    Shared(&'a dyn ReadAt),
    Own(Box<dyn ReadAt>),
}

impl<'a> Handle<'a> {
    /// With read-ahead state of its own if there are several threads.
    pub(crate) fn new(source: &'a dyn ReadAt, workers: usize) -> Self {
        let own = if workers > 1 { source.reopen() } else { None };
        match own {
            Some(own) if own.size() == source.size() => Handle::Own(own),
            _ => Handle::Shared(source),
        }
    }

    pub(crate) fn get(&self) -> &dyn ReadAt {
        match self {
            Handle::Shared(source) => *source,
            Handle::Own(source) => source,
        }
    }
}

/// Zeros what follows the first `used` slots of a hash block.
fn clear_tail(layout: &Layout, block: &mut [u8], used: usize) {
    block[used * layout.slot_size()..].fill(0);
}

/// Returns true if everything in a hash block but its first `used` digests is zero.
pub(crate) fn spare_is_zero(layout: &Layout, block: &[u8], used: usize) -> bool {
    let (slot_size, digest_size) = (layout.slot_size(), layout.digest_size());
    let (slots, tail) = block.split_at(used * slot_size);
    zeros::is_zero(tail)
        && (slot_size == digest_size
            || slots.chunks_exact(slot_size).all(|slot| zeros::is_zero(&slot[digest_size..])))
}

pub(crate) fn read(source: &dyn ReadAt, storage: Storage, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
    source.read_exact_at(offset, buf).map_err(|error| Error::Io { storage, offset, error })
}
