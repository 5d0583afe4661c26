//! What can be wrong with a root-hash signature: one variant for each rule.

use std::fmt;

/// Why a root-hash signature was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureError {
    /// The partition or file is larger than any signature may be.
    TooLarge {
        /// Size in bytes.
        size: usize,
        /// Largest size in bytes.
        max: usize,
    },
    /// The partition has no byte other than NUL, or none at all.
    EmptyPartition,
    /// A byte other than NUL after the first NUL.
    DataAfterNul {
        /// Offset in bytes of the first such byte.
        offset: usize,
    },
    /// The text is not UTF-8.
    NotUtf8 {
        /// Offset in bytes of the first byte that is not.
        offset: usize,
    },
    /// The text is not JSON.
    Json {
        /// Offset in bytes where it ceases to be.
        offset: usize,
    },
    /// Something follows the JSON object.
    DataAfterJson {
        /// Offset in bytes.
        offset: usize,
    },
    /// The JSON value is not an object.
    NotAnObject,
    /// A JSON object has a key twice.
    DuplicateKey,
    /// JSON objects and arrays are nested too deep.
    TooDeep {
        /// Most levels.
        max: u32,
    },
    /// The JSON has too many keys.
    TooManyKeys {
        /// Most keys.
        max: u32,
    },
    /// A mandatory key is missing.
    MissingKey {
        /// Its name.
        key: &'static str,
    },
    /// The value of a key is not a string.
    WrongType {
        /// Its name.
        key: &'static str,
    },
    /// The root hash has a character that is not a lower-case hex digit.
    RootHashDigit {
        /// Index in bytes in the text of the root hash.
        at: usize,
    },
    /// The root hash does not have 64, 96 or 128 digits.
    RootHashLength {
        /// Its length in digits.
        digits: usize,
    },
    /// The certificate fingerprint is not 64 lower-case hex digits.
    FingerprintForm,
    /// The signature is not base64, padded and without white space.
    Base64,
    /// The signature has no bytes.
    EmptySignature,
}

impl SignatureError {
    /// A short name that stays the same from release to release.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "signature-too-large",
            Self::EmptyPartition => "signature-partition-empty",
            Self::DataAfterNul { .. } => "signature-data-after-nul",
            Self::NotUtf8 { .. } => "signature-not-utf8",
            Self::Json { .. } => "signature-json",
            Self::DataAfterJson { .. } => "signature-data-after-json",
            Self::NotAnObject => "signature-not-an-object",
            Self::DuplicateKey => "signature-duplicate-key",
            Self::TooDeep { .. } => "signature-too-deep",
            Self::TooManyKeys { .. } => "signature-too-many-keys",
            Self::MissingKey { .. } => "signature-missing-key",
            Self::WrongType { .. } => "signature-wrong-type",
            Self::RootHashDigit { .. } => "signature-root-hash-digit",
            Self::RootHashLength { .. } => "signature-root-hash-length",
            Self::FingerprintForm => "signature-fingerprint-form",
            Self::Base64 => "signature-base64",
            Self::EmptySignature => "signature-empty",
        }
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, max } => {
                write!(f, "signature has {size} bytes, at most {max} are allowed")
            }
            Self::EmptyPartition => f.write_str("signature partition is empty"),
            Self::DataAfterNul { offset } => {
                write!(f, "signature partition has data after its NUL padding, at byte {offset}")
            }
            Self::NotUtf8 { offset } => write!(f, "signature JSON is not UTF-8 at byte {offset}"),
            Self::Json { offset } => write!(f, "signature JSON is malformed at byte {offset}"),
            Self::DataAfterJson { offset } => {
                write!(f, "signature JSON is followed by more text at byte {offset}")
            }
            Self::NotAnObject => f.write_str("signature JSON is not an object"),
            Self::DuplicateKey => f.write_str("signature JSON has a key twice in one object"),
            Self::TooDeep { max } => write!(f, "signature JSON is nested deeper than {max} levels"),
            Self::TooManyKeys { max } => write!(f, "signature JSON has more than {max} keys"),
            Self::MissingKey { key } => write!(f, "signature JSON has no {key}"),
            Self::WrongType { key } => write!(f, "signature JSON: {key} is not a string"),
            Self::RootHashDigit { at } => {
                write!(f, "signature JSON: rootHash is not lower-case hex at character {at}")
            }
            Self::RootHashLength { digits } => {
                write!(f, "signature JSON: rootHash has {digits} digits, expected 64, 96 or 128")
            }
            Self::FingerprintForm => {
                f.write_str("signature JSON: certificateFingerprint is not 64 lower-case hex digits")
            }
            Self::Base64 => f.write_str("signature JSON: signature is not padded base64"),
            Self::EmptySignature => f.write_str("signature JSON: signature is empty"),
        }
    }
}

impl core::error::Error for SignatureError {}
