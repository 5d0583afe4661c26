//! Members of MD arrays and LVM physical volumes: they hide whatever else is on the storage.
//!
//! Source: Linux, `include/uapi/linux/raid/md_p.h`; LVM2, `lib/format_text/layout.h`; libblkid, `linux_raid.c` and
//! `lvm.c`.

use super::crc::crc32;
use super::disk::Disk;
use super::{Error, FsKind, FsUuid, Probe, Text};

/// An MD superblock of version 0.90 starts the last whole 64 KiB but one.
const MD_RESERVED: u64 = 64 << 10;
const MD_MAGIC: u32 = 0xa92b_4efc;
/// Superblock of version 1, without the roles of the devices.
const MD1_SIZE: usize = 256;
const MD1_CSUM: usize = 216;
/// As many devices as fit a superblock of 4 KiB.
const MD1_MAX_DEVICES: usize = 1920;

pub(super) fn probe_md(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    if disk.size() > MD_RESERVED {
        let aligned = disk.size() & !MD_RESERVED.saturating_sub(1);
        if let Some(probe) = md_0_90(disk, aligned.saturating_sub(MD_RESERVED))? {
            return Ok(Some(probe));
        }
        let end = disk.size() & !0xfff;
        if let Some(probe) = md_1(disk, end.saturating_sub(0x2000), "1.0")? {
            return Ok(Some(probe));
        }
    }
    if let Some(probe) = md_1(disk, 0, "1.1")? {
        return Ok(Some(probe));
    }
    md_1(disk, 0x1000, "1.2")
}

fn md_0_90(disk: &Disk<'_>, offset: u64) -> Result<Option<Probe>, Error> {
    let Some(sb) = disk.bytes(offset, 64)? else { return Ok(None) };
    let little = sb.le32(0) == Some(MD_MAGIC);
    if !little && sb.be32(0) != Some(MD_MAGIC) {
        return Ok(None);
    }
    let word = |at: usize| if little { sb.le32(at) } else { sb.be32(at) }.unwrap_or_default();
    let (major, minor, patch) = (word(4), word(8), word(12));
    let size = u64::from(word(32)).saturating_mul(1024);
    let full = size.saturating_add(MD_RESERVED);
    if disk.size() < full || offset < size {
        return Ok(None);
    }
    let start = offset.saturating_sub(size);
    if disk.is_covered_by_partition(&(start..start.saturating_add(full))) {
        return Ok(None);
    }
    let mut probe = Probe::new(FsKind::LinuxRaidMember, offset);
    probe.version = Some(format!("{major}.{minor}.{patch}"));
    // words 1 to 3 of the UUID stand apart and are newer
    let rest = |at: usize| if minor >= 90 { word(at) } else { 0 };
    let mut uuid = [0; 16];
    let words = [word(20), rest(52), rest(56), rest(60)];
    for (bytes, word) in uuid.chunks_exact_mut(4).zip(words) {
        // in the order of a big-endian array's bytes
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    probe.uuid = FsUuid::new(uuid);
    probe.number("level", word(28));
    probe.number("raid_disks", word(40));
    Ok(Some(probe))
}

fn md_1(disk: &Disk<'_>, offset: u64, version: &str) -> Result<Option<Probe>, Error> {
    let Some(sb) = disk.bytes(offset, MD1_SIZE)? else { return Ok(None) };
    let is_here = sb.le32(0) == Some(MD_MAGIC)
        && sb.le32(4) == Some(1)
        && sb.le64(144).is_some_and(|sector| sector == offset >> 9);
    let max_dev = sb.le32(220).and_then(|count| usize::try_from(count).ok());
    let (true, Some(max_dev)) = (is_here, max_dev.filter(|count| *count <= MD1_MAX_DEVICES)) else {
        return Ok(None);
    };
    let summed = max_dev.saturating_mul(2).saturating_add(MD1_SIZE);
    let Some(summed) = disk.bytes(offset, summed)? else { return Ok(None) };
    if md_1_checksum(summed.all()) != summed.le32(MD1_CSUM) {
        return Ok(None);
    }
    let mut probe = Probe::new(FsKind::LinuxRaidMember, offset);
    probe.version = Some(version.into());
    probe.uuid = sb.array(16).and_then(FsUuid::new);
    probe.label = sb.slice(32, 32).and_then(Text::from_field);
    probe.number("raid_disks", sb.le32(92).unwrap_or_default());
    Ok(Some(probe))
}

/// The sum of all little-endian words, the checksum's own taken as zero, folded to 32 bits.
fn md_1_checksum(bytes: &[u8]) -> Option<u32> {
    let mut sum: u64 = 0;
    for (i, word) in bytes.chunks(4).enumerate() {
        if i == MD1_CSUM / 4 {
            continue;
        }
        let mut padded = [0; 4];
        padded.get_mut(..word.len())?.copy_from_slice(word);
        sum = sum.checked_add(u32::from_le_bytes(padded).into())?;
    }
    let [low, high] = [sum & 0xffff_ffff, sum >> 32];
    u32::try_from(low.checked_add(high)? & 0xffff_ffff).ok()
}

const LVM2_LABEL_SIZE: usize = 512;

pub(super) fn probe_lvm2(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    // the type names the label's sector: the search goes by it, then looks for the label there or just after
    for (sectors, type_offset) in [([0, 1], 0x218), ([0, 1], 0x18), ([2, 3], 0x418), ([2, 3], 0x618)] {
        if !disk.has(type_offset, b"LVM2 001")? {
            continue;
        }
        for sector in sectors {
            if disk.has(sector << 9, b"LABELONE")? {
                return lvm2_label(disk, sector, type_offset);
            }
        }
        return Ok(None);
    }
    Ok(None)
}

fn lvm2_label(disk: &Disk<'_>, sector: u64, magic_offset: u64) -> Result<Option<Probe>, Error> {
    let Some(label) = disk.bytes(sector << 9, LVM2_LABEL_SIZE)? else { return Ok(None) };
    let crc = label.all().get(20..).map(|summed| crc32(0xf597_a6cf, summed));
    if label.le64(8) != Some(sector) || crc.is_none() || crc != label.le32(16) {
        return Ok(None);
    }
    let mut probe = Probe::new(FsKind::Lvm2Member, magic_offset);
    probe.version = Some("LVM2 001".into());
    probe.uuid = label.array(32).and_then(lvm_uuid);
    Ok(Some(probe))
}

pub(super) fn probe_lvm1(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(label) = disk.bytes(0, 172)? else { return Ok(None) };
    if label.slice(0, 2) != Some(b"HM") || !matches!(label.le16(2), Some(1 | 2)) {
        return Ok(None);
    }
    let mut probe = Probe::new(FsKind::Lvm1Member, 0);
    probe.uuid = label.array(44).and_then(lvm_uuid);
    Ok(Some(probe))
}

/// 32 characters, shown in groups of 6-4-4-4-4-4-6.
fn lvm_uuid(characters: [u8; 32]) -> Option<FsUuid> {
    if characters == [0; 32] {
        return None;
    }
    let mut text = Vec::with_capacity(38);
    for (i, byte) in characters.into_iter().enumerate() {
        if matches!(i, 6 | 10 | 14 | 18 | 22 | 26) {
            text.push(b'-');
        }
        text.push(byte);
    }
    Text::from_field(&text).map(FsUuid::Text)
}
