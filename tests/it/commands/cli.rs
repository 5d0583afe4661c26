//! The command as its users see it: exit status, first line, streams, and text that an image chose.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::properties::seeds::unfit_in_lines;
use crate::support::image::{Image, ImageBuilder, erofs, hash_tree};
use crate::support::{DDI, Folder, ddi, ddi_quickly, require_tool, run, run_within};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
const SAMPLE_ROOT_HASH: &str = "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb";

fn good() -> Image {
    ImageBuilder::new()
        .partition("esp", "esp", vec![0; 1 << 16])
        .verity("root-x86-64", "os_1", erofs(300, 1))
        .build()
}

#[test]
fn exit_status_and_first_line_tell_the_four_cases_apart() {
    let folder = Folder::new();
    let image = good();
    let path = folder.write("image.raw", &image.bytes);
    let root = image.root_hashes[0].to_string();
    let wrong = "00".repeat(32);

    let cases: [(&[&str], i32, &str); 6] = [
        (&["--root-hash", &root], 0, "VERIFIED "),
        (&[], 3, "INTACT ONLY "),
        (&["--integrity-only"], 0, "INTACT ONLY "),
        (&["--root-hash", &wrong], 1, "NOT PROVEN "),
        // right for root, but nobody said that it is right for usr
        (&["--usr-hash", &root], 1, "NOT PROVEN "),
        (&["--integrity-only", "--root-hash", &wrong], 1, "NOT PROVEN "),
    ];
    for (args, code, first) in cases {
        let ended = ddi(["verify", &path].iter().chain(args));
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.stdout.starts_with(first), "{args:?}: {ended:?}");
        assert_eq!(ended.stderr, "");
        let json = ddi(["verify", "--json", &path].iter().chain(args));
        assert_eq!(json.code, Some(code), "{args:?}: {json:?}");
        assert_eq!(json.json()["exitStatus"], code);
    }
    // 2: could not tell
    for args in [["verify", "/nonexistent"], ["inspect", "/nonexistent"], ["verify", "--no-such-option"]] {
        let ended = ddi(args);
        assert_eq!(ended.code, Some(2));
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{ended:?}");
    }
}

#[test]
fn root_hash_from_a_file() {
    let folder = Folder::new();
    let file = folder.write("trusted", format!("{SAMPLE_ROOT_HASH}\n").as_bytes());
    assert!(ddi(["verify", SAMPLE, "--root-hash", &file]).ok());
    let junk = folder.write("junk", b"no hash");
    for given in [junk.as_str(), "zz", ""] {
        let ended = ddi(["verify", SAMPLE, "--root-hash", given]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.starts_with("ddi: error: "), "{ended:?}");
    }
}

#[test]
fn sample_of_the_readme() {
    let ended = ddi(["inspect", SAMPLE]);
    assert!(ended.ok(), "{ended:?}");
    assert!(ended.stdout.contains(SAMPLE_ROOT_HASH), "{ended:?}");
    let json = ddi(["inspect", "--json", SAMPLE]).json();
    assert_eq!(json["mounts"][0]["designator"], "root");
    assert_eq!(json["mounts"][0]["fstype"], "erofs");
    assert!(ddi(["verify", SAMPLE, "--root-hash", SAMPLE_ROOT_HASH]).ok());
}

