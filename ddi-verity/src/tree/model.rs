//! The format once more, as plainly as can be: the model that the engine is tested against.

use std::sync::Mutex;

use sha2::Digest as _;

use crate::hash::{Algorithm, HashType, RootHash};
use crate::layout::Placement;
use crate::options::Options;
use crate::params::{Params, Salt};
use crate::tree::HashTree;

/// H(salt, block) or H(block, salt).
fn hash(params: &Params, block: &[u8]) -> Vec<u8> {
    let salt = params.salt().as_bytes();
    let message = match params.hash_type() {
        HashType::Normal => [salt, block].concat(),
        HashType::ChromeOs => [block, salt].concat(),
    };
    match params.algorithm() {
        Algorithm::Sha1 => sha1::Sha1::digest(message).to_vec(),
        Algorithm::Sha256 => sha2::Sha256::digest(message).to_vec(),
        Algorithm::Sha384 => sha2::Sha384::digest(message).to_vec(),
        Algorithm::Sha512 => sha2::Sha512::digest(message).to_vec(),
    }
}

/// The tree as on disk, and the root hash.
pub(crate) fn naive(params: &Params, data: &[u8]) -> (Vec<u8>, RootHash) {
    let block_size = params.hash_block_size() as usize;
    let mut per_block = 1;
    while 2 * per_block * params.digest_size() <= block_size {
        per_block *= 2;
    }
    let slot = match params.hash_type() {
        HashType::Normal => block_size / per_block,
        HashType::ChromeOs => params.digest_size(),
    };
    let data = &data[..params.data_size() as usize];
    let mut digests: Vec<_> =
        data.chunks(params.data_block_size() as usize).map(|block| hash(params, block)).collect();
    let mut tree = Vec::new();
    while digests.len() > 1 {
        let mut level = Vec::new();
        for digests in digests.chunks(per_block) {
            let mut block = vec![0; block_size];
            for (i, digest) in digests.iter().enumerate() {
                block[i * slot..][..digest.len()].copy_from_slice(digest);
            }
            level.push(block);
        }
        digests = level.iter().map(|block| hash(params, block)).collect();
        tree = [level.concat(), tree].concat();
    }
    (tree, RootHash::from_bytes(&digests[0]).unwrap())
}

/// `SHA256(le64(0)) || SHA256(le64(1)) || …`
pub(crate) fn stream(len: usize) -> Vec<u8> {
    let mut data: Vec<u8> =
        (0..len.div_ceil(32) as u64).flat_map(|i| sha2::Sha256::digest(i.to_le_bytes())).collect();
    data.truncate(len);
    data
}

/// Data and a good tree for it.
#[derive(Clone)]
pub(crate) struct Example {
    pub(crate) tree: HashTree,
    pub(crate) data: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    pub(crate) root: RootHash,
}

impl Example {
    /// By the model, of `data_blocks` blocks of [`stream`].
    pub(crate) fn new(
        (hash_type, algorithm): (HashType, Algorithm),
        data_block_size: u32,
        hash_block_size: u32,
        data_blocks: u64,
        salt: &[u8],
    ) -> Self {
        let salt = Salt::new(salt).unwrap();
        let params =
            Params::new(hash_type, algorithm, data_block_size, hash_block_size, data_blocks, salt).unwrap();
        Self::of(params, stream(params.data_size() as usize))
    }

    pub(crate) fn of(params: Params, data: Vec<u8>) -> Self {
        let (hash, root) = naive(&params, &data);
        Example { tree: HashTree::new(params, Placement::Bare(0)).unwrap(), data, hash, root }
    }

    /// The tree as the engine builds it.
    pub(crate) fn built(&self, options: &Options<'_>) -> (Vec<u8>, RootHash) {
        let hash = Mutex::new(Vec::new());
        let root = self.tree.build(&self.data, &hash, options).unwrap();
        (hash.into_inner().unwrap(), root)
    }
}

pub(crate) const SHA256: (HashType, Algorithm) = (HashType::Normal, Algorithm::Sha256);
