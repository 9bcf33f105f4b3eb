//! What Vault calls the system view, as far as this host has it. It keeps no identities: whoever is asked after is
//! unknown.

use std::sync::Arc;

use cofferdam_proto::messages::pb::system_view_server::SystemView;
use cofferdam_proto::messages::{logical, pb};
use tonic::{Request, Response, Status};

use super::Desk;
use crate::runtime::process::convert::nanoseconds;
use crate::runtime::process::environment::VAULT_VERSION;

/// A node that replicates nothing: performance and disaster-recovery replication are off.
const REPLICATION_OFF: i32 = 4096 | 8192;

type Reply<T> = Result<Response<T>, Status>;

/// Serves one backend.
pub(super) struct SystemService {
    desk: Arc<Desk>,
}

impl SystemService {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }
}

#[tonic::async_trait]
impl SystemView for SystemService {
    async fn default_lease_ttl(&self, _: Request<pb::Empty>) -> Reply<pb::TtlReply> {
        Ok(Response::new(pb::TtlReply { ttl: nanoseconds(self.desk.scope().default_ttl) }))
    }

    async fn max_lease_ttl(&self, _: Request<pb::Empty>) -> Reply<pb::TtlReply> {
        Ok(Response::new(pb::TtlReply { ttl: nanoseconds(self.desk.scope().max_ttl) }))
    }

    async fn tainted(&self, _: Request<pb::Empty>) -> Reply<pb::TaintedReply> {
        Ok(Response::new(pb::TaintedReply { tainted: false }))
    }

    async fn caching_disabled(&self, _: Request<pb::Empty>) -> Reply<pb::CachingDisabledReply> {
        Ok(Response::new(pb::CachingDisabledReply { disabled: false }))
    }

    async fn replication_state(&self, _: Request<pb::Empty>) -> Reply<pb::ReplicationStateReply> {
        Ok(Response::new(pb::ReplicationStateReply { state: REPLICATION_OFF }))
    }

    async fn response_wrap_data(&self, _: Request<pb::ResponseWrapDataArgs>) -> Reply<pb::ResponseWrapDataReply> {
        let err = "this host does not wrap responses for plugins".to_owned();
        Ok(Response::new(pb::ResponseWrapDataReply { wrap_info: None, err }))
    }

    async fn mlock_enabled(&self, _: Request<pb::Empty>) -> Reply<pb::MlockEnabledReply> {
        Ok(Response::new(pb::MlockEnabledReply { enabled: false }))
    }

    async fn local_mount(&self, _: Request<pb::Empty>) -> Reply<pb::LocalMountReply> {
        Ok(Response::new(pb::LocalMountReply { local: false }))
    }

    async fn entity_info(&self, _: Request<pb::EntityInfoArgs>) -> Reply<pb::EntityInfoReply> {
        Ok(Response::new(pb::EntityInfoReply { entity: None, err: String::new() }))
    }

    async fn plugin_env(&self, _: Request<pb::Empty>) -> Reply<pb::PluginEnvReply> {
        let plugin_environment = Some(logical::PluginEnvironment {
            vault_version: VAULT_VERSION.to_owned(),
            ..logical::PluginEnvironment::default()
        });
        Ok(Response::new(pb::PluginEnvReply { plugin_environment, err: String::new() }))
    }

    async fn groups_for_entity(&self, _: Request<pb::EntityInfoArgs>) -> Reply<pb::GroupsForEntityReply> {
        Ok(Response::new(pb::GroupsForEntityReply { groups: Vec::new(), err: String::new() }))
    }

    async fn generate_password_from_policy(
        &self,
        _: Request<pb::GeneratePasswordFromPolicyRequest>,
    ) -> Reply<pb::GeneratePasswordFromPolicyReply> {
        Err(Status::unimplemented("this host has no password policies"))
    }

    async fn cluster_info(&self, _: Request<pb::Empty>) -> Reply<pb::ClusterInfoReply> {
        Ok(Response::new(pb::ClusterInfoReply::default()))
    }
}
