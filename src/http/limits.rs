//! What a listener grants its clients: never more than the host does.

use std::time::Duration;

use crate::limits::Limits;

/// How long a client may take over the head of a request, and how long a connection may lie idle between two: the same timer
/// measures both. Long enough for clients that keep connections for reuse, short enough that holding sockets open by sending a
/// byte now and then does not pay.
const HEADER_DEADLINE: Duration = Duration::from_secs(60);

/// What one listener grants. Change single fields of [`ListenerLimits::of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Largest request body, in bytes.
    pub request_body_bytes_max: usize,
    /// How long a request's body may take to arrive, and then its answer. The host's own deadline holds as well.
    pub request_deadline: Duration,
    /// How long a client may take to send a request's head, and how long a connection may lie idle.
    pub header_deadline: Duration,
}

impl ListenerLimits {
    /// Returns the limits of a listener that grants what the host grants.
    pub fn of(limits: &Limits) -> Self {
        Self {
            request_body_bytes_max: limits.request_body_bytes_max,
            request_deadline: limits.request_deadline,
            header_deadline: HEADER_DEADLINE,
        }
    }
}
