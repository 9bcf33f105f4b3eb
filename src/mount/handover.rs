//! How one generation of a mount hands over to the next, as in a reload.
//!
//! ```text
//!           announced     switched           alone            drained            ended
//!               │             │                │                 │                 │
//!  before  answers            │ refuses, while │ its requests    │ is told that    │
//!          requests           │ others before  │ end, within a   │ it ends, and    │
//!               │             │ it still end   │ limit           │ goes            │
//!               │             │                │                 │                 │
//!  next    has started, and   │ takes requests, which run beside those of `before` │ answers
//!          answers nothing    │ or wait until they have ended                      │ alone
//! ```
//!
//! Each state is a type, and each step takes the state before it, so that none is left out and none comes too early:
//!
//! * *Announced*: the pool of `next` knows what it comes after. That decides, once, whether its requests run beside
//!   those of `before`: they do if both plugins let a mount's requests be spread over several instances.
//! * *Switched*: requests come to `next` from this instant on. It was published first, so a request that `before`
//!   refuses finds it.
//! * *Alone*: no generation before `before` has a request any more. When reloads come faster than requests end, each
//!   generation waits for all before it, and has the whole limit for its own.
//! * *Drained*: the requests of `before` have ended by themselves, or were made to end at the limit. No start of it is
//!   under way, and none begins.
//! * *Ended*: the plugin of `before` was told, and its instances are gone. The instances of `next` forget what they
//!   learned beside it.

use std::sync::Arc;
use std::time::Duration;

use super::generation::Generation;
use crate::pool::Pool;
use crate::runtime::{Call, MountKey, MountScope};

/// A handover whose next generation knows what it comes after.
pub(super) struct Announced {
    next: Arc<Pool>,
}

/// A handover whose next generation takes the requests.
pub(super) struct Switched {
    before: Arc<Generation>,
    next: Arc<Pool>,
}

/// A handover whose generation before is the oldest that still has requests.
pub(super) struct Alone {
    before: Arc<Generation>,
    next: Arc<Pool>,
}

/// A handover whose generation before has no request any more.
pub(super) struct Drained {
    before: Arc<Generation>,
    next: Arc<Pool>,
}

/// Announces that `next`, which answers nothing yet, takes the place of what answers for the mount now.
pub(super) fn announce(before: &Generation, next: &Arc<Pool>, mount: MountKey) -> Announced {
    // Of one that has not started nothing is known, and a request may just be starting it.
    next.succeed(pool_of(before).map(|pool| &**pool), mount);
    Announced { next: Arc::clone(next) }
}

impl Announced {
    /// Switches. `publish` lets new requests find the next generation, and returns the one that they found before.
    pub(super) fn switch(self, publish: impl FnOnce() -> Arc<Generation>) -> Switched {
        let before = publish();
        before.refuse();
        Switched { before, next: self.next }
    }
}

impl Switched {
    /// Waits until all generations before the one that goes have ended.
    pub(super) async fn alone(self) -> Alone {
        if let Some(pool) = pool_of(&self.before) {
            pool.is_alone().await;
        }
        Alone { before: self.before, next: self.next }
    }
}

impl Alone {
    /// Waits for the requests that are still in the generation before, and after the limit makes them end.
    pub(super) async fn drain(self, limit: Duration) -> Drained {
        self.before.drain(limit).await;
        self.before.end_start().await;
        Drained { before: self.before, next: self.next }
    }
}

impl Drained {
    /// Tells the plugin of the generation before that it ends, within the limit, and lets the next answer alone.
    pub(super) async fn end(self, scope: &Arc<MountScope>, limit: Duration) {
        // It may have started while it was drained.
        let before = pool_of(&self.before).map(|pool| &**pool);
        self.next.take_over(before, Call::lifecycle(scope, limit)).await;
    }
}

