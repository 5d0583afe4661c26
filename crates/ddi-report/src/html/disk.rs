//! The image drawn to scale, and its partitions.

use serde_json::Value;

use super::writer::Html;
use crate::document::{Documents, is, list, member, runs, some_text, text, uint};
use crate::text::{count, size};

/// Most parts that are drawn: a table can have any number of them.
const MAX_DRAWN: usize = 256;
/// Most partitions that are listed.
const MAX_LISTED: usize = 1024;
/// Most runs of damaged blocks that are drawn in the strip under the map.
const MAX_RUNS: usize = 512;
/// A ten thousandth of the width: nothing is drawn narrower than so many.
const LEAST: u64 = 25;

/// A part of the disk.
struct Part<'a> {
    start: u64,
    size: u64,
    class: &'static str,
    /// What stands in it.
    short: String,
    label: &'a str,
    kind: &'a str,
}

/// Draws the disk, and lists what is on it.
pub(super) fn disk(html: &mut Html, documents: &Documents<'_>) {
    let Some(inspect) = documents.inspect else { return };
    let total = uint(inspect, "size").unwrap_or(0);
    let partitions = list(inspect, "partitions");
    if partitions.is_empty() || total == 0 {
        return;
    }
    html.open("section", &[("id", &"disk"), ("aria-labelledby", &"disk-h")]);
    html.markup("<h2 id=\"disk-h\">Disk</h2>");
    let parts = parts(inspect, partitions, total);
    html.markup("<figure class=\"disk\">");
    let described = format!(
        "{} of {} in the order in which they lie: {}",
        count(u64::try_from(partitions.len()).unwrap_or(u64::MAX), "partition"),
        size(total),
        parts
            .iter()
            // the number before it is of partitions, and tables are none
            .filter(|part| !part.class.starts_with("gpt"))
            .map(|part| part.short.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    );
    html.within("svg", &[("class", &"map"), ("role", &"img"), ("width", &"100%"), ("height", &"74"), ("aria-label", &described)], |html| {
        hatch(html);
        html.markup("<rect class=\"free\" x=\"0\" y=\"0\" width=\"100%\" height=\"40\"/><rect class=\"hatch\" x=\"0\" y=\"0\" width=\"100%\" height=\"40\" fill=\"url(#hatch)\"/>");
        for part in &parts {
            bar(html, part, total);
        }
        proven(html, documents, total);
        ticks(html, total);
    });
    stretched(html, &parts);
    html.within("figcaption", &[], |html| {
        html.text("Above to scale, with hatching where nothing is. ");
        if documents.verify.is_some() {
            html.text("The thin line under it: proven, damaged, and not protected. ");
        }
        html.text("Below, the same parts in the same order, each wide enough to be seen.");
    });
    html.markup("</figure>");
    table(html, partitions);
    html.close("section");
}

fn hatch(html: &mut Html) {
    html.markup(
        "<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
         <path class=\"line\" d=\"M0 6 6 0\"/></pattern></defs>",
    );
}

fn parts<'a>(inspect: &'a Value, partitions: &'a [Value], total: u64) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let block = uint(inspect, "sectorSize").unwrap_or(512);
    if let Some(table) = member(inspect, "table") {
        for (side, label) in [("primary", "primary partition table"), ("backup", "backup partition table")] {
            let Some(copy) = member(table, side) else { continue };
            let (Some(header), Some(entries)) = (uint(copy, "offset"), uint(copy, "entriesOffset")) else {
                continue;
            };
            let of = member(copy, "header");
            let number = |key| of.and_then(|header| uint(header, key)).unwrap_or(0);
            let array = number("numberOfPartitionEntries").saturating_mul(number("sizeOfPartitionEntry"));
            let start = header.min(entries);
            // a header that is not good may say anything, also that its array is behind the end
            let end = header.saturating_add(block).max(entries.saturating_add(array)).min(total);
            if let Some(size) = end.checked_sub(start).filter(|size| *size > 0) {
                let class = if member(copy, "error").is_some() { "gpt torn" } else { "gpt" };
                parts.push(Part { start, size, class, short: "GPT".into(), label, kind: "" });
            }
        }
    }
    for partition in partitions.iter().take(MAX_DRAWN) {
        let (Some(start), Some(size), Some(number)) =
            (uint(partition, "offset"), uint(partition, "size"), uint(partition, "number"))
        else {
            continue;
        };
        let kind = some_text(partition, "designator").unwrap_or_else(|| text(partition, "typeName"));
        let short = match some_text(partition, "designator") {
            Some(designator) => format!("{number} {designator}"),
            None => format!("{number}"),
        };
        let class = class_of(partition);
        parts.push(Part {
            start,
            size: size.min(total),
            class,
            short,
            label: text(partition, "label"),
            kind,
        });
    }
    parts.sort_by_key(|part| part.start);
    parts
}

