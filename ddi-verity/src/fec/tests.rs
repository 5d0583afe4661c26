use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use super::*;
use crate::hash::{Algorithm, HashType, RootHash};
use crate::layout::Placement;
use crate::options::Options;
use crate::params::{Params, Salt};
use crate::reader::VerifiedReader;
use crate::superblock::Superblock;
use ddi_io::WriteAt;

/// SHA-256 of the little-endian numbers from 0, one behind the other.
fn stream(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..len.div_ceil(32) as u64).flat_map(|i| Sha256::digest(i.to_le_bytes())).collect();
    bytes.truncate(len);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How the parts of a vector lie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// A hash source of its own with a superblock at its start.
    Separate,
    /// The same without superblock.
    Bare,
    /// A superblock at 8 blocks, and 3 blocks of 0xa5 behind the tree.
    Gap,
    /// Data, hash and parity in one file, one right behind the other; so many zero blocks before the parity.
    One(u64),
    /// The superblock at byte 512.
    Offset,
    /// The data is 100 bytes longer than its blocks.
    Tail,
    /// 1000 bytes of 0xa5 behind the tree.
    Odd,
}

/// As `veritysetup` makes it: salt 00 to 1f, nil UUID. Covered hash blocks, rounds, SHA-256 of the parity, root hash.
type Vector = (u64, u32, u32, Shape, u64, u64, &'static str, &'static str);

#[rustfmt::skip]
const VECTORS: [Vector; 19] = [
    (1, 4096, 2, Shape::Separate, 0, 1, "2f925f8b3b5747b24e3bb6a5cdbfb12670d3f50d6675f7745dd24aa92c0e2fc4", "0b02558e5692d4c7028416cd86dafb69df95c4aef3d09519d02b6669c3aa6686"),
    (2, 4096, 2, Shape::Separate, 1, 1, "eb694cc7e2ac7685ca5bb06fb9cc1e633bc6c40b4515111e91f1bc72f9312700", "5130b9013f20f9019c2105d79eac297795e9b63dace17593339f51ba61cbaa1b"),
    (40, 4096, 2, Shape::Separate, 1, 1, "3ac8cc5d209f40d1b24d9ec2f6b2f88ec271a257b4c5a4ec2edd5ce02df0805d", "458f82aac590b431ce88b4d4b4fb5a1e121bed3381751396880cc61f3066444c"),
    (300, 4096, 2, Shape::Separate, 4, 2, "fd5ef505c460811c9acd9e90e17534b25d401ac6bade7b1130819d644d8697d8", "ec69a87d445e412f5ce5f5d808bf16b96dcfbbaa21860110b192c49e78d7efdb"),
    (300, 4096, 8, Shape::Separate, 4, 2, "0ab3e6fd208db9f22d2ddbf5d3fa167e0e5f4372bc85a082f93bc1f45e06376b", "ec69a87d445e412f5ce5f5d808bf16b96dcfbbaa21860110b192c49e78d7efdb"),
    (300, 4096, 24, Shape::Separate, 4, 2, "507c4fbe17215546ce90642a513167eb8b8e98c902b89bc47ba36f0ee3b92c4b", "ec69a87d445e412f5ce5f5d808bf16b96dcfbbaa21860110b192c49e78d7efdb"),
    (253, 512, 2, Shape::Separate, 17, 2, "845fa16d5172d665aab580d8dd7809b14967445f5fdfbffdbef53c7ced996cdb", "bec894c2e7b0fc3374768f725cb58d59480397cb2c8823381d5c75f2ee640838"),
    (1000, 512, 3, Shape::Separate, 68, 5, "3ba21cf57262c2ad0da87d07c949e81575b4b530ac1eaba68e57ed2bd1c70e7c", "c950ac0213a6a3b039e5719df8fa2aa741c1ef61c7cabe1ff1fae21b04371ee2"),
    (777, 1024, 7, Shape::Separate, 26, 4, "7464d2f2f6394227dff02384d30e6821f6048d090162ee630de6695bcf0064bb", "813d694bf6ee019565bc40e5069fe319ca4e727d3e6b38e66ef0ddaef1c40923"),
    (300, 4096, 20, Shape::Bare, 4, 2, "1eb7de7bf197fe3a2483d5d73d7950c635e8b24e31443b1d622af493bba42c72", "ec69a87d445e412f5ce5f5d808bf16b96dcfbbaa21860110b192c49e78d7efdb"),
    (200, 4096, 8, Shape::Gap, 6, 1, "541c458423d2f428368355c3e248c3693bb913bf0075e2ac044a063897d5b0aa", "36e0cec89e5d0432318a1e43f7c6c7e716559c86a158c39892aec7a0cd9054ea"),
    (130, 4096, 2, Shape::One(0), 3, 1, "35fc12f4d726137f96e826657056f1c45d7691a90670b562fc96621f0bc196f1", "c2745855a2db8ccb2f46c8c7a3ed4b2ee35b073946643d4988025b40f00660e5"),
    (130, 4096, 24, Shape::One(5), 8, 1, "aefbc65a53b76c3b135f4936c8973627d0d1c7799626cd6872d072c22110882b", "c2745855a2db8ccb2f46c8c7a3ed4b2ee35b073946643d4988025b40f00660e5"),
    (231, 4096, 24, Shape::Bare, 3, 2, "44400978cce72da47ea6693524ff34aae9c9a30e0b1cffd3b49da3f6ada68ae3", "8fdced9de2d1544be43d01e0fbe733af921647b5f77bead21b22d5b8e3d2659a"),
    (5000, 512, 2, Shape::Separate, 336, 22, "41521da1c0d99afe7a8a86559b335077705ae66e08a6ecb3e28b508a312a7d70", "b5f6f61a81cbdedda23b77b4bb5a091885d07c14f58c995223159da5437428da"),
    (508, 4096, 2, Shape::Separate, 5, 3, "4fecc51af8f85b6c73df27dac869ab73d09c43faeb44ec8ed41b3d545ba092e4", "408ee32d0a493780e509f1cecbff6a8808c794f8546a6842f2130d84f99a182c"),
    (60, 4096, 6, Shape::Offset, 1, 1, "60c67e1cc80c0692c7a3ca0206a9a888c3871d2248f1363bb392a9abd2c8f10a", "bc84b7d10c502dc569ebfea5ff8d91daefea680cc8fb17bd60631cea51460ba3"),
    (60, 4096, 2, Shape::Tail, 1, 1, "c00426f5a057ba888a9d586356ff3e7012eb668f4cf22601fec884f07ee4901d", "bc84b7d10c502dc569ebfea5ff8d91daefea680cc8fb17bd60631cea51460ba3"),
    (60, 4096, 2, Shape::Odd, 1, 1, "c00426f5a057ba888a9d586356ff3e7012eb668f4cf22601fec884f07ee4901d", "bc84b7d10c502dc569ebfea5ff8d91daefea680cc8fb17bd60631cea51460ba3"),
];

