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

mod compatibility;
mod content;
mod copy;
mod definitions;
mod error;
mod geometry;
mod output;
mod plan;
mod root;
mod specifiers;
mod tools;
mod write;

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
pub use tools::Tools;
pub use write::{Signing, WriteOptions, Written, write};
