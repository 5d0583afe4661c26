//! Makes the seeds that are made from real images: `make-seeds.sh` calls it with a folder of small file systems, named
//! `KIND-anything`, and other files named `TARGET.anything`.
//!
//! An image becomes a list of runs (see `Sparse::from_runs`); runs without which a file system reads the same are left out.

use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use ddi_fs::FsKind;
use ddi_fs::{self as files, Budget, FileType, Step, Vfs, Walk};
use ddi_gpt::{BlockSize, Builder, Guid, Name, NewPartition, PartitionType, verity_guids};
use ddi_verity::{Algorithm, HashTree, HashType, Options, Params, Placement, Salt, Superblock};

/// Largest seed in bytes.
const MAX_SEED: usize = 4096;

fn main() {
    let args: Vec<String> = env::args().collect();
    let [_, from, to] = &args[..] else { panic!("usage: seeds FROM TO") };
    let to = Path::new(to);
    for entry in fs::read_dir(from).expect("the folder with what was made") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        if let Some((target, rest)) = name.split_once('.') {
            write(to, target, rest, bytes);
        } else if let Some((kind, rest)) = name.split_once('-') {
            file_system(to, kind, rest, bytes);
        }
    }
    sample(to);
    tables(to);
    images(to);
    shapes(to);
    clients(to);
}

fn write(to: &Path, target: &str, name: &str, bytes: Vec<u8>) {
    if bytes.len() > MAX_SEED {
        return eprintln!("{target}/{name}: {} bytes, left out", bytes.len());
    }
    let folder = to.join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), bytes).expect("a seed");
}

fn number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

type Run = (usize, Vec<u8>);

/// The parts of an image that are not zero.
fn runs(bytes: &[u8]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let same = rest.iter().take_while(|byte| **byte == rest[0]).count();
        let is_fill = rest[0] != 0 && same > 16;
        match runs.last_mut() {
            _ if rest[0] == 0 && same > 6 => {}
            Some((start, run)) if *start + run.len() == at && !is_fill && run.len() < 120 => {
                run.extend_from_slice(&rest[..same]);
            }
            _ if rest[0] == 0 => {}
            _ => runs.push((at, rest[..same].to_vec())),
        }
        at += same;
    }
    runs
}

fn encode(size: u64, runs: &[Run]) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, size);
    let mut end = 0;
    for (at, run) in runs {
        number(&mut out, (at - end) as u64);
        end = at + run.len();
        if run.len() > 3 && run.iter().all(|byte| *byte == run[0]) {
            number(&mut out, run.len() as u64 * 2 + 1);
            out.push(run[0]);
        } else {
            number(&mut out, run.len() as u64 * 2);
            out.extend_from_slice(run);
        }
    }
    out
}

/// The image again, from its runs, and everything that its reader tells.
fn told(kind: FsKind, size: usize, runs: &[Run]) -> Option<String> {
    let mut bytes = vec![0; size];
    for (at, run) in runs {
        bytes[*at..at + run.len()].copy_from_slice(run);
    }
    let tree = Vfs::new(Some(files::open(Arc::new(bytes), kind).ok()?));
    let mut told = String::new();
    let outcome = Walk::new(Budget::default()).tree(&tree, tree.root(), &mut |walk, visit| {
        let stat = visit.stat?;
        told += &format!("{:?} {stat:?} {:?}", String::from_utf8_lossy(visit.path), tree.xattrs(visit.place));
        match stat.file_type {
            FileType::Symlink => told += &format!("{:?}", tree.link_target(visit.place)),
            FileType::Regular => {
                walk.content(&tree, visit.place, &mut |bytes| {
                    told += &format!("{bytes:?}");
                    Ok(())
                })?;
            }
            _ => {}
        }
        Ok(Step::Continue)
    });
    outcome.ok().map(|()| told)
}

