//! Pins: the one version that all mounts of a plugin are started with, whatever each asks for.

use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::{Catalog, ChangeError};
use crate::ident::{PluginKind, PluginName, PluginVersion};
use crate::plugin::PluginKey;
use crate::storage::{Batch, StorageError, load_records, store_record};

/// Where the pins lie: `core/pins/<kind>/<name>`.
const PINS: &str = "core/pins/";

/// A plugin that is pinned, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Auth method or secrets engine.
    pub kind: PluginKind,
    /// The plugin's name in the catalog.
    pub name: PluginName,
    /// The version that its mounts are started with.
    pub version: PluginVersion,
}

impl Catalog {
    /// Reads the pins. One that is damaged is left out and logged: its plugin's mounts get what each asks for.
    pub(super) async fn load_pins(&self) -> Result<(), StorageError> {
        for (key, pin) in load_records::<Pin>(&*self.storage, PINS).await? {
            match pin {
                Ok(pin) => self.publish_pin(pin),
                Err(error) => {
                    tracing::error!(key, %error, "a pin cannot be read and does not hold; pin the plugin again")
                }
            }
        }
        Ok(())
    }

    /// Pins a plugin to a version that is in the catalog, in place of another.
    pub(crate) async fn pin(&self, pin: Pin) -> Result<(), ChangeError> {
        let _change = self.change.lock().await;
        let key = PluginKey::new(pin.kind, pin.name.clone(), Some(pin.version.clone()));
        if pin.version.is_builtin() {
            return Err(ChangeError::Builtin(key));
        }
        if self.get(&key).is_none() {
            return Err(ChangeError::Absent(key));
        }
        self.control.commit(store_record(Batch::default(), &storage_key(pin.kind, &pin.name), &pin)?).await?;
        self.publish_pin(pin);
        Ok(())
    }

    /// Removes a pin. Nothing happens if there is none.
    pub(crate) async fn unpin(&self, kind: PluginKind, name: &PluginName) -> Result<(), StorageError> {
        let _change = self.change.lock().await;
        self.control.commit(Batch::default().delete(storage_key(kind, name))).await?;
        self.pins.write().unwrap_or_else(PoisonError::into_inner).remove(&(kind, name.clone()));
        Ok(())
    }

    /// Returns the version that a plugin is pinned to.
    pub(crate) fn pinned(&self, kind: PluginKind, name: &PluginName) -> Option<PluginVersion> {
        self.pins.read().unwrap_or_else(PoisonError::into_inner).get(&(kind, name.clone())).cloned()
    }

    /// Returns all pins, sorted by kind and name.
    pub(crate) fn pins(&self) -> Vec<Pin> {
        let pins = self.pins.read().unwrap_or_else(PoisonError::into_inner);
        let pin = |((kind, name), version): (&(PluginKind, PluginName), &PluginVersion)| Pin {
            kind: *kind,
            name: name.clone(),
            version: version.clone(),
        };
        pins.iter().map(pin).collect()
    }

    fn publish_pin(&self, Pin { kind, name, version }: Pin) {
        self.pins.write().unwrap_or_else(PoisonError::into_inner).insert((kind, name), version);
    }
}

fn storage_key(kind: PluginKind, name: &PluginName) -> String {
    format!("{PINS}{kind}/{name}")
}
