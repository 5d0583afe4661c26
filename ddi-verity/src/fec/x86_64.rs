//! Kernels for x86-64, one instruction set a file.

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod gfni256;
pub(crate) mod gfni512;
pub(crate) mod ssse3;
