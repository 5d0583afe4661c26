//! `ddi check boot`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use ddi_core::Assurance;
use ddi_os::{BootOptions, UkiFile, boot};
use ddi_verity::FileSource;

use super::{Opened, Trust};
use crate::ExitStatus;
use crate::cli::BootArgs;

pub(crate) fn run(args: &BootArgs) -> anyhow::Result<ExitStatus> {
    let read: Vec<_> = [&args.image].into_iter().chain(&args.ukis).map(PathBuf::as_path).collect();
    args.reading.keep.refuse(&read, Some(&args.reading.trust))?;
    let mut trust = Trust::load(&args.reading.trust)?;
    // nothing authenticates an ESP: what is demanded is asked of the system and of the command lines, by the check itself
    let demanded = std::mem::take(&mut trust.demanded);
    let opened = Opened::new(&args.image, &args.reading, &trust)?;
    let options = trust.options();
    let files = args.ukis.iter().map(|path| {
        let name = path.display().to_string();
        let source = FileSource::open(path).with_context(|| name.clone())?;
        Ok(UkiFile { name, source: Arc::new(source) })
    });
    let files = files.collect::<anyhow::Result<Vec<_>>>()?;
    let mut boots = BootOptions::default();
    boots.files = &files;
    boots.trusted = options.trusted;
    boots.required = if demanded { Assurance::Authenticated } else { Assurance::Claimed };
    let result = boot(&opened.image, &opened.sets, &opened.contents(&options), &boots);
    trust.finish("boot", &args.image, result, &args.reading, Some(&opened))
}
