//! Random access to proven bytes: [`VerifiedReader`].
//!
//! ```text
//! read_exact_at ─→ data blocks, into the caller's buffer ─→ hashed there ─→ compared with
//!                                                                               │
//!   level 0 hash block: from the cache, or read, hashed and compared with ←─────┘
//!   level 1 hash block: …                                    up to the top one, proven by the root hash at open
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

mod ahead;
pub(crate) mod cache;
mod many;
#[cfg(test)]
mod tests;
mod zeros;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use ddi_io::ReadAt;

use crate::error::{Error, Storage};
#[cfg(feature = "fec")]
use crate::fec::{Damaged, Healing, Parity, ReadStats};
use crate::geometry::CheckedTree;
use crate::hash::{BlockHasher, Digest, RootHash};
use crate::tree::{HashTree, read, spare_is_zero};
use ahead::Ahead;
use cache::Cache;

/// What [`VerifiedReader::open`] gives to the cache, in bytes: the hash blocks of 1 GiB of data at 4 KiB blocks.
pub const DEFAULT_CACHE_SIZE: usize = 8 << 20;
/// Data that is read and hashed in one go: few enough bytes to be still in the second-level cache when hashed.
const RUN_SIZE: usize = 256 << 10;
/// Most bytes of proven data blocks that are kept, for many small reads of the same blocks; no more than an eighth of
/// the cache.
const RECENT_SIZE: usize = 256 << 10;
/// Longest digest in bytes.
const MAX_DIGEST: usize = 64;

/// Tries to heal a damaged block: the level of a hash block or `None` for data, its number, and the digest it must have.
pub(crate) type Heal<'a> = dyn FnMut(Option<usize>, u64, &[u8]) -> Option<Arc<[u8]>> + 'a;

/// The data of a verity device, in which no byte comes out that was not hashed up to the root hash.
///
/// dm-verity in user space: each read hashes the data blocks it touches, in the very buffer that is returned, and
/// compares them with proven hash blocks. A hash block is read, proven and kept; it is that copy which is used from
/// then on. If the storage changes under the reader, a read fails or gives the right bytes.
///
/// [`size`](ReadAt::size) is that of the protected data: what a source has behind it does not exist here. Any number
/// of threads may read at once.
///
/// Errors are [`io::Error`]s around an [`Error`]: of kind [`InvalidData`](io::ErrorKind::InvalidData) if a block is not
/// what the root hash says ([`Error::BlockMismatch`], [`Error::SpareNotZero`]), of the kind that the source gave if it
/// failed. After an error the buffer is zeroed.
///
/// Many small reads are cheapest together, see [`read_many`](Self::read_many); for many that follow each other there is
/// [`with_read_ahead`](Self::with_read_ahead).
///
/// Memory: proven blocks up to the size of the cache, and the top hash block besides. Most of the cache is for hash
/// blocks; up to 256 KiB are for data blocks that were read in part, as programs that look for something in a file
/// system do over and over. Whole blocks go to the caller and are not kept.
///
/// With parity (`open_with_parity`) a damaged block, of data or tree, is healed if that can be done, and proven as any
/// other before it is handed out; if not, the error is that of the damage. For that, all blocks of its row of codewords are
/// read and judged, by one thread at a time: up to 10 MiB of memory more at the usual block size, most of which is for
/// blocks that were healed.
///
/// ```
/// use std::sync::Mutex;
/// use ddi_verity::{Algorithm, HashTree, HashType, Options, Params, Placement, ReadAt, Salt, VerifiedReader};
///
/// let mut data = vec![7; 300 * 4096];
/// let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 300, Salt::EMPTY)?;
/// let tree = HashTree::new(params, Placement::Bare(0))?.vouched();
/// let hash = Mutex::new(Vec::new());
/// let root = tree.build(&data, &hash, &Options::new())?;
///
/// data[299 * 4096] ^= 1;
/// let reader = VerifiedReader::open(data, hash.into_inner()?, tree, &root)?;
/// let mut buf = [0; 100];
/// reader.read_exact_at(12345, &mut buf)?;
/// assert_eq!(buf, [7; 100]);
/// let error = reader.read_exact_at(299 * 4096 + 17, &mut buf).unwrap_err();
/// assert_eq!(error.to_string(), "data block 299 does not match its digest");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct VerifiedReader<D, H> {
    data: D,
    hash: H,
    tree: CheckedTree,
    hasher: BlockHasher,
    root: RootHash,
    /// The top hash block, proven; `None` without levels.
    top: Option<Arc<[u8]>>,
    cache: Cache,
    /// Data blocks of which parts were read.
    recent: Cache,
    /// What was read ahead, if that was asked for.
    ahead: Option<Ahead>,
    /// That of a block of zeros, once somebody has asked.
    zero_digest: OnceLock<Digest>,
    #[cfg(feature = "fec")]
    healing: Option<Healing>,
}

