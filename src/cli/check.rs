//! Arguments of `ddi check`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{KeepArgs, SelectArgs, TrustArgs, UnpackArgs};

const CHECK_EXIT_STATUS: &str = "\
Exit status:
  0  passed: nothing that was found is an error
  1  failed: at least one finding is an error, or what was read is not what a
     root hash or certificate given says
  2  could not tell: wrong usage, input or output failed, the image cannot be
     read";

/// Each check goes through the rules of one specification; docs/checks.md lists them.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckCommand {
    Portable(PortableArgs),
    Extension(ExtensionArgs),
    Golden(GoldenArgs),
    Boot(BootArgs),
    Update(UpdateArgs),
}

/// How an image that is checked is read.
///
/// Partitions that are protected are read through their hash trees. With a root hash or a certificate given, what is read
/// must be authenticated by it.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

/// Check whether `portablectl attach` would accept this image, and what it would attach
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXIT_STATUS)]
pub(crate) struct PortableArgs {
    /// A disk image, which may be compressed (.xz, .zst, .gz), or a block device; - for standard input
    pub(crate) image: PathBuf,
    /// Attach units whose names begin so [default: the name of the image up to the first _]
    #[arg(value_name = "PREFIX")]
    pub(crate) prefixes: Vec<String>,
    /// An extension image to attach with it; can be given more than once, the lowest layer first
    #[arg(long = "extension", value_name = "IMAGE")]
    pub(crate) extensions: Vec<PathBuf>,
    /// Attached to the system or to a user's session
    #[arg(long, value_name = "SCOPE", value_parser = ["system", "user"], default_value = "system")]
    pub(crate) scope: String,
    #[command(flatten)]
    pub(crate) reading: CheckArgs,
}

/// Check whether these extension images would be merged into that host, in which order, and what they would hide of it
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXIT_STATUS)]
pub(crate) struct ExtensionArgs {
    /// System or configuration extension images, in any order: systemd goes by their names
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,
    /// What they are to extend: an os-release file, a directory with one, such as / for this system, or an image
    ///
    /// Of a directory and of an image, the files are compared with those of the extensions too.
    ///
    /// A directory, and a file called os-release or initrd-release, is taken at its word. With --root-hash, --usr-hash or
    /// --certificate anything else is an image, and must be authenticated like the others.
    #[arg(long, value_name = "OS_RELEASE|DIR|IMAGE", required_unless_present = "host_os_release")]
    pub(crate) host: Option<PathBuf>,
    /// What they are to extend: an os-release file of any name, which is taken at its word
    #[arg(long, value_name = "FILE", conflicts_with = "host")]
    pub(crate) host_os_release: Option<PathBuf>,
    /// Where they are merged
    #[arg(long, value_name = "SCOPE", value_parser = ["system", "initrd", "portable"], default_value = "system")]
    pub(crate) scope: String,
    /// Take them for this kind of extension alone [default: what their release files say]
    #[arg(long, value_name = "CLASS", value_parser = ["sysext", "confext"])]
    pub(crate) class: Option<String>,
    #[command(flatten)]
    pub(crate) reading: CheckArgs,
}

/// Check whether this image is fit to be shipped and booted many times: nothing in it may be one machine's own
///
/// Also tells what systemd-repart would have to create on the first boot.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXIT_STATUS)]
pub(crate) struct GoldenArgs {
    /// A disk image, which may be compressed (.xz, .zst, .gz), or a block device; - for standard input
    pub(crate) image: PathBuf,
    /// More images, each with an answer of its own; the worst exit status counts. What the shell leaves of a pattern such as
    /// 'images/*.raw' is looked up
    #[arg(value_name = "IMAGE")]
    pub(crate) more: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: CheckArgs,
}

/// Check what boots this image: unified kernel images, boot entries, and whether they pin the image's own partitions
///
/// Looks into the ESP and the extended boot loader partition. Neither is protected, so that a command line names the root
/// hash of the image is never more than consistent: `ddi verify` proves the image, and Secure Boot the UKI.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXIT_STATUS)]
pub(crate) struct BootArgs {
    /// A disk image, which may be compressed (.xz, .zst, .gz), or a block device; - for standard input
    pub(crate) image: PathBuf,
    /// More images, each with an answer of its own; the worst exit status counts. What the shell leaves of a pattern such as
    /// 'images/*.raw' is looked up
    #[arg(value_name = "IMAGE")]
    pub(crate) more: Vec<PathBuf>,
    /// A unified kernel image that is to boot it, and is not in it; can be given more than once
    #[arg(long = "uki", value_name = "FILE")]
    pub(crate) ukis: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: CheckArgs,
}

/// Check which versions this update set offers, whether they are whole, and where they would go
///
/// Patterns and definitions are those of sysupdate.d(5). Every file that the manifest lists is read.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXIT_STATUS)]
pub(crate) struct UpdateArgs {
    /// A directory of files with a SHA256SUMS, or that file
    #[arg(value_name = "DIR|SHA256SUMS")]
    pub(crate) set: PathBuf,
    /// What the name of a file looks like, such as os_@v.root.xz; each one given is a file that a version must have
    #[arg(long = "match", value_name = "PATTERN", required_unless_present = "definitions")]
    pub(crate) matches: Vec<String>,
    /// The partitions that the files of the --match of the same place go to, such as root-x86-64:os_@v
    #[arg(long = "slot", value_name = "TYPE:PATTERN", requires = "image", requires = "matches")]
    pub(crate) slots: Vec<String>,
    /// Take what a version is made of from the *.transfer files in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) definitions: Vec<PathBuf>,
    /// Who may have signed the SHA256SUMS: an OpenPGP keyring, not armored. Its signature is checked by gpgv
    #[arg(long, value_name = "FILE")]
    pub(crate) keyring: Option<PathBuf>,
    /// The image or block device that would be updated: shows which of its partitions would be taken
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}
