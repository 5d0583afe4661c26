//! Every backend of this machine against the `sha1` and `sha2` crates.

use super::{Algorithm, Backend, BlockHasher, HashType};
use proptest::prelude::*;
use sha2::digest::Digest as _;

const TYPES: [HashType; 2] = [HashType::ChromeOs, HashType::Normal];

/// The digest by the book, with nothing of ours in it.
fn expected(algorithm: Algorithm, hash_type: HashType, salt: &[u8], block: &[u8]) -> Vec<u8> {
    let message = match hash_type {
        HashType::ChromeOs => [block, salt].concat(),
        HashType::Normal => [salt, block].concat(),
    };
    match algorithm {
        Algorithm::Sha1 => sha1::Sha1::digest(message).to_vec(),
        Algorithm::Sha256 => sha2::Sha256::digest(message).to_vec(),
        Algorithm::Sha384 => sha2::Sha384::digest(message).to_vec(),
        Algorithm::Sha512 => sha2::Sha512::digest(message).to_vec(),
    }
}

/// Bytes without a pattern (xorshift64).
fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    let next = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    };
    core::iter::repeat_with(next).flatten().take(len).collect()
}

/// Compares one call of each backend with the book.
fn check(algorithm: Algorithm, hash_type: HashType, salt: &[u8], blocks: &[u8], block_size: usize) {
    let size = algorithm.digest_size();
    let stride = size.next_power_of_two();
    let mut wanted = vec![0xa5; blocks.len() / block_size * stride];
    for (block, out) in blocks.chunks(block_size).zip(wanted.chunks_mut(stride)) {
        out[..size].copy_from_slice(&expected(algorithm, hash_type, salt, block));
    }
    for backend in Backend::available(algorithm) {
        let hasher = BlockHasher::with_backend(algorithm, hash_type, salt, backend);
        let mut out = vec![0xa5; wanted.len()];
        hasher.hash_blocks(blocks, block_size, &mut out, stride);
        assert!(
            out == wanted,
            "{backend} {algorithm} {hash_type:?}: {} blocks of {block_size}, {} bytes of salt",
            blocks.len() / block_size,
            salt.len()
        );
    }
}

#[test]
fn every_salt() {
    let data = noise(256 + 5 * 512);
    let (salt, blocks) = data.split_at(256);
    for algorithm in Algorithm::ALL {
        for hash_type in TYPES {
            for len in 0..=256 {
                check(algorithm, hash_type, &salt[..len], blocks, 512);
            }
        }
    }
}

#[test]
fn every_number_of_blocks() {
    let data = noise(256 + 40 * 1024);
    let (salt, blocks) = data.split_at(256);
    for algorithm in Algorithm::ALL {
        for hash_type in TYPES {
            for len in [0, 1, 32, 64, 119, 128, 256] {
                for n in 0..=40 {
                    check(algorithm, hash_type, &salt[..len], &blocks[..n * 1024], 1024);
                }
            }
        }
    }
}

#[test]
fn every_block_size() {
    let data = noise(37 * (64 << 10));
    for algorithm in Algorithm::ALL {
        for hash_type in TYPES {
            for shift in 9..=16 {
                for n in [1, 37] {
                    check(algorithm, hash_type, &data[7..39], &data[..n << shift], 1 << shift);
                }
            }
            check(algorithm, hash_type, &data[7..39], &data[..3 << 19], 1 << 19);
        }
    }
}

/// Block sizes that verity does not have are answered all the same, by whichever kernel can.
#[test]
fn odd_block_sizes() {
    let data = noise(20 * 1000);
    for algorithm in Algorithm::ALL {
        for hash_type in TYPES {
            for block_size in [1, 63, 64, 65, 128, 192, 256, 1000] {
                for len in [0, 32, 65] {
                    check(algorithm, hash_type, &data[..len], &data[..18 * block_size], block_size);
                }
            }
        }
    }
}

#[test]
fn every_alignment() {
    let data = noise(64 + 19 * 512);
    for algorithm in Algorithm::ALL {
        for len in [0, 20, 32] {
            for offset in 0..64 {
                check(algorithm, HashType::Normal, &data[..len], &data[offset..][..19 * 512], 512);
            }
        }
    }
}

#[test]
fn dirty_upper_registers() {
    let data = noise(37 * 512);
    for algorithm in Algorithm::ALL {
        for backend in Backend::available(algorithm) {
            let hasher = BlockHasher::with_backend(algorithm, HashType::Normal, &data[..32], backend);
            let size = algorithm.digest_size();
            let mut out = vec![0; 37 * size];
            if !super::backend::dirty_upper_registers() {
                eprintln!("skipped: no AVX, no upper halves to make dirty");
                return;
            }
            hasher.hash_blocks(&data, 512, &mut out, size);
            for (block, out) in data.chunks(512).zip(out.chunks(size)) {
                assert_eq!(out, expected(algorithm, HashType::Normal, &data[..32], block), "{backend}");
            }
        }
    }
}

/// Says what of this is not tested on this machine.
#[test]
fn skipped_backends() {
    for algorithm in Algorithm::ALL {
        for name in Backend::names(algorithm) {
            if Backend::named(algorithm, name).is_none() {
                eprintln!("skipped: {name} for {algorithm}: this machine cannot run it");
            }
        }
        assert_eq!(Backend::named(algorithm, "portable"), Some(Backend::portable()));
        assert_eq!(Backend::named(algorithm, "Portable"), None);
        assert!(Backend::available(algorithm).contains(&Backend::detect(algorithm)));
        assert_eq!(Backend::detect(algorithm), Backend::detect(algorithm));
    }
}

/// A hasher asked to use a backend that does not know its algorithm uses another one.
#[test]
fn backend_of_another_algorithm() {
    let data = noise(17 * 512);
    for algorithm in Algorithm::ALL {
        for other in Algorithm::ALL {
            for backend in Backend::available(other) {
                let hasher = BlockHasher::with_backend(algorithm, HashType::Normal, &data[..9], backend);
                assert!(Backend::available(algorithm).contains(&hasher.backend()));
                let mut out = vec![0; 17 * algorithm.digest_size()];
                hasher.hash_blocks(&data, 512, &mut out, algorithm.digest_size());
                let last = expected(algorithm, HashType::Normal, &data[..9], &data[16 * 512..]);
                assert!(out.ends_with(&last), "{backend} {algorithm}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_call(
        algorithm in prop::sample::select(&Algorithm::ALL[..]),
        hash_type in prop::sample::select(&TYPES[..]),
        salt in prop::collection::vec(any::<u8>(), 0..=256),
        n in 0..=40usize,
        shift in 9..=13u32,
        offset in 0..64usize,
        seed in any::<u8>(),
    ) {
        let mut data = noise(offset + (n << shift));
        data.iter_mut().for_each(|byte| *byte ^= seed);
        check(algorithm, hash_type, &salt, &data[offset..], 1usize << shift);
    }
}
