//! Native plugins of our SDK run in a host that knows nothing of ours: one built on Vault's own client,
//! `tests/guests/go/stockhost`.
//!
//! A row is an order to the host and its whole answer. What the contract's table says of a plugin is said here too
//! where Vault's protocol carries it; statuses are those that Vault answers with.

#[path = "support/go.rs"]
mod go;
#[path = "support/guests.rs"]
mod guests;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

/// An order, and what comes of it.
type Row = (Value, Value);

const EXAMPLES: &str = "guest-examples";
const GUESTS: &str = "tests/guests";

#[test]
fn a_plugin_does_in_a_stock_host_what_the_contract_says() {
    let setup = json!({ "op": "setup", "mount": "m", "config": { "color": "red" } });
    let request = json!({
        "op": "update", "mount": "m", "path": "seen/a", "data": { "k": ["v"] }, "headers": { "x-allowed": ["one", "two"] },
        "display_name": "ada", "entity_id": "entity-1", "accessor": "accessor-1", "address": "192.0.2.1",
    });
    // Vault's protocol says nothing of policies.
    let seen = json!({
        "operation": "update", "path": "seen/a", "has_id": true, "data": { "k": ["v"] }, "mount_path": "m/",
        "options": [["color", "red"]], "ttls": [3600, 86400], "policies": [],
        "caller": ["ada", "entity-1", "accessor-1", "192.0.2.1"], "headers": [["one", "two"], []],
    });
    let lease = json!({ "ttl": 60, "max_ttl": 120, "renewable": true, "internal": { "id": 7 } });
    let mut rows = vec![
        (setup, json!({ "multiplexed": true })),
        (order("initialize", "m"), json!({})),
        (order("type", "m"), json!({ "type": "secret" })),
        (order("version", "m"), json!({ "version": "v1.2.3" })),
        (order("special-paths", "m"), open("open/*")),
        (request, json!({ "data": seen })),
        (exists("kv/a"), json!({ "known": true, "exists": false })),
        (write("create", "kv/a", json!({ "v": 1 })), data(json!({ "operation": "create" }))),
        (exists("kv/a"), json!({ "known": true, "exists": true })),
        (exists("say/nothing"), json!({ "known": false, "exists": false })),
        (write("patch", "kv/a", json!({ "v": 2 })), data(json!({ "operation": "patch" }))),
        (ask("read", "kv/a"), data(json!({ "v": 2 }))),
        (ask("list", "kv/"), data(json!({ "keys": ["a", "starts"] }))),
        (ask("delete", "kv/a"), json!({})),
        (ask("read", "kv/a"), json!({ "status": 404 })),
        (ask("read", "say/nothing"), json!({ "status": 404 })),
        (ask("read", "say/lease"), json!({ "data": { "said": "lease" }, "secret": lease })),
        (ask("read", "say/redirect"), json!({ "data": null, "redirect": "https://example.com/elsewhere" })),
        (ask("read", "say/warning"), json!({ "data": { "said": "warning" }, "warnings": ["mind the step"] })),
        (
            ask("read", "say/headers"),
            json!({ "data": { "said": "headers" }, "headers": { "X-Allowed": ["yes"], "Set-Cookie": ["no"] } }),
        ),
        // Vault's own names for a raw body, which goes over the wire in base64.
        (
            ask("read", "say/raw"),
            data(json!({
                "http_status_code": 418, "http_content_type": "text/tea", "http_raw_body": "c2hvcnQgYW5kIHN0b3V0",
            })),
        ),
        (renewal("renew"), data(json!({ "operation": "renew", "lease": { "id": 7 } }))),
        (renewal("revoke"), data(json!({ "operation": "revoke", "lease": { "id": 7 } }))),
        (ask("help", "kv/a"), data(json!({ "help": "about \"kv/a\"", "see_also": "" }))),
        (order("invalidate", "m"), json!({})),
        // Vault takes only this answer for "there is nothing to roll back".
        (ask("rollback", ""), failed(405, "unsupported operation")),
    ];
    // The storage of this host has no transactions, as Vault's has none.
    for story in ["commit", "abandon", "conflict", "retry", "snapshot"] {
        let unavailable = "storage is unavailable: this host's storage has no transactions";
        rows.push((ask("read", &format!("tx/{story}")), failed(503, unavailable)));
    }
    check("probe", "secret", GUESTS, &rows);
}

