//! What is asked of a plugin.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Error;
use crate::decode;

/// One request. The rarer parts (who calls, headers) are asked of the [`Context`](crate::Context).
#[derive(Clone, PartialEq)]
pub struct Request {
    /// The request's id, as in the host's answer and log.
    pub id: String,
    /// What is asked of the path.
    pub operation: Operation,
    /// The path below the mount, without a leading slash.
    pub path: String,
    /// The request's body or query parameters as a JSON object; empty when there were none. See [`data`](Self::data).
    pub raw_data: Vec<u8>,
    /// For renew and revoke: what the plugin stored in the lease as `internal`. See [`lease`](Self::lease).
    pub raw_lease: Option<Vec<u8>>,
}

impl Request {
    /// Makes a request without data, which is what tests need.
    pub fn new(operation: Operation, path: impl Into<String>) -> Self {
        Self { id: String::new(), operation, path: path.into(), raw_data: Vec::new(), raw_lease: None }
    }

    /// Adds data to a request; `data` serialises to a JSON object.
    pub fn with_data(mut self, data: &impl Serialize) -> Result<Self, Error> {
        self.raw_data = serde_json::to_vec(data)?;
        Ok(self)
    }

    /// Adds a lease's internal data to a request to renew or revoke.
    pub fn with_lease(mut self, internal: &impl Serialize) -> Result<Self, Error> {
        self.raw_lease = Some(serde_json::to_vec(internal)?);
        Ok(self)
    }

    /// Reads the request's data. A request without any has `{}`; one that does not fit `T` is
    /// [`Error::InvalidRequest`], which names the field.
    ///
    /// The command line sends every `key=value` as a string. Fields that are declared in a [`Route`](crate::Route) are
    /// converted before a handler reads them with [`Call::field`](crate::Call::field).
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let json: &[u8] = if self.raw_data.is_empty() { b"{}" } else { &self.raw_data };
        decode::from_slice(json).map_err(|problem| Error::InvalidRequest(problem.to_string()))
    }

    /// Reads what the plugin put into the lease that is to be renewed or revoked.
    pub fn lease<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let internal = self.raw_lease.as_deref().filter(|internal| !internal.is_empty());
        let internal = internal.ok_or_else(|| Error::InvalidRequest("request holds no lease".into()))?;
        decode::from_slice(internal)
            .map_err(|problem| Error::Internal(format!("lease is not what was expected: {problem}")))
    }

    pub(crate) fn object(&self) -> Result<Map<String, Value>, Error> {
        self.data()
    }
}

/// Data and lease may hold secrets, so only their sizes are shown.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("operation", &self.operation)
            .field("path", &self.path)
            .field("data_bytes", &self.raw_data.len())
            .field("lease_bytes", &self.raw_lease.as_ref().map(Vec::len))
            .finish()
    }
}

/// What is asked of a path. Most plugins answer read, create or update, delete, and list.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Operation {
    /// A write to a path of which [`Plugin::exists`](crate::Plugin::exists) says that it is absent.
    Create,
    /// HTTP GET.
    Read,
    /// HTTP POST or PUT to a path that exists, or to one where the plugin does not tell.
    Update,
    /// HTTP PATCH: the data is an RFC 7396 merge patch.
    Patch,
    /// HTTP DELETE.
    Delete,
    /// HTTP LIST. The path is empty or ends in `/`.
    List,
    /// `path-help`.
    Help,
    /// Extends a lease that this plugin gave out.
    Renew,
    /// Ends a lease that this plugin gave out.
    Revoke,
    /// Once a minute, and before the mount goes: undo what was left half done.
    Rollback,
    /// Which alias would this login have? Nothing may be changed.
    AliasLookahead,
    /// Which role would this login have? Nothing may be changed.
    ResolveRole,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_missing_body_is_an_empty_object() {
        assert_eq!(Request::new(Operation::Read, "a").data::<Value>(), Ok(json!({})));
    }

    #[test]
    fn bad_data_is_the_clients_fault_and_a_bad_lease_ours() {
        let request = Request::new(Operation::Update, "a").with_data(&json!([1])).unwrap();
        assert_eq!(request.object().unwrap_err(), Error::InvalidRequest("expected a map, found list".into()));
        let request = Request::new(Operation::Revoke, "a").with_lease(&json!({"id": 1})).unwrap();
        assert!(matches!(request.lease::<String>(), Err(Error::Internal(_))));
        assert_eq!(request.lease::<Value>(), Ok(json!({"id": 1})));
        assert!(matches!(Request::new(Operation::Revoke, "a").lease::<Value>(), Err(Error::InvalidRequest(_))));
    }

    #[test]
    fn debug_shows_no_data() {
        let request = Request::new(Operation::Update, "a").with_data(&json!({"password": "hunter2"})).unwrap();
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
