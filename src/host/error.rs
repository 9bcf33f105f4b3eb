//! The one error an embedder sees: a kind to act on, and a message for a person.

use std::fmt;

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
    /// Not now: busy, shutting down, or the mount is disabled. The request may be tried again.
    Unavailable,
    /// The plugin did not answer within the deadline.
    DeadlineExceeded,
    /// The plugin crashed, ran into a limit, or answered what no plugin may answer.
    PluginFault,
    /// The storage failed.
    Storage,
    /// The host itself failed.
    Internal,
    /// The plugin declined with an HTTP status of its own, from 400 to 599.
    Status(u16),
}

/// Why a host did not do what was asked.
///
/// The message is meant for whoever made the request: it names the thing and the way out, and holds no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// Returns an error of this kind with this message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
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

impl std::error::Error for Error {}
