//! What is on this storage: superblocks recognised as libblkid recognises them.
//!
//! [`probe`] is libblkid's `blkid_do_safeprobe` for superblocks: every known kind is tried in libblkid's order, a
//! crypto or RAID superblock ends the search (so that LUKS hides what was there before it), and two file systems
//! at once are [`Error::Ambiguous`], for whoever mounts the image could see the other one.
//!
//! ```text
//!   0        512      1024            4 KiB          32 KiB      64 KiB                 end - 64 KiB   end
//!   ├─ FAT ───┼────────┼─ ext, erofs ──┼──────────────┼───────────┼──────────────────────────┼───────────┤
//!   │  xfs, squashfs, LUKS, verity     │ swap magic   │ iso9660   │ btrfs                    │ MD RAID   │
//!      LVM2 in the first 4 sectors       at 4086 …      udf
//! ```
//!
//! Of the kinds that libblkid knows, some thirty are left out that nobody has made for long, or that no image has a use
//! for (UFS, HPFS, SysV, romfs, GFS, OCFS, VxFS, BeFS, UBI, DRBD, VDO, Stratis and the like): an image with one of them
//! *beside* a file system is ambiguous to libblkid, and not here.
//!
//! The first 128 KiB are read once and every probe parses that copy; only FAT (its root directory), LUKS2 (its
//! JSON), members of arrays and pools (the far end) and the foreign ones read more, each within a bound of its own; ZFS
//! most, 4 times 112 KiB, and only where its labels begin as they must. Nothing here is
//! authenticated by itself: give it a `VerifiedReader` of `ddi-verity` to probe proven bytes.

mod btrfs;
mod crc;
mod disk;
mod dm;
mod erofs;
mod error;
mod ext4;
mod f2fs;
mod firmware_raid;
mod foreign;
mod iso9660;
mod kind;
pub mod luks;
mod raid;
mod rare;
mod squashfs;
mod swap;
mod text;
mod vfat;
mod xfs;
mod xxhash;

use core::ops::Range;

use ddi_io::ReadAt;

use disk::Disk;
pub use error::{Candidate, Error};
pub use kind::{FsKind, Usage};
pub use text::{FsUuid, Text};

/// What a superblock says. Every field is the image's word.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// The kind, as libblkid names it.
    pub kind: FsKind,
    /// Where the magic was found, in bytes from the start of the source.
    pub magic_offset: u64,
    /// The label, trailing white space removed; absent if empty.
    pub label: Option<Text>,
    /// The UUID or what stands for it; absent if all zeros.
    pub uuid: Option<FsUuid>,
    /// libblkid's `VERSION`, for the kinds that have one.
    pub version: Option<String>,
    /// Smallest unit of access in bytes (libblkid's `BLOCK_SIZE`). Unchecked: for showing, not for dividing.
    pub block_size: Option<u32>,
    /// How many bytes of the source the superblock claims, from its first one, where it says so.
    pub claimed_size: Option<u64>,
    /// How many of the claimed bytes lie past the end of the source: more than 0 means a truncated image.
    pub missing_bytes: u64,
    /// Whether the superblock's own checksum was checked.
    pub checksum: Checksum,
    /// More of what the superblock says, for people.
    pub facts: Vec<Fact>,
    /// The LUKS header, if this is one.
    pub luks: Option<Box<luks::Header>>,
    /// What else is there, on a source as small as a floppy disk: libblkid takes the first and looks no further.
    pub passed_over: Vec<Candidate>,
}

impl Probe {
    fn new(kind: FsKind, magic_offset: u64) -> Self {
        Probe {
            kind,
            magic_offset,
            label: None,
            uuid: None,
            version: None,
            block_size: None,
            claimed_size: None,
            missing_bytes: 0,
            checksum: Checksum::Absent,
            facts: Vec::new(),
            luks: None,
            passed_over: Vec::new(),
        }
    }

    /// What is there besides, as it would be told of a larger source.
    pub fn ambiguity(&self) -> Option<Error> {
        let first = Candidate { kind: self.kind, offset: self.magic_offset };
        let candidates = || std::iter::once(first).chain(self.passed_over.iter().copied()).collect();
        (!self.passed_over.is_empty()).then(|| Error::Ambiguous { candidates: candidates() })
    }

    fn number(&mut self, name: &'static str, value: impl Into<u64>) {
        self.facts.push(Fact { name, value: FactValue::Number(value.into()) });
    }

    fn text(&mut self, name: &'static str, value: impl Into<Text>) {
        self.facts.push(Fact { name, value: FactValue::Text(value.into()) });
    }

    /// The fact of that name.
    pub fn fact(&self, name: &str) -> Option<&FactValue> {
        self.facts.iter().find(|fact| fact.name == name).map(|fact| &fact.value)
    }
}

