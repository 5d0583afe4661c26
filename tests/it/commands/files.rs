//! `ddi ls`, `cat`, `extract` and `mtree`: against the tools that read the same file systems, and with images that mean ill.

use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::image::ImageBuilder;
use crate::support::{
    DDI, Ended, Folder, corpus, ddi, require_root, require_tool, run, run_within, say_skipped,
};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
const SAMPLE_ROOT_HASH: &str = "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb";

/// How a name stands in mtree: as systemd escapes it.
fn escaped(name: &[u8]) -> String {
    let mut text = String::new();
    for &byte in name {
        match byte {
            b'!'..=b'~' if !b"\\#;*?[".contains(&byte) => text.push(char::from(byte)),
            _ => write!(text, "\\x{byte:02x}").unwrap(),
        }
    }
    text
}

/// A folder of this machine in the form of `ddi mtree`.
fn mtree_of(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    add(folder, ".", &mut lines);
    lines
}

fn add(path: &Path, shown: &str, lines: &mut Vec<String>) {
    let found = fs::symlink_metadata(path).unwrap();
    let file_type = found.file_type();
    let (mode, uid, gid) = (found.mode() & 0o777, found.uid(), found.gid());
    let owners = format!("mode={mode:04o} uid={uid} gid={gid}");
    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    if file_type.is_dir() {
        lines.push(format!("{shown}/ type=dir {owners}"));
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            add(&path.join(&name), &format!("{shown}/{}", escaped(name.as_bytes())), lines);
        }
    } else if file_type.is_symlink() {
        let target = fs::read_link(path).unwrap();
        lines.push(format!(
            "{shown} type=link uid={uid} gid={gid} link={}",
            escaped(target.as_os_str().as_bytes())
        ));
    } else if file_type.is_file() {
        let mut line = format!("{shown} type=file {owners} size={}", found.len());
        if found.len() > 0 {
            let digest = Sha256::digest(fs::read(path).unwrap());
            let hex = digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            write!(line, " sha256sum={hex}").unwrap();
        }
        lines.push(line);
    } else if file_type.is_fifo() || file_type.is_socket() {
        let kind = if file_type.is_fifo() { "fifo" } else { "socket" };
        lines.push(format!("{shown} type={kind} {owners}"));
    } else {
        let kind = if file_type.is_block_device() { "block" } else { "char" };
        lines.push(format!("{shown} type={kind} {owners} device=linux,{major},{minor}"));
    }
}

