//! Making the two copies of a table agree again.

use alloc::vec::Vec;
use core::fmt;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use crate::copy::{Disk, Truncated};
use crate::header::header_crc32;
use crate::mbr::BootRecord;
use crate::{
    Condition, Difference, Error, Examination, Field, Gpt, Header, Lba, Mode, ProtectiveMbr, Side, TableCopy,
    difference, examine,
};

/// Bytes that UEFI wants kept free for an entry array, however small it is.
const LEAST_ARRAY: u64 = 16384;

/// How a table is repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairOptions {
    from: Option<Side>,
    protective_mbr: bool,
}

impl RepairOptions {
    /// From the one copy that is good. The protective MBR stays as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// From this copy, whatever the other one says.
    #[must_use]
    pub fn from(self, side: Side) -> Self {
        Self { from: Some(side), ..self }
    }

    /// Sets whether the records of the protective MBR are made new, if they are not proper. Boot code stays.
    #[must_use]
    pub fn protective_mbr(self, repair: bool) -> Self {
        Self { protective_mbr: repair, ..self }
    }
}

/// One thing that a repair does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepairStep {
    /// A copy is written anew.
    Copy {
        /// Which one.
        side: Side,
        /// What is wrong with it; `None` if it is whole and says something else.
        fault: Option<Error>,
    },
    /// The backup goes to the end of the disk, as the disk has another size than when it was partitioned.
    MoveBackup {
        /// Where its header was to be.
        from: Lba,
        /// The last block.
        to: Lba,
    },
    /// Partitions may go up to another block.
    LastUsable {
        /// Up to which one they could.
        from: Lba,
        /// Up to which one they can.
        to: Lba,
    },
    /// The records of the MBR are made new.
    ProtectiveMbr,
}

impl RepairStep {
    /// A name for the variant that stays the same, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Copy { side: Side::Primary, .. } => "primary",
            Self::Copy { side: Side::Backup, .. } => "backup",
            Self::MoveBackup { .. } => "move-backup",
            Self::LastUsable { .. } => "last-usable",
            Self::ProtectiveMbr => "protective-mbr",
        }
    }
}

impl fmt::Display for RepairStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy { side, fault } => {
                write!(f, "the {side} copy is written from the {} copy", side.other())?;
                match fault {
                    Some(fault) => write!(f, ": {fault}"),
                    None => Ok(()),
                }
            }
            Self::MoveBackup { from, to } => {
                write!(f, "the backup header goes from LBA {from} to LBA {to}, the end of the disk")
            }
            Self::LastUsable { from, to } => write!(f, "the last usable LBA is {to} and no longer {from}"),
            Self::ProtectiveMbr => write!(f, "the records of the protective MBR are made new"),
        }
    }
}

/// What is to be done to a table, made by [`Examination::repair`].
#[derive(Clone, Debug)]
pub struct Repair {
    from: Side,
    steps: Vec<RepairStep>,
    differences: Vec<Difference>,
    gpt: Gpt,
    writes: Vec<(u64, Vec<u8>)>,
}

impl Repair {
    /// The copy that everything is taken from.
    pub fn from(&self) -> Side {
        self.from
    }

    /// What is done, in words; none if nothing is to be done.
    pub fn steps(&self) -> &[RepairStep] {
        &self.steps
    }

    /// What the two copies say differently now, as far as both can be read.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// The table as it will be read.
    pub fn gpt(&self) -> &Gpt {
        &self.gpt
    }

    /// What is to be written: offset in bytes, and bytes. Where each is made durable before the next one, there is a good copy
    /// at any time. Partitions are not among it.
    pub fn writes(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.writes.iter().map(|(offset, bytes)| (*offset, &**bytes))
    }
}

