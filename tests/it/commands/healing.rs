//! `ddi read`, `ls`, `cat`, `extract` and `mtree` of a damaged image with parity, and the record beside parity.

use std::fs;
use std::process::Command;
use std::sync::Mutex;

use ddi_core::{Dissection, FecDevice, Image, Role, Trust};
use ddi_gpt::{Guid, verity_guids};
use ddi_verity::{FecLayout, Options, ReadAt, Section};
use serde_json::{Value, json};

use crate::support::image::{ImageBuilder, erofs, hash_tree};
use crate::support::{Chance, DDI, Ended, Folder, ddi};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
const ROOT_HASH: &str = "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb";
const BLOCK: usize = 4096;

/// An image, where data and tree are in it, and its parity.
struct Setup {
    folder: Folder,
    path: String,
    fec: String,
    bytes: Vec<u8>,
    parity: Vec<u8>,
    layout: FecLayout,
    data: usize,
    hash: usize,
    tree: std::ops::Range<u64>,
}

fn dissected(path: &str) -> Dissection {
    Image::open(path).unwrap().dissect(&Trust::root_hash(ROOT_HASH.parse().unwrap()))
}

impl Setup {
    fn new(roots: u32) -> Self {
        let folder = Folder::new();
        let bytes = fs::read(SAMPLE).unwrap();
        let disk = dissected(SAMPLE);
        let set = disk.verity_sets().iter().find(|set| set.role == Role::Root).unwrap();
        let tree = set.tree.as_ref().unwrap();
        let (data, hash) = (set.data.unwrap().range, set.hash.range);
        let layout = FecLayout::new(tree, roots, hash.size).unwrap();
        let section = |range: ddi_gpt::ByteRange| Section::new(&bytes, range.offset, range.size).unwrap();
        let parity = Mutex::new(Vec::new());
        layout.encode(&section(data), &section(hash), &parity, 0, &Options::new()).unwrap();
        let parity = parity.into_inner().unwrap();
        let path = folder.write("sample.raw", &bytes);
        let fec = folder.write("sample.fec", &parity);
        let (data, hash, tree) = (data.offset as usize, hash.offset as usize, tree.layout().tree());
        Setup { folder, path, fec, parity, layout, data, hash, tree, bytes }
    }

    /// Spoils data blocks, and blocks of the tree from its top.
    fn damage(&self, data: &[usize], tree: &[usize]) {
        let mut bytes = self.bytes.clone();
        let tree_start = self.hash + self.tree.start as usize;
        let places = data.iter().map(|block| self.data + block * BLOCK);
        for at in places.chain(tree.iter().map(|block| tree_start + block * BLOCK)) {
            bytes[at..][..BLOCK].iter_mut().for_each(|byte| *byte ^= 0x5e);
        }
        fs::write(&self.path, bytes).unwrap();
    }

    fn run(&self, command: &str, more: &[&str]) -> Ended {
        ddi([command, &self.path, "--root-hash", ROOT_HASH].into_iter().chain(more.iter().copied()))
    }

    fn with_parity(&self, command: &str, more: &[&str]) -> Ended {
        self.run(command, &[more, &["--fec-device", &self.fec]].concat())
    }
}

/// How `ddi mtree` says it of the image as it was.
fn mtree() -> String {
    ddi(["mtree", SAMPLE, "--root-hash", ROOT_HASH]).unwrap()
}

#[test]
fn a_damaged_image_is_read_as_it_was() {
    let setup = Setup::new(8);
    let blocks = setup.layout.data_blocks() as usize;
    // the superblock of the file system, some that follow, the last one; all of one row, and some of the tree
    for (data, tree) in [
        (&[0, 1, 2, blocks - 1][..], &[][..]),
        (&[], &[0]),
        (&[0, 3], &[0]),
        (&[0, 1, 2, 3, 4, 5, 6, 7], &[]),
    ] {
        setup.damage(data, tree);
        let ended = setup.with_parity("mtree", &[]);
        assert!(ended.ok(), "{data:?} {tree:?}: {ended:?}");
        assert!(ended.stdout == mtree(), "{data:?} {tree:?}");
        assert!(ended.stderr.contains("damaged blocks were healed by parity and proven"), "{ended:?}");
        let out = setup.folder.file("out");
        let ended = setup.with_parity("read", &["-p", "root", "-o", &out]);
        assert!(ended.ok(), "{ended:?}");
        let size = blocks * BLOCK;
        assert!(fs::read(&out).unwrap() == setup.bytes[setup.data..][..size]);
        let parts = [(data.len(), "of data"), (tree.len(), "of the hash tree")];
        for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
            assert!(ended.stderr.contains(&format!("{count} {what}")), "{ended:?}");
        }
        fs::remove_file(out).unwrap();

        // nobody heals what nobody offers parity for
        let ended = setup.run("read", &["-p", "root"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("does not match its digest"), "{ended:?}");
        assert_eq!(setup.run("mtree", &[]).code, Some(1));
    }
}

