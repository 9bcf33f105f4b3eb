//! Who waits for whom, how long, and who gives way.

use std::time::Duration;

use cofferdam::{ErrorKind, Limits};

use crate::bench::{Bench, ask, check_refused, limits, mount_request, request, within};
use crate::journal::Journal;

/// Requests that nothing but the test ends.
fn patient() -> Limits {
    Limits { request_deadline: Duration::from_secs(50), ..limits() }
}

#[tokio::test]
async fn a_request_that_is_given_up_takes_its_instance_along() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(patient()).await;
    assert_eq!([bench.count("bad").await, bench.count("bad").await], [1, 2]);
    tokio::select! {
        answer = bench.ask("bad/sleep") => panic!("it sleeps for ever: {answer:?}"),
        () = within(journal.says("asleep", 1)) => {}
    }
    assert_eq!(bench.count("bad").await, 1, "a fresh instance answers");
}

#[tokio::test]
async fn a_full_queue_says_so_at_once() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(Limits { mount_queue_max: 2, ..patient() }).await;
    let spawn = |path: &'static str| {
        let host = bench.host.clone();
        tokio::spawn(async move { ask(&host, path).await })
    };
    let running = spawn("bad/sleep");
    within(journal.says("asleep", 1)).await;
    let queued = [spawn("bad/count"), spawn("bad/count")];
    // Both are in the queue once they were polled.
    tokio::task::yield_now().await;
    check_refused("excess", bench.ask("bad/count").await, ErrorKind::Busy, &["bad/ is busy", "queue of 2"]);
    assert!(!running.is_finished() && queued.iter().all(|request| !request.is_finished()), "it was told at once");
    assert_eq!(bench.count("good").await, 1, "another mount has a queue of its own");

    running.abort();
    for request in queued {
        within(request).await.expect("the request was not aborted").expect("who waited is served");
    }
    assert_eq!(bench.count("bad").await, 3, "and the queue is empty again");
}

#[tokio::test]
async fn idle_instances_give_way() {
    let bench = Bench::with_hostile(Limits { instances_max: 2, ..limits() }).await;
    bench.enable("third", &[]).await.expect("another mount's idle instance gives way");
    for _ in 0..3 {
        for mount in ["bad", "good", "third"] {
            assert_eq!(bench.count(mount).await, 1, "the instance that was idle longest went: {mount}'s");
        }
    }
    assert_eq!([bench.count("good").await, bench.count("third").await], [2, 2], "and two fit");
}

#[tokio::test]
async fn who_finds_every_instance_busy_waits_for_one() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(Limits { instances_max: 1, ..patient() }).await;
    let host = bench.host.clone();
    let busy = tokio::spawn(async move { ask(&host, "bad/sleep").await });
    within(journal.says("asleep", 1)).await;
    let host = bench.host.clone();
    let waiting = tokio::spawn(async move { ask(&host, "good/count").await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    busy.abort();
    within(waiting).await.expect("the request was not aborted").expect("who waited is served");
}

#[tokio::test]
async fn who_waits_in_vain_is_told_so() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(Limits { instances_max: 1, ..limits() }).await;
    // A mount that starts may take longer than a request.
    let host = bench.host.clone();
    let starting = tokio::spawn(async move { host.enable(mount_request("late", &[("initialize", "sleep")])).await });
    within(journal.says("asleep", 1)).await;
    check_refused("vain", bench.ask("good/count").await, ErrorKind::Busy, &["good/ is busy", "every instance"]);
    assert!(!starting.is_finished());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_leaks_no_turn_and_no_instance() {
    const MOUNTS: [&str; 3] = ["bad", "good", "third"];
    const DEEDS: [&str; 4] = ["count", "panic", "spin", "sleep"];
    let bench = Bench::with_hostile(Limits { instances_max: 2, mount_queue_max: 4, ..patient() }).await;
    bench.enable("third", &[]).await.expect("it can be mounted");
    let storm: Vec<_> = (0..120)
        .map(|n| {
            let mut request = request(&format!("{}/{}", MOUNTS[n % MOUNTS.len()], DEEDS[n % DEEDS.len()]));
            request.deadline = Some(Duration::from_millis(20 * (n as u64 % 7)));
            let host = bench.host.clone();
            let task = tokio::spawn(async move { host.handle(request).await });
            (n, task)
        })
        .collect();
    for (n, task) in storm {
        if n % 5 == 0 {
            task.abort();
        }
        // Whatever became of it, it is over.
        drop(within(task).await);
    }

    // As many instances live as may, and every mount has its one turn.
    let host = bench.host.clone();
    let sleeper = tokio::spawn(async move { ask(&host, "third/sleep").await });
    for mount in ["bad", "good", "bad", "good"] {
        bench.count(mount).await;
    }
    sleeper.abort();
    drop(within(sleeper).await);
    for mount in MOUNTS {
        bench.count(mount).await;
    }
}
