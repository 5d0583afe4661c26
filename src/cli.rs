//! Argument definitions, and nothing else.

mod build;
mod check;
mod files;
mod given;
mod policy;
mod serve;
mod sign;
mod split;
mod table;
mod verity;

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use ddi_verity::MAX_THREADS;

pub(crate) use self::build::*;
pub(crate) use self::check::*;
pub(crate) use self::files::*;
pub(crate) use self::given::*;
pub(crate) use self::policy::*;
pub(crate) use self::serve::*;
pub(crate) use self::sign::*;
pub(crate) use self::split::*;
pub(crate) use self::table::*;
pub(crate) use self::verity::*;

/// A size: bytes, or with K, M, G, T, which are powers of 1024.
fn size(given: &str) -> Result<u64, String> {
    ddi_build::parse_size(given).map_err(|error| error.to_string())
}

/// A size that fits into 32 bits.
fn small_size(given: &str) -> Result<u32, String> {
    size(given)?.try_into().map_err(|_| "is over 2^32 - 1".to_owned())
}

/// A number of threads.
fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=MAX_THREADS as u64)
}

const EXIT_STATUS: &str = "\
Exit status:
  0  good: proven under a root hash that you gave or a trusted key signed; for
     commands that prove nothing, nothing is broken
  1  not proven, broken, or refused by the image policy
  2  could not tell: wrong usage, input or output failed, format not
     understood
  3  every block matches a root hash that nobody vouches for; for commands
     that read, nothing came out";

/// Inspect and verify Discoverable Disk Images. Root is never needed.
#[derive(Debug, Parser)]
#[command(name = "ddi", version, after_help = crate::exit::help())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Whether output is coloured; also NO_COLOR and CLICOLOR_FORCE
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// No results for people and no progress: the exit status says it. JSON and bytes that were asked for are still printed
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// `--color`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    /// If stdout is a terminal that can
    Auto,
    Always,
    Never,
}

