//! What a guest of the async world may call.
//!
//! Whatever waits looks up what was lent with the context it names, lets go of the store, and waits: for its turn, for
//! the storage, or until the call that it is for is over. After that a guest's imports still take a turn of the event
//! loop each, so that a guest that tries again and again keeps no other call from running, nor its own cancellation.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::facts::{self, context_facts};
use super::storage::{Stored, transaction_is_over, transaction_mode, value_of};
use super::turns::Answer;
use crate::runtime::wasm::bindings::cofferdam::plugin::types::{self, StorageError};
use crate::runtime::wasm::bindings::concurrent::cofferdam::plugin::host_async::{
    Entry, Host, HostContext, HostContextWithStore, HostTransaction, HostTransactionWithStore,
};
use crate::runtime::wasm::guest::Guest;
use crate::runtime::wasm::lent::{ContextHandle, SharedCall, TransactionHandle};
use crate::storage::{self, Taken, Transaction, ViewError, Write};

type Context = Resource<ContextHandle>;
type Handle = Resource<TransactionHandle>;

impl Host for Guest {}

impl HostContext for Guest {
    context_facts!();

    fn call_id(&mut self, context: Context) -> wasmtime::Result<u64> {
        self.lent.call(&context)?;
        Ok(context.rep().into())
    }
}

impl<T: Send> HostContextWithStore<T> for HasSelf<Guest> {
    async fn sleep(
        accessor: &Accessor<T, Self>,
        context: Context,
        nanoseconds: u64,
    ) -> wasmtime::Result<Result<(), ()>> {
        let shared = lent(accessor, &context)?;
        Ok(unless(&shared.over, tokio::time::sleep(Duration::from_nanos(nanoseconds))).await.ok_or(()))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        context: Context,
        key: String,
    ) -> wasmtime::Result<Stored<Option<Vec<u8>>>> {
        let shared = lent(accessor, &context)?;
        let call = &shared.call;
        let kept = call.storage.keep_key(&key);
        let answer_bytes_max = call.storage.value_bytes_max();
        let get = async { call.storage.get(&key).await.map(value_of) };
        Ok(stored(&shared, kept, answer_bytes_max, get).await)
    }

    async fn put(accessor: &Accessor<T, Self>, context: Context, entry: Entry) -> wasmtime::Result<Stored<()>> {
        let shared = lent(accessor, &context)?;
        let call = &shared.call;
        let Entry { key, value, seal_wrap } = entry;
        let write = call.storage.prepare_put(&key, &storage::Entry { value: value.into(), seal_wrap });
        Ok(written(&shared, write).await)
    }

    async fn delete(accessor: &Accessor<T, Self>, context: Context, key: String) -> wasmtime::Result<Stored<()>> {
        let shared = lent(accessor, &context)?;
        let call = &shared.call;
        let write = call.storage.prepare_delete(&key);
        Ok(written(&shared, write).await)
    }

    async fn list(
        accessor: &Accessor<T, Self>,
        context: Context,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Stored<Vec<String>>> {
        let shared = lent(accessor, &context)?;
        let call = &shared.call;
        let kept = call.storage.keep_list(&prefix, after.as_deref());
        let answer_bytes_max = call.storage.list_bytes_max(limit);
        let list = async { call.storage.list(&prefix, after.as_deref(), limit).await };
        Ok(stored(&shared, kept, answer_bytes_max, list).await)
    }

    async fn begin(
        accessor: &Accessor<T, Self>,
        context: Context,
        read_only: bool,
    ) -> wasmtime::Result<Stored<Handle>> {
        let shared = lent(accessor, &context)?;
        let call = &shared.call;
        let begin = async { call.storage.begin(transaction_mode(read_only)).await };
        let transaction = match stored(&shared, Ok(None), 0, begin).await {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Err(error)),
        };
        let opened = accessor.with(|mut access| access.get().lent.open_transaction(&context, transaction));
        Ok(opened.map_err(|why| StorageError::Unavailable(why.to_owned())))
    }
}

