//! From a catalog entry to a program: verify the file, load it, and share what was loaded with every mount of the same
//! identity.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::metrics::PluginMeters;
use super::types::Registration;
use crate::artifact::{Artifact, ArtifactError, Format, PluginDirectory};
use crate::catalog::{Catalog, PluginRecord};
use crate::ident::{Command, Digest, PluginKind, PluginName, PluginVersion};
use crate::limits::Limits;
use crate::mount::{Attempt, Launched, Launcher, StartError};
use crate::plugin::{InstanceLimits, InstancePolicy, Launchable, PluginKey, RuntimeKind, Source};
use crate::pool::PoolSettings;
use crate::runtime::{Launch, LoadError, Program};

/// Programs that stay loaded though no mount uses them: those registered or unmounted last, whose mount is likely to
/// follow.
const PROGRAMS_UNUSED_MAX: usize = 8;

/// What tells programs apart: mounts of the same identity share one.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    key: PluginKey,
    launch: Launchable,
}

/// What programs run on: each runtime that this host was built with.
pub(super) struct Runtimes {
    #[cfg(feature = "wasm")]
    pub(super) wasm: crate::runtime::wasm::WasmRuntime,
    #[cfg(feature = "process")]
    pub(super) process: crate::runtime::process::ProcessRuntime,
    #[cfg(feature = "builtin")]
    pub(super) builtin: crate::runtime::builtin::BuiltinRuntime,
}

/// The programs that are loaded.
pub(super) struct Programs {
    directory: Option<Arc<PluginDirectory>>,
    runtimes: Runtimes,
    limits: Arc<Limits>,
    slots: Mutex<HashMap<Identity, Arc<Slot>>>,
    unused: Mutex<VecDeque<Arc<dyn Program>>>,
    /// What they count on.
    pub(super) meters: PluginMeters,
}

/// One identity's program, and the turn to load it: while one mount loads, the others wait for the result.
#[derive(Default)]
struct Slot {
    loaded: tokio::sync::Mutex<Option<Result<Weak<dyn Program>, LoadError>>>,
}

impl Slot {
    fn is_loaded(&self) -> bool {
        let loaded = self.loaded.try_lock();
        loaded.is_ok_and(|loaded| matches!(&*loaded, Some(Ok(program)) if program.strong_count() > 0))
    }
}

/// What a request for a plugin's file is told where there is no plugin directory.
const NO_DIRECTORY: &str =
    "could not set plugin, plugin directory is not configured; set plugin_directory, or -dev-plugin-dir in dev mode";

impl From<ArtifactError> for LoadError {
    fn from(error: ArtifactError) -> Self {
        match error {
            // The system could not read it, which is nobody's mistake who asked for it.
            ArtifactError::Unreadable { .. } => LoadError::Host(error.to_string()),
            ArtifactError::Missing { .. }
            | ArtifactError::NotRegular { .. }
            | ArtifactError::Outside { .. }
            | ArtifactError::Empty { .. }
            | ArtifactError::TooLarge { .. }
            | ArtifactError::WrongDigest { .. } => LoadError::File(error.to_string()),
        }
    }
}

impl Programs {
    pub(super) fn new(directory: Option<PluginDirectory>, runtimes: Runtimes, limits: Arc<Limits>) -> Self {
        let directory = directory.map(Arc::new);
        let meters = PluginMeters::default();
        Self { directory, runtimes, limits, slots: Mutex::default(), unused: Mutex::default(), meters }
    }

    /// Reads a plugin's file and checks its digest.
    pub(super) async fn artifact(&self, command: &Command, expected: Digest) -> Result<Artifact, LoadError> {
        let directory = Arc::clone(self.directory.as_ref().ok_or_else(|| LoadError::File(NO_DIRECTORY.to_owned()))?);
        let (command, bytes_max) = (command.clone(), self.limits.artifact_bytes_max);
        let read = spawn_blocking(move || directory.read_verified(&command, expected, bytes_max)).await;
        Ok(read.map_err(|_| LoadError::Host("reading the plugin's file failed".to_owned()))??)
    }

    /// Makes a program of a verified artifact, whatever it is, and learns what it is. A native plugin is started for
    /// that, once.
    pub(super) async fn learn(&self, artifact: Artifact, launch: Launch) -> Result<Arc<dyn Program>, LoadError> {
        match artifact.format {
            #[cfg(feature = "process")]
            Format::Elf | Format::Script => {
                let bytes = executable(&artifact)?;
                Ok(self.runtimes.process.learn(bytes, launch).await?)
            }
            _ => self.prepare(artifact, launch).await,
        }
    }

