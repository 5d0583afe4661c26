//! Update: which versions a directory of files offers, whether they are whole, and where they would go.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use ddi_gpt::compare_versions;

use super::{CheckReport, Subject};
use crate::sysupdate::{
    self as sysupdate, Directory, Fields, FileProblem, MAX_MANIFEST, Manifest, Plan, SlotContent, Transfer,
    hex, verify_manifest,
};
use ddi_core::Assurance;
use ddi_core::Image;
use ddi_core::Severity::{self, Error, Note, Warning};
use ddi_core::steps::Table;

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
        present: directory.paths(|below| leads_into(options.transfers, below))?,
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
    /// Names in the directory, and paths in those below that a pattern leads into, sorted.
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
            // in a directory that no pattern leads into
            || (name.contains('/') && !matches!(self.directory.size(name), Err(FileProblem::Missing)))
    }

    /// Reads the manifest and checks its signature. `None`: it is of no use, and that was said; `Some(None)`: there is none.
    fn manifest(&mut self) -> Result<Option<Option<Manifest>>, sysupdate::Error> {
        let name = self.options.manifest;
        if !self.is_present(name) {
            let mut text = "there is no manifest, so the sums are compared with nothing".to_owned();
            let from_url = self.options.transfers.iter().find(|transfer| transfer.is_from_url());
            if let Some(transfer) = from_url {
                text = format!(
                    "there is no manifest, and {} has Type={}, for which systemd has no other list of files",
                    transfer.name, transfer.source_kind
                );
            }
            let is_needed = self.options.keyring.is_some() || from_url.is_some();
            self.find(if is_needed { Error } else { Note }, "no-manifest", name, text, SUMS);
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
        if let Some(date) = manifest.best_before.filter(|date| date.has_begun(self.options.now)) {
            self.find(Error, "best-before-passed", name, format!("it was best before {date}"), SUMS);
        }
        for odd in &manifest.odd_best_before {
            let reason = format!("{odd} names no date, so systemd passes over it with a warning");
            self.find(Warning, "manifest-best-before", name, reason, SUMS);
        }
        if let Some(below) = manifest.files.iter().find(|listed| listed.name.contains('/')) {
            let reason = format!(
                "it lists files in directories, such as {}: systemd 257 refuses all of it",
                below.name
            );
            self.find(Warning, "manifest-subdirectory", name, reason, SUMS);
        }
        Ok(Some(Some(manifest)))
    }

    fn signature(&mut self, manifest: &str, bytes: &[u8]) -> Result<(), sysupdate::Error> {
        let names = SIGNATURES.map(|suffix| format!("{manifest}{suffix}"));
        let found = names.iter().find(|name| self.is_present(name));
        match (found, self.options.keyring) {
            (None, None) => {
                let wants = |transfer: &&Transfer| transfer.is_from_url() && transfer.verify;
                let (severity, reason) = match self.options.transfers.iter().find(wants) {
                    Some(transfer) => {
                        let name = &transfer.name;
                        (Warning, format!("there is no signature of it, and {name} has no Verify=no"))
                    }
                    None => (Note, "there is no signature of it".to_owned()),
                };
                self.find(severity, "manifest-not-signed", manifest, reason, SUMS);
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
            if let Some(pattern) = transfer.source.iter().find(|pattern| pattern.has_marker_before_slash()) {
                let reason = format!("systemd 257 aborts when it compares {pattern} with a name");
                self.find(Warning, "pattern-subdirectory", &transfer.name, reason, PATTERNS);
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
                    SlotContent::Other => {
                        format!("left alone, as its label matches {}", no_label_of(transfer))
                    }
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

/// Returns true if there can be files of a version in this subdirectory.
fn leads_into(transfers: &[Transfer], directory: &str) -> bool {
    transfers.iter().flat_map(|transfer| &transfer.source).any(|pattern| pattern.leads_into(directory))
}

/// What a label does not match that systemd leaves alone.
fn no_label_of(transfer: &Transfer) -> String {
    let patterns = transfer.target.iter().flat_map(|target| &target.patterns);
    patterns.fold("neither _empty".to_owned(), |text, pattern| format!("{text} nor {pattern}"))
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
        let mut reason = format!("{name}: {} slots that can be used, at least 2 are needed", plan.usable());
        let others = plan.slots.len().saturating_sub(plan.usable());
        if others > 0 {
            let _ = write!(
                reason,
                ": {others} of this type are left alone, as their labels match {}",
                no_label_of(transfer)
            );
        }
        report.find(Error, "too-few-slots", subject(), reason, SLOTS);
    }
    // then nothing is written, and room does not matter
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
                // with `@s` only a slot of that size would have been chosen
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysupdate::{Pattern, Target};
    use ddi_testing::Disk;

    /// A directory with these files.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ddi-check-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn write(&self, name: &str, content: &[u8]) {
            std::fs::write(self.0.join(name), content).unwrap();
        }

        fn check(&self, transfers: &[Transfer]) -> CheckReport {
            update(&Directory::open(&self.0).unwrap(), &UpdateOptions::new(transfers)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn errors(report: &CheckReport) -> Vec<&'static str> {
        let errors = report.findings.iter().filter(|finding| finding.severity == Error);
        errors.map(|finding| finding.code).collect()
    }

    /// SHA-256 of "abc".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    /// The digits, with that bit of the sum changed.
    fn with_bit(bit: usize) -> String {
        let mut digits = ABC.as_bytes().to_vec();
        let digit = char::from(digits[bit / 4]).to_digit(16).unwrap() ^ (1 << (bit % 4));
        digits[bit / 4] = char::from_digit(digit, 16).unwrap() as u8;
        String::from_utf8(digits).unwrap()
    }

    #[test]
    fn d7_each_bit_of_a_sum_counts() {
        let folder = Folder::new("sums");
        let plain = [Transfer::new("os_@v.raw".parse().unwrap())];
        let with_sum = [Transfer::new("os_@v_@h.raw".parse().unwrap())];
        folder.write("os_1.raw", b"abc");
        let list = |sum: &str, name: &str| folder.write("SHA256SUMS", format!("{sum}  {name}\n").as_bytes());
        list(ABC, "os_1.raw");
        assert_eq!(errors(&folder.check(&plain)), [""; 0]);
        for bit in 0..256 {
            list(&with_bit(bit), "os_1.raw");
            assert_eq!(errors(&folder.check(&plain)), ["sum-differs"], "bit {bit}");
            // the one in the name, with a manifest of which no file is here
            list(ABC, &format!("os_1_{}.raw", with_bit(bit)));
            assert_eq!(errors(&folder.check(&with_sum)), ["name-sum-differs"], "bit {bit}");
        }
        list(ABC, &format!("os_1_{ABC}.raw"));
        assert_eq!(errors(&folder.check(&with_sum)), [""; 0]);
    }

    /// Two lines for one file must have the same sum, all of it.
    #[test]
    fn d7_each_bit_of_a_sum_that_comes_twice() {
        for bit in 0..256 {
            let text = format!("{ABC}  a\n{}  a\n", with_bit(bit));
            assert_eq!(
                Manifest::parse(text.as_bytes()).unwrap_err().code(),
                "manifest-contradiction",
                "bit {bit}"
            );
        }
        assert!(Manifest::parse(format!("{ABC}  a\n{ABC}  a\n").as_bytes()).is_ok());
    }

    /// A slot is one only if all bits of its type are those that are meant.
    #[test]
    fn d7_each_bit_of_a_type_of_partitions() {
        let disk =
            Disk::new().part("root-x86-64", "os_1", &[1; 4096]).part("root-x86-64", "_empty", &[1; 4096]);
        let image = Image::new(Box::new(disk.bytes())).unwrap();
        let Table::Gpt(gpt) = image.table() else { panic!("no table") };
        let pattern: Pattern = "os_@v".parse().unwrap();
        let root = Target::partition_type("root-x86-64").unwrap();
        for bit in 0..128 {
            let mut transfer = Transfer::new(pattern.clone());
            let other = ddi_gpt::Guid::from_u128(root.to_u128() ^ (1 << bit));
            transfer.target = Some(Target::partition(other, pattern.clone()));
            assert_eq!(Plan::new(gpt, &transfer, "2", None).unwrap().slots, [], "bit {bit}");
        }
    }

    /// Nobody offers what is out of date, from the moment that systemd refuses it.
    #[test]
    fn f11_best_before_to_the_second() {
        let folder = Folder::new("best-before");
        folder.write("os_1.raw", b"abc");
        folder.write("SHA256SUMS", format!("{ABC}  os_1.raw\n{ABC}  BEST-BEFORE-2026-12-31\n").as_bytes());
        let transfers = [Transfer::new("os_@v.raw".parse().unwrap())];
        let directory = Directory::open(&folder.0).unwrap();
        // date -u -d 2026-12-31 +%s
        for (seconds, expected) in [(1_798_675_199, &[][..]), (1_798_675_200, &["best-before-passed"])] {
            let mut options = UpdateOptions::new(&transfers);
            options.now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            assert_eq!(errors(&update(&directory, &options).unwrap()), expected, "{seconds}");
        }
    }
}
