//! The server: who may come, how many, and when it ends.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use crate::error::Error;
use crate::export::Export;
use crate::link::Link;
use crate::nbd;
use crate::pool::Pool;
use crate::statistics::{Counters, Statistics, add};

/// Threads that answer large reads, at most, if nothing else is said.
const MAX_THREADS: usize = 16;

/// How long no client is accepted if there is no descriptor for it.
const SHORTAGE: Duration = Duration::from_millis(100);

/// Whoever is told of reads that failed.
type OnFault = Arc<dyn Fn(&Fault<'_>) + Send + Sync>;

/// Limits, and what is told of.
#[derive(Clone)]
pub struct ServerOptions {
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) room: u64,
    pub(crate) handshake_time: Duration,
    pub(crate) write_time: Duration,
    pub(crate) idle_time: Option<Duration>,
    pub(crate) once: bool,
    pub(crate) on_fault: Option<OnFault>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, |threads| threads.get().min(MAX_THREADS));
        ServerOptions {
            connections: 16,
            // one alone would only be handed what its connection can do itself
            threads: if threads > 1 { threads } else { 0 },
            room: 64 << 20,
            handshake_time: Duration::from_secs(10),
            write_time: Duration::from_secs(60),
            idle_time: None,
            once: false,
            on_fault: None,
        }
    }
}

impl ServerOptions {
    /// 16 connections; as many threads as there are processors, at most 16, beside one for each connection; 64 MiB for reads that
    /// clients want in one piece; 10 seconds until an export is chosen, 60 for a client to take what is sent; clients that
    /// are quiet may stay.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connections at the same time. What is more is closed at once.
    #[must_use]
    pub fn connections(self, connections: usize) -> Self {
        ServerOptions { connections: connections.max(1), ..self }
    }

    /// Threads that answer large reads, besides those of the connections; 0 is right for one client.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        ServerOptions { threads: threads.min(ddi_verity::MAX_THREADS), ..self }
    }

    /// Memory in bytes for reads that clients want in one piece, all together; at least the largest of them, 32 MiB.
    #[must_use]
    pub fn room(self, bytes: u64) -> Self {
        ServerOptions { room: bytes.max(nbd::MAX_READ.into()), ..self }
    }

    /// Until a client must have chosen an export.
    #[must_use]
    pub fn handshake_time(self, time: Duration) -> Self {
        ServerOptions { handshake_time: time, ..self }
    }

    /// How long a client may leave a reply lying.
    #[must_use]
    pub fn write_time(self, time: Duration) -> Self {
        ServerOptions { write_time: time, ..self }
    }

    /// How long a client may be quiet; `None` is for ever, which a virtual machine wants.
    #[must_use]
    pub fn idle_time(self, time: Option<Duration>) -> Self {
        ServerOptions { idle_time: time, ..self }
    }

    /// The server ends when nobody is connected any more, once somebody was.
    #[must_use]
    pub fn once(self, once: bool) -> Self {
        ServerOptions { once, ..self }
    }

    /// Called for each read that failed, on the thread that read.
    #[must_use]
    pub fn on_fault(self, on_fault: impl Fn(&Fault<'_>) + Send + Sync + 'static) -> Self {
        ServerOptions { on_fault: Some(Arc::new(on_fault)), ..self }
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("connections", &self.connections)
            .field("threads", &self.threads)
            .field("room", &self.room)
            .field("handshake_time", &self.handshake_time)
            .field("write_time", &self.write_time)
            .field("idle_time", &self.idle_time)
            .field("once", &self.once)
            .finish_non_exhaustive()
    }
}

/// A read that failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fault<'a> {
    /// Of which export.
    pub export: &'a str,
    /// What was asked for, in bytes.
    pub range: Range<u64>,
    /// Why: of kind [`InvalidData`](io::ErrorKind::InvalidData), with a [`ddi_verity::Error`] inside, if a block is not what the
    /// root hash says.
    pub error: &'a io::Error,
}

