//! Two file systems in one place: every pair of the seven that systemd mounts, as far as both can be there at once.

use super::base::{Part, Verity, disk};
use super::media::crc32c;
use super::{Class, Media};

/// A kind of superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Btrfs,
    Erofs,
    Ext4,
    F2fs,
    Squashfs,
    Vfat,
    Xfs,
    Swap,
    Luks,
    /// Of software RAID, with its superblock 64 KiB before the end.
    Raid,
    Lvm,
    Iso,
    Verity,
}

pub(crate) const SEVEN: [Kind; 7] =
    [Kind::Btrfs, Kind::Erofs, Kind::Ext4, Kind::F2fs, Kind::Squashfs, Kind::Vfat, Kind::Xfs];

impl Kind {
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// The bytes of a superblock of a volume of `size` bytes that every prober believes: where, and what.
pub(crate) fn superblock(kind: Kind, size: u64) -> Vec<(u64, Vec<u8>)> {
    let le32 = |value: u64| (value as u32).to_le_bytes().to_vec();
    let be = |value: u64, len: usize| value.to_be_bytes()[8 - len..].to_vec();
    let text = |text: &str| text.as_bytes().to_vec();
    match kind {
        Kind::Btrfs => {
            let mut sb = vec![0; 4096];
            sb[32..48].fill(0x22);
            sb[64..72].copy_from_slice(b"_BHRfS_M");
            for (at, value) in [(112, size), (209, size), (136, 1), (144, 4096), (148, 16384)] {
                let len = if (144..152).contains(&at) { 4 } else { 8 };
                sb[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
            }
            let crc = crc32c(&sb[32..]);
            sb[..4].copy_from_slice(&crc.to_le_bytes());
            vec![(65536, sb)]
        }
        // all of its 128 bytes but the magic, the block size and the number of blocks are left as they are
        Kind::Erofs => vec![
            (1024, vec![0xe2, 0xe1, 0xf5, 0xe0]),
            (1024 + 8, vec![0; 4]),
            (1024 + 12, vec![12]),
            (1024 + 36, le32(size / 4096)),
        ],
        // needs extents, which makes it ext4
        Kind::Ext4 => vec![
            (1024 + 4, le32(size / 1024)),
            (1024 + 0x18, le32(0)),
            (1024 + 0x38, vec![0x53, 0xef]),
            (1024 + 0x60, le32(0x40)),
            (1024 + 0x68, vec![0x33; 8]),
        ],
        // version 1.0, of which only the first six bytes have a meaning
        Kind::F2fs => vec![(1024, vec![0x10, 0x20, 0xf5, 0xf2, 1, 0, 0, 0])],
        Kind::Squashfs => vec![(0, text("hsqs")), (28, vec![4, 0, 0, 0]), (40, size.to_le_bytes().to_vec())],
        // FAT16: 512 bytes a sector, one sector a cluster, one FAT of 32 sectors, 512 entries in the root directory
        Kind::Vfat => vec![
            (0, vec![0xeb, 0x3c, 0x90]),
            (11, vec![0, 2, 1, 1, 0, 1, 0, 2]),
            (19, (size / 512).min(8192).to_le_bytes()[..2].to_vec()),
            (21, vec![0xf8, 32, 0]),
            (54, text("FAT16   ")),
            (510, vec![0x55, 0xaa]),
        ],
        // version 4, which has no checksum
        Kind::Xfs => {
            let blocks = size / 4096;
            vec![
                (0, text("XFSB")),
                (4, be(4096, 4)),
                (8, be(blocks, 8)),
                (80, be(1, 4)),
                (84, be(blocks, 4)),
                (88, be(1, 4)),
                (100, be(4, 2)),
                (102, be(512, 2)),
                (104, be(256, 2)),
                (120, vec![12, 9, 8, 4]),
                (127, vec![25]),
            ]
        }
        Kind::Swap => vec![(1024, le32(1)), (1028, le32(size / 4096 - 1)), (4086, text("SWAPSPACE2"))],
        Kind::Luks => vec![(0, [&b"LUKS\xba\xbe\0\x01"[..], b"aes"].concat())],
        Kind::Raid => {
            // version 0.90: magic, then major and minor version
            let mut sb = vec![0; 4096];
            sb[..12].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, 0, 0, 0, 0, 90, 0, 0, 0]);
            vec![((size & !0xffff) - 0x10000, sb)]
        }
        Kind::Lvm => {
            // label in sector 1: LABELONE, its sector, CRC, offset of the header, LVM2 001
            let mut sb = vec![0; 512];
            sb[..8].copy_from_slice(b"LABELONE");
            sb[8] = 1;
            sb[20] = 32;
            sb[24..32].copy_from_slice(b"LVM2 001");
            sb[32..64].fill(b'u');
            let crc = lvm_crc(&sb[20..]);
            sb[16..20].copy_from_slice(&crc.to_le_bytes());
            vec![(512, sb)]
        }
        Kind::Iso => {
            // numbers are there in both byte orders; blocks of 2048 bytes
            let blocks = (size / 2048) as u32;
            let mut descriptor = b"\x01CD001\x01".to_vec();
            descriptor.resize(2048, 0);
            descriptor[80..84].copy_from_slice(&blocks.to_le_bytes());
            descriptor[84..88].copy_from_slice(&blocks.to_be_bytes());
            descriptor[128..132].copy_from_slice(&[0, 8, 8, 0]);
            vec![(32768, descriptor), (34816, b"\xffCD001\x01".to_vec())]
        }
        Kind::Verity => vec![(0, text("verity\0\0\x01\0\0\0\x01\0\0\0"))],
    }
}

