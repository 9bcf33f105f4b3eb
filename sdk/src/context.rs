//! One call's view of the world.

use std::time::Duration;

use crate::error::Error;
use crate::storage::{Sealed, Storage, Transaction};
use crate::stored::{Page, StorageError, Wrap};
use crate::view::{Access, View};

/// How often [`Context::transact`] starts again after a conflict. Each lost round means that somebody else's commit
/// went through, so more than this is a hot key rather than bad luck, and the caller is told.
pub(crate) const ATTEMPTS_MAX: u32 = 16;

/// What both kinds of context tell of a call, and its log.
macro_rules! facts {
    () => {
        /// Returns the mount's id: the same for as long as the mount exists, also when it is moved.
        pub fn mount_id(&self) -> String {
            self.view.mount_id()
        }

        /// Returns where the mount is now, ending in `/`.
        pub fn mount_path(&self) -> String {
            self.view.mount_path()
        }

        /// Returns the mount's options, as given with `-options`.
        pub fn options(&self) -> Vec<(String, String)> {
            self.view.options()
        }

        /// Returns one of the mount's options.
        pub fn option(&self, name: &str) -> Option<String> {
            self.options().into_iter().find_map(|(key, value)| (key == name).then_some(value))
        }

        /// Returns how long the mount's leases live.
        pub fn ttls(&self) -> Ttls {
            self.view.ttls()
        }

        /// Returns who made the request.
        pub fn caller(&self) -> Caller {
            self.view.caller()
        }

        /// Returns the values of a request header, if the mount's `passthrough_request_headers` names it.
        pub fn header(&self, name: &str) -> Vec<String> {
            self.view.header(name)
        }

        /// Writes to the host's log, with fields that can be searched for. Never log a secret.
        pub fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
            self.view.log(level, message, fields);
        }

        /// Logs at [`Level::Debug`].
        pub fn debug(&self, message: &str) {
            self.log(Level::Debug, message, &[]);
        }

        /// Logs at [`Level::Info`].
        pub fn info(&self, message: &str) {
            self.log(Level::Info, message, &[]);
        }

        /// Logs at [`Level::Warn`].
        pub fn warn(&self, message: &str) {
            self.log(Level::Warn, message, &[]);
        }

        /// Logs at [`Level::Error`].
        pub fn error(&self, message: &str) {
            self.log(Level::Error, message, &[]);
        }
    };
}
#[cfg(feature = "async")]
pub(crate) use facts;

/// What the host lends a plugin for one call: the mount's storage and options, who is calling, the log.
///
/// It is also [`Storage`]: bring that trait into scope for `get`, `put`, `list` and their JSON forms.
pub struct Context<'a> {
    view: &'a dyn View,
}

impl<'a> Context<'a> {
    pub(crate) fn new(view: &'a dyn View) -> Self {
        Self { view }
    }

    facts!();

    /// Begins a transaction that can write. Dropping it uncommitted undoes it.
    pub fn begin(&self) -> Result<Transaction<'_>, StorageError> {
        Ok(Transaction::new(self.view.begin(Access::ReadWrite)?))
    }

    /// Begins a transaction that only reads, all of it from one moment in time.
    pub fn snapshot(&self) -> Result<Transaction<'_>, StorageError> {
        Ok(Transaction::new(self.view.begin(Access::ReadOnly)?))
    }

    /// Runs `body` in a transaction and commits it, starting again when somebody else changed what it read.
    ///
    /// `body` may therefore run several times, and should have no effect but on the transaction. An error from it
    /// undoes what it wrote; after 16 lost rounds the answer is [`Error::Conflict`].
    pub fn transact<T>(&self, mut body: impl FnMut(&Transaction) -> Result<T, Error>) -> Result<T, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let transaction = self.begin()?;
            match body(&transaction) {
                Err(_) if transaction.is_lost() => continue,
                Err(error) => return Err(error),
                Ok(value) => match transaction.commit() {
                    Ok(()) => return Ok(value),
                    Err(StorageError::Conflict) => continue,
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Err(StorageError::Conflict.into())
    }
}

impl Sealed for Context<'_> {
    fn write(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError> {
        self.view.put(key, value, wrap)
    }

    fn page(&self, page: Page) -> Result<Vec<String>, StorageError> {
        self.view.list(page)
    }
}

impl Storage for Context<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.view.get(key)
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.view.delete(key)
    }
}

/// How loud a log line is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps in finding a fault.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What an operator should look at.
    Warn,
    /// What an operator must look at.
    Error,
}

/// How long a mount's leases live when nothing else is said, and at most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ttls {
    /// Used where a lease names no TTL.
    pub default: Duration,
    /// No lease lives longer.
    pub max: Duration,
}

/// Who made a request. All empty in calls that no request caused; on unauthenticated paths only the address is known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Caller {
    /// The token's display name.
    pub display_name: String,
    /// The entity that the token belongs to.
    pub entity_id: String,
    /// Names the token without being it.
    pub token_accessor: String,
    /// Where the request came from, as `address:port`.
    pub remote_address: String,
    /// The token's policies.
    pub policies: Vec<String>,
}