#[test]
fn every_corrupt_block_is_named() {
    let folder = Folder::new();
    let image = good();
    let root = image.root_hashes[0].to_string();
    let data = image.partitions[1].offset;
    for blocks in [vec![1], vec![0], vec![299], vec![7, 8, 9, 100]] {
        let mut bad = image.clone();
        for block in &blocks {
            // not in the superblock: the file system is still recognised
            bad = bad.damage(data + block * 4096 + 4000);
        }
        let path = folder.write("image.raw", &bad.bytes);
        let ended = ddi(["verify", &path, "--root-hash", &root, "--json"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let found = &ended.json()["proofs"][0]["verdict"]["corruptDataBlocks"];
        assert_eq!(found["count"], blocks.len(), "{ended:?}");
        assert_eq!(found["ranges"][0][0], blocks[0]);
        let text = ddi(["verify", &path, "--root-hash", &root]);
        assert!(text.first_line().starts_with("NOT PROVEN "));
        let shown = if blocks.len() == 1 { format!("1 ({})", blocks[0]) } else { "4 (7-9, 100)".into() };
        assert!(text.stdout.contains(&format!("corrupt data blocks: {shown}\n")), "{text:?}");
    }
}

#[test]
fn what_is_no_disk_is_refused_at_once() {
    let folder = Folder::new();
    let fifo = folder.file("fifo");
    run("mkfifo", [&fifo]).unwrap();
    let socket = folder.file("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let empty = folder.write("empty", b"");
    let short = folder.write("short", b"x");
    let here = folder.path().display().to_string();
    for path in [&fifo, &socket, &empty, &here, &"/dev/null".to_owned(), &"/dev/tty".to_owned()] {
        for command in ["inspect", "verify"] {
            let ended = ddi_quickly([command, path]);
            assert_eq!(ended.code, Some(2), "{command} {path}: {ended:?}");
            assert!(ended.stderr.starts_with("ddi: error: ") && ended.stdout.is_empty(), "{ended:?}");
        }
        let ended = ddi_quickly(["verity", "dump", path]);
        assert_eq!(ended.code, Some(2), "{path}: {ended:?}");
        let ended = ddi_quickly(["verity", "verify", path, SAMPLE, SAMPLE_ROOT_HASH]);
        assert_eq!(ended.code, Some(2), "{path}: {ended:?}");
    }
    // nothing that is recognised: no command can tell
    for command in ["inspect", "verify"] {
        assert_eq!(ddi_quickly([command, &short]).code, Some(2));
    }
}

#[test]
fn truncated_images_never_crash_and_are_never_verified() {
    let folder = Folder::new();
    let image = fs::read(SAMPLE).unwrap();
    let path = folder.file("image.raw");
    // the blocks that hold anything end here
    for size in (512..image.len()).step_by(4096 - 512) {
        fs::write(&path, &image[..size]).unwrap();
        for args in [vec!["inspect", &path], vec!["inspect", "--json", &path]] {
            let ended = ddi_quickly(&args);
            // the backup table is missing, at the least; of a protective MBR alone, nothing is recognised
            let is_unrecognised = size < 4096 && ended.code == Some(2);
            assert!(matches!(ended.code, Some(0 | 1)) || is_unrecognised, "{size}: {ended:?}");
        }
        let ended = ddi_quickly(["verify", &path, "--root-hash", SAMPLE_ROOT_HASH]);
        let whole = size >= 135168;
        assert!(matches!(ended.code, Some(1 | 2)) || whole, "{size}: {ended:?}");
    }
}

#[test]
fn an_image_that_changes_its_size_is_no_crash() {
    let folder = Folder::new();
    let image = fs::read(SAMPLE).unwrap();
    let path = folder.write("image.raw", &image);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for size in [0, 100_000, image.len() as u64, 10 << 20] {
                    file.set_len(size).unwrap();
                }
            }
        });
        for _ in 0..50 {
            for args in [vec!["inspect", &path], vec!["verify", &path, "--root-hash", SAMPLE_ROOT_HASH]] {
                let ended = ddi_quickly(&args);
                assert!(matches!(ended.code, Some(0..=2)), "{ended:?}");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn labels_reach_the_terminal_escaped() {
    // all 65,536 UTF-16 units, 35 in a label, a hundred labels in an image
    let folder = Folder::new();
    let units: Vec<u16> = (1..=u16::MAX).collect();
    for (number, batch) in units.chunks(35 * 100).enumerate() {
        let image = batch
            .chunks(35)
            .fold(ImageBuilder::new(), |image, label| image.labelled("linux-generic", label, vec![0; 4096]))
            .build();
        let path = folder.write("image.raw", &image.bytes);
        let text = ddi_quickly(["inspect", "-v", &path]);
        assert!(!text.stdout.is_empty(), "{text:?}");
        assert_eq!(unfit_in_lines(&text.stdout), None, "batch {number}");
        // units without a partner are told from one another, not replaced; U+DC00 has one, the unit before it
        for unit in batch.iter().filter(|unit| (0xdc00..0xe000).contains(*unit)) {
            let shown = format!("\\u{{{unit:x}}}");
            assert!(text.stdout.contains(&shown) || *unit == 0xdc00, "batch {number}: {shown} is missing");
        }
        let json = ddi_quickly(["inspect", "--json", &path]);
        assert_eq!(json.json()["partitions"].as_array().unwrap().len(), image.partitions.len());
    }
}

#[test]
fn names_and_errors_are_escaped_too() {
    let folder = Folder::new();
    let path = folder.write("evil\x1b[31m\u{202e}.raw", &fs::read(SAMPLE).unwrap());
    for ended in [ddi(["inspect", &path]), ddi(["verify", &path]), ddi(["inspect", &format!("{path}\x07")])] {
        assert_eq!(unfit_in_lines(&ended.stdout).or(unfit_in_lines(&ended.stderr)), None, "{ended:?}");
    }
    // the algorithm's name in a superblock
    let mut superblock = fs::read(SAMPLE).unwrap()[126_976..][..4096].to_vec();
    superblock[32..40].copy_from_slice(b"\x1b]0;x\x07\x9b1");
    let path = folder.write("superblock", &superblock);
    let ended = ddi(["verity", "dump", &path]);
    assert_eq!(ended.code, Some(2));
    assert_eq!(unfit_in_lines(&ended.stderr), None, "{ended:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for args in [["inspect", SAMPLE], ["verify", SAMPLE]] {
        let mut child = Command::new(DDI)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let status = child.wait().unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let expected = if args[0] == "verify" { 3 } else { 0 };
        assert_eq!((status.code(), stderr.as_str()), (Some(expected), ""));
    }
}

#[test]
fn a_full_stdout_is_an_error() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{DDI} inspect {SAMPLE} >/dev/full")]);
    let ended = run_within(command, Duration::from_secs(10));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("standard output"), "{ended:?}");
}

#[test]
fn strict_wants_two_equal_copies() {
    let folder = Folder::new();
    let image = good();
    let root = image.root_hashes[0].to_string();
    let end = image.bytes.len() as u64;
    let cases = [
        (image.clone(), 0, 0),
        // the backup header's disk GUID, and so its CRC
        (image.damage(end - 512 + 56), 0, 1),
    ];
    for (image, tolerant, strict) in cases {
        let path = folder.write("image.raw", &image.bytes);
        let trusted = ["--root-hash", root.as_str()];
        assert_eq!(ddi(["verify", &path].iter().chain(&trusted)).code, Some(tolerant));
        assert_eq!(ddi(["inspect", &path, "--strict"]).code, Some(strict));
        let ended = ddi(["verify", &path, "--strict"].iter().chain(&trusted));
        assert_eq!(ended.code, Some(strict));
        assert!(ended.stdout.starts_with(if strict == 0 { "VERIFIED" } else { "NOT PROVEN" }), "{ended:?}");
        let json = ddi(["verify", &path, "--strict", "--json"].iter().chain(&trusted)).json();
        assert_eq!(json["exitStatus"], strict);
        assert_eq!(json["outcome"], if strict == 0 { "trusted-and-proven" } else { "not-proven" });
    }
}

#[test]
fn a_broken_image_is_shown() {
    let folder = Folder::new();
    let image = good();
    // a CRC in each header
    let end = image.bytes.len() as u64;
    let path = folder.write("image.raw", &image.damage(512 + 16).damage(end - 512 + 16).bytes);
    let ended = ddi(["inspect", "--json", &path]);
    assert_eq!(ended.code, Some(1));
    let json = ended.json();
    assert_eq!(json["kind"], "broken-table");
    assert_eq!(json["broken"], true);
    for copy in ["primary", "backup"] {
        assert_eq!(json["table"][copy]["entries"].as_array().unwrap().len(), 4, "{ended:?}");
        assert!(json["table"][copy]["error"]["code"].is_string());
    }
    let text = ddi(["inspect", &path]);
    assert_eq!(text.code, Some(1));
    assert!(text.stdout.contains("root-x86-64-verity"), "{text:?}");
    let verified = ddi(["verify", &path, "--root-hash", &image.root_hashes[0].to_string()]);
    assert!(matches!(verified.code, Some(1 | 2)) && !verified.stdout.starts_with("VERIFIED"), "{verified:?}");
}

/// A boot loader over both entry arrays: what is wrong comes first, and the noise is bounded.
#[test]
fn f12_noise_in_a_broken_table_is_bounded() {
    let folder = Folder::new();
    let mut bytes = good().bytes;
    let end = bytes.len();
    let noise: Vec<u8> = (0_u32..8192).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 13) as u8 | 1).collect();
    bytes[8192..8192 + 8192].copy_from_slice(&noise);
    bytes[end - 512 - 8192..end - 512].copy_from_slice(&noise);
    let path = folder.write("image.raw", &bytes);
    let ended = ddi(["inspect", "-v", &path]);
    assert_eq!(ended.code, Some(1));
    let at = |what: &str| ended.stdout.find(what).unwrap_or_else(|| panic!("no {what}: {ended:?}"));
    assert!(at("\nFindings\n") < at("\nPartitions\n"), "{ended:?}");
    assert!(at("root-x86-64-verity") > 0 && at(" more in a table that is broken\n") > 0);
    assert!(ended.stdout.lines().count() < 60, "{ended:?}");
    let longest = ended.stdout.lines().map(|line| line.chars().count()).max();
    assert!(longest < Some(256), "{longest:?}: {ended:?}");
    // programs get all of it
    let json = ddi(["inspect", "--json", &path]).json();
    assert!(json["partitions"].as_array().unwrap().len() > 60);
}

