//! Parity of forward error correction: repair, and a reader that heals.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ddi_verity::{
    Algorithm, CheckedTree, FecHints, FecLayout, HashTree, HashType, Options, Params, Parity, Placement,
    ReadAt, ReadStats, RepairSources, RootHash, Salt, Storage, VerifiedReader,
};

use super::input::Input;

/// Product in GF(256) with x⁸ + x⁴ + x³ + x² + 1, bit by bit.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        let carry = a & 0x80 != 0;
        a <<= 1;
        if carry {
            a ^= 0x1d;
        }
        b >>= 1;
    }
    product
}

/// Data, tree and parity, as they were.
struct Example {
    tree: CheckedTree,
    root: RootHash,
    layout: FecLayout,
    data: Vec<u8>,
    hash: Vec<u8>,
    parity: Vec<u8>,
    offset: u64,
}

impl Example {
    fn new(input: &mut Input<'_>) -> Option<Self> {
        let shape = input.byte();
        let size = if shape & 7 == 7 { 1024 } else { 512_u32 };
        let blocks = u64::from(input.u16()) % 400 + 1;
        let roots = 2 + u32::from(input.byte()) % 23;
        let salt = Salt::new(input.take(usize::from(shape >> 6))).ok()?;
        let params = Params::new(HashType::Normal, Algorithm::Sha256, size, size, blocks, salt).ok()?;
        let tree =
            HashTree::new(params, Placement::Bare(u64::from(shape >> 3 & 1) * u64::from(size))).ok()?;
        let options = Options::new().threads(1);

        let pattern = input.array::<8>();
        let mut data = pattern.repeat(params.data_size() as usize / 8);
        for (i, block) in (0_u16..).zip(data.chunks_mut(size as usize)) {
            block[..2].copy_from_slice(&i.to_le_bytes());
        }
        let hash = Mutex::new(Vec::new());
        let root = tree.build(&data, &hash, &options).ok()?;
        let mut hash = hash.into_inner().ok()?;
        hash.resize((tree.layout().tree().end + u64::from(shape >> 4 & 3) * u64::from(size)) as usize, 0xfe);
        let layout = FecLayout::new(&tree, roots, hash.len() as u64).ok()?;
        let offset = u64::from(input.byte() % 3) * 512;
        let parity = Mutex::new(Vec::new());
        layout.encode(&data, &hash, &parity, offset, &options).ok()?;
        let parity = parity.into_inner().ok()?;
        let example = Example { tree: tree.vouched(), root, layout, data, hash, parity, offset };
        example.check_codeword(u64::from(input.u32()));
        Some(example)
    }

    fn size(&self) -> usize {
        self.layout.block_size() as usize
    }

    /// One codeword, by the definition of the code: alpha to the power of 0, 1, … are its roots.
    fn check_codeword(&self, number: u64) {
        let region = self.layout.rounds() * self.layout.block_size();
        let number = (number % region) as usize;
        let roots = self.layout.roots();
        let tree_start = self.tree.layout().tree().start as usize;
        let message = |at: usize| match at.checked_sub(self.data.len()) {
            None => self.data[at],
            Some(at) => self.hash.get(tree_start + at).copied().unwrap_or(0),
        };
        let symbols = (0..255 - roots).map(|symbol| message(number + symbol * region as usize));
        let stored = self.parity[self.offset as usize + number * roots..][..roots].iter().copied();
        let word: Vec<u8> = symbols.chain(stored).collect();
        let mut root = 1;
        for power in 0..roots {
            let value = word.iter().fold(0, |sum, &symbol| multiply(sum, root) ^ symbol);
            assert_eq!(value, 0, "codeword {number} at alpha^{power}");
            root = multiply(root, 2);
        }
    }
}

/// What became of them.
struct Damaged {
    data: Vec<u8>,
    hash: Vec<u8>,
    parity: Vec<u8>,
    /// True if all of tree and parity is as it was, and no more than `roots` blocks of a row of the data are damaged.
    is_healable: bool,
}

impl Damaged {
    fn new(example: &Example, input: &mut Input<'_>) -> Self {
        let (mut data, mut hash, mut parity) =
            (example.data.clone(), example.hash.clone(), example.parity.clone());
        let size = example.size();
        for _ in 0..input.byte() % 24 {
            let (what, place, byte) = (input.byte(), input.u16(), input.byte() | 1);
            let bytes = match what & 3 {
                0 | 1 => &mut data,
                2 => &mut hash,
                _ => &mut parity,
            };
            if bytes.is_empty() {
                continue;
            }
            let blocks = bytes.len().div_ceil(size);
            let start = usize::from(place) % blocks * size;
            // a byte, a block, a run of blocks
            let range = match what >> 2 & 3 {
                0 | 1 => {
                    let at = (start + usize::from(byte) * 4).min(bytes.len() - 1);
                    at..at + 1
                }
                2 => start..start + size,
                _ => start..start + size * (1 + usize::from(what >> 4)),
            };
            let end = range.end.min(bytes.len());
            bytes[range.start..end].iter_mut().for_each(|old| *old ^= byte);
        }
        let mut of_row: BTreeMap<u64, usize> = BTreeMap::new();
        for (block, (now, before)) in (0..).zip(data.chunks(size).zip(example.data.chunks(size))) {
            *of_row.entry(block % example.layout.rounds()).or_default() += usize::from(now != before);
        }
        let is_healable = hash == example.hash
            && parity == example.parity
            && of_row.values().all(|&count| count <= example.layout.roots());
        Damaged { data, hash, parity, is_healable }
    }
}

