//! The PKCS#7 message of a signature partition. The root hash is right and every block matches, so the image is intact;
//! what must not happen is that the signature vouches for it.

use std::path::Path;

use super::base::{GOOD, Part, disk};
use super::der::{Node, Signer, integer, null, oid, oids, sequence, set};
use super::{Class, Hostile, Media, Node as File};
use crate::support::image::signature_partition;

/// Where things are in a message without attributes.
const DATA: &[usize] = &[1, 0];
const DIGESTS: &[usize] = &[1, 0, 1];
const DIGEST: &[usize] = &[1, 0, 1, 0];
const CONTENT: &[usize] = &[1, 0, 2];
const SIGNERS: &[usize] = &[1, 0, 3];
const SIGNER: &[usize] = &[1, 0, 3, 0];
const NAME: &[usize] = &[1, 0, 3, 0, 1];
const SIGNER_DIGEST: &[usize] = &[1, 0, 3, 0, 2];
const SCHEME: &[usize] = &[1, 0, 3, 0, 3];
const SIGNATURE: &[usize] = &[1, 0, 3, 0, 4];
/// … and with attributes.
const ATTRIBUTES: &[usize] = &[1, 0, 3, 0, 3];
const ATTRIBUTE_TYPE: &[usize] = &[1, 0, 3, 0, 3, 0];
const ATTRIBUTE_DIGEST: &[usize] = &[1, 0, 3, 0, 3, 1];

/// The good image, with this message in its signature partition.
pub(crate) fn signed(message: &[u8]) -> Media {
    let mut parts = GOOD.parts("root-x86-64", "os_1");
    let json = signature_partition(&GOOD.root, message);
    let size = json.len().next_multiple_of(4096) as u64;
    parts.push(Part::new("root-x86-64-verity-sig", "os_1_s", &json).size(size));
    disk(&parts)
}

pub(crate) const CERTIFICATE: &str = "signer.crt";

/// Lays the certificate beside it.
pub(crate) fn trusted(image: &mut Hostile) {
    let certificate = Signer::get().certificate.clone();
    image.files.push((CERTIFICATE.into(), File::File(certificate)));
}

pub(crate) fn images() -> Class {
    let mut class = Class::new("C6");
    let text = GOOD.hex();
    let signer = Signer::get();
    let mut add = |what: &str, message: &[u8], answer| {
        let ask = format!("verify --certificate {{dir}}/{CERTIFICATE}");
        trusted(class.add(what, signed(message), &ask, 3, answer));
    };
    plain(&mut add, &text, signer);
    attributes(&mut add, &text, signer);
    encodings(&mut add, &signer.plain(&text).der());
    files(&mut class);
    class
}

type Add<'a> = dyn FnMut(&str, &[u8], &'static str) + 'a;

