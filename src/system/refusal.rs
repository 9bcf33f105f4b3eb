//! Why a request to one of the host's own paths is refused, in Vault's words.

use crate::host::{Error, ErrorKind};
use crate::ident::IdentError;

/// A refusal in Vault's words. Vault tells its clients that they were wrong where the host's own operations say more
/// exactly why, and clients decide by that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal(Error);

impl Refusal {
    /// Returns the refusal of a request that makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// Returns the refusal of a caller that may not.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// Returns the refusal of an operation that a path does not take.
    pub(super) fn unsupported_operation() -> Self {
        Self::new(ErrorKind::UnsupportedOperation, "unsupported operation")
    }

    /// Returns the refusal of a path that nothing answers.
    pub(super) fn no_route(path: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("no handler for route {path:?}. route entry not found."))
    }

    /// Returns Vault's wordless refusal: the path is good, and holds nothing.
    pub(super) fn nothing_there() -> Self {
        Self::new(ErrorKind::NotFound, "")
    }

    /// Returns a refusal of this kind with this message.
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Error::new(kind, message))
    }

    /// Tells whether the client is to blame.
    pub(super) fn blames_the_client(&self) -> bool {
        self.0.kind() == ErrorKind::InvalidRequest
    }

    /// Returns the message, empty where there is none.
    pub(super) fn message(&self) -> &str {
        self.0.message()
    }

    /// Returns the kind.
    #[cfg(test)]
    pub(super) fn kind(&self) -> ErrorKind {
        self.0.kind()
    }
}

/// What the host refuses to do with its own catalog and mounts. Vault has one status for all that its client is to
/// blame for: the kinds stay apart in the host's own errors, and in the text.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Conflict | ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::PluginFault => {
                Self::invalid(error.message())
            }
            _ => Self(error),
        }
    }
}

impl From<IdentError> for Refusal {
    fn from(error: IdentError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clients_own_mistakes_are_blamed_on_it() {
        for (kind, shown) in [
            (ErrorKind::InvalidRequest, ErrorKind::InvalidRequest),
            (ErrorKind::Conflict, ErrorKind::InvalidRequest),
            (ErrorKind::NotFound, ErrorKind::InvalidRequest),
            (ErrorKind::Denied, ErrorKind::InvalidRequest),
            (ErrorKind::PluginFault, ErrorKind::InvalidRequest),
            (ErrorKind::TooLarge, ErrorKind::TooLarge),
            (ErrorKind::Busy, ErrorKind::Busy),
            (ErrorKind::Unavailable, ErrorKind::Unavailable),
            (ErrorKind::DeadlineExceeded, ErrorKind::DeadlineExceeded),
            (ErrorKind::Storage, ErrorKind::Storage),
            (ErrorKind::Internal, ErrorKind::Internal),
        ] {
            assert_eq!(Refusal::from(Error::new(kind, "")).kind(), shown, "{kind:?}");
        }
    }
}
