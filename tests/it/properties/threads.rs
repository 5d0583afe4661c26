//! However many threads there are: the same root hash, the same verdict, the same first bad block; and a thread that
//! dies is an error, never the end of the search.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ddi_verity::{
    Algorithm, CheckedTree, Error, HashTree, HashType, Options, Params, Placement, ReadAt, RootHash, Salt,
    Verdict, VerifiedReader,
};

use crate::sources::Storage;
use crate::support::{Chance, in_parallel};

/// Blocks of 512 bytes make many blocks of few bytes: parts of 8 MiB, claims of 2 MiB.
fn tree(block_size: u32, blocks: u64) -> CheckedTree {
    let salt = Salt::new(&[3; 32]).unwrap();
    let params =
        Params::new(HashType::Normal, Algorithm::Sha256, block_size, block_size, blocks, salt).unwrap();
    HashTree::new(params, Placement::Bare(0)).unwrap().vouched()
}

fn built(tree: &HashTree, data: &[u8], threads: usize) -> (RootHash, Vec<u8>) {
    let hash = Mutex::new(Vec::new());
    let root = tree.build(&data, &hash, &Options::new().threads(threads)).unwrap();
    (root, hash.into_inner().unwrap())
}

#[test]
fn p1_the_same_for_1_to_32_threads() {
    // around whole hash blocks, claims and parts, and around one more level; less than 4 MiB stays on one thread
    const MIB: u64 = 1 << 20;
    let around = |all: &[u64]| all.iter().flat_map(|at| [at - 1, *at, at + 1]).collect::<Vec<_>>();
    let sizes = [
        (4096, [&[1024][..], &around(&[1026, 1088, 1152, 1280, 1408, 1536, 1792, 2048, 4096])].concat()),
        (512, around(&[8193, 8208, 8448, 16384])),
        (65536, [&[64][..], &around(&[66, 96, 128])].concat()),
    ];
    let mut cases = BTreeSet::new();
    for (block_size, list) in sizes {
        for blocks in list {
            assert!(blocks * u64::from(block_size) >= 4 * MIB);
            cases.insert((block_size, blocks));
        }
    }
    let cases: Vec<_> = cases.into_iter().collect();
    assert_eq!(cases.len(), 50);
    let compared = AtomicUsize::new(0);
    let used = Mutex::new(BTreeSet::new());
    in_parallel(cases.len() as u64, |case| {
        let (block_size, blocks) = cases[case as usize];
        let mut chance = Chance(case);
        let tree = tree(block_size, blocks);
        let mut data = chance.bytes((blocks * u64::from(block_size)) as usize);
        let (root, mut hash) = built(&tree, &data, 1);
        for threads in [2, 3, 8, 32] {
            let (same_root, same_hash) = built(&tree, &data, threads);
            assert!(same_root == root && same_hash == hash, "{block_size} {blocks} {threads}");
        }
        let (len, claim) = (data.len(), 2 * MIB as usize);
        // none, and 20 times some: at each end of the data and of the tree, where claims meet, anywhere
        for planted in 0..=20 {
            let mut places: Vec<usize> = match planted {
                0 => vec![],
                1 => vec![0],
                2 => vec![len - 1],
                3 => vec![len],
                4 => vec![len + hash.len() - 40],
                5 => vec![claim - 1],
                6 => vec![claim],
                7 => vec![claim - 1, claim, len - 1],
                8 => vec![2 * claim - 1],
                9 => vec![(2 * claim).min(len - 1), len + hash.len() - 40],
                _ => (0..planted * 2 - 19)
                    .map(|_| chance.below((len + hash.len() / 20) as u64) as usize)
                    .collect(),
            };
            // each place once, or the second damage repairs the first
            places.sort_unstable();
            places.dedup();
            let damage = |data: &mut [u8], hash: &mut [u8]| {
                for place in &places {
                    let byte = match place.checked_sub(len) {
                        Some(place) => &mut hash[place],
                        None => &mut data[*place],
                    };
                    *byte ^= 0x40;
                }
            };
            damage(&mut data, &mut hash);
            for stop in [false, true] {
                let verify = |threads| {
                    let options = Options::new().threads(threads).stop_at_first(stop);
                    tree.verify(&data, &hash, &root, &options).unwrap()
                };
                let serial = verify(1);
                assert_eq!(serial.is_proven(), planted == 0, "{block_size} {blocks} {planted} {serial:?}");
                // all numbers of threads over all cases, two in each
                let some = case as usize * 7 + planted * 3 + usize::from(stop);
                for threads in [2 + some % 31, 2 + (some + 16) % 31] {
                    let found = verify(threads);
                    if stop {
                        let first =
                            |v: &Verdict| (v.corrupt_data.first(), v.unproven_data.first(), v.is_proven());
                        assert_eq!(
                            first(&found),
                            first(&serial),
                            "{block_size} {blocks} {planted} {threads}"
                        );
                    } else {
                        assert_eq!(found, serial, "{block_size} {blocks} {planted} {threads}");
                    }
                    compared.fetch_add(1, Ordering::Relaxed);
                    used.lock().unwrap().insert(threads);
                }
            }
            damage(&mut data, &mut hash);
        }
    });
    assert_eq!(compared.into_inner(), 50 * 21 * 2 * 2);
    assert!(used.into_inner().unwrap().into_iter().eq(2..=32));
}

