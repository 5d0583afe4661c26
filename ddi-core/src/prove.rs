//! Proving: every verity-protected partition against its root hash, and what that is worth.
//!
//! | [`Outcome`] | every block matches | somebody vouches for the root hash | exit status |
//! | --- | --- | --- | --- |
//! | [`Verified`](Outcome::Verified) | yes | yes | 0 |
//! | [`Failed`](Outcome::Failed) | no, or it is not even protected | | 1 |
//! | [`Unknown`](Outcome::Unknown) | it was not possible to look | | 2 |
//! | [`Intact`](Outcome::Intact) | yes | no | 3 |

pub(crate) mod damage;
#[cfg(feature = "fec")]
pub(crate) mod fec;
pub(crate) mod partition;
pub(crate) mod rules;

use core::fmt;
use std::io;
use std::sync::Arc;

use ddi_gpt::{Architecture, ByteRange, Designator, Escaped};
use ddi_io::ReadAt;
use ddi_signature::Certificates;
use ddi_verity::{CheckedTree, HashTree, Options, Strictness, Verdict, check_geometry};

use crate::dissect::{DissectedImage, DissectionRecord};
use crate::error::{Error, ErrorKind, Step};
use crate::image::Image;
use crate::policy::{self, Facts};
#[cfg(feature = "fec")]
use crate::prove::fec::FecDevice;
use crate::prove::partition::{ProvenPartition, section, sources};
use crate::trust::signature::CheckedSignature;
use crate::trust::{DataSize, KnownRootHash, Role, TrustedRootHash, Voucher};
use crate::unproven::{Unproven, unproven};
use crate::verity_set::{BindOptions, Extent, VeritySet, verity_sets};
use ddi_fs::FsKind;
use ddi_fs::probe as fs;
use ddi_io::ReadOnce;

pub(crate) use rules::{Bound, Depth, Look};

pub use rules::{ContentRule, TailRule, Unfit};

/// Which of several verity sets are proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// With a root hash from the caller, the ones in use; without, all of them.
    #[default]
    Auto,
    /// One for root, one for usr: those that the caller's root hashes are for, else those that systemd would choose.
    InUse,
    /// Every hash tree in the image: all versions, all architectures.
    All,
}

/// How to prove.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct ProveOptions<'a> {
    /// The root hashes that the caller vouches for, one for each role at most.
    pub trusted: &'a [TrustedRootHash],
    /// Whose signatures the caller trusts. `None`: signatures are not checked, and vouch for nothing.
    pub certificates: Option<&'a Certificates>,
    /// The sizes of protected data that the caller vouches for, one for each role at most.
    pub data_sizes: &'a [DataSize],
    /// What no trusted key signed the size of, along with the root hash, is refused: a signature must bind the tree.
    pub require_bound_size: bool,
    /// Which verity parameters and sizes are taken.
    pub strictness: Strictness,
    /// What a protected partition must hold.
    pub content: ContentRule,
    /// What may follow the protected blocks, unless `strictness` allows anything there.
    pub tail: TailRule,
    /// Which sets.
    pub scope: Scope,
    /// The image is for the machine that it was dissected for, and for no other. Else it is not proven as long as there is a
    /// root or usr partition for another architecture that nothing protects.
    pub one_architecture: bool,
    /// For a bare image with its tree behind the data: where the superblock is, in bytes.
    pub hash_offset: Option<u64>,
    /// Parity, one for each role at most: what is read through a [`ProvenPartition`] is healed where it is damaged. A proof of
    /// all blocks says what is there, and makes no use of it.
    #[cfg(feature = "fec")]
    pub fec: &'a [FecDevice],
    /// Threads, kernel, cancelling. Its progress is not used.
    pub engine: Options<'a>,
    /// Called with the bytes of data done and in all, over all sets.
    pub progress: Option<&'a (dyn Fn(u64, u64) + Sync)>,
}

