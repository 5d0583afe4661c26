//! The way back from a repair: the bytes that it writes over, in a file.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, ensure};
use ddi_core::steps::ImageFile;
use ddi_io::ReadAt;
use serde_json::{Value, json};

use crate::cli::TableArgs;
use crate::overwrite::{self, is_same_file};
use crate::verity::destination::Destination;
use crate::{ExitStatus, output};

const SCHEMA: &str = "ddi.table-undo/1";
/// Bytes of such a file: two arrays of the largest size, old and new, in hexadecimal, take half of it.
const MAX_SIZE: u64 = 16 << 20;
/// What a disk writes as a whole: a repair that was interrupted leaves each of these as it was or as it was to be.
const SECTOR: usize = 512;

/// Bytes that take the place of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) old: Vec<u8>,
    pub(crate) new: Vec<u8>,
}

impl Piece {
    /// Returns true if this may be what is there: old or new, sector by sector.
    fn fits(&self, found: &[u8]) -> bool {
        let sectors = |bytes| <[u8]>::chunks(bytes, SECTOR);
        let old_and_new = sectors(&self.old).zip(sectors(&self.new));
        sectors(found).zip(old_and_new).all(|(found, (old, new))| found == old || found == new)
    }
}

/// Writes the file, and waits until it is on the disk.
pub(super) fn write(path: &Path, image: &Path, size: u64, pieces: &[Piece]) -> anyhow::Result<()> {
    let row =
        |piece: &Piece| json!({ "offset": piece.offset, "old": hex(&piece.old), "new": hex(&piece.new) });
    let document = json!({
        "schema": SCHEMA,
        "image": image.display().to_string(),
        "size": size,
        "pieces": pieces.iter().map(row).collect::<Vec<_>>(),
    });
    let shown = || path.display().to_string();
    ensure!(std::fs::symlink_metadata(path).is_err(), "{}: is there already", shown());
    let file = Destination::open(path).with_context(shown)?;
    file.file().write_all(format!("{document:#}\n").as_bytes()).with_context(shown)?;
    file.commit(None).with_context(shown)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> anyhow::Result<(u64, Vec<Piece>)> {
    let mut text = String::new();
    File::open(path)?.take(MAX_SIZE + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= MAX_SIZE, "is larger than {MAX_SIZE} bytes");
    let value: Value = serde_json::from_str(&text).context("is not JSON")?;
    ensure!(value["schema"] == SCHEMA, "is not of schema {SCHEMA:?}");
    let number = |value: &Value, key: &str| {
        value[key].as_u64().with_context(|| format!("\"{key}\" is missing, or no number of the right kind"))
    };
    let bytes = |value: &Value, key: &str| {
        let text = value[key].as_str().filter(|text| text.len() % 2 == 0 && text.is_ascii());
        let digits = text.with_context(|| format!("\"{key}\" is missing, or not hexadecimal"))?.as_bytes();
        let pair =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair)?, 16).map_err(anyhow::Error::from);
        digits.chunks(2).map(pair).collect::<Result<Vec<u8>, _>>().with_context(|| format!("\"{key}\""))
    };
    let size = number(&value, "size")?;
    let rows = value["pieces"].as_array().filter(|rows| !rows.is_empty()).context("\"pieces\" is missing")?;
    let mut pieces = Vec::new();
    for row in rows {
        let piece =
            Piece { offset: number(row, "offset")?, old: bytes(row, "old")?, new: bytes(row, "new")? };
        let end = piece.offset.checked_add(piece.old.len() as u64).filter(|end| *end <= size);
        ensure!(
            end.is_some() && piece.old.len() == piece.new.len() && !piece.old.is_empty(),
            "\"pieces\" are not within {size} bytes"
        );
        pieces.push(piece);
    }
    Ok((size, pieces))
}

/// `ddi table --restore`.
pub(super) fn restore(args: &TableArgs, path: &Path) -> anyhow::Result<ExitStatus> {
    let shown = || args.image.display().to_string();
    overwrite::refuse(&args.image, [path])?;
    let (size, pieces) = read(path).with_context(|| path.display().to_string())?;
    let file = ImageFile::open(&args.image).with_context(shown)?;
    ensure!(file.compression().is_none(), "{}: is compressed", shown());
    let source = file.source();
    ensure!(
        source.size() == size,
        "{}: has {} bytes, and {} is of an image of {size}",
        shown(),
        source.size(),
        path.display()
    );
    // all are compared before one is written: another image must not be changed in part
    let mut left = Vec::new();
    for piece in &pieces {
        let mut found = vec![0; piece.old.len()];
        source.read_exact_at(piece.offset, &mut found).with_context(shown)?;
        ensure!(
            piece.fits(&found),
            "{}: has at {} neither what was there before the repair nor what was written: {} is of another \
             image, or it was changed since",
            shown(),
            piece.offset,
            path.display()
        );
        // of a repair or a restore that was interrupted, some is as it was already
        if found != piece.old {
            left.push(piece);
        }
    }
    let written = args.yes && !left.is_empty();
    if written {
        let destination = Destination::open(&args.image).with_context(shown)?;
        let is_same = is_same_file(source.file(), destination.file()).with_context(shown)?;
        ensure!(is_same, "{}: was replaced meanwhile", shown());
        // backwards through the states that the repair went through, each of which has a good copy
        for piece in left.iter().rev() {
            destination.file().write_all_at(&piece.old, piece.offset).with_context(shown)?;
            destination.file().sync_all().with_context(shown)?;
        }
    }
    output::restored(&args.image, &left, written, args.json)?;
    Ok(if left.is_empty() || written { ExitStatus::Good } else { ExitStatus::Bad })
}
