//! Many reads at once: their blocks are hashed together, wherever they lie.

use std::io;
use std::sync::Arc;

use ddi_io::ReadAt;

use super::{RUN_SIZE, VerifiedReader, told};
use crate::error::{Error, Storage};
use crate::tree::read;

/// A read of so many blocks or more fills the lanes of a kernel by itself.
const ALONE: usize = 16;

/// Where some of the bytes of a block go: which read, from which of its bytes on.
struct Part {
    /// Number of the block in the batch.
    index: usize,
    within: usize,
    len: usize,
    read: usize,
    at: usize,
}

/// Blocks that are read, hashed and judged together, ascending.
#[derive(Default)]
struct Batch {
    blocks: Vec<u64>,
    parts: Vec<Part>,
    bytes: Vec<u8>,
    digests: Vec<u8>,
    /// What the digests must be, one behind the other.
    expected: Vec<u8>,
}

impl<D: ReadAt, H: ReadAt> VerifiedReader<D, H> {
    /// Fills each of the buffers from its offset on, as [`read_exact_at`](ReadAt::read_exact_at) would, one by one; but their blocks
    /// are read in the order in which they lie, and hashed many at a time, which a single small read cannot be.
    ///
    /// Memory: 256 KiB for blocks (or one block), and a word for each read.
    ///
    /// # Errors
    /// As for a single read; of several blocks that are not what the root hash says, one is named. Then all of the buffers
    /// are zeroed.
    ///
    /// ```
    /// # use std::sync::Mutex;
    /// # use ddi_verity::{Algorithm, HashTree, HashType, Options, Params, Placement, Salt, VerifiedReader};
    /// # let data: Vec<u8> = (0..300 * 4096).map(|i| (i / 4096) as u8).collect();
    /// # let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 300, Salt::EMPTY)?;
    /// # let tree = HashTree::new(params, Placement::Bare(0))?.vouched();
    /// # let hash = Mutex::new(Vec::new());
    /// # let root = tree.build(&data, &hash, &Options::new())?;
    /// # let reader = VerifiedReader::open(data, hash.into_inner()?, tree, &root)?;
    /// let (mut a, mut b) = ([0; 100], [0; 4096]);
    /// reader.read_many(&mut [(200 * 4096 + 7, &mut a), (3 * 4096, &mut b)])?;
    /// assert_eq!((a, b), ([200; 100], [3; 4096]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_many(&self, reads: &mut [(u64, &mut [u8])]) -> io::Result<()> {
        if reads.iter().any(|(offset, buf)| !self.holds(*offset, buf.len())) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_together(reads).map_err(|error| {
            reads.iter_mut().for_each(|(_, buf)| buf.fill(0));
            told(error)
        })
    }

    fn read_together(&self, reads: &mut [(u64, &mut [u8])]) -> Result<(), Error> {
        let block_size = self.data_block_size();
        let most = RUN_SIZE.checked_div(block_size).unwrap_or(1).max(1);
        let mut order: Vec<usize> = (0..reads.len()).collect();
        order.sort_by_key(|&read| reads.get(read).map(|(offset, _)| *offset));
        let mut batch = Batch::default();
        for read in order {
            let Some((offset, buf)) = reads.get_mut(read) else { continue };
            let (mut offset, len) = (*offset, buf.len());
            if len.checked_div(block_size).unwrap_or(0) >= ALONE {
                self.read_now(offset, buf)?;
                continue;
            }
            let mut at: usize = 0;
            while at < len {
                let (block, within) = self.locate(offset);
                if batch.blocks.last() != Some(&block) {
                    if batch.blocks.len() >= most {
                        self.read_batch(&mut batch, reads)?;
                    }
                    batch.blocks.push(block);
                }
                let now = block_size.saturating_sub(within).min(len.saturating_sub(at));
                let index = batch.blocks.len().saturating_sub(1);
                batch.parts.push(Part { index, within, len: now, read, at });
                at = at.saturating_add(now);
                offset = offset.saturating_add(u64::try_from(now).unwrap_or(u64::MAX));
            }
        }
        self.read_batch(&mut batch, reads)
    }

    /// Reads and proves the blocks, and hands out what is wanted of them.
    fn read_batch(&self, batch: &mut Batch, reads: &mut [(u64, &mut [u8])]) -> Result<(), Error> {
        let (block_size, digest_size) = (self.data_block_size(), self.hasher.digest_size());
        let count = batch.blocks.len();
        batch.bytes.resize(count.saturating_mul(block_size), 0);
        batch.digests.resize(count.saturating_mul(digest_size), 0);
        // the digests first: without them there is no use for the data
        self.expect(&batch.blocks, &mut batch.expected)?;
        // which of the blocks could not be read
        let mut unread: Vec<(u64, Error)> = Vec::new();
        let mut rest = batch.bytes.as_mut_slice();
        for run in batch.blocks.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            let (now, later) =
                rest.split_at_mut_checked(run.len().saturating_mul(block_size)).unwrap_or_default();
            rest = later;
            self.fetch(run, now, &mut unread)?;
        }
        self.hasher.hash_blocks(&batch.bytes, block_size, &mut batch.digests, digest_size);
        let digests = batch.digests.chunks_exact(digest_size).zip(batch.expected.chunks_exact(digest_size));
        let blocks = batch.blocks.iter().zip(batch.bytes.chunks_exact_mut(block_size));
        for ((&block, bytes), (digest, expected)) in blocks.zip(digests) {
            let failed = unread.iter().position(|(unread, _)| *unread == block);
            if failed.is_some() || digest != expected {
                let failed = failed.map(|at| unread.swap_remove(at).1);
                self.mend(block, Some(expected), bytes, failed)?;
            }
        }
        for part in batch.parts.drain(..) {
            let start = part.index.saturating_mul(block_size).saturating_add(part.within);
            let from = batch.bytes.get(start..start.saturating_add(part.len));
            let to = reads
                .get_mut(part.read)
                .and_then(|(_, buf)| buf.get_mut(part.at..part.at.saturating_add(part.len)));
            if let (Some(from), Some(to)) = (from, to) {
                to.copy_from_slice(from);
            }
        }
        batch.blocks.clear();
        Ok(())
    }

    /// What the proven hash blocks say of the data blocks.
    fn expect(&self, blocks: &[u64], expected: &mut Vec<u8>) -> Result<(), Error> {
        let layout = self.tree.layout();
        expected.clear();
        let mut last: Option<(u64, Arc<[u8]>)> = None;
        for &block in blocks {
            if self.top.is_none() {
                expected.extend_from_slice(self.root.as_bytes());
                continue;
            }
            let (parent, slot) = layout.parent(block);
            let proven = match last.take() {
                Some((number, proven)) if number == parent => proven,
                _ => self.hash_block(0, parent)?,
            };
            let digest = proven.get(layout.slot(slot));
            expected.extend_from_slice(digest.ok_or(Error::BlockMismatch { level: None, block })?);
            last = Some((parent, proven));
        }
        Ok(())
    }

    /// Reads blocks that follow each other; with parity, one by one if that fails, and notes which cannot be read.
    fn fetch(&self, run: &[u64], bytes: &mut [u8], unread: &mut Vec<(u64, Error)>) -> Result<(), Error> {
        let block_size = self.data_block_size();
        let offset = |block: u64| block.saturating_mul(u64::try_from(block_size).unwrap_or(u64::MAX));
        let Some(&first) = run.first() else { return Ok(()) };
        let Err(error) = read(&self.data, Storage::Data, offset(first), bytes) else { return Ok(()) };
        if !self.is_healing() {
            return Err(error);
        }
        for (&block, bytes) in run.iter().zip(bytes.chunks_exact_mut(block_size)) {
            if let Err(error) = read(&self.data, Storage::Data, offset(block), bytes) {
                unread.push((block, error));
            }
        }
        Ok(())
    }
}
