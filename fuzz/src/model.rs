//! GUID partition tables once more, as plainly as can be: no types, numbers of 128 bits, every range compared with every
//! other. What `ddi-gpt` reads is compared with what this reads.
//!
//! They must agree on whether there is a table, on its block size, on the copy it is taken from, on every field of every
//! partition, and on whether it passes strictly. Explained disagreements: none so far. One limit: tables of more than
//! [`MAX_PARTITIONS`] partitions are not compared, since that takes time squared.

use super::input::{Sparse, crc32};

/// With more, [`gpt`] gives up.
pub(crate) const MAX_PARTITIONS: usize = 200;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) number: u32,
    pub(crate) kind: [u8; 16],
    pub(crate) guid: [u8; 16],
    pub(crate) first: u128,
    pub(crate) last: u128,
    pub(crate) attributes: u64,
    pub(crate) name: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) block: u64,
    pub(crate) from_backup: bool,
    pub(crate) is_strict: bool,
    pub(crate) partitions: Vec<Partition>,
}

/// Why a copy is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Its bytes are not those that were once written, or not for this disk: the other copy may stand in.
    Damage,
    /// The same, by the usable range that goes past the end of the disk, and nothing before that.
    Cut,
    /// It breaks a rule.
    Wrong,
    /// Too many partitions for this model.
    TooMany,
}

/// First and last block.
type Range = (u128, u128);

fn number(bytes: &[u8], at: usize, len: usize) -> u128 {
    bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn overlap(a: Range, b: Range) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

struct Copy<'a> {
    disk: &'a Sparse,
    block: u128,
    lba: u128,
    is_primary: bool,
    /// The header's whole block, if it has the signature.
    header: Option<Vec<u8>>,
}

impl<'a> Copy<'a> {
    fn load(disk: &'a Sparse, block: u64, lba: u128, is_primary: bool) -> Self {
        let offset = u64::try_from(lba * u128::from(block)).ok();
        let header =
            offset.and_then(|offset| disk.bytes(offset, block)).filter(|b| b.starts_with(b"EFI PART"));
        Copy { disk, block: block.into(), lba, is_primary, header }
    }

    fn blocks_of_disk(&self) -> u128 {
        u128::from(self.disk.size) / self.block
    }

    fn check_header(&self, accept_cut: bool) -> Result<&[u8], Fault> {
        let header = self.header.as_deref().ok_or(Fault::Damage)?;
        let size = number(header, 12, 4);
        if size < 92 || size > self.block {
            return Err(Fault::Damage);
        }
        let mut covered = header[..size as usize].to_vec();
        covered[16..20].fill(0);
        if u128::from(crc32(&covered)) != number(header, 16, 4) || number(header, 24, 8) != self.lba {
            return Err(Fault::Damage);
        }
        let (first, last) = (number(header, 40, 8), number(header, 48, 8));
        if first > last {
            return Err(Fault::Damage);
        }
        if last >= self.blocks_of_disk() && !accept_cut {
            return Err(Fault::Cut);
        }
        if first <= self.lba && self.lba <= last { Err(Fault::Damage) } else { Ok(header) }
    }

    /// Where the array is, in bytes, if it is of a size that is read, and on the disk.
    fn array_place(&self) -> Option<(u128, u128)> {
        let header = self.header.as_deref()?;
        let entry_size = number(header, 84, 4);
        let (start, size) = (number(header, 72, 8) * self.block, number(header, 80, 4) * entry_size);
        let good_entry = [128, 256, 512, 1024, 2048, 4096].contains(&entry_size)
            || (entry_size > 4096 && entry_size.count_ones() == 1);
        let fits = start + size <= u128::from(self.disk.size);
        (good_entry && size > 0 && size <= 1 << 20 && fits).then_some((start, size))
    }

    fn array_blocks(&self) -> Option<Range> {
        let (start, size) = self.array_place()?;
        Some((start / self.block, start / self.block + size.div_ceil(self.block) - 1))
    }

