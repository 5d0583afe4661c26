//! The first screen: what it is, whether it is whole, who vouches for it, what it can be used as, what is wrong, and what to type
//! next. No line is longer than the terminal, and it is 24 lines at most as long as there are few partitions.

use ddi_core::steps::{Better, EntryFacts, Selection, Skipped, VeritySet};
use ddi_core::{Content, ImageKind, PartitionReport, Report, Role, Severity};
use ddi_fs::FsKind;
use ddi_gpt::{Condition, PartitionType};
use ddi_os::metadata::{EnvFile, Fact};

use super::super::table::{Cell, Table};
use super::super::term::{Mark, Style, Term};
use super::super::width::{cut, width, wrap};
use super::super::{binary_size, count, escape, escape_sentence};
use super::{Inspected, finding_text, inside, kind, label, option, signer};

/// Lines of a terminal.
const LINES: usize = 24;
/// Partitions that are shown; of a broken table, fewer.
const MAX_PARTITIONS: usize = 12;
const MAX_BROKEN: usize = 4;
/// Hash trees whose root hash and signer are shown.
const MAX_SETS: usize = 2;
/// Columns of the names in front of values.
const NAMES: usize = 11;
/// Lines that a value may take, but for a command, which nobody can type if some of it is missing.
const MAX_VALUE: usize = 3;
/// Terminals of fewer columns have values on from the left edge.
const NARROW: usize = 60;
/// The name of the command that says more.
const NEXT: &str = "Prove it";

pub(super) fn screen(inspected: &Inspected<'_>, term: &Term) -> String {
    let report = inspected.report;
    let mut screen = Screen { lines: Vec::new(), term };
    screen.title(inspected);
    screen.whole(inspected);
    let is_broken = report.kind == ImageKind::BrokenTable;
    if !report.partitions.is_empty() && !is_broken {
        screen.blank();
        screen.partitions(report, MAX_PARTITIONS);
    }
    screen.blank();
    screen.trust(report);
    screen.uses(inspected);
    screen.policy(inspected);
    let next = screen.fit(NEXT, &next(inspected), Style::Plain, "");
    let shown = if is_broken { MAX_BROKEN + 3 } else { 0 };
    // what is left, but for what comes after
    let left = LINES.saturating_sub(screen.lines.len() + next.len() + shown).max(4);
    screen.findings(inspected, left);
    if is_broken && !report.partitions.is_empty() {
        screen.blank();
        screen.partitions(report, MAX_BROKEN);
        screen.blank();
    }
    screen.lines.extend(next);
    screen.lines.join("\n") + "\n"
}

struct Screen<'a> {
    lines: Vec<String>,
    term: &'a Term,
}

