//! The attribute that binds a hash tree: what `docs/formats.md` calls BoundTree.
//!
//! ```text
//! BoundTree  SEQUENCE
//!  ├ version        INTEGER, 1
//!  ├ hashType       INTEGER, 0 or 1
//!  ├ algorithm      UTF8String, as in the superblock
//!  ├ dataBlockSize  INTEGER, in bytes
//!  ├ hashBlockSize  INTEGER, in bytes
//!  ├ dataSize       INTEGER, in bytes
//!  └ salt           OCTET STRING
//! ```

use ddi_verity::{Algorithm, HashType, Params, Salt};
use der::Tag;

use super::SignatureError;
use super::der::{Value, Values, check_integer, not_one};

/// Reads the value of the attribute. There is one encoding of each tree: DER is checked, and no number may be negative.
pub(super) fn parse(value: Value<'_>) -> Result<Params, SignatureError> {
    let impossible = || SignatureError::BoundTree { offset: value.offset };
    let value = value.must_be(Tag::Sequence, "boundTree", "BoundTree")?;
    let mut fields = value.open("BoundTree");
    if let Some(found) = not_one(fields.expect(Tag::Integer, "version")?)? {
        return Err(SignatureError::BoundTreeVersion { found });
    }
    let hash_type = match number(&mut fields, "hashType")? {
        0 => HashType::ChromeOs,
        1 => HashType::Normal,
        _ => return Err(impossible()),
    };
    let algorithm = fields.expect(Tag::Utf8String, "algorithm")?;
    let algorithm = std::str::from_utf8(algorithm.content).ok().and_then(Algorithm::from_name);
    let algorithm = algorithm.ok_or_else(impossible)?;
    let data_block_size = u32::try_from(number(&mut fields, "dataBlockSize")?).map_err(|_| impossible())?;
    let hash_block_size = u32::try_from(number(&mut fields, "hashBlockSize")?).map_err(|_| impossible())?;
    let data_size = number(&mut fields, "dataSize")?;
    let salt = fields.expect(Tag::OctetString, "salt")?;
    fields.end()?;
    let salt = Salt::new(salt.content).map_err(|_| impossible())?;
    let data_blocks = data_size.checked_div(u64::from(data_block_size)).ok_or_else(impossible)?;
    let params = Params::new(hash_type, algorithm, data_block_size, hash_block_size, data_blocks, salt);
    params.ok().filter(|params| params.data_size() == data_size).ok_or_else(impossible)
}

/// An INTEGER that is not negative and has at most 64 bits.
fn number(fields: &mut Values<'_>, field: &'static str) -> Result<u64, SignatureError> {
    let value = fields.expect(Tag::Integer, field)?;
    check_integer(value)?;
    unsigned(value.content).ok_or(SignatureError::BoundTree { offset: value.offset })
}

/// The value of an INTEGER in its shortest form, if it is not negative and has at most 64 bits.
fn unsigned(content: &[u8]) -> Option<u64> {
    let digits = match content {
        [0x80..=0xff, ..] => return None,
        [0, rest @ ..] => rest,
        all => all,
    };
    let mut bytes = [0; 8];
    let start = bytes.len().checked_sub(digits.len())?;
    bytes.get_mut(start..)?.copy_from_slice(digits);
    Some(u64::from_be_bytes(bytes))
}
