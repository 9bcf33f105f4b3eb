//! A native plugin, sealed and ready to be started; and the one process that its mounts share, if it multiplexes.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use cofferdam_proto::messages::pb;
use cofferdam_proto::names;
use tokio::time::timeout_at;

use super::backoff::Backoff;
use super::callbacks::Callbacks;
use super::child::Executable;
use super::client::{Backend, after};
use super::instance::ProcessInstance;
use super::process::{NEWS_OF_AN_EXIT, Process};
use super::start::{LAST_LINES, without_output};
use super::usage::ProcessUsage;
use super::{Mode, Shared, StartError, start};
use crate::ident::{MountPath, PluginKind, PluginVersion};
use crate::meter::PluginMeter;
use crate::runtime::text::{brief, one_entry};
use crate::runtime::{
    Description, Failure, Instance, Launch, LoadError, LogBudget, MountScope, PathRules, Program, Residence, Spread,
};
use crate::storage::{MemoryStorage, StorageView, ViewLimits};

/// Mounts whose failures are remembered. Beyond it those are forgotten that need not wait any more; while none is, one
/// that fails now is tried again with the next request.
const BACKOFFS_MAX: usize = 1_024;

/// A native plugin that can be started.
pub(super) struct ProcessProgram {
    core: Arc<Core>,
    description: Description,
    capabilities: Vec<String>,
}

/// What the program and its instances share.
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) launch: Launch,
    pub(super) kind: PluginKind,
    executable: Executable,
    mode: OnceLock<Mode>,
    /// The process that mounts share; locked while it is started.
    common: tokio::sync::Mutex<Weak<Process>>,
    /// Whether there is such a process. Unknown until one was started.
    multiplexes: OnceLock<bool>,
    /// By mount id; the shared process has the empty one.
    backoffs: Mutex<HashMap<Arc<str>, Backoff>>,
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
        let capabilities = match &core.launch.confinement {
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

    async fn instantiate(&self) -> Result<Arc<dyn Instance>, Failure> {
        Ok(Arc::new(ProcessInstance::new(Arc::clone(&self.core))))
    }
}

impl Core {
    fn new(shared: Arc<Shared>, executable: Executable, launch: Launch, kind: PluginKind) -> Self {
        let multiplexes = OnceLock::new();
        if shared.settings.multiplexing_opt_out.contains(&launch.name) {
            multiplexes.get_or_init(|| false);
        }
        Self {
            shared,
            launch,
            kind,
            executable,
            mode: OnceLock::new(),
            common: tokio::sync::Mutex::default(),
            multiplexes,
            backoffs: Mutex::default(),
        }
    }

    async fn start(&self, mode: Mode) -> Result<Process, StartError> {
        // Given up, it takes its process and its sockets along before anybody who waits for that goes on.
        let _counted = self.shared.tracker.token();
        let started = start(&self.shared, &self.executable, &self.launch, mode);
        let stopped = self.shared.stopping.run_until_cancelled(started).await;
        stopped.unwrap_or_else(|| Err(StartError::Failed("the server is shutting down".to_owned())))
    }

    /// Returns a process for a mount: the shared one, or one of its own. Starts it if need be.
    pub(super) async fn process(self: &Arc<Self>, mount: &Arc<str>) -> Result<Arc<Process>, Failure> {
        if self.multiplexes.get() == Some(&false) {
            return self.supervised(mount).await;
        }
        let mut common = self.common.lock().await;
        if let Some(process) = common.upgrade().filter(|process| process.takes_mounts()) {
            return Ok(process);
        }
        if self.multiplexes.get() == Some(&false) {
            // Somebody found that out while this one waited.
            drop(common);
            return self.supervised(mount).await;
        }
        let process = self.supervised(&Arc::from("")).await?;
        if *self.multiplexes.get_or_init(|| process.multiplexes) {
            *common = Arc::downgrade(&process);
        }
        Ok(process)
    }

