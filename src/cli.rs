//! Argument definitions, and nothing else.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};
use ddi_build::Compatibility;
use ddi_core::{DataSize, Role};
use ddi_gpt::{Architecture, Guid};
use ddi_verity::MAX_THREADS;

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
#[command(name = "ddi", version, after_help = EXIT_STATUS, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
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
    Build(BuildArgs),
    Sign(SignArgs),
    Plan(PlanArgs),
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
    #[command(flatten)]
    pub(crate) unpack: UnpackArgs,
    /// Print JSON: all keys of `systemd-dissect --json`, and more
    #[arg(long)]
    pub(crate) json: bool,
    /// Accept only two equal copies of the partition table
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// For a bare file system with its hash tree behind it: where that starts, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) hash_offset: Option<u64>,
    /// Show what this image policy says to each partition: a policy, or a name such as sysext
    #[arg(long, value_name = "POLICY")]
    pub(crate) image_policy: Option<String>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

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
    /// Where files of CopyFiles= are [default: as --root]
    #[arg(long, short = 's', value_name = "DIR")]
    pub(crate) copy_source: Option<PathBuf>,
    /// Size of the image: auto, or bytes with K, M, G, T
    #[arg(long, value_name = "SIZE", default_value = "auto")]
    pub(crate) size: String,
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
    pub(crate) signing: SigningArgs,
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
    /// Sector size of the table, of file systems and of hash trees: 512 to 4096
    #[arg(long, value_name = "BYTES")]
    pub(crate) sector_size: Option<u32>,
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

/// Who signs root hashes.
#[derive(Debug, Args)]
pub(crate) struct SigningArgs {
    /// A private key as PEM or DER: RSA of 2048 to 4096 bits, P-256 or P-384
    #[arg(long, value_name = "FILE", requires = "certificate", conflicts_with = "sign_command")]
    pub(crate) private_key: Option<PathBuf>,
    /// The passphrase of an encrypted key: the first line of this file, which may be /dev/fd/N
    #[arg(long, value_name = "FILE", requires = "private_key")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// A command that has the key: it gets the text to sign on standard input, and prints a PKCS#7 signature as DER
    #[arg(long, value_name = "CMD", requires = "certificate")]
    pub(crate) sign_command: Option<OsString>,
    /// The certificate of the key
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// Sign the size of the data and the parameters of the hash tree too
    #[arg(long, requires = "certificate")]
    pub(crate) bind_size: bool,
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

/// How compressed images and standard input are read.
#[derive(Debug, Args)]
pub(crate) struct UnpackArgs {
    /// Most bytes that a compressed image, or one from standard input, may have when it is unpacked
    ///
    /// It is unpacked to a temporary file without a name, in $TMPDIR or /var/tmp, in which zeros take no space. That
    /// cannot be done without: an image has at its end, in the superblock of the hash tree, what is needed to check its
    /// beginning. Memory is bounded by 200 MiB: xz dictionaries and zstd windows of more than 128 MiB are refused. It ends
    /// while 1 GiB or 5 % of the file system is still free, whichever is less.
    #[arg(long, value_name = "BYTES", default_value_t = ddi_io::MAX_UNPACKED_SIZE)]
    pub(crate) max_size: u64,
    /// Most times as large as it is packed that an image of more than 1 GiB may be
    #[arg(long, value_name = "N", default_value_t = ddi_io::MAX_UNPACKED_RATIO)]
    pub(crate) max_ratio: u64,
}

/// Which of an image's partitions are meant.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// Prefer this architecture when several are there, such as arm64 (default: this machine's)
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<String>,
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
    #[arg(long, value_name = "BYTES")]
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

/// Sign the root hash of an image, or any root hash
///
/// An image is proven first: every block must match the root hash that the image names. What is signed is verified with the
/// certificate before it is written, to NAME.roothash.p7s or NAME.usrhash.p7s beside NAME.raw, or to -o FILE; one that is there
/// is replaced. With an RSA key that is byte for byte what `openssl smime -sign -nocerts -noattr -binary -outform der` makes;
/// with an elliptic curve it is also the same each time. Signs with SHA-256.
#[derive(Debug, Args)]
#[command(after_help = SIGN_EXIT_STATUS, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
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

/// Who signs, and with which certificate.
#[derive(Debug, Args)]
pub(crate) struct SignerArgs {
    /// The certificate of the key, PEM or DER
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) certificate: Option<PathBuf>,
    /// The private key: RSA with 2048 to 4096 bits, P-256 or P-384; PEM or DER, PKCS#8 or the forms before it
    #[arg(long, value_name = "FILE", conflicts_with = "sign_command")]
    pub(crate) private_key: Option<PathBuf>,
    /// A file whose first line is the passphrase of an encrypted private key
    #[arg(long, value_name = "FILE", requires = "private_key", conflicts_with = "passphrase_fd")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The same from this file descriptor
    #[arg(long, value_name = "N", requires = "private_key")]
    pub(crate) passphrase_fd: Option<u32>,
    /// A command line for the shell that signs, for keys that are elsewhere: it gets the root hash in lower-case hexadecimal,
    /// without end of line, on its standard input, and prints a detached PKCS#7 signature as DER
    #[arg(long, value_name = "COMMAND")]
    pub(crate) sign_command: Option<OsString>,
    /// Sign also how many bytes the root hash is over, and the parameters of the hash tree. systemd, OpenSSL and Linux take
    /// such a signature; ddi refuses an image of which it is not true
    #[arg(long)]
    pub(crate) bind_size: bool,
}

