//! Requests and their replies.
//!
//! Large reads are sent in chunks, each as soon as it is proven, so that no more than a piece of them is in memory; those that
//! the client wants in one piece wait for room. Header and data go out in one call.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::MAX_READ;
use super::handshake::Agreed;
use super::input::Input;
use super::wire::{self, Errno, Request, chunk, cmd};
use crate::link::Link;
use crate::server::{Fault, Shared};
use crate::statistics::add;

/// Bytes that are proven and sent at a time: few enough to be in the second-level cache still when they are sent.
const PIECE: u64 = 256 << 10;
/// Reads up to this size are answered by the thread that reads requests: handing them over costs more.
const SMALL: u32 = 16 << 10;
/// Bytes that one answer to BLOCK_STATUS goes over.
const STATUS_RANGE: u64 = 64 << 20;
/// Extents in it.
const MAX_EXTENTS: usize = 4096;
/// Characters of the text that says why something failed.
const MAX_TEXT: usize = 256;
/// Most bytes of a write that are read away before it is refused.
const MAX_WRITE: u32 = 64 << 20;

/// What all who answer one client share.
struct Session {
    shared: Arc<Shared>,
    link: Arc<dyn Link>,
    agreed: Agreed,
    /// One reply at a time.
    sending: Mutex<()>,
    broken: AtomicBool,
    /// Requests that others are at work on.
    working: Mutex<usize>,
    all_done: Condvar,
}

/// Reads requests until the client has enough.
pub(super) fn run(shared: &Arc<Shared>, link: &Arc<dyn Link>, mut input: Input<'_>, agreed: Agreed) {
    let session = Arc::new(Session {
        shared: Arc::clone(shared),
        link: Arc::clone(link),
        agreed,
        sending: Mutex::new(()),
        broken: AtomicBool::new(false),
        working: Mutex::new(0),
        all_done: Condvar::new(),
    });
    let _ = link.set_write_timeout(Some(shared.options.write_time));
    let mut buffer = Vec::new();
    // a client that vanishes is no error
    while let Ok(true) = session.next(&mut input, &mut buffer) {}
    let mut working = session.working.lock().unwrap_or_else(PoisonError::into_inner);
    while *working > 0 {
        working = session.all_done.wait(working).unwrap_or_else(PoisonError::into_inner);
    }
}

impl Session {
    /// Reads one request and sees to it that it is answered. False at the end.
    fn next(self: &Arc<Self>, input: &mut Input<'_>, buffer: &mut Vec<u8>) -> io::Result<bool> {
        if !input.is_waiting() {
            input.within(self.shared.options.idle_time)?;
        }
        let header = input.array::<{ Request::SIZE }>()?;
        let Some(request) = Request::parse(&header) else {
            add(&self.shared.counters.invalid, 1);
            return Ok(false);
        };
        if request.command == cmd::DISC || self.broken.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if request.command == cmd::WRITE {
            if request.length > MAX_WRITE {
                return Ok(false);
            }
            input.skip(request.length.into())?;
        }
        let begun = Instant::now();
        if self.shared.is_stopping() {
            self.refuse(&request, begun, Errno::Shutdown, "the server ends")?;
            return Ok(false);
        }
        let others = request.command == cmd::READ && request.length > SMALL && self.hand_over(request, begun);
        if !others {
            self.answer(&request, begun, buffer)?;
        }
        Ok(true)
    }

    /// Returns true if another thread has taken it.
    fn hand_over(self: &Arc<Self>, request: Request, begun: Instant) -> bool {
        let guard = Working::new(self);
        let job = move |buffer: &mut Vec<u8>| {
            let session = &guard.0;
            if session.answer(&request, begun, buffer).is_err() {
                session.give_up();
            }
        };
        self.shared.pool.offer(Box::new(job)).is_ok()
    }

    /// The client cannot be reached any more: whoever reads from it ends too.
    fn give_up(&self) {
        self.broken.store(true, Ordering::Relaxed);
        self.link.hang_up();
    }

