//! Parity of `ddi verity format` and of veritysetup: the same arguments, the same bytes, the same text.

use std::fs;

use crate::support::{Chance, Folder, ddi, in_parallel, number_from_env, require_tool, run};

/// A tree with parity to make, as arguments for either tool.
struct Shape {
    options: Vec<String>,
    /// The data; behind it, in one file, room for the tree, and for the parity.
    data: Vec<u8>,
    /// What the hash file has before; none if there is no such file.
    hash: Option<Vec<u8>>,
    places: Places,
    fec_offset: u64,
}

/// Which files there are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Places {
    Three,
    /// Tree and parity in one.
    TreeAndParity,
    /// Data and tree in one.
    DataAndTree,
    /// Data and parity in one.
    DataAndParity,
    One,
}

impl Shape {
    fn random(chance: &mut Chance) -> Self {
        use Places::*;
        let size = *chance.pick(&[512, 1024, 2048, 4096, 4096, 4096]);
        let roots = if chance.one_in(3) { *chance.pick(&[2, 24]) } else { 2 + chance.below(23) };
        let k = 255 - roots;
        // around one and two rows of codewords
        let blocks = match chance.below(4) {
            0 => 1 + chance.below(40),
            1 => (k - 6 + chance.below(8)).max(1),
            2 => 2 * k - 10 + chance.below(12),
            _ => 1 + chance.below(1500),
        };
        let places = *chance.pick(&[Three, Three, Three, TreeAndParity, DataAndTree, DataAndParity, One]);
        let superblock = !chance.one_in(4);
        let data_size = blocks * size;
        let hash_offset = match places {
            DataAndTree | One => data_size.next_multiple_of(if superblock { 512 } else { size }),
            _ if chance.one_in(3) && superblock && blocks > 1 => 512 * chance.below(40),
            _ if chance.one_in(3) => size.max(4096) * chance.below(4),
            _ => 0,
        };
        let tree_start = if superblock { (hash_offset + 512).next_multiple_of(size) } else { hash_offset };
        let mut level = blocks;
        let mut tree_end = tree_start;
        while level > 1 {
            level = level.div_ceil(size / 32);
            tree_end += level * size;
        }
        let gap = if chance.one_in(2) { 0 } else { 512 * chance.below(40) };
        let fec_offset = match places {
            TreeAndParity | One => tree_end + gap,
            DataAndParity => data_size + gap,
            _ if chance.one_in(3) => gap,
            _ => 0,
        };
        let mut data = chance.bytes(data_size as usize);
        if matches!(places, Three | TreeAndParity) && chance.one_in(4) {
            data.extend(chance.bytes(size as usize / 3));
        }
        // something behind the tree, and less than a block of it
        let tail = if chance.one_in(3) { chance.below(5 * size) } else { 0 };
        let mut hash = None;
        if tail > 0 && matches!(places, Three | DataAndParity) {
            hash = Some([vec![0; tree_end as usize], chance.bytes(tail as usize)].concat());
        }
        if matches!(places, DataAndTree | One) {
            data.resize(tree_end as usize, 0);
            if tail > 0 && places == DataAndTree {
                data.extend(chance.bytes(tail as usize));
            }
        }
        if matches!(places, TreeAndParity | One) && gap > 0 {
            // what lies between tree and parity is covered as it is; veritysetup wants it to be there
            let file = if places == One { &mut data } else { hash.insert(vec![0; tree_end as usize]) };
            file.extend(chance.bytes(gap as usize));
        }
        let mut options = vec![
            format!("--data-block-size={size}"),
            format!("--hash-block-size={size}"),
            format!("--hash-offset={hash_offset}"),
            format!("--fec-roots={roots}"),
            format!("--fec-offset={fec_offset}"),
            format!("--salt={:016x}", chance.next()),
        ];
        if !matches!(places, Three | TreeAndParity) {
            options.push(format!("--data-blocks={blocks}"));
        }
        if superblock {
            options.push("--uuid=0123abcd-1111-2222-3333-456789abcdef".into());
        } else {
            options.push("--no-superblock".into());
        }
        Shape { options, data, hash, places, fec_offset }
    }

