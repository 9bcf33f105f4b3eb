//! Starting a plugin's mounts again while they answer: how long it takes, and what a request notices of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cofferdam::storage::MemoryStorage;
use cofferdam::{Host, InstancePolicy};

use crate::support::table::{Figure, Row};
use crate::support::{Bench, host, median};

/// Mounts of the plugin, where it has many.
const MANY: usize = 1_000;

/// Reloads of a plugin with one mount, and of one with many.
const RELOADS: usize = 50;
const RELOADS_OF_MANY: usize = 5;

/// What a request may notice of a reload.
const PAUSE_MAX: Duration = Duration::from_millis(1);

/// The mount that is asked all the time.
const MOUNT: &str = "mounts/0";

pub fn measure(bench: &mut Bench) {
    if bench.wants("reload") {
        reload(bench, 1, RELOADS);
        reload(bench, MANY, RELOADS_OF_MANY);
    }
}

/// Reloads a plugin again and again while one of its mounts is asked without a pause. The longest that a request took
/// is put beside the longest within the same time without a reload, since whatever else the machine does makes some
/// request wait.
fn reload(bench: &mut Bench, mounts: usize, reloads: usize) {
    let (mut times, mut with, mut without) = bench.runtime.block_on(async {
        let host = host::with_plugin(&bench.component, MemoryStorage::new(), InstancePolicy::PerMount).await;
        for number in 0..mounts {
            host::enable(&host, &format!("mounts/{number}")).await;
        }
        host::store_secret(&host, MOUNT).await;
        let (mut times, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..reloads {
            let (took, longest) = slowest_during(&host, reload_all(&host, mounts)).await;
            let (_, usual) = slowest_during(&host, tokio::time::sleep(took)).await;
            times.push(took);
            with.push(longest);
            without.push(usual);
        }
        (times, with, without)
    });
    let which = if mounts == 1 { "one mount".to_owned() } else { format!("{mounts} mounts") };
    bench.row(Row::new(format!("to reload a plugin with {which}"), Figure::Time(median(&mut times))));
    let (with, without) = (median(&mut with), median(&mut without));
    let what = format!("the longest request while a plugin with {which} is reloaded");
    bench.row(Row::new(what, Figure::Time(with)).against("in the same time otherwise", Figure::Time(without)));
    let pause = Row::new("the pause that it noticed", Figure::Time(with.saturating_sub(without)));
    bench.row(pause.at_most(Figure::Time(PAUSE_MAX)));
}

async fn reload_all(host: &Host, mounts: usize) {
    let done = host.reload_plugin(None, &host::NAME.parse().expect("the name is well formed")).await;
    let done = done.expect("the host reloads");
    assert!(done.len() == mounts && done.iter().all(|mount| mount.failure.is_none()), "{done:?}");
}

/// Asks a mount without a pause for as long as something else takes. Returns how long that is, and how long the slowest
/// request took.
async fn slowest_during(host: &Host, other: impl Future<Output = ()>) -> (Duration, Duration) {
    let is_over = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (host, is_over) = (host.clone(), Arc::clone(&is_over));
        async move {
            let mut slowest = ask(&host).await;
            while !is_over.load(Ordering::Relaxed) {
                slowest = slowest.max(ask(&host).await);
                // What goes on needs a thread too, where there are few.
                tokio::task::yield_now().await;
            }
            // The first that comes after it.
            slowest.max(ask(&host).await)
        }
    });
    let begun = Instant::now();
    other.await;
    let took = begun.elapsed();
    is_over.store(true, Ordering::Relaxed);
    (took, asking.await.expect("the requests are answered"))
}

async fn ask(host: &Host) -> Duration {
    let request = host::read(MOUNT);
    let begun = Instant::now();
    host::answer(host, request).await;
    begun.elapsed()
}
