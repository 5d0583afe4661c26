//! Bytes as they are, for `ddi read`.

use std::fmt;
use std::io::{self, Write};

use anyhow::Context;
use ddi_verity::ReadAt;

/// Read and proven at once: enough that many blocks are hashed together.
const CHUNK: u64 = 1 << 20;

/// The source failed, or a block of it is not what the root hash says.
#[derive(Debug)]
pub(crate) struct Unreadable(pub(crate) io::Error);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unreadable {}

/// Copies all of `source` to stdout. That nobody reads on is no error.
///
/// # Errors
/// [`Unreadable`] inside if it is the source that failed; what came out before was good.
pub(crate) fn bytes(source: &dyn ReadAt) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match bytes_to(source, &mut stdout) {
        Err(error) => match error.downcast_ref::<io::Error>() {
            Some(inner) if inner.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error),
        },
        Ok(()) => Ok(()),
    }
}

/// Copies all of `source` to `destination`.
///
/// # Errors
/// [`Unreadable`] inside if it is the source that failed.
pub(crate) fn bytes_to(source: &dyn ReadAt, destination: &mut dyn Write) -> anyhow::Result<()> {
    let mut chunk = vec![0; source.size().min(CHUNK) as usize];
    let mut offset = 0;
    while offset < source.size() {
        let len = (source.size() - offset).min(CHUNK);
        let buf = &mut chunk[..len as usize];
        source.read_exact_at(offset, buf).map_err(Unreadable)?;
        destination.write_all(buf).context("cannot write")?;
        offset += len;
    }
    destination.flush().context("cannot write")
}