impl Screen<'_> {
    fn blank(&mut self) {
        self.lines.push(String::new());
    }

    /// A name and its value, whose first word may be ours and coloured.
    fn field(&mut self, name: &str, style: Style, word: &str, rest: &str) {
        let lines = self.fit(name, &format!("{word}{rest}"), style, word);
        self.lines.extend(lines);
    }

    fn fit(&self, name: &str, value: &str, style: Style, word: &str) -> Vec<String> {
        // where there is little room, it is not spent on an edge
        let indent = if self.term.columns < NARROW { 2 } else { NAMES };
        let mut lines = wrap(&format!("{name:<NAMES$}{value}"), self.term.columns, indent);
        if lines.len() > MAX_VALUE && name != NEXT {
            lines.truncate(MAX_VALUE);
            if let Some(last) = lines.last_mut() {
                let mark = self.term.mark(Mark::Cut);
                let room = self.term.columns.saturating_sub(width(mark));
                *last = if width(last) > room {
                    cut(last, self.term.columns - 1, self.term)
                } else {
                    format!("{last}{mark}")
                };
            }
        }
        if let Some(first) = lines.first_mut()
            && let Some((names, value)) = first.split_at_checked(NAMES)
        {
            let value = match value.strip_prefix(word) {
                Some(rest) => self.term.paint(style, word) + rest,
                None => value.to_owned(),
            };
            *first = self.term.paint(Style::Faint, names.trim_end())
                + &" ".repeat(NAMES - names.trim_end().len())
                + &value;
        }
        lines
    }

    /// Name, system, architecture, size.
    fn title(&mut self, inspected: &Inspected<'_>) {
        let report = inspected.report;
        let name = match &report.file_name {
            Some(name) => escape(name),
            None => escape(&inspected.path.display().to_string()),
        };
        let system = inspected.inside.as_ref().ok().and_then(|inside| system(&inside.metadata));
        let size = match inspected.compression {
            Some(compression) => format!("{} unpacked from {compression}", binary_size(report.size)),
            None => binary_size(report.size),
        };
        let parts = [system.unwrap_or_default(), option(report.architecture), size];
        // parts stay whole as long as one fits into a line
        let mut line = cut(&name, self.term.columns, self.term);
        let mut lines = Vec::new();
        for part in parts.iter().filter(|part| !part.is_empty()) {
            if width(&line) + 3 + width(part) <= self.term.columns {
                line.push_str("   ");
                line.push_str(part);
            } else {
                let next = format!("  {}", cut(part, self.term.columns - 2, self.term));
                lines.push(std::mem::replace(&mut line, next));
            }
        }
        lines.push(line);
        self.lines.extend(lines);
    }

    /// Whether the table is whole, and of what disk it is.
    fn whole(&mut self, inspected: &Inspected<'_>) {
        let report = inspected.report;
        let (style, state) = match (report.kind, report.condition) {
            (ImageKind::Gpt, Some(condition)) => match condition {
                Condition::Intact => (Style::Good, "both copies good"),
                Condition::BackupMisplaced => {
                    (Style::Doubtful, "both copies good, the backup not at the end")
                }
                Condition::PrimaryOnly => (Style::Doubtful, "the backup is damaged or missing"),
                Condition::BackupOnly => (Style::Doubtful, "only the backup is good"),
                Condition::Differ => (Style::Bad, "the copies differ"),
            },
            (ImageKind::BrokenTable, _) => (Style::Bad, "partition table that cannot be used"),
            (ImageKind::Unknown, _) => (Style::Bad, "not a disk image"),
            _ => (Style::Plain, ""),
        };
        let facts = match report.kind {
            ImageKind::Gpt => {
                let disk = report.uuid.map(|uuid| format!(", disk {uuid}")).unwrap_or_default();
                let sectors = format!(", {}-byte sectors", report.block_size);
                let head = format!("GPT, {state}");
                // what matters least goes first
                let fitting = [format!("{head}{sectors}{disk}"), format!("{head}{sectors}"), head];
                fitting.into_iter().find(|line| width(line) <= self.term.columns)
            }
            ImageKind::BrokenTable => Some(state.to_owned()),
            ImageKind::Unknown => Some(match report.whole.type_name() {
                Some(name) => format!("{state}: {name}"),
                None => format!("{state}: nothing recognised"),
            }),
            _ => Some(kind(report)),
        };
        let facts = facts.unwrap_or_else(|| "GPT".to_owned());
        for line in wrap(&facts, self.term.columns, 2) {
            let line = match line.split_once(state).filter(|_| !state.is_empty()) {
                Some((before, after)) => format!("{before}{}{after}", self.term.paint(style, state)),
                None => line,
            };
            self.lines.push(line);
        }
    }

    fn partitions(&mut self, report: &Report, most: usize) {
        let is_whole = |partition: &&PartitionReport| partition.range.is_some();
        let is_broken = report.kind == ImageKind::BrokenTable;
        // an entry of a broken table that is nowhere on the disk is most likely noise
        let mut shown: Vec<_> =
            report.partitions.iter().filter(|partition| !is_broken || is_whole(partition)).collect();
        let more = shown.len().saturating_sub(most);
        shown.truncate(most);
        // that other types are not used needs no words: nobody mounts them from an image
        let is_left_out = |partition: &&&PartitionReport| {
            partition.entry.designator().is_some()
                && matches!(partition.selection, Some(Selection::Skipped(_)))
        };
        let has_left_out = shown.iter().any(|partition| is_left_out(&partition));
        let has_trees = !report.verity.is_empty();
        let mut titles = vec![">#", ">START", ">SIZE", "TYPE", "FS", "LABEL"];
        titles.extend(has_trees.then_some("VERITY"));
        titles.extend(has_left_out.then_some("USE"));
        let mut table = Table::new(&titles)
            .gap(2)
            .cutting(&["LABEL", "VERITY", "USE"])
            .dropping(&["START", "FS", "LABEL", "VERITY", "USE"]);
        for partition in shown {
            let mut row = vec![
                Cell::shown(format!("{:>2}", partition.number)),
                Cell::shown(option(partition.range.map(|range| binary_size(range.offset)))),
                Cell::shown(option(partition.range.map(|range| binary_size(range.size)))),
                Cell::shown(type_name(partition, report)),
                Cell::shown(content(&partition.content)),
                label(&partition.entry, self.term.columns),
            ];
            if has_trees {
                row.push(protection(partition, report, self.term));
            }
            if has_left_out {
                row.push(used(partition));
            }
            table.row(row);
        }
        self.lines.extend(table.fitted(self.term).lines().map(str::to_owned));
        if more > 0 {
            self.lines.push(cut(&format!("    and {more} more (-v)"), self.term.columns, self.term));
        }
    }

    /// Root hashes, and who signed them: of trees in use, else of all.
    fn trust(&mut self, report: &Report) {
        let selected = |set: &&VeritySet| set.selected;
        let mut sets: Vec<_> = report.verity.iter().filter(selected).collect();
        if sets.is_empty() {
            sets = report.verity.iter().collect();
        }
        let more = sets.len().saturating_sub(MAX_SETS);
        for set in sets.into_iter().take(MAX_SETS) {
            let name = match set.role {
                Role::Root => "Root hash",
                Role::Usr => "Usr hash",
            };
            let hash = match (&set.root_hash, &set.tree_root) {
                (Some(known), _) => known.hash.to_string(),
                (None, Some(root)) => format!("{root} (of the tree, named nowhere)"),
                (None, None) => "unknown".to_owned(),
            };
            // the digits that are compared come first
            let hash = cut(&hash, self.term.columns.saturating_sub(NAMES), self.term);
            self.field(name, Style::Plain, "", &hash);
            let (style, word, rest) = signer::told(set);
            self.field("Signed by", style, word, &rest);
        }
        if more > 0 {
            self.field("", Style::Plain, "", &format!("and {} (-v)", count(more as u64, "more hash tree")));
        }
        if report.verity.is_empty()
            && report.refused.is_none()
            && matches!(report.kind, ImageKind::Gpt | ImageKind::Mbr | ImageKind::FileSystem)
        {
            self.field(
                "Signed by",
                Style::Doubtful,
                "nobody",
                ": there is no hash tree, so nothing can be proven",
            );
        }
    }

    fn uses(&mut self, inspected: &Inspected<'_>) {
        match inspected.inside {
            Ok(facts) if facts.mounted.is_empty() => {}
            Ok(facts) => {
                let uses = inside::uses(&facts.use_as).join(", ");
                match uses.as_str() {
                    "" => self.field(
                        "Use as",
                        Style::Plain,
                        "",
                        "nothing that systemd boots, attaches or merges   (why: -v)",
                    ),
                    uses => self.field("Use as", Style::Plain, "", uses),
                }
            }
            Err(error) => {
                self.field("Use as", Style::Doubtful, "not known", &format!(": {}", escape_sentence(error)))
            }
        }
    }

    fn policy(&mut self, inspected: &Inspected<'_>) {
        let Some((_, judgement)) = inspected.judgement else { return };
        match (judgement.violations().next(), &judgement.systemd) {
            (Some(violation), _) => {
                self.field("Policy", Style::Bad, "refuses it", &format!(": {}", escape_sentence(violation)))
            }
            (None, Err(error)) => {
                self.field("Policy", Style::Bad, "refuses it", &format!(": {}", escape_sentence(error)))
            }
            (None, Ok(())) => self.field("Policy", Style::Good, "accepts it", " if every block matches"),
        }
    }

    /// The worst first, in so many lines; notes are only counted.
    fn findings(&mut self, inspected: &Inspected<'_>, lines: usize) {
        let report = inspected.report;
        let strictly = inspected
            .refused_table
            .map(|error| (Severity::Error, format!("the table, strictly: {}", escape_sentence(error))));
        let mut found: Vec<_> = (report.findings.iter())
            .map(|finding| (finding.severity, finding_text(finding)))
            .chain(strictly)
            .collect();
        // of the same severity, in the order of their places
        found.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
        let total = found.len();
        found.retain(|(severity, _)| *severity > Severity::Note);
        if found.is_empty() {
            match total {
                0 => self.field("Findings", Style::Good, "none", ""),
                notes => {
                    self.field("Findings", Style::Plain, "", &format!("{} (-v)", count(notes as u64, "note")))
                }
            }
            return;
        }
        let (mut shown, mut taken) = (0, 0);
        for (severity, text) in &found {
            let (style, word) = match severity {
                Severity::Error => (Style::Bad, "error"),
                _ => (Style::Doubtful, "warning"),
            };
            let name = if shown == 0 { "Findings" } else { "" };
            let value = self.fit(name, &format!("{word}: {text}"), style, word);
            // one line is kept for those that are not shown
            let is_last = shown + 1 == total;
            if shown > 0 && taken + value.len() + usize::from(!is_last) > lines {
                break;
            }
            taken += value.len();
            shown += 1;
            self.lines.extend(value);
        }
        if shown < total {
            self.field(
                "",
                Style::Plain,
                "",
                &format!("and {} (-v)", count((total - shown) as u64, "more finding")),
            );
        }
    }
}

