//! A plugin that misbehaves while its mount starts or ends: the mount is not made, or goes; nothing else is touched.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use cofferdam::ident::MountPath;
use cofferdam::storage::{DurableStorage, Storage as _};
use cofferdam::{ErrorKind, Limits, MountState, Tune};
use futures_util::future::join_all;

use crate::bench::{Bench, check_refused, limits};
use crate::journal::Journal;
use ErrorKind::{DeadlineExceeded, InvalidRequest, PluginFault};

fn impatient() -> Limits {
    Limits { lifecycle_deadline: Duration::from_millis(500), ..limits() }
}

#[tokio::test]
async fn a_mount_that_does_not_start_is_not_made() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(impatient()).await;
    let rows: [(&str, &str, ErrorKind, &[&str]); 10] = [
        ("setup", "fail", PluginFault, &["failed to set up", "setup failed", "red"]),
        ("setup", "decline", InvalidRequest, &["failed to set up", "setup declined"]),
        ("setup", "panic", PluginFault, &["failed to set up", "it trapped", "unreachable"]),
        ("setup", "spin", DeadlineExceeded, &["failed to set up", "did not answer within"]),
        (
            "setup",
            "write",
            PluginFault,
            &[
                "put: Err(StorageError::ReadOnly), delete: Err(StorageError::ReadOnly)",
                "transaction: Err(StorageError::ReadOnly)",
            ],
        ),
        ("initialize", "fail", PluginFault, &["failed to initialize", "initialize failed", "red"]),
        ("initialize", "decline", InvalidRequest, &["failed to initialize", "initialize declined"]),
        ("initialize", "panic", PluginFault, &["failed to initialize", "it trapped", "unreachable"]),
        ("initialize", "spin", DeadlineExceeded, &["failed to initialize", "did not answer within"]),
        ("initialize", "write", PluginFault, &["put: Ok(()), delete: Ok(()), transaction: Ok(())"]),
    ];
    for (step, what, kind, phrases) in rows {
        let name = format!("{step} {what}");
        let options = [(step, what)];
        let (enabled, beside) = tokio::join!(bench.enable("late", &options), bench.ask("good/count"));
        beside.unwrap_or_else(|error| panic!("{name}: the mount beside it did not answer: {error}"));
        check_refused(&name, enabled, kind, phrases);
        assert!(bench.host.mount(&"late".parse().unwrap()).is_none(), "{name}: nothing is mounted");
        check_refused(&name, bench.ask("late/count").await, ErrorKind::NotFound, &["no handler for route"]);
    }
    bench.enable("late", &[]).await.expect("the path is free");
    assert_eq!(bench.count("late").await, 1);
    for line in journal.lines() {
        assert!(!line.whole.chars().any(char::is_control), "the log has a control character: {line:?}");
    }
}

#[tokio::test]
async fn a_mount_can_be_disabled_whatever_its_plugin_does() {
    let bench = Bench::with_hostile(impatient()).await;
    for what in ["panic", "spin", "sleep", "fail"] {
        bench.enable("late", &[("cleanup", what)]).await.expect("it can be mounted");
        bench.ask("late/put/a").await.expect("a value can be stored");
        // One request is in flight, and outlasts the drain deadline.
        let path = "late".parse().unwrap();
        let (in_flight, disabled, enabled) =
            tokio::join!(bench.ask("late/sleep"), bench.host.disable(&path), bench.enable("late", &[]));
        // Nobody is to blame for a change under way: who comes again is served.
        check_refused(what, enabled, ErrorKind::Busy, &["another change of late/ is under way"]);
        disabled.unwrap_or_else(|error| panic!("{what}: it cannot be disabled: {error}"));
        check_refused(what, in_flight, ErrorKind::Unavailable, &["late/", "is being disabled"]);
        check_refused(what, bench.ask("late/count").await, ErrorKind::NotFound, &["no handler for route"]);
    }
    bench.enable("late", &[]).await.expect("the path is free");
    assert_eq!(bench.ask("late/get/a").await.expect("it answers"), serde_json::Value::Null, "the data was wiped");
    assert_eq!(bench.count("good").await, 1);
}

