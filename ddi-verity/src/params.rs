//! What must be known to build or check a tree: [`Params`].
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

use core::fmt;
use core::str::FromStr;

use crate::error::Error;
use crate::hash::{Algorithm, BlockHasher, HashType};

/// Smallest block size in bytes.
pub const MIN_BLOCK_SIZE: u32 = 512;
/// Largest block size in bytes.
pub const MAX_BLOCK_SIZE: u32 = 524_288;
/// Largest salt in bytes.
pub const MAX_SALT_SIZE: usize = 256;
/// No file offset is larger (they are signed).
pub(crate) const MAX_OFFSET: u64 = i64::MAX.unsigned_abs();

/// What goes into each hash beside the block: 0 to 256 bytes.
#[derive(Clone, Copy)]
pub struct Salt {
    bytes: [u8; MAX_SALT_SIZE],
    len: usize,
}

impl Salt {
    /// No salt.
    pub const EMPTY: Salt = Salt { bytes: [0; MAX_SALT_SIZE], len: 0 };

    /// Takes a copy.
    ///
    /// # Errors
    /// [`Error::SaltSize`] for more than 256 bytes.
    pub fn new(salt: &[u8]) -> Result<Self, Error> {
        let mut bytes = [0; MAX_SALT_SIZE];
        bytes.get_mut(..salt.len()).ok_or(Error::SaltSize { found: salt.len() })?.copy_from_slice(salt);
        Ok(Salt { bytes, len: salt.len() })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl PartialEq for Salt {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for Salt {}

impl Default for Salt {
    fn default() -> Self {
        Salt::EMPTY
    }
}

/// Lower-case hex; `-` if empty, as `veritysetup` has it.
impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len == 0 {
            return f.write_str("-");
        }
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({self})")
    }
}

/// The text is no salt: neither `-` nor pairs of hex digits, or of more than 256 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseSaltError;

impl fmt::Display for ParseSaltError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a salt is - or an even number of hex digits, at most 512")
    }
}
impl core::error::Error for ParseSaltError {}

/// From hex in either case, or `-` for none.
impl FromStr for Salt {
    type Err = ParseSaltError;

    fn from_str(text: &str) -> Result<Self, ParseSaltError> {
        if text == "-" {
            return Ok(Salt::EMPTY);
        }
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(ParseSaltError) };
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut salt = Salt { bytes: [0; MAX_SALT_SIZE], len: pairs.len() };
        for (i, &[high, low]) in pairs.iter().enumerate() {
            let (high, low) = digit(high).zip(digit(low)).ok_or(ParseSaltError)?;
            *salt.bytes.get_mut(i).ok_or(ParseSaltError)? = (high << 4) | low;
        }
        Ok(salt)
    }
}

/// The parameters of a hash tree: everything but the root hash and the place on disk.
///
/// Checked once, when made: both block sizes are powers of two from 512 to 524288, a hash block holds at least two
/// digests, there is at least one data block, and the data ends before 2⁶³ bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    hash_type: HashType,
    algorithm: Algorithm,
    data_block_size: u32,
    hash_block_size: u32,
    data_blocks: u64,
    salt: Salt,
}

impl Params {
    /// Sizes in bytes.
    ///
    /// # Errors
    /// [`Error::DataBlockSize`], [`Error::HashBlockSize`], [`Error::DigestTooLarge`], [`Error::DataBlocks`].
    pub fn new(
        hash_type: HashType,
        algorithm: Algorithm,
        data_block_size: u32,
        hash_block_size: u32,
        data_blocks: u64,
        salt: Salt,
    ) -> Result<Self, Error> {
        let is_size = |size: u32| size.is_power_of_two() && (MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&size);
        if !is_size(data_block_size) {
            return Err(Error::DataBlockSize { found: data_block_size });
        }
        if !is_size(hash_block_size) {
            return Err(Error::HashBlockSize { found: hash_block_size });
        }
        let digest_size = algorithm.digest_size();
        // two digests a block, or the levels would never get fewer
        let two = u32::try_from(digest_size).ok().and_then(|size| size.checked_mul(2));
        if two.is_none_or(|two| two > hash_block_size) {
            return Err(Error::DigestTooLarge { digest_size, hash_block_size });
        }
        match data_blocks.checked_mul(u64::from(data_block_size)) {
            Some(1..=MAX_OFFSET) => {}
            _ => return Err(Error::DataBlocks { found: data_blocks }),
        }
        Ok(Params { hash_type, algorithm, data_block_size, hash_block_size, data_blocks, salt })
    }

