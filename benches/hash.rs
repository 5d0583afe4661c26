//! How fast blocks are hashed: each backend of this machine beside plain loops over `sha2` and `ring`.
//!
//! `cargo bench --bench hash` runs criterion. `cargo bench --bench hash -- --rounds` prints a table instead:
//! every contender once a round, in turns, by the CPU time of the thread; medians of the rounds, and ratios to
//! `sha2` taken round by round. On a machine with other work to do, believe the ratios.

use criterion::{BenchmarkId, Criterion, Throughput};
use ddi_verity::{Algorithm, Backend, BlockHasher, HashType};
use rustix::time::{ClockId, clock_gettime};

const BLOCK: usize = 4096;

/// Where the data is when it is hashed again and again.
const SIZES: [(&str, usize); 3] = [("L2", 512 << 10), ("L3", 8 << 20), ("DRAM", 512 << 20)];

type Contender = (String, Box<dyn Fn(&[u8], &mut [u8])>);

/// Who takes part, the `sha2` loop first.
fn contenders(algorithm: Algorithm, salt: &[u8]) -> Vec<Contender> {
    fn sha2_loop<H: sha2::Digest + Clone + 'static>(salt: &[u8]) -> Contender {
        let salted = H::new_with_prefix(salt);
        let run = move |data: &[u8], out: &mut [u8]| {
            for (block, out) in
                data.chunks_exact(BLOCK).zip(out.chunks_exact_mut(<H as sha2::Digest>::output_size()))
            {
                out.copy_from_slice(&salted.clone().chain_update(block).finalize());
            }
        };
        ("sha2".into(), Box::new(run))
    }
    fn ring_loop(algorithm: &'static ring::digest::Algorithm, salt: &[u8]) -> Contender {
        let mut salted = ring::digest::Context::new(algorithm);
        salted.update(salt);
        let run = move |data: &[u8], out: &mut [u8]| {
            for (block, out) in data.chunks_exact(BLOCK).zip(out.chunks_exact_mut(algorithm.output_len())) {
                let mut context = salted.clone();
                context.update(block);
                out.copy_from_slice(context.finish().as_ref());
            }
        };
        ("ring".into(), Box::new(run))
    }
    let mut all = match algorithm {
        Algorithm::Sha512 => vec![sha2_loop::<sha2::Sha512>(salt), ring_loop(&ring::digest::SHA512, salt)],
        _ => vec![sha2_loop::<sha2::Sha256>(salt), ring_loop(&ring::digest::SHA256, salt)],
    };
    for backend in Backend::available(algorithm) {
        let hasher = BlockHasher::with_backend(algorithm, HashType::Normal, salt, backend);
        let size = hasher.digest_size();
        all.push((
            backend.name().into(),
            Box::new(move |data, out| hasher.hash_blocks(data, BLOCK, out, size)),
        ));
    }
    all
}

/// Bytes without a pattern (xorshift64).
fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    let mut data = vec![0; len];
    for word in data.chunks_exact_mut(8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        word.copy_from_slice(&x.to_le_bytes());
    }
    data
}

fn criterion_groups() {
    let mut criterion = Criterion::default().configure_from_args();
    let data = noise(SIZES[2].1);
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for (place, size) in SIZES {
            for salt in [0, 32, 64] {
                let mut group = criterion.benchmark_group(format!("{algorithm}/{place}"));
                group.throughput(Throughput::Bytes(size as u64)).sample_size(10);
                let mut out = vec![0; size / BLOCK * algorithm.digest_size()];
                for (name, run) in contenders(algorithm, &data[..salt]) {
                    let id = BenchmarkId::new(name, format!("salt {salt}"));
                    group.bench_function(id, |bencher| bencher.iter(|| run(&data[..size], &mut out)));
                }
                group.finish();
            }
        }
    }
    criterion.final_summary();
}

/// CPU time of this thread, in seconds.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The value below which `part` of all values lie.
fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

fn rounds() {
    let data = noise(SIZES[2].1);
    println!("| algorithm | data in | salt | who | GB/s | 10 % | 90 % | of sha2 | 10 % | 90 % |");
    println!("|---|---|---:|---|---:|---:|---:|---:|---:|---:|");
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let chosen = Backend::detect(algorithm).name();
        for (place, size) in SIZES {
            for salt in [0, 32, 64] {
                let contenders = contenders(algorithm, &data[..salt]);
                // long enough for the clock, short enough to fall between two interruptions
                let repeats = (1 << 20) / size + 1;
                let rounds = if size < 100 << 20 { 41 } else { 5 };
                let mut out = vec![0; size / BLOCK * algorithm.digest_size()];
                let mut wanted = Vec::new();
                let mut speeds = vec![Vec::new(); contenders.len()];
                for _ in 0..rounds {
                    for ((name, run), speeds) in contenders.iter().zip(&mut speeds) {
                        // four lanes of SHA-NI next to EVEX code take a hundred times as long on Intel
                        let slow = name == "sha-ni-x4" && speeds.first().is_some_and(|&speed| speed < 0.1);
                        if slow || (name == "sha-ni-x4" && chosen != name && size > 1 << 20) {
                            continue;
                        }
                        out.fill(0);
                        let start = cpu_time();
                        (0..repeats).for_each(|_| run(&data[..size], &mut out));
                        speeds.push((repeats * size) as f64 / (cpu_time() - start) / 1e9);
                        if wanted.is_empty() {
                            wanted.clone_from(&out);
                        }
                        assert!(out == wanted, "{name} is fast, and wrong");
                    }
                }
                for (i, (name, _)) in contenders.iter().enumerate() {
                    let mut ratios: Vec<_> = speeds[i].iter().zip(&speeds[0]).map(|(a, b)| a / b).collect();
                    if ratios.is_empty() {
                        continue;
                    }
                    let mark = if name == chosen { " *" } else { "" };
                    let mut own = speeds[i].clone();
                    let [low, median, high] = [0.1, 0.5, 0.9].map(|part| quantile(&mut own, part));
                    let [less, ratio, more] = [0.1, 0.5, 0.9].map(|part| quantile(&mut ratios, part));
                    println!(
                        "| {algorithm} | {place} | {salt} | {name}{mark} | {median:.3} | {low:.3} | {high:.3} | {ratio:.2} | {less:.2} | {more:.2} |"
                    );
                }
            }
        }
    }
}

fn main() {
    if std::env::args().any(|arg| arg == "--rounds") { rounds() } else { criterion_groups() }
}