/// CRC-32 with LVM's initial value, and without the final inversion.
fn lvm_crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc: u32, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
            },
        )
    })
}

/// Not a floppy any more, on which libblkid takes the first file system that it finds.
const SIZE: u64 = 2 << 20;

/// A volume with all of these superblocks.
pub(crate) fn volume(kinds: &[Kind]) -> Vec<u8> {
    let mut media = Media::new(SIZE);
    // FAT has its numbers where others have what can be anything
    let (fat, others): (Vec<Kind>, Vec<Kind>) = kinds.iter().partition(|kind| **kind == Kind::Vfat);
    for (offset, bytes) in others.into_iter().chain(fat).flat_map(|kind| superblock(kind, SIZE)) {
        media.put(offset, bytes);
    }
    if kinds.contains(&Kind::Xfs) && kinds.contains(&Kind::Vfat) {
        // the parameters of FAT lie in the number of blocks of XFS: let there be so many
        let blocks = media.get(8, 8);
        media.put(84, &blocks[4..]);
        media.put(0, *b"XFSB");
    }
    if kinds.contains(&Kind::Squashfs) && kinds.contains(&Kind::Vfat) {
        media.put(0, *b"hsqs");
    }
    media.bytes()
}

pub(crate) fn images() -> Class {
    let mut class = Class::new("C4");
    let root = |content: &[u8]| disk(&[Part::new("root-x86-64", "os_1", content)]);
    for (i, first) in SEVEN.into_iter().enumerate() {
        for second in &SEVEN[i + 1..] {
            let names = (first.name(), second.name());
            let content = volume(&[first, *second]);
            let same_place =
                [(Kind::Erofs, Kind::F2fs), (Kind::Squashfs, Kind::Xfs)].contains(&(first, *second));
            match same_place {
                // their magics are in the same bytes, and the second one is written over the first
                true => class.add(
                    format!(
                        "{} written over {}: magics in the same place, and one reading",
                        names.1, names.0
                    ),
                    root(&content),
                    "inspect",
                    0,
                    "unprotected",
                ),
                false => class.add(
                    format!("{} and {} in one partition", names.0, names.1),
                    root(&content),
                    "inspect",
                    1,
                    "ambiguous-file-system",
                ),
            };
        }
    }
    // with what is not mounted, but recognised
    for kinds in [
        &[Kind::Ext4, Kind::Swap][..],
        &[Kind::Btrfs, Kind::Swap],
        &[Kind::Xfs, Kind::Swap],
        &[Kind::Ext4, Kind::Btrfs, Kind::Vfat],
        &[Kind::Erofs, Kind::Ext4, Kind::Squashfs],
        &[Kind::Squashfs, Kind::Iso],
        &[Kind::Ext4, Kind::Iso],
    ] {
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        let media = root(&volume(kinds));
        class.add(
            format!("{} in one partition", names.join(" and ")),
            media,
            "inspect",
            1,
            "ambiguous-file-system",
        );
    }
    // the whole image
    let whole = |kinds: &[Kind]| Media::new(SIZE).with(0, volume(kinds));
    for kinds in [[Kind::Ext4, Kind::Btrfs], [Kind::Erofs, Kind::Squashfs], [Kind::Ext4, Kind::Swap]] {
        let names = kinds.map(Kind::name).join(" and ");
        class.add(
            format!("{names}, without partition table"),
            whole(&kinds),
            "inspect",
            1,
            "ambiguous-image",
        );
    }
    // under a root hash that is right
    for kinds in [[Kind::Ext4, Kind::Btrfs], [Kind::Erofs, Kind::Xfs], [Kind::F2fs, Kind::Vfat]] {
        let verity = Verity::new(volume(&kinds));
        let names = kinds.map(Kind::name).join(" and ");
        class.add(
            format!("{names}, every block right under the root hash that is given"),
            disk(&verity.parts("root-x86-64", "os_1")),
            &format!("verify --root-hash {}", verity.hex()),
            1,
            "ambiguous-file-system",
        );
    }
    // a tail that is taken for something else: a RAID superblock ends the search, and nothing is mounted
    for (kinds, name) in [([Kind::Ext4, Kind::Raid], "an MD RAID"), ([Kind::Erofs, Kind::Lvm], "an LVM")] {
        let verity = Verity::new(volume(&kinds));
        class.add(
            format!("{} with {name} superblock, every block right", kinds[0].name()),
            disk(&verity.parts("root-x86-64", "os_1")),
            &format!("verify --root-hash {}", verity.hex()),
            1,
            "unrecognised-content",
        );
    }
    let verity = Verity::new(volume(&[Kind::Squashfs, Kind::Verity]));
    class.add(
        "a hash tree as data of a hash tree",
        disk(&verity.parts("root-x86-64", "os_1")),
        &format!("verify --root-hash {}", verity.hex()),
        1,
        "unrecognised-content",
    );
    // what a superblock claims
    for (kind, claim) in
        [(Kind::Ext4, 1 << 40), (Kind::Erofs, 1 << 43), (Kind::Btrfs, u64::MAX), (Kind::Squashfs, u64::MAX)]
    {
        let mut media = Media::new(SIZE);
        for (offset, bytes) in superblock(kind, claim) {
            media.put(offset, bytes);
        }
        class.add(
            format!("{} that claims {claim} bytes", kind.name()),
            root(&media.bytes()),
            "inspect",
            1,
            "file-system-too-large",
        );
    }
    class
}
