//! Plugins whose instances serve many requests at once: requests overlap, and whoever misbehaves or is given up hurts
//! nobody more than it must.

use std::time::Duration;

use cofferdam::{Error, ErrorKind, Limits};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::bench::{Bench, ask, check_refused, component, limits, within};
use crate::journal::Journal;

use ErrorKind::{Busy, DeadlineExceeded, PluginFault, Unavailable};

/// Requests that nothing but the test ends, and cancelled ones that get little time.
fn patient() -> Limits {
    Limits { request_deadline: Duration::from_secs(50), cancel_grace: Duration::from_millis(200), ..limits() }
}

/// The same, with requests that run out of time.
fn hasty() -> Limits {
    Limits { request_deadline: Duration::from_millis(500), ..patient() }
}

/// Starts a host with the hostile plugin of the async world at `bad/` and once more, to be left alone, at `good/`.
async fn bench(limits: Limits) -> Bench {
    let bench = Bench::start(limits).await;
    bench.register("hostile", &component("async-hostile"), |_| ()).await.expect("the plugin can be registered");
    for path in ["bad", "good"] {
        bench.enable(path, &[]).await.expect("the plugin can be mounted");
    }
    bench
}

impl Bench {
    fn spawn(&self, path: &'static str) -> JoinHandle<Result<Value, Error>> {
        let host = self.host.clone();
        tokio::spawn(async move { ask(&host, path).await })
    }
}

async fn joined<T>(task: JoinHandle<T>) -> T {
    within(task).await.expect("the request was not aborted")
}

#[tokio::test]
async fn requests_overlap_in_one_instance() {
    let journal = Journal::begin();
    let bench = bench(patient()).await;
    assert_eq!(bench.count("bad").await, 1);
    let waiting: Vec<_> = (0..20).map(|_| bench.spawn("bad/wait/bell")).collect();
    within(journal.says("waiting", 20)).await;
    // Nothing but a later request to the same instance lets them go on.
    assert!(waiting.iter().all(|request| !request.is_finished()));
    bench.ask("bad/ring/bell").await.expect("the instance answers while others wait in it");
    for request in waiting {
        assert_eq!(joined(request).await.expect("it is answered"), json!({ "rung": true }));
    }
    assert_eq!(bench.count("bad").await, 2, "it was one instance all the time");
}

#[tokio::test]
async fn a_hundred_naps_take_little_longer_than_one() {
    let bench = bench(Limits { instance_calls_max: 100, ..patient() }).await;
    assert_eq!(bench.count("bad").await, 1);
    let begun = std::time::Instant::now();
    let napping: Vec<_> = (0..100).map(|_| bench.spawn("bad/nap/100000000")).collect();
    for request in napping {
        assert_eq!(joined(request).await.expect("it is answered"), json!({ "slept": true }));
    }
    // One after the other they would take ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(bench.count("bad").await, 2);
}

#[tokio::test]
async fn no_more_are_in_flight_than_may_be() {
    let journal = Journal::begin();
    let bench = bench(Limits { instance_calls_max: 2, mount_queue_max: 1, ..patient() }).await;
    let waiting = [bench.spawn("bad/wait/bell"), bench.spawn("bad/wait/bell")];
    within(journal.says("waiting", 2)).await;
    let queued = bench.spawn("bad/ring/bell");
    tokio::task::yield_now().await;
    check_refused("excess", bench.ask("bad/count").await, Busy, &["bad/ is busy", "queue of 1"]);
    assert!(!queued.is_finished());
    let [one, other] = waiting;
    one.abort();
    joined(queued).await.expect("it has its turn when another is given up");
    assert_eq!(joined(other).await.expect("it is answered"), json!({ "rung": true }));
}

