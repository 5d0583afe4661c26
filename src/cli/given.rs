//! Arguments that several commands have: whom to trust, who signs, what is read and how.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use ddi_core::{DataSize, Role};

use super::{size, small_size};

/// Who is trusted to vouch for a root hash.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// The root hash that you trust for the root partition: hexadecimal, or a file that holds it
    #[arg(long, value_name = "HEX|FILE")]
    pub(crate) root_hash: Option<String>,
    /// The root hash that you trust for the /usr partition
    #[arg(long, value_name = "HEX|FILE")]
    pub(crate) usr_hash: Option<String>,
    /// How many bytes of data the root hash is over, which you trust as you trust the root hash: of root, or with usr: of
    /// usr. A root hash does not say it. Without this, the data must be a file system of that size; with it, they may be
    /// anything
    #[arg(long = "data-size", value_name = "[ROLE:]BYTES", value_parser = data_size)]
    pub(crate) data_sizes: Vec<DataSize>,
    /// Refuse what no trusted key signed the size and the parameters of the hash tree of, along with the root hash, as `ddi
    /// sign --bind-size` does
    #[arg(long)]
    pub(crate) require_bound_size: bool,
    #[command(flatten)]
    pub(crate) certificates: CertificateArgs,
}

/// Whose signatures count.
#[derive(Debug, Args)]
pub(crate) struct CertificateArgs {
    /// Trust what was signed with the key of this certificate, or of those in the *.crt files of a folder. Can be given
    /// more than once. Without it, systemd's folders are taken: /etc/verity.d, /run/verity.d,
    /// /usr/local/lib/verity.d and /usr/lib/verity.d
    #[arg(long = "certificate", value_name = "FILE|DIR")]
    pub(crate) files: Vec<PathBuf>,
}

/// How images are read, and what belongs to them.
#[derive(Debug, Args)]
pub(crate) struct UnpackArgs {
    /// Most bytes that a compressed image, or one from standard input, may have when it is unpacked
    ///
    /// It is unpacked to a temporary file without a name, in $TMPDIR or /var/tmp, in which zeros take no space. That
    /// cannot be done without: an image has at its end, in the superblock of the hash tree, what is needed to check its
    /// beginning. Memory is bounded by 200 MiB: xz dictionaries and zstd windows of more than 128 MiB are refused. It ends
    /// while 1 GiB or 5 % of the file system is still free, whichever is less.
    #[arg(long, value_name = "BYTES", value_parser = size, default_value_t = ddi_io::MAX_UNPACKED_SIZE)]
    pub(crate) max_size: u64,
    /// Sector size of the image: 512 to 4096 [default: found by where the partition table is]
    #[arg(long, value_name = "BYTES", value_parser = small_size)]
    pub(crate) sector_size: Option<u32>,
    /// The signature of the root hash of root, instead of a file beside the image: a file with a PKCS#7 message as DER, or
    /// base64: and that
    #[arg(long, value_name = "FILE|base64:SIGNATURE")]
    pub(crate) root_hash_sig: Option<OsString>,
    /// The same for usr
    #[arg(long, value_name = "FILE|base64:SIGNATURE")]
    pub(crate) usr_hash_sig: Option<OsString>,
    /// The hash tree of an image without partition table, instead of a file beside the image
    #[arg(long, value_name = "FILE")]
    pub(crate) verity_data: Option<PathBuf>,
    /// Most times as large as it is packed that an image of more than 1 GiB may be
    #[arg(long, value_name = "N", default_value_t = ddi_io::MAX_UNPACKED_RATIO)]
    pub(crate) max_ratio: u64,
}

/// Reports to keep or to hand on.
#[derive(Debug, Args)]
pub(crate) struct KeepArgs {
    /// Write a report to this file too: one HTML page that needs neither network nor JavaScript, with the disk, the chain of
    /// trust, damage, findings and files of the image
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print a summary in Markdown instead, for the page of a CI run
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Write the findings to this file too, as SARIF 2.1.0, for forges that show them beside a change
    #[arg(long, value_name = "FILE")]
    pub(crate) sarif: Option<PathBuf>,
}

/// Which of an image's partitions are meant.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// Prefer this architecture when several are there, such as arm64 (default: this machine's)
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<String>,
}

/// Who signs, and with which certificate.
#[derive(Debug, Args)]
pub(crate) struct SignerArgs {
    /// The certificate of the key, PEM or DER
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// The private key: RSA with 2048 to 4096 bits, P-256 or P-384; PEM or DER, PKCS#8 or the forms before it
    #[arg(long, value_name = "FILE", requires = "certificate", conflicts_with = "sign_command")]
    pub(crate) private_key: Option<PathBuf>,
    /// A file whose first line is the passphrase of an encrypted private key
    #[arg(long, value_name = "FILE", requires = "private_key", conflicts_with = "passphrase_fd")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The same from this file descriptor
    #[arg(long, value_name = "N", requires = "private_key")]
    pub(crate) passphrase_fd: Option<u32>,
    /// A command line for the shell that signs, for keys that are elsewhere: it gets the root hash in lower-case hexadecimal,
    /// without end of line, on its standard input, and prints a detached PKCS#7 signature as DER
    #[arg(long, value_name = "COMMAND", requires = "certificate")]
    pub(crate) sign_command: Option<OsString>,
    /// Sign also how many bytes the root hash is over, and the parameters of the hash tree. systemd, OpenSSL and Linux take
    /// such a signature; ddi refuses an image of which it is not true
    #[arg(long, requires = "certificate")]
    pub(crate) bind_size: bool,
}

/// Parity of forward error correction, under veritysetup's names.
#[derive(Debug, Args)]
pub(crate) struct ParityArgs {
    /// Heal damaged blocks by the parity in this file, as `ddi verity format` or veritysetup made it. It need not be trusted:
    /// what is healed is proven like any block. If it is the image itself, the parity is behind the hash tree, and offsets
    /// count from the start of the hash partition
    #[arg(long, value_name = "FILE")]
    pub(crate) fec_device: Option<PathBuf>,
    /// Where the parity starts, in bytes [default: as FILE.json says, else 0]
    #[arg(long, value_name = "BYTES", value_parser = size, requires = "fec_device")]
    pub(crate) fec_offset: Option<u64>,
    /// Parity bytes for each codeword of 255, from 2 to 24 [default: as FILE.json says, else found out by trying]
    #[arg(long, value_name = "BYTES", requires = "fec_device")]
    pub(crate) fec_roots: Option<u32>,
    /// Blocks of the hash tree and behind it that the parity covers [default: as FILE.json says, else found out by trying]
    #[arg(long, value_name = "BLOCKS", requires = "fec_device")]
    pub(crate) fec_hash_blocks: Option<u64>,
}

/// A number of bytes, for a role: root if it is not said.
fn data_size(given: &str) -> Result<DataSize, String> {
    let (role, bytes) = match given.split_once(':') {
        Some(("root", bytes)) => (Role::Root, bytes),
        Some(("usr", bytes)) => (Role::Usr, bytes),
        Some(_) => return Err("the role is root or usr".into()),
        None => (Role::Root, given),
    };
    match size(bytes) {
        Ok(bytes) => Ok(DataSize { role, bytes }),
        Err(error) => Err(format!("{bytes:?} {error}")),
    }
}
