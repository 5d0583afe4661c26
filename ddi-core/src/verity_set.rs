//! Which data, hash tree and signature belong together.
//!
//! ```text
//!           root hash  29be02267c97efb0 … b7f7b1bc48a5297f44
//!                      └── first 16 bytes ┘ └ last 16 bytes ─┘
//!                               │                   │
//!   data partition's GUID ──────┘                   └────── hash partition's GUID
//!   hash tree's top block ── hashes to the root hash
//!   signature partition's JSON ── names the root hash
//! ```
//!
//! systemd chooses data, hash and signature partition each by itself, the highest version of its type, so that an
//! image with two versions can end up with the data of one and the tree of the other. Here each hash partition is
//! looked at on its own: the digest of its top block *is* the root hash of its tree, and that tells by GUID which data
//! it is for, whatever the labels say.
//!
//! None of this proves anything. It finds out what to prove, and under which root hash.

use std::cell::Cell;
use std::sync::Arc;

use ddi_gpt::{Architecture, ByteRange, Designator, Guid, PartitionType};
use ddi_io::{ReadAt, Section};
use ddi_signature::Certificates;
use ddi_verity::{Examined, HashTree, Params, Placement, RootHash, SUPERBLOCK_SIZE, Superblock};

use crate::dissect::DissectionRecord;
use crate::error::{BindingError, Error};
use crate::image::{Image, Table};
use crate::report::finding::{Finding, FindingKind};
use crate::trust::signature::{CheckedSignature, SignatureFacts, SignaturePlace, SignatureState};
use crate::trust::{DataSize, KnownRootHash, Role, RootHashOrigin, TrustedRootHash};

/// A hash tree with its data and its signature.
#[derive(Debug)]
#[non_exhaustive]
pub struct VeritySet {
    /// What the data is for.
    pub role: Role,
    /// The machine that it is for, if the partition type says so.
    pub architecture: Option<Architecture>,
    /// The data.
    pub data: Option<Extent>,
    /// Superblock and hash tree.
    pub hash: Extent,
    /// The signature partition.
    pub signature: Option<Extent>,
    /// Every signature that is there for its root hash, or should be, and what came of checking it.
    pub signatures: Vec<CheckedSignature>,
    /// True if systemd chooses its data and its hash partition.
    pub selected: bool,
    /// The superblock as it is on disk, good or bad. Nothing authenticates it.
    pub examined: Option<Examined>,
    /// The superblock, if it is good.
    pub superblock: Option<Superblock>,
    /// Its hash tree: parameters and places. Offsets are from the start of the hash partition or file, or of the image
    /// if the tree is behind the data in the image itself.
    pub tree: Option<HashTree>,
    /// The root hash that the top of the tree hashes to: what the tree itself says.
    pub tree_root: Option<RootHash>,
    /// The root hash under which it is to be proven, and where it is from.
    pub root_hash: Option<KnownRootHash>,
    /// The size of the data in bytes, if it is the one that the caller vouches for, or that a trusted key signed along with
    /// the root hash. If it is another, that is the [`problem`](Self::problem).
    pub data_size: Option<u64>,
    /// Whether the GUIDs of data and hash partition are the halves of the root hash; `None` if there is nothing to
    /// compare.
    pub guids_match: Option<bool>,
    /// Why it cannot be proven; `None` if nothing stands in the way so far.
    pub problem: Option<Error>,
    /// What is odd about it.
    pub(crate) findings: Vec<Finding>,
}

/// Where one part of a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of the partition; `None` for a file beside a bare image, or the bare image itself.
    pub number: Option<u32>,
    /// The bytes, in the image or in the file beside it.
    pub range: ByteRange,
    /// True if it is in a file beside the image.
    pub external: bool,
}

/// Signature partitions for one root hash that are checked. One is what there is; each costs a public-key operation.
const MAX_SIGNATURES: usize = 8;

/// Hash partitions that are looked at: as many as a table of the usual size has next to their data. Each costs a hash
/// block of up to 512 KiB.
const MAX_SETS: usize = 64;

