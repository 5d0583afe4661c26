//! `ddi extract IMAGE DIR -`: the tar stream, as GNU tar, bsdtar and Python read it; and what is built again of what was
//! extracted.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::SeekFrom;
use sha2::{Digest, Sha256};

use crate::support::{DDI, Ended, Folder, ddi, require_root, require_tool, run, run_within, say_skipped};

const MIB: u64 = 1 << 20;

/// A line of shell in `folder`, in which `$DDI` is the program. Names are UTF-8 to those who care.
fn shell(folder: &Folder, script: &str) -> Ended {
    let mut command = Command::new("sh");
    let script = format!("export LC_ALL=C.UTF-8; {script}");
    command.args(["-c", &script]).env("DDI", DDI).current_dir(folder.path());
    run_within(command, Duration::from_secs(60))
}

/// A file of `size` bytes with data at these places.
fn sparse(path: &Path, size: u64, places: &[(u64, u64)]) {
    let file = fs::File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (offset, len) in places {
        let bytes: Vec<u8> = (0..*len).map(|at| (at % 251) as u8 | 1).collect();
        file.write_all_at(&bytes, *offset).unwrap();
    }
}

/// Everything that a tar stream can hold, but for special files.
fn make_tree(tree: &Path) {
    fs::create_dir(tree).unwrap();
    let make = |path: &[u8], content: &[u8]| {
        let path = tree.join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    // mkfs.erofs 1.5 takes no longer ones
    let (long, deep) = (vec![b'l'; 254], [&[b'd'; 250][..]; 4].join(&b'/'));
    make(&long, b"long");
    make(&[&deep, &b"/file"[..]].concat(), b"deep");
    make("umlaut-\u{e4}\u{1f600}".as_bytes(), b"utf-8");
    make(b"odd-\xff\x01\n name", b"short and no text");
    make(&[&[b'o'; 120][..], b"\xfe\xff"].concat(), b"long and no text");
    make("\u{fc}".repeat(110).as_bytes(), b"long and UTF-8");
    make(b"-rf", b"");
    make(b"b/first", b"linked");
    fs::hard_link(tree.join("b/first"), tree.join("a")).unwrap();
    fs::hard_link(tree.join("b/first"), tree.join("z")).unwrap();
    fs::create_dir(tree.join("empty")).unwrap();
    symlink("a", tree.join("link")).unwrap();
    symlink(OsStr::from_bytes(&[b't'; 300]), tree.join("long-link")).unwrap();
    symlink(OsStr::from_bytes(&[&[b'/'; 1][..], &[b't'; 120], b"\xff"].concat()), tree.join("odd-link"))
        .unwrap();
    fs::hard_link(tree.join("odd-link"), tree.join("odd-link-2")).unwrap();
    // small enough for memory, and not; holes in front, between and behind
    sparse(&tree.join("sparse-small"), 512 << 10, &[(128 << 10, 4096)]);
    sparse(&tree.join("sparse"), 6 * MIB + 100, &[(0, 8192), (MIB, 4096), (3 * MIB, MIB)]);
    sparse(&tree.join("hole"), 2 * MIB, &[]);
    sparse(&tree.join("ends"), 2 * MIB, &[(2 * MIB - 4096, 4096)]);
    sparse(&tree.join("dense"), 2 * MIB, &[(0, 2 * MIB)]);
    for (number, mode) in [(1, 0o4755), (2, 0o2711), (3, 0o1777), (4, 0)] {
        let path = tree.join(format!("mode-{number}"));
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(tree.join("empty"), fs::Permissions::from_mode(0o1770)).unwrap();
    let attribute = |name: &str, value: &str, path: &str| {
        run("setfattr", ["-n", name, "-v", value, tree.join(path).to_str().unwrap()]).unwrap();
    };
    attribute("user.text", "value", "z");
    attribute("user.binary", "0x000aff3d20", "empty");
    attribute("user.empty", "", "dense");
}

/// What belongs to the system, and takes a root to make.
fn make_special(tree: &Path) {
    let path = |name: &str| tree.join(name).into_os_string().into_string().unwrap();
    run("mkfifo", [path("fifo")]).unwrap();
    run("mknod", [&path("null"), "c", "1", "3"]).unwrap();
    run("mknod", [&path("disk"), "b", "259", "70000"]).unwrap();
    run("setfattr", ["-n", "trusted.overlay.opaque", "-v", "y", &path("b")]).unwrap();
    for (name, uid, gid) in
        [("a", 1, 2), ("fifo", 1000, 100), ("link", 5, 6), ("dense", 3_000_000, u32::MAX - 1)]
    {
        std::os::unix::fs::lchown(tree.join(name), Some(uid), Some(gid)).unwrap();
    }
}

/// Gives each file a time of its own, those of directories last.
fn set_times(tree: &Path) {
    let mut names = all(tree);
    names.reverse();
    for (number, name) in names.iter().enumerate() {
        let time = match number % 3 {
            0 => format!("@{}", 1_000_000_000 + number),
            1 => format!("@{}.123456789", 1_100_000_000 + number),
            _ => format!("@{}.5", (1_u64 << 33) + 5),
        };
        run("touch", [OsStr::new("-h"), OsStr::new("-d"), OsStr::new(&time), tree.join(name).as_os_str()])
            .unwrap();
    }
}

/// Paths of all files below, and of the folder itself; a directory comes before what is in it.
fn all(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    let mut at = 0;
    while at < found.len() {
        let path = root.join(&found[at]);
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            let entries =
                fs::read_dir(&path).unwrap().map(|entry| found[at].join(entry.unwrap().file_name()));
            found.extend(entries.collect::<Vec<_>>());
        }
        at += 1;
    }
    found.sort();
    found
}

/// Where there is data.
fn data_of(path: &Path) -> Vec<(u64, u64)> {
    let file = fs::File::open(path).unwrap();
    let (size, mut at, mut data) = (file.metadata().unwrap().len(), 0, Vec::new());
    while at < size
        && let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(at))
    {
        at = rustix::fs::seek(&file, SeekFrom::Hole(start)).unwrap();
        data.push((start, at));
    }
    data
}

