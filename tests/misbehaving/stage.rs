//! A host with a healthy plugin mounted, and the shortest words for what tests ask of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cofferdam::ident::{Digest, PluginKind};
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::storage::DurableStorage;
use cofferdam::{
    Error, ErrorKind, Host, Limits, MountInfo, MountRequest, NativePlugins, PluginDirectory, PluginInfo, Registration,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{self, MARK};
use crate::{go, guests};

/// No answer takes this long, whatever a plugin does: many deadlines, so that only a hang exceeds it.
const PATIENCE: Duration = Duration::from_secs(50);

/// Returns limits that are reached soon, though not by a plugin that starts on a busy machine.
pub(crate) fn limits() -> Limits {
    Limits {
        drain_deadline: Duration::from_secs(3),
        process_stop_grace: Duration::from_millis(500),
        // Each reserves 4 GiB of address space, and there are none.
        instances_max: 1,
        ..Limits::default()
    }
}

/// A host, and a healthy plugin at `good/`.
pub(crate) struct Stage {
    pub(crate) host: Host,
    plugins: TempDir,
    sockets: TempDir,
    /// Storage, and what scripts write.
    scratch: TempDir,
    mark: String,
    /// The healthy plugin's.
    neighbours: BTreeSet<i32>,
    reads: std::cell::Cell<u64>,
}

/// A plugin to be registered.
#[derive(Clone)]
pub(crate) struct Plugin {
    pub(crate) bytes: Vec<u8>,
    pub(crate) args: Vec<String>,
    pub(crate) mode: u32,
    pub(crate) version: Option<&'static str>,
    pub(crate) kind: Option<PluginKind>,
}

impl Plugin {
    pub(crate) fn file(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), args: vec![], mode: 0o755, version: None, kind: None }
    }

    pub(crate) fn script(text: &str) -> Self {
        Self::file(format!("#!/bin/sh\n{text}\n"))
    }

    /// Returns a Go program with these arguments. Its file is a script that runs it, since it is not the file that is
    /// in question. `None`, and a line that says so, where there is no Go.
    pub(crate) fn go(program: &str, args: &[&str]) -> Option<Self> {
        static BUILT: Mutex<BTreeMap<String, go::Built>> = Mutex::new(BTreeMap::new());
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        let built = built.entry(program.to_owned()).or_insert_with(|| go::build(program).expect("the plugin builds"));
        match built {
            go::Built::Yes(path) => Some(Self::program(path, args)),
            go::Built::NoGo => {
                println!("left out, for want of Go: {program} {args:?}");
                None
            }
        }
    }

    fn program(path: &Path, args: &[&str]) -> Self {
        let plugin = Self::script(&format!("exec {} \"$@\"", path.display()));
        Self { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..plugin }
    }
}

