//! What was on one thread, on one and on two, in turns: data from a pipe, `TreeWriter`, `HashTree::update`; and small reads
//! through `VerifiedReader` beside one `pread` and one SHA-256 stream.
//!
//! `cargo bench --bench paths [-- MIB [ROUNDS]]`. For each the median and the range of wall and processor time, and of the ratios,
//! which are taken round by round. `benches/paths.sh` runs it, and what concerns whole commands.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use ddi_verity::{
    Algorithm, CheckedTree, FileSource, HashTree, HashType, Options, Params, Placement, ReadAt, RootHash,
    Salt, TreeWriter, VerifiedReader, WriteAt,
};
use sha2::{Digest, Sha256};

const BLOCK: usize = 4096;
const MIB: u64 = 1 << 20;
/// Random reads of one measurement.
const READS: usize = 20_000;
/// Reads that are handed over together.
const TOGETHER: usize = 64;

/// A hash area that is thrown away.
struct Nowhere;

impl WriteAt for Nowhere {
    fn write_all_at(&self, _: u64, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Bench {
    file: File,
    data: FileSource,
    hash: Vec<u8>,
    tree: CheckedTree,
    root: RootHash,
    salt: [u8; 32],
}

impl Bench {
    fn new(mib: u64) -> Self {
        let path = std::env::temp_dir().join(format!("ddi-bench-paths-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        let mut state = 1_u64;
        for _ in 0..mib {
            let words = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            });
            file.write_all(&words.flatten().take(MIB as usize).collect::<Vec<u8>>()).unwrap();
        }
        file.sync_all().unwrap();
        let file = File::open(&path).unwrap();
        let data = FileSource::open(&path).unwrap();
        // the handles keep it
        std::fs::remove_file(&path).unwrap();
        let salt = [0x5a; 32];
        let blocks = mib * MIB / BLOCK as u64;
        let params =
            Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, blocks, Salt::new(&salt).unwrap())
                .unwrap();
        let tree = HashTree::new(params, Placement::Bare(0)).unwrap().vouched();
        let hash = Mutex::new(Vec::new());
        let root = tree.build(&data, &hash, &Options::new()).unwrap();
        Bench { file, data, hash: hash.into_inner().unwrap(), tree, root, salt }
    }

    /// From another thread through a pipe, as a shell has it.
    fn pipe(&self, threads: usize) {
        let (mut out, mut into) = std::io::pipe().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut from = self.file.try_clone().unwrap();
                std::io::Seek::rewind(&mut from).unwrap();
                let mut piece = vec![0; 1 << 16];
                loop {
                    match std::io::Read::read(&mut from, &mut piece).unwrap() {
                        0 => break,
                        len => into.write_all(&piece[..len]).unwrap(),
                    }
                }
            });
            let options = Options::new().threads(threads);
            assert!(self.tree.verify_stream(&mut out, &self.hash, &self.root, &options).unwrap().is_proven());
        });
    }

    /// The same without a pipe and without another process: what the stream costs is what `read` costs.
    fn stream(&self, threads: usize) {
        let mut from = self.file.try_clone().unwrap();
        std::io::Seek::rewind(&mut from).unwrap();
        let options = Options::new().threads(threads);
        assert!(self.tree.verify_stream(&mut from, &self.hash, &self.root, &options).unwrap().is_proven());
    }

    fn write(&self, threads: usize, piece: usize, data: &[u8]) {
        let options = Options::new().threads(threads);
        let mut writer = TreeWriter::new(self.tree.tree().clone(), Nowhere, &options).unwrap();
        for piece in data.chunks(piece) {
            writer.write_all(piece).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), self.root);
    }

    fn update(&self, threads: usize) {
        let (blocks, options) = (self.tree.params().data_blocks(), Options::new().threads(threads));
        let half = 0..blocks / 2;
        let updated =
            self.tree.update(&self.data, &self.hash, &Nowhere, &self.root, &[half], &options).unwrap();
        assert_eq!(updated.root_hash, self.root);
    }

    /// The bound of a small read: one `pread` and one SHA-256 stream, and nothing else.
    fn bound(&self, threads: usize) {
        let mut salted = Sha256::new();
        salted.update(self.salt);
        self.random(threads, |offsets, buf| {
            for offset in offsets {
                self.data.read_exact_at(*offset, buf).unwrap();
                let mut hasher = salted.clone();
                hasher.update(&*buf);
                black_box(hasher.finalize());
            }
        });
    }

    fn read(&self, reader: &impl ReadAt, threads: usize) {
        self.random(threads, |offsets, buf| {
            for offset in offsets {
                reader.read_exact_at(*offset, buf).unwrap();
                black_box(&buf);
            }
        });
    }

    fn read_many(&self, reader: &VerifiedReader<&FileSource, &Vec<u8>>, threads: usize) {
        self.random(threads, |offsets, _| {
            let mut bufs = vec![[0; BLOCK]; TOGETHER];
            for offsets in offsets.chunks(TOGETHER) {
                let mut reads: Vec<_> =
                    offsets.iter().zip(&mut bufs).map(|(offset, buf)| (*offset, &mut buf[..])).collect();
                reader.read_many(&mut reads).unwrap();
            }
            black_box(&bufs);
        });
    }

    /// 4 KiB after 4 KiB, of a part of the data for each thread.
    fn in_order(&self, reader: &impl ReadAt) {
        let mut buf = vec![0; BLOCK];
        for block in 0..READS as u64 {
            reader.read_exact_at(block * BLOCK as u64 % self.data.size(), &mut buf).unwrap();
            black_box(&buf);
        }
    }

    /// So many reads by each thread, at the same offsets for everybody.
    fn random(&self, threads: usize, work: impl Fn(&[u64], &mut [u8]) + Sync) {
        let run = |thread: usize| {
            let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(thread as u64 + 1);
            let blocks = self.data.size() / BLOCK as u64;
            let offsets: Vec<_> = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % blocks * BLOCK as u64
            })
            .take(READS)
            .collect();
            work(&offsets, &mut [0; BLOCK]);
        };
        std::thread::scope(|scope| {
            for thread in 1..threads {
                let run = &run;
                scope.spawn(move || run(thread));
            }
            run(0);
        });
    }
}

