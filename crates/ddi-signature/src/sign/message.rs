//! Writing PKCS#7 SignedData: what [`DetachedSignature`](crate::DetachedSignature) reads, in DER.

use ddi_verity::Params;

use super::der::{
    CONTEXT_0, INTEGER, NULL, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET_OF, UTF8_STRING, value,
};
use super::error::SignError;
use super::key::SigningKey;
use super::{Embed, SignOptions};
use crate::oid::{self, Oid};
use crate::{Certificate, SignatureDigest};

fn object_identifier(oid: Oid) -> Vec<u8> {
    value(OBJECT_IDENTIFIER, &[oid.content()])
}

/// A number that is not negative.
fn integer(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let digits: Vec<u8> = bytes.into_iter().skip_while(|&byte| byte == 0).collect();
    match digits.first() {
        Some(..0x80) => value(INTEGER, &[&digits]),
        _ => value(INTEGER, &[&[0], &digits]),
    }
}

fn algorithm_identifier(oid: Oid, with_null: bool) -> Vec<u8> {
    let parameters = if with_null { value(NULL, &[]) } else { Vec::new() };
    value(SEQUENCE, &[&object_identifier(oid), &parameters])
}

/// Signs `content`, with attributes if there is something to bind.
pub(super) fn sign(
    key: &SigningKey,
    certificate: &Certificate,
    content: &[u8],
    options: &SignOptions,
) -> Result<Vec<u8>, SignError> {
    let attributes = options.bound_tree.map(|tree| attributes(content, &tree));
    // what is signed is the SET OF, what is written is tagged [0] (RFC 5652, 5.4)
    let signature = match &attributes {
        Some(attributes) => key.sign(&value(SET_OF, &[attributes]))?,
        None => key.sign(content)?,
    };
    let written = attributes.map(|attributes| value(CONTEXT_0, &[&attributes])).unwrap_or_default();
    let digest = algorithm_identifier(oid::SHA256, true);
    let (algorithm, with_null) = key.algorithm();
    let id = certificate.id();
    let signer_info = value(
        SEQUENCE,
        &[
            &integer(1),
            &value(SEQUENCE, &[&id.issuer, &value(INTEGER, &[&id.serial])]),
            &digest,
            &written,
            &algorithm_identifier(algorithm, with_null),
            &value(OCTET_STRING, &[&signature]),
        ],
    );
    let certificates = match options.embed {
        Embed::Certificate => value(CONTEXT_0, &[certificate.der()]),
        Embed::Nothing => Vec::new(),
    };
    let signed_data = value(
        SEQUENCE,
        &[
            &integer(1),
            &value(SET_OF, &[&digest]),
            &value(SEQUENCE, &[&object_identifier(oid::DATA)]),
            &certificates,
            &value(SET_OF, &[&signer_info]),
        ],
    );
    Ok(value(SEQUENCE, &[&object_identifier(oid::SIGNED_DATA), &value(CONTEXT_0, &[&signed_data])]))
}

/// The authenticated attributes, in the order of DER. No signing time: the same input makes the same bytes.
fn attributes(content: &[u8], tree: &Params) -> Vec<u8> {
    let attribute = |oid, one: &[u8]| value(SEQUENCE, &[&object_identifier(oid), &value(SET_OF, &[one])]);
    let digest = SignatureDigest::Sha256.digest(content);
    let mut all = [
        attribute(oid::CONTENT_TYPE, &object_identifier(oid::DATA)),
        attribute(oid::MESSAGE_DIGEST, &value(OCTET_STRING, &[digest.as_ref()])),
        attribute(oid::BOUND_TREE, &bound_tree(tree)),
    ];
    all.sort();
    all.concat()
}

/// BoundTree: see [`bound`](crate::bound).
fn bound_tree(tree: &Params) -> Vec<u8> {
    let hash_type = match tree.hash_type() {
        ddi_verity::HashType::ChromeOs => 0,
        ddi_verity::HashType::Normal => 1,
    };
    value(
        SEQUENCE,
        &[
            &integer(1),
            &integer(hash_type),
            &value(UTF8_STRING, &[tree.algorithm().name().as_bytes()]),
            &integer(tree.data_block_size().into()),
            &integer(tree.hash_block_size().into()),
            &integer(tree.data_size()),
            &value(OCTET_STRING, &[tree.salt().as_bytes()]),
        ],
    )
}
