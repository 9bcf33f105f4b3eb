//! What the host keeps for a plugin has a bound, and is refused before it is kept: whatever waits, is open, or comes
//! back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cofferdam::Limits;
use cofferdam::storage::{Batch, Change, MemoryStorage, Snapshot, Storage, StorageError};
use tokio::sync::watch;

use crate::bench::{Bench, ask, component, limits, within};
use crate::journal::Journal;

const VALUE_BYTES: usize = 64 << 10;

/// What the host may keep for one instance: less than any of these plugins asks for.
const HOST_BYTES: usize = 1 << 20;

fn small() -> Limits {
    Limits {
        request_deadline: Duration::from_secs(50),
        instance_host_bytes_max: HOST_BYTES,
        storage_value_bytes_max: VALUE_BYTES,
        ..limits()
    }
}

/// A storage of which everything that concerns what is hoarded waits behind a door.
#[derive(Clone)]
struct Doored(Arc<Inside>);

struct Inside {
    stored: MemoryStorage,
    is_open: watch::Sender<bool>,
    /// Bytes of values that wait to be stored, and the most that there were.
    waiting: [AtomicUsize; 2],
    /// Values that are being read, and the most that there were.
    reading: [AtomicUsize; 2],
}

impl Doored {
    fn new() -> Self {
        let inside = Inside {
            stored: MemoryStorage::new(),
            is_open: watch::Sender::new(false),
            waiting: Default::default(),
            reading: Default::default(),
        };
        Self(Arc::new(inside))
    }

    async fn enter(&self, counts: &[AtomicUsize; 2], by: usize) {
        let now = counts[0].fetch_add(by, Ordering::SeqCst) + by;
        counts[1].fetch_max(now, Ordering::SeqCst);
        self.0.is_open.subscribe().wait_for(|is_open| *is_open).await.expect("the door is there");
        counts[0].fetch_sub(by, Ordering::SeqCst);
    }

