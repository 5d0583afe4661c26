//! Findings as SARIF 2.1.0, which forges show beside a change.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::document::{Documents, list, some_text, text, uint};
use crate::text::safe;

/// Where the schema is.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// Where the rules are explained.
const RULES: &str = "https://github.com/ddi-rs/ddi/blob/main/docs/checks.md";
/// Most results: GitHub takes 5000 of one run.
const MAX_RESULTS: usize = 5000;

/// The findings of the last `ddi.check/1` or else `ddi.inspect/1` among these documents about the image at `path`. With a
/// `ddi.inspect/1` beside the check, findings about a partition say at which byte it begins.
pub fn sarif<'a>(path: &str, documents: impl IntoIterator<Item = &'a Value>) -> Value {
    let mut known = Documents::default();
    documents.into_iter().for_each(|document| known.add(document));
    let about = known.check.or(known.inspect).unwrap_or(&Value::Null);
    let findings = list(about, "findings");
    let mut rules: BTreeMap<&str, &Value> = BTreeMap::new();
    for finding in findings.iter().take(MAX_RESULTS) {
        rules.entry(text(finding, "code")).or_insert(finding);
    }
    let results: Vec<_> = findings
        .iter()
        .take(MAX_RESULTS)
        .map(|finding| {
            let index = rules.keys().position(|code| *code == text(finding, "code"));
            result(path, &known, finding, index)
        })
        .collect();
    let check = some_text(about, "check");
    let mut run = Map::new();
    run.insert(
        "tool".into(),
        json!({ "driver": {
            "name": "ddi",
            "version": env!("CARGO_PKG_VERSION"),
            "informationUri": env!("CARGO_PKG_REPOSITORY"),
            "rules": rules.iter().map(|(code, finding)| rule(code, finding)).collect::<Vec<_>>(),
        } }),
    );
    // runs of different checks of one change stand beside each other
    run.insert("automationDetails".into(), json!({ "id": format!("ddi/{}/", check.unwrap_or("inspect")) }));
    run.insert("artifacts".into(), json!([{ "location": { "uri": uri(path) } }]));
    run.insert("columnKind".into(), "unicodeCodePoints".into());
    run.insert("results".into(), results.into());
    json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": [run] })
}

fn level(finding: &Value) -> &'static str {
    match text(finding, "severity") {
        "error" => "error",
        "warning" => "warning",
        _ => "note",
    }
}

/// Whose rule it is.
fn authority(finding: &Value) -> &str {
    some_text(finding, "rule").or_else(|| some_text(finding, "authority")).unwrap_or("ddi")
}

fn rule(code: &str, finding: &Value) -> Value {
    // `no-mount-point` is `NoMountPoint` for a reader, and the same for programs
    let name: String = code
        .split('-')
        .filter_map(|word| {
            let mut letters = word.chars();
            Some(letters.next()?.to_uppercase().chain(letters).collect::<String>())
        })
        .collect();
    let authority = authority(finding);
    json!({
        "id": code,
        "name": name,
        "shortDescription": { "text": format!("{}, by {authority}", code.replace('-', " ")) },
        "help": {
            "text": format!("The rule is from {authority}. What {code} means, and when it is an error, is in {RULES}."),
            "markdown": format!("The rule is from {authority}. [What `{code}` means, and when it is an error]({RULES})."),
        },
        "helpUri": RULES,
        "defaultConfiguration": { "level": level(finding) },
    })
}