/// Sources, tree, where the covered area ends, root hash.
fn sources(blocks: u64, size: u32, shape: Shape) -> (Vec<u8>, Vec<u8>, HashTree, u64, RootHash) {
    let salt = Salt::new(&(0..32).collect::<Vec<u8>>()).unwrap();
    let params = Params::new(HashType::Normal, Algorithm::Sha256, size, size, blocks, salt).unwrap();
    let b = u64::from(size);
    let mut data = stream((blocks * b) as usize);
    let placement = match shape {
        Shape::Bare => Placement::Bare(0),
        Shape::Gap => Placement::Superblock(8 * b),
        Shape::One(_) => Placement::Superblock(blocks * b),
        Shape::Offset => Placement::Superblock(512),
        _ => Placement::Superblock(0),
    };
    let tree = HashTree::new(params, placement).unwrap();
    let start = if matches!(shape, Shape::One(_)) { data.clone() } else { Vec::new() };
    let hash = Mutex::new(start);
    let root = tree.build(&data, &hash, &Options::new()).unwrap();
    if let Placement::Superblock(offset) = placement {
        hash.write_all_at(offset, &Superblock { params, uuid: [0; 16] }.to_bytes()).unwrap();
    }
    let mut hash = hash.into_inner().unwrap();
    match shape {
        Shape::Gap => hash.resize(hash.len() + 3 * size as usize, 0xa5),
        Shape::One(gap) => {
            hash.resize(hash.len() + (gap * b) as usize, 0);
            data = hash.clone();
        }
        Shape::Tail => data.resize(data.len() + 100, 0x5a),
        Shape::Odd => hash.resize(hash.len() + 1000, 0xa5),
        _ => {}
    }
    let end = hash.len() as u64;
    (data, hash, tree, end, root)
}

