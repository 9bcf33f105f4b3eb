//! Requests and answers in the host's words and in the protocol's.
//!
//! A native plugin may be anybody's: what it answers is checked here as far as the host's words need it, and by the
//! façade like every plugin's answer.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cofferdam_contract::json;
use cofferdam_proto::messages::{Timestamp, pb};
use cofferdam_proto::names::{error_type, raw};
use serde_json::{Map, Value};

use crate::ident::PluginKind;
use crate::request::{BackendError, Body, Caller, Lease, Login, Operation, Request, Response};
use crate::runtime::text::brief;
use crate::runtime::{Call, Failure};

/// What Vault's SDK takes for no data: it reads an empty text as malformed.
const NO_DATA: &str = "{}";

/// The first moment of the year 1, in Unix seconds: Go's "no time". This host keeps no leases, so it knows no other;
/// the first moment of 1970 would make every lease one that is past its maximum.
const GO_ZERO_TIME: i64 = -62_135_596_800;

/// The key whose value is a plugin's own error, when it is the only one.
const ERROR_KEY: &str = "error";

/// Returns a request as a plugin of this kind and name gets it.
pub(super) fn request(call: &Call, request: &Request, kind: PluginKind, plugin: &str) -> Result<pb::Request, Failure> {
    let text = |json: &[u8]| match json {
        [] => Ok(NO_DATA.to_owned()),
        json => String::from_utf8(json.to_vec())
            .map_err(|_| Failure::Backend(BackendError::InvalidRequest("the request's data is not UTF-8".to_owned()))),
    };
    let internal_data = request.lease.as_deref().map(text).transpose()?;
    let lease_options = pb::LeaseOptions {
        issue_time: Some(Timestamp { seconds: GO_ZERO_TIME, nanos: 0 }),
        ..pb::LeaseOptions::default()
    };
    let (mut secret, mut auth) = (None, None);
    match (internal_data, kind) {
        (None, _) => {}
        (Some(internal_data), PluginKind::Secret) => {
            secret = Some(pb::Secret { lease_options: Some(lease_options), internal_data, lease_id: String::new() });
        }
        (Some(internal_data), PluginKind::Auth) => {
            auth = Some(pb::Auth { lease_options: Some(lease_options), internal_data, ..pb::Auth::default() });
        }
    }
    let mut sent = pb::Request {
        id: request.id.clone(),
        operation: operation(request.operation).to_owned(),
        path: request.path.as_str().to_owned(),
        data: text(&request.data)?,
        secret,
        auth,
        headers: headers(call),
        mount_point: call.scope.path.to_string(),
        mount_type: plugin.to_owned(),
        mount_accessor: call.scope.accessor.to_string(),
        connection: call.remote_address.map(|address| pb::Connection {
            remote_addr: address.ip().to_string(),
            remote_port: address.port().into(),
            ..pb::Connection::default()
        }),
        ..pb::Request::default()
    };
    match &call.caller {
        Caller::Anonymous => sent.unauthenticated = true,
        Caller::Known(identity) => {
            sent.client_token_accessor = identity.token_accessor.clone();
            sent.display_name = identity.display_name.clone();
            sent.entity_id = identity.entity_id.clone();
        }
    }
    Ok(sent)
}

fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Read => "read",
        Operation::Update => "update",
        Operation::Patch => "patch",
        Operation::Delete => "delete",
        Operation::List => "list",
        Operation::Help => "help",
        Operation::Renew => "renew",
        Operation::Revoke => "revoke",
        Operation::Rollback => "rollback",
        Operation::AliasLookahead => "alias-lookahead",
        Operation::ResolveRole => "resolve-role",
    }
}

/// Returns the headers that the mount passes on, named as Go names them.
fn headers(call: &Call) -> HashMap<String, pb::Header> {
    let Some(headers) = &call.headers else { return HashMap::new() };
    let passed = call.scope.passthrough_headers.iter().map(|name| (canonical(name), headers.get(name)));
    passed.filter(|(_, values)| !values.is_empty()).map(|(name, header)| (name, pb::Header { header })).collect()
}

/// Returns a header's name with capitals as Go's HTTP library writes them: `X-Vault-Token`.
fn canonical(name: &str) -> String {
    let capitalized = name.split('-').map(|part| match part.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + &rest.to_ascii_lowercase(),
        None => part.to_owned(),
    });
    capitalized.collect::<Vec<_>>().join("-")
}

/// Returns what a plugin answered: its response, or why it declined.
///
/// As Vault decides it: an error wins over a response that came with it; a response that holds nothing but an error is
/// one.
pub(super) fn reply(reply: pb::HandleRequestReply) -> Result<Response, Failure> {
    let pb::HandleRequestReply { response, err } = reply;
    let data = response.as_ref().map(|response| data(&response.data)).transpose()?.flatten();
    let own_error = data.as_ref().and_then(own_error);
    if let Some(error) = err {
        return Err(Failure::Backend(backend_error(error, own_error, response.is_some())));
    }
    if let Some(text) = own_error {
        return Err(Failure::Backend(BackendError::InvalidRequest(text)));
    }
    self::response(response.unwrap_or_default(), data)
}

