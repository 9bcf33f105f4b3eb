//! Transactions that a guest began: they live as long as the call they were begun in.

use wasmtime::component::Resource;

use super::storage::{Stored, transaction_is_over, value_of};
use crate::runtime::wasm::bindings::cofferdam::plugin::host::{Entry, HostTransaction, StorageError};
use crate::runtime::wasm::guest::Guest;
use crate::runtime::wasm::lent::TransactionHandle;
use crate::storage;

type Handle = Resource<TransactionHandle>;

impl HostTransaction for Guest {
    async fn get(&mut self, handle: Handle, key: String) -> wasmtime::Result<Stored<Option<Vec<u8>>>> {
        let Some(transaction) = self.lent.transaction(&handle) else { return Ok(Err(transaction_is_over())) };
        Ok(transaction.get(&key).await.map(value_of).map_err(StorageError::from))
    }

    async fn put(&mut self, handle: Handle, entry: Entry) -> wasmtime::Result<Stored<()>> {
        let Some(transaction) = self.lent.transaction(&handle) else { return Ok(Err(transaction_is_over())) };
        let Entry { key, value, seal_wrap } = entry;
        let entry = storage::Entry { value: value.into(), seal_wrap };
        Ok(transaction.put(&key, &entry).map_err(StorageError::from))
    }

    async fn delete(&mut self, handle: Handle, key: String) -> wasmtime::Result<Stored<()>> {
        let Some(transaction) = self.lent.transaction(&handle) else { return Ok(Err(transaction_is_over())) };
        Ok(transaction.delete(&key).map_err(StorageError::from))
    }

    async fn list(
        &mut self,
        handle: Handle,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Stored<Vec<String>>> {
        let Some(transaction) = self.lent.transaction(&handle) else { return Ok(Err(transaction_is_over())) };
        Ok(transaction.list(&prefix, after.as_deref(), limit).await.map_err(StorageError::from))
    }

    async fn commit(&mut self, handle: Handle) -> wasmtime::Result<Stored<()>> {
        let Some(transaction) = self.lent.transaction(&handle) else { return Ok(Err(transaction_is_over())) };
        Ok(transaction.commit().await.map_err(StorageError::from))
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.lent.close_transaction(&handle);
        Ok(())
    }
}
