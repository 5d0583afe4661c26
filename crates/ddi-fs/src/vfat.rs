//! FAT12, FAT16 and FAT32, with long names.
//!
//! ```text
//!   boot sector │ reserved │ FAT │ FAT copy │ root directory (FAT12, FAT16) │ cluster 2 │ cluster 3 …
//! ```
//!
//! A node is where a file's directory entry stands. FAT knows neither owners nor modes: those given are what Linux
//! makes up for a mount without options.
//!
//! Sources: Microsoft, *FAT File System Specification*; Linux, `fs/fat/`.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use super::disk::{Bytes, Disk, index, u64_from};
use super::{EachEntry, Entry, Error, FileSystem, FileType, Limit, Node, Stat};
use crate::probe::FsKind;

const ATTR_READ_ONLY: u8 = 0x01;
const ATTR_VOLUME_ID: u8 = 0x08;
const ATTR_DIRECTORY: u8 = 0x10;
const ATTR_LONG_NAME: u8 = 0x0f;
const LAST_LONG_ENTRY: u8 = 0x40;
const DELETED: u8 = 0xe5;
/// In the reserved byte: base name or extension is lower case. Windows NT began it.
const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

const ENTRY: u64 = 32;
/// Entries of one directory, as in the specification: 65536 of 32 bytes.
const MAX_DIRECTORY: u64 = 65536 * ENTRY;
/// Short names of the entries for a directory itself and its parent.
const DOT: &[u8] = b".          ";
const DOT_DOT: &[u8] = b"..         ";
/// Entries of a long name, and UTF-16 units in them: 13 in each.
const MAX_ORDER: u8 = 20;
const MAX_UNITS: usize = 260;
/// UTF-16 units that a name may have.
const MAX_NAME: usize = 255;
/// The root directory has no entry.
const ROOT: Node = Node(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Fat12,
    Fat16,
    Fat32,
}

#[derive(Debug)]
pub(super) struct Vfat {
    disk: Disk,
    width: Width,
    cluster_size: u64,
    /// Where the first FAT is.
    fat: u64,
    /// Where the fixed root directory is, and how long; of FAT32 its first cluster.
    root: u64,
    root_size: u64,
    root_cluster: u32,
    /// Where cluster 2 is.
    data: u64,
    /// Clusters, the first of which is number 2.
    clusters: u32,
    /// The last cluster read, so that reading on does not begin at the start of the chain.
    position: Mutex<Option<Position>>,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    first: u32,
    /// How many clusters come before this one.
    number: u64,
    cluster: u32,
}

/// What a directory is read from.
#[derive(Debug, Clone, Copy)]
enum Row {
    /// The fixed root directory.
    Fixed,
    /// A chain of clusters.
    Chain(u32),
}

/// A short entry with the name that goes with it.
struct Found {
    /// Where it stands on the disk.
    offset: u64,
    attributes: u8,
    name: Vec<u8>,
    short: Vec<u8>,
}