impl<D: ReadAt, H: ReadAt> VerifiedReader<D, H> {
    /// A reader for `data`, whose tree is in `hash`, with a cache of [`DEFAULT_CACHE_SIZE`].
    ///
    /// Proves the right-most hash block of each level at once: if the number of data blocks was lowered, there are
    /// digests where there must be zeros, and nothing at all can be read. One thing the format leaves open: the same
    /// root hash also proves an upper level of the tree over the hash blocks below it, *as data*. That the parameters
    /// are sound is for [`check_geometry`](crate::check_geometry) and the caller to say, see [`CheckedTree`]; the root hash
    /// does not cover them.
    ///
    /// # Errors
    /// [`Error::RootHashSize`], [`Error::TooShort`], [`Error::BlockMismatch`], [`Error::SpareNotZero`],
    /// [`Error::Io`].
    pub fn open(data: D, hash: H, tree: CheckedTree, root: &RootHash) -> Result<Self, Error> {
        Self::open_with_cache(data, hash, tree, root, DEFAULT_CACHE_SIZE)
    }

    /// As [`open`](Self::open), with at most `cache_size` bytes for proven blocks. With 0 each read goes up to the top.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_cache(
        data: D,
        hash: H,
        tree: CheckedTree,
        root: &RootHash,
        cache_size: usize,
    ) -> Result<Self, Error> {
        let mut reader = Self::unproven(data, hash, tree, root, cache_size)?;
        reader.prove_edge()?;
        Ok(reader)
    }

    /// As [`open`](Self::open), with parity, by which damaged blocks are healed.
    ///
    /// # Errors
    /// As [`open`](Self::open), of damage that cannot be healed; [`Error::FecOther`] if the parity is for another tree.
    #[cfg(feature = "fec")]
    pub fn open_with_parity(
        data: D,
        hash: H,
        tree: CheckedTree,
        root: &RootHash,
        cache_size: usize,
        parity: Parity,
    ) -> Result<Self, Error> {
        let mut reader = Self::unproven(data, hash, tree, root, cache_size)?;
        reader.healing = Some(Healing::new(parity, &reader.tree, &reader.data, &reader.hash)?);
        reader.prove_edge()?;
        Ok(reader)
    }

    fn unproven(
        data: D,
        hash: H,
        tree: CheckedTree,
        root: &RootHash,
        cache_size: usize,
    ) -> Result<Self, Error> {
        tree.check_root_size(root)?;
        tree.check_size(Storage::Data, data.size())?;
        tree.check_size(Storage::Hash, hash.size())?;
        let recent_size = cache_size.div_euclid(8).min(RECENT_SIZE);
        let data_block_size = usize::try_from(tree.params().data_block_size()).unwrap_or(usize::MAX);
        let recent = Cache::new(recent_size, data_block_size);
        let cache = Cache::new(cache_size.saturating_sub(recent_size), tree.layout().block_size());
        let hasher = tree.params().hasher();
        Ok(VerifiedReader {
            data,
            hash,
            tree,
            hasher,
            root: *root,
            top: None,
            cache,
            recent,
            ahead: None,
            zero_digest: OnceLock::new(),
            #[cfg(feature = "fec")]
            healing: None,
        })
    }

    /// Proves the top hash block and the last one of each level.
    fn prove_edge(&mut self) -> Result<(), Error> {
        let Some(top) = self.tree.layout().levels().len().checked_sub(1) else { return Ok(()) };
        self.top = Some(self.prove_or(top, 0, self.root.as_bytes(), &mut |level, block, digest| {
            self.heal(level, block, digest)
        })?);
        let last = self.tree.layout().levels().first().map_or(0, |level| level.blocks);
        self.hash_block(0, last.saturating_sub(1))?;
        Ok(())
    }

    /// As [`open`](Self::open), but a tree of which nothing is proven will do.
    #[cfg(feature = "fec")]
    pub(crate) fn open_damaged(data: D, hash: H, tree: CheckedTree, root: &RootHash) -> Result<Self, Error> {
        let mut reader = Self::unproven(data, hash, tree, root, DEFAULT_CACHE_SIZE)?;
        if let Some(top) = reader.tree.layout().levels().len().checked_sub(1) {
            reader.top = match reader.prove_or(top, 0, root.as_bytes(), &mut |_, _, _| None) {
                Ok(top) => Some(top),
                Err(Error::BlockMismatch { .. } | Error::SpareNotZero { .. } | Error::Io { .. }) => None,
                Err(other) => return Err(other),
            };
        }
        Ok(reader)
    }

    #[cfg(feature = "fec")]
    pub(crate) fn hasher(&self) -> &BlockHasher {
        &self.hasher
    }

    /// What was healed so far; `None` without parity.
    #[cfg(feature = "fec")]
    pub fn stats(&self) -> Option<&ReadStats> {
        self.healing.as_ref().map(Healing::stats)
    }

    /// Heals a damaged block, if there is parity and it is enough.
    #[cfg(feature = "fec")]
    fn heal(&self, level: Option<usize>, block: u64, digest: &[u8]) -> Option<Arc<[u8]>> {
        self.healing.as_ref()?.heal(self, level, block, digest)
    }

    #[cfg(not(feature = "fec"))]
    fn heal(&self, _: Option<usize>, _: u64, _: &[u8]) -> Option<Arc<[u8]>> {
        None
    }

    /// A block that was healed before.
    #[cfg(feature = "fec")]
    fn healed(&self, level: Option<usize>, block: u64) -> Option<Arc<[u8]>> {
        self.healing.as_ref()?.kept(&self.tree, level, block)
    }

    #[cfg(not(feature = "fec"))]
    fn healed(&self, _: Option<usize>, _: u64) -> Option<Arc<[u8]>> {
        None
    }

    /// The tree.
    pub fn tree(&self) -> &HashTree {
        self.tree.tree()
    }

    /// The root hash that all bytes are proven by.
    pub fn root_hash(&self) -> &RootHash {
        &self.root
    }

    /// Bytes of proven blocks that are kept now.
    pub fn cached_bytes(&self) -> usize {
        let top = self.top.as_deref().map_or(0, <[u8]>::len);
        let kept = top.saturating_add(self.cache.bytes()).saturating_add(self.recent.bytes());
        let kept = kept.saturating_add(self.ahead.as_ref().map_or(0, Ahead::bytes));
        #[cfg(feature = "fec")]
        let kept = kept.saturating_add(self.healing.as_ref().map_or(0, Healing::bytes));
        kept
    }

    fn read_proven(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        match &self.ahead {
            Some(ahead) => ahead.read(self, offset, buf),
            None => self.read_now(offset, buf),
        }
    }

    fn read_now(&self, offset: u64, mut buf: &mut [u8]) -> Result<(), Error> {
        let block_size = self.data_block_size();
        let mut at = offset;
        while !buf.is_empty() {
            let (block, within) = self.locate(at);
            let whole = if within == 0 { buf.len().checked_div(block_size).unwrap_or(0) } else { 0 };
            let done = if whole > 0 {
                self.read_run(block, whole, buf)?
            } else {
                let proven = self.data_block(block)?;
                let wanted = proven.get(within..).unwrap_or(&[]);
                let len = wanted.len().min(buf.len());
                for (to, from) in buf.iter_mut().zip(wanted) {
                    *to = *from;
                }
                len
            };
            buf = buf.get_mut(done..).unwrap_or(&mut []);
            at = at.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// A proven data block: a kept one, or read now and kept.
    fn data_block(&self, block: u64) -> Result<Arc<[u8]>, Error> {
        let offset = block.saturating_mul(u64::from(self.tree.params().data_block_size()));
        if let Some(kept) = self.recent.get(offset) {
            return Ok(kept);
        }
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, self.data_block_size()).collect();
        // nobody else has it yet
        self.read_run(block, 1, Arc::get_mut(&mut bytes).unwrap_or_default())?;
        self.recent.insert(offset, &bytes);
        Ok(bytes)
    }

    /// Returns true if there are so many bytes from `offset` on.
    fn holds(&self, offset: u64, len: usize) -> bool {
        let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
        end.is_some_and(|end| end <= self.tree.params().data_size())
    }

    /// Which data block holds a byte, and where in it.
    fn locate(&self, offset: u64) -> (u64, usize) {
        let size = u64::from(self.tree.params().data_block_size());
        let within = offset.checked_rem(size).and_then(|within| usize::try_from(within).ok());
        (offset.checked_div(size).unwrap_or(0), within.unwrap_or(0))
    }

    fn data_block_size(&self) -> usize {
        usize::try_from(self.tree.params().data_block_size()).unwrap_or(usize::MAX)
    }

    /// Reads some of the `count` data blocks from `first`, at least one, to the start of `buf` and proves them there.
    /// Returns how many bytes.
    fn read_run(&self, first: u64, count: usize, buf: &mut [u8]) -> Result<usize, Error> {
        let layout = self.tree.layout();
        let data_blocks = self.tree.params().data_blocks();
        if first >= data_blocks {
            return Err(Error::BlockRange { block: first, data_blocks });
        }
        let (parent, slot) = layout.parent(first);
        // all digests of one run are in one hash block
        let siblings = match self.top {
            Some(_) => layout.children_of(0, parent).end.saturating_sub(first),
            None => 1,
        };
        let block_size = self.data_block_size();
        let most = RUN_SIZE.checked_div(block_size).unwrap_or(1).max(1);
        let count = count.min(most).min(usize::try_from(siblings).unwrap_or(usize::MAX));
        let len = count.saturating_mul(block_size);
        let buf =
            buf.get_mut(..len).ok_or(Error::PartialBlock { bytes: len.try_into().unwrap_or(u64::MAX) })?;
        // the digests first: without them there is no use for the data
        let parent = match self.top {
            Some(_) => Some(self.hash_block(0, parent)?),
            None => None,
        };
        let offset = first.saturating_mul(u64::from(self.tree.params().data_block_size()));
        let unread = read(&self.data, Storage::Data, offset, buf).err();
        if unread.is_some() && self.is_healing() && count > 1 {
            // one of them it is
            return self.read_run(first, 1, buf);
        }
        let mut unread = match unread {
            Some(error) if !self.is_healing() => return Err(error),
            unread => unread,
        };

        let digest_size = self.hasher.digest_size();
        let mut digests = vec![0; count.saturating_mul(digest_size)];
        self.hasher.hash_blocks(buf, block_size, &mut digests, digest_size);
        for ((i, digest), bytes) in
            digests.chunks_exact(digest_size).enumerate().zip(buf.chunks_exact_mut(block_size))
        {
            let expected = match &parent {
                Some(parent) => parent.get(layout.slot(slot.saturating_add(i))),
                None => Some(self.root.as_bytes()),
            };
            if unread.is_none() && expected == Some(digest) {
                continue;
            }
            let block = first.saturating_add(u64::try_from(i).unwrap_or(u64::MAX));
            self.mend(block, expected, bytes, unread.take())?;
        }
        Ok(len)
    }

    /// Puts the healed block in the place of one that is not what is `expected` of it, or that could not be read.
    fn mend(
        &self,
        block: u64,
        expected: Option<&[u8]>,
        bytes: &mut [u8],
        unread: Option<Error>,
    ) -> Result<(), Error> {
        let healed = self.healed(None, block).or_else(|| self.heal(None, block, expected?));
        match healed {
            Some(healed) if healed.len() == bytes.len() => {
                bytes.copy_from_slice(&healed);
                Ok(())
            }
            _ => Err(unread.unwrap_or(Error::BlockMismatch { level: None, block })),
        }
    }

    #[cfg(feature = "fec")]
    fn is_healing(&self) -> bool {
        self.healing.is_some()
    }

    #[cfg(not(feature = "fec"))]
    fn is_healing(&self) -> bool {
        false
    }

    /// A proven hash block: a kept one, or read and proven from the nearest kept one above it, or healed. Levels are those of
    /// [`Layout`](crate::Layout), 0 is that of the data's digests.
    ///
    /// # Errors
    /// [`Error::BlockMismatch`], also if there is no such block; [`Error::SpareNotZero`], [`Error::Io`].
    pub fn hash_block(&self, level: usize, block: u64) -> Result<Arc<[u8]>, Error> {
        if self.tree.layout().block_offset(level, block).is_none() {
            return Err(Error::BlockMismatch { level: Some(level), block });
        }
        self.hash_block_or(level, block, &mut |level, block, digest| self.heal(level, block, digest))
    }

    /// The same, where `heal` says what becomes of a damaged one.
    pub(crate) fn hash_block_or(
        &self,
        level: usize,
        block: u64,
        heal: &mut Heal<'_>,
    ) -> Result<Arc<[u8]>, Error> {
        let layout = self.tree.layout();
        let mut unproven = Vec::new();
        let (mut level, mut block) = (level, block);
        let mut proven = loop {
            if let Some(kept) = self.kept(level, block) {
                break kept;
            }
            if level >= layout.levels().len() {
                return Err(Error::BlockMismatch { level: Some(level), block });
            }
            let (parent, slot) = layout.parent(block);
            unproven.push((level, block, slot));
            (level, block) = (level.saturating_add(1), parent);
        };
        for (level, block, slot) in unproven.into_iter().rev() {
            let digest =
                proven.get(layout.slot(slot)).ok_or(Error::BlockMismatch { level: Some(level), block })?;
            proven = self.prove_or(level, block, digest, heal)?;
        }
        Ok(proven)
    }

    fn kept(&self, level: usize, block: u64) -> Option<Arc<[u8]>> {
        if level.saturating_add(1) >= self.tree.layout().levels().len() {
            return self.top.clone();
        }
        let kept = self.cache.get(self.tree.layout().block_offset(level, block)?);
        kept.or_else(|| self.healed(Some(level), block))
    }

    /// Reads a hash block, compares it with its digest, and keeps it. What becomes of a damaged one, `heal` says.
    fn prove_or(
        &self,
        level: usize,
        block: u64,
        digest: &[u8],
        heal: &mut Heal<'_>,
    ) -> Result<Arc<[u8]>, Error> {
        let layout = self.tree.layout();
        let offset =
            layout.block_offset(level, block).ok_or(Error::BlockMismatch { level: Some(level), block })?;
        let bytes = self
            .read_hash_block(offset, level, block, digest)
            .or_else(|error| heal(Some(level), block, digest).ok_or(error))?;
        let children = layout.children_of(level, block);
        let used = usize::try_from(children.end.saturating_sub(children.start)).unwrap_or(usize::MAX);
        if !spare_is_zero(layout, &bytes, used) {
            return Err(Error::SpareNotZero { level, block });
        }
        self.cache.insert(offset, &bytes);
        Ok(bytes)
    }

    fn read_hash_block(
        &self,
        offset: u64,
        level: usize,
        block: u64,
        digest: &[u8],
    ) -> Result<Arc<[u8]>, Error> {
        let block_size = self.tree.layout().block_size();
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, block_size).collect();
        let mut found = [0; MAX_DIGEST];
        let found = found.get_mut(..digest.len()).unwrap_or_default();
        if let Some(buf) = Arc::get_mut(&mut bytes) {
            read(&self.hash, Storage::Hash, offset, buf)?;
            self.hasher.hash_blocks(buf, block_size, found, digest.len());
        }
        if found == digest { Ok(bytes) } else { Err(Error::BlockMismatch { level: Some(level), block }) }
    }
}

#[cfg(feature = "fec")]
impl<D: ReadAt, H: ReadAt> Damaged for VerifiedReader<D, H> {
    fn checked_tree(&self) -> &CheckedTree {
        &self.tree
    }
    fn root(&self) -> &RootHash {
        &self.root
    }
    fn hasher(&self) -> &BlockHasher {
        &self.hasher
    }
    fn sources(&self) -> (&dyn ReadAt, &dyn ReadAt) {
        (&self.data, &self.hash)
    }
    fn hash_block_or(&self, level: usize, block: u64, heal: &mut Heal<'_>) -> Result<Arc<[u8]>, Error> {
        self.hash_block_or(level, block, heal)
    }
}

impl<D: ReadAt, H: ReadAt> ReadAt for VerifiedReader<D, H> {
    fn size(&self) -> u64 {
        self.tree.params().data_size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if !self.holds(offset, buf.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_proven(offset, buf).map_err(|error| {
            buf.fill(0);
            told(error)
        })
    }
}

/// An error as readers tell it.
fn told(error: Error) -> io::Error {
    let kind = match &error {
        Error::Io { error, .. } => error.kind(),
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

impl<D, H> fmt::Debug for VerifiedReader<D, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedReader")
            .field("tree", &self.tree)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}
