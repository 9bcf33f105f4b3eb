//! What outlives a server: everything that was stored, and nothing that was not; and what a server does when plugin
//! files or the disk fail it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::http::Request;
use crate::program::{DEADLINE, Server, World, passthrough, sha256};

/// Registers a plugin under a file's name, and mounts it at a path.
fn mount(world: &World, server: &Server, plugin: &str, path: &str) {
    let digest = sha256(&world.path("plugins").join(plugin));
    world.succeed(server, &["plugin", "register", &format!("-sha256={digest}"), "secret", plugin]);
    world.succeed(server, &["secrets", "enable", &format!("-path={path}"), plugin]);
    world.succeed(server, &["write", &format!("{path}/a"), "b=c"]);
}

fn data(server: &Server, path: &str) -> Value {
    server.ask("GET", path, "").json()["data"].clone()
}

#[test]
fn everything_is_there_after_a_restart() {
    let world = World::new();
    let server = world.first_server();
    let token = server.token.clone();
    mount(&world, &server, "passthrough-plugin", "kv");
    world.succeed(&server, &["secrets", "tune", "-description=for ada", "-default-lease-ttl=1h", "kv"]);
    world.succeed(&server, &["secrets", "move", "kv", "team/kv"]);
    let before = [data(&server, "sys/mounts"), data(&server, "sys/plugins/catalog"), data(&server, "team/kv/a")];
    let (status, _, _) = server.stop();
    assert_eq!(status.code(), Some(0));

    let server = world.next_server(&token);
    assert_eq!(data(&server, "team/kv/a"), json!({"b": "c"}), "the token holds, and the data is there");
    let after = [data(&server, "sys/mounts"), data(&server, "sys/plugins/catalog"), data(&server, "team/kv/a")];
    assert_eq!(after, before);
    let (status, said, log) = server.stop();
    assert_eq!(status.code(), Some(0));
    assert!(!said.iter().any(|line| line.contains("Root Token")), "the token is shown once: {said:?}");
    assert!(!log.contains(&token), "the token is in the log");
}

#[test]
fn a_configuration_may_be_json() {
    let world = World::new();
    let configuration = json!({
        "plugin_directory": world.text("plugins"),
        "storage": {"file": {"path": world.text("store")}},
        "listener": [{"tcp": {"address": "127.0.0.1:0", "tls_disable": true}}],
        "log_format": "json",
    });
    let path = world.write("server.json", &configuration.to_string());
    let server = Server::start(world.server_command(&path));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    mount(&world, &server, "passthrough-plugin", "kv");
    let (status, _, log) = server.stop();
    assert_eq!(status.code(), Some(0));
    assert!(log.lines().count() > 0);
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line}");
    }
    assert_eq!(data(&world.next_server(&token), "kv/a"), json!({"b": "c"}), "the other spelling opens the same store");
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    let world = World::new();
    let server = world.first_server();
    mount(&world, &server, "passthrough-plugin", "kv");
    let body = br#"{"last":"words"}"#;
    let request = Request::new("PUT", "kv/last").token(&server.token).header("Expect", "100-continue");
    let stream = request.header("Content-Length", &body.len().to_string()).begin(&server.address);
    // The server asks for the body: now the request is in its hands.
    let mut answer = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    answer.read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");

    server.signal("TERM");
    let (host, until) = (server.address.strip_prefix("http://").unwrap(), Instant::now() + DEADLINE);
    while TcpStream::connect(host).is_ok() {
        assert!(Instant::now() < until, "the server goes on accepting connections");
        std::thread::yield_now();
    }
    let mut stream = stream;
    stream.write_all(body).unwrap();
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("HTTP/1.1 204"), "{rest}");

    let token = server.token.clone();
    let (status, _, _) = server.ended();
    assert_eq!(status.code(), Some(0));
    assert_eq!(data(&world.next_server(&token), "kv/last"), json!({"last": "words"}));
}

#[test]
fn a_store_has_one_server() {
    let world = World::new();
    let server = world.first_server();
    let (exit, log) = Server::refused(world.server_command(&world.configuration("")));
    assert_eq!(exit, 1, "{log}");
    for part in ["cofferdam.redb", "another process", "has it open"] {
        assert!(log.contains(part), "{log} should say {part:?}");
    }
    assert_eq!(server.ask("GET", "sys/mounts", "").status, 200, "the first one is unharmed");
}

