//! `ddi check update`: sums, versions, signatures, slots.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::support::image::ImageBuilder;
use crate::support::{Chance, Ended, Folder, ddi, require_tool, run, run_within};

/// Versions 6 and 7 of a root file system and its hash tree, whole and listed.
struct Set {
    folder: Folder,
    args: Vec<String>,
}

const NAMES: [&str; 4] = ["os_7.root", "os_7.verity", "os_6.root", "os_6.verity"];

impl Set {
    fn new() -> Self {
        let set = Set { folder: Folder::new(), args: words("--match os_@v.root --match os_@v.verity") };
        for name in NAMES {
            set.folder.write(name, name.as_bytes());
        }
        set.list(&NAMES);
        set
    }

    /// Writes SHA256SUMS for these files, as they are.
    fn list(&self, names: &[&str]) {
        let lines: String = names.iter().map(|name| self.line(name)).collect();
        self.sums(&lines);
    }

    fn line(&self, name: &str) -> String {
        format!("{} *{name}\n", sha256(&fs::read(self.folder.file(name)).unwrap()))
    }

    fn sums(&self, text: &str) {
        self.folder.write("SHA256SUMS", text.as_bytes());
    }

    /// SHA256SUMS, edited.
    fn edit(&self, change: impl FnOnce(String) -> String) {
        self.sums(&change(fs::read_to_string(self.folder.file("SHA256SUMS")).unwrap()));
    }

