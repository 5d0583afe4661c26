//! What `ddi verify` prints.

mod damage;

use std::fmt::Write;
use std::path::Path;

use ddi_core::json::Verification;
use ddi_core::policy::ImagePolicy;
use ddi_core::steps::{
    CheckedSignature, DissectionRecord, Extent, ReportOptions, Selection, SignatureState, Skipped, Table,
};
use ddi_core::{Access, Assessment, Damage, Error, Finding, Image, Outcome, PolicyEvaluation, Proof, Report};
use ddi_signature::Certificates;
use ddi_verity::RootHash;
use serde_json::Value;

use super::policy::{judgement_text, systemd_text};
use super::signature::{certificates_text, signature_text, subject};
use super::term::{Mark, Style, Term, term};
use super::unproven::unproven_text;
use super::verity::verdict_text;
use super::width::fold;
use super::{escape, escape_sentence, print, print_json};
use crate::ExitStatus;

/// Everything that `ddi verify` found out.
#[derive(Debug)]
pub(crate) struct Verified<'a> {
    pub(crate) path: &'a Path,
    pub(crate) image: &'a Image,
    pub(crate) assessment: &'a Assessment,
    pub(crate) dissection: &'a DissectionRecord,
    /// What is of no use beside the image.
    pub(crate) beside: &'a [Finding],
    /// One for each proof: the root hash of the tree, where that which was guessed is another.
    pub(crate) tree_root_hashes: &'a [Option<RootHash>],
    /// One for each proof.
    pub(crate) damage: &'a [Option<Damage>],
    pub(crate) certificates: &'a Certificates,
    /// True if the certificates were named by the user.
    pub(crate) certificates_named: bool,
    /// Why a strict reader refuses the table.
    pub(crate) refused_table: Option<&'a ddi_gpt::Error>,
    /// The policy that was given.
    pub(crate) policy: Option<&'a ImagePolicy>,
    pub(crate) judgement: &'a PolicyEvaluation,
    pub(crate) permission: Access,
    /// True if systemd's reading is asked for.
    pub(crate) systemd_reading: bool,
    pub(crate) outcome: ExitStatus,
}

/// What was proven, the verdict first.
pub(crate) fn verify(verified: &Verified<'_>, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&verified.document());
    }
    let (assessment, term) = (verified.assessment, term());
    let name = escape(&verified.path.display().to_string());
    let (word, meaning) = headline(verified);
    let style = match verified.outcome {
        ExitStatus::Good => Style::Good,
        ExitStatus::Unvouched | ExitStatus::Unknown => Style::Doubtful,
        ExitStatus::Bad => Style::Bad,
    };
    let mut text = format!("{} {name}: {meaning}\n", term.paint(style, word));
    if let Some(error) = verified.refused_table {
        let _ = writeln!(text, "  partition table, strictly: {}", escape_sentence(error));
    }
    let details = verified.damage.iter().zip(verified.tree_root_hashes);
    for (proof, (damage, tree_root_hash)) in assessment.proofs.iter().zip(details) {
        text.push_str(&proof_text(proof));
        if let Some(found) = tree_root_hash {
            text.push_str(&guids_text(proof, found));
        }
        if proof.named_by_caller && proof.hash.is_none() {
            text.push_str(&difference_text(proof, &assessment.proofs, term));
        }
        if let Some(damage) = damage {
            text.push_str(&damage::map(verified.image, proof, damage, term));
            text.push_str(&damage::text(damage));
        }
    }
    text.push_str(&unproven_text(&assessment.unproven));
    let is_unknown =
        |signature: &CheckedSignature| matches!(signature.state, SignatureState::NotTrusted { .. });
    if assessment.proofs.iter().flat_map(|proof| &proof.signatures).any(is_unknown) {
        let certificates = certificates_text(verified.certificates, verified.certificates_named);
        let _ = writeln!(text, "  trusted certificates: {certificates}");
        text.push_str(&issuers_text(verified));
    }
    for finding in verified.beside {
        let _ = writeln!(text, "  {}", escape_sentence(finding));
    }
    match verified.policy {
        Some(policy) => {
            let _ = writeln!(text, "  image policy {policy}: {}", verified.permission.name());
            text.push_str(&judgement_text(verified.judgement, verified.systemd_reading));
        }
        None => {
            if let Some(error) = &assessment.refused {
                let _ = writeln!(text, "  as a whole: {}", escape_sentence(error));
                text.push_str(&broken_table(verified, term));
                if matches!(error, Error::NoDataForRootHash { .. } | Error::NoHashForRootHash { .. }) {
                    text.push_str(&other_guids_text(verified.dissection));
                }
            }
            if verified.systemd_reading {
                let _ = writeln!(text, "  {}", systemd_text(verified.judgement));
            }
        }
    }
    // lines of a log are searched
    print(&if term.is_terminal { fold(&text, term.columns) } else { text })
}

