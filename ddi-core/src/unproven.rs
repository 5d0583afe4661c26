//! What lies in an image beside what was proven, and would be used all the same.
//!
//! A proof of root says nothing of a home partition that is mounted over it, nor of the root partition that a machine of
//! another architecture takes out of the same table. So that nobody reads a *verified* as one of everything, each such
//! partition is named.

use core::fmt;

use ddi_gpt::{Architecture, Designator, PartitionType};

use crate::dissect::{DissectionRecord, Selection, Skipped};
use crate::image::{Image, Table};
use crate::prove::outcome::{Outcome, Proof};
use crate::verity_set::VeritySet;

/// A partition that some systemd would mount, or swap to, and of which nothing was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unproven {
    /// Its number.
    pub number: u32,
    /// What it is for.
    pub designator: Designator,
    /// The machine that it is for, if its type says so.
    pub architecture: Option<Architecture>,
    /// Whether the machine that the image was dissected for uses it, and if not, why. Another machine, version of
    /// systemd, root hash or policy may lead to another choice.
    pub selection: Selection,
    /// It is root or usr for a machine of another architecture than what was proven, and nothing protects it: that machine
    /// would use it as it is.
    pub is_exposed: bool,
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} ({}", self.number, self.designator)?;
        if let Some(architecture) = self.architecture {
            write!(f, " {architecture}")?;
        }
        f.write_str(match (self.is_exposed, self.selection) {
            (true, _) => "): not protected, and used by machines of that architecture",
            (false, Selection::Chosen(_)) => "): used, and nothing of it is proven",
            (false, Selection::Skipped(Skipped::Policy)) => {
                "): left alone by the policy, and nothing of it is proven"
            }
            (false, Selection::Skipped(_)) => "): not used here, and nothing of it is proven",
        })
    }
}

/// Every such partition but those that have a proof, good or bad. Those that every systemd leaves alone are left out: free
/// slots, and those that their attributes say not to mount.
pub(crate) fn unproven(
    image: &Image,
    dissection: &DissectionRecord,
    sets: &[VeritySet],
    proofs: &[Proof],
) -> Vec<Unproven> {
    let is_mounted =
        |designator: Designator| designator.mount_point().is_some() || designator == Designator::Swap;
    let is_told =
        |number| proofs.iter().any(|proof| proof.data.is_some_and(|data| data.number == Some(number)));
    let found: Vec<(u32, Designator, Option<Architecture>)> = match image.table() {
        // the file system is all there is, as a table behind it is not used
        _ if dissection.outcome.as_ref().is_ok_and(|dissected| dissected.bare) => Vec::new(),
        Table::Gpt(gpt) => {
            let of = |partition: &ddi_gpt::Partition| match partition.partition_type() {
                PartitionType::Designated(designator, architecture)
                    if !partition.name.is_empty_slot() && !partition.effect().skipped =>
                {
                    Some((partition.number, designator, architecture))
                }
                _ => None,
            };
            gpt.partitions().iter().filter_map(of).collect()
        }
        // types of an MBR name no architecture: each machine makes the same choice
        _ => Designator::ALL
            .into_iter()
            .filter_map(|designator| Some((dissection.chosen(designator)?, designator, None)))
            .collect(),
    };
    let is_proven = |proof: &&Proof| matches!(proof.outcome, Outcome::Verified | Outcome::Intact);
    let proven = || proofs.iter().filter(is_proven).map(|proof| proof.architecture);
    let protected = |number| sets.iter().any(|set| set.data.is_some_and(|data| data.number == Some(number)));
    found
        .into_iter()
        .filter(|(number, designator, _)| is_mounted(*designator) && !is_told(*number))
        .map(|(number, designator, architecture)| {
            // what was proven and names no architecture may be for that very machine
            let is_foreign = architecture.is_some()
                && proven().next().is_some()
                && proven().all(|of| of.is_some() && of != architecture);
            Unproven {
                number,
                designator,
                architecture,
                selection: dissection.selection(number).unwrap_or(Selection::Skipped(Skipped::NotReached)),
                is_exposed: is_foreign && !protected(number),
            }
        })
        .collect()
}