/// Bare ext2 and ext3 are what they are inside a GPT: nothing that systemd mounts, and files that can be read.
#[test]
fn f4_bare_ext2_is_recognised_and_read() {
    if !require_tool("mkfs.ext2") {
        return;
    }
    let folder = Folder::new();
    for kind in ["ext2", "ext3"] {
        let path = folder.file(kind);
        fs::File::create(&path).unwrap().set_len(16 << 20).unwrap();
        let made = run(&format!("mkfs.{kind}"), ["-q", "-F", &path]);
        assert_eq!(made.code, Some(0), "{made:?}");
        let bare = fs::read(&path).unwrap();
        let inside = ImageBuilder::new().partition("root-x86-64", "os", bare).build();
        let inside = folder.write("inside.raw", &inside.bytes);
        for (path, what) in [(&path, "root"), (&inside, "root partition 1")] {
            let ended = ddi(["inspect", path]);
            let text = format!("{what} is {kind}, which systemd mounts from no image");
            assert!(ended.code == Some(1) && ended.stdout.contains(&text), "{ended:?}");
            assert!(!ended.stdout.contains("recognised"), "{ended:?}");
            let listed = ddi(["ls", path, "/"]);
            assert_eq!((listed.code, listed.stdout.as_str()), (Some(0), "lost+found\n"), "{listed:?}");
        }
    }
    // swap is no image of any kind
    let mut swap = vec![0; 1 << 20];
    swap[4086..4096].copy_from_slice(b"SWAP-SPACE");
    let ended = ddi(["inspect", "-v", &folder.write("swap", &swap)]);
    assert!(ended.stdout.contains("Kind: not a disk image: swap\n"), "{ended:?}");
    assert!(ended.stdout.contains("the image is swap, which systemd mounts from no image"), "{ended:?}");
}

