//! The fields of a route: what they are called, what type they have, and how a value becomes that type.
//!
//! The command line and query parameters send every value as a string, so strings convert where their meaning is plain:
//! `"5"` is an integer, `"1h30m"` a duration, `"a,b"` a list.

use std::fmt;

use serde_json::{Map, Number, Value};

use super::route::Absence;
use crate::Error;

/// One field of a route.
#[derive(Clone)]
pub struct Field {
    pub(super) name: String,
    pub(super) kind: FieldKind,
    pub(super) description: String,
    pub(super) presence: Presence,
}

impl Field {
    /// Declares a text. Numbers and booleans are taken as they are written.
    pub fn string(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldKind::String, name.into(), description.into())
    }

    /// Declares a whole number.
    pub fn integer(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldKind::Integer, name.into(), description.into())
    }

    /// Declares a boolean, which may also come as `"true"`, `"false"`, `1` or `0`.
    pub fn boolean(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldKind::Boolean, name.into(), description.into())
    }

    /// Declares a duration: a number of seconds, or text like `"1h30m"`. A handler reads it as whole seconds.
    pub fn duration(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldKind::Duration, name.into(), description.into())
    }

    /// Declares a list, which may also come as text with commas, or as the one number that it holds.
    pub fn list(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldKind::List, name.into(), description.into())
    }

    /// Declares a JSON object, which may also come as its text.
    pub fn map(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldKind::Map, name.into(), description.into())
    }

    /// Refuses writes without this field. Reads, lists and deletions of the same path may leave it out.
    pub fn required(mut self) -> Self {
        self.presence = Presence::Required;
        self
    }

    /// Stands in when a request does not have this field; it is converted as if the client had sent it.
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.presence = Presence::Default(value.into());
        self
    }

    /// Takes this field out of a request's body and converts it.
    pub(super) fn take(&self, body: &mut Map<String, Value>, absence: Absence) -> Result<Option<Value>, Error> {
        let value = match (body.remove(&self.name), absence) {
            (Some(value), Absence::Kept) if value.is_null() => return Ok(Some(value)),
            (Some(value), _) if !value.is_null() => value,
            (_, Absence::Kept) => return Ok(None),
            (_, Absence::Refused | Absence::Filled) => match (&self.presence, absence) {
                (Presence::Default(value), _) => value.clone(),
                (Presence::Required, Absence::Refused) => {
                    return Err(Error::InvalidRequest(format!("missing field `{}`", self.name)));
                }
                _ => return Ok(None),
            },
        };
        let (name, kind) = (&self.name, self.kind);
        let converted = kind.convert(value);
        converted
            .map(Some)
            .ok_or_else(|| Error::InvalidRequest(format!("field `{name}`: expected {}", kind.expected())))
    }

    fn new(kind: FieldKind, name: String, description: String) -> Self {
        Self { name, kind, description, presence: Presence::Optional }
    }
}

#[derive(Clone)]
pub(super) enum Presence {
    Optional,
    Required,
    Default(Value),
}

// --- FieldKind ---

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FieldKind {
    String,
    Integer,
    Boolean,
    Duration,
    List,
    Map,
}

/// Vault's word for the type, as its help shows it.
impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Integer => "int",
            Self::Boolean => "bool",
            Self::Duration => "duration (sec)",
            Self::List => "slice",
            Self::Map => "map",
        })
    }
}

impl FieldKind {
    fn expected(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Boolean => "a boolean",
            Self::Duration => "a duration in seconds or like \"1h30m\"",
            Self::List => "a list",
            Self::Map => "an object",
        }
    }

    fn convert(self, value: Value) -> Option<Value> {
        match (self, value) {
            (Self::String, Value::String(text)) => Some(Value::String(text)),
            (Self::String, value @ (Value::Number(_) | Value::Bool(_))) => Some(Value::String(value.to_string())),
            (Self::Integer, Value::Number(number)) => integer(number),
            (Self::Integer, Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
            (Self::Boolean, value) => boolean(&value).map(Value::Bool),
            (Self::Duration, Value::Number(number)) => integer(number)?.as_u64().map(Value::from),
            (Self::Duration, Value::String(text)) => seconds(text.trim()).map(Value::from),
            (Self::List, Value::Array(items)) => Some(Value::Array(items)),
            (Self::List, Value::String(text)) => Some(comma_separated(&text)),
            (Self::List, value @ Value::Number(_)) => Some(Value::Array(vec![value])),
            (Self::Map, Value::Object(map)) => Some(Value::Object(map)),
            (Self::Map, Value::String(text)) => serde_json::from_str(&text).ok().filter(Value::is_object),
            _ => None,
        }
    }
}

/// A float without a fraction is an integer too: JavaScript's JSON does not tell them apart.
fn integer(number: Number) -> Option<Value> {
    /// Above 2^53 a float skips integers, so what was meant is no longer known.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if !number.is_f64() {
        return Some(Value::Number(number));
    }
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() <= EXACT_MAX).then(|| Value::from(float as i64))
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => match number.as_u64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Some(true),
            "false" | "f" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn comma_separated(text: &str) -> Value {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
}

/// Reads `90`, `90s`, `1h30m`, `2d`. Fractions are not durations here, since a handler reads whole seconds.
fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let mut total = 0_u64;
    let mut left = text;
    while !left.is_empty() {
        let (number, behind) = left.split_at(left.find(|c: char| !c.is_ascii_digit())?);
        let unit = behind.chars().next()?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        left = &behind[unit.len_utf8()..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_convert_where_their_meaning_is_plain() {
        use FieldKind::*;
        let rows = [
            (String, json!("a"), Some(json!("a"))),
            (String, json!(5), Some(json!("5"))),
            (String, json!([1]), None),
            (Integer, json!("-5"), Some(json!(-5))),
            (Integer, json!(5.0), Some(json!(5))),
            (Integer, json!(5.5), None),
            (Integer, json!(1e300), None),
            (Integer, json!("five"), None),
            (Boolean, json!("TRUE"), Some(json!(true))),
            (Boolean, json!(0), Some(json!(false))),
            (Boolean, json!("yes"), None),
            (Duration, json!(90), Some(json!(90))),
            (Duration, json!("90"), Some(json!(90))),
            (Duration, json!("1h30m5s"), Some(json!(5405))),
            (Duration, json!("2d"), Some(json!(172_800))),
            (Duration, json!(-1), None),
            (Duration, json!("1h30"), None),
            (Duration, json!("h"), None),
            (Duration, json!("1é"), None),
            (Duration, json!("99999999999999999999d"), None),
            (Duration, json!("999999999999999999d"), None),
            (Duration, json!(""), None),
            (List, json!("a, b,,c"), Some(json!(["a", "b", "c"]))),
            (List, json!(""), Some(json!([]))),
            (List, json!([1, "b"]), Some(json!([1, "b"]))),
            (List, json!(5), Some(json!([5]))),
            (List, json!({"a": 1}), None),
            (Map, json!({"a": 1}), Some(json!({"a": 1}))),
            (Map, json!("{\"a\":1}"), Some(json!({"a": 1}))),
            (Map, json!("[1]"), None),
        ];
        for (kind, value, expected) in rows {
            assert_eq!(kind.convert(value.clone()), expected, "{kind:?} from {value}");
        }
    }
}