/// The checksum that a superblock carries over itself. It guards against accidents, never against an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checksum {
    /// This kind has none, or it is switched off.
    Absent,
    /// Checked with this algorithm. A wrong one makes a superblock unrecognised, as in libblkid.
    Verified(&'static str),
    /// There is one, of an algorithm that is not checked here.
    NotChecked(&'static str),
}

/// One more thing that a superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The field, by the name that the file system's own tools or kernel driver use.
    pub name: &'static str,
    /// Its value.
    pub value: FactValue,
}

/// The value of a [`Fact`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FactValue {
    /// A number, flags included.
    Number(u64),
    /// Text out of the image: escape it before a person sees it.
    Text(Text),
}

/// How to look.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Options<'a> {
    /// Only these kinds are looked for; `None` means all. systemd 261 looks for
    /// [`FsKind::SYSTEMD_CANDIDATES`] alone, earlier versions for all.
    pub kinds: Option<&'a [FsKind]>,
    /// The partitions of the whole disk that is probed, as byte ranges. An MD 0.90 superblock inside the last of
    /// them stands at the same place as one of the disk; libblkid then takes it for the partition's.
    pub partitions: &'a [Range<u64>],
}

impl<'a> Options<'a> {
    /// Look for `kinds` alone.
    pub fn only(kinds: &'a [FsKind]) -> Self {
        Options { kinds: Some(kinds), ..Self::default() }
    }

    /// The source is a whole disk with these partitions.
    #[must_use]
    pub fn with_partitions(self, partitions: &'a [Range<u64>]) -> Self {
        Options { partitions, ..self }
    }
}