/// The probe reads its storage when it is set up.
#[test]
fn a_plugin_says_what_it_is_before_it_has_storage() {
    let rows = [
        (json!({ "op": "setup", "mount": "m", "nowhere": true }), json!({ "multiplexed": true })),
        (order("type", "m"), json!({ "type": "secret" })),
        (order("version", "m"), json!({ "version": "v1.2.3" })),
        (order("special-paths", "m"), open("open/*")),
    ];
    check("probe", "secret", GUESTS, &rows);
}

#[test]
fn each_error_has_vaults_status() {
    let mut rows = vec![(order("setup", "m"), json!({ "multiplexed": true }))];
    for (how, status, text) in [
        ("operation", 405, "unsupported operation"),
        ("path", 404, "unsupported path"),
        ("not-found", 404, "because of not-found"),
        ("conflict", 409, "because of conflict"),
        ("unavailable", 503, "because of unavailable"),
        ("internal", 500, "because of internal"),
    ] {
        rows.push((ask("read", &format!("fail/{how}")), failed(status, text)));
    }
    // What Vault shows of these two is in the response.
    for (how, status) in [("denied", 403), ("invalid", 400)] {
        rows.push((ask("read", &format!("fail/{how}")), declined(status, &format!("because of {how}"))));
    }
    // The instance lives on after all of them.
    rows.push((ask("read", "memory"), data(json!({ "reads": 1 }))));
    check("probe", "secret", GUESTS, &rows);
}

#[test]
fn two_mounts_in_one_process_are_not_mixed() {
    let at = |mount: &str, operation: &str, path: &str, data: Value| json!({ "op": operation, "mount": mount, "path": path, "data": data });
    let reads = |mount: &str| at(mount, "read", "memory", json!({}));
    let rows = [
        (order("setup", "m"), json!({ "multiplexed": true })),
        (order("initialize", "m"), json!({})),
        (order("setup", "n"), json!({ "multiplexed": true })),
        (order("initialize", "n"), json!({})),
        (at("m", "create", "kv/a", json!({ "at": "m" })), data(json!({ "operation": "create" }))),
        (at("n", "read", "kv/a", json!({})), json!({ "status": 404 })),
        (at("n", "create", "kv/b", json!({ "at": "n" })), data(json!({ "operation": "create" }))),
        (order("keys", "m"), json!({ "keys": ["a", "starts"] })),
        (order("keys", "n"), json!({ "keys": ["b", "starts"] })),
        (reads("m"), data(json!({ "reads": 1 }))),
        (reads("m"), data(json!({ "reads": 2 }))),
        (reads("n"), data(json!({ "reads": 1 }))),
        (order("cleanup", "m"), json!({})),
        (reads("m"), json!({ "error": "nothing is mounted at \"m\"" })),
        (reads("n"), data(json!({ "reads": 2 }))),
        (at("n", "read", "kv/b", json!({})), data(json!({ "at": "n" }))),
        // Mounted anew, it begins anew.
        (order("setup", "m"), json!({ "multiplexed": true })),
        (reads("m"), data(json!({ "reads": 1 }))),
        (order("keys", "m"), json!({ "keys": null })),
    ];
    check("probe", "secret", GUESTS, &rows);
}

#[test]
fn an_auth_method_lets_in_and_renews() {
    let let_in = json!({
        "policies": ["Readers", "admins"], "display_name": "ada", "metadata": { "username": "ada" }, "alias": "ada",
        "ttl": 3600, "max_ttl": 0, "period": 0, "renewable": true, "internal": { "name": "ada" },
        "entity_id": "", "num_uses": 0, "no_default_policy": false,
    });
    let renewed = |name: &str| json!({ "op": "renew", "mount": "m", "path": "login", "auth": { "name": name } });
    let user = json!({ "password": "hush", "policies": ["Readers", "admins"], "ttl": "1h" });
    let rows = [
        (order("setup", "m"), json!({ "multiplexed": true })),
        (order("initialize", "m"), json!({})),
        (order("type", "m"), json!({ "type": "auth" })),
        (order("version", "m"), json!({ "version": "v1.0.0" })),
        (order("special-paths", "m"), open("login/*")),
        (write("update", "users/ada", user), json!({})),
        (ask("read", "users/ada"), data(json!({ "policies": ["Readers", "admins"], "ttl": 3600 }))),
        (write("update", "login/ada", json!({ "password": "hush" })), json!({ "data": null, "auth": let_in })),
        (write("update", "login/ada", json!({ "password": "wrong" })), declined(400, "invalid username or password")),
        (renewed("ada"), json!({ "data": null, "auth": let_in })),
        (renewed("eve"), declined(400, "user is gone")),
    ];
    check("login", "auth", GUESTS, &rows);
}

