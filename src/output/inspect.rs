//! What `ddi inspect` prints: a first screen that answers a reader's questions in their order, with `-v` everything that is
//! known, with `--table` the columns of `systemd-dissect`, with `--json` a document.

mod dissected;
mod first;
mod full;
mod inside;
mod map;
mod signer;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use ddi_core::json::Inspection;
use ddi_core::policy::ImagePolicy;
use ddi_core::steps::EntryFacts;
use ddi_core::{Content, Finding, ImageKind, MountError, PolicyEvaluation, Report};
use ddi_fs::{FsKind, Usage};
use ddi_io::Compression;
use ddi_os::SystemFacts;

pub(super) use map::disk as disk_map;

use super::table::Cell;
use super::width::cut;
use super::{escape_sentence, print, print_json, term};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What fits on a screen.
    First,
    /// Everything.
    Full,
    /// The columns of `systemd-dissect` alone.
    Table,
    /// For programs.
    Json,
}

/// Everything that `ddi inspect` found out.
#[derive(Debug)]
pub(crate) struct Inspected<'a> {
    pub(crate) path: &'a Path,
    /// How the file is compressed.
    pub(crate) compression: Option<Compression>,
    pub(crate) report: &'a Report,
    /// What its files say, or why they cannot be read.
    pub(crate) inside: &'a Result<SystemFacts, MountError>,
    /// Why a strict reader refuses the table.
    pub(crate) refused_table: Option<&'a ddi_gpt::Error>,
    /// The policy that was given, and what it would say if every block matched.
    pub(crate) judgement: Option<&'a (ImagePolicy, PolicyEvaluation)>,
    /// The certificates that were given.
    pub(crate) certificates: &'a [PathBuf],
    /// The root hash of root that was given, and that of usr.
    pub(crate) root_hashes: [Option<&'a str>; 2],
}

/// Everything that is known about an image, or the first screen of it.
pub(crate) fn inspect(inspected: &Inspected<'_>, detail: Detail) -> anyhow::Result<()> {
    let term = term();
    match detail {
        Detail::Json => print_json(&inspected.document()),
        Detail::Table => print(&dissected::table(inspected.path, inspected.report).fitted(term)),
        Detail::Full => print(&full::text(inspected, term)),
        Detail::First => print(&first::screen(inspected, term)),
    }
}

impl Inspected<'_> {
    /// All of it: `ddi.inspect/1`.
    pub(crate) fn document(&self) -> serde_json::Value {
        let Inspected { path, compression, report, inside, refused_table, judgement, .. } = self;
        let mut document =
            Inspection::new(report).path(path).compression(*compression).refused_table(*refused_table);
        if let Some((policy, evaluation)) = judgement {
            document = document.policy(policy, evaluation);
        }
        SystemFacts::add_to(inside, &document)
    }
}

/// What kind of image it is, where that is no GPT.
fn kind(report: &Report) -> String {
    let whole = report.whole.type_name();
    match (report.kind, whole) {
        (ImageKind::Gpt, _) => format!("GPT, {}", option(report.condition)),
        (ImageKind::Mbr, _) => "MBR".into(),
        (ImageKind::FileSystem, Some(name)) => match &report.whole {
            Content::Recognised(probe) if !is_bare_image(probe.kind) => format!("not a disk image: {name}"),
            _ => format!("bare file system: {name}"),
        },
        (ImageKind::FileSystem, None) => "bare file system".into(),
        (ImageKind::BrokenTable, _) => "partition table that cannot be used".into(),
        (ImageKind::Unknown, Some(name)) => format!("not a disk image: {name}"),
        (ImageKind::Unknown, None) => "nothing recognised".into(),
        (other, _) => other.name().into(),
    }
}

fn is_bare_image(kind: FsKind) -> bool {
    kind.usage() == Usage::Filesystem || kind == FsKind::CryptoLuks
}

/// What is wrong in one sentence, with its place.
fn finding_text(finding: &Finding) -> String {
    let partition = finding.partition.map(|number| format!("partition {number}: ")).unwrap_or_default();
    format!("{partition}{}", escape_sentence(finding))
}

/// The label of an entry, from its UTF-16, in which half a surrogate pair is not yet text; of one that takes more columns than
/// so many, the beginning.
fn label(entry: &EntryFacts, columns: usize) -> Cell {
    let EntryFacts::Gpt { name, .. } = entry else { return "".into() };
    Cell::shown(cut(name.to_string().trim_end(), columns, term()))
}

fn option(value: Option<impl Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
