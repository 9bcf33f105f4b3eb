//! Which instance answers, and when one goes, with a program that does what the test says.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;

use super::*;
use crate::limits::Limits;
use crate::plugin::InstanceLimits;
use crate::runtime::MountScope;
use crate::runtime::double::{Double, call, scope};

fn settings(policy: InstancePolicy, program: &dyn Program, chosen: InstanceLimits) -> PoolSettings {
    PoolSettings::resolve(policy, &chosen, program, &Limits::default())
}

fn pools(instances_max: u32) -> Arc<Pools> {
    Pools::new(InstanceBudget::new(instances_max), PoolLimits { queue_max: 4, shared_queue_max: 8 })
}

fn open(pools: &Pools, program: &Arc<Double>, policy: InstancePolicy, chosen: InstanceLimits) -> Arc<Pool> {
    let program = Arc::clone(program) as Arc<dyn Program>;
    let settings = settings(policy, &*program, chosen);
    pools.open(program, &settings)
}

fn per_mount(pools: &Pools, program: &Arc<Double>) -> Arc<Pool> {
    open(pools, program, InstancePolicy::PerMount, InstanceLimits::default())
}

/// Returns a call for another mount than [`call`] does.
fn call_for(mount: &str) -> Call {
    let number = mount.bytes().fold(1, |number, byte| number << 8 | u64::from(byte));
    let scope = MountScope { key: MountKey::chosen(number), id: mount.into(), ..scope() };
    Call::lifecycle(&Arc::new(scope), Duration::from_secs(1))
}

async fn borrow<'pool>(pool: &'pool Pool, call: &Call) -> Borrowed<'pool> {
    pool.borrow(call).await.unwrap_or_else(|failure| panic!("an instance is free: {failure}"))
}

/// Polls once, which is enough for what need not wait: nothing else runs meanwhile that could wake it.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    std::pin::pin!(future).now_or_never()
}

/// Which instance was borrowed.
fn identity(borrowed: &Borrowed<'_>) -> usize {
    Arc::as_ptr(borrowed.instance()).addr()
}

