//! WHAT MAY RUN: the records of registered plugins, which of them are pinned, and which of them a mount gets.
//!
//! The catalog starts nothing, opens no file and knows no engine. A change is one transaction in storage first and in
//! memory after it.

mod builtin;
mod pins;
mod record;
mod selection;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::ident::{PluginKind, PluginName, PluginVersion};
use crate::storage::{Batch, Control, Storage, StorageError, load_records, store_record};

use builtin::Builtins;
pub use builtin::DeprecationStatus;
pub use pins::Pin;
pub use record::{InstanceLimits, InstancePolicy, RuntimeKind};
pub(crate) use record::{Origin, PluginRecord};
pub(crate) use selection::SelectError;

/// Where the records lie: `core/catalog/<kind>/<name>@<version>`, the version empty for the unversioned plugin. A name
/// cannot hold an `@`.
const RECORDS: &str = "core/catalog/";

/// Kind, name and version: what identifies a plugin.
type Key = (PluginKind, PluginName, Option<PluginVersion>);

/// Why the catalog was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no such entry to pin.
    #[error("{0} does not exist")]
    Absent(String),
    /// The entry is built in, and its version goes with the server's.
    #[error("cannot pin a builtin plugin: {0}")]
    Builtin(String),
    /// The entry is pinned, and so may not go.
    #[error("cannot delete a pinned version: {0} is pinned; remove the pin first")]
    Pinned(String),
    /// The entry came from the configuration, and whoever asks did not.
    #[error("{0} is declared in the server's configuration; change it there")]
    Declared(String),
    /// The entry was registered by somebody, and the configuration is not to take it over.
    #[error("{0} is registered already, and not by the configuration; deregister it first")]
    Registered(String),
}

/// The registered plugins.
pub(crate) struct Catalog {
    storage: Arc<dyn Storage>,
    control: Arc<Control>,
    records: RwLock<BTreeMap<Key, Arc<PluginRecord>>>,
    builtins: Builtins,
    pins: RwLock<BTreeMap<(PluginKind, PluginName), PluginVersion>>,
    /// Held while a change is stored and then published, so that memory and storage see changes in the same order.
    change: tokio::sync::Mutex<()>,
}

impl Catalog {
    /// Reads the catalog. A record that is damaged is left out and logged: its mounts are disabled, the others go on.
    pub(crate) async fn load(storage: Arc<dyn Storage>, control: Arc<Control>) -> Result<Self, StorageError> {
        let mut records = BTreeMap::new();
        for (key, record) in load_records::<PluginRecord>(&*storage, RECORDS).await? {
            match record {
                Ok(record) => {
                    records.insert(key_of(&record), Arc::new(record));
                }
                Err(error) => tracing::error!(key, %error, "a catalog entry cannot be read; register the plugin again"),
            }
        }
        let catalog = Self {
            storage,
            control,
            records: RwLock::new(records),
            builtins: Builtins::default(),
            pins: RwLock::default(),
            change: tokio::sync::Mutex::default(),
        };
        catalog.load_pins().await?;
        Ok(catalog)
    }

    /// Stores a record in place of the one with the same kind, name, version and origin. One of the other origin stays.
    pub(crate) async fn put(&self, record: PluginRecord) -> Result<(), ChangeError> {
        let batch = store_record(Batch::default(), &storage_key(&key_of(&record)), &record)?;
        let _change = self.change.lock().await;
        self.check_origin(record.kind, &record.name, record.version.as_ref(), record.origin)?;
        self.control.commit(batch).await?;
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        records.insert(key_of(&record), Arc::new(record));
        Ok(())
    }

