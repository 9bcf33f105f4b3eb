//! The one error an embedder sees: a kind to act on, and a message for a person.

use std::fmt;
use std::sync::Arc;

use crate::storage::StorageError;

/// What sort of failure it was. Edges choose a status or an exit code by it; nothing else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request makes no sense, here or to the plugin.
    InvalidRequest,
    /// The caller may not.
    Denied,
    /// Nothing is there.
    NotFound,
    /// The plugin does not do that on this path.
    UnsupportedOperation,
    /// Something else is there already, or was changed meanwhile.
    Conflict,
    /// What was sent is larger than a limit.
    TooLarge,
    /// Not now: everything that could answer is in use, or another change of the same thing is under way. The request
    /// may be tried again at once.
    Busy,
    /// Not now: the host shuts down, the mount is disabled or being replaced, or the plugin says so. The request may be
    /// tried again later.
    Unavailable,
    /// The plugin did not answer within the deadline.
    DeadlineExceeded,
    /// The plugin crashed, ran into a limit, or answered what no plugin may answer.
    PluginFault,
    /// The storage failed. The message does not say how, which is for the operator: [`Error::detail`] does.
    Storage,
    /// The host itself failed.
    Internal,
    /// The plugin declined with an HTTP status of its own, from 400 to 599.
    Status(u16),
}

/// Why a host did not do what was asked.
///
/// The message is meant for the client that made the request: it names the thing and the way out, and holds no secret.
/// [`std::error::Error::source`] is meant for the operator: what failed underneath, where that is known.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Source>,
}

/// What failed underneath. In an `Arc`, since one failure may be told to many.
type Source = Arc<dyn std::error::Error + Send + Sync>;

/// What a client is told of a storage that failed. Keys of the host and the words of the system are for the operator.
const STORAGE_FAILED: &str = "the storage failed; the server's log says more";

impl Error {
    /// Returns an error of this kind with this message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Returns the error of a storage that failed, and tells the operator what the client is not told.
    pub(crate) fn of_storage(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        tracing::error!(error = %cause, "the storage failed");
        Self { kind: ErrorKind::Storage, message: STORAGE_FAILED.to_owned(), source: Some(Arc::new(cause)) }
    }

    /// Returns the message with what failed underneath. For an operator: a client is not to see it.
    pub fn detail(&self) -> String {
        match &self.source {
            Some(source) => format!("{}: {source}", self.message),
            None => self.message.clone(),
        }
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Two errors are the same that tell a client the same.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.message) == (other.kind, &other.message)
    }
}

impl Eq for Error {}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::TakenOver => Error::new(ErrorKind::Unavailable, error.to_string()),
            _ => Error::of_storage(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn what_the_storage_says_is_told_to_the_operator_alone() {
        let failed =
            StorageError::Unusable("the stored value at \"core/mounts/9\" is damaged: No space left".to_owned());
        let error = Error::from(failed);
        assert_eq!((error.kind(), error.message()), (ErrorKind::Storage, STORAGE_FAILED));
        assert!(!format!("{error} {error:?}").contains("core/mounts"), "{error:?}");
        assert!(error.source().is_some_and(|source| source.to_string().contains("No space left")), "{error:?}");
        assert!(error.detail().contains("core/mounts/9"), "{}", error.detail());
    }
}
