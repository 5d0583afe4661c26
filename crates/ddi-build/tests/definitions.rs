//! Definitions that are wrong, hostile or merely unusual: one clear error with its place.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Instant;

use ddi_build::{
    Compatibility, DefinitionFault, DefinitionOptions, Definitions, Error, ErrorKind, Format, ImageSize,
    MAX_DEFINITIONS, Plan, PlanFault, PlanOptions, Root,
};
use ddi_gpt::{Architecture, Guid};

fn options() -> DefinitionOptions {
    DefinitionOptions::new().native(Architecture::X86_64)
}

fn parse(text: &str) -> Result<Definitions, Error> {
    Definitions::from_texts([("10-a.conf", format!("[Partition]\n{text}").as_str())], &options())
}

#[track_caller]
fn assert_error(text: &str, expected: &str) {
    match parse(text) {
        Ok(_) => panic!("{text:?} was taken"),
        Err(error) => assert_eq!(error.to_string(), expected, "{text:?}"),
    }
}

#[test]
fn each_fault_has_its_line() {
    assert_error("", "10-a.conf: no Type=");
    assert_error("Type=home\nWeigth=1", "10-a.conf:3: unknown key Weigth=");
    assert_error("Type=home\nLabel=a\nnonsense", "10-a.conf:4: is neither a section nor a setting");
    assert_error("Type=nonsense", "10-a.conf:2: Type=nonsense: is no partition type");
    assert_error("Type=home\n[Install]\nA=b", "10-a.conf:3: unknown section [Install]");
    assert_error("Type=home\nWeight=1000001", "10-a.conf:3: Weight=1000001: is not within 0 to 1000000");
    assert_error("Type=home\nSizeMinBytes=16E", "10-a.conf:3: SizeMinBytes=16E: is over 2^64 - 1");
    assert_error(
        "Type=home\nSizeMinBytes=18446744073709551615",
        "10-a.conf:3: SizeMinBytes=18446744073709551615: is over 2^64 - 1",
    );
    assert_error(
        "Type=home\nSizeMaxBytes=1M\nSizeMinBytes=2M",
        "10-a.conf:4: SizeMinBytes= is 2097152, over the greatest, 1048576",
    );
    assert_error(
        "Type=home\nLabel=0123456789012345678901234567890123456",
        "10-a.conf:3: Label=0123456789012345678901234567890123456: is over 36 UTF-16 units, or has a NUL",
    );
    assert_error(
        "Type=home\nLabel=%H",
        "10-a.conf:3: Label=%H: %H is of the machine that builds, and would make another image elsewhere",
    );
    assert_error(
        "Type=home\nCopyBlocks=a",
        "10-a.conf:3: CopyBlocks=a: is no absolute path without . and ..",
    );
    assert_error(
        "Type=home\nCopyFiles=/a:/../b",
        "10-a.conf:3: CopyFiles=/a:/../b: is no absolute path without . and ..",
    );
    assert_error("Type=home\nUUID=1", "10-a.conf:3: UUID=1: is no UUID");
    assert_error("Type=home\nReadOnly=perhaps", "10-a.conf:3: ReadOnly=perhaps: is neither yes nor no");
    assert_error(
        "Type=root-verity\nVerityHashBlockSizeBytes=8192",
        "10-a.conf:3: VerityHashBlockSizeBytes=8192: is no power of two from 512 to 4096",
    );
    assert_error(
        "Type=home\nCopyBlocks=/a\nFormat=ext4",
        "10-a.conf:3: CopyBlocks= and Format exclude each other",
    );
    assert_error(
        "Type=home\nFormat=erofs",
        "10-a.conf:3: a read-only file system needs CopyFiles= or MakeDirectories=",
    );
    assert_error(
        "Type=home\nFormat=ext4\nMinimize=best",
        "10-a.conf:4: Minimize=best needs a read-only file system",
    );
    assert_error("Type=home\nMinimize=guess", "10-a.conf:3: Minimize= needs Format= or Verity=hash");
    assert_error("Type=root\nVerity=data", "10-a.conf:3: Verity= needs VerityMatchKey=");
    assert_error("Type=root\nVerityMatchKey=k", "10-a.conf:3: VerityMatchKey= needs Verity=");
    assert_error(
        "Type=root\nVerity=data\nVerityMatchKey=k",
        "10-a.conf:4: VerityMatchKey=k: no definition has Verity=hash",
    );
    assert_error("Type=home\nSupplementFor=b", "10-a.conf:3: SupplementFor=b: there is no such definition");
    // what a terminal would take for something else
    assert_error("Type=home\na\x1b[31m=1", "10-a.conf:3: unknown key a\\u{1b}[31m=");
}