impl Examination {
    /// Works out what makes this a table of two good and equal copies, with the backup at the end of the disk.
    ///
    /// All is taken from the one copy that is good. Copies that differ in nothing but where the backup and the last usable block
    /// are, as when the disk has another size or a repair was interrupted, are repaired from the primary one.
    ///
    /// ```
    /// use ddi_gpt::{BlockSize, Builder, Guid, RepairOptions};
    ///
    /// let mut disk = Builder::new(1 << 20, BlockSize::B512, Guid::from_u128(1)).build()?.to_disk();
    /// disk[512..1024].fill(0);
    /// let examination = ddi_gpt::examine(disk.len() as u64, None, |offset, buf| {
    ///     let offset = offset as usize;
    ///     disk.get(offset..offset + buf.len()).map(|bytes| buf.copy_from_slice(bytes)).ok_or("shorter")
    /// })?;
    /// let repair = examination.repair(RepairOptions::new())?;
    /// assert_eq!(
    ///     repair.steps()[0].to_string(),
    ///     "the primary copy is written from the backup copy: primary header: no EFI PART at byte 512"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoTable`], [`Error::AmbiguousBlockSize`], [`Error::NoValidCopy`]; [`Error::CopiesDiffer`] if both are good and no
    /// side was chosen; what is wrong with a copy that is whole, breaks the rules, and was not passed over by choosing the other
    /// one; what is wrong with the chosen one, or with the table as it would be, as when a partition ends past the end of a disk that is smaller now.
    pub fn repair(&self, options: RepairOptions) -> Result<Repair, Error> {
        let disk = self.disk()?;
        if !self.is_gpt() {
            return Err(Error::NoTable);
        }
        let from = self.choose_side(options.from, &disk)?;
        let (source, target) = (self.copy(from), self.copy(from.other()));
        let header = source.header.ok_or(Error::NoTable)?;
        let new = Layout::of(self, &header, from, &disk)?;
        let primary = source.to_copy(&header, &new, Side::Primary);
        let backup = source.to_copy(&header, &new, Side::Backup);
        let mbr = self.boot_record(&disk, options.protective_mbr)?;

        // the copy that is not relied upon first, its array before its header; then what changes in the other one
        let (first, second) = match from {
            Side::Primary => (backup, primary),
            Side::Backup => (primary, backup),
        };
        let offset = |lba: Lba| disk.block_size.offset(lba).ok_or(Error::NoTable);
        let mut writes = Vec::new();
        for copy in [first, second] {
            writes.push((offset(copy.array_lba)?, copy.array));
            writes.push((offset(copy.header_lba)?, copy.block));
        }
        let mut judged = writes.clone();
        let boot_sector =
            self.boot_sector.filter(|_| self.protective_mbr.is_ok()).map(|bytes| bytes.to_vec());
        let protective = || BootRecord::protective(disk.blocks()).as_bytes().to_vec();
        judged.push((0, mbr.clone().or(boot_sector).unwrap_or_else(protective)));
        let examination = examine(self.disk_size, Some(disk.block_size), |offset, buf| {
            read(&judged, offset, buf);
            Ok::<_, Error>(())
        })?;
        let gpt = examination.gpt(Mode::Tolerant)?;
        if gpt.condition() != Condition::Intact {
            examination.primary.outcome?;
            examination.backup.outcome?;
            return Err(Error::NoTable);
        }

        let mut steps = Vec::new();
        let is_moved = |it: &RepairStep| matches!(it, RepairStep::MoveBackup { .. });
        if header_backup(&header, from) != new.last {
            steps.push(RepairStep::MoveBackup { from: header_backup(&header, from), to: new.last });
        }
        if header.usable().last != new.last_usable {
            steps.push(RepairStep::LastUsable { from: header.usable().last, to: new.last_usable });
        }
        let differences = difference::compare(&self.primary, &self.backup);
        let has_other_content = differences.iter().any(|it| !is_about_the_end(it));
        if let Err(fault) = &target.outcome {
            steps.insert(0, RepairStep::Copy { side: target.side, fault: Some(fault.clone()) });
        } else if has_other_content || !differences.is_empty() && !steps.iter().any(is_moved) {
            steps.insert(0, RepairStep::Copy { side: target.side, fault: None });
        }
        if let Some(mbr) = mbr {
            steps.push(RepairStep::ProtectiveMbr);
            writes.push((0, mbr));
        }
        if steps.is_empty() {
            writes.clear();
        }
        Ok(Repair { from, steps, differences, gpt, writes })
    }

