//! The checked table: one of two copies chosen, and what they say differently.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::copy::{Disk, Truncated};
use crate::{
    Anomaly, AttributeEffect, Attributes, BlockSize, Builder, ByteRange, Difference, Error, Examination,
    Guid, Header, Lba, LbaRange, Name, NewPartition, PartitionType, ProtectiveMbr, Side, TableCopy,
    difference,
};

/// How much may be wrong with a table that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// One good copy will do, and the protective MBR need only be one: as libblkid has it. [`Gpt::condition`] and
    /// [`Gpt::anomalies`] say what is amiss.
    #[default]
    Tolerant,
    /// Two good and equal copies in their places, and a proper protective MBR.
    Strict,
}

/// Which copies of a table are good, and if they say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Both are good, equal, and in their places.
    Intact,
    /// Both are good and equal, but the backup is not in the last block, where software that needs it will look for it.
    BackupMisplaced,
    /// The primary is good, the backup damaged or missing.
    PrimaryOnly,
    /// The primary is damaged or missing, and the backup stands in.
    BackupOnly,
    /// Both are whole, and say different things. The primary is taken, as other software takes it.
    Differ,
}

impl Condition {
    /// A name that stays the same, for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::BackupMisplaced => "backup-misplaced",
            Self::PrimaryOnly => "primary-only",
            Self::BackupOnly => "backup-only",
            Self::Differ => "differ",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A GUID partition table that passed every check.
///
/// What that guarantees: no two partitions share a block or a GUID; each is within the usable range and the disk, and none is
/// over a part of the table. Made by [`Examination::gpt`] alone.
#[derive(Clone, Debug)]
pub struct Gpt {
    disk: Disk,
    side: Side,
    header: Header,
    protective_mbr: ProtectiveMbr,
    partitions: Vec<Partition>,
    condition: Condition,
    differences: Vec<Difference>,
    other_error: Option<Error>,
    anomalies: Vec<Anomaly>,
}

/// A partition of a [`Gpt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its place in the entry array, from 1. Unused entries count.
    pub number: u32,
    /// What it is for: see [`Partition::partition_type`].
    pub type_guid: Guid,
    /// Its own GUID, unlike that of any other partition of the table.
    pub guid: Guid,
    /// Its blocks.
    pub lbas: LbaRange,
    /// Its bytes, which are all on the disk.
    pub range: ByteRange,
    /// Its attribute bits.
    pub attributes: Attributes,
    /// Its name.
    pub name: Name,
    /// Where its entry is, in bytes from the start of the disk.
    pub entry_offset: u64,
}

impl Partition {
    /// The type, recognised.
    pub fn partition_type(&self) -> PartitionType {
        PartitionType::from_guid(self.type_guid)
    }

    /// What the attribute bits mean on a partition of this type.
    pub fn effect(&self) -> AttributeEffect {
        self.attributes.effect(self.partition_type())
    }
}

