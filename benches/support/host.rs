//! A host with a plugin, as an embedder makes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam::ident::{Digest, PluginKind};
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::storage::Storage;
use cofferdam::system::{ServerInfo, SystemApi};
use cofferdam::{Host, InstancePolicy, MountRequest, NativePlugins, PluginDirectory, Registration};

/// A plugin that was built.
pub struct Plugin {
    pub folder: PathBuf,
    pub file: &'static str,
}

impl Plugin {
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.file)
    }
}

/// The path below a mount that is read.
pub const PATH: &str = "db/prod";

/// What is stored there: a typical secret.
pub const SECRET: &str =
    r#"{"host":"db.prod.example","password":"correct horse battery staple","port":"5432","user":"billing"}"#;

/// The path below a mount of the greeting plugin that is read, which stores nothing.
pub const GREETING_PATH: &str = "greet/ada";

/// What that plugin answers.
pub const GREETING: &str = r#"{"greeting":"hello, ada"}"#;

/// What a plugin is called in the catalog, whichever it is: a host has one.
pub const NAME: &str = "plugin";

/// Returns a host that takes plugins from this one's folder and has none yet.
pub async fn new(plugin: &Plugin, storage: impl Storage) -> Host {
    with_processes(plugin, storage, NativePlugins::default()).await
}

/// Returns a host that has none yet, and runs native plugins so.
pub async fn with_processes(plugin: &Plugin, storage: impl Storage, settings: NativePlugins) -> Host {
    let plugins = PluginDirectory::open(&plugin.folder).expect("the folder opens");
    let builder = Host::builder().storage(storage).plugin_directory(plugins).native_plugins(settings);
    let builder = builder.system(SystemApi::new(ServerInfo::default()));
    builder.build().await.expect("the host starts")
}

/// Puts a plugin in the catalog.
pub async fn register(host: &Host, plugin: &Plugin, instances: InstancePolicy) {
    register_as(host, NAME, &plugin.path(), instances).await;
}

/// Puts a plugin in the catalog under a name.
pub async fn register_as(host: &Host, name: &str, file: &Path, instances: InstancePolicy) {
    let command = file.file_name().and_then(|file| file.to_str()).expect("the file has a name");
    let sha256 = Digest::of(&std::fs::read(file).expect("the plugin's file is there"));
    let (name, command) = (name.parse().expect("the name is well formed"), command.parse());
    let mut registration = Registration::new(name, command.expect("the command is well formed"), sha256);
    (registration.kind, registration.instances) = (Some(PluginKind::Secret), instances);
    host.register_plugin(registration).await.expect("the plugin is registered");
}

/// Returns a host with a plugin in its catalog.
pub async fn with_plugin(plugin: &Plugin, storage: impl Storage, instances: InstancePolicy) -> Host {
    let host = new(plugin, storage).await;
    register(&host, plugin, instances).await;
    host
}

/// Mounts the plugin.
pub async fn enable(host: &Host, path: &str) {
    enable_as(host, NAME, path).await;
}

/// Mounts the plugin of this name.
pub async fn enable_as(host: &Host, name: &str, path: &str) {
    let plugin = name.parse().expect("the name is well formed");
    let request = MountRequest::new(path.parse().expect("the path is well formed"), plugin);
    host.enable(request).await.expect("the plugin is mounted");
}

/// Stores the secret in a mount.
pub async fn store_secret(host: &Host, mount: &str) {
    let write = request(Operation::Update, mount, PATH).with_data(SECRET);
    host.handle(write).await.expect("the secret is stored");
}

/// Returns a request to read the secret of a mount.
pub fn read(mount: &str) -> Request {
    request(Operation::Read, mount, PATH)
}

/// Returns a request to read this path of a mount.
pub fn read_path(mount: &str, path: &str) -> Request {
    request(Operation::Read, mount, path)
}

/// Returns a request to store the secret at this path of a mount.
pub fn write_path(mount: &str, path: &str) -> Request {
    request(Operation::Update, mount, path).with_data(SECRET)
}

/// Returns a request for a greeting.
pub fn greet(mount: &str) -> Request {
    request(Operation::Read, mount, GREETING_PATH)
}

/// Sends a request for the secret, and checks that it comes.
pub async fn answer(host: &Host, request: Request) {
    answer_with(host, request, SECRET).await;
}

/// Sends a request, and checks that this comes.
pub async fn answer_with(host: &Host, request: Request, expected: &str) {
    let response = host.handle(request).await.expect("the plugin answers");
    assert!(matches!(response.body, Body::Data(data) if data == expected));
}

fn request(operation: Operation, mount: &str, path: &str) -> Request {
    let caller = Identity {
        display_name: "bench".to_owned(),
        entity_id: String::new(),
        token_accessor: String::new(),
        policies: Vec::new(),
    };
    let path = format!("{mount}/{path}").parse().expect("the path is well formed");
    Request::new(operation, path).by(Caller::Known(Arc::new(caller)))
}
