//! `ddi policy`: what an image policy means, and whether an image meets it.

use ddi_core::policy::ImagePolicy;
use ddi_core::steps::{DissectionRecord, ProveOptions, prove};
use ddi_core::{Access, PolicyEvaluation};
use ddi_verity::Options;

use crate::cli::{PolicyCheckArgs, PolicyShowArgs};
use crate::output::PolicyChecked;
use crate::trust::policy;
use crate::verify::open;
use crate::{ExitStatus, output};

/// `ddi policy show`
pub(crate) fn show(args: &PolicyShowArgs) -> anyhow::Result<ExitStatus> {
    output::policy(&policy(&args.policy)?, args.json)?;
    Ok(ExitStatus::Good)
}

/// `ddi policy check`
pub(crate) fn check(args: &PolicyCheckArgs) -> anyhow::Result<ExitStatus> {
    let policy: ImagePolicy = policy(&args.policy)?;
    let trusted = args.trust.root_hashes()?;
    let certificates = args.trust.certificates.load()?;
    let image = open(&args.image, &args.unpack)?;
    let mut dissect = args.select.options(&image, &trusted, args.hash_offset)?;
    dissect.policy = Some(policy);
    let dissection = DissectionRecord::new(&image, &dissect);

    let progress = output::Progress::new();
    let report = |done, total| progress.set(done, total);
    let mut options = ProveOptions::default();
    options.trusted = &trusted;
    options.certificates = Some(&certificates);
    options.data_sizes = args.trust.data_sizes()?;
    options.require_bound_size = args.trust.require_bound_size;
    options.hash_offset = args.hash_offset;
    // who names a machine does not ask what others would do with the image
    options.one_architecture = args.select.architecture.is_some();
    options.progress = Some(&report);
    if let Some(threads) = args.threads {
        options.engine = Options::new().threads(threads);
    }
    let assessment = prove(&image, &dissection, &options);
    // its line must be gone before anything is printed
    drop(progress);

    let judgement = PolicyEvaluation::new(&image, &dissection, &dissect, &assessment);
    let permission = judgement.verdict(&assessment);
    let outcome = match permission {
        Access::Allowed => ExitStatus::Good,
        Access::Refused => ExitStatus::Bad,
        Access::Unknown => ExitStatus::Unknown,
    };
    let checked = PolicyChecked {
        path: &args.image,
        policy: &policy,
        judgement: &judgement,
        assessment: &assessment,
        permission,
        systemd_reading: args.systemd_reading,
    };
    output::checked(&checked, args.json)?;
    Ok(outcome)
}
