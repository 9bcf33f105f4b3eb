//! Which mounts share a process, and how long it lives.

use std::collections::BTreeSet;

use cofferdam::NativePlugins;
use serde_json::json;

use crate::plugins;
use crate::processes::Watched;
use crate::stage::Stage;

/// Mounts a plugin at `m0/` and on, and returns the processes that answer.
async fn mounted(stage: &Stage, plugin: &str, count: usize) -> BTreeSet<u64> {
    let mut pids = BTreeSet::new();
    for number in 0..count {
        stage.enable(&format!("m{number}"), plugin).await;
    }
    for number in 0..count {
        pids.insert(stage.pid(&format!("m{number}")).await);
    }
    pids
}

#[tokio::test]
async fn ten_mounts_share_a_process_which_ends_with_the_last_of_them_and_only_then() {
    let Some(engine) = plugins::go("engine", "ten mounts share a process") else { return };
    let stage = Stage::new().await;
    stage.register("engine", &engine).await;
    assert_eq!(stage.socket_directories(), 0, "what is only registered has no process");

    let pids = mounted(&stage, "engine", 10).await;
    assert_eq!(pids.len(), 1, "{pids:?}");
    let pid = *pids.first().unwrap();
    let process = Watched::of(pid);
    assert_eq!(stage.socket_directories(), 1);

    for number in 0..9 {
        stage.disable(&format!("m{number}")).await;
        assert_eq!(stage.pid("m9").await, pid);
    }
    assert!(process.is_there());
    stage.disable("m9").await;
    process.ends_soon().await;

    // The next mount gets another one.
    stage.enable("m", "engine").await;
    assert_ne!(stage.pid("m").await, pid);
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn registrations_that_differ_in_their_environment_have_a_process_each() {
    let Some(engine) = plugins::go("engine", "a process for each environment") else { return };
    let stage = Stage::new().await;
    for name in ["one", "two"] {
        let env = vec![format!("WHO={name}")];
        stage.register_with(name, &engine, |registration| registration.launch.env = env).await.unwrap();
    }
    for mount in ["one", "two", "one-again", "two-again"] {
        stage.enable(mount, mount.trim_end_matches("-again")).await;
    }
    let (one, two) = (stage.pid("one").await, stage.pid("two").await);
    assert_ne!(one, two);
    assert_eq!((stage.pid("one-again").await, stage.pid("two-again").await), (one, two));
    for name in ["one", "two"] {
        assert_eq!(stage.read(&format!("{name}-again/env/WHO")).await["value"], name);
    }
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn who_opts_out_gets_a_process_for_each_mount() {
    let Some(engine) = plugins::go("engine", "opting out of multiplexing") else { return };
    let opted_out = NativePlugins { multiplexing_opt_out: vec!["alone".parse().unwrap()], ..NativePlugins::default() };
    let stage = Stage::with(opted_out).await;
    stage.register("alone", &engine).await;
    stage.register("together", &engine).await;

    let pids = mounted(&stage, "alone", 3).await;
    assert_eq!(pids.len(), 3, "{pids:?}");
    for mount in ["x", "y"] {
        stage.enable(mount, "together").await;
    }
    assert_eq!(stage.pid("x").await, stage.pid("y").await);

    // Each ends with its own mount, and no other does.
    let (first, second) = (Watched::of(stage.pid("m0").await), Watched::of(stage.pid("m1").await));
    stage.disable("m0").await;
    first.ends_soon().await;
    assert!(second.is_there());
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_plugin_that_does_not_multiplex_gets_a_process_for_each_mount() {
    for program in ["probe-single", "probe-old"] {
        let Some(probe) = plugins::go(program, &format!("{program}: a process for each mount")) else { continue };
        let stage = Stage::new().await;
        stage.register("probe", &probe).await;
        for (mounts, path) in ["a", "b", "c"].into_iter().enumerate() {
            stage.enable(path, "probe").await;
            assert_eq!(stage.socket_directories(), mounts + 1, "{program}");
        }
        stage.disable("b").await;
        assert_eq!(stage.end().await, [""; 0], "{program}");
    }
}

#[tokio::test]
async fn mounts_that_start_at_once_share_a_process_too() {
    let stage = Stage::new().await;
    stage.register("probe", &plugins::probe()).await;
    tokio::join!(stage.enable("a", "probe"), stage.enable("b", "probe"), stage.enable("c", "probe"));
    assert_eq!(stage.socket_directories(), 1);
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn processes_are_counted_with_their_plugin() {
    let stage = Stage::new().await;
    stage.register("probe", &plugins::probe()).await;
    let counts = || {
        let metrics = stage.host().metrics();
        let [probe] = metrics.plugins.as_slice() else { panic!("{metrics:?}") };
        probe.counts.clone()
    };
    assert_eq!((counts().processes, counts().process_memory_bytes), (0, 0), "what is only registered has no process");

    stage.enable("a", "probe").await;
    stage.enable("b", "probe").await;
    let both = counts();
    assert_eq!((both.processes, both.live(), both.memory_bytes), (1, 2, 0), "two mounts share one process");
    assert!(both.process_memory_bytes > 1 << 20, "{both:?}");

    stage.disable("a").await;
    assert_eq!((counts().processes, counts().live()), (1, 1));
    stage.disable("b").await;
    let ended = counts();
    assert_eq!((ended.processes, ended.process_memory_bytes, ended.live()), (0, 0, 0));
    assert!(ended.process_cpu >= both.process_cpu, "its processor time is kept");
    assert_eq!(stage.end().await, [""; 0]);
}

#[tokio::test]
async fn a_process_whose_sockets_were_cleaned_away_is_replaced() {
    let Some(engine) = plugins::go("engine", "a cleaner of temporary files") else { return };
    let stage = Stage::new().await;
    stage.register("engine", &engine).await;
    stage.enable("kept", "engine").await;
    stage.write("kept/items/a", &json!({"value": "kept"})).await;
    for whole in [false, true] {
        let before = stage.pid("kept").await;
        let replaced = Watched::of(before);
        stage.clean_sockets(whole);
        stage.enable("new", "engine").await;
        assert_eq!(stage.read("kept/items/a").await, json!({"value": "kept"}));
        let after = stage.pid("kept").await;
        assert_ne!(after, before, "the process has no sockets any more");
        assert_eq!(stage.pid("new").await, after, "both share the new one");
        replaced.ends_soon().await;
        stage.disable("new").await;
    }
    assert_eq!(stage.end().await, [""; 0]);
}
