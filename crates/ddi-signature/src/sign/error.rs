//! Why there is no signature. Nothing here says anything of a key but its kind.

use std::fmt;
use std::io;

use ddi_verity::ErrorKind;

use super::command::CommandError;
use crate::{Oid, SignatureError};

/// What people have in place of a private key, or keep one in, that is not read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyForm {
    /// `-----BEGIN CERTIFICATE-----`.
    Certificate,
    /// `-----BEGIN PUBLIC KEY-----`.
    PublicKey,
    /// `-----BEGIN OPENSSH PRIVATE KEY-----`.
    OpenSsh,
    /// `Proc-Type: 4,ENCRYPTED`: the encryption of PEM itself, with MD5.
    EncryptedPem,
    /// PEM of something else.
    OtherPem,
}

impl fmt::Display for KeyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a certificate, expected its private key",
            Self::PublicKey => "a public key, expected the private one",
            Self::OpenSsh => "a key of OpenSSH, expected PKCS#8",
            Self::EncryptedPem => {
                "encrypted as PEM was before PKCS#8, which is weak: openssl pkcs8 -topk8 makes PKCS#8 of it"
            }
            Self::OtherPem => "PEM, but no private key",
        })
    }
}

/// Why a file gave no private key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It could not be opened or read.
    Io(io::ErrorKind),
    /// It is larger than a key may be.
    TooLarge {
        /// Largest size in bytes.
        max: usize,
    },
    /// Neither PEM nor DER.
    NoKey,
    /// Something that is not read.
    Form {
        /// What it is.
        form: KeyForm,
    },
    /// It begins as a private key does, and does not go on so.
    Malformed,
    /// It is encrypted, and no passphrase was given.
    PassphraseNeeded,
    /// It does not become a key with this passphrase.
    WrongPassphrase,
    /// It is encrypted in a way that is not supported: not PBES2 with AES, or with a key derivation that takes too long.
    Encryption {
        /// What about it.
        what: &'static str,
    },
    /// A kind of key that does not sign root hashes.
    UnsupportedKey {
        /// What it is.
        found: Oid,
    },
    /// A curve other than P-256 and P-384.
    UnsupportedCurve {
        /// What it is.
        found: Oid,
    },
    /// The RSA key is too short or too long.
    RsaSize {
        /// Its length in bits.
        bits: usize,
        /// Least length.
        min: usize,
        /// Greatest length.
        max: usize,
    },
    /// An RSA key of more than two primes.
    MultiPrime,
}

impl KeyError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(_) => ErrorKind::Io,
            Self::NoKey | Self::Malformed => ErrorKind::Corrupt,
            Self::PassphraseNeeded => ErrorKind::Usage,
            Self::WrongPassphrase => ErrorKind::Mismatch,
            _ => ErrorKind::Unsupported,
        }
    }

    /// A short name that stays the same from release to release.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "key-io",
            Self::TooLarge { .. } => "key-too-large",
            Self::NoKey => "key-none",
            Self::Form { .. } => "key-form",
            Self::Malformed => "key-malformed",
            Self::PassphraseNeeded => "key-passphrase-needed",
            Self::WrongPassphrase => "key-wrong-passphrase",
            Self::Encryption { .. } => "key-encryption",
            Self::UnsupportedKey { .. } => "key-unsupported",
            Self::UnsupportedCurve { .. } => "key-unsupported-curve",
            Self::RsaSize { .. } => "key-rsa-size",
            Self::MultiPrime => "key-multi-prime",
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // "entity not found" is no word for people
            Self::Io(io::ErrorKind::NotFound) => f.write_str("no such file or directory"),
            Self::Io(kind) => kind.fmt(f),
            Self::TooLarge { max } => write!(f, "has more than {max} bytes"),
            Self::NoKey => f.write_str("no private key in it, neither as PEM nor as DER"),
            Self::Form { form } => form.fmt(f),
            Self::Malformed => f.write_str("private key is malformed"),
            Self::PassphraseNeeded => f.write_str("private key is encrypted, and no passphrase was given"),
            Self::WrongPassphrase => f.write_str("wrong passphrase for the private key"),
            Self::Encryption { what } => write!(f, "private key is encrypted with {what}"),
            Self::UnsupportedKey { found } => write!(f, "unsupported kind of private key {found}"),
            Self::UnsupportedCurve { found } => write!(f, "unsupported elliptic curve {found}"),
            Self::RsaSize { bits, min, max } => {
                write!(f, "RSA key has {bits} bits, allowed are {min} to {max}")
            }
            Self::MultiPrime => f.write_str("RSA key of more than two primes"),
        }
    }
}

impl core::error::Error for KeyError {}

/// Why no signature was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// The private key is not that of the certificate.
    KeyMismatch {
        /// The kind of private key.
        key: String,
        /// The kind of key that the certificate has.
        certificate: String,
    },
    /// The private numbers of the key are not those of its public ones.
    KeyNumbers,
    /// A program that was to sign gave no signature.
    Command(CommandError),
    /// A program signed the root hash, but not the hash tree that it was to bind.
    NotBound,
    /// The signature that was made or brought is not good.
    Signature(SignatureError),
    /// The signature does not fit into the partition.
    PartitionSize {
        /// Size of the text in bytes, behind which there must be one NUL.
        text: usize,
        /// Size of the partition in bytes.
        size: usize,
    },
}

impl SignError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::KeyMismatch { .. } => ErrorKind::Mismatch,
            Self::KeyNumbers => ErrorKind::Corrupt,
            Self::Command(_) => ErrorKind::Io,
            Self::NotBound => ErrorKind::Unsupported,
            Self::Signature(error) => error.kind(),
            Self::PartitionSize { .. } => ErrorKind::Unsupported,
        }
    }

    /// A short name that stays the same from release to release.
    pub fn code(&self) -> &'static str {
        match self {
            Self::KeyMismatch { .. } => "sign-key-mismatch",
            Self::KeyNumbers => "sign-key-numbers",
            Self::Command(error) => error.code(),
            Self::NotBound => "sign-not-bound",
            Self::Signature(error) => error.code(),
            Self::PartitionSize { .. } => "sign-partition-size",
        }
    }
}

impl From<SignatureError> for SignError {
    fn from(error: SignatureError) -> Self {
        SignError::Signature(error)
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyMismatch { key, certificate } if key == certificate => {
                write!(f, "private key ({key}) is not that of the certificate")
            }
            Self::KeyMismatch { key, certificate } => {
                write!(f, "private key ({key}) is not that of the certificate ({certificate})")
            }
            Self::KeyNumbers => f.write_str("private key is no key: its numbers do not belong together"),
            Self::Command(error) => error.fmt(f),
            Self::NotBound => {
                f.write_str("signature says nothing of the size of the data, which it was to bind")
            }
            Self::Signature(error) => error.fmt(f),
            Self::PartitionSize { text, size } => write!(
                f,
                "signature has {text} bytes as JSON, which do not fit into a partition of {size} bytes"
            ),
        }
    }
}

impl core::error::Error for SignError {}