#[test]
fn a_plugin_whose_file_is_gone_or_changed_disables_its_mount_alone() {
    let world = World::new();
    world.add_plugin("gone-plugin", &passthrough());
    world.add_plugin("changed-plugin", &passthrough());
    let server = world.first_server();
    let token = server.token.clone();
    for (plugin, path) in [("passthrough-plugin", "good"), ("gone-plugin", "gone"), ("changed-plugin", "changed")] {
        mount(&world, &server, plugin, path);
    }
    server.stop();
    std::fs::remove_file(world.path("plugins/gone-plugin")).unwrap();
    world.add_plugin("changed-plugin", &[passthrough(), vec![0, 1, 0]].concat());
    let found = sha256(&world.path("plugins/changed-plugin"));

    let server = world.next_server(&token);
    assert_eq!(data(&server, "good/a"), json!({"b": "c"}));
    for (path, because) in [("gone", "there is no file \"gone-plugin\""), ("changed", &*found)] {
        let answer = server.ask("GET", &format!("{path}/a"), "");
        assert_eq!(answer.status, 503, "{answer:?}");
        let errors = answer.errors();
        assert!(errors.contains(&format!("the mount {path}/ is disabled: ")) && errors.contains(because), "{errors}");
        assert!(answer.headers.contains("retry-after"), "{}", answer.headers);

        let shown = data(&server, &format!("sys/mounts/{path}"));
        assert_eq!(shown["state"], "disabled");
        assert!(shown["state_reason"].as_str().is_some_and(|reason| reason.contains(because)), "{shown}");
        let listed = world.succeed(&server, &["secrets", "list", "-detailed"]);
        let told = listed.lines().find(|line| line.starts_with(&format!("{path}/ ")));
        assert!(told.is_some_and(|line| line.contains("disabled: ") && line.contains(because)), "{listed}");
    }
    // Whoever gives the mount up gets rid of it; whoever mends the file gets it back.
    world.succeed(&server, &["secrets", "disable", "gone"]);
    server.stop();
    world.add_plugin("changed-plugin", &passthrough());
    let server = world.next_server(&token);
    assert_eq!(data(&server, "changed/a"), json!({"b": "c"}));
    assert_eq!(server.ask("GET", "gone/a", "").status, 404);
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let world = World::new();
    let server = world.first_server();
    let token = server.token.clone();
    mount(&world, &server, "passthrough-plugin", "kv");
    server.stop();

    // The limit on the size of files stands in for the disk. The signal would end the process instead of failing the
    // write.
    let mut command = world.program_after("trap '' XFSZ; ulimit -S -f 24000");
    command.arg("server").arg(format!("-config={}", world.configuration("")));
    let server = Server::start(command).with_token(&token);
    let body = format!(r#"{{"value":"{}"}}"#, "x".repeat(700_000));
    let stored = |number: usize| format!("kv/fill/{number}");
    let refused = (0..100).find(|number| server.ask("PUT", &stored(*number), &body).status != 204);
    let refused = refused.expect("the disk is full at last");
    assert!(refused > 0, "there was no room at all: {}", server.log());

    let answer = server.ask("PUT", &stored(refused), &body);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.errors().contains("the storage failed"), "{answer:?}");
    assert_eq!(data(&server, "kv/a"), json!({"b": "c"}));
    assert_eq!(data(&server, &stored(refused - 1))["value"].as_str().map(str::len), Some(700_000));
    assert_eq!(server.ask("GET", &stored(refused), "").status, 404, "a refused write is not there");
    assert_eq!(server.ask("GET", "sys/mounts", "").status, 200);
    assert_eq!(Request::new("GET", "sys/health").send(&server.address).status, 200);

    let lifted = Command::new("prlimit").args(["--pid", &server.pid(), "--fsize=unlimited:unlimited"]).status();
    assert!(lifted.expect("prlimit, of util-linux, is there").success());
    assert_eq!(server.ask("PUT", &stored(refused), &body).status, 204, "there is room again");
    assert_eq!(server.stop().0.code(), Some(0));
}
