//! Native plugins: go-plugin binaries as supervised subprocesses, the fallback.
//!
//! * [`ProcessRuntime`] — what all native plugins of a host share: the thread that forks, the limits, the settings.
//! * `program` — a plugin's sealed bytes, and the process that its mounts share if it multiplexes.
//! * `process` — one running process: its connection, its log, its end.
//! * `instance` — one backend in a process, which answers for one mount; `client` is how it is called, `callbacks` what
//!   it may ask.
//!
//! From bytes to a process it is `child` (memory, fork, confinement), `environment`, `start` (the handshake). A process
//! that fails is started again by the next request, unless it keeps failing: `backoff`.

mod backoff;
mod callbacks;
mod child;
mod client;
mod convert;
mod environment;
mod instance;
mod log;
#[expect(clippy::module_inception, reason = "the runtime runs processes")]
mod process;
mod program;
mod settings;
mod start;
mod supervision;
mod usage;
mod wrapping;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::child::{Executable, SpawnError, Spawner};
use self::program::ProcessProgram;
use self::start::{Mode, StartError, start};
use crate::ident::PluginKind;
use crate::limits::Limits;
use crate::runtime::{Launch, LoadError, Program};

#[cfg(feature = "cli")]
pub(crate) use child::{adopt_orphans, close_inherited, confinement_support, kill_orphans};
pub use settings::NativePlugins;
pub(crate) use wrapping::Wrapping;

/// How native plugins are run. Made once for each host.
pub(crate) struct ProcessRuntime {
    shared: Arc<Shared>,
}

/// What all native plugins share.
struct Shared {
    settings: NativePlugins,
    limits: Arc<Limits>,
    spawner: Spawner,
    wrapping: Arc<Wrapping>,
    /// One permit for each process that may live.
    places: Arc<Semaphore>,
    /// Processes, from their start to their end.
    tracker: TaskTracker,
    /// No process is started any more.
    stopping: CancellationToken,
}

impl ProcessRuntime {
    pub(crate) fn new(
        settings: NativePlugins,
        limits: Arc<Limits>,
        wrapping: Arc<Wrapping>,
    ) -> Result<Self, LoadError> {
        let failed = |error| LoadError::Host(format!("the thread that starts plugins cannot be made: {error}"));
        let spawner = Spawner::new().map_err(failed)?;
        let places = Arc::new(Semaphore::new(limits.processes_max as usize));
        let (tracker, stopping) = (TaskTracker::new(), CancellationToken::new());
        Ok(Self { shared: Arc::new(Shared { settings, limits, spawner, wrapping, places, tracker, stopping }) })
    }

    /// Starts a plugin once to learn what it is, and returns the program. An error says why it cannot run here.
    pub(crate) async fn learn(&self, bytes: &[u8], launch: Launch) -> Result<Arc<dyn Program>, LoadError> {
        let executable = self.seal(bytes, &launch)?;
        Ok(Arc::new(ProcessProgram::learn(Arc::clone(&self.shared), executable, launch).await?))
    }

    /// Returns the program of a plugin of which it is known what it is. Nothing is started.
    pub(crate) fn load(&self, bytes: &[u8], launch: Launch, kind: PluginKind) -> Result<Arc<dyn Program>, LoadError> {
        let executable = self.seal(bytes, &launch)?;
        Ok(Arc::new(ProcessProgram::known(Arc::clone(&self.shared), executable, launch, kind)))
    }

    fn seal(&self, bytes: &[u8], launch: &Launch) -> Result<Executable, LoadError> {
        Executable::seal(launch.name.as_str(), bytes).map_err(|error| match error {
            SpawnError::Unfit(why) => LoadError::Unfit(why),
            SpawnError::System(why) => LoadError::Host(why),
        })
    }

    /// Gives up the processes that are being started, and lets no more start.
    pub(crate) fn stop_starting(&self) {
        self.shared.stopping.cancel();
    }

    /// Waits at most so long for the processes, which their mounts have let go.
    pub(crate) async fn ended(&self, limit: Duration) {
        self.shared.tracker.close();
        drop(tokio::time::timeout(limit, self.shared.tracker.wait()).await);
    }
}

impl From<StartError> for LoadError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Failed(why) | StartError::Full(why) => LoadError::Host(why),
            error => LoadError::Unfit(error.to_string()),
        }
    }
}
