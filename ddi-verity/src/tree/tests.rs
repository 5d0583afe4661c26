use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use proptest::prelude::*;
use sha2::Digest as _;

use super::model::{Example, SHA256, kinds, shapes, stream};
use super::*;
use crate::hash::HashType;
use crate::params::Salt;
use crate::verdict::Verdict;

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(example: &Example, options: &Options<'_>) -> Verdict {
    example.tree.verify(&example.data, &example.hash, &example.root, options).unwrap()
}

#[expect(clippy::single_range_in_vec_init, reason = "a list of ranges it is")]
fn one(block: u64) -> [core::ops::Range<u64>; 1] {
    [block..block + 1]
}

// --- published values -----------------------------------------------------------------------------------------------

/// cryptsetup's `tests/verity-compat-test`: 8 MiB of zeros. The trees' digests are of trees that veritysetup made.
#[test]
fn vectors_of_cryptsetup() {
    const S: &str = "e48da609055204e89ae53b655ca2216dd983cf3cb829f34f63a297d106d53e2d";
    use {Algorithm::*, HashType::*};
    let data = vec![0; 8192 << 10];
    for (block_size, algorithm, hash_type, salt, root, levels, tree_digest) in [
        (
            512,
            Sha256,
            Normal,
            S,
            "9de18652fe74edfb9b805aaed72ae2aa48f94333f1ba5c452ac33b1c39325174",
            &[1024, 64, 4, 1][..],
            "cb02eec0f84252a1799decd6a32550e7c9f9c3970f2ec44104a68968557b0c64",
        ),
        (
            1024,
            Sha256,
            Normal,
            S,
            "54d92778750495d1f80832b486ebd007617d746271511bbf0e295e143da2b3df",
            &[256, 8, 1],
            "bacbe9619a810824883e6db38a4c1e43eca102a31444bac36115a7853a0f1eb2",
        ),
        (
            4096,
            Sha256,
            Normal,
            S,
            "e522df0f97da4febb882ac40f30b37dc0b444bf6df418929463fa25280f09d5c",
            &[16, 1],
            "aa3554f346dfef240b15f78c5ea0997cd660a3dae93f50087790fad932f323b4",
        ),
        (
            4096,
            Sha256,
            ChromeOs,
            S,
            "cbbf4ebd004ef65e29b935bb635a39cf754d677f3fa10b0126da725bbdf10f7d",
            &[16, 1],
            "fa825ed07c4c735bb16939128058de2095fad14cc5d6b2e3901556f3cfa28da4",
        ),
        (
            4096,
            Sha256,
            Normal,
            "-",
            "ef29c902d87350f1da4bfa536e16cebc162a909bf89abe448b81ec500d4fb9bf",
            &[16, 1],
            "bb8116bee1f6e1a17c1957fb3edef98dc3b09f26b36f6e9f8fcf5e26d5ce3526",
        ),
        (
            1024,
            Sha1,
            Normal,
            S,
            "d0e9163ca8844aaa2e88fe5265a8c5d9ee494a99",
            &[256, 8, 1],
            "4e62bd4706de7c59edecdbd79a919136bc73129b70cb5c2c36d660cbdd4c3cf3",
        ),
        (
            1024,
            Sha1,
            Normal,
            "dadada",
            "73509e8e868be6b8ac939817a98a3d35121413b2",
            &[256, 8, 1],
            "0c073e4f131443f77f918a141cc53448688724b2836a29d2e6b62297c0f4904f",
        ),
    ] {
        let data_blocks = data.len() as u64 / u64::from(block_size);
        let salt = salt.parse().unwrap();
        let params = Params::new(hash_type, algorithm, block_size, block_size, data_blocks, salt).unwrap();
        // the data is zero: once with what is known beforehand, once without
        for every_block in [false, true] {
            let options = Options::new().allow_sha1(true).hash_every_block(every_block);
            let tree = HashTree::new(params, Placement::Bare(0)).unwrap().vouched();
            let hash = Mutex::new(Vec::new());
            assert_eq!(tree.build(&data, &hash, &options).unwrap().to_string(), root);
            assert_eq!(tree.layout().levels().iter().map(|l| l.blocks).collect::<Vec<_>>(), levels);
            let hash = hash.into_inner().unwrap();
            assert_eq!(hash.len() as u64, tree.layout().tree().end);
            assert_eq!(hex(sha2::Sha256::digest(&hash)), tree_digest);
            assert!(tree.verify(&data, &hash, &root.parse().unwrap(), &options).unwrap().is_proven());
        }
    }
}

