//! Superblocks, hash trees, the verified reader, hash kernels.

use std::sync::Mutex;

use arbitrary::{Arbitrary, Unstructured};
use ddi_verity::{
    Algorithm, Backend, BlockHasher, CheckedTree, HashTree, HashType, Options, Params, Placement, ReadAt,
    RootHash, Salt, Strictness, Superblock, Verdict, VerifiedReader, check_geometry,
};
use sha2::Digest as _;

use super::input::Input;

/// Asserts: a superblock that is accepted is written as the very bytes it was read from; its layout is that of the
/// specification, recomputed here; what is only looked at is never an error, and has no faults exactly if it is accepted.
pub fn superblock(input: &[u8]) {
    let mut bytes = [0; 512];
    let len = input.len().min(512);
    bytes[..len].copy_from_slice(&input[..len]);
    if input.get(512).is_some_and(|byte| byte & 1 == 1) {
        bytes[..12].copy_from_slice(b"verity\0\0\x01\0\0\0");
    }
    let examined = Superblock::examine(&bytes);
    let _ = examined.faults.iter().map(ToString::to_string).count();
    let superblock = match Superblock::parse(&bytes) {
        Ok(superblock) => superblock,
        Err(error) => {
            drop((error.to_string(), error.code(), error.kind(), error.superblock_offset()));
            assert!(!examined.faults.is_empty());
            return;
        }
    };
    assert!(examined.faults.is_empty());
    assert_eq!(superblock.to_bytes(), bytes);
    let params = superblock.params;
    let Ok(tree) = HashTree::new(params, Placement::Superblock(0)) else { return };

    let (block, digest) = (u128::from(params.hash_block_size()), params.digest_size() as u128);
    let mut per_block = 1;
    while per_block * 2 * digest <= block {
        per_block *= 2;
    }
    let (mut levels, mut blocks) = (Vec::new(), u128::from(params.data_blocks()));
    while blocks > 1 {
        blocks = blocks.div_ceil(per_block);
        levels.push(blocks);
    }
    let layout = tree.layout();
    assert_eq!(layout.levels().iter().map(|level| u128::from(level.blocks)).collect::<Vec<_>>(), levels);
    // the top level first, right behind the superblock's block
    let mut offset = block.max(512);
    for level in layout.levels().iter().rev() {
        assert_eq!(u128::from(level.offset), offset);
        offset += u128::from(level.blocks) * block;
    }
    assert_eq!(u128::from(layout.tree().end), offset);
    let end = layout.tree().end;
    if let Ok(checked) = check_geometry(tree, params.data_size(), end, Strictness::STRICT) {
        assert!(checked.geometry().exceptions.is_empty() && params.algorithm() != Algorithm::Sha1);
    }
}

/// A tree with its data, by the format's plain words, and as it is after some bytes of it were changed: some before the root
/// hash was taken, so that it vouches for a wrong digest or for junk in spare bytes, and some after.
struct Example {
    params: Params,
    tree: CheckedTree,
    /// Of the tree with what was forged.
    root: RootHash,
    /// Data, its tree, and the root hash of that.
    good: [Vec<u8>; 2],
    good_root: RootHash,
    now: [Vec<u8>; 2],
    /// As the model judges it: for each level, the data being the lowest, whether a block is proven; for hash levels also
    /// whether its spare bytes are zero.
    levels: Vec<Vec<Block>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Proven { spare_is_zero: bool },
    Corrupt,
    Unproven,
}

fn hash(params: &Params, block: &[u8]) -> Vec<u8> {
    let salt = params.salt().as_bytes();
    let message = match params.hash_type() {
        HashType::Normal => [salt, block].concat(),
        HashType::ChromeOs => [block, salt].concat(),
    };
    match params.algorithm() {
        Algorithm::Sha1 => sha1::Sha1::digest(message).to_vec(),
        Algorithm::Sha384 => sha2::Sha384::digest(message).to_vec(),
        Algorithm::Sha512 => sha2::Sha512::digest(message).to_vec(),
        _ => sha2::Sha256::digest(message).to_vec(),
    }
}

/// Digests in a hash block, and bytes from one to the next.
fn slots(params: &Params) -> (usize, usize) {
    let block_size = params.hash_block_size() as usize;
    let mut per_block = 1;
    while 2 * per_block * params.digest_size() <= block_size {
        per_block *= 2;
    }
    match params.hash_type() {
        HashType::Normal => (per_block, block_size / per_block),
        HashType::ChromeOs => (per_block, params.digest_size()),
    }
}

