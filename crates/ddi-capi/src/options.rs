//! Options as JSON: an object, of which every key is known.

use serde_json::{Map, Value};

use crate::error::Error;

/// What is left of the options; each that is taken is known.
#[derive(Debug)]
pub(crate) struct Options(Map<String, Value>);

impl Options {
    /// From text; none at all is an empty object.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Error> {
        let Some(text) = text else { return Ok(Options(Map::new())) };
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(Options(object)),
            Ok(_) => Err(Error::usage("options", "options are not a JSON object")),
            Err(error) => Err(Error::usage("options", format!("options are not JSON: {error}"))),
        }
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<Option<u64>, Error> {
        self.take(key, "a whole number", |value| value.as_u64())
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, Error> {
        self.take(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, Error> {
        self.take(key, "true or false", Value::as_bool)
    }

    pub(crate) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Error> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        self.take(key, "an array of strings", |value| value.as_array()?.iter().map(text).collect())
    }

    /// A text that `known` knows.
    pub(crate) fn word<T>(
        &mut self,
        key: &str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match known(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::usage("options", format!("option {key}: {text} is not known"))),
        }
    }

    fn take<T>(
        &mut self,
        key: &str,
        shape: &str,
        as_it: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match as_it(&value) {
                Some(value) => Ok(Some(value)),
                None => Err(Error::usage("options", format!("option {key} is not {shape}"))),
            },
        }
    }

    /// Nothing may be left: an option that is not known would be one that does nothing.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.0.keys().next() {
            Some(key) => Err(Error::usage("options", format!("option {key} is not known"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_known_and_has_its_shape() {
        let mut options =
            Options::parse(Some(r#"{"a": 7, "b": "x", "c": true, "d": ["y"], "e": null}"#)).unwrap();
        assert_eq!(options.number("a").ok(), Some(Some(7)));
        assert_eq!(options.text("b").ok(), Some(Some("x".into())));
        assert_eq!(options.flag("c").ok(), Some(Some(true)));
        assert_eq!(options.texts("d").ok(), Some(Some(vec!["y".into()])));
        assert_eq!(options.number("e").ok(), Some(None));
        assert!(options.finish().is_ok());
        for text in ["", "[]", "7", "{", "nul", r#"{"a": 1} x"#] {
            assert!(Options::parse(Some(text)).is_err(), "{text}");
        }
        for text in [r#"{"a": -1}"#, r#"{"a": 1.5}"#, r#"{"a": "7"}"#, r#"{"a": 18446744073709551616}"#] {
            assert!(Options::parse(Some(text)).unwrap().number("a").is_err(), "{text}");
        }
        assert!(Options::parse(Some(r#"{"saIt": "-"}"#)).unwrap().finish().is_err());
        assert!(Options::parse(None).unwrap().finish().is_ok());
    }
}
