//! The database behind [`super::DurableStorage`]: reading, committing a group, and opening it again after a failure.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable, WriteTransaction};

use super::super::keyspace::{self, Verdict};
use super::super::{Batch, Change, StorageError};
use super::ballast::{Ballast, is_full, serves_the_store};
use super::cause::{Cause, guarded};
use super::opening::{self, CLOSED, COMMITS, Opened, VALUES, WhenMissing};
use super::values::{Table, Values};
use crate::complaints::Complaints;

/// One open database file.
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// What readers use: replaced after each commit, before it is answered.
    published: ArcSwap<Table>,
    /// Held while the database is changed or opened again. Readers take it only when they have failed.
    turn: Mutex<Turn>,
    /// Whoever may write can fill the disk, and then has as many failures as it likes.
    complaints: Complaints,
}

/// What only the one whose turn it is may touch.
struct Turn {
    /// `None` when it could not be opened again after a failure.
    database: Option<Database>,
    /// How many transactions the file has seen. It tells whether one that failed half-way is in the file all the same.
    commits: u64,
    ballast: Ballast,
}

impl DatabaseFile {
    /// Opens a file, or creates it.
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let Opened { database, table, commits } = opening::open(path, WhenMissing::Create)?;
        Ok(Self {
            path: path.to_owned(),
            published: ArcSwap::from_pointee(table),
            turn: Mutex::new(Turn { database: Some(database), commits, ballast: Ballast::beside(path) }),
            complaints: Complaints::new(),
        })
    }

    /// Returns where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the table as the last commit left it.
    pub(super) fn published(&self) -> Arc<Table> {
        self.published.load_full()
    }

    /// Reads from the last commit. If the database has closed itself after a failure, opens it again and reads once
    /// more.
    pub(super) fn read<T>(
        &self,
        action: &'static str,
        work: impl Fn(&Table) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        let table = self.published.load();
        match guarded(|| work(&table)) {
            Ok(answer) => Ok(answer),
            Err(cause) if cause.outlives_its_reason() => read_table(&*self.replace(&table)?, action, work),
            Err(cause) => Err(StorageError::Failed { action, source: Box::new(cause) }),
        }
    }

    /// Commits a group of batches in one transaction. Each batch that conflicts is left out, and an error means that it
    /// is not stored. On a full disk those that make room are stored, and the others are not.
    pub(super) fn commit(&self, group: Vec<Batch>) -> Vec<Result<Verdict, Arc<Cause>>> {
        let mut turn = self.turn();
        let full = Arc::new(Cause::Full);
        let admitted: Vec<bool> = group.iter().map(|batch| turn.ballast.admits(batch)).collect();
        let refused = match self.commit_those(&mut turn, &group, &admitted) {
            Ok(verdicts) => return told(&admitted, verdicts, &full),
            Err(cause) => cause,
        };
        let serving: Vec<bool> = group.iter().map(serves_the_store).collect();
        let again = matches!(&*refused, Cause::Redb(error) if is_full(error)) && serving.contains(&true);
        // Where there was no ballast, they may fit without the others.
        if again && (turn.ballast.give() || serving != admitted) {
            return match self.commit_those(&mut turn, &group, &serving) {
                Ok(verdicts) => told(&serving, verdicts, &refused),
                Err(cause) => group.iter().map(|_| Err(Arc::clone(&cause))).collect(),
            };
        }
        group.iter().map(|_| Err(Arc::clone(&refused))).collect()
    }

    /// Commits some batches of a group, and returns the verdict on each of them.
    fn commit_those(&self, turn: &mut Turn, group: &[Batch], which: &[bool]) -> Result<Vec<Verdict>, Arc<Cause>> {
        let chosen: Vec<&Batch> =
            group.iter().zip(which).filter(|(_, chosen)| **chosen).map(|(batch, _)| batch).collect();
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let mut staged = stage(turn, &chosen);
        if let Err(cause) = &staged
            && cause.outlives_its_reason()
        {
            self.reopen(turn)?;
            staged = stage(turn, &chosen);
        }
        let Staged { transaction, verdicts, freed } = staged.map_err(|cause| self.recover(turn, cause))?;
        if !verdicts.contains(&Verdict::Holds) {
            return Ok(verdicts);
        }
        let number = turn.commits + 1;
        let committed = guarded(|| transaction.commit().map_err(redb::Error::from));
        match committed.and_then(|()| self.publish(turn)) {
            Ok(()) => turn.commits = number,
            Err(cause) => {
                let cause = self.recover(turn, cause);
                // The failure may have come when all was written: then the file has it, and so it is stored.
                if turn.database.is_none() || turn.commits != number {
                    return Err(cause);
                }
            }
        }
        turn.ballast.freed(freed);
        Ok(verdicts)
    }

    /// Notes in the file that nothing was under way when it was closed. What fails here makes the next opening check
    /// the file.
    pub(super) fn close(&self) {
        let turn = self.turn();
        let Some(database) = &turn.database else { return };
        let noted = guarded(|| {
            let mut transaction = database.begin_write()?;
            if transaction.open_table(CLOSED)?.get(())?.is_some_and(|closed| closed.value() == turn.commits) {
                return Ok(transaction.abort()?);
            }
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_quick_repair(true);
            transaction.open_table(CLOSED)?.insert((), turn.commits)?;
            Ok(transaction.commit()?)
        });
        if let Err(error) = noted {
            tracing::warn!(path = %self.path.display(), %error, "the storage will be checked when it is opened again");
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        // A database that a panic has left half changed answers every call with an error, and is opened again for it.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows readers what was committed.
    fn publish(&self, turn: &Turn) -> Result<(), Cause> {
        let database = turn.database.as_ref().ok_or_else(closed)?;
        let table = guarded(|| Ok(Values(database.begin_read()?.open_table(VALUES)?)))?;
        self.published.store(Arc::new(table));
        Ok(())
    }

    /// Returns a table to read from in place of one that has failed, which another caller may have replaced already.
    fn replace(&self, failed: &Arc<Table>) -> Result<Arc<Table>, StorageError> {
        let mut turn = self.turn();
        let published = self.published();
        if !Arc::ptr_eq(&published, failed) {
            return Ok(published);
        }
        self.reopen(&mut turn)
            .map_err(|cause| StorageError::Failed { action: "open the database again", source: Box::new(cause) })?;
        Ok(self.published())
    }

    /// Opens the database again after this failure, so that the next caller finds it usable.
    fn recover(&self, turn: &mut Turn, cause: Cause) -> Arc<Cause> {
        let complaint = self.complaints.admit();
        if let Some(left_out) = complaint {
            tracing::error!(path = %self.path.display(), error = %cause, left_out, "the storage failed to commit");
        }
        // If this fails as well, the next reader and the next commit try again.
        if self.reopen(turn).is_ok() && complaint.is_some() {
            tracing::info!(path = %self.path.display(), "the storage was opened again");
        }
        Arc::new(cause)
    }

    fn reopen(&self, turn: &mut Turn) -> Result<(), Arc<Cause>> {
        // Closing comes first, for it releases the lock on the file.
        turn.database = None;
        match opening::open(&self.path, WhenMissing::Fail) {
            Ok(Opened { database, table, commits }) => {
                self.published.store(Arc::new(table));
                (turn.database, turn.commits) = (Some(database), commits);
                Ok(())
            }
            Err(error) => {
                if let Some(left_out) = self.complaints.admit() {
                    tracing::error!(path = %self.path.display(), %error, left_out, "the storage cannot be opened again");
                }
                Err(Arc::new(Cause::Closed(error.to_string())))
            }
        }
    }
}

/// Reads from one table, whatever becomes of the database.
pub(super) fn read_table<T>(
    table: &Table,
    action: &'static str,
    work: impl Fn(&Table) -> Result<T, redb::Error>,
) -> Result<T, StorageError> {
    guarded(|| work(table)).map_err(|cause| StorageError::Failed { action, source: Box::new(cause) })
}

/// A transaction that is not committed yet.
struct Staged {
    transaction: WriteTransaction,
    verdicts: Vec<Verdict>,
    /// Bytes of values that it removes.
    freed: u64,
}

/// Says of a whole group what became of it, by what became of those that were chosen.
fn told(chosen: &[bool], verdicts: Vec<Verdict>, others: &Arc<Cause>) -> Vec<Result<Verdict, Arc<Cause>>> {
    let mut verdicts = verdicts.into_iter();
    let one = |chosen: &bool| if *chosen { verdicts.next() } else { None };
    chosen.iter().map(one).map(|verdict| verdict.ok_or_else(|| Arc::clone(others))).collect()
}

/// Puts a group into a transaction, each batch on top of those before it.
fn stage(turn: &Turn, group: &[&Batch]) -> Result<Staged, Cause> {
    let database = turn.database.as_ref().ok_or_else(closed)?;
    guarded(|| {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // Values are written by plugins. A commit in two phases never has to guess from checksums, which a plugin could
        // forge, whether it is whole; and a crash or a full disk is recovered from at once instead of by reading the
        // whole file.
        transaction.set_quick_repair(true);
        let (mut verdicts, mut freed) = (Vec::with_capacity(group.len()), 0);
        {
            let mut table = Values(transaction.open_table(VALUES)?);
            for batch in group {
                let verdict = keyspace::check(&table, &batch.expectations)?;
                if verdict == Verdict::Holds {
                    freed += apply(&mut table.0, &batch.changes)?;
                }
                verdicts.push(verdict);
            }
        }
        transaction.open_table(COMMITS)?.insert((), turn.commits + 1)?;
        Ok(Staged { transaction, verdicts, freed })
    })
}

/// Applies changes, and returns how many bytes of values they remove.
fn apply(table: &mut redb::Table<'_, &'static str, &'static [u8]>, changes: &[Change]) -> Result<u64, redb::Error> {
    let mut freed = 0;
    for change in changes {
        match change {
            Change::Put(key, value) => drop(table.insert(key.as_str(), &**value)?),
            Change::Delete(key) => freed += table.remove(key.as_str())?.map_or(0, |value| value.value().len() as u64),
        }
    }
    Ok(freed)
}

fn closed() -> Cause {
    Cause::Closed("the database is closed".to_owned())
}
