//! Work that nobody waits for has a share of a core, is seen, keeps nobody else waiting, and holds no transaction for
//! ever.

use std::time::{Duration, Instant};

use cofferdam::Limits;

use crate::bench::{Bench, component, limits, within};
use crate::journal::Journal;

/// As many mounts as each have work without end.
const BUSY_MOUNTS: usize = 6;

/// For how long they work in a test. With a core for themselves they are through as soon as that is over.
const WORK: Duration = Duration::from_secs(2);

/// What nobody waits for has half a core in a host, and may be ahead by this where the machine is busy with other
/// things.
const AHEAD: Duration = Duration::from_millis(500);

/// How long any of the others waits, but one in a hundred. What works in the background may be ahead of it with a fifth
/// of that.
const P99: Duration = Duration::from_millis(250);

/// Returns for how long plugins worked without anybody waiting.
fn background(bench: &Bench) -> Duration {
    let metrics = bench.host.metrics();
    let [plugin] = metrics.plugins.as_slice() else { panic!("there is one plugin: {metrics:?}") };
    assert!(plugin.counts.cpu >= plugin.counts.background_cpu, "{metrics:?}");
    plugin.counts.background_cpu
}

/// Mounts the plugin and lets it begin with this work. An instance is made by the first request, and works in the
/// background from then on.
async fn begin(bench: &Bench, mount: &str, work: &str) {
    bench.enable(mount, &[("background", work)]).await.expect("it can be mounted");
    assert_eq!(bench.count(mount).await, 1);
    bench.ask(&format!("{mount}/ring/go")).await.expect("it answers before it begins");
}

async fn check(work: &str) {
    let bench = Bench::start(Limits { request_deadline: Duration::from_secs(50), ..limits() }).await;
    bench.register("hostile", &component("async-hostile"), |_| ()).await.expect("the plugin can be registered");
    bench.enable("good", &[]).await.expect("it can be mounted");
    let begun = Instant::now();
    for mount in 0..BUSY_MOUNTS {
        begin(&bench, &format!("busy-{mount}"), work).await;
    }
    let mut took = Vec::new();
    while took.len() < 200 || background(&bench) < WORK {
        let asked = Instant::now();
        bench.count("good").await;
        took.push(asked.elapsed());
        tokio::task::yield_now().await;
    }
    let (used, elapsed) = (background(&bench), begun.elapsed());
    assert!(used <= elapsed / 2 + AHEAD, "{work}: {used:?} in {elapsed:?}");
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    assert!(p99 <= P99, "{work}: {p99:?} of {} requests", took.len());
}

#[tokio::test]
async fn work_that_never_pauses_keeps_nobody_waiting() {
    check("compute").await;
}

#[tokio::test]
async fn work_that_pauses_for_no_time_keeps_nobody_waiting() {
    check("churn").await;
}

#[tokio::test]
async fn whoever_asks_a_busy_instance_something_does_not_wait_for_its_share() {
    let bench = Bench::start(Limits { request_deadline: Duration::from_secs(50), ..limits() }).await;
    bench.register("hostile", &component("async-hostile"), |_| ()).await.expect("the plugin can be registered");
    begin(&bench, "busy", "churn").await;
    // Beyond what it may use at once, so that it rests most of the time.
    within(async {
        while background(&bench) < Duration::from_millis(250) {
            tokio::task::yield_now().await
        }
    })
    .await;
    let begun = Instant::now();
    for asked in 1..=50 {
        assert_eq!(bench.count("busy").await, 1 + asked);
    }
    // By its share alone, fifty turns of its work would take ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // And it ends at once where it has to.
    within(bench.host.disable(&"busy/".parse().expect("a path"))).await.expect("it can be disabled");
}

#[tokio::test]
async fn a_transaction_that_is_held_in_the_background_ends_when_its_time_is_up() {
    let journal = Journal::begin();
    let bench = Bench::start(Limits { request_deadline: Duration::from_secs(3), ..limits() }).await;
    bench.register("hostile", &component("async-hostile"), |_| ()).await.expect("the plugin can be registered");
    bench.enable("good", &[]).await.expect("it can be mounted");
    begin(&bench, "busy", "hold").await;
    within(journal.says("holding", 1)).await;
    let open = || bench.host.metrics().mounts.iter().map(|mount| mount.counts.storage.transactions_open).sum::<u64>();
    let mut served = 0;
    within(async {
        while open() > 0 {
            served += 1;
            assert_eq!(bench.count("good").await, served);
        }
    })
    .await;
    // The guest still has it, and finds out when it uses it.
    bench.ask("busy/ring/use").await.expect("the instance lives");
    let told = || journal.lines().into_iter().find_map(|line| line.message.strip_prefix("held: ").map(str::to_owned));
    let told = within(async {
        loop {
            match told() {
                Some(told) => break told,
                None => tokio::task::yield_now().await,
            }
        }
    });
    let told = told.await;
    assert!(told.contains("Unavailable") && told.contains("open for longer than 3s"), "{told}");
    assert_eq!(bench.count("busy").await, 2, "it is the same instance");
}
