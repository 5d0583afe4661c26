//! A tree computed while the data is written: [`TreeWriter`].

use core::fmt;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::error::{Error, Storage};
use crate::hash::{BlockHasher, Digest, RootHash};
use crate::layout::Layout;
use crate::options::Options;
use crate::parallel::{self, Crew};
use crate::tree::{HashTree, Zeros, batch, hash_around};
use ddi_io::WriteAt;

/// Bytes of small writes that are hashed together, if a block is not more.
const GATHER: usize = 64 << 10;
/// Bytes that one thread hashes together where there are several, if a block is not more.
const CLAIM: usize = 256 << 10;

/// Computes a tree from data as it comes by, so that an image that is being made need not be read again.
///
/// The data goes in as a stream ([`io::Write`]), or by block in any order ([`write_blocks`](Self::write_blocks),
/// [`write_zeros`](Self::write_zeros)), each block exactly once; it is not kept. Hash blocks go out as soon as they are
/// complete, and the root hash comes from [`finish`](Self::finish).
///
/// The data is copied, and hashed by threads that the writer has for itself until it ends, while the caller makes more of it; where
/// they cannot follow, the caller's thread does its part. With [`Options::threads`] of 1, and for data of less than 4 MiB, all is done on
/// the calling thread and nothing copied but what is gathered of small writes.
///
/// # Memory
/// In order: less than 128 KiB a level (or three hash blocks, if that is more) and 64 KiB (or a data block); with several threads
/// instead of the latter three times 256 KiB (or a data block) for each. Out of order: in addition each hash
/// block that is begun and not complete; at worst, with one data block missing everywhere, the size of the tree.
///
/// ```
/// use std::io::Write;
/// use std::sync::Mutex;
/// use ddi_verity::{Algorithm, HashTree, HashType, Options, Params, Placement, Salt, TreeWriter};
///
/// let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 300, Salt::EMPTY)?;
/// let tree = HashTree::new(params, Placement::Bare(0))?;
/// let hash = Mutex::new(Vec::new());
/// let mut writer = TreeWriter::new(tree, &hash, &Options::new())?;
/// for _ in 0..300 {
///     writer.write_all(&[7; 4096])?;
/// }
/// let root = writer.finish()?;
/// assert_eq!(root.as_bytes().len(), 32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TreeWriter<W> {
    tree: HashTree,
    hash: W,
    hasher: BlockHasher,
    zeros: Arc<Zeros>,
    /// Who hashes data, if there is somebody else, and what they are given next.
    crew: Option<Crew<Claim>>,
    claim: Option<Claim>,
    /// Claims that are done with, whose memory is used again.
    spare: Vec<Claim>,
    levels: Vec<Level>,
    /// Of the single block of a tree without levels, or of the top block.
    root: Option<Digest>,
    /// How many data blocks have come.
    blocks: u64,
    /// Bytes that the stream has taken, and those of them that are not hashed yet, from the start of a block on.
    position: u64,
    pending: Vec<u8>,
}

/// Hash blocks of one level that are not written yet.
#[derive(Default)]
struct Level {
    open: BTreeMap<u64, Open>,
    /// Complete ones, by number, to be hashed together.
    full: Vec<(u64, Vec<u8>)>,
}

/// Data blocks whose digests go into one hash block of level 0, one behind the other.
struct Claim {
    number: u64,
    slot: usize,
    /// Of the blocks that are there.
    count: usize,
    bytes: Vec<u8>,
    digests: Vec<u8>,
}

/// A hash block in the making.
struct Open {
    block: Vec<u8>,
    /// One bit for each slot that is taken, even if its digest has yet to come.
    taken: Vec<u64>,
    /// How many digests have come.
    filled: usize,
}

impl Claim {
    /// Without blocks yet, in the memory of another.
    fn begin(number: u64, slot: usize, spare: Option<Claim>) -> Self {
        let (mut bytes, digests) = spare.map(|spare| (spare.bytes, spare.digests)).unwrap_or_default();
        bytes.clear();
        Claim { number, slot, count: 0, bytes, digests }
    }

