//! `ddi build`: what it makes is what `ddi verify` and the tools of others take, and whatever goes wrong leaves nothing.

use std::fs;

use crate::hostile::faults::{FAULTS, assert_at_least, assert_told, at_every_call};
use crate::hostile::format_faults::strace_works;
use crate::support::schema::SCHEMAS;
use crate::support::{Chance, DDI, Ended, Folder, ddi, require_tool, run};

const SEED: &str = "11111111-2222-4333-8444-555555555555";

/// Data under a hash tree, and with `sign` a signature.
fn definitions(folder: &Folder, sign: bool) -> String {
    fs::create_dir_all(folder.file("definitions")).unwrap();
    let data = "Type=usr\nCopyBlocks=/data\nVerity=data\nVerityMatchKey=k\n";
    let hash = "Type=usr-verity\nVerity=hash\nVerityMatchKey=k\nMinimize=best\n";
    let mut texts = vec![("10-usr.conf", data), ("20-hash.conf", hash)];
    if sign {
        texts.push(("30-sig.conf", "Type=usr-verity-sig\nVerity=signature\nVerityMatchKey=k\n"));
    }
    for (name, text) in texts {
        folder.write(&format!("definitions/{name}"), format!("[Partition]\n{text}").as_bytes());
    }
    folder.file("definitions")
}

fn build(folder: &Folder, image: &str, more: &[&str]) -> Ended {
    let (definitions, root) = (folder.file("definitions"), folder.path().display().to_string());
    let image = folder.file(image);
    let args = ["build", "--definitions", &definitions, "--root", &root, "--seed", SEED];
    ddi(args.iter().chain(more).copied().chain([&*image]))
}

/// Writes a key and its certificate.
fn key(folder: &Folder, name: &str, kind: &[&str]) -> [String; 2] {
    let files = ["key", "crt"].map(|what| folder.file(&format!("{name}.{what}")));
    let args = [
        "req",
        "-x509",
        "-nodes",
        "-days",
        "3650",
        "-subj",
        "/CN=builder",
        "-keyout",
        &files[0],
        "-out",
        &files[1],
    ];
    run("openssl", args.iter().chain(kind).copied()).unwrap();
    files
}

