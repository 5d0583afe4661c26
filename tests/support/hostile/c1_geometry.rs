//! What the root hash does not bind: the superblock, levels, sizes. Asked with the root hash that is right for the good image.
//!
//! No byte of any of these may be called verified.

use ddi_verity::{
    Algorithm, HashTree, HashType, Layout, Options, Params, Placement, RootHash, Salt, Superblock,
};

use super::base::{GOOD, Part, Verity, disk};
use super::{Class, Media, base};
use crate::support::image::{EROFS_ROOT, erofs};

const NOT_PROVEN: i32 = 1;

pub(crate) fn images() -> Class {
    let mut class = Class::new("C1");
    superblocks(&mut class);
    sizes(&mut class);
    levels(&mut class);
    blocks(&mut class);
    class
}

fn ask(verity: &Verity) -> String {
    format!("verify --root-hash {}", verity.hex())
}

/// One field of the superblock.
fn superblocks(class: &mut Class) {
    let ask = ask(&GOOD);
    let at = base().offset(2);
    let mut field = |what: &str, offset: u64, bytes: &[u8], answer| {
        class.add(format!("superblock: {what}"), base().with(at + offset, bytes), &ask, NOT_PROVEN, answer);
    };
    field("no signature", 0, b"VERITY\0\0", "verity-signature");
    field("all zeros", 0, &[0; 512], "verity-signature");
    field("version 0", 8, &[0; 4], "verity-version");
    field("version 2^32-1", 8, &[0xff; 4], "verity-version");
    field("hash type 2", 12, &[2, 0, 0, 0], "verity-hash-type");
    field("hash type 2^32-1", 12, &[0xff; 4], "verity-hash-type");
    // the format allows it; under the same root hash it may stand for other content
    field("hash type 0", 12, &[0; 4], "verity-not-allowed");
    field("algorithm SHA256", 32, b"SHA256", "verity-unknown-algorithm");
    field("algorithm md5", 32, b"md5\0\0\0", "verity-unknown-algorithm");
    field("algorithm of 32 letters", 32, &[b's'; 32], "verity-unknown-algorithm");
    field("no algorithm", 32, &[0; 6], "verity-unknown-algorithm");
    field("an escape sequence as algorithm", 32, b"\x1b]0;x\x07", "verity-unknown-algorithm");
    field("text behind the algorithm", 32, b"sha256\0x", "verity-algorithm-tail");
    field("an escape behind the algorithm", 32, b"sha256\0\0\0\x1b", "verity-algorithm-tail");
    // the root hash that was given has 32 bytes
    field("algorithm sha512", 32, b"sha512", "verity-root-hash-size");
    field("algorithm sha1", 32, b"sha1\0\0", "verity-not-allowed");
    for size in [0_u32, 1, 256, 511, 513, 4097, 1 << 20, 1 << 31, u32::MAX] {
        field(&format!("data blocks of {size} bytes"), 64, &size.to_le_bytes(), "verity-data-block-size");
        field(&format!("hash blocks of {size} bytes"), 68, &size.to_le_bytes(), "verity-hash-block-size");
    }
    // 40 * 512 bytes are protected, the file system goes on
    field("data blocks of 512 bytes", 64, &512_u32.to_le_bytes(), "verity-data-size");
    field("data blocks of 8192 bytes", 64, &8192_u32.to_le_bytes(), "verity-too-short");
    // the tree begins where the rest of the first hash block must be zero
    field("hash blocks of 8192 bytes", 68, &8192_u32.to_le_bytes(), "verity-padding");
    field("hash blocks of 512 KiB", 68, &(512_u32 << 10).to_le_bytes(), "verity-padding");
    field("hash blocks of 512 bytes", 68, &512_u32.to_le_bytes(), "root-hash-mismatch");
    for (blocks, answer) in [
        (0, "verity-data-blocks"),
        (1, "verity-data-size"),
        (39, "verity-data-size"),
        (41, "verity-too-short"),
        (128, "verity-too-short"),
        (129, "verity-too-short"),
        (1 << 32, "verity-too-short"),
        // times 4096 that is 2^62; the next ones are more than a file can have
        (1 << 50, "verity-too-short"),
        (1 << 51, "verity-data-blocks"),
        (1 << 52, "verity-data-blocks"),
        // times 4096 that is 160 KiB in 64 bits, the right size
        ((1 << 52) + 40, "verity-data-blocks"),
        (1 << 63, "verity-data-blocks"),
        (u64::MAX, "verity-data-blocks"),
    ] {
        field(&format!("{blocks} data blocks"), 72, &blocks.to_le_bytes(), answer);
    }
    field("salt of 257 bytes", 80, &257_u16.to_le_bytes(), "verity-salt-size");
    field("salt of 65535 bytes", 80, &u16::MAX.to_le_bytes(), "verity-salt-size");
    // what was salt lies behind the salt now
    field("salt of 31 bytes", 80, &31_u16.to_le_bytes(), "verity-padding");
    field("salt of 256 bytes", 80, &256_u16.to_le_bytes(), "root-hash-mismatch");
    field("another salt", 88, b"?", "root-hash-mismatch");
    field("padding in the middle", 84, b"x", "verity-padding");
    field("something behind the salt", 200, b"x", "verity-padding");
    field("something at its end", 511, b"x", "verity-padding");
    field("something in the rest of its block", 4000, b"x", "verity-padding");
}

