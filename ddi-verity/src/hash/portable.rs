//! The `sha1` and `sha2` crates, one block at a time: the reference that every other kernel is compared with.

use super::{Algorithm, HashType, Plan};
use sha1::Sha1;
use sha2::digest::{Digest, Update};
use sha2::{Sha256, Sha384, Sha512};

/// A hasher that has read the salt, if that goes first.
#[derive(Clone)]
pub(super) enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm, prefix: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Sha1::new_with_prefix(prefix)),
            Algorithm::Sha256 => Self::Sha256(Sha256::new_with_prefix(prefix)),
            Algorithm::Sha384 => Self::Sha384(Sha384::new_with_prefix(prefix)),
            Algorithm::Sha512 => Self::Sha512(Sha512::new_with_prefix(prefix)),
        }
    }
}

/// `out` is as long as a digest.
pub(super) fn hash_block(plan: &Plan, block: &[u8], out: &mut [u8]) {
    fn finish(hasher: impl Digest + Update, block: &[u8], suffix: &[u8], out: &mut [u8]) {
        out.copy_from_slice(&hasher.chain(block).chain(suffix).finalize());
    }
    let suffix = if plan.hash_type == HashType::ChromeOs { plan.salt() } else { &[] };
    match plan.portable.clone() {
        Hasher::Sha1(hasher) => finish(hasher, block, suffix, out),
        Hasher::Sha256(hasher) => finish(hasher, block, suffix, out),
        Hasher::Sha384(hasher) => finish(hasher, block, suffix, out),
        Hasher::Sha512(hasher) => finish(hasher, block, suffix, out),
    }
}

pub(super) fn hash_blocks(plan: &Plan, blocks: &[u8], block_size: usize, out: &mut [u8], stride: usize) {
    let digest_size = plan.algorithm.digest_size();
    for (block, out) in blocks.chunks_exact(block_size).zip(out.chunks_mut(stride)) {
        hash_block(plan, block, &mut out[..digest_size]);
    }
}
