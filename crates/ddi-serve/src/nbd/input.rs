//! What a client sends, read in pieces as large as they come.

use std::io;
use std::time::{Duration, Instant};

use crate::link::Link;

/// Requests are of 28 bytes, and many may come at once.
const BUFFER: usize = 4096;

pub(super) struct Input<'a> {
    link: &'a dyn Link,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    deadline: Option<Instant>,
    /// What the link was told last, so that it is not told again for each request.
    timeout: Option<Option<Duration>>,
}

impl<'a> Input<'a> {
    pub(super) fn new(link: &'a dyn Link) -> Self {
        Input { link, buffer: vec![0; BUFFER].into(), start: 0, end: 0, deadline: None, timeout: None }
    }

    pub(super) fn link(&self) -> &'a dyn Link {
        self.link
    }

    /// All that is read from now on must come within this time; `None`: whenever it comes.
    pub(super) fn within(&mut self, time: Option<Duration>) -> io::Result<()> {
        self.deadline = time.and_then(|time| Instant::now().checked_add(time));
        self.set_timeout(time)
    }

    fn set_timeout(&mut self, time: Option<Duration>) -> io::Result<()> {
        if self.timeout != Some(time) {
            self.link.set_read_timeout(time)?;
            self.timeout = Some(time);
        }
        Ok(())
    }

    /// Returns true if something is here already.
    pub(super) fn is_waiting(&self) -> bool {
        self.start < self.end
    }

    fn fill(&mut self) -> io::Result<()> {
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.set_timeout(Some(left))?;
        }
        (self.start, self.end) = (0, 0);
        self.end = loop {
            match self.link.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?.min(BUFFER),
            }
        };
        if self.end == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Some of what was read, at most `most` bytes of it and at least one.
    fn some(&mut self, most: usize) -> io::Result<&[u8]> {
        if !self.is_waiting() {
            self.fill()?;
        }
        let start = self.start;
        self.start = start.saturating_add(most).min(self.end);
        Ok(self.buffer.get(start..self.start).unwrap_or_default())
    }

    pub(super) fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        let mut rest = buf;
        while !rest.is_empty() {
            let some = self.some(rest.len())?;
            let (now, later) = rest.split_at_mut_checked(some.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            now.copy_from_slice(some);
            rest = later;
        }
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads so many bytes and forgets them.
    pub(super) fn skip(&mut self, mut length: u64) -> io::Result<()> {
        while length > 0 {
            let most = usize::try_from(length).unwrap_or(usize::MAX);
            let some = u64::try_from(self.some(most)?.len()).unwrap_or(u64::MAX);
            length = length.saturating_sub(some);
        }
        Ok(())
    }
}
