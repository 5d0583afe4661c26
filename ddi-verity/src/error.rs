//! What can keep us from an answer.

use core::fmt;
use std::io;

use crate::exception::GeometryException;
use crate::hash::Algorithm;

/// Which of the sources of a verity device is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Storage {
    /// The blocks that are protected.
    Data,
    /// The superblock and the hash tree.
    Hash,
    /// The parity of forward error correction.
    Parity,
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Storage::Data => "data",
            Storage::Hash => "hash area",
            Storage::Parity => "parity",
        })
    }
}

/// The algorithm field of a superblock, as found: 32 bytes that may be anything.
///
/// Displays the bytes before the first NUL, escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AlgorithmName(pub [u8; 32]);

impl AlgorithmName {
    /// The bytes before the first NUL.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or(&[])
    }
}

impl fmt::Display for AlgorithmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for AlgorithmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlgorithmName(\"{}\")", self.0.escape_ascii())
    }
}

/// What a caller does about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The image breaks the format.
    Corrupt,
    /// The image may be fine; we are not able, or were told not to.
    Unsupported,
    /// A source or a sink failed.
    Io,
    /// Well formed, and not what was promised.
    Mismatch,
    /// The call makes no sense, or was called off.
    Usage,
}

/// Why there is no answer.
///
/// Offsets in superblock variants count from the start of the superblock. That a block does not match its digest is
/// an answer to [`CheckedTree::verify`](crate::CheckedTree::verify), not an error.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The first eight bytes are not `verity\0\0`.
    Signature {
        /// The bytes in its place.
        found: [u8; 8],
    },
    /// Only version 1 exists.
    Version {
        /// The version field.
        found: u32,
    },
    /// Neither 0 (Chrome OS) nor 1 (normal).
    HashType {
        /// The hash type field.
        found: u32,
    },
    /// No algorithm that this crate knows has this exact, lower-case name.
    UnknownAlgorithm {
        /// The name.
        name: AlgorithmName,
    },
    /// Behind the NUL that ends the algorithm's name there is something.
    AlgorithmTail {
        /// Its offset in the superblock.
        offset: u64,
    },
    /// Not a power of two from 512 to 524288.
    DataBlockSize {
        /// The size in bytes.
        found: u32,
    },
    /// Not a power of two from 512 to 524288.
    HashBlockSize {
        /// The size in bytes.
        found: u32,
    },
    /// A hash block must hold two digests at least.
    DigestTooLarge {
        /// Size of a digest in bytes.
        digest_size: usize,
        /// Size of a hash block in bytes.
        hash_block_size: u32,
    },
    /// No data block at all, or more bytes than a file can have.
    DataBlocks {
        /// The number of data blocks.
        found: u64,
    },
    /// More than 256 bytes.
    SaltSize {
        /// Size of the salt in bytes.
        found: usize,
    },
    /// A byte that must be zero is not: padding, the rest of the salt field, or the rest of the hash block that
    /// the superblock begins.
    Padding {
        /// Its offset, from the start of the superblock.
        offset: u64,
        /// Its value.
        found: u8,
    },
    /// The hash area does not start where it may.
    HashOffset {
        /// The offset in bytes.
        offset: u64,
        /// What it must be a multiple of.
        multiple: u32,
    },
    /// The tree would end behind the last offset that a file can have (2⁶³ − 1).
    TreeTooLarge,
    /// The data is longer or shorter than the blocks that the superblock names.
    DataSize {
        /// `data_blocks * data_block_size`.
        expected: u64,
        /// Size of the source in bytes.
        found: u64,
    },
    /// A source ends before the data or the tree does.
    TooShort {
        /// Which source.
        storage: Storage,
        /// Size in bytes that it must have at least.
        needed: u64,
        /// Size in bytes.
        found: u64,
    },
    /// A stream goes on where its last block has ended. Nobody knows how far.
    DataGoesOn {
        /// `data_blocks * data_block_size`.
        expected: u64,
    },
    /// Allowed by the format, refused by the [`Strictness`](crate::Strictness) in force.
    NotAllowed(GeometryException),
    /// The algorithm is accepted for reading only.
    ReadOnlyAlgorithm {
        /// Which.
        algorithm: Algorithm,
    },
    /// The root hash is not as long as the algorithm's digests.
    RootHashSize {
        /// Digest size in bytes.
        expected: usize,
        /// Size of the root hash in bytes.
        found: usize,
    },
    /// Reading from a source or writing to a sink failed. A source that is shorter than when it was opened counts too.
    Io {
        /// Which of them.
        storage: Storage,
        /// Where the transfer began, in bytes from the start of the source.
        offset: u64,
        /// What it said.
        error: io::Error,
    },
    /// The kernel gave no random bytes, for a salt or a UUID.
    Random {
        /// What it said.
        error: io::Error,
    },
    /// A block does not match its digest, where that cannot be worked around.
    BlockMismatch {
        /// Level of the hash block; `None` for a data block.
        level: Option<usize>,
        /// Number of the block in its level.
        block: u64,
    },
    /// A hash block holds something in slots or padding that must be zero.
    SpareNotZero {
        /// Level of the hash block.
        level: usize,
        /// Number of the block in its level.
        block: u64,
    },
    /// There is no such data block.
    BlockRange {
        /// Number of the block.
        block: u64,
        /// How many there are.
        data_blocks: u64,
    },
    /// A data block was written twice to a [`TreeWriter`](crate::TreeWriter).
    BlockTwice {
        /// Number of the block.
        block: u64,
    },
    /// Not all data blocks were written to a [`TreeWriter`](crate::TreeWriter).
    BlocksMissing {
        /// How many.
        blocks: u64,
    },
    /// Bytes that are not whole blocks, where only whole blocks will do.
    PartialBlock {
        /// How many bytes, or their offset.
        bytes: u64,
    },
    /// Parity of forward error correction has 2 to 24 roots.
    FecRoots {
        /// The number of roots.
        found: u32,
    },
    /// Forward error correction takes data and hash blocks for blocks of one message.
    FecBlockSizes {
        /// Data block size in bytes.
        data: u32,
        /// Hash block size in bytes.
        hash: u32,
    },
    /// The parity is for other data or another tree.
    FecOther,
    /// Nothing says how the parity was made, and it is too short, or trying did not tell.
    FecUnknown,
    /// What the parity covers, or the parity itself, would end behind the last offset that a file can have (2⁶³ − 1).
    FecTooLarge,
    /// The caller's flag was raised.
    Cancelled,
    /// A worker thread panicked (in the source, the sink or the progress callback), or ended without a result.
    Worker,
}

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        use Error::*;
        match self {
            Signature { .. }
            | Version { .. }
            | HashType { .. }
            | AlgorithmTail { .. }
            | DataBlockSize { .. }
            | HashBlockSize { .. }
            | DigestTooLarge { .. }
            | DataBlocks { .. }
            | SaltSize { .. }
            | Padding { .. }
            | HashOffset { .. }
            | TreeTooLarge
            | DataSize { .. }
            | DataGoesOn { .. }
            | TooShort { .. }
            | FecTooLarge => ErrorKind::Corrupt,
            FecRoots { .. }
            | FecBlockSizes { .. }
            | UnknownAlgorithm { .. }
            | NotAllowed(_)
            | ReadOnlyAlgorithm { .. } => ErrorKind::Unsupported,
            Io { .. } | Random { .. } | Worker => ErrorKind::Io,
            RootHashSize { .. } | BlockMismatch { .. } | SpareNotZero { .. } => ErrorKind::Mismatch,
            BlockRange { .. }
            | BlockTwice { .. }
            | BlocksMissing { .. }
            | PartialBlock { .. }
            | FecOther
            | FecUnknown
            | Cancelled => ErrorKind::Usage,
        }
    }

    /// A name for programs, which does not change between versions.
    pub fn code(&self) -> &'static str {
        use Error::*;
        match self {
            Signature { .. } => "verity-signature",
            Version { .. } => "verity-version",
            HashType { .. } => "verity-hash-type",
            UnknownAlgorithm { .. } => "verity-unknown-algorithm",
            AlgorithmTail { .. } => "verity-algorithm-tail",
            DataBlockSize { .. } => "verity-data-block-size",
            HashBlockSize { .. } => "verity-hash-block-size",
            DigestTooLarge { .. } => "verity-digest-too-large",
            DataBlocks { .. } => "verity-data-blocks",
            SaltSize { .. } => "verity-salt-size",
            Padding { .. } => "verity-padding",
            HashOffset { .. } => "verity-hash-offset",
            TreeTooLarge => "verity-tree-too-large",
            DataSize { .. } => "verity-data-size",
            DataGoesOn { .. } => "verity-data-goes-on",
            TooShort { .. } => "verity-too-short",
            NotAllowed(_) => "verity-not-allowed",
            ReadOnlyAlgorithm { .. } => "verity-read-only-algorithm",
            RootHashSize { .. } => "verity-root-hash-size",
            Io { .. } => "verity-io",
            Random { .. } => "verity-random",
            BlockMismatch { .. } => "verity-block-mismatch",
            SpareNotZero { .. } => "verity-spare-not-zero",
            BlockRange { .. } => "verity-block-range",
            BlockTwice { .. } => "verity-block-twice",
            BlocksMissing { .. } => "verity-blocks-missing",
            PartialBlock { .. } => "verity-partial-block",
            FecRoots { .. } => "verity-fec-roots",
            FecBlockSizes { .. } => "verity-fec-block-sizes",
            FecTooLarge => "verity-fec-too-large",
            FecOther => "verity-fec-other",
            FecUnknown => "verity-fec-unknown",
            Cancelled => "verity-cancelled",
            Worker => "verity-worker",
        }
    }

    /// For a fault of a superblock: where in it the field or byte is.
    pub fn superblock_offset(&self) -> Option<u64> {
        use Error::*;
        match self {
            Signature { .. } => Some(0),
            Version { .. } => Some(8),
            HashType { .. } => Some(12),
            UnknownAlgorithm { .. } => Some(32),
            AlgorithmTail { offset } | Padding { offset, .. } => Some(*offset),
            DataBlockSize { .. } => Some(64),
            HashBlockSize { .. } | DigestTooLarge { .. } => Some(68),
            DataBlocks { .. } => Some(72),
            SaltSize { .. } => Some(80),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Error::*;
        match self {
            // not what is there instead: it may be any file
            Signature { .. } => f.write_str("superblock: signature is not \"verity\\0\\0\""),
            Version { found } => write!(f, "superblock: version is {found}, expected 1"),
            HashType { found } => write!(f, "superblock: hash type is {found}, expected 0 or 1"),
            UnknownAlgorithm { name } => write!(f, "superblock: unknown hash algorithm \"{name}\""),
            AlgorithmTail { offset } => {
                write!(f, "superblock: byte {offset}, behind the hash algorithm's name, is not zero")
            }
            DataBlockSize { found } => {
                write!(f, "data block size is {found}, expected a power of two from 512 to 524288")
            }
            HashBlockSize { found } => {
                write!(f, "hash block size is {found}, expected a power of two from 512 to 524288")
            }
            DigestTooLarge { digest_size, hash_block_size } => {
                write!(
                    f,
                    "a hash block of {hash_block_size} bytes does not hold two digests of {digest_size} bytes"
                )
            }
            DataBlocks { found: 0 } => write!(f, "number of data blocks is 0"),
            DataBlocks { found } => write!(f, "number of data blocks is {found}, more than a file can have"),
            SaltSize { found } => write!(f, "salt size is {found}, expected at most 256"),
            Padding { offset, found } => {
                write!(f, "superblock: byte {offset} is {found:#04x}, expected zero")
            }
            HashOffset { offset, multiple } => {
                write!(f, "hash area at byte {offset}, expected a multiple of {multiple}")
            }
            TreeTooLarge => write!(f, "the hash tree would end behind the last possible offset"),
            DataSize { expected, found } => {
                write!(f, "data has {found} bytes, the superblock names {expected}")
            }
            DataGoesOn { expected } => {
                write!(f, "data goes on behind the {expected} bytes that the superblock names")
            }
            TooShort { storage, needed, found } => {
                write!(f, "{storage} ends at byte {found}, needed up to {needed}")
            }
            NotAllowed(exception) => write!(f, "{exception}, which is not allowed here"),
            ReadOnlyAlgorithm { algorithm } => {
                write!(f, "{} is accepted for reading only", algorithm.name())
            }
            RootHashSize { expected, found } => {
                write!(f, "root hash has {found} bytes, expected {expected}")
            }
            Io { storage, offset, error } => write!(f, "{storage}, byte {offset}: {error}"),
            Random { error } => write!(f, "random bytes: {error}"),
            BlockMismatch { level: None, block } => {
                write!(f, "data block {block} does not match its digest")
            }
            BlockMismatch { level: Some(level), block } => {
                write!(f, "hash block {block} of level {level} does not match its digest")
            }
            SpareNotZero { level, block } => {
                write!(f, "hash block {block} of level {level} is not zero where it must be")
            }
            BlockRange { block, data_blocks } => {
                write!(f, "data block {block} does not exist, there are {data_blocks}")
            }
            BlockTwice { block } => write!(f, "data block {block} was written twice"),
            BlocksMissing { blocks } => write!(f, "{blocks} data blocks were not written"),
            PartialBlock { bytes } => write!(f, "{bytes} bytes are not a whole number of blocks"),
            FecRoots { found } => write!(f, "parity has {found} roots, expected 2 to 24"),
            FecBlockSizes { data, hash } => write!(
                f,
                "forward error correction needs blocks of one size, data blocks have {data} bytes and hash blocks {hash}"
            ),
            FecTooLarge => f.write_str("parity is too large"),
            FecOther => f.write_str("parity is for another hash tree"),
            FecUnknown => f.write_str(
                "nothing says how the parity was made, and trying did not tell: roots and covered hash blocks must be given",
            ),
            Cancelled => write!(f, "cancelled"),
            Worker => write!(f, "a worker thread ended without a result"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// For where only an `io::Error` will do, such as [`io::Write`] of a [`TreeWriter`](crate::TreeWriter).
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (&error, error.kind()) {
            (Error::Io { error, .. }, _) => error.kind(),
            (_, ErrorKind::Corrupt | ErrorKind::Mismatch) => io::ErrorKind::InvalidData,
            (_, ErrorKind::Unsupported) => io::ErrorKind::Unsupported,
            (_, ErrorKind::Io) => io::ErrorKind::Other,
            (_, ErrorKind::Usage) => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use core::error::Error as _;

    use super::*;

    fn name(text: &[u8]) -> AlgorithmName {
        let mut name = [0; 32];
        name[..text.len()].copy_from_slice(text);
        AlgorithmName(name)
    }

    #[test]
    fn names_end_at_the_first_nul() {
        assert_eq!(name(b"sha256").as_bytes(), b"sha256");
        assert_eq!(name(b"a\0b").as_bytes(), b"a");
        assert_eq!(name(b"\x1b[31m\0b").to_string(), r"\x1b[31m");
        let tail = r"\x00".repeat(29);
        assert_eq!(format!("{:?}", name(b"a\0b")), format!(r#"AlgorithmName("a\x00b{tail}")"#));
        assert_eq!(AlgorithmName([b'x'; 32]).as_bytes(), [b'x'; 32]);
    }

    #[test]
    fn places_in_a_superblock() {
        let name = name(b"md5");
        for (error, offset) in [
            (Error::Signature { found: [0; 8] }, Some(0)),
            (Error::Version { found: 2 }, Some(8)),
            (Error::HashType { found: 2 }, Some(12)),
            (Error::UnknownAlgorithm { name }, Some(32)),
            (Error::AlgorithmTail { offset: 40 }, Some(40)),
            (Error::DataBlockSize { found: 1 }, Some(64)),
            (Error::HashBlockSize { found: 1 }, Some(68)),
            (Error::DigestTooLarge { digest_size: 64, hash_block_size: 64 }, Some(68)),
            (Error::DataBlocks { found: 0 }, Some(72)),
            (Error::SaltSize { found: 257 }, Some(80)),
            (Error::Padding { offset: 84, found: 1 }, Some(84)),
            (Error::TreeTooLarge, None),
        ] {
            assert_eq!(error.superblock_offset(), offset, "{error}");
            assert_eq!(error.kind() == ErrorKind::Unsupported, error.code() == "verity-unknown-algorithm");
        }
    }

    #[test]
    fn causes_and_kinds_of_input_and_output() {
        let io = |kind: io::ErrorKind| Error::Io { storage: Storage::Hash, offset: 7, error: kind.into() };
        let error = io(io::ErrorKind::NotFound);
        assert_eq!(error.source().unwrap().to_string(), io::Error::from(io::ErrorKind::NotFound).to_string());
        assert!(error.to_string().starts_with("hash area, byte 7: "), "{error}");
        assert!(Error::Cancelled.source().is_none());
        for (error, kind) in [
            (io(io::ErrorKind::NotFound), io::ErrorKind::NotFound),
            (Error::BlockMismatch { level: None, block: 1 }, io::ErrorKind::InvalidData),
            (Error::TreeTooLarge, io::ErrorKind::InvalidData),
            (Error::UnknownAlgorithm { name: name(b"md5") }, io::ErrorKind::Unsupported),
            (Error::Worker, io::ErrorKind::Other),
            (Error::Cancelled, io::ErrorKind::InvalidInput),
        ] {
            assert_eq!(io::Error::from(error).kind(), kind);
        }
        let data = Error::TooShort { storage: Storage::Data, needed: 8, found: 7 };
        assert_eq!(data.to_string(), "data ends at byte 7, needed up to 8");
    }
}