    /// Makes a program of the artifact of a record.
    async fn run(&self, artifact: Artifact, record: &PluginRecord) -> Result<Arc<dyn Program>, LoadError> {
        match artifact.format {
            // It said what it is when it was registered, and its bytes are the same.
            #[cfg(feature = "process")]
            Format::Elf | Format::Script => {
                let bytes = executable(&artifact)?;
                Ok(self.runtimes.process.load(bytes, launch(record), record.key.kind)?)
            }
            _ => self.prepare(artifact, launch(record)).await,
        }
    }

    async fn prepare(&self, artifact: Artifact, launch: Launch) -> Result<Arc<dyn Program>, LoadError> {
        let unfit = |why: &str| Err(LoadError::Unfit(why.to_owned()));
        match artifact.format {
            #[cfg(feature = "wasm")]
            Format::Component => Ok(self.runtimes.wasm.load(artifact.bytes, artifact.digest, launch).await?),
            #[cfg(not(feature = "wasm"))]
            Format::Component => {
                let _ = launch;
                unfit("this host was built without the feature \"wasm\", which runs components")
            }
            Format::CoreModule => unfit(
                "the file is a core WebAssembly module, and a plugin is a component; build it with `cargo build --target \
                 wasm32-wasip2`, or make a component of it with `wasm-tools component new`",
            ),
            Format::Elf | Format::Script => unfit(
                "the file is a native plugin, and this host was built without the feature \"process\", which runs those",
            ),
            Format::Unknown => unfit(
                "the file is neither a WebAssembly component nor a binary of this system; if it was copied, compare its \
                 digest with the original's",
            ),
        }
    }

    /// Gives up the native plugins' processes that are being started, and lets no more start.
    pub(super) fn stop_starting(&self) {
        #[cfg(feature = "process")]
        self.runtimes.process.stop_starting();
    }

    /// Waits until the processes of native plugins are gone that nobody uses any more, and compiled code is on disk.
    pub(super) async fn ended(&self) {
        #[cfg(feature = "wasm")]
        self.runtimes.wasm.ended(self.limits.drain_deadline).await;
        #[cfg(feature = "process")]
        self.runtimes.process.ended(self.limits.drain_deadline).await;
    }

    /// Keeps a program that was just prepared for this record, for the mounts that will follow.
    pub(super) async fn keep(&self, record: &PluginRecord, program: Arc<dyn Program>) {
        self.meters.watch(&record.key, program.meter());
        *self.slot(record).loaded.lock().await = Some(Ok(Arc::downgrade(&program)));
        self.linger(program);
    }

    /// Returns the program of a record, loaded if it is not.
    pub(super) async fn get(&self, record: &PluginRecord, attempt: Attempt) -> Result<Arc<dyn Program>, LoadError> {
        let slot = self.slot(record);
        let mut loaded = slot.loaded.lock().await;
        match &*loaded {
            Some(Ok(program)) => {
                if let Some(program) = program.upgrade() {
                    return Ok(program);
                }
            }
            Some(Err(error)) if attempt == Attempt::Shared => return Err(error.clone()),
            Some(Err(_)) | None => {}
        }
        let result = self.load(record).await;
        *loaded = Some(result.as_ref().map(Arc::downgrade).map_err(Clone::clone));
        let program = result?;
        self.linger(Arc::clone(&program));
        Ok(program)
    }

    /// Forgets the program of a record, so that whoever asks next gets another. Those that use it go on with it.
    pub(super) fn renew(&self, record: &PluginRecord) {
        let slot = self.slot(record);
        // Locked only while it is loaded, and what is being loaded is new.
        let Ok(mut loaded) = slot.loaded.try_lock() else { return };
        if let Some(Ok(program)) = loaded.take()
            && let Some(program) = program.upgrade()
        {
            let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
            unused.retain(|unused| !Arc::ptr_eq(unused, &program));
        }
    }

    async fn load(&self, record: &PluginRecord) -> Result<Arc<dyn Program>, LoadError> {
        let program = match &record.launch.source {
            Source::File { command, sha256 } => self.run(self.artifact(command, *sha256).await?, record).await?,
            Source::Builtin => self.builtin(record)?,
        };
        if program.description().kind != record.key.kind {
            return Err(LoadError::Unfit("the plugin says now that it is of another type".to_owned()));
        }
        self.meters.watch(&record.key, program.meter());
        Ok(program)
    }

