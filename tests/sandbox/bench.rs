//! A host with small limits, the hostile plugin in its catalog, and the shortest words for what tests ask of it.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cofferdam::ident::Digest;
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::storage::Storage;
use cofferdam::{Error, ErrorKind, Host, Limits, MountInfo, MountRequest, PluginDirectory, PluginInfo, Registration};
use serde_json::Value;
use tempfile::TempDir;

use crate::guests;

/// What every request of these tests carries, and no log line, no error and no `Debug` may show.
pub(crate) const SECRET: &str = "hunter2-5d9c";

/// No answer takes this long, whatever a plugin does: many deadlines, so that only a hang exceeds it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Returns limits that are reached quickly. Each instance reserves 4 GiB of address space, so there are few.
pub(crate) fn limits() -> Limits {
    Limits {
        request_deadline: Duration::from_millis(500),
        drain_deadline: Duration::from_millis(200),
        instance_memory_bytes_max: 16 << 20,
        hostcall_bytes_max: 1 << 20,
        instances_max: 8,
        storage_value_bytes_max: 64 << 10,
        log_bytes_per_second_max: 64 << 10,
        log_line_bytes_max: 1 << 10,
        ..Limits::default()
    }
}

/// A host and its plugin directory.
pub(crate) struct Bench {
    pub(crate) host: Host,
    pub(crate) plugins: TempDir,
}

impl Bench {
    /// Starts a host that keeps everything in memory.
    pub(crate) async fn start(limits: Limits) -> Self {
        let plugins = tempfile::tempdir().expect("a temporary directory can be made");
        let directory = PluginDirectory::open(plugins.path()).expect("the plugin directory opens");
        let host = Host::builder().plugin_directory(directory).limits(limits).build().await.expect("the host starts");
        Self { host, plugins }
    }

    /// Starts a host with these limits on a storage.
    pub(crate) async fn start_on(storage: impl Storage, limits: Limits) -> Self {
        let plugins = tempfile::tempdir().expect("a temporary directory can be made");
        let directory = PluginDirectory::open(plugins.path()).expect("the plugin directory opens");
        let builder = Host::builder().plugin_directory(directory).limits(limits).storage(storage);
        Self { host: builder.build().await.expect("the host starts"), plugins }
    }

    /// Starts a host on a storage and a plugin directory that were there before.
    pub(crate) async fn resume(storage: impl Storage, plugins: TempDir) -> Self {
        let directory = PluginDirectory::open(plugins.path()).expect("the plugin directory opens");
        let builder = Host::builder().plugin_directory(directory).limits(limits()).storage(storage);
        Self { host: builder.build().await.expect("the host starts"), plugins }
    }

    /// Starts a host with the hostile plugin mounted at `bad/` and once more, to be left alone, at `good/`.
    pub(crate) async fn with_hostile(limits: Limits) -> Self {
        let bench = Self::start(limits).await;
        bench.register_hostile().await;
        for path in ["bad", "good"] {
            bench.enable(path, &[]).await.expect("the plugin can be mounted");
        }
        bench
    }

    pub(crate) async fn register_hostile(&self) {
        let bytes = component("hostile_plugin");
        self.register("hostile", &bytes, |_| ()).await.expect("the plugin can be registered");
    }

    /// Puts a file into the plugin directory and registers it.
    pub(crate) async fn register(
        &self,
        name: &str,
        bytes: &[u8],
        change: impl FnOnce(&mut Registration),
    ) -> Result<PluginInfo, Error> {
        let file = format!("{name}.wasm");
        fs::write(self.plugins.path().join(&file), bytes).expect("the plugin directory takes a file");
        let (name, command) = (name.parse().expect("the name is well formed"), file.parse());
        let mut registration = Registration::new(name, command.expect("the command is well formed"), Digest::of(bytes));
        registration.launch.args = vec!["-v".to_owned()];
        registration.launch.env = vec!["REGION=eu".to_owned(), "EMPTY=".to_owned()];
        change(&mut registration);
        within(self.host.register_plugin(registration)).await
    }

    /// Mounts the hostile plugin with these options.
    pub(crate) async fn enable(&self, path: &str, options: &[(&str, &str)]) -> Result<MountInfo, Error> {
        within(self.host.enable(mount_request(path, options))).await
    }

    /// Writes to a path, with the secret as data.
    pub(crate) async fn ask(&self, path: &str) -> Result<Value, Error> {
        ask(&self.host, path).await
    }

    /// Asserts that a mount answers, and returns how often its instance has been asked this.
    pub(crate) async fn count(&self, mount: &str) -> u64 {
        let answer = self.ask(&format!("{mount}/count")).await.expect("a mount that is left alone answers");
        answer["count"].as_u64().expect("a count is a number")
    }
}

/// Returns what is asked for to mount the hostile plugin.
pub(crate) fn mount_request(path: &str, options: &[(&str, &str)]) -> MountRequest {
    let plugin = "hostile".parse().expect("the name is well formed");
    let mut request = MountRequest::new(path.parse().expect("the mount path is well formed"), plugin);
    request.settings.options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    request
}

/// Returns a request to write to a path, with the secret as data.
pub(crate) fn request(path: &str) -> Request {
    let caller = Caller::Known(Arc::new(Identity {
        display_name: "root".to_owned(),
        entity_id: String::new(),
        token_accessor: "accessor".to_owned(),
        policies: vec!["root".to_owned()],
    }));
    Request::new(Operation::Update, path.parse().expect("the path is well formed"))
        .by(caller)
        .with_data(format!(r#"{{"password": "{SECRET}"}}"#))
}

/// Makes such a request, and reads the answer's data.
pub(crate) async fn ask(host: &Host, path: &str) -> Result<Value, Error> {
    let request = request(path);
    assert!(!format!("{request:?}").contains(SECRET), "the request's Debug shows the secret");
    let response = within(host.handle(request)).await?;
    assert!(!format!("{response:?}").contains(SECRET), "the response's Debug shows the secret");
    match response.body {
        Body::Data(data) => Ok(serde_json::from_slice(&data).expect("the plugin answers JSON")),
        _ => Ok(Value::Null),
    }
}

/// Waits for what must end, and fails the test if it does not.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("the host answers whatever a plugin does")
}

/// Returns the bytes of a plugin in `tests/guests`.
pub(crate) fn component(name: &str) -> Vec<u8> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| guests::build("tests/guests").expect("the plugins build"));
    fs::read(folder.join(name).with_extension("wasm")).expect("the plugin was built")
}

/// Asserts that something failed so, with all of these phrases in its message and nothing in it that a plugin could
/// forge a line or drive a terminal with.
#[track_caller]
pub(crate) fn check_refused<T>(what: &str, result: Result<T, Error>, kind: ErrorKind, phrases: &[&str]) {
    let Err(error) = result else { panic!("{what}: it should have failed") };
    let message = error.message();
    assert_eq!(error.kind(), kind, "{what}: {message}");
    for phrase in phrases {
        assert!(message.contains(phrase), "{what}: {phrase:?} is not in {message:?}");
    }
    assert!(!message.chars().any(char::is_control), "{what}: a control character is in {message:?}");
    assert!(!format!("{error:?} {error}").contains(SECRET), "{what}: the secret is in the error");
}
