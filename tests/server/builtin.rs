//! Plugins that ship in the binary: how the catalog shows them, and who takes their place.

use serde_json::{Value, json};

use crate::http::Answer;
use crate::program::{Server, World, sha256};
use crate::session::check;

const VERSION: &str = "v0.1.0+builtin.cofferdam";

fn data(server: &Server, path: &str) -> Value {
    let answer = server.ask("GET", path, "");
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()["data"].take()
}

/// Registers the plugin that only stores, by another's name. It names no version.
fn register_passthrough(world: &World, server: &Server, path: &str, more: Value) -> Answer {
    let mut body =
        json!({"sha256": sha256(&world.path("plugins/passthrough-plugin")), "command": "passthrough-plugin"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.ask("PUT", &format!("sys/plugins/catalog/{path}"), &body.to_string())
}

#[test]
fn a_development_server_has_a_versioned_store_from_the_start() {
    let world = World::new();
    let server = world.dev_server_with(&["-dev-no-plugin-init"]);
    let written = server.ask("PUT", "secret/data/a", r#"{"data":{"user":"ada"}}"#);
    assert_eq!((written.status, &written.json()["data"]["version"]), (200, &json!(1)));
    let mount = data(&server, "sys/internal/ui/mounts/secret/a");
    assert_eq!((&mount["path"], &mount["options"]), (&json!("secret/"), &json!({"version": "2"})));
    assert_eq!((&mount["type"], &mount["description"]), (&json!("kv"), &json!("key/value secret storage")));
}

#[test]
fn what_ships_needs_no_operator() {
    let world = World::new();
    let mut command = world.program();
    command.args(["server", "-dev", "-dev-root-token-id=root", "-dev-listen-address=127.0.0.1:0"]);
    command.arg("-dev-no-store-token");
    let server = Server::start(command).with_token("root");
    let check = |typed: &str, stdout: &str| check(&world, &server, typed, stdout);
    check("secrets enable kv", "Success! Enabled the kv secrets engine at: kv/\n");
    check("secrets enable -path=two -version=2 kv", "Success! Enabled the kv secrets engine at: two/\n");
    check("secrets enable kv-v2", "Success! Enabled the kv-v2 secrets engine at: kv-v2/\n");
    check(
        &format!("secrets enable -path=named -plugin-version={VERSION} kv"),
        &format!("Success! Enabled the kv secrets engine version {VERSION} at: named/\n"),
    );
    check("auth enable userpass", "Success! Enabled userpass auth method at: userpass/\n");
    check("write kv/a b=c", "Success! Data written to: kv/a\n");
    check("read -field=b kv/a", "c");
    for (path, options) in [("kv", Value::Null), ("two", json!({"version": "2"})), ("kv-v2", json!({"version": "2"}))] {
        let mount = data(&server, &format!("sys/mounts/{path}"));
        assert_eq!((&mount["type"], &mount["options"]), (&json!("kv"), &options), "{path}");
    }
    // The server may be replaced by one with another version, so a mount keeps none.
    let named = data(&server, "sys/mounts/named");
    assert_eq!((&named["plugin_version"], &named["running_plugin_version"]), (&json!(""), &json!(VERSION)));
}

#[test]
fn the_catalog_shows_what_is_built_in() {
    let world = World::new();
    let server = world.dev_server();
    let check = |typed: &str, stdout: &str| check(&world, &server, typed, stdout);
    let info = "\
Key                   Value
---                   -----
args                  []
builtin               true
capabilities          [everything that the server may do (built in, not sandboxed)]
command               n/a
deprecation_status    supported
imports               []
instances             per-mount
name                  kv
runtime               builtin
sha256                n/a
version               v0.1.0+builtin.cofferdam
";
    check("plugin info secret kv", info);
    check(&format!("plugin info -version={VERSION} secret kv"), info);
    let detailed = data(&server, "sys/plugins/catalog")["detailed"].take();
    let described = |kind: &str, name: &str| {
        json!({
            "builtin": true, "deprecation_status": "supported", "instances": "per-mount", "name": name,
            "runtime": "builtin", "sha256": "", "type": kind, "version": VERSION,
        })
    };
    assert_eq!(detailed, json!([described("auth", "userpass"), described("secret", "kv")]));
    assert_eq!(server.ask("GET", "sys/plugins/catalog/auth/kv", "").status, 404);
    assert_eq!(server.ask("GET", "sys/plugins/catalog/secret/kv?version=0.2.0%2Bbuiltin.cofferdam", "").status, 404);
}

#[test]
fn a_builtin_is_neither_replaced_by_version_nor_removed() {
    let world = World::new();
    let server = world.dev_server();
    let refused = |answer: Answer, text: &str| assert_eq!((answer.status, answer.errors().as_str()), (400, text));
    for version in [VERSION, "v9.0.0+builtin"] {
        refused(
            register_passthrough(&world, &server, "secret/kv", json!({ "version": version })),
            &format!("version \"{version}\" is not allowed because 'builtin' is a reserved metadata identifier"),
        );
    }
    let versioned = "sys/plugins/catalog/secret/kv?version=v0.1.0%2Bbuiltin.cofferdam";
    refused(server.ask("DELETE", versioned, ""), &format!("version \"{VERSION}\" cannot be deleted"));
    let kept = server.ask("DELETE", "sys/plugins/catalog/secret/kv", "");
    assert_eq!(kept.status, 200);
    assert_eq!(kept.json()["warnings"], json!(["plugin \"kv\" is built in, and stays: nothing was deregistered"]));
    assert_eq!(data(&server, "sys/plugins/catalog/secret/kv")["builtin"], true);
}

#[test]
fn an_unversioned_plugin_takes_the_place_of_a_builtin_until_it_goes() {
    let world = World::new();
    let server = world.first_server();
    assert_eq!(server.ask("POST", "sys/mounts/kv", r#"{"type":"kv","options":{"version":"2"}}"#).status, 204);
    let running = |server: &Server| {
        let mount = data(server, "sys/mounts/kv");
        assert_eq!(mount["plugin_version"], "", "the mount asks for no version");
        (
            mount["running_plugin_version"].as_str().unwrap().to_owned(),
            !mount["running_sha256"].as_str().unwrap().is_empty(),
        )
    };
    let (builtin, external) = ((VERSION.to_owned(), false), (String::new(), true));
    // The engine with versions has no such path; the plugin that takes its place has every path.
    let write = |server: &Server| server.ask("PUT", "kv/plain", r#"{"a":"b"}"#).status;
    assert_eq!((running(&server), write(&server)), (builtin.clone(), 404));

    assert_eq!(register_passthrough(&world, &server, "secret/kv", json!({})).status, 200);
    let listed = data(&server, "sys/plugins/catalog");
    assert_eq!((&listed["secret"], listed["detailed"].as_array().unwrap().len()), (&json!(["kv"]), 2));
    assert_eq!(data(&server, "sys/plugins/catalog/secret/kv")["builtin"], false);
    assert_eq!((running(&server), write(&server)), (builtin.clone(), 404), "a mount that runs goes on");
    let named = json!({"type": "kv", "config": {"plugin_version": VERSION}}).to_string();
    let refused = server.ask("POST", "sys/mounts/named", &named);
    let overridden = "it is overridden by an unversioned plugin of the same name. Omit `plugin_version`";
    assert!(refused.status == 400 && refused.errors().contains(overridden), "{refused:?}");

    // A restart starts the mount with what is registered.
    let token = server.token.clone();
    assert!(server.stop().0.success());
    let server = world.next_server(&token);
    assert_eq!((write(&server), running(&server)), (204, external.clone()));
    assert_eq!(data(&server, "kv/plain"), json!({"a": "b"}));

    assert_eq!(server.ask("DELETE", "sys/plugins/catalog/secret/kv", "").status, 204);
    assert_eq!(data(&server, "sys/plugins/catalog/secret/kv")["builtin"], true);
    assert_eq!((write(&server), running(&server)), (204, external), "a mount that runs goes on");
    assert!(server.stop().0.success());
    let server = world.next_server(&token);
    assert_eq!((write(&server), running(&server)), (404, builtin));
}

#[test]
fn a_restart_keeps_mounts_of_builtins_and_what_they_stored() {
    let world = World::new();
    let server = world.first_server();
    assert_eq!(server.ask("POST", "sys/mounts/kv", r#"{"type":"kv"}"#).status, 204);
    assert_eq!(server.ask("POST", "sys/auth/userpass", r#"{"type":"userpass"}"#).status, 204);
    assert_eq!(server.ask("PUT", "kv/a", r#"{"b":"c"}"#).status, 204);
    assert_eq!(server.ask("PUT", "auth/userpass/users/ada", r#"{"password":"hush"}"#).status, 204);
    let token = server.token.clone();
    assert!(server.stop().0.success());
    let server = world.next_server(&token);
    assert_eq!(data(&server, "kv/a"), json!({"b": "c"}));
    let login = server.ask("PUT", "auth/userpass/login/ada", r#"{"password":"hush"}"#);
    assert_eq!((login.status, &login.json()["auth"]["policies"]), (200, &json!(["default"])));
    let metrics = server.ask("GET", "sys/metrics?format=prometheus", "").body;
    let counted = format!("cofferdam_plugin_instances_live{{kind=\"secret\",plugin=\"kv\",version={VERSION:?}}} 1");
    assert!(metrics.contains(&counted), "{metrics}");
}
