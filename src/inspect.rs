//! `ddi inspect`: what an image is.

use ddi_core::{Report, ReportOptions};

use crate::cli::InspectArgs;
use crate::verify::{open, strict};
use crate::{Outcome, output};

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<Outcome> {
    let image = open(&args.image)?;
    let mut options = ReportOptions::new(&image);
    options.dissect = args.select.options(&image, &[])?;
    let report = Report::new(&image, &options);
    let refused_table = args.strict.then(|| strict(&image)).flatten();
    output::inspect(&args.image, &report, refused_table.as_ref(), args.json)?;
    Ok(if report.broken() || refused_table.is_some() { Outcome::Bad } else { Outcome::Good })
}
