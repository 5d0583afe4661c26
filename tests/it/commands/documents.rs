//! Whoever asks for JSON gets one document, or one array of them, whatever is asked of whatever file; and each is what its
//! schema in `docs/schema` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use crate::support::hostile::base;
use crate::support::schema::SCHEMAS;
use crate::support::{Chance, Folder, corpus, ddi, ddi_quickly, in_parallel, require_tool, run};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.crt");

/// A root hash of nothing.
const HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Every text `"ddi.NAME/N"` in the sources under `folder`, with the file that it is in.
fn named_in(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for quoted in text.split('"').skip(1).step_by(2) {
                let version = quoted.strip_prefix("ddi.").and_then(|name| name.split_once('/'));
                if version.is_some_and(|(_, version)| version.parse::<u32>().is_ok()) {
                    found.insert(quoted.to_owned(), path.display().to_string());
                }
            }
        }
    }
}

#[test]
fn a11_each_document_has_a_schema_and_each_schema_a_document() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = BTreeMap::new();
    named_in(&root.join("src"), &mut named);
    for folder in ["ddi-core", "ddi-verity", "ddi-gpt"] {
        named_in(&root.join(folder).join("src"), &mut named);
    }
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        named_in(&entry.unwrap().path().join("src"), &mut named);
    }
    assert!(named.len() >= 13, "{named:?}");
    let page = fs::read_to_string(root.join("docs/json.md")).unwrap();
    let mut used = BTreeSet::new();
    for (document, file) in &named {
        let (name, _) = document.strip_prefix("ddi.").unwrap().split_once('/').unwrap();
        let schema = SCHEMAS.get(name);
        assert_eq!(schema["properties"]["schema"]["const"], **document, "{file}");
        for key in ["title", "description"] {
            assert!(schema[key].as_str().is_some_and(|text| !text.is_empty()), "{name}: {key}");
        }
        assert!(
            page.contains(&format!("| `{document}` | [schema](schema/{name}.json) |")),
            "docs/json.md: {document}"
        );
        used.insert(name);
    }
    // parts that several have
    assert!(SCHEMAS.get("verify").to_string().contains("common.json#"));
    used.insert("common");
    assert_eq!(SCHEMAS.names().collect::<BTreeSet<_>>(), used);
}

/// Of each key it is said what it means.
#[test]
fn a11_schemas_describe_each_key() {
    fn look(value: &serde_json::Value, at: &str) {
        if let Some(keys) = value["properties"].as_object() {
            for (key, schema) in keys {
                let described = schema["description"].is_string()
                    || schema["$ref"].is_string()
                    || schema["anyOf"].is_array()
                    || schema["const"].is_string()
                    || schema["type"] == "null";
                assert!(described, "{at}/{key}");
            }
        }
        match value {
            serde_json::Value::Object(members) => {
                members.iter().for_each(|(key, value)| look(value, &format!("{at}/{key}")));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| look(item, at)),
            _ => {}
        }
    }
    SCHEMAS.names().for_each(|name| look(SCHEMAS.get(name), name));
}

#[test]
fn a11_documents_of_the_corpus_are_what_their_schemas_say() {
    let mut images = vec![SAMPLE.to_owned()];
    if let Some(corpus) = corpus() {
        for folder in ["images", "images/packed"] {
            let files = fs::read_dir(corpus.join(folder)).unwrap().map(|entry| entry.unwrap().path());
            images.extend(files.filter(|path| path.is_file()).map(|path| path.display().to_string()));
        }
    }
    let asked: [&[&str]; 10] = [
        &["inspect", "--certificate", CERTIFICATE],
        &["inspect", "--strict", "--image-policy", "sysext"],
        &["verify", "--certificate", CERTIFICATE, "--image-policy", "root=signed+verity:=ignore"],
        &["verify", "--systemd-reading", "--strict"],
        &["policy", "check", "*"],
        &["check", "portable"],
        &["check", "golden"],
        &["check", "boot"],
        &["ls", "-R", "--unverified"],
        &["mtree"],
    ];
    let seen = Mutex::new(BTreeSet::new());
    in_parallel((images.len() * asked.len()) as u64, |number| {
        let (image, asked) = (&images[number as usize / asked.len()], asked[number as usize % asked.len()]);
        let ended = ddi(asked.iter().copied().chain(["--json", &**image]));
        seen.lock().unwrap().extend(SCHEMAS.check_stdout(&ended, &format!("{asked:?} {image}")));
    });
    let seen = seen.into_inner().unwrap();
    for name in ["inspect", "verify", "policy-check", "check", "file"] {
        assert!(seen.contains(name), "{name}: {seen:?}");
    }
}

