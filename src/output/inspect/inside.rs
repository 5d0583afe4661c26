//! What the files of an image say about it, as `systemd-dissect` prints it; and whether that is proven.

use std::fmt::Write;

use ddi_core::steps::VeritySet;
use ddi_core::{Assurance, MountError, Mounted, Report, Voucher};
use ddi_os::SystemFacts;
use ddi_os::metadata::{EnvFile, ExtensionRelease, Fact, UseAs};

use super::super::term::{Mark, Style, Term};
use super::super::{escape, escape_sentence};

/// A use, in the words of `systemd-dissect`, and what it takes.
struct Use {
    words: &'static str,
    /// Shorter, for the first screen.
    short: &'static str,
    holds: fn(&UseAs) -> bool,
    /// What is not there if it is not for that.
    lacks: &'static str,
}

const fn usage(
    words: &'static str,
    short: &'static str,
    holds: fn(&UseAs) -> bool,
    lacks: &'static str,
) -> Use {
    Use { words, short, holds, lacks }
}

/// The questions of `systemd-dissect`, in the order of its text.
const USES: [Use; 10] = [
    usage(
        "bootable system for UEFI",
        "system for UEFI",
        |use_as| use_as.bootable_uefi,
        "no ESP, or no init system",
    ),
    usage(
        "bootable system for container",
        "system for containers",
        |use_as| use_as.bootable_container,
        "no init system",
    ),
    usage(
        "portable service",
        "portable service",
        |use_as| use_as.portable_service,
        "no PORTABLE_PREFIXES= or PORTABLE_SCOPE= in os-release",
    ),
    usage("initrd", "initrd", |use_as| use_as.initrd, "no initrd-release"),
    usage("sysext for system", "sysext", |use_as| use_as.sysext, SYSEXT),
    usage(
        "sysext for portable service",
        "sysext for portable services",
        |use_as| use_as.sysext_portable,
        SYSEXT,
    ),
    usage("sysext for initrd", "sysext for initrds", |use_as| use_as.sysext_initrd, SYSEXT),
    usage("confext for system", "confext", |use_as| use_as.confext, CONFEXT),
    usage(
        "confext for portable service",
        "confext for portable services",
        |use_as| use_as.confext_portable,
        CONFEXT,
    ),
    usage("confext for initrd", "confext for initrds", |use_as| use_as.confext_initrd, CONFEXT),
];

const SYSEXT: &str = "no extension-release in /usr, or for other scopes";
const CONFEXT: &str = "no extension-release in /etc, or for other scopes";

/// What an image is for.
pub(super) fn uses(use_as: &UseAs) -> Vec<&'static str> {
    USES.iter().filter(|usage| (usage.holds)(use_as)).map(|usage| usage.short).collect()
}

type Inner = Result<SystemFacts, MountError>;

/// The lines that follow the summary, in its columns.
pub(super) fn text(report: &Report, inside: &Inner, term: &Term) -> String {
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
    // where there is none, one is made at boot, and there is nothing to show
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
    // of what nobody could look into it cannot be said either that it lacks something
    if inside.mounted.is_empty() {
        return text;
    }
    lines("Inside", &mut inside.mounted.iter().map(|mounted| proof(report, mounted)));
    text.push('\n');
    let mut name = "Use As:";
    for Use { words, holds, lacks, .. } in &USES {
        let (mark, style, why) = match holds(&inside.use_as) {
            true => (Mark::Yes, Style::Good, String::new()),
            false => (Mark::No, Style::Faint, format!(": {lacks}")),
        };
        let sign = term.paint(style, term.mark(mark));
        let _ = writeln!(text, "{name:>11} {sign} {words}{why}");
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
