//! The signature partition, PKCS#7, certificates.

use std::sync::OnceLock;

use ddi_signature::{Certificate, Certificates, DetachedSignature, RootHashSignature, SignatureError};
use ddi_verity::RootHash;

use super::text::assert_fit_for_a_terminal;

/// The root hash that is signed in the seeds.
const SIGNED: &str = "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb";

/// Whose signatures are in the seeds.
fn signer() -> &'static Certificates {
    static SIGNER: OnceLock<Certificates> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let mut signer = Certificates::new();
        signer.add(Certificate::parse(include_bytes!("../../tests/data/sample.crt")).expect("a certificate"));
        signer
    })
}

fn show(error: &SignatureError) {
    drop((error.to_string(), error.code(), error.kind()));
}

/// Asserts: what is accepted is a JSON object to `serde_json` too, with these very values, and nothing but NULs behind it;
/// the signature is in the one way of Base64; it verifies with the signer of the seeds alone, for one root hash alone.
pub fn signature_json(input: &[u8]) {
    let signature = match RootHashSignature::parse(input) {
        Ok(signature) => signature,
        Err(error) => return show(&error),
    };
    let text = input.split(|byte| *byte == 0).next().unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(text).expect("JSON to us, JSON to serde_json");
    assert_eq!(json["rootHash"], signature.root_hash.to_string());
    assert_eq!(json["signature"], base64(&signature.pkcs7));
    assert!(input[text.len()..].iter().all(|byte| *byte == 0));
    assert!(signature.verify(&Certificates::new()).is_err());
    if let Ok(verified) = signature.verify(signer()) {
        assert_eq!(*verified.root_hash(), signature.root_hash);
        verifies_once(&signature.pkcs7, &signature.root_hash);
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let quad = |bytes: &[u8]| {
        let all = (0..3).fold(0_u32, |all, i| all << 8 | u32::from(bytes.get(i).copied().unwrap_or(0)));
        let digit = move |i: usize| char::from(DIGITS[(all >> (18 - 6 * i) & 63) as usize]);
        let count = bytes.len();
        (0..4).map(move |i| if i > count { '=' } else { digit(i) }).collect::<String>()
    };
    bytes.chunks(3).map(quad).collect()
}

/// A signature for one root hash is none for another.
fn verifies_once(pkcs7: &[u8], root: &RootHash) {
    let signature = DetachedSignature::parse(pkcs7).expect("it has been parsed before");
    let mut other = root.as_bytes().to_vec();
    other[0] ^= 1;
    let other = RootHash::from_bytes(&other).expect("as long as before");
    assert!(signer().verify(&signature, &other).is_err());
}

/// Asserts: what is accepted shows no control characters; it verifies for nobody without a certificate, and for one root hash
/// at most with the signer of the seeds; a byte behind it is refused.
pub fn pkcs7(input: &[u8]) {
    let root: RootHash = SIGNED.parse().expect("a root hash");
    let signature = match DetachedSignature::parse(input) {
        Ok(signature) => signature,
        Err(error) => return show(&error),
    };
    assert_fit_for_a_terminal(&signature.signer().to_string());
    assert_fit_for_a_terminal(&signature.signer().issuer());
    let _ = (signature.digest(), signature.scheme(), signature.has_attributes());
    assert!(signature.embedded_certificates().iter().all(|der| der.len() < input.len()));
    assert!(Certificates::new().verify(&signature, &root).is_err());
    match signer().verify(&signature, &root) {
        Ok(verified) => {
            assert_eq!(*verified.root_hash(), root);
            verifies_once(input, &root);
        }
        Err(error) => show(&error),
    }
    let longer = [input, &[0]].concat();
    assert!(matches!(DetachedSignature::parse(&longer), Err(SignatureError::TrailingData { .. })));
}

/// Asserts: a certificate that is accepted as DER is the same as PEM; what is shown of it is fit for a terminal.
pub fn certificate(input: &[u8]) {
    let certificate = match Certificate::parse(input) {
        Ok(certificate) => certificate,
        Err(error) => return show(&error),
    };
    assert_fit_for_a_terminal(&certificate.subject());
    assert_fit_for_a_terminal(&certificate.id().to_string());
    assert_fit_for_a_terminal(&certificate.key_name());
    let _ = (certificate.not_before(), certificate.not_after());
    // text may begin with a "0" too, before its PEM; no DER certificate is text
    if input.first() == Some(&0x30) && !input.is_ascii() {
        let pem =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", wrapped(&base64(input)));
        let again = Certificate::parse(pem.as_bytes()).expect("the same in PEM");
        assert_eq!(again.fingerprint(), certificate.fingerprint());
        assert_eq!(again.id(), certificate.id());
    }
}

fn wrapped(text: &str) -> String {
    text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\n")
}
