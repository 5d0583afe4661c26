//! What people get: each package has what a registry shows, the licences, and nothing that is for us alone.

use std::collections::BTreeSet;
use std::process::Command;

const PUBLISHED: [&str; 12] = [
    "ddi-build",
    "ddi-capi",
    "ddi-cli",
    "ddi-core",
    "ddi-fs",
    "ddi-gpt",
    "ddi-io",
    "ddi-os",
    "ddi-report",
    "ddi-serve",
    "ddi-signature",
    "ddi-verity",
];

fn files_of(package: &str) -> Vec<String> {
    let listed = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(listed.status.success(), "{package}: {}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn each_package_has_what_people_need_and_no_more() {
    for package in PUBLISHED {
        let files = files_of(package);
        let main = if package == "ddi-cli" { "src/main.rs" } else { "src/lib.rs" };
        for wanted in ["Cargo.toml", "README.md", "LICENSE-APACHE", "LICENSE-MIT", main] {
            assert!(files.iter().any(|file| file == wanted), "{package} has no {wanted}: {files:#?}");
        }
        let known = [
            "Cargo.toml",
            "Cargo.toml.orig",
            "Cargo.lock",
            ".cargo_vcs_info.json",
            "README.md",
            "CHANGELOG.md",
        ];
        for file in &files {
            let is_known = known.contains(&file.as_str())
                || file.starts_with("src/")
                || file.starts_with("examples/")
                || file.starts_with("LICENSE-")
                || package == "ddi-capi"
                    && (file.starts_with("include/")
                        || ["cbindgen.toml", "install.sh", "libddi.symbols"].contains(&file.as_str()))
                || package == "ddi-cli" && file.starts_with("tests/data/sample.");
            assert!(is_known, "{package}: {file}");
        }
    }
}

/// Whoever reads the registry's page finds the way here.
#[test]
fn each_manifest_says_what_it_is() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    for name in PUBLISHED {
        let package = packages.iter().find(|package| package["name"] == name).unwrap();
        for field in ["description", "repository", "license", "rust_version"] {
            assert!(package[field].as_str().is_some_and(|text| !text.is_empty()), "{name}: {field}");
        }
        assert!(!package["keywords"].as_array().unwrap().is_empty(), "{name}");
    }
    // of those that are not published, none is forgotten
    let private: Vec<_> = packages.iter().filter(|package| package["publish"].is_array()).collect();
    assert_eq!(private.len() + PUBLISHED.len(), packages.len());
}

/// Few crates are linked, and each feature brings its own: figures of `cargo tree`, the crate itself not counted.
#[test]
fn what_is_linked_stays_small() {
    for (package, features, most) in [
        ("ddi-gpt", None, 13),
        ("ddi-verity", None, 20),
        ("ddi-core", Some(""), 25),
        ("ddi-core", Some("signature"), 45),
        ("ddi-core", Some("signature,rayon,luks2"), 45),
    ] {
        let mut tree = Command::new(env!("CARGO"));
        tree.args(["tree", "--offline", "--edges", "normal,no-proc-macro", "--prefix", "none"])
            .args(["--package", package])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if let Some(features) = features {
            tree.args(["--no-default-features", "--features", features]);
        }
        let told = tree.output().unwrap();
        assert!(told.status.success(), "{package}: {}", String::from_utf8_lossy(&told.stderr));
        let told = String::from_utf8(told.stdout).unwrap();
        let linked: BTreeSet<_> = told.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(linked.contains(package), "{told}");
        assert!(
            linked.len() - 1 <= most,
            "{package} {features:?}: {} of {most}: {linked:?}",
            linked.len() - 1
        );
    }
}