/// Asserts: parity is a codeword of the code; whatever was damaged of data, tree and parity, and whatever is said of how the
/// parity was made, repair hands out original blocks alone, and is whole only if all is as it was then; a reader gives the
/// original bytes or an error. Both heal all that is within the limit of the code.
pub fn parity(input: &[u8]) {
    let mut input = Input(input);
    let Some(example) = Example::new(&mut input) else { return };
    let damaged = Damaged::new(&example, &mut input);
    let options = Options::new().threads(1);
    let lie = input.byte();
    let hints = FecHints {
        roots: (lie & 1 == 1).then(|| u32::from(input.byte() % 28)),
        hash_blocks: (lie & 2 == 2).then(|| u64::from(input.byte())),
        rounds: (lie & 4 == 4).then(|| u64::from(input.byte())),
        beside_tree: lie & 8 == 8,
    };
    // as it was made, or as somebody says
    let is_told = lie & 0x30 == 0;
    let layouts = if is_told {
        vec![example.layout.clone()]
    } else {
        let (tree, offset) = (example.tree.tree(), example.offset);
        match FecLayout::find(tree, &damaged.data, &damaged.hash, &damaged.parity, offset, hints) {
            Ok(found) => found.layouts,
            Err(error) => {
                drop(error.to_string());
                return;
            }
        }
    };
    let must_heal = is_told && damaged.is_healable;
    if let Some(layout) = layouts.first() {
        check_repair(&example, &damaged, layout, must_heal, &options);
    }
    check_reader(&example, &damaged, layouts, must_heal, &mut input);
}

fn check_repair(
    example: &Example,
    damaged: &Damaged,
    layout: &FecLayout,
    must_heal: bool,
    options: &Options<'_>,
) {
    let healed = Mutex::new((damaged.data.clone(), damaged.hash.clone()));
    let sink = |storage, offset, block: &[u8]| {
        let mut healed = healed.lock().expect("not poisoned");
        let (to, original) = match storage {
            Storage::Data => (&mut healed.0, &example.data),
            _ => (&mut healed.1, &example.hash),
        };
        let range = offset as usize..offset as usize + block.len();
        assert!(*block == original[range.clone()], "a wrong block of the {storage} at {offset}");
        to[range].copy_from_slice(block);
        Ok(())
    };
    let sources = RepairSources {
        data: &damaged.data,
        hash: &damaged.hash,
        parity: &damaged.parity,
        parity_offset: example.offset,
    };
    let repair = match layout.repair(&example.tree, &example.root, sources, &sink, options) {
        Ok(repair) => repair,
        Err(error) => {
            assert!(!must_heal, "{error}");
            return;
        }
    };
    let (data, hash) = healed.into_inner().expect("not poisoned");
    let tree = example.tree.layout().tree();
    let tree = tree.start as usize..tree.end as usize;
    let is_original = data == example.data && hash[tree.clone()] == example.hash[tree];
    assert_eq!(repair.is_whole(), is_original);
    assert!(is_original || !must_heal);
}

fn check_reader(
    example: &Example,
    damaged: &Damaged,
    layouts: Vec<FecLayout>,
    must_heal: bool,
    input: &mut Input<'_>,
) {
    let cache = usize::from(input.byte()) * 256;
    let source = Arc::new(damaged.parity.clone());
    let (data, hash) = (&damaged.data, &damaged.hash);
    let opened = Parity::new(layouts, source, example.offset, ReadStats::default()).and_then(|parity| {
        VerifiedReader::open_with_parity(data, hash, example.tree.clone(), &example.root, cache, parity)
    });
    let reader = match opened {
        Ok(reader) => reader,
        Err(error) => {
            assert!(!must_heal, "{error}");
            return;
        }
    };
    let size = example.size() as u64;
    let blocks = example.data.len() as u64 / size;
    let read = |offset: u64, len: u64| {
        let mut buf = vec![0xa5; len as usize];
        let original = &example.data[offset as usize..][..len as usize];
        match reader.read_exact_at(offset, &mut buf) {
            Ok(()) => assert!(buf == original, "wrong bytes at {offset}"),
            Err(error) => {
                assert!(!must_heal, "{error}");
                // nothing is lost that was never damaged
                assert!(damaged.data != example.data || damaged.hash != example.hash, "{error}");
                assert!(buf.iter().all(|&byte| byte == 0));
            }
        }
    };
    for _ in 0..8 {
        let at = u64::from(input.u16()) % blocks;
        let len = (u64::from(input.byte()) % 4 + 1).min(blocks - at);
        read(at * size, len * size - u64::from(input.byte() & 1));
    }
    if must_heal {
        read(0, example.data.len() as u64);
    }
    assert!(reader.cached_bytes() <= cache + (8 << 20) + size as usize);
}
