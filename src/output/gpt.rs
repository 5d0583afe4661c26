//! What `ddi table` prints.

use std::path::Path;

use ddi_gpt::{ByteRange, Examination, Gpt, LbaRange, Partition, Repair, TableCopy};
use serde_json::{Value, json};

use super::{Cell, Table, escape, escape_sentence, human_size, print, print_json};
use crate::table::{Piece, free};

/// A repair, done or only shown.
#[derive(Debug)]
pub(crate) struct Repaired<'a> {
    pub(crate) image: &'a Path,
    pub(crate) repair: &'a Repair,
    pub(crate) pieces: &'a [Piece],
    pub(crate) undo: Option<&'a Path>,
    pub(crate) written: bool,
}

/// A script, as it is: all that is in it was escaped.
pub(crate) fn script(text: &str) -> anyhow::Result<()> {
    print(text)
}

/// What is where.
pub(crate) fn map(image: &Path, examination: &Examination, table: &Gpt, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_json(&document(image, examination, table));
    }
    let block = u64::from(table.block_size().bytes());
    let mut text = format!(
        "{}: {} bytes ({}), blocks of {block}, disk {}, {}\n",
        escape(&image.display().to_string()),
        table.disk_size(),
        human_size(table.disk_size()),
        table.disk_guid(),
        table.condition()
    );
    // the condition says that a copy is bad, but not why
    for copy in [&examination.primary, &examination.backup] {
        if let Err(error) = &copy.outcome {
            text.push_str(&format!("  {} copy: {}\n", copy.side, escape_sentence(error)));
        }
    }
    for anomaly in table.anomalies() {
        text.push_str(&format!("  {}\n", escape_sentence(anomaly)));
    }
    text.push_str(&format!("{}\n", picture(table)));
    let mut rows = Table::new(&[">  NO", ">OFFSET", ">SIZE", "TYPE", "UUID", "LABEL", "ATTRIBUTES"]);
    // as in the picture above: the order of numbers need not be that of places
    let mut places: Vec<(LbaRange, Option<&Partition>)> =
        table.partitions().iter().map(|it| (it.lbas, Some(it))).collect();
    places.extend(free(table).into_iter().map(|lbas| (lbas, None)));
    places.sort_by_key(|(lbas, _)| lbas.first);
    for (lbas, partition) in places {
        let range = bytes(table, lbas);
        let (offset, size) = (Cell::shown(range.offset), Cell::shown(human_size(range.size)));
        match partition {
            None => rows.row([
                Cell::shown(""),
                offset,
                size,
                Cell::shown("free"),
                "".into(),
                "".into(),
                "".into(),
            ]),
            Some(it) => {
                let kind = it.partition_type();
                let attributes =
                    if it.attributes.is_empty() { String::new() } else { it.attributes.to_string() };
                rows.row([
                    Cell::shown(it.number),
                    offset,
                    size,
                    Cell::shown(kind.common_name().map_or_else(|| kind.name(), str::to_owned)),
                    Cell::shown(it.guid),
                    Cell::shown(it.name),
                    Cell::shown(attributes),
                ]);
            }
        }
    }
    text.push_str(&rows.render());
    print(&text)
}

/// The bytes of blocks of a table, all of which are on its disk.
fn bytes(table: &Gpt, lbas: LbaRange) -> ByteRange {
    table.block_size().byte_range(lbas).unwrap_or(ByteRange { offset: 0, size: 0 })
}

/// The disk in a line: the last digit of each partition's number where it lies, a point where nothing does.
fn picture(table: &Gpt) -> String {
    const CELLS: u64 = 100;
    let size = u128::from(table.disk_size().max(1));
    let cell = |offset: u64| (u128::from(offset) * u128::from(CELLS) / size) as usize;
    let mut cells = vec!['.'; CELLS as usize];
    for partition in table.partitions() {
        let digit = char::from_digit(partition.number % 10, 10).unwrap_or('#');
        let (first, last) = (cell(partition.range.offset), cell(partition.range.end().saturating_sub(1)));
        cells.iter_mut().take(last + 1).skip(first).for_each(|cell| *cell = digit);
    }
    format!("|{}|", cells.into_iter().collect::<String>())
}