/// Bytes of data that are hashed to find out which partition a tree without levels is for: every one of the partitions in a
/// table of the usual size with every other, at a block of 4 KiB.
const MAX_SEARCHED: u64 = 32 << 20;

/// What the search for sets starts from.
#[derive(Debug, Clone, Copy, Default)]
pub struct BindOptions<'a> {
    /// Root hashes that the caller vouches for.
    pub trusted: &'a [TrustedRootHash],
    /// Whose signatures are trusted. `None`: signatures are not checked.
    pub certificates: Option<&'a Certificates>,
    /// The sizes of protected data that the caller vouches for, one for each role at most.
    pub data_sizes: &'a [DataSize],
    /// A set is refused unless a trusted key signed the parameters of its tree along with the root hash.
    pub require_bound_size: bool,
    /// For a bare image: the hash tree begins in the image itself, with a superblock at this offset in bytes.
    pub hash_offset: Option<u64>,
}

/// A partition of the table with a part in verity.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    number: u32,
    range: ByteRange,
    guid: Guid,
    role: Role,
    architecture: Option<Architecture>,
}

impl From<&Candidate> for Extent {
    fn from(candidate: &Candidate) -> Self {
        Extent { number: Some(candidate.number), range: candidate.range, external: false }
    }
}

/// Every hash tree of the image with what belongs to it, in the order of the table; for a bare image, the tree beside
/// or behind it.
///
/// Of more than 64 hash partitions, those that systemd chooses or that a root hash from elsewhere is for are looked at, and
/// the first ones. One set more then stands for the others: its problem is [`Error::NotSearched`].
pub fn verity_sets(
    image: &Image,
    dissection: &DissectionRecord,
    options: &BindOptions<'_>,
) -> Vec<VeritySet> {
    let mut sets = match image.table() {
        Table::Gpt(gpt) if !dissection.outcome.as_ref().is_ok_and(|dissected| dissected.bare) => {
            let with = |designator: fn(Role) -> Designator| -> Vec<Candidate> {
                gpt.partitions().iter().filter_map(|partition| candidate(partition, designator)).collect()
            };
            let (data, hashes, signatures) = (with(Role::data), with(Role::hash), with(Role::signature));
            let left = Cell::new(MAX_SEARCHED);
            let binder = Binder { image, dissection, options, data, signatures, left };
            binder.bind_all(&hashes)
        }
        _ => bare_set(image, options).into_iter().collect(),
    };
    for set in &mut sets {
        set.compare_size(options);
        set.compare_bound_tree(options);
    }
    sets
}

fn candidate(partition: &ddi_gpt::Partition, wanted: fn(Role) -> Designator) -> Option<Candidate> {
    let PartitionType::Designated(designator, architecture) = partition.partition_type() else { return None };
    let role = Role::of(designator).filter(|role| wanted(*role) == designator)?;
    // a free slot holds nothing, or what was there before it was freed; one that is half written, half of something
    let ignored = partition.name.is_empty_slot() || partition.name.is_partial();
    (!ignored).then_some(Candidate {
        number: partition.number,
        range: partition.range,
        guid: partition.guid,
        role,
        architecture,
    })
}

/// More than [`MAX_SEARCHED`].
struct TooMany;

struct Binder<'a> {
    image: &'a Image,
    dissection: &'a DissectionRecord,
    options: &'a BindOptions<'a>,
    data: Vec<Candidate>,
    signatures: Vec<Candidate>,
    /// What is left of [`MAX_SEARCHED`].
    left: Cell<u64>,
}

