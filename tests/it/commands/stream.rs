//! Compressed images and pipes: the same answer as for a plain file, or none.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::image::{ImageBuilder, erofs};
use crate::support::{Chance, DDI, Ended, Folder, corpus, ddi, require_tool, run, run_within};

/// Runs `ddi` with `input` coming through a pipe, which it need not read to the end.
fn ddi_with_input(args: &[&str], input: &[u8]) -> Ended {
    let folder = Folder::new();
    let fifo = folder.file("pipe");
    run("mkfifo", [&fifo]).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" < \"$PIPE\"", DDI]).args(args).env("PIPE", &fifo);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut pipe = File::options().write(true).open(&fifo).unwrap();
            // a reader that has seen enough
            let _ = pipe.write_all(input);
        });
        run_within(command, Duration::from_secs(60))
    })
}

/// A small image of a usr partition with its hash tree, the root hash, and where the middle of the partition is.
fn image() -> (Vec<u8>, String, usize) {
    let image = ImageBuilder::new().verity("usr-x86-64", "usr", erofs(300, 5)).build();
    let root_hash = image.root_hashes[0].to_string();
    let middle = image.partitions[0].offset + image.partitions[0].size / 2;
    (image.bytes, root_hash, middle as usize)
}

/// Command and suffix of each format.
const PACKERS: [(&str, &str); 3] = [("xz", "xz"), ("zstd", "zst"), ("gzip", "gz")];

/// `path`, compressed beside itself.
fn pack(packer: &str, suffix: &str, path: &str) -> String {
    let packed = format!("{path}.{suffix}");
    run("sh", ["-c", "\"$0\" -c \"$1\" > \"$2\"", packer, path, &packed]).unwrap();
    packed
}

/// A shell command in which `$DDI` is the program, within so many KiB of memory and with temporary files in `folder`.
fn shell(script: &str, args: &[&str], folder: &Folder, memory: u32) -> Ended {
    let mut command = Command::new("sh");
    let script = format!("ulimit -v {memory} && {script}");
    command.args(["-c", &script, "sh"]).args(args).env("DDI", DDI).env("TMPDIR", folder.path());
    run_within(command, Duration::from_secs(60))
}

#[test]
fn packed_images_are_as_plain_ones() {
    let Some(corpus) = corpus() else { return };
    let packed = corpus.join("images/packed");
    let plain = fs::read(packed.join("demo_1.0.raw")).unwrap();
    let folder = Folder::new();
    let plain = folder.write("demo_1.0.raw", &plain);
    let commands: [&[&str]; 4] =
        [&["inspect", "-v"], &["inspect", "--json"], &["verify"], &["verify", "--json"]];
    let answer = |command: &[&str], path: &str| {
        let mut ended = ddi(command.iter().copied().chain([path]));
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        let text = ended.stdout.replace(path, "IMAGE").replace(name, "NAME");
        // columns are as wide as names are long
        ended.stdout = text.split_whitespace().collect::<Vec<_>>().join(" ");
        // that it is packed, and how, is told
        if command[0] == "inspect" && path != plain {
            let told = ["xz", "gzip", "zstd"].into_iter().find_map(|kind| {
                let (line, key) = (format!("Packed: {kind} "), format!("\"compression\": \"{kind}\""));
                let changed = ended.stdout.replace(&line, "").replace(&key, "\"compression\": null");
                (changed != ended.stdout).then_some(changed)
            });
            ended.stdout = told.unwrap_or_else(|| panic!("{path}: {ended:?}"));
        }
        ended
    };
    for (from, to) in [
        ("demo_1.0.raw.xz", "demo_1.0.raw.xz"),
        ("demo_1.0.raw.gz", "demo_1.0.raw.gz"),
        ("demo_1.0-members.raw.gz", "demo_1.0.raw.gz"),
        ("demo_1.0.raw.zst", "demo_1.0.raw.zst"),
        ("demo_1.0-skippable.raw.zst", "demo_1.0.raw.zst"),
        // what it is says the content and not the name
        ("demo_1.0.raw.xz", "demo_1.0.raw.gz"),
        ("demo_1.0.raw.zst", "demo_1.0.img"),
    ] {
        let copy = folder.write(to, &fs::read(packed.join(from)).unwrap());
        for command in commands {
            assert_eq!(answer(command, &copy), answer(command, &plain), "{from}");
        }
    }
    let read = |path: &str| ddi(["read", path, "--partition=usr", "--integrity-only", "--size=5000"]);
    assert_eq!(read(&folder.file("demo_1.0.raw.xz")), read(&plain));

    let ended = ddi(["inspect".as_ref(), packed.join("demo_1.0.raw.bz2").as_os_str()]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("is compressed with bzip2, which is not supported"), "{ended:?}");
}

