//! Partition tables that we write, as sfdisk, sgdisk and the `gpt` crate read them, and the reverse.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use ddi_gpt::{Attributes, BlockSize, Builder, Guid, NewPartition, PartitionType};
use serde_json::Value;

use crate::support::{Chance, Folder, ddi, require_tool, run};

/// What a partition is, as every tool tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    number: u64,
    offset: u64,
    size: u64,
    type_guid: String,
    guid: String,
    name: String,
}

const BLOCK_SIZES: [BlockSize; 4] = [BlockSize::B512, BlockSize::B1024, BlockSize::B2048, BlockSize::B4096];

/// Types, names and sizes by chance; unused numbers between.
fn random_table(chance: &mut Chance, block_size: BlockSize, disk_size: u64) -> (Vec<u8>, Vec<Row>, String) {
    let types: Vec<(Guid, PartitionType)> = PartitionType::all().collect();
    let disk_guid = Guid::from_u128(u128::from(chance.next()) << 64 | u128::from(chance.next()));
    let mut builder = Builder::new(disk_size, block_size, disk_guid).alignment(1 << 16);
    let mut number = 0;
    for i in 0..chance.below(12) {
        number += 1 + chance.below(3) as u32;
        let name: String = (0..chance.below(20))
            .map(|_| *chance.pick(&['a', 'Z', '_', '.', '0', 'ü', '根', '🐧']))
            .collect();
        let name = name.parse().unwrap_or_default();
        builder = builder.partition(
            NewPartition::new(
                chance.pick(&types).0,
                Guid::from_u128(u128::from(chance.next()) << 64 | u128::from(i)),
            )
            .number(number)
            .size((1 + chance.below(64)) << 12)
            .attributes(if chance.one_in(2) { Attributes::READ_ONLY } else { Attributes::default() })
            .name(name),
        );
    }
    let table = builder.build().unwrap();
    let rows = (table.gpt().partitions().iter())
        .map(|partition| Row {
            number: partition.number.into(),
            offset: partition.range.offset,
            size: partition.range.size,
            type_guid: partition.type_guid.to_string(),
            guid: partition.guid.to_string(),
            name: partition.name.label().unwrap_or_default(),
        })
        .collect();
    (table.to_disk(), rows, disk_guid.to_string())
}

/// Returns true if sfdisk can be told the size of a sector, as it can from 2.39 on; before, a file has sectors of 512 bytes.
fn sfdisk_sizes() -> &'static [BlockSize] {
    let told = run("sfdisk", ["--help"]).stdout.contains("--sector-size");
    if told { &BLOCK_SIZES } else { &BLOCK_SIZES[..1] }
}

/// What tells it.
fn sector_size(block_size: u32) -> Option<String> {
    (block_size != 512).then(|| format!("--sector-size={block_size}"))
}

fn sfdisk(path: &str, block_size: u32) -> (Vec<Row>, String) {
    let mut args = vec!["--json".to_owned(), path.to_owned()];
    args.extend(sector_size(block_size));
    let text = run("sfdisk", args).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let table = &json["partitiontable"];
    assert_eq!(table["sectorsize"], block_size);
    let lower = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    let rows = (table["partitions"].as_array().into_iter().flatten())
        .map(|row| Row {
            number: row["node"]
                .as_str()
                .unwrap()
                .strip_prefix(path)
                .unwrap()
                .trim_start_matches('p')
                .parse()
                .unwrap(),
            offset: row["start"].as_u64().unwrap() * u64::from(block_size),
            size: row["size"].as_u64().unwrap() * u64::from(block_size),
            type_guid: lower(&row["type"]),
            guid: lower(&row["uuid"]),
            name: row["name"].as_str().unwrap_or_default().to_owned(),
        })
        .collect();
    (rows, lower(&table["id"]))
}

