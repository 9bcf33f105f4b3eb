//! What a guest of the async world may call.
//!
//! Whatever waits looks up what was lent with the context it names, lets go of the store, and waits: for its turn, for the storage,
//! or until the call that it is for is over. After that a guest's imports still take a turn of the event loop each, so that one
//! which tries again and again keeps nobody from running, least of all whoever cancels it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::state::{ConcurrentState, Lent};
use crate::runtime::wasm::bindings::cofferdam::plugin::types::{self, Caller, Level, StorageError, Ttls};
use crate::runtime::wasm::bindings::concurrent::cofferdam::plugin::host_async::{
    self, Entry, HostContext, HostContextWithStore, HostTransaction, HostTransactionWithStore,
};
use crate::runtime::wasm::imports::facts::{self, value_of};
use crate::runtime::wasm::state::{ContextHandle, TransactionHandle};
use crate::storage::{self, TransactionMode, ViewError};

type Context = Resource<ContextHandle>;
type Handle = Resource<TransactionHandle>;
type Stored<T> = Result<T, StorageError>;

impl host_async::Host for ConcurrentState {}
impl types::Host for ConcurrentState {}

impl HostContext for ConcurrentState {
    fn call_id(&mut self, context: Context) -> wasmtime::Result<u64> {
        self.lent(&context)?;
        Ok(context.rep().into())
    }

    fn mount_id(&mut self, context: Context) -> wasmtime::Result<String> {
        Ok(self.lent(&context)?.call.scope.id.to_string())
    }

    fn mount_path(&mut self, context: Context) -> wasmtime::Result<String> {
        Ok(self.lent(&context)?.call.scope.path.to_string())
    }

    fn options(&mut self, context: Context) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(facts::options(&self.lent(&context)?.call))
    }

    fn ttls(&mut self, context: Context) -> wasmtime::Result<Ttls> {
        Ok(facts::ttls(&self.lent(&context)?.call))
    }

    fn caller(&mut self, context: Context) -> wasmtime::Result<Caller> {
        Ok(facts::caller(&self.lent(&context)?.call))
    }

    fn header(&mut self, context: Context, name: String) -> wasmtime::Result<Vec<String>> {
        Ok(facts::header(&self.lent(&context)?.call, &name))
    }

    fn log(
        &mut self,
        context: Context,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        facts::log(&self.lent(&context)?.call, level, message, fields, self.base.output.line_bytes_max());
        Ok(())
    }

    fn drop(&mut self, _context: Context) -> wasmtime::Result<()> {
        // A context is only ever lent; there is nothing to free.
        Ok(())
    }
}

impl<T: Send> HostContextWithStore<T> for HasSelf<ConcurrentState> {
    async fn sleep(
        accessor: &Accessor<T, Self>,
        context: Context,
        nanoseconds: u64,
    ) -> wasmtime::Result<Result<(), ()>> {
        let Lent { over, .. } = lent(accessor, &context)?;
        Ok(unless(&over, tokio::time::sleep(Duration::from_nanos(nanoseconds))).await.ok_or(()))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        context: Context,
        key: String,
    ) -> wasmtime::Result<Stored<Option<Vec<u8>>>> {
        let Lent { call, over } = lent(accessor, &context)?;
        let weight = call.storage.weigh_key(&key);
        stored(accessor, &over, weight, async { call.storage.get(&key).await.map(value_of) }).await
    }

    async fn put(accessor: &Accessor<T, Self>, context: Context, entry: Entry) -> wasmtime::Result<Stored<()>> {
        let Lent { call, over } = lent(accessor, &context)?;
        let Entry { key, value, seal_wrap } = entry;
        let entry = storage::Entry { value: value.into(), seal_wrap };
        let weight = call.storage.weigh_entry(&key, &entry);
        stored(accessor, &over, weight, async { call.storage.put(&key, &entry).await }).await
    }

    async fn delete(accessor: &Accessor<T, Self>, context: Context, key: String) -> wasmtime::Result<Stored<()>> {
        let Lent { call, over } = lent(accessor, &context)?;
        let weight = call.storage.weigh_key(&key);
        stored(accessor, &over, weight, async { call.storage.delete(&key).await }).await
    }

    async fn list(
        accessor: &Accessor<T, Self>,
        context: Context,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Stored<Vec<String>>> {
        let Lent { call, over } = lent(accessor, &context)?;
        let weight = call.storage.weigh_list(&prefix, after.as_deref());
        stored(accessor, &over, weight, async { call.storage.list(&prefix, after.as_deref(), limit).await }).await
    }

    async fn begin(
        accessor: &Accessor<T, Self>,
        context: Context,
        read_only: bool,
    ) -> wasmtime::Result<Stored<Handle>> {
        let Lent { call, over } = lent(accessor, &context)?;
        let mode = if read_only { TransactionMode::ReadOnly } else { TransactionMode::ReadWrite };
        let transaction = match stored(accessor, &over, Ok(0), async { call.storage.begin(mode).await }).await? {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Err(error)),
        };
        let handle = accessor.with(|mut access| access.get().open_transaction(&context, transaction));
        Ok(handle.ok_or_else(|| StorageError::Unavailable("too many transactions are open".to_owned())))
    }
}