/// Partitions and data that are too long or too short.
fn sizes(class: &mut Class) {
    let parts = GOOD.parts("root-x86-64", "os_1");
    let with = |data: &dyn Fn(Part) -> Part, hash: &dyn Fn(Part) -> Part| {
        disk(&[data(parts[0].clone()), hash(parts[1].clone())])
    };
    let same = |part: Part| part;
    let cut = |bytes: usize| {
        move |mut part: Part| {
            part.content.truncate(bytes);
            part.size(bytes as u64)
        }
    };
    let grown = |bytes: &'static [u8]| {
        move |mut part: Part| {
            part.content.extend(bytes);
            let size = part.content.len() as u64;
            part.size(size.next_multiple_of(4096))
        }
    };
    let ask = ask(&GOOD);
    let mut add = |what: &str, media, answer| {
        class.add(what, media, &ask, NOT_PROVEN, answer);
    };
    add("the data partition lacks its last block", with(&cut(39 * 4096), &same), "verity-too-short");
    add("the data partition lacks 512 bytes", with(&cut(40 * 4096 - 512), &same), "verity-too-short");
    add("the data partition has one block", with(&cut(4096), &same), "verity-too-short");
    add("something behind the last protected block", with(&grown(b"extra"), &same), "tail-not-zero");
    add("the hash partition ends with the superblock", with(&same, &cut(4096)), "verity-too-short");
    add("the hash partition lacks 512 bytes of the tree", with(&same, &cut(8192 - 512)), "verity-too-short");
    add("the hash partition has 512 bytes", with(&same, &cut(512)), "verity-too-short");
    let mut media = base();
    let start = media.lbas(2).0;
    media = media.entry_both(2, super::media::END, start);
    add("the table gives the hash partition one block", media, "verity-too-short");

    // fewer blocks in the superblock and in the partition, and a tree that knows of more: 200 of 300 blocks, with the
    // file system's own size made to fit before the tree was
    let mut data = erofs(300, 1);
    data[1024 + 36..][..4].copy_from_slice(&200_u32.to_le_bytes());
    let large = Verity::new(data.clone());
    let ask = self::ask(&large);
    let mut hash = large.hash.clone();
    hash[72..80].copy_from_slice(&200_u64.to_le_bytes());
    let mut short = large.clone();
    short.hash = hash;
    class.add(
        "200 of 300 blocks by the superblock, and data behind",
        disk(&short.parts("root-x86-64", "os_1")),
        &ask,
        NOT_PROVEN,
        "tail-not-zero",
    );
    // the blocks of the tree that are used are in their places: only the digests of the rest tell
    short.data.truncate(200 * 4096);
    class.add(
        "200 of 300 blocks in superblock and partition",
        disk(&short.parts("root-x86-64", "os_1")),
        &ask,
        NOT_PROVEN,
        "spare-not-zero",
    );
    // 260 blocks have as many leaf blocks as 300: only the spare slots tell
    data[1024 + 36..][..4].copy_from_slice(&260_u32.to_le_bytes());
    let mut short = Verity::new(data);
    let ask = self::ask(&short);
    short.hash[72..80].copy_from_slice(&260_u64.to_le_bytes());
    short.data.truncate(260 * 4096);
    class.add(
        "260 of 300 blocks in superblock and partition: the digests of the rest are still there",
        disk(&short.parts("root-x86-64", "os_1")),
        &ask,
        NOT_PROVEN,
        "spare-not-zero",
    );

    // around 128^k, one block more and one less than there are
    for blocks in [1_u32, 2, 127, 128, 129, 256, 257, 16384] {
        let verity = Verity::new(sparse_erofs(blocks));
        let ask = self::ask(&verity);
        for claimed in [blocks - 1, blocks + 1] {
            let mut verity = verity.clone();
            verity.hash[72..80].copy_from_slice(&u64::from(claimed).to_le_bytes());
            let answer = match claimed {
                0 => "verity-data-blocks",
                _ if claimed < blocks => "verity-data-size",
                _ => "verity-too-short",
            };
            let media = disk(&zeros_left_out(&verity));
            class.add(
                format!("{blocks} blocks, and {claimed} by the superblock"),
                media,
                &ask,
                NOT_PROVEN,
                answer,
            );
        }
    }
}

