//! What can be wrong with a root-hash signature: one variant for each rule.

use std::fmt;

use super::{Oid, SignatureDigest, SignatureScheme, SignerId};
use ddi_verity::ErrorKind;
use ddi_verity::RootHash;

/// What people have in place of a signature in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureForm {
    /// `-----BEGIN PKCS7-----`.
    Pem,
    /// A mail: what `openssl smime -sign` makes unless told otherwise.
    Smime,
    /// The DER in base64, as a signature partition has it.
    Base64,
    /// As many bytes as an RSA key has: what `openssl dgst -sign` makes.
    Bare,
}

impl SignatureForm {
    /// What these bytes, which do not begin as DER, are.
    #[cfg(feature = "pkcs7")]
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        /// So much of it tells.
        const LOOKED_AT: usize = 4096;
        let start = bytes.get(..LOOKED_AT).unwrap_or(bytes).trim_ascii_start();
        let begins =
            |with: &[u8]| start.get(..with.len()).is_some_and(|found| found.eq_ignore_ascii_case(with));
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
        if begins(b"-----BEGIN ") {
            Some(Self::Pem)
        } else if begins(b"MIME-Version:") || begins(b"Content-Type:") {
            Some(Self::Smime)
        } else if begins(b"MI") && start.iter().all(is_base64) {
            Some(Self::Base64)
        } else if matches!(bytes.len(), 256 | 384 | 512) {
            Some(Self::Bare)
        } else {
            None
        }
    }
}

impl fmt::Display for SignatureForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem => "is PEM, expected DER (-outform der)",
            Self::Smime => "is a mail in S/MIME, expected DER (-outform der)",
            Self::Base64 => "is in base64, expected DER itself",
            Self::Bare => "is no PKCS#7 but has the size of a bare RSA signature",
        })
    }
}

/// Something else that people sign than the root hash in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignedForm {
    /// With an end of line: `echo` rather than `printf`.
    EndOfLine,
    /// In upper case.
    UpperCase,
    /// The bytes of the root hash rather than their text.
    Raw,
}

impl SignedForm {
    /// What is signed then, for each of the forms, those with CR LF too.
    pub(super) fn all(root_hash: &RootHash) -> [(Self, Vec<u8>); 5] {
        let text = root_hash.to_string();
        [
            (Self::EndOfLine, format!("{text}\n").into_bytes()),
            (Self::EndOfLine, format!("{text}\r\n").into_bytes()),
            (Self::Raw, root_hash.as_bytes().to_vec()),
            (Self::UpperCase, text.to_uppercase().into_bytes()),
            (Self::UpperCase, format!("{}\n", text.to_uppercase()).into_bytes()),
        ]
    }
}

impl fmt::Display for SignedForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndOfLine => "with an end of line behind it",
            Self::UpperCase => "in upper case",
            Self::Raw => "as bytes, not as text",
        })
    }
}