impl HostTransaction for ConcurrentState {
    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.close_transaction(&handle);
        Ok(())
    }
}

impl<T: Send> HostTransactionWithStore<T> for HasSelf<ConcurrentState> {
    async fn get(
        accessor: &Accessor<T, Self>,
        handle: Handle,
        key: String,
    ) -> wasmtime::Result<Stored<Option<Vec<u8>>>> {
        let Some(begun) = accessor.with(|mut access| access.get().transaction(&handle)) else {
            return Ok(Err(ended()));
        };
        let weight = begun.call.storage.weigh_key(&key);
        stored(accessor, &begun.over, weight, async { begun.transaction.lock().await.get(&key).await.map(value_of) })
            .await
    }

    async fn put(accessor: &Accessor<T, Self>, handle: Handle, entry: Entry) -> wasmtime::Result<Stored<()>> {
        let Some(begun) = accessor.with(|mut access| access.get().transaction(&handle)) else {
            return Ok(Err(ended()));
        };
        let Entry { key, value, seal_wrap } = entry;
        let entry = storage::Entry { value: value.into(), seal_wrap };
        let weight = begun.call.storage.weigh_entry(&key, &entry);
        stored(accessor, &begun.over, weight, async { begun.transaction.lock().await.put(&key, &entry) }).await
    }

    async fn delete(accessor: &Accessor<T, Self>, handle: Handle, key: String) -> wasmtime::Result<Stored<()>> {
        let Some(begun) = accessor.with(|mut access| access.get().transaction(&handle)) else {
            return Ok(Err(ended()));
        };
        let weight = begun.call.storage.weigh_key(&key);
        stored(accessor, &begun.over, weight, async { begun.transaction.lock().await.delete(&key) }).await
    }

    async fn list(
        accessor: &Accessor<T, Self>,
        handle: Handle,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Stored<Vec<String>>> {
        let Some(begun) = accessor.with(|mut access| access.get().transaction(&handle)) else {
            return Ok(Err(ended()));
        };
        let list = async { begun.transaction.lock().await.list(&prefix, after.as_deref(), limit).await };
        let weight = begun.call.storage.weigh_list(&prefix, after.as_deref());
        stored(accessor, &begun.over, weight, list).await
    }

    async fn commit(accessor: &Accessor<T, Self>, handle: Handle) -> wasmtime::Result<Stored<()>> {
        let Some(begun) = accessor.with(|mut access| access.get().transaction(&handle)) else {
            return Ok(Err(ended()));
        };
        stored(accessor, &begun.over, Ok(0), async { begun.transaction.lock().await.commit().await }).await
    }
}

fn ended() -> StorageError {
    StorageError::Unavailable("the transaction is over: it ended with the call that began it".to_owned())
}

fn lent<T>(accessor: &Accessor<T, HasSelf<ConcurrentState>>, context: &Context) -> wasmtime::Result<Lent> {
    accessor.with(|mut access| access.get().lent(context).cloned())
}

/// Does something with storage when it is its turn, unless the call is over first. What is kept until then has been checked, and
/// there is room for so many bytes of it.
async fn stored<T, R>(
    accessor: &Accessor<T, HasSelf<ConcurrentState>>,
    over: &CancellationToken,
    weight: Result<usize, ViewError>,
    operation: impl Future<Output = Result<R, ViewError>>,
) -> wasmtime::Result<Stored<R>> {
    let weight = match weight {
        Ok(bytes) => u32::try_from(bytes).unwrap_or(u32::MAX),
        Err(error) => return Ok(Err(error.into())),
    };
    let (operations, waiting) = accessor.with(|mut access| (access.get().operations(), access.get().waiting()));
    let Ok(_room) = waiting.try_acquire_many(weight) else {
        return Ok(Err(StorageError::Unavailable("too much waits for storage at once".to_owned())));
    };
    let done = unless(over, async {
        let _turn = operations.acquire().await.expect("the semaphore is never closed");
        operation.await
    });
    Ok(match done.await {
        Some(result) => result.map_err(StorageError::from),
        None => Err(StorageError::Unavailable("the call was given up".to_owned())),
    })
}

/// Waits for something, unless the call is over first.
async fn unless<R>(over: &CancellationToken, waited_for: impl Future<Output = R>) -> Option<R> {
    tokio::select! {
        biased;
        () = over.cancelled() => {
            tokio::task::yield_now().await;
            None
        }
        result = waited_for => Some(result),
    }
}
