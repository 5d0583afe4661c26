//! Streams and compressed images, made into something that can be read at any offset.
//!
//! An image says at its end what is needed to check its beginning: the salt is in the superblock of the hash tree, and
//! the tree in a partition behind the data. So a stream has to be kept before anything can be proven. It is kept in
//! a file without a name, which nobody else can open and which is gone when it is closed, however that comes about; zeros
//! take no space in it.
//!
//! # Bounds
//! Of the output: [`SpoolOptions::max_size`] and [`SpoolOptions::max_ratio`], counted as it comes out, whatever the stream
//! says about its size; and nothing is written that would leave a file system with less than 1 GiB or 5 % of it free. Of the
//! memory: 512 KiB of buffers, and a window of at most [`MAX_WINDOW_SIZE`](crate::MAX_WINDOW_SIZE) for xz and Zstandard
//! (half as much again while Zstandard's grows). Of the input: twice the output.

use core::cell::Cell;
use core::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::read_at::FileSource;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::unpack::{Compression, Input, MAGIC_SIZE, UnpackError, decompress};

/// Most bytes that a stream may have, unpacked, unless the caller says otherwise: 64 GiB.
pub const MAX_UNPACKED_SIZE: u64 = 64 << 30;

/// How many times as large as a stream what comes out of it may be, unless the caller says otherwise. Disk images that are
/// mostly empty come to some dozens; a bomb comes to a thousand (gzip) or more.
pub const MAX_UNPACKED_RATIO: u64 = 256;
/// What a stream of any size may unpack to, in bytes: a small image, whatever its ratio.
const ANY_RATIO: u64 = 1 << 30;

/// What is left free of a file system, in bytes, if it is large.
const LEFT_FREE: u64 = 1 << 30;
/// And if it is not: this part of it.
const LEFT_FREE_PART: u64 = 20;

/// Where temporary files go unless the caller says otherwise: where large ones are expected, and not in memory.
pub const SPOOL_DIRECTORY: &str = "/var/tmp";

/// Size of the buffer in bytes, a multiple of [`HOLE`].
const BUFFER: usize = 256 << 10;
/// Zeros of this many bytes are not written.
const HOLE: usize = 4096;

/// How a stream is kept.
#[derive(Clone)]
#[non_exhaustive]
pub struct SpoolOptions<'a> {
    /// Most bytes that the image may have.
    pub max_size: u64,
    /// Most bytes that may come out for each byte of the stream, once more than 1 GiB comes out.
    pub max_ratio: u64,
    /// How many bytes the stream has. If that is not known, those count that were taken so far.
    pub packed_size: Option<u64>,
    /// Where the temporary file is made.
    pub directory: PathBuf,
    /// Called with the bytes of the stream that were taken so far.
    pub progress: Option<&'a dyn Fn(u64)>,
    /// Keeps to decoders in Rust where there are others.
    pub pure: bool,
}

impl Default for SpoolOptions<'_> {
    fn default() -> Self {
        SpoolOptions {
            max_size: MAX_UNPACKED_SIZE,
            max_ratio: MAX_UNPACKED_RATIO,
            packed_size: None,
            directory: SPOOL_DIRECTORY.into(),
            progress: None,
            pure: false,
        }
    }
}

impl fmt::Debug for SpoolOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolOptions")
            .field("max_size", &self.max_size)
            .field("max_ratio", &self.max_ratio)
            .field("packed_size", &self.packed_size)
            .field("directory", &self.directory)
            .field("pure", &self.pure)
            .finish_non_exhaustive()
    }
}

/// Reads `stream` to its end into a temporary file, and decompresses it on the way if it is compressed.
///
/// # Errors
/// [`UnpackError`]. Nothing is left behind.
pub fn spool(
    stream: &mut dyn Read,
    options: &SpoolOptions<'_>,
) -> Result<(FileSource, Option<Compression>), UnpackError> {
    spool_beyond(stream, options, ANY_RATIO)
}

