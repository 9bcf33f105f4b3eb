//! The key of the compile cache, and how the cache is opened with it. Whatever fails here costs time at each start and
//! nothing else.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::runtime::wasm::{CacheKey, CompileCache};
use crate::storage::{Batch, Expectation, Storage, StorageError, load_record, store_record};

/// Where the key lies: among the host's own records, so that whoever can write the cache cannot know it from there.
const RECORD: &str = "core/compile-cache";

/// The stored record.
#[derive(Serialize, Deserialize)]
struct KeyRecord {
    key: CacheKey,
}

/// Opens the cache in this directory under the host's key, which is made the first time. `None` where that fails, which
/// is logged.
pub(super) async fn open(storage: &dyn Storage, directory: PathBuf, bytes_max: u64) -> Option<CompileCache> {
    let without = |why: &str| tracing::warn!("plugins are compiled again at each start: {why}");
    let key = match key(storage).await {
        Ok(key) => key,
        Err(error) => {
            without(&format!("the key of the compile cache: {error}"));
            return None;
        }
    };
    match tokio::task::spawn_blocking(move || CompileCache::open(&directory, key, bytes_max)).await {
        Ok(Ok(cache)) => Some(cache),
        Ok(Err(refused)) => {
            without(&refused.to_string());
            None
        }
        Err(_) => {
            without("opening the compile cache failed");
            None
        }
    }
}

/// Returns the stored key, or makes it. One that is damaged is replaced: what it authenticated is compiled again.
async fn key(storage: &dyn Storage) -> Result<CacheKey, StorageError> {
    match load_record::<KeyRecord>(storage, RECORD).await {
        Ok(Some(record)) => return Ok(record.key),
        Ok(None) => {}
        Err(error @ StorageError::Damaged { .. }) => {
            tracing::warn!("the key of the compile cache is replaced: {error}");
        }
        Err(error) => return Err(error),
    }
    let found = storage.get(RECORD).await?;
    let key = CacheKey::random()
        .map_err(|cause| StorageError::Failed { action: "make a random key", source: Box::new(cause) })?;
    let record = KeyRecord { key };
    let mut batch = store_record(Batch::default(), RECORD, &record)?;
    batch.expectations.push(Expectation::Value(RECORD.to_owned(), found));
    match storage.commit(batch).await {
        Ok(()) => Ok(record.key),
        // Another host on the same storage made one meanwhile.
        Err(StorageError::Conflict) => {
            let record = load_record::<KeyRecord>(storage, RECORD).await?;
            record.map(|record| record.key).ok_or(StorageError::Conflict)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    async fn stored(storage: &MemoryStorage) -> Option<bytes::Bytes> {
        storage.get(RECORD).await.unwrap()
    }

    #[tokio::test]
    async fn the_key_is_made_once() {
        let storage = MemoryStorage::new();
        key(&storage).await.unwrap();
        let first = stored(&storage).await;
        assert!(first.is_some());
        key(&storage).await.unwrap();
        assert_eq!(stored(&storage).await, first);

        let other = MemoryStorage::new();
        key(&other).await.unwrap();
        assert_ne!(stored(&other).await, first, "each host has its own");
    }

    #[tokio::test]
    async fn a_damaged_key_is_replaced() {
        let storage = MemoryStorage::new();
        storage.commit(Batch::default().put(RECORD, "damaged")).await.unwrap();
        key(&storage).await.unwrap();
        let replaced = stored(&storage).await;
        assert_ne!(replaced.as_deref(), Some(&b"damaged"[..]));
        key(&storage).await.unwrap();
        assert_eq!(stored(&storage).await, replaced);
    }
}