#[tokio::test]
async fn a_crash_fails_the_requests_of_that_instance_and_no_others() {
    let journal = Journal::begin();
    let bench = bench(patient()).await;
    for (crash, report) in [("bad/panic", "it trapped: wasm `unreachable`"), ("bad/exit", "it called exit(")] {
        let beside = bench.spawn("good/wait/bell");
        let waiting = [bench.spawn("bad/wait/bell"), bench.spawn("bad/sleep")];
        within(journal.says("waiting", 2)).await;
        within(journal.says("asleep", 1)).await;
        check_refused(crash, bench.ask(crash).await, PluginFault, &["plugin hostile", "at bad/", report]);
        for request in waiting {
            let phrases = ["lost this request", "another request crashed the instance", report, "may be tried again"];
            check_refused(crash, joined(request).await, Unavailable, &phrases);
        }
        assert_eq!(bench.count("bad").await, 1, "a fresh instance answers");
        bench.ask("good/ring/bell").await.expect("the other mount's instance goes on");
        assert_eq!(joined(beside).await.expect("it is answered"), json!({ "rung": true }));
        bench.ask("good/panic").await.expect_err("it panics");
        journal.forget();
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_ends_and_its_instance_lives() {
    let journal = Journal::begin();
    let bench = bench(hasty()).await;
    assert_eq!(bench.count("bad").await, 1);
    for (request, last_words) in
        [("bad/wait/never", "cancelled"), ("bad/sleep", "given up"), ("bad/nap-for-ever", "cancelled")]
    {
        // Whoever asked leaves.
        let leaving = bench.spawn(request);
        within(journal.says(if request == "bad/wait/never" { "waiting" } else { "asleep" }, 1)).await;
        leaving.abort();
        within(journal.says(last_words, 1)).await;
        journal.forget();
        // Its time runs out.
        check_refused(request, bench.ask(request).await, DeadlineExceeded, &["did not answer within 500ms"]);
        within(journal.says(last_words, 1)).await;
        journal.forget();
    }
    assert_eq!(bench.count("bad").await, 2, "it is the same instance");
}

#[tokio::test]
async fn one_that_ignores_its_cancellation_loses_its_instance_and_hurts_nobody() {
    let journal = Journal::begin();
    let bench = bench(patient()).await;
    assert_eq!(bench.count("bad").await, 1);
    let host = bench.host.clone();
    let mut longer = crate::bench::request("bad/wait/bell");
    longer.deadline = Some(Duration::from_secs(3));
    let other = tokio::spawn(async move { host.handle(longer).await });
    let deaf = bench.spawn("bad/wait-deaf/never");
    within(journal.says("waiting", 2)).await;
    deaf.abort();
    // The instance takes no new requests once the grace is over, and then another one counts from the beginning. It
    // comes when the old one has nobody in it any more: the plugin keeps its mounts to one instance.
    within(async { while bench.count("bad").await != 1 {} }).await;
    assert!(other.is_finished(), "two instances answer for one mount");
    check_refused("other", joined(other).await, DeadlineExceeded, &["did not answer within 3s"]);
    assert_eq!(bench.count("bad").await, 2);
}

#[tokio::test]
async fn one_that_computes_or_blocks_past_its_deadline_is_stopped() {
    let journal = Journal::begin();
    let bench = bench(hasty()).await;
    for (deed, begins) in [("bad/spin", "spinning"), ("bad/block", "blocked")] {
        assert_eq!(bench.count("bad").await, 1);
        let host = bench.host.clone();
        let mut longer = crate::bench::request("bad/wait/never");
        longer.deadline = Some(Duration::from_millis(500));
        let waiting = tokio::spawn(async move { host.handle(longer).await });
        within(journal.says("waiting", 1)).await;
        let stuck = bench.spawn(deed);
        within(journal.says(begins, 1)).await;
        check_refused(deed, joined(stuck).await, DeadlineExceeded, &["did not answer within 500ms"]);
        joined(waiting).await.expect_err("it waits for what never comes");
        // Whoever comes while it is stuck is told to come again.
        within(async {
            while let Err(error) = bench.ask("bad/ring/x").await {
                assert!(matches!(error.kind(), Unavailable | DeadlineExceeded), "{error}");
            }
        })
        .await;
        bench.count("good").await;
        journal.forget();
        bench.ask("bad/panic").await.expect_err("a fresh instance for the next");
    }
}

#[tokio::test]
async fn a_context_that_is_kept_or_guessed_ends_the_instance() {
    let journal = Journal::begin();
    let bench = bench(patient()).await;
    bench.ask("good/put/a").await.expect("a value can be stored");
    for rest in ["keep-context", "guess/0", "guess/9", "guess/999", "guess/4294967295"] {
        assert_eq!(bench.count("bad").await, 1);
        check_refused(rest, bench.ask(&format!("bad/{rest}")).await, PluginFault, &["at bad/", "crashed"]);
    }
    // The number of a call that is over, while nobody else has it.
    let waiting = bench.spawn("bad/wait/bell");
    within(journal.says("waiting", 1)).await;
    bench.ask("bad/note-context").await.expect("knowing a number is no crime");
    bench.ask("bad/ring/bell").await.expect("it rings");
    joined(waiting).await.expect("it is answered");
    check_refused("noted", bench.ask("bad/use-noted").await, PluginFault, &["at bad/", "crashed"]);
    assert_eq!([bench.count("bad").await, bench.count("good").await], [1, 1]);
}

#[tokio::test]
async fn a_transaction_ends_with_the_call_that_began_it() {
    let bench = bench(patient()).await;
    bench.ask("bad/keep-transaction").await.expect("it can be kept");
    let used = bench.ask("bad/use-kept").await.expect("using it is an error and no crime");
    for what in ["get", "put", "commit"] {
        assert!(used[what].as_str().is_some_and(|result| result.contains("the transaction is over")), "{used}");
    }
    let opened = bench.ask("bad/transactions").await.expect("it is told when it is enough");
    assert_eq!(opened["open"], 4);
    assert_eq!(bench.ask("bad/transactions").await.expect("they ended with their call")["open"], 4);
}

#[tokio::test]
async fn bodies_that_do_not_fit_together_are_refused_before_they_enter() {
    let journal = Journal::begin();
    let bench = bench(patient()).await;
    let body = |bytes: usize| format!(r#"{{"data": "{}"}}"#, "x".repeat(bytes));
    let send = |path: &str, bytes: usize| {
        let (host, request) = (bench.host.clone(), crate::bench::request(path).with_data(body(bytes)));
        tokio::spawn(async move { host.handle(request).await.map(drop) })
    };
    for round in 1..=3 {
        let waiting: Vec<_> = (0..12).map(|_| bench.spawn("bad/wait/bell")).collect();
        within(journal.says("waiting", 12)).await;
        let large: Vec<_> = (0..8).map(|_| send("bad/wait/bell", 3 << 20)).collect();
        let (mut entered, mut refused) = (Vec::new(), 0);
        within(journal.says("waiting", 14)).await;
        for request in large {
            tokio::task::yield_now().await;
            if request.is_finished() {
                refused += 1;
                let phrases = ["bad/ is busy", "other requests take the memory", "instance_memory_bytes_max"];
                check_refused("large", joined(request).await, Busy, &phrases);
            } else {
                entered.push(request);
            }
        }
        assert_eq!((entered.len(), refused), (2, 6), "of 16 MiB, each takes six");
        let phrases = ["hostile at bad/ cannot take this request", "instance_memory_bytes_max"];
        check_refused("larger", joined(send("bad/ring/bell", 9 << 20)).await, ErrorKind::TooLarge, &phrases);
        assert_eq!(bench.count("good").await, round);
        bench.ask("bad/ring/bell").await.expect("who sends little is served");
        for request in waiting {
            joined(request).await.expect("nobody's request was lost");
        }
        for request in entered {
            joined(request).await.expect("and neither were those that fit");
        }
        assert_eq!(bench.count("bad").await, round, "it is the same instance");
        bench.ask("bad/unring/bell").await.expect("it waits again");
        journal.forget();
    }
}
