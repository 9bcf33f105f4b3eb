//! The sandboxed runtime: WASI components on wasmtime. Nothing outside this folder names wasmtime.
//!
//! `engine` compiles, `compiler` has that done in another process, `cache` keeps what was compiled, `budget` says how
//! many sandboxes fit, `program` is a component compiled and linked, `guest` what the host keeps of a guest, `lent`
//! what that is lent for a call, `imports` what it may call, `bindings` the generated contract, `convert` the same
//! messages in both vocabularies. `proposals` is what WebAssembly a guest may use, and `walk` what is looked at before
//! anything is compiled.
//!
//! A component is of one of two worlds (`world`). They differ in how a sandbox is called: one call at a time
//! (`instance`), or many at once (`concurrent`). Stores, limits, WASI and host functions are the same for both, but for
//! the functions that wait.

mod bindings;
mod budget;
mod cache;
mod capabilities;
mod clock;
mod compiler;
mod concurrent;
mod convert;
mod engine;
mod guest;
mod imports;
mod instance;
mod lent;
mod memory;
mod program;
mod proposals;
mod walk;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use self::engine::WasmEngines;
use self::program::{Linked, WasmProgram};
use self::world::World;
use super::{Launch, LoadError, Program};
use crate::ident::Digest;
use crate::limits::Limits;

pub(crate) use budget::grant_instances;
pub(crate) use cache::{CacheKey, CompileCache};
pub use compiler::Compiler;
#[cfg(feature = "cli")]
pub(crate) use compiler::{JobFailed, run as run_compile_job};

/// Components that compile at the same time. One compilation already uses every core; the other is for those that wait
/// behind one that does not end before its deadline.
const COMPILATIONS_MAX: usize = 2;

/// How many load deadlines a component waits for its turn: after a restart, every plugin of a host compiles.
const LOADS_WAITED_FOR_MAX: u32 = 10;

/// Components that are read from the compile cache at the same time. Each holds its code in memory twice for a moment.
const CACHE_READS_MAX: usize = 4;

/// Components that are written to the compile cache at the same time. They come one after another from the compiler, so
/// more only wait where the disk hangs.
const CACHE_WRITES_MAX: u32 = 4;

/// What is said of a component that the compiler fails on. It does so on none that a toolchain makes.
const FAILED: &str =
    "the compiler failed on this component; build it with another version of its toolchain, or without optimisation";

/// Loads components. One for each host: it owns the engine, and with it the memory of all sandboxes.
pub(crate) struct WasmRuntime {
    engines: Arc<WasmEngines>,
    compiler: Compiler,
    cache: Option<Arc<CompileCache>>,
    compilations: Arc<Semaphore>,
    cache_reads: Arc<Semaphore>,
    cache_writes: Arc<Semaphore>,
}

/// A component's file, and its digest.
struct Source {
    bytes: Vec<u8>,
    digest: Digest,
}

impl WasmRuntime {
    /// Sets the engine up under these limits. Compiled components are kept in the cache, if there is one.
    pub(crate) fn new(limits: Arc<Limits>, cache: Option<CompileCache>) -> Result<Self, LoadError> {
        Ok(Self {
            engines: Arc::new(WasmEngines::new(limits)?),
            compiler: Compiler::default(),
            cache: cache.map(Arc::new),
            compilations: Arc::new(Semaphore::new(COMPILATIONS_MAX)),
            cache_reads: Arc::new(Semaphore::new(CACHE_READS_MAX)),
            cache_writes: Arc::new(Semaphore::new(CACHE_WRITES_MAX as usize)),
        })
    }

    /// Compiles components there.
    pub(crate) fn with_compiler(self, compiler: Compiler) -> Self {
        Self { compiler, ..self }
    }

    /// Makes a program of a component with this digest: takes its compiled code from the cache or compiles it, links
    /// it, checks what it imports and exports, and asks it what it is.
    pub(crate) async fn load(
        &self,
        component: Vec<u8>,
        digest: Digest,
        launch: Launch,
    ) -> Result<Arc<dyn Program>, LoadError> {
        let source = Arc::new(Source { bytes: component, digest });
        let linked = match self.cached(&source).await? {
            Some(linked) => {
                tracing::debug!(plugin = %launch.label, %digest, "compiled code was taken from the compile cache");
                linked
            }
            None => {
                let linked = self.compiled(&source).await?;
                tracing::debug!(plugin = %launch.label, %digest, "the component was compiled");
                self.keep(&source, &linked);
                linked
            }
        };
        Ok(Arc::new(WasmProgram::describe(Arc::clone(&self.engines), linked, launch).await?))
    }

    /// Waits until what was compiled is in the cache, but no longer than this.
    pub(crate) async fn ended(&self, deadline: Duration) {
        // What is not written then is compiled again.
        drop(timeout(deadline, self.cache_writes.acquire_many(CACHE_WRITES_MAX)).await);
    }