#[test]
fn vectors() {
    for (blocks, size, roots, shape, covered, rounds, sum, root_hash) in VECTORS {
        let (data, hash, tree, end, root) = sources(blocks, size, shape);
        assert_eq!(root.to_string(), root_hash, "{shape:?}");
        let fec = FecLayout::new(&tree, roots, end).unwrap();
        assert_eq!((fec.hash_blocks(), fec.rounds()), (covered, rounds), "{shape:?}");
        let parity = Mutex::new(Vec::new());
        fec.encode(&data, &hash, &parity, 512, &Options::new()).unwrap();
        let parity = parity.into_inner().unwrap().split_off(512);
        assert_eq!(parity.len() as u64, fec.parity_size());
        assert_eq!(hex(&Sha256::digest(&parity)), sum, "{shape:?}, {blocks} blocks of {size}, {roots} roots");
    }
}

/// Along with the tree, by any number of threads, with holes and without; and where that is too much, in a second pass.
#[test]
fn in_one_pass_with_the_tree() {
    for (blocks, size, shape) in [
        (1, 4096, Shape::Separate),
        (300, 512, Shape::Gap),
        (3000, 4096, Shape::Separate),
        (700, 1024, Shape::Bare),
    ] {
        for (roots, holes) in [(2, false), (2, true), (3, false), (4, true), (5, false), (24, false)] {
            let (mut data, hash, tree, end, _) = sources(blocks, size, shape);
            if holes {
                let len = data.len();
                data[len / 4..len / 2].fill(0);
            }
            let fec = FecLayout::new(&tree, roots, end).unwrap();
            for threads in [1, 3] {
                let options = Options::new().threads(threads);
                let new = Mutex::new(hash.clone());
                let (root, pending) = fec.build(&tree, &data, &new, &options).unwrap();
                let hash = new.into_inner().unwrap();
                assert_eq!(root, tree.root_hash(&data, &options).unwrap());
                let (one, two) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
                fec.finish(pending, &data, &hash, &one, 512, &options).unwrap();
                fec.encode(&data, &hash, &two, 512, &options).unwrap();
                assert!(
                    one.into_inner().unwrap() == two.into_inner().unwrap(),
                    "{blocks} {size} {roots} {threads}"
                );
            }
        }
    }
}

