//! The protective MBR: block 0, which tells software that does not know GPT to keep off.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{BlockSize, Error};

/// The partition type of the protective record.
pub(crate) const PROTECTIVE: u8 = 0xee;
const SIGNATURE: u16 = 0xaa55;

/// The master boot record, as it is on disk: the first 512 bytes whatever the block size (UEFI 2.10, 5.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BootRecord {
    /// Code that a BIOS runs.
    pub boot_code: [u8; 440],
    /// Disk signature; unused with GPT.
    pub unique_signature: U32,
    /// Unused.
    pub unknown: U16,
    /// The four primary records.
    pub partitions: [BootRecordEntry; 4],
    /// `0xaa55`, that is bytes 55 AA.
    pub signature: U16,
}

/// One of the four records of the master boot record.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct BootRecordEntry {
    /// `0x80` if a BIOS should start it; 0 in a protective record.
    pub boot_indicator: u8,
    /// First block as cylinder, head, sector.
    pub starting_chs: [u8; 3],
    /// `0xee` in the protective record, 0 if unused.
    pub os_type: u8,
    /// Last block as cylinder, head, sector.
    pub ending_chs: [u8; 3],
    /// First block; 1 in a protective record.
    pub starting_lba: U32,
    /// Blocks; the size of the disk less one, at most `0xffffffff`, in a protective record.
    pub size_in_lba: U32,
}

impl BootRecord {
    /// The protective MBR for a disk of `blocks` blocks (UEFI 2.10, 5.2.3).
    pub fn protective(blocks: u64) -> Self {
        let record = BootRecordEntry {
            boot_indicator: 0,
            starting_chs: [0x00, 0x02, 0x00],
            os_type: PROTECTIVE,
            ending_chs: [0xff; 3],
            starting_lba: U32::new(1),
            size_in_lba: U32::new(protective_size(blocks)),
        };
        let unused = BootRecordEntry::default();
        Self {
            boot_code: [0; 440],
            unique_signature: U32::ZERO,
            unknown: U16::ZERO,
            partitions: [record, unused, unused, unused],
            signature: U16::new(SIGNATURE),
        }
    }
}

/// The size that a protective record should have.
fn protective_size(blocks: u64) -> u32 {
    u32::try_from(blocks.saturating_sub(1)).unwrap_or(u32::MAX)
}

/// A master boot record that protects a GPT: it ends in 55 AA and has a record of type EE.
///
/// That is what libblkid asks for. The kernel asks besides that the record starts at block 1; a wrong size is tolerated by
/// both, as disks get copied to larger ones. See [`ProtectiveMbr::is_proper`] for the strict reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtectiveMbr {
    record: BootRecord,
    index: usize,
    protective: BootRecordEntry,
}

impl ProtectiveMbr {
    /// Checks the first 512 bytes of a disk.
    ///
    /// # Errors
    /// [`Error::MbrSignature`] and [`Error::MbrNotProtective`].
    pub fn parse(bytes: &[u8; 512]) -> Result<Self, Error> {
        let record: BootRecord = zerocopy::transmute!(*bytes);
        if record.signature.get() != SIGNATURE {
            return Err(Error::MbrSignature { found: record.signature.get() });
        }
        let found = record.partitions.into_iter().enumerate().find(|(_, p)| p.os_type == PROTECTIVE);
        let Some((index, protective)) = found else {
            return Err(Error::MbrNotProtective { types: record.partitions.map(|p| p.os_type) });
        };
        Ok(Self { record, index, protective })
    }

    /// The whole record.
    pub fn boot_record(&self) -> &BootRecord {
        &self.record
    }

    /// Which of the four records is the protective one, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// First block of the protective record: should be 1.
    pub fn starting_lba(&self) -> u32 {
        self.protective.starting_lba.get()
    }

    /// Blocks in the protective record: see [`ProtectiveMbr::expected_size`].
    pub fn size_in_lba(&self) -> u32 {
        self.protective.size_in_lba.get()
    }