impl<'a> ProveOptions<'a> {
    /// What the search for sets needs of it.
    pub fn bind(&self) -> BindOptions<'a> {
        BindOptions {
            trusted: self.trusted,
            certificates: self.certificates,
            data_sizes: self.data_sizes,
            require_bound_size: self.require_bound_size,
            hash_offset: self.hash_offset,
        }
    }
}

impl fmt::Debug for ProveOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProveOptions")
            .field("trusted", &self.trusted)
            .field("certificates", &self.certificates.map(|certificates| certificates.trusted().len()))
            .field("data_sizes", &self.data_sizes)
            .field("require_bound_size", &self.require_bound_size)
            .field("strictness", &self.strictness)
            .field("content", &self.content)
            .field("scope", &self.scope)
            .field("hash_offset", &self.hash_offset)
            .finish_non_exhaustive()
    }
}

/// What a proof is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every block matches a root hash that the caller trusts.
    Verified,
    /// Every block matches a root hash that nobody vouches for.
    Intact,
    /// It was not possible to look.
    Unknown,
    /// Not every block matches, or there is nothing to match.
    Failed,
}

impl Outcome {
    /// The exit status of a program that reports it.
    pub fn exit_status(self) -> u8 {
        match self {
            Outcome::Verified => 0,
            Outcome::Failed => 1,
            Outcome::Unknown => 2,
            Outcome::Intact => 3,
        }
    }

    /// `trusted-and-proven`, `intact-unvouched`, `could-not-tell`, `not-proven`.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Verified => "trusted-and-proven",
            Outcome::Intact => "intact-unvouched",
            Outcome::Unknown => "could-not-tell",
            Outcome::Failed => "not-proven",
        }
    }

    /// The worse of two: what is not proven outweighs what could not be told, and both outweigh what is proven.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let rank = |outcome| match outcome {
            Outcome::Verified => 0,
            Outcome::Intact => 1,
            Outcome::Unknown => 2,
            Outcome::Failed => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// What it comes to when `error` stood in the way.
    fn of(error: &Error) -> Self {
        match (error, error.kind()) {
            (Error::RootHashUnknown { .. }, _) | (_, ErrorKind::Io | ErrorKind::Usage) => Outcome::Unknown,
            _ => Outcome::Failed,
        }
    }
}

/// A rule that this image breaks, and that the caller set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exception {
    /// Of the verity parameters or the geometry.
    Verity(ddi_verity::GeometryException),
    /// Nothing recognised in the data.
    UnrecognisedContent,
    /// A file system in the data that hash blocks could be taken for; see [`Unfit`].
    UnfitContent {
        /// What is recognised.
        kind: FsKind,
    },
    /// A file system that claims more than the data.
    ContentTooLarge {
        /// What it claims, in bytes.
        claimed: u64,
        /// What there is, in bytes.
        available: u64,
    },
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exception::Verity(exception) => exception.fmt(f),
            Exception::UnrecognisedContent => {
                f.write_str("the data holds nothing that is recognised as a file system")
            }
            Exception::UnfitContent { kind } => {
                write!(f, "that the data holds {} does not bind their size", kind.name())
            }
            Exception::ContentTooLarge { claimed, available } => {
                write!(f, "the file system claims {claimed} bytes, {available} are there")
            }
        }
    }
}

/// What came of proving one partition.
#[derive(Debug)]
#[non_exhaustive]
pub struct Proof {
    /// What the data is for.
    pub role: Role,
    /// The machine that it is for, if the partition type says so.
    pub architecture: Option<Architecture>,
    /// The data, if there is any.
    pub data: Option<Extent>,
    /// The hash tree, if there is one.
    pub hash: Option<Extent>,
    /// Does systemd choose it?
    pub selected: bool,
    /// The root hash that it was proven against, and where that is from.
    pub root_hash: Option<KnownRootHash>,
    /// Who vouches for that root hash: a trusted key that signed it, else the caller.
    pub trusted: Option<TrustedRootHash>,
    /// Did the caller name the root hash?
    pub named_by_caller: bool,
    /// Every signature that is there for it, and what came of checking it.
    pub signatures: Vec<CheckedSignature>,
    /// Block by block.
    pub verdict: Option<Verdict>,
    /// What is in the data, read as proven bytes. `None` if nothing is recognised in it, or not every block matches.
    pub content: Option<Box<fs::Probe>>,
    /// Rules that would have been broken, had the options not widened them.
    pub exceptions: Vec<Exception>,
    /// Why there is no verdict.
    pub problem: Option<Error>,
    /// What it is worth.
    pub outcome: Outcome,
}