#[tokio::test(start_paused = true)]
async fn making_an_instance_takes_no_longer_than_the_call_may() {
    let pools = pools(1);
    for policy in InstancePolicy::ALL {
        let program = Arc::new(Double { never_makes: true, ..Double::new(Residence::Evictable) });
        let pool = open(&pools, &program, policy, InstanceLimits::default());
        // The second gets the first one's turn and its place in the budget.
        for _ in 0..2 {
            let failure = pool.borrow(&call()).await.err().expect("no instance is ever finished");
            assert!(matches!(failure, Failure::Deadline(limit) if limit.as_secs() == 1), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn the_instance_that_was_idle_longest_gives_way() {
    let shared = pools(3);
    let program = Arc::new(Double::new(Residence::Evictable));
    let pools: Vec<_> = (0..6).map(|_| per_mount(&shared, &program)).collect();
    let kept = || -> Vec<usize> { (0..6).filter(|index| pools[*index].roster().idle_since().is_some()).collect() };
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
        drop(borrow(&pools[used], &call()).await);
        assert_eq!(kept(), expected, "after {used} was used");
    }
    drop(pools);
    assert!(shared.budget.admit(call().deadline).await.is_ok());
    assert_eq!(program.meter.read().retired(Retired::Evicted), 3);
}

#[tokio::test]
async fn a_resident_instance_stays_and_is_initialized_whenever_it_is_made_anew() {
    let pools = pools(1);
    let program = Arc::new(Double::new(Residence::Resident));
    // More than the budget of sandboxes, in which it has no part.
    let (pool, other) = (per_mount(&pools, &program), per_mount(&pools, &program));
    other.start(call()).await.expect("it starts");
    program.take_asked();

    assert!(pool.start(call()).await.expect("it starts").matches("open"));
    assert_eq!(program.take_asked(), ["setup", "initialize"]);
    drop(borrow(&pool, &call()).await);
    assert!(program.take_asked().is_empty(), "it stayed");

    program.crashed.store(true, Ordering::SeqCst);
    drop(borrow(&pool, &call()).await);
    assert_eq!(program.take_asked(), ["setup", "initialize"], "another takes its place");

    pool.close(call(), Retired::Reloaded).await;
    assert_eq!(program.take_asked(), ["cleanup"]);
    pool.roll_back(call(), Rollback::Periodic).await;
    assert!(program.take_asked().is_empty(), "nobody is set up to be asked");
    drop(borrow(&pool, &call()).await);
    pool.invalidate(call(), "a/b").await.expect("it is told");
    pool.roll_back(call(), Rollback::Final).await;
    let expected = ["setup", "initialize", "invalidate \"a/b\"", "Rollback \"\""];
    assert_eq!(program.take_asked(), expected);
}

#[tokio::test]
async fn a_sandbox_that_nobody_calls_is_gone_and_not_woken() {
    let program = Arc::new(Double::new(Residence::Evictable));
    let pool = per_mount(&pools(1), &program);
    pool.start(call()).await.expect("it starts");
    assert_eq!(program.take_asked(), ["setup", "initialize"]);
    pool.invalidate(call(), "a").await.expect("there is nothing to forget");
    pool.roll_back(call(), Rollback::Periodic).await;
    assert!(program.take_asked().is_empty());
}

#[tokio::test]
async fn a_mount_that_is_kept_to_one_instance_never_has_two() {
    let program = Arc::new(Double::new(Residence::Evictable));
    let chosen = InstanceLimits { max_instances: Some(4), ..InstanceLimits::default() };
    for policy in [InstancePolicy::PerMount, InstancePolicy::Pooled] {
        let pools = pools(8);
        let [of_a, of_b] = [(); 2].map(|()| open(&pools, &program, policy, chosen.clone()));
        let (a, b) = (call_for("a"), call_for("b"));
        let first = borrow(&of_a, &a).await;
        assert!(at_once(of_a.borrow(&a)).is_none(), "{policy:?}: a second call waits for the first");
        let other = at_once(of_b.borrow(&b)).expect("another mount waits for nobody").expect("an instance is free");
        assert_ne!(identity(&other), identity(&first), "{policy:?}: it has an instance of its own");
        assert!(at_once(of_a.borrow(&a)).is_none(), "{policy:?}: not even now that there are two");
        drop(first);
        drop(at_once(of_a.borrow(&a)).expect("it is the next call's turn").expect("an instance is free"));
        drop(other);
    }
}

/// As when a mount is reloaded to another version and back, before the first generation has ended.
#[tokio::test]
async fn a_generation_that_ends_takes_no_shared_instance_from_the_next_but_one() {
    let program = Arc::new(Double::new(Residence::Evictable));
    let pools = pools(8);
    let [first, third] = [(); 2].map(|()| open(&pools, &program, InstancePolicy::Pooled, InstanceLimits::default()));
    assert!(Arc::ptr_eq(first.roster(), third.roster()));
    let call = call();
    first.start(call.clone()).await.expect("it starts");
    third.start(call.clone()).await.expect("it starts beside the first");
    program.take_asked();
    // The third is about to set an instance up when the first ends.
    let Found { live, .. } = third.roster().find(&call).await.expect("an instance is free");
    let starting = Borrowed::entered(&third.audience, live, call.scope.key, [None, None]);
    first.close(call.clone(), Retired::Reloaded).await;
    starting.prepare(&call, Initialized::Later).await.expect("nobody took the mount from under it");
    drop(starting);
    assert!(!program.take_asked().contains(&"cleanup".to_owned()), "the mount goes on");
    third.close(call.clone(), Retired::MountEnded).await;
    assert_eq!(program.take_asked(), ["cleanup"]);
    // One that has ended is ended again for nothing.
    first.close(call, Retired::MountEnded).await;
    assert!(program.take_asked().is_empty());
}

#[tokio::test]
async fn a_mount_that_moved_to_another_instance_is_set_up_again_where_it_was() {
    let program = Arc::new(Double::new(Residence::Evictable));
    let chosen = InstanceLimits { max_instances: Some(2), ..InstanceLimits::default() };
    let pools = pools(8);
    let [a, b] = [(); 2].map(|()| open(&pools, &program, InstancePolicy::Pooled, chosen.clone()));
    assert!(Arc::ptr_eq(a.roster(), b.roster()));
    let (of_a, of_b) = (call_for("a"), call_for("b"));
    let home = identity(&borrow(&a, &of_a).await);
    assert_eq!(program.take_asked(), ["setup"]);
    // Where it was, another mount is at work.
    let in_its_place = borrow(&b, &of_b).await;
    assert_eq!(identity(&in_its_place), home, "what is there is used before another is made");
    let away = borrow(&a, &of_a).await;
    assert_ne!(identity(&away), home);
    drop((in_its_place, away));
    program.take_asked();
    // The instance that knows it best is busy now, so it comes back to where it is out of date.
    let (one, two) = (borrow(&a, &of_a).await, borrow(&b, &of_b).await);
    assert_ne!(identity(&one), identity(&two));
    assert!(program.take_asked().is_empty(), "both know what they know");
    drop((one, two));
    let blocked = borrow(&b, &of_b).await;
    assert_eq!(identity(&blocked), home);
    drop(blocked);
}

#[tokio::test]
async fn the_other_instances_hear_of_what_was_written_before_their_next_call() {
    let program = Arc::new(Double::spreading());
    let pool = open(
        &pools(8),
        &program,
        InstancePolicy::PerMount,
        InstanceLimits { max_instances: Some(2), ..InstanceLimits::default() },
    );
    let call = call();
    let (one, two) = (borrow(&pool, &call).await, borrow(&pool, &call).await);
    assert_ne!(identity(&one), identity(&two));
    assert_eq!(program.take_asked(), ["setup", "setup"]);
    // Written by one, in a call and by itself.
    let observed = one.observed(call.clone());
    observed.storage.put("a/b", &bytes::Bytes::from_static(b"1").into()).await.expect("it is stored");
    observed.storage.delete("c").await.expect("it is gone");
    let writer = identity(&one);
    drop((one, two));
    // Whichever comes first, only the other is told.
    let leases = [borrow(&pool, &call).await, borrow(&pool, &call).await];
    assert!(leases.iter().any(|lease| identity(lease) == writer));
    assert_eq!(program.take_asked(), ["invalidate \"a/b\"", "invalidate \"c\""]);
    drop(leases);
    // Too many to be told one by one.
    let keys: Vec<Arc<str>> = (0..65).map(|at| Arc::from(format!("k{at}"))).collect();
    pool.roster().written(call.scope.key, &keys, None);
    let leases = [borrow(&pool, &call).await, borrow(&pool, &call).await];
    assert_eq!(program.take_asked(), ["setup", "setup"]);
    drop(leases);
}

#[tokio::test]
async fn an_instance_goes_after_so_many_requests() {
    let program = Arc::new(Double::new(Residence::Evictable));
    let chosen = InstanceLimits { max_requests: Some(2), ..InstanceLimits::default() };
    let pool = open(&pools(2), &program, InstancePolicy::PerMount, chosen);
    for _ in 0..5 {
        drop(borrow(&pool, &call()).await);
    }
    assert_eq!(program.take_asked(), ["setup", "setup", "setup"]);
    assert_eq!(program.meter.read().retired(Retired::Recycled), 2);
}

#[tokio::test]
async fn no_more_stay_idle_than_may_and_none_for_longer() {
    let program = Arc::new(Double::spreading());
    let timeout = SWEEP_PERIOD * 2;
    let chosen = InstanceLimits {
        max_instances: Some(3),
        max_idle: Some(2),
        idle_timeout: Some(timeout),
        ..InstanceLimits::default()
    };
    let shared = pools(8);
    let pool = open(&shared, &program, InstancePolicy::PerMount, chosen);
    let call = call();
    let leases = [borrow(&pool, &call).await, borrow(&pool, &call).await, borrow(&pool, &call).await];
    drop(leases);
    let live = || program.meter.read().live();
    assert_eq!(live(), 2);
    shared.budget.sweep();
    shared.budget.sweep();
    assert_eq!(live(), 2, "not for longer than they may");
    drop(borrow(&pool, &call).await);
    shared.budget.sweep();
    assert_eq!(live(), 1, "the one that was used stays");
    shared.budget.sweep();
    shared.budget.sweep();
    assert_eq!(live(), 0);
    assert_eq!(program.meter.read().retired(Retired::Idle), 3);
    drop(borrow(&pool, &call).await);
    assert_eq!(live(), 1, "and another is made when it is needed");
}

#[tokio::test(start_paused = true)]
async fn queues_are_bounded_and_waiting_has_an_end() {
    let program = Arc::new(Double::new(Residence::Evictable));
    for policy in InstancePolicy::ALL {
        let pool = open(&pools(8), &program, policy, InstanceLimits::default());
        let call = call();
        let held = borrow(&pool, &call).await;
        let waiting = futures_util::future::join_all((0..6).map(|_| pool.borrow(&call))).await;
        let reasons: Vec<String> =
            waiting.into_iter().map(|waited| waited.err().expect("it is busy").to_string()).collect();
        let mut counted = BTreeMap::new();
        for reason in reasons {
            *counted.entry(reason).or_insert(0) += 1;
        }
        let expected = BTreeMap::from([
            ("it was busy with other requests until the deadline".to_owned(), 4),
            ("its queue of 4 is full; try again later".to_owned(), 2),
        ]);
        assert_eq!(counted, expected, "{policy:?}");
        drop(held);
    }
}

#[tokio::test]
async fn an_instance_that_serves_several_calls_is_leased_several_times() {
    let concurrency = NonZeroU32::new(3).expect("it is not zero");
    let program = Arc::new(Double { concurrency, ..Double::new(Residence::Evictable) });
    let pool = per_mount(&pools(8), &program);
    let call = call();
    let leases = [borrow(&pool, &call).await, borrow(&pool, &call).await, borrow(&pool, &call).await];
    assert!(leases.iter().all(|other| identity(other) == identity(&leases[0])));
    assert_eq!(program.take_asked(), ["setup"], "once");
    assert!(at_once(pool.borrow(&call)).is_none(), "no more than it takes");
    drop(leases);
    // Held to fewer.
    let chosen = InstanceLimits { max_concurrency: Some(1), ..InstanceLimits::default() };
    let pool = open(&pools(8), &program, InstancePolicy::PerMount, chosen);
    let only = borrow(&pool, &call).await;
    assert!(at_once(pool.borrow(&call)).is_none(), "one at a time");
    drop(only);
}

#[tokio::test]
async fn an_instance_serves_so_many_mounts_and_no_more() {
    let program = Arc::new(Double::new(Residence::Evictable));
    let chosen = InstanceLimits { max_instances: Some(1), ..InstanceLimits::default() };
    let pools = pools(8);
    let mounts: Vec<_> = (0..300).map(|_| open(&pools, &program, InstancePolicy::Pooled, chosen.clone())).collect();
    for (at, pool) in mounts.iter().enumerate() {
        drop(borrow(pool, &call_for(&at.to_string())).await);
    }
    assert_eq!(program.take_asked().len(), 300);
    assert_eq!(program.meter.read().retired(Retired::Recycled), 1);
}

#[tokio::test]
async fn a_set_up_that_was_given_up_is_done_again() {
    let program = Arc::new(Double { never_sets_up: true, ..Double::new(Residence::Evictable) });
    let pool = per_mount(&pools(8), &program);
    let call = call();
    assert!(at_once(pool.borrow(&call)).is_none(), "it never sets up");
    assert!(at_once(pool.borrow(&call)).is_none(), "nor does it for the next");
    assert_eq!(program.take_asked(), ["setup", "setup"]);
}
