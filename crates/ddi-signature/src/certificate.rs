//! X.509 certificates: what to show of one, and the check of a signature with its key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding};
use der::{Decode, Tag};
use ring::signature as ring_signature;

use super::algorithm::{SignatureDigest, SignatureScheme};
use super::der::{Value, Values, check_integer};
use super::oid::{self, Oid};
use super::pkcs7::DetachedSignature;
use super::signer_id::{SignerId, name_text};
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
    der: Vec<u8>,
    path: Option<PathBuf>,
}

/// A public key, as far as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PublicKey {
    /// RSAPublicKey as DER, and the bits of the modulus.
    Rsa { key: Vec<u8>, bits: usize },
    /// The curve, and the point with both of its coordinates, if it is on a curve that is understood.
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
            // SEQUENCE; text may begin with a "0" too, but no certificate in DER is text
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
            der: der.to_vec(),
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

    /// As it was read.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its key, if that is RSA: RSAPublicKey as DER.
    #[cfg(feature = "sign")]
    pub(super) fn rsa_key(&self) -> Option<&[u8]> {
        match &self.key {
            PublicKey::Rsa { key, .. } => Some(key),
            _ => None,
        }
    }

    /// Its key, if that is on an elliptic curve: the curve, and the point.
    #[cfg(feature = "sign")]
    pub(super) fn ec_key(&self) -> Option<(Oid, &[u8])> {
        match &self.key {
            PublicKey::Ec { curve, point } => Some((*curve, point)),
            _ => None,
        }
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

    /// Checks that this certificate's key made `signature` over `content`.
    pub(super) fn verify(
        &self,
        signature: &DetachedSignature<'_>,
        content: &[u8],
    ) -> Result<(), SignatureError> {
        let check = self.key.check(signature.scheme(), signature.digest())?;
        let message = signature.message(content)?;
        if check.passes(&message, signature.bytes()) { Ok(()) } else { Err(SignatureError::BadSignature) }
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
            oid::RSA => {
                let mut file = Values::new(key, "RSAPublicKey");
                let mut numbers = file.expect(Tag::Sequence, "RSAPublicKey")?.open("RSAPublicKey");
                let modulus = numbers.expect(Tag::Integer, "modulus")?;
                check_integer(modulus)?;
                Ok(PublicKey::Rsa { key: key.to_vec(), bits: bit_length(modulus.content) })
            }
            oid::EC => {
                let curve = identifier.expect(Tag::ObjectIdentifier, "namedCurve")?;
                let curve = Oid::from_content(curve.content).ok_or_else(malformed)?;
                let point = uncompressed(curve, key).unwrap_or_else(|| key.to_vec());
                Ok(PublicKey::Ec { curve, point })
            }
            _ => Ok(PublicKey::Other(name)),
        }
    }

    /// How to check a signature of this kind with this key.
    fn check(&self, scheme: SignatureScheme, digest: SignatureDigest) -> Result<Check<'_>, SignatureError> {
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
                Ok(Check::Ring(algorithm, key))
            }
            #[cfg(not(any(feature = "ecdsa-sha512", feature = "sign")))]
            (PublicKey::Ec { curve: oid::P256 | oid::P384, point }, SignatureScheme::Ecdsa)
                if matches!(point.first(), Some(2 | 3)) =>
            {
                Err(SignatureError::NotCompiledIn { feature: "ecdsa-sha512" })
            }
            (PublicKey::Ec { curve, point }, SignatureScheme::Ecdsa) => match (*curve, digest) {
                (oid::P256, Sha256) => Ok(Check::Ring(&ring_signature::ECDSA_P256_SHA256_ASN1, point)),
                (oid::P256, Sha384) => Ok(Check::Ring(&ring_signature::ECDSA_P256_SHA384_ASN1, point)),
                (oid::P384, Sha256) => Ok(Check::Ring(&ring_signature::ECDSA_P384_SHA256_ASN1, point)),
                (oid::P384, Sha384) => Ok(Check::Ring(&ring_signature::ECDSA_P384_SHA384_ASN1, point)),
                #[cfg(feature = "ecdsa-sha512")]
                (oid::P256, Sha512) => Ok(Check::P256Sha512(point)),
                #[cfg(feature = "ecdsa-sha512")]
                (oid::P384, Sha512) => Ok(Check::P384Sha512(point)),
                #[cfg(not(feature = "ecdsa-sha512"))]
                (oid::P256 | oid::P384, Sha512) => {
                    Err(SignatureError::NotCompiledIn { feature: "ecdsa-sha512" })
                }
                _ => Err(SignatureError::UnsupportedCurve { found: *curve }),
            },
            (PublicKey::Other(found), _) => Err(SignatureError::UnsupportedKey { found: *found }),
            _ => Err(SignatureError::KeyScheme { scheme }),
        }
    }
}

