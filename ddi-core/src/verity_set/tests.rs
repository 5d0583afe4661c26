use ddi_verity::{Algorithm, HashType};

use super::*;
use crate::dissect::{DissectOptions, VeritySettings};
use crate::prove::{Outcome, ProveOptions, prove};
use crate::report::{Report, ReportOptions};
use crate::testing::{Disk, DiskImage as _, Set, erofs};

const DATA: &str = "root-x86-64";
const HASH: &str = "root-x86-64-verity";

fn dissect(image: &Image, trusted: &[TrustedRootHash]) -> DissectionRecord {
    let mut options = DissectOptions::new(VeritySettings::new(trusted, image.sidecars()));
    options.native = Some(Architecture::X86_64);
    DissectionRecord::new(image, &options)
}

fn bind(image: &Image, trusted: &[TrustedRootHash]) -> Vec<VeritySet> {
    let options = BindOptions { trusted, ..BindOptions::default() };
    verity_sets(image, &dissect(image, trusted), &options)
}

/// With a root hash for the role, the size that the caller gives is that of the data under it; else, of all.
#[test]
fn the_size_that_is_given_is_for_what_is_trusted() {
    let (own, other) = (Set::new(erofs(8, 1)), Set::new(erofs(9, 2)));
    let image = Disk::new().pair(DATA, "1", &own).pair(DATA, "2", &other).image();
    let sized = |trusted: &[TrustedRootHash], bytes| -> Vec<_> {
        let data_sizes = &[DataSize { role: Role::Root, bytes }][..];
        let options = BindOptions { trusted, data_sizes, ..BindOptions::default() };
        let sets = verity_sets(&image, &dissect(&image, &[]), &options);
        let code = |set: &VeritySet| set.problem.as_ref().map(Error::code);
        sets.iter().map(|set| (set.data_size, code(set))).collect()
    };
    let root = TrustedRootHash::by_caller(own.root, Role::Root);
    let usr = TrustedRootHash::by_caller(own.root, Role::Usr);
    let right = (Some(8 * 4096), None);
    let wrong = (None, Some("data-size-differs"));
    for (trusted, bytes, expected) in [
        (&[root][..], 8 * 4096, [right, (None, None)]),
        (&[root, usr], 8 * 4096, [right, (None, None)]),
        (&[root], 9 * 4096, [wrong, (None, None)]),
        (&[root], 8 * 4096 + 1, [wrong, (None, None)]),
        (&[], 8 * 4096, [right, wrong]),
        (&[usr], 8 * 4096, [right, wrong]),
    ] {
        assert_eq!(sized(trusted, bytes), expected, "{trusted:?} {bytes}");
    }
}

