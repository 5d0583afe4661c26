//! Parity in one pass with the tree: while data comes by in any order, each block is added to the parity of its row.
//!
//! For codes are linear: parity is the sum over all symbols of the symbol times the parity of 1 in its place. That takes the whole
//! parity in memory, and more work a byte than stripes do; but data that is hashed need not be read again, and zeros are free.

use std::sync::{Mutex, PoisonError};

use ddi_io::{ReadAt, WriteAt};

use crate::error::{Error, Storage};
use crate::fec::FecLayout;
use crate::fec::encode::interleave;
use crate::fec::kernel::{COLUMN, Detected, Factor};
use crate::fec::reed_solomon::Code;
use crate::hash::RootHash;
use crate::options::Options;
use crate::tree::HashTree;

/// Most bytes of parity in memory.
const MOST: u64 = 32 << 20;
/// Most roots with which this is less work than to read the data again.
const MOST_ROOTS: usize = 4;
/// Bytes of a row of codewords behind one lock.
const SHARD: u64 = 64 << 10;

/// Parity in the making, by [`FecLayout::build`].
#[derive(Debug)]
#[must_use = "the parity is not written yet"]
pub struct PendingParity(Option<Sums>);

impl FecLayout {
    /// Builds the tree as [`HashTree::build`] does, and adds up the parity of the data on the way, if that fits in 32 MiB.
    /// [`finish`](Self::finish) writes it.
    ///
    /// # Errors
    /// As [`HashTree::build`].
    pub fn build(
        &self,
        tree: &HashTree,
        data: &dyn ReadAt,
        hash: &dyn WriteAt,
        options: &Options<'_>,
    ) -> Result<(RootHash, PendingParity), Error> {
        if self.roots() > MOST_ROOTS || self.parity_size() > MOST {
            return Ok((tree.build(data, hash, options)?, PendingParity(None)));
        }
        let sums = Sums::new(self);
        let root = tree.build_observed(data, hash, &|offset, bytes| sums.add(offset, bytes), options)?;
        Ok((root, PendingParity(Some(sums))))
    }

    /// Takes the hash area in, which is complete now, and writes the parity. `data` is that of [`build`](Self::build); it is read
    /// again if the parity did not fit in memory.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn finish(
        &self,
        pending: PendingParity,
        data: &dyn ReadAt,
        hash: &dyn ReadAt,
        parity: &dyn WriteAt,
        offset: u64,
        options: &Options<'_>,
    ) -> Result<(), Error> {
        let Some(sums) = pending.0 else { return self.encode(data, hash, parity, offset, options) };
        self.check_sources(data, hash)?;
        self.check_end(offset)?;
        let mut piece = vec![0; (1_usize << 20).max(self.block_size() as usize)];
        let mut at = self.data_size();
        while at < self.message_size() {
            let len = (self.message_size() - at).min(piece.len() as u64) as usize;
            self.read(data, hash, at, &mut piece[..len])?;
            sums.add(at, &piece[..len]);
            at += len as u64;
        }
        sums.write(parity, offset)
    }
}

/// The parity as it is so far.
#[derive(Debug)]
struct Sums {
    layout: FecLayout,
    kernel: Detected,
    /// For each message symbol and root.
    factors: Vec<Factor>,
    /// Bytes of a row in a shard.
    width: u64,
    /// For each shard a plane for each root, one behind the other.
    shards: Vec<Mutex<Vec<u8>>>,
}

impl Sums {
    fn new(layout: &FecLayout) -> Self {
        let roots = layout.roots();
        let region = layout.region();
        let width = SHARD.max(layout.block_size());
        let shards = (0..region.div_ceil(width)).map(|shard| {
            let bytes = width.min(region - shard * width) as usize * roots;
            Mutex::new(vec![0; bytes])
        });
        let code = Code::new(roots);
        let mut remainder = [0; MOST_ROOTS];
        let mut units = Vec::new();
        code.step(&mut remainder[..roots], 1);
        for _ in 0..layout.symbols() {
            units.push(remainder);
            code.step(&mut remainder[..roots], 0);
        }
        // the last symbol was stepped once, the first as often as there are symbols
        let factors =
            units.iter().rev().flat_map(|unit| unit[..roots].iter().map(|&value| Factor::new(value)));
        Sums {
            layout: layout.clone(),
            kernel: Detected::best(),
            factors: factors.collect(),
            width,
            shards: shards.collect(),
        }
    }

    /// Adds whole blocks, `offset` bytes from the start of the message.
    fn add(&self, offset: u64, mut bytes: &[u8]) {
        let (roots, region) = (self.layout.roots(), self.layout.region());
        let mut at = offset;
        while !bytes.is_empty() {
            let (symbol, within) = (at / region, at % region);
            let (shard, from) = ((within / self.width) as usize, (within % self.width) as usize);
            let Some(sums) = self.shards.get(shard) else { return };
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            let plane = sums.len() / roots;
            let (now, rest) = bytes.split_at(bytes.len().min(plane - from));
            let factors = &self.factors[symbol as usize * roots..][..roots];
            // a block at a time, which is in the nearest cache for all roots but the first
            for (i, block) in now.chunks(self.layout.block_size() as usize).enumerate() {
                let start = from + i * self.layout.block_size() as usize;
                for (factor, plane) in factors.iter().zip(sums.chunks_exact_mut(plane)) {
                    self.kernel.accumulate(block, factor, &mut plane[start..][..block.len()]);
                }
            }
            at += now.len() as u64;
            bytes = rest;
        }
    }

    fn write(&self, parity: &dyn WriteAt, offset: u64) -> Result<(), Error> {
        let roots = self.layout.roots();
        let mut columns = vec![[0; COLUMN]; roots];
        let mut out = Vec::new();
        let mut at = offset;
        for sums in &self.shards {
            let sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            out.resize(sums.len(), 0);
            let plane = sums.len() / roots;
            for (start, out) in (0..plane).step_by(COLUMN).zip(out.chunks_exact_mut(COLUMN * roots)) {
                for (column, plane) in columns.iter_mut().zip(sums.chunks_exact(plane)) {
                    column.copy_from_slice(&plane[start..][..COLUMN]);
                }
                interleave(&columns, out);
            }
            let io = |error| Error::Io { storage: Storage::Parity, offset: at, error };
            parity.write_all_at(at, &out).map_err(io)?;
            at += out.len() as u64;
        }
        Ok(())
    }
}