    fn hash(&mut self, hasher: &BlockHasher, zeros: &Zeros) {
        let digest_size = hasher.digest_size();
        self.digests.resize(self.count * digest_size, 0);
        let size = self.bytes.len() / self.count.max(1);
        match zeros.known(None) {
            Some(known) => hash_around(hasher, known, &self.bytes, size, &mut self.digests, digest_size),
            None => hasher.hash_blocks(&self.bytes, size, &mut self.digests, digest_size),
        }
    }
}

impl Open {
    fn new(layout: &Layout) -> Self {
        let words = layout.digests_per_block().div_ceil(64);
        Open { block: vec![0; layout.block_size()], taken: vec![0; words], filled: 0 }
    }

    /// Takes a slot; `false` if somebody has.
    fn take(&mut self, slot: usize) -> bool {
        let (word, bit) = (&mut self.taken[slot / 64], 1 << (slot % 64));
        let free = *word & bit == 0;
        *word |= bit;
        free
    }

    fn is_taken(&self, slot: usize) -> bool {
        self.taken[slot / 64] & (1 << (slot % 64)) != 0
    }
}

impl<W: WriteAt> TreeWriter<W> {
    /// A writer of the blocks of `tree` to `hash`. Of the options, the threads, the backend and the permission for SHA-1 count.
    ///
    /// # Errors
    /// [`Error::ReadOnlyAlgorithm`] for SHA-1 without [`Options::allow_sha1`].
    pub fn new(tree: HashTree, hash: W, options: &Options<'_>) -> Result<Self, Error> {
        let workers = parallel::workers(options, tree.params().data_size());
        Self::on(workers, tree, hash, options)
    }

    fn on(workers: usize, tree: HashTree, hash: W, options: &Options<'_>) -> Result<Self, Error> {
        tree.check_may_build(options)?;
        let hasher = tree.hasher(options);
        let zeros = Arc::new(Zeros::new(&tree, &hasher));
        let crew = (workers > 1 && !tree.layout().levels().is_empty()).then(|| {
            let (hasher, zeros) = (hasher.clone(), Arc::clone(&zeros));
            Crew::new(workers, move |claim: &mut Claim| claim.hash(&hasher, &zeros))
        });
        Ok(TreeWriter {
            zeros,
            crew,
            claim: None,
            spare: Vec::new(),
            levels: tree.layout().levels().iter().map(|_| Level::default()).collect(),
            tree,
            hash,
            hasher,
            root: None,
            blocks: 0,
            position: 0,
            pending: Vec::new(),
        })
    }

    /// Takes whole data blocks: `bytes.len()` is a multiple of the data block size, the first has number `first`.
    ///
    /// # Errors
    /// [`Error::PartialBlock`], [`Error::BlockRange`], [`Error::BlockTwice`] (some of the blocks may then have been
    /// taken), [`Error::Io`]. After an error the tree cannot be finished.
    pub fn write_blocks(&mut self, first: u64, bytes: &[u8]) -> Result<(), Error> {
        let size = self.tree.params().data_block_size() as usize;
        if !bytes.len().is_multiple_of(size) {
            return Err(Error::PartialBlock { bytes: bytes.len() as u64 });
        }
        self.take(first, (bytes.len() / size) as u64, Some(bytes))
    }

    /// Takes `blocks` data blocks of zeros from number `first` on, such as a hole, without hashing them.
    ///
    /// # Errors
    /// As [`write_blocks`](Self::write_blocks).
    pub fn write_zeros(&mut self, first: u64, blocks: u64) -> Result<(), Error> {
        self.take(first, blocks, None)
    }

    /// Writes what is left of the tree, and returns the root hash. [`WriteAt::sync`] is the caller's.
    ///
    /// # Errors
    /// [`Error::PartialBlock`] if the stream does not end with a block, [`Error::BlocksMissing`], [`Error::Io`].
    pub fn finish(mut self) -> Result<RootHash, Error> {
        self.flush_pending()?;
        if !self.pending.is_empty() {
            return Err(Error::PartialBlock { bytes: self.pending.len() as u64 });
        }
        self.send_claim()?;
        if let Some(crew) = self.crew.take() {
            let done = crew.finish()?;
            // no thread is left when the caller goes on
            drop(crew);
            self.absorb(done)?;
        }
        let missing = self.tree.params().data_blocks() - self.blocks;
        if missing > 0 {
            return Err(Error::BlocksMissing { blocks: missing });
        }
        for level in 0..self.levels.len() {
            self.flush_level(level)?;
        }
        // only an earlier error keeps the top block from being complete
        self.root.map(RootHash::from).ok_or(Error::BlocksMissing { blocks: 1 })
    }

