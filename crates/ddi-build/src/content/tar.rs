//! A tree as a tar stream (POSIX.1-2001, *pax Interchange Format*), as mkfs.erofs and mksquashfs read it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::OFlags;

use super::tree::{Entry, Key, Kind, Tree};
use crate::error::{Error, SourceFault, ToolFault};

const BLOCK: usize = 512;
const PIECE: usize = 256 << 10;
/// Larger numbers have no room in eleven octal digits.
const MAX_OCTAL: u64 = 0o777_7777_7777;

fn broken(error: io::Error) -> Error {
    Error::Tool { name: "tar stream", fault: ToolFault::Run { error } }
}

impl Tree {
    /// Writes all files. Times after `epoch` become it, and those of what was made are it.
    pub(crate) fn write_tar(&self, epoch: u64, out: &mut dyn Write) -> Result<(), Error> {
        let mut links: HashMap<(usize, u64, u64), &Key> = HashMap::new();
        let mut piece = vec![0_u8; PIECE];
        for (key, entry) in self.entries() {
            let first = match &entry.kind {
                Kind::File { link: Some(link), .. } => {
                    Some(*links.entry(*link).or_insert(key)).filter(|first| *first != key)
                }
                _ => None,
            };
            header(key, entry, first, epoch, out).map_err(broken)?;
            if let (Kind::File { root, path, size, .. }, None) = (&entry.kind, first) {
                let shown = root.show(OsStr::from_bytes(path));
                let fail = |fault| Error::Changed { path: shown.clone(), fault };
                let io = |error| fail(SourceFault::Io(error));
                let mut file = root.open_at(&**path, OFlags::RDONLY | OFlags::NOFOLLOW).map_err(io)?;
                let mut left = *size;
                while left > 0 {
                    let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                    let Some(buf) = piece.get_mut(..want) else { break };
                    file.read_exact(buf).map_err(|error| match error.kind() {
                        io::ErrorKind::UnexpectedEof => fail(SourceFault::Shrank),
                        _ => io(error),
                    })?;
                    out.write_all(buf).map_err(broken)?;
                    left = left.saturating_sub(u64::try_from(want).unwrap_or(left));
                }
                let now = file.metadata().map_err(io)?;
                if now.len() != *size {
                    return Err(fail(SourceFault::Grew));
                }
                pad(*size, out).map_err(broken)?;
            }
        }
        out.write_all(&[0; 2 * BLOCK]).and_then(|()| out.flush()).map_err(broken)
    }
}

/// Fills up to the next block.
fn pad(size: u64, out: &mut dyn Write) -> io::Result<()> {
    let rest = usize::try_from(size % 512).unwrap_or_default();
    match rest {
        0 => Ok(()),
        rest => out.write_all([0; BLOCK].get(rest..).unwrap_or_default()),
    }
}

