//! Signatures by real tools.

use std::path::PathBuf;
use std::{env, fs};

use serde_json::Value;

use super::*;
use ddi_io::{FileSource, ReadAt};
use ddi_testing::corpus;

/// systemd-repart's partitions and openssl's files: for each key, the verdict of `openssl smime -verify`.
#[test]
fn openssl_agrees_on_the_corpus() {
    let Some(corpus) = corpus() else { return };
    let keys = ["a", "b", "stranger"].map(|name| {
        let mut certificates = Certificates::new();
        certificates.add_path(corpus.join(format!("keys/{name}.crt.pem"))).unwrap();
        (name, certificates)
    });
    let (mut good, mut bad) = (0, 0);
    for entry in fs::read_dir(corpus.join("expected")).unwrap() {
        let expected: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
        for verity in expected["verity"].as_array().into_iter().flatten() {
            let Some(verdicts) = verity["signature_by"].as_object() else { continue };
            let root_hash: RootHash = verity["root_hash"].as_str().unwrap().parse().unwrap();
            let der = match &verity["signature"] {
                Value::String(file) => fs::read(corpus.join(file)).unwrap(),
                number => {
                    let partitions = expected["partitions"].as_array().unwrap();
                    let range = partitions.iter().find(|p| p["number"] == *number).unwrap();
                    let [offset, size] = ["offset", "size"].map(|key| range[key].as_u64().unwrap());
                    let size = usize::try_from(size).unwrap();
                    let image = FileSource::open(corpus.join(expected["file"].as_str().unwrap())).unwrap();
                    let mut partition = vec![0; size];
                    image.read_exact_at(offset, &mut partition).unwrap();
                    let found = RootHashSignature::parse(&partition).unwrap();
                    assert_eq!(found.root_hash, root_hash);
                    found.pkcs7
                }
            };
            let signature = DetachedSignature::parse(&der).unwrap();
            for (name, certificates) in &keys {
                let verdict = certificates.verify(&signature, &root_hash);
                assert_eq!(
                    verdict.is_ok(),
                    verdicts[*name]["verifies"] == true,
                    "{} {name}",
                    expected["name"]
                );
                match verdict {
                    Ok(verified) => {
                        assert_eq!(*verified.root_hash(), root_hash);
                        let fingerprint = verified.signer().certificate.fingerprint().to_string();
                        assert_eq!(fingerprint, expected["certificate_fingerprints_sha256"][*name]);
                        good += 1;
                    }
                    Err(error) => {
                        assert!(matches!(error, SignatureError::NotTrusted { .. }), "{error}");
                        bad += 1;
                    }
                }
            }
        }
    }
    println!("{good} good, {bad} by other keys");
    assert!(good >= 20 && bad >= 40);
}

/// The golden files of `tests/data/signature`; `make.sh` there made them.
fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    fs::read(folder.join(name)).unwrap()
}

fn certificate(name: &str) -> Certificate {
    Certificate::parse(&golden(&format!("{name}.crt"))).unwrap()
}

fn trust(names: &[&str]) -> Certificates {
    let mut certificates = Certificates::new();
    for name in names {
        certificates.add(certificate(name));
    }
    certificates
}

/// SHA-256 of "ddi".
fn root_hash() -> RootHash {
    SignatureDigest::Sha256
        .digest(b"ddi")
        .as_ref()
        .try_into()
        .map(|bytes: [u8; 32]| RootHash::from_bytes(&bytes))
        .unwrap()
        .unwrap()
}

fn verify(der: &[u8], trusted: &[&str]) -> Result<VerifiedRootHash, SignatureError> {
    trust(trusted).verify(&DetachedSignature::parse(der)?, &root_hash())
}

fn verify_file(name: &str, trusted: &[&str]) -> Result<VerifiedRootHash, SignatureError> {
    verify(&golden(&format!("{name}.p7s")), trusted)
}

#[test]
fn signatures_that_are_good() {
    use EmbeddedCertificate as E;
    use SignatureDigest::{Sha256, Sha384, Sha512};
    use SignatureScheme::{Ecdsa, RsaPkcs1};
    for (file, signer, scheme, digest, has_attributes, embedded) in [
        ("rsa2048", "rsa2048", RsaPkcs1, Sha256, false, E::None),
        ("rsa3072", "rsa3072", RsaPkcs1, Sha256, false, E::None),
        ("rsa4096", "rsa4096", RsaPkcs1, Sha256, false, E::None),
        ("rsa3072-sha384", "rsa3072", RsaPkcs1, Sha384, false, E::None),
        ("rsa4096-sha512", "rsa4096", RsaPkcs1, Sha512, false, E::None),
        ("p256", "p256", Ecdsa, Sha256, false, E::None),
        ("p256-sha384", "p256", Ecdsa, Sha384, false, E::None),
        ("p256-sha512", "p256", Ecdsa, Sha512, false, E::None),
        ("p384", "p384", Ecdsa, Sha256, false, E::None),
        ("p384-sha512", "p384-other", Ecdsa, Sha512, false, E::None),
        ("p384-sha384", "p384", Ecdsa, Sha384, false, E::None),
        ("rsa2048-attributes", "rsa2048", RsaPkcs1, Sha256, true, E::None),
        ("p256-attributes", "p256", Ecdsa, Sha256, true, E::None),
        ("p384-attributes", "p384", Ecdsa, Sha384, true, E::None),
        ("rsa2048-certificate", "rsa2048", RsaPkcs1, Sha256, false, E::Same),
        ("rsa2048-certificates", "rsa2048", RsaPkcs1, Sha256, false, E::Same),
        ("rsa2048-other-certificate", "rsa2048", RsaPkcs1, Sha256, false, E::Other),
        ("p256-certificate", "p256", Ecdsa, Sha256, false, E::Same),
        ("rsa2048-both", "rsa2048", RsaPkcs1, Sha256, true, E::Same),
        ("rsa2048-cms", "rsa2048", RsaPkcs1, Sha256, false, E::None),
        ("p256-cms-attributes", "p256", Ecdsa, Sha256, true, E::None),
        // no longer valid, still trusted
        ("expired", "expired", Ecdsa, Sha256, false, E::None),
    ] {
        let verified = verify_file(file, &["p521", signer]).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(*verified.root_hash(), root_hash());
        let found = verified.signer();
        assert_eq!(found.certificate, certificate(signer), "{file}");
        assert_eq!((found.scheme, found.digest), (scheme, digest), "{file}");
        assert_eq!((found.has_attributes, found.embedded), (has_attributes, embedded), "{file}");

        // another root hash, another key, no key
        let der = golden(&format!("{file}.p7s"));
        let signature = DetachedSignature::parse(&der).unwrap();
        let other = RootHash::from_bytes(&[0x5a; 32]).unwrap();
        let error = trust(&[signer]).verify(&signature, &other).unwrap_err();
        let expected =
            if has_attributes { SignatureError::MessageDigest } else { SignatureError::BadSignature };
        assert_eq!(error, expected, "{file}");
        assert_eq!(error.kind(), ddi_verity::ErrorKind::Mismatch);
        for trusted in [&[][..], &["p521"]] {
            let error = verify_file(file, trusted).unwrap_err();
            let not_trusted = SignatureError::NotTrusted { signer: Box::new(signature.signer().clone()) };
            assert_eq!(error, not_trusted, "{file}");
        }
    }
}

