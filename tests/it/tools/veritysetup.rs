//! `ddi verity` and veritysetup, both ways: the same arguments, the same bytes, the same answers.

use std::fs;

use crate::support::{Chance, Folder, ddi, in_parallel, number_from_env, require_tool, run};

/// A hash tree to make, as arguments for either tool.
#[derive(Debug)]
struct Shape {
    data: Vec<u8>,
    /// Of `format` and, without a superblock or for the unusual, of `verify`.
    options: Vec<String>,
    same_file: bool,
    hash_offset: u64,
    data_blocks: u64,
    data_block_size: u64,
    superblock: bool,
}

/// Numbers of blocks around which trees get a level more, for 4096-byte hash blocks of 32-byte digests and others.
const EDGES: [u64; 16] = [1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 257];

impl Shape {
    fn random(chance: &mut Chance) -> Self {
        let algorithm = *chance.pick(&["sha256", "sha256", "sha384", "sha512"]);
        let hash_type = if chance.one_in(4) { "0" } else { "1" };
        let data_block_size = *chance.pick(&[512, 1024, 2048, 4096, 4096]);
        let hash_block_size: u64 = *chance.pick(&[512, 1024, 2048, 4096, 4096]);
        let mut blocks = if chance.one_in(2) { *chance.pick(&EDGES) } else { 1 + chance.below(700) };
        if chance.one_in(50) {
            // 128² of the usual blocks is too much to do often
            blocks = 16383 + chance.below(3);
        }
        let data_block_size = if blocks > 1000 { 512 } else { data_block_size };
        let size = (blocks * data_block_size) as usize;
        // zeros too: they are what most images have most of
        let data = if chance.one_in(8) { vec![0; size] } else { chance.bytes(size) };

        let salt_len = *chance.pick(&[0, 1, 31, 32, 32, 32, 33, 64, 100, 255, 256]);
        let salt: String = chance.bytes(salt_len).iter().map(|byte| format!("{byte:02x}")).collect();
        let salt = if salt.is_empty() { "-".into() } else { salt };
        let superblock = !chance.one_in(4);
        let same_file = chance.one_in(4);
        let hash_offset = if same_file {
            (size as u64).next_multiple_of(4096)
        } else if chance.one_in(4) {
            // with a superblock any multiple of 512 will do
            if superblock { 512 * (1 + chance.below(40)) } else { hash_block_size * (1 + chance.below(5)) }
        } else {
            0
        };
        let part = !same_file && chance.one_in(8);
        let data_blocks = if part { 1 + chance.below(blocks) } else { blocks };
        // veritysetup cannot write a superblock without a tree behind it but at the start of a whole block
        let hash_offset =
            if data_blocks == 1 && superblock { hash_offset.next_multiple_of(4096) } else { hash_offset };

        let mut options = vec![
            format!("--hash={algorithm}"),
            format!("--format={hash_type}"),
            format!("--data-block-size={data_block_size}"),
            format!("--hash-block-size={hash_block_size}"),
            format!("--salt={salt}"),
        ];
        if hash_offset > 0 {
            options.push(format!("--hash-offset={hash_offset}"));
        }
        if part || same_file {
            options.push(format!("--data-blocks={data_blocks}"));
        }
        if superblock {
            options.push("--uuid=0123abcd-1111-2222-3333-456789abcdef".into());
        } else {
            options.push("--no-superblock".into());
        }
        Shape { data, options, same_file, hash_offset, data_blocks, data_block_size, superblock }
    }

    /// Writes the data and tells the arguments for data and hash file.
    fn files(&self, folder: &Folder, name: &str) -> (String, String) {
        let data = folder.write(&format!("{name}.data"), &self.data);
        let hash = if self.same_file { data.clone() } else { folder.file(&format!("{name}.hash")) };
        (data, hash)
    }

    /// Options that `verify` needs; veritysetup does not look at them where there is a superblock.
    fn verify_options(&self) -> impl Iterator<Item = &str> {
        self.options.iter().map(String::as_str).filter(|option| !option.starts_with("--uuid"))
    }
}

