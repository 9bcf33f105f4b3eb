//! The envelope around every answer of Vault's.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::go::{self, go_text};
use crate::cli::duration::GoDuration;

/// An answer. Its fields stand in the order in which Vault prints them.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Secret {
    pub(crate) request_id: String,
    pub(crate) lease_id: String,
    pub(crate) lease_duration: i64,
    pub(crate) renewable: bool,
    pub(crate) data: Option<Map<String, Value>>,
    pub(crate) warnings: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrap_info: Option<Map<String, Value>>,
}

impl Secret {
    /// Reads an answer. One without an envelope (`sys/seal-status`) is taken for its own data, as in Vault's client.
    pub(crate) fn from_json(value: Value) -> serde_json::Result<Self> {
        let secret = Self::deserialize(&value)?;
        Ok(match value {
            Value::Object(mut whole) if secret == Self::default() => {
                whole.remove("errors");
                Self { data: (!whole.is_empty()).then_some(whole), ..secret }
            }
            _ => secret,
        })
    }

    /// Returns whether there is anything to show, though the server found nothing.
    pub(crate) fn says_anything(&self) -> bool {
        self.warnings.as_ref().is_some_and(|warnings| !warnings.is_empty())
            || self.data.as_ref().is_some_and(|data| !data.is_empty())
    }

    /// Returns one member of the data.
    pub(crate) fn datum(&self, name: &str) -> Option<&Value> {
        self.data.as_ref()?.get(name)
    }

    /// Returns the value that `-field` means: of the login, of the envelope, or of the data.
    pub(super) fn field(&self, field: &str) -> Option<Value> {
        if let Some(auth) = &self.auth {
            return AUTH_ROWS
                .iter()
                .find(|(row, _)| *row == field)
                .map_or_else(|| self.datum(field), |(_, member)| auth.get(*member))
                .cloned();
        }
        match field {
            "request_id" => Some(self.request_id.clone().into()),
            "lease_id" => Some(self.lease_id.clone().into()),
            "lease_duration" | "refresh_interval" => Some(self.lease_duration.into()),
            "renewable" => Some(self.renewable.into()),
            "data" => self.datum("data").cloned().or_else(|| self.data.clone().map(Value::Object)),
            _ => self.datum(field).cloned(),
        }
    }

    /// Returns the rows of a table: the lease, the login, the data.
    pub(super) fn rows(&self) -> Vec<(String, String)> {
        let duration = GoDuration::from_seconds(self.lease_duration).for_people();
        let mut rows = Vec::new();
        if !self.lease_id.is_empty() {
            rows.push(("lease_id".to_owned(), self.lease_id.clone()));
            rows.push(("lease_duration".to_owned(), duration));
            rows.push(("lease_renewable".to_owned(), self.renewable.to_string()));
        } else if self.lease_duration > 0 {
            // A secret without a lease is not renewed but read again.
            rows.push(("refresh_interval".to_owned(), duration));
        }
        rows.extend(self.auth.iter().flat_map(auth_rows));
        rows.extend(self.data.iter().flat_map(go::rows));
        rows
    }
}

/// The rows of a login, and the members that they show.
const AUTH_ROWS: [(&str, &str); 7] = [
    ("token", "client_token"),
    ("token_accessor", "accessor"),
    ("token_duration", "lease_duration"),
    ("token_renewable", "renewable"),
    ("token_policies", "token_policies"),
    ("identity_policies", "identity_policies"),
    ("policies", "policies"),
];

fn auth_rows(auth: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |row: &str, member: &str| match auth.get(member) {
        Some(Value::Number(seconds)) if row == "token_duration" => match seconds.as_i64() {
            None | Some(0) => "∞".to_owned(),
            Some(seconds) => GoDuration::from_seconds(seconds).for_people(),
        },
        Some(Value::Array(policies)) => {
            format!("[{}]", policies.iter().map(Value::to_string).collect::<Vec<_>>().join(" "))
        }
        None | Some(Value::Null) => "[]".to_owned(),
        Some(value) => go_text(value),
    };
    let mut rows: Vec<_> = AUTH_ROWS.iter().map(|(row, member)| ((*row).to_owned(), text(row, member))).collect();
    if let Some(Value::Object(metadata)) = auth.get("metadata") {
        rows.extend(metadata.iter().map(|(key, value)| (format!("token_meta_{key}"), go_text(value))));
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(answer: Value, expected: &[(&str, &str)]) {
        let rows = Secret::from_json(answer).unwrap().rows();
        let rows: Vec<_> = rows.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn leases_and_data_make_rows() {
        check(json!({"lease_duration": 2_764_800, "data": {"a": 1}}), &[("refresh_interval", "768h"), ("a", "1")]);
        check(
            json!({"lease_id": "x/1", "lease_duration": 60, "renewable": true, "data": null}),
            &[("lease_id", "x/1"), ("lease_duration", "1m"), ("lease_renewable", "true")],
        );
        check(json!({"sealed": false, "t": 1}), &[("sealed", "false"), ("t", "1")]);
        check(json!({"errors": []}), &[]);
    }

    #[test]
    fn logins_make_rows() {
        let auth = json!({"client_token": "t", "accessor": "a", "policies": ["default"], "token_policies": ["default"],
            "lease_duration": 0, "renewable": false, "metadata": {"user": "me"}});
        check(
            json!({"auth": auth}),
            &[
                ("token", "t"),
                ("token_accessor", "a"),
                ("token_duration", "∞"),
                ("token_renewable", "false"),
                ("token_policies", r#"["default"]"#),
                ("identity_policies", "[]"),
                ("policies", r#"["default"]"#),
                ("token_meta_user", "me"),
            ],
        );
    }

    #[test]
    fn a_field_may_be_the_envelopes() {
        let secret = Secret::from_json(json!({"request_id": "r", "lease_duration": 5, "data": {"a": "b"}})).unwrap();
        for (field, value) in [
            ("request_id", Some(json!("r"))),
            ("refresh_interval", Some(json!(5))),
            ("data", Some(json!({"a": "b"}))),
            ("a", Some(json!("b"))),
            ("nope", None),
        ] {
            assert_eq!(secret.field(field), value, "{field}");
        }
    }
}