fn ours(path: &str) -> (Vec<Row>, String) {
    let ended = ddi(["inspect", "--json", path]);
    assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
    let json = ended.json();
    assert_eq!(json["table"]["condition"], "intact", "{ended:?}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = (json["partitions"].as_array().unwrap().iter())
        .map(|row| Row {
            number: row["number"].as_u64().unwrap(),
            offset: row["offset"].as_u64().unwrap(),
            size: row["size"].as_u64().unwrap(),
            type_guid: text(&row["type"]),
            guid: text(&row["uuid"]),
            name: text(&row["label"]),
        })
        .collect();
    (rows, text(&json["imageUuid"]))
}

/// As the `gpt` crate reads it.
fn gpt_crate(path: &str, block_size: u32) -> (Vec<Row>, String) {
    let logical = if block_size == 512 {
        gpt::disk::LogicalBlockSize::Lb512
    } else {
        gpt::disk::LogicalBlockSize::Lb4096
    };
    let disk = gpt::GptConfig::new().writable(false).logical_block_size(logical).open(path).unwrap();
    let rows: BTreeMap<u32, Row> = (disk.partitions().iter())
        .map(|(&number, partition)| {
            let row = Row {
                number: number.into(),
                offset: partition.first_lba * u64::from(block_size),
                size: (partition.last_lba - partition.first_lba + 1) * u64::from(block_size),
                type_guid: partition.part_type_guid.guid.to_string().to_lowercase(),
                guid: partition.part_guid.to_string().to_lowercase(),
                name: partition.name.clone(),
            };
            (number, row)
        })
        .collect();
    (rows.into_values().collect(), disk.guid().to_string().to_lowercase())
}

#[test]
fn they_read_what_we_write() {
    if !require_tool("sfdisk") || !require_tool("sgdisk") {
        return;
    }
    let sizes = sfdisk_sizes();
    let folder = Folder::new();
    let path = folder.file("disk");
    for seed in 0..80 {
        let mut chance = Chance(seed);
        let block_size = BLOCK_SIZES[seed as usize % 4];
        let (bytes, rows, disk_guid) = random_table(&mut chance, block_size, 16 << 20);
        fs::write(&path, bytes).unwrap();
        let expected = (rows, disk_guid);
        assert_eq!(ours(&path), expected, "seed {seed}");
        if sizes.contains(&block_size) {
            assert_eq!(sfdisk(&path, block_size.bytes()), expected, "seed {seed}");
            let mut args = vec!["--verify".to_owned(), path.clone()];
            args.extend(sector_size(block_size.bytes()));
            let verify = run("sfdisk", args);
            assert!(verify.ok() && verify.stderr.is_empty(), "seed {seed}: {verify:?}");
        }
        if matches!(block_size, BlockSize::B512 | BlockSize::B4096) {
            assert_eq!(gpt_crate(&path, block_size.bytes()), expected, "seed {seed}");
        }
        if block_size == BlockSize::B512 {
            let sgdisk = run("sgdisk", ["--verify", &path]);
            assert!(sgdisk.stdout.contains("No problems found"), "seed {seed}: {sgdisk:?}");
        }
    }
}

#[test]
fn we_read_what_sfdisk_writes() {
    if !require_tool("sfdisk") {
        return;
    }
    let folder = Folder::new();
    let path = folder.file("disk");
    let sizes = sfdisk_sizes();
    for seed in 0..40 {
        let mut chance = Chance(100 + seed);
        let block_size = chance.pick(sizes).bytes();
        fs::write(&path, vec![0; 16 << 20]).unwrap();
        let mut script = String::from("label: gpt\n");
        for _ in 0..1 + chance.below(9) {
            let type_guid = PartitionType::all().nth(chance.below(135) as usize).unwrap().0;
            let name: String =
                (0..chance.below(12)).map(|_| *chance.pick(&['a', 'b', ' ', '_', 'é'])).collect();
            script += &format!("size={}K, type={type_guid}, name=\"x{name}y\"\n", 64 * (1 + chance.below(8)));
        }
        let mut child = Command::new("sfdisk")
            .args(["--quiet", &path])
            .args(sector_size(block_size))
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{script}");
        assert_eq!(ours(&path), sfdisk(&path, block_size), "{script}");
    }
}

#[test]
fn we_read_what_the_gpt_crate_writes() {
    let folder = Folder::new();
    let path = folder.file("disk");
    for (logical, block_size) in
        [(gpt::disk::LogicalBlockSize::Lb512, 512), (gpt::disk::LogicalBlockSize::Lb4096, 4096)]
    {
        for count in [0, 1, 5, 30] {
            let size = 32u64 << 20;
            let mut file = fs::File::create(&path).unwrap();
            file.set_len(size).unwrap();
            let last = u32::try_from(size / block_size - 1).unwrap();
            gpt::mbr::ProtectiveMBR::with_lb_size(last).overwrite_lba0(&mut file).unwrap();
            let mut disk =
                gpt::GptConfig::new().writable(true).logical_block_size(logical).create(&path).unwrap();
            for number in 0..count {
                disk.add_partition(
                    &format!("part {number}"),
                    100_000,
                    gpt::partition_types::LINUX_FS,
                    0,
                    None,
                )
                .unwrap();
            }
            disk.write().unwrap();
            assert_eq!(ours(&path), gpt_crate(&path, block_size as u32), "{block_size}, {count} partitions");
        }
    }
}
