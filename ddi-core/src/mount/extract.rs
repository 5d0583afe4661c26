//! Files of an image, written to where nothing was before: [`MountedTree::extract`], or to a tar stream:
//! [`MountedTree::write_tar`].
//!
//! Everything is made in a new folder of ours beside the destination, by names that are looked up in open directories and
//! never followed; when all of it is on the disk, it takes its name. So nothing outside is ever touched, and nothing
//! half-done is left.

mod archive;
mod error;
mod folder;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ddi_fs::{Budget, FileType, Place, Stat, Step, Walk, Xattr};
use rustix::process::geteuid;

use super::tree::{MountedTree, bytes};
use super::{Files, ReadError};
use crate::shown_name::ShownName;

pub use error::{DestinationFault, ExtractError};

/// Work to make a file, in nanoseconds.
const MAKE: u64 = 50_000;

/// How files are extracted.
///
/// ```
/// use ddi_core::ExtractOptions;
///
/// let mut left_out = 0;
/// let mut count = |_: &ddi_core::ExtractNotice| left_out += 1;
/// let options = ExtractOptions::default().preserving().telling(&mut count);
/// ```
#[derive(Default)]
pub struct ExtractOptions<'a> {
    preserve: bool,
    budget: Budget,
    tell: Option<&'a mut dyn FnMut(&ExtractNotice)>,
    until: Option<&'a AtomicBool>,
}

impl<'a> ExtractOptions<'a> {
    /// Keeps setuid, setgid and sticky bits, whatever the umask says, `user.*` attributes, FIFOs and sockets; for root owners
    /// and devices too. Without it all is left out that could give rights to others, or wait for whoever reads it. A tar
    /// stream has all of it in any case.
    #[must_use]
    pub fn preserving(self) -> Self {
        ExtractOptions { preserve: true, ..self }
    }

    /// How much may be gone through. The work that the image as a whole may ask for has a limit of its own.
    #[must_use]
    pub fn budget(self, budget: Budget) -> Self {
        ExtractOptions { budget, ..self }
    }

    /// Ends with [`ExtractError::Write`], of [`io::ErrorKind::Interrupted`], soon after `stop` is true: nothing is left then.
    #[must_use]
    pub fn until(self, stop: &'a AtomicBool) -> Self {
        ExtractOptions { until: Some(stop), ..self }
    }

    fn is_stopped(&self) -> bool {
        self.until.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Calls `tell` with each thing that is not as it is in the image, when it comes to that.
    #[must_use]
    pub fn telling(self, tell: &'a mut dyn FnMut(&ExtractNotice)) -> Self {
        ExtractOptions { tell: Some(tell), ..self }
    }
}

impl fmt::Debug for ExtractOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractOptions")
            .field("preserve", &self.preserve)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// What was extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Extracted {
    /// Names that were made, directories among them.
    pub files: u64,
    /// Files that were left out: see [`ExtractNotice::LeftOut`].
    pub left_out: u64,
}

/// Something that is not as it is in the image; no error.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExtractNotice {
    /// A file is not made.
    LeftOut {
        /// Its path in the image.
        path: Vec<u8>,
        /// What it is.
        file_type: FileType,
        /// Why not.
        why: LeftOut,
    },
    /// Files with more than one name are copied, as a link could not be made. Told once.
    Copied(io::Error),
    /// The destination takes no extended attributes. Told once.
    NoXattrs,
    /// Our own folder beside the destination stays.
    NotRemoved {
        /// Its name.
        name: std::ffi::OsString,
        /// Why.
        error: io::Error,
    },
}

/// Why a file is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftOut {
    /// Only with [`ExtractOptions::preserving`].
    NotPreserved,
    /// Only by root.
    NotRoot,
    /// A tar stream holds nothing of that kind.
    NotInTar,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LeftOut::NotPreserved => "is made only if everything is to be preserved",
            LeftOut::NotRoot => "is made by root only",
            LeftOut::NotInTar => "has no place in a tar stream",
        })
    }
}

impl fmt::Display for ExtractNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExtractNotice::LeftOut { path, file_type, why } => {
                write!(f, "{} is left out: a {} {why}", ShownName(path), file_type.words())
            }
            ExtractNotice::Copied(error) => write!(f, "files with more than one name are copied: {error}"),
            ExtractNotice::NoXattrs => f.write_str("the destination takes no extended attributes"),
            ExtractNotice::NotRemoved { name, error } => {
                write!(f, "{} cannot be removed: {error}", name.display())
            }
        }
    }
}

