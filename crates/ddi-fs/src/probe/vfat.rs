//! FAT 12, 16 and 32. Source: Microsoft, *FAT File System Specification*; what is believed: libblkid, `vfat.c`.

use super::disk::{Bytes, Disk};
use super::foreign::is_bitlocker;
use super::{Error, FsKind, FsUuid, Probe, Text};

const SECTOR: usize = 512;

/// A magic, where it is, and whether it is too short to be believed alone.
const MAGICS: [(&[u8], u64); 9] = [
    (b"MSWIN", 0x52),
    (b"FAT32   ", 0x52),
    (b"MSDOS", 0x36),
    (b"FAT16   ", 0x36),
    (b"FAT12   ", 0x36),
    (b"FAT     ", 0x36),
    (&[0xeb], 0),
    (&[0xe9], 0),
    (&[0x55, 0xaa], 0x1fe),
];

/// Clusters that each width can count.
const FAT12_MAX: u32 = 0xff4;
const FAT16_MAX: u32 = 0xfff4;
const FAT32_MAX: u32 = 0x0fff_fff6;

const DIRECTORY_ENTRY: usize = 32;
/// The label is nearly always the first entry of the root directory. What is read in search of it: enough for any
/// root directory of FAT12 and FAT16 as the tools make them.
const MAX_DIRECTORY: usize = 64 << 10;
/// And clusters, as libblkid has it.
const MAX_CLUSTERS: usize = 99;

/// The BIOS parameter block, believed.
pub(super) struct Bpb {
    magic_offset: u64,
    sector_size: u16,
    sectors_per_cluster: u8,
    reserved_sectors: u16,
    root_entries: u16,
    sectors: u32,
    fat_sectors: u32,
    /// Sectors of one FAT, by the field of FAT12 and FAT16; 0 for FAT32.
    fat16_length: u16,
    /// The same by the field of FAT32; 0 for the others.
    fat32_length: u32,
    clusters: u32,
}

pub(super) fn probe(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(boot) = disk.bytes(0, SECTOR)? else { return Ok(None) };
    let Some(bpb) = Bpb::parse(&boot) else { return Ok(None) };
    if is_bitlocker(disk)? {
        return Ok(None);
    }
    let mut probe = Probe::new(FsKind::Vfat, bpb.magic_offset);
    let extended = if bpb.fat16_length != 0 {
        let name = label(disk, bpb.fixed_root(), bpb.root_entries.into())?;
        probe.label = name.and_then(|name| Text::from_field(&name));
        probe.version = match bpb.clusters {
            n if n < FAT12_MAX => Some("FAT12".into()),
            n if n < FAT16_MAX => Some("FAT16".into()),
            _ => None,
        };
        // serial number and label, each with its own mark
        let mark = boot.u8(0x26);
        Extended {
            serial: boot.array(0x27).filter(|_| matches!(mark, Some(0x28 | 0x29))),
            label: boot.slice(0x2b, 11).filter(|_| mark == Some(0x29)),
        }
    } else if bpb.fat32_length != 0 {
        if !fsinfo_is_plausible(disk, &boot, &bpb)? {
            return Ok(None);
        }
        probe.label = label_in_clusters(disk, &bpb, boot.le32(0x2c).unwrap_or_default())?;
        probe.version = Some("FAT32".into());
        let mark = boot.u8(0x42);
        Extended { serial: boot.array(0x43), label: boot.slice(0x47, 11).filter(|_| mark == Some(0x29)) }
    } else {
        // no FAT at all: libblkid believes in it, and has nothing to say
        Extended { serial: None, label: None }
    };
    if let Some(label) = extended.label.filter(|label| *label != b"NO NAME    ").and_then(Text::from_field) {
        probe.text("boot_label", label);
    }
    probe.uuid = extended.serial.filter(|serial| *serial != [0; 4]).map(FsUuid::FatSerial);
    probe.block_size = Some(bpb.sector_size.into());
    probe.claimed_size = Some(u64::from(bpb.sectors).saturating_mul(bpb.sector_size.into()));
    probe.number("cluster_size", u32::from(bpb.sector_size).saturating_mul(bpb.sectors_per_cluster.into()));
    probe.number("clusters", bpb.clusters);
    Ok(Some(probe))
}

/// The end of the extended BIOS parameter block.
struct Extended<'a> {
    serial: Option<[u8; 4]>,
    label: Option<&'a [u8]>,
}

/// Returns true if this is the boot sector of a FAT file system.
pub(super) fn is_boot_sector(sector: &[u8]) -> bool {
    Bpb::parse(&Bytes::from(sector)).is_some()
}