#[test]
fn one_thread_or_many() {
    let (data, hash, tree, end, _) = sources(3000, 4096, Shape::Separate);
    for roots in [2, 7, 24] {
        let fec = FecLayout::new(&tree, roots, end).unwrap();
        let parities = [1, 2, 5, 40].map(|threads| {
            let parity = Mutex::new(Vec::new());
            fec.encode(&data, &hash, &parity, 0, &Options::new().threads(threads)).unwrap();
            parity.into_inner().unwrap()
        });
        assert!(parities.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn what_cannot_be_covered() {
    let params =
        |size, blocks| Params::new(HashType::Normal, Algorithm::Sha256, size, 4096, blocks, Salt::EMPTY);
    let tree = HashTree::new(params(4096, 300).unwrap(), Placement::Superblock(0)).unwrap();
    let end = tree.layout().tree().end;
    for roots in [0, 1, 25, 255, u32::MAX] {
        assert!(
            matches!(FecLayout::new(&tree, roots, end), Err(Error::FecRoots { found }) if found == roots)
        );
    }
    assert!(matches!(FecLayout::new(&tree, 2, end - 1), Err(Error::TooShort { storage: Storage::Hash, .. })));
    assert!(matches!(FecLayout::new(&tree, 2, u64::MAX), Err(Error::FecTooLarge)));
    let fec = FecLayout::new(&tree, 2, end).unwrap();
    let nowhere = Mutex::new(Vec::new());
    let encode =
        |data: &Vec<u8>, hash: &Vec<u8>, offset| fec.encode(data, hash, &nowhere, offset, &Options::new());
    let (data, hash) = (vec![0; 300 * 4096], vec![0; end as usize]);
    assert!(matches!(encode(&data, &hash, 1 << 63), Err(Error::FecTooLarge)));
    let short = Err::<(), _>(Storage::Data);
    assert_eq!(
        encode(&data[1..].to_vec(), &hash, 0).map_err(|error| match error {
            Error::TooShort { storage, .. } => storage,
            other => panic!("{other}"),
        }),
        short
    );
    assert!(matches!(
        encode(&data, &hash[1..].to_vec(), 0),
        Err(Error::TooShort { storage: Storage::Hash, .. })
    ));
    let tree = HashTree::new(params(512, 300).unwrap(), Placement::Superblock(0)).unwrap();
    assert!(matches!(FecLayout::new(&tree, 2, 1 << 20), Err(Error::FecBlockSizes { data: 512, hash: 4096 })));
}

/// Data, tree, parity and what they were before somebody damaged them.
struct Example {
    data: Vec<u8>,
    hash: Vec<u8>,
    parity: Vec<u8>,
    tree: HashTree,
    fec: FecLayout,
    root: RootHash,
}

impl Example {
    fn new(blocks: u64, size: u32, roots: u32, shape: Shape) -> Self {
        let (data, hash, tree, end, root) = sources(blocks, size, shape);
        let fec = FecLayout::new(&tree, roots, end).unwrap();
        let parity = Mutex::new(Vec::new());
        fec.encode(&data, &hash, &parity, 0, &Options::new()).unwrap();
        Example { data, hash, parity: parity.into_inner().unwrap(), tree, fec, root }
    }

    /// Repairs data and tree, and returns what became of them. No block is written but the one that was there at first.
    fn repair(&self, data: &[u8], hash: &[u8], parity: &[u8]) -> (Repair, Vec<u8>, Vec<u8>) {
        let healed = Mutex::new((data.to_vec(), hash.to_vec()));
        let sink = |storage: Storage, offset: u64, block: &[u8]| {
            let range = offset as usize..offset as usize + block.len();
            let mut healed = healed.lock().unwrap();
            let (to, original) = match storage {
                Storage::Data => (&mut healed.0, &self.data),
                _ => (&mut healed.1, &self.hash),
            };
            assert!(block == &original[range.clone()], "a wrong block at {offset} of the {storage}");
            assert!(to[range.clone()] != *block, "block at {offset} of the {storage} was healed before");
            to[range].copy_from_slice(block);
            Ok(())
        };
        let sources = RepairSources { data: &data, hash: &hash, parity: &parity, parity_offset: 0 };
        let tree = self.tree.clone().vouched();
        let repair = self.fec.repair(&tree, &self.root, sources, &sink, &Options::new()).unwrap();
        let (data, hash) = healed.into_inner().unwrap();
        // what it says is what there is
        let blocks = self.data.chunks(self.fec.block_size() as usize);
        let wrong =
            blocks.zip(data.chunks(self.fec.block_size() as usize)).filter(|(a, b)| a != b).count() as u64;
        let (lost, unproven) = (repair.data.lost.count(), repair.data.unproven.count());
        assert!(lost <= wrong && wrong <= lost + unproven, "{wrong} wrong, {lost} lost, {unproven} unproven");
        assert_eq!(repair.data.proven + lost + unproven, self.fec.data_blocks());
        let protected = self.fec.data_size() as usize;
        let tree_range = self.tree.layout().tree();
        let tree_range = tree_range.start as usize..tree_range.end as usize;
        let is_original =
            data[..protected] == self.data[..protected] && hash[tree_range.clone()] == self.hash[tree_range];
        assert_eq!(repair.is_whole(), is_original);
        (repair, data, hash)
    }
}

impl Example {
    fn reader<'a>(
        &self,
        data: &'a [u8],
        hash: &'a [u8],
        parity: &[u8],
        cache: usize,
    ) -> Result<VerifiedReader<&'a [u8], &'a [u8]>, Error> {
        let parity = Parity::new(vec![self.fec.clone()], Arc::new(parity.to_vec()), 0, ReadStats::default())?;
        let tree = self.tree.clone().vouched();
        VerifiedReader::open_with_parity(data, hash, tree, &self.root, cache, parity)
    }

    /// Reads each block, in any order: the original, or the error that there is without parity. How many were damaged and are
    /// healed, how many are lost, and whether nothing could be opened.
    fn read_each(&self, data: &[u8], hash: &[u8], parity: &[u8], chance: &mut Chance) -> [u64; 3] {
        let cache = chance.below(2) as usize * 50_000;
        let without = || VerifiedReader::open(data, hash, self.tree.clone().vouched(), &self.root);
        let reader = match self.reader(data, hash, parity, cache) {
            Ok(reader) => reader,
            Err(error) => {
                assert_eq!(error.code(), without().unwrap_err().code());
                return [0, 0, 1];
            }
        };
        let plain = without().ok();
        let size = self.fec.block_size();
        let mut found = [0; 3];
        let mut buf = vec![0; size as usize];
        let shift = chance.below(self.fec.data_blocks());
        for i in 0..self.fec.data_blocks() {
            let at = (i * 7919 + shift) % self.fec.data_blocks() * size;
            let original = &self.data[at as usize..][..buf.len()];
            let before =
                plain.as_ref().map(|plain| plain.read_exact_at(at, &mut buf).map_err(|e| e.to_string()));
            match reader.read_exact_at(at, &mut buf) {
                Ok(()) => {
                    assert!(buf == original, "wrong bytes at {at}");
                    found[0] += u64::from(data[at as usize..][..buf.len()] != *original);
                }
                Err(error) => {
                    assert!(buf.iter().all(|&byte| byte == 0));
                    // the same block, or one that could not even be reached before
                    if let Some(before) = before {
                        let (now, before) = (error.to_string(), before.unwrap_err());
                        assert!(now == before || before.starts_with("hash block"), "{now}, {before}");
                    }
                    found[1] += 1;
                }
            }
        }
        found
    }
}

struct Chance(u64);
impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((u128::from(self.0 ^ self.0 >> 29) * u128::from(end)) >> 64) as u64
    }
    fn spoil(&mut self, block: &mut [u8]) {
        let old = block.to_vec();
        while block == old {
            block.iter_mut().for_each(|byte| *byte = self.below(256) as u8);
        }
    }
}