/// The same, where up to `least` bytes may come out of a stream of any size.
fn spool_beyond(
    stream: &mut dyn Read,
    options: &SpoolOptions<'_>,
    least: u64,
) -> Result<(FileSource, Option<Compression>), UnpackError> {
    let taken = Cell::new(0);
    let mut stream = Counted { stream, taken: &taken };
    let mut input = Input::new(&mut stream, options.max_size, options.progress);
    let start = input.peek(MAGIC_SIZE).map(Compression::of);
    let compression = start.map_err(|error| input.judge(Compression::Gzip, error))?;
    if let Some(compression) = compression.filter(|compression| !compression.is_supported()) {
        return Err(UnpackError::Unsupported { compression });
    }
    let mut spool = Spool::new(options)?;
    let mut output = |bytes: &[u8]| {
        let packed = options.packed_size.unwrap_or(taken.get());
        spool.write(bytes, packed.saturating_mul(options.max_ratio).max(least))
    };
    match compression {
        Some(compression) => decompress(compression, options.pure, &mut input, &mut output)?,
        None => copy(&mut input, &mut output)?,
    }
    Ok((spool.finish()?, compression))
}

fn copy(
    input: &mut Input<'_>,
    output: &mut dyn FnMut(&[u8]) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    loop {
        let count = match input.peek(1) {
            Ok([]) => return Ok(()),
            Ok(bytes) => {
                output(bytes)?;
                bytes.len()
            }
            Err(error) => return Err(input.judge(Compression::Gzip, error)),
        };
        input.consume(count);
    }
}

/// A stream, and how much of it was taken.
struct Counted<'a> {
    stream: &'a mut dyn Read,
    taken: &'a Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buf)?;
        self.taken.set(self.taken.get().saturating_add(u64::try_from(read).unwrap_or(u64::MAX)));
        Ok(read)
    }
}

/// Returns true if `size` bytes more leave enough of a file system free: `total` bytes, of which `free` can be had.
fn leaves_room(total: u64, free: u64, size: u64) -> bool {
    let left = LEFT_FREE.min(total / LEFT_FREE_PART);
    // one that does not know its size is as large as it likes
    total == 0 || free.checked_sub(size).is_some_and(|free| free >= left)
}

/// A temporary file in the making.
struct Spool {
    file: File,
    buffer: Vec<u8>,
    /// Bytes in the file, a multiple of [`BUFFER`].
    written: u64,
    max_size: u64,
    max_ratio: u64,
}

fn failed(error: impl Into<io::Error>) -> UnpackError {
    UnpackError::Write { error: Arc::new(error.into()) }
}

impl Spool {
    fn new(options: &SpoolOptions<'_>) -> Result<Self, UnpackError> {
        let file = unnamed_file(&options.directory).map_err(failed)?;
        Ok(Spool {
            file,
            buffer: Vec::with_capacity(BUFFER),
            written: 0,
            max_size: options.max_size,
            max_ratio: options.max_ratio,
        })
    }

    fn size(&self) -> u64 {
        self.written.saturating_add(u64::try_from(self.buffer.len()).unwrap_or(u64::MAX))
    }