/// The disk as a picture, where its table cannot be used: partitions behind the end of a file that was cut short.
fn broken_table(verified: &Verified<'_>, term: &Term) -> String {
    if !matches!(verified.image.table(), Table::Broken(_)) {
        return String::new();
    }
    let report = Report::of(verified.image, verified.dissection, &ReportOptions::new(verified.image));
    super::inspect::disk_map(&report, 4, term).unwrap_or_default()
}

impl Verified<'_> {
    /// All of it: `ddi.verify/1`.
    pub(crate) fn document(&self) -> Value {
        document(self).to_json()
    }
}

fn document<'a>(verified: &Verified<'a>) -> Verification<'a> {
    let mut document = Verification::new(verified.assessment)
        .damage(verified.damage)
        .tree_root_hashes(verified.tree_root_hashes)
        .beside(verified.beside)
        .certificates(verified.certificates, verified.certificates_named)
        .refused_table(verified.refused_table)
        .exit_status(verified.outcome as u8);
    if let Some(policy) = verified.policy {
        document = document.policy(policy, verified.judgement);
    }
    if verified.systemd_reading {
        document = document.systemd_reading(verified.judgement);
    }
    document
}

/// The first words of the output, none of which begins or is part of another, and what they mean.
fn headline(verified: &Verified<'_>) -> (&'static str, String) {
    let assessment = verified.assessment;
    let outcomes = || assessment.proofs.iter().map(|proof| proof.outcome);
    let is_whole = |outcome| matches!(outcome, Outcome::Verified | Outcome::Intact);
    let only_policy = verified.policy.is_some()
        && verified.permission == Access::Refused
        && verified.refused_table.is_none()
        && !assessment.proofs.is_empty()
        && outcomes().all(is_whole);
    let some_whole = outcomes().any(is_whole);
    let judgement = verified.judgement;
    let is_whole_refused = judgement.systemd.is_err() && judgement.violations().next().is_none();
    match (verified.outcome, assessment.outcome) {
        (ExitStatus::Good, Outcome::Verified) => ("VERIFIED", assessment.to_string()),
        (ExitStatus::Good | ExitStatus::Unvouched, _) => ("INTACT ONLY", assessment.to_string()),
        (ExitStatus::Unknown, Outcome::Verified | Outcome::Intact) => (
            "COULD NOT TELL",
            "every block matches, but what the image policy says to it is not known".into(),
        ),
        (ExitStatus::Unknown, Outcome::Unknown) => ("COULD NOT TELL", assessment.to_string()),
        (ExitStatus::Unknown, _) if some_whole => {
            ("COULD NOT TELL", "not everything could be looked at".into())
        }
        (ExitStatus::Unknown, _) => ("COULD NOT TELL", "nothing is proven".into()),
        (ExitStatus::Bad, _) if only_policy && is_whole_refused => {
            ("REFUSED", "every block matches, but the image is refused as a whole".into())
        }
        (ExitStatus::Bad, _) if only_policy => {
            ("REFUSED", "every block matches, but the image policy does not allow it".into())
        }
        (ExitStatus::Bad, _) => ("NOT PROVEN", "do not trust this image".into()),
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
        Outcome::Verified => ": verified",
        Outcome::Intact => ": intact only",
        Outcome::Unknown => ": could not tell",
        Outcome::Failed => ": not proven",
    });
    if let Some(verdict) = &proof.verdict {
        let _ = write!(text, ", {} of {} blocks match", verdict.proven_data, verdict.data_blocks);
    }
    text.push('\n');
    if let Some(known) = &proof.root_hash {
        let _ = writeln!(text, "    root hash {} ({})", known.hash, known.origin);
    }
    for signature in &proof.signatures {
        let _ = writeln!(text, "    signature {}", signature_text(signature));
    }
    if proof.signatures.is_empty() && proof.hash.is_some() {
        text.push_str("    signature missing\n");
    }
    if let Some(problem) = &proof.problem {
        let _ = writeln!(text, "    {}", escape_sentence(problem));
    }
    for widened in &proof.exceptions {
        let _ = writeln!(text, "    {widened}");
    }
    for line in proof.verdict.iter().map(verdict_text).collect::<String>().lines() {
        let _ = writeln!(text, "    {line}");
    }
    text
}