impl Vfat {
    pub(super) fn open(disk: Disk) -> Result<Self, Error> {
        let bytes = disk.metadata_array::<512>(0)?;
        let boot = Bytes::new(&bytes, "boot sector", 0);
        let bpb_byts_per_sec = u64::from(boot.le16(11)?);
        let bpb_sec_per_clus = u64::from(boot.u8(13)?);
        let bpb_rsvd_sec_cnt = u64::from(boot.le16(14)?);
        let bpb_num_fats = u64::from(boot.u8(16)?);
        let bpb_root_ent_cnt = u64::from(boot.le16(17)?);
        let bpb_tot_sec16 = u64::from(boot.le16(19)?);
        let bpb_fat_sz16 = u64::from(boot.le16(22)?);
        let bpb_tot_sec32 = u64::from(boot.le32(32)?);
        let bpb_fat_sz32 = u64::from(boot.le32(36)?);
        let bpb_root_clus = boot.le32(44)?;

        let sector = bpb_byts_per_sec;
        let sizes =
            sector.is_power_of_two() && (512..=4096).contains(&sector) && bpb_sec_per_clus.is_power_of_two();
        if !sizes || bpb_num_fats == 0 || bpb_rsvd_sec_cnt == 0 {
            return Err(boot.corrupt());
        }
        let fat_size = if bpb_fat_sz16 != 0 { bpb_fat_sz16 } else { bpb_fat_sz32 };
        let total = if bpb_tot_sec16 != 0 { bpb_tot_sec16 } else { bpb_tot_sec32 };
        let root_size = bpb_root_ent_cnt.saturating_mul(ENTRY);
        let root_sectors = root_size.div_ceil(sector);
        let root_start = bpb_rsvd_sec_cnt.saturating_add(bpb_num_fats.saturating_mul(fat_size));
        let data_start = root_start.saturating_add(root_sectors);
        let clusters =
            total.checked_sub(data_start).and_then(|sectors| sectors.checked_div(bpb_sec_per_clus));
        let clusters = clusters.and_then(|n| u32::try_from(n).ok()).ok_or_else(|| boot.corrupt())?;
        // the number of clusters decides; but Linux goes by the field when there is no 16-bit size
        let width = match clusters {
            _ if bpb_fat_sz16 == 0 && bpb_fat_sz32 != 0 => Width::Fat32,
            0..4085 => Width::Fat12,
            _ => Width::Fat16,
        };
        let fat_bits: u64 = match width {
            Width::Fat12 => 12,
            Width::Fat16 => 16,
            Width::Fat32 => 32,
        };
        let fat_bytes = fat_size.saturating_mul(sector);
        let entries = fat_bytes.saturating_mul(8).checked_div(fat_bits).unwrap_or(0).saturating_sub(2);
        let clusters = clusters.min(u32::try_from(entries).unwrap_or(u32::MAX)).min(0x0fff_fff4);
        Ok(Vfat {
            disk,
            width,
            cluster_size: sector.saturating_mul(bpb_sec_per_clus),
            fat: bpb_rsvd_sec_cnt.saturating_mul(sector),
            root: root_start.saturating_mul(sector),
            root_size,
            root_cluster: bpb_root_clus,
            data: data_start.saturating_mul(sector),
            clusters,
            position: Mutex::default(),
        })
    }

    /// Where a cluster of data is.
    fn cluster(&self, number: u32) -> Result<u64, Error> {
        let n = number.checked_sub(2).filter(|n| *n < self.clusters);
        let n = n.ok_or_else(|| Error::corrupt("cluster number", self.fat))?;
        Ok(self.data.saturating_add(u64::from(n).saturating_mul(self.cluster_size)))
    }

