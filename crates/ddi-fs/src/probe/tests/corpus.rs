//! Against blkid, on images that the real mkfs tools made.
//!
//! The corpus (`DDI_CORPUS`, else `ddi-corpus` in the folder for temporary files) holds images and, for each, what
//! `blkid -p` says of it and of its partitions.

use std::fs::{self, File};
use std::path::Path;

use ddi_io::{FileSource, Section};
use serde_json::Value;

use crate::probe::{FsKind, Probe, probe};
use crate::tests::corpus::corpus;

fn json(path: &Path) -> Value {
    serde_json::from_reader(File::open(path).unwrap()).unwrap()
}

/// What differs, one line each.
fn compare(found: Option<&Probe>, blkid: &Value, differences: &mut Vec<String>) {
    let expected = |key: &str| blkid.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| expected(key).and_then(|text| text.parse::<u64>().ok());
    let mut check = |key: &str, ours: Option<String>| {
        let theirs = expected(key);
        if ours != theirs {
            differences.push(format!("{key}: blkid {theirs:?}, here {ours:?}"));
        }
    };
    check("TYPE", found.map(|p| p.kind.name().to_owned()));
    check("USAGE", found.map(|p| p.kind.usage().name().to_owned()));
    check("UUID", found.and_then(|p| p.uuid.as_ref()).map(ToString::to_string));
    check("LABEL", found.and_then(|p| p.label.as_ref()).map(ToString::to_string));
    check("VERSION", found.and_then(|p| p.version.clone()));
    check("BLOCK_SIZE", found.and_then(|p| p.block_size).map(|n| n.to_string()));
    let Some(found) = found else { return };
    // blkid's FSSIZE leaves the log of xfs and the header's page of swap out
    let theirs = match found.kind {
        FsKind::Xfs => number("FSLASTBLOCK").zip(number("FSBLOCKSIZE")).map(|(n, size)| n * size),
        FsKind::Swap => number("FSSIZE").zip(number("FSBLOCKSIZE")).map(|(size, page)| size + page),
        FsKind::CryptoLuks => found.claimed_size,
        _ => number("FSSIZE"),
    };
    // versions before 2.40 say none of these
    if expected("FSSIZE").is_some() && found.claimed_size != theirs {
        differences.push(format!("size: blkid {theirs:?}, here {:?}", found.claimed_size));
    }
    if found.missing_bytes != 0 {
        differences.push(format!("{} bytes missing", found.missing_bytes));
    }
}

#[test]
fn every_image_and_partition_is_what_blkid_says() {
    let Some(corpus) = corpus() else { return };
    let (mut probed, mut recognised) = (0, 0);
    let mut differences = Vec::new();
    for image in json(&corpus.join("index.json")).as_array().unwrap() {
        let name = image["name"].as_str().unwrap();
        let expected = json(&corpus.join("expected").join(format!("{name}.json")));
        let Some(file) = expected.get("file").and_then(Value::as_str).filter(|file| file.ends_with(".raw"))
        else {
            continue;
        };
        let source = FileSource::open(corpus.join(file)).unwrap();
        let mut one = |at: &str, found: Option<Probe>, blkid: &Value| {
            let mut lines = Vec::new();
            compare(found.as_ref(), blkid, &mut lines);
            probed += 1;
            recognised += usize::from(found.is_some());
            differences.extend(lines.into_iter().map(|line| format!("{name} {at}: {line}")));
        };
        one("whole", probe(&source).unwrap(), &expected["blkid"]);
        for partition in expected["partitions"].as_array().into_iter().flatten() {
            let at = |key: &str| partition[key].as_u64().unwrap();
            let section = Section::new(&source, at("offset"), at("size")).unwrap();
            let number = partition["number"].to_string();
            one(&number, probe(&section).unwrap(), &partition["blkid"]);
        }
    }
    eprintln!("{probed} images and partitions, {recognised} of them recognised");
    assert_eq!(differences, Vec::<String>::new());
    assert!(recognised >= 100, "only {recognised}: is the corpus complete?");
}

#[test]
fn luks_json_is_read() {
    let Some(corpus) = corpus() else { return };
    let source = FileSource::open(corpus.join("images/fs-luks2.raw")).unwrap();
    let header = probe(&source).unwrap().unwrap().luks.unwrap();
    assert_eq!(header.has_integrity(), Some(false));
    let metadata = header.metadata.unwrap().unwrap();
    assert!(!metadata.is_odd);
    assert_eq!(metadata.segments.len(), 1);
    assert_eq!(metadata.segments[0].encryption.as_ref().unwrap().as_bytes(), b"aes-xts-plain64");
    assert!(metadata.keyslots[0].kdf.is_some());
}

#[test]
fn cut_images_tell_what_is_missing() {
    let Some(corpus) = corpus() else { return };
    for name in ["ext4", "ext2", "erofs", "squashfs-gzip", "xfs", "btrfs", "f2fs", "vfat", "swap"] {
        let path = corpus.join(format!("images/fs-{name}.raw"));
        let whole = probe(&FileSource::open(&path).unwrap()).unwrap().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() / 2);
        let cut = probe(&bytes).unwrap().unwrap();
        let missing = whole.claimed_size.unwrap() - bytes.len() as u64;
        assert_eq!((cut.kind, cut.missing_bytes), (whole.kind, missing), "{name}");
    }
}
