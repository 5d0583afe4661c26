//! A disk of any size as a few pieces, and the partition table on it, field by field.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes here and there on a disk; all else is zero. Later pieces lie over earlier ones.
#[derive(Debug, Clone)]
pub(crate) struct Media {
    pub(crate) size: u64,
    pub(crate) block: u64,
    pieces: Vec<(u64, Arc<Vec<u8>>)>,
}

/// Fields of a GPT header: offset and size.
pub(crate) const SIGNATURE: (u64, usize) = (0, 8);
pub(crate) const REVISION: (u64, usize) = (8, 4);
pub(crate) const HEADER_SIZE: (u64, usize) = (12, 4);
pub(crate) const HEADER_CRC: (u64, usize) = (16, 4);
pub(crate) const MY_LBA: (u64, usize) = (24, 8);
pub(crate) const ALTERNATE_LBA: (u64, usize) = (32, 8);
pub(crate) const FIRST_USABLE: (u64, usize) = (40, 8);
pub(crate) const LAST_USABLE: (u64, usize) = (48, 8);
pub(crate) const DISK_GUID: (u64, usize) = (56, 8);
pub(crate) const ARRAY_LBA: (u64, usize) = (72, 8);
pub(crate) const COUNT: (u64, usize) = (80, 4);
pub(crate) const ENTRY_SIZE: (u64, usize) = (84, 4);
pub(crate) const ARRAY_CRC: (u64, usize) = (88, 4);

/// Fields of an entry.
pub(crate) const TYPE: (u64, usize) = (0, 8);
pub(crate) const GUID: (u64, usize) = (16, 8);
pub(crate) const START: (u64, usize) = (32, 8);
pub(crate) const END: (u64, usize) = (40, 8);
pub(crate) const ATTRIBUTES: (u64, usize) = (48, 8);
pub(crate) const NAME: u64 = 56;

/// Which copy of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copy {
    Primary,
    Backup,
}

pub(crate) const BOTH: [Copy; 2] = [Copy::Primary, Copy::Backup];

impl Media {
    pub(crate) fn new(size: u64) -> Self {
        Media { size, block: 512, pieces: Vec::new() }
    }

    pub(crate) fn put(&mut self, offset: u64, bytes: impl Into<Vec<u8>>) {
        self.pieces.push((offset, Arc::new(bytes.into())));
    }

    #[must_use]
    pub(crate) fn with(mut self, offset: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.put(offset, bytes);
        self
    }

    pub(crate) fn get(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for (at, piece) in &self.pieces {
            let (start, end) = (offset.max(*at), (offset + len as u64).min(at + piece.len() as u64));
            if start < end {
                bytes[(start - offset) as usize..(end - offset) as usize]
                    .copy_from_slice(&piece[(start - at) as usize..(end - at) as usize]);
            }
        }
        bytes
    }

    /// All of it, for small ones.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.get(0, self.size as usize)
    }

    /// Flips bits of one byte.
    #[must_use]
    pub(crate) fn flip(mut self, offset: u64) -> Self {
        let byte = self.get(offset, 1)[0];
        self.put(offset, [byte ^ 0x10]);
        self
    }

    pub(crate) fn write(&self, path: &Path) {
        let file = File::create(path).unwrap();
        for (offset, piece) in &self.pieces {
            let len = self.size.saturating_sub(*offset).min(piece.len() as u64) as usize;
            file.write_all_at(&piece[..len], *offset).unwrap();
        }
        file.set_len(self.size).unwrap();
    }

    // the partition table

    pub(crate) fn header(&self, copy: Copy) -> u64 {
        match copy {
            Copy::Primary => self.block,
            Copy::Backup => self.size - self.block,
        }
    }

    pub(crate) fn field(&self, copy: Copy, (offset, size): (u64, usize)) -> u64 {
        number(&self.get(self.header(copy) + offset, size))
    }

    /// Changes a field of one header, and repairs nothing.
    pub(crate) fn set_raw(&mut self, copy: Copy, (offset, size): (u64, usize), value: u64) {
        self.put(self.header(copy) + offset, &value.to_le_bytes()[..size]);
    }

    /// Changes a field of one header, and repairs its CRC.
    #[must_use]
    pub(crate) fn set(mut self, copy: Copy, field: (u64, usize), value: u64) -> Self {
        self.set_raw(copy, field, value);
        self.repair_header(copy);
        self
    }

    /// The same in both headers.
    #[must_use]
    pub(crate) fn set_both(self, field: (u64, usize), value: u64) -> Self {
        self.set(Copy::Primary, field, value).set(Copy::Backup, field, value)
    }

    /// Changes bytes of the entry of partition `number` (from 1) in one array, and repairs the CRCs.
    #[must_use]
    pub(crate) fn entry_bytes(mut self, copy: Copy, number: u64, at: u64, bytes: &[u8]) -> Self {
        let array = self.field(copy, ARRAY_LBA) * self.block;
        let size = self.field(copy, ENTRY_SIZE);
        self.put(array + (number - 1) * size + at, bytes);
        self.repair(copy);
        self
    }

    #[must_use]
    pub(crate) fn entry(self, copy: Copy, number: u64, (at, size): (u64, usize), value: u64) -> Self {
        self.entry_bytes(copy, number, at, &value.to_le_bytes()[..size])
    }

    #[must_use]
    pub(crate) fn entry_both(self, number: u64, field: (u64, usize), value: u64) -> Self {
        self.entry(Copy::Primary, number, field, value).entry(Copy::Backup, number, field, value)
    }

    /// Where partition `number` is: first and last LBA.
    pub(crate) fn lbas(&self, number: u64) -> (u64, u64) {
        let entry = self.field(Copy::Primary, ARRAY_LBA) * self.block
            + (number - 1) * self.field(Copy::Primary, ENTRY_SIZE);
        let field = |(at, size)| crate::support::hostile::media::number(&self.get(entry + at, size));
        (field(START), field(END))
    }

    /// Where partition `number` starts, in bytes.
    pub(crate) fn offset(&self, number: u64) -> u64 {
        self.lbas(number).0 * self.block
    }

    pub(crate) fn repair_header(&mut self, copy: Copy) {
        let size = (self.field(copy, HEADER_SIZE) as usize).clamp(92, self.block as usize);
        self.set_raw(copy, HEADER_CRC, 0);
        let crc = crc32(&self.get(self.header(copy), size));
        self.set_raw(copy, HEADER_CRC, u64::from(crc));
    }

    /// Repairs both CRCs of one copy.
    pub(crate) fn repair(&mut self, copy: Copy) {
        let len = self.field(copy, COUNT) * self.field(copy, ENTRY_SIZE);
        let array = self.get(self.field(copy, ARRAY_LBA) * self.block, len as usize);
        self.set_raw(copy, ARRAY_CRC, u64::from(crc32(&array)));
        self.repair_header(copy);
    }
}

pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn crc_table(polynomial: u32) -> [u32; 256] {
    std::array::from_fn(|i| {
        (0..8).fold(i as u32, |crc, _| if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 })
    })
}

fn crc(table: &[u32; 256], bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| table[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

/// That of GPT, gzip and xz.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    static TABLE: std::sync::LazyLock<[u32; 256]> = std::sync::LazyLock::new(|| crc_table(0xedb8_8320));
    crc(&TABLE, bytes)
}

/// That of btrfs.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    static TABLE: std::sync::LazyLock<[u32; 256]> = std::sync::LazyLock::new(|| crc_table(0x82f6_3b78));
    crc(&TABLE, bytes)
}