/// Where the fault is, is told for a tree in the image, not for one beside it.
#[test]
fn faults_beside_the_image_have_no_place_in_it() {
    let set = Set::new(erofs(8, 1));
    let dir = std::env::temp_dir().join(format!("ddi-core-{}-place", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("a.raw"), &set.data).unwrap();
    std::fs::write(dir.join("a.verity"), &set.hash).unwrap();
    let beside = Image::open(dir.join("a.raw")).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let behind = crate::testing::image([&set.data[..], &set.hash].concat());
    for (image, hash_offset, place) in [(beside, None, None), (behind, Some(8 * 4096), Some(8 * 4096))] {
        let options = BindOptions { hash_offset, ..BindOptions::default() };
        let sets = verity_sets(&image, &dissect(&image, &[]), &options);
        assert!(matches!(sets[0].problem, Some(Error::RootHashUnknown { role: Role::Root })));
        assert_eq!(sets[0].findings[0].offset, place, "{hash_offset:?}");
        assert_eq!(sets[0].hash.range.offset, place.unwrap_or(0));
    }
}

#[test]
fn of_many_hash_partitions_one_stands_for_those_that_are_not_looked_at() {
    let set = Set::new(erofs(8, 1));
    let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
    for others in [63, 64, 70] {
        let disk = (0..others).fold(Disk::new(), |disk, _| disk.part(HASH, "", &set.hash));
        let image = disk.pair(DATA, "", &set).image();
        let hash = others + 2;

        let sets = bind(&image, &[]);
        assert_eq!(sets.len(), (others as usize + 1).min(MAX_SETS + 1), "{others}");
        let rest: Vec<_> = sets
            .iter()
            .filter_map(|set| match set.problem {
                Some(Error::NotSearched { partition, others, .. }) => Some((partition, others)),
                _ => None,
            })
            .collect();
        let report = Report::of(&image, &dissect(&image, &[]), &ReportOptions::new(&image));
        let told = report.findings.iter().filter(|finding| finding.code() == "not-searched").count();
        if others < 64 {
            assert!(rest.is_empty() && told == 0, "{others}: {rest:?}");
        } else {
            // those after it, but for its own
            let first = if others == 64 { hash } else { 65 };
            assert_eq!(rest, [(first, others as usize - MAX_SETS)], "{others}");
            assert!(told == 1 && report.broken(), "{others}");
        }

        // what the caller's root hash is for is looked at, wherever it is
        let sets = bind(&image, &trusted);
        let own = sets.iter().find(|set| set.named(&trusted).is_some()).unwrap();
        assert_eq!(own.hash.number, Some(hash), "{others}");
        assert!(sets.is_sorted_by_key(|set| set.hash.number), "{others}");
        // also where systemd would not choose it
        let options = BindOptions { trusted: &trusted, ..BindOptions::default() };
        let sets = verity_sets(&image, &dissect(&image, &[]), &options);
        assert!(sets.iter().any(|set| set.named(&trusted).is_some()), "{others}");
        let options = ProveOptions { trusted: &trusted, ..ProveOptions::default() };
        let proven = prove(&image, &dissect(&image, &trusted), &options).outcome;
        assert_eq!(proven, Outcome::Verified, "{others}");
        let unnamed = prove(&image, &dissect(&image, &[]), &ProveOptions::default()).outcome;
        assert_eq!(unnamed, Outcome::Failed, "{others}");
    }
}

#[test]
fn data_of_a_tree_without_levels_is_looked_for_within_bounds() {
    let block = 512 << 10;
    let mut data = erofs(1, 1);
    data.resize(block, 0);
    let mut set = Set::with(data, HashType::Normal, Algorithm::Sha256, block as u32);
    set.hash.truncate(4096);
    for others in [MAX_SEARCHED as usize / block - 1, MAX_SEARCHED as usize / block] {
        // too short for a block, and tried nevertheless
        let disk = (0..others).fold(Disk::new(), |disk, _| disk.part(DATA, "", &[0; 512]));
        let image = disk.pair(DATA, "", &set).image();
        let sets = bind(&image, &[]);
        let is_found = others * block < MAX_SEARCHED as usize;
        assert_eq!(sets[0].tree_root, is_found.then_some(set.root), "{others}");
        let problem = sets[0].problem.as_ref();
        assert_eq!(problem.map(Error::code), (!is_found).then_some("not-searched"), "{others}");
        assert!(!matches!(problem, Some(Error::NotSearched { others: 1.., .. })), "{problem:?}");
        // with the root hash at hand nothing has to be looked for
        let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
        let sets = bind(&image, &trusted);
        assert_eq!(sets[0].data.unwrap().number, Some(others as u32 + 1), "{others}");
        assert!(sets[0].problem.is_none(), "{others}");
    }
}

const SIGNATURE: &str = "root-x86-64-verity-sig";

/// Where each signature is, and what it came to.
fn told(set: &VeritySet) -> Vec<(Option<u32>, &'static str)> {
    let place = |place| match place {
        SignaturePlace::Partition(number) => Some(number),
        SignaturePlace::Sidecar => None,
    };
    set.signatures.iter().map(|found| (place(found.place), found.state.name())).collect()
}

/// Codes of the findings about a set.
fn codes(set: &VeritySet) -> Vec<&'static str> {
    set.findings.iter().map(Finding::code).collect()
}

