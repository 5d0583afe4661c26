//! The hash of a block, and of many blocks at once.
//!
//! Within one level of a tree, dm-verity hashes many messages of one length: [`BlockHasher::hash_blocks`] takes
//! them all and hands them to a kernel that works on several at a time, one to a lane.
//!
//! ```text
//! hash type 1:  H( salt ‖ block )        hash type 0:  H( block ‖ salt )
//! ```

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod backend;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod constants;
#[cfg(test)]
mod differential;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lanes;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use core::fmt;
use core::str::FromStr;

pub use backend::Backend;
#[cfg(feature = "fec")]
pub(crate) use backend::{fec_accumulate, fec_columns};

/// The longest salt that a verity superblock can hold, in bytes.
pub(crate) const MAX_SALT: usize = 256;

/// The longest digest of any [`Algorithm`], in bytes.
const MAX_DIGEST: usize = 64;

/// A hash algorithm of dm-verity, by the names that the superblock uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// SHA-1: legacy, broken; to be read, not to be written.
    Sha1,
    /// SHA-256, the default of every tool.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name in the superblock: `sha256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm of that exact, lower-case name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Length of a digest in bytes.
    pub fn digest_size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where the salt goes; the superblock's `hash_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashType {
    /// 0, the layout of the first Chrome OS: the salt follows the block.
    ChromeOs = 0,
    /// 1, what everybody uses: the salt goes before the block.
    Normal = 1,
}

/// A digest: 20 to 64 bytes, no allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    /// Zero past `len`, so that the derived comparisons are right.
    bytes: [u8; MAX_DIGEST],
    len: u8,
}

impl Digest {
    /// The digest with these bytes; `None` if there are more than 64.
    pub fn from_bytes(source: &[u8]) -> Option<Self> {
        let len = u8::try_from(source.len()).ok()?;
        let mut bytes = [0; MAX_DIGEST];
        bytes.get_mut(..source.len())?.copy_from_slice(source);
        Some(Self { bytes, len })
    }

    /// The bytes, in printing order.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The digest at the root of a tree: the one number that stands for all of its data.
///
/// It says nothing about who vouches for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootHash(Digest);

impl RootHash {
    /// The shortest root hash that is read, in bytes. Its two halves must fit the GUIDs of two partitions.
    pub const MIN_SIZE: usize = 16;

    /// The longest, in bytes.
    pub const MAX_SIZE: usize = MAX_DIGEST;

    /// The root hash with these bytes.
    ///
    /// # Errors
    /// [`ParseRootHashError::Length`] unless there are 16 to 64.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseRootHashError> {
        let length = ParseRootHashError::Length { digits: bytes.len().saturating_mul(2) };
        if bytes.len() < Self::MIN_SIZE {
            return Err(length);
        }
        Digest::from_bytes(bytes).map(Self).ok_or(length)
    }

    /// The bytes, in printing order.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The digest.
    pub fn digest(&self) -> Digest {
        self.0
    }
}

impl From<Digest> for RootHash {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl AsRef<[u8]> for RootHash {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl FromStr for RootHash {
    type Err = ParseRootHashError;

    /// Hexadecimal digits in either case, and nothing around them.
    fn from_str(text: &str) -> Result<Self, ParseRootHashError> {
        if let Some((index, found)) = text.char_indices().find(|(_, c)| !c.is_ascii_hexdigit()) {
            return Err(ParseRootHashError::Digit { index, found });
        }
        let length = ParseRootHashError::Length { digits: text.len() };
        let (pairs, odd) = text.as_bytes().as_chunks::<2>();
        let mut bytes = [0; MAX_DIGEST];
        let bytes = bytes.get_mut(..pairs.len()).ok_or(length)?;
        if !odd.is_empty() {
            return Err(length);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = hex_digit(*high) << 4 | hex_digit(*low);
        }
        Self::from_bytes(bytes)
    }
}

/// The value of a hexadecimal digit, checked to be one.
fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

/// Why a text or some bytes are no root hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseRootHashError {
    /// Not an even number of digits between 32 and 128.
    Length {
        /// How many there are.
        digits: usize,
    },
    /// Something else than a hexadecimal digit.
    Digit {
        /// Its byte offset in the text.
        index: usize,
        /// What it is.
        found: char,
    },
}

impl ParseRootHashError {
    /// A stable name in kebab-case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Length { .. } => "root-hash-length",
            Self::Digit { .. } => "root-hash-digit",
        }
    }
}

