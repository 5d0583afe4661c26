//! `ddi check boot`: each rule broken once, and the UKIs that ukify makes.

#[path = "../../../crates/ddi-os/src/uki/tests/pe.rs"]
mod pe;

use std::fs;
use std::sync::OnceLock;

use ddi_gpt::{Guid, verity_guids};
use ddi_verity::RootHash;
use serde_json::Value;

use self::pe::{PeBuilder, X64};
use crate::support::image::{ImageBuilder, hash_tree, signature_partition};
use crate::support::{Chance, Ended, Folder, corpus, ddi, require_tool, run};

/// An image that boots, until a test changes something.
struct Case {
    data: Vec<u8>,
    /// Path in the ESP, content.
    files: Vec<(String, Vec<u8>)>,
    has_esp: bool,
    guids_match: bool,
    /// What is in the signature partition; `None`: there is none.
    signature: Option<Vec<u8>>,
    /// A bit of the data that is not what the hash tree says.
    damaged: Option<usize>,
    args: Vec<String>,
    folder: Folder,
}

fn loader() -> PeBuilder {
    PeBuilder { certificates: (0x400, 8), ..PeBuilder::new().section(".text", b"code") }
}

fn uki(os_release: &str, command_line: &str) -> PeBuilder {
    let builder = PeBuilder { certificates: (0x400, 8), ..PeBuilder::new() };
    builder
        .section(".osrel", os_release.as_bytes())
        .section(".cmdline", command_line.as_bytes())
        .section(".uname", b"6.1.0")
        .section(".linux", &[&b"MZ"[..], &[7; 2998]].concat())
}

impl Case {
    fn new() -> Self {
        let data = root_file_system("ID=demo\n", "6.1.0");
        let signature = signature_partition(&hash_tree(&data).0, GOOD_SIGNATURE);
        let mut case = Case {
            data,
            files: Vec::new(),
            has_esp: true,
            guids_match: true,
            signature: Some(signature),
            damaged: None,
            args: Vec::new(),
            folder: Folder::new(),
        };
        case.put("EFI/BOOT/BOOTX64.EFI", loader());
        case.put("EFI/Linux/os_7.efi", case.good());
        case
    }

    fn root(&self) -> RootHash {
        hash_tree(&self.data).0
    }

    fn good(&self) -> PeBuilder {
        self.with(&format!("quiet roothash={}", self.root()))
    }

    fn with(&self, command_line: &str) -> PeBuilder {
        uki("ID=demo\nVERSION_ID=7\n", command_line)
    }

    /// The file instead of what is there.
    fn put(&mut self, path: &str, file: PeBuilder) {
        self.write(path, file.build());
    }

    fn write(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.remove(path);
        self.files.push((path.to_owned(), content.into()));
    }

    fn remove(&mut self, path: &str) {
        self.files.retain(|(known, _)| known != path);
    }

    /// The UKI, edited.
    fn uki(&mut self, file: PeBuilder) {
        self.put("EFI/Linux/os_7.efi", file);
    }

    fn rename(&mut self, to: &str) {
        for (path, _) in &mut self.files {
            *path = path.replace("os_7.efi", to);
        }
    }

    fn esp(&self) -> Vec<u8> {
        let path = self.folder.write("esp", &vec![0; 4 << 20]);
        run("mkfs.vfat", ["-n", "ESP", &path]).unwrap();
        let mut made: Vec<String> = Vec::new();
        for (number, (file, content)) in self.files.iter().enumerate() {
            for (at, _) in file.match_indices('/') {
                let directory = format!("::{}", &file[..at]);
                if !made.contains(&directory) {
                    run("mmd", ["-i", &path, &directory]).unwrap();
                    made.push(directory);
                }
            }
            let content = self.folder.write(&format!("file{number}"), content);
            run("mcopy", ["-i", &path, &content, &format!("::{file}")]).unwrap();
        }
        fs::read(path).unwrap()
    }