impl Binder<'_> {
    fn bind_all(&self, hashes: &[Candidate]) -> Vec<VeritySet> {
        let is_wanted = |hash: &&Candidate| {
            let halves = |known: KnownRootHash| ddi_gpt::verity_guids(known.hash.as_bytes()).ok();
            self.dissection.chosen(hash.role.hash()) == Some(hash.number)
                || self.known().filter_map(halves).any(|(_, guid)| guid == hash.guid)
        };
        let (mut looked_at, others): (Vec<&Candidate>, Vec<&Candidate>) = hashes.iter().partition(is_wanted);
        looked_at.extend(others);
        let left_out = looked_at.split_off(MAX_SETS.min(looked_at.len()));
        let mut sets: Vec<VeritySet> = looked_at.into_iter().map(|hash| self.bind(hash)).collect();
        if let Some(first) = left_out.iter().min_by_key(|hash| hash.number) {
            let (role, partition, others) = (first.role, first.number, left_out.len().saturating_sub(1));
            let mut set = VeritySet::new(role, Extent::from(*first));
            set.architecture = first.architecture;
            set.fail(Error::NotSearched { role, partition, others });
            sets.push(set);
        }
        sets.sort_by_key(|set| set.hash.number);
        sets
    }

    fn bind(&self, hash: &Candidate) -> VeritySet {
        let role = hash.role;
        let mut set = VeritySet::new(role, Extent::from(hash));
        set.architecture = hash.architecture;
        let data = self.like(&self.data, hash);
        if let Some(section) = self.image.partition_metadata(hash.number) {
            set.read_tree(&section, 0);
        }
        let searched = self.search(&set, hash, &data);
        let is_searched = searched.is_ok();
        set.tree_root = set.tree_root.or(searched.unwrap_or(None));
        let bound = self.data_for(&set, hash, &data);
        if bound.is_none() && !is_searched {
            set.fail(Error::NotSearched { role, partition: hash.number, others: 0 });
        }
        let data = bound.or_else(|| self.chosen_or_only(hash, role.hash(), role.data(), &data));
        set.data = data.map(Extent::from);
        let is_chosen = |number, designator| self.dissection.chosen(designator) == Some(number);
        set.selected = is_chosen(hash.number, role.hash())
            && data.is_some_and(|data| is_chosen(data.number, role.data()));

        set.root_hash = self.given(hash, data);
        let signature = self.signature_for(&mut set, hash);
        set.signature = signature.map(|(candidate, _)| Extent::from(&candidate));
        let origin = RootHashOrigin::SignaturePartition;
        let by_signature = signature.map(|(_, hash)| KnownRootHash { hash, role, origin });
        let by_guids = data.and_then(|data| {
            let hash = RootHash::from_bytes(&ddi_gpt::root_hash_from_guids(data.guid, hash.guid)).ok()?;
            Some(KnownRootHash { hash, role, origin: RootHashOrigin::PartitionGuids })
        });
        // a root hash of another length cannot be put together from two GUIDs
        let by_guids = by_guids.filter(|_| set.superblock.is_none_or(|s| s.params.digest_size() == 32));
        set.root_hash = set.root_hash.or(by_signature).or(by_guids);
        self.check(&mut set, hash, data, signature);
        set.signatures = self.signatures_of(&set, hash);
        set
    }

    /// For a tree without levels: the root hash is that of the one data block, and it fits one partition at most. An error if
    /// there are too many to look at.
    fn search(
        &self,
        set: &VeritySet,
        hash: &Candidate,
        data: &[Candidate],
    ) -> Result<Option<RootHash>, TooMany> {
        let Some(tree) = set.tree.as_ref().filter(|tree| tree.layout().levels().is_empty()) else {
            return Ok(None);
        };
        // what is read of a partition is not less
        let cost = u64::from(tree.params().data_block_size()).max(4096);
        for data in data {
            self.left.set(self.left.get().checked_sub(cost).ok_or(TooMany)?);
            let section = self.image.partition_metadata(data.number);
            let Some(root) = section.and_then(|section| set.one_block_root(&section)) else { continue };
            if ddi_gpt::verity_guids(root.as_bytes()).is_ok_and(|guids| guids == (data.guid, hash.guid)) {
                return Ok(Some(root));
            }
        }
        Ok(None)
    }

    /// The signature partitions for the root hash; else the one that should be, and what is wrong with it.
    fn signatures_of(&self, set: &VeritySet, hash: &Candidate) -> Vec<CheckedSignature> {
        let mut found = Vec::new();
        let Some(known) = set.root_hash else { return found };
        let candidates = self.like(&self.signatures, hash);
        let chosen = self.dissection.chosen(set.role.signature()).filter(|_| set.selected);
        let is_choice = |number| chosen == Some(number) || candidates.len() == 1;
        for candidate in &candidates {
            let number = candidate.number;
            let state = match self.image.signature(number) {
                Ok(facts) if facts.root_hash == known.hash || is_choice(number) => {
                    self.check_signature(number, facts, &known.hash)
                }
                Err(error) if is_choice(number) => Err(error),
                _ => continue,
            };
            let state = match state {
                Ok(state) => state,
                Err(Error::Signature { error, .. }) => SignatureState::Failed(error),
                Err(_) => continue,
            };
            found.push(CheckedSignature { place: SignaturePlace::Partition(number), state });
            if found.len() >= MAX_SIGNATURES {
                break;
            }
        }
        found.extend(beside(self.image, &known, self.options));
        found
    }

    /// Reads the signature once more: what is checked is what is told.
    fn check_signature(
        &self,
        number: u32,
        facts: &SignatureFacts,
        root_hash: &RootHash,
    ) -> Result<SignatureState, Error> {
        match self.options.certificates {
            Some(_) if facts.root_hash == *root_hash => {
                let signature = self.image.read_signature(number)?;
                Ok(SignatureState::of(&signature, root_hash, self.options.certificates))
            }
            None if facts.root_hash == *root_hash => Ok(SignatureState::Unchecked),
            _ => Ok(SignatureState::OtherRootHash { found: facts.root_hash }),
        }
    }

    fn like(&self, candidates: &[Candidate], hash: &Candidate) -> Vec<Candidate> {
        let like = |c: &&Candidate| c.role == hash.role && c.architecture == hash.architecture;
        candidates.iter().filter(like).copied().collect()
    }

    /// By a root hash whose other half is the GUID of the hash partition; by the tree alone.
    fn data_for<'a>(
        &self,
        set: &VeritySet,
        hash: &Candidate,
        data: &'a [Candidate],
    ) -> Option<&'a Candidate> {
        let given = self.known().filter(|known| known.role == hash.role).map(|known| known.hash);
        let signatures = self.like(&self.signatures, hash);
        let signed = signatures.iter().filter_map(|s| Some(self.image.signature(s.number).ok()?.root_hash));
        let halves = given.chain(signed).filter_map(|root| ddi_gpt::verity_guids(root.as_bytes()).ok());
        let whole = halves.filter(|(_, hash_guid)| *hash_guid == hash.guid);
        let by_tree = set.tree_root.and_then(|root| ddi_gpt::verity_guids(root.as_bytes()).ok());
        let by_guid = |guid| data.iter().find(|data| data.guid == guid);
        whole.chain(by_tree).find_map(|(data_guid, _)| by_guid(data_guid))
    }

    /// Root hashes from elsewhere than the table: the caller's, then those beside the image.
    fn known(&self) -> impl Iterator<Item = KnownRootHash> + '_ {
        known(self.image, self.options)
    }

    /// The one that systemd would take; else the only one.
    fn chosen_or_only<'a>(
        &self,
        hash: &Candidate,
        hash_designator: Designator,
        designator: Designator,
        candidates: &'a [Candidate],
    ) -> Option<&'a Candidate> {
        let chosen = |d| self.dissection.chosen(d);
        if chosen(hash_designator) == Some(hash.number) {
            let found = candidates.iter().find(|candidate| chosen(designator) == Some(candidate.number));
            if found.is_some() {
                return found;
            }
        }
        match candidates {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The root hash that the caller or something beside the image names, if it is for this set.
    fn given(&self, hash: &Candidate, data: Option<&Candidate>) -> Option<KnownRootHash> {
        self.known().find(|known| {
            known.role == hash.role
                && ddi_gpt::verity_guids(known.hash.as_bytes()).is_ok_and(|(data_guid, hash_guid)| {
                    hash_guid == hash.guid && data.is_some_and(|data| data.guid == data_guid)
                })
        })
    }

    /// The signature partition for the root hash; else the one that systemd would take. Told apart by
    /// [`check`](Self::check).
    fn signature_for(&self, set: &mut VeritySet, hash: &Candidate) -> Option<(Candidate, RootHash)> {
        let mut readable = Vec::new();
        for candidate in self.like(&self.signatures, hash) {
            if let Ok(signature) = self.image.signature(candidate.number) {
                readable.push((candidate, signature.root_hash));
            }
        }
        let wanted = set.root_hash.map(|known| known.hash).or(set.tree_root);
        let right = readable.iter().find(|(_, root)| Some(*root) == wanted);
        right.copied().or_else(|| {
            let candidates: Vec<Candidate> = readable.iter().map(|(candidate, _)| *candidate).collect();
            let found =
                self.chosen_or_only(hash, hash.role.hash(), hash.role.signature(), &candidates)?.number;
            readable.iter().find(|(candidate, _)| candidate.number == found).copied()
        })
    }

    /// Checks that root hash, GUIDs, tree and signature agree.
    fn check(
        &self,
        set: &mut VeritySet,
        hash: &Candidate,
        data: Option<&Candidate>,
        signature: Option<(Candidate, RootHash)>,
    ) {
        let role = set.role;
        let Some(data) = data else {
            return match set.problem {
                Some(Error::NotSearched { .. }) => {}
                _ => set.fail(Error::DataMissing { role }),
            };
        };
        let Some(known) = set.root_hash else {
            return set.fail(Error::RootHashUnknown { role });
        };
        if let Ok((data_guid, hash_guid)) = ddi_gpt::verity_guids(known.hash.as_bytes()) {
            set.guids_match = Some(data_guid == data.guid && hash_guid == hash.guid);
            let halves = [(data, data_guid, role.data()), (hash, hash_guid, role.hash())];
            for (candidate, expected, designator) in halves {
                if candidate.guid != expected {
                    let (partition, found) = (candidate.number, candidate.guid);
                    set.fail(Error::Binding(Box::new(BindingError::Guid {
                        designator,
                        partition,
                        expected,
                        found,
                    })));
                }
            }
        }
        if let Some(found) = set.tree_root.filter(|root| *root != known.hash) {
            let partition = Some(hash.number);
            set.note(BindingError::Tree { partition, expected: known.hash, found });
        }
        if let Some((candidate, found)) = signature.filter(|(_, root)| *root != known.hash) {
            // it is no signature of this set, and takes nothing from it
            set.note(BindingError::Signature { partition: candidate.number, expected: known.hash, found });
            set.signature = None;
        }
    }
}

