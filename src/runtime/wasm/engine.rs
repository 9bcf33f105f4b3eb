//! The engines of a host: their settings, their linkers, their clocks. Nothing else in the crate constructs an engine.
//!
//! Settings decide whether compiled code fits, what a guest can take, and what a call costs; the measurements behind
//! each are in the comments. Component-model concurrency doubles the price of a call, so it is off in the engine of the
//! plain world; the async world has an engine of its own, made when the first such component is loaded. All else is the
//! same in both.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Store, Strategy,
    WasmFeatures,
};

use super::bindings::Plugin;
use super::bindings::concurrent::PluginAsync;
use super::budget::{self, DESCRIBE_SLOTS, MEMORIES_PER_COMPONENT_MAX, STACKS_PER_CONCURRENT_INSTANCE};
use super::clock::{self, YIELD_TICKS};
use super::concurrent::Ration;
use super::guest::Guest;
use super::proposals;
use super::world::World;
use crate::limits::Limits;
use crate::meter::PluginMeter;
use crate::runtime::{Grants, LoadError};

/// Stack for guest code. Rust plugins keep their own stack in linear memory and need little of it.
const WASM_STACK_BYTES: usize = 512 << 10;

/// The fiber's whole stack: guest code, and 1 MiB for the host functions that it calls.
const FIBER_STACK_BYTES: usize = WASM_STACK_BYTES + (1 << 20);

/// Core instances in one component. A Rust component has 3: itself and two shims; composed ones have more.
pub(super) const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 32;

/// Tables in one component. A Rust component has 2.
pub(super) const TABLES_PER_COMPONENT_MAX: u32 = 8;

/// Linear memories that one core module may define. Every toolchain makes one.
pub(super) const MEMORIES_PER_MODULE_MAX: u32 = 1;

/// Tables that one core module may define. Every toolchain makes one; some make another for references.
pub(super) const TABLES_PER_MODULE_MAX: u32 = 4;

/// Frames in a trap's report.
const BACKTRACE_FRAMES_MAX: usize = 20;

/// Linear memory that stays resident when a sandbox is given back. With the kernel telling which pages were touched, a
/// typical plugin's fit in it, and a fresh sandbox costs no page fault (13 µs instead of 27).
const MEMORY_KEPT_RESIDENT_BYTES: usize = 256 << 10;

/// The same for tables: a Rust component's tables are below one page.
const TABLE_KEPT_RESIDENT_BYTES: usize = 8 << 10;

/// Tasks, subtasks, streams and the like that the engine keeps for one instance that serves many calls: some ten for
/// each call, and what it makes beside.
const CONCURRENT_ENTRIES_MAX: usize = 10_000;

/// The engines of one host, and what they share.
pub(super) struct WasmEngines {
    pub(super) limits: Arc<Limits>,
    /// The turns to be asked for a description, so that a component that is asked takes no room from those that answer
    /// requests.
    pub(super) describing: Semaphore,
    /// What all instances of the async world have together for work that nobody waits for.
    pub(super) background: Arc<Ration>,
    plain: Arc<WasmEngine>,
    concurrent: Mutex<Option<Arc<WasmEngine>>>,
}

/// Compiles components of one world and runs them.
///
/// Each has room for as many instances as the other: the host's budget counts both kinds together and lets any idle
/// instance give way, and a component that is refused a place within that budget could wait for ever. What that costs
/// is address space, 4 GiB for each memory, of which there is plenty, and two memory mappings for each stack.
pub(super) struct WasmEngine {
    pub(super) world: World,
    pub(super) engine: Engine,
    pub(super) linker: Linker<Guest>,
    limits: Arc<Limits>,
}

impl WasmEngines {
    /// Makes the plain world's engine.
    pub(super) fn new(limits: Arc<Limits>) -> Result<Self, LoadError> {
        Ok(Self {
            plain: Arc::new(WasmEngine::new(World::Plain, Arc::clone(&limits))?),
            concurrent: Mutex::new(None),
            background: Arc::new(Ration::of_host()),
            describing: Semaphore::new(DESCRIBE_SLOTS as usize),
            limits,
        })
    }

    /// Returns a world's engine. That of the async world is made when it is first asked for.
    pub(super) fn of(&self, world: World) -> Result<Arc<WasmEngine>, LoadError> {
        match world {
            World::Plain => Ok(Arc::clone(&self.plain)),
            World::Async => {
                let mut made = self.concurrent.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(engine) = &*made {
                    return Ok(Arc::clone(engine));
                }
                let engine = Arc::new(WasmEngine::new(world, Arc::clone(&self.limits))?);
                *made = Some(Arc::clone(&engine));
                Ok(engine)
            }
        }
    }
}