    /// Starts a process, unless it has just failed too often, and watches over it.
    async fn supervised(self: &Arc<Self>, key: &Arc<str>) -> Result<Arc<Process>, Failure> {
        if let Some(backoff) = self.backoffs.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
            backoff.check()?;
        }
        match self.start_as_before().await {
            Ok(mut process) => {
                process.mark = Some(self.launch.meter.process_started(ProcessUsage::of(&process.child)));
                let process = Arc::new(process);
                self.watch(&process, key);
                Ok(process)
            }
            Err(StartError::Full(why)) => Err(Failure::Busy(why)),
            Err(StartError::Failed(why)) => Err(Failure::Host(why)),
            Err(error) => {
                // What it printed is for the log: whoever made a request may be anybody.
                let whole = error.to_string();
                let why = brief(without_output(&whole));
                let plugin = &*self.launch.label;
                tracing::error!(plugin, "the plugin does not start: {}", one_entry(&brief_lines(&whole)));
                self.failed(key, Duration::ZERO, &why);
                Err(Failure::Trap(why))
            }
        }
    }

    /// Starts a process in the mode that worked, or in the first that does.
    async fn start_as_before(&self) -> Result<Process, StartError> {
        let mode = *self.mode.get().unwrap_or(&Mode::AutoMtls);
        let process = match self.start(mode).await {
            Err(StartError::Older(_) | StartError::Unwraps(_)) => {
                self.mode.get_or_init(|| Mode::Unwrap);
                return self.start(Mode::Unwrap).await;
            }
            other => other?,
        };
        self.mode.get_or_init(|| mode);
        Ok(process)
    }

    /// Says so when a process ends that nobody ended, and ends one that cannot be spoken to any more.
    fn watch(self: &Arc<Self>, process: &Process, key: &Arc<str>) {
        let (core, key) = (Arc::downgrade(self), Arc::clone(key));
        let (child, log, ending) = (Arc::clone(&process.child), Arc::clone(&process.log), process.is_ending());
        let (started, broker) = (process.started, Arc::clone(&process.broker));
        // Counted with the processes, so that a host that shuts down meanwhile still says it.
        self.shared.tracker.spawn(async move {
            tokio::select! {
                _ = child.exited() => {}
                // It lasts as long as the connection does.
                () = broker.ended() => {
                    let gone = tokio::time::timeout(NEWS_OF_AN_EXIT, child.exited()).await.is_ok();
                    if !gone && !ending.load(Ordering::SeqCst) {
                        log.fault("the plugin's connection ended, and its process is killed");
                        child.kill();
                    }
                }
            }
            let exit = child.exited().await;
            if ending.load(Ordering::SeqCst) {
                return;
            }
            if let Some(core) = core.upgrade() {
                core.failed(&key, started.elapsed(), &format!("its process {exit}"));
            }
            log.read_to_the_end(LAST_LINES).await;
            let tail = log.tail().map(|tail| format!("; the last lines that it printed:\n{tail}")).unwrap_or_default();
            log.fault(&format!("the plugin's process {exit}{tail}"));
        });
    }

    /// Takes note of a process that failed after so long.
    pub(super) fn failed(&self, key: &Arc<str>, lived: Duration, why: &str) {
        let mut backoffs = self.backoffs.lock().unwrap_or_else(PoisonError::into_inner);
        if backoffs.len() >= BACKOFFS_MAX && !backoffs.contains_key(key) {
            backoffs.retain(|_, backoff| backoff.check().is_err());
            if backoffs.len() >= BACKOFFS_MAX {
                return;
            }
        }
        backoffs.entry(Arc::clone(key)).or_default().failed(lived, why);
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

impl Core {
    /// Returns what Vault adds to a mount's options.
    pub(super) fn config(&self) -> HashMap<String, String> {
        let launch = &self.launch;
        let version = launch.version.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = launch.kind.map(|kind| kind.to_string()).unwrap_or_default();
        let values = [launch.name.to_string(), kind, version];
        names::CONFIG_PLUGIN.map(str::to_owned).into_iter().zip(values).collect()
    }
}

/// Returns what a type's number means.
pub(super) fn kind_of(number: u32) -> Result<PluginKind, String> {
    match number {
        names::TYPE_SECRET => Ok(PluginKind::Secret),
        names::TYPE_AUTH => Ok(PluginKind::Auth),
        other => Err(format!("says that it is of type {other}, which is neither a secrets engine nor an auth method")),
    }
}

/// A mount that does not exist, for a plugin that is asked what it is.
fn nowhere(core: &Core) -> MountScope {
    let limits = &core.shared.limits;
    let storage = StorageView::new(Arc::new(MemoryStorage::default()), "nowhere/", ViewLimits::from(&**limits));
    MountScope {
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

/// Returns the beginning of each line, cleaned; the lines stay apart.
fn brief_lines(text: &str) -> String {
    text.lines().map(brief).collect::<Vec<_>>().join("\n")
}
