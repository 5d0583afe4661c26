//! Which partition is for what: the decisions of systemd's `dissect_image()`, version 261, without a kernel.
//!
//! The steps and their letters are those of `docs/formats.md`; in short:
//!
//! ```text
//! A, B  a file system over the whole image wins over any partition table
//! C     GPT, else MBR, else nothing
//! D     each entry in order: whether its type is known, it may be used, and it is better than the one before it
//! E     MBR: the active Linux partition is the root file system
//! F     whether root, usr and their hash trees go together
//! G, H  policy; whether there is anything at all
//! I     file systems
//! ```
//!
//! [`DissectionRecord`] keeps the reason for every single entry, also when the image as a whole is refused.
//!
//! Two rules are stricter than systemd's and can be widened: a table that overlaps itself or leaves the disk is
//! refused as a whole (ddi-gpt), and partitions labelled `PRT#…` or `PND#…` are skipped, as the Discoverable
//! Partitions Specification demands ([`DissectOptions::transient`]).

mod filter;
mod options;
mod partition;
pub(crate) mod selection;
mod steps;

use ddi_gpt::Designator;

use crate::error::Error;
use crate::image::Image;

pub use filter::ImageFilter;
pub use options::{DissectOptions, Transient, VeritySettings};
pub use partition::{DissectedImage, FileSystem, Partition, Protection};
pub use selection::{Better, Selection, Skipped};
use steps::Dissector;

/// The whole course of a dissection: what became of every entry, and how it ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct DissectionRecord {
    /// What became of each entry of the table, in its order, by number.
    pub selections: Vec<(u32, Selection)>,
    /// The image, or why it is refused: by systemd too, if that is the error's [`authority`](Error::authority).
    pub outcome: Result<DissectedImage, Error>,
    /// Every reason to refuse it that was found; the first is that of `outcome`. systemd ends at the first, and so do we,
    /// except where root and usr do not go together but can be judged each by itself (see
    /// [`prove`](crate::steps::prove())).
    pub refusals: Vec<Error>,
}

/// Dissects an image.
///
/// # Errors
/// One variant of [`Error`] for each line of systemd's error table; see there.
pub fn dissect(image: &Image, options: &DissectOptions) -> Result<DissectedImage, Error> {
    DissectionRecord::new(image, options).outcome
}

impl DissectionRecord {
    /// Dissects an image and keeps what became of each partition.
    pub fn new(image: &Image, options: &DissectOptions) -> Self {
        let mut dissector = Dissector::new(image, options);
        let outcome = dissector.run();
        let mut refusals = std::mem::take(&mut dissector.discord);
        refusals.extend(outcome.as_ref().err().cloned());
        if !refusals.is_empty() && dissector.left_out_transient() {
            // systemd leaves none of them out, and it may be that nothing else is wrong
            let theirs = DissectOptions { transient: Transient::Consider, ..options.clone() };
            if DissectionRecord::new(image, &theirs).outcome.is_ok() {
                refusals =
                    refusals.into_iter().map(|error| Error::WithoutTransient(Box::new(error))).collect();
            }
        }
        let outcome = refusals.first().map_or(outcome, |first| Err(first.clone()));
        DissectionRecord { selections: dissector.selections, outcome, refusals }
    }

    /// What became of partition `number`.
    pub fn selection(&self, number: u32) -> Option<Selection> {
        self.selections.iter().find(|(n, _)| *n == number).map(|(_, selection)| *selection)
    }

    /// The partition that is the choice for `designator`, also in an image that is refused.
    pub fn chosen(&self, designator: Designator) -> Option<u32> {
        let is_chosen = |(_, selection): &&(u32, Selection)| *selection == Selection::Chosen(designator);
        self.selections.iter().find(is_chosen).map(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests;
