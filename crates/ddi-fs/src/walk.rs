//! Going through a whole tree that someone hostile wrote.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::disk::{index, u64_from};
use super::{Entry, Error, FileType, Limit, Place, Stat, Vfs};

/// How much may be gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Names in directories.
    pub entries: u64,
    /// Bytes of memory for the names of the directories on the way, all of which are held to be sorted: for each its length
    /// and 24 bytes.
    pub names: u64,
    /// Directories inside directories.
    pub depth: u32,
    /// Bytes of content.
    pub bytes: u64,
    /// Time.
    pub time: Duration,
}

impl Default for Budget {
    /// 4 million names, 64 MiB of them at a time, 200 directories deep, 1 TiB, ten minutes: more than any image that is
    /// meant well.
    fn default() -> Self {
        Budget {
            entries: 4_000_000,
            names: 64 << 20,
            depth: 200,
            bytes: 1 << 40,
            time: Duration::from_secs(600),
        }
    }
}

/// A file that a [`Walk`] came to.
#[derive(Debug)]
pub struct Visit<'a> {
    /// Its path from where the walk began, `/` first; that place itself is `/`.
    pub path: &'a [u8],
    /// Where it is.
    pub place: Place,
    /// What it is. An error says that it, or if it was visited before its content as a directory, cannot be read.
    pub stat: Result<Stat, Error>,
    /// True if this is the second visit of a directory, with the error that it cannot be listed.
    pub again: bool,
}

/// What to do after a [`Visit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Go on, into the directory if it is one.
    Continue,
    /// Go on, but not into this directory.
    Skip,
    /// That was all.
    Stop,
}

/// One account of what was gone through, for any number of traversals.
#[derive(Debug)]
pub struct Walk {
    budget: Budget,
    entries: u64,
    /// Bytes of names that are held now.
    names: u64,
    bytes: AtomicU64,
    start: Instant,
    /// True if directories are gone into as far as they can be read.
    partly: bool,
}

/// The names of one directory: one allocation for all of them.
#[derive(Debug, Default)]
struct Listing {
    names: Vec<u8>,
    items: Vec<Item>,
}

/// Where the name begins in [`Listing::names`], its length, and its file.
type Item = (u32, u16, Place);

impl Listing {
    fn name(&self, item: &Item) -> &[u8] {
        let start = usize::try_from(item.0).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::from(item.1));
        self.names.get(start..end).unwrap_or_default()
    }
}

/// Bytes that a name is held in.
fn held(len: usize) -> u64 {
    u64_from(len).saturating_add(u64_from(size_of::<Item>()))
}

/// The names of a directory.
#[derive(Debug)]
pub struct Names(Listing);

impl Names {
    /// Each with its file, in the order of their bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Place)> {
        self.0.items.iter().rev().map(|item| (self.0.name(item), item.2))
    }
}

/// A directory on the way, with what is left of it.
struct Frame {
    /// The last one comes next.
    listing: Listing,
    /// Length of the directory's path.
    path_len: usize,
    /// What its names are held in.
    held: u64,
}

impl Walk {
    /// Starts the clock.
    pub fn new(budget: Budget) -> Self {
        Walk { budget, entries: 0, names: 0, bytes: AtomicU64::new(0), start: Instant::now(), partly: false }
    }

    /// From here on, of a directory that cannot be read to its end what can be read of it is visited all the same, after
    /// the error; also if it is not known to be one, because [`Visit::stat`] is an error.
    #[must_use]
    pub fn around_damage(mut self) -> Self {
        self.partly = true;
        self
    }

    /// From here on, names are held in at most so many bytes: [`Budget::names`].
    #[must_use]
    pub fn holding_at_most(mut self, names: u64) -> Self {
        self.budget.names = self.budget.names.min(names);
        self
    }

    /// Names seen so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of content read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Checks that there is time left.
    ///
    /// # Errors
    /// [`Error::Budget`] if not.
    pub fn check_time(&self) -> Result<(), Error> {
        if self.start.elapsed() > self.budget.time { Err(Error::Budget(Limit::Time)) } else { Ok(()) }
    }

    fn count_entry(&mut self) -> Result<(), Error> {
        self.entries = self.entries.saturating_add(1);
        if self.entries > self.budget.entries {
            return Err(Error::Budget(Limit::Entries));
        }
        // a look at the clock costs more than an entry
        if self.entries.is_multiple_of(256) { self.check_time() } else { Ok(()) }
    }

    fn count_name(&mut self, len: usize) -> Result<(), Error> {
        self.names = self.names.saturating_add(held(len));
        if self.names > self.budget.names { Err(Error::Budget(Limit::Names)) } else { Ok(()) }
    }

    fn count_bytes(&self, n: usize) -> Result<(), Error> {
        let before = self.bytes.fetch_add(u64_from(n), Ordering::Relaxed);
        if before.saturating_add(u64_from(n)) > self.budget.bytes {
            return Err(Error::Budget(Limit::Bytes));
        }
        self.check_time()
    }

