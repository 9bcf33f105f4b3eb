//! The smallest host: a plugin in a sandbox, mounted and asked, without a server.
//!
//! `cargo run --example embed -- DIRECTORY`, where DIRECTORY holds `hello_plugin.wasm`; `examples/quickstart.rs` builds it.

use std::path::PathBuf;

use cofferdam::ident::{Digest, PluginKind};
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::{Host, InstancePolicy, MountConfig, MountRequest, PluginDirectory, Registration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: embed DIRECTORY")?);
    let host = Host::builder().plugin_directory(PluginDirectory::open(&directory)?).build().await?;

    let plugin = host
        .register_plugin(Registration {
            kind: Some(PluginKind::Secret),
            name: "hello".parse()?,
            version: None,
            command: "hello_plugin.wasm".parse()?,
            args: Vec::new(),
            env: Vec::new(),
            // What an operator compares with the digest that the plugin's author published.
            sha256: Digest::of(&std::fs::read(directory.join("hello_plugin.wasm"))?),
            instances: InstancePolicy::PerMount,
        })
        .await?;
    println!("registered {} {}, which may use: {}", plugin.name, plugin.sha256, plugin.capabilities.join("; "));

    host.enable(MountRequest {
        path: "greetings".parse()?,
        kind: PluginKind::Secret,
        plugin: "hello".parse()?,
        version: None,
        description: String::new(),
        options: Default::default(),
        local: false,
        seal_wrap: false,
        config: MountConfig::default(),
    })
    .await?;

    // Who calls is for the embedding server to say.
    let caller = Caller::Known(std::sync::Arc::new(Identity::named("ada")));
    let answer = host.handle(Request::new(Operation::Read, "greetings/greet/ada".parse()?).by(caller)).await?;
    if let Body::Data(json) = answer.body {
        println!("{}", String::from_utf8_lossy(&json));
    }
    host.shutdown().await;
    Ok(())
}
