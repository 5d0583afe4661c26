//! `ddi bake`: from a folder or a tarball to an image that systemd and `ddi check` take, in one command.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::hostile::faults::{FAULTS, assert_at_least, assert_told, at_every_call};
use crate::hostile::format_faults::strace_works;
use crate::support::{DDI, Ended, Folder, ddi, require_tool, run, run_within};

const README: &str = include_str!("../../../README.md");
const SEED: &str = "11111111-2222-4333-8444-555555555555";

fn key() -> [String; 2] {
    ["repart.pem", "repart.crt"]
        .map(|name| format!("{}/crates/ddi-signature/tests/data/sign/{name}", env!("CARGO_MANIFEST_DIR")))
}

/// A release tarball of a program, and its folder.
fn release(folder: &Folder) {
    for (path, text) in [
        ("tree/app-1.0/usr/bin/app", "#!/bin/sh\necho app\n"),
        ("tree/app-1.0/usr/lib/systemd/system/app.service", "[Service]\nExecStart=/usr/bin/app\n"),
        ("tree/app-1.0/usr/lib/os-release", "ID=app\nVERSION_ID=1.0\n"),
        ("tree/app-1.0/etc/app.conf", "a=b\n"),
        ("tree/app-1.0/README", "read me\n"),
    ] {
        fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
        folder.write(path, text.as_bytes());
    }
    for path in ["etc/resolv.conf", "etc/machine-id"] {
        folder.write(&format!("tree/app-1.0/{path}"), b"");
    }
    for path in ["proc", "sys", "dev", "run", "tmp", "var/tmp"] {
        fs::create_dir_all(folder.path().join("tree/app-1.0").join(path)).unwrap();
    }
    let tree = folder.file("tree");
    run("find", [&*tree, "-exec", "touch", "-h", "-d", "@1700000000", "{}", "+"]).unwrap();
    run("tar", ["-czf", &folder.file("app-1.0.tar.gz"), "-C", &tree, "app-1.0"]).unwrap();
}

fn bake(folder: &Folder, kind: &str, source: &str, output: &str, more: &[&str]) -> Ended {
    let output = folder.file(output);
    let args = ["bake", kind, source, "-o", &output, "--seed", SEED, "--format", "squashfs"];
    ddi(args.iter().chain(more))
}

#[test]
fn a_tarball_becomes_an_extension_that_is_accepted() {
    if !require_tool("mksquashfs") {
        return;
    }
    let folder = Folder::new();
    release(&folder);
    fs::remove_file(folder.file("tree/app-1.0/usr/lib/os-release")).unwrap();
    run("tar", ["-czf", &folder.file("app-1.0.tar.gz"), "-C", &folder.file("tree"), "app-1.0"]).unwrap();
    let [key, certificate] = key();
    let by = ["--private-key", &key, "--certificate", &certificate, "--os", "debian:13"];
    let tarball = folder.file("app-1.0.tar.gz");
    let strip = ["--strip-components", "1"];
    let ended = bake(&folder, "sysext", &tarball, "app.raw", &[&by[..], &strip].concat());
    assert!(ended.ok(), "{ended:?}");
    assert!(ended.stderr.contains("/README is not part of a sysext, and is left out"), "{ended:?}");
    let image = folder.file("app.raw");
    let verified = ddi(["verify", &image, "--certificate", &certificate]);
    assert!(verified.ok(), "{verified:?}");
    folder.write("host-os-release", b"ID=debian\nVERSION_ID=13\n");
    let host = folder.file("host-os-release");
    let check = |image: &str| {
        ddi(["check", "extension", image, "--host-os-release", &host, "--certificate", &certificate])
    };
    assert!(check(&image).ok(), "{:?}", check(&image));
    let release = "/usr/lib/extension-release.d/extension-release.app";
    let text = ddi(["cat", &image, release]).stdout;
    assert!(text.starts_with("ID=debian\nVERSION_ID=13\nARCHITECTURE="), "{text}");

    // from a folder, and from a stream: the same bytes, and the folder as it was
    let tree = folder.file("tree/app-1.0");
    assert!(bake(&folder, "sysext", &tree, "other/app.raw", &by).code != Some(0));
    fs::create_dir(folder.file("other")).unwrap();
    assert!(bake(&folder, "sysext", &tree, "other/app.raw", &by).ok());
    assert!(fs::read(&image).unwrap() == fs::read(folder.file("other/app.raw")).unwrap());
    assert!(!fs::exists(format!("{tree}{release}")).unwrap());
    fs::create_dir(folder.file("stream")).unwrap();
    let output = folder.file("stream/app.raw");
    let args = ["bake", "sysext", "-", "-o", &output, "--seed", SEED, "--format", "squashfs"];
    let mut child = Command::new(DDI).args(args).args(by).args(strip).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&tarball).unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(fs::read(&image).unwrap() == fs::read(&output).unwrap());

    // the name is part of it, and so is the system
    fs::rename(&image, folder.file("else.raw")).unwrap();
    assert_eq!(check(&folder.file("else.raw")).code, Some(1));
    fs::rename(folder.file("else.raw"), &image).unwrap();
    folder.write("host-os-release", b"ID=debian\nVERSION_ID=12\n");
    assert_eq!(check(&image).code, Some(1));
}

