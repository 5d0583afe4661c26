//! What systemd-repart 257 and 262 make of the same definitions: cases that were recorded, where they are at hand, and a few of
//! our own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ddi_build::{
    Compatibility, ContentOptions, Contents, DefinitionFault, DefinitionOptions, Definitions, Empty, Error,
    ImageSize, Plan, PlanFault, PlanOptions, Root, Signing, Sizes, Specifiers, Tools, WriteOptions,
};
use ddi_gpt::{Architecture, BlockSize, Gpt, Guid, Mode, PartitionType};
use ddi_io::{FileSource, ReadAt};
use ddi_os::metadata::EnvFile;
use ddi_signature::Certificate;
use ddi_signature::sign::{Signer, SigningKey};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Beside the checkout; nobody is required to have them.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference/repart-cases");

const VERSIONS: [(&str, Compatibility); 2] =
    [("257", Compatibility::Repart257), ("262", Compatibility::Repart262)];

fn cases() -> Option<BTreeMap<String, Value>> {
    let Ok(folder) = fs::read_dir(CASES) else {
        println!("skipped: no recorded cases in {CASES}");
        eprintln!("skipped: no recorded cases in {CASES}");
        return None;
    };
    let paths = folder.map(|entry| entry.unwrap().path());
    let json = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "json") && !path.ends_with("inputs.json"));
    Some(
        json.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read_json(&path))).collect(),
    )
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn outcome<'a>(case: &'a Value, version: &str) -> &'a Value {
    let found = &case["outcome"][version];
    if found == "the same" { &case["outcome"]["257"] } else { found }
}

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ddi-build-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The value of `--name=`.
fn option<'a>(case: &'a Value, name: &str) -> Option<&'a str> {
    let options = case["options"].as_array().unwrap();
    options.iter().find_map(|option| option.as_str().unwrap().strip_prefix(name)?.strip_prefix('='))
}

fn types(case: &Value, name: &str, options: &DefinitionOptions) -> Vec<PartitionType> {
    let list = option(case, name).into_iter().flat_map(|list| list.split(','));
    list.map(|name| options.partition_type(name).unwrap()).collect()
}

fn gpt_of(path: &Path) -> Option<Gpt> {
    let disk = FileSource::open(path).unwrap();
    let examination =
        ddi_gpt::examine(disk.size(), None, |offset, buf| disk.read_exact_at(offset, buf)).unwrap();
    examination.gpt(Mode::Tolerant).ok()
}

/// The image that other cases start from.
fn write_shipped(cases: &BTreeMap<String, Value>, folder: &Path, name: &str) {
    let case = &cases["disk-shipped"];
    write_inputs(case, folder);
    let compatibility = Compatibility::Repart257;
    let (definitions, _) = prepare(case, compatibility, folder).unwrap();
    let (root, tools) = (Root::open(folder).unwrap(), Tools::new());
    let contents =
        Contents::prepare(&definitions, ContentOptions::new(&root, &tools, SEED.parse().unwrap())).unwrap();
    let image = folder.join(name);
    let options = PlanOptions::new(SEED.parse().unwrap()).image(&image).sizes(contents.sizes().clone());
    let plan = Plan::new(&definitions, &options).unwrap();
    ddi_build::write(&plan, &definitions, &contents, &WriteOptions::new()).unwrap();
    assert_eq!(sha256_of(&image), outcome(case, "257")["image"]["sha256"]);
}

/// Makes what is there before; `false` if a tool for it is missing.
fn set_up(case: &Value, cases: &BTreeMap<String, Value>, folder: &Path) -> bool {
    if let Some(text) = case["starts_from"].as_str() {
        assert!(text.starts_with("disk-shipped"), "{text}");
        write_shipped(cases, folder, "image.raw");
    }
    let Some(script) = case["setup"].as_str() else { return true };
    if script.contains("disk-shipped.raw") {
        write_shipped(cases, folder, "disk-shipped.raw");
    }
    let script = script.replace("../disk-shipped.raw", "disk-shipped.raw");
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let ran =
        Command::new("sh").args(["-ec", &script]).current_dir(folder).env("PATH", path).output().unwrap();
    if !ran.status.success() {
        println!("skipped: {script}: {}", String::from_utf8_lossy(&ran.stderr));
        eprintln!("skipped: {script}");
    }
    ran.status.success()
}

