//! A context whose questions go to the host.

use super::bindings::cofferdam::plugin::host;
use crate::stored::{Page, StorageError, Wrap};
use crate::view::{Access, Facts, TransactionView, View};
use crate::{Caller, Level, Ttls};

/// The host's context, borrowed for one call.
pub(super) struct HostView<'a>(pub(super) &'a host::Context);

impl Facts for HostView<'_> {
    fn mount_id(&self) -> String {
        self.0.mount_id()
    }

    fn mount_path(&self) -> String {
        self.0.mount_path()
    }

    fn options(&self) -> Vec<(String, String)> {
        self.0.options()
    }

    fn ttls(&self) -> Ttls {
        self.0.ttls().into()
    }

    fn caller(&self) -> Caller {
        self.0.caller().into()
    }

    fn header(&self, name: &str) -> Vec<String> {
        self.0.header(name)
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        self.0.log(level.into(), message, fields);
    }
}

impl View for HostView<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.get(key)?)
    }

    fn put(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError> {
        Ok(self.0.put(entry(key, value, wrap))?)
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        Ok(self.0.delete(key)?)
    }

    fn list(&self, page: Page) -> Result<Vec<String>, StorageError> {
        Ok(self.0.list(page.prefix, page.after, page.limit)?)
    }

    fn begin(&self, access: Access) -> Result<Box<dyn TransactionView + '_>, StorageError> {
        Ok(Box::new(HostTransaction(self.0.begin(access == Access::ReadOnly)?)))
    }
}

/// The host's transaction; dropping the handle undoes it.
struct HostTransaction(host::Transaction);

impl TransactionView for HostTransaction {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.get(key)?)
    }

    fn put(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError> {
        Ok(self.0.put(entry(key, value, wrap))?)
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        Ok(self.0.delete(key)?)
    }

    fn list(&self, page: Page) -> Result<Vec<String>, StorageError> {
        Ok(self.0.list(page.prefix, page.after, page.limit)?)
    }

    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        Ok(self.0.commit()?)
    }
}

fn entry<'a>(key: &'a str, value: &'a [u8], wrap: Wrap) -> host::Entry<'a> {
    host::Entry { key, value, seal_wrap: wrap == Wrap::Seal }
}