#[test]
fn each_command_heals_and_says_so() {
    let setup = Setup::new(2);
    setup.damage(&[0], &[]);
    let whole = |command: &str, more: &[&str]| {
        ddi([command, SAMPLE, "--root-hash", ROOT_HASH].into_iter().chain(more.iter().copied())).unwrap()
    };
    for (command, more) in [("ls", &["-lR"][..]), ("cat", &["/usr/lib/os-release"]), ("mtree", &["/usr"])] {
        let ended = setup.with_parity(command, more);
        assert!(ended.ok() && ended.stdout == whole(command, more), "{ended:?}");
        assert_eq!(
            ended.stderr,
            "ddi: warning: damaged blocks were healed by parity and proven: 1 of data\n"
        );
        assert_eq!(setup.run(command, more).code, Some(1));
    }
    let out = setup.folder.file("usr");
    assert!(setup.with_parity("extract", &["/usr", &out]).ok());
    assert_eq!(
        fs::read_to_string(format!("{out}/lib/os-release")).unwrap(),
        whole("cat", &["/usr/lib/os-release"])
    );
    // no damage, nothing to say
    fs::write(&setup.path, &setup.bytes).unwrap();
    let ended = setup.with_parity("cat", &["/usr/lib/os-release"]);
    assert!(ended.ok() && ended.stderr.is_empty(), "{ended:?}");
    // parity proves nothing: what is damaged is damaged
    setup.damage(&[0], &[]);
    assert_eq!(ddi(["verify", &setup.path, "--root-hash", ROOT_HASH]).code, Some(1));
    assert_eq!(setup.run("cat", &["/etc/os-release", "--fec-device", "/nowhere"]).code, Some(2));
    let args = ["cat", &setup.path, "/etc/os-release", "--unverified", "--fec-device", &setup.fec];
    assert_eq!(ddi(args).code, Some(2));
    // never over the parity
    assert_eq!(setup.with_parity("read", &["-p", "root", "-o", &setup.fec]).code, Some(2));
    assert!(fs::read(&setup.fec).unwrap() == setup.parity);
}

/// Parity that lies, is of something else, or is damaged where it is needed: the error that there is without it.
#[test]
fn lying_parity_gives_no_wrong_byte() {
    let setup = Setup::new(4);
    let all = setup.layout.hash_blocks().to_string();
    let given = ["--fec-roots=4", "--fec-hash-blocks", &all];
    let original = &setup.bytes[setup.data..][..setup.layout.data_blocks() as usize * BLOCK];
    setup.damage(&[3], &[]);
    let without = setup.run("read", &["-p", "root"]);
    let mut chance = Chance(5);
    let mut shifted = setup.parity.clone();
    shifted.rotate_left(4);
    for parity in [chance.bytes(setup.parity.len()), vec![0; setup.parity.len()], shifted] {
        fs::write(&setup.fec, parity).unwrap();
        let options = [&["read", &setup.path, "--root-hash", ROOT_HASH, "-p", "root"][..], &given].concat();
        let output = Command::new(DDI).args(options).args(["--fec-device", &setup.fec]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&output.stderr), without.stderr);
        assert!(original.starts_with(&output.stdout));
        // nor if nobody says how it was made
        let ended = setup.with_parity("read", &["-p", "root"]);
        assert_eq!((ended.code, &ended.stderr), (Some(1), &without.stderr));
    }
    // more damage than parity can heal
    fs::write(&setup.fec, &setup.parity).unwrap();
    let rounds = setup.layout.rounds() as usize;
    let many: Vec<usize> = (0..5).map(|symbol| symbol * rounds).collect();
    setup.damage(&many, &[]);
    let (with, without) = (setup.with_parity("read", &["-p", "root"]), setup.run("read", &["-p", "root"]));
    assert_eq!((with.code, with.stderr), (without.code, without.stderr));
}

