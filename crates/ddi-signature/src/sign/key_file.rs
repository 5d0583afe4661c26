//! What private keys are kept in: PEM or DER of PKCS#8 (RFC 5958), encrypted or not, or of the forms before it (RFC 8017
//! for RSA, RFC 5915 for curves).
//!
//! Every buffer that holds key material has its final size when it is made, since one that grows leaves a copy behind.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::der::{Decode, Tag};
use base64ct::{Base64, Encoding};
use pkcs5::pbes2::{Kdf, Parameters};
use zeroize::Zeroizing;

use super::error::{KeyError, KeyForm};
use super::key::SigningKey;
use crate::SignatureError;
use crate::der::{Value, Values, check_integer, context};
use crate::oid::{self, Oid};

/// Size in bytes above which a file is no private key: ten times a large one.
const MAX_KEY_FILE: usize = 64 << 10;
/// Rounds of PBKDF2 above which a passphrase is not tried: seconds. OpenSSL takes 2048 unless told otherwise.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Bytes that scrypt may take.
const MAX_SCRYPT_MEMORY: u64 = 256 << 20;
/// How often scrypt may go through them.
const MAX_SCRYPT_PASSES: u16 = 16;

// the errors of the DER reader are about offsets in signatures
impl From<SignatureError> for KeyError {
    fn from(_: SignatureError) -> Self {
        KeyError::Malformed
    }
}

impl SigningKey {
    /// Reads a private key: RSA with 2048 to 4096 bits, P-256 or P-384; PEM or DER; PKCS#8, or what OpenSSL calls the
    /// traditional form. Of a PEM file with several things in it the first private key counts.
    ///
    /// The passphrase is for encrypted PKCS#8 (PBES2 with AES), and not looked at otherwise.
    ///
    /// # Errors
    /// [`KeyError`]. That the numbers of an RSA key belong together is found out by signing.
    pub fn parse(file: &[u8], passphrase: Option<&[u8]>) -> Result<Self, KeyError> {
        if file.len() > MAX_KEY_FILE {
            return Err(KeyError::TooLarge { max: MAX_KEY_FILE });
        }
        match file.first() {
            // SEQUENCE; text may begin with a "0" too, but no key in DER is text
            Some(0x30) if !file.is_ascii() => any(file, passphrase),
            _ => any(&first_pem(file)?, passphrase),
        }
    }

    /// The same from a file. It may be a FIFO, so that what decrypts a key can hand it over.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(path: impl AsRef<Path>, passphrase: Option<&[u8]>) -> Result<Self, KeyError> {
        Self::parse(&read_secret(path.as_ref(), MAX_KEY_FILE)?, passphrase)
    }
}

/// A whole file of at most `max` bytes, or the error that it is larger.
pub(super) fn read_secret(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let io = |error: io::Error| KeyError::Io(error.kind());
    let mut file = File::open(path).map_err(io)?;
    // one more, to see that there is more
    let mut content = Zeroizing::new(vec![0; max.saturating_add(1)]);
    let mut len: usize = 0;
    while let Some(rest) = content.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => len = len.saturating_add(more),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io(error)),
        }
    }
    if len > max {
        return Err(KeyError::TooLarge { max });
    }
    content.truncate(len);
    Ok(content)
}

/// The first private key of a PEM file (RFC 7468), however long its lines are.
fn first_pem(file: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = std::str::from_utf8(file).map_err(|_| KeyError::NoKey)?;
    let mut lines = text.lines().map(str::trim_end);
    let mut other = None;
    loop {
        let Some(line) = lines.next() else {
            return Err(other.map_or(KeyError::NoKey, |form| KeyError::Form { form }));
        };
        let label = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let Some(label) = label else { continue };
        other = other.or(match label {
            "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                return body(lines, text.len());
            }
            // stands before a key in its traditional form
            "EC PARAMETERS" => None,
            "CERTIFICATE" | "TRUSTED CERTIFICATE" => Some(KeyForm::Certificate),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Some(KeyForm::PublicKey),
            "OPENSSH PRIVATE KEY" => Some(KeyForm::OpenSsh),
            _ => Some(KeyForm::OtherPem),
        });
    }
}

/// What is between a first and a last line, of a text of `size` bytes.
fn body<'a>(lines: impl Iterator<Item = &'a str>, size: usize) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut base64 = Zeroizing::new(Vec::with_capacity(size));
    for line in lines {
        if line.starts_with("-----END ") {
            let mut der = Zeroizing::new(vec![0; base64.len()]);
            let len = Base64::decode(base64.as_slice(), &mut der).map_err(|_| KeyError::Malformed)?.len();
            der.truncate(len);
            return Ok(der);
        }
        if line.starts_with("Proc-Type:") {
            return Err(KeyError::Form { form: KeyForm::EncryptedPem });
        }
        base64.extend_from_slice(line.as_bytes());
    }
    Err(KeyError::Malformed)
}

/// Any of the forms, told apart by what stands second.
fn any(der: &[u8], passphrase: Option<&[u8]>) -> Result<SigningKey, KeyError> {
    let mut ahead = the_sequence(der)?;
    match ahead.next()?.map(|first| first.tag) {
        Some(Tag::Sequence) => return encrypted(der, passphrase),
        Some(Tag::Integer) => {}
        _ => return Err(KeyError::Malformed),
    }
    match ahead.next()?.map(|second| second.tag) {
        Some(Tag::Sequence) => pkcs8(der),
        Some(Tag::Integer) => rsa(der),
        Some(Tag::OctetString) => ec(der, None),
        _ => Err(KeyError::Malformed),
    }
}

