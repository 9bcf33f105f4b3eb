//! Requests that must be refused: what is said, and that nothing comes of them.

use std::io::Write as _;

use crate::http::{Request, read};
use crate::program::{Server, World};

const REQUEST_BYTES_MAX: usize = 32 << 20;

fn server() -> (World, Server) {
    let world = World::new();
    let server = world.dev_server();
    world.mount_passthrough(&server, &["kv", "team/a"]);
    (world, server)
}

#[track_caller]
fn refused(server: &Server, method: &str, path: &str, body: &str, status: u16, because: &str) {
    let answer = server.ask(method, path, body);
    assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
    let errors = answer.errors();
    assert!(errors.contains(because), "{method} {path}: {errors:?} should say {because:?}");
}

#[test]
fn malformed_json_is_refused() {
    let (_world, server) = server();
    for (body, because) in [
        ("{", "error parsing JSON"),
        (r#"{"a":}"#, "error parsing JSON"),
        ("[1]", "expected an object"),
        ("\"text\"", "expected an object"),
        (r#"{"a":1} {}"#, "trailing characters"),
    ] {
        for path in ["kv/a", "sys/mounts/x", "sys/plugins/catalog/secret/x", "sys/remount"] {
            refused(&server, "POST", path, body, 400, because);
        }
    }
    refused(&server, "POST", "sys/mounts/x", r#"{"type":{}}"#, 400, "\"type\" must be a string");
    refused(&server, "POST", "sys/mounts/x", "{}", 400, "backend type must be specified as a string");
}

#[test]
fn bodies_of_33_mib_are_refused() {
    let (_world, server) = server();
    let request = || Request::new("PUT", "kv/a").token("root");
    // One that says how large it is need not be sent.
    let announced = request().header("Content-Length", &(33 << 20).to_string()).begin(&server.address);
    let answer = read(announced);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.errors().contains("request body too large"), "{answer:?}");

    let mut stream = request().header("Transfer-Encoding", "chunked").begin(&server.address);
    write!(stream, "{:x}\r\n", REQUEST_BYTES_MAX + 1).unwrap();
    stream.write_all(&vec![b' '; REQUEST_BYTES_MAX + 1]).unwrap();
    assert_eq!(read(stream).status, 413);
    assert_eq!(server.ask("PUT", "kv/a", r#"{"b":"c"}"#).status, 204, "the next request is served");
}

#[test]
fn what_a_stranger_sends_is_refused_unread() {
    let (_world, server) = server();
    for path in ["kv/a", "sys/mounts/x", "nowhere"] {
        // The body is announced and never comes: only an answer that does not wait for it can come at all.
        let sending = Request::new("PUT", path).header("Content-Length", "1000").begin(&server.address);
        assert_eq!(read(sending).status, 403, "{path}");
    }
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    let (_world, server) = server();
    for path in [
        "kv/../sys/mounts",
        "kv/%2e%2e/a",
        "kv/.%2E/a",
        "kv%2f..%2fa",
        "kv/./a",
        "kv/a%00",
        "kv/a%0a",
        "kv/a%0d%0aX-Vault-Token: root",
        "kv/a%7f",
        "kv/%c2%85",
        "kv/a%ff",
        "kv/a%",
        "sys/mounts/..%2fx",
    ] {
        for (method, body) in [("GET", ""), ("PUT", r#"{"b":"c"}"#), ("DELETE", "")] {
            let answer = server.ask(method, path, body);
            assert_eq!(answer.status, 400, "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(server.ask("LIST", "kv", "").status, 404, "nothing was stored");
    // What is no way up is a name like any other.
    for path in ["kv/...", "kv/a..b", "kv/%252e%252e", "kv/%C3%BC%20x"] {
        assert_eq!(server.ask("PUT", path, r#"{"b":"c"}"#).status, 204, "{path}");
        assert_eq!(server.ask("GET", path, "").status, 200, "{path}");
    }
}

#[test]
fn no_mount_lies_below_another() {
    let (_world, server) = server();
    let body = r#"{"type":"passthrough-plugin"}"#;
    for (path, status, because) in [
        ("kv", 400, "path is already in use at kv/"),
        ("kv/", 400, "cannot write to a path ending in '/'"),
        ("kv/below", 400, "existing mount at kv/"),
        ("team", 400, "existing mount at team/a/"),
        ("team/a/b/c", 400, "existing mount at team/a/"),
        ("sys", 400, "cannot mount \"sys/\""),
        ("sys/x", 400, "cannot mount \"sys/x/\""),
        ("auth/x", 400, "cannot mount \"auth/x/\""),
        ("cubbyhole", 400, "cannot mount"),
        ("identity/x", 400, "cannot mount"),
        ("audit", 400, "cannot mount"),
        ("a%20/b", 400, "whitespace"),
    ] {
        refused(&server, "POST", &format!("sys/mounts/{path}"), body, status, because);
    }
    for (from, to, status, because) in [
        ("kv", "team/a", 400, "path is already in use at team/a/"),
        ("kv", "team/a/b", 400, "existing mount at team/a/"),
        ("kv", "team", 400, "existing mount at team/a/"),
        ("none", "x", 400, "no matching mount at none/"),
        ("kv", "sys/x", 400, "cannot remount to \"sys/x/\""),
        ("sys", "x", 400, "cannot remount \"sys/\""),
    ] {
        let body = format!(r#"{{"from":{from:?},"to":{to:?}}}"#);
        refused(&server, "POST", "sys/remount", &body, status, because);
    }
    refused(&server, "DELETE", "sys/mounts/sys", "", 400, "cannot unmount \"sys/\"");
    let mounts = server.ask("GET", "sys/mounts", "").json();
    let paths: Vec<_> = mounts["data"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["kv/", "sys/", "team/a/"]);
    // A neighbour with a longer name is none below.
    assert_eq!(server.ask("POST", "sys/mounts/kv2", body).status, 204);
    assert_eq!(server.ask("POST", "sys/mounts/team/ab", body).status, 204);
}

#[test]
fn of_many_who_mount_at_one_path_at_once_one_does() {
    let (_world, server) = server();
    let body = r#"{"type":"passthrough-plugin"}"#;
    let paths = ["new", "new/below", "new/below/deeper"].repeat(4);
    let address = server.address.as_str();
    let mut answers: Vec<u16> = std::thread::scope(|scope| {
        let mount = |path: &str| {
            let request = Request::new("POST", &format!("sys/mounts/{path}")).token("root").body(body);
            scope.spawn(move || request.send(address).status)
        };
        let mounting: Vec<_> = paths.iter().map(|path| mount(path)).collect();
        mounting.into_iter().map(|mounting| mounting.join().unwrap()).collect()
    });
    answers.sort_unstable();
    assert_eq!(answers[0], 204, "{answers:?}");
    let mounts = server.ask("GET", "sys/mounts", "").json();
    let mounted: Vec<_> = mounts["data"].as_object().unwrap().keys().filter(|path| path.starts_with("new/")).collect();
    assert_eq!(mounted.len(), 1, "{mounted:?}");
    // Who came while the path was changing may come again; who came later hears that it is taken.
    assert!(answers[1..].iter().all(|status| matches!(status, 400 | 503)), "{answers:?}");
}

#[test]
fn what_is_not_there_is_named() {
    let (_world, server) = server();
    for (method, path, status, because) in [
        ("GET", "nowhere/a", 404, "no handler for route \"nowhere/a\""),
        ("GET", "sys/nonsense", 404, "no handler for route \"sys/nonsense\""),
        ("GET", "sys/mounts/none", 400, "No secret engine mount at none/"),
        ("GET", "sys/mounts/none/tune", 400, "no mount at none/"),
        ("PATCH", "sys/mounts", 415, "merge-patch"),
        ("DELETE", "sys/mounts", 405, "unsupported operation"),
        ("OPTIONS", "kv/a", 405, "unsupported operation"),
    ] {
        refused(&server, method, path, "", status, because);
    }
}
