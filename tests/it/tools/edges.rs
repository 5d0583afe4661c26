//! Files of every size that something begins or ends at, in images of every reader and option, against what the file
//! system's own tool takes out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Mutex;

use sha2::{Digest, Sha256};

use crate::support::{Chance, Ended, Folder, ddi, in_parallel, require_root, require_tool, run};

/// What a file is filled with.
const FILLS: [&str; 4] = ["random", "zeros", "repeating", "semi"];

fn content(fill: &str, len: usize, chance: &mut Chance) -> Vec<u8> {
    match fill {
        "random" => chance.bytes(len),
        "zeros" => vec![0; len],
        "repeating" => b"the same line again and again\n".iter().copied().cycle().take(len).collect(),
        // pieces that compress and pieces that do not, so that extents end anywhere
        _ => {
            let mut bytes = Vec::new();
            while bytes.len() < len {
                let (random, equal) = (chance.below(700) as usize, chance.below(900) as usize);
                bytes.extend(chance.bytes(random));
                bytes.extend(vec![chance.below(4) as u8; equal]);
            }
            bytes.truncate(len);
            bytes
        }
    }
}

/// Sizes around a block and a cluster of compressed ones, and whole numbers of them.
fn sizes() -> Vec<usize> {
    let mut sizes = vec![0, 1, 59, 60, 61, 149, 150, 151, 511, 512, 513];
    for unit in [1024, 4096, 65_536] {
        sizes.extend([unit - 1, unit, unit + 1, 2 * unit, 3 * unit]);
    }
    sizes.extend([131_071, 131_072, 131_073]);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The tree that is packed. Without `special` what vfat has: names that it takes, and files with one name.
fn make(tree: &str, special: bool) {
    let chance = &mut Chance(0xd4);
    fs::create_dir_all(tree).unwrap();
    for fill in FILLS {
        for len in sizes() {
            fs::write(format!("{tree}/{fill}-{len}"), content(fill, len, chance)).unwrap();
        }
    }
    // extents that begin anywhere in the last of a whole number of clusters
    for clusters in 1..=32 {
        let bytes = content("semi", clusters * 4096, chance);
        fs::write(format!("{tree}/whole-{clusters}"), bytes).unwrap();
    }
    let mut sparse = vec![0; 300_000];
    sparse[70_000..70_100].fill(1);
    sparse[200_000..204_096].fill(2);
    let file = format!("{tree}/sparse");
    fs::write(&file, []).unwrap();
    let handle = fs::OpenOptions::new().write(true).open(&file).unwrap();
    for at in [70_000, 200_000] {
        std::os::unix::fs::FileExt::write_all_at(&handle, &sparse[at..at + 100], at as u64).unwrap();
    }
    std::os::unix::fs::FileExt::write_all_at(&handle, &sparse[200_000..204_096], 200_000).unwrap();
    handle.set_len(300_000).unwrap();
    let deep = (0..30).fold(tree.to_owned(), |path, i| format!("{path}/d{i:02}"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(format!("{deep}/file"), "deep").unwrap();
    for len in [1, 8, 100, 200] {
        fs::write(format!("{tree}/{}", "n".repeat(len)), len.to_string()).unwrap();
    }
    fs::create_dir(format!("{tree}/many")).unwrap();
    for i in 0..400 {
        fs::write(format!("{tree}/many/file-number-{i:04}"), if i % 3 == 0 { "x" } else { "" }).unwrap();
    }
    if !special {
        return;
    }
    fs::create_dir(format!("{tree}/links")).unwrap();
    fs::write(format!("{tree}/links/0"), "linked").unwrap();
    for i in 1..200 {
        fs::hard_link(format!("{tree}/links/0"), format!("{tree}/links/{i}")).unwrap();
    }
    for len in [1, 59, 60, 61, 250, 900] {
        symlink("t/".repeat(len / 2 + 1).split_at(len).0, format!("{tree}/link-{len}")).unwrap();
    }
    fs::write(format!("{tree}/back\\slash and space"), "x").unwrap();
    for i in 0..20 {
        let file = format!("{tree}/many/file-number-{i:04}");
        let value = "v".repeat(i * i);
        for (name, value) in [("user.shared", "the same"), ("user.own.name", &value)] {
            if run("setfattr", ["-n", name, "-v", value, &file]).code != Some(0) {
                break;
            }
        }
    }
}

/// Path to what is compared: type, size and digest, or target.
type Tree = BTreeMap<String, String>;

fn tree_of(folder: &Path) -> Tree {
    fn add(path: &Path, shown: &str, tree: &mut Tree) {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            // as mtree escapes the names of this tree
            let name = name.to_str().unwrap().replace('\\', "\\x5c").replace(' ', "\\x20");
            let shown = format!("{shown}/{name}");
            let found = fs::symlink_metadata(entry.path()).unwrap();
            if found.is_dir() {
                tree.insert(format!("{shown}/"), "dir".into());
                add(&entry.path(), &shown, tree);
            } else if found.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap();
                tree.insert(
                    shown,
                    format!("link {}", String::from_utf8_lossy(target.as_os_str().as_bytes())),
                );
            } else {
                let bytes = fs::read(entry.path()).unwrap();
                let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
                tree.insert(shown, format!("file {} {digest}", found.size()));
            }
        }
    }
    let mut tree = Tree::new();
    add(folder, ".", &mut tree);
    tree
}

fn tree_told(ended: &Ended) -> Tree {
    let mut tree = Tree::new();
    for line in ended.stdout.lines() {
        let mut fields = line.split(' ');
        let path = fields.next().unwrap();
        let field = |name: &str| line.split(' ').find_map(|f| f.strip_prefix(name)).unwrap_or_default();
        let what = match field("type=") {
            "dir" => "dir".to_owned(),
            "link" => format!("link {}", field("link=")),
            _ => {
                let empty: String = Sha256::digest([]).iter().map(|b| format!("{b:02x}")).collect();
                let digest = Some(field("sha256sum=")).filter(|sum| !sum.is_empty()).unwrap_or(&empty);
                format!("file {} {digest}", field("size="))
            }
        };
        tree.insert(path.to_owned(), what);
    }
    tree.remove("./");
    tree
}

/// What `ddi` tells is what went in. Where the tool that made the image put something else into it, what another one takes
/// out counts.
#[track_caller]
fn assert_same(what: &str, ours: &Tree, went_in: &Tree, theirs: impl FnOnce() -> Option<Tree>) {
    if ours == went_in {
        return;
    }
    let theirs = theirs().unwrap_or_default();
    let paths = ours.keys().chain(went_in.keys());
    let wrong: Vec<_> = paths
        .filter(|path| ours.get(*path) != went_in.get(*path) && ours.get(*path) != theirs.get(*path))
        .map(|path| (path, ours.get(path), went_in.get(path), theirs.get(path)))
        .collect();
    let shown = &wrong[..wrong.len().min(5)];
    assert!(wrong.is_empty(), "{what}: {} wrong: told, went in, comes out: {shown:#?}", wrong.len());
}

/// What makes an image of the tree, and what takes it apart again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Erofs,
    Squashfs,
    Ext4,
    Btrfs,
    Xfs,
    Vfat,
}