/// The colour of a partition: what it is for, and grey if it is not used.
fn class_of(partition: &Value) -> &'static str {
    let is_used = member(partition, "use").is_some_and(|used| used.get("as").is_some());
    match some_text(partition, "designator") {
        Some(_) if !is_used => "unused",
        Some("root" | "usr") => "data",
        Some(name) if name.ends_with("-verity") => "hash",
        Some(name) if name.ends_with("-verity-sig") => "sig",
        Some("esp" | "xbootldr") => "boot",
        Some("swap") => "unused",
        Some(_) => "rw",
        None => "unused",
    }
}

/// A place as a part of the width, in ten thousandths: `12.34%`.
fn percent(n: u64, of: u64) -> String {
    let parts = u128::from(n).saturating_mul(10_000).checked_div(u128::from(of)).unwrap_or(0).min(10_000);
    format!("{}.{:02}%", parts / 100, parts % 100)
}

/// A width, and never nothing.
fn width(n: u64, of: u64) -> String {
    let least = u64::try_from(u128::from(of).saturating_mul(u128::from(LEAST)) / 10_000).unwrap_or(of).max(1);
    percent(n.max(least), of)
}

fn bar(html: &mut Html, part: &Part<'_>, total: u64) {
    let x = percent(part.start, total);
    html.open("g", &[]);
    html.open(
        "rect",
        &[
            ("class", &part.class),
            ("x", &x),
            ("y", &"0"),
            ("width", &width(part.size, total)),
            ("height", &"40"),
        ],
    );
    html.within("title", &[], |html| {
        html.text(format_args!("{} {}: {} at byte {}", part.short, part.label, size(part.size), part.start));
    });
    html.close("rect");
    // with less there is no room
    if u128::from(part.size).saturating_mul(100) > u128::from(total).saturating_mul(9) {
        html.within(
            "svg",
            &[
                ("x", &x),
                ("y", &"0"),
                ("width", &width(part.size, total)),
                ("height", &"40"),
                ("overflow", &"hidden"),
            ],
            |html| {
                html.within("text", &[("x", &"8"), ("y", &"25"), ("class", &part.class)], |html| {
                    html.text(&part.short)
                });
            },
        );
    }
    html.close("g");
}

/// Under the partitions: which bytes were proven, which not.
fn proven(html: &mut Html, documents: &Documents<'_>, total: u64) {
    let Some(verify) = documents.verify else { return };
    let mut strip = |class: &'static str, start: u64, size: u64| {
        html.open(
            "rect",
            &[
                ("class", &class),
                ("x", &percent(start, total)),
                ("y", &"44"),
                ("width", &width(size, total)),
                ("height", &"6"),
            ],
        );
        html.close("rect");
    };
    if let Some(inspect) = documents.inspect {
        for partition in list(inspect, "partitions").iter().take(MAX_DRAWN) {
            if let (Some(start), Some(size)) = (uint(partition, "offset"), uint(partition, "size")) {
                strip("s-claimed", start, size);
            }
        }
    }
    for proof in list(verify, "proofs").iter().take(MAX_DRAWN) {
        let (Some(data), Some(verdict)) = (member(proof, "data"), member(proof, "verdict")) else { continue };
        if is(data, "external") {
            continue;
        }
        let (start, size) = (uint(data, "offset").unwrap_or(0), uint(data, "size").unwrap_or(0));
        let Some(blocks) = uint(verdict, "dataBlocks").filter(|blocks| *blocks > 0) else { continue };
        // the size of a block is told in the other document; without it, all of the partition is taken for data
        let block =
            block_size(documents, proof).unwrap_or_else(|| size.checked_div(blocks).unwrap_or(0)).max(1);
        let class = if is(proof, "trusted") { "s-proven" } else { "s-open" };
        strip(class, start, blocks.saturating_mul(block).min(size));
        for (key, class) in [("unprovenDataBlocks", "s-claimed"), ("corruptDataBlocks", "s-broken")] {
            for (first, last) in runs(verdict, key).into_iter().take(MAX_RUNS) {
                let count = last.saturating_sub(first).saturating_add(1);
                strip(class, start.saturating_add(first.saturating_mul(block)), count.saturating_mul(block));
            }
        }
    }
}

