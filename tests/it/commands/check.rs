//! `ddi check`: images of the corpus, and images made on the spot, each with one rule broken.

mod extension;
mod golden;
mod portable;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::properties::seeds::unfit_in_lines;
use crate::support::{Ended, Folder, corpus, ddi, require_tool, run};

/// A directory in the folder, with these files: a name that ends in `/` is a directory, a content that begins with `->`
/// the target of a link.
fn tree(folder: &Folder, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = folder.path().join(name);
    fs::create_dir(&root).unwrap();
    for (path, content) in files {
        let full = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(if path.ends_with('/') { &full } else { full.parent().unwrap() }).unwrap();
        match content.strip_prefix("->") {
            _ if path.ends_with('/') => {}
            Some(target) => std::os::unix::fs::symlink(target, &full).unwrap(),
            None => fs::write(&full, content).unwrap(),
        }
    }
    root
}

/// An image of these files: a bare erofs of that name. `None` if there is no tool for it.
fn image_of(folder: &Folder, name: &str, files: &[(&str, &str)]) -> Option<String> {
    if !require_tool("mkfs.erofs") {
        return None;
    }
    let root = tree(folder, &format!("{name}.d"), files);
    let path = folder.file(name);
    run("mkfs.erofs", ["--quiet", &path, root.to_str().unwrap()]).unwrap();
    Some(path)
}

/// The same as an ext4, which can be written to.
fn writable_image_of(folder: &Folder, name: &str, files: &[(&str, &str)]) -> Option<String> {
    if !require_tool("mke2fs") {
        return None;
    }
    let root = tree(folder, &format!("{name}.d"), files);
    let path = folder.file(name);
    run("mke2fs", ["-q", "-t", "ext4", "-d", root.to_str().unwrap(), &path, "8M"]).unwrap();
    Some(path)
}

/// Codes of the findings, in their order.
#[track_caller]
fn codes(ended: &Ended) -> Vec<String> {
    let findings = &ended.json()["findings"];
    findings.as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// The exit status, and that the verdict and the severities agree with it.
#[track_caller]
fn assert_exit(ended: &Ended, code: i32) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let value = ended.json();
    let errors =
        value["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] == "error");
    assert_eq!(errors.count() > 0, code == 1, "{value}");
    assert_eq!(value["verdict"], if code == 0 { "passed" } else { "failed" });
    assert_eq!(value["exitStatus"], code);
    assert_eq!(value["schema"], "ddi.check/1");
}

fn json_of(args: &[&str]) -> Value {
    ddi(args).json()
}

/// Each finding has these keys, and no other.
#[test]
fn shape_of_the_json() {
    let folder = Folder::new();
    let Some(image) = image_of(&folder, "foo.raw", &[("/etc/os-release", "ID=a\n")]) else { return };
    let value = json_of(&["check", "portable", "--json", &image]);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&value),
        ["assurance", "check", "exitStatus", "facts", "findings", "image", "schema", "verdict"]
    );
    assert_eq!(value["image"], image.as_str());
    assert_eq!(value["check"], "portable");
    assert!(value["facts"].as_object().unwrap().values().all(Value::is_array));
    for finding in value["findings"].as_array().unwrap() {
        for key in ["severity", "code", "reason", "rule"] {
            assert!(finding[key].as_str().is_some_and(|text| !text.is_empty()), "{finding}");
        }
        for key in keys(finding) {
            let known = [
                "severity",
                "code",
                "reason",
                "rule",
                "path",
                "field",
                "file",
                "partition",
                "designator",
                "image",
            ];
            assert!(known.contains(&&*key), "{finding}");
        }
    }
}

#[test]
fn what_is_no_answer_ends_with_2() {
    let folder = Folder::new();
    let nonsense = folder.write("nonsense.raw", &[7; 8192]);
    for args in [
        &["check"][..],
        &["check", "golden"],
        &["check", "golden", "/nonexistent"],
        &["check", "portable", "/nonexistent"],
        &["check", "extension", "/nonexistent", "--host", "/"],
        &["check", "extension", &nonsense],
        &["check", "extension", &nonsense, "--host", "/nonexistent"],
        &["check", "extension", &nonsense, "--host", folder.path().to_str().unwrap()],
        &["check", "extension", &nonsense, "--host", "/", "--scope", "x"],
        &["check", "portable", &nonsense, "--architecture", "no-such-machine"],
        &["check", "golden", &nonsense, "--root-hash", "zz"],
    ] {
        let ended = ddi(args);
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{ended:?}");
    }
    // no image at all
    let text = folder.write("text.raw", b"some text\n");
    let holes = folder.write("holes.raw", &[0; 1 << 20]);
    for path in [&nonsense, &text, &holes] {
        for check in ["golden", "portable", "boot"] {
            let ended = ddi(["check", check, "--json", path]);
            assert_eq!(ended.code, Some(2), "{check} {path}: {ended:?}");
            let json = ended.json();
            assert!(json["schema"] == "ddi.error/1" && json["image"] == **path, "{ended:?}");
            assert!(ended.stderr.contains(&**path), "{ended:?}");
        }
    }
    if let Some(corpus) = corpus() {
        let encrypted = corpus.join("images/fs-luks2.raw");
        let ended = ddi(["check", "golden", encrypted.to_str().unwrap()]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("encrypted"), "{ended:?}");
    }
}

