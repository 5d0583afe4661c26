//! Digests that are known beforehand: of a data block of zeros, of the hash block full of its digest, and so on.

use crate::hash::{BlockHasher, Digest};
use crate::tree::HashTree;

/// Shorter runs of known blocks are hashed with their neighbours, which keeps the lanes of a kernel full.
const RUN: usize = 8;

/// A block and its digest.
pub(crate) struct Known {
    pub(crate) block: Vec<u8>,
    pub(crate) digest: Digest,
}

impl Known {
    /// Writes the digest `count` times.
    pub(crate) fn fill(&self, count: usize, out: &mut [u8], stride: usize) {
        let digest = self.digest.as_bytes();
        for i in 0..count {
            out[i * stride..][..digest.len()].copy_from_slice(digest);
        }
    }
}

/// What stands over data of zeros: a data block first, then the full hash block of each level.
pub(crate) struct Zeros(Vec<Known>);

impl Zeros {
    pub(crate) fn new(tree: &HashTree, hasher: &BlockHasher) -> Self {
        let layout = tree.layout();
        let known = |block: Vec<u8>| Known { digest: hasher.hash_block(&block), block };
        let mut all = vec![known(vec![0; tree.params().data_block_size() as usize])];
        for level in 0..layout.levels().len() {
            // only full blocks, and only where there may be several
            let Some(below) = all.last() else { break };
            if layout.children(level) < 2 * layout.digests_per_block() as u64 {
                break;
            }
            let mut block = vec![0; layout.block_size()];
            for slot in 0..layout.digests_per_block() {
                block[layout.slot(slot)].copy_from_slice(below.digest.as_bytes());
            }
            all.push(known(block));
        }
        Zeros(all)
    }

    /// The data block, or the hash block of level `below`.
    pub(crate) fn known(&self, below: Option<usize>) -> Option<&Known> {
        self.0.get(below.map_or(0, |level| level + 1))
    }
}

/// As [`BlockHasher::hash_blocks`], but blocks that equal the known one are not hashed.
pub(crate) fn hash_around(
    hasher: &BlockHasher,
    known: &Known,
    blocks: &[u8],
    size: usize,
    out: &mut [u8],
    stride: usize,
) {
    let count = blocks.len() / size;
    let is_known = |i: usize| blocks[i * size..][..size] == *known.block;
    let mut hash = |from: usize, to: usize| {
        if from < to {
            hasher.hash_blocks(&blocks[from * size..to * size], size, &mut out[from * stride..], stride);
        }
    };
    let mut fills = Vec::new();
    let mut hashed = 0;
    let mut at = 0;
    while at < count {
        let run = (at..count).take_while(|&i| is_known(i)).count();
        if run >= RUN || (run == count && run > 0) {
            hash(hashed, at);
            fills.push(at..at + run);
            hashed = at + run;
        }
        at += run + 1;
    }
    hash(hashed, count);
    for i in fills.into_iter().flatten() {
        known.fill(1, &mut out[i * stride..], stride);
    }
}

/// Returns true if `bytes` holds nothing but zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // without a branch in the inner loop, so that it is done in vectors
    bytes.chunks(256).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}