/// `name=value`, the value in hexadecimal.
fn attributes_of(path: &Path) -> Vec<String> {
    let options = ["-h", "-d", "-m", "-", "-e", "hex"].map(OsStr::new);
    let told = run("getfattr", options.into_iter().chain([path.as_os_str()])).unwrap();
    // the path is in the comments, with a newline in it maybe
    let lines = told.lines().filter_map(|line| line.split_once('='));
    let mut found: Vec<_> =
        lines.map(|(name, value)| format!("{name}={}", value.trim_start_matches("0x"))).collect();
    found.sort();
    found
}

/// All that there is to know of the files below, a line each.
fn facts(root: &Path) -> Vec<String> {
    let mut inodes = Vec::new();
    let mut line = |name: &PathBuf| {
        let path = root.join(name);
        let found = fs::symlink_metadata(&path).unwrap();
        let kind = found.file_type();
        let content = match kind {
            _ if kind.is_file() => {
                format!("{:?} {:?}", Sha256::digest(fs::read(&path).unwrap()), data_of(&path))
            }
            _ if kind.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
            _ => String::new(),
        };
        let attributes = attributes_of(&path);
        let first = inodes.iter().position(|inode| *inode == found.ino()).unwrap_or(inodes.len());
        inodes.push(found.ino());
        let links = if kind.is_dir() { 0 } else { found.nlink() };
        let whose = (format!("{:o}", found.mode()), found.uid(), found.gid(), found.rdev(), first, links);
        format!("{name:?} {whose:?} {}.{:09} {content} {attributes:?}", found.mtime(), found.mtime_nsec())
    };
    all(root).iter().map(&mut line).collect()
}

