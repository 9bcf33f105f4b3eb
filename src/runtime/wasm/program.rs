//! A component, compiled and linked, that said what it is: ready to make sandboxes.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use wasmtime::component::{Component, types::ComponentItem};

use super::bindings::PluginPre;
use super::engine::WasmEngine;
use super::instance::{WasmInstance, trap_report};
use super::state::{Grants, State};
use super::{capabilities, convert};
use crate::meter::PluginMeter;
use crate::runtime::{Description, Failure, Instance, Launch, LoadError, Program};

/// The export that makes a component a plugin.
const BACKEND_EXPORT: &str = "cofferdam:plugin/backend@0.1.0";

/// What compiling and linking leaves.
pub(super) struct Linked {
    pre: PluginPre<State>,
    imports: Vec<String>,
    capabilities: Vec<String>,
}

impl Linked {
    /// Returns the component itself.
    pub(super) fn component(&self) -> &Component {
        self.pre.instance_pre().component()
    }
}

/// Compiles a component and links it to what is on offer. Takes seconds for a large component, all cores, and a thread.
pub(super) fn compile(engine: &WasmEngine, bytes: &[u8]) -> Result<Linked, LoadError> {
    let component = Component::new(&engine.engine, bytes)
        .map_err(|cause| LoadError::Unfit(format!("the file is not a valid WebAssembly component: {cause:#}")))?;
    link(engine, component)
}

/// Links a compiled component to what is on offer, and checks that it is a plugin.
pub(super) fn link(engine: &WasmEngine, component: Component) -> Result<Linked, LoadError> {
    let shape = component.component_type();
    let imports: Vec<String> = shape.imports(&engine.engine).map(|(name, _)| name.to_owned()).collect();
    let capabilities =
        capabilities::of_imports(&imports).map_err(|refused| LoadError::Unfit(capabilities::refusal(&refused)))?;
    let exports: Vec<String> = shape.exports(&engine.engine).map(|(name, _)| name.to_owned()).collect();
    let is_plugin = shape
        .exports(&engine.engine)
        .any(|(name, item)| name == BACKEND_EXPORT && matches!(item.ty, ComponentItem::ComponentInstance(_)));
    if !is_plugin {
        let found = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        return Err(LoadError::Unfit(format!(
            "the component is not a plugin: it exports {found}, and a plugin exports {BACKEND_EXPORT}. Build it against the \
             world cofferdam:plugin/plugin, for example with the cofferdam-sdk crate"
        )));
    }
    let pre =
        engine.linker.instantiate_pre(&component).and_then(PluginPre::new).map_err(|cause| {
            LoadError::Unfit(format!("the component does not fit this host's interfaces: {cause:#}"))
        })?;
    Ok(Linked { pre, imports, capabilities })
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
        let limit = engine.limits.lifecycle_deadline;
        let turn = tokio::time::timeout(engine.limits.load_deadline, engine.describing.acquire()).await;
        let turn = turn.map_err(|_| LoadError::Deadline(engine.limits.load_deadline))?;
        let mut store = engine.store(&Grants::Nothing);
        let ask = async {
            let plugin = linked.pre.instantiate_async(&mut store).await?;
            plugin.cofferdam_plugin_backend().call_describe(&mut store).await
        };
        let description = match tokio::time::timeout(limit, ask).await {
            Ok(Ok(description)) => description,
            Ok(Err(cause)) => {
                let report = trap_report(&cause, &store);
                return Err(LoadError::Unfit(format!(
                    "the plugin failed when it was asked to describe itself: {report}"
                )));
            }
            Err(_) => return Err(LoadError::Deadline(limit)),
        };
        // The sandbox goes before its turn does.
        drop(store);
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
        NonZeroU32::MIN
    }

    async fn instantiate(&self) -> Result<Arc<dyn Instance>, Failure> {
        let limit = self.engine.limits.lifecycle_deadline;
        let deadline = Instant::now() + limit;
        let mut store = self.engine.store(&Grants::Launch(&self.launch));
        match tokio::time::timeout_at(deadline, self.linked.pre.instantiate_async(&mut store)).await {
            Ok(Ok(plugin)) => Ok(Arc::new(WasmInstance::new(store, plugin))),
            Ok(Err(cause)) => Err(Failure::Trap(trap_report(&cause, &store))),
            Err(_) => Err(Failure::Deadline(limit)),
        }
    }
}
