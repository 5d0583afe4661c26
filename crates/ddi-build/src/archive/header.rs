//! The header of a member: one block, in the forms of POSIX.1-1988 (ustar), GNU tar, star and the seventh edition.

use super::fault::ArchiveFault;

pub(crate) const BLOCK: usize = 512;
/// The same, where bytes are counted.
pub(crate) const BLOCK_SIZE: u64 = 512;

/// Parts of a sparse file: where, and how many bytes.
pub(crate) type Map = Vec<(u64, u64)>;

/// Who laid it out, which matters behind byte 345.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Without a magic number: nothing is there.
    SeventhEdition,
    /// The beginning of the name.
    Ustar,
    /// The beginning of the name, and two times.
    Star,
    /// Times, and the map of a sparse file.
    Gnu,
}

/// A header whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    block: &'a [u8; BLOCK],
    form: Form,
}

impl<'a> Header<'a> {
    pub(crate) fn new(block: &'a [u8; BLOCK]) -> Result<Self, ArchiveFault> {
        let form = match &block[257..265] {
            b"ustar\x0000" if &block[508..512] == b"tar\0" => Form::Star,
            [b'u', b's', b't', b'a', b'r', 0, ..] => Form::Ustar,
            b"ustar  \0" => Form::Gnu,
            _ => Form::SeventhEdition,
        };
        let header = Self { block, form };
        let expected = header.octal(148, 8).ok_or(ArchiveFault::Checksum)?;
        let sum = |value: fn(u8) -> i64| {
            let bytes = block.iter().enumerate();
            let counted = bytes.map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
            counted.fold(0_i64, |sum, byte| sum.saturating_add(value(byte)))
        };
        // some programs add the bytes up as if they had signs
        let sums = [sum(i64::from), sum(|byte| i64::from(byte.cast_signed()))];
        match sums.contains(&expected) {
            true => Ok(header),
            false => Err(ArchiveFault::Checksum),
        }
    }

    fn field(&self, at: usize, size: usize) -> &'a [u8] {
        at.checked_add(size).and_then(|end| self.block.get(at..end)).unwrap_or_default()
    }

    /// Up to the first NUL.
    fn text(&self, at: usize, size: usize) -> &'a [u8] {
        self.field(at, size).split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Digits, with spaces or NULs around them; 0 if there are none.
    fn octal(&self, at: usize, size: usize) -> Option<i64> {
        let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
        let field = self.field(at, size);
        let start = field.iter().position(|byte| !is_blank(byte)).unwrap_or(field.len());
        let digits = field.get(start..)?;
        let end = digits.iter().position(is_blank).unwrap_or(digits.len());
        let (digits, rest) = digits.split_at_checked(end)?;
        if !rest.iter().all(is_blank) {
            return None;
        }
        digits.iter().try_fold(0_i64, |value, digit| {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
            value.checked_mul(8)?.checked_add(i64::from(digit))
        })
    }

    /// In octal digits, or in binary, big-endian, with the highest bit set and the next one for the sign.
    fn number(&self, at: usize, size: usize, field: &'static str) -> Result<i64, ArchiveFault> {
        let bytes = self.field(at, size);
        let value = match bytes.first() {
            Some(0x80) => fold(bytes, 0),
            Some(0xff) => fold(bytes, 0xff),
            _ => self.octal(at, size),
        };
        value.ok_or(ArchiveFault::Number { field })
    }

    fn unsigned(&self, at: usize, size: usize, field: &'static str) -> Result<u64, ArchiveFault> {
        u64::try_from(self.number(at, size, field)?).map_err(|_| ArchiveFault::Number { field })
    }

    fn id(&self, at: usize, field: &'static str) -> Result<u32, ArchiveFault> {
        u32::try_from(self.number(at, 8, field)?).map_err(|_| ArchiveFault::Number { field })
    }

    pub(crate) fn name(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        let prefix = match self.form {
            Form::Ustar => self.text(345, 155),
            Form::Star => self.text(345, 131),
            Form::Gnu | Form::SeventhEdition => b"",
        };
        match prefix {
            b"" => name.to_vec(),
            prefix => [prefix, b"/", name].concat(),
        }
    }

    pub(crate) fn link(&self) -> &'a [u8] {
        self.text(157, 100)
    }

    pub(crate) fn kind(&self) -> u8 {
        self.block[156]
    }

    pub(crate) fn mode(&self) -> Result<u32, ArchiveFault> {
        // some programs write the type of the file too
        Ok(self.id(100, "mode")? & 0o7777)
    }

    pub(crate) fn owner(&self) -> Result<(u32, u32), ArchiveFault> {
        Ok((self.id(108, "uid")?, self.id(116, "gid")?))
    }

    pub(crate) fn size(&self) -> Result<u64, ArchiveFault> {
        self.unsigned(124, 12, "size")
    }

    pub(crate) fn modified(&self) -> Result<i64, ArchiveFault> {
        self.number(136, 12, "mtime")
    }

    pub(crate) fn device(&self) -> Result<(u32, u32), ArchiveFault> {
        match self.form {
            Form::SeventhEdition => Ok((0, 0)),
            _ => Ok((self.id(329, "devmajor")?, self.id(337, "devminor")?)),
        }
    }

    /// The first parts of the map of a sparse file of GNU tar: whether more follow, and the size with its holes.
    pub(crate) fn sparse(&self) -> Result<(Map, bool, u64), ArchiveFault> {
        if self.form != Form::Gnu {
            return Err(ArchiveFault::Sparse { what: "its header is not one of GNU tar" });
        }
        Ok((extents(self, 386, 4)?, self.block[482] != 0, self.unsigned(483, 12, "realsize")?))
    }
}

