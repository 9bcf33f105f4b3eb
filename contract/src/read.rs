//! What a JSON value may be read as: Vault's readers of typed fields (`sdk/framework/field_data.go`, and
//! `go-secure-stdlib/parseutil`).
//!
//! Each fails with a [`Mismatch`] where the value cannot be read so.
//!
//! They are tolerant in the ways that Vault's are, since its clients rely on that: the command line and query
//! parameters send every value as a text, scripts send numbers for texts and texts for numbers. `null` counts as the
//! type's zero; what it means for a field is for others to say.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{GoDuration, Mismatch, Scalar, Time, json};

pub use crate::header::headers;

const LIST_OF_TEXTS: Mismatch = Mismatch("expected a list of strings");
const MAP: Mismatch = Mismatch("expected an object");
const PAIRS: Mismatch = Mismatch("expected an object of strings, or key=value pairs");

/// Returns a value that holds no others; `null` is an empty text. `None` is one that does.
pub fn scalar(value: &Value) -> Option<Scalar<'_>> {
    match value {
        Value::Null => Some(Scalar::Text("")),
        Value::Bool(value) => Some(Scalar::Boolean(*value)),
        Value::Number(number) => Some(Scalar::Number(number.as_str())),
        Value::String(text) => Some(Scalar::Text(text)),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads a text; see [`Scalar::text`].
pub fn text(value: &Value) -> Result<Cow<'_, str>, Mismatch> {
    scalar(value).map(Scalar::text).ok_or(Mismatch::TEXT)
}

/// Reads a name: letters, digits and `_`, with `-` and `.` between them.
pub fn name(value: &Value) -> Result<Cow<'_, str>, Mismatch> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let text = text(value)?;
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(is_word) && bytes.last().is_some_and(is_word);
    let is_name = ends && bytes.iter().all(|byte| is_word(byte) || matches!(byte, b'-' | b'.'));
    is_name.then_some(text).ok_or(Mismatch("expected a name of letters, digits, '_', and '-' or '.' between them"))
}

/// Reads a boolean; see [`Scalar::boolean`].
pub fn boolean(value: &Value) -> Result<bool, Mismatch> {
    scalar(value).ok_or(Mismatch::BOOLEAN)?.boolean()
}

/// Reads an integer; see [`Scalar::integer`].
pub fn integer(value: &Value) -> Result<i128, Mismatch> {
    scalar(value).ok_or(Mismatch::INTEGER)?.integer()
}

/// Reads a number; see [`Scalar::float`].
pub fn float(value: &Value) -> Result<f64, Mismatch> {
    scalar(value).ok_or(Mismatch::NUMBER)?.float()
}

/// Reads a duration, which may be negative; see [`Scalar::duration`].
pub fn duration(value: &Value) -> Result<GoDuration, Mismatch> {
    scalar(value).ok_or(crate::DurationError::Syntax)?.duration()
}

/// Reads a moment; see [`Scalar::time`].
pub fn time(value: &Value) -> Result<Time, Mismatch> {
    scalar(value).unwrap_or(Scalar::Text("")).time()
}

/// Reads a list of any values. One value that is no list is a list of one, and an empty object an empty one.
pub fn values(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Null => &[],
        Value::Object(members) if members.is_empty() => &[],
        value => std::slice::from_ref(value),
    }
}

/// Reads a list of texts, without white space around each. A text is a list of one, and the empty text an empty list.
pub fn strings(value: &Value) -> Result<Vec<String>, Mismatch> {
    match value {
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        value => texts(values(value)),
    }
}

/// Reads a list of texts, which a single text separates by commas. Items are without white space around them, and may
/// be empty.
pub fn comma_strings(value: &Value) -> Result<Vec<String>, Mismatch> {
    match value {
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(text) => Ok(text.split(',').map(|item| item.trim().to_owned()).collect()),
        value => texts(values(value)),
    }
}

/// Reads a list of integers, which a single text separates by commas.
pub fn comma_integers(value: &Value) -> Result<Vec<i128>, Mismatch> {
    const LIST_OF_INTEGERS: Mismatch = Mismatch("expected a list of integers");
    let read: Result<_, _> = match value {
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(text) => text.split(',').map(|item| Scalar::Text(item.trim()).integer()).collect(),
        value => values(value).iter().map(integer).collect(),
    };
    read.map_err(|_| LIST_OF_INTEGERS)
}

/// Reads an object, which may come as its text, or as a list of objects that are one together.
pub fn map(value: &Value) -> Result<Cow<'_, Map<String, Value>>, Mismatch> {
    match value {
        Value::Object(members) => Ok(Cow::Borrowed(members)),
        Value::Null => Ok(Cow::Owned(Map::new())),
        Value::Array(items) => {
            let mut merged = Map::new();
            for item in items {
                let Value::Object(members) = item else { return Err(MAP) };
                merged.extend(members.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            Ok(Cow::Owned(merged))
        }
        Value::String(text) => json::parse(text.as_bytes()).map(Cow::Owned).map_err(|_| MAP),
        Value::Bool(_) | Value::Number(_) => Err(MAP),
    }
}

/// Reads a map from text to text: an object of single values, or texts like `key=value`, one or a list.
pub fn pairs(value: &Value) -> Result<BTreeMap<String, String>, Mismatch> {
    let is_text = matches!(value, Value::String(_));
    if let Some(members) = map(value).ok().filter(|_| !is_text) {
        let pair = |(name, value): (&String, &Value)| Ok((name.clone(), text(value)?.into_owned()));
        return members.iter().map(pair).collect::<Result<_, Mismatch>>().map_err(|_| PAIRS);
    }
    let pair = |item: &str| {
        let (name, value) = item.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_owned(), value.to_owned()))
    };
    values(value).iter().map(|item| pair(&text(item).map_err(|_| PAIRS)?).ok_or(PAIRS)).collect()
}

fn texts(items: &[Value]) -> Result<Vec<String>, Mismatch> {
    let read = items.iter().map(|item| text(item).map(|text| text.trim().to_owned()));
    read.collect::<Result<_, _>>().map_err(|_| LIST_OF_TEXTS)
}
