//! What holds for the source itself: modules that read an image are under the lints that keep panics out, and nothing
//! that the environment says changes what a library does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The lints N1: each is a way to panic, or to get a number wrong without noticing.
const LINTS: [&str; 8] = [
    "arithmetic_side_effects",
    "as_conversions",
    "indexing_slicing",
    "unwrap_used",
    "expect_used",
    "panic",
    "unreachable",
    "string_slice",
];

const LIBRARIES: [&str; 11] = [
    "ddi-gpt",
    "ddi-verity",
    "ddi-core",
    "crates/ddi-build",
    "crates/ddi-capi",
    "crates/ddi-fs",
    "crates/ddi-io",
    "crates/ddi-os",
    "crates/ddi-report",
    "crates/ddi-serve",
    "crates/ddi-signature",
];

/// Modules without them, each with the reason why it may be.
const WITHOUT: &[(&str, &str)] = &[
    ("ddi-verity/src/lib.rs", "re-exports"),
    ("ddi-verity/src/error.rs", "only shows what others found"),
    ("ddi-verity/src/exception.rs", "only shows what others found"),
    ("ddi-verity/src/json.rs", "only shows what others found"),
    ("ddi-verity/src/options.rs", "no bytes of an image"),
    // sizes come from a Layout, which cannot be made from parameters that overflow; blocks are compared whole
    ("ddi-verity/src/hash.rs", "sizes are checked by Params; hash blocks are opaque bytes"),
    ("ddi-verity/src/hash", "kernels: fixed-size blocks, no branch on their bytes"),
    // geometry is checked once, by FecLayout; parity and blocks are bytes of which none is a number
    ("ddi-verity/src/fec.rs", "offsets come from a FecLayout, with which nothing overflows"),
    ("ddi-verity/src/fec", "kernels and codes: fixed-size arrays, and indices from a FecLayout"),
    ("ddi-verity/src/tree.rs", "indices come from a checked Layout; F6 and E1 hold it"),
    ("ddi-verity/src/tree", "indices come from a checked Layout; F6 and E1 hold it"),
    ("ddi-verity/src/parallel.rs", "part numbers only; any panic in it is Error::Worker"),
    (
        "ddi-verity/src/parallel/crew.rs",
        "counts of items in hand only; any panic of what it does is Error::Worker",
    ),
    ("ddi-verity/src/verdict.rs", "block numbers below a checked count"),
    ("ddi-verity/src/update.rs", "writes; indices come from a checked Layout"),
    ("ddi-verity/src/writer.rs", "writes; indices come from a checked Layout"),
];

/// Files of Rust, but for what the compiler leaves.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                walk(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for library in LIBRARIES {
        walk(&root.join(library).join("src"), &mut found);
    }
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The modules that a module is in, itself first: `a/b/c.rs`, `a/b.rs`, `a.rs`, `lib.rs`.
fn with_parents(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned()];
    let mut folder = name.rsplit_once('/').unwrap().0;
    while !folder.ends_with("/src") {
        all.push(format!("{folder}.rs"));
        folder = folder.rsplit_once('/').unwrap().0;
    }
    all.push(format!("{folder}/lib.rs"));
    all
}

/// Returns true if it is compiled for tests alone: if the module above says `#[cfg(test)] mod …`.
fn is_test(name: &str, sources: &BTreeMap<String, String>) -> bool {
    let chain = with_parents(name);
    chain.windows(2).any(|pair| {
        let module = Path::new(&pair[0]).file_stem().unwrap().to_str().unwrap().to_owned();
        let above = sources.get(&pair[1]).map_or("", String::as_str);
        let lines: Vec<_> = above.lines().map(str::trim).collect();
        lines.windows(2).any(|two| {
            let declared = two[1].trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            declared == format!("mod {module};") && two[0].starts_with("#[cfg(") && two[0].contains("test")
        })
    })
}

/// The lints that a file turns on for itself and what is below it.
fn turned_on(source: &str) -> Vec<&'static str> {
    let begin = ["warn", "deny", "forbid"].map(|level| format!("#![cfg_attr(\n    not(test),\n    {level}("));
    let Some(block) = begin.iter().find_map(|begin| Some(source.split_once(begin)?.1)) else {
        return Vec::new();
    };
    let named: Vec<_> = block.split_once(')').unwrap().0.split(',').map(str::trim).collect();
    LINTS.into_iter().filter(|lint| named.contains(&format!("clippy::{lint}").as_str())).collect()
}

#[test]
fn lints_are_turned_on_by_warn_and_deny_alone() {
    let block = |level: &str, lints: &[&str]| {
        let lints: Vec<_> = lints.iter().map(|lint| format!("        clippy::{lint}")).collect();
        format!("//! It.\n#![cfg_attr(\n    not(test),\n    {level}(\n{}\n    )\n)]\n", lints.join(",\n"))
    };
    assert_eq!(turned_on(&block("warn", &LINTS)), LINTS);
    assert_eq!(turned_on(&block("deny", &LINTS)), LINTS);
    assert!(turned_on(&block("allow", &LINTS)).is_empty());
    assert!(turned_on(&block("expect", &LINTS)).is_empty());
    assert_eq!(turned_on(&block("warn", &LINTS[1..])), LINTS[1..]);
    assert_eq!(turned_on(&block("warn", &["panic_in_result_fn", "panic"])), ["panic"]);
    assert!(turned_on(&block("warn", &LINTS).replace("#![", "// #![").replace("\n ", "\n// ")).is_empty());
}