/// A message that was good, with one thing changed.
#[rustfmt::skip]
fn plain(add: &mut Add<'_>, text: &str, signer: &Signer) {
    let mut edit = |what: &str, change: &dyn Fn(&mut Node), answer| {
        let mut message = signer.plain(text);
        change(&mut message);
        add(what, &message.der(), answer);
    };
    let digests = [DIGEST, SIGNER_DIGEST];
    edit("a set instead of the outer sequence", &|n| *n.tag() = 0x31, "pkcs7-unexpected-tag");
    edit("an outer sequence with nothing in it", &|n| n.nodes().clear(), "pkcs7-missing-field");
    edit("type data instead of signedData", &|n| n.nodes()[0] = oid(oids::DATA), "pkcs7-not-signed-data");
    edit("a type that does not end", &|n| n.nodes()[0].bytes().push(0x80), "pkcs7-object-identifier");
    edit("a second content", &|n| { let two = n.at(DATA).clone(); n.at(&[1]).nodes().push(two) }, "pkcs7-extra-field");
    edit("something behind the content", &|n| n.nodes().push(null()), "pkcs7-extra-field");
    edit("version 0", &|n| n.at(DATA).nodes()[0] = integer(0), "pkcs7-signed-data-version");
    edit("version 2^32+1", &|n| n.at(DATA).nodes()[0] = Node::Leaf(2, vec![1, 0, 0, 0, 1]), "pkcs7-signed-data-version");
    edit("version with a zero before it", &|n| n.at(DATA).nodes()[0] = Node::Leaf(2, vec![0, 1]), "pkcs7-integer-form");
    edit("no digest algorithm", &|n| n.at(DIGESTS).nodes().clear(), "pkcs7-digest-algorithm-count");
    edit("two digest algorithms", &|n| n.at(DIGESTS).nodes().push(sequence(vec![oid(oids::SHA512), null()])), "pkcs7-digest-algorithm-count");
    edit("the outer digest is sha512", &|n| n.at(DIGEST).nodes()[0] = oid(oids::SHA512), "pkcs7-digest-algorithms-differ");
    edit("the inner digest is sha384", &|n| n.at(SIGNER_DIGEST).nodes()[0] = oid(oids::SHA384), "pkcs7-digest-algorithms-differ");
    edit("both digests are md5", &|n| for at in digests { n.at(at).nodes()[0] = oid(oids::MD5) }, "pkcs7-weak-digest");
    edit("both digests are sha1", &|n| for at in digests { n.at(at).nodes()[0] = oid(oids::SHA1) }, "pkcs7-weak-digest");
    edit("both digests are sha224", &|n| for at in digests { n.at(at).nodes()[0] = oid(oids::SHA224) }, "pkcs7-unsupported-digest");
    edit("digest parameters", &|n| for at in digests { n.at(at).nodes()[1] = integer(1) }, "pkcs7-digest-parameters");
    edit("content of type signedData", &|n| n.at(CONTENT).nodes()[0] = oid(oids::SIGNED_DATA), "pkcs7-content-type");
    edit("the text is attached", &|n| n.at(CONTENT).nodes().push(Node::Inner(0xa0, vec![Node::Leaf(4, text.as_bytes().to_vec())])), "pkcs7-attached");
    edit("another text is attached", &|n| n.at(CONTENT).nodes().push(Node::Inner(0xa0, vec![Node::Leaf(4, b"x".to_vec())])), "pkcs7-attached");
    edit("revocation lists", &|n| n.at(DATA).nodes().insert(3, Node::Inner(0xa1, Vec::new())), "pkcs7-revocation-lists");
    edit("65 certificates", &|n| n.at(DATA).nodes().insert(3, Node::Inner(0xa0, vec![sequence(vec![]); 65])), "pkcs7-too-many-certificates");
    edit("a certificate that is a string", &|n| n.at(DATA).nodes().insert(3, Node::Inner(0xa0, vec![Node::Leaf(4, vec![1])])), "pkcs7-certificate-choice");
    edit("a certificate of a hundred levels", &|n| { let deep = (0..100).fold(null(), |deep, _| sequence(vec![deep])); n.at(DATA).nodes().insert(3, Node::Inner(0xa0, vec![deep])) }, "pkcs7-depth");
    edit("no signer", &|n| n.at(SIGNERS).nodes().clear(), "pkcs7-no-signer");
    edit("the signer twice", &|n| { let two = n.at(SIGNER).clone(); n.at(SIGNERS).nodes().push(two) }, "pkcs7-multiple-signers");
    edit("a signer of another form", &|n| n.at(SIGNER).nodes()[1] = Node::Leaf(0x80, vec![1; 20]), "pkcs7-subject-key-identifier");
    edit("signer version 3", &|n| n.at(SIGNER).nodes()[0] = integer(3), "pkcs7-signer-version");
    edit("unsigned attributes", &|n| n.at(SIGNER).nodes().push(Node::Inner(0xa1, Vec::new())), "pkcs7-unsigned-attributes");
    edit("an issuer of 5000 bytes", &|n| n.at(NAME).nodes()[0].nodes().push(Node::Leaf(4, vec![0; 5000])), "pkcs7-name-size");
    edit("an issuer of a hundred levels", &|n| n.at(NAME).nodes()[0] = (0..100).fold(null(), |deep, _| sequence(vec![deep])), "pkcs7-depth");
    edit("a serial number of 43 bytes", &|n| *n.at(NAME).nodes()[1].bytes() = vec![1; 43], "pkcs7-serial-size");
    edit("another serial number", &|n| n.at(NAME).nodes()[1].bytes()[7] ^= 1, "not-trusted");
    edit("no issuer", &|n| n.at(NAME).nodes()[0].nodes().clear(), "not-trusted");
    edit("ECDSA with sha1", &|n| n.at(SCHEME).nodes()[0] = oid(oids::ECDSA_SHA1), "pkcs7-weak-digest");
    edit("ECDSA with sha384", &|n| n.at(SCHEME).nodes()[0] = oid(oids::ECDSA_SHA384), "pkcs7-scheme-digest");
    edit("ECDSA with NULL", &|n| n.at(SCHEME).nodes().push(null()), "pkcs7-scheme-parameters");
    edit("RSA by a key that is none", &|n| *n.at(SCHEME).nodes() = vec![oid(oids::RSA), null()], "signature-key-scheme");
    edit("RSA-PSS", &|n| n.at(SCHEME).nodes()[0] = oid(oids::RSA_PSS), "pkcs7-rsa-pss");
    edit("Ed25519", &|n| n.at(SCHEME).nodes()[0] = oid(oids::ED25519), "pkcs7-unsupported-scheme");
    edit("no signature", &|n| drop(n.at(SIGNER).nodes().pop()), "pkcs7-missing-field");
    edit("a signature without bytes", &|n| n.at(SIGNATURE).bytes().clear(), "signature-bad");
    edit("a signature of zeros", &|n| n.at(SIGNATURE).bytes().fill(0), "signature-bad");
    edit("one bit of the signature", &|n| *n.at(SIGNATURE).bytes().last_mut().unwrap() ^= 1, "signature-bad");
    edit("a byte behind the signature", &|n| n.at(SIGNATURE).bytes().push(0), "signature-bad");
    // ECDSA signatures of r = s = 0, of r = s = 1, and of a negative r
    edit("r and s are 0", &|n| *n.at(SIGNATURE).bytes() = sequence(vec![integer(0), integer(0)]).der(), "signature-bad");
    edit("r and s are 1", &|n| *n.at(SIGNATURE).bytes() = sequence(vec![integer(1), integer(1)]).der(), "signature-bad");
    edit("r is negative", &|n| *n.at(SIGNATURE).bytes() = sequence(vec![integer(0x80), integer(1)]).der(), "signature-bad");
    // right signatures, of something else
    for (what, other) in [
        ("with a line feed", format!("{text}\n")),
        ("with a NUL", format!("{text}\0")),
        ("in capitals", text.to_uppercase()),
        ("of which half is missing", text[..32].to_owned()),
        ("that is none, but the empty text", String::new()),
        ("of another image", "5a".repeat(32)),
    ] {
        // what people sign by mistake has a name of its own
        let is_form = matches!(what, "with a line feed" | "in capitals");
        let answer = if is_form { "signature-form" } else { "signature-bad" };
        add(&format!("a good signature of a root hash {what}"), &signer.plain(&other).der(), answer);
    }
    let bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect();
    let mut message = signer.plain(text);
    *message.at(SIGNATURE).bytes() = signer.sign(&bytes);
    add("a good signature of the root hash in binary", &message.der(), "signature-form");
}

