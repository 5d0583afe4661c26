//! What is served: bytes, and which of them are zeros.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use ddi_core::ProvenPartition;
use ddi_io::ReadAt;

/// Bytes to serve.
pub trait Content: ReadAt {
    /// Parts of `range` that read as zeros: ascending, apart from each other, inside of it. That is told to the other side as
    /// true, so a hint of the storage is not enough. The default knows of none.
    ///
    /// # Errors
    /// As [`ReadAt::read_exact_at`].
    fn zeros(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        let _ = range;
        Ok(Vec::new())
    }
}

impl Content for Vec<u8> {}

impl Content for ddi_io::FileSource {}

/// Every byte proven; blocks of zeros by their digests, which are proven too.
impl Content for ProvenPartition {
    fn zeros(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        ProvenPartition::zeros(self, range)
    }
}

impl<C: Content + ?Sized> Content for Arc<C> {
    fn zeros(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        (**self).zeros(range)
    }
}

/// A disk with a name, read-only.
#[derive(Clone)]
pub struct Export {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) content: Arc<dyn Content>,
    pub(crate) block_size: u32,
}

impl Export {
    /// `content` under `name`. A name has at most 4,096 bytes, which [`Server::new`](crate::Server::new) checks.
    pub fn new(name: impl Into<String>, content: Arc<dyn Content>) -> Self {
        Export { name: name.into(), description: String::new(), content, block_size: 4096 }
    }

    /// With words for people, which clients show.
    #[must_use]
    pub fn description(self, description: impl Into<String>) -> Self {
        Export { description: description.into(), ..self }
    }

    /// With a size in bytes that reads had best be multiples of: 4,096 if nothing is said.
    #[must_use]
    pub fn preferred_block_size(self, block_size: u32) -> Self {
        Export { block_size, ..self }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.content.size()
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("name", &self.name).field("size", &self.size()).finish_non_exhaustive()
    }
}
