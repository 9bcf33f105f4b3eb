//! Control records: what the host itself remembers, as JSON inside the envelope.
//!
//! A reason for damage never quotes the record, which may hold a plugin's environment.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::{self, Entry};
use super::{Batch, Storage, StorageError};

/// Records that are read at a time: some hundred kilobytes, which any database sends in one answer.
const RECORDS_PAGE: usize = 1_000;

/// Returns the batch with one more record to store.
pub(crate) fn store_record<T: Serialize>(batch: Batch, key: &str, record: &T) -> Result<Batch, StorageError> {
    Ok(batch.put(key, seal_record(key, record)?))
}

/// Returns a record as it is stored under a key.
pub(super) fn seal_record<T: Serialize>(key: &str, record: &T) -> Result<Bytes, StorageError> {
    let json = serde_json::to_vec(record)
        .map_err(|reason| StorageError::Failed { action: "write a record as JSON", source: Box::new(reason) })?;
    Ok(envelope::seal(key, &Entry::from(Bytes::from(json))))
}

/// Returns the record under a key.
pub(crate) async fn load_record<T: DeserializeOwned>(
    storage: &dyn Storage,
    key: &str,
) -> Result<Option<T>, StorageError> {
    storage.get(key).await?.map(|sealed| read(key, &sealed)).transpose()
}

/// Returns every record below a prefix with its key, in the order of the keys.
///
/// A damaged record is an error in its own place: the others are there all the same.
pub(crate) async fn load_records<T: DeserializeOwned>(
    storage: &dyn Storage,
    prefix: &str,
) -> Result<Vec<(String, Result<T, StorageError>)>, StorageError> {
    let mut records: Vec<(String, Result<T, StorageError>)> = Vec::new();
    // Without a limit in all: only the host writes records, and all of them fit in memory or it could not run.
    loop {
        let after = records.last().map(|(key, _)| key.clone());
        let page = storage.scan(prefix, after.as_deref(), RECORDS_PAGE).await?;
        let is_last = page.len() < RECORDS_PAGE;
        records.extend(page.into_iter().map(|(key, sealed)| {
            let record = read(&key, &sealed);
            (key, record)
        }));
        if is_last {
            return Ok(records);
        }
    }
}

/// Checks that a stored value is what was written under its key. An empty one is a mark, which has no envelope.
pub(crate) fn check_value(key: &str, sealed: &Bytes) -> Result<(), StorageError> {
    if sealed.is_empty() { Ok(()) } else { envelope::open(key, sealed).map(drop) }
}

fn read<T: DeserializeOwned>(key: &str, sealed: &Bytes) -> Result<T, StorageError> {
    let entry = envelope::open(key, sealed)?;
    serde_json::from_slice(&entry.value).map_err(|reason| StorageError::Damaged {
        key: key.to_owned(),
        reason: format!(
            "it is not the record that belongs there ({:?} error at line {}, column {})",
            reason.classify(),
            reason.line(),
            reason.column()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    #[tokio::test]
    async fn a_damaged_record_does_not_hide_the_others() {
        let storage = MemoryStorage::new();
        let mut batch = Batch::default();
        for (key, number) in [("core/a", 1_u32), ("core/b", 2), ("core/d/e", 4), ("other", 5)] {
            batch = store_record(batch, key, &number).unwrap();
        }
        batch = store_record(batch, "core/c", &"secret text").unwrap().put("core/b", "raw");
        storage.commit(batch).await.unwrap();

        let records = load_records::<u32>(&storage, "core/").await.unwrap();
        let shown: Vec<_> = records
            .iter()
            .map(|(key, record)| format!("{key}: {}", record.as_ref().map_or_else(ToString::to_string, u32::to_string)))
            .collect();
        assert_eq!(shown[0], "core/a: 1");
        assert!(shown[1].contains("\"core/b\" is damaged"), "{}", shown[1]);
        assert!(shown[2].contains("\"core/c\" is damaged") && !shown[2].contains("secret"), "{}", shown[2]);
        assert_eq!(shown[3], "core/d/e: 4");
        assert_eq!(shown.len(), 4);
        assert_eq!(load_record::<u32>(&storage, "core/a").await.unwrap(), Some(1));
        assert_eq!(load_record::<u32>(&storage, "core/none").await.unwrap(), None);
    }
}