/// The name of the system inside, and its version.
fn system(metadata: &ddi_os::metadata::Metadata) -> Option<String> {
    let fields = |fact: &'_ Fact<EnvFile>| {
        fact.as_ref().ok().and_then(|found| found.as_ref()).map(|found| found.value.clone())
    };
    let of = |fields: &EnvFile| {
        let get = |key| fields.get(key).filter(|value| !value.is_empty());
        let joined = |name: &str| match get("VERSION").or_else(|| get("VERSION_ID")) {
            Some(version) => format!("{name} {version}"),
            None => name.to_owned(),
        };
        get("PRETTY_NAME").map(str::to_owned).or_else(|| get("NAME").or_else(|| get("ID")).map(joined))
    };
    let system = fields(&metadata.os_release).or_else(|| fields(&metadata.initrd_release));
    if let Some(name) = system.as_ref().and_then(of) {
        return Some(escape(&name));
    }
    for (what, release) in [
        ("system extension", &metadata.sysext_release),
        ("configuration extension", &metadata.confext_release),
    ] {
        let Some(fields) = release.as_ref().ok().and_then(|release| release.fields()) else { continue };
        return Some(match of(fields) {
            Some(name) if name != "_any" => format!("{what} for {}", escape(&name)),
            _ => format!("{what} for any system"),
        });
    }
    None
}

