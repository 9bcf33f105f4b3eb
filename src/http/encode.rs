//! From a host's answer to an HTTP response: Vault's envelope and Vault's statuses, with nothing parsed that need not
//! be.

use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, LOCATION, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::{self, Envelope, Placement};
use super::login::{self, LoginView};
use super::refusal::Refusal;
use crate::host::{Answer, AnsweredBy};
use crate::json;
use crate::request::{Body, Login, Operation};

/// Headers that no plugin sets: they say where an answer ends, and the server alone knows.
const FRAMING: [HeaderName; 5] = [CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Words an answer to this operation, for the request with this id.
pub(super) fn response(id: &str, operation: Operation, answer: Answer) -> Result<Response, Refusal> {
    let mut response = match &answer.body {
        Body::Empty | Body::Data(_) if answer.login.is_some() => login(id, &answer),
        Body::Empty => empty(id, operation, &answer),
        Body::Data(data) => match operation {
            // The help of a path is not a secret: Vault shows it without an envelope.
            Operation::Help => envelope::json(StatusCode::OK, [data, &b"\n"[..]].concat()),
            Operation::List if lists_nothing(data) => empty(id, operation, &answer),
            _ => enveloped(StatusCode::OK, id, &answer),
        },
        Body::Raw { status, content_type, bytes } => raw(*status, content_type, bytes.clone(), &answer.by)?,
        Body::Redirect(location) => {
            let location =
                HeaderValue::from_str(location).map_err(|_| fault("a redirect to no address", &answer.by))?;
            let mut redirect = envelope::empty(StatusCode::TEMPORARY_REDIRECT);
            redirect.headers_mut().insert(LOCATION, location);
            redirect
        }
    };
    set_headers(response.headers_mut(), &answer.headers);
    Ok(response)
}

/// Words an answer without data. Nothing is a 404 for a client that wanted to see something, and success for every
/// other.
fn empty(id: &str, operation: Operation, answer: &Answer) -> Response {
    let is_wanted = matches!(operation, Operation::Read | Operation::List | Operation::Help);
    match (is_wanted, answer.warnings.is_empty()) {
        _ if answer.secret.is_some() || answer.status.is_some() => enveloped(StatusCode::OK, id, answer),
        (true, true) => Refusal::nothing_there().into_response(),
        (true, false) => enveloped(StatusCode::NOT_FOUND, id, answer),
        (false, true) => envelope::empty(StatusCode::NO_CONTENT),
        (false, false) => enveloped(StatusCode::OK, id, answer),
    }
}

/// Says who logged in, and that there is no token in it.
fn login(id: &str, answer: &Answer) -> Response {
    let view = |login: &Login| json::line(&LoginView::of(login, answer.by.token_type));
    let auth = answer.login.as_ref().map(view);
    let mut warnings = answer.warnings.clone();
    warnings.push(login::NO_TOKEN.to_owned());
    let envelope = Envelope {
        request_id: id,
        data: data_of(answer),
        warnings: &warnings,
        auth: auth.as_deref().map(<[u8]>::trim_ascii_end),
        ..Envelope::default()
    };
    envelope::json(StatusCode::OK, envelope.to_json())
}

/// Words an answer in Vault's envelope, with this status unless the answer has one of its own.
///
/// Nothing keeps leases yet, so none is renewable or has an id; the client still learns how long its secret is good
/// for.
fn enveloped(status: StatusCode, id: &str, answer: &Answer) -> Response {
    let own = answer.status.and_then(|status| StatusCode::from_u16(status).ok());
    let envelope = Envelope {
        request_id: id,
        lease_seconds: answer.secret.as_ref().map_or(0, |lease| lease.ttl_seconds),
        data: data_of(answer),
        warnings: &answer.warnings,
        auth: None,
        placement: if answer.repeats_data { Placement::DataAndTop } else { Placement::Data },
    };
    envelope::json(own.unwrap_or(status), envelope.to_json())
}

fn data_of(answer: &Answer) -> Option<&[u8]> {
    match &answer.body {
        Body::Data(data) => Some(data),
        Body::Empty | Body::Raw { .. } | Body::Redirect(_) => None,
    }
}

fn raw(status: u16, content_type: &str, bytes: bytes::Bytes, by: &AnsweredBy) -> Result<Response, Refusal> {
    let status = StatusCode::from_u16(status).map_err(|_| fault("a status that HTTP does not have", by))?;
    if status == StatusCode::NO_CONTENT {
        return Ok(envelope::empty(status));
    }
    let content_type = HeaderValue::from_str(content_type).map_err(|_| fault("an invalid content type", by))?;
    Ok(envelope::with_type(status, content_type, bytes))
}

fn fault(what: &str, by: &AnsweredBy) -> Refusal {
    let path = by.path.as_str();
    Refusal::new(StatusCode::BAD_GATEWAY, format!("the plugin mounted at {path:?} answered with {what}"))
}

/// Sets the headers that a plugin answers with and its mount lets through, in place of those that every answer has.
/// Those that make no header are left out, as Go's server does.
fn set_headers(answer: &mut HeaderMap, headers: &[(String, String)]) {
    let parse = |(name, value): &(String, String)| {
        let name = HeaderName::try_from(name.as_str()).ok().filter(|name| !FRAMING.contains(name))?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    let headers: Vec<_> = headers.iter().filter_map(parse).collect();
    for (name, _) in &headers {
        answer.remove(name);
    }
    for (name, value) in headers {
        answer.append(name, value);
    }
}

/// Says whether a listing holds nothing that is worth a 200: no keys, and nothing else in their place.
fn lists_nothing(object: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Listing<'a> {
        #[serde(borrow)]
        keys: Option<&'a RawValue>,
    }
    let holds_nothing = |json: &[u8]| json.len() >= 2 && json[1..json.len() - 1].trim_ascii().is_empty();
    match serde_json::from_slice::<Listing<'_>>(object) {
        Ok(Listing { keys: Some(keys) }) => keys.get().starts_with('[') && holds_nothing(keys.get().as_bytes()),
        Ok(Listing { keys: None }) | Err(_) => holds_nothing(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_without_keys_hold_nothing() {
        for (object, nothing) in [
            ("{}", true),
            ("{ }", true),
            (r#"{"keys":[]}"#, true),
            (r#"{"keys":[ ], "key_info":{}}"#, true),
            (r#"{"keys":["a"]}"#, false),
            (r#"{"keys":null,"more":1}"#, false),
            (r#"{"more":1}"#, false),
            (r#"{"keys":7}"#, false),
            (r#"{"keys":[],"keys":["a"]}"#, false),
        ] {
            assert_eq!(lists_nothing(object.as_bytes()), nothing, "{object}");
        }
    }

    #[test]
    fn plugins_set_their_headers_but_no_framing() {
        let mut answer = HeaderMap::new();
        answer.insert("x-trace", "0".parse().unwrap());
        let headers =
            [("X-Trace", "1"), ("x-trace", "2"), ("Content-Length", "9"), ("bad name", "x"), ("x-bad", "a\r\nb")];
        set_headers(&mut answer, &headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let traces: Vec<_> = answer.get_all("x-trace").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!((answer.len(), traces), (2, vec!["1", "2"]));
    }
}
