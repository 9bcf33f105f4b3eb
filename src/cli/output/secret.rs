//! The envelope around every answer of Vault's.

use cofferdam_contract::GoDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::go;
use crate::cli::duration;
use crate::cli::json::{Json, Members};

/// An answer. Its fields stand in the order in which Vault prints them.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Secret {
    pub(crate) request_id: String,
    pub(crate) lease_id: String,
    pub(crate) lease_duration: i64,
    pub(crate) renewable: bool,
    pub(crate) data: Option<Members>,
    pub(crate) warnings: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth: Option<Members>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrap_info: Option<Members>,
    /// What the server sent, to the byte.
    #[serde(skip)]
    pub(super) raw: Vec<u8>,
}

impl Secret {
    /// Reads an answer. One without an envelope (`sys/seal-status`) is taken for its own data, as in Vault's client.
    pub(crate) fn read(body: &[u8]) -> serde_json::Result<Self> {
        let mut secret: Self = serde_json::from_slice(body)?;
        if secret == Self::default() {
            let mut whole: Members = serde_json::from_slice(body)?;
            whole.remove("errors");
            secret.data = (!whole.is_empty()).then_some(whole);
        }
        secret.raw = body.to_vec();
        Ok(secret)
    }

    /// Returns whether there is anything to show, though the server found nothing.
    pub(crate) fn says_anything(&self) -> bool {
        self.warnings.as_ref().is_some_and(|warnings| !warnings.is_empty())
            || self.data.as_ref().is_some_and(|data| !data.is_empty())
    }

    /// Returns one member of the data, for a look into it.
    pub(crate) fn datum(&self, name: &str) -> Option<Value> {
        self.member(name).map(Json::to_value)
    }

    /// Returns one member of the data, as it was written.
    pub(crate) fn member(&self, name: &str) -> Option<&Json> {
        self.data.as_ref()?.get(name)
    }

    /// Returns the data for a look into it.
    pub(crate) fn into_values(self) -> Option<Map<String, Value>> {
        Some(self.data?.into_iter().map(|(name, value)| (name, value.to_value())).collect())
    }

    /// Returns the value that `-field` means: of the login, of the envelope, or of the data.
    pub(super) fn field(&self, field: &str) -> Option<Json> {
        if let Some(wrap) = &self.wrap_info {
            let row = WRAP_ROWS.iter().find(|(row, _)| *row == field);
            return row.and_then(|(_, member)| wrap.get(*member)).or_else(|| wrap.get(field)).cloned();
        }
        if let Some(auth) = &self.auth {
            return AUTH_ROWS
                .iter()
                .find(|(row, _)| *row == field)
                .map_or_else(|| self.member(field), |(_, member)| auth.get(*member))
                .cloned();
        }
        match field {
            "request_id" => Some(Json::Text(self.request_id.clone())),
            "lease_id" => Some(Json::Text(self.lease_id.clone())),
            "lease_duration" | "refresh_interval" => Some(Json::Number(self.lease_duration.to_string())),
            "renewable" => Some(Json::Bool(self.renewable)),
            "data" => self.member("data").cloned().or_else(|| self.data.clone().map(Json::Object)),
            _ => self.member(field).cloned(),
        }
    }

    /// Returns the rows of a table: the lease, the login, the data.
    pub(super) fn rows(&self) -> Vec<(String, String)> {
        let duration = duration::for_people(GoDuration::from_seconds(self.lease_duration));
        let mut rows = Vec::new();
        if !self.lease_id.is_empty() {
            rows.push(("lease_id".to_owned(), self.lease_id.clone()));
            rows.push(("lease_duration".to_owned(), duration));
            rows.push(("lease_renewable".to_owned(), self.renewable.to_string()));
        } else if self.lease_duration > 0 {
            // A secret without a lease is not renewed but read again.
            rows.push(("refresh_interval".to_owned(), duration));
        }
        rows.extend(self.wrap_info.iter().flat_map(wrap_rows));
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

/// The rows of an answer that the server wrapped, and the members that they show.
const WRAP_ROWS: [(&str, &str); 5] = [
    ("wrapping_token", "token"),
    ("wrapping_accessor", "accessor"),
    ("wrapping_token_ttl", "ttl"),
    ("wrapping_token_creation_time", "creation_time"),
    ("wrapping_token_creation_path", "creation_path"),
];

fn wrap_rows(wrap: &Members) -> Vec<(String, String)> {
    let text = |member: &str| match wrap.get(member) {
        Some(seconds @ Json::Number(_)) if member == "ttl" => {
            duration::for_people(GoDuration::from_seconds(seconds.as_i64().unwrap_or_default()))
        }
        value => value.map(go::text).unwrap_or_default(),
    };
    let mut rows: Vec<_> = WRAP_ROWS.iter().map(|(row, member)| (format!("{row}:"), text(member))).collect();
    let accessor = text("wrapped_accessor");
    rows.extend((!accessor.is_empty()).then(|| ("wrapped_accessor:".to_owned(), accessor)));
    rows
}

fn auth_rows(auth: &Members) -> Vec<(String, String)> {
    let text = |row: &str, member: &str| match auth.get(member) {
        Some(seconds @ Json::Number(_)) if row == "token_duration" => match seconds.as_i64() {
            None | Some(0) => "∞".to_owned(),
            Some(seconds) => duration::for_people(GoDuration::from_seconds(seconds)),
        },
        Some(Json::List(policies)) => {
            format!("[{}]", policies.iter().map(Json::to_string).collect::<Vec<_>>().join(" "))
        }
        None | Some(Json::Null) => "[]".to_owned(),
        Some(value) => go::text(value),
    };
    let mut rows: Vec<_> = AUTH_ROWS.iter().map(|(row, member)| ((*row).to_owned(), text(row, member))).collect();
    if let Some(Json::Object(metadata)) = auth.get("metadata") {
        rows.extend(metadata.iter().map(|(key, value)| (format!("token_meta_{key}"), go::text(value))));
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(answer: Value, expected: &[(&str, &str)]) {
        let rows = Secret::read(answer.to_string().as_bytes()).unwrap().rows();
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
        let answer = json!({"request_id": "r", "lease_duration": 5, "data": {"a": "b"}});
        let secret = Secret::read(answer.to_string().as_bytes()).unwrap();
        for (field, value) in [
            ("request_id", Some(json!("r"))),
            ("refresh_interval", Some(json!(5))),
            ("data", Some(json!({"a": "b"}))),
            ("a", Some(json!("b"))),
            ("nope", None),
        ] {
            assert_eq!(secret.field(field), value.map(Json::from), "{field}");
        }
    }
}