/// What the partition is for; with the architecture if it is another than that of the image.
fn type_name(partition: &PartitionReport, report: &Report) -> String {
    match &partition.entry {
        EntryFacts::Gpt { partition_type: PartitionType::Designated(designator, architecture), .. }
            if architecture.is_none() || *architecture == report.architecture =>
        {
            designator.to_string()
        }
        EntryFacts::Gpt { partition_type, .. } => {
            partition_type.common_name().map_or_else(|| partition_type.name(), str::to_owned)
        }
        EntryFacts::Mbr { kind, .. } => format!("{kind:02x}"),
        _ => String::new(),
    }
}

fn content(content: &Content) -> &'static str {
    match content {
        Content::Signature(_) => "pkcs7",
        Content::Recognised(probe) if probe.kind == FsKind::DmVerityHash => "verity",
        Content::Recognised(probe) if probe.kind == FsKind::CryptoLuks => "luks",
        Content::Unclear => "unclear",
        Content::NotRead => "not read",
        content => content.type_name().unwrap_or_default(),
    }
}

/// How a partition is protected, or what it does for the protection of another one.
fn protection(partition: &PartitionReport, report: &Report, term: &Term) -> Cell {
    let is_here = |extent: Option<ddi_core::steps::Extent>| {
        extent.is_some_and(|extent| extent.number == Some(partition.number) && !extent.external)
    };
    for set in report.verity.iter() {
        if is_here(set.data) {
            let (style, word) = signer::word(set, term);
            return Cell::styled(style, word);
        }
        if is_here(Some(set.hash)) {
            let params = set.superblock.as_ref().map(|superblock| superblock.params);
            return Cell::shown(option(params.map(|params| {
                format!("{}, {}", params.algorithm(), binary_size(params.hash_block_size().into()))
            })));
        }
        if is_here(set.signature) {
            return Cell::shown(signer::name(set));
        }
    }
    "".into()
}

