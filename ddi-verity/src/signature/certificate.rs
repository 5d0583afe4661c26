//! X.509 certificates: what to show of one, and the check of a signature with its key.
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

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding};
use der::{Decode, Tag};
use ring::signature as ring_signature;
use x509_cert::name::Name;

use super::algorithm::{self, Oid, SignatureDigest, SignatureScheme};
use super::der::{Value, Values};
use super::pkcs7::{DetachedSignature, SignerId, check_integer};
use super::{Fingerprint, SignatureError};

/// Size in bytes above which a certificate is refused: thrice what a large one has.
const MAX_CERTIFICATE_SIZE: usize = 32 << 10;
/// Least and greatest length of an RSA modulus in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A certificate that somebody chose to trust. Chain, expiry and usage are not checked: the choice counts.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    id: SignerId,
    subject: Vec<u8>,
    not_before: Duration,
    not_after: Duration,
    key: PublicKey,
    fingerprint: Fingerprint,
    path: Option<PathBuf>,
}

/// A public key, as far as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PublicKey {
    /// RSAPublicKey as DER, and the bits of the modulus.
    Rsa { key: Vec<u8>, bits: usize },
    /// The curve, and the point as in the certificate.
    Ec { curve: Oid, point: Vec<u8> },
    /// Another algorithm.
    Other(Oid),
}