#[test]
fn the_examples_run_too() {
    let started = || [(order("setup", "m"), json!({ "multiplexed": true })), (order("initialize", "m"), json!({}))];
    let deep = json!({ "user": "ada", "n": { "deep": [1, null, "ü"] } });
    let passthrough = [
        (exists("a"), json!({ "known": true, "exists": false })),
        (write("create", "a", deep.clone()), json!({})),
        (ask("read", "a"), data(deep)),
        (write("update", "a", json!({})), declined(400, "missing data fields")),
        (ask("list", ""), data(json!({ "keys": ["a"] }))),
        (ask("delete", "a"), json!({})),
        (ask("read", "a"), json!({ "status": 404 })),
    ];
    check("passthrough", "secret", EXAMPLES, &[&started()[..], &passthrough].concat());

    // It counts in a transaction.
    let unavailable = failed(503, "storage is unavailable: this host's storage has no transactions");
    let counter = [
        (ask("read", "volatile"), data(json!({ "count": 1 }))),
        (ask("read", "volatile"), data(json!({ "count": 2 }))),
        (ask("read", "total"), data(json!({ "count": 0 }))),
        (write("update", "total", json!({ "by": 5 })), unavailable),
    ];
    check("counter", "secret", EXAMPLES, &[&started()[..], &counter].concat());

    let hello = [
        (ask("read", "greet/ada"), data(json!({ "greeting": "hello, ada" }))),
        (write("update", "greet/ada", json!({})), failed(405, "unsupported operation")),
        (ask("read", "insult/ada"), failed(404, "unsupported path")),
    ];
    check("hello", "secret", EXAMPLES, &[&started()[..], &hello].concat());
}

// -------------------------------------------------------------------------------------------------------------------
// orders

fn order(what: &str, mount: &str) -> Value {
    json!({ "op": what, "mount": mount })
}

fn ask(operation: &str, path: &str) -> Value {
    json!({ "op": operation, "mount": "m", "path": path })
}

fn write(operation: &str, path: &str, data: Value) -> Value {
    json!({ "op": operation, "mount": "m", "path": path, "data": data })
}

fn exists(path: &str) -> Value {
    ask("exists", path)
}

fn renewal(operation: &str) -> Value {
    json!({ "op": operation, "mount": "m", "path": "say/lease", "secret": { "id": 7 } })
}

// ------------------------------------------------------------------------------------------------------------------
// answers

fn data(data: Value) -> Value {
    json!({ "data": data })
}

fn failed(status: u16, text: &str) -> Value {
    json!({ "status": status, "error": text })
}

/// A failure whose text is in a response, as Vault has it for what the client may read.
fn declined(status: u16, text: &str) -> Value {
    json!({ "status": status, "error": text, "data": { "error": text } })
}

/// A path that needs no token, and none that is special otherwise.
fn open(path: &str) -> Value {
    json!({ "paths": {
        "Unauthenticated": [path], "Root": null, "LocalStorage": null, "SealWrapStorage": null,
        "WriteForwardedStorage": null, "Binary": null, "Limited": null, "AllowSnapshotRead": null,
    } })
}

// --------------------------------------------------------------------------------------------------------------- the
// host

/// Plays rows in a stock host of their own, in order.
#[track_caller]
fn check(plugin: &str, kind: &str, workspace: &str, rows: &[Row]) {
    let go::Built::Yes(host) = go::build("stockhost").expect("the stock host builds") else {
        println!("left out, for want of Go: {plugin} in a stock host");
        return;
    };
    let built = guests::build_native(workspace).expect("the plugins build");
    let mut child = Command::new(host)
        .args(["-name", plugin, "-type", kind])
        .arg(built.join(format!("{plugin}-native")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the stock host starts");
    let script: String = rows.iter().map(|(order, _)| format!("{order}\n")).collect();
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    // It answers while it still reads.
    let writing = thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().expect("the stock host ends");
    writing.join().expect("nothing panics").expect("the stock host reads its script");
    assert!(output.status.success(), "{plugin}: the stock host ends with {}", output.status);

    let answers = String::from_utf8(output.stdout).expect("answers are text");
    let answers: Vec<Value> =
        answers.lines().map(|line| serde_json::from_str(line).expect("an answer is JSON")).collect();
    assert_eq!(answers.len(), rows.len(), "{plugin}: {answers:?}");
    for ((order, expected), mut answer) in rows.iter().zip(answers) {
        answer.as_object_mut().expect("an answer is an object").remove("op");
        assert_eq!(answer, *expected, "{plugin}: {order}");
    }
}
