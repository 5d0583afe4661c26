//! Files as memory: [`MmapSource`]. For storage that nobody else can change.

use std::io;

use memmap2::{Mmap, MmapOptions};

use crate::read_at::{FileSource, ReadAt};

/// A file or block device, mapped into memory as a whole.
///
/// Saves the copy that [`FileSource`] makes (about a fifth of the time of a check), and pays with safety: where a read
/// would report an error, a mapping **kills the process** with SIGBUS, be it a truncated file or a bad sector; and the
/// bytes may change after they were checked. For images that are the caller's alone, such as one that it has just made
/// itself, or a memfd that is sealed.
#[derive(Debug)]
pub struct MmapSource {
    file: FileSource,
    map: Mmap,
}

impl MmapSource {
    /// Maps all of `file`, as large as it was when it was opened.
    ///
    /// # Errors
    /// What `mmap` reports.
    ///
    /// # Safety
    /// Until the value is dropped nobody, in this process or another, may write to the file or truncate it. File
    /// permissions and locks do not promise that.
    #[expect(unsafe_code, reason = "a door of the crate: the caller promises what cannot be checked")]
    pub unsafe fn new(file: FileSource) -> io::Result<Self> {
        let len = usize::try_from(file.size()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // SAFETY: the caller promises that nobody changes or truncates the file, by the rule above.
        let map = unsafe { MmapOptions::new().len(len).map(file.file())? };
        Ok(MmapSource { file, map })
    }
}

impl ReadAt for MmapSource {
    fn size(&self) -> u64 {
        self.map.size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.map.read_exact_at(offset, buf)
    }
    fn next_data(&self, offset: u64) -> Option<u64> {
        self.file.next_data(offset)
    }
    fn as_slice(&self) -> Option<&[u8]> {
        Some(&self.map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_bytes_as_the_file() {
        let path = std::env::temp_dir().join(format!("ddi-verity-mmap-{}", std::process::id()));
        let bytes: Vec<u8> = (0..10_000_u32).map(|i| i as u8).collect();
        for bytes in [&bytes[..], &[]] {
            std::fs::write(&path, bytes).unwrap();
            let file = FileSource::open(&path).unwrap();
            #[expect(unsafe_code, reason = "a test of just this")]
            // SAFETY: the file is this test's own
            let map = unsafe { MmapSource::new(file) }.unwrap();
            assert_eq!((map.size(), map.as_slice()), (bytes.len() as u64, Some(bytes)));
            assert!(map.read_exact_at(9_999, &mut [0; 2]).is_err());
        }
        std::fs::remove_file(&path).unwrap();
    }
}
