//! Extensions on top of each other and of the host: what of each is hidden.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::ops::ControlFlow;

use super::merge::{At, Columns, Cover, Hidden, Overlay, Seen};
use super::view::{Directory, Found, Mount, View};
use super::{ExtensionImage, MAX_NAMED, SYSEXT};
use crate::metadata::ExtensionClass;
use crate::{CheckFinding, CheckReport, Subject, absent_is_none, find};
use ddi_core::MountError;
use ddi_core::Severity;
use ddi_fs::{self as files, Budget, FileType, Limit, Place, Vfs, Walk};

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

/// Files of all images and of the host that are compared with each other.
const MAX_FILES: u64 = 1_000_000;
/// Bytes that the names of the directories on the way are held in.
const MAX_HELD: usize = 64 << 20;
/// Directories inside directories.
const MAX_DEPTH: usize = 200;

const OVERLAYFS: &str = "overlayfs";

/// Who puts extensions on top of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Merge {
    /// On each of these an overlay is mounted.
    pub(crate) hierarchies: &'static [&'static str],
    /// The fact that has the layers of each.
    fact: &'static str,
    /// What the extensions are merged into.
    host: &'static str,
    /// True if the layers of an extension are found through links.
    follows_links: bool,
    rule: &'static str,
}

impl Merge {
    /// Extensions of one class into a running system.
    pub(super) fn of(class: ExtensionClass) -> Self {
        Merge {
            hierarchies: class.hierarchies(),
            fact: match class {
                ExtensionClass::Sysext => "sysext-layers",
                ExtensionClass::Confext => "confext-layers",
            },
            host: "the host",
            follows_links: true,
            rule: "systemd 257, sysext.c:merge_hierarchy",
        }
    }

    /// Extensions of both classes into the root image of a service.
    pub(crate) const PORTABLE: Self = Merge {
        hierarchies: &["/usr", "/opt", "/etc"],
        fact: "layers",
        host: "the root image",
        follows_links: false,
        rule: "systemd 257, namespace.c:mount_overlay",
    };
}

