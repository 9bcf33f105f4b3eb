//! A host on a storage that can hold reads up, plugins in its catalog, and words for what is asked of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cofferdam::ident::{Digest, MountPath};
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::storage::{Batch, MemoryStorage, Snapshot, Storage, StorageError};
use cofferdam::{
    Error, Host, InstanceLimits, InstancePolicy, Limits, MountRequest, NativePlugins, PluginDirectory, PluginInfo,
    Registration,
};
use cofferdam_sdk::embed::Embedded;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::guests;

/// No answer takes this long: only what hangs does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Stage {
    pub(crate) host: Host,
    pub(crate) gate: Arc<Gate>,
    plugins: TempDir,
    sockets: TempDir,
}

/// Holds reads of the key `gate` up, once it is closed.
pub(crate) struct Gate {
    passes: Semaphore,
    arrived: Semaphore,
}

impl Gate {
    /// Waits until so many reads more have come to the gate.
    pub(crate) async fn arrivals(&self, count: u32) {
        let arrived = tokio::time::timeout(PATIENCE, self.arrived.acquire_many(count)).await;
        arrived.expect("they come").expect("the gate stays").forget();
    }

    /// Lets so many reads pass.
    pub(crate) fn open(&self, count: usize) {
        self.passes.add_permits(count);
    }
}

/// Memory behind a gate.
struct Gated {
    memory: MemoryStorage,
    gate: Arc<Gate>,
}

#[async_trait]
impl Storage for Gated {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        if key.ends_with("/gate") {
            self.gate.arrived.add_permits(1);
            self.gate.passes.acquire().await.expect("the gate stays").forget();
        }
        // Others get a turn in between, as with a disk.
        tokio::task::yield_now().await;
        self.memory.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        self.memory.list(prefix, after, limit).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        self.memory.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        tokio::task::yield_now().await;
        self.memory.commit(batch).await
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError> {
        self.memory.keys(prefix, limit).await
    }
}

/// A plugin's entry: all that a test wants to choose.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) file: &'a str,
    pub(crate) version: Option<&'a str>,
    pub(crate) env: &'a [String],
    pub(crate) instances: InstancePolicy,
    pub(crate) limits: InstanceLimits,
}

impl<'a> Entry<'a> {
    pub(crate) fn of(file: &'a str, instances: InstancePolicy) -> Self {
        Self { name: "plugin", file, version: None, env: &[], instances, limits: InstanceLimits::default() }
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        // Few sandboxes: each reserves address space, and there are many hosts in this program.
        Self::with(Limits { instances_max: 24, ..Limits::default() }).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::with_builtin(limits, None).await
    }

    /// Starts a host that has this plugin built in, by the name that all plugins have here.
    pub(crate) async fn with_builtin(limits: Limits, builtin: Option<Embedded>) -> Self {
        let directory = || tempfile::tempdir().expect("a temporary directory can be made");
        let (plugins, sockets) = (directory(), directory());
        let gate = Arc::new(Gate { passes: Semaphore::new(0), arrived: Semaphore::new(0) });
        let storage = Gated { memory: MemoryStorage::default(), gate: Arc::clone(&gate) };
        let native = NativePlugins { socket_directory: sockets.path().to_owned(), ..NativePlugins::default() };
        let mut builder = Host::builder().storage(storage).limits(limits).native_plugins(native);
        if let Some(builtin) = builtin {
            builder = builder.builtin("plugin".parse().expect("the name is well formed"), builtin);
        }
        let directory = PluginDirectory::open(plugins.path()).expect("the plugin directory opens");
        let host = builder.plugin_directory(directory).build().await.expect("the host starts");
        Self { host, gate, plugins, sockets }
    }

    pub(crate) async fn register(&self, entry: Entry<'_>) -> PluginInfo {
        let bytes = fs::read(artifact(entry.file)).expect("the plugin was built");
        let file = self.plugins.path().join(entry.file);
        if !file.exists() {
            fs::write(&file, &bytes).expect("the plugin directory takes a file");
            fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("a file can be made executable");
        }
        let mut registration = Registration::new(
            entry.name.parse().expect("the name is well formed"),
            entry.file.parse().expect("the command is well formed"),
            Digest::of(&bytes),
        );
        registration.version = entry.version.map(|version| version.parse().expect("the version is well formed"));
        registration.launch.env = entry.env.to_vec();
        registration.instances = entry.instances;
        registration.instance_limits = entry.limits;
        self.host.register_plugin(registration).await.expect("the plugin can be registered")
    }

    pub(crate) async fn enable(&self, path: &str) {
        self.enable_with(path, &[]).await;
    }

    pub(crate) async fn enable_with(&self, path: &str, options: &[(&str, &str)]) {
        let mut request = MountRequest::new(mount(path), "plugin".parse().expect("the name is well formed"));
        request.settings.options =
            options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.host.enable(request).await.expect("the plugin can be mounted");
    }

    pub(crate) async fn read(&self, path: &str) -> Result<Value, Error> {
        self.ask(Operation::Read, path, None).await
    }

    pub(crate) async fn write(&self, path: &str, data: &Value) -> Result<Value, Error> {
        self.ask(Operation::Update, path, Some(data)).await
    }

    async fn ask(&self, operation: Operation, path: &str, data: Option<&Value>) -> Result<Value, Error> {
        let mut request = Request::new(operation, path.parse().expect("the path is well formed"));
        request.caller = Caller::Known(Arc::new(Identity::named("tester")));
        if let Some(data) = data {
            request = request.with_data(data.to_string().into_bytes());
        }
        let answered = tokio::time::timeout(PATIENCE, self.host.handle(request)).await.expect("no request hangs");
        Ok(match answered?.body {
            Body::Data(data) => serde_json::from_slice(&data).expect("an answer is JSON"),
            _ => json!(null),
        })
    }

    /// Returns how many instances and processes there are, and what they take.
    pub(crate) fn live(&self) -> (u64, u64, u64) {
        let metrics = self.host.metrics();
        let sum = |count: fn(&cofferdam::PluginCounts) -> u64| {
            metrics.plugins.iter().map(|plugin| count(&plugin.counts)).sum()
        };
        (sum(|counts| counts.live()), sum(|counts| counts.processes), sum(|counts| counts.memory_bytes))
    }

    /// Ends the host, and checks that its plugins leave nothing behind.
    pub(crate) async fn end(self) {
        self.host.shutdown().await;
        drop(self.host);
        let left = fs::read_dir(self.sockets.path()).expect("the directory is there").count();
        assert_eq!(left, 0, "sockets that nobody needs");
    }
}

pub(crate) fn mount(path: &str) -> MountPath {
    path.parse().expect("the path is well formed")
}

/// Returns where a plugin's file is that was built from the tests' sources.
fn artifact(file: &str) -> PathBuf {
    static COMPONENTS: OnceLock<PathBuf> = OnceLock::new();
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    let built = |built: Result<PathBuf, String>| built.unwrap_or_else(|why| panic!("{why}"));
    if file.ends_with(".wasm") {
        COMPONENTS.get_or_init(|| built(guests::build("tests/guests"))).join(file)
    } else {
        PROGRAMS.get_or_init(|| built(guests::build_native("tests/guests"))).join(file)
    }
}
