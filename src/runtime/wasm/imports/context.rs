//! The context that a guest is lent for one call: its mount's storage, its options, its caller, the log.
//!
//! Every function starts by asking which call the handle was lent for, so what a guest reaches is decided by the handle
//! and by nothing else.

use wasmtime::component::Resource;

use super::facts::{self, context_facts};
use super::storage::{Stored, transaction_mode, value_of};
use crate::runtime::wasm::bindings::cofferdam::plugin::host::{Entry, Host, HostContext, StorageError};
use crate::runtime::wasm::bindings::cofferdam::plugin::types;
use crate::runtime::wasm::guest::Guest;
use crate::runtime::wasm::lent::{ContextHandle, TransactionHandle};
use crate::storage;

type Context = Resource<ContextHandle>;

impl Host for Guest {}

impl HostContext for Guest {
    context_facts!();

    async fn get(&mut self, context: Context, key: String) -> wasmtime::Result<Stored<Option<Vec<u8>>>> {
        let storage = &self.lent.call(&context)?.storage;
        Ok(storage.get(&key).await.map(value_of).map_err(StorageError::from))
    }

    async fn put(&mut self, context: Context, entry: Entry) -> wasmtime::Result<Stored<()>> {
        let storage = &self.lent.call(&context)?.storage;
        let Entry { key, value, seal_wrap } = entry;
        let entry = storage::Entry { value: value.into(), seal_wrap };
        Ok(storage.put(&key, &entry).await.map_err(StorageError::from))
    }

    async fn delete(&mut self, context: Context, key: String) -> wasmtime::Result<Stored<()>> {
        let storage = &self.lent.call(&context)?.storage;
        Ok(storage.delete(&key).await.map_err(StorageError::from))
    }

    async fn list(
        &mut self,
        context: Context,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Stored<Vec<String>>> {
        let storage = &self.lent.call(&context)?.storage;
        Ok(storage.list(&prefix, after.as_deref(), limit).await.map_err(StorageError::from))
    }

    async fn begin(
        &mut self,
        context: Context,
        read_only: bool,
    ) -> wasmtime::Result<Stored<Resource<TransactionHandle>>> {
        let transaction = match self.lent.call(&context)?.storage.begin(transaction_mode(read_only)).await {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Err(error.into())),
        };
        let opened = self.lent.open_transaction(&context, transaction);
        Ok(opened.map_err(|why| StorageError::Unavailable(why.to_owned())))
    }
}