/// What extensions do to each other and to the files of the host, as far as those are known: all of `stack` are merged
/// together, the lowest first.
pub(crate) fn compare(
    report: &mut CheckReport,
    stack: &[&ExtensionImage<'_>],
    merge: Merge,
    host: Option<&Vfs>,
) -> Result<(), MountError> {
    let nothing = Vfs::new(None);
    let is_known = host.is_some();
    let mut view = View::new(host.unwrap_or(&nothing), Vec::new());
    for hierarchy in merge.hierarchies {
        if let Some(mount) = mount(report, stack, merge, hierarchy, host)? {
            view.mounts.push(mount);
        }
    }
    let mut layers = Vec::new();
    for mount in &view.mounts {
        let name = |at: &usize| stack.get(*at).and_then(|image| image.name.as_deref());
        let names = mount.images.iter().rev().filter_map(name);
        let names: Vec<_> = mount.has_host.then_some(merge.host).into_iter().chain(names).collect();
        layers.push(format!("{}: {}", mount.path, names.join(", ")));
    }
    report.fact(merge.fact, layers);
    let walk = Walk::new(Budget { entries: MAX_FILES, ..Budget::default() });
    let mut comparison = Comparison {
        stack,
        merge,
        view,
        is_known,
        walk,
        told: stack.iter().map(|_| Vec::new()).collect(),
        denied: None,
    };
    let mut unfinished = None;
    for mount in 0..comparison.view.mounts.len() {
        match comparison.go_through(mount) {
            Ok(()) => {}
            // what the account of an image does not allow is no answer at all
            Err(error @ files::Error::Budget(Limit::Work | Limit::Time)) => {
                return Err(MountError::FileSystem(error));
            }
            Err(error @ files::Error::Budget(_)) => unfinished = Some(error),
            Err(error) => return Err(MountError::FileSystem(error)),
        }
    }
    comparison.tell(report);
    if let Some(error) = unfinished {
        let reason = format!("not all files were compared: {error}");
        report.find(Severity::Error, "not-all-compared", Subject::Whole, reason, "limit of ours");
    }
    Ok(())
}

/// The layers of one hierarchy; `None` if nothing is merged there.
fn mount<'a>(
    report: &mut CheckReport,
    stack: &[&ExtensionImage<'a>],
    merge: Merge,
    hierarchy: &'static str,
    host: Option<&'a Vfs>,
) -> Result<Option<Mount<'a>>, MountError> {
    let mut overlay = Overlay { layers: Vec::new() };
    let mut images = Vec::new();
    // overlayfs counts layers from the uppermost
    for (at, image) in stack.iter().enumerate().rev() {
        let before = report.findings.len();
        let tree = &image.files.tree;
        let start = if !merge.follows_links && is_no_directory(tree, hierarchy)? {
            let reason = "it is no directory itself: systemd passes it over, and nothing of it is merged";
            let subject = Subject::Path(hierarchy.as_bytes().into());
            report.find(Severity::Warning, "hierarchy-not-a-directory", subject, reason, merge.rule);
            None
        } else {
            start_of(report, merge, tree, hierarchy)?
        };
        for finding in report.findings.iter_mut().skip(before) {
            finding.image = Some(image.shown.clone());
        }
        // systemd leaves out those that are empty
        if let Some(start) = start.filter(|(_, is_empty)| !is_empty) {
            overlay.layers.push((&image.files.tree, start.0));
            images.push(at);
        }
    }
    if images.is_empty() {
        return Ok(None);
    }
    let start = match host {
        Some(host) => start_of(report, merge, host, hierarchy)?,
        None => None,
    };
    // systemd makes what is missing; of what is there and no directory, `start_of` told
    if let (Some(host), None) = (host, start)
        && absent_is_none(host.resolve_link(hierarchy.as_bytes()))?.is_none()
    {
        let reason = format!(
            "{} has no such directory: systemd makes it, and merges nothing if it cannot",
            merge.host
        );
        let subject = Subject::Path(hierarchy.as_bytes().into());
        report.find(Severity::Warning, "no-hierarchy", subject, reason, merge.rule);
    }
    let has_host = start.is_some_and(|(_, is_empty)| !is_empty);
    if let (Some(host), Some((start, false))) = (host, start) {
        overlay.layers.push((host, start));
        for name in [".systemd-sysext", ".systemd-confext"] {
            let path = format!("{hierarchy}/{name}");
            if find(host, path.as_bytes())?.is_some() {
                let reason = format!(
                    "extensions are merged into {} already: their files are taken for its own",
                    merge.host
                );
                let subject = Subject::Path(path.into_bytes());
                report.find(Severity::Warning, "host-is-merged", subject, reason, SYSEXT);
            }
        }
    }
    Ok(Some(Mount { path: hierarchy, on: start.map(|(place, _)| place), overlay, has_host, images }))
}

/// The directory that a hierarchy is, links followed, and if it is empty; `None` if there is none.
fn start_of(
    report: &mut CheckReport,
    merge: Merge,
    tree: &Vfs,
    hierarchy: &str,
) -> Result<Option<(Place, bool)>, MountError> {
    let failure = match tree.resolve(hierarchy.as_bytes()) {
        Ok(place) => match tree.stat(place).map_err(MountError::FileSystem)?.file_type {
            FileType::Directory => {
                let mut is_empty = true;
                tree.list(place, &mut |_, _| {
                    is_empty = false;
                    ControlFlow::Break(())
                })
                .map_err(MountError::FileSystem)?;
                return Ok(Some((place, is_empty)));
            }
            _ => "it is no directory",
        },
        Err(files::Error::NotFound) => return Ok(None),
        Err(files::Error::LinkLoop) => "its links go round in a circle",
        Err(files::Error::NotADirectory) => "it leads through what is no directory",
        Err(error) => return Err(MountError::FileSystem(error)),
    };
    let reason = format!("{failure}: systemd merges nothing at all then");
    let subject = Subject::Path(hierarchy.as_bytes().into());
    report.find(Severity::Error, "hierarchy-not-a-directory", subject, reason, merge.rule);
    Ok(None)
}