    /// The copy to repair from.
    fn choose_side(&self, wanted: Option<Side>, disk: &Disk) -> Result<Side, Error> {
        // a usable range that goes on past the end of a disk that is smaller now is what is repaired
        let judge = |side: Side| self.copy(side).judge(disk, Truncated::Accept, drop);
        if let Some(side) = wanted {
            return judge(side).map(|()| side);
        }
        match (judge(Side::Primary), judge(Side::Backup)) {
            (Ok(()), Ok(())) => {
                let differences = difference::compare(&self.primary, &self.backup);
                match differences.iter().find(|it| !is_about_the_end(it)) {
                    Some(first) => Err(Error::CopiesDiffer {
                        first: alloc::boxed::Box::new(*first),
                        count: differences.len(),
                    }),
                    None => Ok(Side::Primary),
                }
            }
            (Ok(()), Err(error)) if error.is_damage() => Ok(Side::Primary),
            (Err(error), Ok(())) if error.is_damage() => Ok(Side::Backup),
            (Err(primary), Err(backup)) if primary.is_damage() && backup.is_damage() => {
                Err(Error::NoValidCopy { primary: primary.into(), backup: backup.into() })
            }
            // whole, and not what it may be: somebody wrote it so
            (Err(error), _) if !error.is_damage() => Err(error),
            (_, Err(error)) | (Err(error), _) => Err(error),
        }
    }

    /// The first 512 bytes of the disk with new records, if they are to be made new.
    fn boot_record(&self, disk: &Disk, repair: bool) -> Result<Option<Vec<u8>>, Error> {
        let is_proper = |mbr: &ProtectiveMbr| mbr.is_proper(disk.size, disk.block_size);
        if !repair || self.protective_mbr.as_ref().is_ok_and(is_proper) {
            return Ok(None);
        }
        let old = self.boot_sector.ok_or(Error::DiskTooSmall { size: self.disk_size })?;
        let old: BootRecord = zerocopy::transmute!(old);
        let BootRecord { partitions, signature, .. } = BootRecord::protective(disk.blocks());
        Ok(Some(BootRecord { partitions, signature, ..old }.as_bytes().to_vec()))
    }
}

/// Returns true if it is no more than where the copies are, or where the table ends, which follows from the size of the disk.
fn is_about_the_end(difference: &Difference) -> bool {
    matches!(difference.field, Field::PrimaryLba | Field::BackupLba | Field::LastUsableLba)
}

/// Where the backup header is by what a header says.
fn header_backup(header: &Header, side: Side) -> Lba {
    match side {
        Side::Primary => header.alternate_lba(),
        Side::Backup => header.my_lba(),
    }
}

/// Where things will be.
struct Layout {
    last: Lba,
    last_usable: Lba,
    primary_array: Lba,
    backup_array: Lba,
}

impl Layout {
    fn of(found: &Examination, header: &Header, from: Side, disk: &Disk) -> Result<Self, Error> {
        let size = disk.block_size.blocks_for(header.array_size());
        let kept = disk.block_size.blocks_for(header.array_size().max(LEAST_ARRAY));
        let last = disk.last_lba();
        let needed = kept.saturating_mul(2).saturating_add(4);
        let no_room = Error::NoRoomForTable {
            disk_size: disk.size,
            needed: needed.saturating_mul(disk.block_size.bytes().into()),
        };
        let backup_array = last.0.checked_sub(size).filter(|lba| *lba > 2).ok_or(no_room.clone())?;
        // an array that is whole stays where it is: what is in its usual place may be something else, as on boards that start there
        let is_same = |copy: &TableCopy| found.copy(from).has_the_array_of(copy);
        let place = |copy: &TableCopy| copy.header.map(|header| Lba(header.partition_entry_lba.get()));
        let primary_array = match place(&found.primary) {
            Some(lba) if from == Side::Primary || is_same(&found.primary) => lba,
            _ => Lba(2),
        };
        let is_at_end = header_backup(header, from) == last && found.copy(from).outcome.is_ok();
        let stays = |lba: Lba| lba > header.usable().last && lba.0.saturating_add(size) <= last.0;
        let (last_usable, backup_array) = match place(&found.backup) {
            Some(lba) if is_at_end && (from == Side::Backup || is_same(&found.backup)) && stays(lba) => {
                (header.usable().last, lba)
            }
            _ if is_at_end && header.usable().last.0 < backup_array => {
                (header.usable().last, Lba(backup_array))
            }
            _ => {
                let ends = found.copy(from).entries().map(|(_, entry)| entry.lbas().last.0).max();
                let roomy = last.0.saturating_sub(kept).saturating_sub(1);
                let roomy = Some(roomy).filter(|lba| ends.is_none_or(|end| end <= *lba));
                (Lba(roomy.unwrap_or(backup_array.saturating_sub(1))), Lba(backup_array))
            }
        };
        Ok(Self { last, last_usable, primary_array, backup_array })
    }
}

