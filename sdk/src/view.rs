//! What backs a context: the host's resource in a component, the host's services in a native program, a double in
//! memory in a test, a host's own storage where the plugin is built into it.
//!
//! The SDK's public types name only these traits, so another backing is one more implementation.

#[cfg(feature = "async")]
use std::pin::Pin;
#[cfg(feature = "async")]
use std::time::Duration;

use crate::stored::{Page, StorageError, Wrap};
use crate::{Caller, Level, Ttls};

/// What is known of one call, whichever way its plugin is written.
pub trait Facts {
    /// Returns the mount's id.
    fn mount_id(&self) -> String;
    /// Returns where the mount is now, ending in `/`.
    fn mount_path(&self) -> String;
    /// Returns the mount's options.
    fn options(&self) -> Vec<(String, String)>;
    /// Returns how long the mount's leases live.
    fn ttls(&self) -> Ttls;
    /// Returns who made the request.
    fn caller(&self) -> Caller;
    /// Returns the values of a request header that the mount passes on.
    fn header(&self, name: &str) -> Vec<String>;
    /// Writes to the host's log.
    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]);
}

/// One call's view of the world, as [`Context`](crate::Context) asks for it.
pub trait View: Facts {
    /// Reads a value.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;
    /// Writes a value. It is durable when this returns.
    fn put(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError>;
    /// Removes a value, if it is there.
    fn delete(&self, key: &str) -> Result<(), StorageError>;
    /// Lists the direct children of a prefix in byte order.
    fn list(&self, page: Page) -> Result<Vec<String>, StorageError>;
    /// Begins a transaction.
    fn begin(&self, access: Access) -> Result<Box<dyn TransactionView + '_>, StorageError>;
}

/// One transaction, as [`Transaction`](crate::Transaction) drives it. Dropping it undoes it.
pub trait TransactionView {
    /// Reads what this transaction wrote, or else what was there when it began.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;
    /// Writes a value, for this transaction's own eyes until it is committed.
    fn put(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError>;
    /// Removes a value likewise.
    fn delete(&self, key: &str) -> Result<(), StorageError>;
    /// Lists the direct children of a prefix in byte order.
    fn list(&self, page: Page) -> Result<Vec<String>, StorageError>;
    /// Makes the writes durable and visible, all at once.
    fn commit(self: Box<Self>) -> Result<(), StorageError>;
}

/// What somebody waits for. Nothing here crosses threads.
#[cfg(feature = "async")]
pub(crate) type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One call's view of the world, as [`AsyncContext`](crate::AsyncContext) asks for it.
#[cfg(feature = "async")]
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
#[cfg(feature = "async")]
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
pub enum Access {
    /// Only read, all of it from one moment.
    ReadOnly,
    /// Write as well.
    ReadWrite,
}
