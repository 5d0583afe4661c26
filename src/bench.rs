//! `ddi bench`: how fast this machine hashes, and with what.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ddi_verity::{
    Algorithm, Backend, BlockHasher, FileSource, HashTree, HashType, Options, Params, Placement, ReadAt, Salt,
};

use crate::cli::BenchArgs;
use crate::output::{Measured, Speed};
use crate::{ExitStatus, output};

/// What `veritysetup format` has unless told otherwise.
const BLOCK_SIZE: usize = 4096;
const SALT: [u8; 32] = [0x5a; 32];
/// Half a MiB stays in the second-level cache: this measures the kernel, not the memory.
const HOT_BLOCKS: usize = 128;
/// More than any cache has, when no file is named.
const MEMORY: usize = 256 << 20;
/// Odd, so that there is a median. Every contender has a turn in each round: a slow moment hits all of them.
const ROUNDS: usize = 9;
/// One turn of a kernel.
const TURN: Duration = Duration::from_millis(20);

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<ExitStatus> {
    let algorithm = Algorithm::from_name(&args.hash)
        .filter(|algorithm| *algorithm != Algorithm::Sha1)
        .with_context(|| format!("{}: not one of sha256, sha384, sha512", args.hash))?;
    let chosen = Backend::detect(algorithm);
    let available = match &args.backend {
        None => Backend::available(algorithm),
        Some(name) => vec![named(algorithm, name)?],
    };
    let used = if args.backend.is_some() { available[0] } else { chosen };
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    // before anything takes its time
    let (data, from_file): (Box<dyn ReadAt>, bool) = match &args.file {
        Some(path) => {
            let file = FileSource::open(path).with_context(|| path.display().to_string())?;
            let is_enough = file.size() >= BLOCK_SIZE as u64;
            ensure!(is_enough, "{}: it has less than one block of {BLOCK_SIZE} bytes", path.display());
            (Box::new(file), true)
        }
        None => (Box::new(noise(MEMORY)), false),
    };

    let backends = kernels(algorithm, &available);
    let (data_size, trees) = whole_trees(algorithm, used, &*data, threads)?;
    let measured =
        Measured { cpu: cpu(), threads, algorithm, chosen, backends, data_size, from_file, used, trees };
    output::bench(&measured, args.json)?;
    Ok(ExitStatus::Good)
}

fn named(algorithm: Algorithm, name: &str) -> anyhow::Result<Backend> {
    if let Some(backend) = Backend::named(algorithm, name) {
        return Ok(backend);
    }
    let here: Vec<_> = Backend::available(algorithm).into_iter().map(Backend::name).collect();
    if Backend::names(algorithm).contains(&name) {
        bail!("this machine cannot run {name}; it can run {}", here.join(", "));
    }
    bail!("there is no kernel {name} for {algorithm}; this machine can run {}", here.join(", "));
}

/// Each kernel on one thread, with data that is in cache.
fn kernels(algorithm: Algorithm, backends: &[Backend]) -> Vec<(Backend, Speed)> {
    let blocks = noise(HOT_BLOCKS * BLOCK_SIZE);
    let mut digests = vec![0; HOT_BLOCKS * algorithm.digest_size()];
    let hashers: Vec<_> = backends
        .iter()
        .map(|backend| BlockHasher::with_backend(algorithm, HashType::Normal, &SALT, *backend))
        .collect();
    let mut speeds = vec![Vec::new(); backends.len()];
    // the first round warms up
    for round in 0..=ROUNDS {
        for (hasher, speeds) in hashers.iter().zip(&mut speeds) {
            let start = Instant::now();
            let mut passes = 0_u32;
            while start.elapsed() < TURN {
                hasher.hash_blocks(black_box(&blocks), BLOCK_SIZE, &mut digests, algorithm.digest_size());
                black_box(&digests);
                passes += 1;
            }
            if round > 0 {
                speeds.push(f64::from(passes) * blocks.len() as f64 / start.elapsed().as_secs_f64());
            }
        }
    }
    backends.iter().copied().zip(speeds.into_iter().map(speed)).collect()
}

/// The tree over all of the data, by number of threads.
fn whole_trees(
    algorithm: Algorithm,
    backend: Backend,
    data: &dyn ReadAt,
    threads: usize,
) -> anyhow::Result<(u64, Vec<(usize, Speed)>)> {
    let block_size = BLOCK_SIZE as u32;
    let data_blocks = data.size() / u64::from(block_size);
    let salt = Salt::new(&SALT)?;
    let params = Params::new(HashType::Normal, algorithm, block_size, block_size, data_blocks, salt)?;
    let data_size = params.data_size();
    let tree = HashTree::new(params, Placement::Superblock(0))?.vouched();

    let counts: Vec<usize> = std::iter::successors(Some(1), |n| Some(n * 2))
        .take_while(|n| *n < threads)
        .chain([threads])
        .collect();
    let mut speeds = vec![Vec::new(); counts.len()];
    let mut roots = Vec::new();
    for round in 0..=ROUNDS {
        for (threads, speeds) in counts.iter().zip(&mut speeds) {
            let options = Options::new().threads(*threads).backend(backend).hash_every_block(true);
            let start = Instant::now();
            roots.push(tree.root_hash(data, &options)?);
            if round > 0 {
                speeds.push(data_size as f64 / start.elapsed().as_secs_f64());
            }
        }
    }
    if roots.windows(2).any(|pair| pair[0] != pair[1]) {
        bail!(
            "the data changed while it was read, or two runs disagree: root hashes {} and others",
            roots[0]
        );
    }
    Ok((data_size, counts.into_iter().zip(speeds.into_iter().map(speed)).collect()))
}

fn speed(mut samples: Vec<f64>) -> Speed {
    samples.sort_by(f64::total_cmp);
    Speed { median: samples[samples.len() / 2], low: samples[0], high: samples[samples.len() - 1] }
}

/// Bytes without a pattern (xorshift64*): blocks of zeros would be an easy case.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes
}

fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