#[track_caller]
fn assert_equal(what: &str, ours: &[String], theirs: &[String]) {
    let differing: Vec<_> = ours.iter().zip(theirs).filter(|(a, b)| a != b).take(5).collect();
    assert!(differing.is_empty(), "{what}: {differing:#?}");
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

fn lines(ended: &Ended) -> Vec<String> {
    ended.stdout.lines().map(str::to_owned).collect()
}

/// Images of the corpus, which partition is compared, and with what. Not `fs-erofs-chunked`: fsck.erofs 1.5 cuts a sparse
/// file short; not `fs-ext4-1k`: debugfs gives files inside inodes 60 bytes. The library is compared with the kernel there.
///
/// FAT by 7-Zip: mtools does not read the FAT32 of less than 65,525 clusters that systemd-repart makes.
const COMPARED: [(&str, Option<u64>, Tool); 22] = [
    ("fs-erofs", None, Tool::Erofs),
    ("fs-erofs-lz4hc", None, Tool::Erofs),
    ("fs-erofs-lzma", None, Tool::Erofs),
    ("fs-squashfs-plain", None, Tool::Squashfs),
    ("fs-squashfs-gzip", None, Tool::Squashfs),
    ("fs-squashfs-lz4", None, Tool::Squashfs),
    ("fs-squashfs-lzo", None, Tool::Squashfs),
    ("fs-squashfs-xz", None, Tool::Squashfs),
    ("fs-squashfs-zstd", None, Tool::Squashfs),
    ("fs-ext4", None, Tool::Ext),
    ("ddi-root", Some(2), Tool::Erofs),
    ("fs-vfat", None, Tool::Fat),
    ("data-partitions", Some(1), Tool::Fat),
    ("ddi-root", Some(1), Tool::Fat),
    ("golden-dirty-erofs", Some(1), Tool::Fat),
    ("sector-4096", Some(1), Tool::Fat),
    ("uki-ok", Some(1), Tool::Fat),
    ("uki-usr", Some(1), Tool::Fat),
    ("ddi-usr", Some(1), Tool::Squashfs),
    ("golden-clean-erofs", Some(2), Tool::Erofs),
    ("golden-clean-ext4", Some(2), Tool::Ext),
    ("golden-clean-squashfs", Some(2), Tool::Squashfs),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Erofs,
    Squashfs,
    Ext,
    Fat,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Tool::Erofs => "fsck.erofs",
            Tool::Squashfs => "unsquashfs",
            Tool::Ext => "debugfs",
            Tool::Fat => "7zz",
        }
    }

    fn extract(self, fs: &str, to: &str) -> Ended {
        match self {
            Tool::Erofs => run("fsck.erofs", [&format!("--extract={to}"), fs]),
            Tool::Squashfs => run("unsquashfs", ["-quiet", "-no-progress", "-dest", to, fs]),
            Tool::Ext => {
                fs::create_dir(to).unwrap();
                run("debugfs", ["-R", &format!("rdump / {to}"), fs])
            }
            Tool::Fat => {
                fs::create_dir(to).unwrap();
                run("7zz", ["x", "-y", "-bso0", &format!("-o{to}"), fs])
            }
        }
    }

    /// What the tool does not carry over is not compared.
    fn compared(self, line: &str) -> Option<String> {
        let special =
            ["char", "block", "fifo", "socket"].iter().any(|kind| line.contains(&format!(" type={kind} ")));
        match self {
            Tool::Ext if special || line.starts_with("./ ") => None,
            Tool::Fat if line.starts_with("./ ") => None,
            Tool::Fat => {
                let fields = line
                    .split(' ')
                    .filter(|field| !["mode=", "uid=", "gid="].iter().any(|p| field.starts_with(p)));
                Some(fields.collect::<Vec<_>>().join(" "))
            }
            _ => Some(line.to_owned()),
        }
    }
}

/// Names, types, modes, owners, sizes, SHA-256, targets, devices: `ddi mtree` of the image is what the tool extracts, and
/// so is what `ddi extract` writes.
#[test]
fn trees_are_what_the_tools_extract() {
    let Some(corpus) = corpus() else { return };
    if !require_root() {
        return;
    }
    let (mut images, mut files) = (0, 0);
    for (name, partition, tool) in COMPARED {
        let image = corpus.join("images").join(format!("{name}.raw")).display().to_string();
        if !require_tool(tool.program()) {
            continue;
        }
        let what = format!("{name} {partition:?}");
        let folder = Folder::new();
        let number = partition.map(|number| number.to_string());
        let select: Vec<&str> = number.iter().flat_map(|number| ["--partition", number]).collect();
        let fs_path = match partition {
            None => image.clone(),
            Some(number) => {
                let expected = corpus.join("expected").join(format!("{name}.json"));
                let expected: Value = serde_json::from_slice(&fs::read(expected).unwrap()).unwrap();
                let found = expected["partitions"].as_array().unwrap().iter().find(|p| p["number"] == number);
                let field = |key: &str| found.unwrap()[key].as_u64().unwrap() as usize;
                let bytes = fs::read(&image).unwrap();
                folder.write("fs", &bytes[field("offset")..][..field("size")])
            }
        };
        let extracted = folder.file("theirs");
        let ended = tool.extract(&fs_path, &extracted);
        if !ended.ok() || ended.stderr.contains("unsupported") {
            println!("{what}: skipped: {} cannot read it: {}", tool.program(), ended.stderr.trim());
            continue;
        }
        let comparable =
            |all: Vec<String>| -> Vec<String> { all.iter().filter_map(|line| tool.compared(line)).collect() };
        let theirs = comparable(mtree_of(Path::new(&extracted)));

        let told = ddi(["mtree", &image].into_iter().chain(select.iter().copied()));
        assert_eq!(told.code, Some(0), "{what}: {}", told.stderr);
        assert_equal(&what, &comparable(lines(&told)), &theirs);

        let ours = folder.file("ours");
        let ended =
            ddi(["extract", &image, "/", &ours, "--preserve"].into_iter().chain(select.iter().copied()));
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{what}");
        assert_equal(&format!("{what}, extracted"), &mtree_of(Path::new(&ours)), &lines(&told));
        (images, files) = (images + 1, files + theirs.len());
    }
    println!("{images} file systems compared with what the tools extract, {files} files");
    assert!(images > 0 || !require_tool("unsquashfs"));
}