/// Block `number` of the message, in the sources.
fn block_mut<'a>(fec: &FecLayout, data: &'a mut [u8], hash: &'a mut [u8], number: u64) -> &'a mut [u8] {
    let size = fec.block_size();
    match number.checked_sub(fec.data_blocks()) {
        None => &mut data[(number * size) as usize..][..size as usize],
        Some(at) => &mut hash[(fec.hash_start + at * size) as usize..][..size as usize],
    }
}

fn cases(usual: u64) -> u64 {
    std::env::var("DDI_FEC_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Vector of the reference: with three errors in a codeword of four roots, a decoder of errors alone finds another codeword, and
/// `veritysetup verify` says that all is repairable.
#[test]
fn the_tree_is_the_judge() {
    let example = Example::new(300, 4096, 4, Shape::Separate);
    assert_eq!(
        hex(&Sha256::digest(&example.parity)),
        "93210a80ed654df636556daf48caa7dbc540bc0b054306a7607d8d2e933a4cf4"
    );
    let mut data = example.data.clone();
    for (block, value) in [(10, 0x0c), (100, 0x01), (200, 0x02)] {
        data[block * 4096 + 1234] ^= value;
    }
    let (repair, healed, _) = example.repair(&data, &example.hash, &example.parity);
    assert!(repair.is_whole() && healed == example.data);
    assert_eq!(repair.data.healed.ranges(), [10..11, 100..101, 200..201]);
}

#[test]
fn damage_up_to_the_limit_is_healed() {
    let examples: Vec<_> = [
        (300, 512, 2, Shape::Separate),
        (700, 512, 4, Shape::Bare),
        (1000, 512, 7, Shape::Gap),
        (600, 512, 24, Shape::One(5)),
        (90, 1024, 3, Shape::Offset),
        (1, 512, 2, Shape::Separate),
    ]
    .into_iter()
    .map(|(blocks, size, roots, shape)| Example::new(blocks, size, roots, shape))
    .collect();
    for case in 0..cases(300) {
        let example = &examples[case as usize % examples.len()];
        let (fec, mut chance) = (&example.fec, Chance(case));
        let (mut data, mut hash) = (example.data.clone(), example.hash.clone());
        let (rounds, roots) = (fec.rounds(), fec.roots() as u64);
        let covered = fec.data_blocks();
        match case / examples.len() as u64 % 3 {
            // data blocks, as many of each row as there are roots
            0 => {
                for row in 0..rounds {
                    let of_row: Vec<u64> = (row..covered).step_by(rounds as usize).collect();
                    let mut left = roots.min(of_row.len() as u64);
                    for (i, &block) in of_row.iter().enumerate() {
                        if chance.below((of_row.len() - i) as u64) < left {
                            left -= 1;
                            chance.spoil(block_mut(fec, &mut data, &mut hash, block));
                        }
                    }
                }
            }
            // a run
            1 => {
                let longest = (rounds * roots).min(covered);
                let start = chance.below(covered - longest + 1);
                for block in start..start + longest {
                    chance.spoil(block_mut(fec, &mut data, &mut hash, block));
                }
            }
            // one bit in half as many blocks of each row as there are roots, of the tree too
            _ => {
                let all = covered + (example.tree.layout().tree().end - fec.hash_start) / fec.block_size();
                for row in 0..rounds {
                    let of_row: Vec<u64> = (row..all).step_by(rounds as usize).collect();
                    for _ in 0..roots / 2 {
                        if of_row.is_empty() {
                            continue;
                        }
                        let block = of_row[chance.below(of_row.len() as u64) as usize];
                        let block = block_mut(fec, &mut data, &mut hash, block);
                        let at = chance.below(block.len() as u64) as usize;
                        block[at] ^= 1 << chance.below(8);
                    }
                }
            }
        }
        let reader = example.reader(&data, &hash, &example.parity, case as usize % 3 * 3000).unwrap();
        let mut read = vec![0; example.fec.data_size() as usize];
        reader.read_exact_at(0, &mut read).unwrap();
        assert!(read == example.data[..read.len()], "case {case}: read");
        let bad = data.chunks(fec.block_size() as usize).zip(example.data.chunks(fec.block_size() as usize));
        let bad = bad.filter(|(a, b)| a != b).count() as u64;
        assert_eq!(reader.stats().unwrap().healed_data_blocks(), bad, "case {case}");
        let (repair, healed, tree) = example.repair(&data, &hash, &example.parity);
        assert!(repair.is_whole(), "case {case}: {} lost", repair.lost());
        assert!(healed == example.data && tree == example.hash, "case {case}");
    }
}

/// Whatever the damage, of data, tree and parity: the original or a block that is named. `Example::repair` looks at each.
#[test]
fn damage_beyond_the_limit_is_never_called_healed() {
    let examples: Vec<_> = [
        (300, 512, 2, Shape::Separate),
        (700, 512, 4, Shape::Bare),
        (300, 512, 3, Shape::Gap),
        (600, 512, 24, Shape::One(5)),
        (1, 512, 2, Shape::Separate),
    ]
    .into_iter()
    .map(|(blocks, size, roots, shape)| Example::new(blocks, size, roots, shape))
    .collect();
    let (mut outcomes, mut read) = ([0; 2], [0_u64; 3]);
    for case in 0..cases(300) {
        let example = &examples[case as usize % examples.len()];
        let (fec, mut chance) = (&example.fec, Chance(case ^ 0xbad << 32));
        let (mut data, mut hash, mut parity) =
            (example.data.clone(), example.hash.clone(), example.parity.clone());
        let all = fec.data_blocks() + (example.tree.layout().tree().end - fec.hash_start) / fec.block_size();
        let most = 2 * fec.rounds() * fec.roots() as u64 + 2;
        for _ in 0..=chance.below(most) {
            let number = chance.below(all);
            let block = block_mut(fec, &mut data, &mut hash, number);
            match chance.below(3) {
                0 => chance.spoil(block),
                1 => block.fill(0),
                _ => (0..=chance.below(4)).for_each(|_| {
                    let at = chance.below(block.len() as u64) as usize;
                    block[at] ^= 1 + chance.below(255) as u8;
                }),
            }
        }
        if chance.below(3) == 0 {
            let start = chance.below(parity.len() as u64) as usize;
            let end = (start + chance.below(2000) as usize).min(parity.len());
            chance.spoil(&mut parity[start..end.max(start + 1).min(example.parity.len())]);
        }
        let (repair, ..) = example.repair(&data, &hash, &parity);
        outcomes[usize::from(repair.is_whole())] += 1;
        let found = example.read_each(&data, &hash, &parity, &mut chance);
        read.iter_mut().zip(found).for_each(|(all, found)| *all += found);
    }
    // some of both, or it would show nothing
    assert!(outcomes.iter().all(|&count| count > 10), "{outcomes:?}");
    let [healed, lost, closed] = read;
    assert!(healed > 100 && lost > 100 && closed > 3, "{read:?}");
}

/// The table of the reference: more bad blocks than roots in each row, and whole again, by turns with fewer and fewer erasures.
#[test]
fn turns_with_fewer_erasures() {
    let example = Example::new(1000, 512, 4, Shape::Separate);
    let mut healed_all = 0;
    for seed in 0..8 {
        let (mut data, mut chance) = (example.data.clone(), Chance(seed));
        for _ in 0..300 {
            let at = chance.below(data.len() as u64) as usize;
            data[at] ^= 1 + chance.below(255) as u8;
        }
        let (repair, ..) = example.repair(&data, &example.hash, &example.parity);
        assert!(repair.data.healed.count() > 20 * example.fec.rounds());
        healed_all += u32::from(repair.is_whole());
    }
    assert!(healed_all >= 6, "{healed_all}");
}

/// Sources that count what is read of them, and fail where they are told to.
struct Watched<'a> {
    bytes: &'a [u8],
    unreadable: core::ops::Range<u64>,
    read: AtomicU64,
}

impl ReadAt for Watched<'_> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        if offset < self.unreadable.end && self.unreadable.start < offset + buf.len() as u64 {
            return Err(std::io::Error::other("bad sector"));
        }
        self.bytes.read_exact_at(offset, buf)
    }
}