#[test]
fn block_devices_and_read_only_files() {
    let folder = Folder::new();
    let path = folder.write("image.raw", &fs::read(SAMPLE).unwrap());
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o400);
    fs::set_permissions(&path, permissions).unwrap();
    assert!(ddi(["verify", &path, "--root-hash", SAMPLE_ROOT_HASH]).ok());

    if !crate::support::require_root() || !require_tool("losetup") {
        return;
    }
    let ended = run("losetup", ["--find", "--show", "--read-only", &path]);
    if !ended.ok() {
        crate::support::skip("no loop devices here");
        return;
    }
    let device = ended.stdout.trim().to_owned();
    let (inspect, verify) =
        (ddi(["inspect", "--json", &device]), ddi(["verify", &device, "--root-hash", SAMPLE_ROOT_HASH]));
    run("losetup", ["--detach", &device]).unwrap();
    assert!(inspect.ok() && verify.ok(), "{inspect:?} {verify:?}");
    assert_eq!(inspect.json()["mounts"][0]["node"], format!("{device}p1"));
}

#[test]
fn help_tells_the_exit_status_and_goes_to_stdout() {
    for args in [
        vec!["--help"],
        vec!["inspect", "--help"],
        vec!["verify", "--help"],
        vec!["verity", "format", "--help"],
        vec!["verity", "verify", "-?"],
        vec!["verity", "dump", "--help"],
    ] {
        let ended = ddi(&args);
        assert!(ended.ok(), "{args:?}: {ended:?}");
        assert!(ended.stdout.contains("Exit status:"), "{args:?}");
    }
    assert_eq!(ddi([""; 0]).code, Some(2));
    assert!(ddi(["--version"]).stdout.starts_with("ddi "));
}