const WAYS: &[(Kind, &str)] = &[
    (Kind::Erofs, ""),
    (Kind::Erofs, "-x1"),
    (Kind::Erofs, "-Eforce-inode-extended"),
    (Kind::Erofs, "-Enoinline_data"),
    (Kind::Erofs, "--chunksize=4096"),
    (Kind::Erofs, "--chunksize=65536 -Eforce-chunk-indexes"),
    (Kind::Erofs, "-zlz4"),
    (Kind::Erofs, "-zlz4hc -C65536"),
    (Kind::Erofs, "-zlz4hc -C16384"),
    (Kind::Erofs, "-zlz4hc -C65536 -Elegacy-compress"),
    (Kind::Erofs, "-zlz4 -Elegacy-compress"),
    (Kind::Erofs, "-zlz4 -Eztailpacking"),
    (Kind::Erofs, "-zlz4hc -C65536 -Eztailpacking"),
    (Kind::Erofs, "-zlz4 -Efragments"),
    (Kind::Erofs, "-zlz4hc -C65536 -Eall-fragments"),
    (Kind::Erofs, "-zlz4hc -C65536 -Ededupe,all-fragments,ztailpacking"),
    (Kind::Erofs, "-zlz4 --max-extent-bytes=8192"),
    (Kind::Erofs, "-zlzma -C65536"),
    (Kind::Erofs, "-zdeflate -C65536"),
    (Kind::Erofs, "-zzstd -C65536"),
    (Kind::Erofs, "-E48bit -zlz4hc -C65536"),
    (Kind::Erofs, "-E48bit -zlz4 -Eall-fragments"),
    (Kind::Erofs, "-m4096 -zlz4"),
    (Kind::Squashfs, ""),
    (Kind::Squashfs, "-b 4096"),
    (Kind::Squashfs, "-b 1048576"),
    (Kind::Squashfs, "-comp lz4 -Xhc"),
    (Kind::Squashfs, "-comp lzo"),
    (Kind::Squashfs, "-comp xz -Xbcj x86"),
    (Kind::Squashfs, "-comp zstd -b 65536"),
    (Kind::Squashfs, "-no-fragments"),
    (Kind::Squashfs, "-always-use-fragments"),
    (Kind::Squashfs, "-noI -noD -noF -noX"),
    (Kind::Squashfs, "-no-duplicates -no-exports -no-sparse"),
    (Kind::Squashfs, "-no-tailends -nopad"),
    (Kind::Ext4, ""),
    (Kind::Ext4, "-b 1024"),
    (Kind::Ext4, "-b 2048 -O ^extents,^64bit"),
    (Kind::Ext4, "-O inline_data -I 256"),
    (Kind::Ext4, "-O ^64bit,^metadata_csum,^flex_bg"),
    (Kind::Ext4, "-O bigalloc -C 16384"),
    (Kind::Ext4, "-O ^dir_index,^filetype,^has_journal"),
    (Kind::Ext4, "-O sparse_super2,meta_bg,^resize_inode -I 512"),
    (Kind::Btrfs, ""),
    (Kind::Btrfs, "--nodesize 4096 --mixed"),
    (Kind::Btrfs, "-O ^no-holes --csum xxhash"),
    (Kind::Btrfs, "--nodesize 65536 --csum sha256"),
    (Kind::Xfs, ""),
    (Kind::Xfs, "-b size=1024"),
    (Kind::Xfs, "-n size=8192 -i size=1024"),
    (Kind::Xfs, "-m crc=0"),
    (Kind::Vfat, "-F 32 -s 1"),
    (Kind::Vfat, "-F 16"),
    (Kind::Vfat, "-F 16 -s 8"),
];