/// Serves exports to any number of clients. Clones are handles on the same server.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use std::sync::Arc;
///
/// use ddi_serve::{Export, Server, ServerOptions};
///
/// let server = Server::new(vec![Export::new("root", Arc::new(vec![7_u8; 4096]))], &ServerOptions::new())?;
/// let (ours, theirs) = UnixStream::pair()?;
/// # drop(theirs);
/// server.serve_link(ours); // until the client on the other end has enough
/// assert_eq!(server.statistics().connections, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) exports: Vec<Export>,
    pub(crate) options: ServerOptions,
    pub(crate) counters: Counters,
    pub(crate) pool: Pool,
    pub(crate) room: Room,
    stopping: AtomicBool,
    clients: Mutex<Clients>,
    left: Condvar,
    /// Written to when it ends, and read by all who wait for clients.
    bell: (UnixStream, UnixStream),
}

#[derive(Default)]
struct Clients {
    links: HashMap<u64, Arc<dyn Link>>,
    next: u64,
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(crate) fn fault(&self, fault: &Fault<'_>) {
        if let Some(told) = &self.options.on_fault {
            told(fault);
        }
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // never read, so that it wakes all
        let _ = Link::write_all(&self.bell.0, &[0]);
        for link in self.clients().links.values() {
            link.hang_up();
        }
    }

    /// `None`: there are too many, or the server ends.
    fn enter(&self, link: &Arc<dyn Link>) -> Option<u64> {
        let mut clients = self.clients();
        if self.is_stopping() || clients.links.len() >= self.options.connections {
            add(&self.counters.refused, 1);
            return None;
        }
        let id = clients.next;
        clients.next = id.wrapping_add(1);
        clients.links.insert(id, Arc::clone(link));
        add(&self.counters.connections, 1);
        add(&self.counters.open, 1);
        Some(id)
    }

    fn leave(&self, id: u64, was_used: &AtomicU64, used: bool) {
        let mut clients = self.clients();
        clients.links.remove(&id);
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        was_used.fetch_or(used.into(), Ordering::SeqCst);
        let is_over = clients.links.is_empty() && was_used.load(Ordering::SeqCst) > 0;
        drop(clients);
        self.left.notify_all();
        if self.options.once && is_over {
            self.stop();
        }
    }
}

/// Memory for large replies.
#[derive(Debug)]
pub(crate) struct Room {
    free: Mutex<u64>,
    more: Condvar,
}

/// Some of it, given back when dropped.
pub(crate) struct Taken<'a>(&'a Room, u64);

impl Room {
    fn new(bytes: u64) -> Self {
        Room { free: Mutex::new(bytes), more: Condvar::new() }
    }

    /// Waits until there is so much. Nobody who has some waits for more.
    pub(crate) fn take(&self, bytes: u64) -> Taken<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < bytes {
            free = self.more.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free = free.saturating_sub(bytes);
        Taken(self, bytes)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = free.saturating_add(self.1);
        drop(free);
        self.0.more.notify_all();
    }
}

impl Server {
    /// A server that nobody can reach yet. The first export is also that of clients that name none.
    ///
    /// # Errors
    /// [`Error::NoExport`], [`Error::DuplicateName`], [`Error::TooLong`], [`Error::BlockSize`]; [`Error::Io`] if there are no threads.
    pub fn new(exports: Vec<Export>, options: &ServerOptions) -> Result<Self, Error> {
        if exports.is_empty() {
            return Err(Error::NoExport);
        }
        for (index, export) in exports.iter().enumerate() {
            let length = export.name.len().max(export.description.len());
            if length > nbd::MAX_NAME {
                return Err(Error::TooLong(length));
            }
            if exports.iter().take(index).any(|other| other.name == export.name) {
                return Err(Error::DuplicateName(export.name.clone()));
            }
            let size = export.block_size;
            if !size.is_power_of_two() || !(512..=nbd::MAX_READ).contains(&size) {
                return Err(Error::BlockSize(size));
            }
        }
        let shared = Shared {
            exports,
            options: options.clone(),
            counters: Counters::default(),
            pool: Pool::new(options.threads).map_err(Error::io("starting threads"))?,
            room: Room::new(options.room),
            stopping: AtomicBool::new(false),
            clients: Mutex::default(),
            left: Condvar::new(),
            bell: UnixStream::pair().map_err(Error::io("making a pair of sockets"))?,
        };
        Ok(Server { shared: Arc::new(shared) })
    }

