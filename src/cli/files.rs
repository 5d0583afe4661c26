//! Arguments of the commands that read files.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::{ParityArgs, SelectArgs, TrustArgs, UnpackArgs, size, threads};

/// Which files are meant, and how far they must be relied upon.
#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    /// A disk image, which may be compressed (.xz, .zst, .gz), or a block device; - for standard input
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    /// This file system alone, also of an image that is refused as a whole: what it is for, such as root or esp, or its
    /// number [default: all of them, as systemd mounts them]
    #[arg(long, short, value_name = "DESIGNATOR|NUMBER")]
    pub(crate) partition: Option<String>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Tell nothing that did not go through authenticated file systems alone. Implied by --root-hash, --usr-hash and
    /// --certificate
    #[arg(long)]
    pub(crate) authenticated: bool,
    /// Read the bytes as they are, and prove nothing
    #[arg(long, conflicts_with_all = ["authenticated", "fec_device", "root_hash", "usr_hash", "data_sizes", "require_bound_size", "files"])]
    pub(crate) unverified: bool,
    /// Take the path as it is, also if it looks like an escaped one: as ls -0 prints it
    #[arg(long)]
    pub(crate) literal: bool,
    #[command(flatten)]
    pub(crate) parity: ParityArgs,
    /// For a bare file system with its hash tree behind it: where that starts, in bytes
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) hash_offset: Option<u64>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

/// Said of each command that reads files.
const FILES_TRUST: &str = "\
Trust:
  What a hash tree with a known root hash protects is proven block by block as
  it is read: a block that does not match ends with 1, and is named. With
  --root-hash, --usr-hash, --certificate or --authenticated, every file system
  that the answer goes through must be proven under a root hash that somebody
  you trust vouches for; otherwise nothing comes out (1, or 3 if it is only
  that nobody vouches). Without them, what is not protected is shown as the
  image's claim. --max-size bounds the bytes of content that are read too.

Exit status:
  0  all of it was read
  1  not proven, not authenticated, or broken
  2  could not tell: wrong usage, no such file, input or output failed, format
     not understood
  3  nobody vouches for the root hash, and that was asked for";

/// Files of an image, without mounting it
///
/// Names are sorted by their bytes. Symbolic links are followed inside the image only. What could deceive in a name is
/// printed as \u{N}, a byte that is not UTF-8 as \xNN, a backslash as two; and every command takes a path that is written so.
#[derive(Debug, Args)]
#[command(after_help = FILES_TRUST)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// A directory, or a file
    #[arg(default_value = "/")]
    pub(crate) path: OsString,
    /// Mode, owner, group, size, time and target too
    #[arg(long, short)]
    pub(crate) long: bool,
    /// With all that is under it, one path a line
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
    /// Print names as they are, with a NUL behind each, and nothing else of the files
    #[arg(long = "null", short = '0', conflicts_with_all = ["json", "long"])]
    pub(crate) null: bool,
    /// Print JSON: one array. Names that are not UTF-8 come with the wrong bytes as \xNN, each backslash as two, and a
    /// second time in hexadecimal (pathHex, targetHex)
    #[arg(long)]
    pub(crate) json: bool,
}

/// The content of a file of an image
#[derive(Debug, Args)]
#[command(after_help = FILES_TRUST)]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// A regular file; symbolic links are followed inside the image
    pub(crate) path: OsString,
}

/// Copy a file or a directory out of an image
///
/// Nothing outside of the new file or directory is ever written to, whatever names and links the image holds, and nothing
/// is left if it cannot be completed (a folder .ddi-extract-* is, if ddi is killed). Blocks of zeros become holes.
///
/// To standard output a file is its content, and a directory a tar stream in the PAX format, with everything that --preserve
/// keeps, extended attributes of all kinds, and holes as GNU tar writes them. If something goes wrong the stream has no end.
#[derive(Debug, Args)]
#[command(after_help = FILES_TRUST)]
pub(crate) struct ExtractArgs {
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// A file or a directory; symbolic links are followed inside the image
    pub(crate) path: OsString,
    /// The new file or directory, which must not be there; - for standard output, a directory as a tar stream [default: under
    /// the same name, here]
    pub(crate) destination: Option<PathBuf>,
    /// Keep setuid, setgid and sticky bits, user.* extended attributes, FIFOs and sockets; as root owners and devices
    /// too. Without it these are left out, but for a tar stream
    #[arg(long)]
    pub(crate) preserve: bool,
}

/// Every file of an image with its SHA-256, as systemd-dissect --mtree prints it
#[derive(Debug, Args)]
#[command(after_help = FILES_TRUST)]
pub(crate) struct MtreeArgs {
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// A directory, or a file
    #[arg(default_value = "/")]
    pub(crate) path: OsString,
    /// Print JSON, as ddi ls --json does
    #[arg(long)]
    pub(crate) json: bool,
    /// Most threads (default: one for each processor)
    #[arg(long, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
}
