//! Auth methods: the session of Vault's pages, the API, and logins that say who it was and give no token.

use serde_json::json;

use crate::http::Request;
use crate::program::{Server, World, login, sha256};
use crate::session::check;

/// Returns a server with the plugin `login` registered, and mounted at `auth/userpass/`.
fn server() -> (World, Server) {
    let world = World::new();
    world.add_plugin("login", &login());
    let server = world.dev_server();
    let digest = sha256(&world.path("plugins/login"));
    check(
        &world,
        &server,
        &format!("plugin register -sha256={digest} auth login"),
        "Success! Registered plugin: login\n",
    );
    check(
        &world,
        &server,
        "auth enable -path=userpass -description=people login",
        "Success! Enabled login auth method at: userpass/\n",
    );
    (world, server)
}

#[track_caller]
fn refused(server: &Server, method: &str, path: &str, body: &str, status: u16, because: &str) {
    let answer = server.ask(method, path, body);
    assert_eq!((answer.status, answer.errors().as_str()), (status, because), "{method} {path} {body}");
}

#[test]
fn the_session_of_an_auth_method() {
    let (world, server) = server();
    let check = |typed: &str, stdout: &str| check(&world, &server, typed, stdout);
    check(
        "auth list",
        "Path         Type     Accessor               Description    Version\n\
         ----         ----     --------               -----------    -------\n\
         userpass/    login    auth_login_00000000    people         v1.0.0\n",
    );
    check("auth tune -max-lease-ttl=1h -token-type=service userpass", "Success! Tuned the auth method at: userpass/\n");
    check(
        "auth move userpass team/users",
        "Started moving auth method userpass/ to team/users/, with migration ID 00000000-0000-0000-0000-000000000000\n\
         Success! Finished moving auth method userpass/ to team/users/, with migration ID \
         00000000-0000-0000-0000-000000000000\n",
    );
    check("auth list -detailed", DETAILED);
    check(
        "write auth/team/users/users/ada password=x policies=Readers",
        "Success! Data written to: auth/team/users/users/ada\n",
    );
    check("list auth/team/users/users", "Keys\n----\nada\n");
    check("write auth/team/users/login/ada password=x", LOGIN);
    let help = world.succeed(&server, &["auth", "help", "login"]);
    assert!(help.contains("Lets users in who know their password."), "{help}");
    check("auth disable team/users", "Success! Disabled the auth method (if it existed) at: team/users/\n");
    check("auth disable team/users", "Success! Disabled the auth method (if it existed) at: team/users/\n");
    check(
        "auth list",
        "Path    Type    Accessor    Description    Version\n----    ----    --------    -----------    -------\n",
    );
}

