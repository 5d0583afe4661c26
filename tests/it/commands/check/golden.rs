//! `ddi check golden`, with systemd-repart asked what it would create.

use std::fs;

use serde_json::Value;

use super::{assert_exit, codes, corpus, image, image_of, tree, writable_image_of};
use crate::support::image::ImageBuilder;
use crate::support::{Folder, ddi, require_tool, run, run_within, skip};

/// What the corpus says was left in is what is found, and nothing else.
#[test]
fn images_of_the_corpus() {
    let Some(corpus) = corpus() else { return };
    for kind in ["ext4", "erofs", "squashfs"] {
        let ended = ddi(["check", "golden", "--json", &image(&corpus, &format!("golden-clean-{kind}"))]);
        assert_exit(&ended, 0);
        let ended = ddi(["check", "golden", "--json", &image(&corpus, &format!("golden-dirty-{kind}"))]);
        assert_exit(&ended, 1);
        let expected = corpus.join(format!("expected/golden-dirty-{kind}.json"));
        let expected: Value = serde_json::from_slice(&fs::read(expected).unwrap()).unwrap();
        let mut left: Vec<_> = expected["machine_specific_left_in"].as_array().unwrap().iter().collect();
        left.sort_by_key(|path| path.to_string());
        let value = ended.json();
        let found =
            value["findings"].as_array().unwrap().iter().filter_map(|finding| finding["path"].as_str());
        // of a journal the directory is named
        let mut found: Vec<_> = found
            .map(|path| match path.starts_with("/var/log/journal/") {
                true => format!("{path}/system.journal"),
                false => path.to_owned(),
            })
            .collect();
        found.sort_by_key(|path| format!("{path:?}"));
        assert_eq!(left, found.iter().collect::<Vec<_>>(), "{kind}");
    }
}

#[test]
fn each_rule_broken_once() {
    const OS: (&str, &str) = ("/etc/os-release", "ID=a\nIMAGE_ID=i\nIMAGE_VERSION=1\n");
    const ID: &str = "0123456789abcdef0123456789abcdef\n";
    const NO_ID: (&str, &str) = ("/etc/machine-id", "uninitialized\n");
    for (files, expected, code) in [
        (&[OS, NO_ID][..], &[][..], 0),
        (&[OS], &["machine-id-missing"], 0),
        (&[OS, ("/etc/machine-id", "")], &["machine-id-empty"], 0),
        (&[OS, ("/etc/machine-id", ID)], &["machine-id"], 1),
        (&[OS, ("/etc/machine-id", "nonsense\n")], &["machine-id-invalid"], 1),
        (&[OS, ("/etc/machine-id/", "")], &["machine-id-unreadable"], 1),
        (&[NO_ID], &["no-os-release"], 0),
        (&[("/etc/os-release", "ID=a\nIMAGE_ID=i\n"), NO_ID], &["no-image-version"], 0),
        (&[("/etc/os-release", "ID=a\nIMAGE_VERSION=1\n"), NO_ID], &["no-image-id"], 0),
        (&[OS, NO_ID, ("/etc/hostname", "h\n")], &["hostname"], 0),
        (&[OS, NO_ID, ("/etc/machine-info", "A=b\n")], &["machine-info"], 0),
        (&[OS, NO_ID, ("/var/lib/systemd/random-seed", "")], &["random-seed"], 1),
        (&[OS, NO_ID, ("/var/lib/systemd/credential.secret", "")], &["credential-secret"], 1),
        (&[OS, NO_ID, ("/var/lib/NetworkManager/secret_key", "")], &["network-manager-secret"], 1),
        (&[OS, NO_ID, ("/etc/ssh/ssh_host_rsa_key", "")], &["ssh-host-key"], 1),
        (&[OS, NO_ID, ("/etc/ssh/ssh_host_rsa_key.pub", ""), ("/etc/ssh/ssh_config", "")], &[], 0),
        (&[OS, NO_ID, ("/var/lib/dbus/machine-id", ID)], &["dbus-machine-id"], 1),
        (&[OS, NO_ID, ("/var/lib/dbus/machine-id", "->/etc/machine-id")], &[], 0),
        (&[OS, NO_ID, ("root/.bash_history", "")], &["shell-history"], 0),
        (&[OS, NO_ID, ("root/.zsh_history", ""), ("root/history", "")], &["shell-history"], 0),
        (&[OS, NO_ID, ("/var/log/journal/0123456789abcdef0123456789abcdef/", "")], &["journal"], 0),
        (&[OS, NO_ID, ("/usr/bin/kernel-install", "")], &["no-entry-token"], 0),
        (&[OS, NO_ID, ("/usr/bin/kernel-install", ""), ("/etc/kernel/entry-token", "i\n")], &[], 0),
        (&[OS, NO_ID, ("/etc/kernel/entry-token", ID)], &["entry-token"], 0),
    ] {
        let folder = Folder::new();
        let Some(path) = image_of(&folder, "i.raw", files) else { return };
        let ended = ddi(["check", "golden", "--json", &path]);
        assert_exit(&ended, code);
        assert_eq!(codes(&ended), expected, "{files:?}");
    }
}

