//! What native plugins from before automatic mutual TLS fetch over the API: their certificate.

use bytes::Bytes;

use super::{Error, ErrorKind, Host};

impl Host {
    /// Returns what a wrapping token stands for, a JSON object, and forgets it: the token is all that is asked for, and
    /// is good once.
    ///
    /// Vault's API has it at `sys/wrapping/unwrap`. An embedder with an API of its own answers there, below the address
    /// in [`NativePlugins::api_address`](crate::NativePlugins::api_address), for native plugins from before automatic
    /// mutual TLS.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] for a token that is not this host's, is too old, or was redeemed.
    pub fn unwrap(&self, token: &str) -> Result<Bytes, Error> {
        let data = self.inner.wrapping.unwrap(token);
        let data = data.and_then(|data| serde_json::to_vec(&data).ok()).map(Bytes::from);
        data.ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "wrapping token is not valid or does not exist"))
    }
}

#[cfg(test)]
impl Host {
    /// Wraps some data for a minute, as the launch of a plugin does.
    pub(crate) fn wrap(&self, data: serde_json::Map<String, serde_json::Value>) -> String {
        let minute = std::time::Duration::from_secs(60);
        self.inner.wrapping.wrap(data, "http://127.0.0.1:8200", minute).expect("a new host has no token outstanding")
    }
}
