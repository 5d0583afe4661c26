use ddi_gpt::{Attributes, Name};
use ddi_io::ReadAt;
use proptest::prelude::*;

use super::*;
use crate::dissect::{DissectOptions, VeritySettings};
use crate::image::Image;
use crate::image::file::Sidecars;
use crate::prove::{ContentRule, ProveOptions, Scope, prove};
use crate::steps::{DissectionRecord, Skipped};
use crate::testing::{Disk, DiskImage as _, Set, erofs, image, mbr, signature};
use crate::trust::{KnownRootHash, Role, RootHashOrigin, TrustedRootHash};

const ROOT: &str = "root-x86-64";
const USR: &str = "usr-x86-64";

fn report(image: &Image) -> Report {
    let mut options = ReportOptions::new(image);
    options.dissect.native = Some(Architecture::X86_64);
    Report::new(image, &options)
}

/// Codes with the partition they are about.
fn codes(image: &Image) -> Vec<(&'static str, Option<u32>)> {
    report(image).findings.iter().map(|finding| (finding.code(), finding.partition)).collect()
}

#[test]
fn a_good_image_has_no_errors() {
    let image = Disk::new().set(ROOT, "os_1", &Set::new(erofs(8, 1))).part("esp", "", &[0; 4096]).image();
    let report = report(&image);
    assert!(!report.broken());
    assert_eq!(codes(&image), [("signature-not-checked", Some(3))]);
    assert_eq!((report.kind, report.condition), (ImageKind::Gpt, Some(Condition::Intact)));
    assert_eq!((report.uuid, report.architecture), (Some(Guid::from_u128(1)), Some(Architecture::X86_64)));
    let rows: Vec<_> =
        report.mounts.iter().map(|m| (m.designator.name(), m.fstype, m.verity, m.rw, m.number)).collect();
    assert_eq!(
        rows,
        [
            ("root", Some("erofs"), Some(VerityColumn::Signed), false, Some(1)),
            ("esp", Some("vfat"), None, true, Some(4)),
            ("root-verity", Some("DM_verity_hash"), None, false, Some(2)),
            ("root-verity-sig", Some("verity_hash_signature"), None, false, Some(3)),
        ]
    );
    let contents: Vec<_> = report.partitions.iter().map(|partition| partition.content.type_name()).collect();
    assert_eq!(contents, [Some("erofs"), Some("DM_verity_hash"), Some("verity_hash_signature"), None]);
    let set = &report.verity[0];
    assert_eq!(
        (set.guids_match, set.selected, set.tree_root),
        (Some(true), true, set.root_hash.map(|k| k.hash))
    );
}

/// An ISO 9660 image that is a disk too: both readings are told.
#[test]
fn a_table_over_something_else() {
    let mut bytes = Disk::new().part("esp", "", &[0; 1 << 16]).bytes();
    let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    let volume = 32 << 10;
    put(volume, b"\x01CD001\x01");
    put(volume + 40, b"VOLUME  ");
    put(volume + 128, &[0, 8]);
    put(volume + 156 + 2, &[18]);
    put(volume + 156 + 10, &[0, 8]);
    put(18 * 2048, &[34, 0, 18]);
    put(18 * 2048 + 32, &[1, 0]);
    let image = image(bytes);
    assert_eq!(report(&image).kind, ImageKind::Gpt);
    assert!(codes(&image).contains(&("table-over", None)), "{:?}", codes(&image));
}

/// A hash tree whose root hash nobody names but the GUIDs is one that systemd-dissect 257 says nothing of.
#[test]
fn f2_a_tree_without_root_hash_is_not_used() {
    let set = Set::new(erofs(8, 1));
    let column = |image: &Image| report(image).mounts[0].verity.unwrap();
    let unsigned = Disk::new().pair(ROOT, "", &set);
    assert_eq!((column(&unsigned.image()), VerityColumn::Unused.name()), (VerityColumn::Unused, "no"));
    let hash = KnownRootHash { hash: set.root, role: Role::Root, origin: RootHashOrigin::Sidecar };
    let named = unsigned.beside(Sidecars { root_hashes: vec![hash], ..Sidecars::default() });
    assert_eq!(column(&named), VerityColumn::Yes);
    assert_eq!(column(&Disk::new().set(ROOT, "", &set).image()), VerityColumn::Signed);
    assert_eq!(column(&Disk::new().part(ROOT, "", &set.data).image()), VerityColumn::No);
}

