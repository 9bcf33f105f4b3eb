//! The tools that plugins are built with: what each makes of an example is registered, mounted and called.
//!
//! A tool that is not installed is named as left out, unless this machine must have it.

#[path = "support/guests.rs"]
mod guests;
#[path = "support/required.rs"]
mod required;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cofferdam::ident::{Digest, PluginName};
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::{Host, Limits, MountRequest, PluginDirectory, Registration};
use serde_json::{Value, json};

#[tokio::test]
async fn what_plain_cargo_builds_works() {
    let built = guests::build("guest-examples").expect("plain cargo builds the examples");
    serves(&built.join("passthrough_plugin.wasm")).await;
}

#[tokio::test]
async fn what_cargo_component_builds_works() {
    let built = guests::build_with_cargo_component("guest-examples", "passthrough-plugin");
    match built.expect("cargo-component builds the example") {
        Some(built) => serves(&built.join("passthrough_plugin.wasm")).await,
        None => {
            println!("{}", required::left_out("cargo-component", "an example that it builds"));
        }
    }
}

/// Registers the component as any plugin, mounts it, and calls it.
async fn serves(component: &Path) {
    let directory = component.parent().expect("a component has a folder");
    let command = component.file_name().and_then(|name| name.to_str()).expect("the component's name is text");
    let bytes = fs::read(component).expect("the plugin was built");
    let directory = PluginDirectory::open(directory).expect("the plugin directory opens");
    let limits = Limits { instances_max: 2, ..Limits::default() };
    let host = Host::builder().plugin_directory(directory).limits(limits).build().await.expect("the host starts");

    let name: PluginName = "passthrough".parse().expect("the name is well formed");
    let command = command.parse().expect("the command is well formed");
    let registration = Registration::new(name.clone(), command, Digest::of(&bytes));
    host.register_plugin(registration).await.expect("the plugin can be registered");
    let mount = MountRequest::new("m".parse().expect("a path"), name);
    host.enable(mount).await.expect("the plugin can be mounted");

    let stored = json!({ "user": "ada" });
    let written = call(&host, Operation::Update, Some(&stored)).await;
    assert_eq!(written, None);
    assert_eq!(call(&host, Operation::Read, None).await, Some(stored));
    host.shutdown().await;
}

async fn call(host: &Host, operation: Operation, data: Option<&Value>) -> Option<Value> {
    let caller = Caller::Known(Arc::new(Identity::named("ada")));
    let mut request = Request::new(operation, "m/a".parse().expect("the path is well formed")).by(caller);
    request.data = data.map(|data| data.to_string().into()).unwrap_or_default();
    match host.handle(request).await.expect("the plugin answers").body {
        Body::Empty => None,
        Body::Data(data) => Some(serde_json::from_slice(&data).expect("an answer is JSON")),
        body => panic!("the plugin answers {body:?}"),
    }
}
