//! One account of the work that an image may ask for.
//!
//! Whoever writes an image decides how often its file systems send a reader from one place to the next. Limits on single
//! loops do not bound that: a loop over names, in each of which a loop over attributes is allowed, takes the product of
//! both. So everything that is done for the files of an image is charged to one [`Meter`], where it happens: reads below a
//! proof by the storage, reads of metadata and decompression by the reader, calls and names by the layer that every reader
//! is opened in. When it is spent, each further call ends with [`Error::Budget`].

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ddi_io::ReadAt;

use super::disk::u64_from;
use super::{Error, Limit};

/// Units of work for any image, and for each byte of it, of the first few and of the rest. A unit is about a nanosecond: an
/// image of 8 MiB, which anybody may send, is done with in two seconds, and a large one of files that were packed well is
/// unpacked as a whole.
const BASE_WORK: u64 = 1_000_000_000;
const FEW: u64 = 8 << 20;
const WORK_PER_FEW: u64 = 128;
const WORK_PER_BYTE: u64 = 256;
/// Time for any image, for storage that is slow, and bytes for which there is a second more.
const BASE_TIME: Duration = Duration::from_secs(30);
const BYTES_PER_SECOND: u64 = 1 << 20;

/// A call of a reader: an inode is looked for and understood.
const CALL: u64 = 300;
/// A name that is looked at, an extent, an extended attribute.
const ITEM: u64 = 60;
/// A read of the storage, beside its bytes.
const READ: u64 = 500;
/// A look at metadata that may be in memory.
const LOOK: u64 = 40;
/// Bytes that all indexes of directories together may have; a directory with more has none.
pub(super) const MAX_INDEXED: usize = 8 << 20;
/// Work between two looks at the clock.
const CLOCK: u64 = 1 << 20;

/// What an image has made us do so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Spent {
    /// All of it, in units of about a nanosecond.
    pub work: u64,
    /// Calls of readers of file systems.
    pub calls: u64,
    /// Names, extents and extended attributes that were looked at.
    pub items: u64,
    /// Reads of the storage.
    pub reads: u64,
    /// Bytes that came from the storage.
    pub bytes: u64,
    /// Bytes that were decompressed.
    pub unpacked: u64,
}

/// How much work may still be done for an image. Clones share the account.
#[derive(Clone)]
pub struct Meter(Arc<Inner>);

struct Inner {
    limit: AtomicU64,
    lifted: AtomicBool,
    time: Duration,
    start: Mutex<Option<Instant>>,
    work: AtomicU64,
    calls: AtomicU64,
    items: AtomicU64,
    reads: AtomicU64,
    bytes: AtomicU64,
    unpacked: AtomicU64,
    /// Bytes of memory that the indexes of directories have now.
    indexed: AtomicUsize,
    /// Why nothing more is done: 0 is no reason.
    exhausted: AtomicU8,
}

const WORK_SPENT: u8 = 1;
const TIME_SPENT: u8 = 2;

impl Meter {
    /// What is enough for any image of `size` bytes that is meant well: work of about a second, and 128 nanoseconds for each of
    /// the first 8 MiB and 256 for each byte after them, within half a minute and a second for each MiB.
    pub fn for_size(size: u64) -> Self {
        let few = size.min(FEW).saturating_mul(WORK_PER_FEW);
        let rest = size.saturating_sub(FEW).saturating_mul(WORK_PER_BYTE);
        let work = BASE_WORK.saturating_add(few).saturating_add(rest);
        let seconds = size.checked_div(BYTES_PER_SECOND).unwrap_or_default();
        Meter::new(work, BASE_TIME.saturating_add(Duration::from_secs(seconds)))
    }

    /// So much work, of about a nanosecond a unit, and so much time from the first of it.
    pub fn new(work: u64, time: Duration) -> Self {
        Meter(Arc::new(Inner {
            limit: AtomicU64::new(work),
            lifted: AtomicBool::new(false),
            time,
            start: Mutex::new(None),
            work: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            items: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            unpacked: AtomicU64::new(0),
            indexed: AtomicUsize::new(0),
            exhausted: AtomicU8::new(0),
        }))
    }