    /// What follows cluster `number` in its chain.
    fn next(&self, number: u32) -> Result<Option<u32>, Error> {
        self.cluster(number)?;
        let n = u64::from(number);
        let (entry, end) = match self.width {
            Width::Fat12 => {
                let pair = u16::from_le_bytes(
                    self.disk.metadata_array(self.fat.saturating_add(n.saturating_add(n / 2)))?,
                );
                let entry = if number.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 };
                (u32::from(entry), 0xff7)
            }
            Width::Fat16 => {
                let at = self.fat.saturating_add(n.saturating_mul(2));
                (u16::from_le_bytes(self.disk.metadata_array(at)?).into(), 0xfff7)
            }
            Width::Fat32 => {
                let at = self.fat.saturating_add(n.saturating_mul(4));
                (u32::from_le_bytes(self.disk.metadata_array(at)?) & 0x0fff_ffff, 0x0fff_fff7)
            }
        };
        match entry {
            // bad, or the chain's end
            _ if entry == end => Err(Error::corrupt("cluster chain", self.fat)),
            _ if entry > end => Ok(None),
            _ => self.cluster(entry).map(|_| Some(entry)),
        }
    }

    fn row(&self, dir: Node) -> Result<Row, Error> {
        if dir == ROOT {
            return Ok(if self.width == Width::Fat32 { Row::Chain(self.root_cluster) } else { Row::Fixed });
        }
        let bytes = self.entry(dir)?;
        let entry = Bytes::new(&bytes, "directory entry", dir.0);
        if entry.u8(11)? & ATTR_DIRECTORY == 0 {
            return Err(Error::NotADirectory);
        }
        Ok(Row::Chain(self.first_cluster(entry)?))
    }

    fn first_cluster(&self, entry: Bytes<'_>) -> Result<u32, Error> {
        let high = if self.width == Width::Fat32 { entry.le16(20)? } else { 0 };
        Ok(u32::from(high) << 16 | u32::from(entry.le16(26)?))
    }

    /// Cluster `number` of the chain that begins with `first`.
    fn nth(&self, first: u32, number: u64) -> Result<u32, Error> {
        let known = *self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.filter(|known| known.first == first && known.number <= number);
        let mut at = known.unwrap_or(Position { first, number: 0, cluster: first });
        while at.number < number {
            let next =
                self.next(at.cluster)?.ok_or_else(|| Error::corrupt("short cluster chain", self.fat))?;
            at = Position { first, number: at.number.saturating_add(1), cluster: next };
        }
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        Ok(at.cluster)
    }

    fn entry(&self, node: Node) -> Result<[u8; 32], Error> {
        self.disk.metadata_array(node.0)
    }

    fn each(&self, dir: Node, found: &mut dyn FnMut(&Found) -> ControlFlow<()>) -> Result<(), Error> {
        let row = self.row(dir)?;
        let mut name = LongName::default();
        let mut seen: u64 = 0;
        let (mut offset, mut left, mut cluster) = match row {
            Row::Fixed => (self.root, self.root_size, None),
            Row::Chain(first) => (self.cluster(first)?, self.cluster_size, Some(first)),
        };
        loop {
            if left == 0 {
                let Some(next) = cluster.map(|n| self.next(n)).transpose()?.flatten() else { return Ok(()) };
                (offset, left, cluster) = (self.cluster(next)?, self.cluster_size, Some(next));
            }
            // a chain that bites its tail ends here
            seen = seen.saturating_add(ENTRY);
            if seen > MAX_DIRECTORY.max(self.root_size) {
                return Err(Error::corrupt("directory without an end", offset));
            }
            let bytes = self.disk.metadata_array::<32>(offset)?;
            let at = offset;
            offset = offset.saturating_add(ENTRY);
            left = left.saturating_sub(ENTRY);
            let entry = Bytes::new(&bytes, "directory entry", at);
            let (first, attributes) = (entry.u8(0)?, entry.u8(11)?);
            if first == 0 {
                return Ok(());
            }
            if first == DELETED {
                name = LongName::default();
            } else if attributes & 0x3f == ATTR_LONG_NAME {
                name.push(entry)?;
            } else {
                let long = std::mem::take(&mut name).finish(&bytes);
                if attributes & ATTR_VOLUME_ID != 0 {
                    continue;
                }
                if matches!(entry.slice(0, 11)?, DOT | DOT_DOT) {
                    continue;
                }
                let short = short_name(entry)?;
                let name = long.unwrap_or_else(|| short.clone());
                if !is_name(&name) {
                    return Err(entry.corrupt());
                }
                if found(&Found { offset: at, attributes, name, short }).is_break() {
                    return Ok(());
                }
            }
        }
    }
}

