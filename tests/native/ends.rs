//! How a server ends: no plugin outlives it, nor what a plugin has started.

use serde_json::json;

use crate::plugins;
use crate::processes::Watched;
use crate::program::{Server, World};
use crate::servers::{self, Line};

/// Returns a server with the engine mounted, its process, and one that it forked.
fn started(case: &str) -> Option<(World, Server, [Watched; 2])> {
    let engine = plugins::go("engine", case)?;
    let world = servers::world(&[("engine", &engine)]);
    let server = world.native_server(&[], &["-dev-no-plugin-init"]);
    server.mount(&world, "e", "engine", &json!({}));
    let processes = ["e/pid", "e/fork"].map(|path| server.process(path));
    Some((world, server, processes))
}

#[test]
fn a_server_that_is_killed_leaves_no_process() {
    let Some((_world, server, processes)) = started("a server that is killed") else { return };
    assert!(processes.iter().all(Watched::is_there));
    server.signal("KILL");
    processes.iter().for_each(Watched::ends);
}

#[test]
fn a_server_that_stops_leaves_no_process_and_no_sockets() {
    let Some((world, server, processes)) = started("a server that stops") else { return };
    assert_eq!(world.sockets().len(), 1);
    let (status, _, log) = server.stop();
    assert!(status.success(), "{log}");
    processes.iter().for_each(|process| assert!(!process.is_there()));
    assert_eq!(world.sockets(), [""; 0]);
    let loud: Vec<_> = Line::all(&log).into_iter().filter(|line| matches!(line.level(), "WARN" | "ERROR")).collect();
    assert!(
        loud.iter().all(|line| line.field("confinement").is_null() && line.text().contains("confinement")),
        "{loud:?}"
    );
}

#[test]
fn what_a_plugin_forked_ends_with_the_plugin() {
    let Some((_world, server, [plugin, forked])) = started("what a plugin forked") else { return };
    assert_eq!(server.ask("GET", "e/exit/3", "").status, 502);
    plugin.ends();
    forked.ends();
    assert_ne!(server.read("e/pid")["pid"], 0);
}
