//! Storage that was damaged while no server ran: what is damaged is named, and the rest goes on.

use cofferdam::storage::{Batch, DurableStorage, Storage as _};
use serde_json::{Value, json};

use crate::program::{Server, World};

/// Changes a stored record while no server runs.
fn damage(world: &World, key: &str, change: impl FnOnce(&[u8]) -> Vec<u8>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let storage = DurableStorage::open(world.path("store/cofferdam.redb")).unwrap();
    runtime.block_on(async {
        let stored = storage.get(key).await.unwrap().unwrap_or_else(|| panic!("there is no record {key}"));
        storage.commit(Batch::default().put(key, change(&stored))).await.unwrap();
    });
}

fn garbage(_: &[u8]) -> Vec<u8> {
    b"garbage".to_vec()
}

fn truncated(stored: &[u8]) -> Vec<u8> {
    stored[..stored.len() / 2].to_vec()
}

/// Returns a world whose stopped server has mounts at `good`, `bad` and `short`, with data at `a` in each, its token, and the
/// mounts' UUIDs.
fn stopped() -> (World, String, impl Fn(&str) -> String) {
    let world = World::new();
    let server = world.first_server();
    let token = server.token.clone();
    world.mount_passthrough(&server, &["good", "bad", "short"]);
    for path in ["good", "bad", "short"] {
        assert_eq!(server.ask("PUT", &format!("{path}/a"), r#"{"b":"c"}"#).status, 204);
    }
    let mounts = data(&server, "sys/mounts");
    assert_eq!(server.stop().0.code(), Some(0));
    (world, token, move |path: &str| mounts[format!("{path}/")]["uuid"].as_str().unwrap().to_owned())
}

fn data(server: &Server, path: &str) -> Value {
    server.ask("GET", path, "").json()["data"].clone()
}

#[test]
fn a_mount_whose_record_is_damaged_is_left_out() {
    let (world, token, uuid) = stopped();
    damage(&world, &format!("core/mounts/{}", uuid("bad")), garbage);
    damage(&world, &format!("core/mounts/{}", uuid("short")), truncated);

    let server = world.next_server(&token);
    assert_eq!(data(&server, "good/a"), json!({"b": "c"}));
    for path in ["bad", "short"] {
        assert_eq!(server.ask("GET", &format!("{path}/a"), "").status, 404);
        assert!(!world.succeed(&server, &["secrets", "list"]).contains(&format!("{path}/ ")));
        world.succeed(&server, &["secrets", "enable", &format!("-path={path}"), "passthrough-plugin"]);
    }
    let (_, _, log) = server.stop();
    for path in ["bad", "short"] {
        let told = log.lines().any(|line| line.contains(&uuid(path)) && line.contains("is damaged"));
        assert!(told, "the log names the record of {path}: {log}");
    }
}

#[test]
fn a_value_that_is_damaged_is_an_error_and_never_wrong_data() {
    let (world, token, uuid) = stopped();
    damage(&world, &format!("logical/{}/a", uuid("bad")), garbage);
    damage(&world, &format!("logical/{}/a", uuid("short")), truncated);

    let server = world.next_server(&token);
    assert_eq!(data(&server, "good/a"), json!({"b": "c"}));
    for path in ["bad/a", "short/a"] {
        for (method, body) in [("GET", ""), ("PUT", r#"{"b":"again"}"#)] {
            let answer = server.ask(method, path, body);
            assert_eq!(answer.status, 503, "{method} {path}: {answer:?}");
            assert!(answer.errors().contains("the stored value is damaged"), "{answer:?}");
        }
        assert_eq!(server.ask("DELETE", path, "").status, 204, "it can be given up");
        assert_eq!(server.ask("PUT", path, r#"{"b":"again"}"#).status, 204);
        assert_eq!(data(&server, path), json!({"b": "again"}));
    }
}

#[test]
fn a_plugin_whose_record_is_damaged_can_be_registered_again() {
    let (world, token, _) = stopped();
    damage(&world, "core/catalog/secret/passthrough-plugin@", truncated);

    let server = world.next_server(&token);
    let answer = server.ask("GET", "good/a", "");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.errors().contains("plugin not found in the catalog: passthrough-plugin"), "{answer:?}");
    assert_eq!(data(&server, "sys/mounts/good")["state"], "disabled");
    world.mount_passthrough(&server, &["new"]);
    assert_eq!(server.ask("PUT", "new/a", r#"{"b":"c"}"#).status, 204, "the server works on");
    server.stop();
    assert_eq!(data(&world.next_server(&token), "good/a"), json!({"b": "c"}), "and so do the mounts from then on");
}

#[test]
fn a_server_that_cannot_know_its_token_does_not_start() {
    let (world, _, _) = stopped();
    damage(&world, "core/system", garbage);
    let (exit, log) = Server::refused(world.server_command(&world.configuration("")));
    assert_eq!(exit, 1);
    assert!(log.contains("\"core/system\" is damaged"), "{log}");
}

#[test]
fn a_store_that_ends_too_early_is_refused() {
    let (world, _, _) = stopped();
    let path = world.path("store/cofferdam.redb");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, truncated(&whole)).unwrap();
    let (exit, log) = Server::refused(world.server_command(&world.configuration("")));
    assert_eq!(exit, 1);
    assert!(log.contains("failed to open the storage") && log.contains("cofferdam.redb"), "{log}");
    std::fs::write(&path, whole).unwrap();
    world.next_server("");
}
