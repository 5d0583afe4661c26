//! Disk images made from systemd-repart's definitions (`repart.d`), without root.
//!
//! ```text
//!  10-root.conf ┐                       ┌ a disk: size, sectors, the table that is there
//!  20-hash.conf ┼▶ Definitions ──▶ Plan ┤
//!  30-sig.conf  ┘   parsed,         │   └ Sizes of files and file systems
//!                   checked         ▼
//!                       0        20480            1069056          2113536
//!                       ├ table ──┼ root ───────────┼ root-verity ──┼ sig ┤ table ┤
//! ```
//!
//! [`Definitions`] are parsed and checked against themselves, and touch nothing. A [`Plan`] gives every partition its place,
//! size, GUID, label and attributes, by the numbers of systemd-repart (of which version, [`Compatibility`] says); it can be
//! printed, and serialises to the JSON of `systemd-repart --json`. All refusals come before anything is written: a key that is
//! not known, or known and not done here, is an error with file and line, never passed over.
//!
//! ```
//! use ddi_build::{DefinitionOptions, Definitions, ImageSize, Plan, PlanOptions};
//!
//! let texts = [
//!     ("10-esp.conf", "[Partition]\nType=esp\nSizeMinBytes=8M\nSizeMaxBytes=8M\n"),
//!     ("20-var.conf", "[Partition]\nType=var\n"),
//! ];
//! let definitions = Definitions::from_texts(texts, &DefinitionOptions::new())?;
//! let options = PlanOptions::new("11111111-2222-4333-8444-555555555555".parse()?).size(ImageSize::Bytes(64 << 20));
//! let plan = Plan::new(&definitions, &options)?;
//! print!("{plan}");
//! let [esp, var] = plan.partitions() else { panic!("two partitions") };
//! assert_eq!((esp.offset, esp.size), (1 << 20, 8 << 20));
//! assert_eq!(var.offset + var.size + var.padding, (64 << 20) - 20480);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Contents`] opens the files and makes the file systems that a plan needs the sizes of; [`write()`] carries the plan out. Data is
//! hashed while it is written into the image, and the image has no name until all of it is on the disk:
//!
//! ```
//! use ddi_build::{
//!     ContentOptions, Contents, DefinitionOptions, Definitions, Plan, PlanOptions, Root, Tools, WriteOptions,
//! };
//!
//! # let folder = std::env::temp_dir().join(format!("ddi-build-example-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # std::fs::write(folder.join("os.erofs"), vec![7; 1 << 20])?;
//! let texts = [
//!     ("10-usr.conf", "[Partition]\nType=usr\nCopyBlocks=/os.erofs\nVerity=data\nVerityMatchKey=usr\n"),
//!     ("20-hash.conf", "[Partition]\nType=usr-verity\nVerity=hash\nVerityMatchKey=usr\nMinimize=best\n"),
//! ];
//! let definitions = Definitions::from_texts(texts, &DefinitionOptions::new())?;
//! let seed = "11111111-2222-4333-8444-555555555555".parse()?;
//! let (root, tools) = (Root::open(&folder)?, Tools::new());
//! let contents = Contents::prepare(&definitions, ContentOptions::new(&root, &tools, seed).folder(&folder))?;
//! let options = PlanOptions::new(seed).image(folder.join("os.raw")).sizes(contents.sizes().clone());
//! let plan = Plan::new(&definitions, &options)?;
//! let written = ddi_build::write(&plan, &definitions, &contents, &WriteOptions::new())?;
//! println!("usrhash={}", written.plan.trees()[0].root_hash.unwrap());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Bounds
//!
//! At most 4096 files of at most 4 MiB are read, for at most [`MAX_DEFINITIONS`] definitions. Sizes may be anything: where sums
//! would pass 64 bits, the partitions do not fit.
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

mod archive;
mod bake;
mod compatibility;
mod content;
mod copy;
mod definitions;
mod error;
mod geometry;
#[cfg(feature = "json")]
pub mod json;
mod output;
mod plan;
mod root;
mod specifiers;
mod split;
mod tools;
mod write;

pub use archive::{Archive, ArchiveFault, ArchiveOptions, MAX_MEMBERS, MAX_NAMES};
pub use bake::{Bake, BakeFault, BakeKind, Baked};
pub use compatibility::{Compatibility, UnknownCompatibility};
pub use content::{ContentOptions, Contents, Owners};
pub use definitions::parse_size;
pub use definitions::{
    CopyBlocks, DEFINITION_FOLDERS, Definition, DefinitionOptions, Definitions, Format, MAX_DEFINITIONS,
    Notice, VerityRole,
};
pub use error::{DefinitionFault, Error, ErrorKind, Place, PlanFault, SourceFault, ToolFault, ValueFault};
pub use geometry::Geometry;
pub use plan::{
    Activity, Content, Dropped, Empty, ImageSize, Plan, PlanOptions, PlannedPartition, PlannedTree, Sizes,
};
pub use root::Root;
pub use specifiers::{SpecifierFault, Specifiers};
pub use split::{Split, SplitFile};
pub use tools::Tools;
pub use write::{Signing, WriteOptions, Written, write};