/// Sectors that cannot be read are healed as any damage; without parity the error is theirs.
#[test]
fn what_cannot_be_read_is_healed() {
    let example = Example::new(300, 512, 2, Shape::Separate);
    let watched = |unreadable| Watched { bytes: &example.data, unreadable, read: AtomicU64::new(0) };
    let parity = || {
        let source = Arc::new(example.parity.clone());
        Parity::new(vec![example.fec.clone()], source, 0, ReadStats::default()).unwrap()
    };
    let tree = || example.tree.clone().vouched();
    let mut buf = vec![0; example.data.len()];
    let data = watched(100 * 512 + 7..103 * 512);
    let reader =
        VerifiedReader::open_with_parity(&data, &example.hash, tree(), &example.root, 0, parity()).unwrap();
    reader.read_exact_at(0, &mut buf).unwrap();
    assert!(buf == example.data);
    assert_eq!(reader.stats().unwrap().healed_data_blocks(), 3);
    // more than there are roots for
    let data = watched(100 * 512..110 * 512);
    let reader =
        VerifiedReader::open_with_parity(&data, &example.hash, tree(), &example.root, 0, parity()).unwrap();
    let error = reader.read_exact_at(100 * 512, &mut buf[..512]).unwrap_err();
    assert_eq!(error.to_string(), "data, byte 51200: bad sector");
}