fn document(image: &Path, examination: &Examination, table: &Gpt) -> Value {
    let range = |lbas: LbaRange| bytes(table, lbas);
    let partition = |it: &Partition| {
        json!({
            "number": it.number,
            "firstLba": it.lbas.first.0,
            "lastLba": it.lbas.last.0,
            "offset": it.range.offset,
            "size": it.range.size,
            "type": it.partition_type().name(),
            "typeUuid": it.type_guid.to_string(),
            "uuid": it.guid.to_string(),
            "label": it.name.label(),
            "attributes": format!("{:#018x}", it.attributes.0),
        })
    };
    let free = free(table).into_iter().map(|lbas| {
        json!({
            "firstLba": lbas.first.0,
            "lastLba": lbas.last.0,
            "offset": range(lbas).offset,
            "size": range(lbas).size,
        })
    });
    let copy = |copy: &TableCopy| {
        json!({
            "header": copy.location.map(|range| range.offset),
            "entries": copy.array_location.map(|range| range.offset),
            "error": copy.outcome.as_ref().err().map(|error| reason(error.code(), error)),
        })
    };
    let mbr = table.protective_mbr();
    json!({
        "schema": "ddi.table/1",
        "image": image.display().to_string(),
        "size": table.disk_size(),
        "blockSize": table.block_size().bytes(),
        "diskUuid": table.disk_guid().to_string(),
        "condition": table.condition().name(),
        "copy": table.side().to_string(),
        "firstUsableLba": table.usable().first.0,
        "lastUsableLba": table.usable().last.0,
        "entryCount": table.entry_count(),
        "entrySize": table.entry_size(),
        "properMbr": mbr.is_proper(table.disk_size(), table.block_size()),
        "primary": copy(&examination.primary),
        "backup": copy(&examination.backup),
        "partitions": table.partitions().iter().map(partition).collect::<Vec<_>>(),
        "free": free.collect::<Vec<_>>(),
        "anomalies": table.anomalies().iter().map(|it| reason(it.code(), it)).collect::<Vec<_>>(),
    })
}

fn reason(code: &str, message: impl std::fmt::Display) -> Value {
    json!({ "code": code, "message": message.to_string() })
}

/// What a repair does, or did.
pub(crate) fn repair(repaired: &Repaired<'_>) -> anyhow::Result<()> {
    let Repaired { repair, pieces, .. } = repaired;
    let mut text = format!("{}: ", escape(&repaired.image.display().to_string()));
    if pieces.is_empty() {
        return print(&format!("{text}both copies of the table are good, equal and in their places\n"));
    }
    text.push_str(&format!("to be repaired from the {} copy:\n", repair.from()));
    for step in repair.steps() {
        text.push_str(&format!("  {}\n", escape_sentence(step)));
    }
    for difference in repair.differences() {
        text.push_str(&format!("  {}\n", escape_sentence(difference)));
    }
    for piece in *pieces {
        text.push_str(&format!("  {} bytes at {}\n", piece.new.len(), piece.offset));
    }
    print(&text)
}

pub(crate) fn repair_json(repaired: &Repaired<'_>) -> anyhow::Result<()> {
    let Repaired { image, repair, pieces, undo, written } = repaired;
    print_json(&json!({
        "schema": "ddi.table-repair/1",
        "image": image.display().to_string(),
        "from": repair.from().to_string(),
        "steps": repair.steps().iter().map(|it| reason(it.code(), it)).collect::<Vec<_>>(),
        "differences": repair.differences().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "writes": pieces.iter().map(write).collect::<Vec<_>>(),
        "written": written,
        "undo": undo.filter(|_| *written).map(|path| path.display().to_string()),
    }))
}

fn write(piece: &Piece) -> Value {
    json!({ "offset": piece.offset, "size": piece.new.len() })
}

/// What was not written, or was, with the way back.
pub(crate) fn repair_end(repaired: &Repaired<'_>) -> anyhow::Result<()> {
    if repaired.pieces.is_empty() {
        return Ok(());
    }
    let Some(undo) = repaired.undo.filter(|_| repaired.written) else {
        return print("Nothing was written: --yes does that\n");
    };
    let [image, undo] = [repaired.image, undo].map(|path| escape(&path.display().to_string()));
    print(&format!("Written; back with: ddi table {image} --restore {undo} --yes\n"))
}

/// What was put back.
pub(crate) fn restored(image: &Path, left: &[&Piece], written: bool, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print_json(&json!({
            "schema": "ddi.table-restore/1",
            "image": image.display().to_string(),
            "writes": left.iter().map(|piece| write(piece)).collect::<Vec<_>>(),
            "written": written,
        }));
    }
    let mut text = format!("{}: ", escape(&image.display().to_string()));
    match (left.is_empty(), written) {
        (true, _) => text.push_str("is as it was before the repair\n"),
        (false, true) => text.push_str("is again as it was before the repair\n"),
        (false, false) => {
            text.push_str("to be put back:\n");
            for piece in left {
                text.push_str(&format!("  {} bytes at {}\n", piece.old.len(), piece.offset));
            }
            text.push_str("Nothing was written: --yes does that\n");
        }
    }
    print(&text)
}