#[test]
fn signatures_for_the_root_hash_and_the_one_that_should_be() {
    let (own, other) = (Set::new(erofs(8, 1)), Set::new(erofs(8, 2)));
    let broken = vec![b'x'; 4096];
    let (right, wrong) = (&own.signature, &other.signature);
    let (unchecked, differs, failed) = ("unchecked", "other-root-hash", "failed");
    let trusted = [TrustedRootHash::by_caller(own.root, Role::Root)];
    let options = BindOptions { trusted: &trusted, ..BindOptions::default() };
    // by their labels, the higher one is what systemd chooses
    for (case, (signatures, expected)) in [
        (&[("1", right)][..], &[(3, unchecked)][..]),
        // the only one is told, whatever it is for
        (&[("1", wrong)], &[(3, differs)]),
        (&[("1", &broken)], &[(3, failed)]),
        // of several, the chosen one and all that are right
        (&[("2", wrong), ("1", right)], &[(3, differs), (4, unchecked)]),
        (&[("2", &broken), ("1", right)], &[(3, failed), (4, unchecked)]),
        (&[("2", right), ("1", wrong)], &[(3, unchecked)]),
        (&[("2", right), ("1", &broken)], &[(3, unchecked)]),
        (&[("1", right), ("2", right)], &[(3, unchecked), (4, unchecked)]),
        (&[("1", wrong), ("2", &broken)], &[(4, failed)]),
        (&[], &[]),
    ]
    .into_iter()
    .enumerate()
    {
        let disk = Disk::new().pair(DATA, "os", &own);
        let image =
            signatures.iter().fold(disk, |disk, (label, text)| disk.part(SIGNATURE, label, text)).image();
        let sets = verity_sets(&image, &dissect(&image, &[]), &options);
        let expected: Vec<_> = expected.iter().map(|(number, state)| (Some(*number), *state)).collect();
        assert_eq!(told(&sets[0]), expected, "{case}");
    }
    // what systemd chooses is chosen for the set that it chooses
    let image = Disk::new()
        .pair(DATA, "1", &own)
        .pair(DATA, "2", &Set::new(erofs(8, 3)))
        .part(SIGNATURE, "1", wrong)
        .part(SIGNATURE, "2", wrong)
        .image();
    let both =
        [own.root, Set::new(erofs(8, 3)).root].map(|root| TrustedRootHash::by_caller(root, Role::Root));
    let sets =
        verity_sets(&image, &dissect(&image, &[]), &BindOptions { trusted: &both, ..BindOptions::default() });
    assert_eq!((sets[0].selected, told(&sets[0])), (false, vec![]));
    assert_eq!((sets[1].selected, told(&sets[1])), (true, vec![(Some(6), differs)]));
    // with certificates, the signature itself is looked at
    let certificates = Certificates::new();
    let check = |text: &[u8]| {
        let image = Disk::new().pair(DATA, "os", &own).part(SIGNATURE, "os", text).image();
        let options = BindOptions { certificates: Some(&certificates), ..options };
        told(&verity_sets(&image, &dissect(&image, &[]), &options)[0])
    };
    assert_eq!(check(right), [(Some(3), failed)]);
    assert_eq!(check(wrong), [(Some(3), differs)]);
    // no more than some of them
    for (count, told_of) in [(7, 7), (8, 8), (9, 8), (20, 8)] {
        let disk = Disk::new().pair(DATA, "os", &own);
        let image = (0..count).fold(disk, |disk, _| disk.part(SIGNATURE, "os", right)).image();
        assert_eq!(told(&bind(&image, &[])[0]).len(), told_of);
    }
}

