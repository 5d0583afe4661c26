//! Against the kernel (FAT: mtools), on file systems that the real mkfs tools made.
//!
//! The corpus (`DDI_CORPUS`, else `ddi-corpus` in the folder for temporary files) says of every file what the kernel
//! shows of it.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddi_io::{FileSource, ReadAt, Section};
use serde_json::{Map, Value, json};

use crate::probe::{FsKind, probe};
use crate::{self as files, Budget, FileType, Step, Vfs, Walk};

/// The corpus; `None`, and a word of it, if there is none and none is named.
pub(crate) fn corpus() -> Option<PathBuf> {
    let named = env::var_os("DDI_CORPUS").map(PathBuf::from);
    let is_named = named.is_some();
    let path = named.unwrap_or_else(|| env::temp_dir().join("ddi-corpus"));
    let is_there = path.join("index.json").is_file();
    assert!(is_there || !is_named, "DDI_CORPUS={} is no corpus", path.display());
    if !is_there {
        eprintln!("skipped: no corpus in {}", path.display());
    }
    is_there.then_some(path)
}

fn read_json(path: &Path) -> Value {
    serde_json::from_reader(File::open(path).unwrap()).unwrap()
}

/// As Python's `backslashreplace`.
fn shown(name: &[u8]) -> String {
    let mut out = String::new();
    for chunk in name.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").unwrap();
        }
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = ALPHABET[(n >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    out
}

/// Every file, in the form of the corpus.
fn listing(tree: &Vfs, kind: FsKind) -> BTreeMap<String, Value> {
    use sha2::{Digest, Sha256};
    let mut all = BTreeMap::new();
    let mut walk = Walk::new(Budget::default());
    walk.tree(tree, tree.root(), &mut |walk, visit| {
        let path = shown(visit.path);
        let stat = visit.stat.unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut facts = Map::new();
        facts.insert("type".into(), stat.file_type.name().into());
        if stat.file_type == FileType::Regular {
            let mut hasher = Sha256::new();
            let read = walk
                .content(tree, visit.place, &mut |bytes| {
                    hasher.update(bytes);
                    Ok(())
                })
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(read, stat.size, "{path}");
            facts.insert("size".into(), stat.size.into());
            let hash: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            facts.insert("sha256".into(), hash.into());
        }
        // mtools says no more, and does not list the root
        if kind == FsKind::Vfat {
            if path != "/" {
                all.insert(path, Value::Object(facts));
            }
            return Ok(Step::Continue);
        }
        facts.insert("mode".into(), format!("{:04o}", stat.permissions).into());
        facts.insert("uid".into(), stat.uid.into());
        facts.insert("gid".into(), stat.gid.into());
        facts.insert("nlink".into(), stat.nlink.into());
        facts.insert("mtime_ns".into(), json!(i64::try_from(stat.mtime_ns()).unwrap()));
        match stat.file_type {
            FileType::Symlink => {
                let target = tree.link_target(visit.place).unwrap();
                facts.insert("target".into(), shown(&target).into());
            }
            FileType::CharDevice | FileType::BlockDevice => {
                facts.insert("rdev".into(), format!("{}:{}", stat.rdev.0, stat.rdev.1).into());
            }
            _ => {}
        }
        let xattrs = tree.xattrs(visit.place).unwrap_or_else(|error| panic!("{path}: {error}"));
        if !xattrs.is_empty() {
            let xattrs = xattrs.iter().map(|x| (shown(&x.name), base64(&x.value).into()));
            facts.insert("xattrs_base64".into(), Value::Object(xattrs.collect()));
        }
        all.insert(path, Value::Object(facts));
        Ok(Step::Continue)
    })
    .unwrap();
    all
}

/// Every image and partition that the corpus lists the files of: name, kind, source, list.
pub(super) fn file_systems(corpus: &Path) -> Vec<(String, FsKind, Arc<dyn ReadAt>, Value)> {
    let mut all = Vec::new();
    for image in read_json(&corpus.join("index.json")).as_array().unwrap() {
        let name = image["name"].as_str().unwrap();
        let expected = read_json(&corpus.join("expected").join(format!("{name}.json")));
        let Some(file) = expected.get("file").and_then(Value::as_str).filter(|file| file.ends_with(".raw"))
        else {
            continue;
        };
        for (place, list) in expected["files"].as_object().into_iter().flatten() {
            let file = FileSource::open(corpus.join(file)).unwrap();
            let list = read_json(&corpus.join(list.as_str().unwrap()));
            let source: Arc<dyn ReadAt> = match place.parse::<u64>() {
                Err(_) => Arc::new(file),
                Ok(number) => {
                    let partitions = expected["partitions"].as_array().unwrap();
                    let partition = partitions.iter().find(|p| p["number"] == number).unwrap();
                    let at = |key: &str| partition[key].as_u64().unwrap();
                    Arc::new(Section::new(file, at("offset"), at("size")).unwrap())
                }
            };
            let Some(found) = probe(&source).unwrap() else { continue };
            all.push((format!("{name} {place}"), found.kind, source, list));
        }
    }
    all
}

#[test]
fn every_file_is_what_the_kernel_shows() {
    let Some(corpus) = corpus() else { return };
    let mut differences = Vec::new();
    let mut count: BTreeMap<FsKind, (usize, usize)> = BTreeMap::new();
    for (name, kind, source, list) in file_systems(&corpus) {
        if !files::READABLE.contains(&kind) {
            eprintln!("skipped: {name}: no reader for {kind}");
            continue;
        }
        let tree = match files::open(source, kind) {
            Ok(fs) => Vfs::new(Some(fs)),
            Err(error) => {
                differences.push(format!("{name}: {error}"));
                continue;
            }
        };
        let ours = listing(&tree, kind);
        let theirs = list.as_object().unwrap();
        let total = count.entry(kind).or_default();
        total.0 += 1;
        total.1 += ours.len();
        for path in theirs.keys().filter(|path| !ours.contains_key(*path)) {
            differences.push(format!("{name}: {path} is missing"));
        }
        for (path, facts) in &ours {
            match theirs.get(path) {
                None => differences.push(format!("{name}: {path} is not there: {facts}")),
                Some(expected) if expected != facts => {
                    differences.push(format!("{name}: {path}: {facts}, expected {expected}"));
                }
                Some(_) => {}
            }
        }
    }
    eprintln!("file systems and files: {count:?}");
    let shown = differences.len().min(40);
    assert!(differences.is_empty(), "{} differences: {:#?}", differences.len(), &differences[..shown]);
}