    fn most(counts: &[AtomicUsize; 2]) -> usize {
        counts[1].load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Storage for Doored {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        if key.ends_with("/large") {
            self.enter(&self.0.reading, 1).await;
        }
        self.0.stored.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        self.0.stored.list(prefix, after, limit).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        self.0.stored.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let hoarded = batch.changes.iter().filter(|change| change.key().contains("/hoard/"));
        let bytes: usize = hoarded.map(|change| if let Change::Put(_, value) = change { value.len() } else { 0 }).sum();
        if bytes > 0 {
            self.enter(&self.0.waiting, bytes).await;
        }
        self.0.stored.commit(batch).await
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError> {
        self.0.stored.keys(prefix, limit).await
    }
}

/// Starts a host with the hostile plugin of the async world at `bad/` and at `good/`.
async fn waiting(storage: &Doored) -> Bench {
    let bench = Bench::start_on(storage.clone(), small()).await;
    bench.register("hostile", &component("async-hostile"), |_| ()).await.expect("the plugin can be registered");
    for path in ["bad", "good"] {
        bench.enable(path, &[]).await.expect("the plugin can be mounted");
    }
    bench
}

/// Returns the numbers in what a plugin says that hoards: what waits, and what was refused.
async fn hoarding(journal: &Journal) -> [usize; 2] {
    let said = within(async {
        loop {
            let said =
                journal.lines().into_iter().find_map(|line| line.message.strip_prefix("hoarding: ").map(str::to_owned));
            match said {
                Some(said) => break said,
                None => tokio::task::yield_now().await,
            }
        }
    });
    let said = said.await;
    let mut numbers = said.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    std::array::from_fn(|_| numbers.next().expect("it says two numbers"))
}

#[tokio::test]
async fn writes_that_wait_are_refused_beyond_the_bound() {
    let journal = Journal::begin();
    let storage = Doored::new();
    let bench = waiting(&storage).await;
    let host = bench.host.clone();
    let hoard = tokio::spawn(async move { ask(&host, &format!("bad/hoard-writes/200/{VALUE_BYTES}")).await });
    let [waits, refused] = hoarding(&journal).await;
    assert_eq!(waits + refused, 200);
    assert!(waits > 0 && waits * VALUE_BYTES <= HOST_BYTES, "{waits} wait");
    // The other mount is served meanwhile, and so is this one, as far as nothing has to be kept for it.
    assert_eq!([bench.count("good").await, bench.count("bad").await], [1, 1]);
    assert_eq!(bench.ask("good/put/a").await.expect("it has room of its own")["result"], "Ok(())");
    storage.0.is_open.send_replace(true);
    let answer = within(hoard).await.expect("it was not aborted").expect("it is answered");
    assert_eq!(answer["done"], waits);
    assert_eq!(answer["refused"], refused);
    assert!(answer["why"].to_string().contains("instance_host_bytes_max"), "{answer}");
    let again = bench.ask(&format!("bad/hoard-writes/1/{VALUE_BYTES}")).await.expect("there is room again");
    assert_eq!(again["done"], 1);
}

#[tokio::test]
async fn writes_that_a_plugin_gives_up_count_until_they_are_stored() {
    let journal = Journal::begin();
    let storage = Doored::new();
    let bench = waiting(&storage).await;
    let most = HOST_BYTES / VALUE_BYTES;
    for round in 0..8 {
        let path = format!("bad/hoard-abandoned/{most}/{VALUE_BYTES}");
        bench.ask(&path).await.expect("it gives up and answers");
        let [waits, refused] = hoarding(&journal).await;
        assert!(round == 0 || refused > waits, "round {round}: {waits} wait, {refused} refused");
        journal.forget();
    }
    let kept = Doored::most(&storage.0.waiting);
    assert!(kept > 0 && kept <= HOST_BYTES, "{kept} bytes are on their way");
    assert_eq!(bench.count("good").await, 1);
    storage.0.is_open.send_replace(true);
    let path = format!("bad/hoard-writes/1/{VALUE_BYTES}");
    within(async { while bench.ask(&path).await.expect("it answers")["done"] != 1 {} }).await;
}

#[tokio::test]
async fn transactions_of_all_calls_come_out_of_one_bound() {
    let storage = Doored::new();
    let bench = waiting(&storage).await;
    let answer =
        bench.ask(&format!("bad/hoard-transactions/4/{VALUE_BYTES}")).await.expect("it is told when it is enough");
    assert_eq!(answer["refused"], 4, "{answer}");
    assert!(answer["why"].to_string().contains("instance_host_bytes_max"), "{answer}");
    let again =
        bench.ask(&format!("bad/hoard-transactions/4/{VALUE_BYTES}")).await.expect("they ended with their call");
    assert_eq!(again["refused"], 4, "{again}");
    assert_eq!(bench.count("good").await, 1);
}

#[tokio::test]
async fn no_more_is_read_at_a_time_than_there_is_room_for() {
    let storage = Doored::new();
    let bench = waiting(&storage).await;
    let large = format!("{{\"v\":\"{}\"}}", "x".repeat(VALUE_BYTES - 100));
    let stored = bench.host.handle(crate::bench::request("bad/put/large").with_data(large.clone())).await;
    stored.expect("it can be stored");
    let host = bench.host.clone();
    let hoard = tokio::spawn(async move { ask(&host, "bad/hoard-reads/40/0").await });
    // Others are served meanwhile, and the guest has asked for all of it when they were served for a while.
    within(async { while bench.count("good").await < 20 || Doored::most(&storage.0.reading) == 0 {} }).await;
    let at_a_time = Doored::most(&storage.0.reading);
    assert!(at_a_time <= HOST_BYTES / 4 / VALUE_BYTES, "{at_a_time} at a time");
    storage.0.is_open.send_replace(true);
    let answer = within(hoard).await.expect("it was not aborted").expect("it is answered");
    assert_eq!(answer["done"], 40 * large.len(), "each has its turn: {answer}");
    assert!(Doored::most(&storage.0.reading) <= HOST_BYTES / 4 / VALUE_BYTES);
}

#[tokio::test]
async fn transactions_of_the_plain_world_come_out_of_the_same_bound() {
    let bench = Bench::with_hostile(small()).await;
    for _ in 0..2 {
        let answer = bench.ask(&format!("bad/hoard/{VALUE_BYTES}")).await.expect("it is told when it is enough");
        let kept = answer["kept"].as_u64().expect("a number") as usize;
        assert!(kept > 0 && kept * VALUE_BYTES <= HOST_BYTES, "{answer}");
        let why = answer["why"].to_string();
        assert!(why.contains(&format!("{HOST_BYTES} bytes at most for it (instance_host_bytes_max)")), "{answer}");
        assert_eq!(bench.ask(&format!("good/large/{VALUE_BYTES}")).await.expect("it is served")["result"], "Ok(())");
    }
}
