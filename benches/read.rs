//! What proof costs a reader: random 4 KiB and sequential 1 MiB reads through `VerifiedReader`, as a share of plain
//! `pread` and of `HashTree::verify`, on one and two threads.
//!
//! `cargo bench --bench read [-- MIB [ROUNDS]]`. The file is in the page cache. All candidates take turns in each round,
//! so that a noisy machine is noisy for all; what is printed is the median of the rounds, with the quartiles.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use ddi_verity::{
    Algorithm, CheckedTree, FileSource, HashTree, HashType, Options, Params, Placement, ReadAt, RootHash,
    Salt, VerifiedReader,
};

const BLOCK: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Random reads of one measurement.
const READS: u64 = 20_000;

struct Bench {
    data: FileSource,
    hash: Vec<u8>,
    tree: CheckedTree,
    root: RootHash,
}

impl Bench {
    fn new(mib: u64) -> Self {
        let path = std::env::temp_dir().join(format!("ddi-bench-read-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        let mut state = 1_u64;
        for _ in 0..mib {
            let words = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            });
            let block: Vec<u8> = words.flatten().take(MIB as usize).collect();
            file.write_all(&block).unwrap();
        }
        file.sync_all().unwrap();
        let data = FileSource::open(&path).unwrap();
        // the handle keeps it
        std::fs::remove_file(&path).unwrap();
        let salt = Salt::new(&[0x5a; 32]).unwrap();
        let params =
            Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, mib * MIB / BLOCK, salt).unwrap();
        let tree = HashTree::new(params, Placement::Bare(0)).unwrap().vouched();
        let hash = Mutex::new(Vec::new());
        let root = tree.build(&data, &hash, &Options::new()).unwrap();
        Bench { data, hash: hash.into_inner().unwrap(), tree, root }
    }

    fn reader(&self, cache: usize) -> VerifiedReader<&FileSource, &Vec<u8>> {
        VerifiedReader::open_with_cache(&self.data, &self.hash, self.tree.clone(), &self.root, cache).unwrap()
    }
}

/// Offsets of whole blocks, the same for everybody.
fn random_offsets(thread: u64, blocks: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(thread + 1);
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % blocks * BLOCK
    })
}

fn on_threads(threads: u64, work: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for thread in 1..threads {
            let work = &work;
            scope.spawn(move || work(thread));
        }
        work(0);
    });
}

/// `READS` random reads of a block by each thread; returns the bytes.
fn random(source: &dyn ReadAt, threads: u64) -> u64 {
    on_threads(threads, |thread| {
        let mut buf = vec![0; BLOCK as usize];
        for offset in random_offsets(thread, source.size() / BLOCK).take(READS as usize) {
            source.read_exact_at(offset, &mut buf).unwrap();
            black_box(&buf);
        }
    });
    threads * READS * BLOCK
}

/// Everything once, in reads of 1 MiB, each thread a contiguous part; returns the bytes.
fn sequential(source: &dyn ReadAt, threads: u64) -> u64 {
    let part = source.size() / threads;
    on_threads(threads, |thread| {
        let mut buf = vec![0; MIB as usize];
        for offset in (thread * part..(thread + 1) * part).step_by(MIB as usize) {
            source.read_exact_at(offset, &mut buf).unwrap();
            black_box(&buf);
        }
    });
    part * threads
}

type Candidate<'a> = (&'static str, u64, Box<dyn Fn() -> u64 + 'a>);

fn main() {
    // cargo passes --bench
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let mib = numbers.next().unwrap_or(256).next_multiple_of(2);
    let rounds = numbers.next().unwrap_or(15).max(1) as usize;
    let bench = Bench::new(mib);
    let warm = bench.reader(64 << 20);
    sequential(&warm, 1);
    println!("{mib} MiB of data, {rounds} rounds, cache when warm: {} KiB", warm.cached_bytes() >> 10);

    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let bench = &bench;
    let warm = &warm;
    for threads in [1, 2] {
        candidates.push(("random 4 KiB: pread", threads, Box::new(move || random(&bench.data, threads))));
        candidates.push(("random 4 KiB: warm cache", threads, Box::new(move || random(warm, threads))));
        candidates.push((
            "random 4 KiB: cold cache, default size",
            threads,
            Box::new(move || random(&bench.reader(8 << 20), threads)),
        ));
        candidates.push((
            "random 4 KiB: no cache",
            threads,
            Box::new(move || random(&bench.reader(0), threads)),
        ));
        candidates.push((
            "sequential 1 MiB: pread",
            threads,
            Box::new(move || sequential(&bench.data, threads)),
        ));
        candidates.push((
            "sequential 1 MiB: cold cache",
            threads,
            Box::new(move || sequential(&bench.reader(8 << 20), threads)),
        ));
        candidates.push((
            "HashTree::verify",
            threads,
            Box::new(move || {
                let options = Options::new().threads(threads as usize);
                assert!(
                    bench.tree.verify(&bench.data, &bench.hash, &bench.root, &options).unwrap().is_proven()
                );
                bench.data.size()
            }),
        ));
    }

    let mut speeds = vec![Vec::new(); candidates.len()];
    for _ in 0..rounds {
        for ((_, _, run), speeds) in candidates.iter().zip(&mut speeds) {
            let start = Instant::now();
            let bytes = run();
            speeds.push(bytes as f64 / start.elapsed().as_secs_f64() / 1e9);
        }
    }
    for speeds in &mut speeds {
        speeds.sort_by(f64::total_cmp);
    }
    let median = |name: &str, threads| {
        let found = candidates.iter().position(|(n, t, _)| (*n, *t) == (name, threads)).unwrap();
        speeds[found][rounds / 2]
    };
    println!(
        "{:40} {:>7} {:>8} {:>15} {:>9} {:>10}",
        "", "threads", "GB/s", "quartiles", "of pread", "of verify"
    );
    for ((name, threads, _), sorted) in candidates.iter().zip(&speeds) {
        let pread =
            if name.starts_with("random") { "random 4 KiB: pread" } else { "sequential 1 MiB: pread" };
        println!(
            "{name:40} {threads:>7} {:>8.2} {:>7.2}-{:<7.2} {:>8.0}% {:>9.0}%",
            sorted[rounds / 2],
            sorted[rounds / 4],
            sorted[rounds * 3 / 4],
            100.0 * sorted[rounds / 2] / median(pread, *threads),
            100.0 * sorted[rounds / 2] / median("HashTree::verify", *threads),
        );
    }
}