#[test]
fn what_is_known_and_not_done_can_be_planned_and_not_built() {
    for (text, message) in [
        ("Type=var\nSubvolumes=/a", "10-a.conf:3: Subvolumes= is not supported"),
        ("Type=var\nEncrypt=tpm2", "10-a.conf:3: Encrypt= is not supported"),
        ("Type=var\nFormat=btrfs", "10-a.conf:3: Format=btrfs is not supported"),
        ("Type=root\nCopyBlocks=auto", "10-a.conf:3: CopyBlocks=auto is not supported"),
        ("Type=var\nMountPoint=/x", "10-a.conf:3: MountPoint= is not supported"),
        ("Type=home\nAddValidateFS=yes", "10-a.conf:3: AddValidateFS=yes is not supported"),
    ] {
        let error = parse(text).unwrap().check_buildable().unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (message, ErrorKind::Unsupported));
    }
    parse("Type=var\nSubvolumes=\nAddValidateFS=no").unwrap().check_buildable().unwrap();
}

#[test]
fn file_systems_follow_from_other_settings() {
    let format = |text| parse(text).unwrap().iter().next().unwrap().format().cloned();
    assert_eq!(format("Type=home"), None);
    assert_eq!(format("Type=swap"), Some(Format::Swap));
    assert_eq!(format("Type=esp\nCopyFiles=/efi:/"), Some(Format::Vfat));
    assert_eq!(format("Type=home\nMakeDirectories=/a"), Some(Format::Ext4));
    assert_eq!(format("Type=home\nEncrypt=key-file"), Some(Format::Ext4));
}

/// 100,000 lines are read in a moment, and more than can be is an error.
#[test]
fn large_definitions() {
    let begin = Instant::now();
    let mut text = String::from("[Partition]\nType=root\nFormat=erofs\n");
    for line in 0..100_000 {
        text.push_str(&format!("CopyFiles=/a{line}\n"));
    }
    let definitions = Definitions::from_texts([("10-a.conf", &*text)], &options()).unwrap();
    assert_eq!(definitions.len(), 1);
    text.push_str("nonsense");
    let error = Definitions::from_texts([("10-a.conf", &*text)], &options()).unwrap_err();
    assert_eq!(error.place().unwrap().line, 100_004);
    assert!(begin.elapsed().as_secs() < 20);

    let folder = Folder::new("large");
    let line = "#".repeat(1 << 20) + "\n";
    fs::write(folder.0.join("a.conf"), line.repeat(5)).unwrap();
    let error = Definitions::from_folders([&folder.0], &options()).unwrap_err();
    assert!(matches!(error, Error::Definition { fault: DefinitionFault::TooLarge { .. }, .. }), "{error}");
}

#[test]
fn no_more_definitions_than_a_table_could_hold() {
    let names: Vec<String> = (0..=MAX_DEFINITIONS).map(|number| format!("{number:04}.conf")).collect();
    let texts = names.iter().map(|name| (&**name, "[Partition]\nType=srv\n"));
    let error = Definitions::from_texts(texts.clone(), &options()).unwrap_err();
    assert!(matches!(error, Error::TooMany { what: "definitions", max: MAX_DEFINITIONS }), "{error}");
    let definitions = Definitions::from_texts(texts.take(129), &options()).unwrap();
    let error = Plan::new(&definitions, &PlanOptions::new(Guid::from_u128(1))).unwrap_err();
    assert!(
        matches!(error, Error::Plan(PlanFault::TooManyPartitions { count: 129, entries: 128 })),
        "{error}"
    );
}