/// Of many reads at once too, as of those that read ahead: damaged and unreadable blocks are healed, each proven.
#[test]
fn x6_many_reads_are_healed() {
    let example = Example::new(300, 512, 2, Shape::Separate);
    let parity = || {
        let source = Arc::new(example.parity.clone());
        Parity::new(vec![example.fec.clone()], source, 0, ReadStats::default()).unwrap()
    };
    let tree = || example.tree.clone().vouched();
    let mut bytes = example.data.clone();
    bytes[50 * 512] ^= 1;
    bytes[51 * 512] ^= 1;
    let data = Watched { bytes: &bytes, unreadable: 100 * 512 + 7..102 * 512, read: AtomicU64::new(0) };
    let reader =
        VerifiedReader::open_with_parity(&data, &example.hash, tree(), &example.root, 0, parity()).unwrap();
    let mut bufs = vec![[0; 400]; 300];
    let mut reads: Vec<_> =
        (0_u64..).map(|block| block * 512 + 3).zip(bufs.iter_mut().map(|buf| &mut buf[..])).collect();
    reader.read_many(&mut reads).unwrap();
    for (block, buf) in bufs.iter().enumerate() {
        assert!(buf[..] == example.data[block * 512 + 3..][..400], "{block}");
    }
    assert_eq!(reader.stats().unwrap().healed_data_blocks(), 4);
    let ahead = VerifiedReader::open_with_parity(&data, &example.hash, tree(), &example.root, 0, parity())
        .unwrap()
        .with_read_ahead(16 * 512);
    let mut buf = [0; 100];
    for at in (0..example.data.len() - 100).step_by(100) {
        ahead.read_exact_at(at as u64, &mut buf).unwrap();
        assert!(buf[..] == example.data[at..][..100], "{at}");
    }
    assert_eq!(ahead.stats().unwrap().healed_data_blocks(), 4);
}

/// What cannot be healed is tried once, and what was healed is kept: reading it again reads no row again.
#[test]
fn work_for_a_damaged_block_is_done_once() {
    let example = Example::new(2000, 512, 2, Shape::Separate);
    let rounds = example.fec.rounds();
    let mut bytes = example.data.clone();
    // two of a row are healed, three of the next are not
    for block in [0, rounds, 1, rounds + 1, 2 * rounds + 1] {
        bytes[(block * 512) as usize..][..512].fill(0x77);
    }
    let data = Watched { bytes: &bytes, unreadable: 0..0, read: AtomicU64::new(0) };
    let parity =
        Parity::new(vec![example.fec.clone()], Arc::new(example.parity.clone()), 0, ReadStats::default())
            .unwrap();
    let tree = example.tree.clone().vouched();
    let reader =
        VerifiedReader::open_with_parity(&data, &example.hash, tree, &example.root, 0, parity).unwrap();
    let mut buf = [0; 512];
    let cost = |block: u64, buf: &mut [u8]| {
        let before = data.read.load(Ordering::Relaxed);
        let is_read = reader.read_exact_at(block * 512, buf).is_ok();
        (is_read, (data.read.load(Ordering::Relaxed) - before) / 512)
    };
    let (is_read, blocks) = cost(0, &mut buf);
    assert!(is_read && (200..=3 * 253).contains(&blocks), "{blocks}");
    assert_eq!(cost(rounds, &mut buf), (true, 1));
    assert_eq!(cost(0, &mut buf), (true, 1));
    let (is_read, blocks) = cost(1, &mut buf);
    assert!(!is_read && (200..=6 * 253).contains(&blocks), "{blocks}");
    assert_eq!(cost(1, &mut buf), (false, 1));
    assert!(reader.cached_bytes() <= 3 * 512);
}

