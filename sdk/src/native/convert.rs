//! The protocol's messages to and from the SDK's types, each field by name so that a change of either does not compile.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cofferdam_contract::json;
use cofferdam_proto::messages::{logical, pb};
use cofferdam_proto::names::{self, error_type, raw};
use serde_json::{Value, json};
use tonic::metadata::{MetadataMap, MetadataValue};

use super::view::Facts;
use crate::response::{Body, DefaultPolicy, Lease, Login, Renewal};
use crate::{Caller, Description, Error, Existence, Kind, Operation, Request, Response};

/// The protocol's "no data": hosts parse an object or this, and nothing else.
const NULL: &str = "null";

/// Where internal data is that is not an object, since hosts keep only objects.
const INTERNAL: &str = "cofferdam_internal";

/// When Go's times begin. A lease is issued when the host says so, but the field must hold a time.
const GO_ZERO_TIME_SECONDS: i64 = -62_135_596_800;

// --- What is asked ---

/// Returns the request, with the operation that this SDK knows or an error.
pub(super) fn request(request: pb::Request) -> Result<Request, Error> {
    let operation = operation(&request.operation)?;
    let internal = request.secret.map(|secret| secret.internal_data);
    let internal = internal.or_else(|| request.auth.map(|auth| auth.internal_data));
    Ok(Request {
        id: request.id,
        operation,
        path: request.path,
        raw_data: bytes(request.data),
        raw_lease: internal.map(unwrapped),
    })
}

/// Returns what is known of a call beside its request.
pub(super) fn facts(metadata: &MetadataMap, request: Option<&mut pb::Request>) -> Facts {
    let Some(request) = request else {
        return Facts { mount_path: first(metadata, names::MOUNT_PATH).unwrap_or_default(), ..Facts::default() };
    };
    let mut headers: Vec<_> =
        std::mem::take(&mut request.headers).into_iter().map(|(name, values)| (name, values.header)).collect();
    headers.sort_unstable();
    Facts {
        mount_path: first(metadata, names::MOUNT_PATH).unwrap_or_else(|| request.mount_point.clone()),
        caller: caller(metadata, request),
        headers,
    }
}

/// Returns which mount a call is for. Hosts that start a process for each mount do not say.
pub(super) fn mount(metadata: &MetadataMap) -> String {
    first(metadata, names::MULTIPLEX_ID).unwrap_or_default()
}

fn caller(metadata: &MetadataMap, request: &pb::Request) -> Caller {
    let remote_address = request.connection.as_ref().map(address).unwrap_or_default();
    if request.unauthenticated {
        return Caller { remote_address, ..Caller::default() };
    }
    Caller {
        display_name: request.display_name.clone(),
        entity_id: request.entity_id.clone(),
        token_accessor: request.client_token_accessor.clone(),
        remote_address,
        policies: metadata.get_all(names::POLICIES).iter().map(text).collect(),
    }
}

fn address(connection: &pb::Connection) -> String {
    let (address, port) = (&connection.remote_addr, connection.remote_port);
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) if port != 0 => format!("[{address}]:{port}"),
        Ok(IpAddr::V4(_)) if port != 0 => format!("{address}:{port}"),
        _ => address.clone(),
    }
}

fn operation(name: &str) -> Result<Operation, Error> {
    Ok(match name {
        "create" => Operation::Create,
        "read" => Operation::Read,
        "update" => Operation::Update,
        "patch" => Operation::Patch,
        "delete" => Operation::Delete,
        "list" => Operation::List,
        "help" => Operation::Help,
        "renew" => Operation::Renew,
        "revoke" => Operation::Revoke,
        "rollback" => Operation::Rollback,
        "alias-lookahead" => Operation::AliasLookahead,
        "resolve-role" => Operation::ResolveRole,
        _ => return Err(Error::UnsupportedOperation),
    })
}

fn first(metadata: &MetadataMap, key: &str) -> Option<String> {
    metadata.get(key).map(text)
}

fn text(value: &MetadataValue<tonic::metadata::Ascii>) -> String {
    String::from_utf8_lossy(value.as_encoded_bytes()).into_owned()
}

fn bytes(json: String) -> Vec<u8> {
    if json == NULL { Vec::new() } else { json.into_bytes() }
}

/// Undoes [`wrapped`].
fn unwrapped(json: String) -> Vec<u8> {
    // Nearly all internal data is an object of the plugin's, and that is not even parsed.
    if json.contains(INTERNAL)
        && let Ok(Value::Object(mut object)) = json::parse(json.as_bytes())
        && object.len() == 1
        && let Some(internal) = object.remove(INTERNAL)
    {
        return internal.to_string().into_bytes();
    }
    bytes(json)
}

// --- What a plugin answers ---

