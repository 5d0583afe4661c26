//! What the files of an image say, and what checks found, as JSON: the rest of the documents that `ddi` prints.

use ddi_core::json::{Inspection, insert_name, name_text};
use ddi_core::steps::VeritySet;
use ddi_core::{Assurance, MountError, Mounted, Report, Voucher};
use ddi_gpt::Designator;
use serde_json::{Map, Value, json};

use crate::metadata::{
    self, EnvFile, ExtensionRelease, Fact, Found, MachineId, Metadata, NameRule, Passed, UseAs,
};
use crate::{CheckFinding, CheckReport, Subject, SystemFacts};

/// A key of `systemd-dissect --json`, and how to tell.
type Use = (&'static str, fn(&UseAs) -> bool);

/// The keys of `systemd-dissect --json` for what an image can be used as.
const USES: [Use; 10] = [
    ("useBootableUefi", |use_as| use_as.bootable_uefi),
    ("useBootableContainer", |use_as| use_as.bootable_container),
    ("usePortableService", |use_as| use_as.portable_service),
    ("useInitrd", |use_as| use_as.initrd),
    ("useSystemExtension", |use_as| use_as.sysext),
    ("usePortableSystemExtension", |use_as| use_as.sysext_portable),
    ("useInitRDSystemExtension", |use_as| use_as.sysext_initrd),
    ("useConfigurationExtension", |use_as| use_as.confext),
    ("usePortableConfigurationExtension", |use_as| use_as.confext_portable),
    ("useInitRDConfigurationExtension", |use_as| use_as.confext_initrd),
];

impl SystemFacts {
    /// The document `ddi.inspect/1` with what the files of the image say, or why they cannot be read: as `systemd-dissect`
    /// says it, and under `inside` how far it can be relied upon.
    pub fn add_to(inside: &Result<SystemFacts, MountError>, inspection: &Inspection<'_>) -> Value {
        let mut document = inspection.to_map();
        let nothing = UseAs::default();
        let use_as = inside.as_ref().map_or(&nothing, |inside| &inside.use_as);
        for (key, holds) in USES {
            document.insert(key.to_owned(), holds(use_as).into());
        }
        let ours = match inside {
            Ok(inside) => {
                add_facts(&mut document, &inside.metadata);
                trusted_facts(inspection.report(), inside)
            }
            Err(error) => json!({
                "assurance": Assurance::Claimed.name(),
                "fileSystems": [],
                "unreadable": { "code": error.code(), "message": error.to_string() },
                "facts": {},
            }),
        };
        document.insert("inside".into(), ours);
        document.into()
    }
}

impl CheckReport {
    /// What the check of `image`, as it was named, found: `ddi.check/1`. Its `exitStatus` is that of `ddi check`.
    pub fn to_json(&self, image: &str) -> Value {
        let facts: Map<_, _> =
            self.facts.iter().map(|(name, values)| ((*name).to_owned(), json!(values))).collect();
        let passed = self.passed();
        json!({
            "schema": "ddi.check/1",
            "check": self.check,
            "image": image,
            "verdict": if passed { "passed" } else { "failed" },
            "exitStatus": u8::from(!passed),
            "assurance": self.assurance.name(),
            "facts": facts,
            "findings": self.findings.iter().map(CheckFinding::to_json).collect::<Vec<_>>(),
        })
    }
}

impl CheckFinding {
    /// As JSON: a part of `ddi.check/1`.
    pub fn to_json(&self) -> Value {
        let mut finding = Map::new();
        let mut insert = |key: &str, value: Value| finding.insert(key.to_owned(), value);
        insert("severity", self.severity.name().into());
        insert("code", self.code.into());
        insert("reason", self.reason.as_str().into());
        insert("rule", self.rule.into());
        if let Some(image) = &self.image {
            insert("image", image.as_str().into());
        }
        match &self.subject {
            Subject::Whole => {}
            Subject::Partition { number, designator } => {
                insert("partition", (*number).into());
                insert("designator", designator.map(Designator::name).into());
            }
            Subject::Path(path) => insert_name(&mut finding, "path", path),
            Subject::Field { path, key } => {
                insert("field", key.as_str().into());
                insert_name(&mut finding, "path", path);
            }
            Subject::File(name) => {
                insert("file", name.as_str().into());
            }
        }
        finding.into()
    }
}

/// What `systemd-dissect` has too; a fact that is not there has no key.
fn add_facts(document: &mut Map<String, Value>, metadata: &Metadata) {
    let mut insert = |key: &str, value: Value| document.insert(key.to_owned(), value);
    if let Some(name) = value(&metadata.hostname) {
        insert("hostname", name.as_str().into());
    }
    if let Some(id) = value(&metadata.machine_id).filter(|id| id.id().is_some()) {
        insert("machineId", id.to_string().into());
    }
    for (key, fields) in [
        ("machineInfo", value(&metadata.machine_info)),
        ("osRelease", value(&metadata.os_release)),
        ("initrdRelease", value(&metadata.initrd_release)),
        ("sysextRelease", extension(&metadata.sysext_release)),
        ("confextRelease", extension(&metadata.confext_release)),
    ] {
        if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
            insert(key, fields.iter().map(|(key, value)| format!("{key}={value}")).collect());
        }
    }
}

