//! Portable services: whether `portablectl attach` would accept an image, and what it would attach.
//!
//! Source: systemd 261, `src/portable/portable.c` (`extract_now`, `extract_image_and_extensions`, `portable_attach`,
//! `install_chroot_dropin`), `src/portable/portablectl.c:extract_prefix`; systemd, *Portable Services Introduction*.

use std::collections::{BTreeMap, HashMap};

use super::extension::{Merge, compare, is_about_content, outside, release_of, words};
use super::{
    CheckReport, ExtensionHost, ExtensionImage, ExtensionScope, Subject, find, match_extension, names,
};
use crate::metadata::{self, EnvFile, ExtensionClass, Found, Metadata};
use ddi_core::Severity;
use ddi_core::steps::Files;
use ddi_core::{MountError, Mounted};
use ddi_fs::{FileType, Place, Vfs};

const ATTACH: &str = "portablectl(1)";
const REQUIREMENTS: &str = "systemd, Portable Services Introduction, Requirements on Images";
const OS_RELEASE: &str = "os-release(5)";
const SOURCE: &str = "systemd, src/portable/portable.c";

/// Where unit files are looked for in an image, the most important first.
const SYSTEM_UNITS: [&str; 13] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];
const USER_UNITS: [&str; 6] = [
    "/etc/systemd/user",
    "/run/systemd/user",
    "/usr/local/share/systemd/user",
    "/usr/share/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
];
/// The kinds of unit that can be attached.
const ATTACHABLE: [&str; 5] = [".service", ".socket", ".target", ".timer", ".path"];
/// Longest name of a unit.
const MAX_UNIT_NAME: usize = 255;
/// What the host's directories are mounted over.
const DIRECTORIES: [&str; 6] = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"];

/// Who would run the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortableScope {
    /// The system.
    System,
    /// A user's session (systemd 260 and later).
    User,
}

impl PortableScope {
    /// `system`, `user`.
    pub fn name(self) -> &'static str {
        match self {
            PortableScope::System => "system",
            PortableScope::User => "user",
        }
    }
}

/// A unit file that would be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    /// The image that it is from: 0 is the root, others are extensions.
    image: usize,
    /// Where it is in there.
    path: String,
}

