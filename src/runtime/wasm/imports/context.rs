//! The context that a guest is lent for one call: its mount's storage, its options, its caller, the log.
//!
//! Every function starts by asking which call the handle was lent for, so what a guest reaches is decided by the handle and by
//! nothing else.

use wasmtime::component::Resource;

use super::output::emit;
use crate::request::Caller as RequestCaller;
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
        let options = &self.call(&context)?.scope.options;
        Ok(options.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn ttls(&mut self, context: Context) -> wasmtime::Result<Ttls> {
        let scope = &self.call(&context)?.scope;
        Ok(Ttls { default_seconds: scope.default_ttl.as_secs(), max_seconds: scope.max_ttl.as_secs() })
    }

    fn caller(&mut self, context: Context) -> wasmtime::Result<Caller> {
        let call = self.call(&context)?;
        let remote_address = call.remote_address.map(|address| address.to_string()).unwrap_or_default();
        Ok(match &call.caller {
            RequestCaller::Known(identity) => Caller {
                display_name: identity.display_name.clone(),
                entity_id: identity.entity_id.clone(),
                token_accessor: identity.token_accessor.clone(),
                remote_address,
                policies: identity.policies.clone(),
            },
            RequestCaller::Anonymous => Caller {
                display_name: String::new(),
                entity_id: String::new(),
                token_accessor: String::new(),
                remote_address,
                policies: Vec::new(),
            },
        })
    }

    fn header(&mut self, context: Context, name: String) -> wasmtime::Result<Vec<String>> {
        let call = self.call(&context)?;
        let name = name.to_ascii_lowercase();
        if !call.scope.passthrough_headers.contains(&name) {
            return Ok(Vec::new());
        }
        Ok(call.headers.as_ref().map(|headers| headers.get(&name)).unwrap_or_default())
    }

    fn log(
        &mut self,
        context: Context,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let mut line = message;
        for (name, value) in fields {
            line.push(' ');
            line.push_str(&name);
            line.push('=');
            line.push_str(&value);
        }
        line.truncate(line.floor_char_boundary(self.output.line_bytes_max()));
        emit(&self.call(&context)?.scope, tracing_level(level), &line);
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

/// Returns an entry's value for a guest.
pub(super) fn value_of(entry: Option<storage::Entry>) -> Option<Vec<u8>> {
    entry.map(|entry| entry.value.into())
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
