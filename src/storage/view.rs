//! What a mount sees of the storage: the keys below its own prefix, and nothing else.
//!
//! Every key that a plugin names is checked, and then put behind the prefix. Since no checked key holds a `..` segment,
//! and no storage gives `..` a meaning anyway, there is no way up.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use cofferdam_contract::key;

use super::envelope::{self, Entry};
use super::room::{Room, Taken};
use super::view_error::ViewError;
use super::{Batch, Change, Storage, StorageError, Transaction, TransactionMode};
use crate::limits::Limits;
use crate::meter::{MountMeter, OpenTransaction};

/// A prefix of the keys. Cloning it is cheap.
#[derive(Clone)]
pub(crate) struct StorageView {
    shared: Arc<Shared>,
    access: Access,
    observer: Option<Arc<dyn WriteObserver>>,
    /// Where counts what is kept for its holder, if anywhere.
    room: Option<Room>,
}

/// A write that was checked. It counts as kept until it is stored, or dropped before.
pub(crate) struct Write {
    batch: Batch,
    kept: Option<Taken>,
}

/// Hears of what is written through a view.
pub(crate) trait WriteObserver: Send + Sync {
    /// These keys, as the view names them, were written or removed; or may have been, where storage failed in between.
    fn written(&self, keys: &[Arc<str>]);
}

struct Shared {
    storage: Arc<dyn Storage>,
    prefix: String,
    limits: ViewLimits,
    /// Where what is asked of it counts, if anywhere.
    meter: Option<Arc<MountMeter>>,
}

/// Whether a view's holder may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Yes.
    ReadWrite,
    /// No: writes answer [`ViewError::ReadOnly`].
    ReadOnly,
}

/// What a view allows at most: see the fields of the same names in [`Limits`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViewLimits {
    /// Largest value, in bytes.
    pub(crate) value_bytes_max: usize,
    /// Longest key below the prefix, in bytes.
    pub(crate) key_bytes_max: usize,
    /// Children in one answer.
    pub(crate) list_max: usize,
    /// Keys that one transaction reads and writes.
    pub(crate) transaction_keys_max: usize,
    /// How long a transaction may be open: it holds on to a moment of the storage, and so to disk space.
    pub(crate) transaction_lifetime: Duration,
}

impl From<&Limits> for ViewLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            value_bytes_max: limits.storage_value_bytes_max,
            key_bytes_max: limits.storage_key_bytes_max,
            list_max: limits.storage_list_max,
            transaction_keys_max: limits.transaction_keys_max,
            transaction_lifetime: limits.request_deadline,
        }
    }
}

// ----------------------------------------------------------------------------------------------------------------
// StorageView

impl StorageView {
    /// Returns a view of what lies below a prefix, which ends in `/`.
    pub(crate) fn new(storage: Arc<dyn Storage>, prefix: impl Into<String>, limits: ViewLimits) -> Self {
        let shared = Shared { storage, prefix: prefix.into(), limits, meter: None };
        Self { shared: Arc::new(shared), access: Access::ReadWrite, observer: None, room: None }
    }

    /// Returns the same view, on which everything that is asked of it counts here.
    pub(crate) fn metered(&self, meter: &Arc<MountMeter>) -> Self {
        let Shared { storage, prefix, limits, .. } = &*self.shared;
        let (storage, prefix, meter) = (Arc::clone(storage), prefix.clone(), Some(Arc::clone(meter)));
        let shared = Arc::new(Shared { storage, prefix, limits: *limits, meter });
        Self { shared, ..self.clone() }
    }

    /// Returns a view of the same keys that refuses to write.
    pub(crate) fn read_only(&self) -> Self {
        Self { access: Access::ReadOnly, observer: None, ..self.clone() }
    }

    /// Returns the same view, whose writes this observer hears of.
    pub(crate) fn observed_by(mut self, observer: Arc<dyn WriteObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Returns the same view, for a holder for whom the host keeps no more than there is room for: writes on their way,
    /// and what its transactions read and wrote.
    #[cfg(any(feature = "wasm", feature = "process"))]
    pub(crate) fn within(mut self, room: &Room) -> Self {
        self.room = Some(room.clone());
        self
    }

    /// Returns the entry under a key.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Entry>, ViewError> {
        let key = self.full_key(key)?;
        let stored = self.shared.storage.get(&key).await?;
        self.count_read(stored.as_ref().map_or(0, Bytes::len));
        Ok(stored.map(|sealed| envelope::open(&key, &sealed)).transpose()?)
    }

