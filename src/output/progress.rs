//! How far work is that takes its time: on stderr, and only on a terminal.

use std::fs;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::term::{Term, term};
use super::width::cut;
use super::{escape, is_quiet};
use crate::begun;

/// What is done sooner shows no progress.
const DELAY: Duration = Duration::from_millis(500);
/// Columns of the terminal from which on everything is told.
const WIDE: usize = 90;
/// Columns from which on there is a bar.
const NARROW: usize = 50;

/// All lines there are, one below the other.
static LINES: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5)));
/// Something was drawn.
static DRAWN: AtomicBool = AtomicBool::new(false);
/// Lines of work whose size is known.
static KNOWN: AtomicUsize = AtomicUsize::new(0);
/// Of which image the next lines are, where there are several.
static SUBJECT: Mutex<Option<String>> = Mutex::new(None);

/// Says which image the progress from here on is of, where there are several; `None` for none.
pub(super) fn subject(image: Option<String>) {
    if let Ok(mut subject) = SUBJECT.lock() {
        *subject = image;
    }
}

/// Writes something else, with no line in the way.
pub(super) fn around<T>(write: impl FnOnce() -> T) -> T {
    if DRAWN.load(Ordering::Relaxed) { LINES.suspend(write) } else { write() }
}

/// Takes all lines off the terminal, for good: nothing is drawn after that.
pub(crate) fn clear() {
    if DRAWN.load(Ordering::Relaxed) {
        // nobody is left to tell if this fails
        let _ = LINES.clear();
        LINES.set_draw_target(ProgressDrawTarget::hidden());
    }
}

/// A line of progress, which goes when this is dropped. It appears when the work has taken half a second.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When to appear; `None` if there is no terminal or nobody wants to see it.
    since: Option<Instant>,
    is_shown: AtomicBool,
    is_activity: bool,
}

impl Progress {
    /// For work that is counted in bytes.
    pub(crate) fn new() -> Self {
        Self::of(false)
    }

    fn of(is_activity: bool) -> Self {
        let is_seen = io::stderr().is_terminal() && !is_quiet();
        Progress {
            bar: ProgressBar::hidden(),
            since: is_seen.then(Instant::now),
            is_shown: AtomicBool::new(false),
            is_activity,
        }
    }

    /// `done` of `total`; several threads may call. A total of 0 is not known.
    pub(crate) fn set(&self, done: u64, total: u64) {
        let Some(since) = self.since else { return };
        self.bar.set_length(total);
        self.bar.set_position(done);
        if !self.is_shown.load(Ordering::Relaxed)
            && since.elapsed() >= DELAY
            && !self.is_shown.swap(true, Ordering::Relaxed)
        {
            self.show(total);
        }
    }

    fn show(&self, total: u64) {
        let term = stderr_term();
        let subject = SUBJECT.lock().ok().and_then(|subject| subject.clone());
        // braces are part of a template
        let subject = subject.map(|subject| cut(&escape(&subject), term.columns / 3, &term));
        let template = template(term.columns, total > 0, subject.is_some());
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(if term.is_unicode { style } else { style.progress_chars("#>-") });
        }
        self.bar.set_message(subject.unwrap_or_default());
        begun::watch();
        DRAWN.store(true, Ordering::Relaxed);
        if !self.is_activity {
            KNOWN.fetch_add(1, Ordering::Relaxed);
        }
        LINES.add(self.bar.clone());
        self.bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown.load(Ordering::Relaxed) {
            self.bar.finish_and_clear();
            if !self.is_activity {
                KNOWN.fetch_sub(1, Ordering::Relaxed);
            }
            LINES.remove(&self.bar);
        }
    }
}

/// How much was read and written, for work that nobody can tell the size of before. Gives way to a line that knows more.
#[derive(Debug)]
pub(crate) struct Activity {
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
}

/// Between two looks.
const TICK: Duration = Duration::from_millis(200);

impl Activity {
    pub(crate) fn new() -> Self {
        // the kernel counts
        let is_seen = io::stderr().is_terminal() && !is_quiet() && transferred().is_some();
        let ticker = is_seen.then(|| {
            let (sender, stopped) = channel();
            (sender, thread::spawn(move || watch(&stopped)))
        });
        Activity { ticker }
    }
}

fn watch(stopped: &Receiver<()>) {
    let before = transferred().unwrap_or(0);
    let mut line = None;
    while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        if KNOWN.load(Ordering::Relaxed) > 0 {
            line = None;
            continue;
        }
        let line = line.get_or_insert_with(|| Progress::of(true));
        line.set(transferred().unwrap_or(0).saturating_sub(before), 0);
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.ticker.take() {
            drop(sender);
            // it has nothing to tell
            let _ = thread.join();
        }
    }
}

/// Bytes that this process has read and written so far, from wherever.
fn transferred() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    let count =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    count("rchar:")?.checked_add(count("wchar:")?)
}

/// stdout may be no terminal, or another one.
fn stderr_term() -> Term {
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    Term { columns: if columns == 0 { 80 } else { columns }, ..*term() }
}

/// What fits into a terminal of so many columns.
fn template(columns: usize, has_total: bool, has_subject: bool) -> &'static str {
    match (columns, has_total, has_subject) {
        (WIDE.., true, false) => "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        (WIDE.., true, true) => "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        (NARROW.., true, false) => "{wide_bar} {percent}%, {bytes_per_sec}, {eta} left",
        (NARROW.., true, true) => "{msg} {wide_bar} {percent}%, {eta} left",
        (_, true, false) => "{percent}%, {bytes_per_sec}, {eta} left",
        (_, true, true) => "{msg} {percent}%, {eta} left",
        (_, false, true) => "{msg} {bytes}, {bytes_per_sec}",
        (_, false, false) => "{bytes} read and written, {bytes_per_sec}",
    }
}
