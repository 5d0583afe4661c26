//! File systems and pool members that nothing mounts from an image. That they are there makes an image ambiguous to
//! libblkid, and so here.
//!
//! Source: the rules are libblkid's, `bcache.c`, `reiserfs.c`, `jfs.c`, `zfs.c`, `cramfs.c`, `minix.c` and `nilfs.c`.

use super::crc::{crc32, crc32c, crc64};
use super::disk::{Bytes, Disk};
use super::xxhash::xxh64;
use super::{Checksum, Error, FsKind, FsUuid, Probe, Text};

type Found = Result<Option<Probe>, Error>;

const BCACHE_OFFSET: u64 = 4096;
const BCACHE_MAGIC: &[u8] =
    &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81];
const BCACHEFS_MAGIC: &[u8] =
    &[0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef];

/// A cache or backing device of bcache.
pub(super) fn probe_bcache(disk: &Disk<'_>) -> Found {
    /// Up to the journal buckets.
    const SIZE: usize = 208;
    const MAX_BUCKETS: usize = 256;
    let Some(sb) = disk.bytes(BCACHE_OFFSET, SIZE)? else { return Ok(None) };
    let keys = sb.le16(206).map_or(usize::MAX, usize::from);
    if sb.slice(24, 16) != Some(BCACHE_MAGIC) || sb.le64(8) != Some(BCACHE_OFFSET / 512) || keys > MAX_BUCKETS
    {
        return Ok(None);
    }
    let summed = keys.saturating_mul(8).saturating_add(SIZE);
    let Some(summed) = disk.bytes(BCACHE_OFFSET, summed)? else { return Ok(None) };
    if summed.all().get(8..).map(crc64) != sb.le64(0) {
        return Ok(None);
    }
    let mut probe = Probe::new(FsKind::Bcache, BCACHE_OFFSET.saturating_add(24));
    probe.checksum = Checksum::Verified("crc64");
    probe.uuid = sb.array(40).and_then(FsUuid::new);
    probe.label = sb.slice(72, 32).and_then(Text::from_field);
    probe.version = sb.le64(16).map(|version| version.to_string());
    Ok(Some(probe))
}

/// Its superblock has copies at 2 MiB and 1 MiB before the end.
pub(super) fn probe_bcachefs(disk: &Disk<'_>) -> Found {
    let at_end = disk.size().checked_sub(1 << 20);
    for (offset, magics) in [
        (Some(BCACHE_OFFSET), &[BCACHE_MAGIC, BCACHEFS_MAGIC][..]),
        (Some(2 << 20), &[BCACHEFS_MAGIC]),
        (at_end, &[BCACHEFS_MAGIC]),
    ] {
        let Some(offset) = offset else { continue };
        // the first magic that is found decides
        match disk.bytes(offset.saturating_add(24), 16)? {
            Some(magic) if magics.contains(&magic.all()) => return bcachefs(disk, offset),
            _ => {}
        }
    }
    Ok(None)
}

fn bcachefs(disk: &Disk<'_>, offset: u64) -> Found {
    /// Up to the fields of variable length.
    const FIXED: usize = 752;
    const MAX_BITS: u8 = 16;
    /// A superblock may have 32 MiB. Of one with more than this the checksum is not asked for: what says that it is bcachefs beside
    /// something else is ambiguous then, without being read for it.
    const MAX_SUMMED: usize = 256 << 10;
    let Some(sb) = disk.bytes(offset, FIXED)? else { return Ok(None) };
    let (devices, device) = (sb.u8(123).unwrap_or_default(), sb.u8(122).unwrap_or_default());
    let max_bits = sb.u8(257).unwrap_or(u8::MAX);
    if sb.le64(104) != offset.checked_div(512) || device >= devices || max_bits > MAX_BITS {
        return Ok(None);
    }
    let words = sb.le32(124).and_then(|words| usize::try_from(words).ok());
    let size = words.and_then(|words| words.checked_mul(8)?.checked_add(FIXED));
    let max = 512_usize.checked_shl(max_bits.into()).unwrap_or_default();
    let Some(size) = size.filter(|size| *size <= max) else { return Ok(None) };
    let is_inside = u64::try_from(size).is_ok_and(|size| size <= disk.size().saturating_sub(offset));
    if !is_inside {
        return Ok(None);
    }
    let mut probe = Probe::new(FsKind::Bcachefs, offset.saturating_add(24));
    let algorithm = sb.be64(144).unwrap_or_default() >> 58;
    let name = match algorithm {
        1 => "crc32c",
        2 => "crc64",
        7 => "xxhash64",
        _ => "",
    };
    if !name.is_empty() && size > MAX_SUMMED {
        probe.checksum = Checksum::NotChecked(name);
    } else if !name.is_empty() {
        let Some(all) = disk.bytes(offset, size)? else { return Ok(None) };
        let summed = all.all().get(16..).unwrap_or_default();
        let is_right = match algorithm {
            1 => Some(!crc32c(!0, summed)) == sb.le32(0),
            2 => Some(crc64(summed)) == sb.le64(0),
            _ => Some(xxh64(summed)) == sb.le64(0),
        };
        if !is_right {
            return Ok(None);
        }
        probe.checksum = Checksum::Verified(name);
    }
    probe.uuid = sb.array(56).and_then(FsUuid::new);
    probe.label = sb.slice(72, 32).and_then(Text::from_field);
    probe.version = sb.le16(16).map(|version| format!("{}.{}", version >> 10, version & 0x3ff));
    Ok(Some(probe))
}