/// `40K` as bytes.
fn shown_bytes(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.len() - 1);
    number.parse::<u64>().unwrap()
        << match unit {
            "K" => 10,
            "M" => 20,
            _ => panic!("{text}"),
        }
}

/// Sizes of what was measured: files of `CopyBlocks=`, and file systems that were made first.
fn sizes(case: &Value, definitions: &Definitions, outcome: &Value) -> Sizes {
    let mut sizes = Sizes::new();
    for (index, definition) in definitions.iter().enumerate() {
        if let Some(ddi_build::CopyBlocks::File(path)) = definition.copy_blocks() {
            sizes = sizes.with(index, case["inputs"][&path[1..]]["bytes"].as_u64().unwrap());
        }
        let name = definition.file().file_name().unwrap_or_default().to_str().unwrap();
        let of = format!(" filesystem of partition {name} is ");
        for message in
            [outcome, &case["outcome"]["257"]].iter().flat_map(|it| it["messages"].as_array().unwrap())
        {
            if let Some((_, size)) = message.as_str().unwrap().split_once(&of) {
                sizes = sizes.with(index, shown_bytes(size));
                break;
            }
        }
    }
    sizes
}

/// Definitions as systemd ships them for `--make-ddi=`.
fn shipped_definitions(kind: &str) -> Vec<(String, String)> {
    let sources = match kind {
        "sysext" => "CopyFiles=/opt/\nCopyFiles=/usr/\n",
        "confext" => "CopyFiles=/etc/\n",
        _ => "CopyFiles=/\n",
    };
    let text = |kind: &str, more: &str| format!("[Partition]\nType={kind}\nVerityMatchKey=root\n{more}");
    vec![
        (
            "10-root.conf".into(),
            text("root", &format!("Format=erofs\n{sources}Verity=data\nMinimize=best\n")),
        ),
        ("20-root-verity.conf".into(), text("root-verity", "Verity=hash\nMinimize=best\n")),
        ("30-root-verity-sig.conf".into(), text("root-verity-sig", "Verity=signature\n")),
    ]
}

/// The definitions of a case, and how they are read.
fn prepare(
    case: &Value,
    compatibility: Compatibility,
    folder: &Path,
) -> Result<(Definitions, DefinitionOptions), Error> {
    let mut options = DefinitionOptions::new().compatibility(compatibility).native(Architecture::X86_64);
    if option(case, "--root") == Some("tree") {
        let release = EnvFile::parse(b"ID=demo\nVERSION_ID=7\nIMAGE_ID=demo\nIMAGE_VERSION=7\n").unwrap();
        options = options.specifiers(Specifiers::new(Some(Architecture::X86_64)).os_release(&release));
    }
    if let Some(architecture) = option(case, "--architecture") {
        options = options.architecture(architecture.parse().unwrap());
    }
    let excluded = types(case, "--exclude-partitions", &options);
    options = options.exclude(excluded);

    let mut texts: Vec<(String, String)> = match option(case, "--make-ddi") {
        Some(kind) => shipped_definitions(kind),
        None => Vec::new(),
    };
    if let Some(files) = case["definitions"].as_object() {
        texts.extend(files.iter().map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())));
    }
    let texts = texts.iter().map(|(name, text)| (&**name, &**text));
    let mut definitions = Definitions::from_texts(texts, &options)?;
    if let Some(image) = option(case, "--copy-from") {
        let image = folder.join(image);
        let gpt = gpt_of(&image).unwrap();
        definitions = Definitions::from_image(&image, &gpt, &options).append(definitions)?;
    }

    Ok((definitions, options))
}

const SEED: &str = "11111111-2222-4333-8444-555555555555";

fn plan(
    case: &Value,
    cases: &BTreeMap<String, Value>,
    version: &str,
    compatibility: Compatibility,
    folder: &Path,
) -> Result<Plan, Error> {
    let (definitions, options) = prepare(case, compatibility, folder)?;
    let sizes = sizes(case, &definitions, outcome(case, version));
    plan_with(case, cases, &definitions, &options, sizes, folder, "image.raw".as_ref())
}