/// Root hashes that veritysetup 2.6.1 gave for [`stream`].
#[test]
fn vectors_of_veritysetup() {
    use {Algorithm::*, HashType::*};
    const NONE: [u8; 0] = [];
    let s32: Vec<u8> = (0..32).collect();
    let s256: Vec<u8> = (0..=255).collect();
    for (n, data_block_size, hash_block_size, algorithm, hash_type, salt, root, levels) in [
        (
            1,
            4096,
            4096,
            Sha256,
            Normal,
            &s32[..],
            "0b02558e5692d4c7028416cd86dafb69df95c4aef3d09519d02b6669c3aa6686",
            &[][..],
        ),
        (
            2,
            4096,
            4096,
            Sha256,
            Normal,
            &s32,
            "5130b9013f20f9019c2105d79eac297795e9b63dace17593339f51ba61cbaa1b",
            &[1],
        ),
        (
            127,
            4096,
            4096,
            Sha256,
            Normal,
            &s32,
            "55b8ab2085a158ac478ec23539643f53d5a070e4849eb63db69f0f486e47ed1e",
            &[1],
        ),
        (
            128,
            4096,
            4096,
            Sha256,
            Normal,
            &s32,
            "b608520862a5d6d3cb0b724fec47b07fc9098deb237045b0427ac27562db84e8",
            &[1],
        ),
        (
            129,
            4096,
            4096,
            Sha256,
            Normal,
            &s32,
            "99177f3c1f16cc43370c26b3db1dcb5d0248e76bca2f182d3c33d79f2dd6d9f1",
            &[2, 1],
        ),
        (
            256,
            4096,
            4096,
            Sha256,
            Normal,
            &s32,
            "4c6b5e33a713822a3c53663d4544592a1f2c2634c018cbc0ee34618a8d9c319f",
            &[2, 1],
        ),
        (
            300,
            4096,
            4096,
            Sha256,
            Normal,
            &s32,
            "ec69a87d445e412f5ce5f5d808bf16b96dcfbbaa21860110b192c49e78d7efdb",
            &[3, 1],
        ),
        (
            16384,
            512,
            4096,
            Sha256,
            Normal,
            &s32,
            "542e91620a03162efcf16633b2e61bf668c848b5c8e8db5fb63195a800005556",
            &[128, 1],
        ),
        (
            16385,
            512,
            4096,
            Sha256,
            Normal,
            &s32,
            "da50c8f5d086830db61402343315d7a8a0d81613e0d4bc763b85b8a39585ec66",
            &[129, 2, 1],
        ),
        (
            1,
            512,
            512,
            Sha256,
            Normal,
            &NONE,
            "2f30889522e4f9d06c1fce6aa01279cbf70ab31dc7f99cb70f61d4a5783f82c4",
            &[],
        ),
        (
            16,
            512,
            512,
            Sha256,
            Normal,
            &NONE,
            "2426dba46129acebfa0ef8bdccc69057d78e001537f5940011389c51df1d3ae6",
            &[1],
        ),
        (
            17,
            512,
            512,
            Sha256,
            Normal,
            &NONE,
            "ff6350194b4a038ac3e5bc9fd3e9c90bb5252b7ce249df007a316fa96a5cc129",
            &[2, 1],
        ),
        (
            257,
            512,
            512,
            Sha256,
            Normal,
            &NONE,
            "6e4908bd554a3573525c4402de2b5d02a0a8878de4da4a62d68680dbc1f4ce44",
            &[17, 2, 1],
        ),
        (
            1000,
            512,
            512,
            Sha256,
            Normal,
            &NONE,
            "64a427e9c8dcf0b6064526f0a0d5c2ab8aabfc2e7fc62d87365fc7b61b600c57",
            &[63, 4, 1],
        ),
        (
            300,
            4096,
            4096,
            Sha512,
            Normal,
            &s32,
            "9ca5e8fc991ac840ed6ca61b6e0b8d9630164b0c0638beadfcf32de25366afeb3850be8ff07fc2f0db9420a44b31e85b235cc2cd3f3da3d6b20150c3458883a6",
            &[5, 1],
        ),
        (
            300,
            4096,
            4096,
            Sha384,
            Normal,
            &s32,
            "d7018da8d7d8c611c87a8b35217416d13940bd434fbb0020ce0a46759aa6a27aa1b24ef41f056d86fbbfa5c9428d56fa",
            &[5, 1],
        ),
        (
            300,
            4096,
            4096,
            Sha384,
            ChromeOs,
            &s32,
            "10dcac4ce2201508ea05449fa6f6e05ca7551d0a37df4d0c85070c8966098227772eccfebf1658e5cf3dfde1bbfb4cc0",
            &[5, 1],
        ),
        (300, 4096, 4096, Sha1, Normal, &s32, "38d8c4a9aff2130e1e6d213776e4a46eed2b656d", &[3, 1]),
        (300, 4096, 4096, Sha1, ChromeOs, &s32, "91deb6a5c65aecf64d876f67bea39dfe27114bf5", &[3, 1]),
        (
            300,
            1024,
            4096,
            Sha256,
            Normal,
            &s256,
            "7238b26061a169f13156a3bdf1223de1b51a8220a34973e1585f3d5a77b1e0cd",
            &[3, 1],
        ),
        (
            300,
            4096,
            1024,
            Sha256,
            ChromeOs,
            &[0xda, 0xda, 0xda],
            "1e43dcc55d346c19655ecc5c869a8df83296033e659437760aa0c57370f054a9",
            &[10, 1],
        ),
        (
            300,
            4096,
            512,
            Sha512,
            Normal,
            &s32,
            "700ce389580bf6340c4f1c2a3010f157313e5b141360691aa9297b75194f076c1e5337370bd49caf9c0de95bd0b9c536a9cd0465a73bd3b335a294556c0ac231",
            &[38, 5, 1],
        ),
    ] {
        let example = Example::new((hash_type, algorithm), data_block_size, hash_block_size, n, salt);
        assert_eq!(example.root.to_string(), root, "the model");
        assert_eq!(example.tree.layout().levels().iter().map(|l| l.blocks).collect::<Vec<_>>(), levels);
        let (hash, built) = example.built(&Options::new().allow_sha1(true));
        assert_eq!(built.to_string(), root);
        assert!(hash == example.hash);
        assert_eq!(example.tree.root_hash(&example.data, &Options::new()).unwrap(), built);
        assert!(check(&example, &Options::new()).is_proven());
    }
}

// --- against the model ----------------------------------------------------------------------------------------------

#[test]
fn sizes_around_each_power() {
    // p = 8 and 16 with 512-byte blocks
    for (algorithm, counts) in [
        (Algorithm::Sha512, &[1, 2, 7, 8, 9, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097][..]),
        (Algorithm::Sha256, &[1, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097]),
        (Algorithm::Sha384, &[1, 8, 9, 65, 513]),
        (Algorithm::Sha1, &[1, 16, 17, 257]),
    ] {
        for hash_type in [HashType::Normal, HashType::ChromeOs] {
            for &n in counts {
                let example = Example::new((hash_type, algorithm), 512, 512, n, b"salt");
                let (hash, root) = example.built(&Options::new().allow_sha1(true));
                assert!(hash == example.hash && root == example.root, "{algorithm} {hash_type:?} {n}");
                assert!(check(&example, &Options::new()).is_proven());
            }
        }
    }
}

#[test]
fn every_salt_size_at_the_edges() {
    for len in [0, 1, 31, 32, 33, 55, 56, 63, 64, 65, 127, 128, 255, 256] {
        let salt: Vec<u8> = (0..len).map(|i| i as u8 ^ 0x5a).collect();
        for hash_type in [HashType::Normal, HashType::ChromeOs] {
            let example = Example::new((hash_type, Algorithm::Sha256), 1024, 512, 70, &salt);
            assert!(example.built(&Options::new()) == (example.hash.clone(), example.root));
            assert!(check(&example, &Options::new()).is_proven());
        }
    }
}

#[test]
fn largest_blocks() {
    for (data, hash, n) in
        [(524_288, 524_288, 3), (524_288, 512, 20), (512, 524_288, 20_000), (4096, 65536, 2100)]
    {
        let example = Example::new(SHA256, data, hash, n, b"");
        assert!(example.built(&Options::new()) == (example.hash.clone(), example.root));
        assert!(check(&example, &Options::new()).is_proven());
    }
}

