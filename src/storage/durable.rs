//! The store on disk: one file, embedded, no server beside it.
//!
//! **Reads** run on the calling thread. They use the table that the last commit published, so they wait for nobody;
//! what is cached answers in about a microsecond, the rest in one read from the disk.
//!
//! **Commits** go through a queue to one writer thread, which takes all that wait there into one transaction of the
//! database: a flush to the disk takes milliseconds, and so many callers share one. Each batch is checked against what
//! the batches before it have left, and answered by itself once the whole group is on the disk.
//!
//! **On a full disk** what removes, and what changes the host's own records, still works for a while: some room is kept
//! for it beside the file (`ballast`).
//!
//! **After an end that was none**, such as a kill, the whole file is checked when it is opened: a database notices
//! damage only where it reads. [`DurableStorage::check`] does so at any time.
//!
//! **After an input or output error**, such as a full disk, the database refuses all further work until it is opened
//! again. That happens at once, so a store is as usable as its disk is. Snapshots taken before then answer with an
//! error.

mod ballast;
mod cause;
mod file;
mod opening;
mod values;

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use self::file::DatabaseFile;
pub use self::opening::CheckedFile;
use self::values::Table;
use super::keyspace::{self, Keyspace as _, Verdict};
use super::{Batch, Snapshot, Storage, StorageError};

/// Batches that wait for the writer at most; further callers wait to get in line. A batch holds up to some megabytes.
const QUEUE_BATCHES_MAX: usize = 256;

/// Batches in one transaction at most, so that the first of them does not wait for an unbounded amount of work.
const GROUP_BATCHES_MAX: usize = 256;

/// A [`Storage`] in one file, which survives the process being killed at any instant.
///
/// Dropping it commits what is queued and closes the file. One process at a time can have a file open.
///
/// One answer cannot be given: if the disk fails while a commit is under way and the file cannot even be opened again,
/// that commit is answered with the error, and yet may turn out to be stored once the disk is back.
pub struct DurableStorage {
    file: Arc<DatabaseFile>,
    /// Taken only by `drop`, which ends the writer by closing it.
    queue: Option<mpsc::Sender<Waiting>>,
    writer: Option<JoinHandle<()>>,
}

/// A batch in line, and who waits for it.
struct Waiting {
    batch: Batch,
    answer: oneshot::Sender<Result<(), StorageError>>,
}

impl DurableStorage {
    /// Opens the store in a file, and creates it, readable to its owner only, if there is none.
    ///
    /// Blocks on the disk. After a crash the whole file is read once, to see that all of it is whole.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let file = Arc::new(DatabaseFile::open(path.as_ref())?);
        let (queue, waiting) = mpsc::channel(QUEUE_BATCHES_MAX);
        let writer = thread::Builder::new()
            .name("storage-writer".to_owned())
            .spawn({
                let file = Arc::clone(&file);
                move || write_groups(&file, waiting)
            })
            .map_err(|reason| StorageError::Failed { action: "start its writer", source: Box::new(reason) })?;
        Ok(Self { file, queue: Some(queue), writer: Some(writer) })
    }

    /// Reads the whole file of a store that nobody has open, and says whether it is what was written.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unusable`] where there is no such store, or it is damaged beyond repair.
    pub fn check(path: impl AsRef<Path>) -> Result<CheckedFile, StorageError> {
        opening::check(path.as_ref())
    }
}

impl Drop for DurableStorage {
    fn drop(&mut self) {
        // Without a sender the writer finishes what is queued, and ends.
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(path = %self.file.path().display(), "the storage writer panicked");
        }
        self.file.close();
    }
}

/// Commits what waits, group by group, until nobody can send any more.
fn write_groups(file: &DatabaseFile, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::new();
    while waiting.blocking_recv_many(&mut group, GROUP_BATCHES_MAX) > 0 {
        let (batches, answers): (Vec<_>, Vec<_>) = group.drain(..).map(|next| (next.batch, next.answer)).unzip();
        for (verdict, answer) in file.commit(batches).into_iter().zip(answers) {
            let result = match verdict {
                Ok(Verdict::Holds) => Ok(()),
                Ok(Verdict::Conflict) => Err(StorageError::Conflict),
                Err(cause) => Err(StorageError::Failed { action: "commit", source: Box::new(cause) }),
            };
            // Who has stopped waiting does not want to know.
            let _ = answer.send(result);
        }
    }
}

// --------------------------------------------------------------------------------------------------------------------
// Storage

#[async_trait]
impl Storage for DurableStorage {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.file.read("read a value", |table| table.value(key))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        self.file.read("list keys", |table| keyspace::children(table, prefix, after, limit))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        Ok(Box::new(Moment(self.file.published())))
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let (answer, answered) = oneshot::channel();
        let Some(queue) = &self.queue else { return Err(writer_is_gone()) };
        queue.send(Waiting { batch, answer }).await.map_err(|_| writer_is_gone())?;
        answered.await.map_err(|_| writer_is_gone())?
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, StorageError> {
        self.file.read("read records", |table| keyspace::scan(table, prefix, after, limit))
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError> {
        self.file.read("list keys", |table| keyspace::keys(table, prefix, limit))
    }
}

fn writer_is_gone() -> StorageError {
    StorageError::Failed { action: "commit", source: "the storage writer has ended".into() }
}

/// The table as one commit published it. It keeps the database from reusing that commit's pages.
struct Moment(Arc<Table>);

#[async_trait]
impl Snapshot for Moment {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        file::read_table(&self.0, "read a value", |table| table.value(key))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        file::read_table(&self.0, "list keys", |table| keyspace::children(table, prefix, after, limit))
    }
}
