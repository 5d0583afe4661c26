//! What damage means: which files lie in the blocks of a partition that do not match.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ddi_io::ReadAt;
use ddi_verity::{Verdict, VerifiedReader};

use crate::dissect::DissectionRecord;
use crate::error::Error;
use crate::image::Image;
use crate::mount::MountError;
use crate::prove::partition::ProvenPartition;
use crate::prove::sources::metered_sources;
use crate::prove::{Proof, ProveOptions};
use crate::verity_set::{VeritySet, verity_sets};
use ddi_fs::{self as files, Budget, Owners, Walk};
use ddi_fs::{FsKind, probe as fs};

/// The shape of what is gone through. How much of it, the account of the image says.
const WALK: Budget = Budget { entries: u64::MAX, names: 4 << 20, depth: 200, bytes: 0, time: Duration::MAX };

/// Data blocks that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedBlocks {
    /// By number.
    pub blocks: Range<u64>,
    /// True if they do not match their digests; false if the digests themselves are not proven.
    pub corrupt: bool,
}

/// Which files lie in the data blocks of a partition that are not proven, as far as the others tell.
///
/// The file system is read through proven blocks alone: what is said here is true of the image that the root hash is of.
#[derive(Debug)]
#[non_exhaustive]
pub struct Damage {
    /// The file system.
    pub kind: Option<FsKind>,
    /// Size of a data block in bytes; `None` if its tree is gone.
    pub block_size: Option<u32>,
    /// The blocks, ascending; not all of them if the [`Verdict`] has not kept all ranges.
    pub blocks: Vec<DamagedBlocks>,
    /// True if there are more.
    pub is_truncated: bool,
    /// What lies there: one range for each of `blocks`. Else why nothing can be told.
    pub owners: Result<Owners, MountError>,
}

impl Damage {
    /// For each proof of `image`, goes through its file system if it did not come out well; `None` if it did, or if there is
    /// no verdict on blocks. Everything else is as it was given to [`prove`](crate::steps::prove()).
    ///
    /// All of them together have what is left in the [account](Image::meter) of the image, and the time of one: where that is
    /// spent, [`Owners::stopped`] or the reason why nothing can be told says so.
    pub fn find_all(
        image: &Image,
        dissection: &DissectionRecord,
        proofs: &[Proof],
        options: &ProveOptions<'_>,
    ) -> Vec<Option<Self>> {
        // found once, and only if there is need of them
        let mut sets = None;
        image.meter().restart_clock();
        let find = |proof: &Proof| {
            let blocks = blocks(proof.verdict.as_ref()?);
            if blocks.is_empty() {
                return None;
            }
            let sets = sets.get_or_insert_with(|| verity_sets(image, dissection, &options.bind()));
            Some(Damage::of(image, sets, proof, blocks))
        };
        proofs.iter().map(find).collect()
    }

    /// The same, for sets that were found already.
    pub(crate) fn find_in(image: &Image, sets: &[VeritySet], proofs: &[Proof]) -> Vec<Option<Self>> {
        image.meter().restart_clock();
        let find = |proof: &Proof| {
            let blocks = blocks(proof.verdict.as_ref()?);
            (!blocks.is_empty()).then(|| Damage::of(image, sets, proof, blocks))
        };
        proofs.iter().map(find).collect()
    }

    /// For data blocks of a partition that were found corrupt when they were read: `blocks`, ascending.
    pub(crate) fn found(
        image: &Image,
        sets: &[VeritySet],
        partition: &ProvenPartition,
        blocks: &[Range<u64>],
    ) -> Self {
        let blocks = blocks.iter().map(|blocks| DamagedBlocks { blocks: blocks.clone(), corrupt: true });
        let mut damage = Damage {
            kind: None,
            block_size: Some(partition.tree().params().data_block_size()),
            blocks: blocks.collect(),
            is_truncated: false,
            owners: Err(MountError::Unrecognised),
        };
        let is_its = |set: &&VeritySet| {
            (set.data, set.hash) == (Some(partition.data()), partition.hash())
                && set.root_hash.is_some_and(|known| known.hash == partition.root_hash().hash)
        };
        image.meter().restart_clock();
        if let Some(set) = sets.iter().find(is_its) {
            damage.owners = damage.owners(image, set);
        }
        damage
    }

    fn of(image: &Image, sets: &[VeritySet], proof: &Proof, blocks: Vec<DamagedBlocks>) -> Self {
        let is_its =
            |set: &&VeritySet| (set.role, set.data, Some(set.hash)) == (proof.role, proof.data, proof.hash);
        let is_truncated =
            |verdict: &Verdict| verdict.corrupt_data.is_truncated() || verdict.unproven_data.is_truncated();
        let mut damage = Damage {
            kind: None,
            block_size: None,
            blocks,
            is_truncated: proof.verdict.as_ref().is_some_and(is_truncated),
            owners: Err(MountError::Unrecognised),
        };
        if let Some(set) = sets.iter().find(is_its) {
            damage.block_size = set.tree.as_ref().map(|tree| tree.params().data_block_size());
            damage.owners = damage.owners(image, set);
        }
        damage
    }

    fn owners(&mut self, image: &Image, set: &VeritySet) -> Result<Owners, MountError> {
        let (Some(tree), Some(data), Some(root_hash)) = (&set.tree, set.data, set.root_hash) else {
            return Err(MountError::Unproven(Error::RootHashUnknown { role: set.role }));
        };
        image.meter().check().map_err(MountError::FileSystem)?;
        let block_size = u64::from(tree.params().data_block_size());
        let (data_source, hash_source) = metered_sources(image, set, data).map_err(MountError::Source)?;
        // there is a verdict, so its geometry was checked
        let tree = tree.clone().vouched();
        let reader = VerifiedReader::open(data_source, hash_source, tree, &root_hash.hash);
        let reader: Arc<dyn ReadAt> = Arc::new(reader.map_err(|error| {
            MountError::Unproven(Error::Verity {
                role: set.role,
                partition: set.hash.number,
                error: Arc::new(error),
            })
        })?);
        // where proven bytes do not tell the kind, the others may: its reader looks at proven ones again
        self.kind = match fs::probe(&reader) {
            Ok(Some(probe)) => Some(probe.kind),
            _ => {
                let looked = match data.number {
                    Some(number) => image.probe(number),
                    None => Some(image.whole()),
                };
                looked.and_then(|looked| looked.any().ok().flatten()).map(|probe| probe.kind)
            }
        };
        let kind = self.kind.ok_or(MountError::Unrecognised)?;
        if kind == FsKind::CryptoLuks {
            return Err(MountError::Encrypted);
        }
        let fs = files::open_within(reader, kind, image.meter()).map_err(MountError::FileSystem)?;
        let bytes = |blocks: &Range<u64>| {
            blocks.start.saturating_mul(block_size)..blocks.end.saturating_mul(block_size)
        };
        let ranges: Vec<_> = self.blocks.iter().map(|damaged| bytes(&damaged.blocks)).collect();
        files::owners(&fs, &ranges, Walk::new(WALK)).map_err(MountError::FileSystem)
    }
}

fn blocks(verdict: &Verdict) -> Vec<DamagedBlocks> {
    let with = |ranges: &[Range<u64>], corrupt| -> Vec<DamagedBlocks> {
        ranges.iter().map(|blocks| DamagedBlocks { blocks: blocks.clone(), corrupt }).collect()
    };
    let mut blocks = with(verdict.corrupt_data.ranges(), true);
    blocks.extend(with(verdict.unproven_data.ranges(), false));
    blocks.sort_unstable_by_key(|damaged| damaged.blocks.start);
    blocks
}
