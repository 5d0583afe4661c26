//! The host as its users see it once extensions are merged into it.

use super::merge::{At, Overlay, Seen};
use ddi_fs::{Error, FileType, Place, Vfs};

/// Names that are looked at on the way to all files, beside those that [`Walk`](ddi_fs::Walk) counts.
const MAX_LOOKED_AT: u64 = 10_000_000;
/// Linux's `MAXSYMLINKS`.
const MAX_LINKS: usize = 40;
/// Components that may still have to be resolved.
const MAX_PENDING: usize = 1 << 17;

/// An overlay that is mounted on a directory of the host.
#[derive(Debug)]
pub(super) struct Mount<'a> {
    /// Its path, as the class of the extensions has it: `/usr`.
    pub(super) path: &'static str,
    /// The host's directory, links followed; `None` if there is none.
    pub(super) on: Option<Place>,
    pub(super) overlay: Overlay<'a>,
    /// True if the host's directory is the lowest layer.
    pub(super) has_host: bool,
    /// The image of each layer but the host's: its place in the stack of its class.
    pub(super) images: Vec<usize>,
}

/// The host and what is mounted on it.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) host: &'a Vfs,
    pub(super) mounts: Vec<Mount<'a>>,
    left: u64,
}

/// A directory of the view.
#[derive(Debug, Clone)]
pub(super) enum Directory {
    Host(Place),
    /// Of which mount, and the directories that are put together there.
    Merged(usize, Vec<At>),
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    Directory(Directory),
    Other(FileType),
}

impl<'a> View<'a> {
    pub(super) fn new(host: &'a Vfs, mounts: Vec<Mount<'a>>) -> Self {
        View { host, mounts, left: MAX_LOOKED_AT }
    }

    /// What the host alone has at `path`, links followed.
    pub(super) fn on_host(&self, path: &[u8]) -> Result<Option<(Place, FileType)>, Error> {
        match self.host.resolve(path) {
            Ok(place) => Ok(Some((place, self.host.stat(place)?.file_type))),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What there is at `path`, links followed; `None` if it leads nowhere.
    pub(super) fn resolve(&mut self, path: &[u8]) -> Result<Option<Found>, Error> {
        let mut at: Vec<Directory> = Vec::new();
        let mut pending: Vec<Box<[u8]>> = Vec::new();
        push_components(&mut pending, path);
        let mut links = 0_usize;
        while let Some(name) = pending.pop() {
            match &*name {
                b"." => continue,
                b".." => {
                    // at the root it stays there
                    at.pop();
                    continue;
                }
                _ => {}
            }
            let here = at.last().cloned().unwrap_or(Directory::Host(self.host.root()));
            let is_top = at.is_empty();
            let target = match self.child(&here, is_top, &name)? {
                None => return Ok(None),
                Some(Child::Directory(directory)) => {
                    at.push(directory);
                    continue;
                }
                Some(Child::Other(file_type)) => {
                    // nothing is below a file
                    return Ok(pending.is_empty().then_some(Found::Other(file_type)));
                }
                Some(Child::Link(target)) => target,
            };
            links = links.saturating_add(1);
            // the kernel refuses such a path, so for users it leads nowhere
            if links > MAX_LINKS || target.is_empty() {
                return Ok(None);
            }
            if target.first() == Some(&b'/') {
                at.clear();
            }
            push_components(&mut pending, &target);
            if pending.len() > MAX_PENDING {
                return Ok(None);
            }
        }
        Ok(Some(Found::Directory(at.pop().unwrap_or(Directory::Host(self.host.root())))))
    }

    fn child(&mut self, here: &Directory, is_top: bool, name: &[u8]) -> Result<Option<Child>, Error> {
        match here {
            Directory::Host(place) => {
                let Some(place) = self.host.lookup(*place, name, &mut self.left)? else {
                    // systemd makes what is missing to mount on
                    let is_mounted = |mount: &Mount<'_>| {
                        mount.on.is_none() && mount.path.as_bytes().get(1..) == Some(name)
                    };
                    let made = self.mounts.iter().position(is_mounted).filter(|_| is_top);
                    return Ok(made.and_then(|mount| self.root_of(mount)));
                };
                if let Some(mount) = self.mounts.iter().position(|mount| mount.on == Some(place)) {
                    return Ok(self.root_of(mount));
                }
                child_of(self.host, place, self.host.stat(place)?.file_type, || Directory::Host(place))
            }
            Directory::Merged(number, directories) => {
                let Some(mount) = self.mounts.get(*number) else { return Ok(None) };
                match mount.overlay.lookup(directories, name, &mut self.left)? {
                    Seen::Nothing => Ok(None),
                    Seen::Directory(directories) => {
                        // an /opt that is a link into /usr is mounted in there
                        let is_of_host = |at: &&At| mount.has_host && at.layer == mount.images.len();
                        let on = directories.iter().find(is_of_host).map(|at| at.place);
                        let covered =
                            on.and_then(|on| self.mounts.iter().position(|other| other.on == Some(on)));
                        if let Some(other) = covered {
                            return Ok(self.root_of(other));
                        }
                        Ok(Some(Child::Directory(Directory::Merged(*number, directories))))
                    }
                    Seen::File(at, stat) => {
                        let none = || Directory::Merged(*number, Vec::new());
                        child_of(mount.overlay.tree(at)?, at.place, stat.file_type, none)
                    }
                }
            }
        }
    }

    fn root_of(&self, mount: usize) -> Option<Child> {
        let root = self.mounts.get(mount)?.overlay.root();
        Some(Child::Directory(Directory::Merged(mount, root)))
    }
}

enum Child {
    Directory(Directory),
    Link(Vec<u8>),
    Other(FileType),
}

fn child_of(
    tree: &Vfs,
    place: Place,
    file_type: FileType,
    directory: impl FnOnce() -> Directory,
) -> Result<Option<Child>, Error> {
    Ok(Some(match file_type {
        FileType::Directory => Child::Directory(directory()),
        FileType::Symlink => Child::Link(tree.link_target(place)?),
        other => Child::Other(other),
    }))
}

/// The components of `path`, the first one on top of the stack.
fn push_components(pending: &mut Vec<Box<[u8]>>, path: &[u8]) {
    let components = path.rsplit(|byte| *byte == b'/').filter(|name| !name.is_empty());
    pending.extend(components.map(Box::from));
}
