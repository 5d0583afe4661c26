//! What is damaged: which files, and a map of the blocks.

use std::fmt::Write;
use std::ops::Range;

use ddi_core::{Damage, DamagedBlocks, Image, MountError, Proof};
use ddi_fs::{Error as FileError, ExtentKind, Unknown};

use super::super::picture::{self, Blocks};
use super::super::term::Term;
use super::super::{count, escape_sentence, shown_name};

/// The blocks of the data as a picture, if the tree tells any of them: damage of one kind does not look like that of another.
pub(super) fn map(image: &Image, proof: &Proof, damage: &Damage, term: &Term) -> String {
    let (Some(verdict), Some(data), Some(block_size)) = (&proof.verdict, proof.data, damage.block_size)
    else {
        return String::new();
    };
    if !verdict.root_matches() || verdict.data_blocks < 2 {
        return String::new();
    }
    let is_hole = |blocks: Range<u64>| {
        let byte = |block: u64| data.range.offset.saturating_add(block.saturating_mul(block_size.into()));
        let next = image.source().next_data(byte(blocks.start));
        next.is_none_or(|next| next >= byte(blocks.end))
    };
    // behind the last range that was kept there may be others
    let lists = [&verdict.corrupt_data, &verdict.unproven_data];
    let told = lists.into_iter().filter(|list| list.is_truncated()).filter_map(|list| list.ranges().last());
    let blocks = Blocks {
        count: verdict.data_blocks,
        told: told.map(|range| range.end).min().unwrap_or(verdict.data_blocks),
        corrupt: verdict.corrupt_data.ranges(),
        unproven: verdict.unproven_data.ranges(),
        is_hole: &is_hole,
    };
    picture::blocks(&blocks, block_size, 4, term)
}

/// Damaged ranges that are shown to people.
const SHOWN: usize = 20;

/// Which files lie in the blocks that are not proven.
pub(super) fn text(damage: &Damage) -> String {
    let mut text = String::new();
    let owners = match &damage.owners {
        Ok(owners) => owners,
        // a block that is not proven cannot be read; here it is the one that all depends on
        Err(MountError::FileSystem(error @ FileError::Io { offset: ..SUPERBLOCK_END, .. })) => {
            let _ = writeln!(
                text,
                "    the superblock is not proven, so nothing can be told about files: {}",
                escape_sentence(error)
            );
            return text;
        }
        Err(error) => {
            let _ = writeln!(text, "    nothing can be told about files: {}", escape_sentence(error));
            return text;
        }
    };
    for (damaged, found) in damage.blocks.iter().zip(&owners.ranges).take(SHOWN) {
        let _ = write!(text, "    {}", blocks_text(damaged));
        if found.count == 0 && found.system.is_empty() {
            // where not all could be told, the range may be that of a file that is not known
            text.push_str(match owners.is_complete() {
                true => ": not in use\n",
                false => ": no file known\n",
            });
            continue;
        }
        text.push_str(":\n");
        for owner in &found.owners {
            let _ = writeln!(text, "      {} ({})", shown_name(&owner.path), kinds_text(&owner.kinds));
        }
        let more = found.count.saturating_sub(found.owners.len() as u64);
        if more > 0 {
            let _ = writeln!(text, "      and {}", count(more, "more file"));
        }
        if !found.system.is_empty() {
            let _ = writeln!(text, "      the file system itself ({})", kinds_text(&found.system));
        }
    }
    let more = damage.blocks.len().saturating_sub(SHOWN) as u64;
    if more > 0 || damage.is_truncated {
        let at_least = if damage.is_truncated { "at least " } else { "" };
        let _ = writeln!(text, "    and {at_least}{}", count(more, "more range"));
    }
    for untold in &owners.untold {
        let what = match untold.what {
            Unknown::Inode => "what lies behind",
            Unknown::Entries => "all files in",
            _ => "where all of",
        };
        let lies = if matches!(untold.what, Unknown::Inode | Unknown::Entries) { "" } else { " lies" };
        let (path, error) = (shown_name(&untold.path), escape_sentence(&untold.error));
        let _ = writeln!(text, "    not known: {what} {path}{lies}: {error}");
    }
    let more = owners.untold_count.saturating_sub(owners.untold.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "    not known either: the same of {}", count(more, "more file"));
    }
    if let Some(error) = &owners.stopped {
        let _ = writeln!(text, "    not all files were looked at: {}", escape_sentence(error));
    }
    if let Some(error) = &owners.system {
        let _ =
            writeln!(text, "    not known: all places of the file system itself: {}", escape_sentence(error));
    }
    text
}

/// Where superblocks of the file systems that tell are: before that byte.
const SUPERBLOCK_END: u64 = 2048;

/// `corrupt block 3`, `blocks 7-9, which cannot be judged`.
fn blocks_text(damaged: &DamagedBlocks) -> String {
    let blocks = &damaged.blocks;
    let numbers = match blocks.end.saturating_sub(blocks.start) {
        1 => format!("block {}", blocks.start),
        _ => format!("blocks {}-{}", blocks.start, blocks.end.saturating_sub(1)),
    };
    match damaged.corrupt {
        true => format!("in corrupt {numbers}"),
        false => format!("in {numbers}, which cannot be judged"),
    }
}

fn kinds_text(kinds: &[ExtentKind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}