    /// `bytes` are the blocks, `None` stands for zeros.
    fn take(&mut self, first: u64, blocks: u64, bytes: Option<&[u8]>) -> Result<(), Error> {
        let data_blocks = self.tree.params().data_blocks();
        let end = match first.checked_add(blocks) {
            Some(end) if end <= data_blocks => end,
            _ => return Err(Error::BlockRange { block: first.max(data_blocks), data_blocks }),
        };
        let size = self.tree.params().data_block_size() as usize;
        if self.levels.is_empty() {
            return if blocks == 0 { Ok(()) } else { self.take_single(bytes) };
        }
        let mut at = first;
        while at < end {
            let (number, slot) = self.tree.layout().parent(at);
            let next = self.tree.layout().children_of(0, number).end.min(end);
            let part =
                bytes.map(|bytes| &bytes[(at - first) as usize * size..(next - first) as usize * size]);
            self.take_siblings(number, slot, (next - at) as usize, part)?;
            at = next;
        }
        Ok(())
    }

    fn take_single(&mut self, bytes: Option<&[u8]>) -> Result<(), Error> {
        if self.root.is_some() {
            return Err(Error::BlockTwice { block: 0 });
        }
        let zeros = self.zeros.known(None).map(|known| known.digest);
        self.root = bytes.map(|block| self.hasher.hash_block(block)).or(zeros);
        self.blocks = 1;
        Ok(())
    }

    /// `count` data blocks with digests in one hash block, from `slot` on.
    fn take_siblings(
        &mut self,
        number: u64,
        slot: usize,
        count: usize,
        bytes: Option<&[u8]>,
    ) -> Result<(), Error> {
        let layout = self.tree.layout();
        let children = layout.children_of(0, number);
        if self.is_complete(0, number) {
            return Err(Error::BlockTwice { block: children.start + slot as u64 });
        }
        let open = self.levels[0].open.entry(number).or_insert_with(|| Open::new(layout));
        for slot in slot..slot + count {
            if !open.take(slot) {
                return Err(Error::BlockTwice { block: children.start + slot as u64 });
            }
        }
        self.blocks += count as u64;
        let stride = layout.slot_size();
        let out = &mut open.block[slot * stride..];
        if let (Some(_), Some(bytes)) = (&self.crew, bytes) {
            return self.claim(number, slot, bytes);
        }
        if let Some(known) = self.zeros.known(None) {
            match bytes {
                Some(bytes) => hash_around(&self.hasher, known, bytes, bytes.len() / count, out, stride),
                None => known.fill(count, out, stride),
            }
        }
        open.filled += count;
        self.close_if_complete(0, number)
    }

    /// Puts blocks with digests in one hash block into claims, of which those that are full go to the crew.
    fn claim(&mut self, number: u64, slot: usize, mut bytes: &[u8]) -> Result<(), Error> {
        let size = self.tree.params().data_block_size() as usize;
        let most = CLAIM.max(size) / size;
        let per_block = self.tree.layout().digests_per_block();
        let mut slot = slot;
        while !bytes.is_empty() {
            let fits = |claim: &Claim| claim.number == number && claim.slot + claim.count == slot;
            if self.claim.as_ref().is_some_and(|claim| !fits(claim)) {
                self.send_claim()?;
            }
            let spare = &mut self.spare;
            let claim = self.claim.get_or_insert_with(|| Claim::begin(number, slot, spare.pop()));
            let (now, later) = bytes.split_at(bytes.len().min((most - claim.count) * size));
            claim.bytes.extend_from_slice(now);
            claim.count += now.len() / size;
            slot += now.len() / size;
            bytes = later;
            if claim.count == most || slot == per_block {
                self.send_claim()?;
            }
        }
        Ok(())
    }

    /// Gives the claim to the crew, and takes what it has done.
    fn send_claim(&mut self) -> Result<(), Error> {
        match (self.claim.take(), &self.crew) {
            (Some(claim), Some(crew)) => {
                let done = crew.give(claim)?;
                self.absorb(done)
            }
            _ => Ok(()),
        }
    }

