//! What a native plugin must do, case by case.

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::pin::Pin;

use cofferdam_proto::messages::logical::{self, plugin_version_client::PluginVersionClient};
use cofferdam_proto::messages::multiplexing::MultiplexingSupportRequest;
use cofferdam_proto::messages::multiplexing::plugin_multiplexing_client::PluginMultiplexingClient;
use cofferdam_proto::messages::pb;
use cofferdam_proto::names;
use cofferdam_proto::tls::{Identity, LOCALHOST, Tls};
use cofferdam_proto::transport;
use serde_json::{Value, json};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::host::{COOKIE, Host, command, request};
use crate::storage::{Dialect, Stored};

type Case = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Returns every case with its name.
pub(crate) fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("started without a host it says what it is", Box::pin(without_a_host())),
        ("a host that cannot be served is told why", Box::pin(cannot_be_served())),
        ("a plugin says what it is", Box::pin(says_what_it_is())),
        ("metadata mode serves no mount", Box::pin(metadata_mode())),
        ("a stranger is refused", Box::pin(stranger())),
        ("a mount lives from setup to cleanup", Box::pin(life_of_a_mount())),
        ("two mounts are not mixed up", Box::pin(two_mounts())),
        ("two requests meet", Box::pin(two_requests_meet())),
        ("a panic costs one mount its memory", Box::pin(panics())),
        ("setup and exists do not write", Box::pin(read_only())),
        ("a transaction is the host's", Box::pin(transactions())),
        ("a host without transactions is served", Box::pin(without_transactions())),
        ("a log line is the host's format", Box::pin(logs())),
        ("an interrupt is not for plugins", Box::pin(interrupted())),
    ]
}

async fn without_a_host() {
    let output = command(&[]).output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
    assert!(told.contains("This binary is a plugin") && told.contains("plugin register"), "{told}");
}

async fn cannot_be_served() {
    let rows: [(&[(&str, &str)], &str); 3] = [
        (&[COOKIE, (names::PROTOCOL_VERSIONS, "6,7")], "offers \"6,7\""),
        (&[COOKIE, (names::PROTOCOL_VERSIONS, "4"), ("VAULT_UNWRAP_TOKEN", "t")], "wrapping token"),
        (&[COOKIE, (names::PROTOCOL_VERSIONS, "5"), (names::CLIENT_CERT, "none")], "not a certificate"),
    ];
    for (variables, expected) in rows {
        let output = command(variables).output().await.unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
        assert!(told.contains(expected), "{told}");
    }
}

async fn says_what_it_is() {
    let host = Host::start().await;
    assert_eq!(host.handshake.version, 5);
    let mode = std::fs::metadata(&host.handshake.address).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let channel = || host.channel.clone();
    let health = HealthCheckRequest { service: names::HEALTH_SERVICE.to_owned() };
    let health = HealthClient::new(channel()).check(health).await.unwrap().into_inner();
    assert_eq!(health.status, 1, "it is serving");
    let version = PluginVersionClient::new(channel()).version(logical::Empty {}).await.unwrap().into_inner();
    assert_eq!(version.plugin_version, "v1.2.3");
    let mut multiplexing = PluginMultiplexingClient::new(channel());
    assert!(multiplexing.multiplexing_support(MultiplexingSupportRequest {}).await.unwrap().into_inner().supported);
    let list = MessageRequest::ListServices(String::new());
    let list = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let replies = ServerReflectionClient::new(channel()).server_reflection_info(tokio_stream::once(list)).await;
    match replies.unwrap().into_inner().message().await.unwrap().unwrap().message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            assert!(list.service.iter().any(|service| service.name == "pb.Backend"));
        }
        _ => panic!("services cannot be listed"),
    }
    let mut backend = host.mount("any").client();
    assert_eq!(backend.r#type(pb::Empty {}).await.unwrap().into_inner().r#type, names::TYPE_SECRET);
    let paths = backend.special_paths(pb::Empty {}).await.unwrap().into_inner().paths.unwrap();
    assert_eq!((paths.root, paths.unauthenticated), (vec!["root/*".to_owned()], vec!["open".to_owned()]));
    assert!(host.shut_down().await.status.success());
}