impl Bpb {
    fn parse(boot: &Bytes<'_>) -> Option<Self> {
        let (magic, magic_offset) = MAGICS.into_iter().find(|(magic, offset)| {
            usize::try_from(*offset).is_ok_and(|at| boot.slice(at, magic.len()) == Some(magic))
        })?;
        let sector_size = boot.le16(0xb)?;
        let sectors_per_cluster = boot.u8(0xd)?;
        let reserved_sectors = boot.le16(0xe)?;
        let fats = boot.u8(0x10)?;
        let root_entries = boot.le16(0x11)?;
        let sectors_16 = boot.le16(0x13)?;
        let media = boot.u8(0x15)?;
        let fat_length_16 = boot.le16(0x16)?;
        let sectors_32 = boot.le32(0x20)?;
        let fat_length_32 = boot.le32(0x24)?;

        if magic.len() <= 2 {
            // OS/2 puts such a sector in front of other file systems
            let type_name = boot.slice(0x36, 8)?;
            if boot.slice(0x1fe, 2)? != [0x55, 0xaa] || type_name == b"JFS     " || type_name == b"HPFS    " {
                return None;
            }
        }
        let plausible = fats != 0
            && reserved_sectors != 0
            && (media >= 0xf8 || media == 0xf0)
            && sectors_per_cluster.is_power_of_two()
            && sector_size.is_power_of_two()
            && (512..=4096).contains(&sector_size);
        if !plausible {
            return None;
        }
        let sectors = if sectors_16 == 0 { sectors_32 } else { sectors_16.into() };
        let fat_length = if fat_length_16 == 0 { fat_length_32 } else { fat_length_16.into() };
        // libblkid computes in 32 bits, wrapping; what it believes is what others will mount
        let fat_sectors = fat_length.wrapping_mul(fats.into());
        let root_size = u32::from(root_entries).saturating_mul(32);
        let root_sectors = root_size.div_ceil(sector_size.into());
        let overhead = fat_sectors.wrapping_add(reserved_sectors.into()).wrapping_add(root_sectors);
        let clusters = sectors.wrapping_sub(overhead).checked_div(sectors_per_cluster.into())?;
        let fat32_length = if fat_length_16 == 0 { fat_length_32 } else { 0 };
        let max = match clusters {
            _ if fat32_length != 0 => FAT32_MAX,
            n if n > FAT12_MAX => FAT16_MAX,
            _ => FAT12_MAX,
        };
        (clusters <= max).then_some(Bpb {
            magic_offset,
            sector_size,
            sectors_per_cluster,
            reserved_sectors,
            root_entries,
            sectors,
            fat_sectors,
            fat16_length: fat_length_16,
            fat32_length,
            clusters,
        })
    }

    fn bytes(&self, sectors: u64) -> u64 {
        sectors.saturating_mul(self.sector_size.into())
    }

    /// Where FAT12 and FAT16 keep the root directory, and FAT32 the first cluster.
    fn fixed_root(&self) -> u64 {
        self.bytes(u64::from(self.reserved_sectors).saturating_add(self.fat_sectors.into()))
    }
}

/// The information sector of FAT32: its two signatures, or zeros.
fn fsinfo_is_plausible(disk: &Disk<'_>, boot: &Bytes<'_>, bpb: &Bpb) -> Result<bool, Error> {
    let sector = boot.le16(0x30).unwrap_or_default();
    if sector == 0 {
        return Ok(true);
    }
    let Some(info) = disk.bytes(bpb.bytes(sector.into()), SECTOR)? else { return Ok(false) };
    let first = matches!(info.slice(0, 4), Some(b"RRaA" | b"RRdA" | [0, 0, 0, 0]));
    Ok(first && matches!(info.slice(484, 4), Some(b"rrAa" | [0, 0, 0, 0])))
}

/// The name of the first volume entry among `entries` entries from `offset`.
fn label(disk: &Disk<'_>, offset: u64, entries: usize) -> Result<Option<[u8; 11]>, Error> {
    let len = entries.saturating_mul(DIRECTORY_ENTRY).min(MAX_DIRECTORY);
    let Some(directory) = disk.bytes(offset, len)? else { return Ok(None) };
    for entry in directory.all().chunks_exact(DIRECTORY_ENTRY) {
        let entry = Bytes::from(entry);
        let Some(mut name) = entry.array::<11>(0).filter(|name| name[0] != 0) else { break };
        let attributes = entry.u8(11).unwrap_or_default();
        let free = name[0] == 0xe5;
        let long_name = attributes & 0x3f == 0x0f;
        let has_clusters = entry.le16(20) != Some(0) || entry.le16(26) != Some(0);
        // a volume, and not a directory
        if !free && !long_name && !has_clusters && attributes & 0x18 == 0x08 {
            if name[0] == 0x05 {
                name[0] = 0xe5;
            }
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The label in the root directory of FAT32, which is a chain of clusters from `cluster`.
fn label_in_clusters(disk: &Disk<'_>, bpb: &Bpb, mut cluster: u32) -> Result<Option<Text>, Error> {
    let entries_in_fat = bpb.bytes(bpb.fat32_length.into()) / 4;
    let cluster_size = usize::from(bpb.sector_size).saturating_mul(bpb.sectors_per_cluster.into());
    let mut left = MAX_DIRECTORY;
    for _ in 0..MAX_CLUSTERS {
        if cluster < 2 || u64::from(cluster) >= entries_in_fat || left == 0 {
            break;
        }
        let skipped = u64::from(cluster.saturating_sub(2)).saturating_mul(bpb.sectors_per_cluster.into());
        let offset = bpb.fixed_root().saturating_add(bpb.bytes(skipped));
        // libblkid goes on to the next cluster after an end mark, and so do we
        let piece = cluster_size.min(left);
        if let Some(name) = label(disk, offset, piece / DIRECTORY_ENTRY)? {
            return Ok(Text::from_field(&name));
        }
        left = left.saturating_sub(piece);
        let entry =
            bpb.bytes(bpb.reserved_sectors.into()).saturating_add(u64::from(cluster).saturating_mul(4));
        let Some(next) = disk.bytes(entry, 4)?.and_then(|entry| entry.le32(0)) else { break };
        cluster = next & 0x0fff_ffff;
    }
    Ok(None)
}
