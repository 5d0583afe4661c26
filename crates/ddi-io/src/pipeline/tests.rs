use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const PIECES: usize = 4;

/// What becomes of a piece, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Passes,
    IsNotTaken,
    CannotBeTaken,
    PanicsWhenTaken,
    Fails,
    Panics,
    IsTheLast,
    CannotBePut,
    PanicsWhenPut,
}

use Act::*;
const ACTS: [Act; 9] = [
    Passes,
    IsNotTaken,
    CannotBeTaken,
    PanicsWhenTaken,
    Fails,
    Panics,
    IsTheLast,
    CannotBePut,
    PanicsWhenPut,
];

fn act(found: Act, fails: Act, panics: Act, piece: usize) -> Result<(), usize> {
    if found == panics {
        // without a word on stderr
        resume_unwind(Box::new("on purpose"));
    }
    if found == fails { Err(piece) } else { Ok(()) }
}

/// Runs the acts on so many threads, and compares what comes of it with what one after the other would give.
fn check(acts: &[Act], threads: usize, ahead: usize) {
    let (mut next, mut put) = (0, Vec::new());
    let outcome = Pipeline::new(threads).ahead(ahead).run(
        || usize::MAX,
        |piece| {
            let Some(found) = acts.get(next).filter(|found| **found != IsNotTaken) else { return Ok(false) };
            *piece = next;
            next += 1;
            act(*found, CannotBeTaken, PanicsWhenTaken, *piece).map(|()| true)
        },
        |piece| act(acts[*piece], Fails, Panics, *piece).map(|()| *piece),
        |piece| {
            act(acts[piece], CannotBePut, PanicsWhenPut, piece)?;
            put.push(piece);
            Ok(acts[piece] != IsTheLast)
        },
    );
    let end = acts.iter().position(|found| *found != Passes);
    let (passed, expected) = match end.map(|piece| (piece, acts[piece])) {
        None => (acts.len(), Ok(())),
        Some((piece, IsNotTaken)) => (piece, Ok(())),
        Some((piece, IsTheLast)) => (piece + 1, Ok(())),
        Some((piece, CannotBeTaken | Fails | CannotBePut)) => (piece, Err(PipelineError::Failed(piece))),
        Some((piece, _)) => (piece, Err(PipelineError::Panicked)),
    };
    assert_eq!(outcome, expected, "{acts:?}");
    assert_eq!(put, (0..passed).collect::<Vec<_>>(), "{acts:?}");
}

/// Each piece with each act.
fn all() -> impl Iterator<Item = [Act; PIECES]> {
    let acts = ACTS.len();
    (0..acts.pow(PIECES as u32))
        .map(move |number| std::array::from_fn(|i| ACTS[number / acts.pow(i as u32) % acts]))
}

#[cfg(not(shuttle))]
mod threads {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_one_thread_does_all_do() {
        for acts in all() {
            for (threads, ahead) in [(1, 0), (3, 0), (3, 2)] {
                check(&acts, threads, ahead);
            }
        }
    }

    /// However long a piece takes: no more than so many results wait, and all come in order.
    #[test]
    fn results_wait_in_a_bounded_room() {
        for threads in [1, 2, 5] {
            for ahead in [0, 1, 3, 100] {
                let (mut taken, mut put) = (0, 0);
                let (begun, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let outcome: Result<(), PipelineError<()>> = Pipeline::new(threads).ahead(ahead).run(
                    || 0,
                    |piece| {
                        (*piece, taken) = (taken, taken + 1);
                        begun.fetch_add(1, Ordering::Relaxed);
                        Ok(*piece < 100)
                    },
                    |piece| {
                        if *piece % 10 == 0 {
                            std::thread::sleep(Duration::from_millis(2));
                        }
                        Ok(*piece)
                    },
                    |piece| {
                        assert_eq!(piece, put);
                        most.fetch_max(begun.load(Ordering::Relaxed) - put, Ordering::Relaxed);
                        put += 1;
                        Ok(true)
                    },
                );
                assert_eq!((outcome, put), (Ok(()), 100));
                // those that wait, the one whose turn it is, and what each thread has in hand
                assert!(most.into_inner() <= ahead + 1 + threads, "{threads} {ahead}");
            }
        }
    }

    /// While one piece is being done, the others are: with as many threads as pieces, each waits for all.
    #[test]
    fn all_threads_work_at_once() {
        let barrier = std::sync::Barrier::new(4);
        let mut left = 8;
        let outcome: Result<(), PipelineError<()>> = Pipeline::new(4).run(
            || (),
            |()| {
                let more = left > 0;
                left -= 1;
                Ok(more)
            },
            |()| {
                barrier.wait();
                Ok(())
            },
            |()| Ok(true),
        );
        assert_eq!(outcome, Ok(()));
    }
}

/// ```text
/// RUSTFLAGS='--cfg shuttle' cargo test -p ddi-io --lib p3_
/// ```
#[cfg(shuttle)]
mod interleavings {
    use super::*;

    #[test]
    fn p3_random_interleavings() {
        static SCHEDULES: AtomicUsize = AtomicUsize::new(0);
        for acts in all() {
            for (threads, ahead) in [(2, 0), (3, 1)] {
                shuttle::check_random(move || check(&acts, threads, ahead), 2);
                shuttle::check_pct(move || check(&acts, threads, ahead), 2, 3);
                SCHEDULES.fetch_add(4, Ordering::Relaxed);
            }
        }
        assert!(SCHEDULES.load(Ordering::Relaxed) > 50_000);
    }

    /// The first so many of them, depth first: those that differ in the last steps.
    #[test]
    fn p3_interleavings_of_the_last_steps() {
        for found in ACTS {
            for at in 0..PIECES {
                let mut acts = [Passes; PIECES];
                acts[at] = found;
                for ahead in [0, 2] {
                    shuttle::check_dfs(move || check(&acts, 2, ahead), Some(2000));
                }
            }
        }
    }
}
