//! `ddi verify`: proves every verity-protected partition.

use std::path::Path;

use anyhow::{Context, bail};
use ddi_core::gpt::{Architecture, Mode};
use ddi_core::verity::{Options, RootHash};
use ddi_core::{
    DissectOptions, Dissection, Image, ProveOptions, Role, Table, TrustedRootHash, VeritySettings, prove,
};

use crate::cli::{SelectArgs, VerifyArgs};
use crate::{Outcome, output, verity};

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    let mut trusted = Vec::new();
    for (role, given) in [(Role::Root, &args.root_hash), (Role::Usr, &args.usr_hash)] {
        if let Some(given) = given {
            trusted.push(TrustedRootHash::by_caller(root_hash(given)?, role));
        }
    }
    let image = open(&args.image)?;
    let refused_table = args.strict.then(|| strict(&image)).flatten();
    let dissection = Dissection::new(&image, &args.select.options(&image, &trusted)?);

    let progress = output::Progress::new();
    let report = |done, total| progress.set(done, total);
    let mut options = ProveOptions::default();
    options.trusted = &trusted;
    options.hash_offset = args.hash_offset;
    options.progress = Some(&report);
    if let Some(threads) = args.threads {
        options.engine = Options::new().threads(threads);
    }
    let assessment = prove(&image, &dissection, &options);
    drop(progress);

    let mut outcome = match assessment.outcome {
        ddi_core::Outcome::TrustedAndProven => Outcome::Good,
        ddi_core::Outcome::IntactUnvouched if args.integrity_only => Outcome::Good,
        ddi_core::Outcome::IntactUnvouched => Outcome::Unvouched,
        ddi_core::Outcome::CouldNotTell => Outcome::Unknown,
        ddi_core::Outcome::NotProven => Outcome::Bad,
    };
    if refused_table.is_some() {
        outcome = Outcome::Bad;
    }
    output::verify(&args.image, &assessment, refused_table.as_ref(), outcome, args.json)?;
    Ok(outcome)
}

/// Opens what the user named, and says its name if that fails.
pub(crate) fn open(path: &Path) -> anyhow::Result<Image> {
    Image::open(path).with_context(|| path.display().to_string())
}

/// Why a strict reader refuses the table, if there is a GPT and it does.
pub(crate) fn strict(image: &Image) -> Option<ddi_core::gpt::Error> {
    match image.table() {
        Table::Gpt(_) => image.examination().gpt(Mode::Strict).err(),
        // refused in any case
        _ => None,
    }
}

impl SelectArgs {
    /// How to dissect `image`.
    pub(crate) fn options(
        &self,
        image: &Image,
        trusted: &[TrustedRootHash],
    ) -> anyhow::Result<DissectOptions> {
        let mut options = DissectOptions::new(VeritySettings::new(trusted.first(), image.sidecars()));
        if let Some(name) = &self.architecture {
            let architecture: Architecture =
                name.parse().with_context(|| format!("architecture {name} is not known"))?;
            options.native = Some(architecture);
        }
        Ok(options)
    }
}

/// From hexadecimal digits, or else from the file of that name.
fn root_hash(given: &str) -> anyhow::Result<RootHash> {
    let path = Path::new(given);
    match given.parse() {
        Ok(hash) => Ok(hash),
        Err(_) if path.exists() => verity::read_root_hash(path),
        Err(error) => bail!("{given} is neither a root hash ({error}) nor a file"),
    }
}
