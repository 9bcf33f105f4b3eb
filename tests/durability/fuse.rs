//! A store that kills its own process at a commit.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use cofferdam::storage::{Batch, Change, DurableStorage, Snapshot, Storage, StorageError};

/// So many commits never happen.
pub(super) const NEVER: usize = usize::MAX;

/// A store that kills its process at a step.
pub(super) struct Fused {
    pub(super) storage: Arc<DurableStorage>,
    pub(super) fuse: Arc<Fuse>,
}

/// Burns down commit by commit.
pub(super) struct Fuse {
    /// Commits up to the one at which the process dies.
    pub(super) steps: AtomicUsize,
    /// On which side of it.
    pub(super) moment: String,
}

impl Fused {
    /// Opens a store that kills nobody.
    pub(super) fn open(path: &Path) -> Self {
        let fuse = Fuse { steps: AtomicUsize::new(NEVER), moment: String::new() };
        Self { storage: Arc::new(DurableStorage::open(path).unwrap()), fuse: Arc::new(fuse) }
    }

    /// Stores something of a mount as soon as it is announced, as a plugin may while it is being initialised.
    async fn store_early(&self, batch: &Batch) -> Result<(), StorageError> {
        for change in &batch.changes {
            if let Change::Put(key, _) = change
                && let Some(announced) = key.strip_prefix("core/wipes/")
            {
                let storage = match announced.strip_prefix("auth/") {
                    Some(uuid) => format!("auth/{uuid}/"),
                    None => format!("logical/{announced}/"),
                };
                self.storage.commit(Batch::default().put(format!("{storage}early"), "x")).await?;
            }
        }
        Ok(())
    }
}

impl Fuse {
    /// Counts a commit, and returns whether the process dies at it.
    fn burns_out(&self) -> bool {
        let steps = self.steps.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |steps| match steps {
            0 | NEVER => None,
            steps => Some(steps - 1),
        });
        steps == Ok(1)
    }

    async fn kill(&self) {
        Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status().unwrap();
        std::future::pending().await
    }
}

#[async_trait]
impl Storage for Fused {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.storage.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        self.storage.list(prefix, after, limit).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        self.storage.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let burns_out = self.fuse.burns_out();
        if burns_out && self.fuse.moment == "before" {
            self.fuse.kill().await;
        }
        self.storage.commit(batch.clone()).await?;
        self.store_early(&batch).await?;
        if burns_out {
            self.fuse.kill().await;
        }
        Ok(())
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError> {
        self.storage.keys(prefix, limit).await
    }
}
