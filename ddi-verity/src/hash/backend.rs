//! [`Backend`]: which kernels this machine can run, and which one is the fastest.

use super::{Algorithm, Plan, portable};
use core::fmt;

/// A kernel that the CPU was found able to run. Only detection makes one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backend(Kind);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Portable,
}

impl Backend {
    /// The `sha2` and `sha1` crates, one block at a time. Does every algorithm on every machine.
    pub fn portable() -> Self {
        Self(Kind::Portable)
    }

    /// The fastest backend of this machine for `algorithm`. Found out once.
    pub fn detect(algorithm: Algorithm) -> Self {
        let _ = algorithm;
        Self::portable()
    }

    /// Every backend that can do `algorithm` on this machine, the portable one first.
    pub fn available(algorithm: Algorithm) -> Vec<Self> {
        let _ = algorithm;
        vec![Self::portable()]
    }

    /// The backend of that name, if this machine can run it and it does `algorithm`.
    pub fn named(algorithm: Algorithm, name: &str) -> Option<Self> {
        Self::available(algorithm).into_iter().find(|backend| backend.name() == name)
    }

    /// Its name: `portable`, `sha-ni-x2`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
        }
    }

    /// `out` has room for every digest; `block_size` divides `blocks.len()`.
    pub(super) fn hash_blocks(
        self,
        plan: &Plan,
        blocks: &[u8],
        block_size: usize,
        out: &mut [u8],
        stride: usize,
    ) {
        match self.0 {
            Kind::Portable => portable::hash_blocks(plan, blocks, block_size, out, stride),
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.name())
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
