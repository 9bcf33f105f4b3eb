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
use crate::plugin::PluginKey;
use crate::storage::{Batch, Control, Storage, StorageError, load_records, store_record};

use builtin::Builtins;
pub use builtin::DeprecationStatus;
pub use pins::Pin;
pub(crate) use record::{Origin, PluginRecord};
pub(crate) use selection::SelectError;

/// Where the records lie: `core/catalog/<kind>/<name>@<version>`, the version empty for the unversioned plugin. A name
/// cannot hold an `@`.
const RECORDS: &str = "core/catalog/";

/// Why the catalog was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no such entry to pin.
    #[error("{0} does not exist")]
    Absent(PluginKey),
    /// The entry is built in, and its version goes with the server's.
    #[error("cannot pin a builtin plugin: {0}")]
    Builtin(PluginKey),
    /// The entry is pinned, and so may not go.
    #[error("cannot delete a pinned version: {0} is pinned; remove the pin first")]
    Pinned(PluginKey),
    /// The entry came from the configuration, and whoever asks did not.
    #[error("{0} is declared in the server's configuration; change it there")]
    Declared(PluginKey),
    /// The entry was registered by somebody, and the configuration is not to take it over.
    #[error("{0} is registered already, and not by the configuration; deregister it first")]
    Registered(PluginKey),
}

/// The registered plugins.
pub(crate) struct Catalog {
    storage: Arc<dyn Storage>,
    control: Arc<Control>,
    records: RwLock<BTreeMap<PluginKey, Arc<PluginRecord>>>,
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
                    records.insert(record.key.clone(), Arc::new(record));
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
        let batch = store_record(Batch::default(), &storage_key(&record.key), &record)?;
        let _change = self.change.lock().await;
        self.check_origin(&record.key, record.origin)?;
        self.control.commit(batch).await?;
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        records.insert(record.key.clone(), Arc::new(record));
        Ok(())
    }

    /// Refuses to change what came from elsewhere. Whoever calls alone holds the turn to change, or asks ahead of much
    /// work.
    pub(crate) fn check_origin(&self, key: &PluginKey, origin: Origin) -> Result<(), ChangeError> {
        let there = self.get(key).map(|record| record.origin);
        match (there, origin) {
            (Some(Origin::Configuration), Origin::Request) => Err(ChangeError::Declared(key.clone())),
            (Some(Origin::Request), Origin::Configuration) => Err(ChangeError::Registered(key.clone())),
            _ => Ok(()),
        }
    }

    /// Removes a record that has this origin. Nothing happens if there is none.
    pub(crate) async fn remove(&self, key: &PluginKey, origin: Origin) -> Result<(), ChangeError> {
        let _change = self.change.lock().await;
        self.check_origin(key, origin)?;
        if key.version.is_some() && self.pinned(key.kind, &key.name) == key.version {
            return Err(ChangeError::Pinned(key.clone()));
        }
        self.control.commit(Batch::default().delete(storage_key(key))).await?;
        self.records.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }

    /// Returns the record with exactly this key. Without a version that is the unversioned plugin, else the built-in
    /// one.
    pub(crate) fn get(&self, key: &PluginKey) -> Option<Arc<PluginRecord>> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records.get(key).or_else(|| self.builtins.get(key)).cloned()
    }

    /// Returns the versions that are registered under a name, in ascending order. The unversioned plugin is none of
    /// them.
    pub(crate) fn versions(&self, kind: PluginKind, name: &PluginName) -> Vec<PluginVersion> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        named(&records, kind, name).filter_map(|record| record.key.version.clone()).collect()
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
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all
    }
}

/// Returns all records of a name, the unversioned one first and the newest last.
fn named<'a>(
    records: &'a BTreeMap<PluginKey, Arc<PluginRecord>>,
    kind: PluginKind,
    name: &PluginName,
) -> impl Iterator<Item = &'a Arc<PluginRecord>> {
    let from = records.range(PluginKey::new(kind, name.clone(), None)..);
    from.take_while(move |(key, _)| key.kind == kind && key.name == *name).map(|(_, record)| record)
}

fn storage_key(PluginKey { kind, name, version }: &PluginKey) -> String {
    let version = version.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{RECORDS}{kind}/{name}@{version}")
}

/// Loads the catalog of a storage that is taken over for it.
#[cfg(test)]
pub(crate) async fn load(storage: Arc<dyn Storage>) -> Catalog {
    let control = Arc::new(Control::take_over(Arc::clone(&storage)).await.unwrap());
    Catalog::load(storage, control).await.unwrap()
}
