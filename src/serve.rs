//! `ddi serve`: an image as a network block device.

use std::env;
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ddi_core::steps::VeritySet;
use ddi_core::{Dissection, ErrorKind, ProvenPartition, Role, Trust};
use ddi_serve::{Export, Fault, Server, ServerOptions, Socket, Statistics, SyntheticDisk};
use listenfd::ListenFd;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::begun::{self, Begun};
use crate::cli::{ExportName, OnCorrupt, ServeArgs};
use crate::failure::Asked;
use crate::verify::open;
use crate::{ExitStatus, output};

/// Faults that are told one by one. After them, only those that nobody has been told of are counted.
const MAX_FAULTS: usize = 64;

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitStatus> {
    let place = Place::new(args)?;
    let begun = place.socket().map(|socket| Begun::file(socket.path().to_owned()));
    let image = open(&args.image, &args.unpack)?;
    let trusted = args.trust.root_hashes()?;
    let options = args.select.options(&image, &trusted, args.hash_offset)?;
    let mut trust = Trust::certificates(args.trust.certificates.load()?);
    for given in &trusted {
        trust = trust.and_root_hash(given.role(), *given.hash());
    }
    for size in args.trust.data_sizes()? {
        trust = trust.and_data_size(size.role, size.bytes);
    }
    if args.trust.require_bound_size {
        trust = trust.requiring_bound_size();
    }
    let disk = Dissection::new(image, &trust, options, args.hash_offset);
    let parity = args.parity.open(&args.image, disk.verity_sets().first())?;
    let disk = match parity.devices() {
        [] => disk,
        devices => disk.with_fec(devices.iter().cloned()),
    };
    let served = match Served::new(args, &disk) {
        Ok(served) => served,
        Err(error) => {
            let status = status_of(&error);
            let image = args.image.display().to_string();
            let asked = args.json.then(|| Asked { image: Some(image.clone()) });
            output::failed(&error.context(image), asked.as_ref());
            return Ok(status);
        }
    };
    // it is read for as long as it is wanted
    disk.image().meter().lift();
    let _begun = begun;
    serve(args, place, &disk, served)
}

/// What it means that something cannot be served.
fn status_of(error: &anyhow::Error) -> ExitStatus {
    match error.downcast_ref::<ddi_serve::Error>() {
        Some(ddi_serve::Error::NothingProven) => ExitStatus::Unvouched,
        Some(ddi_serve::Error::Image(error)) => match (error, error.kind()) {
            (ddi_core::Error::RootHashUnknown { .. }, _) => ExitStatus::Unvouched,
            (_, ErrorKind::Io | ErrorKind::Usage) => ExitStatus::Unknown,
            _ => ExitStatus::Bad,
        },
        _ => ExitStatus::Unknown,
    }
}

/// Where clients come from.
enum Place {
    Socket(Socket),
    Tcp(TcpListener),
    /// From systemd.
    Unix(UnixListener),
}

impl Place {
    fn new(args: &ServeArgs) -> anyhow::Result<Self> {
        if let Some(path) = &args.socket {
            return Ok(Place::Socket(Socket::bind(path)?));
        }
        if let Some(address) = args.listen {
            ensure!(address.ip().is_loopback(), ddi_serve::Error::NotLoopback(address));
            return Ok(Place::Tcp(TcpListener::bind(address).with_context(|| address.to_string())?));
        }
        if !args.command.is_empty() {
            return Ok(Place::Socket(Socket::private(env::temp_dir())?));
        }
        let mut from_systemd = ListenFd::from_env();
        ensure!(from_systemd.len() <= 1, "systemd gave {} sockets; one is served", from_systemd.len());
        // it tells which kind it is by refusing the other
        match from_systemd.take_unix_listener(0) {
            Ok(Some(listener)) => return Ok(Place::Unix(listener)),
            Ok(None) => {}
            Err(_) => {
                if let Some(listener) = from_systemd.take_tcp_listener(0).context("the socket of systemd")? {
                    return Ok(Place::Tcp(listener));
                }
            }
        }
        bail!("say where to serve: --socket PATH, --listen ADDRESS:PORT, or -- COMMAND")
    }

    fn socket(&self) -> Option<&Socket> {
        match self {
            Place::Socket(socket) => Some(socket),
            Place::Tcp(_) | Place::Unix(_) => None,
        }
    }

