//! Arguments of `ddi serve`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ParityArgs, SelectArgs, TrustArgs, UnpackArgs};

/// Serve an image as a network block device (NBD), every byte of it proven before it is sent
///
/// For QEMU, nbdcopy, libguestfs, nbd-client and others, read-only, without root. A block that does not match its digest is an
/// I/O error for whoever reads it, and is named here. Where blocks are zeros is told by their digests.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXIT_STATUS)]
pub(crate) struct ServeArgs {
    /// A disk image, which may be compressed (.xz, .zst, .gz), or a block device; - for standard input
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// What is served: the file system of root or /usr; or a disk with all that is proven, hash trees and signatures too, for
    /// virtual machines that find their partitions by themselves [default: each under its name]
    #[arg(long, value_name = "NAME")]
    pub(crate) export: Option<ExportName>,
    /// Serve also what nobody vouches for, as long as it matches its root hash. Clients are told
    #[arg(long)]
    pub(crate) intact: bool,
    /// Make a socket here, for this user alone. One that is there is replaced if nobody answers on it
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    pub(crate) socket: Option<PathBuf>,
    /// Listen on this TCP port of a loopback address: there is no encryption. Port 0 takes a free one, which is told
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// End when nobody is connected any more, once somebody was
    #[arg(long)]
    pub(crate) one_client: bool,
    /// What to do when a block does not match its digest
    #[arg(long, value_name = "WHAT", default_value = "report")]
    pub(crate) on_corrupt: OnCorrupt,
    /// Connections at the same time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) connections: u16,
    /// Seconds that a client may be quiet [default: for ever]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle_timeout: Option<u64>,
    #[command(flatten)]
    pub(crate) parity: ParityArgs,
    /// For a bare file system with its hash tree behind it: where that starts, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) hash_offset: Option<u64>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Print at the end what was done, as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Run this command with $DDI_NBD_URI and $DDI_NBD_SOCKET, and end with it. Without --socket and --listen, on a socket of its
    /// own
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportName {
    Root,
    Usr,
    Disk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnCorrupt {
    /// Tell it, and go on: the request fails
    Report,
    /// The same, and end
    Stop,
}

const SERVE_EXIT_STATUS: &str = "\
Where:
  --socket, --listen, or a command to run; or a socket from systemd
  (LISTEN_FDS). SIGUSR1 shows what was done so far; SIGTERM and SIGINT end it.

Exit status:
  0  served, and no block was found corrupt
  1  not proven, or a block does not match its digest
  2  could not serve: wrong usage, input or output failed
  3  nobody vouches for the root hash, and --intact was not given
  with a command: its own, if it is not 0";
