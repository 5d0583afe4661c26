//! From a command line to the partitions: whether it names the image's own, and those that were asked for.

use std::fmt::Write as _;

use ddi_gpt::{Designator, Guid, verity_guids};
use ddi_verity::RootHash;

use super::{Checker, DPS_VERITY, GENERATOR, MAX_NAMED, MAX_WORDS, key};
use crate::uki::CommandLine;
use crate::{Subject, shortened};
use ddi_core::Assurance;
use ddi_core::Image;
use ddi_core::Severity::{Error, Note, Warning};
use ddi_core::steps::Table;
use ddi_core::steps::VeritySet;
use ddi_core::steps::{SignaturePlace, SignatureState};
use ddi_core::{Role, TrustedRootHash};

/// What a command line says about the partitions.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Its words, as far as they are told.
    pub(super) shown: String,
    /// The root hashes on it, or why they are none.
    named: Vec<(Role, Result<RootHash, String>)>,
    /// The initrd looks for the partitions itself, and takes one that is signed if its image policy asks for that.
    by_signature: bool,
}

impl Line {
    pub(super) fn new(line: &CommandLine) -> Self {
        let mut shown = String::new();
        for word in line.words() {
            if shown.len() > MAX_WORDS {
                break;
            }
            let separator = if shown.is_empty() { "" } else { " " };
            let _ = write!(shown, "{separator}{word}");
        }
        let named = Role::ALL.into_iter().filter_map(|role| {
            let text = line.value(key(role)).filter(|text| !text.is_empty())?;
            Some((role, text.parse::<RootHash>().map_err(|error| error.to_string())))
        });
        let is_dissect = |key| line.value(key).is_some_and(|value| value.starts_with("dissect"));
        Line {
            shown: shortened(&shown, MAX_WORDS).into_owned(),
            named: named.collect(),
            by_signature: ["root", "mount.usr"].into_iter().any(is_dissect),
        }
    }

    /// Returns true if there is a root hash on it, good or bad.
    pub(super) fn names_any(&self) -> bool {
        !self.named.is_empty()
    }
}

/// What the signatures of a set say about a root hash.
#[expect(clippy::struct_excessive_bools, reason = "four answers about several signatures")]
#[derive(Debug, Default)]
struct Signatures {
    /// One is for it.
    named: bool,
    /// A trusted key signed it.
    verified: bool,
    /// One is for another root hash.
    other: bool,
    /// One is no good.
    bad: bool,
}

impl Signatures {
    fn of(set: &VeritySet, hash: &RootHash) -> Self {
        let mut found = Signatures::default();
        for signature in &set.signatures {
            // each was compared with the root hash that the set is to be proven under, which need not be this one
            let own = match &signature.state {
                SignatureState::Verified(verified) => Some(*verified.root_hash()),
                SignatureState::OtherRootHash { found } => Some(*found),
                SignatureState::Unchecked | SignatureState::NotTrusted { .. } => {
                    set.root_hash.map(|known| known.hash)
                }
                _ => None,
            };
            let is_its = own == Some(*hash);
            found.named |= is_its;
            found.bad |= matches!(signature.state, SignatureState::Failed(_));
            found.other |= own.is_some() && !is_its;
            found.verified |= signature.state.verified().is_some_and(|verified| {
                TrustedRootHash::by_signature(verified, set.role).vouches_for(hash, set.role)
            });
        }
        found
    }
}

/// Returns true if the GUIDs of its partitions are the halves of the root hash, by which the initrd finds them.
fn has_halves(image: &Image, set: &VeritySet, hash: &RootHash) -> bool {
    let Table::Gpt(gpt) = image.table() else { return false };
    let guid = |number: Option<u32>| -> Option<Guid> {
        let number = number?;
        let partition = gpt.partitions().iter().find(|partition| partition.number == number)?;
        Some(partition.guid)
    };
    let found = (guid(set.data.and_then(|data| data.number)), guid(set.hash.number));
    verity_guids(hash.as_bytes()).is_ok_and(|(data, hash)| found == (Some(data), Some(hash)))
}

