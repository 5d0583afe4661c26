//! Private keys, and what they do.

use std::fmt;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use zeroize::Zeroizing;

use super::der::{INTEGER, SEQUENCE, value};
use super::error::{KeyError, SignError};
use crate::certificate::bit_length;
use crate::oid::{self, Oid};
use crate::{Certificate, SignatureDigest};

/// Least and greatest length of an RSA modulus in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A private key that signs root hashes: RSA (PKCS#1 v1.5) with 2048 to 4096 bits, or ECDSA on P-256 or P-384; all of them
/// with SHA-256, as OpenSSL does unless told otherwise.
///
/// It is wiped from memory when it is dropped, and cannot be printed.
pub struct SigningKey(Kind);

enum Kind {
    Rsa(RsaKey),
    // boxed, so that moving one leaves no copy behind
    P256(Box<p256::ecdsa::SigningKey>),
    P384(Box<p384::ecdsa::SigningKey>),
}

/// Without primes: see [`sign`](super).
struct RsaKey {
    /// RSAPublicKey as DER.
    public: Vec<u8>,
    bits: usize,
    modulus: BoxedMontyParams,
    private: Zeroizing<BoxedUint>,
}

impl SigningKey {
    /// From the content of the three INTEGERs.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8], private: &[u8]) -> Result<Self, KeyError> {
        let bits = bit_length(modulus);
        if !RSA_BITS.contains(&bits) {
            return Err(KeyError::RsaSize { bits, min: *RSA_BITS.start(), max: *RSA_BITS.end() });
        }
        let public = value(SEQUENCE, &[&value(INTEGER, &[modulus]), &value(INTEGER, &[exponent])]);
        let precision = u32::try_from(bits).map_err(|_| KeyError::Malformed)?.next_multiple_of(64);
        let number = |bytes: &[u8]| {
            let digits = bytes.strip_prefix(&[0]).unwrap_or(bytes);
            BoxedUint::from_be_slice(digits, precision).map_err(|_| KeyError::Malformed)
        };
        let private = Zeroizing::new(number(private)?);
        // public, so it may take as long as it takes
        let modulus = Option::from(Odd::new(number(modulus)?)).ok_or(KeyError::Malformed)?;
        Ok(SigningKey(Kind::Rsa(RsaKey {
            public,
            bits,
            modulus: BoxedMontyParams::new_vartime(modulus),
            private,
        })))
    }

    /// From the content of the OCTET STRING.
    pub(super) fn ec(curve: Oid, private: &[u8]) -> Result<Self, KeyError> {
        let malformed = |_| KeyError::Malformed;
        match curve {
            oid::P256 => {
                let key = p256::ecdsa::SigningKey::from_slice(private).map_err(malformed)?;
                Ok(SigningKey(Kind::P256(Box::new(key))))
            }
            oid::P384 => {
                let key = p384::ecdsa::SigningKey::from_slice(private).map_err(malformed)?;
                Ok(SigningKey(Kind::P384(Box::new(key))))
            }
            found => Err(KeyError::UnsupportedCurve { found }),
        }
    }

    /// The kind of key, with its size: `rsa-2048`, `P-256`.
    pub fn name(&self) -> String {
        match &self.0 {
            Kind::Rsa(key) => format!("rsa-{}", key.bits),
            Kind::P256(_) => "P-256".into(),
            Kind::P384(_) => "P-384".into(),
        }
    }

    /// Returns true if it is the private key of this certificate.
    pub fn is_for(&self, certificate: &Certificate) -> bool {
        let is_point = |wanted, ours: &[u8]| certificate.ec_key() == Some((wanted, ours));
        match &self.0 {
            Kind::Rsa(key) => certificate.rsa_key() == Some(&key.public),
            Kind::P256(key) => is_point(oid::P256, key.verifying_key().to_sec1_point(false).as_bytes()),
            Kind::P384(key) => is_point(oid::P384, key.verifying_key().to_sec1_point(false).as_bytes()),
        }
    }

    /// What a signature algorithm is called, and if it has NULL parameters.
    pub(super) fn algorithm(&self) -> (Oid, bool) {
        match self.0 {
            Kind::Rsa(_) => (oid::RSA, true),
            Kind::P256(_) | Kind::P384(_) => (oid::ECDSA_SHA256, false),
        }
    }

    /// The signature of the SHA-256 of `message`.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let digest = SignatureDigest::Sha256.digest(message);
        let digest = digest.as_ref();
        match &self.0 {
            Kind::Rsa(key) => key.sign(digest),
            Kind::P256(key) => {
                let signature: p256::ecdsa::DerSignature =
                    key.sign_prehash(digest).map_err(|_| SignError::KeyNumbers)?;
                Ok(signature.as_bytes().to_vec())
            }
            Kind::P384(key) => {
                let signature: p384::ecdsa::DerSignature =
                    key.sign_prehash(digest).map_err(|_| SignError::KeyNumbers)?;
                Ok(signature.as_bytes().to_vec())
            }
        }
    }
}

/// DigestInfo of SHA-256 up to the digest (RFC 8017, 9.2).
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

impl RsaKey {
    /// RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.1). The exponentiation takes the same time whatever the exponent is; nobody but the
    /// caller chooses what is signed.
    fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, SignError> {
        let size = self.bits.div_ceil(8);
        // 00 01 FF … FF 00 DigestInfo
        let mut padded = vec![0xff; size];
        let tail = [&[0], &DIGEST_INFO[..], digest].concat();
        let impossible = || SignError::KeyNumbers;
        padded.get_mut(..2).ok_or_else(impossible)?.copy_from_slice(&[0, 1]);
        let start = size.checked_sub(tail.len()).ok_or_else(impossible)?;
        padded.get_mut(start..).ok_or_else(impossible)?.copy_from_slice(&tail);

        let precision = self.private.bits_precision();
        let number = BoxedUint::from_be_slice(&padded, precision).map_err(|_| impossible())?;
        let signature = BoxedMontyForm::new(number, &self.modulus).pow(&self.private).retrieve();
        let bytes = signature.to_be_bytes();
        let start = bytes.len().checked_sub(size).ok_or_else(impossible)?;
        Ok(bytes.get(start..).ok_or_else(impossible)?.to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.name())
    }
}
