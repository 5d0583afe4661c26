use ddi_gpt::Architecture;
use ddi_verity::{Algorithm, HashType};

use super::*;
use crate::dissect::{DissectOptions, DissectionRecord, VeritySettings};
use crate::prove::partition::ProvenPartition;
use crate::prove::{Outcome, ProveOptions, prove};
use crate::report::{Report, ReportOptions};
use crate::testing::{
    Disk, DiskImage as _, LIKE_EXT4, LIKE_HFS, LIKE_HFSPLUS, Set, chosen_blocks, erofs, erofs_without_root,
    luks,
};
use crate::trust::{DataSize, TrustedRootHash};
use crate::verity_set::verity_sets;

const ROOT: &str = "root-x86-64";

/// What [`prove`] and [`ProvenPartition::open`] say of a set: the code of what is wrong, and both say the same.
#[track_caller]
fn problem(set: &Set, options: &ProveOptions<'_>) -> Option<&'static str> {
    let image = Disk::new().set(ROOT, "", set).image();
    let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
    let options = ProveOptions { trusted: &trusted, ..*options };
    let mut dissect = DissectOptions::new(VeritySettings::new(&trusted, image.sidecars()));
    dissect.native = Some(Architecture::X86_64);
    let dissection = DissectionRecord::new(&image, &dissect);
    let assessment = prove(&image, &dissection, &options);
    let code = assessment.proofs[0].problem.as_ref().map(Error::code);
    assert_eq!(assessment.outcome == Outcome::Verified, code.is_none());
    let sets = verity_sets(&image, &dissection, &options.bind());
    let opened = ProvenPartition::open(&image, &sets[0], &options);
    assert_eq!(opened.as_ref().err().map(Error::code), code);
    code
}

fn usual(set: &Set) -> Option<&'static str> {
    problem(set, &ProveOptions::default())
}

