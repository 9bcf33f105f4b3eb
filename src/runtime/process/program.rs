//! A native plugin, sealed and ready to be started; and the one process that its mounts share, if it multiplexes.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_proto::messages::pb;
use tokio::time::timeout_at;

use super::callbacks::Callbacks;
use super::child::Executable;
use super::client::{Backend, after};
use super::instance::ProcessInstance;
use super::process::Process;
use super::supervision::{Core, kind_of};
use super::{Mode, Shared, StartError};
use crate::ident::{MountPath, PluginKind, PluginVersion};
use crate::meter::PluginMeter;
use crate::runtime::text::brief;
use crate::runtime::{
    Description, Failure, Grants, Instance, Launch, LoadError, LogBudget, MountKey, MountScope, PathRules, Program,
    Residence, Spread,
};
use crate::storage::{MemoryStorage, StorageView, ViewLimits};

/// A native plugin that can be started.
pub(super) struct ProcessProgram {
    core: Arc<Core>,
    description: Description,
    capabilities: Vec<String>,
}

impl ProcessProgram {
    /// Returns the program of a plugin that was registered.
    pub(super) fn known(shared: Arc<Shared>, executable: Executable, launch: Launch, kind: PluginKind) -> Self {
        let description = Description {
            kind,
            spread: Spread::One,
            // Vault's plugins do, and Vault asks each of them.
            tells_create: true,
            version: launch.version.clone(),
            // Each backend says by itself which paths are open.
            unauthenticated: PathRules::default(),
        };
        Self::new(Core::new(shared, executable, launch, kind), description)
    }

    /// Starts a plugin to ask it what it is, and ends it again.
    pub(super) async fn learn(shared: Arc<Shared>, executable: Executable, launch: Launch) -> Result<Self, LoadError> {
        let mut core = Core::new(shared, executable, launch, PluginKind::Secret);
        let process = match core.start(Mode::AutoMtls).await {
            Ok(process) => process,
            // Without TLS, and only for questions that need none.
            Err(StartError::Older(_) | StartError::Unwraps(_)) => core.start(Mode::Metadata).await?,
            Err(error) => return Err(error.into()),
        };
        let learnt = ask(&core, &process).await;
        process.end().await;
        let description = learnt.map_err(|why| LoadError::Unfit(format!("the plugin started, and {why}")))?;
        core.kind = description.kind;
        Ok(Self::new(core, description))
    }

    fn new(core: Core, description: Description) -> Self {
        let capabilities = match &core.launch.launchable.confinement {
            None => vec!["everything that the server's user may do (not sandboxed)".to_owned()],
            Some(_) => vec!["what its confinement grants (a process of the server's user)".to_owned()],
        };
        Self { core: Arc::new(core), description, capabilities }
    }
}

#[async_trait]
impl Program for ProcessProgram {
    fn description(&self) -> &Description {
        &self.description
    }

    fn capabilities(&self) -> &[String] {
        &self.capabilities
    }

    fn imports(&self) -> &[String] {
        &[]
    }

    fn meter(&self) -> &Arc<PluginMeter> {
        &self.core.launch.meter
    }

    fn concurrency(&self) -> NonZeroU32 {
        NonZeroU32::new(self.core.shared.limits.process_calls_max).unwrap_or(NonZeroU32::MIN)
    }

    fn residence(&self) -> Residence {
        Residence::Resident
    }

    async fn instantiate(&self, _: &Grants) -> Result<Arc<dyn Instance>, Failure> {
        Ok(Arc::new(ProcessInstance::new(Arc::clone(&self.core))))
    }
}

/// Asks a fresh process what it is. An error says what it did instead, as the end of a sentence.
async fn ask(core: &Core, process: &Process) -> Result<Description, String> {
    let limits = &core.shared.limits;
    // It has no mount yet. Some plugins look into their storage at once, and find it empty.
    let scope = Arc::new(nowhere(core));
    let callbacks = Callbacks::listen(
        &scope,
        process.directory.path().join("0"),
        process.tls.clone(),
        &process.room,
        limits.process_message_bytes_max,
    )
    .map_err(|error| format!("its callbacks cannot be served: {error}"))?;
    let backend = Backend::new(process.channel.clone(), limits.process_message_bytes_max);
    let until = after(limits.lifecycle_deadline);
    let id = process.broker.next_id();
    let announced = timeout_at(until, process.broker.announce(id, &process.directory.path().join("0"))).await;
    announced
        .map_err(|_| "does not listen to its broker".to_owned())?
        .map_err(|error| format!("its broker is gone: {error}"))?;
    let args = pb::SetupArgs { broker_id: id, config: core.config(), backend_uuid: scope.id.to_string() };
    let setup = match backend.setup(&scope, args, until).await {
        Ok(reply) if reply.err.is_empty() => Ok(()),
        Ok(reply) => Err(format!("it could not be set up without a mount: {}", brief(&reply.err))),
        Err(missed) => return Err(format!("did not answer Setup: {}", process.why(missed).await)),
    };
    let kind = match backend.kind(until).await {
        Ok(reply) => kind_of(reply.r#type).map_err(|error| setup.as_ref().err().cloned().unwrap_or(error))?,
        // Registered with its type, it may well run where it has a mount.
        Err(_) if setup.is_err() => core.launch.kind.ok_or_else(|| {
            format!(
                "cannot say of which type it is, so name it: auth or secret ({})",
                setup.as_ref().err().cloned().unwrap_or_default()
            )
        })?,
        Err(missed) => return Err(format!("did not say of which type it is: {}", process.why(missed).await)),
    };
    let version = match process.version(&backend.id).await {
        Ok(version) => version,
        // Vault's SDK asks the backend, and there is none.
        Err(_) if setup.is_err() => None,
        Err(why) => return Err(why),
    };
    let version = version.map(|version| {
        version.parse::<PluginVersion>().map_err(|error| {
            format!("says that it is of version {:?}, which is not a semantic version: {error}", brief(&version))
        })
    });
    // What else it needs to be told is told at its mounts.
    drop(backend.cleanup(until).await);
    callbacks.close().await;
    Ok(Description {
        kind,
        spread: Spread::One,
        tells_create: true,
        version: version.transpose()?,
        unauthenticated: PathRules::default(),
    })
}

/// A mount that does not exist, for a plugin that is asked what it is.
fn nowhere(core: &Core) -> MountScope {
    let limits = &core.shared.limits;
    let storage = StorageView::new(Arc::new(MemoryStorage::default()), "nowhere/", ViewLimits::from(&**limits));
    MountScope {
        key: MountKey::next(),
        id: uuid::Uuid::nil().to_string().into(),
        path: MountPath::nowhere(),
        accessor: "".into(),
        plugin: Arc::clone(&core.launch.label),
        options: Default::default(),
        default_ttl: limits.default_lease_ttl,
        max_ttl: limits.max_lease_ttl,
        passthrough_headers: Vec::new(),
        storage: storage.read_only(),
        log: Arc::new(LogBudget::new(limits.log_bytes_per_second_max)),
        faults: Arc::new(LogBudget::new(limits.log_bytes_per_second_max)),
        meter: Arc::default(),
    }
}
