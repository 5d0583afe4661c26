//! File systems and encryption of other systems. Nothing here is ever mounted from an image; that they are there
//! makes an image ambiguous, or hides what else is there.
//!
//! Source: the rules are libblkid's, `bitlocker.c`, `ntfs.c`, `exfat.c`, `udf.c` and `hfs.c`. Labels are left out,
//! and the UUIDs that libblkid computes for HFS.

use super::disk::{Bytes, Disk};
use super::{Checksum, Error, FsKind, FsUuid, Probe, Text};

/// A boot sector, in the largest sector that these have.
const BOOT_SIZE: usize = 512;

const BITLOCKER_VISTA: &[u8] = b"\xeb\x52\x90-FVE-FS-";
const BITLOCKER_WINDOWS_7: &[u8] = b"\xeb\x58\x90-FVE-FS-";
const BITLOCKER_TO_GO: &[u8] = b"\xeb\x58\x90MSWIN4.1";

/// Its boot sectors look like those of FAT and NTFS, and must not be taken for them.
pub(super) fn is_bitlocker(disk: &Disk<'_>) -> Result<bool, Error> {
    let Some(boot) = disk.bytes(0, BOOT_SIZE)? else { return Ok(false) };
    let metadata = match boot.slice(0, 11) {
        Some(BITLOCKER_VISTA) => return Ok(true),
        Some(BITLOCKER_WINDOWS_7) => boot.le64(176),
        Some(BITLOCKER_TO_GO) => boot.le64(440),
        _ => None,
    };
    match metadata {
        // the metadata with both its headers
        Some(offset) if offset != 0 && offset % 64 == 0 => {
            Ok(disk.bytes(offset, 112)?.is_some_and(|header| header.slice(0, 8) == Some(b"-FVE-FS-")))
        }
        _ => Ok(false),
    }
}

pub(super) fn probe_bitlocker(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    Ok(is_bitlocker(disk)?.then(|| Probe::new(FsKind::BitLocker, 0)))
}

pub(super) fn probe_ntfs(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(boot) = disk.bytes(0, BOOT_SIZE)? else { return Ok(None) };
    let Some(ntfs) = Ntfs::parse(&boot) else { return Ok(None) };
    // the first record of the master file table, and that of the volume
    let volume = u64::from(ntfs.record_size).saturating_mul(3);
    for offset in [0, volume] {
        let Some(at) = ntfs.table.checked_add(offset) else { return Ok(None) };
        // the record as a whole must be there
        let end = at.checked_add(ntfs.record_size.into());
        if end.is_none_or(|end| end > disk.size()) || !disk.has(at, b"FILE")? {
            return Ok(None);
        }
    }
    Ok(Some(ntfs.probe))
}

struct Ntfs {
    probe: Probe,
    /// Where the master file table starts.
    table: u64,
    /// Size of one of its records.
    record_size: u32,
}

impl Ntfs {
    fn parse(boot: &Bytes<'_>) -> Option<Self> {
        let name = boot.slice(3, 8)?;
        let sector_size = boot.le16(11)?;
        let sectors_per_cluster = boot.u8(13)?;
        let large_sectors = boot.le32(32)?;
        let number_of_sectors = boot.le64(40)?;
        let mft_cluster = boot.le64(48)?;
        let mft_mirror_cluster = boot.le64(56)?;
        let clusters_per_record = boot.u8(64)?;
        let serial = boot.le64(72)?;
        // reserved sectors and FATs; root entries and sectors; sectors a FAT
        let unused = boot.slice(14, 7)?.iter().chain(boot.slice(22, 2)?).all(|byte| *byte == 0);

        // counts from 240 are negative logarithms
        let cluster_sectors = match sectors_per_cluster {
            count if count.is_power_of_two() => u32::from(count),
            log @ 240..=249 => 1_u32.checked_shl(256_u32.checked_sub(log.into())?)?,
            _ => return None,
        };
        let plausible = name == b"NTFS    "
            && (256..=4096).contains(&sector_size)
            && sector_size.is_power_of_two()
            && unused
            && large_sectors == 0;
        let cluster_size = cluster_sectors.checked_mul(sector_size.into()).filter(|size| *size <= 2 << 20)?;
        let record_size = match clusters_per_record {
            1 | 2 | 4 | 8 | 16 | 32 | 64 => cluster_size.checked_mul(clusters_per_record.into())?,
            log @ 0xe1..=0xf7 => 1_u32.checked_shl(256_u32.checked_sub(log.into())?)?,
            _ => return None,
        };
        let clusters = number_of_sectors.checked_div(cluster_sectors.into())?;
        if !plausible || mft_cluster > clusters || mft_mirror_cluster > clusters {
            return None;
        }
        let mut probe = Probe::new(FsKind::Ntfs, 3);
        probe.uuid = (serial != 0).then(|| FsUuid::Text(Text::from(format!("{serial:016X}").as_str())));
        probe.block_size = Some(sector_size.into());
        probe.claimed_size = Some(number_of_sectors.saturating_mul(sector_size.into()));
        Some(Ntfs { probe, table: mft_cluster.checked_mul(cluster_size.into())?, record_size })
    }
}

