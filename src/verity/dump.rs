//! `ddi verity dump`: what a superblock says.

use anyhow::Context;
use ddi_verity::{HashTree, Placement, SUPERBLOCK_SIZE, Superblock};

use super::open;
use crate::cli::DumpArgs;
use crate::{ExitStatus, output};

pub(crate) fn run(args: &DumpArgs) -> anyhow::Result<ExitStatus> {
    use ddi_verity::ReadAt;

    let hash = open(&args.hash)?;
    let mut bytes = [0; SUPERBLOCK_SIZE];
    let name = || args.hash.display().to_string();
    hash.read_exact_at(args.hash_offset, &mut bytes).with_context(name)?;
    let superblock = Superblock::parse(&bytes).with_context(name)?;
    let placement = Placement::Superblock(args.hash_offset);
    let tree = HashTree::new(superblock.params, placement).with_context(name)?;
    output::dump(&args.hash, &tree, superblock.uuid, args.json)?;
    Ok(ExitStatus::Good)
}
