//! A plugin's process that ends when nobody asked it to: who notices, and what comes next.

use cofferdam::request::Operation;
use cofferdam::{ErrorKind, MountState};
use serde_json::json;

use crate::plugins;
use crate::processes::Watched;
use crate::stage::Stage;

#[tokio::test]
async fn a_panic_fails_what_is_in_flight_in_its_process_and_nothing_else() {
    let Some(engine) = plugins::go("engine", "a panic's reach") else { return };
    let stage = Stage::new().await;
    for name in ["one", "other"] {
        let env = vec![format!("WHO={name}")];
        stage.register_with(name, &engine, |registration| registration.launch.env = env).await.unwrap();
        stage.enable(name, name).await;
    }
    stage.enable("one-too", "one").await;
    let (one, other) = (stage.pid("one").await, stage.pid("other").await);
    assert_eq!(stage.started_by("one").await, one);
    stage.write("one/items/a", &json!({"value": "kept"})).await;

    let (in_flight, panicking, elsewhere) = tokio::join!(
        stage.ask(Operation::Read, "one-too/wait/x", ""),
        stage.ask(Operation::Read, "one/panic", ""),
        async {
            let waiting = stage.ask(Operation::Read, "other/wait/x", "");
            tokio::join!(waiting, stage.ask(Operation::Read, "other/release/x", "")).0
        },
    );
    for (mount, answer) in [("one-too", in_flight), ("one", panicking)] {
        let error = answer.unwrap_err();
        let said = format!(
            "the plugin one at {mount}/ crashed: its process exited with status 2. The next request gets a fresh instance"
        );
        assert_eq!((error.kind(), error.message()), (ErrorKind::PluginFault, said.as_str()));
    }
    elsewhere.unwrap();

    // The next request starts it again, and initializes it again; what was stored is there.
    assert_eq!(stage.read("one/items/a").await, json!({"value": "kept"}));
    let again = stage.pid("one").await;
    assert_ne!(again, one);
    assert_eq!((stage.started_by("one").await, stage.started_by("one-too").await), (again, again));
    assert_eq!(stage.pid("one-too").await, again);
    assert_eq!((stage.pid("other").await, stage.started_by("other").await), (other, other));
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_process_that_somebody_kills_is_started_again_until_it_happens_too_often() {
    let Some(engine) = plugins::go("engine", "a plugin that is killed from outside") else { return };
    let stage = Stage::new().await;
    stage.register("engine", &engine).await;
    stage.enable("e", "engine").await;
    for _ in 0..2 {
        let process = Watched::of(stage.pid("e").await);
        let (in_flight, ()) = tokio::join!(stage.ask(Operation::Read, "e/wait/x", ""), async { process.kill() });
        let error = in_flight.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PluginFault);
        assert!(error.message().contains("its process was killed by signal 9 (SIGKILL)"), "{error}");
        if stage.ask(Operation::Read, "e/pid", "").await.is_err() {
            break;
        }
    }
    let error = stage.ask(Operation::Read, "e/pid", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let said = "the plugin engine at e/ is failing: it failed 2 times in a row, the last time because its process was killed \
                by signal 9 (SIGKILL); next try in 1s";
    assert_eq!(error.message(), said);
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn the_verified_bytes_run_whatever_becomes_of_the_file() {
    let (Some(engine), Some(probe)) = (plugins::go("engine", "the verified bytes run"), plugins::go("probe", ""))
    else {
        return;
    };
    let mut stage = Stage::new().await;
    stage.register("engine", &engine).await;
    stage.register("probe", &probe).await;
    stage.enable("e", "engine").await;
    stage.enable("p", "probe").await;
    stage.write("e/items/a", &json!({"value": "kept"})).await;

    // Replaced by another plugin, which would answer: it is not what was verified.
    stage.add("engine", &probe);
    let process = Watched::of(stage.pid("e").await);
    tokio::join!(stage.ask(Operation::Read, "e/wait/x", ""), async { process.kill() }).0.unwrap_err();
    assert_eq!(stage.started_by("e").await, stage.pid("e").await);

    stage.restart().await;
    stage.host().started().await;
    let state = |path: &str| stage.host().mount(&path.parse().unwrap()).unwrap().state;
    let MountState::Disabled(why) = state("e") else { panic!("{:?}", state("e")) };
    assert!(why.contains("checksums did not match"), "{why}");
    assert_eq!(state("p"), MountState::Running);
    let error = stage.ask(Operation::Read, "e/items/a", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("the mount e/ is disabled: "), "{error}");
    stage.ask(Operation::Read, "p/seen", "").await.unwrap();

    // Put back and the server started anew, it is as it was.
    stage.add("engine", &engine);
    stage.restart().await;
    assert_eq!(stage.read("e/items/a").await, json!({"value": "kept"}));
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_host_that_ends_while_its_mounts_start_leaves_nothing() {
    let mut stage = Stage::new().await;
    stage.register("probe", &plugins::probe()).await;
    for mount in ["a", "b"] {
        stage.enable(mount, "probe").await;
    }
    stage.restart().await;
    // The first mount is starting, and the second has not begun or waits for the process.
    tokio::task::yield_now().await;
    assert_eq!(stage.end().await, [""; 0]);
}
