//! Against OpenSSL's and systemd-repart's bytes, and against our own reader.

use std::fs;
use std::path::PathBuf;

use ddi_verity::{Algorithm, HashType, Salt};
use proptest::prelude::*;

use super::*;
use crate::{EmbeddedCertificate, SignatureScheme};

mod memory;

const PASSPHRASE: Option<&[u8]> = Some(b"secret");

/// The files of `tests/data/sign`; `make.sh` there made them.
fn golden(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/sign").join(name)).unwrap()
}

fn key(name: &str) -> SigningKey {
    SigningKey::parse(&golden(name), PASSPHRASE).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn certificate(name: &str) -> Certificate {
    Certificate::parse(&golden(&format!("{name}.crt"))).unwrap()
}

/// What the golden signatures are over.
fn root_hash() -> RootHash {
    String::from_utf8(golden("text")).unwrap().parse().unwrap()
}

fn params() -> Params {
    Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 300, Salt::new(&[7; 32]).unwrap()).unwrap()
}

#[test]
fn rsa_signatures_are_those_of_openssl() {
    for name in ["rsa2048", "rsa2060", "rsa3072", "rsa4096"] {
        let key = key(&format!("{name}.pem"));
        for (embed, file) in
            [(Embed::Nothing, format!("{name}.p7s")), (Embed::Certificate, format!("{name}-certificate.p7s"))]
        {
            let options = SignOptions::new().embed(embed);
            let signed = SignedRootHash::by_key(&key, &certificate(name), &root_hash(), &options).unwrap();
            assert_eq!(signed.pkcs7(), golden(&file), "{file}");
        }
    }
}

/// Of the same key and root hash, systemd-repart makes the same partition.
#[test]
fn the_partition_is_that_of_repart() {
    let text = golden("repart.json");
    let theirs = RootHashSignature::parse(&text).unwrap();
    let key = key("repart.pem");
    let signed =
        SignedRootHash::by_key(&key, &certificate("repart"), &theirs.root_hash, &SignOptions::new()).unwrap();
    let partition = signed.partition().unwrap();
    assert_eq!(partition.len(), 16_384);
    assert_eq!(partition[..text.len()], text);
    assert!(partition[text.len()..].iter().all(|&byte| byte == 0));
    assert_eq!(RootHashSignature::parse(&partition).unwrap(), signed.to_root_hash_signature());
    // it fits with one NUL behind it, not without
    let ours = signed.to_root_hash_signature();
    assert_eq!(ours.to_partition(text.len() + 1).unwrap().len(), text.len() + 1);
    let error = SignError::PartitionSize { text: text.len(), size: text.len() };
    assert_eq!(ours.to_partition(text.len()), Err(error));
}

#[test]
fn every_form_of_a_key() {
    for (file, name, signer) in [
        ("rsa2048.pem", "rsa-2048", "rsa2048"),
        ("rsa2048.der", "rsa-2048", "rsa2048"),
        ("rsa2048-traditional.pem", "rsa-2048", "rsa2048"),
        ("rsa2048-both.pem", "rsa-2048", "rsa2048"),
        ("rsa2048-aes256.pem", "rsa-2048", "rsa2048"),
        ("rsa2048-aes128.pem", "rsa-2048", "rsa2048"),
        ("rsa2048-scrypt.pem", "rsa-2048", "rsa2048"),
        ("rsa4096.der", "rsa-4096", "rsa4096"),
        ("p256.pem", "P-256", "p256"),
        ("p256.der", "P-256", "p256"),
        ("p256-traditional.pem", "P-256", "p256"),
        ("p256-aes256.der", "P-256", "p256"),
        ("p256.pem", "P-256", "p256-compressed"),
        ("p256-compressed.pem", "P-256", "p256"),
        ("p384.pem", "P-384", "p384"),
        ("p384.der", "P-384", "p384"),
        ("p384-traditional.der", "P-384", "p384"),
    ] {
        let key = key(file);
        assert_eq!(key.name(), name, "{file}");
        assert_eq!(format!("{key:?}"), format!("SigningKey({name})"));
        let certificate = certificate(signer);
        assert!(key.is_for(&certificate), "{file}");
        for options in [SignOptions::new().embed(Embed::Nothing), SignOptions::new().bind(params())] {
            let signed = SignedRootHash::by_key(&key, &certificate, &root_hash(), &options).unwrap();
            let signer = signed.verified().signer();
            let ecdsa = name.starts_with('P');
            assert_eq!(signer.scheme == SignatureScheme::Ecdsa, ecdsa, "{file}");
            assert_eq!(signer.bound_tree, options.bound_tree);
            assert_eq!(signer.has_attributes, options.bound_tree.is_some());
            let embedded = match options.embed {
                Embed::Nothing => EmbeddedCertificate::None,
                Embed::Certificate => EmbeddedCertificate::Same,
            };
            assert_eq!(signer.embedded, embedded);
            // also with a curve: the same twice
            let again = SignedRootHash::by_key(&key, &certificate, &root_hash(), &options).unwrap();
            assert_eq!(again, signed, "{file}");
        }
    }
}