impl Examination {
    /// The table, if it is good enough.
    ///
    /// A copy that is damaged (its bytes are not those that were written) is passed over for the other one. A copy that is whole
    /// and breaks the rules makes the table an error even if the other is good: other software reads the first one, and an image
    /// must not mean two things.
    ///
    /// # Errors
    /// [`Error::NoTable`] and [`Error::AmbiguousBlockSize`]; those of the protective MBR, without which libblkid and Linux see no
    /// GPT either; [`Error::NoValidCopy`] if both copies are damaged; else what is wrong with the copy that other software
    /// reads. With [`Mode::Strict`] also anything that is wrong with either copy, [`Error::CopiesDiffer`],
    /// [`Error::BackupMisplaced`], [`Error::MbrNotProper`].
    pub fn gpt(&self, mode: Mode) -> Result<Gpt, Error> {
        let disk = self.disk()?;
        let protective_mbr = self.protective_mbr.clone()?;
        let differences = match (&self.primary.outcome, &self.backup.outcome) {
            (Err(error), _) if !error.is_damage() => return Err(error.clone()),
            (Err(_), Err(error)) if !error.is_damage() => return Err(error.clone()),
            (Err(primary), Err(backup)) if mode == Mode::Strict || !is_truncation(primary) => {
                return Err(no_valid_copy(primary.clone(), backup.clone()));
            }
            (Ok(()), Ok(())) => difference::compare(&self.primary, &self.backup),
            // whole, but not good: it says something else than the primary
            (Ok(()), Err(error)) if !error.is_damage() => difference::compare(&self.primary, &self.backup),
            _ => Vec::new(),
        };
        let (chosen, condition, other_error) = match (&self.primary.outcome, &self.backup.outcome) {
            (Ok(()), Ok(())) if !differences.is_empty() => (&self.primary, Condition::Differ, None),
            (Ok(()), Ok(())) if self.backup.lba != disk.last_lba() => {
                (&self.primary, Condition::BackupMisplaced, None)
            }
            (Ok(()), Ok(())) => (&self.primary, Condition::Intact, None),
            (Ok(()), Err(error)) if error.is_damage() => (&self.primary, Condition::PrimaryOnly, Some(error)),
            (Ok(()), Err(error)) => (&self.primary, Condition::Differ, Some(error)),
            (Err(error), Ok(())) => (&self.backup, Condition::BackupOnly, Some(error)),
            (Err(_), Err(error)) => (&self.primary, Condition::PrimaryOnly, Some(error)),
        };
        let other_error = other_error.cloned();
        let mut partitions = Vec::with_capacity(chosen.used());
        match (chosen.judge(&disk, Truncated::Accept, |partition| partitions.push(partition)), &other_error) {
            (Ok(()), _) => {}
            (Err(error), Some(other)) => return Err(no_valid_copy(error, other.clone())),
            (Err(error), None) => return Err(error),
        }
        let header = chosen.header.ok_or(Error::NoTable)?;
        let gpt = Gpt {
            disk,
            side: chosen.side,
            header,
            protective_mbr,
            partitions,
            condition,
            differences,
            other_error,
            anomalies: self.anomalies.clone(),
        };
        gpt.check_other_array(self.copy(chosen.side.other()))?;
        match mode {
            Mode::Tolerant => {}
            Mode::Strict => gpt.check_strict(self.backup.lba)?,
        }
        Ok(gpt)
    }
}

fn is_truncation(error: &Error) -> bool {
    matches!(error, Error::UsableBeyondDisk { .. })
}

fn no_valid_copy(primary: Error, backup: Error) -> Error {
    Error::NoValidCopy { primary: Box::new(primary), backup: Box::new(backup) }
}

impl Gpt {
    /// The block size.
    pub fn block_size(&self) -> BlockSize {
        self.disk.block_size
    }

    /// The size of the disk in bytes.
    pub fn disk_size(&self) -> u64 {
        self.disk.size
    }

    /// The disk's GUID: systemd's image UUID.
    pub fn disk_guid(&self) -> Guid {
        self.header.disk_guid
    }

    /// The copy that this table is from.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The header of that copy.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The blocks that partitions may use. Only with [`Anomaly::DiskTruncated`] do they go on past the end of the disk.
    pub fn usable(&self) -> LbaRange {
        self.header.usable()
    }

    /// Entries in the array, used or not.
    pub fn entry_count(&self) -> u32 {
        self.header.number_of_partition_entries.get()
    }

    /// Bytes of an entry: 128, with nearly every writer.
    pub fn entry_size(&self) -> u32 {
        self.header.size_of_partition_entry.get()
    }

