//! wasmtime without a host around it, running the same component: what every other way costs more than.
//!
//! The engine is set up with the numbers of `src/runtime/wasm/engine.rs`, copied since that engine is the crate's own
//! affair: change both together. WASI is linked the same way and closed as well; storage is a hash map. What a host
//! adds is missing on purpose: limits, deadlines, logs, mounts, checks.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::Limits;
use wasmtime::component::{Component, Linker, Resource, ResourceTable, ResourceType};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use bindings::PluginPre;
use bindings::cofferdam::plugin::host::StorageError;
pub use bindings::cofferdam::plugin::types::{Body, Operation, Request};

mod bindings {
    #![allow(dead_code, clippy::all, reason = "generated code, of which a few calls are used")]

    wasmtime::component::bindgen!({
        world: "plugin",
        path: "wit",
        exports: { default: async },
        with: {
            "cofferdam:plugin/host.context": super::Context,
            "cofferdam:plugin/host.transaction": super::Transaction,
        },
    });
}

/// Ticks of 10 ms after which a guest yields.
const YIELD_TICKS: u64 = 1;

/// What the plugin keys its state by.
const MOUNT_ID: &str = "0d0f6f0c-3f4e-4c0e-8a43-6a4f5f2d3c11";

/// Stands for the context that a guest is lent.
pub struct Context;

/// Stands for transactions, of which there are none.
pub struct Transaction;

/// A component, compiled and linked, and what its storage holds.
pub struct Raw {
    engine: Engine,
    pre: PluginPre<State>,
    values: Arc<HashMap<String, Vec<u8>>>,
}

/// A sandbox that answers.
pub struct Sandbox {
    store: Store<State>,
    plugin: bindings::Plugin,
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    values: Arc<HashMap<String, Vec<u8>>>,
}

/// Returns an engine whose clock runs for as long as the engine is there.
pub fn engine() -> Engine {
    let limits = Limits::default();
    let live = limits.instances_max + 16;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(live)
        .total_core_instances(4 * live)
        .total_memories(live)
        .total_tables(2 * live)
        .total_stacks(live)
        .max_core_instances_per_component(32)
        .max_memories_per_component(4)
        .max_tables_per_component(8)
        .max_memory_size(limits.instance_memory_bytes_max)
        .table_elements(limits.instance_table_elements_max)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(8 << 10)
        .pagemap_scan(Enabled::Auto)
        .decommit_batch_size(16)
        .max_unused_warm_slots(256);
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size((512 << 10) + (1 << 20))
        .wasm_memory64(false)
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config).expect("the settings are those of the crate");
    let clock = engine.weak();
    std::thread::spawn(move || {
        while let Some(engine) = clock.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    engine
}

impl Raw {
    /// Compiles and links a component. Its storage holds one value.
    pub fn new(engine: &Engine, file: &Path, key: &str, value: &str) -> Self {
        let component = Component::from_file(engine, file).expect("the component compiles");
        let mut linker = Linker::new(engine);
        link(&mut linker, &component).expect("the component links");
        let pre = linker.instantiate_pre(&component).and_then(PluginPre::new).expect("the component is a plugin");
        let values = HashMap::from([(key.to_owned(), value.as_bytes().to_vec())]);
        Self { engine: engine.clone(), pre, values: Arc::new(values) }
    }

    /// Makes a sandbox and sets it up.
    pub async fn sandbox(&self) -> Sandbox {
        let wasi = WasiCtx::builder().arg("passthrough").build();
        let state = State { wasi, table: ResourceTable::new(), values: Arc::clone(&self.values) };
        let mut store = Store::new(&self.engine, state);
        store.epoch_deadline_async_yield_and_update(YIELD_TICKS);
        store.set_epoch_deadline(YIELD_TICKS);
        let plugin = self.pre.instantiate_async(&mut store).await.expect("the component instantiates");
        let set_up = plugin.cofferdam_plugin_backend().call_setup(&mut store, Resource::new_borrow(1)).await;
        set_up.expect("the plugin runs").expect("the plugin sets up");
        Sandbox { store, plugin }
    }
}

impl Sandbox {
    /// Answers a request.
    pub async fn handle(&mut self, request: Request) -> Body {
        self.store.set_epoch_deadline(YIELD_TICKS);
        let backend = self.plugin.cofferdam_plugin_backend();
        let answer = backend.call_handle(&mut self.store, Resource::new_borrow(1), &request).await;
        answer.expect("the plugin runs").expect("the plugin answers").body
    }
}

/// Offers WASI and what the plugin calls of our own package: which mount it is for, and a value. Calling anything else
/// is a trap.
fn link(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    let mut host = linker.instance("cofferdam:plugin/host@0.1.0")?;
    host.resource("context", ResourceType::host::<Context>(), |_, _| Ok(()))?;
    host.resource("transaction", ResourceType::host::<Transaction>(), |_, _| Ok(()))?;
    host.func_wrap("[method]context.mount-id", |_, (_,): (Resource<Context>,)| Ok((MOUNT_ID.to_owned(),)))?;
    host.func_wrap_async(
        "[method]context.get",
        |store: wasmtime::StoreContextMut<'_, State>, (_, key): (Resource<Context>, String)| {
            Box::new(async move { Ok((Ok::<_, StorageError>(store.data().values.get(&key).cloned()),)) })
        },
    )?;
    linker.define_unknown_imports_as_traps(component)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
