//! What lies between the partitions.

use std::sync::Arc;

use ddi_gpt::{ByteRange, TableCopy};
use ddi_verity::{Layout, Placement, Superblock};

use super::{Content, ImageKind, Report};
use crate::error::{Error, Step};
use crate::image::{Image, Table};
use crate::report::finding::{Finding, FindingKind, Severity};
use ddi_fs::{FsKind, Probe, Usage};

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// Gaps that are told of.
const MAX_GAPS: usize = 64;

/// Adds a finding for each gap that is not zero, having read at most `budget` bytes. Holes in a file cost nothing.
pub(super) fn look(image: &Image, report: &Report, budget: u64, findings: &mut Vec<Finding>) {
    let mut budget = budget;
    let mut unread: u64 = 0;
    let mut told = 0_usize;
    let mut chunk = vec![0; CHUNK];
    let Some(mut taken) = taken(image, report) else { return };
    if let (ImageKind::FileSystem, Some(first)) = (report.kind, taken.first())
        && let Some(tree) = appended_tree(image, first.size)
        && !taken.iter().any(|range| range.offset == tree.offset)
    {
        findings.push(Finding::new(FindingKind::VeritySuperblockBehind { offset: tree.offset }));
        taken.push(tree);
    }
    for gap in gaps(image.source().size(), taken) {
        if told >= MAX_GAPS {
            break;
        }
        match first_non_zero(image, gap, &mut budget, &mut chunk) {
            Ok(ProbeResult::Zero) => {}
            Ok(ProbeResult::Unread(bytes)) => unread = unread.saturating_add(bytes),
            Ok(ProbeResult::NotZero(offset)) => {
                told = told.saturating_add(1);
                let mut finding = Finding::new(FindingKind::GapNotZero { gap }).at(offset);
                // what follows a bare file system is not for anybody to say
                if report.kind == ImageKind::FileSystem {
                    finding.severity = Severity::Note;
                }
                findings.push(finding);
            }
            Err(error) => {
                told = told.saturating_add(1);
                findings.push(Finding::new(FindingKind::MountError(error)).at(gap.offset));
            }
        }
    }
    if unread > 0 {
        findings.push(Finding::new(FindingKind::GapsNotRead { unread }));
    }
}

enum ProbeResult {
    Zero,
    NotZero(u64),
    /// Zero as far as was looked; this many bytes were not.
    Unread(u64),
}

fn first_non_zero(
    image: &Image,
    gap: ByteRange,
    budget: &mut u64,
    chunk: &mut [u8],
) -> Result<ProbeResult, Error> {
    let source = image.metadata();
    let mut offset = gap.offset;
    while let Some(next) = source.next_data(offset).filter(|next| *next < gap.end()) {
        offset = offset.max(next);
        let left = gap.end().saturating_sub(offset);
        let len = usize::try_from(left.min(*budget)).unwrap_or(usize::MAX).min(chunk.len());
        let Some(buf) = chunk.get_mut(..len).filter(|buf| !buf.is_empty()) else {
            return Ok(ProbeResult::Unread(left));
        };
        source.read_exact_at(offset, buf).map_err(|error| Error::Io {
            step: Step::Gaps,
            offset: Some(offset),
            error: Arc::new(error),
        })?;
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        *budget = budget.saturating_sub(len);
        if let Some(at) = buf.iter().position(|byte| *byte != 0) {
            return Ok(ProbeResult::NotZero(offset.saturating_add(u64::try_from(at).unwrap_or(u64::MAX))));
        }
        offset = offset.saturating_add(len);
    }
    Ok(ProbeResult::Zero)
}

/// Where a file system ends; `None` if it does not say. The last block of squashfs is one of 4 KiB, with its data in blocks
/// of any size.
fn end_of(probe: &Probe) -> Option<u64> {
    // what a LUKS header claims is itself
    let claimed = probe.claimed_size.filter(|_| probe.kind.usage() == Usage::Filesystem)?;
    let block = match probe.kind {
        FsKind::Squashfs => 4096,
        _ => u64::from(probe.block_size.unwrap_or(0)).clamp(1, 1 << 20),
    };
    Some(claimed.checked_next_multiple_of(block).unwrap_or(u64::MAX))
}

/// A verity superblock and its tree directly behind a file system that ends at `end`, as embedded systems have them: there,
/// or from the next block of 4 KiB.
fn appended_tree(image: &Image, end: u64) -> Option<ByteRange> {
    let at = |offset: u64| {
        let superblock = Superblock::read(image.metadata(), offset).ok()?;
        let layout = Layout::new(&superblock.params, Placement::Superblock(offset)).ok()?;
        let end = Some(layout.hash_area().end).filter(|end| *end <= image.source().size());
        Some(ByteRange { offset, size: end?.checked_sub(offset)? })
    };
    at(end).or_else(|| at(end.checked_next_multiple_of(4096)?))
}

/// The bytes of the image that something says something about; nothing where the rest is not for anybody to say.
fn taken(image: &Image, report: &Report) -> Option<Vec<ByteRange>> {
    let mut taken: Vec<ByteRange> = Vec::new();
    match (report.kind, image.table()) {
        (ImageKind::FileSystem, _) => match &report.whole {
            Content::Recognised(probe) => match end_of(probe) {
                Some(size) => taken.push(ByteRange { offset: 0, size }),
                None => return None,
            },
            _ => return None,
        },
        (_, Table::Gpt(_)) => {
            let examination = image.examination();
            taken.push(ByteRange { offset: 0, size: 512 });
            for copy in [&examination.primary, &examination.backup] {
                taken.extend(parts_of(copy));
            }
        }
        (_, Table::Mbr(..)) => taken.push(ByteRange { offset: 0, size: 512 }),
        _ => return None,
    }
    // the trees behind the data of a bare image
    taken.extend(report.verity.iter().filter(|set| !set.hash.external).map(|set| set.hash.range));
    taken.extend(report.partitions.iter().filter_map(|partition| partition.range));
    Some(taken)
}

/// What no range has, up to `size`.
fn gaps(size: u64, mut taken: Vec<ByteRange>) -> Vec<ByteRange> {
    taken.sort_unstable_by_key(|range| range.offset);

    let mut found = Vec::new();
    let mut end: u64 = 0;
    for range in taken {
        if let Some(gap @ 1..) = range.offset.checked_sub(end) {
            found.push(ByteRange { offset: end, size: gap });
        }
        end = end.max(range.end());
    }
    if let Some(rest @ 1..) = size.checked_sub(end) {
        found.push(ByteRange { offset: end, size: rest });
    }
    found
}

/// Header and entry array of a copy that is there.
fn parts_of(copy: &TableCopy) -> impl Iterator<Item = ByteRange> {
    let header = copy.location.filter(|_| copy.header.is_some());
    [header, copy.array_location].into_iter().flatten()
}
