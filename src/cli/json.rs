//! JSON whose numbers keep the digits that somebody wrote: `18446744073709551616`, `100000000000000.01` and `1.10` stay
//! what they are.
//!
//! Where a command only looks into an answer, serde_json's own values do. What is passed on, from a person to the
//! server or back, is held in these.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{self, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// What servers take and plugins may answer; deeper documents would cost stack.
const DEPTH_MAX: usize = 500;

/// The members of an object, sorted by name as Vault prints them.
pub(super) type Members = BTreeMap<String, Json>;

/// One value.
#[derive(Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Members),
}

impl Json {
    /// Returns what serialises as JSON.
    pub(super) fn of(value: &(impl Serialize + ?Sized)) -> serde_json::Result<Self> {
        Self::parse(&serde_json::to_string(value)?)
    }

    /// Reads a text.
    pub(super) fn parse(text: &str) -> serde_json::Result<Self> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Self::read(raw, DEPTH_MAX)
    }

    /// Returns the number as an integer, if it is one that fits.
    pub(super) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Returns the text.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value for a look into it. A number too long for serde_json's becomes null or is rounded.
    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// `depth` counts how many more levels may follow. Each level of a text is gone through once more; there are few.
    fn read(raw: &RawValue, depth: usize) -> serde_json::Result<Self> {
        let text = raw.get().trim_ascii();
        let inner =
            || depth.checked_sub(1).ok_or_else(|| <serde_json::Error as de::Error>::custom("it is nested too deep"));
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let depth = inner()?;
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
                let read = |(name, raw): (String, &RawValue)| Ok((name, Self::read(raw, depth)?));
                Self::Object(members.into_iter().map(read).collect::<serde_json::Result<_>>()?)
            }
            Some(b'[') => {
                let depth = inner()?;
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                let items = items.into_iter().map(|raw| Self::read(raw, depth));
                Self::List(items.collect::<serde_json::Result<_>>()?)
            }
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'-' | b'0'..=b'9') => Self::Number(text.to_owned()),
            _ => Self::Null,
        })
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(&raw, DEPTH_MAX).map_err(de::Error::custom)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(digits) => {
                RawValue::from_string(digits.clone()).map_err(ser::Error::custom)?.serialize(serializer)
            }
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(members) => serializer.collect_map(members),
        }
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(map) => Self::Object(map.iter().map(|(name, value)| (name.clone(), value.into())).collect()),
        }
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl From<&Json> for Json {
    fn from(value: &Json) -> Self {
        value.clone()
    }
}

impl fmt::Display for Json {
    /// Writes it as JSON without blanks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Says nothing of what is inside, which may be secret.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stay_as_they_were_written() {
        for text in [
            "18446744073709551616",
            "-9223372036854775809",
            "100000000000000.01",
            "1.10",
            "1E400",
            "1e-7",
            "-0",
            "0.1000000000000000055511151231257827",
            r#"{"a":[1.10,{"b":1e5}],"c":null,"d":true,"e":"x\"y"}"#,
        ] {
            assert_eq!(Json::parse(text).unwrap().to_string(), text);
            assert_eq!(Json::of(&Json::parse(text).unwrap()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(DEPTH_MAX)).is_ok());
        assert!(Json::parse(&nested(DEPTH_MAX + 1)).is_err());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "nope", "01", "1.", "[1,]", "{\"a\"}", "1 2"] {
            assert!(Json::parse(text).is_err(), "{text:?}");
        }
    }
}
