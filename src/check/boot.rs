//! `ddi check boot`

use std::sync::Arc;

use anyhow::Context;
use ddi_core::check::{UkiFile, boot};
use ddi_core::verity::FileSource;

use super::{Opened, Trust};
use crate::Outcome;
use crate::cli::BootArgs;

pub(crate) fn run(args: &BootArgs) -> anyhow::Result<Outcome> {
    let mut trust = Trust::load(&args.reading.trust)?;
    // nothing authenticates an ESP: what is demanded is that the system is what the root hash says
    trust.demanded = false;
    let opened = Opened::new(&args.image, &args.reading, &trust)?;
    let options = trust.options();
    let files = args.ukis.iter().map(|path| {
        let name = path.display().to_string();
        let source = FileSource::open(path).with_context(|| name.clone())?;
        Ok(UkiFile { name, source: Arc::new(source) })
    });
    let files = files.collect::<anyhow::Result<Vec<_>>>()?;
    let result = boot(&opened.image, &opened.sets, &opened.contents(&options), &files);
    trust.finish("boot", &args.image, result, args.reading.json)
}
