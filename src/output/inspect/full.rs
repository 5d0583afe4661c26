//! What `ddi inspect -v` prints: the part that `systemd-dissect` users know, then all the rest.

use std::fmt::{Display, Write};

use ddi_core::steps::{EntryFacts, Extent, Selection, VeritySet};
use ddi_core::{Content, Finding, ImageKind, PartitionReport, Report};
use ddi_gpt::PartitionType;
use ddi_io::Compression;
use ddi_verity::Examined;

use super::super::policy::{rulings, systemd_text};
use super::super::signature::signature_text;
use super::super::table::{Cell, Table};
use super::super::term::Term;
use super::super::width::fold;
use super::super::{count, escape, escape_sentence, human_size};
use super::{Inspected, dissected, finding_text, inside, kind, label, map, option};

/// Everything, in lines that fit.
pub(super) fn text(inspected: &Inspected<'_>, term: &Term) -> String {
    let Inspected { path, compression, report, inside, refused_table, judgement, .. } = inspected;
    let mut text = summary(report, *compression);
    text.push_str(&inside::text(report, inside, term));
    if let Some(map) = map::disk(report, 2, term) {
        section(&mut text, Some("Disk"), &map);
    }
    if !report.mounts.is_empty() {
        section(&mut text, None, &dissected::table(path, report).render());
    }
    let findings = findings(report, *refused_table);
    // of a table that is broken, what is wrong comes before what may be nonsense
    let is_broken = report.kind == ImageKind::BrokenTable;
    if is_broken && !findings.is_empty() {
        section(&mut text, Some("Findings"), &findings);
    }
    if matches!(report.kind, ImageKind::Gpt | ImageKind::BrokenTable) {
        section(&mut text, Some("Partition table"), &tables(report));
    }
    if !report.partitions.is_empty() {
        section(&mut text, Some("Partitions"), &partitions(report));
    }
    if !report.verity.is_empty() {
        section(&mut text, Some("Verity"), &report.verity.iter().map(verity_set).collect::<String>());
    }
    if let Some((policy, judgement)) = judgement {
        let mut body = rulings(&judgement.rulings);
        let _ = writeln!(body, "  {}", systemd_text(judgement));
        section(&mut text, Some(&format!("Image policy {policy}, if every block matches")), &body);
    }
    if !is_broken && !findings.is_empty() {
        section(&mut text, Some("Findings"), &findings);
    }
    fold(&text, term.columns)
}

fn findings(report: &Report, refused_table: Option<&ddi_gpt::Error>) -> String {
    let mut findings: String = report.findings.iter().map(finding).collect();
    if let Some(error) = refused_table {
        let _ =
            writeln!(findings, "  error: the table, strictly: {} [{}]", escape_sentence(error), error.code());
    }
    findings
}

fn section(text: &mut String, title: Option<&str>, body: &str) {
    text.push('\n');
    if let Some(title) = title {
        text.push_str(title);
        text.push('\n');
    }
    text.push_str(body);
}

/// The block that systemd-dissect begins with.
fn summary(report: &Report, compression: Option<Compression>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:>10}: {value}");
        }
    };
    let file_name = report.file_name.as_deref().unwrap_or_default();
    line("File Name", escape(file_name));
    line("Size", human_size(report.size));
    line("Packed", option(compression));
    line("Sec. Size", report.block_size.to_string());
    line("Arch.", option(report.architecture));
    line("Image UUID", option(report.uuid));
    if let Some(name) = report.name.as_deref().filter(|name| *name != file_name) {
        line("Image Name", escape(name));
    }
    line("Kind", kind(report));
    text
}

/// Both copies of a GPT.
fn tables(report: &Report) -> String {
    let mut table = Table::new(&["  COPY", ">HEADER", ">ENTRIES", "STATE"]);
    for copy in [&report.examination.primary, &report.examination.backup] {
        let state = match &copy.outcome {
            Ok(()) => "good".into(),
            Err(error) => escape_sentence(error),
        };
        table.row([
            Cell::shown(format_args!("  {}", copy.side)),
            Cell::shown(option(copy.location.map(|range| range.offset))),
            Cell::shown(option(copy.array_location.map(|range| range.offset))),
            Cell::shown(state),
        ]);
    }
    table.render()
}

