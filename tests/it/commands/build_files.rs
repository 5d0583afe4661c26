//! `ddi build` with file systems that are filled, and what must not go wrong in them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::{Chance, DDI, Ended, Folder, ddi, require_tool, run, run_within};

const SEED: &str = "11111111-2222-4333-8444-555555555555";

fn define(folder: &Folder, name: &str, text: &str) {
    fs::create_dir_all(folder.file("definitions")).unwrap();
    folder.write(&format!("definitions/{name}"), format!("[Partition]\n{text}").as_bytes());
}

fn command(folder: &Folder, image: &str, more: &[&str]) -> Command {
    let mut command = Command::new(DDI);
    command.args(["build", "--definitions", &folder.file("definitions"), "--root", &folder.file("root")]);
    command.args(["--seed", SEED]).args(more).arg(folder.file(image));
    command
}

fn build(folder: &Folder, image: &str, more: &[&str]) -> Ended {
    run_within(command(folder, image, more), Duration::from_secs(120))
}

/// A tree with everything that a file system has.
fn tree(folder: &Folder) {
    for name in ["root/tree/usr/bin", "root/tree/usr/empty", "root/tree/etc/a b \"c\""] {
        fs::create_dir_all(folder.file(name)).unwrap();
    }
    folder.write("root/tree/usr/bin/large", &Chance(5).bytes(300_000));
    folder.write("root/tree/usr/bin/empty", b"");
    folder.write("root/tree/etc/a b \"c\"/d\\e#", b"odd");
    for number in 0..450 {
        folder.write(&format!("root/tree/usr/{number}"), format!("file {number}").as_bytes());
    }
    fs::set_permissions(folder.file("root/tree/usr/bin/large"), PermissionsExt::from_mode(0o4755)).unwrap();
    fs::hard_link(folder.file("root/tree/usr/bin/large"), folder.file("root/tree/usr/hard")).unwrap();
    symlink("/usr/bin/large", folder.file("root/tree/link")).unwrap();
    symlink("x".repeat(200), folder.file("root/tree/long link")).unwrap();
    run("mkfifo", [folder.file("root/tree/fifo")]).unwrap();
    let mut sparse = vec![0; 1 << 20];
    sparse[(1 << 20) - 1] = 1;
    folder.write("root/tree/sparse", &sparse);
}

/// Cuts the first partition out.
fn partition(folder: &Folder, image: &str) -> String {
    let table = ddi(["table", &folder.file(image), "--json"]).json();
    let number = |key: &str| table["partitions"][0][key].as_u64().unwrap() as usize;
    let bytes = fs::read(folder.file(image)).unwrap();
    folder.write("partition", &bytes[number("offset")..][..number("size")])
}