/// An image of `blocks` of 512 bytes; where `kinds` is 0 the block is zero.
fn patterned(kinds: &[u8]) -> Vec<u8> {
    let mut data = stream(kinds.len() * 512);
    for (block, kind) in data.chunks_exact_mut(512).zip(kinds) {
        if *kind == 0 {
            block.fill(0);
        }
    }
    data
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn builds_and_checks_like_the_model(
        shape in shapes(),
        runs in prop::collection::vec((0_u8..2, 1_usize..200), 1..20),
        threads in 1_usize..4,
        every_block: bool,
        resident in prop::option::of(1_u64..300),
        forged in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1_u8..), 0..3),
        damage in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 1_u8..), 0..4),
    ) {
        let kinds: Vec<u8> = runs.iter().flat_map(|&(kind, len)| vec![kind; len]).collect();
        let mut data = patterned(&kinds);
        data.resize(data.len().next_multiple_of(shape.data_block_size as usize), 0);
        let params = shape.params(data.len() as u64 / u64::from(shape.data_block_size));
        let example = Example::of(params, data);
        let options = Options::new().threads(threads).hash_every_block(every_block).allow_sha1(true);
        let options = Options { resident, ..options };
        let (hash, root) = example.built(&options);
        prop_assert!(hash == example.hash);
        prop_assert_eq!(root, example.root);
        prop_assert!(check(&example, &options).is_proven());

        // the root hash vouches for this
        let layout = example.tree.layout();
        let hash_blocks = layout.hash_blocks() as usize;
        let forged: Vec<_> = forged.iter().map(|(block, at, flip)| {
            (block.index(hash_blocks.max(1)) as u64, at.index(layout.block_size()), *flip)
        }).collect();
        let mut number_of = 0;
        let mut example = Example::with(params, example.data, |_, _, bytes| {
            for (_, at, flip) in forged.iter().filter(|(block, ..)| *block == number_of) {
                bytes[*at] ^= flip;
            }
            number_of += 1;
        });
        prop_assert_eq!(check(&example, &options), judge(&example));
        // and not for this
        for (in_tree, place, flip) in damage {
            let bytes = if in_tree { &mut example.hash } else { &mut example.data };
            if bytes.is_empty() { continue; }
            let at = place.index(bytes.len());
            bytes[at] ^= flip;
        }
        prop_assert_eq!(check(&example, &options), judge(&example));
    }
}

/// What the verdict must be, worked out one block after the other.
fn judge(example: &Example) -> Verdict {
    let layout = example.tree.layout();
    let hasher = example.tree.params().hasher();
    let mut verdict =
        Verdict::new(example.tree.params().data_blocks(), layout.hash_blocks(), layout.levels().len());
    let mut digests = vec![Some(example.root.as_bytes().to_vec())];
    for (level, findings) in verdict.levels.iter_mut().enumerate().rev() {
        let mut below = Vec::new();
        for (number, digest) in (0..).zip(digests) {
            let at = layout.block_offset(level, number).unwrap() as usize;
            let block = &example.hash[at..at + layout.block_size()];
            let list = match &digest {
                None => Some(&mut findings.unproven),
                Some(digest) if hasher.hash_block(block).as_bytes() != digest => Some(&mut findings.corrupt),
                Some(_) => None,
            };
            let good = list.is_none();
            if let Some(list) = list {
                list.push(number..number + 1)
            } else {
                findings.proven += 1
            }
            let children = layout.children_of(level, number);
            let mut rest = block.to_vec();
            for slot in 0..(children.end - children.start) as usize {
                below.push(good.then(|| block[layout.slot(slot)].to_vec()));
                rest[layout.slot(slot)].fill(0);
            }
            if good && rest.iter().any(|byte| *byte != 0) {
                findings.spare.push(number..number + 1);
            }
        }
        digests = below;
    }
    let blocks = example.data.chunks(example.tree.params().data_block_size() as usize);
    for ((number, block), digest) in (0..).zip(blocks).zip(digests) {
        match digest {
            None => verdict.unproven_data.push(number..number + 1),
            Some(digest) if hasher.hash_block(block).as_bytes() != digest => {
                verdict.corrupt_data.push(number..number + 1);
            }
            Some(_) => verdict.proven_data += 1,
        }
    }
    verdict
}

// --- damage ---------------------------------------------------------------------------------------------------------

#[test]
fn every_flipped_byte_is_found_where_it_is() {
    use {Algorithm::*, HashType::*};
    for (kind, block_size, n) in [
        ((Normal, Sha256), 512, 40),
        ((ChromeOs, Sha384), 512, 20),
        ((Normal, Sha1), 1024, 40),
        ((Normal, Sha512), 512, 10),
    ] {
        let mut example = Example::new(kind, block_size, block_size, n, b"pepper");
        let layout = example.tree.layout().clone();
        for at in 0..example.data.len() {
            example.data[at] ^= 1 << (at % 8);
            let verdict = check(&example, &Options::new());
            assert!(!verdict.is_proven());
            assert_eq!(verdict.corrupt_data.ranges(), one((at / block_size as usize) as u64));
            assert_eq!(verdict.proven_data, n - 1);
            assert!(verdict.unproven_data.is_empty() && verdict.root_matches());
            example.data[at] ^= 1 << (at % 8);
        }
        for at in 0..example.hash.len() {
            example.hash[at] ^= 1 << (at % 8);
            let verdict = check(&example, &Options::new());
            assert!(!verdict.is_proven());
            let (level, place) = layout
                .levels()
                .iter()
                .enumerate()
                .find_map(|(i, level)| {
                    Some((i, (at as u64).checked_sub(level.offset)? / u64::from(block_size)))
                })
                .unwrap();
            assert_eq!(verdict.levels[level].corrupt.ranges(), one(place), "byte {at}");
            assert!(verdict.corrupt_data.is_empty());
            assert!(!verdict.unproven_data.is_empty());
            if level == 0 {
                assert_eq!(verdict.unproven_data.ranges(), [layout.children_of(0, place)]);
            }
            if at % 16 == 0 {
                assert_eq!(verdict, judge(&example));
            }
            example.hash[at] ^= 1 << (at % 8);
        }
        assert!(check(&example, &Options::new()).is_proven());
    }
}