#[test]
fn f4_what_is_not_mounted_is_an_error() {
    let ntfs = ddi_testing::planted::image(&[fs::FsKind::Ntfs]);
    for (image, partition) in [
        (Disk::new().part(ROOT, "", &ntfs).image(), Some(1)),
        (Disk::new().part(ROOT, "", &erofs(8, 1)).part("home", "", &ntfs).image(), Some(2)),
        (Disk::new().part(ROOT, "", &[0; 4096]).image(), Some(1)),
        (image(ntfs.clone()), None),
    ] {
        let report = report(&image);
        assert!(codes(&image).contains(&("not-mountable", partition)) && report.broken());
    }
    assert!(!codes(&Disk::new().part("esp", "", &ntfs).image()).contains(&("not-mountable", Some(1))));
    // one that is yet to be formatted
    let empty = Disk::new().part(ROOT, "", &erofs(8, 1)).part("var", "", &[0; 4096]).image();
    assert!(codes(&empty).contains(&("not-mountable", Some(2))) && !report(&empty).broken());
}

/// One broken thing an image, and what is told of it.
#[test]
fn each_kind_has_its_code() {
    let (set, other, fs) = (Set::new(erofs(8, 1)), Set::new(erofs(8, 2)), erofs(8, 3));
    let root = || Disk::new().set(ROOT, "", &set);
    let edited = |disk: Disk, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = disk.bytes();
        change(&mut bytes);
        image(bytes)
    };
    let units = |text: &[u16]| {
        let mut units = [0; Name::UNITS];
        units[..text.len()].copy_from_slice(text);
        Name::from_units(units)
    };
    let named = |name: Name| Disk::new().part("home", "", &fs).edit(|part| part.name = name).image();
    let known = |hash, role, origin| KnownRootHash { hash, role, origin };
    let (xattr, sidecar) = (RootHashOrigin::Xattr, RootHashOrigin::Sidecar);
    let cases: Vec<(Image, &str, Option<u32>, Severity)> = vec![
        (edited(root(), &|b| b[520] ^= 1), "primary-table", None, Severity::Error),
        (
            edited(root(), &|b| {
                let end = b.len();
                b[end - 500] ^= 1;
            }),
            "backup-table",
            None,
            Severity::Warning,
        ),
        (edited(root(), &|b| b.resize(b.len() + 4096, 0)), "gpt-disk-grown", None, Severity::Warning),
        (edited(root(), &|b| b[462 + 4] = 0x83), "gpt-hybrid-mbr", None, Severity::Warning),
        (edited(root(), &|b| b[36 * 512] = 1), "gap-not-zero", None, Severity::Warning),
        (Disk::new().part(ROOT, "", &fs).image(), "unprotected", Some(1), Severity::Warning),
        (image(fs.clone()), "unprotected", None, Severity::Warning),
        (Disk::new().pair(ROOT, "", &set).image(), "unsigned", Some(2), Severity::Note),
        (Disk::new().pair(ROOT, "", &set).image(), "root-hash-guessed", Some(2), Severity::Note),
        (Disk::new().set("root-arm64", "", &set).image(), "foreign-architecture", Some(1), Severity::Note),
        (
            root().edit_number(1, |part| part.guid = Guid::from_u128(7)).image(),
            "binding-guid",
            Some(1),
            Severity::Error,
        ),
        (
            root().edit_number(2, |part| part.content[4096] ^= 1).image(),
            "binding-tree",
            Some(2),
            Severity::Error,
        ),
        (
            Disk::new()
                .pair(ROOT, "", &set)
                .part("root-x86-64-verity-sig", "", &signature(&other.root))
                .image(),
            "binding-guid",
            Some(1),
            Severity::Error,
        ),
        (
            root().edit_number(3, |part| part.content.fill(0)).image(),
            "signature-partition-empty",
            Some(3),
            Severity::Error,
        ),
        (
            root().edit_number(2, |part| part.content[0] = 0).image(),
            "verity-signature",
            Some(2),
            Severity::Error,
        ),
        (
            Disk::new().set(ROOT, "", &Set::new(vec![0; 8 * 4096])).image(),
            "unrecognised-content",
            Some(2),
            Severity::Warning,
        ),
        (
            Disk::new().part(ROOT, "", &fs[..4 * 4096]).image(),
            "file-system-too-large",
            Some(1),
            Severity::Error,
        ),
        (
            Disk::new()
                .set(USR, "1", &set)
                .set(USR, "2", &other)
                .edit_number(1, |p| p.name = "3".parse().unwrap())
                .image(),
            "versions-mixed",
            Some(1),
            Severity::Error,
        ),
        (
            Disk::new().set(ROOT, "", &set).set(USR, "", &other).image(),
            "root-and-usr-verity",
            None,
            Severity::Error,
        ),
        (named(units(&[0x41, 0xd800])), "label", Some(1), Severity::Warning),
        (named(units(&[0x41, 0x1b])), "label", Some(1), Severity::Warning),
        (named(units(&[0x41, 0x202e])), "label", Some(1), Severity::Warning),
        (named(units(&[0x41, 0, 0x42])), "gpt-hidden-name", None, Severity::Warning),
        (
            Disk::new()
                .part("home", "", &fs)
                .edit(|part| part.type_guid = Guid::from_u128(9))
                .part(ROOT, "", &fs)
                .image(),
            "unknown-type",
            Some(1),
            Severity::Note,
        ),
        (
            Disk::new().part(ROOT, "", &fs).part(ROOT, "PRT#", &fs).image(),
            "not-chosen",
            Some(2),
            Severity::Warning,
        ),
        (
            Disk::new().part(ROOT, "1", &fs).part(ROOT, "2", &fs).image(),
            "not-chosen",
            Some(1),
            Severity::Note,
        ),
        (
            root().beside(Sidecars {
                root_hashes: vec![known(set.root, Role::Root, xattr), known(other.root, Role::Root, sidecar)],
                ..Default::default()
            }),
            "root-hashes-differ",
            None,
            Severity::Warning,
        ),
        (
            Disk::new().part(ROOT, "", &fs).beside(Sidecars {
                root_hashes: vec![known(set.root, Role::Usr, sidecar)],
                ..Default::default()
            }),
            "beside-unused",
            None,
            Severity::Note,
        ),
        (
            edited(Disk::new().part(ROOT, "", &fs), &|b| {
                b[..4].copy_from_slice(b"hsqs");
                b[28] = 4;
            }),
            "table-behind-file-system",
            None,
            Severity::Warning,
        ),
        (
            edited(Disk::new().part(ROOT, "", &fs), &|b| b[446..462].copy_from_slice(&[0; 16])),
            "gpt-behind-mbr",
            None,
            Severity::Warning,
        ),
        (image(vec![0; 4096]), "nothing-recognised", None, Severity::Error),
        (image(mbr(&[(0x80, 0x83, 1, 9999)])), "mbr-outside-disk", None, Severity::Error),
    ];
    for (number, (image, code, partition, severity)) in cases.into_iter().enumerate() {
        let report = report(&image);
        let found = report.findings.iter().find(|f| f.code() == code && f.partition == partition);
        let found = found.unwrap_or_else(|| panic!("{number} {code}: {:#?}", report.findings));
        assert_eq!(found.severity, severity, "{code}");
        assert!(!found.to_string().is_empty());
        assert_eq!(report.broken(), report.findings.iter().any(|f| f.severity == Severity::Error));
    }
}

