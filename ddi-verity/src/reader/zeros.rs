//! Which blocks are zeros, by their digests.

use std::ops::Range;

use ddi_io::ReadAt;

use crate::error::Error;
use crate::reader::VerifiedReader;

impl<D: ReadAt, H: ReadAt> VerifiedReader<D, H> {
    /// Which of `blocks` are zeros: ranges of data blocks, ascending, with others between them.
    ///
    /// No data is read: a proven digest that is that of a block of zeros says so. What is left out is not zeros, or there is
    /// no such block. Takes one hash block for each 128 of the usual size, and memory for as many ranges as there are; so ask for
    /// part of a large device at a time.
    ///
    /// # Errors
    /// [`Error::BlockMismatch`], [`Error::SpareNotZero`], [`Error::Io`], of the hash blocks.
    pub fn zeros(&self, blocks: Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        let layout = self.tree.layout();
        let end = blocks.end.min(self.tree.params().data_blocks());
        let zero = self.zero_digest();
        let mut found: Vec<Range<u64>> = Vec::new();
        let mut block = blocks.start;
        while block < end {
            let (parent, slot) = layout.parent(block);
            let (digests, siblings) = match self.top {
                Some(_) => (Some(self.hash_block(0, parent)?), layout.children_of(0, parent).end),
                // one block, whose digest is the root hash
                None => (None, end),
            };
            for (slot, block) in (slot..).zip(block..siblings.min(end)) {
                let digest = match &digests {
                    Some(digests) => digests.get(layout.slot(slot)),
                    None => Some(self.root.as_bytes()),
                };
                if digest != Some(zero) {
                    continue;
                }
                match found.last_mut() {
                    Some(last) if last.end == block => last.end = block.saturating_add(1),
                    _ => found.push(block..block.saturating_add(1)),
                }
            }
            block = siblings.max(block.saturating_add(1));
        }
        Ok(found)
    }

    fn zero_digest(&self) -> &[u8] {
        let digest = self.zero_digest.get_or_init(|| {
            let block = vec![0; self.data_block_size()];
            self.hasher.hash_block(&block)
        });
        digest.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use crate::hash::{Algorithm, HashType, RootHash};
    use crate::options::Options;
    use crate::params::{Params, Salt};
    use crate::tree::HashTree;
    use crate::{CheckedTree, Placement};

    use super::*;

    fn build(data: &[u8], block_size: u32, salt: &[u8]) -> (Vec<u8>, CheckedTree, RootHash) {
        let blocks = data.len() as u64 / u64::from(block_size);
        let salt = Salt::new(salt).unwrap();
        let params = Params::new(HashType::Normal, Algorithm::Sha256, block_size, block_size, blocks, salt);
        let tree = HashTree::new(params.unwrap(), Placement::Bare(0)).unwrap().vouched();
        let hash = Mutex::new(Vec::new());
        let root = tree.build(&data, &hash, &Options::new()).unwrap();
        (hash.into_inner().unwrap(), tree, root)
    }

    #[test]
    fn blocks_of_zeros_are_known_without_reading_them() {
        for (block_size, salt) in [(512_u32, &b""[..]), (512, b"salt"), (1024, b"")] {
            let size = block_size as usize;
            let zero = |block: u64| block % 7 < 3 || (100..200).contains(&block) || block == 299;
            let data: Vec<u8> = (0..300)
                .flat_map(|block| vec![if zero(block) { 0 } else { block as u8 | 1 }; size])
                .collect();
            let (hash, tree, root) = build(&data, block_size, salt);
            // nothing is read: there is nothing to read
            let none = vec![0xff; data.len()];
            let reader = VerifiedReader::open(none, hash, tree, &root).unwrap();
            for (start, end) in
                [(0, 300), (0, u64::MAX), (1, 5), (16, 17), (150, 299), (299, 300), (300, 400), (9, 9)]
            {
                let found = reader.zeros(start..end).unwrap();
                let mut expected = Vec::new();
                for block in (start..end.min(300)).filter(|block| zero(*block)) {
                    match expected.last_mut() {
                        Some(Range { end, .. }) if *end == block => *end += 1,
                        _ => expected.push(block..block + 1),
                    }
                }
                assert_eq!(found, expected, "{start}..{end} of {block_size}");
            }
        }
    }

    #[test]
    fn of_a_single_block_the_root_hash_says_it() {
        for (data, zeros) in [(vec![0; 4096], Some(0..1)), (vec![1; 4096], None)] {
            let (hash, tree, root) = build(&data, 4096, b"");
            let reader = VerifiedReader::open(data, hash, tree, &root).unwrap();
            assert_eq!(reader.zeros(0..9).unwrap().first(), zeros.as_ref());
        }
    }

    #[test]
    fn nothing_is_said_of_digests_that_are_not_proven() {
        let data = vec![0; 512 * 300];
        let (hash, tree, root) = build(&data, 512, b"");
        // the second block of level 0
        let first = tree.layout().block_offset(0, 1).unwrap() as usize;
        let mut damaged = hash.clone();
        damaged[first + 9] ^= 1;
        let reader = VerifiedReader::open(data, damaged, tree, &root).unwrap();
        assert_eq!(reader.zeros(0..16).unwrap().first(), Some(&(0..16)));
        assert!(matches!(
            reader.zeros(0..17).unwrap_err(),
            Error::BlockMismatch { level: Some(0), block: 1 }
        ));
    }
}
