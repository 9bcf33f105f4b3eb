//! RFC 7396 merge patches, on JSON that stays as it was written wherever the patch does not touch it.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

type Members = BTreeMap<String, Box<RawValue>>;

/// Returns the target with the patch applied.
///
/// It goes as deep as the patch, which is no deeper than any request.
pub(super) fn merge(target: Option<&RawValue>, patch: &RawValue) -> Result<Box<RawValue>, serde_json::Error> {
    if !patch.get().starts_with('{') {
        return Ok(patch.to_owned());
    }
    let patch: Members = serde_json::from_str(patch.get())?;
    let mut merged: Members = match target {
        Some(target) if target.get().starts_with('{') => serde_json::from_str(target.get())?,
        _ => Members::new(),
    };
    for (name, change) in patch {
        if change.get() == "null" {
            merged.remove(&name);
        } else {
            let value = merge(merged.get(&name).map(|value| &**value), &change)?;
            merged.insert(name, value);
        }
    }
    to_raw_value(&merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn patches_merge_as_in_the_rfc() {
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            (r#"{"n":12345678901234567890.10,"a":1}"#, r#"{"a":1.50}"#, r#"{"a":1.50,"n":12345678901234567890.10}"#),
        ] {
            assert_eq!(merge(Some(&raw(target)), &raw(patch)).unwrap().get(), expected, "{target} {patch}");
        }
    }
}
