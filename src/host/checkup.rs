//! What is wrong with a storage that no host has open, and a root token for who can read it.

use std::collections::BTreeSet;
use std::io;

use super::own_record::{SystemRecord, TokenDigest};
use super::{Error, ErrorKind};
use crate::mount::MountTable;
use crate::storage::{Storage, StorageError, check_value};

/// Where plugins' data lies, by the kind of their mounts.
const DATA: [&str; 2] = ["logical/", "auth/"];

/// Where the host's own records lie.
const RECORDS: &str = "core/";

/// What a storage holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageReport {
    /// Keys of the host's own records.
    pub records: usize,
    /// Each mount's place in the storage, and how many keys it has there.
    pub mounts: Vec<(String, usize)>,
    /// What is damaged or has been lost, one sentence each. Empty if all is well.
    pub problems: Vec<String>,
}

/// Reads everything in a storage that no host has open, and says what is damaged or has been lost.
///
/// # Errors
///
/// [`ErrorKind::Storage`] when it cannot be read.
pub async fn check_storage(storage: &dyn Storage) -> Result<StorageReport, Error> {
    let mut report = StorageReport::default();
    match SystemRecord::load(storage).await {
        Ok(_) => {}
        Err(error) if is_lost(&error) => report.problems.push(error.to_string()),
        Err(error) => return Err(error.into()),
    }
    report.records = check_below(storage, RECORDS, &mut report.problems).await?;
    let lost = lost_mounts(storage).await?;
    for prefix in DATA {
        for child in storage.list(prefix, None, usize::MAX).await? {
            let place = format!("{prefix}{child}");
            let keys = check_below(storage, &place, &mut report.problems).await?;
            report.mounts.push((place, keys));
        }
    }
    report.problems.extend(lost.iter().map(|place| format!("{place} holds the data of a mount whose record is lost")));
    Ok(report)
}

/// Returns the places that hold data of mounts which are not recorded, and not to be wiped either.
pub(super) async fn lost_mounts(storage: &dyn Storage) -> Result<Vec<String>, StorageError> {
    let known: BTreeSet<String> = MountTable::places(storage).await?.into_iter().collect();
    let mut lost = Vec::new();
    for prefix in DATA {
        let children = storage.list(prefix, None, usize::MAX).await?;
        lost.extend(
            children.into_iter().map(|child| format!("{prefix}{child}")).filter(|place| !known.contains(place)),
        );
    }
    Ok(lost)
}

async fn check_below(storage: &dyn Storage, prefix: &str, problems: &mut Vec<String>) -> Result<usize, StorageError> {
    let keys = storage.keys(prefix, usize::MAX).await?;
    for key in &keys {
        match storage.get(key).await {
            Ok(Some(value)) => problems.extend(check_value(key, &value).err().map(|error| error.to_string())),
            Ok(None) => problems.push(format!("{key:?} is listed, and cannot be found")),
            Err(error) => problems.push(format!("{key:?} cannot be read: {error}")),
        }
    }
    Ok(keys.len())
}

/// Makes a root token for a storage that no host has open, in place of the one that it has. It can be seen this once:
/// `show` is given it before anything is stored, and where that fails nothing is.
///
/// A storage that has lost what the host remembers of itself has it again afterwards. One that could only not be read
/// keeps what it has.
///
/// # Errors
///
/// [`ErrorKind::Storage`], and [`ErrorKind::Internal`] when the token could not be shown.
pub async fn replace_root_token(storage: &dyn Storage, show: impl FnOnce(&str) -> io::Result<()>) -> Result<(), Error> {
    let record = match SystemRecord::load(storage).await {
        Ok(record) => record.unwrap_or_else(SystemRecord::new),
        Err(error) if is_lost(&error) => SystemRecord::new(),
        Err(error) => return Err(error.into()),
    };
    make_root_token(storage, &record, show).await.map(drop)
}

/// Tells whether the host's own record is lost or damaged for good, rather than not to be read at the moment.
fn is_lost(error: &StorageError) -> bool {
    match error {
        StorageError::Damaged { .. } | StorageError::Unusable(_) => true,
        StorageError::Conflict
        | StorageError::InDoubt { .. }
        | StorageError::TakenOver
        | StorageError::Failed { .. } => false,
    }
}

