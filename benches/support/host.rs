//! A host with the plugin, as an embedder makes it.

use std::path::Path;
use std::sync::Arc;

use cofferdam::ident::{Digest, PluginKind};
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::storage::Storage;
use cofferdam::{Host, InstancePolicy, MountConfig, MountRequest, PluginDirectory, Registration};

/// The plugin's file.
pub const PLUGIN_FILE: &str = "passthrough_plugin.wasm";

/// The path below a mount that is read.
pub const PATH: &str = "db/prod";

/// What is stored there: a typical secret.
pub const SECRET: &str =
    r#"{"host":"db.prod.example","password":"correct horse battery staple","port":"5432","user":"billing"}"#;

const PLUGIN: &str = "passthrough";

/// Returns a host that takes plugins from this folder and has none yet.
pub async fn new(plugins: &Path, storage: impl Storage) -> Host {
    let plugins = PluginDirectory::open(plugins).expect("the folder opens");
    Host::builder().storage(storage).plugin_directory(plugins).build().await.expect("the host starts")
}

/// Puts the plugin in the catalog.
pub async fn register(host: &Host, plugins: &Path, instances: InstancePolicy) {
    let registration = Registration {
        kind: Some(PluginKind::Secret),
        name: PLUGIN.parse().expect("the name is well formed"),
        version: None,
        command: PLUGIN_FILE.parse().expect("the command is well formed"),
        args: Vec::new(),
        env: Vec::new(),
        sha256: Digest::of(&std::fs::read(super::plugin_file(plugins)).expect("the plugin's file is there")),
        instances,
    };
    host.register_plugin(registration).await.expect("the plugin is registered");
}

/// Returns a host with the plugin in its catalog.
pub async fn with_plugin(plugins: &Path, storage: impl Storage, instances: InstancePolicy) -> Host {
    let host = new(plugins, storage).await;
    register(&host, plugins, instances).await;
    host
}

/// Mounts the plugin.
pub async fn enable(host: &Host, path: &str) {
    let request = MountRequest {
        path: path.parse().expect("the path is well formed"),
        kind: PluginKind::Secret,
        plugin: PLUGIN.parse().expect("the name is well formed"),
        version: None,
        description: String::new(),
        options: Default::default(),
        local: false,
        seal_wrap: false,
        config: MountConfig::default(),
    };
    host.enable(request).await.expect("the plugin is mounted");
}

/// Stores the secret in a mount.
pub async fn store_secret(host: &Host, mount: &str) {
    let write = request(Operation::Update, mount).with_data(SECRET);
    host.handle(write).await.expect("the secret is stored");
}

/// Returns a request to read the secret of a mount.
pub fn read(mount: &str) -> Request {
    request(Operation::Read, mount)
}

/// Sends a request for the secret, and checks that it comes.
pub async fn answer(host: &Host, request: Request) {
    let response = host.handle(request).await.expect("the plugin answers");
    assert!(matches!(response.body, Body::Data(data) if data == SECRET));
}

fn request(operation: Operation, mount: &str) -> Request {
    let caller = Identity {
        display_name: "bench".to_owned(),
        entity_id: String::new(),
        token_accessor: String::new(),
        policies: Vec::new(),
    };
    let path = format!("{mount}/{PATH}").parse().expect("the path is well formed");
    Request::new(operation, path).by(Caller::Known(Arc::new(caller)))
}
