//! The plugins kv and userpass as clients see them: statuses and whole answers, over HTTP. Each test has two rows: the
//! component in the sandbox, and the plugin that is built into the server from the same source.

use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::program::{Server, World, example, sha256};

/// Where a plugin comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Component,
    Builtin,
}

const ORIGINS: [Origin; 2] = [Origin::Component, Origin::Builtin];

/// Returns a development server that runs one of our plugins out of this origin, by its name.
fn server(origin: Origin, kind: &str, name: &str) -> (World, Server) {
    let world = World::new();
    let server = world.dev_server();
    if origin == Origin::Component {
        world.add_plugin(name, &example(&format!("{name}_plugin")));
        let body = json!({"sha256": sha256(&world.path("plugins").join(name)), "command": name});
        let answer = server.ask("PUT", &format!("sys/plugins/catalog/{kind}/{name}"), &body.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    (world, server)
}

/// Asserts that a mount runs what was meant.
#[track_caller]
fn runs(server: &Server, mount: &str, origin: Origin) {
    let mount = server.ask("GET", &format!("sys/{mount}"), "").json()["data"].take();
    let version = match origin {
        Origin::Component => "v0.1.0",
        Origin::Builtin => "v0.1.0+builtin.cofferdam",
    };
    assert_eq!(mount["running_plugin_version"], version, "{mount}");
    assert_eq!(mount["running_sha256"].as_str().unwrap().is_empty(), origin == Origin::Builtin, "{mount}");
    assert_eq!(mount["deprecation_status"], "supported", "{mount}");
}

fn kv(origin: Origin, version: &str) -> (World, Server) {
    let (world, server) = server(origin, "secret", "kv");
    let mount = json!({"type": "kv", "options": {"version": version}});
    let answer = server.ask("POST", "sys/mounts/secret", &mount.to_string());
    assert_eq!(answer.status, 204, "{answer:?}");
    runs(&server, "mounts/secret", origin);
    (world, server)
}

/// Returns an answer's status and body, without what is different each time: the request's id, and moments.
#[track_caller]
fn seen(answer: &Answer) -> (u16, Value) {
    let mut json = if answer.body.is_empty() { Value::Null } else { answer.json() };
    blank(&mut json);
    (answer.status, json)
}

fn blank(value: &mut Value) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        let varies = matches!(name.as_str(), "request_id" | "created_time" | "updated_time" | "deletion_time");
        match value {
            Value::String(text) if varies && !text.is_empty() => *text = "…".to_owned(),
            value => blank(value),
        }
    }
}

fn envelope(data: Value) -> Value {
    json!({
        "request_id": "…", "lease_id": "", "renewable": false, "lease_duration": 0, "data": data, "wrap_info": null,
        "warnings": null, "auth": null,
    })
}

fn version(number: u64, deletion_time: &str, destroyed: bool) -> Value {
    json!({
        "created_time": "…", "custom_metadata": null, "deletion_time": deletion_time, "destroyed": destroyed,
        "version": number,
    })
}

#[test]
fn a_versioned_secret_from_its_first_version_to_its_end() {
    ORIGINS.into_iter().for_each(a_versioned_secret);
}