/// As the last one, with hash blocks as large as they are on disks: each byte of the tree, both hash types, with and
/// without salt. Small data blocks make it a tree of two levels that is soon hashed.
#[test]
fn e1_every_byte_of_a_tree_of_4096_byte_blocks_counts() {
    use {Algorithm::*, HashType::*};
    for kind in [Normal, ChromeOs] {
        for (algorithm, n) in [(Sha256, 130), (Sha512, 66)] {
            for salt in [&b""[..], b"salt and pepper"] {
                let mut example = Example::new((kind, algorithm), 512, 4096, n, salt);
                assert!(
                    example.tree.layout().levels().len() == 2 && check(&example, &Options::new()).is_proven()
                );
                for at in 0..example.hash.len() {
                    let flip = 1 << (at % 8);
                    example.hash[at] ^= flip;
                    let verdict = check(&example, &Options::new());
                    assert!(!verdict.is_proven(), "{kind:?} {algorithm:?} byte {at}");
                    let corrupt: Vec<_> =
                        verdict.levels.iter().flat_map(|level| level.corrupt.ranges()).collect();
                    assert_eq!(corrupt.len(), 1, "{kind:?} {algorithm:?} byte {at}");
                    example.hash[at] ^= flip;
                }
            }
        }
    }
    // and data blocks of that size
    for algorithm in [Sha256, Sha512] {
        let mut example = Example::new((Normal, algorithm), 4096, 4096, 3, b"");
        for at in 0..example.hash.len() {
            example.hash[at] ^= 0x80;
            assert!(!check(&example, &Options::new()).is_proven(), "{algorithm:?} byte {at}");
            example.hash[at] ^= 0x80;
        }
        for at in 0..example.data.len() {
            example.data[at] ^= 0x01;
            assert_eq!(check(&example, &Options::new()).corrupt_data.ranges(), one(at as u64 / 4096));
            example.data[at] ^= 0x01;
        }
    }
}

#[test]
fn wrong_root_salt_type_or_size() {
    let example = Example::new(SHA256, 512, 512, 40, b"pepper");
    for at in 0..32 {
        let mut root = example.root.as_bytes().to_vec();
        root[at] ^= 1;
        let root = RootHash::from_bytes(&root).unwrap();
        let verdict = example.tree.verify(&example.data, &example.hash, &root, &Options::new()).unwrap();
        assert!(!verdict.is_proven() && !verdict.root_matches());
        assert_eq!((verdict.levels[1].corrupt.count(), verdict.unproven_data.count()), (1, 40));
    }
    for (hash_type, salt, n) in [
        (HashType::ChromeOs, &b"pepper"[..], 40),
        (HashType::Normal, b"peppeR", 40),
        (HashType::Normal, b"", 40),
        (HashType::Normal, b"pepper", 39),
        (HashType::Normal, b"pepper", 33),
    ] {
        let params =
            Params::new(hash_type, Algorithm::Sha256, 512, 512, n, Salt::new(salt).unwrap()).unwrap();
        let tree = HashTree::new(params, Placement::Bare(0)).unwrap().vouched();
        let verdict = tree.verify(&example.data, &example.hash, &example.root, &Options::new()).unwrap();
        assert!(!verdict.is_proven());
        // a shortened device is given away by the slots that are now spare
        assert_eq!(!verdict.levels[0].spare.is_empty(), n < 40);
    }
    let long = RootHash::from_bytes(&[0; 48]).unwrap();
    let error = example.tree.verify(&example.data, &example.hash, &long, &Options::new()).unwrap_err();
    assert!(matches!(error, Error::RootHashSize { expected: 32, found: 48 }));
}

/// Junk in spare slots and padding that the root hash vouches for.
#[test]
fn spare_bytes_must_be_zero() {
    use {Algorithm::*, HashType::*};
    for (kind, n, at) in [
        ((Normal, Sha256), 3, 3 * 32),
        ((Normal, Sha256), 3, 511),
        ((Normal, Sha384), 3, 48),
        ((Normal, Sha384), 8, 511),
        ((ChromeOs, Sha384), 8, 8 * 48),
        ((Normal, Sha1), 16, 15 * 32 + 20),
    ] {
        let mut example = Example::new(kind, 512, 512, n, b"");
        example.hash[at] = 1;
        example.root = example.tree.claimed_root_hash(&example.hash).unwrap().unwrap();
        let verdict = check(&example, &Options::new());
        assert!(!verdict.is_proven() && verdict.root_matches());
        assert_eq!((verdict.levels[0].spare.ranges(), verdict.proven_data), (&one(0)[..], n));
    }
}

/// Every way to check a tree.
fn all_verdicts(example: &Example) -> [Verdict; 3] {
    let small = Options { resident: Some(64), ..Options::new() };
    let of_stream = example
        .tree
        .verify_stream(&mut &example.data[..], &example.hash, &example.root, &Options::new())
        .unwrap();
    [check(example, &Options::new()), check(example, &small), of_stream]
}

/// The root hash vouches for a digest that differs from that of the block in one bit: of each algorithm, each bit of a digest
/// in each level, and of the root hash.
#[test]
fn d6_every_bit_of_a_digest_is_compared() {
    for (hash_type, algorithm) in kinds() {
        let n = if algorithm.digest_size() > 32 { 65 } else { 257 };
        let good = Example::new((hash_type, algorithm), 512, 512, n, b"pepper");
        let single = Example::new((hash_type, algorithm), 512, 512, 1, b"pepper");
        let slot = good.tree.layout().slot(1);
        for bit in 0..8 * algorithm.digest_size() {
            let flip = |bytes: &mut [u8]| bytes[bit / 8] ^= 1 << (bit % 8);
            for level in 0..3 {
                let forged = Example::with(*good.tree.params(), good.data.clone(), |l, number, bytes| {
                    if (l, number) == (level, 0) {
                        flip(&mut bytes[slot.clone()]);
                    }
                });
                for verdict in all_verdicts(&forged) {
                    assert!(!verdict.is_proven() && verdict.root_matches());
                    let corrupt = match level.checked_sub(1) {
                        None => &verdict.corrupt_data,
                        Some(below) => &verdict.levels[below].corrupt,
                    };
                    assert_eq!(corrupt.ranges(), one(1), "{algorithm} level {level} bit {bit}");
                }
            }
            for good in [&good, &single] {
                let mut root = good.root.as_bytes().to_vec();
                flip(&mut root);
                let other = Example { root: RootHash::from_bytes(&root).unwrap(), ..good.clone() };
                for verdict in all_verdicts(&other) {
                    assert!(!verdict.is_proven() && verdict.proven_data == 0, "{algorithm} bit {bit}");
                }
            }
        }
    }
}

