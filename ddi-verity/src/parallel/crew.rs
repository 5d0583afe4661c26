//! Threads that help one that goes on with something else: [`Crew`].

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
#[cfg(not(all(test, shuttle)))]
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
};

// in whose place a test has others, by which it decides who goes on
#[cfg(all(test, shuttle))]
use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
};

use crate::error::Error;

/// Does items that are given to it, on threads of its own and on that of the giver when there are too many.
pub(crate) struct Crew<T> {
    shared: Arc<Shared<T>>,
    threads: Vec<JoinHandle<()>>,
    /// So many items may wait to be done.
    most: usize,
}

struct Shared<T> {
    work: Box<dyn Fn(&mut T) + Send + Sync>,
    state: Mutex<State<T>>,
    /// There is something to do, or never will be again.
    given: Condvar,
    /// Something is done.
    done: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    done: Vec<T>,
    /// How many are being done.
    running: usize,
    panicked: bool,
    closed: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the item that has waited longest; false if there is none.
    fn do_one(&self, mut state: MutexGuard<'_, State<T>>) -> bool {
        let Some(mut item) = state.waiting.pop_front() else { return false };
        state.running += 1;
        drop(state);
        // an item that was not done to its end goes no further
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(&mut item)));
        let mut state = self.lock();
        state.running -= 1;
        match outcome {
            Ok(()) => state.done.push(item),
            Err(_panic) => state.panicked = true,
        }
        drop(state);
        self.done.notify_one();
        true
    }

    fn serve(&self) {
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() && !state.closed {
                state = self.given.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if !self.do_one(state) {
                return;
            }
        }
    }
}

impl<T: Send + 'static> Crew<T> {
    /// Of `workers`, of whom the caller is one.
    pub(crate) fn new(workers: usize, work: impl Fn(&mut T) + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            work: Box::new(work),
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                done: Vec::new(),
                running: 0,
                panicked: false,
                closed: false,
            }),
            given: Condvar::new(),
            done: Condvar::new(),
        });
        let spawn = |_| {
            let shared = Arc::clone(&shared);
            Builder::new().spawn(move || shared.serve()).ok()
        };
        // one that cannot be had is done without
        let threads = (1..workers).map_while(spawn).collect();
        Crew { shared, threads, most: workers }
    }

    /// Has `item` done by whoever comes to it; if as many wait as there are workers, does the oldest first. Returns what
    /// is done by now, in no particular order.
    ///
    /// # Errors
    /// [`Error::Worker`] once somebody has panicked.
    pub(crate) fn give(&self, item: T) -> Result<Vec<T>, Error> {
        loop {
            let mut state = self.shared.lock();
            if state.panicked {
                return Err(Error::Worker);
            }
            if state.waiting.len() < self.most {
                state.waiting.push_back(item);
                let done = core::mem::take(&mut state.done);
                drop(state);
                self.shared.given.notify_one();
                return Ok(done);
            }
            self.shared.do_one(state);
        }
    }

    /// Does what is left, together with the others, and returns what was not returned yet.
    ///
    /// # Errors
    /// [`Error::Worker`] once somebody has panicked.
    pub(crate) fn finish(&self) -> Result<Vec<T>, Error> {
        while self.shared.do_one(self.shared.lock()) {}
        let mut state = self.shared.lock();
        while state.running > 0 {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.panicked { Err(Error::Worker) } else { Ok(core::mem::take(&mut state.done)) }
    }
}

impl<T> Drop for Crew<T> {
    /// Nobody is left behind, and nothing more is begun.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.shared.given.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Gives so many items, and checks that each is done once and by nobody when one has panicked.
    fn check(workers: usize, items: usize, bad: Option<usize>, finishes: bool) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let crew = Crew::new(workers, move |item: &mut (usize, usize)| {
            counted.fetch_add(1, Ordering::Relaxed);
            if Some(item.0) == bad {
                // without a word on stderr
                resume_unwind(Box::new("on purpose"));
            }
            item.1 = item.0 * item.0;
        });
        let mut done = Vec::new();
        let outcome = (0..items).try_for_each(|item| {
            done.extend(crew.give((item, usize::MAX))?);
            // what waits, what is in hand, and what was done since
            assert!(done.len() + 3 * workers > item);
            Ok::<_, Error>(())
        });
        if !finishes {
            drop(crew);
            assert!(calls.load(Ordering::Relaxed) <= items);
            return;
        }
        let outcome = outcome.and_then(|()| {
            done.extend(crew.finish()?);
            Ok(())
        });
        drop(crew);
        done.sort_unstable();
        match bad {
            Some(bad) => {
                assert!(matches!(outcome, Err(Error::Worker)));
                assert!(done.iter().all(|(item, square)| *item != bad && *square == item * item));
            }
            None => {
                outcome.unwrap();
                assert_eq!(done, (0..items).map(|item| (item, item * item)).collect::<Vec<_>>());
                assert_eq!(calls.load(Ordering::Relaxed), items);
            }
        }
    }

    #[cfg(not(shuttle))]
    #[test]
    fn each_item_is_done_once() {
        for workers in [1, 2, 5] {
            for items in [0, 1, 3, 100] {
                for bad in [None, Some(0), Some(items / 2)]
                    .into_iter()
                    .filter(|bad| bad.is_none_or(|bad| bad < items))
                {
                    check(workers, items, bad, true);
                    check(workers, items, bad, false);
                }
            }
        }
    }

    #[cfg(shuttle)]
    #[test]
    fn p3_a_crew_in_any_order() {
        for workers in [2, 3] {
            for items in [1, 3, 5] {
                for bad in [None, Some(0), Some(items - 1)] {
                    for finishes in [true, false] {
                        shuttle::check_random(move || check(workers, items, bad, finishes), 300);
                        shuttle::check_pct(move || check(workers, items, bad, finishes), 300, 3);
                        shuttle::check_dfs(move || check(workers, items, bad, finishes), Some(1000));
                    }
                }
            }
        }
    }
}
