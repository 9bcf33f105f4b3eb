//! HOW MANY: which instance answers a request, and how long instances live.
//!
//! A pool serves one mount, in one of three ways. `per-mount`: instances of its own, made when they are needed and
//! kept; `per-request`: a fresh one each time; `pooled`: instances that all mounts of its program share. A request
//! takes a [`Borrowed`] instance; dropping it gives a healthy instance back and lets a dead one go, so no path through
//! an error, a deadline or a cancelled future can return a half-run guest.
//!
//! A plugin that keeps its mounts to one instance ([`Spread::One`]) never has two that answer for one mount: not when
//! it is pooled, not while one retires, and not while its plugin is reloaded ([`Pool::succeed`]). Of a plugin that
//! lets them be spread, the other instances are told which keys were written, before their next call for that mount.
//!
//! Waiting is bounded twice: a number of requests may queue for a mount, and each only until its deadline. Living is
//! bounded once, for the whole host, by the [`InstanceBudget`]: when it is spent, the instance that was idle longest
//! gives way, whichever mount it belongs to. And one that nobody calls goes after a while.

mod audience;
mod borrowed;
mod budget;
mod instance;
mod room;
mod roster;
mod settings;
mod shared;
mod turns;
mod waiters;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::SetOnce;
use tokio::time::timeout_at;

use crate::ident::RequestPath;
use crate::meter::Retired;
use crate::plugin::InstancePolicy;
use crate::request::{BackendError, Operation, Request};
use crate::runtime::{Call, Failure, MountKey, PathRules, Program, Residence, Spread};

use audience::Audience;
pub(crate) use borrowed::Borrowed;
use borrowed::Initialized;
pub(crate) use budget::InstanceBudget;
use budget::Keeper as _;
pub(crate) use roster::SWEEP_PERIOD;
use roster::{Found, Roster};
pub(crate) use settings::PoolSettings;
use shared::SharedRosters;
use turns::{Turn, Turns};

/// What all pools of a host share.
pub(crate) struct Pools {
    pub(crate) budget: Arc<InstanceBudget>,
    shared: SharedRosters,
    limits: PoolLimits,
}

/// The limits that concern a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    /// Requests of one mount that wait at a time.
    pub(crate) queue_max: usize,
    /// Requests that wait at a time for instances that mounts share.
    pub(crate) shared_queue_max: usize,
}

/// The instances of one mount, or its part in those that it shares.
pub(crate) struct Pool {
    audience: Arc<Audience>,
    /// One for each call of this mount that may run at a time.
    turns: Turns,
    /// Set where other pools answered for the mount before this one.
    before: OnceLock<Before>,
}

/// The pools that answered for a mount before another.
struct Before {
    succession: Succession,
    /// Set when none of them answers any more.
    ended: SetOnce<()>,
}

/// How a pool answers while the pools before it still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Succession {
    /// Beside them: all of these plugins let a mount's requests be spread, and hear of what the others write.
    Together,
    /// After them: its requests wait until the last of theirs has ended.
    InTurn,
}

/// What a mount's plugin failed at when it was started.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SetupError {
    /// No instance could be made and set up for the mount.
    #[error("the plugin failed to set up: {0}")]
    SetUp(#[source] Failure),
    /// The plugin's `initialize` failed.
    #[error("the plugin failed to initialize: {0}")]
    Initialize(#[source] Failure),
}

impl SetupError {
    /// Returns how it failed.
    pub(crate) fn failure(&self) -> &Failure {
        match self {
            SetupError::SetUp(failure) | SetupError::Initialize(failure) => failure,
        }
    }
}

/// Why a plugin is asked to undo what was left half done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rollback {
    /// It is time again.
    Periodic,
    /// The mount goes: there is no other time.
    Final,
}

impl Rollback {
    /// Returns the request as Vault makes it.
    fn request(self) -> Request {
        let request = Request::new(Operation::Rollback, RequestPath::root());
        match self {
            Rollback::Periodic => request,
            Rollback::Final => request.with_data(&br#"{"immediate":true}"#[..]),
        }
    }
}

impl Pools {
    pub(crate) fn new(budget: Arc<InstanceBudget>, limits: PoolLimits) -> Arc<Self> {
        Arc::new(Self { budget, shared: SharedRosters::default(), limits })
    }

    /// Returns a pool for one mount.
    pub(crate) fn open(&self, program: Arc<dyn Program>, settings: &PoolSettings) -> Arc<Pool> {
        let turns = settings.turns_of_a_mount(program.description().spread);
        let roster = match settings.policy {
            InstancePolicy::Pooled => self.shared.get(&program, settings, &self.budget, self.limits.shared_queue_max),
            InstancePolicy::PerMount | InstancePolicy::PerRequest => {
                Roster::new(program, settings.clone(), Arc::clone(&self.budget), None)
            }
        };
        Arc::new(Pool {
            audience: Audience::new(roster),
            turns: Turns::new(turns, self.limits.queue_max),
            before: OnceLock::new(),
        })
    }
}

impl Pool {
    /// Returns whether the plugin tells a write that creates from one that changes.
    pub(crate) fn tells_create(&self) -> bool {
        self.program().description().tells_create
    }

