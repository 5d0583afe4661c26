//! The page as a whole.

use base64ct::{Base64, Encoding};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::files::FileTree;
use super::writer::Html;
use super::{chain, damage, disk, tables};
use crate::document::{Documents, list, member, os_field, some_text, text, uint};
use crate::text::{count, safe, size};
use crate::verdict::Verdict;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A report on one image: one HTML file that needs no network and no JavaScript, and runs nothing but a search of its own.
///
/// Its policy for content (CSP) allows the one style and the one script that are written in it, by their hashes, and nothing else: no
/// address, no frame, no form, no attribute that is run.
#[derive(Debug, Default)]
pub struct Page<'a> {
    name: &'a str,
    documents: Documents<'a>,
    files: Option<(FileTree, Vec<String>)>,
    unreadable: Option<String>,
}

impl<'a> Page<'a> {
    /// About the image that the user calls `name`.
    pub fn new(name: &'a str) -> Self {
        Page { name, ..Page::default() }
    }

    /// Adds a document: `ddi.inspect/1`, `ddi.verify/1` or `ddi.check/1`, one of each. Any other is passed over.
    #[must_use]
    pub fn document(mut self, document: &'a Value) -> Self {
        self.documents.add(document);
        self
    }

    /// Adds the files of the image, and what is to be known of each file system that they are from.
    #[must_use]
    pub fn files(mut self, files: FileTree, from: Vec<String>) -> Self {
        self.files = Some((files, from));
        self
    }