/// An erofs of these files, to be put into a partition.
fn root(folder: &Folder, name: &str, files: &[(&str, &str)]) -> Option<Vec<u8>> {
    Some(fs::read(image_of(folder, name, files)?).unwrap())
}

#[test]
fn slots_and_versions_of_the_table() {
    let folder = Folder::new();
    let files = [
        ("/etc/os-release", "ID=a\nIMAGE_ID=i\nIMAGE_VERSION=1\n"),
        ("/etc/machine-id", "uninitialized\n"),
        ("/usr/lib/repart.d/10-root.conf", "[Partition]\nType=root-x86-64\n"),
        ("/usr/lib/repart.d/20-root.conf", "[Partition]\nType=root-x86-64\n"),
        ("/usr/lib/repart.d/30-root.conf", "[Partition]\nType=root-x86-64\nLabel=_empty\n"),
        ("/usr/lib/repart.d/40-home.conf", "[Partition]\nType=home\nFormat=ext4\n"),
        ("/usr/lib/repart.d/50-bad.conf", "[Partition]\nType=no-such-type\n"),
    ];
    let Some(root) = root(&folder, "root", &files) else { return };
    let built = |second: &str| {
        let builder = ImageBuilder::new().partition("root-x86-64", "os_1", root.clone());
        let image = builder.partition("root-x86-64", second, root.clone()).build();
        let path = folder.write("image.raw", &image.bytes);
        ddi(["check", "golden", "--json", "--architecture", "x86-64", &path])
    };
    let ended = built("_empty");
    assert_exit(&ended, 0);
    assert_eq!(codes(&ended), ["repart-would-create", "repart-would-create", "repart-type"]);
    let facts = &ended.json()["facts"];
    assert_eq!(facts["slots"][0], "root-x86-64: 1 used, 1 empty");
    assert_eq!(facts["would-create"], serde_json::json!(["root-x86-64, label _empty", "home, format ext4"]));
    assert_eq!(facts["absent"], serde_json::json!(["home", "srv", "var", "tmp", "swap"]));
    let ended = built("os_1");
    assert_eq!(codes(&ended)[0], "same-version");
    assert_eq!(ended.json()["findings"][0]["partition"], 2);
}

/// A block that does not match is neither content nor a reason to look elsewhere.
#[test]
fn what_is_not_proven_is_no_content() {
    let files = ["/etc/os-release", "/etc/machine-id", "/etc/hostname", "/etc/machine-info"];
    let padding = |path: &str| format!("# {path} is long\n").repeat(300);
    let contents: Vec<_> = files.iter().map(|path| padding(path)).collect();
    let folder = Folder::new();
    let listed: Vec<_> = files.into_iter().zip(contents.iter().map(|text| &**text)).collect();
    let Some(root) = root(&folder, "root", &listed) else { return };
    let good = ImageBuilder::new().verity("root-x86-64", "os_1", root).build();
    let root_hash = good.root_hashes[0].to_string();
    let check = |bytes: &[u8]| {
        let path = folder.write("image.raw", bytes);
        ddi(["check", "golden", "--json", "--architecture", "x86-64", "--root-hash", &root_hash, &path])
    };
    let codes_of_good = codes(&check(&good.bytes));
    assert!(!codes_of_good.contains(&"not-proven".to_owned()), "{codes_of_good:?}");
    for path in files {
        let mark = format!("# {path} is long");
        let at = good.bytes.windows(mark.len()).position(|bytes| bytes == mark.as_bytes()).unwrap();
        let ended = check(&good.damage(at as u64).bytes);
        assert_exit(&ended, 1);
        assert_eq!(codes(&ended), ["not-proven"], "{path}");
    }
}

