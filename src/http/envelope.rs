//! Vault's envelope, and the headers that every answer carries.
//!
//! The envelope is written by hand around data that nobody parses: a plugin's answer is copied once, from its bytes to
//! the client's.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, STRICT_TRANSPORT_SECURITY};
use axum::response::Response;
use serde::Serialize;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTTPS_FOR_A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");

/// Room for everything in an envelope but its data and warnings.
const ENVELOPE_BYTES: usize = 192;

/// Vault's answer around some data.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    /// A UUID, so it is written without escaping.
    pub(super) request_id: &'a str,
    /// How long a leased secret stays valid; 0 for anything else.
    pub(super) lease_seconds: u64,
    /// A JSON object without white space around it; `None` shows as `null`.
    pub(super) data: Option<&'a [u8]>,
    /// Shown as `null` when there are none.
    pub(super) warnings: &'a [String],
    /// A login, as a JSON object; `None` shows as `null`.
    pub(super) auth: Option<&'a [u8]>,
    /// Where the data goes.
    pub(super) placement: Placement,
}

/// Where an envelope's data goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Placement {
    /// Under `data`.
    #[default]
    Data,
    /// Under `data`, and its keys once more at the top: Vault's older `sys/` paths promise both.
    DataAndTop,
}

impl Envelope<'_> {
    /// Returns the envelope as JSON with a newline, its keys in Vault's order.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let data = self.data.unwrap_or(b"null");
        let mut json = Vec::with_capacity(2 * ENVELOPE_BYTES + data.len());
        match (self.placement, self.data) {
            (Placement::DataAndTop, Some([members @ .., b'}'])) if members.len() > 1 => {
                json.extend_from_slice(members);
                json.push(b',');
            }
            _ => json.push(b'{'),
        }
        json.extend_from_slice(b"\"request_id\":\"");
        json.extend_from_slice(self.request_id.as_bytes());
        json.extend_from_slice(b"\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":");
        append(&mut json, &self.lease_seconds);
        json.extend_from_slice(b",\"data\":");
        json.extend_from_slice(data);
        json.extend_from_slice(b",\"wrap_info\":null,\"warnings\":");
        append(&mut json, &(!self.warnings.is_empty()).then_some(self.warnings));
        json.extend_from_slice(b",\"auth\":");
        json.extend_from_slice(self.auth.unwrap_or(b"null"));
        json.extend_from_slice(b"}\n");
        json
    }
}

/// Returns an answer with a JSON body.
pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    with_type(status, APPLICATION_JSON, body)
}

/// Returns an answer with a body of any type.
pub(super) fn with_type(status: StatusCode, content_type: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = bare(status, body.into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Returns an answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    bare(status, Body::empty())
}

fn bare(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(STRICT_TRANSPORT_SECURITY, HTTPS_FOR_A_YEAR);
    response
}

fn append(json: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(json, value).expect("numbers, texts and maps with text keys always serialise into a vector");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(envelope: Envelope<'_>, expected: &str) {
        let json = String::from_utf8(envelope.to_json()).unwrap();
        assert_eq!(json, format!("{expected}\n"));
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
    }

    #[test]
    fn envelopes_have_vaults_keys_in_vaults_order() {
        check(
            Envelope { request_id: "i", data: Some(b"{\"a\":1}"), ..Envelope::default() },
            r#"{"request_id":"i","lease_id":"","renewable":false,"lease_duration":0,"data":{"a":1},"wrap_info":null,"warnings":null,"auth":null}"#,
        );
        check(
            Envelope { request_id: "i", lease_seconds: 60, warnings: &["say \"x\"".to_owned()], ..Envelope::default() },
            r#"{"request_id":"i","lease_id":"","renewable":false,"lease_duration":60,"data":null,"wrap_info":null,"warnings":["say \"x\""],"auth":null}"#,
        );
        check(
            Envelope { request_id: "i", auth: Some(b"{\"client_token\":\"\"}"), ..Envelope::default() },
            r#"{"request_id":"i","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,"auth":{"client_token":""}}"#,
        );
    }

    #[test]
    fn data_is_repeated_at_the_top_where_vault_does() {
        check(
            Envelope {
                request_id: "i",
                data: Some(b"{\"a/\":1,\"b/\":{}}"),
                placement: Placement::DataAndTop,
                ..Envelope::default()
            },
            r#"{"a/":1,"b/":{},"request_id":"i","lease_id":"","renewable":false,"lease_duration":0,"data":{"a/":1,"b/":{}},"wrap_info":null,"warnings":null,"auth":null}"#,
        );
        check(
            Envelope { request_id: "i", data: Some(b"{}"), placement: Placement::DataAndTop, ..Envelope::default() },
            r#"{"request_id":"i","lease_id":"","renewable":false,"lease_duration":0,"data":{},"wrap_info":null,"warnings":null,"auth":null}"#,
        );
    }
}
