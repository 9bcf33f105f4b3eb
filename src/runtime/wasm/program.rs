//! A component, compiled and linked, that said what it is: ready to make sandboxes.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime::component::{Component, Instance as ComponentInstance, InstancePre, types::ComponentItem};
use wasmtime::{AsContextMut, Store};

use super::bindings::cofferdam::plugin::types as wit;
use super::bindings::concurrent::{PluginAsync, PluginAsyncIndices};
use super::bindings::{Plugin, PluginIndices};
use super::concurrent::ConcurrentInstance;
use super::engine::{WasmEngine, WasmEngines};
use super::guest::Guest;
use super::instance::{WasmInstance, trap_report};
use super::walk::Stopped;
use super::world::World;
use super::{capabilities, convert, proposals, walk};
use crate::limits::Limits;
use crate::meter::PluginMeter;
use crate::runtime::text::brief;
use crate::runtime::{Description, Failure, Grants, Instance, Launch, LoadError, Program};

/// What compiling and linking leaves: a component, linked to what its world offers.
pub(super) struct Linked {
    engine: Arc<WasmEngine>,
    pre: InstancePre<Guest>,
    backend: BackendIndices,
    imports: Vec<String>,
    capabilities: Vec<String>,
}

/// Where a component's functions are, by its world.
enum BackendIndices {
    Plain(PluginIndices),
    Async(PluginAsyncIndices),
}

/// The functions of a sandbox, by its world.
enum Backend {
    Plain(Plugin),
    Async(PluginAsync),
}

impl Linked {
    /// Returns the component itself.
    pub(super) fn component(&self) -> &Component {
        self.pre.component()
    }

    /// Makes a sandbox in this store.
    async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Backend> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        self.backend.load(store, &instance)
    }

    /// Asks the component what it is, in a sandbox that is granted nothing and that is gone when it has answered.
    async fn describe(&self, limits: &Limits) -> Result<wit::Description, LoadError> {
        let limit = limits.lifecycle_deadline;
        let mut store = self.engine.store(&Grants::default(), None);
        let described = timeout(limit, async {
            match self.instantiate(&mut store).await? {
                Backend::Plain(plugin) => plugin.cofferdam_plugin_backend().call_describe(&mut store).await,
                Backend::Async(plugin) => {
                    let backend = plugin.cofferdam_plugin_backend_async();
                    store.run_concurrent(async |accessor| backend.call_describe(accessor).await).await?
                }
            }
        });
        described.await.map_err(|_| LoadError::Deadline(limit))?.map_err(|cause| {
            let report = trap_report(&cause, store.data());
            LoadError::Unfit(format!("the plugin failed when it was asked to describe itself: {report}"))
        })
    }
}

impl BackendIndices {
    fn of(world: World, pre: &InstancePre<Guest>) -> wasmtime::Result<Self> {
        match world {
            World::Plain => PluginIndices::new(pre).map(Self::Plain),
            World::Async => PluginAsyncIndices::new(pre).map(Self::Async),
        }
    }

    fn load(&self, store: impl AsContextMut, instance: &ComponentInstance) -> wasmtime::Result<Backend> {
        match self {
            BackendIndices::Plain(indices) => indices.load(store, instance).map(Backend::Plain),
            BackendIndices::Async(indices) => indices.load(store, instance).map(Backend::Async),
        }
    }
}

/// Looks a component through before anything is compiled: whether it is valid, uses only the proposals that are on,
/// asks only for what is on offer, and stays within every limit. Takes a fraction of what compiling takes, and a
/// thread.
pub(super) fn inspect(limits: &Limits, bytes: &[u8]) -> Result<World, LoadError> {
    let walked = walk::walk(bytes, limits);
    let shape = match walked {
        Ok(shape) => Ok(shape),
        Err(Stopped::Refused(why)) => return Err(LoadError::Unfit(why)),
        Err(Stopped::Malformed(why)) => Err(why),
    };
    let exports = shape.as_ref().map(|shape| shape.exports.as_slice()).unwrap_or_default();
    let world = World::of_exports(exports)?;
    proposals::validate(world, bytes).map_err(LoadError::Unfit)?;
    let shape = shape.map_err(LoadError::Unfit)?;
    walk::check_imports(&shape).map_err(LoadError::Unfit)?;
    world.check_exports(&shape.exports)?;
    Ok(world)
}

/// Compiles a component that was inspected, in this process. Takes seconds for a large component, all cores, and a
/// thread; nothing can stop it.
pub(super) fn compile(engine: &Arc<WasmEngine>, bytes: &[u8]) -> Result<Linked, LoadError> {
    let component = Component::new(&engine.engine, bytes)
        .map_err(|cause| format!("the file is not a valid WebAssembly component: {}", brief(&format!("{cause:#}"))))
        .map_err(LoadError::Unfit)?;
    link(engine, component)
}

