//! Mounts that have instances in common.

use cofferdam::{InstanceLimits, InstancePolicy};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::stage::{Entry, Stage, mount};

/// The same every time, so that a failure can be repeated.
struct Random(u64);

impl Random {
    /// xorshift64*
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

const MOUNTS: u64 = 200;

const REQUESTS_PER_MOUNT: u64 = 25;

/// Five thousand requests of two hundred mounts at once, in few instances: each sees its own mount's storage, options
/// and path, and what it stored itself last. Some are given up halfway, and some crash the instance that others are in.
async fn no_wires_are_crossed(file: &str, seed: u64) {
    let stage = Stage::new().await;
    let limits = InstanceLimits { max_instances: Some(4), ..InstanceLimits::default() };
    stage.register(Entry { limits, ..Entry::of(file, InstancePolicy::Pooled) }).await;
    for at in 0..MOUNTS {
        stage.enable_with(&format!("m{at}"), &[("owner", &at.to_string())]).await;
    }
    assert!(stage.live().0 <= 4, "{:?}", stage.live());
    let stage = &stage;
    join_all((0..MOUNTS).map(|at| async move {
        let mut random = Random(seed.wrapping_mul(31).wrapping_add(at + 1));
        // What may be stored under each key: one value, or two where the write of the second was given up.
        let mut stored: [Vec<Value>; 3] = [const { Vec::new() }; 3];
        for round in 0..REQUESTS_PER_MOUNT {
            let key = random.below(3);
            let path = format!("m{at}/kv/k{key}");
            let about = format!("seed {seed}, mount {at}, round {round}");
            match random.below(10) {
                0..4 => {
                    let value = json!({ "mount": at, "round": round });
                    stage.write(&path, &value).await.unwrap_or_else(|error| panic!("{about}: {error}"));
                    stored[key as usize] = vec![value];
                }
                4..8 => {
                    let found = match stage.read(&path).await {
                        Ok(found) => found,
                        Err(error) => panic!("{about}: {error}"),
                    };
                    let known = &stored[key as usize];
                    let expected = if known.is_empty() { found.is_null() } else { known.contains(&found) };
                    assert!(expected, "{about}: {found} instead of {known:?}");
                }
                8 => {
                    let seen =
                        stage.read(&format!("m{at}/seen")).await.unwrap_or_else(|error| panic!("{about}: {error}"));
                    assert_eq!(seen["options"], json!([["owner", at.to_string()]]), "{about}");
                    assert_eq!(seen["mount_path"], json!(format!("m{at}/")), "{about}");
                }
                _ => {
                    // Given up after so many polls.
                    let value = json!({ "mount": at, "round": round });
                    let mut write = Box::pin(stage.write(&path, &value));
                    for _ in 0..random.below(6) {
                        if futures_util::poll!(&mut write).is_ready() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                    drop(write);
                    stored[key as usize].push(value);
                    if stored[key as usize].len() == 1 {
                        // It may as well not be there.
                        stored[key as usize].push(Value::Null);
                    }
                }
            }
        }
    }))
    .await;
    let (live, _, _) = stage.live();
    assert!(live <= 5, "no more than four, and one that retires: {live}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mounts_that_share_plain_instances_see_only_their_own() {
    for seed in [1, 2] {
        no_wires_are_crossed("probe_plugin.wasm", seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mounts_that_share_instances_of_the_async_world_see_only_their_own() {
    for seed in [3, 4] {
        no_wires_are_crossed("async-probe.wasm", seed).await;
    }
}

/// A mount that goes leaves nothing in the instances that it shared, and the others notice nothing.
#[tokio::test]
async fn a_mount_that_ends_is_forgotten_where_it_was() {
    let stage = Stage::new().await;
    let limits = InstanceLimits { max_instances: Some(1), ..InstanceLimits::default() };
    stage.register(Entry { limits, ..Entry::of("shelf.wasm", InstancePolicy::Pooled) }).await;
    for path in ["a", "b"] {
        stage.enable(path).await;
        stage.write(&format!("{path}/cached/k"), &json!({ "value": path })).await.expect("it is stored");
    }
    let instance = stage.read("a/cached/k").await.expect("it answers")["instance"].clone();
    stage.host.disable(&mount("b")).await.expect("it can be disabled");
    let answer = stage.read("a/cached/k").await.expect("it answers");
    assert_eq!((&answer["instance"], &answer["remembered"]), (&instance, &json!(true)));
    stage.enable("b").await;
    let answer = stage.read("b/cached/k").await.expect("it answers");
    assert_eq!((&answer["instance"], &answer["value"]), (&instance, &Value::Null));
    stage.end().await;
}

/// Programs that differ share nothing, and neither do mounts that keep theirs in another way.
#[tokio::test]
async fn only_what_is_alike_is_shared() {
    let stage = Stage::new().await;
    stage.register(Entry::of("shelf.wasm", InstancePolicy::Pooled)).await;
    for path in ["a", "b", "alone"] {
        stage.enable(path).await;
    }
    let tune = cofferdam::Tune { instances: Some(InstancePolicy::PerMount), ..cofferdam::Tune::default() };
    stage.host.tune(&mount("alone"), tune).await.expect("it is tuned");
    stage.gate.open(3);
    let mut found = Vec::new();
    for path in ["a", "b", "alone"] {
        found.push(stage.read(&format!("{path}/instance")).await.expect("it answers")["instance"].clone());
    }
    assert_eq!(found[0], found[1]);
    assert_ne!(found[0], found[2]);
    stage.end().await;
}
