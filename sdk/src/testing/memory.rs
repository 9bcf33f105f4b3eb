//! Storage in memory, with transactions that conflict as the host's do.
//!
//! Each change stamps its key with the next revision. A transaction works on a copy and remembers what it looked at; it
//! commits if none of that has another stamp by then. Copies are whole, since test data is small.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use crate::stored::{Page, StorageError, Wrap, check_key, check_prefix};
use crate::view::{Access, TransactionView};

/// The largest value: the host's default.
const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// The longest listing in one answer: the host's default.
const PAGE_MAX: usize = 10_000;

/// What a mount has stored.
#[derive(Default)]
pub(super) struct Memory {
    entries: RefCell<Entries>,
    revision: Cell<u64>,
    before_commit: RefCell<Vec<(String, Vec<u8>)>>,
}

type Entries = BTreeMap<String, Entry>;

#[derive(Clone)]
struct Entry {
    value: Vec<u8>,
    revision: u64,
}

impl Memory {
    pub(super) fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.entries.borrow().get(key).map(|entry| entry.value.clone())
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.entries.borrow().keys().cloned().collect()
    }

    pub(super) fn set(&self, key: &str, value: Option<&[u8]>) {
        let revision = self.revision.get() + 1;
        self.revision.set(revision);
        let mut entries = self.entries.borrow_mut();
        match value {
            Some(value) => entries.insert(key.into(), Entry { value: value.into(), revision }),
            None => entries.remove(key),
        };
    }

    /// Changes a key just before the next transaction commits.
    pub(super) fn change_before_commit(&self, key: &str, value: &[u8]) {
        self.before_commit.borrow_mut().push((key.into(), value.into()));
    }

    /// Lists the direct children of a prefix.
    pub(super) fn list(&self, page: Page) -> Vec<String> {
        children(&self.entries.borrow(), page)
    }

    pub(super) fn begin(&self, access: Access) -> Box<dyn TransactionView + '_> {
        let begun = self.entries.borrow().clone();
        Box::new(MemoryTransaction {
            memory: self,
            access,
            now: RefCell::new(begun.clone()),
            begun,
            read: RefCell::default(),
            listed: RefCell::default(),
            written: RefCell::default(),
        })
    }
}

struct MemoryTransaction<'a> {
    memory: &'a Memory,
    access: Access,
    begun: Entries,
    now: RefCell<Entries>,
    read: RefCell<BTreeSet<String>>,
    listed: RefCell<BTreeSet<String>>,
    written: RefCell<BTreeSet<String>>,
}

impl MemoryTransaction<'_> {
    fn write(&self, key: &str, value: Option<&[u8]>) -> Result<(), StorageError> {
        check_write(self.access, key, value.unwrap_or_default())?;
        self.written.borrow_mut().insert(key.into());
        let mut now = self.now.borrow_mut();
        match value {
            Some(value) => now.insert(key.into(), Entry { value: value.into(), revision: 0 }),
            None => now.remove(key),
        };
        Ok(())
    }

    fn is_current(&self) -> bool {
        let entries = self.memory.entries.borrow();
        let stamp = |entries: &Entries, key: &String| entries.get(key).map(|entry| entry.revision);
        let all = |prefix| Page { prefix, after: None, limit: 0 };
        self.read.borrow().iter().all(|key| stamp(&entries, key) == stamp(&self.begun, key))
            && self
                .listed
                .borrow()
                .iter()
                .all(|prefix| children(&entries, all(prefix)) == children(&self.begun, all(prefix)))
    }
}

impl TransactionView for MemoryTransaction<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        check_key(key)?;
        self.read.borrow_mut().insert(key.into());
        Ok(self.now.borrow().get(key).map(|entry| entry.value.clone()))
    }

    fn put(&self, key: &str, value: &[u8], _: Wrap) -> Result<(), StorageError> {
        self.write(key, Some(value))
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.write(key, None)
    }

    fn list(&self, page: Page) -> Result<Vec<String>, StorageError> {
        check_prefix(page.prefix)?;
        self.listed.borrow_mut().insert(page.prefix.into());
        Ok(children(&self.now.borrow(), page))
    }

    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        for (key, value) in self.memory.before_commit.take() {
            self.memory.set(&key, Some(&value));
        }
        if self.access == Access::ReadOnly {
            return Ok(());
        }
        if !self.is_current() {
            return Err(StorageError::Conflict);
        }
        let now = self.now.borrow();
        for key in self.written.borrow().iter() {
            self.memory.set(key, now.get(key).map(|entry| entry.value.as_slice()));
        }
        Ok(())
    }
}

/// Refuses a write that no host takes.
pub(super) fn check_write(access: Access, key: &str, value: &[u8]) -> Result<(), StorageError> {
    if access == Access::ReadOnly {
        return Err(StorageError::ReadOnly);
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(StorageError::TooLarge(VALUE_BYTES_MAX as u64));
    }
    check_key(key)
}

/// Lists the direct children of a prefix, in byte order.
fn children(entries: &Entries, page: Page) -> Vec<String> {
    let below = entries.keys().filter_map(|key| key.strip_prefix(page.prefix));
    let names = below.map(|rest| match rest.find('/') {
        Some(slash) => &rest[..=slash],
        None => rest,
    });
    // A set, because `a-b` sorts between `a` and `a/`: keys in order don't give children in order.
    let names: BTreeSet<&str> = names.filter(|name| page.after.is_none_or(|after| *name > after)).collect();
    let limit = if page.limit == 0 { PAGE_MAX } else { PAGE_MAX.min(page.limit as usize) };
    names.into_iter().take(limit).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_in_byte_order_with_folders_once() {
        let memory = Memory::default();
        for key in ["a", "a-b", "a/x", "a/y/z", "b"] {
            memory.set(key, Some(b"v"));
        }
        let list = |prefix, after, limit| children(&memory.entries.borrow(), Page { prefix, after, limit });
        assert_eq!(list("", None, 0), ["a", "a-b", "a/", "b"]);
        assert_eq!(list("a/", None, 0), ["x", "y/"]);
        assert_eq!(list("", Some("a"), 2), ["a-b", "a/"]);
        assert_eq!(list("", Some("b"), 0), [""; 0]);
    }
}
