//! `ddi verity repair`, and what `ddi verity verify` says of damage when there is parity.

use std::fs;

use serde_json::{Value, json};

use crate::hostile::faults::{FAULTS, assert_at_least, assert_told, at_every_call};
use crate::hostile::format_faults::strace_works;
use crate::support::{Chance, Ended, Folder, ddi, require_tool, run};

/// Data with tree and parity, each in a file of its own.
struct Setup {
    folder: Folder,
    data: String,
    hash: String,
    fec: String,
    root_hash: String,
    bytes: Vec<u8>,
    tree: Vec<u8>,
}

const BLOCK: usize = 4096;

impl Setup {
    /// 600 blocks, so that there are three rows of codewords.
    fn new(roots: u32) -> Self {
        Self::with(roots, "ddi")
    }

    fn with(roots: u32, tool: &str) -> Self {
        let folder = Folder::new();
        let bytes = Chance(7).bytes(600 * BLOCK);
        let data = folder.write("data", &bytes);
        let (hash, fec) = (folder.file("hash"), folder.file("fec"));
        let options =
            ["--fec-device", &fec, "--fec-roots", &roots.to_string(), "--salt=0011"].map(str::to_owned);
        let args = ["format".to_owned(), data.clone(), hash.clone()].into_iter().chain(options);
        let ended = match tool {
            "ddi" => ddi(["verity".to_owned()].into_iter().chain(args)),
            other => run(other, args),
        };
        assert!(ended.ok(), "{ended:?}");
        let root = ended.stdout.lines().find_map(|line| line.strip_prefix("Root hash:"));
        let root_hash = root.unwrap().trim().to_owned();
        let tree = fs::read(&hash).unwrap();
        Setup { folder, data, hash, fec, root_hash, bytes, tree }
    }

    fn damage(&self, blocks: impl IntoIterator<Item = usize>) {
        let mut bytes = fs::read(&self.data).unwrap();
        for block in blocks {
            bytes[block * BLOCK..][..BLOCK].fill(0xee);
        }
        fs::write(&self.data, bytes).unwrap();
    }

    fn restore(&self) {
        fs::write(&self.data, &self.bytes).unwrap();
        fs::write(&self.hash, &self.tree).unwrap();
    }

    fn args<'a>(&'a self, command: &'a str, options: &[&'a str]) -> Vec<&'a str> {
        let args = ["verity", command, &self.data, &self.hash, &self.root_hash, "--fec-device", &self.fec];
        args.into_iter().chain(options.iter().copied()).collect()
    }

    fn repair(&self, options: &[&str]) -> Ended {
        ddi(self.args("repair", options))
    }

    fn verify(&self, data: &str) -> bool {
        ddi(["verity", "verify", data, &self.hash, &self.root_hash]).ok()
    }
}

fn ranges(list: &[[u64; 2]]) -> Value {
    let count: u64 = list.iter().map(|[first, last]| last - first + 1).sum();
    json!({ "count": count, "ranges": list, "truncated": false })
}

#[test]
fn to_a_new_file() {
    let setup = Setup::new(4);
    // four neighbours in each of three rows
    setup.damage(100..112);
    let out = setup.folder.file("healed");
    let ended = setup.repair(&["-o", &out]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.stdout,
        "parity: 4 roots, 3 rounds, over 6 hash blocks\nhealed: data blocks: 12 (100-111)\n"
    );
    assert_eq!(fs::read(&out).unwrap(), setup.bytes);
    assert!(!setup.verify(&setup.data) && setup.verify(&out));
    assert_eq!(setup.folder.names(), ["data", "fec", "fec.fec.json", "hash", "healed"]);
}

