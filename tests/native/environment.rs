//! What a plugin's process has in its environment.

use std::ffi::OsString;

use cofferdam::ident::Digest;
use cofferdam::{NativePlugins, Source};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::plugins;
use crate::stage::Stage;

fn host_has(pairs: &[(&str, &str)]) -> NativePlugins {
    let pairs = pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    NativePlugins { environment: pairs.collect(), ..NativePlugins::default() }
}

/// Returns a file of the plugin directory as what a registration starts.
fn file(name: &str, bytes: &[u8]) -> Source {
    Source::File { command: name.parse().expect("a file's name"), sha256: Digest::of(bytes) }
}

/// Returns the value of a variable in the plugin at a mount; null where it is not set.
async fn variable(stage: &Stage, mount: &str, name: &str) -> Value {
    stage.read(&format!("{mount}/env/{name}")).await["value"].clone()
}

#[tokio::test]
async fn of_host_registration_and_sdk_the_later_wins_and_vaults_old_order_is_a_setting() {
    let Some(engine) = plugins::go("engine", "the layers of an environment") else { return };
    let host = [("ONLY_HOST", "host"), ("BOTH", "host"), ("VAULT_VERSION", "host")];
    for (legacy_layering, both, version) in [(false, "registered", "1.16.0"), (true, "host", "host")] {
        let stage = Stage::with(NativePlugins { legacy_layering, ..host_has(&host) }).await;
        let env = ["BOTH=registered", "ONLY_REGISTERED=a=b", "EMPTY="].map(str::to_owned).to_vec();
        stage.register_with("engine", &engine, |registration| registration.launch.env = env).await.unwrap();
        stage.enable("e", "engine").await;
        for (name, value) in [
            ("ONLY_HOST", json!("host")),
            ("ONLY_REGISTERED", json!("a=b")),
            ("EMPTY", json!("")),
            ("BOTH", json!(both)),
            ("VAULT_VERSION", json!(version)),
            ("PATH", Value::Null),
        ] {
            assert_eq!(variable(&stage, "e", name).await, value, "{name}, legacy: {legacy_layering}");
        }
        assert_eq!(stage.end().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_clean_environment_has_what_was_registered_and_the_protocols_own() {
    let Some(engine) = plugins::go("engine", "a clean environment") else { return };
    let stage = Stage::new().await;
    let env = vec!["MINE=1".to_owned()];
    stage.register_with("engine", &engine, |registration| registration.launch.env = env).await.unwrap();
    stage.enable("e", "engine").await;
    for name in ["HOME", "PATH", "CARGO_MANIFEST_DIR", "TMPDIR"] {
        assert_eq!(variable(&stage, "e", name).await, Value::Null, "{name}");
    }
    assert_eq!(variable(&stage, "e", "MINE").await, "1");
    // Plugins on either SDK find what they look for.
    for prefix in ["VAULT", "BAO"] {
        assert_eq!(variable(&stage, "e", &format!("{prefix}_VERSION")).await, "1.16.0");
        assert_eq!(variable(&stage, "e", &format!("{prefix}_PLUGIN_AUTOMTLS_ENABLED")).await, "true");
        assert_eq!(variable(&stage, "e", &format!("{prefix}_PLUGIN_METADATA_MODE")).await, "false");
    }
    assert_eq!(stage.end().await, [""; 0]);
}

/// The case of Vault's documentation: one plugin that reaches its upstream through a proxy, and one that does not.
#[tokio::test]
async fn two_registrations_of_one_binary_have_a_proxy_each() {
    let Some(engine) = plugins::go("engine", "a proxy for each plugin") else { return };
    let stage = Stage::with(host_has(&[("HTTP_PROXY", "http://everybodys.example:3128")])).await;
    for (name, env) in [
        ("first", vec!["HTTP_PROXY=http://first.example:3128".to_owned()]),
        ("second", vec!["HTTP_PROXY=http://second.example:3128".to_owned()]),
        ("plain", vec![]),
    ] {
        stage.add("engine", &engine);
        stage
            .register_with(name, &engine, |registration| {
                registration.launch.env = env;
                registration.launch.source = file("engine", &engine);
            })
            .await
            .unwrap();
        stage.enable(name, name).await;
    }
    for (mount, proxy) in [
        ("first", "http://first.example:3128"),
        ("second", "http://second.example:3128"),
        ("plain", "http://everybodys.example:3128"),
    ] {
        assert_eq!(variable(&stage, mount, "HTTP_PROXY").await, proxy);
    }
    assert_eq!(stage.end().await, [""; 0]);
}

/// An HTTP proxy that forwards nothing: it answers each request itself, with its own name and what was asked of it.
/// Returns its URL.
async fn proxy(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = BufReader::new(&mut stream).lines();
            let asked = head.next_line().await.unwrap().unwrap_or_default();
            while head.next_line().await.unwrap().is_some_and(|line| !line.is_empty()) {}
            let body = format!("{name}: {asked}");
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

/// Word for word the documentation's: one binary, registered for Europe and for America, each with the proxy of its
/// region, and both mounted at once.
#[tokio::test]
async fn jwt_eu_and_jwt_us_reach_their_upstream_through_a_proxy_each() {
    let Some(fetch) = plugins::go("fetch", "requests through a proxy for each plugin") else { return };
    let stage = Stage::with(host_has(&[("HTTP_PROXY", "http://127.0.0.1:9")])).await;
    for (name, region) in [("jwt-eu", "eu"), ("jwt-us", "us")] {
        let env = vec![format!("HTTP_PROXY={}", proxy(region).await)];
        stage.add("jwt", &fetch);
        stage
            .register_with(name, &fetch, |registration| {
                registration.launch.env = env;
                registration.launch.source = file("jwt", &fetch);
            })
            .await
            .unwrap();
        stage.enable(name, name).await;
    }
    assert_eq!(stage.socket_directories(), 2, "two environments are two programs");
    // No resolver knows this name: only a proxy answers for it.
    let request = json!({"url": "http://issuer.invalid/keys"});
    for (mount, region) in [("jwt-eu", "eu"), ("jwt-us", "us"), ("jwt-eu", "eu")] {
        let answer = stage.write(&format!("{mount}/get"), &request).await;
        assert_eq!(answer["body"], format!("{region}: GET http://issuer.invalid/keys HTTP/1.1"), "{mount}: {answer}");
    }
    assert_eq!(stage.end().await, [""; 0]);
}
