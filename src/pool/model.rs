//! Random histories of pools against what must always hold, whatever comes after what.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::limits::Limits;
use crate::plugin::InstanceLimits;
use crate::runtime::MountScope;
use crate::runtime::double::{Double, scope};

/// Mounts in a history.
const MOUNTS: usize = 3;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// A call for this mount asks for an instance, and gives up if it has to wait.
    Lease(usize),
    /// One of the calls under way ends.
    End(usize),
    /// Instances that nobody calls are looked for, and let go.
    Sweep,
    /// What is remembered of this mount is out of date.
    Forget(usize),
    /// This mount ends in its instances, if no call of it is under way.
    Close(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..MOUNTS).prop_map(Step::Lease),
        3 => (0..8_usize).prop_map(Step::End),
        1 => Just(Step::Sweep),
        1 => (0..MOUNTS).prop_map(Step::Forget),
        1 => (0..MOUNTS).prop_map(Step::Close),
    ]
}

/// How the pools of a history are made.
#[derive(Debug, Clone)]
struct Shape {
    policy: InstancePolicy,
    spreads: bool,
    concurrency: u32,
    budget: u32,
    instances: u32,
    idle: u32,
    requests: Option<u64>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let policy = prop::sample::select(InstancePolicy::ALL.to_vec());
    (policy, any::<bool>(), 1..4_u32, 1..5_u32, 1..4_u32, 1..3_u32, prop::option::of(1..4_u64)).prop_map(
        |(policy, spreads, concurrency, budget, instances, idle, requests)| Shape {
            policy,
            spreads,
            concurrency,
            budget,
            instances,
            idle,
            requests,
        },
    )
}

/// A lease that is held, and for which mount.
struct Held<'pool> {
    mount: usize,
    lease: Lease<'pool>,
}

impl Held<'_> {
    fn instance(&self) -> usize {
        Arc::as_ptr(self.lease.instance()).cast::<()>().addr()
    }
}

fn call(mount: usize) -> Call {
    let scope = MountScope { id: mount.to_string().into(), ..scope() };
    Call::lifecycle(&Arc::new(scope), Duration::from_secs(3600))
}

/// Plays a history, and checks after each step.
async fn play(shape: Shape, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let concurrency = NonZeroU32::new(shape.concurrency).unwrap_or(NonZeroU32::MIN);
    let double = if shape.spreads { Double::spreading() } else { Double::new(Residence::Evictable) };
    let program = Arc::new(Double { concurrency, ..double });
    let pools = Pools::new(InstanceBudget::new(shape.budget), PoolLimits { queue_max: 4, shared_queue_max: 8 });
    let chosen = InstanceLimits {
        max_instances: Some(shape.instances),
        max_idle: Some(shape.idle),
        max_requests: shape.requests,
        ..InstanceLimits::default()
    };
    let settings = PoolSettings::resolve(shape.policy, &chosen, &*program, &Limits::default());
    let mounts: Vec<_> = (0..MOUNTS).map(|_| pools.open(Arc::clone(&program) as _, &settings)).collect();
    let mut held: Vec<Held<'_>> = Vec::new();
    for step in steps {
        match step {
            Step::Lease(mount) => {
                let call = call(mount);
                // The clock stands still until nothing else can happen.
                let leased = tokio::time::timeout(Duration::from_millis(1), mounts[mount].lease(&call)).await;
                match leased {
                    Ok(Ok(lease)) => held.push(Held { mount, lease }),
                    Ok(Err(failure)) => prop_assert!(matches!(failure, Failure::Busy(_)), "{failure:?}"),
                    Err(_) => prop_assert!(!held.is_empty(), "nothing is in use, and a call of mount {mount} waits"),
                }
            }
            Step::End(which) if !held.is_empty() => drop(held.swap_remove(which % held.len())),
            Step::Sweep => pools.budget.sweep(),
            Step::Forget(mount) => mounts[mount].forget(&mount.to_string()),
            Step::Close(mount) if held.iter().all(|held| held.mount != mount) => {
                mounts[mount].close(call(mount), Retired::MountEnded).await;
            }
            Step::End(_) | Step::Close(_) => {}
        }
        check(&shape, &settings, &program, &held)?;
    }
    drop(held);
    for (mount, pool) in mounts.iter().enumerate() {
        pool.close(call(mount), Retired::MountEnded).await;
    }
    drop(mounts);
    prop_assert_eq!(program.meter.read().live(), 0, "an instance outlives its pools");
    prop_assert!(pools.budget.is_unspent(), "a place in the budget is lost");
    Ok(())
}

fn check(shape: &Shape, settings: &PoolSettings, program: &Double, held: &[Held<'_>]) -> Result<(), TestCaseError> {
    let live = program.meter.read().live();
    prop_assert!(live <= u64::from(shape.budget), "{live} instances live, and {} may", shape.budget);
    for one in held {
        let of_instance = held.iter().filter(|other| other.instance() == one.instance()).count();
        prop_assert!(of_instance <= shape.concurrency as usize, "an instance is in {of_instance} calls");
        let spread = program.description.spread;
        let of_mount: Vec<_> = held.iter().filter(|other| other.mount == one.mount).collect();
        prop_assert!(of_mount.len() <= settings.turns_of_a_mount(spread) as usize, "a mount has too many turns");
        if !shape.spreads && shape.policy != InstancePolicy::PerRequest {
            let elsewhere = of_mount.iter().any(|other| other.instance() != one.instance());
            prop_assert!(!elsewhere, "two instances answer for mount {}, which is kept to one", one.mount);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_bounds_hold_and_nothing_is_lost(shape in shape(), steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        runtime.block_on(play(shape, steps))?;
    }
}
