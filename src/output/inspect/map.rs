//! The disk as a picture: partitions, what is between them, and the ends that no hash tree covers.

use ddi_core::steps::Selection;
use ddi_core::{PartitionReport, Report};

use ddi_gpt::ByteRange;

use super::super::binary_size;
use super::super::picture::{self, Fill, Piece};
use super::super::term::Term;

/// The line to scale, for an image with partitions.
pub(in crate::output) fn disk(report: &Report, indent: usize, term: &Term) -> Option<String> {
    let pieces = pieces(report);
    let has_partition = pieces.iter().any(|piece| !piece.label.is_empty());
    // with what is missing
    let size = pieces.iter().map(|piece| piece.size).fold(0, u64::saturating_add);
    has_partition.then(|| picture::disk(&pieces, &binary_size(size), indent, term))
}

/// All there is, in order of place. Of partitions that overlap, the one that begins first hides the other's beginning.
fn pieces(report: &Report) -> Vec<Piece> {
    let copies = [&report.examination.primary, &report.examination.backup];
    let tables = copies
        .into_iter()
        .filter(|copy| copy.outcome.is_ok())
        .flat_map(|copy| [copy.location, copy.array_location]);
    let mut areas: Vec<_> =
        tables.flatten().map(|range| (range.offset, range.size, Fill::Table, String::new())).collect();
    let is_cut_short = report.findings.iter().any(|finding| finding.code() == "gpt-disk-truncated");
    for partition in &report.partitions {
        // where the disk is cut short, what is missing is shown too, as far as the table tells
        let whole = || is_cut_short.then(|| entry_range(report, partition.number)).flatten();
        let Some(range) = partition.range.or_else(whole) else { continue };
        let is_used = matches!(partition.selection, Some(Selection::Chosen(_)));
        let fill = if is_used { Fill::Used } else { Fill::Unused };
        // a superblock may claim more than the partition has
        let covered = covered(report, partition).unwrap_or(range.size).min(range.size);
        areas.push((range.offset, covered, fill, partition.number.to_string()));
        areas.push((range.offset.saturating_add(covered), range.size - covered, Fill::Tail, String::new()));
    }
    areas.sort_by_key(|(offset, ..)| *offset);
    let (mut pieces, mut at) = (Vec::new(), 0);
    let mut add = |fill, size, label| {
        if size > 0 {
            pieces.push(Piece { fill, size, label });
        }
    };
    for (offset, size, fill, label) in areas {
        let end = offset.saturating_add(size);
        add(Fill::Free, offset.saturating_sub(at), String::new());
        let start = offset.max(at);
        let inside = end.min(report.size);
        let is_outside = start >= report.size;
        // the number stands once: in what is missing only if nothing else is left
        add(fill, inside.saturating_sub(start), if is_outside { String::new() } else { label.clone() });
        add(
            Fill::Missing,
            end.saturating_sub(start.max(report.size)),
            if is_outside { label } else { String::new() },
        );
        at = at.max(end);
    }
    add(Fill::Free, report.size.saturating_sub(at), String::new());
    pieces
}

/// Where the table says that a partition is, in the disk or not.
fn entry_range(report: &Report, number: u32) -> Option<ByteRange> {
    let mut entries = report.examination.primary.entries();
    let lbas = entries.find(|(found, _)| *found == number)?.1.lbas();
    let offset = lbas.first.0.checked_mul(report.block_size.into())?;
    let end = lbas.last.0.checked_add(1)?.checked_mul(report.block_size.into())?;
    Some(ByteRange { offset, size: end.checked_sub(offset)? })
}

/// How many bytes of a partition its hash tree is over, if it has one.
fn covered(report: &Report, partition: &PartitionReport) -> Option<u64> {
    let is_its = |set: &&ddi_core::steps::VeritySet| {
        set.data.is_some_and(|data| data.number == Some(partition.number))
    };
    let set = report.verity.iter().find(is_its)?;
    Some(set.superblock.as_ref()?.params.data_size())
}
