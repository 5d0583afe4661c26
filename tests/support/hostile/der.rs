//! DER to be built and broken, and signatures by a key that is made when it is needed.

use std::sync::LazyLock;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

/// One DER value: its tag, and its content or the values in it.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Leaf(u8, Vec<u8>),
    Inner(u8, Vec<Node>),
}

impl Node {
    pub(crate) fn der(&self) -> Vec<u8> {
        let (tag, content) = match self {
            Node::Leaf(tag, content) => (tag, content.clone()),
            Node::Inner(tag, nodes) => (tag, nodes.iter().flat_map(Node::der).collect()),
        };
        let len = content.len();
        let length = match len {
            0..0x80 => vec![len as u8],
            0x80..0x100 => vec![0x81, len as u8],
            0x100..0x10000 => vec![0x82, (len >> 8) as u8, len as u8],
            _ => vec![0x83, (len >> 16) as u8, (len >> 8) as u8, len as u8],
        };
        [&[*tag][..], &length, &content].concat()
    }

    pub(crate) fn at(&mut self, path: &[usize]) -> &mut Node {
        path.iter().fold(self, |node, &index| &mut node.nodes()[index])
    }

    pub(crate) fn nodes(&mut self) -> &mut Vec<Node> {
        match self {
            Node::Inner(_, nodes) => nodes,
            Node::Leaf(..) => panic!("not constructed"),
        }
    }

    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        match self {
            Node::Leaf(_, bytes) => bytes,
            Node::Inner(..) => panic!("constructed"),
        }
    }

    pub(crate) fn tag(&mut self) -> &mut u8 {
        match self {
            Node::Leaf(tag, _) | Node::Inner(tag, _) => tag,
        }
    }
}

pub(crate) fn sequence(nodes: Vec<Node>) -> Node {
    Node::Inner(0x30, nodes)
}

pub(crate) fn set(nodes: Vec<Node>) -> Node {
    Node::Inner(0x31, nodes)
}

pub(crate) fn oid(bytes: &[u8]) -> Node {
    Node::Leaf(6, bytes.to_vec())
}

pub(crate) fn null() -> Node {
    Node::Leaf(5, Vec::new())
}

pub(crate) fn integer(value: u8) -> Node {
    Node::Leaf(2, vec![value])
}

/// Object identifiers as they are encoded.
pub(crate) mod oids {
    pub(crate) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    pub(crate) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    pub(crate) const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
    pub(crate) const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
    pub(crate) const MD5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5];
    pub(crate) const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
    pub(crate) const SHA224: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4];
    pub(crate) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
    pub(crate) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
    pub(crate) const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
    pub(crate) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    pub(crate) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    pub(crate) const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
    pub(crate) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    pub(crate) const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
    pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    pub(crate) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
    pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    pub(crate) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
}

/// A key on P-256 with a certificate for it, made anew for each run.
#[derive(Debug)]
pub(crate) struct Signer {
    key: EcdsaKeyPair,
    /// DER.
    pub(crate) certificate: Vec<u8>,
}

const SERIAL: [u8; 8] = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];

fn name() -> Node {
    let common = sequence(vec![oid(oids::COMMON_NAME), Node::Leaf(12, b"hostile".to_vec())]);
    sequence(vec![set(vec![common])])
}

fn algorithm(identifier: &[u8]) -> Node {
    sequence(vec![oid(identifier)])
}

fn digest_algorithm() -> Node {
    sequence(vec![oid(oids::SHA256), null()])
}

impl Signer {
    /// The one of this run.
    pub(crate) fn get() -> &'static Signer {
        static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::new);
        &SIGNER
    }

    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let time = |text: &str| Node::Leaf(0x17, text.as_bytes().to_vec());
        let point = [&[0], key.public_key().as_ref()].concat();
        let tbs = sequence(vec![
            Node::Inner(0xa0, vec![integer(2)]),
            Node::Leaf(2, SERIAL.to_vec()),
            algorithm(oids::ECDSA_SHA256),
            name(),
            sequence(vec![time("200101000000Z"), time("490101000000Z")]),
            name(),
            sequence(vec![sequence(vec![oid(oids::EC), oid(oids::P256)]), Node::Leaf(3, point)]),
        ]);
        let signature = key.sign(&random, &tbs.der()).unwrap();
        let signature = Node::Leaf(3, [&[0], signature.as_ref()].concat());
        let certificate = sequence(vec![tbs, algorithm(oids::ECDSA_SHA256), signature]).der();
        Signer { key, certificate }
    }

    /// PKCS#7 over `text`, without attributes.
    pub(crate) fn plain(&self, text: &str) -> Node {
        self.message(self.sign(text.as_bytes()), None)
    }

    /// The same with attributes: content type and digest of the text.
    pub(crate) fn with_attributes(&self, text: &str) -> Node {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        self.signed_attributes(vec![
            sequence(vec![oid(oids::CONTENT_TYPE), set(vec![oid(oids::DATA)])]),
            sequence(vec![oid(oids::MESSAGE_DIGEST), set(vec![Node::Leaf(4, digest.as_ref().to_vec())])]),
        ])
    }

    /// With attributes as given, and a signature that is right for them.
    pub(crate) fn signed_attributes(&self, attributes: Vec<Node>) -> Node {
        let signature = self.sign(&set(attributes.clone()).der());
        self.message(signature, Some(Node::Inner(0xa0, attributes)))
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec()
    }

    fn message(&self, signature: Vec<u8>, attributes: Option<Node>) -> Node {
        let mut signer =
            vec![integer(1), sequence(vec![name(), Node::Leaf(2, SERIAL.to_vec())]), digest_algorithm()];
        signer.extend(attributes);
        signer.extend([algorithm(oids::ECDSA_SHA256), Node::Leaf(4, signature)]);
        let signed_data = sequence(vec![
            integer(1),
            set(vec![digest_algorithm()]),
            sequence(vec![oid(oids::DATA)]),
            set(vec![sequence(signer)]),
        ]);
        sequence(vec![oid(oids::SIGNED_DATA), Node::Inner(0xa0, vec![signed_data])])
    }
}
