//! How many more requests two threads answer than one: mounts share nothing on the way of a request, so nearly twice as
//! many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::request::Request;
use cofferdam::storage::MemoryStorage;
use cofferdam::{Host, InstancePolicy};
use tokio::runtime::{Builder, Runtime};

use crate::support::table::{Figure, Row};
use crate::support::{Bench, host};

/// Tasks that ask at a time, each the mounts that are its own.
const TASKS: usize = 8;

/// Mounts that each task asks, one after the other.
const MOUNTS_OF_A_TASK: usize = 8;

pub fn measure(bench: &mut Bench) {
    if !bench.wants("threads") {
        return;
    }
    let host = bench.runtime.block_on(async {
        let host = host::with_plugin(&bench.component, MemoryStorage::new(), InstancePolicy::PerMount).await;
        for number in 0..TASKS * MOUNTS_OF_A_TASK {
            host::enable(&host, &mount(number)).await;
            host::store_secret(&host, &mount(number)).await;
        }
        host
    });
    let [one, two] = [1, 2].map(|threads| {
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        runtime.expect("the runtime starts")
    });
    bench.compare_turns(
        "threads",
        |turns| ask_many(&one, &host, turns),
        |turns| ask_many(&two, &host, turns),
        |one, two| {
            let row = Row::new("requests to many mounts, two threads", Figure::rate(two));
            row.against("one thread", Figure::rate(one)).ratio_at_least(1.8)
        },
    );
}

/// Asks so many times, on tasks of a runtime, and returns how long that took.
fn ask_many(runtime: &Runtime, host: &Host, turns: u64) -> Duration {
    let each = turns.div_ceil(TASKS as u64);
    let requests: Vec<Arc<[Request]>> = (0..TASKS)
        .map(|task| (0..MOUNTS_OF_A_TASK).map(|own| host::read(&mount(task * MOUNTS_OF_A_TASK + own))).collect())
        .collect();
    let begun = Instant::now();
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|requests| {
            let host = host.clone();
            runtime.spawn(async move {
                for request in requests.iter().cycle().take(each as usize) {
                    host::answer(&host, request.clone()).await;
                    // Tasks whose calls never wait would keep the others from their thread.
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let done = runtime.block_on(futures_util::future::join_all(tasks));
    let took = begun.elapsed();
    done.into_iter().for_each(|done| done.expect("the operation does not panic"));
    took.mul_f64(turns as f64 / (each * TASKS as u64) as f64)
}

fn mount(number: usize) -> String {
    format!("mounts/{number}")
}