#[test]
fn files_of_the_sample() {
    let ls = ddi(["ls", SAMPLE]).unwrap();
    assert!(ls.lines().is_sorted() && ls.lines().any(|name| name == "usr"), "{ls}");
    let os_release = ddi(["cat", SAMPLE, "/etc/../usr/lib/os-release"]).unwrap();
    assert!(os_release.starts_with("ID=sample\n"), "{os_release}");
    let json = ddi(["ls", "--json", "-R", SAMPLE, "/usr"]).json();
    let found = json.as_array().unwrap().iter().find(|file| file["path"] == "lib/os-release").unwrap();
    assert_eq!((&found["type"], &found["assurance"]), (&"file".into(), &"intact".into()));
    assert_eq!(found["size"], os_release.len());
    let long = ddi(["ls", "-l", SAMPLE, "/usr/lib/os-release"]).unwrap();
    assert!(long.starts_with("-rw-r--r-- ") && long.contains("Z /usr/lib/os-release"), "{long}");
    for (path, code) in [("/nothing", 2), ("/usr", 2), ("/usr/lib/os-release/x", 2)] {
        let ended = ddi(["cat", SAMPLE, path]);
        assert_eq!((ended.code, &*ended.stdout), (Some(code), ""), "{ended:?}");
    }
    assert_eq!(ddi(["ls", SAMPLE, "--partition", "7"]).code, Some(2));
    assert_eq!(ddi(["ls", SAMPLE, "--partition", "home"]).code, Some(2));
}

#[test]
fn nothing_comes_out_that_is_not_as_good_as_was_asked_for() {
    let path = "/usr/lib/os-release";
    let good = ddi(["cat", SAMPLE, path]).unwrap();
    let trusting = ddi(["cat", SAMPLE, path, "--root-hash", SAMPLE_ROOT_HASH]);
    assert_eq!((trusting.code, &trusting.stdout), (Some(0), &good));
    let folder = Folder::new();
    let destination = folder.file("new");
    for (options, code) in [
        (vec!["--authenticated"], 3),
        (vec!["--root-hash", "11".repeat(32).leak()], 1),
        (vec!["--usr-hash", SAMPLE_ROOT_HASH], 1),
    ] {
        for command in [
            vec!["cat", SAMPLE, path],
            vec!["cat", SAMPLE, "/no/such/file"],
            vec!["ls", "-R", SAMPLE],
            vec!["ls", SAMPLE],
            vec!["mtree", SAMPLE],
            vec!["extract", SAMPLE, "/", &destination],
        ] {
            let ended = ddi(command.iter().chain(&options));
            assert_eq!((ended.code, &*ended.stdout), (Some(code), ""), "{command:?} {options:?} {ended:?}");
        }
    }
    assert_eq!(folder.names(), [] as [&str; 0]);
    let json = ddi(["ls", "--json", SAMPLE, "--root-hash", SAMPLE_ROOT_HASH]).json();
    assert!(json.as_array().unwrap().iter().all(|file| file["assurance"] == "authenticated"), "{json}");
    let json = ddi(["ls", "--json", SAMPLE, "--unverified"]).json();
    assert!(json.as_array().unwrap().iter().all(|file| file["assurance"] == "claimed"), "{json}");
}

