//! JSON Schema as the files in `docs/schema` use it, and no more: draft 2020-12, of which a keyword that is not here is a
//! failure. A validator crate would bring some 60 crates for that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::Ended;

/// All files of `docs/schema`.
pub(crate) struct Schemas(BTreeMap<String, Value>);

/// Those of this checkout.
pub(crate) static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::load);

/// Where, and what is wrong there.
type Faults = Vec<String>;

/// A pattern, and what it asks for.
type Pattern = (&'static str, fn(&str) -> bool);

const PATTERNS: [Pattern; 4] = [
    ("^[0-9a-f]*$", |text| text.chars().all(is_lower_hex)),
    ("^[0-7]{4}$", |text| text.len() == 4 && text.chars().all(|c| matches!(c, '0'..='7'))),
    ("^0x[0-9a-f]{16}$", |text| {
        text.strip_prefix("0x").is_some_and(|digits| digits.len() == 16 && digits.chars().all(is_lower_hex))
    }),
    ("^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", |text| {
        let groups: Vec<_> = text.split('-').collect();
        groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
            && groups.iter().all(|group| group.chars().all(is_lower_hex))
    }),
];

fn is_lower_hex(c: char) -> bool {
    matches!(c, '0'..='9' | 'a'..='f')
}

impl Schemas {
    fn load() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema");
        let file = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            let name = name.strip_suffix(".json").unwrap_or_else(|| panic!("{name}")).to_owned();
            let schema: Value = serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap();
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
            assert!(
                schema["$id"].as_str().unwrap().ends_with(&format!("/docs/schema/{name}.json")),
                "{name}"
            );
            (name, schema)
        };
        Schemas(fs::read_dir(folder).unwrap().map(|entry| file(entry.unwrap())).collect())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or_else(|| panic!("there is no docs/schema/{name}.json"))
    }

    /// Asserts that stdout is one document, or one array of documents, and that these are what their schemas say. Gives the names
    /// of the schemas.
    #[track_caller]
    pub(crate) fn check_stdout(&self, ended: &Ended, what: &str) -> BTreeSet<&str> {
        let value: Value =
            serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{what}: {error}: {ended:?}"));
        match &value {
            Value::Array(documents) => documents.iter().map(|document| self.check(document, what)).collect(),
            document => [self.check(document, what)].into(),
        }
    }

    /// Asserts that `document` is what its `schema` says, and gives the name of that.
    #[track_caller]
    pub(crate) fn check(&self, document: &Value, what: &str) -> &str {
        let named =
            document["schema"].as_str().unwrap_or_else(|| panic!("{what}: no schema in {document:#}"));
        let name = named.strip_prefix("ddi.").and_then(|name| name.strip_suffix("/1"));
        let name = name.unwrap_or_else(|| panic!("{what}: {named}"));
        let mut faults = Vec::new();
        let (name, _) =
            self.0.get_key_value(name).unwrap_or_else(|| panic!("there is no docs/schema/{name}.json"));
        self.validate((name, self.get(name)), document, name.to_owned(), &mut faults);
        assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
        name
    }

    fn validate(&self, (file, schema): (&str, &Value), value: &Value, at: String, faults: &mut Faults) {
        let schema = schema.as_object().unwrap_or_else(|| panic!("{at}: {schema}"));
        for (keyword, wanted) in schema {
            let fits = match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" | "required" => true,
                "$ref" => {
                    self.validate(self.resolve(file, wanted), value, at.clone(), faults);
                    true
                }
                "type" => match wanted {
                    Value::Array(names) => names.iter().any(|name| is_of_type(value, name)),
                    name => is_of_type(value, name),
                },
                "const" => value == wanted,
                "enum" => wanted.as_array().unwrap().contains(value),
                "anyOf" => wanted.as_array().unwrap().iter().any(|schema| {
                    let mut own = Vec::new();
                    self.validate((file, schema), value, at.clone(), &mut own);
                    own.is_empty()
                }),
                "pattern" => {
                    let pattern = PATTERNS.iter().find(|(pattern, _)| wanted == pattern);
                    let (_, holds) = pattern.unwrap_or_else(|| panic!("{at}: pattern {wanted}"));
                    value.as_str().is_none_or(holds)
                }
                "minimum" => number(value).is_none_or(|number| number >= wanted.as_i64().unwrap().into()),
                "maximum" => number(value).is_none_or(|number| number <= wanted.as_i64().unwrap().into()),
                "minItems" => {
                    value.as_array().is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap())
                }
                "maxItems" => {
                    value.as_array().is_none_or(|items| items.len() as u64 <= wanted.as_u64().unwrap())
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.validate((file, wanted), item, format!("{at}/{number}"), faults);
                    }
                    true
                }
                "properties" | "additionalProperties" | "dependentRequired" => {
                    // once, for all three
                    if keyword == "additionalProperties"
                        && let Some(object) = value.as_object()
                    {
                        self.members((file, schema), object, &at, faults);
                    }
                    true
                }
                other => panic!("{file}.json: {at}: keyword {other}"),
            };
            if !fits {
                faults.push(format!("{at}: {keyword}: {value} is not {wanted}"));
            }
        }
        // nothing of ours is open by oversight
        assert_eq!(schema.contains_key("properties"), schema.contains_key("required"), "{file}.json: {at}");
        assert!(
            !schema.contains_key("properties") || schema["additionalProperties"] == false,
            "{file}.json: {at}"
        );
    }

    fn members(
        &self,
        (file, schema): (&str, &Map<String, Value>),
        object: &Map<String, Value>,
        at: &str,
        faults: &mut Faults,
    ) {
        let known = schema.get("properties").and_then(Value::as_object);
        for (key, value) in object {
            let at = format!("{at}/{key}");
            match (known.and_then(|known| known.get(key)), &schema["additionalProperties"]) {
                (Some(schema), _) => self.validate((file, schema), value, at, faults),
                (None, Value::Bool(false)) => faults.push(format!("{at}: is not known")),
                (None, schema) => self.validate((file, schema), value, at, faults),
            }
        }
        let names = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
        let mut required = schema.get("required").map(names).unwrap_or_default();
        for (key, more) in schema.get("dependentRequired").and_then(Value::as_object).into_iter().flatten() {
            if object.contains_key(key) {
                required.extend(names(more));
            }
        }
        faults.extend(
            required
                .iter()
                .filter(|key| !object.contains_key(*key))
                .map(|key| format!("{at}: {key} is missing")),
        );
    }

    /// The schema that `reference` names in `file`, and the file that it is in.
    fn resolve<'a>(&'a self, file: &'a str, reference: &'a Value) -> (&'a str, &'a Value) {
        let (other, pointer) = reference.as_str().unwrap().split_once('#').unwrap();
        let file = if other.is_empty() { file } else { other.strip_suffix(".json").unwrap() };
        let schema = self.get(file).pointer(pointer);
        (file, schema.unwrap_or_else(|| panic!("{file}.json has no {pointer}")))
    }
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("type {other}"),
    }
}

fn number(value: &Value) -> Option<i128> {
    value.as_u64().map(i128::from).or(value.as_i64().map(i128::from))
}
