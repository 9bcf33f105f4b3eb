//! What a plugin answers.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Error;
use crate::decode;

/// An answer, made by one of the constructors and completed by the `with_` methods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// What the client gets.
    pub body: Body,
    /// Makes `body` a leased secret.
    pub secret: Option<Lease>,
    /// A successful login.
    pub login: Option<Login>,
    /// Shown to the person who made the request.
    pub warnings: Vec<String>,
    /// Response headers; the mount's `allowed_response_headers` names those that are passed on.
    pub headers: Vec<(String, String)>,
}

impl Response {
    /// Has nothing to say: 204 for a write, 404 for a read or a list.
    pub fn none() -> Self {
        Self::default()
    }

    /// Answers with data that serialises to a JSON object. Anything else is [`Error::Internal`]: clients of Vault find
    /// nothing but an object under `data`.
    pub fn json(data: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(data)?;
        if bytes.first() != Some(&b'{') {
            return Err(Error::Internal("answer is not a JSON object".into()));
        }
        Ok(Self::with_body(Body::Data(bytes)))
    }

    /// Answers a list in Vault's shape, `{"keys": [...]}`. Without keys there is nothing to say, which is a 404.
    pub fn list(keys: Vec<String>) -> Self {
        if keys.is_empty() {
            return Self::none();
        }
        Self::with_body(Body::Data(json!({ "keys": keys }).to_string().into_bytes()))
    }

    /// Answers with something that is not JSON, under an HTTP status from 200 to 599.
    pub fn raw(status: u16, content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::with_body(Body::Raw(Raw { status, content_type: content_type.into(), body: body.into() }))
    }

    /// Sends the client elsewhere, with HTTP 307.
    pub fn redirect(address: impl Into<String>) -> Self {
        Self::with_body(Body::Redirect(address.into()))
    }

    /// Lets a caller in. Only an auth plugin may answer so, on an unauthenticated path or to a renewal.
    pub fn login(login: Login) -> Self {
        Self { login: Some(login), ..Self::default() }
    }

    /// Makes the answer a leased secret.
    pub fn with_lease(mut self, lease: Lease) -> Self {
        self.secret = Some(lease);
        self
    }

    /// Adds a warning for the person who made the request.
    pub fn with_warning(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }

    /// Adds a response header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Reads the answer's data back, which is what tests need. An answer without any has `null`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let json: &[u8] = if let Body::Data(json) = &self.body { json } else { b"null" };
        decode::from_slice(json).map_err(|problem| Error::Internal(problem.to_string()))
    }

    fn with_body(body: Body) -> Self {
        Self { body, ..Self::default() }
    }
}

/// What the client gets.
#[derive(Clone, Default, PartialEq)]
pub enum Body {
    /// Nothing: 204 for a write, 404 for a read.
    #[default]
    None,
    /// A JSON object, under `data`.
    Data(Vec<u8>),
    /// Bytes as they are.
    Raw(Raw),
    /// HTTP 307 to this address.
    Redirect(String),
}

/// Answers are where secrets are, so only their kinds and sizes are shown.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Data(json) => write!(f, "Data({} bytes)", json.len()),
            Self::Raw(raw) => write!(f, "Raw({}, {} bytes)", raw.status, raw.body.len()),
            Self::Redirect(_) => f.write_str("Redirect"),
        }
    }
}

/// An answer that is not JSON.
#[derive(Clone, PartialEq)]
pub struct Raw {
    /// An HTTP status from 200 to 599.
    pub status: u16,
    /// The `Content-Type` header.
    pub content_type: String,
    /// The bytes.
    pub body: Vec<u8>,
}

// --- Lease ---

/// How long what was given out stays valid. The default is the mount's TTLs, not renewable, and nothing internal.
#[derive(Clone, Default, PartialEq)]
pub struct Lease {
    /// Zero means the mount's default.
    pub ttl: Duration,
    /// Zero means the mount's maximum.
    pub max_ttl: Duration,
    /// Whether a client may ask for more time.
    pub renewal: Renewal,
    /// Comes back with renew and revoke. It is kept by the host and shown to nobody.
    pub internal: Value,
}

impl Lease {
    /// Makes a lease that can be renewed and that remembers `internal` for its renewal and revocation.
    pub fn renewable(ttl: Duration, internal: Value) -> Self {
        Self { ttl, renewal: Renewal::Allowed, internal, ..Self::default() }
    }
}

/// What is internal stays so.
impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Lease")
            .field("ttl", &self.ttl)
            .field("max_ttl", &self.max_ttl)
            .field("renewal", &self.renewal)
            .finish_non_exhaustive()
    }
}

/// Whether a lease can be extended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Renewal {
    /// It ends when its TTL does.
    #[default]
    Refused,
    /// A client may ask for more time, up to the maximum.
    Allowed,
}

/// A successful login. The defaults are no policies but the default one, and a token without limit on its use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Login {
    /// The token's policies.
    pub policies: Vec<String>,
    /// The token's display name.
    pub display_name: String,
    /// Kept with the token, and shown.
    pub metadata: Vec<(String, String)>,
    /// How long the token lives.
    pub lease: Lease,
    /// The name by which this caller is known to the auth method.
    pub alias: Option<String>,
    /// The entity that the token belongs to, if the plugin knows it.
    pub entity: Option<String>,
    /// How often the token may be used; 0 means without limit.
    pub num_uses: u32,
    /// A token with a period is renewed without a maximum.
    pub period: Duration,
    /// Whether the token gets the policy `default` too.
    pub default_policy: DefaultPolicy,
}

/// Whether a token gets the policy `default` beside those that the plugin names.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DefaultPolicy {
    /// It does.
    #[default]
    Added,
    /// It does not.
    LeftOut,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_is_data() {
        assert_eq!(Response::json(&json!({"a": 1})).unwrap().data::<Value>(), Ok(json!({"a": 1})));
        assert_eq!(Response::json(&[1]).unwrap_err(), Error::Internal("answer is not a JSON object".into()));
        assert!(matches!(Response::json("text"), Err(Error::Internal(_))));
    }

    #[test]
    fn a_list_has_vaults_shape_and_an_empty_one_says_nothing() {
        let keys = vec!["a".to_string(), "b/".to_string()];
        assert_eq!(Response::list(keys).data::<Value>(), Ok(json!({"keys": ["a", "b/"]})));
        assert_eq!(Response::list(Vec::new()), Response::none());
    }

    #[test]
    fn debug_shows_no_secret() {
        let lease = Lease::renewable(Duration::from_secs(60), json!("hunter2"));
        let response = Response::json(&json!({"password": "hunter2"})).unwrap().with_lease(lease);
        assert!(!format!("{response:?}").contains("hunter2"));
    }
}
