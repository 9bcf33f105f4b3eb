//! Each way to misbehave in a request: it ends with a clear error, the instance is replaced, and the mount beside it
//! answers before, during and after.

use cofferdam::{ErrorKind, Limits};

use crate::bench::{Bench, SECRET, check_refused, limits, request, within};
use crate::journal::Journal;

/// What happens to the instance that misbehaved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It is gone, and the next request gets a fresh one.
    Replaced,
    /// It lives on: it answered, only not what it may.
    Kept,
}

use ErrorKind::{DeadlineExceeded, Internal, PluginFault};
use Then::{Kept, Replaced};

const FAULTS: [(&str, ErrorKind, &str, Then); 17] = [
    ("spin", DeadlineExceeded, "did not answer within", Replaced),
    ("sleep", DeadlineExceeded, "did not answer within", Replaced),
    ("exists-spin", DeadlineExceeded, "did not answer within", Replaced),
    ("exists-panic", PluginFault, "it trapped: wasm `unreachable`", Replaced),
    ("allocate", PluginFault, "it had reached its memory limit of 16 MiB", Replaced),
    ("recurse", PluginFault, "it trapped: ", Replaced),
    ("panic", PluginFault, "it trapped: wasm `unreachable`", Replaced),
    ("exit", PluginFault, "it called exit(", Replaced),
    ("random", PluginFault, "requested len 1073741824 exceeds limit 65536", Replaced),
    ("huge", PluginFault, "fuel allocated for hostcalls has been exhausted", Replaced),
    ("deep", PluginFault, "nested more than 500 deep", Kept),
    ("raw-deep", PluginFault, "nested more than 500 deep", Kept),
    ("raw-99", PluginFault, "a status that HTTP does not have", Kept),
    ("raw-600", PluginFault, "a status that HTTP does not have", Kept),
    ("raw-secret", PluginFault, "raw responses cannot contain secrets or auth", Kept),
    ("login", PluginFault, "a login, which only an auth method may", Kept),
    ("login-secret", PluginFault, "a login", Kept),
];

#[tokio::test]
async fn misbehaviour_ends_in_an_error_that_nobody_else_notices() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(limits()).await;
    let mut others = bench.count("good").await;
    for (what, kind, phrase, then) in FAULTS {
        let before = bench.count("bad").await;
        let path = format!("bad/{what}");
        let (outcome, during) = tokio::join!(bench.ask(&path), bench.count("good"));
        check_refused(what, outcome, kind, &["plugin hostile", "at bad/", phrase]);
        let (after, beside) = (bench.count("bad").await, bench.count("good").await);
        let expected = if then == Replaced { 1 } else { before + 1 };
        assert_eq!(after, expected, "{what}: the instance that answers next");
        assert_eq!([during, beside], [others + 1, others + 2], "{what}: the other mount's instance goes on");
        others = beside;
    }
    for line in journal.lines() {
        assert!(!line.whole.contains(SECRET), "the log shows the secret: {line:?}");
        assert!(!line.whole.chars().any(char::is_control), "the log has a control character: {line:?}");
    }
}

#[tokio::test]
async fn an_error_that_a_plugin_returns_is_its_own_and_cannot_forge_a_line() {
    let journal = Journal::begin();
    let bench = Bench::with_hostile(limits()).await;
    check_refused("error", bench.ask("bad/error").await, Internal, &["forged line", "red"]);
    assert_eq!([bench.count("bad").await, bench.count("bad").await], [1, 2], "the instance lives on");
    assert!(journal.lines().iter().all(|line| !line.whole.chars().any(char::is_control)));
}

#[tokio::test]
async fn a_limit_that_was_met_earlier_is_not_blamed_later() {
    let bench = Bench::with_hostile(limits()).await;
    assert_eq!(bench.ask("bad/allocate-gently").await.expect("the plugin copes")["refused"], true);
    let error = bench.ask("bad/panic").await.expect_err("the plugin panics");
    assert!(!error.message().contains("memory"), "{error}");
}

#[tokio::test]
async fn a_request_that_does_not_fit_into_the_sandbox_ends_there() {
    let bench = Bench::with_hostile(limits()).await;
    let large = format!(r#"{{"password": "{SECRET}{}"}}"#, "x".repeat(20 << 20));
    let outcome = within(bench.host.handle(request("bad/count").with_data(large))).await;
    check_refused("large", outcome, PluginFault, &["plugin hostile", "at bad/", "memory limit of 16 MiB"]);
    assert_eq!([bench.count("bad").await, bench.count("good").await], [1, 1]);
}

#[tokio::test]
async fn handles_that_are_never_given_back_come_to_an_end() {
    let bench = Bench::with_hostile(Limits { instance_handles_max: 100, ..limits() }).await;
    let mut calls = 0;
    let end = loop {
        match bench.ask("bad/leak").await {
            Ok(answer) => assert_eq!(answer["opened"], 4, "each call may open as many as the first"),
            Err(error) => break Err::<(), _>(error),
        }
        calls += 1;
        assert!(calls < 100, "it leaks without end");
    };
    assert!(calls > 1, "it may open some");
    check_refused("leak", end, PluginFault, &["plugin hostile", "at bad/", "crashed"]);
    assert_eq!([bench.count("bad").await, bench.count("good").await], [1, 1]);
}

#[tokio::test]
async fn what_was_stored_before_a_fault_is_there_after_it() {
    let bench = Bench::with_hostile(limits()).await;
    bench.ask("bad/put/a").await.expect("a value can be stored");
    for (what, ..) in FAULTS {
        bench.ask(&format!("bad/{what}")).await.expect_err("it misbehaves");
    }
    assert_eq!(bench.ask("bad/get/a").await.expect("the value is there")["password"], SECRET);
}