fn a_versioned_secret(origin: Origin) {
    let (_world, server) = kv(origin, "2");
    let ask = |method: &str, path: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::new(method, &format!("secret/{path}")).token("root").body(body);
        let merge = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        seen(&request.header("Content-Type", merge).send(&server.address))
    };
    let done = (204, Value::Null);
    let invalid = |text: &str| (400, json!({"errors": [text]}));
    let nothing_there = (404, json!({"errors": []}));

    assert_eq!(ask("GET", "data/db/prod", Value::Null), nothing_there);
    assert_eq!(ask("PATCH", "data/db/prod", json!({"data": {"a": 1}})), (404, Value::Null));
    let put = |data: Value, options: Value| ask("PUT", "data/db/prod", json!({"data": data, "options": options}));
    assert_eq!(put(json!({"user": "ada", "n": 1.50}), json!({"cas": 0})), (200, envelope(version(1, "", false))));
    let mismatch = invalid("check-and-set parameter did not match the current version");
    assert_eq!(put(json!({}), json!({"cas": 0})), mismatch);
    let patch = json!({"data": {"user": null, "more": {"x": true}}, "options": {"cas": 1}});
    assert_eq!(ask("PATCH", "data/db/prod", patch), (200, envelope(version(2, "", false))));
    let second = json!({"data": {"more": {"x": true}, "n": 1.5}, "metadata": version(2, "", false)});
    assert_eq!(ask("GET", "data/db/prod", Value::Null), (200, envelope(second.clone())));
    let first = json!({"data": {"user": "ada", "n": 1.5}, "metadata": version(1, "", false)});
    assert_eq!(ask("GET", "data/db/prod?version=1", Value::Null), (200, envelope(first)));
    assert_eq!(
        ask("GET", "subkeys/db/prod?depth=1", Value::Null),
        (200, envelope(json!({"subkeys": {"more": null, "n": null}, "metadata": version(2, "", false)})))
    );

    assert_eq!(ask("DELETE", "data/db/prod", Value::Null), done);
    let deleted = json!({"data": null, "metadata": version(2, "…", false)});
    assert_eq!(ask("GET", "data/db/prod", Value::Null), (404, envelope(deleted)));
    assert_eq!(ask("POST", "undelete/db/prod", json!({"versions": ["2"]})), done);
    assert_eq!(ask("GET", "data/db/prod", Value::Null), (200, envelope(second)));
    assert_eq!(ask("POST", "delete/db/prod", json!({"versions": [1]})), done);
    assert_eq!(ask("PUT", "destroy/db/prod", json!({"versions": "2"})), done);
    let destroyed = json!({"data": null, "metadata": version(2, "", true)});
    assert_eq!(ask("GET", "data/db/prod", Value::Null), (404, envelope(destroyed)));

    let settings = json!({"custom_metadata": {"team": "x"}, "max_versions": "4", "delete_version_after": "3h25m19s"});
    assert_eq!(ask("POST", "metadata/db/prod", settings), done);
    assert_eq!(ask("PATCH", "metadata/db/prod", json!({"custom_metadata": {"on-call": "y"}})), done);
    let known = json!({
        "cas_required": false,
        "created_time": "…",
        "current_version": 2,
        "custom_metadata": {"on-call": "y", "team": "x"},
        "delete_version_after": "3h25m19s",
        "max_versions": 4,
        "oldest_version": 0,
        "updated_time": "…",
        "versions": {
            "1": {"created_time": "…", "deletion_time": "…", "destroyed": false},
            "2": {"created_time": "…", "deletion_time": "", "destroyed": true},
        },
    });
    assert_eq!(ask("GET", "metadata/db/prod", Value::Null), (200, envelope(known)));
    assert_eq!(ask("LIST", "metadata", Value::Null), (200, envelope(json!({"keys": ["db/"]}))));
    assert_eq!(ask("GET", "metadata/db/?list=true", Value::Null), (200, envelope(json!({"keys": ["prod"]}))));
    assert_eq!(ask("DELETE", "metadata/db/prod", Value::Null), done);
    assert_eq!(ask("LIST", "metadata", Value::Null), nothing_there);

    assert_eq!(ask("POST", "config", json!({"max_versions": 3, "cas_required": true})), done);
    let config = json!({"cas_required": true, "delete_version_after": "0s", "max_versions": 3});
    assert_eq!(ask("GET", "config", Value::Null), (200, envelope(config)));
    assert_eq!(put(json!({}), json!({})), invalid("check-and-set parameter required for this call"));
    let (status, mut misled) = ask("PUT", "db/prod", json!({"a": 1}));
    let warning = misled["warnings"][0].take();
    assert!(status == 404 && warning.as_str().unwrap().contains("'vault kv put'"), "{status} {warning}");
}