/// Why a root-hash signature was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureError {
    /// This build of the library does not check signatures of this kind.
    NotCompiledIn {
        /// The feature of this crate that does.
        feature: &'static str,
    },
    /// The partition or file is larger than any signature may be.
    TooLarge {
        /// Size in bytes.
        size: usize,
        /// Largest size in bytes.
        max: usize,
    },
    /// The signature partitions of the image are larger together than what is looked at, and this is one of the last.
    TooManyBytes {
        /// Bytes that are looked at, in all signature partitions together.
        max: u64,
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
    /// It is no DER but the text that tools make of it, or no PKCS#7 at all.
    NotDer {
        /// What it is.
        form: SignatureForm,
    },
    /// A trusted key signed the root hash, but not as the text that is signed: in lower-case hex, without an end of line.
    SignedForm {
        /// What was signed.
        form: SignedForm,
    },
    /// DER: a value is longer than what holds it.
    Truncated {
        /// Offset in bytes.
        offset: usize,
    },
    /// A length is given as indefinite, which BER has and DER has not.
    IndefiniteLength {
        /// Offset in bytes.
        offset: usize,
    },
    /// A length is not in its shortest form, or over 4 GiB.
    LengthForm {
        /// Offset in bytes.
        offset: usize,
    },
    /// A tag that DER does not have: unknown, constructed where it must be primitive, or not in its shortest form.
    TagForm {
        /// Offset in bytes.
        offset: usize,
    },
    /// Something follows the signature.
    TrailingData {
        /// Offset in bytes.
        offset: usize,
    },
    /// Values are nested too deep.
    DerDepth {
        /// Offset in bytes.
        offset: usize,
        /// Most levels.
        max: u32,
    },
    /// A field is not of its type.
    UnexpectedTag {
        /// Offset in bytes.
        offset: usize,
        /// What it is a part of.
        structure: &'static str,
        /// Its name.
        field: &'static str,
    },
    /// A structure ends before it is complete.
    MissingField {
        /// Offset in bytes.
        offset: usize,
        /// Its name.
        structure: &'static str,
        /// The field that was expected.
        field: &'static str,
    },
    /// A structure goes on where it should end.
    ExtraField {
        /// Offset in bytes.
        offset: usize,
        /// Its name.
        structure: &'static str,
    },
    /// An object identifier is malformed, or longer than any in use.
    ObjectIdentifier {
        /// Offset in bytes.
        offset: usize,
    },
    /// A number has no byte, or too many.
    IntegerForm {
        /// Offset in bytes.
        offset: usize,
    },
    /// It is another kind of PKCS#7.
    NotSignedData {
        /// What it is.
        found: Oid,
    },
    /// SignedData is not version 1.
    SignedDataVersion {
        /// Its version.
        found: u32,
    },
    /// What is signed is not plain data.
    ContentType {
        /// What it is.
        found: Oid,
    },
    /// What is signed is inside. Only detached signatures are taken: the text that counts is ours.
    Attached {
        /// Offset in bytes.
        offset: usize,
    },
    /// SignedData names no digest algorithm, or several.
    DigestAlgorithmCount {
        /// How many.
        count: usize,
    },
    /// SignedData and SignerInfo name different digest algorithms.
    DigestAlgorithmsDiffer {
        /// Offset in bytes.
        offset: usize,
    },
    /// There are certificate revocation lists, which nobody would look at.
    RevocationLists {
        /// Offset in bytes.
        offset: usize,
    },
    /// An embedded certificate is of another kind than X.509.
    CertificateChoice {
        /// Offset in bytes.
        offset: usize,
    },
    /// There are too many embedded certificates.
    TooManyCertificates {
        /// Most certificates.
        max: usize,
    },
    /// Nobody signed.
    NoSigner,
    /// More than one signed: readers differ in how many must be good.
    MultipleSigners {
        /// How many.
        count: usize,
    },
    /// The signer is named by a key identifier, as CMS can and PKCS#7 cannot.
    SubjectKeyIdentifier {
        /// Offset in bytes.
        offset: usize,
    },
    /// SignerInfo is not version 1.
    SignerVersion {
        /// Its version.
        found: u32,
    },
    /// The issuer's name is too long.
    NameSize {
        /// Size in bytes.
        size: usize,
        /// Largest size in bytes.
        max: usize,
    },
    /// The serial number is too long.
    SerialSize {
        /// Size in bytes.
        size: usize,
        /// Largest size in bytes.
        max: usize,
    },
    /// A digest algorithm that has been broken, by itself or in a signature algorithm.
    WeakDigest {
        /// What it is.
        found: Oid,
    },
    /// A digest algorithm other than SHA-256, SHA-384 and SHA-512.
    UnsupportedDigest {
        /// What it is.
        found: Oid,
    },
    /// A digest algorithm has parameters other than NULL.
    DigestParameters {
        /// Offset in bytes.
        offset: usize,
    },
    /// RSA-PSS, which systemd and this crate do not take.
    RsaPss,
    /// A signature algorithm other than RSA (PKCS#1 v1.5) and ECDSA.
    UnsupportedScheme {
        /// What it is.
        found: Oid,
    },
    /// The parameters of a signature algorithm must be NULL for RSA, and absent for ECDSA.
    SchemeParameters {
        /// Offset in bytes.
        offset: usize,
    },
    /// The signature algorithm names another digest algorithm than the signer.
    SchemeDigest {
        /// What it is.
        found: Oid,
        /// The digest algorithm.
        digest: SignatureDigest,
    },
    /// There are attributes that the signature does not cover.
    UnsignedAttributes {
        /// Offset in bytes.
        offset: usize,
    },
    /// Authenticated attributes are not in the order of DER.
    AttributeOrder {
        /// Offset in bytes.
        offset: usize,
    },
    /// An authenticated attribute occurs twice.
    AttributeTwice {
        /// What it is.
        found: Oid,
    },
    /// An authenticated attribute has no value, or several.
    AttributeValues {
        /// What it is.
        found: Oid,
        /// How many.
        count: usize,
    },
    /// A mandatory authenticated attribute is missing.
    AttributeMissing {
        /// Which.
        name: Oid,
    },
    /// There are too many authenticated attributes.
    TooManyAttributes {
        /// Most attributes.
        max: usize,
    },
    /// The contentType attribute is not data.
    ContentTypeAttribute {
        /// Offset in bytes.
        offset: usize,
    },
    /// The messageDigest attribute is not an OCTET STRING.
    MessageDigestForm {
        /// Offset in bytes.
        offset: usize,
    },
    /// The messageDigest attribute is not the digest of the root hash's text.
    MessageDigest,
    /// The boundTree attribute is malformed, or describes a hash tree that cannot be.
    BoundTree {
        /// Offset in bytes.
        offset: usize,
    },
    /// The boundTree attribute is of a version that is not known.
    BoundTreeVersion {
        /// Its version.
        found: u32,
    },
    /// The root hash is not as long as SHA-256, SHA-384 or SHA-512 make them.
    RootHashNotSignable {
        /// Its size in bytes.
        size: usize,
    },
    /// No trusted certificate has the issuer and serial number that the signature names.
    NotTrusted {
        /// What it names.
        signer: Box<SignerId>,
    },
    /// The signature was not made with the certificate's key, or not over this root hash.
    BadSignature,
    /// The signature is of another kind than the certificate's key.
    KeyScheme {
        /// The kind of signature.
        scheme: SignatureScheme,
    },
    /// The certificate's RSA key is too short or too long.
    RsaSize {
        /// Its length in bits.
        bits: usize,
        /// Least length.
        min: usize,
        /// Greatest length.
        max: usize,
    },
    /// The certificate's key is on another curve than P-256 and P-384.
    UnsupportedCurve {
        /// What it is.
        found: Oid,
    },
    /// The certificate's key is neither RSA nor on an elliptic curve.
    UnsupportedKey {
        /// What it is.
        found: Oid,
    },
    /// Neither PEM nor DER of a certificate.
    NoCertificate,
    /// The certificate is too large.
    CertificateSize {
        /// Size in bytes.
        size: usize,
        /// Largest size in bytes.
        max: usize,
    },
    /// The certificate is malformed.
    Certificate {
        /// Offset in bytes in its DER, if known; else 0.
        offset: usize,
    },
}