#[test]
fn progress_is_for_terminals() {
    // neither stdout nor stderr is one here
    let folder = Folder::new();
    let path = folder.write("data", &vec![1; 8 << 20]);
    let ended = ddi(["verity", "format", &path, &folder.file("hash")]);
    assert_eq!(ended.stderr, "");
    std::io::stdout().flush().unwrap();
}

/// Every option that takes a number, at the ends of what it may be: an answer or an error, and no panic.
#[test]
fn s10_numbers_at_their_ends_are_answers_or_errors() {
    let folder = Folder::new();
    let data = folder.write("data", &vec![7; 5 << 20]);
    let (hash, new) = (folder.file("hash"), folder.file("new"));
    let root =
        ddi(["verity", "format", &data, &hash, "--json"]).json()["rootHash"].as_str().unwrap().to_owned();
    let read = ["read", SAMPLE, "-p", "root", "--unverified"];
    let commands: [(&[&str], &[&str]); 9] = [
        (&["inspect", SAMPLE], &["--hash-offset", "--max-size"]),
        (&["verify", SAMPLE], &["--hash-offset", "--max-size", "--threads"]),
        (&read, &["--offset", "--size", "--hash-offset", "--max-size"]),
        (&["ls", SAMPLE], &["--hash-offset", "--max-size"]),
        (&["policy", "check", "*", SAMPLE], &["--hash-offset", "--max-size", "--threads"]),
        (&["check", "golden", SAMPLE], &["--max-size"]),
        (&["verity", "dump", &hash], &["--hash-offset"]),
        (
            &["verity", "verify", &data, &hash, &root],
            &[
                "--hash-offset",
                "--data-blocks",
                "--data-block-size",
                "--hash-block-size",
                "--format",
                "--threads",
            ],
        ),
        (
            &["verity", "format", &data, &new],
            &[
                "--hash-offset",
                "--data-blocks",
                "--data-block-size",
                "--hash-block-size",
                "--format",
                "--threads",
            ],
        ),
    ];
    let numbers = [0, 1, i64::MAX as u64 - 511, i64::MAX as u64, 1 << 63, u64::MAX - 4095, u64::MAX];
    for (command, options) in commands {
        for (option, number) in options.iter().flat_map(|option| numbers.map(|number| (option, number))) {
            let number = number.to_string();
            let ended = ddi(command.iter().copied().chain([*option, number.as_str()]));
            let told = ended.code.is_some_and(|code| code <= 3) && !ended.stderr.contains("panicked");
            assert!(told, "{command:?} {option} {number}: {ended:?}");
            let _ = fs::remove_file(&new);
        }
    }
    for command in [&["verify", SAMPLE][..], &["verity", "verify", &data, &hash, &root], &["bench"]] {
        for number in ["0", "1025", "18446744073709551615"] {
            let ended = ddi(command.iter().copied().chain(["--threads", number]));
            assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
            assert!(ended.stderr.contains(&format!("{number} is not in 1..=1024")), "{ended:?}");
        }
    }
}

