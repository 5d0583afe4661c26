//! Forward error correction of dm-verity: what parity covers, how it is interleaved, encoding and repair.
//!
//! ```text
//! message     | data blocks | hash area from the first tree block on | zeros |     k rows of `rounds` blocks
//! codeword i  byte i of each row (k message symbols), then `roots` bytes of parity
//! parity      parity of codeword 0 | parity of codeword 1 | …                      no header, no padding
//! ```
//!
//! Block `b` of the message is symbol `b / rounds` of the codewords of row of blocks `b % rounds`, so that a run of lost blocks
//! takes one symbol at a time from each codeword. The bytes are those of `veritysetup`. Nothing about them is on disk: neither
//! the number of roots, nor how much of the hash area was covered.

mod dispatch;
mod encode;
mod find;
mod heal;
pub(crate) mod kernel;
mod reed_solomon;
mod repair;
pub(crate) mod row;
mod sum;

#[cfg(target_arch = "aarch64")]
pub(crate) mod aarch64;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64;

pub use find::{FecHints, Fitting};
pub use heal::{Parity, ReadStats};
pub use reed_solomon::{MAX_ROOTS, MIN_ROOTS};
pub use repair::{Repair, RepairSources, Repaired, Sink};
pub use sum::PendingParity;

pub(crate) use heal::{Damaged, Healing};

use crate::error::{Error, Storage};
use crate::params::MAX_OFFSET;
use crate::tree::{HashTree, read};
use ddi_io::ReadAt;

/// What `veritysetup` takes if nothing is said.
pub const DEFAULT_ROOTS: u32 = 2;

/// Parity of a verity device: how many roots its code has, what it covers, and where each block is in it.
///
/// Only made from numbers with which nothing overflows.
///
/// ```
/// use ddi_verity::{Algorithm, FecLayout, HashTree, HashType, Params, Placement, Salt};
///
/// let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 262144, Salt::EMPTY)?;
/// let tree = HashTree::new(params, Placement::Superblock(0))?;
/// let fec = FecLayout::new(&tree, 2, tree.layout().tree().end)?;
/// assert_eq!((fec.rounds(), fec.parity_size()), (1045, 8560640));
/// # Ok::<(), ddi_verity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FecLayout {
    pub(crate) roots: usize,
    pub(crate) block_size: u64,
    pub(crate) data_blocks: u64,
    pub(crate) hash_blocks: u64,
    /// Of the first tree block, in bytes of the hash source.
    pub(crate) hash_start: u64,
    pub(crate) rounds: u64,
}

impl FecLayout {
    /// Parity of `roots` bytes a codeword, over the data of `tree` and the hash source up to `covered_end`.
    ///
    /// `covered_end` is in bytes from the start of the hash source, and is rounded down to whole blocks: the size of the hash
    /// source if the parity is elsewhere, otherwise the offset of the parity. What is between the tree and that end is covered
    /// too; the superblock never is.
    ///
    /// # Errors
    /// [`Error::FecRoots`], [`Error::FecBlockSizes`], [`Error::TooShort`] if the tree is not covered whole,
    /// [`Error::FecTooLarge`].
    pub fn new(tree: &HashTree, roots: u32, covered_end: u64) -> Result<Self, Error> {
        let params = tree.params();
        let known_roots = usize::try_from(roots).ok().filter(|n| (MIN_ROOTS..=MAX_ROOTS).contains(n));
        let roots = known_roots.ok_or(Error::FecRoots { found: roots })?;
        if params.data_block_size() != params.hash_block_size() {
            return Err(Error::FecBlockSizes {
                data: params.data_block_size(),
                hash: params.hash_block_size(),
            });
        }
        tree.check_size(Storage::Hash, covered_end)?;
        let block_size = u64::from(params.data_block_size());
        let hash_start = tree.layout().tree().start;
        let hash_blocks = (covered_end / block_size).saturating_sub(hash_start / block_size);
        let blocks = params.data_blocks().checked_add(hash_blocks).ok_or(Error::FecTooLarge)?;
        let rounds = blocks.div_ceil((reed_solomon::SYMBOLS - roots) as u64);
        let layout = FecLayout {
            roots,
            block_size,
            data_blocks: params.data_blocks(),
            hash_blocks,
            hash_start,
            rounds,
        };
        // 255 rows, message and parity
        let all = rounds.checked_mul(block_size).and_then(|region| region.checked_mul(255));
        match all {
            Some(all) if all <= MAX_OFFSET => Ok(layout),
            _ => Err(Error::FecTooLarge),
        }
    }

    /// The same with more rounds than the blocks that are there need: for parity that was made when more zeros were behind the
    /// tree, or something that is lost.
    ///
    /// # Errors
    /// [`Error::FecTooLarge`] for fewer rounds than there are, or too many.
    pub fn with_rounds(mut self, rounds: u64) -> Result<Self, Error> {
        let all = rounds.checked_mul(self.block_size).and_then(|region| region.checked_mul(255));
        if rounds < self.rounds || all.is_none_or(|all| all > MAX_OFFSET) {
            return Err(Error::FecTooLarge);
        }
        self.rounds = rounds;
        Ok(self)
    }

    /// Bytes of parity in a codeword.
    pub fn roots(&self) -> usize {
        self.roots
    }

    /// Size of a block in bytes, of data and hash alike.
    pub fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Number of data blocks that are covered.
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// Number of blocks of the hash source that are covered, from the first tree block on.
    pub fn hash_blocks(&self) -> u64 {
        self.hash_blocks
    }

    /// Number of blocks in a row, and so of neighbours that are in different codewords.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Size of the parity in bytes.
    pub fn parity_size(&self) -> u64 {
        self.region() * self.roots as u64
    }

    /// Bytes of a row, which is the number of codewords.
    fn region(&self) -> u64 {
        self.rounds * self.block_size
    }

    /// Message symbols of a codeword.
    pub(crate) fn symbols(&self) -> usize {
        reed_solomon::SYMBOLS - self.roots
    }

    fn data_size(&self) -> u64 {
        self.data_blocks * self.block_size
    }

    /// Bytes of the message that are stored.
    fn message_size(&self) -> u64 {
        (self.data_blocks + self.hash_blocks) * self.block_size
    }

    /// Reads from the message: data, then hash area, then zeros.
    pub(crate) fn read(
        &self,
        data: &dyn ReadAt,
        hash: &dyn ReadAt,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        let (data_size, message_size) = (self.data_size(), self.message_size());
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let end = match at {
                at if at < data_size => data_size,
                at if at < message_size => message_size,
                _ => u64::MAX,
            };
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            if at < data_size {
                read(data, Storage::Data, at, now)?;
            } else if at < message_size {
                read(hash, Storage::Hash, self.hash_start + (at - data_size), now)?;
            } else {
                now.fill(0);
            }
            at += len as u64;
            rest = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
