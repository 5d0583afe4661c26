//! How a tree is built or checked: [`Options`].

use core::fmt;
use std::sync::atomic::AtomicBool;

use crate::hash::Backend;

/// Most threads that a call makes, whatever it is asked for: more than any machine has use for, and each has buffers.
pub const MAX_THREADS: usize = 1024;

/// How to go about building, checking or updating a tree. None of this changes the result.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use ddi_verity::Options;
///
/// let cancel = AtomicBool::new(false);
/// let progress = |done: u64, total: u64| eprint!("\r{done} of {total} bytes");
/// let options = Options::new().threads(2).progress(&progress).cancel(&cancel);
/// ```
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    pub(crate) threads: Option<usize>,
    pub(crate) backend: Option<Backend>,
    pub(crate) progress: Option<&'a (dyn Fn(u64, u64) + Sync)>,
    pub(crate) cancel: Option<&'a AtomicBool>,
    pub(crate) stop_at_first: bool,
    pub(crate) every_block: bool,
    pub(crate) sha1: bool,
    /// Most bytes of digests in memory, for tests of streaming on small images.
    pub(crate) resident: Option<u64>,
}

impl<'a> Options<'a> {
    /// As many threads as there are, the fastest backend, all errors, holes skipped.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most this many threads, and at most [`MAX_THREADS`]; 1 stays on the calling thread, as do inputs of less than
    /// 4 MiB.
    ///
    /// Inside a rayon pool the work runs in that pool, on no more threads than it has. Elsewhere a number given here
    /// makes a pool of its own for the call, and without one rayon's global pool is used. Ignored without the feature
    /// `rayon`.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.clamp(1, MAX_THREADS));
        self
    }

    /// This kernel rather than the one that would be chosen.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Called with the bytes of data done so far and in all, every few MiB, from any thread, never twice at once and
    /// never with less than before.
    #[must_use]
    pub fn progress(mut self, progress: &'a (dyn Fn(u64, u64) + Sync)) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Ends the work soon after this becomes true, with [`Error::Cancelled`](crate::Error::Cancelled).
    #[must_use]
    pub fn cancel(mut self, cancel: &'a AtomicBool) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// When checking: end with the first block that is not proven. Which that is does not depend on the number of
    /// threads.
    #[must_use]
    pub fn stop_at_first(mut self, stop: bool) -> Self {
        self.stop_at_first = stop;
        self
    }

    /// Read and hash also what is known beforehand: holes in files, and blocks of zeros.
    #[must_use]
    pub fn hash_every_block(mut self, every: bool) -> Self {
        self.every_block = every;
        self
    }

    /// Build and update also trees of SHA-1, which nobody should trust any more. Checking needs no permission.
    #[must_use]
    pub fn allow_sha1(mut self, allow: bool) -> Self {
        self.sha1 = allow;
        self
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("threads", &self.threads)
            .field("backend", &self.backend)
            .field("progress", &self.progress.is_some())
            .field("cancel", &self.cancel)
            .field("stop_at_first", &self.stop_at_first)
            .field("every_block", &self.every_block)
            .field("sha1", &self.sha1)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each keeps what was set before it.
    #[test]
    fn what_was_asked_for_is_kept() {
        let (progress, cancel) = (|_, _| {}, AtomicBool::new(false));
        let options = Options::new()
            .allow_sha1(true)
            .stop_at_first(true)
            .hash_every_block(true)
            .progress(&progress)
            .cancel(&cancel)
            .backend(Backend::portable())
            .threads(3);
        let shown = format!("{options:?}");
        for field in
            ["threads: Some(3)", "progress: true", "stop_at_first: true", "every_block: true", "sha1: true"]
        {
            assert!(shown.contains(field), "{shown}");
        }
        assert!(options.backend.is_some() && options.cancel.is_some());
        assert_eq!(options.threads(0).threads, Some(1));
        assert_eq!(options.threads(usize::MAX).threads, Some(MAX_THREADS));
    }
}