fn plan_with(
    case: &Value,
    cases: &BTreeMap<String, Value>,
    definitions: &Definitions,
    options: &DefinitionOptions,
    sizes: Sizes,
    folder: &Path,
    image_name: &Path,
) -> Result<Plan, Error> {
    let seed = option(case, "--seed").unwrap_or(SEED);
    let image = folder.join("image.raw");
    let empty = match option(case, "--empty").unwrap() {
        "refuse" => Empty::Refuse,
        "allow" => Empty::Allow,
        "create" => Empty::Create,
        other => panic!("{other}"),
    };
    let there = image.exists().then(|| gpt_of(&image)).flatten();
    let table = empty.choose(there.as_ref())?;
    let image_name =
        if cases["split-noraw"] == *case { image_name.with_extension("img") } else { image_name.into() };
    let mut plan_options = PlanOptions::new(seed.parse().unwrap())
        .image(image_name)
        .sizes(sizes)
        .defer(types(case, "--defer-partitions", options))
        .split(option(case, "--split") == Some("yes"))
        .factory_reset(option(case, "--factory-reset") == Some("yes"))
        .relocate(option(case, "--dry-run") == Some("no") || case["name"] != "plan-not-relocated");
    plan_options = match (option(case, "--size"), image.exists()) {
        (Some("auto"), _) => plan_options,
        (Some(size), _) => plan_options.size(ImageSize::Bytes(match size.strip_suffix('M') {
            Some(number) => number.parse::<u64>().unwrap() << 20,
            None => size.parse().unwrap(),
        })),
        (None, true) => plan_options.size(ImageSize::Bytes(fs::metadata(&image).unwrap().len())),
        (None, false) => plan_options,
    };
    if let Some(sector) = option(case, "--sector-size") {
        plan_options = plan_options.sector_size(BlockSize::from_bytes(sector.parse().unwrap()).unwrap());
    }
    if let Some(table) = table {
        plan_options = plan_options.table(table);
    }
    Plan::new(definitions, &plan_options)
}

/// What the two say, without what is not known before the bytes are: root hashes, and GUIDs that follow from them.
fn compare(ours: &Plan, theirs: &Value) -> Vec<String> {
    let ours = serde_json::to_value(ours).unwrap();
    let (ours, theirs) = (ours.as_array().unwrap(), theirs.as_array().unwrap());
    if ours.len() != theirs.len() {
        return vec![format!("{} partitions, theirs {}", ours.len(), theirs.len())];
    }
    let mut differences = Vec::new();
    for (ours, theirs) in ours.iter().zip(theirs) {
        let keys: BTreeSet<&String> =
            ours.as_object().unwrap().keys().chain(theirs.as_object().unwrap().keys()).collect();
        for key in keys {
            let (mine, his) = (&ours[key], &theirs[key]);
            let is_open = match key.as_str() {
                "uuid" => mine.is_null(),
                "roothash" => mine == "TBD" && his.is_string(),
                // with the GUID in it that is still open
                "split_path" => mine.as_str().is_some_and(|path| path.contains("%U")),
                // drop-ins and definitions: the names of files
                "file" if his.is_string() && mine.is_string() => {
                    mine.as_str().unwrap().rsplit('/').next() == his.as_str().unwrap().rsplit('/').next()
                }
                // of an image that is taken over
                "file" => mine.as_str().is_some_and(|path| path.ends_with("/other.raw")),
                "drop-in_files" => {
                    let name = |path: &Value| path.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
                    let names =
                        |list: &Value| list.as_array().map(|list| list.iter().map(name).collect::<Vec<_>>());
                    names(mine) == names(his)
                }
                _ => false,
            };
            if mine != his && !is_open {
                differences.push(format!("{} {key}: {mine}, theirs {his}", theirs["label"]));
            }
        }
    }
    differences
}

/// What a refusal has to say.
fn compare_refusal(error: &Error, outcome: &Value) -> Vec<String> {
    let messages: Vec<&str> =
        outcome["messages"].as_array().unwrap().iter().map(|message| message.as_str().unwrap()).collect();
    let said = messages.join("\n");
    let between = |before: &str, after: &str| {
        let (_, rest) = said.split_once(before)?;
        Some(rest.split(after).next().unwrap().trim_end_matches('.').to_owned())
    };
    match error {
        Error::Plan(PlanFault::NoRoom { largest, needed, .. }) => {
            let theirs = (between("available free space (", ")"), between("disk image size as ", ","));
            let theirs = (
                theirs.0,
                theirs.1.map(|text| text.lines().next().unwrap().trim_end_matches('.').to_owned()),
            );
            let ours = (Some(shown(*largest)), Some(shown(*needed)));
            if ours == theirs { vec![] } else { vec![format!("{ours:?}, theirs {theirs:?}")] }
        }
        Error::Plan(PlanFault::NoTable) if outcome["exit"] == 77 => vec![],
        Error::Plan(PlanFault::SplitClash { .. }) if said.contains("same resolved split name") => vec![],
        Error::Definition { place, .. } if said.contains("SizeMinBytes= larger than SizeMaxBytes=") => {
            assert_eq!(place.file.file_name().unwrap(), "10-a.conf");
            vec![]
        }
        error => vec![format!("{error}, theirs {said}")],
    }
}

