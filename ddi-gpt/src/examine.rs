//! Reading both copies of the table, and keeping what can be shown of them.

use alloc::vec::Vec;

use crate::anomaly::{Anomaly, find_anomalies};
use crate::copy::{Disk, Truncated};
use crate::source::Source;
use crate::{BlockSize, Error, Header, Lba, LbaRange, ProtectiveMbr, Side, TableCopy};

/// Read at once from the start of the disk: the protective MBR, the header and the usual array, for blocks of 4096 bytes.
const HEAD: u64 = 2 * 4096 + 16384;
/// Read at once from the end of the disk: the usual array and the header.
const TAIL: u64 = 16384 + 4096;

/// Reads what there is of a table and judges it.
///
/// `read(offset, buf)` must fill `buf` with the bytes of the disk at `offset`; it is never asked for bytes past `disk_size`, nor
/// twice for the same ones. Two calls do for the usual table.
///
/// `block_size` forces the size of a block, for block devices, which know it. With `None` it is found as systemd does: the one of
/// 512, 1024, 2048 and 4096 at which there is a header. If there is none, a good backup header in the last block decides, and
/// failing that anything with the signature.
///
/// What the image holds is never an error here: see [`Examination`].
///
/// # Errors
/// Only those of `read`, which end the examination.
pub fn examine<E>(
    disk_size: u64,
    block_size: Option<BlockSize>,
    read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<Examination, E> {
    let mut source = Source::new(disk_size, read);
    let bounded = |size: u64| usize::try_from(size.min(disk_size)).unwrap_or_default();
    source.fetch(0, bounded(HEAD))?;
    source.fetch(disk_size.saturating_sub(TAIL), bounded(TAIL))?;

    let boot_sector = source.known(0, 512).and_then(|bytes| <[u8; 512]>::try_from(bytes).ok());
    let protective_mbr =
        boot_sector.as_ref().ok_or(Error::DiskTooSmall { size: disk_size }).and_then(ProtectiveMbr::parse);
    let found = match block_size {
        Some(forced) => Ok(Some(forced)),
        None => find_block_size(&source, disk_size),
    };
    let mut examination = Examination {
        disk_size,
        block_size: found.clone(),
        boot_sector,
        protective_mbr,
        primary: TableCopy::absent(Side::Primary, Lba(1), &found),
        backup: TableCopy::absent(Side::Backup, Lba(0), &found),
        anomalies: Vec::new(),
    };
    if let Ok(Some(block_size)) = found {
        let disk = Disk { size: disk_size, block_size };
        examination.primary = TableCopy::load(&mut source, &disk, Side::Primary, Lba(1))?;
        examination.backup = load_backup(&mut source, &disk, &examination.primary)?;
        let copies = [&mut examination.primary, &mut examination.backup];
        let mut arrays = [None; 2];
        for (copy, array) in copies.into_iter().zip(&mut arrays) {
            *array = copy.fetch_array(&mut source, &disk)?;
        }
        // only now that all has been read may pieces be taken out
        for (copy, array) in [&mut examination.primary, &mut examination.backup].into_iter().zip(arrays) {
            copy.keep_array(array.map(|piece| source.take(piece)).unwrap_or_default());
            copy.outcome = copy.judge(&disk, Truncated::Refuse, drop);
        }
        if !examination.is_gpt() {
            examination.block_size = Ok(None);
        }
    }
    examination.anomalies = find_anomalies(&examination);
    Ok(examination)
}

/// What there is of a table on a disk, good or broken: for showing. [`Examination::gpt`] turns it into a checked
/// [`Gpt`](crate::Gpt), if it is one.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The size of the disk in bytes.
    pub disk_size: u64,
    /// The block size, forced or found; `None` if no header was found at either end.
    ///
    /// [`Error::AmbiguousBlockSize`] if there are headers for two. Then neither copy has been read; force one size after the
    /// other to see them.
    pub block_size: Result<Option<BlockSize>, Error>,
    /// The first 512 bytes of the disk, if it has as many.
    pub boot_sector: Option<[u8; 512]>,
    /// The protective MBR. A disk without one is no GPT disk to other software, whatever headers it has.
    pub protective_mbr: Result<ProtectiveMbr, Error>,
    /// The copy at the start of the disk.
    pub primary: TableCopy,
    /// The copy at the end of the disk: in the last block, or where the primary header says if there is no good one.
    pub backup: TableCopy,
    pub(crate) anomalies: Vec<Anomaly>,
}

