//! A secret's `custom_metadata`: Vault's limits, in Vault's words.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cofferdam_sdk::Error;
use cofferdam_sdk::contract::read;
use serde_json::{Map, Value};

const KEYS_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 128;
const VALUE_BYTES_MAX: usize = 512;

const PREFIX: &str = "custom_metadata validation failed";

/// Reads what a write says.
pub(super) fn parse(given: &Map<String, Value>) -> Result<BTreeMap<String, String>, Error> {
    let pairs = given.iter().map(|(key, value)| Ok((key.clone(), text(key, value)?)));
    let parsed = pairs.collect::<Result<_, Error>>()?;
    check(&parsed)?;
    Ok(parsed)
}

/// Returns what there is with a merge patch applied.
pub(super) fn patched(
    current: &BTreeMap<String, String>,
    patch: &Map<String, Value>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut merged = current.clone();
    for (key, value) in patch {
        if value.is_null() {
            merged.remove(key);
        } else {
            merged.insert(key.clone(), text(key, value)?);
        }
    }
    check(&merged)?;
    Ok(merged)
}

/// Numbers and truths are taken as Vault takes them.
fn text(key: &str, value: &Value) -> Result<String, Error> {
    let refused = |_| Error::InvalidRequest(format!("{PREFIX}: value for key {key:?} is not a string"));
    read::text(value).map(Cow::into_owned).map_err(refused)
}

/// Names all that is wrong, unless there is far too much of it.
fn check(given: &BTreeMap<String, String>) -> Result<(), Error> {
    if given.len() > KEYS_MAX {
        let provided = given.len();
        return refused(&[format!("payload must contain at most {KEYS_MAX} keys, provided {provided}")]);
    }
    let mut problems = Vec::new();
    for (key, value) in given {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            let length = key.len();
            problems.push(format!("length of key {key:?} is {length} but must be 0 < len(key) <= {KEY_BYTES_MAX}"));
        }
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            let length = value.len();
            problems.push(format!(
                "length of value for key {key:?} is {length} but must be 0 < len(value) <= {VALUE_BYTES_MAX}"
            ));
        }
        if !is_printable(key) {
            problems.push(format!("key {key:?} ({key}) contains unprintable characters"));
        }
        if !is_printable(value) {
            problems.push(format!("value for key {key:?} contains unprintable characters"));
        }
    }
    if problems.is_empty() { Ok(()) } else { refused(&problems) }
}

/// The list of errors as Vault's multierror writes it.
fn refused(problems: &[String]) -> Result<(), Error> {
    let lines: String = problems.iter().map(|problem| format!("\n\t* {PREFIX}: {problem}")).collect();
    let text = match problems.len() {
        1 => format!("1 error occurred:{lines}\n\n"),
        many => format!("{many} errors occurred:{lines}\n\n"),
    };
    Err(Error::InvalidRequest(text))
}

/// The only white space that is printable is the space itself; signs without a shape of their own are not.
fn is_printable(text: &str) -> bool {
    text.chars().all(|c| {
        let shapeless = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' |
            '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}');
        c == ' ' || !(c.is_control() || c.is_whitespace() || shapeless)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(value: Value) -> Result<BTreeMap<String, String>, String> {
        parse(value.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_fits_is_taken_as_text() {
        let expected = [("a", "x y"), ("b", "5"), ("c", "1"), ("d", "ü")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(parsed(json!({"a": "x y", "b": 5, "c": true, "d": "ü"})), Ok(expected.into()));
        assert!(parsed(json!({"k".repeat(128): "v".repeat(512)})).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_refused_in_vaults_words() {
        let one = |what: &str| format!("1 error occurred:\n\t* custom_metadata validation failed: {what}\n\n");
        let many: Map<String, Value> = (0..65).map(|n| (n.to_string(), json!("v"))).collect();
        for (given, expected) in [
            (many.into(), one("payload must contain at most 64 keys, provided 65")),
            (json!({"a": ""}), one("length of value for key \"a\" is 0 but must be 0 < len(value) <= 512")),
            (json!({"a": null}), one("length of value for key \"a\" is 0 but must be 0 < len(value) <= 512")),
            (json!({"": "v"}), one("length of key \"\" is 0 but must be 0 < len(key) <= 128")),
            (json!({"a": "x\ty"}), one("value for key \"a\" contains unprintable characters")),
            (json!({"a": "\u{200b}"}), one("value for key \"a\" contains unprintable characters")),
            (
                json!({"a": "", "b": "v".repeat(513)}),
                "2 errors occurred:\n\t* custom_metadata validation failed: length of value for key \"a\" is 0 but must be 0 < \
                 len(value) <= 512\n\t* custom_metadata validation failed: length of value for key \"b\" is 513 but must be 0 \
                 < len(value) <= 512\n\n"
                    .to_owned(),
            ),
            (json!({"a": []}), "custom_metadata validation failed: value for key \"a\" is not a string".to_owned()),
        ] {
            assert_eq!(parsed(given.clone()), Err(expected), "{given}");
        }
    }

    #[test]
    fn a_patch_is_checked_as_a_whole() {
        let current: BTreeMap<String, String> = (0..64).map(|n| (n.to_string(), "v".to_owned())).collect();
        let patch = |patch: Value| patched(&current, patch.as_object().unwrap());
        assert!(patch(json!({"new": "v"})).is_err());
        assert_eq!(patch(json!({"new": "v", "0": null})).unwrap().len(), 64);
    }
}