#[test]
fn a_mount_takes_its_secrets_along_to_version_2() {
    ORIGINS.into_iter().for_each(an_upgrade);
}

fn an_upgrade(origin: Origin) {
    let (_world, server) = kv(origin, "1");
    for path in ["a", "b/c"] {
        let answer = server.ask("PUT", &format!("secret/{path}"), r#"{"path":"here","ttl":"1h"}"#);
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    // More than move in one transaction.
    for number in 0..120 {
        assert_eq!(server.ask("PUT", &format!("secret/many/{number}"), r#"{"k":"v"}"#).status, 204);
    }
    let mut unversioned = envelope(json!({"path": "here", "ttl": "1h"}));
    unversioned["lease_duration"] = json!(3600);
    assert_eq!(seen(&server.ask("GET", "secret/a", "")), (200, unversioned));
    let tuned = server.ask("POST", "sys/mounts/secret/tune", r#"{"options":{"version":"2"}}"#);
    assert!(matches!(tuned.status, 200 | 204), "{tuned:?}");
    for path in ["a", "b/c"] {
        let versioned = json!({"data": {"path": "here", "ttl": "1h"}, "metadata": version(1, "", false)});
        assert_eq!(seen(&server.ask("GET", &format!("secret/data/{path}"), "")), (200, envelope(versioned)));
    }
    let many = server.ask("LIST", "secret/metadata/many", "").json();
    assert_eq!(many["data"]["keys"].as_array().map(Vec::len), Some(120));
    assert_eq!(
        seen(&server.ask("LIST", "secret/metadata", "")),
        (200, envelope(json!({"keys": ["a", "b/", "many/"]})))
    );
}

#[test]
fn users_log_in_with_their_passwords() {
    ORIGINS.into_iter().for_each(logins);
}

fn logins(origin: Origin) {
    let (_world, server) = server(origin, "auth", "userpass");
    assert_eq!(server.ask("POST", "sys/auth/userpass", r#"{"type":"userpass"}"#).status, 204);
    runs(&server, "auth/userpass", origin);
    let ada = r#"{"password":"hush","token_policies":["readers"],"token_ttl":"1h"}"#;
    assert_eq!(server.ask("PUT", "auth/userpass/users/Ada", ada).status, 204);
    let shown = json!({
        "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0, "token_no_default_policy": false,
        "token_num_uses": 0, "token_period": 0, "token_policies": ["readers"], "token_ttl": 3600, "token_type": "default",
    });
    assert_eq!(seen(&server.ask("GET", "auth/userpass/users/ada", "")), (200, envelope(shown)));
    let users = envelope(json!({"keys": ["ada"]}));
    assert_eq!(seen(&server.ask("LIST", "auth/userpass/users", "")), (200, users));
    let log_in = |name: &str, password: &str| {
        let body = json!({ "password": password }).to_string();
        Request::new("PUT", &format!("auth/userpass/login/{name}")).body(body).send(&server.address)
    };
    let answer = log_in("ADA", "hush");
    assert_eq!(answer.status, 200, "{answer:?}");
    let auth = answer.json()["auth"].take();
    assert_eq!((&auth["policies"], &auth["lease_duration"]), (&json!(["default", "readers"]), &json!(3600)));
    assert_eq!(auth["metadata"], json!({"username": "ada"}));
    for (name, password) in [("ada", "wrong"), ("eve", "hush")] {
        let answer = log_in(name, password);
        assert_eq!((answer.status, answer.errors().as_str()), (400, "invalid username or password"), "{name}");
    }
    let bound = r#"{"token_bound_cidrs":"192.0.2.0/24"}"#;
    assert_eq!(server.ask("PUT", "auth/userpass/users/ada", bound).status, 204);
    assert_eq!(log_in("ada", "hush").status, 403);
    assert!(!server.log().contains("hush"), "the password is in the log");
}
