use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ddi_fs::FsKind;
use ddi_gpt::Architecture;
use ddi_io::ReadAt;
use ddi_verity::{Algorithm, HashType, Options, RootHash, Strictness, Superblock};

use super::*;
use crate::dissect::{DissectOptions, VeritySettings};
use crate::error::Step;
use crate::image::file::Sidecars;
use crate::prove::rules::Bound;
use crate::testing::{Disk, DiskImage as _, Set, erofs, image, luks, signature};
use crate::trust::{KnownRootHash, RootHashOrigin, TrustedRootHash};

const ROOT: &str = "root-x86-64";
const USR: &str = "usr-x86-64";

fn prove_with(image: &Image, options: &ProveOptions<'_>) -> Assessment {
    let verity = VeritySettings::new(options.trusted, image.sidecars());
    let mut dissect = DissectOptions::new(verity);
    dissect.native = Some(Architecture::X86_64);
    prove(image, &DissectionRecord::new(image, &dissect), options)
}

/// A proof of root says nothing of what else is mounted, and of what other machines take for root.
#[test]
fn s7_what_is_not_proven_is_named() {
    let set = Set::new(erofs(20, 1));
    let evil = erofs(20, 9);
    let signed = || Disk::new().set("root-x86-64", "os_1", &set);
    let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
    let of = |disk: &Disk, one_architecture| {
        let image = disk.image();
        let assessment = prove_with(
            &image,
            &ProveOptions { trusted: &trusted, one_architecture, ..ProveOptions::default() },
        );
        let named: Vec<_> = assessment
            .unproven
            .iter()
            .map(|partition| (partition.number, partition.designator.name(), partition.is_exposed))
            .collect();
        (assessment.outcome, named)
    };
    let good = Outcome::Verified;
    assert_eq!(of(&signed(), false), (good, vec![]));
    // another architecture, unprotected
    for role in ["root-arm64", "root-x86"] {
        let disk = signed().part(role, "evil", &evil);
        assert_eq!(of(&disk, false), (Outcome::Failed, vec![(4, "root", true)]), "{role}");
        assert_eq!(of(&disk, true), (good, vec![(4, "root", true)]));
    }
    // protected by a tree of its own, which nobody asked about
    let other = Set::new(erofs(20, 2));
    let disk = signed().set("root-arm64", "os_1", &other);
    assert_eq!(of(&disk, false), (good, vec![(4, "root", false)]));
    // another version for the same machine, and all that is mounted besides
    let mut disk = signed().part("root-x86-64", "os_2", &evil);
    for kind in ["home", "srv", "var", "tmp", "xbootldr", "esp", "swap"] {
        disk = disk.part(kind, kind, &evil);
    }
    disk = disk.part("home", "_empty", &evil).part("linux-generic", "", &evil);
    disk = disk.part("srv", "", &evil).attributes(ddi_gpt::Attributes::NO_AUTO);
    let (outcome, named) = of(&disk, false);
    let names: Vec<_> = named.iter().map(|(_, name, exposed)| (*name, *exposed)).collect();
    let expected = ["root", "home", "srv", "var", "tmp", "xbootldr", "esp", "swap"].map(|name| (name, false));
    assert_eq!((outcome, names), (good, expected.to_vec()));
}

/// A proof that is for no partition, a tree that is for no data, and a proof for another machine hide nothing.
#[test]
fn what_is_not_proven_is_named_beside_what_is_for_nothing() {
    let (set, other) = (Set::new(erofs(20, 1)), Set::new(erofs(20, 2)));
    let disk = Disk::new().set(ROOT, "os_1", &set);
    let named = |disk: &Disk, trusted: &[TrustedRootHash]| -> Vec<_> {
        let options = ProveOptions { trusted, scope: Scope::All, ..ProveOptions::default() };
        let assessment = prove_with(&disk.image(), &options);
        assessment
            .unproven
            .iter()
            .map(|partition| {
                (partition.to_string().split("):").next().unwrap().to_owned(), partition.is_exposed)
            })
            .collect()
    };
    let home = disk.clone().part("home", "", &erofs(20, 9));
    let for_nothing = [trust(&set, Role::Root), trust(&other, Role::Usr)];
    assert_eq!(named(&home, &for_nothing), [("partition 4 (home".to_owned(), false)]);
    let stray = disk.clone().part("root-arm64", "os_1", &erofs(20, 9));
    let stray = stray.part("usr-arm64-verity", "os_1", &other.hash);
    assert_eq!(named(&stray, &for_nothing[..1]), [("partition 4 (root arm64".to_owned(), true)]);
    // a root that is proven for that machine: the other is an older version of it
    let both = disk.set("root-arm64", "os_2", &other).part("root-arm64", "os_1", &erofs(20, 9));
    assert_eq!(named(&both, &[]), [("partition 7 (root arm64".to_owned(), false)]);
}

fn prove_trusting(image: &Image, trusted: &[TrustedRootHash]) -> Assessment {
    prove_with(image, &ProveOptions { trusted, ..Default::default() })
}

fn trust(set: &Set, role: Role) -> TrustedRootHash {
    TrustedRootHash::by_caller(set.root, role)
}

/// The code of the one problem.
#[track_caller]
fn problem(assessment: &Assessment) -> &'static str {
    assert_eq!(assessment.outcome, Outcome::Failed);
    let codes: Vec<_> =
        assessment.proofs.iter().filter_map(|p| p.problem.as_ref().map(Error::code)).collect();
    assert_eq!(codes.len(), 1, "{codes:?}");
    codes[0]
}