impl SignatureError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::MessageDigest
            | Self::NotTrusted { .. }
            | Self::BadSignature
            | Self::SignedForm { .. }
            | Self::KeyScheme { .. } => ErrorKind::Mismatch,
            Self::TooManyBytes { .. }
            | Self::NotSignedData { .. }
            | Self::SignedDataVersion { .. }
            | Self::ContentType { .. }
            | Self::Attached { .. }
            | Self::DigestAlgorithmCount { .. }
            | Self::RevocationLists { .. }
            | Self::CertificateChoice { .. }
            | Self::TooManyCertificates { .. }
            | Self::MultipleSigners { .. }
            | Self::SubjectKeyIdentifier { .. }
            | Self::SignerVersion { .. }
            | Self::NameSize { .. }
            | Self::SerialSize { .. }
            | Self::WeakDigest { .. }
            | Self::UnsupportedDigest { .. }
            | Self::NotCompiledIn { .. }
            | Self::RsaPss
            | Self::UnsupportedScheme { .. }
            | Self::UnsignedAttributes { .. }
            | Self::TooManyAttributes { .. }
            | Self::BoundTreeVersion { .. }
            | Self::RootHashNotSignable { .. }
            | Self::RsaSize { .. }
            | Self::UnsupportedCurve { .. }
            | Self::UnsupportedKey { .. }
            | Self::CertificateSize { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }

    /// A short name that stays the same from release to release.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "signature-too-large",
            Self::TooManyBytes { .. } => "signature-too-many-bytes",
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
            Self::Truncated { .. } => "pkcs7-truncated",
            Self::IndefiniteLength { .. } => "pkcs7-indefinite-length",
            Self::LengthForm { .. } => "pkcs7-length-form",
            Self::TagForm { .. } => "pkcs7-tag-form",
            Self::TrailingData { .. } => "pkcs7-trailing-data",
            Self::DerDepth { .. } => "pkcs7-depth",
            Self::UnexpectedTag { .. } => "pkcs7-unexpected-tag",
            Self::MissingField { .. } => "pkcs7-missing-field",
            Self::ExtraField { .. } => "pkcs7-extra-field",
            Self::ObjectIdentifier { .. } => "pkcs7-object-identifier",
            Self::IntegerForm { .. } => "pkcs7-integer-form",
            Self::NotSignedData { .. } => "pkcs7-not-signed-data",
            Self::SignedDataVersion { .. } => "pkcs7-signed-data-version",
            Self::ContentType { .. } => "pkcs7-content-type",
            Self::Attached { .. } => "pkcs7-attached",
            Self::DigestAlgorithmCount { .. } => "pkcs7-digest-algorithm-count",
            Self::DigestAlgorithmsDiffer { .. } => "pkcs7-digest-algorithms-differ",
            Self::RevocationLists { .. } => "pkcs7-revocation-lists",
            Self::CertificateChoice { .. } => "pkcs7-certificate-choice",
            Self::TooManyCertificates { .. } => "pkcs7-too-many-certificates",
            Self::NoSigner => "pkcs7-no-signer",
            Self::MultipleSigners { .. } => "pkcs7-multiple-signers",
            Self::SubjectKeyIdentifier { .. } => "pkcs7-subject-key-identifier",
            Self::SignerVersion { .. } => "pkcs7-signer-version",
            Self::NameSize { .. } => "pkcs7-name-size",
            Self::SerialSize { .. } => "pkcs7-serial-size",
            Self::WeakDigest { .. } => "pkcs7-weak-digest",
            Self::UnsupportedDigest { .. } => "pkcs7-unsupported-digest",
            Self::DigestParameters { .. } => "pkcs7-digest-parameters",
            Self::NotCompiledIn { .. } => "not-compiled-in",
            Self::RsaPss => "pkcs7-rsa-pss",
            Self::UnsupportedScheme { .. } => "pkcs7-unsupported-scheme",
            Self::SchemeParameters { .. } => "pkcs7-scheme-parameters",
            Self::SchemeDigest { .. } => "pkcs7-scheme-digest",
            Self::UnsignedAttributes { .. } => "pkcs7-unsigned-attributes",
            Self::AttributeOrder { .. } => "pkcs7-attribute-order",
            Self::AttributeTwice { .. } => "pkcs7-attribute-twice",
            Self::AttributeValues { .. } => "pkcs7-attribute-values",
            Self::AttributeMissing { .. } => "pkcs7-attribute-missing",
            Self::TooManyAttributes { .. } => "pkcs7-too-many-attributes",
            Self::ContentTypeAttribute { .. } => "pkcs7-content-type-attribute",
            Self::MessageDigestForm { .. } => "pkcs7-message-digest-form",
            Self::MessageDigest => "pkcs7-message-digest",
            Self::BoundTree { .. } => "pkcs7-bound-tree",
            Self::BoundTreeVersion { .. } => "pkcs7-bound-tree-version",
            Self::RootHashNotSignable { .. } => "signature-root-hash-size",
            Self::NotTrusted { .. } => "signature-not-trusted",
            Self::NotDer { .. } => "signature-not-der",
            Self::SignedForm { .. } => "signature-form",
            Self::BadSignature => "signature-bad",
            Self::KeyScheme { .. } => "signature-key-scheme",
            Self::RsaSize { .. } => "signature-rsa-size",
            Self::UnsupportedCurve { .. } => "signature-unsupported-curve",
            Self::UnsupportedKey { .. } => "signature-unsupported-key",
            Self::NoCertificate => "certificate-none",
            Self::CertificateSize { .. } => "certificate-size",
            Self::Certificate { .. } => "certificate-malformed",
        }
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, max } => {
                write!(f, "signature has {size} bytes, at most {max} are allowed")
            }
            Self::TooManyBytes { max } => {
                write!(f, "not looked at: of all signature partitions together, {max} bytes are")
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
            Self::Truncated { offset } => {
                write!(f, "PKCS#7: value at byte {offset} does not end where what holds it ends")
            }
            Self::IndefiniteLength { offset } => {
                write!(f, "PKCS#7: indefinite length at byte {offset}, which is not DER")
            }
            Self::LengthForm { offset } => {
                write!(f, "PKCS#7: length at byte {offset} is not in its shortest form")
            }
            Self::TagForm { offset } => write!(f, "PKCS#7: tag at byte {offset} is not DER"),
            Self::TrailingData { offset } => write!(f, "PKCS#7: data behind the end, at byte {offset}"),
            Self::DerDepth { offset, max } => {
                write!(f, "PKCS#7: value at byte {offset} is nested deeper than {max} levels")
            }
            Self::UnexpectedTag { offset, structure, field } => {
                write!(f, "PKCS#7: no {field} of {structure} at byte {offset}, but something else")
            }
            Self::MissingField { offset, structure, field } => {
                write!(f, "PKCS#7: {structure} ends at byte {offset} without {field}")
            }
            Self::ExtraField { offset, structure } => {
                write!(f, "PKCS#7: {structure} goes on at byte {offset}")
            }
            Self::ObjectIdentifier { offset } => {
                write!(f, "PKCS#7: object identifier at byte {offset} is malformed")
            }
            Self::IntegerForm { offset } => {
                write!(f, "PKCS#7: number at byte {offset} is not in its shortest form")
            }
            Self::NotSignedData { found } => write!(f, "PKCS#7: content is {found}, expected signedData"),
            Self::SignedDataVersion { found } => {
                write!(f, "PKCS#7: SignedData has version {found}, expected 1")
            }
            Self::ContentType { found } => write!(f, "PKCS#7: what is signed is {found}, expected data"),
            Self::Attached { offset } => {
                write!(f, "PKCS#7: not a detached signature, content at byte {offset}")
            }
            Self::DigestAlgorithmCount { count } => {
                write!(f, "PKCS#7: {count} digest algorithms, expected one")
            }
            Self::DigestAlgorithmsDiffer { offset } => write!(
                f,
                "PKCS#7: digest algorithm of the signer, at byte {offset}, is not the one of SignedData"
            ),
            Self::RevocationLists { offset } => write!(f, "PKCS#7: revocation lists at byte {offset}"),
            Self::CertificateChoice { offset } => {
                write!(f, "PKCS#7: embedded certificate at byte {offset} is not X.509")
            }
            Self::TooManyCertificates { max } => write!(f, "PKCS#7: more than {max} embedded certificates"),
            Self::NoSigner => f.write_str("PKCS#7: no signer"),
            Self::MultipleSigners { count } => write!(f, "PKCS#7: {count} signers, expected one"),
            Self::SubjectKeyIdentifier { offset } => write!(
                f,
                "PKCS#7: signer named by a key identifier at byte {offset}, expected issuer and serial number"
            ),
            Self::SignerVersion { found } => write!(f, "PKCS#7: SignerInfo has version {found}, expected 1"),
            Self::NameSize { size, max } => {
                write!(f, "PKCS#7: name of the issuer has {size} bytes, at most {max} are allowed")
            }
            Self::SerialSize { size, max } => {
                write!(f, "PKCS#7: serial number has {size} bytes, at most {max} are allowed")
            }
            Self::WeakDigest { found } => write!(f, "PKCS#7: {found} is too weak"),
            Self::UnsupportedDigest { found } => write!(f, "PKCS#7: unsupported digest algorithm {found}"),
            Self::DigestParameters { offset } => {
                write!(f, "PKCS#7: digest algorithm has parameters, at byte {offset}")
            }
            Self::NotCompiledIn { feature } => {
                write!(f, "this build does not check such signatures (feature {feature} of ddi-signature)")
            }
            Self::RsaPss => f.write_str("PKCS#7: RSA-PSS is not supported, only PKCS#1 v1.5"),
            Self::UnsupportedScheme { found } => write!(f, "PKCS#7: unsupported signature algorithm {found}"),
            Self::SchemeParameters { offset } => {
                write!(f, "PKCS#7: signature algorithm at byte {offset} has not the parameters it must have")
            }
            Self::SchemeDigest { found, digest } => {
                write!(f, "PKCS#7: signature algorithm {found} does not go with {}", digest.name())
            }
            Self::UnsignedAttributes { offset } => {
                write!(f, "PKCS#7: unauthenticated attributes at byte {offset}")
            }
            Self::AttributeOrder { offset } => {
                write!(f, "PKCS#7: authenticated attribute at byte {offset} is out of order")
            }
            Self::AttributeTwice { found } => write!(f, "PKCS#7: authenticated attribute {found} twice"),
            Self::AttributeValues { found, count } => {
                write!(f, "PKCS#7: authenticated attribute {found} has {count} values, expected one")
            }
            Self::AttributeMissing { name } => write!(f, "PKCS#7: no authenticated attribute {name}"),
            Self::TooManyAttributes { max } => write!(f, "PKCS#7: more than {max} authenticated attributes"),
            Self::ContentTypeAttribute { offset } => {
                write!(f, "PKCS#7: contentType attribute at byte {offset} is not data")
            }
            Self::MessageDigestForm { offset } => {
                write!(f, "PKCS#7: messageDigest attribute at byte {offset} is not an octet string")
            }
            Self::MessageDigest => f.write_str("signature is over another root hash (messageDigest)"),
            Self::BoundTree { offset } => {
                write!(f, "PKCS#7: boundTree attribute at byte {offset} describes no hash tree")
            }
            Self::BoundTreeVersion { found } => {
                write!(f, "PKCS#7: boundTree attribute has version {found}, expected 1")
            }
            Self::RootHashNotSignable { size } => {
                write!(f, "root hash has {size} bytes, signed ones have 32, 48 or 64")
            }
            Self::NotTrusted { signer } => write!(f, "no trusted certificate for the signer ({signer})"),
            Self::NotDer { form } => write!(f, "PKCS#7: {form}"),
            Self::SignedForm { form } => write!(
                f,
                "what was signed is the root hash {form}; expected its digits in lower case and nothing else"
            ),
            Self::BadSignature => f.write_str("signature does not match the root hash and the certificate"),
            Self::KeyScheme { scheme } => {
                write!(f, "certificate has no key for {} signatures", scheme.name())
            }
            Self::RsaSize { bits, min, max } => {
                write!(f, "RSA key has {bits} bits, allowed are {min} to {max}")
            }
            Self::UnsupportedCurve { found } => write!(f, "unsupported elliptic curve {found}"),
            Self::UnsupportedKey { found } => write!(f, "unsupported kind of key {found}"),
            Self::NoCertificate => f.write_str("no certificate in it"),
            Self::CertificateSize { size, max } => {
                write!(f, "certificate has {size} bytes, at most {max} are allowed")
            }
            Self::Certificate { offset } => write!(f, "certificate is malformed at byte {offset}"),
        }
    }
}

impl core::error::Error for SignatureError {}
