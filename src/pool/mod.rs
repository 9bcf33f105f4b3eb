//! HOW MANY: which instance answers a request, and how long instances live.
//!
//! A pool serves one mount, in one of three ways. `per-mount`: instances of its own, made when they are needed and
//! kept; `per-request`: a fresh one each time; `pooled`: instances that all mounts of its program share. A request
//! takes a [`Lease`]; dropping the lease gives a healthy instance back and lets a dead one go, so no path through an
//! error, a deadline or a cancelled future can return a half-run guest.
//!
//! A plugin that keeps its mounts to one instance ([`Spread::One`]) never has two that answer for one mount: not when
//! it is pooled, not while one retires, and not while its plugin is reloaded ([`Pool::hold_after`]). Of a plugin that
//! lets them be spread, the other instances are told which keys were written, before their next call for that mount.
//!
//! Waiting is bounded twice: so many requests may queue for a mount, and each only until its deadline. Living is
//! bounded once, for the whole host, by the [`InstanceBudget`]: when it is spent, the instance that was idle longest
//! gives way, whichever mount it belongs to. And one that nobody calls goes after a while.

mod budget;
mod member;
mod set;
mod settings;
mod shared;
mod turns;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{SemaphorePermit, SetOnce};
use tokio::time::timeout_at;

use crate::ident::RequestPath;
use crate::meter::{InUse, Retired};
use crate::plugin::InstancePolicy;
use crate::request::{BackendError, Operation, Request, Response};
use crate::runtime::{Call, Failure, Instance, PathRules, Program, Residence, Spread};
use crate::storage::WriteObserver;

pub(crate) use budget::InstanceBudget;
use budget::Keeper as _;
use member::Member;
pub(crate) use set::SWEEP_PERIOD;
use set::{Initialized, Place, Set};
pub(crate) use settings::PoolSettings;
use shared::SharedSets;
use turns::Turns;

/// What all pools of a host share.
pub(crate) struct Pools {
    pub(crate) budget: Arc<InstanceBudget>,
    shared: SharedSets,
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
    program: Arc<dyn Program>,
    policy: InstancePolicy,
    budget: Arc<InstanceBudget>,
    /// One for each call of this mount that may run at a time.
    turns: Turns,
    /// The kept instances.
    set: Arc<Set>,
    /// Set where another pool answered for the mount before.
    before: OnceLock<Before>,
    /// What answers for the mount from now on. It is told what requests write that still run here.
    successor: OnceLock<Arc<Pool>>,
}

/// The pools that answered for a mount before this one.
struct Before {
    /// Whether requests wait until none of them answers any more.
    holds: bool,
    ended: SetOnce<()>,
}

/// The right to call an instance, until it is dropped.
pub(crate) struct Lease<'pool> {
    // Dropped in this order: the instance, the turn.
    held: Held<'pool>,
    pool: &'pool Arc<Pool>,
    _turn: SemaphorePermit<'pool>,
}

enum Held<'pool> {
    Kept(Place<'pool>),
    Fresh { member: Member, _in_use: InUse },
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
        Arc::new(Self { budget, shared: SharedSets::default(), limits })
    }

    /// Returns a pool for one mount.
    pub(crate) fn open(&self, program: Arc<dyn Program>, settings: &PoolSettings) -> Arc<Pool> {
        let set = match settings.policy {
            InstancePolicy::Pooled => self.shared.get(&program, settings, &self.budget, self.limits.shared_queue_max),
            InstancePolicy::PerMount | InstancePolicy::PerRequest => {
                Set::new(Arc::clone(&program), settings.clone(), Arc::clone(&self.budget), None)
            }
        };
        let turns = settings.turns_of_a_mount(program.description().spread);
        Arc::new(Pool {
            program,
            policy: settings.policy,
            budget: Arc::clone(&self.budget),
            turns: Turns::new(turns, self.limits.queue_max),
            set,
            before: OnceLock::new(),
            successor: OnceLock::new(),
        })
    }
}