/// What came of proving an image.
#[derive(Debug)]
#[non_exhaustive]
pub struct Assessment {
    /// One for each set in scope; for a root or usr partition without a tree; and for a root hash of the caller that is for
    /// nothing in the image.
    pub proofs: Vec<Proof>,
    /// Every partition besides that some systemd would mount.
    pub unproven: Vec<Unproven>,
    /// Why the image is refused, if it is: by systemd too, if that is the [`authority`](Error::authority).
    pub refused: Option<Error>,
    /// The worst of all.
    pub outcome: Outcome,
}

impl Assessment {
    /// Returns true if every protected block matches a root hash that the caller trusts, and nothing else stands in the way.
    /// What is not protected, [`unproven`](Self::unproven) names.
    pub fn is_authentic(&self) -> bool {
        self.outcome == Outcome::Verified
    }

    /// Stable name for programs: that of the [outcome](Outcome::name).
    pub fn code(&self) -> &'static str {
        self.outcome.name()
    }

    /// What was proven, and by whose word.
    fn write_proven(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut phrases: Vec<String> = Vec::new();
        for proof in &self.proofs {
            let signed = proof.signatures.iter().find_map(|signature| signature.state.verified());
            let signer = signed.map(|verified| shown(&verified.signer().certificate.subject()));
            let word = match (signer, proof.named_by_caller) {
                (Some(signer), true) => format!("the root hash that you gave, signed by {signer}"),
                (Some(signer), false) => format!("a root hash signed by {signer}"),
                (None, _) => "the root hash that you gave".into(),
            };
            let phrase = format!("every block of {} matches {word}", proof.role);
            if !phrases.contains(&phrase) {
                phrases.push(phrase);
            }
        }
        f.write_str(&phrases.join(", "))
    }

    /// What is known about `designator` for a policy: what is there, and what was proven of it.
    pub fn facts(&self, dissected: &DissectedImage, designator: Designator) -> Facts {
        let mut facts = dissected.facts(designator);
        let number = dissected.get(designator).map(|partition| partition.number);
        // a bare image is the root file system: a root hash for usr vouches for nothing in it
        let about =
            |proof: &&Proof| proof.role.data() == designator && proof.data.map(|data| data.number) == number;
        // the worst of them, should there be several
        let worth = |proof: &Proof| match (proof.outcome, proof.trusted.map(|trusted| trusted.voucher())) {
            (Outcome::Verified, Some(Voucher::Certificate(_))) => policy::ProofLevel::Signature,
            (Outcome::Verified, Some(Voucher::Caller)) => policy::ProofLevel::RootHash,
            (Outcome::Intact, _) => policy::ProofLevel::Intact,
            _ => policy::ProofLevel::None,
        };
        facts.proof = self.proofs.iter().filter(about).map(worth).min().unwrap_or(policy::ProofLevel::None);
        facts
    }
}

/// The name of a signer, in which something may be escaped already: backslashes stay as they are.
fn shown(name: &str) -> String {
    let parts: Vec<String> = name.split('\\').map(|part| Escaped::new(part).to_string()).collect();
    match parts.join("\\") {
        empty if empty.is_empty() => "somebody without a name".into(),
        name => name,
    }
}

impl fmt::Display for Assessment {
    /// What it comes to, as a sentence fit for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_whole = |proof: &Proof| matches!(proof.outcome, Outcome::Verified | Outcome::Intact);
        match self.outcome {
            Outcome::Verified => self.write_proven(f),
            Outcome::Intact => f.write_str("every block matches, but nobody vouches for the root hash"),
            Outcome::Unknown if self.proofs.iter().any(is_whole) => {
                f.write_str("not everything could be looked at")
            }
            Outcome::Unknown => f.write_str("nothing is proven"),
            Outcome::Failed => f.write_str("do not trust this image"),
        }
    }
}