/// Each byte of a hash block that belongs to no digest, under a root hash that vouches for it: behind the digests that are
/// used, between them, and in what is left behind the last whole slot (hash type 0, digests of 20 and 48 bytes).
#[test]
fn d2_every_spare_byte_must_be_zero() {
    for ((hash_type, algorithm), n) in kinds().flat_map(|kind| [2, 7, 8, 16].map(|n| (kind, n))) {
        let good = Example::new((hash_type, algorithm), 512, 512, n, b"pepper");
        let layout = good.tree.layout().clone();
        let used = layout.children(0).min(layout.digests_per_block() as u64) as usize;
        let is_digest = |at: usize| (0..used).any(|slot| layout.slot(slot).contains(&at));
        let mut spare = 0;
        for at in (0..512).filter(|at| !is_digest(*at)) {
            let junk = Example::with(*good.tree.params(), good.data.clone(), |level, number, bytes| {
                if (level, number) == (0, 0) {
                    bytes[at] = 1 << (at % 8);
                }
            });
            for verdict in all_verdicts(&junk) {
                assert!(
                    !verdict.is_proven() && verdict.proven_data == n,
                    "{hash_type:?} {algorithm} byte {at}"
                );
                assert_eq!(verdict.levels[0].spare.ranges(), one(0), "{hash_type:?} {algorithm} byte {at}");
            }
            spare += 1;
        }
        assert_eq!(spare, 512 - used * algorithm.digest_size());
    }
}

/// The same of the one function that decides it, with hash blocks of every size and filled to any degree.
#[test]
fn d2_spare_bytes_of_every_layout() {
    for ((hash_type, algorithm), bits) in kinds().flat_map(|kind| (9..14).map(move |bits| (kind, bits))) {
        let size = 1 << bits;
        let params = Params::new(hash_type, algorithm, 512, size, 1000, Salt::EMPTY).unwrap();
        let layout = Layout::new(&params, Placement::Bare(0)).unwrap();
        let per_block = layout.digests_per_block();
        let mut block = vec![0; size as usize];
        for used in [0, 1, 2, per_block / 2, per_block - 1, per_block] {
            // on either side of all borders
            let borders = (0..=per_block + 1).flat_map(|slot| {
                let start = slot * layout.slot_size();
                [start, start + algorithm.digest_size() - 1, start + algorithm.digest_size()]
            });
            let last_whole = size as usize / algorithm.digest_size() * algorithm.digest_size();
            let places = borders.chain([last_whole - 1, last_whole, size as usize - 1]);
            for at in places.filter(|at| *at < size as usize) {
                block[at] = 0x80;
                let is_digest = (0..used).any(|slot| layout.slot(slot).contains(&at));
                assert_eq!(
                    spare_is_zero(&layout, &block, used),
                    is_digest,
                    "{hash_type:?} {algorithm} {size}: {used} used, byte {at}"
                );
                block[at] = 0;
            }
        }
    }
}

/// What is kept of the part of the tree before says nothing of a part that is not proven, however alike the two are: every
/// block of the data is the same, and so is every hash block of a level. Each hash block of level 1 in turn is broken.
#[test]
fn an_unproven_window_takes_nothing_from_the_last_one() {
    let params = *Example::new(SHA256, 512, 512, 16 * 16 * 16, b"s").tree.params();
    let good = Example::of(params, vec![0x5a; params.data_size() as usize]);
    let level = good.tree.layout().levels()[1];
    for (parent, threads, resident) in
        (0..level.blocks).flat_map(|parent| [(parent, 1, None), (parent, 1, Some(64)), (parent, 3, Some(64))])
    {
        let mut example = good.clone();
        example.hash[level.offset as usize + parent as usize * 512 + 40] ^= 1;
        let options = Options { resident, ..Options::new().threads(threads) };
        let of_stream = example
            .tree
            .verify_stream(&mut &example.data[..], &example.hash, &example.root, &options)
            .unwrap();
        for verdict in [check(&example, &options), of_stream] {
            let below = parent * 16..(parent + 1) * 16;
            assert_eq!(verdict.levels[1].corrupt.ranges(), one(parent));
            assert_eq!(verdict.levels[0].unproven.ranges(), core::slice::from_ref(&below));
            assert_eq!(verdict.levels[0].proven, 16 * 16 - 16);
            let data = below.start * 16..below.end * 16;
            assert_eq!(verdict.unproven_data.ranges(), core::slice::from_ref(&data));
            assert_eq!(verdict.proven_data, 16 * 16 * 16 - 256);
            assert!(verdict.corrupt_data.is_empty() && !verdict.is_proven());
        }
    }
}

/// 25 MiB in blocks of 512 bytes: 13 claims, 4 parts, the last of each not whole.
fn larger() -> Example {
    static LARGER: LazyLock<Example> = LazyLock::new(|| Example::new(SHA256, 512, 512, 25 * 2048 + 3, b"x"));
    LARGER.clone()
}

