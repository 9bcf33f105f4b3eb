//! HOW MANY: which instance answers a request, and how long instances live.
//!
//! A pool serves one mount. `per-mount`: one instance, made for the first request and kept; `per-request`: a fresh one each time.
//! A request takes a [`Lease`]; dropping the lease gives a healthy instance back and lets a dead one go, so no path through an
//! error, a deadline or a cancelled future can return a half-run guest.
//!
//! Waiting is bounded twice: so many requests may queue for a mount, and each only until its deadline. Living is bounded once, for
//! the whole host, by the [`InstanceBudget`]: when it is spent, the instance that was idle longest gives way, whichever mount it
//! belongs to.

mod budget;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use crate::catalog::InstancePolicy;
use crate::ident::RequestPath;
use crate::request::{BackendError, Operation, Request};
use crate::runtime::{Call, Failure, Instance, PathRules, Program, Residence, Spread};

pub(crate) use budget::InstanceBudget;
use budget::InstancePermit;

/// Fresh sandboxes that one mount may use at a time under `per-request`, if its plugin lets its requests be spread. Enough to
/// keep the cores busy while some wait for storage; a mount takes no more of the host's budget than this.
const PER_REQUEST_INSTANCES_MAX: u32 = 32;

/// The instances of one mount.
pub(crate) struct Pool {
    program: Arc<dyn Program>,
    policy: InstancePolicy,
    budget: Arc<InstanceBudget>,
    limits: PoolLimits,
    /// One permit for each call that may run at a time.
    gate: Semaphore,
    /// How many there are.
    turns: u32,
    waiting: AtomicUsize,
    /// The kept instance. Locked while it is made and set up, which only this mount's own requests wait for.
    kept: Mutex<Option<Arc<Kept>>>,
}

/// The limits that concern a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    /// Requests that wait at a time.
    pub(crate) queue_max: usize,
}

/// An instance that is kept between requests.
struct Kept {
    instance: Arc<dyn Instance>,
    last_used: AtomicU64,
    /// `None` for one that is resident.
    _permit: Option<InstancePermit>,
}

/// The right to call an instance, until it is dropped.
pub(crate) struct Lease<'pool> {
    // Dropped in this order: the share of the instance, the word that it is idle, the turn.
    held: Held,
    notice: IdleNotice<'pool>,
    _turn: SemaphorePermit<'pool>,
}

/// When a resident instance that is made anew is initialized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Initialized {
    /// At once: it takes the place of one that crashed.
    Now,
    /// By whoever asked for it: the mount is starting.
    Later,
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

/// Tells the budget, when dropped, that an instance is idle.
struct IdleNotice<'pool>(&'pool Pool);

enum Held {
    Kept(Arc<Kept>),
    Fresh { instance: Arc<dyn Instance>, _permit: Option<InstancePermit> },
}

impl Pool {
    pub(crate) fn new(
        program: Arc<dyn Program>,
        policy: InstancePolicy,
        budget: Arc<InstanceBudget>,
        limits: PoolLimits,
    ) -> Arc<Self> {
        let one = program.concurrency().get();
        let turns = match (policy, program.description().spread) {
            (InstancePolicy::PerRequest, Spread::Many) => one.saturating_mul(PER_REQUEST_INSTANCES_MAX),
            (InstancePolicy::PerRequest, Spread::One) | (InstancePolicy::PerMount, _) => one,
        };
        let gate = Semaphore::new(turns as usize);
        Arc::new(Self {
            program,
            policy,
            budget,
            limits,
            gate,
            turns,
            waiting: AtomicUsize::new(0),
            kept: Mutex::new(None),
        })
    }

    /// Starts the mount in its first instance, and returns the paths that need no token. An error says what it failed at.
    pub(crate) async fn start(self: &Arc<Self>, call: Call) -> Result<PathRules, String> {
        let leased = self.lease_as(&call, Initialized::Later).await;
        let lease = leased.map_err(|failure| format!("the plugin failed to set up: {failure}"))?;
        if let Err(failure) = lease.instance().initialize(call.clone()).await {
            drop(lease);
            // Whatever it began is over before what it stored is wiped.
            self.close(call).await;
            return Err(format!("the plugin failed to initialize: {failure}"));
        }
        let own = lease.instance().unauthenticated().cloned();
        drop(lease);
        // Most mounts are not called soon, and a fresh instance costs the first request some 20 µs.
        self.evict();
        Ok(own.unwrap_or_else(|| self.program.description().unauthenticated.clone()))
    }