impl HostTransaction for Guest {
    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.lent.close_transaction(&handle);
        Ok(())
    }
}

impl<T: Send> HostTransactionWithStore<T> for HasSelf<Guest> {
    async fn get(
        accessor: &Accessor<T, Self>,
        handle: Handle,
        key: String,
    ) -> wasmtime::Result<Stored<Option<Vec<u8>>>> {
        let Some((shared, transaction)) = begun(accessor, &handle) else { return Ok(Err(transaction_is_over())) };
        let kept = shared.call.storage.keep_key(&key);
        let answer_bytes_max = shared.call.storage.value_bytes_max();
        let get = async { transaction.lock().await.get(&key).await.map(value_of) };
        Ok(stored(&shared, kept, answer_bytes_max, get).await)
    }

    async fn put(accessor: &Accessor<T, Self>, handle: Handle, entry: Entry) -> wasmtime::Result<Stored<()>> {
        let Some((shared, transaction)) = begun(accessor, &handle) else { return Ok(Err(transaction_is_over())) };
        let Entry { key, value, seal_wrap } = entry;
        let entry = storage::Entry { value: value.into(), seal_wrap };
        let kept = shared.call.storage.keep_entry(&key, &entry);
        Ok(stored(&shared, kept, 0, async { transaction.lock().await.put(&key, &entry) }).await)
    }

    async fn delete(accessor: &Accessor<T, Self>, handle: Handle, key: String) -> wasmtime::Result<Stored<()>> {
        let Some((shared, transaction)) = begun(accessor, &handle) else { return Ok(Err(transaction_is_over())) };
        let kept = shared.call.storage.keep_key(&key);
        Ok(stored(&shared, kept, 0, async { transaction.lock().await.delete(&key) }).await)
    }

    async fn list(
        accessor: &Accessor<T, Self>,
        handle: Handle,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Stored<Vec<String>>> {
        let Some((shared, transaction)) = begun(accessor, &handle) else { return Ok(Err(transaction_is_over())) };
        let list = async { transaction.lock().await.list(&prefix, after.as_deref(), limit).await };
        let kept = shared.call.storage.keep_list(&prefix, after.as_deref());
        let answer_bytes_max = shared.call.storage.list_bytes_max(limit);
        Ok(stored(&shared, kept, answer_bytes_max, list).await)
    }

    async fn commit(accessor: &Accessor<T, Self>, handle: Handle) -> wasmtime::Result<Stored<()>> {
        let Some((shared, transaction)) = begun(accessor, &handle) else { return Ok(Err(transaction_is_over())) };
        Ok(stored(&shared, Ok(None), 0, async { transaction.lock().await.commit().await }).await)
    }
}

fn lent<T>(accessor: &Accessor<T, HasSelf<Guest>>, context: &Context) -> wasmtime::Result<Arc<SharedCall>> {
    accessor.with(|mut access| access.get().lent.shared_call(context))
}

fn begun<T>(
    accessor: &Accessor<T, HasSelf<Guest>>,
    handle: &Handle,
) -> Option<(Arc<SharedCall>, Arc<Mutex<Transaction>>)> {
    accessor.with(|mut access| access.get().lent.shared_transaction(handle))
}

/// Writes what was prepared.
async fn written(shared: &SharedCall, write: Result<Write, ViewError>) -> Stored<()> {
    stored(shared, Ok(None), 0, shared.call.storage.write(write?)).await
}

/// Does something with storage when it is its turn, unless the call is over first. What is kept until then was checked,
/// and counts; and there is room for the largest answer before it is asked for.
async fn stored<R: Answer>(
    shared: &SharedCall,
    kept: Result<Option<Taken>, ViewError>,
    answer_bytes_max: usize,
    operation: impl Future<Output = Result<R, ViewError>>,
) -> Stored<R> {
    let _kept = kept?;
    let done = unless(&shared.over, shared.turns.run(answer_bytes_max, operation)).await;
    done.ok_or_else(|| StorageError::Unavailable("the call was given up".to_owned()))?.map_err(StorageError::from)
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