/// Which GUIDs the partitions would have to have for the root hash that the tree has.
fn guids_text(proof: &Proof, found: &RootHash) -> String {
    let mut text = format!("    the tree has the root hash {found}");
    let number = |part: Option<Extent>| part.and_then(|part| part.number);
    let parts = (number(proof.data), number(proof.hash), ddi_gpt::verity_guids(found.as_bytes()));
    if let (Some(data), Some(hash), Ok((data_guid, hash_guid))) = parts {
        let _ = write!(
            text,
            ": for that, the GUID of partition {data} would have to be {data_guid}, that of partition {hash} {hash_guid}"
        );
    }
    text.push('\n');
    text
}

/// Partitions that are shown to people because their GUIDs do not follow from the root hash.
const SHOWN_GUIDS: usize = 8;

fn other_guids_text(dissection: &DissectionRecord) -> String {
    let other = |(number, selection): &(u32, Selection)| match selection {
        Selection::Skipped(skipped @ Skipped::OtherGuid { .. }) => {
            Some(format!("    partition {number}: {skipped}\n"))
        }
        _ => None,
    };
    dissection.selections.iter().filter_map(other).take(SHOWN_GUIDS).collect()
}

/// In what the root hash that was given is another than that of the image: often it is one digit.
fn difference_text(missing: &Proof, proofs: &[Proof], term: &Term) -> String {
    /// With more than these it is another one altogether.
    const MAX_DIGITS: usize = 4;
    /// Digits that are shown around one that differs.
    const AROUND: usize = 4;
    let Some(given) = missing.root_hash.map(|known| known.hash.to_string()) else { return String::new() };
    let is_other = |proof: &&Proof| proof.role == missing.role && proof.hash.is_some();
    let others = proofs.iter().filter(is_other).filter_map(|proof| proof.root_hash);
    let mut text = String::new();
    for known in others.filter(|known| !known.origin.is_guess() || missing.verdict.is_none()) {
        let image = known.hash.to_string();
        if image.len() != given.len() {
            let _ = writeln!(text, "    that of the image has {} digits, not {}", image.len(), given.len());
            continue;
        }
        let differ: Vec<usize> = (0..given.len()).filter(|&at| image[at..=at] != given[at..=at]).collect();
        if let [first, ..] = differ[..]
            && differ.len() <= MAX_DIGITS
        {
            let end = (first + AROUND).min(given.len());
            let window = end.saturating_sub(AROUND)..end;
            let dots = |text: &str| {
                let (before, behind) = (window.start > 0, window.end < given.len());
                let [before, behind] =
                    [before, behind].map(|more| if more { term.mark(Mark::Cut) } else { "" });
                format!("{before}{}{behind}", &text[window.clone()])
            };
            let what = match differ.len() {
                1 => format!("digit {} of {} differs", first + 1, given.len()),
                n => format!("{n} of {} digits differ, the first is digit {}", given.len(), first + 1),
            };
            let _ = writeln!(text, "    {what}: the image's is {}, you gave {}", dots(&image), dots(&given));
        }
    }
    text
}

/// Signers of whom only the issuer is trusted, which systemd does not go by, nor do we.
fn issuers_text(verified: &Verified<'_>) -> String {
    let mut text = String::new();
    for signature in verified.assessment.proofs.iter().flat_map(|proof| &proof.signatures) {
        let SignatureState::NotTrusted { signer } = &signature.state else { continue };
        let is_issuer = |trusted: &&ddi_signature::Certificate| trusted.subject() == signer.issuer();
        if let Some(issuer) = verified.certificates.trusted().iter().find(is_issuer) {
            let line = format!(
                "  the trusted certificate {} is that of the issuer: what counts is the signer's own\n",
                subject(issuer)
            );
            if !text.contains(&line) {
                text.push_str(&line);
            }
        }
    }
    text
}
