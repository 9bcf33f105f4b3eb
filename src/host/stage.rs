//! A host for the façade's own tests, with a mount whose plugin is a test's.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Host, HostBuilder};
use crate::ident::{PluginKind, PluginName};
use crate::limits::Limits;
use crate::mount::{Attempt, Generation, Launched, Launcher, Mount, MountRecord, MountSettings, StartError};
use crate::plugin::{InstanceLimits, InstancePolicy};
use crate::pool::PoolSettings;
use crate::runtime::double::{self, Double};
use crate::runtime::{MountScope, Program};

/// Launches what there is.
struct Ready(Arc<Double>);

#[async_trait]
impl Launcher for Ready {
    async fn launch(&self, _attempt: Attempt) -> Result<Launched, StartError> {
        let program = Arc::clone(&self.0) as Arc<dyn Program>;
        let (policy, limits) = (InstancePolicy::PerMount, InstanceLimits::default());
        let settings = PoolSettings::resolve(policy, &limits, &*program, &Limits::default());
        Ok(Launched { program, settings, version: None, sha256: None })
    }
}

/// Returns a host with this program mounted at `t/`, open to everyone. The mount is not started.
pub(super) async fn host_with(double: &Arc<Double>) -> Host {
    build_with(Host::builder(), double).await
}

/// Returns the same of a host that is made so.
pub(super) async fn build_with(builder: HostBuilder, double: &Arc<Double>) -> Host {
    let host = builder.build().await.unwrap();
    let plugin: PluginName = "double".parse().unwrap();
    let record = MountRecord::new("t".parse().unwrap(), MountSettings::new(PluginKind::Secret, plugin));
    let scope = MountScope { id: record.uuid.to_string().into(), ..double::scope() };
    let launcher = Arc::new(Ready(Arc::clone(double)));
    let generation = Generation::new(launcher, Attempt::Anew, host.inner.generations.clone());
    let path = record.path.clone();
    let mount = Mount::new(record, scope, generation);
    host.inner.mounts.routes.publish(&path, &mount);
    host
}