#[test]
fn a11_documents_of_trees_are_what_their_schemas_say() {
    let folder = Folder::new();
    let mut bytes = Chance(11).bytes(300 * 4096);
    let data = folder.write("data", &bytes);
    let [hash, parity, healed] = ["hash", "parity", "healed"].map(|name| folder.file(name));
    let check = |args: &[&str], code, name: &str| {
        let ended = ddi(args.iter().copied().chain(["--json"]));
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert_eq!(SCHEMAS.check_stdout(&ended, &format!("{args:?}")), [name].into());
        ended.json()
    };
    let made = check(&["verity", "format", "--fec-device", &parity, &data, &hash], 0, "verity-tree");
    assert!(made["fec"].is_object(), "{made}");
    let record = fs::read(format!("{parity}.fec.json")).unwrap();
    assert_eq!(SCHEMAS.check(&serde_json::from_slice(&record).unwrap(), &parity), "fec");
    let root = made["rootHash"].as_str().unwrap();
    check(&["verity", "dump", &hash], 0, "verity-tree");
    check(&["verity", "verify", &data, &hash, root], 0, "verity-verify");
    bytes[5000] ^= 1;
    let bad = folder.write("bad", &bytes);
    check(&["verity", "verify", &bad, &hash, root], 1, "verity-verify");
    let told = check(&["verity", "verify", "--fec-device", &parity, &bad, &hash, root], 1, "verity-verify");
    assert_eq!(told["healable"]["whole"], true, "{told}");
    let args = ["verity", "repair", "--fec-device", &parity, "--output", &healed, &bad, &hash, root];
    check(&args, 0, "verity-repair");
    bytes.push(0);
    let long = folder.write("long", &bytes);
    check(&["verity", "verify", &long, &hash, root], 1, "verity-refused");
    for policy in ["sysext", "root=signed+verity:usr=absent", "*", "-"] {
        check(&["policy", "show", policy], 0, "policy");
    }
}

#[test]
fn a11_plans_and_images_are_what_their_schemas_say() {
    let folder = Folder::new();
    let definitions = folder.file("definitions");
    fs::create_dir(&definitions).unwrap();
    let image = folder.file("image.raw");
    let data = folder.write("data", &Chance(3).bytes(40 * 4096));
    let write = |name: &str, text: &str| fs::write(format!("{definitions}/{name}"), text).unwrap();
    write(
        "1-root.conf",
        &format!("[Partition]\nType=root\nVerity=data\nVerityMatchKey=root\nCopyBlocks={data}\n"),
    );
    write("2-verity.conf", "[Partition]\nType=root-verity\nVerity=hash\nVerityMatchKey=root\n");
    write("3-home.conf", "[Partition]\nType=home\nSizeMinBytes=1M\nSizeMaxBytes=1M\n");
    let args = ["build", "--json", "--definitions", &definitions, &image];
    let check = |args: &[&str], code, name: &str| {
        let ended = ddi(args);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(SCHEMAS.check_stdout(&ended, name), [name].into());
    };
    check(&[&args[..], &["--dry-run"]].concat(), 0, "plan");
    check(&args, 0, "build");
    write("4-bad.conf", "[Partition]\nType=nonsense\n");
    fs::remove_file(&image).unwrap();
    check(&args, 1, "error");
}

/// Each command that prints JSON, for a file; whether any bytes will do for it.
fn commands<'a>(folder: &'a Folder, file: &'a str) -> Vec<(Vec<String>, bool)> {
    let release = folder.write("os-release", b"ID=x\n");
    let socket = folder.file("socket");
    let [hash, parity, out] = ["hash", "parity", "out"].map(|name| folder.write(name, b""));
    fs::remove_file(&out).unwrap();
    let asked: [(&[&str], bool); 16] = [
        (&["inspect", file], false),
        (&["verify", file], false),
        (&["ls", file], false),
        (&["mtree", file], false),
        (&["policy", "check", "*", file], false),
        (&["check", "portable", file], false),
        (&["check", "extension", "--host-os-release", &release, file], false),
        (&["check", "golden", file], false),
        (&["check", "boot", file], false),
        (&["check", "update", "--match", "a_@v", file], false),
        (&["serve", file, "--intact", "--socket", &socket], false),
        (&["bench", file], true),
        (&["verity", "format", file, &hash], true),
        (&["verity", "verify", file, &hash, HASH], false),
        (&["verity", "repair", "--fec-device", &parity, "--output", &out, file, &hash, HASH], false),
        (&["verity", "dump", file], false),
    ];
    let with_json = |args: &[&str]| args.iter().copied().chain(["--json"]).map(str::to_owned).collect();
    asked.into_iter().map(|(args, any)| (with_json(args), any)).collect()
}