pub(super) fn probe_reiserfs(disk: &Disk<'_>) -> Found {
    for (kilobytes, at, magic) in [
        (8_u64, 0x34, &b"ReIsErFs"[..]),
        (64, 0x34, b"ReIsEr2Fs"),
        (64, 0x34, b"ReIsEr3Fs"),
        (64, 0x34, b"ReIsErFs"),
        (8, 20, b"ReIsErFs"),
    ] {
        let Some(sb) = disk.bytes(kilobytes.saturating_mul(1024), 116)? else { continue };
        if sb.slice(at, magic.len()) != Some(magic) {
            continue;
        }
        // of what the first magic that is found says
        let sectors = u32::from(sb.le16(44).unwrap_or_default() >> 9);
        let journal = sb.le32(12).unwrap_or_default() / 2;
        let block = u32::try_from(kilobytes).ok().and_then(|kilobytes| kilobytes.checked_div(sectors));
        if block.is_none_or(|block| block > journal) {
            return Ok(None);
        }
        let offset = kilobytes.saturating_mul(1024).saturating_add(u64::try_from(at).unwrap_or_default());
        let mut probe = Probe::new(FsKind::Reiserfs, offset);
        if magic.len() == 9 {
            probe.uuid = sb.array(84).and_then(FsUuid::new);
            probe.label = sb.slice(100, 16).and_then(Text::from_field);
        }
        return Ok(Some(probe));
    }
    Ok(None)
}

pub(super) fn probe_reiser4(disk: &Disk<'_>) -> Found {
    let Some(sb) = disk.bytes(64 << 10, 52)? else { return Ok(None) };
    // in units of 256 bytes
    let is_one = sb.slice(0, 7) == Some(b"ReIsEr4") && sb.u8(19).is_some_and(|size| size >= 2);
    Ok(is_one.then(|| {
        let mut probe = Probe::new(FsKind::Reiser4, 64 << 10);
        probe.uuid = sb.array(20).and_then(FsUuid::new);
        probe.label = sb.slice(36, 16).and_then(Text::from_field);
        probe
    }))
}

pub(super) fn probe_jfs(disk: &Disk<'_>) -> Found {
    const OFFSET: u64 = 32 << 10;
    Ok(disk.bytes(OFFSET, 184)?.and_then(|sb| {
        let size_of = |log: u16| 1_u32.checked_shl(log.into());
        let (log, hardware_log) = (sb.le16(20)?, sb.le16(28)?);
        let is_one = sb.slice(0, 4)? == b"JFS1"
            && size_of(log)? == sb.le32(16)?
            && size_of(hardware_log)? == sb.le32(24)?
            && log.checked_sub(hardware_log)? == sb.le16(22)?;
        is_one.then(|| {
            let mut probe = Probe::new(FsKind::Jfs, OFFSET);
            probe.uuid = sb.array(136).and_then(FsUuid::new);
            probe.label = sb.slice(152, 16).and_then(Text::from_field);
            probe.block_size = sb.le32(16);
            probe
        })
    }))
}