/// The levels of hash blocks, lowest first, and the root hash. Of all bytes of these levels, one behind the other, those at
/// `forged` are changed before their block is hashed.
pub(crate) fn naive(params: &Params, data: &[u8], forged: &[(usize, u8)]) -> (Vec<Vec<u8>>, RootHash) {
    let (per_block, slot) = slots(params);
    let mut digests: Vec<_> =
        data.chunks(params.data_block_size() as usize).map(|block| hash(params, block)).collect();
    let mut levels = Vec::new();
    let mut start = 0;
    while digests.len() > 1 {
        let mut level = Vec::new();
        for digests in digests.chunks(per_block) {
            let mut block = vec![0; params.hash_block_size() as usize];
            for (i, digest) in digests.iter().enumerate() {
                block[i * slot..][..digest.len()].copy_from_slice(digest);
            }
            for (at, change) in forged {
                if let Some(byte) = at.checked_sub(start).and_then(|at| block.get_mut(at)) {
                    *byte ^= change;
                }
            }
            start += block.len();
            level.extend(block);
        }
        digests = level.chunks(params.hash_block_size() as usize).map(|block| hash(params, block)).collect();
        levels.push(level);
    }
    (levels, RootHash::from_bytes(&digests[0]).expect("a whole digest"))
}

impl Example {
    fn new(input: &mut Input<'_>) -> Option<Self> {
        let shape = input.byte();
        let algorithm = [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Sha384, Algorithm::Sha1];
        let algorithm = algorithm[usize::from(shape & 3)];
        let hash_type = if shape & 4 == 0 { HashType::Normal } else { HashType::ChromeOs };
        let sizes = input.byte();
        let size = |bits: u8| 512 << [0, 0, 0, 1, 0, 2, 3, 1][usize::from(bits & 7)];
        let blocks = u64::from(input.byte() % 70) + 1;
        let salt = input.byte();
        let salt = Salt::new(input.take(usize::from(salt % 40))).ok()?;
        let params = Params::new(hash_type, algorithm, size(sizes), size(sizes >> 3), blocks, salt).ok()?;
        let place = Placement::Bare(u64::from(sizes >> 6) * u64::from(params.hash_block_size()));
        let tree = HashTree::new(params, place).ok()?.vouched();

        // the same few bytes over and over, and the number of the block
        let pattern = input.array::<8>();
        let data_block = params.data_block_size() as usize;
        let mut data = pattern.repeat(params.data_size() as usize / 8);
        for (i, block) in (0..).zip(data.chunks_mut(data_block)) {
            block[0] = i;
        }
        let changes = input.byte();
        let after: Vec<_> = (0..changes % 6).map(|_| (input.u32() as usize, input.byte())).collect();
        let bytes = (tree.layout().hash_blocks() * u64::from(params.hash_block_size())).max(1) as usize;
        let forged: Vec<_> =
            (0..changes / 6 % 4).map(|_| (input.u32() as usize % bytes, input.byte())).collect();
        let hash_area = |levels: &[Vec<u8>]| {
            let mut area = vec![0; layout_start(&tree)];
            area.extend(levels.iter().rev().flatten());
            area
        };
        let (levels, good_root) = naive(&params, &data, &[]);
        let (now, root) = naive(&params, &data, &forged);
        let (good, now) = ([data.clone(), hash_area(&levels)], [data, hash_area(&now)]);
        let mut example = Example { params, tree, root, good, good_root, now, levels: Vec::new() };
        for (place, byte) in after {
            let bytes = &mut example.now[place & 1];
            if let Some(len) = bytes.len().checked_sub(1) {
                bytes[(place >> 1) % (len + 1)] ^= byte;
            }
        }
        example.judge(levels.len());
        Some(example)
    }

    fn judge(&mut self, levels: usize) {
        let (per_block, slot) = slots(&self.params);
        let block_size = self.params.hash_block_size() as usize;
        let digest_size = self.params.digest_size();
        let mut at = layout_start(&self.tree);
        // what the level above says: its blocks, and whether each is proven
        let mut above: Option<(&[u8], Vec<Block>)> = None;
        let mut judged = Vec::new();
        let counts: Vec<usize> =
            self.tree.layout().levels().iter().map(|level| level.blocks as usize).collect();
        for level in (0..=levels).rev() {
            let (bytes, size) = match level {
                0 => (&self.now[0][..], self.params.data_block_size() as usize),
                _ => {
                    let len = counts[level - 1] * block_size;
                    at += len;
                    (&self.now[1][at - len..at], block_size)
                }
            };
            let children = if level < 2 { self.params.data_blocks() as usize } else { counts[level - 2] };
            let judge = |(i, block): (usize, &[u8])| {
                let expected = match &above {
                    None => self.root.as_bytes(),
                    Some((parents, states)) => match states[i / per_block] {
                        Block::Proven { .. } => {
                            &parents[i / per_block * block_size + i % per_block * slot..][..digest_size]
                        }
                        _ => return Block::Unproven,
                    },
                };
                if hash(&self.params, block) != expected {
                    return Block::Corrupt;
                }
                let used = (children - (i * per_block).min(children)).min(per_block);
                let is_spare = |at: usize| at / slot >= used || at % slot >= digest_size;
                let spare_is_zero = level == 0 || (0..size).all(|at| block[at] == 0 || !is_spare(at));
                Block::Proven { spare_is_zero }
            };
            let states: Vec<Block> = bytes.chunks(size).enumerate().map(judge).collect();
            above = Some((bytes, states.clone()));
            judged.push(states);
        }
        judged.reverse();
        self.levels = judged;
    }