    /// Stores an entry. It is durable when this returns.
    pub(crate) async fn put(&self, key: &str, entry: &Entry) -> Result<(), ViewError> {
        self.write(self.prepare_put(key, entry)?).await
    }

    /// Removes a key, if it is there. That is durable when this returns.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), ViewError> {
        self.write(self.prepare_delete(key)?).await
    }

    /// Checks what is to be stored, and keeps it until it is [written](Self::write).
    pub(crate) fn prepare_put(&self, key: &str, entry: &Entry) -> Result<Write, ViewError> {
        self.check_writable()?;
        let key = self.full_key(key)?;
        self.check_size(entry)?;
        let kept = self.keep(key.len() + envelope::sealed_bytes(entry))?;
        let sealed = envelope::seal(&key, entry);
        Ok(Write { batch: Batch::default().put(key, sealed), kept })
    }

    /// The same for what is to be removed.
    pub(crate) fn prepare_delete(&self, key: &str) -> Result<Write, ViewError> {
        self.check_writable()?;
        let key = self.full_key(key)?;
        let kept = self.keep(key.len())?;
        Ok(Write { batch: Batch::default().delete(key), kept })
    }

    /// Does what was prepared. It is durable when this returns.
    pub(crate) async fn write(&self, Write { batch, kept }: Write) -> Result<(), ViewError> {
        self.commit(batch, kept).await
    }

    /// Returns the direct children of a prefix in byte order, from behind `after`, at most `limit` and at most as many
    /// as the view allows. A limit of 0 leaves it to the view.
    pub(crate) async fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, ViewError> {
        let prefix = self.full_prefix(prefix)?;
        self.check_after(after)?;
        let children = self.shared.storage.list(&prefix, after, self.list_limit(limit)).await?;
        self.count_list();
        Ok(children)
    }

    /// Begins a transaction. On a read-only view its writes are refused, whatever the mode.
    pub(crate) async fn begin(&self, mode: TransactionMode) -> Result<Transaction, ViewError> {
        let snapshot = self.shared.storage.snapshot().await?;
        Transaction::new(self.clone(), mode, snapshot)
    }

    /// Deletes everything below the prefix, so many keys at a time. Doing it again after a failure does the rest.
    pub(crate) async fn wipe(&self, keys_per_batch: usize) -> Result<(), ViewError> {
        self.check_writable()?;
        // A write whose writer stopped waiting may still be on its way; it is applied before this.
        self.shared.storage.commit(Batch::default()).await?;
        loop {
            let keys = self.shared.storage.keys(&self.shared.prefix, keys_per_batch.max(1)).await?;
            if keys.is_empty() {
                return Ok(());
            }
            self.shared.storage.commit(keys.into_iter().fold(Batch::default(), Batch::delete)).await?;
        }
    }
}

// ------------------------------------------------------------------------------------------------- for transactions as
// well

impl StorageView {
    pub(super) fn limits(&self) -> ViewLimits {
        self.shared.limits
    }

    pub(super) fn room(&self) -> Option<&Room> {
        self.room.as_ref()
    }

    /// Applies a batch of full keys, of which this is kept meanwhile.
    pub(super) async fn commit(&self, batch: Batch, kept: Option<Taken>) -> Result<(), ViewError> {
        let (values, bytes) = (batch.changes.len(), batch.changes.iter().map(written_bytes).sum());
        let observer = self.observer.as_ref().filter(|_| !batch.changes.is_empty());
        if observer.is_none() && kept.is_none() {
            self.shared.storage.commit(batch).await?;
        } else {
            self.commit_to_its_end(batch, observer, kept).await?;
        }
        if let Some(meter) = &self.shared.meter {
            meter.wrote(values, bytes);
        }
        Ok(())
    }