    /// What clients are told to connect to.
    fn uri(&self, export: Option<&str>) -> io::Result<Option<String>> {
        let name = export.unwrap_or_default();
        match self {
            Place::Socket(socket) => Ok(Some(socket.uri(export))),
            Place::Tcp(listener) => Ok(Some(format!("nbd://{}/{name}", listener.local_addr()?))),
            Place::Unix(_) => Ok(None),
        }
    }

    fn serve(&self, server: &Server) -> Result<(), ddi_serve::Error> {
        match self {
            Place::Socket(socket) => server.serve_unix(socket.listener()),
            Place::Unix(listener) => server.serve_unix(listener),
            Place::Tcp(listener) => server.serve_tcp(listener),
        }
    }
}

/// What is served.
struct Served {
    exports: Vec<Export>,
    /// By the name of their export, to find files by.
    partitions: Vec<(&'static str, Arc<ProvenPartition>)>,
}

impl Served {
    fn new(args: &ServeArgs, disk: &Dissection) -> anyhow::Result<Self> {
        let mut served = Served { exports: Vec::new(), partitions: Vec::new() };
        let wanted = |name| args.export.is_none_or(|wanted| wanted == name);
        for (role, name) in [(Role::Root, ExportName::Root), (Role::Usr, ExportName::Usr)] {
            if !wanted(name) {
                continue;
            }
            match partition(args, disk, role) {
                Ok(found) => served.add(role, found),
                // of several, those that are there
                Err(ddi_core::Error::Unprotected { .. }) if args.export.is_none() => {}
                Err(ddi_core::Error::RootHashUnknown { .. }) if args.export.is_none() => {}
                Err(error) => return Err(ddi_serve::Error::Image(error).into()),
            }
        }
        if wanted(ExportName::Disk) {
            match SyntheticDisk::new(disk) {
                Ok(made) => {
                    let export = Export::new("disk", Arc::new(made));
                    served.exports.push(export.description("all that is proven, with a partition table"));
                }
                Err(ddi_serve::Error::NothingProven) if !served.exports.is_empty() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(served)
    }

    fn add(&mut self, role: Role, partition: ProvenPartition) {
        let partition = Arc::new(partition);
        let vouched = match partition.trusted() {
            Some(_) => "proven",
            None => "intact; nobody vouches for the root hash",
        };
        let name = role.data().name();
        let export = Export::new(name, Arc::clone(&partition) as _)
            .description(format!("{name}, {vouched}: root hash {}", partition.root_hash().hash))
            .preferred_block_size(partition.tree().params().data_block_size());
        self.exports.push(export);
        self.partitions.push((name, partition));
    }
}

fn partition(args: &ServeArgs, disk: &Dissection, role: Role) -> ddi_core::Result<ProvenPartition> {
    let found = disk.partition(role);
    let Err(ddi_core::Error::RootHashUnknown { .. }) = found else { return found };
    if !args.intact {
        return found;
    }
    let chosen = disk.record().chosen(role.data());
    let is_its = |set: &&VeritySet| set.role == role && set.data.is_some_and(|data| data.number == chosen);
    let set = disk.verity_sets().iter().find(is_its).ok_or(ddi_core::Error::RootHashUnknown { role })?;
    ProvenPartition::open(disk.image(), set, &disk.prove_options())
}

/// A read that failed, to be told by another thread: finding the file may take a while.
struct Told {
    export: String,
    text: String,
    block: Option<u64>,
}

fn serve(args: &ServeArgs, place: Place, disk: &Dissection, served: Served) -> anyhow::Result<ExitStatus> {
    let (tell, told) = sync_channel(MAX_FAULTS);
    let faults = Arc::new(Faults { tell: Mutex::new(Some(tell)), is_full: AtomicUsize::new(0) });
    let (noted, stop) = (Arc::clone(&faults), Arc::new(AtomicBool::new(false)));
    let (stops, is_stopped) = (args.on_corrupt == OnCorrupt::Stop, Arc::clone(&stop));
    let options = ServerOptions::new()
        .connections(args.connections.into())
        .idle_time(args.idle_timeout.map(Duration::from_secs))
        .once(args.one_client && args.command.is_empty())
        .on_fault(move |fault| {
            // whoever is told sees to the end
            if stops && fault.error.kind() == io::ErrorKind::InvalidData {
                is_stopped.store(true, Ordering::SeqCst);
            }
            noted.note(fault);
        });
    let only = args.export.is_some().then(|| served.exports[0].name().to_owned());
    let uri = place.uri(only.as_deref())?;
    let server = Server::new(served.exports, &options)?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1]).context("signals")?;
    begun::leave();
    let ends = signals.handle();
    let mut child = start(args, uri.as_deref(), &place)?;
    if child.is_none()
        && let Some(uri) = &uri
    {
        output::note(&format!("serving {} at {uri}", args.image.display()));
    }
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            for signal in &mut signals {
                match signal {
                    SIGUSR1 => output::note(&output::served_text(&server.statistics())),
                    _ => server.stop(),
                }
            }
        });
        let (partitions, stop, own) = (&served.partitions, &stop, &server);
        scope.spawn(move || tell_faults(disk, partitions, &told, stop, own));
        let waiter = child.as_mut().map(|child| {
            scope.spawn(|| {
                let status = child.wait();
                server.stop();
                status
            })
        });
        let result = place.serve(&server);
        ends.close();
        // nothing more is told
        faults.close();
        let status = waiter.map(|waiter| waiter.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
        result.map(|()| status)
    });
    let statistics = server.statistics();
    faults.rest();
    if args.json {
        output::served(&statistics, &args.image)?;
    } else {
        output::note(&output::served_text(&statistics));
    }
    match result?.transpose().context("the command")? {
        Some(status) if !status.success() => Ok(ExitStatus::Unknown),
        _ => Ok(outcome(&statistics)),
    }
}

