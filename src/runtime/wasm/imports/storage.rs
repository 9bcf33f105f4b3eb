//! Storage in the contract's words.

use crate::runtime::wasm::bindings::cofferdam::plugin::types::StorageError;
use crate::storage::{Entry, TransactionMode, ViewError};

/// What a guest is answered by its storage.
pub(super) type Stored<T> = Result<T, StorageError>;

/// Returns an entry's value for a guest.
pub(super) fn value_of(entry: Option<Entry>) -> Option<Vec<u8>> {
    entry.map(|entry| entry.value.into())
}

/// Returns the mode of a transaction that is begun so.
pub(super) fn transaction_mode(read_only: bool) -> TransactionMode {
    if read_only { TransactionMode::ReadOnly } else { TransactionMode::ReadWrite }
}

/// Returns what is answered by a transaction of which nothing is left.
pub(super) fn transaction_is_over() -> StorageError {
    StorageError::Unavailable("the transaction is over: it ended with the call that began it".to_owned())
}

impl From<ViewError> for StorageError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::ReadOnly => StorageError::ReadOnly,
            ViewError::TooLarge(limit) => StorageError::TooLarge(limit),
            ViewError::InvalidKey(why) => StorageError::InvalidKey(why),
            ViewError::Conflict => StorageError::Conflict,
            ViewError::Unavailable(why) => StorageError::Unavailable(why),
        }
    }
}