    /// Visits `start` and everything under it, directories before what is in them, names in the order of their
    /// bytes. A directory that cannot be listed is visited a second time, with the error.
    ///
    /// # Errors
    /// [`Error::Budget`], and what `each` returns. Errors of single files go to `each`, among them
    /// [`Error::DirectoryLoop`] for a directory that was met before.
    pub fn tree(
        &mut self,
        tree: &Vfs,
        start: Place,
        each: &mut dyn FnMut(&mut Walk, Visit<'_>) -> Result<Step, Error>,
    ) -> Result<(), Error> {
        self.names = 0;
        let mut seen = HashSet::new();
        let mut path = Vec::new();
        let mut frames: Vec<Frame> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(place) = next.take() {
                let stat = match tree.stat(place) {
                    // of no file will there be more
                    Err(error @ Error::Budget(_)) => return Err(error),
                    stat => stat,
                };
                let is_known = stat.is_ok();
                let is_dir = stat.as_ref().map_or(self.partly, |stat| stat.file_type == FileType::Directory);
                let step = each(self, Visit { path: shown(&path), place, stat, again: false })?;
                if step == Step::Stop {
                    return Ok(());
                }
                if is_dir && step == Step::Continue {
                    let before = self.names;
                    let (listing, error) = if seen.insert(place) {
                        if frames.len() >= usize::try_from(self.budget.depth).unwrap_or(usize::MAX) {
                            return Err(Error::Budget(Limit::Depth));
                        }
                        self.list(tree, place)?
                    } else {
                        (Listing::default(), Some(Error::DirectoryLoop))
                    };
                    let is_good = error.is_none();
                    if let Some(error) = error.filter(|_| is_known || !listing.items.is_empty()) {
                        let visit = Visit { path: shown(&path), place, stat: Err(error), again: true };
                        if each(self, visit)? == Step::Stop {
                            return Ok(());
                        }
                    }
                    let held = self.names.saturating_sub(before);
                    if is_good || self.partly {
                        frames.push(Frame { listing, path_len: path.len(), held });
                    } else {
                        self.names = before;
                    }
                }
            }
            let Some(frame) = frames.last_mut() else { return Ok(()) };
            path.truncate(frame.path_len);
            match frame.listing.items.pop() {
                Some(item) => {
                    path.push(b'/');
                    path.extend_from_slice(frame.listing.name(&item));
                    next = Some(item.2);
                }
                None => {
                    self.names = self.names.saturating_sub(frame.held);
                    frames.pop();
                }
            }
        }
    }

    /// The names of one directory, without a look at the files, and why there may be more of them.
    ///
    /// # Errors
    /// [`Error::Budget`].
    pub fn names(&mut self, tree: &Vfs, dir: Place) -> Result<(Names, Option<Error>), Error> {
        self.names = 0;
        let (listing, error) = self.list(tree, dir)?;
        Ok((Names(listing), error))
    }

    /// The outer error is ours, the inner one the directory's.
    fn list(&mut self, tree: &Vfs, dir: Place) -> Result<(Listing, Option<Error>), Error> {
        let mut listing = Listing::default();
        let mut spent = None;
        self.check_time()?;
        let partly = self.partly;
        let mut each = |entry: Entry<'_>, place| {
            let from = u32::try_from(listing.names.len()).map_err(|_| Error::Budget(Limit::Entries));
            let len = u16::try_from(entry.name.len()).map_err(|_| Error::corrupt("name", 0));
            match self
                .count_entry()
                .and_then(|()| self.count_name(entry.name.len()))
                .and(from)
                .and_then(|from| Ok((from, len?)))
            {
                Ok((from, len)) => {
                    listing.names.extend_from_slice(entry.name);
                    listing.items.push((from, len, place));
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    spent = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let outcome = if partly { tree.list_readable(dir, &mut each) } else { tree.list(dir, &mut each) };
        if let Some(error) = spent {
            return Err(error);
        }
        if let Err(error @ Error::Budget(_)) = outcome {
            return Err(error);
        }
        let mut items = std::mem::take(&mut listing.items);
        // the last one is taken first
        items.sort_unstable_by(|a, b| listing.name(b).cmp(listing.name(a)));
        listing.items = items;
        Ok((listing, outcome.err()))
    }

    /// Reads a regular file from start to end and gives it away piece by piece. Several threads may do so at once: what they
    /// read is on one account.
    ///
    /// # Errors
    /// [`Error::Budget`]; as [`FileSystem::read_at`](super::FileSystem::read_at); what `each` returns.
    pub fn content(
        &self,
        tree: &Vfs,
        file: Place,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let size = tree.stat(file)?.size;
        let mut buf = vec![0; index(size.min(1 << 17))];
        let mut offset = 0;
        loop {
            let n = tree.read_at(file, offset, &mut buf)?;
            if n == 0 {
                return Ok(offset);
            }
            self.count_bytes(n)?;
            each(buf.get(..n).unwrap_or_default())?;
            offset = offset.saturating_add(u64_from(n));
        }
    }
}

fn shown(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"/" } else { path }
}
