//! Extensions on top of each other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};

use super::{ExtensionImage, MAX_FILES, MAX_NAMED, SYSEXT};
use crate::check::{CheckFinding, CheckReport, Subject, find};
use crate::contents::Unreadable;
use crate::files::{self, Budget, FileType, Limit, Step, Walk};
use crate::finding::Severity;
use crate::metadata::ExtensionClass;

/// Images that are the same to systemd, or that are two versions of one.
pub(super) fn same_names(report: &mut CheckReport, stack: &[&ExtensionImage<'_>]) {
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
pub(super) fn conflicts(
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
                    report.find(Severity::Error, "not-all-compared", Subject::Whole, reason, SYSEXT);
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
    use crate::check::Subject;
    use crate::check::extension::tests::{check, codes, files, release};

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
}
