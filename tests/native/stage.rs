//! A host in this process, a plugin directory, and words for what is asked of them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use cofferdam::ident::{Digest, PluginKind};
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::storage::DurableStorage;
use cofferdam::{Answer, Error, Host, Limits, MountRequest, NativePlugins, PluginDirectory, Registration};
use serde_json::Value;
use tempfile::TempDir;

/// A host, and where it keeps what it stores.
pub(crate) struct Stage {
    /// There is one but for the moment between two.
    host: Option<Host>,
    settings: NativePlugins,
    data: TempDir,
    plugins: TempDir,
    sockets: TempDir,
}

impl Stage {
    /// Returns a host that gives its plugins nothing.
    pub(crate) async fn new() -> Self {
        Self::with(NativePlugins::default()).await
    }

    /// Returns a host that starts plugins with these settings, and with a directory of its own for their sockets.
    pub(crate) async fn with(settings: NativePlugins) -> Self {
        let directory = || tempfile::tempdir().expect("a temporary directory can be made");
        let (data, plugins, sockets) = (directory(), directory(), directory());
        let settings = NativePlugins { socket_directory: sockets.path().to_owned(), ..settings };
        let mut stage = Self { host: None, settings, data, plugins, sockets };
        stage.start().await;
        stage
    }

    async fn start(&mut self) {
        let storage = DurableStorage::open(self.data.path().join("data.redb")).expect("the storage opens");
        let directory = PluginDirectory::open(self.plugins.path()).expect("the plugin directory opens");
        // Few sandboxes: each reserves address space, and there are many hosts.
        let limits = Limits { instances_max: 4, ..Limits::default() };
        let builder = Host::builder().storage(storage).plugin_directory(directory).limits(limits);
        self.host = Some(builder.native_plugins(self.settings.clone()).build().await.expect("the host starts"));
    }

    /// Ends the host and starts another on the same storage.
    pub(crate) async fn restart(&mut self) {
        self.host().shutdown().await;
        // The storage is free once nothing of the old host is left.
        self.host = None;
        self.start().await;
    }

    /// Ends the host, and returns what its plugins left in their directory for sockets.
    pub(crate) async fn end(self) -> Vec<String> {
        self.host().shutdown().await;
        drop(self.host);
        names(&self.sockets)
    }

    /// Ends the host, and returns where it kept what it stored.
    pub(crate) async fn end_keeping_data(self) -> TempDir {
        self.host().shutdown().await;
        self.data
    }

    pub(crate) fn host(&self) -> &Host {
        self.host.as_ref().expect("a host is missing only while another starts")
    }

    /// Returns how many processes have their sockets here.
    pub(crate) fn socket_directories(&self) -> usize {
        names(&self.sockets).len()
    }

    /// Does what a cleaner of temporary files does to the sockets of processes. With `whole` not even their directory
    /// is left.
    pub(crate) fn clean_sockets(&self, whole: bool) {
        if whole {
            fs::remove_dir_all(self.sockets.path()).expect("the sockets' directory can be removed");
            return;
        }
        for name in names(&self.sockets) {
            fs::remove_dir_all(self.sockets.path().join(name)).expect("a directory can be removed");
        }
    }

    /// Puts a file into the plugin directory.
    pub(crate) fn add(&self, name: &str, bytes: &[u8]) {
        let file = self.plugins.path().join(name);
        // Not written over: a file that is being executed cannot be.
        let new = self.plugins.path().join(format!(".{name}"));
        fs::write(&new, bytes).expect("the plugin directory takes a file");
        fs::set_permissions(&new, Permissions::from_mode(0o755)).expect("a file can be made executable");
        fs::rename(new, file).expect("a file can be renamed");
    }

    /// Returns where a file of the plugin directory is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.plugins.path().join(name)
    }

    /// Returns a place for a file that is no plugin.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// Registers a plugin under a name, as whatever it says it is.
    pub(crate) async fn register(&self, name: &str, bytes: &[u8]) {
        self.register_with(name, bytes, |_| {}).await.unwrap_or_else(|why| panic!("{name}: {why}"));
    }

    /// Registers a plugin with something changed in its registration.
    pub(crate) async fn register_with(
        &self,
        name: &str,
        bytes: &[u8],
        change: impl FnOnce(&mut Registration),
    ) -> Result<(), Error> {
        self.add(name, bytes);
        let parsed = (name.parse().expect("a name"), name.parse().expect("a command"));
        let mut registration = Registration::new(parsed.0, parsed.1, Digest::of(bytes));
        change(&mut registration);
        self.host().register_plugin(registration).await.map(drop)
    }

    /// Mounts a plugin as what its path says: below `auth/` an auth method.
    pub(crate) async fn enable(&self, path: &str, plugin: &str) {
        self.try_enable(path, plugin).await.unwrap_or_else(|why| panic!("{path}: {why}"));
    }

    pub(crate) async fn try_enable(&self, path: &str, plugin: &str) -> Result<(), Error> {
        let mut request = MountRequest::new(path.parse().expect("a path"), plugin.parse().expect("a name"));
        if path.starts_with("auth/") {
            request.settings.kind = PluginKind::Auth;
        }
        self.host().enable(request).await.map(drop)
    }

    pub(crate) async fn disable(&self, path: &str) {
        self.host().disable(&path.parse().expect("a path")).await.expect("what is mounted can be disabled");
    }

    /// Asks as somebody who is known.
    pub(crate) async fn ask(&self, operation: Operation, path: &str, data: &str) -> Result<Answer, Error> {
        self.host().handle(request(operation, path, data)).await
    }

    /// Reads a path that answers with data.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let answer = self.ask(Operation::Read, path, "").await;
        data(&answer.unwrap_or_else(|why| panic!("{path}: {why}")))
    }

    /// Writes, and returns the data that comes back.
    pub(crate) async fn write(&self, path: &str, body: &Value) -> Value {
        let answer = self.ask(Operation::Update, path, &body.to_string()).await;
        data(&answer.unwrap_or_else(|why| panic!("{path}: {why}")))
    }

    /// Returns the process that answers for a mount of `engine`.
    pub(crate) async fn pid(&self, mount: &str) -> u64 {
        self.read(&format!("{mount}/pid")).await["pid"].as_u64().expect("a process has a number")
    }

    /// Returns the process that started a mount, as the plugin stored it when it was initialized.
    pub(crate) async fn started_by(&self, mount: &str) -> u64 {
        let by = self.read(&format!("{mount}/started")).await["by"].clone();
        by.as_str().and_then(|by| by.parse().ok()).unwrap_or_else(|| panic!("{mount} was started by {by}"))
    }
}

/// Returns a request by somebody who is known.
pub(crate) fn request(operation: Operation, path: &str, data: &str) -> Request {
    let caller = Caller::Known(std::sync::Arc::new(Identity::named("ada")));
    let mut request = Request::new(operation, path.parse().expect("a path")).by(caller);
    request.data = data.to_owned().into();
    request
}

/// Returns what an answer holds as JSON; null where it holds nothing.
pub(crate) fn data(response: &Answer) -> Value {
    match &response.body {
        Body::Empty => Value::Null,
        Body::Data(json) => serde_json::from_slice(json).expect("data is JSON"),
        other => panic!("neither data nor nothing: {other:?}"),
    }
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).expect("the directory can be read");
    entries.map(|entry| entry.expect("so can its entries").file_name().to_string_lossy().into_owned()).collect()
}