impl FileSystem for Vfat {
    fn kind(&self) -> FsKind {
        FsKind::Vfat
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn stat(&self, node: Node) -> Result<Stat, Error> {
        let mut stat = Stat {
            file_type: FileType::Directory,
            permissions: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 0,
            mtime_nsec: 0,
            nlink: 1,
            rdev: (0, 0),
        };
        if node == ROOT {
            return Ok(stat);
        }
        let bytes = self.entry(node)?;
        let entry = Bytes::new(&bytes, "directory entry", node.0);
        let attributes = entry.u8(11)?;
        if attributes & ATTR_DIRECTORY == 0 {
            stat.file_type = FileType::Regular;
            stat.size = entry.le32(28)?.into();
        }
        if attributes & ATTR_READ_ONLY != 0 {
            stat.permissions = 0o555;
        }
        stat.mtime = unix_time(entry.le16(24)?, entry.le16(22)?);
        Ok(stat)
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), Error> {
        self.each(dir, &mut |found| {
            let is_dir = found.attributes & ATTR_DIRECTORY != 0;
            let file_type = if is_dir { FileType::Directory } else { FileType::Regular };
            each(Entry { name: &found.name, node: Node(found.offset), file_type: Some(file_type) })
        })
    }

    fn lookup(&self, dir: Node, name: &[u8], left: &mut u64) -> Result<Option<Node>, Error> {
        // the file that is listed under this very name, or else the first that it may mean
        let mut node = None;
        let mut spent = false;
        self.each(dir, &mut |found| {
            let Some(rest) = left.checked_sub(1) else {
                spent = true;
                return ControlFlow::Break(());
            };
            *left = rest;
            if found.name == name {
                node = Some(Node(found.offset));
                return ControlFlow::Break(());
            }
            if node.is_none() && (same(&found.name, name) || same(&found.short, name)) {
                node = Some(Node(found.offset));
            }
            ControlFlow::Continue(())
        })?;
        if spent { Err(Error::Budget(Limit::Lookup)) } else { Ok(node) }
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        if self.stat(file)?.file_type != FileType::Regular {
            return Err(Error::NotAFile);
        }
        let bytes = self.entry(file)?;
        let entry = Bytes::new(&bytes, "directory entry", file.0);
        let size = u64::from(entry.le32(28)?);
        let first = self.first_cluster(entry)?;
        if size > u64::from(self.clusters).saturating_mul(self.cluster_size) {
            return Err(Error::corrupt("file size", file.0));
        }
        let len = index(size.saturating_sub(offset)).min(buf.len());
        let mut done: usize = 0;
        while done < len {
            let at = offset.saturating_add(u64_from(done));
            let number = at.checked_div(self.cluster_size).unwrap_or(0);
            let within = at.checked_rem(self.cluster_size).unwrap_or(0);
            let n = index(self.cluster_size.saturating_sub(within)).min(len.saturating_sub(done)).max(1);
            let start = self.cluster(self.nth(first, number)?)?.saturating_add(within);
            let target = buf.get_mut(done..done.saturating_add(n)).unwrap_or_default();
            self.disk.data(start, target)?;
            done = done.saturating_add(n);
        }
        Ok(done)
    }

    fn link_target(&self, _: Node) -> Result<Vec<u8>, Error> {
        Err(Error::NotALink)
    }
}

/// Returns true if a directory may hold this name.
fn is_name(name: &[u8]) -> bool {
    let units = std::str::from_utf8(name).map_or(usize::MAX, |name| name.encode_utf16().count());
    (1..=MAX_NAME).contains(&units)
        && !matches!(name, b"." | b"..")
        && !name.contains(&b'/')
        && !name.contains(&0)
}

/// Returns true if these are the same name. The case of Latin-1 letters does not matter, as to firmware. Unicode's
/// folding would be more than case: to it `ß` is SS, and `ﬁ` FI.
fn same(a: &[u8], b: &[u8]) -> bool {
    match (std::str::from_utf8(a), std::str::from_utf8(b)) {
        (Ok(a), Ok(b)) => a.chars().map(fold).eq(b.chars().map(fold)),
        _ => a == b,
    }
}

/// The small letter; no letter outside of ASCII becomes one of it.
fn fold(c: char) -> char {
    match c {
        'À'..='Ö' | 'Ø'..='Þ' => char::from_u32(u32::from(c) | 0x20).unwrap_or(c),
        _ => c.to_ascii_lowercase(),
    }
}

/// A name in entries before the short one, last part first.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    checksum: u8,
    /// Number of the entry read last; they count down to 1.
    order: u8,
}

