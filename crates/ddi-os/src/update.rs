//! Update: which versions a directory of files offers, whether they are whole, and where they would go.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use ddi_gpt::compare_versions;

use super::{CheckReport, Subject};
use crate::sysupdate::{
    self as sysupdate, Directory, Fields, FileProblem, MAX_MANIFEST, Manifest, Plan, SlotContent, Transfer,
    hex, verify_manifest,
};
use ddi_core::Assurance;
use ddi_core::Severity::{self, Error, Note, Warning};
use ddi_core::{Image, Table};

const SUMS: &str = "SHA256SUMS, systemd-sysupdate(8)";
const PATTERNS: &str = "sysupdate.d(5), Match patterns";
const SLOTS: &str = "sysupdate.d(5), Type=partition";
const TRANSFER: &str = "sysupdate.d(5), [Transfer]";

/// The names of a detached signature: what systemd takes from the network, and what it took from a directory.
const SIGNATURES: [&str; 3] = [".gpg", ".sha256.asc", ".asc"];
/// Largest signature file.
const MAX_SIGNATURE: u64 = 64 << 10;
/// Suffixes of files that are unpacked on the way, so that their size is not that of what is written.
const PACKED: [&str; 4] = [".xz", ".gz", ".bz2", ".zst"];

/// What to check an update set for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct UpdateOptions<'a> {
    /// Name of the manifest in the directory.
    pub manifest: &'a str,
    /// What a version is made of: a file for each.
    pub transfers: &'a [Transfer],
    /// Who may have signed the manifest.
    pub keyring: Option<&'a Path>,
    /// Where it would be installed.
    pub image: Option<&'a Image>,
    /// The time, for manifests with a date.
    pub now: SystemTime,
}

impl<'a> UpdateOptions<'a> {
    /// `SHA256SUMS`, and these transfers.
    pub fn new(transfers: &'a [Transfer]) -> Self {
        UpdateOptions {
            manifest: "SHA256SUMS",
            transfers,
            keyring: None,
            image: None,
            now: SystemTime::now(),
        }
    }
}

/// Checks the update set in a directory.
///
/// Files are read through once, all that the manifest lists, and those that match a pattern if there is no manifest. If there
/// is a manifest and none of its files, only the manifest is checked.
///
/// # Errors
/// [`sysupdate::Error`] if it could not be told: also if a keyring is given, and there is no `gpgv`.
pub fn update(directory: &Directory, options: &UpdateOptions<'_>) -> Result<CheckReport, sysupdate::Error> {
    let mut checker = Checker {
        directory,
        options,
        report: CheckReport::new("update", Assurance::Claimed),
        present: directory.names()?,
        files: Vec::new(),
        shown: Vec::new(),
    };
    let Some(manifest) = checker.manifest()? else { return Ok(checker.report) };
    checker.look_at_files(manifest.as_ref());
    checker.transfers();
    let versions = checker.versions();
    checker.slots(&versions);
    if !checker.report.passed() || options.image.is_some() {
        // what is not as the signed manifest says is nobody's word, and neither is a partition table
        checker.report.assurance = Assurance::Claimed;
    }
    Ok(checker.report)
}

/// A file that is offered.
struct Offered {
    name: String,
    sha256: Option<[u8; 32]>,
    /// Bytes, if it is there.
    size: Option<u64>,
}

/// A version, and for each transfer the place of its file in the list of files.
struct Version {
    name: String,
    files: Vec<Option<usize>>,
}

impl Version {
    fn is_complete(&self) -> bool {
        self.files.iter().all(Option::is_some)
    }
}

struct Checker<'a> {
    directory: &'a Directory,
    options: &'a UpdateOptions<'a>,
    report: CheckReport,
    /// Names in the directory, sorted.
    present: Vec<String>,
    files: Vec<Offered>,
    shown: Vec<String>,
}

