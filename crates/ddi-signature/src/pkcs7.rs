//! PKCS#7 SignedData, as far as a root-hash signature may use it.
//!
//! ```text
//! ContentInfo  SEQUENCE
//!  ├ contentType   signedData
//!  └ [0] SignedData  SEQUENCE
//!     ├ version           1
//!     ├ digestAlgorithms  SET of one
//!     ├ contentInfo       data, and no content: detached
//!     ├ [0] certificates  optional, not trusted
//!     └ signerInfos       SET of one
//!        └ SignerInfo  SEQUENCE
//!           ├ version                1
//!           ├ issuerAndSerialNumber
//!           ├ digestAlgorithm        as above
//!           ├ [0] authenticatedAttributes  optional
//!           ├ signatureAlgorithm
//!           └ signature              OCTET STRING
//! ```
//!
//! RFC 2315 (PKCS#7 1.5) and RFC 5652 (CMS) agree on this much.

use der::Tag;

use super::algorithm::{SignatureDigest, SignatureScheme};
use super::bound;
use super::der::{Value, Values, check_integer, context, not_one};
use super::oid::{self, Oid};
use super::signer_id::SignerId;
use super::{MAX_SIGNATURE_SIZE, SignatureError, SignatureForm};
use ddi_verity::Params;

/// Size in bytes above which the name of an issuer is refused.
const MAX_NAME_SIZE: usize = 4096;
/// Serial numbers have at most 20 bytes (RFC 5280); one more for a sign, twice that for the careless.
const MAX_SERIAL_SIZE: usize = 42;

/// A detached PKCS#7 signature of the right shape, by one signer. Nothing about it has been verified.
#[derive(Debug, Clone)]
pub struct DetachedSignature<'a> {
    signer: SignerId,
    digest: SignatureDigest,
    scheme: SignatureScheme,
    attributes: Option<Attributes<'a>>,
    signature: &'a [u8],
    certificates: Vec<&'a [u8]>,
}

/// Authenticated attributes: with them, the signature covers them and not the content.
#[derive(Debug, Clone)]
struct Attributes<'a> {
    /// As in the file, behind the tag `[0]`.
    der: &'a [u8],
    message_digest: &'a [u8],
    bound_tree: Option<Params>,
}

impl<'a> DetachedSignature<'a> {
    /// Reads DER, strictly: no BER, nothing behind the end, no field that nobody writes.
    ///
    /// Authenticated attributes are checked for everything but the digest that they hold. Embedded certificates
    /// are neither trusted nor interpreted, only their outermost form is checked.
    ///
    /// # Errors
    /// One variant of [`SignatureError`] for each rule, with the offset in `der` where it is broken.
    pub fn parse(der: &'a [u8]) -> Result<Self, SignatureError> {
        if der.len() > MAX_SIGNATURE_SIZE {
            return Err(SignatureError::TooLarge { size: der.len(), max: MAX_SIGNATURE_SIZE });
        }
        // where DER begins with a SEQUENCE
        if der.first() != Some(&0x30)
            && let Some(form) = SignatureForm::of(der)
        {
            return Err(SignatureError::NotDer { form });
        }
        let mut input = Values::new(der, "file");
        let content_info = input.expect(Tag::Sequence, "ContentInfo")?;
        if input.offset() != der.len() {
            return Err(SignatureError::TrailingData { offset: input.offset() });
        }
        let mut fields = content_info.open("ContentInfo");
        let content_type = object_identifier(fields.expect(Tag::ObjectIdentifier, "contentType")?)?;
        if content_type != oid::SIGNED_DATA {
            return Err(SignatureError::NotSignedData { found: content_type });
        }
        let content = fields.expect(context(0), "content")?;
        fields.end()?;
        let mut fields = content.open("content");
        let signed_data = fields.expect(Tag::Sequence, "SignedData")?;
        fields.end()?;
        Self::signed_data(signed_data)
    }

