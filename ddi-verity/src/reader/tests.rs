use std::io::{Read, Seek, SeekFrom};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ddi_io::Stream;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::geometry::CheckedTree;
use crate::hash::{Algorithm, HashType};
use crate::layout::Placement;
use crate::params::{Params, Salt};
use crate::tree::model::{kinds, shapes, some_shapes};

mod together;

/// Data, its tree and the root hash, by a builder of a few lines.
struct Image {
    data: Vec<u8>,
    hash: Vec<u8>,
    tree: CheckedTree,
    root: RootHash,
}

fn params(
    algorithm: Algorithm,
    hash_type: HashType,
    (data_block, hash_block): (u32, u32),
    blocks: u64,
) -> Params {
    Params::new(hash_type, algorithm, data_block, hash_block, blocks, Salt::new(b"salt").unwrap()).unwrap()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect()
}

/// Builds a tree; `edit` may change each hash block (level, number, bytes) before it is hashed.
fn image_with(params: Params, edit: impl Fn(usize, u64, &mut [u8])) -> Image {
    let data = noise(params.data_size() as usize);
    let tree = HashTree::new(params, Placement::Bare(0)).unwrap().vouched();
    let layout = tree.layout();
    let hasher = params.hasher();
    let mut hash = vec![0; layout.tree().end as usize];
    let mut below: Vec<_> =
        data.chunks(params.data_block_size() as usize).map(|block| hasher.hash_block(block)).collect();
    for (level, place) in layout.levels().iter().enumerate() {
        let children = below.chunks(layout.digests_per_block());
        below = (0..place.blocks)
            .zip(children)
            .map(|(number, children)| {
                let start = layout.block_offset(level, number).unwrap() as usize;
                let block = &mut hash[start..][..layout.block_size()];
                for (slot, child) in children.iter().enumerate() {
                    block[layout.slot(slot)].copy_from_slice(child.as_bytes());
                }
                edit(level, number, block);
                hasher.hash_block(block)
            })
            .collect();
    }
    Image { data, hash, root: RootHash::from(below[0]), tree }
}

fn image(params: Params) -> Image {
    image_with(params, |_, _, _| ())
}

/// Blocks of 512 bytes, 16 digests in each.
fn small(blocks: u64) -> Params {
    params(Algorithm::Sha256, HashType::Normal, (512, 512), blocks)
}

impl Image {
    fn open(&self) -> Result<VerifiedReader<&[u8], &[u8]>, Error> {
        self.open_over(&self.data[..], &self.hash[..], DEFAULT_CACHE_SIZE)
    }

    fn open_over<D: ReadAt, H: ReadAt>(
        &self,
        data: D,
        hash: H,
        cache: usize,
    ) -> Result<VerifiedReader<D, H>, Error> {
        VerifiedReader::open_with_cache(data, hash, self.tree.clone(), &self.root, cache)
    }
}

/// The verity error in an I/O error.
fn inner(error: &io::Error) -> &Error {
    error.get_ref().unwrap().downcast_ref().unwrap()
}

fn read_vec(reader: &impl ReadAt, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0xaa; len];
    match reader.read_exact_at(offset, &mut buf) {
        Ok(()) => Ok(buf),
        Err(error) => {
            assert!(buf.iter().all(|&byte| byte == 0), "unproven bytes left in the buffer");
            Err(error)
        }
    }
}

fn mismatch(error: &io::Error) -> Option<(Option<usize>, u64)> {
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    match inner(error) {
        Error::BlockMismatch { level, block } => Some((*level, *block)),
        _ => None,
    }
}

#[test]
fn shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<VerifiedReader<Vec<u8>, Box<dyn ReadAt>>>();
    check::<Stream<VerifiedReader<Vec<u8>, Vec<u8>>>>();
}

#[test]
fn right_bytes_for_every_shape() {
    for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
        for hash_type in [HashType::ChromeOs, HashType::Normal] {
            for sizes in [(512, 512), (4096, 512), (512, 4096), (1024, 1024)] {
                for blocks in [1, 2, 8, 9, 100] {
                    let image = image(params(algorithm, hash_type, sizes, blocks));
                    let reader = image.open().unwrap();
                    assert_eq!(reader.size(), image.data.len() as u64);
                    assert_eq!(read_vec(&reader, 0, image.data.len()).unwrap(), image.data);
                }
            }
        }
    }
}