/// A device of a ZFS pool: one of its four labels, two at each end, holds a list of names and values that says so.
pub(super) fn probe_zfs(disk: &Disk<'_>) -> Found {
    const LABEL: u64 = 256 << 10;
    const LIST_OFFSET: u64 = 16 << 10;
    const LIST_SIZE: usize = 112 << 10;
    let whole = disk.size().saturating_sub(disk.size() % LABEL);
    let labels = [Some(0), Some(LABEL), whole.checked_sub(512 << 10), whole.checked_sub(LABEL)];
    for label in labels.into_iter().flatten() {
        let offset = label.saturating_add(LIST_OFFSET);
        let end = offset.saturating_add(112 << 10);
        if disk.is_covered_by_partition(&(offset..end)) {
            continue;
        }
        let Some(header) = disk.bytes(offset, 16)? else { continue };
        // XDR, of either endianness, and not empty
        let is_list = header.u8(0) == Some(1) && matches!(header.u8(1), Some(0 | 1));
        if !is_list || header.be32(12).is_none_or(|size| size == 0) {
            continue;
        }
        if disk.bytes(offset, LIST_SIZE)?.is_some_and(|list| is_zfs_label(&list).is_some()) {
            return Ok(Some(Probe::new(FsKind::ZfsMember, offset)));
        }
    }
    Ok(None)
}

/// Returns `Some` if the list has the members of a label, or `None` if not or if it breaks off.
fn is_zfs_label(list: &Bytes<'_>) -> Option<()> {
    const NUMBER: u32 = 8;
    const DIRECTORY: u32 = 19;
    // states of a pool: the two that need no transaction, and the last
    const SPARE: u64 = 3;
    const CACHE: u64 = 4;
    const LAST_STATE: u64 = 7;
    let (mut guid, mut state, mut transaction) = (0_u64, u64::MAX, 0_u64);
    let mut depth = 0_usize;
    let mut at = 12_usize;
    // each step is 8 bytes at least
    while list.all().len().checked_sub(at)? > 12 {
        let (size, name_size) = (list.be32(at)?, usize::try_from(list.be32(at.checked_add(8)?)?).ok()?);
        let size = usize::try_from(size).ok()?;
        if size == 0 {
            let Some(up) = depth.checked_sub(1) else { break };
            depth = up;
            at = at.checked_add(8)?;
            continue;
        }
        let name_at = at.checked_add(12)?;
        let value_at = name_at.checked_add(name_size.checked_next_multiple_of(4)?)?;
        let end = at.checked_add(size)?;
        if end > list.all().len() || value_at.checked_add(4)? > end {
            return None;
        }
        let (kind, room) = (list.be32(value_at)?, end.checked_sub(value_at)?);
        match kind {
            0 => return None,
            DIRECTORY if room < 16 => return None,
            DIRECTORY => {
                depth = depth.checked_add(1)?;
                at = value_at.checked_add(16)?;
                continue;
            }
            NUMBER if depth == 0 => {
                let name = list.slice(name_at, name_size)?;
                let value = || list.be64(value_at.checked_add(8)?).filter(|_| room >= 16);
                if is_called(name, b"guid") {
                    guid = value()?;
                } else if is_called(name, b"state") {
                    state = value()?;
                } else if is_called(name, b"txg") {
                    transaction = value()?;
                }
            }
            _ => {}
        }
        at = end;
    }
    let in_use = transaction > 0 || matches!(state, SPARE | CACHE);
    (guid != 0 && state <= LAST_STATE && in_use).then_some(())
}

/// As libblkid compares them, by `strncmp` with the length of the name: unless it ends in a NUL, a beginning is enough.
fn is_called(name: &[u8], wanted: &[u8]) -> bool {
    match name.iter().position(|byte| *byte == 0) {
        Some(end) => name.get(..end) == Some(wanted),
        None => wanted.starts_with(name),
    }
}

pub(super) fn probe_cramfs(disk: &Disk<'_>) -> Found {
    const SIZE: usize = 64;
    /// Larger ones that have a checksum are not recognised.
    const MAX_SUMMED: u32 = 1 << 16;
    let Some(sb) = disk.bytes(0, SIZE)? else { return Ok(None) };
    let little = match sb.le32(0) {
        Some(0x28cd_3d45) => true,
        Some(0x453d_cd28) => false,
        _ => return Ok(None),
    };
    let word = |at: usize| if little { sb.le32(at) } else { sb.be32(at) }.unwrap_or_default();
    let mut probe = Probe::new(FsKind::Cramfs, 0);
    if word(8) & 1 != 0 {
        let size =
            Some(word(4)).filter(|size| *size <= MAX_SUMMED).and_then(|size| usize::try_from(size).ok());
        let Some(size) = size.filter(|size| *size >= SIZE) else { return Ok(None) };
        let Some(all) = disk.bytes(0, size)? else { return Ok(None) };
        let (Some(before), Some(after)) = (all.all().get(..32), all.all().get(36..)) else { return Ok(None) };
        if !crc32(crc32(crc32(!0, before), &[0; 4]), after) != word(32) {
            return Ok(None);
        }
        probe.checksum = Checksum::Verified("crc32");
    }
    probe.label = sb.slice(48, 16).and_then(Text::from_field);
    probe.claimed_size = Some(word(4).into());
    Ok(Some(probe))
}