    #[cfg(feature = "builtin")]
    fn builtin(&self, record: &PluginRecord) -> Result<Arc<dyn Program>, LoadError> {
        self.runtimes.builtin.load(record.key.kind, &launch(record))
    }

    #[cfg(not(feature = "builtin"))]
    fn builtin(&self, _: &PluginRecord) -> Result<Arc<dyn Program>, LoadError> {
        Err(LoadError::Unfit("this host was built without the feature \"builtin\"".to_owned()))
    }

    fn slot(&self, record: &PluginRecord) -> Arc<Slot> {
        let identity = Identity { key: record.key.clone(), launch: record.launch.clone() };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if !slots.contains_key(&identity) {
            // Room for a new one: what nobody runs or waits for can be loaded again.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.is_loaded());
        }
        Arc::clone(slots.entry(identity).or_default())
    }

    fn linger(&self, program: Arc<dyn Program>) {
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        unused.push_back(program);
        if unused.len() > PROGRAMS_UNUSED_MAX {
            unused.pop_front();
        }
    }
}

/// Returns what a record says about starting its plugin.
fn launch(record: &PluginRecord) -> Launch {
    let PluginKey { kind, name, version } = record.key.clone();
    let label = label(&name, version.as_ref());
    Launch { label, name, kind: Some(kind), version, launchable: record.launch.clone(), meter: Arc::default() }
}

/// Returns how to start a plugin that has no record yet.
pub(super) fn launch_of(registration: &Registration) -> Launch {
    let Registration { kind, name, version, launch: launchable, .. } = registration.clone();
    let label = label(&name, version.as_ref());
    Launch { label, name, kind, version, launchable, meter: Arc::default() }
}

/// Returns the bytes of a file that the plugin directory allows to be executed.
#[cfg(feature = "process")]
fn executable(artifact: &Artifact) -> Result<&[u8], LoadError> {
    match &artifact.not_executable {
        Some(why) => Err(LoadError::Unfit(why.clone())),
        None => Ok(&artifact.bytes),
    }
}

/// Returns a plugin's name and version as log lines show it.
pub(super) fn label(name: &PluginName, version: Option<&PluginVersion>) -> Arc<str> {
    match version {
        Some(version) => format!("{name} {version}").into(),
        None => name.as_str().into(),
    }
}

/// Which version a launch takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum VersionAtLaunch {
    /// This one.
    Exactly(Option<PluginVersion>),
    /// What a mount gets, by the catalog and its pins at the time of the launch, whose record asks for this one.
    Asked(Option<PluginVersion>),
}

/// Launches the plugin that a mount asks for.
pub(super) struct MountLauncher {
    pub(super) programs: Arc<Programs>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) kind: PluginKind,
    pub(super) name: PluginName,
    pub(super) version: VersionAtLaunch,
    /// What the mount chose in place of what the plugin's entry says.
    pub(super) instances: Option<InstancePolicy>,
    pub(super) instance_limits: InstanceLimits,
}

#[async_trait]
impl Launcher for MountLauncher {
    async fn launch(&self, attempt: Attempt) -> Result<Launched, StartError> {
        let version = match &self.version {
            VersionAtLaunch::Exactly(version) => version.clone(),
            VersionAtLaunch::Asked(asked) => self.catalog.version_at_start(self.kind, &self.name, asked.as_ref()),
        };
        let key = PluginKey::new(self.kind, self.name.clone(), version);
        let record = self.catalog.get(&key).ok_or_else(|| {
            let version = key.version.as_ref().map(|version| format!(", version={version}")).unwrap_or_default();
            StartError::NotInCatalog(format!("{}{version}", self.name))
        })?;
        let program = self.programs.get(&record, attempt).await?;
        let policy = self.instances.unwrap_or(record.instances);
        let limits = self.instance_limits.or(&record.instance_limits);
        let settings = PoolSettings::resolve(policy, &limits, &*program, &self.programs.limits);
        Ok(Launched { program, settings, version: record.key.version.clone(), sha256: record.launch.source.sha256() })
    }
}

/// Returns how a file of this format runs.
pub(super) fn runtime_of(format: Format) -> RuntimeKind {
    match format {
        Format::Elf | Format::Script => RuntimeKind::Native,
        Format::Component | Format::CoreModule | Format::Unknown => RuntimeKind::Wasm,
    }
}