/// A file does not say which root hash it is for: that of the caller and that of a file beside the image are meant.
#[test]
fn a_signature_beside_the_image() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/ddi-signature/tests/data");
    let golden = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut certificates = Certificates::new();
    certificates.add(ddi_signature::Certificate::parse(&golden("rsa2048.crt")).unwrap());
    let pkcs7 = golden("rsa2048.p7s");
    // what that is over
    let signed = RootHash::from_bytes(&<sha2::Sha256 as sha2::Digest>::digest(b"ddi")).unwrap();

    let set = Set::new(erofs(8, 1));
    let (data, hash) = ddi_gpt::verity_guids(signed.as_bytes()).unwrap();
    let named = Set { signature: crate::testing::signature(&signed), ..set.clone() };
    let claimed = Disk::new()
        .set(DATA, "os", &named)
        .edit_number(1, |part| part.guid = data)
        .edit_number(2, |part| part.guid = hash);
    let beside = |disk: &Disk, role, origin: Option<RootHashOrigin>| {
        let root = if disk.bytes() == claimed.bytes() { signed } else { set.root };
        let root_hashes =
            origin.map(|origin| KnownRootHash { hash: root, role: Role::Root, origin }).into_iter().collect();
        let signatures = vec![crate::image::file::SidecarSignature { role, pkcs7: pkcs7.clone() }];
        let image =
            disk.beside(crate::image::file::Sidecars { root_hashes, signatures, ..Default::default() });
        let options = BindOptions { certificates: Some(&certificates), ..BindOptions::default() };
        told(&verity_sets(&image, &dissect(&image, &[]), &options)[0])
    };
    let plain = Disk::new().pair(DATA, "os", &set);
    let sidecar = Some(RootHashOrigin::Sidecar);
    assert_eq!(beside(&plain, Role::Root, sidecar), [(None, "failed")]);
    assert_eq!(beside(&plain, Role::Usr, sidecar), []);
    // for another one it must be good
    assert_eq!(beside(&plain, Role::Root, None), []);
    assert_eq!(beside(&claimed, Role::Root, None), [(Some(3), "failed"), (None, "verified")]);
    assert_eq!(beside(&claimed, Role::Usr, None), [(Some(3), "failed")]);
    assert_eq!(beside(&claimed, Role::Root, sidecar), [(Some(3), "failed"), (None, "verified")]);
}

#[test]
fn data_without_the_right_guid() {
    let set = Set::new(erofs(8, 1));
    let numbers = |disk: Disk| {
        let sets = bind(&disk.image(), &[]);
        let number = |set: &VeritySet| (set.data.and_then(|data| data.number), set.selected);
        sets.iter().map(number).collect::<Vec<_>>()
    };
    let data = |disk: Disk, label| disk.part(DATA, label, &set.data);
    let hash = |disk: Disk, label| disk.part(HASH, label, &set.hash);
    // systemd's choice for what systemd chooses
    let new = Disk::new;
    assert_eq!(numbers(hash(data(data(new(), "1"), "2"), "os")), [(Some(2), true)]);
    assert_eq!(numbers(hash(data(data(new(), "2"), "1"), "os")), [(Some(1), true)]);
    // and for nothing else
    assert_eq!(numbers(hash(hash(data(data(new(), "1"), "2"), "1"), "2")), [(None, false), (Some(2), true)]);
    // the only one is for all
    assert_eq!(numbers(hash(hash(data(new(), "1"), "1"), "2")), [(Some(1), false), (Some(1), true)]);
    assert_eq!(numbers(hash(new(), "os")), [(None, false)]);
    // the only one for another machine, though the tree is chosen and that data is not
    let arm =
        data(new(), "os").part("root-arm64", "os", &set.data).part("root-arm64-verity", "os", &set.hash);
    assert_eq!(numbers(arm), [(Some(2), false)]);
    // a root hash is for a set that has its data
    let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
    let image =
        hash(data(data(new(), "1"), "2"), "os").guid(set.guids().1).part(HASH, "zz", &set.hash).image();
    let options = BindOptions { trusted: &trusted, ..BindOptions::default() };
    let sets = verity_sets(&image, &dissect(&image, &[]), &options);
    assert_eq!((sets[0].data, sets[0].root_hash), (None, None));
    assert_eq!(sets[0].problem.as_ref().map(Error::code), Some("verity-without-data"));
}

