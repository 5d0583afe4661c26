//! Which blocks are damaged, and which files lie in them.

use std::fmt::Write;

use serde_json::Value;

use super::writer::Html;
use crate::document::{Documents, is, list, member, runs, some_text, text, uint};
use crate::text::{count, size};

/// Cells in a row of the map, and most rows.
const COLUMNS: u64 = 64;
const ROWS: u64 = 24;
/// Most runs of blocks that are listed.
const MAX_RUNS: usize = 500;
/// Width and height of a cell, with the gap behind it.
const CELL: u64 = 10;

/// How a cell is shown: as the worst block in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Good,
    Unproven,
    Corrupt,
}

/// Draws what is damaged, if anything is.
pub(super) fn damage(html: &mut Html, documents: &Documents<'_>) {
    let Some(verify) = documents.verify else { return };
    let is_damaged = |proof: &&Value| {
        member(proof, "verdict").is_some_and(|verdict| !is(verdict, "proven"))
            || member(proof, "damage").is_some()
    };
    let damaged: Vec<_> = list(verify, "proofs").iter().filter(is_damaged).collect();
    if damaged.is_empty() {
        return;
    }
    html.markup("<section id=\"damage\" aria-labelledby=\"damage-h\"><h2 id=\"damage-h\">Damage</h2>");
    for proof in damaged.iter().take(64) {
        html.within("h3", &[], |html| {
            html.text(text(proof, "role"));
            html.text(" ");
            html.text(text(proof, "architecture"));
        });
        if let Some(verdict) = member(proof, "verdict") {
            map(html, verdict, super::disk::block_size(documents, proof));
        }
        if let Some(damage) = member(proof, "damage") {
            owners(html, damage);
        }
    }
    html.markup("</section>");
}

/// Rows of cells, each for one block or for a run of them of equal length.
fn cells(blocks: u64, unproven: &[(u64, u64)], corrupt: &[(u64, u64)]) -> (u64, Vec<Cell>) {
    let per_cell = blocks.div_ceil(COLUMNS.saturating_mul(ROWS)).max(1);
    let number = blocks.div_ceil(per_cell);
    let cell = |block: u64| {
        let index = block.checked_div(per_cell).unwrap_or(0);
        usize::try_from(index).unwrap_or(usize::MAX)
    };
    let mut cells = vec![Cell::Good; usize::try_from(number).unwrap_or(0)];
    for (runs, state) in [(unproven, Cell::Unproven), (corrupt, Cell::Corrupt)] {
        for (first, last) in runs {
            let from = cell(*first);
            let to = cell(*last);
            for cell in cells.iter_mut().take(to.saturating_add(1)).skip(from) {
                *cell = state.max(*cell);
            }
        }
    }
    (per_cell, cells)
}

fn map(html: &mut Html, verdict: &Value, block_size: Option<u64>) {
    let blocks = uint(verdict, "dataBlocks").unwrap_or(0);
    let (corrupt, unproven) = (runs(verdict, "corruptDataBlocks"), runs(verdict, "unprovenDataBlocks"));
    // not from the runs: where there are too many of them, the document does not list all
    let number = |key| verdict.get(key).and_then(|blocks| uint(blocks, "count")).unwrap_or(0);
    let (bad, open) = (number("corruptDataBlocks"), number("unprovenDataBlocks"));
    let (per_cell, cells) = cells(blocks, &unproven, &corrupt);
    if cells.is_empty() {
        return;
    }
    // the picture is as wide as the page, and a few cells would be huge
    let columns = COLUMNS.min(u64::try_from(cells.len()).unwrap_or(COLUMNS)).max(16);
    let rows = u64::try_from(cells.len()).unwrap_or(0).div_ceil(columns);
    let described = format!(
        "{}: {bad} corrupt, {open} that cannot be judged, the others match",
        count(blocks, "data block")
    );
    html.markup("<figure class=\"blocks\">");
    let view = format!("0 0 {} {}", columns.saturating_mul(CELL), rows.saturating_mul(CELL));
    html.open("svg", &[("class", &"grid"), ("role", &"img"), ("viewBox", &view), ("aria-label", &described)]);
    for (state, class) in
        [(Cell::Good, "c-good"), (Cell::Unproven, "c-unproven"), (Cell::Corrupt, "c-corrupt")]
    {
        // not an element for each cell: there can be `COLUMNS` times `ROWS` of them
        let mut path = String::new();
        for (index, _) in (0u64..).zip(&cells).filter(|(_, cell)| **cell == state) {
            let row = index.checked_div(columns).unwrap_or(0);
            let column = index.saturating_sub(row.saturating_mul(columns));
            let (x, y) = (column.saturating_mul(CELL), row.saturating_mul(CELL));
            let _ = write!(path, "M{x} {y}h9v9h-9z");
        }
        if !path.is_empty() {
            html.open("path", &[("class", &class), ("d", &path)]);
            html.close("path");
        }
    }
    html.close("svg");
    html.within("figcaption", &[], |html| {
        html.markup("<i class=\"key c-good\"></i>matches <i class=\"key c-corrupt\"></i>corrupt ");
        html.markup("<i class=\"key c-unproven\"></i>cannot be judged. ");
        html.text(described.split_once(": ").map_or("", |(_, numbers)| numbers));
        html.text(". A square is ");
        html.text(count(per_cell, "block"));
        if let Some(bytes) = block_size {
            html.text(" (");
            html.text(size(per_cell.saturating_mul(bytes)));
            html.text(")");
        }
        html.text(", shown as the worst in it.");
    });
    html.markup("</figure>");
}