/// Whether a partition is used, and if not, why, in few words.
fn used(partition: &PartitionReport) -> Cell {
    match &partition.selection {
        Some(Selection::Chosen(_)) => Cell::styled(Style::Good, "yes"),
        Some(Selection::Skipped(Skipped::NotDiscoverable)) | None => "".into(),
        Some(Selection::Skipped(skipped)) => Cell::styled(Style::Faint, reason(skipped)),
    }
}

fn reason(skipped: &Skipped) -> String {
    match skipped {
        Skipped::Worse { because: Better::Version, .. } => "older".into(),
        Skipped::Worse { because: Better::Architecture, .. } => "other arch".into(),
        Skipped::EmptySlot => "empty".into(),
        skipped => skipped.code().replace('-', " "),
    }
}

/// The command that says more.
fn next(inspected: &Inspected<'_>) -> String {
    let path = quoted(&inspected.path.display().to_string());
    let report = inspected.report;
    if report.verity.is_empty()
        || !matches!(report.kind, ImageKind::Gpt | ImageKind::FileSystem | ImageKind::Mbr)
    {
        return format!("nothing here can be proven; all that is known: ddi inspect -v {path}");
    }
    let mut command = format!("ddi verify {path}");
    for (option, hash) in ["--root-hash", "--usr-hash"].into_iter().zip(inspected.root_hashes) {
        if let Some(hash) = hash {
            command.push_str(&format!(" {option} {}", quoted(hash)));
        }
    }
    for file in inspected.certificates {
        command.push_str(&format!(" --certificate {}", quoted(&file.display().to_string())));
    }
    let is_known = inspected.root_hashes.iter().any(Option::is_some) || !inspected.certificates.is_empty();
    let is_vouched =
        |set: &VeritySet| signer::best(set).is_some_and(|signature| signature.state.verified().is_some());
    if !is_known && !report.verity.iter().any(is_vouched) {
        let is_signed = report.verity.iter().any(|set| !set.signatures.is_empty());
        command.push_str(if is_signed { " --certificate FILE" } else { " --root-hash HASH" });
    }
    command
}

/// As a shell takes it for one word, fit for a terminal: what has to be escaped is not quite what is to be typed.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    let shown = escape(word);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => shown,
        false => format!("'{}'", shown.replace('\'', r"'\''")),
    }
}
