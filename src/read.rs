//! `ddi read`: bytes of a partition, proven before they come out.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail, ensure};
use ddi_core::steps::{DissectionRecord, ProveOptions, VeritySet, verity_sets};
use ddi_core::{ErrorKind, Image, ProvenPartition, Role};
use ddi_gpt::Designator;
use ddi_verity::{ReadAt, Section};

use crate::cli::ReadArgs;
use crate::verify::open;
use crate::verity::destination::replace;
use crate::{ExitStatus, output, overwrite};

pub(crate) fn run(args: &ReadArgs) -> anyhow::Result<ExitStatus> {
    let trusted = args.trust.root_hashes()?;
    if let Some(output) = &args.output {
        let beside = ddi_core::steps::sidecar_paths(&args.image);
        let trust = args.trust.files();
        let given = args.unpack.files();
        let parity = &args.parity.fec_device;
        let others = beside.iter().chain(&trust).chain(parity).map(PathBuf::as_path);
        overwrite::refuse(
            output,
            others.chain(given.iter().map(PathBuf::as_path)).chain([args.image.as_path()]),
        )?;
    }
    let image = open(&args.image, &args.unpack)?;
    let dissection = DissectionRecord::new(&image, &args.select.options(&image, &trusted, args.hash_offset)?);
    let wanted = match Wanted::find(&args.partition, &image, &dissection) {
        Ok(wanted) => wanted,
        // it is there, and not what was asked for
        Err(error) => match error.downcast_ref::<ddi_core::Error>().map(outcome_of) {
            Some(outcome) => return refuse(args, error, outcome),
            None => return Err(error),
        },
    };
    if args.unverified {
        return copy(args, &wanted.raw(&image)?);
    }
    let certificates = args.trust.certificates.load()?;
    let mut options = ProveOptions::default();
    options.trusted = &trusted;
    options.certificates = Some(&certificates);
    options.data_sizes = args.trust.data_sizes()?;
    options.require_bound_size = args.trust.require_bound_size;
    options.hash_offset = args.hash_offset;
    let sets = verity_sets(&image, &dissection, &options.bind());
    let is_wanted = |set: &&VeritySet| match wanted.number() {
        // a bare image is a root file system, and a tree for usr says nothing of that
        None => set.role == Role::Root,
        number => set.data.is_some_and(|data| data.number == number),
    };
    // of several trees over the same data, one that somebody vouches for
    let vouched = |set: &&VeritySet| is_wanted(set) && set.trusted(&trusted).is_some();
    let Some(set) = sets.iter().find(vouched).or_else(|| sets.iter().find(is_wanted)) else {
        let hint = "it is not protected by a hash tree of the image; --unverified reads it as it is";
        return refuse(args, anyhow!(hint), ExitStatus::Bad);
    };
    // a root hash was given for it, and it is another one
    let given = trusted.iter().find(|given| given.role() == set.role);
    if let Some(given) = given.filter(|given| set.root_hash.is_none_or(|known| known.hash != *given.hash())) {
        return refuse(
            args,
            anyhow!("it is not what the root hash {} is for", given.hash()),
            ExitStatus::Bad,
        );
    }
    let parity = args.parity.open(&args.image, Some(set))?;
    options.fec = parity.devices();
    let partition = match ProvenPartition::open(&image, set, &options) {
        Ok(partition) => partition,
        Err(error) => {
            let outcome = outcome_of(&error);
            return refuse(args, error.into(), outcome);
        }
    };
    if partition.trusted().is_none() && !args.integrity_only {
        let hint = "nobody vouches for its root hash; --integrity-only reads what matches it nevertheless";
        return refuse(args, anyhow!(hint), ExitStatus::Unvouched);
    }
    copy(args, &partition)
}

/// Which bytes are meant.
enum Wanted {
    Partition(u32),
    /// All of a bare image.
    Whole,
}

impl Wanted {
    fn find(name: &str, image: &Image, dissection: &DissectionRecord) -> anyhow::Result<Self> {
        let bare = dissection.outcome.as_ref().is_ok_and(|dissected| dissected.bare);
        if let Ok(number) = name.parse::<u32>() {
            ensure!(image.partition(number).is_some(), "there is no partition {number}");
            return Ok(Wanted::Partition(number));
        }
        let designator: Designator = name.parse().with_context(|| {
            let names = Designator::ALL.map(Designator::name).join(", ");
            format!("{name} is neither a number nor one of {names}")
        })?;
        match dissection.chosen(designator) {
            Some(number) => Ok(Wanted::Partition(number)),
            None if bare && designator == Designator::Root => Ok(Wanted::Whole),
            None => match &dissection.outcome {
                Ok(_) => bail!("there is no {designator} partition"),
                Err(error) => Err(error.clone()).context("there is none that can be used"),
            },
        }
    }

    fn number(&self) -> Option<u32> {
        match self {
            Wanted::Partition(number) => Some(*number),
            Wanted::Whole => None,
        }
    }

    /// The bytes as they are.
    fn raw<'a>(&self, image: &'a Image) -> anyhow::Result<Section<&'a dyn ReadAt>> {
        match self {
            Wanted::Partition(number) => image.partition(*number).context("the partition is gone"),
            Wanted::Whole => Ok(Section::new(image.source(), 0, image.source().size())?),
        }
    }
}

/// Says on stderr why no byte came out, and ends.
fn refuse(args: &ReadArgs, why: anyhow::Error, outcome: ExitStatus) -> anyhow::Result<ExitStatus> {
    output::error(&why.context(format!("{}: partition {}", args.image.display(), args.partition)));
    Ok(outcome)
}

/// What it means that a partition could not be opened, or not be read.
fn outcome_of(error: &ddi_core::Error) -> ExitStatus {
    match (error, error.kind()) {
        (ddi_core::Error::RootHashUnknown { .. } | ddi_core::Error::NothingRecognised, _)
        | (_, ErrorKind::Io | ErrorKind::Usage) => ExitStatus::Unknown,
        _ => ExitStatus::Bad,
    }
}

/// Copies the bytes that are wanted to where they are wanted.
fn copy(args: &ReadArgs, source: &dyn ReadAt) -> anyhow::Result<ExitStatus> {
    let rest = source.size().checked_sub(args.offset);
    let size = match (rest, args.size) {
        (Some(rest), None) => rest,
        (Some(rest), Some(size)) if size <= rest => size,
        _ => bail!("partition {} has {} bytes to read", args.partition, source.size()),
    };
    let section = Section::new(source, args.offset, size)?;
    let copied = match &args.output {
        None => output::bytes(&section),
        Some(path) => {
            replace(path, |file| output::bytes_to(&section, file)).with_context(|| path.display().to_string())
        }
    };
    match copied {
        Ok(()) => Ok(ExitStatus::Good),
        Err(error) => match error.downcast::<output::Unreadable>() {
            // what came out before it was good
            Ok(output::Unreadable(error)) => {
                let is_mismatch = error.kind() == io::ErrorKind::InvalidData;
                let outcome = if is_mismatch { ExitStatus::Bad } else { ExitStatus::Unknown };
                refuse(args, error.into(), outcome)
            }
            Err(error) => Err(error),
        },
    }
}