/// How a signature is checked, and with which key.
enum Check<'a> {
    Ring(&'static dyn ring_signature::VerificationAlgorithm, &'a [u8]),
    // ring does not go with SHA-512 on these curves, OpenSSL does
    #[cfg(feature = "ecdsa-sha512")]
    P256Sha512(&'a [u8]),
    #[cfg(feature = "ecdsa-sha512")]
    P384Sha512(&'a [u8]),
}

impl Check<'_> {
    fn passes(&self, message: &[u8], signature: &[u8]) -> bool {
        #[cfg(feature = "ecdsa-sha512")]
        let digest = || SignatureDigest::Sha512.digest(message);
        match self {
            Check::Ring(algorithm, key) => {
                ring_signature::UnparsedPublicKey::new(*algorithm, key).verify(message, signature).is_ok()
            }
            #[cfg(feature = "ecdsa-sha512")]
            Check::P256Sha512(point) => {
                use p256::ecdsa::{DerSignature, VerifyingKey, signature::hazmat::PrehashVerifier};
                let key = VerifyingKey::from_sec1_bytes(point).ok();
                let signature = DerSignature::try_from(signature).ok();
                key.zip(signature).is_some_and(|(key, s)| key.verify_prehash(digest().as_ref(), &s).is_ok())
            }
            #[cfg(feature = "ecdsa-sha512")]
            Check::P384Sha512(point) => {
                use p384::ecdsa::{DerSignature, VerifyingKey, signature::hazmat::PrehashVerifier};
                let key = VerifyingKey::from_sec1_bytes(point).ok();
                let signature = DerSignature::try_from(signature).ok();
                key.zip(signature).is_some_and(|(key, s)| key.verify_prehash(digest().as_ref(), &s).is_ok())
            }
        }
    }
}

/// The point with both coordinates that a compressed one stands for: `ring` takes no other, OpenSSL does.
#[cfg(any(feature = "ecdsa-sha512", feature = "sign"))]
fn uncompressed(curve: Oid, point: &[u8]) -> Option<Vec<u8>> {
    match curve {
        oid::P256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            Some(key.to_sec1_point(false).as_bytes().to_vec())
        }
        oid::P384 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            Some(key.to_sec1_point(false).as_bytes().to_vec())
        }
        _ => None,
    }
}

#[cfg(not(any(feature = "ecdsa-sha512", feature = "sign")))]
fn uncompressed(_: Oid, _: &[u8]) -> Option<Vec<u8>> {
    None
}

/// SHA-256 of a certificate.
pub(super) fn fingerprint(der: &[u8]) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    Fingerprint(digest.as_ref().try_into().unwrap_or_default())
}