    fn array(&self) -> Option<Vec<u8>> {
        let (start, size) = self.array_place()?;
        self.disk.bytes(start.try_into().ok()?, size.try_into().ok()?)
    }

    fn judge(&self, accept_cut: bool) -> Result<Vec<Partition>, Fault> {
        let header = self.check_header(accept_cut)?;
        let (count, entry_size) = (number(header, 80, 4), number(header, 84, 4));
        if entry_size < 128 || entry_size.count_ones() != 1 || count == 0 {
            return Err(Fault::Damage);
        }
        if count * entry_size > 1 << 20 {
            return Err(Fault::Wrong);
        }
        let array_blocks = self.array_blocks().ok_or(Fault::Damage)?;
        if number(header, 8, 4) != 0x10000 {
            return Err(Fault::Wrong);
        }
        let usable = (number(header, 40, 8), number(header, 48, 8));
        let mut taken = vec![0, 1, self.lba, number(header, 32, 8)];
        if self.is_primary {
            taken.retain(|lba| *lba != 1);
            taken.push(1);
        }
        let mut ranges: Vec<Range> = taken.into_iter().map(|lba| (lba, lba)).collect();
        if ranges.iter().any(|range| overlap(*range, array_blocks)) {
            return Err(Fault::Wrong);
        }
        ranges.push(array_blocks);
        if ranges.iter().any(|range| overlap(*range, usable)) {
            return Err(Fault::Wrong);
        }
        let array = self.array().ok_or(Fault::Damage)?;
        if u128::from(crc32(&array)) != number(header, 88, 4) {
            return Err(Fault::Damage);
        }

        let mut partitions: Vec<Partition> = Vec::new();
        for (i, entry) in array.chunks(entry_size as usize).enumerate() {
            if entry[..16] == [0; 16] {
                continue;
            }
            if partitions.len() == MAX_PARTITIONS {
                return Err(Fault::TooMany);
            }
            partitions.push(Partition {
                number: i as u32 + 1,
                kind: entry[..16].try_into().unwrap(),
                guid: entry[16..32].try_into().unwrap(),
                first: number(entry, 32, 8),
                last: number(entry, 40, 8),
                attributes: number(entry, 48, 8) as u64,
                name: entry[56..128].to_vec(),
            });
        }
        for (i, a) in partitions.iter().enumerate() {
            let range = (a.first, a.last);
            if a.first > a.last
                || a.first < usable.0
                || a.last > usable.1
                || a.last >= self.blocks_of_disk()
                || ranges.iter().any(|other| overlap(*other, range))
            {
                return Err(Fault::Wrong);
            }
            for b in &partitions[..i] {
                if overlap(range, (b.first, b.last)) || a.guid == b.guid {
                    return Err(Fault::Wrong);
                }
            }
        }
        Ok(partitions)
    }
}

/// The block size at which there is a table; `Err` if there are two.
fn find_block(disk: &Sparse) -> Result<Option<u64>, ()> {
    let sizes = [512, 1024, 2048, 4096];
    let last = |block: u64| (u128::from(disk.size) / u128::from(block)).saturating_sub(1);
    let primary = |block: u64| Copy::load(disk, block, 1, true).header;
    let backup = |block: u64| Some(Copy::load(disk, block, last(block), false)).filter(|copy| copy.lba > 1);
    let as_systemd = |header: &Vec<u8>| {
        number(header, 8, 4) == 0x10000
            && (92..=4096).contains(&number(header, 12, 4))
            && number(header, 24, 8) == 1
    };
    let tests: [&dyn Fn(u64) -> bool; 3] = [
        &|block| primary(block).is_some_and(|header| as_systemd(&header)),
        &|block| backup(block).is_some_and(|copy| copy.check_header(false).is_ok()),
        &|block| primary(block).is_some() || backup(block).is_some_and(|copy| copy.header.is_some()),
    ];
    for test in tests {
        let found: Vec<u64> = sizes.into_iter().filter(|block| test(*block)).collect();
        match found[..] {
            [] => {}
            [block] => return Ok(Some(block)),
            _ => return Err(()),
        }
    }
    Ok(None)
}

