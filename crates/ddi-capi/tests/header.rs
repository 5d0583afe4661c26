//! The committed header is what the source says.

use std::fs;
use std::path::Path;

#[test]
fn the_header_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let made =
        cbindgen::Builder::new().with_config(config).with_src(root.join("src/lib.rs")).generate().unwrap();
    let mut header = Vec::new();
    made.write(&mut header);
    let header = String::from_utf8(header).unwrap();
    let committed = root.join("include/ddi.h");
    if fs::read_to_string(&committed).unwrap_or_default() != header {
        let found = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ddi.h");
        fs::write(&found, header).unwrap();
        panic!("{} is not what is made of the source: {}", committed.display(), found.display());
    }
}

/// Each function that C can call is on the list of symbols, and the other way round.
#[test]
fn every_function_is_on_the_list_of_symbols() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(root.join("include/ddi.h")).unwrap();
    let mut declared: Vec<_> = header
        .lines()
        // what is indented is a comment or an argument
        .filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()) && !line.starts_with("typedef"))
        .filter_map(|line| line.split_once('(')?.0.split([' ', '*']).next_back())
        .filter(|name| name.starts_with("ddi_"))
        .collect();
    declared.sort_unstable();
    let symbols = fs::read_to_string(root.join("libddi.symbols")).unwrap();
    assert_eq!(declared, symbols.lines().collect::<Vec<_>>());
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let test = fs::read_to_string(root.join("tests/capi.c")).unwrap();
    for name in declared {
        assert!(readme.contains(&format!("`{name}`")), "README.md: {name}");
        assert!(test.contains(&format!("{name}(")), "tests/capi.c: {name}");
    }
}
