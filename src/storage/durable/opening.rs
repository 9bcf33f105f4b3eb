//! Opening the file, and saying in plain words why it cannot be opened.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Instant;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase as _, TableDefinition, TableError};

use super::super::StorageError;
use super::ballast::is_full;
use super::cause::{Cause, guarded};
use super::values::{Table, Values};

/// What callers stored.
pub(super) const VALUES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("values");

/// How many transactions there have been: one number.
pub(super) const COMMITS: TableDefinition<'static, (), u64> = TableDefinition::new("commits");

/// The number of the last transaction before the file was closed in order. Any later one makes it another number.
pub(super) const CLOSED: TableDefinition<'static, (), u64> = TableDefinition::new("closed");

/// What the database may keep in memory of the file. Control records and the working set of many mounts fit; a server
/// that runs a thousand sandboxes has this to spare.
const CACHE_BYTES: usize = 128 << 20;

/// What to do where there is no file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenMissing {
    /// Make a new one.
    Create,
    /// Say so.
    Fail,
}

/// An open database.
pub(super) struct Opened {
    /// The database.
    pub(super) database: Database,
    /// All values, as the last transaction left them.
    pub(super) table: Table,
    /// How many transactions there have been.
    pub(super) commits: u64,
}

/// Opens the store in a file.
pub(super) fn open(path: &Path, when_missing: WhenMissing) -> Result<Opened, StorageError> {
    let unusable = |why: String| StorageError::Unusable(format!("failed to open the storage {path:?}: {why}"));
    let file = open_file(path, when_missing).map_err(|error| unusable(explain_file(path, &error)))?;
    let mut database = guarded(|| open_database(file)).map_err(|cause| unusable(explain(cause)))?;
    // A file that is opened again after a failure was checked when it was opened first.
    if when_missing == WhenMissing::Create
        && !guarded(|| was_closed(&database)).map_err(|cause| unusable(explain(cause)))?
    {
        let started = Instant::now();
        tracing::info!(?path, "the storage was not closed in order: all of it is checked");
        match guarded(|| Ok(database.check_integrity()?)) {
            Ok(true) => tracing::info!(?path, took = ?started.elapsed(), "the storage is whole"),
            Ok(false) => tracing::warn!(?path, took = ?started.elapsed(), "the storage had to be repaired: {REPAIRED}"),
            // What cannot be written now, on a full disk, was not read to be damaged.
            Err(Cause::Redb(error)) if is_full(&error) => {
                tracing::warn!(?path, %error, "the storage could not be checked");
                drop(database);
                let file = open_file(path, WhenMissing::Fail).map_err(|error| unusable(explain_file(path, &error)))?;
                database = guarded(|| open_database(file)).map_err(|cause| unusable(explain(cause)))?;
            }
            Err(cause) => return Err(unusable(explain(cause))),
        }
    }
    guarded(|| {
        let (table, commits) = open_tables(&database)?;
        Ok(Opened { database, table, commits })
    })
    .map_err(|cause| unusable(explain(cause)))
}

fn open_database(file: File) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(FileBackend::new(file)?)?)
}

/// Says whether the file was closed in order after its last transaction, or is new.
fn was_closed(database: &Database) -> Result<bool, redb::Error> {
    let transaction = database.begin_read()?;
    if transaction.list_tables()?.next().is_none() {
        return Ok(true);
    }
    let number = |table| match transaction.open_table(table) {
        Ok(table) => Ok(table.get(())?.map(|number| number.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(redb::Error::from(error)),
    };
    let (closed, commits) = (number(CLOSED)?, number(COMMITS)?);
    Ok(closed.is_some() && closed == commits)
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedFile {
    /// Whether the file was what was written. If not, it was repaired, and is now as it was after some earlier commit.
    pub whole: bool,
}

/// What a repair may have cost.
const REPAIRED: &str = "what was stored last may be missing; compare it with a backup";

/// Checks the whole of a file that exists.
pub(super) fn check(path: &Path) -> Result<CheckedFile, StorageError> {
    let unusable = |why: String| StorageError::Unusable(format!("failed to check the storage {path:?}: {why}"));
    let file = open_file(path, WhenMissing::Fail).map_err(|error| unusable(explain_file(path, &error)))?;
    let checked = guarded(|| {
        let mut database = open_database(file)?;
        let whole = database.check_integrity()?;
        open_tables(&database)?;
        Ok(CheckedFile { whole })
    });
    checked.map_err(|cause| unusable(explain(cause)))
}

fn open_file(path: &Path, when_missing: WhenMissing) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && when_missing == WhenMissing::Create => {}
        opened => return opened,
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.create(true).open(path)?;
    // A file survives a power cut only if its name does.
    #[cfg(unix)]
    File::open(directory_of(path))?.sync_all()?;
    Ok(file)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the tables, which it makes in a new file.
fn open_tables(database: &Database) -> Result<(Table, u64), redb::Error> {
    let transaction = database.begin_read()?;
    match transaction.open_table(VALUES) {
        Err(TableError::TableDoesNotExist(_)) if transaction.list_tables()?.next().is_none() => {
            let mut creation = database.begin_write()?;
            creation.set_quick_repair(true);
            creation.open_table(VALUES)?;
            creation.open_table(COMMITS)?.insert((), 0)?;
            creation.open_table(CLOSED)?.insert((), 0)?;
            creation.commit()?;
            Ok((Values(database.begin_read()?.open_table(VALUES)?), 0))
        }
        table => {
            let commits = transaction.open_table(COMMITS)?.get(())?.map_or(0, |number| number.value());
            Ok((Values(table?), commits))
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------
// explanations

fn explain_file(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if !directory_of(path).exists() => {
            format!("the directory {:?} does not exist", directory_of(path))
        }
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::PermissionDenied => format!("this process may not read and write it: {error}"),
        _ => error.to_string(),
    }
}

fn explain(cause: Cause) -> String {
    let damaged = |how: String| format!("it is damaged ({how}); restore it from a backup");
    let error = match cause {
        Cause::Redb(error) => error,
        Cause::Panicked(text) => return damaged(text),
        cause @ (Cause::Closed(_) | Cause::Full) => return cause.to_string(),
    };
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            "another process, or another store in this one, has it open".to_owned()
        }
        redb::Error::UpgradeRequired(format) => {
            format!("its file format is redb's version {format}, which is older than this program reads")
        }
        redb::Error::Corrupted(how) => damaged(how),
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            format!("it is not a storage file ({error})")
        }
        redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            damaged(format!("it ends too early: {error}"))
        }
        redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. } => {
            "it is the redb database of another program".to_owned()
        }
        error => error.to_string(),
    }
}