#[tokio::test]
async fn a_plugin_whose_file_was_changed_disables_its_mounts_and_no_others() {
    let journal = Journal::begin();
    let data = tempfile::tempdir().unwrap();
    let storage = || DurableStorage::open(data.path().join("data.redb")).expect("the storage opens");
    let bench = Bench::resume(storage(), tempfile::tempdir().unwrap()).await;
    bench.register_hostile().await;
    bench.enable("good", &[]).await.expect("it can be mounted");
    let bytes = crate::bench::component("hostile_plugin");
    bench.register("twin", &bytes, |_| ()).await.expect("it can be registered");
    let mut twin = crate::bench::mount_request("bad", &[]);
    twin.settings.plugin = "twin".parse().unwrap();
    bench.host.enable(twin).await.expect("it can be mounted");
    let Bench { host, plugins } = bench;
    host.shutdown().await;
    drop(host);
    fs::write(plugins.path().join("twin.wasm"), b"\0asm\x0d\0\x01\0 mallory was here").unwrap();

    let bench = Bench::resume(storage(), plugins).await;
    crate::bench::within(bench.host.started()).await;
    assert_eq!(bench.count("good").await, 1);
    let state = bench.host.mount(&"bad".parse().unwrap()).expect("the mount is still listed").state;
    assert!(matches!(&state, MountState::Disabled(why) if why.contains("twin.wasm")), "{state:?}");
    check_refused("changed", bench.ask("bad/count").await, ErrorKind::Unavailable, &["bad/ is disabled", "twin.wasm"]);
    assert!(journal.lines().iter().any(|line| line.whole.contains("twin.wasm")), "the operator is told");
}

#[tokio::test]
async fn a_mount_that_is_disabled_while_it_starts_stores_nothing_afterwards() {
    let data = tempfile::tempdir().unwrap();
    let storage = || DurableStorage::open(data.path().join("data.redb")).expect("the storage opens");
    let bench = Bench::resume(storage(), tempfile::tempdir().unwrap()).await;
    bench.register_hostile().await;
    // Many more than start at a time.
    let paths: Vec<MountPath> = (0..24).map(|number| format!("m{number}").parse().unwrap()).collect();
    for path in &paths {
        bench.enable(path.as_str(), &[("initialize", "write-anew")]).await.expect("it can be mounted");
    }
    let Bench { host, plugins } = bench;
    host.shutdown().await;
    drop(host);

    let Bench { host, plugins: _plugins } = Bench::resume(storage(), plugins).await;
    let disabled = join_all(paths.iter().map(|path| host.disable(path))).await;
    assert!(disabled.iter().all(Result::is_ok), "{disabled:?}");
    crate::bench::within(host.started()).await;
    host.shutdown().await;
    drop(host);
    assert_eq!(storage().keys("logical/", usize::MAX).await.unwrap(), [""; 0], "data of no mount is left");
}

#[tokio::test]
async fn a_tune_is_one_decision() {
    let bench = Bench::with_hostile(limits()).await;
    bench.enable("m", &[("a", "1"), ("b", "2")]).await.expect("it can be mounted");
    bench.enable("neighbour", &[]).await.expect("it can be mounted");
    let path: MountPath = "m".parse().unwrap();
    let options = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let tune = async |pairs: &[(&str, &str)]| {
        let description = Some("tuned".to_owned());
        bench.host.tune(&path, Tune { options: Some(options(pairs)), description, ..Tune::default() }).await
    };
    for what in ["fail", "panic"] {
        let refused = tune(&[("a", "3"), ("initialize", what)]).await;
        check_refused(what, refused, PluginFault, &["cannot tune m/, which goes on as it was"]);
        let mount = bench.host.mount(&path).unwrap();
        assert_eq!(
            (mount.settings.options, mount.settings.description.as_str()),
            (options(&[("a", "1"), ("b", "2")]), ""),
            "{what}"
        );
        assert_eq!(mount.state, MountState::Running, "{what}");
        assert!(bench.ask("m/count").await.is_ok() && bench.ask("neighbour/count").await.is_ok(), "{what}");
    }
    tune(&[("a", ""), ("c", "4")]).await.expect("the plugin starts with it");
    let mount = bench.host.mount(&path).unwrap();
    assert_eq!(
        (mount.settings.options, mount.settings.description.as_str()),
        (options(&[("b", "2"), ("c", "4")]), "tuned")
    );
    assert!(bench.ask("m/count").await.is_ok());
}

#[tokio::test]
async fn a_mount_never_moves_over_another() {
    let bench = Bench::with_hostile(limits()).await;
    for path in ["team/a", "team/b"] {
        bench.enable(path, &[]).await.expect("it can be mounted");
    }
    let path = |typed: &str| typed.parse::<MountPath>().unwrap();
    let above = bench.host.remount(&path("team/a"), &path("team")).await;
    check_refused("above its neighbour", above, ErrorKind::Conflict, &["existing mount at team/b/"]);
    let onto = bench.host.remount(&path("team/a"), &path("team/b")).await;
    check_refused("onto its neighbour", onto, ErrorKind::Conflict, &["already in use at team/b/"]);
    bench.host.remount(&path("team/a"), &path("team/a/deeper")).await.expect("below where it was is free");
    bench.host.disable(&path("team/b")).await.expect("the neighbour goes");
    bench.host.remount(&path("team/a/deeper"), &path("team")).await.expect("and above it is free");
    assert_eq!(bench.count("team").await, 1);
}