/// Where each fact is from, and who vouches for that.
fn trusted_facts(report: &Report, inside: &SystemFacts) -> Value {
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
    let state = metadata.machine_id_state();
    json!({
        "assurance": inside.assurance.name(),
        "fileSystems": inside.mounted.iter().map(file_system).collect::<Vec<_>>(),
        "unreadable": null,
        "facts": places(metadata, inside.assurance.name()),
        "machineIdState": state.map(machine_id_state),
        "firstBoot": state.map(MachineId::is_first_boot),
        "hasInit": metadata.has_init,
    })
}

/// For each fact of which something is there: its file, how good that is, why it cannot be read.
fn places(metadata: &Metadata, assurance: &str) -> Map<String, Value> {
    let mut facts = Map::new();
    let mut add =
        |key: &str, path: Option<&[u8]>, error: Option<&metadata::Error>, more: Map<String, Value>| {
            if path.is_none() && error.is_none() && more.is_empty() {
                return;
            }
            let mut fact = more;
            fact.insert("path".into(), path.map(name_text).into());
            fact.insert("assurance".into(), path.map(|_| assurance).into());
            let error = error.map(|error| json!({ "code": error.code(), "message": error.to_string() }));
            fact.insert("error".into(), error.into());
            facts.insert(key.to_owned(), fact.into());
        };
    let (path, error) = path_of(&metadata.hostname);
    add("hostname", path, error, Map::new());
    let (path, error) = path_of(&metadata.machine_id);
    add("machineId", path, error, Map::new());
    for (key, fact) in [
        ("machineInfo", &metadata.machine_info),
        ("osRelease", &metadata.os_release),
        ("initrdRelease", &metadata.initrd_release),
    ] {
        let (path, error) = path_of(fact);
        add(key, path, error, Map::new());
    }
    for (key, release) in
        [("sysextRelease", &metadata.sysext_release), ("confextRelease", &metadata.confext_release)]
    {
        let found = release.as_ref().ok().and_then(|release| release.found.as_ref());
        let mut more = Map::new();
        // also without a file: what was passed over says why there is none
        if let Ok(release) = release
            && (release.found.is_some() || !release.passed_over.is_empty())
        {
            let passed_over = release.passed_over.iter();
            let passed_over = passed_over
                .map(|other| json!({ "name": name_text(&other.name), "why": passed(other.why) }))
                .collect();
            more.insert("nameRule".into(), found.map(|(_, rule)| name_rule(*rule)).into());
            more.insert("passedOver".into(), passed_over);
        }
        add(key, found.map(|(found, _)| &*found.path), release.as_ref().err(), more);
    }
    facts
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

fn extension(release: &Result<ExtensionRelease, metadata::Error>) -> Option<&EnvFile> {
    release.as_ref().ok()?.fields()
}

fn path_of<T>(fact: &Fact<T>) -> (Option<&[u8]>, Option<&metadata::Error>) {
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

#[cfg(test)]
mod tests {
    use ddi_core::Severity;

    use super::*;

    #[test]
    fn findings_name_their_place() {
        let mut report = CheckReport::new("golden", Assurance::Intact);
        report.fact("units", ["a.service", "b.service"]);
        report.find(Severity::Error, "bad", Subject::Path(b"/a\xff\n".to_vec()), "it is", "os-release(5)");
        let odd = CheckFinding::new(Severity::Note, "odd", Subject::Whole, "what", "x(1)");
        report.findings.push(odd.in_image("one\u{7}"));
        let field = Subject::Field { path: b"/etc/os-release".to_vec(), key: "ID".into() };
        report.find(Severity::Warning, "field", field, "why", "y(1)");
        let value = report.to_json("i");
        assert_eq!((&value["verdict"], &value["exitStatus"]), (&"failed".into(), &1.into()));
        assert_eq!(value["facts"]["units"][1], "b.service");
        assert_eq!(value["findings"][0]["path"], "/a\\xff\n");
        assert_eq!(value["findings"][0]["pathHex"], "2f61ff0a");
        assert_eq!(value["findings"][1]["image"], "one\u{7}");
        assert_eq!(value["findings"][2]["field"], "ID");
        report.findings.clear();
        let value = report.to_json("i");
        assert_eq!((&value["verdict"], &value["exitStatus"]), (&"passed".into(), &0.into()));
    }
}