/// Proves what is protected in an image. The image is read once, in full, as far as it is protected.
///
/// That the image is refused by [`dissect`](crate::steps::dissect()) makes it *not proven* too, with three exceptions in which each
/// part can be judged by itself: hash trees for both root and usr, different architectures, and a tree for root beside a
/// usr partition.
///
/// # What a root hash does not say
///
/// In a dm-verity tree, data blocks and hash blocks are hashed alike. So the hash blocks of a good image, taken for data,
/// have the rest of the tree above them as a good tree, *under the same root hash*: nothing in the hash says at which
/// level the data begins. The superblock, which does, is not covered by the root hash. Two rules close this:
///
/// * the geometry is strict ([`check_geometry`]): the data fills its partition, or what follows it is zero and behind the end
///   of its file system ([`TailRule`]);
/// * the data is a file system or LUKS volume ([`ContentRule::Recognised`]) of just this size, of a kind that systemd mounts,
///   whose root directory can be read. Hash blocks are none: whoever chooses blocks of the image chooses a few bytes of
///   their digests, but never so many.
///
/// Both can be widened, and [`Proof::exceptions`] then says so. The second is not needed for a role whose size the caller
/// vouches for ([`ProveOptions::data_sizes`]), or that a trusted key signed along with the root hash
/// ([`DetachedSignature::bound_tree`](ddi_signature::DetachedSignature::bound_tree)): a tree over that many bytes has hash
/// blocks where it says. A tree that is not the one that was signed is not proven
/// ([`Error::BoundTreeDiffers`]).
pub fn prove(image: &Image, dissection: &DissectionRecord, options: &ProveOptions<'_>) -> Assessment {
    prove_sets(image, dissection, &verity_sets(image, dissection, &options.bind()), options)
}

/// The same, for sets that were found already.
pub(crate) fn prove_sets(
    image: &Image,
    dissection: &DissectionRecord,
    sets: &[VeritySet],
    options: &ProveOptions<'_>,
) -> Assessment {
    let mut proofs = Vec::new();
    let in_scope = in_scope(sets, dissection, options);
    let size_of = |set: &&VeritySet| set.tree.as_ref().map_or(0, |tree| tree.params().data_size());
    let total = in_scope.iter().map(size_of).fold(0, u64::saturating_add);
    let mut done: u64 = 0;
    for set in &in_scope {
        proofs.push(prove_set(image, set, options, done, total));
        done = done.saturating_add(size_of(set));
    }
    proofs.extend(unprotected(image, dissection, &in_scope));
    for trusted in options.trusted {
        let is_for =
            |proof: &Proof| proof.root_hash.is_some_and(|known| trusted.vouches_for(&known.hash, proof.role));
        if !proofs.iter().any(is_for) {
            proofs.push(Proof::missing(trusted, dissection));
        }
    }

    let refused = dissection.outcome.as_ref().err().cloned();
    let mut outcome = match (proofs.first(), &refused) {
        (Some(first), _) => first.outcome,
        (None, Some(error)) => match error.kind() {
            ErrorKind::Mismatch => Outcome::Failed,
            _ => Outcome::Unknown,
        },
        (None, None) => Outcome::Failed,
    };
    for proof in &proofs {
        outcome = outcome.worst(proof.outcome);
    }
    let is_discord = |error: &&Error| {
        matches!(
            error,
            Error::RootAndUsrVerity | Error::ArchitecturesDiffer { .. } | Error::RootVerityWithUsr
        )
    };
    if !proofs.is_empty() {
        for error in dissection.refusals.iter().filter(|error| !is_discord(error)) {
            outcome = outcome.worst(Outcome::of(error));
        }
    }
    let unproven = unproven(image, dissection, sets, &proofs);
    // the same image, on another machine: what is proven there is nothing
    if !options.one_architecture && unproven.iter().any(|partition| partition.is_exposed) {
        outcome = outcome.worst(Outcome::Failed);
    }
    Assessment { proofs, unproven, refused, outcome }
}

