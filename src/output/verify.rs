//! What `ddi verify` prints.

use std::fmt::Write;
use std::path::Path;

use ddi_core::{Assessment, Part, Proof};
use serde_json::{Value, json};

use super::verity::{verdict_json, verdict_text};
use super::{escape, escape_sentence, print, print_json};
use crate::Outcome;

/// What was proven, the verdict first.
pub(crate) fn verify(
    path: &Path,
    assessment: &Assessment,
    refused_table: Option<&ddi_core::gpt::Error>,
    outcome: Outcome,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        return print_json(&to_json(assessment, refused_table, outcome));
    }
    let name = escape(&path.display().to_string());
    let mut text =
        format!("{} {name}: {}\n", headline(assessment, outcome).0, headline(assessment, outcome).1);
    if let Some(error) = refused_table {
        let _ = writeln!(text, "  partition table, strictly: {}", escape_sentence(error));
    }
    for proof in &assessment.proofs {
        text.push_str(&proof_text(proof));
    }
    if let Some(error) = &assessment.refused {
        let _ = writeln!(text, "  as a whole: {}", escape_sentence(error));
    }
    print(&text)
}

/// The first words of the output, none of which begins or is part of another, and what they mean.
fn headline(assessment: &Assessment, outcome: Outcome) -> (&'static str, &'static str) {
    match (outcome, assessment.outcome) {
        (Outcome::Good, ddi_core::Outcome::TrustedAndProven) => {
            ("VERIFIED", "every block matches a root hash that you trust")
        }
        (Outcome::Good | Outcome::Unvouched, _) => {
            ("INTACT ONLY", "every block matches, but nobody vouches for the root hash")
        }
        (Outcome::Unknown, _) => ("COULD NOT TELL", "nothing is proven"),
        (Outcome::Bad, _) => ("NOT PROVEN", "do not trust this image"),
    }
}

fn proof_text(proof: &Proof) -> String {
    let mut text = format!("  {}", proof.role);
    if let Some(architecture) = proof.architecture {
        let _ = write!(text, " {architecture}");
    }
    if let Some(number) = proof.data.and_then(|data| data.number) {
        let _ = write!(text, " (partition {number})");
    }
    text.push_str(match proof.outcome {
        ddi_core::Outcome::TrustedAndProven => ": verified",
        ddi_core::Outcome::IntactUnvouched => ": intact only",
        ddi_core::Outcome::CouldNotTell => ": could not tell",
        ddi_core::Outcome::NotProven => ": not proven",
    });
    if let Some(verdict) = &proof.verdict {
        let _ = write!(text, ", {} of {} blocks match", verdict.proven_data, verdict.data_blocks);
    }
    text.push('\n');
    if let Some(known) = &proof.root_hash {
        let _ = writeln!(text, "    root hash {} ({})", known.hash, known.origin);
    }
    if let Some(problem) = &proof.problem {
        let _ = writeln!(text, "    {}", escape_sentence(problem));
    }
    for widened in &proof.widened {
        let _ = writeln!(text, "    {widened}");
    }
    for line in proof.verdict.iter().map(verdict_text).collect::<String>().lines() {
        let _ = writeln!(text, "    {line}");
    }
    text
}

fn to_json(assessment: &Assessment, refused_table: Option<&ddi_core::gpt::Error>, outcome: Outcome) -> Value {
    let part = |part: Part| {
        json!({
            "partition": part.number,
            "offset": part.range.offset,
            "size": part.range.size,
            "external": part.external,
        })
    };
    let proof = |proof: &Proof| {
        json!({
            "role": proof.role.name(),
            "architecture": proof.architecture.map(|architecture| architecture.name()),
            "data": proof.data.map(part),
            "hash": proof.hash.map(part),
            "selected": proof.selected,
            "rootHash": proof.root_hash.map(|known| known.hash.to_string()),
            "rootHashOrigin": proof.root_hash.map(|known| known.origin.name()),
            "trusted": proof.trusted.is_some(),
            "outcome": proof.outcome.name(),
            "verdict": proof.verdict.as_ref().map(verdict_json),
            "widened": proof.widened.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "problem": proof.problem.as_ref().map(error_json),
        })
    };
    json!({
        "schema": "ddi.verify/1",
        "outcome": match refused_table {
            Some(_) => ddi_core::Outcome::NotProven.name(),
            None => assessment.outcome.name(),
        },
        "exitStatus": outcome as u8,
        "proofs": assessment.proofs.iter().map(proof).collect::<Vec<_>>(),
        "refused": assessment.refused.as_ref().map(error_json),
        "strict": refused_table.map(|error| json!({ "code": error.code(), "message": error.to_string() })),
    })
}

fn error_json(error: &ddi_core::Error) -> Value {
    json!({ "code": error.code(), "message": error.to_string() })
}
