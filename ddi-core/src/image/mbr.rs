//! The MBR partition table: four primary records in the first 512 bytes.
//!
//! ```text
//!   0                         440       444   446      462      478      494      510   512
//!   ├─ boot code, BPB of FAT ──┼─ disk id ─┼──┼─ rec 1 ─┼─ rec 2 ─┼─ rec 3 ─┼─ rec 4 ─┼ 55 AA ┤
//!
//!   record: boot indicator u8, CHS [3], type u8, CHS [3], start u32, blocks u32 (little-endian)
//! ```
//!
//! Only what an image made for discovery can need: a bootable Linux partition, or XBOOTLDR. The chain of an extended
//! partition is **not followed**: it is a linked list through the whole disk, written by whoever made the image,
//! that every parser reads a little differently, and nothing in it can be discovered (systemd looks at logical
//! partitions too, but only a bootable one would ever count). An extended partition is reported as one.

use core::fmt;

use byteorder::{ByteOrder, LittleEndian};

use ddi_fs::probe as fs;

const DISK_ID: usize = 440;
const RECORDS: usize = 446;
const RECORD_SIZE: usize = 16;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// AIX marks its disks so, at the very start.
const AIX: [u8; 4] = [0xc9, 0xc2, 0xd4, 0xc1];

/// An MBR partition table, as it stands: the records are not checked against anything yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mbr {
    disk_id: u32,
    records: [Record; 4],
}

/// One of the four records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// 0x80: bootable. 0 otherwise.
    pub boot_indicator: u8,
    /// What the partition is for.
    pub kind: PartitionKind,
    /// First block.
    pub start: u32,
    /// Number of blocks; 0 means that the record is unused.
    pub blocks: u32,
}

/// The type byte of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartitionKind(pub u8);

impl PartitionKind {
    /// A Linux file system.
    pub const LINUX: PartitionKind = PartitionKind(0x83);
    /// An extended boot loader partition.
    pub const XBOOTLDR: PartitionKind = PartitionKind(0xea);
    /// The EFI system partition. Not discovered on MBR disks.
    pub const ESP: PartitionKind = PartitionKind(0xef);
    /// The whole disk, protected for the sake of a GPT.
    pub const PROTECTIVE: PartitionKind = PartitionKind(0xee);

    /// A container of logical partitions, which are not looked at.
    pub fn is_extended(self) -> bool {
        matches!(self.0, 0x05 | 0x0f | 0x85)
    }
}

/// A record that was checked: it lies on the disk, behind the table, and overlaps no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// 1 to 4.
    pub number: u32,
    /// What it is for.
    pub kind: PartitionKind,
    /// True if it is marked as bootable.
    pub bootable: bool,
    /// First byte on the disk.
    pub offset: u64,
    /// Size in bytes, never 0.
    pub size: u64,
}

impl Partition {
    /// What discovery takes it for: only a bootable Linux partition and XBOOTLDR count.
    pub fn role(&self) -> Option<Role> {
        match self.kind {
            PartitionKind::LINUX if self.bootable => Some(Role::GenericRoot),
            PartitionKind::XBOOTLDR => Some(Role::Xbootldr),
            _ => None,
        }
    }
}

/// What an MBR partition can be discovered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A candidate for the root file system, if it is the only one.
    GenericRoot,
    /// The extended boot loader partition.
    Xbootldr,
}

/// Why a sector is no MBR partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotMbr {
    /// It does not end in `55 AA`.
    Signature,
    /// A record of type 0xEE: the table that counts is a GPT.
    Protective,
    /// A boot indicator other than 0 and 0x80: whatever this is, it is no record.
    BootIndicator {
        /// The record, 1 to 4.
        number: u32,
        /// What stands there.
        found: u8,
    },
    /// The boot sector of a file system, which ends in `55 AA` as well.
    BootSector {
        /// libblkid's name for the file system.
        file_system: &'static str,
    },
    /// The mark of AIX.
    Aix,
}

impl fmt::Display for NotMbr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotMbr::Signature => f.write_str("no MBR signature at byte 510"),
            NotMbr::Protective => f.write_str("protective MBR, which stands for a GPT"),
            NotMbr::BootIndicator { number, found } => {
                write!(f, "MBR record {number}: boot indicator is {found:#04x}, expected 0x00 or 0x80")
            }
            NotMbr::BootSector { file_system } => write!(f, "boot sector of a {file_system} file system"),
            NotMbr::Aix => f.write_str("disk label of AIX"),
        }
    }
}

impl core::error::Error for NotMbr {}

/// Why a table cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A partition does not lie on the disk.
    OutsideDisk {
        /// The record, 1 to 4.
        number: u32,
        /// First byte of the partition.
        offset: u64,
        /// First byte behind it.
        end: u64,
        /// Size of the disk.
        disk_size: u64,
    },
    /// A partition starts at block 0, which is the table.
    OverTable {
        /// The record, 1 to 4.
        number: u32,
    },
    /// Two partitions share blocks.
    Overlap {
        /// The first record, 1 to 4.
        number: u32,
        /// The second record.
        other: u32,
        /// The first byte that both claim.
        offset: u64,
    },
}