#[test]
fn what_does_not_agree_is_told() {
    let (set, other) = (Set::new(erofs(8, 1)), Set::new(erofs(8, 2)));
    let code = |set: &VeritySet| set.problem.as_ref().map(Error::code);
    // as it should be
    let image = Disk::new().set(DATA, "os", &set).image();
    let found = &bind(&image, &[])[0];
    assert_eq!((found.guids_match, code(found), codes(found)), (Some(true), None, vec![]));
    assert_eq!(found.signature.and_then(|signature| signature.number), Some(3));
    assert_eq!(found.root_hash.unwrap().origin, RootHashOrigin::SignaturePartition);
    assert!(found.superblock.is_some() && found.examined.is_some());
    // one half, either of them
    for number in [1, 2] {
        let wrong = |part: &mut crate::testing::NewPart| part.guid = Guid::from_u128(77);
        let image = Disk::new().set(DATA, "os", &set).edit_number(number, wrong).image();
        let found = &bind(&image, &[])[0];
        assert_eq!((found.guids_match, code(found)), (Some(false), Some("binding-guid")));
        assert!(matches!(found.findings[..], [Finding { what: FindingKind::Binding(_), .. }]), "{found:?}");
        assert_eq!(found.findings[0].partition, Some(number as u32));
    }
    // a signature of another root hash takes no part
    let image = Disk::new().pair(DATA, "os", &set).part(SIGNATURE, "os", &other.signature).image();
    let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
    let options = BindOptions { trusted: &trusted, ..BindOptions::default() };
    let found = &verity_sets(&image, &dissect(&image, &[]), &options)[0];
    assert_eq!((found.signature, codes(found)), (None, vec!["binding-signature"]));
    assert_eq!(found.findings[0].partition, Some(3));
    // a superblock that is none: the GUIDs say the root hash all the same, and it is no other kind of fault
    let image = Disk::new().pair(DATA, "os", &Set { hash: vec![0; 8192], ..set.clone() }).image();
    let found = &bind(&image, &[])[0];
    assert_eq!(found.root_hash.map(|known| (known.hash, known.origin)), {
        Some((set.root, RootHashOrigin::PartitionGuids))
    });
    assert!(found.superblock.is_none() && found.examined.is_some());
    assert!(matches!(found.findings[..], [Finding { what: FindingKind::Verity { .. }, .. }]), "{found:?}");
    // a longer one is not made of GUIDs
    let long = Set::with(erofs(8, 1), HashType::Normal, Algorithm::Sha512, 4096);
    let found = &bind(&Disk::new().pair(DATA, "os", &long).image(), &[])[0];
    assert_eq!((found.root_hash, code(found)), (None, Some("root-hash-unknown")));
    assert!(matches!(found.findings[..], [Finding { what: FindingKind::RootHashUnknown { .. }, .. }]));
}

#[test]
fn the_one_block_is_that_of_the_guids() {
    let one = |seed| Set::new(erofs(1, seed));
    let (set, other) = (one(1), one(2));
    let image = Disk::new().part(DATA, "z", &other.data).pair(DATA, "a", &set).image();
    let sets = bind(&image, &[]);
    assert_eq!((sets[0].tree_root, sets[0].data.unwrap().number), (Some(set.root), Some(2)));
    // found by nobody, and not for want of looking
    let image = Disk::new().part(DATA, "z", &other.data).part(HASH, "a", &set.hash).image();
    assert_eq!(bind(&image, &[])[0].tree_root, None);
}

/// Small blocks are not searched for longer than large ones: what is read of a partition is 4 KiB at least.
#[test]
fn partitions_that_are_searched_cost_no_less_than_4_kib() {
    let set = Set::with(erofs(1, 1)[..512].to_vec(), HashType::Normal, Algorithm::Sha256, 512);
    let binder_left = |left: u64, partitions: usize| {
        let disk =
            (0..partitions).fold(Disk::new().part(HASH, "", &set.hash), |disk, _| disk.part(DATA, "", &[1]));
        let image = disk.image();
        let dissection = dissect(&image, &[]);
        let options = BindOptions::default();
        let Table::Gpt(gpt) = image.table() else { panic!() };
        let with = |designator: fn(Role) -> Designator| -> Vec<Candidate> {
            gpt.partitions().iter().filter_map(|partition| candidate(partition, designator)).collect()
        };
        let (data, hashes) = (with(Role::data), with(Role::hash));
        let left = Cell::new(left);
        let binder = Binder {
            image: &image,
            dissection: &dissection,
            options: &options,
            data,
            signatures: vec![],
            left,
        };
        let code = binder.bind_all(&hashes)[0].problem.as_ref().map(Error::code);
        (binder.left.get(), code)
    };
    assert_eq!(binder_left(3 * 4096, 3), (0, None));
    assert_eq!(binder_left(3 * 4096 - 1, 3), (4095, Some("not-searched")));
}

