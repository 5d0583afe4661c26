//! `ddi check`: does an image do what it is meant for?

use std::path::Path;

use anyhow::Context;
use ddi_core::check::{CheckReport, Subject};
use ddi_core::verity::Certificates;
use ddi_core::{
    Assurance, Contents, Dissection, ErrorKind, Image, ProveOptions, Severity, TrustedRootHash, Unreadable,
    VeritySet, verity_sets,
};

use crate::cli::{CheckArgs, GoldenArgs, TrustArgs};
use crate::verify::open;
use crate::{Outcome, output};

/// `ddi check golden`
pub(crate) fn golden(args: &GoldenArgs) -> anyhow::Result<Outcome> {
    let trust = Trust::load(&args.reading.trust)?;
    let opened = Opened::new(&args.image, &args.reading, &trust)?;
    let options = trust.options();
    let result = ddi_core::check::golden(&opened.image, &opened.contents(&options));
    trust.finish("golden", &args.image, result, args.reading.json)
}

/// Whose word counts, and whether it must be there.
pub(crate) struct Trust {
    trusted: Vec<TrustedRootHash>,
    certificates: Certificates,
    /// Something was given: what is read must be authenticated by it.
    demanded: bool,
}

impl Trust {
    pub(crate) fn load(args: &TrustArgs) -> anyhow::Result<Self> {
        let trusted = args.root_hashes()?;
        let demanded = !trusted.is_empty() || !args.certificates.files.is_empty();
        Ok(Trust { trusted, certificates: args.certificates.load()?, demanded })
    }

    /// How protected partitions are opened.
    pub(crate) fn options(&self) -> ProveOptions<'_> {
        let mut options = ProveOptions::default();
        options.trusted = &self.trusted;
        options.certificates = Some(&self.certificates);
        options
    }

    /// Prints what the check came to.
    ///
    /// That an image is refused, or is not what its root hash says, is an answer; that it cannot be read is none.
    pub(crate) fn finish(
        &self,
        check: &'static str,
        path: &Path,
        result: Result<CheckReport, Unreadable>,
        json: bool,
    ) -> anyhow::Result<Outcome> {
        let mut report = match result {
            Ok(report) => report,
            Err(error) => {
                let code = answer(&error);
                let mut report = CheckReport::new(check, Assurance::Claimed);
                let Some((code, rule)) = code else {
                    return Err(error).with_context(|| path.display().to_string());
                };
                report.find(Severity::Error, code, Subject::Whole, error.to_string(), rule);
                report
            }
        };
        if self.demanded && report.assurance != Assurance::Authenticated && report.passed() {
            report.find(
                Severity::Error,
                "not-authenticated",
                Subject::Whole,
                "not all that was read is authenticated by a root hash or certificate that was given",
                "ddi: trust options",
            );
        }
        let outcome = if report.passed() { Outcome::Good } else { Outcome::Bad };
        output::check(path, &report, outcome, json)?;
        Ok(outcome)
    }
}

/// The code and the rule, if the error says something about the image.
fn answer(error: &Unreadable) -> Option<(&'static str, &'static str)> {
    const NOT_PROVEN: (&str, &str) = ("not-proven", "dm-verity");
    match error {
        Unreadable::Refused(error) if error.kind() != ErrorKind::Io => {
            Some(("image-refused", "Discoverable Disk Image Specification"))
        }
        Unreadable::Unproven(ddi_core::Error::RootHashUnknown { .. }) => None,
        Unreadable::Unproven(error) if !matches!(error.kind(), ErrorKind::Io | ErrorKind::Usage) => {
            Some(NOT_PROVEN)
        }
        Unreadable::FileSystem(error) if error.code() == "mismatch" => Some(NOT_PROVEN),
        _ => None,
    }
}

/// An image, and what is known of it before its file systems are opened.
pub(crate) struct Opened {
    pub(crate) image: Image,
    pub(crate) dissection: Dissection,
    pub(crate) sets: Vec<VeritySet>,
}

impl Opened {
    pub(crate) fn new(path: &Path, args: &CheckArgs, trust: &Trust) -> anyhow::Result<Self> {
        let image = open(path, &args.unpack)?;
        let dissection = Dissection::new(&image, &args.select.options(&image, &trust.trusted, None)?);
        let sets = verity_sets(&image, &dissection, &trust.options().bind());
        Ok(Opened { image, dissection, sets })
    }

    /// Its file systems.
    pub(crate) fn contents<'a>(&'a self, options: &'a ProveOptions<'a>) -> Contents<'a> {
        Contents::new(&self.image, &self.dissection, &self.sets, options)
    }
}