#[test]
fn root_hashes_of_other_lengths() {
    let der = golden("root512.p7s");
    let signature = DetachedSignature::parse(&der).unwrap();
    let digest = SignatureDigest::Sha512.digest(b"ddi");
    let root_hash = RootHash::from_bytes(digest.as_ref()).unwrap();
    assert!(trust(&["rsa2048"]).verify(&signature, &root_hash).is_ok());
    for size in [16, 20, 31, 33, 47, 63] {
        let short = RootHash::from_bytes(&digest.as_ref()[..size]).unwrap();
        let error = trust(&["rsa2048"]).verify(&signature, &short).unwrap_err();
        assert_eq!(error, SignatureError::RootHashNotSignable { size });
    }
}

/// A signature is for one root hash, to the last bit: with attributes and without, and of the longest.
#[test]
fn d6_every_bit_of_the_root_hash_is_signed() {
    let long = RootHash::from_bytes(SignatureDigest::Sha512.digest(b"ddi").as_ref()).unwrap();
    for (name, root) in [("rsa2048", root_hash()), ("rsa2048-attributes", root_hash()), ("root512", long)] {
        let der = golden(&format!("{name}.p7s"));
        let signature = DetachedSignature::parse(&der).unwrap();
        let trusted = trust(&["rsa2048"]);
        assert!(trusted.verify(&signature, &root).is_ok());
        for bit in 0..8 * root.as_bytes().len() {
            let mut other = root.as_bytes().to_vec();
            other[bit / 8] ^= 1 << (bit % 8);
            let other = RootHash::from_bytes(&other).unwrap();
            assert_ne!(other, root);
            assert_eq!(
                trusted.verify(&signature, &other).unwrap_err().kind(),
                ddi_verity::ErrorKind::Mismatch
            );
        }
    }
}

/// Who signed is found by all of issuer and serial number.
#[test]
fn d6_every_byte_of_the_signer_counts() {
    let der = golden("rsa2048.p7s");
    let signature = DetachedSignature::parse(&der).unwrap();
    let id = signature.signer().clone();
    let certificate = certificate("rsa2048");
    assert_eq!(*certificate.id(), id);
    let (issuer, serial) = (id.issuer.len(), id.serial.len());
    for at in 0..issuer + serial {
        let mut other = id.clone();
        match at.checked_sub(issuer) {
            None => other.issuer[at] ^= 1,
            Some(at) => other.serial[at] ^= 1,
        }
        assert_ne!(*certificate.id(), other, "byte {at}");
    }
    for shorter in 0..serial {
        let other = SignerId { serial: id.serial[..shorter].to_vec(), ..id.clone() };
        assert_ne!(*certificate.id(), other);
    }
}

#[test]
fn keys_that_do_not_fit() {
    let named = |oid: Oid| oid.name().unwrap();
    match verify_file("rsa1024", &["rsa1024"]).unwrap_err() {
        SignatureError::RsaSize { bits: 1024, min: 2048, max: 8192 } => {}
        other => panic!("{other}"),
    }
    match verify_file("p521", &["p521"]).unwrap_err() {
        SignatureError::UnsupportedCurve { found } => assert_eq!(named(found), "P-521"),
        other => panic!("{other}"),
    }
    // other keys under the same name
    assert_eq!(verify_file("rsa2048", &["twin-rsa"]).unwrap_err(), SignatureError::BadSignature);
    let scheme = SignatureScheme::RsaPkcs1;
    assert_eq!(verify_file("rsa2048", &["twin-p256"]).unwrap_err(), SignatureError::KeyScheme { scheme });
    match verify_file("rsa2048", &["twin-ed25519"]).unwrap_err() {
        SignatureError::UnsupportedKey { found } => assert_eq!(named(found), "ed25519"),
        other => panic!("{other}"),
    }
    // all of one name are tried
    assert!(verify_file("rsa2048", &["twin-rsa", "twin-p256", "twin-ed25519", "rsa2048"]).is_ok());
    assert!(verify_file("rsa2048", &["rsa2048", "twin-rsa"]).is_ok());
}

/// RSA signatures over the right digest, but not in the one form that there is.
#[test]
fn rsa_padding_has_one_form() {
    let good = golden("rsa2048.p7s");
    let with = |name: &str| {
        let signature = golden(&format!("{name}.sig"));
        assert_eq!(signature.len(), 256);
        verify(&[&good[..good.len() - 256], &signature].concat(), &["rsa2048"])
    };
    assert!(with("right").is_ok());
    for name in ["absent-null", "other-name", "bytes-behind", "bare-digest"] {
        assert_eq!(with(name).unwrap_err(), SignatureError::BadSignature, "{name}");
    }
}

/// One DER value: its tag, and its content or the values in it.
#[derive(Clone, Debug)]
enum Node {
    Leaf(u8, Vec<u8>),
    Inner(u8, Vec<Node>),
}

impl Node {
    fn parse(der: &[u8]) -> Node {
        let mut values = Self::parse_all(der);
        assert_eq!(values.len(), 1);
        values.remove(0)
    }

