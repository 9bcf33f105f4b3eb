//! Opening the file, and saying in plain words why it cannot be opened.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase as _, TableDefinition, TableError};

use super::super::StorageError;
use super::file::{Cause, Table, Values, guarded};

/// What callers stored.
pub(super) const VALUES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("values");

/// How many transactions there have been: one number.
pub(super) const COMMITS: TableDefinition<'static, (), u64> = TableDefinition::new("commits");

/// What the database may keep in memory of the file. Control records and the working set of many mounts fit; a server that runs
/// a thousand sandboxes has this to spare.
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
    guarded(|| {
        let backend = FileBackend::new(file)?;
        let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)?;
        let (table, commits) = open_tables(&database)?;
        Ok(Opened { database, table, commits })
    })
    .map_err(|cause| unusable(explain(cause)))
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
            creation.commit()?;
            Ok((Values(database.begin_read()?.open_table(VALUES)?), 0))
        }
        table => {
            let commits = transaction.open_table(COMMITS)?.get(())?.map_or(0, |number| number.value());
            Ok((Values(table?), commits))
        }
    }
}

// --------------------------------------------------------------------------------------------------------------- explanations

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
        Cause::Closed(text) => return text,
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
