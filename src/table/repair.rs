//! `ddi table --repair`: shown, and on `--yes` written, with a way back.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use ddi_core::steps::ImageFile;
use ddi_gpt::{BlockSize, RepairOptions};
use ddi_io::ReadAt;

use super::undo::{self, Piece};
use super::{examine, refuse};
use crate::cli::TableArgs;
use crate::output::Repaired;
use crate::overwrite::{self, is_same_file};
use crate::verity::destination::Destination;
use crate::{ExitStatus, output};

pub(super) fn run(args: &TableArgs, block_size: Option<BlockSize>) -> anyhow::Result<ExitStatus> {
    let shown = || args.image.display().to_string();
    let file = ImageFile::open(&args.image).with_context(shown)?;
    ensure!(file.compression().is_none(), "{}: is compressed", shown());
    let source = file.source();
    let examination = examine(source, block_size).with_context(shown)?;
    let mut options = RepairOptions::new().protective_mbr(args.protective_mbr);
    if let Some(copy) = args.from {
        options = options.from(copy.into());
    }
    let repair = match examination.repair(options) {
        Ok(repair) => repair,
        Err(error) => return Ok(refuse(args, &error)),
    };
    let mut pieces = Vec::new();
    for (offset, new) in repair.writes() {
        let mut old = vec![0; new.len()];
        source.read_exact_at(offset, &mut old).with_context(shown)?;
        if old != new {
            pieces.push(Piece { offset, old, new: new.to_vec() });
        }
    }
    let undo = match pieces.is_empty() {
        true => None,
        false => Some(undo_path(args)?),
    };
    let mut repaired = Repaired {
        image: &args.image,
        repair: &repair,
        pieces: &pieces,
        undo: undo.as_deref(),
        written: false,
    };
    // JSON is one document, which says at its end whether anything was written
    if !args.json {
        output::repair(&repaired)?;
    }
    if let (true, Some(undo)) = (args.yes, &undo) {
        let destination = Destination::open(&args.image).with_context(shown)?;
        let is_same = is_same_file(source.file(), destination.file()).with_context(shown)?;
        ensure!(is_same, "{}: was replaced meanwhile", shown());
        // the way back is on the disk before the first byte of the image changes
        undo::write(undo, &args.image, source.size(), &pieces)?;
        for piece in &pieces {
            destination.file().write_all_at(&piece.new, piece.offset).with_context(shown)?;
            // before the next piece: whenever this is interrupted, there is a good copy
            destination.file().sync_all().with_context(shown)?;
        }
        let after = examine(source, block_size).with_context(shown)?;
        let is_good = after.primary.outcome.is_ok() && after.backup.outcome.is_ok();
        ensure!(is_good, "{}: is not what was written: something else changed meanwhile", shown());
        repaired.written = true;
    }
    match args.json {
        true => output::repair_json(&repaired)?,
        false => output::repair_end(&repaired)?,
    }
    Ok(match pieces.is_empty() || repaired.written {
        true => ExitStatus::Good,
        false => ExitStatus::Bad,
    })
}

/// Where the bytes go that are written over: a new file.
fn undo_path(args: &TableArgs) -> anyhow::Result<PathBuf> {
    let path = match &args.undo {
        Some(path) => path.clone(),
        None => {
            let found = fs::metadata(&args.image).with_context(|| args.image.display().to_string())?;
            ensure!(
                found.is_file() || !args.yes,
                "{}: is a device: --undo FILE is needed",
                args.image.display()
            );
            beside(&args.image)
        }
    };
    overwrite::refuse(&path, [&*args.image])?;
    let is_free = fs::symlink_metadata(&path).is_err();
    ensure!(
        is_free || !args.yes,
        "{}: is there already, and may be the way back from another repair",
        path.display()
    );
    Ok(path)
}

fn beside(image: &Path) -> PathBuf {
    let mut name = image.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".table-undo.json");
    image.with_file_name(name)
}