#[test]
fn s10_any_number_of_threads_is_taken_for_one_that_can_be() {
    let example = larger();
    let whole = example.built(&Options::new().threads(1));
    for threads in [0, 1025, usize::MAX / 8, usize::MAX / 8 + 1, usize::MAX] {
        let options = Options::new().threads(threads);
        assert!(larger().built(&options) == whole, "{threads}");
        assert!(check(&example, &options).is_proven(), "{threads}");
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let mut example = larger();
    let whole = example.built(&Options::new().threads(1));
    assert!(whole == (example.hash.clone(), example.root));
    let claim = 2 << 20;
    let end = example.data.len();
    for at in [0, 511, claim - 1, claim, 4 * claim - 1, 4 * claim, 8 * claim, end - 1] {
        example.data[at] ^= 1;
    }
    let levels = example.tree.layout().levels().to_vec();
    for (level, block) in [(0, 0), (0, 256), (0, 511), (0, 3000), (1, 17)] {
        example.hash[(levels[level].offset + block * 512) as usize + 7] ^= 1;
    }
    let verdict = check(&example, &Options::new().threads(1));
    assert_eq!(verdict, judge(&example));
    let first = check(&example, &Options::new().threads(1).stop_at_first(true));
    assert!(!first.is_complete);
    for threads in 2..=8 {
        assert!(larger().built(&Options::new().threads(threads)) == whole);
        assert_eq!(check(&example, &Options::new().threads(threads)), verdict);
        assert_eq!(check(&example, &Options::new().threads(threads).stop_at_first(true)), first);
    }
}

#[test]
fn the_first_finding_is_the_lowest() {
    let mut example = larger();
    let blocks = example.tree.params().data_blocks();
    for block in (0..blocks).rev().step_by(6000).chain([0]) {
        example.data[block as usize * 512] ^= 1;
        for threads in [1, 2, 3, 8] {
            let verdict = check(&example, &Options::new().threads(threads).stop_at_first(true));
            assert!(!verdict.is_proven() && !verdict.is_complete);
            assert_eq!(verdict.corrupt_data.first(), Some(block));
        }
    }
    let clean = check(&larger(), &Options::new().stop_at_first(true));
    assert!(clean.is_proven() && clean.is_complete);
}

#[test]
fn random_rubbish_is_counted_exactly() {
    let mut example = Example::new(SHA256, 512, 512, 5000, b"");
    for block in (0..5000).step_by(2) {
        example.data[block * 512 + 9] ^= 1;
    }
    let verdict = check(&example, &Options::new());
    assert_eq!((verdict.corrupt_data.count(), verdict.proven_data), (2500, 2500));
    assert!(verdict.corrupt_data.is_truncated());
    assert_eq!(verdict.corrupt_data.ranges().len(), crate::verdict::MAX_RANGES);
}

// --- sources that fail ----------------------------------------------------------------------------------------------

/// A source that hands out another one as its own second handle.
struct Reopened<'a>(&'a [u8], Vec<u8>);

impl ReadAt for Reopened<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, buf)
    }
    fn reopen(&self) -> Option<Box<dyn ReadAt>> {
        Some(Box::new(self.1.clone()))
    }
}

#[test]
fn a_second_handle_of_another_size_is_not_used() {
    let example = larger();
    for threads in [1, 3] {
        for change in [-512, 512] {
            let other = |bytes: &[u8]| vec![0x77; bytes.len().checked_add_signed(change).unwrap()];
            let data = Reopened(&example.data, other(&example.data));
            let hash = Reopened(&example.hash, other(&example.hash));
            let options = Options::new().threads(threads);
            assert!(example.tree.verify(&data, &hash, &example.root, &options).unwrap().is_proven());
            assert_eq!(example.tree.root_hash(&data, &options).unwrap(), example.root);
        }
    }
}

/// Memory behind `read`, never as a slice.
struct Faulty<F> {
    bytes: Vec<u8>,
    reads: AtomicU64,
    fault: F,
}

impl<F: Fn(u64, u64, &mut [u8]) -> io::Result<()> + Send + Sync> ReadAt for Faulty<F> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.bytes.read_exact_at(offset, buf)?;
        (self.fault)(self.reads.fetch_add(1, Ordering::Relaxed), offset, buf)
    }
}

fn faulty<F: Fn(u64, u64, &mut [u8]) -> io::Result<()> + Send + Sync>(bytes: &[u8], fault: F) -> Faulty<F> {
    Faulty { bytes: bytes.to_vec(), reads: AtomicU64::new(0), fault }
}

#[test]
fn a_failed_read_is_an_error_whichever_it_is() {
    let example = larger();
    for threads in [1, 3] {
        let options = Options::new().threads(threads);
        let fault = |_, _, _: &mut [u8]| Ok(());
        let (data, hash) = (faulty(&example.data, fault), faulty(&example.hash, fault));
        assert!(example.tree.verify(&data, &hash, &example.root, &options).unwrap().is_proven());
        let reads = (data.reads.into_inner(), hash.reads.into_inner());
        assert!(reads.0 >= 26 && reads.1 >= 10, "{reads:?}");
        for n in 0..reads.0 {
            let data =
                faulty(
                    &example.data,
                    |i, _, _| if i == n { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) },
                );
            let error = example.tree.verify(&data, &example.hash, &example.root, &options).unwrap_err();
            assert!(matches!(error, Error::Io { storage: Storage::Data, .. }), "{error}");
            let data =
                faulty(
                    &example.data,
                    |i, _, _| if i == n { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) },
                );
            let error = example.tree.root_hash(&data, &options).unwrap_err();
            assert!(matches!(error, Error::Io { storage: Storage::Data, .. }), "{error}");
        }
        for n in 0..reads.1 {
            let hash =
                faulty(
                    &example.hash,
                    |i, _, _| if i == n { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) },
                );
            let error = example.tree.verify(&example.data, &hash, &example.root, &options).unwrap_err();
            assert!(matches!(error, Error::Io { storage: Storage::Hash, .. }), "{error}");
        }
    }
}

#[test]
fn an_error_names_its_offset() {
    let example = larger();
    let bad = 3 * 1024 * 1024 + 5;
    let data = faulty(&example.data, |_, offset, buf| {
        if (offset..offset + buf.len() as u64).contains(&bad) {
            Err(io::Error::from_raw_os_error(5))
        } else {
            Ok(())
        }
    });
    let error = example.tree.verify(&data, &example.hash, &example.root, &Options::new()).unwrap_err();
    assert!(matches!(error, Error::Io { offset: 0x30_0000, .. }), "{error}");
    assert_eq!(error.to_string(), "data, byte 3145728: Input/output error (os error 5)");
}

/// Every read after the first of a byte gives its complement: nothing may depend on a second look.
#[test]
fn nothing_is_read_twice() {
    let example = larger();
    let seen = |len: usize| Mutex::new(vec![false; len]);
    let twice = |seen: &Mutex<Vec<bool>>, offset: u64, buf: &mut [u8]| {
        let mut seen = seen.lock().unwrap();
        for (byte, seen) in buf.iter_mut().zip(&mut seen[offset as usize..]) {
            *byte ^= if *seen { 0xff } else { 0 };
            *seen = true;
        }
        Ok(())
    };
    for threads in [1, 4] {
        let seen = (seen(example.data.len()), seen(example.hash.len()));
        let data = faulty(&example.data, |_, offset, buf| twice(&seen.0, offset, buf));
        let hash = faulty(&example.hash, |_, offset, buf| twice(&seen.1, offset, buf));
        let options = Options::new().threads(threads);
        assert!(example.tree.verify(&data, &hash, &example.root, &options).unwrap().is_proven());
        assert!(seen.0.lock().unwrap().iter().all(|seen| *seen), "all of the data was read");
        assert!(seen.1.lock().unwrap().iter().all(|seen| *seen), "all of the tree was read");
        // and the other way round: what was read is what is judged
        let again = example.tree.verify(&data, &hash, &example.root, &options).unwrap();
        assert!(!again.is_proven() && !again.root_matches());
    }
}