/// A message with attributes. Where it says so, the signature is right for what the attributes are.
#[rustfmt::skip]
fn attributes(add: &mut Add<'_>, text: &str, signer: &Signer) {
    let good = signer.with_attributes(text);
    let kind = good.clone().at(ATTRIBUTE_TYPE).clone();
    let digest = good.clone().at(ATTRIBUTE_DIGEST).clone();
    let attribute = |name: &[u8], values: Vec<Node>| sequence(vec![oid(name), set(values)]);
    let sha = |text: &str| Node::Leaf(4, ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref().to_vec());
    let mut all = |what: &str, attributes: Vec<Node>, answer| {
        add(&format!("{what}, signed"), &signer.signed_attributes(attributes).der(), answer);
    };
    all("attributes without messageDigest", vec![kind.clone()], "pkcs7-attribute-missing");
    all("attributes without contentType", vec![digest.clone()], "pkcs7-attribute-missing");
    all("no attributes in the attributes", vec![], "pkcs7-attribute-missing");
    all("messageDigest twice", vec![kind.clone(), digest.clone(), digest.clone()], "pkcs7-attribute-twice");
    all("contentType twice", vec![kind.clone(), kind.clone(), digest.clone()], "pkcs7-attribute-twice");
    all("messageDigest of another text", vec![kind.clone(), attribute(oids::MESSAGE_DIGEST, vec![sha("x")])], "pkcs7-message-digest");
    all("messageDigest of no bytes", vec![attribute(oids::MESSAGE_DIGEST, vec![Node::Leaf(4, vec![])]), kind.clone()], "pkcs7-message-digest");
    all("messageDigest with two values", vec![kind.clone(), attribute(oids::MESSAGE_DIGEST, vec![sha(text), sha("x")])], "pkcs7-attribute-values");
    all("messageDigest without value", vec![attribute(oids::MESSAGE_DIGEST, vec![]), kind.clone()], "pkcs7-attribute-values");
    all("messageDigest that is an integer", vec![kind.clone(), attribute(oids::MESSAGE_DIGEST, vec![Node::Leaf(2, vec![1; 32])])], "pkcs7-message-digest-form");
    all("contentType signedData", vec![attribute(oids::CONTENT_TYPE, vec![oid(oids::SIGNED_DATA)]), digest.clone()], "pkcs7-content-type-attribute");
    all("attributes in the wrong order", vec![digest.clone(), kind.clone()], "pkcs7-attribute-order");
    let many = (0..40).map(|i| attribute(&[42, i], vec![])).collect();
    all("forty attributes", many, "pkcs7-too-many-attributes");
    let mut edit = |what: &str, change: &dyn Fn(&mut Node), answer| {
        let mut message = signer.with_attributes(text);
        change(&mut message);
        add(what, &message.der(), answer);
    };
    edit("attributes that were signed and are gone", &|n| drop(n.at(SIGNER).nodes().remove(3)), "signature-bad");
    edit("one more attribute than was signed", &|n| n.at(ATTRIBUTES).nodes().push(sequence(vec![oid(&[42, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]), set(vec![null(); 60])])), "signature-bad");
    edit("attributes tagged as a set", &|n| *n.at(ATTRIBUTES).tag() = 0x31, "pkcs7-unexpected-tag");
    // the bytes of the attributes, which were signed, offered as the text that was signed
    let mut replay = signer.with_attributes(text);
    let attributes = replay.at(SIGNER).nodes().remove(3);
    let Node::Inner(_, attributes) = attributes else { panic!() };
    replay.at(CONTENT).nodes().push(Node::Inner(0xa0, vec![Node::Leaf(4, set(attributes).der())]));
    add("signed attributes replayed as the text", &replay.der(), "pkcs7-attached");
}

