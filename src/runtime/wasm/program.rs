//! A component, compiled and linked, that said what it is: ready to make sandboxes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio::time::error::Elapsed;
use wasmparser::{Encoding, Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::{Component, types::ComponentItem};

use super::bindings::PluginPre;
use super::bindings::cofferdam::plugin::types as wit;
use super::bindings::concurrent::PluginAsyncPre;
use super::concurrent::{ConcurrentInstance, ConcurrentState};
use super::engine::{ConcurrentEngine, WasmEngine};
use super::instance::{WasmInstance, trap_report};
use super::proposals::Guests;
use super::state::{Grants, State};
use super::walk::Stopped;
use super::{capabilities, convert, walk};
use crate::meter::PluginMeter;
use crate::runtime::text::brief;
use crate::runtime::{Description, Failure, Instance, Launch, LoadError, Program};

/// The export that makes a component a plugin of the plain world.
const BACKEND_EXPORT: &str = "cofferdam:plugin/backend@0.1.0";

/// The export that makes it one of the async world.
const BACKEND_ASYNC_EXPORT: &str = "cofferdam:plugin/backend-async@0.1.0";

/// What compiling and linking leaves.
pub(super) struct Linked {
    pre: Pre,
    imports: Vec<String>,
    capabilities: Vec<String>,
}

/// A component linked to what its world offers.
enum Pre {
    Plain(PluginPre<State>),
    Concurrent(PluginAsyncPre<ConcurrentState>, Arc<ConcurrentEngine>),
}

impl Linked {
    /// Returns the component itself.
    pub(super) fn component(&self) -> &Component {
        match &self.pre {
            Pre::Plain(pre) => pre.instance_pre().component(),
            Pre::Concurrent(pre, _) => pre.instance_pre().component(),
        }
    }
}

/// Looks a component through before anything is compiled: whether it is valid, uses only the proposals that are on,
/// asks only for what is on offer, and stays within every limit. Takes a fraction of what compiling takes, and a
/// thread.
pub(super) fn inspect(engine: &WasmEngine, bytes: &[u8]) -> Result<World, LoadError> {
    let walked = walk::walk(bytes, &engine.limits);
    let shape = match walked {
        Ok(shape) => Ok(shape),
        Err(Stopped::Refused(why)) => return Err(LoadError::Unfit(why)),
        Err(Stopped::Malformed(why)) => Err(why),
    };
    let exports = shape.as_ref().map(|shape| shape.exports.as_slice()).unwrap_or_default();
    let world = World::of_exports(engine, exports)?;
    world.guests().validate(bytes).map_err(LoadError::Unfit)?;
    let shape = shape.map_err(LoadError::Unfit)?;
    walk::check_imports(&shape).map_err(LoadError::Unfit)?;
    check_exports(&shape.exports, world.export())?;
    Ok(world)
}

/// Compiles a component that was inspected, in this process. Takes seconds for a large component, all cores, and a
/// thread; nothing can stop it.
pub(super) fn compile(engine: &WasmEngine, world: World, bytes: &[u8]) -> Result<Linked, LoadError> {
    let component = Component::new(world.engine(engine), bytes)
        .map_err(|cause| format!("the file is not a valid WebAssembly component: {}", brief(&format!("{cause:#}"))))
        .map_err(LoadError::Unfit)?;
    link(engine, world, component)
}

/// Links a compiled component to what its world offers, and checks that it is a plugin.
pub(super) fn link(engine: &WasmEngine, world: World, component: Component) -> Result<Linked, LoadError> {
    let (imports, capabilities) = examine(&component, world.export())?;
    let pre = match world {
        World::Plain => Pre::Plain(engine.linker.instantiate_pre(&component).and_then(PluginPre::new).map_err(misfit)?),
        World::Concurrent(concurrent) => {
            let pre = concurrent.linker.instantiate_pre(&component).and_then(PluginAsyncPre::new).map_err(misfit)?;
            Pre::Concurrent(pre, concurrent)
        }
    };
    Ok(Linked { pre, imports, capabilities })
}

/// Checks what a component imports, and that it exports this. Returns the imports, and what they mean.
fn examine(component: &Component, export: &str) -> Result<(Vec<String>, Vec<String>), LoadError> {
    let engine = component.engine();
    let shape = component.component_type();
    let imports: Vec<String> = shape.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let capabilities =
        capabilities::of_imports(&imports).map_err(|refused| LoadError::Unfit(capabilities::refusal(&refused)))?;
    let instances = shape.exports(engine).filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)));
    let exports: Vec<String> = instances.map(|(name, _)| name.to_owned()).collect();
    check_exports(&exports, export)?;
    Ok((imports, capabilities))
}

