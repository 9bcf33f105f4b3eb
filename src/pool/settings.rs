//! What an operator chose for a plugin's instances, with every default filled in, and what they are granted.

use std::sync::Arc;
use std::time::Duration;

use crate::limits::Limits;
use crate::plugin::{InstanceLimits, InstancePolicy};
use crate::runtime::{Grants, Program, Spread};

/// Calls that all instances together may run at a time, whatever is asked: what a semaphore holds on every machine, and
/// more than any host runs.
const CAPACITY_MAX: u32 = u32::MAX >> 4;

/// How instances are kept and what they are granted. Mounts share instances only if both are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PoolSettings {
    pub(crate) policy: InstancePolicy,
    /// Instances alive at a time: of the mount, or of all mounts that share them.
    pub(super) instances_max: u32,
    /// Of these, so many answer for one mount at a time.
    mount_instances_max: u32,
    /// Of these, so many stay while nobody calls them.
    pub(super) idle_max: u32,
    /// For so long.
    pub(super) idle_timeout: Duration,
    /// Calls that one instance answers before another takes its place.
    pub(super) requests_max: Option<u64>,
    /// Calls at a time in one instance.
    pub(super) concurrency: u32,
    /// What each instance may reach.
    pub(super) grants: Arc<Grants>,
}

impl PoolSettings {
    /// Fills in what was left open. What a plugin cannot do is not asked of it: a plugin that serves one call at a
    /// time, or that keeps its mount to one instance, is held to that.
    pub(crate) fn resolve(
        policy: InstancePolicy,
        chosen: &InstanceLimits,
        program: &dyn Program,
        limits: &Limits,
    ) -> Self {
        let default_max = match policy {
            InstancePolicy::PerMount => limits.mount_instances_max,
            InstancePolicy::PerRequest => limits.per_request_instances_max,
            InstancePolicy::Pooled => limits.pooled_instances_max,
        };
        let one_at_a_time = program.description().spread == Spread::One && policy != InstancePolicy::Pooled;
        let asked = chosen.max_instances.unwrap_or(default_max).clamp(1, limits.instances_max.max(1));
        let instances_max = if one_at_a_time { 1 } else { asked };
        let mount_instances_max = match policy {
            InstancePolicy::Pooled => instances_max.min(limits.mount_instances_max.max(1)),
            InstancePolicy::PerMount | InstancePolicy::PerRequest => instances_max,
        };
        let concurrency = match policy {
            InstancePolicy::PerRequest => 1,
            _ => chosen.max_concurrency.map_or(u32::MAX, |max| max.max(1)).min(program.concurrency().get()),
        };
        Self {
            policy,
            instances_max,
            mount_instances_max,
            idle_max: chosen.max_idle.unwrap_or(instances_max).max(1),
            idle_timeout: chosen.idle_timeout.unwrap_or(limits.instance_idle_timeout),
            requests_max: chosen.max_requests,
            concurrency,
            grants: program.grants(),
        }
    }

    /// Calls of one mount that may run at a time.
    pub(super) fn turns_of_a_mount(&self, spread: Spread) -> u32 {
        match spread {
            Spread::One => self.concurrency,
            Spread::Many => self.mount_instances_max.saturating_mul(self.concurrency).min(CAPACITY_MAX),
        }
    }

    /// Calls that all instances together may run at a time.
    pub(super) fn capacity(&self) -> u32 {
        self.instances_max.saturating_mul(self.concurrency).min(CAPACITY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{InstanceBudget, PoolLimits, Pools};
    use crate::runtime::Residence;
    use crate::runtime::double::{Double, call};

    #[tokio::test(start_paused = true)]
    async fn mounts_share_instances_only_where_they_are_granted_the_same() {
        let double = Arc::new(Double::new(Residence::Evictable));
        let program = Arc::clone(&double) as Arc<dyn Program>;
        let chosen = InstanceLimits::default();
        let settings = PoolSettings::resolve(InstancePolicy::Pooled, &chosen, &*program, &Limits::default());
        let of = |region: &str| {
            let grants = Grants { args: Vec::new(), env: vec![("REGION".to_owned(), region.to_owned())] };
            PoolSettings { grants: Arc::new(grants), ..settings.clone() }
        };
        let pools = Pools::new(InstanceBudget::new(2), PoolLimits { queue_max: 1, shared_queue_max: 1 });
        let pool = pools.open(Arc::clone(&program), &of("eu"));
        drop(pool.borrow(&call()).await.expect("an instance can be made"));
        assert_eq!(double.take_asked(), ["setup"]);
        for (region, asked) in [("eu", &[][..]), ("us", &["setup"])] {
            let other = pools.open(Arc::clone(&program), &of(region));
            drop(other.borrow(&call()).await.expect("an instance is free"));
            assert_eq!(double.take_asked(), asked, "{region}");
        }
    }
}