/// The table of a disk. The outer `None`: too many partitions; the inner one: no table, or none that may be used.
pub(crate) fn gpt(disk: &Sparse, forced: Option<u64>) -> Option<Option<Table>> {
    let Some(sector) = disk.get::<512>(0) else { return Some(None) };
    let protects = (0..4).any(|i| sector[446 + 16 * i + 4] == 0xee);
    let found = forced.map_or_else(|| find_block(disk), |block| Ok(Some(block)));
    let (true, true, Ok(Some(block))) = (sector.ends_with(&[0x55, 0xaa]), protects, found) else {
        return Some(None);
    };
    let last = (u128::from(disk.size) / u128::from(block)).saturating_sub(1);

    let primary = Copy::load(disk, block, 1, true);
    let mut backup = Copy::load(disk, block, last, false);
    if last < 2 {
        backup.header = None;
    }
    let hint = primary.header.as_deref().map_or(0, |header| number(header, 32, 8));
    if hint > 1 && hint < last && backup.check_header(false).is_err() {
        let elsewhere = Copy::load(disk, block, hint, false);
        if elsewhere.check_header(false).is_ok() || (elsewhere.header.is_some() && backup.header.is_none()) {
            backup = elsewhere;
        }
    }

    let (p, b) = (primary.judge(false), backup.judge(false));
    if p == Err(Fault::TooMany) || b == Err(Fault::TooMany) {
        return None;
    }
    let is_damage = |fault: &Fault| *fault != Fault::Wrong;
    let (from_backup, partitions) = match (&p, &b) {
        (Err(Fault::Wrong), _) | (Err(_), Err(Fault::Wrong)) => return Some(None),
        (Ok(_), _) => (false, primary.judge(true)),
        (Err(_), Ok(_)) => (true, backup.judge(true)),
        (Err(Fault::Cut), Err(_)) => (false, primary.judge(true)),
        (Err(_), Err(_)) => return Some(None),
    };
    let partitions = match partitions {
        Ok(partitions) => partitions,
        Err(Fault::TooMany) => return None,
        Err(_) => return Some(None),
    };
    let (other, fault) = if from_backup { (&primary, &p) } else { (&backup, &b) };
    if !fault.as_ref().is_err_and(is_damage)
        && let Some(array) = other.array_blocks()
        && partitions.iter().any(|partition| overlap((partition.first, partition.last), array))
    {
        return Some(None);
    }
    let is_strict =
        p.is_ok() && b.is_ok() && backup.lba == last && same(&primary, &backup) && is_proper(&sector, last);
    Some(Some(Table { block, from_backup, is_strict, partitions }))
}

/// Returns true if both copies say the same.
fn same(primary: &Copy<'_>, backup: &Copy<'_>) -> bool {
    let (Some(p), Some(b)) = (&primary.header, &backup.header) else { return false };
    // all but the CRC, the two places, and the place of the array
    let fields = [0..16, 20..24, 40..72, 80..p.len()];
    fields.into_iter().all(|field| p[field.clone()] == b[field])
        && p[24..32] == b[32..40]
        && p[32..40] == b[24..32]
        && primary.array() == backup.array()
}

/// One record, not bootable, from block 1 to the end of the disk, or of 2^32 - 1 blocks; nothing else.
fn is_proper(sector: &[u8; 512], last: u128) -> bool {
    let records: Vec<&[u8]> = sector[446..510].chunks(16).collect();
    // the first of this type is the one
    let Some(at) = records.iter().position(|record| record[4] == 0xee) else { return false };
    let size = number(records[at], 12, 4);
    records[at][0] == 0
        && number(records[at], 8, 4) == 1
        && (size == last.min(0xffff_ffff) || size == 0xffff_ffff)
        && (0..4).all(|i| i == at || records[i] == [0; 16])
}