impl Checker<'_> {
    fn find(
        &mut self,
        severity: Severity,
        code: &'static str,
        name: &str,
        reason: impl Into<String>,
        rule: &'static str,
    ) {
        self.report.find(severity, code, Subject::File(name.to_owned()), reason, rule);
    }

    fn is_present(&self, name: &str) -> bool {
        self.present.binary_search_by(|known| (**known).cmp(name)).is_ok()
    }

    /// Reads the manifest and checks its signature. `None`: it is of no use, and that was said; `Some(None)`: there is none.
    fn manifest(&mut self) -> Result<Option<Option<Manifest>>, sysupdate::Error> {
        let name = self.options.manifest;
        if !self.is_present(name) {
            let text = "there is no manifest, so the sums are compared with nothing";
            let severity = if self.options.keyring.is_some() { Error } else { Note };
            self.find(severity, "no-manifest", name, text, SUMS);
            return Ok(Some(None));
        }
        let bytes = self.directory.read(name, MAX_MANIFEST).map_err(sysupdate::Error::File)?;
        self.signature(name, &bytes)?;
        let manifest = match Manifest::parse(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.find(Error, error.code(), name, error.to_string(), SUMS);
                return Ok(None);
            }
        };
        if let Some(date) = manifest.best_before.filter(|date| date.is_over(self.options.now)) {
            self.find(Error, "best-before-passed", name, format!("it was best before {date}"), SUMS);
        }
        Ok(Some(Some(manifest)))
    }

    fn signature(&mut self, manifest: &str, bytes: &[u8]) -> Result<(), sysupdate::Error> {
        let names = SIGNATURES.map(|suffix| format!("{manifest}{suffix}"));
        let found = names.iter().find(|name| self.is_present(name));
        match (found, self.options.keyring) {
            (None, None) => {
                self.find(Note, "manifest-not-signed", manifest, "there is no signature of it", SUMS);
            }
            (None, Some(_)) => {
                let reason = format!("there is no signature of it: no {}", names.join(", no "));
                self.find(Error, "manifest-signature-missing", manifest, reason, SUMS);
            }
            (Some(name), None) => {
                let reason = "it is there, and was not checked: no keyring was given";
                self.find(Note, "manifest-signature-unchecked", &name.clone(), reason, SUMS);
            }
            (Some(name), Some(keyring)) => {
                let name = name.clone();
                let signature = self.directory.read(&name, MAX_SIGNATURE).map_err(sysupdate::Error::File)?;
                match verify_manifest(bytes, &signature, keyring) {
                    Ok(fingerprints) => {
                        self.report.assurance = Assurance::Authenticated;
                        self.report.fact("signed-by", fingerprints);
                    }
                    Err(problem) if problem.is_answer() => {
                        self.find(Error, problem.code(), &name, problem.to_string(), SUMS);
                    }
                    Err(problem) => return Err(sysupdate::Error::NoVerifier(problem)),
                }
            }
        }
        Ok(())
    }

    /// Which files there are, and whether they are what the manifest says.
    fn look_at_files(&mut self, manifest: Option<&Manifest>) {
        match manifest {
            Some(manifest) => self.look_at_listed(manifest),
            None => {
                for name in self.present.clone() {
                    if self.matches(&name) {
                        self.look_at(&name, None);
                    }
                }
            }
        }
        let shown = std::mem::take(&mut self.shown);
        self.report.fact("files", shown);
    }

    fn look_at_listed(&mut self, manifest: &Manifest) {
        let manifest_only =
            !manifest.files.is_empty() && !manifest.files.iter().any(|listed| self.is_present(&listed.name));
        if manifest_only {
            let reason = "none of its files is here: their sums are not compared";
            self.find(Note, "no-files", self.options.manifest, reason, SUMS);
        }
        let mut seen = std::collections::HashSet::new();
        for listed in &manifest.files {
            if !seen.insert(&*listed.name) {
                continue;
            }
            if manifest_only {
                self.shown.push(format!("{}: {} not here", listed.name, hex(&listed.sha256)));
                self.files.push(Offered {
                    name: listed.name.clone(),
                    sha256: Some(listed.sha256),
                    size: None,
                });
            } else {
                self.look_at(&listed.name, Some(listed.sha256));
            }
        }
        for name in self.present.clone() {
            if !seen.contains(&*name) && self.matches(&name) {
                let reason = "it is here, and the manifest does not list it: it is not offered";
                self.find(Warning, "file-not-listed", &name, reason, SUMS);
            }
        }
    }

    fn look_at(&mut self, name: &str, expected: Option<[u8; 32]>) {
        let shown;
        let mut offered = Offered { name: name.to_owned(), sha256: expected, size: None };
        match self.directory.sha256(name) {
            Ok((sum, size)) => {
                let (sum_text, is_same) = (hex(&sum), expected.is_none_or(|expected| expected == sum));
                let word = match expected {
                    None => "",
                    Some(_) if is_same => ", as listed",
                    Some(_) => ", not as listed",
                };
                shown = format!("{name}: {sum_text}, {size} bytes{word}");
                if let Some(expected) = expected.filter(|_| !is_same) {
                    let reason = format!("its SHA-256 is {sum_text}, {} is listed", hex(&expected));
                    self.find(Error, "sum-differs", name, reason, SUMS);
                }
                (offered.sha256, offered.size) = (Some(sum), Some(size));
            }
            Err(problem) => {
                shown = format!("{name}: {problem}");
                let reason = match problem {
                    FileProblem::Missing => "it is listed, and not here".to_owned(),
                    _ => problem.to_string(),
                };
                self.find(Error, problem.code(), name, reason, SUMS);
            }
        }
        self.shown.push(shown);
        self.files.push(offered);
    }

    fn matches(&self, name: &str) -> bool {
        self.options.transfers.iter().any(|transfer| fields(transfer, name).is_some())
    }

    /// What can be said of the definitions alone.
    fn transfers(&mut self) {
        for transfer in self.options.transfers {
            for key in &transfer.unexpanded {
                let reason = format!("{key}= has a specifier, which is taken as it is");
                self.find(Note, "specifier-not-expanded", &transfer.name, reason, TRANSFER);
            }
        }
        self.report.fact("transfers", self.options.transfers.iter().map(|transfer| transfer.name.clone()));
    }

    /// The versions that are offered, newest first.
    fn versions(&mut self) -> Vec<Version> {
        let mut versions: Vec<Version> = Vec::new();
        let count = self.options.transfers.len();
        // by name first: comparing each with each takes too long
        let mut by_name: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
        for (index, transfer) in self.options.transfers.iter().enumerate() {
            for place in 0..self.files.len() {
                let Some(file) = self.files.get(place) else { continue };
                let Some(found) = fields(transfer, &file.name) else { continue };
                let name = file.name.clone();
                self.compare_fields(place, &found);
                let too_old = |min: &String| compare_versions(&found.version, min) == Ordering::Less;
                if transfer.min_version.as_ref().is_some_and(too_old) {
                    let reason =
                        format!("version {} is older than MinVersion= of {}", found.version, transfer.name);
                    self.find(Note, "version-too-old", &name, reason, TRANSFER);
                    continue;
                }
                by_name.entry(found.version).or_default().push((index, place));
            }
        }
        let mut names: Vec<_> = by_name.into_iter().collect();
        names.sort_by(|(a, _), (b, _)| compare_versions(b, a));
        for (name, found) in names {
            // versions that compare alike are one version, however they are written
            let is_new =
                versions.last().is_none_or(|last| compare_versions(&last.name, &name) != Ordering::Equal);
            if is_new {
                versions.push(Version { name: name.clone(), files: vec![None; count] });
            }
            let Some(version) = versions.last_mut() else { continue };
            for (index, place) in found {
                match version.files.get_mut(index) {
                    Some(slot @ None) => *slot = Some(place),
                    Some(Some(_)) => {
                        let file = self.files.get(place).map(|file| file.name.clone()).unwrap_or_default();
                        let reason = format!("another file is version {name} of the same transfer");
                        self.report.find(Warning, "version-twice", Subject::File(file), reason, PATTERNS);
                    }
                    None => {}
                }
            }
        }
        self.judge(&versions);
        versions
    }

    /// A name may say what the file is.
    fn compare_fields(&mut self, place: usize, found: &Fields) {
        let Some(file) = self.files.get(place) else { return };
        let (name, sha256, size) = (file.name.clone(), file.sha256, file.size);
        if found.sha256.is_some() && sha256.is_some() && found.sha256 != sha256 {
            self.find(Error, "name-sum-differs", &name, "the SHA-256 in its name is not its own", PATTERNS);
        }
        let is_packed = PACKED.iter().any(|suffix| name.ends_with(suffix));
        if let (Some(expected), Some(size)) = (found.size, size.filter(|_| !is_packed))
            && expected != size
        {
            let reason = format!("it has {size} bytes, its name says {expected}");
            self.find(Error, "name-size-differs", &name, reason, PATTERNS);
        }
    }

    fn judge(&mut self, versions: &[Version]) {
        let mut shown = Vec::new();
        for version in versions {
            let missing: Vec<_> = version
                .files
                .iter()
                .zip(self.options.transfers)
                .filter(|(file, _)| file.is_none())
                .map(|(_, transfer)| transfer.name.clone())
                .collect();
            if missing.is_empty() {
                shown.push(format!("{}: complete", version.name));
                continue;
            }
            let missing = missing.join(", ");
            shown.push(format!("{}: incomplete, nothing for {missing}", version.name));
            let reason = format!("version {} has no file for {missing}: it is not offered", version.name);
            self.report.find(Warning, "version-incomplete", Subject::Whole, reason, "systemd-sysupdate(8)");
        }
        self.report.fact("versions", shown);
        if !versions.iter().any(Version::is_complete) {
            let reason = "no version has a file for every transfer";
            self.report.find(Error, "no-complete-version", Subject::Whole, reason, "systemd-sysupdate(8)");
        }
    }

    /// Where the newest version would go.
    fn slots(&mut self, versions: &[Version]) {
        let Some(image) = self.options.image else { return };
        let Table::Gpt(gpt) = image.table() else {
            let reason = "the image has no GUID partition table";
            return self.report.find(Error, "no-partition-table", Subject::Whole, reason, SLOTS);
        };
        let Some(version) = versions.iter().find(|version| version.is_complete()) else { return };
        let mut shown = Vec::new();
        let mut taken = Vec::new();
        let mut taken_by: BTreeMap<u32, &str> = BTreeMap::new();
        for (transfer, place) in self.options.transfers.iter().zip(&version.files) {
            let Some(file) = place.and_then(|place| self.files.get(place)) else { continue };
            let is_packed = PACKED.iter().any(|suffix| file.name.ends_with(suffix));
            let named = fields(transfer, &file.name).and_then(|found| found.size);
            let size = named.or_else(|| file.size.filter(|_| !is_packed));
            // a slot is chosen by what the name says, and by nothing else
            let Some(plan) = Plan::new(gpt, transfer, &version.name, named) else {
                shown.push(format!("{}: for no partition", file.name));
                continue;
            };
            for slot in &plan.slots {
                let content = match &slot.content {
                    SlotContent::Free => "free".to_owned(),
                    SlotContent::Installed(version) => format!("version {version}"),
                    SlotContent::Partial(version) => format!("version {version}, not written to its end"),
                    SlotContent::Pending(version) => format!("version {version}, not yet to be used"),
                    SlotContent::Other => "left alone".to_owned(),
                };
                shown.push(format!(
                    "{}: partition {}, {} bytes, label {:?}: {content}",
                    transfer.name, slot.number, slot.size, slot.label
                ));
            }
            if let Some(number) = plan.chosen
                && let Some(other) = taken_by.insert(number, &transfer.name)
            {
                let reason = format!(
                    "{} and {other} would both take partition {number}: systemd before 260 does not see that",
                    transfer.name
                );
                let subject = Subject::File(file.name.clone());
                self.report.find(Error, "slot-taken-twice", subject, reason, SLOTS);
            }
            taken.push(judge_plan(&mut self.report, transfer, &file.name, &version.name, size, &plan));
        }
        self.report.fact("slots", shown);
        self.report.fact("plan", taken);
    }
}

