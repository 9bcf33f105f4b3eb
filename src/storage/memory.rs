//! A store that forgets: for development servers and tests.
//!
//! The whole store is one persistent map behind a pointer. A reader takes the pointer and never waits; a snapshot keeps
//! it. A writer changes a copy, which shares all that it does not touch, and publishes it whole.
//!
//! Values are found by hash, for reading one value is the hottest thing that a store does; listings use the ordered
//! keys.

use std::convert::Infallible;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use imbl::{HashMap, OrdSet};

use super::keyspace::{self, Keyspace, Verdict};
use super::{Batch, Change, Snapshot, Storage, StorageError};

/// A [`Storage`] in memory. Everything is gone when it is dropped.
#[derive(Default)]
pub struct MemoryStorage {
    map: ArcSwap<Map>,
    /// One writer at a time; readers never look at it.
    writer: Mutex<()>,
}

/// Both parts hold the same keys. Cloning it copies two pointers.
#[derive(Clone, Default)]
struct Map {
    values: HashMap<Arc<str>, Bytes>,
    order: OrdSet<Arc<str>>,
}

impl MemoryStorage {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

// --------------------------------------------------------------------------------------------------------------------
// Storage

#[async_trait]
impl Storage for MemoryStorage {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        let map = self.map.load();
        Ok(map.values.get(key).cloned())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        let Ok(children) = keyspace::children(&**self.map.load(), prefix, after, limit);
        Ok(children)
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        Ok(Box::new(Moment(self.map.load_full())))
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        // The lock guards no data: a map is published whole or not at all, so a writer that panicked has left nothing
        // behind.
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut map = Map::clone(&self.map.load());
        let Ok(verdict) = keyspace::check(&map, &batch.expectations);
        if verdict == Verdict::Conflict {
            return Err(StorageError::Conflict);
        }
        for change in batch.changes {
            match change {
                Change::Put(key, value) => map.put(key.into(), value),
                Change::Delete(key) => map.delete(&key),
            }
        }
        self.map.store(Arc::new(map));
        Ok(())
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, StorageError> {
        let Ok(entries) = keyspace::scan(&**self.map.load(), prefix, after, limit);
        Ok(entries)
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError> {
        let Ok(keys) = keyspace::keys(&**self.map.load(), prefix, limit);
        Ok(keys)
    }
}

struct Moment(Arc<Map>);

#[async_trait]
impl Snapshot for Moment {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        Ok(self.0.values.get(key).cloned())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        let Ok(children) = keyspace::children(&*self.0, prefix, after, limit);
        Ok(children)
    }
}

impl Map {
    fn put(&mut self, key: Arc<str>, value: Bytes) {
        if self.values.insert(Arc::clone(&key), value).is_none() {
            self.order.insert(key);
        }
    }

    fn delete(&mut self, key: &str) {
        if self.values.remove(key).is_some() {
            self.order.remove(key);
        }
    }
}

impl Keyspace for Map {
    type Error = Infallible;

    fn value(&self, key: &str) -> Result<Option<Bytes>, Infallible> {
        Ok(self.values.get(key).cloned())
    }

    fn visit(&self, from: &str, visitor: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<(), Infallible> {
        for key in self.order.range::<_, str>((Bound::Included(from), Bound::Unbounded)) {
            if visitor(key).is_break() {
                break;
            }
        }
        Ok(())
    }
}
