//! What a stranger can find out, and what a token that nobody knows closes.

use crate::http::{Request, read};
use crate::program::World;

#[test]
fn a_stranger_learns_of_no_mount() {
    let world = World::new();
    let server = world.dev_server();
    world.mount_passthrough(&server, &["kv"]);
    for method in ["GET", "LIST", "DELETE", "PUT", "POST", "PATCH", "OPTIONS", "HEAD"] {
        let ask = |path: &str| {
            let request = Request::new(method, path).header("Content-Type", "application/merge-patch+json");
            let answer = request.send(&server.address);
            (answer.status, answer.body)
        };
        let told = ask("kv/a");
        assert_eq!(told.0, 403, "{method}");
        for path in ["nowhere/a", "auth/nowhere/a", "nowhere", "kv/", "nowhere/"] {
            assert_eq!(ask(path), told, "{method} {path}");
        }
    }
}

/// What is wrong with a request is said where it would have been read, and nowhere else: also of a mount that has not
/// started.
#[test]
fn a_stranger_learns_of_no_mount_that_sleeps() {
    let world = World::new();
    let server = world.first_server();
    world.mount_passthrough(&server, &["kv"]);
    world.succeed(&server, &["auth", "enable", "userpass"]);
    let token = server.token.clone();
    drop(server.stop());
    let server = world.next_server(&token);
    let ask = |path: &str, body: &str| Request::new("POST", path).body(body).send(&server.address).status;
    assert_eq!((ask("kv/a", "{"), ask("nowhere/a", "{")), (403, 403));
    assert_eq!((ask("auth/userpass/users/a", "{"), ask("auth/nowhere/a", "{")), (403, 403));
    assert_eq!(ask("auth/userpass/login/a", "{"), 400);
}

#[test]
fn a_token_that_nobody_knows_closes_nothing_that_is_open() {
    let world = World::new();
    let server = world.dev_server();
    world.mount_passthrough(&server, &["kv"]);
    let ask = |path: &str| Request::new("GET", path).token("stale").send(&server.address).status;
    for (path, status) in [
        ("sys/health", 200),
        ("sys/seal-status", 200),
        ("sys/leader", 200),
        ("sys/internal/ui/mounts", 200),
        ("sys/mounts", 403),
        ("kv/a", 403),
        ("nowhere/a", 403),
    ] {
        assert_eq!(ask(path), status, "{path}");
    }
}

#[test]
fn an_empty_segment_is_left_out_by_a_redirect() {
    let world = World::new();
    let server = world.dev_server();
    for (path, clean) in [("sys//health", "/v1/sys/health"), ("kv/a%2f/b?x=1", "/v1/kv/a/b?x=1")] {
        let answer = read(Request::new("GET", path).begin(&server.address));
        assert_eq!(answer.status, 307, "{answer:?}");
        assert!(answer.headers.contains(&format!("location: {clean}")), "{answer:?}");
    }
}