fn in_scope<'s>(
    sets: &'s [VeritySet],
    dissection: &DissectionRecord,
    options: &ProveOptions<'_>,
) -> Vec<&'s VeritySet> {
    // what the policy says to leave alone
    let ignored = |role: Role| {
        dissection.outcome.as_ref().is_ok_and(|dissected| dissected.ignored.contains(&role.data()))
    };
    let all = match options.scope {
        Scope::All => true,
        Scope::Auto => options.trusted.is_empty(),
        Scope::InUse => false,
    };
    let has =
        |role: Role, wanted: &dyn Fn(&VeritySet) -> bool| sets.iter().any(|s| s.role == role && wanted(s));
    let trusted = |set: &VeritySet| set.named(options.trusted).is_some();
    sets.iter()
        .filter(|set| match set.role {
            role if ignored(role) => false,
            _ if all => true,
            role if has(role, &trusted) => trusted(set),
            role if has(role, &|set| set.selected) => set.selected,
            _ => true,
        })
        .collect()
}

/// Root and usr partitions that are used, and of which none of the trees that are looked at says anything.
fn unprotected(image: &Image, dissection: &DissectionRecord, in_scope: &[&VeritySet]) -> Vec<Proof> {
    let bare = dissection.outcome.as_ref().is_ok_and(|dissected| dissected.bare);
    if bare {
        let whole = Extent {
            number: None,
            range: ByteRange { offset: 0, size: image.source().size() },
            external: false,
        };
        let proof = Proof::without_tree(Role::Root, whole);
        return if in_scope.is_empty() { vec![proof] } else { Vec::new() };
    }
    let alone = |role: &Role| {
        let number = dissection.chosen(role.data())?;
        let protected = in_scope.iter().any(|set| set.data.is_some_and(|data| data.number == Some(number)));
        let range = image.range(number).filter(|_| !protected)?;
        Some(Proof::without_tree(*role, Extent { number: Some(number), range, external: false }))
    };
    Role::ALL.iter().filter_map(alone).collect()
}

fn prove_set(image: &Image, set: &VeritySet, options: &ProveOptions<'_>, before: u64, total: u64) -> Proof {
    let mut proof = Proof {
        role: set.role,
        architecture: set.architecture,
        data: set.data,
        hash: Some(set.hash),
        selected: set.selected,
        root_hash: set.root_hash,
        trusted: set.trusted(options.trusted),
        named_by_caller: set.named(options.trusted).is_some(),
        signatures: set.signatures.clone(),
        verdict: None,
        content: None,
        exceptions: Vec::new(),
        problem: None,
        outcome: Outcome::Failed,
    };
    match verify(image, set, options, before, total, &mut proof) {
        Ok(verdict) => {
            proof.outcome = match (verdict.is_proven(), &proof.trusted) {
                (true, Some(_)) => Outcome::Verified,
                (true, None) => Outcome::Intact,
                (false, _) => Outcome::Failed,
            };
            proof.verdict = Some(verdict);
        }
        Err(error) => {
            proof.outcome = Outcome::of(&error);
            proof.problem = Some(error);
        }
    }
    proof
}

fn verify(
    image: &Image,
    set: &VeritySet,
    options: &ProveOptions<'_>,
    before: u64,
    total: u64,
    proof: &mut Proof,
) -> Result<Verdict, Error> {
    let exceptions = &mut proof.exceptions;
    if let Some(problem) = &set.problem {
        return Err(problem.clone());
    }
    let role = set.role;
    let (Some(tree), Some(data), Some(known)) = (&set.tree, set.data, set.root_hash) else {
        return Err(Error::RootHashUnknown { role });
    };
    let failed = |error| Error::Verity { role, partition: set.hash.number, error: Arc::new(error) };
    let (data_source, hash_source) = sources(image, set, data)?;
    let tree = check(image, set, tree, data, options, exceptions)?;
    let relay = |done: u64, _: u64| {
        if let Some(progress) = options.progress {
            progress(before.saturating_add(done), total);
        }
    };
    let engine = options.engine.progress(&relay);
    let verdict = tree.verify(&data_source, &hash_source, &known.hash, &engine).map_err(failed)?;
    if verdict.is_proven() {
        // what was looked at before was not proven then, and storage may change: once more, by proven bytes
        let options = ProveOptions {
            #[cfg(feature = "fec")]
            fec: &[],
            ..*options
        };
        let proven = ProvenPartition::open(image, set, &options)?;
        for found in proven.exceptions() {
            if !exceptions.contains(found) {
                exceptions.push(*found);
            }
        }
        proof.content = proven.probe().cloned().map(Box::new);
    }
    Ok(verdict)
}

