//! `kill -9` at every step of every operation on a host: what is found afterwards is the old state or the new one, nothing is left
//! over, the neighbours are untouched, and the operation can be repeated.
//!
//! A step is a commit: all that lies between two commits is lost with the process and so looks alike. A child dies right before
//! or right after its n-th commit, for every n until the operation needs no more.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use cofferdam::ident::{Digest, PluginKind, RequestPath};
use cofferdam::request::{Body, Caller, Identity, Operation as Verb, Request};
use cofferdam::storage::{Batch, Change, DurableStorage, Snapshot, Storage, StorageError};
use cofferdam::{Error, ErrorKind, Host, InstancePolicy, MountConfig, MountRequest, PluginDirectory, Registration, Tune};

use super::{guests, role};

const OPERATION: &str = "COFFERDAM_TEST_OPERATION";
const STEP: &str = "COFFERDAM_TEST_STEP";
const MOMENT: &str = "COFFERDAM_TEST_MOMENT";
const PLUGINS: &str = "COFFERDAM_TEST_PLUGINS";

/// More than one transaction of a wipe removes.
const BULK_KEYS: usize = 1_500;
const NEVER: usize = usize::MAX;
const SIGKILL: i32 = 9;

// ------------------------------------------------------------------------------------------------------------------ operations

#[test]
fn register_is_all_or_nothing() {
    check("register", 1);
}

#[test]
fn enable_is_all_or_nothing() {
    check("enable", 2);
}

#[test]
fn move_is_all_or_nothing() {
    check("move", 1);
}

#[test]
fn tune_is_all_or_nothing() {
    check("tune", 1);
}

#[test]
fn disable_is_all_or_nothing() {
    check("disable", 4);
}

/// Does what a name stands for.
async fn operate(host: &Host, plugins: &Path, operation: &str) -> Result<(), Error> {
    let path = |typed: &str| typed.parse().expect("a good path");
    match operation {
        "register" => register(host, plugins, "second").await,
        "enable" => enable(host, "new").await,
        "move" => host.remount(&path("target"), &path("moved")).await,
        "tune" => {
            let tune = Tune { description: Some("tuned".to_owned()), ..Tune::default() };
            host.tune(&path("target"), tune).await
        }
        "disable" => host.disable(&path("target")).await,
        unknown => panic!("there is no operation {unknown:?}"),
    }
}

async fn register(host: &Host, plugins: &Path, name: &str) -> Result<(), Error> {
    let registration = Registration {
        kind: Some(PluginKind::Secret),
        name: name.parse().expect("a good name"),
        version: None,
        command: "plugin".parse().expect("a good command"),
        args: Vec::new(),
        env: Vec::new(),
        sha256: Digest::of(&std::fs::read(plugins.join("plugin")).expect("the plugin is there")),
        instances: InstancePolicy::default(),
    };
    host.register_plugin(registration).await.map(drop)
}

async fn enable(host: &Host, path: &str) -> Result<(), Error> {
    let request = MountRequest {
        path: path.parse().expect("a good path"),
        kind: PluginKind::Secret,
        plugin: "first".parse().expect("a good name"),
        version: None,
        description: String::new(),
        options: Default::default(),
        local: false,
        seal_wrap: false,
        config: MountConfig::default(),
    };
    host.enable(request).await.map(drop)
}

/// Kills a child at every step, and looks at what it leaves.
#[track_caller]
fn check(operation: &str, steps: usize) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir(path("plugins")).unwrap();
    let built = guests::build("guest-examples").unwrap_or_else(|why| panic!("{why}"));
    std::fs::copy(built.join("passthrough_plugin.wasm"), path("plugins/plugin")).unwrap();
    prepare(&path("template"), &path("plugins"));

    std::fs::copy(path("template"), path("whole")).unwrap();
    let (old, new) = examine(&path("whole"), &path("plugins"), operation);
    assert_ne!(old, new);
    for moment in ["before", "after"] {
        let mut step = 1;
        loop {
            std::fs::copy(path("template"), path("store")).unwrap();
            let killed = killed_at(step, moment, operation, &path("store"), &path("plugins"));
            let (seen, repeated) = examine(&path("store"), &path("plugins"), operation);
            assert!(seen == old || seen == new, "killed {moment} step {step} of {operation}, it is {seen:#?}");
            assert_eq!(repeated, new, "repeated after a kill {moment} step {step} of {operation}");
            if !killed {
                assert_eq!(seen, new, "the child has done it");
                break;
            }
            step += 1;
        }
        assert_eq!(step - 1, steps, "steps of {operation}");
    }
}

