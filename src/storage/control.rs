//! What the host itself writes: records of plugins and mounts, and marks of what is to be wiped.
//!
//! A storage has one host at a time that may. Each host that opens it draws an *epoch*, a random one, and stores it;
//! each of its writes expects to find it there. So from the moment at which a second host has opened the storage, the
//! first changes nothing in it any more, whatever it was about to, and what the second reads then stands still.
//!
//! Each write also stores a new *revision*. Two equal ones mean that no host has changed anything in between: a
//! follower compares them and reads again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::record::{seal_record, store_record};
use super::{Batch, Change, Expectation, Storage, StorageError};

/// Where the epoch of the host lies that may write.
const EPOCH: &str = "core/epoch";

/// Where the revision lies.
const REVISION: &str = "core/revision";

/// Hosts that may open the storage at the same moment before one of them gives up.
const TAKE_OVERS_MAX: usize = 16;

/// How often a write of which nobody knows whether it was applied is looked for.
const LOOKS_MAX: u32 = 6;

/// How long the first wait between two looks is; each is twice the one before. All of them are 3 s, which is what a
/// database takes to fail over, and less than a client waits.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The right to write what is the host's own, until another host takes it over.
pub(crate) struct Control {
    storage: Arc<dyn Storage>,
    /// As it is stored.
    epoch: Bytes,
    name: String,
    writes: AtomicU64,
}

impl Control {
    /// Takes the storage over from the host that had it, if one had.
    pub(crate) async fn take_over(storage: Arc<dyn Storage>) -> Result<Self, StorageError> {
        let name = uuid::Uuid::new_v4().to_string();
        let epoch = seal_record(EPOCH, &name)?;
        for _ in 0..TAKE_OVERS_MAX {
            // What is there is not read, only replaced: one that is damaged, too.
            let expectation = Expectation::Value(EPOCH.to_owned(), storage.get(EPOCH).await?);
            let batch = Batch { expectations: vec![expectation], ..Batch::default() }.put(EPOCH, epoch.clone());
            match storage.commit(batch).await {
                Ok(()) => return Ok(Self { storage, epoch, name, writes: AtomicU64::new(0) }),
                Err(StorageError::Conflict) => {}
                Err(error @ StorageError::InDoubt { .. }) => {
                    if storage.get(EPOCH).await? != Some(epoch.clone()) {
                        return Err(error);
                    }
                    return Ok(Self { storage, epoch, name, writes: AtomicU64::new(0) });
                }
                Err(error) => return Err(error),
            }
        }
        Err(StorageError::TakenOver)
    }

    /// Applies a batch, as [`Storage::commit`] does, if no other host has taken the storage over. One whose fate is
    /// unknown is looked for until it is known.
    ///
    /// # Errors
    ///
    /// [`StorageError::TakenOver`]; [`StorageError::InDoubt`] when it could not be found out. Whoever is told that must
    /// not undo anything: what was written may stand.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let wanted = batch.changes.clone();
        let revision = format!("{}:{}", self.name, self.writes.fetch_add(1, Ordering::Relaxed));
        let mut batch = store_record(batch, REVISION, &revision)?;
        batch.expectations.push(Expectation::Value(EPOCH.to_owned(), Some(self.epoch.clone())));
        match self.storage.commit(batch).await {
            Err(StorageError::Conflict) => Err(self.conflict().await),
            Err(error @ StorageError::InDoubt { .. }) => self.look_for(&wanted, error).await,
            committed => committed,
        }
    }

    /// Returns what a conflict means: another host, or something that the batch itself expected.
    async fn conflict(&self) -> StorageError {
        match self.storage.get(EPOCH).await {
            Ok(found) if found.as_ref() == Some(&self.epoch) => StorageError::Conflict,
            Ok(_) => StorageError::TakenOver,
            Err(error) => error,
        }
    }

    /// Finds out whether changes were applied. No two writes of a host are about the same keys at a time, so what is
    /// there tells.
    async fn look_for(&self, wanted: &[Change], doubt: StorageError) -> Result<(), StorageError> {
        let mut wait = LOOK_AGAIN_AFTER;
        for _ in 0..LOOKS_MAX {
            match self.are_applied(wanted).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(StorageError::Failed { action: "commit", source: Box::new(doubt) }),
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait *= 2;
        }
        Err(doubt)
    }

    async fn are_applied(&self, wanted: &[Change]) -> Result<bool, StorageError> {
        for (at, change) in wanted.iter().enumerate() {
            if wanted[at + 1..].iter().any(|later| later.key() == change.key()) {
                continue;
            }
            let found = self.storage.get(change.key()).await?;
            let is_applied = match change {
                Change::Put(_, value) => found.as_ref() == Some(value),
                Change::Delete(_) => found.is_none(),
            };
            if !is_applied {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
