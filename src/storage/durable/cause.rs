//! Why the database did not do its work.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why the database did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    /// It says so.
    #[error("{0}")]
    Redb(redb::Error),
    /// It panicked, as it may when its file was changed behind its back.
    #[error("the database panicked: {0}")]
    Panicked(String),
    /// It is closed, since it could not be opened again after a failure.
    #[error("{0}")]
    Closed(String),
    /// It is not asked, since the disk was full and has no room yet.
    #[error("no space left on the disk of the storage")]
    Full,
}

impl Cause {
    /// Says whether this only repeats that something went wrong before, so that opening the database again may help.
    pub(super) fn outlives_its_reason(&self) -> bool {
        match self {
            Cause::Closed(_) => true,
            Cause::Panicked(_) | Cause::Full => false,
            Cause::Redb(error) => matches!(
                error,
                redb::Error::Io(_)
                    | redb::Error::PreviousIo
                    | redb::Error::DatabaseClosed
                    | redb::Error::LockPoisoned(_)
            ),
        }
    }
}

/// Runs the database's code. It is known to panic on a file that was damaged, and a damaged file must not end the
/// process.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Cause> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(answer) => answer.map_err(Cause::Redb),
        Err(panic) => Err(Cause::Panicked(panic_text(&*panic))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a word").to_owned()
}
