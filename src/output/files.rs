//! What `ddi ls`, `cat` and `mtree` print.

use std::fmt::Write as _;
use std::io::{self, StdoutLock, Write};
use std::sync::atomic::Ordering;

use anyhow::Context;
use ddi_core::Assurance;
use ddi_core::json::FileEntry;
use ddi_fs::{Error, FileType, Place, Stat, Vfs, Walk};
use sha2::{Digest, Sha256};

use super::{ANSWERED, escape_json, hex, shown_name};

/// How files are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One name a line.
    Names,
    /// Names as they are, each with a NUL behind it.
    Null,
    /// As `ls -l`.
    Long,
    /// As `systemd-dissect --mtree`.
    Mtree,
    /// One array.
    Json,
}

/// One file.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// From where the listing began; empty for that place itself.
    pub(crate) path: &'a [u8],
    pub(crate) stat: Option<&'a Stat>,
    /// Where a symbolic link leads.
    pub(crate) target: Option<&'a [u8]>,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) assurance: Assurance,
    /// Why something of it is missing.
    pub(crate) error: Option<&'a Error>,
}

/// Bytes on their way to stdout. That nobody reads on is no error, and ends it.
#[derive(Debug)]
pub(crate) struct Bytes {
    stdout: io::BufWriter<StdoutLock<'static>>,
    closed: bool,
    failed: Option<io::Error>,
}

impl Bytes {
    pub(crate) fn new() -> Self {
        let stdout = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
        Bytes { stdout, closed: false, failed: None }
    }

    /// An error says that it makes no sense to go on.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let written = self.stdout.write_all(bytes);
        self.note(written)
    }

    fn note(&mut self, written: io::Result<()>) -> Result<(), ()> {
        written.map_err(|error| {
            self.closed = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.failed = Some(error);
            }
        })
    }

    /// Returns true if nobody takes any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        if !self.closed {
            let flushed = self.stdout.flush();
            let _ = self.note(flushed);
        }
        match self.failed.take() {
            Some(error) => Err(error).context("cannot write to standard output"),
            None => Ok(()),
        }
    }
}

/// A list that is printed as it comes.
#[derive(Debug)]
pub(crate) struct Lines {
    shape: Shape,
    bytes: Bytes,
    is_first: bool,
}

impl Lines {
    pub(crate) fn new(shape: Shape) -> Self {
        Lines { shape, bytes: Bytes::new(), is_first: true }
    }

    /// Prints the line of one file; nothing, if it cannot be told and the shape has no words for that.
    pub(crate) fn entry(&mut self, entry: &Entry<'_>) -> anyhow::Result<()> {
        self.begin();
        if self.shape == Shape::Null {
            return match self.bytes.write(&[entry.path, b"\0"].concat()) {
                Ok(()) => Ok(()),
                Err(()) => self.bytes.finish(),
            };
        }
        let line = match self.shape {
            Shape::Names => Some(shown_name(entry.path)),
            Shape::Null => None,
            Shape::Long => entry.stat.map(|stat| long(entry, stat)),
            Shape::Mtree => entry.stat.map(|stat| mtree(entry, stat)),
            Shape::Json => Some(format!(
                "{}{}",
                if self.is_first { "[\n" } else { ",\n" },
                escape_json(&document(entry).to_json().to_string())
            )),
        };
        let Some(mut line) = line else { return Ok(()) };
        if self.shape != Shape::Json {
            line.push('\n');
        }
        self.is_first = false;
        match self.bytes.write(line.as_bytes()) {
            Ok(()) => Ok(()),
            Err(()) => self.bytes.finish(),
        }
    }

    /// From here on the array is the document.
    fn begin(&self) {
        if self.shape == Shape::Json {
            ANSWERED.store(true, Ordering::Relaxed);
        }
    }

    /// Returns true if nobody takes any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.bytes.is_closed()
    }

    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.begin();
        if self.shape == Shape::Json && !self.bytes.is_closed() {
            let _ = self.bytes.write(if self.is_first { b"[]\n" } else { b"\n]\n" });
        }
        self.bytes.finish()
    }
}

/// Mode, owner, group, size or device, time, name.
fn long(entry: &Entry<'_>, stat: &Stat) -> String {
    let size = match stat.file_type {
        FileType::CharDevice | FileType::BlockDevice => format!("{},{}", stat.rdev.0, stat.rdev.1),
        _ => stat.size.to_string(),
    };
    let mut line = format!(
        "{} {:>5} {:>5} {size:>10} {} {}",
        mode(stat),
        stat.uid,
        stat.gid,
        stat.mtime_utc(),
        shown_name(entry.path)
    );
    if let Some(target) = entry.target {
        let _ = write!(line, " -> {}", shown_name(target));
    }
    line
}