/// A table that cannot be used is still shown, with what is in its partitions.
#[test]
fn broken_tables_are_shown() {
    let mut bytes = Disk::new().part(ROOT, "os", &erofs(8, 1)).part("home", "", &erofs(4, 2)).bytes();
    let end = bytes.len();
    // both headers' CRCs
    (bytes[512 + 16], bytes[end - 512 + 16]) = (0, 0);
    let report = report(&image(bytes));
    assert_eq!((report.kind, report.mounts.len()), (ImageKind::BrokenTable, 0));
    assert_eq!(report.refused.unwrap().errno, Some("ENOPKG"));
    let shown: Vec<_> =
        report.partitions.iter().map(|p| (p.number, p.content.type_name(), p.selection)).collect();
    assert_eq!(shown, [(1, Some("erofs"), None), (2, Some("erofs"), None)]);
    assert_eq!(report.partitions[0].entry.designator(), Some(Designator::Root));
    for code in ["primary-table", "backup-table"] {
        assert!(report.findings.iter().any(|finding| finding.code() == code), "{code}");
    }
}

#[test]
fn entries_outside_the_disk_are_shown_and_not_read() {
    let mut bytes = Disk::new().part(ROOT, "os", &erofs(8, 1)).bytes();
    // last LBA of the first entry; the CRCs are wrong now, in both copies
    let end = bytes.len();
    bytes[1024 + 40..1024 + 48].copy_from_slice(&u64::MAX.to_le_bytes());
    bytes[end - 512 + 16] ^= 1;
    let report = report(&image(bytes));
    assert!(matches!(report.partitions[0].content, Content::NotRead));
    assert_eq!(report.partitions[0].range, None);
    assert!(report.findings.iter().any(|f| f.code() == "outside" && f.offset == Some(1024)));
}

