//! A secrets engine on Vault's SDK, through the host: all that one asks of an engine.

use cofferdam::request::{Body, Caller, Operation, Request};
use cofferdam::storage::{DurableStorage, Storage as _};
use cofferdam::{ErrorKind, TtlChange, Tune};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;

use crate::plugins;
use crate::processes::Watched;
use crate::stage::{Stage, data, request};

/// Returns a host with the engine at `e/`.
async fn stage(case: &str) -> Option<Stage> {
    let engine = plugins::go("engine", case)?;
    let stage = Stage::new().await;
    stage.register("engine", &engine).await;
    stage.enable("e", "engine").await;
    Some(stage)
}

#[tokio::test]
async fn a_write_creates_or_updates_as_the_existence_check_says() {
    let Some(stage) = stage("create and update").await else { return };
    for (body, operation) in [("1", "create"), ("2", "update")] {
        assert_eq!(stage.write("e/items/a", &json!({"value": body})).await, json!({"operation": operation}));
    }
    assert_eq!(stage.write("e/items/b", &json!({"value": "3"})).await, json!({"operation": "create"}));
    assert_eq!(stage.read("e/items/a").await, json!({"value": "2"}));
    let error = stage.ask(Operation::Delete, "e/items/a", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedOperation, "{error}");
    let error = stage.ask(Operation::Read, "e/no/such/path", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn strangers_reach_the_paths_that_the_plugin_opens() {
    let Some(stage) = stage("open paths").await else { return };
    for (path, open) in [
        ("public", true),
        ("public/a/door", true),
        ("public/a", false),
        ("public/a/b/door", false),
        ("root", false),
        ("pid", false),
    ] {
        let stranger = Request { caller: Caller::Anonymous, ..request(Operation::Read, &format!("e/{path}"), "") };
        match stage.host().handle(stranger).await {
            Ok(response) => {
                assert!(open, "{path} is open");
                assert_eq!(data(&response), json!({"path": path, "unauthenticated": true}));
            }
            Err(error) => assert!(!open && error.kind() == ErrorKind::Denied, "{path}: {error}"),
        }
    }
    assert_eq!(stage.read("e/root").await["path"], "root");
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_leased_secret_is_renewed_and_revoked() {
    let Some(stage) = stage("renew and revoke").await else { return };
    let issued = stage.ask(Operation::Read, "e/creds/ada", "").await.unwrap();
    assert_eq!(data(&issued), json!({"token": "t-ada"}));
    let lease = issued.secret.expect("it is leased");
    assert_eq!((lease.ttl_seconds, lease.renewable), (60, true));

    let about = |operation| Request { lease: Some(lease.internal.clone()), ..request(operation, "e/creds/ada", "") };
    let renewed = stage.host().handle(about(Operation::Renew)).await.unwrap().secret.expect("it is still leased");
    assert_eq!((renewed.ttl_seconds, renewed.max_ttl_seconds), (120, 3600));
    assert_eq!(stage.read("e/revoked").await, json!({"name": null}));
    stage.host().handle(about(Operation::Revoke)).await.unwrap();
    assert_eq!(stage.read("e/revoked").await, json!({"name": "ada"}));
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_rollback_undoes_what_was_left_half_done() {
    let Some(stage) = stage("rollback").await else { return };
    stage.write("e/items/a", &json!({"unfinished": true})).await;
    assert_eq!(stage.read("e/rolled-back").await, json!({"path": null}));
    stage.ask(Operation::Rollback, "e/", "").await.unwrap();
    assert_eq!(stage.read("e/rolled-back").await, json!({"path": "items/a"}));
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_key_that_changed_elsewhere_is_made_known() {
    let Some(stage) = stage("invalidate").await else { return };
    let path = "e".parse().unwrap();
    for key in ["items/a", "config"] {
        stage.host().invalidate(&path, key).await.unwrap();
    }
    assert_eq!(stage.read("e/invalidated").await, json!({"keys": ["items/a", "config"]}));
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_raw_answer_comes_through_byte_for_byte() {
    let Some(stage) = stage("raw answers").await else { return };
    let answer = stage.ask(Operation::Read, "e/raw", "").await.unwrap();
    let Body::Raw { status, content_type, bytes } = answer.body else { panic!("{:?}", answer.body) };
    assert_eq!((status, content_type.as_str(), &*bytes), (202, "application/octet-stream", &b"a\0\xffb"[..]));
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn requests_meet_inside_the_plugin() {
    let Some(stage) = stage("concurrent requests").await else { return };
    // None of them is answered before the last one is heard.
    let waiting = join_all((0..64).map(|_| stage.read("e/wait/here")));
    let (answers, _) = tokio::join!(waiting, stage.ask(Operation::Read, "e/release/here", ""));
    assert!(answers.iter().all(|answer| *answer == json!({"released": true})), "{answers:?}");
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_plugin_sees_the_system_as_its_mount_is_tuned() {
    let Some(stage) = stage("the system view").await else { return };
    let system = stage.read("e/system").await;
    for (name, value) in [
        ("default_ttl", json!(2_764_800.0)),
        ("max_ttl", json!(2_764_800.0)),
        ("tainted", json!(false)),
        ("local_mount", json!(false)),
        ("plugin_env", json!("1.16.0")),
    ] {
        assert_eq!(system[name].to_string().trim_end_matches(".0"), value.to_string().trim_end_matches(".0"), "{name}");
    }
    for name in ["password", "wrap"] {
        assert!(system[name].is_string(), "{name} is refused with a reason: {system}");
    }
    let (default, max) = (TtlChange::To(Duration::from_secs(120)), TtlChange::To(Duration::from_secs(240)));
    let tune = Tune { default_lease_ttl: Some(default), max_lease_ttl: Some(max), ..Tune::default() };
    let pid = stage.pid("e").await;
    stage.host().tune(&"e".parse().unwrap(), tune).await.unwrap();
    let system = stage.read("e/system").await;
    assert_eq!((system["default_ttl"].as_f64(), system["max_ttl"].as_f64()), (Some(120.0), Some(240.0)));
    assert_eq!(stage.pid("e").await, pid, "TTLs need no new process");
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn background_work_stores_until_its_mount_is_disabled_and_never_after() {
    let Some(stage) = stage("background work").await else { return };
    stage.enable("watch", "engine").await;
    let process = Watched::of(stage.pid("e").await);
    assert_eq!(stage.pid("watch").await, stage.pid("e").await);
    let uuid = stage.host().mount(&"e".parse().unwrap()).unwrap().uuid.to_string();

    stage.ask(Operation::Read, "e/store-forever", "").await.unwrap();
    while stage.read("watch/background").await["stored"] == 0 {}
    assert_eq!(stage.read("watch/background").await["refused"], 0);
    stage.disable("e").await;
    // The process lives on for the other mount, and so does the work in it.
    while stage.read("watch/background").await["refused"] == 0 {}
    assert!(process.is_there());

    let data = stage.end_keeping_data().await;
    process.ends_soon().await;
    let storage = DurableStorage::open(data.path().join("data.redb")).unwrap();
    let keys = storage.keys("", 1_000).await.unwrap();
    assert!(keys.iter().any(|key| key.ends_with("/started")), "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains(&uuid)), "{keys:?}");
}
