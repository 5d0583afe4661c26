//! Reports to keep or to hand on: `--html`, `--markdown`, `--sarif`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ddi_core::json::Inspection;
use ddi_core::steps::{
    Contents, DissectOptions, DissectionRecord, ProveOptions, ReportOptions, sidecar_paths,
};
use ddi_core::{Image, Mounted, Report};
use ddi_fs::{Budget, Walk};
use ddi_gpt::Designator;
use ddi_os::SystemFacts;
use ddi_report::{FileTree, Page};
use serde_json::Value;

use crate::cli::{KeepArgs, TrustArgs};
use crate::output;
use crate::overwrite;
use crate::verity::destination::replace;

/// Bytes of memory for names of directories while they are listed.
const MAX_NAMES: u64 = 32 << 20;

impl KeepArgs {
    /// Refuses to write over what is read, before anything is.
    pub(crate) fn refuse(&self, images: &[&Path], trust: Option<&TrustArgs>) -> anyhow::Result<()> {
        let trusted = trust.map(TrustArgs::files).unwrap_or_default();
        let beside: Vec<PathBuf> = images.iter().flat_map(|image| sidecar_paths(image)).collect();
        let read = || beside.iter().chain(&trusted).map(PathBuf::as_path).chain(images.iter().copied());
        for written in [&self.html, &self.sarif].into_iter().flatten() {
            overwrite::refuse(written, read())?;
        }
        if let (Some(html), Some(sarif)) = (&self.html, &self.sarif) {
            overwrite::refuse(html, [sarif.as_path()])?;
        }
        Ok(())
    }

    /// Returns true if more is asked for than is printed.
    pub(crate) fn wants_more(&self) -> bool {
        self.html.is_some() || self.markdown || self.sarif.is_some()
    }

    /// Makes what is asked for: of `document`, the answer of the command, and what else is known of the image. Summaries are
    /// printed, files written, each complete or not at all.
    pub(crate) fn write(&self, path: &Path, document: &Value, looked: Option<Looked>) -> anyhow::Result<()> {
        let name = match path == Path::new("-") {
            true => "standard input".to_owned(),
            false => path.display().to_string(),
        };
        let (inspected, files) = looked.map_or((None, None), |looked| (Some(looked.document), looked.files));
        let documents = || [Some(document), inspected.as_ref()].into_iter().flatten();
        if self.markdown {
            output::markdown(&ddi_report::markdown(&name, documents()))?;
        }
        if let Some(path) = &self.sarif {
            let sarif = format!("{:#}\n", ddi_report::sarif(&name, documents()));
            write(path, &sarif)?;
        }
        if let Some(path) = &self.html {
            let page = documents().fold(Page::new(&name), Page::document);
            let page = match files {
                Some(Ok((files, from))) => page.files(files, from),
                Some(Err(why)) => page.no_files(why),
                None => page,
            };
            write(path, &page.to_html())?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    replace(path, |file| Ok(file.write_all(text.as_bytes())?)).with_context(|| path.display().to_string())
}

/// What an image is, for a report on something else.
pub(crate) struct Looked {
    document: Value,
    /// Its files, with what is to be known of their file systems; or why they cannot be shown.
    files: Option<Result<(FileTree, Vec<String>), String>>,
}

impl Looked {
    /// Looks at the image as `ddi inspect` does.
    pub(crate) fn new(
        keep: &KeepArgs,
        path: &Path,
        (image, dissection): (&Image, &DissectionRecord),
        dissect: &DissectOptions,
        prove: &ProveOptions<'_>,
    ) -> Self {
        let mut options = ReportOptions::new(image);
        options.dissect = dissect.clone();
        options.trusted = prove.trusted;
        options.certificates = prove.certificates;
        options.data_sizes = prove.data_sizes;
        options.require_bound_size = prove.require_bound_size;
        options.hash_offset = prove.hash_offset;
        let mut report = Report::of(image, dissection, &options);
        let contents = Contents::new(image, dissection, &report.verity, prove);
        let has_esp = dissection.chosen(Designator::Esp).is_some();
        let inside = SystemFacts::read(&contents, report.name.as_deref(), has_esp);
        let files = keep.html.is_some().then(|| files(&contents));
        SystemFacts::note(&inside, &mut report);
        let document = SystemFacts::add_to(&inside, &Inspection::new(&report).path(path));
        Looked { document, files }
    }

    /// The files of an image of which the document is known.
    pub(crate) fn files(keep: &KeepArgs, document: &Value, contents: &Contents<'_>) -> Self {
        Looked { document: document.clone(), files: keep.html.is_some().then(|| files(contents)) }
    }
}

fn files(contents: &Contents<'_>) -> Result<(FileTree, Vec<String>), String> {
    let (files, left_out) = contents.whole().map_err(|error| error.to_string())?;
    let budget = Budget { names: MAX_NAMES, ..Budget::default() };
    let tree = FileTree::read(&files.tree, files.tree.root(), &mut Walk::new(budget).around_damage());
    let mut from: Vec<_> = files.mounted.iter().map(told).collect();
    from.extend(left_out.iter().map(|(designator, why)| format!("{designator} is left out: {why}")));
    Ok((tree, from))
}

fn told(mounted: &Mounted) -> String {
    let place = match (mounted.designator, mounted.number) {
        (Some(designator), Some(number)) => format!("{designator} in partition {number}"),
        (Some(designator), None) => designator.to_string(),
        (None, Some(number)) => format!("partition {number}"),
        (None, None) => "the image".to_owned(),
    };
    let worth = match mounted.assurance {
        ddi_core::Assurance::Authenticated => "authenticated: each block was proven before it was read",
        ddi_core::Assurance::Intact => "intact: each block matches a root hash that nobody vouches for",
        _ => "claimed: read as it is, and not proven",
    };
    format!("{place}: {}, {worth}", mounted.kind.name())
}
