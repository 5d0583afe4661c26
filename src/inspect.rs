//! `ddi inspect`: what an image is.

use std::path::Path;

use ddi_core::steps::{Contents, DissectionRecord, ImageFile, ProveOptions, ReportOptions};
use ddi_core::{ImageKind, PolicyEvaluation, Report};
use ddi_gpt::Designator;
use ddi_os::SystemFacts;

use crate::cli::InspectArgs;
use crate::keep::Looked;
use crate::output::{Detail, Inspected};
use crate::trust::policy;
use crate::verify::{open, strict};
use crate::{ExitStatus, output};

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<ExitStatus> {
    args.keep.refuse(&[&args.image], Some(&args.trust))?;
    let trusted = args.trust.root_hashes()?;
    let certificates = args.trust.certificates.load()?;
    let policy = args.image_policy.as_deref().map(policy).transpose()?;
    let image = open(&args.image, &args.unpack)?;
    let mut options = ReportOptions::new(&image);
    options.dissect = args.select.options(&image, &trusted, args.hash_offset)?;
    options.dissect.policy = policy;
    options.trusted = &trusted;
    options.certificates = Some(&certificates);
    options.data_sizes = args.trust.data_sizes()?;
    options.require_bound_size = args.trust.require_bound_size;
    options.hash_offset = args.hash_offset;
    let dissection = DissectionRecord::new(&image, &options.dissect);
    let mut report = Report::of(&image, &dissection, &options);

    let mut prove = ProveOptions::default();
    prove.trusted = &trusted;
    prove.certificates = Some(&certificates);
    prove.data_sizes = args.trust.data_sizes()?;
    prove.require_bound_size = args.trust.require_bound_size;
    prove.hash_offset = args.hash_offset;
    let contents = Contents::new(&image, &dissection, &report.verity, &prove);
    let has_esp = dissection.chosen(Designator::Esp).is_some();
    let inside = SystemFacts::read(&contents, report.name.as_deref(), has_esp);
    SystemFacts::note(&inside, &mut report);

    let judgement = policy.map(|policy| {
        (
            policy,
            PolicyEvaluation::foresee(&image, &dissection, &options.dissect, &report.verity, options.trusted),
        )
    });
    let packed = args.image != Path::new("-");
    let refused_table = args.strict.then(|| strict(&image)).flatten();
    let inspected = Inspected {
        path: &args.image,
        compression: packed
            .then(|| ImageFile::open(&args.image).ok())
            .flatten()
            .and_then(|file| file.compression()),
        report: &report,
        inside: &inside,
        refused_table: refused_table.as_ref(),
        judgement: judgement.as_ref(),
        certificates: &args.trust.certificates.files,
        root_hashes: [args.trust.root_hash.as_deref(), args.trust.usr_hash.as_deref()],
    };
    if !args.keep.markdown {
        output::inspect(&inspected, args.detail())?;
    }
    if args.keep.wants_more() {
        let document = inspected.document();
        let contents = Contents::new(&image, &dissection, &report.verity, &prove);
        args.keep.write(&args.image, &document, Some(Looked::files(&args.keep, &document, &contents)))?;
    }
    Ok(match report.kind {
        _ if refused_table.is_some() => ExitStatus::Bad,
        // as for all other commands: nobody can tell what it is
        ImageKind::Unknown if matches!(dissection.outcome, Err(ddi_core::Error::NothingRecognised)) => {
            ExitStatus::Unknown
        }
        // there is too much to be recognised, or it is refused
        ImageKind::Unknown => ExitStatus::Bad,
        _ if report.broken() => ExitStatus::Bad,
        _ => ExitStatus::Good,
    })
}

impl InspectArgs {
    fn detail(&self) -> Detail {
        match self {
            InspectArgs { json: true, .. } => Detail::Json,
            InspectArgs { table: true, .. } => Detail::Table,
            InspectArgs { verbose: true, .. } => Detail::Full,
            _ => Detail::First,
        }
    }
}