/// A name that only an unproven partition has is not told under a proof; one that the proven root has itself is.
#[test]
fn s8_a_listed_mount_point_counts_as_read() {
    let folder = Folder::new();
    let tree = folder.file("tree");
    fs::create_dir_all(format!("{tree}/usr/lib")).unwrap();
    fs::create_dir_all(format!("{tree}/home")).unwrap();
    let Some(image) = erofs(&folder, &tree) else { return };
    let root = fs::read(&image).unwrap();
    let other = folder.file("other");
    fs::create_dir_all(format!("{other}/evil")).unwrap();
    let Some(image) = erofs(&folder, &other) else { return };
    let other = fs::read(&image).unwrap();
    // (the partition beside the proven root, what a plain listing ends with)
    for (kind, code) in [("home", 0), ("srv", 1), ("var", 1), ("xbootldr", 1)] {
        let built = ImageBuilder::new()
            .verity("root-x86-64", "os_1", root.clone())
            .partition(kind, "evil", other.clone())
            .build();
        let path = folder.write("disk.raw", &built.bytes);
        let given = ["--root-hash", &built.root_hashes[0].to_string()];
        let listed = ddi(["ls", &path].iter().chain(&given));
        assert_eq!(listed.code, Some(code), "{kind}: {listed:?}");
        if code == 1 {
            let told = format!("the {kind} file system has a part in the answer");
            assert!(listed.stdout.is_empty() && listed.stderr.contains(&told), "{listed:?}");
        } else {
            assert_eq!(listed.stdout, "home\nusr\n");
        }
        // elsewhere nothing is learned of it
        let listed = ddi(["ls", &path, "/usr"].iter().chain(&given));
        assert_eq!((listed.code, &*listed.stdout), (Some(0), "lib\n"), "{kind}: {listed:?}");
        for options in [&["-l"][..], &["-R"]] {
            let listed = ddi(["ls", &path].iter().chain(options).chain(&given));
            assert_eq!((listed.code, &*listed.stdout), (Some(1), ""), "{kind} {options:?}: {listed:?}");
        }
    }
    // the same rule in the library, for whoever asks it
    let built =
        ImageBuilder::new().verity("root-x86-64", "os_1", root).partition("srv", "evil", other).build();
    let image = ddi_core::Image::new(Box::new(built.bytes)).unwrap();
    let hash = built.root_hashes[0];
    let trusted = [ddi_core::TrustedRootHash::by_caller(hash, ddi_core::Role::Root)];
    let verity = ddi_core::steps::VeritySettings::new(&trusted, image.sidecars());
    let dissection =
        ddi_core::steps::DissectionRecord::new(&image, &ddi_core::steps::DissectOptions::new(verity));
    let mut options = ddi_core::steps::ProveOptions::default();
    options.trusted = &trusted;
    let sets = ddi_core::steps::verity_sets(&image, &dissection, &options.bind());
    let contents = ddi_core::steps::Contents::new(&image, &dissection, &sets, &options);
    let least = ddi_core::Assurance::Authenticated;
    let names = |path: &[u8]| {
        let (files, _) = contents.whole().unwrap();
        let found = files.answer(least, |tree| {
            let mut names = Vec::new();
            let place = tree.resolve(path).unwrap();
            let listed = tree.list(place, &mut |entry, _| {
                names.push(String::from_utf8(entry.name.to_vec()).unwrap());
                std::ops::ControlFlow::Continue(())
            });
            listed.map(|()| names).unwrap()
        });
        found.map_err(|mounted| mounted.designator)
    };
    assert_eq!(names(b"/usr"), Ok(vec!["lib".to_owned()]));
    assert_eq!(names(b"/"), Err(Some(ddi_gpt::Designator::Srv)));
    assert_eq!(names(b"/srv"), Err(Some(ddi_gpt::Designator::Srv)));
}