/// Whose word × for which role × is it intact: what it comes to, and with which exit status.
#[test]
fn truth_table() {
    use Outcome::{Failed, Intact, Verified};
    let (set, other) = (Set::new(erofs(8, 1)), Set::new(erofs(8, 2)));
    let whole = Disk::new().set(ROOT, "", &set);
    let unsigned = Disk::new().pair(ROOT, "", &set);
    let damaged = whole.clone().edit_number(1, |part| part.content[5 * 4096] ^= 1);
    let beside = |hash: RootHash, role, origin| Sidecars {
        root_hashes: vec![KnownRootHash { hash, role, origin }],
        ..Sidecars::default()
    };
    let (sidecar, xattr) = (RootHashOrigin::Sidecar, RootHashOrigin::Xattr);
    let root = [trust(&set, Role::Root)];
    let for_usr = [trust(&set, Role::Usr)];
    let wrong = [trust(&other, Role::Root)];
    let both = [root[0], for_usr[0]];
    let nobody: &[TrustedRootHash] = &[];
    type Row<'a> = (&'a str, Image, &'a [TrustedRootHash], Outcome, Option<RootHashOrigin>);
    let rows: Vec<Row<'_>> = vec![
        ("caller", whole.image(), &root, Verified, Some(RootHashOrigin::Caller)),
        ("caller, unsigned", unsigned.image(), &root, Verified, Some(RootHashOrigin::Caller)),
        ("caller, damaged", damaged.image(), &root, Failed, Some(RootHashOrigin::Caller)),
        ("caller, for usr", whole.image(), &for_usr, Failed, None),
        ("caller, other hash", whole.image(), &wrong, Failed, None),
        ("caller, also for usr", whole.image(), &both, Failed, None),
        (
            "caller before sidecar",
            whole.beside(beside(other.root, Role::Root, sidecar)),
            &root,
            Verified,
            Some(RootHashOrigin::Caller),
        ),
        ("nobody, signature there", whole.image(), nobody, Intact, Some(RootHashOrigin::SignaturePartition)),
        ("nobody, damaged", damaged.image(), nobody, Failed, Some(RootHashOrigin::SignaturePartition)),
        ("nobody, unsigned", unsigned.image(), nobody, Intact, Some(RootHashOrigin::PartitionGuids)),
        ("xattr", whole.beside(beside(set.root, Role::Root, xattr)), nobody, Intact, Some(xattr)),
        ("sidecar", whole.beside(beside(set.root, Role::Root, sidecar)), nobody, Intact, Some(sidecar)),
        // systemd would not find partitions for it, and refuse
        (
            "sidecar of another image",
            whole.beside(beside(other.root, Role::Root, sidecar)),
            nobody,
            Failed,
            None,
        ),
        ("sidecar for usr", whole.beside(beside(set.root, Role::Usr, sidecar)), nobody, Failed, None),
    ];
    for (row, image, trusted, outcome, origin) in rows {
        let assessment = prove_trusting(&image, trusted);
        assert_eq!(assessment.outcome, outcome, "{row}");
        if let Some(origin) = origin {
            assert_eq!(assessment.proofs.len(), 1, "{row}");
            let proof = &assessment.proofs[0];
            assert_eq!(proof.root_hash.unwrap().origin, origin, "{row}");
            assert_eq!(proof.trusted.is_some(), origin == RootHashOrigin::Caller, "{row}");
            assert_eq!(proof.named_by_caller, origin == RootHashOrigin::Caller, "{row}");
        }
    }
}

#[test]
fn exit_statuses_and_their_order() {
    use Outcome::{Failed, Intact, Unknown, Verified};
    let all = [Verified, Intact, Unknown, Failed];
    assert_eq!(all.map(Outcome::exit_status), [0, 3, 2, 1]);
    for (i, a) in all.into_iter().enumerate() {
        for (j, b) in all.into_iter().enumerate() {
            assert_eq!(a.worst(b), all[i.max(j)]);
        }
    }
}

/// Every byte of data and tree, one bit each: never proven; and the block is named.
#[test]
fn damage_is_found_and_named() {
    let set = Set::new(erofs(130, 1));
    let disk = Disk::new().set(ROOT, "", &set);
    let trusted = [trust(&set, Role::Root)];
    for block in [0_usize, 1, 64, 127, 128, 129] {
        let damaged = disk.clone().edit_number(1, |part| part.content[block * 4096 + 9] ^= 0x80);
        let proof = &prove_trusting(&damaged.image(), &trusted).proofs[0];
        let verdict = proof.verdict.as_ref().unwrap();
        assert_eq!((verdict.corrupt_data.first(), verdict.corrupt_data.count()), (Some(block as u64), 1));
    }
    // block 1 of the hash partition is the top, 2 and 3 are level 0
    for (block, level, number) in [(1, 1, 0), (2, 0, 0), (3, 0, 1)] {
        let damaged = disk.clone().edit_number(2, |part| part.content[block * 4096 + 9] ^= 0x80);
        let proof = &prove_trusting(&damaged.image(), &trusted).proofs[0];
        assert_eq!(proof.outcome, Outcome::Failed);
        let verdict = proof.verdict.as_ref().unwrap();
        let corrupt = &verdict.levels[level].corrupt;
        assert_eq!((corrupt.first(), corrupt.count()), (Some(number), 1));
        assert_eq!(verdict.root_matches(), level == 0);
    }
}