#[test]
fn what_is_no_key_that_signs() {
    use KeyError as E;
    let form = |form| E::Form { form };
    let encryption = |what| E::Encryption { what };
    let oid = |content: &[u8]| crate::Oid::from_content(content).unwrap();
    let unknown = "a key derivation or a cipher that is not supported";
    for (file, expected) in [
        ("rsa1024.pem", E::RsaSize { bits: 1024, min: 2048, max: 4096 }),
        ("rsa3primes.pem", E::MultiPrime),
        ("p521.pem", E::UnsupportedCurve { found: oid(&[0x2b, 0x81, 4, 0, 0x23]) }),
        ("ed25519.der", E::UnsupportedKey { found: oid(&[0x2b, 0x65, 0x70]) }),
        ("rsa2048-encrypted-pem.pem", form(KeyForm::EncryptedPem)),
        ("rsa2048-des3.pem", encryption(unknown)),
        ("rsa2048-pbes1.pem", encryption("another scheme than PBES2")),
        ("rsa2048.crt", form(KeyForm::Certificate)),
        ("rsa2048.p7s", E::Malformed),
        ("text", E::NoKey),
        ("make.sh", E::NoKey),
    ] {
        assert_eq!(SigningKey::parse(&golden(file), PASSPHRASE).unwrap_err(), expected, "{file}");
    }
    for (text, expected) in [
        ("", E::NoKey),
        ("-----BEGIN PUBLIC KEY-----\n", form(KeyForm::PublicKey)),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", form(KeyForm::OpenSsh)),
        ("-----BEGIN DSA PRIVATE KEY-----\n", form(KeyForm::OtherPem)),
        ("-----BEGIN PRIVATE KEY-----\nMAA=\n", E::Malformed),
        ("-----BEGIN PRIVATE KEY-----\nM-A=\n-----END PRIVATE KEY-----\n", E::Malformed),
        ("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", E::Malformed),
    ] {
        assert_eq!(SigningKey::parse(text.as_bytes(), None).unwrap_err(), expected, "{text}");
    }
    let large = vec![b'\n'; (64 << 10) + 1];
    assert_eq!(SigningKey::parse(&large, None).unwrap_err(), E::TooLarge { max: 65_536 });
    assert_eq!(SigningKey::open("/dev/zero", None).unwrap_err(), E::TooLarge { max: 65_536 });
    assert_eq!(SigningKey::open("/dev/null", None).unwrap_err(), E::NoKey);
    let error = SigningKey::open("/nowhere", None).unwrap_err();
    assert_eq!(error.to_string(), "no such file or directory");
}

#[test]
fn passphrases() {
    for file in ["rsa2048-aes256.pem", "rsa2048-aes128.pem", "rsa2048-scrypt.pem", "p256-aes256.der"] {
        let parse =
            |passphrase: Option<&[u8]>| SigningKey::parse(&golden(file), passphrase).map(|key| key.name());
        assert!(parse(PASSPHRASE).is_ok());
        assert_eq!(parse(None), Err(KeyError::PassphraseNeeded), "{file}");
        // often enough to get the padding right by chance
        for n in 0..300_u32 {
            let wrong = format!("wrong {n}");
            assert_eq!(parse(Some(wrong.as_bytes())), Err(KeyError::WrongPassphrase), "{file} {n}");
            if n > 20 && file != "p256-aes256.der" {
                break;
            }
        }
        assert_eq!(parse(Some(b"")), Err(KeyError::WrongPassphrase));
        assert_eq!(parse(Some(b"secret\n")), Err(KeyError::WrongPassphrase));
    }
}