    /// Returns how instances are kept.
    pub(crate) fn settings(&self) -> &PoolSettings {
        &self.roster().settings
    }

    fn roster(&self) -> &Arc<Roster> {
        &self.audience.roster
    }

    fn program(&self) -> &Arc<dyn Program> {
        &self.roster().program
    }

    fn policy(&self) -> InstancePolicy {
        self.settings().policy
    }

    // ----------------------------------------------------------------------------------------------------------------
    // Starting and ending a mount

    /// Starts the mount in its first instance, and returns the paths that need no token.
    ///
    /// # Errors
    ///
    /// No instance could be made and set up within the call's deadline, or the plugin's `initialize` failed. What the
    /// plugin had begun is over then.
    pub(crate) async fn start(&self, call: Call) -> Result<PathRules, SetupError> {
        if self.policy() == InstancePolicy::Pooled {
            self.roster().join(call.scope.key, &self.audience.tenant);
        }
        let borrowed = self.borrow_as(&call, Initialized::Later).await.map_err(SetupError::SetUp)?;
        let initialized = borrowed.initialize(call.clone()).await;
        let own = borrowed.instance().unauthenticated().cloned();
        drop(borrowed);
        if let Err(failure) = initialized {
            // What it began is over before what it stored is wiped.
            self.discard(call).await;
            return Err(SetupError::Initialize(failure));
        }
        // Most mounts are not called soon, and a fresh instance costs the first request some 20 µs. One that was made
        // beside another that still answers may have read what that one changes, so it does not answer anyway.
        if self.policy() == InstancePolicy::PerMount {
            self.roster().evict(Retired::Idle);
        }
        Ok(own.unwrap_or_else(|| self.program().description().unauthenticated.clone()))
    }

    /// Takes back a start: the mount goes on without this pool, which has answered nothing.
    pub(crate) async fn discard(&self, call: Call) {
        match self.policy() {
            // Others are using the instances, perhaps the same mount.
            InstancePolicy::Pooled => self.roster().part(call.scope.key, &self.audience.tenant),
            InstancePolicy::PerMount | InstancePolicy::PerRequest => self.close(call, Retired::SetupFailed).await,
        }
    }

    /// Tells the instances that the mount ends here, and lets those go that are its own; neither, while another pool
    /// answers for the mount from the same instances. Call it when no request is running any more: the instance of one
    /// that still is goes after it, and is not told.
    pub(crate) async fn close(&self, call: Call, why: Retired) {
        let told = self.roster().end(call.scope.key, &self.audience.tenant, why).into_iter();
        let told: Vec<_> =
            told.map(|live| Borrowed::entered(&self.audience, live, call.scope.key, [None, None])).collect();
        for borrowed in told {
            if let Err(failure) = borrowed.instance().cleanup(call.clone()).await {
                let (plugin, mount) = (&*call.scope.plugin, &call.scope.path);
                tracing::warn!(plugin, %mount, "the plugin failed to clean up: {failure}");
            }
        }
    }

    // ----------------------------------------------------------------------------------------------------------------
    // Answering requests

    /// Returns an instance that is set up for the call's mount, as soon as it is this call's turn.
    ///
    /// # Errors
    ///
    /// [`Failure::Busy`] if the queue is full, or there is no instance until the call's deadline; and what making an
    /// instance and setting it up failed at.
    pub(crate) async fn borrow(&self, call: &Call) -> Result<Borrowed<'_>, Failure> {
        self.borrow_as(call, Initialized::Now).await
    }