/// `drwxr-xr-x`.
fn mode(stat: &Stat) -> String {
    let mut text = String::from(match stat.file_type {
        FileType::Regular => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::CharDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
    });
    // the special bit of each class, and how it is written with and without the right to execute
    for (shift, special, letters) in [(6, 0o4000, "sS"), (3, 0o2000, "sS"), (0, 0o1000, "tT")] {
        let bits = stat.permissions >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (stat.permissions & special != 0, bits & 1 != 0) {
            (true, executable) => letters.as_bytes()[usize::from(!executable)].into(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// A line of `systemd-dissect --mtree`: permissions without setuid and the like, no sum for an empty file.
fn mtree(entry: &Entry<'_>, stat: &Stat) -> String {
    let mut line = String::from(".");
    if !entry.path.is_empty() {
        let _ = write!(line, "/{}", mtree_escape(entry.path));
    }
    if stat.file_type == FileType::Directory {
        line.push('/');
    }
    let _ = write!(line, " type={}", stat.file_type);
    if stat.file_type != FileType::Symlink {
        let _ = write!(line, " mode={:04o}", stat.permissions & 0o777);
    }
    let _ = write!(line, " uid={} gid={}", stat.uid, stat.gid);
    if stat.file_type == FileType::Regular {
        let _ = write!(line, " size={}", stat.size);
    }
    if let Some(digest) = &entry.sha256 {
        let _ = write!(line, " sha256sum={}", hex(digest));
    }
    if let Some(target) = entry.target {
        let _ = write!(line, " link={}", mtree_escape(target));
    }
    if matches!(stat.file_type, FileType::CharDevice | FileType::BlockDevice) {
        let _ = write!(line, " device=linux,{},{}", stat.rdev.0, stat.rdev.1);
    }
    line
}

/// systemd's `xescape` of white space, comment signs and glob characters.
fn mtree_escape(name: &[u8]) -> String {
    name.iter().fold(String::new(), |mut text, byte| {
        if !byte.is_ascii_graphic() || b"\\#;*?[".contains(byte) {
            let _ = write!(text, "\\x{byte:02x}");
        } else {
            text.push(char::from(*byte));
        }
        text
    })
}

fn document<'a>(entry: &'a Entry<'a>) -> FileEntry<'a> {
    FileEntry::new(entry.path, entry.assurance)
        .stat(entry.stat)
        .target(entry.target)
        .sha256(entry.sha256.as_ref())
        .error(entry.error)
}

/// SHA-256 of the content of a regular file.
pub(crate) fn sha256(walk: &Walk, tree: &Vfs, file: Place) -> Result<[u8; 32], Error> {
    let mut digest = Sha256::new();
    walk.content(tree, file, &mut |bytes| {
        digest.update(bytes);
        Ok(())
    })?;
    Ok(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::{mode, mtree_escape};
    use ddi_fs::{FileType, Stat};

    #[test]
    fn modes() {
        for (file_type, permissions, text) in [
            (FileType::Directory, 0o1777, "drwxrwxrwt"),
            (FileType::Directory, 0o1776, "drwxrwxrwT"),
            (FileType::Regular, 0o6755, "-rwsr-sr-x"),
            (FileType::Regular, 0o6644, "-rwSr-Sr--"),
            (FileType::Symlink, 0o777, "lrwxrwxrwx"),
            (FileType::BlockDevice, 0o600, "brw-------"),
            (FileType::CharDevice, 0, "c---------"),
            (FileType::Fifo, 0o1, "p--------x"),
            (FileType::Socket, 0o100, "s--x------"),
        ] {
            let stat = Stat {
                file_type,
                permissions,
                uid: 0,
                gid: 0,
                size: 0,
                mtime: 0,
                mtime_nsec: 0,
                nlink: 1,
                rdev: (0, 0),
            };
            assert_eq!(mode(&stat), text);
        }
    }

    /// As systemd 257 prints these names.
    #[test]
    fn names_in_mtree() {
        assert_eq!(mtree_escape(b"a b"), r"a\x20b");
        assert_eq!(mtree_escape(b"n\nl\xff\x01\xc3\xa9"), r"n\x0al\xff\x01\xc3\xa9");
        assert_eq!(mtree_escape(b"back\\sl#hash=eq*?[q]"), r"back\x5csl\x23hash=eq\x2a\x3f\x5bq]");
    }
}