/// A file that asks for hours of work, or for all of the memory, is refused before the first round.
#[test]
fn key_derivation_is_bounded() {
    let too_much = Err(KeyError::Encryption { what: "a key derivation that takes too much time or memory" });
    // 2048 rounds, in two bytes; 2²³ fit in four
    let der = golden("p256-aes256.der");
    let at = der.windows(4).position(|window| window == [2, 2, 8, 0]).unwrap();
    let parse = |rounds: &[u8]| {
        let mut more = der.clone();
        more.splice(at..at + 4, rounds.iter().copied());
        let grown = (rounds.len() - 4) as u8;
        grow(&mut more, at, grown);
        SigningKey::parse(&more, PASSPHRASE).map(|key| key.name())
    };
    assert_eq!(parse(&[2, 2, 8, 1]), Err(KeyError::WrongPassphrase));
    assert_eq!(parse(&[2, 4, 0x01, 0x00, 0x00, 0x00]), too_much);
    assert_eq!(parse(&[2, 4, 0x05, 0xf5, 0xe1, 0x00]), too_much);
    // scrypt with N = 2^15 · r = 255 has 1 GiB; found by the bytes of N = 1024, r = 8, p = 1
    let pem = String::from_utf8(golden("rsa2048-scrypt.pem")).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = Base64::decode_vec(&base64).unwrap();
    let at = der.windows(10).position(|w| w == [2, 2, 4, 0, 2, 1, 8, 2, 1, 1]).unwrap();
    der[at + 2] = 0x40;
    assert_eq!(
        SigningKey::parse(&der, PASSPHRASE).map(|key| key.name()),
        Err(KeyError::WrongPassphrase),
        "16 MiB"
    );
    der[at + 6] = 0x7f;
    der[at + 9] = 0x7f;
    assert_eq!(SigningKey::parse(&der, PASSPHRASE).map(|key| key.name()), too_much);
}

/// Makes every SEQUENCE around the byte at `at` longer.
fn grow(der: &mut [u8], at: usize, by: u8) {
    let mut start = 0;
    while start < at {
        let (header, len) = match der[start + 1] {
            short @ 0..=0x7f => (2, usize::from(short)),
            0x81 => (3, usize::from(der[start + 2])),
            long => panic!("length {long}"),
        };
        if start + header + len <= at {
            start += header + len;
            continue;
        }
        der[start + header - 1] += by;
        start += if der[start] & 0x20 != 0 { header } else { header + len };
    }
}

#[test]
fn the_key_of_another_certificate() {
    for (key_file, name, other) in [
        ("rsa2048.pem", "rsa-2048", "repart"),
        ("rsa2048.pem", "rsa-2048", "rsa3072"),
        ("rsa2048.pem", "rsa-2048", "p256"),
        ("p256.pem", "P-256", "rsa2048"),
        ("p256.pem", "P-256", "p384"),
        ("p384.pem", "P-384", "p256"),
        ("p384.pem", "P-384", "ed25519"),
    ] {
        let certificate = certificate(other);
        let error = SignedRootHash::by_key(&key(key_file), &certificate, &root_hash(), &SignOptions::new())
            .unwrap_err();
        let expected = SignError::KeyMismatch { key: name.into(), certificate: certificate.key_name() };
        assert_eq!(error, expected);
    }
}

/// An RSA key whose private exponent is another one's is found out before its signature leaves.
#[test]
fn numbers_that_do_not_belong_together() {
    let mut der = golden("rsa2048.der");
    // behind version, modulus and public exponent: 3 numbers of 3, 260 and 5 bytes in 3 headers
    let exponent = der.windows(5).position(|window| window == [2, 3, 1, 0, 1]).unwrap();
    for at in [exponent + 5 + 5, exponent + 5 + 200] {
        der[at] ^= 0x10;
        let key = SigningKey::parse(&der, None).unwrap();
        let certificate = certificate("rsa2048");
        let error =
            SignedRootHash::by_key(&key, &certificate, &root_hash(), &SignOptions::new()).unwrap_err();
        assert_eq!(error, SignError::KeyNumbers);
        der[at] ^= 0x10;
    }
}