/// Why a file of this type is not made, if it is not.
fn refusal(file_type: FileType, preserve: bool) -> Option<LeftOut> {
    let is_device = match file_type {
        FileType::Regular | FileType::Directory | FileType::Symlink => return None,
        FileType::CharDevice | FileType::BlockDevice => true,
        FileType::Fifo | FileType::Socket => false,
    };
    match preserve {
        false => Some(LeftOut::NotPreserved),
        true if is_device && !geteuid().is_root() => Some(LeftOut::NotRoot),
        true => None,
    }
}

/// What is to be extracted: found, and good enough to be told.
struct Source<'a> {
    files: &'a Files,
    place: Place,
    stat: Stat,
    /// Where in the image it is, without links.
    path: Vec<u8>,
}

impl Source<'_> {
    /// The account that work is charged to.
    fn charge(&self, work: u64) {
        if let Some(meter) = self.files.tree.file_systems().find_map(|(_, fs)| fs.meter()) {
            meter.charge(work);
        }
    }

    /// The path in the image of what a walk from here calls `visited`.
    fn path_of(&self, visited: &[u8]) -> Vec<u8> {
        match visited {
            b"/" => self.path.clone(),
            below => [self.path.strip_suffix(b"/").unwrap_or(&self.path), below].concat(),
        }
    }

    /// Goes through all of it within `budget`; `each` gets the files that can be read, by names that a file can have.
    fn walk(
        &self,
        budget: Budget,
        mut each: impl FnMut(&mut Walk, Found<'_>) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let mut failed = None;
        let mut is_first = true;
        let walked = Walk::new(budget).tree(&self.files.tree, self.place, &mut |walk, visit| {
            self.charge(MAKE);
            let path = visit.path;
            let visited = match visit.stat {
                Err(error) => Err(ExtractError::read(self.path_of(path), error)),
                // the first one is what was asked for, whatever its name
                Ok(_) if !std::mem::take(&mut is_first) && !is_possible(path) => {
                    Err(ExtractError::Impossible { path: self.path_of(path), what: "impossible name" })
                }
                Ok(stat) => each(walk, Found { path, place: visit.place, stat }),
            };
            Ok(match visited {
                Ok(()) => Step::Continue,
                Err(error) => {
                    failed = Some(error);
                    Step::Stop
                }
            })
        });
        match failed {
            Some(error) => Err(error),
            None => walked.map_err(|error| ExtractError::read(self.path.clone(), error)),
        }
    }

    /// Where a link leads; never nowhere.
    fn link_target(&self, found: &Found<'_>) -> Result<Vec<u8>, ExtractError> {
        let target = self.files.tree.link_target(found.place);
        let target = target.map_err(|error| ExtractError::read(self.path_of(found.path), error))?;
        if target.is_empty() || target.contains(&0) {
            return Err(ExtractError::Impossible { path: self.path_of(found.path), what: "impossible link" });
        }
        Ok(target)
    }

    /// The attributes of a file that can have such names, in the order of these.
    fn xattrs(&self, found: &Found<'_>) -> Result<Vec<Xattr>, ExtractError> {
        let xattrs = self.files.tree.xattrs(found.place);
        let mut xattrs = xattrs.map_err(|error| ExtractError::read(self.path_of(found.path), error))?;
        xattrs.retain(|xattr| !xattr.name.is_empty() && !xattr.name.contains(&0));
        xattrs.sort();
        Ok(xattrs)
    }
}

/// A file on the way.
struct Found<'a> {
    /// From where the walk began, which is `/`.
    path: &'a [u8],
    place: Place,
    stat: Stat,
}

impl Found<'_> {
    /// The last part of its path.
    fn name(&self) -> &[u8] {
        last_part(self.path)
    }

    /// Returns true if the file may have other names.
    fn has_names(&self) -> bool {
        self.stat.nlink > 1 && self.stat.file_type != FileType::Directory
    }
}

/// Returns true if each part of this path is a name that a file can have. Readers promise it; what is written by them is
/// another's.
fn is_possible(visited: &[u8]) -> bool {
    let mut parts = visited.strip_prefix(b"/").unwrap_or(visited).split(|byte| *byte == b'/');
    !visited.contains(&0) && parts.all(|part| !matches!(part, b"" | b"." | b".."))
}