/// Bits in a positive number, big-endian.
pub(super) fn bit_length(number: &[u8]) -> usize {
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

#[cfg(test)]
mod wycheproof;

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
    }

    fn der(name: &str) -> Vec<u8> {
        first_pem(&golden(name)).unwrap()
    }

    #[test]
    fn facts_of_a_certificate() {
        let certificate = Certificate::parse(&golden("rsa2048.crt")).unwrap();
        assert_eq!(certificate.subject(), "CN=rsa2048,O=ddi");
        assert_eq!(certificate.id().issuer(), "CN=rsa2048,O=ddi");
        assert_eq!(certificate.id().to_string(), "issuer CN=rsa2048,O=ddi, serial 0123456789abcdef");
        assert_eq!(certificate.key_name(), "rsa-2048");
        assert_eq!(certificate.path(), None);
        let validity = certificate.not_after().duration_since(certificate.not_before()).unwrap();
        assert_eq!(validity.as_secs(), 3650 * 86_400);
        let expected = ring::digest::digest(&ring::digest::SHA256, &der("rsa2048.crt"));
        assert_eq!(certificate.fingerprint().0, expected.as_ref());
        assert_eq!(Certificate::parse(&der("rsa2048.crt")).unwrap(), certificate);

        // serial numbers keep the zero that makes them positive
        assert_eq!(Certificate::parse(&golden("p256.crt")).unwrap().id().serial(), [0, 0xff, 0]);
        for (name, key) in [
            ("rsa3072", "rsa-3072"),
            ("rsa4096", "rsa-4096"),
            ("rsa1024", "rsa-1024"),
            ("p256", "P-256"),
            ("p384", "P-384"),
            ("p521", "P-521"),
            ("twin-ed25519", "ed25519"),
        ] {
            assert_eq!(Certificate::parse(&golden(&format!("{name}.crt"))).unwrap().key_name(), key);
        }
    }

    #[test]
    fn what_is_no_certificate() {
        use SignatureError as E;
        let pem = String::from_utf8(golden("p256.crt")).unwrap();
        let der = der("p256.crt");
        for (text, expected) in [
            (String::new(), E::NoCertificate),
            ("certificate".to_owned(), E::NoCertificate),
            (pem.replace("-----END", "-----EMD"), E::NoCertificate),
            (pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), E::NoCertificate),
            (pem.replace("CERTIFICATE", "X509 CRL"), E::NoCertificate),
            (pem.replacen("MI", "M-", 1), E::NoCertificate),
            (
                "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----".to_owned(),
                E::Certificate { offset: 0 },
            ),
        ] {
            assert_eq!(Certificate::parse(text.as_bytes()).unwrap_err(), expected, "{text}");
        }
        for end in 1..der.len() {
            let error = Certificate::parse(&der[..end]).unwrap_err();
            assert!(matches!(error, E::Certificate { .. } | E::NoCertificate), "{end}: {error}");
        }
        let behind = Certificate::parse(&[&der[..], &[0]].concat()).unwrap_err();
        assert!(matches!(behind, E::Certificate { .. }), "{behind}");
        // what stands before it may begin as DER does
        let after_text = Certificate::parse(format!("0 {pem}0\n{pem}").as_bytes()).unwrap();
        assert_eq!(after_text.fingerprint(), fingerprint(&der));
        let large = vec![0xff; MAX_CERTIFICATE_SIZE + 1];
        let large = Certificate::parse(&[&[0x30], &large[..]].concat()).unwrap_err();
        assert!(matches!(large, E::CertificateSize { size: 32_770, max: 32_768 }), "{large}");
    }

    /// A certificate file is not hostile, but nothing in it may make us panic.
    #[test]
    fn any_flipped_bit_is_an_error_or_another_certificate() {
        for name in ["p256.crt", "rsa2048.crt"] {
            let mut der = der(name);
            let good = Certificate::parse(&der).unwrap();
            for bit in 0..der.len() * 8 {
                der[bit / 8] ^= 1 << (bit % 8);
                if let Ok(other) = Certificate::parse(&der) {
                    assert_ne!(other.fingerprint(), good.fingerprint());
                    let _ = (other.subject(), other.id().to_string(), other.key_name(), other.not_after());
                }
                der[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn names_are_on_one_line() {
        let name = |text: &str| {
            let value = [&[0x0c, text.len() as u8], text.as_bytes()].concat();
            let pair = [&[0x30, (5 + value.len()) as u8, 6, 3, 0x55, 4, 3][..], &value].concat();
            let set = [&[0x31, pair.len() as u8][..], &pair].concat();
            name_text(&[&[0x30, set.len() as u8][..], &set].concat())
        };
        assert_eq!(name("plain"), "CN=plain");
        // RFC 4514 escapes the bytes below the space, we what else has no shape
        for (text, shown) in [
            ("a\x1b[2Jb", r"CN=a\1b[2Jb"),
            ("a\nb", r"CN=a\0ab"),
            ("a\u{202e}b", r"CN=a\u{202e}b"),
            ("a\u{85}\u{200b}b", r"CN=a\u{85}\u{200b}b"),
        ] {
            assert_eq!(name(text), shown);
        }
        assert_eq!(name("gr\u{fc}n"), "CN=gr\u{fc}n");
        assert_eq!(name_text(&[0x30, 1]), "(malformed name)");
    }

    #[test]
    fn bits_of_a_number() {
        for (number, bits) in
            [(&[][..], 0), (&[0], 0), (&[1], 1), (&[0, 0x80], 8), (&[1, 0], 9), (&[0, 0, 3, 0], 10)]
        {
            assert_eq!(bit_length(number), bits);
        }
    }

    #[test]
    fn a_text_before_the_certificate() {
        // '0' is the tag of a SEQUENCE too
        let file = [b"0 is a digit\n", &golden("p256.crt")[..]].concat();
        assert_eq!(Certificate::parse(&file).unwrap().key_name(), "P-256");
    }

    #[test]
    fn the_largest_file() {
        let mut file = vec![0xff; MAX_CERTIFICATE_SIZE];
        file[0] = 0x30;
        assert!(matches!(Certificate::parse(&file), Err(SignatureError::Certificate { .. })));
    }

    #[test]
    fn the_fault_has_a_place() {
        let der = der("p256.crt");
        let behind = Certificate::parse(&[&der[..], &[0]].concat()).unwrap_err();
        assert_eq!(behind, SignatureError::Certificate { offset: der.len() });
    }

    #[test]
    fn shown_without_the_key() {
        let shown = format!("{:?}", Certificate::parse(&golden("p256.crt")).unwrap());
        let expected =
            r#"Certificate { subject: "CN=p256,O=ddi", id: SignerId(issuer CN=p256,O=ddi, serial 00ff00), "#;
        assert!(shown.starts_with(expected), "{shown}");
        assert!(
            shown.contains(r#"key: "P-256", fingerprint: Fingerprint("#)
                && shown.ends_with("path: None, .. }")
        );
    }
}