fn header(key: &Key, entry: &Entry, first: Option<&Key>, epoch: u64, out: &mut dyn Write) -> io::Result<()> {
    let as_path =
        |key: &[u8]| key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect::<Vec<u8>>();
    let mut name = as_path(key);
    if matches!(entry.kind, Kind::Directory) {
        // the root is `./`
        name.extend(if name.is_empty() { &b"./"[..] } else { b"/" });
    }
    let (kind, link, size, device) = match (&entry.kind, first) {
        (_, Some(first)) => (b'1', as_path(first), 0, (0, 0)),
        (Kind::File { size, .. }, None) => (b'0', Vec::new(), *size, (0, 0)),
        (Kind::Directory, None) => (b'5', Vec::new(), 0, (0, 0)),
        (Kind::Symlink(target), None) => (b'2', target.clone(), 0, (0, 0)),
        (Kind::Fifo, None) => (b'6', Vec::new(), 0, (0, 0)),
        (Kind::Device { is_block, major, minor }, None) => {
            (if *is_block { b'4' } else { b'3' }, Vec::new(), 0, (*major, *minor))
        }
    };
    let latest = i64::try_from(epoch).unwrap_or(i64::MAX);
    let (seconds, nanoseconds) = match entry.mtime {
        Some((seconds, nanoseconds)) if seconds < latest => (seconds, nanoseconds),
        _ => (latest, 0),
    };
    let mut records = Vec::new();
    let mut record = |name: &str, value: &[u8]| records.extend(pax_record(name.as_bytes(), value));
    if name.len() > 100 {
        record("path", &name);
    }
    if link.len() > 100 {
        record("linkpath", &link);
    }
    if size > MAX_OCTAL {
        record("size", size.to_string().as_bytes());
    }
    for (name, value) in [("uid", entry.owner.0), ("gid", entry.owner.1)] {
        if value > 0o777_7777 {
            record(name, value.to_string().as_bytes());
        }
    }
    let whole = u64::try_from(seconds).ok().filter(|seconds| *seconds <= MAX_OCTAL);
    if nanoseconds > 0 || whole.is_none() {
        let text = match nanoseconds {
            0 => seconds.to_string(),
            // what comes behind the point is added, also to a time before 1970
            more if seconds < 0 => {
                let whole = seconds.saturating_add(1);
                let sign = if whole == 0 { "-" } else { "" };
                format!("{sign}{whole}.{:09}", 1_000_000_000_u32.saturating_sub(more))
            }
            more => format!("{seconds}.{more:09}"),
        };
        record("mtime", text.as_bytes());
    }
    for (name, value) in &entry.xattrs {
        let full = [b"SCHILY.xattr.".as_slice(), name].concat();
        records.extend(pax_record(&full, value));
    }
    if !records.is_empty() {
        let size = u64::try_from(records.len()).unwrap_or_default();
        let block = Block { name: b"PaxHeader", mode: 0o644, size, kind: b'x', ..Block::default() };
        out.write_all(&block.bytes())?;
        out.write_all(&records)?;
        pad(size, out)?;
    }
    let block = Block {
        name: &name,
        mode: entry.mode,
        owner: entry.owner,
        size,
        mtime: whole.unwrap_or_default(),
        kind,
        link: &link,
        device,
    };
    out.write_all(&block.bytes())
}

/// `LENGTH name=value\n`, where the length counts its own digits.
fn pax_record(name: &[u8], value: &[u8]) -> Vec<u8> {
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
    fn bytes(&self) -> [u8; BLOCK] {
        let mut bytes = [0; BLOCK];
        let mut put = |offset: usize, size: usize, value: &[u8]| {
            let end = offset.saturating_add(size.min(value.len()));
            let value = value.get(..size.min(value.len())).unwrap_or_default();
            if let Some(field) = bytes.get_mut(offset..end) {
                field.copy_from_slice(value);
            }
        };
        let small = |value: u32| format!("{:07o}", if value > 0o777_7777 { 0 } else { value });
        let large = |value: u64| format!("{:011o}", if value > MAX_OCTAL { 0 } else { value });
        put(0, 100, self.name);
        put(100, 8, small(self.mode).as_bytes());
        put(108, 8, small(self.owner.0).as_bytes());
        put(116, 8, small(self.owner.1).as_bytes());
        put(124, 12, large(self.size).as_bytes());
        put(136, 12, large(self.mtime).as_bytes());
        put(148, 8, b"        ");
        put(156, 1, &[self.kind]);
        put(157, 100, self.link);
        put(257, 8, b"ustar\x0000");
        put(329, 8, small(self.device.0).as_bytes());
        put(337, 8, small(self.device.1).as_bytes());
        let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        if let Some(field) = bytes.get_mut(148..156) {
            field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_themselves() {
        assert_eq!(pax_record(b"path", b"abc"), b"12 path=abc\n");
        // the length grows by a digit because of itself
        assert_eq!(pax_record(b"a", &[b'b'; 93]).len(), 99);
        assert_eq!(pax_record(b"a", &[b'b'; 94]).len(), 101);
        for size in 0..2000 {
            let record = pax_record(b"k", &vec![b'v'; size]);
            let text = String::from_utf8(record.clone()).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse::<usize>().unwrap(), record.len());
        }
    }
}
