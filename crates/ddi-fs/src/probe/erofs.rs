//! erofs. Source: Linux, `fs/erofs/erofs_fs.h`; libblkid, `erofs.c`.

use super::crc::crc32c_without;
use super::disk::{Bytes, Disk};
use super::{Checksum, Error, FsKind, FsUuid, Probe, Text};

const OFFSET: u64 = 1024;
const SIZE: usize = 128;
const MAGIC: [u8; 4] = [0xe2, 0xe1, 0xf5, 0xe0];
/// Where `checksum` is.
const CHECKSUM: usize = 4;
const FEATURE_COMPAT_SB_CHKSUM: u32 = 1;
const FEATURE_INCOMPAT_48BIT: u32 = 0x80;

pub(super) fn probe(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(sb) = disk.bytes(OFFSET, SIZE)? else { return Ok(None) };
    let Some((mut probe, checksum)) = parse(&sb) else { return Ok(None) };
    if let Some(Crc { block_size, expected }) = checksum {
        // the rest of the superblock's block, at most 63 KiB; no block of 512 or 1024 bytes has such a rest
        let summed = usize::try_from(u64::from(block_size).saturating_sub(OFFSET)).unwrap_or(0);
        let Some(block) = disk.bytes(OFFSET, summed)? else { return Ok(None) };
        if crc32c_without(block.all(), CHECKSUM) != Some(expected) {
            return Ok(None);
        }
        probe.checksum = Checksum::Verified("crc32c");
    }
    Ok(Some(probe))
}

struct Crc {
    block_size: u32,
    expected: u32,
}

fn parse(sb: &Bytes<'_>) -> Option<(Probe, Option<Crc>)> {
    let magic: [u8; 4] = sb.array(0)?;
    let checksum = sb.le32(CHECKSUM)?;
    let feature_compat = sb.le32(8)?;
    let blkszbits = sb.u8(12)?;
    let inos = sb.le64(16)?;
    let build_time = sb.le64(24)?;
    let blocks = sb.le32(36)?;
    let uuid = sb.array(48)?;
    let volume_name = sb.slice(64, 16)?;
    let feature_incompat = sb.le32(80)?;
    let extra_devices = sb.le16(86)?;
    // the upper part of `blocks`, unless the root directory's number is there
    let (rootnid_2b, rootnid_8b) = (sb.le16(14)?, sb.le64(112)?);
    let high = feature_incompat & FEATURE_INCOMPAT_48BIT != 0 && rootnid_8b != 0;
    let blocks = u64::from(if high { rootnid_2b } else { 0 }) << 32 | u64::from(blocks);

    if magic != MAGIC || !(9..=16).contains(&blkszbits) {
        return None;
    }
    let block_size = 1_u32.checked_shl(blkszbits.into())?;
    let crc =
        (feature_compat & FEATURE_COMPAT_SB_CHKSUM != 0).then_some(Crc { block_size, expected: checksum });

    let mut probe = Probe::new(FsKind::Erofs, OFFSET);
    probe.label = Text::from_field(volume_name);
    probe.uuid = FsUuid::new(uuid);
    probe.block_size = Some(block_size);
    probe.claimed_size = Some(blocks.saturating_mul(block_size.into()));
    probe.number("inos", inos);
    probe.number("build_time", build_time);
    probe.number("feature_compat", feature_compat);
    probe.number("feature_incompat", feature_incompat);
    probe.number("extra_devices", extra_devices);
    Some((probe, crc))
}