    /// Puts the digests of claims where they belong.
    fn absorb(&mut self, done: Vec<Claim>) -> Result<(), Error> {
        for claim in done {
            let layout = self.tree.layout();
            if let Some(open) = self.levels[0].open.get_mut(&claim.number) {
                for (slot, digest) in (claim.slot..).zip(claim.digests.chunks_exact(layout.digest_size())) {
                    open.block[layout.slot(slot)].copy_from_slice(digest);
                }
                open.filled += claim.count;
            }
            self.close_if_complete(0, claim.number)?;
            self.spare.push(claim);
        }
        Ok(())
    }

    /// Returns true if the hash block has left `open`.
    fn is_complete(&self, level: usize, number: u64) -> bool {
        if self.levels[level].open.contains_key(&number) {
            return false;
        }
        let (parent, slot) = self.tree.layout().parent(number);
        match self.levels.get(level + 1) {
            // the top block
            None => self.root.is_some() || !self.levels[level].full.is_empty(),
            Some(above) => match above.open.get(&parent) {
                Some(open) => open.is_taken(slot),
                None => self.is_complete(level + 1, parent),
            },
        }
    }

    fn close_if_complete(&mut self, level: usize, number: u64) -> Result<(), Error> {
        let layout = self.tree.layout();
        let children = layout.children_of(level, number);
        let this = &mut self.levels[level];
        if this.open.get(&number).is_none_or(|open| (open.filled as u64) < children.end - children.start) {
            return Ok(());
        }
        let Some(open) = this.open.remove(&number) else { return Ok(()) };
        this.full.push((number, open.block));
        let is_time = this.full.len() == batch(layout);
        // from now on the slot in the parent tells that this block is done
        let (parent, slot) = layout.parent(number);
        if let Some(above) = self.levels.get_mut(level + 1) {
            above.open.entry(parent).or_insert_with(|| Open::new(layout)).take(slot);
        }
        if is_time { self.flush_level(level) } else { Ok(()) }
    }

    /// Writes the complete blocks of a level and hashes them into the level above.
    fn flush_level(&mut self, level: usize) -> Result<(), Error> {
        let layout = self.tree.layout();
        let (block_size, digest_size) = (layout.block_size(), layout.digest_size());
        let full = core::mem::take(&mut self.levels[level].full);
        let mut digests = vec![0; full.len() * digest_size];
        let mut rest = &full[..];
        let mut out = &mut digests[..];
        while let Some((first, _)) = rest.first() {
            let run = rest.iter().zip(*first..).take_while(|((number, _), next)| number == next).count();
            let blocks: Vec<u8> = rest[..run].iter().flat_map(|(_, block)| block).copied().collect();
            let offset = layout.block_offset(level, *first).ok_or(Error::TreeTooLarge)?;
            let io = |error| Error::Io { storage: Storage::Hash, offset, error };
            self.hash.write_all_at(offset, &blocks).map_err(io)?;
            let (now, later) = out.split_at_mut(run * digest_size);
            match self.zeros.known(Some(level)) {
                Some(known) => hash_around(&self.hasher, known, &blocks, block_size, now, digest_size),
                None => self.hasher.hash_blocks(&blocks, block_size, now, digest_size),
            }
            (rest, out) = (&rest[run..], later);
        }
        for ((number, _), digest) in full.into_iter().zip(digests.chunks_exact(digest_size)) {
            let layout = self.tree.layout();
            let (parent, slot) = layout.parent(number);
            match self.levels.get_mut(level + 1) {
                None => self.root = Digest::from_bytes(digest),
                Some(above) => {
                    if let Some(open) = above.open.get_mut(&parent) {
                        open.block[layout.slot(slot)].copy_from_slice(digest);
                        open.filled += 1;
                    }
                    self.close_if_complete(level + 1, parent)?;
                }
            }
        }
        Ok(())
    }
}

impl<W: WriteAt> TreeWriter<W> {
    /// Takes the whole blocks of what the stream has left.
    fn flush_pending(&mut self) -> Result<(), Error> {
        let size = u64::from(self.tree.params().data_block_size());
        let mut pending = core::mem::take(&mut self.pending);
        let first = (self.position - pending.len() as u64) / size;
        let whole = pending.len() - pending.len() % size as usize;
        self.write_blocks(first, &pending[..whole])?;
        pending.drain(..whole);
        self.pending = pending;
        Ok(())
    }
}

