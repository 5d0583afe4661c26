//! Whole images: what `inspect` and `verify` do, and images that are made here.

use std::sync::Mutex;

use arbitrary::{Arbitrary, Unstructured};
use ddi_core::policy::ImagePolicy;
use ddi_core::steps::{
    BindOptions, DissectOptions, DissectionRecord, ProveOptions, ReportOptions, VeritySet, VeritySettings,
    prove, verity_sets,
};
use ddi_core::{
    Assessment, Image, Outcome, PolicyEvaluation, ProvenPartition, Report, Role, TrustedRootHash,
};
use ddi_gpt::{BlockSize, Builder, ByteRange, Guid, NewPartition, PartitionType, verity_guids};
use ddi_verity::{
    Algorithm, HashTree, HashType, Options, Params, Placement, ReadAt, RootHash, SUPERBLOCK_SIZE, Salt,
    Superblock,
};

use super::gpt::repair;
use super::input::{Input, Sparse};
use super::verity::naive;

/// Asserts: an image of any bytes is dissected, reported and proven without a panic; what is called proven hashes to its root
/// hash by the model too, and only a root hash that is trusted makes it trusted; what comes out of a proven partition is what
/// hashes so.
pub fn image(input: &[u8]) {
    let mut input = Input(input);
    let flags = input.byte();
    let mut disk = Sparse::from_runs(&mut input, 512 << 10);
    let block = if flags & 1 == 0 { 512 } else { 4096 };
    if flags & 2 == 0 {
        let last = (disk.size / block).saturating_sub(1) * block;
        repair(&mut disk, block, block);
        repair(&mut disk, last, block);
    }
    let is_empty = disk.size == 0;
    let image = match Image::new(Box::new(disk)) {
        Ok(image) => image,
        Err(error) => return assert!(is_empty, "{error}"),
    };

    let mut options = ReportOptions::new(&image);
    let policy = if flags & 4 == 0 { ImagePolicy::SERVICE } else { ImagePolicy::SYSEXT_STRICT };
    options.dissect.policy = (flags & 8 != 0).then_some(policy);
    let dissection = DissectionRecord::new(&image, &options.dissect);
    let report = Report::of(&image, &dissection, &options);
    drop((format!("{report:?}"), report.broken()));
    let judgement =
        PolicyEvaluation::foresee(&image, &dissection, &options.dissect, &report.verity, options.trusted);
    judgement.violations().for_each(|violation| drop(violation.to_string()));
    if let Err(error) = &dissection.outcome {
        drop((error.to_string(), error.code(), error.kind(), error.partition(), error.systemd_errno()));
    }

    // trust the first root hash there is, or nobody
    let sets = verity_sets(&image, &dissection, &BindOptions::default());
    let known = sets.iter().find_map(|set| Some((set.root_hash?.hash, set.role)));
    let trusted: Vec<_> = known
        .filter(|_| flags & 16 == 0)
        .map(|(hash, role)| TrustedRootHash::by_caller(hash, role))
        .into_iter()
        .collect();
    let mut options = ProveOptions::default();
    options.trusted = &trusted;
    options.engine = Options::new().threads(1);
    let dissect = DissectOptions::new(VeritySettings::new(&trusted, image.sidecars()));
    let dissection = DissectionRecord::new(&image, &dissect);
    let assessment = prove(&image, &dissection, &options);
    proven_means_proven(&image, &dissection, &assessment, &options);
    let judgement = PolicyEvaluation::new(&image, &dissection, &dissect, &assessment);
    let _ = judgement.verdict(&assessment).name();
}

fn proven_means_proven(
    image: &Image,
    dissection: &DissectionRecord,
    assessment: &Assessment,
    options: &ProveOptions<'_>,
) {
    let sets = verity_sets(image, dissection, &options.bind());
    for proof in &assessment.proofs {
        if let Some(problem) = &proof.problem {
            drop((problem.to_string(), problem.code()));
        }
        let is_proven = matches!(proof.outcome, Outcome::Verified | Outcome::Intact);
        if !is_proven {
            continue;
        }
        let of = |set: &&VeritySet| Some(set.hash) == proof.hash && set.data == proof.data;
        let set = sets.iter().find(of).expect("a proof is of a set");
        let root = proof.root_hash.expect("proven against a root hash").hash;
        let params = set.tree.as_ref().expect("and with a tree").params();
        let data = set.data.expect("and with data");
        let mut bytes = vec![0; params.data_size() as usize];
        image.source().read_exact_at(data.range.offset, &mut bytes).expect("data lies on the disk");
        assert_eq!(naive(params, &bytes, &[]).1, root);
        let vouched = options.trusted.iter().any(|trusted| trusted.vouches_for(&root, proof.role));
        assert_eq!(proof.outcome == Outcome::Verified, vouched);
    }
    if assessment.outcome == Outcome::Verified {
        assert!(!assessment.proofs.is_empty());
        assert!(assessment.proofs.iter().all(|proof| proof.outcome == Outcome::Verified));
    }
    for set in &sets {
        let Ok(partition) = ProvenPartition::open(image, set, options) else { continue };
        let mut bytes = vec![0; partition.size() as usize];
        if partition.read_exact_at(0, &mut bytes).is_ok() {
            let params = set.tree.as_ref().expect("it was opened with it").params();
            assert_eq!(naive(params, &bytes, &[]).1, partition.root_hash().hash);
        }
    }
}

