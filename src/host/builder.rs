//! From what an embedder hands in to a host that serves.

#[cfg(feature = "wasm")]
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::SetOnce;
use tokio_util::task::TaskTracker;

use super::access::{Access, RootTokenAccess};
#[cfg(feature = "builtin")]
use super::builtins::{self, Builtin, Embedded};
#[cfg(feature = "wasm")]
use super::compile_cache;
use super::own_record::{SystemRecord, TokenDigest};
use super::programs::{Programs, Runtimes};
use super::{Audit, Error, Host, Inner, SystemBackend};
use crate::artifact::PluginDirectory;
use crate::catalog::Catalog;
#[cfg(feature = "builtin")]
use crate::ident::PluginName;
use crate::limits::Limits;
use crate::mount::{GenerationSettings, MountTable};
use crate::pool::{InstanceBudget, PoolLimits, Pools};
#[cfg(feature = "builtin")]
use crate::runtime::builtin::BuiltinRuntime;
#[cfg(feature = "process")]
use crate::runtime::process::{NativePlugins, ProcessRuntime, Wrapping};
#[cfg(feature = "wasm")]
use crate::runtime::wasm::{Compiler, WasmRuntime, grant_instances};
use crate::storage::{Control, MemoryStorage, Storage};

/// Collects what a [`Host`] needs. Without any of it, a host keeps everything in memory and runs no plugin.
#[derive(Default)]
pub struct HostBuilder {
    storage: Option<Arc<dyn Storage>>,
    plugin_directory: Option<PluginDirectory>,
    limits: Limits,
    root_token: Option<TokenDigest>,
    access: Option<Arc<dyn Access>>,
    audit: Option<Arc<dyn Audit>>,
    backend: Option<Arc<dyn SystemBackend>>,
    #[cfg(feature = "wasm")]
    compile_cache: Option<PathBuf>,
    #[cfg(feature = "wasm")]
    compiler: Compiler,
    #[cfg(feature = "process")]
    native: NativePlugins,
    #[cfg(feature = "builtin")]
    builtins: Vec<Builtin>,
}