#[test]
fn of_many_trusted_trees_the_rest_is_told_too() {
    let sets: Vec<_> = (0..66).map(|seed| Set::new(erofs(2, seed))).collect();
    let trusted: Vec<_> = sets.iter().map(|set| TrustedRootHash::by_caller(set.root, Role::Root)).collect();
    let disk = sets.iter().fold(Disk::new(), |disk, set| disk.part(HASH, "", &set.hash).guid(set.guids().1));
    let image = disk.image();
    let options = BindOptions { trusted: &trusted, ..BindOptions::default() };
    let found = verity_sets(&image, &dissect(&image, &[]), &options);
    assert_eq!(found.len(), MAX_SETS + 1);
    let last = found.last().unwrap();
    assert!(matches!(last.problem, Some(Error::NotSearched { partition: 65, others: 1, .. })), "{last:?}");
    assert_eq!(last.architecture, Some(Architecture::X86_64));
    // and of two that are trusted, both are looked at
    let options = BindOptions { trusted: &trusted[64..], ..options };
    let found = verity_sets(&image, &dissect(&image, &[]), &options);
    let numbers: Vec<_> = found.iter().rev().take(2).map(|set| set.hash.number).collect();
    assert_eq!(numbers, [Some(66), Some(65)]);
    assert!(found.iter().filter(|set| matches!(set.problem, Some(Error::NotSearched { .. }))).count() == 1);
}

#[test]
fn a_bare_image_with_its_tree() {
    let set = Set::new(erofs(8, 1));
    let behind = |set: &Set, trusted: &[TrustedRootHash], offset: u64| {
        let image = crate::testing::image([&set.data[..], &set.hash].concat());
        let options = BindOptions { trusted, hash_offset: Some(offset), ..BindOptions::default() };
        let mut sets = verity_sets(&image, &dissect(&image, &[]), &options);
        assert_eq!(sets.len(), 1);
        sets.remove(0)
    };
    let by_caller = |hash, role| [TrustedRootHash::by_caller(hash, role)];
    let (offset, size) = (set.data.len() as u64, set.hash.len() as u64);
    let found = behind(&set, &by_caller(set.root, Role::Root), offset);
    let extent = |offset, size| Extent { number: None, range: ByteRange { offset, size }, external: false };
    assert_eq!((found.data, found.hash), (Some(extent(0, offset)), extent(offset, size)));
    assert_eq!((found.selected, found.tree_root), (true, Some(set.root)));
    assert!(found.problem.is_none() && found.findings.is_empty() && found.superblock.is_some());
    // of another root hash: that is for the proof to say, which names the blocks
    let other = Set::new(erofs(8, 2)).root;
    let found = behind(&set, &by_caller(other, Role::Root), offset);
    assert_eq!((codes(&found), found.problem.is_none()), (vec!["binding-tree"], true));
    // one block: the root hash is that of the data
    let one = Set::new(erofs(1, 1));
    let found = behind(&one, &by_caller(one.root, Role::Root), 4096);
    assert_eq!((found.tree_root, codes(&found)), (Some(one.root), vec![]));
    let found = behind(&one, &by_caller(other, Role::Root), 4096);
    assert_eq!((found.tree_root, codes(&found)), (Some(one.root), vec!["binding-tree"]));
    // a root hash for usr makes it a set for usr; one for root comes first
    assert_eq!(behind(&set, &by_caller(set.root, Role::Usr), offset).role, Role::Usr);
    let both = [by_caller(other, Role::Usr), by_caller(set.root, Role::Root)].concat();
    assert_eq!(behind(&set, &both, offset).role, Role::Root);
    // beyond its end
    let found = behind(&set, &[], offset + size + 1);
    assert_eq!(found.hash.range.size, 0);
    assert_eq!(found.data.unwrap().range.size, offset + size);
    // and without a tree there is no set
    let image = crate::testing::image(set.data.clone());
    assert!(bind(&image, &[]).is_empty());
    // a signature beside it
    let pkcs7 = vec![0x30, 0];
    let signatures = vec![crate::image::file::SidecarSignature { role: Role::Root, pkcs7 }];
    let sidecars = crate::image::file::Sidecars { signatures, ..Default::default() };
    let bytes = [&set.data[..], &set.hash].concat();
    let image = Image::with_sidecars(Box::new(bytes), None, sidecars, None).unwrap();
    let trusted = by_caller(set.root, Role::Root);
    let options = BindOptions { trusted: &trusted, hash_offset: Some(offset), ..BindOptions::default() };
    assert_eq!(told(&verity_sets(&image, &dissect(&image, &trusted), &options)[0]), [(None, "unchecked")]);
}