#[test]
fn ext4_with_files_is_clean_whole_and_the_same_each_time() {
    if !require_tool("mkfs.ext4") || !require_tool("debugfs") || !require_tool("e2fsck") {
        return;
    }
    let folder = Folder::new();
    tree(&folder);
    let text = "Type=root\nFormat=ext4\nCopyFiles=/tree:/\nMakeDirectories=/made/below\nMakeSymlinks=/made/link:/etc\n\
                ExcludeFiles=/tree/usr/7\nSizeMinBytes=24M\nSizeMaxBytes=24M\n";
    define(&folder, "10-root.conf", text);
    let ended = build(&folder, "a.raw", &["--json"]);
    assert!(ended.ok(), "{ended:?}");
    let tools = &ended.json()["tools"];
    assert!(["mkfs.ext4", "debugfs", "e2fsck"].iter().all(|tool| tools[*tool].is_string()), "{tools}");
    let part = partition(&folder, "a.raw");
    assert!(run("e2fsck", ["-f", "-n", &part]).ok());
    // by our own reader
    let rows = ddi(["ls", "-p", "root", "--recursive", "--unverified", "--json", &folder.file("a.raw")]);
    let rows = if rows.ok() { rows } else { panic!("{rows:?}") };
    let rows = rows.json();
    let find = |path: &str| {
        let is_it = |row: &&serde_json::Value| row["path"].as_str().unwrap().trim_start_matches('/') == path;
        rows.as_array().unwrap().iter().find(is_it).cloned()
    };
    assert!(find("usr/7").is_none() && find("usr/449").is_some() && find("made/below").is_some());
    for row in rows.as_array().unwrap() {
        assert_eq!((&row["uid"], &row["gid"]), (&0.into(), &0.into()), "{row}");
    }
    let cat = |path: &str| {
        let output = Command::new(DDI)
            .args(["cat", "-p", "root", "--unverified", &folder.file("a.raw"), path])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    for path in ["usr/bin/large", "usr/hard", "usr/bin/empty", "sparse", "usr/449", "etc/a b \"c\"/d\\\\e#"] {
        let here = folder.file(&format!("root/tree/{}", path.replace("\\\\", "\\")));
        assert!(cat(&format!("/{path}")) == fs::read(here).unwrap(), "{path}");
    }
    // by debugfs
    let stat = |path: &str| run("debugfs", ["-R", &format!("stat \"{path}\""), &part]).unwrap();
    let large = stat("/usr/bin/large");
    assert!(large.contains("Mode:  04755") && large.contains("Links: 2"), "{large}");
    assert!(stat("/link").contains("Fast link dest: \"/usr/bin/large\""));
    assert!(stat("/fifo").contains("FIFO"));
    // again: elsewhere, later, by another order, umask, locale, zone
    thread::sleep(Duration::from_millis(1100));
    let other = Folder::new();
    fs::create_dir_all(other.file("root")).unwrap();
    run("cp", ["-a", &folder.file("root/tree"), &other.file("root/tree")]).unwrap();
    define(&other, "10-root.conf", text);
    let mut again = Command::new("sh");
    let args =
        ["build", "--definitions", &other.file("definitions"), "--root", &other.file("root"), "--seed", SEED];
    again.args(["-c", "umask 077; exec \"$@\"", "sh", DDI]).args(args).arg(other.file("b.raw"));
    again.env("TZ", "Pacific/Auckland").env("LANG", "tr_TR.UTF-8");
    assert!(run_within(again, Duration::from_secs(120)).ok());
    assert!(fs::read(folder.file("a.raw")).unwrap() == fs::read(other.file("b.raw")).unwrap());
    // owners as recorded
    let uid = fs::metadata(folder.file("root/tree/usr")).unwrap().uid();
    fs::remove_file(folder.file("a.raw")).unwrap();
    assert!(build(&folder, "a.raw", &["--keep-owners"]).ok());
    let part = partition(&folder, "a.raw");
    let shown = run("debugfs", ["-R", "stat /usr", &part]).unwrap();
    assert!(shown.contains(&format!("User: {uid:>5}")), "{shown}");
    // too small, and what cannot be said
    fs::remove_file(folder.file("a.raw")).unwrap();
    folder.write("root/tree/huge", &Chance(6).bytes(30 << 20));
    let ended = build(&folder, "a.raw", &[]);
    assert_eq!((ended.code, ended.stderr.contains("debugfs")), (Some(2), true), "{ended:?}");
    fs::remove_file(folder.file("root/tree/huge")).unwrap();
    folder.write("root/tree/line\nfeed", b"");
    let ended = build(&folder, "a.raw", &[]);
    assert_eq!((ended.code, ended.stderr.contains("10-root.conf:4: ")), (Some(1), true), "{ended:?}");
    assert!(!fs::exists(folder.file("a.raw")).unwrap());
}

/// One error, nothing left, sources as they were.
#[test]
fn bad_input_is_one_error_and_leaves_nothing() {
    let folder = Folder::new();
    fs::create_dir_all(folder.file("root")).unwrap();
    let data = Chance(1).bytes(1 << 20);
    folder.write("root/data", &data);
    let refused = |more: &[&str], code: i32, what: &str| {
        let names = folder.names();
        let ended = build(&folder, "image.raw", more);
        assert_eq!(ended.code, Some(code), "{what}: {ended:?}");
        assert!(ended.stderr.contains(what), "{what}: {ended:?}");
        assert_eq!(ended.stderr.lines().filter(|line| line.contains("error")).count(), 1, "{ended:?}");
        assert_eq!(folder.names(), names, "{what}");
        assert!(fs::read(folder.file("root/data")).unwrap() == data);
    };
    // 10^5 lines: read in a moment, and the last one is named
    let long = format!("Type=usr\n{}Nonsense=1\n", "Label=x\n".repeat(100_000));
    define(&folder, "10-usr.conf", &long);
    refused(&[], 1, "10-usr.conf:100003: unknown key Nonsense=");
    let long = format!("Type=usr\n{}CopyBlocks=/data\n", "CopyFiles=/data:/x\n".repeat(100_000));
    define(&folder, "10-usr.conf", &long);
    refused(&[], 1, "10-usr.conf:");
    for (size, what) in [
        ("18446744073709551615", "10-usr.conf:3"),
        ("18446744073709547520", "no room"),
        ("16E", "10-usr.conf:3"),
        ("8E", "no room"),
        ("1T", "no room"),
    ] {
        define(&folder, "10-usr.conf", &format!("Type=usr\nSizeMinBytes={size}\nCopyBlocks=/data\n"));
        let names = folder.names();
        let ended = build(&folder, "image.raw", &["--size", "10G"]);
        assert!(matches!(ended.code, Some(1)), "{size} {what}: {ended:?}");
        assert_eq!(folder.names(), names);
    }
    for size in ["18446744073709551615", "17E", "-1", ""] {
        define(&folder, "10-usr.conf", "Type=usr\nCopyBlocks=/data\n");
        let ended = build(&folder, "image.raw", &["--size", size]);
        assert_eq!(ended.code, Some(if size.starts_with("184") { 1 } else { 2 }), "{size}: {ended:?}");
    }
    // 2^40 bytes of content on a disk that has them not
    fs::File::create(folder.file("root/sparse")).unwrap().set_len(1 << 40).unwrap();
    define(&folder, "10-usr.conf", "Type=usr\nCopyBlocks=/sparse\n");
    refused(&["--size", "10G"], 1, "");
    // names and links that lead out
    for (line, what) in [
        ("CopyBlocks=/../../../../etc/passwd", "10-usr.conf:3: "),
        ("CopyBlocks=data", "CopyBlocks"),
        ("CopyBlocks=/out", "No such file"),
        ("SplitName=../x\nCopyBlocks=/data", "10-usr.conf:3: "),
        ("SplitName=a/b\nCopyBlocks=/data", "10-usr.conf:3: "),
    ] {
        if line.contains("/out") {
            symlink("/etc/passwd", folder.file("root/out")).unwrap();
        }
        define(&folder, "10-usr.conf", &format!("Type=usr\n{line}\n"));
        let ended = build(&folder, "image.raw", &["--split"]);
        assert!(matches!(ended.code, Some(1 | 2)) && ended.stderr.contains(what), "{line}: {ended:?}");
        assert!(!fs::exists(folder.file("image.raw")).unwrap());
    }
    // output on a FIFO, in a folder that is not there, on a source, by its other name
    define(&folder, "10-usr.conf", "Type=usr\nCopyBlocks=/data\n");
    run("mkfifo", [folder.file("fifo")]).unwrap();
    fs::hard_link(folder.file("root/data"), folder.file("other-name")).unwrap();
    for (image, more) in [
        ("fifo", &[][..]),
        ("fifo", &["--empty=force"]),
        ("nowhere/x", &[]),
        ("root/data", &[]),
        ("root/data", &["--empty=force"]),
        ("other-name", &["--empty=force"]),
        ("root", &["--empty=force"]),
    ] {
        let names = folder.names();
        let ended = run_within(command(&folder, image, more), Duration::from_secs(5));
        assert!(matches!(ended.code, Some(1 | 2)), "{image}: {ended:?}");
        assert_eq!(folder.names(), names);
        assert!(fs::read(folder.file("root/data")).unwrap() == data, "{image}");
    }
}

/// Programs that are not there, fail, write nonsense or nothing, or too much: an error that names them, and nothing left.
#[test]
fn programs_that_misbehave() {
    let folder = Folder::new();
    fs::create_dir_all(folder.file("root/tree")).unwrap();
    fs::create_dir_all(folder.file("bin")).unwrap();
    folder.write("root/tree/file", b"x");
    fs::create_dir_all(folder.file("out")).unwrap();
    for (format, program, more) in [
        ("erofs", "mkfs.erofs", "Minimize=best\n"),
        ("squashfs", "mksquashfs", "Minimize=best\n"),
        ("ext4", "mkfs.ext4", "SizeMaxBytes=32M\n"),
        ("vfat", "mkfs.vfat", "SizeMaxBytes=40M\nSizeMinBytes=40M\n"),
        ("swap", "mkswap", "SizeMaxBytes=40M\n"),
    ] {
        let files = if format == "swap" { "" } else { "CopyFiles=/tree:/\n" };
        define(&folder, "10-x.conf", &format!("Type=linux-generic\nFormat={format}\n{files}{more}"));
        for text in ["exit 3", "echo broken >&2; exit 1", "kill -9 $$", "cat >/dev/null; exit 0"] {
            let script = format!(
                "#!/bin/sh\ncase $* in -V|-version|--help|--version) echo {program} 9.9.9; exit 0;; esac\n{text}\n"
            );
            let path = folder.write(&format!("bin/{program}"), script.as_bytes());
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            let mut command = command(&folder, "out/image.raw", &[]);
            command.stdin(std::process::Stdio::null());
            let path = std::env::join_paths([folder.file("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
            command.env("PATH", path);
            let mut with_path = Command::new("env");
            with_path.arg(format!("PATH={}:/usr/bin:/bin", folder.file("bin")));
            with_path.arg(command.get_program()).args(command.get_args());
            let ended = run_within(with_path, Duration::from_secs(20));
            // of a program that says all is well and made nothing, what the partition holds is the only sign
            if text.starts_with("cat") && matches!(format, "swap" | "vfat") {
                let _ = fs::remove_file(folder.file("out/image.raw"));
                continue;
            }
            assert_eq!(ended.code, Some(2), "{format} {text}: {ended:?}");
            assert_eq!(fs::read_dir(folder.file("out")).unwrap().count(), 0, "{format} {text}");
        }
        fs::remove_file(folder.file(&format!("bin/{program}"))).unwrap();
    }
}
