//! Discoverable Disk Images: what is in one, what belongs together, and how much of it can be proven.
//!
//! ```text
//!  path ─ ImageFile ─▶ Image ──────────▶ DissectionRecord ────────▶ verity_sets ──────▶ prove ──────────▶ Assessment
//!         one handle   partition table   what each partition  data ↔ hash tree    every block       proven, and on
//!                      (ddi-gpt)         is for, as systemd   ↔ signature         (ddi-verity)      whose word
//!                          │             sees it, or why not                                             │
//!                          └───────────────────▶ Report: everything that could be read ◀────────────────┘
//! ```
//!
//! Everything in an image, and beside it, is the word of whoever wrote it. Two things turn it into more, and both are
//! types: a [`TrustedRootHash`], which only the caller or a checked signature can give, and an [`Outcome`], which only
//! [`prove()`] can give. No environment variable changes any of it.
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
//! | `ecdsa-sha512` | no | the one kind of signature that `ring` does not check |
//! | `files` | yes | all readers of file systems: `fs-btrfs`, `fs-erofs`, `fs-ext4`, `fs-squashfs`, `fs-vfat`, `fs-xfs` |
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

pub use ddi_fs as fs;
pub use ddi_gpt as gpt;
pub use ddi_io as io;
pub use ddi_signature as signature;
pub use ddi_verity as verity;

mod dissect;
mod dissection;
mod error;
mod image;
#[cfg(feature = "json")]
pub mod json;
mod mount;
pub mod policy;
pub mod prove;
mod report;
#[cfg(test)]
mod testing;
mod trust;
mod unproven;
mod verity_set;

pub use ddi_io::MAX_UNPACKED_RATIO;
pub use ddi_io::{
    Compression, MAX_UNPACKED_SIZE, MAX_WINDOW_SIZE, SPOOL_DIRECTORY, SpoolOptions, UnpackError, spool,
};
pub use dissect::{
    Better, DissectOptions, DissectedImage, DissectionRecord, FileSystem, ImageFilter, Partition, Protection,
    Selection, Skipped, Transient, VeritySettings, dissect,
};
pub use dissection::Dissection;
pub use error::{BindingError, Error, ErrorKind, Step};
pub use image::file::{ImageFile, SidecarSignature, Sidecars, image_name, sidecar_paths};
pub use image::{Image, ProbeResult, Table, mbr};
pub use mount::{Contents, DirEntry, Files, MAX_FILE_SIZE, MountError, Mounted, MountedTree, ReadError};
pub use policy::evaluation::{Access, PolicyEvaluation, PolicyResult};
pub use prove::damage::{Damage, DamagedBlocks};
#[cfg(feature = "fec")]
pub use prove::fec::FecDevice;
pub use prove::partition::ProvenPartition;
pub use prove::{
    Assessment, ContentRule, Exception, Outcome, Proof, ProveOptions, Scope, TailRule, Unfit, prove,
};
pub use report::finding::{
    Authority, FactError, Finding, FindingKind, LabelAnomaly, Severity, Sidecar, SidecarError,
};
pub use report::{
    Content, EntryFacts, ImageKind, Mount, PartitionReport, Refused, Report, ReportOptions, SignatureFacts,
    VerityColumn,
};
pub use trust::signature::{CheckedSignature, SignaturePlace, SignatureState};
pub use trust::{Assurance, DataSize, KnownRootHash, Role, RootHashOrigin, Trust, TrustedRootHash, Voucher};
pub use unproven::Unproven;
pub use verity_set::{BindOptions, Extent, VeritySet, verity_sets};
