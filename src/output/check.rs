//! What `ddi check` prints: one report for all checks.

use std::fmt::Write;
use std::path::Path;

use ddi_core::Severity;
use ddi_os::{CheckFinding, CheckReport, Subject};

use super::{count, escape, escape_sentence, print, print_json, shown_name};

/// What a check of `path` came to: the facts, then the findings, the verdict in the last line.
pub(crate) fn check(path: &Path, report: &CheckReport, json: bool) -> anyhow::Result<()> {
    let name = path.display().to_string();
    if json {
        return print_json(&report.to_json(&name));
    }
    print(&report_text(&name, report))
}

fn report_text(name: &str, report: &CheckReport) -> String {
    let mut text = String::new();
    let assurance = [report.assurance.name().to_owned()];
    let facts = report.facts.iter().map(|(name, values)| (*name, &values[..]));
    // first: it says how far the others can be relied upon
    let facts: Vec<_> = [("assurance", &assurance[..])].into_iter().chain(facts).collect();
    let width = facts.iter().map(|(name, _)| name.chars().count() + 1).max().unwrap_or(0);
    for (name, values) in facts {
        let mut title = format!("{name}:");
        for value in values {
            let _ = writeln!(text, "{title:<width$} {}", escape(value));
            title.clear();
        }
        if values.is_empty() {
            let _ = writeln!(text, "{title:<width$} -");
        }
    }
    if !report.findings.is_empty() {
        text.push_str("\nFindings\n");
    }
    for finding in &report.findings {
        let place = place(finding);
        let separator = if place.is_empty() { "" } else { ": " };
        let _ = writeln!(
            text,
            "  {}: {place}{separator}{} [{}; {}]",
            finding.severity,
            escape_sentence(&finding.reason),
            finding.code,
            finding.rule
        );
    }
    let number = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let found: Vec<_> =
        [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
            .into_iter()
            .filter(|(severity, _)| number(*severity) > 0)
            .map(|(severity, name)| count(number(severity) as u64, name))
            .collect();
    let found = if found.is_empty() { "nothing found".to_owned() } else { found.join(", ") };
    let verdict = if report.passed() { "PASSED" } else { "FAILED" };
    let _ = writeln!(text, "\n{verdict} {} {}: {found}", report.check, escape(name));
    text
}

/// Where, for people.
fn place(finding: &CheckFinding) -> String {
    let subject = match &finding.subject {
        Subject::Partition { number: Some(number), designator: Some(designator) } => {
            format!("partition {number} ({designator})")
        }
        Subject::Partition { number: Some(number), .. } => format!("partition {number}"),
        Subject::Partition { designator: Some(designator), .. } => format!("{designator} partition"),
        Subject::Path(path) => shown_name(path),
        Subject::Field { path, key } => format!("{}: {}", shown_name(path), escape(key)),
        Subject::File(name) => escape(name),
        _ => String::new(),
    };
    match &finding.image {
        Some(image) if subject.is_empty() => escape(image),
        Some(image) => format!("{}: {subject}", escape(image)),
        None => subject,
    }
}

#[cfg(test)]
mod tests {
    use ddi_core::Assurance;

    use super::*;

    #[test]
    fn for_people_and_for_programs() {
        let mut report = CheckReport::new("golden", Assurance::Intact);
        report.fact("units", ["a\u{1b}.service", "b.service"]);
        report.fact("none", Vec::<String>::new());
        report.find(
            Severity::Error,
            "bad",
            Subject::Path(b"/a\xff\n".to_vec()),
            "it is \u{1b}",
            "os-release(5)",
        );
        report.findings.push(
            CheckFinding::new(Severity::Note, "odd", Subject::Whole, "what", "x(1)").in_image("one\u{7}"),
        );
        let field = Subject::Field { path: b"/etc/os-release".to_vec(), key: "ID".into() };
        report.find(Severity::Warning, "field", field, "why", "y(1)");
        assert_eq!(
            report_text("i\n", &report),
            "assurance: intact\n\
             units:     a\\u{1b}.service\n           b.service\n\
             none:      -\n\
             \n\
             Findings\n  \
             error: /a\\xff\\u{a}: it is \\u{1b} [bad; os-release(5)]\n  \
             note: one\\u{7}: what [odd; x(1)]\n  \
             warning: /etc/os-release: ID: why [field; y(1)]\n\
             \n\
             FAILED golden i\\u{a}: 1 error, 1 warning, 1 note\n"
        );
        report.findings.clear();
        assert!(report_text("i", &report).ends_with("\n\nPASSED golden i: nothing found\n"));
    }
}