/// A damaged hash block over damaged data: the tree is healed first, and what that makes known is used.
#[test]
fn the_tree_is_healed_on_the_way() {
    let example = Example::new(2000, 512, 2, Shape::Separate);
    let layout = example.tree.layout();
    let rounds = example.fec.rounds();
    let (mut data, mut hash) = (example.data.clone(), example.hash.clone());
    // block 0 and one more of its row are bad, and so is the hash block that tells of the other one
    let other = 100 * rounds;
    for block in [0, other] {
        data[(block * 512) as usize..][..512].fill(1);
    }
    let (parent, _) = layout.parent(other);
    for (level, block) in [(layout.levels().len() - 1, 0), (0, parent)] {
        hash[layout.block_offset(level, block).unwrap() as usize..][..512].fill(9);
    }
    let reader = example.reader(&data, &hash, &example.parity, 0).unwrap();
    let mut found = vec![0; example.data.len()];
    reader.read_exact_at(0, &mut found).unwrap();
    assert!(found == example.data);
    let stats = reader.stats().unwrap();
    assert_eq!((stats.healed_data_blocks(), stats.healed_hash_blocks()), (2, 2));
}

/// Many threads, and rows that all of them want.
#[test]
fn threads_heal_together() {
    let example = Example::new(2000, 512, 4, Shape::Separate);
    let mut data = example.data.clone();
    let run = (example.fec.rounds() * 4 * 512) as usize;
    data[..run].fill(3);
    let reader = example.reader(&data, &example.hash, &example.parity, 4000).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (reader, example) = (&reader, &example);
            scope.spawn(move || {
                let mut chance = Chance(thread);
                for _ in 0..200 {
                    let at = chance.below(example.data.len() as u64 - 1500);
                    let mut buf = vec![0; chance.below(1500) as usize];
                    reader.read_exact_at(at, &mut buf).unwrap();
                    assert!(buf == example.data[at as usize..][..buf.len()]);
                }
            });
        }
    });
    assert!(reader.stats().unwrap().healed_data_blocks() <= example.fec.rounds() * 4);
}

#[test]
fn parity_of_another_tree_is_refused() {
    let example = Example::new(300, 512, 2, Shape::Separate);
    for other in [
        Example::new(301, 512, 2, Shape::Separate),
        Example::new(300, 512, 2, Shape::Bare),
        Example::new(300, 1024, 2, Shape::Separate),
    ] {
        let parity = Parity::new(vec![other.fec], Arc::new(other.parity), 0, ReadStats::default()).unwrap();
        let tree = example.tree.clone().vouched();
        let opened =
            VerifiedReader::open_with_parity(&example.data, &example.hash, tree, &example.root, 0, parity);
        assert!(matches!(opened, Err(Error::FecOther)));
    }
    let short = Arc::new(example.parity[1..].to_vec());
    let short = Parity::new(vec![example.fec.clone()], short, 0, ReadStats::default());
    assert!(matches!(short, Err(Error::TooShort { storage: Storage::Parity, .. })));
}

/// Several ways in which the parity may have been made, and damage everywhere: that by which a block is healed is the right one.
#[test]
fn how_parity_was_made_is_proven_by_what_it_heals() {
    let example = Example::new(200, 512, 6, Shape::Separate);
    let mut data = example.data.clone();
    data[..5 * 512].fill(0x31);
    let tree = example.tree.clone().vouched();
    let find = |data: &Vec<u8>| {
        FecLayout::find(&tree, data, &example.hash, &example.parity, 0, FecHints::default()).unwrap()
    };
    let intact = find(&example.data);
    assert!(intact.is_sure && intact.layouts == [example.fec.clone()]);
    // all is in one row
    let found = find(&data);
    assert!(!found.is_sure && found.layouts.len() > 5);
    let mut layouts = found.layouts;
    layouts.reverse();
    let parity = Parity::new(layouts, Arc::new(example.parity.clone()), 0, ReadStats::default()).unwrap();
    let reader =
        VerifiedReader::open_with_parity(&data, &example.hash, tree.clone(), &example.root, 0, parity)
            .unwrap();
    let mut read = vec![0; data.len()];
    reader.read_exact_at(0, &mut read).unwrap();
    assert!(read == example.data);
}
