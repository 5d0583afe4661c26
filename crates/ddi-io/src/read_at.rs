//! Storage that is read at an offset: [`ReadAt`], a window on it ([`Section`]), and files ([`FileSource`]).

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes that can be read at any offset, by several threads at once.
///
/// The size is taken once, when the source is opened, and stays: a source that shrinks afterwards answers
/// reads past its new end with [`io::ErrorKind::UnexpectedEof`], one that grows never shows the new bytes.
/// No answer is ever partial.
pub trait ReadAt: Send + Sync {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset`, or fails.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if `offset + buf.len()` lies past [`size`](Self::size) or the storage
    /// ends early; what the storage reports otherwise. After an error the content of `buf` is unspecified.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// The first byte at or after `offset` that may differ from zero; `None` if only zeros follow.
    ///
    /// A hint for sparse files. It may lag behind (a zero byte may be reported as data), but a range that it
    /// leaves out does read as zeros. The default knows of no holes.
    fn next_data(&self, offset: u64) -> Option<u64> {
        (offset < self.size()).then_some(offset)
    }

    /// Another handle on the same bytes, with a position and read-ahead state of its own in the kernel.
    ///
    /// Threads that read long ranges of one file each want their own; `None` means that sharing `self` is as
    /// good.
    fn reopen(&self) -> Option<Box<dyn ReadAt>> {
        None
    }

    /// The whole source as memory, if that is what it is. Its content must not change while it is borrowed.
    fn as_slice(&self) -> Option<&[u8]> {
        None
    }
}

/// Checks that `offset..offset + len` is inside `size` bytes.
fn check_range(size: u64, offset: u64, len: usize) -> io::Result<()> {
    match u64::try_from(len).ok().and_then(|len| offset.checked_add(len)) {
        Some(end) if end <= size => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        u64::try_from(self.len()).unwrap_or(u64::MAX)
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let source = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buf.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(source);
        Ok(())
    }
    fn as_slice(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        ReadAt::read_exact_at(self.as_slice(), offset, buf)
    }
    fn as_slice(&self) -> Option<&[u8]> {
        Some(self)
    }
}

macro_rules! forward {
    ($($t:ty),*) => {$(
        impl<R: ReadAt + ?Sized> ReadAt for $t {
            fn size(&self) -> u64 {
                (**self).size()
            }
            fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
                (**self).read_exact_at(offset, buf)
            }
            fn next_data(&self, offset: u64) -> Option<u64> {
                (**self).next_data(offset)
            }
            fn reopen(&self) -> Option<Box<dyn ReadAt>> {
                (**self).reopen()
            }
            fn as_slice(&self) -> Option<&[u8]> {
                (**self).as_slice()
            }
        }
    )*};
}
forward!(&R, Box<R>, Arc<R>);

/// A window on another source, such as a partition: its bytes and no others.
#[derive(Debug, Clone, Copy)]
pub struct Section<R> {
    source: R,
    offset: u64,
    size: u64,
}

impl<R: ReadAt> Section<R> {
    /// The `size` bytes of `source` from `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if they are not all inside `source`.
    pub fn new(source: R, offset: u64, size: u64) -> io::Result<Self> {
        match offset.checked_add(size) {
            Some(end) if end <= source.size() => Ok(Section { source, offset, size }),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Where the window starts in the source below.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl<R: ReadAt> ReadAt for Section<R> {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len())?;
        // inside the source, so it does not saturate
        self.source.read_exact_at(self.offset.saturating_add(offset), buf)
    }
    fn next_data(&self, offset: u64) -> Option<u64> {
        if offset >= self.size {
            return None;
        }
        // a source that lags behind says that all is data
        let next = self
            .source
            .next_data(self.offset.saturating_add(offset))?
            .saturating_sub(self.offset)
            .max(offset);
        (next < self.size).then_some(next)
    }
    fn reopen(&self) -> Option<Box<dyn ReadAt>> {
        let source = self.source.reopen()?;
        let section = Section::new(source, self.offset, self.size).ok()?;
        Some(Box::new(section))
    }
    fn as_slice(&self) -> Option<&[u8]> {
        let start = usize::try_from(self.offset).ok()?;
        self.source.as_slice()?.get(start..start.checked_add(usize::try_from(self.size).ok()?)?)
    }
}

/// A regular file or a block device.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size: u64,
    /// Only a regular file tells of its holes.
    regular: bool,
}

