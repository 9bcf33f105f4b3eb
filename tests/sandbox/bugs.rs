//! A bug of the host's own, in the middle of a call: whoever asked is told or hears nothing, and neither the plugin's
//! next request nor another mount's notices.

use async_trait::async_trait;
use bytes::Bytes;
use cofferdam::ErrorKind;
use cofferdam::storage::{Batch, MemoryStorage, Snapshot, Storage, StorageError};

use crate::bench::{Bench, ask, component, within};

/// More than there may be instances: were the place of one lost with each call, none would be left.
const CALLS: usize = 20;

/// Memory that panics when the key `bug` is read, on whatever task reads it.
struct Buggy(MemoryStorage);

#[async_trait]
impl Storage for Buggy {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        assert!(!key.ends_with("/bug"), "this is the bug");
        self.0.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        self.0.list(prefix, after, limit).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        self.0.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        self.0.commit(batch).await
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError> {
        self.0.keys(prefix, limit).await
    }
}

/// Starts a host with that storage and a plugin of these two mounts, both of which have answered once.
async fn bench(plugin: &str) -> Bench {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let bench = Bench::resume(Buggy(MemoryStorage::new()), folder).await;
    bench.register("hostile", &component(plugin), |_| ()).await.expect("the plugin can be registered");
    for path in ["bad", "good"] {
        bench.enable(path, &[]).await.expect("the plugin can be mounted");
        assert_eq!(bench.count(path).await, 1);
    }
    bench
}

#[tokio::test]
async fn a_panic_ends_the_request_that_it_is_in() {
    let bench = bench("hostile_plugin").await;
    for _ in 0..CALLS {
        let host = bench.host.clone();
        let panicked = within(tokio::spawn(async move { ask(&host, "bad/get/bug").await })).await;
        assert!(panicked.is_err_and(|ended| ended.is_panic()), "the storage panics");
        assert_eq!(bench.count("bad").await, 1, "a fresh sandbox answers");
    }
    assert_eq!(bench.count("good").await, 2, "the neighbour never noticed");
    within(bench.host.shutdown()).await;
}

#[tokio::test]
async fn a_panic_ends_the_instance_that_serves_many_requests() {
    let bench = bench("async-hostile").await;
    for _ in 0..CALLS {
        let error = bench.ask("bad/get/bug").await.expect_err("the storage panics");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(bench.count("bad").await, 1, "a fresh sandbox answers");
    }
    assert_eq!(bench.count("good").await, 2, "the neighbour never noticed");
    within(bench.host.shutdown()).await;
}
