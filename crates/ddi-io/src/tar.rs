//! Tar streams (POSIX.1-2001, *pax Interchange Format*): names of any length and any bytes, times to the nanosecond, extended
//! attributes, and sparse files as GNU tar has them.

use std::io::{self, Write};
use std::ops::Range;

/// Everything in a tar stream comes in blocks of so many bytes.
const BLOCK: usize = 512;
/// Bytes of a name in the header itself.
const NAME: usize = 100;
/// Larger numbers have no room in eleven octal digits.
const MAX_OCTAL: u64 = 0o777_7777_7777;
/// Larger numbers have no room in seven.
const MAX_SMALL: u32 = 0o777_7777;

/// One file of a tar stream.
#[derive(Debug, Clone, Copy)]
pub struct TarEntry<'a> {
    /// Its name: a path without a slash at either end; a slash is put behind that of a directory. Empty for the directory that
    /// all the others are in.
    pub path: &'a [u8],
    /// What it is.
    pub kind: TarKind<'a>,
    /// Permissions, with setuid, setgid and sticky bit.
    pub mode: u32,
    /// Number of its owner, and of its group.
    pub owner: (u32, u32),
    /// Seconds since 1970, and nanoseconds after that second.
    pub mtime: (i64, u32),
    /// Extended attributes: full names such as `user.comment`, and values.
    pub xattrs: &'a [(&'a [u8], &'a [u8])],
}