#[test]
fn signed_images_are_verified_and_a_flipped_byte_is_found() {
    if !require_tool("openssl") {
        return;
    }
    let folder = Folder::new();
    folder.write("data", &crate::support::image::erofs(300, 1));
    definitions(&folder, true);
    let keys = [
        key(&folder, "rsa", &["-newkey", "rsa:2048"]),
        key(&folder, "p256", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ];
    for (number, [key, certificate]) in keys.iter().enumerate() {
        let name = format!("image{number}.raw");
        let made = build(
            &folder,
            &name,
            &["--private-key", key, "--certificate", certificate, "--bind-size", "--json"],
        )
        .json();
        assert_eq!(&made["seed"], SEED);
        assert_eq!(made["partitions"].as_array().unwrap().len(), 3);
        assert_eq!(made["partitions"][0]["roothash"], made["trees"][0]["rootHash"]);
        let image = folder.file(&name);
        let verify = || ddi(["verify", &image, "--certificate", certificate, "--require-bound-size"]);
        assert!(verify().ok(), "{:?}", verify());
        // made again, it is the same
        assert!(
            build(&folder, "again.raw", &["--private-key", key, "--certificate", certificate, "--bind-size"])
                .ok()
        );
        assert_eq!(fs::read(&image).unwrap(), fs::read(folder.file("again.raw")).unwrap());
        fs::remove_file(folder.file("again.raw")).unwrap();
        let whole = fs::read(&image).unwrap();
        let mut chance = Chance(number as u64);
        for row in made["partitions"].as_array().unwrap() {
            let (offset, size) = (row["offset"].as_u64().unwrap(), row["raw_size"].as_u64().unwrap());
            // behind what is protected a partition may go on, and nothing says what is there
            // and of the JSON of a signature nobody checks the fingerprint: a digit of the root hash
            let at = if row["partno"] == 2 { 13 + chance.below(64) } else { chance.below(size.min(16384)) };
            let mut broken = whole.clone();
            broken[(offset + at) as usize] ^= 1;
            fs::write(&image, &broken).unwrap();
            assert_ne!(verify().code, Some(0), "{row}");
        }
    }
    // a key of somebody else is found now, not when the image is started
    let ended = build(&folder, "x.raw", &["--private-key", &keys[0][0], "--certificate", &keys[1][1]]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(!fs::exists(folder.file("x.raw")).unwrap());
}

#[test]
fn a_command_signs() {
    if !require_tool("openssl") {
        return;
    }
    let folder = Folder::new();
    folder.write("data", &crate::support::image::erofs(300, 1));
    definitions(&folder, true);
    let [key, certificate] = key(&folder, "rsa", &["-newkey", "rsa:2048"]);
    let command =
        format!("openssl smime -sign -binary -noattr -outform der -inkey {key} -signer {certificate}");
    assert!(build(&folder, "a.raw", &["--sign-command", &command, "--certificate", &certificate]).ok());
    assert!(build(&folder, "b.raw", &["--private-key", &key, "--certificate", &certificate]).ok());
    assert!(fs::read(folder.file("a.raw")).unwrap() == fs::read(folder.file("b.raw")).unwrap());
    // left out, and its place free
    let made = build(&folder, "c.raw", &["--defer-partitions", "usr-verity-sig", "--json"]).json();
    assert_eq!(made["partitions"][2]["deferred"], true);
    assert_eq!(ddi(["verify", &folder.file("c.raw")]).code, Some(3));
}

/// Signed later, by somebody who need not have the image: the same image.
#[test]
fn a_signature_is_attached_later() {
    let folder = Folder::new();
    folder.write("data", &crate::support::image::erofs(300, 1));
    definitions(&folder, true);
    let [key, certificate] = ["repart.pem", "repart.crt"]
        .map(|name| format!("{}/crates/ddi-signature/tests/data/sign/{name}", env!("CARGO_MANIFEST_DIR")));
    let by = ["--private-key", &key, "--certificate", &certificate];
    for bind in [&[][..], &["--bind-size"]] {
        assert!(build(&folder, "at-once.raw", &[&by, bind].concat()).ok());
        assert!(build(&folder, "later.raw", &["--defer-signature"]).ok());
        let later = folder.file("later.raw");
        assert_eq!(ddi(["verify", &later]).code, Some(3));
        assert!(ddi(["sign", "attach", &later].iter().chain(&by).chain(bind)).ok());
        assert!(fs::read(&later).unwrap() == fs::read(folder.file("at-once.raw")).unwrap(), "{bind:?}");
        fs::remove_file(folder.file("at-once.raw")).unwrap();
        fs::remove_file(later).unwrap();
    }
    // in the place of an image that had a signature, there is none
    assert!(build(&folder, "again.raw", &by).ok());
    let again = build(&folder, "again.raw", &["--defer-signature", "--empty=force"]);
    assert!(again.ok(), "{again:?}");
    assert_eq!(ddi(["verify", &folder.file("again.raw"), "--certificate", &certificate]).code, Some(3));
}

/// The tools of others find nothing wrong.
#[test]
fn tables_are_clean() {
    let folder = Folder::new();
    folder.write("data", &Chance(1).bytes(1 << 20));
    definitions(&folder, false);
    for (number, more) in
        [&["--size", "64M"][..], &[], &["--sector-size", "4096"], &["--compatible", "257"]].iter().enumerate()
    {
        let name = format!("{number}.raw");
        assert!(build(&folder, &name, more).ok());
        let image = folder.file(&name);
        if require_tool("sfdisk") && !more.contains(&"--sector-size") {
            let ended = run("sfdisk", ["-V", &image]);
            assert!(ended.ok() && ended.stdout.contains("No errors detected"), "{ended:?}");
        }
        if require_tool("sgdisk") && !more.contains(&"--sector-size") {
            assert!(run("sgdisk", ["-v", &image]).unwrap().contains("No problems found"));
        }
        let json = ddi(["inspect", "--json", "--strict", &image]).json();
        assert_eq!(json["verity"].as_array().map_or(0, Vec::len), 1, "{json}");
    }
}

#[test]
fn splits_and_sums() {
    let folder = Folder::new();
    folder.write("data", &Chance(1).bytes(1 << 20));
    definitions(&folder, false);
    assert!(build(&folder, "os.raw", &["--split", "--sums"]).ok());
    let names: Vec<_> =
        folder.names().into_iter().filter(|name| name.starts_with("os") || name.starts_with("SHA")).collect();
    assert_eq!(names, ["SHA256SUMS", "os.raw", "os.usr-x86-64-verity.raw", "os.usr-x86-64.raw"]);
    assert_eq!(fs::read(folder.file("os.usr-x86-64.raw")).unwrap()[..1 << 20], Chance(1).bytes(1 << 20));
    let sums = folder.file("SHA256SUMS");
    let text = fs::read_to_string(&sums).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.split_once(" *").unwrap().1).collect();
    assert_eq!(lines, ["os.raw", "os.usr-x86-64-verity.raw", "os.usr-x86-64.raw"]);
    let script = format!("cd {} && sha256sum -c SHA256SUMS", folder.path().display());
    assert!(run("sh", ["-c", &script]).ok());
    // one that is there is not written over, and then nothing is made
    fs::remove_file(folder.file("os.raw")).unwrap();
    assert!(!build(&folder, "os.raw", &["--split"]).ok());
    assert!(!fs::exists(folder.file("os.raw")).unwrap());
}

/// A setting that cannot be carried out ends with 1 and names its line; nothing is there.
#[test]
fn refusals_name_their_line() {
    let folder = Folder::new();
    folder.write("data", &Chance(1).bytes(1 << 20));
    definitions(&folder, false);
    for (line, message) in [
        ("Weigth=5", "unknown key Weigth="),
        ("Subvolumes=/a", "Subvolumes= is not supported"),
        ("Encrypt=tpm2", "Encrypt= and Verity= exclude each other"),
        ("SizeMaxBytes=512K", "SizeMaxBytes"),
        ("CopyBlocks=/nothing", "No such file or directory"),
    ] {
        fs::create_dir_all(folder.file("definitions/10-usr.conf.d")).unwrap();
        folder.write("definitions/10-usr.conf.d/x.conf", format!("[Partition]\n{line}\n").as_bytes());
        let ended = build(&folder, "image.raw", &["--json"]);
        if line.starts_with("SizeMax") {
            // less than the data: systemd-repart makes it as large as it must be
            assert!(ended.ok(), "{ended:?}");
            fs::remove_file(folder.file("image.raw")).unwrap();
            continue;
        }
        let code = if line.starts_with("CopyBlocks") { 2 } else { 1 };
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains("x.conf:2: ") && ended.stderr.contains(message), "{ended:?}");
        assert_eq!(ended.json()["schema"], "ddi.error/1", "{ended:?}");
        assert!(!fs::exists(folder.file("image.raw")).unwrap());
    }
    fs::remove_dir_all(folder.file("definitions/10-usr.conf.d")).unwrap();
    let ended = build(&folder, "image.raw", &["--size", "1M"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let ended = build(&folder, "image.raw", &["--dry-run", "--size", "1T", "--json"]);
    assert_eq!(SCHEMAS.check_stdout(&ended, "plan"), ["plan"].into());
    assert!(!fs::exists(folder.file("image.raw")).unwrap());
}

/// Without a key, an image that is to be signed is refused with its plan: nothing was made for it, and it is what the definitions say.
#[test]
fn nobody_signs() {
    let folder = Folder::new();
    folder.write("data", &Chance(1).bytes(1 << 20));
    definitions(&folder, true);
    for more in [&[][..], &["--dry-run"]] {
        let ended = build(&folder, "image.raw", more);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("30-sig.conf:3: a signature needs a key"), "{ended:?}");
        assert!(!fs::exists(folder.file("image.raw")).unwrap());
    }
    assert!(build(&folder, "image.raw", &["--dry-run", "--defer-signature"]).ok());
    // before any program runs: with none there, that is what is told
    folder.write("definitions/10-usr.conf", b"[Partition]\nType=usr\nFormat=squashfs\nCopyFiles=/data\nMinimize=best\nVerity=data\nVerityMatchKey=k\n");
    let ended = build(&folder, "image.raw", &[]);
    assert_eq!((ended.code, ended.stderr.contains("30-sig.conf:3: ")), (Some(1), true), "{ended:?}");
}

const WRITES: [&str; 7] =
    ["ftruncate", "pwrite64", "copy_file_range", "fsync", "linkat", "rename", "fallocate"];

/// Killed at every call, and with every call that fails: the image is complete, or not there.
#[test]
fn k1_k2_k3_an_image_is_complete_or_absent() {
    if !strace_works() {
        return;
    }
    let folder = Folder::new();
    for name in ["tmp", "out"] {
        fs::create_dir(folder.file(name)).unwrap();
    }
    folder.write("data", &Chance(1).bytes(1 << 20));
    folder.write("plain", &Chance(2).bytes(1 << 20));
    let definitions = definitions(&folder, false);
    folder.write("definitions/40-srv.conf", b"[Partition]\nType=srv\nCopyBlocks=/plain\n");
    assert!(build(&folder, "whole.raw", &[]).ok());
    let whole = fs::read(folder.file("whole.raw")).unwrap();
    let (out, directory, root) =
        (folder.file("out/image.raw"), folder.file("out"), folder.path().display().to_string());
    let args =
        ["build", "--definitions", &definitions, "--root", &root, "--seed", SEED, "--threads", "1", &out];
    let prepare = || {
        fs::remove_dir_all(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
    };
    for kind in FAULTS {
        let faults = at_every_call(kind, &folder, (&WRITES, &args), prepare, |ended, fault| {
            let what = format!("{fault}: {ended:?}");
            let found = fs::read(&out).ok();
            assert!(found.is_none() || found.as_deref() == Some(&whole[..]), "{what}");
            assert!(!ended.ok() || found.is_some(), "{what}");
            if fault.is_error() {
                assert_told(ended, fault);
            }
            assert!(fs::read_dir(&directory).unwrap().count() <= 1, "{what}");
        });
        assert_at_least(
            &faults,
            &[("ftruncate", 1), ("pwrite64", 3), ("copy_file_range", 1), ("fsync", 2), ("linkat", 1)],
        );
    }
}

#[test]
fn help_and_wrong_usage() {
    assert!(run(DDI, ["build", "--help"]).unwrap().contains("SOURCE_DATE_EPOCH"));
    let folder = Folder::new();
    definitions(&folder, false);
    for more in [
        &["--size", "many"][..],
        &["--sector-size", "100"],
        &["--defer-partitions", "nonsense"],
        &["--sums=a/b"],
    ] {
        folder.write("data", &[1; 8192]);
        let ended = build(&folder, "image.raw", more);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(!fs::exists(folder.file("image.raw")).unwrap());
    }
}

/// What the first start makes of a disk, by the definitions in the image: read through the proof where there is one.
#[test]
fn a_first_start_is_planned() {
    if !require_tool("mksquashfs") {
        return;
    }
    let folder = Folder::new();
    fs::create_dir_all(folder.file("tree/usr/lib/repart.d/30-var.conf.d")).unwrap();
    for (name, text) in [
        ("10-usr.conf", "Type=usr\nSizeMinBytes=4K\nSizeMaxBytes=8M\n"),
        ("20-usr-b.conf", "Type=usr\nLabel=_empty\nSizeMinBytes=8M\nSizeMaxBytes=8M\n"),
        ("30-var.conf", "Type=var\nFormat=ext4\nEncrypt=tpm2\n"),
        ("30-var.conf.d/50-size.conf", "SizeMinBytes=20M\n"),
        ("40-home.conf", "Type=home\nPriority=5\nSizeMinBytes=1G\n"),
    ] {
        folder.write(&format!("tree/usr/lib/repart.d/{name}"), format!("[Partition]\n{text}").as_bytes());
    }
    fs::create_dir(folder.file("definitions")).unwrap();
    for (name, text) in [
        (
            "10-usr.conf",
            "Type=usr\nFormat=squashfs\nCopyFiles=/tree/usr:/\nMinimize=best\nVerity=data\nVerityMatchKey=k\n",
        ),
        ("20-hash.conf", "Type=usr-verity\nVerity=hash\nVerityMatchKey=k\nMinimize=best\n"),
        ("30-root.conf", "Type=root\nFormat=squashfs\nMakeDirectories=/usr\nMinimize=best\n"),
    ] {
        folder.write(&format!("definitions/{name}"), format!("[Partition]\n{text}").as_bytes());
    }
    let made = build(&folder, "os.raw", &["--exclude-partitions", "root", "--json"]);
    let root_hash = made.json()["trees"][0]["rootHash"].as_str().unwrap().to_owned();
    let image = folder.file("os.raw");
    let seed = "0123456789abcdef0123456789abcdef";
    let plan = |more: &[&str]| {
        ddi(["plan", &image, "--usr-hash", &root_hash, "--seed", seed].iter().chain(more).copied())
    };
    let ended = plan(&["--size", "1G", "--json"]);
    assert_eq!(SCHEMAS.check_stdout(&ended, "plan"), ["plan"].into(), "{ended:?}");
    let json = ended.json();
    let var = json["partitions"].as_array().unwrap().iter().find(|row| row["type"] == "var").unwrap();
    // that of this machine's /var
    assert_eq!(var["uuid"], "c0c46eff-e386-4746-a2bd-0962cd326ea2");
    assert_eq!((&var["format"], &var["encrypted"]), (&"ext4".into(), &true.into()));
    assert_eq!(json["dropped"][0]["priority"], 5);
    assert!(json["dropped"][0]["file"].as_str().unwrap().ends_with("/40-home.conf"));
    let text = plan(&["--size", "4G"]).unwrap();
    assert!(text.contains("before |") && text.contains("after  |") && text.contains("44444"), "{text}");
    let ended = plan(&[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("do not fit"), "{ended:?}");
    // nobody vouches for another image
    let bytes = fs::read(&image).unwrap();
    let offset = made.json()["partitions"][0]["offset"].as_u64().unwrap() as usize;
    let mut broken = bytes;
    broken[offset + 100..offset + 20_000].fill(7);
    fs::write(&image, broken).unwrap();
    let ended = plan(&["--size", "1G"]);
    assert!(!ended.ok() && ended.stdout.is_empty(), "{ended:?}");
}