/// The prefix that `portablectl` takes from the name of an image file; `None` if none can be.
///
/// ```
/// use ddi_os::portable_prefix;
///
/// assert_eq!(portable_prefix("foobar_0.7.23.raw").as_deref(), Some("foobar"));
/// assert_eq!(portable_prefix("foo-bar.raw").as_deref(), Some("foo-bar"));
/// assert_eq!(portable_prefix("foo:bar.raw"), None);
/// ```
pub fn portable_prefix(file_name: &str) -> Option<String> {
    let name = match file_name.split_once('_') {
        Some((name, _)) => name,
        None => [".raw.v", ".raw", ".v"]
            .into_iter()
            .find_map(|suffix| file_name.strip_suffix(suffix))
            .unwrap_or(file_name),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let valid = !matches!(name, "" | "." | "..") && name.bytes().all(allowed);
    valid.then(|| name.to_owned())
}

/// Returns true if the unit belongs to one of these prefixes. With none, every unit that can be attached does.
///
/// ```
/// use ddi_os::portable_unit_matches;
///
/// assert!(portable_unit_matches("foo-bar.service", &["foo"]));
/// assert!(portable_unit_matches("foo@.socket", &["foo"]));
/// assert!(!portable_unit_matches("foobar.service", &["foo"]));
/// assert!(!portable_unit_matches("foo.mount", &["foo"]));
/// ```
pub fn portable_unit_matches(unit: &str, prefixes: &[impl AsRef<str>]) -> bool {
    let matches = |prefix: &str| {
        let rest = unit.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', '@']))
    };
    ATTACHABLE.iter().any(|suffix| unit.ends_with(suffix))
        && (prefixes.is_empty() || prefixes.iter().any(|prefix| matches(prefix.as_ref())))
}

/// systemd's `unit_name_is_valid`, for the kinds that can be attached.
fn is_unit_name(name: &str) -> bool {
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    // a template has nothing behind its @, an instance anything
    name.len() <= MAX_UNIT_NAME && !stem.is_empty() && !stem.starts_with('@') && name.bytes().all(allowed)
}

/// Goes through what `portablectl attach` asks of an image and the extensions on top of it, the lowest first.
///
/// `image.name` is not asked: `portablectl` goes by the file name. Without `prefixes` they are taken from it.
///
/// # Errors
/// If files cannot be read.
pub fn portable(
    image: &ExtensionImage<'_>,
    extensions: &[ExtensionImage<'_>],
    prefixes: &[String],
    scope: PortableScope,
    architecture: &str,
) -> Result<CheckReport, MountError> {
    let layers: Vec<&ExtensionImage<'_>> = [image].into_iter().chain(extensions).collect();
    let assurance = layers.iter().map(|layer| layer.files.assurance()).min().unwrap_or_default();
    let mut report = CheckReport::new("portable", assurance);
    let prefixes = requested(&mut report, image, prefixes);
    report.fact("scope", [scope.name()]);
    let os_release = os_release(&mut report, &image.files.tree)?;
    let mut valid = None;
    if let Some(os) = &os_release {
        valid =
            os.value.get_non_empty("PORTABLE_PREFIXES").map(|text| words(text).map(str::to_owned).collect());
        scope_allows(&mut report, os, scope);
    }
    mount_points(&mut report, image.files)?;

    let mut releases: Vec<Option<Found<EnvFile>>> = Vec::new();
    let mut merged = Vec::new();
    for (at, extension) in extensions.iter().enumerate() {
        let before = report.findings.len();
        let release = layer(&mut report, extension, os_release.as_ref(), architecture)?;
        let same = |other: &&ExtensionImage<'_>| other.name.is_some() && other.name == extension.name;
        if extensions.iter().take(at).any(|other| same(&other)) {
            let reason = "another extension has the same name";
            report.find(Severity::Error, "duplicate-name", Subject::Whole, reason, SOURCE);
        }
        // what is refused is not merged
        if !report.findings.iter().skip(before).any(|finding| finding.severity == Severity::Error) {
            outside(&mut report, &extension.files.tree, Merge::PORTABLE.hierarchies)?;
            merged.push(extension);
        }
        for finding in report.findings.iter_mut().skip(before) {
            finding.image = Some(extension.shown.clone());
        }
        let more = release.as_ref().and_then(|found| found.value.get_non_empty("PORTABLE_PREFIXES"));
        if let Some(more) = more {
            let valid: &mut Vec<String> = valid.get_or_insert_default();
            for word in words(more) {
                if !valid.iter().any(|known| known == word) {
                    valid.push(word.to_owned());
                }
            }
        }
        releases.push(release);
    }
    if let Some(valid) = &mut valid {
        valid.sort();
        report.fact("portable-prefixes", valid.iter().cloned());
        for prefix in prefixes.iter().filter(|prefix| !valid.contains(prefix)) {
            let reason =
                format!("{prefix} is none of the prefixes that the image allows: {}", valid.join(", "));
            let path = os_release.as_ref().map(|os| os.path.clone()).unwrap_or_default();
            let subject = Subject::Field { path, key: "PORTABLE_PREFIXES".into() };
            report.find(Severity::Error, "prefix-not-allowed", subject, reason, ATTACH);
        }
    }

    let directories: &[&str] = match scope {
        PortableScope::System => &SYSTEM_UNITS,
        PortableScope::User => &USER_UNITS,
    };
    let mut units: BTreeMap<String, Unit> = BTreeMap::new();
    // without a prefix nothing is looked for
    if !prefixes.is_empty() {
        for (at, layer) in layers.iter().enumerate() {
            let before = report.findings.len();
            find_units(&mut report, &layer.files.tree, at, directories, &prefixes, &mut units)?;
            for finding in report.findings.iter_mut().skip(before) {
                finding.image = (at > 0).then(|| layer.shown.clone());
            }
        }
        if units.is_empty() {
            let reason = format!("there is no unit file that begins with {}", prefixes.join(" or "));
            report.find(Severity::Error, "no-units", Subject::Whole, reason, ATTACH);
        }
    }
    report.fact(
        "units",
        units.iter().map(|(name, unit)| {
            let of = layers.get(unit.image).filter(|_| unit.image > 0).map(|layer| &layer.shown);
            match of {
                Some(image) => format!("{name} ({image}: {})", unit.path),
                None => format!("{name} ({})", unit.path),
            }
        }),
    );
    if !merged.is_empty() {
        compare(&mut report, &merged, Merge::PORTABLE, Some(&image.files.tree))?;
    }
    if let Some(os) = &os_release {
        drop_ins(&mut report, &layers, &os.value, &releases, &units);
    }
    for layer in &layers {
        layer.files.tree.check_complete().map_err(MountError::FileSystem)?;
    }
    Ok(report)
}

/// The prefixes that were asked for, or that of the image's name.
fn requested(report: &mut CheckReport, image: &ExtensionImage<'_>, prefixes: &[String]) -> Vec<String> {
    let prefixes = match prefixes {
        [] => match image.file_name.as_deref().and_then(portable_prefix) {
            Some(prefix) => vec![prefix],
            None => {
                let reason =
                    "no prefix can be made from the name of the image: letters, digits, - and . are allowed";
                report.find(Severity::Error, "no-prefix", Subject::Whole, reason, ATTACH);
                Vec::new()
            }
        },
        [all] if all == "-" => {
            let reason = "a prefix that stands for all units can be inspected, but not attached";
            report.find(Severity::Error, "all-units", Subject::Whole, reason, ATTACH);
            Vec::new()
        }
        given => given.to_vec(),
    };
    report.fact("prefixes", prefixes.iter().cloned());
    prefixes
}

fn os_release(report: &mut CheckReport, tree: &Vfs) -> Result<Option<Found<EnvFile>>, MountError> {
    let subject = || Subject::Path(b"/etc/os-release".to_vec());
    let os = match Metadata::read(tree, None).os_release {
        Ok(Some(os)) => os,
        Ok(None) => {
            let reason = "there is no os-release, neither in /etc nor in /usr/lib";
            report.find(Severity::Error, "no-os-release", subject(), reason, REQUIREMENTS);
            return Ok(None);
        }
        Err(metadata::Error::File(error)) if !is_about_content(&error) => {
            return Err(MountError::FileSystem(error));
        }
        Err(error) => {
            report.find(Severity::Error, "os-release-unreadable", subject(), error.to_string(), OS_RELEASE);
            return Ok(None);
        }
    };
    if os.value.get_non_empty("ID").is_none() {
        let subject = Subject::Field { path: os.path.clone(), key: "ID".into() };
        report.find(Severity::Error, "no-id", subject, "there is no ID", SOURCE);
    }
    Ok(Some(os))
}

fn scope_allows(report: &mut CheckReport, os: &Found<EnvFile>, scope: PortableScope) {
    let subject = || Subject::Field { path: os.path.clone(), key: "PORTABLE_SCOPE".into() };
    let said = os.value.get_non_empty("PORTABLE_SCOPE");
    match said.unwrap_or("system") {
        "any" => {}
        // what systemd knows as a scope besides, and no portable service runs in
        known @ ("system" | "user" | "global") => {
            if known != scope.name() {
                let reason = match said {
                    Some(_) => format!("it is for the scope {known}, not {}", scope.name()),
                    None => format!("it is not set, and so system: not {}", scope.name()),
                };
                report.find(Severity::Error, "other-scope", subject(), reason, OS_RELEASE);
            }
        }
        other => {
            let reason = format!("{other} is none of system, user and any");
            report.find(Severity::Error, "invalid-scope", subject(), reason, OS_RELEASE);
        }
    }
}

/// What the host's is mounted over must be there, unless it can be made.
fn mount_points(report: &mut CheckReport, files: &Files) -> Result<(), MountError> {
    let writable = files.mounted.first().is_some_and(Mounted::is_writable);
    let tree = &files.tree;
    let missing = |worst: Severity| if writable { Severity::Note } else { worst };
    let made = if writable { "; it would be made, as the file system is writable" } else { "" };
    for path in DIRECTORIES {
        let subject = Subject::Path(path.into());
        match find(tree, path.as_bytes())? {
            None => {
                let reason = format!("there is no such directory to mount over{made}");
                report.find(missing(Severity::Error), "no-mount-point", subject, reason, REQUIREMENTS);
            }
            Some(place) if kind(tree, place)? != FileType::Directory => {
                let reason = "it is no directory, and so cannot be mounted over";
                report.find(Severity::Error, "not-a-directory", subject, reason, REQUIREMENTS);
            }
            Some(_) => {}
        }
    }
    // the profile does without the second one
    for (path, worst) in [("/etc/machine-id", Severity::Error), ("/etc/resolv.conf", Severity::Warning)] {
        let subject = Subject::Path(path.into());
        match find(tree, path.as_bytes())? {
            None => {
                let reason = format!("there is no such file to mount over{made}");
                report.find(missing(worst), "no-mount-point", subject, reason, REQUIREMENTS);
            }
            Some(place) if kind(tree, place)? != FileType::Regular => {
                let reason = "it is no regular file, and so cannot be mounted over";
                report.find(worst, "not-a-file", subject, reason, REQUIREMENTS);
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn kind(tree: &Vfs, place: Place) -> Result<FileType, MountError> {
    Ok(tree.stat(place).map_err(MountError::FileSystem)?.file_type)
}

/// One extension: its release file, and whether it goes with the root image.
fn layer(
    report: &mut CheckReport,
    image: &ExtensionImage<'_>,
    os_release: Option<&Found<EnvFile>>,
    architecture: &str,
) -> Result<Option<Found<EnvFile>>, MountError> {
    let tree = &image.files.tree;
    if find(tree, b"/usr/lib/os-release")?.is_some() {
        let reason = "an extension with an os-release is refused";
        let subject = Subject::Path(b"/usr/lib/os-release".to_vec());
        report.find(
            Severity::Error,
            "os-release-inside",
            subject,
            reason,
            "systemd extension_has_forbidden_content",
        );
    }
    let mut found = None;
    for class in [ExtensionClass::Sysext, ExtensionClass::Confext] {
        match release_of(tree, class, image.name.as_deref())? {
            Ok(release) => found = release.found,
            Err((code, reason)) => {
                let subject = Subject::Path(class.directory().into());
                report.find(Severity::Error, code, subject, reason, SOURCE);
                return Ok(None);
            }
        }
        // the release file of the other class is not asked for
        if found.is_some() {
            break;
        }
    }
    let Some((release, _)) = found else {
        let reason = "there is no release file for an image of this name";
        report.find(Severity::Error, "no-extension-release", Subject::Whole, reason, SOURCE);
        return Ok(None);
    };
    if let Some(os) = os_release.filter(|os| os.value.get_non_empty("ID").is_some()) {
        let host = ExtensionHost { os_release: &os.value, architecture, tree: None };
        // portabled asks as for a system extension, also for a configuration extension
        let class = ExtensionClass::Sysext;
        if let Err(why) = match_extension(&release.value, class, &host, Some(ExtensionScope::Portable)) {
            let reason = why.reason(&release.value, class, &host);
            let reason = format!("it does not go with the root image: {reason} (step {})", why.step());
            report.find(Severity::Error, why.code(), Subject::Path(release.path.clone()), reason, SOURCE);
        }
    }
    Ok(Some(release))
}

/// Adds the unit files of one image; those of images before count.
fn find_units(
    report: &mut CheckReport,
    tree: &Vfs,
    image: usize,
    directories: &[&str],
    prefixes: &[String],
    units: &mut BTreeMap<String, Unit>,
) -> Result<(), MountError> {
    let mut of_image: BTreeMap<String, Unit> = BTreeMap::new();
    for directory in directories {
        // where links of this directory lead, by their targets: a template has many instances
        let mut known: HashMap<Vec<u8>, Option<Problem>> = HashMap::new();
        for (name, place) in names(tree, directory.as_bytes())? {
            let Ok(name) = String::from_utf8(name) else { continue };
            if !is_unit_name(&name) || !portable_unit_matches(&name, prefixes) || of_image.contains_key(&name)
            {
                continue;
            }
            let path = format!("{directory}/{name}");
            let problem = match kind(tree, place)? {
                FileType::Regular => unusable(tree, place)?,
                FileType::Symlink => {
                    let target = tree.link_target(place).map_err(MountError::FileSystem)?;
                    match known.get(&target) {
                        Some(problem) => problem.clone(),
                        None => {
                            let problem = unusable_link(tree, &target, &path)?;
                            known.insert(target, problem.clone());
                            problem
                        }
                    }
                }
                _ => continue,
            };
            if let Some(problem) = problem {
                let (severity, code, reason) = problem;
                report.find(severity, code, Subject::Path(path.into_bytes()), reason, SOURCE);
                continue;
            }
            of_image.insert(name, Unit { image, path });
        }
    }
    for (name, unit) in of_image {
        units.entry(name).or_insert(unit);
    }
    Ok(())
}

type Problem = (Severity, &'static str, String);

/// Why the link at `path` is passed over, if it is.
fn unusable_link(tree: &Vfs, target: &[u8], path: &str) -> Result<Option<Problem>, MountError> {
    if target == b"/dev/null" {
        return Ok(Some((Severity::Note, "unit-masked", "it is masked, and passed over".into())));
    }
    if target.first() == Some(&b'/') {
        let target = String::from_utf8_lossy(target);
        let reason = format!(
            "it is a link to {target}, which systemd follows on the host: it is taken from there or passed over"
        );
        return Ok(Some((Severity::Warning, "unit-link-absolute", reason)));
    }
    match find(tree, path.as_bytes())? {
        Some(place) => unusable(tree, place),
        None => {
            let reason = "it is a link that leads nowhere, and passed over";
            Ok(Some((Severity::Warning, "unit-link-broken", reason.into())))
        }
    }
}

/// Why a unit file is passed over, if it is.
fn unusable(tree: &Vfs, place: Place) -> Result<Option<Problem>, MountError> {
    let stat = tree.stat(place).map_err(MountError::FileSystem)?;
    Ok(match (stat.file_type, stat.size) {
        (FileType::Regular, 0) => {
            Some((Severity::Warning, "unit-empty", "it is empty, and passed over".into()))
        }
        (FileType::Regular, _) => None,
        _ => Some((Severity::Error, "unit-not-a-file", "it is a link to something that is no file".into())),
    })
}

/// What would be written beside the units.
fn drop_ins(
    report: &mut CheckReport,
    layers: &[&ExtensionImage<'_>],
    os: &EnvFile,
    releases: &[Option<Found<EnvFile>>],
    units: &BTreeMap<String, Unit>,
) {
    let file = |at: usize| {
        let layer = layers.get(at);
        layer.map(|layer| layer.file_name.clone().unwrap_or_else(|| layer.shown.clone())).unwrap_or_default()
    };
    let services: Vec<_> = units.iter().filter(|(name, _)| name.ends_with(".service")).collect();
    report.fact(
        "drop-ins",
        units.keys().flat_map(|name| {
            let profile = name.ends_with(".service").then(|| format!("{name}.d/10-profile.conf"));
            profile.into_iter().chain([format!("{name}.d/20-portable.conf")])
        }),
    );
    let layered = layers.len() > 1;
    let mut fields = Vec::new();
    for image in services.iter().map(|(_, unit)| unit.image).collect::<std::collections::BTreeSet<_>>() {
        fields.push(format!("PORTABLE={}", file(image)));
    }
    let id = ["IMAGE_ID", "ID"];
    let version = ["IMAGE_VERSION", "VERSION_ID", "BUILD_ID"];
    let root = name_and_version(os, "", &id, &version);
    if layered {
        fields.push(format!("PORTABLE_ROOT={}", file(0)));
        fields.extend(root.map(|root| format!("PORTABLE_ROOT_NAME_AND_VERSION={root}")));
    } else {
        fields.extend(root.map(|root| format!("PORTABLE_NAME_AND_VERSION={root}")));
    }
    // extensions are told to the services that are from one
    if services.iter().any(|(_, unit)| unit.image > 0) {
        for (at, release) in releases.iter().enumerate() {
            fields.push(format!("PORTABLE_EXTENSION={}", file(at.saturating_add(1))));
            let Some(release) = release else { continue };
            for class in ["SYSEXT_", "CONFEXT_"] {
                let said = name_and_version(&release.value, class, &id, &version);
                fields.extend(said.map(|said| format!("PORTABLE_EXTENSION_NAME_AND_VERSION={said}")));
            }
        }
    }
    if !services.is_empty() {
        report.fact("log-fields", fields);
    }
}

/// The most special name and version there are, joined.
fn name_and_version(release: &EnvFile, prefix: &str, id: &[&str], version: &[&str]) -> Option<String> {
    let first =
        |keys: &[&str]| keys.iter().find_map(|key| release.get(&format!("{prefix}{key}"))).map(str::to_owned);
    match (first(id), first(version)) {
        (None, None) => None,
        (Some(id), Some(version)) => Some(format!("{id}_{version}")),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
