//! Images that `tests/make-images.sh` makes with the tools of this machine: what blkid and systemd-dissect say of them.

use serde_json::Value;

use crate::support::{Folder, ddi, require_root, require_tool, run, skip};

fn made() -> Option<Folder> {
    let tools = [
        "mkfs.erofs",
        "mksquashfs",
        "mke2fs",
        "mkfs.btrfs",
        "mkfs.xfs",
        "mkfs.f2fs",
        "mkfs.vfat",
        "mkswap",
        "cryptsetup",
        "veritysetup",
        "openssl",
        "sfdisk",
        "blkid",
    ];
    if !tools.into_iter().all(require_tool) {
        return None;
    }
    let folder = Folder::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/make-images.sh");
    let ended = run("bash", [script, &folder.path().display().to_string()]);
    assert!(ended.ok(), "{ended:?}");
    Some(folder)
}

#[test]
fn made_by_the_tools_of_this_machine() {
    let Some(folder) = made() else { return };
    let mut images: Vec<_> = folder.names().into_iter().filter(|name| name.ends_with(".raw")).collect();
    images.sort();
    assert_eq!(images.len(), 16);
    let can_dissect = require_root() && require_tool("systemd-dissect");
    let mut dissected = 0;
    for name in &images {
        let path = folder.file(name);
        let ended = ddi(["inspect", "--json", &path]);
        assert!(matches!(ended.code, Some(0 | 1)), "{name}: {ended:?}");
        let ours = ended.json();
        if name.starts_with("fs-") {
            blkid(name, &path, &ours);
        } else {
            let usr = name.contains("usr");
            let (role, other) =
                if usr { ("--usr-hash", "--root-hash") } else { ("--root-hash", "--usr-hash") };
            let root_hash = path.replace(".raw", if usr { ".usrhash" } else { ".roothash" });
            // the root hash lies beside the image: for the image's own word it is only intact
            assert_eq!(ddi(["verify", &path]).code, Some(3), "{name}");
            let ended = ddi(["verify", &path, role, &root_hash]);
            assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
            assert_eq!(ddi(["verify", &path, other, &root_hash]).code, Some(1), "{name}");
            dissected += u32::from(can_dissect && dissect(name, &path, &ours));
        }
    }
    if can_dissect && dissected != 3 {
        skip(&format!("systemd-dissect takes {dissected} of 3 images here"));
    }
}

fn blkid(name: &str, path: &str, ours: &Value) {
    let tag = |tag: &str| -> Value {
        let ended = run("blkid", ["-p", "-o", "value", "-s", tag, path]);
        let value = ended.stdout.trim_end_matches('\n');
        if value.is_empty() { Value::Null } else { value.into() }
    };
    for (key, theirs) in [("type", "TYPE"), ("uuid", "UUID"), ("label", "LABEL"), ("version", "VERSION")] {
        assert_eq!(ours["content"][key], tag(theirs), "{name}: {theirs}");
    }
}

/// False if systemd-dissect does not take it: there may be no loop device. The keys outside the rows are not the same in
/// all versions.
fn dissect(name: &str, path: &str, ours: &Value) -> bool {
    let ended = run("systemd-dissect", ["--json=short", path]);
    if !ended.ok() {
        eprintln!("systemd-dissect does not take {name} here: {}", ended.stderr.trim());
        return false;
    }
    let theirs = ended.json();
    assert_eq!(ours["name"], theirs["name"]);
    assert_eq!(ours["size"], theirs["size"]);
    let (rows, found) = (theirs["mounts"].as_array().unwrap(), ours["mounts"].as_array().unwrap());
    assert_eq!(rows.len(), found.len(), "{name}: {ours}");
    for (ours, theirs) in found.iter().zip(rows) {
        for (key, value) in theirs.as_object().unwrap().iter().filter(|(key, _)| *key != "node") {
            assert_eq!(ours[key], *value, "{name}: {key}");
        }
    }
    true
}
