//! Where the bytes of a compressed file are, whichever index says so.

/// Largest extent, uncompressed and compressed: Linux's `Z_EROFS_PCLUSTER_MAX_DSIZE` and `_MAX_SIZE`.
pub(super) const MAX_EXTENT: u64 = 12 << 20;
pub(super) const MAX_CLUSTER: u64 = 1 << 20;

/// Of both indices: uncompressed extents are turned around; the tail is in the packed inode.
pub(super) const ADVISE_INTERLACED_PCLUSTER: u16 = 0x10;
pub(super) const ADVISE_FRAGMENT_PCLUSTER: u16 = 0x20;

/// How the bytes of an extent are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// As they are.
    Plain,
    /// As they are, but turned around so that each begins where it does in its logical block.
    Interlaced,
    /// Compressed, by the number of the algorithm.
    Algorithm(u8),
}

/// Where the compressed bytes of an extent are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// In blocks of their own.
    Disk { offset: u64, size: u64 },
    /// Behind the index, in the metadata's space.
    Inline { offset: u64, size: usize },
    /// Nowhere: it is zeros.
    Hole,
    /// The position asked for, in the packed inode, and how much there is from there.
    Fragment { offset: u64, len: u64 },
}

/// An extent of a compressed file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Where {
    /// In the file; the position asked for is in between.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) place: Place,
    /// Of holes and fragments it does not matter.
    pub(super) method: Method,
}