    fn signed_data(value: Value<'a>) -> Result<Self, SignatureError> {
        let mut fields = value.open("SignedData");
        if let Some(found) = not_one(fields.expect(Tag::Integer, "version")?)? {
            return Err(SignatureError::SignedDataVersion { found });
        }
        let digest_algorithms = fields.expect(Tag::Set, "digestAlgorithms")?;
        let content_info = fields.expect(Tag::Sequence, "contentInfo")?;
        let certificates = fields.optional(context(0))?;
        if let Some(lists) = fields.optional(context(1))? {
            return Err(SignatureError::RevocationLists { offset: lists.offset });
        }
        let signer_infos = fields.expect(Tag::Set, "signerInfos")?;
        fields.end()?;

        let digest_algorithm = single(digest_algorithms.open("digestAlgorithms"))?
            .map_err(|count| SignatureError::DigestAlgorithmCount { count })?
            .must_be(Tag::Sequence, "digestAlgorithms", "digestAlgorithm")?;
        digest_of(digest_algorithm)?;
        detached(content_info)?;
        let certificates = certificates.map(embedded).transpose()?.unwrap_or_default();
        let signer_info = match single(signer_infos.open("signerInfos"))? {
            Ok(signer_info) => signer_info.must_be(Tag::Sequence, "signerInfos", "SignerInfo")?,
            Err(0) => return Err(SignatureError::NoSigner),
            Err(count) => return Err(SignatureError::MultipleSigners { count }),
        };
        Self::signer_info(signer_info, digest_algorithm, certificates)
    }

    fn signer_info(
        value: Value<'a>,
        outer_digest: Value<'a>,
        certificates: Vec<&'a [u8]>,
    ) -> Result<Self, SignatureError> {
        let mut fields = value.open("SignerInfo");
        let version = not_one(fields.expect(Tag::Integer, "version")?)?;
        // CMS version 3 goes with a key identifier, which systemd and PKCS#7 do not know
        if fields.clone().next()?.is_some_and(|sid| matches!(sid.tag, Tag::ContextSpecific { .. })) {
            return Err(SignatureError::SubjectKeyIdentifier { offset: fields.offset() });
        }
        if let Some(found) = version {
            return Err(SignatureError::SignerVersion { found });
        }
        let signer = signer_id(fields.expect(Tag::Sequence, "issuerAndSerialNumber")?)?;
        let digest_algorithm = fields.expect(Tag::Sequence, "digestAlgorithm")?;
        let digest = digest_of(digest_algorithm)?;
        if digest_algorithm.der != outer_digest.der {
            return Err(SignatureError::DigestAlgorithmsDiffer { offset: digest_algorithm.offset });
        }
        let attributes = fields.optional(context(0))?.map(attributes).transpose()?;
        let signature_algorithm = fields.expect(Tag::Sequence, "signatureAlgorithm")?;
        let scheme = scheme_of(signature_algorithm, digest)?;
        let signature = fields.expect(Tag::OctetString, "signature")?.content;
        if let Some(unsigned) = fields.optional(context(1))? {
            return Err(SignatureError::UnsignedAttributes { offset: unsigned.offset });
        }
        fields.end()?;
        Ok(DetachedSignature { signer, digest, scheme, attributes, signature, certificates })
    }

    /// Which certificate it says to be made with.
    pub fn signer(&self) -> &SignerId {
        &self.signer
    }

    /// What the text, or the attributes, are hashed with.
    pub fn digest(&self) -> SignatureDigest {
        self.digest
    }

    /// The kind of signature.
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// Returns true if there are authenticated attributes.
    pub fn has_attributes(&self) -> bool {
        self.attributes.is_some()
    }

    /// The hash tree that the root hash is of, if an attribute says so: what is signed is then the geometry too.
    pub fn bound_tree(&self) -> Option<&Params> {
        self.attributes.as_ref()?.bound_tree.as_ref()
    }

    /// DER of the certificates that came with it, neither checked nor trusted.
    pub fn embedded_certificates(&self) -> &[&'a [u8]] {
        &self.certificates
    }

    /// The signature itself.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.signature
    }

    /// What the signature must cover if `content` is what was signed: the content itself or, if there are
    /// attributes, the DER of their SET OF.
    pub(super) fn message(&self, content: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let Some(attributes) = &self.attributes else { return Ok(content.to_vec()) };
        if self.digest.digest(content).as_ref() != attributes.message_digest {
            return Err(SignatureError::MessageDigest);
        }
        // in the file they are tagged [0], signed they are as SET OF (RFC 5652, 5.4)
        let mut message = attributes.der.to_vec();
        if let Some(tag) = message.first_mut() {
            *tag = SET_OF;
        }
        Ok(message)
    }
}

/// Identifier byte of SET and SET OF.
const SET_OF: u8 = 0x31;

fn object_identifier(value: Value<'_>) -> Result<Oid, SignatureError> {
    Oid::from_content(value.content).ok_or(SignatureError::ObjectIdentifier { offset: value.offset })
}