/// A folder with `image.raw` of `tree`.
fn image_of_everything() -> Option<Folder> {
    let is_here = ["mkfs.erofs", "setfattr", "tar"].into_iter().all(require_tool);
    if !is_here || !require_root() {
        return None;
    }
    let folder = Folder::new();
    let tree = folder.path().join("tree");
    make_tree(&tree);
    make_special(&tree);
    set_times(&tree);
    run("mkfs.erofs", ["--quiet", &folder.file("image.raw"), tree.to_str().unwrap()]).unwrap();
    Some(folder)
}

#[track_caller]
fn assert_same(found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn others_unpack_what_is_in_the_image() {
    let Some(folder) = image_of_everything() else { return };
    let expected = facts(&folder.path().join("tree"));
    assert!(expected.len() > 30);
    let ended = shell(&folder, "$DDI extract image.raw / - > image.tar");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    // the same on every day, and to a pipe
    assert_eq!(shell(&folder, "sleep 1; $DDI extract image.raw / - | cmp - image.tar").code, Some(0));
    let size = fs::metadata(folder.file("image.tar")).unwrap().len();
    assert!(size < 5 * MIB, "holes are no content: {size}");

    // it knows no other charset, and no word for that; and the times are far from now
    let gnu = "tar --warning=no-unknown-keyword --warning=no-timestamp --xattrs --xattrs-include='*' -xpf image.tar -C gnu";
    let ended = shell(&folder, &format!("mkdir gnu && {gnu}"));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_same(&facts(&folder.path().join("gnu")), &expected);
    if require_tool("bsdtar") {
        // it gives the folder itself no time, whoever made the stream
        let ended = shell(&folder, "mkdir bsd && bsdtar -xpf image.tar -C bsd && touch -r tree bsd");
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
        assert_same(&facts(&folder.path().join("bsd")), &expected);
    }
    // and the folder that is extracted, but for attributes that are not the user's
    assert_eq!(
        ddi(["extract", &folder.file("image.raw"), "/", &folder.file("ours"), "--preserve"]).code,
        Some(0)
    );
    run("setfattr", ["-n", "trusted.overlay.opaque", "-v", "y", &folder.file("ours/b")]).unwrap();
    assert_same(&facts(&folder.path().join("ours")), &expected);
}

/// Python unpacks no attributes and rounds times, so it is asked what it reads.
#[test]
fn python_reads_what_is_in_the_image() {
    const READ: &str = r#"
import hashlib, os, sys, tarfile
tar = tarfile.open(sys.argv[1])
for item in tar:
    name = os.fsencode(item.name)
    target = os.fsencode(item.linkname) if item.issym() or item.islnk() else b""
    content = hashlib.sha256(tar.extractfile(item).read()).hexdigest() if item.isreg() else ""
    kind = "link" if item.islnk() else "sym" if item.issym() else "dir" if item.isdir() else \
        "fifo" if item.isfifo() else "chr" if item.ischr() else "blk" if item.isblk() else "reg"
    device = (item.devmajor, item.devminor) if item.isdev() and not item.isfifo() else (0, 0)
    prefix = "SCHILY.xattr."
    xattrs = sorted(k[len(prefix):] + "=" + os.fsencode(v).hex() for k, v in item.pax_headers.items() if k.startswith(prefix))
    print(name.hex(), kind, oct(item.mode), item.uid, item.gid, int(item.mtime), *device, target.hex(), content, *xattrs, sep="|")
"#;
    if !require_tool("python3") {
        return;
    }
    let Some(folder) = image_of_everything() else { return };
    let ended = shell(&folder, "$DDI extract image.raw / - > image.tar");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let read = run("python3", ["-c", READ, &folder.file("image.tar")]).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let tree = folder.path().join("tree");
    let mut firsts: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut expected = Vec::new();
    for name in all(&tree) {
        let path = tree.join(&name);
        let found = fs::symlink_metadata(&path).unwrap();
        let shown = if name.as_os_str().is_empty() { b"." } else { name.as_os_str().as_bytes() };
        let first = firsts.iter().find(|(inode, _)| *inode == found.ino()).map(|(_, first)| first.clone());
        firsts.push((found.ino(), shown.to_vec()));
        let is_link = first.is_some();
        let (kind, target, content) = match (first, found.file_type()) {
            (Some(first), _) => ("link", hex(&first), String::new()),
            (None, kind) if kind.is_symlink() => {
                ("sym", hex(fs::read_link(&path).unwrap().as_os_str().as_bytes()), String::new())
            }
            (None, kind) if kind.is_dir() => ("dir", String::new(), String::new()),
            (None, kind) if kind.is_file() => {
                ("reg", String::new(), hex(&Sha256::digest(fs::read(&path).unwrap())))
            }
            _ => (
                match found.mode() >> 12 {
                    1 => "fifo",
                    2 => "chr",
                    _ => "blk",
                },
                String::new(),
                String::new(),
            ),
        };
        let device = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
        let mut line = format!(
            "{}|{kind}|0o{:o}|{}|{}|{}|{}|{}|{target}|{content}",
            hex(shown),
            found.mode() & 0o7777,
            found.uid(),
            found.gid(),
            found.mtime(),
            device.0,
            device.1
        );
        if !is_link {
            line.extend(attributes_of(&path).iter().map(|attribute| format!("|{attribute}")));
        }
        expected.push(line);
    }
    let mut found: Vec<String> = read.lines().map(str::to_owned).collect();
    let order: Vec<_> = found.iter().map(|line| line.split('|').next().unwrap().to_owned()).collect();
    // a directory, and what is in it, before what comes after it
    let key = |line: &String| {
        let name = line.split('|').next().unwrap();
        let bytes: Vec<u8> =
            (0..name.len()).step_by(2).map(|at| u8::from_str_radix(&name[at..at + 2], 16).unwrap()).collect();
        if bytes == b"." {
            Vec::new()
        } else {
            bytes.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>()
        }
    };
    found.sort_by_key(key);
    assert_eq!(order, found.iter().map(|line| line.split('|').next().unwrap()).collect::<Vec<_>>());
    expected.sort_by_key(key);
    assert_same(&found, &expected);
}

/// A stream that is not whole says so by having no end; and what may not be told does not begin.
#[test]
fn a_stream_that_failed_has_no_end() {
    const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
    if !require_tool("tar") {
        return;
    }
    let folder = Folder::new();
    let mut bytes = fs::read(SAMPLE).unwrap();
    folder.write("good.raw", &bytes);
    let needle = b"PRETTY_NAME=\"Sample";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at + 13] ^= 1;
    folder.write("damaged.raw", &bytes);
    let ended = shell(&folder, "$DDI extract good.raw / - > good.tar && tar -tf good.tar");
    assert!(ended.ok() && ended.stdout.contains("usr/lib/os-release\n"), "{ended:?}");
    let good = fs::read(folder.file("good.tar")).unwrap();
    assert!(good.ends_with(&[0; 1024]));
    let ended = shell(&folder, "$DDI extract damaged.raw / - > damaged.tar");
    assert!(ended.code == Some(1) && ended.stderr.contains("block"), "{ended:?}");
    let damaged = fs::read(folder.file("damaged.tar")).unwrap();
    assert!(damaged.len() < good.len() && good.starts_with(&damaged) && !damaged.ends_with(&[0; 1024]));
    assert_eq!(shell(&folder, "tar -tf damaged.tar").code, Some(2));
    // nobody vouches for it
    let ended = shell(&folder, "$DDI extract good.raw / - --authenticated > unvouched.tar");
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(fs::read(folder.file("unvouched.tar")).unwrap(), b"");
    // whoever reads on no more has what he wanted
    let ended = shell(&folder, "{ $DDI extract good.raw / -; echo $? >status; } | head -c 1 >first");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    // and no room is an error
    let ended = shell(&folder, "$DDI extract good.raw / - > /dev/full");
    assert!(ended.code == Some(2) && ended.stderr.contains("standard output"), "{ended:?}");
}