impl Checker<'_> {
    /// Checks that a command line names the image's own partitions.
    pub(super) fn root_hashes(&mut self, subject: &Subject, shown: &str, place: &str, line: &Line) {
        let mut given = Vec::new();
        for (role, named) in &line.named {
            match named {
                Ok(hash) => given.push((*role, *hash)),
                Err(error) => {
                    let reason = format!("{place}{}=: {error}", key(*role));
                    self.find(Error, "root-hash-invalid", subject, reason, GENERATOR);
                    return;
                }
            }
        }
        if given.len() > 1 {
            let reason = format!("{place}both roothash= and usrhash=, which image dissection refuses");
            self.find(Warning, "both-root-and-usr-hash", subject, reason, "systemd-dissect(1)");
        }
        if given.is_empty() && !self.sets.is_empty() {
            let (severity, code) = match line.by_signature {
                true => (Note, "root-hash-by-signature"),
                false => (Error, "root-hash-missing"),
            };
            let reason = format!("{place}no root hash on the command line pins the protected partitions");
            self.find(severity, code, subject, reason, GENERATOR);
        }
        for (role, hash) in given {
            self.root_hash(subject, shown, place, role, hash);
        }
    }

    fn root_hash(&mut self, subject: &Subject, shown: &str, place: &str, role: Role, hash: RootHash) {
        let (sets, image, key) = (self.sets, self.image, key(role));
        self.named.insert((role, hash));
        let wanted = self.options.trusted.iter().find(|trusted| trusted.role() == role);
        if let Some(wanted) = wanted.filter(|wanted| *wanted.hash() != hash) {
            let reason =
                format!("{place}{key}={hash}, and the root hash that was given is {}", wanted.hash());
            self.find(Error, "root-hash-not-given", subject, reason, "ddi: trust options");
        }
        let of_role = || sets.iter().filter(|set| set.role == role);
        let is_its = |set: &&VeritySet| set.tree_root == Some(hash);
        // of several slots with this root hash, the one that the initrd finds by it
        let with_halves = of_role().filter(is_its).find(|set| has_halves(image, set, &hash));
        let Some(set) = with_halves.or_else(|| of_role().find(is_its)) else {
            let known: Vec<_> = of_role()
                .filter_map(|set| set.tree_root)
                .take(MAX_NAMED)
                .map(|root| root.to_string())
                .collect();
            let (code, has) = match known.is_empty() {
                true => ("root-hash-without-tree", format!("the image has no hash tree for {role}")),
                false => {
                    ("root-hash-differs", format!("the hash tree of the image has {}", known.join(", ")))
                }
            };
            return self.find(Error, code, subject, format!("{place}{key}={hash}, and {has}"), GENERATOR);
        };
        if with_halves.is_none() {
            let reason = format!(
                "{place}{key}= is that of the hash tree, but the GUIDs of the partitions are not its halves"
            );
            return self.find(Error, "root-hash-guids", subject, reason, GENERATOR);
        }
        let signatures = Signatures::of(set, &hash);
        if signatures.other {
            let reason = format!("{place}{key}={hash}, and the signature partition is for another root hash");
            self.find(Warning, "signature-other-root-hash", subject, reason, DPS_VERITY);
        }
        // a root hash that was given vouches for itself, and that it is another one is told above
        if wanted.is_none() && !signatures.verified && self.options.required == Assurance::Authenticated {
            let reason = format!("{place}{key}={hash}, which nobody vouches for that is trusted");
            self.find(Error, "not-authenticated", subject, reason, "ddi: trust options");
        }
        let number = |part: Option<u32>| part.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let given =
            if wanted.is_some_and(|wanted| *wanted.hash() == hash) { "as it was given, " } else { "" };
        let signed = match (signatures.verified, signatures.named) {
            (true, _) => "signed by a trusted key",
            (false, true) => "named by a signature too",
            (false, false) if signatures.bad => "no good signature",
            (false, false) => "no signature",
        };
        // never more than consistent: who changes the partitions can change the command line
        self.tell(
            "chain",
            &format!(
                "{shown}: {key}={hash}: partitions {} and {}, {given}{signed}: consistent, not authenticated",
                number(set.data.and_then(|data| data.number)),
                number(set.hash.number),
            ),
        );
    }

    /// What is about the sets, whoever names them.
    pub(super) fn sum_up_sets(&mut self) {
        for set in self.sets {
            for signature in &set.signatures {
                let SignatureState::Failed(error) = &signature.state else { continue };
                let number = match signature.place {
                    SignaturePlace::Partition(number) => Some(number),
                    SignaturePlace::Sidecar => None,
                };
                let subject = Subject::Partition { number, designator: Some(set.role.signature()) };
                let reason = format!("the signature {}: {error}", signature.place);
                self.find(Warning, "signature-invalid", &subject, reason, DPS_VERITY);
            }
        }
        if self.entries.is_empty() {
            return;
        }
        for trusted in self.options.trusted {
            if !self.named.contains(&(trusted.role(), *trusted.hash())) {
                let reason = format!(
                    "no command line has {}={}, the root hash that was given",
                    key(trusted.role()),
                    trusted.hash()
                );
                self.find(Error, "given-hash-not-named", &Subject::Whole, reason, "ddi: trust options");
            }
        }
        for set in self.sets {
            if set.tree_root.is_some_and(|root| !self.named.contains(&(set.role, root))) {
                let number = set.data.and_then(|data| data.number);
                let designator: Option<Designator> = Some(set.role.data());
                let subject = Subject::Partition { number, designator };
                self.find(Note, "set-not-named", &subject, "no command line names its root hash", GENERATOR);
            }
        }
    }
}
