//! Arguments of `ddi split`.

use std::path::PathBuf;

use clap::Args;

use super::UnpackArgs;

/// Make a file of each partition of an image
///
/// For NAME.raw they are called NAME.TYPE.raw, as `ddi build --split` calls them where no SplitName= says otherwise; of several
/// partitions of one type, each NAME.TYPE.NUMBER.raw. Nothing is written over: if one of the names is there, no file is made.
/// Each file is complete when it has its name. Bytes are taken as they are, and nothing is proven.
#[derive(Debug, Args)]
#[command(after_help = SPLIT_EXIT_STATUS)]
pub(crate) struct SplitArgs {
    /// A disk image, which may be compressed (.xz, .zst, .gz), or a block device; - for standard input
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    /// The folder for the files [default: that of the image; the current one for standard input]
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Also write the SHA-256 of every file, as systemd-sysupdate reads it [default name: SHA256SUMS]
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "SHA256SUMS")]
    pub(crate) sums: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SPLIT_EXIT_STATUS: &str = "\
Exit status:
  0  all files are there
  1  there is no partition table, or none that can be used
  2  something failed: wrong usage, input or output; a file is there already

Whatever is not 0 leaves no file behind.";
