//! A mount's storage, as the SDKs know it. Transactions are OpenBao's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cofferdam_proto::messages::pb;
use cofferdam_proto::messages::pb::storage_server::Storage;
use cofferdam_proto::storage_error::StorageError;
use tonic::{Request, Response, Status};

use super::Desk;
use super::questions::Question;
use crate::storage::{Entry, Room, StorageView, Transaction, TransactionMode, ViewError};

/// Transactions that one mount's plugin may have open at a time. Each holds what it read and wrote in memory.
const TRANSACTIONS_OPEN_MAX: usize = 64;

/// How long the number of a transaction that nobody ends is kept: longer than any request may take by default. What the
/// transaction holds is let go before, when a request's time is over.
const TRANSACTION_LIFETIME: Duration = Duration::from_secs(120);

type Open = Arc<tokio::sync::Mutex<Transaction>>;
type Reply<T> = Result<Response<T>, Status>;

/// Serves one backend.
pub(super) struct StorageService {
    desk: Arc<Desk>,
    /// For what the host keeps for the process.
    room: Room,
    /// A listing that is longer could not be sent.
    message_bytes_max: usize,
    open: Arc<Mutex<HashMap<String, Open>>>,
}

impl StorageService {
    pub(super) fn new(desk: Arc<Desk>, room: &Room, message_bytes_max: usize) -> Self {
        Self { desk, room: room.clone(), message_bytes_max, open: Arc::default() }
    }

    /// Returns the mount's storage as it may be used now, and what keeps it so.
    async fn view(&self) -> Result<(StorageView, super::Admission<'_>), Status> {
        let admission = self.desk.admit().await?;
        let view = admission.scope.storage.clone().within(&self.room);
        Ok((if admission.read_only { view.read_only() } else { view }, admission))
    }

    fn transaction(&self, id: &str) -> Result<Open, StorageError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(id).cloned().ok_or_else(over)
    }

    fn end(&self, id: &str) -> Result<Open, StorageError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(id).ok_or_else(over)
    }

    fn keep(&self, transaction: Transaction) -> Result<String, StorageError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= TRANSACTIONS_OPEN_MAX {
            return Err(StorageError::Unavailable("too many transactions are open".to_owned()));
        }
        let id = uuid::Uuid::new_v4().to_string();
        open.insert(id.clone(), Arc::new(tokio::sync::Mutex::new(transaction)));
        let (abandoned, left) = (id.clone(), Arc::downgrade(&self.open));
        tokio::spawn(async move {
            tokio::time::sleep(TRANSACTION_LIFETIME).await;
            if let Some(open) = left.upgrade() {
                open.lock().unwrap_or_else(PoisonError::into_inner).remove(&abandoned);
            }
        });
        Ok(id)
    }

    async fn begin(&self, mode: TransactionMode) -> Reply<pb::StorageBeginTxReply> {
        let (view, _inside) = self.view().await?;
        let begun = match view.begin(mode).await {
            Ok(transaction) => self.keep(transaction),
            Err(error) => Err(said(error)),
        };
        let (txn, err) = match begun {
            Ok(id) => (id, String::new()),
            Err(error) => (String::new(), error.to_string()),
        };
        Ok(Response::new(pb::StorageBeginTxReply { txn, err }))
    }

    /// Returns one page of a listing. A limit of zero or less is none.
    async fn page(
        &self,
        view: &StorageView,
        txn: &str,
        prefix: &str,
        after: Option<&str>,
        limit: i32,
    ) -> Result<Vec<String>, StorageError> {
        let limit = u32::try_from(limit).unwrap_or(0);
        if txn.is_empty() {
            return view.list(prefix, after, limit).await.map_err(said);
        }
        self.transaction(txn)?.lock().await.list(prefix, after, limit).await.map_err(said)
    }

    /// Returns a whole listing, which Vault's protocol has no pages for.
    async fn all(
        &self,
        view: &StorageView,
        txn: &str,
        prefix: &str,
        question: &Question,
    ) -> Result<Vec<String>, StorageError> {
        let mut keys = Vec::new();
        let mut bytes = 0;
        loop {
            let page = self.page(view, txn, prefix, keys.last().map(String::as_str), 0).await?;
            if page.is_empty() {
                return Ok(keys);
            }
            question.keep(bytes_of(&page)).map_err(said)?;
            bytes += page.iter().map(String::len).sum::<usize>();
            if bytes > self.message_bytes_max {
                return Err(StorageError::TooLarge(self.message_bytes_max as u64));
            }
            keys.extend(page);
        }
    }
}

#[tonic::async_trait]
impl Storage for StorageService {
    async fn list(&self, request: Request<pb::StorageListArgs>) -> Reply<pb::StorageListReply> {
        let question = Question::of(&request)?;
        let pb::StorageListArgs { prefix, txn } = request.into_inner();
        let (view, _inside) = self.view().await?;
        Ok(listed(self.all(&view, &txn, &folder(prefix), &question).await))
    }

    async fn list_page(&self, request: Request<pb::StorageListPageArgs>) -> Reply<pb::StorageListReply> {
        let question = Question::of(&request)?;
        let pb::StorageListPageArgs { prefix, after, limit, txn } = request.into_inner();
        let (view, _inside) = self.view().await?;
        let (prefix, after) = (folder(prefix), (!after.is_empty()).then_some(after.as_str()));
        if limit <= 0 && after.is_none() {
            return Ok(listed(self.all(&view, &txn, &prefix, &question).await));
        }
        let page = self.page(&view, &txn, &prefix, after, limit).await;
        Ok(listed(page.and_then(|page| question.keep(bytes_of(&page)).map(|()| page).map_err(said))))
    }