/// Free slots hold what was there before, or nothing: that is not odd.
#[test]
fn empty_slots_are_no_findings() {
    let slots = Disk::new()
        .set(USR, "1", &Set::new(erofs(8, 1)))
        .part(USR, "_empty", &[0; 4096])
        .part("usr-x86-64-verity", "_empty", &[0; 4096])
        .part("usr-x86-64-verity-sig", "_empty", &[0; 4096]);
    let report = report(&slots.image());
    assert!(!report.broken(), "{:#?}", report.findings);
    assert_eq!(report.verity.len(), 1);
    let why = report.partitions[3].selection;
    assert_eq!(why, Some(Selection::Skipped(Skipped::EmptySlot)));
}

#[test]
fn gaps_are_read_within_their_budget() {
    struct Counting(Vec<u8>, Arc<std::sync::atomic::AtomicU64>);
    impl ReadAt for Counting {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
            self.1.fetch_add(buf.len() as u64, std::sync::atomic::Ordering::Relaxed);
            self.0.read_exact_at(offset, buf)
        }
    }
    let mut bytes = Disk::new().part("home", "", &erofs(8, 1)).bytes();
    // a disk that has grown by 4 MiB, with something at its end
    bytes.resize(bytes.len() + (4 << 20), 0);
    *bytes.last_mut().unwrap() = 1;
    let end = bytes.len() as u64;
    let read = Arc::<std::sync::atomic::AtomicU64>::default();
    let image = Image::new(Box::new(Counting(bytes, read.clone()))).unwrap();
    let gap = |options: &ReportOptions<'_>| {
        let findings = Report::new(&image, options).findings;
        findings.into_iter().find(|f| f.code().starts_with("gap")).map(|f| (f.code(), f.offset))
    };
    let mut options = ReportOptions::new(&image);
    let before = read.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(gap(&options), Some(("gaps-not-read", None)));
    assert!(read.load(std::sync::atomic::Ordering::Relaxed) - before < (1 << 20) + (256 << 10));
    options.gap_bytes = u64::MAX;
    assert_eq!(gap(&options), Some(("gap-not-zero", Some(end - 1))));
}

#[test]
fn only_a_proof_raises_assurance() {
    let (old, new) = (Set::new(erofs(8, 1)), Set::new(erofs(8, 2)));
    let image = Disk::new().set(USR, "1", &old).set(USR, "2", &new).image();
    let mut report = report(&image);
    assert!(report.partitions.iter().all(|partition| partition.assurance == Assurance::Claimed));
    let trusted = [TrustedRootHash::by_caller(new.root, Role::Usr)];
    let options = DissectOptions::new(VeritySettings::new(&trusted, image.sidecars()));
    let dissection = DissectionRecord::new(&image, &options);
    let proving = ProveOptions { trusted: &trusted, scope: Scope::All, ..Default::default() };
    report.record(&prove(&image, &dissection, &proving));
    let assurance: Vec<_> = report.partitions.iter().map(|partition| partition.assurance).collect();
    let (intact, authenticated) = (Assurance::Intact, Assurance::Authenticated);
    let claimed = Assurance::Claimed;
    // of the hash partition, the superblock is covered by no root hash
    assert_eq!(assurance, [intact, claimed, claimed, authenticated, claimed, claimed]);
}

