//! WHERE: mounts, what is stored of them, and how one answers a request.
//!
//! A mount is its record (what an operator set), its scope (what its plugin may know of it) and its generation (what
//! answers). The first two are replaced whole by tune and move, the third by a reload; a request keeps the ones it
//! began with.
//!
//! A reload loses no request: the new generation is started beside the old one, requests go to it from one instant on,
//! and those in flight end in the old one. Of a plugin that keeps a mount to one instance, the first request in the new
//! generation waits until the last in the old one has ended, so that neither overwrites what the other has just stored.
//! If the new one does not start, the old one goes on.
//!
//! Enabling and disabling are each decided by one transaction, so that a crash leaves the old state or the new:
//!
//! * enable: *intend to wipe* → set up, initialize → **record stored, intent withdrawn** → routed
//! * disable: end a start that is under way → refuse requests, wait for those in flight → cleanup
//!   → **record removed, intent to wipe stored** → wipe → intent withdrawn
//!
//! An intent that a crash left behind is carried out at the next start: storage of a mount that was never enabled, or
//! is none any more.

mod gate;
mod generation;
mod handover;
#[cfg(test)]
mod model;
mod record;
mod routes;
mod table;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use cofferdam_contract::GoDuration;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::ident::{PluginVersion, RequestPath};
use crate::meter::{MountMeter, Outcome, Retired};
use crate::pool::{Borrowed, Rollback};
use crate::request::{BackendError, Operation, Request, Response};
use crate::runtime::{Call, Failure, MountScope};

pub(crate) use generation::{Attempt, Generation, GenerationSettings, Launched, Launcher, StartError};
use generation::{Inside, Running};
pub use record::{MountConfig, MountSettings, TokenType};
pub(crate) use record::{MountRecord, MountStorage};
pub(crate) use table::MountTable;

/// Whether a mount answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountState {
    /// Not started yet: it starts in the background, or with its first request.
    Starting,
    /// It answers.
    Running,
    /// It could not be started, for this reason. Requests are told so.
    Disabled(String),
}

/// Why a mount did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum MountError {
    /// The mount could not be started.
    #[error("the plugin did not start: {0}")]
    NotStarted(#[source] StartError),
    /// The mount is being disabled.
    #[error("it is being disabled")]
    Closing,
    /// The plugin was reloaded, and the request was still running when the version before had to end.
    #[error("its plugin was reloaded")]
    Replaced,
    /// The plugin, or what runs it, failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl MountError {
    /// Returns how a request ended that was answered with this.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            MountError::NotStarted(_) => Outcome::NotStarted,
            MountError::Closing | MountError::Replaced => Outcome::Closing,
            MountError::Failed(Failure::Backend(error)) => match error {
                BackendError::Internal(_) | BackendError::Unavailable(_) | BackendError::Status(500.., _) => {
                    Outcome::Errored
                }
                BackendError::Denied(_)
                | BackendError::InvalidRequest(_)
                | BackendError::UnsupportedOperation
                | BackendError::UnsupportedPath
                | BackendError::NotFound(_)
                | BackendError::Conflict(_)
                | BackendError::Status(..500, _) => Outcome::Declined,
            },
            MountError::Failed(Failure::Trap(_) | Failure::Lost(_)) => Outcome::Trapped,
            MountError::Failed(Failure::Unusable(_)) => Outcome::Unusable,
            MountError::Failed(Failure::Deadline(_)) => Outcome::Deadline,
            MountError::Failed(Failure::Busy(_)) => Outcome::Busy,
            MountError::Failed(Failure::TooLarge(_)) => Outcome::Declined,
            MountError::Failed(Failure::Failing(_)) => Outcome::Failing,
            MountError::Failed(Failure::Host(_)) => Outcome::HostFault,
        }
    }
}

/// Why a mount ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is disabled, and what it stored is wiped next.
    Disable,
    /// The host shuts down.
    Shutdown,
}