fn result(path: &str, documents: &Documents<'_>, finding: &Value, index: Option<usize>) -> Value {
    let reason = some_text(finding, "message")
        .or_else(|| some_text(finding, "reason"))
        .unwrap_or("no reason is given");
    let mut physical = Map::new();
    let file = some_text(finding, "image").or_else(|| some_text(finding, "file")).unwrap_or(path);
    physical.insert("artifactLocation".into(), json!({ "uri": uri(file) }));
    let partition = uint(finding, "partition").and_then(|number| documents.partition(number));
    let offset = uint(finding, "offset").or_else(|| uint(partition?, "offset"));
    if let Some(offset) = offset.filter(|_| file == path) {
        let mut region = Map::new();
        region.insert("byteOffset".into(), offset.into());
        if uint(finding, "offset").is_none()
            && let Some(size) = partition.and_then(|partition| uint(partition, "size"))
        {
            region.insert("byteLength".into(), size.into());
        }
        physical.insert("region".into(), region.into());
    }
    let mut location = Map::new();
    location.insert("physicalLocation".into(), physical.into());
    let mut logical = Vec::new();
    if let Some(inside) = some_text(finding, "path") {
        logical.push(json!({ "fullyQualifiedName": safe(inside), "kind": "resource" }));
    }
    if let Some(number) = uint(finding, "partition") {
        logical.push(json!({ "name": format!("partition {number}"), "kind": "resource" }));
    }
    if !logical.is_empty() {
        location.insert("logicalLocations".into(), logical.into());
    }
    // the place in the image is in no file of the repository: so it is in the words too
    let mut message = safe(reason);
    if let Some(inside) = some_text(finding, "path") {
        message = match some_text(finding, "field") {
            Some(field) => format!("{}, {}: {message}", safe(inside), safe(field)),
            None => format!("{}: {message}", safe(inside)),
        };
    }
    let mut result = Map::new();
    result.insert("ruleId".into(), text(finding, "code").into());
    if let Some(index) = index {
        result.insert("ruleIndex".into(), index.into());
    }
    result.insert("level".into(), level(finding).into());
    result.insert(
        "message".into(),
        json!({ "text": message.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]") }),
    );
    result.insert("locations".into(), json!([location]));
    result.insert(
        "partialFingerprints".into(),
        json!({ "ddi/v1": format!("{}:{}:{}", text(finding, "code"), safe(text(finding, "path")), safe(text(finding, "field"))) }),
    );
    result.into()
}

/// The path as a reference: everything but what may stand in one is in hexadecimal.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    // without this, `a:b` would be an address of the scheme `a`
    if !path.starts_with('/') && path.split('/').next().is_some_and(|first| first.contains(':')) {
        uri.push_str("./");
    }
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte))
            }
            byte => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_references() {
        assert_eq!(uri("a b/ü.raw"), "a%20b/%C3%BC.raw");
        assert_eq!(uri("javascript:x"), "./javascript%3Ax");
        assert_eq!(uri("/tmp/x"), "file:///tmp/x");
    }

    #[test]
    fn findings_say_where() {
        let check = json!({
            "schema": "ddi.check/1", "check": "golden", "image": "i.raw", "findings": [
                { "severity": "error", "code": "b-c", "reason": "r", "rule": "R", "partition": 2, "designator": "root" },
                { "severity": "note", "code": "a", "reason": "[s](x)\u{202e}", "rule": "R", "path": "/etc/x", "field": "F" },
            ],
        });
        let inspect = json!({ "schema": "ddi.inspect/1", "partitions": [{ "number": 2, "offset": 4096, "size": 512 }] });
        let sarif = sarif("i.raw", [&check, &inspect]);
        let run = &sarif["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(rules.iter().map(|rule| &rule["id"]).collect::<Vec<_>>(), ["a", "b-c"]);
        let first = &run["results"][0];
        assert_eq!(
            (&first["ruleId"], &first["ruleIndex"], &first["level"]),
            (&json!("b-c"), &json!(1), &json!("error"))
        );
        let place = &first["locations"][0]["physicalLocation"];
        assert_eq!(place["region"], json!({ "byteOffset": 4096, "byteLength": 512 }));
        assert_eq!(
            run["results"][1]["message"]["text"], r"/etc/x, F: \[s\](x)\\u{202e}",
            "no link comes out of it"
        );
    }
}
