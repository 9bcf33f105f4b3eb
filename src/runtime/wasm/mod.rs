//! The sandboxed runtime: WASI components on wasmtime. Nothing outside this folder names wasmtime.
//!
//! `engine` compiles, `program` is a component compiled and linked, `instance` a sandbox that answers, `state` what its store
//! holds, `imports` what it may call, `bindings` the generated contract, `convert` the same messages in both vocabularies.

mod bindings;
mod capabilities;
mod convert;
mod engine;
mod imports;
mod instance;
mod program;
mod state;

use std::sync::Arc;

use tokio::sync::Semaphore;

use self::engine::WasmEngine;
use self::program::WasmProgram;
use super::{Launch, LoadError, Program};
use crate::limits::Limits;

/// Components that compile at the same time. One compilation already uses every core.
const COMPILATIONS_MAX: usize = 1;

/// Loads components. One for each host: it owns the engine, and with it the memory of all sandboxes.
pub(crate) struct WasmRuntime {
    engine: Arc<WasmEngine>,
    compilations: Semaphore,
}

impl WasmRuntime {
    /// Sets the engine up under these limits.
    pub(crate) fn new(limits: Arc<Limits>) -> Result<Self, LoadError> {
        Ok(Self { engine: Arc::new(WasmEngine::new(limits)?), compilations: Semaphore::new(COMPILATIONS_MAX) })
    }

    /// Compiles and links a component, checks what it imports and exports, and asks it what it is.
    ///
    /// Compiling happens on a thread of its own. It cannot be interrupted: after the load deadline the caller is told, while
    /// the compiler runs to its end unheard.
    pub(crate) async fn load(&self, component: Vec<u8>, launch: Launch) -> Result<Arc<dyn Program>, LoadError> {
        let limit = self.engine.limits.load_deadline;
        let load = async {
            let _turn = self.compilations.acquire().await.expect("the semaphore is never closed");
            let engine = Arc::clone(&self.engine);
            let compiled = tokio::task::spawn_blocking(move || program::compile(&engine, &component)).await;
            compiled.map_err(|_| LoadError::Host("the compiler failed".to_owned()))?
        };
        let linked = tokio::time::timeout(limit, load).await.map_err(|_| LoadError::Deadline(limit))??;
        Ok(Arc::new(WasmProgram::describe(Arc::clone(&self.engine), linked, launch).await?))
    }
}
