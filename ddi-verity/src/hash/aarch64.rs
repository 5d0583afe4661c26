//! Kernels for aarch64, one instruction set a file.
//!
//! Checked under emulation, unmeasured on real hardware. For little-endian machines: [`Backend`](super::Backend)
//! offers them to no others.

pub(super) mod sha2;
pub(super) mod sha512;
