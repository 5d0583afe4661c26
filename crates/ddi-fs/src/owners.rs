//! Which files lie in some parts of a file system.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::disk::u64_from;
use super::{Error, Extent, ExtentKind, FileSystem, Meter, Step, Vfs, Walk};

/// Most owners of one range that are kept by name. The count goes on.
pub const MAX_OWNERS: usize = 16;
/// Most files of which it is kept that not all could be told. The count goes on.
const MAX_UNTOLD: usize = 16;
/// Most bytes of paths that are kept, for all ranges together.
const MAX_PATHS: usize = 1 << 20;
/// Most bytes of names that are held on the way.
const MAX_NAMES: u64 = 4 << 20;
/// Work for one range that an extent lies in.
const RANGE: u64 = 10;
/// Extents between two looks at the clock.
const CLOCK: u32 = 256;

/// What lies in some ranges, and what could not be told.
#[derive(Debug)]
#[non_exhaustive]
pub struct Owners {
    /// One for each range that was asked for, in ascending order.
    pub ranges: Vec<OwnedRange>,
    /// Files of which it is not known, or not in full, where they lie; the first of them.
    pub untold: Vec<Untold>,
    /// How many there are.
    pub untold_count: u64,
    /// Why not all of the file system was gone through, if it was not.
    pub stopped: Option<Error>,
    /// Why not all of what is of no file could be told.
    pub system: Option<Error>,
}

impl Owners {
    /// Returns true if there is nothing that could not be told. Then a range without an owner is not in use.
    pub fn is_complete(&self) -> bool {
        self.untold_count == 0 && self.stopped.is_none() && self.system.is_none()
    }
}

/// What lies in one range.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedRange {
    /// Bytes from the start of the file system.
    pub range: Range<u64>,
    /// The first files in it by path, at most [`MAX_OWNERS`]. Every name of a file with hard links counts.
    pub owners: Vec<Owner>,
    /// How many there are.
    pub count: u64,
    /// What of the file system itself lies there, each once, in ascending order.
    pub system: Vec<ExtentKind>,
    /// The visit that was counted last.
    last: u64,
}

/// A file, and what of it lies in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owner {
    /// From the root of the file system, `/` first.
    pub path: Vec<u8>,
    /// Each once, in ascending order.
    pub kinds: Vec<ExtentKind>,
}

/// A file that is not told in full.
#[derive(Debug)]
#[non_exhaustive]
pub struct Untold {
    /// From the root of the file system, `/` first.
    pub path: Vec<u8>,
    /// What is not known of it.
    pub what: Unknown,
    /// Why.
    pub error: Error,
}

/// What is not known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unknown {
    /// What it is: its inode cannot be read. If it is a directory, the files in it are not known either.
    Inode,
    /// Where all of it lies.
    Places,
    /// Which files are in it.
    Entries,
}

impl Unknown {
    /// Stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Unknown::Inode => "inode",
            Unknown::Places => "places",
            Unknown::Entries => "entries",
        }
    }
}

/// Finds all files that lie in `ranges`: bytes from the start of the file system, ascending, none overlapping another.
///
/// The file system is gone through once, whatever the number of ranges. What of it cannot be read, and on proven
/// storage that is what does not match, is gone around and [told](Owners::untold). Memory is bounded: so and so many
/// names are kept, and all are counted.
///
/// # Errors
/// [`Error::Unsupported`] if the reader of that kind does not tell where files lie. That the budget of `walk` is spent
/// is no error: see [`Owners::stopped`].
pub fn owners(fs: &Arc<dyn FileSystem>, ranges: &[Range<u64>], walk: Walk) -> Result<Owners, Error> {
    let mut walk = walk.around_damage().holding_at_most(MAX_NAMES);
    let new = |range: &Range<u64>| OwnedRange {
        range: range.clone(),
        owners: Vec::new(),
        count: 0,
        system: Vec::new(),
        last: 0,
    };
    let mut found = Finder { ranges: ranges.iter().map(new).collect(), paths: 0, meter: fs.meter().cloned() };
    let mut untold = Untolds::default();
    let mut system = None;
    let mut stopped = None;
    let mut clock = Clock::default();
    let told = fs.system_extents(&mut |extent| {
        found.overlapping(extent, |range, kind| insert(&mut range.system, kind));
        clock.tick(&walk)
    });
    match told {
        // without places there is no answer at all; any other error only makes it incomplete
        Err(error @ Error::Unsupported { .. }) => return Err(error),
        Err(error) => system = Some(error),
        Ok(()) => {}
    }
    let tree = Vfs::new(Some(Arc::clone(fs)));
    let mut visits: u64 = 0;
    if clock.spent.is_none() {
        let outcome = walk.tree(&tree, tree.root(), &mut |walk, visit| {
            let stat = match visit.stat {
                // the second visit: where the directory itself lies was told in the first one
                Err(error) if visit.again => {
                    untold.add(visit.path, Unknown::Entries, error);
                    return Ok(Step::Continue);
                }
                stat => stat,
            };
            visits = visits.saturating_add(1);
            let told = fs.extents(visit.place.node(), &mut |extent| {
                found.file(extent, visits, visit.path);
                clock.tick(walk)
            });
            // the clock ended the extents, which is no error of theirs, and ends the walk too
            if let Some(error) = clock.spent.take() {
                return Err(error);
            }
            if let Err(error @ Error::Budget(_)) = told {
                return Err(error);
            }
            if let Err(error) = told {
                let what = if stat.is_ok() { Unknown::Places } else { Unknown::Inode };
                untold.add(visit.path, what, error);
            }
            Ok(Step::Continue)
        });
        stopped = outcome.err();
    }
    Ok(Owners {
        ranges: found.ranges,
        untold: untold.kept,
        untold_count: untold.count,
        stopped: stopped.or(clock.spent),
        system,
    })
}

