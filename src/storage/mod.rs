//! Where bytes are kept: a small trait with written guarantees, two implementations, and the view that is all a mount
//! holds.
//!
//! * [`Storage`] — what an embedder may implement. Its contract is on each method; `tests/durability` checks it against
//!   every implementation, and against `kill -9`.
//! * [`DurableStorage`] — one file, embedded (redb). [`MemoryStorage`] — for development and tests.
//! * `envelope` — every stored value carries its format version and a checksum, so that a damaged one is an error that
//!   names the key, never wrong data.
//! * `StorageView` — a prefix of the keys. Everything a plugin stores goes through one, and there is no way up.
//! * `Transaction` — reads from a snapshot, keeps writes in memory, and commits only if what it read is unchanged. No
//!   lock is held while a plugin thinks.

mod control;
mod durable;
mod envelope;
mod keyspace;
mod memory;
mod record;
mod room;
mod transaction;
mod view;
mod view_error;

use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use control::Control;
pub use durable::{CheckedFile, DurableStorage};
pub(crate) use envelope::Entry;
pub use memory::MemoryStorage;
pub(crate) use record::{check_value, load_record, load_records, store_record};
#[cfg(any(feature = "wasm", feature = "process"))]
pub(crate) use room::{Room, Taken};
pub(crate) use transaction::{Transaction, TransactionMode};
#[cfg(feature = "wasm")]
pub(crate) use view::Write;
pub(crate) use view::{StorageView, ViewLimits, WriteObserver};
pub(crate) use view_error::ViewError;

/// A store of bytes under ordered text keys.
///
/// Keys are UTF-8, ordered by their bytes, and `/`-separated by convention only. An implementation neither looks into
/// values nor checks keys.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Returns the value that the last successful [`Storage::commit`] stored under a key.
    ///
    /// Answers without waiting for writers.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError>;

    /// Returns the direct children of a prefix in byte order: what is left of each key behind the prefix, cut after the
    /// first slash, each once.
    ///
    /// Starts behind the child `after`, and returns at most `limit`. Listing page by page costs no more than listing at
    /// once.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError>;

    /// Returns a view of this moment: it sees every commit that succeeded before, and none that comes later.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError>;

    /// Applies a batch whole or not at all. First every expectation is checked against the current state; if one fails,
    /// nothing is applied and the answer is [`StorageError::Conflict`]. When this returns `Ok`, the batch is durable:
    /// it survives the process being killed and, as far as the hardware keeps its word, a power cut.
    ///
    /// If it returns [`StorageError::InDoubt`], the batch was applied before it returned or never will be, and reading
    /// tells which. If it returns another error the batch was not applied. If the caller stops waiting, the batch is
    /// applied whole before any later commit returns, even an empty one, or never.
    async fn commit(&self, batch: Batch) -> Result<(), StorageError>;

    /// Returns the keys that start with a prefix and come behind the key `after`, with their values, in byte order, at
    /// most `limit`. For what the host keeps itself; plugins never reach it.
    ///
    /// A key that goes while it is asked for is left out. Two answers, of which one goes on where the other ended, need
    /// not be of one moment.
    ///
    /// By default it asks for all keys and then for each value; a storage that can answer at once had better do so.
    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, StorageError> {
        let keys = self.keys(prefix, usize::MAX).await?;
        let behind = keys.into_iter().filter(|key| after.is_none_or(|after| key.as_str() > after));
        let mut entries = Vec::new();
        for key in behind.take(limit) {
            if let Some(value) = self.get(&key).await? {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }

    /// Returns the keys that start with a prefix, in byte order, at most `limit`. For wiping and maintenance; plugins
    /// never reach it.
    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError>;
}

/// A moment of a [`Storage`]. It may hold disk space that was freed since; let it go soon.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// As [`Storage::get`], at that moment.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError>;

    /// As [`Storage::list`], at that moment.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError>;
}

/// Changes that belong together, and what must be true for them to apply.
#[derive(Clone, Default)]
pub struct Batch {
    /// What must hold before anything is changed.
    pub expectations: Vec<Expectation>,
    /// Applied in this order.
    pub changes: Vec<Change>,
}

/// One change to one key.
#[derive(Clone)]
pub enum Change {
    /// Stores a value under a key, in place of what was there.
    Put(String, Bytes),
    /// Removes a key. Nothing happens if it is not there.
    Delete(String),
}

impl Change {
    /// Returns the key that is changed.
    pub fn key(&self) -> &str {
        match self {
            Change::Put(key, _) | Change::Delete(key) => key,
        }
    }
}

/// Something that a batch relies on.
#[derive(Clone)]
pub enum Expectation {
    /// A key holds exactly this value, or nothing.
    Value(String, Option<Bytes>),
    /// A listing, asked again, gives exactly these children.
    Children {
        /// The prefix that was listed.
        prefix: String,
        /// The child it started behind.
        after: Option<String>,
        /// How many were asked for at most.
        limit: usize,
        /// What came back.
        children: Vec<String>,
    },
}

impl StorageError {
    /// Returns whether what was to be stored may be, so that nothing may be undone.
    pub(crate) fn may_be_applied(&self) -> bool {
        matches!(self, StorageError::InDoubt { .. })
    }
}

impl Batch {
    /// Returns the batch with one more value to store.
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.changes.push(Change::Put(key.into(), value.into()));
        self
    }

    /// Returns the batch with one more key to remove.
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.changes.push(Change::Delete(key.into()));
        self
    }
}

/// Why the storage did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// An expectation of the batch does not hold any more.
    #[error("the stored data has changed since it was read")]
    Conflict,
    /// A stored value is not what was written. Restore it from a backup, or delete it.
    #[error("the stored value at {key:?} is damaged: {reason}")]
    Damaged {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing says whether the batch was applied: the connection broke while it was on its way. Whoever undoes
    /// something on any other error must not on this one, and reads again instead.
    #[error("nothing says whether the storage applied the change: {source}")]
    InDoubt {
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another host has opened the storage since this one did, and only that one may change what hosts keep in it.
    #[error("another server has taken over this storage: this one changes nothing in it any more; stop one of the two")]
    TakenOver,
    /// The store is not usable as it is: locked by another process, of another format, not a store at all.
    #[error("{0}")]
    Unusable(String),
    /// The disk or the database failed. The message has the operating system's words, such as "no space left on
    /// device".
    #[error("storage failed to {action}: {source}")]
    Failed {
        /// What was being done.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
