//! The fuzz targets over their seeds: small inputs of every kind, what fuzzing found worth keeping, and every crash there ever
//! was. The bodies of the targets are those that libFuzzer runs.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[expect(unreachable_pub, reason = "a library of its own in fuzz/")]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use targets::TARGETS;

/// The first character in lines of text that a terminal would not just show.
pub(crate) fn unfit_in_lines(text: &str) -> Option<char> {
    text.split('\n').find_map(targets::unfit_for_a_terminal)
}

fn fuzz(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_target_withstands_its_seeds() {
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        let folder = fuzz("seeds").join(name);
        let seeds = names(&folder);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
            let bytes = fs::read(folder.join(&seed)).unwrap();
            if catch_unwind(|| target(&bytes)).is_err() {
                failed.push(format!("{name}/{seed}"));
            }
        }
    }
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn every_target_is_built_and_every_seed_has_a_target() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(known.len(), TARGETS.len());
    assert_eq!(names(&fuzz("seeds")), known);
    let files = known.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&fuzz("fuzz_targets")), files);
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).unwrap();
    for name in &known {
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")), "{name}");
        let main = fs::read_to_string(fuzz("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(main.contains(&format!("ddi_fuzz::{name}(input)")), "{name}");
    }
    // what each feeds, and how often it ran
    let readme = fs::read_to_string(fuzz("README.md")).unwrap();
    for head in ["| target | of the plan |", "| target | with AddressSanitizer |"] {
        let table = readme.split_once(head).unwrap_or_else(|| panic!("no table {head}")).1;
        let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| `")?.split_once("` |"));
        let told: Vec<String> = rows.map(|(name, _)| name.to_owned()).collect();
        assert_eq!(told.iter().cloned().collect::<BTreeSet<_>>(), known, "{head}");
        assert_eq!(told.len(), known.len(), "{head}: a target has two rows");
    }
}

#[test]
fn seeds_are_small() {
    let mut sum = 0;
    for (name, _) in TARGETS {
        let folder = fuzz("seeds").join(name);
        for seed in names(&folder) {
            let size = fs::metadata(folder.join(&seed)).unwrap().len();
            assert!(size <= 4096, "{name}/{seed} has {size} bytes");
            sum += size;
        }
    }
    assert!(sum <= 400 << 10, "{sum} bytes");
}
