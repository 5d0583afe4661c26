//! Arguments of `ddi table`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ddi_gpt::Side;

use super::UnpackArgs;

/// The partition table of an image: a map of it, a script for sfdisk, and its repair
///
/// Shows what is where, free space included. With --repair, a damaged copy of the table is written from the good one, and a
/// backup that is not at the end of the disk goes there, as on an image that was grown or cut off; what would change is
/// shown, and nothing is written without --yes. Partitions are never touched, and there is a good copy at any moment, whenever the
/// command is interrupted. A file for --restore is on the disk before the first byte is written.
#[derive(Debug, Args)]
#[command(after_help = TABLE_EXIT_STATUS)]
pub(crate) struct TableArgs {
    /// A disk image, or a block device; for the map it may be compressed, and - is standard input
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    /// Print a script from which sfdisk makes the same table
    #[arg(long, conflicts_with_all = ["json", "repair", "restore"])]
    pub(crate) dump: bool,
    /// Make both copies of the table good, equal and in their places
    #[arg(long)]
    pub(crate) repair: bool,
    /// The copy to repair from [default: the one that is good]
    #[arg(long, value_name = "COPY", requires = "repair")]
    pub(crate) from: Option<Copy>,
    /// Also make the records of the protective MBR new, if they are not as they should be; boot code stays
    #[arg(long, requires = "repair")]
    pub(crate) protective_mbr: bool,
    /// Write, and do not only show
    #[arg(long)]
    pub(crate) yes: bool,
    /// Where the bytes go that are written over [default: IMAGE.table-undo.json; must be given for a device]
    #[arg(long, value_name = "FILE", requires = "repair")]
    pub(crate) undo: Option<PathBuf>,
    /// Put back what a repair wrote over, from its file
    #[arg(long, value_name = "FILE", conflicts_with = "repair")]
    pub(crate) restore: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// One of the two copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Copy {
    Primary,
    Backup,
}

impl From<Copy> for Side {
    fn from(copy: Copy) -> Self {
        match copy {
            Copy::Primary => Side::Primary,
            Copy::Backup => Side::Backup,
        }
    }
}

const TABLE_EXIT_STATUS: &str = "\
Exit status:
  0  nothing is broken; with --repair: it is repaired, or there was nothing to
     repair; with --restore: the bytes are back
  1  a copy is damaged, or the two differ; there is no table, or none that can
     be shown or repaired; with --repair and --restore: there is something to
     write, and no --yes
  2  could not tell: wrong usage, input or output failed";