fn known(image: &Image, options: &BindOptions<'_>) -> impl Iterator<Item = KnownRootHash> {
    let trusted = options.trusted.iter().map(|&trusted| KnownRootHash::from(trusted));
    trusted.chain(image.sidecars().root_hashes.iter().copied())
}

/// The signature in a file beside the image. It does not say what it is for: systemd takes it to be for the root hash of
/// the caller or of a file beside the image, and so do we, unless it turns out to be good for another one.
fn beside(image: &Image, known: &KnownRootHash, options: &BindOptions<'_>) -> Option<CheckedSignature> {
    let signature = image.sidecars().signatures.iter().find(|signature| signature.role == known.role)?;
    let state = SignatureState::check(&signature.pkcs7, &known.hash, options.certificates);
    let is_meant = match known.origin {
        RootHashOrigin::Caller | RootHashOrigin::Xattr | RootHashOrigin::Sidecar => true,
        RootHashOrigin::SignaturePartition | RootHashOrigin::PartitionGuids => state.verified().is_some(),
    };
    is_meant.then_some(CheckedSignature { place: SignaturePlace::Sidecar, state })
}

/// A bare image with a tree beside or behind it. By a root hash for usr it is a set for usr, which says nothing of the root
/// file system that such an image is taken for.
fn bare_set(image: &Image, options: &BindOptions<'_>) -> Option<VeritySet> {
    let size = image.source().size();
    // such an image is taken for root, so a root hash for root comes before others
    let named = options.trusted.iter().find(|trusted| trusted.role() == Role::Root);
    let root_hash = named.map(|&trusted| trusted.into()).or_else(|| known(image, options).next());
    let role = root_hash.map_or(Role::Root, |known: KnownRootHash| known.role);
    let whole = Extent { number: None, range: ByteRange { offset: 0, size }, external: false };
    let mut set = match (options.hash_offset, &image.sidecars().verity) {
        (Some(offset), _) => {
            let hash = ByteRange { offset, size: size.saturating_sub(offset) };
            let mut set = VeritySet::new(role, Extent { range: hash, ..whole });
            set.data = Some(Extent { range: ByteRange { offset: 0, size: offset.min(size) }, ..whole });
            set.read_tree(image.metadata(), offset);
            set
        }
        (None, Some(file)) => {
            let range = ByteRange { offset: 0, size: file.size() };
            let mut set = VeritySet::new(role, Extent { number: None, range, external: true });
            set.data = Some(whole);
            set.read_tree(file, 0);
            set
        }
        (None, None) => return None,
    };
    set.selected = true;
    set.root_hash = root_hash;
    set.signatures.extend(root_hash.and_then(|known| beside(image, &known, options)));
    if set.tree_root.is_none()
        && let Some(data) = set.data
        && let Ok(section) = Section::new(image.metadata(), data.range.offset, data.range.size)
    {
        set.tree_root = set.one_block_root(&section);
    }
    match (root_hash, set.tree_root) {
        (None, _) => set.fail(Error::RootHashUnknown { role }),
        (Some(known), Some(found)) if found != known.hash => {
            // no failure here: the proof finds the block and can name it
            set.note(BindingError::Tree { partition: None, expected: known.hash, found });
        }
        _ => {}
    }
    Some(set)
}

