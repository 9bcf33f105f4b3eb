//! A mount's storage, as the host serves it: OpenBao's protocol, and what is left of it at hosts that know only
//! Vault's.
//!
//! Every call waits for the host's answer, so it must be made from a thread that may block.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use cofferdam_proto::messages::pb;
use cofferdam_proto::messages::pb::storage_client::StorageClient;
use cofferdam_proto::storage_error::StorageError as Said;
use cofferdam_proto::transport::MESSAGE_BYTES_MAX;
use tokio::runtime::Handle;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::stored::{Page, StorageError, Wrap, check_key, check_prefix};
use crate::view::Access;

/// Which transaction a call belongs to, in the protocol's words: outside of any.
pub(super) const OUTSIDE: &str = "";

/// One mount's storage.
pub(super) struct HostStorage {
    client: StorageClient<Channel>,
    runtime: Handle,
    /// What the host said of transactions, once it has been asked.
    transactional: OnceLock<bool>,
    /// Whether the host may know how to list page by page.
    pages: AtomicBool,
}

impl HostStorage {
    pub(super) fn new(channel: Channel, runtime: Handle) -> Self {
        let client = StorageClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Self { client, runtime, transactional: OnceLock::new(), pages: AtomicBool::new(true) }
    }

    pub(super) fn get(&self, key: &str, transaction: &str) -> Result<Option<Vec<u8>>, StorageError> {
        check_key(key)?;
        let args = pb::StorageGetArgs { key: key.to_owned(), txn: transaction.to_owned() };
        let reply = self.wait(self.client.clone().get(args)).map_err(unavailable)?;
        Said::check(&reply.err)?;
        Ok(reply.entry.map(|entry| entry.value.into()))
    }

    pub(super) fn put(&self, key: &str, value: &[u8], wrap: Wrap, transaction: &str) -> Result<(), StorageError> {
        check_key(key)?;
        let entry =
            pb::StorageEntry { key: key.to_owned(), value: value.to_vec().into(), seal_wrap: wrap == Wrap::Seal };
        let args = pb::StoragePutArgs { entry: Some(entry), txn: transaction.to_owned() };
        let reply = self.wait(self.client.clone().put(args)).map_err(unavailable)?;
        Ok(Said::check(&reply.err)?)
    }

    pub(super) fn delete(&self, key: &str, transaction: &str) -> Result<(), StorageError> {
        check_key(key)?;
        let args = pb::StorageDeleteArgs { key: key.to_owned(), txn: transaction.to_owned() };
        let reply = self.wait(self.client.clone().delete(args)).map_err(unavailable)?;
        Ok(Said::check(&reply.err)?)
    }

    pub(super) fn list(&self, page: Page, transaction: &str) -> Result<Vec<String>, StorageError> {
        check_prefix(page.prefix)?;
        // The protocol has no word for "behind the child that has no name", which comes first: it is asked for and left
        // out.
        let nameless_is_known = page.after == Some("");
        if self.pages.load(Ordering::Relaxed) {
            let limit = page.limit.saturating_add(u32::from(nameless_is_known));
            let args = pb::StorageListPageArgs {
                prefix: page.prefix.to_owned(),
                after: page.after.unwrap_or_default().to_owned(),
                // Not 0, which hosts take for all at once, however much that is.
                limit: if page.limit == 0 { i32::MAX } else { limit.try_into().unwrap_or(i32::MAX) },
                txn: transaction.to_owned(),
            };
            match self.wait(self.client.clone().list_page(args)) {
                Err(status) if status.code() == Code::Unimplemented => self.pages.store(false, Ordering::Relaxed),
                reply if nameless_is_known => return Ok(cut(keys(reply)?, page)),
                reply => return keys(reply),
            }
        }
        let args = pb::StorageListArgs { prefix: page.prefix.to_owned(), txn: transaction.to_owned() };
        Ok(cut(keys(self.wait(self.client.clone().list(args)))?, page))
    }

    /// Begins a transaction, and returns what the host calls it.
    pub(super) fn begin(&self, access: Access) -> Result<String, StorageError> {
        if !self.is_transactional()? {
            return Err(StorageError::Unavailable("this host's storage has no transactions".to_owned()));
        }
        let mut client = self.client.clone();
        let reply = match access {
            Access::ReadOnly => self.wait(client.begin_read_only_tx(pb::Empty {})),
            Access::ReadWrite => self.wait(client.begin_tx(pb::Empty {})),
        };
        let reply = reply.map_err(unavailable)?;
        Said::check(&reply.err)?;
        Ok(reply.txn)
    }

    pub(super) fn commit(&self, transaction: &str) -> Result<(), StorageError> {
        let args = pb::StorageCommitTxArgs { txn: transaction.to_owned() };
        let reply = self.wait(self.client.clone().commit(args)).map_err(unavailable)?;
        Ok(Said::check(&reply.err)?)
    }

    /// Undoes a transaction. Where that fails the host has lost it already, so there is nothing to tell.
    pub(super) fn rollback(&self, transaction: &str) {
        let args = pb::StorageRollbackTxArgs { txn: transaction.to_owned() };
        drop(self.wait(self.client.clone().rollback(args)));
    }

    fn is_transactional(&self) -> Result<bool, StorageError> {
        if let Some(known) = self.transactional.get() {
            return Ok(*known);
        }
        let said = match self.wait(self.client.clone().is_transactional(pb::Empty {})) {
            Ok(reply) => reply.transactional,
            // Vault has never heard of them.
            Err(status) if status.code() == Code::Unimplemented => false,
            Err(status) => return Err(unavailable(status)),
        };
        Ok(*self.transactional.get_or_init(|| said))
    }

    fn wait<T>(&self, reply: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
        self.runtime.block_on(reply).map(Response::into_inner)
    }
}

fn keys(reply: Result<pb::StorageListReply, Status>) -> Result<Vec<String>, StorageError> {
    let reply = reply.map_err(unavailable)?;
    Said::check(&reply.err)?;
    Ok(reply.keys)
}

/// Makes a page of a whole listing.
fn cut(mut keys: Vec<String>, page: Page) -> Vec<String> {
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| page.after.is_none_or(|after| key.as_str() > after));
    if page.limit > 0 {
        keys.truncate(usize::try_from(page.limit).unwrap_or(usize::MAX));
    }
    keys
}

fn unavailable(status: Status) -> StorageError {
    let why = if status.message().is_empty() { status.code().description() } else { status.message() };
    StorageError::Unavailable(why.to_owned())
}

impl From<Said> for StorageError {
    fn from(said: Said) -> Self {
        match said {
            Said::ReadOnly => Self::ReadOnly,
            Said::Conflict => Self::Conflict,
            Said::TooLarge(limit) => Self::TooLarge(limit),
            Said::Full(limit) => Self::Full(limit),
            Said::InvalidKey(why) => Self::InvalidKey(why),
            Said::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
