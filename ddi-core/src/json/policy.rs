//! Image policies, and what they say to an image.

use ddi_gpt::Designator;
use serde_json::{Value, json};

use super::unproven::unproven;
use crate::error::Error;
use crate::policy::evaluation::{Access, PolicyEvaluation, PolicyResult};
use crate::policy::{Decision, Flags, ImagePolicy, Presence, ProofLevel};
use crate::prove::Assessment;
use crate::report::finding::Authority;

impl ImagePolicy {
    /// What it means for each designator: `ddi.policy/1`.
    pub fn to_json(&self) -> Value {
        let rule = |designator| {
            json!({
                "designator": Designator::name(designator),
                "written": self.rule(designator).map(names),
                "effective": names(self.effective(designator)),
            })
        };
        json!({
            "schema": "ddi.policy/1",
            "long": self.to_long_string(),
            "simplified": self.to_string(),
            "default": names(self.default_rule()),
            "designators": Designator::ALL.map(rule),
        })
    }
}

impl PolicyEvaluation {
    /// Whether `policy` is met by what `assessment` proved, both those that this was made of: `ddi.policy-check/1`. Its
    /// `exitStatus` is that of `ddi policy check`.
    pub fn to_json(&self, policy: &ImagePolicy, assessment: &Assessment) -> Value {
        let access = self.verdict(assessment);
        let exit_status = match access {
            Access::Allowed => 0,
            Access::Refused => 1,
            Access::Unknown => 2,
        };
        json!({
            "schema": "ddi.policy-check/1",
            "policy": policy.to_string(),
            "verdict": access.name(),
            "designators": results(&self.rulings),
            "systemdReading": systemd(self),
            "unproven": unproven(&assessment.unproven),
            "exitStatus": exit_status,
        })
    }
}

/// The same inside of another document.
pub(super) fn evaluation(policy: &ImagePolicy, evaluation: &PolicyEvaluation, access: Access) -> Value {
    json!({
        "policy": policy.to_string(),
        "verdict": access.name(),
        "designators": results(&evaluation.rulings),
        "systemdReading": systemd(evaluation),
    })
}

/// What a policy says to each designator.
pub(super) fn results(results: &[PolicyResult]) -> Value {
    let result = |result: &PolicyResult| {
        json!({
            "designator": result.designator.name(),
            "partition": result.partition,
            "presence": match result.facts.presence {
                Presence::Absent => "absent",
                Presence::Ignored => "ignored",
                Presence::Present => "present",
            },
            "proof": match result.facts.proof {
                ProofLevel::None => "none",
                ProofLevel::Intact => "intact",
                ProofLevel::RootHash => "root-hash",
                ProofLevel::Signature => "signature",
            },
            "allowed": names(result.allowed),
            "decision": match result.result {
                Ok(Decision::Use) => "use",
                Ok(Decision::Ignore) => "ignore",
                Err(_) => "refuse",
            },
            "violation": result.result.err().map(|violation| super::reason(violation.why.code(), violation)),
        })
    };
    results.iter().map(result).collect()
}

/// What systemd would say, which goes by what is there.
pub(super) fn systemd(evaluation: &PolicyEvaluation) -> Value {
    let error = |error: &Error| json!({ "code": error.code(), "errno": error.systemd_errno(), "message": error.to_string() });
    json!({
        "models": "systemd-dissect --validate 261",
        "accepts": match &evaluation.systemd {
            Err(error) if error.authority() != Authority::Systemd => None,
            result => Some(result.is_ok()),
        },
        "error": evaluation.systemd.as_ref().err().map(error),
    })
}

fn names(flags: Flags) -> Vec<String> {
    match flags.is_empty() {
        true => Vec::new(),
        false => flags.to_string().split('+').map(str::to_owned).collect(),
    }
}