/// Reads a response's data: a JSON object, or nothing.
fn data(text: &str) -> Result<Option<Map<String, Value>>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    match json::parse(text.as_bytes()) {
        Ok(Value::Object(data)) => Ok(Some(data)),
        Ok(Value::Null) => Ok(None),
        Ok(_) | Err(_) => Err(Failure::Unusable("data that is not a JSON object".to_owned())),
    }
}

fn own_error(data: &Map<String, Value>) -> Option<String> {
    (data.len() == 1).then(|| data.get(ERROR_KEY)?.as_str().map(brief)).flatten()
}

fn response(response: pb::Response, data: Option<Map<String, Value>>) -> Result<Response, Failure> {
    let pb::Response { secret, auth, data: text, redirect, warnings, headers, .. } = response;
    let body = match data {
        _ if !redirect.is_empty() => Body::Redirect(redirect),
        Some(data) if data.contains_key(raw::STATUS) => raw_body(&data)?,
        // The text is passed on as it came.
        Some(_) => Body::Data(text.into()),
        None => Body::Empty,
    };
    Ok(Response {
        body,
        secret: secret.map(|secret| lease(secret.lease_options, secret.internal_data)),
        login: auth.map(login),
        warnings: warnings.iter().map(|warning| brief(warning)).collect(),
        headers: headers
            .into_iter()
            .flat_map(|(name, header)| header.header.into_iter().map(move |value| (name.clone(), value)))
            .collect(),
    })
}

/// Reads an answer that is not JSON out of the data that carries it.
fn raw_body(data: &Map<String, Value>) -> Result<Body, Failure> {
    let fault = |why: &str| Failure::Unusable(why.to_owned());
    let status = match data.get(raw::STATUS) {
        Some(Value::Number(status)) => status.as_u64(),
        Some(Value::String(status)) => status.parse().ok(),
        _ => None,
    };
    let status = status.and_then(|status| u16::try_from(status).ok()).ok_or_else(|| fault("no status code given"))?;
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    const NO_CONTENT: u16 = 204;
    if status == NO_CONTENT {
        return Ok(Body::Raw { status, content_type: String::new(), bytes: bytes::Bytes::new() });
    }
    let content_type = text(raw::CONTENT_TYPE).ok_or_else(|| fault("no content type given"))?.to_owned();
    let body = match data.get(raw::BODY) {
        None | Some(Value::Null) => Vec::new(),
        // Bytes come as base64 and text as it is, and nothing tells which it was: Vault guesses in the same way.
        Some(Value::String(body)) => STANDARD.decode(body).unwrap_or_else(|_| body.clone().into_bytes()),
        Some(_) => return Err(fault("cannot decode body")),
    };
    Ok(Body::Raw { status, content_type, bytes: body.into() })
}

fn lease(options: Option<pb::LeaseOptions>, internal_data: String) -> Lease {
    let options = options.unwrap_or_default();
    Lease {
        ttl_seconds: seconds(options.ttl),
        max_ttl_seconds: seconds(options.max_ttl),
        renewable: options.renewable,
        internal: internal_data.into(),
    }
}

fn login(auth: pb::Auth) -> Login {
    let mut metadata: Vec<_> = auth.metadata.into_iter().collect();
    metadata.sort();
    Login {
        policies: auth.policies,
        display_name: auth.display_name,
        metadata,
        lease: lease(auth.lease_options, auth.internal_data),
        alias: auth.alias.map(|alias| alias.name).filter(|name| !name.is_empty()),
        entity: Some(auth.entity_id).filter(|entity| !entity.is_empty()),
        num_uses: auth.num_uses.try_into().unwrap_or(0),
        period_seconds: seconds(auth.period),
        no_default_policy: auth.no_default_policy,
    }
}

/// Returns a Go duration in seconds, the last one begun: less than one is not none. A negative one is none.
fn seconds(nanoseconds: i64) -> u64 {
    const NANOSECONDS: u64 = 1_000_000_000;
    u64::try_from(nanoseconds).map_or(0, |nanoseconds| nanoseconds.div_ceil(NANOSECONDS))
}

/// Returns a Go duration.
pub(super) fn nanoseconds(duration: Duration) -> i64 {
    duration.as_nanos().try_into().unwrap_or(i64::MAX)
}

/// Gives a plugin's error its meaning. Its own words count for more than the name of the error.
fn backend_error(error: pb::ProtoError, own: Option<String>, responded: bool) -> BackendError {
    let text = own.unwrap_or_else(|| brief(&error.err_msg));
    match error.err_type {
        error_type::UNSUPPORTED_OPERATION => BackendError::UnsupportedOperation,
        error_type::UNSUPPORTED_PATH => BackendError::UnsupportedPath,
        error_type::INVALID_REQUEST | error_type::STATUS_BAD_REQUEST => BackendError::InvalidRequest(text),
        error_type::PERMISSION_DENIED => BackendError::Denied(text),
        error_type::CODED => coded(error.err_code, text),
        // Vault's rule for an error without a status: 400 if it came with a response, else 500.
        _ if responded => BackendError::InvalidRequest(text),
        _ => BackendError::Internal(text),
    }
}

