//! Files of virtual machines and phones: named, with the command that makes a disk image of them.

use std::fs;

use crate::support::image::{ImageBuilder, erofs};
use crate::support::{Folder, ddi, require_tool, run};

const QEMU: &str = "qemu-img convert -O raw IMAGE DISK";

/// What qemu-img and img2simg make, as they and we call it, and what turns it back.
const FORMATS: [(&str, &str, &str); 7] = [
    ("qcow2", "qcow2", QEMU),
    ("qed", "qed", QEMU),
    ("vpc", "VHD", QEMU),
    ("vhdx", "VHDX", QEMU),
    ("vmdk", "VMDK", QEMU),
    ("vdi", "VDI", QEMU),
    ("simg", "Android sparse", "simg2img IMAGE DISK"),
];

/// Each is an error with a code of its own, whatever is asked; what the command in it makes is an image.
#[test]
fn f5_containers_are_named_with_the_command_that_converts_them() {
    if !require_tool("qemu-img") || !require_tool("img2simg") {
        return;
    }
    let folder = Folder::new();
    let image = ImageBuilder::new().verity("root-x86-64", "os", erofs(300, 1)).build();
    let root_hash = image.root_hashes[0].to_string();
    let raw = folder.write("disk.raw", &image.bytes);
    let convert = |to: &str, from: &str| match to.rsplit_once('.').unwrap().1 {
        "simg" => run("img2simg", [from, to]).unwrap(),
        "raw" if from.ends_with(".simg") => run("simg2img", [from, to]).unwrap(),
        format => run("qemu-img", ["convert", "-O", format, from, to]).unwrap(),
    };
    for (format, name, command) in FORMATS {
        let container = folder.file(&format!("disk.{format}"));
        convert(&container, &raw);
        for asked in [&["inspect"][..], &["verify", "--root-hash", &root_hash], &["check", "golden"]] {
            let args: Vec<&str> = asked.iter().copied().chain([container.as_str(), "--json"]).collect();
            let ended = ddi(&args);
            assert_eq!(ended.code, Some(2), "{format} {asked:?}: {ended:?}");
            let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
            assert_eq!((&told["kind"], &told["code"]), (&"unsupported".into(), &"disk-container".into()));
            let message = told["message"].as_str().unwrap();
            assert!(message.contains(&format!("a {name} file")) && message.contains(command), "{message}");
        }
        let back = folder.file("back.raw");
        convert(&back, &container);
        assert_eq!(ddi(["verify", "--root-hash", &root_hash, &back]).code, Some(0), "{format}");
    }
}

/// A disk may begin with any bytes: it is one as long as there is a partition table or a file system.
#[test]
fn f5_a_disk_that_begins_like_a_container_is_a_disk() {
    let folder = Folder::new();
    let image = ImageBuilder::new().verity("root-x86-64", "os", erofs(300, 1)).build();
    let root_hash = image.root_hashes[0].to_string();
    for magic in [&b"QFI\xfb\0\0\0\x03"[..], b"conectix", b"KDMV", b"\x3a\xff\x26\xed\x01\0\0\0"] {
        let mut bytes = image.bytes.clone();
        bytes[..magic.len()].copy_from_slice(magic);
        let path = folder.write("disk.raw", &bytes);
        assert_eq!(ddi(["verify", "--root-hash", &root_hash, &path]).code, Some(0), "{magic:?}");
        // without a table nothing is left
        bytes[510..].fill(0);
        let path = folder.write("nothing.raw", &bytes);
        let ended = ddi(["inspect", &path]);
        assert!(ended.code == Some(2) && ended.stderr.contains("not the bytes of a disk"), "{ended:?}");
        fs::remove_file(path).unwrap();
    }
}