#[test]
fn sizes_around_powers_of_the_fanout() {
    for blocks in [1, 2, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097] {
        let image = image(small(blocks));
        for cache in [0, 1, 1000, DEFAULT_CACHE_SIZE] {
            let reader = image.open_over(&image.data, &image.hash, cache).unwrap();
            assert_eq!(read_vec(&reader, 0, image.data.len()).unwrap(), image.data);
            assert_eq!(
                read_vec(&reader, 512 * (blocks - 1), 512).unwrap(),
                image.data[image.data.len() - 512..]
            );
        }
    }
}

/// At another number of data blocks the same tree and root hash open nothing, or fail where blocks are missing.
#[test]
fn another_number_of_blocks() {
    for blocks in [2, 16, 17, 256, 257, 300] {
        let image = image(small(blocks));
        for other in (1..blocks).chain(blocks + 1..blocks + 40) {
            let tree = HashTree::new(small(other), Placement::Bare(0)).unwrap().vouched();
            // zeros behind both ends, so that nothing fails for being short
            let data = [&image.data[..], &vec![0; 40 * 512]].concat();
            let hash = [&image.hash[..], &vec![0; 8 * 512]].concat();
            match VerifiedReader::open(&data, &hash, tree, &image.root) {
                Err(Error::BlockMismatch { level: Some(_), .. } | Error::SpareNotZero { .. }) => {}
                Err(Error::BlockMismatch { .. }) => unreachable!(),
                Err(error) => panic!("{blocks} as {other}: {error}"),
                // an upper level, taken for level 0, promises hash blocks: the data does not match
                Ok(reader) if other < blocks => {
                    let upper = &image.tree.layout().levels()[1..];
                    assert!(other == 1 || upper.iter().any(|level| level.blocks == other.div_ceil(16)));
                    for block in 0..other {
                        let error = read_vec(&reader, block * 512, 512).unwrap_err();
                        assert_eq!(mismatch(&error), Some((None, block)));
                    }
                }
                // digests of zero stand where those of the further blocks would be
                Ok(reader) => {
                    let error = read_vec(&reader, blocks * 512, 512).unwrap_err();
                    assert_eq!(mismatch(&error), Some((None, blocks)));
                }
            }
        }
    }
}

#[test]
fn data_behind_the_last_block_does_not_exist() {
    let image = image(small(5));
    let data = [&image.data[..], &[1; 1000]].concat();
    let reader = image.open_over(&data, &image.hash, 0).unwrap();
    assert_eq!(reader.size(), 5 * 512);
    for (offset, len) in [(5 * 512, 1), (5 * 512 - 1, 2), (u64::MAX, 1), (u64::MAX, 0), (0, 5 * 512 + 1)] {
        let error = reader.read_exact_at(offset, &mut vec![0; len]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset} {len}");
    }
    assert!(reader.read_exact_at(5 * 512, &mut []).is_ok());
}

#[test]
fn sources_must_be_long_enough_and_the_root_hash_of_the_right_size() {
    let image = image(small(300));
    let short = image.open_over(&image.data[..300 * 512 - 1], &image.hash, 0).unwrap_err();
    assert!(matches!(short, Error::TooShort { storage: Storage::Data, needed: 153_600, found: 153_599 }));
    let short = image.open_over(&image.data, &image.hash[..22 * 512 - 1], 0).unwrap_err();
    assert!(matches!(short, Error::TooShort { storage: Storage::Hash, needed: 11_264, found: 11_263 }));
    let root = RootHash::from_bytes(&[0; 48]).unwrap();
    let error = VerifiedReader::open(&image.data, &image.hash, image.tree.clone(), &root).unwrap_err();
    assert!(matches!(error, Error::RootHashSize { expected: 32, found: 48 }));
}

/// Offsets and lengths that begin and end anywhere in blocks.
#[test]
fn every_alignment() {
    for shape in some_shapes() {
        let image = image(shape.params(20));
        let reader = image.open().unwrap();
        let size = u64::from(shape.data_block_size);
        let points: Vec<u64> = (0..=20).flat_map(|b| [b * size, b * size + 1, b * size + size - 1]).collect();
        for &start in points.iter().filter(|&&start| start <= 20 * size) {
            for &end in points.iter().filter(|&&end| start <= end && end <= 20 * size) {
                let found = read_vec(&reader, start, (end - start) as usize).unwrap();
                assert_eq!(found, image.data[start as usize..end as usize]);
            }
        }
    }
}