/// One recognised kind of superblock.
struct Prober {
    kind: FsKind,
    /// Sources smaller than this are not looked at.
    min_size: u64,
    probe: fn(&Disk<'_>) -> Result<Option<Probe>, Error>,
}

const fn prober(kind: FsKind, probe: fn(&Disk<'_>) -> Result<Option<Probe>, Error>) -> Prober {
    Prober { kind, min_size: 0, probe }
}

const fn large(kind: FsKind, min_size: u64, probe: fn(&Disk<'_>) -> Result<Option<Probe>, Error>) -> Prober {
    Prober { kind, min_size, probe }
}

/// Where most members of firmware arrays are not looked for: in less than this.
const FIRMWARE_RAID: u64 = 64 << 10;

/// In libblkid's order, which decides who hides whom.
const PROBERS: &[Prober] = &[
    prober(FsKind::LinuxRaidMember, raid::probe_md),
    large(FsKind::DdfRaidMember, 0x30000, firmware_raid::probe_ddf),
    large(FsKind::IswRaidMember, FIRMWARE_RAID, firmware_raid::probe_intel),
    large(FsKind::LsiMegaRaidMember, FIRMWARE_RAID, firmware_raid::probe_lsi),
    large(FsKind::ViaRaidMember, FIRMWARE_RAID, firmware_raid::probe_via),
    large(FsKind::SiliconMedleyRaidMember, FIRMWARE_RAID, firmware_raid::probe_silicon),
    large(FsKind::NvidiaRaidMember, FIRMWARE_RAID, firmware_raid::probe_nvidia),
    large(FsKind::PromiseFasttrackRaidMember, 0x40000, firmware_raid::probe_promise),
    large(FsKind::Hpt45xRaidMember, FIRMWARE_RAID, firmware_raid::probe_highpoint_45x),
    prober(FsKind::Hpt37xRaidMember, firmware_raid::probe_highpoint_37x),
    large(FsKind::AdaptecRaidMember, FIRMWARE_RAID, firmware_raid::probe_adaptec),
    large(FsKind::JmicronRaidMember, FIRMWARE_RAID, firmware_raid::probe_jmicron),
    large(FsKind::Bcache, 8192, rare::probe_bcache),
    large(FsKind::Bcachefs, 128 << 10, rare::probe_bcachefs),
    prober(FsKind::Lvm2Member, raid::probe_lvm2),
    prober(FsKind::Lvm1Member, raid::probe_lvm1),
    prober(FsKind::DmSnapshotCow, dm::probe_snapshot),
    prober(FsKind::DmVerityHash, dm::probe_verity),
    prober(FsKind::DmIntegrity, dm::probe_integrity),
    prober(FsKind::CryptoLuks, luks::probe),
    prober(FsKind::BitLocker, foreign::probe_bitlocker),
    prober(FsKind::Vfat, vfat::probe),
    large(FsKind::Swsuspend, swap::MIN_SIZE, swap::probe_suspend),
    large(FsKind::Swap, swap::MIN_SIZE, swap::probe),
    prober(FsKind::Xfs, xfs::probe),
    prober(FsKind::Ext4dev, ext4::probe_ext4dev),
    prober(FsKind::Ext4, ext4::probe_ext4),
    prober(FsKind::Ext3, ext4::probe_ext3),
    prober(FsKind::Ext2, ext4::probe_ext2),
    prober(FsKind::Jbd, ext4::probe_jbd),
    large(FsKind::Reiserfs, 128 << 10, rare::probe_reiserfs),
    large(FsKind::Reiser4, 128 << 10, rare::probe_reiser4),
    large(FsKind::Jfs, 16 << 20, rare::probe_jfs),
    prober(FsKind::Udf, foreign::probe_udf),
    prober(FsKind::Iso9660, iso9660::probe),
    large(FsKind::ZfsMember, 64 << 20, rare::probe_zfs),
    prober(FsKind::Hfsplus, foreign::probe_hfsplus),
    prober(FsKind::Hfs, foreign::probe_hfs),
    prober(FsKind::Ntfs, foreign::probe_ntfs),
    prober(FsKind::Cramfs, rare::probe_cramfs),
    prober(FsKind::Minix, rare::probe_minix),
    prober(FsKind::Squashfs, squashfs::probe),
    prober(FsKind::Squashfs3, squashfs::probe_old),
    large(FsKind::Btrfs, 1 << 20, btrfs::probe),
    large(FsKind::Nilfs2, 1 << 20, rare::probe_nilfs2),
    prober(FsKind::Exfat, foreign::probe_exfat),
    prober(FsKind::F2fs, f2fs::probe),
    prober(FsKind::Erofs, erofs::probe),
];

/// Sources of up to this many bytes are not probed at all.
const NOTHING_SIZE: u64 = 1024;

/// What is on `source`, or `None` if it is nothing that is known.
///
/// As `blkid -p`, but for superblocks alone: whether there is a partition table is another question.
///
/// # Errors
/// [`Error::Ambiguous`] with all candidates if more than one superblock is there and none hides the others;
/// [`Error::Io`] if `source` does.
///
/// ```
/// let mut image = vec![0_u8; 1 << 16];
/// image[..8].copy_from_slice(b"verity\0\0");
/// image[8] = 1;
/// let found = ddi_fs::probe(&image)?.unwrap();
/// assert_eq!(found.kind.name(), "DM_verity_hash");
/// # Ok::<(), ddi_fs::probe::Error>(())
/// ```
pub fn probe(source: &dyn ReadAt) -> Result<Option<Probe>, Error> {
    probe_with(source, &Options::default())
}

/// [`probe`], with [`Options`].
///
/// # Errors
/// As [`probe`].
pub fn probe_with(source: &dyn ReadAt, options: &Options<'_>) -> Result<Option<Probe>, Error> {
    let size = source.size();
    if size <= NOTHING_SIZE {
        return Ok(None);
    }
    let disk = Disk::new(source, options.partitions)?;
    let mut found: Vec<Probe> = Vec::new();
    let mut intolerant = false;
    for prober in PROBERS {
        let wanted = options.kinds.is_none_or(|kinds| kinds.contains(&prober.kind));
        let possible = size >= prober.min_size && !(disk.is_tiny() && prober.kind.usage() == Usage::Raid);
        if !(wanted && possible) {
            continue;
        }
        let Some(mut probe) = (prober.probe)(&disk)? else { continue };
        probe.missing_bytes = probe.claimed_size.map_or(0, |claimed| claimed.saturating_sub(size));
        let last = matches!(probe.kind.usage(), Usage::Raid | Usage::Crypto);
        intolerant |= !last && !probe.kind.is_tolerant();
        found.push(probe);
        if last {
            break;
        }
    }
    let candidates = found.iter().map(|p| Candidate { kind: p.kind, offset: p.magic_offset });
    match (found.len() > 1 && intolerant, disk.is_tiny()) {
        (true, false) => return Err(Error::Ambiguous { candidates: candidates.collect() }),
        // on a floppy the first one is final, for libblkid
        (true, true) => {
            let others = candidates.skip(1).collect();
            if let Some(first) = found.first_mut() {
                first.passed_over = others;
            }
        }
        (false, _) => {}
    }
    Ok(found.into_iter().next())
}

/// Returns true if Linux would take this f2fs, as far as its superblock goes. If it cannot be read, the error says
/// where.
pub fn is_sane_f2fs(source: &dyn ReadAt) -> Result<bool, (u64, std::io::Error)> {
    f2fs::is_sane(source).map_err(|error| (f2fs::OFFSET, error))
}

/// The file system whose boot sector this is. Such a sector ends in `55 AA` as an MBR does, and is none.
pub fn boot_sector(sector: &[u8; 512]) -> Option<&'static str> {
    match sector.get(..11)? {
        b"\xeb\x52\x90NTFS    " => Some("ntfs"),
        b"\xeb\x76\x90EXFAT   " => Some("exfat"),
        _ => vfat::is_boot_sector(sector).then_some(FsKind::Vfat.name()),
    }
}

#[cfg(test)]
mod tests;