struct Finder {
    ranges: Vec<OwnedRange>,
    /// Bytes of paths kept so far.
    paths: usize,
    /// One extent may lie in all ranges.
    meter: Option<Meter>,
}

impl Finder {
    fn overlapping(&mut self, extent: Extent, mut each: impl FnMut(&mut OwnedRange, ExtentKind)) {
        let end = extent.offset.saturating_add(extent.size);
        if end == extent.offset {
            return;
        }
        let first = self.ranges.partition_point(|range| range.range.end <= extent.offset);
        let rest = self.ranges.get_mut(first..).unwrap_or_default();
        let mut count: u64 = 0;
        for range in rest.iter_mut().take_while(|range| range.range.start < end) {
            each(range, extent.kind);
            count = count.saturating_add(1);
        }
        if let Some(meter) = &self.meter {
            meter.charge(count.saturating_mul(RANGE));
        }
    }

    fn file(&mut self, extent: Extent, visit: u64, path: &[u8]) {
        let mut paths = self.paths;
        self.overlapping(extent, |range, kind| {
            if range.last != visit {
                range.last = visit;
                range.count = range.count.saturating_add(1);
                let more = paths.saturating_add(path.len());
                // the first ones, with none left out between them
                let next = u64_from(range.owners.len()).saturating_add(1);
                if next == range.count && range.owners.len() < MAX_OWNERS && more <= MAX_PATHS {
                    paths = more;
                    range.owners.push(Owner { path: path.to_vec(), kinds: vec![kind] });
                }
            } else if u64_from(range.owners.len()) == range.count
                && let Some(owner) = range.owners.last_mut()
            {
                insert(&mut owner.kinds, kind);
            }
        });
        self.paths = paths;
    }
}

fn insert(kinds: &mut Vec<ExtentKind>, kind: ExtentKind) {
    if let Err(at) = kinds.binary_search(&kind) {
        kinds.insert(at, kind);
    }
}

#[derive(Default)]
struct Untolds {
    kept: Vec<Untold>,
    count: u64,
    paths: usize,
}

impl Untolds {
    fn add(&mut self, path: &[u8], what: Unknown, error: Error) {
        self.count = self.count.saturating_add(1);
        let more = self.paths.saturating_add(path.len());
        if self.kept.len() < MAX_UNTOLD && more <= MAX_PATHS {
            self.paths = more;
            self.kept.push(Untold { path: path.to_vec(), what, error });
        }
    }
}

/// Looks at the time that a walk has left, now and then.
#[derive(Default)]
struct Clock {
    count: u32,
    spent: Option<Error>,
}