impl fmt::Display for ParseRootHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { digits } => {
                write!(f, "root hash: {digits} hexadecimal digits, expected an even number from 32 to 128")
            }
            Self::Digit { index, found } => {
                write!(f, "root hash: {found:?} at {index}, expected a hexadecimal digit")
            }
        }
    }
}

impl core::error::Error for ParseRootHashError {}

/// Hashes blocks: algorithm, salt, its place, and the kernel to do it with.
///
/// Cheap to clone (under 1 KiB, no heap) and free to be shared between threads.
///
/// ```
/// use ddi_verity::{Algorithm, BlockHasher, HashType};
///
/// let hasher = BlockHasher::new(Algorithm::Sha256, HashType::Normal, b"salt");
/// let blocks = vec![0; 10 * 4096];
/// let mut digests = [0; 10 * 32];
/// hasher.hash_blocks(&blocks, 4096, &mut digests, 32);
/// assert_eq!(digests[..32], *hasher.hash_block(&blocks[..4096]).as_bytes());
/// ```
#[derive(Clone)]
pub struct BlockHasher {
    plan: Plan,
    backend: Backend,
}

/// What the kernels need to know of a message, apart from the blocks.
#[derive(Clone)]
struct Plan {
    algorithm: Algorithm,
    hash_type: HashType,
    salt: [u8; MAX_SALT],
    salt_len: usize,
    /// The reference hasher, with the salt in it if that goes first.
    portable: portable::Hasher,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    midstate: lanes::Midstate,
}

impl Plan {
    fn salt(&self) -> &[u8] {
        &self.salt[..self.salt_len]
    }
}

impl BlockHasher {
    /// A hasher with the fastest backend of this machine.
    ///
    /// # Panics
    /// If `salt` is longer than 256 bytes, which no superblock can hold.
    pub fn new(algorithm: Algorithm, hash_type: HashType, salt: &[u8]) -> Self {
        Self::with_backend(algorithm, hash_type, salt, Backend::detect(algorithm))
    }

    /// A hasher with this backend; if that cannot do `algorithm`, with the portable one.
    ///
    /// # Panics
    /// If `salt` is longer than 256 bytes, which no superblock can hold.
    pub fn with_backend(algorithm: Algorithm, hash_type: HashType, salt: &[u8], backend: Backend) -> Self {
        assert!(salt.len() <= MAX_SALT, "a verity salt has at most {MAX_SALT} bytes, not {}", salt.len());
        let mut padded = [0; MAX_SALT];
        padded[..salt.len()].copy_from_slice(salt);
        let prefix = if hash_type == HashType::Normal { salt } else { &[] };
        let plan = Plan {
            algorithm,
            hash_type,
            salt: padded,
            salt_len: salt.len(),
            portable: portable::Hasher::new(algorithm, prefix),
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            midstate: lanes::Midstate::new(algorithm, prefix),
        };
        Self { plan, backend: backend.or_portable(algorithm) }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.plan.algorithm
    }

    /// Where the salt goes.
    pub fn hash_type(&self) -> HashType {
        self.plan.hash_type
    }

    /// The salt, 0 to 256 bytes.
    pub fn salt(&self) -> &[u8] {
        self.plan.salt()
    }

    /// The kernel that is used.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Length of a digest in bytes.
    pub fn digest_size(&self) -> usize {
        self.plan.algorithm.digest_size()
    }