/// Returns whether a child was killed on its way through an operation; else it has done it.
fn killed_at(step: usize, moment: &str, operation: &str, store: &Path, plugins: &Path) -> bool {
    let mut child = role::command("operate", store);
    child.env(OPERATION, operation).env(STEP, step.to_string()).env(MOMENT, moment).env(PLUGINS, plugins);
    let output = child.output().unwrap();
    assert!(output.status.success() || output.status.signal() == Some(SIGKILL), "{output:?}");
    !output.status.success()
}

/// The child: does an operation, and is killed on the way.
#[tokio::main]
pub(super) async fn play(store: &Path) {
    let variable = |name: &str| std::env::var(name).expect("the parent sets it");
    let fuse = Arc::new(Fuse { steps: AtomicUsize::new(NEVER), moment: variable(MOMENT) });
    let storage = Fused { storage: Arc::new(DurableStorage::open(store).unwrap()), fuse: Arc::clone(&fuse) };
    let plugins = PathBuf::from(variable(PLUGINS));
    let host = build(storage, &plugins).await;
    fuse.steps.store(variable(STEP).parse().expect("a number"), Ordering::SeqCst);
    operate(&host, &plugins, &variable(OPERATION)).await.unwrap();
    fuse.steps.store(NEVER, Ordering::SeqCst);
}

// --------------------------------------------------------------------------------------------------------- before and after

/// Makes a store with a plugin and two mounts, both with data.
#[tokio::main]
async fn prepare(store: &Path, plugins: &Path) {
    let storage = Fused::open(store);
    let inner = Arc::clone(&storage.storage);
    let host = build(storage, plugins).await;
    register(&host, plugins, "first").await.unwrap();
    for path in ["kept", "target"] {
        enable(&host, path).await.unwrap();
        let data = format!("{{\"of\":\"{path}\"}}");
        ask(&host, Verb::Update, &format!("{path}/a"), data.into()).await.unwrap();
    }
    let uuid = host.mount(&"target".parse().unwrap()).unwrap().uuid;
    let keys = (0..BULK_KEYS).map(|number| format!("logical/{uuid}/bulk/{number:04}"));
    inner.commit(keys.fold(Batch::default(), |batch, key| batch.put(key, "x"))).await.unwrap();
    host.shutdown().await;
}

/// Opens a store with a host, repeats an operation there, and returns the state before and after.
#[tokio::main]
async fn examine(store: &Path, plugins: &Path, operation: &str) -> (Vec<String>, Vec<String>) {
    let storage = Fused::open(store);
    let inner = Arc::clone(&storage.storage);
    let host = build(storage, plugins).await;
    let seen = state(&host, &inner).await;
    match operate(&host, plugins, operation).await {
        Ok(()) => {}
        // What is done already cannot be done again; whoever asks learns so.
        Err(error) => assert!(matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound), "{error}"),
    }
    let repeated = state(&host, &inner).await;
    host.shutdown().await;
    (seen, repeated)
}

