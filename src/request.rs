//! What is asked of a plugin and what it may answer, in the same words for every runtime.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::ident::RequestPath;

/// What is asked of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A write to a path that does not exist yet. Only the host decides this; clients ask for [`Operation::Update`].
    Create,
    /// HTTP GET.
    Read,
    /// HTTP POST or PUT.
    Update,
    /// HTTP PATCH, an RFC 7396 merge patch.
    Patch,
    /// HTTP DELETE.
    Delete,
    /// HTTP LIST, or GET with `list=true`.
    List,
    /// `path-help`.
    Help,
    /// Extends a lease.
    Renew,
    /// Ends a lease.
    Revoke,
    /// Undoes what was left half done.
    Rollback,
    /// Asks which alias a login would have.
    AliasLookahead,
    /// Asks which role a login would have.
    ResolveRole,
}

/// One request, on its way from a client to a plugin.
#[derive(Clone)]
pub struct Request {
    /// Repeated in the answer, the log and what the plugin sees.
    pub id: String,
    /// What is asked.
    pub operation: Operation,
    /// Of which path: below the mount once it has been routed.
    pub path: RequestPath,
    /// A JSON object in UTF-8, unparsed; empty when there is none.
    pub data: Bytes,
    /// The headers that came with it, if any did. A mount passes on those that it names.
    pub headers: Option<Arc<dyn Headers>>,
    /// Who asks.
    pub caller: Caller,
    /// The token that came with it, if one did: for the host's own paths that ask about it. No plugin sees it.
    pub token: Option<ClientToken>,
    /// From where, if it came over a network.
    pub remote_address: Option<SocketAddr>,
    /// How long it may take, where that is less than the host grants every request.
    pub deadline: Option<Duration>,
    /// For renew and revoke, what the plugin stored with the lease.
    pub lease: Option<Bytes>,
}

impl Request {
    /// Returns a request with a new random id, no data and no headers, made by nobody in particular.
    pub fn new(operation: Operation, path: RequestPath) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            operation,
            path,
            data: Bytes::new(),
            headers: None,
            caller: Caller::Anonymous,
            token: None,
            remote_address: None,
            deadline: None,
            lease: None,
        }
    }

    /// Returns the request with this caller.
    pub fn by(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// Returns the request with this JSON object as its data.
    pub fn with_data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }
}

/// The headers that came with a request, looked up only when a plugin asks for one that its mount passes on.
///
/// Whoever makes the request leaves out what no plugin may see: tokens that were checked at the door, and what belongs
/// to the connection.
pub trait Headers: Send + Sync {
    /// Returns the values of a header, in order. The name is in lower case.
    fn get(&self, name: &str) -> Vec<String>;
}

/// Names and values; names are the same whatever their case.
impl Headers for Vec<(String, String)> {
    fn get(&self, name: &str) -> Vec<String> {
        let named = self.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.clone()).collect()
    }
}

/// Leaves out what may be secret: data, headers and lease.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("operation", &self.operation)
            .field("path", &self.path)
            .field("data_bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// A token as a client sent it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientToken(Arc<str>);

impl ClientToken {
    /// Returns the token itself, which is a secret.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ClientToken {
    fn from(token: &str) -> Self {
        Self(token.into())
    }
}

/// Shows nothing of it.
impl fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientToken(…)")
    }
}

/// Who makes a request. Deciding that is the door's task: a token check over HTTP, or whatever an embedding server
/// trusts.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Nobody known: only a plugin's unauthenticated paths answer.
    Anonymous,
    /// Somebody who was authenticated.
    Known(Arc<Identity>),
}

/// What a plugin may learn of an authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The token's display name, such as `root` or `userpass-ada`.
    pub display_name: String,
    /// The identity entity, or empty.
    pub entity_id: String,
    /// Names the token without giving it away.
    pub token_accessor: String,
    /// The policies that the token carries.
    pub policies: Vec<String>,
}

impl Identity {
    /// Returns a caller of whom nothing but a name is known: for servers that embed a host and decide themselves who
    /// may call.
    pub fn named(display_name: impl Into<String>) -> Self {
        Self {
            display_name: display_name.into(),
            entity_id: String::new(),
            token_accessor: String::new(),
            policies: Vec::new(),
        }
    }
}

/// What a plugin answers.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The answer itself.
    pub body: Body,
    /// Makes the body a leased secret.
    pub secret: Option<Lease>,
    /// A successful login. What a host answers with has its policies and its TTL as a token would have them.
    pub login: Option<Login>,
    /// Shown to the person who asked.
    pub warnings: Vec<String>,
    /// Response headers, already reduced to those that the mount passes on.
    pub headers: Vec<(String, String)>,
}

/// The body of an answer.
#[derive(Clone, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// A JSON object in UTF-8, as the plugin wrote it.
    Data(Bytes),
    /// Bytes for the client as they are.
    Raw {
        /// An HTTP status from 200 to 599.
        status: u16,
        /// The `Content-Type`.
        content_type: String,
        /// The bytes.
        bytes: Bytes,
    },
    /// Go elsewhere: an HTTP 307 to this address.
    Redirect(String),
}

/// Shows the kind and the size, never the content.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Empty => f.write_str("Empty"),
            Body::Data(data) => write!(f, "Data({} bytes)", data.len()),
            Body::Raw { status, content_type, bytes } => {
                write!(f, "Raw({status}, {content_type:?}, {} bytes)", bytes.len())
            }
            Body::Redirect(_) => f.write_str("Redirect"),
        }
    }
}

/// How long what was given out stays valid.
#[derive(Clone, PartialEq, Eq)]
pub struct Lease {
    /// Zero means the mount's default.
    pub ttl_seconds: u64,
    /// Zero means the mount's maximum.
    pub max_ttl_seconds: u64,
    /// Whether it can be extended.
    pub renewable: bool,
    /// Kept for the plugin, shown to nobody.
    pub internal: Bytes,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("ttl_seconds", &self.ttl_seconds)
            .field("max_ttl_seconds", &self.max_ttl_seconds)
            .field("renewable", &self.renewable)
            .finish_non_exhaustive()
    }
}

/// What an auth method says of who logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Policies for the token.
    pub policies: Vec<String>,
    /// A name for people.
    pub display_name: String,
    /// Shown with the token.
    pub metadata: Vec<(String, String)>,
    /// The token's lease.
    pub lease: Lease,
    /// The name by which the method knows the caller.
    pub alias: Option<String>,
    /// The identity entity.
    pub entity: Option<String>,
    /// How often the token may be used; 0 is without limit.
    pub num_uses: u32,
    /// Seconds; 0 is none.
    pub period_seconds: u64,
    /// Leaves the `default` policy out.
    pub no_default_policy: bool,
}

/// Why a plugin did not do what was asked: its own words, for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The caller may not.
    #[error("{0}")]
    Denied(String),
    /// The request makes no sense to the plugin.
    #[error("{0}")]
    InvalidRequest(String),
    /// Not on this path.
    #[error("unsupported operation")]
    UnsupportedOperation,
    /// No such path.
    #[error("unsupported path")]
    UnsupportedPath,
    /// Nothing there.
    #[error("{0}")]
    NotFound(String),
    /// Someone else was faster.
    #[error("{0}")]
    Conflict(String),
    /// Try again later.
    #[error("{0}")]
    Unavailable(String),
    /// The plugin failed.
    #[error("{0}")]
    Internal(String),
    /// Any other HTTP status, from 400 to 599. Only native plugins have it.
    #[error("{1}")]
    Status(u16, String),
}