impl Error {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::OutsideDisk { .. } => "mbr-outside-disk",
            Error::OverTable { .. } => "mbr-over-table",
            Error::Overlap { .. } => "mbr-overlap",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::OutsideDisk { number, offset, end, disk_size } => {
                write!(
                    f,
                    "MBR record {number}: bytes {offset} to {end} are not on a disk of {disk_size} bytes"
                )
            }
            Error::OverTable { number } => write!(f, "MBR record {number}: covers the table itself"),
            Error::Overlap { number, other, offset } => {
                write!(f, "MBR records {number} and {other} overlap at byte {offset}")
            }
        }
    }
}

impl core::error::Error for Error {}

impl Mbr {
    /// Reads the first 512 bytes of a disk, by libblkid's rules for what is a table.
    ///
    /// One rule differs: a boot sector of NTFS or exFAT is known by its name and its jump alone, whereas libblkid
    /// goes on to look at sectors elsewhere. So a table with such a name in its boot code is refused here.
    ///
    /// # Errors
    /// The reason why it is not an MBR partition table.
    pub fn parse(sector: &[u8; 512]) -> Result<Self, NotMbr> {
        if !sector.ends_with(&SIGNATURE) {
            return Err(NotMbr::Signature);
        }
        if sector.starts_with(&AIX) {
            return Err(NotMbr::Aix);
        }
        let mut records = [Record { boot_indicator: 0, kind: PartitionKind(0), start: 0, blocks: 0 }; 4];
        let raw = sector.get(RECORDS..).unwrap_or_default().chunks_exact(RECORD_SIZE);
        for (record, raw) in records.iter_mut().zip(raw) {
            *record = Record::parse(raw).ok_or(NotMbr::Signature)?;
        }
        for (number, record) in (1..).zip(&records) {
            if !matches!(record.boot_indicator, 0 | 0x80) {
                return Err(NotMbr::BootIndicator { number, found: record.boot_indicator });
            }
        }
        if records.iter().any(|record| record.kind == PartitionKind::PROTECTIVE) {
            return Err(NotMbr::Protective);
        }
        if let Some(file_system) = fs::boot_sector(sector) {
            return Err(NotMbr::BootSector { file_system });
        }
        let disk_id = sector.get(DISK_ID..RECORDS).map_or(0, LittleEndian::read_u32);
        Ok(Mbr { disk_id, records })
    }

    /// The disk's identifier; `None` for 0, which means that there is none.
    pub fn disk_id(&self) -> Option<u32> {
        (self.disk_id != 0).then_some(self.disk_id)
    }

    /// The four records as they stand, unused ones too.
    pub fn records(&self) -> &[Record; 4] {
        &self.records
    }

    /// The used records, checked against a disk of `disk_size` bytes in blocks of `block_size`.
    ///
    /// # Errors
    /// The first thing that is wrong with one of them. A table with such a record is not to be used at all.
    pub fn partitions(&self, block_size: u32, disk_size: u64) -> Result<Vec<Partition>, Error> {
        let mut partitions: Vec<Partition> = Vec::with_capacity(4);
        for (number, record) in (1..).zip(&self.records).filter(|(_, record)| record.blocks != 0) {
            // both factors are of 32 bits
            let bytes = |blocks: u32| u64::from(blocks).saturating_mul(block_size.into());
            let (offset, size) = (bytes(record.start), bytes(record.blocks));
            let end = offset.saturating_add(size);
            if end > disk_size {
                return Err(Error::OutsideDisk { number, offset, end, disk_size });
            }
            if record.start == 0 {
                return Err(Error::OverTable { number });
            }
            for other in &partitions {
                let first = offset.max(other.offset);
                if first < end.min(other.offset.saturating_add(other.size)) {
                    return Err(Error::Overlap { number: other.number, other: number, offset: first });
                }
            }
            let bootable = record.boot_indicator == 0x80;
            partitions.push(Partition { number, kind: record.kind, bootable, offset, size });
        }
        Ok(partitions)
    }
}

