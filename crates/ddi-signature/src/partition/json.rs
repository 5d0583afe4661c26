//! Reading the JSON of a signature partition.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use base64ct::{Base64, Encoding};
use ddi_verity::RootHash;
use serde_json::de::{Deserializer, SliceRead};

use super::{MAX_SIGNATURE_SIZE, MAX_SIGNATURE_TEXT, RootHashSignature};
use crate::{Fingerprint, SignatureError};

/// Nesting: the object itself counts as one. Writers use one level.
const MAX_DEPTH: u32 = 8;
/// Keys in all objects together, so that remembering them for the duplicate check takes little memory.
const MAX_KEYS: u32 = 1024;

impl RootHashSignature {
    /// Reads the content of a whole signature partition (systemd, `dissect-image.c`; DPS, *Verity*).
    ///
    /// Unknown keys are ignored, but no object may have a key twice: two readers would see two things.
    ///
    /// # Errors
    /// One variant of [`SignatureError`] for each rule, from [`TooLarge`](SignatureError::TooLarge) to
    /// [`EmptySignature`](SignatureError::EmptySignature).
    pub fn parse(partition: &[u8]) -> Result<Self, SignatureError> {
        let text = text_before_nuls(partition)?;
        if let Err(error) = std::str::from_utf8(text) {
            return Err(SignatureError::NotUtf8 { offset: error.valid_up_to() });
        }
        let fields = read_json(text)?;
        let root_hash = fields.root_hash.ok_or(SignatureError::MissingKey { key: ROOT_HASH })?;
        let signature = fields.signature.ok_or(SignatureError::MissingKey { key: SIGNATURE })?;
        let certificate_fingerprint = fields.fingerprint.as_deref().map(parse_fingerprint).transpose()?;
        let pkcs7 = Base64::decode_vec(&signature).map_err(|_| SignatureError::Base64)?;
        if pkcs7.is_empty() {
            return Err(SignatureError::EmptySignature);
        }
        Ok(RootHashSignature { root_hash: parse_root_hash(&root_hash)?, certificate_fingerprint, pkcs7 })
    }
}

/// The bytes before the first NUL; after it only NULs may follow.
fn text_before_nuls(partition: &[u8]) -> Result<&[u8], SignatureError> {
    if partition.len() > MAX_SIGNATURE_SIZE {
        return Err(SignatureError::TooLarge { size: partition.len(), max: MAX_SIGNATURE_SIZE });
    }
    let end = partition.iter().position(|&byte| byte == 0).unwrap_or(partition.len());
    let (text, padding) = partition.split_at(end);
    if let Some(at) = padding.iter().position(|&byte| byte != 0) {
        return Err(SignatureError::DataAfterNul { offset: end.saturating_add(at) });
    }
    match text.len() {
        0 => Err(SignatureError::EmptyPartition),
        size if size > MAX_SIGNATURE_TEXT => Err(SignatureError::TooLarge { size, max: MAX_SIGNATURE_TEXT }),
        _ => Ok(text),
    }
}

fn parse_root_hash(text: &str) -> Result<RootHash, SignatureError> {
    if let Some(at) = text.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(SignatureError::RootHashDigit { at });
    }
    // SHA-256, SHA-384, SHA-512: nothing shorter is ever signed
    if !matches!(text.len(), 64 | 96 | 128) {
        return Err(SignatureError::RootHashLength { digits: text.len() });
    }
    text.parse().map_err(|_| SignatureError::RootHashLength { digits: text.len() })
}

fn parse_fingerprint(text: &str) -> Result<Fingerprint, SignatureError> {
    Fingerprint::from_hex(text).ok_or(SignatureError::FingerprintForm)
}

const ROOT_HASH: &str = "rootHash";
const SIGNATURE: &str = "signature";
const FINGERPRINT: &str = "certificateFingerprint";

/// The values of the keys we know.
#[derive(Default)]
struct Fields {
    root_hash: Option<String>,
    signature: Option<String>,
    fingerprint: Option<String>,
}

fn read_json(text: &[u8]) -> Result<Fields, SignatureError> {
    let walk = Walk { fault: Cell::new(None), keys_left: Cell::new(MAX_KEYS) };
    let offset = |error: &serde_json::Error| byte_offset(text, error.line(), error.column());
    let mut json = Deserializer::new(SliceRead::new(text));
    let fields = match serde_core::de::DeserializeSeed::deserialize(TopLevel(&walk), &mut json) {
        Ok(fields) => fields,
        Err(error) => {
            return Err(walk.fault.take().unwrap_or(SignatureError::Json { offset: offset(&error) }));
        }
    };
    json.end().map_err(|error| SignatureError::DataAfterJson { offset: offset(&error) })?;
    Ok(fields)
}

