//! Optimistic transactions: everything is read from one moment, writes are kept in memory, and a commit succeeds only
//! if what was read is still so.
//!
//! No lock is held in between, however long a plugin thinks; who commits second begins again. Listings count as read as
//! well, and so does whatever decided whether a folder is empty, so that transactions are serialisable.
//!
//! A transaction keeps what it reads and writes until it ends. The number of keys, their bytes and the time until then
//! are bounded, whoever began it: the moment that it reads from keeps the storage from using what was freed since.
//! Where its view has a room, all that it keeps comes out of that as well, until it is stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cofferdam_contract::GoDuration;
use tokio::task::AbortHandle;

use super::envelope::{self, Entry};
use super::keyspace::child_of;
use super::room::{Room, Taken};
use super::view::StorageView;
use super::view_error::ViewError;
use super::{Batch, Change, Expectation, Snapshot};
use crate::meter::OpenTransaction;

/// A transaction may hold as many bytes as this many of the largest values: what OpenBao allows for one.
const LARGEST_VALUES_MAX: usize = 8;

/// What the host takes for each key that a transaction holds, beside its bytes: its place in a map, and the lengths of
/// both.
const BYTES_PER_KEY: usize = 128;

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionMode {
    /// Reading from one moment. Committing it checks nothing.
    ReadOnly,
    /// Reading, and writing what depends on it.
    ReadWrite,
}

/// Reads from one moment, and writes that appear together or not at all. Dropping it undoes it.
pub(crate) struct Transaction {
    view: StorageView,
    mode: TransactionMode,
    /// `None` once it has been committed, or its time is up.
    open: Option<Open>,
}

struct Open {
    moment: Moment,
    /// Stored bytes by full key, as read.
    reads: HashMap<String, Option<Bytes>>,
    /// Listings, as read.
    listings: Vec<Expectation>,
    /// Stored bytes by full key, as they shall be; `None` deletes.
    writes: BTreeMap<String, Option<Bytes>>,
    /// What it may still take up.
    budget: Budget,
}

struct Budget {
    keys: usize,
    keys_max: usize,
    bytes: usize,
    bytes_max: usize,
    /// Where all of it counts too, names included, and what it has there.
    room: Option<(Room, Taken)>,
}

// ----------------------------------------------------------------------------------------------------------------
// Transaction

impl Transaction {
    pub(super) fn new(
        view: StorageView,
        mode: TransactionMode,
        snapshot: Box<dyn Snapshot>,
    ) -> Result<Self, ViewError> {
        let limits = view.limits();
        let (keys, bytes) = (limits.transaction_keys_max, limits.value_bytes_max.saturating_mul(LARGEST_VALUES_MAX));
        let room = match view.room() {
            Some(room) => Some((room.clone(), room.take(BYTES_PER_KEY)?)),
            None => None,
        };
        let open = Open {
            moment: Moment::hold(snapshot, view.count_transaction(), limits.transaction_lifetime),
            reads: HashMap::new(),
            listings: Vec::new(),
            writes: BTreeMap::new(),
            budget: Budget { keys, keys_max: keys, bytes, bytes_max: bytes, room },
        };
        Ok(Self { view, mode, open: Some(open) })
    }

    /// Returns the entry under a key: what this transaction wrote, or else what was there when it began.
    pub(crate) async fn get(&mut self, key: &str) -> Result<Option<Entry>, ViewError> {
        self.check_open()?;
        let open = self.open.as_mut().ok_or_else(ended)?;
        let key = self.view.full_key(key)?;
        let stored = match open.writes.get(&key).or_else(|| open.reads.get(&key)) {
            Some(stored) => stored.clone(),
            None => {
                let stored = open.read(self.mode, &key).await?;
                self.view.count_read(stored.as_ref().map_or(0, Bytes::len));
                stored
            }
        };
        Ok(stored.map(|sealed| envelope::open(&key, &sealed)).transpose()?)
    }

