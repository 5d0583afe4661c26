//! Where the parity of forward error correction is, and what it covers.

use std::fs::File;
use std::path::Path;

use anyhow::ensure;
use ddi_core::verity::{DEFAULT_ROOTS, FecLayout, FileSource, HashTree, Options, ReadAt};

use super::destination::Destination;
use crate::cli::ParamArgs;
use crate::output;
use crate::overwrite::{is_same_file, is_same_path};

/// What the options say about parity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GivenFec<'a> {
    pub(crate) device: &'a Path,
    pub(crate) offset: u64,
    pub(crate) roots: Option<u32>,
}

impl ParamArgs {
    /// The options about parity, if there is to be some.
    pub(crate) fn fec(&self) -> anyhow::Result<Option<GivenFec<'_>>> {
        let Some(device) = self.fec_device.as_deref() else { return Ok(None) };
        let offset = self.fec_offset.unwrap_or(0);
        ensure!(offset.is_multiple_of(512), "--fec-offset is {offset}, expected a multiple of 512");
        Ok(Some(GivenFec { device, offset, roots: self.fec_roots }))
    }
}

/// Parity that was made.
#[derive(Debug)]
pub(crate) struct WrittenFec {
    pub(crate) layout: FecLayout,
    pub(crate) offset: u64,
    /// Is it in the file of the tree?
    pub(crate) beside_tree: bool,
}

/// Parity in the making.
pub(super) struct NewParity<'a> {
    given: GivenFec<'a>,
    /// Where it goes; none if that is the file of the tree.
    own: Option<Destination>,
    layout: FecLayout,
}

impl<'a> NewParity<'a> {
    /// Opens the place for the parity and looks whether it may go there, before anything is written.
    pub(super) fn open(
        given: GivenFec<'a>,
        tree: &HashTree,
        data: &FileSource,
        (hash_path, hash): (&Path, &Destination),
    ) -> anyhow::Result<Self> {
        let GivenFec { device, offset, roots } = given;
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
        Ok(NewParity { given, own, layout })
    }

    /// Computes it from data and tree. Its file gets its name, if it is one of its own.
    pub(super) fn write(
        self,
        data: &FileSource,
        hash: &File,
        options: &Options<'_>,
    ) -> anyhow::Result<WrittenFec> {
        let file = self.own.as_ref().map_or(hash, Destination::file);
        let mut tree = FileSource::new(hash.try_clone()?)?;
        if self.own.is_none() && tree.size() < self.given.offset {
            // what is between tree and parity is covered, and will be zeros
            hash.set_len(self.given.offset)?;
            tree = FileSource::new(hash.try_clone()?)?;
        }
        self.layout.encode(data, &tree, file, self.given.offset, options)?;
        let written =
            WrittenFec { offset: self.given.offset, beside_tree: self.own.is_none(), layout: self.layout };
        if let Some(own) = self.own {
            own.commit(None)?;
        }
        Ok(written)
    }
}
