//! A summary in Markdown, for the page of a CI run.

use std::fmt::Write;

use serde_json::Value;

use crate::document::{Documents, is, list, member, os_field, some_text, text, uint};
use crate::text::{beginning, count, safe, size};
use crate::verdict::{Tone, Verdict};

/// Most findings, and most runs of damaged blocks: a summary is short.
const MAX_ROWS: usize = 50;
/// Characters of a text from the image.
const MAX_TEXT: usize = 300;

/// What these documents about the image `name` come to, as GitHub Flavored Markdown.
///
/// Text from the image stands between `<code>` and `</code>`, with all that could mean something to Markdown, HTML or a forge as
/// numbers of characters: no link, no picture, no mention of a person comes out of it.
pub fn markdown<'a>(name: &str, documents: impl IntoIterator<Item = &'a Value>) -> String {
    let mut known = Documents::default();
    documents.into_iter().for_each(|document| known.add(document));
    let verdict = Verdict::of(&known);
    let mark = match verdict.tone {
        Tone::Good => "✅",
        Tone::Open => "🔵",
        Tone::Unknown => "❔",
        Tone::Bad => "❌",
    };
    let mut out = format!("## {mark} {}: {}\n\n{}\n\n", verdict.word, code(name), verdict.meaning);
    glance(&mut out, &known);
    proofs(&mut out, &known);
    findings(&mut out, &known);
    out
}

/// Text of any origin, as code.
fn code(text: &str) -> String {
    let text = safe(text);
    let (shown, cut) = beginning(&text, MAX_TEXT);
    let mut out = String::from("<code>");
    // `www.` is a link for some forges even without an address before it
    let is_address = shown.to_ascii_lowercase().contains("www");
    for c in shown.chars() {
        let is_plain =
            !c.is_ascii() || c.is_ascii_alphanumeric() || " -/".contains(c) || c == '.' && !is_address;
        match is_plain {
            true => out.push(c),
            false => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
        }
    }
    if cut > 0 {
        out.push('…');
    }
    out.push_str("</code>");
    out
}

/// A sentence, which may quote the image: as code only if a forge could take something in it for a person, a number or an
/// address.
fn sentence(text: &str) -> String {
    let code = code(text);
    let lower = text.to_ascii_lowercase();
    let has = |what: &str| lower.contains(what);
    if has("@")
        || has("#")
        || has("www")
        || has("gh-")
        || has("://")
        || lower.bytes().filter(u8::is_ascii_hexdigit).count() >= 32
    {
        return code;
    }
    code.trim_start_matches("<code>").trim_end_matches("</code>").to_owned()
}