/// The only value there is, or how many there are.
fn single<'a>(mut values: Values<'a>) -> Result<Result<Value<'a>, usize>, SignatureError> {
    let mut found = None;
    let mut count: usize = 0;
    while let Some(value) = values.next()? {
        found = Some(value);
        count = count.saturating_add(1);
    }
    Ok(match (found, count) {
        (Some(value), 1) => Ok(value),
        _ => Err(count),
    })
}

/// EncapsulatedContentInfo without content.
fn detached(value: Value<'_>) -> Result<(), SignatureError> {
    let mut fields = value.open("contentInfo");
    let content_type = object_identifier(fields.expect(Tag::ObjectIdentifier, "contentType")?)?;
    if content_type != oid::DATA {
        return Err(SignatureError::ContentType { found: content_type });
    }
    match fields.optional(context(0))? {
        Some(content) => Err(SignatureError::Attached { offset: content.offset }),
        None => fields.end(),
    }
}

/// Each embedded certificate as DER.
fn embedded<'a>(set: Value<'a>) -> Result<Vec<&'a [u8]>, SignatureError> {
    let mut values = set.open("certificates");
    let mut certificates = Vec::new();
    while let Some(value) = values.next()? {
        if value.tag != Tag::Sequence {
            return Err(SignatureError::CertificateChoice { offset: value.offset });
        }
        value.check_nested(0)?;
        if certificates.len() >= MAX_CERTIFICATES {
            return Err(SignatureError::TooManyCertificates { max: MAX_CERTIFICATES });
        }
        certificates.push(value.der);
    }
    Ok(certificates)
}

/// IssuerAndSerialNumber.
fn signer_id(value: Value<'_>) -> Result<SignerId, SignatureError> {
    let mut fields = value.open("issuerAndSerialNumber");
    let issuer = fields.expect(Tag::Sequence, "issuer")?;
    let serial = fields.expect(Tag::Integer, "serialNumber")?;
    fields.end()?;
    if issuer.der.len() > MAX_NAME_SIZE {
        return Err(SignatureError::NameSize { size: issuer.der.len(), max: MAX_NAME_SIZE });
    }
    check_integer(serial)?;
    if serial.content.len() > MAX_SERIAL_SIZE {
        return Err(SignatureError::SerialSize { size: serial.content.len(), max: MAX_SERIAL_SIZE });
    }
    issuer.check_nested(0)?;
    Ok(SignerId { issuer: issuer.der.to_vec(), serial: serial.content.to_vec() })
}

/// AlgorithmIdentifier: what it names, and its parameters.
fn algorithm_identifier<'a>(
    value: Value<'a>,
    structure: &'static str,
) -> Result<(Oid, Option<Value<'a>>), SignatureError> {
    let mut fields = value.open(structure);
    let name = object_identifier(fields.expect(Tag::ObjectIdentifier, "algorithm")?)?;
    let parameters = fields.next()?;
    fields.end()?;
    Ok((name, parameters))
}

fn is_null(value: Value<'_>) -> bool {
    value.tag == Tag::Null && value.content.is_empty()
}

/// PKCS#7 writes NULL parameters, CMS none; both are right for SHA-2 (RFC 5754, 2).
fn digest_of(value: Value<'_>) -> Result<SignatureDigest, SignatureError> {
    let (found, parameters) = algorithm_identifier(value, "digestAlgorithm")?;
    let digest = match found {
        oid::MD2 | oid::MD4 | oid::MD5 | oid::SHA1 => {
            return Err(SignatureError::WeakDigest { found });
        }
        _ => SignatureDigest::from_oid(found).ok_or(SignatureError::UnsupportedDigest { found })?,
    };
    match parameters {
        Some(value) if !is_null(value) => Err(SignatureError::DigestParameters { offset: value.offset }),
        _ => Ok(digest),
    }
}

/// RSA has NULL parameters (RFC 3370, 3.2), ECDSA none (RFC 5754, 3.3).
fn scheme_of(value: Value<'_>, digest: SignatureDigest) -> Result<SignatureScheme, SignatureError> {
    let (found, parameters) = algorithm_identifier(value, "signatureAlgorithm")?;
    let (scheme, its_digest) = match found {
        oid::RSA_PSS => return Err(SignatureError::RsaPss),
        oid::RSA_MD5 | oid::RSA_SHA1 | oid::ECDSA_SHA1 => {
            return Err(SignatureError::WeakDigest { found });
        }
        _ => SignatureScheme::from_oid(found).ok_or(SignatureError::UnsupportedScheme { found })?,
    };
    let right_form = match scheme {
        SignatureScheme::RsaPkcs1 => parameters.is_some_and(is_null),
        SignatureScheme::Ecdsa => parameters.is_none(),
    };
    if !right_form {
        return Err(SignatureError::SchemeParameters { offset: value.offset });
    }
    match its_digest {
        Some(other) if other != digest => Err(SignatureError::SchemeDigest { found, digest }),
        _ => Ok(scheme),
    }
}

