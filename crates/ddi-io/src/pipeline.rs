//! Work that comes in order and leaves in order, with many threads between: [`Pipeline`].

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(not(all(test, shuttle)))]
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

// in whose place a test has others, by which it decides who goes on
#[cfg(all(test, shuttle))]
use shuttle::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Results that may wait for one before them, for each thread.
const AHEAD: usize = 4;

/// Three stages: pieces of work are taken by one thread at a time, done by all of them at once, and what comes of them is
/// put away by one thread at a time, in the order in which they were taken. Whoever uses one cannot tell the number of threads from
/// its results, its errors among them.
///
/// There is no thread that only reads or only writes: each takes a piece, does it, and puts it away if it is its turn, so
/// that two threads have twice the work done of one where taking and putting away is the smaller part. Threads are its own,
/// not those of a pool: they may wait for a stream for as long as that likes.
///
/// Memory: the state of each thread, and a few results for each that wait for the one before them; how many,
/// [`ahead`](Self::ahead) says.
///
/// ```
/// use ddi_io::Pipeline;
///
/// let (mut next, mut sum) = (0..100_u64, 0);
/// let outcome = Pipeline::new(4).run::<_, _, std::io::Error>(
///     || 0,
///     |number| Ok(next.next().map(|taken| *number = taken).is_some()),
///     |number| Ok(*number * *number),
///     |square| {
///         sum += square;
///         Ok(true)
///     },
/// );
/// assert!(outcome.is_ok());
/// assert_eq!(sum, 328_350);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Pipeline {
    threads: usize,
    ahead: usize,
}

/// Why a [`Pipeline`] did not come to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum PipelineError<E> {
    /// A stage failed; of several, the first in order.
    Failed(E),
    /// A stage panicked.
    Panicked,
}

impl<E: fmt::Display> fmt::Display for PipelineError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PipelineError::Failed(error) => error.fmt(f),
            PipelineError::Panicked => f.write_str("a thread has given up"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for PipelineError<E> {}

/// The first stage.
struct Intake<F> {
    take: F,
    /// Number of the next piece.
    next: usize,
    over: bool,
}

/// The last stage.
struct Outlet<F, T, E> {
    put: F,
    /// Number of the piece whose turn it is.
    next: usize,
    waiting: BTreeMap<usize, Result<T, PipelineError<E>>>,
    over: bool,
    outcome: Result<(), PipelineError<E>>,
}

impl<T, E, F: FnMut(T) -> Result<bool, E>> Outlet<F, T, E> {
    /// Puts away all whose turn it is.
    fn drain(&mut self) {
        while let Some(result) = self.waiting.remove(&self.next) {
            self.next = self.next.saturating_add(1);
            match result.and_then(|result| caught(|| (self.put)(result))) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => self.outcome = Err(error),
            }
            self.over = true;
            self.waiting.clear();
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a stage says, or that it panicked; what it has then left behind is not used again.
fn caught<T, E>(stage: impl FnOnce() -> Result<T, E>) -> Result<T, PipelineError<E>> {
    match catch_unwind(AssertUnwindSafe(stage)) {
        Ok(result) => result.map_err(PipelineError::Failed),
        Err(_panic) => Err(PipelineError::Panicked),
    }
}

impl Pipeline {
    /// Of so many threads, at least one, of which the calling one is the first. Where there are fewer to be had, those do it.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        Pipeline { threads, ahead: threads.saturating_mul(AHEAD) }
    }

    /// At most `results` may wait for one before them; four for each thread otherwise. A thread whose result would be one more
    /// waits as well.
    #[must_use]
    pub fn ahead(self, results: usize) -> Self {
        Pipeline { ahead: results, ..self }
    }

    /// Runs until `take` returns false, or `put`, or one of the stages fails.
    ///
    /// `state` makes what a thread has for itself, `take` puts a piece of work into it, and `work` makes of that what `put`
    /// is given. The first piece that fails ends it, whoever fails later: all before it were put away, and nothing after it.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub fn run<S, T: Send, E: Send>(
        self,
        state: impl Fn() -> S + Sync,
        take: impl FnMut(&mut S) -> Result<bool, E> + Send,
        work: impl Fn(&mut S) -> Result<T, E> + Sync,
        put: impl FnMut(T) -> Result<bool, E> + Send,
    ) -> Result<(), PipelineError<E>> {
        let intake = Mutex::new(Intake { take, next: 0, over: false });
        let outlet =
            Mutex::new(Outlet { put, next: 0, waiting: BTreeMap::new(), over: false, outcome: Ok(()) });
        let turn = Condvar::new();
        let thread = || {
            let mut own = None;
            loop {
                let mut intake = lock(&intake);
                // whoever ends it holds the outlet, not the intake: a piece may be taken in vain, not more
                if intake.over || lock(&outlet).over {
                    return;
                }
                let number = intake.next;
                let taken = caught(|| (intake.take)(own.get_or_insert_with(&state)));
                intake.over = !matches!(taken, Ok(true));
                if matches!(taken, Ok(false)) {
                    return;
                }
                intake.next = number.saturating_add(1);
                drop(intake);

                let result = taken.and_then(|_| caught(|| work(own.get_or_insert_with(&state))));
                let mut outlet = lock(&outlet);
                // the thread whose turn it is does not wait, and so nobody waits for ever
                while !outlet.over && outlet.next != number && outlet.waiting.len() >= self.ahead {
                    outlet = turn.wait(outlet).unwrap_or_else(PoisonError::into_inner);
                }
                if outlet.over {
                    return;
                }
                outlet.waiting.insert(number, result);
                outlet.drain();
                drop(outlet);
                turn.notify_all();
            }
        };
        on_threads(self.threads, &thread);
        outlet.into_inner().unwrap_or_else(PoisonError::into_inner).outcome
    }
}

#[cfg(not(all(test, shuttle)))]
fn on_threads(threads: usize, thread: &(impl Fn() + Sync)) {
    if threads == 1 {
        return thread();
    }
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // one that cannot be had is done without
            if std::thread::Builder::new().spawn_scoped(scope, thread).is_err() {
                break;
            }
        }
        thread();
    });
}

#[cfg(all(test, shuttle))]
fn on_threads(threads: usize, thread: &(impl Fn() + Sync)) {
    shuttle::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(thread);
        }
    });
}

#[cfg(test)]
mod tests;
