//! The same messages in the host's words and in the SDK's.
//!
//! Exhaustive on both sides: a case added to either does not compile until it is given a meaning here.

use std::time::Duration;

use cofferdam_sdk as sdk;
use cofferdam_sdk::embed::Described;

use crate::ident::{PluginKind, PluginVersion};
use crate::request::{BackendError, Body, Lease, Login, Operation, Request, Response};
use crate::runtime::text::brief;
use crate::runtime::{Description, PathRules, Spread};

pub(super) fn request(request: Request) -> sdk::Request {
    sdk::Request {
        id: request.id,
        operation: operation(request.operation),
        path: request.path.into(),
        raw_data: request.data.into(),
        raw_lease: request.lease.map(Vec::from),
    }
}

fn operation(operation: Operation) -> sdk::Operation {
    match operation {
        Operation::Create => sdk::Operation::Create,
        Operation::Read => sdk::Operation::Read,
        Operation::Update => sdk::Operation::Update,
        Operation::Patch => sdk::Operation::Patch,
        Operation::Delete => sdk::Operation::Delete,
        Operation::List => sdk::Operation::List,
        Operation::Help => sdk::Operation::Help,
        Operation::Renew => sdk::Operation::Renew,
        Operation::Revoke => sdk::Operation::Revoke,
        Operation::Rollback => sdk::Operation::Rollback,
        Operation::AliasLookahead => sdk::Operation::AliasLookahead,
        Operation::ResolveRole => sdk::Operation::ResolveRole,
    }
}

pub(super) fn response(response: sdk::Response) -> Response {
    let sdk::Response { body, secret, login, warnings, headers } = response;
    Response {
        body: match body {
            sdk::Body::None => Body::Empty,
            sdk::Body::Data(json) => Body::Data(json.into()),
            sdk::Body::Raw(sdk::Raw { status, content_type, body }) => {
                Body::Raw { status, content_type, bytes: body.into() }
            }
            sdk::Body::Redirect(address) => Body::Redirect(address),
        },
        secret: secret.map(lease),
        login: login.map(self::login),
        warnings: warnings.iter().map(|warning| brief(warning)).collect(),
        headers,
    }
}

fn lease(lease: sdk::Lease) -> Lease {
    let sdk::Lease { ttl, max_ttl, renewal, internal } = lease;
    let internal = if internal.is_null() { Vec::new() } else { internal.to_string().into_bytes() };
    Lease {
        ttl_seconds: seconds(ttl),
        max_ttl_seconds: seconds(max_ttl),
        renewable: renewal == sdk::Renewal::Allowed,
        internal: internal.into(),
    }
}

fn login(login: sdk::Login) -> Login {
    let sdk::Login { policies, display_name, metadata, lease, alias, entity, num_uses, period, default_policy } = login;
    Login {
        policies,
        display_name,
        metadata,
        lease: self::lease(lease),
        alias,
        entity,
        num_uses,
        period_seconds: seconds(period),
        no_default_policy: default_policy == sdk::DefaultPolicy::LeftOut,
    }
}

/// A part of a second rounds up: a zero would mean the mount's default, which may be days.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

pub(super) fn known(existence: sdk::Existence) -> Option<bool> {
    match existence {
        sdk::Existence::Present => Some(true),
        sdk::Existence::Absent => Some(false),
        sdk::Existence::Unknown => None,
    }
}

/// A plugin's text holds what a client sent, and ends up on somebody's terminal: it keeps its words and nothing else.
pub(super) fn backend_error(error: sdk::Error) -> BackendError {
    match error {
        sdk::Error::Denied(text) => BackendError::Denied(brief(&text)),
        sdk::Error::InvalidRequest(text) => BackendError::InvalidRequest(brief(&text)),
        sdk::Error::UnsupportedOperation => BackendError::UnsupportedOperation,
        sdk::Error::UnsupportedPath => BackendError::UnsupportedPath,
        sdk::Error::NotFound(text) => BackendError::NotFound(brief(&text)),
        sdk::Error::Conflict(text) => BackendError::Conflict(brief(&text)),
        sdk::Error::Unavailable(text) => BackendError::Unavailable(brief(&text)),
        sdk::Error::Internal(text) => BackendError::Internal(brief(&text)),
    }
}

/// Checks what a plugin says of itself, and marks its version as built in. An error says which part is wrong.
pub(super) fn description(described: Described) -> Result<Description, String> {
    let openapi = described.openapi.map(|document| document.to_string()).unwrap_or_default();
    Description::check_words(&described.help, openapi.as_bytes())?;
    let version = match described.version.as_str() {
        "" => env!("CARGO_PKG_VERSION"),
        version => version,
    };
    Ok(Description {
        kind: match described.kind {
            sdk::Kind::Secret => PluginKind::Secret,
            sdk::Kind::Auth => PluginKind::Auth,
        },
        spread: match described.spread {
            sdk::Spread::One => Spread::One,
            sdk::Spread::Many => Spread::Many,
        },
        tells_create: described.tells_create,
        version: Some(PluginVersion::builtin(version).map_err(|reason| reason.to_string())?),
        unauthenticated: PathRules::parse(&described.unauthenticated_paths)?,
    })
}
