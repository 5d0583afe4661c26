//! Storage that is written at an offset: [`WriteAt`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that can be written at any offset, by several threads at once.
///
/// For tests and small trees, `Mutex<Vec<u8>>` is one; it grows as needed.
pub trait WriteAt: Send + Sync {
    /// Writes all of `bytes` at `offset`, or fails.
    ///
    /// # Errors
    /// What the storage reports. How much was written is then unknown.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Waits until all that was written is on the medium, where there is one.
    ///
    /// # Errors
    /// What the storage reports. What was written may then be lost.
    fn sync(&self) -> io::Result<()>;
}

impl WriteAt for File {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

impl WriteAt for Mutex<Vec<u8>> {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut memory = self.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = end.checked_sub(memory.len()) {
            memory.try_reserve(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
            memory.resize(end, 0);
        }
        memory.get_mut(start..end).ok_or(io::ErrorKind::OutOfMemory)?.copy_from_slice(bytes);
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! forward {
    ($($t:ty),*) => {$(
        impl<W: WriteAt + ?Sized> WriteAt for $t {
            fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
                (**self).write_all_at(offset, bytes)
            }
            fn sync(&self) -> io::Result<()> {
                (**self).sync()
            }
        }
    )*};
}
forward!(&W, Box<W>, Arc<W>);
