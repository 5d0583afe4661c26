use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use ddi_gpt::Guid;

use super::*;
use crate::uki::tests::PeBuilder;
use ddi_core::steps::ProveOptions;
use ddi_core::steps::verity_sets;
use ddi_core::steps::{DissectOptions, DissectionRecord, VeritySettings};
use ddi_testing::{Disk, Set, luks, signature};

/// What the check of `disk`, which `files` are to boot, comes to.
fn check(
    disk: &Disk,
    files: &[UkiFile],
    trusted: &[TrustedRootHash],
    required: Assurance,
) -> Result<CheckReport, MountError> {
    let image = Image::new(Box::new(disk.bytes())).unwrap();
    let verity = VeritySettings::new(None, image.sidecars());
    let dissection = DissectionRecord::new(&image, &DissectOptions::new(verity));
    let mut options = ProveOptions::default();
    options.trusted = trusted;
    let sets = verity_sets(&image, &dissection, &options.bind());
    let contents = Contents::new(&image, &dissection, &sets, &options);
    boot(&image, &sets, &contents, &BootOptions { files, trusted, required })
}

fn of(disk: &Disk, files: &[UkiFile]) -> CheckReport {
    check(disk, files, &[], Assurance::Claimed).unwrap()
}

/// Nothing to compare the command lines with.
fn plain() -> Disk {
    Disk::new().part("root-x86-64", "os", &luks())
}

fn file(builder: &PeBuilder) -> UkiFile {
    UkiFile { name: "a.efi".to_owned(), source: Arc::new(builder.build()) }
}

fn uki(os_release: &[u8], command_line: &str) -> PeBuilder {
    PeBuilder { certificates: (0x400, 8), ..PeBuilder::new() }
        .section(".osrel", os_release)
        .section(".uname", b"6")
        .section(".linux", b"MZ kernel")
        .section(".cmdline", command_line.as_bytes())
}

fn with_profiles(mut builder: PeBuilder, own: &[(&'static str, &[u8])]) -> PeBuilder {
    for _ in 0..uki::MAX_PROFILES {
        builder = builder.section(".profile", b"ID=a");
        for (name, text) in own {
            builder = builder.section(name, text);
        }
    }
    builder
}

fn codes(report: &CheckReport) -> Vec<&'static str> {
    let codes = report.findings.iter().map(|finding| finding.code);
    codes.filter(|code| *code != "system-not-read").collect()
}

fn fact<'r>(report: &'r CheckReport, name: &str) -> &'r [String] {
    &report.facts.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Counts the files of which anything was read.
struct Watched {
    bytes: Vec<u8>,
    is_read: std::sync::atomic::AtomicBool,
    read: Arc<AtomicUsize>,
}

impl ReadAt for Watched {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if !self.is_read.swap(true, Ordering::Relaxed) {
            self.read.fetch_add(1, Ordering::Relaxed);
        }
        self.bytes[..].read_exact_at(offset, buf)
    }
}

#[test]
fn no_more_files_than_the_limit() {
    let read = Arc::new(AtomicUsize::new(0));
    let bytes = uki(b"ID=a\n", "quiet").build();
    let files: Vec<_> = (0..MAX_FILES + 9)
        .map(|number| {
            let (bytes, read) = (bytes.clone(), Arc::clone(&read));
            let source = Arc::new(Watched { bytes, is_read: false.into(), read });
            UkiFile { name: format!("{number}.efi"), source }
        })
        .collect();
    let report = of(&plain(), &files);
    assert_eq!((codes(&report), report.passed()), (vec!["too-many-files"], false));
    assert_eq!((fact(&report, "ukis").len(), read.load(Ordering::Relaxed)), (MAX_FILES, MAX_FILES));
    let report = of(&plain(), &files[..MAX_FILES]);
    assert_eq!((codes(&report), report.passed()), (vec![], true));
}

#[test]
fn no_more_text_than_the_limit() {
    let mut large = uki(b"ID=a\n", "quiet");
    for _ in 0..60 {
        large = large.section(".sbat", &[b' '; uki::MAX_TEXT as usize]);
    }
    let files = vec![file(&large); 5];
    let report = of(&plain(), &files[..4]);
    assert_eq!(codes(&report), ["section-duplicate"; 4]);
    let report = of(&plain(), &files);
    assert_eq!(codes(&report)[4..], ["too-much-text"]);
    assert_eq!(fact(&report, "ukis").len(), 4);
}

