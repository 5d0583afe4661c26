//! What the two copies of a table say differently.

use alloc::vec::Vec;
use core::fmt;

use zerocopy::IntoBytes;

use crate::{Guid, Name, TableCopy};

/// Differences that are listed; what goes beyond is of no use to anyone.
const MAX_DIFFERENCES: usize = 256;

/// A field in which the two copies disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which field.
    pub field: Field,
    /// What the primary copy has there.
    pub primary: Value,
    /// What the backup copy has there.
    pub backup: Value,
}

/// A field of the header, or of the entry of the partition with the given number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Revision of the header.
    Revision,
    /// Size of the header.
    HeaderSize,
    /// The reserved field.
    Reserved,
    /// Where the primary header is: what it says itself, and what the backup header says of it.
    PrimaryLba,
    /// Where the backup header is: what the primary header says of it, and what it says itself.
    BackupLba,
    /// First usable block.
    FirstUsableLba,
    /// Last usable block.
    LastUsableLba,
    /// The disk's GUID.
    DiskGuid,
    /// Number of entries.
    EntryCount,
    /// Size of an entry.
    EntrySize,
    /// The byte at this place of the header's block, past the known fields.
    HeaderByte(u32),
    /// An entry's type.
    TypeGuid(u32),
    /// An entry's unique GUID.
    UniqueGuid(u32),
    /// An entry's first block.
    StartingLba(u32),
    /// An entry's last block.
    EndingLba(u32),
    /// An entry's attributes.
    Attributes(u32),
    /// An entry's name.
    Name(u32),
    /// The first byte that differs past the known fields of an entry.
    EntryByte(u32),
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, block address or byte.
    Number(u64),
    /// A GUID.
    Guid(Guid),
    /// A name.
    Name(Name),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} in the primary and {} in the backup copy", self.field, self.primary, self.backup)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision => write!(f, "revision"),
            Self::HeaderSize => write!(f, "header size"),
            Self::Reserved => write!(f, "reserved field"),
            Self::PrimaryLba => write!(f, "LBA of the primary header"),
            Self::BackupLba => write!(f, "LBA of the backup header"),
            Self::FirstUsableLba => write!(f, "first usable LBA"),
            Self::LastUsableLba => write!(f, "last usable LBA"),
            Self::DiskGuid => write!(f, "disk GUID"),
            Self::EntryCount => write!(f, "number of entries"),
            Self::EntrySize => write!(f, "entry size"),
            Self::HeaderByte(at) => write!(f, "byte {at} of the header block"),
            Self::TypeGuid(number) => write!(f, "type of partition {number}"),
            Self::UniqueGuid(number) => write!(f, "GUID of partition {number}"),
            Self::StartingLba(number) => write!(f, "first LBA of partition {number}"),
            Self::EndingLba(number) => write!(f, "last LBA of partition {number}"),
            Self::Attributes(number) => write!(f, "attributes of partition {number}"),
            Self::Name(number) => write!(f, "name of partition {number}"),
            Self::EntryByte(number) => write!(f, "byte past the fields of entry {number}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Guid(guid) => guid.fmt(f),
            Self::Name(name) => write!(f, "\"{name}\""),
        }
    }
}