#[test]
fn p1_each_number_of_threads() {
    let tree = tree(4096, 3000);
    let data = Chance(77).bytes(3000 * 4096);
    let (root, hash) = built(&tree, &data, 1);
    let mut bad = data.clone();
    for block in [700, 1400, 2999] {
        bad[block * 4096 + 17] ^= 1;
    }
    for threads in 1..=32 {
        let options = Options::new().threads(threads);
        assert_eq!(tree.root_hash(&data, &options).unwrap(), root);
        assert!(tree.verify(&data, &hash, &root, &options).unwrap().is_proven());
        let found = tree.verify(&bad, &hash, &root, &options).unwrap();
        assert_eq!(found.corrupt_data.ranges(), [700..701, 1400..1401, 2999..3000], "{threads}");
        let first = tree.verify(&bad, &hash, &root, &options.stop_at_first(true)).unwrap();
        assert_eq!(first.corrupt_data.first(), Some(700), "{threads}");
    }
}

const BLOCKS: u64 = 8192;

struct Setup {
    tree: CheckedTree,
    data: Arc<Vec<u8>>,
    hash: Vec<u8>,
    root: RootHash,
}

impl Setup {
    /// 32 MiB: four parts.
    fn new() -> Self {
        let tree = tree(4096, BLOCKS);
        let data = Chance(5).bytes(BLOCKS as usize * 4096);
        let (root, hash) = built(&tree, &data, 2);
        Setup { tree, data: Arc::new(data), hash, root }
    }
    /// Build, check and check until the first finding, on a source that does `act` at each of its reads.
    fn ends(
        &self,
        threads: usize,
        cancel: &AtomicBool,
        act: impl Fn(u64) -> io::Result<()> + Send + Sync + Copy,
    ) -> [Result<bool, Error>; 3] {
        let source = || Storage::new(&self.data, move |offset, _: &mut [u8]| act(offset));
        let options = Options::new().threads(threads).cancel(cancel);
        let within = |what: &dyn Fn() -> Result<bool, Error>| {
            let begin = Instant::now();
            let ended = what();
            assert!(begin.elapsed() < Duration::from_secs(2), "{threads}: {:?}", begin.elapsed());
            ended
        };
        [
            within(&|| self.tree.root_hash(&source(), &options).map(|root| root == self.root)),
            within(&|| {
                let verdict = self.tree.verify(&source(), &self.hash, &self.root, &options)?;
                Ok(verdict.is_proven())
            }),
            within(&|| {
                let options = options.stop_at_first(true);
                let verdict = self.tree.verify(&source(), &self.hash, &self.root, &options)?;
                Ok(verdict.is_proven())
            }),
        ]
    }
}

#[test]
fn p4_a_worker_that_panics_is_an_error() {
    let setup = Setup::new();
    // the panics on purpose say nothing
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().downcast_ref::<&str>().is_some_and(|text| text.contains("on purpose")) {
            hook(info);
        }
    }));
    for threads in [1, 2, 3, 8, 32] {
        for at in [0, 9 << 20, 31 << 20] {
            let ended = setup.ends(threads, &AtomicBool::new(false), |offset| {
                assert!(!(offset..offset + (1 << 20)).contains(&at), "on purpose");
                Ok(())
            });
            for ended in ended {
                assert!(matches!(ended, Err(Error::Worker)), "{threads} {at}: {ended:?}");
            }
        }
    }
    // whoever panicked before does not matter
    assert!(setup.ends(8, &AtomicBool::new(false), |_| Ok(())).iter().all(|ended| matches!(ended, Ok(true))));
}