/// Who opens the proven partition is told the same.
#[test]
fn widened_rules_are_told_of_what_is_opened() {
    let set = Set::new(erofs(8, 1)).with_tail(&[0; 8192]);
    let image = Disk::new().set(ROOT, "", &set).image();
    let trusted = [trust(&set, Role::Root)];
    let options = ProveOptions { trusted: &trusted, ..Default::default() };
    let dissect = DissectOptions::new(VeritySettings::new(&trusted, image.sidecars()));
    let sets = verity_sets(&image, &DissectionRecord::new(&image, &dissect), &options.bind());
    let opened = ProvenPartition::open(&image, &sets[0], &options).unwrap();
    assert_eq!(
        opened.exceptions(),
        [Exception::Verity(ddi_verity::GeometryException::UnprotectedTail(8192))]
    );
    assert_eq!(opened.content(), Some(FsKind::Erofs));
}

/// What was widened is told of damaged data too.
#[test]
fn widened_rules_are_told_of_what_is_damaged() {
    let (whole, nothing) = (Set::new(erofs(8, 1)).with_tail(&[0; 8192]), Set::new(vec![1; 8 * 4096]));
    for (set, expected) in [
        (whole, Exception::Verity(ddi_verity::GeometryException::UnprotectedTail(8192))),
        (nothing, Exception::UnrecognisedContent),
    ] {
        let damaged = Disk::new().set(ROOT, "", &set).edit_number(1, |part| part.content[5 * 4096] ^= 1);
        let trusted = [trust(&set, Role::Root)];
        let options = ProveOptions { trusted: &trusted, content: ContentRule::Any, ..Default::default() };
        let assessment = prove_with(&damaged.image(), &options);
        assert_eq!(assessment.outcome, Outcome::Failed);
        assert_eq!(assessment.proofs[0].exceptions, [expected]);
    }
}

/// Storage in which one bit is not what it was.
struct Flipped {
    bytes: Vec<u8>,
    /// Counted from the start; none if it is past the end.
    bit: AtomicUsize,
}

impl ReadAt for Flipped {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.bytes.read_exact_at(offset, buf)?;
        let bit = self.bit.load(Ordering::Relaxed);
        if let Some(byte) = (bit / 8).checked_sub(offset as usize).and_then(|at| buf.get_mut(at)) {
            *byte ^= 1 << (bit % 8);
        }
        Ok(())
    }
}

/// Of the 4096 bits of the superblock, only those of its UUID are free.
#[test]
fn every_bit_of_the_superblock_counts_but_its_uuid() {
    let set = Set::new(erofs(4, 1));
    let trusted = [trust(&set, Role::Root)];
    let bytes = Disk::new().set(ROOT, "", &set).bytes();
    let source = Arc::new(Flipped { bytes, bit: AtomicUsize::new(usize::MAX) });
    let prove = || prove_trusting(&Image::new(Box::new(source.clone())).unwrap(), &trusted);
    let start = prove().proofs[0].hash.unwrap().range.offset as usize * 8;
    let mut accepted = Vec::new();
    for bit in 0..4096 {
        source.bit.store(start + bit, Ordering::Relaxed);
        match prove().outcome {
            Outcome::Verified => accepted.push(bit),
            Outcome::Failed => {}
            other => panic!("bit {bit}: {other:?}"),
        }
    }
    assert_eq!(accepted, (16 * 8..32 * 8).collect::<Vec<_>>());
}

/// The level-0 hash blocks of a good image, presented as data, with the rest of the tree above them: the root hash is the
/// same, every block matches, and it is not what was meant.
#[test]
fn hash_blocks_are_no_data() {
    let set = Set::new(erofs(1024, 1));
    let params = Superblock::parse(set.hash[..512].try_into().unwrap()).unwrap().params;
    let confused = |data: &[u8], tree: &[u8]| {
        let blocks = data.len() as u64 / 4096;
        let params =
            ddi_verity::Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, blocks, *params.salt())
                .unwrap();
        let mut hash = Superblock { params, uuid: [0; 16] }.to_bytes().to_vec();
        hash.resize(4096, 0);
        hash.extend_from_slice(tree);
        Set { data: data.to_vec(), hash, ..set.clone() }
    };
    // superblock, level 1, level 0
    let (level_1, level_0) = (&set.hash[4096..8192], &set.hash[8192..]);
    assert_eq!(level_0.len(), 8 * 4096);
    let trusted = [trust(&set, Role::Root)];
    for lie in [confused(level_0, level_1), confused(level_1, &[])] {
        let image = Disk::new().set(ROOT, "", &lie).image();
        assert_eq!(problem(&prove_trusting(&image, &trusted)), "unrecognised-content");
        // who asks for it, gets it, and is told
        let any = ProveOptions { trusted: &trusted, content: ContentRule::Any, ..Default::default() };
        let widened = prove_with(&image, &any);
        assert_eq!(widened.outcome, Outcome::Verified);
        assert_eq!(widened.proofs[0].exceptions, [Exception::UnrecognisedContent]);
    }
}