/// What a [`TarEntry`] is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum TarKind<'a> {
    /// A regular file; so many bytes of [`content`](TarWriter::content) follow.
    Regular {
        /// Bytes of content.
        size: u64,
    },
    /// A regular file with holes; the [`content`](TarWriter::content) that follows is that of the places with data.
    Sparse {
        /// Bytes of the file, holes included.
        size: u64,
        /// Where there is data: in order, apart from each other, inside of the file.
        data: &'a [Range<u64>],
    },
    /// A directory.
    Directory,
    /// A symbolic link, and where it leads.
    Symlink(&'a [u8]),
    /// Another name of a file that came before, and the path of that.
    HardLink(&'a [u8]),
    /// A FIFO.
    Fifo,
    /// A character device.
    CharDevice {
        /// Which driver.
        major: u32,
        /// Which of its devices.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Which driver.
        major: u32,
        /// Which of its devices.
        minor: u32,
    },
}

/// Writes a tar stream. Without [`finish`](Self::finish) the stream has no end, and whoever reads it knows that it is not
/// whole.
///
/// ```
/// use ddi_io::{TarEntry, TarKind, TarWriter};
///
/// let mut tar = TarWriter::new(Vec::new());
/// tar.start(&TarEntry {
///     path: b"etc/hostname",
///     kind: TarKind::Regular { size: 5 },
///     mode: 0o644,
///     owner: (0, 0),
///     mtime: (1_700_000_000, 0),
///     xattrs: &[],
/// })?;
/// tar.content(b"moon\n")?;
/// let bytes = tar.finish()?;
/// assert_eq!(bytes.len(), 4 * 512); // header, content, two blocks of zeros
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TarWriter<W> {
    out: W,
    /// Bytes of content that are still to come.
    left: u64,
    /// Zeros behind that.
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    /// A stream that begins with the next byte of `out`.
    pub fn new(out: W) -> Self {
        TarWriter { out, left: 0, padding: 0 }
    }

    /// Begins with the next file.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the content of the one before is not complete, or the places of a sparse file are
    /// not as they should be; what `out` returns.
    pub fn start(&mut self, entry: &TarEntry<'_>) -> io::Result<()> {
        self.check_complete()?;
        let mut name = entry.path.to_vec();
        if matches!(entry.kind, TarKind::Directory) {
            // the root is `./`
            name.extend(if name.is_empty() { &b"./"[..] } else { b"/" });
        }
        let mut block = Block { mode: entry.mode, owner: entry.owner, ..Block::default() };
        let mut records = Vec::new();
        let mut map = Vec::new();
        let mut link: &[u8] = b"";
        let mut size = 0;
        (block.kind, block.device) = match entry.kind {
            TarKind::Regular { size: whole } => {
                size = whole;
                (b'0', (0, 0))
            }
            TarKind::Sparse { size: whole, data } => {
                let (text, stored) = sparse_map(whole, data)?;
                size = stored;
                map = text;
                for (key, value) in [
                    (&b"major"[..], &b"1"[..]),
                    (b"minor", b"0"),
                    (b"name", &name),
                    (b"realsize", whole.to_string().as_bytes()),
                ] {
                    records.extend(record(&[b"GNU.sparse.", key].concat(), value));
                }
                let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                // what those see that know nothing of holes; cut where it does not fit, as the whole one is above
                let mut shown = [b"GNUSparseFile.0/", base].concat();
                shown.truncate(NAME);
                name = shown;
                (b'0', (0, 0))
            }
            TarKind::Directory => (b'5', (0, 0)),
            TarKind::Symlink(target) => {
                link = target;
                (b'2', (0, 0))
            }
            TarKind::HardLink(first) => {
                link = first;
                (b'1', (0, 0))
            }
            TarKind::Fifo => (b'6', (0, 0)),
            TarKind::CharDevice { major, minor } => (b'3', (major, minor)),
            TarKind::BlockDevice { major, minor } => (b'4', (major, minor)),
        };
        (block.name, block.link, block.size) = (&name, link, size);
        block.mtime =
            u64::try_from(entry.mtime.0).ok().filter(|seconds| *seconds <= MAX_OCTAL).unwrap_or_default();
        records.extend(block.records());
        records.extend(time_record(entry.mtime));
        for (name, value) in entry.xattrs {
            records.extend(record(&[b"SCHILY.xattr.", &*xattr_keyword(name)].concat(), value));
        }
        let is_text = !records.iter().any(|byte| *byte >= 0x80)
            || [entry.path, link].into_iter().all(|name| std::str::from_utf8(name).is_ok());
        self.extended_header(&records, is_text)?;
        self.out.write_all(&block.bytes())?;
        self.out.write_all(&map)?;
        self.left = size.saturating_sub(u64::try_from(map.len()).unwrap_or_default());
        self.padding = padding(size);
        self.pad_if_complete()
    }

    /// What belongs to the next file only, and has no room in its header.
    fn extended_header(&mut self, records: &[u8], is_text: bool) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        // text is UTF-8 unless this says that it may be any bytes
        let charset = if is_text { Vec::new() } else { record(b"hdrcharset", b"BINARY") };
        let size = u64::try_from(charset.len().saturating_add(records.len())).unwrap_or_default();
        let block = Block { name: b"PaxHeader", mode: 0o644, size, kind: b'x', ..Block::default() };
        self.out.write_all(&block.bytes())?;
        self.out.write_all(&charset)?;
        self.out.write_all(records)?;
        self.out.write_all(zeros(padding(size)))
    }

    /// The next bytes of the content.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if these are more than were announced; what `out` returns.
    pub fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let left = self.left.checked_sub(len);
        self.left = left.ok_or_else(|| invalid("more content than was announced"))?;
        self.out.write_all(bytes)?;
        self.pad_if_complete()
    }

    fn pad_if_complete(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Ok(());
        }
        self.out.write_all(zeros(std::mem::take(&mut self.padding)))
    }

    fn check_complete(&self) -> io::Result<()> {
        if self.left > 0 { Err(invalid("less content than was announced")) } else { Ok(()) }
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the content of the last file is not complete; what `out` returns.
    pub fn finish(mut self) -> io::Result<W> {
        self.check_complete()?;
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Bytes up to the next block.
fn padding(size: u64) -> usize {
    usize::try_from(size.wrapping_neg() % 512).unwrap_or_default()
}

fn zeros(count: usize) -> &'static [u8] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    ZEROS.get(..count).unwrap_or_default()
}

/// Where the data of a sparse file belongs, as it comes before the data (GNU tar, format 1.0), and the bytes of both.
fn sparse_map(size: u64, data: &[Range<u64>]) -> io::Result<(Vec<u8>, u64)> {
    let mut at = 0;
    let mut sum = 0_u64;
    let mut lines = String::new();
    let mut count = 0_usize;
    let mut line = |offset: u64, len: u64| {
        lines.push_str(&format!("{offset}\n{len}\n"));
        count = count.saturating_add(1);
    };
    for place in data {
        let len = place.end.checked_sub(place.start).filter(|_| place.start >= at && place.end <= size);
        let len = len.ok_or_else(|| invalid("places of a sparse file that are out of order"))?;
        (at, sum) = (place.end, sum.saturating_add(len));
        line(place.start, len);
    }
    if at < size || size == 0 {
        // it ends with a hole
        line(size, 0);
    }
    let mut map = format!("{count}\n{lines}").into_bytes();
    let len = u64::try_from(map.len()).unwrap_or_default();
    map.extend_from_slice(zeros(padding(len)));
    let stored = sum.saturating_add(u64::try_from(map.len()).unwrap_or_default());
    Ok((map, stored))
}

/// `LENGTH name=value\n`, where the length counts its own digits.
fn record(name: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = name.len().saturating_add(value.len()).saturating_add(3);
    let mut length = rest;
    loop {
        let next = rest.saturating_add(length.to_string().len());
        if next == length {
            break;
        }
        length = next;
    }
    [length.to_string().as_bytes(), b" ", name, b"=", value, b"\n"].concat()
}

/// A name of an attribute inside of a keyword, which ends at the first `=`: written as GNU tar reads it. A `%` stays as it is
/// where that cannot be taken for one of its own, as others know nothing of this.
fn xattr_keyword(name: &[u8]) -> Vec<u8> {
    let mut keyword = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, behind)) = rest.split_first() {
        match byte {
            b'=' => keyword.extend_from_slice(b"%3D"),
            b'%' if behind.starts_with(b"3D") || behind.starts_with(b"25") => {
                keyword.extend_from_slice(b"%25")
            }
            byte => keyword.push(*byte),
        }
        rest = behind;
    }
    keyword
}