fn coded(code: i64, text: String) -> BackendError {
    match code {
        400 => BackendError::InvalidRequest(text),
        403 => BackendError::Denied(text),
        404 => BackendError::NotFound(text),
        409 => BackendError::Conflict(text),
        500 => BackendError::Internal(text),
        503 => BackendError::Unavailable(text),
        code => match u16::try_from(code) {
            Ok(status @ 400..600) => BackendError::Status(status, text),
            _ => BackendError::Internal(text),
        },
    }
}

/// Returns what an error means that came without any response.
pub(super) fn error(error: pb::ProtoError) -> Failure {
    Failure::Backend(backend_error(error, None, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replied(data: &str, err: Option<(u32, &str, i64)>) -> Result<Response, Failure> {
        let response = (data != "none").then(|| pb::Response { data: data.to_owned(), ..pb::Response::default() });
        let err =
            err.map(|(err_type, err_msg, err_code)| pb::ProtoError { err_type, err_msg: err_msg.into(), err_code });
        reply(pb::HandleRequestReply { response, err })
    }

    fn declined(data: &str, err: Option<(u32, &str, i64)>) -> BackendError {
        match replied(data, err) {
            Err(Failure::Backend(error)) => error,
            other => panic!("{data} with {err:?} gave {other:?}"),
        }
    }

    #[test]
    fn errors_mean_what_vault_says_they_mean() {
        use BackendError as E;
        let text = |text: &str| text.to_owned();
        for (data, err, expected) in [
            (r#"{"error":"no such role"}"#, None, E::InvalidRequest(text("no such role"))),
            (r#"{"error":"no such role"}"#, Some((7, "invalid request", 0)), E::InvalidRequest(text("no such role"))),
            (r#"{"error":"mine"}"#, Some((8, "permission denied", 0)), E::Denied(text("mine"))),
            ("none", Some((8, "permission denied", 0)), E::Denied(text("permission denied"))),
            ("none", Some((5, "unsupported operation", 0)), E::UnsupportedOperation),
            ("none", Some((6, "unsupported path", 0)), E::UnsupportedPath),
            ("none", Some((3, "gone", 404)), E::NotFound(text("gone"))),
            ("none", Some((3, "slow down", 429)), E::Status(429, text("slow down"))),
            ("none", Some((3, "odd", 200)), E::Internal(text("odd"))),
            ("none", Some((0, "broken", 0)), E::Internal(text("broken"))),
            ("{}", Some((0, "broken", 0)), E::InvalidRequest(text("broken"))),
        ] {
            assert_eq!(declined(data, err), expected, "{data} with {err:?}");
        }
        // More beside the error is an answer.
        assert!(replied(r#"{"error":"a","more":1}"#, None).is_ok());
    }

    #[test]
    fn a_login_that_comes_with_an_error_is_none() {
        let response = pb::Response { auth: Some(pb::Auth::default()), ..pb::Response::default() };
        let err = Some(pb::ProtoError { err_type: 0, err_msg: "no".into(), err_code: 0 });
        assert!(reply(pb::HandleRequestReply { response: Some(response), err }).is_err());
    }

    #[test]
    fn raw_answers_are_found_in_the_data() {
        for (data, expected) in [
            (r#"{"http_status_code":200,"http_content_type":"text/plain","http_raw_body":"aGk="}"#, Some((200, "hi"))),
            (
                r#"{"http_status_code":"418","http_content_type":"text/tea","http_raw_body":"not base64!"}"#,
                Some((418, "not base64!")),
            ),
            (r#"{"http_status_code":204}"#, Some((204, ""))),
            (r#"{"http_status_code":200}"#, None),
            (r#"{"http_status_code":{},"http_content_type":"a"}"#, None),
            (r#"{"http_status_code":200,"http_content_type":"a","http_raw_body":7}"#, None),
        ] {
            match (replied(data, None), expected) {
                (Ok(Response { body: Body::Raw { status, bytes, .. }, .. }), Some((expected, text))) => {
                    assert_eq!((status, &bytes[..]), (expected, text.as_bytes()), "{data}");
                }
                (Err(Failure::Unusable(_)), None) => {}
                (found, _) => panic!("{data} gave {found:?}"),
            }
        }
    }

    #[test]
    fn data_is_passed_on_as_it_came() {
        for (data, expected) in [(r#"{ "a" : 1.0 }"#, Some(r#"{ "a" : 1.0 }"#)), ("", None), ("null", None)] {
            match replied(data, None).expect("it is an answer").body {
                Body::Data(bytes) => assert_eq!(Some(&bytes[..]), expected.map(str::as_bytes)),
                Body::Empty => assert_eq!(expected, None),
                other => panic!("{data} gave {other:?}"),
            }
        }
        assert!(matches!(replied("[1]", None), Err(Failure::Unusable(_))));
        assert!(matches!(replied("{", None), Err(Failure::Unusable(_))));
    }

    #[test]
    fn header_names_have_gos_capitals() {
        assert_eq!(canonical("x-vault-token"), "X-Vault-Token");
        assert_eq!(canonical("x--a"), "X--A");
    }
}
