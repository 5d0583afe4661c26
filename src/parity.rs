//! Parity for an image, by which damaged blocks are healed while they are read.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use ddi_core::steps::VeritySet;
use ddi_core::{FecDevice, Role};
use ddi_verity::{FecHints, FileSource, ReadAt};

use crate::cli::ParityArgs;
use crate::output;
use crate::overwrite::is_same_path;
use crate::verity::record::FecRecord;

/// Parity that is in use. At the end it is told what was healed.
#[derive(Default)]
pub(crate) struct Parity(Option<FecDevice>);

impl ParityArgs {
    /// The parity that the options name, for the data of `set`, which is of the image at `image`.
    pub(crate) fn open(&self, image: &Path, set: Option<&VeritySet>) -> anyhow::Result<Parity> {
        let (Some(path), Some(set)) = (self.fec_device.as_deref(), set) else { return Ok(Parity(None)) };
        let shown = || path.display().to_string();
        let beside_tree = image != Path::new("-") && is_same_path(path, image).with_context(shown)?;
        let mut hints =
            FecHints { roots: self.fec_roots, hash_blocks: self.fec_hash_blocks, ..FecHints::default() };
        // options that say all leave nothing for a record to say
        let record = match (self.fec_roots, self.fec_hash_blocks, self.fec_offset) {
            (Some(_), Some(_), _) => None,
            _ => FecRecord::read(path)?,
        };
        if let Some(offset) = self.fec_offset {
            ensure!(offset.is_multiple_of(512), "--fec-offset is {offset}, expected a multiple of 512");
        }
        let offset = self.fec_offset.or(record.as_ref().map(|record| record.offset)).unwrap_or(0);
        let source = FileSource::open(path).with_context(shown)?;
        let in_partition = beside_tree && set.hash.number.is_some();
        let size = if in_partition { set.hash.range.size } else { source.size() };
        if let (Some(record), Some(tree), Some(known)) = (&record, &set.tree, set.root_hash) {
            record.check(tree, &known.hash, size.saturating_sub(offset))?;
            record.complete(&mut hints);
        }
        let device = match beside_tree {
            true => FecDevice::beside_tree(set.role, offset),
            false => FecDevice::new(set.role, Arc::new(source), offset),
        };
        Ok(Parity(Some(device.with_hints(hints))))
    }
}

impl Parity {
    pub(crate) fn devices(&self) -> &[FecDevice] {
        self.0.as_slice()
    }
}

impl Drop for Parity {
    fn drop(&mut self) {
        let Some(device) = &self.0 else { return };
        let (data, hash) = (device.stats().healed_data_blocks(), device.stats().healed_hash_blocks());
        let all = match (data, hash) {
            (0, 0) => return,
            (data, 0) => format!("{data} of data"),
            (0, hash) => format!("{hash} of the hash tree"),
            (data, hash) => format!("{data} of data, {hash} of the hash tree"),
        };
        output::warning(&format!("damaged blocks were healed by parity and proven: {all}"));
    }
}

/// The set that parity is for if nothing says which: that of root, or else of `/usr`, one that is used first.
pub(crate) fn usual(sets: &[VeritySet], wanted: Option<Role>) -> Option<&VeritySet> {
    let usable = |set: &&VeritySet| set.tree.is_some() && wanted.is_none_or(|role| role == set.role);
    let of = |role: Role| move |set: &&VeritySet| set.role == role;
    Role::ALL.into_iter().find_map(|role| {
        let mut all = sets.iter().filter(usable).filter(of(role));
        all.clone().find(|set| set.selected).or_else(|| all.next())
    })
}
