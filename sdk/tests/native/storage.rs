//! A mount's storage as a host serves it: OpenBao's with transactions and pages, or Vault's without.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cofferdam_proto::messages::pb::{self, storage_server::Storage, system_view_server::SystemView};
use cofferdam_proto::storage_error::StorageError;
use tonic::{Request, Response, Status};

type Keys = BTreeMap<String, Vec<u8>>;

/// What a host's storage knows how to do.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Dialect {
    OpenBao,
    Vault,
}

/// One mount's storage.
#[derive(Clone)]
pub(crate) struct Stored {
    dialect: Dialect,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    keys: Keys,
    /// What each open transaction began with, and what it sees.
    open: BTreeMap<String, (Keys, Keys)>,
    begun: u32,
}

impl Stored {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, state: Arc::default() }
    }

    /// Returns what is stored under a key.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().keys.get(key).cloned()
    }

    pub(crate) fn open_transactions(&self) -> usize {
        self.state.lock().unwrap().open.len()
    }

    fn with<T>(&self, txn: &str, run: impl FnOnce(&mut Keys) -> T) -> Result<T, Status> {
        let mut state = self.state.lock().unwrap();
        match txn {
            "" => Ok(run(&mut state.keys)),
            txn => {
                let (_, keys) = state.open.get_mut(txn).ok_or_else(|| Status::not_found("no such transaction"))?;
                Ok(run(keys))
            }
        }
    }

    fn begin(&self) -> Result<Response<pb::StorageBeginTxReply>, Status> {
        self.only_openbao()?;
        let mut state = self.state.lock().unwrap();
        state.begun += 1;
        let txn = format!("txn-{}", state.begun);
        let keys = state.keys.clone();
        state.open.insert(txn.clone(), (keys.clone(), keys));
        Ok(Response::new(pb::StorageBeginTxReply { txn, err: String::new() }))
    }

    fn only_openbao(&self) -> Result<(), Status> {
        if self.dialect == Dialect::OpenBao { Ok(()) } else { Err(Status::unimplemented("unknown method")) }
    }
}

