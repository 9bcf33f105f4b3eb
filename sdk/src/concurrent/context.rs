//! One call's view of the world, where what waits is `async`.

use std::time::Duration;

use super::{AsyncStorage, AsyncTransaction};
use crate::context::{ATTEMPTS_MAX, facts};
use crate::error::Error;
use crate::stored::{Page, StorageError, Wrap};
use crate::view::{Access, AsyncView};
use crate::{Caller, Level, Ttls};

/// What the host lends a plugin for one call: [`Context`](crate::Context), for plugins whose instances serve many calls
/// at once.
///
/// It is also [`AsyncStorage`]: bring that trait into scope for `get`, `put`, `list` and their JSON forms.
pub struct AsyncContext<'a> {
    view: &'a dyn AsyncView,
}

impl<'a> AsyncContext<'a> {
    pub(crate) fn new(view: &'a dyn AsyncView) -> Self {
        Self { view }
    }

    facts!();

    /// Waits, while the instance goes on with other calls. The error is [`Error::Unavailable`]: the call was given up
    /// meanwhile.
    pub async fn sleep(&self, time: Duration) -> Result<(), Error> {
        self.view.sleep(time).await.map_err(|()| Error::Unavailable("request was given up".into()))
    }

    /// Begins a transaction that can write. Dropping it uncommitted undoes it.
    pub async fn begin(&self) -> Result<AsyncTransaction<'_>, StorageError> {
        Ok(AsyncTransaction::new(self.view.begin(Access::ReadWrite).await?))
    }

    /// Begins a transaction that only reads, all of it from one moment in time.
    pub async fn snapshot(&self) -> Result<AsyncTransaction<'_>, StorageError> {
        Ok(AsyncTransaction::new(self.view.begin(Access::ReadOnly).await?))
    }

    /// Runs `body` in a transaction and commits it, starting again when somebody else changed what it read, as
    /// [`Context::transact`](crate::Context::transact) does.
    pub async fn transact<T>(
        &self,
        mut body: impl AsyncFnMut(&AsyncTransaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let transaction = self.begin().await?;
            match body(&transaction).await {
                Err(_) if transaction.is_lost() => continue,
                Err(error) => return Err(error),
                Ok(value) => match transaction.commit().await {
                    Ok(()) => return Ok(value),
                    Err(StorageError::Conflict) => continue,
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Err(StorageError::Conflict.into())
    }
}

impl super::storage::Sealed for AsyncContext<'_> {
    async fn write(&self, key: &str, value: &[u8], wrap: Wrap) -> Result<(), StorageError> {
        self.view.put(key, value, wrap).await
    }

    async fn page(&self, page: Page<'_>) -> Result<Vec<String>, StorageError> {
        self.view.list(page).await
    }
}

impl AsyncStorage for AsyncContext<'_> {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.view.get(key).await
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.view.delete(key).await
    }
}
