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
pub(crate) mod options;
pub(crate) mod outcome;
pub(crate) mod partition;
pub(crate) mod rules;
pub(crate) mod sources;
pub(crate) mod unfit;

use core::fmt;
use std::sync::Arc;

use ddi_gpt::{ByteRange, Designator, Escaped};
use ddi_verity::{CheckedTree, HashTree, Verdict};

use crate::dissect::{DissectedImage, DissectionRecord};
use crate::error::{Error, ErrorKind};
use crate::image::Image;
use crate::policy::{self, Facts};
use crate::prove::partition::ProvenPartition;
use crate::prove::sources::sources;
use crate::trust::{Role, Voucher};
use crate::unproven::{Unproven, unproven};
use crate::verity_set::{Extent, VeritySet, verity_sets};

pub use options::{ProveOptions, Scope};
pub use outcome::{Exception, Outcome, Proof};
pub use rules::{ContentRule, TailRule};
pub(crate) use rules::{Depth, check_content, check_size, widen};
pub use unfit::Unfit;

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
/// * the geometry is strict ([`check_geometry`](ddi_verity::check_geometry)): the data fills its partition, or what
///   follows it is zero and behind the end of its file system ([`TailRule`]);
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

#[cfg(test)]
mod tests;
