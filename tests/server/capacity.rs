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

#[test]
fn a_limited_address_space_grants_what_fits_or_is_named() {
    /// What `ulimit -v` takes, in KiB: some sandboxes of 16 GiB beside those that are only asked what they are, and
    /// none at all.
    const SOME: u64 = 420 << 20;
    const NONE: u64 = 24 << 20;
    let limited = |world: &World, kib: u64| {
        let mut command = world.program_after(&format!("ulimit -v {kib}"));
        command.arg("server").arg(format!("-config={}", world.configuration("")));
        command
    };
    let world = World::new();
    let server = Server::start(limited(&world, SOME));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    let log = server.log();
    assert!(log.contains("fewer sandboxes are granted") && log.contains("RLIMIT_AS"), "{log}");
    world.mount_passthrough(&server, &["kv"]);
    world.succeed(&server, &["write", "kv/a", "b=c"]);
    assert_eq!(server.ask("GET", "kv/a", "").json()["data"], json!({"b": "c"}));
    assert_eq!(server.stop().0.code(), Some(0));

    let (exit, log) = Server::refused(limited(&world, NONE));
    assert_eq!(exit, 1, "{log}");
    let told = log.lines().last().unwrap_or_default();
    for part in ["cannot set up the sandbox", "RLIMIT_AS", "ulimit -v unlimited", "limits { instances = … }"] {
        assert!(told.contains(part), "{log}");
    }
}
