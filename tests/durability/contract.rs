//! The contract of [`Storage`], as one table of cases that runs on every implementation.

use std::sync::Arc;

use bytes::Bytes;
use cofferdam::storage::{Batch, Change, DurableStorage, Expectation, MemoryStorage, Storage, StorageError};
use futures_util::future::{BoxFuture, join_all};

type Case = fn(Arc<dyn Storage>) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        const CASES: &[(&str, Case)] = &[$((stringify!($name), |storage| Box::pin($name(storage)))),*];
    };
}

cases![
    values_are_replaced_and_removed,
    changes_apply_in_their_order,
    listings_show_direct_children,
    listings_page,
    listing_a_prefix_need_not_end_in_a_slash,
    keys_are_ordered_by_their_bytes,
    a_scan_gives_keys_and_values_page_by_page,
    a_commit_whose_caller_left_is_applied_before_the_next_or_never,
    snapshots_stand_still,
    values_that_changed_conflict,
    listings_that_changed_conflict,
    a_batch_that_conflicts_changes_nothing,
    of_many_at_once_one_wins,
    many_at_once_are_all_stored,
    large_values_are_kept,
];

#[tokio::test]
async fn memory_keeps_the_contract() {
    for (name, case) in CASES {
        println!("{name}");
        case(Arc::new(MemoryStorage::new())).await;
    }
}

#[tokio::test]
async fn durable_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    for (name, case) in CASES {
        println!("{name}");
        case(Arc::new(DurableStorage::open(directory.path().join(name)).unwrap())).await;
    }
}

async fn store(storage: &dyn Storage, keys: &[&str]) {
    let batch = keys.iter().fold(Batch::default(), |batch, key| batch.put(*key, format!("value of {key}")));
    storage.commit(batch).await.unwrap();
}

async fn get(storage: &dyn Storage, key: &str) -> Option<Bytes> {
    storage.get(key).await.unwrap()
}

fn value(key: &str, value: Option<&str>) -> Expectation {
    Expectation::Value(key.to_owned(), value.map(|value| Bytes::copy_from_slice(value.as_bytes())))
}

fn children(prefix: &str, limit: usize, children: &[&str]) -> Expectation {
    let children = children.iter().map(ToString::to_string).collect();
    Expectation::Children { prefix: prefix.to_owned(), after: None, limit, children }
}

#[track_caller]
fn is_conflict(answer: Result<(), StorageError>) {
    assert!(matches!(answer, Err(StorageError::Conflict)), "{answer:?}");
}

async fn values_are_replaced_and_removed(storage: Arc<dyn Storage>) {
    assert_eq!(get(&*storage, "a").await, None);
    storage.commit(Batch::default().put("a", "1").put("empty", "")).await.unwrap();
    assert_eq!(get(&*storage, "a").await.unwrap(), "1");
    assert_eq!(get(&*storage, "empty").await.unwrap(), "");
    storage.commit(Batch::default().put("a", "2").delete("never there")).await.unwrap();
    assert_eq!(get(&*storage, "a").await.unwrap(), "2");
    storage.commit(Batch::default().delete("a")).await.unwrap();
    assert_eq!(get(&*storage, "a").await, None);
    storage.commit(Batch::default()).await.unwrap();
}

async fn changes_apply_in_their_order(storage: Arc<dyn Storage>) {
    let batch = Batch::default().put("a", "1").delete("a").put("b", "1").put("b", "2").delete("c").put("c", "3");
    storage.commit(batch).await.unwrap();
    assert_eq!(get(&*storage, "a").await, None);
    assert_eq!(get(&*storage, "b").await.unwrap(), "2");
    assert_eq!(get(&*storage, "c").await.unwrap(), "3");
}

async fn listings_show_direct_children(storage: Arc<dyn Storage>) {
    store(&*storage, &["a", "a-b", "a/1", "a/2/x", "a/2/y", "a/20", "a0", "b/1", "é/1", "é/2"]).await;
    let rows: &[(&str, &[&str])] = &[
        ("", &["a", "a-b", "a/", "a0", "b/", "é/"]),
        ("a/", &["1", "2/", "20"]),
        ("a/2/", &["x", "y"]),
        ("é/", &["1", "2"]),
        ("none/", &[]),
        ("a/1/", &[]),
    ];
    for (prefix, expected) in rows {
        assert_eq!(storage.list(prefix, None, 100).await.unwrap(), *expected, "{prefix:?}");
        assert_eq!(storage.snapshot().await.unwrap().list(prefix, None, 100).await.unwrap(), *expected, "{prefix:?}");
    }
}

