//! Files of an archive, copied into the tree of a file system by the same rules as those of a folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ddi_gpt::Designator;

use super::tree::{
    Entry, Key, Kind, MAX_ENTRIES, MAX_PATH, Owners, Tree, VOLATILE, join, key_of, mount_points, parent,
    resolve,
};
use crate::archive::Archive;
use crate::definitions::{CopyFiles, Definition, Definitions, Notice};
use crate::error::{Error, SourceFault};

/// What is not copied, by its place in the archive or in the tree; true if a folder itself stays.
#[derive(Default)]
struct Denied {
    sources: BTreeMap<Key, bool>,
    targets: BTreeMap<Key, bool>,
}

impl Denied {
    fn new(
        archive: &Archive,
        (definition, listed): (&Definition, &Definition),
        definitions: &Definitions,
        copy: &CopyFiles,
    ) -> Self {
        let mut denied = Self::default();
        let mut add = |path: &str, contents_only: bool| {
            if let Ok(key) = resolve(&archive.entries, path.as_bytes(), true)
                && archive.entries.contains_key(&key)
            {
                let known = denied.sources.entry(key).or_insert(contents_only);
                *known &= contents_only;
            }
        };
        for path in VOLATILE {
            add(path, true);
        }
        if definition.partition_type.designator() == Some(Designator::Root) && copy.target == "/" {
            let others = definitions.list.iter().filter(|other| !std::ptr::eq(*other, listed));
            let others = others.filter_map(|other| other.partition_type.designator());
            let mounted = others.flat_map(mount_points).map(|path| path.trim_start_matches('/'));
            for path in VOLATILE.into_iter().chain(mounted) {
                add(&format!("{}/{path}", copy.source), true);
            }
        }
        for exclude in &definition.exclude_files {
            add(&exclude.path, exclude.contents_only);
        }
        for exclude in &definition.exclude_files_target {
            let known = denied.targets.entry(key_of(&exclude.path)).or_insert(exclude.contents_only);
            *known &= exclude.contents_only;
        }
        denied
    }

    /// Returns true if a path lies in what is excluded.
    fn has(denied: &BTreeMap<Key, bool>, key: &[u8]) -> bool {
        let mut above = Some(key);
        while let Some(at) = above {
            if denied.get(at).is_some_and(|contents_only| !contents_only || at != key) {
                return true;
            }
            above = parent(at);
        }
        false
    }
}

/// What `CopyFiles=` of this number says.
pub(crate) fn graft(
    tree: &mut Tree,
    archive: &Archive,
    (definition, listed): (&Definition, &Definition),
    definitions: &Definitions,
    (number, copy): (usize, &CopyFiles),
    owners: Owners,
    notices: &mut Vec<Notice>,
) -> Result<(), Error> {
    let path = || archive.path().join(copy.source.trim_start_matches('/'));
    let fail = |path: PathBuf, fault| Error::Source { place: copy.place.clone(), path, fault };
    let mut notice = |text: String| notices.push(Notice { place: copy.place.clone(), text });
    let from =
        resolve(&archive.entries, copy.source.as_bytes(), true).map_err(|fault| fail(path(), fault))?;
    let Some(first) = archive.entries.get(&from) else {
        notice(format!("{} is not there, and is left out", copy.source));
        return Ok(());
    };
    let denied = Denied::new(archive, (definition, listed), definitions, copy);
    if Denied::has(&denied.sources, &from) || Denied::has(&denied.targets, &key_of(&copy.target)) {
        notice(format!("{} is excluded, and is left out", copy.source));
        return Ok(());
    }
    let own = |entry: &Entry| {
        let mut entry = entry.clone();
        if owners == Owners::Root {
            entry.owner = (0, 0);
        }
        if let Kind::File { link: Some(link), .. } = &mut entry.kind {
            link.0 = number;
        }
        entry
    };
    if !matches!(first.kind, Kind::Directory) {
        let key = tree.make_parent(copy.target.as_bytes(), &copy.place)?;
        if tree.entries.contains_key(&key) {
            return Err(fail(path(), SourceFault::Exists));
        }
        tree.entries.insert(key, own(first));
        return Ok(());
    }
    let target = tree.resolve(copy.target.as_bytes(), true, &copy.place)?;
    let was_there = tree.entries.contains_key(&target);
    let target = tree.make_directories(copy.target.as_bytes(), &copy.place)?;
    let takes_metadata = if target.is_empty() { !tree.root_is_copied } else { !was_there };
    tree.root_is_copied |= target.is_empty();
    if takes_metadata {
        tree.entries.insert(target.clone(), own(first));
    }
    let below = if from.is_empty() { Key::new() } else { join(&from, b"") };
    // what is left out of a directory comes right behind it
    let mut left_out: Option<Key> = None;
    for (key, entry) in archive.entries.range(below.clone()..).take_while(|(key, _)| key.starts_with(&below))
    {
        let Some(rest) = key.strip_prefix(&*below).filter(|rest| !rest.is_empty()) else { continue };
        if left_out.as_ref().is_some_and(|above| key.starts_with(above)) {
            continue;
        }
        let to = join(&target, rest);
        let is_denied = [denied.sources.get(key), denied.targets.get(&to)];
        if is_denied.iter().flatten().count() > 0 {
            left_out = Some(join(key, b""));
        }
        if is_denied.contains(&Some(&false)) {
            continue;
        }
        let shown = || archive.path().join(super::tree::show_key(key).trim_start_matches('/'));
        if to.len() > MAX_PATH {
            return Err(fail(shown(), SourceFault::PathTooLong));
        }
        if tree.entries.len() >= MAX_ENTRIES {
            return Err(fail(shown(), SourceFault::TooManyFiles));
        }
        if tree.takes(&to, &entry.kind).map_err(|fault| fail(shown(), fault))? {
            tree.entries.insert(to, own(entry));
        }
    }
    if archive.has_acl {
        notice("access control lists that are text are left out".to_owned());
    }
    Ok(())
}