    /// Refuses to change what came from elsewhere. Whoever calls alone holds the turn to change, or asks ahead of much
    /// work.
    pub(crate) fn check_origin(
        &self,
        kind: PluginKind,
        name: &PluginName,
        version: Option<&PluginVersion>,
        origin: Origin,
    ) -> Result<(), ChangeError> {
        let there = self.get(kind, name, version).map(|record| record.origin);
        match (there, origin) {
            (Some(Origin::Configuration), Origin::Request) => {
                Err(ChangeError::Declared(described(kind, name, version)))
            }
            (Some(Origin::Request), Origin::Configuration) => {
                Err(ChangeError::Registered(described(kind, name, version)))
            }
            _ => Ok(()),
        }
    }

    /// Removes a record that has this origin. Nothing happens if there is none.
    pub(crate) async fn remove(
        &self,
        kind: PluginKind,
        name: &PluginName,
        version: Option<&PluginVersion>,
        origin: Origin,
    ) -> Result<(), ChangeError> {
        let key = (kind, name.clone(), version.cloned());
        let _change = self.change.lock().await;
        self.check_origin(kind, name, version, origin)?;
        if version.is_some() && self.pinned(kind, name).as_ref() == version {
            return Err(ChangeError::Pinned(described(kind, name, version)));
        }
        self.control.commit(Batch::default().delete(storage_key(&key))).await?;
        self.records.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Ok(())
    }

    /// Returns the record with exactly this version. `None` is the unversioned plugin, else the built-in one.
    pub(crate) fn get(
        &self,
        kind: PluginKind,
        name: &PluginName,
        version: Option<&PluginVersion>,
    ) -> Option<Arc<PluginRecord>> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        let record = records.get(&(kind, name.clone(), version.cloned()));
        record.or_else(|| self.builtins.get(kind, name, version)).cloned()
    }

    /// Returns the versions that are registered under a name, in ascending order. The unversioned plugin is none of
    /// them.
    pub(crate) fn versions(&self, kind: PluginKind, name: &PluginName) -> Vec<PluginVersion> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        named(&records, kind, name).filter_map(|record| record.version.clone()).collect()
    }

    /// Returns whether there is any entry under a name; `kind` `None` means of either type.
    pub(crate) fn knows(&self, kind: Option<PluginKind>, name: &PluginName) -> bool {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        let mut kinds = PluginKind::ALL.into_iter().filter(|each| kind.is_none_or(|kind| kind == *each));
        kinds.any(|kind| named(&records, kind, name).next().is_some() || self.builtins.find(kind, name).is_some())
    }

    /// Returns all records, sorted by kind, name and version, without the built-in plugins that are overridden.
    pub(crate) fn all(&self) -> Vec<Arc<PluginRecord>> {
        let mut all = self.listed_builtins();
        all.extend(self.records.read().unwrap_or_else(PoisonError::into_inner).values().cloned());
        all.sort_by_cached_key(|record| key_of(record));
        all
    }
}

/// Returns how messages name an entry.
pub(crate) fn described(kind: PluginKind, name: &PluginName, version: Option<&PluginVersion>) -> String {
    let version = version.map(|version| format!(" version {version}")).unwrap_or_default();
    format!("{kind} plugin {:?}{version}", name.as_str())
}

/// Returns all records of a name, the unversioned one first and the newest last.
fn named<'a>(
    records: &'a BTreeMap<Key, Arc<PluginRecord>>,
    kind: PluginKind,
    name: &PluginName,
) -> impl Iterator<Item = &'a Arc<PluginRecord>> {
    let from = records.range((kind, name.clone(), None)..);
    from.map(|(_, record)| record).take_while(move |record| record.kind == kind && record.name == *name)
}

fn key_of(record: &PluginRecord) -> Key {
    (record.kind, record.name.clone(), record.version.clone())
}

fn storage_key((kind, name, version): &Key) -> String {
    let version = version.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{RECORDS}{kind}/{name}@{version}")
}

/// Loads the catalog of a storage that is taken over for it.
#[cfg(test)]
pub(crate) async fn load(storage: Arc<dyn Storage>) -> Catalog {
    let control = Arc::new(Control::take_over(Arc::clone(&storage)).await.unwrap());
    Catalog::load(storage, control).await.unwrap()
}
