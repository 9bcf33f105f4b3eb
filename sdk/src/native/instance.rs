//! The plugin's value for one mount, and all that it needs from the host.
//!
//! A panic costs a mount its value and nobody else anything. The next call sets up another, as a host does when a
//! component has trapped: what is in memory is a cache, so a host that never learned of the panic can go on with its
//! requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cofferdam_proto::messages::pb;
use cofferdam_proto::messages::pb::system_view_client::SystemViewClient;
use cofferdam_proto::names;
use tokio::runtime::Handle;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::storage::HostStorage;
use super::view::{Facts, NativeView};
use crate::view::Access;
use crate::{Context, Error, Plugin, Ttls};

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

/// One mount that this process serves.
pub(super) struct Instance<P> {
    mount: Mount,
    /// None before the first call, and after a panic.
    plugin: Mutex<Option<Arc<P>>>,
}

/// Why a call has no result.
pub(super) enum Failure {
    /// The plugin says why.
    Refused(Error),
    /// The plugin's code is wrong. The panic itself is on standard error.
    Panicked,
}

impl<P: Plugin> Instance<P> {
    pub(super) fn new(mount: Mount) -> Self {
        Self { mount, plugin: Mutex::new(None) }
    }

    /// Sets the plugin up, unless it is.
    pub(super) fn start(&self, facts: &Facts) -> Result<(), Failure> {
        self.run(facts, Access::ReadOnly, |_, _| Ok(()))
    }

    /// Runs the plugin. Blocks on all that it does.
    pub(super) fn run<T>(
        &self,
        facts: &Facts,
        access: Access,
        run: impl FnOnce(&P, &Context) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let mut used = None;
        // Nothing of what the closure could leave half done is looked at again.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let plugin = used.insert(self.plugin(facts)?);
            run(plugin, &Context::new(&NativeView { mount: &self.mount, facts, access }))
        }));
        match (outcome, used) {
            (Ok(result), _) => result.map_err(Failure::Refused),
            (Err(_), used) => {
                used.inspect(|plugin| self.forget(plugin));
                Err(Failure::Panicked)
            }
        }
    }

    /// Ends the plugin's service of this mount, if it ever began.
    pub(super) fn clean_up(&self, facts: &Facts) -> Result<(), Failure> {
        let Some(plugin) = self.lock().take() else { return Ok(()) };
        let view = NativeView { mount: &self.mount, facts, access: Access::ReadWrite };
        let cleaned = catch_unwind(AssertUnwindSafe(|| plugin.cleanup(&Context::new(&view))));
        cleaned.map_err(|_| Failure::Panicked)
    }

    fn plugin(&self, facts: &Facts) -> Result<Arc<P>, Error> {
        if let Some(plugin) = self.lock().clone() {
            return Ok(plugin);
        }
        // No lock is held meanwhile. Of several calls that find nothing after a panic, the first to be done decides.
        let view = NativeView { mount: &self.mount, facts, access: Access::ReadOnly };
        let plugin = Arc::new(P::setup(&Context::new(&view))?);
        Ok(Arc::clone(self.lock().get_or_insert(plugin)))
    }

    /// Drops a value that panicked, unless it has been replaced already.
    fn forget(&self, plugin: &Arc<P>) {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, plugin)) {
            *current = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<P>>> {
        // No plugin code runs under the lock, and an option is always whole.
        self.plugin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