    /// Errors are those of the connection; what is wrong with the request is told to the client.
    fn answer(&self, request: &Request, begun: Instant, buffer: &mut Vec<u8>) -> io::Result<()> {
        let size = self.agreed.export.size();
        let end = request.offset.checked_add(request.length.into()).filter(|end| *end <= size);
        let refuse = |errno, why| self.refuse(request, begun, errno, why);
        match request.command {
            cmd::READ | cmd::BLOCK_STATUS => {}
            cmd::WRITE | cmd::TRIM | cmd::WRITE_ZEROES => {
                return refuse(Errno::Permission, "this disk is read-only");
            }
            _ => return refuse(Errno::Invalid, "this command is not known here"),
        }
        let Some(end) = end else { return refuse(Errno::Invalid, "this is not within the disk") };
        let range = request.offset..end;
        let allowed = match request.command {
            cmd::READ if self.agreed.structured => cmd::DONT_FRAGMENT,
            cmd::READ => 0,
            _ => cmd::REQ_ONE,
        };
        if request.flags & !allowed != 0 {
            return refuse(Errno::Invalid, "this flag is not known here");
        }
        if request.command == cmd::BLOCK_STATUS {
            if !self.agreed.allocation || range.is_empty() {
                return refuse(Errno::Invalid, "no context was agreed upon, or there is no range");
            }
            return self.block_status(request, begun, range);
        }
        if request.length > MAX_READ {
            return refuse(Errno::Overflow, "no more than 32 MiB at once");
        }
        let whole = !self.agreed.structured || request.flags & cmd::DONT_FRAGMENT != 0;
        if whole || u64::from(request.length) <= PIECE {
            self.read_whole(request, begun, range, buffer)
        } else {
            self.read_in_pieces(request, begun, range, buffer)
        }
    }

    /// In one reply.
    fn read_whole(
        &self,
        request: &Request,
        begun: Instant,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        let length = range.end.saturating_sub(range.start);
        let is_large = length > PIECE;
        let _room = is_large.then(|| self.shared.room.take(length));
        let read = self.read_into(request.cookie, range, chunk::DONE, buffer);
        let sent = match read {
            Ok(reply) => {
                let sent = self.send(reply);
                self.done(begun);
                add(&self.shared.counters.bytes, length);
                sent
            }
            Err(error) => self.fail(request, begun, &error),
        };
        if is_large {
            // as much is not needed often
            *buffer = Vec::new();
        }
        sent
    }

    /// In one chunk for each piece, of which those that are zeros are only named.
    fn read_in_pieces(
        &self,
        request: &Request,
        begun: Instant,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut start = range.start;
        while start < range.end {
            // pieces begin where those of others do
            let next = start.saturating_add(1).next_multiple_of(PIECE).min(range.end);
            let piece = start..next;
            let done = if next == range.end { chunk::DONE } else { 0 };
            match self.is_zero(&piece) {
                Ok(true) => {
                    let length = next.saturating_sub(start);
                    let mut hole = chunk_header(done, chunk::OFFSET_HOLE, request.cookie, 12);
                    hole.extend(start.to_be_bytes());
                    hole.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
                    add(&self.shared.counters.zero_bytes, length);
                    self.send(&hole)?;
                }
                Ok(false) => match self.read_into(request.cookie, piece.clone(), done, buffer) {
                    Ok(reply) => {
                        self.send(reply)?;
                        add(&self.shared.counters.bytes, next.saturating_sub(start));
                    }
                    Err(error) => return self.fail(request, begun, &error),
                },
                Err(error) => return self.fail(request, begun, &error),
            }
            start = next;
        }
        self.done(begun);
        Ok(())
    }

    fn is_zero(&self, piece: &Range<u64>) -> io::Result<bool> {
        let zeros = self.agreed.export.content.zeros(piece.clone())?;
        Ok(zeros.first() == Some(piece))
    }

