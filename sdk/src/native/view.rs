//! A context whose questions go to the host over its own connection, or were answered with the call.

use super::log;
use super::mount::Mount;
use super::storage::OUTSIDE;
use crate::stored::{Page, StorageError, Wrap};
use crate::view::{Access, TransactionView, View};
use crate::{Caller, Level, Ttls};

/// What came with a call, beside the request itself.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) mount_path: String,
    pub(super) caller: Caller,
    pub(super) headers: Vec<(String, Vec<String>)>,
}

/// One call's view of a mount.
pub(super) struct NativeView<'a> {
    pub(super) mount: &'a Mount,
    pub(super) facts: &'a Facts,
    /// The protocol does not know that some calls must not write, so it is seen to here.
    pub(super) access: Access,
}

impl crate::view::Facts for NativeView<'_> {
    fn mount_id(&self) -> String {
        self.mount.id.clone()
    }

    fn mount_path(&self) -> String {
        self.facts.mount_path.clone()
    }

    fn options(&self) -> Vec<(String, String)> {
        self.mount.options.clone()
    }

    fn ttls(&self) -> Ttls {
        self.mount.ttls()
    }

    fn caller(&self) -> Caller {
        self.facts.caller.clone()
    }

    fn header(&self, name: &str) -> Vec<String> {
        let headers = self.facts.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        headers.flat_map(|(_, values)| values.iter().cloned()).collect()
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        log::write(level, &self.mount.module, message, fields);
    }
}

impl View for NativeView<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.mount.storage.get(key, OUTSIDE)
    }

    fn put(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError> {
        check_write(self.access)?;
        self.mount.storage.put(key, value, wrap, OUTSIDE)
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        check_write(self.access)?;
        self.mount.storage.delete(key, OUTSIDE)
    }

    fn list(&self, page: Page) -> Result<Vec<String>, StorageError> {
        self.mount.storage.list(page, OUTSIDE)
    }

    fn begin(&self, access: Access) -> Result<Box<dyn TransactionView + '_>, StorageError> {
        // A transaction can be begun where nothing may be written; its writes are refused.
        let access = if self.access == Access::ReadOnly { Access::ReadOnly } else { access };
        let id = self.mount.storage.begin(access)?;
        Ok(Box::new(NativeTransaction { mount: self.mount, access, id, state: State::Open }))
    }
}

/// A transaction that the host keeps. It borrows from its call, so it ends with it.
struct NativeTransaction<'a> {
    mount: &'a Mount,
    access: Access,
    /// What the host calls it.
    id: String,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Open,
    Ended,
}

impl TransactionView for NativeTransaction<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.mount.storage.get(key, &self.id)
    }

    fn put(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError> {
        check_write(self.access)?;
        self.mount.storage.put(key, value, wrap, &self.id)
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        check_write(self.access)?;
        self.mount.storage.delete(key, &self.id)
    }

    fn list(&self, page: Page) -> Result<Vec<String>, StorageError> {
        self.mount.storage.list(page, &self.id)
    }

    fn commit(mut self: Box<Self>) -> Result<(), StorageError> {
        // The host forgets it whatever the outcome.
        self.state = State::Ended;
        self.mount.storage.commit(&self.id)
    }
}

impl Drop for NativeTransaction<'_> {
    fn drop(&mut self) {
        if self.state == State::Open {
            self.mount.storage.rollback(&self.id);
        }
    }
}

fn check_write(access: Access) -> Result<(), StorageError> {
    match access {
        Access::ReadOnly => Err(StorageError::ReadOnly),
        Access::ReadWrite => Ok(()),
    }
}