#[test]
fn a_block_that_does_not_match_ends_it_and_leaves_nothing() {
    let folder = Folder::new();
    let mut bytes = fs::read(SAMPLE).unwrap();
    let needle = b"PRETTY_NAME=\"Sample";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at + 13] ^= 1;
    let damaged = folder.write("damaged.raw", &bytes);
    let destination = folder.file("new");
    for command in [
        vec!["cat", &damaged, "/usr/lib/os-release"],
        vec!["mtree", &damaged],
        vec!["extract", &damaged, "/", &destination],
        vec!["extract", &damaged, "/usr/lib/os-release", &destination],
    ] {
        let ended = ddi(&command);
        assert_eq!(ended.code, Some(1), "{command:?}: {ended:?}");
        assert!(ended.stderr.contains("block"), "{command:?}: {ended:?}");
    }
    assert_eq!(folder.names(), ["damaged.raw"]);

    let inspected = ddi(["inspect", "--json", &damaged]);
    assert_eq!(inspected.code, Some(1));
    let json = inspected.json();
    assert!(json["inside"]["unreadable"]["code"].is_string(), "{json}");
    assert_eq!((json.get("osRelease"), &json["useBootableContainer"]), (None, &false.into()));
}

#[test]
fn inspect_says_whose_word_the_facts_are() {
    let assurance = |options: &[&str]| {
        let json = ddi(["inspect", "--json", SAMPLE].iter().chain(options)).json();
        let fact = &json["inside"]["facts"]["osRelease"];
        assert_eq!(fact["path"], "/usr/lib/os-release");
        (
            fact["assurance"].as_str().unwrap().to_owned(),
            json["inside"]["fileSystems"][0]["vouchedBy"].clone(),
        )
    };
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.crt");
    assert_eq!(assurance(&["--root-hash", SAMPLE_ROOT_HASH]), ("authenticated".into(), "caller".into()));
    assert_eq!(assurance(&["--certificate", certificate]), ("authenticated".into(), "signature".into()));
    assert_eq!(assurance(&[]), ("intact".into(), Value::Null));
    let other = ddi(["inspect", "--json", SAMPLE, "--root-hash", &"11".repeat(32)]);
    assert_eq!(other.code, Some(1));
    assert!(other.json()["inside"]["unreadable"]["code"].is_string(), "{other:?}");
}

/// An erofs image of a folder.
fn erofs(folder: &Folder, tree: &str) -> Option<String> {
    if !require_tool("mkfs.erofs") {
        return None;
    }
    let image = folder.file("image.raw");
    run("mkfs.erofs", ["-T0", &image, tree]).unwrap();
    Some(image)
}

