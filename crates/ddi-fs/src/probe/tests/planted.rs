//! The fewest bytes that make each kind.

use super::planted_api::{FsKind, crc, crc32c};

/// Larger than a floppy, large enough for all.
pub const SIZE: usize = 2 << 20;

pub fn put(image: &mut [u8], offset: usize, bytes: &[u8]) {
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Writes the fewest bytes that make `kind`, so that another superblock may stand between them.
pub fn plant(image: &mut [u8], kind: FsKind) {
    match kind {
        FsKind::Btrfs => {
            let sb = &mut image[64 << 10..][..4096];
            put(sb, 64, b"_BHRfS_M");
            put(sb, 112, &[0, 0, 0x20, 0, 0, 0, 0, 0]);
            put(sb, 144, &4096_u32.to_le_bytes());
            let csum = !crc32c(!0, &sb[32..]);
            put(sb, 0, &csum.to_le_bytes());
        }
        FsKind::Erofs => {
            put(image, 1024, &[0xe2, 0xe1, 0xf5, 0xe0]);
            put(image, 1024 + 12, &[12]);
        }
        FsKind::Ext2 | FsKind::Ext3 | FsKind::Ext4 | FsKind::Ext4dev | FsKind::Jbd => {
            put(image, 1080, &[0x53, 0xef]);
            // journal or not; recover, extents, journal device
            put(image, 1024 + 0x5c, &[if kind == FsKind::Ext3 { 4 } else { 0 }]);
            let incompat = match kind {
                FsKind::Ext4 | FsKind::Ext4dev => 0x40,
                FsKind::Jbd => 0x8,
                FsKind::Ext3 => 0x4,
                _ => 0,
            };
            put(image, 1024 + 0x60, &[incompat]);
            put(image, 1024 + 0x160, &[if kind == FsKind::Ext4dev { 4 } else { 0 }]);
        }
        FsKind::F2fs => put(image, 1024, &[0x10, 0x20, 0xf5, 0xf2, 1, 0, 16, 0]),
        FsKind::Squashfs => {
            put(image, 0, b"hsqs");
            put(image, 28, &[4, 0]);
        }
        FsKind::Squashfs3 => {
            put(image, 0, b"sqsh");
            put(image, 28, &[0, 3]);
        }
        FsKind::Vfat => {
            // 512-byte sectors, 1 a cluster, 1 reserved, 2 FATs, 512 root entries, 20000 sectors, 80 a FAT
            put(image, 11, &[0, 2, 1, 1, 0, 2, 0, 2, 0x20, 0x4e, 0xf8, 80, 0]);
            put(image, 0x36, b"FAT16   ");
        }
        FsKind::Xfs => {
            put(image, 0, b"XFSB");
            put(image, 4, &4096_u32.to_be_bytes());
            put(image, 8, &(1_u64 << 20).to_be_bytes());
            put(image, 80, &1_u32.to_be_bytes());
            put(image, 84, &u32::MAX.to_be_bytes());
            put(image, 88, &1_u32.to_be_bytes());
            put(image, 100, &[0, 4, 2, 0, 2, 0]);
            put(image, 120, &[12, 9, 9, 3]);
        }
        // version 0, which has no header
        FsKind::Swap => put(image, 4086, b"SWAP-SPACE"),
        FsKind::Swsuspend => put(image, 8182, b"S1SUSPEND"),
        FsKind::CryptoLuks => put(image, 0, b"LUKS\xba\xbe\0\x01"),
        FsKind::DmVerityHash => put(image, 0, b"verity\0\0\x01\0\0\0"),
        FsKind::DmIntegrity => put(image, 0, b"integrt\0\x01"),
        FsKind::DmSnapshotCow => put(image, 0, b"SnAp"),
        FsKind::Iso9660 => {
            put(image, 32 << 10, b"\x01CD001\x01");
            put(image, (32 << 10) + 40, b"VOLUME  ");
            put(image, (32 << 10) + 128, &[0, 8]);
            // the root directory, in block 18, which begins with itself: versions of libblkid after 2.41 look there
            put(image, (32 << 10) + 156 + 2, &[18]);
            put(image, (32 << 10) + 156 + 10, &[0, 8]);
            put(image, 18 * 2048, &[34, 0, 18]);
            put(image, 18 * 2048 + 32, &[1, 0]);
        }
        FsKind::BitLocker => put(image, 0, b"\xeb\x52\x90-FVE-FS-"),
        FsKind::Ntfs => {
            put(image, 3, b"NTFS    \0\x02\x01");
            // 4096 sectors, the table at cluster 1000, records of one cluster
            put(image, 40, &4096_u64.to_le_bytes());
            put(image, 48, &1000_u64.to_le_bytes());
            put(image, 64, &[1]);
            put(image, 1000 * 512, b"FILE");
            put(image, 1003 * 512, b"FILE");
        }
        FsKind::Exfat => {
            // where others keep their parameters it has zeros
            put(image, 11, &[0; 53]);
            put(image, 0, b"\xeb\x76\x90EXFAT   ");
            put(image, 80, [24_u32, 8, 64, 100, 2].map(u32::to_le_bytes).as_flattened());
            put(image, 104, &[0, 1, 0, 0, 9, 3, 1]);
            put(image, 510, &[0x55, 0xaa]);
            let mut sum = 0_u32;
            for (i, byte) in image[..11 * 512].iter().enumerate() {
                if ![106, 107, 112].contains(&i) {
                    sum = sum.rotate_right(1).wrapping_add(u32::from(*byte));
                }
            }
            put(image, 11 * 512, [sum.to_le_bytes(); 128].as_flattened());
        }
        FsKind::Udf => {
            put(image, 32 << 10, b"\0BEA01\x01");
            put(image, 34 << 10, b"\0NSR02\x01");
            put(image, 256 * 2048, &[2, 0]);
            put(image, 256 * 2048 + 12, &256_u32.to_le_bytes());
        }
        FsKind::Hfs => {
            put(image, 1024, b"BD");
            put(image, 1024 + 20, &512_u32.to_be_bytes());
        }
        FsKind::Hfsplus => {
            put(image, 1024, b"H+");
            put(image, 1024 + 40, &4096_u32.to_be_bytes());
        }
        FsKind::Lvm1Member => put(image, 0, b"HM\x01\0"),
        FsKind::Lvm2Member => {
            let label = &mut image[512..1024];
            put(label, 0, b"LABELONE\x01\0\0\0\0\0\0\0");
            put(label, 24, b"LVM2 001");
            let crc = crc::crc32(0xf597_a6cf, &label[20..]);
            put(label, 16, &crc.to_le_bytes());
        }
        FsKind::LinuxRaidMember => {
            // version 1.2; the checksum is the sum of the words: magic, 1, sector 8
            put(image, 4096, &0xa92b_4efc_u32.to_le_bytes());
            put(image, 4100, &[1]);
            put(image, 4096 + 144, &[8]);
            put(image, 4096 + 216, &(0xa92b_4efc_u32 + 1 + 8).to_le_bytes());
        }
        other => plant_rare(image, other),
    }
}

/// The same for kinds that nothing mounts, as libblkid knows them.
fn plant_rare(image: &mut [u8], kind: FsKind) {
    let end = image.len();
    let words = |bytes: &[u8]| -> u16 {
        bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).fold(0, u16::wrapping_add)
    };
    match kind {
        FsKind::DdfRaidMember => {
            let header = &mut image[end - 512..];
            put(header, 0, &[0xde, 0x11, 0xde, 0x11, 0xff, 0xff, 0xff, 0xff]);
            put(header, 8, b"a GUID of 24 characters.01.02.00");
            let crc = crc::crc32(0, header);
            put(header, 4, &crc.to_be_bytes());
        }
        FsKind::IswRaidMember => put(image, end - 1024, b"Intel Raid ISM Cfg Sig. 1.0.00"),
        FsKind::LsiMegaRaidMember => put(image, end - 512, b"$XIDE$"),
        FsKind::ViaRaidMember => {
            put(image, end - 512, &[0x55, 0xaa, 2]);
            image[end - 512 + 50] = 0x55_u8.wrapping_add(0xaa).wrapping_add(2);
        }
        FsKind::SiliconMedleyRaidMember => {
            let sb = &mut image[end - 512..];
            put(sb, 0x60, &0x2f00_0000_u32.to_le_bytes());
            sb[0x116] = 1;
            let sum = words(&sb[..0x13e]).wrapping_neg();
            put(sb, 0x13e, &sum.to_le_bytes());
        }
        FsKind::NvidiaRaidMember => {
            let sb = &mut image[end - 1024..][..120];
            put(sb, 0, b"NVIDIA  \x1e\0\0\0\0\0\0\0");
            put(sb, 16, &100_u16.to_le_bytes());
            let word = |word: &[u8]| u32::from_le_bytes(word.try_into().unwrap());
            let sum = sb.chunks(4).map(word).fold(0, u32::wrapping_add);
            put(sb, 12, &sum.wrapping_neg().to_le_bytes());
        }
        FsKind::PromiseFasttrackRaidMember => put(image, end - 63 * 512, b"Promise Technology, Inc."),
        FsKind::Hpt45xRaidMember => put(image, end - 11 * 512, &0x5a78_16f3_u32.to_le_bytes()),
        FsKind::Hpt37xRaidMember => put(image, 4640, &0x5a78_16f0_u32.to_le_bytes()),
        FsKind::AdaptecRaidMember => {
            put(image, end - 512, &0x37fc_4d1e_u32.to_be_bytes());
            put(image, end - 256, b"DPTM");
        }
        FsKind::JmicronRaidMember => {
            let sb = &mut image[end - 512..][..128];
            put(sb, 0, b"JM\x01\x02\0\0");
            let sum = words(sb).wrapping_neg();
            put(sb, 4, &sum.to_le_bytes());
        }
        FsKind::Bcache => {
            let sb = &mut image[4096..];
            put(sb, 8, &8_u64.to_le_bytes());
            put(sb, 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81");
            put(sb, 40, &[7; 16]);
            put(sb, 206, &[3]);
            let sum = crc::crc64(&sb[8..208 + 24]);
            put(sb, 0, &sum.to_le_bytes());
        }
        FsKind::Bcachefs => {
            let sb = &mut image[4096..];
            put(sb, 24, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef");
            put(sb, 56, &[7; 16]);
            put(sb, 104, &8_u64.to_le_bytes());
            put(sb, 122, &[0, 1]);
            // the checksum's kind, CRC-32C, in the top bits as libblkid reads them
            put(sb, 144, &[4]);
            put(sb, 257, &[11]);
            let sum = !crc32c(!0, &sb[16..752]);
            put(sb, 0, &sum.to_le_bytes());
        }
        FsKind::Reiserfs => {
            put(image, (64 << 10) + 12, &18_u32.to_le_bytes());
            put(image, (64 << 10) + 44, &4096_u16.to_le_bytes());
            put(image, (64 << 10) + 52, b"ReIsEr2Fs");
        }
        FsKind::Reiser4 => put(image, 64 << 10, b"ReIsEr4\0\0\0\0\0\0\0\0\0\0\0\0\x10"),
        FsKind::Jfs => {
            put(image, 32 << 10, b"JFS1\x01");
            put(image, (32 << 10) + 16, &[0, 0x10, 0, 0, 12, 0, 3, 0, 0, 2, 0, 0, 9]);
        }
        FsKind::ZfsMember => {
            let list = &mut image[16 << 10..];
            put(list, 0, &[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            let mut at = 12;
            for (name, value) in [(&b"txg\0"[..], 4_u64), (b"guid", 5), (b"stat", 0)] {
                put(list, at, &32_u32.to_be_bytes());
                put(list, at + 8, &4_u32.to_be_bytes());
                put(list, at + 12, name);
                put(list, at + 16, &[0, 0, 0, 8, 0, 0, 0, 1]);
                put(list, at + 24, &value.to_be_bytes());
                at += 32;
            }
            // what versions of libblkid before 2.39 look for
            for block in 128..132 {
                put(image, block << 10, &0x00ba_b10c_u64.to_le_bytes());
            }
        }
        FsKind::Cramfs => {
            put(image, 0, &0x28cd_3d45_u32.to_le_bytes());
            put(image, 4, &[0, 0x10, 0, 0, 1]);
            put(image, 16, b"Compressed ROMFS\0\0\0\0");
            let sum = !crc::crc32(!0, &image[..4096]);
            put(image, 32, &sum.to_le_bytes());
        }
        // 64 inodes and 64 zones of version 1, one block of each map
        FsKind::Minix => {
            let numbers = [64_u16, 64, 1, 1, 6, 0, 0, 0, 0x137f, 1].map(u16::to_le_bytes);
            put(image, 1024, numbers.as_flattened());
        }
        FsKind::Nilfs2 => {
            let sb = &mut image[1024..];
            put(sb, 0, &[2, 0, 0, 0, 0, 0, 0x34, 0x34, 0x18, 0x01]);
            put(sb, 12, &77_u64.to_le_bytes());
            let sum = crc::crc32(77, &sb[..0x118]);
            put(sb, 16, &sum.to_le_bytes());
        }
        _ => panic!("{kind}"),
    }
}

/// As large as the largest of them asks for, so that the others are small.
pub fn size_for(kinds: &[FsKind]) -> usize {
    let of = |kind: &FsKind| match kind {
        FsKind::ZfsMember => 64 << 20,
        FsKind::Jfs => 16 << 20,
        _ => SIZE,
    };
    kinds.iter().map(of).max().unwrap_or(SIZE)
}

pub fn image(kinds: &[FsKind]) -> Vec<u8> {
    let mut image = vec![0; size_for(kinds)];
    // these last: they sum what the others wrote
    let last = |kind: &FsKind| [FsKind::Cramfs, FsKind::Exfat].iter().position(|last| last == kind);
    let mut kinds = kinds.to_vec();
    kinds.sort_by_key(last);
    for kind in kinds {
        plant(&mut image, kind);
    }
    image
}