/// What a report calls authenticated was read as proven bytes, not before and besides.
#[test]
fn content_is_that_of_the_proof() {
    let set = Set::new(erofs(8, 1));
    let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
    let disk = Disk::new().pair(ROOT, "", &set);
    let image = disk.image();
    let options = DissectOptions::new(VeritySettings::new(&trusted, image.sidecars()));
    let dissection = DissectionRecord::new(&image, &options);
    let proving = ProveOptions { trusted: &trusted, ..Default::default() };
    let assessment = prove(&image, &dissection, &proving);
    let probe = assessment.proofs[0].content.as_ref().unwrap();
    assert_eq!(probe.kind.name(), "erofs");
    // while the report was made, there was something else
    let mut before = report(&disk.clone().edit_number(1, |part| part.content.fill(0)).image());
    assert!(matches!(before.partitions[0].content, Content::Nothing));
    before.record(&assessment);
    let partition = &before.partitions[0];
    assert_eq!(
        (partition.content.type_name(), partition.assurance),
        (Some("erofs"), Assurance::Authenticated)
    );
    // what is allowed to be anything was read by no proof
    let nothing = Disk::new().pair(ROOT, "", &Set::new(vec![7; 8 * 4096])).image();
    let any = ProveOptions { content: ContentRule::Any, ..Default::default() };
    let dissection = DissectionRecord::new(&nothing, &DissectOptions::new(VeritySettings::default()));
    let assessment = prove(&nothing, &dissection, &any);
    assert_eq!(assessment.outcome, Outcome::Intact);
    let mut report = report(&nothing);
    report.record(&assessment);
    assert_eq!(report.partitions[0].assurance, Assurance::Claimed);
}

/// Of a bare image, only a root hash for root authenticates what it is.
#[test]
fn a_bare_image_is_a_root_file_system() {
    let set = Set::new(erofs(8, 1));
    let image = image([set.data.clone(), set.hash.clone()].concat());
    for (role, expected) in [(Role::Root, Assurance::Authenticated), (Role::Usr, Assurance::Claimed)] {
        let trusted = [TrustedRootHash::by_caller(set.root, role)];
        let mut verity = VeritySettings::new(&trusted, image.sidecars());
        verity.external = true;
        let dissection = DissectionRecord::new(&image, &DissectOptions::new(verity));
        let proving = ProveOptions { trusted: &trusted, hash_offset: Some(8 * 4096), ..Default::default() };
        let assessment = prove(&image, &dissection, &proving);
        assert_eq!(assessment.outcome, Outcome::Verified);
        let mut report = report(&image);
        report.record(&assessment);
        assert_eq!(report.whole_assurance, expected, "{role}");
    }
}

/// Content that is none is odd; under a root hash that is vouched for, it is an error: hash blocks have it too.
#[test]
fn unrecognised_content_under_a_trusted_root_hash() {
    let set = Set::new(vec![7; 8 * 4096]);
    let image = Disk::new().pair(ROOT, "", &set).image();
    let other = Set::new(erofs(8, 1));
    for (hash, severity) in [(set.root, Severity::Error), (other.root, Severity::Warning)] {
        let trusted = [TrustedRootHash::by_caller(hash, Role::Root)];
        let options = ReportOptions { trusted: &trusted, ..ReportOptions::new(&image) };
        let report = Report::new(&image, &options);
        let finding = report.findings.iter().find(|finding| finding.code() == "unrecognised-content");
        assert_eq!(finding.map(|finding| finding.severity), Some(severity));
    }
}

/// A root hash beside the image that is the signature partition's too is no disagreement.
#[test]
fn root_hashes_may_agree() {
    let set = Set::new(erofs(8, 1));
    let root_hashes =
        vec![KnownRootHash { hash: set.root, role: Role::Root, origin: RootHashOrigin::Sidecar }];
    let image = Disk::new().set(ROOT, "", &set).beside(Sidecars { root_hashes, ..Default::default() });
    assert_eq!(codes(&image), [("signature-not-checked", Some(3))]);
}

fn sample() -> &'static [u8] {
    static SAMPLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let disk = Disk::new().set(ROOT, "os_1", &Set::new(erofs(4, 1))).part("home", "", &erofs(2, 2));
        disk.attributes(Attributes::GROW_FILE_SYSTEM).bytes()
    });
    &SAMPLE
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever bytes there are: a report, no panic, and never a proof that should not be.
    #[test]
    fn any_bytes_can_be_reported(
        changes in prop::collection::vec((0_usize..1 << 18, any::<u8>()), 0..40),
        truncate in prop::option::of(1_usize..1 << 18),
    ) {
        let mut bytes = sample().to_vec();
        let len = bytes.len();
        for (at, value) in changes {
            // most of them where structures are
            let at = if at % 4 == 0 { at % len } else { at % 4096 };
            bytes[at] = value;
        }
        if let Some(len) = truncate {
            bytes.truncate(len);
        }
        let original = &sample()[..bytes.len()];
        let same = bytes.len() == sample().len() && bytes == original;
        let image = image(bytes);
        let report = report(&image);
        prop_assert!(report.partitions.len() <= 128);
        for finding in &report.findings {
            prop_assert!(!finding.to_string().is_empty());
        }
        let dissection = DissectionRecord::new(&image, &DissectOptions::new(VeritySettings::default()));
        let assessment = prove(&image, &dissection, &ProveOptions::default());
        prop_assert!(assessment.outcome != Outcome::Verified);
        prop_assert!(!same || assessment.outcome == Outcome::Intact);
    }
}