    /// Stores an entry, for this transaction's own eyes until it is committed.
    pub(crate) fn put(&mut self, key: &str, entry: &Entry) -> Result<(), ViewError> {
        let key = self.writable_key(key)?;
        self.view.check_size(entry)?;
        let sealed = envelope::seal(&key, entry);
        self.write(key, Some(sealed))
    }

    /// Removes a key, if it is there, for this transaction's own eyes until it is committed.
    pub(crate) fn delete(&mut self, key: &str) -> Result<(), ViewError> {
        let key = self.writable_key(key)?;
        self.write(key, None)
    }

    /// Returns the direct children of a prefix, as [`StorageView::list`] does, with this transaction's own writes.
    pub(crate) async fn list(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, ViewError> {
        self.check_open()?;
        let open = self.open.as_mut().ok_or_else(ended)?;
        let prefix = self.view.full_prefix(prefix)?;
        self.view.check_after(after)?;
        let limit = self.view.list_limit(limit);
        let mut children = open.added_children(&prefix, after);
        let mut from = after.map(str::to_owned);
        let mut surviving = 0;
        // Whatever is added here sorts behind or between: once `limit` stored children are there, no further one can
        // matter.
        while surviving < limit {
            let page = open.list(self.mode, &prefix, from.as_deref(), limit).await?;
            let page_is_last = page.len() < limit;
            from = page.last().cloned();
            for child in page {
                if !open.is_deleted(self.mode, &prefix, &child).await? {
                    surviving += 1;
                    children.insert(child);
                }
            }
            if page_is_last {
                break;
            }
        }
        self.view.count_list();
        Ok(children.into_iter().take(limit).collect())
    }

    /// Makes the writes durable, all or none. [`ViewError::Conflict`] when anything that was read has changed since.
    ///
    /// Afterwards every use is [`ViewError::Unavailable`], however it went.
    pub(crate) async fn commit(&mut self) -> Result<(), ViewError> {
        self.check_open()?;
        let mut open = self.open.take().ok_or_else(ended)?;
        let kept = open.budget.room.take().map(|(_, kept)| kept);
        let batch = open.into_batch();
        if self.mode == TransactionMode::ReadOnly || (batch.changes.is_empty() && batch.expectations.is_empty()) {
            return Ok(());
        }
        self.view.commit(batch, kept).await
    }

    /// Refuses a transaction that has ended, and lets all go that one holds whose time is up.
    fn check_open(&mut self) -> Result<(), ViewError> {
        let open = self.open.as_ref().ok_or_else(ended)?;
        let held = open.moment.snapshot().map(drop);
        if held.is_err() {
            self.open = None;
        }
        held
    }

    fn writable_key(&mut self, key: &str) -> Result<String, ViewError> {
        self.check_open()?;
        if self.mode == TransactionMode::ReadOnly {
            return Err(ViewError::ReadOnly);
        }
        self.view.check_writable()?;
        self.view.full_key(key)
    }

    fn write(&mut self, key: String, sealed: Option<Bytes>) -> Result<(), ViewError> {
        let open = self.open.as_mut().ok_or_else(ended)?;
        let (new_keys, names) = if open.writes.contains_key(&key) { (0, 0) } else { (1, key.len()) };
        open.budget.take(new_keys, names, sealed.as_ref().map_or(0, Bytes::len))?;
        if let Some(Some(replaced)) = open.writes.insert(key, sealed) {
            open.budget.give_back(replaced.len());
        }
        Ok(())
    }
}

fn ended() -> ViewError {
    ViewError::Unavailable("the transaction has ended".to_owned())
}

// ---------------------------------------------------------------------------------------------------------------------
// Moment

/// A snapshot that is let go when its time is up, whether anybody uses it then or not.
struct Moment {
    held: Arc<Mutex<Option<Held>>>,
    lifetime: Duration,
    timer: AbortHandle,
}

struct Held {
    snapshot: Arc<dyn Snapshot>,
    _counted: Option<OpenTransaction>,
}

impl Moment {
    fn hold(snapshot: Box<dyn Snapshot>, counted: Option<OpenTransaction>, lifetime: Duration) -> Self {
        let held = Held { snapshot: Arc::from(snapshot), _counted: counted };
        let held = Arc::new(Mutex::new(Some(held)));
        let left = Arc::downgrade(&held);
        // From now on, and not from when the task has its first turn.
        let time_is_up = tokio::time::sleep(lifetime);
        let timer = tokio::spawn(async move {
            time_is_up.await;
            let held = left.upgrade().and_then(|held| place(&held).take());
            drop(held);
        });
        Self { held, lifetime, timer: timer.abort_handle() }
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, ViewError> {
        let held = place(&self.held).as_ref().map(|held| Arc::clone(&held.snapshot));
        held.ok_or_else(|| {
            let lifetime = GoDuration::from_std(self.lifetime);
            ViewError::Unavailable(format!("the transaction was open for longer than {lifetime}, and was undone"))
        })
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

fn place(held: &Mutex<Option<Held>>) -> MutexGuard<'_, Option<Held>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

// ---------------------------------------------------------------------------------------------------------------------
// Open

impl Open {
    /// Reads stored bytes, and remembers that the transaction depends on them.
    async fn read(&mut self, mode: TransactionMode, key: &str) -> Result<Option<Bytes>, ViewError> {
        let stored = self.moment.snapshot()?.get(key).await?;
        if mode == TransactionMode::ReadWrite {
            self.budget.take(1, key.len(), stored.as_ref().map_or(0, Bytes::len))?;
            self.reads.insert(key.to_owned(), stored.clone());
        }
        Ok(stored)
    }

    /// Lists stored children, and remembers that the transaction depends on them.
    async fn list(
        &mut self,
        mode: TransactionMode,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, ViewError> {
        let children = self.moment.snapshot()?.list(prefix, after, limit).await?;
        if mode == TransactionMode::ReadWrite {
            let names = prefix.len() + after.map_or(0, str::len);
            self.budget.take(children.len().max(1), names, children.iter().map(String::len).sum())?;
            self.listings.push(Expectation::Children {
                prefix: prefix.to_owned(),
                after: after.map(str::to_owned),
                limit,
                children: children.clone(),
            });
        }
        Ok(children)
    }

    /// Returns the children of a prefix that this transaction's own writes make.
    fn added_children(&self, prefix: &str, after: Option<&str>) -> BTreeSet<String> {
        let below = self.writes.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        below
            .filter(|(_, stored)| stored.is_some())
            .map(|(key, _)| child_of(&key[prefix.len()..]))
            .filter(|child| after.is_none_or(|after| *child > child_of(after)))
            .map(str::to_owned)
            .collect()
    }

    /// Says whether this transaction has deleted all that a stored child holds.
    async fn is_deleted(&mut self, mode: TransactionMode, prefix: &str, child: &str) -> Result<bool, ViewError> {
        // A child is a folder by its own last slash: the one without a name is a value, though its key ends in one.
        let named = |folder: &str, child: &str| (format!("{folder}{child}"), child.ends_with('/'));
        let mut unseen = vec![named(prefix, child)];
        while let Some((key, is_folder)) = unseen.pop() {
            if !is_folder {
                if !matches!(self.writes.get(&key), Some(None)) {
                    return Ok(false);
                }
                continue;
            }
            // Every stored child holds a key at least: with more children than deletions, one of them survives.
            let deletions = self.deletions_below(&key);
            if deletions == 0 {
                return Ok(false);
            }
            let children = self.list(mode, &key, None, deletions + 1).await?;
            if children.len() > deletions {
                return Ok(false);
            }
            unseen.extend(children.iter().map(|child| named(&key, child)));
        }
        Ok(true)
    }

    fn deletions_below(&self, folder: &str) -> usize {
        let below = self.writes.range(folder.to_owned()..).take_while(|(key, _)| key.starts_with(folder));
        below.filter(|(_, stored)| stored.is_none()).count()
    }

    fn into_batch(self) -> Batch {
        let values = self.reads.into_iter().map(|(key, stored)| Expectation::Value(key, stored));
        let changes = self.writes.into_iter().map(|(key, stored)| match stored {
            Some(stored) => Change::Put(key, stored),
            None => Change::Delete(key),
        });
        Batch { expectations: values.chain(self.listings).collect(), changes: changes.collect() }
    }
}

impl Budget {
    /// Takes so many keys and bytes. Names, and what is kept around them, count only where there is a room.
    fn take(&mut self, keys: usize, names: usize, bytes: usize) -> Result<(), ViewError> {
        let keys_max = self.keys_max;
        let too_many = || ViewError::Unavailable(format!("a transaction may read and write {keys_max} keys at most"));
        let keys_left = self.keys.checked_sub(keys).ok_or_else(too_many)?;
        let bytes_left = self.bytes.checked_sub(bytes).ok_or(ViewError::TooLarge(self.bytes_max as u64))?;
        if let Some((room, taken)) = &mut self.room {
            taken.add(room.take(bytes + names + keys * BYTES_PER_KEY)?);
        }
        (self.keys, self.bytes) = (keys_left, bytes_left);
        Ok(())
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes += bytes;
        if let Some((_, taken)) = &mut self.room {
            taken.give_back(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{DurableStorage, MemoryStorage, Storage, ViewLimits};

    fn limits() -> ViewLimits {
        ViewLimits {
            value_bytes_max: 64,
            key_bytes_max: 64,
            list_max: 100,
            transaction_keys_max: 50,
            transaction_lifetime: Duration::from_secs(90),
        }
    }

    async fn view_of(keys: &[&str]) -> StorageView {
        let limits = limits();
        let view = StorageView::new(Arc::new(MemoryStorage::new()), "logical/1/", limits);
        for key in keys {
            view.put(key, &entry("old")).await.unwrap();
        }
        view
    }

    fn entry(value: &'static str) -> Entry {
        Bytes::from_static(value.as_bytes()).into()
    }

    async fn begin(view: &StorageView) -> Transaction {
        view.begin(TransactionMode::ReadWrite).await.unwrap()
    }

    #[tokio::test]
    async fn writes_are_seen_inside_and_appear_outside_at_commit() {
        let view = view_of(&["a", "b"]).await;
        let mut transaction = begin(&view).await;
        transaction.put("c", &Entry { seal_wrap: true, ..entry("new") }).unwrap();
        transaction.delete("a").unwrap();
        assert_eq!(transaction.get("c").await.unwrap().unwrap().value, "new");
        assert_eq!(transaction.get("a").await.unwrap(), None);
        assert_eq!(view.list("", None, 0).await.unwrap(), ["a", "b"]);

        transaction.commit().await.unwrap();
        assert_eq!(view.list("", None, 0).await.unwrap(), ["b", "c"]);
        assert!(view.get("c").await.unwrap().unwrap().seal_wrap);
    }

    #[tokio::test]
    async fn reads_are_of_one_moment() {
        let view = view_of(&["a", "b"]).await;
        let mut transaction = view.begin(TransactionMode::ReadOnly).await.unwrap();
        view.put("a", &entry("new")).await.unwrap();
        view.delete("b").await.unwrap();
        assert_eq!(transaction.get("a").await.unwrap(), Some(entry("old")));
        assert_eq!(transaction.list("", None, 0).await.unwrap(), ["a", "b"]);
        assert_eq!(transaction.put("a", &entry("x")), Err(ViewError::ReadOnly));
        assert_eq!(transaction.delete("a"), Err(ViewError::ReadOnly));
        assert_eq!(transaction.commit().await, Ok(()));
    }

    /// What a transaction reads, what somebody else then writes, and how its commit ends.
    #[tokio::test]
    async fn a_commit_conflicts_exactly_when_a_read_has_changed() {
        enum Read {
            Value(&'static str),
            List(&'static str),
            FolderAfterDeleting(&'static str),
        }
        use Read::*;
        let conflict = Err(ViewError::Conflict);
        let rows = [
            (Value("a"), "a", conflict.clone()),
            (Value("none"), "none", conflict.clone()),
            (Value("a"), "other", Ok(())),
            (List(""), "new", conflict.clone()),
            (List(""), "f/new", Ok(())),
            (List("f/"), "f/new", conflict.clone()),
            (List("f/"), "f/1", Ok(())),
            (List("empty/"), "empty/new", conflict.clone()),
            (FolderAfterDeleting("f/1"), "f/new", conflict.clone()),
        ];
        for (row, (read, touched, expected)) in rows.into_iter().enumerate() {
            let view = view_of(&["a", "f/1"]).await;
            let mut transaction = begin(&view).await;
            match read {
                Value(key) => drop(transaction.get(key).await.unwrap()),
                List(prefix) => drop(transaction.list(prefix, None, 0).await.unwrap()),
                FolderAfterDeleting(key) => {
                    transaction.delete(key).unwrap();
                    assert_eq!(transaction.list("", None, 0).await.unwrap(), ["a"]);
                }
            }
            transaction.put("written", &entry("x")).unwrap();
            view.put(touched, &entry("theirs")).await.unwrap();
            assert_eq!(transaction.commit().await, expected, "row {row}");
            assert_eq!(view.get("written").await.unwrap().is_some(), expected.is_ok(), "row {row}");
        }
    }

    #[tokio::test]
    async fn listings_hold_the_transactions_own_writes() {
        let view = view_of(&["a", "b/1", "b/2/x", "c", "d/1", "e"]).await;
        let mut transaction = begin(&view).await;
        for key in ["a", "b/1", "b/2/x", "d/1", "never"] {
            transaction.delete(key).unwrap();
        }
        for key in ["aa", "d/2", "z/1", "c"] {
            transaction.put(key, &entry("x")).unwrap();
        }
        assert_eq!(transaction.list("", None, 0).await.unwrap(), ["aa", "c", "d/", "e", "z/"]);
        assert_eq!(transaction.list("", None, 2).await.unwrap(), ["aa", "c"]);
        assert_eq!(transaction.list("", Some("c"), 2).await.unwrap(), ["d/", "e"]);
        assert_eq!(transaction.list("", Some("e"), 2).await.unwrap(), ["z/"]);
        assert_eq!(transaction.list("b/", None, 0).await.unwrap(), [""; 0]);
        assert_eq!(transaction.list("d/", None, 0).await.unwrap(), ["2"]);
        transaction.commit().await.unwrap();
        assert_eq!(view.list("", None, 0).await.unwrap(), ["aa", "c", "d/", "e", "z/"]);
    }

    #[tokio::test]
    async fn listings_tell_a_value_without_a_name_from_a_folder() {
        let view = view_of(&["", "a/", "a//b", "c//"]).await;
        for (deleted, top, inside) in [
            (["a//b"].as_slice(), ["", "a/", "c/"].as_slice(), [""].as_slice()),
            (&["a//b", "a/"], &["", "c/"], &[]),
            (&["", "a/"], &["a/", "c/"], &["/"]),
            (&["", "a/", "a//b", "c//"], &[], &[]),
        ] {
            let mut transaction = begin(&view).await;
            deleted.iter().for_each(|key| transaction.delete(key).unwrap());
            assert_eq!(transaction.list("", None, 0).await.unwrap(), top, "without {deleted:?}");
            assert_eq!(transaction.list("a/", None, 0).await.unwrap(), inside, "without {deleted:?}");
        }
        let mut transaction = begin(&view).await;
        ["", "a/", "a//b", "c//"].iter().for_each(|key| transaction.delete(key).unwrap());
        transaction.put("a/", &entry("x")).unwrap();
        transaction.put("", &entry("x")).unwrap();
        assert_eq!(transaction.list("", None, 0).await.unwrap(), ["", "a/"]);
        assert_eq!(transaction.list("", Some(""), 0).await.unwrap(), ["a/"]);
        assert_eq!(transaction.list("a/", None, 0).await.unwrap(), [""]);
        assert_eq!(transaction.commit().await, Ok(()));
        assert_eq!(view.list("", None, 0).await.unwrap(), ["", "a/"]);
    }

    #[tokio::test]
    async fn of_two_that_read_and_write_the_same_one_wins() {
        let view = view_of(&["a"]).await;
        let (mut one, mut two) = (begin(&view).await, begin(&view).await);
        for transaction in [&mut one, &mut two] {
            transaction.get("a").await.unwrap();
            transaction.put("a", &entry("mine")).unwrap();
        }
        assert_eq!(one.commit().await, Ok(()));
        assert_eq!(two.commit().await, Err(ViewError::Conflict));
    }

    #[tokio::test]
    async fn keys_and_bytes_are_bounded() {
        let view = view_of(&[]).await;
        let mut transaction = begin(&view).await;
        for key in 0..50 {
            transaction.put(&key.to_string(), &entry("x")).unwrap();
        }
        transaction.put("0", &entry("again")).unwrap();
        let error = transaction.put("one more", &entry("x")).unwrap_err();
        assert!(error.to_string().contains("50 keys"), "{error}");

        let mut transaction = begin(&view).await;
        let large = Entry::from(Bytes::from_static(&[0; 64]));
        let stored = (0..20).take_while(|key| transaction.put(&key.to_string(), &large).is_ok()).count();
        assert_eq!(stored, 7);
        assert_eq!(transaction.put("x", &large), Err(ViewError::TooLarge(512)));
    }

    #[cfg(feature = "wasm")]
    #[tokio::test]
    async fn transactions_of_one_holder_keep_no_more_than_it_has_room_for() {
        let room = Room::new(2_000, "a_limit");
        let view = view_of(&["a"]).await.within(&room);
        let (mut one, mut two) = (begin(&view).await, begin(&view).await);
        let large = Entry::from(Bytes::from_static(&[0; 60]));
        let mut stored = 0;
        let refused = loop {
            match one.put(&stored.to_string(), &large) {
                Ok(()) => stored += 1,
                Err(refused) => break refused,
            }
        };
        assert!(stored > 5 && matches!(refused, ViewError::TooLarge(512)), "its own limit comes first: {refused}");
        let left = room.free();
        for _ in 0..2 {
            one.delete("0").unwrap();
            assert!(room.free() > left, "what is replaced does not count");
            one.put("0", &large).unwrap();
            assert_eq!(room.free(), left);
        }
        let refused = loop {
            if let Err(refused) = two.put(&room.free().to_string(), &entry("x")) {
                break refused;
            }
        };
        assert!(refused.to_string().contains("2000 bytes at most for it (a_limit)"), "{refused}");
        for refused in [two.get("a").await.map(drop), two.list("", None, 0).await.map(drop)] {
            assert!(refused.unwrap_err().to_string().contains("a_limit"), "what is read is kept as well");
        }
        assert!(view.put("b", &large).await.is_err(), "and so is what is written beside it");
        one.commit().await.unwrap();
        assert_eq!(two.get("a").await.unwrap(), Some(entry("old")), "who is refused goes on when there is room again");
        drop(two);
        assert_eq!(room.free(), 2_000);
        assert_eq!(view.list("", None, 0).await.unwrap().len(), stored + 1);
    }

    #[tokio::test]
    async fn nothing_works_after_a_commit() {
        let view = view_of(&["a"]).await;
        let meter = Arc::new(crate::meter::MountMeter::default());
        let view = view.metered(&meter);
        let mut transaction = begin(&view).await;
        drop(begin(&view).await);
        assert_eq!(meter.read_counts().unwrap().storage.transactions_open, 1);
        transaction.commit().await.unwrap();
        assert_eq!(meter.read_counts().unwrap().storage.transactions_open, 0);
        assert_eq!(transaction.get("a").await, Err(ended()));
        assert_eq!(transaction.put("a", &entry("x")), Err(ended()));
        assert_eq!(transaction.delete("a"), Err(ended()));
        assert_eq!(transaction.list("", None, 0).await, Err(ended()));
        assert_eq!(transaction.commit().await, Err(ended()));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_works_when_the_time_is_up_and_nothing_is_held() {
        let meter = Arc::new(crate::meter::MountMeter::default());
        let view = view_of(&["a"]).await.metered(&meter);
        let open = || meter.read_counts().unwrap().storage.transactions_open;
        let advance = async |seconds| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            // Whatever that woke has its turn.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        };
        for mode in [TransactionMode::ReadOnly, TransactionMode::ReadWrite] {
            let begin = async || view.begin(mode).await.unwrap();
            let (mut one, mut two, mut three, mut four) = (begin().await, begin().await, begin().await, begin().await);
            assert_eq!(open(), 4);
            let held = Arc::downgrade(&one.open.as_ref().unwrap().moment.snapshot().unwrap());
            advance(89).await;
            assert_eq!(one.get("a").await.unwrap(), Some(entry("old")));
            advance(2).await;
            assert!(held.upgrade().is_none(), "the snapshot is gone though the transaction is there");
            assert_eq!(open(), 0);
            let uses = [
                one.get("a").await.map(drop),
                two.list("", None, 0).await.map(drop),
                three.commit().await,
                four.put("a", &entry("x")),
            ];
            for used in uses {
                let error = used.expect_err("its time is up").to_string();
                assert!(error.contains("open for longer than 1m30s"), "{error}");
            }
            assert_eq!(one.get("a").await, Err(ended()));
        }
        assert_eq!(view.get("a").await.unwrap(), Some(entry("old")));
    }

    /// Whoever holds a moment of the storage keeps it from using again what others freed, in every mount: but not for
    /// long.
    #[tokio::test]
    async fn a_file_stays_small_though_somebody_keeps_a_transaction() {
        const VALUE_BYTES: usize = 500_000;
        const OVERWRITES: usize = 40;
        const SMALL: u64 = 12 << 20;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("storage");
        let storage: Arc<dyn Storage> = Arc::new(DurableStorage::open(&path).unwrap());
        let view = |transaction_lifetime| {
            StorageView::new(Arc::clone(&storage), "logical/1/", ViewLimits { transaction_lifetime, ..limits() })
        };
        let overwrite = async || {
            for turn in 0..OVERWRITES {
                let value = vec![turn as u8; VALUE_BYTES];
                storage.commit(Batch::default().put("logical/2/a", value)).await.unwrap();
            }
            std::fs::metadata(&path).unwrap().len()
        };
        overwrite().await;
        let brief = view(Duration::from_millis(1));
        let mut kept = brief.begin(TransactionMode::ReadOnly).await.unwrap();
        while kept.get("a").await.is_ok() {
            tokio::task::yield_now().await;
        }
        let after = brief.begin(TransactionMode::ReadOnly).await.unwrap();
        let size = overwrite().await;
        assert!(size < SMALL, "{size} bytes");
        // The same without an end.
        let endless = view(Duration::from_secs(3_600)).begin(TransactionMode::ReadOnly).await.unwrap();
        let size = overwrite().await;
        assert!(size > SMALL, "{size} bytes: nothing was held, and this test shows nothing");
        drop((kept, after, endless));
    }
}
