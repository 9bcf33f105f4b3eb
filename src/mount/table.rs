//! The mount table: what is mounted where, and what is stored of each mount, one record each.

use std::sync::Arc;

use super::routes::Routes;
use super::{Mount, MountRecord, MountStorage};
use crate::ident::{MountUuid, PluginKind};
use crate::storage::{Batch, Control, Storage, StorageError, load_records, store_record};

/// Where the records lie: `core/mounts/<uuid>`.
const RECORDS: &str = "core/mounts/";

/// Where intents to wipe a mount's storage lie: `core/wipes/<uuid>` for a secrets engine, `core/wipes/auth/<uuid>` for
/// an auth method. The kind stands in the key, so that a host that knows secrets engines only leaves an auth method's
/// intent alone.
const WIPES: &str = "core/wipes/";

/// What follows there for an auth method.
const AUTH: &str = "auth/";

/// Intents read at a time when the host starts.
const WIPES_PAGE: usize = 1_000;

/// The mounts of a host, and their records in storage.
///
/// Storing and publishing are separate on purpose: a change is stored first, and then what was stored is published.
pub(crate) struct MountTable {
    storage: Arc<dyn Storage>,
    control: Arc<Control>,
    /// What requests find.
    pub(crate) routes: Routes<Mount>,
}

impl MountTable {
    pub(crate) fn new(storage: Arc<dyn Storage>, control: Arc<Control>) -> Self {
        Self { storage, control, routes: Routes::default() }
    }

    /// Reads the stored mounts. One that is damaged is left out and logged; the others go on.
    pub(crate) async fn load_records(&self) -> Result<Vec<MountRecord>, StorageError> {
        let mut records = Vec::new();
        for (key, record) in load_records::<MountRecord>(&*self.storage, RECORDS).await? {
            match record {
                Ok(record) => records.push(record),
                Err(error) => tracing::error!(key, %error, "a mount's record cannot be read; the mount is left out"),
            }
        }
        Ok(records)
    }

    /// Announces that a mount is being made: until its record is stored, what it stores is to be wiped.
    pub(crate) async fn store_intent(&self, storage: MountStorage) -> Result<(), StorageError> {
        self.control.commit(Batch::default().put(wipe_key(storage), Vec::new())).await
    }

    /// Stores a new mount and withdraws the intent to wipe: from here on it exists.
    pub(crate) async fn store_new(&self, record: &MountRecord) -> Result<(), StorageError> {
        let batch = store_record(Batch::default(), &record_key(record.uuid), record)?;
        self.control.commit(batch.delete(wipe_key(record.storage()))).await
    }

    /// Stores a mount's changed record.
    pub(crate) async fn store_changed(&self, record: &MountRecord) -> Result<(), StorageError> {
        self.control.commit(store_record(Batch::default(), &record_key(record.uuid), record)?).await
    }

    /// Removes a mount and announces that its storage is to be wiped: from here on it does not exist.
    pub(crate) async fn store_removed(&self, storage: MountStorage) -> Result<(), StorageError> {
        let batch = Batch::default().delete(record_key(storage.uuid)).put(wipe_key(storage), Vec::new());
        self.control.commit(batch).await
    }

    /// Withdraws an intent that was carried out.
    pub(crate) async fn store_wiped(&self, storage: MountStorage) -> Result<(), StorageError> {
        self.control.commit(Batch::default().delete(wipe_key(storage))).await
    }

    /// Returns what is still to be wiped, some at a time.
    pub(crate) async fn pending_wipes(&self) -> Result<Vec<MountStorage>, StorageError> {
        let keys = self.storage.keys(WIPES, WIPES_PAGE).await?;
        Ok(keys.iter().filter_map(|key| to_wipe(key)).collect())
    }

    /// Returns where the storage of each mount lies that is recorded, readable or not, or that is to be wiped.
    pub(crate) async fn places(storage: &dyn Storage) -> Result<Vec<String>, StorageError> {
        let mut places = Vec::new();
        for key in storage.keys(RECORDS, usize::MAX).await? {
            let Some(uuid) = key.strip_prefix(RECORDS).and_then(|uuid| uuid.parse().ok()) else { continue };
            // A record that cannot be read does not say of which kind its mount is.
            places.extend(PluginKind::ALL.map(|kind| MountStorage { kind, uuid }.to_string()));
        }
        let wipes = storage.keys(WIPES, usize::MAX).await?;
        places.extend(wipes.iter().filter_map(|key| to_wipe(key)).map(|storage| storage.to_string()));
        Ok(places)
    }
}

fn record_key(uuid: MountUuid) -> String {
    format!("{RECORDS}{uuid}")
}

fn wipe_key(MountStorage { kind, uuid }: MountStorage) -> String {
    match kind {
        PluginKind::Auth => format!("{WIPES}{AUTH}{uuid}"),
        PluginKind::Secret => format!("{WIPES}{uuid}"),
    }
}

/// Returns what an intent's key says is to be wiped.
fn to_wipe(key: &str) -> Option<MountStorage> {
    let named = key.strip_prefix(WIPES)?;
    let (kind, uuid) = match named.strip_prefix(AUTH) {
        Some(uuid) => (PluginKind::Auth, uuid),
        None => (PluginKind::Secret, named),
    };
    Some(MountStorage { kind, uuid: uuid.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_names_what_it_is_to_wipe() {
        let uuid: MountUuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8".parse().unwrap();
        for (kind, key, prefix) in [
            (PluginKind::Secret, format!("core/wipes/{uuid}"), format!("logical/{uuid}/")),
            (PluginKind::Auth, format!("core/wipes/auth/{uuid}"), format!("auth/{uuid}/")),
        ] {
            let storage = MountStorage { kind, uuid };
            assert_eq!((wipe_key(storage), storage.to_string()), (key.clone(), prefix));
            assert_eq!(to_wipe(&key), Some(storage));
        }
        for unknown in ["core/wipes/auth/", "core/wipes/x", "core/wipes/later/6ba7b810-9dad-11d1-80b4-00c04fd430c8"] {
            assert_eq!(to_wipe(unknown), None, "{unknown}");
        }
    }
}
