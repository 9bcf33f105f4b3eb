//! `kill -9` at every step of every operation on a host: what is found afterwards is the old state or the new one,
//! nothing is left over, the neighbours are untouched, and the operation can be repeated.
//!
//! A step is a commit: all that lies between two commits is lost with the process and so looks alike. A child dies
//! right before or right after its n-th commit, for every n until the operation needs no more.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cofferdam::ident::PluginKind::{Auth, Secret};
use cofferdam::ident::{Digest, MountPath, PluginKind, PluginVersion, RequestPath};
use cofferdam::request::{Body, Caller, Identity, Operation as Verb, Request};
use cofferdam::storage::{Batch, DurableStorage, Storage as _};
use cofferdam::{
    Error, ErrorKind, Host, MountInfo, MountRequest, MountSettings, Pin, PluginDirectory, Registration, Tune,
    VersionChange,
};

use super::fuse::{Fuse, Fused, NEVER};
use super::{guests, role};

const OPERATION: &str = "COFFERDAM_TEST_OPERATION";
const STEP: &str = "COFFERDAM_TEST_STEP";
const MOMENT: &str = "COFFERDAM_TEST_MOMENT";
const PLUGINS: &str = "COFFERDAM_TEST_PLUGINS";
const KIND: &str = "COFFERDAM_TEST_KIND";

/// More than one transaction of a wipe removes.
const BULK_KEYS: usize = 1_500;
/// What the plugin is pinned to that the mounts run without a version.
const PINNED: &str = "1.0.0";

const SIGKILL: i32 = 9;

// ------------------------------------------------------------------------------------------------------------------
// operations

#[test]
fn register_is_all_or_nothing() {
    check(Secret, "register", 1);
}

#[test]
fn enable_is_all_or_nothing() {
    check(Secret, "enable", 2);
    check(Auth, "enable", 2);
}

#[test]
fn move_is_all_or_nothing() {
    check(Secret, "move", 1);
}

#[test]
fn tune_is_all_or_nothing() {
    check(Secret, "tune", 1);
}

#[test]
fn tuning_a_version_is_all_or_nothing() {
    check(Secret, "tune-version", 1);
}

#[test]
fn pinning_is_all_or_nothing() {
    check(Secret, "pin", 1);
}

#[test]
fn unpinning_is_all_or_nothing() {
    check(Secret, "unpin", 1);
}

#[test]
fn each_declaration_is_all_or_nothing() {
    check(Secret, "declare", 1);
    check(Secret, "undeclare", 1);
}

#[test]
fn disable_is_all_or_nothing() {
    check(Secret, "disable", 5);
}

/// An auth method's storage lies elsewhere.
#[test]
fn disable_is_all_or_nothing_for_an_auth_method() {
    check(Auth, "disable", 5);
}

/// Does what a name stands for.
async fn operate(host: &Host, plugins: &Path, kind: PluginKind, operation: &str) -> Result<(), Error> {
    let path = |name: &str| mount_path(kind, name);
    match operation {
        "register" => register(host, plugins, kind, "second").await,
        "enable" => enable(host, kind, "new").await,
        "move" => host.remount(&path("target"), &path("moved")).await,
        "tune" => {
            let tune = Tune { description: Some("tuned".to_owned()), ..Tune::default() };
            host.tune(&path("target"), tune).await
        }
        "tune-version" => {
            let plugin_version = Some(VersionChange::To(PINNED.parse().expect("a good version")));
            host.tune(&path("target"), Tune { plugin_version, ..Tune::default() }).await
        }
        "pin" => host.pin_plugin(pin(kind, "2.0.0")).await,
        "unpin" => host.unpin_plugin(kind, &"first".parse().expect("a good name")).await,
        "declare" => {
            let declared = [("declared", None), ("first", Some("3.0.0"))];
            host.declare_plugins(declared.map(|(name, version)| registration(plugins, kind, name, version)).into())
                .await
                .map(drop)
        }
        "undeclare" => host.declare_plugins(Vec::new()).await.map(drop),
        "disable" => host.disable(&path("target")).await,
        // All of it happens while the host is built.
        "start" => Ok(()),
        unknown => panic!("there is no operation {unknown:?}"),
    }
}

fn mount_path(kind: PluginKind, name: &str) -> MountPath {
    kind.mount_path(&name.parse().expect("a good name")).expect("a good path")
}

async fn register(host: &Host, plugins: &Path, kind: PluginKind, name: &str) -> Result<(), Error> {
    host.register_plugin(registration(plugins, kind, name, None)).await.map(drop)
}

fn registration(plugins: &Path, kind: PluginKind, name: &str, version: Option<&str>) -> Registration {
    let sha256 = Digest::of(&std::fs::read(plugins.join("plugin")).expect("the plugin is there"));
    let (name, command) = (name.parse().expect("a good name"), "plugin".parse().expect("a good command"));
    let version = version.map(|version| version.parse().expect("a good version"));
    Registration { kind: Some(kind), version, ..Registration::new(name, command, sha256) }
}