pub(super) fn probe_exfat(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(boot) = disk.bytes(0, BOOT_SIZE)? else { return Ok(None) };
    let Some((mut probe, sector_size)) = parse_exfat(&boot) else { return Ok(None) };
    // eleven sectors, and one full of their checksum: at most 48 KiB
    let summed = sector_size.saturating_mul(11);
    let Some(region) = disk.bytes(0, summed.saturating_add(sector_size))? else { return Ok(None) };
    let (sectors, checksums) = region.all().split_at_checked(summed).unwrap_or_default();
    let mut sum = 0_u32;
    for (i, byte) in sectors.iter().enumerate() {
        // flags and fill level change without the checksum
        if !matches!(i, 106 | 107 | 112) {
            sum = sum.rotate_right(1).wrapping_add((*byte).into());
        }
    }
    if checksums.chunks_exact(4).any(|stored| stored != sum.to_le_bytes()) {
        return Ok(None);
    }
    probe.checksum = Checksum::Verified("exfat");
    Ok(Some(probe))
}

fn parse_exfat(boot: &Bytes<'_>) -> Option<(Probe, usize)> {
    let jump_and_name = boot.slice(0, 11)?;
    let must_be_zero = boot.slice(11, 53)?;
    let volume_length = boot.le64(72)?;
    let fat_offset = boot.le32(80)?;
    let fat_length = boot.le32(84)?;
    let cluster_heap_offset = boot.le32(88)?;
    let cluster_count = boot.le32(92)?;
    let first_cluster_of_root = boot.le32(96)?;
    let serial = boot.array(100)?;
    let (minor, major) = (boot.u8(104)?, boot.u8(105)?);
    let bytes_per_sector_shift = boot.u8(108)?;
    let sectors_per_cluster_shift = boot.u8(109)?;
    let number_of_fats = boot.u8(110)?;
    let signature = boot.slice(510, 2)?;

    let fats = fat_length.wrapping_mul(number_of_fats.into());
    let plausible = jump_and_name == b"\xeb\x76\x90EXFAT   "
        && signature == [0x55, 0xaa]
        && must_be_zero.iter().all(|byte| *byte == 0)
        && (1..=2).contains(&number_of_fats)
        && (9..=12).contains(&bytes_per_sector_shift)
        && sectors_per_cluster_shift <= 25_u8.checked_sub(bytes_per_sector_shift)?
        && (24..=cluster_heap_offset.wrapping_sub(fats)).contains(&fat_offset)
        && (fat_offset.wrapping_add(fats)..=1 << 31).contains(&cluster_heap_offset)
        && (2..=cluster_count.wrapping_add(1)).contains(&first_cluster_of_root);
    if !plausible {
        return None;
    }
    let sector_size = 1_u32.checked_shl(bytes_per_sector_shift.into())?;
    let mut probe = Probe::new(FsKind::Exfat, 3);
    probe.uuid = Some(serial).filter(|serial| *serial != [0; 4]).map(FsUuid::FatSerial);
    probe.version = Some(format!("{major}.{minor}"));
    probe.block_size = Some(sector_size);
    probe.claimed_size = Some(volume_length.saturating_mul(sector_size.into()));
    Some((probe, usize::try_from(sector_size).ok()?))
}

/// The volume recognition sequence.
const UDF_OFFSET: u64 = 32 << 10;
const UDF_DESCRIPTORS: u64 = 64;
/// The tag of the anchor.
const UDF_ANCHOR: u16 = 2;