/// What follows the protected blocks: zeros behind the end of the file system, or nothing.
#[test]
fn tails_are_zero_and_behind_the_file_system() {
    let prove_set = |set: &Set, tail, strictness| {
        let trusted = [trust(set, Role::Root)];
        let options = ProveOptions { trusted: &trusted, tail, strictness, ..Default::default() };
        let assessment = prove_with(&Disk::new().set(ROOT, "", set).image(), &options);
        let proof = &assessment.proofs[0];
        (proof.problem.as_ref().map(Error::code), proof.exceptions.clone())
    };
    let strict = Strictness::default();
    let (zeros, nothing) = (TailRule::Zeros, TailRule::Nothing);
    let whole = Set::new(erofs(8, 1));
    let zero = whole.clone().with_tail(&[0; 8192]);
    let mut not_zero = vec![0; 8192];
    not_zero[5000] = 1;
    let not_zero = whole.clone().with_tail(&not_zero);
    let told = vec![Exception::Verity(ddi_verity::GeometryException::UnprotectedTail(8192))];
    assert_eq!(prove_set(&whole, nothing, strict), (None, vec![]));
    assert_eq!(prove_set(&zero, zeros, strict), (None, told.clone()));
    assert_eq!(prove_set(&zero, nothing, strict), (Some("verity-data-size"), vec![]));
    assert_eq!(prove_set(&not_zero, zeros, strict), (Some("tail-not-zero"), vec![]));
    assert_eq!(prove_set(&not_zero, zeros, Strictness::ANY), (None, told));
    // each byte of it counts, and the first is told, also behind what is read at a time
    for bytes in [&[0][..], &[8191], &[65535], &[65536], &[69631], &[65535, 65536], &[3, 60000], &[3, 69000]]
    {
        let mut tail = vec![0; 69632];
        bytes.iter().for_each(|at| tail[*at] = 1);
        let image = Disk::new().set(ROOT, "", &whole.clone().with_tail(&tail)).image();
        let proof = &prove_trusting(&image, &[trust(&whole, Role::Root)]).proofs[0];
        let expected = proof.data.unwrap().range.offset + 8 * 4096 + bytes[0] as u64;
        let Some(Error::TailNotZero { offset, .. }) = proof.problem else { panic!("{bytes:?} {proof:?}") };
        assert_eq!(offset, expected, "{bytes:?}");
    }
    // a LUKS header does not say where its volume ends
    let luks = Set::new(luks()).with_tail(&[0; 8192]);
    assert_eq!(prove_set(&luks, zeros, strict), (Some("verity-data-size"), vec![]));
    assert_eq!(prove_set(&Set::new(crate::testing::luks()), zeros, strict), (None, vec![]));
    // an image that was cut short, and protected anew, under a root hash that the caller trusts all the same
    let mut short = erofs(8, 1);
    short.truncate(7 * 4096);
    assert_eq!(prove_set(&Set::new(short), zeros, strict), (Some("content-too-large"), vec![]));
}

#[test]
fn unusual_parameters_must_be_asked_for() {
    let prove_set = |set: &Set, strictness| {
        let trusted = [trust(set, Role::Root)];
        let options = ProveOptions { trusted: &trusted, strictness, ..Default::default() };
        let assessment = prove_with(&Disk::new().pair(ROOT, "", set).image(), &options);
        (assessment.outcome, assessment.proofs[0].exceptions.len())
    };
    for set in [
        Set::with(erofs(8, 1), HashType::ChromeOs, Algorithm::Sha256, 4096),
        Set::with(erofs(8, 1), HashType::Normal, Algorithm::Sha1, 4096),
        Set::with(erofs(8, 1), HashType::Normal, Algorithm::Sha512, 8192),
    ] {
        assert_eq!(prove_set(&set, Strictness::default()), (Outcome::Failed, 0));
        assert_eq!(prove_set(&set, Strictness::ANY), (Outcome::Verified, 1));
    }
    for algorithm in [Algorithm::Sha384, Algorithm::Sha512] {
        let set = Set::with(erofs(8, 1), HashType::Normal, algorithm, 1024);
        assert_eq!(prove_set(&set, Strictness::default()), (Outcome::Verified, 0));
    }
}

/// Root and usr, both with a tree: systemd refuses the image; each can be proven, under its own root hash.
#[test]
fn root_and_usr_are_proven_each_by_itself() {
    let (root, usr) = (Set::new(erofs(8, 1)), Set::new(erofs(8, 2)));
    let image = Disk::new().set(ROOT, "", &root).set(USR, "", &usr).image();
    let nobody = prove_trusting(&image, &[]);
    assert!(matches!(nobody.refused, Some(Error::RootAndUsrVerity)));
    assert_eq!((nobody.outcome, nobody.proofs.len()), (Outcome::Intact, 2));
    let (root, usr) = (trust(&root, Role::Root), trust(&usr, Role::Usr));
    // nobody vouches for the other one
    assert_eq!(prove_trusting(&image, &[root]).outcome, Outcome::Intact);
    assert_eq!(prove_trusting(&image, &[usr]).outcome, Outcome::Intact);
    assert_eq!(prove_trusting(&image, &[root, usr]).outcome, Outcome::Verified);
}