    /// Says why the files cannot be shown.
    #[must_use]
    pub fn no_files(mut self, why: impl std::fmt::Display) -> Self {
        self.unreadable = Some(why.to_string());
        self
    }

    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(&self.documents)
    }

    /// The HTML.
    pub fn to_html(&self) -> String {
        let documents = &self.documents;
        let verdict = self.verdict();
        let mut page = Html::default();
        page.markup("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'; \
             require-trusted-types-for 'script'",
            hash(STYLE),
            hash(SCRIPT)
        );
        page.open("meta", &[("http-equiv", &"Content-Security-Policy"), ("content", &policy)]);
        page.markup(
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"referrer\" content=\"no-referrer\"><meta name=\"color-scheme\" content=\"light dark\">",
        );
        // the name of a file is chosen by whoever made the image, too
        page.within("title", &[], |html| {
            html.preformatted(&safe(&format!("{}: {}", verdict.word, base_name(self.name))));
        });
        page.markup("<style>");
        page.markup(STYLE);
        page.markup("</style></head><body><a class=\"skip\" href=\"#main\">To the content</a>");
        self.header(&mut page, &verdict);
        self.contents(&mut page);
        page.markup("<main id=\"main\">");
        chain::chains(&mut page, documents);
        damage::damage(&mut page, documents);
        tables::findings(&mut page, documents);
        disk::disk(&mut page, documents);
        tables::policy(&mut page, documents);
        tables::facts(&mut page, documents);
        tables::uses(&mut page, documents);
        self.tree(&mut page);
        self.raw(&mut page);
        page.markup("</main><footer><p>Made by ddi ");
        page.text(env!("CARGO_PKG_VERSION"));
        page.markup(
            ". Text from the image is shown as text: what is invisible or changes direction stands as <span class=\"x\">\\u{…}</span>. \
             This file loads nothing and sends nothing.</p></footer><script>",
        );
        page.markup(SCRIPT);
        page.markup("</script></body></html>\n");
        page.to_string()
    }

    fn header(&self, page: &mut Html, verdict: &Verdict) {
        page.within("header", &[("class", &verdict.tone.class())], |html| {
            html.markup("<p class=\"file\">");
            html.quoted(base_name(self.name));
            html.markup("</p><h1><span class=\"mark\" aria-hidden=\"true\">");
            html.text(verdict.tone.mark());
            html.markup("</span> ");
            html.text(verdict.word);
            if let Some(check) = self.documents.check {
                html.leaf("small", "", format_args!(" {}", text(check, "check")));
            }
            html.markup("</h1><p class=\"meaning\">");
            let meaning = verdict.meaning;
            let mut letters = meaning.chars();
            let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            html.text(format_args!("{first}{}.", letters.as_str()));
            html.markup("</p>");
            self.glance(html);
        });
    }

    /// What a reader asks first.
    fn glance(&self, html: &mut Html) {
        html.markup("<dl class=\"glance\">");
        let mut fact = |name: &'static str, class: &'static str, value: &mut dyn FnMut(&mut Html)| {
            html.markup("<div>");
            html.leaf("dt", "", name);
            html.within("dd", &[("class", &class)], |html| value(html));
            html.markup("</div>");
        };
        if let Some(inspect) = self.documents.inspect {
            let system = os_field(inspect, "PRETTY_NAME")
                .or_else(|| os_field(inspect, "NAME"))
                .or_else(|| os_field(inspect, "ID"));
            if let Some(system) = system {
                fact("System", "", &mut |html| html.quoted(system));
            }
            // in the order in which systemd names the version of a portable service
            let version = os_field(inspect, "IMAGE_VERSION").or_else(|| os_field(inspect, "VERSION_ID"));
            if let Some(version) = version {
                fact("Version", "", &mut |html| html.quoted(version));
            }
            if let Some(architecture) = some_text(inspect, "architecture") {
                fact("Machine", "", &mut |html| html.text(architecture));
            }
            if let Some(bytes) = uint(inspect, "size") {
                fact("Size", "", &mut |html| html.text(size(bytes)));
            }
            let condition = member(inspect, "table").and_then(|table| some_text(table, "condition"));
            fact("Kind", "", &mut |html| match (text(inspect, "kind"), condition) {
                ("gpt", Some(condition)) => html.text(format_args!("GPT, {condition}")),
                ("mbr", _) => html.text("MBR"),
                ("file-system", _) => html.text("bare file system"),
                ("broken-table", _) => html.text("broken partition table"),
                _ => html.text("not recognised"),
            });
            if let Some(uuid) = some_text(inspect, "imageUuid") {
                fact("Disk", "", &mut |html| html.leaf("code", "", uuid));
            }
        }
        let findings = self.documents.findings();
        let number =
            |severity: &str| findings.iter().filter(|finding| text(finding, "severity") == severity).count();
        let found: Vec<_> = ["error", "warning", "note"]
            .iter()
            .filter_map(|name| Some((*name, u64::try_from(number(name)).ok().filter(|n| *n > 0)?)))
            .map(|(name, n)| count(n, name))
            .collect();
        fact("Findings", "", &mut |html| match found.is_empty() {
            true => html.text("none"),
            false => {
                html.markup("<a href=\"#findings\">");
                html.text(found.join(", "));
                html.markup("</a>");
            }
        });
        html.markup("</dl>");
    }

    /// Links to the parts.
    fn contents(&self, html: &mut Html) {
        let documents = &self.documents;
        let has_disk = documents.inspect.is_some_and(|inspect| !list(inspect, "partitions").is_empty());
        let is_damaged = documents.verify.is_some_and(|verify| {
            list(verify, "proofs").iter().any(|proof| {
                member(proof, "damage").is_some()
                    || member(proof, "verdict").is_some_and(|verdict| !crate::document::is(verdict, "proven"))
            })
        });
        let has_policy = [documents.verify, documents.inspect]
            .into_iter()
            .flatten()
            .any(|document| member(document, "imagePolicy").is_some());
        let has_uses = documents.inspect.is_some_and(|inspect| member(inspect, "inside").is_some());
        let has_trust = documents.inspect.is_some() || documents.verify.is_some();
        html.markup("<nav aria-label=\"Contents\"><ul>");
        if has_trust {
            html.markup("<li><a href=\"#trust\">Chain of trust</a></li>");
        }
        if is_damaged {
            html.markup("<li><a href=\"#damage\">Damage</a></li>");
        }
        html.markup("<li><a href=\"#findings\">Findings</a></li>");
        if has_disk {
            html.markup("<li><a href=\"#disk\">Disk</a></li>");
        }
        if has_policy {
            html.markup("<li><a href=\"#policy\">Policy</a></li>");
        }
        if documents.check.is_some() {
            html.markup("<li><a href=\"#facts\">Facts</a></li>");
        }
        if has_uses {
            html.markup("<li><a href=\"#use\">Use as</a></li>");
        }
        if self.files.is_some() || self.unreadable.is_some() {
            html.markup("<li><a href=\"#files\">Files</a></li>");
        }
        html.markup("<li><a href=\"#json\">JSON</a></li></ul></nav>");
    }

    fn tree(&self, html: &mut Html) {
        if self.files.is_none() && self.unreadable.is_none() {
            return;
        }
        html.markup("<section id=\"files\" aria-labelledby=\"files-h\"><h2 id=\"files-h\">Files</h2>");
        if let Some(why) = &self.unreadable {
            html.within("p", &[], |html| {
                html.text("They cannot be shown: ");
                html.quoted(why);
            });
        }
        if let Some((files, from)) = &self.files {
            html.markup("<ul class=\"from\">");
            for line in from {
                html.within("li", &[], |html| html.quoted(line));
            }
            html.markup("</ul><p class=\"note\">");
            html.text(count(files.count(), "file"));
            if files.problems() > 0 {
                html.text(format_args!(", of which {} cannot be read", files.problems()));
            }
            if let Some(ended) = files.ended() {
                html.text("; ");
                html.quoted(ended);
            }
            html.markup(
                ".</p><form role=\"search\" id=\"search\" hidden><label for=\"query\">Search in paths</label>\
                 <input id=\"query\" type=\"search\" autocomplete=\"off\" spellcheck=\"false\"><output id=\"hits\" for=\"query\"></output></form>\
                 <ol id=\"found\" hidden></ol><ul class=\"tree\" id=\"tree\">",
            );
            html.append(files.html());
            html.markup("</ul>");
        }
        html.markup("</section>");
    }

    /// The documents as they are.
    fn raw(&self, html: &mut Html) {
        html.markup("<section id=\"json\" aria-labelledby=\"json-h\"><h2 id=\"json-h\">Documents</h2>");
        for document in self.documents.all() {
            html.markup("<details class=\"json\"><summary>");
            html.leaf("code", "", text(document, "schema"));
            html.markup("</summary><pre tabindex=\"0\">");
            html.preformatted(&json(document));
            html.markup("</pre></details>");
        }
        html.markup("</section>");
    }
}

/// The document, indented; characters that could deceive are escaped in the way of JSON, and mean the same.
fn json(document: &Value) -> String {
    let text = format!("{document:#}");
    let mut safe = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            safe.push('\n');
        }
        crate::text::pieces(line, &mut |piece| match piece {
            crate::text::Piece::Plain(plain) => safe.push_str(plain),
            crate::text::Piece::Escape(escape) => {
                let number = escape.trim_matches(|c: char| !c.is_ascii_hexdigit());
                let c = u32::from_str_radix(number, 16).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
                for unit in c.encode_utf16(&mut [0; 2]) {
                    safe.push_str(&format!("\\u{unit:04x}"));
                }
            }
        });
    }
    safe
}

/// The last part of a path; several images are told as one text.
fn base_name(name: &str) -> &str {
    name.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or(name)
}

/// How a policy for content names it.
fn hash(text: &str) -> String {
    Base64::encode_string(&Sha256::digest(text.as_bytes()))
}