async fn metadata_mode() {
    let variables = [(names::PROTOCOL_VERSIONS, "3,4"), ("VAULT_PLUGIN_METADATA_MODE", "true")];
    let host = Host::start_with(&variables, None).await;
    assert_eq!((host.handshake.version, host.handshake.certificate.is_none()), (4, true));
    let mount = host.mount("");
    // There is nobody behind this number, and nobody is asked.
    let args = pb::SetupArgs { broker_id: 99, ..pb::SetupArgs::default() };
    assert_eq!(mount.client().setup(args).await.unwrap().into_inner().err, "");
    assert_eq!(mount.client().r#type(pb::Empty {}).await.unwrap().into_inner().r#type, names::TYPE_SECRET);
    assert_eq!(mount.reply("count").await.err().unwrap().message(), names::METADATA_MODE_REFUSAL);
    assert!(host.shut_down().await.status.success());
}

async fn stranger() {
    let host = Host::start().await;
    let certificate = host.handshake.certificate.clone().unwrap();
    let stranger = Tls::new(&Identity::generate(LOCALHOST).unwrap(), certificate).unwrap();
    for tls in [Some(&stranger), None] {
        let Ok(channel) = transport::channel(&host.handshake.address, tls).await else { continue };
        let asked = PluginVersionClient::new(channel).version(logical::Empty {}).await;
        assert!(asked.is_err(), "a stranger was answered");
    }
    host.set_up("m", &Stored::new(Dialect::OpenBao), &[]).await.expect("the host itself is served");
}

async fn life_of_a_mount() {
    let (host, stored) = (Host::start().await, Stored::new(Dialect::OpenBao));
    assert_eq!(host.mount("m").read("count").await, Err(format!("Unknown: {}", names::NO_INSTANCE)));
    let refused = host.set_up("m", &stored, &[("refuse", "yes")]).await;
    assert_eq!(refused.err().unwrap(), "no such option: refuse");
    let mount = host.set_up("m", &stored, &[]).await.unwrap();
    assert!(mount.client().initialize(mount.call(pb::InitializeArgs {})).await.unwrap().into_inner().err.is_none());
    assert_eq!(stored.get("initialized").unwrap(), b"yes");
    assert_eq!(mount.read("count").await, Ok(json!({ "count": 1, "mount": "uuid-m", "path": "m/" })));
    assert_eq!(mount.read("put").await, Ok(Value::Null));
    assert_eq!(stored.get("key").unwrap(), b"value");
    assert_eq!(mount.read("ttls").await, Ok(json!({ "ttls": [60, 120] })));
    assert_eq!(mount.reply("nowhere").await.unwrap().err.unwrap().err_type, names::error_type::UNSUPPORTED_PATH);
    let key = "key".to_owned();
    mount.client().invalidate_key(mount.call(pb::InvalidateKeyArgs { key })).await.unwrap();
    assert_eq!(stored.get("invalidated").unwrap(), b"key");

    // Setup again replaces.
    let mount = host.set_up("m", &stored, &[]).await.unwrap();
    assert_eq!(mount.read("count").await.unwrap()["count"], 1);
    mount.client().cleanup(mount.call(pb::Empty {})).await.unwrap();
    assert_eq!(stored.get("cleaned").unwrap(), b"up");
    assert_eq!(mount.read("count").await, Err(format!("Unknown: {}", names::NO_INSTANCE)));
    assert!(host.shut_down().await.status.success());
}

async fn two_mounts() {
    let host = Host::start().await;
    let (one, two) = (Stored::new(Dialect::OpenBao), Stored::new(Dialect::OpenBao));
    let (m, n) = (host.set_up("m", &one, &[]).await.unwrap(), host.set_up("n", &two, &[]).await.unwrap());
    m.read("put").await.unwrap();
    assert!(one.get("key").is_some() && two.get("key").is_none());
    assert_eq!(n.read("count").await, Ok(json!({ "count": 1, "mount": "uuid-n", "path": "n/" })));
    assert_eq!(m.read("count").await, Ok(json!({ "count": 2, "mount": "uuid-m", "path": "m/" })));
    m.client().cleanup(m.call(pb::Empty {})).await.unwrap();
    assert_eq!(n.read("count").await.unwrap()["count"], 2);
    // A host that does not multiplex names no mount.
    let only = host.set_up("", &one, &[]).await.unwrap();
    assert_eq!(only.read("count").await, Ok(json!({ "count": 1, "mount": "uuid-", "path": "" })));
}

async fn two_requests_meet() {
    let host = Host::start().await;
    let stored = Stored::new(Dialect::OpenBao);
    let (m, n) = (host.set_up("m", &stored, &[]).await.unwrap(), host.set_up("n", &stored, &[]).await.unwrap());
    assert_eq!(tokio::join!(m.read("meet"), m.read("meet")), (Ok(Value::Null), Ok(Value::Null)));
    assert_eq!(tokio::join!(m.read("meet"), n.read("meet")), (Ok(Value::Null), Ok(Value::Null)));
}

async fn panics() {
    let host = Host::start().await;
    let stored = Stored::new(Dialect::OpenBao);
    let (m, n) = (host.set_up("m", &stored, &[]).await.unwrap(), host.set_up("n", &stored, &[]).await.unwrap());
    for mount in [&m, &n] {
        assert_eq!(mount.read("count").await.unwrap()["count"], 1);
    }
    assert_eq!(m.read("panic").await, Err("Internal: the plugin panicked".to_owned()));
    // A fresh value: it counts from the start, and its lock is not poisoned.
    assert_eq!(m.read("count").await.unwrap()["count"], 1);
    assert_eq!(m.read("notes").await, Ok(Value::Null));
    assert_eq!(n.read("count").await.unwrap()["count"], 2);
    let output = host.shut_down().await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("as it was told"), "{told}");
}