#[test]
fn a11_no_answer_is_an_error_in_json() {
    let folder = Folder::new();
    let fifo = folder.file("fifo");
    assert!(!require_tool("mkfifo") || run("mkfifo", [&fifo]).ok());
    for (file, is_folder) in [(folder.file("missing"), false), (folder.file(""), true), (fifo, false)] {
        for (args, _) in commands(&folder, &file) {
            // a folder is what it is for
            if is_folder && args[1] == "update" {
                continue;
            }
            let ended = ddi_quickly(&args);
            assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
            assert_eq!(SCHEMAS.check_stdout(&ended, &format!("{args:?}")), ["error"].into());
            let error = ended.json();
            // an update set is asked for what it is before it is read
            assert!(error["kind"] == "io" || args[1] == "update", "{args:?}: {error}");
            assert_eq!(error["image"], *file, "{args:?}");
            assert!(ended.stderr.starts_with("ddi: error: "), "{args:?}: {ended:?}");
            let text = ddi_quickly(args.iter().filter(|arg| *arg != "--json"));
            assert_eq!((&text.stderr, text.code, &*text.stdout), (&ended.stderr, Some(2), ""), "{args:?}");
        }
    }
}

/// Bytes that are no image, and tables that end early.
#[test]
fn a11_nonsense_gets_one_document() {
    let folder = Folder::new();
    let image = base().bytes();
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("random", Chance(7).bytes(1 << 20)),
        ("header", image[..1000].to_vec()),
        ("array", image[..1500].to_vec()),
    ] {
        let file = folder.write(name, &bytes);
        let mut errors = 0;
        for (args, any) in commands(&folder, &file) {
            if any && !bytes.is_empty() {
                continue;
            }
            let ended = ddi_quickly(&args);
            assert!(matches!(ended.code, Some(1 | 2)), "{args:?}: {ended:?}");
            let names = SCHEMAS.check_stdout(&ended, &format!("{args:?}"));
            errors += u32::from(names.contains("error"));
        }
        assert!(errors >= 4, "{name}: {errors}");
    }
}

#[test]
fn a11_wrong_usage_is_an_error_in_json() {
    let folder = Folder::new();
    let none = folder.file("none");
    let cases: [(&[&str], &str); 12] = [
        (&["policy", "show", "root=signd"], "policy-unknown-flag"),
        (&["policy", "check", "x", SAMPLE], "policy-syntax"),
        (&["inspect", "--architecture", "z80", SAMPLE], "unknown-architecture"),
        (&["inspect", "--root-hash", "xyz", SAMPLE], "usage"),
        (&["verify", "--data-size", "1", "--data-size", "2", SAMPLE], "usage"),
        (&["verify", "--certificate", &none, SAMPLE], "certificate-io"),
        (&["ls", "--partition", "9", SAMPLE], "usage"),
        (&["ls", SAMPLE, "/none"], "not-found"),
        (&["mtree", "--partition", "rot", SAMPLE], "unknown-designator"),
        (&["bench", "--hash", "md5"], "usage"),
        (&["verity", "format", "--hash", "md5", SAMPLE, &none], "usage"),
        (&["verity", "verify", SAMPLE, SAMPLE, "00"], "usage"),
    ];
    for (args, code) in cases {
        let ended = ddi_quickly(args.iter().copied().chain(["--json"]));
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert_eq!(SCHEMAS.check_stdout(&ended, &format!("{args:?}")), ["error"].into());
        assert_eq!(ended.json()["code"], code, "{args:?}: {ended:?}");
    }
    // that nobody vouches is told too, with another status
    let ended = ddi(["ls", "--json", "--authenticated", SAMPLE]);
    assert_eq!((ended.code, ended.json()["code"].as_str()), (Some(3), Some("not-vouched-for")), "{ended:?}");
}