/// Links a compiled component to what its world offers, and checks that it is a plugin.
pub(super) fn link(engine: &Arc<WasmEngine>, component: Component) -> Result<Linked, LoadError> {
    let (imports, capabilities) = examine(&component, engine.world)?;
    let pre = engine.linker.instantiate_pre(&component).map_err(misfit)?;
    let backend = BackendIndices::of(engine.world, &pre).map_err(misfit)?;
    Ok(Linked { engine: Arc::clone(engine), pre, backend, imports, capabilities })
}

/// Checks what a component imports, and that it is a plugin of this world. Returns the imports, and what they mean.
fn examine(component: &Component, world: World) -> Result<(Vec<String>, Vec<String>), LoadError> {
    let engine = component.engine();
    let shape = component.component_type();
    let imports: Vec<String> = shape.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let capabilities =
        capabilities::of_imports(&imports).map_err(|refused| LoadError::Unfit(capabilities::refusal(&refused)))?;
    let instances = shape.exports(engine).filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)));
    let exports: Vec<String> = instances.map(|(name, _)| name.to_owned()).collect();
    world.check_exports(&exports)?;
    Ok((imports, capabilities))
}

fn misfit(cause: wasmtime::Error) -> LoadError {
    // What the engine says first is how it looked; what it says last is what did not fit.
    let what = cause.chain().filter(|why| why.to_string().contains('`')).map(|why| format!("{why}")).next();
    let what = what.map(|what| what.replace(", but a matching implementation was not found in the linker", ""));
    LoadError::Unfit(format!(
        "the component does not fit this host's interfaces: {}: {}. Build it against the WIT of this host (cofferdam:plugin@0.1.0) \
         and WASI 0.2, for example for wasm32-wasip2",
        what.map_or_else(|| "it expects other functions or types".to_owned(), |what| brief(&what)),
        brief(&cause.root_cause().to_string())
    ))
}

/// A component that can make sandboxes. Holds its machine code; costs nothing while nobody calls.
pub(super) struct WasmProgram {
    engines: Arc<WasmEngines>,
    linked: Linked,
    grants: Arc<Grants>,
    meter: Arc<PluginMeter>,
    description: Description,
}

impl WasmProgram {
    /// Asks a component what it is, in a sandbox that is granted nothing.
    pub(super) async fn describe(engines: Arc<WasmEngines>, linked: Linked, launch: Launch) -> Result<Self, LoadError> {
        let limits = &engines.limits;
        let turn = timeout(limits.load_deadline, engines.describing.acquire()).await;
        let turn = turn.map_err(|_| LoadError::Deadline(limits.load_deadline))?;
        let description = linked.describe(limits).await?;
        drop(turn);
        let description = convert::description(description)
            .map_err(|why| LoadError::Unfit(format!("the plugin's description of itself is wrong: {why}")))?;
        let grants = Grants::of_registration(&launch.label, &launch.launchable.args, &launch.launchable.env);
        Ok(Self { engines, linked, grants: Arc::new(grants), meter: launch.meter, description })
    }
}

#[async_trait]
impl Program for WasmProgram {
    fn description(&self) -> &Description {
        &self.description
    }

    fn capabilities(&self) -> &[String] {
        &self.linked.capabilities
    }

    fn imports(&self) -> &[String] {
        &self.linked.imports
    }

    fn meter(&self) -> &Arc<PluginMeter> {
        &self.meter
    }

    fn concurrency(&self) -> NonZeroU32 {
        match self.linked.backend {
            BackendIndices::Plain(_) => NonZeroU32::MIN,
            BackendIndices::Async(_) => {
                NonZeroU32::new(self.engines.limits.instance_calls_max).unwrap_or(NonZeroU32::MIN)
            }
        }
    }

    fn grants(&self) -> Arc<Grants> {
        Arc::clone(&self.grants)
    }

    async fn instantiate(&self, grants: &Grants) -> Result<Arc<dyn Instance>, Failure> {
        let limits = &self.engines.limits;
        let deadline = Instant::now() + limits.lifecycle_deadline;
        let mut store = self.linked.engine.store(grants, Some(&self.meter));
        let made = timeout_at(deadline, self.linked.instantiate(&mut store)).await;
        match made.map_err(|_| Failure::Deadline(limits.lifecycle_deadline))? {
            Ok(Backend::Plain(plugin)) => Ok(Arc::new(WasmInstance::new(store, plugin))),
            Ok(Backend::Async(plugin)) => {
                let background = &self.engines.background;
                Ok(Arc::new(ConcurrentInstance::start(store, plugin, limits, background, &self.meter)))
            }
            Err(cause) => Err(Failure::Trap(trap_report(&cause, store.data()))),
        }
    }
}