/// As systemd prints it.
fn shown(bytes: u64) -> String {
    let Some((unit, shift)) =
        [('G', 30), ('M', 20), ('K', 10)].into_iter().find(|(_, shift)| bytes >> shift > 0)
    else {
        return format!("{bytes}B");
    };
    let tenth = ((bytes >> (shift - 10)) & 1023) * 10 / 1024;
    if tenth == 0 { format!("{}{unit}", bytes >> shift) } else { format!("{}.{tenth}{unit}", bytes >> shift) }
}

/// Every recorded plan, place for place and name for name.
#[test]
fn every_recorded_plan() {
    let Some(cases) = cases() else { return };
    assert_eq!(cases.len(), 66);
    let mut wrong = Vec::new();
    let (mut equal, mut skipped) = (0, 0);
    for (name, case) in &cases {
        for (version, compatibility) in VERSIONS {
            let folder = Folder::new(&format!("{name}-{version}"));
            if !set_up(case, &cases, &folder.0) {
                skipped += 1;
                continue;
            }
            let outcome = outcome(case, version);
            let differences = match plan(case, &cases, version, compatibility, &folder.0) {
                Ok(plan) if !outcome["repart_json"].is_null() => compare(&plan, &outcome["repart_json"]),
                Ok(_) => vec!["a plan, theirs none".to_owned()],
                Err(error) => match outcome["exit"].as_u64() {
                    Some(0) => vec![error.to_string()],
                    _ => compare_refusal(&error, outcome),
                },
            };
            match differences.is_empty() {
                true => equal += 1,
                false => wrong.push(format!("{name} {version}:\n    {}", differences.join("\n    "))),
            }
        }
    }
    println!("{equal} plans equal, {} not, {skipped} skipped", wrong.len());
    assert!(wrong.is_empty(), "{equal} equal; {} not:\n{}", wrong.len(), wrong.join("\n"));
}

/// `stream` of an input: SHA-256 of its name and a counter, over and over.
fn stream(name: &str, bytes: usize) -> Vec<u8> {
    let blocks = (0_u64..).flat_map(|number| {
        let block: [u8; 32] =
            Sha256::new().chain_update(name).chain_update(number.to_le_bytes()).finalize().into();
        block
    });
    blocks.take(bytes).collect()
}

