//! Arguments of the commands that make images.

use std::path::PathBuf;

use clap::Args;
use ddi_build::Compatibility;
use ddi_gpt::{Architecture, Guid};

use super::{FilesArgs, SignerArgs, small_size, threads};

/// Make a disk image from definitions of systemd-repart (repart.d), without root, in one pass
///
/// Everything is planned and checked before the first byte is written. The image has no name until it is complete and on the
/// disk. The same definitions, sources and seed give the same bytes. docs/build.md says what is done of repart.d(5).
#[derive(Debug, Args)]
#[command(after_help = BUILD_EXIT_STATUS)]
pub(crate) struct BuildArgs {
    /// The image to make; with --empty=refuse, allow or force one that is there
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) definitions: DefinitionArgs,
    /// Where files of CopyBlocks= are, and os-release and definitions unless --definitions is given
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// Where files of CopyFiles= are: a folder, a tar archive (also .gz, .xz, .zst), or - for one on standard input
    /// [default: as --root]
    #[arg(long, short = 's', value_name = "DIR|TAR|-")]
    pub(crate) copy_source: Option<PathBuf>,
    /// Size of the image: auto, or bytes with K, M, G, T
    #[arg(long, value_name = "SIZE", default_value = "auto")]
    pub(crate) size: String,
    /// Sector size of the table, of file systems and of hash trees: 512 to 4096
    #[arg(long, value_name = "BYTES", value_parser = small_size)]
    pub(crate) sector_size: Option<u32>,
    /// The architecture of every partition type that has one
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<Architecture>,
    /// What the image may be now: create (not there), refuse (it has a table), allow, require (it has none), force
    #[arg(long, value_name = "MODE", default_value = "create")]
    pub(crate) empty: EmptyMode,
    /// Partitions of these types get a place and a UUID, and are neither written nor entered into the table
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',')]
    pub(crate) defer_partitions: Vec<String>,
    /// Also make a file of each partition
    #[arg(long)]
    pub(crate) split: bool,
    /// Also write the SHA-256 of every file that was made, as systemd-sysupdate reads it [default name: SHA256SUMS]
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "SHA256SUMS")]
    pub(crate) sums: Option<String>,
    /// Files in file systems keep their owners; otherwise all are root's
    #[arg(long)]
    pub(crate) keep_owners: bool,
    #[command(flatten)]
    pub(crate) signing: SignerArgs,
    /// Leave signature partitions empty, for `ddi sign attach`
    #[arg(long, conflicts_with_all = ["private_key", "sign_command", "bind_size"])]
    pub(crate) defer_signature: bool,
    /// Show the plan and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Most threads that hash
    #[arg(long, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
    /// Print JSON: partitions with the keys of `systemd-repart --json`, and more
    #[arg(long)]
    pub(crate) json: bool,
}

const BUILD_EXIT_STATUS: &str = "\
Exit status:
  0  the image is there, complete (with --dry-run: it could be made)
  1  the definitions cannot be carried out: a setting that is wrong, unknown or
     not supported; no room
  2  something failed: wrong usage, input or output, a program, signing

Whatever is not 0 leaves no image behind.

Environment:
  SOURCE_DATE_EPOCH  no time in a file system is later; without it, the newest
                     time of its files stands for it";

/// What systemd-repart will do to a disk that this image is written to, when it is first started
///
/// The definitions are those of the image, read through proven blocks where it is protected, unless --definitions is given. The
/// end of the table is taken to be moved to the end of the disk, as a real run does and a dry run of systemd-repart does not.
/// Nothing is written.
#[derive(Debug, Args)]
#[command(after_help = BUILD_EXIT_STATUS)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// Size of the disk: bytes with K, M, G, T [default: that of the image]
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<String>,
    #[command(flatten)]
    pub(crate) definitions: DefinitionArgs,
    /// As if what definitions with FactoryReset=yes belong to were not there
    #[arg(long)]
    pub(crate) factory_reset: bool,
    /// Print JSON: partitions with the keys of `systemd-repart --json`, and more
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which definitions, and how they are read.
#[derive(Debug, Args)]
pub(crate) struct DefinitionArgs {
    /// A folder of definitions. Can be given more than once: the first file of a name counts
    #[arg(long, value_name = "DIR")]
    pub(crate) definitions: Vec<PathBuf>,
    /// What all UUIDs and salts are derived from [default: random, and told]
    #[arg(long, value_name = "UUID")]
    pub(crate) seed: Option<Guid>,
    /// As if there were definitions of these types alone
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',')]
    pub(crate) include_partitions: Vec<String>,
    /// As if there were no definitions of these types
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',')]
    pub(crate) exclude_partitions: Vec<String>,
    /// The layout of this version of systemd-repart to the byte, faults included: 257 or 262
    #[arg(long, value_name = "VERSION", default_value = "current")]
    pub(crate) compatible: Compatibility,
}

/// `--empty=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EmptyMode {
    Create,
    Refuse,
    Allow,
    Require,
    Force,
}

/// Make an extension or portable image from a folder or a tar archive, without root
///
/// The image is the one that `systemd-repart --make-ddi=` makes: a file system, its hash tree and, with a key, a signature. The release
/// file of an extension is written, in the image alone, or checked if it is there. What `ddi check` would refuse is told. All
/// files are new; if the image is there, it is complete, and so is what belongs to it.
#[derive(Debug, Args)]
#[command(after_help = BUILD_EXIT_STATUS)]
pub(crate) struct BakeArgs {
    /// What it is for
    #[arg(value_name = "sysext|confext|portable", hide_possible_values = true)]
    pub(crate) kind: BakeWhat,
    /// The files: a folder, a tar archive (also .gz, .xz, .zst), or - for one on standard input
    #[arg(value_name = "FOLDER|TAR|-")]
    pub(crate) source: PathBuf,
    /// The image: NAME.raw, which is also the name of an extension
    #[arg(long, short, value_name = "NAME.raw")]
    pub(crate) output: PathBuf,
    /// The operating system that an extension is for [default: _any]
    #[arg(long, value_name = "ID[:VERSION]")]
    pub(crate) os: Option<String>,
    /// The machine that it is for [default: this one]
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<Architecture>,
    /// Leave out so many parts at the beginning of each name in an archive
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) strip_components: usize,
    /// Its file system
    #[arg(long, value_name = "FORMAT", default_value = "erofs")]
    pub(crate) format: BakeFormat,
    /// The file system alone, and NAME.verity, NAME.roothash and, with a key, NAME.roothash.p7s beside it
    #[arg(long, conflicts_with = "json")]
    pub(crate) bare: bool,
    /// What all UUIDs and salts are derived from [default: random, and told]
    #[arg(long, value_name = "UUID")]
    pub(crate) seed: Option<Guid>,
    #[command(flatten)]
    pub(crate) signing: SignerArgs,
    /// Most threads that hash
    #[arg(long, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
    /// Print JSON: partitions with the keys of `systemd-repart --json`, and more
    #[arg(long)]
    pub(crate) json: bool,
}

/// What an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BakeWhat {
    Sysext,
    Confext,
    Portable,
}

/// Its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BakeFormat {
    Erofs,
    Squashfs,
}
