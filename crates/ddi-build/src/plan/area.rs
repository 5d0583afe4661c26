//! Free space.

/// Free space behind a partition, or before all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    /// The partition before it, which may grow into it.
    pub(crate) after: Option<usize>,
    pub(crate) size: u64,
    pub(crate) allocated: u64,
}

impl Area {
    pub(crate) fn available(&self) -> u64 {
        self.size.saturating_sub(self.allocated)
    }
}