/// Wall and processor time in seconds.
fn measured(work: &dyn Fn()) -> (f64, f64) {
    let cpu = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    };
    let (start, before) = (Instant::now(), cpu());
    work();
    (start.elapsed().as_secs_f64(), cpu() - before)
}

/// Lowest, median and highest.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}

fn main() {
    // cargo passes --bench
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let mib = numbers.next().unwrap_or(512).max(128);
    let rounds = numbers.next().unwrap_or(9).max(1) as usize;
    let bench = Bench::new(mib);
    let mut data = vec![0; (mib * MIB) as usize];
    bench.data.read_exact_at(0, &mut data).unwrap();
    let reader = || {
        VerifiedReader::open_with_cache(&bench.data, &bench.hash, bench.tree.clone(), &bench.root, 64 << 20)
            .unwrap()
    };
    let (warm, ahead) = (reader(), reader().with_read_ahead(256 << 10));
    let mut all = vec![0; 1 << 20];
    for offset in (0..bench.data.size()).step_by(1 << 20) {
        warm.read_exact_at(offset, &mut all).unwrap();
        ahead.read_exact_at(offset, &mut all).unwrap();
    }

    type Work<'a> = Box<dyn Fn() + 'a>;
    // the name, the work, and what its times are compared with
    let candidates: Vec<(&str, Work<'_>, usize)> = vec![
        ("verify_stream from a pipe, 1 thread", Box::new(|| bench.pipe(1)), 0),
        ("verify_stream from a pipe, 2 threads", Box::new(|| bench.pipe(2)), 0),
        ("verify_stream from a file, 1 thread", Box::new(|| bench.stream(1)), 2),
        ("verify_stream from a file, 2 threads", Box::new(|| bench.stream(2)), 2),
        ("TreeWriter, 1 MiB writes, 1 thread", Box::new(|| bench.write(1, 1 << 20, &data)), 4),
        ("TreeWriter, 1 MiB writes, 2 threads", Box::new(|| bench.write(2, 1 << 20, &data)), 4),
        ("TreeWriter, 4 KiB writes, 1 thread", Box::new(|| bench.write(1, 1 << 12, &data)), 6),
        ("TreeWriter, 4 KiB writes, 2 threads", Box::new(|| bench.write(2, 1 << 12, &data)), 6),
        ("update of half the blocks, 1 thread", Box::new(|| bench.update(1)), 8),
        ("update of half the blocks, 2 threads", Box::new(|| bench.update(2)), 8),
        ("random 4 KiB: pread and one SHA-256", Box::new(|| bench.bound(1)), 10),
        ("random 4 KiB: VerifiedReader", Box::new(|| bench.read(&warm, 1)), 10),
        ("random 4 KiB: VerifiedReader, 2 threads", Box::new(|| bench.read(&warm, 2)), 10),
        ("random 4 KiB: read_many of 64", Box::new(|| bench.read_many(&warm, 1)), 10),
        ("random 4 KiB: read_many of 64, 2 threads", Box::new(|| bench.read_many(&warm, 2)), 10),
        ("4 KiB in order: VerifiedReader", Box::new(|| bench.in_order(&warm)), 15),
        ("4 KiB in order: 256 KiB ahead", Box::new(|| bench.in_order(&ahead)), 15),
    ];
    let mut times: Vec<Vec<(f64, f64)>> = vec![Vec::new(); candidates.len()];
    for _ in 0..rounds {
        for ((_, work, _), times) in candidates.iter().zip(&mut times) {
            times.push(measured(work));
        }
    }
    println!(
        "{mib} MiB, {rounds} rounds in turns; milliseconds: median (lowest); ratios: median (lowest-highest)"
    );
    println!(
        "{:42} {:>18} {:>18} {:>22} {:>22}",
        "", "wall ms", "user+sys ms", "wall, of base", "user+sys, of base"
    );
    for (number, (name, _, base)) in candidates.iter().enumerate() {
        let of = |pick: fn(&(f64, f64)) -> f64| {
            let (low, median, _) = spread(times[number].iter().map(pick).collect());
            format!("{:.1} ({:.1})", median * 1e3, low * 1e3)
        };
        let ratio = |pick: fn(&(f64, f64)) -> f64| {
            let ratios = times[number].iter().zip(&times[*base]).map(|(a, b)| pick(a) / pick(b)).collect();
            let (low, median, high) = spread(ratios);
            format!("{median:.2} ({low:.2}-{high:.2})")
        };
        println!(
            "{name:42} {:>18} {:>18} {:>22} {:>22}",
            of(|t| t.0),
            of(|t| t.1),
            ratio(|t| t.0),
            ratio(|t| t.1)
        );
    }
}