/// The authenticated attributes: sorted, each once; the content is said to be data; there is a digest.
fn attributes<'a>(set: Value<'a>) -> Result<Attributes<'a>, SignatureError> {
    let mut values = set.open("authenticatedAttributes");
    let mut seen: Vec<Oid> = Vec::new();
    let mut before: &[u8] = &[];
    let mut has_content_type = false;
    let mut message_digest = None;
    let mut bound_tree = None;
    while let Some(attribute) = values.next()? {
        attribute.must_be(Tag::Sequence, "authenticatedAttributes", "Attribute")?;
        // DER sorts a SET OF, and the signature covers its DER
        if attribute.der < before {
            return Err(SignatureError::AttributeOrder { offset: attribute.offset });
        }
        before = attribute.der;
        let mut fields = attribute.open("Attribute");
        let name = object_identifier(fields.expect(Tag::ObjectIdentifier, "type")?)?;
        let set = fields.expect(Tag::Set, "values")?;
        fields.end()?;
        set.check_nested(0)?;
        if seen.contains(&name) {
            return Err(SignatureError::AttributeTwice { found: name });
        }
        if seen.len() >= MAX_ATTRIBUTES {
            return Err(SignatureError::TooManyAttributes { max: MAX_ATTRIBUTES });
        }
        seen.push(name);
        let one = || {
            single(set.open("values"))?
                .map_err(|count| SignatureError::AttributeValues { found: name, count })
        };
        match name {
            oid::CONTENT_TYPE => {
                let value = one()?;
                if value.tag != Tag::ObjectIdentifier || object_identifier(value)? != oid::DATA {
                    return Err(SignatureError::ContentTypeAttribute { offset: value.offset });
                }
                has_content_type = true;
            }
            oid::MESSAGE_DIGEST => {
                let value = one()?;
                if value.tag != Tag::OctetString {
                    return Err(SignatureError::MessageDigestForm { offset: value.offset });
                }
                message_digest = Some(value.content);
            }
            oid::BOUND_TREE => bound_tree = Some(bound::parse(one()?)?),
            _ => {}
        }
    }
    if !has_content_type {
        return Err(SignatureError::AttributeMissing { name: oid::CONTENT_TYPE });
    }
    let missing = SignatureError::AttributeMissing { name: oid::MESSAGE_DIGEST };
    Ok(Attributes { der: set.der, message_digest: message_digest.ok_or(missing)?, bound_tree })
}

/// A chain has three or four.
const MAX_CERTIFICATES: usize = 64;
/// More authenticated attributes than this nobody writes (OpenSSL: four).
const MAX_ATTRIBUTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// The attribute must be the digest, all of it and nothing more: by itself, without the signature over it that would give
    /// a change away.
    #[test]
    fn d6_message_digest_is_the_whole_digest() {
        let der = include_bytes!("../tests/data/rsa2048-attributes.p7s");
        let parsed = DetachedSignature::parse(der).unwrap();
        for digest in [SignatureDigest::Sha256, SignatureDigest::Sha384, SignatureDigest::Sha512] {
            let right = digest.digest(b"the content").as_ref().to_vec();
            let message = |message_digest: &[u8]| {
                let Some(attributes) = &parsed.attributes else { panic!("no attributes") };
                let attributes = Some(Attributes { der: attributes.der, message_digest, bound_tree: None });
                DetachedSignature { digest, attributes, ..parsed.clone() }.message(b"the content").map(drop)
            };
            assert_eq!(message(&right), Ok(()));
            for len in 0..right.len() {
                assert_eq!(message(&right[..len]), Err(SignatureError::MessageDigest), "{len} bytes");
                assert_eq!(message(&right[right.len() - len..]), Err(SignatureError::MessageDigest));
            }
            for bit in 0..8 * right.len() {
                let mut wrong = right.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(message(&wrong), Err(SignatureError::MessageDigest), "bit {bit}");
            }
            assert_eq!(message(&[&right[..], &[0]].concat()), Err(SignatureError::MessageDigest));
            let others = [SignatureDigest::Sha256, SignatureDigest::Sha384, SignatureDigest::Sha512];
            for other in others.into_iter().filter(|other| *other != digest) {
                assert_eq!(
                    message(other.digest(b"the content").as_ref()),
                    Err(SignatureError::MessageDigest)
                );
            }
        }
    }
}