/// With root hashes for both roles, what is proven is what is used: not the old usr while a new one is there.
#[test]
fn what_is_used_is_what_is_proven() {
    let [root, old, new] = [1, 2, 3].map(|seed| Set::new(erofs(8, seed)));
    let disk = Disk::new().pair(ROOT, "os_1", &root).pair(USR, "os_1", &old);
    let image = disk.pair(USR, "os_2", &new).image();
    let trusted = [trust(&root, Role::Root), trust(&old, Role::Usr)];
    let options = ProveOptions { trusted: &trusted, ..Default::default() };
    let assessment = prove_with(&image, &options);
    let proven: Vec<_> = assessment.proofs.iter().map(|proof| proof.data.unwrap().number.unwrap()).collect();
    assert_eq!((assessment.outcome, proven), (Outcome::Verified, vec![1, 3]));
    // dissected for root alone, the new usr is the one in use, and its tree is not that of the root hash
    let mut dissect = DissectOptions::new(VeritySettings::new(&trusted[..1], image.sidecars()));
    dissect.native = Some(Architecture::X86_64);
    let dissection = DissectionRecord::new(&image, &dissect);
    assert_eq!(dissection.chosen(Designator::Usr), Some(5));
    let assessment = prove(&image, &dissection, &options);
    assert_eq!((problem(&assessment), assessment.proofs.len()), ("unprotected", 3));
    assert_eq!(assessment.proofs[2].data.unwrap().number, Some(5));
}