/// Parity behind the tree in the hash partition, which is named by the image.
#[test]
fn parity_in_the_hash_partition() {
    let folder = Folder::new();
    let data = erofs(300, 1);
    let (root_hash, mut hash) = hash_tree(&data);
    let offset = hash.len() as u64;
    let superblock = ddi_verity::Superblock::read(&hash, 0).unwrap();
    let placement = ddi_verity::Placement::Superblock(0);
    let tree = ddi_verity::HashTree::new(superblock.params, placement).unwrap();
    let layout = FecLayout::new(&tree, 3, offset).unwrap();
    let parity = Mutex::new(Vec::new());
    layout.encode(&data, &hash, &parity, 0, &Options::new()).unwrap();
    hash.extend(parity.into_inner().unwrap());
    let (data_guid, hash_guid): (Guid, Guid) = verity_guids(root_hash.as_bytes()).unwrap();
    let image = ImageBuilder::new()
        .with_guid("root-x86-64", data_guid, "os_1", data.clone())
        .with_guid("root-x86-64-verity", hash_guid, "os_1", hash)
        .build();
    let mut bytes = image.bytes.clone();
    bytes[image.partitions[0].offset as usize + 77 * BLOCK..][..BLOCK].fill(0);
    let path = folder.write("image.raw", &bytes);
    let root = root_hash.to_string();
    let offset = offset.to_string();
    for more in [&["--fec-roots=3"][..], &[]] {
        let args = ["read", &path, "-p", "root", "--root-hash", &root, "--fec-device", &path];
        let args = [&args[..], &["--fec-offset", &offset], more].concat();
        let output = Command::new(DDI).args(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stdout == data);
    }
}

/// The same by the library: one line more than without parity.
#[test]
fn a_dissection_with_parity() {
    let setup = Setup::new(2);
    setup.damage(&[0, 1], &[]);
    assert!(dissected(&setup.path).mount().is_err());
    let source = ddi_verity::FileSource::open(&setup.fec).unwrap();
    let fec = FecDevice::new(Role::Root, std::sync::Arc::new(source), 0);
    let disk = dissected(&setup.path).with_fec([fec.clone()]);
    let os_release = disk.mount().unwrap().read("/usr/lib/os-release").unwrap();
    assert_eq!(os_release, dissected(SAMPLE).mount().unwrap().read("/usr/lib/os-release").unwrap());
    let partition = disk.partition(Role::Root).unwrap();
    let mut block = vec![0; BLOCK];
    partition.read_exact_at(BLOCK as u64, &mut block).unwrap();
    assert!(block == setup.bytes[setup.data + BLOCK..][..BLOCK]);
    assert!(partition.stats().unwrap().healed_data_blocks() >= 1);
    assert!(fec.stats().healed_data_blocks() >= 2);
    assert!(!disk.verify().unwrap().is_authentic());
}

/// Data, tree and parity in files, and the record that was written with them.
struct Files {
    folder: Folder,
    data: String,
    hash: String,
    fec: String,
    root: String,
    bytes: Vec<u8>,
}

impl Files {
    fn new(roots: &str) -> Self {
        let folder = Folder::new();
        let bytes = Chance(3).bytes(300 * BLOCK);
        let data = folder.write("data", &bytes);
        let (hash, fec) = (folder.file("hash"), folder.file("data.fec"));
        let made =
            ddi(["verity", "format", &data, &hash, "--fec-device", &fec, "--fec-roots", roots]).unwrap();
        let root = made.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim().to_owned();
        Files { folder, data, hash, fec, root, bytes }
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder.file("data.fec.json")).unwrap()).unwrap()
    }

    fn spoil(&self) {
        let mut bytes = self.bytes.clone();
        bytes[7 * BLOCK..][..BLOCK].fill(1);
        fs::write(&self.data, bytes).unwrap();
    }

    fn repair(&self, more: &[&str]) -> Ended {
        self.spoil();
        let args =
            ["verity", "repair", &self.data, &self.hash, &self.root, "--fec-device", &self.fec, "--in-place"];
        ddi(args.into_iter().chain(more.iter().copied()))
    }

    fn is_healed(&self) -> bool {
        fs::read(&self.data).unwrap() == self.bytes
    }
}

