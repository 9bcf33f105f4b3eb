//! The types that a field of a request can have: Vault's of `sdk/framework/field_type.go`, read as its `field_data.go`
//! reads them.

use std::fmt;

use serde_json::{Number, Value};

use crate::{Mismatch, read};

/// The type of a field, named and read as in Vault's plugins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldType {
    /// A text; numbers and booleans are taken as they are written.
    String,
    /// A text in lower case.
    LowerCaseString,
    /// A name: letters, digits and `_`, with `-` and `.` between them.
    NameString,
    /// An integer.
    Int64,
    /// A number.
    Float,
    /// A boolean.
    Bool,
    /// A duration that is not negative, in whole seconds.
    DurationSecond,
    /// A duration, in whole seconds.
    SignedDurationSecond,
    /// A list of any values.
    Slice,
    /// A list of texts.
    StringSlice,
    /// A list of texts, which may come with commas between them.
    CommaStringSlice,
    /// A list of integers, which may come with commas between them.
    CommaIntSlice,
    /// An object.
    Map,
    /// An object of texts, which may come as `key=value`.
    KvPairs,
    /// HTTP headers: an object of lists of texts.
    Header,
    /// A moment, in whole seconds since 1970.
    Time,
}

/// Vault's word for the type, as its help shows it.
impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::LowerCaseString => "lowercase string",
            Self::NameString => "name string",
            Self::Int64 => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::DurationSecond | Self::SignedDurationSecond => "duration (sec)",
            Self::Slice | Self::StringSlice | Self::CommaStringSlice | Self::CommaIntSlice => "slice",
            Self::Map => "map",
            Self::KvPairs => "keypair",
            Self::Header => "header",
            Self::Time => "time",
        })
    }
}

impl FieldType {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::String,
        Self::LowerCaseString,
        Self::NameString,
        Self::Int64,
        Self::Float,
        Self::Bool,
        Self::DurationSecond,
        Self::SignedDurationSecond,
        Self::Slice,
        Self::StringSlice,
        Self::CommaStringSlice,
        Self::CommaIntSlice,
        Self::Map,
        Self::KvPairs,
        Self::Header,
        Self::Time,
    ];

    /// Returns the value as the type has it: a duration as a number of seconds, a list as an array, whatever form it
    /// came in.
    ///
    /// # Errors
    ///
    /// A [`Mismatch`] for what cannot be read so. It says what was expected, and not what was there.
    pub fn read(self, value: Value) -> Result<Value, Mismatch> {
        Ok(match self {
            Self::String => read::text(&value)?.into(),
            Self::LowerCaseString => read::text(&value)?.to_lowercase().into(),
            Self::NameString => read::name(&value)?.into(),
            Self::Int64 => integer(read::integer(&value)?),
            Self::Float => match value {
                // Its digits stay.
                Value::Number(number) => Value::Number(number),
                value => read::float(&value)?.into(),
            },
            Self::Bool => read::boolean(&value)?.into(),
            Self::DurationSecond => {
                let seconds = read::duration(&value)?.whole_seconds();
                u64::try_from(seconds).map_err(|_| Mismatch("expected a duration that is not negative"))?.into()
            }
            Self::SignedDurationSecond => read::duration(&value)?.whole_seconds().into(),
            Self::Slice => match value {
                Value::Array(items) => Value::Array(items),
                value => Value::Array(read::values(&value).to_vec()),
            },
            Self::StringSlice => read::strings(&value)?.into(),
            Self::CommaStringSlice => read::comma_strings(&value)?.into(),
            Self::CommaIntSlice => read::comma_integers(&value)?.into_iter().map(integer).collect(),
            Self::Map => match value {
                Value::Object(members) => Value::Object(members),
                value => Value::Object(read::map(&value)?.into_owned()),
            },
            Self::KvPairs => read::pairs(&value)?.into_iter().collect(),
            Self::Header => read::headers(&value)?.into_iter().collect(),
            Self::Time => read::time(&value)?.seconds().into(),
        })
    }
}

/// Every integer that was read has 64 bits.
fn integer(value: i128) -> Value {
    Number::from_i128(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        r#type: String,
        given: Value,
        #[serde(default)]
        read: Option<Value>,
    }

    #[test]
    fn every_form_is_read_as_the_table_says() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../cases.json")).unwrap();
        for Case { r#type, given, read } in &cases {
            let field = FieldType::ALL.into_iter().find(|field| format!("{field:?}") == *r#type);
            let found = field.unwrap_or_else(|| panic!("there is no type {type}")).read(given.clone()).ok();
            assert_eq!(found, *read, "{type} from {given}");
        }
        let missing = FieldType::ALL.map(|field| format!("{field:?}"));
        let missing: Vec<_> = missing.iter().filter(|field| !cases.iter().any(|case| case.r#type == **field)).collect();
        assert!(missing.is_empty(), "no cases for {missing:?}");
    }

    #[test]
    fn a_mismatch_never_says_what_was_there() {
        for field in FieldType::ALL {
            for value in [Value::from("hunter2="), serde_json::json!([{"hunter2": ["hunter2"]}]), Value::from(-20_002)]
            {
                if let Err(mismatch) = field.read(value) {
                    assert!(!mismatch.to_string().contains("2="), "{mismatch}");
                    assert!(!mismatch.to_string().contains("hunter"), "{mismatch}");
                }
            }
        }
    }
}
