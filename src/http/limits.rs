//! What a listener grants its clients at most.

use std::time::Duration;

use crate::limits::Limits;

/// How long a client may take over the head of a request, and how long a connection may lie idle between two: the same timer
/// measures both. Long enough for clients that keep connections for reuse, short enough that holding sockets open by sending a
/// byte now and then does not pay.
const HEADER_DEADLINE: Duration = Duration::from_secs(60);

/// Arrays and objects inside one another in a body. Whoever parses the body next may recurse, and a stack holds so many.
const JSON_DEPTH_MAX: usize = 500;

/// Members of one object, and elements of one array: Vault's defaults for both.
const JSON_CHILDREN_MAX: usize = 10_000;

/// The longest text in a body, in bytes: Vault's 1 MiB, in base64. The largest value that is stored comes so.
const JSON_TEXT_BYTES_MAX: usize = (1_usize << 20).div_ceil(3) * 4;

/// Values and names in one body. Parsed, each may take some hundred bytes, however short it was.
const JSON_TOKENS_MAX: usize = 100_000;

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
    /// How long a body may take to arrive (then 408), and how long a plugin may take to answer after that (then 504). The host's
    /// own deadline holds where it is shorter. Operations below `sys/` have limits of their own.
    pub request_deadline: Duration,
    /// How long a client may take over the head of a request, and how long its connection may lie idle between two requests or move
    /// nothing while an answer is on its way: then it is closed.
    pub header_deadline: Duration,
}

/// What JSON in a request body may hold, whoever parses it: Vault's settings of a listener, and one that counts everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Arrays and objects inside one another: Vault's `max_json_depth`.
    pub depth_max: usize,
    /// Members of one object: Vault's `max_json_object_entry_count`.
    pub members_max: usize,
    /// Elements of one array: Vault's `max_json_array_element_count`.
    pub elements_max: usize,
    /// The longest text, in bytes: Vault's `max_json_string_value_length`.
    pub text_bytes_max: usize,
    /// Values and names together: `max_json_token_count`.
    pub tokens_max: usize,
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self {
            depth_max: JSON_DEPTH_MAX,
            members_max: JSON_CHILDREN_MAX,
            elements_max: JSON_CHILDREN_MAX,
            text_bytes_max: JSON_TEXT_BYTES_MAX,
            tokens_max: JSON_TOKENS_MAX,
        }
    }
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