/// Returns the reply to a request. What the hosts' own errors have no place for is in a response beside them, as Go
/// plugins do.
pub(super) fn reply(result: Result<Response, Error>) -> pb::HandleRequestReply {
    match result.and_then(response) {
        Ok(response) => pb::HandleRequestReply { response, err: None },
        Err(error) => {
            let told = matches!(error, Error::Denied(_) | Error::InvalidRequest(_));
            let response = told.then(|| pb::Response {
                data: json!({ "error": error.to_string() }).to_string(),
                ..pb::Response::default()
            });
            pb::HandleRequestReply { response, err: Some(proto_error(&error)) }
        }
    }
}

pub(super) fn proto_error(error: &Error) -> pb::ProtoError {
    let (err_type, err_code) = match error {
        Error::Denied(_) => (error_type::PERMISSION_DENIED, 0),
        Error::InvalidRequest(_) => (error_type::INVALID_REQUEST, 0),
        Error::UnsupportedOperation => (error_type::UNSUPPORTED_OPERATION, 0),
        Error::UnsupportedPath => (error_type::UNSUPPORTED_PATH, 0),
        Error::NotFound(_) | Error::Conflict(_) | Error::Unavailable(_) => {
            (error_type::CODED, i64::from(error.status()))
        }
        Error::Internal(_) => (error_type::INTERNAL, 0),
    };
    pb::ProtoError { err_type, err_msg: error.to_string(), err_code }
}

pub(super) fn existence(result: Result<Existence, Error>) -> pb::HandleExistenceCheckReply {
    let (check_found, exists) = match result {
        Ok(Existence::Present) => (true, true),
        Ok(Existence::Absent) => (true, false),
        Ok(Existence::Unknown) | Err(_) => (false, false),
    };
    pb::HandleExistenceCheckReply { check_found, exists, err: result.err().as_ref().map(proto_error) }
}

pub(super) fn kind(description: &Description) -> u32 {
    match description.kind {
        Kind::Secret => names::TYPE_SECRET,
        Kind::Auth => names::TYPE_AUTH,
    }
}

pub(super) fn paths(description: &Description) -> pb::Paths {
    pb::Paths {
        root: description.root_paths.clone(),
        unauthenticated: description.unauthenticated_paths.clone(),
        seal_wrap_storage: description.seal_wrap_paths.clone(),
        ..pb::Paths::default()
    }
}

/// Returns the answer; none where there is nothing in it, by which hosts tell 404 and 204 from an answer.
fn response(response: Response) -> Result<Option<pb::Response>, Error> {
    if response == Response::none() {
        return Ok(None);
    }
    let Response { body, secret, login, warnings, headers } = response;
    let (data, redirect) = match body {
        Body::None => (NULL.to_owned(), String::new()),
        Body::Redirect(address) => (NULL.to_owned(), address),
        Body::Data(json) => {
            (String::from_utf8(json).map_err(|_| Error::Internal("answer is not JSON".to_owned()))?, String::new())
        }
        Body::Raw(answer) => {
            let data = json!({
                raw::STATUS: answer.status, raw::CONTENT_TYPE: answer.content_type,
                raw::BODY: STANDARD.encode(answer.body),
            });
            (data.to_string(), String::new())
        }
    };
    let mut by_name: HashMap<String, pb::Header> = HashMap::new();
    for (name, value) in headers {
        by_name.entry(name).or_default().header.push(value);
    }
    Ok(Some(pb::Response {
        secret: secret.map(|lease| pb::Secret {
            lease_options: Some(lease_options(&lease)),
            internal_data: wrapped(lease.internal),
            lease_id: String::new(),
        }),
        auth: login.map(auth),
        data,
        redirect,
        warnings,
        headers: by_name,
        ..pb::Response::default()
    }))
}

fn auth(login: Login) -> pb::Auth {
    let Login { policies, display_name, metadata, lease, alias, entity, num_uses, period, default_policy } = login;
    pb::Auth {
        lease_options: Some(lease_options(&lease)),
        internal_data: wrapped(lease.internal),
        display_name,
        policies,
        metadata: metadata.into_iter().collect(),
        period: nanoseconds(period),
        num_uses: num_uses.into(),
        entity_id: entity.unwrap_or_default(),
        alias: alias.map(|name| logical::Alias { name, ..logical::Alias::default() }),
        no_default_policy: default_policy == DefaultPolicy::LeftOut,
        ..pb::Auth::default()
    }
}

fn lease_options(lease: &Lease) -> pb::LeaseOptions {
    pb::LeaseOptions {
        ttl: nanoseconds(lease.ttl),
        renewable: lease.renewal == Renewal::Allowed,
        increment: 0,
        issue_time: Some(prost_types::Timestamp { seconds: GO_ZERO_TIME_SECONDS, nanos: 0 }),
        max_ttl: nanoseconds(lease.max_ttl),
    }
}

/// A part of a second rounds up, as it does for a component: hosts count seconds, and a zero would mean the mount's
/// default.
fn nanoseconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    Duration::from_secs(seconds).as_nanos().try_into().unwrap_or(i64::MAX)
}

fn wrapped(internal: Value) -> String {
    match internal {
        Value::Null | Value::Object(_) => internal.to_string(),
        other => json!({ INTERNAL: other }).to_string(),
    }
}

#[cfg(test)]
mod tests;