/// A copy as it will be.
struct NewCopy {
    header_lba: Lba,
    block: Vec<u8>,
    array_lba: Lba,
    array: Vec<u8>,
}

impl TableCopy {
    /// This copy for another place; whatever else its header's block has goes along.
    fn to_copy(&self, header: &Header, layout: &Layout, side: Side) -> NewCopy {
        let (my_lba, alternate_lba, array_lba) = match side {
            Side::Primary => (Lba(1), layout.last, layout.primary_array),
            Side::Backup => (layout.last, Lba(1), layout.backup_array),
        };
        let mut new = Header {
            header_crc32: U32::ZERO,
            my_lba: U64::new(my_lba.0),
            alternate_lba: U64::new(alternate_lba.0),
            last_usable_lba: U64::new(layout.last_usable.0),
            partition_entry_lba: U64::new(array_lba.0),
            ..*header
        };
        let mut block = self.block().to_vec();
        put(&mut block, &new);
        let size = usize::try_from(header.header_size.get()).unwrap_or_default();
        new.header_crc32 = U32::new(header_crc32(block.get(..size).unwrap_or(&block)));
        put(&mut block, &new);
        NewCopy { header_lba: my_lba, block, array_lba, array: self.array().to_vec() }
    }
}

fn put(block: &mut [u8], header: &Header) {
    block.iter_mut().zip(header.as_bytes()).for_each(|(to, from)| *to = *from);
}

