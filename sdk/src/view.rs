//! What backs a context: the host's resource in a component, the host's services in a native program, a double in memory in a
//! test.
//!
//! The SDK's public types name only these traits, so another backing is one more implementation.

use crate::storage::{Page, StorageError, Wrap};
use crate::{Caller, Level, Ttls};

/// One call's view of the world, as [`Context`](crate::Context) asks for it.
pub(crate) trait View {
    fn mount_id(&self) -> String;
    fn mount_path(&self) -> String;
    fn options(&self) -> Vec<(String, String)>;
    fn ttls(&self) -> Ttls;
    fn caller(&self) -> Caller;
    fn header(&self, name: &str) -> Vec<String>;
    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]);

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

/// What a transaction may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}