/// A time that has no room in the header: not whole, before 1970 or far from now.
fn time_record((seconds, nanoseconds): (i64, u32)) -> Vec<u8> {
    let fits = u64::try_from(seconds).is_ok_and(|seconds| seconds <= MAX_OCTAL);
    let text = match nanoseconds {
        0 if fits => return Vec::new(),
        0 => seconds.to_string(),
        // nanoseconds count forward from the second, digits behind the point away from zero
        more if seconds < 0 => {
            let whole = seconds.saturating_add(1);
            let sign = if whole == 0 { "-" } else { "" };
            format!("{sign}{whole}.{:09}", 1_000_000_000_u32.saturating_sub(more))
        }
        more => format!("{seconds}.{more:09}"),
    };
    record(b"mtime", text.as_bytes())
}

/// The header block of one file.
#[derive(Default)]
struct Block<'a> {
    name: &'a [u8],
    mode: u32,
    owner: (u32, u32),
    size: u64,
    mtime: u64,
    kind: u8,
    link: &'a [u8],
    device: (u32, u32),
}

impl Block<'_> {
    /// What has no room in it.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        if self.name.len() > NAME {
            records.extend(record(b"path", self.name));
        }
        if self.link.len() > NAME {
            records.extend(record(b"linkpath", self.link));
        }
        if self.size > MAX_OCTAL {
            records.extend(record(b"size", self.size.to_string().as_bytes()));
        }
        for (name, value) in [(&b"uid"[..], self.owner.0), (b"gid", self.owner.1)] {
            if value > MAX_SMALL {
                records.extend(record(name, value.to_string().as_bytes()));
            }
        }
        records
    }

    fn bytes(&self) -> [u8; BLOCK] {
        let mut bytes = [0; BLOCK];
        let mut put = |offset: usize, size: usize, value: &[u8]| {
            let end = offset.saturating_add(size.min(value.len()));
            let value = value.get(..size.min(value.len())).unwrap_or_default();
            if let Some(field) = bytes.get_mut(offset..end) {
                field.copy_from_slice(value);
            }
        };
        // what has no room is in a record
        let small = |value: u32| format!("{:07o}", if value > MAX_SMALL { 0 } else { value });
        let large = |value: u64| format!("{:011o}", if value > MAX_OCTAL { 0 } else { value });
        put(0, NAME, self.name);
        put(100, 8, small(self.mode).as_bytes());
        put(108, 8, small(self.owner.0).as_bytes());
        put(116, 8, small(self.owner.1).as_bytes());
        put(124, 12, large(self.size).as_bytes());
        put(136, 12, large(self.mtime).as_bytes());
        put(148, 8, b"        ");
        put(156, 1, &[self.kind]);
        put(157, NAME, self.link);
        put(257, 8, b"ustar\x0000");
        put(329, 8, &device_number(self.device.0));
        put(337, 8, &device_number(self.device.1));
        let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        if let Some(field) = bytes.get_mut(148..156) {
            field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        bytes
    }
}

