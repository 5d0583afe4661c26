//! Where the parity of forward error correction is, and what it covers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use ddi_verity::{
    CheckedTree, DEFAULT_ROOTS, Error, FecHints, FecLayout, FileSource, HashTree, Options, PendingParity,
    ReadAt, RepairSources, RootHash,
};

use super::destination::Destination;
use super::record::{self, FecRecord};
use crate::cli::ParamArgs;
use crate::output;
use crate::overwrite::{is_same_file, is_same_path};

/// What the options say about parity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GivenFec<'a> {
    pub(crate) device: &'a Path,
    pub(crate) offset: Option<u64>,
    pub(crate) roots: Option<u32>,
    pub(crate) hash_blocks: Option<u64>,
}

impl ParamArgs {
    /// The options about parity, if there is to be some.
    pub(crate) fn fec(&self) -> anyhow::Result<Option<GivenFec<'_>>> {
        let Some(device) = self.fec_device.as_deref() else { return Ok(None) };
        let offset = self.fec_offset;
        if let Some(offset) = offset {
            ensure!(offset.is_multiple_of(512), "--fec-offset is {offset}, expected a multiple of 512");
        }
        Ok(Some(GivenFec { device, offset, roots: self.fec_roots, hash_blocks: self.fec_hash_blocks }))
    }
}

/// Parity that is there.
pub(crate) struct OldParity<'a> {
    pub(crate) given: GivenFec<'a>,
    pub(crate) source: FileSource,
    /// Where it starts.
    pub(crate) offset: u64,
    record: Option<FecRecord>,
}

impl<'a> OldParity<'a> {
    pub(super) fn open(given: GivenFec<'a>) -> anyhow::Result<Self> {
        // options that say all leave nothing for a record to say
        let record = match (given.roots, given.hash_blocks) {
            (Some(_), Some(_)) => None,
            _ => FecRecord::read(given.device)?,
        };
        let offset = given.offset.or(record.as_ref().map(|record| record.offset)).unwrap_or(0);
        Ok(OldParity { source: super::open(given.device)?, given, offset, record })
    }

    /// Where the data ends at the latest, if its file has the parity too.
    pub(super) fn end_of_data(&self, data: &FileSource) -> anyhow::Result<u64> {
        let same_file = is_same_file(self.source.file(), data.file())?;
        Ok(if same_file && self.offset > 0 { self.offset } else { u64::MAX })
    }

    /// What it covers and by how many roots, which is nowhere in it: as given, as its record says, or by which its codewords are
    /// intact, or, if the damage is everywhere, by which most can be healed.
    pub(super) fn layout(
        &self,
        tree: &CheckedTree,
        root_hash: &RootHash,
        data: &dyn ReadAt,
        hash: &FileSource,
    ) -> anyhow::Result<FecLayout> {
        let offset = self.offset;
        let beside_tree = is_same_file(self.source.file(), hash.file())?;
        let room = self.source.size().saturating_sub(offset);
        let (roots, hash_blocks) = (self.given.roots, self.given.hash_blocks);
        let mut hints = FecHints { roots, hash_blocks, rounds: None, beside_tree };
        if let Some(record) = &self.record {
            record.check(tree.tree(), root_hash, room)?;
            record.complete(&mut hints);
        }
        let name = || self.given.device.display().to_string();
        let found = match FecLayout::find(tree.tree(), data, hash, &self.source, offset, hints) {
            Err(Error::FecUnknown) => bail!("{}: is too short for parity of this data", name()),
            found => found.with_context(name)?,
        };
        if let (true, Some(first)) = (found.is_sure, found.layouts.first()) {
            return Ok(first.clone());
        }
        let sources = RepairSources { data, hash, parity: &self.source, parity_offset: offset };
        let is_whole = |layout: &FecLayout| layout.parity_size() == room;
        let mut most = (0, None);
        for layout in &found.layouts {
            let repair = layout.repair(tree, root_hash, sources, &|_, _, _| Ok(()), &Options::new());
            let healed = repair.with_context(name)?.healed();
            if healed > most.0 {
                most = (healed, Some(layout));
            }
            // a size that fits and a code that heals are no coincidence
            if is_whole(layout) && healed > 0 {
                break;
            }
        }
        let found = most.1.or_else(|| found.layouts.iter().find(|layout| is_whole(layout)));
        found.cloned().with_context(|| {
            let how = "nothing says how it was made, and trying did not tell: give --fec-roots and --fec-hash-blocks";
            format!("{}: {how}", name())
        })
    }
}

