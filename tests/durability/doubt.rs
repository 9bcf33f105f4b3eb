//! Storages of which nobody knows whether they did what was asked, and two hosts on one storage: nothing that may be
//! stored is undone, and one host at a time changes what hosts keep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use cofferdam::request::{Body, Caller, Identity, Operation, Request};
use cofferdam::storage::{Batch, MemoryStorage, Snapshot, Storage, StorageError};
use cofferdam::{ErrorKind, Host, MountRequest};
use tokio::sync::Notify;

/// What becomes of a commit that changes what the host keeps itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is applied, and said to be.
    Plain,
    /// It is applied, and nothing says so.
    AppliedInDoubt,
    /// It is not applied, and nothing says so.
    LostInDoubt,
}

/// A storage that several hosts share, and that does as it is told.
#[derive(Clone)]
struct Shared(Arc<Inner>);

struct Inner {
    memory: MemoryStorage,
    /// What becomes of commits that change keys below this prefix.
    prefix: &'static str,
    /// Of the next ones, as numbers of [`FATES`].
    fate: AtomicUsize,
    /// How many reads fail after a commit in doubt.
    reads_fail: AtomicU32,
    failing: AtomicU32,
    /// Set while commits below the prefix wait for `go`.
    holds: AtomicUsize,
    held: Notify,
    go: Notify,
}

const FATES: [Fate; 3] = [Fate::Plain, Fate::AppliedInDoubt, Fate::LostInDoubt];

impl Shared {
    fn new(prefix: &'static str) -> Self {
        Self(Arc::new(Inner {
            memory: MemoryStorage::new(),
            prefix,
            fate: AtomicUsize::new(0),
            reads_fail: AtomicU32::new(0),
            failing: AtomicU32::new(0),
            holds: AtomicUsize::new(0),
            held: Notify::new(),
            go: Notify::new(),
        }))
    }

    fn becomes(&self, fate: Fate, reads_fail: u32) {
        let number = FATES.iter().position(|other| *other == fate).expect("it is one of them");
        self.0.fate.store(number, Ordering::SeqCst);
        self.0.reads_fail.store(reads_fail, Ordering::SeqCst);
    }

    fn doubt() -> StorageError {
        StorageError::InDoubt { source: "the connection broke".into() }
    }
}

#[async_trait]
impl Storage for Shared {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        let fails = |left: u32| left.checked_sub(1);
        if key.starts_with("core/") && self.0.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok() {
            return Err(StorageError::Failed { action: "read", source: "no connection".into() });
        }
        self.0.memory.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        self.0.memory.list(prefix, after, limit).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        self.0.memory.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        if !batch.changes.iter().any(|change| change.key().starts_with(self.0.prefix)) {
            return self.0.memory.commit(batch).await;
        }
        if self.0.holds.load(Ordering::SeqCst) > 0 {
            self.0.held.notify_one();
            self.0.go.notified().await;
        }
        match FATES[self.0.fate.load(Ordering::SeqCst)] {
            Fate::Plain => return self.0.memory.commit(batch).await,
            Fate::AppliedInDoubt => self.0.memory.commit(batch).await?,
            Fate::LostInDoubt => {}
        }
        self.0.failing.store(self.0.reads_fail.load(Ordering::SeqCst), Ordering::SeqCst);
        Err(Self::doubt())
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError> {
        self.0.memory.keys(prefix, limit).await
    }
}

async fn host(storage: &Shared) -> Host {
    Host::builder().storage(storage.clone()).shipped_plugins().build().await.expect("it starts")
}

/// A mount of version 2, which stores something as it starts.
fn versioned(path: &str) -> MountRequest {
    let mut request = MountRequest::new(path.parse().expect("it is a path"), "kv".parse().expect("it is a name"));
    request.settings.options.insert("version".to_owned(), "2".to_owned());
    request
}

fn is_mounted(host: &Host, path: &str) -> bool {
    host.mount(&path.parse().expect("it is a path")).is_some()
}

async fn ask(host: &Host, operation: Operation, path: &str, data: &'static str) -> Option<String> {
    let ada = Caller::Known(Arc::new(Identity::named("ada")));
    let request = Request::new(operation, path.parse().expect("it is a path")).by(ada).with_data(data);
    match host.handle(request).await.ok()?.body {
        Body::Data(data) => Some(String::from_utf8_lossy(&data).into_owned()),
        _ => None,
    }
}

/// Enough failed reads for the host to give up.
const FOR_GOOD: u32 = 1_000;

