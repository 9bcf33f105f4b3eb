//! What a listener grants its clients at most.

use std::time::Duration;

use crate::json::JsonLimits;
use crate::limits::Limits;

/// How long a client may take over the head of a request, and how long a connection may lie idle between two: the same
/// timer measures both. Long enough for clients that keep connections for reuse, short enough that holding sockets open
/// by sending a byte now and then does not pay.
const HEADER_DEADLINE: Duration = Duration::from_secs(60);

/// What one listener grants its clients at most. By default, what the host grants: change single fields of
/// `ListenerLimits::from(host.limits())`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Largest request body, in bytes. A larger one is refused with 413, unread.
    pub request_body_bytes_max: usize,
    /// Largest body of a request without a token, in bytes.
    pub anonymous_body_bytes_max: usize,
    /// What JSON in a body may hold. Beyond it, the body is refused with 400.
    pub json: JsonLimits,
    /// How long a body may take to arrive (then 408), and how long a plugin may take to answer after that (then 504).
    /// The host's own deadline holds where it is shorter. Operations below `sys/` have limits of their own.
    pub request_deadline: Duration,
    /// How long a client may take over the head of a request, and how long its connection may lie idle between two
    /// requests or move nothing while an answer is on its way: then it is closed.
    pub header_deadline: Duration,
}

impl From<&Limits> for ListenerLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            request_body_bytes_max: limits.request_body_bytes_max,
            anonymous_body_bytes_max: limits.anonymous_body_bytes_max,
            json: JsonLimits::default(),
            request_deadline: limits.request_deadline,
            header_deadline: HEADER_DEADLINE,
        }
    }
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}
