//! What was begun goes when the command is interrupted, and the terminal is left as it was.
//!
//! Files without a name go by themselves. What has a name already is told here by whoever makes it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::output;

/// Something that is there and not complete.
type Undo = Box<dyn FnOnce() + Send>;

/// Somebody else sees to interrupts.
static LEFT: AtomicBool = AtomicBool::new(false);

static BEGUN: Mutex<Vec<(u64, Undo)>> = Mutex::new(Vec::new());

/// Until this is dropped, an interrupt undoes what was begun.
#[derive(Debug)]
#[must_use]
pub(crate) struct Begun(u64);

impl Begun {
    /// `undo` is done at most once, by another thread.
    pub(crate) fn new(undo: impl FnOnce() + Send + 'static) -> Self {
        watch();
        let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
        let number = begun.last().map_or(0, |(number, _)| number + 1);
        begun.push((number, Box::new(undo)));
        Begun(number)
    }

    /// A file that was made under this path, and was not there before.
    pub(crate) fn file(path: PathBuf) -> Self {
        Self::new(move || drop(std::fs::remove_file(path)))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
        begun.retain(|(number, _)| *number != self.0);
    }
}

/// From here on, an interrupt takes progress off the terminal, undoes what was begun, and then ends the command as it would
/// have ended without. Nothing is set up before there is something to undo: it takes a thread and descriptors.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(start);
}

/// From here on, the command sees to interrupts by itself.
pub(crate) fn leave() {
    LEFT.store(true, Ordering::SeqCst);
}

fn start() {
    // without, an interrupt ends the command at once, and only the terminal shows it
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    thread::spawn(move || {
        for signal in &mut signals {
            if LEFT.load(Ordering::SeqCst) {
                continue;
            }
            output::clear_progress();
            // kept: nothing more is begun, nor completed
            let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
            begun.drain(..).rev().for_each(|(_, undo)| undo());
            // what fails now because of this is told to nobody
            let _quiet = std::io::stderr().lock();
            let _ = emulate_default_handler(signal);
        }
    });
}