#[test]
fn what_cannot_be_healed_is_named_and_nothing_is_written() {
    let setup = Setup::new(2);
    // two of row 1, three of row 2
    setup.damage([1, 301, 2, 302, 305]);
    let before = fs::read(&setup.data).unwrap();
    let out = setup.folder.file("healed");
    for options in [&["-o", &out, "--json"][..], &["--in-place", "--json"]] {
        let ended = setup.repair(options);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let found = ended.json();
        assert_eq!(found["data"]["healed"], ranges(&[[1, 1], [301, 301]]));
        assert_eq!(found["data"]["lost"], ranges(&[[2, 2], [302, 302], [305, 305]]));
        assert_eq!((&found["whole"], &found["written"]), (&json!(false), &json!(false)));
        assert_eq!(setup.folder.names(), ["data", "fec", "fec.fec.json", "hash"]);
        assert_eq!(fs::read(&setup.data).unwrap(), before);
    }
    let ended = setup.repair(&["--in-place", "--partial"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("parity cannot heal: data blocks: 3 (2, 302, 305)\n"), "{ended:?}");
    let after = fs::read(&setup.data).unwrap();
    for block in 0..600 {
        let range = block * BLOCK..(block + 1) * BLOCK;
        let expected = if [2, 302, 305].contains(&block) { &before } else { &setup.bytes };
        assert!(after[range.clone()] == expected[range], "block {block}");
    }
}

#[test]
fn in_place_with_a_damaged_tree() {
    let setup = Setup::new(4);
    setup.damage([7, 8]);
    let mut tree = setup.tree.clone();
    // the top block, and one of level 0
    tree[BLOCK + 100] ^= 1;
    tree[3 * BLOCK..4 * BLOCK].fill(0);
    fs::write(&setup.hash, &tree).unwrap();
    let ended = setup.repair(&["-o", &setup.folder.file("out")]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("--hash-output"), "{ended:?}");
    assert_eq!(setup.folder.names(), ["data", "fec", "fec.fec.json", "hash"]);

    let (out, hash_out) = (setup.folder.file("out"), setup.folder.file("hash-out"));
    let ended = setup.repair(&["-o", &out, "--hash-output", &hash_out]);
    assert!(ended.ok(), "{ended:?}");
    assert!(fs::read(&out).unwrap() == setup.bytes && fs::read(&hash_out).unwrap() == setup.tree);

    let ended = setup.repair(&["--in-place"]);
    assert!(ended.ok(), "{ended:?}");
    assert!(ended.stdout.contains("healed: hash blocks in level 1: 1 (0)\n"), "{ended:?}");
    assert!(fs::read(&setup.data).unwrap() == setup.bytes && fs::read(&setup.hash).unwrap() == setup.tree);
    let ended = setup.repair(&["--in-place"]);
    assert!(ended.ok() && ended.stdout.ends_with("nothing to heal\n"), "{ended:?}");
}

#[test]
fn verify_says_what_parity_can_heal() {
    let setup = Setup::new(2);
    setup.damage([1, 301, 2, 302, 305]);
    let before = fs::read(&setup.data).unwrap();
    let ended = ddi(setup.args("verify", &[]));
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.stdout,
        "NOT PROVEN\ncorrupt data blocks: 5 (1-2, 301-302, 305)\n\
         parity: 2 roots, 3 rounds, over 6 hash blocks\n\
         parity can heal: data blocks: 2 (1, 301)\n\
         parity cannot heal: data blocks: 3 (2, 302, 305)\n"
    );
    let found = ddi(setup.args("verify", &["--json"])).json();
    assert_eq!(found["proven"], json!(false));
    assert_eq!(found["healable"]["data"]["healed"], ranges(&[[1, 1], [301, 301]]));
    assert_eq!(found["fec"]["roots"], json!(2));
    assert_eq!(fs::read(&setup.data).unwrap(), before);
    setup.restore();
    let ended = ddi(setup.args("verify", &[]));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
}

/// Roots are found whoever made the parity, also when the tree now lies in a file of another size.
#[test]
fn what_parity_covers_is_found_by_trying() {
    if !require_tool("veritysetup") {
        return;
    }
    for roots in [2, 3, 5, 12, 23, 24] {
        let setup = Setup::with(roots, "veritysetup");
        setup.damage([50]);
        let found = setup.repair(&["--in-place", "--json"]).json();
        assert_eq!((&found["fec"]["roots"], &found["whole"]), (&json!(roots), &json!(true)));
        assert!(fs::read(&setup.data).unwrap() == setup.bytes);

        // something behind the tree, that was not there
        let mut hash = setup.tree.clone();
        hash.extend(Chance(3).bytes(5 * BLOCK));
        fs::write(&setup.hash, &hash).unwrap();
        setup.damage([51]);
        let ended = setup.repair(&["--in-place", "--json"]);
        assert_eq!(ended.json()["whole"], json!(true), "{ended:?}");
        assert!(fs::read(&setup.data).unwrap() == setup.bytes);
        setup.damage([52]);
        let ended =
            setup.repair(&["--in-place", "--fec-roots", &roots.to_string(), "--fec-hash-blocks", "6"]);
        assert!(ended.ok(), "{ended:?}");
    }
}

