//! The format once more, as plainly as can be: the model that the engine is tested against.

use std::sync::Mutex;

use proptest::prelude::*;
use sha2::Digest as _;

use crate::geometry::CheckedTree;
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

/// The tree as on disk, and the root hash. `edit` may change each hash block (level, number, bytes) before it is hashed: the
/// root hash vouches for what it then says.
fn naive(params: &Params, data: &[u8], mut edit: impl FnMut(usize, u64, &mut [u8])) -> (Vec<u8>, RootHash) {
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
    for height in 0.. {
        if digests.len() == 1 {
            break;
        }
        let mut level = Vec::new();
        for (number, digests) in (0..).zip(digests.chunks(per_block)) {
            let mut block = vec![0; block_size];
            for (i, digest) in digests.iter().enumerate() {
                block[i * slot..][..digest.len()].copy_from_slice(digest);
            }
            edit(height, number, &mut block);
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
    pub(crate) tree: CheckedTree,
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
        Self::with(params, data, |_, _, _| ())
    }

    /// As [`naive`]: the root hash vouches for a tree that is not that of the data.
    pub(crate) fn with(params: Params, data: Vec<u8>, edit: impl FnMut(usize, u64, &mut [u8])) -> Self {
        let (hash, root) = naive(&params, &data, edit);
        Example { tree: HashTree::new(params, Placement::Bare(0)).unwrap().vouched(), data, hash, root }
    }

    /// The tree as the engine builds it.
    pub(crate) fn built(&self, options: &Options<'_>) -> (Vec<u8>, RootHash) {
        let hash = Mutex::new(Vec::new());
        let root = self.tree.build(&self.data, &hash, options).unwrap();
        (hash.into_inner().unwrap(), root)
    }
}

pub(crate) const SHA256: (HashType, Algorithm) = (HashType::Normal, Algorithm::Sha256);

/// Every hash type with every algorithm.
pub(crate) fn kinds() -> impl Iterator<Item = (HashType, Algorithm)> {
    let types = [HashType::ChromeOs, HashType::Normal];
    types.into_iter().flat_map(|hash_type| Algorithm::ALL.map(|algorithm| (hash_type, algorithm)))
}

/// What a tree is made with but for the number of blocks. Each is drawn by itself: where two are always the same, code that
/// takes one for the other is right.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) kind: (HashType, Algorithm),
    pub(crate) data_block_size: u32,
    pub(crate) hash_block_size: u32,
    pub(crate) salt: Vec<u8>,
}

impl Shape {
    pub(crate) fn params(&self, data_blocks: u64) -> Params {
        let ((hash_type, algorithm), salt) = (self.kind, Salt::new(&self.salt).unwrap());
        Params::new(hash_type, algorithm, self.data_block_size, self.hash_block_size, data_blocks, salt)
            .unwrap()
    }

    pub(crate) fn example(&self, data_blocks: u64) -> Example {
        let params = self.params(data_blocks);
        Example::of(params, stream(params.data_size() as usize))
    }
}

/// Any shape with blocks of 512 to 8192 bytes.
pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    let salt = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 1..=64),
        prop::collection::vec(any::<u8>(), 65..=256),
    ];
    let kind = prop::sample::select(kinds().collect::<Vec<_>>());
    (kind, 9_u32..14, 9_u32..14, salt).prop_map(|(kind, data_bits, hash_bits, salt)| Shape {
        kind,
        data_block_size: 1 << data_bits,
        hash_block_size: 1 << hash_bits,
        salt,
    })
}

/// A few that differ in all there is: data blocks smaller than hash blocks, larger, and alike; for tests that cost more.
pub(crate) fn some_shapes() -> Vec<Shape> {
    use {Algorithm::*, HashType::*};
    [
        ((Normal, Sha256), 512, 512, &b"salt"[..]),
        ((Normal, Sha256), 512, 4096, b""),
        ((ChromeOs, Sha384), 512, 2048, &[7; 100]),
        ((Normal, Sha512), 4096, 512, &[1; 256]),
        ((ChromeOs, Sha1), 1024, 512, b"s"),
        ((Normal, Sha384), 512, 1024, &[0; 32]),
    ]
    .map(|(kind, data_block_size, hash_block_size, salt)| Shape {
        kind,
        data_block_size,
        hash_block_size,
        salt: salt.to_vec(),
    })
    .to_vec()
}