    /// Hashes `blocks.len() / block_size` blocks, each on its own.
    ///
    /// The digest of block `i` goes to `out[i * stride..][..digest_size]`; the rest of `out` is not touched.
    /// Allocates nothing.
    ///
    /// # Panics
    /// If `block_size` is zero or does not divide `blocks.len()`, `stride` is less than a digest, or `out` ends
    /// before the last digest does.
    pub fn hash_blocks(&self, blocks: &[u8], block_size: usize, out: &mut [u8], stride: usize) {
        assert!(
            block_size > 0 && blocks.len().is_multiple_of(block_size),
            "{} bytes are no whole number of blocks of {block_size}",
            blocks.len()
        );
        let digest_size = self.digest_size();
        assert!(stride >= digest_size, "digests of {digest_size} bytes {stride} bytes apart overlap");
        let Some(others) = (blocks.len() / block_size).checked_sub(1) else { return };
        let needed = others.checked_mul(stride).and_then(|start| start.checked_add(digest_size));
        assert!(
            needed.is_some_and(|needed| out.len() >= needed),
            "{} bytes are too few for {} digests {stride} bytes apart",
            out.len(),
            others + 1
        );
        self.backend.hash_blocks(&self.plan, blocks, block_size, out, stride);
    }

    /// Hashes one block, of any length.
    pub fn hash_block(&self, block: &[u8]) -> Digest {
        let mut digest = Digest { bytes: [0; MAX_DIGEST], len: self.digest_size() as u8 };
        portable::hash_block(&self.plan, block, &mut digest.bytes[..self.plan.algorithm.digest_size()]);
        digest
    }
}

