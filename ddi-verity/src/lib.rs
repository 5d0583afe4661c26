//! dm-verity in user space.
#![deny(unsafe_code)]

mod error;
mod geometry;
mod hash;
mod layout;
mod params;
mod read_at;
#[cfg(feature = "signature")]
mod signature;
mod superblock;

pub use error::{AlgorithmName, Error, ErrorKind, Storage};
pub use geometry::{Geometry, Strictness, Widened, check_geometry};
pub use hash::{Algorithm, Backend, BlockHasher, Digest, HashType, ParseRootHashError, RootHash};
pub use layout::{Layout, Level, Placement};
pub use params::{MAX_BLOCK_SIZE, MAX_SALT_SIZE, MIN_BLOCK_SIZE, Params, ParseSaltError, Salt};
pub use read_at::{FileSource, ReadAt, Section};
#[cfg(feature = "signature")]
pub use signature::{Fingerprint, MAX_SIGNATURE_SIZE, RootHashSignature, SignatureError};
pub use superblock::{Examined, SIGNATURE, SUPERBLOCK_SIZE, Superblock};
