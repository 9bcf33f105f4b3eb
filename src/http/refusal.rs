//! What a client is told when it does not get what it asked for: a status and Vault's `{"errors":[…]}`.

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

use super::envelope;
use crate::host::{Error, ErrorKind};
use crate::ident::IdentError;
use crate::json;

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

    /// Returns the refusal of a method that a path does not take.
    pub(super) fn unsupported_operation() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "unsupported operation")
    }

    /// Returns Vault's wordless 404: the path is good, and holds nothing.
    pub(super) fn nothing_there() -> Self {
        Self { status: StatusCode::NOT_FOUND, message: None }
    }

    /// Returns the status.
    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the message, empty where there is none.
    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }
}

/// What a request to the host came to. An error without words is Vault's wordless one.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let message = (!error.message().is_empty()).then(|| error.message().to_owned());
        Self { status: status(error.kind()), message }
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
        let body = json::line(&Errors { errors: self.message.as_slice() });
        let mut response = envelope::json(self.status, body);
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
    fn a_kind_of_error_has_one_status() {
        for (kind, status) in [
            (ErrorKind::InvalidRequest, 400),
            (ErrorKind::Denied, 403),
            (ErrorKind::NotFound, 404),
            (ErrorKind::UnsupportedOperation, 405),
            (ErrorKind::Conflict, 409),
            (ErrorKind::TooLarge, 413),
            (ErrorKind::Storage, 500),
            (ErrorKind::Internal, 500),
            (ErrorKind::PluginFault, 502),
            (ErrorKind::Busy, 503),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::DeadlineExceeded, 504),
            (ErrorKind::Status(418), 418),
        ] {
            assert_eq!(Refusal::from(Error::new(kind, "")).status().as_u16(), status, "{kind:?}");
        }
        assert_eq!(Refusal::from(Error::new(ErrorKind::NotFound, "")), Refusal::nothing_there());
    }
}