/// Sizes near 2^64 in every place: an error or a plan, never a wrap.
#[test]
fn sizes_at_the_top_of_the_range() {
    let sizes = ["0", "1", "4096", "8E", "15E", "18446744073709547520", "9223372036854775807"];
    for min in sizes {
        for padding in sizes {
            for compatibility in [Compatibility::Repart257, Compatibility::Repart262, Compatibility::Current]
            {
                let text = format!(
                    "[Partition]\nType=home\nSizeMinBytes={min}\nPaddingMinBytes={padding}\nWeight=1000000\n"
                );
                let texts = [("10-a.conf", &*text), ("20-b.conf", &*text)];
                let definitions =
                    Definitions::from_texts(texts, &options().compatibility(compatibility)).unwrap();
                for size in [0, 4 << 20, 1 << 40, 1 << 62, u64::MAX]
                    .map(ImageSize::Bytes)
                    .into_iter()
                    .chain([ImageSize::Auto])
                {
                    let options = PlanOptions::new(Guid::from_u128(1)).size(size);
                    let Ok(plan) = Plan::new(&definitions, &options) else { continue };
                    let (_, end) = (0, plan.geometry().size);
                    for partition in plan.partitions() {
                        assert!(partition.offset.checked_add(partition.size).unwrap() <= end);
                    }
                }
            }
        }
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ddi-definitions-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn folders_masks_and_drop_ins() {
    let folder = Folder::new("folders");
    folder.write("etc/repart.d/10-a.conf", "[Partition]\nType=var\n");
    folder.write("usr/lib/repart.d/10-a.conf", "[Partition]\nType=home\n");
    folder.write("usr/lib/repart.d/10-a.conf.d/50-x.conf", "[Partition]\nLabel=far\n");
    folder.write("etc/repart.d/10-a.conf.d/50-x.conf", "[Partition]\nLabel=near\n");
    folder.write("etc/repart.d/10-a.conf.d/60-masked.conf", "");
    folder.write("usr/lib/repart.d/10-a.conf.d/60-masked.conf", "[Partition]\nLabel=masked\n");
    folder.write("usr/lib/repart.d/20-b.conf", "[Partition]\nType=srv\n");
    symlink("/dev/null", folder.0.join("etc/repart.d/20-b.conf")).unwrap();
    folder.write("usr/lib/repart.d/30-c.conf", "[Partition]\nType=swap\n");
    folder.write("usr/lib/repart.d/README", "nonsense");
    let found = Definitions::from_root(&Root::open(&folder.0).unwrap(), &options()).unwrap();
    let plan = Plan::new(&found, &PlanOptions::new(Guid::from_u128(1))).unwrap();
    let labels: Vec<&str> = plan.partitions().iter().map(|partition| &*partition.label).collect();
    assert_eq!(labels, ["near", "swap"]);
    assert_eq!(found.iter().next().unwrap().drop_ins().count(), 1);
    // a link that leads nowhere is told
    symlink("nowhere", folder.0.join("etc/repart.d/40-d.conf")).unwrap();
    assert_eq!(
        Definitions::from_root(&Root::open(&folder.0).unwrap(), &options()).unwrap_err().kind(),
        ErrorKind::Io
    );
    fs::remove_file(folder.0.join("etc/repart.d/40-d.conf")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.0.join("etc/repart.d/50.conf"), 0o600.into()).unwrap();
    let error = Definitions::from_root(&Root::open(&folder.0).unwrap(), &options()).unwrap_err();
    assert!(error.to_string().ends_with("50.conf: is neither a file nor a link to /dev/null"), "{error}");
}

/// Links in a root lead to what is in it, absolute ones too, and never to what is outside.
#[test]
fn definitions_of_a_root_are_those_in_it() {
    let folder = Folder::new("below");
    folder.write("outside/10-a.conf", "[Partition]\nType=home\n");
    folder.write("root/usr/share/definitions/10-a.conf", "[Partition]\nType=var\n");
    fs::create_dir_all(folder.0.join("root/etc/repart.d")).unwrap();
    let root = Root::open(folder.0.join("root")).unwrap();
    let found = || {
        let list = Definitions::from_root(&root, &options());
        list.map(|list| list.iter().map(|it| it.partition_type().name()).collect::<Vec<_>>())
    };
    let link = |target: &str, name: &str| symlink(target, folder.0.join("root").join(name)).unwrap();
    // a file, by an absolute link
    link("/usr/share/definitions/10-a.conf", "etc/repart.d/10-a.conf");
    assert_eq!(found().unwrap(), ["var"]);
    // a folder
    link("/usr/share/definitions", "usr/lib");
    fs::remove_file(folder.0.join("root/usr/lib")).unwrap();
    fs::create_dir_all(folder.0.join("root/usr/lib")).unwrap();
    link("../../../../../../usr/share/definitions", "usr/lib/repart.d");
    assert_eq!(found().unwrap(), ["var"]);
    // out of it, there is nothing
    let outside = folder.0.join("outside/10-a.conf").into_os_string().into_string().unwrap();
    link(&outside, "etc/repart.d/20-b.conf");
    assert_eq!(found().unwrap_err().kind(), ErrorKind::Io);
    fs::remove_file(folder.0.join("root/etc/repart.d/20-b.conf")).unwrap();
    link("../../../../../outside/10-a.conf", "etc/repart.d/20-b.conf");
    assert_eq!(found().unwrap_err().kind(), ErrorKind::Io);
    fs::remove_file(folder.0.join("root/etc/repart.d/20-b.conf")).unwrap();
    // a mask is one, whether there is a /dev in the root or not
    link("/dev/null", "etc/repart.d/15-c.conf");
    fs::remove_file(folder.0.join("root/etc/repart.d/10-a.conf")).unwrap();
    link("/dev/null", "etc/repart.d/10-a.conf");
    assert_eq!(found().unwrap(), [""; 0]);
    folder.write("root/dev/null", "[Partition]\nType=srv\n");
    assert_eq!(found().unwrap(), [""; 0]);
}

/// A signature that nobody makes is refused with the plan, unless it is deferred.
#[test]
fn a_plan_is_refused_if_nobody_signs() {
    let texts = [
        (
            "10-usr.conf",
            "[Partition]\nType=usr\nVerity=data\nVerityMatchKey=k\nSizeMinBytes=1M\nSizeMaxBytes=1M\n",
        ),
        ("20-hash.conf", "[Partition]\nType=usr-verity\nVerity=hash\nVerityMatchKey=k\n"),
        ("30-sig.conf", "[Partition]\nType=usr-verity-sig\nVerity=signature\nVerityMatchKey=k\n"),
    ];
    let definitions = Definitions::from_texts(texts, &options()).unwrap();
    let plan = PlanOptions::new(Guid::from_u128(1));
    assert!(Plan::new(&definitions, &plan).is_ok());
    for error in [
        Plan::new(&definitions, &plan.clone().signer(false)).unwrap_err(),
        definitions.check_signer(&[]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Plan);
        assert_eq!(error.to_string(), "30-sig.conf:3: a signature needs a key and a certificate");
    }
    let signature = options().partition_type("usr-verity-sig").unwrap();
    assert!(definitions.check_signer(&[signature]).is_ok());
    assert!(Plan::new(&definitions, &plan.signer(false).defer([signature])).is_ok());
}

/// What systemd-repart refuses of supplements.
#[test]
fn supplements_have_one_target_that_can_take_them() {
    let refused = |first: &str, second: &str, third: &str| {
        let texts = [("10-a.conf", first), ("20-b.conf", second), ("30-c.conf", third)];
        let texts = texts.map(|(name, text)| (name, format!("[Partition]\n{text}")));
        let texts =
            texts.iter().filter(|(_, text)| text.len() > 12).map(|(name, text)| (*name, text.as_str()));
        Definitions::from_texts(texts, &options()).unwrap_err().to_string()
    };
    let supplement = "Type=var\nSupplementFor=10-a\n";
    assert_eq!(
        refused("Type=var\n", supplement, supplement),
        "30-c.conf:3: SupplementFor=10-a: that is a supplement itself, or has one already"
    );
    assert_eq!(
        refused("Type=var\nSupplementFor=20-b\n", supplement, ""),
        "10-a.conf:3: SupplementFor=20-b: that is a supplement itself, or has one already"
    );
    for (target, more) in [
        ("CopyBlocks=/x\n", ""),
        ("Encrypt=tpm2\n", ""),
        ("", "Encrypt=tpm2\n"),
        ("", "CopyBlocks=/x\n"),
        ("SizeMaxBytes=1M\n", "SizeMinBytes=2M\n"),
        ("PaddingMinBytes=2M\n", "PaddingMaxBytes=1M\n"),
    ] {
        let message = refused(&format!("Type=var\n{target}"), &format!("{supplement}{more}"), "");
        assert!(message.starts_with("20-b.conf:3: "), "{message}");
    }
}

/// Where the rules of the newest version are better than what systemd-repart does.
#[test]
fn faults_of_repart_are_kept_only_on_request() {
    let text = "[Partition]\nType=home\nFlags=0x4\nGrowFileSystem=no\n";
    let attributes = |compatibility| {
        let options = options().compatibility(compatibility);
        let definitions = Definitions::from_texts([("10-a.conf", text)], &options).unwrap();
        Plan::new(&definitions, &PlanOptions::new(Guid::from_u128(1))).unwrap().partitions()[0].attributes.0
    };
    assert_eq!(attributes(Compatibility::Repart257), 0);
    assert_eq!(attributes(Compatibility::Repart262), 0);
    assert_eq!(attributes(Compatibility::Current), 4);
}
