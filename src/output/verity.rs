//! What `ddi verity` prints, in veritysetup's form.

use std::fmt::Write;
use std::path::Path;

use ddi_gpt::Guid;
use ddi_verity::json::{RefusedDocument, RepairDocument, TreeDocument, VerifyDocument};
use ddi_verity::{
    BlockRanges, CheckedTree, Error, FecLayout, HashTree, Placement, Repair, Repaired, RootHash, Verdict,
};

use crate::verity::fec::WrittenFec;

use super::term::{Mark, term};
use super::{escape, escape_sentence, print, print_json};

/// A superblock and what follows from it.
pub(crate) fn dump(path: &Path, tree: &HashTree, uuid: [u8; 16], json: bool) -> anyhow::Result<()> {
    show(path, tree, Some(uuid), None, None, json)
}

/// A tree that was made; `uuid` is none if it has no superblock.
pub(crate) fn formatted(
    path: &Path,
    tree: &HashTree,
    uuid: Option<[u8; 16]>,
    root_hash: &RootHash,
    fec: Option<&WrittenFec>,
    json: bool,
) -> anyhow::Result<()> {
    show(path, tree, uuid, Some(root_hash), fec, json)
}

fn show(
    path: &Path,
    tree: &HashTree,
    uuid: Option<[u8; 16]>,
    root_hash: Option<&RootHash>,
    fec: Option<&WrittenFec>,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        let mut document = TreeDocument::new(tree).uuid(uuid);
        if let Some(root_hash) = root_hash {
            document = document.root_hash(root_hash);
        }
        if let Some(fec) = fec {
            document = document.parity(&fec.layout, fec.offset);
        }
        return print_json(&document.to_json());
    }
    let (params, layout) = (tree.params(), tree.layout());
    let uuid = uuid.map(|uuid| Guid::from_uuid(uuid).to_string());
    let mut text = format!("VERITY header information for {}\n", escape(&path.display().to_string()));
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // the field width is veritysetup's, and one blank less where it has one less
        let width = if name.starts_with("FEC") { 16 } else { 17 };
        let _ = writeln!(text, "{name:<width$}\t{value}");
    };
    line("UUID:", &uuid.unwrap_or_default());
    line("Hash type:", &(params.hash_type() as u32));
    line("Data blocks:", &params.data_blocks());
    line("Data block size:", &params.data_block_size());
    line("Hash blocks:", &layout.hash_blocks());
    line("Hash block size:", &params.hash_block_size());
    line("Hash algorithm:", &params.algorithm());
    if let Some(WrittenFec { layout, .. }) = fec {
        line("FEC RS roots:", &layout.roots());
        line("FEC blocks:", &(layout.rounds() * layout.roots() as u64));
    }
    line("Salt:", params.salt());
    if let Some(root_hash) = root_hash {
        // one blank less than the others, there as here
        let _ = writeln!(text, "{:<16}\t{root_hash}", "Root hash:");
    }
    if let Placement::Superblock(0) | Placement::Bare(0) = layout.placement() {
        let parity = fec.filter(|fec| fec.beside_tree).map_or(0, |fec| fec.layout.parity_size());
        let _ = writeln!(text, "Hash device size: \t{} [bytes]", layout.tree().end + parity);
    }
    if let Some(WrittenFec { layout, offset: 0, .. }) = fec {
        let _ = writeln!(text, "FEC device size: \t{} [bytes]", layout.parity_size());
    }
    print(&text)
}

/// What a check of data against a root hash found. Quiet if all is proven.
///
/// `size_is_given`: the number of data blocks is the user's word, not that of the superblock.
pub(crate) fn verified(
    tree: &CheckedTree,
    root_hash: &RootHash,
    verdict: &Verdict,
    healable: Option<&(FecLayout, u64, Repair)>,
    size_is_given: bool,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        let mut document = VerifyDocument::new(tree, root_hash, verdict).size_is_given(size_is_given);
        if let Some((layout, offset, repair)) = healable {
            document = document.healable(layout, *offset, repair);
        }
        return print_json(&document.to_json());
    }
    if verdict.is_proven() {
        return Ok(());
    }
    let healable = match healable {
        Some((layout, _, repair)) => fec_text(layout) + &repair_text(repair, "parity can heal"),
        None => String::new(),
    };
    print(&format!("NOT PROVEN\n{}{healable}", verdict_text(verdict)))
}