/// The file system alone has the root hash of the one in the disk image, and is found with what is beside it.
#[test]
fn bare_images_have_what_belongs_to_them_beside_them() {
    if !require_tool("mksquashfs") {
        return;
    }
    let folder = Folder::new();
    release(&folder);
    let [key, certificate] = key();
    let by = ["--private-key", &key, "--certificate", &certificate];
    let tree = folder.file("tree/app-1.0");
    let whole = bake(&folder, "portable", &tree, "app.raw", &[&by[..], &["--json"]].concat()).json();
    let image = folder.file("app.raw");
    assert!(ddi(["verify", &image, "--certificate", &certificate]).ok());
    let portable = ddi(["check", "portable", &image, "--certificate", &certificate]);
    assert!(portable.ok(), "{portable:?}");
    fs::create_dir(folder.file("bare")).unwrap();
    let bare = bake(&folder, "portable", &tree, "bare/app.raw", &[&by[..], &["--bare"]].concat());
    assert!(bare.ok(), "{bare:?}");
    let root_hash = fs::read_to_string(folder.file("bare/app.roothash")).unwrap();
    assert_eq!(whole["partitions"][0]["roothash"], root_hash.trim());
    let image = folder.file("bare/app.raw");
    let verified = ddi(["verify", &image, "--certificate", &certificate]);
    assert!(verified.ok(), "{verified:?}");
    if require_tool("openssl") {
        let signed = folder.write("text", root_hash.trim().as_bytes());
        let signature = folder.file("bare/app.roothash.p7s");
        let args = ["smime", "-verify", "-binary", "-inform", "der", "-in", &signature, "-content", &signed];
        run("openssl", args.iter().copied().chain(["-certfile", &certificate, "-nointern", "-noverify"]))
            .unwrap();
    }
    // none of them is written over
    for name in ["app.raw", "app.verity", "app.roothash", "app.roothash.p7s"] {
        for other in ["app.raw", "app.verity", "app.roothash", "app.roothash.p7s"] {
            let _ = fs::remove_file(folder.file(&format!("bare/{other}")));
        }
        folder.write(&format!("bare/{name}"), b"precious");
        let ended = bake(&folder, "portable", &tree, "bare/app.raw", &[&by[..], &["--bare"]].concat());
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert_eq!(fs::read(folder.file(&format!("bare/{name}"))).unwrap(), b"precious");
        assert_eq!(fs::read_dir(folder.file("bare")).unwrap().count(), 1);
    }
}

/// What the README shows, run: the same words, but for those with numbers in them, which other seeds, machines and versions of
/// mksquashfs make.
#[test]
fn the_readme_shows_what_bake_does() {
    if !require_tool("mksquashfs") {
        return;
    }
    let folder = Folder::new();
    for (release, files) in [
        ("app-1.0", &[("usr/bin/app", "#!/bin/sh\n"), ("README", "read me\n")][..]),
        (
            "service-2.0",
            &[
                ("usr/lib/systemd/system/service.service", "[Service]\nExecStart=/usr/bin/service\n"),
                ("usr/lib/os-release", "ID=service\nVERSION_ID=2.0\n"),
                ("etc/resolv.conf", ""),
                ("etc/machine-id", ""),
            ],
        ),
    ] {
        for (path, text) in files {
            let path = format!("{release}/{path}");
            fs::create_dir_all(folder.path().join(&path).parent().unwrap()).unwrap();
            folder.write(&path, text.as_bytes());
        }
        if release == "service-2.0" {
            for path in ["proc", "sys", "dev", "run", "tmp", "var/tmp"] {
                fs::create_dir_all(folder.path().join(release).join(path)).unwrap();
            }
        }
        let archive = folder.file(&format!("{release}.tar.gz"));
        run("tar", ["-czf", &archive, "-C", &folder.file(""), release]).unwrap();
    }
    let [key, certificate] = key();
    fs::copy(key, folder.file("os.key")).unwrap();
    fs::copy(certificate, folder.file("os.crt")).unwrap();
    folder.write("os-release", b"ID=debian\nVERSION_ID=13\n");

    let (_, shown) = README.split_once("## From a release tarball").unwrap();
    let shown = shown.split_once("```console\n").unwrap().1.split_once("```").unwrap().0;
    let shown = shown.replace("\\\n", "");
    let mut asked = Vec::new();
    for part in shown.strip_prefix("$ ddi ").unwrap().split("\n$ ddi ") {
        let (line, output) = part.split_once('\n').unwrap();
        let args: Vec<_> = line.split_whitespace().collect();
        let mut command = Command::new(DDI);
        command.args(&args).current_dir(folder.path()).env("COLUMNS", "80");
        let ended = run_within(command, Duration::from_secs(60));
        assert!(ended.ok(), "{line}: {ended:?}");
        assert_eq!(words(&(ended.stderr + &ended.stdout)), words(output), "{line}");
        asked.push(args[1]);
    }
    assert_eq!(asked, ["sysext", "extension", "portable", "portable"]);
}

