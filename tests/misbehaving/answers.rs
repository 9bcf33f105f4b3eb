//! Answers that come too late, are too large, are none, or never come: one request fails, and the next is answered.

use std::time::Duration;

use cofferdam::ErrorKind::{DeadlineExceeded, PluginFault};
use cofferdam::Limits;
use cofferdam::request::Operation;

use crate::journal::Journal;
use crate::processes;
use crate::stage::{Plugin, Stage, check_refused, limits};

#[tokio::test]
async fn an_answer_after_the_deadline_reaches_nobody() {
    let Some(plugin) = Plugin::go("engine", &[]) else { return };
    let journal = Journal::begin();
    let stage = Stage::set().await;
    stage.mount("slow", &plugin).await;
    let pid = stage.ask("slow/pid").await.expect("it answers");
    let soon = Some(Duration::from_millis(100));
    let late = stage.tell("slow/sleep/400ms", Operation::Read, "", soon).await;
    check_refused("late", late, DeadlineExceeded, &["slow/", "did not answer within 100ms"]);
    // Asked before the late answer is there, and answered after it.
    let next = stage.ask("slow/sleep/600ms").await.expect("it answers");
    assert_eq!(next["slept"], "600ms");
    assert_eq!(stage.ask("slow/pid").await.expect("it answers"), pid, "the process answers, if late, and lives on");
    // One that listens is told that nobody waits any more.
    let given_up = stage.tell("slow/wait/never", Operation::Read, "", soon).await;
    check_refused("given up", given_up, DeadlineExceeded, &["did not answer within 100ms"]);
    journal.says("a request was given up: context canceled", 1).await;
    stage.neighbour_answers().await;
    stage.end().await;
}

#[tokio::test]
async fn a_process_that_does_nothing_at_all_any_more_is_replaced() {
    let Some(plugin) = Plugin::go("engine", &[]) else { return };
    let stage = Stage::set_with(Limits { lifecycle_deadline: Duration::from_secs(5), ..limits() }, |_| ()).await;
    stage.mount("frozen", &plugin).await;
    let frozen = pid(&stage, "frozen").await;
    processes::freeze(frozen);
    let soon = Some(Duration::from_millis(200));
    let asked = stage.tell("frozen/pid", Operation::Read, "", soon).await;
    check_refused("frozen", asked, DeadlineExceeded, &["did not answer within 200ms"]);
    stage.neighbour_answers().await;
    processes::ended(frozen, Duration::from_secs(40)).await.expect("it is killed");
    assert_ne!(pid(&stage, "frozen").await, frozen);
    stage.end().await;
}

#[tokio::test]
async fn answers_that_are_too_large_or_none_fail_one_request() {
    let stage = Stage::set().await;
    for (name, args, phrase) in [
        ("big", &["answers-big", "100"][..], "answered what it may not: more than is taken"),
        ("garbage", &["answers-garbage"][..], "answered what it may not: data that is not a JSON object"),
    ] {
        let Some(plugin) = Plugin::go("hostile", args) else { continue };
        stage.mount(name, &plugin).await;
        for _ in 0..2 {
            let path = format!("{name}/kv/a");
            let (asked, ()) = tokio::join!(stage.ask(&path), stage.neighbour_answers());
            check_refused(name, asked, PluginFault, &[&format!("at {name}/"), phrase]);
        }
        stage.disable(name).await.expect("it can be disabled");
        stage.no_other_is_left().await;
    }
    stage.end().await;
}

/// Two mounts share a process, another has its own.
#[tokio::test]
async fn requests_in_flight_fail_with_their_process_and_no_others_do() {
    let Some(plugin) = Plugin::go("engine", &[]) else { return };
    let journal = Journal::begin();
    let stage = Stage::set().await;
    for name in ["one", "two"] {
        stage.register(name, &plugin).await.expect("it can be registered");
    }
    for (path, plugin) in [("a", "one"), ("b", "one"), ("c", "two")] {
        stage.enable(path, plugin).await.expect("it can be mounted");
    }
    let (shared, own) = (pid(&stage, "a").await, pid(&stage, "c").await);
    assert_eq!(pid(&stage, "b").await, shared);
    assert_ne!(own, shared);
    // Dies with a request of one mount in hand.
    let (a, b, c, exit) = tokio::join!(stage.ask("a/wait/x"), stage.ask("b/wait/x"), stage.ask("c/wait/x"), async {
        // Once these are answered, those before them have begun.
        pid(&stage, "a").await;
        pid(&stage, "c").await;
        let exit = stage.ask("b/exit/7").await;
        processes::ended(shared, Duration::from_secs(40)).await.expect("it has ended");
        stage.ask("c/release/x").await.expect("the other process lives on");
        exit
    });
    for (name, outcome) in [("a", a), ("b", b), ("exit", exit)] {
        check_refused(name, outcome, PluginFault, &["crashed: its process exited with status 7"]);
    }
    assert_eq!(c.expect("it is answered")["released"], true);
    assert_eq!(pid(&stage, "c").await, own);
    let again = pid(&stage, "a").await;
    assert_ne!(again, shared, "the next request starts it again");
    assert_eq!(pid(&stage, "b").await, again, "and the mounts share it again");
    let told =
        journal.lines().into_iter().find(|line| line.message.starts_with("the plugin's process exited with status 7"));
    assert_eq!(told.map(|line| line.level).as_deref(), Some("ERROR"), "the operator is told");
    stage.end().await;
}

/// What a plugin has started ends with it.
#[tokio::test]
async fn what_a_plugin_forked_ends_with_it() {
    let Some(plugin) = Plugin::go("engine", &[]) else { return };
    let stage = Stage::set().await;
    stage.mount("forks", &plugin).await;
    let child = stage.ask("forks/fork").await.expect("it forks")["pid"].as_i64().expect("it is a number");
    let child = i32::try_from(child).expect("it is a small one");
    assert!(stage.others().contains(&child));
    stage.ask("forks/exit/0").await.expect_err("it exits");
    processes::ended(child, Duration::from_secs(40)).await.expect("it is killed");
    stage.no_other_is_left().await;
    stage.end().await;
}

async fn pid(stage: &Stage, mount: &str) -> i32 {
    let answer = stage.ask(&format!("{mount}/pid")).await.expect("it answers");
    answer["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("it is a number")
}
