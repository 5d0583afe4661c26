//! Orders of single steps: at each atomic operation and each lock, shuttle decides which thread goes on.
//!
//! ```text
//! RUSTFLAGS='--cfg shuttle' cargo test -p ddi-verity --no-default-features --lib p3_
//! ```
//!
//! Its atomics have one order for all threads. Nothing here rests on less: numbers of parts are given out by one
//! `fetch_add` each, what says that it is over is a hint to do less, and results are behind locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::acts::{Act, PARTS};
use super::{Control, run};
use crate::error::Error;
use crate::options::Options;

/// Runs the acts on so many threads, and looks at what comes of it.
fn check(acts: [Act; PARTS], workers: usize) {
    let seen = std::sync::Mutex::new(Vec::new());
    let progress = |done, total| seen.lock().unwrap().push((done, total));
    let options = Options::new().progress(&progress);
    let control = Control::new(&options, PARTS as u64);
    let job = |_: &mut (), part: usize| {
        let result = acts[part].perform(&control, part)?;
        control.advance(1);
        // as between the claims of a part
        control.check(part)?;
        Ok(result)
    };
    let found = run(&control, workers, PARTS, || (), job);

    let last = acts.iter().position(|act| *act == Act::Stops).unwrap_or(PARTS - 1);
    match found {
        Ok(parts) => {
            // what goes wrong behind the end need not be seen, and nothing before it is left out
            assert!(!acts[..=last].iter().any(|act| act.is_bad()), "{acts:?}");
            assert_eq!(parts, (0..=last).collect::<Vec<_>>(), "{acts:?}");
        }
        Err(error) => {
            let mut parts = acts.iter().enumerate().filter(|(_, act)| act.is_bad());
            assert!(parts.any(|(part, act)| act.gives(part, &error)), "{acts:?}: {error:?}");
        }
    }
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0) && seen.iter().all(|(_, total)| *total == PARTS as u64));
    // whoever was the last to tell: nothing that is done is left untold
    if acts == [Act::Ends; PARTS] {
        assert_eq!(seen.last(), Some(&(PARTS as u64, PARTS as u64)));
    }
}

#[test]
fn p3_random_interleavings() {
    let mut schedules = 0;
    for acts in Act::of_all_parts() {
        for workers in [2, 3] {
            shuttle::check_random(move || check(acts, workers), 20);
            shuttle::check_pct(move || check(acts, workers), 20, 3);
            schedules += 40;
        }
    }
    assert!(schedules > 20_000);
}

/// The first so many of them, depth first: those that differ in the last steps.
#[test]
fn p3_interleavings_of_the_last_steps() {
    for acts in Act::of_all_parts() {
        shuttle::check_dfs(move || check(acts, 2), Some(2000));
    }
}

/// Whoever cancels, and whenever: all of it, or the error, never less.
#[test]
fn p3_cancelled_at_any_time() {
    let cancelled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&cancelled);
    let schedules = 2000;
    shuttle::check_random(
        move || {
            let cancel = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&cancel);
            // no scope, for `run` has one: the end of the one would wake who waits for the other
            let canceller = shuttle::thread::spawn(move || {
                shuttle::thread::yield_now();
                theirs.store(true, Ordering::Relaxed);
            });
            let options = Options::new().cancel(&cancel);
            let control = Control::new(&options, 0);
            let found = run(&control, 3, PARTS, || (), |(), part| Ok(part));
            canceller.join().unwrap();
            match found {
                Ok(parts) => assert_eq!(parts, (0..PARTS).collect::<Vec<_>>()),
                Err(Error::Cancelled) => drop(count.fetch_add(1, Ordering::Relaxed)),
                Err(error) => panic!("{error:?}"),
            }
        },
        schedules,
    );
    let cancelled = cancelled.load(Ordering::Relaxed);
    assert!((1..schedules).contains(&cancelled), "{cancelled}");
}