    /// `max_for_ratio` is what may come out for what was taken.
    fn write(&mut self, mut bytes: &[u8], max_for_ratio: u64) -> Result<(), UnpackError> {
        let size = self.size().saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if size > self.max_size {
            return Err(UnpackError::TooLarge { max: self.max_size });
        }
        if size > max_for_ratio {
            return Err(UnpackError::RatioTooLarge { max: self.max_ratio, size: max_for_ratio });
        }
        while !bytes.is_empty() {
            let room = BUFFER.saturating_sub(self.buffer.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what is in the buffer and is not zero.
    fn flush(&mut self) -> Result<(), UnpackError> {
        let mut at = self.written;
        for run in self.buffer.chunks(HOLE).collect::<Vec<_>>().chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let size = run.iter().fold(0_usize, |size, block| size.saturating_add(block.len()));
            let start = usize::try_from(at.saturating_sub(self.written)).unwrap_or(usize::MAX);
            let bytes = self.buffer.get(start..start.saturating_add(size)).unwrap_or_default();
            if run.first().is_some_and(|block| !is_zero(block)) {
                self.make_sure_of_room(bytes.len())?;
                self.file.write_all_at(bytes, at).map_err(failed)?;
            }
            at = at.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
        }
        self.written = at;
        self.buffer.clear();
        Ok(())
    }

    /// Others need the file system too.
    fn make_sure_of_room(&self, size: usize) -> Result<(), UnpackError> {
        // where it cannot be asked, it says itself when it is full
        let Ok(found) = rustix::fs::fstatvfs(&self.file) else { return Ok(()) };
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        match leaves_room(total, free, u64::try_from(size).unwrap_or(u64::MAX)) {
            true => Ok(()),
            false => Err(UnpackError::NoRoom { free }),
        }
    }

    fn finish(mut self) -> Result<FileSource, UnpackError> {
        self.flush()?;
        self.file.set_len(self.written).map_err(failed)?;
        FileSource::new(self.file).map_err(failed)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // without a branch in the inner loop, so that it is done in vectors
    bytes.chunks(256).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

/// A new file without a name, which never gets one and is gone when it is closed.
///
/// # Errors
/// What the system reports.
pub fn unnamed_file(directory: &Path) -> io::Result<File> {
    let mode = Mode::from_raw_mode(0o600);
    // EXCL: nor will it ever have one
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::EXCL;
    match rustix::fs::open(directory, flags, mode) {
        Ok(fd) => Ok(fd.into()),
        // the file system cannot do that
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => briefly_named(directory),
        Err(error) => Err(error.into()),
    }
}

/// A new file that has a name for as long as it takes to open it.
fn briefly_named(directory: &Path) -> io::Result<File> {
    /// Names that somebody else has taken.
    const MAX_TAKEN: u32 = 1000;
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    for _ in 0..MAX_TAKEN {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".ddi-{}-{number}", std::process::id()));
        match rustix::fs::openat(CWD, &path, flags, Mode::from_raw_mode(0o600)) {
            Ok(fd) => {
                rustix::fs::unlink(&path)?;
                return Ok(fd.into());
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use crate::read_at::ReadAt;

    use super::*;

    // the same content by four tools; `gzip` keeps the name of the file too
    const XZ: &str = "\
        fd377a585a000004e6d6b4460200210116000000742fe5a3e0220200375d003b194aab414a5656e08f812b9c863ee9b5\
        d14811481c96db7e52e1673f0ce23018982aa040fcbc453426608c7c7003f906d12420d7d6000000c443769cbf090489\
        0001538344000000acab7fabb1c467fb020000000004595a";
    const XZ_SHA256: &str = "\
        fd377a585a00000ae1fb0ca10200210116000000742fe5a3e0220200375d003b194aab414a5656e08f812b9c863ee9b5\
        d14811481c96db7e52e1673f0ce23018982aa040fcbc453426608c7c7003f906d12420d7d60000006b7908070987811d\
        d4834a111505ab4d7f880bc28ff8db7fa98507ec50037c9300016b83440000006c2e5643b6e9df1c02000000000a595a";
    const ZSTD: &str = "\
        28b52ffd0468b5000060766572697479210a00656e640200fceff6a2be7ab9584915c6";
    const GZIP: &str = "\
        1f8b0808dd7f016b0203632e62696e00edc5b10d0010100040b52dece60b8d42e413db9b43dc3597b1c63eada6bfbc00\
        00000000000000cf8bd92f0d35e17903220000";
    // a dictionary of 192 MiB
    const XZ_LARGE: &str = "\
        fd377a585a000004e6d6b446020021011f000000fe60edde010000780000000045aeef83f8ee160a00011901a52c81cc\
        1fb6f37d010000000004595a";

    fn content() -> Vec<u8> {
        [b"verity!\n".repeat(64), vec![0; 8192], b"end".to_vec()].concat()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    fn all() -> [(Compression, Vec<u8>); 4] {
        [
            (Compression::Xz, bytes(XZ)),
            (Compression::Xz, bytes(XZ_SHA256)),
            (Compression::Zstd, bytes(ZSTD)),
            (Compression::Gzip, bytes(GZIP)),
        ]
    }

    std::thread_local! {
        static PURE: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs the test with the decoders that are used by default, and with those in Rust.
    fn with_each_decoder(test: impl Fn()) {
        for pure in [false, true] {
            PURE.set(pure);
            test();
        }
    }

    /// A directory that goes when the test ends.
    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("ddi-spool-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Dir(path)
        }
        fn is_empty(&self) -> bool {
            std::fs::read_dir(&self.0).unwrap().next().is_none()
        }
        fn options(&self, max_size: u64) -> SpoolOptions<'static> {
            let pure = PURE.get();
            SpoolOptions { max_size, directory: self.0.clone(), pure, ..SpoolOptions::default() }
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Gives a few bytes at a time, is interrupted between, and breaks at some place.
    struct Pipe<'a> {
        rest: &'a [u8],
        turn: usize,
        breaks: bool,
    }

    impl Read for Pipe<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.turn += 1;
            if self.turn.is_multiple_of(5) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.rest.is_empty() && self.breaks {
                return Err(io::Error::other("broken"));
            }
            let (now, later) = self.rest.split_at(buf.len().min(self.rest.len()).min(self.turn % 7 + 1));
            buf[..now.len()].copy_from_slice(now);
            self.rest = later;
            Ok(now.len())
        }
    }

    fn read_all(source: &FileSource) -> Vec<u8> {
        let mut all = vec![0; source.size() as usize];
        source.read_exact_at(0, &mut all).unwrap();
        all
    }

    fn unpack(packed: &[u8]) -> Result<Vec<u8>, UnpackError> {
        let dir = Dir::new();
        let outcome = spool(&mut &*packed, &dir.options(1 << 20)).map(|(source, _)| read_all(&source));
        assert!(dir.is_empty());
        outcome
    }

    #[test]
    fn each_format_in_pieces_of_any_size() {
        with_each_decoder(|| {
            let dir = Dir::new();
            for (compression, packed) in all() {
                let mut pipe = Pipe { rest: &packed, turn: 0, breaks: false };
                let (source, found) = spool(&mut pipe, &dir.options(1 << 20)).unwrap();
                assert_eq!((found, read_all(&source) == content()), (Some(compression), true));
                let (source, found) = spool(&mut &packed[..], &dir.options(1 << 20)).unwrap();
                assert_eq!((found, read_all(&source) == content()), (Some(compression), true));
            }
            let plain = content();
            let mut pipe = Pipe { rest: &plain, turn: 0, breaks: false };
            let (source, found) = spool(&mut pipe, &dir.options(1 << 20)).unwrap();
            assert_eq!((found, read_all(&source) == plain), (None, true));
            assert!(dir.is_empty(), "even while the files are open");
        });
    }

    #[test]
    fn one_after_the_other() {
        with_each_decoder(|| {
            let twice = content().repeat(2);
            for (compression, packed) in all() {
                assert_eq!(unpack(&packed.repeat(2)).unwrap(), twice);
                // padding is for xz alone, by whole words
                for (zeros, good) in [(4, compression == Compression::Xz), (3, false), (1, false)] {
                    let padded = [&packed[..], &vec![0; zeros], &packed].concat();
                    assert_eq!(unpack(&padded).is_ok(), good, "{compression} {zeros}");
                }
            }
            let skippable = b"\x53\x2a\x4d\x18\x05\0\0\0hello";
            let zstd = bytes(ZSTD);
            let all = [skippable, &zstd[..], skippable, skippable, &zstd, skippable].concat();
            assert_eq!(unpack(&all).unwrap(), twice);
            let truncated = unpack(&all[..all.len() - 1]).unwrap_err();
            assert!(matches!(truncated, UnpackError::Truncated { .. }), "{truncated}");
        });
    }

    #[test]
    fn what_follows_must_be_of_the_format() {
        with_each_decoder(|| {
            for (compression, packed) in all() {
                let end = packed.len() as u64;
                match (compression, unpack(&[&packed[..], b"garbage"].concat()).unwrap_err()) {
                    // its decoder looks for itself
                    (Compression::Xz, UnpackError::Corrupt { .. }) => {}
                    (_, UnpackError::Trailing { offset, .. }) => assert_eq!(offset, end),
                    (_, other) => panic!("{compression}: {other}"),
                }
            }
        });
    }

    #[test]
    fn no_part_of_a_stream_is_taken_for_the_whole() {
        with_each_decoder(|| {
            for (compression, packed) in all() {
                for size in 10..packed.len() {
                    let error = unpack(&packed[..size]).unwrap_err();
                    assert!(
                        matches!(error, UnpackError::Truncated { size: found, .. } if found == size as u64),
                        "{compression} {size}: {error}"
                    );
                }
            }
        });
    }

    #[test]
    fn no_flipped_bit_changes_the_content() {
        with_each_decoder(|| {
            let good = content();
            for (compression, packed) in all() {
                let mut unseen = Vec::new();
                for bit in 0..8 * packed.len() {
                    let mut flipped = packed.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    match unpack(&flipped) {
                        Ok(content) if content == good => unseen.push(bit / 8),
                        // no longer one that is recognised
                        Ok(content) => assert!(content == flipped && bit / 8 < 6, "{compression}, bit {bit}"),
                        Err(_) => {}
                    }
                }
                unseen.dedup();
                let named: &[usize] = match compression {
                    // that it is text, time, extra flags, system, file name, the bits behind the last of deflate
                    Compression::Gzip => &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 58],
                    // the unused and the reserved bit of the descriptor, a larger window, reserved bits of a block
                    Compression::Zstd => &[4, 5, 23],
                    _ => &[],
                };
                assert!(unseen.iter().all(|at| named.contains(at)), "{compression}: {unseen:?}");
            }
        });
    }

    /// What is wrong, and where, does not depend on how the stream comes.
    #[test]
    fn x5_damage_is_where_it_is_however_the_stream_comes() {
        with_each_decoder(|| {
            let dir = Dir::new();
            for (compression, packed) in all() {
                for bit in (0..8 * packed.len()).step_by(3) {
                    let mut flipped = packed.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    let once = spool(&mut &flipped[..], &dir.options(1 << 20)).map(|_| ());
                    let mut pipe = Pipe { rest: &flipped, turn: 0, breaks: false };
                    let pieces = spool(&mut pipe, &dir.options(1 << 20)).map(|_| ());
                    let told = |outcome: Result<(), UnpackError>| outcome.map_err(|error| error.to_string());
                    assert_eq!(told(once), told(pieces), "{compression}, bit {bit}");
                }
            }
        });
    }

    #[test]
    fn a_bomb_goes_off_nowhere() {
        with_each_decoder(|| {
            let dir = Dir::new();
            let size = content().len() as u64;
            let plain = content();
            for packed in all().into_iter().map(|(_, packed)| packed).chain([plain]) {
                assert!(spool(&mut &packed[..], &dir.options(size)).is_ok());
                let error = spool(&mut &packed[..], &dir.options(size - 1)).unwrap_err();
                assert!(matches!(error, UnpackError::TooLarge { max } if max == size - 1), "{error}");
                assert!(dir.is_empty());
            }
            // headers without content have no end
            let empty = io::repeat(0);
            let mut endless = (&b"\x50\x2a\x4d\x18\xff\xff\xff\xff"[..]).chain(empty);
            let error = spool(&mut endless, &dir.options(size)).unwrap_err();
            assert!(matches!(error, UnpackError::TooLarge { .. }), "{error}");
        });
    }

    #[test]
    fn s11_what_comes_out_is_in_proportion_to_what_goes_in() {
        let dir = Dir::new();
        // zeros are holes: no room is needed for them
        let spool = |sizes: &[u64], packed_size: Option<u64>, max_ratio: u64| {
            let mut options = dir.options(u64::MAX);
            (options.packed_size, options.max_ratio) = (packed_size, max_ratio);
            let taken = packed_size.unwrap_or(100);
            let limit = taken.saturating_mul(max_ratio).max(ANY_RATIO);
            let mut spool = Spool::new(&options).unwrap();
            spool.written = sizes[0];
            sizes[1..].iter().try_for_each(|size| spool.write(&vec![0; *size as usize], limit))
        };
        assert!(spool(&[ANY_RATIO - 1, 1], Some(1), 1).is_ok());
        let error = spool(&[ANY_RATIO - 1, 2], Some(1), 1).unwrap_err();
        assert!(matches!(error, UnpackError::RatioTooLarge { max: 1, size: ANY_RATIO }), "{error}");
        let packed = ANY_RATIO / 8;
        assert!(spool(&[10 * packed - 1, 1], Some(packed), 10).is_ok());
        let error = spool(&[10 * packed - 1, 1, 1], Some(packed), 10).unwrap_err();
        assert!(matches!(error, UnpackError::RatioTooLarge { max: 10, .. }), "{error}");
        assert!(spool(&[u64::MAX - 5, 5], Some(2), u64::MAX).is_ok());
    }

    /// What is known of the size of the stream counts, and else what was taken of it.
    #[test]
    fn s11_the_ratio_of_each_format() {
        with_each_decoder(|| {
            let dir = Dir::new();
            let size = content().len() as u64;
            for (compression, packed) in all() {
                let ratio = size / packed.len() as u64;
                let with = |least: u64, packed_size: Option<u64>, max_ratio: u64| {
                    let mut options = dir.options(1 << 20);
                    (options.packed_size, options.max_ratio) = (packed_size, max_ratio);
                    spool_beyond(&mut &packed[..], &options, least).map(|(source, _)| source.size())
                };
                for packed_size in [None, Some(packed.len() as u64)] {
                    assert_eq!(with(0, packed_size, ratio + 1).unwrap(), size, "{compression}");
                    let error = with(0, packed_size, ratio).unwrap_err();
                    assert!(
                        matches!(error, UnpackError::RatioTooLarge { max, .. } if max == ratio),
                        "{error}"
                    );
                    // small images may be as empty as they like
                    assert_eq!(with(size, packed_size, 0).unwrap(), size);
                    assert!(with(size - 1, packed_size, 0).is_err());
                }
                // the caller's word for it
                assert!(with(0, Some(2 * packed.len() as u64), ratio).is_ok());
            }
            assert!(dir.is_empty());
        });
    }

    #[test]
    fn s11_others_keep_room() {
        const GIB: u64 = 1 << 30;
        for (total, free, size, fits) in [
            // 5 % of 10 GiB is less than 1 GiB
            (10 * GIB, GIB / 2 + 4096, 4096, true),
            (10 * GIB, GIB / 2 + 4095, 4096, false),
            // and of 1 TiB it is more
            (1024 * GIB, GIB + 4096, 4096, true),
            (1024 * GIB, GIB + 4095, 4096, false),
            (20 * GIB, GIB, 0, true),
            (20 * GIB, GIB, 1, false),
            (100, 5, 0, true),
            (100, 4, 0, false),
            (100, 4, 5, false),
            (0, 0, 1 << 40, true),
            (u64::MAX, u64::MAX, u64::MAX, false),
        ] {
            assert_eq!(leaves_room(total, free, size), fits, "{total} {free} {size}");
        }
    }

    #[test]
    fn large_windows_are_refused_before_they_are_made() {
        with_each_decoder(|| {
            let error = unpack(&bytes(XZ_LARGE)).unwrap_err();
            assert!(matches!(error, UnpackError::WindowTooLarge { compression: Compression::Xz }), "{error}");
            // a window descriptor of 2^28 bytes, and an empty last block
            let frame = b"\x28\xb5\x2f\xfd\x00\x90\x01\0\0";
            let error = unpack(frame).unwrap_err();
            assert!(
                matches!(error, UnpackError::WindowTooLarge { compression: Compression::Zstd }),
                "{error}"
            );
            // one of 2^27
            assert_eq!(unpack(b"\x28\xb5\x2f\xfd\x00\x88\x01\0\0").unwrap(), b"");
        });
    }

    #[test]
    fn a_stream_that_breaks_is_no_short_one() {
        with_each_decoder(|| {
            let dir = Dir::new();
            let plain = content();
            for packed in all().into_iter().map(|(_, packed)| packed).chain([plain]) {
                for size in [0, 5, 20, packed.len()] {
                    let mut pipe = Pipe { rest: &packed[..size], turn: 0, breaks: true };
                    let error = spool(&mut pipe, &dir.options(1 << 20)).unwrap_err();
                    assert!(matches!(error, UnpackError::Read { .. }), "{size}: {error}");
                }
            }
        });
    }

    #[test]
    fn unsupported_formats_have_a_name() {
        for (start, name) in [(&b"BZh91AY&SY.."[..], "bzip2"), (b"\x04\x22\x4d\x18\x64\x40\xa7...", "lz4")] {
            let error = unpack(start).unwrap_err();
            assert_eq!(error.to_string(), format!("is compressed with {name}, which is not supported"));
        }
    }

    #[test]
    fn zeros_are_holes() {
        let dir = Dir::new();
        let mut content = vec![0; (8 << 20) + 77];
        content[3 << 20] = 1;
        content[(5 << 20) - 1] = 2;
        let (source, _) = spool(&mut &content[..], &dir.options(1 << 30)).unwrap();
        assert!(read_all(&source) == content);
        // a file system without holes says that all is data
        let next = source.next_data(0).unwrap();
        assert!(next == 3 << 20 || next == 0, "{next}");
        assert!(source.reopen().is_some());
    }

    #[test]
    fn a_file_without_a_name_wherever_it_is_made() {
        let dir = Dir::new();
        for file in [unnamed_file(&dir.0).unwrap(), briefly_named(&dir.0).unwrap()] {
            file.write_all_at(b"secret", 0).unwrap();
            let found = rustix::fs::fstat(&file).unwrap();
            assert_eq!((found.st_nlink, found.st_mode & 0o777), (0, 0o600));
            assert!(dir.is_empty());
        }
        let error = spool(&mut &b"x"[..], &SpoolOptions { directory: dir.0.join("none"), ..dir.options(9) });
        assert!(matches!(error, Err(UnpackError::Write { .. })));
    }
}