    /// Lets the whole account have `work` units, and not what it had before.
    pub fn set_limit(&self, work: u64) {
        self.0.limit.store(work, Ordering::Relaxed);
    }

    /// Takes all bounds away, that of time too: for whoever serves an image for as long as it is asked for.
    pub fn lift(&self) {
        self.0.lifted.store(true, Ordering::Relaxed);
        self.set_limit(u64::MAX);
    }

    /// Lets the time begin with the next work: what was done in between had another budget.
    pub fn restart_clock(&self) {
        *self.0.start.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What was done so far.
    pub fn spent(&self) -> Spent {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Spent {
            work: get(&self.0.work),
            calls: get(&self.0.calls),
            items: get(&self.0.items),
            reads: get(&self.0.reads),
            bytes: get(&self.0.bytes),
            unpacked: get(&self.0.unpacked),
        }
    }

    /// The limit that was met, after which nothing more was done: whatever was concluded from files since then, not all of
    /// them were looked at.
    pub fn exhausted(&self) -> Option<Limit> {
        match self.0.exhausted.load(Ordering::Relaxed) {
            0 => None,
            TIME_SPENT => Some(Limit::Time),
            _ => Some(Limit::Work),
        }
    }

    /// Checks that more may be done.
    ///
    /// # Errors
    /// [`Error::Budget`] if not.
    pub fn check(&self) -> Result<(), Error> {
        self.exhausted().map_or(Ok(()), |limit| Err(Error::Budget(limit)))
    }

    /// Charges work of another kind, in units of about a nanosecond.
    pub fn charge(&self, work: u64) {
        let before = self.0.work.fetch_add(work, Ordering::Relaxed);
        let now = before.saturating_add(work);
        if now > self.0.limit.load(Ordering::Relaxed) {
            self.stop(WORK_SPENT);
        } else if before == 0 || before / CLOCK != now / CLOCK {
            self.look_at_clock();
        }
    }

    fn look_at_clock(&self) {
        if self.0.lifted.load(Ordering::Relaxed) {
            return;
        }
        let mut start = self.0.start.lock().unwrap_or_else(PoisonError::into_inner);
        if start.get_or_insert_with(Instant::now).elapsed() > self.0.time {
            self.stop(TIME_SPENT);
        }
    }

    /// The first reason stays.
    fn stop(&self, why: u8) {
        let _ = self.0.exhausted.compare_exchange(0, why, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn call(&self) {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        self.charge(CALL);
    }

    pub(super) fn items(&self, count: u64) {
        self.0.items.fetch_add(count, Ordering::Relaxed);
        self.charge(count.saturating_mul(ITEM));
    }

    pub(super) fn look(&self, bytes: usize) {
        self.charge(LOOK.saturating_add(u64_from(bytes) / 8));
    }

    #[cfg(any(feature = "fs-erofs", feature = "fs-squashfs", feature = "fs-btrfs"))]
    pub(super) fn unpacked(&self, bytes: usize, unit: u64) {
        self.0.unpacked.fetch_add(u64_from(bytes), Ordering::Relaxed);
        self.charge(u64_from(bytes).saturating_mul(unit).saturating_add(READ));
    }

    pub(super) fn read(&self, bytes: usize) {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(u64_from(bytes), Ordering::Relaxed);
        self.charge(READ.saturating_add(u64_from(bytes)));
    }

    /// Takes memory for an index, if there is so much left.
    pub(super) fn take_memory(&self, bytes: usize) -> bool {
        let take = |now: usize| now.checked_add(bytes).filter(|now| *now <= MAX_INDEXED);
        self.0.indexed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(super) fn give_memory(&self, bytes: usize) {
        let give = |now: usize| Some(now.saturating_sub(bytes));
        let _ = self.0.indexed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }

    /// The same storage, charged for what is read from it.
    pub fn over(&self, source: Arc<dyn ReadAt>) -> Arc<dyn ReadAt> {
        Arc::new(Metered { source, meter: self.clone() })
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.0.limit.load(Ordering::Relaxed);
        f.debug_struct("Meter").field("limit", &limit).field("spent", &self.spent()).finish_non_exhaustive()
    }
}

/// Storage that lies below a proof: what a reader asks of the proof may need far more of it.
struct Metered {
    source: Arc<dyn ReadAt>,
    meter: Meter,
}

impl ReadAt for Metered {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.meter.read(buf.len());
        self.source.read_exact_at(offset, buf)
    }

    fn next_data(&self, offset: u64) -> Option<u64> {
        self.source.next_data(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_limit_that_is_met_stays() {
        let meter = Meter::new(1000, Duration::from_secs(3600));
        meter.charge(1000);
        assert!(meter.check().is_ok());
        meter.clone().charge(1);
        assert!(matches!(meter.check(), Err(Error::Budget(Limit::Work))));
        assert_eq!((meter.spent().work, meter.exhausted()), (1001, Some(Limit::Work)));
        meter.restart_clock();
        assert_eq!(meter.exhausted(), Some(Limit::Work));

        let meter = Meter::new(u64::MAX, Duration::ZERO);
        meter.charge(1);
        meter.charge(CLOCK);
        assert_eq!(meter.exhausted(), Some(Limit::Time));
        assert!(matches!(meter.check(), Err(Error::Budget(Limit::Time))));
    }

    #[test]
    fn the_time_begins_with_the_work() {
        let meter = Meter::new(u64::MAX, Duration::from_millis(50));
        std::thread::sleep(Duration::from_millis(60));
        meter.charge(CLOCK);
        assert_eq!(meter.exhausted(), None);
        std::thread::sleep(Duration::from_millis(60));
        meter.restart_clock();
        meter.charge(CLOCK);
        assert_eq!(meter.exhausted(), None);
        std::thread::sleep(Duration::from_millis(60));
        meter.charge(CLOCK);
        assert_eq!(meter.exhausted(), Some(Limit::Time));
    }

    /// Small images, of which there may be many, get less for a byte than the rest of large ones.
    #[test]
    fn s3_an_image_of_8_mib_has_two_seconds() {
        let allows = |size: u64, work: u64| {
            let meter = Meter::for_size(size);
            meter.charge(work);
            let all = meter.exhausted().is_none();
            meter.charge(1);
            (all, meter.exhausted())
        };
        let spent = (true, Some(Limit::Work));
        assert_eq!(allows(0, 1_000_000_000), spent);
        assert_eq!(allows(4096, 1_000_000_000 + 128 * 4096), spent);
        assert_eq!(allows(8 << 20, 2_073_741_824), spent);
        assert_eq!(allows((8 << 20) + 1, 2_073_741_824 + 256), spent);
        assert!(allows(u64::MAX, u64::MAX).0);
    }

    #[test]
    fn indexes_share_their_memory() {
        let meter = Meter::for_size(0);
        assert!(meter.take_memory(MAX_INDEXED - 1) && !meter.take_memory(2) && meter.clone().take_memory(1));
        meter.give_memory(2);
        assert!(!meter.take_memory(3) && meter.take_memory(2));
    }

    #[test]
    fn storage_is_charged_for_each_read() {
        let meter = Meter::for_size(4096);
        let source = meter.over(Arc::new(vec![7_u8; 4096]));
        let mut buf = [0; 100];
        source.read_exact_at(0, &mut buf).unwrap();
        source.read_exact_at(3996, &mut buf).unwrap();
        let spent = meter.spent();
        assert_eq!((spent.reads, spent.bytes, spent.work), (2, 200, 2 * READ + 200));
    }
}
