//! Signatures by real tools.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::{FileSource, ReadAt};

/// The folder of real images with their expected facts, if it is here.
fn corpus() -> Option<PathBuf> {
    let path =
        std::env::var_os("DDI_CORPUS").map_or_else(|| std::env::temp_dir().join("ddi-corpus"), PathBuf::from);
    if path.join("index.json").exists() {
        return Some(path);
    }
    println!("skipped: no corpus at {}", path.display());
    None
}

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
