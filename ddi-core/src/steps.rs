//! What [`Dissection`](crate::Dissection) does, one step at a time, for tools that need one of them alone.
//!
//! ```text
//!  path ─ ImageFile ─▶ Image ──────────▶ DissectionRecord ────────▶ verity_sets ──────▶ prove ──────────▶ Assessment
//!         one handle   partition table   what each partition  data ↔ hash tree    every block       proven, and on
//!                      (ddi-gpt)         is for, as systemd   ↔ signature         (ddi-verity)      whose word
//!                          │             sees it, or why not                                             │
//!                          └───────────────────▶ Report: everything that could be read ◀────────────────┘
//! ```
//!
//! Each step takes what the one before gave, of the same image and with the same options. Whoever mixes them up gets an
//! error or a smaller answer, never more trust: that is in [`TrustedRootHash`](crate::TrustedRootHash) alone.
//!
//! ```no_run
//! use ddi_core::Image;
//! use ddi_core::steps::{DissectOptions, DissectionRecord, ProveOptions, VeritySettings, prove, verity_sets};
//!
//! let image = Image::open("image.raw")?;
//! let verity = VeritySettings::new(None, image.sidecars());
//! let dissection = DissectionRecord::new(&image, &DissectOptions::new(verity));
//! let options = ProveOptions::default();
//! for set in verity_sets(&image, &dissection, &options.bind()) {
//!     println!("{:?}: {:?}", set.role, set.root_hash);
//! }
//! println!("{}", prove(&image, &dissection, &options));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use crate::dissect::{
    Better, DissectOptions, DissectedImage, DissectionRecord, FileSystem, ImageFilter, Partition, Protection,
    Selection, Skipped, Transient, VeritySettings, dissect,
};
pub use crate::error::{BindingError, Step};
pub use crate::image::file::{ImageFile, SidecarSignature, Sidecars, image_name, sidecar_paths};
pub use crate::image::{ProbeResult, Table, examine_source, mbr};
pub use crate::mount::{Contents, Files};
#[cfg(feature = "files")]
pub use crate::mount::{DestinationFault, LeftOut};
pub use crate::prove::{ContentRule, Exception, ProveOptions, Scope, TailRule, Unfit, prove};
pub use crate::report::finding::{FactError, LabelAnomaly, Sidecar, SidecarError};
pub use crate::report::{EntryFacts, Mount, Refused, ReportOptions, SignatureFacts, VerityColumn};
pub use crate::shown_name::ShownName;
pub use crate::trust::signature::{CheckedSignature, SignaturePlace, SignatureState};
pub use crate::verity_set::{BindOptions, Extent, VeritySet, verity_sets};