/// What is in the one SEQUENCE that there is.
fn the_sequence(der: &[u8]) -> Result<Values<'_>, KeyError> {
    let mut file = Values::new(der, "key");
    let sequence = file.expect(Tag::Sequence, "key")?;
    file.end()?;
    Ok(sequence.open("key"))
}

/// EncryptedPrivateKeyInfo.
fn encrypted(der: &[u8], passphrase: Option<&[u8]>) -> Result<SigningKey, KeyError> {
    let mut fields = the_sequence(der)?;
    let algorithm = fields.expect(Tag::Sequence, "encryptionAlgorithm")?;
    let data = fields.expect(Tag::OctetString, "encryptedData")?.content;
    fields.end()?;
    let mut identifier = algorithm.open("encryptionAlgorithm");
    let name = identifier.expect(Tag::ObjectIdentifier, "algorithm")?;
    let parameters = identifier.expect(Tag::Sequence, "parameters")?;
    if name.content != pkcs5::pbes2::PBES2_OID.as_bytes() {
        return Err(KeyError::Encryption { what: "another scheme than PBES2" });
    }
    let unknown = KeyError::Encryption { what: "a key derivation or a cipher that is not supported" };
    let parameters = Parameters::from_der(parameters.der).map_err(|_| unknown.clone())?;
    if !is_affordable(&parameters.kdf) {
        return Err(KeyError::Encryption { what: "a key derivation that takes too much time or memory" });
    }
    let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
    let mut buffer = Zeroizing::new(data.to_vec());
    let key = match parameters.decrypt_in_place(passphrase, &mut buffer) {
        Ok(key) => key,
        Err(pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs5::Error::AlgorithmParametersInvalid { .. }) => {
            return Err(unknown);
        }
        Err(_) => return Err(KeyError::WrongPassphrase),
    };
    match pkcs8(key) {
        // padding is right by chance once in 256 times
        Err(KeyError::Malformed) => Err(KeyError::WrongPassphrase),
        other => other,
    }
}

fn is_affordable(kdf: &Kdf) -> bool {
    if let Some(params) = kdf.pbkdf2() {
        return params.iteration_count <= MAX_ITERATIONS;
    }
    kdf.scrypt().is_some_and(|params| {
        let block = u64::from(params.block_size).saturating_mul(128);
        block.saturating_mul(params.cost_parameter) <= MAX_SCRYPT_MEMORY
            && params.parallelization <= MAX_SCRYPT_PASSES
    })
}

/// PrivateKeyInfo, with attributes and a public key or without.
fn pkcs8(der: &[u8]) -> Result<SigningKey, KeyError> {
    let mut fields = the_sequence(der)?;
    let version = fields.expect(Tag::Integer, "version")?;
    let algorithm = fields.expect(Tag::Sequence, "privateKeyAlgorithm")?;
    let key = fields.expect(Tag::OctetString, "privateKey")?;
    if !matches!(version.content, [0 | 1]) {
        return Err(KeyError::Malformed);
    }
    let mut identifier = algorithm.open("privateKeyAlgorithm");
    match object_identifier(identifier.expect(Tag::ObjectIdentifier, "algorithm")?)? {
        oid::RSA => rsa(key.content),
        oid::EC => {
            let curve = identifier.expect(Tag::ObjectIdentifier, "namedCurve")?;
            ec(key.content, Some(object_identifier(curve)?))
        }
        found => Err(KeyError::UnsupportedKey { found }),
    }
}

fn object_identifier(value: Value<'_>) -> Result<Oid, KeyError> {
    Oid::from_content(value.content).ok_or(KeyError::Malformed)
}

/// RSAPrivateKey: of its numbers three are used.
fn rsa(der: &[u8]) -> Result<SigningKey, KeyError> {
    let mut fields = the_sequence(der)?;
    let version = fields.expect(Tag::Integer, "version")?;
    match *version.content {
        [0] => {}
        [1] => return Err(KeyError::MultiPrime),
        _ => return Err(KeyError::Malformed),
    }
    let mut number = |name| -> Result<Value<'_>, KeyError> {
        let value = fields.expect(Tag::Integer, name)?;
        check_integer(value)?;
        // none is negative
        match value.content {
            [0x80..=0xff, ..] => Err(KeyError::Malformed),
            _ => Ok(value),
        }
    };
    let [modulus, exponent, private] =
        [number("modulus")?, number("publicExponent")?, number("privateExponent")?];
    for name in ["prime1", "prime2", "exponent1", "exponent2", "coefficient"] {
        number(name)?;
    }
    fields.end()?;
    SigningKey::rsa(modulus.content, exponent.content, private.content)
}

/// ECPrivateKey: it names its curve itself where nothing around it does.
fn ec(der: &[u8], curve: Option<Oid>) -> Result<SigningKey, KeyError> {
    let mut fields = the_sequence(der)?;
    let version = fields.expect(Tag::Integer, "version")?;
    let private = fields.expect(Tag::OctetString, "privateKey")?;
    let parameters = fields.optional(context(0))?;
    let named = match parameters {
        Some(parameters) => {
            let curve = parameters.open("parameters").expect(Tag::ObjectIdentifier, "namedCurve")?;
            Some(object_identifier(curve)?)
        }
        None => None,
    };
    if !matches!(version.content, [1]) || curve.zip(named).is_some_and(|(curve, named)| curve != named) {
        return Err(KeyError::Malformed);
    }
    SigningKey::ec(curve.or(named).ok_or(KeyError::Malformed)?, private.content)
}