fn partitions(report: &Report) -> String {
    let mut table = Table::new(&[
        ">  NO",
        ">OFFSET",
        ">SIZE",
        "TYPE",
        "UUID",
        "LABEL",
        "ATTRIBUTES",
        "CONTENT",
        "USED AS",
    ]);
    // entries of a broken table are shown as far as they make sense, and not all of them
    let is_broken = report.kind == ImageKind::BrokenTable;
    let is_known = |entry: &EntryFacts| match entry {
        EntryFacts::Gpt { partition_type, .. } => {
            matches!(partition_type, PartitionType::Designated(..)) || partition_type.common_name().is_some()
        }
        _ => true,
    };
    let is_shown =
        |partition: &&PartitionReport| !is_broken || partition.range.is_some() || is_known(&partition.entry);
    let most = if is_broken { MAX_BROKEN } else { usize::MAX };
    let shown = report.partitions.iter().filter(is_shown).take(most);
    let left_out = report.partitions.len().saturating_sub(shown.clone().count());
    for partition in shown {
        let (type_name, uuid, attributes) = match &partition.entry {
            EntryFacts::Gpt { partition_type, guid, attributes, .. } => (
                partition_type.common_name().map_or_else(|| partition_type.name(), str::to_owned),
                guid.to_string(),
                if attributes.is_empty() { String::new() } else { attributes.to_string() },
            ),
            EntryFacts::Mbr { kind, bootable } => (
                format!("{kind:02x}"),
                String::new(),
                if *bootable { "active".into() } else { String::new() },
            ),
            _ => Default::default(),
        };
        table.row([
            Cell::shown(partition.number),
            Cell::shown(option(partition.range.map(|range| range.offset))),
            Cell::shown(option(partition.range.map(|range| human_size(range.size)))),
            Cell::shown(type_name),
            Cell::shown(uuid),
            label(&partition.entry, if is_broken { MAX_LABEL } else { usize::MAX }),
            Cell::shown(attributes),
            Cell::shown(content(&partition.content)),
            Cell::shown(used_as(partition)),
        ]);
    }
    let mut text = table.render();
    if left_out > 0 {
        let _ = writeln!(text, "  and {left_out} more in a table that is broken");
    }
    text
}

/// Columns for a label of a broken table, which may be noise: escapes would make it eight times as long as a label can be,
/// and the whole table with it.
const MAX_LABEL: usize = 40;
/// Entries of a broken table that are shown.
const MAX_BROKEN: usize = 16;

fn content(content: &Content) -> &'static str {
    match content {
        Content::Unclear => "unclear",
        Content::NotRead => "not read",
        content => content.type_name().unwrap_or_default(),
    }
}

fn used_as(partition: &PartitionReport) -> String {
    match partition.selection {
        Some(Selection::Chosen(designator)) => designator.to_string(),
        _ => String::new(),
    }
}

fn verity_set(set: &VeritySet) -> String {
    let mut text = format!("  {}", set.role);
    if let Some(architecture) = set.architecture {
        let _ = write!(text, " {architecture}");
    }
    let _ = write!(text, ": data {}", place(set.data));
    let _ = write!(text, ", tree {}", place(Some(set.hash)));
    if set.signature.is_some() {
        let _ = write!(text, ", signature {}", place(set.signature));
    }
    text.push_str(if set.selected { ", in use\n" } else { "\n" });

    let mut line = |name: &str, value: &dyn Display| {
        let _ = writeln!(text, "    {name:<11} {value}");
    };
    match (&set.root_hash, &set.tree_root) {
        (Some(known), _) => line("root hash", &format_args!("{} ({})", known.hash, known.origin)),
        (None, Some(root)) => line("root hash", &format_args!("{root} (of the tree, named nowhere)")),
        (None, None) => line("root hash", &"unknown"),
    }
    for signature in &set.signatures {
        line("signature", &signature_text(signature));
    }
    // what the tree has is worth a line only where somebody says otherwise
    if let (Some(known), Some(root)) = (&set.root_hash, &set.tree_root)
        && known.hash != *root
    {
        line("tree has", root);
    }
    match (&set.superblock, &set.tree, &set.examined) {
        (Some(superblock), tree, _) => {
            let params = &superblock.params;
            line(
                "parameters",
                &format_args!(
                    "{}, hash type {}, {} data blocks of {} bytes, hash blocks of {} bytes",
                    params.algorithm(),
                    params.hash_type() as u32,
                    params.data_blocks(),
                    params.data_block_size(),
                    params.hash_block_size()
                ),
            );
            line("salt", params.salt());
            line("UUID", &ddi_gpt::Guid::from_uuid(superblock.uuid));
            if let Some(tree) = tree {
                let blocks = count(tree.layout().hash_blocks(), "hash block");
                let levels = count(tree.layout().levels().len() as u64, "level");
                line("tree", &format_args!("{blocks} in {levels}"));
            }
        }
        // without a superblock that is good, what stands there may show what is wrong with it
        (None, _, Some(examined)) => line("superblock", &examined_text(examined)),
        (None, ..) => {}
    }
    if let Some(problem) = &set.problem {
        line("problem", &escape_sentence(problem));
    }
    text
}

fn examined_text(examined: &Examined) -> String {
    if !examined.has_signature {
        return "none".into();
    }
    format!(
        "version {}, hash type {}, algorithm {}, {} data blocks of {} bytes, hash blocks of {} bytes, salt of {} bytes",
        examined.version,
        examined.hash_type,
        escape_sentence(examined.algorithm),
        examined.data_blocks,
        examined.data_block_size,
        examined.hash_block_size,
        examined.salt_size
    )
}

fn place(part: Option<Extent>) -> String {
    match part {
        None => "missing".into(),
        Some(Extent { number: Some(number), .. }) => format!("in partition {number}"),
        Some(Extent { external: true, .. }) => "in a file beside the image".into(),
        Some(Extent { range, .. }) => format!("in the image at byte {}", range.offset),
    }
}

fn finding(finding: &Finding) -> String {
    let mut text = format!("  {}: {}", finding.severity, finding_text(finding));
    if let Some(offset) = finding.offset {
        let _ = write!(text, " (byte {offset})");
    }
    let _ = writeln!(text, " [{}] ({})", finding.code(), finding.authority());
    text
}
