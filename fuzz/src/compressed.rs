//! Compressed images.

use std::io::Read;
use std::path::PathBuf;

use ddi_io::{SpoolOptions, UnpackError, spool};
use ddi_verity::{FileSource, ReadAt};

use super::input::let_others_panic;

const MAX_SIZE: u64 = 256 << 10;

/// Asserts: a stream that is unpacked has the allowed size at most; what is not compressed comes out as it is; a stream that
/// comes a few bytes at a time comes out the same, or is refused the same.
pub fn compressed(input: &[u8]) {
    let_others_panic();
    let mut options = SpoolOptions::default();
    options.max_size = MAX_SIZE;
    let shared = PathBuf::from("/dev/shm");
    options.directory = if shared.is_dir() { shared } else { std::env::temp_dir() };
    let once = spool(&mut &*input, &options);
    let pieces = spool(&mut Pieces(input), &options);
    match (once, pieces) {
        (Ok((a, compression)), Ok((b, _))) => {
            let (a, b) = (content(&a), content(&b));
            assert!(a == b && a.len() as u64 <= MAX_SIZE);
            assert!(compression.is_some() || a == input);
        }
        (Err(a), Err(b)) => assert_eq!((a.code(), shown(&a)), (b.code(), shown(&b))),
        (a, b) => panic!("{a:?}, but in pieces {b:?}"),
    }
}

fn shown(error: &UnpackError) -> String {
    error.to_string()
}

fn content(source: &FileSource) -> Vec<u8> {
    let mut bytes = vec![0; source.size() as usize];
    source.read_exact_at(0, &mut bytes).expect("a file in memory");
    bytes
}

/// Gives 1 to 7 bytes at a time.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = (self.0.len() % 7 + 1).min(self.0.len()).min(buf.len());
        self.0.read(&mut buf[..count])
    }
}