#[test]
fn n1_modules_that_read_an_image_are_under_the_lints() {
    let sources = sources();
    assert!(sources.len() > 100);
    let mut used = Vec::new();
    let mut without = Vec::new();
    for (name, source) in &sources {
        let chain = with_parents(name);
        let covered = chain.iter().filter_map(|name| sources.get(name)).any(|source| {
            let on = turned_on(source);
            assert!(on.is_empty() || on.len() == LINTS.len(), "{name}: only {on:?}");
            !on.is_empty()
        });
        // what is taken back needs a reason, and tests and deny of warnings see to it that there is one
        assert!(!source.contains("#![allow(clippy::") && !source.contains("#[allow("), "{name}");
        if covered || is_test(name, &sources) {
            continue;
        }
        let exception = WITHOUT.iter().find(|(exception, _)| {
            name == exception || name.strip_prefix(exception).is_some_and(|rest| rest.starts_with('/'))
        });
        match exception {
            Some((exception, reason)) => {
                assert!(!reason.is_empty());
                used.push(*exception);
            }
            None => without.push(name),
        }
    }
    assert!(without.is_empty(), "without the lints of N1, and not on the list: {without:#?}");
    for (exception, _) in WITHOUT {
        assert!(used.contains(exception), "{exception} is not there, or need not be on the list");
    }
}

/// T22: no variable of the environment changes what a library does.
#[test]
fn t22_libraries_do_not_look_at_the_environment() {
    let sources = sources();
    let mut looked = 0;
    for (name, source) in &sources {
        if is_test(name, &sources) {
            continue;
        }
        looked += 1;
        // with or without a feature
        let code = source.split("\nmod tests {").next().unwrap();
        for word in
            ["env::var", "env::vars", "var_os", "option_env!", "temp_dir", "env::args", "env::current_dir"]
        {
            for line in code.lines().filter(|line| line.contains(word)) {
                let is_comment = line.trim_start().starts_with("//");
                assert!(is_comment, "{name}: {line}");
            }
        }
    }
    assert!(looked > 80, "{looked}");
}

/// What is not in what people get, and has `unsafe` in it: blocks, and functions and implementations.
const UNSAFE_OUTSIDE: [(&str, (usize, usize)); 3] = [
    // a peer that maps its file
    ("benches/peers.rs", (1, 0)),
    // an allocator that counts: what it has to implement; two calls of libc
    ("tests/memory.rs", (6, 5)),
    // an allocator that never gives anything, and what a program without std has
    ("tests/no-std/src/lib.rs", (0, 4)),
];

/// How many blocks, and how many functions and the like, are unsafe. Comments and unit tests do not count.
fn unsafe_code(source: &str) -> (usize, usize) {
    let (mut blocks, mut others) = (0, 0);
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    for line in code.lines().map(|line| line.split("//").next().unwrap()) {
        let words: Vec<_> = line.split_whitespace().collect();
        for (number, word) in words.iter().enumerate() {
            match words.get(number + 1) {
                _ if word.starts_with("#[unsafe(") => others += 1,
                Some(&"{") if word.trim_start_matches(['(', '!', '&', '*', '|']) == "unsafe" => blocks += 1,
                Some(&("fn" | "impl" | "trait" | "extern")) if *word == "unsafe" => others += 1,
                _ => {}
            }
        }
    }
    (blocks, others)
}

/// The unsafe inventory: nowhere but in these files, and in these as often as SECURITY.md says.
#[test]
fn unsafe_is_where_it_may_be() {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in fs::read_dir(root).unwrap().map(|entry| entry.unwrap()) {
        let name = folder.file_name().into_string().unwrap();
        if folder.file_type().unwrap().is_dir() && name != "target" && !name.starts_with('.') {
            walk(&folder.path(), &mut found);
        }
    }
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let found: BTreeMap<_, _> = found
        .iter()
        .map(|path| (name(path), unsafe_code(&fs::read_to_string(path).unwrap())))
        .filter(|(_, count)| *count != (0, 0))
        .collect();
    let in_libraries = [
        ("ddi-verity/src/hash/backend.rs", (4, 0)),
        ("crates/ddi-io/src/memory.rs", (1, 0)),
        ("crates/ddi-io/src/mmap.rs", (1, 1)),
        // the border to C: two for each function but ddi_version and ddi_trust_new, which take nothing
        ("crates/ddi-capi/src/ffi.rs", (24, 51)),
        ("crates/ddi-capi/src/ffi/argument.rs", (9, 10)),
        ("crates/ddi-capi/src/ffi/object.rs", (7, 3)),
    ];
    let expected = in_libraries.into_iter().chain(UNSAFE_OUTSIDE);
    assert_eq!(found, expected.map(|(name, count)| (name.to_owned(), count)).collect());

    let inventory = include_str!("../../../.github/SECURITY.md").split_once("\n## Unsafe code\n").unwrap().1;
    let inventory: Vec<_> = inventory
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("| `")?.split_once('`')?;
            let count: String = rest.split_once("| ")?.1.chars().take_while(|c| c.is_ascii_digit()).collect();
            Some((name, count.parse().unwrap()))
        })
        .collect();
    assert_eq!(inventory, in_libraries.map(|(name, (blocks, _))| (name, blocks)));

    let main = include_str!("../../../src/main.rs");
    let (core, gpt) =
        (include_str!("../../../ddi-core/src/lib.rs"), include_str!("../../../ddi-gpt/src/lib.rs"));
    for source in [main, core, gpt] {
        assert!(source.contains("#![forbid(unsafe_code)]"));
    }
}
