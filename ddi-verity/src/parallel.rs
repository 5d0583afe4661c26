//! Parts of a whole on as many threads as there are, results in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(not(all(test, shuttle)))]
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};

// in whose place a test has others, by which it decides who goes on
#[cfg(all(test, shuttle))]
use shuttle::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};

use crate::error::Error;
use crate::options::Options;
pub(crate) use crew::Crew;

/// Inputs of fewer bytes than this stay on the calling thread.
const SMALL: u64 = 4 << 20;

/// Why a part ended early.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Nobody wants its result any more.
    Stopped,
    /// It could not go on.
    Error(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Error(error)
    }
}

/// What the parts of a whole share: when to stop, and how far they are.
pub(crate) struct Control<'a> {
    options: &'a Options<'a>,
    /// Parts behind this one need not go on.
    last: AtomicUsize,
    aborted: AtomicBool,
    done: AtomicU64,
    /// How much of it was told; whoever holds it is telling.
    told: Mutex<u64>,
    total: u64,
}

impl<'a> Control<'a> {
    /// Of work on `total` bytes.
    pub(crate) fn new(options: &'a Options<'a>, total: u64) -> Self {
        Control {
            options,
            last: AtomicUsize::new(usize::MAX),
            aborted: AtomicBool::new(false),
            done: AtomicU64::new(0),
            told: Mutex::new(0),
            total,
        }
    }

    /// Checks that `part` may go on.
    pub(crate) fn check(&self, part: usize) -> Result<(), Halt> {
        if self.is_cancelled() {
            return Err(Error::Cancelled.into());
        }
        if self.aborted.load(Ordering::Relaxed) || part > self.last.load(Ordering::Relaxed) {
            return Err(Halt::Stopped);
        }
        Ok(())
    }

    /// Returns true if the caller wants no more of it.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.options.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    /// No part behind this one matters any more.
    pub(crate) fn stop_behind(&self, part: usize) {
        self.last.fetch_min(part, Ordering::Relaxed);
    }

    /// `bytes` more are done. No thread waits while another one tells of it: that one tells of all that was done meanwhile.
    pub(crate) fn advance(&self, bytes: u64) {
        let Some(progress) = self.options.progress else { return };
        self.done.fetch_add(bytes, Ordering::SeqCst);
        loop {
            fence(Ordering::SeqCst);
            // the lock keeps the calls apart and in order; a progress that panicked is not called again
            let Ok(mut told) = self.told.try_lock() else { return };
            let done = self.done.load(Ordering::SeqCst).min(self.total);
            if done > *told {
                *told = done;
                progress(done, self.total);
            }
            drop(told);
            // who found the lock taken has left the rest to us, and its bytes are seen now
            fence(Ordering::SeqCst);
            if self.done.load(Ordering::SeqCst).min(self.total) <= done {
                return;
            }
        }
    }
}

/// How many threads are worth while for `bytes` of input.
pub(crate) fn workers(options: &Options<'_>, bytes: u64) -> usize {
    if bytes < SMALL || options.threads == Some(1) {
        return 1;
    }
    #[cfg(feature = "rayon")]
    {
        let in_pool = rayon::current_thread_index().is_some();
        match options.threads {
            Some(threads) if !in_pool => threads,
            threads => threads.unwrap_or(usize::MAX).min(rayon::current_num_threads()),
        }
    }
    #[cfg(not(feature = "rayon"))]
    1
}

/// Runs `job` for each of `parts`, lowest first, on `workers` threads, each with what `init` makes for it.
///
/// Returns the results in order: of all parts, or up to the one that [`Control::stop_behind`] named. The first error
/// ends everything; a panic is the error [`Error::Worker`].
pub(crate) fn run<S, T: Send>(
    control: &Control<'_>,
    workers: usize,
    parts: usize,
    init: impl Fn() -> S + Sync,
    job: impl Fn(&mut S, usize) -> Result<T, Halt> + Sync,
) -> Result<Vec<T>, Error> {
    let workers = workers.min(parts).max(1);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let error: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let fail = |part: usize, found: Error| {
        control.aborted.store(true, Ordering::Relaxed);
        let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
        if error.as_ref().is_none_or(|(lowest, _)| part < *lowest) {
            *error = Some((part, found));
        }
    };
    let work = || {
        let mut state = None;
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return;
            }
            // a panic in here leaves nothing behind that is used again: the state is dropped
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                control.check(part)?;
                job(state.get_or_insert_with(&init), part)
            }));
            match outcome {
                Ok(Ok(result)) => {
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((part, result));
                }
                Ok(Err(Halt::Stopped)) => return,
                Ok(Err(Halt::Error(error))) => return fail(part, error),
                Err(_panic) => return fail(part, Error::Worker),
            }
        }
    };
    if workers == 1 {
        work()
    } else {
        on_threads(control.options, workers, &work)
    }

    if let Some((_, error)) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(part, _)| *part);
    // whatever went wrong: no part may be missing
    let wanted = control.last.load(Ordering::Relaxed).saturating_add(1).min(parts);
    results.truncate(wanted);
    if results.len() != wanted || results.iter().enumerate().any(|(i, (part, _))| i != *part) {
        return Err(Error::Worker);
    }
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(all(feature = "rayon", not(all(test, shuttle))))]
fn on_threads(options: &Options<'_>, workers: usize, work: &(impl Fn() + Sync)) {
    let spawn = || {
        rayon::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|_| work());
            }
        });
    };
    if options.threads.is_none() || rayon::current_thread_index().is_some() {
        return spawn();
    }
    match rayon::ThreadPoolBuilder::new().num_threads(workers).build() {
        Ok(pool) => pool.install(spawn),
        // no threads to be had
        Err(_) => work(),
    }
}

