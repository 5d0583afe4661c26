//! Which files lie in a corrupt block, against what the file systems' own tools say about where files are.

use std::fs;
use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Chance, Ended, Folder, ddi, require_tool, run, say_skipped};

const BLOCK: u64 = 4096;

/// A tree of files that no compressor makes smaller, of one that all do, and of many small ones.
fn tree(folder: &Folder) -> String {
    let root = folder.file("tree");
    let write = |path: &str, bytes: &[u8]| {
        let path = Path::new(&root).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("a/unique", &unique(1));
    write("b/other", &unique(2));
    let text: String = (0..40_000).map(|n| format!("{n}\n")).collect();
    write("text", text.as_bytes());
    for n in 0..400 {
        write(&format!("many/file-{n:03}"), format!("{n} is small").as_bytes());
    }
    root
}

/// The content of a file of 40 KiB.
fn unique(seed: u64) -> Vec<u8> {
    Chance(seed).bytes(40 << 10)
}

/// Where `needle` is in `image`, which has it once.
fn find(image: &[u8], needle: &[u8]) -> u64 {
    let places: Vec<_> =
        image.windows(64).enumerate().filter(|(_, window)| *window == &needle[..64]).collect();
    assert_eq!(places.len(), 1);
    places[0].0 as u64
}

/// An image with its tree beside it, in which `bytes` are damaged: what `ddi verify` says of the only partition.
fn damaged(folder: &Folder, path: &str, bytes: &[u64]) -> (Value, Ended) {
    let good = fs::read(path).unwrap();
    let formatted = ddi(["verity", "format", path, &folder.file("x.verity"), "--json"]);
    assert!(formatted.ok(), "{formatted:?}");
    let root_hash = formatted.json()["rootHash"].as_str().unwrap().to_owned();
    folder.write("x.roothash", root_hash.as_bytes());
    let whole = folder.write("x.raw", &good);
    let verify = |args: &[&str]| ddi(["verify", &whole, "--root-hash", &root_hash].iter().chain(args));
    let ended = verify(&["--json"]);
    assert_eq!((ended.code, &ended.json()["proofs"][0]["damage"]), (Some(0), &Value::Null), "{ended:?}");

    let mut bad = good;
    for at in bytes {
        bad[*at as usize] ^= 0x40;
    }
    folder.write("x.raw", &bad);
    let (json, text) = (verify(&["--json"]), verify(&[]));
    assert_eq!((json.code, text.code), (Some(1), Some(1)), "{json:?}");
    (json.json()["proofs"][0]["damage"].clone(), text)
}

/// What is said of the block in which `byte` is.
fn block(damage: &Value, byte: u64) -> &Value {
    let number = byte / BLOCK;
    let blocks = damage["blocks"].as_array().unwrap();
    let is_in = |block: &&Value| {
        (block["first"].as_u64().unwrap()..=block["last"].as_u64().unwrap()).contains(&number)
    };
    blocks.iter().find(is_in).unwrap_or_else(|| panic!("{byte}: {damage:#}"))
}

/// Exactly this file is named.
#[track_caller]
fn assert_owner(damage: &Value, byte: u64, path: &str, what: &str) {
    let found = block(damage, byte);
    assert_eq!(found["files"], json!([{ "path": path, "what": [what] }]), "{byte}: {damage:#}");
    assert_eq!((&found["fileCount"], &found["corrupt"]), (&json!(1), &json!(true)));
}

/// This file is named, with that of it.
#[track_caller]
fn assert_among(damage: &Value, byte: u64, path: &str, what: &str) {
    let found = block(damage, byte);
    let files = found["files"].as_array().unwrap();
    let its = |file: &&Value| file["path"] == path && file["what"].as_array().unwrap().contains(&what.into());
    let count = found["fileCount"].as_u64().unwrap();
    assert!(files.iter().any(|file| its(&file)) || count > 16, "{byte}: {path}: {damage:#}");
    assert!(count > 0);
}

/// Places of a file on the disk, by dump.erofs.
fn erofs_extents(image: &str, path: &str) -> Vec<Range<u64>> {
    let dump = run("dump.erofs", [&format!("--path={path}"), "-e", image]).unwrap();
    let extents = dump.lines().filter_map(|line| {
        // `0:  0..  4280 |  4280 :  45056..  49152 |  4096`
        let physical = line.rsplit_once(':')?.1.split_once('|')?.0;
        let (start, end) = physical.split_once("..")?;
        Some(start.trim().parse().ok()?..end.trim().parse().ok()?)
    });
    extents.collect()
}

/// Where an inode is, by dump.erofs.
fn erofs_inode(image: &str, path: &str) -> u64 {
    let dump = run("dump.erofs", [&format!("--path={path}"), image]).unwrap();
    let nid = dump.lines().find_map(|line| line.strip_prefix("NID:")).unwrap();
    let nid: u64 = nid.split_whitespace().next().unwrap().parse().unwrap();
    let superblock = fs::read(image).unwrap();
    let meta = u32::from_le_bytes(superblock[1024 + 40..][..4].try_into().unwrap());
    u64::from(meta) * BLOCK + nid * 32
}

#[test]
fn erofs() {
    if !(require_tool("mkfs.erofs") && require_tool("dump.erofs")) {
        return;
    }
    for options in [&[][..], &["-zlz4hc"], &["-zlz4hc", "-C65536", "-Eztailpacking"], &["-zlzma"]] {
        let folder = Folder::new();
        let (image, tree) = (folder.file("image"), tree(&folder));
        let made = run("mkfs.erofs", options.iter().copied().chain([image.as_str(), &tree]));
        if !made.ok() {
            // versions are built with more and less compression, and all without
            assert!(!options.is_empty(), "{made:?}");
            say_skipped(&format!("mkfs.erofs {options:?}: {}", made.stderr.trim()));
            continue;
        }
        let bytes = fs::read(&image).unwrap();
        let unique = find(&bytes, &unique(1)) + 20_000;
        let text = erofs_extents(&image, "/text");
        assert!(text.len() > 1 || options.is_empty(), "{text:?}");
        let inode = erofs_inode(&image, "/many/file-200");
        let mut hurt = vec![unique];
        // the last one may be a tail that is packed into the block of the inode
        let whole = &text[..text.len() - 1];
        hurt.extend(whole.iter().step_by(3).map(|extent| extent.start + 9));
        let (damage, ended) = damaged(&folder, &image, &hurt);
        assert_eq!(damage["fileSystem"], "erofs");
        assert_owner(&damage, unique, "/a/unique", "content");
        for extent in whole.iter().step_by(3) {
            assert_owner(&damage, extent.start + 9, "/text", "content");
        }
        assert_eq!(damage["complete"], true);
        assert!(ended.stdout.contains("\n      /a/unique (content)\n"), "{ended:?}");
        // where the content of those lies is not known then
        let (damage, ended) = damaged(&folder, &image, &[inode + 4]);
        assert_among(&damage, inode, "/many/file-200", "inode");
        assert_eq!(damage["complete"], false);
        assert!(ended.stdout.contains("\n    not known: what lies behind /"), "{ended:?}");
    }
}

/// What debugfs says to a request.
fn debugfs(image: &str, request: &str) -> String {
    run("debugfs", ["-R", request, image]).unwrap()
}

fn ext4_block(image: &str, path: &str, number: usize) -> u64 {
    let blocks = debugfs(image, &format!("blocks {path}"));
    blocks.split_whitespace().nth(number).unwrap_or_else(|| panic!("{path}: {blocks}")).parse().unwrap()
}

#[test]
fn ext4() {
    if !(require_tool("mke2fs") && require_tool("debugfs")) {
        return;
    }
    for (block_size, options) in [
        (4096, &["-t", "ext4"][..]),
        (1024, &["-t", "ext4"]),
        // block maps
        (1024, &["-t", "ext4", "-O", "^extent,^64bit"]),
        (4096, &["-t", "ext4", "-O", "inline_data,metadata_csum,^has_journal"]),
    ] {
        let folder = Folder::new();
        let (image, tree) = (folder.file("image"), tree(&folder));
        let size = block_size.to_string();
        let args = ["-q", "-b", &size, "-d", &tree, &image, "16M"];
        run("mke2fs", options.iter().copied().chain(args)).unwrap();
        let bytes = fs::read(&image).unwrap();
        let content = ext4_block(&image, "/a/unique", 40960 / block_size / 2) * block_size as u64;
        assert_eq!(find(&bytes, &unique(2)), ext4_block(&image, "/b/other", 0) * block_size as u64);
        let text = ext4_block(&image, "/text", 200 * 1024 / block_size / 2) * block_size as u64;
        let directory = ext4_block(&image, "/many", 1) * block_size as u64;
        // `located at block 101, offset 0x0b00`
        let imap = debugfs(&image, "imap /many/file-200");
        let (_, place) = imap.split_once("located at block ").unwrap();
        let (number, offset) = place.trim().split_once(", offset 0x").unwrap();
        let inode = number.parse::<u64>().unwrap() * block_size as u64
            + u64::from_str_radix(offset.trim(), 16).unwrap();
        let (damage, _) = damaged(&folder, &image, &[content + 77, text + 5]);
        assert_owner(&damage, content, "/a/unique", "content");
        assert_owner(&damage, text, "/text", "content");
        assert_eq!(damage["complete"], true);

        let (damage, ended) = damaged(&folder, &image, &[inode + 4]);
        assert_among(&damage, inode, "/many/file-200", "inode");
        let files = block(&damage, inode);
        assert_eq!(files["fileSystem"], json!(["inode table"]));
        assert!(ended.stdout.contains("\n      the file system itself (inode table)\n"), "{ended:?}");
        assert!(ended.stdout.contains("\n    not known: what lies behind /many/file-200: "), "{ended:?}");
        assert_eq!(damage["complete"], false);
        let named = 4096 / if bytes[1024 + 0x58] == 0 { 256 } else { u64::from(bytes[1024 + 0x58]) };
        assert!((1..=named).contains(&files["fileCount"].as_u64().unwrap()), "{damage:#}");

        // the other blocks of the directory are read all the same
        let (damage, ended) = damaged(&folder, &image, &[directory + 8, content]);
        assert_among(&damage, directory, "/many", "directory");
        assert_owner(&damage, content, "/a/unique", "content");
        assert!(ended.stdout.contains("\n    not known: all files in /many: "), "{ended:?}");
    }
}

#[test]
fn squashfs() {
    if !require_tool("mksquashfs") {
        return;
    }
    for options in [
        &["-comp", "gzip"][..],
        &["-comp", "xz", "-b", "65536"],
        &["-comp", "zstd"],
        &["-noI", "-noD", "-noF", "-no-fragments"],
    ] {
        let folder = Folder::new();
        let (image, tree) = (folder.file("image"), tree(&folder));
        let args = [tree.as_str(), &image, "-noappend", "-no-progress", "-no-xattrs"];
        run("mksquashfs", args.iter().chain(options)).unwrap();
        let bytes = fs::read(&image).unwrap();
        let field = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let content = find(&bytes, &unique(1)) + 20_000;
        let (inodes, directories) = (field(64), field(72));
        let (damage, _) = damaged(&folder, &image, &[content]);
        assert_eq!(damage["fileSystem"], "squashfs");
        if options.contains(&"-no-fragments") {
            assert_owner(&damage, content, "/a/unique", "content");
        } else {
            // with others in one fragment
            assert_among(&damage, content, "/a/unique", "content");
        }
        assert_eq!(damage["complete"], true);

        // in this order: the inodes of what is in a directory, then the directory's
        let (damage, ended) = damaged(&folder, &image, &[inodes + 40]);
        if damage["problem"].is_null() {
            assert_among(&damage, inodes, "/a/unique", "inode");
            assert!(block(&damage, inodes)["fileSystem"].to_string().contains("inode table"));
        } else {
            assert!(ended.stdout.contains("nothing can be told about files: "), "{ended:?}");
        }
        let (damage, _) = damaged(&folder, &image, &[directories + 40]);
        if damage["problem"].is_null() {
            assert!(block(&damage, directories)["fileSystem"].to_string().contains("directory table"));
            assert!(damage["untold"].to_string().contains("entries"), "{damage:#}");
        }
    }
}

#[test]
fn superblock() {
    if !require_tool("mkfs.erofs") {
        return;
    }
    let folder = Folder::new();
    let (image, tree) = (folder.file("image"), tree(&folder));
    run("mkfs.erofs", [&image, &tree]).unwrap();
    let (damage, ended) = damaged(&folder, &image, &[100]);
    assert_eq!(damage["problem"]["code"], "mismatch", "{damage:#}");
    assert_eq!(damage["blocks"][0]["files"], Value::Null);
    assert!(ended.stdout.contains("the superblock is not proven, so nothing can be told about files"));
}
