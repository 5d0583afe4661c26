//! `ddi inspect`: what an image is.

use ddi_core::{Dissection, Judgement, Report, ReportOptions};

use crate::cli::InspectArgs;
use crate::output::Inspected;
use crate::trust::policy;
use crate::verify::{open, strict};
use crate::{Outcome, output};

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<Outcome> {
    let certificates = args.certificates.load()?;
    let policy = args.image_policy.as_deref().map(policy).transpose()?;
    let image = open(&args.image, &args.unpack)?;
    let mut options = ReportOptions::new(&image);
    options.dissect = args.select.options(&image, &[], None)?;
    options.dissect.policy = policy;
    options.certificates = Some(&certificates);
    let dissection = Dissection::new(&image, &options.dissect);
    let report = Report::of(&image, &dissection, &options);
    let judgement = policy.map(|policy| {
        (policy, Judgement::foresee(&image, &dissection, &options.dissect, &report.verity, options.trusted))
    });
    let refused_table = args.strict.then(|| strict(&image)).flatten();
    let inspected = Inspected {
        path: &args.image,
        report: &report,
        refused_table: refused_table.as_ref(),
        judgement: judgement.as_ref(),
    };
    output::inspect(&inspected, args.json)?;
    Ok(if report.broken() || refused_table.is_some() { Outcome::Bad } else { Outcome::Good })
}