    async fn borrow_as(&self, call: &Call, initialized: Initialized) -> Result<Borrowed<'_>, Failure> {
        if let Some(borrowed) = self.borrow_at_once(call) {
            call.scope.meter.waited(Duration::ZERO);
            return Ok(borrowed);
        }
        let begun = std::time::Instant::now();
        // Apart, so that a request that need not wait carries no room for all that waiting takes.
        let borrowed = Box::pin(self.borrow_in_turn(call, initialized)).await;
        call.scope.meter.waited(begun.elapsed());
        borrowed
    }

    /// Returns an instance if one is free that needs no preparation.
    fn borrow_at_once(&self, call: &Call) -> Option<Borrowed<'_>> {
        if self.policy() == InstancePolicy::PerRequest || self.has_to_wait() {
            return None;
        }
        Borrowed::at_once(&self.audience, call.scope.key, self.turns.try_take()?)
    }

    async fn borrow_in_turn(&self, call: &Call, initialized: Initialized) -> Result<Borrowed<'_>, Failure> {
        let turn = self.turn(call).await?;
        match self.policy() {
            InstancePolicy::PerMount | InstancePolicy::Pooled => {
                Borrowed::kept(&self.audience, call, initialized, Some(turn)).await
            }
            InstancePolicy::PerRequest => Borrowed::fresh(&self.audience, call, turn).await,
        }
    }

    /// Returns the mount's resident instance, if there is one, when it is this call's turn. It may have to be told of
    /// what was written.
    async fn borrow_resident(&self, call: &Call) -> Result<Option<Borrowed<'_>>, Failure> {
        let turn = self.turn(call).await?;
        let Some(Found { live, is_ready }) = self.roster().find_resident(call.scope.key) else { return Ok(None) };
        let borrowed = Borrowed::entered(&self.audience, live, call.scope.key, [Some(turn), None]);
        if !is_ready {
            borrowed.prepare(call, Initialized::Now).await?;
        }
        Ok(Some(borrowed))
    }

    /// Waits for a turn, and until the pools before this one have ended if this one has to.
    async fn turn(&self, call: &Call) -> Result<Turn<'_>, Failure> {
        let turn = self.turns.take(call).await?;
        if let Some(before) = self.before.get().filter(|before| before.succession == Succession::InTurn) {
            let ended = timeout_at(call.deadline, before.ended.wait()).await;
            ended.map_err(|_| Failure::Busy("requests to the version before were still running".to_owned()))?;
        }
        Ok(turn)
    }

    // ----------------------------------------------------------------------------------------------------------------
    // Telling instances

    /// Tells the instances that somebody else changed a stored value: a resident one now, others before their next
    /// call.
    pub(crate) async fn invalidate(&self, call: Call, key: &str) -> Result<(), Failure> {
        // An instance that is just being set up may have read the value before.
        self.audience.written(call.scope.key, &[Arc::from(key)], None);
        match self.program().residence() {
            Residence::Evictable => Ok(()),
            Residence::Resident => self.borrow_resident(&call).await.map(drop),
        }
    }

    /// Asks a resident instance to undo what was left half done. What it declines is its own affair, and so is whether
    /// it knows how.
    pub(crate) async fn roll_back(&self, call: Call, rollback: Rollback) {
        if self.program().residence() == Residence::Evictable {
            return;
        }
        let scope = Arc::clone(&call.scope);
        let rolled_back = match self.borrow_resident(&call).await {
            Ok(Some(borrowed)) => borrowed.instance().handle(call, rollback.request()).await.map(drop),
            Ok(None) => Ok(()),
            Err(failure) => Err(failure),
        };
        match rolled_back {
            Ok(()) | Err(Failure::Backend(BackendError::UnsupportedOperation | BackendError::UnsupportedPath)) => {}
            Err(failure) => {
                tracing::warn!(plugin = &*scope.plugin, mount = %scope.path, "the plugin failed to roll back: {failure}");
            }
        }
    }

    // ----------------------------------------------------------------------------------------------------------------
    // Taking the place of another pool

    /// Prepares to answer in the place of `before`, or of a pool that is still starting. Call it before the first
    /// request can come.
    ///
    /// Requests wait until [`Self::take_over`], unless both plugins let a mount's requests be spread and those of
    /// `before` need not wait either: then they run beside each other, and this pool hears of what is written there.
    pub(crate) fn succeed(&self, before: Option<&Pool>, mount: MountKey) {
        let spreads = |pool: &Pool| pool.roster().spread() == Spread::Many;
        let together = before.filter(|before| spreads(self) && spreads(before) && !before.has_to_wait());
        if let Some(before) = together {
            before.audience.succeeded_by(&self.audience);
            // What an instance read while it was started may have changed before anybody was told of writes.
            self.roster().forget(mount);
        }
        let succession = if together.is_some() { Succession::Together } else { Succession::InTurn };
        self.before.get_or_init(|| Before { succession, ended: SetOnce::new() });
    }

    /// Returns once no pool before this one answers any more.
    pub(crate) async fn is_alone(&self) {
        if let Some(before) = self.before.get() {
            before.ended.wait().await;
        }
    }

    /// Answers alone from now on: no request runs in a pool before this one any more. `before` is told that it ends, if
    /// it ever started. Requests that waited go on.
    pub(crate) async fn take_over(&self, before: Option<&Pool>, call: Call) {
        let shares = |before: &Pool| Arc::ptr_eq(before.roster(), self.roster());
        let shared = before.is_some_and(shares);
        if let Some(before) = before.filter(|_| !shared) {
            before.close(call.clone(), Retired::Reloaded).await;
        }
        let waited = self.before.get().is_some_and(|before| before.succession == Succession::InTurn);
        if shared || waited {
            self.set_up_again(call).await;
        }
        if let Some(before) = self.before.get() {
            // Nobody else sets it.
            let _ = before.ended.set(());
        }
    }

    /// Makes the instances learn anew what they know of the mount: they may have read what others changed since, or
    /// have been told what held before.
    async fn set_up_again(&self, call: Call) {
        match self.program().residence() {
            Residence::Evictable => self.roster().forget(call.scope.key),
            Residence::Resident => {
                self.close(call.clone(), Retired::Reloaded).await;
                // Should it fail, the next request tries again and is told why.
                drop(Borrowed::kept(&self.audience, &call, Initialized::Now, None).await);
            }
        }
    }

    fn has_to_wait(&self) -> bool {
        let waits = |before: &Before| before.succession == Succession::InTurn && before.ended.get().is_none();
        self.before.get().is_some_and(waits)
    }
}

#[cfg(test)]
mod tests;
