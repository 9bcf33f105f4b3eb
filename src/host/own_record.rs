//! What a host remembers of itself: the identity of `sys/`, and the digest of the root token.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::ident::{Accessor, MountUuid, PluginKind, PluginName};
use crate::storage::{Batch, Expectation, Storage, StorageError, load_record, store_record};

/// Where the record lies.
const RECORD: &str = "core/system";

/// The name of `sys/` where a plugin's would stand.
pub(super) const SYSTEM_TYPE: &str = "system";

/// The stored record.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SystemRecord {
    pub(super) uuid: MountUuid,
    pub(super) accessor: Accessor,
    /// SHA-256 of the root token; the token itself is nowhere.
    pub(super) root_token: Option<TokenDigest>,
}

/// The digest of a token.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Tells whether a token is the one, in a time that does not depend on how much of it is right.
    pub(super) fn matches(&self, token: &str) -> bool {
        let ([high, low], [other_high, other_low]) = (self.halves(), Self::of(token).halves());
        (high.ct_eq(&other_high) & low.ct_eq(&other_low)).into()
    }

    /// Returns the digest as two numbers, which are compared at a time: byte by byte takes as long as hashing.
    fn halves(&self) -> [u128; 2] {
        let (high, low) = self.0.split_at(16);
        [high, low].map(|half| u128::from_le_bytes(half.try_into().expect("a digest has two halves of 16 bytes")))
    }
}

impl SystemRecord {
    /// Returns the record of a storage that has none.
    pub(super) fn new() -> Self {
        let name: PluginName = SYSTEM_TYPE.parse().expect("the name is well formed");
        Self { uuid: MountUuid::random(), accessor: Accessor::random(PluginKind::Secret, &name), root_token: None }
    }

    /// Reads the record; `None` when the storage is new. One that holds anything else has lost it: whoever took it for
    /// new would hand a root token, and with it everything that is left, to the next who starts it.
    pub(super) async fn load(storage: &dyn Storage) -> Result<Option<Self>, StorageError> {
        if let Some(record) = load_record(storage, RECORD).await? {
            return Ok(Some(record));
        }
        if storage.keys("", 1).await?.is_empty() {
            return Ok(None);
        }
        Err(StorageError::Unusable(format!(
            "the storage is damaged: it holds data, and has lost {RECORD:?}, which a host makes first and never removes. \
             Restore it from a backup; or, to go on with what is left, look at it with `cofferdam operator check-storage` and \
             give it a root token with `cofferdam operator generate-root`"
        )))
    }

    /// Reads the record, or makes it when the storage is new.
    pub(super) async fn load_or_create(storage: &dyn Storage) -> Result<Self, StorageError> {
        if let Some(record) = Self::load(storage).await? {
            return Ok(record);
        }
        let record = Self::new();
        match record.store(storage, None).await {
            Ok(()) => Ok(record),
            // Another host made one in the same moment.
            Err(StorageError::Conflict) => Self::load(storage).await?.ok_or(StorageError::Conflict),
            Err(error) => Err(error),
        }
    }

    /// Returns the record as it is stored, whatever it is.
    pub(super) async fn stored(storage: &dyn Storage) -> Result<Option<Bytes>, StorageError> {
        storage.get(RECORD).await
    }

    /// Stores the record in place of this one, which is [stored](Self::stored).
    pub(super) async fn store(&self, storage: &dyn Storage, before: Option<Bytes>) -> Result<(), StorageError> {
        let mut batch = store_record(Batch::default(), RECORD, self)?;
        batch.expectations.push(Expectation::Value(RECORD.to_owned(), before));
        storage.commit(batch).await
    }
}
