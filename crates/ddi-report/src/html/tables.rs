//! Findings, uses, policies, facts.

use serde_json::Value;

use super::damage::path;
use super::writer::Html;
use crate::document::{Documents, USES, is, list, member, some_text, text, uint};
use crate::text::count;

/// Most findings that are listed.
const MAX_FINDINGS: usize = 2000;
/// Most values of one fact.
const MAX_VALUES: usize = 100;

/// What is wrong, the worst first, with whose rule it is and where.
pub(super) fn findings(html: &mut Html, documents: &Documents<'_>) {
    let findings = documents.findings();
    let mut reasons: Vec<(&str, &Value)> = Vec::new();
    if let Some(verify) = documents.verify {
        reasons.extend(list(verify, "beside").iter().map(|reason| ("beside the image", reason)));
        reasons.extend(member(verify, "refused").map(|reason| ("as a whole", reason)));
        reasons.extend(member(verify, "strict").map(|reason| ("partition table, strictly", reason)));
        for proof in list(verify, "proofs") {
            reasons.extend(member(proof, "problem").map(|reason| (text(proof, "role"), reason)));
        }
    } else if let Some(inspect) = documents.inspect {
        reasons.extend(member(inspect, "strict").map(|reason| ("partition table, strictly", reason)));
    }
    html.markup(
        "<section id=\"findings\" aria-labelledby=\"findings-h\"><h2 id=\"findings-h\">Findings</h2>",
    );
    if findings.is_empty() && reasons.is_empty() {
        html.markup("<p>None.</p></section>");
        return;
    }
    html.markup("<ul class=\"findings\">");
    for (place, reason) in reasons {
        html.markup("<li class=\"error\"><span class=\"sev\">error</span><div><p>");
        html.quoted(text(reason, "message"));
        html.markup("</p><p class=\"meta\">");
        html.text(place);
        html.text(" · ");
        html.leaf("code", "", text(reason, "code"));
        html.markup("</p></div></li>");
    }
    for finding in findings.iter().take(MAX_FINDINGS) {
        one(html, documents, finding);
    }
    html.markup("</ul>");
    let more = u64::try_from(findings.len().saturating_sub(MAX_FINDINGS)).unwrap_or(0);
    if more > 0 {
        html.leaf("p", "note", format_args!("and {}, in the document below", count(more, "more finding")));
    }
    html.markup("</section>");
}

fn one(html: &mut Html, documents: &Documents<'_>, finding: &Value) {
    let severity = match text(finding, "severity") {
        "error" => "error",
        "warning" => "warning",
        _ => "note",
    };
    html.open("li", &[("class", &severity)]);
    html.leaf("span", "sev", severity);
    html.markup("<div><p>");
    // findings about an image have a message and an authority, those of a check a reason and a rule
    html.quoted(some_text(finding, "message").unwrap_or_else(|| text(finding, "reason")));
    html.markup("</p><p class=\"meta\">");
    if let Some(number) = uint(finding, "partition") {
        html.text(format_args!("partition {number} · "));
    } else if let Some(designator) = some_text(finding, "designator") {
        html.text(format_args!("{designator} · "));
    }
    if some_text(finding, "path").is_some() {
        html.open("code", &[]);
        path(html, finding);
        html.close("code");
        if let Some(field) = some_text(finding, "field") {
            html.text(" ");
            html.quoted(field);
        }
        html.text(" · ");
    }
    for key in ["file", "image"] {
        if let Some(name) = some_text(finding, key) {
            html.quoted(name);
            html.text(" · ");
        }
    }
    // one that names no place of its own is about the partition as a whole
    let offset = uint(finding, "offset").or_else(|| {
        let number = uint(finding, "partition")?;
        uint(documents.partition(number)?, "offset")
    });
    if let Some(offset) = offset {
        html.text(format_args!("byte {offset} · "));
    }
    html.text("by ");
    html.text(some_text(finding, "authority").unwrap_or_else(|| text(finding, "rule")));
    html.text(" · ");
    html.leaf("code", "", text(finding, "code"));
    html.markup("</p></div></li>");
}