/// Checks that a component that exports this is a plugin.
fn check_exports(exports: &[String], export: &str) -> Result<(), LoadError> {
    if exports.iter().any(|name| name == export) {
        return Ok(());
    }
    let found = if exports.is_empty() { "nothing".to_owned() } else { capabilities::shown(exports) };
    Err(LoadError::Unfit(format!(
        "the component is not a plugin: it exports {found}, and a plugin exports {BACKEND_EXPORT} or \
         {BACKEND_ASYNC_EXPORT}. Build it against the world cofferdam:plugin/plugin or plugin-async, for example with the \
         cofferdam-sdk crate"
    )))
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

/// Which of the two worlds a component is of.
pub(super) enum World {
    Plain,
    Concurrent(Arc<ConcurrentEngine>),
}

impl World {
    /// Tells by its exports which world a component is of, before an engine has to be chosen. What is no component, or
    /// no plugin, is left to the plain world's engine to refuse.
    pub(super) fn of(engine: &WasmEngine, bytes: &[u8]) -> Result<Self, LoadError> {
        Self::of_exports(engine, &exports(bytes).unwrap_or_default())
    }

    fn of_exports(engine: &WasmEngine, exports: &[String]) -> Result<Self, LoadError> {
        let has = |name: &str| exports.iter().any(|export| export == name);
        match (has(BACKEND_EXPORT), has(BACKEND_ASYNC_EXPORT)) {
            (true, true) => Err(LoadError::Unfit(format!(
                "the component exports both {BACKEND_EXPORT} and {BACKEND_ASYNC_EXPORT}, and a plugin is of one world: build it \
                 against cofferdam:plugin/plugin or cofferdam:plugin/plugin-async"
            ))),
            (false, true) => Ok(Self::Concurrent(engine.concurrent()?)),
            (_, false) => Ok(Self::Plain),
        }
    }

    /// Returns the engine that runs it.
    pub(super) fn engine<'engine>(&'engine self, plain: &'engine WasmEngine) -> &'engine Engine {
        match self {
            World::Plain => &plain.engine,
            World::Concurrent(concurrent) => &concurrent.engine,
        }
    }

    /// Returns which guests belong to it.
    pub(super) fn guests(&self) -> Guests {
        match self {
            World::Plain => Guests::Plain,
            World::Concurrent(_) => Guests::Async,
        }
    }

    fn export(&self) -> &'static str {
        match self {
            World::Plain => BACKEND_EXPORT,
            World::Concurrent(_) => BACKEND_ASYNC_EXPORT,
        }
    }
}

