//! What backs a context: the host's resource in a component, the host's services in a native program, a double in memory in a
//! test.
//!
//! The SDK's public types name only these traits, so another backing is one more implementation.

use std::pin::Pin;
use std::time::Duration;

use crate::storage::{Page, StorageError, Wrap};
use crate::{Caller, Level, Ttls};

/// What is known of one call, whichever way its plugin is written.
pub(crate) trait Facts {
    fn mount_id(&self) -> String;
    fn mount_path(&self) -> String;
    fn options(&self) -> Vec<(String, String)>;
    fn ttls(&self) -> Ttls;
    fn caller(&self) -> Caller;
    fn header(&self, name: &str) -> Vec<String>;
    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]);
}

/// One call's view of the world, as [`Context`](crate::Context) asks for it.
pub(crate) trait View: Facts {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;
    fn put(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError>;
    fn delete(&self, key: &str) -> Result<(), StorageError>;
    fn list(&self, page: Page) -> Result<Vec<String>, StorageError>;
    fn begin(&self, access: Access) -> Result<Box<dyn TransactionView + '_>, StorageError>;
}

/// One transaction, as [`Transaction`](crate::Transaction) drives it. Dropping it undoes it.
pub(crate) trait TransactionView {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;
    fn put(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError>;
    fn delete(&self, key: &str) -> Result<(), StorageError>;
    fn list(&self, page: Page) -> Result<Vec<String>, StorageError>;
    fn commit(self: Box<Self>) -> Result<(), StorageError>;
}

/// What somebody waits for. Nothing here crosses threads.
pub(crate) type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One call's view of the world, as [`AsyncContext`](crate::AsyncContext) asks for it.
pub(crate) trait AsyncView: Facts {
    /// Returns `Err` if the call is given up before the time is over.
    fn sleep(&self, time: Duration) -> Wait<'_, Result<(), ()>>;
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Vec<u8>>, StorageError>>;
    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], wrap: Wrap) -> Wait<'a, Result<(), StorageError>>;
    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StorageError>>;
    fn list<'a>(&'a self, page: Page<'a>) -> Wait<'a, Result<Vec<String>, StorageError>>;
    fn begin(&self, access: Access) -> Wait<'_, Result<Box<dyn AsyncTransactionView + '_>, StorageError>>;
}

/// One transaction, as [`AsyncTransaction`](crate::AsyncTransaction) drives it. Dropping it undoes it.
pub(crate) trait AsyncTransactionView {
    fn get<'a>(&'a self, key: &'a str) -> Wait<'a, Result<Option<Vec<u8>>, StorageError>>;
    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], wrap: Wrap) -> Wait<'a, Result<(), StorageError>>;
    fn delete<'a>(&'a self, key: &'a str) -> Wait<'a, Result<(), StorageError>>;
    fn list<'a>(&'a self, page: Page<'a>) -> Wait<'a, Result<Vec<String>, StorageError>>;
    fn commit<'a>(self: Box<Self>) -> Wait<'a, Result<(), StorageError>>
    where
        Self: 'a;
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}
