//! What overlayfs makes of directories on top of each other.
//!
//! ```text
//!   layer 0 (uppermost)   bin/        lib -> x    (whiteout) b     etc/  opaque
//!   layer 1               bin/  ls    lib/        b                etc/  y
//!   what is seen          bin/  ls    lib -> x    nothing          etc/  without y
//! ```
//!
//! Of a name that several layers have, the uppermost one decides. Directories are put together as far down as there are
//! directories; anything else ends that, and so do a whiteout, which is itself not seen, and a directory that is opaque.
//!
//! Source: Linux 6.18, `fs/overlayfs/namei.c:ovl_lookup`, `util.c:ovl_path_is_whiteout`, as systemd mounts it: lower
//! layers alone, attributes under `trusted.overlay.`. Not followed: `redirect`, which [`Judged`] tells, and `metacopy`.

use ddi_fs::{Error, FileType, Place, Stat, Vfs, Walk};

const OPAQUE: &[u8] = b"trusted.overlay.opaque";
const WHITEOUT: &[u8] = b"trusted.overlay.whiteout";
const REDIRECT: &[u8] = b"trusted.overlay.redirect";

/// Directories on top of each other, the uppermost first: a tree, and where in it the layer begins.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    pub(super) layers: Vec<(&'a Vfs, Place)>,
}

/// A file of one layer. The uppermost layer is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct At {
    pub(super) layer: usize,
    pub(super) place: Place,
}

/// What there is under a name in the merged tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    /// Anything that is no directory.
    File(At, Stat),
    /// These are put together, the uppermost first. Its owner and mode are those of the directory.
    Directory(Vec<At>),
}

/// What hides a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    File,
    Link,
    Directory,
    Whiteout,
    Opaque,
}

/// A file that is not seen, as something of a layer above it hides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hidden {
    pub(super) at: At,
    pub(super) by: At,
    pub(super) cover: Cover,
}

/// What becomes of the files of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) seen: Seen,
    pub(super) hidden: Vec<Hidden>,
    pub(super) whiteouts: Vec<At>,
    /// A directory that says where overlayfs should look for what is under it: that is not followed here.
    pub(super) redirect: Option<At>,
}

impl Overlay<'_> {
    /// Its root: all layers are put together there, whatever their attributes say.
    pub(super) fn root(&self) -> Vec<At> {
        self.layers.iter().enumerate().map(|(layer, (_, place))| At { layer, place: *place }).collect()
    }

    pub(super) fn tree(&self, at: At) -> Result<&Vfs, Error> {
        self.layers.get(at.layer).map(|(tree, _)| *tree).ok_or(Error::NotFound)
    }

    pub(super) fn stat(&self, at: At) -> Result<Stat, Error> {
        self.tree(at)?.stat(at.place)
    }

    /// Judges the files of one name, the uppermost first, in directories that are put together.
    pub(super) fn judge(&self, column: &[At]) -> Result<Judged, Error> {
        let mut judged =
            Judged { seen: Seen::Nothing, hidden: Vec::new(), whiteouts: Vec::new(), redirect: None };
        let mut directories: Vec<At> = Vec::new();
        let mut end: Option<(At, Cover)> = None;
        let last = column.last().copied();
        for at in column.iter().copied() {
            if let Some((by, cover)) = end {
                judged.hidden.push(Hidden { at, by, cover });
                continue;
            }
            let stat = self.stat(at)?;
            if self.is_whiteout(at, &stat)? {
                judged.whiteouts.push(at);
                end = Some((at, Cover::Whiteout));
            } else if stat.file_type == FileType::Directory {
                directories.push(at);
                // of the lowest one, nobody asks
                if Some(at) != last {
                    let xattrs = self.tree(at)?.xattrs(at.place)?;
                    let value =
                        |name| xattrs.iter().find(|xattr| xattr.name == name).map(|xattr| &*xattr.value);
                    if value(OPAQUE) == Some(b"y") {
                        end = Some((at, Cover::Opaque));
                    } else if value(REDIRECT).is_some() {
                        judged.redirect = judged.redirect.or(Some(at));
                    }
                }
            } else {
                let is_link = stat.file_type == FileType::Symlink;
                end = Some((at, if is_link { Cover::Link } else { Cover::File }));
                match directories.last() {
                    Some(by) => judged.hidden.push(Hidden { at, by: *by, cover: Cover::Directory }),
                    None => judged.seen = Seen::File(at, stat),
                }
            }
        }
        if !directories.is_empty() {
            judged.seen = Seen::Directory(directories);
        }
        Ok(judged)
    }

    /// A device 0:0, or an empty file with an attribute that says so (Linux 6.7).
    fn is_whiteout(&self, at: At, stat: &Stat) -> Result<bool, Error> {
        match stat.file_type {
            FileType::CharDevice => Ok(stat.rdev == (0, 0)),
            FileType::Regular if stat.size == 0 => Ok(self.tree(at)?.xattr(at.place, WHITEOUT)?.is_some()),
            _ => Ok(false),
        }
    }

    /// What there is under a name in directories that are put together. `left` is how many names may still be looked at.
    pub(super) fn lookup(&self, directories: &[At], name: &[u8], left: &mut u64) -> Result<Seen, Error> {
        let mut column = Vec::new();
        for at in directories {
            let found = self.tree(*at)?.lookup(at.place, name, left)?;
            column.extend(found.map(|place| At { layer: at.layer, place }));
        }
        Ok(self.judge(&column)?.seen)
    }

    /// The names in directories that are put together, each with its files, the uppermost first. Those that the layer
    /// `only_with_others` alone has are left out.
    pub(super) fn columns(
        &self,
        directories: &[At],
        only_with_others: Option<usize>,
        walk: &mut Walk,
    ) -> Result<Columns, Error> {
        let mut columns = Columns::default();
        let (below, above): (Vec<&At>, Vec<&At>) =
            directories.iter().partition(|at| Some(at.layer) == only_with_others);
        for at in above.into_iter().chain(below) {
            let (names, error) = walk.names(self.tree(*at)?, at.place)?;
            if let Some(error) = error {
                return Err(error);
            }
            let is_below = Some(at.layer) == only_with_others;
            if is_below {
                columns.sort();
            }
            let known = columns.items.len();
            for (name, place) in names.iter() {
                if is_below && !columns.has(name, known) {
                    continue;
                }
                columns.push(name, At { layer: at.layer, place })?;
            }
        }
        columns.sort();
        Ok(columns)
    }
}