/// Fill the signature partition of an image, which is there and empty
///
/// The signature is verified first: with the certificate, of the root hash of the hash tree. Or it is made, as `ddi sign` does.
/// Nothing else of the image changes. What was interrupted can be begun again.
#[derive(Debug, Args)]
#[command(after_help = SIGN_EXIT_STATUS)]
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
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) offset: u64,
    /// How many bytes [default: all to the end]
    #[arg(long, value_name = "BYTES")]
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
    #[arg(long, conflicts_with_all = ["integrity_only", "root_hash", "usr_hash", "data_sizes", "require_bound_size", "files"])]
    pub(crate) unverified: bool,
    #[command(flatten)]
    pub(crate) parity: ParityArgs,
    /// For a bare file system with its hash tree behind it: where that starts, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) hash_offset: Option<u64>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

/// Parity of forward error correction, under veritysetup's names.
#[derive(Debug, Args)]
pub(crate) struct ParityArgs {
    /// Heal damaged blocks by the parity in this file, as `ddi verity format` or veritysetup made it. It need not be trusted:
    /// what is healed is proven like any block. If it is the image itself, the parity is behind the hash tree, and offsets
    /// count from the start of the hash partition
    #[arg(long, value_name = "FILE", conflicts_with = "unverified")]
    pub(crate) fec_device: Option<PathBuf>,
    /// Where the parity starts, in bytes [default: as FILE.json says, else 0]
    #[arg(long, value_name = "BYTES", requires = "fec_device")]
    pub(crate) fec_offset: Option<u64>,
    /// Parity bytes for each codeword of 255, from 2 to 24 [default: as FILE.json says, else found out by trying]
    #[arg(long, value_name = "BYTES", requires = "fec_device")]
    pub(crate) fec_roots: Option<u32>,
    /// Blocks of the hash tree and behind it that the parity covers [default: as FILE.json says, else found out by trying]
    #[arg(long, value_name = "BLOCKS", requires = "fec_device")]
    pub(crate) fec_hash_blocks: Option<u64>,
}

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
    #[arg(long, conflicts_with_all = ["authenticated", "root_hash", "usr_hash", "data_sizes", "require_bound_size", "files"])]
    pub(crate) unverified: bool,
    /// Take the path as it is, also if it looks like an escaped one: as ls -0 prints it
    #[arg(long)]
    pub(crate) literal: bool,
    #[command(flatten)]
    pub(crate) parity: ParityArgs,
    /// For a bare file system with its hash tree behind it: where that starts, in bytes
    #[arg(long, value_name = "BYTES")]
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
#[derive(Debug, Args)]
#[command(after_help = FILES_TRUST)]
pub(crate) struct ExtractArgs {
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// A file or a directory; symbolic links are followed inside the image
    pub(crate) path: OsString,
    /// The new file or directory, which must not be there; - for standard output [default: under the same name, here]
    pub(crate) destination: Option<PathBuf>,
    /// Keep setuid, setgid and sticky bits, user.* extended attributes, FIFOs and sockets; as root owners and devices
    /// too. Without it these are left out
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    Show(PolicyShowArgs),
    Check(PolicyCheckArgs),
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
    #[arg(long, value_name = "BYTES")]
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
}

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
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
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
    #[arg(long, value_name = "BYTES")]
    pub(crate) data_block_size: Option<u32>,
    /// Size of a hash block [default: 4096]
    #[arg(long, value_name = "BYTES")]
    pub(crate) hash_block_size: Option<u32>,
    /// Number of data blocks [default: all of the data device]
    #[arg(long, value_name = "BLOCKS")]
    pub(crate) data_blocks: Option<u64>,
    /// Where the hash area starts on the hash device, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
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
    #[arg(long, value_name = "BYTES", requires = "fec_device")]
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

/// A number of bytes, for a role: root if it is not said.
fn data_size(given: &str) -> Result<DataSize, String> {
    let (role, bytes) = match given.split_once(':') {
        Some(("root", bytes)) => (Role::Root, bytes),
        Some(("usr", bytes)) => (Role::Usr, bytes),
        Some(_) => return Err("the role is root or usr".into()),
        None => (Role::Root, given),
    };
    match bytes.parse() {
        Ok(bytes) => Ok(DataSize { role, bytes }),
        Err(error) => Err(format!("{bytes:?} is no number of bytes: {error}")),
    }
}