impl Examination {
    /// True if there is a header in at least one place.
    ///
    /// Look at [`Examination::protective_mbr`] too: headers that an earlier use of the disk left behind make no GPT disk.
    pub fn is_gpt(&self) -> bool {
        self.block_size.is_err() || self.primary.header.is_some() || self.backup.header.is_some()
    }

    /// What is unusual and breaks no rule, or none that matters.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// One of the two copies.
    pub fn copy(&self, side: Side) -> &TableCopy {
        match side {
            Side::Primary => &self.primary,
            Side::Backup => &self.backup,
        }
    }

    /// The disk, if the block size is known.
    pub(crate) fn disk(&self) -> Result<Disk, Error> {
        let block_size = self.block_size.clone()?.ok_or(Error::NoTable)?;
        Ok(Disk { size: self.disk_size, block_size })
    }
}

/// The backup copy: in the last block, as libblkid has it. If that is not a good one, where the primary header says, as on a
/// disk that has grown since.
fn load_backup<E, F>(source: &mut Source<F>, disk: &Disk, primary: &TableCopy) -> Result<TableCopy, E>
where
    F: FnMut(u64, &mut [u8]) -> Result<(), E>,
{
    let last = disk.last_lba();
    let at_end = if last.0 > 1 {
        TableCopy::load(source, disk, Side::Backup, last)?
    } else {
        TableCopy::absent(Side::Backup, last, &Ok(None))
    };
    let hint = primary.header.map(|header| header.alternate_lba()).filter(|lba| lba.0 > 1 && *lba < last);
    let Some(hint) = hint.filter(|_| at_end.outcome.is_err()) else { return Ok(at_end) };
    let elsewhere = TableCopy::load(source, disk, Side::Backup, hint)?;
    let better = elsewhere.outcome.is_ok() || (elsewhere.header.is_some() && at_end.header.is_none());
    Ok(if better { elsewhere } else { at_end })
}

/// The block size for which there is a header. systemd's test comes first, so that both find the same where both find one.
fn find_block_size<F, E>(source: &Source<F>, disk_size: u64) -> Result<Option<BlockSize>, Error>
where
    F: FnMut(u64, &mut [u8]) -> Result<(), E>,
{
    let block_at = |size: BlockSize, lba: Lba| {
        let disk = Disk { size: disk_size, block_size: size };
        let range = disk.bytes_of(LbaRange::one(lba))?;
        source.known(range.offset, disk.block_len())
    };
    let primary = |size: BlockSize| block_at(size, Lba(1)).and_then(Header::find);
    // systemd, gpt.c, gpt_header_has_signature()
    let as_systemd = |header: &Header| {
        header.revision.get() == Header::REVISION
            && (Header::SIZE..=4096).contains(&header.header_size.get())
            && header.my_lba() == Lba(1)
    };
    if let Some(found) = only(|size| primary(size).is_some_and(as_systemd))? {
        return Ok(Some(found));
    }
    let backup = |size: BlockSize| {
        let disk = Disk { size: disk_size, block_size: size };
        let mut copy = TableCopy::absent(Side::Backup, disk.last_lba(), &Ok(None));
        copy.block = block_at(size, copy.lba).filter(|_| copy.lba.0 > 1)?.to_vec();
        copy.header = Some(*Header::find(&copy.block)?);
        Some(copy.check_header(&disk, Truncated::Refuse).is_ok())
    };
    if let Some(found) = only(|size| backup(size) == Some(true))? {
        return Ok(Some(found));
    }
    only(|size| primary(size).is_some() || backup(size).is_some())
}