/// Every slot is looked into, and what is not is told.
#[test]
fn slots_that_are_not_booted() {
    const OS: (&str, &str) = ("/etc/os-release", "ID=a\nIMAGE_ID=i\nIMAGE_VERSION=1\n");
    let folder = Folder::new();
    let clean = [OS, ("/etc/machine-id", "uninitialized\n")];
    let dirty = [
        OS,
        ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/etc/ssh/ssh_host_rsa_key", ""),
        ("/usr/bin/x", ""),
    ];
    let Some(clean) = root(&folder, "clean", &clean) else { return };
    let Some(dirty) = root(&folder, "dirty", &dirty) else { return };
    let check = |builder: ImageBuilder| {
        let path = folder.write("image.raw", &builder.build().bytes);
        ddi(["check", "golden", "--json", "--architecture", "x86-64", &path])
    };
    let two = |label: &str| {
        let builder = ImageBuilder::new().partition("root-x86-64", label, dirty.clone());
        builder.partition("root-x86-64", "os_2", clean.clone())
    };
    let ended = check(two("os_1"));
    assert_exit(&ended, 1);
    assert_eq!(codes(&ended), ["machine-id", "ssh-host-key"]);
    let value = ended.json();
    assert_eq!(value["findings"][0]["path"], "partition 1:/etc/machine-id");
    assert_eq!(value["facts"]["machine-id"][0], "uninitialized");
    assert_eq!(value["facts"]["unprotected"], serde_json::json!(["root (partition 1)"]));
    assert_exit(&check(two("_empty")), 0);
    assert_eq!(codes(&check(two("_empty"))), [""; 0]);

    let builder = ImageBuilder::new()
        .partition("root-x86-64", "os_1", vec![7; 8192])
        .partition("root-x86-64", "os_2", clean.clone())
        .partition("linux-generic", "data", vec![0; 4096])
        .partition("user-home", "home", vec![0; 4096])
        .partition("swap", "swap", vec![0; 4096]);
    let ended = check(builder);
    assert_exit(&ended, 0);
    assert_eq!(codes(&ended), ["not-looked-at"; 3]);
    let numbers: Vec<_> = (0..3).map(|at| ended.json()["findings"][at]["partition"].clone()).collect();
    assert_eq!(numbers, [1, 3, 4]);
}

/// What a hash tree protects is never written, and so does not grow.
#[test]
fn growing() {
    let folder = Folder::new();
    let Some(root) = writable_image_of(&folder, "root", &[("/etc/os-release", "ID=a\n")]) else { return };
    let root = fs::read(root).unwrap();
    let grows = |builder: ImageBuilder| {
        let path = folder.write("image.raw", &builder.build().bytes);
        let ended = ddi(["check", "golden", "--json", "--architecture", "x86-64", &path]);
        codes(&ended).contains(&"no-grow-file-system".to_owned())
    };
    let plain = || ImageBuilder::new().partition("root-x86-64", "os", root.clone());
    let protected = || ImageBuilder::new().verity("root-x86-64", "os", root.clone());
    assert_eq!(
        (grows(plain()), grows(plain().writable()), grows(protected().writable())),
        (false, true, false)
    );
}