    /// Serves whoever comes, until [`stop`](Self::stop) is called; then it waits for all to leave, which are hung up.
    ///
    /// # Errors
    /// [`Error::Io`] if waiting or accepting failed.
    pub fn serve_unix(&self, listener: &UnixListener) -> Result<(), Error> {
        listener.set_nonblocking(true).map_err(Error::io("waiting for clients"))?;
        self.serve(listener, || {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(false)?;
            Ok(Arc::new(stream))
        })
    }

    /// The same for TCP, on loopback addresses alone: there is no encryption, and no asking who is there.
    ///
    /// # Errors
    /// As [`serve_unix`](Self::serve_unix); [`Error::NotLoopback`].
    pub fn serve_tcp(&self, listener: &TcpListener) -> Result<(), Error> {
        let address = listener.local_addr().map_err(Error::io("waiting for clients"))?;
        if !address.ip().to_canonical().is_loopback() {
            return Err(Error::NotLoopback(address));
        }
        listener.set_nonblocking(true).map_err(Error::io("waiting for clients"))?;
        self.serve(listener, || {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(false)?;
            // a reply is one write
            stream.set_nodelay(true)?;
            Ok(Arc::new(stream))
        })
    }

    /// Serves one client on this thread, until it has enough or [`stop`](Self::stop) is called.
    pub fn serve_link(&self, link: impl Link) {
        let link: Arc<dyn Link> = Arc::new(link);
        if let Some(id) = self.shared.enter(&link) {
            self.client(id, &link, &AtomicU64::new(0));
        }
    }

    fn client(&self, id: u64, link: &Arc<dyn Link>, was_used: &AtomicU64) {
        let used = catch_unwind(AssertUnwindSafe(|| nbd::serve(&self.shared, link))).unwrap_or(true);
        link.hang_up();
        self.shared.leave(id, was_used, used);
    }

    fn serve(
        &self,
        listener: &impl AsFd,
        accept: impl Fn() -> io::Result<Arc<dyn Link>>,
    ) -> Result<(), Error> {
        let was_used = Arc::new(AtomicU64::new(0));
        let served = loop {
            let mut waiting =
                [PollFd::new(listener, PollFlags::IN), PollFd::new(&self.shared.bell.1, PollFlags::IN)];
            match poll(&mut waiting, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => break Err(error.into()),
                Ok(_) if self.shared.is_stopping() => break Ok(()),
                Ok(_) => {}
            }
            let link = match accept() {
                Ok(link) => link,
                Err(error) if is_passing(&error) => continue,
                // whoever leaves makes room
                Err(error) if is_shortage(&error) => {
                    thread::sleep(SHORTAGE);
                    continue;
                }
                Err(error) => break Err(error),
            };
            let Some(id) = self.shared.enter(&link) else {
                link.hang_up();
                continue;
            };
            let (server, used) = (self.clone(), Arc::clone(&was_used));
            let client = move || server.client(id, &link, &used);
            if let Err(error) = thread::Builder::new().name(format!("ddi-serve-{id}")).spawn(client) {
                self.shared.leave(id, &was_used, false);
                break Err(error);
            }
        };
        if served.is_err() {
            self.stop();
        }
        let mut clients = self.shared.clients();
        while !clients.links.is_empty() {
            clients = self.shared.left.wait(clients).unwrap_or_else(PoisonError::into_inner);
        }
        served.map_err(Error::io("waiting for clients"))
    }

    /// Ends the server: no client is accepted any more, those that are there are hung up.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.counters.statistics()
    }

    /// What is served.
    pub fn exports(&self) -> &[Export] {
        &self.shared.exports
    }
}

/// Errors of one client that was about to come, or of a moment.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted | ConnectionReset)
}

/// No descriptors or memory for another client.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&errno))
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("exports", &self.shared.exports).finish_non_exhaustive()
    }
}