#[tokio::test(start_paused = true)]
async fn a_mount_that_may_be_stored_is_not_wiped() {
    for (fate, reads_fail, is_made, is_there_later) in [
        (Fate::AppliedInDoubt, 0, true, true),
        (Fate::AppliedInDoubt, 3, true, true),
        (Fate::LostInDoubt, 0, false, false),
        (Fate::LostInDoubt, 3, false, false),
        (Fate::AppliedInDoubt, FOR_GOOD, false, true),
        (Fate::LostInDoubt, FOR_GOOD, false, false),
    ] {
        let row = format!("{fate:?}, {reads_fail} reads fail");
        let storage = Shared::new("core/mounts/");
        let first = host(&storage).await;
        storage.becomes(fate, reads_fail);
        let enabled = first.enable(versioned("kv")).await;
        assert_eq!(enabled.is_ok(), is_made, "{row}: {enabled:?}");
        if let Err(error) = &enabled {
            assert_eq!(error.kind(), ErrorKind::Storage, "{row}");
        }
        assert_eq!(is_mounted(&first, "kv"), is_made, "{row}");
        drop(first);
        storage.becomes(Fate::Plain, 0);
        storage.0.failing.store(0, Ordering::SeqCst);
        let second = host(&storage).await;
        assert_eq!(is_mounted(&second, "kv"), is_there_later, "{row}");
        let left = storage.keys("logical/", 9).await.expect("it lists");
        assert_eq!(left.is_empty(), !is_there_later, "{row}: {left:?}");
        assert_eq!(storage.keys("core/wipes/", 9).await.expect("it lists"), [""; 0], "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mount_that_may_be_gone_serves_no_more_and_one_that_is_not_goes_on() {
    for (fate, reads_fail, is_disabled, serves) in [
        (Fate::AppliedInDoubt, 0, true, false),
        (Fate::LostInDoubt, 0, false, true),
        (Fate::AppliedInDoubt, FOR_GOOD, false, false),
        (Fate::LostInDoubt, FOR_GOOD, false, false),
    ] {
        let row = format!("{fate:?}, {reads_fail} reads fail");
        let storage = Shared::new("core/mounts/");
        let host = host(&storage).await;
        host.enable(versioned("kv")).await.expect("it can be mounted");
        ask(&host, Operation::Update, "kv/data/a", r#"{"data":{"k":"v"}}"#).await;
        storage.becomes(fate, reads_fail);
        let path = "kv".parse().expect("it is a path");
        assert_eq!(host.disable(&path).await.is_ok(), is_disabled, "{row}");
        storage.0.failing.store(0, Ordering::SeqCst);
        assert_eq!(ask(&host, Operation::Read, "kv/data/a", "").await.is_some(), serves, "{row}");
    }
}

#[tokio::test]
async fn the_host_that_opened_a_storage_last_is_the_one_that_changes_it() {
    let storage = Shared::new("core/mounts/");
    let first = host(&storage).await;
    first.enable(versioned("a")).await.expect("it is alone");
    ask(&first, Operation::Update, "a/data/x", r#"{"data":{"k":"v"}}"#).await;
    let second = host(&storage).await;
    let refused = first.enable(versioned("b")).await.expect_err("another has taken over");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.message().contains("another server has taken over this storage"), "{refused}");
    let refused = first.disable(&"a".parse().expect("it is a path")).await.expect_err("another has taken over");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(ask(&first, Operation::Read, "a/data/x", "").await.is_some(), "what it serves goes on");
    second.enable(versioned("b")).await.expect("it may");
    assert!(is_mounted(&second, "a") && ask(&second, Operation::Read, "a/data/x", "").await.is_some());
    assert_eq!(storage.keys("core/wipes/", 9).await.expect("it lists"), [""; 0]);
}

#[tokio::test]
async fn a_mount_that_is_being_made_when_another_host_starts_is_nowhere() {
    let storage = Shared::new("core/mounts/");
    let first = host(&storage).await;
    storage.0.holds.store(1, Ordering::SeqCst);
    let enabling = tokio::spawn({
        let first = first.clone();
        async move { first.enable(versioned("kv")).await }
    });
    storage.0.held.notified().await;
    storage.0.holds.store(0, Ordering::SeqCst);
    // It wipes what no mount has, and so what is not recorded yet.
    let second = host(&storage).await;
    storage.0.go.notify_one();
    let refused = enabling.await.expect("it ends").expect_err("another has taken over");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(!is_mounted(&first, "kv") && !is_mounted(&second, "kv"));
    for prefix in ["core/mounts/", "core/wipes/", "logical/"] {
        assert_eq!(storage.keys(prefix, 9).await.expect("it lists"), [""; 0], "{prefix}");
    }
    second.enable(versioned("kv")).await.expect("the path is free");
}

#[tokio::test]
async fn each_change_that_a_host_makes_is_a_new_revision() {
    let storage = Shared::new("core/mounts/");
    let host = host(&storage).await;
    let revision = async || storage.get("core/revision").await.expect("it reads");
    let before = revision().await;
    host.enable(versioned("kv")).await.expect("it can be mounted");
    let enabled = revision().await;
    assert_ne!(before, enabled);
    ask(&host, Operation::Update, "kv/data/a", r#"{"data":{"k":"v"}}"#).await;
    assert_eq!(revision().await, enabled, "what plugins store is theirs");
    host.disable(&"kv".parse().expect("it is a path")).await.expect("it can be disabled");
    assert_ne!(revision().await, enabled);
}