fn outcome(statistics: &Statistics) -> ExitStatus {
    if statistics.corrupt > 0 {
        ExitStatus::Bad
    } else if statistics.failed > 0 {
        ExitStatus::Unknown
    } else {
        ExitStatus::Good
    }
}

fn start(args: &ServeArgs, uri: Option<&str>, place: &Place) -> anyhow::Result<Option<Child>> {
    let Some((program, rest)) = args.command.split_first() else { return Ok(None) };
    let mut command = Command::new(program);
    command.args(rest).env("DDI_NBD_URI", uri.unwrap_or_default());
    if let Some(socket) = place.socket() {
        command.env("DDI_NBD_SOCKET", socket.path());
    }
    let shown = || Path::new(program).display().to_string();
    command.spawn().map(Some).with_context(shown)
}

/// From those who read to the one who tells.
struct Faults {
    tell: Mutex<Option<SyncSender<Told>>>,
    is_full: AtomicUsize,
}

impl Faults {
    fn note(&self, fault: &Fault<'_>) {
        let inner = fault.error.get_ref().and_then(|error| error.downcast_ref::<ddi_verity::Error>());
        let block = match inner {
            Some(ddi_verity::Error::BlockMismatch { level: None, block }) => Some(*block),
            _ => None,
        };
        let told = Told { export: fault.export.to_owned(), text: fault.error.to_string(), block };
        let tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner);
        // a client that asks for the same block for ever must not be waited for
        if tell.as_ref().is_none_or(|tell| tell.try_send(told).is_err()) {
            self.is_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn close(&self) {
        *self.tell.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn rest(&self) {
        let more = self.is_full.load(Ordering::Relaxed);
        if more > 0 {
            output::warning(&format!("{more} more reads failed, of which nothing is told"));
        }
    }
}

/// One line for each block that was found corrupt, with its files; each once.
fn tell_faults(
    disk: &Dissection,
    partitions: &[(&'static str, Arc<ProvenPartition>)],
    told: &Receiver<Told>,
    stop: &AtomicBool,
    server: &Server,
) {
    let mut known: Vec<(String, String)> = Vec::new();
    for fault in told {
        let key = (fault.export.clone(), fault.text.clone());
        if known.len() < MAX_FAULTS && !known.contains(&key) {
            known.push(key);
            let of = partitions.iter().find(|(name, _)| *name == fault.export).or(match partitions {
                [only] => Some(only),
                _ => None,
            });
            let files = match (of, fault.block) {
                (Some((_, partition)), Some(block)) => {
                    let blocks: Range<u64> = block..block.saturating_add(1);
                    output::owners_text(&disk.damage_in(partition, std::slice::from_ref(&blocks)))
                }
                _ => String::new(),
            };
            output::warning(&format!("{}: {}{files}", fault.export, fault.text));
        }
        if stop.load(Ordering::SeqCst) {
            server.stop();
        }
    }
}
