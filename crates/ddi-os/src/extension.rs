//! Extension images: whether they go with a host, what they bring, and in which order they are stacked.
//!
//! Source: systemd, `src/shared/extension-util.c`, `src/sysext/sysext.c`; UAPI.4, extension images.

mod matching;
mod merge;
mod stack;
mod view;

use ddi_gpt::compare_versions;

pub use matching::{ExtensionHost, ExtensionMatch, ExtensionMismatch, ExtensionScope, match_extension};

pub(super) use matching::words;
pub(super) use stack::{Merge, compare};

use super::{CheckReport, Subject, absent_is_none, find, names};
use crate::metadata::{self, ExtensionClass, ExtensionRelease, NameRule, Passed};
use ddi_core::MountError;
use ddi_core::Severity;
use ddi_core::steps::Files;
use ddi_fs::{self as files, Budget, FileType, Place, Step, Vfs, Walk};

const MATCHING: &str = "os-release(5), systemd extension_release_validate";
const NAMES: &str = "systemd open_extension_release_at; UAPI.4 Extension Images";
const SYSEXT: &str = "systemd-sysext(8)";
const NO_OS_RELEASE: &str = "UAPI.4 Extension Images";
const ETC_OS_RELEASE: &[u8] = b"/etc/os-release";
/// Paths that one kind of finding names, for one image.
const MAX_NAMED: usize = 20;
/// Files of one image that are looked at.
const MAX_FILES: u64 = 1_000_000;

/// An extension image that is checked.
#[derive(Debug, Clone)]
pub struct ExtensionImage<'a> {
    /// What findings call it.
    pub shown: String,
    /// The last part of its path, if it has one.
    pub file_name: Option<String>,
    /// Its name without suffixes: see [`image_name`](ddi_core::steps::image_name).
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
) -> Result<CheckReport, MountError> {
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
    // each class has hierarchies of its own, so neither hides anything of the other
    for class in [ExtensionClass::Sysext, ExtensionClass::Confext] {
        let mut stack: Vec<_> =
            accepted.iter().filter(|(other, _)| *other == class).map(|(_, image)| *image).collect();
        if stack.is_empty() {
            continue;
        }
        let name = |image: &ExtensionImage<'_>| image.name.clone().unwrap_or_default();
        // the order in which systemd puts them on top of each other
        stack.sort_by(|a, b| compare_versions(&name(a), &name(b)));
        let title = match class {
            ExtensionClass::Sysext => "sysext-order",
            ExtensionClass::Confext => "confext-order",
        };
        report.fact(title, stack.iter().map(|image| name(image)));
        stack::same_names(&mut report, &stack);
        compare(&mut report, &stack, Merge::of(class), host.tree)?;
    }
    // what was not found counts only if all was looked at
    for tree in images.iter().map(|image| &image.files.tree).chain(host.tree) {
        tree.check_complete().map_err(MountError::FileSystem)?;
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
) -> Result<(), MountError> {
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
    tree: &Vfs,
    class: ExtensionClass,
    name: Option<&str>,
) -> Result<Result<ExtensionRelease, (&'static str, String)>, MountError> {
    match ExtensionRelease::find(tree, class, name) {
        Ok(release) => Ok(Ok(release)),
        Err(metadata::Error::File(error)) if !is_about_content(&error) => Err(MountError::FileSystem(error)),
        Err(error) => {
            let code = match error {
                metadata::Error::AmbiguousExtension => "ambiguous-extension-release",
                _ => "extension-release-unreadable",
            };
            Ok(Err((code, error.to_string())))
        }
    }
}

/// Returns true if it is the file that is wrong, and not the file system or its source.
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

/// What is in none of the hierarchies is not merged. systemd follows links to them, inside the extension
/// (`determine_middle_lower_dirs`): what `/usr` leads to is merged, wherever that is.
pub(super) fn outside(report: &mut CheckReport, tree: &Vfs, hierarchies: &[&str]) -> Result<(), MountError> {
    let mut merged: Vec<Place> = Vec::new();
    for hierarchy in hierarchies {
        merged.extend(find(tree, hierarchy.as_bytes())?);
    }
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
            if merged.contains(&visit.place) {
                return Ok(Step::Skip);
            }
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
        .map_err(MountError::FileSystem)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::EnvFile;
    use ddi_core::Assurance;
    use ddi_testing::memory::Memory;

    pub(super) const X86: &str = "x86-64";

    pub(super) fn env(text: &str) -> EnvFile {
        EnvFile::parse(text.replace(' ', "\n").replace('~', " ").as_bytes()).unwrap()
    }

    pub(super) fn release(name: &str, text: &str) -> Memory {
        Memory::new().file(&format!("/usr/lib/extension-release.d/extension-release.{name}"), text)
    }

    pub(super) fn files(memory: Memory) -> Files {
        Files::new(memory.tree(), Vec::new())
    }

    pub(super) fn check(images: &[(&str, Files)]) -> CheckReport {
        let os_release = env("ID=a VERSION_ID=1");
        let host = ExtensionHost { os_release: &os_release, architecture: X86, tree: None };
        let images: Vec<_> = images
            .iter()
            .map(|(name, files)| ExtensionImage {
                shown: (*name).to_owned(),
                file_name: Some((*name).to_owned()),
                name: ddi_core::steps::image_name(name.as_ref()),
                files,
            })
            .collect();
        extension(&images, &host, ExtensionScope::System, None).unwrap()
    }

    pub(super) fn codes(report: &CheckReport) -> Vec<&'static str> {
        report.findings.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn each_rule_broken_once() {
        let good = "ID=a\nVERSION_ID=1\n";
        let usr = "/usr/bin/x";
        let at = |lib: &str, text: &str| {
            Memory::new().file(&format!("{lib}/extension-release.d/extension-release.x"), text)
        };
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
            // F7: what a hierarchy leads to is merged, and nothing beside it
            ("x.raw", at("/real/lib", good).link("/usr", "real").file("/real/bin/x", ""), &[]),
            ("x.raw", at("/a/b/lib", good).link("/usr", "/a/b"), &[]),
            ("x.raw", at("/a/b/lib", good).link("/usr", "/a/b").file("/a/c", ""), &["outside-hierarchies"]),
            ("x.raw", release("x", good).link("/opt", "usr"), &[]),
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
    fn a_host_without_an_id() {
        let os_release = env("VERSION_ID=1");
        let host = ExtensionHost { os_release: &os_release, architecture: X86, tree: None };
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
        let host = ExtensionHost { os_release: &os_release, architecture: X86, tree: None };
        let files = files(release("x", "ID=b\n"));
        let image =
            ExtensionImage { shown: "x".into(), file_name: None, name: Some("x".into()), files: &files };
        let report =
            extension(&[image], &host, ExtensionScope::System, Some(ExtensionClass::Sysext)).unwrap();
        assert_eq!(codes(&report), ["id-like"]);
        assert!(report.passed());
    }
}
