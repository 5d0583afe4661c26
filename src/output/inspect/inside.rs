//! What the files of an image say about it, as `systemd-dissect` prints it; and whether that is proven.

use std::fmt::Write;

use ddi_core::steps::VeritySet;
use ddi_core::{Assurance, MountError, Mounted, Report, Voucher};
use ddi_os::SystemFacts;
use ddi_os::metadata::{EnvFile, ExtensionRelease, Fact, UseAs};

use super::super::{escape, escape_sentence};

/// A question of `systemd-dissect` in its words, and how to tell.
type Question = (&'static str, fn(&UseAs) -> bool);

/// The questions of `systemd-dissect`, in the order of its text.
const QUESTIONS: [Question; 10] = [
    ("bootable system for UEFI", |use_as| use_as.bootable_uefi),
    ("bootable system for container", |use_as| use_as.bootable_container),
    ("portable service", |use_as| use_as.portable_service),
    ("initrd", |use_as| use_as.initrd),
    ("sysext for system", |use_as| use_as.sysext),
    ("sysext for portable service", |use_as| use_as.sysext_portable),
    ("sysext for initrd", |use_as| use_as.sysext_initrd),
    ("confext for system", |use_as| use_as.confext),
    ("confext for portable service", |use_as| use_as.confext_portable),
    ("confext for initrd", |use_as| use_as.confext_initrd),
];

type Inner = Result<SystemFacts, MountError>;

/// The lines that follow the summary, in its columns.
pub(super) fn text(report: &Report, inside: &Inner) -> String {
    let mut text = String::new();
    let mut lines = |name: &str, values: &mut dyn Iterator<Item = String>| {
        let mut name = name;
        for value in values {
            let colon = if name.is_empty() { ' ' } else { ':' };
            let _ = writeln!(text, "{name:>10}{colon} {value}");
            name = "";
        }
    };
    let inside = match inside {
        Ok(inside) => inside,
        Err(error) => {
            lines("Inside", &mut [format!("not read: {}", escape_sentence(error))].into_iter());
            return text;
        }
    };
    let metadata = &inside.metadata;
    lines("Hostname", &mut value(&metadata.hostname).map(|name| escape(name)).into_iter());
    let id = value(&metadata.machine_id).filter(|id| id.id().is_some());
    lines("Machine ID", &mut id.map(ToString::to_string).into_iter());
    for (name, fields) in [
        ("Mach. Info", value(&metadata.machine_info)),
        ("OS Release", value(&metadata.os_release)),
        ("initrd R.", value(&metadata.initrd_release)),
        ("sysext R.", extension(&metadata.sysext_release)),
        ("confext R.", extension(&metadata.confext_release)),
    ] {
        lines(name, &mut fields.into_iter().flat_map(pairs).map(|pair| escape(&pair)));
    }
    if inside.mounted.is_empty() {
        return text;
    }
    lines("Inside", &mut inside.mounted.iter().map(|mounted| proof(report, mounted)));
    text.push('\n');
    let mut name = "Use As:";
    for (words, holds) in &QUESTIONS {
        let sign = if holds(&inside.use_as) { '✓' } else { '✗' };
        let _ = writeln!(text, "{name:>11} {sign} {words}");
        name = "";
    }
    text
}

/// How far what is read from this file system can be relied upon, and why.
fn proof(report: &Report, mounted: &Mounted) -> String {
    let what = match mounted.designator {
        Some(designator) => designator.name(),
        None => "the partition",
    };
    match (mounted.assurance, &mounted.trusted) {
        (Assurance::Authenticated, Some(trusted)) => {
            let by = match trusted.voucher() {
                Voucher::Caller => "as you gave it".into(),
                Voucher::Certificate(fingerprint) => {
                    format!("signed with the key of certificate {fingerprint}")
                }
                _ => String::new(),
            };
            format!("from proven blocks of {what}, under the root hash {}, {by}", trusted.hash())
        }
        (Assurance::Claimed, _) => format!("from {what}: the image's claim, not proven"),
        _ => match set_of(report, mounted).and_then(|set| set.root_hash) {
            Some(known) => {
                format!(
                    "from blocks of {what} that match the root hash {} ({}), which nobody vouches for",
                    known.hash, known.origin
                )
            }
            None => format!("from blocks of {what} that match a root hash that nobody vouches for"),
        },
    }
}

fn set_of<'a>(report: &'a Report, mounted: &Mounted) -> Option<&'a VeritySet> {
    let is_its = |set: &&VeritySet| {
        set.data.is_some_and(|data| data.number == mounted.number) && set.root_hash.is_some()
    };
    report.verity.iter().find(is_its)
}

fn value<T>(fact: &Fact<T>) -> Option<&T> {
    fact.as_ref().ok()?.as_ref().map(|found| &found.value)
}

fn extension(release: &Result<ExtensionRelease, ddi_os::metadata::Error>) -> Option<&EnvFile> {
    release.as_ref().ok()?.fields()
}

fn pairs(fields: &EnvFile) -> impl Iterator<Item = String> {
    fields.iter().map(|(key, value)| format!("{key}={value}"))
}