/// Where a line and column (both from 1, in bytes) lie in `text`.
fn byte_offset(text: &[u8], line: usize, column: usize) -> usize {
    let before: usize = text
        .split_inclusive(|&byte| byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .fold(0, usize::saturating_add);
    before.saturating_add(column.saturating_sub(1))
}

/// State of one walk over the JSON. serde's errors are texts, so ours travel beside them.
struct Walk {
    fault: Cell<Option<SignatureError>>,
    keys_left: Cell<u32>,
}

impl Walk {
    fn fail<E: serde_core::de::Error>(&self, fault: SignatureError) -> E {
        self.fault.set(Some(fault));
        E::custom("refused")
    }

    /// Takes note of a key of one object.
    fn enter<E: serde_core::de::Error>(&self, seen: &mut HashSet<String>, key: &str) -> Result<(), E> {
        match self.keys_left.get().checked_sub(1) {
            Some(left) => self.keys_left.set(left),
            None => return Err(self.fail(SignatureError::TooManyKeys { max: MAX_KEYS })),
        }
        match seen.insert(key.to_owned()) {
            true => Ok(()),
            false => Err(self.fail(SignatureError::DuplicateKey)),
        }
    }
}

/// The outermost value: must be an object.
struct TopLevel<'a>(&'a Walk);

impl<'de> serde_core::de::DeserializeSeed<'de> for TopLevel<'_> {
    type Value = Fields;
    fn deserialize<D: serde_core::Deserializer<'de>>(self, json: D) -> Result<Fields, D::Error> {
        json.deserialize_any(self)
    }
}

/// Answers every kind of JSON value that is not wanted with one error.
macro_rules! refuse_others {
    ($($name:ident: $type:ty),*) => {
        $(fn $name<E: serde_core::de::Error>(self, _: $type) -> Result<Self::Value, E> {
            Err(self.refuse())
        })*
        fn visit_unit<E: serde_core::de::Error>(self) -> Result<Self::Value, E> {
            Err(self.refuse())
        }
        fn visit_seq<A: serde_core::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(self.refuse())
        }
    };
}

impl TopLevel<'_> {
    fn refuse<E: serde_core::de::Error>(&self) -> E {
        self.0.fail(SignatureError::NotAnObject)
    }
}

impl<'de> serde_core::de::Visitor<'de> for TopLevel<'_> {
    type Value = Fields;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    refuse_others!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_map<A: serde_core::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let walk = self.0;
        let mut fields = Fields::default();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            walk.enter(&mut seen, &key)?;
            match key.as_str() {
                ROOT_HASH => fields.root_hash = Some(map.next_value_seed(Text(walk, ROOT_HASH))?),
                SIGNATURE => fields.signature = Some(map.next_value_seed(Text(walk, SIGNATURE))?),
                FINGERPRINT => fields.fingerprint = Some(map.next_value_seed(Text(walk, FINGERPRINT))?),
                _ => map.next_value_seed(Ignored { walk, depth: 1 })?,
            }
        }
        Ok(fields)
    }
}

/// The value of a key that we know: must be a string.
struct Text<'a>(&'a Walk, &'static str);

impl Text<'_> {
    fn refuse<E: serde_core::de::Error>(&self) -> E {
        self.0.fail(SignatureError::WrongType { key: self.1 })
    }
}

impl<'de> serde_core::de::DeserializeSeed<'de> for Text<'_> {
    type Value = String;
    fn deserialize<D: serde_core::Deserializer<'de>>(self, json: D) -> Result<String, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> serde_core::de::Visitor<'de> for Text<'_> {
    type Value = String;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_str<E: serde_core::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
    refuse_others!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
    fn visit_map<A: serde_core::de::MapAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(self.refuse())
    }
}

/// A value that is read over, at this many levels of nesting.
#[derive(Clone, Copy)]
struct Ignored<'a> {
    walk: &'a Walk,
    depth: u32,
}

impl<'a> Ignored<'a> {
    fn deeper<E: serde_core::de::Error>(self) -> Result<Ignored<'a>, E> {
        let depth = self.depth.saturating_add(1);
        match depth <= MAX_DEPTH {
            true => Ok(Ignored { depth, ..self }),
            false => Err(self.walk.fail(SignatureError::TooDeep { max: MAX_DEPTH })),
        }
    }
}