pub(super) fn probe_minix(disk: &Disk<'_>) -> Found {
    const OFFSET: u64 = 1024;
    Ok(disk.bytes(OFFSET, 64)?.and_then(|sb| {
        let minix = Minix::parse(&sb)?;
        // ext and erofs have their superblocks at the same place, and must not be taken for it
        let is_other = sb.slice(0x38, 2)? == [0x53, 0xef] || sb.slice(0, 4)? == [0xe2, 0xe1, 0xf5, 0xe0];
        (minix.is_sound()? && !is_other).then(|| {
            let mut probe = Probe::new(FsKind::Minix, OFFSET.saturating_add(minix.magic_at));
            probe.version = Some(minix.version.into());
            probe.block_size = Some(minix.block_size);
            probe
        })
    }))
}

struct Minix {
    version: &'static str,
    magic_at: u64,
    zones: u64,
    inodes: u64,
    inode_map: u64,
    zone_map: u64,
    first_zone: u64,
    zone_size: u16,
    block_size: u32,
}

impl Minix {
    fn parse(sb: &Bytes<'_>) -> Option<Self> {
        let first = |little: bool| match if little { sb.le16(16) } else { sb.be16(16) }? {
            0x137f | 0x138f => Some("1"),
            0x2468 | 0x2478 => Some("2"),
            _ => None,
        };
        let third = |little: bool| if little { sb.le16(24) } else { sb.be16(24) } == Some(0x4d5a);
        let found = |little: bool| first(little).or(third(little).then_some("3"));
        let (version, little) = match (found(true), found(false)) {
            (Some(version), _) => (version, true),
            (None, Some(version)) => (version, false),
            (None, None) => return None,
        };
        let word = |at: usize| if little { sb.le16(at) } else { sb.be16(at) };
        let long = |at: usize| if little { sb.le32(at) } else { sb.be32(at) };
        if version == "3" {
            return Some(Minix {
                version,
                magic_at: 24,
                zones: long(20)?.into(),
                inodes: long(0)?.into(),
                inode_map: word(6)?.into(),
                zone_map: word(8)?.into(),
                first_zone: word(10)?.into(),
                zone_size: word(12)?,
                block_size: word(28)?.into(),
            });
        }
        // clean, or with errors; no more
        if word(18)? & !3 != 0 {
            return None;
        }
        Some(Minix {
            version,
            magic_at: 16,
            zones: if version == "2" { long(20)?.into() } else { word(2)?.into() },
            inodes: word(0)?.into(),
            inode_map: word(4)?.into(),
            zone_map: word(6)?.into(),
            first_zone: word(8)?.into(),
            zone_size: word(10)?,
            block_size: 1024,
        })
    }

    fn is_sound(&self) -> Option<bool> {
        let room = |blocks: u64| blocks.checked_mul(1024 * 8);
        Some(
            self.zone_size == 0
                && self.inodes != 0
                && self.inodes != u64::from(u32::MAX)
                && room(self.inode_map)? > self.inodes
                && self.first_zone <= self.zones
                && room(self.zone_map)? > self.zones.checked_sub(self.first_zone)?,
        )
    }
}

/// Two superblocks, near the start and near the end; either is enough.
pub(super) fn probe_nilfs2(disk: &Disk<'_>) -> Found {
    let sectors = disk.size().checked_div(512).unwrap_or_default();
    for offset in [Some(1024), sectors.checked_sub(8).and_then(|sector| sector.checked_mul(512))] {
        let Some(offset) = offset else { continue };
        let Some(sb) = disk.bytes(offset, 1024)? else { continue };
        let Some(checksum) = nilfs2_checksum(&sb) else { continue };
        if sb.le16(6) == Some(0x3434) && sb.le32(16) == Some(checksum) {
            let mut probe = Probe::new(FsKind::Nilfs2, offset.saturating_add(6));
            probe.checksum = Checksum::Verified("crc32");
            probe.uuid = sb.array(152).and_then(FsUuid::new);
            probe.label = sb.slice(168, 80).and_then(Text::from_field);
            probe.version = sb.le32(0).map(|revision| revision.to_string());
            return Ok(Some(probe));
        }
    }
    Ok(None)
}

fn nilfs2_checksum(sb: &Bytes<'_>) -> Option<u32> {
    let bytes = usize::from(sb.le16(8)?);
    let rest = sb.all().get(20..bytes)?;
    Some(crc32(crc32(crc32(sb.le32(12)?, sb.slice(0, 16)?), &[0; 4]), rest))
}