fn owners(html: &mut Html, damage: &Value) {
    if let Some(problem) = member(damage, "problem") {
        return html.within("p", &[], |html| {
            html.text("Nothing can be told about files: ");
            html.quoted(text(problem, "message"));
        });
    }
    let found = list(damage, "blocks");
    html.markup(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Damaged blocks\" tabindex=\"0\"><table class=\"cards\"><thead><tr>\
         <th scope=\"col\" class=\"n\">Blocks</th><th scope=\"col\">State</th><th scope=\"col\">What lies there</th></tr></thead><tbody>",
    );
    for run in found.iter().take(MAX_RUNS) {
        html.markup("<tr>");
        let (first, last) = (uint(run, "first").unwrap_or(0), uint(run, "last").unwrap_or(0));
        html.within("td", &[("class", &"n"), ("data-l", &"Blocks")], |html| match first == last {
            true => html.text(first),
            false => html.text(format_args!("{first}–{last}")),
        });
        let (class, word) =
            if is(run, "corrupt") { ("word-bad", "corrupt") } else { ("why", "cannot be judged") };
        html.within("td", &[("data-l", &"State")], |html| html.leaf("span", class, word));
        html.within("td", &[("data-l", &"What lies there")], |html| lies_there(html, damage, run));
        html.markup("</tr>");
    }
    html.markup("</tbody></table></div>");
    let more = u64::try_from(found.len().saturating_sub(MAX_RUNS)).unwrap_or(0);
    // without a number: how many runs the document left out is not known
    if more > 0 || is(damage, "truncated") {
        html.leaf("p", "note", "There are more runs of damaged blocks than are listed here.");
    }
    let untold = uint(damage, "untoldCount").unwrap_or(0);
    if untold > 0 {
        html.leaf(
            "p",
            "note",
            format_args!("Of {} it is not known where all of them lie.", count(untold, "file")),
        );
    }
    if let Some(stopped) = member(damage, "stopped") {
        html.within("p", &[("class", &"note")], |html| {
            html.text("Not all files were looked at: ");
            html.quoted(text(stopped, "message"));
        });
    }
}

fn lies_there(html: &mut Html, damage: &Value, run: &Value) {
    let files = list(run, "files");
    let system = list(run, "fileSystem");
    if files.is_empty() && system.is_empty() {
        return html.text(if is(damage, "complete") { "not in use" } else { "no file known" });
    }
    html.markup("<ul class=\"plain\">");
    let words = |html: &mut Html, words: &[Value]| {
        for word in words.iter().filter_map(Value::as_str) {
            html.text(" ");
            html.leaf("small", "", word);
        }
    };
    for file in files {
        html.markup("<li>");
        html.open("code", &[]);
        path(html, file);
        html.close("code");
        words(html, list(file, "what"));
        html.markup("</li>");
    }
    let more = uint(run, "fileCount").unwrap_or(0).saturating_sub(u64::try_from(files.len()).unwrap_or(0));
    if more > 0 {
        html.leaf("li", "", format_args!("and {}", count(more, "more file")));
    }
    if !system.is_empty() {
        html.markup("<li>the file system itself");
        words(html, system);
        html.markup("</li>");
    }
    html.markup("</ul>");
}

/// The path of a file in the image.
pub(super) fn path(html: &mut Html, value: &Value) {
    // of a path that is no text, the document has escaped it already
    match some_text(value, "pathHex") {
        Some(_) => html.quoted(text(value, "path")),
        None => html.name(text(value, "path").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, cells};

    #[test]
    fn a_cell_is_as_its_worst_block() {
        let (per_cell, all) = cells(10, &[(2, 4)], &[(4, 4), (9, 200)]);
        assert_eq!(per_cell, 1);
        let states: String = all
            .iter()
            .map(|cell| match cell {
                Cell::Good => '.',
                Cell::Unproven => '?',
                Cell::Corrupt => '#',
            })
            .collect();
        assert_eq!(states, "..??#....#");
        let (per_cell, all) = cells(u64::MAX, &[(0, u64::MAX)], &[(u64::MAX, u64::MAX)]);
        assert!(per_cell > 1 && all.len() <= 64 * 24);
        assert_eq!(all.last(), Some(&Cell::Corrupt));
        assert!(cells(0, &[(0, 1)], &[]).1.is_empty());
    }
}