impl VeritySet {
    fn new(role: Role, hash: Extent) -> Self {
        VeritySet {
            role,
            architecture: None,
            data: None,
            hash,
            signature: None,
            signatures: Vec::new(),
            selected: false,
            examined: None,
            superblock: None,
            tree: None,
            tree_root: None,
            root_hash: None,
            data_size: None,
            guids_match: None,
            problem: None,
            findings: Vec::new(),
        }
    }

    /// The first problem is the one that counts; all of them are findings.
    fn fail(&mut self, error: Error) {
        let what = match &error {
            Error::Binding(error) => FindingKind::Binding(error.clone()),
            Error::Verity { role, error, .. } => FindingKind::Verity { role: *role, error: error.clone() },
            Error::RootHashUnknown { role } => FindingKind::RootHashUnknown { role: *role },
            other => FindingKind::MountError(other.clone()),
        };
        let mut finding = Finding::new(what);
        finding.partition = match &error {
            Error::Binding(error) => error.partition(),
            _ => self.hash.number,
        };
        if finding.partition == self.hash.number && !self.hash.external {
            finding.offset = Some(self.hash.range.offset);
        }
        self.findings.push(finding);
        self.problem.get_or_insert(error);
    }

    /// Checks that the size of the data is what the caller says it is. With a root hash for the role, that is said of
    /// its data alone.
    fn compare_size(&mut self, options: &BindOptions<'_>) {
        let (role, partition) = (self.role, self.hash.number);
        let is_meant = self.named(options.trusted).is_some()
            || !options.trusted.iter().any(|trusted| trusted.role() == role);
        let given = options.data_sizes.iter().find(|given| given.role == role).filter(|_| is_meant);
        let (Some(given), Some(tree)) = (given.map(|given| given.bytes), &self.tree) else { return };
        let found = tree.params().data_size();
        if found == given {
            self.data_size = Some(found);
        } else {
            self.fail(Error::DataSizeDiffers { role, partition, given, found });
        }
    }

