//! What the README shows is what is there.

#[path = "../../../ddi-core/examples/prove.rs"]
#[expect(dead_code, reason = "its main is for `cargo run --example prove`")]
mod prove;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{DDI, run_within};

const README: &str = include_str!("../../../README.md");
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
const SAMPLE_ROOT_HASH: &str = "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb";

/// The text between "```{kind}" and "```".
fn block(kind: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("```{kind}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn library_example_is_the_one_that_is_compiled() {
    let example = include_str!("../../../ddi-core/examples/prove.rs");
    let shown = block("rust");
    assert!(example.contains(shown), "{shown}");
    assert!(prove::is_genuine(SAMPLE, SAMPLE_ROOT_HASH).unwrap());
    assert!(!prove::is_genuine(SAMPLE, &"00".repeat(32)).unwrap());
}

#[test]
fn command_shows_what_the_readme_shows() {
    let shown = block("console");
    let (command, output) = shown.split_once('\n').unwrap();
    let args: Vec<_> = command.strip_prefix("$ cargo run --release -- ").unwrap().split(' ').collect();
    // as on a terminal of 80 columns
    let mut command = Command::new("env");
    command
        .args(["LC_ALL=C.UTF-8", DDI])
        .args(args)
        .env("COLUMNS", "80")
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(run_within(command, Duration::from_secs(10)).stdout, output);
}

/// Files of the checkout, but for what the compiler leaves.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        if path.is_file() {
            found.push(path);
        } else if !path.ends_with("target") && !path.ends_with(".git") {
            files(&path, found);
        }
    }
}

/// The documents say `path/to/file.rs: name_of_a_test` of what keeps them true: each is there, with that test in it.
#[test]
fn documents_name_sources_and_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(root, &mut found);
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let mut named = 0;
    for document in found.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        // what was measured at a time speaks of that time
        if document.ends_with("CHANGELOG.md")
            || document.parent().is_some_and(|folder| folder.ends_with("results"))
        {
            continue;
        }
        for quoted in text(document).split('`').skip(1).step_by(2) {
            let (path, name) =
                quoted.split_once(": ").map_or((quoted, None), |(path, name)| (path, Some(name)));
            let is_path = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
            if !path.ends_with(".rs") || !path.chars().all(is_path) {
                continue;
            }
            named += 1;
            let meant: Vec<_> = found.iter().filter(|file| file.ends_with(path)).collect();
            assert!(!meant.is_empty(), "{}: {path} is not there", document.display());
            let Some(name) = name.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
            else {
                continue;
            };
            let has_it = meant.iter().any(|file| text(file).contains(&format!("fn {name}(")));
            assert!(has_it, "{}: {path} has no {name}", document.display());
        }
    }
    assert!(named > 50, "{named}");
}