impl WasmEngine {
    /// Makes the engine and starts its clock. The address space for all instances is reserved here: 4 GiB for each
    /// memory, of which nothing is used yet.
    pub(super) fn new(world: World, limits: Arc<Limits>) -> Result<Self, LoadError> {
        let engine = Engine::new(&config(&limits, world)).map_err(unusable)?;
        let linker = linker(&engine, world).map_err(unlinked)?;
        clock::start(&engine)?;
        Ok(Self { world, engine, linker, limits })
    }

    /// Returns a store for a new sandbox that is granted this, with every limit set and its clock running. The meter is
    /// where its memory counts; `None` for a sandbox that only says what it is.
    pub(super) fn store(&self, grants: &Grants, meter: Option<&Arc<PluginMeter>>) -> Store<Guest> {
        let mut store = Store::new(&self.engine, Guest::new(&self.limits, grants, meter));
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(self.limits.hostcall_bytes_max);
        store.set_max_component_handles(self.limits.instance_handles_max);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(CONCURRENT_ENTRIES_MAX);
        }
        store.epoch_deadline_async_yield_and_update(YIELD_TICKS);
        store.set_epoch_deadline(YIELD_TICKS);
        store
    }
}

fn unusable(cause: wasmtime::Error) -> LoadError {
    LoadError::Host(format!("cannot set up the sandbox: {cause:#}{}", budget::advice()))
}

fn unlinked(cause: wasmtime::Error) -> LoadError {
    LoadError::Host(format!("cannot set up the sandbox's imports: {cause:#}"))
}

/// Returns the settings of a world's engine. Instances of the async world can have many calls in flight.
fn config(limits: &Limits, world: World) -> Config {
    let stacks_per_instance = match world {
        World::Async => STACKS_PER_CONCURRENT_INSTANCE,
        World::Plain => 1,
    };
    let mut config = settings(world);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, stacks_per_instance)));
    config
}

/// Returns all of an engine's settings that compiled code depends on: those but where instances get their memory from.
fn settings(world: World) -> Config {
    let allowed = proposals::allowed(world);
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .concurrency_support(world == World::Async)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .memory_init_cow(true)
        // Off first, so that the one bit that two proposals share stays on.
        .wasm_features(WasmFeatures::all().difference(allowed), false)
        .wasm_features(allowed, true)
        // Source positions make a trap cost 7 ms instead of 50 µs, which a hostile plugin could use against its host.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    config
}

/// Compiles a component to bytes that its world's engine can load. Makes no instance, so it reserves no address
/// space, of which a machine may grant little.
#[cfg(feature = "cli")]
pub(super) fn precompile(world: World, component: &[u8]) -> wasmtime::Result<Vec<u8>> {
    Engine::new(&settings(world))?.precompile_component(component)
}

fn pool(limits: &Limits, stacks_per_instance: u32) -> PoolingAllocationConfig {
    let live = limits.instances_max.saturating_add(DESCRIBE_SLOTS);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(live)
        .total_core_instances(live.saturating_mul(CORE_INSTANCES_PER_COMPONENT_MAX))
        .total_memories(live.saturating_mul(MEMORIES_PER_COMPONENT_MAX))
        .total_tables(live.saturating_mul(TABLES_PER_COMPONENT_MAX))
        .total_stacks(live.saturating_mul(stacks_per_instance))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .max_tables_per_component(TABLES_PER_COMPONENT_MAX)
        .max_memories_per_module(MEMORIES_PER_MODULE_MAX)
        .max_tables_per_module(TABLES_PER_MODULE_MAX)
        .max_memory_size(limits.instance_memory_bytes_max)
        .table_elements(limits.instance_table_elements_max)
        .linear_memory_keep_resident(MEMORY_KEPT_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEPT_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto)
        .decommit_batch_size(16)
        .max_unused_warm_slots(256.min(live));
    pool
}

/// Offers the whole WASI 0.2 command world, with nothing behind its doors, and our own package.
fn linker(engine: &Engine, world: World) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    match world {
        World::Plain => Plugin::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?,
        World::Async => PluginAsync::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?,
    }
    Ok(linker)
}