/// One mounted plugin.
///
/// Whoever changes it has reserved its path, so two changes never cross; but for a start that is tried again, which
/// changes the generation alone.
pub(crate) struct Mount {
    now: ArcSwap<Now>,
    /// Generations that are ending, after another has taken their place.
    leaving: TaskTracker,
    meter: Arc<MountMeter>,
}

/// A mount at one moment.
#[derive(Clone)]
pub(crate) struct Now {
    /// What is stored of it.
    pub(crate) record: Arc<MountRecord>,
    /// What its plugin may know of it.
    pub(crate) scope: Arc<MountScope>,
    /// What answers for it.
    pub(crate) generation: Arc<Generation>,
}

impl Now {
    /// Returns what answers, if it has been started.
    pub(crate) fn running(&self) -> Option<&Running> {
        self.generation.outcome().and_then(|outcome| outcome.as_ref().ok())
    }

    /// Returns whether the mount answers.
    pub(crate) fn state(&self) -> MountState {
        match self.generation.outcome() {
            None => MountState::Starting,
            Some(Ok(_)) => MountState::Running,
            Some(Err(error)) => MountState::Disabled(error.to_string()),
        }
    }

    /// Returns the version that answers, or else the one that the mount asks for.
    pub(crate) fn running_version(&self) -> Option<&PluginVersion> {
        self.running().map_or(self.record.settings.version.as_ref(), |running| running.version.as_ref())
    }

    /// Tells whether a path below the mount is open to everybody. None is before the mount has been started.
    pub(crate) fn is_open(&self, path: &RequestPath) -> bool {
        self.running().is_some_and(|running| running.unauthenticated.matches(path.as_str()))
    }
}

/// Why nothing answers, and the last moment of the mount that would have.
pub(crate) struct Closed {
    pub(crate) now: Arc<Now>,
    pub(crate) error: MountError,
}

/// A request's stay in a mount that has started: what it is answered by, and judged by, is this moment of the mount.
pub(crate) struct Entered<'a> {
    mount: &'a Mount,
    now: Arc<Now>,
    inside: Inside,
    deadline: Instant,
    limit: Duration,
}

impl Mount {
    pub(crate) fn new(record: MountRecord, scope: MountScope, generation: Arc<Generation>) -> Arc<Self> {
        let meter = Arc::clone(&scope.meter);
        let now = Now { record: Arc::new(record), scope: Arc::new(scope), generation };
        Arc::new(Self { now: ArcSwap::from_pointee(now), leaving: TaskTracker::new(), meter })
    }

    /// Returns the mount as it is at this moment.
    pub(crate) fn now(&self) -> Arc<Now> {
        self.now.load_full()
    }

    /// Returns what is stored of the mount.
    pub(crate) fn record(&self) -> Arc<MountRecord> {
        Arc::clone(&self.now.load().record)
    }

    /// Returns what its requests count on, for as long as it is mounted.
    pub(crate) fn meter(&self) -> &Arc<MountMeter> {
        &self.meter
    }

    /// Replaces record and scope after a tune or a move was stored.
    pub(crate) fn update(&self, record: MountRecord, scope: MountScope) {
        let (record, scope) = (Arc::new(record), Arc::new(scope));
        self.now.rcu(|now| Now {
            record: Arc::clone(&record),
            scope: Arc::clone(&scope),
            generation: Arc::clone(&now.generation),
        });
    }

    /// Lets another generation take the place of one that could not be started: what it starts by has changed.
    pub(crate) fn try_anew(&self, generation: &Arc<Generation>) {
        let before = self.now.load();
        if let Some(Err(_)) = before.generation.outcome() {
            self.replace(&before.generation, generation);
        }
    }