/// Recognised by its recognition sequence and its anchor. libblkid goes on to look for the name of UDF in the
/// volume descriptors, so other file systems of ECMA-167 are taken for UDF here alone.
pub(super) fn probe_udf(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    // the places for two block sizes overlap, and none is to be read twice
    let mut anchors: Vec<(u64, Option<u32>)> = Vec::new();
    for block_size in [512_u32, 1024, 2048, 4096] {
        if !udf_is_recognised(disk, u64::from(block_size.max(2048)))? {
            continue;
        }
        for block in [256_u32, 512] {
            let offset = u64::from(block).saturating_mul(block_size.into());
            let known = anchors.iter().find(|(at, _)| *at == offset).map(|(_, location)| *location);
            let location = match known {
                Some(location) => location,
                None => {
                    let Some(tag) = disk.bytes(offset, 16)? else { return Ok(None) };
                    let location = tag.le32(12).filter(|_| tag.le16(0) == Some(UDF_ANCHOR));
                    anchors.push((offset, location));
                    location
                }
            };
            if location == Some(block) {
                let mut probe = Probe::new(FsKind::Udf, UDF_OFFSET.saturating_add(1));
                probe.block_size = Some(block_size);
                return Ok(Some(probe));
            }
        }
    }
    Ok(None)
}

fn udf_is_recognised(disk: &Disk<'_>, descriptor_size: u64) -> Result<bool, Error> {
    for i in 0..UDF_DESCRIPTORS {
        let offset = UDF_OFFSET.saturating_add(i.saturating_mul(descriptor_size));
        let Some(descriptor) = disk.bytes(offset, 7)? else { return Ok(false) };
        match descriptor.slice(1, 5) {
            Some(b"NSR02" | b"NSR03") => return Ok(true),
            Some(b"BEA01" | b"BOOT2" | b"CD001" | b"CDW02" | b"TEA01") => {}
            _ => return Ok(false),
        }
    }
    Ok(false)
}

const HFS_OFFSET: u64 = 1024;
const HFS_BLOCK_SIZE: u32 = 512;

pub(super) fn probe_hfs(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(mdb) = disk.bytes(HFS_OFFSET, 130)? else { return Ok(None) };
    let size = mdb.be32(20).unwrap_or_default();
    let embeds = matches!(mdb.slice(124, 2), Some(b"H+" | b"HX"));
    let is_hfs = mdb.slice(0, 2) == Some(b"BD") && !embeds && size != 0 && size % HFS_BLOCK_SIZE == 0;
    Ok(is_hfs.then(|| Probe::new(FsKind::Hfs, HFS_OFFSET)))
}

pub(super) fn probe_hfsplus(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(mdb) = disk.bytes(HFS_OFFSET, 130)? else { return Ok(None) };
    // it may stand inside an HFS, for systems that know no better
    let start = match (mdb.slice(0, 2), mdb.slice(124, 2)) {
        (Some(b"H+" | b"HX"), _) => Some(0),
        (Some(b"BD"), Some(b"H+" | b"HX")) => hfs_embedded(&mdb),
        _ => None,
    };
    let Some(start) = start else { return Ok(None) };
    let Some(header) = disk.bytes(start.saturating_add(HFS_OFFSET), 512)? else { return Ok(None) };
    let block_size = header.be32(40).unwrap_or_default();
    let catalog = u64::from(header.be32(288).unwrap_or_default()).saturating_mul(block_size.into());
    let plausible = matches!(header.slice(0, 2), Some(b"H+" | b"HX"))
        && block_size >= HFS_BLOCK_SIZE
        && block_size.is_power_of_two()
        && start.saturating_add(catalog) <= disk.size();
    if !plausible {
        return Ok(None);
    }
    let mut probe = Probe::new(FsKind::Hfsplus, HFS_OFFSET);
    probe.block_size = Some(block_size);
    Ok(Some(probe))
}

/// Where the inner volume starts.
fn hfs_embedded(mdb: &Bytes<'_>) -> Option<u64> {
    let block_size = mdb.be32(20).filter(|size| *size != 0 && size % HFS_BLOCK_SIZE == 0)?;
    let first = u64::from(mdb.be16(28)?).checked_mul(512)?;
    u64::from(mdb.be16(126)?).checked_mul(block_size.into())?.checked_add(first)
}