    /// Returns true if every hash block above data block `block` is proven, and clean.
    fn path_is_clean(&self, block: usize) -> bool {
        let (per_block, _) = slots(&self.params);
        let mut at = block;
        self.levels[1..].iter().all(|level| {
            at /= per_block;
            level[at] == Block::Proven { spare_is_zero: true }
        })
    }
}

fn layout_start(tree: &HashTree) -> usize {
    tree.layout().tree().start as usize
}

/// Asserts: the tree that is built is the model's, byte for byte; a check of damaged data and trees finds what the model
/// finds, block by block, whether it goes through or stops at the first finding.
pub fn verity_verify(input: &[u8]) {
    let mut input = Input(input);
    let Some(example) = Example::new(&mut input) else { return };
    let options = Options::new().threads(1).allow_sha1(true);
    let hash = Mutex::new(vec![0; layout_start(&example.tree)]);
    let built = example.tree.build(&example.good[0], &hash, &options).expect("what was checked can be built");
    assert_eq!(built, example.good_root);
    assert!(hash.into_inner().expect("not poisoned") == example.good[1]);

    let root = example.root;
    let [data, hash] = &example.now;
    let verdict = example.tree.verify(data, hash, &root, &options).expect("the sizes are right");
    let all = example.levels.iter().enumerate().all(|(level, blocks)| {
        let good = Block::Proven { spare_is_zero: true };
        blocks.iter().all(|block| *block == good) || (level == 0 && blocks.is_empty())
    });
    assert_eq!(verdict.is_proven(), all);
    assert!(verdict.is_complete);
    compare(&verdict, &example.levels);

    let first = example.tree.verify(data, hash, &root, &options.stop_at_first(true)).expect("the same");
    assert_eq!(first.is_proven(), all);
    assert!(first.is_complete || !all);
}

fn compare(verdict: &Verdict, levels: &[Vec<Block>]) {
    let which = |blocks: &[Block], wanted: fn(&Block) -> bool| -> Vec<u64> {
        (0..).zip(blocks).filter(|(_, block)| wanted(block)).map(|(i, _)| i).collect()
    };
    let listed = |ranges: &ddi_verity::BlockRanges| -> Vec<u64> {
        assert_eq!(ranges.count(), ranges.ranges().iter().map(|range| range.end - range.start).sum::<u64>());
        ranges.ranges().iter().cloned().flatten().collect()
    };
    let proven: fn(&Block) -> bool = |block| matches!(block, Block::Proven { .. });
    let corrupt: fn(&Block) -> bool = |block| *block == Block::Corrupt;
    let unproven: fn(&Block) -> bool = |block| *block == Block::Unproven;
    let spare: fn(&Block) -> bool = |block| *block == Block::Proven { spare_is_zero: false };
    assert_eq!(verdict.proven_data, which(&levels[0], proven).len() as u64);
    assert_eq!(listed(&verdict.corrupt_data), which(&levels[0], corrupt));
    assert_eq!(listed(&verdict.unproven_data), which(&levels[0], unproven));
    assert_eq!(verdict.levels.len(), levels.len() - 1);
    for (found, expected) in verdict.levels.iter().zip(&levels[1..]) {
        assert_eq!(found.proven, which(expected, proven).len() as u64);
        assert_eq!(listed(&found.corrupt), which(expected, corrupt));
        assert_eq!(listed(&found.unproven), which(expected, unproven));
        assert_eq!(listed(&found.spare), which(expected, spare));
    }
}