/// Tools that a kind takes.
fn tools(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Erofs => &["mkfs.erofs", "fsck.erofs"],
        Kind::Squashfs => &["mksquashfs", "unsquashfs"],
        Kind::Ext4 => &["mke2fs", "debugfs"],
        Kind::Btrfs => &["mkfs.btrfs", "btrfs"],
        Kind::Xfs => &["mkfs.xfs", "xfs_repair"],
        Kind::Vfat => &["mkfs.vfat", "mcopy"],
    }
}

fn empty(image: &str, size: u64) {
    fs::File::create(image).unwrap().set_len(size).unwrap();
}

/// Makes the image; what its tool says if it does not.
fn pack(kind: Kind, options: &str, tree: &str, image: &str, proto: &str) -> Ended {
    let options: Vec<&str> = options.split(' ').filter(|option| !option.is_empty()).collect();
    let all = |before: &[&str], after: &[&str]| -> Vec<String> {
        [before, &options, after].concat().into_iter().map(str::to_owned).collect()
    };
    match kind {
        Kind::Erofs => run("mkfs.erofs", all(&[], &[image, tree])),
        Kind::Squashfs => run("mksquashfs", all(&[tree, image, "-noappend", "-quiet", "-no-progress"], &[])),
        Kind::Ext4 => run("mke2fs", all(&["-q", "-F", "-t", "ext4", "-d", tree], &[image, "64M"])),
        Kind::Btrfs => {
            empty(image, 256 << 20);
            run("mkfs.btrfs", all(&["-q", "--rootdir", tree], &[image]))
        }
        Kind::Xfs => {
            empty(image, 320 << 20);
            run("mkfs.xfs", all(&["-q", "-p", proto], &[image]))
        }
        Kind::Vfat => {
            empty(image, 64 << 20);
            let made = run("mkfs.vfat", all(&[], &[image]));
            if !made.ok() {
                return made;
            }
            // not into the root directory, which has room for 512 names
            run("mcopy", ["-s", "-i", image, tree, "::plain"])
        }
    }
}