/// A block that goes on with the map of a sparse file.
pub(crate) fn more_sparse(block: &[u8; BLOCK]) -> Result<(Map, bool), ArchiveFault> {
    let header = Header { block, form: Form::Gnu };
    Ok((extents(&header, 0, 21)?, block[504] != 0))
}

fn extents(header: &Header<'_>, at: usize, most: usize) -> Result<Map, ArchiveFault> {
    let mut found = Vec::new();
    for index in 0..most {
        let at = at.saturating_add(index.saturating_mul(24));
        // the first that is empty ends it
        if header.field(at.saturating_add(12), 1).first().is_none_or(|byte| *byte == 0) {
            break;
        }
        let offset = header.unsigned(at, 12, "offset of a part")?;
        found.push((offset, header.unsigned(at.saturating_add(12), 12, "size of a part")?));
    }
    Ok(found)
}

/// A number in binary behind its first byte; what is beyond 64 bits must be `fill`.
fn fold(bytes: &[u8], fill: u8) -> Option<i64> {
    let low = bytes.len().checked_sub(8)?;
    let (high, low) = bytes.split_at_checked(low)?;
    let filled = high.iter().skip(1).all(|byte| *byte == fill);
    let mut value = [0; 8];
    value.copy_from_slice(low);
    if high.is_empty() {
        // the first byte is the mark, and part of the number as well
        value[0] = fill;
    }
    let value = i64::from_be_bytes(value);
    (filled && (value < 0) == (fill != 0)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(put: &[(usize, &[u8])]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        for (at, bytes) in put {
            block[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    #[test]
    fn numbers_in_every_form() {
        for (field, expected) in [
            (&b"00000001750\0"[..], Some(1000)),
            (b"       1750 ", Some(1000)),
            (b"777777777777", Some(0o777_777_777_777)),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0", Some(0)),
            (b"\x80\0\0\0\0\0\0\0\0\0\0\x07", Some(7)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX as u64)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"12 34      \0", None),
            (b"8          \0", None),
            (b"-1         \0", None),
            (b"0x10       \0", None),
        ] {
            let block = with(&[(124, field), (257, b"ustar\x0000")]);
            let found = Header::new(&block).unwrap().size();
            assert_eq!(found.ok(), expected, "{field:?}");
        }
        let block = with(&[
            (136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"),
            (108, b"\x80\0\0\0\xff\0\0\0"),
        ]);
        let header = Header::new(&block).unwrap();
        assert_eq!(header.modified().unwrap(), -2);
        assert_eq!(header.owner().unwrap(), (0xff00_0000, 0));
    }

    #[test]
    fn checksums_and_forms() {
        let mut block = with(&[(0, b"name"), (345, b"above"), (257, b"ustar\x0000")]);
        assert_eq!(Header::new(&block).unwrap().name(), b"above/name");
        block[3] ^= 1;
        assert!(matches!(Header::new(&block), Err(ArchiveFault::Checksum)));
        let block = with(&[(0, b"name"), (345, b"above"), (257, b"ustar  \0")]);
        assert_eq!(Header::new(&block).unwrap().name(), b"name");
        let block = with(&[(0, b"name"), (345, &[b'a'; 150]), (257, b"ustar\x0000"), (508, b"tar\0")]);
        assert_eq!(Header::new(&block).unwrap().name().len(), 131 + 5);
        // the sum with signs
        let mut block = with(&[(0, b"\xe4")]);
        let sum: i32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { i32::from(*byte as i8) })
            .sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(Header::new(&block).unwrap().name(), b"\xe4");
    }
}
