//! What hosts before this one stored: it opens, is shown as it was, and serves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::ident::PluginKind;
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::storage::{Batch, DurableStorage, MemoryStorage, Storage};
use cofferdam::{Host, InstancePolicy, MountInfo, MountState, RuntimeKind, TokenType};

/// Each store that is kept, by what is special about it.
const STORES: [(&str, &str); 1] =
    [("before control writes had an epoch", include_str!("fixtures/store-2026-11-27.tsv"))];

/// The root token of each.
const TOKEN: &str = "s.1934e539ad914945ac40892d1c1a208e";

/// Writes a kept store into this one, byte by byte.
async fn restore(text: &str, storage: &dyn Storage) {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let entries = lines.map(|line| line.split_once('\t').expect("a line has a key and a value"));
    let batch = entries.fold(Batch::default(), |batch, (key, value)| batch.put(key, hex(value)));
    storage.commit(batch).await.expect("the store takes it");
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("the value is in hex")).collect()
}

async fn serve(storage: impl Storage) -> Host {
    let host = Host::builder().storage(storage).shipped_plugins().build().await.expect("the store opens");
    host.started().await;
    host
}

fn mount(host: &Host, path: &str) -> MountInfo {
    host.mount(&path.parse().expect("the path is well formed")).unwrap_or_else(|| panic!("{path} is mounted"))
}

/// Checks that the host shows what was stored, and serves it.
async fn check(host: &Host) {
    let root = host.identify(&TOKEN.into()).await.expect("the token can be looked at").expect("it is known");
    assert_eq!(root.policies, ["root"]);

    let secret = mount(host, "secret");
    assert_eq!(secret.uuid.to_string(), "eeabd19b-d693-4ffa-99f1-9fcaadb2dbdb");
    let settings = &secret.settings;
    assert_eq!((settings.description.as_str(), settings.local, settings.seal_wrap), ("versioned", true, true));
    assert_eq!(settings.options, BTreeMap::from([("version".to_owned(), "2".to_owned())]));
    let config = &settings.config;
    assert_eq!(config.default_lease_ttl, Some(Duration::from_secs(3600)));
    assert_eq!(config.max_lease_ttl, Some(Duration::from_millis(86_400_500)));
    assert!(config.force_no_cache);
    assert_eq!(config.listing_visibility, "unauth");
    assert_eq!(config.audit_non_hmac_request_keys, ["a"]);
    assert_eq!(config.audit_non_hmac_response_keys, ["b"]);
    assert_eq!(config.passthrough_request_headers, ["X-A"]);
    assert_eq!(config.allowed_response_headers, ["X-B"]);
    assert_eq!((config.instances, config.instance_limits.max_instances), (Some(InstancePolicy::Pooled), Some(3)));
    assert_eq!(mount(host, "auth/people").settings.config.token_type, Some(TokenType::Batch));
    for path in ["secret", "team/kv", "auth/people"] {
        assert_eq!(mount(host, path).state, MountState::Running, "{path}");
    }

    let engines: Vec<_> = host.plugins().into_iter().filter(|plugin| plugin.key.name.as_str() == "engine").collect();
    let [unversioned, versioned] = engines.as_slice() else { panic!("{engines:?}") };
    assert_eq!(
        (unversioned.found.runtime, unversioned.declarative, unversioned.pinned),
        (RuntimeKind::Wasm, false, false)
    );
    assert_eq!((versioned.found.runtime, versioned.declarative, versioned.pinned), (RuntimeKind::Native, true, true));
    assert_eq!(versioned.key.version.as_ref().map(ToString::to_string).as_deref(), Some("v1.2.3"));
    assert_eq!(versioned.launch.args, ["-v"]);
    let limits = &versioned.instance_limits;
    assert_eq!((limits.max_idle, limits.max_requests, limits.max_concurrency), (Some(2), Some(9), Some(4)));
    assert_eq!(limits.idle_timeout, Some(Duration::from_secs(60)));
    let confinement = versioned.launch.confinement.as_ref().expect("it is confined");
    assert_eq!((confinement.read.len(), confinement.write.len()), (1, 1));
    assert_eq!(host.pins().len(), 1);
    assert_eq!(host.pins()[0].kind, PluginKind::Secret);

    for (path, expected) in [("team/kv/a", r#"{"k":"v1"}"#), ("secret/data/a", r#""data":{"k":"v2"}"#)] {
        assert!(read(host, path).await.contains(expected), "{path}");
    }
    assert!(read(host, "auth/people/users/ada").await.contains("readers"));
}

async fn read(host: &Host, path: &str) -> String {
    let ada = Caller::Known(Arc::new(Identity::named("ada")));
    let request = Request::new(Operation::Read, path.parse().expect("the path is well formed")).by(ada);
    match host.handle(request).await.unwrap_or_else(|error| panic!("{path}: {error}")).body {
        Body::Data(data) => String::from_utf8_lossy(&data).into_owned(),
        other => panic!("{path}: {other:?}"),
    }
}

#[tokio::test]
async fn a_store_of_an_earlier_host_opens_and_serves() {
    for (which, text) in STORES {
        println!("{which}");
        let memory = MemoryStorage::new();
        restore(text, &memory).await;
        check(&serve(memory).await).await;

        let directory = tempfile::tempdir().expect("a directory can be made");
        let open = || DurableStorage::open(directory.path().join("store")).expect("the file opens");
        let storage = open();
        restore(text, &storage).await;
        let host = serve(storage).await;
        check(&host).await;
        host.shutdown().await;
        drop(host);
        let storage = open();
        // What was to be wiped is, and so are the marks that said so.
        assert_eq!(storage.keys("core/wipes/", 9).await.expect("it lists"), [""; 0]);
        assert_eq!(storage.keys("logical/6ba7b810-9dad-11d1-80b4-00c04fd430c8/", 9).await.expect("it lists"), [""; 0]);
        // And once more, on what this host made of it.
        check(&serve(storage).await).await;
    }
}