fn format(tool: &str, shape: &Shape, data: &str, hash: &str) -> String {
    let mut args: Vec<&str> = if tool == "veritysetup" { vec!["format"] } else { vec!["verity", "format"] };
    args.extend([data, hash]);
    args.extend(shape.options.iter().map(String::as_str));
    let ended = if tool == "veritysetup" { run(tool, args) } else { ddi(args) };
    assert!(ended.ok(), "{tool}: {:?}: {ended:?}", shape.options);
    // the first line has the name of the file
    ended.stdout.split_once('\n').unwrap().1.to_owned()
}

/// Returns true if the exit status is 0.
fn accepts(tool: &str, shape: &Shape, data: &str, hash: &str, root_hash: &str) -> bool {
    let mut args: Vec<&str> = if tool == "veritysetup" { vec!["verify"] } else { vec!["verity", "verify"] };
    args.extend([data, hash, root_hash]);
    args.extend(shape.verify_options());
    let ended = if tool == "veritysetup" { run(tool, args) } else { ddi(args) };
    match (tool, ended.code) {
        (_, Some(0)) => true,
        ("ddi", Some(1)) | ("veritysetup", Some(1 | 2)) => false,
        _ => panic!("{tool}: {:?}: {ended:?}", shape.options),
    }
}

fn root_hash(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim()
}

#[test]
fn random_shapes_are_the_same_to_the_byte() {
    if !require_tool("veritysetup") {
        return;
    }
    let count = number_from_env("DDI_SHAPES", 500);
    let seed = number_from_env("DDI_SEED", 1);
    in_parallel(count, |number| {
        let mut chance = Chance(seed.wrapping_mul(0x1_0000_0000) ^ number);
        let shape = Shape::random(&mut chance);
        let folder = Folder::new();
        let ((our_data, our_hash), (data, hash)) = (shape.files(&folder, "a"), shape.files(&folder, "b"));
        let ours = format("ddi", &shape, &our_data, &our_hash);
        let theirs = format("veritysetup", &shape, &data, &hash);
        assert_eq!(ours, theirs, "shape {number}: {:?}", shape.options);
        let (our_bytes, their_bytes) = (fs::read(&our_hash).unwrap(), fs::read(&hash).unwrap());
        assert!(our_bytes == their_bytes, "shape {number}: {:?}: trees differ", shape.options);

        // they read what we write, and the reverse
        let root = root_hash(&theirs);
        assert!(
            accepts("veritysetup", &shape, &our_data, &our_hash, root),
            "shape {number}: {:?}",
            shape.options
        );
        assert!(accepts("ddi", &shape, &data, &hash, root), "shape {number}: {:?}", shape.options);

        // and agree on a bit that is not as it was, of data or tree
        let mut bytes = fs::read(&data).unwrap();
        let protected = shape.data_blocks * shape.data_block_size;
        let at = chance.below(protected) as usize;
        bytes[at] ^= 1 << chance.below(8);
        fs::write(&data, &bytes).unwrap();
        if number % 4 == 0 {
            assert!(!accepts("veritysetup", &shape, &data, &hash, root));
        }
        assert!(!accepts("ddi", &shape, &data, &hash, root), "shape {number}: {:?}", shape.options);
        bytes[at] = shape.data[at];
        fs::write(&data, &bytes).unwrap();

        let wrong = format!("{}{}", if root.starts_with('0') { '1' } else { '0' }, &root[1..]);
        assert!(!accepts("ddi", &shape, &data, &hash, &wrong), "shape {number}: {:?}", shape.options);
    });
}