/// The vector at which `veritysetup verify` says that all is repairable, and a decoder of errors alone makes wrong bytes.
#[test]
fn three_errors_of_four_roots() {
    let setup = Setup::new(4);
    let mut bytes = setup.bytes.clone();
    for (block, value) in [(11, 0x0c), (101, 0x01), (200, 0x02)] {
        bytes[block * BLOCK + 1234] ^= value;
    }
    fs::write(&setup.data, &bytes).unwrap();
    let out = setup.folder.file("out");
    let ended = setup.repair(&["-o", &out]);
    assert!(ended.ok(), "{ended:?}");
    assert_eq!(fs::read(&out).unwrap(), setup.bytes);
}

#[test]
fn nothing_is_written_over_what_is_read() {
    let setup = Setup::new(2);
    setup.damage([5]);
    let before = fs::read(&setup.data).unwrap();
    let root_file = setup.folder.write("root", setup.root_hash.as_bytes());
    for path in [&setup.data, &setup.hash, &setup.fec] {
        let ended = setup.repair(&["-o", path]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let ended = setup.repair(&["-o", &setup.folder.file("out"), "--hash-output", path]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
    let out = setup.folder.file("out");
    assert_eq!(setup.repair(&["-o", &out, "--hash-output", &out]).code, Some(2));
    assert_eq!(setup.repair(&["-o", &root_file]).code, Some(2));
    assert_eq!(setup.repair(&[]).code, Some(2));
    assert_eq!(fs::read(&setup.data).unwrap(), before);
    assert_eq!(setup.folder.names(), ["data", "fec", "fec.fec.json", "hash", "root"]);
}

/// A kill, an error and no room at each call that writes: each block is as it was or as it should be, success is never claimed
/// without need, and the same command then finishes.
#[test]
fn in_place_each_block_is_old_or_new_and_a_rerun_finishes() {
    if !strace_works() {
        return;
    }
    let setup = Setup::new(2);
    for name in ["out", "tmp"] {
        fs::create_dir(setup.folder.file(name)).unwrap();
    }
    // two in each of two rows; in the third is the hash block
    let damaged = [12, 14, 15, 17];
    let args = setup.args("repair", &["--in-place", "--threads", "1"]);
    let prepare = || {
        setup.restore();
        setup.damage(damaged);
        let mut tree = setup.tree.clone();
        tree[2 * BLOCK..3 * BLOCK].fill(0xdd);
        fs::write(&setup.hash, &tree).unwrap();
    };
    for kind in FAULTS {
        let calls = ["pwrite64", "fsync", "write", "unlink"];
        let faults = at_every_call(kind, &setup.folder, (&calls, &args), prepare, |ended, fault| {
            if fault.is_error() && !fault.to_string().contains("unlink") {
                assert_told(ended, fault);
            }
            let now = fs::read(&setup.data).unwrap();
            for block in 0..600 {
                let bytes = &now[block * BLOCK..][..BLOCK];
                let is_old = damaged.contains(&block) && bytes.iter().all(|&byte| byte == 0xee);
                assert!(is_old || *bytes == setup.bytes[block * BLOCK..][..BLOCK], "{fault}: block {block}");
            }
            if ended.ok() {
                assert!(now == setup.bytes && fs::read(&setup.hash).unwrap() == setup.tree, "{fault}");
            }
            let again = setup.repair(&["--in-place"]);
            assert!(again.ok(), "{fault}: {again:?}");
            assert!(fs::read(&setup.data).unwrap() == setup.bytes, "{fault}");
            assert!(fs::read(&setup.hash).unwrap() == setup.tree, "{fault}");
            let left = setup.folder.names().into_iter().filter(|name| name.contains("ddi-repair")).count();
            assert_eq!(left, 0, "{fault}");
        });
        // four blocks and one of the tree, each at its place; the journal, its folder, tree and data
        assert_at_least(&faults, &[("pwrite64", 5), ("fsync", 4), ("write", 5)]);
    }
}