/// Returns the names that a component exports itself, and not what is nested in it; `None` if it is malformed up to
/// there.
fn exports(bytes: &[u8]) -> Option<Vec<String>> {
    let mut depth = 0_u32;
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.ok()? {
            Payload::Version { encoding: Encoding::Component, .. } | Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.checked_sub(1)?,
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.ok()?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Some(exports)
}

/// A component that can make sandboxes. Holds its machine code; costs nothing while nobody calls.
pub(super) struct WasmProgram {
    engine: Arc<WasmEngine>,
    linked: Linked,
    launch: Launch,
    description: Description,
}

impl WasmProgram {
    /// Asks a component what it is, in a sandbox that is granted nothing.
    pub(super) async fn describe(engine: Arc<WasmEngine>, linked: Linked, launch: Launch) -> Result<Self, LoadError> {
        let turn = tokio::time::timeout(engine.limits.load_deadline, engine.describing.acquire()).await;
        let turn = turn.map_err(|_| LoadError::Deadline(engine.limits.load_deadline))?;
        let description = linked.pre.describe(&engine).await?;
        drop(turn);
        let description = convert::description(description)
            .map_err(|why| LoadError::Unfit(format!("the plugin's description of itself is wrong: {why}")))?;
        Ok(Self { engine, linked, launch, description })
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
        &self.launch.meter
    }

    fn concurrency(&self) -> NonZeroU32 {
        match &self.linked.pre {
            Pre::Plain(_) => NonZeroU32::MIN,
            Pre::Concurrent(..) => NonZeroU32::new(self.engine.limits.instance_calls_max).unwrap_or(NonZeroU32::MIN),
        }
    }

    async fn instantiate(&self) -> Result<Arc<dyn Instance>, Failure> {
        let limit = self.engine.limits.lifecycle_deadline;
        let deadline = Instant::now() + limit;
        let grants = Grants::Launch(&self.launch);
        match &self.linked.pre {
            Pre::Plain(pre) => {
                let mut store = self.engine.store(&grants);
                match tokio::time::timeout_at(deadline, pre.instantiate_async(&mut store)).await {
                    Ok(Ok(plugin)) => Ok(Arc::new(WasmInstance::new(store, plugin))),
                    Ok(Err(cause)) => Err(Failure::Trap(trap_report(&cause, store.data()))),
                    Err(_) => Err(Failure::Deadline(limit)),
                }
            }
            Pre::Concurrent(pre, concurrent) => {
                let mut store = concurrent.store(&grants);
                match tokio::time::timeout_at(deadline, pre.instantiate_async(&mut store)).await {
                    Ok(Ok(plugin)) => {
                        let (limits, meter) = (&self.engine.limits, &self.launch.meter);
                        Ok(Arc::new(ConcurrentInstance::start(store, plugin, limits, &concurrent.background, meter)))
                    }
                    Ok(Err(cause)) => Err(Failure::Trap(trap_report(&cause, &store.data().base))),
                    Err(_) => Err(Failure::Deadline(limit)),
                }
            }
        }
    }
}

impl Pre {
    /// Asks the component what it is, in a sandbox that is granted nothing and that is gone when it has answered.
    async fn describe(&self, engine: &WasmEngine) -> Result<wit::Description, LoadError> {
        let limit = engine.limits.lifecycle_deadline;
        match self {
            Pre::Plain(pre) => {
                let mut store = engine.store(&Grants::Nothing);
                let described = tokio::time::timeout(limit, async {
                    let plugin = pre.instantiate_async(&mut store).await?;
                    plugin.cofferdam_plugin_backend().call_describe(&mut store).await
                });
                let described = described.await;
                told(described, store.data(), limit)
            }
            Pre::Concurrent(pre, concurrent) => {
                let mut store = concurrent.store(&Grants::Nothing);
                let described = tokio::time::timeout(limit, async {
                    let plugin = pre.instantiate_async(&mut store).await?;
                    let backend = plugin.cofferdam_plugin_backend_async();
                    store.run_concurrent(async |accessor| backend.call_describe(accessor).await).await?
                });
                let described = described.await;
                told(described, &store.data().base, limit)
            }
        }
    }
}

/// Returns what a component said of itself, or why it did not.
fn told(
    described: Result<wasmtime::Result<wit::Description>, Elapsed>,
    state: &State,
    limit: Duration,
) -> Result<wit::Description, LoadError> {
    match described {
        Ok(Ok(description)) => Ok(description),
        Ok(Err(cause)) => {
            let report = trap_report(&cause, state);
            Err(LoadError::Unfit(format!("the plugin failed when it was asked to describe itself: {report}")))
        }
        Err(_) => Err(LoadError::Deadline(limit)),
    }
}
