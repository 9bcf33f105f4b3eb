//! A plugin that dies, panics or hangs at each step of its life: whoever asked for the step is told, and nobody else.

use std::time::Duration;

use cofferdam::ErrorKind::{DeadlineExceeded, InvalidRequest, PluginFault};
use cofferdam::request::Operation;
use cofferdam::{ErrorKind, Limits};
use futures_util::future::join_all;

use crate::journal::Journal;
use crate::processes;
use crate::stage::{Plugin, Stage, check_refused, limits};

/// What fails first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fails {
    Registration,
    Enabling,
    Reading,
    Writing,
    /// Nothing, for all that is seen.
    Nothing,
}

use Fails::{Enabling, Nothing, Reading, Registration, Writing};

/// Steps, what fails, and how its message begins to say it.
const STEPS: [(&str, Fails, &str); 11] = [
    ("Start", Registration, ""),
    ("MultiplexingSupport", Registration, "it did not say whether it multiplexes"),
    ("Setup", Registration, "the plugin started, and did not answer Setup"),
    ("Type", Registration, "the plugin started, and did not say of which type it is"),
    ("Version", Registration, "the plugin started, and it did not say of which version it is"),
    ("SpecialPaths", Enabling, "the plugin failed to set up"),
    ("Initialize", Enabling, "the plugin failed to initialize"),
    ("HandleRequest", Reading, ""),
    ("HandleExistenceCheck", Writing, ""),
    ("Cleanup", Nothing, ""),
    ("Shutdown", Nothing, ""),
];

/// Takes a plugin through its life, and checks that it fails where it should and says what it should.
async fn live(stage: &Stage, plugin: &Plugin, name: &str, fails: Fails, kind: ErrorKind, phrases: &[&str]) {
    let registered = stage.register(name, plugin).await;
    if fails == Registration {
        return check_refused(name, registered, InvalidRequest, phrases);
    }
    registered.unwrap_or_else(|error| panic!("{name} cannot be registered: {error}"));
    let enabled = stage.enable(name, name).await;
    if fails == Enabling {
        check_refused(name, enabled, kind, phrases);
        assert!(stage.host.mount(&name.parse().expect("it is a path")).is_none(), "{name}: nothing is mounted");
        return;
    }
    enabled.unwrap_or_else(|error| panic!("{name} cannot be mounted: {error}"));
    let path = format!("{name}/kv/a");
    let read = stage.ask(&path).await;
    if fails == Reading {
        check_refused(name, read, kind, phrases);
    } else {
        read.unwrap_or_else(|error| panic!("{name} cannot be read: {error}"));
        let written = stage.tell(&path, Operation::Update, r#"{"a": 1}"#, None).await;
        if fails == Writing {
            check_refused(name, written, kind, phrases);
        } else {
            written.unwrap_or_else(|error| panic!("{name} cannot be written to: {error}"));
            assert_eq!(stage.ask(&path).await.expect("it answers")["a"], 1, "{name}");
        }
    }
    stage.disable(name).await.unwrap_or_else(|error| panic!("{name} cannot be disabled: {error}"));
}

/// Takes a plugin with each fault through its life, side by side.
async fn each(stage: &Stage, fault: &str, kind: ErrorKind, outcome: impl Fn(&str, Fails) -> &'static str) {
    let rows: Vec<_> = STEPS.iter().filter_map(|row| Some((row, Plugin::go("hostile", &[fault, row.0])?))).collect();
    let lives = rows.iter().map(|((step, fails, text), plugin)| {
        let name = format!("{fault}-{}", step.to_lowercase());
        let ends = outcome(step, *fails);
        async move { live(stage, plugin, &name, *fails, kind, &[*text, ends]).await }
    });
    let (_, ()) = tokio::join!(join_all(lives), stage.neighbour_answers());
    stage.no_other_is_left().await;
}

#[tokio::test]
async fn a_plugin_that_exits_at_a_step() {
    let stage = Stage::set().await;
    each(&stage, "dies-at", PluginFault, |_, _| "its process exited with status 3").await;
    stage.end().await;
}

#[tokio::test]
async fn a_plugin_that_panics_at_a_step() {
    let journal = Journal::begin();
    let stage = Stage::set().await;
    each(&stage, "panics-at", PluginFault, |_, _| "its process exited with status 2").await;
    stage.end().await;
    if Plugin::go("hostile", &[]).is_none() {
        return;
    }
    for (step, ..) in STEPS {
        let text = format!("panic: hostile: asked to panic at {step}");
        let found = journal.of_plugins().into_iter().find(|line| line.message.starts_with(&text));
        assert_eq!(found.map(|line| line.level).as_deref(), Some("ERROR"), "{text}");
    }
}

#[tokio::test]
async fn a_plugin_that_hangs_at_a_step() {
    let limits = Limits {
        // Several start at once, on a machine that may be busy.
        process_start_deadline: Duration::from_secs(5),
        lifecycle_deadline: Duration::from_secs(5),
        request_deadline: Duration::from_secs(2),
        ..limits()
    };
    let stage = Stage::set_with(limits, |_| ()).await;
    each(&stage, "hangs-at", DeadlineExceeded, |step, fails| match (step, fails) {
        ("Start", _) => "no handshake within 5s",
        (_, Registration) => "it did not answer in time",
        (_, Enabling) => "it did not answer within 5s",
        _ => "it did not answer within 2s",
    })
    .await;
    stage.end().await;
}

/// It goes by itself, long before it would be killed.
#[tokio::test]
async fn a_plugin_that_stops_in_order_is_not_waited_for() {
    let stage = Stage::set_with(Limits { process_stop_grace: Duration::from_secs(60), ..limits() }, |_| ()).await;
    let left = stage.processes();
    stage.disable("good").await.expect("it can be disabled");
    for pid in left {
        processes::ended(pid, Duration::from_secs(40)).await.expect("it goes");
    }
}

#[tokio::test]
async fn a_plugin_that_does_not_stop_is_killed() {
    let Some(plugin) = Plugin::go("hostile", &["stays"]) else { return };
    let stage = Stage::set().await;
    stage.mount("stays", &plugin).await;
    stage.ask("stays/memory").await.expect("it answers");
    stage.disable("stays").await.expect("it can be disabled");
    stage.no_other_is_left().await;
    stage.enable("stays", "stays").await.expect("it can be mounted again");
    assert_eq!(stage.ask("stays/memory").await.expect("it answers")["reads"], 1, "it is another process");
    stage.end().await;
}

#[tokio::test]
async fn a_plugin_that_dials_the_broker_late_or_never() {
    let stage = Stage::set().await;
    if let Some(plugin) = Plugin::go("hostile", &["lags-at", "Setup", "1s"]) {
        // It dials when it is set up. The host does not wait for that, nor for anything else.
        let (_, ()) = tokio::join!(stage.mount("late", &plugin), stage.neighbour_answers());
        stage.ask("late/kv/a").await.expect("its storage is there");
    }
    if let Some(plugin) = Plugin::go("hostile", &["lags-at", "Setup", "6s"]) {
        // go-plugin forgets after 5 s where it was told to connect.
        let outcome = stage.register("too-late", &plugin).await;
        check_refused("too-late", outcome, InvalidRequest, &["did not answer Setup", "waiting for connection info"]);
    }
    if let Some(plugin) = Plugin::go("hostile", &["closes-broker"]) {
        let outcome = stage.register("closed", &plugin).await;
        check_refused("closed", outcome, InvalidRequest, &["the plugin started, and"]);
    }
    stage.neighbour_answers().await;
    stage.end().await;
}
