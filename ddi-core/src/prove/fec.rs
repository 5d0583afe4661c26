//! Parity beside an image: blocks that are damaged are healed while they are read.
//!
//! Parity is storage, as the image is: nothing of it is trusted, and what is made with it is proven by the root hash like any
//! other block. No image says that there is parity, so the caller does.

use std::fmt;
use std::io;
use std::sync::Arc;

use ddi_fs::Meter;
use ddi_io::ReadAt;
use ddi_verity::{Error, FecHints, FecLayout, HashTree, Parity, ReadStats};

use crate::prove::sources::Piece;
use crate::trust::Role;

/// Work to decode, in nanoseconds for each byte of parity that is read for that: a row of codewords whose erasures are solved
/// takes less, one that cannot be healed takes more.
const DECODE: u64 = 1000;

/// Ways in which parity may have been made that are tried on a damaged block, where looking at the parity did not tell.
const MAX_WAYS: usize = 8;

/// Where the parity for a role is: forward error correction of dm-verity.
#[derive(Clone)]
pub struct FecDevice {
    role: Role,
    /// `None`: what the hash tree is read from.
    source: Option<Arc<dyn ReadAt>>,
    offset: u64,
    hints: FecHints,
    stats: ReadStats,
}

impl FecDevice {
    /// Parity at `offset` of a file or device of its own.
    pub fn new(role: Role, source: Arc<dyn ReadAt>, offset: u64) -> Self {
        FecDevice {
            role,
            source: Some(source),
            offset,
            hints: FecHints::default(),
            stats: ReadStats::default(),
        }
    }

    /// Parity behind the hash tree, in the same partition or file, at `offset` from its start.
    pub fn beside_tree(role: Role, offset: u64) -> Self {
        let hints = FecHints { beside_tree: true, ..FecHints::default() };
        FecDevice { role, source: None, offset, hints, stats: ReadStats::default() }
    }

    /// How it was made, as far as that is known. The rest is found out by trying. Where it is stays as it is.
    #[must_use]
    pub fn with_hints(mut self, hints: FecHints) -> Self {
        self.hints = FecHints { beside_tree: self.hints.beside_tree, ..hints };
        self
    }

    /// Whose data it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What was healed with it so far, by all clones of it.
    pub fn stats(&self) -> &ReadStats {
        &self.stats
    }

    /// For a reader of this tree. `sources` are data and hash tree.
    pub(crate) fn parity(
        &self,
        tree: &HashTree,
        (data, hash): (Piece, Piece),
        meter: &Meter,
    ) -> Result<Parity, Error> {
        let hash: Arc<dyn ReadAt> = Arc::new(hash);
        let source = self.source.as_ref().unwrap_or(&hash).clone();
        let found = FecLayout::find(tree, &data, &hash, &source, self.offset, self.hints)?;
        let ways = if found.is_sure { 1 } else { MAX_WAYS };
        let layouts = found.layouts.into_iter().take(ways).collect();
        let source = Arc::new(Charged { source, meter: meter.clone() });
        Parity::new(layouts, source, self.offset, self.stats.clone())
    }
}

impl fmt::Debug for FecDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FecDevice")
            .field("role", &self.role)
            .field("offset", &self.offset)
            .field("hints", &self.hints)
            .finish_non_exhaustive()
    }
}

/// Parity, each read of which is charged with the decoding that it is for.
struct Charged {
    source: Arc<dyn ReadAt>,
    meter: Meter,
}

impl ReadAt for Charged {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.meter.check().map_err(io::Error::other)?;
        self.meter.charge(u64::try_from(buf.len()).unwrap_or(u64::MAX).saturating_mul(DECODE));
        self.source.read_exact_at(offset, buf)
    }
}