/// Shows a new token, then stores its digest.
pub(super) async fn make_root_token(
    storage: &dyn Storage,
    record: &SystemRecord,
    show: impl FnOnce(&str) -> io::Result<()>,
) -> Result<TokenDigest, Error> {
    let token = format!("s.{}", uuid::Uuid::new_v4().simple());
    let before = SystemRecord::stored(storage).await?;
    show(&token).map_err(|cause| {
        Error::new(
            ErrorKind::Internal,
            format!(
                "the root token could not be shown, so none was made: {cause}; start again where its output can be read"
            ),
        )
    })?;
    let digest = TokenDigest::of(&token);
    let record = SystemRecord { root_token: Some(digest), ..record.clone() };
    record.store(storage, before).await.map_err(|error| {
        Error::new(ErrorKind::Storage, format!("the root token that was just shown is not valid: {error}"))
    })?;
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::host::Host;
    use crate::storage::{Batch, DurableStorage, MemoryStorage};

    #[tokio::test]
    async fn a_token_that_nobody_saw_is_not_made() {
        let host = Host::builder().build().await.unwrap();
        let failed = host.create_root_token(|_| Err(io::ErrorKind::StorageFull.into())).await.unwrap_err();
        assert!(failed.to_string().contains("none was made"), "{failed}");
        let mut seen = String::new();
        let made = host.create_root_token(|token| {
            token.clone_into(&mut seen);
            Ok(())
        });
        assert!(made.await.unwrap());
        assert!(host.identify(&seen.as_str().into()).await.unwrap().is_some());
        assert!(!host.create_root_token(|_| Ok(())).await.unwrap(), "there is one");
    }

    #[tokio::test]
    async fn a_storage_that_lost_its_record_is_not_new() {
        let directory = tempfile::tempdir().unwrap();
        let open = || DurableStorage::open(directory.path().join("store")).unwrap();
        drop(Host::builder().storage(open()).build().await.unwrap());
        let storage = open();
        let data = Batch::default().delete("core/system").put("logical/6ba7b810-9dad-11d1-80b4-00c04fd430c8/a", "x");
        storage.commit(data).await.unwrap();
        let report = check_storage(&storage).await.unwrap();
        assert_eq!(report.problems.len(), 3, "{report:?}");
        drop(storage);
        let Err(error) = Host::builder().storage(open()).build().await else { panic!("it is taken for new") };
        assert!(error.detail().contains("core/system") && error.detail().contains("generate-root"), "{error}");

        let storage = open();
        let mut seen = String::new();
        let replaced = replace_root_token(&storage, |token| {
            token.clone_into(&mut seen);
            Ok(())
        });
        replaced.await.unwrap();
        drop(storage);
        let host = Host::builder().storage(open()).build().await.unwrap();
        assert!(host.identify(&seen.as_str().into()).await.unwrap().is_some());
    }

    /// A storage whose disk fails.
    struct Failing(MemoryStorage);

    #[async_trait::async_trait]
    impl Storage for Failing {
        async fn get(&self, _: &str) -> Result<Option<bytes::Bytes>, StorageError> {
            Err(StorageError::Failed { action: "read", source: "input/output error".into() })
        }

        async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
            self.0.list(prefix, after, limit).await
        }

        async fn snapshot(&self) -> Result<Box<dyn crate::storage::Snapshot>, StorageError> {
            self.0.snapshot().await
        }

        async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
            self.0.commit(batch).await
        }

        async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StorageError> {
            self.0.keys(prefix, limit).await
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_at_the_moment_is_not_lost() {
        let storage = Failing(MemoryStorage::new());
        let record = SystemRecord::load_or_create(&storage.0).await.unwrap();
        let refused = replace_root_token(&storage, |_| panic!("no token is made")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Storage);
        assert!(refused.detail().contains("input/output error"), "{refused}");
        assert!(check_storage(&storage).await.is_err());
        let kept = SystemRecord::load(&storage.0).await.unwrap().unwrap();
        assert_eq!((kept.uuid, kept.accessor), (record.uuid, record.accessor));
    }

    #[tokio::test]
    async fn a_whole_storage_has_no_problems() {
        let storage = Arc::new(MemoryStorage::new());
        assert!(SystemRecord::load_or_create(&*storage).await.is_ok());
        let report = check_storage(&*storage).await.unwrap();
        assert_eq!(report, StorageReport { records: 1, ..StorageReport::default() });
    }
}