fn sha256_of(path: &Path) -> String {
    let digest = Sha256::digest(fs::read(path).unwrap());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_inputs(case: &Value, folder: &Path) {
    for (name, input) in case["inputs"].as_object().into_iter().flatten() {
        let bytes = input["bytes"].as_u64().unwrap() as usize;
        let content = match input["stream"].as_str() {
            Some(name) => stream(name, bytes),
            None => vec![0; bytes],
        };
        fs::write(folder.join(name), content).unwrap();
    }
    let Some(tree) = case["tree"].as_str() else { return };
    let trees = read_json(&Path::new(CASES).join("inputs.json"));
    for entry in trees["trees"][tree].as_array().unwrap() {
        let at = |key: &str| entry[key].as_str().map(|path| folder.join("tree").join(path));
        let path = if let Some(path) = at("dir") {
            fs::create_dir_all(&path).unwrap();
            path
        } else if let Some(path) = at("link") {
            std::os::unix::fs::symlink(entry["target"].as_str().unwrap(), &path).unwrap();
            continue;
        } else {
            let path = at("file").unwrap();
            let content = match entry["stream"].as_str() {
                Some(name) => stream(name, entry["bytes"].as_u64().unwrap() as usize),
                None => entry["text"].as_str().unwrap().into(),
            };
            fs::write(&path, content).unwrap();
            path
        };
        let mode = u32::from_str_radix(entry["mode"].as_str().unwrap(), 8).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let ran = Command::new("find")
        .args(["tree", "-exec", "touch", "-h", "-d", "@1700000000", "{}", "+"])
        .current_dir(folder)
        .status();
    assert!(ran.unwrap().success());
}

/// Writes the image of a case; what differs.
fn built(
    case: &Value,
    cases: &BTreeMap<String, Value>,
    version: &str,
    compatibility: Compatibility,
    threads: usize,
) -> Result<Vec<String>, Error> {
    let outcome = outcome(case, version);
    let name = case["name"].as_str().unwrap();
    let folder = Folder::new(&format!("write-{name}-{version}-{threads}"));
    write_inputs(case, &folder.0);
    if !set_up(case, cases, &folder.0) {
        return Ok(vec!["skipped".to_owned()]);
    }
    // mke2fs of 257 takes another hash seed each time: the other partition is compared alone
    let is_part = name == "tree-exclude";
    let (definitions, options) = prepare(case, compatibility, &folder.0)?;
    let root = Root::open(&folder.0).unwrap();
    let copy_source = option(case, "--copy-source").map(|source| Root::open(folder.0.join(source)).unwrap());
    let tools = tools();
    let seed = option(case, "--seed").unwrap_or(SEED);
    let mut content =
        ContentOptions::new(&root, &tools, seed.parse().unwrap()).folder(&folder.0).epoch(1_700_000_000);
    if let Some(copy_source) = &copy_source {
        content = content.copy_source(copy_source);
    }
    if let Some(sector) = option(case, "--sector-size") {
        content = content.sector_size(sector.parse().unwrap());
    }
    let contents = Contents::prepare(&definitions, content)?;
    let image = folder.0.join("image.raw");
    let sizes = contents.sizes().clone();
    let plan = plan_with(case, cases, &definitions, &options, sizes, &folder.0, &image)?;
    let key = |what| Path::new(CASES).join(format!("keys/rsa.{what}.pem"));
    let signer = Signer::Key(SigningKey::open(key("key"), None).unwrap());
    let certificate = Certificate::parse(&fs::read(key("crt")).unwrap()).unwrap();
    let mut write_options = WriteOptions::new().threads(threads).replace(image.exists());
    if option(case, "--private-key").is_some() {
        write_options = write_options.signing(Signing::new(&signer, &certificate));
    }
    let written = ddi_build::write(&plan, &definitions, &contents, &write_options)?;
    let mut differences = compare_names(&written.plan, &outcome["repart_json"]);
    let image = if name == "split-noraw" { folder.0.join("image.img") } else { image };
    let (mine, his) = (sha256_of(&image), outcome["image"]["sha256"].as_str().unwrap());
    let bytes = fs::read(&image).unwrap();
    if is_part {
        let first = &written.plan.partitions()[0];
        let part = &bytes[first.offset as usize..(first.offset + first.size) as usize];
        let digest: String = Sha256::digest(part).iter().map(|byte| format!("{byte:02x}")).collect();
        if outcome["partition_sha256"][0] != digest {
            differences.push(format!("partition 0: {digest}"));
        }
    } else if mine != his {
        differences.push(format!("image: {} bytes, theirs {}", bytes.len(), outcome["image"]["size"]));
        for (number, (partition, theirs)) in outcome["sfdisk"]["partitions"]
            .as_array()
            .into_iter()
            .flatten()
            .zip(outcome["partition_sha256"].as_array().into_iter().flatten())
            .enumerate()
        {
            let at = |key: &str| {
                partition[key].as_u64().unwrap() as usize
                    * outcome["sfdisk"]["sectorsize"].as_u64().unwrap() as usize
            };
            let Some(part) = bytes.get(at("start")..at("start") + at("size")) else { continue };
            let digest: String = Sha256::digest(part).iter().map(|byte| format!("{byte:02x}")).collect();
            if *theirs != digest {
                differences.push(format!("partition {number}: {}", partition["name"]));
            }
        }
    }
    // the second run of a case is no split file
    let theirs: Vec<_> = outcome["split"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !name.ends_with(".1"))
        .collect();
    let expected = theirs.len();
    for (name, split) in theirs {
        let path = folder.0.join(name);
        if !path.exists() {
            differences.push(format!("no {name}"));
        } else if sha256_of(&path) != split["sha256"].as_str().unwrap() {
            differences.push(format!(
                "{name} differs: {} bytes, theirs {}",
                fs::metadata(&path).unwrap().len(),
                split["size"]
            ));
        }
    }
    let made = written.split.len();
    if made != expected {
        differences.push(format!("{made} split files"));
    }
    Ok(differences)
}

/// GUIDs and root hashes, which are known now.
fn compare_names(ours: &Plan, theirs: &Value) -> Vec<String> {
    let ours = serde_json::to_value(ours).unwrap();
    let mut differences = Vec::new();
    for (ours, theirs) in ours.as_array().unwrap().iter().zip(theirs.as_array().unwrap()) {
        for key in ["uuid", "roothash"] {
            // those that systemd-repart did not make anew
            let is_old = theirs["roothash"] == "TBD";
            if ours[key] != theirs[key] && !is_old {
                differences.push(format!("{} {key}: {}, theirs {}", theirs["label"], ours[key], theirs[key]));
            }
        }
    }
    differences
}

/// Of the images that programs of others have a part in, those that are equal with the versions that were recorded (mkfs.erofs
/// 1.8.6, dosfstools 4.2, mtools 4.0.48). Not equal, and why:
///
/// | case | |
/// | --- | --- |
/// | erofs of 262 | mkfs.erofs 1.9.4, and `user.validatefs.*` on the root directory |
/// | tree-squashfs | mksquashfs numbers files of a tar stream in another order; sizes and places are equal |
/// | tree-erofs-user | systemd-repart leaves the files to whoever builds; here they are root's |
/// | tree-exclude | the ext4 partition has another hash seed each time in 257, and other blocks; the erofs partition is equal |
/// | tree-ext4 | `Minimize=guess` of ext4 is refused |
const BY_OTHERS: [(&str, &str); 8] = [
    ("tree-erofs", "257"),
    ("tree-erofs-zstd", "257"),
    ("ddi-sysext", "257"),
    ("ddi-confext", "257"),
    ("ddi-portable", "257"),
    ("tree-exclude", "257"),
    ("tree-esp", "257"),
    ("tree-esp", "262"),
];

/// Programs that make file systems: those in `DDI_MKFS_FOLDER` first.
fn tools() -> Tools {
    match std::env::var_os("DDI_MKFS_FOLDER") {
        Some(path) => Tools::new().folder(path),
        None => Tools::new(),
    }
}

/// Images bit for bit, with one thread and with several: all whose bytes do not come from programs of others, and of those
/// eight, where the programs are at hand in the versions that were recorded.
#[test]
fn every_recorded_image() {
    let Some(cases) = cases() else { return };
    let mut wrong = Vec::new();
    let (mut equal, mut by_others, mut left_out) = (0, 0, 0);
    for (name, case) in &cases {
        for (version, compatibility) in VERSIONS {
            let outcome = outcome(case, version);
            if outcome["exit"] != 0 || option(case, "--dry-run") != Some("no") {
                continue;
            }
            let depends = case["bytes_depend_on_mkfs"] == true;
            if depends && (!BY_OTHERS.contains(&(name, version)) || !has_recorded_programs()) {
                left_out += 1;
                // made all the same with the programs that are here, unless these are too old for it
                match built(case, &cases, version, compatibility, 2) {
                    Ok(_) | Err(Error::Tool { .. }) => {}
                    Err(Error::Definition {
                        fault: DefinitionFault::Unsupported { key: "Minimize", .. },
                        ..
                    }) if name == "tree-ext4" => {}
                    Err(error) => wrong.push(format!("{name} {version}: {error}")),
                }
                continue;
            }
            for threads in [1, 4] {
                match built(case, &cases, version, compatibility, threads) {
                    Ok(differences) if differences.is_empty() => {
                        (equal, by_others) =
                            (equal + usize::from(!depends), by_others + usize::from(depends));
                    }
                    Ok(differences) => {
                        wrong.push(format!("{name} {version}:\n    {}", differences.join("\n    ")))
                    }
                    Err(error) => wrong.push(format!("{name} {version}: {error}")),
                }
            }
        }
    }
    let (equal, by_others) = (equal / 2, by_others / 2);
    println!("{equal} images equal, and {by_others} with programs of others; {left_out} not compared");
    assert!(wrong.is_empty(), "{equal} equal; {} not:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(equal, 81);
}

fn has_recorded_programs() -> bool {
    static FOUND: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *FOUND.get_or_init(|| {
        let folder =
            std::env::var_os("DDI_MKFS_FOLDER").map(PathBuf::from).unwrap_or_else(|| "/usr/bin".into());
        let ran = Command::new(folder.join("mkfs.erofs")).arg("-V").output();
        let found = ran.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("1.8.6"));
        if !found {
            println!("skipped: images by programs of others: no mkfs.erofs 1.8.6");
            eprintln!("skipped: images by programs of others: no mkfs.erofs 1.8.6");
        }
        found
    })
}

/// Cases of our own, with the numbers that both versions were seen to give: these are in the repository.
mod own {
    use super::*;

    const SEED: Guid = Guid::from_u128(0x11111111_2222_4333_8444_555555555555);

    fn plan(compatibility: Compatibility, texts: &[(&str, &str)], options: PlanOptions<'_>) -> Plan {
        let definition_options =
            DefinitionOptions::new().native(Architecture::X86_64).compatibility(compatibility);
        let definitions = Definitions::from_texts(texts.iter().copied(), &definition_options).unwrap();
        Plan::new(&definitions, &options).unwrap()
    }

    fn places(plan: &Plan) -> Vec<(u64, u64)> {
        plan.partitions().iter().map(|partition| (partition.offset, partition.size)).collect()
    }

    /// Data of one block and its tree: what the small table leaves goes to both by weight.
    #[test]
    fn small_images_have_room_to_spare() {
        let texts = [
            ("10-root.conf", "[Partition]\nType=root\nCopyBlocks=/d\nVerity=data\nVerityMatchKey=k\n"),
            ("20-hash.conf", "[Partition]\nType=root-verity\nVerity=hash\nVerityMatchKey=k\nMinimize=best\n"),
        ];
        let options = PlanOptions::new(SEED).sizes(Sizes::new().with(0, 4096));
        let found = plan(Compatibility::Repart257, &texts, options.clone());
        assert_eq!(places(&found), [(20480, 516_096), (536_576, 520_192)]);
        assert_eq!(found.geometry().size, 1_077_248);
        assert_eq!(found.trees()[0].params.data_blocks(), 1);
        // 262: not whole 4 KiB; ours: rounded up
        assert_eq!(plan(Compatibility::Repart262, &texts, options.clone()).geometry().size, 1_073_664);
        assert_eq!(plan(Compatibility::Current, &texts, options).geometry().size, 1_077_248);
    }

    /// What ends within a block is protected as a whole, unless the faults of repart are asked for.
    #[test]
    fn the_last_block_of_the_data() {
        let texts = [
            ("10-usr.conf", "[Partition]\nType=usr\nCopyBlocks=/d\nVerity=data\nVerityMatchKey=k\n"),
            ("20-hash.conf", "[Partition]\nType=usr-verity\nVerity=hash\nVerityMatchKey=k\nMinimize=best\n"),
        ];
        let blocks = |compatibility| {
            let options = PlanOptions::new(SEED).sizes(Sizes::new().with(0, 20_992));
            plan(compatibility, &texts, options).trees()[0].params.data_blocks()
        };
        assert_eq!(blocks(Compatibility::Repart257), 5);
        assert_eq!(blocks(Compatibility::Repart262), 5);
        assert_eq!(blocks(Compatibility::Current), 6);
    }

    /// GUIDs and labels of the second and third partition of a type.
    #[test]
    fn names() {
        let text = "[Partition]\nType=linux-generic\nSizeMinBytes=1M\n";
        let texts = [("10-a.conf", text), ("11-b.conf", text), ("12-c.conf", text)];
        let found = plan(Compatibility::Current, &texts, PlanOptions::new(SEED));
        let names: Vec<(String, String)> = found
            .partitions()
            .iter()
            .map(|partition| (partition.label.clone(), partition.guid.unwrap().to_string()))
            .collect();
        assert_eq!(names[1], ("linux-generic-2".into(), "5e832e1e-0cdc-4645-a013-2b135bb2c6bc".into()));
        assert_eq!(names[2], ("linux-generic-3".into(), "6bf815e6-84c8-43d9-acbe-2ab4fb742e54".into()));
        assert_eq!(found.disk_guid().to_string(), "ea7f4643-964f-4528-9db5-281a46917034");
    }

    #[test]
    fn priorities_and_what_is_left() {
        let texts = [
            ("10-a.conf", "[Partition]\nType=home\nSizeMinBytes=30M\n"),
            ("20-b.conf", "[Partition]\nType=srv\nSizeMinBytes=30M\nPriority=1\n"),
            ("30-c.conf", "[Partition]\nType=var\nSizeMinBytes=20M\nPriority=2\n"),
        ];
        let options = PlanOptions::new(SEED).size(ImageSize::Bytes(64 << 20));
        let found = plan(Compatibility::Current, &texts, options);
        assert_eq!(found.partitions().len(), 2);
        assert_eq!(found.dropped().len(), 1);
        assert_eq!((found.dropped()[0].priority, found.dropped()[0].min_size), (2, 20 << 20));
    }

    #[test]
    fn split_names() {
        let of = |first: &str, second: &str| {
            let first = format!("[Partition]\nType=srv\nSizeMinBytes=1M\nSplitName={first}\n");
            let second = format!("[Partition]\nType=home\nSizeMinBytes=1M\nSplitName={second}\n");
            let definitions = Definitions::from_texts(
                [("1.conf", &*first), ("2.conf", &*second)],
                &DefinitionOptions::new(),
            )
            .unwrap();
            let plan = Plan::new(&definitions, &PlanOptions::new(SEED).split(true).image("/a/b.raw"))?;
            Ok::<_, Error>(plan.split_path(&plan.partitions()[0]))
        };
        assert_eq!(of("%t-%n", "x").unwrap(), Some("/a/b.srv-0.raw".into()));
        assert_eq!(of("-", "x").unwrap(), None);
        let clash = of("x", "x").unwrap_err().to_string();
        assert_eq!(clash, "1.conf:4 and 2.conf:4 have the same file name b.x.raw");
        for bad in ["a/b", "../x", "%z", "%m"] {
            assert!(of(bad, "x").is_err(), "{bad}");
        }
        assert!(of(&"a".repeat(250), "x").is_err());
    }

    /// A disk with a hole of 1 MiB and 60 MiB of free space behind: what fills the hole is numbered first, and a partition
    /// that nobody defines keeps its empty label in the table, whatever is shown for it. Both as seen with version 257.
    #[test]
    fn into_a_table_that_is_there() {
        let guid = |name: &str| PartitionType::from_name(name, None).unwrap().guid().unwrap();
        let partition = |kind: &str, number: u128, first, last| {
            ddi_gpt::NewPartition::new(guid(kind), Guid::from_u128(number))
                .lbas(ddi_gpt::LbaRange::new(first, last))
        };
        let table = ddi_gpt::Builder::new(64 << 20, BlockSize::B512, Guid::from_u128(9))
            .partition(partition("linux-generic", 1, 4096, 6143))
            .partition(partition("linux-generic", 2, 8192, 10_239))
            .build()
            .unwrap();
        let texts = [
            ("10-var.conf", "[Partition]\nType=var\nSizeMinBytes=10M\n"),
            ("20-srv.conf", "[Partition]\nType=srv\nSizeMinBytes=512K\n"),
        ];
        let options = PlanOptions::new(SEED).table(table.gpt());
        let found = plan(Compatibility::Repart257, &texts, options);
        let numbers: Vec<_> = found.partitions().iter().map(|it| (it.label.as_str(), it.number)).collect();
        assert_eq!(numbers, [("var", 3), ("srv", 2), ("linux-generic", 0), ("linux-generic-2", 1)]);
        let written = found.table().unwrap();
        assert!(written.gpt().partition(1).unwrap().name.is_empty());
        assert_eq!(written.gpt().partition(4).unwrap().name.label().as_deref(), Some("var"));
    }

    /// What has no free space behind it and wants some does not fit.
    #[test]
    fn padding_that_is_not_there() {
        let guid = |name: &str| PartitionType::from_name(name, None).unwrap().guid().unwrap();
        let partition = |kind: &str, number: u128, first, last| {
            ddi_gpt::NewPartition::new(guid(kind), Guid::from_u128(number))
                .lbas(ddi_gpt::LbaRange::new(first, last))
        };
        let table = ddi_gpt::Builder::new(64 << 20, BlockSize::B512, Guid::from_u128(9))
            .partition(partition("home", 1, 2048, 4095))
            .partition(partition("srv", 2, 4096, 6143))
            .build()
            .unwrap();
        let plan = |padding: &str| {
            let text = format!("[Partition]\nType=home\nSizeMinBytes=1M\nPaddingMinBytes={padding}\n");
            let definitions =
                Definitions::from_texts([("10-home.conf", &*text)], &DefinitionOptions::new()).unwrap();
            Plan::new(&definitions, &PlanOptions::new(SEED).table(table.gpt()))
        };
        assert!(plan("0").is_ok());
        assert!(matches!(plan("1M"), Err(Error::Plan(PlanFault::NoRoom { .. }))));
    }
}
