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

/// Returns a world whose stopped server has mounts at `good`, `bad` and `short`, with data at `a` in each, its token,
/// and the mounts' UUIDs.
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

/// One bit of one key: nobody is told that the store is new, nor given a root token for what is left.
#[test]
fn a_store_that_lost_what_it_knows_of_itself_is_not_new() {
    let (world, token, _) = stopped();
    let configuration = world.configuration("");
    let operator = |command: &str| {
        let output = world.program().args(["operator", command, &format!("-config={configuration}")]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (exit, said, _) = operator("check-storage");
    assert!(exit == Some(0) && said.contains("The storage is whole"), "{said}");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let storage = DurableStorage::open(world.path("store/cofferdam.redb")).unwrap();
    runtime.block_on(async {
        let record = storage.get("core/system").await.unwrap().unwrap();
        storage.commit(Batch::default().delete("core/system").put("core/systel", record)).await.unwrap();
    });
    drop(storage);
    let mut started = world.server_command(&configuration);
    let output = started.output().unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        !said.contains("Root Token") && log.contains("lost \"core/system\"") && log.contains("generate-root"),
        "{log}"
    );
    let (exit, said, _) = operator("check-storage");
    assert!(exit == Some(1) && said.contains("core/system") && said.contains("core/systel"), "{said}");

    // Whoever can read the storage may go on with what is left.
    let (exit, said, note) = operator("generate-root");
    assert_eq!(exit, Some(0), "{note}");
    let new = said.trim().strip_prefix("Root Token: ").expect("it is shown").to_owned();
    let server = world.next_server(&new);
    assert_eq!(data(&server, "good/a"), json!({"b": "c"}));
    assert_eq!(server.with_token(&token).ask("GET", "good/a", "").status, 403);
}

#[test]
fn a_token_that_could_not_be_shown_is_not_made() {
    let world = World::new();
    let mut command = world.server_command(&world.configuration(""));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && log.contains("none was made"), "{log}");
    world.first_server();
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
