//! Extension images: do they go with a host, what do they bring, and in which order are they stacked?
//!
//! Source: systemd, `src/shared/extension-util.c:extension_release_validate`, `src/sysext/sysext.c`; UAPI.4, extension
//! images. Where the specification and systemd differ, systemd counts: `ID_LIKE` and the level of a host without a
//! version are judged as version 258 does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};

use ddi_gpt::compare_versions;

use super::{CheckFinding, CheckReport, Subject, absent_is_none, find, names};
use crate::metadata::{self, EnvFile, ExtensionClass, ExtensionRelease, NameRule, Passed};
use ddi_core::Severity;
use ddi_core::{Files, Unreadable};
use ddi_fs::{self as files, Budget, FileType, Limit, Step, Tree, Walk};

const MATCHING: &str = "os-release(5), systemd extension_release_validate";
const NAMES: &str = "systemd open_extension_release_at; UAPI.4 Extension Images";
const SYSEXT: &str = "systemd-sysext(8)";
const NO_OS_RELEASE: &str = "UAPI.4 Extension Images";
const ETC_OS_RELEASE: &[u8] = b"/etc/os-release";
/// Paths that one kind of finding names, for one image.
const MAX_NAMED: usize = 20;
/// Files of all images that are compared with each other: 16 bytes of memory for each.
const MAX_FILES: u64 = 1_000_000;

/// Where an extension is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtensionScope {
    /// Into the system.
    System,
    /// Into an initrd.
    Initrd,
    /// Into a portable service.
    Portable,
}

impl ExtensionScope {
    /// `system`, `initrd`, `portable`.
    pub fn name(self) -> &'static str {
        match self {
            ExtensionScope::System => "system",
            ExtensionScope::Initrd => "initrd",
            ExtensionScope::Portable => "portable",
        }
    }
}

/// What an extension is to extend.
#[derive(Debug, Clone, Copy)]
pub struct ExtensionHost<'a> {
    /// Its os-release.
    pub os_release: &'a EnvFile,
    /// Its machine, under systemd's name: `x86-64`.
    pub architecture: &'a str,
}

/// Why an extension goes with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtensionMatch {
    /// Its `ID` is `_any`: nothing else is asked.
    AnyId,
    /// The host has neither a version nor a level: the `ID` is enough.
    NoHostVersion,
    /// Both have the same level; the version is not asked.
    Level,
    /// Both have the same version.
    Version,
    /// The host has a level alone, and the extension has none.
    NoExtensionLevel,
}

impl ExtensionMatch {
    /// In words.
    pub fn reason(self) -> &'static str {
        match self {
            ExtensionMatch::AnyId => "ID is _any",
            ExtensionMatch::NoHostVersion => "same ID, and the host has no version",
            ExtensionMatch::Level => "same ID and level",
            ExtensionMatch::Version => "same ID and version",
            ExtensionMatch::NoExtensionLevel => "same ID, and only the host has a level",
        }
    }
}

/// Why an extension does not go with a host; in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExtensionMismatch {
    /// The host's os-release has no `ID`: nothing can be merged.
    HostWithoutId,
    /// The release file has no field.
    Empty,
    /// It is not for this scope.
    Scope,
    /// It is for another machine.
    Architecture,
    /// It has no `ID`.
    NoId,
    /// It has another `ID`, which is not among the host's `ID_LIKE` either.
    Id,
    /// Both have a level, and not the same one.
    Level,
    /// The host has a version, and it has none.
    NoVersion,
    /// Both have a version, and not the same one.
    Version,
}

impl ExtensionMismatch {
    /// The number of the question, from 1; 0 is about the host alone.
    pub fn step(self) -> u8 {
        match self {
            ExtensionMismatch::HostWithoutId => 0,
            ExtensionMismatch::Empty => 1,
            ExtensionMismatch::Scope => 2,
            ExtensionMismatch::Architecture => 3,
            ExtensionMismatch::NoId => 4,
            ExtensionMismatch::Id => 6,
            ExtensionMismatch::Level => 8,
            ExtensionMismatch::NoVersion | ExtensionMismatch::Version => 9,
        }
    }