/// A byte of each block, one block after the other and back, with caches that hold all, some and nothing: never that of
/// another block.
#[test]
fn d1_a_kept_block_is_given_for_itself_alone() {
    for kind in kinds() {
        for sizes in [(512, 512), (512, 4096), (1024, 8192), (4096, 512), (4096, 1024), (2048, 4096)] {
            let image = image(params(kind.1, kind.0, sizes, 130));
            let size = sizes.0 as usize;
            for cache in [0, 3000, 40_000, DEFAULT_CACHE_SIZE] {
                let reader = image.open_over(&image.data, &image.hash, cache).unwrap();
                for block in (0..130).chain((0..130).rev()) {
                    let at = block * size + 9;
                    let found = read_vec(&reader, at as u64, 5).unwrap();
                    assert_eq!(found, image.data[at..][..5], "{kind:?} {sizes:?} {cache}: block {block}");
                }
            }
        }
    }
}

/// The root hash vouches for a digest that differs from that of the block in one bit: of each algorithm, each bit of a digest
/// in each level, and of the root hash.
#[test]
fn d6_every_bit_of_a_digest_is_compared() {
    for (hash_type, algorithm) in kinds() {
        // three levels, the last block of each but the top alone in its parent
        let params =
            params(algorithm, hash_type, (512, 512), if algorithm.digest_size() > 32 { 65 } else { 257 });
        let good = image(params);
        assert_eq!(good.tree.layout().levels().len(), 3);
        let slot = good.tree.layout().slot(1);
        for bit in 0..8 * algorithm.digest_size() {
            for level in 0..3 {
                let forged = image_with(params, |l, number, bytes| {
                    if (l, number) == (level, 0) {
                        bytes[slot.start + bit / 8] ^= 1 << (bit % 8);
                    }
                });
                // the second block below
                let child = (level.checked_sub(1), 1);
                let block = 1 << (forged.tree.layout().digests_per_block().ilog2() * level as u32);
                let at = block * 512;
                match forged.open() {
                    Ok(reader) => {
                        let error = read_vec(&reader, at, 7).unwrap_err();
                        assert_eq!(mismatch(&error), Some(child), "{algorithm} level {level} bit {bit}");
                        assert!(read_vec(&reader, 0, 512).is_ok());
                    }
                    // on the right-most path
                    Err(Error::BlockMismatch { level: l, block: b }) => {
                        assert_eq!((l, b, level), (child.0, 1, 2))
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            for good in [&good, &image(self::params(algorithm, hash_type, (512, 512), 1))] {
                let mut root = good.root.as_bytes().to_vec();
                root[bit / 8] ^= 1 << (bit % 8);
                let root = RootHash::from_bytes(&root).unwrap();
                match VerifiedReader::open(&good.data, &good.hash, good.tree.clone(), &root) {
                    Ok(reader) => {
                        let error = read_vec(&reader, 0, 1).unwrap_err();
                        assert_eq!(mismatch(&error), Some((None, 0)));
                        assert_eq!(good.hash.len(), 0);
                    }
                    Err(error) => {
                        assert!(
                            matches!(error, Error::BlockMismatch { level: Some(2), block: 0 }),
                            "{error}"
                        );
                    }
                }
            }
        }
    }
}

/// Each bit of the data and of the tree of 300 blocks of 512 bytes.
#[test]
fn every_flipped_bit_is_named() {
    let image = image(small(300));
    assert_eq!(image.hash.len(), 22 * 512);
    let data = Mutex::new(image.data.clone());
    let reader = image.open_over(Flippable(&data), &image.hash, 1 << 14).unwrap();
    for bit in 0..image.data.len() * 8 {
        let block = (bit / 8 / 512) as u64;
        data.lock().unwrap()[bit / 8] ^= 1 << (bit % 8);
        let error = reader.read_exact_at(block * 512, &mut [0; 512]).unwrap_err();
        assert_eq!(mismatch(&error), Some((None, block)), "bit {bit}");
        data.lock().unwrap()[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(read_vec(&reader, 0, image.data.len()).unwrap(), image.data);

    let layout = image.tree.layout();
    let mut hash = image.hash.clone();
    let mut at_open = 0;
    for level in 0..layout.levels().len() {
        for block in 0..layout.levels()[level].blocks {
            // the data blocks under it
            let (first, last) = (block << (4 * (level + 1)), ((block + 1) << (4 * (level + 1))).min(300) - 1);
            let start = layout.block_offset(level, block).unwrap() as usize;
            for bit in start * 8..(start + 512) * 8 {
                hash[bit / 8] ^= 1 << (bit % 8);
                match image.open_over(&image.data, &hash, 1 << 14) {
                    Err(Error::BlockMismatch { level: l, block: b }) => {
                        assert_eq!((l, b), (Some(level), block));
                        assert_eq!(last, 299);
                        at_open += 1;
                    }
                    Err(other) => panic!("{other}"),
                    Ok(reader) => {
                        for below in [first, last] {
                            let error = read_vec(&reader, below * 512, 512).unwrap_err();
                            assert_eq!(mismatch(&error), Some((Some(level), block)));
                        }
                        let beside = if first > 0 { first - 1 } else { last + 1 };
                        assert!(read_vec(&reader, beside * 512, 512).is_ok());
                    }
                }
                hash[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
    assert_eq!(at_open, 3 * 4096);
}

struct Flippable<'a>(&'a Mutex<Vec<u8>>);
impl ReadAt for Flippable<'_> {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.lock().unwrap().read_exact_at(offset, buf)
    }
}

/// A tree that hashes up to its root hash but has something where zeros must be.
#[test]
fn spare_bytes_must_be_zero() {
    for (algorithm, hash_type, offset) in [
        // 300 blocks: the last block of level 0 has 12 digests, of level 1 has 3, the top has 2
        (Algorithm::Sha256, HashType::Normal, 12 * 32),
        (Algorithm::Sha256, HashType::Normal, 511),
        (Algorithm::Sha1, HashType::ChromeOs, 16 * 20),
    ] {
        let params = params(algorithm, hash_type, (512, 512), 300);
        for level in 0..3 {
            let last = HashTree::new(params, Placement::Bare(0)).unwrap().layout().levels()[level].blocks - 1;
            let edited = image_with(params, |l, b, bytes| {
                if (l, b) == (level, last) {
                    bytes[offset] = 1;
                }
            });
            match edited.open().unwrap_err() {
                Error::SpareNotZero { level: l, block: b } => assert_eq!((l, b), (level, last)),
                other => panic!("{other}"),
            }
        }
    }
    // in a block that is not on the right-most path, and in the gap behind a digest
    let edited =
        image_with(params(Algorithm::Sha384, HashType::Normal, (512, 512), 300), |level, block, bytes| {
            if (level, block) == (0, 3) {
                bytes[48] = 1;
            }
        });
    let reader = edited.open().unwrap();
    let error = read_vec(&reader, 3 * 8 * 512, 1).unwrap_err();
    assert!(matches!(inner(&error), Error::SpareNotZero { level: 0, block: 3 }));
    assert!(read_vec(&reader, 4 * 8 * 512, 1).is_ok());
}

/// Small reads in one block hash it once, and go on with that copy.
#[test]
fn blocks_that_were_read_in_part_are_kept() {
    let image = image(small(300));
    let data = DoubleFetch::new(&image.data);
    let reader = image.open_over(&data, &image.hash, DEFAULT_CACHE_SIZE).unwrap();
    for offset in (0..image.data.len() - 16).step_by(13) {
        assert_eq!(read_vec(&reader, offset as u64, 16).unwrap(), image.data[offset..][..16]);
    }
    // a whole block is read anew, into the caller's buffer
    assert_eq!(mismatch(&read_vec(&reader, 0, 512).unwrap_err()), Some((None, 0)));
    assert_eq!(read_vec(&reader, 1, 511).unwrap(), image.data[1..512]);
}

/// A source whose bytes turn into their complement once they have been read.
struct DoubleFetch {
    bytes: Vec<u8>,
    read: Mutex<Vec<bool>>,
}

impl DoubleFetch {
    fn new(bytes: &[u8]) -> Self {
        DoubleFetch { bytes: bytes.to_vec(), read: Mutex::new(vec![false; bytes.len()]) }
    }
}

impl ReadAt for DoubleFetch {
    fn size(&self) -> u64 {
        self.bytes.size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.bytes.read_exact_at(offset, buf)?;
        let mut read = self.read.lock().unwrap();
        for (byte, read) in buf.iter_mut().zip(&mut read[offset as usize..]) {
            *byte = if *read { !*byte } else { *byte };
            *read = true;
        }
        Ok(())
    }
}

/// Storage that lies the second time: with a cache that holds the tree all is read once, without one it is an
/// error; never are there wrong bytes.
#[test]
fn storage_that_changes_after_it_was_read() {
    let image = image(small(300));
    let reader =
        image.open_over(DoubleFetch::new(&image.data), DoubleFetch::new(&image.hash), 1 << 20).unwrap();
    for block in (0..300).map(|i| i * 7 % 300) {
        let start = block * 512;
        assert_eq!(read_vec(&reader, start as u64, 512).unwrap(), image.data[start..][..512]);
    }
    for block in 0..300 {
        assert_eq!(mismatch(&read_vec(&reader, block * 512, 512).unwrap_err()), Some((None, block)));
    }

    let reader = image.open_over(&image.data, DoubleFetch::new(&image.hash), 0).unwrap();
    let (mut good, mut bad) = (0, 0);
    for block in 0..300 {
        match read_vec(&reader, block * 512, 512) {
            Ok(found) => {
                assert_eq!(found, image.data[block as usize * 512..][..512]);
                good += 1;
            }
            Err(error) => {
                assert!(matches!(mismatch(&error), Some((Some(_), _))));
                bad += 1;
            }
        }
    }
    // without a cache each level-1 block is good for one level-0 block, and one of them was used up at open
    assert_eq!((good, bad), (1, 299));
}

/// Counts the reads of each 512-byte block.
struct Counting<'a>(&'a [u8], Vec<AtomicUsize>);

impl<'a> Counting<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Counting(bytes, std::iter::repeat_with(AtomicUsize::default).take(bytes.len() / 512).collect())
    }
    fn counts(&self) -> Vec<usize> {
        self.1.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

impl ReadAt for Counting<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        for block in offset / 512..(offset + buf.len() as u64).div_ceil(512) {
            self.1[block as usize].fetch_add(1, Ordering::Relaxed);
        }
        self.0.read_exact_at(offset, buf)
    }
}

#[test]
fn metadata_is_read_once() {
    let image = image(small(300));
    let (data, hash) = (Counting::new(&image.data), Counting::new(&image.hash));
    let reader = image.open_over(&data, &hash, DEFAULT_CACHE_SIZE).unwrap();
    assert_eq!(hash.counts().iter().sum::<usize>(), 3, "the right-most path");
    assert_eq!(data.counts().iter().sum::<usize>(), 0);
    for i in 0..3000 {
        let offset = i * 7919 % (300 * 512 - 700);
        assert_eq!(read_vec(&reader, offset, 700).unwrap(), image.data[offset as usize..][..700]);
    }
    assert_eq!(hash.counts(), vec![1; 22]);

    // one read of everything reads everything once
    let (data, hash) = (Counting::new(&image.data), Counting::new(&image.hash));
    let reader = image.open_over(&data, &hash, DEFAULT_CACHE_SIZE).unwrap();
    read_vec(&reader, 0, image.data.len()).unwrap();
    assert_eq!((data.counts(), hash.counts()), (vec![1; 300], vec![1; 22]));
}

/// Fails the `n`th read from now.
struct Faulty<'a> {
    bytes: &'a [u8],
    countdown: AtomicU64,
    kind: io::ErrorKind,
}

impl ReadAt for Faulty<'_> {
    fn size(&self) -> u64 {
        self.bytes.size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match self.countdown.fetch_sub(1, Ordering::Relaxed) {
            0 => {
                // part of it arrived
                buf[0] = 0x55;
                Err(self.kind.into())
            }
            _ => self.bytes.read_exact_at(offset, buf),
        }
    }
}

#[test]
fn a_source_that_fails() {
    let image = image(small(300));
    for kind in [io::ErrorKind::Other, io::ErrorKind::UnexpectedEof, io::ErrorKind::PermissionDenied] {
        let faulty = |bytes| Faulty { bytes, countdown: AtomicU64::new(u64::MAX), kind };
        let (data, hash) = (faulty(&image.data), faulty(&image.hash));
        let reader = image.open_over(&data, &hash, DEFAULT_CACHE_SIZE).unwrap();
        for (source, storage, offset, block) in
            [(&data, Storage::Data, 0, 0), (&hash, Storage::Hash, 4 * 512, 16)]
        {
            source.countdown.store(0, Ordering::Relaxed);
            let error = read_vec(&reader, block * 512, 512).unwrap_err();
            assert_eq!(error.kind(), kind);
            match inner(&error) {
                Error::Io { storage: s, offset: o, .. } => assert_eq!((*s, *o), (storage, offset)),
                other => panic!("{other}"),
            }
            // nothing bad was kept
            source.countdown.store(u64::MAX, Ordering::Relaxed);
        }
        assert_eq!(read_vec(&reader, 0, image.data.len()).unwrap(), image.data);

        // and at open: the right-most block of each level
        for n in 0..3 {
            hash.countdown.store(n, Ordering::Relaxed);
            let error = image.open_over(&data, &hash, DEFAULT_CACHE_SIZE).unwrap_err();
            assert!(matches!(error, Error::Io { storage: Storage::Hash, .. }));
        }
    }
}

/// Says to be as long as before, but is not.
struct Cut<'a>(&'a [u8], u64);
impl ReadAt for Cut<'_> {
    fn size(&self) -> u64 {
        self.1
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, buf)
    }
}

