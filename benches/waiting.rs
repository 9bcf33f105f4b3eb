//! A hundred requests that wait at once in one instance of a plugin of the async world: together they take little
//! longer than one.

use std::time::{Duration, Instant};

use cofferdam::storage::MemoryStorage;
use cofferdam::{Host, InstancePolicy};
use futures_util::future::join_all;

use crate::support::host::Plugin;
use crate::support::table::{Figure, Row};
use crate::support::{Bench, guests, host, median};

const MOUNT: &str = "naps";

/// Requests at a time.
const REQUESTS: usize = 100;

/// How long each waits in an import, in nanoseconds as the plugin takes it.
const NAP: &str = "nap/10000000";

/// What a nap answers that was not cut short.
const NAPPED: &str = r#"{"slept":true}"#;

/// Times that they are asked.
const ROUNDS: usize = 25;

pub fn measure(bench: &mut Bench) {
    if !bench.wants("waiting") {
        return;
    }
    let folder = guests::build("tests/guests").unwrap_or_else(|why| panic!("{why}"));
    let plugin = Plugin { folder, file: "async-hostile.wasm" };
    let mut times = bench.runtime.block_on(async {
        let host = host::with_plugin(&plugin, MemoryStorage::new(), InstancePolicy::PerMount).await;
        host::enable(&host, MOUNT).await;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(all_at_once(&host).await);
        }
        times
    });
    let row = Row::new("100 requests at once that wait 10 ms each, in one instance", Figure::Time(median(&mut times)));
    bench.row(row.at_most(Figure::Time(Duration::from_millis(20))));
}

async fn all_at_once(host: &Host) -> Duration {
    let requests: Vec<_> = (0..REQUESTS).map(|_| host::read_path(MOUNT, NAP)).collect();
    let begun = Instant::now();
    join_all(requests.into_iter().map(|request| host::answer_with(host, request, NAPPED))).await;
    begun.elapsed()
}