/// Asserts: any reads through a verified reader over damaged storage give the bytes that were hashed, or an error; the
/// error exactly if a block of the range, or of its paths, is not what the model proves.
pub fn verified_reader(input: &[u8]) {
    let mut input = Input(input);
    let Some(example) = Example::new(&mut input) else { return };
    let cache = usize::from(input.byte()) * 128;
    let [data, hash] = &example.now;
    let reader = VerifiedReader::open_with_cache(
        data.clone(),
        hash.clone(),
        example.tree.clone(),
        &example.root,
        cache,
    );
    let last = example.params.data_blocks() as usize - 1;
    let can_open = example.levels.len() == 1 || example.path_is_clean(last);
    assert_eq!(reader.is_ok(), can_open);
    let Ok(reader) = reader else { return };
    let size = reader.size();
    assert_eq!(size, example.params.data_size());
    let block_size = u64::from(example.params.data_block_size());
    for _ in 0..16 {
        if input.0.is_empty() {
            break;
        }
        let (offset, len) = (u64::from(input.u16()), u64::from(input.u16()));
        // mostly inside
        let offset = if offset & 15 == 15 { offset } else { offset % (size + 1) };
        let len = if len & 15 == 15 { len } else { len % (size.saturating_sub(offset) + 1) };
        let mut buf = vec![0xa5; len as usize];
        let outcome = reader.read_exact_at(offset, &mut buf);
        let inside = offset + len <= size;
        let blocks =
            if len == 0 || !inside { 0..0 } else { offset / block_size..(offset + len).div_ceil(block_size) };
        let good = inside
            && blocks.clone().all(|block| {
                let block = block as usize;
                example.levels[0][block] == Block::Proven { spare_is_zero: true }
                    && example.path_is_clean(block)
            });
        assert_eq!(outcome.is_ok(), good, "{offset} {len} {outcome:?}");
        match outcome {
            Ok(()) => assert!(buf == example.good[0][offset as usize..][..len as usize]),
            Err(error) => {
                assert!(!inside || buf.iter().all(|byte| *byte == 0));
                drop(error.to_string());
            }
        }
        let top = example.params.hash_block_size() as usize;
        assert!(reader.cached_bytes() <= cache + top);
    }
}

#[derive(Arbitrary, Debug)]
struct Blocks<'a> {
    algorithm: u8,
    chrome_os: bool,
    block_size: u8,
    blocks: u8,
    salt_size: u16,
    gap: u8,
    shift: u8,
    seed: &'a [u8],
}

/// Asserts: every kernel that this CPU can run gives the digests of the `sha1` and `sha2` crates, and writes nowhere else, for
/// any number of blocks (`sha-ni-x4`: of the first eight), salt, hash type, block size, stride and alignment.
pub fn kernels(input: &[u8]) {
    let Ok(input) = Blocks::arbitrary(&mut Unstructured::new(input)) else { return };
    let algorithm = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512, Algorithm::Sha1]
        [usize::from(input.algorithm % 4)];
    let hash_type = if input.chrome_os { HashType::ChromeOs } else { HashType::Normal };
    let block_size = 512 << [0, 0, 0, 0, 0, 1, 2, 3][usize::from(input.block_size & 7)];
    // two groups of the widest kernel, and some
    let blocks = usize::from(input.blocks % 34);
    let shift = usize::from(input.shift % 64);
    // the seed, over and over, each time a little different
    let byte = |i: usize| input.seed.get(i % input.seed.len().max(1)).copied().unwrap_or(0) ^ (i >> 7) as u8;
    let salt: Vec<u8> = (0..usize::from(input.salt_size % 257)).map(byte).collect();
    let memory: Vec<u8> = (0..shift + blocks * block_size).map(|i| byte(i + 1)).collect();
    let data = &memory[shift..];

    let stride = algorithm.digest_size() + usize::from(input.gap % 65);
    let mut expected = vec![0xa5; blocks * stride];
    let salt_value = Salt::new(&salt).expect("256 bytes at most");
    let params =
        Params::new(hash_type, algorithm, block_size as u32, 4096, 1, salt_value).expect("these are good");
    for (block, out) in data.chunks(block_size).zip(expected.chunks_mut(stride)) {
        out[..algorithm.digest_size()].copy_from_slice(&hash(&params, block));
    }
    for backend in Backend::available(algorithm) {
        // some CPUs run this one two hundred times slower than the others: two groups of its lanes
        let blocks = if backend.name() == "sha-ni-x4" { blocks.min(8) } else { blocks };
        let mut out = vec![0xa5; blocks * stride];
        BlockHasher::with_backend(algorithm, hash_type, &salt, backend).hash_blocks(
            &data[..blocks * block_size],
            block_size,
            &mut out,
            stride,
        );
        assert!(out == expected[..blocks * stride], "{backend}");
    }
}
