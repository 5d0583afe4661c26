//! The verity superblock on disk, version 1: 512 bytes, little-endian (cryptsetup, `lib/verity/verity.c`).
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

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{AlgorithmName, Error, Storage};
use crate::hash::{Algorithm, HashType};
use crate::params::{MAX_SALT_SIZE, Params, Salt};
use ddi_io::ReadAt;

/// Size of a superblock in bytes.
pub const SUPERBLOCK_SIZE: usize = 512;
/// The first bytes of a superblock.
pub const SIGNATURE: [u8; 8] = *b"verity\0\0";

/// The fields in their order on disk.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    signature: [u8; 8],
    version: U32,
    hash_type: U32,
    uuid: [u8; 16],
    algorithm: [u8; 32],
    data_block_size: U32,
    hash_block_size: U32,
    data_blocks: U64,
    salt_size: U16,
    pad1: [u8; 6],
    salt: [u8; MAX_SALT_SIZE],
    pad2: [u8; 168],
}

const PAD1_OFFSET: u64 = 82;
const SALT_OFFSET: u64 = 88;
const PAD2_OFFSET: u64 = 344;
const ALGORITHM_OFFSET: u64 = 32;

/// A checked superblock.
///
/// The root hash does not cover it: every field is the word of whoever wrote the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// What describes the tree.
    pub params: Params,
    /// In the order of its text form. Nothing depends on it.
    pub uuid: [u8; 16],
}

/// What a superblock says, true or not, and which rules it breaks: to show to people.
#[derive(Debug)]
pub struct Examined {
    /// True if it begins with [`SIGNATURE`]. If it does not, no other field means anything.
    pub has_signature: bool,
    /// Must be 1.
    pub version: u32,
    /// 0 (Chrome OS) or 1 (normal).
    pub hash_type: u32,
    /// In the order of its text form.
    pub uuid: [u8; 16],
    /// As found.
    pub algorithm: AlgorithmName,
    /// In bytes.
    pub data_block_size: u32,
    /// In bytes.
    pub hash_block_size: u32,
    /// Number of data blocks.
    pub data_blocks: u64,
    /// In bytes.
    pub salt_size: u16,
    /// The first `salt_size` bytes of the salt's field, at most 256.
    pub salt: Vec<u8>,
    /// Each rule that is broken, in the order of the fields; empty if [`Superblock::parse`] takes it.
    pub faults: Vec<Error>,
}

impl Superblock {
    /// Checks and takes a superblock.
    ///
    /// Strict: the algorithm's exact, lower-case name, and zeros wherever nothing is meant to be.
    ///
    /// # Errors
    /// The first rule that is broken: [`Error::Signature`], [`Error::Version`], [`Error::HashType`],
    /// [`Error::UnknownAlgorithm`], [`Error::AlgorithmTail`], [`Error::DataBlockSize`], [`Error::HashBlockSize`],
    /// [`Error::DigestTooLarge`], [`Error::DataBlocks`], [`Error::SaltSize`], [`Error::Padding`].
    pub fn parse(bytes: &[u8; SUPERBLOCK_SIZE]) -> Result<Self, Error> {
        let raw: Raw = zerocopy::transmute!(*bytes);
        if raw.signature != SIGNATURE {
            return Err(Error::Signature { found: raw.signature });
        }
        if raw.version.get() != 1 {
            return Err(Error::Version { found: raw.version.get() });
        }
        let hash_type = hash_type(raw.hash_type.get())?;
        let algorithm = algorithm(&raw.algorithm)?;
        let salt_size = usize::from(raw.salt_size.get());
        let salt = raw.salt.get(..salt_size).ok_or(Error::SaltSize { found: salt_size });
        let params = Params::new(
            hash_type,
            algorithm,
            raw.data_block_size.get(),
            raw.hash_block_size.get(),
            raw.data_blocks.get(),
            Salt::new(salt?)?,
        )?;
        match non_zero(&raw) {
            Some((offset, found)) => Err(Error::Padding { offset, found }),
            None => Ok(Superblock { params, uuid: raw.uuid }),
        }
    }