    /// The whole reply with the bytes of `range`, read to where they are sent from.
    fn read_into<'b>(
        &self,
        cookie: u64,
        range: Range<u64>,
        flags: u16,
        buffer: &'b mut Vec<u8>,
    ) -> io::Result<&'b [u8]> {
        let length = u32::try_from(range.end.saturating_sub(range.start)).unwrap_or(u32::MAX);
        let header = if !self.agreed.structured {
            let mut header = wire::SIMPLE_REPLY.to_be_bytes().to_vec();
            header.extend(0_u32.to_be_bytes());
            header.extend(cookie.to_be_bytes());
            header
        } else if length == 0 {
            chunk_header(flags, chunk::NONE, cookie, 0)
        } else {
            let mut header = chunk_header(flags, chunk::OFFSET_DATA, cookie, length.saturating_add(8));
            header.extend(range.start.to_be_bytes());
            header
        };
        let size = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(header.len());
        // what was in it before is written over, and need not be zeroed
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let reply = buffer.get_mut(..size).unwrap_or_default();
        if let Some((head, data)) = reply.split_at_mut_checked(header.len()) {
            head.copy_from_slice(&header);
            if !data.is_empty() {
                self.agreed.export.content.read_exact_at(range.start, data)?;
            }
        }
        Ok(reply)
    }

    fn block_status(&self, request: &Request, begun: Instant, range: Range<u64>) -> io::Result<()> {
        let asked = range.start..range.end.min(range.start.saturating_add(STATUS_RANGE));
        let zeros = match self.agreed.export.content.zeros(asked.clone()) {
            Ok(zeros) => zeros,
            Err(error) => return self.fail(request, begun, &error),
        };
        let is_one = request.flags & cmd::REQ_ONE != 0;
        let most = if is_one { 1 } else { MAX_EXTENTS };
        let mut extents = Vec::new();
        let mut at = asked.start;
        let alternate = zeros.iter().flat_map(|zero| [(zero.start, 0), (zero.end, wire::HOLE_ZERO)]);
        for (end, flags) in alternate.chain([(asked.end, 0)]) {
            if end > at && extents.len() < most {
                extents.push((end.saturating_sub(at), flags));
                at = end;
            }
        }
        let length = extents.len().saturating_mul(8).saturating_add(4);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let mut reply = chunk_header(chunk::DONE, chunk::BLOCK_STATUS, request.cookie, length);
        reply.extend(wire::ALLOCATION_ID.to_be_bytes());
        for (length, flags) in extents {
            reply.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
            reply.extend(flags.to_be_bytes());
        }
        self.done(begun);
        self.send(&reply)
    }

    /// The content could not be read.
    fn fail(&self, request: &Request, begun: Instant, error: &io::Error) -> io::Result<()> {
        let is_corrupt = error.kind() == io::ErrorKind::InvalidData;
        let counters = &self.shared.counters;
        add(if is_corrupt { &counters.corrupt } else { &counters.failed }, 1);
        let fault = Fault {
            export: &self.agreed.export.name,
            range: request.offset..request.offset.saturating_add(request.length.into()),
            error,
        };
        let why = error.to_string();
        self.shared.fault(&fault);
        self.error(request, begun, Errno::Io, &why)
    }

    fn refuse(&self, request: &Request, begun: Instant, errno: Errno, why: &str) -> io::Result<()> {
        add(&self.shared.counters.invalid, 1);
        self.error(request, begun, errno, why)
    }

    fn error(&self, request: &Request, begun: Instant, errno: Errno, why: &str) -> io::Result<()> {
        let reply = if self.agreed.structured {
            let why: String = why.chars().take(MAX_TEXT).collect();
            let length = u16::try_from(why.len()).unwrap_or(0);
            let mut reply =
                chunk_header(chunk::DONE, chunk::ERROR, request.cookie, u32::from(length).saturating_add(6));
            reply.extend(errno.number().to_be_bytes());
            reply.extend(length.to_be_bytes());
            reply.extend(why.as_bytes());
            reply
        } else {
            let mut reply = wire::SIMPLE_REPLY.to_be_bytes().to_vec();
            reply.extend(errno.number().to_be_bytes());
            reply.extend(request.cookie.to_be_bytes());
            reply
        };
        self.done(begun);
        self.send(&reply)
    }

    fn done(&self, begun: Instant) {
        add(&self.shared.counters.requests, 1);
        self.shared.counters.took(begun.elapsed());
    }

    fn send(&self, reply: &[u8]) -> io::Result<()> {
        let _one = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sent = self.link.write_all(reply);
        if sent.is_err() {
            // it may have got a part
            self.give_up();
        }
        sent
    }
}

fn chunk_header(flags: u16, kind: u16, cookie: u64, length: u32) -> Vec<u8> {
    let mut header = wire::STRUCTURED_REPLY.to_be_bytes().to_vec();
    header.extend(flags.to_be_bytes());
    header.extend(kind.to_be_bytes());
    header.extend(cookie.to_be_bytes());
    header.extend(length.to_be_bytes());
    header
}

/// A request that another thread has, also if it panics.
struct Working(Arc<Session>);

impl Working {
    fn new(session: &Arc<Session>) -> Self {
        let mut working = session.working.lock().unwrap_or_else(PoisonError::into_inner);
        *working = working.saturating_add(1);
        Working(Arc::clone(session))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up();
        }
        let mut working = self.0.working.lock().unwrap_or_else(PoisonError::into_inner);
        *working = working.saturating_sub(1);
        if *working == 0 {
            self.0.all_done.notify_all();
        }
    }
}
