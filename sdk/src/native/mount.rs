//! What a mount has from its setup on: its options, and its connection to the host.

use std::time::Duration;

use cofferdam_proto::messages::pb;
use cofferdam_proto::messages::pb::system_view_client::SystemViewClient;
use cofferdam_proto::names;
use tokio::runtime::Handle;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::storage::HostStorage;
use crate::Ttls;

/// What a mount keeps from its setup on.
pub(super) struct Mount {
    pub(super) id: String,
    pub(super) options: Vec<(String, String)>,
    /// Who logs.
    pub(super) module: String,
    pub(super) storage: HostStorage,
    system: SystemViewClient<Channel>,
    runtime: Handle,
}

impl Mount {
    /// Takes what `Setup` says, and the connection to the host's services for this mount.
    pub(super) fn new(args: pb::SetupArgs, channel: Channel, runtime: Handle) -> Self {
        let pb::SetupArgs { broker_id: _, mut config, backend_uuid } = args;
        let [name, ..] = names::CONFIG_PLUGIN.map(|key| config.remove(key));
        let mut options: Vec<_> = config.into_iter().collect();
        options.sort_unstable();
        Self {
            id: backend_uuid,
            options,
            module: name.filter(|name| !name.is_empty()).unwrap_or_else(program),
            storage: HostStorage::new(channel.clone(), runtime.clone()),
            system: SystemViewClient::new(channel),
            runtime,
        }
    }

    /// Asks the host how long leases live. As in Go's SDK, one that does not answer knows of no limit.
    pub(super) fn ttls(&self) -> Ttls {
        let mut system = self.system.clone();
        let (default, max) = self.runtime.block_on(async move {
            (system.default_lease_ttl(pb::Empty {}).await, system.max_lease_ttl(pb::Empty {}).await)
        });
        let ttl = |reply: Result<Response<pb::TtlReply>, Status>| {
            let nanoseconds = reply.map_or(0, |reply| reply.into_inner().ttl);
            Duration::from_nanos(nanoseconds.try_into().unwrap_or(0))
        };
        Ttls { default: ttl(default), max: ttl(max) }
    }
}

/// The name of this program's file.
fn program() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
