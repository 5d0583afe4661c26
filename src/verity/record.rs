//! The record beside parity: how it was made, which parity itself does not say.
//!
//! It helps to find what parity covers, and no more than that. Whoever writes it can keep blocks from being healed, as whoever
//! writes the parity can; a healed block is proven by the root hash in any case.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use ddi_verity::{FecHints, FecLayout, HashTree, MAX_ROOTS, MIN_ROOTS, RootHash};
use serde_json::Value;

use super::destination::write_text;
use super::read_text;

/// What makes a file one of these. Another number at the end is for what this version does not understand.
const SCHEMA: &str = "ddi.fec/1";

/// What a record says. No number in it is used before [`check`](Self::check) has compared it with the hash tree.
#[derive(Debug, Clone)]
pub(crate) struct FecRecord {
    path: PathBuf,
    root_hash: RootHash,
    pub(crate) offset: u64,
    size: u64,
    roots: u64,
    block_size: u64,
    data_blocks: u64,
    hash_blocks: u64,
    rounds: u64,
}

/// The record of the parity in `device`: `NAME.fec.json`, where that is `NAME.fec` or `NAME`.
pub(crate) fn path_of(device: &Path) -> PathBuf {
    let is_fec = device.extension().is_some_and(|extension| extension == "fec");
    let mut name = device.file_name().map_or_else(OsString::new, OsString::from);
    name.push(if is_fec { ".json" } else { ".fec.json" });
    device.with_file_name(name)
}

impl FecRecord {
    /// The record of the parity in `device`, if there is one.
    pub(crate) fn read(device: &Path) -> anyhow::Result<Option<Self>> {
        let path = path_of(device);
        if fs::symlink_metadata(&path).is_err() {
            return Ok(None);
        }
        let text = read_text(&path)?;
        let record = Self::parse(&text, &path).with_context(|| path.display().to_string())?;
        Ok(Some(record))
    }

    fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(text).context("is not JSON")?;
        match value["schema"].as_str() {
            Some(SCHEMA) => {}
            Some(other) => bail!("is of schema {other:?}, expected {SCHEMA:?}"),
            None => bail!("has no \"schema\", expected {SCHEMA:?}"),
        }
        let number = |key: &str| {
            value[key]
                .as_u64()
                .with_context(|| format!("\"{key}\" is missing, or no number of the right kind"))
        };
        let root_hash = value["rootHash"].as_str().context("\"rootHash\" is missing")?;
        Ok(FecRecord {
            path: path.to_owned(),
            root_hash: root_hash.parse().context("\"rootHash\"")?,
            offset: number("offset")?,
            size: number("size")?,
            roots: number("roots")?,
            block_size: number("blockSize")?,
            data_blocks: number("dataBlocks")?,
            hash_blocks: number("hashBlocks")?,
            rounds: number("rounds")?,
        })
    }

    /// Checks that it is about this tree, and agrees with itself. `room` is what there is for the parity, in bytes.
    pub(crate) fn check(&self, tree: &HashTree, root_hash: &RootHash, room: u64) -> anyhow::Result<()> {
        self.compare(tree, root_hash, room).with_context(|| self.path.display().to_string())
    }

    fn compare(&self, tree: &HashTree, root_hash: &RootHash, room: u64) -> anyhow::Result<()> {
        let params = tree.params();
        ensure!(
            self.root_hash == *root_hash,
            "is of parity for root hash {}, not {root_hash}",
            self.root_hash
        );
        let same = |what: &str, said: u64, found: u64| {
            ensure!(said == found, "says {said} {what}, the hash tree has {found}");
            Ok(())
        };
        same("bytes a block", self.block_size, params.data_block_size().into())?;
        same("data blocks", self.data_blocks, params.data_blocks())?;
        let roots = usize::try_from(self.roots).ok().filter(|roots| (MIN_ROOTS..=MAX_ROOTS).contains(roots));
        ensure!(roots.is_some(), "says {} roots, expected {MIN_ROOTS} to {MAX_ROOTS}", self.roots);
        ensure!(
            self.hash_blocks >= tree.layout().hash_blocks(),
            "says {} hash blocks, the hash tree has {}",
            self.hash_blocks,
            tree.layout().hash_blocks()
        );
        let blocks = self.data_blocks.checked_add(self.hash_blocks).context("says too many hash blocks")?;
        ensure!(
            self.rounds >= blocks.div_ceil(255 - self.roots),
            "says {} rounds, too few for {blocks} blocks",
            self.rounds
        );
        ensure!(self.offset.is_multiple_of(512), "says offset {}, expected a multiple of 512", self.offset);
        let size = self.rounds.checked_mul(self.roots).and_then(|blocks| blocks.checked_mul(self.block_size));
        ensure!(size == Some(self.size), "says {} bytes, which is not what follows from the rest", self.size);
        ensure!(self.size <= room, "says {} bytes of parity, there are {room}", self.size);
        Ok(())
    }

    /// What it says, where the options say nothing.
    pub(crate) fn complete(&self, hints: &mut FecHints) {
        // with other numbers the rows are other ones
        if hints.roots.is_none() && hints.hash_blocks.is_none() {
            hints.rounds = Some(self.rounds);
        }
        hints.roots = hints.roots.or(u32::try_from(self.roots).ok());
        hints.hash_blocks = hints.hash_blocks.or(Some(self.hash_blocks));
    }
}

/// Looks whether a record may be written to `path`: it replaces another one, and nothing else.
pub(crate) fn check_place(path: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let is_ours = read_text(path).is_ok_and(|text| {
        let value = serde_json::from_str::<Value>(&text).unwrap_or_default();
        value["schema"].as_str().is_some_and(|schema| schema.starts_with("ddi.fec/"))
    });
    ensure!(is_ours, "{}: is there, and is no record of parity that may be replaced", path.display());
    Ok(())
}

/// Writes the record of parity that was made.
pub(crate) fn write(
    path: &Path,
    layout: &FecLayout,
    offset: u64,
    root_hash: &RootHash,
) -> anyhow::Result<()> {
    let mut value = layout.to_json(offset);
    value["schema"] = SCHEMA.into();
    value["rootHash"] = root_hash.to_string().into();
    write_text(path, &format!("{value:#}\n")).with_context(|| path.display().to_string())
}
