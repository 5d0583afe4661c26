//! Arguments of `ddi verity`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

use super::{EXIT_STATUS, size, small_size, threads};

const VERITY_VERIFY_EXIT_STATUS: &str = "\
Exit status:
  0  every block matches the root hash
  1  not every block does, or the parameters do not fit the sizes
  2  could not tell: wrong usage, input or output failed, format not
     understood

What 0 does not promise: that the number of data blocks is the one that the
root hash was made with. The superblock names it, and nothing authenticates
that; hash blocks of a good tree, offered as data, match its root hash too.
--data-blocks says how many there are. ddi verify asks the file system.";

// veritysetup has -h for the hash algorithm, so help is --help alone
#[derive(Debug, Subcommand)]
pub(crate) enum VerityCommand {
    /// Make a hash tree for a data device and print its root hash
    #[command(after_help = EXIT_STATUS, disable_help_flag = true)]
    Format(FormatArgs),
    /// Check all blocks of a data device against a root hash
    #[command(name = "verify", after_help = VERITY_VERIFY_EXIT_STATUS, disable_help_flag = true)]
    Verify(VerityVerifyArgs),
    /// Heal damaged blocks by parity, each proven by the root hash before it is written
    #[command(after_help = REPAIR_EXIT_STATUS, disable_help_flag = true)]
    Repair(RepairArgs),
    /// Show a verity superblock
    #[command(after_help = EXIT_STATUS, disable_help_flag = true)]
    Dump(DumpArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// What is to be protected
    pub(crate) data: PathBuf,
    /// Where the hash tree goes: made if it is not there
    pub(crate) hash: PathBuf,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// UUID of the hash device (default: random)
    #[arg(long, value_name = "UUID")]
    pub(crate) uuid: Option<String>,
    /// Write the root hash to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) root_hash_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerityVerifyArgs {
    /// What is protected; - for standard input, which is read once and not kept
    pub(crate) data: PathBuf,
    /// Where the hash tree is
    pub(crate) hash: PathBuf,
    /// The root hash that you trust, in hexadecimal
    #[arg(required_unless_present = "root_hash_file", conflicts_with = "root_hash_file")]
    pub(crate) root_hash: Option<String>,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// Read the root hash from this file
    #[arg(long, value_name = "FILE")]
    pub(crate) root_hash_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const REPAIR_EXIT_STATUS: &str = "\
Exit status:
  0  every block matches the root hash now
  1  some blocks could not be healed; without --partial nothing was written
  2  could not tell: wrong usage, input or output failed, format not
     understood";

#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    /// What is protected
    pub(crate) data: PathBuf,
    /// Where the hash tree is
    pub(crate) hash: PathBuf,
    /// The root hash that you trust, in hexadecimal
    #[arg(required_unless_present = "root_hash_file", conflicts_with = "root_hash_file")]
    pub(crate) root_hash: Option<String>,
    #[command(flatten)]
    pub(crate) params: ParamArgs,
    /// Read the root hash from this file
    #[arg(long, value_name = "FILE")]
    pub(crate) root_hash_file: Option<PathBuf>,
    /// Write the healed data to this new file
    #[arg(long, short = 'o', value_name = "FILE", required_unless_present = "in_place")]
    pub(crate) output: Option<PathBuf>,
    /// Write the healed hash area, where it is in a file of its own, to this new file
    #[arg(long, value_name = "FILE", requires = "output")]
    pub(crate) hash_output: Option<PathBuf>,
    /// Write healed blocks to where the damaged ones are
    #[arg(long, conflicts_with = "output")]
    pub(crate) in_place: bool,
    /// Write what can be healed even if that is not all
    #[arg(long)]
    pub(crate) partial: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// Where the hash tree is
    pub(crate) hash: PathBuf,
    /// Where the superblock starts, in bytes
    #[arg(long, value_name = "BYTES", value_parser = size, default_value_t = 0)]
    pub(crate) hash_offset: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print help
    #[arg(long, short = '?', action = ArgAction::Help)]
    help: Option<bool>,
}

/// The parameters of a hash tree, under veritysetup's names.
#[derive(Debug, Args)]
pub(crate) struct ParamArgs {
    /// Hash algorithm: sha256, sha384 or sha512; sha1 to verify only [default: sha256]
    #[arg(long = "hash", short = 'h', value_name = "NAME")]
    pub(crate) algorithm: Option<String>,
    /// Salt in hexadecimal, or - for none [default when formatting: 32 random bytes]
    #[arg(long, short = 's', value_name = "HEX|-")]
    pub(crate) salt: Option<String>,
    /// Size of a data block [default: 4096]
    #[arg(long, value_name = "BYTES", value_parser = small_size)]
    pub(crate) data_block_size: Option<u32>,
    /// Size of a hash block [default: 4096]
    #[arg(long, value_name = "BYTES", value_parser = small_size)]
    pub(crate) hash_block_size: Option<u32>,
    /// Number of data blocks [default: all of the data device]
    #[arg(long, value_name = "BLOCKS")]
    pub(crate) data_blocks: Option<u64>,
    /// Where the hash area starts on the hash device, in bytes
    #[arg(long, value_name = "BYTES", value_parser = size, default_value_t = 0)]
    pub(crate) hash_offset: u64,
    /// Hash type: 1 normal, 0 original Chrome OS [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) format: Option<u32>,
    /// The hash area has no superblock: all parameters come from the options
    #[arg(long)]
    pub(crate) no_superblock: bool,
    /// Where the parity of forward error correction is or goes: may be the hash device or the data device too
    #[arg(long, value_name = "FILE")]
    pub(crate) fec_device: Option<PathBuf>,
    /// Where the parity starts on its device, in bytes [default: 0]
    #[arg(long, value_name = "BYTES", value_parser = size, requires = "fec_device")]
    pub(crate) fec_offset: Option<u64>,
    /// Parity bytes for each codeword of 255, from 2 to 24 [default: 2; to verify and repair: as the record beside the parity says, else found out by trying]
    #[arg(long, value_name = "BYTES", requires = "fec_device")]
    pub(crate) fec_roots: Option<u32>,
    /// To verify and repair: blocks of the hash device that the parity covers [default: as its record says, else
    /// found out by trying]
    #[arg(long, value_name = "BLOCKS", requires = "fec_device")]
    pub(crate) fec_hash_blocks: Option<u64>,
    /// Threads that hash (default: one for each processor)
    #[arg(long, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
    /// Print help
    #[arg(long, short = '?', action = ArgAction::Help)]
    help: Option<bool>,
}