    /// Stable name for programs.
    pub fn code(self) -> &'static str {
        match self {
            ExtensionMismatch::HostWithoutId => "host-without-id",
            ExtensionMismatch::Empty => "empty-extension-release",
            ExtensionMismatch::Scope => "other-scope",
            ExtensionMismatch::Architecture => "other-architecture",
            ExtensionMismatch::NoId => "no-id",
            ExtensionMismatch::Id => "other-id",
            ExtensionMismatch::Level => "other-level",
            ExtensionMismatch::NoVersion => "no-version-id",
            ExtensionMismatch::Version => "other-version-id",
        }
    }

    /// The field of the release file that it is about.
    fn key(self, class: ExtensionClass) -> Option<&'static str> {
        match self {
            ExtensionMismatch::HostWithoutId | ExtensionMismatch::Empty => None,
            ExtensionMismatch::Scope => Some(class.scope_key()),
            ExtensionMismatch::Architecture => Some("ARCHITECTURE"),
            ExtensionMismatch::NoId | ExtensionMismatch::Id => Some("ID"),
            ExtensionMismatch::Level => Some(class.level_key()),
            ExtensionMismatch::NoVersion | ExtensionMismatch::Version => Some("VERSION_ID"),
        }
    }

    /// In words, with both values.
    pub fn reason(self, release: &EnvFile, class: ExtensionClass, host: &ExtensionHost<'_>) -> String {
        let ours = |key| release.get(key).unwrap_or_default();
        let theirs = |key| host.os_release.get(key).unwrap_or_default();
        match self {
            ExtensionMismatch::HostWithoutId => "the host's os-release has no ID".into(),
            ExtensionMismatch::Empty => "the release file has no field".into(),
            ExtensionMismatch::Scope => match release.get(class.scope_key()) {
                Some(scopes) => format!("it is for the scopes '{scopes}'"),
                None => "it is for the scopes 'system portable', as it does not say otherwise".into(),
            },
            ExtensionMismatch::Architecture => {
                format!("it is for {}, the host is {}", ours("ARCHITECTURE"), host.architecture)
            }
            ExtensionMismatch::NoId => "there is no ID".into(),
            ExtensionMismatch::Id => match host.os_release.get_non_empty("ID_LIKE") {
                Some(like) => format!("it is for {}, the host is {} (like {like})", ours("ID"), theirs("ID")),
                None => format!("it is for {}, the host is {}", ours("ID"), theirs("ID")),
            },
            ExtensionMismatch::Level => {
                let key = class.level_key();
                format!("it is for level {}, the host has {}", ours(key), theirs(key))
            }
            ExtensionMismatch::NoVersion => {
                format!("it says no version, the host has {}", theirs("VERSION_ID"))
            }
            ExtensionMismatch::Version => {
                format!("it is for version {}, the host has {}", ours("VERSION_ID"), theirs("VERSION_ID"))
            }
        }
    }
}

/// Does an extension with this release file go with that host? Without a scope, that is not asked.
///
/// ```
/// use ddi_os::check::{ExtensionHost, ExtensionMatch, ExtensionMismatch, match_extension};
/// use ddi_os::metadata::{EnvFile, ExtensionClass};
///
/// let os_release = EnvFile::parse(b"ID=debian\nVERSION_ID=13\n").unwrap();
/// let host = ExtensionHost { os_release: &os_release, architecture: "x86-64" };
/// let ask = |text: &[u8]| match_extension(&EnvFile::parse(text).unwrap(), ExtensionClass::Sysext, &host, None);
/// assert_eq!(ask(b"ID=debian\nVERSION_ID=13\n"), Ok(ExtensionMatch::Version));
/// assert_eq!(ask(b"ID=debian\nVERSION_ID=12\n"), Err(ExtensionMismatch::Version));
/// assert_eq!(ask(b"ID=_any\n"), Ok(ExtensionMatch::AnyId));
/// ```
///
/// # Errors
/// The first question that is answered with no.
pub fn match_extension(
    release: &EnvFile,
    class: ExtensionClass,
    host: &ExtensionHost<'_>,
    scope: Option<ExtensionScope>,
) -> Result<ExtensionMatch, ExtensionMismatch> {
    let theirs = |key| host.os_release.get_non_empty(key);
    let Some(host_id) = theirs("ID") else { return Err(ExtensionMismatch::HostWithoutId) };
    if release.is_empty() {
        return Err(ExtensionMismatch::Empty);
    }
    if let Some(scope) = scope {
        let scopes = release.get(class.scope_key()).unwrap_or("system portable");
        if !words(scopes).any(|word| word == scope.name()) {
            return Err(ExtensionMismatch::Scope);
        }
    }
    let architecture = release.get_non_empty("ARCHITECTURE").unwrap_or("_any");
    if architecture != "_any" && architecture != host.architecture {
        return Err(ExtensionMismatch::Architecture);
    }
    let id = release.get_non_empty("ID").ok_or(ExtensionMismatch::NoId)?;
    if id == "_any" {
        return Ok(ExtensionMatch::AnyId);
    }
    if id != host_id && !is_like(id, host) {
        return Err(ExtensionMismatch::Id);
    }
    let key = class.level_key();
    match (theirs("VERSION_ID"), theirs(key), release.get_non_empty(key)) {
        (None, None, _) => Ok(ExtensionMatch::NoHostVersion),
        (_, Some(host), Some(ours)) if host == ours => Ok(ExtensionMatch::Level),
        (_, Some(_), Some(_)) => Err(ExtensionMismatch::Level),
        (Some(host), _, _) => match release.get_non_empty("VERSION_ID") {
            None => Err(ExtensionMismatch::NoVersion),
            Some(ours) if ours == host => Ok(ExtensionMatch::Version),
            Some(_) => Err(ExtensionMismatch::Version),
        },
        (None, Some(_), None) => Ok(ExtensionMatch::NoExtensionLevel),
    }
}

/// Is the host said to be like that system?
fn is_like(id: &str, host: &ExtensionHost<'_>) -> bool {
    host.os_release.get("ID_LIKE").is_some_and(|like| words(like).any(|word| word == id))
}

/// What white space separates, for systemd.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', '\n', '\r']).filter(|word| !word.is_empty())
}