#[test]
fn flipped_bytes_of_a_tree_are_named() {
    let folder = Folder::new();
    let mut chance = Chance(7);
    let data = folder.write("data", &chance.bytes(300 * 512));
    let hash = folder.file("hash");
    let options = ["--data-block-size=512", "--hash-block-size=512", "--salt=00ff"];
    let text = ddi(["verity", "format", &data, &hash].into_iter().chain(options)).unwrap();
    let root = root_hash(&text);
    let tree = fs::read(&hash).unwrap();
    assert_eq!(tree.len(), 512 * (1 + 19 + 2 + 1));
    let shape = |tree: &[u8]| {
        fs::write(&hash, tree).unwrap();
        ddi(["verity", "verify", &data, &hash, root, "--json"])
    };
    assert!(shape(&tree).ok());
    for _ in 0..100 {
        let at = 512 + chance.below(tree.len() as u64 - 512) as usize;
        let mut bad = tree.clone();
        bad[at] ^= 1 << chance.below(8);
        let ended = shape(&bad);
        assert_eq!(ended.code, Some(1), "byte {at}");
        // on disk: superblock, the top block, two blocks of level 1, nineteen of level 0
        let (level, block) = match at / 512 - 1 {
            0 => (2, 0),
            block @ 1..=2 => (1, block - 1),
            block => (0, block - 3),
        };
        let found = &ended.json()["levels"][level]["corrupt"];
        assert_eq!(found["ranges"], serde_json::json!([[block, block]]), "byte {at}: {ended:?}");
    }
}

#[test]
fn dump_says_the_same() {
    if !require_tool("veritysetup") {
        return;
    }
    let folder = Folder::new();
    for number in 0..20 {
        let shape = Shape::random(&mut Chance(1000 + number));
        if !shape.superblock {
            continue;
        }
        let (data, hash) = shape.files(&folder, "x");
        let _ = fs::remove_file(folder.file("x.hash"));
        format("veritysetup", &shape, &data, &hash);
        let offset = format!("--hash-offset={}", shape.hash_offset);
        let theirs = run("veritysetup", ["dump", &hash, &offset]).unwrap();
        assert_eq!(ddi(["verity", "dump", &hash, &offset]).unwrap(), theirs);
    }
}

#[test]
fn short_options_and_root_hash_files_swap() {
    if !require_tool("veritysetup") {
        return;
    }
    let folder = Folder::new();
    let data = folder.write("data", &Chance(3).bytes(130 * 4096));
    let (ours, theirs) = (folder.file("ours"), folder.file("theirs"));
    let (our_root, their_root) = (folder.file("ours.roothash"), folder.file("theirs.roothash"));
    let same =
        ["-h", "sha512", "-s", "abcd", "--uuid", "0123abcd-1111-2222-3333-456789abcdef", "--root-hash-file"];
    ddi(["verity", "format", &data, &ours].into_iter().chain(same).chain([our_root.as_str()])).unwrap();
    run("veritysetup", ["format", &data, &theirs].into_iter().chain(same).chain([their_root.as_str()]))
        .unwrap();
    assert_eq!(fs::read(&ours).unwrap(), fs::read(&theirs).unwrap());
    assert_eq!(fs::read(&our_root).unwrap(), fs::read(&their_root).unwrap());
    assert_eq!(ddi(["verity", "verify", &data, &theirs, "--root-hash-file", &their_root]).unwrap(), "");
    assert_eq!(run("veritysetup", ["verify", &data, &ours, "--root-hash-file", &our_root]).unwrap(), "");
}

#[test]
fn random_salt_and_uuid_differ_each_time() {
    let folder = Folder::new();
    let data = folder.write("data", &[7; 8192]);
    let dump = |name: &str| {
        let hash = folder.file(name);
        ddi(["verity", "format", &data, &hash, "--json"]).unwrap();
        let value = ddi(["verity", "dump", &hash, "--json"]).json();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        assert_eq!(text("salt").len(), 64);
        assert_eq!(text("uuid").as_bytes()[14], b'4');
        (text("salt"), text("uuid"))
    };
    let (a, b) = (dump("a"), dump("b"));
    assert!(a.0 != b.0 && a.1 != b.1);
}