    /// The partitions, by number.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The partition with this number.
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        let at = self.partitions.binary_search_by_key(&number, |partition| partition.number).ok()?;
        self.partitions.get(at)
    }

    /// The protective MBR.
    pub fn protective_mbr(&self) -> &ProtectiveMbr {
        &self.protective_mbr
    }

    /// Which copies are good.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// What the copies say differently: not empty only with [`Condition::Differ`]. Stops at 256.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// What is wrong with the copy that this table is not from.
    pub fn other_error(&self) -> Option<&Error> {
        self.other_error.as_ref()
    }

    /// What is unusual and breaks no rule, or none that matters.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// A builder that makes this table again, numbers, order and usable range included, with arrays in their usual places.
    pub fn to_builder(&self) -> Builder {
        let builder = Builder::new(self.disk.size, self.disk.block_size, self.header.disk_guid)
            .entries(self.entry_count(), self.entry_size())
            .usable(self.usable());
        self.partitions.iter().fold(builder, |builder, partition| {
            builder.partition(
                NewPartition::new(partition.type_guid, partition.guid)
                    .number(partition.number)
                    .lbas(partition.lbas)
                    .attributes(partition.attributes)
                    .name(partition.name),
            )
        })
    }

    /// The usable range leaves this copy's array alone; the other one's place is known only now.
    fn check_other_array(&self, other: &TableCopy) -> Result<(), Error> {
        if other.outcome.as_ref().is_err_and(Error::is_damage) {
            return Ok(());
        }
        let Some(blocks) = other.array_lbas(&self.disk) else { return Ok(()) };
        match self.partitions.iter().find(|partition| partition.lbas.overlaps(&blocks)) {
            None => Ok(()),
            Some(partition) => Err(Error::PartitionOverTable {
                side: self.side,
                number: partition.number,
                offset: partition.entry_offset,
                lbas: partition.lbas,
                part: crate::TablePart::OtherArray,
                blocks,
            }),
        }
    }

    fn check_strict(&self, backup: Lba) -> Result<(), Error> {
        if let Some(error) = &self.other_error {
            return Err(error.clone());
        }
        if let Some(first) = self.differences.first() {
            return Err(Error::CopiesDiffer { first: Box::new(*first), count: self.differences.len() });
        }
        if self.condition != Condition::Intact {
            return Err(Error::BackupMisplaced { found: backup, expected: self.disk.last_lba() });
        }
        let mbr = &self.protective_mbr;
        if !mbr.is_proper(self.disk.size, self.disk.block_size) {
            return Err(Error::MbrNotProper {
                start: mbr.starting_lba(),
                size: mbr.size_in_lba(),
                expected: ProtectiveMbr::expected_size(self.disk.size, self.disk.block_size),
                hybrid: mbr.is_hybrid(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use zerocopy::IntoBytes;
    use zerocopy::little_endian::U64;

    use super::*;
    use crate::testing::{ESP, TestDisk};
    use crate::{Field, Value};

    #[test]
    fn a_good_table_reads_back() {
        for block_size in BlockSize::ALL {
            let gpt = TestDisk::new(block_size).gpt(Mode::Strict).unwrap();
            assert_eq!((gpt.condition(), gpt.side()), (Condition::Intact, Side::Primary));
            assert_eq!((gpt.block_size(), gpt.disk_size()), (block_size, 1 << 20));
            assert_eq!((gpt.entry_count(), gpt.entry_size()), (128, 128));
            assert_eq!(gpt.disk_guid(), Guid::from_u128(99));
            assert!(
                gpt.anomalies().is_empty() && gpt.differences().is_empty() && gpt.other_error().is_none()
            );
            let numbers: Vec<u32> = gpt.partitions().iter().map(|p| p.number).collect();
            assert_eq!(numbers, [1, 2, 5]);
            let esp = gpt.partition(5).unwrap();
            assert_eq!(
                (esp.lbas, esp.type_guid, esp.guid),
                (LbaRange::new(100, 119), ESP, Guid::from_u128(5))
            );
            let bytes = u64::from(block_size.bytes());
            assert_eq!(esp.range, ByteRange { offset: 100 * bytes, size: 20 * bytes });
            assert_eq!(esp.name.label().as_deref(), Some("os_5"));
            assert_eq!(esp.entry_offset, 2 * bytes + 4 * 128);
            assert!(gpt.partition(1).unwrap().effect().read_only);
            assert_eq!(gpt.partition(3), None);
        }
    }

    /// Each field changed in the backup alone, CRCs right: the primary is taken, and the field is named with both values.
    #[test]
    fn differences_are_named() {
        type Edit = fn(&mut TestDisk);
        let cases: [(Field, Edit); 14] = [
            (Field::Reserved, |d| d.header(Side::Backup).reserved.set(7)),
            (Field::PrimaryLba, |d| d.header(Side::Backup).alternate_lba.set(3000)),
            (Field::FirstUsableLba, |d| d.header(Side::Backup).first_usable_lba.set(35)),
            (Field::LastUsableLba, |d| d.header(Side::Backup).last_usable_lba.set(2013)),
            (Field::DiskGuid, |d| d.header(Side::Backup).disk_guid = Guid::NIL),
            (Field::HeaderByte(511), |d| *d.bytes.last_mut().unwrap() = 1),
            (Field::TypeGuid(2), |d| d.entry(Side::Backup, 2).partition_type_guid = ESP),
            (Field::TypeGuid(2), |d| d.entry(Side::Backup, 2).partition_type_guid = Guid::NIL),
            (Field::UniqueGuid(1), |d| d.entry(Side::Backup, 1).unique_partition_guid = ESP),
            (Field::StartingLba(5), |d| d.entry(Side::Backup, 5).starting_lba.set(101)),
            (Field::EndingLba(5), |d| d.entry(Side::Backup, 5).ending_lba.set(118)),
            (Field::Attributes(1), |d| d.entry(Side::Backup, 1).attributes.set(1)),
            (Field::Name(1), |d| d.entry(Side::Backup, 1).partition_name = Name::EMPTY),
            (Field::Attributes(99), |d| d.entry(Side::Backup, 99).attributes.set(1)),
        ];
        for (field, edit) in cases {
            let mut disk = TestDisk::new(BlockSize::B512);
            edit(&mut disk);
            disk.repair(Side::Backup);
            let gpt = disk.gpt(Mode::Tolerant).unwrap();
            assert_eq!((gpt.condition(), gpt.side()), (Condition::Differ, Side::Primary), "{field}");
            let [difference] = gpt.differences() else { panic!("{field}: {:?}", gpt.differences()) };
            assert_eq!(difference.field, field);
            assert_ne!(difference.primary, difference.backup);
            let strict = Error::CopiesDiffer { first: Box::new(*difference), count: 1 };
            assert_eq!(disk.gpt(Mode::Strict).unwrap_err(), strict);
        }
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.header(Side::Primary).alternate_lba.set(1000);
        disk.header(Side::Primary).first_usable_lba.set(2000);
        disk.header(Side::Primary).last_usable_lba.set(2010);
        disk.bytes[1024..1024 + 16384].fill(0);
        disk.repair(Side::Primary);
        let gpt = disk.gpt(Mode::Tolerant).unwrap();
        let backup_lba =
            Difference { field: Field::BackupLba, primary: Value::Number(1000), backup: Value::Number(2047) };
        assert!(gpt.differences().contains(&backup_lba));
    }

    #[test]
    fn a_table_without_a_protective_mbr_is_none() {
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.bytes[450] = 0x83;
        let examination = disk.examine();
        assert!(examination.is_gpt());
        let error = Error::MbrNotProtective { types: [0x83, 0, 0, 0] };
        assert_eq!(examination.protective_mbr, Err(error.clone()));
        assert_eq!(examination.gpt(Mode::Tolerant).unwrap_err(), error);
        disk.bytes[510] = 0;
        assert_eq!(disk.gpt(Mode::Tolerant).unwrap_err(), Error::MbrSignature { found: 0xaa00 });
    }

    #[test]
    fn strict_wants_a_proper_protective_mbr() {
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.bytes[446 + 16 + 4] = 0x0c;
        let gpt = disk.gpt(Mode::Tolerant).unwrap();
        assert_eq!((gpt.condition(), gpt.anomalies()), (Condition::Intact, &[Anomaly::HybridMbr][..]));
        assert!(gpt.protective_mbr().is_hybrid());
        let error = Error::MbrNotProper { start: 1, size: 2047, expected: 2047, hybrid: true };
        assert_eq!(disk.gpt(Mode::Strict).unwrap_err(), error);
    }

    #[test]
    fn a_disk_that_grew() {
        for block_size in BlockSize::ALL {
            let mut disk = TestDisk::new(block_size);
            let then = Lba(disk.last_lba());
            disk.bytes.resize(3 << 20, 0);
            let now = Lba(disk.last_lba());
            let gpt = disk.gpt(Mode::Tolerant).unwrap();
            assert_eq!(gpt.condition(), Condition::BackupMisplaced);
            assert!(gpt.anomalies().contains(&Anomaly::DiskGrown { then, now }));
            assert_eq!(gpt.partitions().len(), 3);
            let error = Error::BackupMisplaced { found: then, expected: now };
            assert_eq!(disk.gpt(Mode::Strict).unwrap_err(), error);

            // the primary header is damaged, and still the only one to know where the backup is
            disk.header(Side::Primary).reserved.set(1);
            let gpt = disk.gpt(Mode::Tolerant).unwrap();
            assert_eq!(gpt.condition(), Condition::BackupOnly);
        }
    }

    #[test]
    fn a_disk_that_was_cut() {
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.bytes.truncate(120 * 512);
        let gpt = disk.gpt(Mode::Tolerant).unwrap();
        assert_eq!((gpt.condition(), gpt.partitions().len()), (Condition::PrimaryOnly, 3));
        let truncated = Anomaly::DiskTruncated { last_usable: Lba(2014), now: Lba(119) };
        assert!(gpt.anomalies().contains(&truncated));
        assert!(matches!(disk.gpt(Mode::Strict), Err(Error::NoValidCopy { .. })));

        disk.bytes.truncate(119 * 512);
        let Err(Error::NoValidCopy { primary, .. }) = disk.gpt(Mode::Tolerant) else { panic!() };
        assert_eq!(
            *primary,
            Error::PartitionBeyondDisk {
                side: Side::Primary,
                number: 5,
                offset: 1024 + 4 * 128,
                lbas: LbaRange::new(100, 119),
                last: Lba(118)
            }
        );
    }

    /// The other copy's array is where a partition of the chosen one is.
    #[test]
    fn a_partition_over_the_other_array() {
        let mut disk = TestDisk::new(BlockSize::B512);
        let array = disk.bytes[1024..1024 + 16384].to_vec();
        disk.bytes[105 * 512..][..16384].copy_from_slice(&array);
        let header = disk.header(Side::Backup);
        header.partition_entry_lba = U64::new(105);
        header.first_usable_lba = U64::new(34);
        header.last_usable_lba = U64::new(104);
        disk.entry(Side::Backup, 1).as_mut_bytes().fill(0);
        disk.bytes[105 * 512 + 4 * 128..][..128].fill(0);
        disk.repair(Side::Backup);
        let examination = disk.examine();
        assert_eq!(examination.backup.outcome, Ok(()));
        assert!(matches!(
            examination.gpt(Mode::Tolerant),
            Err(Error::PartitionOverTable {
                side: Side::Primary,
                number: 5,
                part: crate::TablePart::OtherArray,
                ..
            })
        ));
    }

    #[test]
    fn anomalies() {
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.bytes.extend([0; 100]);
        for side in [Side::Primary, Side::Backup] {
            let entry = disk.entry(side, 2);
            entry.unique_partition_guid = Guid::NIL;
            let mut units = [0; Name::UNITS];
            (units[0], units[5]) = (65, 66);
            entry.partition_name = Name::from_units(units);
            disk.entry(side, 3).attributes.set(1);
            disk.entry(side, 9).starting_lba.set(1);
            disk.repair(side);
        }
        let found = disk.gpt(Mode::Strict).unwrap();
        let array = disk.array_offset(Side::Primary) as u64;
        for anomaly in [
            Anomaly::PartialBlock { offset: 1 << 20, bytes: 100 },
            Anomaly::NilGuid { side: Side::Primary, number: 2, offset: array + 128 },
            Anomaly::HiddenName { side: Side::Primary, number: 2, offset: array + 128 },
            Anomaly::EntryBytesNotZero { side: Side::Primary, number: 3, offset: array + 256, entries: 2 },
        ] {
            assert!(found.anomalies().contains(&anomaly), "{anomaly:?} {:?}", found.anomalies());
        }
        assert_eq!(found.anomalies().len(), 7);

        let mut disk = TestDisk::new(BlockSize::B512);
        disk.bytes[512 + 100] = 1;
        disk.bytes[512 + 200] = 2;
        let reserved = Anomaly::ReservedNotZero { side: Side::Primary, offset: 612, bytes: 2 };
        assert_eq!(disk.examine().anomalies(), [reserved]);
    }

    /// A backup that is whole and lies is told as it is, whatever the primary says.
    #[test]
    fn a_backup_that_lies() {
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.header(Side::Backup).revision.set(0x0002_0000);
        disk.repair(Side::Backup);
        let offset = disk.header_offset(Side::Backup) as u64 + 8;
        let error = Error::Revision { side: Side::Backup, offset, found: 0x0002_0000 };
        let gpt = disk.gpt(Mode::Tolerant).unwrap();
        let revisions = [0x0001_0000, 0x0002_0000].map(Value::Number);
        let difference = Difference { field: Field::Revision, primary: revisions[0], backup: revisions[1] };
        assert_eq!((gpt.condition(), gpt.differences()), (Condition::Differ, &[difference][..]));
        assert_eq!(gpt.other_error(), Some(&error));

        disk.header(Side::Primary).header_crc32.set(1);
        assert_eq!(disk.gpt(Mode::Tolerant).unwrap_err(), error);
    }

    #[test]
    fn conditions_as_text() {
        assert_eq!(
            std::format!("{:>8}|{}", Condition::Intact, Condition::PrimaryOnly),
            "  intact|primary-only"
        );
    }
}