impl FileSource {
    /// Opens `path` for reading. A FIFO without a writer does not block, a terminal does not become ours.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] unless it is a regular file or a block device; what `open` reports.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        // O_NONBLOCK so that a FIFO or a device cannot hold us up before its type is known
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::open(path.as_ref(), flags, Mode::empty())?);
        Self::new(file)
    }

    /// Takes over an open file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn new(mut file: File) -> io::Result<Self> {
        let kind = file.metadata()?;
        let regular = kind.is_file();
        if !regular && !is_block_device(&kind) {
            let what =
                if kind.is_dir() { "a directory" } else { "neither a regular file nor a block device" };
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("is {what}")));
        }
        // block devices have no length in their metadata
        let size = if regular { kind.len() } else { file.seek(SeekFrom::End(0))? };
        Ok(FileSource { file, size, regular })
    }

    /// The file below.
    pub fn file(&self) -> &File {
        &self.file
    }
}

fn is_block_device(kind: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.file_type().is_block_device()
}

impl ReadAt for FileSource {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len())?;
        self.file.read_exact_at(buf, offset)
    }
    fn next_data(&self, offset: u64) -> Option<u64> {
        if offset >= self.size {
            return None;
        }
        if !self.regular {
            return Some(offset);
        }
        match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(offset)) {
            Ok(next) => (next < self.size).then_some(next.max(offset)),
            // no more data; or no more file, whose missing bytes are not zeros: a read will tell
            Err(rustix::io::Errno::NXIO) => match rustix::fs::fstat(&self.file) {
                Ok(now) if u64::try_from(now.st_size).is_ok_and(|now| now >= self.size) => None,
                _ => Some(offset),
            },
            Err(_) => Some(offset),
        }
    }
    fn reopen(&self) -> Option<Box<dyn ReadAt>> {
        use rustix::fs::{Mode, OFlags};
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let fd =
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()).ok()?;
        let (here, there) = (rustix::fs::fstat(&self.file).ok()?, rustix::fs::fstat(&fd).ok()?);
        // only the very same file will do
        let same = (here.st_dev, here.st_ino, here.st_rdev) == (there.st_dev, there.st_ino, there.st_rdev);
        if !same {
            return None;
        }
        Some(Box::new(FileSource { file: File::from(fd), size: self.size, regular: self.regular }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_all_data_and_is_lent_as_it_is() {
        let disk = vec![0, 1, 2];
        let part = Section::new(&disk, 1, 2).unwrap();
        let sources: [(&dyn ReadAt, &[u8]); 3] =
            [(&disk, &disk), (&disk.as_slice(), &disk), (&part, &[1, 2])];
        for (source, bytes) in sources {
            let size = bytes.len() as u64;
            assert_eq!((source.size(), source.as_slice()), (size, Some(bytes)));
            assert_eq!([0, 1, size - 1].map(|at| source.next_data(at)), [Some(0), Some(1), Some(size - 1)]);
            assert_eq!([size, u64::MAX].map(|at| source.next_data(at)), [None; 2]);
            assert!(source.reopen().is_none());
        }
    }

    #[test]
    fn section_never_reads_outside_itself() {
        let disk: Vec<u8> = (0..100).collect();
        let part = Section::new(&disk, 10, 20).unwrap();
        let mut buf = [0; 20];
        part.read_exact_at(0, &mut buf).unwrap();
        assert_eq!(buf[..], disk[10..30]);
        assert_eq!(part.as_slice(), Some(&disk[10..30]));
        for offset in [1, 20, 21, u64::MAX] {
            let error = part.read_exact_at(offset, &mut buf).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert!(part.read_exact_at(20, &mut []).is_ok());
    }

    #[test]
    fn section_must_fit() {
        let disk = vec![0; 100];
        for (offset, size) in [(0, 101), (100, 1), (101, 0), (u64::MAX, 2), (1, u64::MAX)] {
            assert!(Section::new(&disk, offset, size).is_err(), "{offset} {size}");
        }
        assert!(Section::new(&disk, 100, 0).is_ok());
    }

    /// A file of its own for a test, gone at its end.
    struct Scratch(std::path::PathBuf);
    impl Scratch {
        fn new(name: &str, size: u64) -> (Self, File) {
            let path = std::env::temp_dir().join(format!("ddi-verity-{name}-{}", std::process::id()));
            let file =
                File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
            file.set_len(size).unwrap();
            (Scratch(path), file)
        }
    }
    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// What the kernel says of the file. A file system without holes says that all is data.
    fn raw_next_data(file: &File, offset: u64) -> Option<u64> {
        rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)).ok()
    }

    #[test]
    fn holes_of_a_file() {
        let (scratch, file) = Scratch::new("holes", 1 << 20);
        file.write_all_at(&[1; 4096], 512 << 10).unwrap();
        let source = FileSource::open(&scratch.0).unwrap();
        for offset in [0, (512 << 10) + 5, 800 << 10] {
            assert_eq!(source.next_data(offset), raw_next_data(&file, offset), "{offset}");
        }
        assert_eq!(source.next_data((512 << 10) + 5), Some((512 << 10) + 5));
        assert_eq!(source.next_data(1 << 20), None);
        // data that come after it has grown are not of it
        file.write_all_at(&[1; 4096], 1 << 20).unwrap();
        let expected = raw_next_data(&file, 800 << 10).filter(|next| *next < 1 << 20);
        assert_eq!(source.next_data(800 << 10), expected);
    }

    /// Data at 40 to 49 and 70 to 79 of 100; or whatever is asked, this.
    struct Sparse(Option<u64>);

    impl ReadAt for Sparse {
        fn size(&self) -> u64 {
            100
        }
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            unreachable!()
        }
        fn next_data(&self, offset: u64) -> Option<u64> {
            let is_data = |at: &u64| matches!(at, 40..50 | 70..80);
            self.0.or_else(|| (offset..100).find(is_data))
        }
    }

    #[test]
    fn holes_of_a_section() {
        let next = |start, size, offset| {
            let part = Section::new(Sparse(None), start, size).unwrap();
            assert_eq!((part.offset(), part.size()), (start, size));
            part.next_data(offset)
        };
        for (offset, expected) in [(0, 10), (9, 10), (10, 10), (19, 19), (20, 40), (44, 44)] {
            assert_eq!(next(30, 45, offset), Some(expected), "{offset}");
        }
        assert_eq!([45, 46, u64::MAX].map(|offset| next(30, 45, offset)), [None; 3]);
        // behind its end there are data again
        assert_eq!([next(50, 20, 0), next(50, 21, 0), next(80, 20, 0)], [None, Some(20), None]);
        // one that lags behind
        let part = Section::new(Sparse(Some(0)), 30, 45).unwrap();
        assert_eq!([0, 44, 45].map(|offset| part.next_data(offset)), [Some(0), Some(44), None]);
    }

    #[test]
    fn missing_bytes_are_no_hole() {
        let (scratch, file) = Scratch::new("truncated", 1 << 20);
        let source = FileSource::open(&scratch.0).unwrap();
        file.set_len(4096).unwrap();
        assert_eq!(source.next_data(8192), Some(8192));
        let error = source.read_exact_at(8192, &mut [0; 512]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        // one that has grown shows nothing new
        file.set_len(2 << 20).unwrap();
        assert!(source.read_exact_at((1 << 20) - 5, &mut [0; 6]).is_err());
        assert_eq!(source.next_data(1 << 20), None);
    }

    #[test]
    fn reopened_is_the_same_file() {
        let (scratch, file) = Scratch::new("reopened", 4096);
        let source = FileSource::open(&scratch.0).unwrap();
        fs::remove_file(&scratch.0).unwrap();
        let again = source.reopen().unwrap();
        file.write_all_at(b"here", 4000).unwrap();
        let mut buf = [0; 4];
        again.read_exact_at(4000, &mut buf).unwrap();
        assert_eq!((&buf, again.size()), (b"here", 4096));
        let again = Section::new(&source, 4000, 4).unwrap().reopen().unwrap();
        again.read_exact_at(0, &mut buf).unwrap();
        assert_eq!((&buf, again.size()), (b"here", 4));
    }

    #[test]
    fn directory_and_fifo_are_refused_at_once() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let (scratch, _) = Scratch::new("fifo", 0);
        fs::remove_file(&scratch.0).unwrap();
        // nobody writes into it
        mknodat(CWD, &scratch.0, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&scratch.0, &std::env::temp_dir(), Path::new("/dev/null")] {
            let error = FileSource::open(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn files_are_not_left_to_other_programs() {
        let (scratch, _) = Scratch::new("exec", 4096);
        let source = FileSource::open(&scratch.0).unwrap();
        let flags = rustix::io::fcntl_getfd(source.file()).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}
