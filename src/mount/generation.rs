//! A mount's program and pool between two reloads: started once, in the background or by its first request, whichever
//! is sooner.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::SetOnce;
use tokio::time::{Instant, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::gate::Gate;
use crate::ident::{Digest, PluginVersion};
use crate::pool::{Pool, PoolSettings, Pools, SetupError};
use crate::runtime::{Call, LoadError, MountScope, PathRules, Program};

/// How long a mount that could not be started stays so, before the next request makes it try again: short enough for
/// whoever has just mended the plugin's file, long enough that a broken one costs little.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// How long stopping an instance at its deadline takes at most: an epoch, on a machine that is busy.
const STOPPING: Duration = Duration::from_secs(1);

/// Where a generation gets its program from. Implemented above, where catalog, artifacts and runtimes meet.
#[async_trait]
pub(crate) trait Launcher: Send + Sync {
    /// Verifies, loads and returns the program.
    async fn launch(&self, attempt: Attempt) -> Result<Launched, StartError>;
}

/// Why a mount could not be started. Its text is for an operator: it may hold what the plugin printed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StartError {
    /// The catalog has no such plugin.
    #[error("plugin not found in the catalog: {0}")]
    NotInCatalog(String),
    /// The plugin's file did not become a program.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The plugin did not set itself up for the mount.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The mount ended first.
    #[error("it is being disabled")]
    Ended,
    /// The host failed.
    #[error("{0}")]
    Host(&'static str),
}

/// Whether a failure to load that another mount ran into counts for this one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It does: many mounts of one broken plugin cost one look at its file.
    Shared,
    /// It does not: somebody may have mended it since.
    Anew,
}

/// A program, and what the catalog says of it.
#[derive(Clone)]
pub(crate) struct Launched {
    pub(crate) program: Arc<dyn Program>,
    pub(crate) settings: PoolSettings,
    pub(crate) version: Option<PluginVersion>,
    /// The digest of its file, if it is one.
    pub(crate) sha256: Option<Digest>,
}

/// What all generations of a host share.
#[derive(Clone)]
pub(crate) struct GenerationSettings {
    pub(crate) pools: Arc<Pools>,
    /// How long `initialize` may take.
    pub(crate) lifecycle_deadline: Duration,
}

/// A program and its pool, started at most once.
pub(crate) struct Generation {
    launcher: Arc<dyn Launcher>,
    attempt: Attempt,
    settings: GenerationSettings,
    begun: AtomicBool,
    /// Whether what has begun may make an instance. One that is made stores things.
    ending: AtomicBool,
    outcome: SetOnce<Result<Running, StartError>>,
    failed_at: OnceLock<Instant>,
    gate: ArcSwap<Gate>,
}

/// A request's stay in a generation, which ends when it is dropped.
pub(super) struct Inside {
    gate: Arc<Gate>,
    _token: TaskTrackerToken,
}

impl Inside {
    /// Returns when the request has to leave.
    pub(super) async fn aborted(&self) {
        self.gate.aborted().await;
    }
}

/// A generation that answers.
pub(crate) struct Running {
    pub(crate) pool: Arc<Pool>,
    pub(crate) unauthenticated: PathRules,
    pub(crate) version: Option<PluginVersion>,
    /// The digest of its file, if it is one.
    pub(crate) sha256: Option<Digest>,
}

impl Generation {
    pub(crate) fn new(launcher: Arc<dyn Launcher>, attempt: Attempt, settings: GenerationSettings) -> Arc<Self> {
        Self::behind(ArcSwap::default(), launcher, attempt, settings)
    }

    fn behind(
        gate: ArcSwap<Gate>,
        launcher: Arc<dyn Launcher>,
        attempt: Attempt,
        settings: GenerationSettings,
    ) -> Arc<Self> {
        let (begun, ending) = (AtomicBool::new(false), AtomicBool::new(false));
        let (outcome, failed_at) = (SetOnce::new(), OnceLock::new());
        Arc::new(Self { launcher, attempt, settings, begun, ending, outcome, failed_at, gate })
    }

    /// Lets a request in; `None` when this generation takes no more of them.
    pub(super) fn enter(&self) -> Option<Inside> {
        let gate = self.gate.load_full();
        let token = gate.enter()?;
        Some(Inside { gate, _token: token })
    }

    /// Lets nobody in any more, waits for those inside, and after the limit makes them leave.
    pub(super) async fn drain(&self, limit: Duration) {
        self.gate.load_full().close(limit).await;
    }

    /// Lets nobody in any more.
    pub(super) fn refuse(&self) {
        self.gate.load().refuse();
    }

    /// Lets requests in again after [`Self::drain`].
    pub(super) fn reopen(&self) {
        self.gate.store(Arc::default());
    }

