//! JSON into Rust types, with errors that name the field and never quote its value.
//!
//! serde_json says "invalid type: string "hunter2", expected u64 at line 1 column 12": the wrong half. The place is
//! what a client needs, and the value may be a secret. So JSON is parsed to a [`Value`] first, and that is deserialised
//! by a [`Node`] that knows its own path. The extra pass is linear, and bodies are small.

use std::fmt;

use cofferdam_contract::json;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Map, Number, Value};

use crate::Error;

/// Reads a JSON document.
pub(crate) fn from_slice<T: de::DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    let value = json::parse(json).map_err(|error| Problem::new(error.to_string()))?;
    from_value(&value)
}

/// Reads what was stored under a key.
pub(crate) fn stored<T: de::DeserializeOwned>(key: &str, json: &[u8]) -> Result<T, Error> {
    from_slice(json)
        .map_err(|problem| Error::Internal(format!("stored value {key:?} is not what was expected: {problem}")))
}

/// Reads a parsed document.
pub(crate) fn from_value<'de, T: Deserialize<'de>>(value: &'de Value) -> Result<T, Problem> {
    T::deserialize(Node { path: Path::Root, value })
}

/// Reads an object.
pub(crate) fn from_map<'de, T: Deserialize<'de>>(map: &'de Map<String, Value>) -> Result<T, Problem> {
    T::deserialize(MapDeserializer::new(entries(&Path::Root, map)))
}

/// Reads the value of one field; `null` stands for a field that is not there.
pub(crate) fn from_field<'de, T: Deserialize<'de>>(name: &'de str, value: &'de Value) -> Result<T, Problem> {
    let result = T::deserialize(Node { path: Path::Key(&Path::Root, name), value });
    match (result, value) {
        (Err(_), Value::Null) => Err(Problem::new(format!("missing field `{name}`"))),
        (result, _) => result,
    }
}

/// What is wrong with a document, and where.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    field: Option<String>,
    message: String,
}

impl Problem {
    fn new(message: String) -> Self {
        Self { field: None, message }
    }

    fn at(mut self, path: Path) -> Self {
        // The innermost place is set first, and is the one that helps.
        if self.field.is_none() && !matches!(path, Path::Root) {
            self.field = Some(path.to_string());
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "field `{field}`: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {}", Found(found)))
    }

    fn invalid_value(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found another {}", Found(found)))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("expected one of {}", expected.join(", ")))
    }
}

/// The kind of what was found, without the value that [`Unexpected`] itself would show.
struct Found<'a>(Unexpected<'a>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self.0 {
            Unexpected::Bool(_) => "boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
            Unexpected::Float(_) => "number",
            Unexpected::Str(_) | Unexpected::Char(_) => "string",
            Unexpected::Unit | Unexpected::Option => "null",
            Unexpected::Seq => "list",
            Unexpected::Map => "object",
            _ => "value",
        })
    }
}

// --- Node ---

/// Where a value is in its document. It borrows from the stack of the walk: paths are only spelled out for an error.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// By this name serde_json passes on a number whose digits no primitive type holds.
const DIGITS: &str = "$serde_json::private::Number";

/// What whoever reads a value would have.
#[derive(Clone, Copy, PartialEq)]
enum Takes {
    Anything,
    ANumber,
}

/// Tells whether a float is written as the number was.
fn keeps_digits(float: f64, number: &Number) -> bool {
    Number::from_f64(float).is_some_and(|written| written == *number)
}

/// Declares what reads a number of a certain type, which has the digits that the type has.
macro_rules! number_methods {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.visit(visitor, Takes::ANumber).map_err(|problem| problem.at(self.path))
        }
    )*};
}

/// A value and where it is.
struct Node<'p, 'de> {
    path: Path<'p>,
    value: &'de Value,
}

impl<'p, 'de> Node<'p, 'de> {
    fn visit<V: Visitor<'de>>(&self, visitor: V, takes: Takes) -> Result<V::Value, Problem> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(value) => visitor.visit_borrowed_str(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (_, _, Some(value)) if keeps_digits(value, number) => visitor.visit_f64(value),
                // Only a type that takes anything keeps digits that no float has; serde_json's `Value` knows them by
                // this.
                _ if takes == Takes::Anything => {
                    visitor.visit_map(MapDeserializer::new(std::iter::once((DIGITS, number.as_str()))))
                }
                (_, _, value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
            },
            Value::Array(items) => {
                let nodes = items.iter().enumerate();
                let nodes = nodes.map(|(index, value)| Node { path: Path::Index(&self.path, index), value });
                visitor.visit_seq(SeqDeserializer::new(nodes))
            }
            Value::Object(map) => visitor.visit_map(MapDeserializer::new(entries(&self.path, map))),
        }
    }
}