#[test]
fn an_image_through_a_pipe() {
    let (bytes, root_hash, middle) = image();
    let folder = Folder::new();
    let plain = folder.write("image.raw", &bytes);
    let args = ["verify", "-", "--usr-hash", &root_hash];
    let ended = ddi_with_input(&args, &bytes);
    assert!(ended.ok(), "{ended:?}");
    assert_eq!(ddi_with_input(&["verify", "-"], &bytes).code, Some(3));
    let mut bad = bytes.clone();
    bad[middle] ^= 1;
    assert_eq!(ddi_with_input(&args, &bad).code, Some(1));
    assert_eq!(ddi_with_input(&["inspect", "-"], &bytes).code, Some(0));
    let empty = ddi_with_input(&args, b"");
    assert!(empty.code == Some(2) && empty.stderr.contains("the image is empty"), "{empty:?}");
    let short = ddi_with_input(&args, &bytes[..middle]);
    assert!(matches!(short.code, Some(1 | 2)), "{short:?}");

    for (packer, suffix) in PACKERS {
        if !require_tool(packer) {
            continue;
        }
        let packed = pack(packer, suffix, &plain);
        let ended = ddi_with_input(&args, &fs::read(&packed).unwrap());
        assert!(ended.ok(), "{packer}: {ended:?}");
        let script = "\"$1\" -dc \"$2\" | \"$DDI\" verify - --usr-hash \"$3\"";
        let ended = shell(script, &[packer, &packed, &root_hash], &folder, 4 << 20);
        assert!(ended.ok(), "{packer}: {ended:?}");
    }
    let directory = shell("\"$DDI\" verify - < /", &[], &folder, 4 << 20);
    assert!(directory.code == Some(2) && directory.stderr.contains("standard input"), "{directory:?}");
}

#[test]
fn damaged_packed_images_are_never_taken_for_others() {
    let (bytes, root_hash, _) = image();
    let folder = Folder::new();
    let plain = folder.write("image.raw", &bytes);
    let mut chance = Chance(11);
    for (packer, suffix) in PACKERS {
        if !require_tool(packer) {
            continue;
        }
        let good = fs::read(pack(packer, suffix, &plain)).unwrap();
        let verify = |bytes: &[u8]| {
            let path = folder.write("damaged", bytes);
            ddi(["verify", &path, "--usr-hash", &root_hash])
        };
        assert!(verify(&good).ok());
        for _ in 0..20 {
            let size = 10 + chance.below(good.len() as u64 - 10) as usize;
            let ended = verify(&good[..size]);
            assert_eq!(ended.code, Some(2), "{packer}, {size} bytes: {ended:?}");
            assert!(ended.stderr.contains("data ends early"), "{packer}, {size} bytes: {ended:?}");
        }
        for _ in 0..40 {
            let mut bad = good.clone();
            let at = 10 + chance.below(good.len() as u64 - 10) as usize;
            bad[at] ^= 1 << chance.below(8);
            let ended = verify(&bad);
            // 0: a bit that means nothing
            assert!(matches!(ended.code, Some(0 | 2)), "{packer}, byte {at}: {ended:?}");
        }
    }
}

#[test]
fn a_bomb_ends_in_bounded_memory_and_leaves_nothing() {
    let folder = Folder::new();
    let bomb = folder.file("bomb");
    File::create(&bomb).unwrap().set_len(64 << 20).unwrap();
    for (packer, suffix) in PACKERS {
        if !require_tool(packer) {
            continue;
        }
        let packed = pack(packer, suffix, &bomb);
        assert!(fs::metadata(&packed).unwrap().len() < 1 << 19);
        let temporary = Folder::new();
        for script in
            ["\"$DDI\" verify --max-size 20000000 \"$1\"", "\"$DDI\" inspect --max-size 20000000 - < \"$1\""]
        {
            let ended = shell(script, &[&packed], &temporary, 100 << 10);
            assert_eq!(ended.code, Some(2), "{packer}: {ended:?}");
            assert!(ended.stderr.contains("would have more than 20000000 bytes unpacked"), "{ended:?}");
            assert!(temporary.names().is_empty());
        }
    }
    let temporary = Folder::new();
    let ended = shell("\"$DDI\" verify --max-size 20000000 - < /dev/zero", &[], &temporary, 100 << 10);
    assert!(ended.stderr.contains("would have more than 20000000 bytes unpacked"), "{ended:?}");
    assert!(ended.code == Some(2) && temporary.names().is_empty());
}

/// Data, its hash tree in a file, and what `ddi verity format` said of it.
struct Tree {
    folder: Folder,
    data: Vec<u8>,
    hash: String,
    root_hash: String,
}