/// The names of several directories.
#[derive(Debug, Default)]
pub(super) struct Columns {
    names: Vec<u8>,
    /// Where the name begins, its length, and a file; the last name comes first, and of one name the lowest layer.
    items: Vec<(u32, u16, At)>,
}

impl Columns {
    fn name(&self, item: &(u32, u16, At)) -> &[u8] {
        let start = usize::try_from(item.0).unwrap_or(usize::MAX);
        self.names.get(start..start.saturating_add(usize::from(item.1))).unwrap_or_default()
    }

    fn push(&mut self, name: &[u8], at: At) -> Result<(), Error> {
        let too_many = |_| Error::Budget(ddi_fs::Limit::Names);
        let start = u32::try_from(self.names.len()).map_err(too_many)?;
        self.items.push((start, u16::try_from(name.len()).map_err(too_many)?, at));
        self.names.extend_from_slice(name);
        Ok(())
    }

    fn sort(&mut self) {
        let mut items = std::mem::take(&mut self.items);
        items.sort_unstable_by(|a, b| self.name(b).cmp(self.name(a)).then_with(|| b.2.layer.cmp(&a.2.layer)));
        self.items = items;
    }

    /// Returns true if that name is among the first `known`, which are sorted.
    fn has(&self, name: &[u8], known: usize) -> bool {
        let items = self.items.get(..known).unwrap_or_default();
        items.binary_search_by(|item| name.cmp(self.name(item))).is_ok()
    }

    /// Bytes that they are held in.
    pub(super) fn held(&self) -> usize {
        self.names.len().saturating_add(self.items.len().saturating_mul(size_of::<(u32, u16, At)>()))
    }