impl Clock {
    fn tick(&mut self, walk: &Walk) -> ControlFlow<()> {
        self.count = self.count.wrapping_add(1);
        if self.count.is_multiple_of(CLOCK) {
            self.spent = walk.check_time().err();
        }
        if self.spent.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;
    use std::time::Duration;

    use super::*;
    use crate::tests::memory::Memory;
    use crate::{Budget, Limit};

    fn names(range: &OwnedRange) -> Vec<(&str, Vec<&str>)> {
        let kinds = |owner: &Owner| owner.kinds.iter().map(|kind| kind.name()).collect();
        range.owners.iter().map(|owner| (str::from_utf8(&owner.path).unwrap(), kinds(owner))).collect()
    }

    #[test]
    fn each_range_has_its_files() {
        let fs = Memory::new()
            .system(0, 100, ExtentKind::Superblock)
            .file("/a", "")
            .at(150, 100, ExtentKind::Content)
            .at(120, 30, ExtentKind::Inode)
            .file("/b", "")
            .at(200, 1, ExtentKind::Content)
            .at(u64::MAX - 1, 9, ExtentKind::Content)
            .at(300, 0, ExtentKind::Content);
        let mut fs = fs.link("/c", "").at(99, 401, ExtentKind::LinkTarget);
        fs.name("/d/again", 1);
        let ranges = [0..100, 100..150, 200..210, 250..251, 300..400, 500..600];
        let owners = owners(&fs.arc(), &ranges, Walk::new(Budget::default())).unwrap();
        assert!(owners.is_complete());
        let found: Vec<_> = owners.ranges.iter().map(names).collect();
        assert_eq!(found[0], [("/c", vec!["link target"])]);
        assert_eq!(owners.ranges[0].system, [ExtentKind::Superblock]);
        let inode = vec!["inode"];
        assert_eq!(found[1], [("/a", inode.clone()), ("/c", vec!["link target"]), ("/d/again", inode)]);
        assert_eq!(
            found[2].iter().map(|(path, _)| *path).collect::<Vec<_>>(),
            ["/a", "/b", "/c", "/d/again"]
        );
        assert_eq!(found[3], [("/c", vec!["link target"])]);
        assert_eq!(found[4], [("/c", vec!["link target"])]);
        assert!(found[5].is_empty());
    }

    #[test]
    fn kinds_are_put_together_and_long_lists_are_counted() {
        let mut fs = Memory::new();
        for i in 0..40 {
            fs = fs.file(&format!("/{i:02}"), "");
            for kind in [ExtentKind::Inode, ExtentKind::Content, ExtentKind::Inode] {
                fs = fs.at(10, 10, kind);
            }
        }
        let owners = owners(&fs.arc(), from_ref(&(0..11)), Walk::new(Budget::default())).unwrap();
        let range = &owners.ranges[0];
        assert_eq!((range.count, range.owners.len()), (40, MAX_OWNERS));
        for (i, (path, kinds)) in names(range).into_iter().enumerate() {
            assert_eq!((path, kinds), (format!("/{i:02}").as_str(), vec!["content", "inode"]));
        }
    }

    #[test]
    fn each_name_of_an_inode_that_cannot_be_read_counts() {
        let mut fs = Memory::new().damaged("/a").at(0, 1, ExtentKind::Inode);
        fs.name("/b", 1);
        fs.name("/c", 1);
        let owners = owners(&fs.arc(), from_ref(&(0..1)), Walk::new(Budget::default())).unwrap();
        let inode = vec!["inode"];
        assert_eq!(names(&owners.ranges[0]), [("/a", inode.clone()), ("/b", inode.clone()), ("/c", inode)]);
        assert_eq!(owners.ranges[0].count, 3);
        let untold = owners.untold.iter().map(|untold| (&*untold.path, untold.what));
        assert!(untold.eq([b"/a", b"/b", b"/c"].map(|path| (&path[..], Unknown::Inode))), "{owners:?}");
    }

    #[test]
    fn a_spent_budget_is_said() {
        let mut fs = Memory::new();
        for i in 0..1000 {
            fs = fs.file(&format!("/{i}"), "").at(0, 1, ExtentKind::Inode);
        }
        let fs = fs.arc();
        for (budget, expected) in [
            (Budget { entries: 10, ..Budget::default() }, Limit::Entries),
            (Budget { names: 1000, ..Budget::default() }, Limit::Names),
            (Budget { time: Duration::ZERO, ..Budget::default() }, Limit::Time),
        ] {
            let owners = owners(&fs, from_ref(&(0..1)), Walk::new(budget)).unwrap();
            assert!(matches!(owners.stopped, Some(Error::Budget(limit)) if limit == expected));
            assert!(!owners.is_complete());
        }
    }

    #[test]
    fn paths_do_not_fill_the_memory() {
        let mut fs = Memory::new();
        let deep = format!("/{}", "d".repeat(200)).repeat(150);
        for i in 0..20 {
            fs = fs.file(&format!("{deep}/{i:02}"), "").at(0, 1000, ExtentKind::Content);
        }
        let ranges: Vec<_> = (0..100).map(|n| n * 10..n * 10 + 5).collect();
        let owners = owners(&fs.arc(), &ranges, Walk::new(Budget::default())).unwrap();
        let kept: usize = owners.ranges.iter().flat_map(|range| &range.owners).map(|o| o.path.len()).sum();
        assert!(kept <= MAX_PATHS && kept > MAX_PATHS - 40_000, "{kept}");
        assert!(owners.ranges.iter().all(|range| range.count == 20));
    }
}
