//! Arguments of `ddi policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{EXIT_STATUS, SelectArgs, TrustArgs, UnpackArgs, size, threads};

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    Show(PolicyShowArgs),
    Check(Box<PolicyCheckArgs>),
}

/// What an image policy means for each designator, as systemd-analyze image-policy shows it
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct PolicyShowArgs {
    /// A policy as systemd.image-policy(7) has it, or a name such as sysext
    pub(crate) policy: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Check whether an image meets an image policy, by what can be proven of it
///
/// Every protected block is read. That a policy is met says nothing more than the policy asks for: one that allows
/// unprotected partitions is met by damaged ones.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status:
  0  allowed
  1  refused
  2  could not tell: wrong usage, input or output failed, format not
     understood")]
pub(crate) struct PolicyCheckArgs {
    /// A policy as systemd.image-policy(7) has it, or a name such as sysext
    pub(crate) policy: String,
    /// A disk image, which may be compressed (.xz, .zst, .gz), or a block device; - for standard input
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Show also whether systemd would accept the image, which goes by what is there: a signature need not be good
    #[arg(long)]
    pub(crate) systemd_reading: bool,
    /// For a bare file system with its hash tree behind it: where that starts, in bytes
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) hash_offset: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Threads that hash (default: one for each processor)
    #[arg(long, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}
