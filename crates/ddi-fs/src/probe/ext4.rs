//! ext2, ext3, ext4 and their external journals: one superblock, told apart by feature bits.
//!
//! Source: Linux, `Documentation/filesystems/ext4/super.rst`; which bits make which kind: libblkid, `ext.c`.

use super::crc::crc32c;
use super::disk::{Bytes, Disk};
use super::{Checksum, Error, FsKind, FsUuid, Probe, Text};

/// Where the superblock starts.
const OFFSET: u64 = 1024;
const SIZE: usize = 1024;
const MAGIC: [u8; 2] = [0x53, 0xef];
const MAGIC_OFFSET: u64 = OFFSET + 0x38;
/// Where the checksum over everything before it is.
const CHECKSUM: usize = 0x3fc;

const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
const INCOMPAT_64BIT: u32 = 0x80;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
const FLAGS_TEST_FILESYS: u32 = 0x4;

/// sparse_super, large_file, btree_dir
const EXT2_RO_COMPAT: u32 = 0x7;
/// filetype, meta_bg
const EXT2_INCOMPAT: u32 = 0x12;
/// filetype, recover, meta_bg
const EXT3_INCOMPAT: u32 = 0x16;

pub(super) fn probe_ext4dev(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    probe(disk, FsKind::Ext4dev)
}
pub(super) fn probe_ext4(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    probe(disk, FsKind::Ext4)
}
pub(super) fn probe_ext3(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    probe(disk, FsKind::Ext3)
}
pub(super) fn probe_ext2(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    probe(disk, FsKind::Ext2)
}
pub(super) fn probe_jbd(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    probe(disk, FsKind::Jbd)
}

fn probe(disk: &Disk<'_>, kind: FsKind) -> Result<Option<Probe>, Error> {
    Ok(disk.bytes(OFFSET, SIZE)?.and_then(|sb| parse(&sb, kind)))
}

fn parse(sb: &Bytes<'_>, kind: FsKind) -> Option<Probe> {
    let s_inodes_count = sb.le32(0x0)?;
    let s_blocks_count_lo = sb.le32(0x4)?;
    let s_log_block_size = sb.le32(0x18)?;
    let s_magic = sb.array(0x38)?;
    let s_minor_rev_level = sb.le16(0x3e)?;
    let s_rev_level = sb.le32(0x4c)?;
    let s_feature_compat = sb.le32(0x5c)?;
    let s_feature_incompat = sb.le32(0x60)?;
    let s_feature_ro_compat = sb.le32(0x64)?;
    let s_uuid = sb.array(0x68)?;
    let s_volume_name = sb.slice(0x78, 16)?;
    let s_last_mounted = sb.slice(0x88, 64)?;
    let s_blocks_count_hi = sb.le32(0x150)?;
    let s_flags = sb.le32(0x160)?;
    let s_checksum = sb.le32(CHECKSUM)?;

    if s_magic != MAGIC {
        return None;
    }
    let checksum = if s_feature_ro_compat & RO_COMPAT_METADATA_CSUM != 0 {
        if crc32c(!0, sb.slice(0, CHECKSUM)?) != s_checksum {
            return None;
        }
        Checksum::Verified("crc32c")
    } else if s_log_block_size >= 256 {
        return None;
    } else {
        Checksum::Absent
    };

    let journal = s_feature_compat & COMPAT_HAS_JOURNAL != 0;
    let journal_dev = s_feature_incompat & INCOMPAT_JOURNAL_DEV != 0;
    let test = s_flags & FLAGS_TEST_FILESYS != 0;
    let ext2_knows = s_feature_ro_compat & !EXT2_RO_COMPAT == 0 && s_feature_incompat & !EXT2_INCOMPAT == 0;
    let ext3_knows = s_feature_ro_compat & !EXT2_RO_COMPAT == 0 && s_feature_incompat & !EXT3_INCOMPAT == 0;
    let matches = match kind {
        FsKind::Ext4dev => !journal_dev && test,
        FsKind::Ext4 => !journal_dev && !test && !ext3_knows,
        FsKind::Ext3 => journal && ext3_knows,
        FsKind::Ext2 => !journal && ext2_knows,
        _ => journal_dev,
    };
    if !matches {
        return None;
    }

    let high = if s_feature_incompat & INCOMPAT_64BIT != 0 { s_blocks_count_hi } else { 0 };
    let blocks = u64::from(high) << 32 | u64::from(s_blocks_count_lo);
    let block_size = 1024_u32.checked_shl(s_log_block_size).filter(|size| size >> s_log_block_size == 1024);

    let mut probe = Probe::new(kind, MAGIC_OFFSET);
    probe.label = Text::from_field(s_volume_name);
    probe.uuid = FsUuid::new(s_uuid);
    probe.version = Some(format!("{s_rev_level}.{s_minor_rev_level}"));
    probe.block_size = block_size;
    // a size that overflows is still a claim, and one that no source meets; so are blocks of a size that does
    let claimed = block_size.map_or(u64::MAX, |size| blocks.saturating_mul(u64::from(size)));
    probe.claimed_size = Some(claimed);
    probe.checksum = checksum;
    probe.number("blocks", blocks);
    probe.number("inodes", s_inodes_count);
    probe.number("feature_compat", s_feature_compat);
    probe.number("feature_incompat", s_feature_incompat);
    probe.number("feature_ro_compat", s_feature_ro_compat);
    if let Some(last_mounted) = Text::from_field(s_last_mounted) {
        probe.text("last_mounted", last_mounted);
    }
    Some(probe)
}
