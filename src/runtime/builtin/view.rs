//! What a built-in plugin is lent for one call: the same view of its mount as a guest's.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;

use cofferdam_sdk::embed::{Access, Facts, Page, TransactionView, View, Wrap};
use cofferdam_sdk::{Caller, Level, StorageError, Ttls};
use tokio::runtime::Handle;

use super::line::Line;
use crate::request;
use crate::runtime::Call;
use crate::storage::{Entry, Transaction, TransactionMode, ViewError};

/// One call, on the plugin's thread.
pub(super) struct CallView {
    pub(super) call: Call,
    pub(super) line: Arc<Line>,
    /// What drives the storage.
    pub(super) runtime: Handle,
    pub(super) line_bytes_max: usize,
}

impl CallView {
    /// Waits for the storage, on this thread.
    fn wait<T>(&self, asked: impl Future<Output = Result<T, ViewError>>) -> Result<T, StorageError> {
        self.runtime.block_on(self.line.drive(async { asked.await.map_err(said) }))
    }
}

impl Facts for CallView {
    fn mount_id(&self) -> String {
        self.call.scope.id.to_string()
    }

    fn mount_path(&self) -> String {
        self.call.scope.path.to_string()
    }

    fn options(&self) -> Vec<(String, String)> {
        self.call.scope.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn ttls(&self) -> Ttls {
        Ttls { default: self.call.scope.default_ttl, max: self.call.scope.max_ttl }
    }

    fn caller(&self) -> Caller {
        let remote_address = self.call.remote_address.map(|address| address.to_string()).unwrap_or_default();
        match &self.call.caller {
            request::Caller::Known(identity) => Caller {
                display_name: identity.display_name.clone(),
                entity_id: identity.entity_id.clone(),
                token_accessor: identity.token_accessor.clone(),
                remote_address,
                policies: identity.policies.clone(),
            },
            request::Caller::Anonymous => Caller { remote_address, ..Caller::default() },
        }
    }

    fn header(&self, name: &str) -> Vec<String> {
        let name = name.to_ascii_lowercase();
        if !self.call.scope.passthrough_headers.contains(&name) {
            return Vec::new();
        }
        self.call.headers.as_ref().map(|headers| headers.get(&name)).unwrap_or_default()
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let mut line = message.to_owned();
        for (name, value) in fields {
            line.extend([" ", name, "=", value]);
        }
        line.truncate(line.floor_char_boundary(self.line_bytes_max));
        self.call.scope.log_line(Some(self.call.scope.path.as_str()), tracing_level(level), &line);
    }
}

impl View for CallView {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.wait(self.call.storage.get(key)).map(value_of)
    }

    fn put(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError> {
        self.wait(self.call.storage.put(key, &entry(value, wrap)))
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.wait(self.call.storage.delete(key))
    }

    fn list(&self, page: Page) -> Result<Vec<String>, StorageError> {
        self.wait(self.call.storage.list(page.prefix, page.after, page.limit))
    }

    fn begin(&self, access: Access) -> Result<Box<dyn TransactionView + '_>, StorageError> {
        let mode = match access {
            Access::ReadOnly => TransactionMode::ReadOnly,
            Access::ReadWrite => TransactionMode::ReadWrite,
        };
        let transaction = RefCell::new(self.wait(self.call.storage.begin(mode))?);
        Ok(Box::new(CallTransaction { view: self, transaction }))
    }
}

/// A transaction of this call.
struct CallTransaction<'a> {
    view: &'a CallView,
    transaction: RefCell<Transaction>,
}

impl TransactionView for CallTransaction<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let mut transaction = self.transaction.borrow_mut();
        self.view.wait(transaction.get(key)).map(value_of)
    }

    fn put(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError> {
        self.transaction.borrow_mut().put(key, &entry(value, wrap)).map_err(said)
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.transaction.borrow_mut().delete(key).map_err(said)
    }

    fn list(&self, page: Page) -> Result<Vec<String>, StorageError> {
        let mut transaction = self.transaction.borrow_mut();
        self.view.wait(transaction.list(page.prefix, page.after, page.limit))
    }

    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        let mut transaction = self.transaction.into_inner();
        self.view.wait(transaction.commit())
    }
}

fn value_of(entry: Option<Entry>) -> Option<Vec<u8>> {
    entry.map(|entry| entry.value.into())
}

fn entry(value: &[u8], wrap: Wrap) -> Entry {
    Entry { value: value.to_vec().into(), seal_wrap: wrap == Wrap::Seal }
}

fn said(error: ViewError) -> StorageError {
    match error {
        ViewError::ReadOnly => StorageError::ReadOnly,
        ViewError::TooLarge(limit) => StorageError::TooLarge(limit),
        ViewError::InvalidKey(why) => StorageError::InvalidKey(why),
        ViewError::Conflict => StorageError::Conflict,
        ViewError::Unavailable(why) => StorageError::Unavailable(why),
    }
}

fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Trace => tracing::Level::TRACE,
        Level::Debug => tracing::Level::DEBUG,
        Level::Info => tracing::Level::INFO,
        Level::Warn => tracing::Level::WARN,
        Level::Error => tracing::Level::ERROR,
    }
}
