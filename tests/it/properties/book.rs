//! The pages of `docs/book` show what is there: every command in them is run, and prints what they say.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{DDI, Folder, require_tool, run_within};

/// A command line, and what it prints.
fn steps(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("```console\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    blocks.flat_map(steps_of).collect()
}

fn steps_of(block: &str) -> Vec<(&str, &str)> {
    let rest = block.strip_prefix("$ ").unwrap_or_else(|| panic!("a block begins with a command: {block}"));
    rest.split("\n$ ").map(|step| step.split_once('\n').unwrap_or((step, ""))).collect()
}

/// Returns true if `printed` is what is `shown`, where `…` stands for anything.
fn is_shown(printed: &str, shown: &str) -> bool {
    let mut parts = shown.trim_end().split('…');
    let Some(mut rest) = printed.trim_end().strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        let found = if parts.peek().is_none() {
            rest.rfind(part).filter(|at| at + part.len() == rest.len())
        } else {
            rest.find(part)
        };
        let Some(at) = found else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[test]
fn dots_stand_for_anything() {
    for (printed, shown, fits) in [
        ("a\nb\n", "a\nb\n", true),
        ("a\nb\n", "a\n", false),
        ("a\nb\nc\n", "a\n…", true),
        ("a\nb\nc\n", "…\nc\n", true),
        ("a\nb\nc\nc\n", "a…c\n", true),
        ("a\nb\nd\n", "a…c\n", false),
        ("", "", true),
        ("x", "", false),
        ("abc", "a…b…c", true),
        ("acb", "a…b…c", false),
    ] {
        assert_eq!(is_shown(printed, shown), fits, "{printed:?} {shown:?}");
    }
}

#[test]
fn pages_show_what_commands_print() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = 0;
    for entry in fs::read_dir(root.join("docs/book")).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        let steps = steps(&page);
        let runs = |tool: &str| steps.iter().any(|(line, _)| line.contains(tool));
        let tools = [("jq -", "jq"), ("openssl ", "openssl"), ("ddi build", "mksquashfs")];
        if !tools.iter().filter(|(text, _)| runs(text)).all(|(_, tool)| require_tool(tool)) {
            continue;
        }
        let folder = Folder::new();
        for name in ["sample.raw", "sample.crt"] {
            fs::copy(root.join("tests/data").join(name), folder.path().join(name)).unwrap();
        }
        let programs = Path::new(DDI).parent().unwrap();
        let mut status = 0;
        for (line, shown) in steps {
            let mut command = Command::new("bash");
            let run = format!("exec 2>&1; PATH='{}':$PATH; (exit {status}); {line}", programs.display());
            command.args(["-c", &run]).current_dir(folder.path());
            let ended = run_within(command, Duration::from_secs(60));
            status = ended.code.unwrap();
            assert!(
                is_shown(&ended.stdout, shown),
                "{}: $ {line}\nprints\n{}\nbut the page shows\n{shown}",
                path.display(),
                ended.stdout
            );
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}

/// What the table of contents names is there, and every page is in it.
#[test]
fn contents_are_complete() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let contents = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let named: Vec<&str> = contents.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0).collect();
    for name in &named {
        assert!(docs.join(name).is_file(), "{name}");
    }
    for folder in ["", "book"] {
        for entry in fs::read_dir(docs.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if name.ends_with(".md") && name != "SUMMARY.md" {
                assert!(named.contains(&name.as_str()), "{name} is not in SUMMARY.md");
            }
        }
    }
}