    /// What [`ProtectiveMbr::size_in_lba`] should be for a disk of `disk_size` bytes.
    pub fn expected_size(disk_size: u64, block_size: BlockSize) -> u32 {
        protective_size(block_size.whole_blocks(disk_size))
    }

    /// True if a record besides the protective one is in use, so that part of the disk is described twice.
    pub fn is_hybrid(&self) -> bool {
        self.record.partitions.iter().enumerate().any(|(i, p)| i != self.index && p.os_type != 0)
    }

    /// True if it is as UEFI wants it: one record, not bootable, from block 1 to the end of the disk (or `0xffffffff` blocks),
    /// and the other records zero.
    pub fn is_proper(&self, disk_size: u64, block_size: BlockSize) -> bool {
        let others = self.record.partitions.iter().enumerate().filter(|(i, _)| *i != self.index);
        self.protective.boot_indicator == 0
            && self.starting_lba() == 1
            && (self.size_in_lba() == Self::expected_size(disk_size, block_size)
                || self.size_in_lba() == u32::MAX)
            && others.map(|(_, p)| p).all(|p| *p == BootRecordEntry::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(record: &BootRecord) -> [u8; 512] {
        zerocopy::transmute!(*record)
    }

    #[test]
    fn fields_are_where_the_specification_puts_them() {
        let bytes = bytes(&BootRecord::protective(16384));
        assert_eq!(bytes[..446], [0; 446]);
        assert_eq!(bytes[446..462], [0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0x3f, 0, 0]);
        assert_eq!(bytes[462..510], [0; 48]);
        assert_eq!(bytes[510..], [0x55, 0xaa]);
    }

    #[test]
    fn the_size_stops_at_32_bits() {
        for (blocks, size) in
            [(0, 0), (1, 0), (2, 1), (1 << 32, u32::MAX), ((1 << 32) + 1, u32::MAX), (u64::MAX, u32::MAX)]
        {
            assert_eq!(BootRecord::protective(blocks).partitions[0].size_in_lba.get(), size);
        }
    }

    #[test]
    fn proper_hybrid_and_neither() {
        let good = BootRecord::protective(16384);
        let size = 16384 * 512;
        let mbr = ProtectiveMbr::parse(&bytes(&good)).unwrap();
        assert!(mbr.is_proper(size, BlockSize::B512) && !mbr.is_hybrid());
        assert!(!mbr.is_proper(size + 512, BlockSize::B512));

        let mut odd = good;
        odd.partitions.swap(0, 2);
        let mbr = ProtectiveMbr::parse(&bytes(&odd)).unwrap();
        assert!(mbr.index() == 2 && mbr.is_proper(size, BlockSize::B512));

        odd.partitions[1].os_type = 0x83;
        let mbr = ProtectiveMbr::parse(&bytes(&odd)).unwrap();
        assert!(mbr.is_hybrid() && !mbr.is_proper(size, BlockSize::B512));

        odd = good;
        odd.partitions[0].boot_indicator = 0x80;
        assert!(!ProtectiveMbr::parse(&bytes(&odd)).unwrap().is_proper(size, BlockSize::B512));

        odd.partitions[0].os_type = 0x83;
        let error = ProtectiveMbr::parse(&bytes(&odd));
        assert_eq!(error, Err(Error::MbrNotProtective { types: [0x83, 0, 0, 0] }));

        odd.signature = U16::new(0x55aa);
        assert_eq!(ProtectiveMbr::parse(&bytes(&odd)), Err(Error::MbrSignature { found: 0x55aa }));
    }

    #[test]
    fn the_record_is_told_as_it_stands() {
        let mut odd = BootRecord::protective(16384);
        odd.partitions[0].starting_lba.set(7);
        let mbr = ProtectiveMbr::parse(&bytes(&odd)).unwrap();
        assert_eq!((mbr.starting_lba(), mbr.size_in_lba(), mbr.index()), (7, 16383, 0));
        assert_eq!(mbr.boot_record(), &odd);
        assert!(!mbr.is_proper(16384 * 512, BlockSize::B512));
    }
}