    /// Returns an instance that is set up for the call's mount, as soon as it is this call's turn.
    pub(crate) async fn lease(self: &Arc<Self>, call: &Call) -> Result<Lease<'_>, Failure> {
        self.lease_as(call, Initialized::Now).await
    }

    async fn lease_as(self: &Arc<Self>, call: &Call, initialized: Initialized) -> Result<Lease<'_>, Failure> {
        let turn = self.turn(call).await?;
        let held = match self.policy {
            InstancePolicy::PerMount => Held::Kept(self.kept(call, initialized).await?),
            InstancePolicy::PerRequest => {
                let (instance, permit) = self.make(call).await?;
                Held::Fresh { instance, _permit: permit }
            }
        };
        Ok(Lease { held, notice: IdleNotice(self), _turn: turn })
    }

    /// Lets a resident instance go, so that the next request sets up another: it hears of its mount's options only then. Requests
    /// wait for those in flight to end, and those for no longer than the call's deadline. Instances that ask for each call's options
    /// stay.
    pub(crate) async fn renew(&self, call: Call) {
        if self.program.residence() == Residence::Evictable {
            return;
        }
        // Should some request outlast the deadline, it goes on in the instance that it has.
        let _turns = timeout_at(call.deadline, self.gate.acquire_many(self.turns)).await;
        self.close(call).await;
    }

    /// Tells the kept instance, if there is one, that somebody else changed a stored value.
    pub(crate) async fn invalidate(self: &Arc<Self>, call: Call, key: &str) -> Result<(), Failure> {
        match self.lease_kept(&call).await? {
            Some(lease) => lease.instance().invalidate(call, key).await,
            None => Ok(()),
        }
    }

    /// Asks a resident instance to undo what was left half done. What it declines is its own affair, and so is whether it knows how.
    pub(crate) async fn roll_back(self: &Arc<Self>, call: Call, rollback: Rollback) {
        if self.program.residence() == Residence::Evictable {
            return;
        }
        let scope = Arc::clone(&call.scope);
        let rolled_back = match self.lease_kept(&call).await {
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

    /// Returns the kept instance, if there is one, when it is this call's turn.
    async fn lease_kept(self: &Arc<Self>, call: &Call) -> Result<Option<Lease<'_>>, Failure> {
        let turn = self.turn(call).await?;
        let slot = timeout_at(call.deadline, self.kept.lock()).await.map_err(|_| still_made())?;
        let kept = slot.clone().filter(|kept| kept.instance.is_alive());
        Ok(kept.map(|kept| Lease { held: Held::Kept(kept), notice: IdleNotice(self), _turn: turn }))
    }

    /// Tells the kept instance that its mount ends here, and lets it go. Call it when no request is running any more: one that
    /// still is keeps its share of the instance, and then nobody is told.
    pub(crate) async fn close(&self, call: Call) {
        let Ok(mut slot) = timeout_at(call.deadline, self.kept.lock()).await else { return };
        let Some(kept) = slot.take().filter(|kept| Arc::strong_count(kept) == 1 && kept.instance.is_alive()) else {
            return;
        };
        drop(slot);
        let scope = Arc::clone(&call.scope);
        if let Err(failure) = kept.instance.cleanup(call).await {
            tracing::warn!(plugin = &*scope.plugin, mount = %scope.path, "the plugin failed to clean up: {failure}");
        }
    }

    async fn turn(&self, call: &Call) -> Result<SemaphorePermit<'_>, Failure> {
        if let Ok(turn) = self.gate.try_acquire() {
            return Ok(turn);
        }
        let _waiting = Waiting::join(&self.waiting, self.limits.queue_max)
            .ok_or_else(|| Failure::Busy(format!("its queue of {} is full; try again later", self.limits.queue_max)))?;
        match timeout_at(call.deadline, self.gate.acquire()).await {
            Ok(turn) => Ok(turn.expect("the semaphore is never closed")),
            Err(_) => Err(Failure::Busy("it was busy with other requests until the deadline".to_owned())),
        }
    }

    async fn kept(self: &Arc<Self>, call: &Call, initialized: Initialized) -> Result<Arc<Kept>, Failure> {
        // Whoever holds it makes an instance, for as long as its own deadline allows.
        let mut slot = timeout_at(call.deadline, self.kept.lock()).await.map_err(|_| still_made())?;
        if let Some(kept) = slot.as_ref().filter(|kept| kept.instance.is_alive()) {
            kept.last_used.store(self.budget.now(), Ordering::Relaxed);
            return Ok(Arc::clone(kept));
        }
        *slot = None;
        let (instance, permit) = self.make(call).await?;
        if initialized == Initialized::Now && self.program.residence() == Residence::Resident {
            instance.initialize(call.clone()).await?;
        }
        let kept = Arc::new(Kept { instance, last_used: AtomicU64::new(self.budget.now()), _permit: permit });
        *slot = Some(Arc::clone(&kept));
        if self.program.residence() == Residence::Evictable {
            self.budget.watch(self);
        }
        Ok(kept)
    }

    /// Makes an instance and sets it up for the call's mount.
    async fn make(&self, call: &Call) -> Result<(Arc<dyn Instance>, Option<InstancePermit>), Failure> {
        let permit = match self.program.residence() {
            Residence::Evictable => Some(self.budget.admit(call.deadline).await?),
            Residence::Resident => None,
        };
        // A guest's code may run already while its instance is made.
        let made = timeout_at(call.deadline, self.program.instantiate()).await;
        let instance = made.map_err(|_| Failure::Deadline(call.limit))??;
        instance.setup(call.clone()).await?;
        Ok((instance, permit))
    }

    /// Returns when the kept instance was last used, if there is one and nobody is using it.
    fn idle_since(&self) -> Option<u64> {
        let slot = self.kept.try_lock().ok()?;
        let kept = slot.as_ref()?;
        (Arc::strong_count(kept) == 1).then(|| kept.last_used.load(Ordering::Relaxed))
    }

    /// Lets the kept instance go if nobody is using it. It is not told: its memory is a cache, and telling it would make one
    /// mount wait for another's code.
    fn evict(&self) {
        if self.program.residence() == Residence::Resident {
            return;
        }
        let Ok(mut slot) = self.kept.try_lock() else { return };
        slot.take_if(|kept| Arc::strong_count(kept) == 1);
    }
}

