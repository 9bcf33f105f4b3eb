//! What a handler is called with.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Request, decode};

/// One request on a route, its fields checked and converted as they were declared.
pub struct Call<'a> {
    request: &'a Request,
    fields: Map<String, Value>,
}

impl<'a> Call<'a> {
    pub(super) fn new(request: &'a Request, fields: Map<String, Value>) -> Self {
        Self { request, fields }
    }

    /// Returns the request as it came.
    pub fn request(&self) -> &Request {
        self.request
    }

    /// Reads one field. One that is absent is `None` for an `Option`, and [`Error::InvalidRequest`] for anything else.
    pub fn field<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let value = self.fields.get(name).unwrap_or(&Value::Null);
        decode::from_field(name, value).map_err(|problem| Error::InvalidRequest(problem.to_string()))
    }

    /// Reads all fields into a type of the plugin's own.
    pub fn fields<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode::from_map(&self.fields).map_err(|problem| Error::InvalidRequest(problem.to_string()))
    }
}