impl LongName {
    fn push(&mut self, entry: Bytes<'_>) -> Result<(), Error> {
        let (order, checksum) = (entry.u8(0)?, entry.u8(13)?);
        // as Linux: a row that is too long is not one
        if order & LAST_LONG_ENTRY != 0 && order & !LAST_LONG_ENTRY <= MAX_ORDER {
            *self = LongName { units: Vec::new(), checksum, order: order & !LAST_LONG_ENTRY };
        } else if self.order.checked_sub(1) == Some(order) && order != 0 && checksum == self.checksum {
            self.order = order;
        } else {
            *self = LongName::default();
            return Ok(());
        }
        let mut units = Vec::with_capacity(MAX_UNITS);
        for (at, len) in [(1, 10), (14, 12), (28, 4)] {
            units.extend(entry.slice(at, len)?.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)));
        }
        units.extend_from_slice(&self.units);
        units.truncate(MAX_UNITS);
        self.units = units;
        Ok(())
    }

    /// The name, if it is complete and belongs to this short entry.
    fn finish(self, short: &[u8; 32]) -> Option<Vec<u8>> {
        let sum = short.iter().take(11).fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        if self.order != 1 || sum != self.checksum {
            return None;
        }
        let mut name = Vec::new();
        for unit in char::decode_utf16(self.units.into_iter().take_while(|unit| *unit != 0)) {
            // as Linux: what is no character is a question mark
            let unit = unit.unwrap_or('?');
            name.extend_from_slice(unit.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Some(name)
    }
}

/// The 8.3 name, in lower case where the entry says so.
fn short_name(entry: Bytes<'_>) -> Result<Vec<u8>, Error> {
    let flags = entry.u8(12)?;
    let mut name = String::new();
    let mut part = |bytes: &[u8], lower: bool, dot: bool| {
        let len = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last.saturating_add(1));
        if len > 0 && dot {
            name.push('.');
        }
        for byte in bytes.iter().take(len) {
            let c = cp437(*byte);
            name.push(if lower { c.to_ascii_lowercase() } else { c });
        }
    };
    let mut base: [u8; 8] = entry.slice(0, 8)?.try_into().map_err(|_| entry.corrupt())?;
    // a name cannot begin with the mark of a deleted entry
    if let Some(first) = base.first_mut().filter(|first| **first == 0x05) {
        *first = DELETED;
    }
    part(&base, flags & LOWER_BASE != 0, false);
    part(entry.slice(8, 3)?, flags & LOWER_EXTENSION != 0, true);
    Ok(name.into_bytes())
}

/// Code page 437, which Linux takes for short names unless told otherwise.
fn cp437(byte: u8) -> char {
    const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
    match byte.checked_sub(0x80) {
        None => char::from(byte),
        Some(n) => UPPER.chars().nth(n.into()).unwrap_or('?'),
    }
}

/// Seconds since 1970, the time of day taken for UTC.
fn unix_time(date: u16, time: u16) -> i64 {
    let (year, month, day) = (i64::from(date >> 9), usize::from(date >> 5 & 15), i64::from(date & 31));
    const BEFORE: [i64; 13] = [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    // years count from 1980, the leap years from then on are every fourth but 2100
    let leap = i64::from(year % 4 == 0 && year != 120 && month > 2);
    let leaps = year.saturating_add(3) / 4;
    let leaps = leaps.saturating_sub(i64::from(year > 120));
    let days =
        [3652, year.saturating_mul(365), leaps, leap, BEFORE.get(month).copied().unwrap_or(0), day.max(1)];
    let days = days.iter().fold(0_i64, |sum, n| sum.saturating_add(*n)).saturating_sub(1);
    let seconds = [
        days.saturating_mul(86400),
        i64::from(time >> 11).saturating_mul(3600),
        i64::from(time >> 5 & 63).saturating_mul(60),
        i64::from(time & 31).saturating_mul(2),
    ];
    seconds.iter().fold(0_i64, |sum, n| sum.saturating_add(*n))
}

#[cfg(test)]
mod tests;
