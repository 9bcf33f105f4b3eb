//! The fields of a route: what they are called, what type they have, and how a value becomes that type.
//!
//! The command line and query parameters send every value as a string, so strings convert as Vault converts them: `"5"`
//! is an integer, `"1.5h"` a duration, `"a,b"` a list, and the empty string is zero, false, no time and no items.

use cofferdam_contract::FieldType;
use serde_json::{Map, Value};

use super::route::Absence;
use crate::Error;

/// One field of a route.
#[derive(Clone)]
pub struct Field {
    pub(super) name: String,
    pub(super) kind: FieldType,
    pub(super) description: String,
    pub(super) presence: Presence,
}

impl Field {
    /// Declares a text. A number is taken as its digits, a boolean as `1` or `0`.
    pub fn string(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldType::String, name.into(), description.into())
    }

    /// Declares a whole number.
    pub fn integer(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldType::Int64, name.into(), description.into())
    }

    /// Declares a boolean, which may also come as `"true"`, `"false"`, `1` or `0`; `""` is false.
    pub fn boolean(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldType::Bool, name.into(), description.into())
    }

    /// Declares a duration: a number of seconds, or text like `"1h30m"`, `"1.5h"` or `"30d"`; `""` is none. A handler
    /// reads it as whole seconds.
    pub fn duration(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldType::DurationSecond, name.into(), description.into())
    }

    /// Declares a duration that may be negative. A handler reads it as whole seconds.
    pub fn signed_duration(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldType::SignedDurationSecond, name.into(), description.into())
    }

    /// Declares a field of any of Vault's types.
    pub fn of(field_type: FieldType, name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(field_type, name.into(), description.into())
    }

    /// Declares a list of texts, which may also come as one text with commas. Items may be empty, as in Vault.
    pub fn list(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldType::CommaStringSlice, name.into(), description.into())
    }

    /// Declares a JSON object, which may also come as its text.
    pub fn map(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(FieldType::Map, name.into(), description.into())
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
        let read = self.kind.read(value);
        read.map(Some).map_err(|mismatch| Error::InvalidRequest(format!("field `{}`: {mismatch}", self.name)))
    }

    fn new(kind: FieldType, name: String, description: String) -> Self {
        Self { name, kind, description, presence: Presence::Optional }
    }
}

#[derive(Clone)]
pub(super) enum Presence {
    Optional,
    Required,
    Default(Value),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        r#type: String,
        given: Value,
        read: Option<Value>,
    }

    /// The contract's table, through the fields of a route.
    #[test]
    fn fields_are_read_as_the_contract_has_it() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../../contract/cases.json")).unwrap();
        for Case { r#type, given, read } in cases {
            let kind = FieldType::ALL.into_iter().find(|kind| format!("{kind:?}") == r#type).unwrap();
            let mut body = Map::from_iter([("f".to_owned(), given.clone())]);
            let found = Field::new(kind, "f".into(), String::new()).take(&mut body, Absence::Refused);
            match (found, read) {
                (Ok(found), read) if read.is_some() => assert_eq!(found, read, "{type} from {given}"),
                (Err(Error::InvalidRequest(text)), None) => assert!(text.starts_with("field `f`: expected"), "{text}"),
                (found, read) => panic!("{type} from {given}: {found:?}, expected {read:?}"),
            }
        }
    }
}