/// By its name, another name, links of both kinds, and from another folder; also what is only about to be there.
#[test]
fn s5_no_command_writes_over_what_it_reads() {
    let folder = Folder::new();
    fs::create_dir(folder.file("sub")).unwrap();
    let data = folder.write("data", &vec![3; 64 << 10]);
    let hash = folder.file("hash");
    ddi(["verity", "format", &data, &hash]).unwrap();
    let image = folder.write("image.raw", &fs::read(SAMPLE).unwrap());
    let root_hash = folder.write("trusted", SAMPLE_ROOT_HASH.as_bytes());
    let beside = folder.write("image.roothash", SAMPLE_ROOT_HASH.as_bytes());
    let certificate = folder.write("trust.crt", b"none");
    let names = |of: &str| {
        let name = Path::new(of).file_name().unwrap().to_str().unwrap();
        let (hard, soft) = (folder.file(&format!("{name}.hard")), folder.file(&format!("{name}.soft")));
        if !Path::new(&hard).exists() {
            fs::hard_link(of, &hard).unwrap();
            std::os::unix::fs::symlink(of, &soft).unwrap();
        }
        [of.to_owned(), hard, soft, folder.file(&format!("sub/../{name}"))]
    };
    let all = || {
        let files = [&data, &hash, &image, &root_hash, &beside, &certificate];
        files.map(|file| fs::read(file).unwrap())
    };
    let before = all();
    let refused = |args: &[&str], output: &str| {
        let ended = ddi(args.iter().copied().chain([output]));
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{args:?} {output}: {ended:?}");
        assert!(ended.stderr.contains("must not be overwritten"), "{args:?} {output}: {ended:?}");
        assert!(all() == before, "{args:?} {output}");
    };
    for victim in [&data, &hash] {
        for output in names(victim) {
            refused(&["verity", "format", &data, &hash, "--root-hash-file"], &output);
        }
    }
    let read = ["read", &image, "-p", "root", "--root-hash", &root_hash];
    for victim in [&image, &root_hash, &beside] {
        for output in names(victim) {
            refused(&[&read[..], &["-o"]].concat(), &output);
        }
    }
    for output in names(&image) {
        refused(&["extract", &image, "/"], &output);
    }
    for path in [&certificate, folder.path().to_str().unwrap()] {
        // certificates are not read before it is clear that they stay
        refused(&["read", &image, "-p", "root", "--certificate", path, "-o"], &certificate);
    }

    // neither is there yet
    for output in ["new", "sub/../new"] {
        let (new, output) = (folder.file("new"), folder.file(output));
        let ended = ddi(["verity", "format", &data, &new, "--root-hash-file", &output]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("must not be overwritten"), "{ended:?}");
        assert!(!Path::new(&new).exists());
    }
    // nor what a link will lead to
    let link = folder.file("link");
    std::os::unix::fs::symlink(folder.file("new"), &link).unwrap();
    let ended = ddi(["verity", "format", &data, &folder.file("new"), "--root-hash-file", &link]);
    assert_eq!((ended.code, ended.stderr.contains("link to nowhere")), (Some(2), true), "{ended:?}");
    assert!(!Path::new(&folder.file("new")).exists());

    // standard input is a file too
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" read - -p root --unverified -o \"$1\" < \"$1\"", DDI, &image]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.contains("is what standard input is read from"),
        "{said}"
    );
    assert!(all() == before);

    // what is another file is written
    let out = folder.write("out", b"old");
    assert!(ddi(read.into_iter().chain(["-o", &out])).ok());
    assert!(ddi(["verity", "format", &data, &hash, "--root-hash-file", &out]).ok());
    assert_eq!(fs::read(&out).unwrap().len(), 64);
}

/// A root hash with one wrong digit, and one that is quite another.
#[test]
fn f9_a_wrong_digit_in_a_root_hash_is_shown() {
    let wrong = |at: usize, digit: &str| {
        let mut text = SAMPLE_ROOT_HASH.to_owned();
        text.replace_range(at..=at, digit);
        ddi(["verify", SAMPLE, "--root-hash", &text])
    };
    for (at, digit, shown) in [
        (63, "c", "digit 64 of 64 differs: the image's is ...c8eb, you gave ...c8ec"),
        (0, "3", "digit 1 of 64 differs: the image's is 2627..., you gave 3627..."),
        (30, "0", "digit 31 of 64 differs: the image's is ..."),
    ] {
        let ended = wrong(at, digit);
        assert_eq!((ended.code, &*ended.stderr), (Some(1), ""));
        assert!(ended.stdout.contains(shown), "{at}: {ended:?}");
        assert!(ended.stdout.contains("by the root hash its GUID would have to be "), "{at}: {ended:?}");
    }
    let other = ddi(["verify", SAMPLE, "--root-hash", &"5a".repeat(32)]);
    assert!(other.code == Some(1) && !other.stdout.contains("you gave"), "{other:?}");
}