#[test]
fn p4_a_worker_that_fails_early_is_an_error() {
    let setup = Setup::new();
    for threads in [1, 2, 3, 8, 32] {
        for at in [0, 9 << 20, 31 << 20] {
            let ended = setup.ends(threads, &AtomicBool::new(false), |offset| {
                match (offset..offset + (1 << 20)).contains(&at) {
                    true => Err(io::Error::from_raw_os_error(5)),
                    false => Ok(()),
                }
            });
            for ended in ended {
                let Err(Error::Io { error, .. }) = ended else { panic!("{threads} {at}: {ended:?}") };
                assert_eq!(error.raw_os_error(), Some(5));
            }
        }
    }
}

#[test]
fn p4_a_worker_that_blocks_can_be_cancelled() {
    let setup = Setup::new();
    for threads in [1, 2, 8] {
        for at in [0, 9 << 20] {
            let cancel = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(100));
                    cancel.store(true, Ordering::Relaxed);
                });
                let cancel = &cancel;
                let ended = setup.ends(threads, cancel, move |offset| {
                    // storage that does not answer, until somebody sees to it
                    while (offset..offset + (1 << 20)).contains(&at) && !cancel.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(1));
                    }
                    Ok(())
                });
                for ended in ended {
                    assert!(matches!(ended, Err(Error::Cancelled)), "{threads} {at}: {ended:?}");
                }
            });
        }
    }
}

#[test]
fn p5_two_verifiers_on_one_handle() {
    let setup = Setup::new();
    let mut bad = (*setup.data).clone();
    bad[5000 * 4096] ^= 1;
    let good: Arc<dyn ReadAt> = setup.data.clone();
    let bad: Arc<dyn ReadAt> = Arc::new(bad);
    let cancelled = AtomicBool::new(true);
    thread::scope(|scope| {
        for number in 0..6 {
            let (setup, good, bad, cancelled) = (&setup, &good, &bad, &cancelled);
            scope.spawn(move || {
                let options = Options::new().threads(1 + number);
                for _ in 0..2 {
                    match number % 3 {
                        0 => {
                            let verdict =
                                setup.tree.verify(good, &setup.hash, &setup.root, &options).unwrap();
                            assert!(verdict.is_proven());
                        }
                        1 => {
                            let verdict = setup.tree.verify(bad, &setup.hash, &setup.root, &options).unwrap();
                            assert_eq!(
                                (verdict.corrupt_data.first(), verdict.corrupt_data.count()),
                                (Some(5000), 1)
                            );
                        }
                        // one that is cancelled does not touch the others
                        _ => {
                            let options = options.cancel(cancelled);
                            let ended = setup.tree.verify(good, &setup.hash, &setup.root, &options);
                            assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
                        }
                    }
                }
            });
        }
    });
}

/// One reader, many threads, a small cache that they fight for.
#[test]
fn p5_one_verified_reader_for_many_threads() {
    let setup = Setup::new();
    let mut bad = (*setup.data).clone();
    bad[6001 * 4096 + 5] ^= 1;
    let reader =
        VerifiedReader::open_with_cache(&bad, &setup.hash, setup.tree.clone(), &setup.root, 32 << 10)
            .unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let (reader, data) = (&reader, &setup.data);
            scope.spawn(move || {
                let mut chance = Chance(number);
                for _ in 0..300 {
                    let offset = chance.below(data.len() as u64 - 9000);
                    let mut buf = vec![1; chance.below(9000) as usize];
                    let touched = offset / 4096..=(offset + (buf.len() as u64).max(1) - 1) / 4096;
                    match reader.read_exact_at(offset, &mut buf) {
                        Ok(()) => assert!(buf == data[offset as usize..][..buf.len()]),
                        Err(error) => {
                            assert!(touched.contains(&6001), "{offset} {error}");
                            assert!(buf.iter().all(|byte| *byte == 0));
                        }
                    }
                }
            });
        }
    });
    let mut buf = [0; 10];
    assert!(reader.read_exact_at(6001 * 4096, &mut buf).is_err());
}