impl Cli {
    /// The arguments of this run; ends it where they are wrong, or ask for help.
    ///
    /// veritysetup has `-h` for the hash algorithm, and so does `ddi verity`. At the end of the line no value follows it: then it
    /// is the `-h` of all other commands.
    pub(crate) fn of_arguments() -> Self {
        let mut args: Vec<_> = std::env::args_os().collect();
        if args.iter().any(|arg| arg == "verity")
            && let Some(last) = args.last_mut().filter(|last| *last == "-h")
        {
            *last = "--help".into();
        }
        Self::parse_from(args)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Inspect(InspectArgs),
    Verify(VerifyArgs),
    Read(ReadArgs),
    Ls(LsArgs),
    Cat(CatArgs),
    Extract(ExtractArgs),
    Mtree(MtreeArgs),
    /// Image policies: which partitions may be used, and how each must be protected
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Check whether an image does what it is meant for: what would refuse it, and by which rule
    #[command(subcommand)]
    Check(CheckCommand),
    Bake(BakeArgs),
    Serve(ServeArgs),
    Build(BuildArgs),
    Sign(SignArgs),
    Plan(PlanArgs),
    Split(SplitArgs),
    Table(TableArgs),
    Bench(BenchArgs),
    /// dm-verity hash trees, with the arguments of veritysetup
    #[command(subcommand)]
    Verity(VerityCommand),
}

/// What an image is: partition table, designators, file systems, verity, root hash, what its files say, findings
///
/// Reads the image's bytes and changes nothing. A broken image is shown as far as it can be read, and ends with 1.
///
/// What the files say (os-release and the like) is read from the root and /usr file systems. Where these are protected by
/// a hash tree whose root hash is known, each block is proven when it is read, and it is told who vouches for the root
/// hash; where they are not, it is the image's claim. Few blocks are read: nothing is said about the others.
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct InspectArgs {
    /// A disk image, which may be compressed (.xz, .zst, .gz), or a block device; - for standard input
    pub(crate) image: PathBuf,
    /// More images, each with an answer of its own; the worst exit status counts. What the shell leaves of a pattern such as
    /// 'images/*.raw' is looked up
    #[arg(value_name = "IMAGE")]
    pub(crate) more: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    /// Show everything that is known, with a map of the disk
    #[arg(long, short, conflicts_with_all = ["table", "json"])]
    pub(crate) verbose: bool,
    /// Show only the columns of `systemd-dissect`: what it would mount
    #[arg(long, conflicts_with = "json")]
    pub(crate) table: bool,
    /// Print JSON: all keys of `systemd-dissect --json`, and more
    #[arg(long)]
    pub(crate) json: bool,
    /// Accept only two equal copies of the partition table
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// For a bare file system with its hash tree behind it: where that starts, in bytes
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) hash_offset: Option<u64>,
    /// Show what this image policy says to each partition: a policy, or a name such as sysext
    #[arg(long, value_name = "POLICY")]
    pub(crate) image_policy: Option<String>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

/// Prove every verity-protected partition of an image, block by block
///
/// A root hash is trusted if you give it here, or if it is signed with the key of a certificate that you trust. Without
/// either, the root hash that the image brings along is used to check that the image is intact, which is not proof of
/// where it comes from: that ends with 3.
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct VerifyArgs {
    /// A disk image, which may be compressed (.xz, .zst, .gz), or a block device; - for standard input
    pub(crate) image: PathBuf,
    /// More images, each with an answer of its own; the worst exit status counts. What the shell leaves of a pattern such as
    /// 'images/*.raw' is looked up
    #[arg(value_name = "IMAGE")]
    pub(crate) more: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Refuse the image unless this policy is met by what was proven: a policy as systemd.image-policy(7) has it, or a
    /// name such as sysext
    #[arg(long, value_name = "POLICY")]
    pub(crate) image_policy: Option<String>,
    /// Show also whether systemd would accept the image, which goes by what is there: a signature need not be good
    #[arg(long)]
    pub(crate) systemd_reading: bool,
    /// Integrity is all that is asked for: end with 0 instead of 3 when every block matches
    #[arg(long)]
    pub(crate) integrity_only: bool,
    /// Accept only two equal copies of the partition table
    #[arg(long)]
    pub(crate) strict: bool,
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
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

/// How fast this machine hashes: each kernel, whole trees by number of threads, and what would be chosen
///
/// Takes half a minute. For reports, and for choosing a number of threads.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Make the trees over this file rather than over memory
    pub(crate) file: Option<PathBuf>,
    /// sha256, sha384 or sha512
    #[arg(long, value_name = "NAME", default_value = "sha256")]
    pub(crate) hash: String,
    /// This kernel alone
    #[arg(long, value_name = "KERNEL")]
    pub(crate) backend: Option<String>,
    /// Most threads (default: one for each processor)
    #[arg(long, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Bytes of a partition, of which none comes out unproven
///
/// Each block is proven when it is read. Refuses what is not protected (1), and what nobody vouches for (3).
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct ReadArgs {
    /// A disk image, which may be compressed (.xz, .zst, .gz), or a block device; - for standard input
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    /// Which partition: what it is for, such as root or usr-verity, or its number
    #[arg(long, short, value_name = "DESIGNATOR|NUMBER")]
    pub(crate) partition: String,
    /// Where in the partition to begin, in bytes
    #[arg(long, value_name = "BYTES", value_parser = size, default_value_t = 0)]
    pub(crate) offset: u64,
    /// How many bytes [default: all to the end]
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) size: Option<u64>,
    /// Write to this file, which appears when it is complete [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Read what matches its root hash, even if nobody vouches for that
    #[arg(long)]
    pub(crate) integrity_only: bool,
    /// Read the bytes as they are, and prove nothing
    #[arg(long, conflicts_with_all = ["integrity_only", "fec_device", "root_hash", "usr_hash", "data_sizes", "require_bound_size", "files"])]
    pub(crate) unverified: bool,
    #[command(flatten)]
    pub(crate) parity: ParityArgs,
    /// For a bare file system with its hash tree behind it: where that starts, in bytes
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) hash_offset: Option<u64>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    /// Names that clash, and conflicts with what is not there, show only when a command is used.
    #[test]
    fn the_arguments_of_all_commands_are_sound() {
        Cli::command().debug_assert();
    }
}