/// The words of each line; those with digits are alike.
fn words(text: &str) -> Vec<Vec<&str>> {
    let alike = |word| if str::contains(word, |c: char| c.is_ascii_digit()) { "#" } else { word };
    text.trim_end().lines().map(|line| line.split_whitespace().map(alike).collect()).collect()
}

#[test]
fn bad_input_leaves_nothing() {
    let folder = Folder::new();
    fs::create_dir_all(folder.file("empty/var")).unwrap();
    fs::create_dir_all(folder.file("tree/etc/extension-release.d")).unwrap();
    folder.write("tree/etc/extension-release.d/extension-release.conf", b"ID=fedora\nVERSION_ID=40\n");
    folder.write("no.tar", &[7; 4096]);
    fs::create_dir(folder.file("out")).unwrap();
    let (empty, tree, no_tar) = (folder.file("empty"), folder.file("tree"), folder.file("no.tar"));
    let nothing = folder.file("nothing");
    for (kind, source, output, more, code, message) in [
        ("sysext", &empty, "out/app.raw", &[][..], 1, "has none of /usr/, /opt/"),
        ("confext", &empty, "out/app.raw", &[], 1, "has none of /etc/"),
        ("confext", &tree, "out/app", &[], 1, "is not called NAME.raw"),
        ("confext", &tree, "out/.#a.raw", &[], 1, "is not called NAME.raw"),
        ("confext", &tree, "out/conf.raw", &["--os", "debian"], 1, "has ID=fedora, and debian was asked for"),
        (
            "confext",
            &tree,
            "out/conf.raw",
            &["--os", "fedora:41"],
            1,
            "has VERSION_ID=40, and 41 was asked for",
        ),
        ("confext", &tree, "out/new.raw", &["--os", "a\nb"], 1, "a\\u{a}b cannot be in a release file"),
        ("confext", &tree, "out/new.raw", &["--strip-components", "1"], 2, "is for archives"),
        ("confext", &no_tar, "out/new.raw", &[], 2, "is no tar archive"),
        ("confext", &nothing, "out/new.raw", &[], 2, "No such file or directory"),
    ] {
        let ended = bake(&folder, kind, source, output, more);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(message), "{message}: {ended:?}");
        assert_eq!(fs::read_dir(folder.file("out")).unwrap().count(), 0, "{ended:?}");
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.file("out/new.raw"), 0o600.into()).unwrap();
    assert_eq!(bake(&folder, "confext", &tree, "out/new.raw", &[]).code, Some(2));
    fs::remove_file(folder.file("out/new.raw")).unwrap();
    assert_eq!(fs::read_dir(folder.file("out")).unwrap().count(), 0);
}

/// None of them is one of mksquashfs.
const WRITES: [&str; 6] = ["pwrite64", "copy_file_range", "fsync", "linkat", "rename", "fallocate"];

/// Killed at every call, and with every call that fails: if the image is there, it is complete and so are the files beside it.
/// After an error there is nothing; after a kill, files beside it may be there without it.
#[test]
fn k1_k2_k3_a_bare_image_comes_last() {
    if !strace_works() || !require_tool("mksquashfs") {
        return;
    }
    let folder = Folder::new();
    release(&folder);
    for name in ["tmp", "out", "whole"] {
        fs::create_dir(folder.file(name)).unwrap();
    }
    let [key, certificate] = key();
    let (tree, out, directory) =
        (folder.file("tree/app-1.0"), folder.file("out/app.raw"), folder.file("out"));
    let more = ["--bare", "--threads", "1", "--private-key", &key, "--certificate", &certificate];
    assert!(bake(&folder, "portable", &tree, "whole/app.raw", &more).ok());
    let names = ["app.raw", "app.roothash", "app.roothash.p7s", "app.verity"];
    let whole = names.map(|name| fs::read(folder.file(&format!("whole/{name}"))).unwrap());
    let args = ["bake", "portable", &tree, "-o", &out, "--seed", SEED, "--format", "squashfs"];
    let args: Vec<&str> = args.into_iter().chain(more).collect();
    let prepare = || {
        fs::remove_dir_all(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
    };
    for kind in FAULTS {
        let faults = at_every_call(kind, &folder, (&WRITES, &args), prepare, |ended, fault| {
            let what = format!("{fault}: {ended:?}");
            let found = names.map(|name| fs::read(folder.file(&format!("out/{name}"))).ok());
            for (found, whole) in found.iter().zip(&whole) {
                assert!(found.as_ref().is_none_or(|found| found == whole), "{what}");
            }
            assert!(found[0].is_none() || found.iter().all(Option::is_some), "{what}");
            assert!(!ended.ok() || found[0].is_some(), "{what}");
            if fault.is_error() {
                assert_told(ended, fault);
                assert!(found[0].is_some() || found.iter().all(Option::is_none), "{what}");
            }
        });
        assert_at_least(&faults, &[("pwrite64", 3), ("fsync", 4), ("linkat", 4)]);
    }
}
