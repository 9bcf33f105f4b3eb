//! What the host keeps of one guest, whichever world it is of: the limits it runs under, its closed WASI doors, its
//! output, and what it is lent.
//!
//! It is the data of a sandbox's store, and the one type that every import acts on.

use std::sync::Arc;

use wasmtime::ResourceLimiter;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::cofferdam::plugin::types;
use super::imports::output::{GuestOutput, OutputScope, StreamName};
use super::lent::{CallNumber, ContextHandle, Lent, SharedCall};
use super::memory::Memory;
use crate::limits::Limits;
use crate::meter::PluginMeter;
use crate::runtime::{Call, Grants};
use crate::storage::Room;

/// The data of one sandbox's store.
pub(super) struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) memory: MemoryLimiter,
    pub(super) output: OutputScope,
    streams: [GuestOutput; 2],
    /// The number of the latest call, where the guest is in one at a time.
    calls_begun: CallNumber,
    pub(super) lent: Lent,
    /// For all that the host keeps for the guest.
    room: Room,
}

impl Guest {
    /// Returns what is kept of a guest that is not in any call yet.
    pub(super) fn new(limits: &Limits, grants: &Grants, meter: Option<&Arc<PluginMeter>>) -> Self {
        let output = OutputScope::new(limits.log_line_bytes_max);
        let streams = [StreamName::Stdout, StreamName::Stderr].map(|name| GuestOutput::new(name, &output));
        let [stdout, stderr] = streams.clone();
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stdout).stderr(stderr);
        wasi.max_random_size(limits.random_bytes_max);
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        wasi.args(&grants.args).envs(&grants.env);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.instance_handles_max);
        Self {
            wasi: wasi.build(),
            table,
            memory: MemoryLimiter::new(limits, meter.cloned()),
            output,
            streams,
            calls_begun: 0,
            lent: Lent::default(),
            room: Room::new(limits.instance_host_bytes_max, "instance_host_bytes_max"),
        }
    }

    /// Returns the room for all that the host keeps for the guest.
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// Begins the one call that the guest is in, and returns the context to lend for it.
    pub(super) fn begin(&mut self, mut call: Call) -> Resource<ContextHandle> {
        self.calls_begun = self.calls_begun.wrapping_add(1);
        self.memory.refused = false;
        self.output.enter(&call.scope);
        call.storage = call.storage.within(&self.room);
        self.lent.lend(self.calls_begun, call);
        Resource::new_borrow(self.calls_begun)
    }

    /// Ends that call: what was lent is taken back.
    pub(super) fn end(&mut self) {
        self.lent.take_back(self.calls_begun);
        self.end_lines();
    }

    /// Begins a call beside others: from here on, the context of this number stands for it until it is taken back.
    pub(super) fn begin_shared(&mut self, number: CallNumber, mut shared: SharedCall) {
        self.output.join(&shared.call.scope);
        shared.call.storage = shared.call.storage.within(&self.room);
        self.lent.lend_shared(number, shared);
    }

    fn end_lines(&self) {
        self.streams.iter().for_each(GuestOutput::end_line);
    }
}

/// A trap often cuts off the very line that says why.
impl Drop for Guest {
    fn drop(&mut self) {
        self.end_lines();
    }
}

impl types::Host for Guest {}

impl WasiView for Guest {
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
    fn new(limits: &Limits, meter: Option<Arc<PluginMeter>>) -> Self {
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
