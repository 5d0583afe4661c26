//! dm-verity in user space.
#![deny(unsafe_code)]

mod error;
mod geometry;
mod hash;
mod layout;
#[cfg(feature = "mmap")]
mod mmap;
mod options;
mod parallel;
mod params;
mod read_at;
mod reader;
#[cfg(feature = "signature")]
mod signature;
mod superblock;
mod tree;
mod update;
mod verdict;
mod write_at;
mod writer;

pub use error::{AlgorithmName, Error, ErrorKind, Storage};
pub use geometry::{Geometry, Strictness, Widened, check_geometry};
pub use hash::{Algorithm, Backend, BlockHasher, Digest, HashType, ParseRootHashError, RootHash};
pub use layout::{Layout, Level, Placement};
#[cfg(feature = "mmap")]
pub use mmap::MmapSource;
pub use options::Options;
pub use params::{MAX_BLOCK_SIZE, MAX_SALT_SIZE, MIN_BLOCK_SIZE, Params, ParseSaltError, Salt};
pub use read_at::{FileSource, ReadAt, Section};
pub use reader::{DEFAULT_CACHE_SIZE, Stream, VerifiedReader};
#[cfg(feature = "signature")]
pub use signature::{
    CERTIFICATE_DIRECTORIES, Certificate, CertificateFileError, Certificates, DetachedSignature,
    EmbeddedCertificate, Fingerprint, MAX_SIGNATURE_SIZE, Oid, RootHashSignature, SignatureDigest,
    SignatureError, SignatureScheme, Signer, SignerId, SkippedFile, VerifiedRootHash,
};
pub use superblock::{Examined, SIGNATURE, SUPERBLOCK_SIZE, Superblock};
pub use tree::HashTree;
pub use update::Updated;
pub use verdict::{BlockRanges, LevelVerdict, MAX_RANGES, Verdict};
pub use write_at::WriteAt;
pub use writer::TreeWriter;