impl<'de> Deserializer<'de> for Node<'_, 'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.visit(visitor, Takes::Anything).map_err(|problem| problem.at(self.path))
    }

    number_methods! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let result = match self.value {
            Value::String(variant) => {
                let variant: StrDeserializer<Problem> = variant.as_str().into_deserializer();
                variant.deserialize_enum(name, variants, visitor)
            }
            Value::Object(map) => MapAccessDeserializer::new(MapDeserializer::new(entries(&self.path, map)))
                .deserialize_enum(name, variants, visitor),
            _ => self.visit(visitor, Takes::Anything),
        };
        result.map_err(|problem| problem.at(self.path))
    }

    forward_to_deserialize_any! {
        bool char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Problem> for Node<'_, 'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn entries<'p, 'de: 'p>(
    parent: &'p Path<'p>,
    map: &'de Map<String, Value>,
) -> impl Iterator<Item = (&'de str, Node<'p, 'de>)> {
    map.iter().map(|(key, value)| (key.as_str(), Node { path: Path::Key(parent, key), value }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Role {
        name: String,
        ttl: Option<u64>,
        #[serde(default)]
        rules: Vec<Rule>,
        #[serde(default)]
        mode: Mode,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Rule {
        path: String,
        weight: f64,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        #[default]
        Open,
        Shut(u8),
    }

    #[test]
    fn a_document_that_fits_is_read_whole() {
        let json =
            br#"{"name": "r", "ttl": 5, "rules": [{"path": "a/*", "weight": -1.5}], "mode": {"shut": 3}, "x": [{}]}"#;
        let rules = vec![Rule { path: "a/*".into(), weight: -1.5 }];
        assert_eq!(from_slice(json), Ok(Role { name: "r".into(), ttl: Some(5), rules, mode: Mode::Shut(3) }));
        assert_eq!(from_slice::<Value>(json), Ok(serde_json::from_slice(json).unwrap()));
        assert_eq!(from_slice(br#"{"b": -2}"#), Ok(BTreeMap::from([("b".to_string(), -2_i64)])));
    }

    #[test]
    fn a_problem_names_the_field_and_not_its_value() {
        let rows = [
            (r#"{"ttl": 1}"#, "missing field `name`"),
            (r#"{"name": 1}"#, "field `name`: expected a string, found integer"),
            (r#"{"name": "r", "ttl": "hunter2"}"#, "field `ttl`: expected u64, found string"),
            (r#"{"name": "r", "ttl": -7}"#, "field `ttl`: expected u64, found another integer"),
            (r#"{"name": "r", "rules": [{"path": "p"}]}"#, "field `rules[0]`: missing field `weight`"),
            (r#"{"name": "r", "rules": [{"path": {}}]}"#, "field `rules[0].path`: expected a string, found object"),
            (r#"{"name": "r", "mode": "hunter2"}"#, "field `mode`: expected one of open, shut"),
            (r#"{"name": hunter2}"#, "malformed JSON at line 1, column 10"),
        ];
        for (json, message) in rows {
            assert_eq!(from_slice::<Role>(json.as_bytes()).unwrap_err().to_string(), message, "{json}");
        }
    }

    #[test]
    fn numbers_keep_their_digits_where_the_type_can_hold_them() {
        let json = r#"{"a":18446744073709551616,"b":100000000000000.01,"c":1.10,"d":[1.5,-7,2e+3]}"#;
        assert_eq!(from_slice::<Value>(json.as_bytes()).unwrap().to_string(), json);
        assert_eq!(from_slice::<Map<String, Value>>(json.as_bytes()).unwrap()["c"].to_string(), "1.10");
        assert_eq!(from_slice(b"[1.10, 1]"), Ok([1.1_f64, 1.0]));
        assert!(from_slice::<u64>(b"18446744073709551616").is_err());
    }

    #[test]
    fn json_is_as_deep_as_a_request_may_be() {
        let nested = |deep: usize| format!("{}{}", "[".repeat(deep), "]".repeat(deep));
        assert_eq!(from_slice::<Value>(nested(500).as_bytes()).unwrap().to_string(), nested(500));
        let problem = from_slice::<Value>(nested(501).as_bytes()).unwrap_err();
        assert_eq!(problem.to_string(), "JSON is nested more than 500 deep");
    }

    #[test]
    fn an_absent_field_is_none_or_missing() {
        assert_eq!(from_field::<Option<u8>>("ttl", &Value::Null), Ok(None));
        let problem = from_field::<u8>("ttl", &Value::Null).unwrap_err();
        assert_eq!(problem.to_string(), "missing field `ttl`");
    }
}