/// Reads as from a disk with these bytes and nothing else; the later ones count.
fn read(writes: &[(u64, Vec<u8>)], offset: u64, buf: &mut [u8]) {
    buf.fill(0);
    for (start, bytes) in writes {
        let skip = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let from = bytes.iter().skip(skip(*start, offset));
        let to = buf.iter_mut().skip(skip(offset, *start));
        to.zip(from).for_each(|(to, from)| *to = *from);
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;
    use std::{format, vec};

    use proptest::prelude::*;

    use super::*;
    use crate::testing::TestDisk;
    use crate::{BlockSize, Guid, LbaRange};

    const SIDES: [Side; 2] = [Side::Primary, Side::Backup];

    fn examine_bytes(bytes: &[u8], block_size: BlockSize) -> Examination {
        TestDisk { bytes: bytes.to_vec(), block_size }.examine_as(Some(block_size))
    }

    /// The bytes after each write, the halves of writes among them, the last one being what it is in the end.
    fn states(bytes: &[u8], repair: &Repair) -> Vec<Vec<u8>> {
        let mut states = Vec::new();
        let mut bytes = bytes.to_vec();
        for (offset, new) in repair.writes() {
            for part in [new.len() / 2, new.len()] {
                bytes[offset as usize..][..part].copy_from_slice(&new[..part]);
                states.push(bytes.clone());
            }
        }
        if states.is_empty() {
            states.push(bytes);
        }
        states
    }

    /// Repairs a disk, and checks what must hold of every repair.
    fn repaired(
        bytes: &[u8],
        block_size: BlockSize,
        options: RepairOptions,
    ) -> Result<(Vec<u8>, Vec<String>), Error> {
        let before = examine_bytes(bytes, block_size);
        let repair = before.repair(options)?;
        let wanted = repair.gpt().partitions();
        let usable = repair.gpt().usable();
        let block = block_size.bytes() as usize;
        for (offset, new) in repair.writes() {
            let (first, last) = (offset as usize / block, (offset as usize + new.len() - 1) / block);
            let blocks = LbaRange::new(first as u64, last as u64);
            assert!(!blocks.overlaps(&usable), "{blocks} {usable}");
            assert!(wanted.iter().all(|it| !blocks.overlaps(&it.lbas)));
        }
        let states = states(bytes, &repair);
        for (number, state) in states.iter().enumerate() {
            // interrupted here, the disk still says what the good copy said
            let now = examine_bytes(state, block_size);
            let good = [&now.primary, &now.backup].into_iter().filter(|copy| {
                let disk = now.disk().unwrap();
                let mut found = Vec::new();
                let is_good = copy
                    .judge(&disk, Truncated::Accept, |it| found.push((it.number, it.lbas, it.guid)))
                    .is_ok();
                let wanted: Vec<_> = wanted.iter().map(|it| (it.number, it.lbas, it.guid)).collect();
                is_good && found == wanted
            });
            assert!(good.count() > 0, "after half a write number {number}: {:?}", repair.steps());
        }
        let last = states.last().unwrap().clone();
        // the same command again goes on from there, if need be without the side that it was told
        let apart = RepairOptions { from: None, ..options };
        for (number, state) in states.iter().enumerate() {
            let now = examine_bytes(state, block_size);
            let again = now.repair(options).or_else(|_| now.repair(apart)).unwrap();
            let end = self::states(state, &again).pop().unwrap();
            assert!(end == last, "after half a write number {number}: {:?}", repair.steps());
        }
        let after = examine_bytes(&last, block_size);
        let gpt = after.gpt(Mode::Tolerant).or_else(|error| match before.protective_mbr {
            Err(_) => Ok(repair.gpt().clone()),
            Ok(_) => Err(error),
        });
        assert_eq!(gpt.unwrap().partitions().len(), wanted.len());
        assert_eq!((&after.primary.outcome, &after.backup.outcome), (&Ok(()), &Ok(())));
        assert_eq!(difference::compare(&after.primary, &after.backup), []);
        // and then there is nothing left to do
        let again = after.repair(RepairOptions::new().protective_mbr(options.protective_mbr)).unwrap();
        assert_eq!(again.steps(), []);
        assert_eq!(again.writes().count(), 0);
        Ok((last, repair.steps().iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn one_damaged_copy_is_written_from_the_other() {
        for block_size in BlockSize::ALL {
            let good = TestDisk::new(block_size);
            let (same, steps) = repaired(&good.bytes, block_size, RepairOptions::new()).unwrap();
            assert!(same == good.bytes && steps.is_empty());
            for side in SIDES {
                let damages: [&dyn Fn(&mut TestDisk); 4] = [
                    &|disk| disk.wipe_header(side),
                    &|disk| disk.header(side).disk_guid = Guid::NIL,
                    &|disk| disk.entry(side, 2).attributes.set(77),
                    &|disk| {
                        let (at, len) = (disk.array_offset(side), 16384);
                        disk.bytes[at..at + len].fill(0xff);
                        disk.wipe_header(side);
                    },
                ];
                for damage in damages {
                    let mut disk = good.clone();
                    damage(&mut disk);
                    for options in [RepairOptions::new(), RepairOptions::new().from(side.other())] {
                        let (bytes, steps) = repaired(&disk.bytes, block_size, options).unwrap();
                        assert!(bytes == good.bytes, "{side} {steps:?}");
                        let expected = format!("the {side} copy is written from the {} copy: ", side.other());
                        assert!(steps.len() == 1 && steps[0].starts_with(&expected), "{steps:?}");
                    }
                    let error =
                        examine_bytes(&disk.bytes, block_size).repair(RepairOptions::new().from(side));
                    assert!(error.is_err(), "a damaged copy is no source");
                }
            }
        }
    }

    #[test]
    fn copies_that_differ_need_a_choice() {
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.entry(Side::Backup, 2).ending_lba.set(75);
        disk.repair(Side::Backup);
        let error = disk.examine().repair(RepairOptions::new()).unwrap_err();
        assert_eq!(error.code(), "gpt-copies-differ");
        for (side, end) in [(Side::Primary, 69), (Side::Backup, 75)] {
            let (bytes, steps) =
                repaired(&disk.bytes, BlockSize::B512, RepairOptions::new().from(side)).unwrap();
            assert_eq!(steps, [format!("the {} copy is written from the {side} copy", side.other())]);
            let gpt = examine_bytes(&bytes, BlockSize::B512).gpt(Mode::Strict).unwrap();
            assert_eq!(gpt.partition(2).unwrap().lbas.last, Lba(end));
        }
        // one that is whole and breaks the rules is passed over by choice alone
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.entry(Side::Primary, 2).starting_lba.set(50);
        disk.repair(Side::Primary);
        let error = disk.examine().repair(RepairOptions::new()).unwrap_err();
        assert_eq!(error.code(), "gpt-partitions-overlap");
        let (bytes, _) =
            repaired(&disk.bytes, BlockSize::B512, RepairOptions::new().from(Side::Backup)).unwrap();
        assert!(bytes == TestDisk::new(BlockSize::B512).bytes);
    }

    #[test]
    fn no_good_copy() {
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.entry(Side::Primary, 2).attributes.set(77);
        disk.entry(Side::Backup, 2).attributes.set(77);
        for options in [RepairOptions::new(), RepairOptions::new().from(Side::Primary)] {
            assert!(disk.examine().repair(options).is_err());
        }
        SIDES.into_iter().for_each(|side| disk.wipe_header(side));
        assert_eq!(disk.examine().repair(RepairOptions::new()).unwrap_err(), Error::NoTable);
    }

    /// The backup goes to the end of a disk that was grown, by much or by so little that the old one is written over.
    #[test]
    fn a_grown_disk() {
        for block_size in BlockSize::ALL {
            let good = TestDisk::new(block_size);
            for more in [1, 3, 40, 1000] {
                let mut disk = good.clone();
                disk.bytes.resize(good.bytes.len() + more * disk.block(), 0);
                let (bytes, steps) = repaired(&disk.bytes, block_size, RepairOptions::new()).unwrap();
                let last = disk.last_lba();
                assert_eq!(steps.len(), 2, "{steps:?}");
                assert!(steps[0].ends_with(&format!("to LBA {last}, the end of the disk")), "{steps:?}");
                let gpt = examine_bytes(&bytes, block_size).gpt(Mode::Tolerant).unwrap();
                let array = 16384 / u64::from(block_size.bytes());
                assert_eq!(gpt.usable().last, Lba(last - array - 1));
                let (bytes, steps) =
                    repaired(&disk.bytes, block_size, RepairOptions::new().protective_mbr(true)).unwrap();
                assert_eq!(steps.len(), 3, "{steps:?}");
                assert!(examine_bytes(&bytes, block_size).gpt(Mode::Strict).is_ok());
                // with the primary damaged too: what is left of it still leads to the backup
                disk.entry(Side::Primary, 1).attributes.set(1);
                repaired(&disk.bytes, block_size, RepairOptions::new()).unwrap();
            }
        }
    }

    #[test]
    fn a_truncated_disk() {
        let good = TestDisk::new(BlockSize::B512);
        for blocks in [1000, 200, 153] {
            let disk = &good.bytes[..blocks * 512];
            let (bytes, steps) =
                repaired(disk, BlockSize::B512, RepairOptions::new().protective_mbr(true)).unwrap();
            assert_eq!(steps.len(), 4, "{steps:?}");
            let gpt = examine_bytes(&bytes, BlockSize::B512).gpt(Mode::Strict).unwrap();
            assert_eq!(gpt.usable().last, Lba(blocks as u64 - 34));
        }
        // the last partition ends at 119
        for blocks in [152, 121, 119] {
            let disk = &good.bytes[..blocks * 512];
            assert!(repaired(disk, BlockSize::B512, RepairOptions::new()).is_err(), "{blocks}");
        }
    }

    #[test]
    fn the_mbr_on_request_and_its_boot_code_never() {
        let good = TestDisk::new(BlockSize::B512);
        let mut disk = good.clone();
        disk.bytes[..440].fill(7);
        disk.bytes[450] = 0x83;
        let (bytes, steps) = repaired(&disk.bytes, BlockSize::B512, RepairOptions::new()).unwrap();
        assert!(bytes == disk.bytes && steps.is_empty());
        let (bytes, steps) =
            repaired(&disk.bytes, BlockSize::B512, RepairOptions::new().protective_mbr(true)).unwrap();
        assert_eq!(steps, ["the records of the protective MBR are made new"]);
        assert_eq!(bytes[..440], [7; 440]);
        assert!(bytes[440..] == good.bytes[440..]);
    }

    /// What is in the usual place of an array may be something else, if the array is elsewhere.
    #[test]
    fn an_array_that_was_moved_stays_there() {
        let mut disk = TestDisk::new(BlockSize::B512);
        let array = disk.bytes[2 * 512..34 * 512].to_vec();
        let usable = LbaRange::new(600, 2000);
        disk.bytes[500 * 512..532 * 512].copy_from_slice(&array);
        disk.bytes[2 * 512..34 * 512].fill(0xee);
        for side in SIDES {
            disk.header(side).first_usable_lba.set(usable.first.0);
            for (number, first) in [(1, 600), (2, 700), (5, 800)] {
                let at = if side == Side::Primary { 500 * 512 } else { disk.array_offset(side) }
                    + (number - 1) * 128;
                disk.bytes[at + 32..at + 40].copy_from_slice(&u64::to_le_bytes(first));
                disk.bytes[at + 40..at + 48].copy_from_slice(&u64::to_le_bytes(first + 9));
            }
        }
        disk.header(Side::Primary).partition_entry_lba.set(500);
        SIDES.into_iter().for_each(|side| disk.repair(side));
        assert_eq!(disk.gpt(Mode::Tolerant).unwrap().condition(), Condition::Intact);
        let good = disk.bytes.clone();
        disk.header(Side::Primary).disk_guid = Guid::NIL;
        let (bytes, _) = repaired(&disk.bytes, BlockSize::B512, RepairOptions::new()).unwrap();
        assert!(bytes == good);
    }

    proptest! {
        /// Whatever is on the disk: a repair that keeps every promise, or an error.
        #[test]
        fn any_disk_is_repaired_or_refused(
            block_size in prop::sample::select(&BlockSize::ALL[..]),
            bytes in prop::collection::vec((any::<bool>(), 0..92_usize, any::<u8>()), 0..4),
            entries in prop::collection::vec((any::<bool>(), 0..5 * 128_usize, any::<u8>()), 0..4),
            fixed in any::<[bool; 2]>(),
            resize in prop_oneof![Just(0_i64), -1900..200_i64],
            from in prop::option::of(any::<bool>()),
            mbr in any::<bool>(),
        ) {
            let side = |is_backup: bool| if is_backup { Side::Backup } else { Side::Primary };
            let mut disk = TestDisk::new(block_size);
            for (is_backup, at, byte) in bytes {
                let start = disk.header_offset(side(is_backup));
                disk.bytes[start + at] ^= byte;
            }
            for (is_backup, at, byte) in entries {
                let start = disk.array_offset(side(is_backup));
                disk.bytes[start + at] ^= byte;
            }
            for (is_fixed, side) in fixed.into_iter().zip(SIDES).filter(|(is_fixed, _)| *is_fixed) {
                let _ = is_fixed;
                let header = *disk.header(side);
                if header.partition_entry_lba.get() < 4096 && header.array_size() < 1 << 20 {
                    disk.repair(side);
                }
            }
            let size = (disk.bytes.len() as i64 + resize * 512).max(512) as usize;
            disk.bytes.resize(size, 0);
            let mut options = RepairOptions::new().protective_mbr(mbr);
            if let Some(is_backup) = from {
                options = options.from(side(is_backup));
            }
            let _ = repaired(&disk.bytes, block_size, options);
        }
    }

    /// The only good copy says wrongly where the other one is. Interrupted halfway, both are good and differ in that alone.
    #[test]
    fn a_backup_that_does_not_know_where_the_primary_is() {
        let mut disk = TestDisk::new(BlockSize::B512);
        let start = disk.header_offset(Side::Backup);
        disk.bytes[start + 33] ^= 8;
        disk.repair(Side::Backup);
        let start = disk.array_offset(Side::Primary);
        disk.bytes[start] ^= 1;
        let (_, steps) = repaired(&disk.bytes, BlockSize::B512, RepairOptions::new()).unwrap();
        assert!(!steps.is_empty());
    }

    #[test]
    fn codes() {
        let fault = None;
        let steps = [
            RepairStep::Copy { side: Side::Primary, fault: fault.clone() },
            RepairStep::Copy { side: Side::Backup, fault },
            RepairStep::MoveBackup { from: Lba(1), to: Lba(2) },
            RepairStep::LastUsable { from: Lba(1), to: Lba(2) },
            RepairStep::ProtectiveMbr,
        ];
        let mut codes = vec![];
        for step in &steps {
            assert!(!codes.contains(&step.code()) && !step.to_string().is_empty());
            codes.push(step.code());
        }
    }
}