fn glance(out: &mut String, documents: &Documents<'_>) {
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let Some(inspect) = documents.inspect {
        let system = ["PRETTY_NAME", "NAME", "ID"].into_iter().find_map(|key| os_field(inspect, key));
        rows.extend(system.map(|system| ("System", code(system))));
        rows.extend(some_text(inspect, "architecture").map(|machine| ("Machine", code(machine))));
        rows.extend(uint(inspect, "size").map(|bytes| ("Size", size(bytes))));
    }
    if let Some(check) = documents.check {
        rows.push(("Check", code(text(check, "check"))));
        rows.push(("Assurance", code(text(check, "assurance"))));
    }
    if rows.is_empty() {
        return;
    }
    out.push_str("| | |\n| --- | --- |\n");
    for (name, value) in rows {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    out.push('\n');
}

fn proofs(out: &mut String, documents: &Documents<'_>) {
    let Some(verify) = documents.verify else { return };
    let proofs = list(verify, "proofs");
    if proofs.is_empty() {
        return;
    }
    out.push_str("| | blocks that match | root hash | signed by |\n| --- | ---: | --- | --- |\n");
    for proof in proofs.iter().take(MAX_ROWS) {
        let blocks = member(proof, "verdict").map_or_else(String::new, |verdict| {
            let number = |key| uint(verdict, key).unwrap_or(0);
            format!("{} of {}", number("provenDataBlocks"), number("dataBlocks"))
        });
        let signer =
            list(proof, "signatures").iter().find(|signature| text(signature, "state") == "verified");
        let signer = match signer.and_then(|signature| member(signature, "signer")) {
            Some(signer) => code(text(signer, "subject")),
            // trusted without a signature: by a root hash from the caller
            None if is(proof, "trusted") => "given by you".to_owned(),
            None => "nobody you trust".to_owned(),
        };
        let hash = some_text(proof, "rootHash").map_or_else(|| "unknown".to_owned(), code);
        let _ = writeln!(out, "| {} | {blocks} | {hash} | {signer} |", code(text(proof, "role")));
    }
    out.push('\n');
    let runs =
        proofs.iter().filter_map(|proof| member(proof, "damage")).flat_map(|damage| list(damage, "blocks"));
    let number = u64::try_from(runs.clone().count()).unwrap_or(u64::MAX);
    if number == 0 {
        return;
    }
    out.push_str("### Damage\n\n| blocks | | files |\n| ---: | --- | --- |\n");
    for run in runs.take(MAX_ROWS) {
        let (first, last) = (uint(run, "first").unwrap_or(0), uint(run, "last").unwrap_or(0));
        let files = list(run, "files");
        let mut names: Vec<_> = files.iter().map(|file| code(text(file, "path"))).collect();
        // the document itself lists only some files of a run
        let more =
            uint(run, "fileCount").unwrap_or(0).saturating_sub(u64::try_from(files.len()).unwrap_or(0));
        if more > 0 {
            names.push(format!("and {}", count(more, "more file")));
        }
        let state = if is(run, "corrupt") { "corrupt" } else { "cannot be judged" };
        let _ = writeln!(out, "| {first}–{last} | {state} | {} |", names.join(", "));
    }
    more(out, number, "more run");
}

fn findings(out: &mut String, documents: &Documents<'_>) {
    let findings = documents.findings();
    if findings.is_empty() {
        return;
    }
    out.push_str("### Findings\n\n| | what | where | rule | code |\n| --- | --- | --- | --- | --- |\n");
    for finding in findings.iter().take(MAX_ROWS) {
        let what = some_text(finding, "message").unwrap_or_else(|| text(finding, "reason"));
        let rule = some_text(finding, "authority").unwrap_or_else(|| text(finding, "rule"));
        let mut place = Vec::new();
        place.extend(uint(finding, "partition").map(|number| format!("partition {number}")));
        for key in ["path", "field", "file", "image"] {
            place.extend(some_text(finding, key).map(code));
        }
        place.extend(uint(finding, "offset").map(|offset| format!("byte {offset}")));
        let severity = text(finding, "severity");
        let severity = if severity == "error" { "**error**" } else { severity };
        let _ = writeln!(
            out,
            "| {severity} | {} | {} | {} | {} |",
            sentence(what),
            place.join(", "),
            sentence(rule),
            code(text(finding, "code"))
        );
    }
    more(out, u64::try_from(findings.len()).unwrap_or(u64::MAX), "more finding");
}

/// A line for what is not in the table.
fn more(out: &mut String, number: u64, what: &str) {
    let more = number.saturating_sub(u64::try_from(MAX_ROWS).unwrap_or(u64::MAX));
    if more > 0 {
        let _ = write!(out, "\nand {}\n", count(more, what));
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Nothing in it means anything to Markdown, to HTML or to a forge.
        #[test]
        fn no_text_becomes_markdown(text in proptest::prelude::any::<String>()) {
            let code = code(&text);
            let inner = code.strip_prefix("<code>").unwrap().strip_suffix("</code>").unwrap();
            proptest::prop_assert!(!inner.contains(['<', '>', '`', '*', '_', '[', ']', '(', ')', '|', '@', '!', ':', '\\', '\n', '\'', '"']));
            for part in inner.split('&').skip(1) {
                let (number, _) = part.split_once(';').unwrap();
                proptest::prop_assert!(number.strip_prefix('#').unwrap().parse::<u32>().is_ok());
            }
        }
    }

    #[test]
    fn what_could_be_markup_is_numbers() {
        assert_eq!(code("a|b"), "<code>a&#124;b</code>");
        assert_eq!(code("@all #1 www.x.example"), "<code>&#64;all &#35;1 www&#46;x&#46;example</code>");
        assert_eq!(code("a-1.0/b.raw"), "<code>a-1.0/b.raw</code>");
        assert_eq!(code("\u{202e}"), "<code>&#92;u&#123;202e&#125;</code>");
    }
}