/// An image that is taken for a bare file system has no sets from a table that it has too.
#[test]
fn a_table_that_is_not_used_has_no_sets() {
    let mut bytes = Disk::new().pair(DATA, "os", &Set::new(erofs(8, 1))).bytes();
    assert_eq!(bind(&crate::testing::image(bytes.clone()), &[]).len(), 1);
    bytes[..4].copy_from_slice(b"hsqs");
    bytes[28..30].copy_from_slice(&4_u16.to_le_bytes());
    bytes[40..48].copy_from_slice(&4096_u64.to_le_bytes());
    let image = crate::testing::image(bytes);
    assert!(dissect(&image, &[]).outcome.is_ok_and(|dissected| dissected.bare));
    assert!(bind(&image, &[]).is_empty());
}

/// A signature by a key of the tests, of the root hash of `set` and of what `bind` says of its tree.
fn signed(set: &Set, bind: Option<Params>) -> Set {
    use ddi_signature::sign::{SignOptions, SignedRootHash, SigningKey};
    let key = SigningKey::open(signer_file("p256.pem"), None).unwrap();
    let certificate = ddi_signature::Certificate::parse(&std::fs::read(signer_file("p256.crt")).unwrap());
    let options = bind.map_or(SignOptions::new(), |tree| SignOptions::new().bind(tree));
    let signed = SignedRootHash::by_key(&key, &certificate.unwrap(), &set.root, &options).unwrap();
    Set { signature: signed.partition().unwrap(), ..set.clone() }
}

fn signer_file(name: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/ddi-signature");
    folder.join("tests/data/sign").join(name)
}

fn signer(name: &str) -> Certificates {
    let mut certificates = Certificates::new();
    certificates.add_path(signer_file(name)).unwrap();
    certificates
}

fn params_of(set: &Set) -> Params {
    Superblock::parse(set.hash[..512].try_into().unwrap()).unwrap().params
}