    fn check(&self) -> Ended {
        let mut builder = ImageBuilder::new();
        if self.has_esp {
            builder = builder.partition("esp", "esp", self.esp());
        }
        let (root, hash) = hash_tree(&self.data);
        let (data_guid, mut hash_guid) = verity_guids(root.as_bytes()).unwrap();
        if !self.guids_match {
            hash_guid = Guid::from_u128(77);
        }
        let mut data = self.data.clone();
        if let Some(at) = self.damaged {
            data[at] ^= 1;
        }
        builder = builder.with_guid("root-x86-64", data_guid, "os", data).with_guid(
            "root-x86-64-verity",
            hash_guid,
            "os_v",
            hash,
        );
        if let Some(signature) = &self.signature {
            builder = builder.partition("root-x86-64-verity-sig", "os_s", signature.clone());
        }
        let path = self.folder.write("image.raw", &builder.build().bytes);
        let args = ["check", "boot", "--json", &path].map(str::to_owned);
        ddi(args.into_iter().chain(self.args.iter().cloned()))
    }
}

fn codes(json: &Value) -> Vec<String> {
    let findings = json["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// Good, for another root hash and by a key that nobody trusts, which nobody finds out without its certificate.
const GOOD_SIGNATURE: &[u8] = include_bytes!("../../../crates/ddi-signature/tests/data/rsa2048.p7s");

/// A root file system with an os-release and the modules of a kernel.
fn root_file_system(os_release: &str, kernel: &str) -> Vec<u8> {
    static USUAL: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let folder = Folder::new();
        let (tree, path) = (folder.file("tree"), folder.file("root"));
        fs::create_dir_all(format!("{tree}/usr/lib/modules/{kernel}")).unwrap();
        fs::write(format!("{tree}/usr/lib/os-release"), os_release).unwrap();
        // more than one block, so that there is a hash tree
        fs::write(format!("{tree}/kernel"), Chance(3).bytes(40_000)).unwrap();
        run("mkfs.erofs", ["--quiet", &path, &tree]).unwrap();
        let mut bytes = fs::read(path).unwrap();
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
        bytes
    };
    match (os_release, kernel) {
        ("ID=demo\n", "6.1.0") => USUAL.get_or_init(make).clone(),
        _ => make(),
    }
}

fn tools() -> bool {
    ["mkfs.vfat", "mmd", "mcopy", "mkfs.erofs"].into_iter().all(require_tool)
}

#[test]
fn an_image_that_boots() {
    if !tools() {
        return;
    }
    let case = Case::new();
    let ended = case.check();
    let json = ended.json();
    assert_eq!((ended.code, codes(&json)), (Some(0), Vec::<String>::new()), "{ended:?}");
    let fact = |name: &str| json["facts"][name][0].as_str().unwrap().to_owned();
    assert!(fact("chain").ends_with("named by a signature too: consistent, not authenticated"), "{json:#}");
    assert!(
        fact("ukis").contains("x86-64, good, with a signature that nobody checked, ID=demo, VERSION_ID=7")
    );
    assert_eq!(fact("sections"), "/efi/EFI/Linux/os_7.efi: .osrel 21, .cmdline 79, .uname 5, .linux 3000");
    assert_eq!(json["assurance"], "claimed");
    assert_eq!((fact("system"), fact("unprotected")), ("intact".to_owned(), "esp".to_owned()));
}

/// With a root hash or a certificate, the system must be what was meant, and the command lines must name it.
#[test]
fn what_is_given() {
    if !tools() {
        return;
    }
    type Change = fn(&mut Case);
    let other = "11".repeat(32);
    let mut case = Case::new();
    let right = case.root().to_string();
    let old = case.with(&format!("roothash={other}"));
    let with = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    case.args = with("--root-hash", &right);
    let ended = case.check();
    let json = ended.json();
    assert_eq!((codes(&json), ended.code), (vec![], Some(0)), "{ended:?}");
    assert_eq!(
        (&json["assurance"], &json["facts"]["system"][0]),
        (&"claimed".into(), &"authenticated".into())
    );
    assert!(json["facts"]["chain"][0].as_str().unwrap().contains("as it was given, "), "{json:#}");

    let stranger = format!("{}/crates/ddi-signature/tests/data/rsa4096.crt", env!("CARGO_MANIFEST_DIR"));
    let rows: [(Vec<String>, Change, &[&str]); 4] = [
        (with("--root-hash", &other), |_| (), &["not-proven", "root-hash-not-given", "given-hash-not-named"]),
        (with("--usr-hash", &right), |_| (), &["not-proven", "not-authenticated", "given-hash-not-named"]),
        (with("--certificate", &stranger), |_| (), &["not-authenticated"]),
        (with("--root-hash", &right), |case| case.damaged = Some(1024 + 40), &["not-proven"]),
    ];
    for (args, change, expected) in rows {
        let mut case = Case::new();
        case.args = args;
        change(&mut case);
        let ended = case.check();
        assert_eq!(codes(&ended.json()), expected, "{:?}", case.args);
        assert_eq!(ended.code, Some(1));
    }
    // an older entry that boots something else
    let mut case = Case::new();
    case.put("EFI/Linux/os_6.efi", old);
    case.args = with("--root-hash", &right);
    let ended = case.check();
    assert_eq!(codes(&ended.json()), ["root-hash-not-given", "root-hash-differs"]);
}

/// One bit of the data that is read here, without anything given: never content, and never passed.
#[test]
fn damage_to_what_is_read() {
    if !tools() {
        return;
    }
    let whole = Case::new().data;
    let find = |text: &[u8]| whole.windows(text.len()).position(|found| found == text).unwrap();
    for at in [1024, find(b"ID=demo"), find(b"6.1.0")] {
        let mut case = Case::new();
        case.damaged = Some(at);
        let ended = case.check();
        assert_eq!((codes(&ended.json()), ended.code), (vec!["not-proven".to_owned()], Some(1)), "{at}");
    }
}

/// Whatever an entry starts is looked at, and once, wherever it is and whatever its path is written like.
#[test]
fn what_entries_start() {
    if !tools() {
        return;
    }
    let mut case = Case::new();
    let stale = case.with(&format!("roothash={}", "11".repeat(32)));
    case.put("EFI/Linux/sub/a.efi", stale.clone());
    case.put("EFI/b.efi", stale);
    case.put("EFI/c.efi", loader());
    case.write("loader/entries/a.conf", "efi /EFI/b.efi\nefi \\efi\\B.EFI\nefi \"/EFI/c.efi\"\n");
    let lines = "uki /EFI/Linux/sub/a.efi\nuki /efi/linux/OS_7.EFI\n".repeat(100);
    case.write("loader/entries/b.conf", lines);
    let ended = case.check();
    assert_eq!(codes(&ended.json()), ["root-hash-differs"; 2], "{}", ended.stdout);
    assert_eq!(ended.json()["facts"]["ukis"].as_array().unwrap().len(), 3);
    // not in the menu by themselves
    assert_eq!(ended.json()["facts"]["order"].as_array().unwrap().len(), 3);

    for (line, expected) in [
        ("uki /EFI/BOOT/BOOTX64.EFI\n", "not-a-uki"),
        ("efi /EFI/text\n", "uki-not-pe"),
        ("uki /EFI/addon.addon.efi\n", "not-a-uki"),
    ] {
        let mut case = Case::new();
        case.write("EFI/text", "#!/bin/sh");
        case.put("EFI/addon.addon.efi", PeBuilder::new().section(".cmdline", b"debug"));
        case.write("loader/entries/a.conf", line);
        assert_eq!(codes(&case.check().json()), [expected], "{line}");
    }
}

/// Neither entries nor the files that they name are looked at without end.
#[test]
fn many_entries() {
    if !tools() {
        return;
    }
    let mut case = Case::new();
    case.write("loader/entries/a.conf", "efi /EFI/BOOT/BOOTX64.EFI\n".repeat(1024));
    assert_eq!(codes(&case.check().json()), [""; 0]);
    case.write("loader/entries/a.conf", "efi /EFI/BOOT/BOOTX64.EFI\n".repeat(1025));
    assert_eq!(codes(&case.check().json()), ["too-many-paths"]);
    let mut case = Case::new();
    for number in 0..256 {
        case.write(&format!("loader/entries/{number}.conf"), "efi /EFI/BOOT/BOOTX64.EFI\n");
    }
    let ended = case.check();
    assert_eq!((codes(&ended.json()), ended.code), (vec!["too-many-files".to_owned()], Some(1)));
    // what the firmware does not start by itself does not hide what it does
    let mut case = Case::new();
    for number in 0..300 {
        case.write(&format!("EFI/BOOT/A{number}.efi"), "");
    }
    case.put("EFI/BOOT/BOOTX64.EFI", case.with(&format!("roothash={}", "11".repeat(32))));
    assert_eq!(codes(&case.check().json()), ["root-hash-differs"]);
}

/// What is changed, the codes that are told, and the exit status.
#[test]
fn each_rule_broken_once() {
    if !tools() {
        return;
    }
    type Change = fn(&mut Case);
    let changes: [(Change, &[&str], i32); 35] = [
        (|case| case.has_esp = false, &["no-esp"], 1),
        (|case| case.remove("EFI/Linux/os_7.efi"), &["nothing-to-boot"], 1),
        (|case| case.remove("EFI/BOOT/BOOTX64.EFI"), &["no-removable-loader"], 0),
        (
            |case| case.put("EFI/BOOT/BOOTX64.EFI", PeBuilder { machine: 0xaa64, ..loader() }),
            &["loader-machine"],
            1,
        ),
        (|case| case.write("EFI/BOOT/BOOTX64.EFI", "#!/bin/sh"), &["uki-not-pe", "no-removable-loader"], 1),
        (|case| case.write("EFI/Linux/b.efi", "MZ"), &["uki-not-pe"], 1),
        (|case| case.put("EFI/Linux/b.efi", loader()), &["not-a-uki"], 1),
        (|case| case.uki(case.good().section(".uname", b"7")), &["section-duplicate"], 1),
        (|case| case.uki(PeBuilder { certificates: (0, 0), ..case.good() }), &["uki-unsigned"], 0),
        (|case| case.uki(PeBuilder { machine: 0xaa64, ..case.good() }), &["machine-differs"], 1),
        (|case| case.uki(PeBuilder { machine: X64 + 1, ..case.good() }), &["machine-differs"], 1),
        (
            |case| {
                let line = format!("roothash={}", case.root());
                case.uki(uki("PRETTY_NAME=Demo\n", &line));
            },
            &["osrel-incomplete"],
            0,
        ),
        (
            |case| {
                let mut file = case.good();
                file.sections[0].1 = b"ID=\xff\n".to_vec();
                file.sections[0].2 = 6;
                case.uki(file);
            },
            &["osrel-invalid"],
            1,
        ),
        (
            |case| {
                let mut file = case.good();
                file.sections.remove(2);
                case.uki(file);
            },
            &["uki-no-uname"],
            0,
        ),
        (|case| case.uki(case.good().section(".pcrsig", b"{\"sha256\":[{}]}")), &["pcrsig-invalid"], 1),
        (|case| case.uki(case.good().section(".pcrpkey", b"key")), &["profile-without-pcrsig"], 0),
        (
            |case| {
                let file = case.good().section(".pcrsig", signed().as_bytes()).section(".profile", b"ID=a");
                case.uki(file);
            },
            &["profile-without-pcrsig"],
            0,
        ),
        (|case| case.uki(case.with("quiet")), &["root-hash-missing", "set-not-named"], 1),
        (|case| case.uki(case.with("root=dissect")), &["root-hash-by-signature", "set-not-named"], 0),
        (|case| case.uki(case.with("roothash=xyz")), &["root-hash-invalid", "set-not-named"], 1),
        (
            |case| case.uki(case.with(&format!("roothash={} roothash={}", case.root(), "11".repeat(32)))),
            &["root-hash-differs", "set-not-named"],
            1,
        ),
        (
            |case| case.uki(case.with(&format!("usrhash={}", case.root()))),
            &["root-hash-without-tree", "set-not-named"],
            1,
        ),
        (
            |case| case.uki(case.with(&format!("roothash={} usrhash={}", case.root(), "11".repeat(32)))),
            &["both-root-and-usr-hash", "root-hash-without-tree"],
            1,
        ),
        (|case| case.guids_match = false, &["not-proven", "root-hash-guids"], 1),
        (
            |case| {
                case.guids_match = false;
                case.signature = None;
            },
            &["not-proven", "root-hash-guids"],
            1,
        ),
        (|case| case.signature = Some(vec![b'x'; 4096]), &["signature-invalid"], 0),
        (
            |case| {
                case.signature = Some(signature_partition(&"11".repeat(32).parse().unwrap(), GOOD_SIGNATURE))
            },
            &["not-proven", "signature-other-root-hash"],
            1,
        ),
        (|case| case.rename("os_7+0-3.efi"), &["boot-count-bad"], 0),
        (|case| case.rename("os_7+4294967296.efi"), &["boot-count-too-large"], 1),
        (
            |case| {
                let addon = PeBuilder::new().section(".cmdline", b"roothash=11");
                case.put("EFI/Linux/os_7.efi.extra.d/a.addon.efi", addon);
            },
            &["addon-root-hash"],
            0,
        ),
        (|case| case.put("loader/addons/a.addon.efi", loader()), &["not-an-addon"], 0),
        (|case| case.write("loader/entries/a.conf", "title A\n"), &["entry-boots-nothing"], 1),
        (|case| case.write("loader/entries/a.conf", "efi /EFI/a.efi\n"), &["entry-file-missing"], 1),
        (
            |case| {
                case.put("vmlinuz", loader());
                case.write("loader/entries/a.conf", "linux /vmlinuz\noptions quiet\n");
            },
            &["root-hash-missing"],
            1,
        ),
        (
            |case| {
                case.remove("EFI/Linux/os_7.efi");
                case.put("vmlinuz", loader());
                case.write(
                    "loader/entries/a.conf",
                    format!("linux /vmlinuz\noptions a\noptions roothash={}\n", case.root()),
                );
            },
            &["no-uki"],
            0,
        ),
    ];
    for (number, (change, expected, status)) in changes.into_iter().enumerate() {
        let mut case = Case::new();
        change(&mut case);
        let ended = case.check();
        assert_eq!(
            (codes(&ended.json()), ended.code),
            (expected.iter().map(ToString::to_string).collect(), Some(status)),
            "{number} {expected:?}"
        );
    }
}

/// What `systemd-measure sign` writes.
fn signed() -> String {
    let hash = "ab".repeat(32);
    format!(r#"{{"sha256":[{{"pcrs":[11],"pkfp":"{hash}","pol":"{hash}","sig":"QUJD"}}]}}"#)
}

/// What the firmware, systemd-boot and systemd-stub ask of UKIs, entries and loader.conf: a row for each condition.
#[test]
fn f6_each_condition_broken_once() {
    if !tools() {
        return;
    }
    type Change = fn(&mut Case);
    let changes: [(Change, &[&str], i32); 27] = [
        // UKIs: without .osrel, without .linux, with neither, of another subsystem
        (
            |case| {
                let mut file = case.good();
                file.sections.remove(0);
                case.uki(file);
            },
            &["not-a-uki", "nothing-to-boot"],
            1,
        ),
        (
            |case| {
                let mut file = case.good();
                file.sections.pop();
                case.uki(file);
            },
            &["uki-without-kernel"],
            0,
        ),
        (|case| case.uki(PeBuilder { subsystem: 11, ..case.good() }), &["not-a-uki", "nothing-to-boot"], 1),
        (
            |case| {
                let mut file = case.good();
                file.sections[3].1 = b"\\EFI\\kernel".to_vec();
                case.uki(file);
            },
            &["uki-kernel-not-pe"],
            0,
        ),
        (
            |case| {
                let line = format!("roothash={}", case.root());
                case.uki(uki("VERSION_ID=7\n", &line));
            },
            &["osrel-nameless"],
            1,
        ),
        (
            |case| {
                let mut file = case.good();
                file.sections.remove(1);
                case.uki(file);
            },
            &["uki-no-cmdline", "root-hash-missing", "set-not-named"],
            1,
        ),
        // the profile with a command line is behind one without
        (
            |case| {
                let line = format!("roothash={}", case.root());
                let mut file = case.good();
                file.sections.remove(1);
                let file = file.section(".profile", b"ID=a").section(".profile", b"ID=b");
                case.uki(file.section(".cmdline", line.as_bytes()));
            },
            &["uki-no-cmdline", "profiles-not-shown", "root-hash-missing"],
            1,
        ),
        (|case| case.rename("Auto-7.efi"), &["entry-name-reserved", "nothing-to-boot"], 1),
        // entries
        (|case| case.write("loader/entries/AUTO-a.conf", "title A\n"), &["entry-name-reserved"], 0),
        (
            |case| {
                case.write("loader/entries/a.conf", "efi /EFI/BOOT/BOOTX64.EFI\nuki /EFI/Linux/os_7.efi\n")
            },
            &["entry-keys-contradict"],
            1,
        ),
        (
            |case| {
                let text = "architecture AA64\nefi /EFI/none.efi\n";
                case.write("loader/entries/a.conf", text);
            },
            &["entry-architecture"],
            0,
        ),
        (
            |case| {
                let text = "architecture X64\nefi /EFI/BOOT/BOOTX64.EFI\n";
                case.write("loader/entries/a.conf", text);
            },
            &[],
            0,
        ),
        (
            |case| case.write("loader/entries/a.conf", "efi /EFI/../EFI/BOOT/BOOTX64.EFI\n"),
            &["entry-path-not-plain"],
            0,
        ),
        (
            |case| {
                case.write("loader/entries/a.conf", "uki /EFI/Linux/os_7.efi\ninitrd /EFI/Linux/os_7.efi\n")
            },
            &["entry-initrd-ignored"],
            0,
        ),
        (
            |case| case.write("loader/entries/a.conf", "uki /EFI/Linux/os_7.efi\ndevicetree /a.dtb\n"),
            &["entry-file-missing"],
            1,
        ),
        (
            |case| case.write("loader/entries/a+3.conf", "efi /EFI/BOOT/BOOTX64.EFI\n"),
            &["boot-count-not-counted"],
            0,
        ),
        (|case| case.write("loader/entries/a+3.conf", "uki /EFI/Linux/os_7.efi\n"), &[], 0),
        (
            |case| {
                case.write("vmlinuz", "kernel");
                let line = format!("linux /vmlinuz\noptions roothash={}\n", case.root());
                case.write("loader/entries/a.conf", line);
            },
            &["kernel-not-pe"],
            0,
        ),
        (
            |case| {
                case.put("EFI/other.efi", PeBuilder { machine: 0xaa64, ..loader() });
                case.write("loader/entries/a.conf", "efi /EFI/other.efi\n");
            },
            &["machine-differs"],
            1,
        ),
        (
            |case| {
                // with a kernel and no os-release: enough for the entry, and for UAPI.5
                let line = format!("roothash={}", case.root());
                let file = loader().section(".linux", b"MZ").section(".cmdline", line.as_bytes());
                case.put("EFI/kernel.efi", file);
                case.write("loader/entries/a.conf", "uki /EFI/kernel.efi\n");
            },
            &["uki-incomplete"],
            0,
        ),
        (
            |case| case.write("loader/entries/a.conf", "\tuki\t\"/EFI/Linux/os_7.efi\" \r#uki /none\r\n"),
            &[],
            0,
        ),
        // loader.conf
        (
            |case| case.write("loader/loader.conf", "timeout 3\ndefault os_6*\n"),
            &["default-matches-nothing"],
            0,
        ),
        (|case| case.write("loader/loader.conf", "default x\ndefault OS_?.efi\n"), &[], 0),
        (|case| case.write("loader/loader.conf", "default @saved\n"), &[], 0),
        (|case| case.write("loader/loader.conf", "default auto-windows\n"), &[], 0),
        (|case| case.write("loader/loader.conf", "#default x\n"), &[], 0),
        (|case| case.write("loader/loader.conf", vec![b'#'; 70_000]), &["loader-conf-unreadable"], 0),
    ];
    for (number, (change, expected, status)) in changes.into_iter().enumerate() {
        let mut case = Case::new();
        change(&mut case);
        let ended = case.check();
        assert_eq!(
            (codes(&ended.json()), ended.code),
            (expected.iter().map(ToString::to_string).collect(), Some(status)),
            "{number} {expected:?}"
        );
    }
}

/// Firmware reads FAT, of the ESP and of the extended boot loader partition.
#[test]
fn f6_what_firmware_cannot_read() {
    if !tools() || !require_tool("mkfs.ext4") {
        return;
    }
    let mut case = Case::new();
    case.uki(uki("ID=demo\n", "quiet"));
    let (fat, empty) = (case.esp(), vec![0; 1 << 20]);
    let folder = Folder::new();
    let tree = folder.file("tree");
    fs::create_dir_all(format!("{tree}/EFI/BOOT")).unwrap();
    fs::create_dir_all(format!("{tree}/EFI/Linux")).unwrap();
    fs::write(format!("{tree}/EFI/BOOT/BOOTX64.EFI"), loader().build()).unwrap();
    fs::write(format!("{tree}/EFI/Linux/os_7.efi"), uki("ID=demo\n", "quiet").build()).unwrap();
    let path = folder.write("ext4", &vec![0; 2 << 20]);
    run("mkfs.ext4", ["-q", "-d", &tree, &path]).unwrap();
    let ext4 = fs::read(path).unwrap();
    let luks = [&b"LUKS\xba\xbe\0\x01"[..], &[0; 8184]].concat();
    let check = |parts: &[(&str, &[u8])]| {
        let mut builder = ImageBuilder::new();
        for (name, content) in parts {
            builder = builder.partition(name, name, content.to_vec());
        }
        let path = folder.write("image.raw", &builder.build().bytes);
        let ended = ddi(["check", "boot", "--json", &path]);
        assert!(ended.stderr.is_empty(), "{ended:?}");
        let json = ended.json();
        let findings = json["findings"].as_array().unwrap();
        let wanted = |one: &&Value| one["code"] != "uki-unsigned" && one["code"] != "set-not-named";
        let found: Vec<_> =
            findings.iter().filter(wanted).map(|one| one["code"].as_str().unwrap().to_owned()).collect();
        (found, ended.code, ended.stdout)
    };
    let (esp, xbootldr) = ("esp", "xbootldr");
    for (parts, expected, status) in [
        (&[(esp, &fat[..]), (xbootldr, &fat)][..], &[][..], 0),
        (&[(esp, &fat), (xbootldr, &ext4)], &["xbootldr-not-vfat"], 0),
        (&[(esp, &fat), (xbootldr, &empty)], &["xbootldr-not-vfat"], 0),
        (&[(esp, &ext4)], &["esp-not-vfat"], 1),
        (&[(esp, &ext4), (xbootldr, &fat)], &["esp-not-vfat"], 1),
        (&[(esp, &empty)], &["esp-not-vfat", "nothing-to-boot"], 1),
        (&[(esp, &empty), (xbootldr, &empty)], &["esp-not-vfat", "xbootldr-not-vfat", "nothing-to-boot"], 1),
        (&[(esp, &luks), (xbootldr, &fat)], &["esp-not-vfat"], 1),
        (&[(xbootldr, &fat)], &["no-esp"], 1),
        (&[(esp, &fat), (xbootldr, &fat), (xbootldr, &fat)], &["boot-partition-twice"], 0),
    ] {
        let (found, code, text) = check(parts);
        assert_eq!(
            (found, code),
            (expected.iter().map(ToString::to_string).collect(), Some(status)),
            "{text}"
        );
    }
    // a directory that begins behind the end
    let mut damaged = fat.clone();
    let at = fat.windows(11).position(|name| name == b"EFI        ").unwrap();
    damaged[at + 26..at + 28].copy_from_slice(&0xff0_u16.to_le_bytes());
    for (parts, expected) in [
        (&[(esp, &damaged[..]), (xbootldr, &fat)][..], "boot-partition-damaged"),
        (&[(esp, &fat), (xbootldr, &damaged)], "boot-partition-damaged"),
    ] {
        let (found, code, text) = check(parts);
        assert_eq!((found, code), (vec![expected.to_owned()], Some(1)), "{text}");
    }
    let (_, _, text) = check(&[(esp, &fat), (xbootldr, &empty)]);
    assert!(text.contains("no file system is recognised in it") && text.contains("xbootldr"), "{text}");
}

/// Profiles that are signed each, and boot other versions.
#[test]
fn profiles() {
    if !tools() {
        return;
    }
    let mut case = Case::new();
    let file = case
        .good()
        .section(".profile", b"ID=main\nTITLE=Main\n")
        .section(".pcrsig", signed().as_bytes())
        .section(".profile", b"ID=stale\n")
        .section(".pcrsig", signed().as_bytes())
        .section(".cmdline", format!("roothash={}", "11".repeat(32)).as_bytes());
    case.uki(file);
    let json = case.check().json();
    assert_eq!(codes(&json), ["root-hash-differs"]);
    let profiles: Vec<_> =
        json["facts"]["profiles"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(
        profiles[0].starts_with("/efi/EFI/Linux/os_7.efi @0: ID=main TITLE=Main quiet roothash="),
        "{profiles:?}"
    );
    assert!(profiles[1].contains(" @1: ID=stale roothash=1111"), "{profiles:?}");
}

/// A UKI that is not in the image: with it, an image without ESP is whole.
#[test]
fn a_uki_beside_the_image() {
    if !tools() {
        return;
    }
    let mut case = Case::new();
    case.has_esp = false;
    let path = case.folder.write("os_7+3.efi", &case.good().build());
    case.args = vec!["--uki".to_owned(), path];
    let ended = case.check();
    assert_eq!((codes(&ended.json()), ended.code), (vec![], Some(0)), "{ended:?}");
    let missing = case.folder.file("missing.efi");
    case.args = vec!["--uki".to_owned(), missing.clone()];
    let ended = case.check();
    assert!(ended.code == Some(2) && ended.stderr.contains(&missing), "{ended:?}");
}

/// What of the system is compared with the UKI.
#[test]
fn the_system() {
    if !tools() {
        return;
    }
    for (os_release, module, expected) in [
        ("ID=demo\n", "6.1.0", &[][..]),
        ("ID=other\n", "6.1.0", &["os-differs"]),
        ("ID=demo\n", "6.2.0", &["modules-missing"]),
        ("ID=\0\n", "6.1.0", &["os-release-unreadable"]),
    ] {
        let mut case = Case::new();
        case.data = root_file_system(os_release, module);
        case.signature = Some(signature_partition(&case.root(), GOOD_SIGNATURE));
        case.uki(case.good());
        let ended = case.check();
        assert_eq!(
            (codes(&ended.json()), ended.code),
            (expected.iter().map(ToString::to_string).collect(), Some(0))
        );
    }
}

/// Damaged UKIs and entries: an answer within the time, never a crash.
#[test]
fn damaged() {
    if !tools() {
        return;
    }
    let mut chance = Chance(7);
    for _ in 0..40 {
        let mut case = Case::new();
        let mut bytes = case.good().section(".profile", b"ID=a").build();
        for _ in 0..1 + chance.below(6) {
            let at = 60 + chance.below(600) as usize;
            bytes[at] = chance.next() as u8;
        }
        bytes.truncate(bytes.len() - chance.below(200) as usize);
        case.write("EFI/Linux/os_7.efi", bytes);
        let ended = case.check();
        assert!(matches!(ended.code, Some(0 | 1)) && ended.stderr.is_empty(), "{ended:?}");
    }
}

/// The UKIs of the corpus: sections and command lines as `ukify inspect` has them, and whether they are for the image.
#[test]
fn as_ukify_has_them() {
    let Some(corpus) = corpus() else { return };
    for name in ["uki-ok", "uki-stale", "uki-usr"] {
        let path = corpus.join(format!("images/{name}.raw"));
        let expected = fs::read_to_string(corpus.join(format!("expected/{name}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let uki = &expected["uki"];
        let ended = ddi(["check", "boot", "--json", path.to_str().unwrap()]);
        let json = ended.json();
        let is_match = uki["match"].as_bool().unwrap();
        let codes = codes(&json);
        assert_eq!(codes.iter().any(|code| code == "root-hash-differs"), !is_match, "{name}: {codes:?}");
        assert_eq!(ended.code, Some(i32::from(!is_match)), "{name}: {codes:?}");
        let sections = json["facts"]["sections"][0].as_str().unwrap();
        for (section, facts) in uki["ukify_inspect"].as_object().unwrap() {
            assert!(
                format!("{sections},").contains(&format!(" {section} {},", facts["size"])),
                "{name}: {sections}"
            );
        }
        let line = uki["ukify_inspect"][".cmdline"]["text"].as_str().unwrap();
        let profile = json["facts"]["profiles"][0].as_str().unwrap();
        assert_eq!(profile, format!("/efi{} @0: {line}", uki["path"].as_str().unwrap()));
    }
}