    /// Lets a generation take the place of this one, unless another already has.
    fn replace(&self, before: &Arc<Generation>, next: &Arc<Generation>) {
        self.now.rcu(|now| {
            let is_current = Arc::ptr_eq(&now.generation, before);
            Now { generation: Arc::clone(if is_current { next } else { &now.generation }), ..Now::clone(now) }
        });
    }

    /// Starts the mount unless it has been started.
    pub(crate) async fn start(&self) -> Result<(), StartError> {
        let now = self.now();
        now.generation.start(&now.scope).await.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Enters what answers now, started if it has not been.
    pub(crate) async fn enter_started(&self, limit: Duration) -> Result<Entered<'_>, Closed> {
        let deadline = Instant::now() + limit;
        let (now, inside) = self.enter().map_err(|now| Closed { now, error: MountError::Closing })?;
        let entered = Entered { mount: self, now, inside, deadline, limit };
        match entered.started().await {
            Ok(()) => Ok(entered),
            Err(error) => Err(Closed { now: entered.now, error }),
        }
    }

    /// Enters the generation that answers now; returns the last one when the mount is being disabled.
    fn enter(&self) -> Result<(Arc<Now>, Inside), Arc<Now>> {
        let mut now = self.now();
        loop {
            match now.generation.enter() {
                // Still inside, so that whoever closes the mount waits for the exchange: the first request to come by
                // tries again, and the others wait for it.
                Some(_inside) if now.generation.may_be_retried() => {
                    self.replace(&now.generation, &now.generation.again());
                    now = self.now();
                }
                Some(inside) => return Ok((now, inside)),
                None => {
                    // A generation that another takes the place of is closed after it was replaced.
                    let current = self.now();
                    if Arc::ptr_eq(&current.generation, &now.generation) {
                        return Err(now);
                    }
                    now = current;
                }
            }
        }
    }

    /// Lets another generation, which has started, answer from now on, with what is stored and known of the mount from
    /// then on. Requests in flight end in the one before, within the limit; then that one is told that it ends.
    pub(crate) fn switch(
        self: &Arc<Self>,
        next: Arc<Generation>,
        record: MountRecord,
        scope: MountScope,
        drain: Duration,
        cleanup: Duration,
    ) {
        let Some(Ok(running)) = next.outcome() else { return };
        let announced = handover::announce(&self.now().generation, &running.pool, scope.key);
        let now = Arc::new(Now { record: Arc::new(record), scope: Arc::new(scope), generation: next });
        let switched = announced.switch(|| Arc::clone(&self.now.swap(now).generation));
        let mount = Arc::clone(self);
        self.leaving.spawn(async move {
            let drained = switched.alone().await.drain(drain).await;
            let scope = Arc::clone(&mount.now.load().scope);
            drained.end(&scope, cleanup).await;
        });
    }

    /// Asks a native plugin to undo what was left half done.
    pub(crate) async fn roll_back(&self, rollback: Rollback, limit: Duration) {
        // The last one comes when nobody else gets in any more.
        let (now, _inside) = match (rollback, self.enter()) {
            (Rollback::Periodic, Err(_)) => return,
            (Rollback::Final, Err(now)) => (now, None),
            (_, Ok((now, inside))) => (now, Some(inside)),
        };
        if let Some(running) = now.running() {
            running.pool.roll_back(Call::lifecycle(&now.scope, limit), rollback).await;
        }
    }

    /// Tells the plugin that somebody else changed a stored value. One that is not running has nothing to forget.
    pub(crate) async fn invalidate(&self, key: &str, limit: Duration) -> Result<(), Failure> {
        let Ok((now, _inside)) = self.enter() else { return Ok(()) };
        let Some(running) = now.running() else { return Ok(()) };
        running.pool.invalidate(Call::lifecycle(&now.scope, limit), key).await
    }