/// With a root hash or a certificate nothing counts that is not authenticated by it.
#[test]
fn what_was_given_is_demanded() {
    let Some(corpus) = corpus() else { return };
    let image = corpus.join("images/ext-portable.raw").to_str().unwrap().to_owned();
    let key = |name: &str| corpus.join(format!("keys/{name}.crt.pem")).to_str().unwrap().to_owned();
    let expected: Value =
        serde_json::from_slice(&fs::read(corpus.join("expected/ext-portable.json")).unwrap()).unwrap();
    let root_hash = expected["verity"][0]["root_hash"].as_str().unwrap();

    let check = |more: &[&str]| ddi(["check", "portable", "--json", &image].iter().chain(more));
    for (more, assurance, code) in [
        (&[][..], "intact", 0),
        (&["--root-hash", root_hash], "authenticated", 0),
        (&["--certificate", &key("a")], "authenticated", 0),
        (&["--certificate", &key("stranger")], "intact", 1),
        (&["--root-hash", &"11".repeat(32)], "claimed", 1),
    ] {
        let ended = check(more);
        assert_exit(&ended, code);
        assert_eq!(ended.json()["assurance"], assurance, "{more:?}: {ended:?}");
    }
    assert_eq!(codes(&check(&["--certificate", &key("stranger")])), ["not-authenticated"]);
    assert_eq!(codes(&check(&["--root-hash", &"11".repeat(32)])), ["not-proven"]);
    // an unprotected image cannot be authenticated
    let bare = corpus.join("images/ext-portable-bare.raw").to_str().unwrap().to_owned();
    let ended = ddi(["check", "portable", "--json", &bare, "ext-portable", "--certificate", &key("a")]);
    assert_exit(&ended, 1);
    assert_eq!(codes(&ended), ["not-authenticated"]);
}

/// A damaged block is no content.
#[test]
fn damage_is_an_answer() {
    let Some(corpus) = corpus() else { return };
    let folder = Folder::new();
    let mut bytes = fs::read(corpus.join("images/ext-portable.raw")).unwrap();
    let expected: Value =
        serde_json::from_slice(&fs::read(corpus.join("expected/ext-portable.json")).unwrap()).unwrap();
    let partitions = expected["partitions"].as_array().unwrap();
    let is_data = |partition: &&Value| {
        partition.to_string().contains("erofs") || partition.to_string().contains("squashfs")
    };
    let data = partitions.iter().find(is_data).unwrap();
    let number = |key: &str| data[key].as_u64().unwrap() as usize;
    let (offset, size) = (number("offset"), number("size"));
    // all of it but the superblock: whatever is read is bad
    for byte in bytes[offset + 4096..offset + size].iter_mut().step_by(4096) {
        *byte ^= 1;
    }
    let path = folder.write("ext-portable.raw", &bytes);
    let ended = ddi(["check", "portable", "--json", &path]);
    assert_exit(&ended, 1);
    assert_eq!(codes(&ended), ["not-proven"]);
}

/// Names in an image may be anything.
#[test]
fn text_from_the_image_is_escaped() {
    let folder = Folder::new();
    let name = "/etc/ssh/ssh_host_\u{1b}[31m\u{202e}_key";
    let Some(image) = image_of(&folder, "i.raw", &[("/etc/os-release", "ID=a\n"), (name, "")]) else {
        return;
    };
    let ended = ddi(["check", "golden", &image]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(unfit_in_lines(&ended.stdout), None, "{ended:?}");
    assert!(ended.stdout.contains("ssh_host_\\u{1b}[31m\\u{202e}_key"), "{ended:?}");
    let last = ended.stdout.lines().last().unwrap();
    assert!(last.starts_with("FAILED golden "), "{last}");
}

fn image(corpus: &Path, name: &str) -> String {
    corpus.join(format!("images/{name}.raw")).to_str().unwrap().to_owned()
}
