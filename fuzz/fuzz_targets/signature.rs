//! Asserts: neither the signature partition's text, nor a PKCS#7 file, nor a certificate makes the parsers panic; and
//! nothing verifies with a key that is not at hand.
#![no_main]

use ddi_verity::{Certificate, Certificates, DetachedSignature, RootHash, RootHashSignature};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[kind], bytes)) = input.split_first_chunk() else { return };
    let nobody = Certificates::new();
    match kind % 3 {
        0 => match RootHashSignature::parse(bytes) {
            Ok(signature) => assert!(signature.verify(&nobody).is_err()),
            Err(error) => drop(error.to_string()),
        },
        1 => match DetachedSignature::parse(bytes) {
            Ok(signature) => {
                let _ = (signature.signer().to_string(), signature.embedded_certificates().len());
                let root = RootHash::from_bytes(&[0x5a; 32]).expect("32 bytes");
                assert!(nobody.verify(&signature, &root).is_err());
            }
            Err(error) => drop(error.to_string()),
        },
        _ => match Certificate::parse(bytes) {
            Ok(certificate) => {
                drop((certificate.subject(), certificate.key_name(), certificate.fingerprint()))
            }
            Err(error) => drop(error.to_string()),
        },
    }
});
