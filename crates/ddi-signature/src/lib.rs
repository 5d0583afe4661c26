//! Root-hash signatures: the verity signature partition, and the check of what is in it.
//!
//! Two things that are easily taken for one another have different types here: a [`RootHashSignature`] or
//! [`DetachedSignature`] says that a signature *is present*, a [`VerifiedRootHash`] that it *was verified*, with the
//! key of a certificate that somebody trusts. Only [`Certificates::verify`] makes the latter.
//!
//! What is signed is the root hash: not what the image is for, not its version. Whoever has a signed image can present it
//! in the place of another one. Nor is the geometry of the tree, unless the signer said so in an attribute
//! ([`DetachedSignature::bound_tree`]).
//!
//! # What is taken
//!
//! Detached PKCS#7 SignedData as DER, by one signer who is named by issuer and serial number: RSA (PKCS#1 v1.5, 2048 to
//! 8192 bits) with SHA-256, SHA-384 or SHA-512; ECDSA on P-256 or P-384 with the same. With authenticated
//! attributes or without, with certificates inside (which are not trusted) or without.
//!
//! This is less than systemd takes, which leaves the judgement to OpenSSL. OpenSSL lets pass, and this module refuses:
//! SHA-1 and MD5, also as a name in the signature algorithm that does not count; keys of less than 2048 bits; attached
//! content, where it is also given from outside; unauthenticated attributes and revocation lists; empty authenticated
//! attributes; the same signer twice; other versions; any signature algorithm at all next to an RSA key; RSA without
//! the NULL parameters that RFC 3370 asks for, in the signature algorithm (some signers written in Go leave them out).
//! Inside the RSA signature there is one form too, the one with NULL.
//!
//! # Features
//!
//! | feature | default | what it adds | crates that it brings |
//! | --- | --- | --- | --- |
//! | `pkcs7` | yes | reading and checking of signatures and certificates | `ring`, `der`, `x509-cert`, `serde_json` and theirs |
//! | `ecdsa-sha512` | no | ECDSA on P-256 and P-384 with SHA-512, and certificates with compressed points, which `ring` lacks and OpenSSL takes | `p256`, `p384` and theirs |
//! | `sign` | no | making signatures: the module `sign` | `p256`, `p384`, `crypto-bigint`, `pkcs5`, `zeroize` and theirs |
//!
//! Without `pkcs7` the types are there and every signature is refused with [`SignatureError::NotCompiledIn`].

#![forbid(unsafe_code)]
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

#[cfg(not(feature = "pkcs7"))]
mod absent;
mod algorithm;
#[cfg(feature = "pkcs7")]
mod bound;
#[cfg(feature = "pkcs7")]
mod certificate;
mod certificates;
#[cfg(feature = "pkcs7")]
mod der;
mod error;
#[cfg(feature = "pkcs7")]
mod oid;
mod partition;
#[cfg(feature = "pkcs7")]
mod pkcs7;
#[cfg(feature = "sign")]
pub mod sign;
#[cfg(feature = "pkcs7")]
mod signer_id;

#[cfg(all(test, feature = "pkcs7"))]
pub(crate) mod tests;

use std::fmt;

#[cfg(not(feature = "pkcs7"))]
use absent::fingerprint;
#[cfg(not(feature = "pkcs7"))]
pub use absent::{Certificate, DetachedSignature, Oid, SignerId};
pub use algorithm::{SignatureDigest, SignatureScheme};
#[cfg(feature = "pkcs7")]
pub use certificate::Certificate;
#[cfg(feature = "pkcs7")]
use certificate::fingerprint;
pub use certificates::{CERTIFICATE_DIRECTORIES, CertificateFileError, Certificates, SkippedFile};
pub use error::{SignatureError, SignatureForm, SignedForm};
pub use partition::{MAX_SIGNATURE_SIZE, MAX_SIGNATURE_TEXT, RootHashSignature};
#[cfg(feature = "pkcs7")]
pub use {oid::Oid, pkcs7::DetachedSignature, signer_id::SignerId};

use ddi_verity::{Params, RootHash};

/// A root hash that was signed with the key of a trusted certificate. Nothing but [`Certificates::verify`] makes
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRootHash {
    root_hash: RootHash,
    signer: Signer,
}

impl VerifiedRootHash {
    /// The root hash.
    pub fn root_hash(&self) -> &RootHash {
        &self.root_hash
    }

    /// Who signed it.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }
}

/// Facts about a signature that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signer {
    /// The trusted certificate whose key it was.
    pub certificate: Certificate,
    /// The kind of signature.
    pub scheme: SignatureScheme,
    /// What was hashed with.
    pub digest: SignatureDigest,
    /// True if there were authenticated attributes.
    pub has_attributes: bool,
    /// The hash tree that was signed along with the root hash, if it was: see
    /// [`DetachedSignature::bound_tree`].
    pub bound_tree: Option<Params>,
    /// What came along with the signature.
    pub embedded: EmbeddedCertificate,
}

/// The certificates inside a signature. They are not covered by it, and nothing depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmbeddedCertificate {
    /// There is none.
    None,
    /// The very one that is trusted is among them.
    Same,
    /// There are others only.
    Other,
}

impl RootHashSignature {
    /// Checks that this signature is good for the root hash that it comes with.
    ///
    /// # Errors
    /// As [`DetachedSignature::parse`] and [`Certificates::verify`].
    pub fn verify(&self, certificates: &Certificates) -> Result<VerifiedRootHash, SignatureError> {
        certificates.verify(&DetachedSignature::parse(&self.pkcs7)?, &self.root_hash)
    }
}

/// SHA-256 of a certificate as DER. Displayed as lower-case hex, as `openssl x509 -fingerprint -sha256` without
/// its colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// From 64 lower-case hex digits.
    #[cfg(feature = "pkcs7")]
    fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => byte.checked_sub(b'0'),
            b'a'..=b'f' => byte.checked_sub(b'a' - 10),
            _ => None,
        };
        let pairs = text.as_bytes().chunks(2).map(|pair| match *pair {
            [high, low] => Some((digit(high)? << 4) | digit(low)?),
            _ => None,
        });
        let bytes: Vec<u8> = pairs.take(33).collect::<Option<_>>()?;
        bytes.try_into().ok().map(Fingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