    /// Returns a generation of the same plugin that has not begun, behind the same gate: where this one is being
    /// closed, that one is too.
    pub(crate) fn again(&self) -> Arc<Self> {
        let gate = ArcSwap::new(self.gate.load_full());
        Self::behind(gate, Arc::clone(&self.launcher), Attempt::Anew, self.settings.clone())
    }

    /// Returns whether it could not be started, so long ago that it is worth another try.
    pub(crate) fn may_be_retried(&self) -> bool {
        self.failed_at.get().is_some_and(|failed_at| failed_at.elapsed() >= RETRY_AFTER)
    }

    /// Returns how starting went, if it is over.
    pub(crate) fn outcome(&self) -> Option<&Result<Running, StartError>> {
        self.outcome.get()
    }

    /// Starts the generation unless somebody did, and returns how that went. Starting goes on if the caller stops
    /// waiting.
    pub(crate) async fn start(self: &Arc<Self>, scope: &Arc<MountScope>) -> &Result<Running, StartError> {
        if let Some(outcome) = self.outcome.get() {
            return outcome;
        }
        if !self.begun.swap(true, Ordering::AcqRel) {
            let (generation, scope) = (Arc::clone(self), Arc::clone(scope));
            tokio::spawn(async move {
                let started = tokio::spawn({
                    let generation = Arc::clone(&generation);
                    async move { generation.run(&scope).await }
                });
                // A bug that panics must not leave the mount starting for ever.
                let outcome =
                    started.await.unwrap_or(Err(StartError::Host("the host failed to start it; the log says more")));
                if outcome.is_err() {
                    generation.failed_at.get_or_init(Instant::now);
                }
                // It cannot have been set before: only this task sets it, once.
                drop(generation.outcome.set(outcome));
            });
        }
        self.outcome.wait().await
    }

    /// Sees to it that no instance is being set up any more, nor will be, and so that what is wiped next stays wiped:
    /// one that has not begun never will, one that is under way is waited for, and one that is still being loaded ends
    /// before its first call.
    pub(crate) async fn end_start(&self) {
        self.ending.store(true, Ordering::SeqCst);
        if !self.begun.swap(true, Ordering::AcqRel) {
            // Nobody else sets it: whoever begins does.
            drop(self.outcome.set(Err(StartError::Ended)));
            return;
        }
        // An instance has the deadline for all that it does, and takes a moment to be stopped at it.
        drop(timeout(self.settings.lifecycle_deadline + STOPPING, self.outcome.wait()).await);
    }

    async fn run(&self, scope: &Arc<MountScope>) -> Result<Running, StartError> {
        let Launched { program, settings, version, sha256 } = self.launcher.launch(self.attempt).await?;
        if self.ending.load(Ordering::SeqCst) {
            return Err(StartError::Ended);
        }
        let pool = self.settings.pools.open(program, &settings);
        let call = Call::lifecycle(scope, self.settings.lifecycle_deadline);
        let unauthenticated = pool.start(call).await?;
        Ok(Running { pool, unauthenticated, version, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::limits::Limits;
    use crate::pool::{InstanceBudget, PoolLimits};
    use crate::runtime::double::scope;

    /// Never has a program, and remembers how it was asked.
    #[derive(Default)]
    struct Broken(Mutex<Vec<Attempt>>);

    #[async_trait]
    impl Launcher for Broken {
        async fn launch(&self, attempt: Attempt) -> Result<Launched, StartError> {
            self.0.lock().unwrap().push(attempt);
            Err(LoadError::File("the file is gone".to_owned()).into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_started_may_be_tried_again_later() {
        let limits = Limits::default();
        let scope = Arc::new(scope());
        let launcher = Arc::new(Broken::default());
        let pools = Pools::new(InstanceBudget::new(1), PoolLimits { queue_max: 1, shared_queue_max: 1 });
        let settings = GenerationSettings { pools, lifecycle_deadline: limits.lifecycle_deadline };
        let first = Generation::new(Arc::clone(&launcher) as Arc<dyn Launcher>, Attempt::Shared, settings);
        assert!(!first.may_be_retried(), "it has not been tried");
        let refused = first.start(&scope).await.as_ref().err().map(ToString::to_string);
        assert_eq!(refused.as_deref(), Some("the file is gone"));
        assert!(!first.may_be_retried(), "it was tried just now");
        tokio::time::advance(RETRY_AFTER).await;
        assert!(first.may_be_retried());
        assert!(first.again().start(&scope).await.is_err());
        assert_eq!(*launcher.0.lock().unwrap(), [Attempt::Shared, Attempt::Anew]);
    }
}
