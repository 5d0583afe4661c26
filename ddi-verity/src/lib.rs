//! dm-verity in user space.
#![deny(unsafe_code)]

mod hash;
mod read_at;
#[cfg(feature = "signature")]
mod signature;

pub use hash::{Algorithm, Backend, BlockHasher, Digest, HashType, ParseRootHashError, RootHash};
pub use read_at::{FileSource, ReadAt, Section};
#[cfg(feature = "signature")]
pub use signature::{Fingerprint, MAX_SIGNATURE_SIZE, RootHashSignature, SignatureError};
