//! Kernels for x86-64, one instruction set and algorithm a file.

pub(super) mod avx2_sha256;
pub(super) mod avx2_sha512;
pub(super) mod avx512_sha256;
pub(super) mod avx512_sha512;
pub(super) mod sha_ni;
