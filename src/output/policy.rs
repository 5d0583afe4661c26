//! What `ddi policy` prints, and what an image policy came to in other commands.

use std::fmt::Write;
use std::path::Path;

use ddi_core::policy::{Decision, Encryption, Facts, Flags, ImagePolicy, Presence, ProofLevel, Refusal};
use ddi_core::{Access, Assessment, Authority, PolicyEvaluation, PolicyResult};
use ddi_gpt::Designator;

use super::unproven::unproven_text;
use super::{Cell, Table, escape, escape_sentence, print, print_json};

/// A policy: long, short, and what holds for each designator, in the form of `systemd-analyze image-policy`.
pub(crate) fn policy(policy: &ImagePolicy, json: bool) -> anyhow::Result<()> {
    let (short, long) = (policy.to_string(), policy.to_long_string());
    if json {
        return print_json(&policy.to_json());
    }
    let mut text = format!("Analyzing policy: {short}\n");
    if long != short {
        let _ = writeln!(text, "       Long form: {long}");
    }
    let mut table = Table::new(&["PARTITION", "MODE", "READ-ONLY", "GROWFS"]);
    let rules = Designator::ALL.map(|designator| (designator.name(), policy.effective(designator)));
    for (name, flags) in rules.into_iter().chain([("default", policy.default_rule())]) {
        table.row([
            Cell::shown(name),
            Cell::shown(mode(flags)),
            Cell::shown(one_of(flags, Flags::READ_ONLY_ON, Flags::READ_ONLY_OFF)),
            Cell::shown(one_of(flags, Flags::GROWFS_ON, Flags::GROWFS_OFF)),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render());
    print(&text)
}

/// The uses, with systemd's short names for some of them.
fn mode(flags: Flags) -> String {
    match flags.uses() {
        Flags::OPEN => "open".into(),
        Flags::IGNORE => "ignore".into(),
        uses => uses.to_string(),
    }
}

/// Which state of an attribute is the only one allowed.
fn one_of(flags: Flags, on: Flags, off: Flags) -> &'static str {
    match (flags.contains(on), flags.contains(off)) {
        (true, false) => "yes",
        (false, true) => "no",
        _ => "-",
    }
}

/// Everything that `ddi policy check` found out.
#[derive(Debug)]
pub(crate) struct PolicyChecked<'a> {
    pub(crate) path: &'a Path,
    pub(crate) policy: &'a ImagePolicy,
    pub(crate) judgement: &'a PolicyEvaluation,
    pub(crate) assessment: &'a Assessment,
    pub(crate) permission: Access,
    /// True if systemd's reading is asked for.
    pub(crate) systemd_reading: bool,
}

/// Whether an image meets a policy.
pub(crate) fn checked(checked: &PolicyChecked<'_>, json: bool) -> anyhow::Result<()> {
    let PolicyChecked { path, policy, judgement, assessment, permission, systemd_reading } = *checked;
    if json {
        return print_json(&judgement.to_json(policy, assessment));
    }
    let (word, why) = match permission {
        Access::Allowed => ("ALLOWED", "the policy is met by what was proven"),
        Access::Refused if judgement.systemd.is_ok() && judgement.violations().next().is_none() => {
            ("REFUSED", "the policy is not met on machines of another architecture")
        }
        Access::Refused if judgement.violations().next().is_none() => {
            ("REFUSED", "the image is refused as a whole")
        }
        Access::Refused => ("REFUSED", "the policy is not met by what was proven"),
        Access::Unknown => ("COULD NOT TELL", "not everything could be looked at"),
    };
    let mut text = format!("{word} {}: {why}\n", escape(&path.display().to_string()));
    text.push_str(&judgement_text(judgement, systemd_reading));
    text.push_str(&unproven_text(&assessment.unproven));
    print(&text)
}

/// What the policy says to each partition that is there, or is not and should be.
pub(super) fn judgement_text(judgement: &PolicyEvaluation, systemd_reading: bool) -> String {
    let mut text = rulings(&judgement.rulings);
    if judgement.violations().next().is_none()
        && let Err(error) = &judgement.systemd
    {
        let _ = writeln!(text, "  as a whole: {}", escape_sentence(error));
    }
    if systemd_reading {
        let _ = writeln!(text, "  {}", systemd_text(judgement));
    }
    text
}

/// The table of rulings; nothing on what is absent and may be.
pub(super) fn rulings(rulings: &[PolicyResult]) -> String {
    let is_worth =
        |ruling: &&PolicyResult| ruling.facts.presence != Presence::Absent || ruling.result.is_err();
    let mut table = Table::new(&["  DESIGNATOR", ">NO", "IS", "POLICY ALLOWS", "DECISION"]);
    let mut rows = 0;
    for ruling in rulings.iter().filter(is_worth) {
        rows += 1;
        table.row([
            Cell::shown(format_args!("  {}", ruling.designator)),
            Cell::shown(ruling.partition.map(|number| number.to_string()).unwrap_or_default()),
            Cell::shown(state(ruling.designator, &ruling.facts)),
            Cell::shown(mode(ruling.allowed)),
            Cell::shown(match &ruling.result {
                Ok(Decision::Use) => "use".into(),
                Ok(Decision::Ignore) => "leave alone".into(),
                Err(violation) => format!("REFUSE: {}", refusal(violation.why)),
            }),
        ]);
    }
    if rows == 0 { String::new() } else { table.render() }
}

/// Why, in the words that the other columns leave room for.
fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::Present => "it must not exist",
        Refusal::Missing => "it must not be missing",
        Refusal::Protection => "how it is protected",
        Refusal::Encryption => "how it is encrypted",
        Refusal::ReadOnly => "its read-only attribute",
        Refusal::GrowFileSystem => "its grow-file-system attribute",
        other => other.code(),
    }
}

/// What is known of a partition.
fn state(designator: Designator, facts: &Facts) -> String {
    match facts.presence {
        Presence::Absent => return "absent".into(),
        Presence::Ignored => return "there".into(),
        Presence::Present => {}
    }
    let proof = match facts.proof {
        // nothing of this kind ever is
        ProofLevel::None if designator.verity().is_none() => "there",
        ProofLevel::Signature => "signed and proven",
        ProofLevel::RootHash => "proven",
        ProofLevel::Intact => "intact, not vouched for",
        ProofLevel::None => "not proven",
    };
    match facts.encryption {
        Encryption::Luks => format!("{proof}, encrypted"),
        Encryption::LuksWithIntegrity => format!("{proof}, encrypted with integrity"),
        Encryption::None | Encryption::Unknown => proof.into(),
    }
}

/// The weaker reading, named so.
pub(super) fn systemd_text(judgement: &PolicyEvaluation) -> String {
    let would = match &judgement.systemd {
        Ok(()) => "would accept it; whether it can then be activated and mounted is not asked".into(),
        Err(error) if error.authority() != Authority::Systemd => {
            format!("is not told: a rule of {} came first: {}", error.authority(), escape_sentence(error))
        }
        Err(error) => format!("would refuse it: {}", escape_sentence(error)),
    };
    format!(
        "systemd-dissect --validate, as of version 261, which goes by what is there and not by what is proven, {would}"
    )
}