    fn parse_all(mut der: &[u8]) -> Vec<Node> {
        let mut nodes = Vec::new();
        while let [tag, first, rest @ ..] = der {
            let count = if *first < 0x80 { 0 } else { usize::from(first & 0x7f) };
            let (long, rest) = rest.split_at(count);
            let len = match count {
                0 => usize::from(*first),
                _ => long.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)),
            };
            let (content, rest) = rest.split_at(len);
            nodes.push(match tag & 0x20 {
                0 => Node::Leaf(*tag, content.to_vec()),
                _ => Node::Inner(*tag, Self::parse_all(content)),
            });
            der = rest;
        }
        nodes
    }

    fn der(&self) -> Vec<u8> {
        let (tag, content) = match self {
            Node::Leaf(tag, content) => (tag, content.clone()),
            Node::Inner(tag, nodes) => (tag, nodes.iter().flat_map(Node::der).collect()),
        };
        let len = content.len();
        let length = match len {
            0..0x80 => vec![len as u8],
            0x80..0x100 => vec![0x81, len as u8],
            _ => vec![0x82, (len >> 8) as u8, len as u8],
        };
        [&[*tag][..], &length, &content].concat()
    }

    fn at(&mut self, path: &[usize]) -> &mut Node {
        path.iter().fold(self, |node, &index| &mut node.nodes()[index])
    }

    fn nodes(&mut self) -> &mut Vec<Node> {
        match self {
            Node::Inner(_, nodes) => nodes,
            Node::Leaf(..) => panic!("not constructed"),
        }
    }

    fn bytes(&mut self) -> &mut Vec<u8> {
        match self {
            Node::Leaf(_, bytes) => bytes,
            Node::Inner(..) => panic!("constructed"),
        }
    }

    fn tag(&mut self) -> &mut u8 {
        match self {
            Node::Leaf(tag, _) | Node::Inner(tag, _) => tag,
        }
    }
}

fn oid_node(oid: Oid) -> Node {
    Node::Leaf(6, oid.content().to_vec())
}

fn null() -> Node {
    Node::Leaf(5, Vec::new())
}

fn integer(value: u8) -> Node {
    Node::Leaf(2, vec![value])
}

/// Where things are in a file without attributes and certificates.
const AT_SIGNED_DATA: &[usize] = &[1, 0];
const DIGEST_ALGORITHMS: &[usize] = &[1, 0, 1];
const DIGEST_ALGORITHM: &[usize] = &[1, 0, 1, 0];
const CONTENT: &[usize] = &[1, 0, 2];
const SIGNERS: &[usize] = &[1, 0, 3];
const SIGNER: &[usize] = &[1, 0, 3, 0];
const NAME: &[usize] = &[1, 0, 3, 0, 1];
const SIGNER_DIGEST: &[usize] = &[1, 0, 3, 0, 2];
const SCHEME: &[usize] = &[1, 0, 3, 0, 3];
/// … and with attributes, as OpenSSL sorts them: contentType, signingTime, messageDigest, smimeCapabilities.
const ATTRIBUTES: &[usize] = &[1, 0, 3, 0, 3];
const ATTR_TYPE: usize = 0;
const ATTR_TIME: usize = 1;
const ATTR_DIGEST: usize = 2;
/// … and with certificates.
const CERTIFICATES: &[usize] = &[1, 0, 3];

/// Puts attributes back into the order of DER.
fn sort(node: &mut Node) {
    node.at(ATTRIBUTES).nodes().sort_by_key(Node::der);
}

