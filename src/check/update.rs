//! `ddi check update`

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use ddi_os::sysupdate::{Directory, Pattern, Target, Transfer};
use ddi_os::{UpdateOptions, update};
use ddi_verity::{FileSource, ReadAt};

use crate::cli::UpdateArgs;
use crate::verify::open;
use crate::{ExitStatus, output};

/// Largest definition that is read.
const MAX_DEFINITION: u64 = 1 << 20;

pub(crate) fn run(args: &UpdateArgs) -> anyhow::Result<ExitStatus> {
    let read: Vec<_> =
        [&args.set].into_iter().chain(&args.image).chain(&args.keyring).map(PathBuf::as_path).collect();
    args.keep.refuse(&read, None)?;
    let mut transfers = Vec::new();
    for folder in &args.definitions {
        transfers.extend(definitions(folder)?);
    }
    transfers.extend(matches(args)?);
    let image = args.image.as_deref().map(|path| open(path, &args.unpack)).transpose()?;
    let (folder, manifest) = place(&args.set)?;
    let directory = Directory::open(folder).with_context(|| folder.display().to_string())?;
    let mut options = UpdateOptions::new(&transfers);
    options.manifest = manifest;
    options.keyring = args.keyring.as_deref();
    options.image = image.as_ref();
    let report = update(&directory, &options).with_context(|| args.set.display().to_string())?;
    let outcome = if report.passed() { ExitStatus::Good } else { ExitStatus::Bad };
    if !args.keep.markdown {
        output::check(&args.set, &report, args.json)?;
    }
    if args.keep.wants_more() {
        args.keep.write(&args.set, &report.to_json(&args.set.display().to_string()), None)?;
    }
    Ok(outcome)
}

/// The directory, and the name of the manifest in it.
fn place(set: &Path) -> anyhow::Result<(&Path, &str)> {
    let found = fs::metadata(set).with_context(|| set.display().to_string())?;
    if found.is_dir() {
        return Ok((set, "SHA256SUMS"));
    }
    let name = set.file_name().and_then(OsStr::to_str).context("the manifest has no name in UTF-8")?;
    let folder = set.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok((folder.unwrap_or(Path::new(".")), name))
}

/// `--match`, each with its `--slot`.
fn matches(args: &UpdateArgs) -> anyhow::Result<Vec<Transfer>> {
    ensure!(
        args.slots.is_empty() || args.slots.len() == args.matches.len(),
        "--slot is for the --match of the same place: {} and {} are given",
        args.slots.len(),
        args.matches.len()
    );
    let mut transfers = Vec::new();
    for (index, text) in args.matches.iter().enumerate() {
        let pattern: Pattern = text.parse().with_context(|| text.clone())?;
        let mut transfer = Transfer::new(pattern);
        if let Some(slot) = args.slots.get(index) {
            let (name, pattern) =
                slot.split_once(':').with_context(|| format!("{slot}: no : between type and label"))?;
            let Ok(partition_type) = Target::partition_type(name) else {
                bail!("{name} is not a type of partitions")
            };
            transfer.target =
                Some(Target::partition(partition_type, pattern.parse().with_context(|| slot.clone())?));
        }
        transfers.push(transfer);
    }
    Ok(transfers)
}

/// The `*.transfer` files of a directory, or `*.conf` as before systemd 257, by name.
fn definitions(folder: &Path) -> anyhow::Result<Vec<Transfer>> {
    let shown = || folder.display().to_string();
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(shown)? {
        paths.push(entry.with_context(shown)?.path());
    }
    paths.sort();
    let with = |suffix: &str| -> Vec<_> {
        paths.iter().filter(|path| path.extension().is_some_and(|found| found == suffix)).collect()
    };
    let found = [with("transfer"), with("conf")].into_iter().find(|found| !found.is_empty());
    let mut transfers = Vec::new();
    for path in found.with_context(|| format!("{}: no *.transfer files", shown()))? {
        let read = || {
            let source = FileSource::open(path)?;
            ensure!(source.size() <= MAX_DEFINITION, "too large");
            let mut text = Vec::new();
            source.file().take(MAX_DEFINITION).read_to_end(&mut text)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            Ok(Transfer::parse(&name, &text)?)
        };
        transfers.push(read().with_context(|| path.display().to_string())?);
    }
    Ok(transfers)
}
