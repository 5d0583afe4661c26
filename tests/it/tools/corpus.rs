//! A corpus of images by current tools, with what those tools say about each: `DDI_CORPUS`, else
//! `$TMPDIR/ddi-corpus`. Whatever we say otherwise is in a list with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::support::{Chance, Folder, corpus, corpus_at, ddi, in_parallel};

/// Where we say other than the tools, and why: image, fact, reason.
const EXPLAINED: &[(&str, &str, &str)] = &[
    (
        "fs-vfat",
        "kind",
        "sfdisk takes the boot sector of a FAT file system for an MBR; libblkid and systemd do not",
    ),
    (
        "mbr-many",
        "number of partitions",
        "logical partitions: no image has them, systemd does not look, chains can loop",
    ),
];

/// What `systemd-dissect --json` says of the files of an image, if they say it.
const METADATA: [&str; 7] =
    ["hostname", "machineId", "machineInfo", "osRelease", "initrdRelease", "sysextRelease", "confextRelease"];

/// What it says in any case.
const USES: [&str; 10] = [
    "useBootableUefi",
    "useBootableContainer",
    "useInitrd",
    "usePortableService",
    "useSystemExtension",
    "useInitRDSystemExtension",
    "usePortableSystemExtension",
    "useConfigurationExtension",
    "useInitRDConfigurationExtension",
    "usePortableConfigurationExtension",
];

/// Hash algorithms that we do not have: trees that nobody makes images with.
const OTHER_ALGORITHMS: [&str; 7] =
    ["blake2b-512", "blake2s-256", "ripemd160", "sha224", "sha3-256", "sm3", "whirlpool"];

/// Above this size an image is not copied to be damaged.
const MAX_COPY: u64 = 64 << 20;

/// What the tools say, by the name of the image.
fn expectations(corpus: &Path) -> Vec<(String, Value)> {
    let index: Value = serde_json::from_slice(&fs::read(corpus.join("index.json")).unwrap()).unwrap();
    let all = index.as_array().unwrap().iter();
    all.map(|entry| {
        let path = corpus.join(entry["expected"].as_str().unwrap());
        (
            entry["name"].as_str().unwrap().to_owned(),
            serde_json::from_slice(&fs::read(path).unwrap()).unwrap(),
        )
    })
    .collect()
}

/// Differences from what is expected, and how much was compared.
#[derive(Default)]
struct Comparison {
    different: Mutex<BTreeSet<(String, String, String)>>,
    facts: Mutex<u64>,
}

impl Comparison {
    fn compare(&self, image: &str, fact: &str, ours: &Value, theirs: &Value) {
        *self.facts.lock().unwrap() += 1;
        if ours != theirs {
            let difference = format!("we say {ours}, they say {theirs}");
            self.different.lock().unwrap().insert((image.into(), fact.into(), difference));
        }
    }

