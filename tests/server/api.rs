//! Vault's HTTP API: who may ask, and the shapes of answers.

use serde_json::{Value, json};

use crate::http::Request;
use crate::program::{Server, World, sha256};

fn server() -> (World, Server) {
    let world = World::new();
    let server = world.dev_server();
    world.mount_passthrough(&server, &["kv"]);
    (world, server)
}

#[test]
fn a_token_is_asked_for_where_one_is_needed() {
    let (_world, server) = server();
    assert_eq!(server.ask("PUT", "kv/a", r#"{"b":"c"}"#).status, 204);
    for (method, path, body) in [
        ("GET", "kv/a", ""),
        ("PUT", "kv/a", r#"{"b":"d"}"#),
        ("DELETE", "kv/a", ""),
        ("LIST", "kv", ""),
        ("GET", "sys/mounts", ""),
        ("POST", "sys/mounts/other", r#"{"type":"passthrough-plugin"}"#),
        ("DELETE", "sys/mounts/kv", ""),
        ("POST", "sys/remount", r#"{"from":"kv","to":"other"}"#),
        ("GET", "sys/plugins/catalog", ""),
        ("DELETE", "sys/plugins/catalog/secret/passthrough-plugin", ""),
        ("GET", "sys/internal/ui/mounts/kv", ""),
        ("GET", "sys/nonsense", ""),
    ] {
        for token in ["", "wrong", "roo", "root2"] {
            let answer = Request::new(method, path).token(token).body(body).send(&server.address);
            assert_eq!(
                (answer.status, answer.errors().as_str()),
                (403, "permission denied"),
                "{method} {path} {token}"
            );
        }
    }
    assert_eq!(server.ask("GET", "kv/a", "").json()["data"], json!({"b": "c"}), "nothing was changed");
    let bearer = Request::new("GET", "kv/a").header("Authorization", "Bearer root").send(&server.address);
    assert_eq!(bearer.status, 200);
}

#[test]
fn the_servers_own_state_is_open() {
    let (_world, server) = server();
    for (path, member) in [
        ("sys/health", "initialized"),
        ("sys/init", "initialized"),
        ("sys/seal-status", "sealed"),
        ("sys/leader", "is_self"),
        ("sys/internal/ui/mounts", "data"),
    ] {
        let answer = Request::new("GET", path).send(&server.address);
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.json()[member].is_null(), "{path}: {answer:?}");
        assert!(!answer.body.contains("kv/"), "{path} shows mounts to strangers");
    }
}

#[test]
fn answers_lie_in_vaults_envelope() {
    let (_world, server) = server();
    server.ask("PUT", "kv/a", r#"{"b":"c","n":1.50}"#);
    let answer = server.ask("GET", "kv/a", "");
    let id = answer.json()["request_id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 36);
    let expected = format!(
        "{{\"request_id\":\"{id}\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\"data\":{{\"b\":\"c\",\
         \"n\":1.5}},\"wrap_info\":null,\"warnings\":null,\"auth\":null}}\n"
    );
    assert_eq!(answer.body.replace("1.50", "1.5"), expected);
    for header in ["content-type: application/json", "cache-control: no-store"] {
        assert!(answer.headers.contains(header), "{}", answer.headers);
    }
    let empty = server.ask("PUT", "kv/a", r#"{"b":"c"}"#);
    assert_eq!((empty.status, empty.body.as_str()), (204, ""));
    for (method, path) in [("GET", "kv/none"), ("LIST", "kv/none")] {
        let answer = server.ask(method, path, "");
        assert_eq!((answer.status, answer.body.as_str()), (404, "{\"errors\":[]}\n"), "{method} {path}");
    }
}

#[test]
fn listings_are_the_same_by_either_spelling() {
    let (_world, server) = server();
    for path in ["kv/a", "kv/b/c", "kv/b/d"] {
        server.ask("POST", path, r#"{"x":1}"#);
    }
    for (method, path, keys) in [
        ("LIST", "kv", json!(["a", "b/"])),
        ("LIST", "kv/", json!(["a", "b/"])),
        ("GET", "kv?list=true", json!(["a", "b/"])),
        ("GET", "kv/b/?list=1", json!(["c", "d"])),
    ] {
        assert_eq!(server.ask(method, path, "").json()["data"]["keys"], keys, "{method} {path}");
    }
}

#[test]
fn data_is_repeated_at_the_top_where_vault_repeats_it() {
    let (_world, server) = server();
    for (method, path, body) in [
        ("GET", "sys/mounts", ""),
        ("GET", "sys/mounts/kv", ""),
        ("GET", "sys/mounts/kv/tune", ""),
        ("POST", "sys/remount", r#"{"from":"kv","to":"kv2"}"#),
    ] {
        let answer = server.ask(method, path, body).json();
        let data = answer["data"].as_object().unwrap_or_else(|| panic!("{path} has no data: {answer}"));
        assert!(!data.is_empty());
        for (member, value) in data {
            assert_eq!(&answer[member], value, "{path}: {member}");
        }
    }
    let answer = server.ask("GET", "sys/plugins/catalog", "").json();
    assert_eq!((&answer["secret"], &answer["data"]["secret"]), (&Value::Null, &json!(["kv", "passthrough-plugin"])));
}

#[test]
fn a_mount_is_shown_as_vault_shows_it() {
    let (world, server) = server();
    let mount = server.ask("GET", "sys/mounts", "").json()["data"]["kv/"].clone();
    let expected = json!({
        "accessor": mount["accessor"],
        "config": {"default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0},
        "description": "",
        "external_entropy_access": false,
        "local": false,
        "options": null,
        "plugin_version": "",
        "running_plugin_version": "",
        "instances": "per-mount",
        "running_sha256": sha256(&world.path("plugins/passthrough-plugin")),
        "seal_wrap": false,
        "state": "running",
        "type": "passthrough-plugin",
        "uuid": mount["uuid"],
    });
    assert_eq!(mount, expected);
    let tuning = server.ask("GET", "sys/mounts/kv/tune", "").json()["data"].clone();
    let expected =
        json!({"default_lease_ttl": 2_764_800, "description": "", "force_no_cache": false, "max_lease_ttl": 2_764_800});
    assert_eq!(tuning, expected);
}

#[test]
fn register_bodies_have_either_spelling() {
    let (world, server) = server();
    let digest = sha256(&world.path("plugins/passthrough-plugin"));
    for (path, fields) in [
        ("secret/a", json!({"sha256": digest, "command": "passthrough-plugin"})),
        ("secret/a", json!({"sha_256": digest, "command": "passthrough-plugin", "type": 3})),
        ("secret/a", json!({"sha256": digest, "command": "passthrough-plugin", "type": "secret", "args": null})),
        ("secret/a", json!({"sha256": digest.to_uppercase(), "command": "passthrough-plugin -v", "env": ["A=b"]})),
        ("a", json!({"sha256": digest, "command": "passthrough-plugin", "type": "secret"})),
        ("a", json!({"sha256": digest, "command": "passthrough-plugin", "type": 3})),
        ("a", json!({"sha256": digest, "command": "passthrough-plugin"})),
    ] {
        let answer = server.ask("PUT", &format!("sys/plugins/catalog/{path}"), &fields.to_string());
        assert_eq!(answer.status, 200, "{path} {fields}: {answer:?}");
        let data = &answer.json()["data"];
        assert_eq!((&data["type"], &data["sha256"]), (&json!("secret"), &json!(digest)), "{fields}");
        assert!(data["capabilities"].as_array().is_some_and(|all| !all.is_empty()), "{data}");
        let shown = server.ask("GET", "sys/plugins/catalog/secret/a", "").json()["data"].clone();
        assert_eq!((&shown["command"], &shown["builtin"]), (&json!("passthrough-plugin"), &json!(false)), "{fields}");
        assert_eq!(shown.get("env"), None, "an environment may hold secrets");
        assert_eq!(server.ask("DELETE", "sys/plugins/catalog/secret/a", "").status, 204);
        assert_eq!(server.ask("GET", "sys/plugins/catalog/secret/a", "").status, 404);
    }
}

#[test]
fn enable_bodies_may_hold_nulls_and_zeros() {
    let (_world, server) = server();
    for body in [
        r#"{"type":"passthrough-plugin"}"#,
        r#"{"type":"passthrough-plugin","config":null,"options":null,"description":null,"local":null}"#,
        concat!(
            r#"{"type":"passthrough-plugin","description":"","config":{"options":null,"default_lease_ttl":"0s","#,
            r#""max_lease_ttl":"0s","force_no_cache":false},"local":false,"seal_wrap":false,"#,
            r#""external_entropy_access":false,"options":null}"#
        ),
        r#"{"type":"plugin","plugin_name":"passthrough-plugin","config":{"default_lease_ttl":0,"max_lease_ttl":""}}"#,
    ] {
        let answer = server.ask("POST", "sys/mounts/new", body);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{body}");
        assert_eq!(server.ask("GET", "sys/mounts/new", "").json()["config"]["default_lease_ttl"], 0, "{body}");
        assert_eq!(server.ask("DELETE", "sys/mounts/new", "").status, 204);
    }
}