impl Pool {
    /// Returns whether the plugin tells a write that creates from one that changes.
    pub(crate) fn tells_create(&self) -> bool {
        self.program.description().tells_create
    }

    /// Returns how instances are kept.
    pub(crate) fn settings(&self) -> &PoolSettings {
        &self.set.settings
    }

    /// Starts the mount in its first instance, and returns the paths that need no token.
    pub(crate) async fn start(self: &Arc<Self>, call: Call) -> Result<PathRules, SetupError> {
        if self.policy == InstancePolicy::Pooled {
            // An instance that others use too may be set up for this mount already, with what it was told before.
            self.set.forget(&call.scope.id);
        }
        let leased = self.lease_as(&call, Initialized::Later).await;
        let lease = leased.map_err(SetupError::SetUp)?;
        let initialized = lease.initialize(call.clone()).await;
        let own = lease.instance().unauthenticated().cloned();
        drop(lease);
        if let Err(failure) = initialized {
            match self.policy {
                // Others are using them.
                InstancePolicy::Pooled => self.set.forget(&call.scope.id),
                // Whatever it began is over before what it stored is wiped.
                InstancePolicy::PerMount | InstancePolicy::PerRequest => self.close(call, Retired::SetupFailed).await,
            }
            return Err(SetupError::Initialize(failure));
        }
        // Most mounts are not called soon, and a fresh instance costs the first request some 20 µs. One that was made
        // beside another that still answers may have read what that one changes, so it does not answer anyway.
        if self.policy == InstancePolicy::PerMount {
            self.set.evict(Retired::Idle);
        }
        Ok(own.unwrap_or_else(|| self.program.description().unauthenticated.clone()))
    }

