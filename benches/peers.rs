//! The loop that everybody writes first, as a program of its own: `peers.sh` runs it beside `ddi` and `veritysetup`.
//!
//! ```text
//! cargo bench --bench peers -- LIBRARY THREADS DATA SALT      prints the root hash
//! ```
//! `LIBRARY` is `sha2` or `ring`. The file is mapped, rayon takes the 4096-byte blocks of each hash block, every
//! block is hashed by itself; SHA-256, hash type 1. It builds the whole tree in memory, like a format without the
//! writing, which is also the work of a verify without the reading of the stored tree.

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;

const BLOCK: usize = 4096;
const DIGEST: usize = 32;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [library, threads, data, salt] = arguments.as_slice() else {
        // `cargo bench` runs every bench without arguments: there is nothing to compare with then
        eprintln!("usage: cargo bench --bench peers -- sha2|ring THREADS DATA SALT   (peers.sh does it)");
        return;
    };
    let hash = match library.as_str() {
        "sha2" => sha2_digest,
        "ring" => ring_digest,
        other => panic!("no library {other}"),
    };
    let threads = threads.parse().expect("a number of threads");
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("one pool");
    let file = File::open(data).expect("a data file");
    #[expect(
        unsafe_code,
        reason = "the peer is to be at its best; nobody writes to the file during a measurement"
    )]
    // SAFETY: the file is not changed while the program runs
    let map = unsafe { memmap2::Mmap::map(&file) }.expect("a mapping");
    println!("{}", hex(&root_hash(hash, &from_hex(salt), &map)));
}

fn sha2_digest(salt: &[u8], block: &[u8]) -> [u8; DIGEST] {
    Sha256::new().chain_update(salt).chain_update(block).finalize().into()
}

fn ring_digest(salt: &[u8], block: &[u8]) -> [u8; DIGEST] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(salt);
    context.update(block);
    context.finish().as_ref().try_into().expect("32 bytes")
}

fn root_hash(hash: fn(&[u8], &[u8]) -> [u8; DIGEST], salt: &[u8], data: &[u8]) -> [u8; DIGEST] {
    let mut level = one_level(hash, salt, data);
    while level.len() > DIGEST {
        level.resize(level.len().next_multiple_of(BLOCK), 0);
        level = one_level(hash, salt, &level);
    }
    level.try_into().expect("one digest")
}

fn one_level(hash: fn(&[u8], &[u8]) -> [u8; DIGEST], salt: &[u8], blocks: &[u8]) -> Vec<u8> {
    let mut digests = vec![0; blocks.len() / BLOCK * DIGEST];
    blocks.par_chunks(BLOCK * BLOCK / DIGEST).zip(digests.par_chunks_mut(BLOCK)).for_each(
        |(blocks, digests)| {
            for (block, digest) in blocks.chunks_exact(BLOCK).zip(digests.chunks_exact_mut(DIGEST)) {
                digest.copy_from_slice(&hash(salt, block));
            }
        },
    );
    digests
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
