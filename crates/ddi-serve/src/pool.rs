//! Threads that answer large reads, for all connections.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Work, which gets the buffer of the thread that does it.
pub(crate) type Job = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

/// Work is only taken by a thread that is idle: what none takes, its connection does itself. So no connection waits for another,
/// and what is in flight is bounded by the number of threads.
pub(crate) struct Pool {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    idle: usize,
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut buffer = Vec::new();
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // a job tells its connection by itself that it is over
                let _ = catch_unwind(AssertUnwindSafe(|| job(&mut buffer)));
                state = self.lock();
            } else if state.closed {
                return;
            } else {
                state.idle = state.idle.saturating_add(1);
                state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle = state.idle.saturating_sub(1);
            }
        }
    }
}

impl Pool {
    pub(crate) fn new(threads: usize) -> io::Result<Self> {
        let mut pool = Pool { inner: Arc::default(), threads: Vec::new() };
        for _ in 0..threads {
            let inner = Arc::clone(&pool.inner);
            let thread = std::thread::Builder::new().name("ddi-serve".into()).spawn(move || inner.work())?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Gives the work to an idle thread, or back.
    pub(crate) fn offer(&self, job: Job) -> Result<(), Job> {
        let mut state = self.inner.lock();
        if state.jobs.len() >= state.idle {
            return Err(job);
        }
        state.jobs.push_back(job);
        drop(state);
        self.inner.ready.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.inner.lock().closed = true;
        self.inner.ready.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn work_is_taken_by_the_idle_alone() {
        let pool = Pool::new(2).unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let (done, ends) = mpsc::channel();
        let job = || -> Job {
            let (wait, done) = (Arc::clone(&wait), done.clone());
            Box::new(move |_: &mut Vec<u8>| {
                let _ = wait.lock().unwrap().recv();
                done.send(()).unwrap();
            })
        };
        let mut taken = 0;
        while taken < 2 {
            taken += usize::from(pool.offer(job()).is_ok());
        }
        for _ in 0..10 {
            assert!(pool.offer(job()).is_err());
        }
        go.send(()).unwrap();
        go.send(()).unwrap();
        ends.recv().unwrap();
        ends.recv().unwrap();
        // one that panics does not take its thread with it
        while pool.offer(Box::new(|_| panic!("once"))).is_err() {}
        for _ in 0..3 {
            let done = done.clone();
            let mut job: Job = Box::new(move |_| done.send(()).unwrap());
            while let Err(back) = pool.offer(job) {
                job = back;
            }
            ends.recv().unwrap();
        }
    }
}
