//! The catalog over a storage in memory: what is selected, what a pin holds, and who may change an entry.

use super::*;
use crate::plugin::RuntimeKind;
use crate::storage::MemoryStorage;

const KV: PluginKind = PluginKind::Secret;

fn kv() -> PluginName {
    "kv".parse().unwrap()
}

fn version(typed: &str) -> Option<PluginVersion> {
    (!typed.is_empty()).then(|| typed.parse().unwrap())
}

fn key(typed: &str) -> PluginKey {
    PluginKey::new(KV, kv(), version(typed))
}

fn record(typed: &str) -> PluginRecord {
    PluginRecord::of_file(key(typed), RuntimeKind::Wasm)
}

fn pin(typed: &str) -> Pin {
    Pin { kind: KV, name: kv(), version: typed.parse().unwrap() }
}

async fn catalog(storage: &Arc<MemoryStorage>, versions: &[&str]) -> Catalog {
    let catalog = load(Arc::clone(storage) as Arc<dyn Storage>).await;
    for typed in versions {
        catalog.put(record(typed)).await.unwrap();
    }
    catalog
}

/// The order of Vault's documentation.
#[tokio::test]
async fn pinned_before_asked_before_unversioned_before_newest() {
    let found = |typed: &str| Ok(version(typed));
    let missing = || Err(SelectError::NotFound);
    let pinned = |typed: &str| Err(SelectError::Pinned(typed.parse().unwrap()));
    for (versions, pin_to, asked, selected) in [
        (&[][..], None, "", missing()),
        (&["1.0.0"], None, "2.0.0", missing()),
        (&["", "1.0.0"], None, "", found("")),
        (&["", "1.0.0"], None, "1.0.0", found("1.0.0")),
        (&["10.0.0", "9.0.0", "10.0.0-rc1"], None, "", found("10.0.0")),
        (&["", "1.0.0", "2.0.0"], Some("1.0.0"), "", found("1.0.0")),
        (&["", "1.0.0", "2.0.0"], Some("1.0.0"), "1.0.0", found("1.0.0")),
        (&["", "1.0.0", "2.0.0"], Some("1.0.0"), "2.0.0", pinned("1.0.0")),
    ] {
        let catalog = catalog(&Arc::default(), versions).await;
        if let Some(to) = pin_to {
            catalog.pin(pin(to)).await.unwrap();
        }
        let answer = catalog.select(KV, &kv(), version(asked).as_ref()).map(|record| record.key.version.clone());
        assert_eq!(answer, selected, "{versions:?}, pinned to {pin_to:?}, asked for {asked:?}");
        let started = catalog.version_at_start(KV, &kv(), version(asked).as_ref());
        assert_eq!(started, pin_to.map_or(version(asked), version), "{versions:?}");
    }
}

#[tokio::test]
async fn a_pin_is_of_what_is_there_holds_it_and_lasts() {
    let storage = Arc::new(MemoryStorage::default());
    let first = catalog(&storage, &["1.0.0", "2.0.0"]).await;
    let refused = first.pin(pin("3.0.0")).await.unwrap_err().to_string();
    assert_eq!(refused, "secret plugin \"kv\" version v3.0.0 does not exist");
    first.pin(pin("1.0.0")).await.unwrap();
    first.pin(pin("2.0.0")).await.unwrap();
    let refused = first.remove(&key("2.0.0"), Origin::Request).await.unwrap_err().to_string();
    assert!(refused.starts_with("cannot delete a pinned version: "), "{refused}");
    first.remove(&key("1.0.0"), Origin::Request).await.unwrap();

    let second = catalog(&storage, &[]).await;
    assert_eq!(second.pins(), [pin("2.0.0")]);
    second.unpin(KV, &kv()).await.unwrap();
    second.unpin(KV, &kv()).await.unwrap();
    second.remove(&key("2.0.0"), Origin::Request).await.unwrap();
    let third = catalog(&storage, &[]).await;
    assert!(third.pins().is_empty() && third.all().is_empty());
}

#[tokio::test]
async fn who_put_an_entry_changes_it() {
    let declared = |typed: &str| PluginRecord { origin: Origin::Configuration, ..record(typed) };
    let catalog = catalog(&Arc::default(), &["1.0.0"]).await;
    catalog.put(declared("")).await.unwrap();
    catalog.put(declared("")).await.unwrap();
    for (refused, why) in [
        (
            catalog.put(record("")).await,
            "secret plugin \"kv\" is declared in the server's configuration; change it there",
        ),
        (catalog.remove(&key(""), Origin::Request).await, "is declared in the server's configuration"),
        (catalog.put(declared("1.0.0")).await, "secret plugin \"kv\" version v1.0.0 is registered already"),
        (catalog.remove(&key("1.0.0"), Origin::Configuration).await, "is registered already"),
    ] {
        assert!(refused.as_ref().is_err_and(|error| error.to_string().contains(why)), "{refused:?} should say {why}");
    }
    catalog.remove(&key(""), Origin::Configuration).await.unwrap();
    assert_eq!(catalog.all().len(), 1);
}