/// Takes the data from its beginning to its end. Small writes are gathered, so that blocks are hashed together.
impl<W: WriteAt> io::Write for TreeWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let params = self.tree.params();
        let (size, data_blocks) = (params.data_block_size() as usize, params.data_blocks());
        let room = usize::try_from(params.data_size() - self.position).unwrap_or(usize::MAX);
        if room == 0 && !bytes.is_empty() {
            return Err(Error::BlockRange { block: data_blocks, data_blocks }.into());
        }
        let bytes = &bytes[..bytes.len().min(room)];
        // whoever hashes for us has gathered enough before it begins
        let gather = if self.crew.is_some() { size } else { GATHER.max(size) };
        let taken = if self.pending.is_empty() && bytes.len() >= gather {
            let whole = bytes.len() - bytes.len() % size;
            self.write_blocks(self.position / size as u64, &bytes[..whole])?;
            self.position += whole as u64;
            whole
        } else {
            let taken = bytes.len().min(gather - self.pending.len());
            self.pending.extend_from_slice(&bytes[..taken]);
            self.position += taken as u64;
            if self.pending.len() == gather {
                self.flush_pending()?;
            }
            taken
        };
        Ok(taken)
    }

    /// Hashes the whole blocks that were gathered; what is left of the last waits for the rest.
    fn flush(&mut self) -> io::Result<()> {
        self.flush_pending()?;
        Ok(self.send_claim()?)
    }
}

