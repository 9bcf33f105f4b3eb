//! JSON into Rust types, with errors that name the field and never quote its value.
//!
//! serde_json says "invalid type: string "hunter2", expected u64 at line 1 column 12": the wrong half. The place is what a
//! client needs, and the value may be a secret. So JSON is parsed to a [`Value`] first, and that is deserialised by a
//! [`Node`] that knows its own path. The extra pass is linear, and bodies are small.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Map, Value};

/// Reads a JSON document.
pub(crate) fn from_slice<T: de::DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    let value = serde_json::from_slice(json).map_err(|error| {
        Problem::new(format!("malformed JSON at line {}, column {}", error.line(), error.column()))
    })?;
    from_value(&value)
}

/// Reads a parsed document.
pub(crate) fn from_value<'de, T: Deserialize<'de>>(value: &'de Value) -> Result<T, Problem> {
    T::deserialize(Node { path: Path::Root, value })
}

/// Reads an object.
pub(crate) fn from_map<'de, T: Deserialize<'de>>(map: &'de Map<String, Value>) -> Result<T, Problem> {
    T::deserialize(MapDeserializer::new(entries(Path::Root, map)))
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

/// A value and where it is.
struct Node<'p, 'de> {
    path: Path<'p>,
    value: &'de Value,
}