fn last_part(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Bytes that are zero or not as a whole.
const BLOCK: usize = 4096;

/// As many blocks at once as are alike: where they begin, they themselves, and whether they are zeros.
fn stretches(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8], bool)> {
    let is_zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        let zero = is_zero(rest.chunks(BLOCK).next()?);
        let len = rest.chunks(BLOCK).take_while(|block| is_zero(block) == zero).map(<[u8]>::len).sum();
        let start = at;
        at = at.saturating_add(len);
        Some((start, rest.get(..len)?, zero))
    })
}

impl MountedTree {
    /// Copies a file, or a directory with all that is in it, to `destination`, where nothing may be yet; links to `path` are
    /// followed, those inside are copied as they are. Blocks of zeros become holes.
    ///
    /// Nothing outside of the new file or directory is ever written to, whatever names and links the image holds, and it is
    /// complete and on the disk before it has its name: nothing is left if it cannot be completed (a folder `.ddi-extract-*`
    /// is, if the process is killed).
    ///
    /// ```no_run
    /// use ddi_core::{ExtractOptions, Image, Trust};
    ///
    /// let disk = Image::open("image.raw")?.dissect(&Trust::certificate_file("vendor.crt")?);
    /// disk.mount()?.extract("/usr/share/doc", "doc", ExtractOptions::default())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ExtractError`]; a file system that is not good enough is one before anything is made.
    pub fn extract(
        &self,
        path: impl AsRef<Path>,
        destination: impl AsRef<Path>,
        options: ExtractOptions<'_>,
    ) -> Result<Extracted, ExtractError> {
        let files = self.unread_files();
        let source = self.source(&files, bytes(path.as_ref()))?;
        if let Some(why) = refusal(source.stat.file_type, options.preserve) {
            let (path, file_type) = (path.as_ref().as_os_str().as_bytes().to_vec(), source.stat.file_type);
            return Err(ExtractError::LeftOut { path, file_type, why });
        }
        let check = || self.check_told(&files, &source.path);
        writer::extract(&source, destination.as_ref(), options, &check)
    }

    /// Writes a directory with all that is in it, or a single file, as a tar stream in the PAX format: names of any bytes,
    /// owners, modes, times to the nanosecond, extended attributes, hard links, devices and FIFOs, in the order of the bytes of
    /// the paths. A stretch of zeros of 64 KiB is a hole, as GNU tar writes it (format 1.0). Names are relative to `path`,
    /// which is called `./`.
    ///
    /// If something goes wrong on the way the stream has no end, so that nobody takes it for whole.
    ///
    /// ```no_run
    /// use ddi_core::{ExtractOptions, Image, Trust};
    ///
    /// let disk = Image::open("image.raw")?.dissect(&Trust::certificate_file("vendor.crt")?);
    /// disk.mount()?.write_tar("/usr", std::io::stdout().lock(), ExtractOptions::default())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ExtractError`]; a file system that is not good enough is one before anything is written.
    pub fn write_tar(
        &self,
        path: impl AsRef<Path>,
        out: impl Write,
        options: ExtractOptions<'_>,
    ) -> Result<Extracted, ExtractError> {
        let files = self.unread_files();
        let source = self.source(&files, bytes(path.as_ref()))?;
        let check = || self.check_told(&files, &source.path);
        archive::write(&source, out, options, &check)
    }

    /// Finds what is asked for, if it may be told: of the root directory, every file system is part of the answer.
    fn source<'a>(&self, files: &'a Files, asked: &[u8]) -> Result<Source<'a>, ExtractError> {
        let failed = |error| ExtractError::Read { path: asked.to_vec(), error };
        let located = files.locate(asked, true);
        // a path that nobody vouches for does not even lead nowhere
        self.check(files, false).map_err(failed)?;
        let (place, path) = located.map_err(|error| ExtractError::read(asked.to_vec(), error))?;
        let stat = files.tree.stat(place);
        self.check(files, place == files.tree.root()).map_err(failed)?;
        let stat = stat.map_err(|error| ExtractError::read(asked.to_vec(), error))?;
        Ok(Source { files, place, stat, path })
    }

    /// Checks, when all was read, that it may be told and that it was all.
    fn check_told(&self, files: &Files, path: &[u8]) -> Result<(), ExtractError> {
        let complete = || files.tree.check_complete().map_err(ReadError::File);
        let checked = self.check(files, false).and_then(|()| complete());
        checked.map_err(|error| ExtractError::Read { path: path.to_vec(), error })
    }
}
