//! What the files of an image say about it, as `systemd-dissect` prints it; and whether that is proven.

use std::fmt::Write;

use ddi_core::{Assurance, MountError, Mounted, Report, VeritySet, Voucher};
use ddi_os::SystemFacts;
use ddi_os::metadata::{
    EnvFile, ExtensionRelease, Fact, Found, MachineId, Metadata, NameRule, Passed, UseAs,
};
use serde_json::{Map, Value, json};

use super::super::{escape, escape_sentence, name_text};

/// The answers of `systemd-dissect`: its words, its keys in JSON, and how to tell. In the order of its text.
type Question = (&'static str, &'static str, fn(&UseAs) -> bool);

const QUESTIONS: [Question; 10] = [
    ("bootable system for UEFI", "useBootableUefi", |use_as| use_as.bootable_uefi),
    ("bootable system for container", "useBootableContainer", |use_as| use_as.bootable_container),
    ("portable service", "usePortableService", |use_as| use_as.portable_service),
    ("initrd", "useInitrd", |use_as| use_as.initrd),
    ("sysext for system", "useSystemExtension", |use_as| use_as.sysext),
    ("sysext for portable service", "usePortableSystemExtension", |use_as| use_as.sysext_portable),
    ("sysext for initrd", "useInitRDSystemExtension", |use_as| use_as.sysext_initrd),
    ("confext for system", "useConfigurationExtension", |use_as| use_as.confext),
    ("confext for portable service", "usePortableConfigurationExtension", |use_as| use_as.confext_portable),
    ("confext for initrd", "useInitRDConfigurationExtension", |use_as| use_as.confext_initrd),
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
    for (words, _, holds) in &QUESTIONS {
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

/// Adds the keys of `systemd-dissect --json`, and our own in `inside`.
pub(super) fn add_to(value: &mut Value, report: &Report, inside: &Inner) {
    let nothing = UseAs::default();
    let use_as = inside.as_ref().map_or(&nothing, |inside| &inside.use_as);
    for (_, key, holds) in &QUESTIONS {
        value[*key] = holds(use_as).into();
    }
    match inside {
        Ok(inside) => {
            add_facts(value, &inside.metadata);
            value["inside"] = ours(report, inside);
        }
        Err(error) => {
            value["inside"] = json!({
                "assurance": Assurance::Claimed.name(),
                "fileSystems": [],
                "unreadable": { "code": error.code(), "message": error.to_string() },
                "facts": {},
            });
        }
    }
}

fn add_facts(json: &mut Value, metadata: &Metadata) {
    if let Some(name) = value(&metadata.hostname) {
        json["hostname"] = name.as_str().into();
    }
    if let Some(id) = value(&metadata.machine_id).filter(|id| id.id().is_some()) {
        json["machineId"] = id.to_string().into();
    }
    for (key, fields) in [
        ("machineInfo", value(&metadata.machine_info)),
        ("osRelease", value(&metadata.os_release)),
        ("initrdRelease", value(&metadata.initrd_release)),
        ("sysextRelease", extension(&metadata.sysext_release)),
        ("confextRelease", extension(&metadata.confext_release)),
    ] {
        if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
            json[key] = pairs(fields).collect();
        }
    }
}

fn ours(report: &Report, inside: &SystemFacts) -> Value {
    let file_system = |mounted: &Mounted| {
        let known = set_of(report, mounted).and_then(|set| set.root_hash);
        let is_proven = mounted.assurance != Assurance::Claimed;
        let root_hash = match &mounted.trusted {
            Some(trusted) => Some(trusted.hash().to_string()),
            None => known.filter(|_| is_proven).map(|known| known.hash.to_string()),
        };
        json!({
            "designator": mounted.designator.map(|designator| designator.name()),
            "partition": mounted.number,
            "type": mounted.kind.name(),
            "assurance": mounted.assurance.name(),
            "rootHash": root_hash,
            "vouchedBy": mounted.trusted.as_ref().map(|trusted| match trusted.voucher() {
                Voucher::Caller => "caller",
                _ => "signature",
            }),
            "caveat": mounted.fs.caveat(),
        })
    };
    let metadata = &inside.metadata;
    let assurance = inside.assurance.name();
    let mut facts = Map::new();
    let mut add = |key: &str, path: Option<&[u8]>, error: Option<&ddi_os::metadata::Error>| {
        if path.is_some() || error.is_some() {
            let fact = json!({
                "path": path.map(name_text),
                "assurance": path.map(|_| assurance),
                "error": error.map(|error| json!({ "code": error.code(), "message": error.to_string() })),
            });
            facts.insert(key.to_owned(), fact);
        }
    };
    let (path, error) = path_of(&metadata.hostname);
    add("hostname", path, error);
    let (path, error) = path_of(&metadata.machine_id);
    add("machineId", path, error);
    for (key, fact) in [
        ("machineInfo", &metadata.machine_info),
        ("osRelease", &metadata.os_release),
        ("initrdRelease", &metadata.initrd_release),
    ] {
        let (path, error) = path_of(fact);
        add(key, path, error);
    }
    let releases =
        [("sysextRelease", &metadata.sysext_release), ("confextRelease", &metadata.confext_release)];
    for (key, release) in releases {
        let path = release.as_ref().ok().and_then(|release| release.found.as_ref());
        add(key, path.map(|(found, _)| &*found.path), release.as_ref().err());
    }
    for (key, release) in releases {
        let Ok(release) = release else { continue };
        if release.found.is_none() && release.passed_over.is_empty() {
            continue;
        }
        let fact =
            facts.entry(key).or_insert_with(|| json!({ "path": null, "assurance": null, "error": null }));
        fact["nameRule"] = release.found.as_ref().map(|(_, rule)| name_rule(*rule)).into();
        fact["passedOver"] = (release.passed_over.iter())
            .map(|other| json!({ "name": name_text(&other.name), "why": passed(other.why) }))
            .collect();
    }
    json!({
        "assurance": assurance,
        "fileSystems": inside.mounted.iter().map(file_system).collect::<Vec<_>>(),
        "unreadable": null,
        "facts": facts,
        "machineIdState": metadata.machine_id_state().map(machine_id_state),
        "firstBoot": metadata.machine_id_state().map(MachineId::is_first_boot),
        "hasInit": metadata.has_init,
    })
}

fn path_of<T>(fact: &Fact<T>) -> (Option<&[u8]>, Option<&ddi_os::metadata::Error>) {
    match fact {
        Ok(found) => (found.as_ref().map(|Found { path, .. }| &**path), None),
        Err(error) => (None, Some(error)),
    }
}

fn machine_id_state(id: MachineId) -> &'static str {
    match id {
        MachineId::Missing => "missing",
        MachineId::Uninitialized => "uninitialized",
        MachineId::Empty => "empty",
        MachineId::Id(_) => "set",
        MachineId::Invalid => "invalid",
    }
}

fn name_rule(rule: NameRule) -> &'static str {
    match rule {
        NameRule::Exact => "exact",
        NameRule::BaseName => "base-name",
        NameRule::NotStrict => "not-strict",
    }
}

fn passed(why: Passed) -> &'static str {
    match why {
        Passed::OtherName => "other-name",
        Passed::Strict => "strict",
        Passed::NotRegular => "not-regular",
        Passed::InvalidName => "invalid-name",
    }
}
