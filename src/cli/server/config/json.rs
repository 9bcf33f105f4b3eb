//! Reads JSON into the document tree: strict JSON, to a bounded depth, with every value's place.
//!
//! serde_json gives no positions, but it lends the raw text of each value, and where that lies in the file is the
//! position.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::document::{DEPTH_MAX, Entry, Lines, Node, Place, Value};
use super::problem::Findings;

/// Parses a file that is one JSON object, and returns its entries. What is wrong goes to the findings.
pub(super) fn parse(text: &str, lines: &Lines<'_>, findings: &mut Findings) -> Option<Vec<Entry>> {
    // The whole file first: errors in parts of it would count lines from the part's start.
    let whole: &RawValue = match serde_json::from_str(text) {
        Ok(whole) => whole,
        Err(error) => {
            findings.problem(&lines.line(error.line().max(1)), format!("invalid JSON: {}", reason(&error)));
            return None;
        }
    };
    match (Reader { text, lines }).value(whole, DEPTH_MAX) {
        Ok(Value::Object(entries)) => Some(entries),
        Ok(other) => {
            let message = format!("a configuration is a JSON object, found {}", other.describe());
            findings.problem(&lines.place(0), message);
            None
        }
        Err((place, message)) => {
            findings.problem(&place, message);
            None
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    lines: &'a Lines<'a>,
}

impl<'a> Reader<'a> {
    fn value(&self, raw: &'a RawValue, depth_left: usize) -> Result<Value, (Place, String)> {
        let json = raw.get();
        match json.as_bytes().first() {
            Some(b'{' | b'[') if depth_left == 0 => {
                Err((self.place(raw), format!("nested more than {DEPTH_MAX} deep")))
            }
            Some(b'{') => {
                let members: Members<'a> = self.part(raw)?;
                let entry = |(name, value): (&'a RawValue, &'a RawValue)| {
                    let name_text = self.part(name)?;
                    let value = self.value(value, depth_left - 1)?;
                    Ok(Entry { name: name_text, place: self.place(name), value })
                };
                members.0.into_iter().map(entry).collect::<Result<_, _>>().map(Value::Object)
            }
            Some(b'[') => {
                let elements: Vec<&'a RawValue> = self.part(raw)?;
                let node = |raw| Ok(Node { place: self.place(raw), value: self.value(raw, depth_left - 1)? });
                elements.into_iter().map(node).collect::<Result<_, _>>().map(Value::List)
            }
            Some(b'"') => self.part(raw).map(Value::Text),
            Some(b't') => Ok(Value::Boolean(true)),
            Some(b'f') => Ok(Value::Boolean(false)),
            Some(b'n') => Ok(Value::Null),
            _ => Ok(json.parse().map_or(Value::OtherNumber, Value::Integer)),
        }
    }

    /// Decodes a part of the file. Its syntax was checked with the whole; escapes in texts were not.
    fn part<T: Deserialize<'a>>(&self, raw: &'a RawValue) -> Result<T, (Place, String)> {
        serde_json::from_str(raw.get()).map_err(|error| (self.place(raw), format!("invalid JSON: {}", reason(&error))))
    }

    fn place(&self, raw: &RawValue) -> Place {
        let offset = raw.get().as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        self.lines.place(offset)
    }
}

/// An object's members in order, repeated names included.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// Returns serde_json's message without the position at its end.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&position).unwrap_or(&message).to_owned()
}