fn file_system(to: &Path, kind_name: &str, name: &str, bytes: Vec<u8>) {
    let kind = FsKind::from_name(kind_name).filter(|kind| files::READABLE.contains(kind));
    let mut runs = runs(&bytes);
    if let Some(kind) = kind {
        // the first copy of everything will do
        let all =
            told(kind, bytes.len(), &runs).unwrap_or_else(|| panic!("{kind_name}-{name} cannot be read"));
        let mut step = runs.len().div_ceil(2).next_power_of_two();
        while step > 0 {
            let mut end = runs.len();
            while end > 0 {
                let start = end.saturating_sub(step);
                let mut fewer = runs.clone();
                fewer.drain(start..end);
                if told(kind, bytes.len(), &fewer).as_ref() == Some(&all) {
                    runs = fewer;
                }
                end = start.min(runs.len());
            }
            step /= 2;
        }
        write(to, &format!("fs_{kind_name}"), name, encode(bytes.len() as u64, &runs));
    }
    // where superblocks are
    runs.retain(|(at, _)| *at < 70_000);
    runs.truncate(40);
    let probe = [&[0][..], &encode(bytes.len() as u64, &runs)].concat();
    write(to, "probe", &format!("{kind_name}-{name}"), probe);
}

/// The pieces of `tests/data/sample.raw`.
fn sample(to: &Path) {
    let image = include_bytes!("../../tests/data/sample.raw");
    write(to, "superblock", "sample", image[126_976..][..512].to_vec());
    let json: Vec<u8> = image[135_168..].iter().copied().take_while(|byte| *byte != 0).collect();
    let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    write(to, "pkcs7", "sample", unbase64(value["signature"].as_str().expect("a text")));
    write(to, "signature_json", "sample", json);
    write(to, "certificate", "sample", include_bytes!("../../tests/data/sample.crt").to_vec());
    let text = String::from_utf8_lossy(include_bytes!("../../tests/data/sample.crt"));
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    write(to, "certificate", "sample-der", unbase64(&body));
    write(to, "boot_record", "sample", [&[0, 104], &image[446..510], &[0, 3]].concat());
    let mut header = vec![0, 47];
    header.extend_from_slice(&image[512..604]);
    // two entries of an array that fits the small disk
    header[2 + 80] = 2;
    write(to, "gpt_header", "sample", header.clone());
    header[0] = 8;
    write(to, "gpt_header", "sample-bad-sum", header);
}

fn unbase64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for quad in text.as_bytes().chunks(4) {
        let used = quad.iter().filter(|byte| **byte != b'=').count();
        let all = quad.iter().fold(0_u32, |all, byte| all << 6 | u32::from(digit(*byte) & 63));
        out.extend_from_slice(&all.to_be_bytes()[1..used]);
    }
    out
}

/// Tables in the form of `gpt_disk`, and small disks in that of `gpt_header`.
fn tables(to: &Path) {
    for (i, block_size) in (0_u8..).zip(BlockSize::ALL) {
        let block = block_size.bytes() as usize;
        let partition = |n: u128, first: u64| {
            let kind =
                PartitionType::from_name("root-x86-64", None).expect("known").guid().expect("with a GUID");
            let name: Name = format!("os_{n}").parse().expect("short");
            NewPartition::new(kind, Guid::from_u128(n))
                .lbas(ddi_gpt::LbaRange::new(first, first + 3))
                .name(name)
        };
        let blocks = 128_u64;
        let builder = Builder::new(blocks * block as u64, block_size, Guid::from_u128(99))
            .entries(8, 128)
            .alignment(block as u64);
        let table =
            builder.partition(partition(1, 60)).partition(partition(2, 70)).build().expect("there is room");
        let disk = table.to_disk();
        let mut seed = vec![i];
        number(&mut seed, blocks);
        seed.extend_from_slice(&disk[446..510]);
        seed.extend_from_slice(&disk[block..][..92]);
        seed.extend_from_slice(&disk[disk.len() - block..][..92]);
        seed.push(3);
        seed.extend_from_slice(&disk[2 * block..][..3 * 128]);
        for target in ["gpt_disk", "gpt_crate"] {
            write(to, target, &format!("table-{block}"), seed.clone());
        }
        write(to, "gpt_rewrite", &format!("table-{block}"), [&[1], &seed[..]].concat());
        // with a backup array of its own, and sums as they are
        let mut other = seed.clone();
        other[0] |= 16;
        other.push(3);
        other.extend_from_slice(&disk[2 * block..][..3 * 128]);
        write(to, "gpt_disk", &format!("two-arrays-{block}"), other.clone());
        other[0] |= 32;
        write(to, "gpt_disk", &format!("as-it-is-{block}"), other);
        let mut grown = seed.clone();
        grown[1] = 0xff;
        write(to, "gpt_disk", &format!("grown-{block}"), grown);
        if i == 0 || i == 3 {
            for (name, flags, at) in [("primary", 0, block), ("backup", 4, disk.len() - block)] {
                let seed = [&[i | flags, 127][..], &disk[at..][..92]].concat();
                write(to, "gpt_header", &format!("{name}-{block}"), seed);
            }
        }
    }
}

