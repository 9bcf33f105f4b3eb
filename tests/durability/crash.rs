//! `kill -9` at any instant: every batch that was acknowledged is there, and no batch is there in part.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;

use cofferdam::storage::{Batch, DurableStorage, Storage as _};
use futures_util::future::join_all;

use super::role;

const ROUNDS: u64 = 30;
/// Enough to be killed with several batches in one transaction.
const COMMITTERS: u64 = 8;
const KEYS_PER_BATCH: usize = 4;

#[tokio::test]
async fn acknowledged_batches_survive_being_killed() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        // A fixed spread: from a kill before anything is stored to one in the middle of much work.
        let kill_after = (round * 37 % 101) as usize;
        acknowledged.extend(killed_after(kill_after, &store));
        check(&store, &acknowledged).await;
    }
    assert!(acknowledged.len() > 1_000, "only {} batches were acknowledged", acknowledged.len());
}

/// Runs a child until it has acknowledged so many batches, kills it, and returns all that it has acknowledged.
fn killed_after(count: usize, store: &Path) -> Vec<u64> {
    let mut child = role::command("commit", store).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut killed = false;
    for line in output.lines() {
        // The last line may be cut off: only one that ends in a full stop counts.
        let line = line.unwrap();
        let number = line.strip_prefix("stored ").and_then(|rest| rest.strip_suffix('.'));
        acknowledged.extend(number.and_then(|number| number.parse::<u64>().ok()));
        if !killed && (line == "begins." || number.is_some()) && acknowledged.len() >= count {
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(killed && !child.wait().unwrap().success(), "the child ended by itself");
    acknowledged
}

async fn check(store: &Path, acknowledged: &[u64]) {
    let storage = DurableStorage::open(store).unwrap();
    let mut batches = BTreeMap::<u64, usize>::new();
    for key in storage.keys("batch/", usize::MAX).await.unwrap() {
        let number: u64 = key.split('/').nth(1).unwrap().parse().unwrap();
        assert_eq!(storage.get(&key).await.unwrap().unwrap(), value(number));
        *batches.entry(number).or_default() += 1;
    }
    for (number, keys) in &batches {
        assert_eq!(*keys, KEYS_PER_BATCH, "batch {number} is there in part");
    }
    for number in acknowledged {
        assert!(batches.contains_key(number), "batch {number} was acknowledged and is gone");
    }
}

/// Some values fit into a page of the database, others need several.
fn value(number: u64) -> Vec<u8> {
    vec![number as u8; 1 << (number % 15)]
}

/// The child: commits batch after batch from several tasks, and says of each when it is stored.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn commit_until_killed(store: &Path) {
    let storage = Arc::new(DurableStorage::open(store).unwrap());
    let stored = storage.list("batch/", None, usize::MAX).await.unwrap();
    let first =
        stored.iter().filter_map(|child| child.trim_end_matches('/').parse::<u64>().ok()).max().map_or(0, |n| n + 1);
    println!("begins.");
    join_all((0..COMMITTERS).map(|committer| {
        let storage = Arc::clone(&storage);
        async move {
            for number in (first + committer..).step_by(COMMITTERS as usize) {
                let keys = (0..KEYS_PER_BATCH).map(|key| format!("batch/{number}/{key}"));
                let batch = keys.fold(Batch::default(), |batch, key| batch.put(key, value(number)));
                storage.commit(batch).await.unwrap();
                println!("stored {number}.");
            }
        }
    }))
    .await;
}

#[tokio::test]
async fn what_is_queued_is_stored_when_the_store_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let storage = Arc::new(DurableStorage::open(&store).unwrap());
    let callers: Vec<_> = (0..50)
        .map(|number| {
            let storage = Arc::clone(&storage);
            tokio::spawn(async move { storage.commit(Batch::default().put(format!("{number:02}"), "x")).await })
        })
        .collect();
    // Each caller runs up to where it waits for its answer, and then stops waiting.
    tokio::task::yield_now().await;
    callers.iter().for_each(|caller| caller.abort());
    join_all(callers).await;
    drop(storage);
    assert_eq!(DurableStorage::open(&store).unwrap().keys("", 99).await.unwrap().len(), 50);
}