    /// Reads and checks the superblock at `offset` of the hash source, and that the rest of the hash block which it
    /// begins is zero up to the tree.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); [`Error::HashOffset`] unless `offset` is a multiple of 512;
    /// [`Error::TooShort`] if the source ends before the tree could begin; [`Error::Io`].
    pub fn read(hash: &dyn ReadAt, offset: u64) -> Result<Self, Error> {
        if !offset.is_multiple_of(512) {
            return Err(Error::HashOffset { offset, multiple: 512 });
        }
        let too_short = |needed| Err(Error::TooShort { storage: Storage::Hash, needed, found: hash.size() });
        let mut bytes = [0; SUPERBLOCK_SIZE];
        let begin = offset.checked_add(512).ok_or(Error::TreeTooLarge)?;
        if begin > hash.size() {
            return too_short(begin);
        }
        read_hash(hash, offset, &mut bytes)?;
        let superblock = Self::parse(&bytes)?;
        // the tree begins with the next whole hash block
        let block_size = u64::from(superblock.params.hash_block_size());
        let end = begin.checked_next_multiple_of(block_size).ok_or(Error::TreeTooLarge)?;
        if superblock.params.data_blocks() == 1 && end > hash.size() {
            // without a tree nothing forces the source to go on
            return Ok(superblock);
        }
        // at most 512 KiB, of which the usual 4096 in one read
        let mut rest = [0; 8 * SUPERBLOCK_SIZE];
        let mut at = begin;
        while at < end {
            let there = end.min(hash.size()).saturating_sub(at);
            let len = usize::try_from(there).map_or(rest.len(), |len| len.min(rest.len()));
            if len == 0 {
                return too_short(end);
            }
            let rest = rest.get_mut(..len).unwrap_or_default();
            read_hash(hash, at, rest)?;
            if let Some((position, &found)) =
                (at.saturating_sub(offset)..).zip(&*rest).find(|(_, b)| **b != 0)
            {
                return Err(Error::Padding { offset: position, found });
            }
            at = at.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        }
        Ok(superblock)
    }

    /// As it is on disk.
    pub fn to_bytes(&self) -> [u8; SUPERBLOCK_SIZE] {
        let params = &self.params;
        let mut raw = Raw {
            signature: SIGNATURE,
            version: U32::new(1),
            hash_type: U32::new(match params.hash_type() {
                HashType::ChromeOs => 0,
                HashType::Normal => 1,
            }),
            uuid: self.uuid,
            algorithm: [0; 32],
            data_block_size: U32::new(params.data_block_size()),
            hash_block_size: U32::new(params.hash_block_size()),
            data_blocks: U64::new(params.data_blocks()),
            // at most 256
            salt_size: U16::new(u16::try_from(params.salt().as_bytes().len()).unwrap_or(u16::MAX)),
            pad1: [0; 6],
            salt: [0; MAX_SALT_SIZE],
            pad2: [0; 168],
        };
        for (to, from) in raw.algorithm.iter_mut().zip(params.algorithm().name().bytes()) {
            *to = from;
        }
        for (to, from) in raw.salt.iter_mut().zip(params.salt().as_bytes()) {
            *to = *from;
        }
        zerocopy::transmute!(raw)
    }

    /// Takes any bytes apart and says which rules they break.
    pub fn examine(bytes: &[u8; SUPERBLOCK_SIZE]) -> Examined {
        let raw: Raw = zerocopy::transmute!(*bytes);
        let salt_size = usize::from(raw.salt_size.get());
        Examined {
            has_signature: raw.signature == SIGNATURE,
            version: raw.version.get(),
            hash_type: raw.hash_type.get(),
            uuid: raw.uuid,
            algorithm: AlgorithmName(raw.algorithm),
            data_block_size: raw.data_block_size.get(),
            hash_block_size: raw.hash_block_size.get(),
            data_blocks: raw.data_blocks.get(),
            salt_size: raw.salt_size.get(),
            salt: raw.salt.get(..salt_size).unwrap_or(&raw.salt).to_vec(),
            faults: faults(&raw),
        }
    }
}

fn read_hash(hash: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
    hash.read_exact_at(offset, buf).map_err(|error| Error::Io { storage: Storage::Hash, offset, error })
}

fn hash_type(found: u32) -> Result<HashType, Error> {
    match found {
        0 => Ok(HashType::ChromeOs),
        1 => Ok(HashType::Normal),
        _ => Err(Error::HashType { found }),
    }
}

fn algorithm(field: &[u8; 32]) -> Result<Algorithm, Error> {
    let name = AlgorithmName(*field);
    let algorithm = core::str::from_utf8(name.as_bytes()).ok().and_then(Algorithm::from_name);
    let algorithm = algorithm.ok_or(Error::UnknownAlgorithm { name })?;
    let mut tail = (ALGORITHM_OFFSET..).zip(field).skip(name.as_bytes().len());
    match tail.find(|(_, byte)| **byte != 0) {
        Some((offset, _)) => Err(Error::AlgorithmTail { offset }),
        None => Ok(algorithm),
    }
}

/// The first byte in padding or behind the salt that is not zero, and where it is.
fn non_zero(raw: &Raw) -> Option<(u64, u8)> {
    let salt_size = usize::from(raw.salt_size.get());
    let pad1 = (PAD1_OFFSET..).zip(&raw.pad1);
    let salt = (SALT_OFFSET..).zip(&raw.salt).skip(salt_size);
    let pad2 = (PAD2_OFFSET..).zip(&raw.pad2);
    pad1.chain(salt).chain(pad2).find(|(_, byte)| **byte != 0).map(|(offset, byte)| (offset, *byte))
}

