//! What a server keeps of what it compiled: the next one starts without a compiler, and believes nothing that was
//! tampered with.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Server, World, example, sha256};

const COMPILED: &str = "the component was compiled";
const CACHED: &str = "compiled code was taken from the compile cache";
const NOT_USED: &str = "a file in the compile cache is not used";

/// The plugins of these tests: different files, so different components.
const PLUGINS: [&str; 2] = ["passthrough-plugin", "greeter-plugin"];

fn world() -> World {
    let world = World::new();
    world.add_plugin("greeter-plugin", &[example("passthrough_plugin"), vec![0, 1, 0]].concat());
    world
}

fn command(world: &World, more: &str) -> Command {
    let mut command = world.server_command(&world.configuration(more));
    command.arg("-log-level=debug");
    command
}

/// Starts a server on a new store, and mounts the plugins at their own names.
fn first(world: &World, more: &str) -> Server {
    let server = Server::start(command(world, more));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    for plugin in PLUGINS {
        let digest = sha256(&world.path("plugins").join(plugin));
        world.succeed(&server, &["plugin", "register", &format!("-sha256={digest}"), "secret", plugin]);
        world.succeed(&server, &["secrets", "enable", plugin]);
        world.succeed(&server, &["write", &format!("{plugin}/a"), "b=c"]);
    }
    server
}

/// Starts the next server, has every plugin answer, and returns its log.
fn log_of_next(world: &World, token: &str, more: &str) -> String {
    let server = Server::start(command(world, more)).with_token(token);
    for plugin in PLUGINS {
        let answer = server.ask("GET", &format!("{plugin}/a"), "");
        assert_eq!((answer.status, answer.json()["data"]["b"].as_str()), (200, Some("c")), "{answer:?}");
    }
    let (status, _, log) = server.stop();
    assert_eq!(status.code(), Some(0));
    log
}

fn count(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

#[track_caller]
fn check(log: &str, compiled: usize, cached: usize, not_used: usize) {
    let found = (count(log, COMPILED), count(log, CACHED), count(log, NOT_USED));
    assert_eq!(found, (compiled, cached, not_used), "compiled, cached, not used: {log}");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_next_server_compiles_nothing() {
    let world = world();
    let server = first(&world, "");
    let token = server.token.clone();
    let (_, _, log) = server.stop();
    check(&log, 2, 0, 0);
    let kept = world.path("store/compiled");
    assert_eq!(files(&kept).len(), 2, "{log}");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o7777, 0o700);

    check(&log_of_next(&world, &token, ""), 0, 2, 0);
    check(&log_of_next(&world, &token, "compile_cache = false\n"), 2, 0, 0);
    let elsewhere = format!("compile_cache = {:?}\n", world.text("elsewhere"));
    check(&log_of_next(&world, &token, &elsewhere), 2, 0, 0);
    check(&log_of_next(&world, &token, &elsewhere), 0, 2, 0);
    assert_eq!(files(&world.path("elsewhere")).len(), 2);
}

#[test]
fn what_was_tampered_with_is_not_run() {
    let world = world();
    let server = first(&world, "");
    let token = server.token.clone();
    server.stop();
    let kept = files(&world.path("store/compiled"));
    let [one, other] = [0, 1].map(|index| std::fs::read(&kept[index]).unwrap());
    let replace = |file: &Path, bytes: &[u8]| {
        std::fs::remove_file(file).unwrap();
        std::fs::write(file, bytes).unwrap();
    };

    // A bit in the middle of each, which is machine code.
    for (file, bytes) in kept.iter().zip([&one, &other]) {
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        replace(file, &flipped);
    }
    let log = log_of_next(&world, &token, "");
    check(&log, 2, 0, 2);
    assert!(log.contains("not authentic"), "{log}");
    check(&log_of_next(&world, &token, ""), 0, 2, 0);

    // Each under the other's name, and whole.
    replace(&kept[0], &other);
    replace(&kept[1], &one);
    check(&log_of_next(&world, &token, ""), 2, 0, 2);

    replace(&kept[0], &one[..one.len() / 2]);
    check(&log_of_next(&world, &token, ""), 1, 1, 1);
    check(&log_of_next(&world, &token, ""), 0, 2, 0);
}

/// What one server kept is nothing to another with a store, and so a key, of its own.
#[test]
fn servers_with_different_keys_share_a_directory() {
    let (world, stranger) = (world(), world());
    let shared = format!("compile_cache = {:?}\n", world.text("shared"));
    let (server, strange) = (first(&world, &shared), first(&stranger, &shared));
    let (token, strange_token) = (server.token.clone(), strange.token.clone());
    server.stop();
    let (_, _, log) = strange.stop();
    check(&log, 2, 0, 0);
    assert_eq!(files(&world.path("shared")).len(), 4);
    check(&log_of_next(&world, &token, &shared), 0, 2, 0);
    check(&log_of_next(&stranger, &strange_token, &shared), 0, 2, 0);
}

#[test]
fn a_cache_that_cannot_be_used_is_a_warning() {
    let world = world();
    std::fs::create_dir(world.path("open")).unwrap();
    std::fs::set_permissions(world.path("open"), Permissions::from_mode(0o777)).unwrap();
    world.write("file", "");
    let open = format!("compile_cache = {:?}\n", world.text("open"));
    let server = first(&world, &open);
    let token = server.token.clone();
    let (_, _, log) = server.stop();
    check(&log, 2, 0, 0);
    assert_eq!(count(&log, "plugins are compiled again at each start"), 1, "{log}");
    assert!(log.contains("can be written by others (mode 0777)"), "{log}");
    assert_eq!(files(&world.path("open")).len(), 0);

    let file = format!("compile_cache = {:?}\n", world.text("file"));
    let log = log_of_next(&world, &token, &file);
    check(&log, 2, 0, 0);
    assert!(log.contains("Not a directory"), "{log}");

    // Too small for anything: said once, and served all the same.
    let log = log_of_next(&world, &token, "limits {\n  compile_cache = \"1KiB\"\n}\n");
    check(&log, 2, 0, 0);
    assert_eq!(count(&log, "and compiled again after a restart"), 1, "{log}");
}
