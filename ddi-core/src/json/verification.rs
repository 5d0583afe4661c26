//! What was proven.

use ddi_signature::Certificates;
use ddi_verity::{RootHash, Verdict};
use serde_json::{Value, json};

use super::policy::{evaluation, systemd};
use super::signature::certificates;
use super::unproven::unproven;
use super::{error_reason, extent, reason};
use crate::policy::ImagePolicy;
use crate::policy::evaluation::PolicyEvaluation;
use crate::prove::damage::Damage;
use crate::prove::{Assessment, Outcome, Proof};
use crate::report::finding::Finding;
use crate::trust::signature::CheckedSignature;

/// What was proven, and what is known besides: `ddi.verify/1`.
#[derive(Debug, Clone, Copy)]
pub struct Verification<'a> {
    assessment: &'a Assessment,
    damage: &'a [Option<Damage>],
    tree_root_hashes: &'a [Option<RootHash>],
    beside: &'a [Finding],
    certificates: Option<(&'a Certificates, bool)>,
    refused_table: Option<&'a ddi_gpt::Error>,
    policy: Option<(&'a ImagePolicy, &'a PolicyEvaluation)>,
    systemd_reading: Option<&'a PolicyEvaluation>,
    exit_status: Option<u8>,
}

impl<'a> Verification<'a> {
    /// What `assessment` says; what is not added is `null` or empty in the document.
    pub fn new(assessment: &'a Assessment) -> Self {
        Verification {
            assessment,
            damage: &[],
            tree_root_hashes: &[],
            beside: &[],
            certificates: None,
            refused_table: None,
            policy: None,
            systemd_reading: None,
            exit_status: None,
        }
    }

    /// Which files lie in the blocks that do not match; one for each proof.
    #[must_use]
    pub fn damage(mut self, damage: &'a [Option<Damage>]) -> Self {
        self.damage = damage;
        self
    }

    /// The root hash of the tree, where it is not the one that was guessed; one for each proof.
    #[must_use]
    pub fn tree_root_hashes(mut self, found: &'a [Option<RootHash>]) -> Self {
        self.tree_root_hashes = found;
        self
    }

    /// What is wrong with the files beside the image.
    #[must_use]
    pub fn beside(mut self, findings: &'a [Finding]) -> Self {
        self.beside = findings;
        self
    }

    /// Whose signatures counted. `named`: these were named by the caller, and not found in systemd's folders.
    #[must_use]
    pub fn certificates(mut self, certificates: &'a Certificates, named: bool) -> Self {
        self.certificates = Some((certificates, named));
        self
    }

    /// Why a strict reader refuses the partition table: then the outcome is that nothing is proven.
    #[must_use]
    pub fn refused_table(mut self, error: Option<&'a ddi_gpt::Error>) -> Self {
        self.refused_table = error;
        self
    }

    /// What a policy that was given says.
    #[must_use]
    pub fn policy(mut self, policy: &'a ImagePolicy, evaluation: &'a PolicyEvaluation) -> Self {
        self.policy = Some((policy, evaluation));
        self
    }

    /// Whether systemd would accept the image, with or without a policy.
    #[must_use]
    pub fn systemd_reading(mut self, evaluation: &'a PolicyEvaluation) -> Self {
        self.systemd_reading = Some(evaluation);
        self
    }

    /// What the caller ends with; without it, what `ddi verify` does by the outcome alone.
    #[must_use]
    pub fn exit_status(mut self, status: u8) -> Self {
        self.exit_status = Some(status);
        self
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        let Verification { assessment, refused_table, .. } = self;
        let outcome = match refused_table {
            Some(_) => Outcome::Failed,
            None => assessment.outcome,
        };
        let by_outcome = match outcome {
            Outcome::Verified => 0,
            Outcome::Failed => 1,
            Outcome::Unknown => 2,
            Outcome::Intact => 3,
        };
        let proofs = assessment.proofs.iter().enumerate().map(|(at, proof)| {
            let damage = self.damage.get(at).and_then(Option::as_ref);
            self::proof(proof, damage, self.tree_root_hashes.get(at).copied().flatten())
        });
        let beside = |finding: &Finding| reason(finding.code(), finding);
        let policy = self.policy.map(|(policy, found)| evaluation(policy, found, found.verdict(assessment)));
        json!({
            "schema": "ddi.verify/1",
            "outcome": outcome.name(),
            "exitStatus": self.exit_status.unwrap_or(by_outcome),
            "proofs": proofs.collect::<Vec<_>>(),
            "beside": self.beside.iter().map(beside).collect::<Vec<_>>(),
            "unproven": unproven(&assessment.unproven),
            "certificates": self.certificates.map(|(found, named)| certificates(found, named)),
            "imagePolicy": policy,
            "systemdReading": self.systemd_reading.map(systemd),
            "refused": assessment.refused.as_ref().map(error_reason),
            "strict": refused_table.map(|error| reason(error.code(), error)),
        })
    }
}

impl Assessment {
    /// What was proven: `ddi.verify/1`. [`Verification`] adds what is known besides.
    pub fn to_json(&self) -> Value {
        Verification::new(self).to_json()
    }
}

fn proof(proof: &Proof, damage: Option<&Damage>, tree_root_hash: Option<RootHash>) -> Value {
    json!({
        "role": proof.role.name(),
        "architecture": proof.architecture.map(|architecture| architecture.name()),
        "data": proof.data.map(extent),
        "hash": proof.hash.map(extent),
        "selected": proof.selected,
        "rootHash": proof.root_hash.map(|known| known.hash.to_string()),
        "rootHashOrigin": proof.root_hash.map(|known| known.origin.name()),
        "treeRootHash": tree_root_hash.map(|found| found.to_string()),
        "trusted": proof.trusted.is_some(),
        "trustedBy": trusted_by(proof),
        "signatures": proof.signatures.iter().map(CheckedSignature::to_json).collect::<Vec<_>>(),
        "outcome": proof.outcome.name(),
        "verdict": proof.verdict.as_ref().map(Verdict::to_json),
        "damage": damage.map(Damage::to_json),
        "widened": proof.exceptions.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "problem": proof.problem.as_ref().map(error_reason),
    })
}

/// Who vouches for a root hash: nobody, one, or both.
fn trusted_by(proof: &Proof) -> Vec<&'static str> {
    let signed = proof.signatures.iter().any(|signature| signature.state.verified().is_some());
    [("signature", signed), ("caller", proof.named_by_caller)]
        .into_iter()
        .filter_map(|(word, holds)| holds.then_some(word))
        .collect()
}
