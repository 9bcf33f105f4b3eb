//! The SDK's types to and from the generated ones, each field and case by name so that a change of the WIT does not
//! compile.

use std::time::Duration;

use serde_json::Value;

use super::bindings::cofferdam::plugin::types;
use crate::response::{Body, DefaultPolicy, Lease, Login, Raw, Renewal};
use crate::{
    Caller, Description, Error, Existence, Kind, Level, Operation, Request, Response, Spread, StorageError, Ttls,
};

impl From<types::Request> for Request {
    fn from(request: types::Request) -> Self {
        let types::Request { id, operation, path, data, lease } = request;
        Self { id, operation: operation.into(), path, raw_data: data, raw_lease: lease }
    }
}

impl From<types::Operation> for Operation {
    fn from(operation: types::Operation) -> Self {
        match operation {
            types::Operation::Create => Self::Create,
            types::Operation::Read => Self::Read,
            types::Operation::Update => Self::Update,
            types::Operation::Patch => Self::Patch,
            types::Operation::Delete => Self::Delete,
            types::Operation::List => Self::List,
            types::Operation::Help => Self::Help,
            types::Operation::Renew => Self::Renew,
            types::Operation::Revoke => Self::Revoke,
            types::Operation::Rollback => Self::Rollback,
            types::Operation::AliasLookahead => Self::AliasLookahead,
            types::Operation::ResolveRole => Self::ResolveRole,
        }
    }
}

impl From<types::StorageError> for StorageError {
    fn from(error: types::StorageError) -> Self {
        match error {
            types::StorageError::ReadOnly => Self::ReadOnly,
            types::StorageError::TooLarge(limit) => Self::TooLarge(limit),
            types::StorageError::Full(limit) => Self::Full(limit),
            types::StorageError::InvalidKey(reason) => Self::InvalidKey(reason),
            types::StorageError::Conflict => Self::Conflict,
            types::StorageError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl From<types::Ttls> for Ttls {
    fn from(ttls: types::Ttls) -> Self {
        let types::Ttls { default_seconds, max_seconds } = ttls;
        Self { default: Duration::from_secs(default_seconds), max: Duration::from_secs(max_seconds) }
    }
}

impl From<types::Caller> for Caller {
    fn from(caller: types::Caller) -> Self {
        let types::Caller { display_name, entity_id, token_accessor, remote_address, policies } = caller;
        Self { display_name, entity_id, token_accessor, remote_address, policies }
    }
}

impl From<Level> for types::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

// --- What a plugin answers ---

pub(super) fn known(existence: Existence) -> Option<bool> {
    match existence {
        Existence::Present => Some(true),
        Existence::Absent => Some(false),
        Existence::Unknown => None,
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(reason) => Self::Denied(reason),
            Error::InvalidRequest(reason) => Self::InvalidRequest(reason),
            Error::UnsupportedOperation => Self::UnsupportedOperation,
            Error::UnsupportedPath => Self::UnsupportedPath,
            Error::NotFound(reason) => Self::NotFound(reason),
            Error::Conflict(reason) => Self::Conflict(reason),
            Error::Unavailable(reason) => Self::Unavailable(reason),
            Error::Internal(reason) => Self::Internal(reason),
        }
    }
}

impl From<Response> for types::Response {
    fn from(response: Response) -> Self {
        let Response { body, secret, login, warnings, headers } = response;
        Self { body: body.into(), secret: secret.map(Into::into), login: login.map(Into::into), warnings, headers }
    }
}

impl From<Body> for types::Body {
    fn from(body: Body) -> Self {
        match body {
            Body::None => Self::None,
            Body::Data(json) => Self::Data(json),
            Body::Raw(Raw { status, content_type, body }) => Self::Raw(types::Raw { status, content_type, body }),
            Body::Redirect(address) => Self::Redirect(address),
        }
    }
}

impl From<Lease> for types::Lease {
    fn from(lease: Lease) -> Self {
        let Lease { ttl, max_ttl, renewal, internal } = lease;
        Self {
            ttl_seconds: seconds(ttl),
            max_ttl_seconds: seconds(max_ttl),
            renewable: renewal == Renewal::Allowed,
            internal: json(internal),
        }
    }
}

impl From<Login> for types::Login {
    fn from(login: Login) -> Self {
        let Login { policies, display_name, metadata, lease, alias, entity, num_uses, period, default_policy } = login;
        Self {
            policies,
            display_name,
            metadata,
            lease: lease.into(),
            alias,
            entity,
            num_uses,
            period_seconds: seconds(period),
            no_default_policy: default_policy == DefaultPolicy::LeftOut,
        }
    }
}

impl From<Description> for types::Description {
    fn from(description: Description) -> Self {
        let Description {
            kind,
            spread,
            tells_create,
            version,
            help,
            root_paths,
            unauthenticated_paths,
            seal_wrap_paths,
            openapi,
        } = description;
        Self {
            kind: match kind {
                Kind::Secret => types::Kind::Secret,
                Kind::Auth => types::Kind::Auth,
            },
            spread: match spread {
                Spread::One => types::Spread::One,
                Spread::Many => types::Spread::Many,
            },
            tells_create,
            version,
            help,
            root_paths,
            unauthenticated_paths,
            seal_wrap_paths,
            openapi: openapi.map(json).unwrap_or_default(),
        }
    }
}

/// A part of a second rounds up: a zero would mean the mount's default, which may be days.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// In the contract "no data" is an empty list.
fn json(value: Value) -> Vec<u8> {
    if value.is_null() { Vec::new() } else { value.to_string().into_bytes() }
}