impl HostBuilder {
    /// Keeps everything here. The default is memory, which ends with the host.
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.storage = Some(Arc::new(storage));
        self
    }

    /// Takes plugins' files from here, and from nowhere else. Without it no plugin can be registered or started.
    pub fn plugin_directory(mut self, directory: PluginDirectory) -> Self {
        self.plugin_directory = Some(directory);
        self
    }

    /// Grants this much.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Keeps compiled components in this directory, so that the next start needs no compiler. Without it, every start
    /// compiles.
    ///
    /// The directory is made, for this user alone, if it is not there. Nothing in it is trusted: code is used only if
    /// it is authentic under a key that lies in the storage, so a storage in memory makes the cache useless after a
    /// restart. A directory that cannot be used, or that others may write to, is a warning in the log, and the host
    /// goes on without. At most [`Limits::compile_cache_bytes_max`] are kept. Hosts may share a directory.
    #[cfg(feature = "wasm")]
    pub fn compile_cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.compile_cache = Some(directory.into());
        self
    }

    /// Compiles components there. The default is the host's own process, after a look through them that stops what is
    /// large; only [`Compiler::Program`] bounds the memory and the time that compiling takes, and `cofferdam server`
    /// uses it.
    #[cfg(feature = "wasm")]
    pub fn compiler(mut self, compiler: Compiler) -> Self {
        self.compiler = compiler;
        self
    }

    /// Starts native plugins in this way. The default is a clean environment.
    #[cfg(feature = "process")]
    pub fn native_plugins(mut self, settings: NativePlugins) -> Self {
        self.native = settings;
        self
    }

    /// Has a plugin built in: it runs inside this process, and is in the catalog by this name without being registered,
    /// as the version that it says it is with the metadata `builtin.cofferdam`.
    ///
    /// Nothing is around it: it is to be trusted as the host itself is. A call that takes too long is cut off from its
    /// storage, but its thread goes on until the plugin returns; see [`Limits::builtin_calls_max`].
    #[cfg(feature = "builtin")]
    pub fn builtin(mut self, name: PluginName, plugin: Embedded) -> Self {
        self.builtins.push((name, plugin));
        self
    }

    /// Has the plugins built in that ship with this crate: `kv` and `userpass`.
    #[cfg(feature = "builtin")]
    pub fn shipped_plugins(mut self) -> Self {
        self.builtins.extend(builtins::shipped());
        self
    }

    /// Accepts this token as root, in place of the stored one. For development: whoever embeds a host may decide by
    /// other means who calls, see [`Caller`](crate::request::Caller).
    pub fn root_token(mut self, token: &str) -> Self {
        self.root_token = Some(TokenDigest::of(token));
        self
    }

    /// Lets this decide who asks, and who may ask for what. By default a host knows its root token; its bearer may do
    /// anything, and everybody else reaches open paths alone.
    pub fn access(mut self, access: impl Access + 'static) -> Self {
        self.access = Some(Arc::new(access));
        self
    }

    /// Tells this of every request and of what it came to. By default nobody is told.
    pub fn audit(mut self, audit: impl Audit + 'static) -> Self {
        self.audit = Some(Arc::new(audit));
        self
    }

    /// Lets this answer at the host's own paths, `sys/` and `auth/token/`: with
    /// [`SystemApi`](crate::system::SystemApi) in Vault's way. By default nothing answers there.
    pub fn system(mut self, backend: impl SystemBackend + 'static) -> Self {
        self.backend = Some(Arc::new(backend));
        self
    }

    /// Reads what is stored and begins to serve.
    ///
    /// Mounts start in the background, or with their first request; one that cannot start is disabled and says why, and
    /// the others serve. Storage that a crash left to be wiped is wiped. Needs a tokio runtime with a timer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`](super::ErrorKind::Storage) when the storage cannot be read,
    /// [`ErrorKind::Internal`](super::ErrorKind::Internal) when the sandbox cannot be set up.
    pub async fn build(self) -> Result<Host, Error> {
        let storage = self.storage.unwrap_or_else(|| Arc::new(MemoryStorage::default()));
        let limits = Arc::new(granted(self.limits));
        let system = SystemRecord::load_or_create(&*storage).await?;
        #[cfg(feature = "wasm")]
        let cache = match self.compile_cache {
            Some(directory) => compile_cache::open(&*storage, directory, limits.compile_cache_bytes_max).await,
            None => None,
        };
        #[cfg(feature = "process")]
        let wrapping = Arc::new(Wrapping::new());
        let runtimes = Runtimes {
            #[cfg(feature = "wasm")]
            wasm: WasmRuntime::new(Arc::clone(&limits), cache)?.with_compiler(self.compiler),
            #[cfg(feature = "process")]
            process: ProcessRuntime::new(self.native, Arc::clone(&limits), Arc::clone(&wrapping))?,
            #[cfg(feature = "builtin")]
            builtin: BuiltinRuntime::new(self.builtins, &limits)?,
        };
        let control = Arc::new(Control::take_over(Arc::clone(&storage)).await?);
        let catalog = Catalog::load(Arc::clone(&storage), Arc::clone(&control)).await?;
        #[cfg(feature = "builtin")]
        let catalog = catalog.with_builtins(builtins::records(&runtimes.builtin));
        let programs = Programs::new(self.plugin_directory, runtimes, Arc::clone(&limits));
        let root_token = Arc::new(RootTokenAccess::new(self.root_token.or(system.root_token)));
        let generations = GenerationSettings {
            pools: Pools::new(
                InstanceBudget::new(limits.instances_max),
                PoolLimits { queue_max: limits.mount_queue_max, shared_queue_max: limits.shared_queue_max },
            ),
            lifecycle_deadline: limits.lifecycle_deadline,
        };
        let inner = Arc::new(Inner {
            catalog: Arc::new(catalog),
            mounts: MountTable::new(Arc::clone(&storage), control),
            storage,
            programs: Arc::new(programs),
            generations,
            reservations: Arc::default(),
            plugin_claims: Arc::default(),
            system,
            access: self.access.unwrap_or_else(|| Arc::clone(&root_token) as Arc<dyn Access>),
            root_token,
            audit: self.audit,
            backend: self.backend,
            limits,
            stopping: AtomicBool::new(false),
            operations: TaskTracker::new(),
            #[cfg(feature = "process")]
            wrapping,
            started: SetOnce::new(),
        });
        inner.load_mounts().await?;
        tokio::spawn(Inner::start_mounts(Arc::downgrade(&inner)));
        tokio::spawn(Inner::sweep_instances(Arc::downgrade(&inner)));
        tokio::spawn(Inner::roll_back_mounts(Arc::downgrade(&inner), inner.limits.rollback_period));
        Ok(Host { inner })
    }
}

/// Returns the limits without what this system cannot give.
fn granted(limits: Limits) -> Limits {
    #[cfg(feature = "wasm")]
    let limits = Limits { instances_max: grant_instances(&limits), ..limits };
    limits
}