/// What is changed, how, and the code of the error.
type Change = (&'static str, fn(&mut Node), &'static str);
/// … in which file.
type Edit = (&'static str, &'static str, fn(&mut Node), &'static str);

/// Each of these makes one thing wrong in a good file.
#[rustfmt::skip]
fn edits() -> Vec<Edit> {
    use oid::*;
    let plain: &[Change] = &[
        // ContentInfo
        ("not a sequence", |n| *n.tag() = 0x31, "pkcs7-unexpected-tag"),
        ("no content type", |n| drop(n.nodes().remove(0)), "pkcs7-unexpected-tag"),
        ("no content", |n| drop(n.nodes().remove(1)), "pkcs7-missing-field"),
        ("nothing at all", |n| n.nodes().clear(), "pkcs7-missing-field"),
        ("is data", |n| n.nodes()[0] = oid_node(DATA), "pkcs7-not-signed-data"),
        ("more behind the content", |n| n.nodes().push(null()), "pkcs7-extra-field"),
        ("two contents", |n| { let inner = n.at(AT_SIGNED_DATA).clone(); n.at(&[1]).nodes().push(inner) }, "pkcs7-extra-field"),
        ("content tagged [1]", |n| *n.at(&[1]).tag() = 0xa1, "pkcs7-unexpected-tag"),
        ("malformed type", |n| n.at(&[0]).bytes().push(0x80), "pkcs7-object-identifier"),
        ("empty type", |n| n.at(&[0]).bytes().clear(), "pkcs7-object-identifier"),
        ("endless type", |n| n.at(&[0]).bytes().extend([0x81; 200]), "pkcs7-object-identifier"),
        // SignedData
        ("version 0", |n| n.at(AT_SIGNED_DATA).nodes()[0] = integer(0), "pkcs7-signed-data-version"),
        ("version 3", |n| n.at(AT_SIGNED_DATA).nodes()[0] = integer(3), "pkcs7-signed-data-version"),
        ("version 257", |n| n.at(AT_SIGNED_DATA).nodes()[0] = Node::Leaf(2, vec![1, 1]), "pkcs7-signed-data-version"),
        ("version 2^32 + 1", |n| n.at(AT_SIGNED_DATA).nodes()[0] = Node::Leaf(2, vec![1, 0, 0, 0, 1]), "pkcs7-signed-data-version"),
        ("version without bytes", |n| n.at(AT_SIGNED_DATA).nodes()[0].bytes().clear(), "pkcs7-integer-form"),
        ("version with a zero before", |n| n.at(AT_SIGNED_DATA).nodes()[0] = Node::Leaf(2, vec![0, 1]), "pkcs7-integer-form"),
        ("version with ones before", |n| n.at(AT_SIGNED_DATA).nodes()[0] = Node::Leaf(2, vec![0xff, 0xff]), "pkcs7-integer-form"),
        ("version is an enumeration", |n| *n.at(AT_SIGNED_DATA).nodes()[0].tag() = 10, "pkcs7-unexpected-tag"),
        ("no digest algorithm", |n| n.at(DIGEST_ALGORITHMS).nodes().clear(), "pkcs7-digest-algorithm-count"),
        ("two digest algorithms", |n| { let one = n.at(DIGEST_ALGORITHM).clone(); n.at(DIGEST_ALGORITHMS).nodes().push(one) }, "pkcs7-digest-algorithm-count"),
        ("digest algorithms in a sequence", |n| *n.at(DIGEST_ALGORITHMS).tag() = 0x30, "pkcs7-unexpected-tag"),
        ("digest algorithm without sequence", |n| n.at(DIGEST_ALGORITHMS).nodes()[0] = oid_node(SHA256), "pkcs7-unexpected-tag"),
        ("outer sha1", |n| n.at(DIGEST_ALGORITHM).nodes()[0] = oid_node(SHA1), "pkcs7-weak-digest"),
        ("outer sha512", |n| n.at(DIGEST_ALGORITHM).nodes()[0] = oid_node(SHA512), "pkcs7-digest-algorithms-differ"),
        ("outer digest without NULL", |n| drop(n.at(DIGEST_ALGORITHM).nodes().pop()), "pkcs7-digest-algorithms-differ"),
        ("revocation lists", |n| n.at(AT_SIGNED_DATA).nodes().insert(3, Node::Inner(0xa1, Vec::new())), "pkcs7-revocation-lists"),
        ("certificates twice", |n| for _ in 0..2 { n.at(AT_SIGNED_DATA).nodes().insert(3, Node::Inner(0xa0, Vec::new())) }, "pkcs7-unexpected-tag"),
        ("more behind the signers", |n| n.at(AT_SIGNED_DATA).nodes().push(null()), "pkcs7-extra-field"),
        ("no signers", |n| drop(n.at(AT_SIGNED_DATA).nodes().pop()), "pkcs7-missing-field"),
        // contentInfo
        ("content of another type", |n| n.at(CONTENT).nodes()[0] = oid_node(SIGNED_DATA), "pkcs7-content-type"),
        ("content within", |n| n.at(CONTENT).nodes().push(Node::Inner(0xa0, vec![Node::Leaf(4, vec![0x61])])), "pkcs7-attached"),
        ("empty content within", |n| n.at(CONTENT).nodes().push(Node::Inner(0xa0, Vec::new())), "pkcs7-attached"),
        ("more behind the content type", |n| n.at(CONTENT).nodes().push(null()), "pkcs7-extra-field"),
        ("no content type", |n| n.at(CONTENT).nodes().clear(), "pkcs7-missing-field"),
        // SignerInfo
        ("no signer", |n| n.at(SIGNERS).nodes().clear(), "pkcs7-no-signer"),
        ("the same signer twice", |n| { let one = n.at(SIGNER).clone(); n.at(SIGNERS).nodes().push(one) }, "pkcs7-multiple-signers"),
        ("a signer and something", |n| n.at(SIGNERS).nodes().push(null()), "pkcs7-multiple-signers"),
        ("signer is a set", |n| *n.at(SIGNER).tag() = 0x31, "pkcs7-unexpected-tag"),
        ("signer version 0", |n| n.at(SIGNER).nodes()[0] = integer(0), "pkcs7-signer-version"),
        ("signer version 3", |n| n.at(SIGNER).nodes()[0] = integer(3), "pkcs7-signer-version"),
        ("key identifier, version 1", |n| n.at(SIGNER).nodes()[1] = Node::Leaf(0x80, vec![1; 20]), "pkcs7-subject-key-identifier"),
        ("more behind the signature", |n| n.at(SIGNER).nodes().push(null()), "pkcs7-extra-field"),
        ("unsigned attributes", |n| n.at(SIGNER).nodes().push(Node::Inner(0xa1, Vec::new())), "pkcs7-unsigned-attributes"),
        ("no signature", |n| drop(n.at(SIGNER).nodes().pop()), "pkcs7-missing-field"),
        ("signature is a bit string", |n| *n.at(SIGNER).nodes()[4].tag() = 3, "pkcs7-unexpected-tag"),
        // issuerAndSerialNumber
        ("no serial number", |n| drop(n.at(NAME).nodes().pop()), "pkcs7-missing-field"),
        ("serial number before the issuer", |n| n.at(NAME).nodes().swap(0, 1), "pkcs7-unexpected-tag"),
        ("serial number with a zero before", |n| n.at(NAME).nodes()[1].bytes().insert(0, 0), "pkcs7-integer-form"),
        ("serial number without bytes", |n| n.at(NAME).nodes()[1].bytes().clear(), "pkcs7-integer-form"),
        ("endless serial number", |n| *n.at(NAME).nodes()[1].bytes() = vec![1; 43], "pkcs7-serial-size"),
        ("endless issuer", |n| n.at(NAME).nodes()[0].nodes().push(Node::Leaf(4, vec![0; 5000])), "pkcs7-name-size"),
        ("issuer is deep", |n| { let mut deep = null(); for _ in 0..100 { deep = Node::Inner(0x30, vec![deep]) } n.at(NAME).nodes()[0] = deep }, "pkcs7-depth"),
        ("more behind the serial number", |n| n.at(NAME).nodes().push(null()), "pkcs7-extra-field"),
        ("another serial number", |n| n.at(NAME).nodes()[1].bytes()[7] ^= 1, "signature-not-trusted"),
        ("another issuer", |n| n.at(NAME).nodes()[0].nodes().clear(), "signature-not-trusted"),
        // algorithms
        ("inner md5", |n| n.at(SIGNER_DIGEST).nodes()[0] = oid_node(MD5), "pkcs7-weak-digest"),
        ("inner sha1", |n| n.at(SIGNER_DIGEST).nodes()[0] = oid_node(SHA1), "pkcs7-weak-digest"),
        ("inner sha384", |n| n.at(SIGNER_DIGEST).nodes()[0] = oid_node(SHA384), "pkcs7-digest-algorithms-differ"),
        ("inner digest without NULL", |n| drop(n.at(SIGNER_DIGEST).nodes().pop()), "pkcs7-digest-algorithms-differ"),
        ("sha3", |n| for at in [DIGEST_ALGORITHM, SIGNER_DIGEST] { n.at(at).nodes()[0] = oid_node(SHA3_256) }, "pkcs7-unsupported-digest"),
        ("sha224", |n| for at in [DIGEST_ALGORITHM, SIGNER_DIGEST] { n.at(at).nodes()[0] = oid_node(SHA224) }, "pkcs7-unsupported-digest"),
        ("both sha512", |n| for at in [DIGEST_ALGORITHM, SIGNER_DIGEST] { n.at(at).nodes()[0] = oid_node(SHA512) }, "signature-bad"),
        ("digest parameters", |n| for at in [DIGEST_ALGORITHM, SIGNER_DIGEST] { n.at(at).nodes()[1] = integer(1) }, "pkcs7-digest-parameters"),
        ("NULL with content", |n| for at in [DIGEST_ALGORITHM, SIGNER_DIGEST] { n.at(at).nodes()[1].bytes().push(0) }, "pkcs7-digest-parameters"),
        ("two digest parameters", |n| for at in [DIGEST_ALGORITHM, SIGNER_DIGEST] { n.at(at).nodes().push(null()) }, "pkcs7-extra-field"),
        ("RSA without NULL", |n| drop(n.at(SCHEME).nodes().pop()), "pkcs7-scheme-parameters"),
        ("RSA with parameters", |n| n.at(SCHEME).nodes()[1] = integer(1), "pkcs7-scheme-parameters"),
        ("RSA with two NULL", |n| n.at(SCHEME).nodes().push(null()), "pkcs7-extra-field"),
        ("PSS", |n| n.at(SCHEME).nodes()[0] = oid_node(RSA_PSS), "pkcs7-rsa-pss"),
        ("RSA with sha1", |n| n.at(SCHEME).nodes()[0] = oid_node(RSA_SHA1), "pkcs7-weak-digest"),
        ("RSA with md5", |n| n.at(SCHEME).nodes()[0] = oid_node(RSA_MD5), "pkcs7-weak-digest"),
        ("RSA with sha384", |n| n.at(SCHEME).nodes()[0] = oid_node(RSA_SHA384), "pkcs7-scheme-digest"),
        ("DSA", |n| n.at(SCHEME).nodes()[0] = oid_node(DSA_SHA256), "pkcs7-unsupported-scheme"),
        ("Ed25519", |n| n.at(SCHEME).nodes()[0] = oid_node(ED25519), "pkcs7-unsupported-scheme"),
        ("a key for a scheme", |n| n.at(SCHEME).nodes()[0] = oid_node(EC), "pkcs7-unsupported-scheme"),
        ("ECDSA with NULL", |n| n.at(SCHEME).nodes()[0] = oid_node(ECDSA_SHA256), "pkcs7-scheme-parameters"),
        ("ECDSA by an RSA key", |n| *n.at(SCHEME).nodes() = vec![oid_node(ECDSA_SHA256)], "signature-key-scheme"),
        // the signature
        ("no bytes in the signature", |n| n.at(SIGNER).nodes()[4].bytes().clear(), "signature-bad"),
        ("signature with a zero before", |n| n.at(SIGNER).nodes()[4].bytes().insert(0, 0), "signature-bad"),
        ("signature with a zero behind", |n| n.at(SIGNER).nodes()[4].bytes().push(0), "signature-bad"),
        ("signature of zeros", |n| n.at(SIGNER).nodes()[4].bytes().fill(0), "signature-bad"),
        ("signature of one", |n| { let bytes = n.at(SIGNER).nodes()[4].bytes(); bytes.fill(0); bytes[255] = 1 }, "signature-bad"),
        ("signature above the modulus", |n| n.at(SIGNER).nodes()[4].bytes().fill(0xff), "signature-bad"),
        // attributes where there are none
        ("empty attributes", |n| n.at(SIGNER).nodes().insert(3, Node::Inner(0xa0, Vec::new())), "pkcs7-attribute-missing"),
    ];
    let attributes: &[Change] = &[
        ("no attributes", |n| drop(n.at(SIGNER).nodes().remove(3)), "signature-bad"),
        ("no messageDigest", |n| drop(n.at(ATTRIBUTES).nodes().remove(ATTR_DIGEST)), "pkcs7-attribute-missing"),
        ("no contentType", |n| drop(n.at(ATTRIBUTES).nodes().remove(ATTR_TYPE)), "pkcs7-attribute-missing"),
        ("no signingTime", |n| drop(n.at(ATTRIBUTES).nodes().remove(ATTR_TIME)), "signature-bad"),
        ("messageDigest twice", |n| { let one = n.at(ATTRIBUTES).nodes()[ATTR_DIGEST].clone(); n.at(ATTRIBUTES).nodes().insert(ATTR_DIGEST, one) }, "pkcs7-attribute-twice"),
        ("contentType twice", |n| { let one = n.at(ATTRIBUTES).nodes()[ATTR_TYPE].clone(); n.at(ATTRIBUTES).nodes().insert(ATTR_TYPE, one) }, "pkcs7-attribute-twice"),
        ("signingTime twice", |n| { let one = n.at(ATTRIBUTES).nodes()[ATTR_TIME].clone(); n.at(ATTRIBUTES).nodes().insert(ATTR_TIME, one) }, "pkcs7-attribute-twice"),
        ("messageDigest with two values", |n| { let set = n.at(ATTRIBUTES).at(&[ATTR_DIGEST, 1]); let one = set.nodes()[0].clone(); set.nodes().push(one) }, "pkcs7-attribute-values"),
        ("messageDigest without value", |n| { n.at(ATTRIBUTES).at(&[ATTR_DIGEST, 1]).nodes().clear(); sort(n) }, "pkcs7-attribute-values"),
        ("contentType without value", |n| n.at(ATTRIBUTES).at(&[ATTR_TYPE, 1]).nodes().clear(), "pkcs7-attribute-values"),
        ("contentType with two values", |n| { let set = n.at(ATTRIBUTES).at(&[ATTR_TYPE, 1]); let one = set.nodes()[0].clone(); set.nodes().push(one); sort(n) }, "pkcs7-attribute-values"),
        ("contentType is signedData", |n| n.at(ATTRIBUTES).at(&[ATTR_TYPE, 1]).nodes()[0] = oid_node(SIGNED_DATA), "pkcs7-content-type-attribute"),
        ("contentType is no identifier", |n| *n.at(ATTRIBUTES).at(&[ATTR_TYPE, 1, 0]).tag() = 4, "pkcs7-content-type-attribute"),
        ("messageDigest is a bit string", |n| *n.at(ATTRIBUTES).at(&[ATTR_DIGEST, 1, 0]).tag() = 3, "pkcs7-message-digest-form"),
        ("messageDigest of something else", |n| n.at(ATTRIBUTES).at(&[ATTR_DIGEST, 1, 0]).bytes()[0] ^= 1, "pkcs7-message-digest"),
        ("messageDigest cut short", |n| n.at(ATTRIBUTES).at(&[ATTR_DIGEST, 1, 0]).bytes().truncate(31), "pkcs7-message-digest"),
        ("messageDigest without bytes", |n| { n.at(ATTRIBUTES).at(&[ATTR_DIGEST, 1, 0]).bytes().clear(); sort(n) }, "pkcs7-message-digest"),
        ("attributes out of order", |n| n.at(ATTRIBUTES).nodes().swap(0, 1), "pkcs7-attribute-order"),
        ("attribute is a set", |n| *n.at(ATTRIBUTES).nodes()[0].tag() = 0x31, "pkcs7-unexpected-tag"),
        ("attribute without values", |n| drop(n.at(ATTRIBUTES).nodes()[0].nodes().pop()), "pkcs7-missing-field"),
        ("attribute with more behind", |n| n.at(ATTRIBUTES).nodes()[0].nodes().push(null()), "pkcs7-extra-field"),
        ("values in a sequence", |n| *n.at(ATTRIBUTES).at(&[0, 1]).tag() = 0x30, "pkcs7-unexpected-tag"),
        ("attributes tagged as set", |n| *n.at(ATTRIBUTES).tag() = 0x31, "pkcs7-unexpected-tag"),
        ("attributes behind the signature", |n| { let all = n.at(SIGNER).nodes().remove(3); n.at(SIGNER).nodes().push(all) }, "pkcs7-extra-field"),
        ("attributes made unsigned", |n| { let mut all = n.at(SIGNER).nodes().remove(3); *all.tag() = 0xa1; n.at(SIGNER).nodes().push(all) }, "pkcs7-unsigned-attributes"),
        ("many attributes", |n| { let mut many: Vec<_> = (0..40).map(|i| Node::Inner(0x30, vec![Node::Leaf(6, vec![42, i]), Node::Inner(0x31, Vec::new())])).collect(); n.at(ATTRIBUTES).nodes().drain(..); n.at(ATTRIBUTES).nodes().append(&mut many) }, "pkcs7-too-many-attributes"),
    ];
    let certificates: &[Change] = &[
        ("certificate by reference", |n| *n.at(CERTIFICATES).nodes()[0].tag() = 0xa0, "pkcs7-certificate-choice"),
        ("certificate is a string", |n| n.at(CERTIFICATES).nodes()[0] = Node::Leaf(4, vec![1]), "pkcs7-certificate-choice"),
        ("certificate with a broken length", |n| n.at(CERTIFICATES).nodes()[0].nodes()[2] = Node::Inner(0x30, vec![Node::Leaf(0x9f, vec![])]), "pkcs7-tag-form"),
        ("a crowd of certificates", |n| *n.at(CERTIFICATES).nodes() = vec![Node::Inner(0x30, Vec::new()); 65], "pkcs7-too-many-certificates"),
        ("certificate is deep", |n| { let mut deep = null(); for _ in 0..100 { deep = Node::Inner(0x30, vec![deep]) } n.at(CERTIFICATES).nodes()[0] = deep }, "pkcs7-depth"),
    ];
    let all = |file, edits: &[Change]| {
        edits.iter().map(|&(what, edit, code)| (file, what, edit, code)).collect::<Vec<Edit>>()
    };
    [all("rsa2048", plain), all("rsa2048-attributes", attributes), all("rsa2048-certificate", certificates)].concat()
}

#[test]
fn every_broken_rule_has_its_own_reason() {
    for name in ["rsa2048", "rsa2048-attributes", "rsa2048-certificate"] {
        let der = golden(&format!("{name}.p7s"));
        assert_eq!(Node::parse(&der).der(), der, "{name}");
    }
    let mut codes = std::collections::BTreeSet::new();
    let edits = edits();
    for (file, what, edit, code) in &edits {
        let mut node = Node::parse(&golden(&format!("{file}.p7s")));
        edit(&mut node);
        let error = verify(&node.der(), &["rsa2048"]).expect_err(what);
        assert_eq!(error.code(), *code, "{file}, {what}: {error}");
        codes.insert(*code);
    }
    println!("{} files, {} reasons", edits.len(), codes.len());
    assert!(edits.len() >= 60);
}

/// The encoding itself: what no tree of values can say.
#[test]
fn der_has_one_form() {
    let good = golden("rsa2048.p7s");
    let code = |der: &[u8]| verify(der, &["rsa2048"]).unwrap_err().code();
    let (header, body) = good.split_at(4);
    assert_eq!(header[..2], [0x30, 0x82]);
    assert_eq!(code(&[]), "pkcs7-missing-field");
    assert_eq!(code(&[&good[..], &[0]].concat()), "pkcs7-trailing-data");
    assert_eq!(code(&[&good[..], &good[..]].concat()), "pkcs7-trailing-data");
    assert_eq!(code(&[&[0], &good[..]].concat()), "pkcs7-tag-form");
    for end in 1..good.len() {
        assert_eq!(code(&good[..end]), "pkcs7-truncated", "{end}");
    }
    // indefinite, as BER has it
    assert_eq!(code(&[&[0x30, 0x80], body, &[0, 0]].concat()), "pkcs7-indefinite-length");
    // lengths with bytes too many
    assert_eq!(code(&[&[0x30, 0x83, 0, header[2], header[3]], body].concat()), "pkcs7-length-form");
    assert_eq!(code(&[&[0x30, 0x84, 0, 0, header[2], header[3]], body].concat()), "pkcs7-length-form");
    assert_eq!(code(&[&[0x30, 0x85, 0, 0, 0, header[2], header[3]], body].concat()), "pkcs7-length-form");
    assert_eq!(code(&[&[0x30, 0xff], body].concat()), "pkcs7-length-form");
    assert_eq!(code(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), "pkcs7-truncated");
    let mut long_oid = good.clone();
    assert_eq!(long_oid[4..6], [6, 9]);
    long_oid.splice(5..6, [0x81, 9]);
    long_oid[3] += 1;
    assert_eq!(code(&long_oid), "pkcs7-length-form");
    // tags: a primitive sequence, a constructed string, the long form of a short one, none of this world
    for tag in [0x10, 0x24, 0x1f, 0x3f, 0x00, 0x0f] {
        assert_eq!(code(&[&[tag], &good[1..]].concat()), "pkcs7-tag-form", "{tag:#x}");
    }
    // PEM is something else, and has a name
    assert_eq!(code(b"-----BEGIN PKCS7-----\n"), "signature-not-der");
    let large = vec![0x30; MAX_SIGNATURE_SIZE + 1];
    assert_eq!(code(&large), "signature-too-large");
}

/// Files that OpenSSL makes when it is told to.
#[test]
fn kinds_that_are_not_taken() {
    for (name, expected) in [
        ("sha1", "pkcs7-weak-digest"),
        ("md5", "pkcs7-weak-digest"),
        ("sha224", "pkcs7-unsupported-digest"),
        ("attached", "pkcs7-attached"),
        ("two-signers", "pkcs7-multiple-signers"),
        ("key-identifier", "pkcs7-signed-data-version"),
        ("pss", "pkcs7-rsa-pss"),
    ] {
        let error = verify_file(name, &["rsa2048", "p256"]).unwrap_err();
        assert_eq!(error.code(), expected, "{name}: {error}");
        assert_eq!(error.kind(), ddi_verity::ErrorKind::Unsupported, "{name}");
    }
    let text = verify_file("sha1", &["rsa2048"]).unwrap_err().to_string();
    assert_eq!(text, "PKCS#7: sha1 (1.3.14.3.2.26) is too weak");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(2000))]
    /// Nothing that is cut out of, put into or copied within a good file verifies, and nothing panics.
    #[test]
    fn mangled_files_never_verify(
        name in proptest::sample::select(vec!["rsa2048", "rsa2048-both", "p256-attributes", "p384"]),
        cuts in proptest::collection::vec(
            (proptest::prelude::any::<proptest::sample::Index>(), 0..9_usize, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..9)),
            1..4,
        ),
    ) {
        let good = golden(&format!("{name}.p7s"));
        let mut der = good.clone();
        for (at, len, new) in cuts {
            let at = at.index(der.len());
            let end = (at + len).min(der.len());
            der.splice(at..end, new);
        }
        let verdict = verify(&der, &["rsa2048", "p256", "p384"]);
        let same = verify(&good, &["rsa2048", "p256", "p384"]).unwrap();
        // bytes of the embedded certificate may be changed, as above
        if let Ok(verified) = verdict {
            proptest::prop_assert!(der == good || verified.signer().embedded == EmbeddedCertificate::Other);
            proptest::prop_assert_eq!(verified.root_hash(), same.root_hash());
        }
    }

    /// Any text, and any change to a good one: no panic, and the same root hash or an error.
    #[test]
    fn mangled_partitions(
        at in proptest::prelude::any::<proptest::sample::Index>(),
        len in 0..9_usize,
        new in ".{0,9}",
        any in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
    ) {
        let _ = RootHashSignature::parse(&any);
        let _ = DetachedSignature::parse(&any);
        let good = format!(r#"{{"rootHash":"{}","x":{{"y":[1,2,{{}}]}},"signature":"MAA="}}"#, root_hash());
        let at = at.index(good.len());
        let mut text = good.into_bytes();
        let end = (at + len).min(text.len());
        text.splice(at..end, new.bytes());
        if let Ok(found) = RootHashSignature::parse(&text) {
            proptest::prop_assert_eq!(found.root_hash.as_bytes().len(), 32);
        }
    }
}