    /// Checks that the tree is the one that was signed along with the root hash, if one was. Each verified signature
    /// that says so counts.
    fn compare_bound_tree(&mut self, options: &BindOptions<'_>) {
        let (role, partition) = (self.role, self.hash.number);
        let verified = self.signatures.iter().filter_map(|signature| signature.state.verified());
        let signed: Vec<Params> = verified.filter_map(|verified| verified.signer().bound_tree).collect();
        let found = self.tree.as_ref().map(|tree| *tree.params());
        match (signed.iter().find(|signed| Some(**signed) != found), found) {
            // a tree that cannot be read is the problem already
            (_, None) => {}
            (Some(signed), Some(found)) => {
                let (signed, found) = (Box::new(*signed), Box::new(found));
                self.fail(Error::BoundTreeDiffers { role, partition, signed, found });
            }
            (None, Some(found)) if !signed.is_empty() => self.data_size = Some(found.data_size()),
            (None, Some(_)) if options.require_bound_size => {
                self.fail(Error::SizeNotBound { role, partition });
            }
            (None, Some(_)) => {}
        }
    }

    /// What does not fit, but is for the proof to judge, which names the blocks.
    fn note(&mut self, error: BindingError) {
        let mut finding = Finding::new(FindingKind::Binding(Box::new(error)));
        finding.partition = error.partition();
        self.findings.push(finding);
    }