/// What is signed along with the root hash must be the tree that is there.
#[test]
fn the_tree_is_the_one_that_was_signed() {
    let set = Set::new(erofs(300, 1));
    let right = params_of(&set);
    let (hash_type, algorithm, salt) = (right.hash_type(), right.algorithm(), *right.salt());
    let certificates = signer("p256.crt");
    let prove = |set: &Set, content| {
        let image = Disk::new().set(DATA, "os", set).image();
        let options = ProveOptions { certificates: Some(&certificates), content, ..ProveOptions::default() };
        let assessment = prove(&image, &dissect(&image, &[]), &options);
        let problem = assessment.proofs[0].problem.as_ref();
        (assessment.outcome, problem.map(|error| (error.code(), error.to_string())))
    };
    let strict = crate::prove::ContentRule::default();
    assert_eq!(prove(&signed(&set, None), strict), (Outcome::Verified, None));
    assert_eq!(prove(&signed(&set, Some(right)), strict), (Outcome::Verified, None));
    let new = |hash_type, algorithm, data, hash, blocks, salt| {
        Params::new(hash_type, algorithm, data, hash, blocks, salt).unwrap()
    };
    for (wrong, difference) in [
        (new(hash_type, algorithm, 4096, 4096, 299, salt), "1228800 bytes of data, and 1224704 were signed"),
        (
            new(hash_type, algorithm, 2048, 4096, 600, salt),
            "4096 bytes to a data block, and 2048 were signed",
        ),
        (
            new(hash_type, algorithm, 4096, 1024, 300, salt),
            "4096 bytes to a hash block, and 1024 were signed",
        ),
        (new(HashType::ChromeOs, algorithm, 4096, 4096, 300, salt), "1 as hash type, and 0 were signed"),
        (
            new(hash_type, Algorithm::Sha512, 4096, 4096, 300, salt),
            "sha256 as algorithm, and sha512 were signed",
        ),
        (
            new(hash_type, algorithm, 4096, 4096, 300, ddi_verity::Salt::EMPTY),
            &format!("{salt} as salt, and - were signed"),
        ),
    ] {
        let text = format!("the tree of root is not the one that was signed: {difference}");
        let expected = (Outcome::Failed, Some(("bound-tree-differs", text)));
        assert_eq!(prove(&signed(&set, Some(wrong)), strict), expected);
    }

    // of the attack, a signature of the root hash alone knows nothing
    let any = crate::prove::ContentRule::Any;
    let attack = |bind| prove(&signed(&set, bind).leaves_as_data(), any);
    assert_eq!(attack(None).0, Outcome::Verified);
    assert_eq!(attack(Some(right)).1.unwrap().0, "bound-tree-differs");
    // with the size under the signature, the data may be anything
    let nothing = Set::new(vec![7; 20 * 4096]);
    assert_eq!(prove(&signed(&nothing, None), strict).1.unwrap().0, "unrecognised-content");
    assert_eq!(prove(&signed(&nothing, Some(params_of(&nothing))), strict), (Outcome::Verified, None));
    // who is not trusted binds nothing, and stands in nobody's way
    let other = signer("p384.crt");
    let image = Disk::new().set(DATA, "os", &signed(&set, Some(params_of(&nothing)))).image();
    let trusted = &[TrustedRootHash::by_caller(set.root, Role::Root)][..];
    let options = BindOptions { trusted, certificates: Some(&other), ..BindOptions::default() };
    let sets = verity_sets(&image, &dissect(&image, trusted), &options);
    assert!(sets[0].problem.is_none() && sets[0].data_size.is_none());
}

/// Where it is demanded, nothing is authentic, nor opened, whose size no trusted key signed.
#[test]
fn a_bound_size_can_be_demanded() {
    use crate::Trust;
    let set = Set::new(erofs(300, 1));
    let right = params_of(&set);
    let trust = |name| Trust::certificates(signer(name)).and_root_hash(Role::Root, set.root);
    for (bind, name, is_bound) in
        [(Some(right), "p256.crt", true), (None, "p256.crt", false), (Some(right), "p384.crt", false)]
    {
        let image = || Disk::new().set(DATA, "os", &signed(&set, bind)).image();
        // the root hash is the caller's in any case
        assert!(image().dissect(&trust(name)).verify().unwrap().is_authentic());
        let disk = image().dissect(&trust(name).requiring_bound_size());
        let assessment = disk.verify().unwrap();
        let code = |error: Option<&Error>| error.map(Error::code);
        let expected = (!is_bound).then_some("size-not-bound");
        assert_eq!(assessment.is_authentic(), is_bound, "{bind:?} {name}");
        assert_eq!(code(assessment.proofs[0].problem.as_ref()), expected);
        assert_eq!(code(disk.partition(Role::Root).err().as_ref()), expected);
        assert_eq!(disk.mount().is_ok(), is_bound);
        // who asks for other options cannot get round it
        let mut options = disk.prove_options();
        options.require_bound_size = false;
        assert_eq!(disk.verify_with(&options).is_authentic(), is_bound);
    }
    // nor is an image without any signature
    let disk = Disk::new().pair(DATA, "os", &set).image();
    let disk = disk.dissect(&Trust::root_hash(set.root).requiring_bound_size());
    assert_eq!(disk.verify().unwrap().outcome, Outcome::Failed);
}