/// What the kind's own tool takes out; `None` if it cannot.
fn unpack(kind: Kind, image: &str, to: &str) -> Option<Tree> {
    let ended = match kind {
        Kind::Erofs => run("fsck.erofs", [&format!("--extract={to}"), image]),
        Kind::Squashfs => run("unsquashfs", ["-quiet", "-no-progress", "-dest", to, image]),
        Kind::Ext4 => {
            fs::create_dir(to).unwrap();
            run("debugfs", ["-R", &format!("rdump / {to}"), image])
        }
        Kind::Btrfs => {
            fs::create_dir(to).unwrap();
            run("btrfs", ["restore", "-S", image, to])
        }
        Kind::Xfs => return None,
        Kind::Vfat => run("mcopy", ["-s", "-i", image, "::", to]),
    };
    ended.ok().then(|| tree_of(Path::new(to)))
}

/// The tree in the form that `mkfs.xfs -p` takes, without what that has no words for.
fn proto(tree: &str) -> String {
    fn add(path: &Path, text: &mut String) {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                text.push_str(&format!("{name} d--755 0 0\n"));
                add(&path, text);
                text.push_str("$\n");
            } else {
                text.push_str(&format!("{name} ---644 0 0 {}\n", path.display()));
            }
        }
    }
    let mut text = "/\n0 0\nd--755 0 0\n".to_owned();
    add(Path::new(tree), &mut text);
    text.push_str("$\n$\n");
    text
}

/// `ddi mtree` tells what went in. Where it does not, the file system's own tool says who is right.
#[test]
fn d4_edge_files_of_every_reader_and_option() {
    if !require_root() {
        return;
    }
    let folder = Folder::new();
    let (tree, plain) = (folder.file("full"), folder.file("plain"));
    make(&tree, true);
    make(&plain, false);
    let (full_tree, plain_tree) = (tree_of(Path::new(&tree)), tree_of(Path::new(&plain)));
    let proto = folder.write("proto", proto(&plain).as_bytes());
    let missing: Vec<Kind> = [Kind::Erofs, Kind::Squashfs, Kind::Ext4, Kind::Btrfs, Kind::Xfs, Kind::Vfat]
        .into_iter()
        .filter(|kind| !tools(*kind).iter().all(|tool| require_tool(tool)))
        .collect();
    let compared = Mutex::new(BTreeMap::<String, u32>::new());
    in_parallel(WAYS.len() as u64, |i| {
        let (kind, options) = WAYS[i as usize];
        if missing.contains(&kind) {
            return;
        }
        let what = format!("{kind:?} {options}");
        let image = folder.file(&format!("{i}.raw"));
        let is_plain = matches!(kind, Kind::Xfs | Kind::Vfat);
        let made = pack(kind, options, if is_plain { &plain } else { &tree }, &image, &proto);
        if !made.ok() {
            // an option of later versions, or that this one was built without
            println!("{what}: skipped: {}", made.stderr.lines().last().unwrap_or_default());
            let _ = fs::remove_file(&image);
            return;
        }
        let told = ddi(["mtree", &image]);
        if told.code == Some(2) && told.stderr.contains("unsupported") && kind != Kind::Erofs {
            println!("{what}: {}", told.first_line());
        } else {
            assert_eq!((told.code, &*told.stderr), (Some(0), ""), "{what}");
            let mut ours = tree_told(&told);
            if kind == Kind::Ext4 {
                ours.retain(|path, _| !path.starts_with("./lost+found"));
            }
            if kind == Kind::Vfat {
                ours.remove("./plain/");
                ours =
                    ours.into_iter().map(|(path, what)| (path.replacen("./plain", ".", 1), what)).collect();
            }
            let went_in = if is_plain { &plain_tree } else { &full_tree };
            assert_same(&what, &ours, went_in, || unpack(kind, &image, &folder.file(&format!("{i}.out"))));
            *compared.lock().unwrap().entry(format!("{kind:?}")).or_default() += 1;
        }
        fs::remove_file(&image).unwrap();
    });
    let compared = compared.into_inner().unwrap();
    println!("{compared:?}");
    assert_eq!(compared.len() + missing.len(), 6, "{compared:?}");
}