/// As `erofs`, with zeros behind the root directory.
fn sparse_erofs(blocks: u32) -> Vec<u8> {
    let mut data = erofs(1, 1);
    data[1152 + EROFS_ROOT.len()..].fill(0);
    data[1024 + 36..][..4].copy_from_slice(&blocks.to_le_bytes());
    data.resize(blocks as usize * 4096, 0);
    data
}

/// The partitions of `verity`, of whose data only the first block is stored.
fn zeros_left_out(verity: &Verity) -> Vec<Part> {
    let mut parts = verity.parts("root-x86-64", "os_1");
    parts[0].content.truncate(4096);
    parts
}

/// Hash blocks as data, and the other hash type.
fn levels(class: &mut Class) {
    let large = Verity::erofs(1000);
    let ask = ask(&large);
    let layout = |blocks| Layout::new(&params(HashType::Normal, blocks), Placement::Superblock(0)).unwrap();
    let good = layout(1000);
    let bytes = |offset: u64, blocks: u64| large.hash[offset as usize..][..blocks as usize * 4096].to_vec();
    let [leaves, top] = good.levels() else { panic!("{good:?}") };
    let (leaves, top) = (bytes(leaves.offset, leaves.blocks), bytes(top.offset, top.blocks));
    let presented = |data: &[u8], tree: &[u8]| {
        let params = params(HashType::Normal, data.len() as u64 / 4096);
        let mut hash = vec![0; 4096];
        hash[..512].copy_from_slice(&Superblock { params, uuid: [1; 16] }.to_bytes());
        hash.extend(tree);
        disk(&Verity { root: large.root, data: data.to_vec(), hash }.parts("root-x86-64", "os_1"))
    };
    let mut add = |what: &str, media, answer| {
        class.add(what, media, &ask, NOT_PROVEN, answer);
    };
    add(
        "the leaves of the tree as data, the top block as tree",
        presented(&leaves, &top),
        "unrecognised-content",
    );
    add("the top block of the tree as the only data block", presented(&top, &[]), "unrecognised-content");
    // a hash block that is a file system: nobody can choose digests, so it does not match
    let mut forged = leaves.clone();
    forged[1024..1024 + 128].copy_from_slice(&erofs(8, 1)[1024..1024 + 128]);
    add(
        "the leaves as data, with a superblock of erofs written into them",
        presented(&forged, &top),
        "corrupt-data",
    );
    let tree = [&top[..], &leaves].concat();
    add("the tree with its own data blocks before it", presented(&tree, &tree), "unrecognised-content");
    let swapped = [&leaves[..], &top].concat();
    let mut hash = large.hash[..4096].to_vec();
    hash.extend(&swapped);
    let verity = Verity { hash, ..large.clone() };
    add("leaves before the top block", disk(&verity.parts("root-x86-64", "os_1")), "root-hash-mismatch");

    // one block that ends in 32 zeros: under hash type 0 and a salt of zeros, other bytes have the same root hash
    let mut block = sparse_erofs(1);
    block[2000..2010].copy_from_slice(b"content #1");
    let real = Verity::new(block.clone());
    let confused = [&[0x5a; 32][..], &block[..4096 - 32]].concat();
    let salt = Salt::new(&[0; 32]).unwrap();
    let params_zero = Params::new(HashType::ChromeOs, Algorithm::Sha256, 4096, 4096, 1, salt).unwrap();
    let mut hash = vec![0; 4096];
    hash[..512].copy_from_slice(&Superblock { params: params_zero, uuid: [1; 16] }.to_bytes());
    assert_eq!(RootHash::from(params_zero.hasher().hash_block(&confused)), real.root);
    let verity = Verity { root: real.root, data: confused, hash };
    class.add(
        "other content of one block that has the same root hash under hash type 0",
        disk(&verity.parts("root-x86-64", "os_1")),
        &self::ask(&real),
        NOT_PROVEN,
        "verity-not-allowed",
    );
    // blocks that no kernel with small pages opens
    let data = erofs(2, 1);
    let wide = Params::new(HashType::Normal, Algorithm::Sha256, 8192, 8192, 1, Salt::EMPTY).unwrap();
    let verity = formatted(wide, data.clone());
    class.add(
        "one block of 8192 bytes, all right",
        disk(&verity.parts("root-x86-64", "os_1")),
        &self::ask(&verity),
        NOT_PROVEN,
        "verity-not-allowed",
    );
    let verity = formatted(params(HashType::ChromeOs, 2), data.clone());
    class.add(
        "hash type 0, all right",
        disk(&verity.parts("root-x86-64", "os_1")),
        &self::ask(&verity),
        NOT_PROVEN,
        "verity-not-allowed",
    );
    // what is protected is no file system at all
    let verity = Verity::new(crate::support::Chance(7).bytes(40 * 4096));
    class.add(
        "chance as data, all blocks right",
        disk(&verity.parts("root-x86-64", "os_1")),
        &self::ask(&verity),
        NOT_PROVEN,
        "unrecognised-content",
    );
    let mut data = erofs(40, 1);
    data[1024 + 36..][..4].copy_from_slice(&41_u32.to_le_bytes());
    let verity = Verity::new(data);
    class.add(
        "the file system claims one block more than is protected",
        disk(&verity.parts("root-x86-64", "os_1")),
        &self::ask(&verity),
        NOT_PROVEN,
        "content-too-large",
    );
}

