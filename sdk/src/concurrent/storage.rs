//! What a mount has stored, where reading and writing is waited for.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::decode;
use crate::error::Error;
use crate::stored::{Page, StorageError, Wrap};
use crate::view::AsyncTransactionView;

/// A mount's keys and values: [`Storage`](crate::Storage), with `async`.
///
/// Only the SDK implements this trait; take `&impl AsyncStorage` where a function should serve both contexts and
/// transactions.
#[allow(async_fn_in_trait, reason = "an instance has one thread, and nothing of a call ever leaves it")]
pub trait AsyncStorage: Sealed {
    /// Reads a value.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// Removes a value. Removing what is not there is not an error.
    async fn delete(&self, key: &str) -> Result<(), StorageError>;

    /// Writes a value.
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.write(key, value, Wrap::Plain).await
    }

    /// Writes a value with one more layer of encryption, where the host has it.
    async fn put_seal_wrapped(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.write(key, value, Wrap::Seal).await
    }

    /// Reads a value that was written as JSON. One that does not fit `T` is [`Error::Internal`], which names the key
    /// and the field, and never what is stored there.
    async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(stored) = self.get(key).await? else { return Ok(None) };
        decode::stored(key, &stored).map(Some)
    }

    /// Writes a value as JSON.
    async fn put_json<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        Ok(self.put(key, &serde_json::to_vec(value)?).await?)
    }

    /// Lists all direct children of a prefix that is empty or ends in `/`, in byte order: a key's last segment, or a
    /// folder's name with a `/`.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let mut children = Vec::new();
        loop {
            let next = self.list_page(prefix, children.last().map(String::as_str), 0).await?;
            // An operator chooses how long an answer may be, so only an empty one says that nothing follows.
            if next.is_empty() {
                return Ok(children);
            }
            children.extend(next);
        }
    }

    /// Lists at most `limit` children that come behind `after`; a limit of 0 means as many as the host allows in one
    /// answer.
    async fn list_page(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, StorageError> {
        self.page(Page { prefix, after, limit }).await
    }
}

/// Reads from one moment in time, and writes that appear together at [`commit`](Self::commit) or not at all.
///
/// It ends with the call that began it; dropping it uncommitted undoes it.
pub struct AsyncTransaction<'a> {
    view: Box<dyn AsyncTransactionView + 'a>,
    /// Remembers a conflict after the plugin's own code has turned it into some other error.
    lost: Cell<bool>,
}

impl<'a> AsyncTransaction<'a> {
    pub(crate) fn new(view: Box<dyn AsyncTransactionView + 'a>) -> Self {
        Self { view, lost: Cell::new(false) }
    }

    /// Makes the writes durable and visible, all at once. [`StorageError::Conflict`] when anything read here has
    /// changed.
    pub async fn commit(self) -> Result<(), StorageError> {
        self.view.commit().await
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

impl Sealed for AsyncTransaction<'_> {
    async fn write(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError> {
        self.noting(self.view.put(key, value, wrap).await)
    }

    async fn page(&self, page: Page<'_>) -> Result<Vec<String>, StorageError> {
        self.noting(self.view.list(page).await)
    }
}

impl AsyncStorage for AsyncTransaction<'_> {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.noting(self.view.get(key).await)
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.noting(self.view.delete(key).await)
    }
}

/// Keeps [`AsyncStorage`] to this crate, and holds what its provided methods rest on.
#[allow(async_fn_in_trait, reason = "an instance has one thread, and nothing of a call ever leaves it")]
pub trait Sealed {
    /// Writes a value.
    async fn write(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError>;
    /// Lists one page.
    async fn page(&self, page: Page<'_>) -> Result<Vec<String>, StorageError>;
}