impl Certificate {
    /// Reads one certificate, as DER, or the first one in a PEM file.
    ///
    /// # Errors
    /// [`SignatureError::CertificateSize`], [`SignatureError::NoCertificate`] if it is neither,
    /// [`SignatureError::Certificate`] if it is malformed.
    pub fn parse(file: &[u8]) -> Result<Self, SignatureError> {
        match file.first() {
            // SEQUENCE; no PEM file begins with 0
            Some(0x30) if !file.is_ascii() => Self::from_der(file),
            _ => Self::from_der(&first_pem(file).ok_or(SignatureError::NoCertificate)?),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, SignatureError> {
        if der.len() > MAX_CERTIFICATE_SIZE {
            return Err(SignatureError::CertificateSize { size: der.len(), max: MAX_CERTIFICATE_SIZE });
        }
        let checked = x509_cert::Certificate::from_der(der)
            .map_err(|error| SignatureError::Certificate { offset: offset_of(&error) })?;
        let validity = checked.tbs_certificate().validity();
        // issuer and serial number are compared byte for byte, so they are taken as they stand
        let mut file = Values::new(der, "Certificate");
        let mut certificate = file.expect(Tag::Sequence, "Certificate")?.open("Certificate");
        let mut fields = certificate.expect(Tag::Sequence, "tbsCertificate")?.open("tbsCertificate");
        fields.optional(super::der::context(0))?;
        let serial = fields.expect(Tag::Integer, "serialNumber")?;
        fields.expect(Tag::Sequence, "signature")?;
        let issuer = fields.expect(Tag::Sequence, "issuer")?;
        fields.expect(Tag::Sequence, "validity")?;
        let subject = fields.expect(Tag::Sequence, "subject")?;
        let key = fields.expect(Tag::Sequence, "subjectPublicKeyInfo")?;
        Ok(Certificate {
            id: SignerId { issuer: issuer.der.to_vec(), serial: serial.content.to_vec() },
            subject: subject.der.to_vec(),
            not_before: validity.not_before.to_unix_duration(),
            not_after: validity.not_after.to_unix_duration(),
            key: PublicKey::parse(key)?,
            fingerprint: fingerprint(der),
            path: None,
        })
    }

    /// The same, with the file it came from.
    pub(super) fn with_path(self, path: &Path) -> Self {
        Certificate { path: Some(path.to_owned()), ..self }
    }

    /// Issuer and serial number: what signatures name it by.
    pub fn id(&self) -> &SignerId {
        &self.id
    }

    /// Whose certificate it is, in the form of RFC 4514; what is not printable is escaped.
    pub fn subject(&self) -> String {
        name_text(&self.subject)
    }

    /// SHA-256 of its DER.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// First moment of its validity.
    pub fn not_before(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(self.not_before).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Last moment of its validity. Nothing is refused after it: a certificate that is trusted by name is trusted
    /// until it is removed.
    pub fn not_after(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(self.not_after).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The kind of key, with its size: `rsa-2048`, `P-256`.
    pub fn key_name(&self) -> String {
        match &self.key {
            PublicKey::Rsa { bits, .. } => format!("rsa-{bits}"),
            PublicKey::Ec { curve, .. } => curve.name().map_or_else(|| curve.to_string(), str::to_owned),
            PublicKey::Other(oid) => oid.name().map_or_else(|| oid.to_string(), str::to_owned),
        }
    }

    /// The file it came from, if it came from one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Did this certificate's key make `signature` over `content`?
    pub(super) fn verify(
        &self,
        signature: &DetachedSignature<'_>,
        content: &[u8],
    ) -> Result<(), SignatureError> {
        let (algorithm, key) = self.key.algorithm(signature.scheme(), signature.digest())?;
        let message = signature.message(content)?;
        ring_signature::UnparsedPublicKey::new(algorithm, key)
            .verify(&message, signature.bytes())
            .map_err(|_| SignatureError::BadSignature)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject())
            .field("id", &self.id)
            .field("key", &self.key_name())
            .field("fingerprint", &self.fingerprint)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// SubjectPublicKeyInfo (RFC 3279, 2.3).
    fn parse(info: Value<'_>) -> Result<Self, SignatureError> {
        let malformed = || SignatureError::Certificate { offset: info.offset };
        let mut fields = info.open("subjectPublicKeyInfo");
        let mut identifier = fields.expect(Tag::Sequence, "algorithm")?.open("algorithm");
        let name = Oid::from_content(identifier.expect(Tag::ObjectIdentifier, "algorithm")?.content);
        let name = name.ok_or_else(malformed)?;
        let bits = fields.expect(Tag::BitString, "subjectPublicKey")?;
        let [0, key @ ..] = bits.content else { return Err(malformed()) };
        match name {
            algorithm::RSA => {
                let mut file = Values::new(key, "RSAPublicKey");
                let mut numbers = file.expect(Tag::Sequence, "RSAPublicKey")?.open("RSAPublicKey");
                let modulus = numbers.expect(Tag::Integer, "modulus")?;
                check_integer(modulus)?;
                Ok(PublicKey::Rsa { key: key.to_vec(), bits: bit_length(modulus.content) })
            }
            algorithm::EC => {
                let curve = identifier.expect(Tag::ObjectIdentifier, "namedCurve")?;
                let curve = Oid::from_content(curve.content).ok_or_else(malformed)?;
                Ok(PublicKey::Ec { curve, point: key.to_vec() })
            }
            _ => Ok(PublicKey::Other(name)),
        }
    }

    /// How to check a signature of this kind with this key.
    fn algorithm(
        &self,
        scheme: SignatureScheme,
        digest: SignatureDigest,
    ) -> Result<(&'static dyn ring_signature::VerificationAlgorithm, &[u8]), SignatureError> {
        use SignatureDigest::*;
        match (self, scheme) {
            (PublicKey::Rsa { key, bits }, SignatureScheme::RsaPkcs1) => {
                if !RSA_BITS.contains(bits) {
                    let (min, max) = (*RSA_BITS.start(), *RSA_BITS.end());
                    return Err(SignatureError::RsaSize { bits: *bits, min, max });
                }
                // each rebuilds the whole padded message, with NULL digest parameters, and compares
                let algorithm: &'static dyn ring_signature::VerificationAlgorithm = match digest {
                    Sha256 => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
                    Sha384 => &ring_signature::RSA_PKCS1_2048_8192_SHA384,
                    Sha512 => &ring_signature::RSA_PKCS1_2048_8192_SHA512,
                };
                Ok((algorithm, key))
            }
            (PublicKey::Ec { curve, point }, SignatureScheme::Ecdsa) => {
                let algorithm: &'static dyn ring_signature::VerificationAlgorithm = match (*curve, digest) {
                    (algorithm::P256, Sha256) => &ring_signature::ECDSA_P256_SHA256_ASN1,
                    (algorithm::P256, Sha384) => &ring_signature::ECDSA_P256_SHA384_ASN1,
                    (algorithm::P384, Sha256) => &ring_signature::ECDSA_P384_SHA256_ASN1,
                    (algorithm::P384, Sha384) => &ring_signature::ECDSA_P384_SHA384_ASN1,
                    (algorithm::P256 | algorithm::P384, Sha512) => {
                        return Err(SignatureError::UnsupportedCurveDigest { curve: *curve, digest });
                    }
                    _ => return Err(SignatureError::UnsupportedCurve { found: *curve }),
                };
                Ok((algorithm, point))
            }
            (PublicKey::Other(found), _) => Err(SignatureError::UnsupportedKey { found: *found }),
            _ => Err(SignatureError::KeyScheme { scheme }),
        }
    }
}

/// SHA-256 of a certificate.
pub(super) fn fingerprint(der: &[u8]) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    Fingerprint(digest.as_ref().try_into().unwrap_or_default())
}

/// Bits in a positive number, big-endian.
fn bit_length(number: &[u8]) -> usize {
    let skipped = number.iter().take_while(|&&byte| byte == 0).count();
    let significant = number.len().saturating_sub(skipped).saturating_mul(8);
    let zeros = number.get(skipped).map_or(0, |byte| byte.leading_zeros());
    significant.saturating_sub(usize::try_from(zeros).unwrap_or(0))
}

fn offset_of(error: &der::Error) -> usize {
    error.position().and_then(|position| usize::try_from(position).ok()).unwrap_or(0)
}

/// The first `CERTIFICATE` of a PEM file (RFC 7468), however long its lines are.
fn first_pem(file: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(file).ok()?;
    let mut lines = text.lines().map(str::trim_end);
    lines.find(|line| *line == "-----BEGIN CERTIFICATE-----")?;
    let mut base64 = String::new();
    loop {
        match lines.next()? {
            "-----END CERTIFICATE-----" => return Base64::decode_vec(&base64).ok(),
            line => base64.push_str(line),
        }
    }
}

/// A name as text, on one line whatever is in it.
pub(super) fn name_text(der: &[u8]) -> String {
    let Ok(name) = Name::from_der(der) else { return "(malformed name)".to_owned() };
    let mut text = String::new();
    for c in name.to_string().chars() {
        match c {
            ' '..='~' => text.push(c),
            _ => text.extend(c.escape_debug()),
        }
    }
    text
}