/// As systemd, which ends with "invalid argument" where it reads them.
#[test]
fn f9_what_is_malformed_beside_an_image_is_an_error_of_its_own() {
    let image = good();
    let root = image.root_hashes[0].to_string();
    let sums = format!("{root}  image.raw\n");
    for (name, text, says) in [
        (
            "image.roothash",
            sums.as_str(),
            "something else than a hexadecimal digit at 64, as sha256sum writes it",
        ),
        ("image.roothash", "", ".roothash file: is empty"),
        ("image.usrhash", "no", ".usrhash file: is not a root hash"),
        ("image.roothash.p7s", "", ".roothash.p7s file: is empty"),
    ] {
        let folder = Folder::new();
        let path = folder.write("image.raw", &image.bytes);
        if name.ends_with("p7s") {
            folder.write("image.roothash", root.as_bytes());
        }
        folder.write(name, text.as_bytes());
        let verified = ddi(["verify", &path]);
        assert_eq!(verified.code, Some(1), "{name}: {verified:?}");
        let whole = format!("as a whole: the {} file is malformed", name.trim_start_matches("image"));
        assert!(verified.stdout.contains(&whole) && verified.stdout.contains(says), "{verified:?}");
        let json = ddi(["verify", "--json", &path]).json();
        assert_eq!(json["refused"]["code"], "beside-malformed");
        assert_eq!(json["beside"][0]["code"], "beside");
        let inspected = ddi(["inspect", "-v", &path]);
        assert!(
            inspected.code == Some(1) && inspected.stdout.contains("[beside-malformed]"),
            "{inspected:?}"
        );
        // the root hash that counts is not that
        let given = ddi(["verify", &path, "--root-hash", &root]);
        let expected = if name.ends_with("p7s") { 1 } else { 0 };
        assert_eq!(given.code, Some(expected), "{given:?}");
    }
}

#[test]
fn f9_a_root_hash_for_nothing_in_the_image_is_named_with_its_file() {
    let folder = Folder::new();
    let image = good();
    let path = folder.write("image.raw", &image.bytes);
    let old = "5a".repeat(32);
    folder.write("image.roothash", old.as_bytes());
    let named = format!("no root partition for the root hash {old} (.roothash file beside the image)");
    for command in [&["verify"][..], &["inspect", "-v"]] {
        let ended = ddi(command.iter().chain([&&*path]));
        assert!(ended.code == Some(1) && ended.stdout.contains(&named), "{ended:?}");
        assert!(ended.stdout.contains("by the root hash its GUID would have to be 5a5a5a5a-"), "{ended:?}");
    }
    let given = ddi(["verify", &path, "--root-hash", &"5b".repeat(32)]);
    let named = format!("no root partition for the root hash {} (given by the caller)", "5b".repeat(32));
    assert!(given.stdout.contains(&named), "{given:?}");
}

/// The right tree under the wrong GUIDs: not a block is corrupt.
#[test]
fn f9_guids_that_are_no_halves_of_the_root_hash() {
    // of one block, which has no tree above it, and of more
    for blocks in [1, 300] {
        let folder = Folder::new();
        let content = erofs(blocks, 1);
        let (root, tree) = hash_tree(&content);
        let (data, hash) = ddi_gpt::verity_guids(root.as_bytes()).unwrap();
        let root = root.to_string();
        let swapped = ImageBuilder::new().with_guid("root-x86-64", hash, "root", content).with_guid(
            "root-x86-64-verity",
            data,
            "verity",
            tree,
        );
        let path = folder.write("image.raw", &swapped.build().bytes);
        let ended = ddi(["verify", &path]);
        let said = format!(
            "the tree has the root hash {root}: for that, the GUID of partition 1 would have to be {data}, \
             that of partition 2 {hash}"
        );
        assert!(ended.code == Some(1) && ended.stdout.contains(&said), "{ended:?}");
        assert_eq!(ddi(["verify", "--json", &path]).json()["proofs"][0]["treeRootHash"], root);
        let given = ddi(["verify", &path, "--root-hash", &root]);
        let asks = format!("partition 1: not used: by the root hash its GUID would have to be {data}");
        assert!(given.code == Some(1) && given.stdout.contains(&asks), "{given:?}");
    }
}