impl Record {
    fn parse(raw: &[u8]) -> Option<Self> {
        Some(Record {
            boot_indicator: *raw.first()?,
            kind: PartitionKind(*raw.get(4)?),
            start: raw.get(8..12).map(LittleEndian::read_u32)?,
            blocks: raw.get(12..16).map(LittleEndian::read_u32)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 64 MiB
    const DISK: u64 = 64 << 20;

    /// (boot indicator, type, start, blocks)
    fn sector(records: &[(u8, u8, u32, u32)]) -> [u8; 512] {
        let mut sector = [0; 512];
        sector[440..444].copy_from_slice(&0xdead_beef_u32.to_le_bytes());
        for (i, (boot, kind, start, blocks)) in records.iter().enumerate() {
            let record = &mut sector[446 + 16 * i..][..16];
            record[0] = *boot;
            record[4] = *kind;
            record[8..12].copy_from_slice(&start.to_le_bytes());
            record[12..].copy_from_slice(&blocks.to_le_bytes());
        }
        sector[510..].copy_from_slice(&SIGNATURE);
        sector
    }

    fn check(records: &[(u8, u8, u32, u32)]) -> Result<Vec<Partition>, Error> {
        Mbr::parse(&sector(records)).unwrap().partitions(512, DISK)
    }

    #[test]
    fn bootable_linux_is_the_only_generic_root() {
        let all = [(0x80, 0x83, 2048, 8), (0, 0x83, 4096, 8), (0x80, 0xef, 6144, 8), (0, 0xea, 8192, 8)];
        let mbr = Mbr::parse(&sector(&all)).unwrap();
        assert_eq!(mbr.disk_id(), Some(0xdead_beef));
        let partitions = mbr.partitions(512, DISK).unwrap();
        let roles: Vec<_> = partitions.iter().map(Partition::role).collect();
        assert_eq!(roles, [Some(Role::GenericRoot), None, None, Some(Role::Xbootldr)]);
        assert_eq!((partitions[3].number, partitions[3].offset, partitions[3].size), (4, 4 << 20, 4096));
    }

    #[test]
    fn numbers_stay_where_a_record_is_unused() {
        let partitions = check(&[(0, 0, 0, 0), (0, 0x83, 2048, 8)]).unwrap();
        assert_eq!(partitions.iter().map(|p| p.number).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn extended_partition_is_named_and_not_followed() {
        for kind in [0x05, 0x0f, 0x85] {
            let partitions = check(&[(0, kind, 2048, 8)]).unwrap();
            assert!(partitions[0].kind.is_extended());
            assert_eq!(partitions[0].role(), None);
        }
    }

    #[test]
    fn what_is_no_table() {
        let good = [(0, 0x83, 2048, 8)];
        let mut bytes = sector(&good);
        bytes[511] = 0;
        assert_eq!(Mbr::parse(&bytes), Err(NotMbr::Signature));
        let mut bytes = sector(&good);
        bytes[..4].copy_from_slice(&AIX);
        assert_eq!(Mbr::parse(&bytes), Err(NotMbr::Aix));
        // a GPT beside other records is still a GPT
        assert_eq!(Mbr::parse(&sector(&[good[0], (0, 0xee, 1, 9)])), Err(NotMbr::Protective));
        let bytes = sector(&[good[0], (0x81, 0x83, 4096, 8)]);
        assert_eq!(Mbr::parse(&bytes), Err(NotMbr::BootIndicator { number: 2, found: 0x81 }));
    }

    #[test]
    fn boot_sectors_are_no_tables() {
        for (jump, name, expected) in [
            ([0xeb, 0x52, 0x90], b"NTFS    ", "ntfs"),
            ([0xeb, 0x76, 0x90], b"EXFAT   ", "exfat"),
            ([0xeb, 0x58, 0x90], b"mkfs.fat", "vfat"),
        ] {
            let mut bytes = sector(&[]);
            bytes[..3].copy_from_slice(&jump);
            bytes[3..11].copy_from_slice(name);
            if expected == "vfat" {
                // 512-byte sectors, 1 a cluster, 1 reserved, 2 FATs, 512 root entries, 20000 sectors, 80 a FAT
                bytes[11..24].copy_from_slice(&[0, 2, 1, 1, 0, 2, 0, 2, 0x20, 0x4e, 0xf8, 80, 0]);
            }
            assert_eq!(Mbr::parse(&bytes), Err(NotMbr::BootSector { file_system: expected }));
            // it is the file system that counts, not the jump
            bytes[3] = b'x';
            bytes[21] = 0;
            assert!(Mbr::parse(&bytes).is_ok(), "{expected}");
        }
    }

    #[test]
    fn records_must_fit_the_disk() {
        let blocks = u32::try_from(DISK / 512).unwrap();
        assert!(check(&[(0, 0x83, 1, blocks - 1)]).is_ok());
        let disk_size = DISK;
        assert_eq!(
            check(&[(0, 0x83, 1, blocks)]),
            Err(Error::OutsideDisk { number: 1, offset: 512, end: DISK + 512, disk_size })
        );
        let top = u64::from(u32::MAX) * 512;
        assert_eq!(
            check(&[(0, 0x83, u32::MAX, u32::MAX)]),
            Err(Error::OutsideDisk { number: 1, offset: top, end: top * 2, disk_size })
        );
        assert_eq!(check(&[(0, 0x83, 0, 8)]), Err(Error::OverTable { number: 1 }));
        assert_eq!(
            check(&[(0, 0x83, 2048, 8), (0, 0x82, 4096, 8), (0, 0x83, 2055, 8)]),
            Err(Error::Overlap { number: 1, other: 3, offset: 2055 * 512 })
        );
        assert!(check(&[(0, 0x83, 2056, 8), (0, 0x83, 2048, 8)]).is_ok());
    }
}