/// That root and usr do not go together is no excuse for what else is wrong.
#[test]
fn discord_hides_nothing() {
    let (root, usr) = (Set::new(erofs(8, 1)), Set::new(erofs(8, 2)));
    let trusted = [trust(&root, Role::Root), trust(&usr, Role::Usr)];
    let mut ambiguous = vec![0; 2 << 20];
    ambiguous[..4].copy_from_slice(b"hsqs");
    ambiguous[28] = 4;
    ambiguous[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    ambiguous[1028..1032].copy_from_slice(&100_u32.to_le_bytes());
    ambiguous[4086..4096].copy_from_slice(b"SWAPSPACE2");
    for usr_type in [USR, "usr-arm64"] {
        let disk = Disk::new().pair(ROOT, "", &root).pair(usr_type, "", &usr);
        let assessment = prove_trusting(&disk.image(), &trusted);
        assert_eq!(assessment.outcome, Outcome::Verified, "{usr_type}");
        let assessment = prove_trusting(&disk.part("home", "", &ambiguous).image(), &trusted);
        assert_eq!(assessment.outcome, Outcome::Failed, "{usr_type}");
        assert!(assessment.proofs.iter().all(|proof| proof.outcome == Outcome::Verified));
    }
}

/// Every block of a bare image may match a root hash for usr: it is a root file system, and not vouched for.
#[test]
fn a_bare_image_is_not_proven_by_a_root_hash_for_usr() {
    let set = Set::new(erofs(8, 1));
    let image = image([set.data.clone(), set.hash.clone()].concat());
    for (roles, role, proof) in [
        (&[Role::Root][..], Role::Root, policy::ProofLevel::RootHash),
        (&[Role::Usr], Role::Usr, policy::ProofLevel::None),
        (&[Role::Usr, Role::Root], Role::Root, policy::ProofLevel::RootHash),
    ] {
        let trusted: Vec<_> = roles.iter().map(|role| trust(&set, *role)).collect();
        let mut verity = VeritySettings::new(&trusted, image.sidecars());
        verity.external = true;
        let dissect = DissectOptions::new(verity);
        let dissection = DissectionRecord::new(&image, &dissect);
        let options = ProveOptions { trusted: &trusted, hash_offset: Some(8 * 4096), ..Default::default() };
        let assessment = prove(&image, &dissection, &options);
        assert_eq!((assessment.proofs[0].role, assessment.proofs[0].outcome), (role, Outcome::Verified));
        let both = roles.len() == 2;
        assert_eq!(assessment.outcome == Outcome::Failed, both, "one of the two is for nothing");
        let dissected = dissection.outcome.as_ref().unwrap();
        assert_eq!(assessment.facts(dissected, Designator::Root).proof, proof, "{roles:?}");
        assert_eq!(assessment.facts(dissected, Designator::Usr).presence, policy::Presence::Absent);
        let sets = verity_sets(&image, &dissection, &options.bind());
        let foreseen = crate::PolicyEvaluation::foresee(&image, &dissection, &dissect, &sets, &trusted);
        assert_eq!(foreseen.rulings[0].facts.proof, proof, "{roles:?}");
    }
}

/// An unprotected root or usr partition is never behind an exit status of 0.
#[test]
fn what_is_not_protected_is_named() {
    let set = Set::new(erofs(8, 1));
    let usr = Disk::new().set(USR, "", &set).part(ROOT, "", &erofs(8, 2));
    let assessment = prove_trusting(&usr.image(), &[trust(&set, Role::Usr)]);
    assert_eq!(problem(&assessment), "unprotected");
    assert_eq!(assessment.proofs[0].outcome, Outcome::Verified);
    let alone = prove_trusting(&Disk::new().part(ROOT, "", &set.data).image(), &[]);
    assert_eq!(problem(&alone), "unprotected");
    assert!(alone.proofs[0].selected && alone.proofs[0].data.unwrap().number == Some(1));
    let bare = prove_trusting(&image(erofs(8, 1)), &[]);
    assert_eq!(problem(&bare), "unprotected");
    let whole = ByteRange { offset: 0, size: 8 * 4096 };
    assert_eq!(bare.proofs[0].data, Some(Extent { number: None, range: whole, external: false }));
    // a tree for which there are no data protects nothing
    let stray = Disk::new().part(ROOT, "", &set.data).part("usr-x86-64-verity", "", &set.hash);
    let stray = prove_trusting(&stray.image(), &[]);
    let unprotected = |proof: &Proof| matches!(proof.problem, Some(Error::Unprotected { .. }));
    assert!(stray.proofs.iter().any(unprotected), "{stray:?}");
    // a home partition cannot be
    let home = Disk::new().set(USR, "", &set).part("home", "", &erofs(8, 2));
    assert_eq!(prove_trusting(&home.image(), &[trust(&set, Role::Usr)]).outcome, Outcome::Verified);
}

/// Two versions: without a root hash both are proven; with one, that one; damage in the other one then does not count.
#[test]
fn versions_are_told_apart() {
    let (old, new) = (Set::new(erofs(8, 1)), Set::new(erofs(8, 2)));
    let disk = Disk::new().set(USR, "os_1", &old).set(USR, "os_2", &new).part(USR, "_empty", &[0; 4096]);
    let image = disk.image();
    let all = prove_trusting(&image, &[]);
    assert_eq!((all.outcome, all.proofs.len()), (Outcome::Intact, 2));
    assert_eq!([all.proofs[0].selected, all.proofs[1].selected], [false, true]);
    for (set, data) in [(&old, 1), (&new, 4)] {
        let one = prove_trusting(&image, &[trust(set, Role::Usr)]);
        assert_eq!((one.outcome, one.proofs.len()), (Outcome::Verified, 1));
        assert_eq!(one.proofs[0].data.unwrap().number, Some(data));
        let trusted = [trust(set, Role::Usr)];
        let scope = ProveOptions { trusted: &trusted, scope: Scope::All, ..Default::default() };
        assert_eq!(prove_with(&image, &scope).outcome, Outcome::Intact);
    }
    let in_use = prove_with(&image, &ProveOptions { scope: Scope::InUse, ..Default::default() });
    assert_eq!((in_use.proofs.len(), in_use.proofs[0].data.unwrap().number), (1, Some(4)));
    let damaged = disk.clone().edit_number(1, |part| part.content[5000] ^= 1).image();
    assert_eq!(prove_trusting(&damaged, &[]).outcome, Outcome::Failed);
    // what is half written is not looked at
    let partial = |part: &mut crate::testing::NewPart| part.name = "PRT#os_3".parse().unwrap();
    let half =
        disk.edit_number(1, partial).edit_number(2, partial).edit_number(2, |part| part.content.fill(0));
    let half = prove_trusting(&half.image(), &[]);
    assert_eq!((half.outcome, half.proofs.len()), (Outcome::Intact, 1));
    assert_eq!(prove_trusting(&damaged, &[trust(&new, Role::Usr)]).outcome, Outcome::Verified);
}

/// The highest versions of data, tree and signature are not one set: nothing of it is presented as proven.
#[test]
fn mixed_versions_are_not_one_set() {
    let (old, new) = (Set::new(erofs(8, 1)), Set::new(erofs(8, 2)));
    let swapped = Disk::new()
        .set(USR, "os_1", &old)
        .set(USR, "os_2", &new)
        // the labels of the data partitions are swapped
        .edit_number(1, |part| part.name = "os_3".parse().unwrap());
    let image = swapped.image();
    let assessment = prove_trusting(&image, &[]);
    // each tree finds its own data
    let pairs: Vec<_> =
        assessment.proofs.iter().map(|p| (p.data.unwrap().number, p.hash.unwrap().number)).collect();
    assert_eq!(pairs, [(Some(1), Some(2)), (Some(4), Some(5))]);
    assert!(assessment.proofs.iter().all(|proof| !proof.selected));
    assert_eq!(assessment.outcome, Outcome::Intact);
    // data of one and tree of the other
    let mixed = Disk::new().set(USR, "", &Set { data: old.data.clone(), ..new.clone() });
    assert_eq!(prove_trusting(&mixed.image(), &[trust(&new, Role::Usr)]).outcome, Outcome::Failed);
    // and with the GUID that the data should have
    let (old_guid, _) = old.guids();
    let mixed = mixed.edit_number(1, |part| part.guid = old_guid);
    for trusted in [trust(&old, Role::Usr), trust(&new, Role::Usr)] {
        assert_eq!(prove_trusting(&mixed.image(), &[trusted]).outcome, Outcome::Failed);
    }
    assert_eq!(prove_trusting(&mixed.image(), &[]).outcome, Outcome::Failed);
}

/// A signature for another root hash takes nothing from a root hash that the caller trusts, and gives nothing.
#[test]
fn a_foreign_signature_neither_takes_nor_gives() {
    let (set, other) = (Set::new(erofs(8, 1)), Set::new(erofs(8, 2)));
    let disk = Disk::new().set(ROOT, "", &Set { signature: signature(&other.root), ..set.clone() });
    assert_eq!(prove_trusting(&disk.image(), &[trust(&set, Role::Root)]).outcome, Outcome::Verified);
    assert_eq!(prove_trusting(&disk.image(), &[trust(&other, Role::Root)]).outcome, Outcome::Failed);
    let unvouched = prove_trusting(&disk.image(), &[]);
    assert_eq!(problem(&unvouched), "binding-guid");
}

#[test]
fn trees_beside_and_behind_a_bare_image() {
    let set = Set::new(erofs(8, 1));
    let dir = std::env::temp_dir().join(format!("ddi-core-{}-prove", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("a.raw"), &set.data).unwrap();
    std::fs::write(dir.join("a.verity"), &set.hash).unwrap();
    let open = || Image::open(dir.join("a.raw")).unwrap();
    let could_not = prove_trusting(&open(), &[]);
    assert_eq!(could_not.outcome, Outcome::Unknown);
    assert!(matches!(could_not.proofs[0].problem, Some(Error::RootHashUnknown { role: Role::Root })));
    assert_eq!(prove_trusting(&open(), &[trust(&set, Role::Root)]).outcome, Outcome::Verified);
    std::fs::write(dir.join("a.roothash"), set.root.to_string()).unwrap();
    assert_eq!(prove_trusting(&open(), &[]).outcome, Outcome::Intact);
    std::fs::write(dir.join("a.roothash"), Set::new(erofs(8, 2)).root.to_string()).unwrap();
    assert_eq!(prove_trusting(&open(), &[]).outcome, Outcome::Failed);
    std::fs::remove_dir_all(&dir).unwrap();

    let behind = image([&set.data[..], &set.hash].concat());
    let trusted = [trust(&set, Role::Root)];
    let options = |hash_offset| ProveOptions { trusted: &trusted, hash_offset, ..Default::default() };
    // the tree that the caller names, not the one beside it
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("b.raw"), [&set.data[..], &set.hash].concat()).unwrap();
    std::fs::write(dir.join("b.verity"), Set::new(erofs(8, 2)).hash).unwrap();
    let both = Image::open(dir.join("b.raw")).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(both.sidecars().verity.is_some());
    assert_eq!(prove_with(&both, &options(Some(8 * 4096))).outcome, Outcome::Verified);
    assert_eq!(prove_with(&behind, &options(Some(8 * 4096))).outcome, Outcome::Verified);
    for wrong in [None, Some(0), Some(4096), Some(100), Some(1 << 40), Some(u64::MAX)] {
        let outcome = prove_with(&behind, &options(wrong)).outcome;
        assert!(matches!(outcome, Outcome::Failed | Outcome::Unknown), "{wrong:?} {outcome:?}");
    }
}

#[test]
fn one_block_needs_no_tree() {
    let set = Set::new(erofs(1, 1));
    let image = Disk::new().set(ROOT, "", &set).image();
    assert_eq!(prove_trusting(&image, &[trust(&set, Role::Root)]).outcome, Outcome::Verified);
    assert_eq!(prove_trusting(&image, &[]).outcome, Outcome::Intact);
    let unsigned = Disk::new().pair(ROOT, "", &set).edit_number(1, |part| part.content[2000] ^= 1).image();
    assert_eq!(prove_trusting(&unsigned, &[]).outcome, Outcome::Failed);
}

#[test]
fn progress_counts_all_sets_together() {
    let disk = Disk::new().set(USR, "1", &Set::new(erofs(8, 1))).set(USR, "2", &Set::new(erofs(9, 2)));
    let seen = Mutex::new(Vec::new());
    let progress = |done, total| seen.lock().unwrap().push((done, total));
    let options = ProveOptions { progress: Some(&progress), ..Default::default() };
    assert_eq!(prove_with(&disk.image(), &options).outcome, Outcome::Intact);
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted() && seen.iter().all(|(_, total)| *total == 17 * 4096), "{seen:?}");
    assert_eq!(seen.last(), Some(&(17 * 4096, 17 * 4096)));
}

