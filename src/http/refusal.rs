//! What a client is told when it does not get what it asked for: a status and Vault's `{"errors":[…]}`.

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

use super::answer;
use crate::host::{Error, ErrorKind};
use crate::ident::IdentError;

/// Seconds after which a client that was told 429 or 503 may try again: queues drain and mounts start within about that
/// time.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    message: Option<String>,
}

impl Refusal {
    /// Returns a refusal with this status and message.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()) }
    }

    /// Returns the refusal of a request that makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Returns the refusal of a caller without a token, or with one that nobody knows.
    pub(super) fn denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission denied")
    }

    /// Returns what a mount's request came to, whose plugin chose the status.
    pub(super) fn of_mount(error: &Error) -> Self {
        Self::new(status(error.kind()), error.message())
    }

    /// Returns the refusal of a method that a path does not take.
    pub(super) fn unsupported_operation() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "unsupported operation")
    }

    /// Returns the refusal of a path below `sys/` that nothing answers.
    pub(super) fn no_route(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no handler for route {path:?}. route entry not found."))
    }

    /// Returns Vault's wordless 404: the path is good, and holds nothing.
    pub(super) fn nothing_there() -> Self {
        Self { status: StatusCode::NOT_FOUND, message: None }
    }

    /// Returns the status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the message, empty where there is none.
    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }
}

/// What the host refuses to do with its own catalog and mounts. Vault has one status for all that its client is to
/// blame for, and clients decide by it: the kinds stay apart in the host's own errors, and in the text.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Conflict | ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::PluginFault => {
                Self::invalid(error.message())
            }
            kind => Self::new(status(kind), error.message()),
        }
    }
}

impl From<IdentError> for Refusal {
    fn from(error: IdentError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(serde::Serialize)]
        struct Errors<'a> {
            errors: &'a [String],
        }
        let body = answer::to_json(&Errors { errors: self.message.as_slice() });
        let mut response = answer::json(self.status, body);
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

/// Returns the status for a kind of error. Nowhere else does a kind become a status.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidRequest => StatusCode::BAD_REQUEST,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::UnsupportedOperation => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Busy | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::PluginFault => StatusCode::BAD_GATEWAY,
        ErrorKind::Storage | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Status(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clients_own_mistakes_are_a_400() {
        for (kind, status) in [
            (ErrorKind::InvalidRequest, 400),
            (ErrorKind::Conflict, 400),
            (ErrorKind::NotFound, 400),
            (ErrorKind::Denied, 400),
            (ErrorKind::PluginFault, 400),
            (ErrorKind::TooLarge, 413),
            (ErrorKind::Busy, 503),
            (ErrorKind::DeadlineExceeded, 504),
            (ErrorKind::Storage, 500),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Internal, 500),
        ] {
            assert_eq!(Refusal::from(Error::new(kind, "")).status().as_u16(), status, "{kind:?}");
        }
    }
}