/// Octal digits; where these are not enough, binary, as GNU tar has it. There is no record for it that all know.
fn device_number(number: u32) -> Vec<u8> {
    if number <= MAX_SMALL {
        return format!("{number:07o}").into_bytes();
    }
    [&[0x80, 0, 0, 0][..], &number.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_themselves() {
        assert_eq!(record(b"path", b"abc"), b"12 path=abc\n");
        // the length grows by a digit because of itself
        assert_eq!(record(b"a", &[b'b'; 93]).len(), 99);
        assert_eq!(record(b"a", &[b'b'; 94]).len(), 101);
        for size in 0..2000 {
            let record = record(b"k", &vec![b'v'; size]);
            let text = String::from_utf8(record.clone()).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse::<usize>().unwrap(), record.len());
        }
    }

    #[test]
    fn times() {
        let text = |time| String::from_utf8(time_record(time)).unwrap();
        assert_eq!(text((0, 0)), "");
        assert_eq!(text((1 << 33, 0)), "20 mtime=8589934592\n");
        assert_eq!(text((5, 7)), "21 mtime=5.000000007\n");
        assert_eq!(text((-1, 0)), "12 mtime=-1\n");
        // a quarter of a second before 1970, and one and three quarters
        assert_eq!(text((-1, 750_000_000)), "22 mtime=-0.250000000\n");
        assert_eq!(text((-2, 250_000_000)), "22 mtime=-1.750000000\n");
    }

    #[test]
    fn names_of_attributes() {
        for (name, keyword) in [
            (&b"user.a"[..], &b"user.a"[..]),
            (b"user.a=b", b"user.a%3Db"),
            (b"user.100%", b"user.100%"),
            (b"user.%3D%25%2", b"user.%253D%2525%2"),
        ] {
            assert_eq!(xattr_keyword(name), keyword);
        }
    }

    #[test]
    fn a_sparse_map_says_how_many_places_there_are() {
        let map = |size, data: &[(u64, u64)]| {
            let data: Vec<_> = data.iter().map(|(start, end)| *start..*end).collect();
            let (map, stored) = sparse_map(size, &data)?;
            assert_eq!(map.len(), 512);
            let text = String::from_utf8(map).unwrap();
            io::Result::Ok((text.trim_end_matches('\0').to_owned(), stored - 512))
        };
        assert_eq!(map(10, &[(2, 5)]).unwrap(), ("2\n2\n3\n10\n0\n".to_owned(), 3));
        assert_eq!(map(10, &[(0, 1), (9, 10)]).unwrap(), ("2\n0\n1\n9\n1\n".to_owned(), 2));
        assert_eq!(map(10, &[]).unwrap(), ("1\n10\n0\n".to_owned(), 0));
        for data in [&[(5, 2)][..], &[(0, 11)], &[(4, 6), (5, 7)]] {
            assert_eq!(map(10, data).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    fn entry(size: u64) -> TarEntry<'static> {
        TarEntry {
            path: b"a",
            kind: TarKind::Regular { size },
            mode: 0,
            owner: (0, 0),
            mtime: (0, 0),
            xattrs: &[],
        }
    }

    #[test]
    fn content_is_as_long_as_was_announced() {
        let mut tar = TarWriter::new(Vec::new());
        tar.start(&entry(3)).unwrap();
        assert_eq!(tar.content(b"abcd").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        tar.content(b"ab").unwrap();
        assert_eq!(tar.start(&entry(0)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        tar.content(b"c").unwrap();
        tar.start(&entry(0)).unwrap();
        tar.start(&entry(512)).unwrap();
        tar.content(&[1; 512]).unwrap();
        assert_eq!(tar.finish().unwrap().len(), 7 * 512);
        let mut tar = TarWriter::new(Vec::new());
        tar.start(&entry(3)).unwrap();
        assert_eq!(tar.finish().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn numbers_without_room_are_in_records_or_binary() {
        let mut tar = TarWriter::new(Vec::new());
        let kind = TarKind::CharDevice { major: 1, minor: u32::MAX };
        tar.start(&TarEntry { kind, owner: (u32::MAX, 0o777_7777), ..entry(0) }).unwrap();
        let bytes = tar.finish().unwrap();
        assert_eq!(&bytes[512..531], b"18 uid=4294967295\n\0");
        let header = &bytes[1024..1536];
        assert_eq!(&header[108..124], b"0000000\x007777777\0");
        assert_eq!(&header[329..345], b"0000001\0\x80\0\0\0\xff\xff\xff\xff");
    }
}
