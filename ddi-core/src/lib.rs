//! Discoverable Disk Images.
#![forbid(unsafe_code)]
pub use ddi_gpt as gpt;
pub use ddi_verity as verity;

mod bind;
mod dissect;
mod error;
mod finding;
pub mod fs;
mod image;
pub mod mbr;
pub mod policy;
pub mod prove;
mod report;
mod source;
#[cfg(test)]
mod testing;
mod trust;

pub use bind::{BindOptions, Part, VeritySet, verity_sets};
pub use dissect::{
    Better, DissectOptions, DissectedImage, Dissection, FileSystem, Partition, Protection, Selection,
    Skipped, Transient, VeritySettings, dissect,
};
pub use error::{BindingError, Error, ErrorKind, Step};
pub use finding::{Beside, BesideProblem, Finding, LabelOddity, Oddity, Severity};
pub use image::{Image, Table};
pub use prove::{Assessment, ContentRule, Outcome, Proof, ProveOptions, Scope, TailRule, Widening, prove};
pub use report::{
    Assurance, Content, EntryFacts, ImageKind, Mount, PartitionReport, Refused, Report, ReportOptions,
    SignatureFacts, VerityColumn,
};
pub use source::{ImageFile, SidecarSignature, Sidecars, image_name};
pub use trust::{KnownRootHash, Role, RootHashOrigin, TrustedRootHash, Word};