#[cfg(all(not(feature = "rayon"), not(all(test, shuttle))))]
fn on_threads(_: &Options<'_>, _: usize, work: &(impl Fn() + Sync)) {
    work();
}

#[cfg(all(test, shuttle))]
fn on_threads(_: &Options<'_>, workers: usize, work: &(impl Fn() + Sync)) {
    shuttle::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
}

#[cfg(all(test, any(shuttle, feature = "rayon")))]
mod acts;
mod crew;
#[cfg(all(test, shuttle))]
mod interleavings;
#[cfg(all(test, feature = "rayon", not(shuttle)))]
mod schedules;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sum(workers: usize, job: impl Fn(usize) -> Result<usize, Halt> + Sync) -> Result<Vec<usize>, Error> {
        let options = Options::new().threads(workers);
        run(&Control::new(&options, 0), workers, 100, || (), |_, part| job(part))
    }

    #[test]
    fn results_are_in_order() {
        for workers in 1..=8 {
            let squares = sum(workers, |part| {
                std::thread::sleep(Duration::from_micros(part as u64 * 37 % 100));
                Ok(part * part)
            });
            assert_eq!(squares.unwrap(), (0..100).map(|part| part * part).collect::<Vec<_>>());
        }
    }

    #[test]
    fn errors_and_panics_come_out() {
        for workers in 1..=8 {
            let failed =
                sum(workers, |part| if part == 50 { Err(Error::TreeTooLarge.into()) } else { Ok(part) });
            assert!(matches!(failed, Err(Error::TreeTooLarge)));
            let panicked = sum(workers, |part| if part == 50 { panic!("on purpose") } else { Ok(part) });
            assert!(matches!(panicked, Err(Error::Worker)));
        }
    }

    #[test]
    fn a_part_that_ends_without_a_result_is_an_error() {
        for workers in 1..=8 {
            let ended = sum(workers, |part| if part == 99 { Err(Halt::Stopped) } else { Ok(part) });
            assert!(matches!(ended, Err(Error::Worker)));
        }
    }

    #[test]
    fn stopping_gives_all_parts_up_to_the_lowest_stop() {
        for workers in 1..=8 {
            let options = Options::new().threads(workers);
            let control = Control::new(&options, 0);
            let found = run(
                &control,
                workers,
                100,
                || (),
                |(), part| {
                    control.check(part)?;
                    if [20, 21, 30].contains(&part) {
                        control.stop_behind(part);
                    }
                    Ok(part)
                },
            );
            assert_eq!(found.unwrap(), (0..=20).collect::<Vec<_>>());
        }
    }

    /// A claim of fixed cost on 64 threads, counted rather than timed: no step of any thread ends before all 64 have begun
    /// one, while somebody is told of the progress and takes his time. Any lock that is held through a step would end this.
    #[cfg(feature = "rayon")]
    #[test]
    fn e8_sixty_four_threads_work_at_once_and_wait_for_nobody() {
        use std::sync::mpsc;
        const THREADS: usize = 64;
        const STEPS: usize = 3;
        let (ended, end) = mpsc::channel();
        std::thread::spawn(move || {
            let together = std::sync::Barrier::new(THREADS);
            let told = Mutex::new(Vec::new());
            let done = AtomicUsize::new(0);
            let slow = |bytes, _| {
                // the first who tells goes on only when all the others have no more to do
                let first = told.lock().unwrap().is_empty();
                told.lock().unwrap().push(bytes);
                while first && done.load(Ordering::SeqCst) < THREADS - 1 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            };
            let options = Options::new().threads(THREADS).progress(&slow);
            let control = Control::new(&options, (THREADS * STEPS) as u64);
            let found = run(
                &control,
                THREADS,
                THREADS,
                || (),
                |(), part| {
                    for step in 0..STEPS {
                        if step == 0 {
                            together.wait();
                        }
                        control.check(part)?;
                        control.advance(1);
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                    Ok(part)
                },
            );
            drop(ended.send((found.unwrap(), told.into_inner().unwrap())));
        });
        let (found, told) = end.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(found, (0..THREADS).collect::<Vec<_>>());
        assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
        assert_eq!(told.last(), Some(&((THREADS * STEPS) as u64)), "the end is told");
    }

    #[test]
    fn cancelled() {
        let flag = AtomicBool::new(true);
        let options = Options::new().cancel(&flag);
        let outcome = run(&Control::new(&options, 0), 1, 1, || (), |(), part| Ok(part));
        assert!(matches!(outcome, Err(Error::Cancelled)));
    }

    #[cfg(feature = "rayon")]
    #[test]
    fn stays_in_the_callers_pool() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let options = Options::new().threads(8);
        let outside = AtomicBool::new(false);
        assert_eq!(workers(&options, SMALL), 8);
        assert_eq!(workers(&Options::new(), SMALL), rayon::current_num_threads());
        assert_eq!(workers(&Options::new().threads(1), SMALL), 1);
        pool.install(|| {
            assert_eq!(workers(&options, SMALL), 3);
            assert_eq!(workers(&Options::new(), SMALL), 3);
            assert_eq!(workers(&Options::new(), SMALL - 1), 1);
            run(
                &Control::new(&options, 0),
                3,
                100,
                || (),
                |(), part| {
                    if rayon::current_num_threads() != 3 {
                        outside.store(true, Ordering::Relaxed);
                    }
                    Ok(part)
                },
            )
        })
        .unwrap();
        assert!(!outside.into_inner());
    }
}
