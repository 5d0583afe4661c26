//! Going through a whole tree that someone hostile wrote.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::disk::{index, u64_from};
use super::{Entry, Error, FileType, Limit, Place, Stat, Tree};

/// How much may be gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Names in directories. About 100 bytes of memory are taken for each name of one directory.
    pub entries: u64,
    /// Directories inside directories.
    pub depth: u32,
    /// Bytes of content.
    pub bytes: u64,
    /// Time.
    pub time: Duration,
}

impl Default for Budget {
    /// 4 million names, 200 directories deep, 1 TiB, ten minutes: more than any image that is meant well.
    fn default() -> Self {
        Budget { entries: 4_000_000, depth: 200, bytes: 1 << 40, time: Duration::from_secs(600) }
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
    bytes: u64,
    start: Instant,
    /// Are directories gone into as far as they can be read?
    partly: bool,
}

/// The names of one directory: one allocation for all of them.
#[derive(Default)]
struct Listing {
    names: Vec<u8>,
    /// Where the name ends in `names`; it begins where the one before ends.
    items: Vec<(u32, u16, Place)>,
}

impl Listing {
    fn name(&self, item: &(u32, u16, Place)) -> &[u8] {
        let start = usize::try_from(item.0).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::from(item.1));
        self.names.get(start..end).unwrap_or_default()
    }
}

/// A directory on the way, with what is left of it.
struct Frame {
    names: Vec<u8>,
    /// The last one comes next.
    items: Vec<(u32, u16, Place)>,
    /// Length of the directory's path.
    path_len: usize,
}

impl Walk {
    /// Starts the clock.
    pub fn new(budget: Budget) -> Self {
        Walk { budget, entries: 0, bytes: 0, start: Instant::now(), partly: false }
    }

    /// From here on, of a directory that cannot be read to its end what can be read of it is visited all the same, after
    /// the error; also if it is not known to be one, because [`Visit::stat`] is an error.
    #[must_use]
    pub fn around_damage(mut self) -> Self {
        self.partly = true;
        self
    }

    /// Names seen so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of content read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Is there time left?
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

    fn count_bytes(&mut self, n: usize) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(u64_from(n));
        if self.bytes > self.budget.bytes {
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
        tree: &Tree,
        start: Place,
        each: &mut dyn FnMut(&mut Walk, Visit<'_>) -> Result<Step, Error>,
    ) -> Result<(), Error> {
        let mut seen = HashSet::new();
        let mut path = Vec::new();
        let mut frames: Vec<Frame> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(place) = next.take() {
                let stat = tree.stat(place);
                let is_known = stat.is_ok();
                let is_dir = stat.as_ref().map_or(self.partly, |stat| stat.file_type == FileType::Directory);
                let step = each(self, Visit { path: shown(&path), place, stat })?;
                if step == Step::Stop {
                    return Ok(());
                }
                if is_dir && step == Step::Continue {
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
                        let visit = Visit { path: shown(&path), place, stat: Err(error) };
                        if each(self, visit)? == Step::Stop {
                            return Ok(());
                        }
                    }
                    if is_good || self.partly {
                        let Listing { names, items } = listing;
                        frames.push(Frame { names, items, path_len: path.len() });
                    }
                }
            }
            let Some(frame) = frames.last_mut() else { return Ok(()) };
            path.truncate(frame.path_len);
            match frame.items.pop() {
                Some((from, len, place)) => {
                    let from = usize::try_from(from).unwrap_or(usize::MAX);
                    let name = frame.names.get(from..from.saturating_add(usize::from(len)));
                    path.push(b'/');
                    path.extend_from_slice(name.unwrap_or_default());
                    next = Some(place);
                }
                None => {
                    frames.pop();
                }
            }
        }
    }

    /// The outer error is ours, the inner one the directory's.
    fn list(&mut self, tree: &Tree, dir: Place) -> Result<(Listing, Option<Error>), Error> {
        let mut listing = Listing::default();
        let mut spent = None;
        self.check_time()?;
        let partly = self.partly;
        let mut each = |entry: Entry<'_>, place| {
            let from = u32::try_from(listing.names.len()).map_err(|_| Error::Budget(Limit::Entries));
            let len = u16::try_from(entry.name.len()).map_err(|_| Error::corrupt("name", 0));
            match self.count_entry().and(from).and_then(|from| Ok((from, len?))) {
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
        let mut items = std::mem::take(&mut listing.items);
        // the last one is taken first
        items.sort_unstable_by(|a, b| listing.name(b).cmp(listing.name(a)));
        listing.items = items;
        Ok((listing, outcome.err()))
    }

    /// Reads a regular file from start to end and gives it away piece by piece.
    ///
    /// # Errors
    /// [`Error::Budget`]; as [`FileSystem::read_at`](super::FileSystem::read_at); what `each` returns.
    pub fn content(
        &mut self,
        tree: &Tree,
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