    /// Which side of the block the salt goes to, and how digests are spaced.
    pub fn hash_type(&self) -> HashType {
        self.hash_type
    }
    /// The hash algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    /// Size of a data block in bytes.
    pub fn data_block_size(&self) -> u32 {
        self.data_block_size
    }
    /// Size of a hash block in bytes.
    pub fn hash_block_size(&self) -> u32 {
        self.hash_block_size
    }
    /// Number of data blocks, at least 1.
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }
    /// The salt.
    pub fn salt(&self) -> &Salt {
        &self.salt
    }
    /// Size of the protected data in bytes.
    pub fn data_size(&self) -> u64 {
        // does not overflow, see `new`
        self.data_blocks.saturating_mul(u64::from(self.data_block_size))
    }
    /// Size of a digest, and of the root hash, in bytes.
    pub fn digest_size(&self) -> usize {
        self.algorithm.digest_size()
    }
    /// What hashes a block under these parameters, with the best backend that the machine has.
    pub fn hasher(&self) -> BlockHasher {
        BlockHasher::new(self.algorithm, self.hash_type, self.salt.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(data_block_size: u32, hash_block_size: u32, data_blocks: u64) -> Result<Params, Error> {
        Params::new(
            HashType::Normal,
            Algorithm::Sha256,
            data_block_size,
            hash_block_size,
            data_blocks,
            Salt::EMPTY,
        )
    }

    #[test]
    fn block_sizes_are_powers_of_two_in_range() {
        for size in [0, 1, 256, 511, 513, 4095, 4097, 524_287, 1 << 20, u32::MAX] {
            assert!(matches!(params(size, 4096, 1), Err(Error::DataBlockSize { found }) if found == size));
            assert!(matches!(params(4096, size, 1), Err(Error::HashBlockSize { found }) if found == size));
        }
        for size in (9..=19).map(|bits| 1 << bits) {
            assert!(params(size, size, 1).is_ok());
        }
    }

    #[test]
    fn data_ends_before_the_last_offset() {
        for blocks in [0, 1 << 51, 1 << 52, 1 << 63, u64::MAX] {
            assert!(
                matches!(params(4096, 4096, blocks), Err(Error::DataBlocks { found }) if found == blocks)
            );
        }
        assert_eq!(params(4096, 4096, (1 << 51) - 1).unwrap().data_size(), (1 << 63) - 4096);
    }

    #[test]
    fn salt_is_at_most_256_bytes() {
        assert_eq!(Salt::new(&[7; 256]).unwrap().as_bytes(), [7; 256]);
        assert!(matches!(Salt::new(&[0; 257]), Err(Error::SaltSize { found: 257 })));
        assert_eq!(Salt::new(&[]).unwrap(), Salt::EMPTY);
    }

    #[test]
    fn salt_text() {
        for text in ["-", "00", "dadada", &"0f".repeat(256)] {
            assert_eq!(text.parse::<Salt>().unwrap().to_string(), text);
        }
        assert_eq!("DaDADa".parse::<Salt>().unwrap().to_string(), "dadada");
        assert_eq!("".parse::<Salt>().unwrap(), Salt::EMPTY);
        for text in ["0", "0g", "--", "+1", "\u{e9}", "0x00", &"00".repeat(257)] {
            assert_eq!(text.parse::<Salt>(), Err(ParseSaltError), "{text}");
        }
    }

    #[test]
    fn salts_are_equal_by_their_bytes() {
        let salt = |text: &str| text.parse::<Salt>().unwrap();
        assert_eq!(salt("00ff"), Salt::new(&[0, 255]).unwrap());
        assert_ne!(salt("00ff"), salt("00"));
        assert_ne!(salt("00"), Salt::EMPTY);
        assert_eq!(format!("{:?} {:?}", salt("00ff"), Salt::EMPTY), "Salt(00ff) Salt(-)");
        assert_eq!(ParseSaltError.to_string(), "a salt is - or an even number of hex digits, at most 512");
    }

    #[test]
    fn what_was_given_is_told() {
        let salt = Salt::new(&[7]).unwrap();
        let params = Params::new(HashType::ChromeOs, Algorithm::Sha512, 512, 1024, 9, salt).unwrap();
        assert_eq!((params.hash_type(), params.algorithm()), (HashType::ChromeOs, Algorithm::Sha512));
        assert_eq!((params.data_block_size(), params.hash_block_size()), (512, 1024));
        assert_eq!((params.data_blocks(), params.data_size()), (9, 4608));
        assert_eq!((params.salt(), params.digest_size()), (&salt, 64));
    }
}