/// Compares two copies field by field, unused entries and reserved bytes included. What must differ (the places, and so the
/// header CRCs) is compared crosswise.
pub(crate) fn compare(primary: &TableCopy, backup: &TableCopy) -> Vec<Difference> {
    let mut found = Vec::new();
    let (Some(p), Some(b)) = (primary.header, backup.header) else { return found };
    let mut add = |field, primary, backup| {
        if primary != backup && found.len() < MAX_DIFFERENCES {
            found.push(Difference { field, primary, backup });
        }
    };
    let number = |n: u32| Value::Number(u64::from(n));
    let lba = |n: u64| Value::Number(n);
    let byte = |n: u8| Value::Number(u64::from(n));

    add(Field::Revision, number(p.revision.get()), number(b.revision.get()));
    add(Field::HeaderSize, number(p.header_size.get()), number(b.header_size.get()));
    add(Field::Reserved, number(p.reserved.get()), number(b.reserved.get()));
    add(Field::PrimaryLba, lba(p.my_lba.get()), lba(b.alternate_lba.get()));
    add(Field::BackupLba, lba(p.alternate_lba.get()), lba(b.my_lba.get()));
    add(Field::FirstUsableLba, lba(p.first_usable_lba.get()), lba(b.first_usable_lba.get()));
    add(Field::LastUsableLba, lba(p.last_usable_lba.get()), lba(b.last_usable_lba.get()));
    add(Field::DiskGuid, Value::Guid(p.disk_guid), Value::Guid(b.disk_guid));
    let counts = (p.number_of_partition_entries.get(), b.number_of_partition_entries.get());
    add(Field::EntryCount, number(counts.0), number(counts.1));
    let sizes = (p.size_of_partition_entry.get(), b.size_of_partition_entry.get());
    add(Field::EntrySize, number(sizes.0), number(sizes.1));
    // the CRC of the array is left out: it differs wherever an entry does
    for (at, (p, b)) in (0..).zip(primary.block.iter().zip(&backup.block)) {
        if at >= crate::Header::SIZE {
            add(Field::HeaderByte(at), byte(*p), byte(*b));
        }
    }

    for ((n, p, p_rest), (_, b, b_rest)) in primary.slots().zip(backup.slots()) {
        if p.as_bytes() == b.as_bytes() && p_rest == b_rest {
            continue;
        }
        add(Field::TypeGuid(n), Value::Guid(p.partition_type_guid), Value::Guid(b.partition_type_guid));
        add(Field::UniqueGuid(n), Value::Guid(p.unique_partition_guid), Value::Guid(b.unique_partition_guid));
        add(Field::StartingLba(n), lba(p.starting_lba.get()), lba(b.starting_lba.get()));
        add(Field::EndingLba(n), lba(p.ending_lba.get()), lba(b.ending_lba.get()));
        add(Field::Attributes(n), lba(p.attributes.get()), lba(b.attributes.get()));
        add(Field::Name(n), Value::Name(p.partition_name), Value::Name(b.partition_name));
        if let Some((p, b)) = p_rest.iter().zip(b_rest).find(|(p, b)| p != b) {
            add(Field::EntryByte(n), byte(*p), byte(*b));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::testing::{TestDisk, builder};
    use crate::{BlockSize, Mode, Side};

    #[test]
    fn bytes_past_the_known_fields() {
        let table = builder(BlockSize::B512).entries(64, 256).build().unwrap();
        let good = TestDisk { bytes: table.to_disk(), block_size: BlockSize::B512 };
        let array = usize::try_from(good.examine().backup.array_location.unwrap().offset).unwrap();
        // entry 2 is in use, entry 7 is not
        for number in [2, 7] {
            let mut disk = good.clone();
            disk.bytes[array + 256 * (number - 1) + 200] = 9;
            disk.repair(Side::Backup);
            let gpt = disk.gpt(Mode::Tolerant).unwrap();
            let [primary, backup] = [0, 9].map(Value::Number);
            let number = u32::try_from(number).unwrap();
            assert_eq!(gpt.differences(), [Difference { field: Field::EntryByte(number), primary, backup }]);
        }
    }

    #[test]
    fn the_shape_of_the_array() {
        let shapes = [(4, 128, 8, 128), (4, 256, 4, 128)];
        for (count, size, backup_count, backup_size) in shapes {
            let table = builder(BlockSize::B512).entries(8, 128).build().unwrap();
            let mut disk = TestDisk { bytes: table.to_disk(), block_size: BlockSize::B512 };
            for (side, count, size) in
                [(Side::Primary, count, size), (Side::Backup, backup_count, backup_size)]
            {
                disk.header(side).number_of_partition_entries.set(count);
                disk.header(side).size_of_partition_entry.set(size);
                disk.repair(side);
            }
            let found = disk.gpt(Mode::Tolerant).unwrap().differences().to_vec();
            for (field, primary, backup) in
                [(Field::EntryCount, count, backup_count), (Field::EntrySize, size, backup_size)]
            {
                let [primary, backup] = [primary, backup].map(|n| Value::Number(u64::from(n)));
                let named = found.contains(&Difference { field, primary, backup });
                assert_eq!(named, primary != backup, "{field}: {found:?}");
            }
        }
    }

    #[test]
    fn a_list_of_differences_ends() {
        let mut disk = TestDisk::new(BlockSize::B512);
        let header = disk.header_offset(Side::Backup);
        disk.bytes[header + 92..].fill(1);
        let gpt = disk.gpt(Mode::Tolerant).unwrap();
        assert_eq!(gpt.differences().len(), 256);
        assert_eq!(gpt.differences()[255].field, Field::HeaderByte(92 + 255));
        let strict = disk.gpt(Mode::Strict).unwrap_err();
        let first = std::boxed::Box::new(gpt.differences()[0]);
        assert_eq!(first.field, Field::HeaderByte(92));
        assert_eq!(strict, crate::Error::CopiesDiffer { first, count: 256 });
    }

    #[test]
    fn the_size_of_the_header() {
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.header(Side::Backup).header_size.set(96);
        disk.repair(Side::Backup);
        let gpt = disk.gpt(Mode::Tolerant).unwrap();
        let [primary, backup] = [92, 96].map(Value::Number);
        assert_eq!(gpt.differences(), [Difference { field: Field::HeaderSize, primary, backup }]);
    }

    /// Where a damaged copy has its array, and what it says, counts for nothing.
    #[test]
    fn a_damaged_copy_is_not_compared() {
        let mut disk = TestDisk::new(BlockSize::B512);
        disk.header(Side::Backup).partition_entry_lba.set(100);
        let gpt = disk.gpt(Mode::Tolerant).unwrap();
        assert_eq!(gpt.condition(), crate::Condition::PrimaryOnly);
        assert_eq!(gpt.differences(), []);
    }

    #[test]
    fn as_text() {
        let guid = Value::Guid(Guid::from_u128(1));
        let name = Value::Name("a\u{1b}b".parse().unwrap());
        for (field, primary, backup, expected) in [
            (
                Field::Revision,
                Value::Number(1),
                Value::Number(2),
                "revision is 1 in the primary and 2 in the backup copy",
            ),
            (
                Field::UniqueGuid(3),
                guid,
                Value::Guid(Guid::NIL),
                "GUID of partition 3 is 00000000-0000-0000-0000-000000000001 in the primary and \
                 00000000-0000-0000-0000-000000000000 in the backup copy",
            ),
            (
                Field::Name(4),
                name,
                Value::Name(Name::EMPTY),
                r#"name of partition 4 is "a\u{1b}b" in the primary and "" in the backup copy"#,
            ),
        ] {
            assert_eq!(Difference { field, primary, backup }.to_string(), expected);
        }
        let fields = [
            Field::HeaderSize,
            Field::Reserved,
            Field::PrimaryLba,
            Field::BackupLba,
            Field::FirstUsableLba,
            Field::LastUsableLba,
            Field::DiskGuid,
            Field::EntryCount,
            Field::EntrySize,
            Field::HeaderByte(5),
            Field::TypeGuid(5),
            Field::StartingLba(5),
            Field::EndingLba(5),
            Field::Attributes(5),
            Field::EntryByte(5),
        ];
        let texts: Vec<_> = fields.iter().map(ToString::to_string).collect();
        assert!(texts.iter().all(|text| !text.is_empty()));
        assert!((1..texts.len()).all(|i| !texts[..i].contains(&texts[i])), "no two alike");
        assert!(texts[9..].iter().all(|text| text.contains('5')));
    }
}