#[test]
fn sockets_are_left_out() {
    if !require_tool("mkfs.erofs") {
        return;
    }
    let folder = Folder::new();
    fs::create_dir(folder.file("tree")).unwrap();
    std::os::unix::net::UnixListener::bind(folder.file("tree/socket")).unwrap();
    run("mkfs.erofs", ["-T0", "--quiet", &folder.file("image.raw"), &folder.file("tree")]).unwrap();
    let ended = shell(&folder, "$DDI extract image.raw / - > image.tar");
    let told = "ddi: warning: /socket is left out: a socket has no place in a tar stream\n";
    assert_eq!((ended.code, &*ended.stderr), (Some(0), told));
    assert_eq!(fs::metadata(folder.file("image.tar")).unwrap().len(), 1536);
}

/// An image is unpacked and built again, with the same definitions and seed: byte for byte the same.
#[test]
fn what_was_extracted_is_built_again_as_it_was() {
    let is_here = ["mkfs.erofs", "setfattr", "tar"].into_iter().all(require_tool);
    if !is_here || !require_root() {
        return;
    }
    let folder = Folder::new();
    let tree = folder.path().join("tree");
    make_tree(&tree);
    make_special(&tree);
    run("setfattr", ["-x", "trusted.overlay.opaque", &folder.file("tree/b")]).unwrap();
    set_times(&tree);
    fs::create_dir(folder.file("definitions")).unwrap();
    for (name, text) in [
        (
            "10-root.conf",
            "Type=root\nFormat=erofs\nCopyFiles=/:/\nVerity=data\nVerityMatchKey=k\nMinimize=best\n",
        ),
        ("20-hash.conf", "Type=root-verity\nVerity=hash\nVerityMatchKey=k\nMinimize=best\n"),
    ] {
        folder.write(&format!("definitions/{name}"), format!("[Partition]\n{text}").as_bytes());
    }
    let options = "--definitions definitions --dry-run --copy-source tree none.raw";
    if shell(&folder, &format!("$DDI build {options}")).stderr.contains("is too old") {
        return say_skipped("mkfs.erofs reads no tar stream");
    }
    let build = |from: &str, image: &str| {
        let options = "--definitions definitions --keep-owners --seed 11111111-2222-4333-8444-555555555555";
        let ended = shell(&folder, &format!("$DDI build {options} --copy-source {from} {image}"));
        assert!(ended.ok(), "{from}: {ended:?}");
        Sha256::digest(fs::read(folder.file(image)).unwrap())
    };
    let version = shell(&folder, "mkfs.erofs -V 2>&1").stdout;
    if ["1.5", "1.6"].iter().any(|old| version.starts_with(&format!("mkfs.erofs {old}"))) {
        return say_skipped("mkfs.erofs 1.7 is needed");
    }
    let first = build("tree", "first.raw");
    assert_eq!(shell(&folder, "$DDI extract first.raw / folder --preserve").code, Some(0));
    assert_eq!(build("folder", "second.raw"), first);
    let unpack = "tar --warning=no-unknown-keyword --warning=no-timestamp --xattrs --xattrs-include='*' -xpf - -C unpacked";
    let ended = shell(&folder, &format!("mkdir unpacked && $DDI extract first.raw / - | {unpack}"));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(build("unpacked", "third.raw"), first);
    // which says something only if a change shows
    fs::write(folder.file("unpacked/mode-1"), "x").unwrap();
    assert_ne!(build("unpacked", "fourth.raw"), first);
}
