//! The files of the image, as a tree.

use ddi_fs::{Error, FileType, Place, Stat, Step, Vfs, Walk};

use super::writer::Html;
use crate::text::size;

/// Most files that are listed. More can be in an image; a page with them would be no use.
const MAX_FILES: u64 = 200_000;
/// Most bytes of HTML for them: names can be long.
const MAX_BYTES: usize = 64 << 20;
/// Entries of one directory that are shown at once; the others are in groups of so many.
const GROUP: u64 = 500;
/// Directories inside directories that are shown so; deeper ones are lines in the last. Browsers end at 512 elements in
/// each other.
const MAX_DEPTH: usize = 64;

/// The files of an image, ready to be shown.
#[derive(Debug, Default)]
pub struct FileTree {
    html: Html,
    /// What is on the way down from the root: entries so far, and whether a group is open.
    open: Vec<(u64, bool)>,
    count: u64,
    /// Why there may be more.
    ended: Option<String>,
    problems: u64,
}

impl FileTree {
    /// Reads the names of all files under `start`, within the budget of `walk` and what a page can hold. What cannot be read is
    /// in the list too, as that.
    pub fn read(tree: &Vfs, start: Place, walk: &mut Walk) -> Self {
        let mut files = FileTree::default();
        let walked = walk.tree(tree, start, &mut |_, visit| {
            if files.count >= MAX_FILES || files.html.len() >= MAX_BYTES {
                files.ended =
                    Some(format!("only the first {} are listed: `ddi ls -R` lists all", files.count));
                return Ok(Step::Stop);
            }
            files.visit(tree, visit.path, visit.place, &visit.stat, visit.again);
            Ok(Step::Continue)
        });
        if let Err(error) = walked {
            files.ended = Some(format!("the list ends here: {error}"));
        }
        files.finish();
        files
    }

    /// Number of files in it.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Files that could not be read.
    pub(crate) fn problems(&self) -> u64 {
        self.problems
    }

    /// Why there may be more.
    pub(crate) fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// As elements of a list.
    pub(crate) fn html(&self) -> &Html {
        &self.html
    }

    fn visit(&mut self, tree: &Vfs, path: &[u8], place: Place, stat: &Result<Stat, Error>, again: bool) {
        if again {
            // the directory is open, and it is that which cannot be listed
            self.problems = self.problems.saturating_add(1);
            if let Err(error) = stat {
                self.html.within("li", &[("class", &"err")], |html| html.text(error));
            }
            return;
        }
        if path == b"/" {
            return;
        }
        let depth = path.iter().filter(|byte| **byte == b'/').count().saturating_sub(1);
        self.close_to(depth.min(MAX_DEPTH));
        self.count = self.count.saturating_add(1);
        self.group(path);
        // under directories that are too deep, the whole rest of the path
        let name = match depth.checked_sub(MAX_DEPTH) {
            None => path.rsplit(|byte| *byte == b'/').next().unwrap_or_default(),
            Some(_) => path,
        };
        let is_dir = stat.as_ref().is_ok_and(|stat| stat.file_type == FileType::Directory);
        if is_dir && depth < MAX_DEPTH {
            self.html.markup("<li><details><summary>");
            self.html.name(name);
            self.html.markup("/</summary><ul>");
            self.open.push((0, false));
            return;
        }
        self.html.markup("<li>");
        self.html.name(name);
        match stat {
            Ok(stat) => about(&mut self.html, tree, place, stat),
            Err(error) => {
                self.problems = self.problems.saturating_add(1);
                self.html.leaf("em", "err", error);
            }
        }
        self.html.markup("</li>");
    }

    /// Counts an entry of the innermost directory, and begins a group if it is time.
    fn group(&mut self, path: &[u8]) {
        if self.open.is_empty() {
            self.open.push((0, false));
        }
        let Some((entries, is_grouped)) = self.open.last_mut() else { return };
        *entries = entries.saturating_add(1);
        if *entries > GROUP && *entries % GROUP == 1 {
            if std::mem::replace(is_grouped, true) {
                self.html.markup("</ul></details></li>");
            }
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            self.html.markup("<li class=\"more\"><details><summary>from ");
            self.html.name(name);
            self.html.markup("</summary><ul>");
        }
    }

    /// Ends directories until so many are open below the root.
    fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth.saturating_add(1) {
            if let Some((_, true)) = self.open.pop() {
                self.html.markup("</ul></details></li>");
            }
            self.html.markup("</ul></details></li>");
        }
    }

    /// Ends all; the list of the root itself has its end on the page.
    fn finish(&mut self) {
        self.close_to(0);
        if let Some((_, is_grouped)) = self.open.first_mut()
            && std::mem::take(is_grouped)
        {
            self.html.markup("</ul></details></li>");
        }
    }
}

/// Size, where a link leads, and modes that people look for.
fn about(html: &mut Html, tree: &Vfs, place: Place, stat: &Stat) {
    match stat.file_type {
        FileType::Regular => html.leaf("small", "", size(stat.size)),
        FileType::Symlink => {
            html.markup("<small>→ ");
            match tree.link_target(place) {
                Ok(target) => html.name(&target),
                Err(error) => html.text(error),
            }
            html.markup("</small>");
        }
        FileType::Directory => html.leaf("small", "", "directory"),
        FileType::CharDevice | FileType::BlockDevice => {
            html.leaf("small", "", format_args!("device {}:{}", stat.rdev.0, stat.rdev.1));
        }
        FileType::Fifo => html.leaf("small", "", "fifo"),
        FileType::Socket => html.leaf("small", "", "socket"),
    }
    for (bit, name) in [(0o4000, "setuid"), (0o2000, "setgid")] {
        if stat.file_type == FileType::Regular && stat.permissions & bit != 0 {
            html.leaf("em", "", name);
        }
    }
}
