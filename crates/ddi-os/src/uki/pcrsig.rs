//! `.pcrsig`: signed values of PCR 11 (UAPI.5; systemd-measure(1)). Only the form is looked at.

use std::fmt;

use serde_json::Value;

/// Signed PCR policies, in number: nobody has checked a signature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PcrSignatures {
    /// For each PCR bank, such as `sha256`, how many.
    pub banks: Vec<(String, usize)>,
}

/// It is not what `systemd-measure sign` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PcrSignaturesError {
    /// It is not JSON.
    NotJson,
    /// It is not an object of arrays of objects.
    Shape,
    /// A field is missing, or is not what it should be.
    Field {
        /// Which one.
        name: &'static str,
    },
}

impl fmt::Display for PcrSignaturesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PcrSignaturesError::NotJson => f.write_str("not JSON"),
            PcrSignaturesError::Shape => {
                f.write_str("not an object of PCR banks with an array of signatures each")
            }
            PcrSignaturesError::Field { name } => {
                write!(f, "field {name} is missing or not what it should be")
            }
        }
    }
}

impl core::error::Error for PcrSignaturesError {}

impl PcrSignatures {
    /// Reads the text, up to the first NUL.
    ///
    /// # Errors
    /// [`PcrSignaturesError`].
    pub fn parse(text: &[u8]) -> Result<Self, PcrSignaturesError> {
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let value: Value = serde_json::from_slice(text).map_err(|_| PcrSignaturesError::NotJson)?;
        let banks = value.as_object().ok_or(PcrSignaturesError::Shape)?;
        let mut found = PcrSignatures::default();
        for (bank, signatures) in banks {
            let signatures = signatures.as_array().ok_or(PcrSignaturesError::Shape)?;
            signatures.iter().try_for_each(check)?;
            found.banks.push((bank.clone(), signatures.len()));
        }
        Ok(found)
    }

    /// Returns true if there is no signature at all.
    pub fn is_empty(&self) -> bool {
        self.banks.iter().all(|(_, number)| *number == 0)
    }
}

fn check(signature: &Value) -> Result<(), PcrSignaturesError> {
    let field = |name| PcrSignaturesError::Field { name };
    let object = signature.as_object().ok_or(PcrSignaturesError::Shape)?;
    let text = |name: &'static str| object.get(name).and_then(Value::as_str).ok_or(field(name));
    let pcrs = object.get("pcrs").and_then(Value::as_array).ok_or(field("pcrs"))?;
    if pcrs.is_empty() || !pcrs.iter().all(|pcr| pcr.as_u64().is_some_and(|pcr| pcr < 24)) {
        return Err(field("pcrs"));
    }
    let is_hex =
        |text: &str| text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !Some(text("pkfp")?).is_some_and(|text| is_hex(text) && text.len() == 64) {
        return Err(field("pkfp"));
    }
    if !Some(text("pol")?).is_some_and(|text| is_hex(text) && !text.is_empty()) {
        return Err(field("pol"));
    }
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if !Some(text("sig")?).is_some_and(|text| !text.is_empty() && text.bytes().all(is_base64)) {
        return Err(field("sig"));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What systemd-measure writes, with other numbers.
    pub(crate) fn good() -> String {
        let hash = "ab".repeat(32);
        format!(r#"{{"sha256":[{{"pcrs":[11],"pkfp":"{hash}","pol":"{hash}","sig":"QUJD/+=="}}]}}"#)
    }

    #[test]
    fn shape() {
        let signatures = PcrSignatures::parse(format!("{}\0junk", good()).as_bytes()).unwrap();
        assert_eq!(signatures.banks, [("sha256".to_owned(), 1)]);
        assert!(PcrSignatures::parse(b"{}").unwrap().is_empty());
        let field = |name| PcrSignaturesError::Field { name };
        for (from, to, error) in [
            ("{\"sha", "(\"sha", PcrSignaturesError::NotJson),
            ("[{", "{\"a\":{", PcrSignaturesError::NotJson),
            ("[11]", "[24]", field("pcrs")),
            ("[11]", "[]", field("pcrs")),
            ("[11]", "11", field("pcrs")),
            ("\"pkfp\":\"ab", "\"pkfp\":\"", field("pkfp")),
            ("\"pkfp\":\"ab", "\"pkfp\":\"xb", field("pkfp")),
            ("\"pol\":\"ab", "\"pol\":\"b", field("pol")),
            ("QUJD", "QU D", field("sig")),
            ("\"sig\"", "\"gis\"", field("sig")),
        ] {
            let text = good().replacen(from, to, 1);
            assert_eq!(PcrSignatures::parse(text.as_bytes()), Err(error), "{text}");
        }
        for text in ["[]", "{\"sha256\":1}", "{\"sha256\":[1]}"] {
            assert_eq!(PcrSignatures::parse(text.as_bytes()), Err(PcrSignaturesError::Shape), "{text}");
        }
        // nesting has a limit
        assert_eq!(PcrSignatures::parse("[".repeat(60_000).as_bytes()), Err(PcrSignaturesError::NotJson));
    }
}
