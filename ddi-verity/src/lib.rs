//! dm-verity in user space: hash trees built, checked and read through, without root, device mapper or loop devices.
//!
//! ```text
//!                                 root hash = H(top block)                  given, or signed
//!                                     │
//!              level 1          ┌─────┴─────┐                               hash source, level by level
//!              level 0     ┌────┴───┐  ┌────┴───┐                           behind a superblock:
//!                          │128 × 32│  │128 × 32│   digests of 4 KiB blocks   salt, sizes, algorithm
//!                          └┬──┬──┬─┘  └┬──┬──┬─┘
//!              data blocks  0  1  …    128 129 …                            data source
//! ```
//!
//! - [`HashTree`] builds a tree, checks data and tree against a root hash (with a [`Verdict`] that names every bad block),
//!   and updates a tree after a change; in parallel, several blocks a core at once, in memory that does not grow with the
//!   image. The bytes are those of `veritysetup`.
//! - [`TreeWriter`] computes a tree while the data is written; other threads hash what the writer makes.
//! - [`VerifiedReader`] reads at random, and gives no byte that did not hash up to the root.
//! - [`Superblock`], [`Params`] and [`Layout`] are what is on disk; [`check_geometry`] is what a root hash does not tell.
//! - [`ReadAt`] is storage: files, block devices, memory, a [`Section`] of any of these, or your own.
//!
//! ```
//! use ddi_verity::{HashTree, Options, Placement, Strictness, Superblock, check_geometry};
//! # use ddi_verity::{Algorithm, HashType, Params, Salt, WriteAt};
//! # let data = vec![7; 300 * 4096];
//! # let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 300, Salt::EMPTY)?;
//! # let image = std::sync::Mutex::new(vec![0; 4096]);
//! # let root_hash = HashTree::new(params, Placement::Superblock(0))?.build(&data, &image, &Options::new())?;
//! # image.write_all_at(0, &Superblock { params, uuid: [0; 16] }.to_bytes())?;
//! # let hash = image.into_inner()?;
//! # let root_hash = root_hash.to_string();
//! // `data` and `hash` may be any sources; these are byte vectors
//! let params = Superblock::read(&hash, 0)?.params;
//! let tree = HashTree::new(params, Placement::Superblock(0))?;
//! let tree = check_geometry(tree, data.len() as u64, hash.len() as u64, Strictness::STRICT)?;
//!
//! let verdict = tree.verify(&data, &hash, &root_hash.parse()?, &Options::new())?;
//! assert!(verdict.is_proven(), "bad blocks: {:?}", verdict.corrupt_data);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a root hash vouches for is the content of blocks, and only if whoever gave it is trusted. The superblock is not
//! covered: its fields are used consistently and checked strictly, and no more than that.
//!
//! # Features
//!
//! | feature | default | brings |
//! | --- | --- | --- |
//! | `rayon` | yes | threads; without it the same work is done on the calling thread |
//! | `fec` | yes | forward error correction: parity, and repair by it |
//! | `json` | no | results as JSON, by `serde_json` |
#![deny(unsafe_code)]

pub use ddi_io::{FileSource, ReadAt, Section, Stream, WriteAt};

mod error;
mod exception;
#[cfg(feature = "fec")]
mod fec;
mod format;
mod geometry;
mod hash;
#[cfg(feature = "json")]
pub mod json;
mod layout;
mod options;
mod parallel;
mod params;
mod reader;
mod superblock;
mod tree;
mod update;
mod verdict;
mod writer;

pub use error::{AlgorithmName, Error, ErrorKind, Storage};
#[cfg(feature = "fec")]
pub use fec::{
    DEFAULT_ROOTS, FecHints, FecLayout, Fitting, MAX_ROOTS, MIN_ROOTS, Parity, PendingParity, ReadStats,
    Repair, RepairSources, Repaired, Sink,
};
pub use format::{FormatOptions, Formatted, OpenOptions};
pub use geometry::{CheckedTree, Geometry, GeometryException, Strictness, check_geometry};
pub use hash::{Algorithm, Backend, BlockHasher, Digest, HashType, ParseRootHashError, RootHash};
pub use layout::{Layout, Level, Placement};
pub use options::{MAX_THREADS, Options};
pub use params::{MAX_BLOCK_SIZE, MAX_SALT_SIZE, MIN_BLOCK_SIZE, Params, ParseSaltError, Salt};
pub use reader::{DEFAULT_CACHE_SIZE, VerifiedReader};
pub use superblock::{Examined, SIGNATURE, SUPERBLOCK_SIZE, Superblock};
pub use tree::HashTree;
pub use update::Updated;
pub use verdict::{BlockRanges, LevelVerdict, MAX_RANGES, Verdict};
pub use writer::TreeWriter;