/// Describes all that a store holds, and checks that nothing in it belongs to nobody.
async fn state(host: &Host, storage: &DurableStorage) -> Vec<String> {
    let mut state: Vec<String> = host.plugins().iter().map(|plugin| format!("plugin {}", plugin.name)).collect();
    let mut owned = 0;
    for mount in host.mounts().iter().filter(|mount| mount.plugin != "system") {
        let keys = storage.keys(&format!("logical/{}/", mount.uuid), NEVER).await.unwrap().len();
        let data = ask(host, Verb::Read, &format!("{}a", mount.path), Bytes::new()).await.unwrap();
        state.push(format!("mount {} {:?} of {keys} keys: {data}", mount.path, mount.description));
        owned += keys;
    }
    assert_eq!(storage.keys("logical/", NEVER).await.unwrap().len(), owned, "data of no mount is left: {state:#?}");
    assert_eq!(storage.keys("core/wipes/", NEVER).await.unwrap(), [""; 0], "something is left to be wiped: {state:#?}");
    let mounts = state.iter().filter(|line| line.starts_with("mount")).count();
    assert_eq!(storage.keys("core/mounts/", NEVER).await.unwrap().len(), mounts, "{state:#?}");
    assert!(state.iter().any(|line| line.contains("kept/") && line.contains("of 2 keys: {\"of\":\"kept\"}")), "{state:#?}");
    state
}

async fn build(storage: Fused, plugins: &Path) -> Host {
    let directory = PluginDirectory::open(plugins).unwrap();
    let host = Host::builder().storage(storage).plugin_directory(directory).build().await.unwrap();
    host.started().await;
    host
}

async fn ask(host: &Host, verb: Verb, path: &str, data: Bytes) -> Result<String, Error> {
    let identity = Identity {
        display_name: "test".to_owned(),
        entity_id: String::new(),
        token_accessor: String::new(),
        policies: Vec::new(),
        remote_address: String::new(),
    };
    let path: RequestPath = path.parse().expect("a good path");
    let request = Request::new(verb, path).by(Caller::Known(Arc::new(identity))).with_data(data);
    Ok(match host.handle(request).await?.body {
        Body::Data(data) => String::from_utf8_lossy(&data).into_owned(),
        _ => "nothing".to_owned(),
    })
}

// ----------------------------------------------------------------------------------------------------------------------- fuse

/// A store that kills its process at a step.
struct Fused {
    storage: Arc<DurableStorage>,
    fuse: Arc<Fuse>,
}

struct Fuse {
    /// Commits up to the one at which the process dies.
    steps: AtomicUsize,
    /// On which side of it.
    moment: String,
}

impl Fused {
    /// Opens a store that kills nobody.
    fn open(path: &Path) -> Self {
        let fuse = Fuse { steps: AtomicUsize::new(NEVER), moment: String::new() };
        Self { storage: Arc::new(DurableStorage::open(path).unwrap()), fuse: Arc::new(fuse) }
    }

    /// Stores something of a mount as soon as it is announced, as a plugin may while it is being initialised.
    async fn store_early(&self, batch: &Batch) -> Result<(), StorageError> {
        for change in &batch.changes {
            if let Change::Put(key, _) = change
                && let Some(uuid) = key.strip_prefix("core/wipes/")
            {
                self.storage.commit(Batch::default().put(format!("logical/{uuid}/early"), "x")).await?;
            }
        }
        Ok(())
    }
}

impl Fuse {
    /// Counts a commit, and returns whether the process dies at it.
    fn burns_out(&self) -> bool {
        let steps = self.steps.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |steps| match steps {
            0 | NEVER => None,
            steps => Some(steps - 1),
        });
        steps == Ok(1)
    }

    async fn kill(&self) {
        Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status().unwrap();
        std::future::pending().await
    }
}

#[async_trait]
impl Storage for Fused {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.storage.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        self.storage.list(prefix, after, limit).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        self.storage.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let burns_out = self.fuse.burns_out();
        if burns_out && self.fuse.moment == "before" {
            self.fuse.kill().await;
        }
        self.storage.commit(batch.clone()).await?;
        self.store_early(&batch).await?;
        if burns_out {
            self.fuse.kill().await;
        }
        Ok(())
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError> {
        self.storage.keys(prefix, limit).await
    }
}
