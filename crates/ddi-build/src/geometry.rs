//! Where partitions may be on a disk.

use ddi_gpt::{BlockSize, Gpt, LbaRange};

use crate::compatibility::Compatibility;
use crate::error::PlanFault;

/// What every size and place is a multiple of, unless sectors are larger.
const GRAIN: u64 = 4096;
const MEBIBYTE: u64 = 1 << 20;
/// Bytes of the entry array: 128 entries.
const ARRAY: u64 = 16384;

pub(crate) fn round_up(size: u64, to: u64) -> u64 {
    size.checked_next_multiple_of(to).unwrap_or(u64::MAX)
}

pub(crate) fn round_down(size: u64, to: u64) -> u64 {
    size.saturating_sub(size.checked_rem(to).unwrap_or_default())
}

/// A disk's size and sectors, and what of it partitions may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Of the disk, in bytes.
    pub size: u64,
    /// Of its sectors.
    pub sector_size: BlockSize,
    /// What partitions are aligned to.
    pub grain: u64,
    /// The blocks that the table says partitions may use.
    pub usable: LbaRange,
}

impl Geometry {
    pub(crate) fn grain_of(sector_size: BlockSize) -> u64 {
        GRAIN.max(sector_size.bytes().into())
    }

    /// Of a new table, laid out as libfdisk does it for systemd-repart.
    pub(crate) fn new_table(size: u64, sector_size: BlockSize) -> Result<Self, PlanFault> {
        let sector = u64::from(sector_size.bytes());
        let blocks = sector_size.whole_blocks(size);
        let mebibyte = sector_size.whole_blocks(MEBIBYTE);
        let first = match blocks > mebibyte.saturating_mul(4) {
            true => mebibyte,
            false => sector_size.whole_blocks(ARRAY).saturating_add(2),
        };
        let kept = sector_size.whole_blocks(ARRAY).saturating_add(2);
        let too_small =
            PlanFault::TooSmall { size, needed: first.saturating_add(kept).saturating_mul(sector) };
        let last = blocks.checked_sub(kept).filter(|last| *last >= first).ok_or(too_small)?;
        let grain = Self::grain_of(sector_size);
        Ok(Self { size, sector_size, grain, usable: LbaRange::new(first, last) })
    }

    /// Of a table that is there. If the disk has grown, its end moves to that of the disk when something is written.
    pub(crate) fn of_table(gpt: &Gpt, disk_size: u64, relocate: bool) -> Result<Self, PlanFault> {
        let sector_size = gpt.block_size();
        let mut usable = gpt.usable();
        if relocate {
            let kept = sector_size.whole_blocks(ARRAY).saturating_add(2);
            let last = sector_size.whole_blocks(disk_size).saturating_sub(kept);
            if last > usable.last.0 {
                usable = LbaRange::new(usable.first.0, last);
            }
        }
        Ok(Self { size: disk_size, sector_size, grain: Self::grain_of(sector_size), usable })
    }

    /// First byte that a partition may have, and the byte behind the last, whole grains.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        let sector = u64::from(self.sector_size.bytes());
        let start = round_up(self.usable.first.0.saturating_mul(sector), self.grain);
        let end = round_down(self.usable.last.0.saturating_add(1).saturating_mul(sector), self.grain);
        (start, end)
    }

    /// Bytes of an image beside those of its partitions (`--size=auto`).
    pub(crate) fn overhead(sector_size: BlockSize, compatibility: Compatibility) -> u64 {
        match compatibility {
            Compatibility::Repart257 => MEBIBYTE.saturating_add(20 << 10),
            _ => round_up(MEBIBYTE, Self::grain_of(sector_size))
                .saturating_add(ARRAY)
                .saturating_add(sector_size.bytes().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_four_mebibytes_the_table_takes_less() {
        let of = |size, sector| {
            let found = Geometry::new_table(size, sector).unwrap();
            (found.usable.first.0, found.usable.last.0, found.bounds())
        };
        assert_eq!(of(4 << 20, BlockSize::B512), (34, 8158, (20480, 4177920 - 4096 + 4096 - 4096)));
        assert_eq!(of((4 << 20) + 4096, BlockSize::B512).0, 2048);
        assert_eq!(of(64 << 20, BlockSize::B4096), (256, 16378, (1 << 20, 16379 * 4096)));
        let fault = Geometry::new_table(30_000, BlockSize::B512).unwrap_err();
        assert_eq!(fault, PlanFault::TooSmall { size: 30_000, needed: 68 * 512 });
        assert!(Geometry::new_table(68 * 512, BlockSize::B512).is_ok());
        assert!(Geometry::new_table(0, BlockSize::B4096).is_err());
        assert!(Geometry::new_table(u64::MAX, BlockSize::B512).is_ok());
    }
}
