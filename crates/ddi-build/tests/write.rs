//! Images that are written: the same bytes every time, and nothing left behind when something goes wrong.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use ddi_build::{
    ContentOptions, Contents, DefinitionOptions, Definitions, Error, ErrorKind, Plan, PlanOptions, Root,
    SourceFault, ToolFault, Tools, WriteOptions, Written,
};
use ddi_gpt::{Architecture, Guid};
use sha2::{Digest, Sha256};

const SEED: Guid = Guid::from_u128(0x11111111_2222_4333_8444_555555555555);

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ddi-write-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("out")).unwrap();
        Folder(path)
    }
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
    /// Makes a program of this text.
    fn program(&self, name: &str, text: &str) {
        let path = self.write(&format!("bin/{name}"), format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    fn outputs(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.join("out"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
    fn image(&self) -> PathBuf {
        self.0.join("out/image.raw")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn definitions(text: &[(&str, &str)]) -> Definitions {
    Definitions::from_texts(text.iter().copied(), &DefinitionOptions::new().native(Architecture::X86_64))
        .unwrap()
}

/// Data of `size` bytes, no two blocks alike.
fn data(size: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()).take(size).collect()
}

fn sha256(path: &Path) -> Vec<u8> {
    Sha256::digest(fs::read(path).unwrap()).to_vec()
}

/// Builds from `folder` into `folder/out/image.raw`, with something done to the sources in between.
fn build_with(
    folder: &Folder,
    definitions: &Definitions,
    threads: usize,
    between: impl FnOnce(),
) -> Result<Written, Error> {
    let root = Root::open(&folder.0).unwrap();
    let tools = Tools::new().folder(folder.0.join("bin"));
    let content = ContentOptions::new(&root, &tools, SEED).folder(folder.0.join("out")).threads(threads);
    let contents = Contents::prepare(definitions, content)?;
    let options = PlanOptions::new(SEED).image(folder.image()).sizes(contents.sizes().clone()).split(true);
    let plan = Plan::new(definitions, &options)?;
    between();
    ddi_build::write(&plan, definitions, &contents, &WriteOptions::new().threads(threads))
}

fn build(folder: &Folder, definitions: &Definitions) -> Result<Written, Error> {
    build_with(folder, definitions, 2, || {})
}

const VERITY: [(&str, &str); 2] = [
    ("10-usr.conf", "[Partition]\nType=usr\nCopyBlocks=/data\nVerity=data\nVerityMatchKey=k\nSplitName=-\n"),
    (
        "20-hash.conf",
        "[Partition]\nType=usr-verity\nVerity=hash\nVerityMatchKey=k\nMinimize=best\nSplitName=-\n",
    ),
];

fn has(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.any(|folder: PathBuf| folder.join(tool).is_file());
    if !found {
        println!("skipped: no {tool}");
        eprintln!("skipped: no {tool}");
        assert!(std::env::var_os("DDI_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "no {tool}");
    }
    found
}

/// Other folders, orders in which files came to be, numbers of threads: the same bytes, twenty times.
#[test]
fn the_same_bytes_every_time() {
    if !has("mksquashfs") || !has("mkfs.vfat") || !has("mcopy") {
        return;
    }
    let definitions = definitions(&[
        (
            "00-esp.conf",
            "[Partition]\nType=linux-generic\nFormat=vfat\nCopyFiles=/tree/efi:/\nFileSystemSectorSize=512\nSizeMinBytes=36M\n",
        ),
        (
            "10-usr.conf",
            "[Partition]\nType=usr\nFormat=squashfs\nCopyFiles=/tree:/\nMakeSymlinks=/new:/efi\nMinimize=best\nVerity=data\nVerityMatchKey=k\n",
        ),
        ("20-hash.conf", "[Partition]\nType=usr-verity\nVerity=hash\nVerityMatchKey=k\nMinimize=best\n"),
        ("30-swap.conf", "[Partition]\nType=srv\nSizeMinBytes=1M\n"),
    ]);
    let mut found = BTreeSet::new();
    for variation in 0..20_usize {
        let folder = Folder::new();
        let mut names: Vec<usize> = (0..60).collect();
        if variation % 2 == 1 {
            names.reverse();
        }
        names.rotate_left(variation);
        for name in names {
            folder.write(&format!("tree/d{}/f{name}", name % 7), data(name * 1000));
        }
        folder.write("tree/efi/EFI/BOOT/a.efi", data(70_000));
        folder.write("tree/efi/loader/loader.conf", "timeout 3\n");
        let _ = fs::remove_file(folder.0.join("tree/link"));
        symlink("d1/f1", folder.0.join("tree/link")).unwrap();
        fs::hard_link(folder.0.join("tree/d1/f1"), folder.0.join("tree/hard")).unwrap();
        let status = std::process::Command::new("find")
            .args(["tree", "-exec", "touch", "-h", "-d", "@1700000000.25", "{}", "+"])
            .current_dir(&folder.0)
            .status();
        assert!(status.unwrap().success());
        build_with(&folder, &definitions, 1 + variation % 4, || {}).unwrap();
        let outputs: Vec<_> =
            folder.outputs().iter().map(|name| sha256(&folder.0.join("out").join(name))).collect();
        assert_eq!(outputs.len(), 5);
        found.insert(outputs);
    }
    assert_eq!(found.len(), 1, "not reproducible");
}

/// An image that is there is not written over, nor is a source.
#[test]
fn what_is_there_stays() {
    let folder = Folder::new();
    folder.write("data", data(1 << 20));
    fs::write(folder.image(), "precious").unwrap();
    let error = build(&folder, &definitions(&VERITY)).unwrap_err();
    assert!(
        matches!(&error, Error::Write { error, .. } if error.kind() == std::io::ErrorKind::AlreadyExists),
        "{error}"
    );
    assert_eq!(fs::read(folder.image()).unwrap(), b"precious");
    fs::remove_file(folder.image()).unwrap();
    fs::hard_link(folder.0.join("data"), folder.image()).unwrap();
    let error = build(&folder, &definitions(&VERITY)).unwrap_err();
    assert!(matches!(error, Error::OutputIsSource { .. }), "{error}");
    fs::remove_file(folder.image()).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.image(), 0o600.into()).unwrap();
    assert!(build(&folder, &definitions(&VERITY)).is_err());
    fs::remove_file(folder.image()).unwrap();
    symlink("nowhere", folder.image()).unwrap();
    assert!(build(&folder, &definitions(&VERITY)).is_err());
    assert_eq!(folder.outputs(), ["image.raw"]);
}

#[test]
fn sources_that_change_while_they_are_read() {
    for verity in [true, false] {
        let plain = [("10-usr.conf", "[Partition]\nType=usr\nCopyBlocks=/data\n")];
        let definitions = if verity { definitions(&VERITY) } else { definitions(&plain) };
        type Case = (fn(&Path), fn(&SourceFault) -> bool);
        let cases: [Case; 3] = [
            (|path| fs::write(path, data(4096)).unwrap(), |fault| matches!(fault, SourceFault::Shrank)),
            (|path| fs::write(path, data(3 << 20)).unwrap(), |fault| matches!(fault, SourceFault::Rewritten)),
            (
                |path| fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"x").unwrap(),
                |fault| matches!(fault, SourceFault::Rewritten),
            ),
        ];
        for (change, expected) in cases {
            let folder = Folder::new();
            let path = folder.write("data", data(2 << 20));
            // times differ even where they are coarse
            fs::File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
            let error = build_with(&folder, &definitions, 2, || change(&path)).unwrap_err();
            match &error {
                Error::Changed { fault, .. } => assert!(expected(fault), "{verity} {error}"),
                error => panic!("{verity} {error}"),
            }
            assert!(folder.outputs().is_empty());
        }
    }
}

#[test]
fn programs_that_are_missing_fail_or_write_nonsense() {
    let definitions = definitions(&[(
        "10-usr.conf",
        "[Partition]\nType=usr\nFormat=erofs\nCopyFiles=/tree:/\nMinimize=best\n",
    )]);
    let folder = Folder::new();
    folder.write("tree/a", data(5_000_000));
    folder.program(
        "mkfs.erofs",
        "[ \"$1\" != -V ] || { echo mkfs.erofs 1.8.6; exit; }\necho 'no \u{1b}[31mspace'; exit 1",
    );
    let error = build(&folder, &definitions).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tool);
    assert!(error.to_string().contains("no \\u{1b}[31mspace"), "{error}");
    // says that all is well, and made nothing
    folder.program("mkfs.erofs", "[ \"$1\" != -V ] || { echo mkfs.erofs 1.8.6; exit; }\ncat >/dev/null");
    let error = build(&folder, &definitions).unwrap_err();
    assert!(matches!(error, Error::Tool { fault: ToolFault::Nonsense { .. }, .. }), "{error}");
    folder.program("mkfs.erofs", "echo mkfs.erofs 1.5");
    let error = build(&folder, &definitions).unwrap_err();
    assert_eq!(error.to_string(), "mkfs.erofs: mkfs.erofs 1.5 is too old: 1.7 is needed");
    assert!(folder.outputs().is_empty());

    let root = Root::open(&folder.0).unwrap();
    let tools = Tools::none();
    let error = Contents::prepare(&definitions, ContentOptions::new(&root, &tools, SEED)).unwrap_err();
    assert_eq!(error.to_string(), "mkfs.erofs: is not there: install the package erofs-utils");
}

/// What a definition names stays inside the root, and what is no file is not waited for.
#[test]
fn sources_stay_in_their_root() {
    let folder = Folder::new();
    folder.write("real/data", data(1 << 20));
    symlink("/real/data", folder.0.join("data")).unwrap();
    build(&folder, &definitions(&VERITY)).unwrap();
    fs::remove_file(folder.image()).unwrap();
    for target in ["../../../../../../etc/passwd", "/etc/passwd", "data", "nowhere"] {
        fs::remove_file(folder.0.join("data")).unwrap();
        symlink(target, folder.0.join("data")).unwrap();
        let error = build(&folder, &definitions(&VERITY)).unwrap_err();
        assert_eq!(error.place().map(|place| place.line), Some(3), "{error}");
    }
    fs::remove_file(folder.0.join("data")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.0.join("data"), 0o600.into()).unwrap();
    let error = build(&folder, &definitions(&VERITY)).unwrap_err();
    assert!(matches!(error, Error::Source { fault: SourceFault::NotBlocks, .. }), "{error}");
    assert!(folder.outputs().is_empty());
}

/// Holes are not written, and the tree is that of the whole data.
#[test]
fn sparse_stays_sparse() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    let folder = Folder::new();
    let file = fs::File::create(folder.0.join("data")).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(&data(8192), 20 << 20).unwrap();
    let sparse = build(&folder, &definitions(&VERITY)).unwrap();
    let blocks = fs::metadata(folder.image()).unwrap().blocks() * 512;
    assert!(blocks < 2 << 20, "{blocks} bytes on the disk");
    let whole = Folder::new();
    whole.write("data", fs::read(folder.0.join("data")).unwrap());
    let dense = build(&whole, &definitions(&VERITY)).unwrap();
    assert_eq!(sparse.plan.trees()[0].root_hash, dense.plan.trees()[0].root_hash);
    assert_eq!(sha256(&folder.image()), sha256(&whole.image()));
}

/// What is in the partition of a definition with a supplement is what both say, as if one had said it.
#[test]
fn files_of_a_supplement_are_in_its_target() {
    if !has("mksquashfs") {
        return;
    }
    let folder = Folder::new();
    folder.write("a/one", "1");
    folder.write("a/secret", "s");
    folder.write("b/two", "2");
    folder.write("b/secret", "s");
    let target =
        "[Partition]\nType=var\nFormat=squashfs\nCopyFiles=/a:/\nMakeDirectories=/d\nSizeMaxBytes=4M\n";
    let more = "CopyFiles=/b:/more\nExcludeFiles=/b/secret\nMakeSymlinks=/l:/more\nSizeMinBytes=1M\n";
    for minimize in ["", "Minimize=best\n"] {
        let of_both = definitions(&[("10-a.conf", &format!("{target}{minimize}{more}"))]);
        build(&folder, &of_both).unwrap();
        let expected = sha256(&folder.image());
        fs::remove_file(folder.image()).unwrap();
        let fresh = |name: &str| fs::remove_file(folder.0.join("out").join(name)).unwrap();
        folder.outputs().iter().for_each(|name| fresh(name));
        let apart = definitions(&[
            ("10-a.conf", &format!("{target}{minimize}")),
            (
                "20-b.conf",
                &format!("[Partition]\nType=linux-generic\nFormat=squashfs\nSupplementFor=10-a\n{more}"),
            ),
        ]);
        build(&folder, &apart).unwrap();
        assert_eq!(sha256(&folder.image()), expected, "{minimize}");
        folder.outputs().iter().for_each(|name| fresh(name));
    }
}
