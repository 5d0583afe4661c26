//! Probes over minimal superblocks in memory, and over the corpus.

mod corpus;
/// What `planted.rs` is written over, here and in `ddi-testing`.
mod planted_api {
    pub(super) use super::super::FsKind;
    pub(super) use super::super::crc::{self, crc32c};
}
#[expect(unreachable_pub, reason = "it is part of ddi-testing as well")]
mod planted;

use std::io;
use std::sync::Mutex;

use ddi_io::ReadAt;
use proptest::prelude::*;

use super::crc::{crc32c, crc32c_without};
use super::*;

use planted::{SIZE, image, plant, put};

fn kind(image: &[u8]) -> Option<FsKind> {
    probe(&image).unwrap().map(|probe| probe.kind)
}

fn candidates(image: &[u8]) -> Vec<FsKind> {
    match probe(&image) {
        Err(Error::Ambiguous { candidates }) => candidates.iter().map(|c| c.kind).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_kind_alone_is_recognised() {
    for expected in FsKind::ALL {
        assert_eq!(kind(&image(&[*expected])), Some(*expected));
        assert_eq!(FsKind::from_name(expected.name()), Some(*expected));
    }
    assert_eq!(kind(&image(&[])), None);
}

#[test]
fn any_two_file_systems_are_ambiguous() {
    // in the order of search, which is the order of the candidates
    let kinds = [
        FsKind::Vfat,
        FsKind::Swap,
        FsKind::Xfs,
        FsKind::Ext4,
        FsKind::Squashfs,
        FsKind::Btrfs,
        FsKind::F2fs,
        FsKind::Erofs,
    ];
    // both have their magic at the same place
    let exclusive = [(FsKind::Xfs, FsKind::Squashfs), (FsKind::F2fs, FsKind::Erofs)];
    let mut pairs = 0;
    for (i, first) in kinds.iter().enumerate() {
        for second in &kinds[i + 1..] {
            // FAT's parameters last: they make a number of xfs larger, which is all the same to it
            let image = image(&[*second, *first]);
            if exclusive.contains(&(*first, *second)) {
                assert_eq!(kind(&image), Some(*first));
                continue;
            }
            assert_eq!(candidates(&image), [*first, *second]);
            pairs += 1;
        }
    }
    assert_eq!(pairs, 26);
}

/// What `blkid -p` says: a type, nothing, or that it is ambiguous.
fn blkid(path: &std::path::Path) -> Result<Option<String>, ()> {
    let output =
        std::process::Command::new("blkid").args(["-p", "-s", "TYPE", "-o", "value"]).arg(path).output();
    let output = output.unwrap();
    match output.status.code() {
        Some(0) => {
            Ok(Some(String::from_utf8(output.stdout).unwrap().trim().to_owned()).filter(|t| !t.is_empty()))
        }
        Some(2) => Ok(None),
        Some(8) => Err(()),
        _ => panic!("{output:?}"),
    }
}

/// A file whose zeros are holes: it need not be written to the disk 64 MiB at a time.
fn write_sparse(path: &std::path::Path, image: &[u8]) {
    use std::os::unix::fs::FileExt;

    let file = std::fs::File::create(path).unwrap();
    file.set_len(image.len() as u64).unwrap();
    let is_data = |block: &[u8]| *block != [0; 4096][..block.len()];
    for (i, block) in image.chunks(4096).enumerate().filter(|(_, block)| is_data(block)) {
        file.write_all_at(block, i as u64 * 4096).unwrap();
    }
}

/// Beside a file system that is mounted, each of the others is ambiguous, or hides it.
#[test]
fn f5_a_second_signature_is_told() {
    let rare = [
        FsKind::ZfsMember,
        FsKind::Jfs,
        FsKind::Reiserfs,
        FsKind::Reiser4,
        FsKind::Bcache,
        FsKind::Bcachefs,
        FsKind::Nilfs2,
    ];
    for second in rare {
        // bcache stands where the start of a block group is: in the gap behind either superblock
        let mut found = candidates(&image(&[FsKind::Squashfs, second]));
        found.sort();
        let mut both = [FsKind::Squashfs, second];
        both.sort();
        assert_eq!(found, both, "{second}");
    }
    let raid = FsKind::ALL.iter().filter(|kind| kind.usage() == Usage::Raid);
    let mut hiding = 0;
    for first in raid.filter(|kind| **kind != FsKind::Lvm1Member) {
        assert_eq!(kind(&image(&[FsKind::Ext4, *first])), Some(*first));
        assert!(!first.is_mountable());
        hiding += 1;
    }
    assert_eq!(hiding, 13);
    // a checksum that is wrong makes none
    for (planted, at) in [
        (FsKind::Bcache, 4096 + 48),
        (FsKind::Bcachefs, 4096 + 60),
        (FsKind::Nilfs2, 1024 + 160),
        (FsKind::DdfRaidMember, SIZE - 500),
        (FsKind::NvidiaRaidMember, SIZE - 1000),
        (FsKind::SiliconMedleyRaidMember, SIZE - 500),
        (FsKind::JmicronRaidMember, SIZE - 500),
        (FsKind::ViaRaidMember, SIZE - 500),
        (FsKind::Cramfs, 100),
    ] {
        let mut image = image(&[planted]);
        image[at] ^= 2;
        assert_eq!(kind(&image), None, "{planted}");
    }
}

/// The copies of a bcachefs superblock, the backup of nilfs2, and the labels of a ZFS pool at the far end.
#[test]
fn f5_copies_elsewhere_count() {
    let moved = |kind: FsKind, from: Range<usize>, to: usize| {
        let mut bytes = image(&[kind]);
        let piece = bytes[from.clone()].to_vec();
        bytes[from].fill(0);
        put(&mut bytes, to, &piece);
        bytes
    };
    let nilfs2 = moved(FsKind::Nilfs2, 1024..2048, SIZE - 4096);
    assert_eq!(kind(&nilfs2), Some(FsKind::Nilfs2));
    for label in [1, 254, 255] {
        let zfs = moved(FsKind::ZfsMember, 16 << 10..128 << 10, (label << 18) + (16 << 10));
        assert_eq!(kind(&zfs), Some(FsKind::ZfsMember), "{label}");
    }
    let mut bcachefs = moved(FsKind::Bcachefs, 4096..8192, SIZE - (1 << 20));
    assert_eq!(kind(&bcachefs), None, "it says where it stands");
    let sb = &mut bcachefs[SIZE - (1 << 20)..];
    put(sb, 104, &((SIZE as u64 - (1 << 20)) / 512).to_le_bytes());
    let sum = !crc32c(!0, &sb[16..752]);
    put(sb, 0, &sum.to_le_bytes());
    assert_eq!(kind(&bcachefs), Some(FsKind::Bcachefs));
}

/// A superblock of bcachefs says itself how much its checksum is over: that is not memory for the asking. What is not summed counts,
/// and so is ambiguous beside something else.
#[test]
fn a_large_superblock_of_bcachefs_is_not_read_for_its_checksum() {
    use core::sync::atomic::{AtomicUsize, Ordering};
    struct Counted(Vec<u8>, AtomicUsize);
    impl ReadAt for Counted {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            self.1.fetch_max(buf.len(), Ordering::Relaxed);
            self.0.read_exact_at(offset, buf)
        }
    }
    let largest = |size: usize| {
        let mut bytes = image(&[FsKind::Bcachefs]);
        bytes.resize(48 << 20, 0);
        let sb = &mut bytes[4096..];
        put(sb, 124, &(((size - 752) / 8) as u32).to_le_bytes());
        sb[257] = 16;
        let sum = !crc32c(!0, &sb[16..size]);
        put(sb, 0, &sum.to_le_bytes());
        let disk = Counted(bytes, AtomicUsize::new(0));
        let found = probe(&disk).unwrap().map(|probe| (probe.kind, probe.checksum));
        (found, disk.1.into_inner())
    };
    let (found, read) = largest(256 << 10);
    assert_eq!(found, Some((FsKind::Bcachefs, Checksum::Verified("crc32c"))));
    assert!(read <= 256 << 10, "{read}");
    for size in [(256 << 10) + 8, 32 << 20] {
        let (found, read) = largest(size);
        assert_eq!(found, Some((FsKind::Bcachefs, Checksum::NotChecked("crc32c"))));
        assert!(read <= 256 << 10, "{read}");
    }
    // not all there, or more than it may have
    assert_eq!(largest((32 << 20) + 8).0, None);
}

/// One spoils the checksum of the other, which versions of libblkid before 2.39 do not all look at.
const SAME_PLACE: [(FsKind, FsKind); 5] = [
    (FsKind::Bcache, FsKind::LinuxRaidMember),
    (FsKind::Btrfs, FsKind::Reiser4),
    (FsKind::Btrfs, FsKind::Reiserfs),
    (FsKind::DdfRaidMember, FsKind::JmicronRaidMember),
    (FsKind::IswRaidMember, FsKind::NvidiaRaidMember),
];

#[test]
fn blkid_agrees_on_all_pairs() {
    if std::process::Command::new("blkid").arg("-V").output().is_err() {
        eprintln!("skipped: no blkid");
        assert!(std::env::var_os("DDI_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "no blkid");
        return;
    }
    let path = std::env::temp_dir().join(format!("ddi-pairs-{}.raw", std::process::id()));
    let mut ambiguous = 0;
    let mut different = Vec::new();
    let known = std::process::Command::new("blkid").arg("-k").output().unwrap().stdout;
    let known = String::from_utf8(known).unwrap();
    // one that lacks what libblkid wants of UDF, and is not wanted here
    let is_known = |kind: &FsKind| known.lines().any(|name| name == kind.name());
    let kinds: Vec<_> = FsKind::ALL.iter().filter(|kind| **kind != FsKind::Udf && is_known(kind)).collect();
    assert!(kinds.len() >= 40, "{known}");
    for (i, first) in kinds.iter().enumerate() {
        for second in &kinds[i..] {
            if SAME_PLACE.contains(&(**first, **second)) {
                continue;
            }
            let image = image(&[**first, **second]);
            write_sparse(&path, &image);
            let ours = match probe(&image) {
                Ok(found) => Ok(found.map(|probe| probe.kind.name().to_owned())),
                Err(_) => Err(()),
            };
            ambiguous += usize::from(ours.is_err());
            let theirs = blkid(&path);
            // versions around 2.41 find nothing in what others call ambiguous
            if ours != theirs && !(ours.is_err() && theirs == Ok(None)) {
                different.push(format!("{first} {second}: blkid {theirs:?}, here {ours:?}"));
            }
        }
    }
    std::fs::remove_file(&path).unwrap();
    assert!(different.is_empty(), "{different:#?}");
    assert!(ambiguous >= 50, "only {ambiguous}");
}

#[test]
fn candidates_name_their_place() {
    let error = probe(&image(&[FsKind::Ext4, FsKind::Btrfs])).unwrap_err();
    assert_eq!(error.code(), "ambiguous-file-system");
    let text = "ambiguous superblocks: ext4 (magic at byte 1080), btrfs (magic at byte 65600)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn tolerant_ones_suffer_nobody_who_is_not() {
    assert_eq!(candidates(&image(&[FsKind::Iso9660, FsKind::Squashfs])), [FsKind::Iso9660, FsKind::Squashfs]);
}

#[test]
fn crypto_and_raid_hide_what_was_there_before() {
    let old = [FsKind::Ext4, FsKind::Btrfs, FsKind::Swap];
    for front in [FsKind::CryptoLuks, FsKind::DmVerityHash, FsKind::DmIntegrity, FsKind::LinuxRaidMember] {
        assert_eq!(kind(&image(&[old[0], old[1], old[2], front])), Some(front));
    }
    // and whichever of the two comes first in the search hides the other
    assert_eq!(kind(&image(&[FsKind::CryptoLuks, FsKind::Lvm2Member])), Some(FsKind::Lvm2Member));
}

#[test]
fn options_narrow_the_search() {
    let both = image(&[FsKind::Iso9660, FsKind::Jbd]);
    let found = probe_with(&both, &Options::only(&[FsKind::Iso9660])).unwrap().unwrap();
    assert_eq!(found.kind, FsKind::Iso9660);
    assert!(probe_with(&both, &Options::only(FsKind::SYSTEMD_CANDIDATES)).unwrap().is_none());
}

#[test]
fn floppies_have_what_is_found_first_and_are_no_raid() {
    let tiny = |kinds: &[FsKind], size: usize| kind(&image(kinds)[..size]);
    let both = [FsKind::Ext4, FsKind::Squashfs];
    assert_eq!(tiny(&both, 1440 << 10), Some(FsKind::Ext4));
    assert_eq!(candidates(&image(&both)[..(1440 << 10) + 1]), both);
    // and what was not looked for is told
    let passed_over = |kinds: &[FsKind]| -> Vec<FsKind> {
        let probe = probe(&image(kinds)[..1440 << 10].to_vec()).unwrap().unwrap();
        probe.passed_over.iter().map(|other| other.kind).collect()
    };
    assert_eq!(passed_over(&both), both[1..]);
    assert_eq!(passed_over(&both[..1]), []);
    assert_eq!(tiny(&[FsKind::LinuxRaidMember], 1440 << 10), None);
    // too small for ten pages, and for btrfs
    assert_eq!(tiny(&[FsKind::Swap], 40959), None);
    assert_eq!(tiny(&[FsKind::Swap], 40960), Some(FsKind::Swap));
    assert_eq!(tiny(&[FsKind::Btrfs], (1 << 20) - 1), None);
    assert_eq!(tiny(&[FsKind::DmVerityHash], 1024), None);
    assert_eq!(tiny(&[FsKind::DmVerityHash], 1025), Some(FsKind::DmVerityHash));
}

#[test]
fn ext_is_told_apart_by_its_features() {
    let mut image = image(&[FsKind::Ext3]);
    assert_eq!(probe(&image).unwrap().unwrap().version.as_deref(), Some("0.0"));
    // an ext3 for testing is two things at once, to libblkid as well
    image[1024 + 0x160] = 4;
    assert_eq!(candidates(&image), [FsKind::Ext4dev, FsKind::Ext3]);
    // a block size that cannot be, without a checksum to vouch for it
    image[1024 + 0x160] = 0;
    put(&mut image, 1024 + 0x18, &256_u32.to_le_bytes());
    assert_eq!(kind(&image), None);
}

#[test]
fn ext_block_count_overflows_into_a_claim_that_nothing_meets() {
    let mut image = image(&[FsKind::Ext4]);
    put(&mut image, 1024 + 0x60, &[0xc0]);
    put(&mut image, 1024 + 0x4, &[0xff; 4]);
    put(&mut image, 1024 + 0x150, &[0xff; 4]);
    let found = probe(&image).unwrap().unwrap();
    assert_eq!(found.claimed_size, Some(u64::MAX));
    assert_eq!(found.missing_bytes, u64::MAX - SIZE as u64);
    // 2^32 and more does not fit a block size
    put(&mut image, 1024 + 0x18, &22_u32.to_le_bytes());
    assert_eq!(probe(&image).unwrap().unwrap().block_size, None);
}

#[test]
fn wrong_checksums_make_superblocks_unrecognised() {
    // ext4 with metadata_csum
    let mut ext4 = image(&[FsKind::Ext4]);
    ext4[1024 + 0x65] = 4;
    assert_eq!(kind(&ext4), None);
    let crc = crc32c(!0, &ext4[1024..2044]);
    put(&mut ext4, 2044, &crc.to_le_bytes());
    assert_eq!(probe(&ext4).unwrap().unwrap().checksum, Checksum::Verified("crc32c"));

    let mut btrfs = image(&[FsKind::Btrfs]);
    btrfs[(64 << 10) + 300] ^= 1;
    assert_eq!(kind(&btrfs), None);
    // of the other algorithms, the one that is not checked is told
    for (algorithm, expected) in [(1, None), (2, None), (3, Some(Checksum::NotChecked("blake2b")))] {
        btrfs[(64 << 10) + 196] = algorithm;
        assert_eq!(probe(&btrfs).unwrap().map(|probe| probe.checksum), expected);
    }
    btrfs[(64 << 10) + 196] = 1;
    let hash = xxhash::xxh64(&btrfs[(64 << 10) + 32..68 << 10]);
    put(&mut btrfs, 64 << 10, &hash.to_le_bytes());
    assert_eq!(probe(&btrfs).unwrap().unwrap().checksum, Checksum::Verified("xxhash64"));

    // erofs with sb_chksum, over the rest of its block
    let mut erofs = image(&[FsKind::Erofs]);
    erofs[1024 + 8] = 1;
    assert_eq!(kind(&erofs), None);
    let crc = crc32c_without(&erofs[1024..4096], 4).unwrap();
    put(&mut erofs, 1028, &crc.to_le_bytes());
    assert_eq!(probe(&erofs).unwrap().unwrap().checksum, Checksum::Verified("crc32c"));
    // with blocks of 1 KiB there is no rest
    erofs[1024 + 12] = 10;
    assert_eq!(kind(&erofs), None);

    // version 5 of xfs
    let mut xfs = image(&[FsKind::Xfs]);
    put(&mut xfs, 100, &[0x80, 5]);
    put(&mut xfs, 200, &0x100_u32.to_be_bytes());
    assert_eq!(kind(&xfs), None);
    let crc = !crc32c_without(&xfs[..512], 224).unwrap();
    put(&mut xfs, 224, &crc.to_le_bytes());
    assert_eq!(probe(&xfs).unwrap().unwrap().checksum, Checksum::Verified("crc32c"));

    let mut raid = image(&[FsKind::LinuxRaidMember]);
    raid[4096 + 200] = 1;
    assert_eq!(kind(&raid), None);
    let mut lvm = image(&[FsKind::Lvm2Member]);
    lvm[600] = 1;
    assert_eq!(kind(&lvm), None);
}

#[test]
fn luks_elsewhere_is_a_copy() {
    let mut luks = image(&[FsKind::CryptoLuks]);
    luks[7] = 2;
    assert!(probe(&luks).unwrap().is_some());
    luks[256 + 5] = 0x40;
    assert_eq!(kind(&luks), None);
}

/// A LUKS2 header of 16 KiB with this JSON.
fn luks2(json: &str) -> luks::Header {
    let mut image = image(&[FsKind::CryptoLuks]);
    image[7] = 2;
    put(&mut image, 8, &(16_u64 << 10).to_be_bytes());
    put(&mut image, 4096, json.as_bytes());
    *probe(&image).unwrap().unwrap().luks.unwrap()
}

#[test]
fn luks2_has_integrity_if_every_segment_has() {
    let segment = |integrity: &str| format!(r#"{{"type":"crypt","encryption":"aes-xts-random"{integrity}}}"#);
    let with = segment(r#","integrity":{"type":"hmac(sha256)"}"#);
    let none = segment(r#","integrity":{"type":"none"}"#);
    let header = |segments: &str| luks2(&format!(r#"{{"segments":{{{segments}}}}}"#));
    assert_eq!(header(&format!(r#""0":{with}"#)).has_integrity(), Some(true));
    assert_eq!(header(&format!(r#""0":{with},"1":{with}"#)).has_integrity(), Some(true));
    for segments in [
        format!(r#""0":{none}"#),
        format!(r#""0":{}"#, segment("")),
        format!(r#""0":{with},"1":{none}"#),
        String::new(),
    ] {
        assert_eq!(header(&segments).has_integrity(), Some(false), "{segments}");
    }
    assert_eq!(luks2("{}").has_integrity(), Some(false));
    let many = (0..33).map(|i| format!(r#""{i}":{with}"#)).collect::<Vec<_>>().join(",");
    assert_eq!(header(&many).has_integrity(), Some(false));
}

#[test]
fn broken_luks2_json_is_known_to_be_unknown() {
    let deep = "[".repeat(4000);
    for json in ["", "{", "[]", "{}x", deep.as_str()] {
        let header = luks2(json);
        assert_eq!(header.metadata, Some(Err(luks::JsonProblem::Syntax)), "{json}");
        assert_eq!(header.has_integrity(), None);
    }
}

#[test]
fn luks2_header_size_is_bounded() {
    let mut image = vec![0x20; 32 << 20];
    plant(&mut image, FsKind::CryptoLuks);
    image[7] = 2;
    image[256..264].fill(0);
    let problem = |image: &mut Vec<u8>, size: u64| {
        put(image, 8, &size.to_be_bytes());
        probe(image).unwrap().unwrap().luks.unwrap().metadata.unwrap().unwrap_err()
    };
    for size in [0, 4096, (16 << 20) + 4097, (32 << 20) + 1, u64::MAX] {
        assert_eq!(problem(&mut image, size), luks::JsonProblem::HeaderSize, "{size}");
    }
    assert_eq!(problem(&mut image, 16 << 20), luks::JsonProblem::TooLong);
    assert_eq!(problem(&mut image, 16 << 10), luks::JsonProblem::Syntax);
}

#[test]
fn md_superblock_at_the_end_of_the_last_partition_is_the_partitions() {
    let mut image = vec![0; SIZE];
    let at = SIZE - (64 << 10);
    put(&mut image, at, &0xa92b_4efc_u32.to_be_bytes());
    // 0.90, 1 MiB used
    put(&mut image, at + 11, &[90]);
    put(&mut image, at + 32, &1024_u32.to_be_bytes());
    put(&mut image, at + 20, &[0x12, 0x34, 0x56, 0x78]);
    let found = probe(&image).unwrap().unwrap();
    assert_eq!((found.kind, found.version.as_deref()), (FsKind::LinuxRaidMember, Some("0.90.0")));
    assert_eq!(found.uuid.unwrap().to_string(), "12345678-0000-0000-0000-000000000000");
    let whole = 512..SIZE as u64;
    let with = |partitions: &[Range<u64>]| {
        probe_with(&image, &Options::default().with_partitions(partitions)).unwrap().map(|probe| probe.kind)
    };
    assert_eq!(with(std::slice::from_ref(&whole)), None);
    // one that leaves the disk vouches for nothing
    assert_eq!(with(&[whole, 0..u64::MAX]), Some(FsKind::LinuxRaidMember));
}

#[test]
fn swap_of_either_endianness() {
    for (words, endianness) in
        [([1, 9].map(u32::to_le_bytes), "little"), ([1, 9].map(u32::to_be_bytes), "big")]
    {
        let mut image = vec![0; SIZE];
        put(&mut image, 16374, b"SWAPSPACE2");
        put(&mut image, 1024, words.as_flattened());
        put(&mut image, 1052, b"label\0\0\0");
        let found = probe(&image).unwrap().unwrap();
        assert_eq!(found.claimed_size, Some(10 * (16 << 10)));
        assert_eq!(found.fact("endianness"), Some(&FactValue::Text(Text::from(endianness))));
        assert_eq!(found.label.unwrap().as_bytes(), b"label");
        // TuxOnIce has taken the space over
        put(&mut image, 0, b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c");
        assert_eq!(kind(&image), Some(FsKind::Swsuspend));
    }
    let mut image = vec![0; SIZE];
    put(&mut image, 4086, b"SWAPSPACE2");
    put(&mut image, 1024, &[1, 0, 0, 0]);
    assert_eq!(kind(&image), None, "no pages");
}

#[test]
fn fat_label_is_the_root_directorys() {
    let mut image = image(&[FsKind::Vfat]);
    // serial number and label of the boot sector, then the root directory at sector 161
    put(&mut image, 0x26, b"\x29\x78\x56\x34\x12BOOT       ");
    let root = 161 * 512;
    put(&mut image, root, b"A\0l\0o\0n\0g\0\0\x0f");
    put(&mut image, root + 32, b"\xe5ELETED    \x08");
    put(&mut image, root + 64, b"DIRECTORY  \x10");
    put(&mut image, root + 96, b"\x05VOLUME    \x08");
    let found = probe(&image).unwrap().unwrap();
    assert_eq!(found.label.as_ref().unwrap().as_bytes(), b"\xe5VOLUME");
    assert_eq!(found.fact("boot_label"), Some(&FactValue::Text(Text::from("BOOT"))));
    assert_eq!(found.uuid.unwrap().to_string(), "1234-5678");
    assert_eq!(found.version.as_deref(), Some("FAT16"));
    // behind the end of the directory is nothing
    image[root + 64] = 0;
    assert_eq!(probe(&image).unwrap().unwrap().label, None);
}

#[test]
fn fat32_cluster_chain_that_loops_ends() {
    let mut image = vec![0; SIZE];
    // 1 sector a cluster, 32 reserved, 1 FAT of 16 sectors; clusters 2 and 3 name each other
    put(&mut image, 11, &[0, 2, 1, 32, 0, 1, 0, 0, 0, 0, 0xf8, 0, 0]);
    put(&mut image, 32, &4096_u32.to_le_bytes());
    put(&mut image, 36, &16_u32.to_le_bytes());
    put(&mut image, 44, &2_u32.to_le_bytes());
    put(&mut image, 0x52, b"FAT32   ");
    put(&mut image, 32 * 512 + 8, &[3, 0, 0, 0, 2, 0, 0, 0]);
    let found = probe(&image).unwrap().unwrap();
    assert_eq!((found.kind, found.version.as_deref(), found.label), (FsKind::Vfat, Some("FAT32"), None));
    // the second cluster has it
    put(&mut image, 49 * 512, b"LABEL      \x08");
    assert_eq!(probe(&image).unwrap().unwrap().label.unwrap().as_bytes(), b"LABEL");
    // an information sector that is none
    put(&mut image, 0x30, &[1, 0]);
    put(&mut image, 512, b"what");
    assert_eq!(kind(&image), None);
}

/// Counts how often each byte is read.
struct Counting(Vec<u8>, Mutex<Vec<u8>>);

impl Counting {
    fn new(bytes: Vec<u8>) -> Self {
        let counts = Mutex::new(vec![0; bytes.len()]);
        Counting(bytes, counts)
    }
}

impl ReadAt for Counting {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, buf)?;
        let start = usize::try_from(offset).unwrap();
        self.1.lock().unwrap()[start..start + buf.len()].iter_mut().for_each(|count| *count += 1);
        Ok(())
    }
}

#[test]
fn no_byte_is_read_twice() {
    for kind in FsKind::ALL {
        let source = Counting::new(image(&[*kind]));
        probe(&source).unwrap().unwrap();
        let counts = source.1.into_inner().unwrap();
        assert!(counts.iter().all(|count| *count <= 1), "{kind}");
        let read = counts.iter().filter(|count| **count > 0).count();
        assert!(read <= 256 << 10, "{kind}: {read} bytes");
    }
}

/// Fails behind its first bytes.
struct Failing(usize);

impl ReadAt for Failing {
    fn size(&self) -> u64 {
        1 << 30
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset >= self.0 as u64 {
            return Err(io::ErrorKind::Other.into());
        }
        buf.fill(0);
        Ok(())
    }
}

#[test]
fn a_source_that_fails_is_not_taken_for_an_empty_one() {
    assert!(matches!(probe(&Failing(0)), Err(Error::Io { offset: 0, .. })));
    // the far end, where a RAID superblock could be
    let end = (1 << 30) - (64 << 10);
    assert!(matches!(probe(&Failing(128 << 10)), Err(Error::Io { offset, .. }) if offset == end));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever stands around the magic: no panic, and not more than the bound is read.
    #[test]
    fn mutated_superblocks_neither_panic_nor_read_far(
        planted in prop::sample::select(FsKind::ALL),
        flips in prop::collection::vec((0_usize..8192, any::<u8>()), 0..24),
        size in prop_oneof![Just(SIZE), 1025..SIZE],
    ) {
        let mut bytes = image(&[planted]);
        let base = if planted == FsKind::Btrfs { 64 << 10 } else { 0 };
        for (offset, value) in flips {
            bytes[base + offset % 4608] = value;
        }
        bytes.truncate(size);
        let source = Counting::new(bytes);
        let _ = probe(&source);
        let read: usize = source.1.into_inner().unwrap().iter().map(|count| usize::from(*count)).sum();
        prop_assert!(read <= 640 << 10);
    }
}