    async fn get(&self, request: Request<pb::StorageGetArgs>) -> Reply<pb::StorageGetReply> {
        let question = Question::of(&request)?;
        let pb::StorageGetArgs { key, txn } = request.into_inner();
        let (view, _inside) = self.view().await?;
        let found = if txn.is_empty() {
            view.get(&key).await.map_err(said)
        } else {
            match self.transaction(&txn) {
                Ok(transaction) => transaction.lock().await.get(&key).await.map_err(said),
                Err(error) => Err(error),
            }
        };
        let found = found.and_then(|entry| {
            let bytes = entry.as_ref().map_or(0, |entry| entry.value.len());
            question.keep(bytes).map(|()| entry).map_err(said)
        });
        let (entry, err) = match found {
            Ok(entry) => (entry, String::new()),
            Err(error) => (None, error.to_string()),
        };
        let entry = entry.map(|Entry { value, seal_wrap }| pb::StorageEntry { key, value, seal_wrap });
        Ok(Response::new(pb::StorageGetReply { entry, err }))
    }

    async fn put(&self, request: Request<pb::StoragePutArgs>) -> Reply<pb::StoragePutReply> {
        let pb::StoragePutArgs { entry, txn } = request.into_inner();
        let pb::StorageEntry { key, value, seal_wrap } = entry.unwrap_or_default();
        let entry = Entry { value, seal_wrap };
        let (view, _inside) = self.view().await?;
        let stored = if txn.is_empty() {
            view.put(&key, &entry).await.map_err(said)
        } else {
            match self.transaction(&txn) {
                Ok(transaction) => transaction.lock().await.put(&key, &entry).map_err(said),
                Err(error) => Err(error),
            }
        };
        Ok(Response::new(pb::StoragePutReply { err: text(stored) }))
    }

    async fn delete(&self, request: Request<pb::StorageDeleteArgs>) -> Reply<pb::StorageDeleteReply> {
        let pb::StorageDeleteArgs { key, txn } = request.into_inner();
        let (view, _inside) = self.view().await?;
        let deleted = if txn.is_empty() {
            view.delete(&key).await.map_err(said)
        } else {
            match self.transaction(&txn) {
                Ok(transaction) => transaction.lock().await.delete(&key).map_err(said),
                Err(error) => Err(error),
            }
        };
        Ok(Response::new(pb::StorageDeleteReply { err: text(deleted) }))
    }

    async fn is_transactional(&self, _: Request<pb::Empty>) -> Reply<pb::StorageIsTransactionalReply> {
        Ok(Response::new(pb::StorageIsTransactionalReply { transactional: true }))
    }

    async fn begin_read_only_tx(&self, _: Request<pb::Empty>) -> Reply<pb::StorageBeginTxReply> {
        self.begin(TransactionMode::ReadOnly).await
    }

    async fn begin_tx(&self, _: Request<pb::Empty>) -> Reply<pb::StorageBeginTxReply> {
        self.begin(TransactionMode::ReadWrite).await
    }

    async fn commit(&self, request: Request<pb::StorageCommitTxArgs>) -> Reply<pb::StorageCommitTxReply> {
        let (_view, _inside) = self.view().await?;
        let committed = match self.end(&request.into_inner().txn) {
            Ok(transaction) => transaction.lock().await.commit().await.map_err(said),
            Err(error) => Err(error),
        };
        Ok(Response::new(pb::StorageCommitTxReply { err: text(committed) }))
    }

    async fn rollback(&self, request: Request<pb::StorageRollbackTxArgs>) -> Reply<pb::StorageRollbackTxReply> {
        let ended = self.end(&request.into_inner().txn).map(drop);
        Ok(Response::new(pb::StorageRollbackTxReply { err: text(ended) }))
    }
}

fn over() -> StorageError {
    StorageError::Unavailable("the transaction is over".to_owned())
}

fn listed(listed: Result<Vec<String>, StorageError>) -> Response<pb::StorageListReply> {
    let (keys, err) = match listed {
        Ok(keys) => (keys, String::new()),
        Err(error) => (Vec::new(), error.to_string()),
    };
    Response::new(pb::StorageListReply { keys, err })
}

/// Returns how many bytes a page of a listing takes.
fn bytes_of(page: &[String]) -> usize {
    page.iter().map(|key| size_of::<String>() + key.len()).sum()
}

fn text(done: Result<(), StorageError>) -> String {
    done.err().map(|error| error.to_string()).unwrap_or_default()
}

/// Returns a prefix as the host's storage takes it: Vault's plugins leave the last slash out at times.
fn folder(prefix: String) -> String {
    if prefix.is_empty() || prefix.ends_with('/') { prefix } else { prefix + "/" }
}

/// Puts an error into the protocol's words.
fn said(error: ViewError) -> StorageError {
    match error {
        ViewError::ReadOnly => StorageError::ReadOnly,
        ViewError::Conflict => StorageError::Conflict,
        ViewError::TooLarge(limit) => StorageError::TooLarge(limit),
        ViewError::InvalidKey(why) => StorageError::InvalidKey(why),
        ViewError::Unavailable(why) => StorageError::Unavailable(why),
    }
}
