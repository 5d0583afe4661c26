//! How far work is that takes its time: on stderr, and only on a terminal.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::term::{Term, term};
use super::width::cut;
use super::{escape, is_quiet};

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
/// Of which image the next lines are, where there are several.
static SUBJECT: Mutex<Option<String>> = Mutex::new(None);

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
    in_bytes: bool,
}

impl Progress {
    /// For work that is counted in bytes.
    pub(crate) fn new() -> Self {
        Self::of(true)
    }

    fn of(in_bytes: bool) -> Self {
        let is_seen = io::stderr().is_terminal() && !is_quiet();
        Progress {
            bar: ProgressBar::hidden(),
            since: is_seen.then(Instant::now),
            is_shown: AtomicBool::new(false),
            in_bytes,
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
        let template = template(term.columns, self.in_bytes, total > 0, subject.is_some());
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(if term.is_unicode { style } else { style.progress_chars("#>-") });
        }
        self.bar.set_message(subject.unwrap_or_default());
        DRAWN.store(true, Ordering::Relaxed);
        LINES.add(self.bar.clone());
        self.bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown.load(Ordering::Relaxed) {
            self.bar.finish_and_clear();
            LINES.remove(&self.bar);
        }
    }
}

/// stdout may be no terminal, or another one.
fn stderr_term() -> Term {
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    Term { columns: if columns == 0 { 80 } else { columns }, ..*term() }
}

/// What fits into a terminal of so many columns.
fn template(columns: usize, in_bytes: bool, has_total: bool, has_subject: bool) -> &'static str {
    match (columns, in_bytes, has_total, has_subject) {
        (WIDE.., true, true, false) => "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        (WIDE.., true, true, true) => {
            "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
        }
        (NARROW.., true, true, false) => "{wide_bar} {percent}%, {bytes_per_sec}, {eta} left",
        (NARROW.., true, true, true) => "{msg} {wide_bar} {percent}%, {eta} left",
        (_, true, true, _) => "{percent}%, {bytes_per_sec}, {eta} left",
        (_, true, false, true) => "{msg} {bytes}, {bytes_per_sec}",
        (_, true, false, false) => "{bytes}, {bytes_per_sec}",
        (NARROW.., false, true, true) => "{msg} {wide_bar} {pos} of {len}, {eta} left",
        (NARROW.., false, true, false) => "{wide_bar} {pos} of {len}, {eta} left",
        (_, false, true, _) => "{pos} of {len}, {eta} left",
        (_, false, false, _) => "{pos}, {per_sec}",
    }
}
