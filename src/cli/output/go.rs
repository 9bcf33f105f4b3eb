//! Values as Go's `%v` prints them, which is what Vault's tables hold: `map[a:1 b:2]`, `[a b]`, `<nil>`.

use cofferdam_contract::GoDuration;

use crate::cli::duration;
use crate::cli::json::{Json, Members};

/// Returns a value as Go prints it.
pub(crate) fn go_text(value: impl Into<Json>) -> String {
    text(&value.into())
}

/// Returns a value as Go prints it.
pub(super) fn text(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(digits) => digits.clone(),
        Json::Text(text) => text.clone(),
        Json::List(values) => format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(" ")),
        Json::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key}:{}", text(value)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
    }
}

/// Returns a map as rows of a table, sorted by key, with durations where the key promises one.
pub(super) fn rows(map: &Members) -> Vec<(String, String)> {
    let row = |(key, value): (&String, &Json)| match value.as_i64() {
        Some(seconds) if looks_like_duration(key) => {
            (key.clone(), duration::for_people(GoDuration::from_seconds(seconds)))
        }
        _ => (key.clone(), text(value)),
    };
    map.iter().map(row).collect()
}

fn looks_like_duration(key: &str) -> bool {
    let is_named = |name: &str| key.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'));
    is_named("period") || is_named("ttl") || is_named("duration") || matches!(key, "lease_max" | "ttl_max")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_print_as_in_go() {
        for (value, expected) in [
            (json!(null), "<nil>"),
            (json!("a b"), "a b"),
            (json!(1.5), "1.5"),
            (json!(true), "true"),
            (json!([]), "[]"),
            (json!(["a", 1, null]), "[a 1 <nil>]"),
            (json!({"b": 2, "a": {"c": []}}), "map[a:map[c:[]] b:2]"),
        ] {
            assert_eq!(go_text(&value), expected);
        }
    }

    #[test]
    fn durations_are_recognised_by_their_key() {
        let map = json!({"ttl": 3600, "max_ttl": 5400, "throttl": 60, "period": "60", "token_duration": 0});
        let Json::Object(map) = Json::from(&map) else { unreachable!("it is a map") };
        let rows = rows(&map);
        let rows: Vec<String> = rows.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(rows, ["max_ttl=1h30m", "period=60", "throttl=60", "token_duration=0s", "ttl=1h"]);
    }
}
