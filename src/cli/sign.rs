//! Arguments of `ddi sign`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{SignerArgs, threads};

/// Sign the root hash of an image, or any root hash
///
/// An image is proven first: every block must match the root hash that the image names. What is signed is verified with the
/// certificate before it is written, to NAME.roothash.p7s or NAME.usrhash.p7s beside NAME.raw, or to -o FILE; one that is there
/// is replaced. With an RSA key that is byte for byte what `openssl smime -sign -nocerts -noattr -binary -outform der` makes;
/// with an elliptic curve it is also the same each time. Signs with SHA-256.
#[derive(Debug, Args)]
#[command(after_help = SIGN_EXIT_STATUS, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(mut_arg("certificate", |given| given.required(true)))]
pub(crate) struct SignArgs {
    #[command(subcommand)]
    pub(crate) command: Option<SignCommand>,
    /// A disk image, or a root hash in hexadecimal
    #[arg(required = true, value_name = "IMAGE|ROOTHASH")]
    pub(crate) targets: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    /// Where the signature goes; - for standard output. Needed for a root hash
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Threads that hash (default: one for each processor)
    #[arg(long, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SignCommand {
    Attach(AttachArgs),
}

/// Fill the signature partition of an image, which is there and empty
///
/// The signature is verified first: with the certificate, of the root hash of the hash tree. Or it is made, as `ddi sign` does.
/// Nothing else of the image changes. What was interrupted can be begun again.
#[derive(Debug, Args)]
#[command(after_help = SIGN_EXIT_STATUS)]
#[command(mut_arg("certificate", |given| given.required(true)))]
pub(crate) struct AttachArgs {
    /// A disk image that is not compressed, or a block device
    pub(crate) image: PathBuf,
    /// A PKCS#7 signature of its root hash, DER
    #[arg(long, value_name = "FILE", conflicts_with_all = ["private_key", "sign_command", "bind_size"])]
    pub(crate) signature: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    /// Threads that hash (default: one for each processor)
    #[arg(long, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
}

const SIGN_EXIT_STATUS: &str = "\
Exit status:
  0  signed; or attached
  1  the image is not proven, or the signature is not good: nothing was
     written
  2  wrong usage, input or output failed, format not understood";
