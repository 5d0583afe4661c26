//! Every order in which threads can end, with everything that each of them can do.
//!
//! What threads share here is little: the number of the next part, the lowest part at which to stop, a flag that says that
//! it is over, and two lists behind locks; all of it is looked at in the end by one thread, after the others. So what can
//! go wrong first of all is the order in which parts *end*, and these are all tried.

use std::sync::{Condvar, Mutex};

use super::acts::{Act, PARTS};
use super::{Control, run};
use crate::options::Options;

/// Lets parts end in a given order, once all of them have begun.
struct Order {
    order: [usize; PARTS],
    /// Parts that have begun, and that have ended.
    state: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Order {
    fn wait(&self, part: usize) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        while state.0 < PARTS || self.order[state.1] != part {
            state = self.changed.wait(state).unwrap();
        }
        // the others may go on before this one has told what came of it: that is one more order
        state.1 = (state.1 + 1).min(PARTS - 1);
        self.changed.notify_all();
    }
}

fn permutations() -> Vec<[usize; PARTS]> {
    let mut all = Vec::new();
    for number in 0..PARTS.pow(PARTS as u32) {
        let order: [usize; PARTS] = std::array::from_fn(|i| number / PARTS.pow(i as u32) % PARTS);
        if (0..PARTS).all(|part| order.contains(&part)) {
            all.push(order);
        }
    }
    assert_eq!(all.len(), 24);
    all
}

#[test]
fn p2_every_order_of_ends_gives_the_same_result() {
    // one pool for all: in it, `run` takes the threads that are there
    let pool = rayon::ThreadPoolBuilder::new().num_threads(PARTS).build().unwrap();
    let orders = permutations();
    for acts in Act::of_all_parts() {
        for order in &orders {
            let schedule = Order { order: *order, state: Mutex::new((0, 0)), changed: Condvar::new() };
            let options = Options::new();
            let control = Control::new(&options, 0);
            let job = |_: &mut (), part| {
                schedule.wait(part);
                acts[part].perform(&control, part)
            };
            let found = pool.install(|| run(&control, PARTS, PARTS, || (), job));
            // all have begun, so the lowest that goes wrong counts, whoever was first
            match (acts.iter().position(|act| act.is_bad()), found) {
                (Some(part), Err(error)) => {
                    assert!(acts[part].gives(part, &error), "{acts:?} {order:?}: {error:?}")
                }
                (None, Ok(found)) => {
                    let last = acts.iter().position(|act| *act == Act::Stops).unwrap_or(PARTS - 1);
                    assert_eq!(found, (0..=last).collect::<Vec<_>>(), "{acts:?} {order:?}");
                }
                (_, other) => panic!("{acts:?} {order:?}: {other:?}"),
            }
        }
    }
}