    /// Refuses requests from now on, waits for those in flight, ends those that outlast the limit, and tells the
    /// plugin. One whose mount goes for good has a last chance to undo what was left half done.
    pub(crate) async fn close(&self, ending: Ending, drain: Duration, cleanup: Duration) {
        // Each that is leaving already has its own limit.
        self.leaving.close();
        self.leaving.wait().await;
        self.now().generation.drain(drain).await;
        if ending == Ending::Disable {
            // A start that a request tried again meanwhile.
            self.now().generation.end_start().await;
            self.roll_back(Rollback::Final, cleanup).await;
        }
        let now = self.now();
        if let Some(running) = now.running() {
            running.pool.close(Call::lifecycle(&now.scope, cleanup), Retired::MountEnded).await;
        }
    }

    /// Takes requests again after a close whose reason fell away. What had not started by then gets another chance.
    pub(crate) fn reopen(&self) {
        let generation = Arc::clone(&self.now.load().generation);
        if let Some(Err(_)) = generation.outcome() {
            self.replace(&generation, &generation.again());
        }
        self.leaving.reopen();
        self.now.load().generation.reopen();
    }
}

impl Entered<'_> {
    /// Returns the moment of the mount.
    pub(crate) fn now(&self) -> &Arc<Now> {
        &self.now
    }

    /// Asks the plugin. The request's path is the part below the mount.
    pub(crate) async fn handle(&self, request: Box<Request>) -> Result<Response, MountError> {
        self.unless_aborted(self.ask(request)).await
    }

    async fn started(&self) -> Result<(), MountError> {
        match self.now.generation.outcome() {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(MountError::NotStarted(error.clone())),
            None => self.unless_aborted(self.start()).await,
        }
    }

    async fn start(&self) -> Result<(), MountError> {
        let Now { scope, generation, .. } = &*self.now;
        match tokio::time::timeout_at(self.deadline, generation.start(scope)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(MountError::NotStarted(error.clone())),
            Err(_) => {
                let limit = GoDuration::from_std(self.limit);
                Err(Failure::Busy(format!("it was still starting after {limit}")).into())
            }
        }
    }

    async fn ask(&self, mut request: Box<Request>) -> Result<Response, MountError> {
        let Now { scope, generation, .. } = &*self.now;
        let running = match generation.outcome() {
            Some(Ok(running)) => running,
            Some(Err(error)) => return Err(MountError::NotStarted(error.clone())),
            None => return Err(Failure::Host("it was asked before it had started".to_owned()).into()),
        };
        let call = Call {
            storage: scope.storage.clone(),
            scope: Arc::clone(scope),
            caller: request.caller.clone(),
            remote_address: request.remote_address,
            headers: request.headers.take(),
            deadline: self.deadline,
            limit: self.limit,
        };
        let borrowed = running.pool.borrow(&call).await?;
        let may_create = request.operation == Operation::Update && running.pool.tells_create();
        if may_create && Box::pin(creates(&borrowed, &call, &request)).await? {
            request.operation = Operation::Create;
        }
        Ok(borrowed.handle(call, *request).await?)
    }

    /// Waits for this, unless the generation has to end first.
    async fn unless_aborted<T>(&self, step: impl Future<Output = Result<T, MountError>>) -> Result<T, MountError> {
        let step = pin!(step);
        tokio::select! {
            biased;
            ended = step => ended,
            () = self.inside.aborted() => match Arc::ptr_eq(&self.now.generation, &self.mount.now.load().generation) {
                true => Err(MountError::Closing),
                false => Err(MountError::Replaced),
            },
        }
    }
}

/// Asks the plugin whether the path of a write is yet to be created.
async fn creates(borrowed: &Borrowed<'_>, call: &Call, request: &Request) -> Result<bool, Failure> {
    match borrowed.exists(call.clone(), request).await {
        Ok(exists) => Ok(exists == Some(false)),
        // A plugin that has no such path says so again when it is asked to write there.
        Err(Failure::Backend(BackendError::UnsupportedPath | BackendError::UnsupportedOperation)) => Ok(false),
        Err(failure) => Err(failure),
    }
}