fn pool_of(generation: &Generation) -> Option<&Arc<Pool>> {
    generation.outcome().and_then(|outcome| outcome.as_ref().ok()).map(|running| &running.pool)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::FutureExt as _;
    use tokio::time::Instant;

    use super::*;
    use crate::limits::Limits;
    use crate::mount::{Attempt, GenerationSettings, Launched, Launcher, StartError};
    use crate::plugin::{InstanceLimits, InstancePolicy};
    use crate::pool::{Borrowed, InstanceBudget, PoolLimits, PoolSettings, Pools};
    use crate::runtime::double::{Double, scope};
    use crate::runtime::{Failure, Program, Residence};

    const LIMIT: Duration = Duration::from_secs(10);

    struct Ready {
        program: Arc<Double>,
        policy: InstancePolicy,
    }

    #[async_trait]
    impl Launcher for Ready {
        async fn launch(&self, _: Attempt) -> Result<Launched, StartError> {
            let program = Arc::clone(&self.program) as Arc<dyn Program>;
            let settings =
                PoolSettings::resolve(self.policy, &InstanceLimits::default(), &*program, &Limits::default());
            Ok(Launched { program, settings, version: None, sha256: None })
        }
    }

    /// A mount whose generations are handed over by hand.
    struct Stage {
        settings: GenerationSettings,
        program: Arc<Double>,
        policy: InstancePolicy,
        scope: Arc<MountScope>,
    }

    impl Stage {
        fn new(program: Double, policy: InstancePolicy) -> Self {
            let pools = Pools::new(InstanceBudget::new(8), PoolLimits { queue_max: 4, shared_queue_max: 4 });
            let settings = GenerationSettings { pools, lifecycle_deadline: LIMIT };
            Self { settings, program: Arc::new(program), policy, scope: Arc::new(scope()) }
        }

        fn generation(&self) -> Arc<Generation> {
            let launcher = Ready { program: Arc::clone(&self.program), policy: self.policy };
            Generation::new(Arc::new(launcher), Attempt::Anew, self.settings.clone())
        }

        async fn started(&self) -> Arc<Generation> {
            let generation = self.generation();
            assert!(generation.start(&self.scope).await.is_ok());
            self.program.take_asked();
            generation
        }

        fn call(&self) -> Call {
            Call::lifecycle(&self.scope, Duration::from_secs(60))
        }

        fn switch(&self, before: &Arc<Generation>, next: &Arc<Generation>) -> Switched {
            announce(before, pool(next), self.scope.key).switch(|| Arc::clone(before))
        }

        async fn end(&self, switched: Switched) {
            switched.alone().await.drain(LIMIT).await.end(&self.scope, LIMIT).await;
        }
    }

    fn pool(generation: &Generation) -> &Arc<Pool> {
        pool_of(generation).expect("it has started")
    }

    fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        std::pin::pin!(future).now_or_never()
    }

    #[track_caller]
    fn borrowed(found: Option<Result<Borrowed<'_>, Failure>>) -> Borrowed<'_> {
        found.expect("nobody has to be waited for").unwrap_or_else(|failure| panic!("{failure}"))
    }

    #[tokio::test(start_paused = true)]
    async fn requests_wait_where_a_mount_is_kept_to_one_instance() {
        let stage = Stage::new(Double::new(Residence::Evictable), InstancePolicy::PerMount);
        let (before, next, call) = (stage.started().await, stage.started().await, stage.call());
        let inside = before.enter().expect("it answers");
        let in_flight = borrowed(at_once(pool(&before).borrow(&call)));
        let switched = stage.switch(&before, &next);
        assert!(before.enter().is_none(), "switched: new requests go to the next");
        let mut waiting = std::pin::pin!(pool(&next).borrow(&call));
        assert!(at_once(&mut waiting).is_none(), "switched: the one before may still write");
        let alone = at_once(switched.alone()).expect("there is none before it");
        let mut draining = std::pin::pin!(alone.drain(LIMIT));
        assert!(at_once(&mut draining).is_none(), "alone: a request is still inside");
        drop((in_flight, inside));
        let drained = at_once(draining).expect("it was the last");
        assert!(at_once(&mut waiting).is_none(), "drained: the plugin is not told yet");
        stage.program.take_asked();
        drained.end(&stage.scope, LIMIT).await;
        assert_eq!(stage.program.take_asked(), ["cleanup"]);
        drop(borrowed(at_once(waiting)));
        assert_eq!(stage.program.take_asked(), ["setup"]);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_run_beside_each_other_where_they_may_be_spread() {
        let stage = Stage::new(Double::spreading(), InstancePolicy::PerMount);
        let (before, next, call) = (stage.started().await, stage.started().await, stage.call());
        let inside = before.enter().expect("it answers");
        let in_flight = borrowed(at_once(pool(&before).borrow(&call)));
        let switched = stage.switch(&before, &next);
        drop(borrowed(at_once(pool(&next).borrow(&call))));
        stage.program.take_asked();
        in_flight.observed(call.clone()).storage.delete("a").await.expect("it is gone");
        drop(borrowed(at_once(pool(&next).borrow(&call))));
        assert_eq!(stage.program.take_asked(), ["invalidate \"a\""], "switched: the next hears of what is written");
        drop((in_flight, inside));
        stage.end(switched).await;
        assert_eq!(stage.program.take_asked(), ["cleanup"]);
        drop(borrowed(at_once(pool(&next).borrow(&call))));
        assert!(stage.program.take_asked().is_empty(), "ended: it knows everything already");
    }

    #[tokio::test(start_paused = true)]
    async fn what_shares_its_instances_sets_them_up_again_and_ends_none() {
        let stage = Stage::new(Double::spreading(), InstancePolicy::Pooled);
        let (before, next, call) = (stage.started().await, stage.started().await, stage.call());
        let switched = stage.switch(&before, &next);
        drop(borrowed(at_once(pool(&next).borrow(&call))));
        assert_eq!(stage.program.take_asked(), ["setup"], "switched: with what is new");
        stage.end(switched).await;
        assert!(stage.program.take_asked().is_empty(), "the mount goes on in the same instances");
        drop(borrowed(at_once(pool(&next).borrow(&call))));
        assert_eq!(stage.program.take_asked(), ["setup"], "ended: the one before may have set it up meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn a_resident_instance_that_was_set_up_beside_another_is_made_anew() {
        let stage = Stage::new(Double::new(Residence::Resident), InstancePolicy::PerMount);
        let (before, next) = (stage.started().await, stage.started().await);
        stage.end(stage.switch(&before, &next)).await;
        assert_eq!(stage.program.take_asked(), ["cleanup", "cleanup", "setup", "initialize"]);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_made_to_end_at_the_limit() {
        let stage = Stage::new(Double::new(Residence::Evictable), InstancePolicy::PerMount);
        let (before, next) = (stage.started().await, stage.started().await);
        let inside = before.enter().expect("it answers");
        let alone = stage.switch(&before, &next).alone().await;
        let begun = Instant::now();
        let leaving = async {
            inside.aborted().await;
            assert_eq!(begun.elapsed(), LIMIT);
            drop(inside);
        };
        tokio::join!(alone.drain(LIMIT), leaving);
    }

    #[tokio::test(start_paused = true)]
    async fn each_generation_waits_for_all_before_it() {
        let stage = Stage::new(Double::spreading(), InstancePolicy::PerMount);
        let (first, second, third) = (stage.started().await, stage.started().await, stage.started().await);
        let inside = first.enter().expect("it answers");
        let (one, two) = (stage.switch(&first, &second), stage.switch(&second, &third));
        let mut alone = std::pin::pin!(two.alone());
        assert!(at_once(&mut alone).is_none(), "a request is still in the first");
        drop(inside);
        assert!(at_once(&mut alone).is_none(), "the first is not told yet");
        stage.end(one).await;
        let ended = at_once(alone).expect("the second is alone").drain(LIMIT).await;
        assert!(at_once(pool(&third).is_alone()).is_none(), "the second has not ended");
        ended.end(&stage.scope, LIMIT).await;
        at_once(pool(&third).is_alone()).expect("there is none before it");
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_not_started_never_does() {
        let stage = Stage::new(Double::spreading(), InstancePolicy::PerMount);
        let (before, next, call) = (stage.generation(), stage.started().await, stage.call());
        let switched = stage.switch(&before, &next);
        assert!(at_once(pool(&next).borrow(&call)).is_none(), "a request may just be starting the one before");
        stage.end(switched).await;
        assert!(matches!(before.start(&stage.scope).await, Err(StartError::Ended)));
        assert!(stage.program.take_asked().is_empty());
        drop(borrowed(at_once(pool(&next).borrow(&call))));
    }
}