const LOGIN: &str = "\
Key                    Value
---                    -----
token                  n/a
token_accessor         n/a
token_duration         1h
token_renewable        true
token_policies         [\"default\" \"readers\"]
identity_policies      []
policies               [\"default\" \"readers\"]
token_meta_username    ada
";

/// Its lines, too long to read otherwise, in pieces of some columns each.
const DETAILED: &str = concat!(
    "Path           Plugin    Accessor               Default TTL    Max TTL    Token Type    ",
    "Replication    Seal Wrap    External Entropy Access    Options    Description    ",
    "UUID                                    Version    Running Version    ",
    "Running SHA256                                                      Deprecation Status\n",
    "----           ------    --------               -----------    -------    ----------    ",
    "-----------    ---------    -----------------------    -------    -----------    ",
    "----                                    -------    ---------------    ",
    "--------------                                                      ------------------\n",
    "team/users/    login     auth_login_00000000    system         3600       service       ",
    "replicated     false        false                      map[]      people         ",
    "00000000-0000-0000-0000-000000000000    v1.0.0     v1.0.0             ",
    "0000000000000000000000000000000000000000000000000000000000000000    n/a\n",
);

#[test]
fn auth_methods_are_shown_as_vault_shows_them() {
    let (world, server) = server();
    let answer = server.ask("GET", "sys/auth", "").json();
    let mount = answer["data"]["userpass/"].clone();
    let expected = json!({
        "accessor": mount["accessor"],
        "config": {"default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0, "token_type": "default-service"},
        "description": "people",
        "external_entropy_access": false,
        "local": false,
        "options": null,
        "plugin_version": "v1.0.0",
        "running_plugin_version": "v1.0.0",
        "instances": "per-mount",
        "running_sha256": sha256(&world.path("plugins/login")),
        "seal_wrap": false,
        "state": "running",
        "type": "login",
        "uuid": mount["uuid"],
    });
    assert_eq!(mount, expected);
    assert_eq!(answer["userpass/"], expected, "the data is repeated at the top");
    let one = server.ask("GET", "sys/auth/userpass", "").json();
    assert_eq!((&one["data"], &one["accessor"]), (&expected, &expected["accessor"]));

    for path in ["sys/auth/userpass/tune", "sys/mounts/auth/userpass/tune"] {
        assert_eq!(server.ask("POST", path, r#"{"token_type":"batch","description":"b"}"#).status, 204);
        let tuning = server.ask("GET", path, "").json();
        let expected = json!({"default_lease_ttl": 2_764_800, "description": "b", "force_no_cache": false,
            "max_lease_ttl": 2_764_800, "plugin_version": "v1.0.0", "token_type": "batch"});
        assert_eq!((&tuning["data"], &tuning["token_type"]), (&expected, &json!("batch")), "{path}");
    }

    let visible = |token| Request::new("GET", "sys/internal/ui/mounts").token(token).send(&server.address).json();
    assert_eq!(visible("")["data"], json!({"auth": {}, "secret": {}}));
    assert_eq!(visible("root")["data"]["auth"]["userpass/"]["type"], "login");
    server.ask("POST", "sys/auth/userpass/tune", r#"{"listing_visibility":"unauth"}"#);
    let expected = json!({"userpass/": {"description": "b", "options": null, "type": "login"}});
    assert_eq!(visible("")["data"]["auth"], expected);
    let secrets = server.ask("GET", "sys/mounts", "").json();
    assert_eq!(secrets["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["sys/"]);
}

#[test]
fn each_kind_is_refused_in_the_others_place() {
    let (world, server) = server();
    world.mount_passthrough(&server, &["kv"]);
    for (method, path, body, status, because) in [
        ("GET", "sys/auth/none", "", 400, "No auth engine at none/"),
        ("GET", "sys/auth/kv", "", 400, "No auth engine at kv/"),
        ("GET", "sys/mounts/auth/userpass", "", 400, "No secret engine mount at auth/userpass/"),
        ("GET", "sys/auth/none/tune", "", 400, "no mount at auth/none/"),
        ("POST", "sys/auth/userpass", r#"{"type":"login"}"#, 400, "path is already in use at userpass/"),
        ("POST", "sys/auth/userpass/a", r#"{"type":"login"}"#, 400, "existing mount at auth/userpass/"),
        ("POST", "sys/auth/token", r#"{"type":"login"}"#, 400, "cannot mount \"auth/token/\""),
        (
            "POST",
            "sys/auth/x",
            r#"{"type":"passthrough-plugin"}"#,
            400,
            "plugin not found in the catalog: passthrough-plugin; a plugin of this name is of type secret",
        ),
        (
            "POST",
            "sys/mounts/x",
            r#"{"type":"login"}"#,
            400,
            "plugin not found in the catalog: login; a plugin of this name is of type auth",
        ),
        ("POST", "sys/mounts/auth/x", r#"{"type":"login"}"#, 400, "cannot mount \"auth/x/\""),
        (
            "POST",
            "sys/auth/x",
            r#"{"type":"login","config":{"token_type":"root"}}"#,
            400,
            "invalid value for 'token_type': \"root\"",
        ),
        (
            "POST",
            "sys/mounts/x",
            r#"{"type":"passthrough-plugin","config":{"token_type":"batch"}}"#,
            400,
            "'token_type' can only be modified on auth mounts",
        ),
        (
            "POST",
            "sys/mounts/kv/tune",
            r#"{"token_type":"batch"}"#,
            400,
            "'token_type' can only be modified on auth mounts",
        ),
        ("DELETE", "sys/mounts/auth/userpass", "", 400, "cannot unmount \"auth/userpass/\""),
        ("DELETE", "sys/auth/token", "", 400, "cannot unmount \"auth/token/\""),
        ("POST", "sys/remount", r#"{"from":"kv","to":"auth/kv"}"#, 400, "cannot remount to \"auth/kv/\""),
        (
            "POST",
            "sys/remount",
            r#"{"from":"auth/userpass","to":"userpass"}"#,
            400,
            "cannot remount auth mount to non-auth mount \"userpass/\"",
        ),
        ("DELETE", "sys/auth", "", 405, "unsupported operation"),
    ] {
        refused(&server, method, path, body, status, because);
    }
    for method in ["POST", "DELETE"] {
        let answer = Request::new(method, "sys/auth/userpass").send(&server.address);
        assert_eq!(answer.status, 403, "{method} without a token");
    }
    assert_eq!(server.ask("DELETE", "sys/auth/kv", "").status, 204, "there is no auth method kv/");
    assert_eq!(server.ask("GET", "sys/mounts/kv", "").status, 200, "and the secrets engine of that name stays");
    assert_eq!(server.ask("GET", "sys/auth/userpass", "").status, 200);
}

#[test]
fn a_login_says_who_it_was_and_gives_no_token() {
    let (_world, server) = server();
    server.ask("PUT", "auth/userpass/users/ada", r#"{"password":"hush","policies":["b","A","b"],"ttl":"9000h"}"#);
    let log_in = |password: &str| {
        let body = format!(r#"{{"password":{password:?}}}"#);
        Request::new("POST", "auth/userpass/login/ada").body(body).send(&server.address)
    };
    let answer = log_in("hush");
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    let expected = json!({
        "request_id": json["request_id"],
        "lease_id": "",
        "renewable": false,
        "lease_duration": 0,
        "data": null,
        "wrap_info": null,
        "warnings": [
            "TTL of \"9000h0m0s\" exceeded the effective max_ttl of \"768h0m0s\"; TTL value is capped accordingly",
            "the login succeeded, but this version issues no tokens yet: client_token and accessor are empty",
        ],
        "auth": {
            "client_token": "",
            "accessor": "",
            "policies": ["a", "b", "default"],
            "token_policies": ["a", "b", "default"],
            "metadata": {"username": "ada"},
            "lease_duration": 2_764_800,
            "renewable": true,
            "entity_id": "",
            "token_type": "service",
            "orphan": true,
            "mfa_requirement": null,
            "num_uses": 0,
        },
    });
    assert_eq!(json, expected);
    let wrong = log_in("wrong");
    assert_eq!((wrong.status, wrong.errors().as_str()), (400, "invalid username or password"));
    let closed = Request::new("GET", "auth/userpass/users/ada").send(&server.address);
    assert_eq!((closed.status, closed.errors().as_str()), (403, "permission denied"));
    assert_eq!(server.ask("GET", "auth/userpass/again", "").status, 502, "a login where none may be");
    server.ask("POST", "sys/auth/userpass/tune", r#"{"token_type":"default-batch"}"#);
    let batch = log_in("hush").json()["auth"].take();
    assert_eq!((&batch["token_type"], &batch["renewable"]), (&json!("batch"), &json!(false)));
    assert!(!server.log().contains("hush"), "the password is in the log");
}

#[test]
fn auth_methods_are_there_after_a_restart() {
    let world = World::new();
    world.add_plugin("login", &login());
    let server = world.first_server();
    let token = server.token.clone();
    let digest = sha256(&world.path("plugins/login"));
    for typed in [
        &["plugin", "register", &format!("-sha256={digest}"), "auth", "login"][..],
        &["auth", "enable", "-token-type=batch", "login"],
        &["write", "auth/login/users/ada", "password=x"],
    ] {
        world.succeed(&server, typed);
    }
    let before = server.ask("GET", "sys/auth", "").json()["data"].take();
    drop(server.stop());
    let server = world.next_server(&token);
    assert_eq!(world.run(&server, &["write", "auth/login/login/ada", "password=x"]).exit, 0);
    assert_eq!(server.ask("GET", "sys/auth", "").json()["data"], before);
}
