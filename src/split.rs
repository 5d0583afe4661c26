//! `ddi split`: each partition of an image as a file of its own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, ensure};
use ddi_build::Split;
use ddi_gpt::{Condition, Mode};

use crate::cli::SplitArgs;
use crate::failure::Asked;
use crate::verify::open;
use crate::verity::destination::write_text;
use crate::{ExitStatus, output, sums};

/// What standard input is called.
const NO_NAME: &str = "image.raw";

pub(crate) fn run(args: &SplitArgs) -> anyhow::Result<ExitStatus> {
    let shown = args.image.display().to_string();
    let is_stdin = args.image == Path::new("-");
    let image = open(&args.image, &args.unpack)?;
    let table = match image.examination().gpt(Mode::Tolerant) {
        Ok(table) => table,
        Err(error) => {
            let asked = args.json.then(|| Asked { image: Some(shown.clone()) });
            output::failed(&anyhow::Error::from(error).context(shown), asked.as_ref());
            return Ok(ExitStatus::Bad);
        }
    };
    if table.condition() != Condition::Intact {
        let (condition, side) = (table.condition(), table.side());
        output::warning(&format!(
            "{shown}: the table is {condition}: these are the partitions of its {side} copy"
        ));
    }
    let name = match image.file_name() {
        _ if is_stdin => OsStr::new(NO_NAME),
        name => unpacked_name(name.context("the image has no name")?),
    };
    let beside = match args.image.parent() {
        Some(parent) if !is_stdin && !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = args.output.as_deref().unwrap_or(beside);
    ensure!(folder.is_dir(), "{}: is no folder", folder.display());
    let split = Split::new(&table, name, folder);
    let sums = sums::path(args.sums.as_deref(), folder)?;
    if let Some(path) = &sums {
        ensure!(path.symlink_metadata().is_err(), "{}: is there already", path.display());
        for file in split.files() {
            ensure!(file.path != *path, "--sums {}: is the file of a partition", path.display());
            sums::name(&file.path)?;
        }
    }
    split.write(image.source(), &args.image)?;
    if let Some(path) = &sums
        && let Err(error) = write_sums(path, &split)
    {
        // it may have its name, and not be known to be on the disk
        for made in split.files().iter().map(|file| &file.path).chain([path]) {
            let _ = fs::remove_file(made);
        }
        return Err(error.context(path.display().to_string()));
    }
    output::split(&args.image, &split, sums.as_deref(), args.json)?;
    Ok(ExitStatus::Good)
}

fn write_sums(path: &Path, split: &Split) -> anyhow::Result<()> {
    let files: Vec<&Path> = split.files().iter().map(|file| file.path.as_path()).collect();
    write_text(path, &sums::of(&files, None)?)
}

/// The name without that of the compression.
fn unpacked_name(name: &OsStr) -> &OsStr {
    let bytes = name.as_bytes();
    let suffixes: [&[u8]; 3] = [b".xz", b".zst", b".gz"];
    suffixes.into_iter().find_map(|suffix| bytes.strip_suffix(suffix)).map_or(name, OsStr::from_bytes)
}
