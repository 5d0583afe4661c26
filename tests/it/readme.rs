//! What the README shows is what is there.

#[path = "../../ddi-core/examples/prove.rs"]
#[expect(dead_code, reason = "its main is for `cargo run --example prove`")]
mod prove;

use crate::support::ddi;

const README: &str = include_str!("../../README.md");
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
const SAMPLE_ROOT_HASH: &str = "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb";

/// The text between "```{kind}" and "```".
fn block(kind: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("```{kind}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn library_example_is_the_one_that_is_compiled() {
    let example = include_str!("../../ddi-core/examples/prove.rs");
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
    let args = args.iter().map(|arg| if *arg == "tests/data/sample.raw" { SAMPLE } else { arg });
    assert_eq!(ddi(args).stdout, output);
}