#[test]
fn a_cancelled_proof_tells_nothing() {
    let set = Set::new(erofs(8, 1));
    let cancel = AtomicBool::new(true);
    let trusted = [trust(&set, Role::Root)];
    let engine = Options::new().cancel(&cancel);
    let options = ProveOptions { trusted: &trusted, engine, ..Default::default() };
    assert_eq!(prove_with(&Disk::new().set(ROOT, "", &set).image(), &options).outcome, Outcome::Unknown);
}

/// A root hash of the caller's that is for nothing in the image is told, whatever else there is.
#[test]
fn root_hashes_for_nothing_are_told() {
    let set = Set::new(erofs(8, 1));
    let codes = |assessment: &Assessment| -> Vec<_> {
        assessment.proofs.iter().map(|proof| proof.problem.as_ref().map(Error::code)).collect()
    };
    let plain = Disk::new().part(ROOT, "", &set.data);
    let trusted = [trust(&set, Role::Root), trust(&set, Role::Usr)];
    let assessment = prove_trusting(&plain.image(), &trusted[..1]);
    assert_eq!(codes(&assessment), [Some("no-data-for-root-hash")]);
    let missing = &assessment.proofs[0];
    assert_eq!((missing.trusted, missing.named_by_caller), (Some(trusted[0]), true));
    assert_eq!(missing.root_hash, Some(trusted[0].into()));
    // dissected without it: the partition is told besides
    let image = plain.image();
    let dissection = DissectionRecord::new(&image, &DissectOptions::new(VeritySettings::default()));
    let options = ProveOptions { trusted: &trusted[..1], ..Default::default() };
    let expected = ["unprotected", "no-data-for-root-hash"].map(Some);
    assert_eq!(codes(&prove(&image, &dissection, &options)), expected);
    // the data are there, their tree is not; for the other role, not even they
    let data = plain.guid(set.guids().0).image();
    let expected = ["unprotected", "no-hash-for-root-hash", "no-data-for-root-hash"].map(Some);
    assert_eq!(codes(&prove_trusting(&data, &trusted)), expected);
}