impl Tree {
    fn new() -> Self {
        let folder = Folder::new();
        let data = Chance(9).bytes(1000 * 512);
        let path = folder.write("data", &data);
        let hash = folder.file("hash");
        let sizes = ["--data-block-size=512", "--hash-block-size=512"];
        let text = ddi(["verity", "format", &path, &hash].into_iter().chain(sizes)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap();
        Tree { data, hash, root_hash: line.trim().into(), folder }
    }

    fn by_pipe(&self, input: &[u8], more: &[&str]) -> Ended {
        let args = [&["verity", "verify", "-", &self.hash, &self.root_hash], more].concat();
        ddi_with_input(&args, input)
    }

    fn by_file(&self, data: &[u8], more: &[&str]) -> Ended {
        let path = self.folder.write("other", data);
        ddi([&["verity", "verify", &path, &self.hash, &self.root_hash], more].concat())
    }
}

#[test]
fn data_through_a_pipe_is_judged_as_in_a_file() {
    let tree = Tree::new();
    let assert_same = |data: &[u8], code: i32| {
        for more in [&[][..], &["--json"]] {
            let ended = tree.by_pipe(data, more);
            assert_eq!(ended, tree.by_file(data, more));
            assert_eq!(ended.code, Some(code), "{ended:?}");
        }
    };
    assert_same(&tree.data, 0);
    let mut bad = tree.data.clone();
    for block in [0, 3, 4, 500, 999] {
        bad[block * 512 + 100] ^= 4;
    }
    assert_same(&bad, 1);
    let text = tree.by_pipe(&bad, &[]).stdout;
    assert_eq!(text, "NOT PROVEN\ncorrupt data blocks: 5 (0, 3-4, 500, 999)\n");

    // and with a damaged tree: its top, then the first and the last block of level 0
    let good = fs::read(&tree.hash).unwrap();
    for at in [512, 512 * (1 + 1 + 4), good.len() - 512] {
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        fs::write(&tree.hash, &damaged).unwrap();
        assert_same(&tree.data, 1);
        assert_same(&bad, 1);
    }
}

#[test]
fn data_through_a_pipe_has_to_have_its_size() {
    let tree = Tree::new();
    for size in [0, 1, 512, 300_000, tree.data.len() - 1] {
        let ended = tree.by_pipe(&tree.data[..size], &[]);
        let text = format!("NOT PROVEN\ndata ends at byte {size}, needed up to 512000\n");
        assert_eq!((ended.code, ended.stdout), (Some(1), text));
    }
    for more in [&b"x"[..], &[0; 5000]] {
        let long = [&tree.data, more].concat();
        let ended = tree.by_pipe(&long, &[]);
        let text = "NOT PROVEN\ndata goes on behind the 512000 bytes that the superblock names (give --data-blocks to \
                    accept that)\n";
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), text));
        assert_eq!(tree.by_file(&long, &[]).code, Some(1));
        // as a file with the same option
        let ended = tree.by_pipe(&long, &["--data-blocks=1000"]);
        assert!(ended.ok() && ended.stderr.contains("data goes on"), "{ended:?}");
        assert!(tree.by_file(&long, &["--data-blocks=1000"]).ok());
    }
}

#[test]
fn a_tree_without_superblock_needs_the_number_of_blocks() {
    let tree = Tree::new();
    let superblock = fs::read(&tree.hash).unwrap()[..512].to_vec();
    let salt: String = superblock[88..120].iter().map(|byte| format!("{byte:02x}")).collect();
    let salt = format!("--salt={salt}");
    let bare = [
        "--no-superblock",
        "--hash-offset=512",
        "--data-block-size=512",
        "--hash-block-size=512",
        &salt,
        "--data-blocks=1000",
    ];
    let ended = tree.by_pipe(&tree.data, &bare);
    assert!(ended.ok(), "{ended:?}");
    let ended = tree.by_pipe(&tree.data, &bare[..5]);
    assert!(ended.code == Some(2) && ended.stderr.contains("--data-blocks"), "{ended:?}");
}

#[test]
fn a_pipe_that_cannot_be_read_is_no_verdict() {
    let tree = Tree::new();
    let script = "\"$DDI\" verity verify - \"$1\" \"$2\" < /";
    let ended = shell(script, &[&tree.hash, &tree.root_hash], &tree.folder, 4 << 20);
    assert!(ended.code == Some(2) && ended.stdout.is_empty(), "{ended:?}");
    // a writer that is killed looks like one that had no more to say
    let writer = "sh -c 'head -c 100000 \"$0\"; kill -9 $$' \"$1\"";
    let script = format!("{writer} | \"$DDI\" verity verify - \"$2\" \"$3\"");
    let ended =
        shell(&script, &[&tree.folder.file("data"), &tree.hash, &tree.root_hash], &tree.folder, 4 << 20);
    let text = "NOT PROVEN\ndata ends at byte 100000, needed up to 512000\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), text), "{ended:?}");
}
