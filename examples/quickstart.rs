//! The first look: builds the example plugins, embeds a host with Vault's HTTP API, and drives it with the commands
//! that an operator would type, printing each before its answer. Then it serves until Ctrl-C.
//!
//! `cargo run --example quickstart`, or with `-- --once` to stop after the commands.

#[path = "../tests/support/guests.rs"]
mod guests;

use std::error::Error;
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;

use cofferdam::cli::{self, Environment};
use cofferdam::http::{Listener, ListenerLimits, serve};
use cofferdam::ident::Digest;
use cofferdam::system::{ServerInfo, SystemApi};
use cofferdam::{Host, PluginDirectory};

/// Where the server listens, as Vault's does; elsewhere if somebody is there already.
const ADDRESSES: [&str; 2] = ["127.0.0.1:8200", "127.0.0.1:0"];

/// The token of this server's root. Everything is in memory, and gone when it stops.
const TOKEN: &str = "root";

/// The example plugins: the file that the build leaves, and the file that goes into the plugin directory.
const PLUGINS: [(&str, &str); 3] = [
    ("hello_plugin.wasm", "hello"),
    ("passthrough_plugin.wasm", "passthrough-plugin"),
    ("counter_plugin.wasm", "counter"),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let serves_on = std::env::args().nth(1).as_deref() != Some("--once");
    println!("Building the example plugins for wasm32-wasip2 …");
    let built = guests::build("guest-examples")?;
    let directory = tempfile::tempdir()?;
    for (artifact, command) in PLUGINS {
        std::fs::copy(built.join(artifact), directory.path().join(command))?;
    }

    let tcp = ADDRESSES.iter().find_map(|address| TcpListener::bind(address).ok()).ok_or("no free port")?;
    let address = format!("http://{}", tcp.local_addr()?);
    let info = ServerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        storage_type: "inmem".to_owned(),
        api_addr: address.clone(),
        ..ServerInfo::default()
    };
    // An embedded host: this is all it takes.
    let host = Host::builder()
        .plugin_directory(PluginDirectory::open(directory.path())?)
        .root_token(TOKEN)
        .system(SystemApi::new(info))
        .build()
        .await?;

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listeners = vec![Listener { socket: tcp.into(), tls: None, limits: ListenerLimits::from(host.limits()) }];
    let server = tokio::spawn(serve(host.clone(), listeners, async move { drop(stopped.await) }));

    let tour = {
        let (address, plugins) = (address.clone(), directory.path().to_owned());
        tokio::task::spawn_blocking(move || tour(&address, &plugins)).await?
    };
    if serves_on && tour.is_ok() {
        println!("\nServing at {address} until Ctrl-C. In a second terminal, in this folder:\n");
        println!("    export VAULT_ADDR={address} VAULT_TOKEN={TOKEN}");
        println!("    alias cofferdam='cargo run --quiet --'");
        println!("    cofferdam secrets list -detailed");
        println!("    cofferdam write my-secrets/db password=hunter2");
        println!("    cofferdam read -format=json my-secrets/db");
        println!("    cofferdam path-help greetings");
        println!("    curl -H \"X-Vault-Token: $VAULT_TOKEN\" $VAULT_ADDR/v1/greetings/greet/you");
        println!("\nOne of the plugins once more, as a native program, which takes minutes to build:\n");
        let (program, plugins) = ("passthrough-native", directory.path().display());
        println!("    (cd guest-examples && cargo build --release --features native --bin {program})");
        println!("    cp guest-examples/target/release/{program} {plugins}/");
        println!("    sum=$(sha256sum {plugins}/{program} | cut -d' ' -f1)");
        println!("    cofferdam plugin register -sha256=$sum secret {program}");
        println!("    cofferdam secrets enable -path=native {program}");
        println!("    cofferdam write native/db password=hunter2");
        tokio::signal::ctrl_c().await?;
    }
    drop(stop);
    server.await??;
    host.shutdown().await;
    Ok(tour?)
}

/// Types what an operator would type.
fn tour(address: &str, plugins: &Path) -> Result<(), String> {
    let environment =
        Environment { address: Some(address.to_owned()), token: Some(TOKEN.to_owned()), ..Environment::default() };
    let run = |line: &str| {
        println!("\n$ cofferdam {line}");
        let words = std::iter::once("cofferdam").chain(line.split(' ')).map(OsString::from);
        match cli::run(words, &environment) {
            0 => Ok(()),
            code => Err(format!("`cofferdam {line}` ended with {code}")),
        }
    };
    for (_, command) in PLUGINS {
        let bytes = std::fs::read(plugins.join(command)).map_err(|cause| cause.to_string())?;
        run(&format!("plugin register -sha256={} secret {command}", Digest::of(&bytes)))?;
    }
    for line in [
        "plugin list",
        "secrets enable -path=greetings hello",
        "secrets enable -path=my-secrets passthrough-plugin",
        "secrets enable -path=team-secrets passthrough-plugin",
        "secrets enable counter",
        "secrets list",
        "read greetings/greet/ada",
        "write my-secrets/db user=ada password=correct-horse",
        "read my-secrets/db",
        "list my-secrets",
        "write counter/total by=3",
        "read counter/total",
    ] {
        run(line)?;
    }
    Ok(())
}