    /// Takes the next name, in the order of their bytes.
    pub(super) fn next(&mut self) -> Option<(Vec<u8>, Vec<At>)> {
        let first = self.items.pop()?;
        let name = self.name(&first).to_vec();
        let mut column = vec![first.2];
        while let Some(item) = self.items.pop() {
            if self.name(&item) != name {
                self.items.push(item);
                break;
            }
            column.push(item.2);
        }
        Some((name, column))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    use super::*;
    use ddi_fs::Budget;
    use ddi_testing::memory::Memory;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Kind {
        Directory,
        Opaque,
        File,
        Empty,
        Link,
        Fifo,
        Whiteout,
        XWhiteout,
    }

    /// Names of a layer, each under those before it that are directories.
    type Names = Vec<(Vec<u8>, Kind)>;

    fn names() -> impl Strategy<Value = Names> {
        let kind = prop_oneof![
            6 => Just(Kind::Directory),
            1 => Just(Kind::Opaque),
            3 => Just(Kind::File),
            1 => Just(Kind::Empty),
            2 => Just(Kind::Link),
            1 => Just(Kind::Fifo),
            2 => Just(Kind::Whiteout),
            1 => Just(Kind::XWhiteout),
        ];
        let path = prop::collection::vec(prop::sample::select(&b"abc"[..]), 1..4);
        prop::collection::vec((path, kind), 1..14)
    }

    fn shown(path: &[u8]) -> String {
        path.iter().flat_map(|name| ['/', char::from(*name)]).collect()
    }

    /// What fits together: no name twice, and nothing under what is no directory.
    fn tidied(names: &Names) -> Vec<(String, Kind)> {
        let mut known: Vec<(String, Kind)> = Vec::new();
        for (path, kind) in names {
            let is_free = |path: &[u8]| !known.iter().any(|(known, _)| *known == shown(path));
            let is_directory = |path: &[u8]| {
                known.iter().any(|(known, kind)| {
                    *known == shown(path) && matches!(kind, Kind::Directory | Kind::Opaque)
                })
            };
            let parents: Vec<&[u8]> = (1..path.len()).map(|len| &path[..len]).collect();
            if !is_free(path) || parents.iter().any(|parent| !is_free(parent) && !is_directory(parent)) {
                continue;
            }
            let missing: Vec<_> = parents.into_iter().filter(|parent| is_free(parent)).map(shown).collect();
            known.extend(missing.into_iter().map(|path| (path, Kind::Directory)));
            known.push((shown(path), *kind));
        }
        known
    }

    /// The layer in memory. Modes, contents and targets tell which one it is.
    fn memory(layer: usize, names: &[(String, Kind)]) -> Memory {
        names.iter().fold(Memory::new(), |memory, (path, kind)| match kind {
            Kind::Directory => memory.permissions(path, mode(layer)),
            Kind::Opaque => {
                memory.permissions(path, mode(layer)).dir_xattr(path, "trusted.overlay.opaque", "y")
            }
            Kind::File => memory.file(path, &layer.to_string()),
            Kind::Empty => memory.file(path, ""),
            Kind::Link => memory.link(path, &layer.to_string()),
            Kind::Fifo => memory.fifo(path),
            Kind::Whiteout => memory.whiteout(path),
            Kind::XWhiteout => memory.file(path, "").xattr("trusted.overlay.whiteout", "y"),
        })
    }

    fn mode(layer: usize) -> u16 {
        0o700 + u16::try_from(layer).unwrap()
    }

    /// Commands that make the same layer.
    fn script(layer: usize, names: &[(String, Kind)], is_root: bool) -> String {
        let xattr = if is_root { "trusted" } else { "user" };
        let mode = mode(layer);
        let mut script = format!("mkdir l{layer}\n");
        for (path, kind) in names {
            let file = format!("l{layer}{path}");
            let _ = match kind {
                Kind::Directory => writeln!(script, "mkdir -m {mode:o} {file}"),
                Kind::Opaque => {
                    writeln!(
                        script,
                        "mkdir -m {mode:o} {file}; setfattr -n {xattr}.overlay.opaque -v y {file}"
                    )
                }
                Kind::File => writeln!(script, "printf {layer} > {file}"),
                Kind::Empty => writeln!(script, ": > {file}"),
                Kind::Link => writeln!(script, "ln -s {layer} {file}"),
                Kind::Fifo => writeln!(script, "mkfifo {file}"),
                Kind::Whiteout => writeln!(script, "mknod {file} c 0 0"),
                Kind::XWhiteout => {
                    writeln!(script, ": > {file}; setfattr -n {xattr}.overlay.whiteout -v y {file}")
                }
            };
        }
        script
    }

    /// One line for each path: what it is, and from which layer.
    fn by_the_model(overlay: &Overlay<'_>, paths: &BTreeSet<String>) -> Vec<String> {
        let mut lines = Vec::new();
        for path in paths {
            let mut seen = Seen::Directory(overlay.root());
            for name in path.split('/').filter(|name| !name.is_empty()) {
                let Seen::Directory(directories) = seen else {
                    seen = Seen::Nothing;
                    break;
                };
                seen = overlay.lookup(&directories, name.as_bytes(), &mut 1_000_000).unwrap();
            }
            let what = match seen {
                Seen::Nothing => "nothing".to_owned(),
                Seen::Directory(directories) => {
                    format!("directory {:o}", overlay.stat(directories[0]).unwrap().permissions)
                }
                Seen::File(at, stat) => match stat.file_type {
                    FileType::Regular if stat.size == 0 => "empty".to_owned(),
                    FileType::Regular | FileType::Symlink => {
                        format!("{} {}", stat.file_type, overlay.layers.len() - at.layer - 1)
                    }
                    other => other.to_string(),
                },
            };
            lines.push(format!("{path} {what}"));
        }
        lines
    }

    /// The model says of every path what the kernel says, in stacks of two to four small trees made by chance.
    #[test]
    fn f7_the_kernel_merges_as_the_model_does() {
        const STACKS: usize = 100;
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|said| said.stdout == b"0\n");
        let mut runner = TestRunner::deterministic();
        let strategy = prop::collection::vec(names(), 2..5);
        let mut all = String::from("set -e\nmount -t tmpfs tmpfs /mnt\ncd /mnt\numask 022\n");
        let mut expected = Vec::new();
        let mut kinds = BTreeSet::new();
        for stack in 0..STACKS {
            let layers: Vec<_> =
                strategy.new_tree(&mut runner).unwrap().current().iter().map(tidied).collect();
            let paths: BTreeSet<String> = layers.iter().flatten().map(|(path, _)| path.clone()).collect();
            let trees: Vec<_> =
                layers.iter().enumerate().map(|(layer, names)| memory(layer, names).tree()).collect();
            // the last one is the uppermost
            let overlay = Overlay { layers: trees.iter().rev().map(|tree| (tree, tree.root())).collect() };
            let lines = by_the_model(&overlay, &paths);
            kinds.extend(lines.iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()));
            let columns: BTreeSet<String> = walked(&overlay);
            let seen = lines.iter().filter(|line| !line.ends_with(" nothing"));
            assert_eq!(columns, seen.map(|line| line.split(' ').next().unwrap().to_owned()).collect());
            expected.extend(lines);
            let _ = writeln!(all, "mkdir s{stack}; cd s{stack}; mkdir m");
            for (layer, names) in layers.iter().enumerate() {
                all.push_str(&script(layer, names, is_root));
            }
            let lower: Vec<_> = (0..layers.len()).rev().map(|layer| format!("l{layer}")).collect();
            let more = if is_root { "" } else { ",userxattr" };
            let _ = writeln!(all, "mount -t overlay overlay -o ro,lowerdir={}{more} m", lower.join(":"));
            for path in paths {
                let _ = writeln!(all, "show {path}");
            }
            all.push_str("umount m; cd ..\n");
        }
        let show = "show() { f=m$1
            if [ -L $f ]; then echo \"$1 link $(readlink $f)\"
            elif [ -d $f ]; then echo \"$1 directory $(stat -c %a $f)\"
            elif [ -p $f ]; then echo \"$1 fifo\"
            elif [ -s $f ]; then echo \"$1 file $(cat $f)\"
            elif [ -f $f ]; then echo \"$1 empty\"
            elif [ -e $f ]; then echo \"$1 other\"
            else echo \"$1 nothing\"; fi; }\n";
        let mut unshare = Command::new("unshare");
        unshare.arg(if is_root { "-m" } else { "-rm" }).arg("sh");
        let child = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut child) = child else { return skipped("no unshare") };
        let mut input = child.stdin.take().unwrap();
        let script = format!("{show}{all}");
        let writer = std::thread::spawn(move || input.write_all(script.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        if !output.status.success() {
            return skipped(&format!(
                "no overlayfs here: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ));
        }
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Vec<&str> = said.lines().collect();
        assert_eq!(said.len(), expected.len());
        for (said, expected) in said.iter().zip(&expected) {
            assert_eq!(said, expected);
        }
        println!("{} paths in {STACKS} stacks compared with the kernel", said.len());
        assert!(said.len() > 1000 && kinds.len() == 6, "{kinds:?}");
    }

    /// The paths that are there, by going through the names of directories.
    fn walked(overlay: &Overlay<'_>) -> BTreeSet<String> {
        let mut walk = Walk::new(Budget::default());
        let mut found = BTreeSet::new();
        let mut pending = vec![(String::new(), overlay.root())];
        while let Some((path, directories)) = pending.pop() {
            let mut columns = overlay.columns(&directories, None, &mut walk).unwrap();
            while let Some((name, column)) = columns.next() {
                let path = format!("{path}/{}", String::from_utf8(name).unwrap());
                let seen = overlay.judge(&column).unwrap().seen;
                if seen != Seen::Nothing {
                    found.insert(path.clone());
                }
                if let Seen::Directory(directories) = seen {
                    pending.push((path, directories));
                }
            }
        }
        found
    }

    fn skipped(why: &str) {
        println!("skipped: {why}");
        eprintln!("skipped: {why}");
        assert!(std::env::var_os("DDI_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "{why}");
    }
}