fn children(keys: &Keys, prefix: &str) -> Vec<String> {
    let below = keys.keys().filter_map(|key| key.strip_prefix(prefix));
    let mut names: Vec<String> =
        below.map(|rest| rest.split_inclusive('/').next().unwrap_or_default().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

#[tonic::async_trait]
impl Storage for Stored {
    async fn list(&self, request: Request<pb::StorageListArgs>) -> Result<Response<pb::StorageListReply>, Status> {
        let pb::StorageListArgs { prefix, txn } = request.into_inner();
        let keys = self.with(&txn, |keys| children(keys, &prefix))?;
        Ok(Response::new(pb::StorageListReply { keys, err: String::new() }))
    }

    async fn list_page(
        &self,
        request: Request<pb::StorageListPageArgs>,
    ) -> Result<Response<pb::StorageListReply>, Status> {
        self.only_openbao()?;
        let pb::StorageListPageArgs { prefix, after, limit, txn } = request.into_inner();
        let keys = self.with(&txn, |keys| children(keys, &prefix))?;
        let keys =
            keys.into_iter().filter(|key| after.is_empty() || *key > after).take(limit.try_into().unwrap()).collect();
        Ok(Response::new(pb::StorageListReply { keys, err: String::new() }))
    }

    async fn get(&self, request: Request<pb::StorageGetArgs>) -> Result<Response<pb::StorageGetReply>, Status> {
        let pb::StorageGetArgs { key, txn } = request.into_inner();
        let value = self.with(&txn, |keys| keys.get(&key).cloned())?;
        let entry = value.map(|value| pb::StorageEntry { key, value: value.into(), seal_wrap: false });
        Ok(Response::new(pb::StorageGetReply { entry, err: String::new() }))
    }

    async fn put(&self, request: Request<pb::StoragePutArgs>) -> Result<Response<pb::StoragePutReply>, Status> {
        let pb::StoragePutArgs { entry, txn } = request.into_inner();
        let pb::StorageEntry { key, value, .. } = entry.unwrap();
        self.with(&txn, |keys| keys.insert(key, value.into()))?;
        Ok(Response::new(pb::StoragePutReply::default()))
    }

    async fn delete(
        &self,
        request: Request<pb::StorageDeleteArgs>,
    ) -> Result<Response<pb::StorageDeleteReply>, Status> {
        let pb::StorageDeleteArgs { key, txn } = request.into_inner();
        self.with(&txn, |keys| keys.remove(&key))?;
        Ok(Response::new(pb::StorageDeleteReply::default()))
    }

    async fn is_transactional(
        &self,
        _request: Request<pb::Empty>,
    ) -> Result<Response<pb::StorageIsTransactionalReply>, Status> {
        self.only_openbao()?;
        Ok(Response::new(pb::StorageIsTransactionalReply { transactional: true }))
    }

    async fn begin_read_only_tx(
        &self,
        _request: Request<pb::Empty>,
    ) -> Result<Response<pb::StorageBeginTxReply>, Status> {
        self.begin()
    }

    async fn begin_tx(&self, _request: Request<pb::Empty>) -> Result<Response<pb::StorageBeginTxReply>, Status> {
        self.begin()
    }

    async fn commit(
        &self,
        request: Request<pb::StorageCommitTxArgs>,
    ) -> Result<Response<pb::StorageCommitTxReply>, Status> {
        let mut state = self.state.lock().unwrap();
        let (begun, keys) = state.open.remove(&request.into_inner().txn).unwrap();
        // Coarser than a real host: any change conflicts.
        let err = if begun == state.keys {
            state.keys = keys;
            String::new()
        } else {
            StorageError::Conflict.to_string()
        };
        Ok(Response::new(pb::StorageCommitTxReply { err }))
    }

    async fn rollback(
        &self,
        request: Request<pb::StorageRollbackTxArgs>,
    ) -> Result<Response<pb::StorageRollbackTxReply>, Status> {
        self.state.lock().unwrap().open.remove(&request.into_inner().txn).unwrap();
        Ok(Response::new(pb::StorageRollbackTxReply::default()))
    }
}

/// Knows of two TTLs and of nothing else.
pub(crate) struct System;

macro_rules! unimplemented_methods {
    ($($method:ident($args:ty) -> $reply:ty;)*) => {
        #[tonic::async_trait]
        impl SystemView for System {
            async fn default_lease_ttl(&self, _: Request<pb::Empty>) -> Result<Response<pb::TtlReply>, Status> {
                Ok(Response::new(pb::TtlReply { ttl: 60_000_000_000 }))
            }

            async fn max_lease_ttl(&self, _: Request<pb::Empty>) -> Result<Response<pb::TtlReply>, Status> {
                Ok(Response::new(pb::TtlReply { ttl: 120_000_000_000 }))
            }

            $(async fn $method(&self, _: Request<$args>) -> Result<Response<$reply>, Status> {
                Err(Status::unimplemented("unknown method"))
            })*
        }
    };
}

unimplemented_methods! {
    tainted(pb::Empty) -> pb::TaintedReply;
    caching_disabled(pb::Empty) -> pb::CachingDisabledReply;
    replication_state(pb::Empty) -> pb::ReplicationStateReply;
    response_wrap_data(pb::ResponseWrapDataArgs) -> pb::ResponseWrapDataReply;
    mlock_enabled(pb::Empty) -> pb::MlockEnabledReply;
    local_mount(pb::Empty) -> pb::LocalMountReply;
    entity_info(pb::EntityInfoArgs) -> pb::EntityInfoReply;
    plugin_env(pb::Empty) -> pb::PluginEnvReply;
    groups_for_entity(pb::EntityInfoArgs) -> pb::GroupsForEntityReply;
    generate_password_from_policy(pb::GeneratePasswordFromPolicyRequest) -> pb::GeneratePasswordFromPolicyReply;
    cluster_info(pb::Empty) -> pb::ClusterInfoReply;
}