/// What the first pattern that matches finds in a name.
fn fields(transfer: &Transfer, name: &str) -> Option<Fields> {
    transfer.source.iter().find_map(|pattern| pattern.fields(name))
}

/// Says what would happen.
fn judge_plan(
    report: &mut CheckReport,
    transfer: &Transfer,
    file: &str,
    version: &str,
    size: Option<u64>,
    plan: &Plan,
) -> String {
    let subject = || Subject::File(file.to_owned());
    let name = &transfer.name;
    if plan.usable() < 2 {
        let reason = format!("{name}: {} slots that can be used, at least 2 are needed", plan.usable());
        report.find(Error, "too-few-slots", subject(), reason, SLOTS);
    }
    if plan.installed {
        return format!("{file}: version {version} is installed already");
    }
    let vacuumed: Vec<_> = plan.vacuumed.iter().map(ToString::to_string).collect();
    let freed =
        if vacuumed.is_empty() { String::new() } else { format!(", freed before: {}", vacuumed.join(", ")) };
    match plan.chosen {
        Some(number) => {
            let slot_size = plan.slots.iter().find(|slot| slot.number == number).map(|slot| slot.size);
            match (size, slot_size) {
                (None, _) => {
                    let reason = "nothing says how large it is unpacked: the slot may be too small";
                    report.find(Note, "size-unknown", subject(), reason, SLOTS);
                }
                (Some(size), Some(slot_size)) if slot_size < size => {
                    let reason = format!(
                        "{name}: without @s in its name the smallest slot is taken, which has {slot_size} bytes of {size}"
                    );
                    report.find(Error, "slot-too-small", subject(), reason, SLOTS);
                }
                _ => {}
            }
            format!("{file}: to partition {number}{freed}")
        }
        None => {
            let reason = match size {
                Some(size) => format!("{name}: no slot of {size} bytes is free, or can be freed"),
                None => format!("{name}: no slot is free, or can be freed"),
            };
            report.find(Error, "no-slot", subject(), reason, SLOTS);
            format!("{file}: nowhere{freed}")
        }
    }
}