/// Bytes of a data block, from the tree that the proof is of.
pub(super) fn block_size(documents: &Documents<'_>, proof: &Value) -> Option<u64> {
    let set = list(documents.inspect?, "verity").iter().find(|set| set.get("hash") == proof.get("hash"))?;
    uint(member(set, "parameters")?, "dataBlockSize")
}

fn ticks(html: &mut Html, total: u64) {
    for (quarter, anchor) in [(0, "start"), (1, "middle"), (2, "middle"), (3, "middle"), (4, "end")] {
        let at = u64::try_from(u128::from(total).saturating_mul(quarter) / 4).unwrap_or(total);
        let class = if quarter % 2 == 1 { "tick odd" } else { "tick" };
        html.within(
            "text",
            &[("class", &class), ("x", &percent(at, total)), ("y", &"68"), ("text-anchor", &anchor)],
            |html| {
                html.text(if quarter == 0 { "0".to_owned() } else { size(at) });
            },
        );
    }
}

/// The parts once more, as wide as their size has digits.
fn stretched(html: &mut Html, parts: &[Part<'_>]) {
    html.markup("<ol class=\"parts\" aria-hidden=\"true\">");
    for part in parts.iter().take(24) {
        let digits = part.size.checked_ilog2().unwrap_or(0).saturating_sub(8).clamp(2, 30);
        let class = format!("part {} w{}", part.class, digits / 4);
        html.within("li", &[("class", &class)], |html| {
            html.leaf("b", "", &part.short);
            html.leaf("span", "", size(part.size));
            if part.short.len() < 4 {
                html.leaf("span", "", part.kind);
            }
        });
    }
    html.markup("</ol>");
}

fn table(html: &mut Html, partitions: &[Value]) {
    html.markup(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Partitions\" tabindex=\"0\"><table class=\"cards\"><thead><tr>\
         <th scope=\"col\" class=\"n\">No.</th><th scope=\"col\">Type</th><th scope=\"col\">Label</th><th scope=\"col\" class=\"n\">Start</th>\
         <th scope=\"col\" class=\"n\">Size</th><th scope=\"col\">Content</th><th scope=\"col\">Used as</th></tr></thead><tbody>",
    );
    for partition in partitions.iter().take(MAX_LISTED) {
        html.markup("<tr>");
        // on a narrow screen the head of the table is gone, and each cell bears its own title
        let mut cell = |label: &'static str, class: &'static str, fill: &mut dyn FnMut(&mut Html)| {
            html.within("td", &[("data-l", &label), ("class", &class)], |html| fill(html));
        };
        let bytes = |key| uint(partition, key).map_or_else(|| "–".to_owned(), size);
        cell("No.", "n", &mut |html| {
            html.open("span", &[]);
            html.open("i", &[("class", &format_args!("key {}", class_of(partition)))]);
            html.close("i");
            html.text(uint(partition, "number").unwrap_or(0));
            html.close("span");
        });
        cell("Type", "", &mut |html| {
            html.text(
                some_text(partition, "typeCommonName")
                    .or_else(|| some_text(partition, "typeName"))
                    .unwrap_or_else(|| text(partition, "type")),
            );
        });
        cell("Label", "", &mut |html| html.quoted(text(partition, "label")));
        cell("Start", "n", &mut |html| html.text(bytes("offset")));
        cell("Size", "n", &mut |html| html.text(bytes("size")));
        cell("Content", "", &mut |html| {
            html.quoted(
                member(partition, "content").and_then(|content| some_text(content, "type")).unwrap_or("–"),
            );
        });
        cell("Used as", "", &mut |html| match member(partition, "use") {
            Some(used) => match (some_text(used, "as"), some_text(used, "message")) {
                (Some(designator), _) => html.text(designator),
                (None, Some(why)) => html.leaf("span", "why", format_args!("not used: {why}")),
                _ => html.text("–"),
            },
            None => html.text("–"),
        });
        html.markup("</tr>");
    }
    html.markup("</tbody></table></div>");
    let more = partitions.len().saturating_sub(MAX_LISTED);
    if more > 0 {
        html.leaf("p", "note", format_args!("and {more} more, in the document below"));
    }
}

#[cfg(test)]
mod tests {
    use super::{percent, width};

    #[test]
    fn places_are_parts_of_the_width() {
        assert_eq!(percent(1, 3), "33.33%");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.00%");
        assert_eq!(percent(5, 0), "0.00%");
        assert_eq!(percent(9, 3), "100.00%");
        assert_eq!(width(1, 1 << 40), "0.24%");
        assert_eq!(width(1, 0), "0.00%");
    }
}