/// A whole image, with superblock, tree and signature, in the form of `image`.
fn images(to: &Path) {
    for (name, block_size, flags) in [("root", BlockSize::B512, 0_u8), ("root-4096", BlockSize::B4096, 1)] {
        let mut data = vec![0x61; 8192];
        data[..1024 + 128].fill(0);
        data[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
        data[1036] = 12;
        // number 36 is at byte 1152: an inode with an empty directory behind it
        data[1038] = 36;
        data[1152..1216].fill(0);
        (data[1152], data[1156], data[1157], data[1158], data[1160]) = (4, 0xed, 0x41, 2, 27);
        for (entry, name) in [(1184, 24), (1196, 25)] {
            (data[entry], data[entry + 8], data[entry + 10]) = (36, name, 2);
        }
        data[1208..1211].copy_from_slice(b"...");
        data[1060] = 2;
        data[1072..1088].fill(0x11);
        let params = Params::new(
            HashType::Normal,
            Algorithm::Sha256,
            4096,
            512,
            2,
            Salt::new(&[0x5a; 8]).expect("short"),
        );
        let params = params.expect("good ones");
        let tree = HashTree::new(params, Placement::Superblock(0)).expect("small");
        let superblock = Superblock { params, uuid: [0x77; 16] }.to_bytes().to_vec();
        let hash = std::sync::Mutex::new(superblock);
        let root = tree.build(&data, &hash, &Options::new().threads(1)).expect("built");
        let hash = hash.into_inner().expect("not poisoned");
        let json = format!(r#"{{"rootHash":"{root}","signature":"MAA="}}"#).into_bytes();
        let (data_guid, hash_guid) = verity_guids(root.as_bytes()).expect("long enough");
        let parts = [
            ("root-x86-64", data_guid, data),
            ("root-x86-64-verity", hash_guid, hash),
            ("root-x86-64-verity-sig", Guid::from_u128(7), json),
            ("esp", Guid::from_u128(8), vec![0; 4096]),
        ];
        let mut builder =
            Builder::new(128 << 10, block_size, Guid::from_u128(1)).entries(8, 128).alignment(4096);
        for (kind, guid, content) in &parts {
            let kind = PartitionType::from_name(kind, None).expect("known").guid().expect("with a GUID");
            builder = builder.partition(NewPartition::new(kind, *guid).size(content.len() as u64));
        }
        let table = builder.build().expect("there is room");
        let mut disk = table.to_disk();
        for (placed, (.., content)) in table.gpt().partitions().iter().zip(&parts) {
            disk[placed.range.offset as usize..][..content.len()].copy_from_slice(content);
        }
        for (suffix, more) in [("", 0), ("-nobody", 16), ("-policy", 8)] {
            let seed = [&[flags | more][..], &encode(disk.len() as u64, &runs(&disk))].concat();
            write(to, "image", &format!("{name}{suffix}"), seed);
        }
    }
}

/// Inputs of the targets that take a few numbers and make the rest themselves.
fn shapes(to: &Path) {
    for (name, shape) in [
        ("one-block", &[0, 0, 0, 0][..]),
        ("two-levels", &[0, 0, 40, 8]),
        ("sha512", &[1, 0, 69, 0]),
        ("sha384-chromeos", &[6, 9, 20, 3]),
        ("chromeos", &[4, 0, 35, 2]),
        ("large-blocks", &[0, 0x36, 9, 1]),
    ] {
        let whole = [shape, &[7; 60]].concat();
        write(to, "verity_verify", name, whole.clone());
        write(to, "verified_reader", name, whole);
        write(to, "kernels", name, [shape, b"some bytes of which blocks are made"].concat());
    }
    // two changes under the root hash, none after: each a place in the hash blocks, lowest level first, and what is done to it
    for (name, shape, places) in [
        // hash blocks of 512 bytes with 8 digests, or 16 of SHA-1
        ("forged-spare-chromeos-sha384", &[6, 0, 8, 0][..], [8 * 48, 511]),
        ("forged-spare-chromeos-sha1", &[7, 0, 15, 0], [16 * 20, 511]),
        ("forged-gap-sha384", &[2, 0, 8, 0], [48, 512 + 63]),
        ("forged-digest-sha512", &[1, 0, 8, 0], [63, 64 + 32]),
        ("forged-upper-digest-sha512", &[1, 0, 69, 0], [9 * 512 + 63, 9 * 512 + 40]),
    ] {
        let change = |place: u32| [&place.to_le_bytes()[..], &[0x80]].concat();
        let whole = [shape, &[7; 8], &[12], &change(places[0]), &change(places[1]), &[9; 40]].concat();
        write(to, "verity_verify", name, whole.clone());
        write(to, "verified_reader", name, whole);
    }
    // shape, blocks, roots, pattern, offset, codeword; then what is damaged: which part and how much of it, where, by what
    for (name, head, changes, lie) in [
        ("one-block", [0, 0, 0, 0], &[[0_u8, 0, 0, 9]][..], 0),
        ("a-run", [7, 44, 1, 2], &[[0x3c, 3, 0, 0x55]], 0),
        ("to-the-limit", [0, 100, 0, 22], &[[8, 0, 0, 1], [8, 9, 0, 1], [0x7c, 20, 0, 3]], 0),
        ("tree-too", [0x38, 200, 0, 6], &[[10, 0, 0, 7], [8, 5, 0, 1], [10, 3, 0, 2]], 0),
        ("all-three", [0, 255, 0, 1], &[[1, 8, 1, 7], [2, 3, 0, 1], [3, 1, 0, 2]], 0),
        ("found-out", [0, 255, 0, 4], &[[8, 1, 0, 9]], 0x10),
        ("told-wrong", [0, 255, 0, 4], &[[8, 1, 0, 9]], 0x17),
        ("beside-the-tree", [0, 30, 0, 4], &[[8, 1, 0, 9]], 0x18),
    ] {
        let head = [&head[..], &[7; 8], &[1], &[9; 4], &[changes.len() as u8]].concat();
        write(to, "parity", name, [&head, changes.as_flattened(), &[lie], &[3; 40]].concat());
    }
    write(to, "kernels", "sha1", [&[3, 0, 10, 2][..], b"some bytes of which blocks are made"].concat());
    for n in 0..6_u8 {
        let bytes: Vec<u8> = (0..200).map(|i: u8| i.wrapping_mul(n * 2 + 1).wrapping_add(n)).collect();
        write(to, "format", &format!("mixed-{n}"), bytes.clone());
        write(to, "gpt_rewrite", &format!("made-{n}"), [&[0], &bytes[..]].concat());
    }
}

/// Sessions of clients, old and new.
fn clients(to: &Path) {
    let option = |option: u32, data: &[u8]| {
        [b"IHAVEOPT", &option.to_be_bytes()[..], &(data.len() as u32).to_be_bytes(), data].concat()
    };
    let request = |command: u16, flags: u16, offset: u64, length: u32| {
        let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
        bytes.extend([flags.to_be_bytes(), command.to_be_bytes()].concat());
        bytes.extend([7_u64.to_be_bytes(), offset.to_be_bytes()].concat());
        bytes.extend(length.to_be_bytes());
        bytes
    };
    let flags = 3_u32.to_be_bytes().to_vec();
    let name = b"\0\0\0\x04root";
    let go = [&name[..], b"\0\x02\0\x01\0\x02"].concat();
    let context = [&name[..], b"\0\0\0\x01\0\0\0\x0fbase:allocation"].concat();
    let structured = [
        flags.clone(),
        option(3, b""),
        option(8, b""),
        option(9, &context),
        option(10, &context),
        option(6, &go),
        option(7, &go),
        request(0, 0, 1000, 5000),
        request(0, 0, 200_000, 650_000),
        request(0, 4, 299_990, 20),
        request(7, 0, 0, 1 << 20),
        request(7, 8, 290_000, 20_000),
        request(1, 0, 0, 3),
        b"abc".to_vec(),
        request(0, 0, 899_000, 2000),
        request(2, 0, 0, 0),
    ];
    write(to, "nbd_session", "structured", structured.concat());
    let simple = [flags, option(1, b"usr"), request(0, 0, 0, 1000), request(6, 0, 0, 10), request(0, 0, 1000, 1)];
    write(to, "nbd_session", "simple", simple.concat());
}
