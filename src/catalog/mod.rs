//! WHAT MAY RUN: the records of registered plugins, and which of them a mount gets.
//!
//! The catalog starts nothing, opens no file and knows no engine. A change is one transaction in storage first and in memory
//! after it.

mod record;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::ident::{PluginKind, PluginName, PluginVersion};
use crate::storage::{Batch, Storage, StorageError, load_records, store_record};

pub(crate) use record::PluginRecord;
pub use record::{InstanceLimits, InstancePolicy, RuntimeKind};

/// Where the records lie: `core/catalog/<kind>/<name>@<version>`, the version empty for the unversioned plugin. A name cannot
/// hold an `@`.
const RECORDS: &str = "core/catalog/";

/// Kind, name and version: what identifies a plugin.
type Key = (PluginKind, PluginName, Option<PluginVersion>);

/// The registered plugins.
pub(crate) struct Catalog {
    storage: Arc<dyn Storage>,
    records: RwLock<BTreeMap<Key, Arc<PluginRecord>>>,
    /// Held while a change is stored and then published, so that memory and storage see changes in the same order.
    change: tokio::sync::Mutex<()>,
}

impl Catalog {
    /// Reads the catalog. A record that is damaged is left out and logged: its mounts are disabled, the others go on.
    pub(crate) async fn load(storage: Arc<dyn Storage>) -> Result<Self, StorageError> {
        let mut records = BTreeMap::new();
        for (key, record) in load_records::<PluginRecord>(&*storage, RECORDS).await? {
            match record {
                Ok(record) => {
                    records.insert(key_of(&record), Arc::new(record));
                }
                Err(error) => tracing::error!(key, %error, "a catalog entry cannot be read; register the plugin again"),
            }
        }
        Ok(Self { storage, records: RwLock::new(records), change: tokio::sync::Mutex::default() })
    }

    /// Stores a record in place of the one with the same kind, name and version.
    pub(crate) async fn put(&self, record: PluginRecord) -> Result<(), StorageError> {
        let batch = store_record(Batch::default(), &storage_key(&key_of(&record)), &record)?;
        let _change = self.change.lock().await;
        self.storage.commit(batch).await?;
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        records.insert(key_of(&record), Arc::new(record));
        Ok(())
    }

    /// Removes a record. Nothing happens if there is none.
    pub(crate) async fn remove(
        &self,
        kind: PluginKind,
        name: &PluginName,
        version: Option<&PluginVersion>,
    ) -> Result<(), StorageError> {
        let key = (kind, name.clone(), version.cloned());
        let _change = self.change.lock().await;
        self.storage.commit(Batch::default().delete(storage_key(&key))).await?;
        self.records.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Ok(())
    }

    /// Returns the record with exactly this version.
    pub(crate) fn get(
        &self,
        kind: PluginKind,
        name: &PluginName,
        version: Option<&PluginVersion>,
    ) -> Option<Arc<PluginRecord>> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records.get(&(kind, name.clone(), version.cloned())).cloned()
    }

    /// Returns the record that a mount gets which asks for no version: the unversioned one, else the newest.
    pub(crate) fn select(&self, kind: PluginKind, name: &PluginName) -> Option<Arc<PluginRecord>> {
        if let Some(unversioned) = self.get(kind, name, None) {
            return Some(unversioned);
        }
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        named(&records, kind, name).last().map(Arc::clone)
    }

    /// Returns the versions that are registered under a name, in ascending order. The unversioned plugin is none of them.
    pub(crate) fn versions(&self, kind: PluginKind, name: &PluginName) -> Vec<PluginVersion> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        named(&records, kind, name).filter_map(|record| record.version.clone()).collect()
    }

    /// Returns whether there is any entry under a name; `kind` `None` means of either type.
    pub(crate) fn knows(&self, kind: Option<PluginKind>, name: &PluginName) -> bool {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        let mut kinds = PluginKind::ALL.into_iter().filter(|each| kind.is_none_or(|kind| kind == *each));
        kinds.any(|kind| named(&records, kind, name).next().is_some())
    }

    /// Returns all records, sorted by kind, name and version.
    pub(crate) fn all(&self) -> Vec<Arc<PluginRecord>> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records.values().cloned().collect()
    }
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