/// An image to be made.
#[derive(Arbitrary, Debug)]
struct Layout {
    root: Option<Shape>,
    usr: Option<Shape>,
    others: [Option<u8>; 3],
    large_blocks: bool,
    /// Where, how, and what is changed.
    changes: Vec<(u32, u8)>,
}

/// A partition with a hash tree.
#[derive(Arbitrary, Debug)]
struct Shape {
    blocks: u8,
    fill: u8,
    sizes: u8,
    algorithm: u8,
    salt: [u8; 8],
    salt_size: u8,
    slack: u8,
}

/// What the bytes of a partition are to whoever proves it.
enum Piece {
    /// Every byte counts.
    Protected(ByteRange),
    /// No byte counts.
    Free(ByteRange),
}

/// Asserts: an image that is made here is trusted and proven under its root hashes; after a change to its data, tree or
/// superblock (but for the UUID) it is not; after a change elsewhere but in the partition table it still is.
pub fn format(input: &[u8]) {
    let Ok(layout) = Layout::arbitrary(&mut Unstructured::new(input)) else { return };
    let (bytes, pieces, trusted) = build(&layout);
    if trusted.is_empty() {
        return;
    }
    assert_eq!(outcome(bytes.clone(), &trusted), Outcome::Verified, "{layout:?}");
    let mut changed = bytes.clone();
    let end = bytes.len();
    for (at, byte) in layout.changes.iter().take(4) {
        changed[*at as usize % end] ^= byte;
    }
    if changed == bytes {
        return;
    }
    let differs = |range: &ByteRange| {
        let range = range.offset as usize..range.end() as usize;
        changed[range.clone()] != bytes[range]
    };
    let protected = pieces.iter().any(|piece| matches!(piece, Piece::Protected(range) if differs(range)));
    // what is left changed once the changes to free places are undone
    let mut rest = changed.clone();
    for piece in &pieces {
        if let Piece::Free(range) = piece {
            let range = range.offset as usize..range.end() as usize;
            rest[range.clone()].copy_from_slice(&bytes[range]);
        }
    }
    let found = outcome(changed, &trusted);
    if protected {
        assert_ne!(found, Outcome::Verified, "{layout:?}");
    } else if rest == bytes {
        assert_eq!(found, Outcome::Verified, "{layout:?}");
    }
}

fn outcome(bytes: Vec<u8>, trusted: &[TrustedRootHash]) -> Outcome {
    let image = Image::new(Box::new(bytes)).expect("reads stay on the disk");
    let dissection =
        DissectionRecord::new(&image, &DissectOptions::new(VeritySettings::new(trusted, image.sidecars())));
    let mut options = ProveOptions::default();
    options.trusted = trusted;
    options.engine = Options::new().threads(1);
    let assessment = prove(&image, &dissection, &options);
    proven_means_proven(&image, &dissection, &assessment, &options);
    assessment.outcome
}