/// Every rule by itself; where one field is judged by another, a good value stands in for a broken one.
fn faults(raw: &Raw) -> Vec<Error> {
    let mut faults = Vec::new();
    if raw.signature != SIGNATURE {
        faults.push(Error::Signature { found: raw.signature });
    }
    if raw.version.get() != 1 {
        faults.push(Error::Version { found: raw.version.get() });
    }
    faults.extend(hash_type(raw.hash_type.get()).err());
    let algorithm =
        algorithm(&raw.algorithm).map_err(|fault| faults.push(fault)).unwrap_or(Algorithm::Sha256);
    let params = |data_block_size, hash_block_size, data_blocks| {
        let checked = Params::new(
            HashType::Normal,
            algorithm,
            data_block_size,
            hash_block_size,
            data_blocks,
            Salt::EMPTY,
        );
        checked.err()
    };
    let bad_data_size = params(raw.data_block_size.get(), 4096, 1);
    let data_block_size = if bad_data_size.is_some() { 512 } else { raw.data_block_size.get() };
    faults.extend(bad_data_size);
    faults.extend(params(512, raw.hash_block_size.get(), 1));
    faults.extend(params(data_block_size, 4096, raw.data_blocks.get()));
    let salt_size = usize::from(raw.salt_size.get());
    if salt_size > MAX_SALT_SIZE {
        faults.push(Error::SaltSize { found: salt_size });
    }
    faults.extend(non_zero(raw).map(|(offset, found)| Error::Padding { offset, found }));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Superblock {
        let salt = Salt::new(&[0xab; 32]).unwrap();
        let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 300, salt).unwrap();
        Superblock { params, uuid: *b"0123456789abcdef" }
    }

    fn broken(offset: usize, bytes: &[u8]) -> Error {
        let mut image = good().to_bytes();
        image[offset..offset + bytes.len()].copy_from_slice(bytes);
        let examined = Superblock::examine(&image);
        let error = Superblock::parse(&image).unwrap_err();
        assert_eq!(examined.faults.len(), 1, "{:?}", examined.faults);
        assert_eq!(examined.faults[0].to_string(), error.to_string());
        error
    }

    #[test]
    fn fields_are_where_the_format_says() {
        let bytes = good().to_bytes();
        assert_eq!(bytes[..16], *b"verity\0\0\x01\0\0\0\x01\0\0\0");
        assert_eq!(bytes[16..32], *b"0123456789abcdef");
        assert_eq!(bytes[32..64], *b"sha256\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(bytes[64..82], [0, 16, 0, 0, 0, 16, 0, 0, 44, 1, 0, 0, 0, 0, 0, 0, 32, 0]);
        assert_eq!(bytes[82..88], [0; 6]);
        assert_eq!(bytes[88..120], [0xab; 32]);
        assert_eq!(bytes[120..], [0; 392]);
    }

    #[test]
    fn what_is_written_is_read() {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            for hash_type in [HashType::ChromeOs, HashType::Normal] {
                for salt in [&[][..], &[1], &[2; 255], &[3; 256]] {
                    let salt = Salt::new(salt).unwrap();
                    let params = Params::new(hash_type, algorithm, 512, 1024, 1, salt).unwrap();
                    let superblock = Superblock { params, uuid: [9; 16] };
                    assert_eq!(Superblock::parse(&superblock.to_bytes()).unwrap(), superblock);
                    assert!(Superblock::examine(&superblock.to_bytes()).faults.is_empty());
                }
            }
        }
    }

    #[test]
    fn each_field_is_checked() {
        assert!(matches!(broken(0, b"Verity"), Error::Signature { .. }));
        assert!(matches!(broken(8, &[2]), Error::Version { found: 2 }));
        assert!(matches!(broken(12, &[2]), Error::HashType { found: 2 }));
        assert!(matches!(broken(64, &[1]), Error::DataBlockSize { found: 4097 }));
        assert!(matches!(broken(68, &[0, 1]), Error::HashBlockSize { found: 256 }));
        assert!(matches!(broken(72, &[0; 8]), Error::DataBlocks { found: 0 }));
        assert!(matches!(broken(72, &[0xff; 8]), Error::DataBlocks { found: u64::MAX }));
        assert!(matches!(broken(80, &[1, 1]), Error::SaltSize { found: 257 }));
        assert!(matches!(broken(82, &[1]), Error::Padding { offset: 82, found: 1 }));
        assert!(matches!(broken(87, &[1]), Error::Padding { offset: 87, found: 1 }));
        assert!(matches!(broken(120, &[7]), Error::Padding { offset: 120, found: 7 }));
        assert!(matches!(broken(343, &[7]), Error::Padding { offset: 343, found: 7 }));
        assert!(matches!(broken(511, &[7]), Error::Padding { offset: 511, found: 7 }));
    }

    #[test]
    fn algorithm_names_are_exact() {
        for name in ["SHA256", "Sha256", "md5", "sha3-256", "blake2b-256", "sha25", "sha256 ", "\x1b[2J"] {
            let mut field = [0; 32];
            field[..name.len()].copy_from_slice(name.as_bytes());
            assert!(matches!(broken(32, &field), Error::UnknownAlgorithm { .. }), "{name}");
        }
        assert!(matches!(broken(32, b"\0"), Error::UnknownAlgorithm { .. }));
        assert!(matches!(broken(32, b"sha256\0\x1b"), Error::AlgorithmTail { offset: 39 }));
        assert!(matches!(broken(63, b"x"), Error::AlgorithmTail { offset: 63 }));
        let shown = broken(32, b"\x1b[2J\xff").to_string();
        assert_eq!(shown, "superblock: unknown hash algorithm \"\\x1b[2J\\xff6\"");
    }

    #[test]
    fn digest_must_fit_twice() {
        // 512-byte blocks hold any of our digests twice, so the rule can only be met by its neighbours
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            assert!(2 * algorithm.digest_size() <= 512);
        }
    }

    #[test]
    fn only_the_uuid_may_flip() {
        let image = good().to_bytes();
        let mut accepted = Vec::new();
        for bit in 0..512 * 8 {
            let mut flipped = image;
            flipped[bit / 8] ^= 1 << (bit % 8);
            match Superblock::parse(&flipped) {
                Ok(other) if other.params == good().params => accepted.push(bit),
                _ => {}
            }
        }
        assert_eq!(accepted, (16 * 8..32 * 8).collect::<Vec<_>>());
    }

    #[test]
    fn rest_of_the_block_is_zero() {
        let mut image = vec![0; 3 * 4096];
        image[1024..1536].copy_from_slice(&good().to_bytes());
        assert_eq!(Superblock::read(&image, 1024).unwrap(), good());
        assert!(matches!(Superblock::read(&image, 1000), Err(Error::HashOffset { multiple: 512, .. })));
        for (position, offset) in [(1536, 512), (4095, 3071)] {
            image[position] = 1;
            let error = Superblock::read(&image, 1024).unwrap_err();
            assert!(matches!(error, Error::Padding { offset: o, found: 1 } if o == offset), "{error}");
            image[position] = 0;
        }
        // the tree is not the superblock's business
        image[4096] = 1;
        assert_eq!(Superblock::read(&image, 1024).unwrap(), good());
        image.truncate(2000);
        let short = Superblock::read(&image, 1024).unwrap_err();
        let (storage, found) = (Storage::Hash, 2000);
        assert!(
            matches!(short, Error::TooShort { storage: s, needed: 4096, found: f } if (s, f) == (storage, found)),
            "{short}"
        );
        image.truncate(1535);
        let short = Superblock::read(&image, 1024).unwrap_err();
        assert!(matches!(short, Error::TooShort { needed: 1536, found: 1535, .. }), "{short}");
    }

    /// How far the source must go on behind a superblock, and what must be zero there.
    #[test]
    fn rest_of_the_hash_block() {
        let params = |data_blocks| {
            Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, data_blocks, Salt::EMPTY).unwrap()
        };
        let read = |data_blocks, size: usize, non_zero: Option<usize>| {
            let superblock = Superblock { params: params(data_blocks), uuid: [0; 16] };
            let mut source = superblock.to_bytes().to_vec();
            source.resize(size, 0);
            if let Some(at) = non_zero {
                source[at] = 7;
            }
            Superblock::read(&source.as_slice(), 0)
        };
        for data_blocks in [1, 300] {
            assert!(read(data_blocks, 4096, None).is_ok());
            for at in [512, 1023, 4095] {
                let error = read(data_blocks, 4096, Some(at)).unwrap_err();
                let at = at as u64;
                assert!(matches!(error, Error::Padding { offset, found: 7 } if offset == at), "{error}");
            }
            assert!(read(data_blocks, 5000, Some(4096)).is_ok(), "the tree is no padding");
        }
        // a single block has no tree, so that nothing need follow
        assert!(read(1, 512, None).is_ok() && read(1, 4095, Some(4000)).is_ok());
        for (data_blocks, size, expected) in [(300, 512, 4096), (300, 4095, 4096), (1, 511, 512)] {
            let error = read(data_blocks, size, None).unwrap_err();
            assert!(matches!(error, Error::TooShort { needed, .. } if needed == expected), "{error}");
        }
    }

    #[test]
    fn the_signature_is_seen() {
        let mut bytes = good().to_bytes();
        assert!(Superblock::examine(&bytes).has_signature);
        bytes[7] ^= 1;
        assert!(!Superblock::examine(&bytes).has_signature);
    }
}
