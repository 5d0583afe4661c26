//! Files into an ext4 file system: by debugfs, which takes them one by one, with any owner, and without privileges.
//!
//! mke2fs takes a folder, whose files must belong to whom they shall belong to, or, if it is new and finds libarchive, a tar file;
//! debugfs does the same in every version. It is given a script on its standard input. What it says on standard error is
//! what went wrong; its exit status tells nothing. In the end e2fsck looks at the whole.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use super::Contents;
use super::tree::{Entry, Key, Kind, Tree, parent, show_key};
use crate::definitions::Definition;
use crate::error::{Error, SourceFault, ToolFault};
use crate::output::Output;

/// Files that are open at once, for a run of debugfs.
const BATCH: usize = 200;
/// Bytes of a line that debugfs reads.
const MAX_LINE: usize = 8000;
/// Bytes of an extended attribute that fits into a block.
const MAX_XATTR: usize = 1500;

/// Refuses what a script cannot say.
pub(super) fn check(definition: &Definition, tree: &Tree) -> Result<(), Error> {
    for (key, entry) in tree.entries() {
        let fail = |fault| {
            let (place, path) = (definition.place("CopyFiles"), PathBuf::from(show_key(key)));
            Err(Error::Source { place, path, fault })
        };
        let target: &[u8] = match &entry.kind {
            Kind::Symlink(target) => target,
            _ => &[],
        };
        if key.contains(&b'\n') || target.contains(&b'\n') {
            return fail(SourceFault::Kind { kind: "name with a line feed" });
        }
        if quoted(&path_of(key)).len().saturating_add(quoted(target).len()) > MAX_LINE / 2 {
            return fail(SourceFault::PathTooLong);
        }
        if entry.xattrs.iter().any(|(name, value)| name.contains(&b'\n') || value.len() > MAX_XATTR) {
            return fail(SourceFault::Kind { kind: "extended attribute of this size" });
        }
    }
    Ok(())
}

/// Lines for debugfs.
#[derive(Debug, Default)]
struct Script(Vec<u8>);

impl Script {
    fn begin(epoch: u64) -> Self {
        let mut script = Self::default();
        script.line(&[b"set_current_time", format!("@{epoch}").as_bytes()]);
        script
    }

    /// A command and its arguments, which are quoted.
    fn line(&mut self, words: &[&[u8]]) {
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                self.0.push(b' ');
                self.0.extend(quoted(word));
            } else {
                self.0.extend(*word);
            }
        }
        self.0.push(b'\n');
    }
}

fn quoted(word: &[u8]) -> Vec<u8> {
    let mut text = vec![b'"'];
    for byte in word {
        text.push(*byte);
        if *byte == b'"' {
            text.push(b'"');
        }
    }
    text.push(b'"');
    text
}

fn path_of(key: &[u8]) -> Vec<u8> {
    [b"/".as_slice(), key].concat().into_iter().map(|byte| if byte == 0 { b'/' } else { byte }).collect()
}