    /// Links a component from the cache, if it is there. Does not wait for those that compile.
    async fn cached(&self, source: &Arc<Source>) -> Result<Option<Linked>, LoadError> {
        let Some(cache) = self.cache.clone() else { return Ok(None) };
        let (engines, source) = (Arc::clone(&self.engines), Arc::clone(source));
        let reads = Arc::clone(&self.cache_reads);
        let reading = async move {
            let turn = reads.acquire_owned().await.expect("the semaphore is never closed");
            tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let engine = engines.of(World::of(&source.bytes)?)?;
                let found = cache.load(&engine.engine, source.digest, source.bytes.len());
                found.map(|component| program::link(&engine, component)).transpose()
            })
            .await
        };
        match timeout(self.engines.limits.load_deadline, reading).await {
            Ok(Ok(linked)) => linked,
            // Whatever is wrong with the cache, the component is there.
            failed @ (Ok(Err(_)) | Err(_)) => {
                let why = if failed.is_err() { "does not answer" } else { "failed" };
                tracing::warn!("the compile cache {why}, and a plugin is compiled again");
                Ok(None)
            }
        }
    }

    /// Looks a component through, and compiles and links it when its turn comes.
    ///
    /// A compiler in a process of its own is killed at the load deadline, and its turn is free when it is gone. One in
    /// this process runs on a thread of its own and cannot be interrupted: after the deadline the caller is told, while
    /// the compiler runs to its end unheard, and keeps its turn until then.
    async fn compiled(&self, source: &Arc<Source>) -> Result<Linked, LoadError> {
        let limit = self.engines.limits.load_deadline;
        let (engines, looked_through) = (Arc::clone(&self.engines), Arc::clone(source));
        let inspecting = tokio::task::spawn_blocking(move || {
            program::inspect(&engines.limits, &looked_through.bytes).and_then(|world| engines.of(world))
        });
        let engine = timeout(limit, inspecting).await.map_err(|_| LoadError::Deadline(limit))?;
        let engine = engine.map_err(|_| LoadError::Unfit(FAILED.to_owned()))??;
        let turn = timeout(limit * LOADS_WAITED_FOR_MAX, Arc::clone(&self.compilations).acquire_owned()).await;
        let turn = turn.map_err(|_| LoadError::Deadline(limit * LOADS_WAITED_FOR_MAX))?;
        let turn = turn.expect("the semaphore is never closed");
        let compiling = match &self.compiler {
            Compiler::InProcess => {
                let source = Arc::clone(source);
                tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    program::compile(&engine, &source.bytes)
                })
            }
            Compiler::Program(path) => {
                let (turn, code) = self.compiled_elsewhere(path, turn, engine.world, source).await?;
                tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    let component = cache::admit(&engine.engine, &code).map_err(|cause| {
                        LoadError::Host(format!("what the compiler made does not fit this program: {cause:#}"))
                    })?;
                    program::link(&engine, component)
                })
            }
        };
        let compiled = timeout(limit, compiling).await.map_err(|_| LoadError::Deadline(limit))?;
        compiled.map_err(|_| LoadError::Unfit(FAILED.to_owned()))?
    }

    /// Has a program compile a component. It keeps its turn until its process is gone, which is soon where nobody waits
    /// any more.
    async fn compiled_elsewhere(
        &self,
        program: &Path,
        turn: OwnedSemaphorePermit,
        world: World,
        source: &Arc<Source>,
    ) -> Result<(OwnedSemaphorePermit, Vec<u8>), LoadError> {
        let (limits, program, source) = (Arc::clone(&self.engines.limits), program.to_owned(), Arc::clone(source));
        let (mut answer, answered) = oneshot::channel();
        drop(tokio::spawn(async move {
            let bytes = &source.bytes;
            let code_bytes_max = cache::code_bytes_max(bytes.len());
            let code = compiler::compile(&program, &limits, world, bytes, code_bytes_max, answer.closed()).await;
            drop(answer.send(code.map(|code| (turn, code))));
        }));
        answered.await.map_err(|_| LoadError::Host("the compiler was given up".to_owned()))?
    }

    /// Begins to write compiled code to the cache, if there is one. Nobody waits for the disk but
    /// [`WasmRuntime::ended`].
    fn keep(&self, source: &Source, linked: &Linked) {
        let Some(cache) = self.cache.clone() else { return };
        let Ok(turn) = Arc::clone(&self.cache_writes).try_acquire_owned() else {
            cache.tell_of_failed_write("the disk does not keep up");
            return;
        };
        let (digest, bytes, component) = (source.digest, source.bytes.len(), linked.component().clone());
        // Detached: its turn is what `ended` waits for.
        drop(tokio::task::spawn_blocking(move || {
            let _turn = turn;
            cache.store(component.engine(), digest, bytes, &component);
        }));
    }
}