/// 256 profiles with the longest command line, in as many files as there may be.
#[test]
fn no_more_facts_than_the_limit() {
    let line = "a b ".repeat(10_000);
    let long = file(&with_profiles(uki(b"ID=a\n", &line), &[]));
    let report = of(&plain(), &vec![long; 20]);
    assert_eq!((codes(&report), report.passed()), (vec!["facts-left-out"], true));
    let bytes: usize = report.facts.iter().flat_map(|(_, values)| values).map(String::len).sum();
    assert!((MAX_FACTS / 2..=MAX_FACTS).contains(&bytes), "{bytes}");
    let profiles = fact(&report, "profiles");
    assert!(profiles[0].starts_with("a.efi @0: ID=a a b a b ") && profiles[0].ends_with("a b …"));
    assert!(profiles.iter().all(|text| text.len() < MAX_WORDS + 100));
    let id = "é".repeat(20_000);
    let report = of(&plain(), &[file(&uki(format!("ID={id}\n").as_bytes(), "quiet"))]);
    assert!(fact(&report, "ukis")[0].ends_with("é…") && fact(&report, "ukis")[0].len() < 2 * MAX_FIELD);
}

/// A section of the base is looked at once, not once for each profile.
#[test]
fn each_section_once() {
    let base = uki(b"ID=\xff\n", &format!("roothash={}", "11".repeat(32))).section(".pcrsig", b"(");
    let report = of(&plain(), &[file(&with_profiles(base, &[]))]);
    let number = |code| codes(&report).iter().filter(|known| **known == code).count();
    assert_eq!(["osrel-invalid", "pcrsig-invalid", "root-hash-without-tree"].map(number), [1; 3]);
    assert_eq!(number("profile-without-pcrsig"), 255);
    // each of these has its own
    let own =
        with_profiles(uki(b"ID=a\n", "quiet"), &[(".osrel", b"ID=\xff\n"), (".cmdline", b"roothash=x")]);
    let report = of(&plain(), &[file(&own)]);
    let number = |code| codes(&report).iter().filter(|known| **known == code).count();
    assert_eq!(["osrel-invalid", "root-hash-invalid"].map(number), [256; 2]);
}

/// The GUIDs are compared with the command line, not with what was put together from the GUIDs themselves.
#[test]
fn guids_and_signatures() {
    let (set, other) = (Set::new(luks()), Set::new(vec![7; 40_960]));
    let named = |set: &Set| [file(&uki(b"ID=a\n", &format!("roothash={}", set.root)))];
    let told = |disk: &Disk| {
        let report = of(disk, &named(&set));
        (
            codes(&report),
            fact(&report, "chain").first().map(|text| text.rsplit(", ").nth(1).unwrap().to_owned()),
        )
    };
    let consistent = |signed: &str| Some(format!("{signed}: consistent"));
    let unsigned = Disk::new().pair("root-x86-64", "os", &set);
    let with_signature = |content: &[u8]| unsigned.clone().part("root-x86-64-verity-sig", "os", content);
    let signed = with_signature(&set.signature);
    assert_eq!(told(&unsigned), (vec![], consistent("no signature")));
    assert_eq!(told(&signed), (vec![], consistent("named by a signature too")));
    for disk in [&unsigned, &signed] {
        for number in [1, 2] {
            let moved = disk.clone().edit_number(number, |part| part.guid = Guid::from_u128(77));
            assert_eq!(told(&moved), (vec!["not-proven", "root-hash-guids"], None), "{number}");
        }
    }
    let foreign = told(&with_signature(&signature(&other.root)));
    assert_eq!(foreign, (vec!["not-proven", "signature-other-root-hash"], consistent("no signature")));
    let garbage = told(&with_signature(&[b'x'; 4096]));
    assert_eq!(garbage, (vec!["signature-invalid"], consistent("no good signature")));
}

/// The digits of a root hash with one bit changed.
fn with_bit(root: &RootHash, bit: usize) -> RootHash {
    let mut digits = root.to_string().into_bytes();
    let digit = char::from(digits[bit / 4]).to_digit(16).unwrap() ^ (1 << (bit % 4));
    digits[bit / 4] = char::from_digit(digit, 16).unwrap() as u8;
    str::from_utf8(&digits).unwrap().parse().unwrap()
}

/// Root hashes of 32 and of 64 bytes.
fn sets() -> [Set; 2] {
    let with = |algorithm| Set::with(luks(), ddi_verity::HashType::Normal, algorithm, 4096);
    [with(ddi_verity::Algorithm::Sha256), with(ddi_verity::Algorithm::Sha512)]
}