/// No proof at all: what is forbidden is not proven, what cannot be read is not known.
#[test]
fn nothing_to_prove() {
    let home = Disk::new().part("home", "", &erofs(8, 1)).image();
    let outcome = |image: &Image, policy: &str| {
        let mut dissect = DissectOptions::new(VeritySettings::default());
        dissect.policy = Some(policy.parse().unwrap());
        let assessment = prove(image, &DissectionRecord::new(image, &dissect), &ProveOptions::default());
        assert!(assessment.proofs.is_empty(), "{assessment:?}");
        (assessment.refused.as_ref().map(Error::kind), assessment.outcome)
    };
    assert_eq!(outcome(&home, "*"), (None, Outcome::Failed));
    assert_eq!(outcome(&home, "home=absent"), (Some(ErrorKind::Mismatch), Outcome::Failed));
    let (kind, told) = outcome(&image(vec![7; 1 << 20]), "*");
    assert!(kind.is_some_and(|kind| kind != ErrorKind::Mismatch));
    assert_eq!(told, Outcome::Unknown);
}

/// What the policy says to leave alone is not proven.
#[test]
fn what_the_policy_ignores_is_not_proven() {
    let set = Set::new(erofs(8, 1));
    let image = Disk::new().set(ROOT, "", &set).part("home", "", &erofs(8, 2)).image();
    for (policy, proofs) in [("*", 1), ("root=ignore:home=open", 0)] {
        let mut dissect = DissectOptions::new(VeritySettings::default());
        dissect.policy = Some(policy.parse().unwrap());
        let dissection = DissectionRecord::new(&image, &dissect);
        assert!(dissection.outcome.is_ok(), "{:?}", dissection.outcome);
        let options = ProveOptions { scope: Scope::All, ..Default::default() };
        assert_eq!(prove(&image, &dissection, &options).proofs.len(), proofs, "{policy}");
    }
}

/// Several proofs of one partition, should there be: the worst one counts.
#[test]
fn the_worst_of_several_proofs_counts() {
    let set = Set::new(erofs(8, 1));
    let disk = Disk::new().set(ROOT, "", &set);
    let damaged = disk.clone().edit_number(1, |part| part.content[5000] ^= 1);
    let trusted = [trust(&set, Role::Root)];
    let image = disk.image();
    let dissected = crate::dissect::dissect(&image, &DissectOptions::new(VeritySettings::default())).unwrap();
    let fact = |assessment: &Assessment| assessment.facts(&dissected, Designator::Root).proof;
    assert_eq!(fact(&prove_trusting(&image, &trusted)), policy::ProofLevel::RootHash);
    assert_eq!(fact(&prove_trusting(&image, &[])), policy::ProofLevel::Intact);
    for swap in [false, true] {
        let mut both = [prove_trusting(&image, &trusted), prove_trusting(&damaged.image(), &trusted)];
        if swap {
            both.reverse();
        }
        let [mut first, second] = both;
        first.proofs.extend(second.proofs);
        assert_eq!(fact(&first), policy::ProofLevel::None);
    }
}

/// `signed` is met by a signature that verified, which a partition that is merely there is not.
#[test]
fn policies_are_met_by_proofs() {
    let set = Set::new(erofs(8, 1));
    let disk = Disk::new().set(ROOT, "", &set);
    let damaged = disk.clone().edit_number(1, |part| part.content[5000] ^= 1);
    let refused = |disk: &Disk, trusted: &[TrustedRootHash], policy: &str| {
        let image = disk.image();
        let dissected =
            crate::dissect::dissect(&image, &DissectOptions::new(VeritySettings::default())).unwrap();
        let facts = prove_trusting(&image, trusted).facts(&dissected, Designator::Root);
        let policy: policy::ImagePolicy = policy.parse().unwrap();
        usize::from(policy.check_use(Designator::Root, &facts, policy::Reading::Proven).is_err())
    };
    let trusted = [trust(&set, Role::Root)];
    for (policy, trusting, nobody, damage) in [
        ("root=signed", 1, 1, 1),
        ("root=verity", 0, 1, 1),
        ("root=verity+unprotected", 0, 0, 0),
        ("*", 0, 0, 0),
    ] {
        assert_eq!(refused(&disk, &trusted, policy), trusting, "{policy}");
        assert_eq!(refused(&disk, &[], policy), nobody, "{policy}");
        assert_eq!(refused(&damaged, &trusted, policy), damage, "{policy}");
    }
}

/// Bytes that cannot be read any more, once that is said.
struct Failing(Vec<u8>, Arc<AtomicBool>);

impl ReadAt for Failing {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.1.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.0.read_exact_at(offset, buf)
    }
}

#[test]
fn content_that_cannot_be_read_is_not_unrecognised() {
    let disk = Disk::new().pair(ROOT, "", &Set::new(erofs(300, 1)));
    let good = disk.image();
    let verity = VeritySettings::new(None, good.sidecars());
    let mut dissect = DissectOptions::new(verity);
    dissect.native = Some(Architecture::X86_64);
    let sets = verity_sets(&good, &DissectionRecord::new(&good, &dissect), &ProveOptions::default().bind());
    let data = sets[0].data.unwrap();
    let tree = sets[0].tree.as_ref().unwrap();
    let check = |image| check_content(image, &sets[0], tree, data, TailRule::Zeros, Depth::All);
    assert_eq!(check(&good).unwrap(), Bound::Known);
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Image::new(Box::new(Failing(disk.bytes(), Arc::clone(&fails)))).unwrap();
    fails.store(true, Ordering::Relaxed);
    match check(&failing) {
        Err(Error::Io { step: Step::Probe, offset: Some(offset), error }) => {
            assert!((data.range.offset..data.range.end()).contains(&offset), "{offset}");
            assert_eq!(error.raw_os_error(), Some(5));
        }
        other => panic!("{other:?}"),
    }
}
