//! Partition tables: how long until an image's table is known to be good, and until one is made; and how long until
//! it is known what all of an image is.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ddi_core::steps::{DissectOptions, DissectionRecord, ReportOptions, VeritySettings};
use ddi_core::{Image, Report};
use ddi_gpt::{BlockSize, Builder, Gpt, Guid, Mode, NewPartition, PartitionType};

/// A table in which each of `entries` entries of 128 bytes is in use.
fn full(entries: u32) -> Builder {
    let root =
        PartitionType::from_name("root-x86-64", None).ok().and_then(PartitionType::guid).expect("a type");
    let builder =
        Builder::new(1 << 30, BlockSize::B512, Guid::from_u128(1)).entries(entries, 128).alignment(4096);
    (1..=entries).fold(builder, |builder, number| {
        let name = format!("os_{number}").parse().expect("a short name");
        builder.partition(NewPartition::new(root, Guid::from_u128(number.into())).size(4096).name(name))
    })
}

/// Both copies read, judged and compared.
fn read(disk: &[u8]) -> Gpt {
    let examination = ddi_gpt::examine(disk.len() as u64, None, |offset, buf| {
        let at = usize::try_from(offset).map_err(|_| "too large")?;
        buf.copy_from_slice(&disk[at..at + buf.len()]);
        Ok::<_, &str>(())
    });
    examination.expect("memory can be read").gpt(Mode::Strict).expect("a good table")
}

fn tables(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gpt");
    for entries in [128, 8192] {
        let builder = full(entries);
        let disk = builder.build().expect("a good table").to_disk();
        // both arrays
        group.throughput(Throughput::Bytes(2 * 128 * u64::from(entries)));
        group.bench_function(BenchmarkId::new("read", entries), |b| b.iter(|| read(black_box(&disk))));
        if entries == 128 {
            group.bench_function(BenchmarkId::new("write", entries), |b| {
                b.iter(|| black_box(&builder).build())
            });
        }
    }
    group.finish();

    let known: Vec<Guid> = PartitionType::all().map(|(guid, _)| guid).collect();
    criterion.bench_function("gpt/type of each of 135 GUIDs", |b| {
        b.iter(|| {
            known
                .iter()
                .filter(|guid| PartitionType::from_guid(black_box(**guid)).designator().is_some())
                .count()
        })
    });
}

/// From bytes in memory to what is used of the image, and to all that `ddi inspect` knows of it.
fn whole_images(criterion: &mut Criterion) {
    let bytes =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw")).expect("the sample");
    let open = || Image::new(Box::new(bytes.clone())).expect("not empty");
    let dissect = |image: &Image| {
        let options = DissectOptions::new(VeritySettings::new(None, image.sidecars()));
        DissectionRecord::new(image, &options).outcome.is_ok()
    };
    assert!(dissect(&open()));
    let mut group = criterion.benchmark_group("image");
    group.bench_function("dissect", |b| {
        b.iter_batched(&open, |image| dissect(black_box(&image)), BatchSize::SmallInput)
    });
    group.bench_function("report", |b| {
        b.iter_batched(
            &open,
            |image| Report::new(black_box(&image), &ReportOptions::new(&image)).findings.len(),
            BatchSize::SmallInput,
        )
    });
    group.finish();
}

criterion_group!(benches, tables, whole_images);
criterion_main!(benches);
