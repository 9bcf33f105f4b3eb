//! What a plugin's change costs those who call it: nothing that they notice.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cofferdam::ident::{PluginKind, PluginName};

use cofferdam::{InstancePolicy, Limits, Pin, PluginKey, Tune};
use cofferdam_sdk::embed::Embedded;
use cofferdam_sdk::{Context, Description, Plugin, Response, Storage};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::stage::{Entry, Stage, mount};

/// Times that the plugin is changed under way.
const CHANGES: u64 = 102;

/// Callers that never pause.
const CALLERS: u64 = 8;

fn edition(answer: &Value) -> u64 {
    answer["edition"].as_str().and_then(|edition| edition.parse().ok()).expect("it is a number")
}

fn version(edition: u64) -> String {
    format!("v1.0.{edition}")
}

/// What ships with the host under the plugin's name, and counts as the others do.
struct BuiltIn(Mutex<u64>);

const BUILT_IN: u64 = 9;

/// The edition of what is registered without a version, and so takes the built-in one's place.
const OVERRIDING: u64 = 5;

impl Plugin for BuiltIn {
    fn describe() -> Description {
        Description::secret("Counts.")
    }

    fn setup(ctx: &Context) -> Result<Self, cofferdam_sdk::Error> {
        Ok(Self(Mutex::new(ctx.get_json("count")?.unwrap_or(0))))
    }

    fn handle(&self, ctx: &Context, _: cofferdam_sdk::Request) -> Result<Response, cofferdam_sdk::Error> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ctx.put_json("count", &(*count + 1))?;
        *count += 1;
        Response::json(&json!({ "edition": BUILT_IN.to_string(), "count": *count }))
    }
}

async fn register(stage: &Stage, file: &str, edition: u64, instances: InstancePolicy) {
    let (version, env) = (version(edition), [format!("EDITION={edition}")]);
    let version = (edition != OVERRIDING).then_some(version.as_str());
    stage.register(Entry { version, env: &env, ..Entry::of(file, instances) }).await;
}

/// Which edition answers after so many changes.
fn edition_after(change: u64) -> u64 {
    match change % 6 {
        0 => 0,
        // Upgraded, pinned, and back when the pin is gone.
        1 | 3 => 1,
        2 => 2,
        4 => BUILT_IN,
        _ => OVERRIDING,
    }
}

/// A plugin, mounted at two paths.
struct Changing<'stage> {
    stage: &'stage Stage,
    file: &'stage str,
    instances: InstancePolicy,
}

impl Changing<'_> {
    const PATHS: [&'static str; 2] = ["a", "b"];

    fn plugin() -> PluginName {
        "plugin".parse().expect("the name is well formed")
    }

    /// Makes the change of this number.
    async fn change(&self, number: u64) {
        let (host, plugin) = (&self.stage.host, Self::plugin());
        match number % 6 {
            0 => self.tune(&version(0)).await,
            1 => self.tune(&version(1)).await,
            2 => {
                let version = version(2).parse().expect("it is one");
                let pin = Pin { kind: PluginKind::Secret, name: plugin.clone(), version };
                host.pin_plugin(pin).await.expect("it is pinned");
            }
            3 => host.unpin_plugin(PluginKind::Secret, &plugin).await.expect("it is not pinned any more"),
            4 => self.tune("unversioned").await,
            _ => register(self.stage, self.file, OVERRIDING, self.instances).await,
        }
        self.reload().await;
        if number.is_multiple_of(6) {
            let gone = host.deregister_plugin(&PluginKey::new(PluginKind::Secret, plugin.clone(), None)).await;
            gone.expect("nobody runs what takes the built-in one's place");
        }
    }

    async fn tune(&self, version: &str) {
        for path in Self::PATHS {
            let tune = Tune { plugin_version: Some(version.parse().expect("it is one")), ..Tune::default() };
            self.stage.host.tune(&mount(path), tune).await.expect("it is tuned");
        }
    }

    async fn reload(&self) {
        let reloaded = self.stage.host.reload_plugin(None, &Self::plugin()).await.expect("the host reloads");
        assert!(reloaded.iter().all(|mount| mount.failure.is_none()), "{reloaded:?}");
        assert_eq!(reloaded.len(), Self::PATHS.len());
    }
}