impl fmt::Debug for BlockHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockHasher")
            .field("algorithm", &self.algorithm())
            .field("hash_type", &self.hash_type())
            .field("salt", &Digest::from_bytes(self.salt()))
            .field("backend", &self.backend)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send_sync<T: Send + Sync + Clone>() {}

    #[test]
    fn shareable() {
        send_sync::<BlockHasher>();
        assert!(size_of::<BlockHasher>() <= 1024, "{}", size_of::<BlockHasher>());
    }

    #[test]
    fn names_and_sizes() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(
                BlockHasher::new(algorithm, HashType::Normal, b"").digest_size(),
                algorithm.digest_size()
            );
        }
        for name in ["SHA256", "sha256 ", "sha-256", "", "md5", "sha2"] {
            assert_eq!(Algorithm::from_name(name), None, "{name:?}");
        }
    }

    /// FIPS 180-4's example message, split between salt and block both ways.
    #[test]
    fn known_digests() {
        let known = [
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                Algorithm::Sha384,
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                Algorithm::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ];
        for (algorithm, expected) in known {
            for (hash_type, salt, block) in [
                (HashType::Normal, "a", "bc"),
                (HashType::ChromeOs, "c", "ab"),
                (HashType::Normal, "", "abc"),
                (HashType::ChromeOs, "abc", ""),
            ] {
                let hasher = BlockHasher::new(algorithm, hash_type, salt.as_bytes());
                assert_eq!(hasher.hash_block(block.as_bytes()).to_string(), expected);
            }
        }
    }

    #[test]
    fn digests_at_a_stride_leave_the_gaps_alone() {
        for algorithm in Algorithm::ALL {
            let hasher = BlockHasher::new(algorithm, HashType::Normal, b"salt");
            let blocks: Vec<u8> = (0..5 * 512u32).map(|i| (i / 7) as u8).collect();
            let (size, stride) = (algorithm.digest_size(), 67);
            let mut out = vec![0xee; 4 * stride + size];
            hasher.hash_blocks(&blocks, 512, &mut out, stride);
            for (i, slot) in out.chunks(stride).enumerate() {
                assert_eq!(slot[..size], *hasher.hash_block(&blocks[i * 512..][..512]).as_bytes());
                assert!(slot[size..].iter().all(|&byte| byte == 0xee), "{algorithm} {i}");
            }
        }
    }

    #[test]
    fn no_blocks_need_no_room() {
        BlockHasher::new(Algorithm::Sha256, HashType::Normal, b"").hash_blocks(&[], 4096, &mut [], 32);
    }

    #[test]
    #[should_panic(expected = "too few for 2 digests")]
    fn room_is_checked() {
        BlockHasher::new(Algorithm::Sha256, HashType::Normal, b"").hash_blocks(
            &[0; 1024],
            512,
            &mut [0; 63],
            32,
        );
    }

    #[test]
    #[should_panic(expected = "no whole number")]
    fn whole_blocks_only() {
        BlockHasher::new(Algorithm::Sha256, HashType::Normal, b"").hash_blocks(
            &[0; 1000],
            512,
            &mut [0; 64],
            32,
        );
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn stride_is_checked() {
        BlockHasher::new(Algorithm::Sha256, HashType::Normal, b"").hash_blocks(
            &[0; 1024],
            512,
            &mut [0; 64],
            31,
        );
    }

    #[test]
    fn root_hash_text() {
        let lower = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let root: RootHash = lower.parse().unwrap();
        assert_eq!(root.to_string(), lower);
        assert_eq!(lower.to_uppercase().parse(), Ok(root));
        assert_eq!(RootHash::from_bytes(root.as_bytes()), Ok(root));
        assert_eq!(root.as_bytes()[..2], [0xe3, 0xb0]);
        assert_eq!("0f".repeat(64).parse::<RootHash>().unwrap().as_bytes(), [15; 64]);
        for digits in [0, 2, 30, 31, 33, 127, 129, 130, 1000] {
            assert_eq!("a".repeat(digits).parse::<RootHash>(), Err(ParseRootHashError::Length { digits }));
        }
        for (bad, index, found) in
            [(" ", 0, ' '), ("0x", 1, 'x'), ("00g", 2, 'g'), ("0é", 1, 'é'), ("1\n", 1, '\n')]
        {
            assert_eq!(bad.parse::<RootHash>(), Err(ParseRootHashError::Digit { index, found }));
        }
        assert_eq!(RootHash::from_bytes(&[0; 15]), Err(ParseRootHashError::Length { digits: 30 }));
        assert_eq!(RootHash::from_bytes(&[0; 65]), Err(ParseRootHashError::Length { digits: 130 }));
        assert_eq!(Digest::from_bytes(&[0; 300]), None);
    }

    #[test]
    fn digests_and_root_hashes_as_bytes_and_text() {
        let root = RootHash::from_bytes(&[0xab; 16]).unwrap();
        assert_eq!(root.as_ref(), [0xab; 16]);
        assert_eq!(root.digest().as_ref(), [0xab; 16]);
        let digits = "ab".repeat(16);
        assert_eq!(digits.parse(), Ok(root));
        assert_eq!(format!("{root} {root:?}"), format!("{digits} RootHash({digits})"));
        assert_eq!(format!("{:?} {}", root.digest(), Algorithm::Sha384), format!("Digest({digits}) sha384"));
        let short = RootHash::from_bytes(&[0; 15]).unwrap_err();
        assert_eq!((short, short.code()), (ParseRootHashError::Length { digits: 30 }, "root-hash-length"));
        assert_eq!(
            short.to_string(),
            "root hash: 30 hexadecimal digits, expected an even number from 32 to 128"
        );
        let digit = "0g".parse::<RootHash>().unwrap_err();
        assert_eq!(
            (digit, digit.code()),
            (ParseRootHashError::Digit { index: 1, found: 'g' }, "root-hash-digit")
        );
    }

    #[test]
    fn a_hasher_tells_what_it_was_made_of() {
        let hasher = BlockHasher::new(Algorithm::Sha1, HashType::ChromeOs, &[1, 2]);
        assert_eq!(
            (hasher.algorithm(), hasher.hash_type(), hasher.salt()),
            (Algorithm::Sha1, HashType::ChromeOs, &[1, 2][..])
        );
        assert!(
            format!("{hasher:?}").contains("algorithm: Sha1, hash_type: ChromeOs, salt: Some(Digest(0102))")
        );
    }
}