    fn check(&self) -> Ended {
        let path = self.folder.path().to_str().unwrap().to_owned();
        let args = words("check update --json").into_iter().chain([path]);
        ddi(args.chain(self.args.iter().cloned()))
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn codes(json: &Value) -> Vec<String> {
    let findings = json["findings"].as_array().unwrap();
    let codes = findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned());
    codes.filter(|code| code != "manifest-not-signed").collect()
}

fn fact(json: &Value, name: &str) -> Vec<String> {
    json["facts"][name].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_whole_set() {
    let set = Set::new();
    let ended = set.check();
    let json = ended.json();
    assert_eq!((codes(&json), ended.code), (vec![], Some(0)), "{ended:?}");
    assert_eq!(fact(&json, "versions"), ["7: complete", "6: complete"]);
    assert_eq!(fact(&json, "files")[0], format!("os_7.root: {}, 9 bytes, as listed", sha256(b"os_7.root")));
    assert_eq!((&json["assurance"], &json["check"]), (&"claimed".into(), &"update".into()));
    // the manifest itself may be named
    let sums = set.folder.file("SHA256SUMS");
    let text = ddi(["check", "update", &sums, "--match", "os_@v.root"]);
    assert!(text.ok() && text.stdout.contains("PASSED"), "{text:?}");
}

/// What is changed, the codes that are told, and the exit status.
#[test]
fn each_rule_broken_once() {
    type Change = fn(&mut Set);
    let changes: [(Change, &[&str], i32); 30] = [
        (|set| fs::remove_file(set.folder.file("SHA256SUMS")).unwrap(), &["no-manifest"], 0),
        (|set| set.edit(|text| text.trim_end().to_owned()), &["manifest-truncated"], 1),
        (|set| set.edit(|text| format!("\\{text}")), &["manifest-escaped-name"], 1),
        (|set| set.edit(|text| text.replacen("os_7", "os\x007", 1)), &["manifest-nul"], 1),
        (|set| set.edit(|text| text.replacen(" *", "**", 1)), &["manifest-separator"], 1),
        (|set| set.edit(|text| text.replacen("*os", "*../os", 1)), &["manifest-name"], 1),
        (|set| set.edit(|text| text[1..].to_owned()), &["manifest-digest"], 1),
        (|set| set.edit(|text| text.replace("os_6", "os_7")), &["manifest-contradiction"], 1),
        (
            |set| set.edit(|text| format!("{text}{} *BEST-BEFORE-2026-13-01\n", "0".repeat(64))),
            &["manifest-best-before"],
            0,
        ),
        (|set| set.edit(|text| text.replace('\n', "\r\n")), &["manifest-crlf"], 1),
        (
            |set| set.edit(|text| format!("{text}{} *BEST-BEFORE-2020-01-01\n", "0".repeat(64))),
            &["best-before-passed"],
            1,
        ),
        (|set| set.edit(|text| format!("{text}{} *BEST-BEFORE-9999-01-01\n", "0".repeat(64))), &[], 0),
        (|set| set.edit(|text| text.clone() + &text), &[], 0),
        (|set| drop(set.folder.write("os_7.root", b"other")), &["sum-differs"], 1),
        (|set| fs::remove_file(set.folder.file("os_7.root")).unwrap(), &["file-missing"], 1),
        (
            |set| {
                let path = set.folder.file("os_7.root");
                fs::rename(&path, set.folder.file("elsewhere")).unwrap();
                symlink("elsewhere", path).unwrap();
            },
            &["file-not-regular"],
            1,
        ),
        (
            |set| {
                let path = set.folder.file("os_7.root");
                fs::remove_file(&path).unwrap();
                run("mkfifo", [&path]).unwrap();
            },
            &["file-not-regular"],
            1,
        ),
        (|set| drop(set.folder.write("os_8.root", b"new")), &["file-not-listed"], 0),
        // nobody asks for it
        (|set| drop(set.folder.write("readme", b"text")), &[], 0),
        (|set| set.list(&NAMES[1..]), &["file-not-listed", "version-incomplete"], 0),
        (
            |set| set.list(&["os_7.root", "os_6.verity"]),
            &[
                "file-not-listed",
                "file-not-listed",
                "version-incomplete",
                "version-incomplete",
                "no-complete-version",
            ],
            1,
        ),
        (
            |set| {
                set.sums("");
                NAMES[1..].iter().for_each(|name| fs::remove_file(set.folder.file(name)).unwrap());
            },
            &["file-not-listed", "no-complete-version"],
            1,
        ),
        (
            |set| NAMES.iter().for_each(|name| fs::remove_file(set.folder.file(name)).unwrap()),
            &["no-files"],
            0,
        ),
        (
            |set| {
                set.folder.write("os_7+.root", b"twice");
                set.list(&["os_7.root", "os_7.verity", "os_6.root", "os_6.verity", "os_7+.root"]);
            },
            &["version-twice"],
            0,
        ),
        (
            |set| {
                let name = format!("os_8_{}.img", "00".repeat(32));
                set.folder.write(&name, b"image");
                set.list(&[&name]);
                set.args = words("--match os_@v_@h.img");
            },
            &["name-sum-differs"],
            1,
        ),
        (
            |set| {
                set.folder.write("os_8_6.img", b"image");
                set.list(&["os_8_6.img"]);
                set.args = words("--match os_@v_@s.img");
            },
            &["name-size-differs"],
            1,
        ),
        (
            |set| {
                // the size is that of what is in it
                set.folder.write("os_8_6.img.xz", b"image");
                set.list(&["os_8_6.img.xz"]);
                set.args = words("--match os_@v_@s.img.xz");
            },
            &[],
            0,
        ),
        (
            |set| {
                set.args.extend(["--keyring".to_owned(), set.folder.write("keys", b"")]);
            },
            &["manifest-signature-missing"],
            1,
        ),
        (|set| drop(set.folder.write("SHA256SUMS.gpg", b"signature")), &["manifest-signature-unchecked"], 0),
        (
            |set| {
                fs::remove_file(set.folder.file("SHA256SUMS")).unwrap();
                set.args.extend(["--keyring".to_owned(), set.folder.write("keys", b"")]);
            },
            &["no-manifest"],
            1,
        ),
    ];
    for (number, (change, expected, status)) in changes.into_iter().enumerate() {
        let mut set = Set::new();
        change(&mut set);
        let ended = set.check();
        let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
        assert_eq!((codes(&ended.json()), ended.code), (expected, Some(status)), "{number} {ended:?}");
    }
}

#[test]
fn could_not_tell() {
    let set = Set::new();
    let folder = set.folder.path().to_str().unwrap().to_owned();
    for (args, word) in [
        (vec!["--match", "os_@x"], "@x is no marker"),
        (vec!["--match", "os"], "no @v"),
        (vec!["--match", "os_@v", "--slot", "root:a@v"], "--image"),
        (vec!["--definitions", &folder], "no *.transfer files"),
        (vec![], "--match"),
        (vec!["--match", "os_@v", "--keyring", "/nonexistent"], "keyring"),
    ] {
        let set = Set::new();
        set.folder.write("SHA256SUMS.gpg", b"signature");
        let path = set.folder.path().to_str().unwrap().to_owned();
        let ended = ddi(["check", "update", &path].into_iter().chain(args.iter().copied()));
        assert!(ended.code == Some(2) && ended.stderr.contains(word), "{word}: {ended:?}");
    }
}

/// A signature is good, by a key that is trusted, of these bytes; or it is nothing.
#[test]
fn signatures() {
    if !["gpg", "gpgv", "gpgconf"].into_iter().all(require_tool) {
        return;
    }
    let mut set = Set::new();
    let home = Folder::new();
    fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let home_path = home.path().to_str().unwrap().to_owned();
    let gpg = |args: &[&str]| {
        let common = ["--homedir", &home_path, "--batch", "--yes", "--quiet", "--passphrase", ""];
        run("gpg", common.iter().chain(args)).unwrap()
    };
    let export = |name: &str| {
        gpg(&["--quick-generate-key", name, "ed25519", "sign", "never"]);
        let path = home.file(name);
        gpg(&["--output", &path, "--export", name]);
        path
    };
    let (signer, stranger) = (export("signer"), export("stranger"));
    let (sums, signature) = (set.folder.file("SHA256SUMS"), set.folder.file("SHA256SUMS.gpg"));
    gpg(&["--local-user", "signer", "--output", &signature, "--detach-sign", &sums]);
    let armored = home.file("armored");
    gpg(&["--local-user", "signer", "--armor", "--output", &armored, "--detach-sign", &sums]);
    run("gpgconf", ["--homedir", &home_path, "--kill", "all"]).unwrap();

    let plain = set.args.clone();
    let mut check = |keyring: &str| {
        set.args = plain.clone();
        set.args.extend(["--keyring".to_owned(), keyring.to_owned()]);
        let ended = set.check();
        (codes(&ended.json()), ended.json()["assurance"].as_str().unwrap().to_owned(), ended.code)
    };
    let good = (vec![], "authenticated".to_owned(), Some(0));
    let bad = (vec!["manifest-signature-bad".to_owned()], "claimed".to_owned(), Some(1));
    assert_eq!(check(&signer), good);
    assert_eq!(check(&stranger), bad);
    let text = fs::read(&signature).unwrap();
    fs::write(&signature, fs::read(&armored).unwrap()).unwrap();
    assert_eq!(check(&signer), good);
    fs::write(&signature, &text[..text.len() - 1]).unwrap();
    assert_eq!(check(&signer), bad);
    fs::write(&signature, "").unwrap();
    assert_eq!(check(&signer), bad);
    // as systemd called it for files, once
    fs::remove_file(&signature).unwrap();
    fs::write(format!("{sums}.sha256.asc"), fs::read(&armored).unwrap()).unwrap();
    assert_eq!(check(&signer), good);
    // of other bytes
    fs::write(&sums, b"").unwrap();
    let other = check(&signer);
    assert!(other.0.contains(&bad.0[0]) && other.1 == "claimed", "{other:?}");
}

/// A signed manifest says nothing about a file that is not as it says.
#[test]
fn what_is_not_as_signed() {
    let set = Set::new();
    set.folder.write("os_7.root", b"other");
    let json = set.check().json();
    assert_eq!((codes(&json), &json["assurance"]), (vec!["sum-differs".to_owned()], &"claimed".into()));
}

#[test]
fn slots() {
    let check = |labels: &[(&str, usize)]| {
        let mut set = Set::new();
        // more than fits into one block
        set.folder.write("os_7.root", &[7; 5000]);
        set.list(&NAMES);
        let mut builder = ImageBuilder::new();
        for (label, blocks) in labels {
            builder = builder.partition("root-x86-64", label, vec![0; blocks * 4096]);
        }
        let image = set.folder.write("disk.raw", &builder.build().bytes);
        set.args = words("--match os_@v.root --slot root-x86-64:os_@v --image");
        set.args.push(image);
        set.check()
    };
    for (labels, expected, plan) in [
        (&[("os_6", 2), ("_empty", 3), ("_empty", 2)][..], &[][..], "os_7.root: to partition 3"),
        (&[("os_6", 2), ("os_5", 2)], &[], "os_7.root: to partition 2, freed before: 2"),
        (&[("os_6", 2), ("os_7", 2)], &[], "os_7.root: version 7 is installed already"),
        (&[("os_6", 2), ("other", 2)], &["too-few-slots"], "os_7.root: to partition 1, freed before: 1"),
        (&[("other", 2)], &["too-few-slots", "no-slot"], "os_7.root: nowhere"),
        (&[("_empty", 4), ("_empty", 1)], &["slot-too-small"], "os_7.root: to partition 2"),
    ] {
        let ended = check(labels);
        let json = ended.json();
        assert_eq!(codes(&json), expected, "{labels:?}");
        assert_eq!(
            (fact(&json, "plan"), ended.code),
            (vec![plan.to_owned()], Some(i32::from(!expected.is_empty())))
        );
    }
}

/// Two transfers whose free slots are the same.
#[test]
fn a_slot_that_is_taken_twice() {
    for (free, expected) in [(1, &["slot-taken-twice"][..]), (0, &[])] {
        let mut set = Set::new();
        let mut builder = ImageBuilder::new();
        for label in [&["_empty"][..free], &["os_6", "tree_6", "os_5", "tree_5"]].concat() {
            builder = builder.partition("root-x86-64", label, vec![0; 4096]);
        }
        let image = set.folder.write("disk.raw", &builder.build().bytes);
        let text =
            "--match os_@v.root --slot root-x86-64:os_@v --match os_@v.verity --slot root-x86-64:tree_@v";
        set.args = words(text);
        set.args.extend(["--image".to_owned(), image]);
        let ended = set.check();
        assert_eq!((codes(&ended.json()), ended.code), (words_of(expected), Some(i32::from(free == 1))));
    }
}

fn words_of(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// Definitions as systemd-sysupdate has them, and what it says to them.
#[test]
fn definitions() {
    let mut set = Set::new();
    let folder = set.folder.file("definitions");
    fs::create_dir(&folder).unwrap();
    let directory = set.folder.path().to_str().unwrap().to_owned();
    let definition = |kind: &str, min: &str| {
        format!(
            "[Transfer]\nMinVersion={min}\n[Source]\nType=regular-file\nPath={directory}\nMatchPattern=os_@v.{kind}\n\
             [Target]\nType=regular-file\nPath={directory}/installed\nMatchPattern=os_@v.{kind}\n"
        )
    };
    fs::create_dir(set.folder.file("installed")).unwrap();
    for (kind, min) in [("root", "6"), ("verity", "7")] {
        fs::write(format!("{folder}/50-{kind}.transfer"), definition(kind, min)).unwrap();
    }
    set.args = vec!["--definitions".to_owned(), folder.clone()];
    let json = set.check().json();
    assert_eq!(fact(&json, "versions"), ["7: complete", "6: incomplete, nothing for 50-verity"]);
    assert_eq!(codes(&json), ["version-too-old", "version-incomplete"]);

    for (text, word) in
        [("[Source\n", "line 1"), ("[Source]\nMatchPattern=a\n", "no @v"), ("", "MatchPattern=")]
    {
        fs::write(format!("{folder}/60-bad.transfer"), text).unwrap();
        let ended = set.check();
        assert!(
            ended.code == Some(2) && ended.stderr.contains(word) && ended.stderr.contains("60-bad"),
            "{ended:?}"
        );
    }
}

/// What comes from the network is found by its SHA256SUMS alone, and `Verify=` is on by itself.
#[test]
fn f11_from_the_network_without_a_manifest() {
    let mut set = Set::new();
    let folder = set.folder.file("definitions");
    fs::create_dir(&folder).unwrap();
    let define = |kind: &str, verify: &str| {
        let text = format!(
            "[Transfer]\n{verify}\n[Source]\nType={kind}\nPath=https://example.invalid/\nMatchPattern=os_@v.root\n\
             [Target]\nType=regular-file\nPath=/x\nMatchPattern=os_@v.root\n"
        );
        fs::write(format!("{folder}/50-root.transfer"), text).unwrap();
    };
    set.args = vec!["--definitions".to_owned(), folder.clone()];
    let check = || {
        let ended = set.check();
        let findings = ended.json()["findings"].as_array().unwrap().clone();
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        let found: Vec<_> = findings.iter().map(|one| (text(one, "code"), text(one, "severity"))).collect();
        (found, ended.code)
    };
    let found = |code: &str, severity: &str| vec![(code.to_owned(), severity.to_owned())];
    for (kind, verify, severity) in [
        ("url-file", "", "warning"),
        ("url-tar", "Verify=yes", "warning"),
        ("url-file", "Verify=no", "note"),
        ("regular-file", "", "note"),
    ] {
        define(kind, verify);
        assert_eq!(check(), (found("manifest-not-signed", severity), Some(0)), "{kind} {verify}");
    }
    fs::remove_file(set.folder.file("SHA256SUMS")).unwrap();
    for (kind, severity, status) in
        [("url-file", "error", 1), ("url-tar", "error", 1), ("regular-file", "note", 0)]
    {
        define(kind, "");
        assert_eq!(check(), (found("no-manifest", severity), Some(status)), "{kind}");
    }
}

/// A folder for each version, with the sums in the manifest or without.
#[test]
fn f11_files_in_directories() {
    let mut set = Set::new();
    for version in ["1", "2"] {
        fs::create_dir(set.folder.file(&format!("demo_{version}"))).unwrap();
        set.folder.write(&format!("demo_{version}/bar.efi"), version.as_bytes());
    }
    fs::create_dir(set.folder.file("other")).unwrap();
    set.folder.write("other/bar.efi", b"3");
    symlink("demo_1", set.folder.file("demo_3")).unwrap();
    set.args = words("--match demo_@v/bar.efi");
    set.list(&["demo_1/bar.efi", "demo_2/bar.efi"]);
    let both = ["manifest-subdirectory", "pattern-subdirectory"];
    let whole = ["2: complete", "1: complete"];
    let check = |set: &Set| {
        let ended = set.check();
        (codes(&ended.json()), fact(&ended.json(), "versions"), ended.code)
    };
    assert_eq!(check(&set), (words_of(&both), words_of(&whole), Some(0)));
    // one that is not as listed, one that is not there, and one that is not listed
    set.folder.write("demo_2/bar.efi", b"x");
    fs::remove_file(set.folder.file("demo_1/bar.efi")).unwrap();
    let bad = ["manifest-subdirectory", "file-missing", "sum-differs", "pattern-subdirectory"];
    assert_eq!(check(&set), (words_of(&bad), words_of(&whole), Some(1)));
    set.sums("");
    assert_eq!(check(&set).0, words_of(&["file-not-listed", "pattern-subdirectory", "no-complete-version"]));
    // no manifest: what is there, and nothing that a link leads to
    fs::remove_file(set.folder.file("SHA256SUMS")).unwrap();
    let found = check(&set);
    assert_eq!(found, (words_of(&["no-manifest", "pattern-subdirectory"]), words_of(&whole[..1]), Some(0)));
    // none of its files here
    let gone = format!("{} *demo_9/bar.efi\n", "0".repeat(64));
    set.sums(&gone);
    assert_eq!(check(&set).1, ["9: complete"]);
}

/// The reason why a slot is left alone is told.
#[test]
fn f11_why_a_slot_is_left_alone() {
    let mut set = Set::new();
    let mut builder = ImageBuilder::new();
    for label in ["os_6", "usr-b", "_EMPTY"] {
        builder = builder.partition("root-x86-64", label, vec![0; 4096]);
    }
    let image = set.folder.write("disk.raw", &builder.build().bytes);
    set.args = words("--match os_@v.root --slot root-x86-64:os_@v --image");
    set.args.push(image);
    let json = set.check().json();
    let slots = fact(&json, "slots");
    for slot in &slots[1..] {
        assert!(slot.ends_with(": left alone, as its label matches neither _empty nor os_@v"), "{slots:?}");
    }
    let reason = json["findings"].as_array().unwrap().last().unwrap()["reason"].as_str().unwrap();
    assert!(
        reason.ends_with("2 of this type are left alone, as their labels match neither _empty nor os_@v"),
        "{reason}"
    );
}

/// Damaged manifests: an answer within the time.
#[test]
fn damaged() {
    let mut chance = Chance(3);
    for _ in 0..60 {
        let set = Set::new();
        let mut bytes = fs::read(set.folder.file("SHA256SUMS")).unwrap();
        for _ in 0..1 + chance.below(3) {
            let at = chance.below(bytes.len() as u64) as usize;
            bytes[at] = chance.next() as u8;
        }
        bytes.truncate(bytes.len() - chance.below(20) as usize);
        set.folder.write("SHA256SUMS", &bytes);
        let ended = set.check();
        assert!(matches!(ended.code, Some(0 | 1)) && ended.stderr.is_empty(), "{ended:?}");
    }
}

/// A manifest of ten thousand files is not slow.
#[test]
fn many_files() {
    let set = Set::new();
    let lines: String = (0..10_000).map(|number| format!("{number:064x} *os_{number}.root\n")).collect();
    set.sums(&lines);
    for name in NAMES {
        fs::remove_file(set.folder.file(name)).unwrap();
    }
    let mut command = std::process::Command::new(crate::support::DDI);
    command.args(["check", "update", "--json", set.folder.path().to_str().unwrap(), "--match", "os_@v.root"]);
    let ended = run_within(command, std::time::Duration::from_secs(20));
    let versions = fact(&ended.json(), "versions");
    assert_eq!((versions.len(), &*versions[0]), (10_000, "9999: complete"));
}