#[test]
fn a_source_that_was_cut_off() {
    let image = image(small(300));
    for end in (0..300 * 512).step_by(511) {
        let data = Cut(&image.data[..end], image.data.len() as u64);
        let reader = image.open_over(data, &image.hash, DEFAULT_CACHE_SIZE).unwrap();
        let whole = end / 512 * 512;
        assert_eq!(read_vec(&reader, 0, whole).unwrap(), image.data[..whole]);
        let error = read_vec(&reader, whole as u64, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
    for end in (0..image.hash.len()).step_by(100) {
        let hash = Cut(&image.hash[..end], image.hash.len() as u64);
        let error = image.open_over(&image.data, hash, DEFAULT_CACHE_SIZE).unwrap_err();
        assert!(matches!(error, Error::Io { storage: Storage::Hash, .. }), "{end}");
    }
}

/// Many threads over a cache that holds next to nothing.
#[test]
fn threads_share_a_tiny_cache() {
    let wide = params(Algorithm::Sha512, HashType::ChromeOs, (512, 4096), 1025);
    let images = [image(small(4097)), image(wide)];
    let caches = [0, 600, 3000, 20_000, 100_000];
    for (image, cache) in images.iter().flat_map(|image| caches.map(|cache| (image, cache))) {
        let top = image.tree.layout().block_size();
        let reader = image.open_over(&image.data, &image.hash, cache).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (reader, image) = (&reader, &image);
                scope.spawn(move || {
                    for i in 0..2000 {
                        let random = (thread * 2000 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
                        let len = (random % 3000) as usize;
                        let offset = (random / 3000) as usize % (image.data.len() - len);
                        let found = read_vec(reader, offset as u64, len).unwrap();
                        assert!(found == image.data[offset..][..len]);
                        assert!((top..=cache + top).contains(&reader.cached_bytes()));
                    }
                });
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Damaged images of every shape, some of it under the root hash: every read gives the right bytes or an error, and an
    /// error only where there is damage.
    #[test]
    fn right_bytes_or_an_error(
        shape in shapes(),
        blocks in 1_u64..300,
        cache in prop_oneof![Just(0_usize), 500_usize..50_000, Just(DEFAULT_CACHE_SIZE)],
        forged in proptest::option::weighted(0.3, (any::<Index>(), any::<Index>(), 1_u8..)),
        flips in proptest::collection::vec((any::<bool>(), any::<Index>(), 0..8), 0..4),
        reads in proptest::collection::vec(
            (any::<Index>(), prop_oneof![0_usize..40, 0_usize..30_000], 1_usize..6),
            1..20,
        ),
    ) {
        let params = shape.params(blocks);
        let size = params.data_block_size() as usize;
        let image = image_with(params, |level, number, bytes| {
            if let Some((block, at, flip)) = &forged && (level, number) == (0, block.index(blocks as usize) as u64 / 4) {
                bytes[at.index(bytes.len())] ^= flip;
            }
        });
        let (mut data, mut hash) = (image.data.clone(), image.hash.clone());
        let mut tree_is_damaged = forged.is_some();
        for (in_data, index, bit) in flips {
            let in_data = in_data || hash.is_empty();
            let source = if in_data { &mut data } else { &mut hash };
            let at = index.index(source.len());
            source[at] ^= 1_u8 << bit;
            tree_is_damaged |= !in_data;
        }
        let reader = match image.open_over(&data, &hash, cache) {
            Ok(reader) => reader,
            Err(error) => {
                prop_assert!(tree_is_damaged, "{}", error);
                return Ok(());
            }
        };
        for (index, len, times) in reads {
            let offset = index.index(image.data.len());
            // the same place of the blocks that follow as well: what is kept of one must not be given for another
            for offset in (offset..image.data.len()).step_by(size).take(times) {
                let len = len.min(image.data.len() - offset);
                match read_vec(&reader, offset as u64, len) {
                    Ok(found) => prop_assert!(found == image.data[offset..][..len]),
                    Err(error) => {
                        let touched = offset / size..(offset + len).div_ceil(size);
                        match mismatch(&error) {
                            Some((None, block)) => {
                                let block = block as usize;
                                let is_changed = data[block * size..][..size] != image.data[block * size..][..size];
                                prop_assert!(touched.contains(&block) && (is_changed || forged.is_some()));
                            }
                            _ => prop_assert!(tree_is_damaged),
                        }
                    }
                }
            }
        }
    }
}

/// Trees that veritysetup and systemd-repart made.
#[test]
fn real_images_are_read_to_the_end() {
    let Some(corpus) = ddi_testing::corpus() else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(corpus.join("expected")).unwrap() {
        let expected: serde_json::Value =
            serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        for verity in expected["verity"].as_array().into_iter().flatten() {
            let (Some(data), Some(hash)) = (verity["data"].as_str(), verity["hash"].as_str()) else {
                continue;
            };
            if !verity["options"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            let data = std::fs::read(corpus.join(data)).unwrap();
            let hash = std::fs::read(corpus.join(hash)).unwrap();
            let Ok(superblock) = crate::Superblock::read(&hash, 0) else { continue };
            let tree = HashTree::new(superblock.params, Placement::Superblock(0)).unwrap().vouched();
            let root = verity["root_hash"].as_str().unwrap().parse().unwrap();
            let size = tree.params().data_size() as usize;
            let reader = VerifiedReader::open(&data, &hash, tree, &root).unwrap();
            let mut found = Vec::new();
            Stream::new(&reader).read_to_end(&mut found).unwrap();
            assert!(found == data[..size], "{}", expected["name"]);
            count += 1;
        }
    }
    println!("{count} images");
    assert!(count > 10);
}

#[test]
fn stream_reads_and_seeks() {
    let image = image(small(33));
    let mut stream = Stream::new(image.open().unwrap());
    let mut all = Vec::new();
    assert_eq!(stream.read_to_end(&mut all).unwrap(), 33 * 512);
    assert_eq!(all, image.data);
    assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);

    assert_eq!(stream.seek(SeekFrom::End(-100)).unwrap(), 33 * 512 - 100);
    let mut buf = [0; 200];
    assert_eq!(stream.read(&mut buf).unwrap(), 100);
    assert_eq!(buf[..100], image.data[33 * 512 - 100..]);
    assert_eq!(stream.seek(SeekFrom::Current(-33 * 512 + 3)).unwrap(), 3);
    stream.read_exact(&mut buf).unwrap();
    assert_eq!(buf[..], image.data[3..203]);
    assert_eq!(stream.seek(SeekFrom::Start(u64::MAX)).unwrap(), u64::MAX);
    assert_eq!(stream.read(&mut buf).unwrap(), 0);
    for impossible in [SeekFrom::Current(1), SeekFrom::End(-33 * 512 - 1), SeekFrom::Current(i64::MAX)] {
        assert_eq!(stream.seek(impossible).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(stream.stream_position().unwrap(), u64::MAX);
    // a position behind the end that the source has not
    stream.seek(SeekFrom::Start(33 * 512 + 1)).unwrap();
    assert_eq!(stream.read(&mut buf).unwrap(), 0);
}