impl<'de> serde_core::de::DeserializeSeed<'de> for Ignored<'_> {
    type Value = ();
    fn deserialize<D: serde_core::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> serde_core::de::Visitor<'de> for Ignored<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: serde_core::de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: serde_core::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            self.walk.enter(&mut seen, &key)?;
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0b02558e5692d4c7028416cd86dafb69df95c4aef3d09519d02b6669c3aa6686";

    fn refused(text: &str) -> SignatureError {
        RootHashSignature::parse(text.as_bytes()).unwrap_err()
    }

    fn good() -> String {
        format!(r#"{{"rootHash":"{HASH}","certificateFingerprint":"{HASH}","signature":"MAA="}}"#)
    }

    #[test]
    fn padding_of_any_length_and_none() {
        for size in [0, 1, 511, 4096, MAX_SIGNATURE_SIZE - good().len()] {
            let mut partition = good().into_bytes();
            partition.extend(vec![0; size]);
            let found = RootHashSignature::parse(&partition).unwrap();
            assert_eq!(found.root_hash.to_string(), HASH);
            assert_eq!(found.certificate_fingerprint.unwrap().to_string(), HASH);
            assert_eq!(found.pkcs7, [0x30, 0]);
        }
    }

    #[test]
    fn unknown_keys_order_and_space_do_not_matter() {
        let text = format!(
            "\n {{ \"x\" : [1, -2, 3.5e3, null, true, {{\"y\":\"z\"}}],\r\n\"signature\":\"MAA=\",\t\"rootHash\":\"{HASH}\" }} \n"
        );
        let found = RootHashSignature::parse(text.as_bytes()).unwrap();
        assert_eq!(found.certificate_fingerprint, None);
    }

    #[test]
    fn sha384_and_sha512_lengths() {
        for digits in [96, 128] {
            let hash = "5a".repeat(digits / 2);
            let text = format!(r#"{{"rootHash":"{hash}","signature":"MAA="}}"#);
            assert_eq!(RootHashSignature::parse(text.as_bytes()).unwrap().root_hash.to_string(), hash);
        }
    }

    #[test]
    fn size_and_nul_rules() {
        use SignatureError as E;
        let mut partition = good().into_bytes();
        let len = partition.len();
        partition.resize(MAX_SIGNATURE_SIZE + 1, 0);
        let too_large = E::TooLarge { size: MAX_SIGNATURE_SIZE + 1, max: MAX_SIGNATURE_SIZE };
        assert_eq!(RootHashSignature::parse(&partition).unwrap_err(), too_large);
        partition.truncate(4096);
        partition[4095] = b' ';
        assert_eq!(RootHashSignature::parse(&partition).unwrap_err(), E::DataAfterNul { offset: 4095 });
        partition[4095] = 0;
        partition[len + 1] = b'{';
        assert_eq!(RootHashSignature::parse(&partition).unwrap_err(), E::DataAfterNul { offset: len + 1 });
        // the text has a limit of its own
        partition.truncate(len);
        partition.resize(MAX_SIGNATURE_TEXT, b' ');
        assert!(RootHashSignature::parse(&partition).is_ok());
        partition.push(b' ');
        partition.resize(MAX_SIGNATURE_TEXT + 512, 0);
        let too_large = E::TooLarge { size: MAX_SIGNATURE_TEXT + 1, max: MAX_SIGNATURE_TEXT };
        assert_eq!(RootHashSignature::parse(&partition).unwrap_err(), too_large);
        for empty in [&[][..], &[0], &[0; 4096]] {
            assert_eq!(RootHashSignature::parse(empty).unwrap_err(), E::EmptyPartition);
        }
    }

    #[test]
    fn each_rule_has_its_own_error() {
        use SignatureError as E;
        let with = |from: &str, to: &str| refused(&good().replacen(from, to, 1));
        let upper = HASH.to_uppercase();
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let many: String = (0..=MAX_KEYS).map(|i| format!("\"k{i}\":0,")).collect();
        let cases: &[(SignatureError, E)] = &[
            // shape
            (refused("[]"), E::NotAnObject),
            (refused("\"rootHash\""), E::NotAnObject),
            (refused("7"), E::NotAnObject),
            (refused("-7"), E::NotAnObject),
            (refused("7.5"), E::NotAnObject),
            (refused("null"), E::NotAnObject),
            (refused("true"), E::NotAnObject),
            (refused(" "), E::Json { offset: 0 }),
            (refused("{"), E::Json { offset: 0 }),
            (refused("{\n\"a\":x}"), E::Json { offset: 6 }),
            (refused("{'a':1}"), E::Json { offset: 1 }),
            (refused("{\"a\":1,}"), E::Json { offset: 7 }),
            (refused("{\"a\":01}"), E::Json { offset: 6 }),
            (refused("{\"a\":NaN}"), E::Json { offset: 5 }),
            (refused("{\"a\":\"\u{1}\"}"), E::Json { offset: 6 }),
            (refused("{\"a\":1 /* b */}"), E::Json { offset: 7 }),
            (refused("\u{feff}{}"), E::Json { offset: 0 }),
            (refused(&(good() + "{}")), E::DataAfterJson { offset: good().len() }),
            (refused(&(good() + ",")), E::DataAfterJson { offset: good().len() }),
            (refused(&good().replace("}", "")), E::Json { offset: good().len() - 2 }),
            // keys
            (refused("{}"), E::MissingKey { key: "rootHash" }),
            (with("rootHash", "roothash"), E::MissingKey { key: "rootHash" }),
            (with("\"signature\"", "\"Signature\""), E::MissingKey { key: "signature" }),
            (with("{", "{\"rootHash\":\"00\","), E::DuplicateKey),
            (with("{", "{\"root\\u0048ash\":\"00\","), E::DuplicateKey),
            (with("{", "{\"signature\":\"MAA=\","), E::DuplicateKey),
            (with("{", "{\"a\":1,\"a\":1,"), E::DuplicateKey),
            (with("{", "{\"a\":{\"b\":1,\"c\":2,\"b\":3},"), E::DuplicateKey),
            (with("{", "{\"a\":[[{\"\":1,\"\":3}]],"), E::DuplicateKey),
            (with("{", &format!("{{{many}")), E::TooManyKeys { max: MAX_KEYS }),
            (with("{", &format!("{{\"a\":{},", deep(8))), E::TooDeep { max: 8 }),
            (with("{", &format!("{{\"a\":{},", deep(100_000))), E::TooDeep { max: 8 }),
            (refused(&format!("{{\"a\":{}", "{\"a\":".repeat(100_000))), E::TooDeep { max: 8 }),
            // values
            (with(&format!("\"{HASH}\""), "7"), E::WrongType { key: "rootHash" }),
            (with(&format!("\"{HASH}\""), "{}"), E::WrongType { key: "rootHash" }),
            (with(&format!("\"{HASH}\""), &format!("[\"{HASH}\"]")), E::WrongType { key: "rootHash" }),
            (with("\"MAA=\"", "null"), E::WrongType { key: "signature" }),
            (with("\"MAA=\"", "true"), E::WrongType { key: "signature" }),
            (with(HASH, &upper), E::RootHashDigit { at: 1 }),
            (with(HASH, &HASH.replacen('0', " ", 1)), E::RootHashDigit { at: 0 }),
            (with(HASH, &HASH.replacen('0', "\\u0660", 1)), E::RootHashDigit { at: 0 }),
            (with(HASH, &HASH.replacen('0', "\\u0000", 1)), E::RootHashDigit { at: 0 }),
            (with(HASH, &format!("{HASH}\\n")), E::RootHashDigit { at: 64 }),
            (with(HASH, ""), E::RootHashLength { digits: 0 }),
            (with(HASH, "0"), E::RootHashLength { digits: 1 }),
            (with(HASH, &"0".repeat(40)), E::RootHashLength { digits: 40 }),
            (with(HASH, &"0".repeat(63)), E::RootHashLength { digits: 63 }),
            (with(HASH, &"0".repeat(65)), E::RootHashLength { digits: 65 }),
            (with(HASH, &"0".repeat(130)), E::RootHashLength { digits: 130 }),
            (with(&format!("Fingerprint\":\"{HASH}"), "Fingerprint\":\""), E::FingerprintForm),
            (
                with(&format!("Fingerprint\":\"{HASH}"), &format!("Fingerprint\":\"{upper}")),
                E::FingerprintForm,
            ),
            (
                with(&format!("Fingerprint\":\"{HASH}\""), "Fingerprint\":1"),
                E::WrongType { key: FINGERPRINT },
            ),
            // base64
            (with("MAA=", "MAA"), E::Base64),
            (with("MAA=", "MAB="), E::Base64),
            (with("MAA=", "MAA=="), E::Base64),
            (with("MAA=", "MA A="), E::Base64),
            (with("MAA=", "MAA=\\n"), E::Base64),
            (with("MAA=", "MAA=MAA="), E::Base64),
            (with("MAA=", "M-_="), E::Base64),
            (with("MAA=", "===="), E::Base64),
            (with("MAA=", ""), E::EmptySignature),
        ];
        for (i, (found, expected)) in cases.iter().enumerate() {
            assert_eq!(found, expected, "case {i}");
        }
        // seven levels below the object are still fine
        let deepest = good().replacen('{', &format!("{{\"a\":{},", deep(7)), 1);
        assert!(RootHashSignature::parse(deepest.as_bytes()).is_ok());
    }

    #[test]
    fn bytes_that_are_no_text() {
        let mut bytes = good().into_bytes();
        bytes[2] = 0xff;
        let error = RootHashSignature::parse(&bytes).unwrap_err();
        assert_eq!(error, SignatureError::NotUtf8 { offset: 2 });
    }
}