#[test]
fn extract_writes_what_is_asked_for_and_nowhere_else() {
    let folder = Folder::new();
    let tree = folder.file("tree");
    fs::create_dir_all(format!("{tree}/dir/sub")).unwrap();
    let outside = folder.file("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(format!("{tree}/dir/file"), [&[0; 8192][..], b"end"].concat()).unwrap();
    fs::hard_link(format!("{tree}/dir/file"), format!("{tree}/dir/sub/same")).unwrap();
    fs::set_permissions(format!("{tree}/dir/file"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(format!("{tree}/dir/sub"), fs::Permissions::from_mode(0o555)).unwrap();
    symlink(&outside, format!("{tree}/dir/away")).unwrap();
    symlink("../../../dir/file", format!("{tree}/dir/up")).unwrap();
    symlink("loop", format!("{tree}/loop")).unwrap();
    run("mkfifo", [format!("{tree}/dir/fifo")]).unwrap();
    let Some(image) = erofs(&folder, &tree) else { return };

    let new = folder.file("new");
    let ended = ddi(["extract", &image, "dir", &new]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("/dir/fifo is left out: a FIFO is made with --preserve only"), "{ended:?}");
    let (file, same) =
        (fs::metadata(format!("{new}/file")).unwrap(), fs::metadata(format!("{new}/sub/same")).unwrap());
    assert_eq!((file.ino(), file.mode() & 0o7777, file.mtime()), (same.ino(), 0o755, 0));
    assert!(file.len() == 8195 && file.blocks() <= 8, "{} blocks", file.blocks());
    assert_eq!(fs::metadata(format!("{new}/sub")).unwrap().mode() & 0o7777, 0o555);
    assert_eq!(fs::read_link(format!("{new}/away")).unwrap(), Path::new(&outside));

    let preserved = folder.file("preserved");
    let ended = ddi(["extract", &image, "/dir/", &preserved, "--preserve"]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(fs::metadata(format!("{preserved}/file")).unwrap().mode() & 0o7777, 0o6755);
    assert!(fs::symlink_metadata(format!("{preserved}/fifo")).unwrap().file_type().is_fifo());

    let one = folder.file("one");
    assert_eq!(ddi(["extract", &image, "/dir/up", &one]).code, Some(0));
    assert_eq!(fs::read(&one).unwrap().len(), 8195);
    // what is there already stays as it is
    symlink(&outside, folder.file("link")).unwrap();
    for taken in [&one, &new, &folder.file("link"), &outside] {
        let ended = ddi(["extract", &image, "/dir", taken]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
    assert_eq!(ddi(["extract", &image, "/", &folder.file("no/parent")]).code, Some(2));
    assert_eq!(ddi(["extract", &image, "/loop", &folder.file("x")]).code, Some(2));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let names = ["image.raw", "link", "new", "one", "outside", "preserved", "tree"];
    assert_eq!(folder.names(), names);
}

/// No tool makes two files of one name, or a name that leads out; whoever edits an image does.
#[test]
fn extract_follows_no_names_that_mean_ill() {
    for (from, to) in [("plain-name-b", "plain-name-a"), ("plain-name-b", "../outside/b"), ("xy", "..")] {
        let folder = Folder::new();
        let (tree, outside) = (folder.file("tree"), folder.file("outside"));
        fs::create_dir_all(format!("{tree}/plain-name-b")).unwrap();
        fs::create_dir_all(format!("{tree}/xy")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(format!("{tree}/plain-name-b/planted"), "x").unwrap();
        fs::write(format!("{tree}/xy/planted"), "x").unwrap();
        // the first of the two names is a link to outside, the second one a directory with a file
        symlink("../outside", format!("{tree}/plain-name-a")).unwrap();
        let Some(image) = erofs(&folder, &tree) else { return };
        let mut bytes = fs::read(&image).unwrap();
        let mut edited = 0;
        for at in 0..bytes.len() - from.len() {
            if &bytes[at..at + from.len()] == from.as_bytes() {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
                edited += 1;
            }
        }
        assert!(edited > 0, "{from}");
        fs::write(&image, &bytes).unwrap();
        fix_erofs_checksum(&image);
        let ended = ddi(["extract", &image, "/", &folder.file("new"), "--preserve"]);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{to}");
        if to == ".." {
            // taken for the parent, as the kernel does, and not for a file
            assert_eq!(ended.code, Some(0), "{ended:?}");
            assert_eq!(fs::read_dir(folder.file("new")).unwrap().count(), 2);
            continue;
        }
        assert!(matches!(ended.code, Some(1 | 2)), "{to}: {ended:?}");
        assert_eq!(folder.names(), ["image.raw", "outside", "tree"], "{to}: {ended:?}");
    }
}

/// Switches off the checksum of the superblock.
fn fix_erofs_checksum(image: &str) {
    let mut bytes = fs::read(image).unwrap();
    // feature_compat: EROFS_FEATURE_COMPAT_SB_CHKSUM
    bytes[1024 + 8] &= !1;
    fs::write(image, &bytes).unwrap();
}

/// Runs something that takes its time.
/// Many files on many threads: the same lines in the same order, and the same complaints, as on one.
#[test]
fn x4_mtree_does_not_show_its_threads() {
    let folder = Folder::new();
    let tree = folder.file("tree");
    for number in 0..600_usize {
        let dir = format!("{tree}/{:02}", number / 50);
        fs::create_dir_all(&dir).unwrap();
        let size = if number % 97 == 0 { 700_000 } else { number * number % 9000 };
        let content: Vec<u8> = (0..size).map(|i| (i * (number + 3) / 77 % 251) as u8).collect();
        fs::write(format!("{dir}/{number:03}"), content).unwrap();
        if number % 10 == 0 {
            symlink(format!("{number:03}"), format!("{dir}/{number:03}.link")).unwrap();
        }
    }
    let theirs = mtree_of(Path::new(&tree));
    let image = folder.file("image.raw");
    let ways: [(&str, Vec<&str>); 2] = [
        ("mksquashfs", vec![&tree, &image, "-noappend", "-quiet", "-no-progress"]),
        ("mkfs.erofs", vec!["-zlz4hc", &image, &tree]),
    ];
    for (tool, args) in ways {
        if !require_tool(tool) {
            continue;
        }
        let _ = fs::remove_file(&image);
        run(tool, args).unwrap();
        let mut bytes = fs::read(&image).unwrap();
        for damaged in [false, true] {
            if damaged {
                for part in 2..12 {
                    let at = bytes.len() / 16 * part;
                    bytes[at..at + 40].fill(0xa5);
                }
                fs::write(&image, &bytes).unwrap();
            }
            let told = |threads: &str, json: &[&str]| {
                let ended = ddi(["mtree", &image, "--threads", threads].iter().chain(json));
                (ended.code, ended.stdout, ended.stderr)
            };
            for json in [&[][..], &["--json"]] {
                let one = told("1", json);
                for threads in ["2", "7"] {
                    assert!(told(threads, json) == one, "{tool} {threads} {damaged}");
                }
                assert_eq!(one.0 == Some(0), !damaged, "{tool}: {}", one.2);
            }
            if !damaged {
                assert_equal(tool, &lines(&ddi(["mtree", &image])), &theirs);
            }
        }
    }
}

fn run_long(program: &str, args: &[&str]) -> Ended {
    let mut command = Command::new(program);
    command.args(args);
    run_within(command, Duration::from_secs(900))
}

/// A whole system (`DDI_TREE=DIR`, such as `mmdebstrap --variant=minbase bookworm DIR` makes, as root), packed by each
/// tool and compared file by file.
#[test]
fn every_file_of_a_real_system() {
    let Some(tree) = std::env::var_os("DDI_TREE") else {
        return say_skipped("no DDI_TREE");
    };
    let tree = tree.into_string().unwrap();
    let theirs = mtree_of(Path::new(&tree));
    println!("{} files in {tree}", theirs.len());
    let folder = Folder::new();
    let image = folder.file("image.raw");
    let mut ways: Vec<(String, Vec<&str>)> = Vec::new();
    for compression in ["", "-zlz4", "-zlz4hc", "-zlzma", "-zdeflate", "-zzstd"] {
        ways.push((
            "mkfs.erofs".into(),
            [compression, &image, &tree].into_iter().filter(|a| !a.is_empty()).collect(),
        ));
    }
    // pieces of files packed together, in clusters of several blocks
    let packed = ["-zlz4hc", "-C65536", "-Ededupe,all-fragments,ztailpacking", &image, &tree];
    ways.push(("mkfs.erofs".into(), packed.to_vec()));
    for compression in ["gzip", "lz4", "lzo", "xz", "zstd"] {
        let args = vec![&*tree, &image, "-comp", compression, "-noappend", "-quiet", "-no-progress"];
        ways.push(("mksquashfs".into(), args));
    }
    for kind in ["ext2", "ext4"] {
        ways.push(("mke2fs".into(), vec!["-q", "-F", "-t", kind, "-d", &tree, &image, "3G"]));
    }
    let mut compared = 0;
    for (tool, args) in &ways {
        let what = format!("{tool} {}", args.join(" ").replace(&tree, "TREE").replace(&image, "IMAGE"));
        let _ = fs::remove_file(&image);
        if !require_tool(tool) {
            continue;
        }
        let made = run_long(tool, args);
        if !made.ok() {
            println!("{what}: skipped: {}", made.stderr.lines().last().unwrap_or_default());
            continue;
        }
        let size = fs::metadata(&image).unwrap().len();
        let begin = Instant::now();
        let told = run_long(DDI, &["mtree", &image]);
        assert_eq!((told.code, &*told.stderr), (Some(0), ""), "{what}");
        let took = begin.elapsed();
        let is_ext = tool == "mke2fs";
        let kept =
            |line: &&String| !is_ext || (!line.starts_with("./ ") && !line.starts_with("./lost+found/"));
        let ours: Vec<String> = lines(&told);
        let ours: Vec<String> = ours.iter().filter(kept).cloned().collect();
        let theirs: Vec<String> = theirs.iter().filter(kept).cloned().collect();
        assert_equal(&what, &ours, &theirs);
        println!("{what}: {} files equal, image of {size} bytes, {took:.1?}", ours.len());
        compared += 1;
    }
    assert!(compared > 0);
}

/// What `ls` prints, `cat` takes; and with -0 and --literal names are what they are.
#[test]
fn f13_names_that_are_printed_are_taken_back() {
    const NAMES: [&[u8]; 9] = [
        b"raw\xe9",
        br"raw\xe9",
        br"raw\\xe9",
        br"dev-disk-by\x2dlabel.swap",
        b"line\nfeed",
        "\u{202e}gnp.exe".as_bytes(),
        br"\u{202e}gnp.exe",
        b"half\xc3",
        b" plain -> name",
    ];
    if !require_tool("mkfs.erofs") {
        return;
    }
    let folder = Folder::new();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for name in NAMES {
        fs::write(tree.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    let image = folder.file("image.raw");
    run("mkfs.erofs", [&image, &folder.file("tree")]).unwrap();
    let output = |args: &[&std::ffi::OsStr]| {
        let output = Command::new(DDI).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        output.stdout
    };
    let of = std::ffi::OsStr::from_bytes;
    let image = of(image.as_bytes());
    let listed = String::from_utf8(output(&[of(b"ls"), image])).unwrap();
    assert!(listed.lines().any(|line| line == r"raw\xe9") && listed.lines().any(|line| line == r"raw\\xe9"));
    let contents: Vec<_> =
        listed.lines().map(|line| output(&[of(b"cat"), image, of(line.as_bytes())])).collect();
    let mut names = NAMES.map(<[u8]>::to_vec).to_vec();
    names.sort();
    assert_eq!(contents, names);
    // and what ls prints for one of them is again that
    for line in listed.lines() {
        assert_eq!(output(&[of(b"ls"), image, of(line.as_bytes())]), format!("{line}\n").as_bytes());
    }
    let raw = output(&[of(b"ls"), of(b"-0"), image]);
    let raw: Vec<&[u8]> = raw.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0).collect();
    assert_eq!(raw, names);
    for name in raw {
        assert_eq!(output(&[of(b"cat"), of(b"--literal"), image, of(name)]), name);
    }
    // what is not printed like this is a name like any other
    assert_eq!(
        output(&[of(b"cat"), image, of(br"dev-disk-by\x2dlabel.swap")]),
        br"dev-disk-by\x2dlabel.swap"
    );
    let recursive = output(&[of(b"ls"), of(b"-R0"), image]);
    assert_eq!(recursive.split(|byte| *byte == 0).filter(|name| !name.is_empty()).count(), NAMES.len());
}
