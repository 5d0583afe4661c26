//! Two readings of one disk: GPTs for two block sizes, MBR and GPT, a file system over both.

use ddi_gpt::BlockSize;

use super::base::{GOOD, disk_of};
use super::c4_file_systems::{Kind, superblock};
use super::media::*;
use super::{Class, Media, base};

/// A record of an MBR: type, first sector, sectors.
fn mbr(records: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; 66];
    for (record, (kind, start, size)) in bytes.chunks_exact_mut(16).zip(records) {
        record[4] = *kind;
        record[8..12].copy_from_slice(&start.to_le_bytes());
        record[12..16].copy_from_slice(&size.to_le_bytes());
    }
    bytes[64..].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

pub(crate) fn images() -> Class {
    let mut class = Class::new("C3");
    let parts = GOOD.parts("root-x86-64", "os_1");
    let of = |block| disk_of(&parts, block, 0, (128, 128));

    // a header of its own for two sizes each
    let sizes = BlockSize::ALL;
    for (i, first) in sizes.into_iter().enumerate() {
        for second in &sizes[i + 1..] {
            let larger = of(*second);
            let mut media = of(first);
            media.put(larger.block, larger.get(larger.block, 92));
            let (first, second) = (first.bytes(), second.bytes());
            class.add(
                format!("headers for blocks of {first} and of {second} bytes"),
                media,
                "inspect",
                1,
                "gpt-ambiguous-block-size",
            );
        }
    }
    // a 512-byte table that an earlier use of a 4096-byte disk left behind
    let old = base();
    let media = of(BlockSize::B4096).with(512, old.get(512, 512));
    class.add(
        "the rest of an older table for blocks of 512 bytes",
        media,
        "inspect",
        1,
        "gpt-ambiguous-block-size",
    );
    // one copy for each size: which table is it?
    let large = of(BlockSize::B4096);
    let mut media = base();
    media.put(media.size - 5 * 4096, large.get(large.size - 5 * 4096, 5 * 4096));
    let media = media.with(512, [0; 512]);
    class.add(
        "primary header gone, backup for blocks of 4096 bytes",
        media,
        "inspect",
        1,
        "gpt-no-signature",
    );

    // MBR and GPT
    let blocks = (base().size / 512 - 1) as u32;
    let mut with_mbr = |what: &str, records: &[(u8, u32, u32)], status, answer| {
        class.add(what, base().with(446, mbr(records)), "inspect", status, answer);
    };
    with_mbr(
        "a second, real record in the protective MBR",
        &[(0xee, 1, blocks), (0x83, 64, 8)],
        0,
        "gpt-hybrid-mbr",
    );
    with_mbr(
        "the protective record comes last",
        &[(0x83, 64, 8), (0x0c, 80, 8), (0xef, 96, 8), (0xee, 1, 33)],
        0,
        "gpt-hybrid-mbr",
    );
    with_mbr("a protective record from LBA 0 on", &[(0xee, 0, blocks)], 0, "gpt-protective-mbr-extent");
    with_mbr("a protective record without blocks", &[(0xee, 1, 0)], 0, "gpt-protective-mbr-extent");
    with_mbr(
        "a protective record of half the disk",
        &[(0xee, 1, blocks / 2)],
        0,
        "gpt-protective-mbr-extent",
    );
    with_mbr("an MBR with a Linux partition, and headers of a GPT", &[(0x83, 64, 8)], 1, "nothing-usable");
    with_mbr("an MBR without records, and headers of a GPT", &[], 1, "nothing-usable");
    let plain = |records: &[(u8, u32, u32)]| Media::new(2 << 20).with(446, mbr(records));
    let mut only_mbr = |what: &str, records: &[(u8, u32, u32)], answer| {
        // what nobody recognises is not refused
        let status = if answer == "nothing-recognised" { 2 } else { 1 };
        class.add(what, plain(records), "inspect", status, answer);
    };
    only_mbr("an MBR partition past the end of the disk", &[(0x83, 64, 1 << 20)], "mbr-outside-disk");
    only_mbr("an MBR partition that starts at 2^32-1", &[(0x83, u32::MAX, u32::MAX)], "mbr-outside-disk");
    only_mbr("an MBR partition over the MBR", &[(0x83, 0, 8)], "mbr-over-table");
    only_mbr("MBR partitions that overlap", &[(0x83, 64, 8), (0x83, 68, 8)], "mbr-overlap");
    only_mbr("a protective MBR without GPT", &[(0xee, 1, 4095)], "nothing-recognised");
    only_mbr("an extended partition that contains itself", &[(0x05, 1, 4000)], "nothing-usable");

    // a file system over the whole disk, and a GPT: systemd takes the file system, the firmware the table
    for kind in [Kind::Squashfs, Kind::Xfs, Kind::Vfat, Kind::Btrfs, Kind::Luks] {
        let mut media = base();
        for (offset, bytes) in superblock(kind, 1 << 20) {
            // the boot signature and the protective record stay
            media.put(offset, bytes);
        }
        media.put(446, base().get(446, 66));
        class.add(
            format!("a {} superblock for the whole disk, and a GPT", kind.name()),
            media,
            "inspect",
            0,
            "table-behind-file-system",
        );
    }
    // in the entry array, as the type of an entry that a reader of entries sees as one more partition
    // erofs keeps its number of blocks where an entry has its first LBA: that one ends before it starts
    for (kind, status, answer) in
        [(Kind::Erofs, 1, "gpt-partition-inverted"), (Kind::F2fs, 0, "table-behind-file-system")]
    {
        let mut media = base();
        for (offset, bytes) in superblock(kind, 1 << 20) {
            media.put(offset, bytes);
        }
        // the same entries in the backup: the table means one thing
        let array = media.get(1024, 128 * 128);
        media.put(media.field(Copy::Backup, ARRAY_LBA) * 512, array);
        for copy in BOTH {
            media.repair(copy);
        }
        class.add(
            format!("a {} superblock over the first entries of both arrays, CRCs right", kind.name()),
            media,
            "inspect",
            status,
            answer,
        );
    }
    let mut media = base();
    for (offset, bytes) in [superblock(Kind::Squashfs, 1 << 20), superblock(Kind::Btrfs, 1 << 20)].concat() {
        media.put(offset, bytes);
    }
    media.put(446, base().get(446, 66));
    class.add("two superblocks for the whole disk, and a GPT", media, "inspect", 1, "ambiguous-image");
    class
}