fn build(layout: &Layout) -> (Vec<u8>, Vec<Piece>, Vec<TrustedRootHash>) {
    let block_size = if layout.large_blocks { BlockSize::B4096 } else { BlockSize::B512 };
    let mut partitions: Vec<(NewPartition, Vec<u8>, Option<Params>)> = Vec::new();
    let mut trusted = Vec::new();
    let mut add = |name: &str, guid: Guid, content: Vec<u8>, tree: Option<Params>| {
        let kind = PartitionType::from_name(name, None).expect("a known type").guid().expect("with a GUID");
        partitions.push((NewPartition::new(kind, guid).size(content.len() as u64), content, tree));
    };
    for (role, shape) in [(Role::Root, &layout.root), (Role::Usr, &layout.usr)] {
        let Some(shape) = shape else { continue };
        let Some((params, root, data, hash)) = shape.build(role) else { continue };
        let (data_guid, hash_guid) = verity_guids(root.as_bytes()).expect("long enough");
        add(&format!("{role}-x86-64"), data_guid, data, None);
        add(&format!("{role}-x86-64-verity"), hash_guid, hash, Some(params));
        trusted.push(TrustedRootHash::by_caller(root, role));
    }
    for ((i, name), size) in (1..).zip(["esp", "home", "linux-generic"]).zip(layout.others) {
        if let Some(size) = size {
            add(name, Guid::from_u128(i), vec![size; 512 * usize::from(size % 8 + 1)], None);
        }
    }

    let content: usize = partitions.iter().map(|(_, content, _)| content.len().next_multiple_of(4096)).sum();
    let size = (content + 18 * 4096) as u64;
    let mut builder = Builder::new(size, block_size, Guid::from_u128(1)).entries(16, 128).alignment(4096);
    for (partition, ..) in &partitions {
        builder = builder.partition(*partition);
    }
    let table = builder.build().expect("there is room");
    let mut bytes = table.to_disk();
    let mut pieces = Vec::new();
    let protects = |name: &str| name.starts_with("root") || name.starts_with("usr");
    for (placed, (_, content, tree)) in table.gpt().partitions().iter().zip(&partitions) {
        let range = placed.range;
        bytes[range.offset as usize..][..content.len()].copy_from_slice(content);
        let piece = |from: u64, to: u64| ByteRange { offset: range.offset + from, size: to - from };
        match tree {
            Some(params) => {
                let tree = HashTree::new(*params, Placement::Superblock(0)).expect("it was made before");
                pieces.push(Piece::Protected(piece(0, 16)));
                pieces.push(Piece::Free(piece(16, 32)));
                let end = if tree.layout().levels().is_empty() {
                    SUPERBLOCK_SIZE as u64
                } else {
                    tree.layout().tree().end
                };
                pieces.push(Piece::Protected(piece(32, end)));
                let free = end.next_multiple_of(u64::from(params.hash_block_size()));
                pieces.push(Piece::Free(piece(free, range.size)));
            }
            None if protects(&placed.partition_type().to_string()) => pieces.push(Piece::Protected(range)),
            None => pieces.push(Piece::Free(range)),
        }
    }
    (bytes, pieces, trusted)
}

impl Shape {
    /// Parameters, root hash, data that is recognised as erofs, superblock and tree.
    fn build(&self, role: Role) -> Option<(Params, RootHash, Vec<u8>, Vec<u8>)> {
        let mut data = vec![self.fill; 4096 * (usize::from(self.blocks % 4) + 1)];
        data[..1024 + 128].fill(0);
        data[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
        data[1036] = 12;
        // number 36 is at byte 1152: an inode with an empty directory behind it
        data[1038] = 36;
        data[1152..1216].fill(0);
        (data[1152], data[1156], data[1157], data[1158], data[1160]) = (4, 0xed, 0x41, 2, 27);
        for (entry, name) in [(1184, 24), (1196, 25)] {
            (data[entry], data[entry + 8], data[entry + 10]) = (36, name, 2);
        }
        data[1208..1211].copy_from_slice(b"...");
        data[1060] = self.blocks % 4 + 1;
        // never the same for both
        data[1072..1088].fill(if role == Role::Root { 0x11 } else { 0x22 });
        let algorithm =
            [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Sha384][usize::from(self.algorithm) % 3];
        let (data_size, hash_size) = (512 << (self.sizes & 3), 512 << (self.sizes >> 2 & 3));
        let salt = Salt::new(&self.salt[..usize::from(self.salt_size % 9)]).ok()?;
        let blocks = data.len() as u64 / u64::from(data_size);
        let params = Params::new(HashType::Normal, algorithm, data_size, hash_size, blocks, salt).ok()?;
        let tree = HashTree::new(params, Placement::Superblock(0)).ok()?;
        let mut superblock = Superblock { params, uuid: [0x77; 16] }.to_bytes().to_vec();
        superblock.resize((hash_size as usize).max(SUPERBLOCK_SIZE), 0);
        let hash = Mutex::new(superblock);
        let root = tree.build(&data, &hash, &Options::new().threads(1)).ok()?;
        let mut hash = hash.into_inner().ok()?;
        // nothing reads what lies behind the tree
        hash.resize(hash.len().next_multiple_of(4096) + 4096 * usize::from(self.slack % 3), 0);
        Some((params, root, data, hash))
    }
}