    fn fail_verity(&mut self, error: ddi_verity::Error) {
        let (role, partition, error) = (self.role, self.hash.number, Arc::new(error));
        self.fail(Error::Verity { role, partition, error });
    }

    /// Reads superblock and top block of the tree from `source`, where the superblock is at `offset`.
    fn read_tree(&mut self, source: &dyn ReadAt, offset: u64) {
        let superblock = match Superblock::read(source, offset) {
            Ok(superblock) => superblock,
            Err(error) => {
                let mut bytes = [0; SUPERBLOCK_SIZE];
                if source.read_exact_at(offset, &mut bytes).is_ok() {
                    self.examined = Some(Superblock::examine(&bytes));
                }
                return self.fail_verity(error);
            }
        };
        // what was checked is what is shown
        self.examined = Some(Superblock::examine(&superblock.to_bytes()));
        self.superblock = Some(superblock);
        let tree = match HashTree::new(superblock.params, Placement::Superblock(offset)) {
            Ok(tree) => tree,
            Err(error) => return self.fail_verity(error),
        };
        match tree.claimed_root_hash(source) {
            Ok(root) => self.tree_root = root,
            Err(error) => self.fail_verity(error),
        }
        self.tree = Some(tree);
    }

    /// The root hash of a set that has one data block and therefore no tree.
    fn one_block_root(&self, data: &dyn ReadAt) -> Option<RootHash> {
        let tree = self.tree.as_ref().filter(|tree| tree.layout().levels().is_empty())?;
        // at most 512 KiB
        let mut block = vec![0; usize::try_from(tree.params().data_block_size()).ok()?];
        data.read_exact_at(0, &mut block).ok()?;
        Some(RootHash::from(tree.params().hasher().hash_block(&block)))
    }

    /// Size in bytes of what the hash tree is read from.
    pub(crate) fn hash_size(&self, image: &Image) -> u64 {
        match (self.hash.number, self.hash.external) {
            // behind the data: offsets count from the start of the image
            (None, false) => image.source().size(),
            _ => self.hash.range.size,
        }
    }

    /// The root hash from the caller, or `None` if there is none or it is not the one that will be proven.
    pub fn named(&self, trusted: &[TrustedRootHash]) -> Option<TrustedRootHash> {
        let known = self.root_hash?;
        trusted.iter().find(|trusted| trusted.vouches_for(&known.hash, self.role)).copied()
    }

    /// Who vouches for the root hash that will be proven: a trusted key that signed it, else the caller.
    pub fn trusted(&self, trusted: &[TrustedRootHash]) -> Option<TrustedRootHash> {
        let known = self.root_hash?;
        let verified = self.signatures.iter().find_map(|signature| signature.state.verified());
        let signed = verified.map(|verified| TrustedRootHash::by_signature(verified, self.role));
        signed.filter(|signed| signed.vouches_for(&known.hash, self.role)).or_else(|| self.named(trusted))
    }
}

#[cfg(test)]
mod tests;