fn params(hash_type: HashType, blocks: u64) -> Params {
    Params::new(hash_type, Algorithm::Sha256, 4096, 4096, blocks, Salt::new(&[0x5a; 32]).unwrap()).unwrap()
}

fn formatted(params: Params, data: Vec<u8>) -> Verity {
    let tree = HashTree::new(params, Placement::Superblock(0)).unwrap();
    let mut hash = vec![0; params.hash_block_size() as usize];
    hash[..512].copy_from_slice(&Superblock { params, uuid: [1; 16] }.to_bytes());
    let hash = std::sync::Mutex::new(hash);
    let root = tree.build(&data, &hash, &Options::new()).unwrap();
    Verity { root, data, hash: hash.into_inner().unwrap() }
}

/// Blocks that are not those that were hashed.
fn blocks(class: &mut Class) {
    let ask = ask(&GOOD);
    let (data, hash) = (base().offset(1), base().offset(2));
    let mut add = |what: &str, media: Media, answer| {
        class.add(what, media, &ask, NOT_PROVEN, answer);
    };
    add("one bit in the first data block", base().flip(data + 4000), "corrupt-data");
    add("one bit in the last data block", base().flip(data + 39 * 4096 + 4095), "corrupt-data");
    let swapped = [base().get(data + 8192, 4096), base().get(data + 4096, 4096)].concat();
    add("two data blocks in each other's place", base().with(data + 4096, swapped), "corrupt-data");
    add("a data block of zeros", base().with(data + 4096, [0; 4096]), "corrupt-data");
    add("one bit in the digest of a data block", base().flip(hash + 4096 + 32), "root-hash-mismatch");
    add("something in a spare slot of the tree", base().flip(hash + 4096 + 41 * 32), "root-hash-mismatch");
    let large = Verity::erofs(300);
    let ask = self::ask(&large);
    let media = disk(&large.parts("root-x86-64", "os_1"));
    let hash = media.offset(2);
    class.add("one bit in a leaf of the tree", media.flip(hash + 8192), &ask, NOT_PROVEN, "corrupt-tree");
    // a digest of the root hash's kind that nobody has: data and tree of another image under the GUIDs of this one
    let other = Verity { root: GOOD.root, ..Verity::new(erofs(40, 99)) };
    let media = disk(&other.parts("root-x86-64", "os_1"));
    class.add(
        "another image under the GUIDs of the good one",
        media,
        &self::ask(&GOOD),
        NOT_PROVEN,
        "root-hash-mismatch",
    );
}