impl Contents<'_> {
    /// Fills a file system that is new and empty.
    pub(super) fn fill_ext4(&self, tree: &Tree, epoch: u64, output: &Output) -> Result<(), Error> {
        let node = output.path_for_children().into_os_string();
        let mut links: HashMap<(usize, u64, u64), (&Key, u64)> = HashMap::new();
        let mut script = Script::begin(epoch);
        let mut open: Vec<(File, u64, PathBuf)> = Vec::new();
        let mut at: Option<&[u8]> = None;
        // mke2fs made these two; their metadata comes with that of all others
        let others = |key: &&Key| !key.is_empty() && key.as_slice() != b"lost+found";
        for (key, entry) in tree.entries().filter(|(key, _)| others(key)) {
            let above = parent(key).unwrap_or_default();
            if at != Some(above) {
                script.line(&[b"cd", &path_of(above)]);
                at = Some(above);
            }
            let name = key.rsplit(|byte| *byte == 0).next().unwrap_or_default();
            match &entry.kind {
                Kind::Directory => script.line(&[b"mkdir", name]),
                Kind::Symlink(target) => script.line(&[b"symlink", name, target]),
                Kind::Fifo => script.line(&[b"mknod", name, b"p"]),
                Kind::Device { is_block, major, minor } => {
                    let kind: &[u8] = if *is_block { b"b" } else { b"c" };
                    let [major, minor] = [major, minor].map(ToString::to_string);
                    script.line(&[b"mknod", name, kind, major.as_bytes(), minor.as_bytes()]);
                }
                Kind::File { bytes, size, link } => {
                    if let Some(link) = link {
                        let (first, count) = links.entry(*link).or_insert((key, 0));
                        *count = count.saturating_add(1);
                        if *first != key {
                            script.line(&[b"ln", &path_of(first), name]);
                            continue;
                        }
                    }
                    let file = self.as_file(bytes, *size, entry.mtime, epoch)?;
                    // by descriptor: its name could lead elsewhere by now, and what is in an archive has none
                    let source = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
                    script.line(&[b"write", source.as_bytes(), name]);
                    open.push((file, *size, bytes.shown()));
                }
            }
            if open.len() >= BATCH {
                self.debugfs(std::mem::replace(&mut script, Script::begin(epoch)), &node, epoch)?;
                unchanged(&open)?;
                open.clear();
                at = None;
            }
        }
        self.debugfs(std::mem::replace(&mut script, Script::begin(epoch)), &node, epoch)?;
        unchanged(&open)?;
        // only now it is known how many names each file has
        for (key, entry) in tree.entries() {
            let first = match &entry.kind {
                Kind::File { link: Some(link), .. } => links.get(link).copied(),
                _ => None,
            };
            if first.is_none_or(|(first, _)| first == key) {
                metadata(&mut script, key, entry, first.map_or(1, |(_, count)| count), epoch);
            }
        }
        self.debugfs(script, &node, epoch)?;
        let call = self.options.tools.call("e2fsck", Some(epoch))?;
        call.args([OsString::from("-f"), OsString::from("-n"), node]).run()
    }

    fn debugfs(&self, script: Script, node: &OsString, epoch: u64) -> Result<(), Error> {
        let call = self.options.tools.call("debugfs", Some(epoch))?;
        let args = [OsString::from("-w"), OsString::from("-f"), OsString::from("-"), node.clone()];
        call.args(args).run_script(|out| {
            let run = |error| Error::Tool { name: "debugfs", fault: ToolFault::Run { error } };
            out.write_all(&script.0).map_err(run)
        })
    }
}

/// What was copied is what was there when the tree was gathered.
fn unchanged(open: &[(File, u64, PathBuf)]) -> Result<(), Error> {
    for (file, size, shown) in open {
        let fail = |fault| Error::Changed { path: shown.clone(), fault };
        let now = file.metadata().map_err(|error| fail(SourceFault::Io(error)))?.len();
        match now.cmp(size) {
            std::cmp::Ordering::Less => return Err(fail(SourceFault::Shrank)),
            std::cmp::Ordering::Greater => return Err(fail(SourceFault::Grew)),
            std::cmp::Ordering::Equal => {}
        }
    }
    Ok(())
}

/// Mode, owner, times and extended attributes of one file.
fn metadata(script: &mut Script, key: &Key, entry: &Entry, links: u64, epoch: u64) {
    let path = path_of(key);
    let mut set = |field: &str, value: String| {
        script.line(&[b"set_inode_field", &path, field.as_bytes(), value.as_bytes()]);
    };
    let kind = match &entry.kind {
        Kind::Directory => 0o040_000,
        Kind::Symlink(_) => 0o120_000,
        Kind::Fifo => 0o010_000,
        Kind::Device { is_block: true, .. } => 0o060_000,
        Kind::Device { .. } => 0o020_000,
        Kind::File { .. } => 0o100_000,
    };
    let mode = match &entry.kind {
        Kind::Symlink(_) => 0o777,
        _ => entry.mode,
    };
    set("mode", format!("0{:o}", kind | mode));
    set("uid", entry.owner.0.to_string());
    set("gid", entry.owner.1.to_string());
    let latest = i64::try_from(epoch).unwrap_or(i64::MAX);
    let time = entry.mtime.map_or(latest, |(seconds, _)| seconds.min(latest)).max(0);
    for field in ["mtime", "atime", "ctime", "crtime"] {
        set(field, format!("@{time}"));
    }
    if links > 1 {
        set("links_count", links.to_string());
    }
    for (name, value) in &entry.xattrs {
        let mut text = String::new();
        for byte in value {
            let _ = write!(text, "\\{byte:03o}");
        }
        script.line(&[b"ea_set", &path, name, text.as_bytes()]);
    }
}
