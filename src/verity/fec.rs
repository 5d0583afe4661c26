//! Where the parity of forward error correction is, and what it covers.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, ensure};
use ddi_core::verity::{
    CheckedTree, DEFAULT_ROOTS, FecLayout, FileSource, HashTree, MAX_ROOTS, MIN_ROOTS, Options,
    PendingParity, ReadAt, RepairSources, RootHash,
};

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
    pub(crate) hash_blocks: Option<u64>,
}

impl ParamArgs {
    /// The options about parity, if there is to be some.
    pub(crate) fn fec(&self) -> anyhow::Result<Option<GivenFec<'_>>> {
        let Some(device) = self.fec_device.as_deref() else { return Ok(None) };
        let offset = self.fec_offset.unwrap_or(0);
        ensure!(offset.is_multiple_of(512), "--fec-offset is {offset}, expected a multiple of 512");
        Ok(Some(GivenFec { device, offset, roots: self.fec_roots, hash_blocks: self.fec_hash_blocks }))
    }
}

/// Parity that is there.
pub(crate) struct OldParity<'a> {
    pub(crate) given: GivenFec<'a>,
    pub(crate) source: FileSource,
}

impl<'a> OldParity<'a> {
    pub(super) fn open(given: GivenFec<'a>) -> anyhow::Result<Self> {
        Ok(OldParity { source: super::open(given.device)?, given })
    }

    /// Where the data ends at the latest, if its file has the parity too.
    pub(super) fn end_of_data(&self, data: &FileSource) -> anyhow::Result<u64> {
        let same_file = is_same_file(self.source.file(), data.file())?;
        Ok(if same_file && self.given.offset > 0 { self.given.offset } else { u64::MAX })
    }

    /// What it covers and by how many roots, which is nowhere on disk: as given, or by which its codewords are intact, or, if the
    /// damage is everywhere, by which most can be healed.
    pub(super) fn layout(
        &self,
        tree: &CheckedTree,
        root_hash: &RootHash,
        data: &dyn ReadAt,
        hash: &FileSource,
    ) -> anyhow::Result<FecLayout> {
        let offset = self.given.offset;
        let tree_area = tree.layout().tree();
        let size = u64::from(tree.params().hash_block_size());
        let beside_tree = is_same_file(self.source.file(), hash.file())?;
        let parity_size = self.source.size().saturating_sub(offset);
        let ends = match self.given.hash_blocks {
            Some(blocks) => {
                let end = blocks.checked_mul(size).and_then(|bytes| bytes.checked_add(tree_area.start));
                vec![end.context("--fec-hash-blocks is too large")?]
            }
            None if beside_tree => vec![offset],
            None => vec![hash.size(), tree_area.end],
        };
        let roots = self.given.roots.map_or(MIN_ROOTS as u32..=MAX_ROOTS as u32, |roots| roots..=roots);
        let mut candidates: Vec<FecLayout> = Vec::new();
        let mut add = |layout: FecLayout| {
            if layout.parity_size() <= parity_size && !candidates.contains(&layout) {
                candidates.push(layout);
            }
        };
        for (roots, &end) in roots.flat_map(|roots| ends.iter().map(move |end| (roots, end))) {
            let layout = FecLayout::new(tree.tree(), roots, end)?;
            // more was covered than there is now
            if !beside_tree && self.given.hash_blocks.is_none() {
                let rounds = parity_size / (layout.block_size() * u64::from(roots));
                if rounds > layout.rounds()
                    && parity_size.is_multiple_of(layout.block_size() * u64::from(roots))
                {
                    layout.clone().with_rounds(rounds).map(&mut add)?;
                }
            }
            add(layout);
        }
        let mut fits = Vec::new();
        for layout in candidates {
            let (intact, all) = layout.fit(data, hash, &self.source, offset)?;
            fits.push((intact, all, layout.parity_size() == parity_size, layout));
        }
        // the same number of intact codewords: the one that takes the whole file
        fits.sort_by_key(|(intact, _, whole, _)| std::cmp::Reverse((*intact, *whole)));
        let alike = |a: &FecLayout, b: &FecLayout| (a.roots(), a.rounds()) == (b.roots(), b.rounds());
        let (best, first) = match fits.as_slice() {
            [] => anyhow::bail!("is too short for parity of this data"),
            [(.., only)] => return Ok(only.clone()),
            [(best, .., first), ..] => (*best, first),
        };
        let next = fits.iter().find(|(.., other)| !alike(first, other)).map_or(0, |(intact, ..)| *intact);
        if best > 0 && best / 2 >= next {
            return Ok(first.clone());
        }
        let sources = RepairSources { data, hash, parity: &self.source, parity_offset: offset };
        let mut most = (0, None);
        for (_, _, whole, layout) in &fits {
            let healed =
                layout.repair(tree, root_hash, sources, &|_, _, _| Ok(()), &Options::new())?.healed();
            if healed > most.0 {
                most = (healed, Some(layout));
            }
            // a size that fits and a code that heals are no coincidence
            if *whole && healed > 0 {
                break;
            }
        }
        let found = most.1.or(fits.iter().find(|(_, _, whole, _)| *whole).map(|(.., layout)| layout));
        found.cloned().context(
            "does not say how it was made, and trying did not tell: give --fec-roots and --fec-hash-blocks",
        )
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
        let GivenFec { device, offset, roots, hash_blocks } = given;
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
        Ok(NewParity { given, own, layout })
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

    /// Takes in the tree, and writes it. Its file gets its name, if it is one of its own.
    pub(super) fn write(
        self,
        pending: PendingParity,
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
        self.layout.finish(pending, data, &tree, file, self.given.offset, options)?;
        let written =
            WrittenFec { offset: self.given.offset, beside_tree: self.own.is_none(), layout: self.layout };
        if let Some(own) = self.own {
            own.commit(None)?;
        }
        Ok(written)
    }
}
