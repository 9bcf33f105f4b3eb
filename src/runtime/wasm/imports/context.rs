//! The context that a guest is lent for one call: its mount's storage, its options, its caller, the log.
//!
//! Every function starts by asking which call the handle was lent for, so what a guest reaches is decided by the handle
//! and by nothing else.

use wasmtime::component::Resource;

use super::facts::{self, value_of};
use crate::runtime::wasm::bindings::cofferdam::plugin::host::{Caller, Entry, HostContext, Level, StorageError, Ttls};
use crate::runtime::wasm::state::{ContextHandle, State, TransactionHandle};
use crate::storage::{self, TransactionMode};

type Context = Resource<ContextHandle>;
type Stored<T> = Result<T, StorageError>;

impl HostContext for State {
    fn mount_id(&mut self, context: Context) -> wasmtime::Result<String> {
        Ok(self.call(&context)?.scope.id.to_string())
    }

    fn mount_path(&mut self, context: Context) -> wasmtime::Result<String> {
        Ok(self.call(&context)?.scope.path.to_string())
    }

    fn options(&mut self, context: Context) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(facts::options(self.call(&context)?))
    }

    fn ttls(&mut self, context: Context) -> wasmtime::Result<Ttls> {
        Ok(facts::ttls(self.call(&context)?))
    }

    fn caller(&mut self, context: Context) -> wasmtime::Result<Caller> {
        Ok(facts::caller(self.call(&context)?))
    }

    fn header(&mut self, context: Context, name: String) -> wasmtime::Result<Vec<String>> {
        Ok(facts::header(self.call(&context)?, &name))
    }

    fn log(
        &mut self,
        context: Context,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        facts::log(self.call(&context)?, level, message, fields, self.output.line_bytes_max());
        Ok(())
    }

    async fn get(&mut self, context: Context, key: String) -> wasmtime::Result<Stored<Option<Vec<u8>>>> {
        let storage = &self.call(&context)?.storage;
        Ok(storage.get(&key).await.map(value_of).map_err(StorageError::from))
    }

    async fn put(&mut self, context: Context, entry: Entry) -> wasmtime::Result<Stored<()>> {
        let storage = &self.call(&context)?.storage;
        let Entry { key, value, seal_wrap } = entry;
        let entry = storage::Entry { value: value.into(), seal_wrap };
        Ok(storage.put(&key, &entry).await.map_err(StorageError::from))
    }

    async fn delete(&mut self, context: Context, key: String) -> wasmtime::Result<Stored<()>> {
        let storage = &self.call(&context)?.storage;
        Ok(storage.delete(&key).await.map_err(StorageError::from))
    }

    async fn list(
        &mut self,
        context: Context,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Stored<Vec<String>>> {
        let storage = &self.call(&context)?.storage;
        Ok(storage.list(&prefix, after.as_deref(), limit).await.map_err(StorageError::from))
    }

    async fn begin(
        &mut self,
        context: Context,
        read_only: bool,
    ) -> wasmtime::Result<Stored<Resource<TransactionHandle>>> {
        let mode = if read_only { TransactionMode::ReadOnly } else { TransactionMode::ReadWrite };
        let transaction = match self.call(&context)?.storage.begin(mode).await {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Err(error.into())),
        };
        Ok(self
            .open_transaction(transaction)
            .ok_or_else(|| StorageError::Unavailable("too many transactions are open in this call".to_owned())))
    }

    fn drop(&mut self, _context: Context) -> wasmtime::Result<()> {
        // A context is only ever lent; there is nothing to free.
        Ok(())
    }
}