/// On the command line, of what the caller gave, and in the signature partition.
#[test]
fn d7_each_bit_of_a_root_hash_counts() {
    for set in sets() {
        let bits = set.root.as_bytes().len() * 8;
        let disk = Disk::new().pair("root-x86-64", "os", &set);
        let named = |root: &RootHash| [file(&uki(b"ID=a\n", &format!("roothash={root}")))];
        assert_eq!(codes(&of(&disk, &named(&set.root))), [""; 0]);
        for bit in 0..bits {
            let other = with_bit(&set.root, bit);
            let report = of(&disk, &named(&other));
            assert_eq!(codes(&report), ["root-hash-differs", "set-not-named"], "bit {bit} of {bits}");
            let trusted = [TrustedRootHash::by_caller(other, Role::Root)];
            let report = check(&disk, &named(&set.root), &trusted, Assurance::Claimed).unwrap();
            let expected = ["not-proven", "root-hash-not-given", "given-hash-not-named"];
            assert_eq!(codes(&report), expected, "bit {bit} of {bits}");
            let signed = disk.clone().part("root-x86-64-verity-sig", "os", &signature(&other));
            let found = codes(&of(&signed, &named(&set.root)));
            assert!(found.contains(&"signature-other-root-hash"), "bit {bit} of {bits}: {found:?}");
        }
    }
}

#[test]
fn d7_each_bit_of_a_guid_counts() {
    for set in sets() {
        let disk = Disk::new().pair("root-x86-64", "os", &set);
        let files = [file(&uki(b"ID=a\n", &format!("roothash={}", set.root)))];
        for number in [1, 2] {
            for bit in 0..128 {
                let moved = disk.clone().edit_number(number, |part| {
                    part.guid = Guid::from_u128(part.guid.to_u128() ^ (1 << bit));
                });
                let found = codes(&of(&moved, &files));
                assert!(found.contains(&"root-hash-guids"), "bit {bit} of partition {number}: {found:?}");
            }
        }
    }
}

/// What was asked for is asked of the system and of the command line.
#[test]
fn what_is_demanded() {
    let (set, other) = (Set::new(luks()), Set::new(vec![7; 40_960]));
    let disk = Disk::new().set("root-x86-64", "os", &set);
    let files = [file(&uki(b"ID=a\n", &format!("roothash={}", set.root)))];
    let told = |set: Option<&Set>, required| {
        let trusted: Vec<_> =
            set.map(|set| TrustedRootHash::by_caller(set.root, Role::Root)).into_iter().collect();
        let report = check(&disk, &files, &trusted, required).unwrap();
        let is_given = fact(&report, "chain").iter().any(|text| text.contains("as it was given, "));
        (codes(&report), is_given)
    };
    let authenticated = Assurance::Authenticated;
    assert_eq!(told(None, Assurance::Claimed), (vec![], false));
    assert_eq!(told(Some(&set), Assurance::Claimed), (vec![], true));
    // what is encrypted was not read, so nobody vouches for what is compared
    assert_eq!(told(Some(&set), authenticated), (vec!["not-authenticated"], true));
    assert_eq!(told(None, authenticated), (vec!["not-authenticated"], false));
    let others = vec!["not-proven", "root-hash-not-given", "given-hash-not-named"];
    assert_eq!(told(Some(&other), authenticated), (others, false));
}

/// A system that nobody can read is a note; one that is refused or does not match is an error; one that breaks its own
/// rules cannot be told.
#[test]
fn the_system() {
    let files = [file(&uki(b"ID=a\n", "quiet"))];
    let codes_of = |disk: &Disk| -> Result<Vec<&'static str>, &'static str> {
        let report = check(disk, &files, &[], Assurance::Claimed).map_err(|error| error.code())?;
        Ok(report.findings.iter().map(|finding| finding.code).collect())
    };
    let root = |content: &[u8]| Disk::new().part("root-x86-64", "os", content);
    assert_eq!(codes_of(&plain()), Ok(vec!["system-not-read"]));
    assert_eq!(codes_of(&root(&[7; 8192])), Ok(vec!["system-not-read"]));
    let refused = plain().part("usr-arm64", "usr", &luks());
    assert_eq!(codes_of(&refused), Ok(vec!["image-refused"]));
    assert_eq!(codes_of(&root(&ddi_testing::erofs_without_root(20, 1))), Err("corrupt-file-system"));
    let damaged = Disk::new().pair("root-x86-64", "os", &Set::new(luks()));
    let damaged = damaged.edit_number(1, |part| part.content[9] ^= 1);
    assert!(codes_of(&damaged).unwrap().contains(&"not-proven"));
}