/// What the root hash does not bind: geometry and content.
fn check(
    image: &Image,
    set: &VeritySet,
    tree: &HashTree,
    data: Extent,
    options: &ProveOptions<'_>,
    exceptions: &mut Vec<Exception>,
) -> Result<CheckedTree, Error> {
    // the rest is for proven bytes to say: these may be damaged
    let content = check_content(image, set, tree, data, options.tail, Depth::Superblock);
    let checked = check_size(image, set, tree, data, (options.strictness, options.tail), u64::MAX)?;
    exceptions.extend(checked.geometry().exceptions.iter().copied().map(Exception::Verity));
    content.map(drop).or_else(|error| widen(error, options.content).map(|found| exceptions.push(found)))?;
    Ok(checked)
}

/// A rule on content that is broken, if `rule` allows that.
pub(crate) fn widen(error: Error, rule: ContentRule) -> Result<Exception, Error> {
    match (rule, error) {
        (ContentRule::Any, Error::UnrecognisedContent { .. } | Error::AmbiguousFileSystem { .. }) => {
            Ok(Exception::UnrecognisedContent)
        }
        (ContentRule::Any, Error::UnfitContent { kind, .. }) => Ok(Exception::UnfitContent { kind }),
        (ContentRule::Any, Error::ContentTooLarge { claimed, available, .. }) => {
            Ok(Exception::ContentTooLarge { claimed, available })
        }
        (_, error) => Err(error),
    }
}

/// Do parameters, data and hash area fit together, and if data follows the protected blocks, may it? Of that, at most
/// `read_at_most` bytes are looked at.
pub(crate) fn check_size(
    image: &Image,
    set: &VeritySet,
    tree: &HashTree,
    data: Extent,
    (strictness, tail): (Strictness, TailRule),
    read_at_most: u64,
) -> Result<CheckedTree, Error> {
    let role = set.role;
    let size = tree.params().data_size();
    let zeros = tail == TailRule::Zeros && !strictness.unprotected_tail && data.range.size > size;
    let bound = zeros
        && check_content(image, set, tree, data, tail, Depth::Superblock)
            .is_ok_and(|bound| bound == Bound::Known);
    let mut in_force = strictness;
    in_force.unprotected_tail |= bound;
    let checked = check_geometry(tree.clone(), data.range.size, set.hash_size(image), in_force)
        .map_err(|error| Error::Verity { role, partition: set.hash.number, error: Arc::new(error) })?;
    if bound {
        let offset = data.range.offset.saturating_add(size);
        let tail = ByteRange { offset, size: data.range.size.saturating_sub(size).min(read_at_most) };
        if let Some(offset) = first_non_zero(image, tail)? {
            return Err(Error::TailNotZero { role, partition: data.number, offset });
        }
    }
    Ok(checked)
}