#[test]
fn content_that_changes_is_never_proven() {
    let example = larger();
    for n in [0, 1, 7, 12] {
        let data = faulty(&example.data, |i, _, buf| {
            buf[77] ^= u8::from(i == n);
            Ok(())
        });
        let verdict = example.tree.verify(&data, &example.hash, &example.root, &Options::new()).unwrap();
        assert_eq!(verdict.corrupt_data.count(), 1);
        let hash = faulty(&example.hash, |i, _, buf| {
            buf[77] ^= u8::from(i == n);
            Ok(())
        });
        let verdict = example.tree.verify(&example.data, &hash, &example.root, &Options::new()).unwrap();
        assert!(!verdict.is_proven());
    }
}

#[test]
fn sources_that_are_too_short() {
    let mut example = Example::new(SHA256, 512, 512, 40, b"");
    example.data.pop();
    let error = example.tree.root_hash(&example.data, &Options::new()).unwrap_err();
    assert!(matches!(error, Error::TooShort { storage: Storage::Data, needed: 20480, found: 20479 }));
    let error =
        example.tree.verify(&example.data, &example.hash, &example.root, &Options::new()).unwrap_err();
    assert!(matches!(error, Error::TooShort { storage: Storage::Data, .. }));
    example.data.push(0);
    example.hash.pop();
    let error =
        example.tree.verify(&example.data, &example.hash, &example.root, &Options::new()).unwrap_err();
    assert!(matches!(error, Error::TooShort { storage: Storage::Hash, needed: 2048, found: 2047 }));
    let error = example.tree.claimed_root_hash(&example.hash).unwrap_err();
    assert!(matches!(error, Error::TooShort { storage: Storage::Hash, .. }));
}

#[test]
fn a_panic_of_the_source_is_an_error() {
    let example = larger();
    for threads in [1, 2, 4] {
        let options = Options::new().threads(threads);
        let data = faulty(&example.data, |i, _, _| if i == 11 { panic!("on purpose") } else { Ok(()) });
        let error = example.tree.verify(&data, &example.hash, &example.root, &options).unwrap_err();
        assert!(matches!(error, Error::Worker), "{error}");
        let hash = faulty(&example.hash, |_, _, _| panic!("on purpose"));
        let error = example.tree.verify(&example.data, &hash, &example.root, &options).unwrap_err();
        assert!(matches!(error, Error::Worker), "{error}");
    }
}

