//! Clients that leave, and servers that do: work that nobody waits for ends, and nothing else does.
//!
//! The plugin has one instance and its requests an hour, so that only what was given up makes room for the next.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::http::Request;
use crate::http2::Connection;
use crate::program::{Server, World, hostile, sha256};

/// What the plugin does for ever, and what it says before.
const ENDLESS: [(&str, &str); 2] = [("sleep", "asleep"), ("spin-aloud", "spinning")];

fn server(world: &World, more: &str) -> Server {
    world.add_plugin("hostile-plugin", &hostile());
    let limits = format!("limits {{\n  request_deadline = \"1h\"\n{more}}}\n");
    let server = Server::start(world.server_command(&world.configuration(&limits)));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    let digest = sha256(&world.path("plugins/hostile-plugin"));
    world.succeed(&server, &["plugin", "register", &format!("-sha256={digest}"), "secret", "hostile-plugin"]);
    world.succeed(&server, &["secrets", "enable", "-path=bad", "hostile-plugin"]);
    server
}

fn begin(server: &Server, what: &str) -> TcpStream {
    Request::new("GET", &format!("bad/{what}")).token(&server.token).begin(&server.address)
}

/// Asks the plugin how many requests this instance has counted. It answers at once, or not before the one instance is
/// free.
#[track_caller]
fn answers_from_a_fresh_sandbox(server: &Server) {
    let answer = server.ask("GET", "bad/count", "");
    assert_eq!((answer.status, answer.json()["data"]["count"].as_u64()), (200, Some(1)), "{answer:?}");
}

#[test]
fn who_closes_the_connection_ends_the_work() {
    let world = World::new();
    let server = server(&world, "");
    for (what, says) in ENDLESS {
        let stream = begin(&server, what);
        server.logs(says, 1);
        drop(stream);
        answers_from_a_fresh_sandbox(&server);
    }
}

#[test]
fn who_cancels_a_stream_ends_its_work() {
    let world = World::new();
    let server = server(&world, "");
    let mut connection = Connection::open(&server.address, &server.token);
    for (turn, (what, says)) in (0..).zip(ENDLESS) {
        let stream = 1 + 4 * turn;
        connection.begin(stream, &format!("bad/{what}"));
        server.logs(says, 1);
        connection.cancel(stream);
        connection.begin(stream + 2, "bad/count");
        let body = connection.body(stream + 2);
        assert!(body.contains("\"count\":1"), "{body}");
    }
    // All streams of a connection end with it.
    for (times, (what, says)) in [(2, ENDLESS[0]), (2, ENDLESS[1])] {
        let mut connection = Connection::open(&server.address, &server.token);
        connection.begin(1, &format!("bad/{what}"));
        server.logs(says, times);
        drop(connection);
        answers_from_a_fresh_sandbox(&server);
    }
}

/// What does not end by itself does not keep the server.
#[test]
fn a_server_ends_within_its_drain_limit() {
    for (what, says) in ENDLESS {
        let world = World::new();
        let server = server(&world, "  drain_deadline = \"1s\"\n");
        let mut stream = begin(&server, what);
        server.logs(says, 1);
        server.signal("TERM");
        let told = Instant::now();
        let (status, _, log) = server.ended();
        assert_eq!(status.code(), Some(0), "{log}");
        // The limit holds for operations, requests and programs one after another, and a busy machine takes its time.
        assert!(told.elapsed() < Duration::from_secs(30), "{:?}", told.elapsed());
        let mut answer = Vec::new();
        // Closed or reset, but not answered.
        drop(stream.read_to_end(&mut answer));
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    }
}