/// An extension image that is checked.
#[derive(Debug, Clone)]
pub struct ExtensionImage<'a> {
    /// What findings call it.
    pub shown: String,
    /// The last part of its path, if it has one.
    pub file_name: Option<String>,
    /// Its name without suffixes: see [`image_name`](ddi_core::image_name).
    pub name: Option<String>,
    /// Its files.
    pub files: &'a Files,
}

/// Goes through what systemd asks before it merges these extensions into that host, and what they would bring.
///
/// `class`: take them for this alone; else for what their release files say, which can be both.
///
/// # Errors
/// If files cannot be read.
pub fn extension(
    images: &[ExtensionImage<'_>],
    host: &ExtensionHost<'_>,
    scope: ExtensionScope,
    class: Option<ExtensionClass>,
) -> Result<CheckReport, Unreadable> {
    let assurance = images.iter().map(|image| image.files.assurance()).min().unwrap_or_default();
    let mut report = CheckReport::new("extension", assurance);
    let host_is = |key| host.os_release.get_non_empty(key);
    let about_host = ["ID", "VERSION_ID", "SYSEXT_LEVEL", "CONFEXT_LEVEL", "ID_LIKE"]
        .into_iter()
        .filter_map(|key| Some(format!("{key}={}", host_is(key)?)))
        .chain([format!("ARCHITECTURE={}", host.architecture)]);
    report.fact("host", about_host);
    report.fact("scope", [scope.name()]);
    if host_is("ID").is_none() {
        let reason = "the host's os-release has no ID: nothing is merged";
        report.find(Severity::Error, ExtensionMismatch::HostWithoutId.code(), Subject::Whole, reason, SYSEXT);
    }
    let mut accepted: Vec<(ExtensionClass, &ExtensionImage<'_>)> = Vec::new();
    let mut matches = Vec::new();
    for image in images {
        let before = report.findings.len();
        one(&mut report, image, host, scope, class, &mut accepted, &mut matches)?;
        for finding in report.findings.iter_mut().skip(before) {
            finding.image = Some(image.shown.clone());
        }
    }
    report.fact("matches", matches);
    for class in [ExtensionClass::Sysext, ExtensionClass::Confext] {
        let mut stack: Vec<_> =
            accepted.iter().filter(|(other, _)| *other == class).map(|(_, image)| *image).collect();
        if stack.is_empty() {
            continue;
        }
        let name = |image: &ExtensionImage<'_>| image.name.clone().unwrap_or_default();
        stack.sort_by(|a, b| compare_versions(&name(a), &name(b)));
        let title = match class {
            ExtensionClass::Sysext => "sysext-order",
            ExtensionClass::Confext => "confext-order",
        };
        report.fact(title, stack.iter().map(|image| name(image)));
        same_names(&mut report, &stack);
        conflicts(&mut report, &stack, class)?;
    }
    Ok(report)
}

/// One image: its release files, whether they match, and what else is in it.
fn one<'a>(
    report: &mut CheckReport,
    image: &'a ExtensionImage<'a>,
    host: &ExtensionHost<'_>,
    scope: ExtensionScope,
    class: Option<ExtensionClass>,
    accepted: &mut Vec<(ExtensionClass, &'a ExtensionImage<'a>)>,
    matches: &mut Vec<String>,
) -> Result<(), Unreadable> {
    let tree = &image.files.tree;
    if image.name.is_none() {
        let reason = "it has no name by which its release file could be found";
        report.find(Severity::Error, "no-image-name", Subject::Whole, reason, NAMES);
        return Ok(());
    }
    if let Some(file_name) = &image.file_name
        && !file_name.ends_with(".raw")
    {
        let reason = "its name does not end in .raw: it is not found among the extensions of a system";
        report.find(Severity::Warning, "not-raw", Subject::File(file_name.clone()), reason, SYSEXT);
    }
    let classes = match class {
        Some(class) => vec![class],
        None => vec![ExtensionClass::Sysext, ExtensionClass::Confext],
    };
    let mut found = Vec::new();
    let mut passed_over = Vec::new();
    for class in classes {
        match release_of(tree, class, image.name.as_deref())? {
            Ok(release) => {
                let directory = class.directory();
                passed_over.extend(release.passed_over.iter().map(|passed| (directory, passed.clone())));
                if release.found.is_some() {
                    found.push(release);
                }
            }
            Err((code, reason)) => {
                let subject = Subject::Path(class.directory().into());
                report.find(Severity::Error, code, subject, reason, NAMES);
                return Ok(());
            }
        }
    }
    if found.is_empty() {
        no_release(report, image, &passed_over);
        return Ok(());
    }
    let is_forbidden = find(tree, b"/usr/lib/os-release")?.is_some();
    if is_forbidden {
        let reason = "it would replace the host's os-release, so the image is refused";
        let subject = Subject::Path(b"/usr/lib/os-release".to_vec());
        report.find(
            Severity::Error,
            "os-release-inside",
            subject,
            reason,
            "systemd extension_has_forbidden_content",
        );
    }
    let is_confext = found.iter().any(|release| release.class == ExtensionClass::Confext);
    if is_confext && absent_is_none(tree.resolve_link(ETC_OS_RELEASE))?.is_some() {
        let reason = "it would hide the host's: systemd does not refuse that, and the specification does";
        let subject = Subject::Path(ETC_OS_RELEASE.into());
        report.find(Severity::Warning, "etc-os-release", subject, reason, NO_OS_RELEASE);
    }
    let mut hierarchies = Vec::new();
    for release in &found {
        let class = release.class;
        hierarchies.extend_from_slice(class.hierarchies());
        let Some((file, rule)) = &release.found else { continue };
        name_note(report, &file.path, *rule);
        let shown = format!("{}: {}", image.shown, class.name());
        match match_extension(&file.value, class, host, Some(scope)) {
            Ok(how) => {
                matches.push(format!("{shown}, {}", how.reason()));
                if !is_forbidden {
                    accepted.push((class, image));
                }
                let id = file.value.get("ID").unwrap_or_default();
                if how != ExtensionMatch::AnyId && host.os_release.get("ID") != Some(id) {
                    let reason =
                        format!("{id} is only among the host's ID_LIKE: systemd before 258 would refuse it");
                    let subject = Subject::Field { path: file.path.clone(), key: "ID".into() };
                    report.find(Severity::Warning, "id-like", subject, reason, MATCHING);
                }
            }
            // said once, for all images
            Err(ExtensionMismatch::HostWithoutId) => {}
            Err(why) => {
                let subject = match why.key(class) {
                    Some(key) => Subject::Field { path: file.path.clone(), key: key.into() },
                    None => Subject::Path(file.path.clone()),
                };
                let reason = format!(
                    "as a {} for {}: {} (step {})",
                    class.name(),
                    scope.name(),
                    why.reason(&file.value, class, host),
                    why.step()
                );
                report.find(Severity::Error, why.code(), subject, reason, MATCHING);
            }
        }
    }
    outside(report, tree, &hierarchies)
}

/// The release file of one class; the inner error is an answer.
pub(super) fn release_of(
    tree: &Tree,
    class: ExtensionClass,
    name: Option<&str>,
) -> Result<Result<ExtensionRelease, (&'static str, String)>, Unreadable> {
    match ExtensionRelease::find(tree, class, name) {
        Ok(release) => Ok(Ok(release)),
        Err(metadata::Error::File(error)) if !is_about_content(&error) => Err(Unreadable::FileSystem(error)),
        Err(error) => {
            let code = match error {
                metadata::Error::AmbiguousExtension => "ambiguous-extension-release",
                _ => "extension-release-unreadable",
            };
            Ok(Err((code, error.to_string())))
        }
    }
}

/// Is it the file that is wrong, and not the file system or its source?
pub(super) fn is_about_content(error: &files::Error) -> bool {
    matches!(error, files::Error::NotAFile | files::Error::TooLarge { .. }) || error.is_absent()
}

fn no_release(
    report: &mut CheckReport,
    image: &ExtensionImage<'_>,
    passed_over: &[(&'static str, metadata::PassedOver)],
) {
    let name = image.name.as_deref().unwrap_or_default();
    let reason = format!("there is no release file for an image called {name}");
    report.find(Severity::Error, "no-extension-release", Subject::Whole, reason, NAMES);
    for (directory, passed) in passed_over.iter().take(MAX_NAMED) {
        let path = [directory.as_bytes(), b"/", &*passed.name].concat();
        let (code, reason) = match passed.why {
            Passed::OtherName => (
                "release-of-other-name",
                "it is for an image of another name, and no xattr says that it need not be",
            ),
            Passed::Strict => {
                ("release-strict", "its xattr user.extension-release.strict insists on the name")
            }
            Passed::NotRegular => {
                ("release-not-regular", "it is no regular file: only its exact name would do")
            }
            Passed::InvalidName => ("release-name-invalid", "no image can be called so"),
        };
        report.find(Severity::Note, code, Subject::Path(path), reason, NAMES);
    }
}

fn name_note(report: &mut CheckReport, path: &[u8], rule: NameRule) {
    let (code, reason) = match rule {
        NameRule::Exact => return,
        NameRule::BaseName => (
            "release-by-base-name",
            "it goes with the image's name up to its version: systemd before 256 would not take it",
        ),
        NameRule::NotStrict => (
            "release-not-strict",
            "it has another name; it is taken as its xattr user.extension-release.strict is false",
        ),
    };
    report.find(Severity::Note, code, Subject::Path(path.to_vec()), reason, NAMES);
}

/// What is in none of the hierarchies is not merged.
fn outside(report: &mut CheckReport, tree: &Tree, hierarchies: &[&str]) -> Result<(), Unreadable> {
    let mut walk = Walk::new(Budget { entries: MAX_FILES, ..Budget::default() });
    let mut named = 0_usize;
    for (name, place) in names(tree, b"/")? {
        let path = [b"/", &*name].concat();
        if hierarchies.iter().any(|hierarchy| hierarchy.as_bytes() == path) || name == b"lost+found" {
            continue;
        }
        // empty directories, as a portable service needs them, do not matter
        let mut first = None;
        walk.tree(tree, place, &mut |_, visit| {
            let stat = visit.stat?;
            if stat.file_type == FileType::Directory {
                return Ok(Step::Continue);
            }
            first = Some(match visit.path {
                b"/" => path.clone(),
                below => [&*path, below].concat(),
            });
            Ok(Step::Stop)
        })
        .map_err(Unreadable::FileSystem)?;
        if let Some(first) = first {
            named = named.saturating_add(1);
            if named <= MAX_NAMED {
                let reason = format!("it is outside of {}, and so not merged", hierarchies.join(" and "));
                report.find(Severity::Warning, "outside-hierarchies", Subject::Path(first), reason, SYSEXT);
            }
        }
    }
    Ok(())
}

/// Images that are the same to systemd, or that are two versions of one.
fn same_names(report: &mut CheckReport, stack: &[&ExtensionImage<'_>]) {
    let base = |image: &ExtensionImage<'_>| -> String {
        let name = image.name.as_deref().unwrap_or_default();
        name.split(['_', '+']).next().unwrap_or_default().to_owned()
    };
    // names that are not equal may compare so, and be in any order
    let mut by_name: HashMap<&str, &ExtensionImage<'_>> = HashMap::new();
    let mut by_base: HashMap<String, &ExtensionImage<'_>> = HashMap::new();
    for image in stack {
        let below = by_base.insert(base(image), image);
        let finding = match (by_name.entry(image.name.as_deref().unwrap_or_default()), below) {
            (Entry::Occupied(first), _) => {
                let reason = format!(
                    "it has the name of {}: only the one in the first directory that systemd looks in is merged",
                    first.get().shown
                );
                CheckFinding::new(Severity::Error, "duplicate-name", Subject::Whole, reason, SYSEXT)
            }
            (Entry::Vacant(place), below) => {
                place.insert(image);
                let Some(below) = below else { continue };
                let reason = format!(
                    "{} seems to be another version of it, and both are merged: a .v/ directory would choose one",
                    below.shown
                );
                CheckFinding::new(Severity::Warning, "two-versions", Subject::Whole, reason, "systemd.v(7)")
            }
        };
        report.add(finding.in_image(image.shown.clone()));
    }
}

/// Files that more than one extension brings: the one with the higher name has its way.
fn conflicts(
    report: &mut CheckReport,
    stack: &[&ExtensionImage<'_>],
    class: ExtensionClass,
) -> Result<(), Unreadable> {
    let mut walk = Walk::new(Budget { entries: MAX_FILES, ..Budget::default() });
    let hasher = RandomState::new();
    // the hash of a path, the uppermost image so far that brings it, and whether that is a directory
    let mut seen: HashMap<u64, (usize, bool)> = HashMap::new();
    for (at, image) in stack.iter().enumerate() {
        let tree = &image.files.tree;
        let (mut hidden, mut named) = (0_usize, Vec::new());
        let mut whiteouts = Vec::new();
        for hierarchy in class.hierarchies() {
            let Some(start) = find(tree, hierarchy.as_bytes())? else { continue };
            let outcome = walk.tree(tree, start, &mut |_, visit| {
                let stat = visit.stat?;
                let path = [hierarchy.as_bytes(), visit.path].concat();
                if stat.file_type == FileType::CharDevice && stat.rdev == (0, 0) {
                    whiteouts.push(path.clone());
                    whiteouts.truncate(MAX_NAMED);
                }
                let is_dir = stat.file_type == FileType::Directory;
                let below = seen.insert(hasher.hash_one(&path), (at, is_dir));
                // directories are put together; release files differ by their names
                if let Some((other, was_dir)) = below
                    && !(is_dir && was_dir)
                    && !is_release(&path)
                {
                    hidden = hidden.saturating_add(1);
                    if named.len() < MAX_NAMED {
                        named.push((path, other));
                    }
                }
                Ok(Step::Continue)
            });
            match outcome {
                Ok(()) => {}
                Err(files::Error::Budget(Limit::Entries)) => {
                    let reason = format!("more than {MAX_FILES} files: not all of them were compared");
                    report.find(Severity::Warning, "not-all-compared", Subject::Whole, reason, SYSEXT);
                    return Ok(());
                }
                Err(error) => return Err(Unreadable::FileSystem(error)),
            }
        }
        for path in whiteouts {
            let reason = "it is a whiteout: a file of the host is hidden";
            let finding =
                CheckFinding::new(Severity::Warning, "whiteout", Subject::Path(path), reason, "overlayfs");
            report.add(finding.in_image(image.shown.clone()));
        }
        let more = hidden.saturating_sub(named.len());
        for (path, other) in named {
            let other = stack.get(other).map_or("another", |image| &image.shown);
            let reason = format!("it hides the one of {other}, which is lower in the stack");
            let finding =
                CheckFinding::new(Severity::Warning, "conflict", Subject::Path(path), reason, SYSEXT);
            report.add(finding.in_image(image.shown.clone()));
        }
        if more > 0 {
            let reason = format!("{more} more files hide those of extensions lower in the stack");
            let finding = CheckFinding::new(Severity::Warning, "conflict", Subject::Whole, reason, SYSEXT);
            report.add(finding.in_image(image.shown.clone()));
        }
    }
    Ok(())
}

/// Each image has its own, unless two have the same name.
fn is_release(path: &[u8]) -> bool {
    [ExtensionClass::Sysext, ExtensionClass::Confext]
        .iter()
        .any(|class| path.starts_with(class.directory().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddi_core::Assurance;
    use ddi_testing::memory::Memory;

    const X86: &str = "x86-64";

    fn env(text: &str) -> EnvFile {
        EnvFile::parse(text.replace(' ', "\n").replace('~', " ").as_bytes()).unwrap()
    }

    fn ask(
        class: ExtensionClass,
        release: &str,
        host: &str,
        scope: Option<ExtensionScope>,
    ) -> Result<ExtensionMatch, ExtensionMismatch> {
        let os_release = env(host);
        let host = ExtensionHost { os_release: &os_release, architecture: X86 };
        match_extension(&env(release), class, &host, scope)
    }

    /// Fields are separated by blanks; `~` is a blank in a value.
    #[test]
    fn truth_table() {
        use ExtensionMatch as M;
        use ExtensionMismatch as N;
        type Row<'a> = (&'a str, &'a str, Result<M, N>);
        let rows: &[Row<'_>] = &[
            // 0: the host
            ("ID=_any", "", Err(N::HostWithoutId)),
            ("ID=_any", "ID=", Err(N::HostWithoutId)),
            ("", "VERSION_ID=1", Err(N::HostWithoutId)),
            // 1: no field
            ("", "ID=a", Err(N::Empty)),
            ("#ID=a", "ID=a", Err(N::Empty)),
            // 3: architecture
            ("ID=a ARCHITECTURE=x86-64", "ID=a", Ok(M::NoHostVersion)),
            ("ID=a ARCHITECTURE=", "ID=a", Ok(M::NoHostVersion)),
            ("ID=a ARCHITECTURE=_any", "ID=a", Ok(M::NoHostVersion)),
            ("ID=a ARCHITECTURE=arm64", "ID=a", Err(N::Architecture)),
            ("ID=a ARCHITECTURE=x86", "ID=a", Err(N::Architecture)),
            ("ID=a ARCHITECTURE=any", "ID=a", Err(N::Architecture)),
            ("ID=a ARCHITECTURE=native", "ID=a", Err(N::Architecture)),
            ("ID=_any ARCHITECTURE=arm64", "ID=a", Err(N::Architecture)),
            // before the ID is asked
            ("ARCHITECTURE=arm64", "ID=a", Err(N::Architecture)),
            // 4: ID
            ("VERSION_ID=1", "ID=a VERSION_ID=1", Err(N::NoId)),
            ("ID= VERSION_ID=1", "ID=a VERSION_ID=1", Err(N::NoId)),
            // 5: any ID
            ("ID=_any", "ID=a VERSION_ID=1 SYSEXT_LEVEL=2", Ok(M::AnyId)),
            ("ID=_any VERSION_ID=9 SYSEXT_LEVEL=9", "ID=a VERSION_ID=1 SYSEXT_LEVEL=2", Ok(M::AnyId)),
            ("ID=any", "ID=a", Err(N::Id)),
            // 6: same ID, or alike
            ("ID=b", "ID=a", Err(N::Id)),
            ("ID=A", "ID=a", Err(N::Id)),
            ("ID=b VERSION_ID=1", "ID=a VERSION_ID=1", Err(N::Id)),
            ("ID=b", "ID=a ID_LIKE=b", Ok(M::NoHostVersion)),
            ("ID=b", "ID=a ID_LIKE=c~b~d", Ok(M::NoHostVersion)),
            ("ID=b", "ID=a ID_LIKE=bb", Err(N::Id)),
            ("ID=b", "ID=a ID_LIKE=", Err(N::Id)),
            ("ID=b VERSION_ID=1", "ID=a ID_LIKE=b VERSION_ID=1", Ok(M::Version)),
            ("ID=b VERSION_ID=2", "ID=a ID_LIKE=b VERSION_ID=1", Err(N::Version)),
            // the extension's own ID_LIKE is not asked
            ("ID=b ID_LIKE=a", "ID=a", Err(N::Id)),
            // 7: a host without a version
            ("ID=a VERSION_ID=1", "ID=a", Ok(M::NoHostVersion)),
            ("ID=a SYSEXT_LEVEL=1", "ID=a VERSION_ID= SYSEXT_LEVEL=", Ok(M::NoHostVersion)),
            // 8: levels, if both have one
            ("ID=a SYSEXT_LEVEL=1", "ID=a SYSEXT_LEVEL=1", Ok(M::Level)),
            ("ID=a SYSEXT_LEVEL=1", "ID=a SYSEXT_LEVEL=2", Err(N::Level)),
            ("ID=a SYSEXT_LEVEL=1", "ID=a SYSEXT_LEVEL=1.0", Err(N::Level)),
            ("ID=a SYSEXT_LEVEL=1 VERSION_ID=2", "ID=a SYSEXT_LEVEL=1 VERSION_ID=1", Ok(M::Level)),
            ("ID=a SYSEXT_LEVEL=2 VERSION_ID=1", "ID=a SYSEXT_LEVEL=1 VERSION_ID=1", Err(N::Level)),
            // of the other class, that is not asked
            ("ID=a CONFEXT_LEVEL=1", "ID=a SYSEXT_LEVEL=1", Ok(M::NoExtensionLevel)),
            ("ID=a CONFEXT_LEVEL=1", "ID=a CONFEXT_LEVEL=2", Ok(M::NoHostVersion)),
            // 9: versions
            ("ID=a VERSION_ID=1", "ID=a VERSION_ID=1", Ok(M::Version)),
            ("ID=a VERSION_ID=1.0", "ID=a VERSION_ID=1", Err(N::Version)),
            ("ID=a", "ID=a VERSION_ID=1", Err(N::NoVersion)),
            ("ID=a VERSION_ID=", "ID=a VERSION_ID=1", Err(N::NoVersion)),
            ("ID=a SYSEXT_LEVEL=1", "ID=a VERSION_ID=1", Err(N::NoVersion)),
            ("ID=a SYSEXT_LEVEL=1 VERSION_ID=1", "ID=a VERSION_ID=1", Ok(M::Version)),
            ("ID=a VERSION_ID=1", "ID=a VERSION_ID=1 SYSEXT_LEVEL=1", Ok(M::Version)),
            ("ID=a", "ID=a VERSION_ID=1 SYSEXT_LEVEL=1", Err(N::NoVersion)),
            // 10: a host with a level alone
            ("ID=a", "ID=a SYSEXT_LEVEL=1", Ok(M::NoExtensionLevel)),
            ("ID=a VERSION_ID=7", "ID=a SYSEXT_LEVEL=1", Ok(M::NoExtensionLevel)),
        ];
        assert!(rows.len() >= 40);
        for (release, host, expected) in rows {
            let sysext = ask(ExtensionClass::Sysext, release, host, None);
            assert_eq!(sysext, *expected, "{release:?} on {host:?}");
            // the same for the other class with the other keys
            let swap = |text: &str| {
                text.replace("SYSEXT_", "%").replace("CONFEXT_", "SYSEXT_").replace('%', "CONFEXT_")
            };
            let (release, host) = (swap(release), swap(host));
            assert_eq!(
                ask(ExtensionClass::Confext, &release, &host, None),
                *expected,
                "{release:?} on {host:?}"
            );
        }
    }

    #[test]
    fn scopes() {
        use ExtensionScope as S;
        let all = [S::System, S::Initrd, S::Portable];
        for (release, taken) in [
            ("ID=_any", [true, false, true]),
            ("ID=_any SYSEXT_SCOPE=", [false, false, false]),
            ("ID=_any SYSEXT_SCOPE=initrd", [false, true, false]),
            ("ID=_any SYSEXT_SCOPE=initrd~system", [true, true, false]),
            ("ID=_any SYSEXT_SCOPE=systems", [false, false, false]),
            ("ID=_any CONFEXT_SCOPE=initrd", [true, false, true]),
        ] {
            for (scope, taken) in all.into_iter().zip(taken) {
                let expected = if taken { Ok(ExtensionMatch::AnyId) } else { Err(ExtensionMismatch::Scope) };
                assert_eq!(
                    ask(ExtensionClass::Sysext, release, "ID=a", Some(scope)),
                    expected,
                    "{release} {scope:?}"
                );
            }
        }
        // asked before the architecture
        let both = "ID=_any SYSEXT_SCOPE=initrd ARCHITECTURE=arm64";
        assert_eq!(ask(ExtensionClass::Sysext, both, "ID=a", Some(S::System)), Err(ExtensionMismatch::Scope));
    }

    fn release(name: &str, text: &str) -> Memory {
        Memory::new().file(&format!("/usr/lib/extension-release.d/extension-release.{name}"), text)
    }

    fn files(memory: Memory) -> Files {
        Files::new(memory.tree(), Vec::new())
    }

    fn check(images: &[(&str, Files)]) -> CheckReport {
        let os_release = env("ID=a VERSION_ID=1");
        let host = ExtensionHost { os_release: &os_release, architecture: X86 };
        let images: Vec<_> = images
            .iter()
            .map(|(name, files)| ExtensionImage {
                shown: (*name).to_owned(),
                file_name: Some((*name).to_owned()),
                name: ddi_core::image_name(name.as_ref()),
                files,
            })
            .collect();
        extension(&images, &host, ExtensionScope::System, None).unwrap()
    }

    fn codes(report: &CheckReport) -> Vec<&'static str> {
        report.findings.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn each_rule_broken_once() {
        let good = "ID=a\nVERSION_ID=1\n";
        let usr = "/usr/bin/x";
        for (image, memory, expected) in [
            ("x.raw", release("x", good).file(usr, ""), &[][..]),
            ("x.img", release("x", good).file(usr, ""), &["not-raw"]),
            (".raw", release("x", good), &["no-image-name"]),
            ("x.raw", Memory::new().file(usr, ""), &["no-extension-release"]),
            ("y.raw", release("x", good), &["no-extension-release", "release-of-other-name"]),
            ("x_1.raw", release("x", good), &["release-by-base-name"]),
            ("x.raw", release("x", ""), &["empty-extension-release"]),
            ("x.raw", release("x", "ID=b\n"), &["other-id"]),
            ("x.raw", release("x", "ID=a\n"), &["no-version-id"]),
            ("x.raw", release("x", "ID=a\nVERSION_ID=2\n"), &["other-version-id"]),
            ("x.raw", release("x", "ID=_any\nARCHITECTURE=arm64\n"), &["other-architecture"]),
            ("x.raw", release("x", "ID=_any\nSYSEXT_SCOPE=initrd\n"), &["other-scope"]),
            ("x.raw", release("x", good).file("/usr/lib/os-release", "ID=a\n"), &["os-release-inside"]),
            ("x.raw", release("x", good).file("/etc/os-release", "ID=a\n"), &["outside-hierarchies"]),
            (
                "x.raw",
                release("x", good).file("/var/lib/y", "").file("/z", ""),
                &["outside-hierarchies", "outside-hierarchies"],
            ),
            (
                "x.raw",
                Memory::new()
                    .file("/etc/extension-release.d/extension-release.x", good)
                    .link("/etc/os-release", "gone"),
                &["etc-os-release"],
            ),
            // directories alone do not matter
            ("x.raw", release("x", good).file("/opt/y", ""), &[]),
        ] {
            let report = check(&[(image, files(memory))]);
            assert_eq!(codes(&report), expected, "{image}: {report:?}");
            assert!(report.findings.iter().all(|finding| finding.image.as_deref() == Some(image)));
        }
        let strict = |value| release("x", good).xattr("user.extension-release.strict", value);
        assert_eq!(codes(&check(&[("y.raw", files(strict("0")))])), ["release-not-strict"]);
        assert_eq!(
            codes(&check(&[("y.raw", files(strict("1")))])),
            ["no-extension-release", "release-strict"]
        );
        let two = release("x", good).xattr("user.extension-release.strict", "0");
        let two = two.file("/usr/lib/extension-release.d/extension-release.z", good);
        let two = two.xattr("user.extension-release.strict", "0");
        assert_eq!(codes(&check(&[("y.raw", files(two))])), ["ambiguous-extension-release"]);
        let fifo = Memory::new().fifo("/usr/lib/extension-release.d/extension-release.x");
        assert_eq!(codes(&check(&[("x.raw", files(fifo))])), ["extension-release-unreadable"]);
    }

    #[test]
    fn both_classes_in_one_image() {
        let both = release("x", "ID=_any\n").file("/etc/extension-release.d/extension-release.x", "ID=b\n");
        let report = check(&[("x.raw", files(both))]);
        assert_eq!(codes(&report), ["other-id"]);
        let matches = &report.facts.iter().find(|(name, _)| *name == "matches").unwrap().1;
        assert_eq!(matches[..], ["x.raw: sysext, ID is _any"]);
    }

    #[test]
    fn stacking() {
        let with = |name: &str, paths: &[&str]| {
            paths.iter().fold(release(name, "ID=_any\n"), |memory, path| memory.file(path, "x"))
        };
        let report = check(&[
            ("x-10.raw", files(with("x-10", &["/usr/bin/same", "/usr/dir", "/usr/lib/only-10"]))),
            ("x-9.raw", files(with("x-9", &["/usr/bin/same", "/usr/dir/file", "/opt/only-9"]))),
        ]);
        assert_eq!(
            report.facts.last().unwrap(),
            &("sysext-order", vec!["x-9".to_owned(), "x-10".to_owned()])
        );
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|found| (found.code, &found.subject, found.image.as_deref()))
            .collect();
        let path = |path: &str| Subject::Path(path.into());
        assert_eq!(
            found,
            [
                ("conflict", &path("/usr/bin/same"), Some("x-10.raw")),
                ("conflict", &path("/usr/dir"), Some("x-10.raw")),
            ]
        );
        assert!(report.passed());

        let two = |first: &str, second: &str| {
            let report = check(&[(first, files(with("x", &[]))), (second, files(with("x", &[])))]);
            codes(&report).into_iter().filter(|code| !code.starts_with("release")).collect::<Vec<_>>()
        };
        assert_eq!(two("x_1.raw", "x_2.raw"), ["two-versions"]);
        assert_eq!(two("x.raw", "x.sysext.raw"), ["duplicate-name"]);
        // + and _ compare alike, so that another name can be in between
        let images = ["x_1.raw", "x+1.raw", "x_1.raw", "x+1.raw"].map(|name| (name, files(with("x", &[]))));
        let report = check(&images);
        let found: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| !finding.code.starts_with("release"))
            .map(|finding| (finding.code, finding.image.as_deref().unwrap()))
            .collect();
        assert_eq!(
            found,
            [("two-versions", "x+1.raw"), ("duplicate-name", "x_1.raw"), ("duplicate-name", "x+1.raw")]
        );
    }

    #[test]
    fn a_host_without_an_id() {
        let os_release = env("VERSION_ID=1");
        let host = ExtensionHost { os_release: &os_release, architecture: X86 };
        let files = files(release("x", "ID=_any\n"));
        let image =
            ExtensionImage { shown: "x".into(), file_name: None, name: Some("x".into()), files: &files };
        let report = extension(&[image], &host, ExtensionScope::System, None).unwrap();
        assert_eq!(codes(&report), ["host-without-id"]);
        assert_eq!(report.assurance, Assurance::Claimed);
    }

    #[test]
    fn alike() {
        let os_release = env("ID=a ID_LIKE=b");
        let host = ExtensionHost { os_release: &os_release, architecture: X86 };
        let files = files(release("x", "ID=b\n"));
        let image =
            ExtensionImage { shown: "x".into(), file_name: None, name: Some("x".into()), files: &files };
        let report =
            extension(&[image], &host, ExtensionScope::System, Some(ExtensionClass::Sysext)).unwrap();
        assert_eq!(codes(&report), ["id-like"]);
        assert!(report.passed());
    }
}