    /// Returns an instance that is set up for the call's mount, as soon as it is this call's turn.
    pub(crate) async fn lease(self: &Arc<Self>, call: &Call) -> Result<Lease<'_>, Failure> {
        self.lease_as(call, Initialized::Now).await
    }

    async fn lease_as(self: &Arc<Self>, call: &Call, initialized: Initialized) -> Result<Lease<'_>, Failure> {
        if let Some(lease) = self.lease_at_once(call) {
            call.scope.meter.waited(Duration::ZERO);
            return Ok(lease);
        }
        let begun = std::time::Instant::now();
        // Apart, so that a request that need not wait carries no room for all that waiting takes.
        let leased = Box::pin(self.lease_in_turn(call, initialized)).await;
        call.scope.meter.waited(begun.elapsed());
        leased
    }

    /// Returns an instance if one is free that needs no preparation.
    fn lease_at_once(self: &Arc<Self>, call: &Call) -> Option<Lease<'_>> {
        if self.policy == InstancePolicy::PerRequest || self.is_held() {
            return None;
        }
        let turn = self.turns.try_take()?;
        let place = self.set.try_place(&call.scope.id)?;
        Some(Lease { held: Held::Kept(place), pool: self, _turn: turn })
    }

    async fn lease_in_turn(self: &Arc<Self>, call: &Call, initialized: Initialized) -> Result<Lease<'_>, Failure> {
        let turn = self.turn(call).await?;
        self.held(call).await?;
        let held = match self.policy {
            InstancePolicy::PerMount | InstancePolicy::Pooled => {
                let place = self.set.place(call, initialized).await?;
                if place.is_new && self.policy == InstancePolicy::PerMount && initialized == Initialized::Now {
                    let background = Call::lifecycle(&call.scope, call.limit);
                    place.instance().work_in_background(self.observed(background, Some(&place.member)));
                }
                Held::Kept(place)
            }
            InstancePolicy::PerRequest => {
                let member = member::make(&*self.program, &self.settings().grants, &self.budget, call).await?;
                let in_use = member.lend();
                let set_up = member.instance.setup(call.clone()).await;
                set_up.inspect_err(|_| member.goes_as(Retired::SetupFailed))?;
                member.goes_as(Retired::Finished);
                Held::Fresh { member, _in_use: in_use }
            }
        };
        Ok(Lease { held, pool: self, _turn: turn })
    }

    /// Keeps requests waiting until [`Self::take_over`], as another pool still answers for this mount: `before`, or one
    /// that is still starting. Nobody has to wait if both plugins let a mount's requests be spread. Call it before the
    /// first request can come.
    pub(crate) fn hold_after(&self, before: Option<&Pool>) {
        let spreads = |pool: &Pool| pool.program.description().spread == Spread::Many;
        let together = before.is_some_and(|before| spreads(before) && !before.is_held());
        let holds = !(together && spreads(self));
        self.before.get_or_init(|| Before { holds, ended: SetOnce::new() });
    }

    fn is_held(&self) -> bool {
        self.before.get().is_some_and(|before| before.holds && before.ended.get().is_none())
    }

    /// Answers alone from now on: the pools before have ended. An instance that was set up beside another is set up
    /// again, since it may have read what the other has changed; one that is resident is made anew. Requests that wait
    /// since [`Self::hold_after`] go on.
    pub(crate) async fn take_over(self: &Arc<Self>, call: Call) {
        let Some(before) = self.before.get() else { return };
        match self.program.residence() {
            Residence::Resident if before.holds => {
                self.close(call.clone(), Retired::Reloaded).await;
                // Should it fail, the next request tries again and is told why.
                drop(self.set.place(&call, Initialized::Now).await);
            }
            // A pool that was still starting when it was replaced has told nobody what it wrote.
            Residence::Evictable if before.holds => self.set.forget(&call.scope.id),
            // What the other wrote was told at once.
            Residence::Resident | Residence::Evictable => {}
        }
        // Nobody else sets it.
        let _ = before.ended.set(());
    }

    /// Returns once no pool before this one answers any more.
    pub(crate) async fn is_alone(&self) {
        if let Some(before) = self.before.get() {
            before.ended.wait().await;
        }
    }

    /// Tells what requests that still run here write to the pool that answers from now on.
    pub(crate) fn succeeded_by(&self, successor: &Arc<Pool>) {
        // A pool is succeeded once.
        let _ = self.successor.set(Arc::clone(successor));
    }

    /// Returns whether both have their instances in common.
    pub(crate) fn shares_instances_with(&self, other: &Pool) -> bool {
        Arc::ptr_eq(&self.set, &other.set)
    }

    /// Tells the instances that somebody else changed a stored value: a resident one now, others before their next
    /// call.
    pub(crate) async fn invalidate(self: &Arc<Self>, call: Call, key: &str) -> Result<(), Failure> {
        // One that is just being set up may have read the value before.
        self.set.written(&call.scope.id, &[Arc::from(key)], None);
        if self.program.residence() == Residence::Evictable {
            return Ok(());
        }
        match self.lease_resident(&call).await? {
            Some(Lease { held: Held::Kept(mut place), .. }) => place.prepare(&call, Initialized::Now).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Makes the mount's instances set themselves up again before their next call for it, as what they remember may be
    /// out of date; but for those that are in one.
    pub(crate) fn forget(&self, mount: &str) {
        self.set.forget(mount);
    }

    /// Asks a resident instance to undo what was left half done. What it declines is its own affair, and so is whether
    /// it knows how.
    pub(crate) async fn roll_back(self: &Arc<Self>, call: Call, rollback: Rollback) {
        if self.program.residence() == Residence::Evictable {
            return;
        }
        let scope = Arc::clone(&call.scope);
        let rolled_back = match self.lease_resident(&call).await {
            Ok(Some(lease)) => lease.instance().handle(call, rollback.request()).await.map(drop),
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

    /// Returns the mount's instance, if there is one, when it is this call's turn.
    async fn lease_resident(self: &Arc<Self>, call: &Call) -> Result<Option<Lease<'_>>, Failure> {
        let turn = self.turn(call).await?;
        self.held(call).await?;
        let place = self.set.resident(&call.scope.id);
        Ok(place.map(|place| Lease { held: Held::Kept(place), pool: self, _turn: turn }))
    }

    /// Tells the instances that the mount ends here, and lets those go that are its own. Call it when no request is
    /// running any more: the instance of one that still is goes after it, and is not told.
    pub(crate) async fn close(&self, call: Call, why: Retired) {
        for place in self.set.leave(&call.scope.id, why) {
            let scope = Arc::clone(&call.scope);
            if let Err(failure) = place.instance().cleanup(call.clone()).await {
                tracing::warn!(plugin = &*scope.plugin, mount = %scope.path, "the plugin failed to clean up: {failure}");
            }
        }
    }

    /// Waits until no pool before this one answers any more.
    async fn held(&self, call: &Call) -> Result<(), Failure> {
        let Some(before) = self.before.get().filter(|before| before.holds) else { return Ok(()) };
        let waited = timeout_at(call.deadline, before.ended.wait()).await;
        waited.map(drop).map_err(|_| Failure::Busy("requests to the version before were still running".to_owned()))
    }

    /// Returns the call with a storage whose writes the other instances hear of, if there can be any.
    fn observed(self: &Arc<Self>, mut call: Call, writer: Option<&Arc<Member>>) -> Call {
        if self.program.description().spread == Spread::Many {
            let (pool, member, mount) = (Arc::clone(self), writer.map(Arc::clone), Arc::clone(&call.scope.id));
            call.storage = call.storage.observed_by(Arc::new(Writes { pool, member, mount }));
        }
        call
    }

    async fn turn(&self, call: &Call) -> Result<SemaphorePermit<'_>, Failure> {
        self.turns.take(call).await
    }
}

// --------------------------------------------------------------------------------------------------------------------
// Lease

impl Lease<'_> {
    fn instance(&self) -> &Arc<dyn Instance> {
        match &self.held {
            Held::Kept(place) => place.instance(),
            Held::Fresh { member, .. } => &member.instance,
        }
    }

    /// Takes note of a failure that may have been the instance's end.
    fn noting<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(failure) = &outcome {
            match &self.held {
                Held::Kept(place) => place.member.failed(failure),
                Held::Fresh { member, .. } => member.failed(failure),
            }
        }
        outcome
    }

    /// Answers a request.
    pub(crate) fn handle(
        &self,
        call: Call,
        request: Request,
    ) -> impl Future<Output = Result<Response, Failure>> + Send + '_ {
        // Both move into the instance's future at once, and not through this one.
        let answer = self.instance().handle(self.observed(call), request);
        async move { self.noting(answer.await) }
    }

    /// Tells whether the path of a write exists.
    pub(crate) async fn exists(&self, call: Call, request: &Request) -> Result<Option<bool>, Failure> {
        self.noting(self.instance().exists(call.read_only(), request).await)
    }

    async fn initialize(&self, call: Call) -> Result<(), Failure> {
        self.noting(self.instance().initialize(self.observed(call)).await)
    }

    fn observed(&self, call: Call) -> Call {
        let writer = match &self.held {
            Held::Kept(place) => Some(&place.member),
            Held::Fresh { .. } => None,
        };
        self.pool.observed(call, writer)
    }
}

/// Passes on which keys an instance wrote.
struct Writes {
    pool: Arc<Pool>,
    /// `None` for one that is not kept.
    member: Option<Arc<Member>>,
    mount: Arc<str>,
}

impl WriteObserver for Writes {
    fn written(&self, keys: &[Arc<str>]) {
        // Whatever has taken this pool's place, and that one's, by now.
        let mut pool = &self.pool;
        pool.set.written(&self.mount, keys, self.member.as_deref());
        while let Some(successor) = pool.successor.get() {
            if !successor.shares_instances_with(&self.pool) {
                successor.set.written(&self.mount, keys, None);
            }
            pool = successor;
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
