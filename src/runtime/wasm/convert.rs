//! The same messages in the host's words and in the contract's.
//!
//! Exhaustive on both sides: a case added to the contract does not compile until it is given a meaning here.

use super::bindings::cofferdam::plugin::types as wit;
use crate::ident::PluginKind;
use crate::request::{BackendError, Body, Lease, Login, Operation, Request, Response};
use crate::runtime::text::brief;
use crate::runtime::{Description, PathRules, Spread};

pub(super) fn request(request: Request) -> wit::Request {
    wit::Request {
        id: request.id,
        operation: operation(request.operation),
        path: request.path.into(),
        data: request.data.into(),
        lease: request.lease.map(Vec::from),
    }
}

fn operation(operation: Operation) -> wit::Operation {
    match operation {
        Operation::Create => wit::Operation::Create,
        Operation::Read => wit::Operation::Read,
        Operation::Update => wit::Operation::Update,
        Operation::Patch => wit::Operation::Patch,
        Operation::Delete => wit::Operation::Delete,
        Operation::List => wit::Operation::List,
        Operation::Help => wit::Operation::Help,
        Operation::Renew => wit::Operation::Renew,
        Operation::Revoke => wit::Operation::Revoke,
        Operation::Rollback => wit::Operation::Rollback,
        Operation::AliasLookahead => wit::Operation::AliasLookahead,
        Operation::ResolveRole => wit::Operation::ResolveRole,
    }
}

pub(super) fn response(response: wit::Response) -> Response {
    let wit::Response { body, secret, login, warnings, headers } = response;
    Response {
        body: match body {
            wit::Body::None => Body::Empty,
            wit::Body::Data(json) => Body::Data(json.into()),
            wit::Body::Raw(wit::Raw { status, content_type, body }) => {
                Body::Raw { status, content_type, bytes: body.into() }
            }
            wit::Body::Redirect(address) => Body::Redirect(address),
        },
        secret: secret.map(lease),
        login: login.map(self::login),
        warnings: warnings.iter().map(|warning| brief(warning)).collect(),
        headers,
    }
}

fn lease(lease: wit::Lease) -> Lease {
    let wit::Lease { ttl_seconds, max_ttl_seconds, renewable, internal } = lease;
    Lease { ttl_seconds, max_ttl_seconds, renewable, internal: internal.into() }
}

fn login(login: wit::Login) -> Login {
    let wit::Login {
        policies,
        display_name,
        metadata,
        lease,
        alias,
        entity,
        num_uses,
        period_seconds,
        no_default_policy,
    } = login;
    Login {
        policies,
        display_name,
        metadata,
        lease: self::lease(lease),
        alias,
        entity,
        num_uses,
        period_seconds,
        no_default_policy,
    }
}

/// The text ends up on somebody's terminal, or as a mount's state in the log: it keeps its words and nothing else.
pub(super) fn backend_error(error: wit::Error) -> BackendError {
    match error {
        wit::Error::Denied(text) => BackendError::Denied(brief(&text)),
        wit::Error::InvalidRequest(text) => BackendError::InvalidRequest(brief(&text)),
        wit::Error::UnsupportedOperation => BackendError::UnsupportedOperation,
        wit::Error::UnsupportedPath => BackendError::UnsupportedPath,
        wit::Error::NotFound(text) => BackendError::NotFound(brief(&text)),
        wit::Error::Conflict(text) => BackendError::Conflict(brief(&text)),
        wit::Error::Unavailable(text) => BackendError::Unavailable(brief(&text)),
        wit::Error::Internal(text) => BackendError::Internal(brief(&text)),
    }
}

/// Checks what a plugin says of itself. An error says which part is wrong.
pub(super) fn description(description: wit::Description) -> Result<Description, String> {
    Description::check_words(&description.help, &description.openapi)?;
    let version = match description.version.as_str() {
        "" => None,
        version => Some(version.parse().map_err(|reason| format!("{reason}"))?),
    };
    Ok(Description {
        kind: match description.kind {
            wit::Kind::Secret => PluginKind::Secret,
            wit::Kind::Auth => PluginKind::Auth,
        },
        spread: match description.spread {
            wit::Spread::One => Spread::One,
            wit::Spread::Many => Spread::Many,
        },
        tells_create: description.tells_create,
        version,
        unauthenticated: PathRules::parse(&description.unauthenticated_paths)?,
    })
}
