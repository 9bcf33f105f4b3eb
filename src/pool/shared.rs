//! Instances that all mounts of one program share.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::budget::InstanceBudget;
use super::set::Set;
use super::settings::PoolSettings;
use super::{PoolLimits, take_turn};
use crate::runtime::{Call, Failure, Program};

/// The sets that mounts share, by what they share.
#[derive(Default)]
pub(crate) struct SharedSets(Mutex<BTreeMap<usize, Vec<Weak<Set>>>>);

impl SharedSets {
    /// Returns the set of this program with these settings, and makes it where there is none.
    pub(super) fn get(
        &self,
        program: &Arc<dyn Program>,
        settings: &PoolSettings,
        budget: &Arc<InstanceBudget>,
        limits: PoolLimits,
    ) -> Arc<Set> {
        // A set keeps its program, so no other can have its address while the set lives.
        let address = Arc::as_ptr(program).addr();
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sets.retain(|_, alike| {
            alike.retain(|set| set.strong_count() > 0);
            !alike.is_empty()
        });
        let alike = sets.entry(address).or_default();
        let found = alike.iter().filter_map(Weak::upgrade).find(|set| set.settings == *settings);
        found.unwrap_or_else(|| {
            let turns = SharedTurns::new(settings, limits);
            let set = Set::new(Arc::clone(program), settings.clone(), Arc::clone(budget), Some(turns));
            alike.push(Arc::downgrade(&set));
            set
        })
    }
}

/// The turns that all mounts of a set take, in a queue of their own.
pub(super) struct SharedTurns {
    turns: Semaphore,
    waiting: AtomicUsize,
    queue_max: usize,
}

impl SharedTurns {
    fn new(settings: &PoolSettings, limits: PoolLimits) -> Self {
        Self {
            turns: Semaphore::new(settings.capacity() as usize),
            waiting: AtomicUsize::new(0),
            queue_max: limits.shared_queue_max,
        }
    }

    /// Takes a turn if nobody has to be waited for.
    pub(super) fn try_take(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.try_acquire().ok()
    }

    /// Takes a turn as soon as there is one.
    pub(super) async fn take(&self, call: &Call) -> Result<SemaphorePermit<'_>, Failure> {
        take_turn(&self.turns, &self.waiting, self.queue_max, call).await
    }
}
