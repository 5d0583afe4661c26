//! Discoverable Disk Images: what is in one, what belongs together, and how much of it can be proven.
//!
//! ```text
//!  path ─ ImageFile ─▶ Image ──────────▶ Dissection ────────▶ verity_sets ──────▶ prove ──────────▶ Assessment
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
//! use ddi_core::{
//!     Dissection, DissectOptions, Image, Outcome, ProveOptions, Role, TrustedRootHash, VeritySettings, prove,
//! };
//!
//! let image = Image::open("image.raw")?;
//! let root_hash = "29be02267c97efb053f9b32fc180ed39329d31533e5b2d9af7b1bc48a5297f44".parse()?;
//! let trusted = [TrustedRootHash::by_caller(root_hash, Role::Root)];
//!
//! let verity = VeritySettings::new(&trusted, image.sidecars());
//! let dissection = Dissection::new(&image, &DissectOptions::new(verity));
//! let mut options = ProveOptions::default();
//! options.trusted = &trusted;
//! assert_eq!(prove(&image, &dissection, &options).outcome, Outcome::TrustedAndProven);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub use ddi_gpt as gpt;
pub use ddi_verity as verity;

mod bind;
pub mod check;
mod compressed;
mod contents;
mod damage;
mod decide;
mod dissect;
mod error;
pub mod files;
mod filter;
mod finding;
pub mod fs;
mod image;
mod kept;
pub mod mbr;
pub mod metadata;
mod open;
pub mod policy;
pub mod prove;
mod report;
mod signed;
mod source;
mod spool;
#[cfg(test)]
mod testing;
mod trust;
#[cfg(feature = "uki")]
pub mod uki;
mod unit_file;
mod unproven;
#[cfg(feature = "update")]
pub mod update;

pub use bind::{BindOptions, Part, VeritySet, verity_sets};
pub use compressed::{Compression, MAX_WINDOW_SIZE, UnpackError};
pub use contents::{Contents, Files, Mounted, Unreadable};
pub use damage::{Damage, DamagedBlocks};
pub use decide::{Judgement, Permission, Ruling};
pub use dissect::{
    Better, DissectOptions, DissectedImage, Dissection, FileSystem, Partition, Protection, Selection,
    Skipped, Transient, VeritySettings, dissect,
};
pub use error::{BindingError, Error, ErrorKind, Step};
pub use filter::ImageFilter;
pub use finding::{Beside, BesideProblem, Finding, LabelOddity, Oddity, Severity};
pub use image::{Image, Table};
pub use open::ProvenPartition;
pub use prove::{
    Assessment, ContentRule, Outcome, Proof, ProveOptions, Scope, TailRule, Unfit, Widening, prove,
};
pub use report::{
    Assurance, Content, EntryFacts, ImageKind, Inside, InsideProblem, Mount, PartitionReport, Refused,
    Report, ReportOptions, SignatureFacts, VerityColumn,
};
pub use signed::{CheckedSignature, SignaturePlace, SignatureState};
pub use source::{ImageFile, SidecarSignature, Sidecars, image_name, sidecar_paths};
pub use spool::{MAX_UNPACKED_RATIO, MAX_UNPACKED_SIZE, SPOOL_DIRECTORY, SpoolOptions, spool};
pub use trust::{DataSize, KnownRootHash, Role, RootHashOrigin, TrustedRootHash, Word};
pub use unproven::Unproven;
