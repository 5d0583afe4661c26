//! f2fs. Source: Linux, `include/linux/f2fs_fs.h`; libblkid, `f2fs.c`. The second copy is not looked at, as there.

use std::io;

use ddi_io::ReadAt;

use super::crc::crc32;
use super::disk::{Bytes, Disk};
use super::{Checksum, Error, FsKind, FsUuid, Probe, Text};

pub(super) const OFFSET: u64 = 1024;
const SIZE: usize = 0x47c;
const MAGIC: [u8; 4] = [0x10, 0x20, 0xf5, 0xf2];

pub(super) fn probe(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(sb) = disk.bytes(OFFSET, SIZE)? else { return Ok(None) };
    let Some((mut probe, checksum_offset)) = parse(&sb) else { return Ok(None) };
    if let Some(len) = checksum_offset {
        // up to 4096 bytes
        let Some(summed) = disk.bytes(OFFSET, len.saturating_add(4))? else { return Ok(None) };
        let expected = summed.le32(len);
        if summed.slice(0, len).map(|bytes| crc32(u32::from_le_bytes(MAGIC), bytes)) != expected {
            return Ok(None);
        }
        probe.checksum = Checksum::Verified("crc32");
    }
    Ok(Some(probe))
}

/// Returns true if the superblock says of its blocks and segments what Linux asks for, `sanity_check_raw_super` in
/// `fs/f2fs/super.c`. Blocks are pages: of 4 KiB, or larger ones on other machines.
pub(super) fn is_sane(source: &dyn ReadAt) -> io::Result<bool> {
    let mut bytes = [0; 32];
    source.read_exact_at(OFFSET, &mut bytes)?;
    let sb = Bytes::from(&bytes[..]);
    let fields = [sb.le32(0x8), sb.le32(0xc), sb.le32(0x10), sb.le32(0x14)];
    let [Some(log_sectorsize), Some(log_sectors_per_block), Some(log_blocksize), Some(log_blocks_per_seg)] =
        fields
    else {
        return Ok(false);
    };
    Ok((9..=16).contains(&log_sectorsize)
        && log_sectorsize.checked_add(log_sectors_per_block) == Some(log_blocksize)
        && (12..=16).contains(&log_blocksize)
        && log_blocks_per_seg == 9)
}

/// The superblock, and how many of its bytes the checksum behind them covers.
fn parse(sb: &Bytes<'_>) -> Option<(Probe, Option<usize>)> {
    let magic: [u8; 4] = sb.array(0)?;
    let major_ver = sb.le16(4)?;
    let minor_ver = sb.le16(6)?;
    let log_blocksize = sb.le32(0x10)?;
    let checksum_offset = sb.le32(0x20)?;
    let block_count = sb.le64(0x24)?;
    let segment_count = sb.le32(0x30)?;
    let uuid = sb.array(0x6c)?;
    let volume_name = sb.slice(0x7c, 1024)?;

    if magic != MAGIC {
        return None;
    }
    let mut probe = Probe::new(FsKind::F2fs, OFFSET);
    if (major_ver, minor_ver) == (1, 0) {
        // the fields of that version lie elsewhere
        return Some((probe, None));
    }
    let checksum_offset = usize::try_from(checksum_offset).ok()?;
    if checksum_offset % 4 != 0 || checksum_offset > 4092 {
        return None;
    }
    let block_size = (log_blocksize <= 16).then(|| 1_u32.checked_shl(log_blocksize)).flatten();
    probe.label = Text::from_utf16(
        volume_name.chunks_exact(2).filter_map(|c| c.try_into().ok()).map(u16::from_le_bytes),
    );
    probe.uuid = FsUuid::new(uuid);
    probe.version = Some(format!("{major_ver}.{minor_ver}"));
    probe.block_size = block_size;
    probe.claimed_size = block_size.map(|size| block_count.saturating_mul(size.into()));
    probe.number("block_count", block_count);
    probe.number("segment_count", segment_count);
    Some((probe, (checksum_offset != 0).then_some(checksum_offset)))
}