    /// Makes tree and parity, and returns what the tool says and the bytes of all files.
    fn format(&self, tool: &str, folder: &Folder) -> (String, Vec<Vec<u8>>) {
        use Places::*;
        let name = |what: &str| format!("{tool}.{what}");
        let data = folder.write(&name("data"), &self.data);
        let hash = match (self.places, &self.hash) {
            (DataAndTree | One, _) => data.clone(),
            (_, Some(before)) => folder.write(&name("hash"), before),
            (_, None) => folder.file(&name("hash")),
        };
        let fec = match self.places {
            TreeAndParity => hash.clone(),
            DataAndParity | One => data.clone(),
            Three | DataAndTree => folder.file(&name("fec")),
        };
        let fec_device = format!("--fec-device={fec}");
        let args =
            ["format", &data, &hash, &fec_device].into_iter().chain(self.options.iter().map(String::as_str));
        let ended = match tool {
            "veritysetup" => run(tool, args),
            _ => ddi(["verity"].into_iter().chain(args)),
        };
        assert!(ended.ok(), "{tool}: {:?}, {:?}: {ended:?}", self.places, self.options);
        let files = [data, hash, fec].map(|path| fs::read(path).unwrap());
        (ended.stdout.split_once('\n').unwrap().1.to_owned(), files.into())
    }
}

#[test]
fn parity_of_random_shapes_is_the_same_to_the_byte() {
    if !require_tool("veritysetup") {
        return;
    }
    let count = number_from_env("DDI_FEC_SHAPES", 150);
    let seed = number_from_env("DDI_SEED", 1);
    in_parallel(count, |number| {
        let mut chance = Chance(seed.wrapping_mul(0x1_0000_0000) ^ number ^ 0xfec << 48);
        let shape = Shape::random(&mut chance);
        let folder = Folder::new();
        let (ours, our_files) = shape.format("ddi", &folder);
        let (theirs, their_files) = shape.format("veritysetup", &folder);
        let what = || {
            format!("shape {number}: {:?}, parity at {}, {:?}", shape.places, shape.fec_offset, shape.options)
        };
        assert_eq!(ours, theirs, "{}", what());
        for (i, file) in ["data", "hash", "parity"].into_iter().enumerate() {
            assert!(our_files[i] == their_files[i], "{}: {file} differs", what());
        }
    });
}

#[test]
fn where_parity_must_not_go() {
    let folder = Folder::new();
    let data = folder.write("data", &[7; 40 * 4096]);
    let (hash, fec) = (folder.file("hash"), folder.file("fec"));
    let refused = |options: &[&str], why: &str| {
        let ended = ddi(["verity", "format", &data, &hash].iter().chain(options));
        assert_eq!(ended.code, Some(2), "{options:?}: {ended:?}");
        assert!(ended.stderr.contains(why), "{options:?}: {ended:?}");
        assert_eq!(folder.names(), ["data"], "{options:?}");
        assert_eq!(fs::read(&data).unwrap(), [7; 40 * 4096]);
    };
    refused(&["--fec-device", &data], "is the data too");
    refused(&["--fec-device", &data, "--fec-offset", "159744", "--data-blocks", "40"], "is the data too");
    refused(&["--fec-device", &hash], "would overwrite");
    refused(&["--fec-device", &hash, "--fec-offset", "4096"], "would overwrite");
    refused(&["--fec-device", &fec, "--fec-offset", "513"], "multiple of 512");
    refused(&["--fec-device", &fec, "--fec-roots", "1"], "2 to 24");
    refused(&["--fec-device", &fec, "--fec-roots", "25"], "2 to 24");
    refused(&["--fec-device", &fec, "--hash-block-size", "1024"], "one size");
    refused(&["--fec-device", &fec, "--root-hash-file", &fec], "must not be overwritten");
    refused(&["--fec-roots", "2"], "--fec-device");
    let link = folder.file("link");
    std::os::unix::fs::symlink(&data, &link).unwrap();
    let ended = ddi(["verity", "format", &data, &hash, "--fec-device", &link]);
    assert!(ended.stderr.contains("is the data too"), "{ended:?}");
}