/// Bytes behind a squashfs are told whatever its data blocks are.
#[test]
fn f10_the_end_of_squashfs_is_that_of_its_last_4_kib() {
    for block_size in [4096_u32, 131_072, 1 << 20] {
        for (used, first_free) in [(286_u64, 4096), (4096, 4096), (4097, 8192)] {
            let mut bytes = vec![0; 64 << 10];
            bytes[..4].copy_from_slice(b"hsqs");
            bytes[12..16].copy_from_slice(&block_size.to_le_bytes());
            bytes[28] = 4;
            bytes[40..48].copy_from_slice(&used.to_le_bytes());
            let whole = image(bytes.clone());
            let Content::Recognised(probe) = report(&whole).whole else { panic!("{:?}", report(&whole)) };
            assert_eq!(probe.claimed_size, Some(used));
            for (at, told) in [(first_free - 1, false), (first_free, true), (bytes.len() - 1, true)] {
                let mut bytes = bytes.clone();
                bytes[at] = 1;
                let found = codes(&image(bytes)).contains(&("gap-not-zero", None));
                assert_eq!(found, told, "blocks of {block_size}, {used} used, byte {at}");
            }
        }
    }
}

#[test]
fn f10_a_verity_superblock_behind_a_bare_file_system_is_named() {
    let set = Set::new(erofs(8, 1));
    let offset = set.data.len();
    let joined = [set.data.clone(), set.hash.clone()].concat();
    let told = report(&image(joined.clone())).findings;
    let finding = told.iter().find(|finding| finding.code() == "verity-superblock-behind").unwrap();
    assert_eq!(finding.severity, Severity::Note);
    assert!(finding.to_string().contains(&format!("--hash-offset={offset} ")), "{finding}");
    assert!(!told.iter().any(|finding| finding.code() == "gap-not-zero"), "{told:?}");
    // what is behind the tree is told as before, and so is what is no superblock, or one whose tree is not all there
    let more = [joined.clone(), vec![1; 4096]].concat();
    let codes_of = |bytes: Vec<u8>| codes(&image(bytes)).iter().map(|(code, _)| *code).collect::<Vec<_>>();
    let found = codes_of(more);
    assert!(found.contains(&"verity-superblock-behind") && found.contains(&"gap-not-zero"), "{found:?}");
    let mut broken = joined.clone();
    broken[offset] ^= 1;
    for bytes in [broken, joined[..offset + 4096].to_vec()] {
        let found = codes_of(bytes);
        assert!(!found.contains(&"verity-superblock-behind") && found.contains(&"gap-not-zero"), "{found:?}");
    }
}

/// A download that was cut off behind the last partition: its backup table and the end of the usable blocks are gone.
#[test]
fn f10_a_table_whose_last_usable_block_is_gone_is_an_error() {
    let bytes = Disk::new().part(ROOT, "", &erofs(8, 3)).bytes();
    let end = bytes.len();
    // the backup header, its array of 32 blocks, and one block more
    for (cut, severity) in [(512, None), (33 * 512, None), (34 * 512, Some(Severity::Error))] {
        let found = report(&image(bytes[..end - cut].to_vec())).findings;
        let told = found.iter().find(|finding| finding.code() == "gpt-disk-truncated");
        assert_eq!(told.map(|finding| finding.severity), severity, "{cut}: {found:?}");
    }
}

#[test]
fn nodes_are_named_as_fdisk_does() {
    let node = |path: &str, number| {
        let (designator, rw, growfs) = (Designator::Root, false, false);
        let (partition_uuid, partition_label, fstype, architecture, verity) = (None, None, None, None, None);
        let mount = Mount {
            designator,
            rw,
            partition_uuid,
            partition_label,
            fstype,
            architecture,
            verity,
            growfs,
            number,
        };
        mount.node(path)
    };
    assert_eq!(node("disk.raw", Some(1)), "disk.raw1");
    assert_eq!(node("/dev/loop0", Some(12)), "/dev/loop0p12");
    assert_eq!(node("image_1", None), "image_1");
}
