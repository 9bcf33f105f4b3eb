//! What a guest of the async world may call.
//!
//! Whatever waits looks up what was lent with the context it names, lets go of the store, and waits: for its turn, for
//! the storage, or until the call that it is for is over. After that a guest's imports still take a turn of the event
//! loop each, so that one which tries again and again keeps nobody from running, least of all whoever cancels it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::state::{ConcurrentState, Lent};
use crate::runtime::Call;
use crate::runtime::wasm::bindings::cofferdam::plugin::types::{self, Caller, Level, StorageError, Ttls};
use crate::runtime::wasm::bindings::concurrent::cofferdam::plugin::host_async::{
    self, Entry, HostContext, HostContextWithStore, HostTransaction, HostTransactionWithStore,
};
use crate::runtime::wasm::imports::facts::{self, value_of};
use crate::runtime::wasm::state::{ContextHandle, TransactionHandle};
use crate::storage::{self, Taken, Transaction, TransactionMode, ViewError, Write};

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
        let kept = call.storage.keep_key(&key);
        let answer_bytes_max = call.storage.value_bytes_max();
        let get = async { call.storage.get(&key).await.map(value_of) };
        stored(accessor, &over, kept, answer_bytes_max, get).await
    }

    async fn put(accessor: &Accessor<T, Self>, context: Context, entry: Entry) -> wasmtime::Result<Stored<()>> {
        let Lent { call, over } = lent(accessor, &context)?;
        let Entry { key, value, seal_wrap } = entry;
        let write = call.storage.prepare_put(&key, &storage::Entry { value: value.into(), seal_wrap });
        written(accessor, &over, &call, write).await
    }

    async fn delete(accessor: &Accessor<T, Self>, context: Context, key: String) -> wasmtime::Result<Stored<()>> {
        let Lent { call, over } = lent(accessor, &context)?;
        let write = call.storage.prepare_delete(&key);
        written(accessor, &over, &call, write).await
    }

    async fn list(
        accessor: &Accessor<T, Self>,
        context: Context,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Stored<Vec<String>>> {
        let Lent { call, over } = lent(accessor, &context)?;
        let kept = call.storage.keep_list(&prefix, after.as_deref());
        let answer_bytes_max = call.storage.list_bytes_max(limit);
        let list = async { call.storage.list(&prefix, after.as_deref(), limit).await };
        stored(accessor, &over, kept, answer_bytes_max, list).await
    }

    async fn begin(
        accessor: &Accessor<T, Self>,
        context: Context,
        read_only: bool,
    ) -> wasmtime::Result<Stored<Handle>> {
        let Lent { call, over } = lent(accessor, &context)?;
        let mode = if read_only { TransactionMode::ReadOnly } else { TransactionMode::ReadWrite };
        let begin = async { call.storage.begin(mode).await };
        let transaction = match stored(accessor, &over, Ok(None), 0, begin).await? {
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
        let kept = begun.call.storage.keep_key(&key);
        let answer_bytes_max = begun.call.storage.value_bytes_max();
        let get = async { begun.transaction.lock().await.get(&key).await.map(value_of) };
        stored(accessor, &begun.over, kept, answer_bytes_max, get).await
    }

    async fn put(accessor: &Accessor<T, Self>, handle: Handle, entry: Entry) -> wasmtime::Result<Stored<()>> {
        let Some(begun) = accessor.with(|mut access| access.get().transaction(&handle)) else {
            return Ok(Err(ended()));
        };
        let Entry { key, value, seal_wrap } = entry;
        let entry = storage::Entry { value: value.into(), seal_wrap };
        let kept = begun.call.storage.keep_entry(&key, &entry);
        stored(accessor, &begun.over, kept, 0, async { begun.transaction.lock().await.put(&key, &entry) }).await
    }

    async fn delete(accessor: &Accessor<T, Self>, handle: Handle, key: String) -> wasmtime::Result<Stored<()>> {
        let Some(begun) = accessor.with(|mut access| access.get().transaction(&handle)) else {
            return Ok(Err(ended()));
        };
        let kept = begun.call.storage.keep_key(&key);
        stored(accessor, &begun.over, kept, 0, async { begun.transaction.lock().await.delete(&key) }).await
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
        let kept = begun.call.storage.keep_list(&prefix, after.as_deref());
        let answer_bytes_max = begun.call.storage.list_bytes_max(limit);
        stored(accessor, &begun.over, kept, answer_bytes_max, list).await
    }

    async fn commit(accessor: &Accessor<T, Self>, handle: Handle) -> wasmtime::Result<Stored<()>> {
        let Some(begun) = accessor.with(|mut access| access.get().transaction(&handle)) else {
            return Ok(Err(ended()));
        };
        stored(accessor, &begun.over, Ok(None), 0, async { begun.transaction.lock().await.commit().await }).await
    }
}

fn ended() -> StorageError {
    StorageError::Unavailable("the transaction is over: it ended with the call that began it".to_owned())
}

fn lent<T>(accessor: &Accessor<T, HasSelf<ConcurrentState>>, context: &Context) -> wasmtime::Result<Lent> {
    accessor.with(|mut access| access.get().lent(context).cloned())
}

/// Writes what was prepared.
async fn written<T>(
    accessor: &Accessor<T, HasSelf<ConcurrentState>>,
    over: &CancellationToken,
    call: &Call,
    write: Result<Write, ViewError>,
) -> wasmtime::Result<Stored<()>> {
    match write {
        Ok(write) => stored(accessor, over, Ok(None), 0, call.storage.write(write)).await,
        Err(error) => Ok(Err(error.into())),
    }
}

/// Does something with storage when it is its turn, unless the call is over first. What is kept until then was checked,
/// and counts; and there is room for the largest answer before it is asked for.
async fn stored<T, R: Answer>(
    accessor: &Accessor<T, HasSelf<ConcurrentState>>,
    over: &CancellationToken,
    kept: Result<Option<Taken>, ViewError>,
    answer_bytes_max: usize,
    operation: impl Future<Output = Result<R, ViewError>>,
) -> wasmtime::Result<Stored<R>> {
    let _kept = match kept {
        Ok(kept) => kept,
        Err(error) => return Ok(Err(error.into())),
    };
    let (operations, answers) = accessor.with(|mut access| {
        let state = access.get();
        (state.operations(), Arc::clone(state.answers()))
    });
    let done = unless(over, async {
        let _turn = operations.acquire().await.expect("the semaphore is never closed");
        let reserved = if answer_bytes_max > 0 { answers.reserve(answer_bytes_max).await } else { None };
        let done = operation.await;
        answers.came(reserved, done.as_ref().map_or(0, Answer::bytes));
        done
    });
    Ok(match done.await {
        Some(result) => result.map_err(StorageError::from),
        None => Err(StorageError::Unavailable("the call was given up".to_owned())),
    })
}

/// What comes of an operation, which is in the host's memory until the guest has it.
trait Answer {
    /// Returns how many bytes that are.
    fn bytes(&self) -> usize;
}

impl Answer for Option<Vec<u8>> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, Vec::len)
    }
}

impl Answer for Vec<String> {
    fn bytes(&self) -> usize {
        self.iter().map(|child| size_of::<String>() + child.len()).sum()
    }
}

impl Answer for () {
    fn bytes(&self) -> usize {
        0
    }
}

/// What it holds counts by itself.
impl Answer for Transaction {
    fn bytes(&self) -> usize {
        0
    }
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