impl<W> fmt::Debug for TreeWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeWriter")
            .field("tree", &self.tree)
            .field("blocks", &self.blocks)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::hash::{Algorithm, HashType};
    use crate::tree::model::{Example, SHA256, shapes};

    fn writer<'a>(example: &Example, hash: &'a Mutex<Vec<u8>>) -> TreeWriter<&'a Mutex<Vec<u8>>> {
        writer_on(1, example, hash)
    }

    fn writer_on<'a>(
        workers: usize,
        example: &Example,
        hash: &'a Mutex<Vec<u8>>,
    ) -> TreeWriter<&'a Mutex<Vec<u8>>> {
        TreeWriter::on(workers, example.tree.tree().clone(), hash, &Options::new().allow_sha1(true)).unwrap()
    }

    fn examples() -> Vec<Example> {
        use {Algorithm::*, HashType::*};
        vec![
            Example::new(SHA256, 512, 512, 1, b"s"),
            Example::new(SHA256, 512, 512, 2, b"s"),
            Example::new(SHA256, 512, 512, 5000, b"s"),
            Example::new(SHA256, 4096, 512, 257, b""),
            Example::new((ChromeOs, Sha384), 512, 1024, 700, b"salt"),
            Example::new((ChromeOs, Sha1), 512, 512, 300, b"salt"),
            Example::new((Normal, Sha512), 1024, 512, 600, &[1; 256]),
        ]
    }

    #[test]
    fn a_stream_in_pieces_of_any_size() {
        for example in examples() {
            for (piece, workers) in
                [(1000, 1), (512, 1), (4096, 1), (70_000, 1), (1 << 20, 1), (77, 1), (300_000, 2), (77, 3)]
            {
                let hash = Mutex::new(Vec::new());
                let mut writer = writer_on(workers, &example, &hash);
                for piece in example.data.chunks(piece) {
                    writer.write_all(piece).unwrap();
                    let size = example.tree.params().data_block_size() as usize;
                    assert!(writer.pending.len() < GATHER.max(size));
                }
                assert_eq!(writer.write(&[]).unwrap(), 0);
                assert_eq!(writer.write(&[0]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
                assert_eq!(writer.finish().unwrap(), example.root);
                assert!(hash.into_inner().unwrap() == example.hash);
            }
        }
    }

    #[test]
    fn blocks_in_any_order() {
        for example in examples() {
            let size = example.tree.params().data_block_size() as usize;
            let n = example.tree.params().data_blocks();
            for (step, workers) in [(1, 1), (7, 1), (16, 1), (129, 1), (1000, 1), (1, 2), (7, 3), (16, 2)] {
                let hash = Mutex::new(Vec::new());
                let mut writer = writer_on(workers, &example, &hash);
                for start in (0..step).rev() {
                    for block in (start..n).step_by(step as usize) {
                        let at = block as usize * size;
                        writer.write_blocks(block, &example.data[at..at + size]).unwrap();
                    }
                }
                assert_eq!(writer.finish().unwrap(), example.root);
                assert!(hash.into_inner().unwrap() == example.hash);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Runs of blocks in any order, some of them zeros that are named as such or not; and the same bytes as a stream.
        #[test]
        fn equals_the_tree_of_the_model(
            shape in shapes(),
            runs in prop::collection::vec((1_u64..60, 0_u8..3), 1..12).prop_shuffle(),
            order in any::<u64>(),
            piece in 1_usize..100_000,
            workers in 1_usize..4,
        ) {
            let size = shape.data_block_size as usize;
            let n: u64 = runs.iter().map(|run| run.0).sum();
            let mut data = shape.example(n).data;
            let mut at = 0;
            let mut runs: Vec<_> = runs.into_iter().map(|(blocks, kind)| {
                let first = at;
                at += blocks;
                if kind > 0 {
                    data[first as usize * size..at as usize * size].fill(0);
                }
                (first, blocks, kind)
            }).collect();
            let example = Example::of(shape.params(n), data);
            runs.sort_by_key(|run| run.0.wrapping_add(1).wrapping_mul(order | 1));
            let hash = Mutex::new(Vec::new());
            let mut by_block = writer_on(workers, &example, &hash);
            for (first, blocks, kind) in runs {
                if kind == 2 {
                    by_block.write_zeros(first, blocks).unwrap();
                } else {
                    by_block.write_blocks(first, &example.data[first as usize * size..][..blocks as usize * size]).unwrap();
                }
            }
            prop_assert_eq!(by_block.finish().unwrap(), example.root);
            prop_assert!(hash.into_inner().unwrap() == example.hash);

            let hash = Mutex::new(Vec::new());
            let mut stream = writer_on(workers, &example, &hash);
            for piece in example.data.chunks(piece) {
                stream.write_all(piece).unwrap();
            }
            prop_assert_eq!(stream.finish().unwrap(), example.root);
            prop_assert!(hash.into_inner().unwrap() == example.hash);
        }
    }

    /// A panic of who hashes is an error of who writes; and whoever gives up a writer waits for nobody.
    #[test]
    fn x4_what_goes_wrong_elsewhere_is_told_here() {
        let example = Example::new(SHA256, 512, 512, 20_000, b"s");
        let hash = Mutex::new(Vec::new());
        let mut writer = writer_on(3, &example, &hash);
        // without a word on stderr
        writer.crew = Some(Crew::new(3, |_| std::panic::resume_unwind(Box::new("on purpose"))));
        let mut outcome = Ok(());
        for (first, piece) in example.data.chunks(512 * 1000).enumerate() {
            outcome = outcome.and_then(|()| writer.write_blocks(first as u64 * 1000, piece));
        }
        assert!(matches!(outcome.and_then(|()| writer.finish().map(drop)), Err(Error::Worker)));
        let mut writer = writer_on(3, &example, &hash);
        writer.write_blocks(0, &example.data).unwrap();
        drop(writer);
    }

    /// What is gathered for others is bounded too.
    #[test]
    fn x4_claims_are_few() {
        let example = Example::new(SHA256, 4096, 4096, 8000, b"s");
        let hash = Mutex::new(Vec::new());
        let mut writer = writer_on(3, &example, &hash);
        for piece in example.data.chunks(100_000) {
            writer.write_all(piece).unwrap();
            assert!(writer.pending.len() < 4096 && writer.spare.len() <= 3 * 3);
            assert!(writer.spare.iter().all(|claim| claim.bytes.capacity() <= 2 * CLAIM));
            // each that is begun has at most one claim that is not done
            assert!(writer.levels[0].open.len() <= 3 * 3);
        }
        assert_eq!(writer.finish().unwrap(), example.root);
        assert!(hash.into_inner().unwrap() == example.hash);
    }

    #[test]
    fn in_order_hardly_anything_is_kept() {
        let example = Example::new(SHA256, 512, 512, 20_000, b"s");
        let hash = Mutex::new(Vec::new());
        let mut writer = writer(&example, &hash);
        for piece in example.data.chunks(512 * 100) {
            writer.write_all(piece).unwrap();
            for level in &writer.levels {
                assert!(level.open.len() <= 128 / 16 + 1 && level.full.len() < 128);
            }
        }
    }

    #[test]
    fn zeros_are_zero_blocks() {
        let mut example = Example::new(SHA256, 512, 512, 700, b"s");
        example.data[512 * 3..512 * 650].fill(0);
        let example = Example::of(*example.tree.params(), example.data);
        let hash = Mutex::new(Vec::new());
        let mut writer = writer(&example, &hash);
        writer.write_zeros(3, 647).unwrap();
        writer.write_blocks(650, &example.data[512 * 650..]).unwrap();
        writer.write_blocks(0, &example.data[..512 * 3]).unwrap();
        assert_eq!(writer.finish().unwrap(), example.root);
        assert!(hash.into_inner().unwrap() == example.hash);
    }

    #[test]
    fn each_block_exactly_once() {
        for (n, workers) in [(1, 1), (2, 1), (20, 1), (300, 1), (1, 3), (20, 3), (300, 3)] {
            let example = Example::new(SHA256, 512, 512, n, b"s");
            let writer = |example: &Example, hash| writer_on(workers, example, hash);
            let hash = Mutex::new(Vec::new());
            for twice in [0, n / 2, n - 1] {
                let mut all = writer(&example, &hash);
                all.write_all(&example.data).unwrap();
                all.flush().unwrap();
                let again = all.write_blocks(twice, &[0; 512]).unwrap_err();
                assert!(matches!(again, Error::BlockTwice { block } if block == twice), "{again}");
                let mut most = writer(&example, &hash);
                for block in (0..n).filter(|block| *block != twice) {
                    most.write_zeros(block, 1).unwrap();
                }
                let missing = most.finish().unwrap_err();
                assert!(matches!(missing, Error::BlocksMissing { blocks: 1 }), "{missing}");
            }
            let mut writer = writer(&example, &hash);
            let behind = writer.write_blocks(n, &[0; 512]).unwrap_err();
            assert!(
                matches!(behind, Error::BlockRange { block, data_blocks } if (block, data_blocks) == (n, n))
            );
            assert!(matches!(writer.write_zeros(u64::MAX, 2), Err(Error::BlockRange { .. })));
            assert!(matches!(writer.write_blocks(0, &[0; 100]), Err(Error::PartialBlock { bytes: 100 })));
        }
    }

    #[test]
    fn a_stream_that_is_too_short_or_too_long() {
        let example = Example::new(SHA256, 512, 512, 20, b"s");
        let hash = Mutex::new(Vec::new());
        let mut short = writer(&example, &hash);
        short.write_all(&example.data[..5000]).unwrap();
        assert!(matches!(short.finish(), Err(Error::PartialBlock { bytes: 392 })));
        let mut short = writer(&example, &hash);
        short.write_all(&example.data[..512]).unwrap();
        assert!(matches!(short.finish(), Err(Error::BlocksMissing { blocks: 19 })));
        for too_much in [1, 600] {
            let mut long = writer(&example, &hash);
            long.write_all(&example.data).unwrap();
            assert!(long.write_all(&vec![0; too_much]).is_err());
        }
    }

    /// While their hash block is incomplete too, and each by its own number.
    #[test]
    fn blocks_of_an_open_hash_block_are_taken_once() {
        let example = Example::new(SHA256, 512, 512, 300, b"s");
        let hash = Mutex::new(Vec::new());
        for first in [0, 35] {
            let mut writer = writer(&example, &hash);
            writer.write_blocks(first, &[1; 3 * 512]).unwrap();
            for (again, count, twice) in
                [(first, 1, first), (first + 2, 4, first + 2), (first + 1, 1, first + 1)]
            {
                let error = writer.write_zeros(again, count).unwrap_err();
                assert!(matches!(error, Error::BlockTwice { block } if block == twice), "{error}");
            }
            assert!(format!("{writer:?}").ends_with("blocks: 3, .. }"));
        }
    }
}