/// Returns the file of a healthy native plugin.
pub(crate) fn healthy() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| guests::build_native("tests/guests").expect("the plugins build")).join("probe-native")
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self::set_with(limits(), |_| ()).await
    }

    pub(crate) async fn set_with(limits: Limits, change: impl FnOnce(&mut NativePlugins)) -> Self {
        let mut stage = Self::bare(limits, change).await;
        stage.register("healthy", &Plugin::program(&healthy(), &[])).await.expect("the healthy plugin is registered");
        stage.enable("good", "healthy").await.expect("the healthy plugin is mounted");
        stage.neighbours = stage.processes();
        stage
    }

    /// Without a healthy plugin.
    pub(crate) async fn bare(limits: Limits, change: impl FnOnce(&mut NativePlugins)) -> Self {
        let directory = || tempfile::tempdir().expect("a temporary directory can be made");
        let (plugins, sockets, scratch) = (directory(), directory(), directory());
        let mark = scratch.path().display().to_string();
        let variable = |name: &str, value: &str| (name.into(), value.into());
        let mut native = NativePlugins {
            environment: vec![variable("PATH", "/usr/bin:/bin"), variable(MARK, &mark)],
            socket_directory: sockets.path().to_owned(),
            ..NativePlugins::default()
        };
        change(&mut native);
        let storage = DurableStorage::open(scratch.path().join("data.redb")).expect("the storage opens");
        let directory = PluginDirectory::open(plugins.path()).expect("the plugin directory opens");
        let builder = Host::builder().storage(storage).plugin_directory(directory).limits(limits);
        let host = builder.native_plugins(native).build().await.expect("the host starts");
        Self { host, plugins, sockets, scratch, mark, neighbours: BTreeSet::new(), reads: 0.into() }
    }

    /// Returns the path of a file that scripts may use.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Puts a file into the plugin directory and registers it.
    pub(crate) async fn register(&self, name: &str, plugin: &Plugin) -> Result<PluginInfo, Error> {
        let file = self.plugins.path().join(name);
        fs::write(&file, &plugin.bytes).expect("the plugin directory takes a file");
        fs::set_permissions(&file, Permissions::from_mode(plugin.mode)).expect("the file's mode can be set");
        let (command, name) = (name.parse().expect("the command is well formed"), name.parse());
        let mut registration =
            Registration::new(name.expect("the name is well formed"), command, Digest::of(&plugin.bytes));
        registration.kind = plugin.kind;
        registration.version = plugin.version.map(|version| version.parse().expect("the version is well formed"));
        registration.launch.args = plugin.args.clone();
        within(self.host.register_plugin(registration)).await
    }

    pub(crate) async fn enable(&self, path: &str, plugin: &str) -> Result<MountInfo, Error> {
        let plugin = plugin.parse().expect("the name is well formed");
        let request = MountRequest::new(path.parse().expect("the mount path is well formed"), plugin);
        within(self.host.enable(request)).await
    }

    /// Registers a plugin that must not fail at that, and mounts it under its name.
    pub(crate) async fn mount(&self, name: &str, plugin: &Plugin) {
        self.register(name, plugin).await.unwrap_or_else(|error| panic!("{name} cannot be registered: {error}"));
        self.enable(name, name).await.unwrap_or_else(|error| panic!("{name} cannot be mounted: {error}"));
    }

    pub(crate) async fn disable(&self, path: &str) -> Result<(), Error> {
        within(self.host.disable(&path.parse().expect("the mount path is well formed"))).await
    }

    /// Reads a path.
    pub(crate) async fn ask(&self, path: &str) -> Result<Value, Error> {
        self.tell(path, Operation::Read, "", None).await
    }

    pub(crate) async fn tell(
        &self,
        path: &str,
        operation: Operation,
        data: &str,
        deadline: Option<Duration>,
    ) -> Result<Value, Error> {
        let identity = Identity {
            display_name: "root".to_owned(),
            entity_id: String::new(),
            token_accessor: "accessor".to_owned(),
            policies: vec!["root".to_owned()],
        };
        let request = Request::new(operation, path.parse().expect("the path is well formed"));
        let request = request.by(Caller::Known(Arc::new(identity))).with_data(data.to_owned());
        let response = within(self.host.handle(Request { deadline, ..request })).await?;
        match response.body {
            Body::Data(data) => Ok(serde_json::from_slice(&data).expect("the plugin answers JSON")),
            _ => Ok(Value::Null),
        }
    }

    /// Asserts that the neighbour answers, out of the process that it has had from the first.
    pub(crate) async fn neighbour_answers(&self) {
        let answer = self.ask("good/memory").await.expect("a mount that is left alone answers");
        self.reads.set(self.reads.get() + 1);
        assert_eq!(answer["reads"], self.reads.get(), "the neighbour's memory is what it was");
    }

    /// Returns the processes that this host has started and that live.
    pub(crate) fn processes(&self) -> BTreeSet<i32> {
        processes::marked(&self.mark)
    }

    /// Returns those that are not the neighbour's.
    pub(crate) fn others(&self) -> BTreeSet<i32> {
        self.processes().difference(&self.neighbours).copied().collect()
    }

    /// Asserts that no process is left but the neighbour's, or is about to go.
    pub(crate) async fn no_other_is_left(&self) {
        for pid in self.others() {
            processes::ended(pid, PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(self.others(), BTreeSet::new(), "processes are left");
    }

    /// Asserts that the host ends with all that it has started, and returns what it stored: all its keys.
    pub(crate) async fn end(self) -> Vec<String> {
        if !self.neighbours.is_empty() {
            self.neighbour_answers().await;
        }
        within(self.host.shutdown()).await;
        drop(self.host);
        for pid in processes::marked(&self.mark) {
            processes::ended(pid, PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(processes::marked(&self.mark), BTreeSet::new(), "processes are left");
        let sockets: Vec<_> = fs::read_dir(self.sockets.path()).expect("the directory is there").flatten().collect();
        assert!(sockets.is_empty(), "directories of sockets are left: {sockets:?}");
        let storage = DurableStorage::open(self.scratch.path().join("data.redb")).expect("the storage opens");
        cofferdam::storage::Storage::keys(&storage, "", usize::MAX).await.expect("the storage can be read")
    }
}

/// Waits for what must end, and fails the test if it does not.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("the host answers whatever a plugin does")
}

/// Asserts that something failed so, with all of these phrases in its message and nothing in it that a plugin could
/// drive a terminal with.
#[track_caller]
pub(crate) fn check_refused<T>(what: &str, result: Result<T, Error>, kind: ErrorKind, phrases: &[&str]) {
    let Err(error) = result else { panic!("{what}: it should have failed") };
    let message = error.message();
    assert_eq!(error.kind(), kind, "{what}: {message}");
    for phrase in phrases {
        assert!(message.contains(phrase), "{what}: {phrase:?} is not in {message:?}");
    }
    assert!(!message.chars().any(|c| c.is_control() && c != '\n'), "{what}: a control character is in {message:?}");
    assert!(message.len() < 32 << 10, "{what}: the message has {} bytes", message.len());
}
