//! The sandboxed runtime: WASI components on wasmtime. Nothing outside this folder names wasmtime.
//!
//! `engine` compiles, `program` is a component compiled and linked, `instance` a sandbox that answers, `state` what its store
//! holds, `imports` what it may call, `bindings` the generated contract, `convert` the same messages in both vocabularies.
//! `concurrent` is the same for the async world: instance, state and imports of a sandbox that serves many calls at once.

mod bindings;
mod capabilities;
mod concurrent;
mod convert;
mod engine;
mod imports;
mod instance;
mod program;
mod state;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::engine::WasmEngine;
use self::program::WasmProgram;
use super::{Launch, LoadError, Program};
use crate::limits::Limits;

/// Components that compile at the same time. One compilation already uses every core.
const COMPILATIONS_MAX: usize = 1;

/// How many load deadlines a component waits for its turn: after a restart, every plugin of a host compiles.
const LOADS_WAITED_FOR_MAX: u32 = 10;

/// Loads components. One for each host: it owns the engine, and with it the memory of all sandboxes.
pub(crate) struct WasmRuntime {
    engine: Arc<WasmEngine>,
    compilations: Arc<Semaphore>,
}

impl WasmRuntime {
    /// Sets the engine up under these limits.
    pub(crate) fn new(limits: Arc<Limits>) -> Result<Self, LoadError> {
        Ok(Self {
            engine: Arc::new(WasmEngine::new(limits)?),
            compilations: Arc::new(Semaphore::new(COMPILATIONS_MAX)),
        })
    }

    /// Compiles and links a component, checks what it imports and exports, and asks it what it is.
    ///
    /// Compiling happens on a thread of its own. It cannot be interrupted: after the load deadline the caller is told, while the
    /// compiler runs to its end unheard, and keeps its turn until then.
    pub(crate) async fn load(&self, component: Vec<u8>, launch: Launch) -> Result<Arc<dyn Program>, LoadError> {
        let limit = self.engine.limits.load_deadline;
        let turn = timeout(limit * LOADS_WAITED_FOR_MAX, Arc::clone(&self.compilations).acquire_owned()).await;
        let turn = turn.map_err(|_| LoadError::Deadline(limit * LOADS_WAITED_FOR_MAX))?;
        let turn = turn.expect("the semaphore is never closed");
        let engine = Arc::clone(&self.engine);
        let compiling = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            program::compile(&engine, &component)
        });
        let compiled = timeout(limit, compiling).await.map_err(|_| LoadError::Deadline(limit))?;
        let linked = compiled.map_err(|_| LoadError::Host("the compiler failed".to_owned()))??;
        Ok(Arc::new(WasmProgram::describe(Arc::clone(&self.engine), linked, launch).await?))
    }
}