async fn read_only() {
    let (host, stored) = (Host::start().await, Stored::new(Dialect::OpenBao));
    let refused = host.set_up("m", &stored, &[("write", "yes")]).await;
    assert_eq!(refused.err().unwrap(), "storage is read-only here");
    let mount = host.set_up("m", &stored, &[]).await.unwrap();
    let args = pb::HandleExistenceCheckArgs { storage_id: 0, request: Some(request("any")) };
    let reply = mount.client().handle_existence_check(mount.call(args)).await.unwrap().into_inner();
    assert_eq!(reply.err.unwrap().err_msg, "storage is read-only here");
    assert!(stored.get("written").is_none());
}

async fn transactions() {
    let (host, stored) = (Host::start().await, Stored::new(Dialect::OpenBao));
    let mount = host.set_up("m", &stored, &[]).await.unwrap();
    assert_eq!(mount.read("transact").await, Ok(json!({ "seen": false })));
    assert_eq!(stored.get("key").unwrap(), b"from a transaction");
    assert_eq!(mount.read("transact").await, Ok(json!({ "seen": true })));
    assert_eq!(mount.read("abandon").await, Ok(json!({ "stored": false })));
    let conflict = mount.reply("conflict").await.unwrap().err.unwrap();
    assert_eq!((conflict.err_type, conflict.err_code), (names::error_type::CODED, 409));
    assert_eq!(mount.read("snapshot").await, Err("storage is read-only here".to_owned()));
    assert_eq!(stored.open_transactions(), 0, "each ends with its call");
    assert_eq!(mount.read("list").await, Ok(json!({ "all": ["contested", "key"], "page": ["contested"] })));
}

async fn without_transactions() {
    let (host, stored) = (Host::start().await, Stored::new(Dialect::Vault));
    let mount = host.set_up("m", &stored, &[]).await.unwrap();
    mount.read("put").await.unwrap();
    // Whether it asks for the first time or remembers.
    for _ in 0..2 {
        let refused = mount.reply("transact").await.unwrap().err.unwrap();
        assert_eq!((refused.err_type, refused.err_code), (names::error_type::CODED, 503));
        assert!(refused.err_msg.contains("no transactions"), "{}", refused.err_msg);
        assert_eq!(mount.read("list").await, Ok(json!({ "all": ["key"], "page": ["key"] })));
    }
}

async fn logs() {
    let host = Host::start().await;
    let mount = host.set_up("m", &Stored::new(Dialect::OpenBao), &[]).await.unwrap();
    mount.read("log").await.unwrap();
    let output = host.shut_down().await;
    let line: Value = serde_json::from_slice(&output.stderr).expect("there is one line");
    let expected = ["warn", "mind the step", "tested", "third"].map(Value::from);
    assert_eq!(["@level", "@message", "@module", "step"].map(|key| line[key].clone()), expected);
}

async fn interrupted() {
    let host = Host::start().await;
    let mount = host.set_up("m", &Stored::new(Dialect::OpenBao), &[]).await.unwrap();
    host.signal("INT").await;
    assert_eq!(mount.read("count").await.unwrap()["count"], 1);
    drop(mount);
    host.signal("TERM").await;
    assert!(host.ended().await.success());
}