    /// Fails if there is a difference that is not explained, or an explanation for none.
    fn finish(self, what: &str) {
        let mut different = self.different.into_inner().unwrap();
        let mut unused: Vec<_> = Vec::new();
        for (image, fact, reason) in EXPLAINED {
            let before = different.len();
            different.retain(|(i, f, _)| (i.as_str(), f.as_str()) != (*image, *fact));
            if different.len() == before {
                unused.push((image, fact, reason));
            }
        }
        println!("{what}: {} facts compared", self.facts.into_inner().unwrap());
        let list: Vec<_> = different.iter().map(|(i, f, d)| format!("{i}: {f}: {d}\n")).collect();
        assert!(list.is_empty(), "{} differences:\n{}", list.len(), list.concat());
        assert!(unused.is_empty(), "explained, but no longer different: {unused:?}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn lower(value: &Value) -> Value {
    value.as_str().map(str::to_lowercase).into()
}

/// sfdisk's attributes as bits.
fn attribute_bits(attrs: &Value) -> Value {
    let mut bits = 0u64;
    for word in text(attrs).split_whitespace() {
        match word {
            "RequiredPartition" => bits |= 1,
            "NoBlockIOProtocol" => bits |= 2,
            "LegacyBIOSBootable" => bits |= 4,
            _ => {
                let list = word.strip_prefix("GUID:").unwrap_or_else(|| panic!("{word}"));
                bits |= list.split(',').map(|bit| 1u64 << bit.parse::<u32>().unwrap()).sum::<u64>();
            }
        }
    }
    format!("{bits:#018x}").into()
}

#[test]
fn inspect_says_what_the_tools_say() {
    let Some(corpus) = corpus() else { return };
    let images: Vec<_> =
        expectations(&corpus).into_iter().filter(|(_, theirs)| theirs["kind"] == "image").collect();
    let comparison = Comparison::default();
    in_parallel(images.len() as u64, |number| {
        let (name, theirs) = &images[number as usize];
        let path = corpus.join(text(&theirs["file"])).display().to_string();
        let ended = ddi(["inspect", "--json", &path]);
        assert!(matches!(ended.code, Some(0 | 1)), "{name}: {ended:?}");
        let ours = ended.json();
        let compare = |fact: &str, ours: &Value, theirs: &Value| comparison.compare(name, fact, ours, theirs);
        inspect(&ours, theirs, &compare);
    });
    println!("{} images", images.len());
    comparison.finish("inspect");
}

fn inspect(ours: &Value, theirs: &Value, compare: &dyn Fn(&str, &Value, &Value)) {
    compare("size", &ours["size"], &theirs["size"]);
    compare("type of the whole", &ours["content"]["type"], &theirs["blkid"]["TYPE"]);

    let table = &theirs["sfdisk"];
    let kind = match text(&table["label"]) {
        "gpt" => "gpt",
        "dos" => "mbr",
        _ => "file-system",
    };
    if table.is_object() {
        compare("kind", &ours["kind"], &kind.into());
        compare("sector size", &ours["sectorSize"], &table["sectorsize"]);
    }
    if kind == "gpt" {
        compare("disk GUID", &ours["imageUuid"], &lower(&table["id"]));
    }
    let partitions = theirs["partitions"].as_array().unwrap();
    let found = ours["partitions"].as_array().unwrap();
    compare("number of partitions", &found.len().into(), &partitions.len().into());
    for (ours, theirs) in found.iter().zip(partitions) {
        let compare = |fact: &str, o: &Value, t: &Value| {
            compare(&format!("{fact} of partition {}", theirs["number"]), o, t)
        };
        for fact in ["number", "offset", "size", "type", "uuid", "label"] {
            compare(fact, &ours[fact], &theirs[fact]);
        }
        if kind == "gpt" {
            compare("attributes", &ours["attributes"], &attribute_bits(&theirs["attrs"]));
        } else {
            compare("active", &ours["bootable"], &theirs["bootable"].as_bool().unwrap_or(false).into());
        }
        let is_signature = ours["content"]["type"] == "verity_hash_signature";
        let content = if is_signature { &Value::Null } else { &ours["content"]["type"] };
        compare("type of the content", content, &theirs["blkid"]["TYPE"]);
        if theirs["blkid"]["UUID"].is_string() {
            compare("file-system UUID", &ours["content"]["uuid"], &theirs["blkid"]["UUID"]);
        }
    }

    let dissect = &theirs["dissect"];
    if dissect.is_object() {
        let keys = ["name", "sectorSize", "architecture", "imageUuid"].iter().chain(&METADATA).chain(&USES);
        // systemd leaves the head out where it cannot read the metadata
        for key in keys.filter(|_| dissect["name"].is_string()) {
            compare(key, &ours[key], &dissect[key]);
        }
        let (mounts, found) = (dissect["mounts"].as_array().unwrap(), ours["mounts"].as_array().unwrap());
        compare("number of mounts", &found.len().into(), &mounts.len().into());
        for (ours, theirs) in found.iter().zip(mounts) {
            for (key, value) in theirs.as_object().unwrap() {
                compare(&format!("{key} of mount {}", text(&theirs["designator"])), &ours[key], value);
            }
            let keys = |value: &Value| -> BTreeSet<String> {
                value.as_object().unwrap().keys().filter(|key| *key != "node").cloned().collect()
            };
            compare(
                "keys of a mount",
                &format!("{:?}", keys(ours)).into(),
                &format!("{:?}", keys(theirs)).into(),
            );
        }
    }

    for set in theirs["verity"].as_array().into_iter().flatten() {
        let options = set["options"].as_array().map_or(0, Vec::len);
        if options > 0 {
            // a tree that only its options can tell of
            continue;
        }
        let hash = &set["hash"];
        let ours = ours["verity"].as_array().unwrap().iter().find(|ours| match hash.is_number() {
            true => ours["hash"]["partition"] == *hash,
            false => ours["hash"]["external"] == true,
        });
        let nothing = Value::Null;
        let ours = ours.unwrap_or(&nothing);
        compare("root hash", &ours["rootHash"]["hash"], &set["root_hash"]);
        compare("root hash of the tree", &ours["treeRootHash"], &set["root_hash"]);
        if set["data"].is_number() {
            compare("data partition", &ours["data"]["partition"], &set["data"]);
            compare("signature partition", &ours["signature"]["partition"], &set["signature"]);
        }
        let dump = &set["veritysetup_dump"];
        compare("verity UUID", &ours["uuid"], &dump["UUID"]);
        for (key, theirs) in [
            ("hashType", "Hash type"),
            ("dataBlocks", "Data blocks"),
            ("dataBlockSize", "Data block size"),
            ("hashBlocks", "Hash blocks"),
            ("hashBlockSize", "Hash block size"),
        ] {
            compare(key, &ours["parameters"][key].to_string().into(), &dump[theirs]);
        }
        compare("algorithm", &ours["parameters"]["algorithm"], &dump["Hash algorithm"]);
        compare("salt", &ours["parameters"]["salt"], &text(&dump["Salt"]).trim_matches('-').into());
    }
}

#[test]
fn verify_proves_what_is_intact_and_names_the_block_that_is_not() {
    let Some(corpus) = corpus() else { return };
    let mut sets = Vec::new();
    for (name, theirs) in expectations(&corpus).into_iter().filter(|(_, theirs)| theirs["kind"] == "image") {
        for set in theirs["verity"].as_array().into_iter().flatten() {
            sets.push((name.clone(), theirs.clone(), set.clone()));
        }
    }
    let counts = Mutex::new((0, 0));
    in_parallel(sets.len() as u64, |number| {
        let (name, theirs, set) = &sets[number as usize];
        let path = corpus.join(text(&theirs["file"])).display().to_string();
        let root_hash = text(&set["root_hash"]);
        let options: Vec<&str> = set["options"].as_array().unwrap().iter().map(text).collect();

        // an image with trees for both wants both root hashes
        let inspected = ddi(["inspect", "--json", &path]).json();
        let roles: Vec<(String, String)> = (inspected["verity"].as_array().unwrap().iter())
            .filter(|ours| ours["selected"] == true || ours["rootHash"]["hash"] == root_hash)
            .map(|ours| (text(&ours["role"]).to_owned(), text(&ours["rootHash"]["hash"]).to_owned()))
            .collect();
        let role = roles.iter().find(|(_, hash)| hash == root_hash).map_or("root", |(role, _)| role);
        let mut trusted = vec![format!("--{role}-hash"), root_hash.to_owned()];
        if let Some((other, hash)) = roles.iter().find(|(other, _)| other != role)
            && !roles.iter().any(|(r, h)| r == role && h != root_hash)
        {
            trusted.extend([format!("--{other}-hash"), hash.clone()]);
        }
        let run = |path: &str, trusted: &[String]| {
            let args = ["verify", "--json", path].into_iter().map(str::to_owned);
            ddi(args.chain(options.iter().map(|&option| option.to_owned())).chain(trusted.iter().cloned()))
        };

        let intact = run(&path, &trusted);
        assert_eq!(intact.code, Some(0), "{name}: {trusted:?}: {intact:?}");
        assert_eq!(intact.json()["outcome"], "trusted-and-proven", "{name}");
        let unvouched = run(&path, &[]);
        // a tree behind the data, whose root hash is written down nowhere: nothing to prove it against
        let unknown = unvouched.json()["proofs"][0]["problem"]["code"] == "root-hash-unknown";
        assert_eq!(unknown, !options.is_empty(), "{name}: {unvouched:?}");
        assert_eq!(unvouched.code, Some(if unknown { 2 } else { 3 }), "{name}: {unvouched:?}");
        let flipped = format!("{}{}", if root_hash.starts_with('0') { '1' } else { '0' }, &root_hash[1..]);
        let wrong = run(&path, &[trusted[0].clone(), flipped]);
        assert_eq!(wrong.code, Some(1), "{name}: {wrong:?}");
        counts.lock().unwrap().0 += 1;

        let size = theirs["size"].as_u64().unwrap();
        if size > MAX_COPY {
            return;
        }
        let folder = Folder::new();
        let copy = copy_with_sidecars(Path::new(&path), &folder);
        let mut image = fs::read(&path).unwrap();
        let (start, blocks, block_size) = data_of(set, theirs);
        let mut chance = Chance(number);
        for _ in 0..3 {
            // behind the first blocks, where the file system is recognised by
            let block = if blocks == 1 { 0 } else { blocks / 2 + chance.below(blocks - blocks / 2) };
            let at = (start + block * block_size + block_size - 1 - chance.below(block_size / 2)) as usize;
            image[at] ^= 1 << chance.below(8);
            fs::write(&copy, &image).unwrap();
            let bad = run(&copy, &trusted);
            assert_eq!(bad.code, Some(1), "{name}, block {block}: {bad:?}");
            let json = bad.json();
            let proof =
                json["proofs"].as_array().unwrap().iter().find(|proof| proof["rootHash"] == root_hash);
            let found = &proof.unwrap()["verdict"]["corruptDataBlocks"];
            // damage to the only block may leave nothing that is recognised as a file system, which is told first
            if blocks > 1 || found["ranges"].is_array() {
                assert_eq!(found["ranges"], serde_json::json!([[block, block]]), "{name}: {bad:?}");
            }
            image[at] = fs::read(&path).unwrap()[at];
            counts.lock().unwrap().1 += 1;
        }
    });
    let (intact, tampered) = counts.into_inner().unwrap();
    println!("{intact} verity sets proven, {tampered} tampered copies told by the exact block");
}

/// Where the data starts in the image, how many blocks it has, and their size.
fn data_of(set: &Value, theirs: &Value) -> (u64, u64, u64) {
    let dump = |key: &str| text(&set["veritysetup_dump"][key]).parse::<u64>().unwrap();
    let start = match set["data"].as_u64() {
        Some(number) => {
            let partitions = theirs["partitions"].as_array().unwrap();
            partitions.iter().find(|p| p["number"] == number).unwrap()["offset"].as_u64().unwrap()
        }
        None => 0,
    };
    (start, dump("Data blocks"), dump("Data block size"))
}

/// Links the files beside an image to beside its copy, and tells the path of that.
fn copy_with_sidecars(path: &Path, folder: &Folder) -> String {
    let file_name = path.file_name().unwrap().to_str().unwrap();
    let stem = file_name.strip_suffix(".raw").unwrap();
    for suffix in ["roothash", "usrhash", "verity"] {
        let beside = path.with_file_name(format!("{stem}.{suffix}"));
        if beside.exists() {
            fs::copy(beside, folder.file(&format!("{stem}.{suffix}"))).unwrap();
        }
    }
    folder.file(file_name)
}

#[test]
fn trees_of_veritysetup() {
    let Some(corpus) = corpus() else { return };
    let mut counts = (0, 0);
    for (name, theirs) in expectations(&corpus).into_iter().filter(|(_, theirs)| theirs["kind"] == "verity") {
        for set in theirs["verity"].as_array().unwrap() {
            let path = |role: &str| corpus.join(text(&set[role])).display().to_string();
            let (data, hash, root_hash) = (path("data"), path("hash"), text(&set["root_hash"]));
            let mut options: Vec<String> = (set["options"].as_array().unwrap().iter())
                .map(|option| text(option).to_owned())
                .filter(|option| !option.starts_with("--fec"))
                .collect();
            // what is unusual has to be named
            let named = |option: &str| options.iter().any(|given| given.starts_with(option));
            let unusual: Vec<String> = [
                ("--hash", "algorithm"),
                ("--format", "hash_type"),
                ("--data-block-size", "data_block_size"),
                ("--hash-block-size", "hash_block_size"),
            ]
            .into_iter()
            .filter(|(option, _)| !named(&format!("{option}=")))
            .map(|(option, key)| format!("{option}={}", set[key].to_string().trim_matches('"')))
            .collect();
            options.extend(unusual);
            let run = |root_hash: &str| {
                let args = ["verity", "verify", &data, &hash, root_hash].into_iter().map(str::to_owned);
                ddi(args.chain(options.iter().cloned()))
            };
            let ended = run(root_hash);
            if OTHER_ALGORITHMS.contains(&text(&set["algorithm"])) {
                assert_eq!(ended.code, Some(2), "{name}: {ended:?}");
                counts.1 += 1;
                continue;
            }
            assert_eq!(set["veritysetup_verify"]["exit"], 0, "{name}");
            assert_eq!(ended.code, Some(0), "{name}: {options:?}: {ended:?}");
            let flipped =
                format!("{}{}", if root_hash.starts_with('0') { '1' } else { '0' }, &root_hash[1..]);
            assert_eq!(run(&flipped).code, Some(1), "{name}");
            counts.0 += 1;
        }
    }
    println!("{} trees proven, {} of algorithms that we do not have", counts.0, counts.1);
}

#[test]
fn a_corpus_may_be_missing_but_not_where_it_is_named() {
    let folder = Folder::new();
    let empty = folder.path().to_owned();
    assert_eq!(corpus_at(None, &empty), None);
    assert!(std::panic::catch_unwind(|| corpus_at(Some(empty.clone()), &empty)).is_err());
    let path = empty.join("ddi-corpus");
    fs::create_dir(&path).unwrap();
    assert_eq!(corpus_at(None, &empty), None);
    fs::write(path.join("index.json"), "[]").unwrap();
    assert_eq!(corpus_at(None, &empty), Some(path.clone()));
    assert_eq!(corpus_at(Some(path.clone()), Path::new("/nonexistent")), Some(path));
}