fn still_made() -> Failure {
    Failure::Busy("its instance was still being made at the deadline".to_owned())
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.budget.forget(self);
    }
}

// -------------------------------------------------------------------------------------------------------------------- Lease

impl Lease<'_> {
    /// Returns the instance to call.
    pub(crate) fn instance(&self) -> &dyn Instance {
        match &self.held {
            Held::Kept(kept) => &*kept.instance,
            Held::Fresh { instance, .. } => &**instance,
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Held::Kept(kept) = &self.held else { return };
        if kept.instance.is_alive() {
            return;
        }
        // A dead instance has given its memory back already; this gives back its place in the budget. Should the slot be locked,
        // then by a request that is about to find out the same.
        if let Ok(mut slot) = self.notice.0.kept.try_lock() {
            slot.take_if(|current| Arc::ptr_eq(current, kept));
        }
    }
}

impl Drop for IdleNotice<'_> {
    fn drop(&mut self) {
        self.0.budget.became_idle();
    }
}

/// One place in a bounded queue, given back when dropped.
struct Waiting<'pool>(&'pool AtomicUsize);

impl<'pool> Waiting<'pool> {
    fn join(waiting: &'pool AtomicUsize, max: usize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::double::{Double, call};

    #[tokio::test(start_paused = true)]
    async fn making_an_instance_takes_no_longer_than_the_call_may() {
        let budget = InstanceBudget::new(1);
        for policy in [InstancePolicy::PerMount, InstancePolicy::PerRequest] {
            let program = Arc::new(Double { never_makes: true, ..Double::new(Residence::Evictable) });
            let pool = Pool::new(program, policy, Arc::clone(&budget), PoolLimits { queue_max: 1 });
            // The second gets the first one's turn and its place in the budget.
            for _ in 0..2 {
                let failure = pool.lease(&call()).await.err().expect("no instance is ever finished");
                assert!(matches!(failure, Failure::Deadline(limit) if limit.as_secs() == 1), "{failure:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_instance_that_was_idle_longest_gives_way() {
        let budget = InstanceBudget::new(3);
        let pools: Vec<_> = (0..6)
            .map(|_| {
                let program = Arc::new(Double::new(Residence::Evictable));
                Pool::new(program, InstancePolicy::PerMount, Arc::clone(&budget), PoolLimits { queue_max: 1 })
            })
            .collect();
        let kept = || -> Vec<usize> { (0..6).filter(|index| pools[*index].idle_since().is_some()).collect() };
        // Each use, and whose instances there are after it.
        for (used, expected) in [
            (0, vec![0]),
            (1, vec![0, 1]),
            (2, vec![0, 1, 2]),
            (3, vec![1, 2, 3]),
            // Seen as old when room was made for 3, and used since.
            (1, vec![1, 2, 3]),
            (4, vec![1, 3, 4]),
            // 1 and 3 were last used between the same two admissions; this decides between them.
            (3, vec![1, 3, 4]),
            (5, vec![3, 4, 5]),
        ] {
            pools[used].lease(&call()).await.expect("an idle instance gives way");
            assert_eq!(kept(), expected, "after {used} was used");
        }
        drop(pools);
        assert!(budget.admit(call().deadline).await.is_ok());
    }

    #[tokio::test]
    async fn a_resident_instance_stays_and_is_initialized_whenever_it_is_made_anew() {
        let budget = InstanceBudget::new(1);
        let program = Arc::new(Double::new(Residence::Resident));
        let new = || {
            let program = Arc::clone(&program) as Arc<dyn Program>;
            Pool::new(program, InstancePolicy::PerMount, Arc::clone(&budget), PoolLimits { queue_max: 1 })
        };
        // More than the budget of sandboxes, in which it has no part.
        let (pool, other) = (new(), new());
        other.start(call()).await.expect("it starts");
        program.take_asked();

        assert!(pool.start(call()).await.expect("it starts").matches("open"));
        assert_eq!(program.take_asked(), ["setup", "initialize"]);
        drop(pool.lease(&call()).await.expect("it is there"));
        assert!(program.take_asked().is_empty(), "it stayed");

        program.crashed.store(true, Ordering::SeqCst);
        drop(pool.lease(&call()).await.expect("another takes its place"));
        assert_eq!(program.take_asked(), ["setup", "initialize"]);

        pool.renew(call()).await;
        assert_eq!(program.take_asked(), ["cleanup"]);
        pool.roll_back(call(), Rollback::Periodic).await;
        assert!(program.take_asked().is_empty(), "nobody is set up to be asked");
        drop(pool.lease(&call()).await.expect("another takes its place"));
        pool.invalidate(call(), "a/b").await.expect("it is told");
        pool.roll_back(call(), Rollback::Final).await;
        let expected = ["setup", "initialize", "invalidate \"a/b\"", "Rollback \"\""];
        assert_eq!(program.take_asked(), expected);
    }

    #[tokio::test]
    async fn a_sandbox_that_nobody_calls_is_gone_and_not_woken() {
        let program = Arc::new(Double::new(Residence::Evictable));
        let shared = Arc::clone(&program) as Arc<dyn Program>;
        let pool = Pool::new(shared, InstancePolicy::PerMount, InstanceBudget::new(1), PoolLimits { queue_max: 1 });
        pool.start(call()).await.expect("it starts");
        assert_eq!(program.take_asked(), ["setup", "initialize"]);
        pool.invalidate(call(), "a").await.expect("there is nothing to forget");
        pool.roll_back(call(), Rollback::Periodic).await;
        pool.renew(call()).await;
        assert!(program.take_asked().is_empty());
    }
}
