//! A server that is started again, with native plugins mounted.

use std::fs;

use cofferdam::MountState;
use cofferdam::request::Operation;
use serde_json::json;

use crate::plugins;
use crate::program::Server;
use crate::servers;
use crate::stage::Stage;

#[tokio::test]
async fn native_mounts_come_back_with_what_they_stored() {
    let Some(engine) = plugins::go("engine", "native mounts after a restart") else { return };
    let mut stage = Stage::new().await;
    stage.register("engine", &engine).await;
    for mount in ["a", "b"] {
        stage.enable(mount, "engine").await;
        stage.write(&format!("{mount}/items/x"), &json!({"value": mount})).await;
    }
    let before = stage.pid("a").await;
    stage.restart().await;
    for mount in ["a", "b"] {
        assert_eq!(stage.read(&format!("{mount}/items/x")).await, json!({"value": mount}));
        assert_eq!(stage.started_by(mount).await, stage.pid("a").await, "it was initialized again");
    }
    assert_ne!(stage.pid("a").await, before);
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_plugin_whose_start_hangs_delays_no_other_mount() {
    let mut stage = Stage::new().await;
    stage.register("quick", &plugins::probe()).await;
    let flag = stage.outside("hang");
    // The same bytes each time, which wait for ever once there is such a file.
    let script = format!(
        "#!/bin/sh\n[ -e {flag} ] && exec /bin/sleep 600\nexec {quick}\n",
        flag = flag.display(),
        quick = stage.file("quick").display()
    );
    stage.register("slow", script.as_bytes()).await;
    stage.enable("quick", "quick").await;
    // More of them than start at a time in the background.
    let slow: Vec<_> = (0..12).map(|number| format!("a-slow-{number}")).collect();
    for mount in &slow {
        stage.enable(mount, "slow").await;
    }
    fs::write(&flag, "").unwrap();
    stage.restart().await;
    stage.ask(Operation::Read, "quick/seen", "").await.unwrap();
    for mount in &slow {
        assert_eq!(stage.host().mount(&mount.parse().unwrap()).unwrap().state, MountState::Starting, "{mount}");
    }
    assert_eq!(stage.end().await, [""; 0]);
}

#[test]
fn a_server_that_was_killed_serves_its_native_mounts_again() {
    let Some(engine) = plugins::go("engine", "native mounts after a kill") else { return };
    let world = servers::world(&[("engine", &engine)]);
    let native = format!("native_plugins {{\n  socket_directory = {:?}\n}}\n", world.text("sockets"));
    let configuration = world.configuration(&native);
    let server = Server::start(world.server_command(&configuration));
    let token = server.line("Initial Root Token: ").rsplit(' ').next().unwrap().to_owned();
    let server = server.with_token(&token);
    server.mount(&world, "e", "engine", &json!({}));
    assert_eq!(server.ask("PUT", "e/items/a", r#"{"value":"kept"}"#).status, 200);
    let process = server.process("e/pid");
    server.signal("KILL");
    process.ends();
    drop(server);

    let server = Server::start(world.server_command(&configuration)).with_token(&token);
    assert_eq!(server.read("e/items/a"), json!({"value": "kept"}));
    let (by, pid) = (server.read("e/started")["by"].clone(), server.read("e/pid")["pid"].clone());
    assert_eq!(by, pid.to_string());
    assert!(server.stop().0.success());
}