    /// Applies a batch, and goes on with it in a task of its own if it takes time: so the observer hears of a write
    /// whose writer stopped waiting, after it was applied, and what is on its way counts as kept until it is there,
    /// whoever stopped waiting. It is on its way when this first waits, so that a wipe comes after it.
    async fn commit_to_its_end(
        &self,
        batch: Batch,
        observer: Option<&Arc<dyn WriteObserver>>,
        kept: Option<Taken>,
    ) -> Result<(), ViewError> {
        let (shared, observer) = (Arc::clone(&self.shared), observer.cloned());
        let mut applying = Box::pin(async move {
            let keys: Vec<Arc<str>> = match &observer {
                Some(_) => {
                    let keys = batch.changes.iter().filter_map(|change| change.key().strip_prefix(&shared.prefix));
                    keys.map(Arc::from).collect()
                }
                None => Vec::new(),
            };
            let applied = shared.storage.commit(batch).await;
            drop(kept);
            if let Some(observer) = observer
                && !matches!(applied, Err(StorageError::Conflict))
            {
                observer.written(&keys);
            }
            applied
        });
        if let Poll::Ready(applied) = futures_util::poll!(&mut applying) {
            return Ok(applied?);
        }
        let applied = tokio::spawn(applying).await;
        Ok(applied.map_err(|_| ViewError::Unavailable("the storage failed".to_owned()))??)
    }

    /// Takes note of a transaction, which is open until the result is dropped.
    pub(super) fn count_transaction(&self) -> Option<OpenTransaction> {
        self.shared.meter.as_ref().map(MountMeter::transaction_began)
    }

    /// Takes note of a value that was looked up, and of as many bytes as were found.
    pub(super) fn count_read(&self, bytes: usize) {
        if let Some(meter) = &self.shared.meter {
            meter.read(bytes);
        }
    }

    /// Takes note of a listing.
    pub(super) fn count_list(&self) {
        if let Some(meter) = &self.shared.meter {
            meter.listed();
        }
    }

    pub(super) fn check_writable(&self) -> Result<(), ViewError> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(ViewError::ReadOnly),
        }
    }

    pub(super) fn check_size(&self, entry: &Entry) -> Result<(), ViewError> {
        let max = self.shared.limits.value_bytes_max;
        if entry.value.len() > max { Err(ViewError::TooLarge(max as u64)) } else { Ok(()) }
    }

    /// Makes room for so many bytes that are to be kept.
    fn keep(&self, bytes: usize) -> Result<Option<Taken>, ViewError> {
        self.room.as_ref().map(|room| room.take(bytes)).transpose()
    }

    /// Checks a key that is to be kept until it is its turn, and makes room for it.
    #[cfg(feature = "wasm")]
    pub(crate) fn keep_key(&self, key: &str) -> Result<Option<Taken>, ViewError> {
        self.check_key(key)?;
        self.keep(key.len())
    }

    /// The same for an entry.
    #[cfg(feature = "wasm")]
    pub(crate) fn keep_entry(&self, key: &str, entry: &Entry) -> Result<Option<Taken>, ViewError> {
        self.check_size(entry)?;
        self.check_key(key)?;
        self.keep(key.len() + entry.value.len())
    }

    /// The same for what is to be listed.
    #[cfg(feature = "wasm")]
    pub(crate) fn keep_list(&self, prefix: &str, after: Option<&str>) -> Result<Option<Taken>, ViewError> {
        self.full_prefix(prefix)?;
        self.check_after(after)?;
        self.keep(prefix.len() + after.map_or(0, str::len))
    }

    /// Returns how many bytes a stored value may have.
    #[cfg(feature = "wasm")]
    pub(crate) fn value_bytes_max(&self) -> usize {
        self.shared.limits.value_bytes_max
    }

    /// Returns how many bytes a listing with this limit may have.
    #[cfg(feature = "wasm")]
    pub(crate) fn list_bytes_max(&self, limit: u32) -> usize {
        self.list_limit(limit).saturating_mul(self.shared.limits.key_bytes_max)
    }

    /// Takes what Vault's and OpenBao's storage takes, since plugins for them rely on it: `crls//now`, `a/`, the empty
    /// key. Control characters are refused there too, a layer below.
    fn check_key(&self, key: &str) -> Result<(), ViewError> {
        key::check(key, self.shared.limits.key_bytes_max).map_err(ViewError::InvalidKey)
    }

    /// Returns the storage's key for a plugin's key.
    pub(super) fn full_key(&self, key: &str) -> Result<String, ViewError> {
        self.check_key(key)?;
        Ok([&self.shared.prefix, key].concat())
    }

    /// Returns the storage's prefix for a plugin's prefix.
    pub(super) fn full_prefix(&self, prefix: &str) -> Result<String, ViewError> {
        key::check_prefix(prefix, self.shared.limits.key_bytes_max).map_err(ViewError::InvalidKey)?;
        Ok([&self.shared.prefix, prefix].concat())
    }

    /// Refuses a place to start behind that is longer than any child.
    pub(super) fn check_after(&self, after: Option<&str>) -> Result<(), ViewError> {
        let check = |after| key::check_length(after, self.shared.limits.key_bytes_max);
        after.map_or(Ok(()), check).map_err(ViewError::InvalidKey)
    }

    pub(super) fn list_limit(&self, asked: u32) -> usize {
        let max = self.shared.limits.list_max;
        if asked == 0 { max } else { max.min(usize::try_from(asked).unwrap_or(usize::MAX)) }
    }
}

