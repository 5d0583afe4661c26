//! xfs. Source: Linux, `fs/xfs/libxfs/xfs_format.h`; which geometry is believed: libblkid, `xfs.c`.

use super::crc::crc32c_without;
use super::disk::{Bytes, Disk};
use super::{Checksum, Error, FsKind, FsUuid, Probe, Text};

const MAGIC: &[u8] = b"XFSB";
const SIZE: usize = 272;
/// Where `sb_crc` is.
const CRC: usize = 224;

const VERSION_MOREBITS: u16 = 0x8000;
const VERSION2_CRC: u32 = 0x100;

pub(super) fn probe(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(sb) = disk.bytes(0, SIZE)? else { return Ok(None) };
    let Some((mut probe, crc)) = parse(&sb) else { return Ok(None) };
    if let Some(Crc { sector_size, expected }) = crc {
        // sector_size is at most 32 KiB
        let Some(sector) = disk.bytes(0, sector_size)? else { return Ok(None) };
        if crc32c_without(sector.all(), CRC).map(|crc| !crc) != Some(expected) {
            return Ok(None);
        }
        probe.checksum = Checksum::Verified("crc32c");
    }
    Ok(Some(probe))
}

/// The checksum of a version 5 superblock, which covers a sector.
struct Crc {
    sector_size: usize,
    expected: u32,
}

fn parse(sb: &Bytes<'_>) -> Option<(Probe, Option<Crc>)> {
    let sb_magicnum = sb.slice(0, 4)?;
    let sb_blocksize = sb.be32(4)?;
    let sb_dblocks = sb.be64(8)?;
    let sb_uuid = sb.array(32)?;
    let sb_logstart = sb.be64(48)?;
    let sb_rextsize = sb.be32(80)?;
    let sb_agblocks = sb.be32(84)?;
    let sb_agcount = sb.be32(88)?;
    let sb_logblocks = sb.be32(96)?;
    let sb_versionnum = sb.be16(100)?;
    let sb_sectsize = sb.be16(102)?;
    let sb_inodesize = sb.be16(104)?;
    let sb_fname = sb.slice(108, 12)?;
    let sb_blocklog = sb.u8(120)?;
    let sb_sectlog = sb.u8(121)?;
    let sb_inodelog = sb.u8(122)?;
    let sb_inopblog = sb.u8(123)?;
    let sb_imax_pct = sb.u8(127)?;
    let sb_features2 = sb.be32(200)?;
    let sb_features_ro_compat = sb.be32(212)?;
    let sb_features_incompat = sb.be32(216)?;
    // the only little-endian field
    let sb_crc = sb.le32(CRC)?;

    let power = |value: u32, log: u8| 1_u32.checked_shl(log.into()) == Some(value);
    // as libblkid has it, in 32 bits
    let extent = sb_rextsize.wrapping_mul(sb_blocksize);
    let ag_blocks = |groups: u32| u64::from(groups).saturating_mul(sb_agblocks.into());
    let plausible = sb_magicnum == MAGIC
        && sb_agcount > 0
        && (9..=15).contains(&sb_sectlog)
        && power(sb_sectsize.into(), sb_sectlog)
        && (9..=16).contains(&sb_blocklog)
        && power(sb_blocksize, sb_blocklog)
        && (8..=11).contains(&sb_inodelog)
        && power(sb_inodesize.into(), sb_inodelog)
        && sb_blocklog.checked_sub(sb_inodelog) == Some(sb_inopblog)
        && (4 << 10..=1 << 30).contains(&extent)
        && sb_imax_pct <= 100
        && sb_dblocks > 0
        && sb_dblocks <= ag_blocks(sb_agcount)
        && sb_dblocks >= ag_blocks(sb_agcount.saturating_sub(1)).saturating_add(64);
    if !plausible {
        return None;
    }
    let version = sb_versionnum & 0xf;
    let crc = if version == 5 {
        if sb_versionnum & VERSION_MOREBITS == 0 || sb_features2 & VERSION2_CRC == 0 {
            return None;
        }
        Some(Crc { sector_size: sb_sectsize.into(), expected: sb_crc })
    } else {
        None
    };

    let mut probe = Probe::new(FsKind::Xfs, 0);
    probe.label = Text::from_field(sb_fname);
    probe.uuid = FsUuid::new(sb_uuid);
    // not libblkid's FSSIZE, which is what is left for files: the log is taken off there
    probe.claimed_size = Some(sb_dblocks.saturating_mul(sb_blocksize.into()));
    probe.block_size = Some(sb_sectsize.into());
    probe.number("sb_version", version);
    probe.number("sb_blocksize", sb_blocksize);
    probe.number("sb_logblocks", if sb_logstart == 0 { 0 } else { sb_logblocks });
    probe.number("sb_features_ro_compat", sb_features_ro_compat);
    probe.number("sb_features_incompat", sb_features_incompat);
    Some((probe, crc))
}