/// What the image can be used as.
pub(super) fn uses(html: &mut Html, documents: &Documents<'_>) {
    let Some(inspect) = documents.inspect.filter(|inspect| member(inspect, "inside").is_some()) else {
        return;
    };
    html.markup("<section id=\"use\" aria-labelledby=\"use-h\"><h2 id=\"use-h\">Use as</h2>");
    let all = USES.iter().filter(|(key, _)| is(inspect, key));
    let mut names = all.map(|(_, name)| *name).peekable();
    let unreadable = member(inspect, "inside").and_then(|inside| member(inside, "unreadable"));
    // first: where files could not be read, that no use was found means nothing
    if let Some(why) = unreadable {
        html.within("p", &[], |html| {
            html.text("It cannot be told: ");
            html.quoted(text(why, "message"));
        });
    } else if names.peek().is_none() {
        html.markup("<p>Nothing that systemd boots, attaches or merges.</p>");
    } else {
        html.markup("<ul class=\"chips\">");
        names.for_each(|name| html.leaf("li", "", name));
        html.markup("</ul>");
    }
    for key in ["osRelease", "initrdRelease", "sysextRelease", "confextRelease"] {
        let lines = list(inspect, key);
        if lines.is_empty() {
            continue;
        }
        html.within("h3", &[], |html| {
            html.text(match key {
                "osRelease" => "os-release",
                "initrdRelease" => "initrd-release",
                _ => "extension-release",
            });
        });
        html.markup("<dl class=\"facts\">");
        for line in lines.iter().filter_map(Value::as_str).take(MAX_VALUES) {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            html.within("dt", &[], |html| html.quoted(name));
            html.within("dd", &[], |html| html.quoted(value));
        }
        html.markup("</dl>");
    }
    html.markup("</section>");
}

/// What a check saw.
pub(super) fn facts(html: &mut Html, documents: &Documents<'_>) {
    let Some(check) = documents.check else { return };
    let Some(facts) = check.get("facts").and_then(Value::as_object) else { return };
    html.markup("<section id=\"facts\" aria-labelledby=\"facts-h\"><h2 id=\"facts-h\">What the check saw</h2><dl class=\"facts\">");
    html.leaf("dt", "", "assurance");
    html.leaf("dd", "", text(check, "assurance"));
    for (name, values) in
        facts.iter().filter(|(_, values)| values.as_array().is_some_and(|values| !values.is_empty()))
    {
        html.within("dt", &[], |html| html.quoted(name));
        let values = values.as_array().map_or(&[][..], Vec::as_slice);
        for value in values.iter().filter_map(Value::as_str).take(MAX_VALUES) {
            html.within("dd", &[], |html| html.quoted(value));
        }
        let more = values.len().saturating_sub(MAX_VALUES);
        if more > 0 {
            html.leaf("dd", "note", format_args!("and {more} more, in the document below"));
        }
    }
    html.markup("</dl></section>");
}

/// What the policy says.
pub(super) fn policy(html: &mut Html, documents: &Documents<'_>) {
    let of =
        |document: Option<&'_ Value>| document.and_then(|document| member(document, "imagePolicy")).cloned();
    let Some(policy) = of(documents.verify).or_else(|| of(documents.inspect)) else { return };
    html.markup("<section id=\"policy\" aria-labelledby=\"policy-h\"><h2 id=\"policy-h\">Image policy</h2>");
    html.within("p", &[], |html| html.leaf("code", "", text(&policy, "policy")));
    let results = match list(&policy, "results") {
        [] => list(&policy, "ifProven"),
        results => results,
    };
    html.markup("<dl class=\"facts\">");
    for result in results {
        let Some(verdict) = some_text(result, "result").or_else(|| some_text(result, "access")) else {
            continue;
        };
        html.leaf("dt", "", text(result, "designator"));
        html.leaf("dd", "", verdict);
    }
    html.markup("</dl></section>");
}