/// A hostile number of definitions is told, and does not take long.
#[test]
fn many_definitions() {
    let folder = Folder::new();
    let names: Vec<_> = (0..20_000).map(|number| format!("/usr/lib/repart.d/{number}.conf")).collect();
    let mut files: Vec<_> = names.iter().map(|name| (&**name, "")).collect();
    files.push(("/etc/os-release", "ID=a\n"));
    let Some(root) = root(&folder, "root", &files) else { return };
    let image = ImageBuilder::new().partition("root-x86-64", "os", root).build();
    let path = folder.write("image.raw", &image.bytes);
    let mut command = std::process::Command::new(crate::support::DDI);
    command.args(["check", "golden", "--json", "--architecture", "x86-64", &path]);
    let ended = run_within(command, std::time::Duration::from_secs(20));
    assert!(codes(&ended).contains(&"not-all-definitions".to_owned()), "{ended:?}");
}

/// Of these definitions systemd-repart creates those that we say it would.
#[test]
fn what_systemd_repart_would_create() {
    let Some(corpus) = corpus() else { return };
    if !require_tool("systemd-repart") || !require_tool("mkfs.erofs") {
        return;
    }
    let sets: [&[(&str, &str)]; 4] = [
        &[
            ("10.conf", "Type=esp"),
            ("20.conf", "Type=root-x86-64"),
            ("30.conf", "Type=home\nSizeMinBytes=16M"),
        ],
        &[
            ("10.conf", "Type=root-x86-64\nLabel=a"),
            ("20.conf", "Type=root-x86-64\nLabel=_empty"),
            ("30.conf", "Type=esp"),
        ],
        &[
            ("50.conf", "Type=esp"),
            ("10.conf", "Type=esp"),
            ("20.conf", "Type=swap\nSizeMinBytes=16M"),
            ("30.conf", "Type=root-x86-64"),
        ],
        &[
            ("10.conf", "Type=usr-x86-64"),
            ("20.conf", "Type=linux-generic"),
            ("30.conf", "Type=933ac7e1-2eb4-4f13-b844-0e14e2aef915"),
        ],
    ];
    let mut created_in_all = 0;
    for set in sets {
        let folder = Folder::new();
        let path = |name: &str| format!("/usr/lib/repart.d/{name}");
        let text = |settings: &str| format!("[Partition]\n{settings}\n");
        let files: Vec<_> = set.iter().map(|(name, settings)| (path(name), text(settings))).collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
        let all = [&[("/etc/os-release", "ID=a\n")][..], &files].concat();
        let root = tree(&folder, "definitions", &files);

        // theirs: on a copy of an image with an ESP and a root partition
        let bytes = fs::read(corpus.join("images/golden-clean-erofs.raw")).unwrap();
        let copy = folder.write("copy.raw", &bytes);
        let definitions = format!("--definitions={}", root.join("usr/lib/repart.d").display());
        let ended = run(
            "systemd-repart",
            ["--dry-run=yes", "--empty=allow", "--size=auto", "--json=short", &definitions, &copy],
        );
        let Some(json) = ended.stdout.lines().find(|line| line.starts_with('[')) else {
            return skip(&format!("systemd-repart does not tell: {ended:?}"));
        };
        let rows: Value = serde_json::from_str(json).unwrap();
        let rows = rows.as_array().unwrap().iter().filter(|row| row["activity"] == "create");
        let mut theirs: Vec<_> = rows.map(|row| row["file"].as_str().unwrap().to_owned()).collect();
        theirs.sort();

        // ours: on an image with the same types of partition, in the same order
        let Some(root) = self::root(&folder, "root", &all) else { return };
        let builder = ImageBuilder::new().partition("esp", "esp", vec![0; 1 << 16]);
        let image = builder.partition("root-x86-64", "root", root).build();
        let image = folder.write("image.raw", &image.bytes);
        let ended = ddi(["check", "golden", "--json", "--architecture", "x86-64", &image]);
        let value = ended.json();
        let findings = value["findings"].as_array().unwrap().iter();
        let would = findings.filter(|finding| finding["code"] == "repart-would-create");
        let name = |finding: &Value| finding["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let mut ours: Vec<_> = would.map(name).collect();
        ours.sort();
        assert_eq!(ours, theirs, "{set:?}");
        created_in_all += theirs.len();
    }
    assert!(created_in_all >= 5, "{created_in_all}");
}
