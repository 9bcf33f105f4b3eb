//! What a sandbox's store holds: the limits it runs under, its closed WASI doors, and the call that it is in.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::ResourceLimiter;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::imports::output::{GuestOutput, OutputScope, StreamName};
use super::memory::Memory;
use crate::limits::Limits;
use crate::meter::PluginMeter;
use crate::runtime::{Call, Launch};
use crate::storage::{Room, Transaction};

/// Stands for the context that a guest is lent; its handle's number is the number of the call.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ContextHandle;

/// Stands for a transaction that a guest began in the current call.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct TransactionHandle;

/// Transactions that may be open at a time in one call. Each holds what it read and wrote in the host's memory, some
/// megabytes at most; nearly every call needs one.
pub(super) const TRANSACTIONS_OPEN_MAX: usize = 4;

/// The data of one sandbox's store.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) memory: MemoryLimiter,
    pub(super) output: OutputScope,
    streams: [GuestOutput; 2],
    calls_begun: u32,
    call: Option<Call>,
    transactions: HashMap<u32, Transaction>,
    transactions_begun: u32,
    /// For all that the host keeps for the guest.
    room: Room,
}

/// What a sandbox may see of its registration.
pub(super) enum Grants<'a> {
    /// Nothing at all: it is asked what it is.
    Nothing,
    /// The arguments and variables it was registered with.
    Launch(&'a Launch),
}

impl State {
    /// Returns the state of a new sandbox.
    pub(super) fn new(limits: &Limits, grants: &Grants<'_>) -> Self {
        let output = OutputScope::new(limits.log_line_bytes_max);
        let streams = [StreamName::Stdout, StreamName::Stderr].map(|name| GuestOutput::new(name, &output));
        let [stdout, stderr] = streams.clone();
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stdout).stderr(stderr);
        wasi.max_random_size(limits.random_bytes_max);
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        if let Grants::Launch(launch) = grants {
            wasi.arg(&*launch.label).args(&launch.args);
            for pair in &launch.env {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                wasi.env(key, value);
            }
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.instance_handles_max);
        State {
            wasi: wasi.build(),
            table,
            memory: MemoryLimiter::new(limits, grants),
            output,
            streams,
            calls_begun: 0,
            call: None,
            transactions: HashMap::new(),
            transactions_begun: 0,
            room: Room::new(limits.instance_host_bytes_max, "instance_host_bytes_max"),
        }
    }

    /// Returns the room for all that the host keeps for the guest.
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// Begins a call and returns the context to lend for it.
    pub(super) fn begin(&mut self, mut call: Call) -> Resource<ContextHandle> {
        self.calls_begun = self.calls_begun.wrapping_add(1);
        self.memory.refused = false;
        self.output.enter(&call.scope);
        call.storage = call.storage.within(&self.room);
        self.call = Some(call);
        Resource::new_borrow(self.calls_begun)
    }

    /// Ends the call: what was lent is taken back, and transactions left open are undone.
    pub(super) fn end(&mut self) {
        self.call = None;
        self.transactions.clear();
        self.end_lines();
    }

    fn end_lines(&self) {
        self.streams.iter().for_each(GuestOutput::end_line);
    }

    /// Returns the call that this context was lent for. A guest cannot make or keep a context, so any other number
    /// means that the sandbox does not hold what it promises, and ends the call with a trap.
    pub(super) fn call(&self, context: &Resource<ContextHandle>) -> wasmtime::Result<&Call> {
        match &self.call {
            Some(call) if context.rep() == self.calls_begun => Ok(call),
            _ => Err(wasmtime::Error::msg("a context was used outside the call that it was lent for")),
        }
    }

    /// Keeps a transaction for the rest of the call.
    pub(super) fn open_transaction(&mut self, transaction: Transaction) -> Option<Resource<TransactionHandle>> {
        if self.transactions.len() >= TRANSACTIONS_OPEN_MAX {
            return None;
        }
        self.transactions_begun = self.transactions_begun.wrapping_add(1);
        self.transactions.insert(self.transactions_begun, transaction);
        Some(Resource::new_own(self.transactions_begun))
    }

    /// Returns a transaction, unless the call that began it is over.
    pub(super) fn transaction(&mut self, handle: &Resource<TransactionHandle>) -> Option<&mut Transaction> {
        self.transactions.get_mut(&handle.rep())
    }

    /// Lets a transaction go.
    pub(super) fn close_transaction(&mut self, handle: &Resource<TransactionHandle>) {
        self.transactions.remove(&handle.rep());
    }
}

/// A trap often cuts off the very line that says why.
impl Drop for State {
    fn drop(&mut self) {
        self.end_lines();
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

// ------------------------------------------------------------------------------------------------------------
// MemoryLimiter

/// Holds all memories of a sandbox together below one limit, and remembers if it had to in the current call.
pub(super) struct MemoryLimiter {
    table_elements_max: usize,
    memory: Arc<Memory>,
    refused: bool,
    /// Where its bytes count; `None` for a sandbox that only says what it is.
    meter: Option<Arc<PluginMeter>>,
}

impl MemoryLimiter {
    fn new(limits: &Limits, grants: &Grants<'_>) -> Self {
        let meter = match grants {
            Grants::Nothing => None,
            Grants::Launch(launch) => Some(Arc::clone(&launch.meter)),
        };
        Self {
            meter,
            memory: Arc::new(Memory::new(limits.instance_memory_bytes_max)),
            table_elements_max: limits.instance_table_elements_max,
            refused: false,
        }
    }

    /// Returns the limit if the guest was refused memory, which is the likely reason of the trap that follows.
    pub(super) fn exhausted(&self) -> Option<usize> {
        self.refused.then_some(self.memory.bytes_max())
    }

    /// Returns what is known of the guest's memory outside its store.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = desired.saturating_sub(current);
        if !self.memory.grow(bytes) {
            self.refused = true;
            return Ok(false);
        }
        if let Some(meter) = &self.meter {
            meter.memory_grew(bytes);
        }
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.table_elements_max)
    }
}

impl Drop for MemoryLimiter {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.memory_went(self.memory.bytes());
        }
    }
}