#[test]
fn a_record_is_written_and_read() {
    let files = Files::new("5");
    assert_eq!(
        files.record(),
        json!({
            "schema": "ddi.fec/1", "rootHash": files.root, "roots": 5, "offset": 0, "size": 5 * 2 * 4096,
            "blockSize": 4096, "dataBlocks": 300, "hashBlocks": 4, "rounds": 2,
        })
    );
    let ended = files.repair(&[]);
    assert!(ended.ok() && files.is_healed(), "{ended:?}");
    // it is believed: another number of roots, and nothing is healed
    let mut record = files.record();
    (record["roots"], record["size"]) = (json!(4), json!(4 * 2 * 4096));
    let path = files.folder.write("data.fec.json", record.to_string().as_bytes());
    let ended = files.repair(&[]);
    assert!(ended.code == Some(1) && !files.is_healed(), "{ended:?}");
    // but options are believed more
    assert!(files.repair(&["--fec-roots=5"]).ok() && files.is_healed());
    fs::write(&path, "not JSON").unwrap();
    assert!(files.repair(&["--fec-roots=5", "--fec-hash-blocks=4"]).ok() && files.is_healed());
    // without one it is found out
    fs::remove_file(&path).unwrap();
    assert!(files.repair(&[]).ok() && files.is_healed());
    // a new one replaces an old one, and nothing else
    let format = || ddi(["verity", "format", &files.data, &files.hash, "--fec-device", &files.fec]);
    fs::write(&path, record.to_string()).unwrap();
    assert!(format().ok());
    assert_eq!(files.record()["roots"], json!(2));
    fs::write(&path, r#"{"schema": "other/1"}"#).unwrap();
    let ended = format();
    assert!(ended.code == Some(2) && ended.stderr.contains("data.fec.json: is there"), "{ended:?}");
    fs::remove_file(&path).unwrap();
    let ended = ddi(["verity", "format", &files.data, &path, "--fec-device", &files.fec]);
    assert!(ended.code == Some(2) && !fs::exists(&path).unwrap(), "{ended:?}");
}

/// A record that is wrong in any way is an error that names it, and nothing is done.
#[test]
fn a_wrong_record_is_named() {
    let files = Files::new("2");
    let good = files.record();
    let big = u64::MAX;
    let mut cases: Vec<(Value, &str)> = [
        ("schema", json!("ddi.fec/2"), "expected \"ddi.fec/1\""),
        ("schema", json!(null), "has no \"schema\""),
        ("rootHash", json!("11".repeat(32)), "for root hash 1111"),
        ("rootHash", json!(7), "\"rootHash\" is missing"),
        ("roots", json!(1), "says 1 roots"),
        ("roots", json!(25), "says 25 roots"),
        ("roots", json!(big), "roots"),
        ("roots", json!(-2), "\"roots\" is missing"),
        ("blockSize", json!(512), "says 512 bytes a block"),
        ("dataBlocks", json!(301), "says 301 data blocks"),
        ("hashBlocks", json!(3), "says 3 hash blocks"),
        ("hashBlocks", json!(big), "hash blocks"),
        ("hashBlocks", json!(400), "rounds"),
        ("rounds", json!(1), "says 1 rounds"),
        ("rounds", json!(big), "bytes"),
        ("size", json!(1), "says 1 bytes"),
        ("offset", json!(7), "multiple of 512"),
        ("offset", json!(4096), "of parity, there are"),
        ("offset", json!(big - 511), "of parity, there are 0"),
    ]
    .into_iter()
    .map(|(key, value, text)| {
        let mut record = good.clone();
        record[key] = value;
        (record, text)
    })
    .collect();
    cases.push((json!([1]), "has no \"schema\""));
    cases.push((Value::String("x".repeat(1 << 17)), "more than"));
    let path = files.folder.file("data.fec.json");
    for (record, text) in cases {
        fs::write(&path, record.to_string()).unwrap();
        let ended = files.repair(&[]);
        assert_eq!(ended.code, Some(2), "{text}: {ended:?}");
        assert!(ended.stderr.contains(text) && ended.stderr.contains("data.fec.json"), "{text}: {ended:?}");
        assert!(!files.is_healed());
        let args = ["verity", "verify", &files.data, &files.hash, &files.root, "--fec-device", &files.fec];
        assert_eq!(ddi(args).code, Some(2), "{text}");
    }
}

/// The record of parity for an image: read by the commands that read files.
#[test]
fn a_record_beside_the_parity_of_an_image() {
    let setup = Setup::new(7);
    setup.damage(&[0, 1, 2], &[]);
    let record = json!({
        "schema": "ddi.fec/1", "rootHash": ROOT_HASH, "roots": 7, "offset": 0,
        "size": setup.layout.parity_size(), "blockSize": 4096, "dataBlocks": setup.layout.data_blocks(),
        "hashBlocks": setup.layout.hash_blocks(), "rounds": setup.layout.rounds(),
    });
    let path = setup.folder.write("sample.fec.json", record.to_string().as_bytes());
    let ended = setup.with_parity("mtree", &[]);
    assert!(ended.ok() && ended.stdout == mtree(), "{ended:?}");
    let mut other = record.clone();
    other["dataBlocks"] = json!(1);
    fs::write(&path, other.to_string()).unwrap();
    for (command, more) in [("mtree", &[][..]), ("read", &["-p", "root"])] {
        let ended = setup.with_parity(command, more);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("sample.fec.json: says 1 data blocks"), "{ended:?}");
    }
}