/// Upgrades the mounts' plugin, pins it, removes the pin, goes back to what is built in, overrides that and goes back
/// to the first, a hundred changes in all, while others count without a pause.
///
/// The plugin counts in memory, under a lock, and keeps to one instance: an answer from an instance that should not
/// answer any more is a count twice, and a request that was lost is one too few.
async fn changes_are_not_noticed(file: &str, instances: InstancePolicy) {
    let limits = Limits { instances_max: 24, ..Limits::default() };
    let stage = Stage::with_builtin(limits, Some(Embedded::of::<BuiltIn>())).await;
    for edition in 0..3 {
        register(&stage, file, edition, instances).await;
    }
    let changing = Changing { stage: &stage, file, instances };
    for path in Changing::PATHS {
        stage.enable(path).await;
    }
    changing.change(0).await;
    let paths = Changing::PATHS;
    for path in paths {
        stage.write(&format!("{path}/bump"), &json!({})).await.expect("it counts");
    }
    let before = stage.live();
    // Mounts that share instances had one here, as they were called one after the other; called at the same time, each
    // may need its own.
    let each = if instances == InstancePolicy::Pooled { paths.len() as u64 } else { 1 };
    let most = (before.0 * each, before.1 * each, before.2 * each);

    // Changes that have been asked for, and that are over. A request may be answered by whatever answered while it was
    // made.
    let (asked, over, stopped) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let called = join_all((0..CALLERS).map(|caller| {
        let (stage, asked, over, stopped) = (&stage, &asked, &over, &stopped);
        async move {
            let path = paths[usize::try_from(caller).expect("it is small") % paths.len()];
            let mut counts = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                let first = over.load(Ordering::SeqCst);
                let answer = stage.write(&format!("{path}/bump"), &json!({})).await;
                let last = asked.load(Ordering::SeqCst);
                let answer =
                    answer.unwrap_or_else(|error| panic!("a request failed between {first} and {last}: {error}"));
                let answered = edition(&answer);
                assert!(
                    (first..=last).any(|change| edition_after(change) == answered),
                    "answered by {answered} between {first} and {last}"
                );
                counts.push(answer["count"].as_u64().expect("it is a number"));
                tokio::task::yield_now().await;
            }
            (path, counts)
        }
    }));
    let changed = async {
        for change in 1..=CHANGES {
            asked.store(change, Ordering::SeqCst);
            changing.change(change).await;
            over.store(change, Ordering::SeqCst);
        }
        stopped.store(true, Ordering::SeqCst);
    };
    let (called, ()) = tokio::join!(called, changed);

    for path in paths {
        let mut counts: Vec<u64> =
            called.iter().filter(|(of, _)| *of == path).flat_map(|(_, counts)| counts.iter().copied()).collect();
        counts.sort_unstable();
        let expected: Vec<u64> = (2..2 + counts.len() as u64).collect();
        let twice: Vec<u64> = counts.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        let (first, last) = (counts.first(), counts.last());
        assert!(
            counts == expected,
            "{path}: each count comes once, and none is left out: {} requests from {first:?} to {last:?}, twice {twice:?}",
            counts.len()
        );
        assert!(counts.len() as u64 > CHANGES, "{path}: there were requests all the time: {}", counts.len());
        let info = stage.host.mount(&mount(path)).expect("it is there");
        assert_eq!((info.running_version, info.settings.version), (version(0).parse().ok(), version(0).parse().ok()));
    }
    // What answered before ends soon, by itself; there is no more than there may be, once each has been asked again.
    for path in paths {
        stage.write(&format!("{path}/bump"), &json!({})).await.expect("it counts");
    }
    let within = |(instances, processes, memory): (u64, u64, u64)| {
        instances <= most.0 && processes <= most.1 && memory <= most.2
    };
    let begun = std::time::Instant::now();
    while !within(stage.live()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?} and no more than {most:?}", stage.live());
        tokio::task::yield_now().await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_changes_under_load_and_nobody_notices() {
    changes_are_not_noticed("tally.wasm", InstancePolicy::PerMount).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_whose_mounts_share_instances_changes_under_load_and_nobody_notices() {
    changes_are_not_noticed("tally.wasm", InstancePolicy::Pooled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_changes_under_load_and_nobody_notices() {
    changes_are_not_noticed("tally-native", InstancePolicy::PerMount).await;
}

/// The same plugin is started again, and what runs goes on where that fails.
#[tokio::test]
async fn what_does_not_start_changes_nothing() {
    let stage = Stage::new().await;
    register(&stage, "tally.wasm", 1, InstancePolicy::PerMount).await;
    stage.enable("a").await;
    let first = stage.read("a/edition").await.expect("it answers");
    assert_eq!(stage.read("a/edition").await.expect("it answers"), first, "the same instance");
    let plugin = "plugin".parse().expect("the name is well formed");
    stage.host.reload_plugin(None, &plugin).await.expect("the host reloads");
    let second = stage.read("a/edition").await.expect("it answers");
    assert_ne!(second["instance"], first["instance"], "another instance");

    // What it runs is not taken from under it.
    let version = version(1).parse().expect("it is one");
    let entry = PluginKey::new(PluginKind::Secret, plugin, Some(version));
    let refused = stage.host.deregister_plugin(&entry).await.expect_err("it is in use");
    assert!(refused.message().contains("it is used by a/"), "{refused}");
    assert_eq!(stage.read("a/edition").await.expect("it answers"), second, "what ran goes on");
    let error = stage.host.reload_mounts(&[mount("a"), mount("nowhere")]).await.expect_err("there is no such mount");
    assert!(error.message().contains("no mount at nowhere/: nothing was reloaded"), "{error}");
    stage.end().await;
}

/// A request that is in the old instance when its plugin changes ends there; the next waits for it, as it might store
/// something.
#[tokio::test]
async fn requests_end_where_they_began() {
    for (file, waits) in [("shelf.wasm", false), ("hold.wasm", true)] {
        let stage = Stage::new().await;
        stage.register(Entry::of(file, InstancePolicy::PerMount)).await;
        stage.enable("a").await;
        let in_flight = stage.read("a/instance");
        let next = async {
            stage.gate.arrivals(1).await;
            stage.host.reload_mounts(&[mount("a")]).await.expect("the host reloads");
            let mut next = Box::pin(stage.read("a/instance"));
            if waits {
                // It comes to the gate only when the one before has left.
                let early = futures_util::future::select(&mut next, Box::pin(stage.gate.arrivals(1)));
                let early = tokio::time::timeout(Duration::from_millis(50), early).await;
                assert!(early.is_err(), "two instances answer for one mount");
                stage.gate.open(1);
            } else {
                stage.gate.open(1);
            }
            stage.gate.open(1);
            next.await
        };
        let (one, two) = tokio::join!(in_flight, next);
        let (one, two) = (one.expect("it answers"), two.expect("it answers"));
        assert_ne!(one["instance"], two["instance"], "{file}");
        stage.end().await;
    }
}
