//! What a mount has stored, one key at a time or many in a transaction.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::decode;
use crate::error::Error;
use crate::stored::{Page, StorageError, Wrap};
use crate::view::TransactionView;

/// A mount's keys and values. No other mount sees them.
///
/// Keys are `/`-separated: any text of at most 1,024 bytes without a `..` segment or a control character. Do without
/// empty segments and `.`, which hosts take for names like any other and which people misread. A
/// [`Context`](crate::Context) makes each write durable before it returns; a [`Transaction`] all of them when it is
/// committed.
///
/// Only the SDK implements this trait; take `&impl Storage` where a function should serve both.
pub trait Storage: Sealed {
    /// Reads a value.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// Removes a value. Removing what is not there is not an error.
    fn delete(&self, key: &str) -> Result<(), StorageError>;

    /// Writes a value.
    fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.write(key, value, Wrap::Plain)
    }

    /// Writes a value with one more layer of encryption, where the host has it.
    fn put_seal_wrapped(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.write(key, value, Wrap::Seal)
    }

    /// Reads a value that was written as JSON. One that does not fit `T` is [`Error::Internal`], which names the key
    /// and the field, and never what is stored there.
    fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(stored) = self.get(key)? else { return Ok(None) };
        decode::stored(key, &stored).map(Some)
    }

    /// Writes a value as JSON.
    fn put_json<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        Ok(self.put(key, &serde_json::to_vec(value)?)?)
    }

    /// Lists all direct children of a prefix that is empty or ends in `/`, in byte order: a key's last segment, or a
    /// folder's name with a `/`.
    fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let mut children = Vec::new();
        loop {
            let next = self.list_page(prefix, children.last().map(String::as_str), 0)?;
            // An operator chooses how long an answer may be, so only an empty one says that nothing follows.
            if next.is_empty() {
                return Ok(children);
            }
            children.extend(next);
        }
    }

    /// Lists at most `limit` children that come behind `after`; a limit of 0 means as many as the host allows in one
    /// answer.
    fn list_page(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, StorageError> {
        self.page(Page { prefix, after, limit })
    }
}

// --- Transaction ---

/// Reads from one moment in time, and writes that appear together at [`commit`](Self::commit) or not at all.
///
/// It ends with the call that began it; dropping it uncommitted undoes it.
pub struct Transaction<'a> {
    view: Box<dyn TransactionView + 'a>,
    /// Remembers a conflict after the plugin's own code has turned it into some other error.
    lost: Cell<bool>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(view: Box<dyn TransactionView + 'a>) -> Self {
        Self { view, lost: Cell::new(false) }
    }

    /// Makes the writes durable and visible, all at once. [`StorageError::Conflict`] when anything read here has
    /// changed.
    pub fn commit(self) -> Result<(), StorageError> {
        self.view.commit()
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.get()
    }

    fn noting<T>(&self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        if matches!(result, Err(StorageError::Conflict)) {
            self.lost.set(true);
        }
        result
    }
}

impl Sealed for Transaction<'_> {
    fn write(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError> {
        self.noting(self.view.put(key, value, wrap))
    }

    fn page(&self, page: Page) -> Result<Vec<String>, StorageError> {
        self.noting(self.view.list(page))
    }
}

impl Storage for Transaction<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.noting(self.view.get(key))
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.noting(self.view.delete(key))
    }
}

/// Keeps [`Storage`] to this crate, and holds what its provided methods rest on.
pub trait Sealed {
    /// Writes a value.
    fn write(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError>;
    /// Lists one page.
    fn page(&self, page: Page) -> Result<Vec<String>, StorageError>;
}
