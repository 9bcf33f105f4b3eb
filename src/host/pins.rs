//! The pins' operations: list, pin, unpin.

use super::{Error, Host, Pin};
use crate::ident::{PluginKind, PluginName, PluginVersion};

impl Host {
    /// Returns the pins, sorted by type and name.
    pub fn pins(&self) -> Vec<Pin> {
        self.inner.catalog.pins()
    }

    /// Returns the version that a plugin is pinned to.
    pub fn pinned_version(&self, kind: PluginKind, name: &PluginName) -> Option<PluginVersion> {
        self.inner.catalog.pinned(kind, name)
    }

    /// Pins a plugin: from its next start or reload on, every mount of it runs this version, whatever it asks for. What
    /// runs goes on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](super::ErrorKind::InvalidRequest) for a version that is not in the catalog or is
    /// built in, [`ErrorKind::Storage`](super::ErrorKind::Storage).
    pub async fn pin_plugin(&self, pin: Pin) -> Result<(), Error> {
        self.conduct(|inner| async move { Ok(inner.catalog.pin(pin).await?) }).await
    }

    /// Removes a pin: from its next start or reload on, every mount of the plugin runs what it asks for. Not an error
    /// when there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`](super::ErrorKind::Storage).
    pub async fn unpin_plugin(&self, kind: PluginKind, name: &PluginName) -> Result<(), Error> {
        let name = name.clone();
        self.conduct(move |inner| async move { Ok(inner.catalog.unpin(kind, &name).await?) }).await
    }
}
