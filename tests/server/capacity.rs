//! What a server grants on the machine that it runs on.

use serde_json::json;

use crate::program::{Server, World, sha256};

/// No machine has room for so many sandboxes: 47 bits of address space hold some 10,000.
const ABSURD: u32 = 1_000_000;

#[test]
fn a_server_grants_as_many_sandboxes_as_fit() {
    let world = World::new();
    let more = format!("limits {{\n  instances = {ABSURD}\n}}\n");
    let server = Server::start(world.server_command(&world.configuration(&more)));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);

    let log = server.log();
    let told = log.lines().find(|line| line.contains("fewer sandboxes are granted than are asked for"));
    let told = told.unwrap_or_else(|| panic!("nothing is said: {log}"));
    assert!(told.contains("WARN") && told.contains(&format!("asked={ABSURD}")), "{told}");
    let granted = told.split_once("granted=").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(granted.is_some_and(|granted| (1..20_000).contains(&granted)), "{told}");
    assert!(told.contains("sysctl -w vm.max_map_count=") || told.contains("address space"), "{told}");

    let digest = sha256(&world.path("plugins/passthrough-plugin"));
    world.succeed(&server, &["plugin", "register", &format!("-sha256={digest}"), "secret", "passthrough-plugin"]);
    world.succeed(&server, &["secrets", "enable", "-path=kv", "passthrough-plugin"]);
    world.succeed(&server, &["write", "kv/a", "b=c"]);
    assert_eq!(server.ask("GET", "kv/a", "").json()["data"], json!({"b": "c"}));
    assert_eq!(server.stop().0.code(), Some(0));
}

#[test]
fn a_server_says_that_its_sandboxes_fit() {
    let world = World::new();
    let server = world.first_server();
    let log = server.stop().2;
    let told = log.lines().find(|line| line.contains("there is room for all sandboxes that are asked for"));
    assert!(told.is_some_and(|line| line.contains("asked=1000") && line.contains("granted=1000")), "{log}");
}
