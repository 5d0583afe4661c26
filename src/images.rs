//! Several images, named one by one or by patterns: each is answered for itself, and the worst exit status counts.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::ensure;

use crate::cli::{BootArgs, GoldenArgs, InspectArgs, KeepArgs, VerifyArgs};
use crate::output::Several;
use crate::{ExitStatus, check, inspect, verify};

/// Images that patterns stand for; who needs more has a shell.
const MAX_IMAGES: usize = 100_000;

/// `ddi inspect`
pub(crate) fn of_inspect(args: &mut InspectArgs) -> anyhow::Result<ExitStatus> {
    let named = Named::take(&mut args.image, &mut args.more, args.json, &args.keep);
    named.each(|path| {
        args.image = path;
        inspect::run(args)
    })
}

/// `ddi verify`
pub(crate) fn of_verify(args: &mut VerifyArgs) -> anyhow::Result<ExitStatus> {
    let named = Named::take(&mut args.image, &mut args.more, args.json, &args.keep);
    named.each(|path| {
        args.image = path;
        verify::run(args)
    })
}

/// `ddi check golden`
pub(crate) fn of_golden(args: &mut GoldenArgs) -> anyhow::Result<ExitStatus> {
    let named = Named::take(&mut args.image, &mut args.more, args.reading.json, &args.reading.keep);
    named.each(|path| {
        args.image = path;
        check::golden(args)
    })
}

/// `ddi check boot`
pub(crate) fn of_boot(args: &mut BootArgs) -> anyhow::Result<ExitStatus> {
    let named = Named::take(&mut args.image, &mut args.more, args.reading.json, &args.reading.keep);
    named.each(|path| {
        args.image = path;
        check::boot::run(args)
    })
}

/// What was named on the command line.
struct Named {
    paths: Vec<PathBuf>,
    is_json: bool,
    /// A report is written, of which there is one.
    is_kept: bool,
}

impl Named {
    fn take(image: &mut PathBuf, more: &mut Vec<PathBuf>, is_json: bool, keep: &KeepArgs) -> Self {
        let paths = [mem::take(image)].into_iter().chain(mem::take(more)).collect();
        Named { paths, is_json, is_kept: keep.html.is_some() || keep.sarif.is_some() }
    }

    /// Does `one` for each image. With one, everything is as if there could be no more; a pattern is several images even if it
    /// stands for one, so that a program knows what it gets.
    fn each(self, mut one: impl FnMut(PathBuf) -> anyhow::Result<ExitStatus>) -> anyhow::Result<ExitStatus> {
        if let [path] = &self.paths[..]
            && (!is_pattern(path) || expand(path)?.is_empty())
        {
            return one(path.clone());
        }
        ensure!(!self.is_kept, "--html and --sarif are reports on one image");
        let mut paths = Vec::new();
        for path in self.paths {
            let mut found = if is_pattern(&path) { expand(&path)? } else { Vec::new() };
            // as a shell does: a name of nothing, of which opening says that it is not there
            if found.is_empty() {
                found.push(path);
            }
            paths.append(&mut found);
        }
        let (mut several, mut worst) = (Several::new(self.is_json, paths.len())?, ExitStatus::Good);
        for path in paths {
            several.next(&path)?;
            let status = one(path).unwrap_or_else(|error| several.failed(&error));
            several.ended(status)?;
            worst = worst.worst(status);
        }
        several.finish()?;
        Ok(worst)
    }
}

/// Returns true if it is a pattern, and no file of that name is there.
fn is_pattern(path: &Path) -> bool {
    has_wildcard(path.as_os_str()) && fs::symlink_metadata(path).is_err()
}

fn has_wildcard(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// The files that a pattern stands for, by name. What begins with a dot is meant only by a pattern that does, as in a shell.
fn expand(pattern: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        if !has_wildcard(name) {
            found.iter_mut().for_each(|path| path.push(name));
            found.retain(|path| fs::symlink_metadata(path).is_ok());
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let Ok(entries) = fs::read_dir(here) else { continue };
            let is_meant = |entry: &OsString| {
                let (pattern, entry) = (name.as_bytes(), entry.as_bytes());
                (entry.first() != Some(&b'.') || pattern.first() == Some(&b'.')) && matches(pattern, entry)
            };
            let mut names: Vec<_> =
                entries.flatten().map(|entry| entry.file_name()).filter(is_meant).collect();
            names.sort();
            next.extend(names.into_iter().map(|name| folder.join(name)));
            ensure!(next.len() <= MAX_IMAGES, "{}: more than {MAX_IMAGES} files", pattern.display());
        }
        found = next;
    }
    Ok(found)
}

/// Returns true if `name` is as `pattern` says: `*` is anything, `?` one character, `[a-z]` one of these, `[!a-z]` another one.
/// Takes as many steps as the product of both lengths at most.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut here) = (0, 0);
    // behind the last star, and where it ends in the name
    let mut again = None;
    while here < name.len() || at < pattern.len() {
        if pattern.get(at) == Some(&b'*') {
            again = Some((at + 1, here));
            at += 1;
            continue;
        }
        let step = name.get(here).and_then(|_| one(&pattern[at..], &name[here..]));
        match (step, &mut again) {
            (Some((taken, size)), _) => (at, here) = (at + taken, here + size),
            (None, Some((behind, end))) if *end < name.len() => {
                *end += 1;
                (at, here) = (*behind, *end);
            }
            _ => return false,
        }
    }
    true
}

/// How long the first part of the pattern is, and the first character of the name, if they go together.
fn one(pattern: &[u8], name: &[u8]) -> Option<(usize, usize)> {
    let size =
        name.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()).map_or(1, char::len_utf8);
    match pattern {
        [] => None,
        [b'?', ..] => Some((1, size)),
        [b'[', rest @ ..] => {
            let (is_other, set) = match rest {
                [b'!' | b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            // a bracket that comes first is one of the set
            let Some(end) = (1..set.len()).find(|end| set[*end] == b']') else {
                return (name.first() == Some(&b'[')).then_some((1, 1));
            };
            let (byte, mut set, mut is_in) = (name[0], &set[..end], false);
            let taken = pattern.len() - rest.len() + usize::from(is_other) + end + 1;
            while let Some((&first, behind)) = set.split_first() {
                match behind {
                    [b'-', last, behind @ ..] => {
                        is_in |= (first..=*last).contains(&byte);
                        set = behind;
                    }
                    _ => {
                        is_in |= first == byte;
                        set = behind;
                    }
                }
            }
            (is_in != is_other).then_some((taken, if is_other { size } else { 1 }))
        }
        [byte, ..] => (name.first() == Some(byte)).then_some((1, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, expected) in [
            ("*.raw", "a.raw", true),
            ("*.raw", "a.raw.xz", false),
            ("*", "", true),
            ("a*b*c", "a-b-bc", true),
            ("a*b*c", "a-b-b", false),
            ("?", "é", true),
            ("?", "ab", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("[^a-c]x", "ax", false),
            ("[]]", "]", true),
            ("[x", "[x", true),
            ("os_[0-9].[0-9].raw", "os_1.2.raw", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        // many stars are no trap
        let name = "a".repeat(5000);
        assert!(!matches("*a".repeat(50).as_bytes(), format!("{name}b").as_bytes()));
    }
}
