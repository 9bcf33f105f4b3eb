//! What answers the host's own paths, `sys/` and `auth/token/`, as seen from the host.

use async_trait::async_trait;

use super::{Answer, Error, Host};
use crate::ident::RequestPath;
use crate::request::Request;

/// What the paths of the host's own begin with. Nothing is mounted there.
pub(super) const OWN_PREFIXES: [&str; 2] = ["sys/", "auth/token/"];

/// Answers the host's own paths. [`Host::handle`] asks it as it asks a mount: after the same question whether the
/// caller may, and with the same audit.
#[async_trait]
pub trait SystemBackend: Send + Sync {
    /// Tells how far callers are heard at a path of the host's own that nobody knows.
    fn admission(&self, path: &RequestPath) -> Admission;

    /// Answers a request. Its path is whole. What it begins goes on to its end, whether or not anybody waits for it.
    ///
    /// # Errors
    ///
    /// In Vault's words, and with Vault's kinds: it tells a client of these paths that the request was wrong
    /// ([`InvalidRequest`](super::ErrorKind::InvalidRequest)) where the host's own operations say more exactly why.
    async fn handle(&self, host: &Host, request: &Request) -> Result<Answer, Error>;
}

/// How far a caller that nobody knows is heard at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Not at all: whatever is sent is refused.
    Closed,
    /// A request without a body is answered.
    WithoutBody,
    /// Whatever is sent is read, and may be answered.
    Open,
}

/// Returns how many bytes of a path name the place of the host's own that it belongs to, if it does. `sys` is `sys/`.
pub(super) fn own_prefix(path: &RequestPath) -> Option<usize> {
    let path = path.as_str();
    OWN_PREFIXES.into_iter().find_map(|prefix| match path.starts_with(prefix) {
        true => Some(prefix.len()),
        false => prefix.strip_suffix('/').filter(|bare| *bare == path).map(str::len),
    })
}