struct Full;
impl WriteAt for Full {
    fn write_all_at(&self, offset: u64, _: &[u8]) -> io::Result<()> {
        if offset == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failed_write_is_an_error() {
    let example = larger();
    let error = example.tree.build(&example.data, &Full, &Options::new()).unwrap_err();
    assert!(matches!(error, Error::Io { storage: Storage::Hash, offset: 0, .. }), "{error}");
}

// --- holes ----------------------------------------------------------------------------------------------------------

/// Only the bytes of `data` are there; no read may touch anything else.
struct Sparse {
    size: u64,
    data: Vec<(u64, Vec<u8>)>,
}

impl ReadAt for Sparse {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        buf.fill(0);
        let end = offset + buf.len() as u64;
        let mut touched = false;
        for (start, bytes) in &self.data {
            for (at, byte) in (*start..).zip(bytes) {
                if (offset..end).contains(&at) {
                    buf[(at - offset) as usize] = *byte;
                    touched = true;
                }
            }
        }
        assert!(touched, "read of a hole");
        Ok(())
    }
    fn next_data(&self, offset: u64) -> Option<u64> {
        self.data
            .iter()
            .find(|(start, bytes)| start + bytes.len() as u64 > offset)
            .map(|(start, _)| offset.max(*start))
    }
}

#[test]
fn holes_are_not_read_and_change_nothing() {
    // the last hash block is not full
    let size = (24 << 20) + (192 << 10);
    let sparse = Sparse {
        size,
        data: vec![(5, vec![1; 600]), ((8 << 20) - 3, vec![2; 10]), (20 << 20, vec![3; 512])],
    };
    let mut dense = vec![0; size as usize];
    for (start, bytes) in &sparse.data {
        dense[*start as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    // of hash type 0, a hash block of 512 bytes ends with 128 that are in no slot
    let old = (HashType::ChromeOs, Algorithm::Sha384);
    for ((hash_type, algorithm), data_block_size, hash_block_size) in [
        (SHA256, 512, 512),
        (SHA256, 4096, 4096),
        (SHA256, 4096, 512),
        (SHA256, 65536, 4096),
        (old, 4096, 512),
    ] {
        let blocks = size / u64::from(data_block_size);
        let params = Params::new(hash_type, algorithm, data_block_size, hash_block_size, blocks, Salt::EMPTY);
        let example = Example::of(params.unwrap(), dense.clone());
        for threads in [1, 3] {
            let options = Options::new().threads(threads);
            let hash = Mutex::new(Vec::new());
            assert_eq!(example.tree.build(&sparse, &hash, &options).unwrap(), example.root);
            assert!(hash.into_inner().unwrap() == example.hash);
            assert!(
                example.tree.verify(&sparse, &example.hash, &example.root, &options).unwrap().is_proven()
            );
            let (hash, root) = example.built(&options.hash_every_block(true));
            assert!(hash == example.hash && root == example.root);
        }
        // a hole where there should be data
        let mut less = Sparse { size, data: sparse.data.clone() };
        less.data.pop();
        let verdict = example.tree.verify(&less, &example.hash, &example.root, &Options::new()).unwrap();
        assert_eq!(verdict.corrupt_data.ranges(), one((20 << 20) / u64::from(data_block_size)));
    }
}

/// 1 TiB of nothing: levels that are streamed, and none of it takes memory or much time.
#[test]
fn a_huge_hole() {
    let blocks = 1 << 28;
    let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, blocks, Salt::EMPTY).unwrap();
    let tree = HashTree::new(params, Placement::Bare(0)).unwrap().vouched();
    let data = Sparse { size: blocks * 4096, data: vec![] };
    let mut digest = params.hasher().hash_block(&[0; 4096]);
    for _ in tree.layout().levels() {
        digest = params.hasher().hash_block(&digest.as_bytes().repeat(128));
    }
    assert_eq!(tree.layout().levels().len(), 4);
    assert_eq!(tree.root_hash(&data, &Options::new()).unwrap(), RootHash::from(digest));
}

// --- streamed levels ------------------------------------------------------------------------------------------------

/// With a lower limit for the digests in memory, small images stream their levels as the largest do.
#[test]
fn more_than_one_streamed_level() {
    for (algorithm, block_size, resident, streamed) in [
        (Algorithm::Sha256, 512, 40_000, 2),
        (Algorithm::Sha256, 512, 4_000, 3),
        (Algorithm::Sha512, 512, 100_000, 2),
        (Algorithm::Sha512, 512, 20_000, 3),
        (Algorithm::Sha512, 512, 1, 6),
        (Algorithm::Sha256, 1024, 1, 3),
    ] {
        let options = Options { resident: Some(resident), ..Options::new() };
        let blocks = (25 << 20) / u64::from(block_size) + 11;
        let example = Example::new((HashType::Normal, algorithm), block_size, block_size, blocks, b"s");
        assert_eq!(Work::new(&example.tree, &options).streamed, streamed);
        let mut damaged = example.clone();
        let size = u64::from(block_size);
        for (level, block) in [(0, 0), (0, 300), (0, 1500), (1, 127), (1, 64), (2, 3)] {
            if let Some(at) = example.tree.layout().block_offset(level, block) {
                damaged.hash[at as usize + 100] ^= 1;
            }
        }
        for block in [1, 2, blocks / 2, blocks - 1] {
            damaged.data[(block * size) as usize + 1] ^= 1;
        }
        let expected = judge(&damaged);
        let first = check(&damaged, &options.threads(1).stop_at_first(true));
        for threads in [1, 3] {
            let options = options.threads(threads);
            assert!(example.built(&options) == (example.hash.clone(), example.root));
            assert!(check(&example, &options).is_proven());
            assert_eq!(check(&damaged, &options), expected);
            assert_eq!(check(&damaged, &options.stop_at_first(true)), first);
        }
    }
}

// --- options --------------------------------------------------------------------------------------------------------

/// Nothing of the hash area is read, so it need not be there.
#[test]
fn a_single_block_needs_no_hash_area() {
    let example = Example::new(SHA256, 4096, 4096, 1, b"s");
    let tree = HashTree::new(*example.tree.params(), Placement::Superblock(0)).unwrap().vouched();
    let nothing = Vec::new();
    let verdict = tree.verify(&example.data, &nothing, &example.root, &Options::new()).unwrap();
    assert!(verdict.is_proven() && verdict.root_matches());
}

#[test]
fn progress_rises_to_the_whole() {
    let example = larger();
    for threads in [1, 4] {
        let seen = Mutex::new(Vec::new());
        let progress = |done, total| seen.lock().unwrap().push((done, total));
        check(&example, &Options::new().threads(threads).progress(&progress));
        let seen = seen.into_inner().unwrap();
        let total = example.data.len() as u64;
        assert!(seen.iter().all(|(_, t)| *t == total) && seen.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(seen.last(), Some(&(total, total)));
        assert!(seen.len() >= 13);

        let seen = Mutex::new(Vec::new());
        let progress = |done, total| seen.lock().unwrap().push((done, total));
        example.tree.root_hash(&example.data, &Options::new().threads(threads).progress(&progress)).unwrap();
        let seen = seen.into_inner().unwrap();
        assert!(seen.iter().all(|(_, t)| *t == total) && seen.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(seen.last(), Some(&(total, total)));
    }
}

#[test]
fn cancelled_in_the_middle() {
    let example = larger();
    for threads in [1, 4] {
        let cancel = AtomicBool::new(false);
        let progress = |done, _| cancel.store(done >= 8 << 20, Ordering::Relaxed);
        let options = Options::new().threads(threads).progress(&progress).cancel(&cancel);
        let outcome = example.tree.verify(&example.data, &example.hash, &example.root, &options);
        assert!(matches!(outcome, Err(Error::Cancelled)));
        cancel.store(true, Ordering::Relaxed);
        assert!(matches!(example.tree.root_hash(&example.data, &options), Err(Error::Cancelled)));
    }
}

#[test]
fn sha1_is_for_reading() {
    let example = Example::new((HashType::Normal, Algorithm::Sha1), 512, 512, 20, b"");
    let hash = Mutex::new(Vec::new());
    let refused = example.tree.build(&example.data, &hash, &Options::new()).unwrap_err();
    assert!(matches!(refused, Error::ReadOnlyAlgorithm { algorithm: Algorithm::Sha1 }));
    assert!(hash.into_inner().unwrap().is_empty());
    assert!(check(&example, &Options::new()).is_proven());
}

#[test]
fn claimed_root_hash_is_that_of_the_top_block() {
    let example = Example::new(SHA256, 512, 512, 40, b"");
    assert_eq!(example.tree.claimed_root_hash(&example.hash).unwrap(), Some(example.root));
    let single = Example::new(SHA256, 512, 512, 1, b"");
    assert_eq!(single.tree.claimed_root_hash(&single.hash).unwrap(), None);
}

#[test]
fn tree_behind_a_superblock_and_behind_the_data() {
    let plain = Example::new(SHA256, 512, 1024, 100, b"");
    for placement in [Placement::Superblock(0), Placement::Superblock(51200), Placement::Bare(51200)] {
        let tree = HashTree::new(*plain.tree.params(), placement).unwrap().vouched();
        let mut image = plain.data.clone();
        image.resize(51712.max(image.len()), 0xee);
        let image = Mutex::new(image);
        let root = tree.build(&plain.data, &image, &Options::new()).unwrap();
        let image = image.into_inner().unwrap();
        assert_eq!(root, plain.root);
        let start = tree.layout().tree().start as usize;
        assert!(image[start..][..plain.hash.len()] == plain.hash);
        assert!(tree.verify(&plain.data, &image, &root, &Options::new()).unwrap().is_proven());
        if start == 51200 {
            // data and tree in one file
            assert!(tree.verify(&image, &image, &root, &Options::new()).unwrap().is_proven());
        }
    }
}
