//! Members of arrays that the firmware of a controller puts together. Their superblocks stand at the far end of the
//! storage; libblkid takes them for the truth and looks no further, so that whatever else is there is hidden.
//!
//! Source: the rules are libblkid's, `ddf_raid.c`, `isw_raid.c`, `lsi_raid.c`, `via_raid.c`, `silicon_raid.c`,
//! `nvidia_raid.c`, `promise_raid.c`, `highpoint_raid.c`, `adaptec_raid.c` and `jmicron_raid.c`. It looks for all but the
//! first on whole disks and in files alone; an image is one of the two.

use super::crc::crc32;
use super::disk::{Bytes, Disk};
use super::{Error, FsKind, Probe};

const SECTOR: u64 = 512;

type Found = Result<Option<Probe>, Error>;

/// `len` bytes from the start of the sector that is `back` sectors before the end, and where that is.
fn from_end<'d>(disk: &'d Disk<'_>, back: u64, len: usize) -> Result<Option<(u64, Bytes<'d>)>, Error> {
    let sectors = disk.size().checked_div(SECTOR).unwrap_or_default();
    let Some(offset) = sectors.checked_sub(back).and_then(|sector| sector.checked_mul(SECTOR)) else {
        return Ok(None);
    };
    Ok(disk.bytes(offset, len)?.map(|bytes| (offset, bytes)))
}

/// A superblock `back` sectors before the end that `is_one`, with its version if it tells.
fn at_end(
    disk: &Disk<'_>,
    kind: FsKind,
    (back, len): (u64, usize),
    is_one: fn(&Bytes<'_>) -> Option<Option<String>>,
) -> Found {
    let Some((offset, sb)) = from_end(disk, back, len)? else { return Ok(None) };
    Ok(is_one(&sb).map(|version| Probe { version, ..Probe::new(kind, offset) }))
}

/// The sum of little-endian words of 16 bits.
fn sum16(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u16::from_le_bytes(pair.try_into().unwrap_or_default());
    bytes.chunks_exact(2).map(word).fold(0, u16::wrapping_add)
}

/// Headers of the SNIA's disk data format: in the last sector, else 256 sectors before it.
pub(super) fn probe_ddf(disk: &Disk<'_>) -> Found {
    const MAGIC: [u8; 4] = [0xde, 0x11, 0xde, 0x11];
    for back in [1, 257] {
        let Some((offset, header)) = from_end(disk, back, 512)? else { continue };
        let (Some(before), Some(after)) = (header.slice(0, 4), header.slice(8, 504)) else { continue };
        let crc = crc32(crc32(crc32(0, before), &[0xff; 4]), after);
        if before != MAGIC || header.be32(4) != Some(crc) {
            continue;
        }
        if let Some(lba @ 1..) = header.be64(96) {
            match lba.checked_mul(SECTOR) {
                Some(primary) if disk.has(primary, &MAGIC)? => {}
                _ => return Ok(None),
            }
        }
        return Ok(Some(Probe::new(FsKind::DdfRaidMember, offset)));
    }
    Ok(None)
}

pub(super) fn probe_intel(disk: &Disk<'_>) -> Found {
    at_end(disk, FsKind::IswRaidMember, (2, 48), |sb| {
        (sb.slice(0, 24)? == b"Intel Raid ISM Cfg Sig. ").then_some(None)
    })
}

pub(super) fn probe_lsi(disk: &Disk<'_>) -> Found {
    at_end(disk, FsKind::LsiMegaRaidMember, (1, 6), |sb| (sb.all() == b"$XIDE$").then_some(None))
}

pub(super) fn probe_via(disk: &Disk<'_>) -> Found {
    at_end(disk, FsKind::ViaRaidMember, (1, 51), |sb| {
        let version = sb.u8(2)?;
        let sum = sb.slice(0, 50)?.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        (sb.le16(0)? == 0xaa55 && version <= 2 && sb.u8(50)? == sum).then(|| Some(version.to_string()))
    })
}

pub(super) fn probe_silicon(disk: &Disk<'_>) -> Found {
    at_end(disk, FsKind::SiliconMedleyRaidMember, (1, 512), |sb| {
        let sum = sum16(sb.slice(0, 0x13e)?).wrapping_neg();
        let is_one = sb.le32(0x60)? == 0x2f00_0000 && sb.u8(0x116)? < 8 && sb.le16(0x13e)? == sum;
        is_one.then_some(None)
    })
}

pub(super) fn probe_nvidia(disk: &Disk<'_>) -> Found {
    const SIZE: u32 = 120;
    at_end(disk, FsKind::NvidiaRaidMember, (2, 120), |sb| {
        // its own field included, the sum of all words is that field: the others cancel out
        let words = (0..SIZE).step_by(4).filter_map(|at| sb.le32(usize::try_from(at).ok()?));
        let rest = words.fold(0, u32::wrapping_add);
        let is_one = sb.slice(0, 8)? == b"NVIDIA  " && sb.le32(8)? == SIZE / 4 && rest == 0;
        is_one.then(|| sb.le16(16).map(|version| version.to_string()))
    })
}

pub(super) fn probe_promise(disk: &Disk<'_>) -> Found {
    // as many sectors before the end, by the geometry that the controller made up
    for back in [63, 255, 256, 16, 399, 591, 675, 735, 911, 974, 991, 951, 3087] {
        let Some((offset, sb)) = from_end(disk, back, 24)? else { return Ok(None) };
        if sb.all() == b"Promise Technology, Inc." {
            return Ok(Some(Probe::new(FsKind::PromiseFasttrackRaidMember, offset)));
        }
    }
    Ok(None)
}

pub(super) fn probe_highpoint_45x(disk: &Disk<'_>) -> Found {
    at_end(disk, FsKind::Hpt45xRaidMember, (11, 4), |sb| {
        matches!(sb.le32(0)?, 0x5a78_16f3 | 0x5a78_16fd).then_some(None)
    })
}

/// The only one near the start.
pub(super) fn probe_highpoint_37x(disk: &Disk<'_>) -> Found {
    const OFFSET: u64 = 4608 + 32;
    let Some(magic) = disk.bytes(OFFSET, 4)? else { return Ok(None) };
    let is_one = matches!(magic.le32(0), Some(0x5a78_16f0 | 0x5a78_16fd));
    Ok(is_one.then(|| Probe::new(FsKind::Hpt37xRaidMember, OFFSET)))
}

pub(super) fn probe_adaptec(disk: &Disk<'_>) -> Found {
    at_end(disk, FsKind::AdaptecRaidMember, (1, 512), |sb| {
        let is_one = sb.be32(0)? == 0x37fc_4d1e && sb.slice(256, 4)? == b"DPTM";
        is_one.then(|| sb.u8(63).map(|version| version.to_string()))
    })
}

pub(super) fn probe_jmicron(disk: &Disk<'_>) -> Found {
    at_end(disk, FsKind::JmicronRaidMember, (1, 128), |sb| {
        let is_one = sb.slice(0, 2)? == b"JM" && sum16(sb.all()) <= 1 && sb.u8(0x30)? <= 5;
        let [minor, major] = sb.le16(2)?.to_le_bytes();
        is_one.then(|| Some(format!("{major}.{minor}")))
    })
}
