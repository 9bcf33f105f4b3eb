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
use crate::runtime::{Call, Failure, Instance, Program, Spread};

pub(crate) use budget::InstanceBudget;
use budget::InstancePermit;

/// Fresh sandboxes that one mount may use at a time under `per-request`, if its plugin lets its requests be spread. Enough to
/// keep the cores busy while some wait for storage; a mount takes no more of the host's budget than this.
const PER_REQUEST_INSTANCES_MAX: usize = 32;

/// The instances of one mount.
pub(crate) struct Pool {
    program: Arc<dyn Program>,
    policy: InstancePolicy,
    budget: Arc<InstanceBudget>,
    limits: PoolLimits,
    /// One permit for each call that may run at a time.
    gate: Semaphore,
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
    _permit: InstancePermit,
}

/// The right to call an instance, until it is dropped.
pub(crate) struct Lease<'pool> {
    // Dropped in this order: the share of the instance, the word that it is idle, the turn.
    held: Held,
    notice: IdleNotice<'pool>,
    _turn: SemaphorePermit<'pool>,
}

/// Tells the budget, when dropped, that an instance is idle.
struct IdleNotice<'pool>(&'pool Pool);

enum Held {
    Kept(Arc<Kept>),
    Fresh { instance: Arc<dyn Instance>, _permit: InstancePermit },
}

impl Pool {
    pub(crate) fn new(
        program: Arc<dyn Program>,
        policy: InstancePolicy,
        budget: Arc<InstanceBudget>,
        limits: PoolLimits,
    ) -> Arc<Self> {
        let one = program.concurrency().get() as usize;
        let turns = match (policy, program.description().spread) {
            (InstancePolicy::PerRequest, Spread::Many) => one * PER_REQUEST_INSTANCES_MAX,
            (InstancePolicy::PerRequest, Spread::One) | (InstancePolicy::PerMount, _) => one,
        };
        let gate = Semaphore::new(turns.min(Semaphore::MAX_PERMITS));
        Arc::new(Self { program, policy, budget, limits, gate, waiting: AtomicUsize::new(0), kept: Mutex::new(None) })
    }

    /// Returns an instance that is set up for the call's mount, as soon as it is this call's turn.
    pub(crate) async fn lease(self: &Arc<Self>, call: &Call) -> Result<Lease<'_>, Failure> {
        let turn = self.turn(call).await?;
        let held = match self.policy {
            InstancePolicy::PerMount => Held::Kept(self.kept(call).await?),
            InstancePolicy::PerRequest => {
                let (instance, permit) = self.make(call).await?;
                Held::Fresh { instance, _permit: permit }
            }
        };
        Ok(Lease { held, notice: IdleNotice(self), _turn: turn })
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

    async fn kept(self: &Arc<Self>, call: &Call) -> Result<Arc<Kept>, Failure> {
        let mut slot = self.kept.lock().await;
        if let Some(kept) = slot.as_ref().filter(|kept| kept.instance.is_alive()) {
            kept.last_used.store(self.budget.now(), Ordering::Relaxed);
            return Ok(Arc::clone(kept));
        }
        *slot = None;
        let (instance, permit) = self.make(call).await?;
        let kept = Arc::new(Kept { instance, last_used: AtomicU64::new(self.budget.now()), _permit: permit });
        *slot = Some(Arc::clone(&kept));
        self.budget.watch(self);
        Ok(kept)
    }

    /// Makes an instance and sets it up for the call's mount.
    async fn make(&self, call: &Call) -> Result<(Arc<dyn Instance>, InstancePermit), Failure> {
        let permit = self.budget.admit(call.deadline).await?;
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
    pub(crate) fn evict(&self) {
        let Ok(mut slot) = self.kept.try_lock() else { return };
        slot.take_if(|kept| Arc::strong_count(kept) == 1);
    }
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
    use std::num::NonZeroU32;
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::ident::PluginKind;
    use crate::limits::Limits;
    use crate::request::{Request, Response};
    use crate::runtime::{Description, LogBudget, MountScope, PathRules};
    use crate::storage::{MemoryStorage, StorageView, ViewLimits};

    /// A program whose instances do nothing.
    struct Fake {
        description: Description,
        making: Making,
    }

    /// How long making an instance takes.
    enum Making {
        NoTime,
        Forever,
    }

    #[async_trait]
    impl Program for Fake {
        fn description(&self) -> &Description {
            &self.description
        }

        fn capabilities(&self) -> &[String] {
            &[]
        }

        fn imports(&self) -> &[String] {
            &[]
        }

        fn concurrency(&self) -> NonZeroU32 {
            NonZeroU32::MIN
        }

        async fn instantiate(&self) -> Result<Arc<dyn Instance>, Failure> {
            match self.making {
                Making::NoTime => Ok(Arc::new(IdleInstance)),
                Making::Forever => std::future::pending().await,
            }
        }
    }

    struct IdleInstance;

    #[async_trait]
    impl Instance for IdleInstance {
        fn is_alive(&self) -> bool {
            true
        }

        async fn setup(&self, _: Call) -> Result<(), Failure> {
            Ok(())
        }

        async fn initialize(&self, _: Call) -> Result<(), Failure> {
            Ok(())
        }

        async fn handle(&self, _: Call, _: Request) -> Result<Response, Failure> {
            Ok(Response::default())
        }

        async fn exists(&self, _: Call, _: &Request) -> Result<Option<bool>, Failure> {
            Ok(None)
        }

        async fn cleanup(&self, _: Call) -> Result<(), Failure> {
            Ok(())
        }
    }

    fn description() -> Description {
        let unauthenticated = PathRules::default();
        Description { kind: PluginKind::Secret, spread: Spread::One, version: None, unauthenticated }
    }

    fn call() -> Call {
        let limits = ViewLimits::from(&Limits::default());
        let scope = MountScope {
            id: "id".into(),
            path: "m".parse().expect("the path is well formed"),
            plugin: "endless".into(),
            options: Default::default(),
            default_ttl: Duration::ZERO,
            max_ttl: Duration::ZERO,
            passthrough_headers: Vec::new(),
            storage: StorageView::new(Arc::new(MemoryStorage::default()), "m/", limits),
            log: Arc::new(LogBudget::new(1)),
            faults: Arc::new(LogBudget::new(1)),
        };
        Call::lifecycle(&Arc::new(scope), Duration::from_secs(1))
    }

    #[tokio::test(start_paused = true)]
    async fn making_an_instance_takes_no_longer_than_the_call_may() {
        let budget = InstanceBudget::new(1);
        for policy in [InstancePolicy::PerMount, InstancePolicy::PerRequest] {
            let program = Arc::new(Fake { description: description(), making: Making::Forever });
            let pool = Pool::new(program, policy, Arc::clone(&budget), PoolLimits { queue_max: 1 });
            // The second gets the first one's turn and its place in the budget.
            for _ in 0..2 {
                let failure = pool.lease(&call()).await.err().expect("no instance is ever finished");
                assert!(matches!(failure, Failure::Deadline(limit) if limit == Duration::from_secs(1)), "{failure:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_instance_that_was_idle_longest_gives_way() {
        let budget = InstanceBudget::new(3);
        let pools: Vec<_> = (0..6)
            .map(|_| {
                let program = Arc::new(Fake { description: description(), making: Making::NoTime });
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
}