/// Returns how many bytes of values a change stores.
fn written_bytes(change: &Change) -> usize {
    match change {
        Change::Put(_, value) => value.len(),
        Change::Delete(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::StorageCounts;
    use crate::storage::MemoryStorage;

    fn entry(value: &'static str) -> Entry {
        Bytes::from_static(value.as_bytes()).into()
    }

    fn views() -> (Arc<MemoryStorage>, StorageView, StorageView) {
        let storage = Arc::new(MemoryStorage::new());
        let limits = ViewLimits {
            value_bytes_max: 8,
            key_bytes_max: 16,
            list_max: 3,
            transaction_keys_max: 10,
            transaction_lifetime: Duration::from_secs(90),
        };
        let one = StorageView::new(storage.clone(), "logical/1/", limits);
        let two = StorageView::new(storage.clone(), "logical/2/", limits);
        (storage, one, two)
    }

    #[tokio::test]
    async fn a_view_sees_only_what_is_below_its_prefix() {
        let (storage, one, two) = views();
        one.put("a/b", &entry("1")).await.unwrap();
        two.put("a/b", &Entry { seal_wrap: true, ..entry("2") }).await.unwrap();
        assert_eq!(one.get("a/b").await.unwrap(), Some(entry("1")));
        assert!(two.get("a/b").await.unwrap().unwrap().seal_wrap);
        assert_eq!(one.list("", None, 0).await.unwrap(), ["a/"]);

        two.delete("a/b").await.unwrap();
        two.delete("never/there").await.unwrap();
        assert_eq!(two.get("a/b").await.unwrap(), None);
        assert_eq!(storage.keys("", 10).await.unwrap(), ["logical/1/a/b"]);
    }

    #[tokio::test]
    async fn malformed_keys_are_refused() {
        let (storage, view, _) = views();
        for key in ["..", "a/..", "a/../b", "../2/a", "/..", "//../x", "a\nb", "a\0", "\u{85}", "12345678901234567"] {
            let answers = [
                view.get(key).await.map(drop),
                view.put(key, &entry("x")).await,
                view.delete(key).await,
                view.begin(TransactionMode::ReadWrite).await.unwrap().get(key).await.map(drop),
            ];
            for answer in answers {
                assert!(matches!(answer, Err(ViewError::InvalidKey(_))), "{key:?}: {answer:?}");
            }
        }
        for prefix in ["a", "../", "a/../", "a/..", "..", "\u{7f}/", "1234567890123456/"] {
            let answer = view.list(prefix, None, 0).await;
            assert!(matches!(answer, Err(ViewError::InvalidKey(_))), "{prefix:?}: {answer:?}");
        }
        for key in ["a", "a/b", ".a", "...", "a..b", "a b", "ä", "1234567890123456"] {
            view.put(key, &entry("x")).await.unwrap();
        }
        assert!(storage.keys("", 100).await.unwrap().iter().all(|key| key.starts_with("logical/1/")));
    }

    #[tokio::test]
    async fn empty_segments_and_dots_are_names_like_any_other() {
        let (storage, view, other) = views();
        let keys = ["", "/", "//", "/a", "a/", "a//b", ".", "./a", "a/./b"];
        for key in keys {
            view.put(key, &entry("x")).await.unwrap();
            assert_eq!(view.get(key).await.unwrap(), Some(entry("x")), "{key:?}");
            assert_eq!(other.get(key).await.unwrap(), None, "{key:?}");
        }
        for (prefix, after, children) in [
            ("", None, ["", ".", "./"].as_slice()),
            ("", Some(""), &[".", "./", "/"]),
            ("", Some("./"), &["/", "a/"]),
            ("/", None, &["", "/", "a"]),
            ("/", Some(""), &["/", "a"]),
            ("//", None, &[""]),
            ("//", Some(""), &[]),
            ("a/", None, &["", "./", "/"]),
            ("a//", None, &["b"]),
            ("./", None, &["a"]),
        ] {
            assert_eq!(view.list(prefix, after, 0).await.unwrap(), children, "{prefix:?} behind {after:?}");
        }
        for key in keys {
            view.delete(key).await.unwrap();
        }
        assert!(storage.keys("", 100).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn limits_hold() {
        let (_, view, _) = views();
        assert_eq!(view.put("a", &entry("123456789")).await, Err(ViewError::TooLarge(8)));
        for key in ["a", "b", "c/1", "c/2", "d"] {
            view.put(key, &entry("12345678")).await.unwrap();
        }
        assert_eq!(view.list("", None, 0).await.unwrap(), ["a", "b", "c/"]);
        assert_eq!(view.list("", Some("c/"), 9).await.unwrap(), ["d"]);
        assert_eq!(view.list("", Some("a"), 1).await.unwrap(), ["b"]);
    }

    #[cfg(feature = "wasm")]
    #[test]
    fn what_waits_is_checked_before_and_comes_out_of_the_room() {
        let (_, view, _) = views();
        let room = Room::new(40, "a_limit");
        let view = view.within(&room);
        let check = |kept: Result<Option<Taken>, ViewError>, bytes: usize| {
            let kept = kept.unwrap();
            assert_eq!(room.free(), 40 - bytes);
            drop(kept);
            assert_eq!(room.free(), 40);
        };
        check(view.keep_key("a/b"), 3);
        check(view.keep_entry("a/b", &entry("12345")), 8);
        check(view.keep_list("a/", Some("b")), 3);
        // The prefix and the envelope are kept as well.
        check(view.prepare_put("a", &entry("12345")).map(|write| write.kept), 22);
        check(view.prepare_delete("a").map(|write| write.kept), 11);
        let long = "k".repeat(8_000_000);
        for refused in [
            view.keep_key(&long),
            view.keep_entry(&long, &entry("1")),
            view.keep_entry("a", &entry("123456789")),
            view.keep_list(&format!("{long}/"), None),
            view.keep_list("", Some(&long)),
            view.prepare_put("a", &entry("123456789")).map(|write| write.kept),
        ] {
            let refused = refused.map(drop).unwrap_err();
            assert!(matches!(refused, ViewError::InvalidKey(_) | ViewError::TooLarge(8)), "{refused:?}");
        }
        let one = view.prepare_put("a", &entry("12345")).unwrap();
        let refused = view.prepare_put("b", &entry("12345")).map(drop).unwrap_err();
        assert!(refused.to_string().contains("40 bytes at most for it (a_limit)"), "{refused}");
        drop(one);
        assert!(view.prepare_put("b", &entry("12345")).is_ok());
    }

    /// Whoever stops waiting for a write leaves it where it was on its way to, and its bytes in the host.
    #[cfg(feature = "wasm")]
    #[tokio::test]
    async fn a_write_that_nobody_waits_for_counts_until_it_is_stored() {
        let storage = Arc::new(Slow { turns: tokio::sync::Semaphore::new(0), stored: MemoryStorage::new() });
        let room = Room::new(100, "a_limit");
        let view = StorageView::new(storage.clone(), "logical/1/", views().1.limits()).within(&room);
        let mut given_up = 0;
        while let Ok(write) = view.prepare_put(&given_up.to_string(), &entry("12345678")) {
            assert!(futures_util::poll!(Box::pin(view.write(write))).is_pending());
            given_up += 1;
        }
        assert_eq!((given_up, room.free()), (4, 0));
        storage.turns.add_permits(given_up);
        while room.free() < 100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(storage.keys("", 10).await.unwrap().len(), given_up);
    }

    /// A storage whose commits wait for their turns.
    #[cfg(feature = "wasm")]
    struct Slow {
        turns: tokio::sync::Semaphore,
        stored: MemoryStorage,
    }

    #[cfg(feature = "wasm")]
    #[async_trait::async_trait]
    impl Storage for Slow {
        async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
            self.stored.get(key).await
        }

        async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
            self.stored.list(prefix, after, limit).await
        }

        async fn snapshot(&self) -> Result<Box<dyn super::super::Snapshot>, StorageError> {
            self.stored.snapshot().await
        }

        async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
            self.turns.acquire().await.unwrap().forget();
            self.stored.commit(batch).await
        }

        async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError> {
            self.stored.keys(prefix, limit).await
        }
    }

    #[tokio::test]
    async fn a_read_only_view_refuses_every_write() {
        let (storage, view, _) = views();
        view.put("a", &entry("1")).await.unwrap();
        let view = view.read_only();
        assert_eq!(view.put("a", &entry("2")).await, Err(ViewError::ReadOnly));
        assert_eq!(view.delete("a").await, Err(ViewError::ReadOnly));
        assert_eq!(view.wipe(10).await, Err(ViewError::ReadOnly));
        let mut transaction = view.begin(TransactionMode::ReadWrite).await.unwrap();
        assert_eq!(transaction.put("a", &entry("2")), Err(ViewError::ReadOnly));
        assert_eq!(view.get("a").await.unwrap(), Some(entry("1")));
        assert_eq!(storage.keys("", 10).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_is_asked_of_it_counts_on_its_mount() {
        let (_, view, other) = views();
        let meter = Arc::new(MountMeter::default());
        let view = view.metered(&meter);
        let sealed = envelope::seal("logical/1/a", &entry("12345")).len() as u64;
        other.put("a", &entry("1")).await.unwrap();
        view.put("a", &entry("12345")).await.unwrap();
        view.get("a").await.unwrap();
        view.read_only().get("absent").await.unwrap();
        view.delete("a").await.unwrap();
        view.list("", None, 0).await.unwrap();
        // Refused before the storage is asked.
        view.read_only().put("a", &entry("1")).await.unwrap_err();
        view.get("../a").await.unwrap_err();

        let mut transaction = view.begin(TransactionMode::ReadWrite).await.unwrap();
        transaction.put("b", &entry("12345")).unwrap();
        transaction.delete("c").unwrap();
        // What it wrote itself, and what is stored.
        transaction.get("b").await.unwrap();
        transaction.get("d").await.unwrap();
        transaction.get("d").await.unwrap();
        transaction.list("", None, 0).await.unwrap();
        let mut undone = view.begin(TransactionMode::ReadWrite).await.unwrap();
        undone.put("e", &entry("1")).unwrap();
        drop(undone);
        let before_commit = meter.read_counts().unwrap().storage;
        assert_eq!((before_commit.writes, before_commit.bytes_written), (2, sealed));
        transaction.commit().await.unwrap();

        let StorageCounts { reads, lists, writes, bytes_read, bytes_written, .. } =
            meter.read_counts().unwrap().storage;
        assert_eq!((reads, lists, writes), (3, 2, 4));
        assert_eq!((bytes_read, bytes_written), (sealed, 2 * sealed));
    }

    #[tokio::test]
    async fn damage_is_told_without_its_details() {
        let (storage, view, _) = views();
        storage.commit(Batch::default().put("logical/1/a", "raw bytes")).await.unwrap();
        assert_eq!(view.get("a").await, Err(ViewError::Unavailable("the stored value is damaged".to_owned())));
    }

    #[tokio::test]
    async fn wiping_leaves_the_neighbours() {
        let (storage, one, two) = views();
        for key in ["a", "b/c", "b/d/e", "f", "g"] {
            one.put(key, &entry("1")).await.unwrap();
            two.put(key, &entry("2")).await.unwrap();
        }
        one.wipe(2).await.unwrap();
        one.wipe(0).await.unwrap();
        assert_eq!(storage.keys("logical/1/", 10).await.unwrap().len(), 0);
        assert_eq!(storage.keys("logical/2/", 10).await.unwrap().len(), 5);
    }
}
