//! Whole trees: built and checked by size, threads and kind of input; with holes, streamed, updated.
//!
//! `cargo bench --bench tree`. Sizes in MiB come from `DDI_BENCH_MIB`, a list such as `1,16,256,1024,4096`. Files are in
//! the folder for temporary files and stay in the page cache.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write};
use std::path::PathBuf;
use std::{env, fs, process};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ddi_verity::{
    Algorithm, CheckedTree, FileSource, HashTree, HashType, Options, Params, Placement, ReadAt, RootHash,
    Salt, TreeWriter, WriteAt,
};

const MIB: u64 = 1 << 20;

fn sizes() -> Vec<u64> {
    let list = env::var("DDI_BENCH_MIB").unwrap_or_else(|_| "1,16,256,1024".into());
    list.split(',').map(|mib| mib.trim().parse::<u64>().expect("a list of sizes in MiB") * MIB).collect()
}

fn tree(size: u64) -> CheckedTree {
    let salt = Salt::new(&[0x5a; 32]).expect("a short salt");
    let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, size / 4096, salt);
    HashTree::new(params.expect("usual parameters"), Placement::Bare(0)).expect("a small tree").vouched()
}

/// Takes the tree and forgets it.
struct Nowhere;
impl WriteAt for Nowhere {
    fn write_all_at(&self, _: u64, bytes: &[u8]) -> io::Result<()> {
        black_box(bytes);
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that differ from block to block.
fn noise(len: u64) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len / 8).flat_map(|_| next()).collect()
}

/// A data file and its tree, gone at the end.
struct Image {
    paths: [PathBuf; 2],
    data: FileSource,
    hash: FileSource,
    tree: CheckedTree,
    root: RootHash,
}

impl Image {
    /// `data_of` 4 MiB in every 4 MiB are data, the rest is a hole.
    fn new(name: &str, size: u64, data_of: u64) -> Self {
        let path = |kind| env::temp_dir().join(format!("ddi-bench-{}-{name}-{size}.{kind}", process::id()));
        let paths = [path("data"), path("hash")];
        let file = File::create(&paths[0]).expect("a temporary file");
        file.set_len(size).expect("a sparse file");
        let noise = noise(MIB);
        for mib in (0..size / MIB).filter(|mib| mib % 4 < data_of) {
            file.write_all_at(mib * MIB, &noise).expect("room for the data");
        }
        let tree = tree(size);
        let data = FileSource::open(&paths[0]).expect("the file just written");
        let hash = File::create(&paths[1]).expect("a temporary file");
        let root = tree.build(&data, &hash, &Options::new()).expect("a tree");
        let hash = FileSource::open(&paths[1]).expect("the file just written");
        Image { paths, data, hash, tree, root }
    }

    fn check(&self, data: &dyn ReadAt, options: &Options<'_>) {
        let verdict = self.tree.verify(data, &self.hash, &self.root, options).expect("a verdict");
        assert!(verdict.is_proven());
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = fs::remove_file(path);
        }
    }
}

fn whole(c: &mut Criterion) {
    let images: Vec<_> = sizes().into_iter().map(|size| (size, Image::new("dense", size, 4))).collect();
    for (what, verify) in [("build", false), ("verify", true)] {
        let mut group = c.benchmark_group(what);
        group.sample_size(10);
        for (size, image) in &images {
            group.throughput(Throughput::Bytes(*size));
            for threads in [1, 2] {
                let options = Options::new().threads(threads);
                let id = BenchmarkId::new(format!("{threads}-threads"), format!("{}MiB", size / MIB));
                group.bench_function(id, |b| {
                    b.iter(|| match verify {
                        true => image.check(&image.data, &options),
                        false => {
                            image.tree.build(&image.data, &Nowhere, &options).expect("a tree");
                        }
                    });
                });
            }
        }
    }
}

/// Memory as the source: no copy.
fn slice(c: &mut Criterion) {
    let image = Image::new("slice", 256 * MIB, 4);
    let mut data = vec![0; (256 * MIB) as usize];
    image.data.read_exact_at(0, &mut data).expect("the data");
    let mut group = c.benchmark_group("verify-slice");
    group.sample_size(10).throughput(Throughput::Bytes(256 * MIB));
    for threads in [1, 2] {
        let options = Options::new().threads(threads);
        group.bench_function(format!("{threads}-threads"), |b| b.iter(|| image.check(&data, &options)));
    }
}

/// Three quarters are holes; with and without knowing of them.
fn holes(c: &mut Criterion) {
    let image = Image::new("holes", 1024 * MIB, 1);
    let mut group = c.benchmark_group("verify-holes");
    group.sample_size(10).throughput(Throughput::Bytes(1024 * MIB));
    for (name, every_block) in [("skipped", false), ("hashed", true)] {
        let options = Options::new().threads(1).hash_every_block(every_block);
        group.bench_function(name, |b| b.iter(|| image.check(&image.data, &options)));
    }
}

fn stream(c: &mut Criterion) {
    let data = noise(64 * MIB);
    let mut group = c.benchmark_group("stream");
    group.sample_size(10).throughput(Throughput::Bytes(64 * MIB));
    for piece in [4 << 10, 64 << 10, 1 << 20] {
        group.bench_function(format!("{}KiB-writes", piece >> 10), |b| {
            b.iter(|| {
                let writer = TreeWriter::new(tree(64 * MIB).tree().clone(), Nowhere, &Options::new());
                let mut writer = writer.expect("a writer");
                for piece in data.chunks(piece) {
                    writer.write_all(piece).expect("nothing to go wrong");
                }
                writer.finish().expect("a root hash")
            });
        });
    }
}

fn update(c: &mut Criterion) {
    let image = Image::new("update", 256 * MIB, 4);
    let blocks = image.tree.params().data_blocks();
    let mut group = c.benchmark_group("update");
    group.sample_size(10);
    for changed in [1, 64, 4096] {
        let ranges: Vec<_> = (0..changed).map(|i| i * (blocks / changed)).map(|at| at..at + 1).collect();
        group.bench_function(format!("{changed}-blocks"), |b| {
            b.iter(|| {
                let options = Options::new();
                image
                    .tree
                    .update(&image.data, &image.hash, &Nowhere, &image.root, &ranges, &options)
                    .expect("an updated tree")
            });
        });
    }
}

criterion_group!(benches, whole, slice, holes, stream, update);
criterion_main!(benches);
