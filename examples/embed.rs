//! The smallest host: a plugin in a sandbox, mounted and asked, without a server.
//!
//! `cargo run --example embed -- DIRECTORY`, where DIRECTORY holds `hello_plugin.wasm`. `examples/quickstart.rs` leaves
//! one at `target/guests/guest-examples/wasm32-wasip2/release`.

use std::path::PathBuf;
use std::sync::Arc;

use cofferdam::ident::Digest;
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::{Host, MountRequest, PluginDirectory, Registration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: embed DIRECTORY")?);
    let host = Host::builder().plugin_directory(PluginDirectory::open(&directory)?).build().await?;

    // In earnest, the digest comes from whoever made the plugin, and not from the file that it is to be compared with.
    let sha256 = Digest::of(&std::fs::read(directory.join("hello_plugin.wasm"))?);
    let registration = Registration::new("hello".parse()?, "hello_plugin.wasm".parse()?, sha256);
    let plugin = host.register_plugin(registration).await?;
    println!("registered {} {sha256}, which may use: {}", plugin.key.name, plugin.found.capabilities.join("; "));

    host.enable(MountRequest::new("greetings".parse()?, "hello".parse()?)).await?;

    // Who calls is for the embedding server to say.
    let caller = Caller::Known(Arc::new(Identity::named("ada")));
    let answer = host.handle(Request::new(Operation::Read, "greetings/greet/ada".parse()?).by(caller)).await?;
    if let Body::Data(json) = answer.body {
        println!("{}", String::from_utf8_lossy(&json));
    }
    host.shutdown().await;
    Ok(())
}