fn pin(kind: PluginKind, version: &str) -> Pin {
    Pin { kind, name: "first".parse().expect("a good name"), version: version.parse().expect("a good version") }
}

async fn enable(host: &Host, kind: PluginKind, name: &str) -> Result<(), Error> {
    let settings = MountSettings::new(kind, "first".parse().expect("a good name"));
    let request = MountRequest { path: mount_path(kind, name), settings };
    host.enable(request).await.map(drop)
}

#[test]
fn a_wipe_is_finished_however_often_it_is_interrupted() {
    for kind in [Secret, Auth] {
        let scene = Scene::new(kind);
        scene.begin();
        assert_eq!(scene.run_until(1, "after", "disable"), Ran::Killed);
        std::fs::rename(scene.path("store"), scene.path("template")).unwrap();
        // The host takes the storage over and lets what was on its way arrive; the keys left go in two steps, and the
        // intent in one more.
        scene.sweep("start", 5);
    }
}

/// Kills a child at every step of an operation, and looks at what it leaves.
#[track_caller]
fn check(kind: PluginKind, operation: &str, steps: usize) {
    Scene::new(kind).sweep(operation, steps);
}

/// A store to begin with, and a plugin of one kind.
struct Scene(tempfile::TempDir, PluginKind);

#[derive(Debug, PartialEq, Eq)]
enum Ran {
    Killed,
    ToItsEnd,
}

