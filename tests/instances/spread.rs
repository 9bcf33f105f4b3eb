//! Several instances of one mount.

use cofferdam::{ErrorKind, InstanceLimits, InstancePolicy, Limits, Tune};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

use crate::stage::{Entry, Stage, mount};

fn instances(answers: &[Value]) -> BTreeSet<u64> {
    answers.iter().map(|answer| answer["instance"].as_u64().expect("it is a number")).collect()
}

/// Asks so many times at once, with all of them inside at the same time.
async fn at_once(stage: &Stage, path: &str, count: u32) -> Vec<Value> {
    let asked = join_all((0..count).map(|_| stage.read(path)));
    let opened = async {
        stage.gate.arrivals(count).await;
        stage.gate.open(count as usize);
    };
    let (answers, ()) = tokio::join!(asked, opened);
    answers.into_iter().map(|answer| answer.expect("it answers")).collect()
}

/// What a request wrote, every request that begins after its answer sees, whichever instance answers.
#[tokio::test]
async fn no_instance_answers_with_what_another_has_overwritten() {
    for instances_are in [InstancePolicy::PerMount, InstancePolicy::Pooled] {
        let stage = Stage::new().await;
        stage.register(Entry::of("shelf.wasm", instances_are)).await;
        stage.enable("shelf").await;
        let found = instances(&at_once(&stage, "shelf/instance", 4).await);
        assert_eq!(found.len(), 4, "{instances_are:?}: four at once need four instances");
        for round in 0..50 {
            stage.write("shelf/cached/a", &json!({ "value": round })).await.expect("it is stored");
            // All four remember what was there, and none may say so.
            let read = join_all((0..8).map(|_| stage.read("shelf/cached/a"))).await;
            for answer in read {
                assert_eq!(answer.expect("it answers")["value"], json!(round), "{instances_are:?}");
            }
        }
        let again = instances(&at_once(&stage, "shelf/instance", 4).await);
        assert_eq!(again, found, "{instances_are:?}: the same ones still");
        stage.end().await;
    }
}

#[tokio::test]
async fn somebody_elses_write_is_told_to_every_instance() {
    let stage = Stage::new().await;
    stage.register(Entry::of("shelf.wasm", InstancePolicy::PerMount)).await;
    stage.enable("shelf").await;
    at_once(&stage, "shelf/instance", 4).await;
    let remembered = async || -> usize {
        let answers = join_all((0..40).map(|_| stage.read("shelf/cached/a"))).await;
        answers.iter().filter(|answer| answer.as_ref().expect("it answers")["remembered"] == json!(true)).count()
    };
    remembered().await;
    assert_eq!(remembered().await, 40, "each instance has read it");
    stage.host.invalidate(&mount("shelf"), "a").await.expect("they are told");
    let after = remembered().await;
    assert!((36..40).contains(&after), "up to four instances read it again: {after}");
    stage.end().await;
}

/// A plugin that keeps a mount to one instance counts right, and one that may be spread has as many as it is given.
#[tokio::test]
async fn as_many_instances_answer_as_were_chosen() {
    let stage = Stage::new().await;
    let limits = InstanceLimits { max_instances: Some(2), ..InstanceLimits::default() };
    stage.register(Entry { limits, ..Entry::of("shelf.wasm", InstancePolicy::PerMount) }).await;
    stage.enable("shelf").await;
    // Two inside, and the others wait for them.
    let asked = join_all((0..6).map(|_| stage.read("shelf/instance")));
    let opened = async {
        for _ in 0..3 {
            stage.gate.arrivals(2).await;
            stage.gate.open(2);
        }
    };
    let (answers, ()) = tokio::join!(asked, opened);
    let answers: Vec<Value> = answers.into_iter().map(|answer| answer.expect("it answers")).collect();
    assert_eq!(instances(&answers).len(), 2);
    assert_eq!(stage.live().0, 2);
    // The mount's own choice counts more, and at once.
    let tune = Tune {
        instance_limits: InstanceLimits { max_instances: Some(3), ..InstanceLimits::default() },
        ..Tune::default()
    };
    stage.host.tune(&mount("shelf"), tune).await.expect("it is tuned");
    assert_eq!(instances(&at_once(&stage, "shelf/instance", 3).await).len(), 3);
    let tune = Tune { instances: Some(InstancePolicy::PerRequest), ..Tune::default() };
    stage.host.tune(&mount("shelf"), tune).await.expect("it is tuned");
    assert_eq!(instances(&at_once(&stage, "shelf/instance", 3).await).len(), 3);
    assert_eq!(stage.live().0, 0, "none outlives its request");
    let info = stage.host.mount(&mount("shelf")).expect("it is there");
    assert_eq!(info.running_instances, Some(InstancePolicy::PerRequest));
    stage.end().await;
}

#[tokio::test]
async fn where_all_are_busy_a_request_is_told_so_in_time() {
    let limits = Limits {
        mount_queue_max: 2,
        request_deadline: Duration::from_millis(300),
        instances_max: 24,
        ..Limits::default()
    };
    let stage = Stage::with(limits).await;
    let limits = InstanceLimits { max_instances: Some(1), ..InstanceLimits::default() };
    stage.register(Entry { limits, ..Entry::of("shelf.wasm", InstancePolicy::PerMount) }).await;
    stage.enable("shelf").await;
    let outcomes = join_all((0..4).map(|_| stage.read("shelf/instance"))).await;
    let mut said = Vec::new();
    for outcome in outcomes {
        let error = outcome.expect_err("nobody gets through the gate");
        assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::DeadlineExceeded), "{error}");
        said.push(error.message().to_owned());
    }
    // One was inside, two waited, and the fourth found the queue full.
    let count = |phrase: &str| said.iter().filter(|text| text.contains(phrase)).count();
    assert_eq!(count("its queue of 2 is full; try again later"), 1, "{said:?}");
    assert_eq!(count("did not answer within 300ms") + count("until the deadline"), 3, "{said:?}");
    stage.gate.open(1);
    stage.read("shelf/instance").await.expect("the next one is answered");
    stage.end().await;
}

#[tokio::test]
async fn an_instance_ends_after_so_many_requests() {
    let stage = Stage::new().await;
    let limits = InstanceLimits { max_instances: Some(1), max_requests: Some(3), ..InstanceLimits::default() };
    stage.register(Entry { limits, ..Entry::of("shelf.wasm", InstancePolicy::PerMount) }).await;
    stage.enable("shelf").await;
    stage.gate.open(9);
    let mut answers = Vec::new();
    for _ in 0..9 {
        answers.push(stage.read("shelf/instance").await.expect("it answers"));
    }
    assert_eq!(instances(&answers).len(), 3);
    stage.end().await;
}