/// Parity that was made.
#[derive(Debug)]
pub(crate) struct WrittenFec {
    pub(crate) layout: FecLayout,
    pub(crate) offset: u64,
    /// True if it is in the file of the tree.
    pub(crate) beside_tree: bool,
}

/// Parity in the making.
pub(super) struct NewParity {
    /// Where it goes; none if that is the file of the tree.
    own: Option<Destination>,
    offset: u64,
    layout: FecLayout,
    /// Beside a device is no place for a record.
    record: Option<PathBuf>,
}

impl NewParity {
    /// Opens the place for the parity and looks whether it may go there, before anything is written.
    pub(super) fn open(
        given: GivenFec<'_>,
        tree: &HashTree,
        data: &FileSource,
        (hash_path, hash): (&Path, &Destination),
    ) -> anyhow::Result<Self> {
        let GivenFec { device, offset, roots, hash_blocks } = given;
        let offset = offset.unwrap_or(0);
        ensure!(hash_blocks.is_none(), "--fec-hash-blocks is for parity that is there");
        let tree_end = tree.layout().tree().end;
        let beside_tree = is_same_path(device, hash_path)?;
        let covered_end = if beside_tree { offset } else { hash.size()?.max(tree_end) };
        ensure!(
            !beside_tree || offset >= tree_end,
            "has the hash area up to byte {tree_end} too, which parity at offset {offset} would overwrite"
        );
        let layout = FecLayout::new(tree, roots.unwrap_or(DEFAULT_ROOTS), covered_end)?;
        let own = if beside_tree { None } else { Some(Destination::open(device)?) };
        if let Some(own) = &own {
            let in_data = is_same_file(own.file(), data.file())?;
            let data_size = tree.params().data_size();
            ensure!(
                !in_data || offset >= data_size,
                "is the data too, which parity at offset {offset} would overwrite"
            );
        }
        if !offset.is_multiple_of(layout.block_size()) {
            output::warning("the kernel takes parity only from a whole block on");
        }
        // it reads the bytes of a codeword from one block, whose end may be within them
        if layout.block_size() == 4096 && ![2, 4, 8, 16, 24].contains(&layout.roots()) {
            output::warning(&format!(
                "kernels before 2025 fail to repair with {} roots and blocks of 4096 bytes; 2, 4, 8, 16 and 24 are safe",
                layout.roots()
            ));
        }
        let file = own.as_ref().map_or(hash.file(), Destination::file);
        let record = if file.metadata()?.is_file() { Some(record::path_of(device)) } else { None };
        if let Some(record) = &record {
            record::check_place(record)?;
        }
        Ok(NewParity { own, offset, layout, record })
    }

    /// Makes the tree, and the parity of the data on the way.
    pub(super) fn build(
        &self,
        tree: &HashTree,
        data: &FileSource,
        hash: &File,
        options: &Options<'_>,
    ) -> anyhow::Result<(RootHash, PendingParity)> {
        Ok(self.layout.build(tree, data, hash, options)?)
    }

    /// The record of it, if there is to be one.
    pub(super) fn record(&self) -> Option<&Path> {
        self.record.as_deref()
    }

    /// Takes in the tree, and writes it. Its file gets its name, if it is one of its own, and then its record.
    pub(super) fn write(
        self,
        (pending, root_hash): (PendingParity, &RootHash),
        data: &FileSource,
        hash: &File,
        options: &Options<'_>,
    ) -> anyhow::Result<WrittenFec> {
        let (offset, layout) = (self.offset, self.layout);
        if let Some(record) = self.record.as_deref().filter(|record| fs::symlink_metadata(record).is_ok()) {
            // of what is overwritten now
            fs::remove_file(record).with_context(|| record.display().to_string())?;
        }
        let file = self.own.as_ref().map_or(hash, Destination::file);
        let mut tree = FileSource::new(hash.try_clone()?)?;
        if self.own.is_none() && tree.size() < offset {
            // what is between tree and parity is covered, and will be zeros
            hash.set_len(offset)?;
            tree = FileSource::new(hash.try_clone()?)?;
        }
        layout.finish(pending, data, &tree, file, offset, options)?;
        let beside_tree = self.own.is_none();
        if let Some(own) = self.own {
            own.commit(None)?;
        }
        if let Some(path) = &self.record {
            record::write(path, &layout, offset, root_hash)?;
        }
        Ok(WrittenFec { layout, offset, beside_tree })
    }
}