/// Returns true if there is anything other than a directory; a link to one counts.
fn is_no_directory(tree: &Vfs, hierarchy: &str) -> Result<bool, MountError> {
    let Some(place) = absent_is_none(tree.resolve_link(hierarchy.as_bytes()))? else { return Ok(false) };
    Ok(tree.stat(place).map_err(MountError::FileSystem)?.file_type != FileType::Directory)
}

/// Findings of one code, for one image.
struct Group {
    code: &'static str,
    worst: Severity,
    rule: &'static str,
    findings: Vec<CheckFinding>,
    more: usize,
}

struct Comparison<'a, 's> {
    stack: &'s [&'s ExtensionImage<'a>],
    merge: Merge,
    view: View<'a>,
    /// True if the files of the host are known.
    is_known: bool,
    walk: Walk,
    /// For each image.
    told: Vec<Vec<Group>>,
    /// Directories of the host that its caller may not read: the first one, and how many.
    denied: Option<(Vec<u8>, usize)>,
}

/// What an extension takes from the users of the host.
type Effect = Option<(Severity, &'static str, String)>;

impl Comparison<'_, '_> {
    /// All directories that more than one layer has.
    fn go_through(&mut self, mount: usize) -> Result<(), files::Error> {
        let Some(of) = self.view.mounts.get(mount) else { return Ok(()) };
        let host = of.has_host.then_some(of.images.len());
        let mut path = of.path.as_bytes().to_vec();
        let root = of.overlay.root();
        let mut seen: HashSet<At> = root.iter().copied().collect();
        let mut frames = vec![(self.columns(mount, &root, host)?, path.len())];
        while let Some((columns, len)) = frames.last_mut() {
            path.truncate(*len);
            let Some((name, column)) = columns.next() else {
                frames.pop();
                continue;
            };
            path.push(b'/');
            path.extend_from_slice(&name);
            let Some(directories) = self.allowed(&path, |it| it.one(mount, host, &path, &column))?.flatten()
            else {
                continue;
            };
            for at in &directories {
                if Some(at.layer) != host && !seen.insert(*at) {
                    return Err(files::Error::DirectoryLoop);
                }
            }
            if frames.len() >= MAX_DEPTH {
                return Err(files::Error::Budget(Limit::Depth));
            }
            let Some(columns) = self.allowed(&path, |it| it.columns(mount, &directories, host))? else {
                continue;
            };
            frames.push((columns, path.len()));
            let held = frames.iter().map(|(columns, _)| columns.held()).fold(0, usize::saturating_add);
            if held > MAX_HELD {
                return Err(files::Error::Budget(Limit::Names));
            }
        }
        Ok(())
    }

    /// Without what the caller may not read on the host.
    fn allowed<T>(
        &mut self,
        path: &[u8],
        look: impl FnOnce(&mut Self) -> Result<T, files::Error>,
    ) -> Result<Option<T>, files::Error> {
        match look(self) {
            Ok(found) => Ok(Some(found)),
            Err(files::Error::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                let (_, count) = self.denied.get_or_insert_with(|| (path.to_vec(), 0));
                *count = count.saturating_add(1);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn columns(&mut self, mount: usize, of: &[At], host: Option<usize>) -> Result<Columns, files::Error> {
        let Some(mount) = self.view.mounts.get(mount) else { return Ok(Columns::default()) };
        mount.overlay.columns(of, host, &mut self.walk)
    }

    /// One name. The answer is the directories that are put together there, if there is more to compare in them.
    fn one(
        &mut self,
        mount: usize,
        host: Option<usize>,
        path: &[u8],
        column: &[At],
    ) -> Result<Option<Vec<At>>, files::Error> {
        let Some(of) = self.view.mounts.get(mount) else { return Ok(None) };
        let judged = of.overlay.judge(column)?;
        let image = |at: At| of.images.get(at.layer).copied();
        let mut findings = Vec::new();
        if let Some(at) = judged.redirect {
            let reason = "its attribute says that overlayfs should look elsewhere for what is under it, which is not followed here";
            findings.push((image(at), Severity::Warning, "overlay-redirect", reason.to_owned()));
        }
        for at in &judged.whiteouts {
            // with the files of the host known, a whiteout counts by what it hides of them
            if !self.is_known {
                let reason = format!("it is a whiteout: a file of {} is hidden", self.merge.host);
                findings.push((image(*at), Severity::Warning, "whiteout", reason));
            }
        }
        let mut from_host = None;
        for hidden in judged.hidden.iter().filter(|_| !is_release(path)) {
            if Some(hidden.at.layer) == host {
                from_host = Some(*hidden);
                continue;
            }
            let other = image(hidden.at).and_then(|at| self.stack.get(at));
            let other = other.map_or("another", |image| &*image.shown);
            let theirs = of.overlay.stat(hidden.at)?.file_type;
            let reason = match hidden.cover {
                Cover::File if theirs == FileType::Regular => {
                    format!("it hides the one of {other}, which is lower in the stack")
                }
                cover => format!(
                    "its {} hides the {} of {other}, which is lower in the stack",
                    cover_name(cover),
                    type_name(theirs)
                ),
            };
            findings.push((image(hidden.by), Severity::Warning, "conflict", reason));
        }
        if let Seen::Directory(directories) = &judged.seen
            && let (Some(first), Some(last)) = (directories.first(), directories.last())
            && Some(last.layer) == host
        {
            let (ours, theirs) = (of.overlay.stat(*first)?, of.overlay.stat(*last)?);
            // overlayfs shows the mode of the uppermost one, so this is what group or others lose
            let lost = theirs.permissions & !ours.permissions & 0o055;
            if first.layer != last.layer && lost != 0 {
                let severity = if lost & 0o001 == 0 { Severity::Warning } else { Severity::Error };
                let reason = format!(
                    "{}'s directory gets the mode of the extension's, {:03o} in place of {:03o}, also for the files that are only there",
                    self.merge.host, ours.permissions, theirs.permissions
                );
                findings.push((image(*first), severity, "directory-mode", reason));
            }
        }
        let by = from_host.and_then(|hidden| image(hidden.by));
        let link = match (&judged.seen, from_host) {
            (Seen::File(at, stat), Some(_)) if stat.file_type == FileType::Symlink => {
                Some(of.overlay.tree(*at)?.link_target(at.place)?)
            }
            _ => None,
        };
        let is_known = self.is_known;
        // what only one layer has hides nothing; without the files of the host any whiteout counts
        let is_worth_it = |directories: &Vec<At>| !is_known || directories.len() > 1;
        let next = match judged.seen {
            Seen::Directory(directories) if is_worth_it(&directories) => Some(directories),
            _ => None,
        };
        for (image, severity, code, reason) in findings {
            self.note(image, path, severity, code, reason);
        }
        if let Some(hidden) = from_host
            && let Some((severity, code, reason)) = self.effect(path, hidden, link.as_deref())?
        {
            self.note(by, path, severity, code, reason);
        }
        Ok(next)
    }

    /// What the users of the host lose by a file that is hidden. `link`: where the one that is seen leads.
    fn effect(&mut self, path: &[u8], hidden: Hidden, link: Option<&[u8]>) -> Result<Effect, files::Error> {
        let host = self.view.host;
        let was = host.stat(hidden.at.place)?.file_type;
        let target = match was {
            FileType::Symlink => Some(host.link_target(hidden.at.place)?),
            _ => None,
        };
        if target.is_some() && target.as_deref() == link {
            return Ok(None);
        }
        // a link that leads nowhere has no users
        let Some((place, file_type)) = self.view.on_host(path)? else { return Ok(None) };
        let cover = cover_name(hidden.cover);
        let theirs = match &target {
            Some(target) => format!("link to {}", String::from_utf8_lossy(target)),
            None => type_name(was).to_owned(),
        };
        let code = |otherwise| match hidden.cover {
            Cover::Whiteout => "whiteout",
            Cover::Opaque => "opaque-directory",
            _ => otherwise,
        };
        let now = self.view.resolve(path)?;
        let name = self.merge.host;
        if file_type == FileType::Directory {
            let code = code(if target.is_some() { "hides-host-link" } else { "hides-host-directory" });
            let (lost, first) = self.lost(place, now.as_ref())?;
            return Ok(match (first, now) {
                (Some(first), _) => {
                    let first = String::from_utf8_lossy(&first).into_owned();
                    let names = if lost == 1 { "name" } else { "names" };
                    let reason = format!(
                        "its {cover} hides {name}'s {theirs}: {lost} {names} in it can no longer be reached, such as {first}"
                    );
                    Some((Severity::Error, code, reason))
                }
                (None, Some(Found::Directory(_))) => None,
                (None, _) => {
                    let reason = format!("its {cover} hides {name}'s {theirs}, which is empty");
                    Some((Severity::Warning, code, reason))
                }
            });
        }
        let gone = |what: &str| {
            let reason = format!("its {cover} hides {name}'s {theirs}: {what}");
            Some((Severity::Error, code("hides-host-file"), reason))
        };
        let replaced = |what: &str| {
            let reason = format!("it replaces {name}'s {theirs}{what}");
            Some((Severity::Note, "replaces-host-file", reason))
        };
        Ok(match (now, link) {
            (Some(Found::Other(now)), _) if now == FileType::Regular || now == file_type => replaced(""),
            (Some(Found::Other(now)), _) => gone(&format!("there is a {} now", type_name(now))),
            (Some(Found::Directory(_)), _) => gone("there is a directory now"),
            (None, Some(link)) if leads_away(path, link) => {
                replaced(&format!(" with a link to {}", String::from_utf8_lossy(link)))
            }
            (None, Some(_)) => gone("it leads nowhere in the merged tree"),
            (None, None) => {
                let reason = format!("its {cover} hides {name}'s {theirs}");
                Some((Severity::Warning, code("hides-host-file"), reason))
            }
        })
    }

    /// How many names of a directory of the host are not in that of the view, and the first one.
    fn lost(&mut self, place: Place, now: Option<&Found>) -> Result<(usize, Option<Vec<u8>>), files::Error> {
        let (names, error) = self.walk.names(self.view.host, place)?;
        if let Some(error) = error {
            return Err(error);
        }
        let mut kept: HashSet<Vec<u8>> = HashSet::new();
        match now {
            Some(Found::Directory(Directory::Host(now))) if *now == place => return Ok((0, None)),
            Some(Found::Directory(Directory::Host(now))) => {
                let (names, error) = self.walk.names(self.view.host, *now)?;
                if let Some(error) = error {
                    return Err(error);
                }
                kept.extend(names.iter().map(|(name, _)| name.to_vec()));
            }
            Some(Found::Directory(Directory::Merged(mount, directories))) => {
                if let Some(mount) = self.view.mounts.get(*mount) {
                    let mut columns = mount.overlay.columns(directories, None, &mut self.walk)?;
                    while let Some((name, column)) = columns.next() {
                        if mount.overlay.judge(&column)?.seen != Seen::Nothing {
                            kept.insert(name);
                        }
                    }
                }
            }
            _ => {}
        }
        let mut lost = names.iter().map(|(name, _)| name).filter(|name| !kept.contains(*name));
        let first = lost.next().map(<[u8]>::to_vec);
        Ok((lost.count().saturating_add(usize::from(first.is_some())), first))
    }

    fn note(
        &mut self,
        image: Option<usize>,
        path: &[u8],
        severity: Severity,
        code: &'static str,
        reason: String,
    ) {
        let Some(groups) = image.and_then(|image| self.told.get_mut(image)) else { return };
        let rule = if code == "conflict" { SYSEXT } else { OVERLAYFS };
        let at = match groups.iter().position(|group| group.code == code) {
            Some(at) => at,
            None => {
                groups.push(Group { code, worst: severity, rule, findings: Vec::new(), more: 0 });
                groups.len().saturating_sub(1)
            }
        };
        let Some(group) = groups.get_mut(at) else { return };
        if group.findings.len() < MAX_NAMED {
            let subject = Subject::Path(path.to_vec());
            group.findings.push(CheckFinding::new(severity, code, subject, reason, rule));
        } else {
            group.worst = group.worst.max(severity);
            group.more = group.more.saturating_add(1);
        }
    }

    fn tell(self, report: &mut CheckReport) {
        if let Some((first, count)) = self.denied {
            let reason = format!(
                "{count} directories of {} may not be read, of which this is the first",
                self.merge.host
            );
            report.find(Severity::Error, "not-all-compared", Subject::Path(first), reason, "limit of ours");
        }
        for (groups, image) in self.told.into_iter().zip(self.stack) {
            for group in groups {
                for finding in group.findings {
                    report.add(finding.in_image(image.shown.clone()));
                }
                if group.more > 0 {
                    let reason = format!("{} more paths like these", group.more);
                    let finding =
                        CheckFinding::new(group.worst, group.code, Subject::Whole, reason, group.rule);
                    report.add(finding.in_image(image.shown.clone()));
                }
            }
        }
    }
}

fn cover_name(cover: Cover) -> &'static str {
    match cover {
        Cover::File => "file",
        Cover::Link => "link",
        Cover::Directory => "directory",
        Cover::Whiteout => "whiteout",
        Cover::Opaque => "opaque directory",
    }
}

fn type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Regular => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        FileType::CharDevice | FileType::BlockDevice => "device",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
    }
}

/// Returns true if a link leads to where the files of a host are not known, such as `/dev/null` or something under
/// `/run`.
fn leads_away(path: &[u8], target: &[u8]) -> bool {
    const KNOWN: &[&[u8]] = &[b"usr", b"opt", b"etc", b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libx32"];
    let directory =
        path.iter().rposition(|byte| *byte == b'/').and_then(|at| path.get(..at)).unwrap_or_default();
    let start = if target.first() == Some(&b'/') { &[][..] } else { directory };
    let mut components: Vec<&[u8]> = Vec::new();
    for name in start.split(|byte| *byte == b'/').chain(target.split(|byte| *byte == b'/')) {
        match name {
            b"" | b"." => {}
            b".." => {
                components.pop();
            }
            name => components.push(name),
        }
    }
    components.first().is_none_or(|first| !KNOWN.contains(first))
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
    use crate::extension::tests::{X86, check, codes, env, files, release};
    use crate::extension::{ExtensionHost, ExtensionScope, extension as extension_check};
    use ddi_testing::memory::Memory;

    #[test]
    fn stacking() {
        let with = |name: &str, paths: &[&str]| {
            paths.iter().fold(release(name, "ID=_any\n"), |memory, path| memory.file(path, "x"))
        };
        let report = check(&[
            ("x-10.raw", files(with("x-10", &["/usr/bin/same", "/usr/dir", "/usr/lib/only-10"]))),
            ("x-9.raw", files(with("x-9", &["/usr/bin/same", "/usr/dir/file", "/opt/only-9"]))),
        ]);
        let [order, layers] = &report.facts[report.facts.len() - 2..] else { panic!("{report:?}") };
        assert_eq!(order, &("sysext-order", vec!["x-9".to_owned(), "x-10".to_owned()]));
        let expected = vec!["/usr: x-9, x-10".to_owned(), "/opt: x-9".to_owned()];
        assert_eq!(layers, &("sysext-layers", expected));
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

    /// A merged-usr system.
    fn host() -> Memory {
        let host =
            Memory::new().file("/usr/bin/ls", "").file("/usr/lib/libc.so.6", "").file("/usr/lib/t/a", "");
        let host = host.link("/usr/sbin", "bin").link("/usr/lib64", "lib").link("/usr/bin/vi", "vim");
        let host =
            host.file("/usr/bin/vim", "").link("/usr/bin/gone", "nothing").file("/usr/share/doc/x/y", "");
        let host = host.file("/usr/local/bin/mine", "").file("/etc/a.conf", "").file("/opt/o/p", "");
        host.link("/bin", "usr/bin")
            .link("/sbin", "usr/sbin")
            .link("/lib64", "usr/lib64")
            .fifo("/usr/lib/fifo")
    }

    fn on(host: Memory, extension: Memory, class: ExtensionClass) -> Vec<(&'static str, Severity, Subject)> {
        let os_release = env("ID=a");
        let tree = host.tree();
        let about = ExtensionHost { os_release: &os_release, architecture: X86, tree: Some(&tree) };
        let directory = class.directory();
        let files = files(extension.file(&format!("{directory}/extension-release.x"), "ID=_any\n"));
        let image =
            ExtensionImage { shown: "x".into(), file_name: None, name: Some("x".into()), files: &files };
        let report = extension_check(&[image], &about, ExtensionScope::System, Some(class)).unwrap();
        report.findings.into_iter().map(|found| (found.code, found.severity, found.subject)).collect()
    }

    /// F7: what takes effect of a path that both have, and what that takes from the users of the host.
    #[test]
    fn f7_what_the_host_loses() {
        use Severity::{Error, Note, Warning};
        let new = Memory::new;
        for (extension, expected) in [
            // what only one of them has, and directories that are put together
            (new().file("/usr/bin/x", "").file("/usr/lib/x/y", ""), &[][..]),
            // a directory over a link: what was behind the link is gone, also if the files are put there again
            (new().file("/usr/sbin/d", ""), &[("hides-host-link", Error, "/usr/sbin")]),
            (new().file("/usr/lib64/libx.so", ""), &[("hides-host-link", Error, "/usr/lib64")]),
            (
                new()
                    .file("/usr/sbin/ls", "")
                    .file("/usr/sbin/vi", "")
                    .file("/usr/sbin/vim", "")
                    .link("/usr/sbin/gone", "y"),
                &[],
            ),
            // a file, a link, a fifo over a directory
            (new().file("/usr/bin", ""), &[("hides-host-directory", Error, "/usr/bin")]),
            (new().link("/usr/share/doc", "/opt/docs"), &[("hides-host-directory", Error, "/usr/share/doc")]),
            (new().link("/usr/share/doc", "../lib"), &[("hides-host-directory", Error, "/usr/share/doc")]),
            // the same through the link
            (new().link("/usr/lib/t", "t2").file("/usr/lib/t2/a", ""), &[]),
            (
                new().link("/usr/lib/t", "t2").file("/usr/lib/t2/b", ""),
                &[("hides-host-directory", Error, "/usr/lib/t")],
            ),
            (new().link("/usr/sbin", "bin").file("/usr/bin/x", ""), &[]),
            (new().link("/usr/sbin", "../bin"), &[]),
            (new().link("/usr/sbin", "lib"), &[("hides-host-link", Error, "/usr/sbin")]),
            // files
            (new().file("/usr/bin/ls", ""), &[("replaces-host-file", Note, "/usr/bin/ls")]),
            (new().file("/usr/bin/vi", ""), &[("replaces-host-file", Note, "/usr/bin/vi")]),
            (new().file("/usr/bin/gone", ""), &[]),
            (new().file("/usr/bin/ls/x", ""), &[("hides-host-file", Error, "/usr/bin/ls")]),
            (new().fifo("/usr/bin/ls"), &[("hides-host-file", Error, "/usr/bin/ls")]),
            (new().fifo("/usr/lib/fifo"), &[("replaces-host-file", Note, "/usr/lib/fifo")]),
            (new().link("/usr/bin/ls", "busybox"), &[("hides-host-file", Error, "/usr/bin/ls")]),
            (new().link("/usr/bin/ls", "vim"), &[("replaces-host-file", Note, "/usr/bin/ls")]),
            (new().link("/usr/bin/ls", "/usr/lib"), &[("hides-host-file", Error, "/usr/bin/ls")]),
            (new().link("/usr/bin/ls", "/dev/null"), &[("replaces-host-file", Note, "/usr/bin/ls")]),
            // whiteouts and opaque directories
            (new().whiteout("/usr/bin/ls"), &[("whiteout", Warning, "/usr/bin/ls")]),
            (new().whiteout("/usr/share/doc"), &[("whiteout", Error, "/usr/share/doc")]),
            (new().whiteout("/usr/bin/other"), &[]),
            (
                new().file("/usr/bin/ls", "").xattr("trusted.overlay.whiteout", ""),
                &[("whiteout", Warning, "/usr/bin/ls")],
            ),
            (
                new().dir_xattr("/usr/bin", "trusted.overlay.opaque", "y").file("/usr/bin/x", ""),
                &[("opaque-directory", Error, "/usr/bin")],
            ),
            (new().dir_xattr("/usr/bin", "user.overlay.opaque", "y").file("/usr/bin/x", ""), &[]),
            (new().dir_xattr("/usr", "trusted.overlay.opaque", "y"), &[]),
            (
                new().dir_xattr("/usr/bin", "trusted.overlay.redirect", "lib").file("/usr/bin/x", ""),
                &[("overlay-redirect", Warning, "/usr/bin")],
            ),
            // the mode of the extension's directory is that of the merged one
            (
                new().permissions("/usr/bin", 0o700).file("/usr/bin/x", ""),
                &[("directory-mode", Error, "/usr/bin")],
            ),
            (
                new().permissions("/usr/bin", 0o711).file("/usr/bin/x", ""),
                &[("directory-mode", Warning, "/usr/bin")],
            ),
            (new().permissions("/usr/bin", 0o777).file("/usr/bin/x", ""), &[]),
            // another hierarchy, and where the host keeps its own things
            (new().file("/opt/o", ""), &[("hides-host-directory", Error, "/opt/o")]),
            (new().file("/usr/local/bin/mine", ""), &[("replaces-host-file", Note, "/usr/local/bin/mine")]),
            (new().file("/opt", ""), &[("hierarchy-not-a-directory", Error, "/opt")]),
            (new().link("/opt", "opt"), &[("hierarchy-not-a-directory", Error, "/opt")]),
            (new().link("/opt", "nowhere"), &[]),
        ] {
            let found = on(host(), extension, ExtensionClass::Sysext);
            let expected: Vec<_> = expected
                .iter()
                .map(|(code, severity, path)| (*code, *severity, Subject::Path((*path).into())))
                .collect();
            assert_eq!(found, expected);
        }
        // a configuration extension is there to replace files
        let found = on(host(), new().file("/etc/a.conf", ""), ExtensionClass::Confext);
        assert_eq!(found, [("replaces-host-file", Note, Subject::Path("/etc/a.conf".into()))]);
    }

    /// F7: the host as it should not be.
    #[test]
    fn f7_odd_hosts() {
        use Severity::{Error, Warning};
        let extension = || Memory::new().file("/opt/x/y", "");
        let path = |path: &str| Subject::Path(path.into());
        for (host, expected) in [
            (Memory::new().file("/usr/bin/ls", ""), vec![("no-hierarchy", Warning, path("/opt"))]),
            (
                Memory::new().file("/usr/bin/ls", "").file("/opt", ""),
                vec![("hierarchy-not-a-directory", Error, path("/opt"))],
            ),
            // an absolute link stays in the host
            (Memory::new().link("/opt", "/usr/opt").file("/usr/opt/a", ""), vec![]),
            (
                Memory::new().link("/opt", "/usr/opt").file("/usr/opt/x", ""),
                vec![("hides-host-file", Error, path("/opt/x"))],
            ),
            (
                Memory::new().file("/usr/.systemd-sysext/dev", "").file("/opt/a", ""),
                vec![("host-is-merged", Warning, path("/usr/.systemd-sysext"))],
            ),
        ] {
            assert_eq!(on(host, extension(), ExtensionClass::Sysext), expected);
        }
    }

    /// F7: a host that is made to have many of them does not make the report long.
    #[test]
    fn f7_no_more_than_some_are_named() {
        let (mut host, mut extension) = (Memory::new(), Memory::new());
        for number in 0..50 {
            host = host.file(&format!("/usr/a/{number:02}"), "");
            extension = extension.file(&format!("/usr/a/{number:02}/x"), "");
        }
        host = host.file("/opt/a", "");
        let found = on(host, extension, ExtensionClass::Sysext);
        assert_eq!(found.len(), MAX_NAMED + 1);
        assert!(
            found
                .iter()
                .all(|(code, severity, _)| (*code, *severity) == ("hides-host-file", Severity::Error))
        );
        assert_eq!(found.last().unwrap().2, Subject::Whole);
    }
}