/// The one block size that passes the test.
fn only(test: impl Fn(BlockSize) -> bool) -> Result<Option<BlockSize>, Error> {
    let mut hits = BlockSize::ALL.into_iter().filter(|size| test(*size));
    match (hits.next(), hits.next()) {
        (Some(first), Some(second)) => Err(Error::AmbiguousBlockSize { first, second }),
        (found, _) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;
    use std::{format, vec};

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{ROOT, TestDisk};
    use crate::{Builder, Condition, Guid, MAX_ARRAY_SIZE, Mode, NewPartition};

    #[test]
    fn the_block_size_is_where_the_header_is() {
        for block_size in BlockSize::ALL {
            let disk = TestDisk::new(block_size);
            assert_eq!(disk.examine().block_size, Ok(Some(block_size)));
            assert_eq!(disk.examine_as(Some(block_size)).block_size, Ok(Some(block_size)));
            for other in BlockSize::ALL.into_iter().filter(|other| *other != block_size) {
                let examination = disk.examine_as(Some(other));
                assert_eq!(examination.block_size, Ok(None), "{other}");
                assert!(!examination.is_gpt());
                assert_eq!(examination.gpt(Mode::Tolerant).unwrap_err(), Error::NoTable);
            }
        }
    }

    #[test]
    fn a_good_backup_tells_the_block_size_too() {
        for block_size in BlockSize::ALL {
            let mut disk = TestDisk::new(block_size);
            disk.wipe_header(Side::Primary);
            let examination = disk.examine();
            assert_eq!(examination.block_size, Ok(Some(block_size)));
            assert_eq!(examination.gpt(Mode::Tolerant).unwrap().condition(), Condition::BackupOnly);
            let odd = examination.anomalies().contains(&Anomaly::BlockSizeFromBackup);
            assert_eq!(odd, block_size != BlockSize::B512);
        }
    }

    #[test]
    fn two_block_sizes_are_an_error() {
        let mut disk = TestDisk::new(BlockSize::B4096);
        disk.bytes[512..1024].copy_from_slice(&TestDisk::new(BlockSize::B512).bytes[512..1024]);
        let examination = disk.examine();
        let error = Error::AmbiguousBlockSize { first: BlockSize::B512, second: BlockSize::B4096 };
        assert_eq!(examination.block_size, Err(error.clone()));
        assert!(examination.is_gpt());
        assert_eq!(examination.gpt(Mode::Tolerant).unwrap_err(), error);
        assert!(disk.examine_as(Some(BlockSize::B4096)).gpt(Mode::Strict).is_ok());

        // what systemd does not take for a header makes nothing ambiguous
        disk.bytes[512 + 24] = 2;
        assert_eq!(disk.examine().block_size, Ok(Some(BlockSize::B4096)));
    }

    #[test]
    fn a_broken_signature_is_still_shown() {
        let mut disk = TestDisk::new(BlockSize::B2048);
        for side in [Side::Primary, Side::Backup] {
            disk.header(side).my_lba.set(9);
        }
        let examination = disk.examine();
        assert_eq!(examination.block_size, Ok(Some(BlockSize::B2048)));
        assert_eq!(examination.primary.entries().count(), 3);
        assert_eq!(examination.backup.entries().count(), 3);
    }

    #[test]
    fn no_table() {
        for size in [0, 1, 511, 512, 513, 1023, 1024, 4096, 8191, 8192, 70_000] {
            for byte in [0, 0xff] {
                let disk = TestDisk { bytes: vec![byte; size], block_size: BlockSize::B512 };
                let examination = disk.examine();
                assert_eq!(examination.block_size, Ok(None));
                assert!(!examination.is_gpt() && examination.anomalies().is_empty());
                assert_eq!(examination.gpt(Mode::Tolerant).unwrap_err(), Error::NoTable);
                assert_eq!(examination.boot_sector.is_some(), size >= 512);
                if size < 512 {
                    assert_eq!(examination.protective_mbr, Err(Error::DiskTooSmall { size: size as u64 }));
                }
            }
        }
    }

    #[test]
    fn every_length_of_a_cut_disk() {
        let good = TestDisk::new(BlockSize::B512);
        let near_blocks = (0..150).flat_map(|block| [block * 512, block * 512 + 1, block * 512 + 511]);
        for len in near_blocks {
            let disk = TestDisk { bytes: good.bytes[..len].to_vec(), ..good };
            let whole = len >= 120 * 512;
            assert_eq!(disk.gpt(Mode::Tolerant).is_ok(), whole, "{len}");
            assert!(disk.gpt(Mode::Strict).is_err());
        }
    }

    #[test]
    fn errors_of_the_source_end_it() {
        assert_eq!(examine(1 << 20, None, |_, _| Err("broken")).unwrap_err(), "broken");
        let disk = TestDisk::new(BlockSize::B512);
        let reads = |limit| {
            let mut count = 0;
            examine(1 << 20, None, |offset, buf: &mut [u8]| {
                count += 1;
                buf.copy_from_slice(&disk.bytes[offset as usize..][..buf.len()]);
                if count > limit { Err(count) } else { Ok(()) }
            })
        };
        assert_eq!(reads(0).unwrap_err(), 1);
        assert_eq!(reads(1).unwrap_err(), 2);
        assert!(reads(2).is_ok(), "two reads do for the usual table");
    }

    /// What a sparse disk of any size holds: `(offset, bytes)`, zero elsewhere.
    fn examine_sparse(size: u64, pieces: &[(u64, Vec<u8>)]) -> (Examination, u64) {
        let mut total = 0;
        let mut seen: Vec<(u64, u64)> = Vec::new();
        let examination = examine(size, None, |offset, buf: &mut [u8]| {
            let end = offset + buf.len() as u64;
            assert!(end <= size && !buf.is_empty());
            assert!(seen.iter().all(|(from, to)| end <= *from || *to <= offset), "a byte is read twice");
            seen.push((offset, end));
            total += buf.len() as u64;
            buf.fill(0);
            for (at, bytes) in pieces {
                for (i, byte) in bytes.iter().enumerate() {
                    if let Some(to) =
                        (at + i as u64).checked_sub(offset).and_then(|at| buf.get_mut(at as usize))
                    {
                        *to = *byte;
                    }
                }
            }
            Ok::<_, ()>(())
        });
        (examination.unwrap(), total)
    }

    #[test]
    fn disks_of_any_size() {
        for size in [1 << 31, 1 << 32, 15 << 40, 1 << 63, u64::MAX - 511, u64::MAX - 4095, u64::MAX] {
            for block_size in BlockSize::ALL {
                let table = Builder::new(size, block_size, Guid::from_u128(3))
                    .partition(NewPartition::new(ROOT, Guid::from_u128(4)).size(1 << 30))
                    .partition(NewPartition::new(ROOT, Guid::from_u128(5)))
                    .build()
                    .unwrap();
                let pieces = table.writes().map(|(offset, bytes)| (offset, bytes.to_vec()));
                let (examination, total) = examine_sparse(size, &pieces);
                assert!(total <= 64 << 10, "{total}");
                let gpt = examination.gpt(Mode::Strict).unwrap();
                assert_eq!(gpt.partitions(), table.gpt().partitions());
                assert!(gpt.partitions()[1].range.end() <= size);
            }
        }
    }

    /// Two arrays of 1 MiB, partly the same bytes, and headers everywhere.
    #[test]
    fn what_is_read_is_bounded() {
        let table = Builder::new(64 << 20, BlockSize::B4096, Guid::from_u128(3)).entries(8192, 128).build();
        let table = table.unwrap();
        let mut head = table.writes()[1].1.to_vec();
        let tail = (table.writes()[0].0, table.writes()[0].1.to_vec());
        let (_, total) = examine_sparse(64 << 20, &[(0, head.clone()), tail.clone()]);
        assert!(total <= 2 * MAX_ARRAY_SIZE + (64 << 10), "{total}");

        // a hint to look elsewhere, and a backup array over the primary one
        head[4096 + 32..4096 + 40].copy_from_slice(&5000_u64.to_le_bytes());
        let mut tail = tail;
        let header = tail.1.len() - 4096;
        for first in [0, 1, 2, 3, 100, 257, 258, 16000, 16120, 16126] {
            tail.1[header + 72..header + 80].copy_from_slice(&u64::to_le_bytes(first));
            let (examination, total) = examine_sparse(64 << 20, &[(0, head.clone()), tail.clone()]);
            assert!(total <= 2 * MAX_ARRAY_SIZE + (64 << 10), "{total}");
            assert!(examination.backup.outcome.is_err());
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_within_bounds(
            fields in prop::array::uniform32(any::<u8>()),
            count in prop_oneof![Just(128_u32), 0..10_000_u32, any::<u32>()],
            shift in 0..32_u32,
            place in prop_oneof![0..5000_u64, any::<u64>()],
            size in prop_oneof![0..100_000_u64, (1_u64 << 20)..(1 << 24), any::<u64>()],
        ) {
            let mut header = Header::default();
            header.my_lba.set(1);
            header.alternate_lba.set(place ^ u64::from(fields[0]));
            header.disk_guid = Guid::from_disk(*fields.first_chunk().unwrap());
            header.partition_entry_lba.set(place);
            header.number_of_partition_entries.set(count);
            header.size_of_partition_entry.set(1 << shift);
            let bytes = zerocopy::IntoBytes::as_bytes(&header).to_vec();
            let (examination, total) = examine_sparse(size, &[(512, bytes.clone()), (place % 100 * 512, bytes)]);
            prop_assert!(total <= 2 * MAX_ARRAY_SIZE + (64 << 10));
            let _ = format!("{examination:?}");
            prop_assert!(examination.gpt(Mode::Tolerant).is_err());
        }
    }

    /// The primary header is never taken for the backup.
    #[test]
    fn a_backup_is_not_in_block_1() {
        let good = TestDisk::new(BlockSize::B512);
        let two_blocks = TestDisk { bytes: good.bytes[..1024].to_vec(), ..good };
        let examination = two_blocks.examine();
        assert!(examination.primary.header.is_some() && examination.backup.header.is_none());

        let mut disk = TestDisk::new(BlockSize::B512);
        disk.wipe_header(Side::Backup);
        for hint in [0, 1] {
            disk.header(Side::Primary).alternate_lba.set(hint);
            disk.repair(Side::Primary);
            let examination = disk.examine();
            assert!(examination.backup.header.is_none(), "{hint}");
            assert_eq!(examination.backup.lba, Lba(disk.last_lba()), "{hint}");
        }
    }

    /// A disk that has grown: what stands at its new end counts only if it is good, and more than nothing.
    #[test]
    fn the_better_backup_of_two() {
        let small = TestDisk::new(BlockSize::B512);
        let old = Lba(small.last_lba());
        let mut disk = small.clone();
        disk.bytes.resize(disk.bytes.len() + 4096, 0);
        let end = Lba(disk.last_lba());
        let examination = disk.examine();
        assert_eq!((examination.backup.lba, &examination.backup.outcome), (old, &Ok(())));

        // a bad header at the end: the good one before it
        let at = disk.header_offset(Side::Backup);
        disk.bytes[at..at + 8].copy_from_slice(&Header::SIGNATURE);
        let examination = disk.examine();
        assert_eq!((examination.backup.lba, &examination.backup.outcome), (old, &Ok(())));

        // both bad: the one at the end
        disk.bytes[old.0 as usize * 512 + 60] ^= 1;
        let examination = disk.examine();
        assert_eq!(examination.backup.lba, end);
        assert!(examination.backup.header.is_some() && examination.backup.outcome.is_err());

        // none at the end, a bad one before it
        disk.bytes[at..at + 8].fill(0);
        assert_eq!(disk.examine().backup.lba, old);
    }

    /// Where no header is one for systemd, a good backup decides before a mere signature for another block size.
    #[test]
    fn a_good_backup_outweighs_a_bare_signature() {
        let mut disk = TestDisk::new(BlockSize::B4096);
        disk.wipe_header(Side::Primary);
        disk.bytes[512..520].copy_from_slice(&Header::SIGNATURE);
        assert_eq!(disk.examine().block_size, Ok(Some(BlockSize::B4096)));
        // the backup is not good: nothing decides
        disk.header(Side::Backup).my_lba.set(9);
        let (first, second) = (BlockSize::B512, BlockSize::B4096);
        let examination = disk.examine();
        assert_eq!(examination.block_size, Err(Error::AmbiguousBlockSize { first, second }));
        // in no block: where the last one is, is not known
        assert_eq!((examination.primary.lba, examination.backup.lba), (Lba(1), Lba(0)));
    }

    /// What systemd takes for a primary header decides before the best of backups for another block size.
    #[test]
    fn a_primary_outweighs_a_good_backup() {
        let mut disk = TestDisk::new(BlockSize::B4096);
        let other = TestDisk::new(BlockSize::B512);
        disk.wipe_header(Side::Primary);
        disk.bytes[512..1024].copy_from_slice(&other.bytes[512..1024]);
        assert_eq!(disk.examine().block_size, Ok(Some(BlockSize::B512)));
    }

    #[test]
    fn a_backup_may_be_in_block_2() {
        // at the end of a disk of three blocks, and nothing else on it
        let three = TestDisk { bytes: vec![0; 3 * 512], block_size: BlockSize::B512 };
        let mut at_end = three.clone();
        at_end.bytes[1024..1032].copy_from_slice(&Header::SIGNATURE);
        let examination = at_end.examine();
        assert_eq!(examination.block_size, Ok(Some(BlockSize::B512)));
        assert!(examination.backup.header.is_some());
        // where the primary header says
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.wipe_header(Side::Backup);
        disk.header(Side::Primary).alternate_lba.set(2);
        disk.bytes[1024..1032].copy_from_slice(&Header::SIGNATURE);
        assert_eq!(disk.examine().backup.lba, Lba(2));
    }

    /// What systemd takes for a header decides before all else; of what is left, anything with the signature counts.
    #[test]
    fn headers_that_systemd_does_not_take() {
        // revision, header size (91, then 4097), own block
        for (field, value) in [(8, [2, 0]), (12, [91, 0]), (12, [1, 16]), (24, [9, 0])] {
            let mut disk = TestDisk::new(BlockSize::B4096);
            let other = TestDisk::new(BlockSize::B512);
            disk.bytes[512..1024].copy_from_slice(&other.bytes[512..1024]);
            disk.bytes[512 + field..][..2].copy_from_slice(&value);
            assert_eq!(disk.examine().block_size, Ok(Some(BlockSize::B4096)), "{field}");
        }
        // alone and broken, each end is enough to show
        for side in [Side::Primary, Side::Backup] {
            let mut disk = TestDisk::new(BlockSize::B1024);
            disk.header(side).my_lba.set(9);
            disk.wipe_header(side.other());
            let examination = disk.examine();
            assert_eq!(examination.block_size, Ok(Some(BlockSize::B1024)), "{side}");
            assert!(
                examination.copy(side).header.is_some() && examination.copy(side.other()).header.is_none()
            );
        }
    }
}