/// What somebody else made is taken if it is good, and of nobody else and of nothing else.
#[test]
fn signatures_by_others() {
    let certificate = certificate("rsa2048");
    let signed = SignedRootHash::by_other(golden("rsa2048.p7s"), &certificate, &root_hash()).unwrap();
    assert_eq!(signed.pkcs7(), golden("rsa2048.p7s"));
    let other = RootHash::from_bytes(&[3; 32]).unwrap();
    for (pkcs7, root_hash, code) in [
        (golden("rsa3072.p7s"), root_hash(), "signature-not-trusted"),
        (golden("rsa2048.p7s"), other, "signature-bad"),
        (golden("rsa2048.pem"), root_hash(), "signature-not-der"),
        (Vec::new(), root_hash(), "pkcs7-missing-field"),
    ] {
        let error = SignedRootHash::by_other(pkcs7, &certificate, &root_hash).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}

/// A root hash that no reader takes a signature of.
#[test]
fn short_root_hashes_are_not_signed() {
    let root_hash = RootHash::from_bytes(&[1; 20]).unwrap();
    let error =
        SignedRootHash::by_key(&key("p256.pem"), &certificate("p256"), &root_hash, &SignOptions::new())
            .unwrap_err();
    assert_eq!(error, SignError::Signature(SignatureError::RootHashNotSignable { size: 20 }));
}

/// Every bit of the attribute is under the signature: no other tree comes out of it.
#[test]
fn every_bit_of_a_bound_tree_counts() {
    let (key, certificate) = (key("p256.pem"), certificate("p256"));
    let options = SignOptions::new().bind(params()).embed(Embed::Nothing);
    let signed = SignedRootHash::by_key(&key, &certificate, &root_hash(), &options).unwrap();
    let mut der = signed.pkcs7().to_vec();
    for bit in 0..8 * der.len() {
        der[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = SignedRootHash::by_other(der.clone(), &certificate, &root_hash()) {
            panic!("bit {bit}: {other:?}");
        }
        der[bit / 8] ^= 1 << (bit % 8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is signed, our reader verifies, and reads back what was bound; and nothing else.
    #[test]
    fn what_we_sign_we_read(
        which in 0..3_usize,
        size in prop::sample::select(vec![32_usize, 48, 64]),
        seed in any::<u8>(),
        embed in prop::sample::select(vec![Embed::Certificate, Embed::Nothing]),
        bind in prop::option::of((any::<bool>(), 1..4_usize, 9..20_u32, 10..20_u32, 1..1_u64 << 43,
            prop::collection::vec(any::<u8>(), 0..=256))),
    ) {
        let name = ["rsa2048", "p256", "p384"][which];
        let bytes: Vec<u8> = (0..size).map(|n| seed.wrapping_mul(n as u8).wrapping_add(n as u8)).collect();
        let root_hash = RootHash::from_bytes(&bytes).unwrap();
        let bound_tree = bind.map(|(old, algorithm, data, hash, blocks, salt)| {
            let hash_type = if old { HashType::ChromeOs } else { HashType::Normal };
            let salt = Salt::new(&salt).unwrap();
            Params::new(hash_type, Algorithm::ALL[algorithm], 1 << data, 1 << hash, blocks, salt).unwrap()
        });
        let options = SignOptions { embed, bound_tree };
        let certificate = certificate(name);
        let signed =
            SignedRootHash::by_key(&key(&format!("{name}.der")), &certificate, &root_hash, &options).unwrap();
        prop_assert_eq!(signed.verified().root_hash(), &root_hash);
        prop_assert_eq!(signed.verified().signer().bound_tree, bound_tree);
        prop_assert_eq!(&signed.verified().signer().certificate, &certificate);
        let parsed = RootHashSignature::parse(&signed.partition().unwrap()).unwrap();
        let mut certificates = Certificates::new();
        certificates.add(certificate);
        prop_assert_eq!(&parsed.verify(&certificates).unwrap(), signed.verified());
        let other = RootHash::from_bytes(&[!bytes[0]; 32]).unwrap();
        let der = DetachedSignature::parse(signed.pkcs7()).unwrap();
        prop_assert!(certificates.verify(&der, &other).is_err());
    }

    /// Garbage is an error or another key, and nothing else.
    #[test]
    fn garbage_keys(file in 0..6_usize, at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<bool>()) {
        let name = ["rsa2048.der", "rsa2048.pem", "p256.der", "p384-traditional.der", "p256-aes256.der",
            "rsa2048-traditional.pem"][file];
        let mut bytes = golden(name);
        let at = at.index(bytes.len());
        match cut {
            true => bytes.truncate(at),
            false => bytes[at] = with,
        }
        if let Ok(key) = SigningKey::parse(&bytes, PASSPHRASE) {
            let _ = SignedRootHash::by_key(&key, &certificate("rsa2048"), &root_hash(), &SignOptions::new());
        }
    }
}

/// A program signs what it is given on its standard input, or says what it likes.
#[test]
fn a_program_signs() {
    use std::time::Duration;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/sign");
    let folder = folder.display();
    let run = |command: &str| {
        let command = SignCommand::new(command).timeout(Duration::from_secs(60));
        Signer::Command(command).sign(&certificate("rsa2048"), &root_hash(), &SignOptions::new())
    };
    // it gets the text, all of it and nothing more
    let signed = run(&format!(r#"cmp - "{folder}/text" >&2 && cat "{folder}/rsa2048.p7s""#)).unwrap();
    assert_eq!(signed.pkcs7(), golden("rsa2048.p7s"));
    // one that does not look at it
    assert_eq!(run(&format!(r#"exec <&-; cat "{folder}/rsa2048.p7s""#)).unwrap(), signed);
    for (command, code, says) in [
        ("exit 3", "sign-command-status", "command that signs ended with exit status: 3"),
        ("kill -9 $$", "sign-command-status", "command that signs ended with signal: 9 (SIGKILL)"),
        (":", "sign-command-empty", "command that signs wrote nothing"),
        ("cat /dev/zero", "sign-command-too-large", "command that signs wrote more than 4194304 bytes"),
        ("cat", "pkcs7-unexpected-tag", "PKCS#7: no ContentInfo of file at byte 0, but something else"),
    ] {
        let error = run(command).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (code, says), "{command}");
    }
    let other = run(&format!(r#"cat "{folder}/rsa3072.p7s""#)).unwrap_err();
    assert_eq!(other.code(), "signature-not-trusted");
    // a good signature of which every byte came, and then it failed
    let failed = run(&format!(r#"cat "{folder}/rsa2048.p7s"; exit 1"#)).unwrap_err();
    assert_eq!(failed.code(), "sign-command-status");

    let command = SignCommand::new("exec sleep 600").timeout(Duration::from_millis(100));
    let started = std::time::Instant::now();
    let error = command.run(&root_hash()).unwrap_err();
    assert_eq!(error, CommandError::TimedOut { after: Duration::from_millis(100) });
    assert!(started.elapsed() < Duration::from_secs(300));

    // what is to be bound must be in it
    let command = SignCommand::new(format!(r#"cat "{folder}/rsa2048.p7s""#));
    let options = SignOptions::new().bind(params());
    let error = Signer::Command(command).sign(&certificate("rsa2048"), &root_hash(), &options).unwrap_err();
    assert_eq!(error, SignError::NotBound);
}

#[test]
fn a_passphrase_is_the_first_line() {
    let path = std::env::temp_dir().join(format!("ddi-passphrase-{}", std::process::id()));
    for text in ["secret", "secret\n", "secret\r\n", "secret\nmore\n"] {
        fs::write(&path, text).unwrap();
        let passphrase = Passphrase::open(&path).unwrap();
        assert_eq!(passphrase.as_bytes(), b"secret", "{text:?}");
        assert_eq!(format!("{passphrase:?}"), "Passphrase(…)");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(Passphrase::open(&path).unwrap_err(), KeyError::Io(std::io::ErrorKind::NotFound));
    assert_eq!(Passphrase::open("/dev/zero").unwrap_err(), KeyError::TooLarge { max: 4096 });
}