/// Large and hostile input takes little time.
#[test]
fn time_is_bounded() {
    let start = std::time::Instant::now();
    let half = MAX_SIGNATURE_SIZE / 2;
    let mut empty_values = vec![0x30, 0x84];
    empty_values.extend((half as u32 * 2 - 6).to_be_bytes());
    for (tag, len) in [(0x30, 0), (0x31, 0), (0x05, 0), (0xa0, 0)] {
        let mut der = empty_values.clone();
        der.extend(std::iter::repeat_n([tag, len], half - 3).flatten());
        assert!(DetachedSignature::parse(&der).is_err());
    }
    // certificates, digest algorithms and signers without number
    for (path, element) in [(&[1, 0, 3][..], 0x30), (&[1, 0, 1], 0x30), (&[1, 0, 4], 0x30)] {
        let mut node = Node::parse(&golden("rsa2048-certificate.p7s"));
        *node.at(path).nodes() = vec![Node::Inner(element, Vec::new()); 30_000];
        assert!(verify(&node.der(), &["rsa2048"]).is_err());
    }
    for text in ["[", "{\"a\":", "{\"a\":1,\"b\":[", "\"", "1", "[[],", "{\"\\u0061\":{},"] {
        let mut json = b"{\"a\":[".to_vec();
        while json.len() + text.len() <= MAX_SIGNATURE_TEXT {
            json.extend(text.bytes());
        }
        assert!(RootHashSignature::parse(&json).is_err(), "{text}");
    }
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

/// The bits of a file that may flip without the signature failing.
fn flips_that_verify(name: &str, trusted: &str) -> Vec<usize> {
    let mut der = golden(&format!("{name}.p7s"));
    let trust = trust(&[trusted]);
    let root_hash = root_hash();
    let mut verifying = Vec::new();
    for bit in 0..der.len() * 8 {
        der[bit / 8] ^= 0x80 >> (bit % 8);
        let verdict = DetachedSignature::parse(&der).and_then(|parsed| trust.verify(&parsed, &root_hash));
        if let Ok(verified) = verdict {
            // whoever flips one is seen
            assert_eq!(verified.signer().embedded, EmbeddedCertificate::Other, "bit {bit}");
            verifying.push(bit);
        }
        der[bit / 8] ^= 0x80 >> (bit % 8);
    }
    verifying
}

/// Without a certificate inside there is no bit that does not count.
#[test]
fn no_bit_may_flip() {
    for name in ["rsa2048", "p256", "p384-sha384", "rsa2048-attributes", "p256-attributes", "rsa2048-cms"] {
        let signer = name.split('-').next().unwrap();
        assert_eq!(flips_that_verify(name, signer), [0_usize; 0], "{name}");
    }
}

/// With one, its bits do not count, as they do not for systemd: it is not what is trusted. Those that do are tags and
/// lengths, as what is not DER is refused.
#[test]
fn bits_of_an_embedded_certificate_may_flip() {
    for (name, signer) in [("rsa2048-certificate", "rsa2048"), ("p256-certificate", "p256")] {
        let der = golden(&format!("{name}.p7s"));
        let parsed = DetachedSignature::parse(&der).unwrap();
        let [embedded] = parsed.embedded_certificates() else { panic!("{name}") };
        let start = der.windows(embedded.len()).position(|window| window == *embedded).unwrap();
        let verifying = flips_that_verify(name, signer);
        let listed = golden("flips.txt");
        let listed = std::str::from_utf8(&listed).unwrap();
        let found: String = {
            // runs of bits, as FIRST-LAST
            let mut runs: Vec<(usize, usize)> = Vec::new();
            for &bit in &verifying {
                assert!((start * 8..(start + embedded.len()) * 8).contains(&bit), "{name}: bit {bit}");
                match runs.last_mut() {
                    Some((_, last)) if *last + 1 == bit => *last = bit,
                    _ => runs.push((bit, bit)),
                }
            }
            runs.iter().map(|(first, last)| format!("{name} {first}-{last}\n")).collect()
        };
        let expected: String = listed
            .lines()
            .filter(|line| line.starts_with(&format!("{name} ")))
            .map(|line| format!("{line}\n"))
            .collect();
        println!("{name}: {} of {} bits, all within the certificate", verifying.len(), der.len() * 8);
        assert!(found == expected, "flips.txt should say:\n{found}");
    }
}

/// Each limit is the last that passes, and a number is told as it stands.
#[test]
fn limits_and_numbers() {
    let with = |edit: &dyn Fn(&mut Node)| {
        let mut node = Node::parse(&golden("rsa2048.p7s"));
        edit(&mut node);
        node.der()
    };
    for (path, index) in [(AT_SIGNED_DATA, 0), (SIGNER, 0)] {
        let der = with(&|node| node.at(path).nodes()[index] = Node::Leaf(2, vec![3, 4]));
        let found = match DetachedSignature::parse(&der).unwrap_err() {
            SignatureError::SignedDataVersion { found } | SignatureError::SignerVersion { found } => found,
            other => panic!("{other}"),
        };
        assert_eq!(found, 0x304);
    }
    let serial = |size| with(&|node| node.at(SIGNER).nodes()[1].nodes()[1] = Node::Leaf(2, vec![1; size]));
    let name = |size| {
        with(&|node| {
            node.at(SIGNER).nodes()[1].nodes()[0] = Node::Inner(0x30, vec![Node::Leaf(4, vec![1; size - 8])])
        })
    };
    let whole = |size: usize| {
        let mut der = vec![0x30, 0x83, 0, 0, 0];
        der.resize(size, 0);
        der
    };
    for (max, code, der) in [
        (42, "pkcs7-serial-size", &serial as &dyn Fn(usize) -> Vec<u8>),
        (4096, "pkcs7-name-size", &name),
        (4 << 20, "signature-too-large", &whole),
    ] {
        let code_of = |size| DetachedSignature::parse(&der(size)).map_or_else(|error| error.code(), |_| "");
        assert_eq!(code_of(max + 1), code);
        assert_ne!(code_of(max), code);
    }
    let id = DetachedSignature::parse(&serial(2)).unwrap().signer().clone();
    assert_eq!(format!("{id:?}"), "SignerId(issuer CN=rsa2048,O=ddi, serial 0101)");
}

/// What is no DER is called by its name, and nothing that is DER is.
#[test]
fn f9_what_people_have_in_place_of_der() {
    let der = golden("p256.p7s");
    let text = <base64ct::Base64 as base64ct::Encoding>::encode_string(&der);
    let lines = text.as_bytes().chunks(64).map(|line| [line, b"\n"].concat()).collect::<Vec<_>>().concat();
    for (bytes, form) in [
        (b"-----BEGIN PKCS7-----\nMII".to_vec(), Some(SignatureForm::Pem)),
        (b"\n-----begin CMS-----".to_vec(), Some(SignatureForm::Pem)),
        (b"MIME-Version: 1.0\n".to_vec(), Some(SignatureForm::Smime)),
        (b"Content-Type: multipart/signed".to_vec(), Some(SignatureForm::Smime)),
        (text.clone().into_bytes(), Some(SignatureForm::Base64)),
        (lines, Some(SignatureForm::Base64)),
        (vec![0x7f; 256], Some(SignatureForm::Bare)),
        (vec![0x7f; 255], None),
        (b"MI?".to_vec(), None),
        (Vec::new(), None),
        (vec![0x31; 100], None),
    ] {
        let error = DetachedSignature::parse(&bytes).unwrap_err();
        match form {
            Some(form) => assert_eq!(error, SignatureError::NotDer { form }),
            None => assert!(!matches!(error, SignatureError::NotDer { .. }), "{error}"),
        }
    }
    assert!(DetachedSignature::parse(&der).is_ok());
}