/// The same message in another encoding.
fn encodings(add: &mut Add<'_>, good: &[u8]) {
    let [0x30, 0x81 | 0x82, ..] = good else { panic!("{good:x?}") };
    let header = 2 + usize::from(good[1] & 0x7f);
    let (length, body) = (&good[2..header], &good[header..]);
    add("BER of indefinite length", &[&[0x30, 0x80], body, &[0, 0]].concat(), "pkcs7-indefinite-length");
    add(
        "a length with a zero before it",
        &[&[0x30, 0x80 | (length.len() as u8 + 1), 0], length, body].concat(),
        "pkcs7-length-form",
    );
    add("a length in 127 bytes", &[&[0x30, 0xff], body].concat(), "pkcs7-length-form");
    add("a length of 4 GiB", &[&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], body].concat(), "pkcs7-truncated");
    add("a long form of the tag", &[&[0x3f, 0x10], &good[1..]].concat(), "pkcs7-tag-form");
    add("the last byte is missing", &good[..good.len() - 1], "pkcs7-truncated");
    add("half of it", &good[..good.len() / 2], "pkcs7-truncated");
    add("one byte behind it", &[good, &[0]].concat(), "pkcs7-trailing-data");
    add("twice", &[good, good].concat(), "pkcs7-trailing-data");
    add("one byte", &[0x30], "pkcs7-truncated");
    add("PEM", b"-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n", "signature-not-der");
    add("a million nested sequences", &[0x30, 0x80].repeat(1_000_000), "signature-too-large");
    let deep = (0..10_000).fold(Vec::new(), |deep: Vec<u8>, _| {
        let len = deep.len();
        let mut outer = vec![0x30, 0x83, (len >> 16) as u8, (len >> 8) as u8, len as u8];
        if len < 128 {
            outer = vec![0x30, len as u8];
        } else if len < 256 {
            outer = vec![0x30, 0x81, len as u8];
        } else if len < 65536 {
            outer = vec![0x30, 0x82, (len >> 8) as u8, len as u8];
        }
        outer.extend(deep);
        outer
    });
    add("ten thousand sequences in one another", &deep, "pkcs7-unexpected-tag");
}

/// Messages by OpenSSL, for another text. What is wrong with them is seen before the text is.
fn files(class: &mut Class) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/ddi-signature/tests/data");
    for (what, message, certificate, answer) in [
        ("attached, by OpenSSL", "attached", "rsa2048", "pkcs7-attached"),
        ("two signers, by OpenSSL", "two-signers", "rsa2048", "pkcs7-multiple-signers"),
        ("RSA-PSS, by OpenSSL", "pss", "rsa2048", "pkcs7-rsa-pss"),
        ("sha1, by OpenSSL", "sha1", "rsa2048", "pkcs7-weak-digest"),
        ("md5, by OpenSSL", "md5", "rsa2048", "pkcs7-weak-digest"),
        ("a key identifier, by OpenSSL", "key-identifier", "rsa2048", "pkcs7-signed-data-version"),
        ("an RSA key of 1024 bits", "rsa1024", "rsa1024", "signature-rsa-size"),
        ("a key on P-521", "p521", "p521", "signature-unsupported-curve"),
        ("a good signature for another image", "rsa2048", "rsa2048", "signature-bad"),
        ("another key under the same name and serial number", "rsa2048", "twin-rsa", "signature-bad"),
        (
            "a key of another kind under the same name and serial number",
            "rsa2048",
            "twin-p256",
            "signature-key-scheme",
        ),
        ("nobody's certificate", "rsa2048", "p256", "not-trusted"),
    ] {
        let message = std::fs::read(folder.join(format!("{message}.p7s"))).unwrap();
        let certificate = folder.join(format!("{certificate}.crt"));
        let ask = format!("verify --certificate {}", certificate.display());
        class.add(what, signed(&message), &ask, 3, answer);
    }
}