impl Scene {
    fn new(kind: PluginKind) -> Self {
        let scene = Self(tempfile::tempdir().unwrap(), kind);
        std::fs::create_dir(scene.path("plugins")).unwrap();
        let (workspace, plugin) = match kind {
            Auth => ("tests/guests", "login_plugin.wasm"),
            Secret => ("guest-examples", "passthrough_plugin.wasm"),
        };
        let built = guests::build(workspace).unwrap_or_else(|why| panic!("{why}"));
        std::fs::copy(built.join(plugin), scene.path("plugins/plugin")).unwrap();
        prepare(&scene.path("template"), &scene.path("plugins"), kind);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes the store anew.
    fn begin(&self) {
        std::fs::copy(self.path("template"), self.path("store")).unwrap();
    }

    #[track_caller]
    fn sweep(&self, operation: &str, steps: usize) {
        self.begin();
        let (old, new) = examine(&self.path("store"), &self.path("plugins"), self.1, operation);
        // One step more than there are is never reached: the child gets to its end.
        for (moment, last) in [("before", steps + 1), ("after", steps)] {
            for step in 1..=last {
                self.begin();
                let ran = self.run_until(step, moment, operation);
                assert_eq!(ran == Ran::Killed, step <= steps, "{operation} has {steps} steps, and this is {step}");
                let (seen, repeated) = examine(&self.path("store"), &self.path("plugins"), self.1, operation);
                let expected = if ran == Ran::ToItsEnd { [&new, &new] } else { [&old, &new] };
                assert!(expected.contains(&&seen), "killed {moment} step {step} of {operation}: {seen:#?}");
                assert_eq!(repeated, new, "repeated after a kill {moment} step {step} of {operation}");
            }
        }
    }

    /// Has a child do an operation on the store, and die at a step of it.
    fn run_until(&self, step: usize, moment: &str, operation: &str) -> Ran {
        let mut child = role::command("operate", &self.path("store"));
        child.env(OPERATION, operation).env(STEP, step.to_string()).env(MOMENT, moment);
        let output = child.env(PLUGINS, self.path("plugins")).env(KIND, self.1.as_str()).output().unwrap();
        match output.status.signal() {
            Some(SIGKILL) => Ran::Killed,
            _ => {
                assert!(output.status.success(), "{output:?}");
                Ran::ToItsEnd
            }
        }
    }
}

/// The child: does an operation, and is killed on the way.
#[tokio::main]
pub(super) async fn play(store: &Path) {
    let variable = |name: &str| std::env::var(name).expect("the parent sets it");
    let fuse = Arc::new(Fuse { steps: AtomicUsize::new(NEVER), moment: variable(MOMENT) });
    let storage = Fused { storage: Arc::new(DurableStorage::open(store).unwrap()), fuse: Arc::clone(&fuse) };
    let plugins = PathBuf::from(variable(PLUGINS));
    let (operation, step) = (variable(OPERATION), variable(STEP).parse().expect("a number"));
    if operation == "start" {
        fuse.steps.store(step, Ordering::SeqCst);
    }
    let host = build(storage, &plugins).await;
    fuse.steps.store(step, Ordering::SeqCst);
    let kind = variable(KIND).parse().expect("a kind");
    operate(&host, &plugins, kind, &operation).await.unwrap();
    fuse.steps.store(NEVER, Ordering::SeqCst);
}

// --------------------------------------------------------------------------------------------------------- before and
// after

/// Makes a store with a plugin and two mounts, both with data.
#[tokio::main]
async fn prepare(store: &Path, plugins: &Path, kind: PluginKind) {
    let storage = Fused::open(store);
    let inner = Arc::clone(&storage.storage);
    let host = build(storage, plugins).await;
    register(&host, plugins, kind, "first").await.unwrap();
    for name in ["kept", "target"] {
        enable(&host, kind, name).await.unwrap();
        let data = match kind {
            Auth => format!(r#"{{"password":"x","policies":["{name}"]}}"#),
            Secret => format!(r#"{{"of":"{name}"}}"#),
        };
        ask(&host, Verb::Update, &a_value_of(&mount_path(kind, name)), data.into()).await.unwrap();
    }
    let target = host.mount(&mount_path(kind, "target")).unwrap();
    let keys = (0..BULK_KEYS).map(|number| format!("{}bulk/{number:04}", storage_of(&target)));
    inner.commit(keys.fold(Batch::default(), |batch, key| batch.put(key, "x"))).await.unwrap();
    // The auth method says itself what version it is of, so there is one of it.
    if kind == Secret {
        for version in [PINNED, "2.0.0"] {
            host.register_plugin(registration(plugins, kind, "first", Some(version))).await.unwrap();
        }
        host.pin_plugin(pin(kind, PINNED)).await.unwrap();
        host.declare_plugins(vec![registration(plugins, kind, "declared", None)]).await.unwrap();
    }
    host.shutdown().await;
}

/// Opens a store with a host, repeats an operation there, and returns the state before and after.
#[tokio::main]
async fn examine(store: &Path, plugins: &Path, kind: PluginKind, operation: &str) -> (Vec<String>, Vec<String>) {
    let storage = Fused::open(store);
    let inner = Arc::clone(&storage.storage);
    let host = build(storage, plugins).await;
    let seen = state(&host, &inner).await;
    match operate(&host, plugins, kind, operation).await {
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
    let version = |version: Option<&PluginVersion>| version.map(ToString::to_string).unwrap_or_default();
    let mut state: Vec<String> = host
        .plugins()
        .iter()
        .map(|plugin| {
            let (pinned, declared) = (plugin.pinned, plugin.declarative);
            format!(
                "plugin {} {:?}, pinned: {pinned}, declared: {declared}",
                plugin.key.name,
                version(plugin.key.version.as_ref())
            )
        })
        .collect();
    state.extend(host.pins().iter().map(|pin| format!("pin {} {}", pin.name, pin.version)));
    let mut owned = 0;
    for mount in host.mounts().iter().filter(|mount| mount.settings.plugin.as_str() != "system") {
        let keys = storage.keys(&storage_of(mount), NEVER).await.unwrap().len();
        let data = ask(host, Verb::Read, &a_value_of(&mount.path), Bytes::new()).await.unwrap();
        let asked = version(mount.settings.version.as_ref());
        state.push(format!("mount {} {:?} {asked:?} of {keys} keys: {data}", mount.path, mount.settings.description));
        owned += keys;
    }
    let mut found = 0;
    for table in ["auth/", "logical/"] {
        found += storage.keys(table, NEVER).await.unwrap().len();
    }
    assert_eq!(found, owned, "data of no mount is left: {state:#?}");
    assert_eq!(storage.keys("core/wipes/", NEVER).await.unwrap(), [""; 0], "something is left to be wiped: {state:#?}");
    let mounts = state.iter().filter(|line| line.starts_with("mount")).count();
    assert_eq!(storage.keys("core/mounts/", NEVER).await.unwrap().len(), mounts, "{state:#?}");
    let kept = [
        "mount kept/ \"\" \"\" of 2 keys: {\"of\":\"kept\"}",
        "mount auth/kept/ \"\" \"v1.0.0\" of 2 keys: {\"policies\":[\"kept\"],\"ttl\":0}",
    ];
    assert!(state.iter().any(|line| kept.contains(&line.as_str())), "{state:#?}");
    state
}

/// Returns what a mount's storage begins with, in Vault's layout.
fn storage_of(mount: &MountInfo) -> String {
    match mount.settings.kind {
        Auth => format!("auth/{}/", mount.uuid),
        Secret => format!("logical/{}/", mount.uuid),
    }
}

/// Returns the path of something that the plugin stores.
fn a_value_of(mount: &MountPath) -> String {
    match mount.kind() {
        Auth => format!("{mount}users/a"),
        Secret => format!("{mount}a"),
    }
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
    };
    let path: RequestPath = path.parse().expect("a good path");
    let request = Request::new(verb, path).by(Caller::Known(Arc::new(identity))).with_data(data);
    Ok(match host.handle(request).await?.body {
        Body::Data(data) => String::from_utf8_lossy(&data).into_owned(),
        _ => "nothing".to_owned(),
    })
}