/// The first byte in `range` of the image that is not zero.
fn first_non_zero(image: &Image, range: ByteRange) -> Result<Option<u64>, Error> {
    let source = image.source();
    let mut chunk = vec![0; 64 << 10];
    let mut offset = range.offset;
    while let Some(next) = source.next_data(offset).filter(|next| *next < range.end()) {
        offset = offset.max(next);
        let left = usize::try_from(range.end().saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = left.min(chunk.len());
        let Some(buf) = chunk.get_mut(..len) else { break };
        source.read_exact_at(offset, buf).map_err(|error| Error::Io {
            step: Step::Tail,
            offset: Some(offset),
            error: Arc::new(error),
        })?;
        let u64_of = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        if let Some(at) = buf.iter().position(|byte| *byte != 0) {
            return Ok(Some(offset.saturating_add(u64_of(at))));
        }
        offset = offset.saturating_add(u64_of(len));
    }
    Ok(None)
}

/// Are the data, as they are now, what hash blocks cannot be taken for?
pub(crate) fn check_content(
    image: &Image,
    set: &VeritySet,
    tree: &HashTree,
    data: Extent,
    tail: TailRule,
    depth: Depth,
) -> Result<Bound, Error> {
    if set.data_size.is_some() {
        return Ok(Bound::Known);
    }
    let looked = match data.number {
        Some(number) => image.probe(number),
        None => Some(image.whole()),
    };
    let io = |offset, error| rules::io_error(data.range.offset, offset, error);
    let protected = tree.params().data_size().min(data.range.size);
    // also where more was looked at than the image keeps: once for all that is done here
    let bytes = ReadOnce::new(section(image.shared_metadata(), data.range.offset, protected)?);
    let bytes: Arc<dyn ReadAt> = Arc::new(bytes);
    let probe = looked.map_or(Ok(None), |looked| looked.any());
    let look = Look { tail, depth, meter: image.meter() };
    judge(set, data, tree, look, &bytes, probe, io)
}

/// The same of `bytes`, in which `probe` was found. `io` makes an error of one that `bytes` gave.
pub(crate) fn judge(
    set: &VeritySet,
    data: Extent,
    tree: &HashTree,
    look: Look<'_>,
    bytes: &Arc<dyn ReadAt>,
    probe: Result<Option<&fs::Probe>, &Arc<fs::Error>>,
    io: impl FnOnce(u64, io::Error) -> Error,
) -> Result<Bound, Error> {
    let (role, partition) = (set.role, data.number);
    let ambiguous = |error| Error::AmbiguousFileSystem { designator: role.data(), partition, error };
    if let Ok(Some(probe)) = probe
        && let Some(error) = probe.ambiguity()
    {
        // who mounts it with a kind of his own choice sees another one
        return Err(ambiguous(Arc::new(error)));
    }
    match probe {
        Ok(Some(probe)) => rules::check(bytes, probe, tree.params().data_block_size(), look)
            .map_err(|refusal| refusal.of(role, partition, probe.kind, io)),
        Ok(None) => Err(Error::UnrecognisedContent { role, partition }),
        Err(error) => Err(match &**error {
            fs::Error::Io { offset, source } => io(*offset, rules::copy(source, error)),
            _ => ambiguous(Arc::clone(error)),
        }),
    }
}

impl Proof {
    /// A partition that is not protected.
    fn without_tree(role: Role, data: Extent) -> Self {
        let mut proof = Self::empty(role, Error::Unprotected { role, partition: data.number });
        proof.selected = true;
        proof.data = Some(data);
        proof
    }

    /// A root hash of the caller that is for nothing in the image.
    fn missing(trusted: &TrustedRootHash, dissection: &DissectionRecord) -> Self {
        let role = trusted.role();
        let problem = match &dissection.outcome {
            Err(error @ Error::NoHashForRootHash { role: missing, .. }) if *missing == role => error.clone(),
            _ => Error::NoDataForRootHash { role, root_hash: (*trusted).into() },
        };
        let mut proof = Self::empty(role, problem);
        proof.root_hash = Some((*trusted).into());
        proof.trusted = Some(*trusted);
        proof.named_by_caller = true;
        proof
    }

    fn empty(role: Role, problem: Error) -> Self {
        Proof {
            role,
            architecture: None,
            data: None,
            hash: None,
            selected: false,
            root_hash: None,
            trusted: None,
            named_by_caller: false,
            signatures: Vec::new(),
            verdict: None,
            content: None,
            exceptions: Vec::new(),
            outcome: Outcome::Failed,
            problem: Some(problem),
        }
    }
}

#[cfg(test)]
mod tests;
