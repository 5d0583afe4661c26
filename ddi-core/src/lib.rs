//! Discoverable Disk Images: what is in one, what belongs together, and how much of it can be proven.
//!
//! ```text
//!  Image ── dissect(&Trust) ──▶ Dissection ┬─ verify ────▶ Assessment       every block, and on whose word
//!  (ddi-gpt)                               ├─ mount ─────▶ MountedTree      files, each through proven blocks
//!                                          ├─ partition ─▶ ProvenPartition  its bytes, each block proven when read
//!                                          ├─ report ────▶ Report           all that could be read, and what is odd
//!                                          ├─ evaluate ──▶ PolicyEvaluation whether it may be used
//!                                          └─ damage ────▶ Damage           corrupt blocks, and the files that they hit
//! ```
//!
//! [`steps`] has the same one step at a time.
//!
//! Everything in an image, and beside it, is the word of whoever wrote it. Two things turn it into more, and both are
//! types: a [`TrustedRootHash`], which only the caller or a checked signature can give, and an [`Outcome`], which only
//! [`Dissection::verify`] can give. No environment variable changes any of it.
//!
//! ```no_run
//! use ddi_core::{Image, Trust};
//!
//! // must come from a place that whoever made the image cannot write to
//! let root_hash = "29be02267c97efb053f9b32fc180ed39329d31533e5b2d9af7b1bc48a5297f44".parse()?;
//! let disk = Image::open("image.raw")?.dissect(&Trust::root_hash(root_hash));
//!
//! let os_release = disk.mount()?.read("/usr/lib/os-release")?; // proven bytes, or an error
//! assert!(disk.verify()?.is_authentic()); // every protected block
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! | --- | --- | --- |
//! | `signature` | yes | signatures and certificates; without it only a root hash that the caller names is trusted |
//! | `ecdsa-sha512` | no | the signatures, and the keys in certificates, that `ring` does not check |
//! | `sign` | no | making signatures: `ddi_signature::sign` |
//! | `files` | yes | all readers of file systems: `fs-btrfs`, `fs-erofs`, `fs-ext4`, `fs-squashfs`, `fs-vfat`, `fs-xfs`; and copying files out of an image |
//! | `luks2` | yes | the JSON of LUKS2, for the policy flag `encryptedwithintegrity` |
//! | `rayon` | yes | hashing on all cores |
//! | `fec` | no | parity, and partitions that are healed by it while they are read |
//! | `compressed` | no | packed images: `gzip`, `xz`, `zstd` |
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

mod dissect;
mod dissection;
mod error;
mod image;
#[cfg(feature = "json")]
pub mod json;
mod mount;
pub mod policy;
mod prove;
mod report;
mod severity;
mod shown_name;
mod sidecar;
pub mod steps;
#[cfg(test)]
mod testing;
mod trust;
mod unproven;
mod verity_set;

pub use ddi_verity::RootHash;

pub use dissection::Dissection;
pub use error::{Error, ErrorKind};
pub use image::Image;
pub use mount::{DirEntry, MAX_FILE_SIZE, MountError, Mounted, MountedTree, ReadError};
#[cfg(feature = "files")]
pub use mount::{ExtractError, ExtractNotice, ExtractOptions, Extracted};
pub use policy::ImagePolicy;
pub use policy::evaluation::{Access, PolicyEvaluation, PolicyResult};
pub use prove::damage::{Damage, DamagedBlocks};
#[cfg(feature = "fec")]
pub use prove::fec::FecDevice;
pub use prove::partition::ProvenPartition;
pub use prove::{Assessment, Outcome, Proof};
pub use report::finding::{Authority, Finding, FindingKind, Severity};
pub use report::{Content, ImageKind, PartitionReport, Report};
pub use trust::{Assurance, DataSize, KnownRootHash, Role, RootHashOrigin, Trust, TrustedRootHash, Voucher};
pub use unproven::Unproven;

/// What comes of most things here.
pub type Result<T> = core::result::Result<T, Error>;