/// What a repair did.
pub(crate) fn repaired(
    layout: &FecLayout,
    offset: u64,
    root_hash: &RootHash,
    repair: &Repair,
    written: bool,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        return print_json(&RepairDocument::new(layout, offset, root_hash, repair, written).to_json());
    }
    let mut text = fec_text(layout) + &repair_text(repair, "healed");
    match (repair.healed(), written) {
        (0, _) if repair.is_whole() => text.push_str("nothing to heal\n"),
        (_, false) => text.push_str("nothing was written\n"),
        _ => {}
    }
    print(&text)
}

/// What a parity is, which may have been found out by trying.
fn fec_text(layout: &FecLayout) -> String {
    let (roots, rounds) = (layout.roots(), layout.rounds());
    format!("parity: {roots} roots, {rounds} rounds, over {} hash blocks\n", layout.hash_blocks())
}

/// A line for each kind of block that was not as it should be.
fn repair_text(repair: &Repair, healed: &str) -> String {
    let mut text = String::new();
    let mut lines = |what: &str, found: &Repaired| {
        for (verb, ranges) in [
            (healed, &found.healed),
            ("parity cannot heal", &found.lost),
            ("cannot be judged", &found.unproven),
        ] {
            if !ranges.is_empty() {
                let _ = writeln!(text, "{verb}: {what}: {}", ranges_text(ranges));
            }
        }
    };
    for (level, found) in repair.levels.iter().enumerate().rev() {
        lines(&format!("hash blocks in level {level}"), found);
    }
    lines("data blocks", &repair.data);
    text
}

/// What the parameters and the sizes do not allow, and the option that would.
pub(crate) fn refused(error: &Error, option: Option<&str>, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&RefusedDocument::new(error, option).to_json());
    }
    let hint = option.map(|option| format!(" (give {option} to accept that)")).unwrap_or_default();
    print(&format!("NOT PROVEN\n{}{hint}\n", escape_sentence(error)))
}

/// A line for each kind of block that is not as it should be.
pub(super) fn verdict_text(verdict: &Verdict) -> String {
    let mut text = String::new();
    if !verdict.root_matches() {
        text.push_str("the root hash does not match\n");
    }
    let mut line = |what: &str, ranges: &BlockRanges| {
        if !ranges.is_empty() {
            let _ = writeln!(text, "{what}: {}", ranges_text(ranges));
        }
    };
    line("corrupt data blocks", &verdict.corrupt_data);
    line("data blocks that cannot be judged", &verdict.unproven_data);
    for (level, found) in verdict.levels.iter().enumerate() {
        line(&format!("corrupt hash blocks in level {level}"), &found.corrupt);
        line(&format!("hash blocks in level {level} that cannot be judged"), &found.unproven);
        line(&format!("hash blocks in level {level} with something in unused space"), &found.spare);
    }
    if !verdict.is_complete {
        text.push_str("stopped there\n");
    }
    text
}

/// `3 (0-1, 7)`: how many, and which.
fn ranges_text(ranges: &BlockRanges) -> String {
    const SHOWN: usize = 20;
    let mut shown: Vec<String> = (ranges.ranges().iter().take(SHOWN))
        .map(|range| match range.end - range.start {
            1 => range.start.to_string(),
            _ => format!("{}-{}", range.start, range.end - 1),
        })
        .collect();
    if ranges.is_truncated() || ranges.ranges().len() > SHOWN {
        shown.push(term().mark(Mark::Cut).into());
    }
    format!("{} ({})", ranges.count(), shown.join(", "))
}