async fn listings_page(storage: Arc<dyn Storage>) {
    store(&*storage, &["x/a", "x/a-b", "x/a/1", "x/a/2", "x/b", "x/c/1/2", "x/d", "y"]).await;
    let all = ["a", "a-b", "a/", "b", "c/", "d"];
    for limit in 1..=all.len() + 1 {
        let (mut paged, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = storage.list("x/", after.as_deref(), limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            paged.extend(page);
        }
        assert_eq!(paged, all, "pages of {limit}");
    }
    assert_eq!(storage.list("x/", None, 0).await.unwrap(), [""; 0]);
    // What it starts behind need not exist.
    assert_eq!(storage.list("x/", Some("aaa"), 9).await.unwrap(), ["b", "c/", "d"]);
    assert_eq!(storage.list("x/", Some("a/1"), 9).await.unwrap(), ["b", "c/", "d"]);
    assert_eq!(storage.list("x/", Some("z"), 9).await.unwrap(), [""; 0]);
}

async fn listing_a_prefix_need_not_end_in_a_slash(storage: Arc<dyn Storage>) {
    store(&*storage, &["ab", "ab/c", "abc", "b"]).await;
    assert_eq!(storage.list("a", None, 9).await.unwrap(), ["b", "b/", "bc"]);
    assert_eq!(storage.list("ab", None, 9).await.unwrap(), ["", "/", "c"]);
    assert_eq!(storage.list("ab", Some(""), 9).await.unwrap(), ["/", "c"]);
}

async fn keys_are_ordered_by_their_bytes(storage: Arc<dyn Storage>) {
    store(&*storage, &["b", "a/2", "a/10", "a", "Z", "a\u{10ffff}", "a~"]).await;
    assert_eq!(storage.keys("", 99).await.unwrap(), ["Z", "a", "a/10", "a/2", "a~", "a\u{10ffff}", "b"]);
    assert_eq!(storage.keys("a/", 99).await.unwrap(), ["a/10", "a/2"]);
    assert_eq!(storage.keys("a", 2).await.unwrap(), ["a", "a/10"]);
    assert_eq!(storage.keys("a", 0).await.unwrap(), [""; 0]);
}

async fn a_scan_gives_keys_and_values_page_by_page(storage: Arc<dyn Storage>) {
    store(&*storage, &["a", "x/", "x/a", "x/a/1", "x/b", "x/é", "xa", "y"]).await;
    let all = ["x/", "x/a", "x/a/1", "x/b", "x/é"];
    for limit in 1..=all.len() + 1 {
        let (mut scanned, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = storage.scan("x/", after.as_deref(), limit).await.unwrap();
            assert!(page.len() <= limit);
            assert!(page.iter().all(|(key, value)| *value == format!("value of {key}")));
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            scanned.extend(page.into_iter().map(|(key, _)| key));
        }
        assert_eq!(scanned, all, "pages of {limit}");
    }
    assert!(storage.scan("x/", None, 0).await.unwrap().is_empty());
    assert!(storage.scan("none/", None, 9).await.unwrap().is_empty());
    // What it starts behind need not exist, nor begin with the prefix.
    let keys = async |after| {
        let page = storage.scan("x/", Some(after), 9).await.unwrap();
        page.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys("x/a/").await, ["x/a/1", "x/b", "x/é"]);
    assert_eq!(keys("w").await, all);
    assert_eq!(keys("y").await, [""; 0]);
}

/// Wiping a mount relies on it: what was on its way when the mount ended must not come after the wipe.
async fn a_commit_whose_caller_left_is_applied_before_the_next_or_never(storage: Arc<dyn Storage>) {
    for round in 0..200 {
        let key = format!("left/{round}");
        {
            let mut left = std::pin::pin!(storage.commit(Batch::default().put(key.as_str(), "late")));
            let _ = futures_util::poll!(left.as_mut());
        }
        storage.commit(Batch::default()).await.unwrap();
        let seen = get(&*storage, &key).await;
        storage.commit(Batch::default().put("later", "x")).await.unwrap();
        assert_eq!(get(&*storage, &key).await, seen, "it came after a commit that began after it");
    }
}

async fn snapshots_stand_still(storage: Arc<dyn Storage>) {
    storage.commit(Batch::default().put("a", "1").put("b", "1")).await.unwrap();
    let snapshot = storage.snapshot().await.unwrap();
    storage.commit(Batch::default().put("a", "2").delete("b").put("c", "2")).await.unwrap();
    assert_eq!(snapshot.get("a").await.unwrap().unwrap(), "1");
    assert_eq!(snapshot.get("c").await.unwrap(), None);
    assert_eq!(snapshot.list("", None, 9).await.unwrap(), ["a", "b"]);
    assert_eq!(storage.list("", None, 9).await.unwrap(), ["a", "c"]);
}

async fn values_that_changed_conflict(storage: Arc<dyn Storage>) {
    storage.commit(Batch::default().put("a", "1")).await.unwrap();
    let rows = [
        (value("a", Some("1")), Ok(())),
        (value("none", None), Ok(())),
        (value("a", Some("2")), Err(())),
        (value("a", None), Err(())),
        (value("none", Some("1")), Err(())),
    ];
    for (expectation, expected) in rows {
        let batch = Batch { expectations: vec![expectation], changes: vec![Change::Put("b".into(), "1".into())] };
        match expected {
            Ok(()) => storage.commit(batch).await.unwrap(),
            Err(()) => is_conflict(storage.commit(batch).await),
        }
    }
}

async fn listings_that_changed_conflict(storage: Arc<dyn Storage>) {
    store(&*storage, &["f/a", "f/b/1"]).await;
    let expecting = |expectation| Batch { expectations: vec![expectation], changes: Vec::new() };
    storage.commit(expecting(children("f/", 9, &["a", "b/"]))).await.unwrap();
    storage.commit(expecting(children("f/", 1, &["a"]))).await.unwrap();
    store(&*storage, &["f/b/2"]).await;
    storage.commit(expecting(children("f/", 9, &["a", "b/"]))).await.unwrap();
    store(&*storage, &["f/c"]).await;
    is_conflict(storage.commit(expecting(children("f/", 9, &["a", "b/"]))).await);
    storage.commit(expecting(children("f/", 1, &["a"]))).await.unwrap();
}

async fn a_batch_that_conflicts_changes_nothing(storage: Arc<dyn Storage>) {
    storage.commit(Batch::default().put("a", "1")).await.unwrap();
    let mut batch = Batch::default().put("a", "2").put("b", "2");
    batch.expectations = vec![value("a", Some("1")), value("b", Some("1"))];
    is_conflict(storage.commit(batch).await);
    assert_eq!(get(&*storage, "a").await.unwrap(), "1");
    assert_eq!(get(&*storage, "b").await, None);
}

async fn of_many_at_once_one_wins(storage: Arc<dyn Storage>) {
    for round in 0..10 {
        let key = format!("round-{round}");
        let commits = (0..32).map(|number| {
            let mut batch = Batch::default().put(&key, format!("{number}")).put(format!("{key}/{number}"), "won");
            batch.expectations = vec![value(&key, None)];
            storage.commit(batch)
        });
        let won = join_all(commits).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(won, 1);
        assert_eq!(storage.list(&format!("{key}/"), None, 99).await.unwrap().len(), 1);
    }
}

async fn many_at_once_are_all_stored(storage: Arc<dyn Storage>) {
    let commits = (0..1_000).map(|number| storage.commit(Batch::default().put(format!("{number:04}"), "x")));
    assert!(join_all(commits).await.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(storage.keys("", 2_000).await.unwrap().len(), 1_000);
}

async fn large_values_are_kept(storage: Arc<dyn Storage>) {
    let large = Bytes::from((0..3_000_000_u32).map(|byte| byte as u8).collect::<Vec<_>>());
    storage.commit(Batch::default().put("large", large.clone())).await.unwrap();
    assert!(get(&*storage, "large").await.unwrap() == large);
}