fn with(mut data: Vec<u8>, pieces: &[(usize, &[u8])]) -> Set {
    for (at, bytes) in pieces {
        data[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    Set::new(data)
}

/// Blocks of the image were chosen so that the leaves of its tree look like a file system that gives no size.
#[test]
fn s1_hash_blocks_that_look_like_a_superblock_are_not_data() {
    for (blocks, kind, code) in [
        (LIKE_HFS, FsKind::Hfs, "content-not-mountable"),
        (LIKE_HFSPLUS, FsKind::Hfsplus, "content-not-mountable"),
        (LIKE_EXT4, FsKind::Ext4, "content-too-large"),
    ] {
        let good = Set::new(chosen_blocks(blocks));
        assert_eq!(usual(&good), None, "{kind:?}");
        let attack = good.leaves_as_data();
        assert_eq!((attack.root, attack.data.len()), (good.root, 3 * 4096));
        assert_eq!(fs::probe(&attack.data).unwrap().unwrap().kind, kind);
        assert_eq!(usual(&attack), Some(code), "{kind:?}");
    }
}

/// Kinds of which few bytes are looked at, without the rest of what makes a file system of that kind.
#[test]
fn s1_kinds_that_do_not_bind_the_size() {
    let blank = || vec![0; 2 << 20];
    let hfs = (1024, &b"BD"[..]);
    let ext = (1024 + 0x38, &[0x53, 0xef][..]);
    let size = &512_u32.to_le_bytes()[..];
    let log_2 = (1024 + 0x18, &2_u32.to_le_bytes()[..]);
    let mut udf = blank();
    for (i, name) in [b"BEA01", b"NSR02", b"TEA01"].into_iter().enumerate() {
        udf[32769 + i * 2048..][..5].copy_from_slice(name);
    }
    udf[256 * 2048..][..2].copy_from_slice(&2_u16.to_le_bytes());
    udf[256 * 2048 + 12..][..4].copy_from_slice(&256_u32.to_le_bytes());
    for (kind, set, code) in [
        (FsKind::Hfs, with(blank(), &[hfs, (1024 + 20, &512_u32.to_be_bytes())]), "content-not-mountable"),
        (
            FsKind::Hfsplus,
            with(blank(), &[(1024, b"H+"), (1024 + 40, &512_u32.to_be_bytes())]),
            "content-not-mountable",
        ),
        (FsKind::Udf, Set::new(udf), "content-not-mountable"),
        (FsKind::Squashfs3, with(blank(), &[(0, b"hsqs"), (28, &[3])]), "content-not-mountable"),
        (FsKind::Ext2, with(blank(), &[ext, log_2, (1024 + 4, size)]), "content-not-mountable"),
        (
            FsKind::Ext3,
            with(blank(), &[ext, log_2, (1024 + 4, size), (1024 + 0x5c, &[4])]),
            "content-not-mountable",
        ),
        // a feature that ext3 does not know; no size that a kernel takes, and one
        (
            FsKind::Ext4,
            with(blank(), &[ext, (1024 + 0x60, &[0x40]), (1024 + 0x18, &[22])]),
            "content-too-large",
        ),
        (
            FsKind::Ext4,
            with(blank(), &[ext, (1024 + 0x60, &[0x40]), (1024 + 0x18, &[255])]),
            "content-too-large",
        ),
        (
            FsKind::Ext4,
            with(blank(), &[ext, (1024 + 0x60, &[0x40]), log_2, (1024 + 4, size)]),
            "content-unreadable",
        ),
        (
            FsKind::Swap,
            with(blank(), &[(1024, &[1]), (1028, &[255]), (4086, b"SWAPSPACE2")]),
            "unrecognised-content",
        ),
        (
            FsKind::F2fs,
            with(blank(), &[(1024, &[0x10, 0x20, 0xf5, 0xf2, 1, 0, 0, 0])]),
            "content-without-size",
        ),
        (
            FsKind::Vfat,
            with(
                blank(),
                &[
                    (0, &[0xeb, 0x3c, 0x90]),
                    (11, &[0, 2, 1, 1, 0, 1, 0, 2, 0, 16, 0xf8, 32, 0]),
                    (54, b"FAT16   "),
                    (510, &[0x55, 0xaa]),
                ],
            ),
            "content-easily-forged",
        ),
        (
            FsKind::Squashfs,
            with(blank(), &[(0, b"hsqs"), (28, &[4]), (40, &(2_u64 << 20).to_le_bytes())]),
            "content-unreadable",
        ),
    ] {
        assert_eq!(fs::probe(&set.data).unwrap().unwrap().kind, kind);
        assert_eq!(usual(&set), Some(code), "{kind:?}");
    }
    // LUKS of no version that there is, and of a size that no header has
    for (luks, code) in [
        (with(luks(), &[]), None),
        (with(luks(), &[(7, &[1])]), None),
        (with(luks(), &[(7, &[3])]), Some("content-without-size")),
        (with(luks(), &[(8, &0x3000_u64.to_be_bytes())]), Some("content-without-size")),
    ] {
        assert_eq!(usual(&luks), code);
    }
}

/// A file system that ends before the protected data does: zeros may follow.
#[test]
fn s1_the_size_is_bound_from_below() {
    let claims = |blocks: u32| (1060, blocks.to_le_bytes());
    let zeros = |from: usize| {
        let mut data = erofs(40, 1);
        data[from * 4096..].fill(0);
        data
    };
    let nothing = ProveOptions { tail: TailRule::Nothing, ..Default::default() };
    for (data, claim, by_default, if_nothing) in [
        (erofs(40, 1), 40, None, None),
        (erofs(40, 1), 39, Some("content-too-small"), Some("content-too-small")),
        (erofs(40, 1), 1, Some("content-too-small"), Some("content-too-small")),
        (zeros(39), 39, None, Some("content-too-small")),
        (zeros(8), 8, None, Some("content-too-small")),
        // where the zeros end, there is more
        (zeros(9), 8, Some("content-too-small"), Some("content-too-small")),
    ] {
        let (at, bytes) = claims(claim);
        let set = with(data, &[(at, &bytes)]);
        assert_eq!(usual(&set), by_default, "{claim}");
        assert_eq!(problem(&set, &nothing), if_nothing, "{claim}");
    }
    // the last byte of a long row of zeros
    let mut data = zeros(8);
    *data.last_mut().unwrap() = 1;
    assert_eq!(usual(&with(data, &[(1060, &8_u32.to_le_bytes())])), Some("content-too-small"));
}

/// The superblock is right, and the root directory is not.
#[test]
fn s1_the_root_directory_is_read() {
    assert_eq!(usual(&Set::new(erofs(8, 1))), None);
    assert_eq!(usual(&Set::new(erofs_without_root(8, 1))), Some("content-unreadable"));
    for (what, at, byte) in [
        ("number of the root inode", 1038, 37),
        ("mode", 1157, 0x81),
        ("size", 1160, 24),
        ("its own entry, lower half", 1184, 35),
        ("its own entry, upper half", 1191, 1),
        ("that of its parent, lower half", 1196, 35),
        ("that of its parent, upper half", 1203, 1),
        ("where the first name is", 1192, 12),
        ("where the second name is", 1204, 24),
        ("name of itself", 1208, b'a'),
        ("name of its parent", 1209, b'a'),
    ] {
        let set = with(erofs(8, 1), &[(at, &[byte])]);
        assert_eq!(usual(&set), Some("content-unreadable"), "{what}");
    }
    // another entry, which leads nowhere
    let entries = |node: u64| {
        let mut directory = vec![0; 40];
        for (i, (node, name)) in [(36, 36), (36, 37), (node, 39)].into_iter().enumerate() {
            directory[i * 12..][..8].copy_from_slice(&node.to_le_bytes());
            (directory[i * 12 + 8], directory[i * 12 + 10]) = (name, 2);
        }
        directory[36..].copy_from_slice(b"...a");
        with(erofs(8, 1), &[(1160, &[40]), (1184, &directory)])
    };
    assert_eq!(usual(&entries(36)), None);
    assert_eq!(usual(&entries(8 * 128 - 1)), None);
    assert_eq!(usual(&entries(8 * 128)), Some("content-unreadable"));
    assert_eq!(usual(&entries(u64::MAX)), Some("content-unreadable"));
}

/// Whoever asks for it gets it, and is told.
#[test]
fn s1_what_is_widened_is_told() {
    let any = ProveOptions { content: ContentRule::Any, ..Default::default() };
    for set in [Set::new(erofs_without_root(8, 1)), Set::new(chosen_blocks(LIKE_HFS)).leaves_as_data()] {
        assert_eq!(problem(&set, &any), None);
        let image = Disk::new().set(ROOT, "", &set).image();
        let dissect = DissectOptions::new(VeritySettings::new(&[], image.sidecars()));
        let assessment = prove(&image, &DissectionRecord::new(&image, &dissect), &any);
        let widened = &assessment.proofs[0].exceptions;
        assert!(matches!(widened[..], [Exception::UnfitContent { .. }]), "{widened:?}");
    }
}

/// Damage is named by its block, also where it is the root directory that cannot be read.
#[test]
fn s1_damage_is_no_matter_of_content() {
    let set = Set::with(erofs(8, 1), HashType::Normal, Algorithm::Sha256, 4096);
    let image = Disk::new().set(ROOT, "", &set).edit_number(1, |part| part.content[1200] ^= 1).image();
    let dissect = DissectOptions::new(VeritySettings::new(&[], image.sidecars()));
    let assessment = prove(&image, &DissectionRecord::new(&image, &dissect), &ProveOptions::default());
    let verdict = assessment.proofs[0].verdict.as_ref().unwrap();
    assert_eq!((verdict.corrupt_data.count(), verdict.unproven_data.count()), (1, 0));
}

/// Two file systems in less than a floppy disk: libblkid takes the first, and a mount with a kind of its own the other.
#[test]
fn s9_two_file_systems_on_small_storage() {
    let mut data = erofs(8, 1);
    data[..4].copy_from_slice(b"hsqs");
    data[28] = 4;
    data[40..48].copy_from_slice(&(8_u64 * 4096).to_le_bytes());
    let set = Set::new(data);
    assert_eq!(fs::probe(&set.data).unwrap().unwrap().kind, FsKind::Squashfs);
    assert_eq!(usual(&set), Some("ambiguous-file-system"));
    let image = Disk::new().set(ROOT, "", &set).image();
    let report = Report::new(&image, &ReportOptions::new(&image));
    let told = report.findings.iter().find(|finding| finding.what.code() == "file-system-passed-over");
    assert_eq!(told.map(|finding| finding.partition), Some(Some(1)));
    assert_eq!(usual(&Set::new(erofs(8, 1))), None);
}

/// Whoever vouches for the size needs no file system; another size is an error that names both.
#[test]
fn s1_the_caller_vouches_for_the_size() {
    let given = |set: &Set, role, bytes| {
        let data_sizes = [DataSize { role, bytes }];
        problem(set, &ProveOptions { data_sizes: &data_sizes, ..Default::default() })
    };
    let nothing = Set::new(vec![7; 20 * 4096]);
    let with_tail = nothing.clone().with_tail(&[0; 4096]);
    for set in [&nothing, &with_tail] {
        assert_eq!(given(set, Role::Root, 20 * 4096), None);
        assert_eq!(given(set, Role::Root, 21 * 4096), Some("data-size-differs"));
        assert_eq!(given(set, Role::Root, 20 * 4096 - 1), Some("data-size-differs"));
    }
    assert_eq!(given(&nothing, Role::Usr, 20 * 4096), Some("unrecognised-content"));
    let good = Set::new(chosen_blocks(LIKE_HFS));
    assert_eq!(given(&good, Role::Root, 257 * 4096), None);
    assert_eq!(given(&good.leaves_as_data(), Role::Root, 257 * 4096), Some("data-size-differs"));
    let error = Error::DataSizeDiffers { role: Role::Root, partition: None, given: 1, found: 2 };
    assert_eq!(error.to_string(), "the tree of root is over 2 bytes of data, and 1 were given");
}

/// The features as `Cargo.toml` has them.
#[test]
fn readers_have_features() {
    let manifest = include_str!("../../../Cargo.toml");
    for kind in [FsKind::Btrfs, FsKind::Erofs, FsKind::Ext4, FsKind::Squashfs, FsKind::Xfs] {
        assert_eq!(feature(kind), format!("fs-{}", kind.name()));
        assert!(manifest.contains(&format!("\n{} = [", feature(kind))), "{}", feature(kind));
    }
}

/// A file system need not fill the last block of the data, however large that is.
/// Where it is the reader that gives up, it is said what helps; where the data is at fault, nothing is said that would get it
/// through.
#[test]
fn what_is_beyond_the_reader_can_be_vouched_for() {
    let unread = |error| Unfit::RootDirectory(Arc::new(error)).to_string();
    let helps = |text: &str| text.contains("--data-size");
    assert!(helps(&unread(files::Error::Unsupported { what: "compressed directories" })));
    assert!(helps(&Unfit::NoReader { feature: "fs-xfs" }.to_string()));
    assert!(helps(&Unfit::EasilyForged.to_string()));
    assert!(helps(&unread(files::Error::Features { field: "feature_incompat", bits: 1 << 20 })));
    assert!(!helps(&unread(files::Error::NotADirectory)));
    assert!(!helps(&unread(files::Error::DirectoryLoop)));
    for unfit in [Unfit::NotMounted, Unfit::Superblock, Unfit::Smaller { claimed: 1, available: 2 }] {
        assert!(!helps(&unfit.to_string()));
    }
}

#[test]
fn the_last_block_may_be_padded() {
    let nothing = ProveOptions { tail: TailRule::Nothing, strictness: Strictness::ANY, ..Default::default() };
    for (zeros, block_size, code) in [
        (4096, 16384, None),
        (4 * 4096, 16384, Some("content-too-small")),
        (4096, 4096, Some("content-too-small")),
    ] {
        let mut data = erofs(16, 1);
        let size = data.len() - zeros;
        data[1060..1064].copy_from_slice(&(size as u32 / 4096).to_le_bytes());
        data[size..].fill(0);
        let set = Set::with(data, HashType::Normal, Algorithm::Sha256, block_size);
        assert_eq!(problem(&set, &nothing), code, "{zeros} {block_size}");
    }
}
